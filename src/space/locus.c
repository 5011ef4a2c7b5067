/* SPDX-License-Identifier: Apache-2.0
 * The locus: which candidates the Frechet mean can reach from what is observed. Here candidates with
 * equal distances become one, the way for the space is chosen, and its answers are told for all. */
#include <math.h>
#include <stdlib.h>

#include "space/locus_i.h"

/* Rows of distances that are made at a time. */
enum { PANEL_VALUES = 1 << 18 };

void whet_locus_free(whet_ctx *ctx, whet_locus *locus) {
    whet_i_free(ctx, locus->classes);
    *locus = (whet_locus){0};
}

/* ---- distances to the observed --------------------------------------------------------------- */

/* Squares of roots of integers are those integers, on grids. */
void whet_i_locus_rows(const locus_work *w, const int64_t *points, int64_t n, double *out) {
    const int64_t k = w->k;
    const bool whole = w->space->kind == SPACE_GRID;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < k; j++) {
            const double d = w->table ? w->table[j * w->space->n + points[i]]
                                      : whet_space_distance(w->space, points[i], w->observed[j]);
            out[i * k + j] = whole ? nearbyint(d * d) : d * d;
        }
    }
}

/* Large graphs answer single distances by a search each: all searches from the observed, once. */
static whet_status make_table(whet_ctx *ctx, locus_work *w, double **out) {
    const whet_space *s = w->space;
    int64_t values;
    double *table;
    if (s->kind != SPACE_GRAPH || s->graph.matrix.f64) return WHET_OK;
    WHET_TRY(whet_i_mul(ctx, w->k, s->n, &values));
    WHET_TRY(whet_i_check_room(ctx, "the table of distances for the locus",
                               (double)values * sizeof *table, "fewer observed classes"));
    WHET_TRY(whet_i_alloc(ctx, values, &table));
    const whet_status status = whet_i_graph_table(ctx, &s->graph, s->n, w->observed, w->k, table);
    if (status == WHET_OK)
        w->table = *out = table;
    else
        whet_i_free(ctx, table);
    return status;
}

/* ---- candidates that cannot be told apart ---------------------------------------------------- */

typedef struct column {
    uint64_t hash[2];
    int64_t place;
} column;

static int by_hash(const void *left, const void *right) {
    const column *a = left, *b = right;
    for (int i = 0; i < 2; i++)
        if (a->hash[i] != b->hash[i]) return a->hash[i] < b->hash[i] ? -1 : 1;
    return (a->place > b->place) - (a->place < b->place);
}

static void hash_row(const double *row, int64_t k, uint64_t hash[2]) {
    hash[0] = 0;
    hash[1] = 0x9e3779b97f4a7c15U;
    for (int64_t j = 0; j < k; j++) {
        uint64_t bits;
        const double d = row[j] + 0.0; /* -0 is 0 */
        memcpy(&bits, &d, sizeof bits);
        hash[0] = whet_i_hash_u64(hash[0] ^ bits);
        hash[1] = whet_i_hash_u64(hash[1] + 3 * bits);
    }
}

static whet_status hash_columns(whet_ctx *ctx, const locus_work *w, const int64_t *candidates,
                                int64_t n, column *columns) {
    const int64_t most = PANEL_VALUES / w->k, rows = most < 1 ? 1 : most < n ? most : n;
    whet_status status = WHET_OK;
    double *panel;
    WHET_TRY(whet_i_alloc(ctx, rows * w->k, &panel));
    for (int64_t at = 0; at < n; at += rows) {
        const int64_t count = n - at < rows ? n - at : rows;
        whet_i_locus_rows(w, candidates + at, count, panel);
        for (int64_t i = 0; i < count; i++) {
            hash_row(panel + i * w->k, w->k, columns[at + i].hash);
            columns[at + i].place = at + i;
        }
        WHET_TRY_DONE(whet_i_progress(ctx, "measuring candidates", at, n));
    }
done:
    whet_i_free(ctx, panel);
    return status;
}

