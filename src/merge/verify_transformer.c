/* SPDX-License-Identifier: Apache-2.0
 * Whether a specification keeps a transformer's function: each of its layers, between embeddings and heads,
 * is run with drawn weights on a few tokens, as it is and under drawn permutations. What a whole network
 * reads and writes in one order (hidden states) may move as the specification says; what it is there for
 * (logits; of an encoder without a head for classes its hidden states) stays, or the specification says that
 * it does not. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "merge/transformer_probe.h"

/* Rounding of sums in another order is some 1e-6 of the outputs' size. */
static const double MOST = 1e-3;
/* Draws of small networks are cheap, and of few units some move nothing. */
enum { DRAWS = 2, DRAWS_OF_SMALL = 8, SMALL = 1 << 20, TOLD = 3, NAMES_SIZE = 400 };

typedef struct verifier {
    whet_ctx *ctx;
    const whet_permutation_spec *spec;
    whet_weights weights; /* those that the specification knows */
    whet_named_tensor *items;
    whet_i_transformer t;
    whet_i_bound bound;
    whet_i_probe probe;
    whet_tensor *moved; /* [parameters of the probe] */
    bool *read;         /* [weights] */
    double most, size;  /* of one comparison: the largest difference, the largest output */
    const char *what;
} verifier;

static int64_t spec_place(const verifier *v, int64_t weight) {
    return whet_names_find(v->spec->names, whet_str_from(v->weights.items[weight].name));
}

/* ---- what needs no run ----------------------------------------------------------------------------- */

/* Rows of tables (tokens, positions, classes), and what rotary embeddings number. */
static whet_status check_tables(const verifier *v) {
    char quoted[WHET_QUOTE_SIZE], group[WHET_QUOTE_SIZE];
    for (int64_t i = 0; i < v->spec->n_tensors; i++) {
        const whet_i_spec_tensor *s = &v->spec->tensors[i];
        const bool table = whet_i_transformer_is_table(&v->t, s->name);
        const bool norm = whet_i_transformer_is_head_norm(&v->t, s->name, &v->bound.a[i]);
        if (s->axes[0].n == 0 || (!table && !norm)) continue;
        const whet_i_group *g = &v->spec->groups[s->axes[0].pieces[0].group];
        return whet_i_fail(
            v->ctx, WHET_ERR_DATA,
            "specification: tensor %s: axis 0 is of %s, and numbers %s; expected null",
            whet_i_quote(quoted, whet_str_from(s->name)),
            whet_i_quote(group, whet_str_from(g->name)),
            table ? "tokens, positions or classes" : "what turns inside each head");
    }
    return WHET_OK;
}

static whet_status check_heads(const verifier *v) {
    const whet_i_transformer *t = &v->t;
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t i = 0; i < v->spec->n_groups; i++) {
        const whet_i_group *g = &v->spec->groups[i];
        if (!g->attention || (g->heads == t->heads && g->kv == t->kv && g->size == t->size))
            continue;
        return whet_i_fail(v->ctx, WHET_ERR_DATA,
                           "specification: group %s has %" PRId64 " heads, %" PRId64
                           " of keys and values, of %" PRId64
                           " numbers; expected the network's %" PRId64 ", %" PRId64 " and %" PRId64,
                           whet_i_quote(quoted, whet_str_from(g->name)), g->heads, g->kv, g->size,
                           t->heads, t->kv, t->size);
    }
    return WHET_OK;
}

/* ---- one layer ------------------------------------------------------------------------------------- */

/* Differences of one output; its columns are numbered by `order`. */
static whet_status compare_one(verifier *v, const whet_alignment *alignment,
                               const whet_i_probe_output *out) {
    static const whet_i_axis still = {0};
    const int64_t at = out->order ? whet_names_find(v->spec->names, whet_str_from(out->order)) : -1;
    const whet_i_axis *axis = at < 0 ? &still : &v->spec->tensors[at].axes[0];
    double most = 0, size = 0;
    int64_t *from;
    WHET_TRY(whet_i_alloc(v->ctx, out->columns, &from));
    whet_i_axis_source(&v->bound, alignment, axis, out->columns, from);
    for (int64_t i = 0; i < out->rows; i++)
        for (int64_t j = 0; j < out->columns; j++) {
            const double a = (double)out->values[0][i * out->columns + from[j]];
            const double d = fabs(a - (double)out->values[1][i * out->columns + j]);
            most = d > most || isnan(d) ? d : most;
            size = fmax(size, fabs(a));
        }
    whet_i_free(v->ctx, from);
    if (most <= MOST * size || v->what) return WHET_OK;
    v->what = out->what;
    v->most = most;
    v->size = size;
    return WHET_OK;
}

