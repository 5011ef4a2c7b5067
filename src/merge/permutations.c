/* SPDX-License-Identifier: Apache-2.0
 * The permutations of all groups: identities, draws, and what they do to axes and tensors. */
#include "merge/align_i.h"

/* ---- making them ---------------------------------------------------------------------------------- */

void whet_alignment_destroy(whet_ctx *ctx, whet_alignment *alignment) {
    if (!alignment) return;
    for (int64_t g = 0; alignment->order && g < alignment->n_groups; g++)
        for (int32_t p = 0; p < WHET_I_PARTS; p++) whet_i_free(ctx, alignment->order[g][p]);
    whet_i_free(ctx, alignment->order);
    whet_i_free(ctx, alignment->count);
    whet_i_free(ctx, alignment->visits);
    whet_i_free(ctx, alignment);
}

static whet_status fill(whet_ctx *ctx, const whet_i_bound *bound, whet_alignment *alignment) {
    const int64_t n = bound->spec->n_groups;
    WHET_TRY(whet_i_calloc(ctx, n, &alignment->order));
    WHET_TRY(whet_i_calloc(ctx, n, &alignment->count));
    alignment->n_groups = n;
    for (int64_t g = 0; g < n; g++)
        for (int32_t p = 0; p < WHET_I_PARTS; p++) {
            const int64_t count = whet_i_part_count(&bound->groups[g], p);
            if (count == 0) continue;
            WHET_TRY(whet_i_alloc(ctx, count, &alignment->order[g][p]));
            alignment->count[g][p] = count;
            for (int64_t i = 0; i < count; i++) alignment->order[g][p][i] = i;
        }
    return WHET_OK;
}

whet_status whet_i_alignment_create(whet_ctx *ctx, const whet_i_bound *bound,
                                    whet_alignment **out) {
    whet_alignment *alignment;
    WHET_TRY(whet_i_calloc(ctx, 1, &alignment));
    const whet_status status = fill(ctx, bound, alignment);
    if (status == WHET_OK)
        *out = alignment;
    else
        whet_alignment_destroy(ctx, alignment);
    return status;
}

void whet_i_alignment_copy(whet_alignment *to, const whet_alignment *from) {
    for (int64_t g = 0; g < from->n_groups; g++)
        for (int32_t p = 0; p < WHET_I_PARTS; p++)
            if (from->order[g][p])
                memcpy(to->order[g][p], from->order[g][p],
                       (size_t)from->count[g][p] * sizeof *from->order[g][p]);
}

whet_status whet_i_alignment_visit(whet_ctx *ctx, whet_alignment *alignment,
                                   const whet_align_visit *visit) {
    if (alignment->n_visits == alignment->cap_visits) {
        const int64_t cap = 2 * alignment->cap_visits + 32;
        WHET_TRY(whet_i_realloc(ctx, &alignment->visits, cap));
        alignment->cap_visits = cap;
    }
    alignment->visits[alignment->n_visits++] = *visit;
    return WHET_OK;
}

/* Heads: keys and values by themselves, the queries of each among themselves, and what is inside. */
static void draw_heads(const whet_i_group *g, whet_i_rng *rng, int64_t *const order[WHET_I_PARTS],
                       int64_t *room) {
    const int64_t share = g->heads / g->kv, d = g->size;
    int64_t *kv = room, *query = kv + g->kv, *key = query + share, *value = key + d;
    for (int64_t i = 0; i < g->kv; i++) kv[i] = i;
    whet_i_rng_shuffle(rng, kv, g->kv);
    for (int64_t a = 0; a < g->kv; a++) {
        for (int64_t i = 0; i < share; i++) query[i] = i;
        for (int64_t i = 0; i < d; i++) key[i] = value[i] = i;
        whet_i_rng_shuffle(rng, query, share);
        if (g->free_keys) whet_i_rng_shuffle(rng, key, d);
        whet_i_rng_shuffle(rng, value, d);
        for (int64_t i = 0; i < d; i++) {
            order[WHET_I_KEY][a * d + i] = kv[a] * d + key[i];
            order[WHET_I_VALUE][a * d + i] = kv[a] * d + value[i];
            for (int64_t q = 0; q < share; q++) {
                const int64_t to = (a * share + q) * d + i, from = (kv[a] * share + query[q]) * d;
                order[WHET_I_QUERY][to] = from + key[i];
                order[WHET_I_MIXED][to] = from + value[i];
            }
        }
    }
}

/* Blocks, and the units inside each; room [blocks + units / blocks]. */
static void draw_blocks(const whet_i_group *g, whet_i_rng *rng, int64_t *order, int64_t *room) {
    const int64_t d = g->units / g->blocks;
    int64_t *block = room, *inside = room + g->blocks;
    for (int64_t a = 0; a < g->blocks; a++) block[a] = a;
    whet_i_rng_shuffle(rng, block, g->blocks);
    for (int64_t a = 0; a < g->blocks; a++) {
        for (int64_t i = 0; i < d; i++) inside[i] = i;
        whet_i_rng_shuffle(rng, inside, d);
        for (int64_t i = 0; i < d; i++) order[a * d + i] = block[a] * d + inside[i];
    }
}