/* Representatives of any space: the first of candidates whose distances are the same bits (128 bits
 * of hash: two in a million differ unseen with probability 1e-27). */
static whet_status merge_twins(whet_ctx *ctx, const int64_t *candidates, int64_t n, locus_work *w,
                               whet_locus_class *classes, int64_t *of) {
    whet_status status = WHET_OK;
    column *columns;
    int64_t *first = NULL;
    WHET_TRY(whet_i_alloc(ctx, n, &columns));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &first));
    WHET_TRY_DONE(hash_columns(ctx, w, candidates, n, columns));
    qsort(columns, (size_t)n, sizeof *columns, by_hash);
    for (int64_t i = 0; i < n; i++) {
        const bool same =
            i > 0 && memcmp(columns[i].hash, columns[i - 1].hash, sizeof columns[i].hash) == 0;
        first[columns[i].place] = same ? first[columns[i - 1].place] : columns[i].place;
    }
    for (int64_t i = 0; i < n; i++) {
        const bool twin = first[i] != i;
        classes[i] = (whet_locus_class){.point = candidates[i],
                                        .reason = twin ? WHET_REASON_TWIN : WHET_REASON_MIXTURE,
                                        .other = twin ? candidates[first[i]] : -1};
        of[i] = twin ? of[first[i]] : w->n;
        if (twin) continue;
        w->point[w->n] = candidates[i];
        w->reach[w->n++] = WHET_REACH_UNDECIDED;
    }
done:
    whet_i_free(ctx, first);
    whet_i_free(ctx, columns);
    return status;
}

/* ---- the way ---------------------------------------------------------------------------------- */

/* One observed point: the nearest candidates tie, alone or not. */
static whet_status settle_single(whet_ctx *ctx, locus_work *w) {
    double *row, least = INFINITY;
    int64_t tied = 0, seen = 0;
    WHET_TRY(whet_i_alloc(ctx, w->n, &row));
    whet_i_locus_rows(w, w->point, w->n, row);
    for (int64_t i = 0; i < w->n; i++) least = fmin(least, row[i]);
    for (int64_t i = 0; i < w->n; i++) tied += row[i] <= least;
    for (int64_t i = 0; i < w->n; i++) {
        w->reach[i] = WHET_REACH_NEVER;
        if (row[i] > least) continue;
        w->reach[i] = tied == 1   ? WHET_REACH_ALONE
                      : seen == 0 ? WHET_REACH_PREDICTED
                                  : WHET_REACH_TIED;
        seen++;
    }
    whet_i_free(ctx, row);
    return WHET_OK;
}

/* The observed among the candidates cost nothing where they are certain. */
static whet_status mark_observed(whet_ctx *ctx, locus_work *w) {
    bool *observed;
    WHET_TRY(whet_i_calloc(ctx, w->space->n, &observed));
    for (int64_t j = 0; j < w->k; j++) observed[w->observed[j]] = true;
    for (int64_t i = 0; i < w->n; i++)
        if (observed[w->point[i]]) w->reach[i] = WHET_REACH_ALONE;
    whet_i_free(ctx, observed);
    return WHET_OK;
}

static bool is_left(const locus_work *w) {
    for (int64_t i = 0; i < w->n; i++)
        if (w->reach[i] == WHET_REACH_UNDECIDED) return true;
    return false;
}

static whet_status decide(whet_ctx *ctx, locus_work *w, bool *envelope) {
    *envelope = false;
    if (!is_left(w)) return WHET_OK;
    if (w->k == 1) return settle_single(ctx, w);
    *envelope = w->k == 2;
    if (w->k == 2) return whet_i_locus_envelope(ctx, w);
    if (w->k == 3) WHET_TRY(whet_i_locus_three(ctx, w));
    return is_left(w) ? whet_i_locus_programmes(ctx, w) : WHET_OK;
}