/* what: the first output that differs, or NULL. */
static whet_status run_moved(verifier *v, const whet_alignment *alignment) {
    whet_i_probe *p = &v->probe;
    whet_status status = WHET_OK;
    v->what = NULL;
    for (int64_t i = 0; i < p->n; i++)
        WHET_TRY_DONE(whet_i_move_tensor(v->ctx, &v->bound, alignment, spec_place(v, p->place[i]),
                                         &p->drawn[i], &v->moved[i]));
    WHET_TRY_DONE(whet_i_probe_run(v->ctx, p, v->moved, 1));
    for (int i = 0; i < p->n_outputs; i++) WHET_TRY_DONE(compare_one(v, alignment, &p->outputs[i]));
done:
    for (int64_t i = 0; i < p->n; i++) whet_tensor_destroy(v->ctx, &v->moved[i]);
    return status;
}

/* Whether a group numbers anything of this layer. */
static bool is_here(const verifier *v, int64_t group) {
    for (int64_t i = 0; i < v->probe.n; i++) {
        const whet_i_spec_tensor *s = &v->spec->tensors[spec_place(v, v->probe.place[i])];
        for (int32_t x = 0; x < s->rank; x++)
            for (int32_t k = 0; k < s->axes[x].n; k++)
                if (s->axes[x].pieces[k].group == group) return true;
    }
    return false;
}

/* Groups that change the function when nothing else moves, by name. */
static whet_status name_groups(verifier *v, const whet_alignment *drawn, whet_i_buf *names) {
    whet_alignment *alone = NULL;
    int64_t told = 0;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_buf_printf(v->ctx, names, "%s", ""));
    for (int64_t g = 0; g < v->spec->n_groups && told < TOLD; g++) {
        char quoted[WHET_QUOTE_SIZE];
        if (!is_here(v, g)) continue;
        WHET_TRY(whet_i_alignment_create(v->ctx, &v->bound, &alone));
        for (int32_t part = 0; part < WHET_I_PARTS; part++)
            if (alone->order[g][part])
                memcpy(alone->order[g][part], drawn->order[g][part],
                       (size_t)drawn->count[g][part] * sizeof(int64_t));
        status = run_moved(v, alone);
        whet_alignment_destroy(v->ctx, alone);
        WHET_TRY(status);
        if (!v->what) continue;
        WHET_TRY(whet_i_buf_printf(v->ctx, names, "%s%s", told ? ", " : "",
                                   whet_i_quote(quoted, whet_str_from(v->spec->groups[g].name))));
        told++;
    }
    return WHET_OK;
}

static whet_status refuse(verifier *v, const whet_alignment *drawn) {
    const char *what = v->what;
    const double most = v->most, size = v->size;
    whet_i_buf names = {0};
    whet_status status = name_groups(v, drawn, &names);
    if (status == WHET_OK)
        status = whet_i_fail(v->ctx, WHET_ERR_DATA,
                             "specification: drawn permutations%s%s change %s of layer %" PRId64
                             " by %.3g, of %.3g; expected the same function: an axis lacks its "
                             "group, or has another's",
                             names.len ? " of " : "", names.len ? names.data : "", what,
                             v->probe.layer, most, size);
    whet_i_buf_free(v->ctx, &names);
    return status;
}

/* Numbers that are the same for every unit need no order. */
static bool is_alike(const verifier *v, int64_t weight) {
    static const char *const ends[] = {"position_ids", "rotary_emb.inv_freq"};
    const char *name = v->weights.items[weight].name;
    for (int i = 0; i < 2; i++)
        if (whet_i_ends_with(name, ends[i])) return true;
    return whet_i_transformer_is_head_norm(&v->t, name, &v->weights.items[weight].tensor);
}

/* Tensors of heads and layers that are not known here; *first one of them. */
static int64_t count_unread(const verifier *v, const char **first) {
    int64_t n = 0;
    for (int64_t i = 0; i < v->weights.n; i++) {
        if (v->read[i] || is_alike(v, i)) continue;
        if (n++ == 0) *first = v->weights.items[i].name;
    }
    return n;
}

static void warn_of_unread(const verifier *v, const char *where) {
    char quoted[WHET_QUOTE_SIZE];
    const char *first;
    const int64_t n = count_unread(v, &first);
    if (n == 0) return;
    whet_i_log(v->ctx, WHET_LOG_WARN,
               "%s: %" PRId64 " tensors (%s%s) are of no network that can be run here: that "
               "permutations keep what they do is not verified",
               where, n, whet_i_quote(quoted, whet_str_from(first)), n > 1 ? ", ..." : "");
}

