/* SPDX-License-Identifier: Apache-2.0
 * Weight matching: coordinate descent over groups, each given its best permutation while the others stay.
 * Source: Git Re-Basin (Ainsworth et al. 2023), algorithm 1. Its objective never falls, and there are
 * finitely many permutations: it ends, in a local optimum that depends on the order of visits. Hence
 * restarts: the first goes in the order of the specification, others in orders drawn for each sweep.
 * Unlike the published code a group keeps its permutation on ties, and is not visited again before
 * another one that shares a tensor with it has changed: its products would be the same. Where memory allows,
 * a group's products are kept, and only what has changed since its last visit is added; its assignment begins
 * from the potentials of its last one. */
#include <inttypes.h>

#include "merge/align_i.h"
#include "tensor/tensor_i.h"

/* What a group has from its last visit; its permutations NULL = nothing. */
typedef struct memory {
    double *products[WHET_I_PARTS];
    whet_alignment *since;
    bool known;
} memory;

typedef struct descent {
    whet_ctx *ctx;
    const whet_i_bound *bound;
    const char *stage; /* of progress; NULL = part of another's */
    whet_alignment *now, *best;
    double *products[WHET_I_PARTS]; /* [n, n] of the largest part, where nothing is kept */
    memory *memories;               /* [groups], or NULL */
    double *room;                   /* of whet_i_unit_products */
    double *potentials;             /* [units of all groups] of the columns, at the last visit */
    int64_t *potentials_at;
    int64_t *column; /* [n] */
    int64_t *visits; /* [groups] order of a sweep */
    int64_t *changed,
        *seen;     /* [groups] when it last changed; when it was last visited; -1 = never */
    double *value; /* [groups] its part of the objective at the last visit */
    bool *meets;   /* [groups, groups] share a tensor */
    int64_t clock;
    whet_i_rng rng;
} descent;

static void find_meetings(const descent *d) {
    const whet_permutation_spec *spec = d->bound->spec;
    for (int64_t i = 0; i < spec->n_tensors; i++) {
        const whet_i_spec_tensor *t = &spec->tensors[i];
        if (t->unmatched) continue;
        for (int32_t x = 0; x < t->rank; x++)
            for (int32_t p = 0; p < t->axes[x].n; p++)
                for (int32_t y = 0; y < t->rank; y++)
                    for (int32_t q = 0; x != y && q < t->axes[y].n; q++)
                        d->meets[t->axes[x].pieces[p].group * spec->n_groups +
                                 t->axes[y].pieces[q].group] = true;
    }
}

static bool must_visit(const descent *d, int64_t g) {
    const int64_t n = d->bound->spec->n_groups;
    if (d->seen[g] < 0) return true;
    for (int64_t other = 0; other < n; other++)
        if (d->meets[g * n + other] && d->changed[other] > d->seen[g]) return true;
    return false;
}

/* The products of a group's parts as permutations are now: out. */
static whet_status find_products(descent *d, int32_t g, double *out[WHET_I_PARTS]) {
    memory *m = d->memories ? &d->memories[g] : NULL;
    const whet_alignment *since = m && m->known ? m->since : NULL;
    for (int32_t part = 0; part < WHET_I_PARTS; part++) {
        out[part] = m ? m->products[part] : d->products[part];
        if (d->now->count[g][part])
            WHET_TRY(
                whet_i_unit_products(d->ctx, d->bound, d->now, since, g, part, d->room, out[part]));
    }
    if (!m) return WHET_OK;
    whet_i_alignment_copy(m->since, d->now);
    m->known = true;
    return WHET_OK;
}

/* A free group: one assignment. */
static whet_status visit_units(descent *d, int32_t g, double *const products[WHET_I_PARTS],
                               double *before, double *after) {
    const int64_t n = d->bound->groups[g].units;
    int64_t *order = d->now->order[g][WHET_I_UNITS];
    double *m = products[WHET_I_UNITS], old = 0, sum = 0;
    const whet_tensor costs = {m, WHET_F64, 2, {n, n}};
    if (whet_i_has_runs(&d->bound->groups[g]))
        WHET_TRY(whet_i_match_units(d->ctx, &d->bound->groups[g], m, d->column));
    else
        WHET_TRY(whet_i_assign_again(d->ctx, &costs, d->seen[g] >= 0,
                                     d->potentials + d->potentials_at[g], d->column));
    for (int64_t i = 0; i < n; i++) {
        old += m[i * n + order[i]];
        sum += m[i * n + d->column[i]];
    }
    *before = *after = old;
    if (!whet_i_is_better(sum, old)) return WHET_OK;
    memcpy(order, d->column, (size_t)n * sizeof *order);
    *after = sum;
    return WHET_OK;
}