/* Of twins the first is predicted and none is alone. */
static whet_status tell_all(whet_ctx *ctx, const locus_work *w, const int64_t *of, bool envelope,
                            whet_locus *l) {
    int64_t *members;
    bool *observed = NULL;
    WHET_TRY(whet_i_calloc(ctx, w->n, &members));
    const whet_status status = whet_i_calloc(ctx, w->space->n, &observed);
    for (int64_t j = 0; status == WHET_OK && j < w->k; j++) observed[w->observed[j]] = true;
    for (int64_t i = 0; i < l->n; i++)
        if (of[i] >= 0) members[of[i]]++;
    for (int64_t i = 0; status == WHET_OK && i < l->n; i++) {
        whet_locus_class *c = &l->classes[i];
        if (of[i] >= 0) {
            const whet_reach reach = w->reach[of[i]];
            const bool first = w->point[of[i]] == c->point;
            c->reach = reach;
            if (reach == WHET_REACH_ALONE && members[of[i]] > 1) c->reach = WHET_REACH_PREDICTED;
            if (!first && (reach == WHET_REACH_ALONE || reach == WHET_REACH_PREDICTED))
                c->reach = WHET_REACH_TIED;
            if (envelope && c->reason == WHET_REASON_MIXTURE) c->reason = WHET_REASON_ENVELOPE;
        }
        if (observed[c->point]) c->reason = WHET_REASON_OBSERVED;
        l->count[c->reach]++;
    }
    whet_i_free(ctx, observed);
    whet_i_free(ctx, members);
    return status;
}

whet_status whet_locus_find(whet_ctx *ctx, const whet_space *space, const int64_t *observed,
                            int64_t k, const whet_frechet_opts *opts, whet_locus *out) {
    whet_frechet_opts o = WHET_FRECHET_OPTS_INIT;
    whet_status status = WHET_OK;
    locus_work w = {.space = space, .k = k};
    whet_locus l = {0};
    int64_t *candidates = NULL, *of = NULL, *copy = NULL;
    double *table = NULL;
    bool envelope;
    WHET_TRY(whet_i_opts(ctx, opts, &o, sizeof o, "whet_frechet_opts"));
    if (k < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%lld observed classes; expected 1 or more",
                           (long long)k);
    WHET_TRY_DONE(whet_i_points_copy(ctx, space, "observed class", observed, k, &copy));
    w.observed = copy;
    WHET_TRY_DONE(whet_i_candidates_take(ctx, space, observed, k, &o, &candidates, &l.n));
    WHET_TRY_DONE(whet_i_calloc(ctx, l.n, &l.classes));
    WHET_TRY_DONE(whet_i_alloc(ctx, l.n, &of));
    WHET_TRY_DONE(whet_i_alloc(ctx, l.n, &w.point));
    WHET_TRY_DONE(whet_i_alloc(ctx, l.n, &w.reach));
    WHET_TRY_DONE(make_table(ctx, &w, &table));
    WHET_TRY_DONE(space->kind == SPACE_TREE
                      ? whet_i_locus_tree(ctx, candidates, l.n, &w, l.classes, of)
                      : merge_twins(ctx, candidates, l.n, &w, l.classes, of));
    WHET_TRY_DONE(mark_observed(ctx, &w));
    WHET_TRY_DONE(decide(ctx, &w, &envelope));
    WHET_TRY_DONE(tell_all(ctx, &w, of, envelope, &l));
    l.programmes = w.programmes;
    *out = l;
    l = (whet_locus){0};
done:
    whet_i_free(ctx, table);
    whet_i_free(ctx, w.reach);
    whet_i_free(ctx, w.point);
    whet_i_free(ctx, of);
    whet_i_free(ctx, candidates);
    whet_i_free(ctx, copy);
    whet_locus_free(ctx, &l);
    return status;
}