/* The best order for gains that are drawn: of all orders that keep the runs each is as likely. */
static whet_status draw_runs(whet_ctx *ctx, const whet_i_group *g, whet_i_rng *rng,
                             int64_t *order) {
    double *gain;
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, g->units, g->units, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &gain));
    for (int64_t i = 0; i < cells; i++) gain[i] = whet_i_rng_uniform(rng);
    const whet_status status = whet_i_match_units(ctx, g, gain, order);
    whet_i_free(ctx, gain);
    return status;
}

static whet_status draw(whet_ctx *ctx, const whet_i_bound *bound, uint64_t seed,
                        whet_alignment *alignment) {
    for (int64_t g = 0; g < alignment->n_groups; g++) {
        const whet_i_group *group = &bound->groups[g];
        whet_i_rng rng;
        int64_t *room;
        whet_i_rng_init(&rng, seed, (uint64_t)g);
        if (group->n_runs > 0) {
            WHET_TRY(draw_runs(ctx, group, &rng, alignment->order[g][0]));
            continue;
        }
        if (!group->attention && group->blocks > 1) {
            WHET_TRY(whet_i_alloc(ctx, group->blocks + group->units / group->blocks, &room));
            draw_blocks(group, &rng, alignment->order[g][0], room);
            whet_i_free(ctx, room);
            continue;
        }
        if (!group->attention) {
            whet_i_rng_shuffle(&rng, alignment->order[g][0], group->units);
            continue;
        }
        WHET_TRY(whet_i_alloc(ctx, group->kv + group->heads + 2 * group->size, &room));
        draw_heads(group, &rng, alignment->order[g], room);
        whet_i_free(ctx, room);
    }
    return WHET_OK;
}

whet_status whet_alignment_random(whet_ctx *ctx, const whet_permutation_spec *spec,
                                  const whet_weights *a, uint64_t seed, whet_alignment **out) {
    whet_i_bound bound;
    whet_alignment *alignment = NULL;
    whet_status status = whet_i_bind(ctx, spec, a, NULL, false, &bound);
    if (status == WHET_OK) status = whet_i_alignment_create(ctx, &bound, &alignment);
    if (status == WHET_OK) status = draw(ctx, &bound, seed, alignment);
    if (status == WHET_OK)
        *out = alignment;
    else
        whet_alignment_destroy(ctx, alignment);
    whet_i_bound_free(ctx, &bound);
    return status;
}

/* ---- looking at them ------------------------------------------------------------------------------- */

const int64_t *whet_alignment_order(const whet_alignment *alignment, int64_t group, int32_t part,
                                    int64_t *n) {
    *n = alignment->count[group][part];
    return alignment->order[group][part];
}

double whet_alignment_objective(const whet_alignment *alignment) { return alignment->objective; }
double whet_alignment_identity(const whet_alignment *alignment) { return alignment->identity; }

void whet_alignment_distance(const whet_alignment *alignment, double *before, double *after) {
    *before = alignment->distance_before;
    *after = alignment->distance_after;
}

const whet_align_visit *whet_alignment_visits(const whet_alignment *alignment, int64_t *n) {
    *n = alignment->n_visits;
    return alignment->visits;
}

void whet_alignment_midpoint(const whet_alignment *alignment, double *matched, double *refined) {
    *matched = alignment->midpoint[0];
    *refined = alignment->midpoint[1];
}

int64_t whet_alignment_best_restart(const whet_alignment *alignment) { return alignment->best; }

/* ---- what they do to axes -------------------------------------------------------------------------- */

static int64_t count_of(const whet_i_bound *bound, const whet_i_piece *p) {
    return p->count ? p->count : whet_i_part_count(&bound->groups[p->group], p->part);
}

void whet_i_axis_places(const whet_i_bound *bound, const whet_i_axis *axis, int64_t n,
                        int32_t group, int32_t part, int64_t *out) {
    const int64_t repeat = whet_i_repeat(bound, axis, n);
    const int64_t all = whet_i_part_count(&bound->groups[group], part) * repeat;
    int64_t start = 0;
    for (int64_t i = 0; i < all; i++) out[i] = -1;
    for (int32_t p = 0; p < axis->n; p++) {
        const whet_i_piece *piece = &axis->pieces[p];
        const int64_t count = count_of(bound, piece) * repeat;
        if (piece->group == group && piece->part == part)
            for (int64_t i = 0; i < count; i++) out[piece->first * repeat + i] = start + i;
        start += count;
    }
}

/* Where unit u of a piece's group is on the axis: in this piece or in another of the group. */
static int64_t place_of(const whet_i_bound *bound, const whet_i_axis *axis, int64_t repeat,
                        const whet_i_piece *like, int64_t u) {
    int64_t start = 0;
    for (int32_t p = 0; p < axis->n; p++) {
        const whet_i_piece *piece = &axis->pieces[p];
        const int64_t count = count_of(bound, piece);
        if (piece->group == like->group && piece->part == like->part && u >= piece->first &&
            u < piece->first + count)
            return start + (u - piece->first) * repeat;
        start += count * repeat;
    }
    return -1; /* not once a specification is bound: every unit is on the axis */
}