/* What it is there for moves, and nobody says so; a head that is not known may read it. */
static whet_status check_outputs(const verifier *v) {
    char quoted[WHET_QUOTE_SIZE];
    const char *unread;
    if (count_unread(v, &unread) > 0) return WHET_OK;
    for (int i = 0; i < v->probe.n_outputs; i++) {
        const whet_i_probe_output *out = &v->probe.outputs[i];
        const int64_t at =
            out->order ? whet_names_find(v->spec->names, whet_str_from(out->order)) : -1;
        if (!out->last || at < 0 || v->spec->tensors[at].axes[0].n == 0) continue;
        const whet_i_group *g = &v->spec->groups[v->spec->tensors[at].axes[0].pieces[0].group];
        if (g->output) continue;
        return whet_i_fail(v->ctx, WHET_ERR_DATA,
                           "specification: group %s numbers %s, which nothing reads: they come in "
                           "another order; expected null there, or \"output\": true in the group, "
                           "where that is meant",
                           whet_i_quote(quoted, whet_str_from(g->name)), out->what);
    }
    return WHET_OK;
}

static whet_status verify_drawn(verifier *v) {
    const int draws = v->probe.count <= SMALL ? DRAWS_OF_SMALL : DRAWS;
    WHET_TRY(whet_i_probe_run(v->ctx, &v->probe, v->probe.drawn, 0));
    for (int seed = 1; seed <= draws; seed++) {
        whet_alignment *drawn;
        WHET_TRY(whet_alignment_random(v->ctx, v->spec, &v->weights, (uint64_t)seed, &drawn));
        whet_status status = run_moved(v, drawn);
        if (status == WHET_OK && v->what) status = refuse(v, drawn);
        whet_alignment_destroy(v->ctx, drawn);
        WHET_TRY(status);
    }
    for (int64_t i = 0; i < v->probe.n; i++) v->read[v->probe.place[i]] = true;
    return check_outputs(v);
}

static whet_status verify_layer(verifier *v, int64_t layer) {
    WHET_TRY(whet_i_progress(v->ctx, "verify", layer, v->t.layers));
    whet_status status = whet_i_probe_make(v->ctx, &v->t, layer, &v->probe);
    if (status == WHET_OK) status = whet_i_calloc(v->ctx, v->probe.n, &v->moved);
    if (status == WHET_OK) status = verify_drawn(v);
    whet_i_free(v->ctx, v->moved);
    v->moved = NULL;
    whet_i_probe_free(v->ctx, &v->probe);
    return status;
}

/* ---- all of them ----------------------------------------------------------------------------------- */

/* A model that ties its output layer may be given with its table once more, under that layer's name. */
static whet_status take_known(verifier *v, const whet_weights *weights) {
    WHET_TRY(whet_i_calloc(v->ctx, weights->n, &v->items));
    for (int64_t i = 0; i < weights->n; i++)
        if (whet_names_find(v->spec->names, whet_str_from(weights->items[i].name)) >= 0)
            v->items[v->weights.n++] = weights->items[i];
    v->weights.items = v->items;
    return whet_i_calloc(v->ctx, v->weights.n, &v->read);
}

/* Heads that nobody tells are those of the attentions. */
static whet_permutation_hints with_heads(const verifier *v, const whet_permutation_hints *hints) {
    whet_permutation_hints out = *hints;
    for (int64_t i = 0; i < v->spec->n_groups && out.heads == 0; i++)
        if (v->spec->groups[i].attention)
            out = (whet_permutation_hints){v->spec->groups[i].heads, 0, v->spec->groups[i].size, 0};
    return out;
}

static whet_status verify(verifier *v, const char *where, const whet_weights *weights,
                          const char *model_type, const whet_permutation_hints *hints) {
    WHET_TRY(take_known(v, weights));
    WHET_TRY(whet_i_bind(v->ctx, v->spec, &v->weights, NULL, false, &v->bound));
    const whet_permutation_hints heads = with_heads(v, hints);
    WHET_TRY(whet_i_transformer_find(v->ctx, &v->weights, model_type, &heads, &v->t));
    WHET_TRY(check_tables(v));
    WHET_TRY(check_heads(v));
    for (int64_t i = 0; i < v->t.layers; i++) WHET_TRY(verify_layer(v, i));
    warn_of_unread(v, where);
    return whet_i_progress(v->ctx, "verify", v->t.layers, v->t.layers);
}

whet_status whet_i_verify_transformer(whet_ctx *ctx, const char *where,
                                      const whet_permutation_spec *spec,
                                      const whet_weights *weights, const char *model_type,
                                      const whet_permutation_hints *hints) {
    verifier v = {.ctx = ctx, .spec = spec};
    const whet_status status = verify(&v, where, weights, model_type, hints);
    whet_i_bound_free(ctx, &v.bound);
    whet_i_free(ctx, v.items);
    whet_i_free(ctx, v.read);
    return status;
}
