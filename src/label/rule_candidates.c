/* SPDX-License-Identifier: Apache-2.0
 * Candidates for labelling functions: their lists, and fitting one. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "label/label_i.h"
#include "label/rule_candidates.h"

enum {
    MOST_SUBSETS = 2000000,
    MOST_SINGLE = 2048,
    LADDER_DEPTH = 3,
    NEIGHBOURS = 5,
    TRIES = 64,
    DRAWN = 8
};

/* ---- rows apart ------------------------------------------------------------------------------- */

void whet_i_rows_free(whet_ctx *ctx, whet_i_rows *r) {
    whet_i_free(ctx, r->labelled);
    whet_i_free(ctx, r->y);
    whet_i_free(ctx, r->unlabelled);
    whet_i_free(ctx, r->mean);
    whet_i_free(ctx, r->scale);
    *r = (whet_i_rows){0};
}

static whet_status check_labels(whet_ctx *ctx, const whet_synth_input *in, int64_t *labelled) {
    const int64_t k = whet_names_count(in->classes);
    int32_t first = -1;
    bool two = false;
    for (int64_t i = 0; i < in->n; i++) {
        const int32_t y = in->labels[i];
        if (y < -1 || y >= k)
            return whet_i_fail(ctx, WHET_ERR_ARG,
                               "label of row %" PRId64 " is %d; expected -1 to %" PRId64, i, y,
                               k - 1);
        if (y < 0) continue;
        two = two || (first >= 0 && y != first);
        first = y;
        ++*labelled;
    }
    if (two) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "%" PRId64 " labels of %s; expected at least 2 classes among the labels",
                       *labelled, first < 0 ? "no class" : "one class");
}

static void measure_columns(const whet_synth_input *in, double *mean, double *scale) {
    for (int64_t j = 0; j < in->d; j++) mean[j] = scale[j] = 0;
    for (int64_t i = 0; i < in->n; i++)
        for (int64_t j = 0; j < in->d; j++) mean[j] += (double)in->features[i * in->d + j];
    for (int64_t j = 0; j < in->d; j++) mean[j] /= (double)in->n;
    for (int64_t i = 0; i < in->n; i++)
        for (int64_t j = 0; j < in->d; j++) {
            const double gap = (double)in->features[i * in->d + j] - mean[j];
            scale[j] += gap * gap;
        }
    for (int64_t j = 0; j < in->d; j++) {
        scale[j] = sqrt(scale[j] / (double)in->n);
        if (!(scale[j] > 1e-7 * fabs(mean[j]))) scale[j] = 0; /* f32 knows no more digits */
    }
}

/* In tiles, for one of the two sides strides. */
static void transpose_unlabelled(const whet_synth_input *in, const int64_t *row, whet_i_rows *r) {
    enum { TILE = 64 };
    for (int64_t from = 0; from < r->u; from += TILE)
        for (int64_t j = 0; j < in->d; j++)
            for (int64_t i = from; i < r->u && i < from + TILE; i++)
                r->unlabelled[j * r->u + i] = in->features[row[i] * in->d + j];
}

whet_status whet_i_rows_build(whet_ctx *ctx, const whet_synth_input *in, whet_i_rows *out) {
    whet_status status = WHET_OK;
    whet_i_rows r = {.n = in->n, .d = in->d, .x = in->features};
    int64_t *row = NULL, cells;
    if (!in->features || !in->labels || !in->classes || in->n < 0 || in->d < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG, "expected features, labels and classes");
    r.k = whet_names_count(in->classes);
    WHET_TRY_DONE(check_labels(ctx, in, &r.b));
    WHET_TRY_DONE(whet_i_check_finite(ctx, "features", in->features, in->n, in->d));
    r.u = r.n - r.b;
    WHET_TRY_DONE(whet_i_mul(ctx, r.u, r.d, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, r.b, &r.labelled));
    WHET_TRY_DONE(whet_i_alloc(ctx, r.b, &r.y));
    WHET_TRY_DONE(whet_i_alloc(ctx, r.u, &row));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &r.unlabelled));
    WHET_TRY_DONE(whet_i_alloc(ctx, r.d, &r.mean));
    WHET_TRY_DONE(whet_i_alloc(ctx, r.d, &r.scale));
    r.b = r.u = 0;
    for (int64_t i = 0; i < r.n; i++) {
        if (in->labels[i] < 0) {
            row[r.u++] = i;
            continue;
        }
        r.y[r.b] = in->labels[i];
        r.labelled[r.b++] = i;
    }
    measure_columns(in, r.mean, r.scale);
    transpose_unlabelled(in, row, &r);
    *out = r;
    r = (whet_i_rows){0};