void whet_i_axis_source(const whet_i_bound *bound, const whet_alignment *alignment,
                        const whet_i_axis *axis, int64_t n, int64_t *out) {
    const int64_t repeat = whet_i_repeat(bound, axis, n);
    int64_t start = 0;
    if (axis->n == 0)
        for (int64_t i = 0; i < n; i++) out[i] = i;
    for (int32_t p = 0; p < axis->n; p++) {
        const whet_i_piece *piece = &axis->pieces[p];
        const int64_t *order = alignment->order[piece->group][piece->part];
        const int64_t count = count_of(bound, piece);
        for (int64_t i = 0; i < count; i++) {
            const int64_t from = place_of(bound, axis, repeat, piece, order[piece->first + i]);
            for (int64_t k = 0; k < repeat; k++)
                out[start + i * repeat + k] = from < 0 ? start + i * repeat + k : from + k;
        }
        start += count * repeat;
    }
}

/* ---- what they do to tensors ------------------------------------------------------------------------ */

typedef struct mover {
    const char *from;
    char *to;
    int32_t rank;
    int64_t shape[WHET_RANK_MAX];
    int64_t bytes[WHET_RANK_MAX];         /* from one index to the next, contiguous */
    const int64_t *source[WHET_RANK_MAX]; /* NULL = as it is */
} mover;

static char *move_axis(const mover *m, int32_t axis, const char *from, char *to) {
    int32_t rest = axis;
    while (rest < m->rank && !m->source[rest]) rest++;
    if (rest == m->rank) { /* nothing moves any more */
        const int64_t bytes =
            axis < m->rank ? m->shape[axis] * m->bytes[axis] : m->bytes[m->rank - 1];
        memcpy(to, from, (size_t)bytes);
        return to + bytes;
    }
    for (int64_t i = 0; i < m->shape[axis]; i++) {
        const int64_t at = m->source[axis] ? m->source[axis][i] : i;
        to = move_axis(m, axis + 1, from + at * m->bytes[axis], to);
    }
    return to;
}

whet_status whet_i_move_tensor(whet_ctx *ctx, const whet_i_bound *bound,
                               const whet_alignment *alignment, int64_t i, const whet_tensor *from,
                               whet_tensor *out) {
    const whet_i_spec_tensor *s = &bound->spec->tensors[i];
    mover m = {.from = from->data, .rank = from->rank};
    int64_t *source[WHET_I_AXES_MAX] = {NULL}, step = (int64_t)whet_dtype_size(from->dtype);
    whet_status status = WHET_OK;
    WHET_TRY(whet_tensor_create(ctx, from->dtype, from->rank, from->shape, out));
    if (whet_tensor_count(from) == 0) return WHET_OK;
    for (int32_t x = from->rank - 1; x >= 0; x--) {
        m.shape[x] = from->shape[x];
        m.bytes[x] = step;
        step *= from->shape[x];
        if (x >= WHET_I_AXES_MAX || s->axes[x].n == 0) continue;
        WHET_TRY_DONE(whet_i_alloc(ctx, from->shape[x], &source[x]));
        whet_i_axis_source(bound, alignment, &s->axes[x], from->shape[x], source[x]);
        m.source[x] = source[x];
    }
    if (m.rank == 0)
        memcpy(out->data, from->data, whet_dtype_size(from->dtype));
    else
        (void)move_axis(&m, 0, from->data, out->data);
done:
    for (int32_t x = 0; x < WHET_I_AXES_MAX; x++) whet_i_free(ctx, source[x]);
    return status;
}

whet_status whet_alignment_apply(whet_ctx *ctx, const whet_permutation_spec *spec,
                                 const whet_alignment *alignment, const whet_weights *b,
                                 whet_named_tensor *out) {
    whet_i_bound bound;
    whet_status status;
    for (int64_t i = 0; i < b->n; i++) out[i] = (whet_named_tensor){b->items[i].name, {0}};
    WHET_TRY_DONE(whet_i_bind(ctx, spec, b, NULL, false, &bound));
    for (int64_t g = 0; g < spec->n_groups; g++)
        for (int32_t p = 0; p < WHET_I_PARTS; p++)
            if (whet_i_part_count(&bound.groups[g], p) != alignment->count[g][p]) {
                status = whet_i_fail(ctx, WHET_ERR_SHAPE,
                                     "permutations are of other sizes than the network's groups; "
                                     "expected those of this network");
                goto done;
            }
    for (int64_t i = 0; i < spec->n_tensors; i++)
        WHET_TRY_DONE(whet_i_move_tensor(ctx, &bound, alignment, i, &bound.a[i],
                                         &out[bound.place[i]].tensor));
done:
    for (int64_t i = 0; status != WHET_OK && i < b->n; i++)
        whet_tensor_destroy(ctx, &out[i].tensor);
    whet_i_bound_free(ctx, &bound);
    return status;
}
