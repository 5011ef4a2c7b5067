/* SPDX-License-Identifier: Apache-2.0
 * Sparse rows over a large graph or matrix: the distances of a row's m observed points, weighted and added
 * over all candidates in f64, m N sums that stream through memory. On graphs balls of candidates are passed
 * over (ball_table.c): a ball that cannot hold the least cost, a tie or the next distinct cost is skipped,
 * exactly. */
#include <math.h>

#include "space/ball_table.h"
#include "space/screen_i.h"

typedef struct sparse_scratch {
    double *sum;    /* [BALL] costs */
    double *norm;   /* [balls] G at its centre */
    near_tie *near; /* [n_candidates] within a tie of the least at their time */
} sparse_scratch;

/* ---- sums ------------------------------------------------------------------------------------ */

#define ADD_POWERS(name, type) \
    static void name(const type *d, int64_t n, double p, int32_t power, double *sum) { \
        if (power == 2) \
            for (int64_t i = 0; i < n; i++) sum[i] += p * ((double)d[i] * (double)d[i]); \
        else \
            for (int64_t i = 0; i < n; i++) sum[i] += p * (double)d[i]; \
    }
ADD_POWERS(add_powers_float, float)
ADD_POWERS(add_powers64, double)

/* Of a row of a matrix, where some points are candidates: theirs alone. */
#define ADD_GATHERED(name, type) \
    static void name(const type *d, const int64_t *points, int64_t n, double p, int32_t power, \
                     double *sum) { \
        if (power == 2) \
            for (int64_t i = 0; i < n; i++) \
                sum[i] += p * ((double)d[points[i]] * (double)d[points[i]]); \
        else \
            for (int64_t i = 0; i < n; i++) sum[i] += p * (double)d[points[i]]; \
    }
ADD_GATHERED(add_gathered32, float)
ADD_GATHERED(add_gathered64, double)

/* Those of the distances of one observed point in a matrix: a place is a candidate. */
static void add_matrix(const whet_frechet *f, int64_t observed, int64_t from, int64_t n, double p,
                       double *sum) {
    const space_matrix *matrix = &f->space->matrix;
    const int64_t row = (matrix->row ? matrix->row[observed] : observed) * f->space->n;
    const bool all = f->n_candidates == f->space->n;
    if (matrix->f32 && all)
        add_powers_float(matrix->f32 + row + from, n, p, f->power, sum);
    else if (matrix->f32)
        add_gathered32(matrix->f32 + row, f->candidates + from, n, p, f->power, sum);
    else if (all)
        add_powers64(matrix->f64 + row + from, n, p, f->power, sum);
    else
        add_gathered64(matrix->f64 + row, f->candidates + from, n, p, f->power, sum);
}

/* Costs of places from .. from + n - 1. */
static void add_places(const whet_frechet *f, const sparse_row *r, int64_t from, int64_t n,
                       double *sum) {
    memset(sum, 0, sizeof *sum * (size_t)n);
    for (int64_t e = 0; e < r->m; e++) {
        const double p = r->p[e] * r->scale;
        if (!(p > 0)) continue;
        if (f->space->kind == SPACE_GRAPH)
            whet_i_ball_table_add(f->state, r->column[e], from, n, p, f->power, sum);
        else
            add_matrix(f, f->observed[r->column[e]], from, n, p, sum);
    }
}

static void take_ball(const whet_frechet *f, sparse_scratch *s, const sparse_row *r, int64_t from,
                      int64_t to, tally *out) {
    const ball_table *t = f->state;
    for (int64_t at = from; at < to; at += BALL) {
        const int64_t n = to - at < BALL ? to - at : BALL;
        add_places(f, r, at, n, s->sum);
        for (int64_t i = 0; i < n; i++)
            if (!(s->sum[i] > out->next))
                take_cost(out, s->sum[i], t->slot ? t->slot[at + i] : at + i);
    }
}