done:
    whet_i_free(ctx, row);
    whet_i_rows_free(ctx, &r);
    return status;
}

/* ---- lists ------------------------------------------------------------------------------------ */

void whet_i_candidates_free(whet_ctx *ctx, whet_i_candidates *list) {
    whet_i_free(ctx, list->item);
    whet_i_free(ctx, list->input);
    *list = (whet_i_candidates){0};
}

/* Subsets in the order in which they were made. */
typedef struct subsets {
    int32_t *input;
    int64_t *first, *size;
    int64_t n, cap, used, room;
} subsets;

static void subsets_free(whet_ctx *ctx, subsets *s) {
    whet_i_free(ctx, s->input);
    whet_i_free(ctx, s->first);
    whet_i_free(ctx, s->size);
}

static whet_status add_subset(whet_ctx *ctx, subsets *s, const int32_t *input, int64_t size) {
    if (s->n == s->cap) {
        const int64_t cap = s->cap ? 2 * s->cap : 256;
        WHET_TRY(whet_i_realloc(ctx, &s->first, cap));
        WHET_TRY(whet_i_realloc(ctx, &s->size, cap));
        s->cap = cap;
    }
    if (s->used + size > s->room) {
        const int64_t room = 2 * s->room + size + 256;
        WHET_TRY(whet_i_realloc(ctx, &s->input, room));
        s->room = room;
    }
    memcpy(s->input + s->used, input, sizeof *input * (size_t)size);
    s->first[s->n] = s->used;
    s->size[s->n++] = size;
    s->used += size;
    return WHET_OK;
}

static double choose(int64_t d, int64_t c) {
    double ways = 1;
    for (int64_t i = 0; i < c; i++) ways *= (double)(d - i) / (double)(i + 1);
    return ways;
}

static whet_status every_subset(whet_ctx *ctx, int64_t d, int64_t c, subsets *s) {
    whet_status status = WHET_OK;
    int32_t *at;
    WHET_TRY(whet_i_alloc(ctx, c, &at));
    for (int64_t i = 0; i < c; i++) at[i] = (int32_t)i;
    for (;;) {
        WHET_TRY_DONE(add_subset(ctx, s, at, c));
        int64_t i = c - 1;
        while (i >= 0 && at[i] == d - c + i) i--;
        if (i < 0) break;
        at[i]++;
        for (i++; i < c; i++) at[i] = at[i - 1] + 1;
    }
done:
    whet_i_free(ctx, at);
    return status;
}