static whet_status visit_group(descent *d, int32_t g, double *before, double *after) {
    double *products[WHET_I_PARTS];
    WHET_TRY(find_products(d, g, products));
    if (!d->bound->groups[g].attention) return visit_units(d, g, products, before, after);
    return whet_i_match_heads(d->ctx, &d->bound->groups[g], products, d->now->order[g], before,
                              after);
}

static whet_status visit(descent *d, int64_t g, whet_align_visit *v) {
    v->group = g;
    v->before = v->after = d->value[g];
    if (must_visit(d, g)) {
        WHET_TRY(visit_group(d, (int32_t)g, &v->before, &v->after));
        d->seen[g] = ++d->clock;
        if (v->after > v->before) d->changed[g] = d->clock;
        d->value[g] = v->after;
    }
    return whet_i_alignment_visit(d->ctx, d->best, v);
}

static whet_status sweep(descent *d, const whet_align_opts *o, int64_t restart, int64_t at,
                         bool *progress) {
    const int64_t n = d->bound->spec->n_groups;
    *progress = false;
    for (int64_t i = 0; i < n; i++) d->visits[i] = i;
    if (restart > 0) whet_i_rng_shuffle(&d->rng, d->visits, n);
    for (int64_t i = 0; i < n; i++) {
        whet_align_visit v = {.restart = restart, .sweep = at};
        if (d->stage)
            whet_i_note(d->ctx, "restart %" PRId64 " of %" PRId64 ", sweep %" PRId64, restart + 1,
                        o->restarts, at + 1);
        WHET_TRY(whet_i_progress(d->ctx, d->stage, i, n));
        WHET_TRY(visit(d, d->visits[i], &v));
        if (v.after > v.before) *progress = true;
    }
    return WHET_OK;
}

static whet_status descend(descent *d, const whet_align_opts *o, int64_t restart) {
    const int64_t n = d->bound->spec->n_groups;
    bool progress = true;
    whet_i_rng_init(&d->rng, o->seed, (uint64_t)restart);
    for (int64_t g = 0; g < n; g++) {
        d->changed[g] = 0;
        d->seen[g] = -1;
        if (d->memories) d->memories[g].known = false; /* no rounding of earlier restarts */
        for (int32_t p = 0; p < WHET_I_PARTS; p++)
            for (int64_t i = 0; i < d->now->count[g][p]; i++) d->now->order[g][p][i] = i;
    }
    for (int64_t at = 0; at < o->max_sweeps && progress; at++)
        WHET_TRY(sweep(d, o, restart, at, &progress));
    double product, distance;
    WHET_TRY(whet_i_objective(d->ctx, d->bound, d->now, &product, &distance));
    if (restart > 0 && !whet_i_is_better(product, d->best->objective)) return WHET_OK;
    whet_i_alignment_copy(d->best, d->now);
    d->best->objective = product;
    d->best->distance_after = distance;
    d->best->best = restart;
    return WHET_OK;
}

/* Products are kept when all of them are within bounds. */
static whet_status make_memories(descent *d, const whet_align_opts *o) {
    const int64_t groups = d->bound->spec->n_groups;
    double bytes = 0, units = 0;
    for (int64_t g = 0; g < groups; g++)
        for (int32_t p = 0; p < WHET_I_PARTS; p++) {
            const double n = (double)d->now->count[g][p];
            bytes += 8 * n * n;
            units += n;
        }
    if (bytes + 8 * units * (double)groups > (double)o->keep) return WHET_OK;
    WHET_TRY(whet_i_calloc(d->ctx, groups, &d->memories));
    for (int64_t g = 0; g < groups; g++) {
        memory *m = &d->memories[g];
        WHET_TRY(whet_i_alignment_create(d->ctx, d->bound, &m->since));
        for (int32_t p = 0; p < WHET_I_PARTS; p++) {
            const int64_t n = d->now->count[g][p];
            if (n) WHET_TRY(whet_i_alloc(d->ctx, n * n, &m->products[p]));
        }
    }
    return WHET_OK;
}

static void free_memories(descent *d) {
    for (int64_t g = 0; d->memories && g < d->bound->spec->n_groups; g++) {
        whet_alignment_destroy(d->ctx, d->memories[g].since);
        for (int32_t p = 0; p < WHET_I_PARTS; p++) whet_i_free(d->ctx, d->memories[g].products[p]);
    }
    whet_i_free(d->ctx, d->memories);
}