static frechet_sparse_answer row(const whet_frechet *f, void *scratch, const int32_t *column,
                                 const double *p, int64_t m, int64_t at,
                                 const frechet_result *out) {
    const ball_table *t = f->state;
    sparse_scratch *s = scratch;
    tally best = {(double)INFINITY, (double)INFINITY, s->near, 0};
    sparse_row r = {column, p, m, 1, 0};
    const frechet_sparse_answer wrong = weigh_row(&r);
    if (wrong != SPARSE_DONE) return wrong;
    if (t->balls == 0) {
        take_ball(f, s, &r, 0, f->n_candidates, &best);
    } else {
        const int64_t first = whet_i_ball_table_measure(t, f->power, &r, s->norm);
        take_ball(f, s, &r, t->first[first], t->first[first + 1], &best);
        for (int64_t b = 0; b < t->balls; b++)
            if (b != first &&
                !(whet_i_ball_table_bound(t, f->power, r.mass, s->norm[b], b) > best.next))
                take_ball(f, s, &r, t->first[b], t->first[b + 1], &best);
    }
    return tell_row(f, &best, r.mass, at, out);
}

/* ---- the plan -------------------------------------------------------------------------------- */

static void plan_destroy(whet_ctx *ctx, void *state) {
    ball_table *t = state;
    if (!t) return;
    whet_i_ball_table_free(ctx, t);
    whet_i_free(ctx, t);
}

static void scratch_free(whet_ctx *ctx, void *scratch) {
    sparse_scratch *s = scratch;
    if (!s) return;
    whet_i_free(ctx, s->sum);
    whet_i_free(ctx, s->norm);
    whet_i_free(ctx, s->near);
    whet_i_free(ctx, s);
}

static whet_status scratch_create(whet_ctx *ctx, const whet_frechet *f, int64_t most,
                                  void **scratch) {
    const ball_table *t = f->state;
    whet_status status = WHET_OK;
    sparse_scratch *s;
    (void)most;
    WHET_TRY(whet_i_calloc(ctx, 1, &s));
    WHET_TRY_DONE(whet_i_alloc(ctx, BALL, &s->sum));
    WHET_TRY_DONE(whet_i_alloc(ctx, t->balls, &s->norm));
    WHET_TRY_DONE(whet_i_alloc(ctx, f->n_candidates, &s->near));
    *scratch = s;
    return WHET_OK;
done:
    scratch_free(ctx, s);
    return status;
}

static whet_status make(whet_ctx *ctx, whet_frechet *f) {
    whet_status status = WHET_OK;
    ball_table *t = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &t));
    if (f->space->kind == SPACE_GRAPH) WHET_TRY_DONE(whet_i_ball_table_make(ctx, f, t));
    f->state = t;
    t = NULL;
done:
    plan_destroy(ctx, t);
    return status;
}

static bool serves(const whet_frechet *f) {
    return f->sparse && f->top == 1 &&
           (f->space->kind == SPACE_MATRIX || f->space->kind == SPACE_GRAPH);
}

static bool pays(const whet_frechet *f) {
    return whet_i_screen_pays(f, f->k) && !f->space->graph.matrix.f64;
}

static const char *why(const whet_frechet *f) {
    return f->space->kind == SPACE_GRAPH
               ? "rows come entry by entry: the distances from their entries are added up"
               : "rows come entry by entry: the table's rows of their entries are added up";
}

static whet_status sizes(whet_ctx *ctx, const whet_frechet *f, frechet_sizes *out) {
    const double candidates = (double)f->n_candidates;
    const double balls = fmin(candidates / BALL, CENTRES_MOST);
    *out = (frechet_sizes){.thread = 16 * candidates + 8 * (balls + BALL)};
    return f->space->kind == SPACE_GRAPH ? whet_i_ball_table_sizes(ctx, f, out) : WHET_OK;
}

static const struct frechet_entries ENTRIES = {
    .create = scratch_create, .free = scratch_free, .row = row};

const frechet_method whet_i_method_table_entries = {
    .name = "table-entries",
    .title = "table by entries",
    .cost = "O(m N), balls passed over",
    .needs = "a matrix or a graph, rows that come entry by entry, and the best candidate alone "
             "(top 1)",
    .serves = serves,
    .pays = pays,
    .why = why,
    .sizes = sizes,
    .make = make,
    .entries = &ENTRIES,
    .destroy = plan_destroy};