static int by_index(const void *left, const void *right) {
    const int32_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

/* c different features, ascending, by the first steps of a shuffle of order [d]. */
static void draw(whet_i_rng *rng, int32_t *order, int64_t d, int64_t c, int32_t *out) {
    for (int64_t i = 0; i < c; i++) {
        const int64_t other = i + whet_i_rng_below(rng, d - i);
        const int32_t kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
    memcpy(out, order, sizeof *out * (size_t)c);
    qsort(out, (size_t)c, sizeof *out, by_index);
}

/* `wanted` different subsets, cardinalities from, from - 1, ..., to in turn; fewer when TRIES draws in
 * a row were there already. */
static whet_status drawn_subsets(whet_ctx *ctx, int64_t d, int64_t from, int64_t to, int64_t wanted,
                                 whet_i_rng *rng, subsets *s) {
    whet_status status = WHET_OK;
    whet_names *seen = NULL;
    int32_t *order = NULL, *drawn = NULL;
    int64_t c = from, tries = 0;
    WHET_TRY_DONE(whet_names_create(ctx, &seen));
    WHET_TRY_DONE(whet_i_alloc(ctx, d, &order));
    WHET_TRY_DONE(whet_i_alloc(ctx, from, &drawn));
    for (int64_t i = 0; i < d; i++) order[i] = (int32_t)i;
    while (whet_names_count(seen) < wanted && tries < TRIES * (from - to + 1)) {
        const int64_t before = whet_names_count(seen);
        draw(rng, order, d, c, drawn);
        const whet_str key = {(const char *)drawn, c * (int64_t)sizeof *drawn};
        WHET_TRY_DONE(whet_names_add(ctx, seen, key, NULL));
        tries++;
        if (whet_names_count(seen) > before) {
            WHET_TRY_DONE(add_subset(ctx, s, drawn, c));
            tries = 0;
        }
        c = c == to ? from : c - 1;
    }
done:
    whet_names_destroy(ctx, seen);
    whet_i_free(ctx, order);
    whet_i_free(ctx, drawn);
    return status;
}

/* Candidates of a family on all subsets of one size, behind those in the list. */
static void list_family(const subsets *s, int64_t size, whet_i_rule_kind kind, int32_t depth,
                        whet_i_candidates *list) {
    for (int64_t i = 0; i < s->n; i++)
        if (s->size[i] == size)
            list->item[list->n++] = (whet_i_candidate){kind, depth, (int32_t)size, s->first[i]};
}

/* The list takes the inputs over. */
static whet_status begin_list(whet_ctx *ctx, subsets *s, int64_t families,
                              whet_i_candidates *list) {
    int64_t cap;
    WHET_TRY(whet_i_mul(ctx, s->n, families, &cap));
    WHET_TRY(whet_i_alloc(ctx, cap, &list->item));
    list->input = s->input;
    s->input = NULL;
    for (int64_t i = 0; i < s->n; i++)
        list->most = s->size[i] > list->most ? s->size[i] : list->most;
    return WHET_OK;
}

whet_status whet_i_candidates_all(whet_ctx *ctx, int64_t d, int32_t cardinality, int64_t wanted,
                                  uint64_t seed, whet_i_candidates *out) {
    whet_status status = WHET_OK;
    whet_i_candidates list = {0};
    subsets s = {0};
    const int64_t most = cardinality < d ? cardinality : d;
    whet_i_rng rng;
    double all = 0;
    for (int64_t c = 1; c <= most; c++) all += choose(d, c);
    const bool some = wanted > 0 && (double)wanted < all;
    if ((some ? (double)wanted : all) > MOST_SUBSETS)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%.3g subsets of up to %" PRId64 " of %" PRId64
                           " features; expected at most %d; try to draw some of them",
                           some ? (double)wanted : all, most, d, MOST_SUBSETS);
    whet_i_rng_init(&rng, seed, 0);
    if (some) WHET_TRY_DONE(drawn_subsets(ctx, d, most, 1, wanted, &rng, &s));
    for (int64_t c = 1; !some && c <= most; c++) WHET_TRY_DONE(every_subset(ctx, d, c, &s));
    WHET_TRY_DONE(begin_list(ctx, &s, 2, &list));
    for (int64_t c = 1; c <= most; c++) {
        list_family(&s, c, WHET_I_RULE_TREE, 1, &list);
        list_family(&s, c, WHET_I_RULE_LOGISTIC, 0, &list);
    }
    *out = list;
    list = (whet_i_candidates){0};
done:
    subsets_free(ctx, &s);
    whet_i_candidates_free(ctx, &list);
    return status;
}

whet_status whet_i_candidates_ladder(whet_ctx *ctx, int64_t d, int64_t wanted, uint64_t seed,
                                     whet_i_candidates *out) {
    whet_status status = WHET_OK;
    whet_i_candidates list = {0};
    subsets s = {0};
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, 0);
    WHET_TRY_DONE(drawn_subsets(ctx, d, 1, 1, d < MOST_SINGLE ? d : MOST_SINGLE, &rng, &s));
    for (int64_t c = 4; c < d; c *= 4) WHET_TRY_DONE(drawn_subsets(ctx, d, c, c, wanted, &rng, &s));
    if (d > 1) WHET_TRY_DONE(drawn_subsets(ctx, d, d, d, 1, &rng, &s));
    WHET_TRY_DONE(begin_list(ctx, &s, 3, &list));
    list_family(&s, 1, WHET_I_RULE_TREE, 1, &list);
    list_family(&s, 1, WHET_I_RULE_LOGISTIC, 0, &list);
    for (int64_t c = 4; c < d; c *= 4) {
        list_family(&s, c, WHET_I_RULE_TREE, LADDER_DEPTH, &list);
        list_family(&s, c, WHET_I_RULE_LOGISTIC, 0, &list);
        list_family(&s, c, WHET_I_RULE_NEIGHBOURS, 0, &list);
    }
    if (d > 1) list_family(&s, d, WHET_I_RULE_LOGISTIC, 0, &list);
    if (d > 1) list_family(&s, d, WHET_I_RULE_NEIGHBOURS, 0, &list);
    *out = list;
    list = (whet_i_candidates){0};
done:
    subsets_free(ctx, &s);
    whet_i_candidates_free(ctx, &list);
    return status;
}