static whet_status make_room(descent *d, const whet_align_opts *o) {
    const int64_t groups = d->bound->spec->n_groups;
    int64_t most[WHET_I_PARTS] = {0}, widest = 0, units = 0, cells;
    WHET_TRY(whet_i_alloc(d->ctx, groups, &d->potentials_at));
    for (int64_t g = 0; g < groups; g++)
        for (int32_t p = 0; p < WHET_I_PARTS; p++) {
            const int64_t count = d->now->count[g][p];
            if (count > most[p]) most[p] = count;
            if (count > widest) widest = count;
        }
    for (int64_t g = 0; g < groups; g++) {
        d->potentials_at[g] = units;
        units += d->now->count[g][WHET_I_UNITS];
    }
    WHET_TRY(whet_i_alloc(d->ctx, units, &d->potentials));
    WHET_TRY(make_memories(d, o));
    for (int32_t p = 0; !d->memories && p < WHET_I_PARTS; p++) {
        WHET_TRY(whet_i_mul(d->ctx, most[p], most[p], &cells));
        WHET_TRY(whet_i_alloc(d->ctx, cells, &d->products[p]));
    }
    WHET_TRY(whet_i_mul(d->ctx, widest, WHET_I_PRODUCTS_ROOM, &cells));
    WHET_TRY(whet_i_alloc(d->ctx, cells, &d->room));
    WHET_TRY(whet_i_alloc(d->ctx, widest, &d->column));
    WHET_TRY(whet_i_alloc(d->ctx, groups, &d->visits));
    WHET_TRY(whet_i_alloc(d->ctx, groups, &d->changed));
    WHET_TRY(whet_i_alloc(d->ctx, groups, &d->seen));
    WHET_TRY(whet_i_calloc(d->ctx, groups, &d->value));
    WHET_TRY(whet_i_mul(d->ctx, groups, groups, &cells));
    return whet_i_calloc(d->ctx, cells, &d->meets);
}

static whet_status run(descent *d, const whet_align_opts *o) {
    WHET_TRY(whet_i_alignment_create(d->ctx, d->bound, &d->now));
    WHET_TRY(whet_i_alignment_create(d->ctx, d->bound, &d->best));
    WHET_TRY(make_room(d, o));
    find_meetings(d);
    WHET_TRY(
        whet_i_objective(d->ctx, d->bound, d->now, &d->best->identity, &d->best->distance_before));
    for (int64_t r = 0; r < o->restarts; r++) WHET_TRY(descend(d, o, r));
    return WHET_OK;
}

whet_status whet_i_align_weights(whet_ctx *ctx, const whet_permutation_spec *spec,
                                 const whet_weights *a, const whet_weights *b,
                                 const whet_align_opts *opts, const char *stage,
                                 whet_alignment **out) {
    whet_align_opts o = WHET_ALIGN_OPTS_INIT;
    whet_i_bound bound;
    descent d = {.ctx = ctx, .bound = &bound, .stage = stage};
    WHET_TRY(whet_i_opts(ctx, opts, &o, sizeof o, "whet_align_opts"));
    if (o.restarts < 1 || o.restarts > 1000 || o.max_sweeps < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%" PRId64 " restarts of at most %" PRId64
                           " sweeps; expected 1 to 1000, of 1 at least",
                           o.restarts, o.max_sweeps);
    whet_status status = whet_i_bind(ctx, spec, a, b, true, &bound);
    if (status == WHET_OK) status = run(&d, &o);
    if (status == WHET_OK)
        *out = d.best;
    else
        whet_alignment_destroy(ctx, d.best);
    whet_alignment_destroy(ctx, d.now);
    free_memories(&d);
    for (int32_t p = 0; p < WHET_I_PARTS; p++) whet_i_free(ctx, d.products[p]);
    whet_i_free(ctx, d.room);
    whet_i_free(ctx, d.potentials);
    whet_i_free(ctx, d.potentials_at);
    whet_i_free(ctx, d.column);
    whet_i_free(ctx, d.visits);
    whet_i_free(ctx, d.changed);
    whet_i_free(ctx, d.seen);
    whet_i_free(ctx, d.value);
    whet_i_free(ctx, d.meets);
    whet_i_bound_free(ctx, &bound);
    return status;
}

whet_status whet_align_weights(whet_ctx *ctx, const whet_permutation_spec *spec,
                               const whet_weights *a, const whet_weights *b,
                               const whet_align_opts *opts, whet_alignment **out) {
    return whet_i_align_weights(ctx, spec, a, b, opts, "align", out);
}