whet_status whet_i_candidates_make(whet_ctx *ctx, int64_t d, int32_t cardinality, int64_t wanted,
                                   uint64_t seed, whet_i_candidates *out) {
    if (cardinality) return whet_i_candidates_all(ctx, d, cardinality, wanted, seed, out);
    return whet_i_candidates_ladder(ctx, d, wanted ? wanted : DRAWN, seed, out);
}

void whet_i_candidate_name(const whet_i_candidates *list, int64_t candidate, char out[96]) {
    const whet_i_candidate *c = &list->item[candidate];
    const int32_t *input = list->input + c->first;
    const char *family = c->kind == WHET_I_RULE_LOGISTIC     ? "logistic"
                         : c->kind == WHET_I_RULE_NEIGHBOURS ? "neighbours"
                         : c->depth == 1                     ? "stump"
                                                             : "tree";
    int used = snprintf(out, 96, "%s", family);
    if (c->inputs > 4) {
        (void)snprintf(out + used, (size_t)(96 - used), " of %d features, %d first", c->inputs,
                       input[0]);
        return;
    }
    for (int32_t j = 0; j < c->inputs; j++)
        used += snprintf(out + used, (size_t)(96 - used), " %d", input[j]);
}

/* ---- fitting one ------------------------------------------------------------------------------ */

void whet_i_fitter_free(whet_ctx *ctx, whet_i_fitter *f) {
    whet_i_free(ctx, f->z);
    whet_i_free(ctx, f->y);
    whet_i_free(ctx, f->input);
    whet_i_free(ctx, f->vote);
    whet_i_free(ctx, f->least);
    whet_i_free(ctx, f->leaf);
    whet_i_free(ctx, f->weight);
    whet_i_free(ctx, f->bias);
    whet_i_free(ctx, f->room);
    whet_i_free(ctx, f->probs_room);
    whet_i_free(ctx, f->node);
    whet_i_free(ctx, f->tree_room);
    *f = (whet_i_fitter){0};
}

whet_status whet_i_fitter_create(whet_ctx *ctx, const whet_i_candidates *list, int64_t rows,
                                 int64_t outs, whet_i_fitter *out) {
    whet_status status = WHET_OK;
    whet_i_fitter f = {0};
    char *tree_room = NULL;
    int32_t depth = 1;
    int64_t cells, weights, leaves;
    for (int64_t c = 0; c < list->n; c++)
        depth = list->item[c].depth > depth ? list->item[c].depth : depth;
    const int64_t nodes = ((int64_t)2 << depth) - 1;
    WHET_TRY_DONE(whet_i_mul(ctx, rows + 1, list->most, &cells));
    WHET_TRY_DONE(whet_i_mul(ctx, list->most, outs, &weights));
    WHET_TRY_DONE(whet_i_mul(ctx, nodes, outs, &leaves));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &f.z));
    WHET_TRY_DONE(whet_i_alloc(ctx, rows + 1, &f.y));
    WHET_TRY_DONE(whet_i_alloc(ctx, list->most, &f.input));
    WHET_TRY_DONE(whet_i_alloc(ctx, outs, &f.vote));
    WHET_TRY_DONE(whet_i_alloc(ctx, outs, &f.least));
    WHET_TRY_DONE(whet_i_alloc(ctx, leaves, &f.leaf));
    WHET_TRY_DONE(whet_i_alloc(ctx, weights, &f.weight));
    WHET_TRY_DONE(whet_i_alloc(ctx, outs, &f.bias));
    /* In the span of the labelled rows theta is kept beside what solving takes (candidate_span.c). */
    WHET_TRY_DONE(whet_i_alloc(
        ctx, whet_i_subset_logistic_room(rows + 1, list->most, outs) + weights, &f.room));
    WHET_TRY_DONE(whet_i_alloc(ctx, 2 * NEIGHBOURS + list->most, &f.probs_room));
    WHET_TRY_DONE(whet_i_alloc(ctx, nodes, &f.node));
    WHET_TRY_DONE(whet_i_alloc(ctx, whet_i_tree_room(rows + 1, outs), &tree_room));
    f.tree_room = tree_room;
    *out = f;
    f = (whet_i_fitter){0};
done:
    whet_i_fitter_free(ctx, &f);
    return status;
}

static void gather(const whet_i_fit_task *t, const int32_t *input, int64_t inputs, bool standard,
                   whet_i_fitter *f) {
    for (int64_t i = 0; i < t->n; i++) {
        const float *x = t->rows->x + t->rows->labelled[t->place[i]] * t->rows->d;
        float *z = f->z + i * inputs;
        f->y[i] = t->target[t->place[i]];
        for (int64_t j = 0; j < inputs; j++)
            z[j] = standard ? whet_i_standard(t->rows, x, input[j]) : x[input[j]];
    }
    if (!t->mirrored) return;
    for (int64_t j = 0; j < inputs; j++) f->z[t->n * inputs + j] = -f->z[j];
    f->y[t->n] = 1 - f->y[0];
}

/* From standardised columns to those there are. */
static void scale_back(const whet_i_rows *r, whet_i_model *m) {
    for (int64_t j = 0; j < m->inputs; j++) {
        const double scale = r->scale[m->input[j]], mean = r->mean[m->input[j]];
        for (int64_t o = 0; o < m->outs; o++) {
            double *w = &m->weight[j * m->outs + o];
            *w = scale > 0 ? *w / scale : 0;
            m->bias[o] -= *w * mean;
        }
    }
}

void whet_i_candidate_fit(const whet_i_fit_task *t, whet_i_fitter *f) {
    const whet_i_candidate *c = &t->list->item[t->candidate];
    const int32_t *input = t->list->input + c->first;
    const bool standard = t->standard && c->kind == WHET_I_RULE_LOGISTIC;
    whet_i_model *m = &f->model;
    if (!t->span) gather(t, input, c->inputs, standard, f);
    const whet_i_few few = {f->z, f->y, t->n + (t->mirrored ? 1 : 0), c->inputs, t->outs};
    *m = (whet_i_model){.kind = c->kind, .inputs = c->inputs, .outs = t->outs};
    m->input = f->input;
    m->vote = f->vote;
    m->least = f->least;
    for (int32_t j = 0; j < c->inputs; j++) f->input[j] = input[j];
    if (c->kind == WHET_I_RULE_TREE) {
        m->node = f->node;
        m->leaf = f->leaf;
        m->nodes = whet_i_tree_fit(&few, c->depth, f->node, f->leaf, f->tree_room);
    } else if (c->kind == WHET_I_RULE_LOGISTIC) {
        m->weight = f->weight;
        m->bias = f->bias;
        if (t->span) {
            whet_i_candidate_fit_in_span(t, f);
            return;
        }
        whet_i_subset_logistic_fit(&few, 1, f->weight, f->bias, f->room);
        if (standard) scale_back(t->rows, m);
    } else {
        m->point = f->z;
        m->of = f->y;
        m->points = few.n;
        m->neighbours = few.n < NEIGHBOURS ? few.n : NEIGHBOURS;
    }
}
