/* SPDX-License-Identifier: Apache-2.0
 * Sparse rows over a large graph or matrix: the distances of a row's m observed points, weighted and added
 * over all candidates in f64, m N sums that stream through memory. On graphs balls of candidates are passed
 * over: G(y) = (F(y) / S)^(1/q), the norm in L^q(p) of the distances to y, is 1-Lipschitz in y, so that
 * within r of c nothing is below G(c) - r. Candidates are sorted by the nearest of some centres; a ball that
 * cannot hold the least cost, a tie or the next distinct cost is skipped, exactly.
 * Legend: S mass, q power, r radius. */
#include <math.h>

#include "space/frechet_i.h"
#include "space/graph_rows.h"
#include "space/near_ties.h"
#include "space/screen_i.h"

enum { BALL = 512, CENTRES_MOST = 1024, FAR = 64 };

typedef struct sparse_table {
    graph_rows rows;   /* graphs: to the candidates, sorted by ball */
    int64_t *slot;     /* graphs: [n_candidates] the candidate in each place */
    int64_t balls;     /* 0: no centres */
    int64_t *first;    /* [balls + 1] places of a ball */
    double *radius;    /* [balls] */
    double *to_centre; /* [k, balls] distances of the observed to the centres */
} sparse_table;

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
ADD_POWERS(add_powers8, uint8_t)
ADD_POWERS(add_powers16, uint16_t)
ADD_POWERS(add_powers32, uint32_t)
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
    const sparse_table *t = f->state;
    memset(sum, 0, sizeof *sum * (size_t)n);
    for (int64_t e = 0; e < r->m; e++) {
        const double p = r->p[e] * r->scale;
        if (!(p > 0)) continue;
        const int64_t at = r->column[e] * t->rows.n + from;
        if (t->rows.hops8)
            add_powers8(t->rows.hops8 + at, n, p, f->power, sum);
        else if (t->rows.hops16)
            add_powers16(t->rows.hops16 + at, n, p, f->power, sum);
        else if (t->rows.hops32)
            add_powers32(t->rows.hops32 + at, n, p, f->power, sum);
        else if (t->rows.lengths)
            add_powers64(t->rows.lengths + at, n, p, f->power, sum);
        else
            add_matrix(f, f->observed[r->column[e]], from, n, p, sum);
    }
}

static void take_ball(const whet_frechet *f, sparse_scratch *s, const sparse_row *r, int64_t from,
                      int64_t to, tally *out) {
    const sparse_table *t = f->state;
    for (int64_t at = from; at < to; at += BALL) {
        const int64_t n = to - at < BALL ? to - at : BALL;
        add_places(f, r, at, n, s->sum);
        for (int64_t i = 0; i < n; i++)
            if (!(s->sum[i] > out->next))
                take_cost(out, s->sum[i], t->slot ? t->slot[at + i] : at + i);
    }
}

/* ---- balls ----------------------------------------------------------------------------------- */

/* G at every centre; gives the ball that promises least. */
static int64_t measure_centres(const sparse_table *t, int32_t power, const sparse_row *r,
                               double *norm) {
    int64_t best = 0;
    memset(norm, 0, sizeof *norm * (size_t)t->balls);
    for (int64_t e = 0; e < r->m; e++)
        add_powers64(t->to_centre + r->column[e] * t->balls, t->balls, r->p[e] * r->scale, power,
                     norm);
    for (int64_t b = 0; b < t->balls; b++) {
        norm[b] = rooted(norm[b] / r->mass, power);
        if (norm[b] - t->radius[b] < norm[best] - t->radius[best]) best = b;
    }
    return best;
}

/* The least that a ball can hold, rounding allowed for. */
static double ball_bound(const sparse_table *t, int32_t power, double mass, double norm,
                         int64_t ball) {
    const double least = norm * (1 - 1e-12) - t->radius[ball];
    if (!(least > 0)) return 0;
    return (1 - 1e-12) * mass * powered(least, power);
}

static frechet_sparse_answer row(const whet_frechet *f, void *scratch, const int32_t *column,
                                 const double *p, int64_t m, int64_t at,
                                 const frechet_result *out) {
    const sparse_table *t = f->state;
    sparse_scratch *s = scratch;
    tally best = {(double)INFINITY, (double)INFINITY, s->near, 0};
    sparse_row r = {column, p, m, 1, 0};
    const frechet_sparse_answer wrong = weigh_row(&r);
    if (wrong != SPARSE_DONE) return wrong;
    if (t->balls == 0) {
        take_ball(f, s, &r, 0, f->n_candidates, &best);
    } else {
        const int64_t first = measure_centres(t, f->power, &r, s->norm);
        take_ball(f, s, &r, t->first[first], t->first[first + 1], &best);
        for (int64_t b = 0; b < t->balls; b++)
            if (b != first && !(ball_bound(t, f->power, r.mass, s->norm[b], b) > best.next))
                take_ball(f, s, &r, t->first[b], t->first[b + 1], &best);
    }
    return tell_row(f, &best, r.mass, at, out);
}

/* ---- the plan -------------------------------------------------------------------------------- */

/* Each candidate to the nearest centre (the first of equals): distances from all centres, a few at a
 * time. centre [balls] points; ball, far [n_candidates]. */
static whet_status assign_balls(whet_ctx *ctx, const whet_frechet *f, const int64_t *centre,
                                sparse_table *t, int32_t *ball, double *far) {
    whet_status status = WHET_OK;
    const int64_t n = f->space->n;
    double *d = NULL;
    for (int64_t c = 0; c < f->n_candidates; c++) far[c] = (double)INFINITY;
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &d));
    for (int64_t b = 0; b < t->balls; b++) {
        WHET_TRY_DONE(whet_i_graph_distances(ctx, &f->space->graph, n, centre[b], d));
        for (int64_t c = 0; c < f->n_candidates; c++) {
            if (!(d[f->candidates[c]] < far[c])) continue;
            far[c] = d[f->candidates[c]];
            ball[c] = (int32_t)b;
        }
        for (int64_t j = 0; j < f->k; j++) t->to_centre[j * t->balls + b] = d[f->observed[j]];
        WHET_TRY_DONE(whet_i_progress(ctx, "balls of candidates", b + 1, t->balls));
    }
done:
    whet_i_free(ctx, d);
    return status;
}

static void sort_balls(const whet_frechet *f, sparse_table *t, const int32_t *ball,
                       const double *far) {
    for (int64_t c = 0; c < f->n_candidates; c++) {
        t->first[ball[c] + 1]++;
        t->radius[ball[c]] = fmax(t->radius[ball[c]], far[c]);
    }
    for (int64_t b = 0; b < t->balls; b++) t->first[b + 1] += t->first[b];
    /* Filling moves each start to its end; then one place back. */
    for (int64_t c = 0; c < f->n_candidates; c++) t->slot[t->first[ball[c]]++] = c;
    for (int64_t b = t->balls; b > 0; b--) t->first[b] = t->first[b - 1];
    t->first[0] = 0;
}

/* How many edges of mean length it is to the farthest node. */
static whet_status depth_of(whet_ctx *ctx, const whet_frechet *f, double *out) {
    const space_graph *g = &f->space->graph;
    const int64_t n = f->space->n, ends = g->first[n];
    double *d, far = 0, mean = 0;
    WHET_TRY(whet_i_alloc(ctx, n, &d));
    const whet_status status = whet_i_graph_distances(ctx, g, n, f->observed[0], d);
    for (int64_t v = 0; status == WHET_OK && v < n; v++) far = fmax(far, d[v]);
    for (int64_t i = 0; i < ends; i++) mean += whet_i_edge_length(g, i) / (double)ends;
    whet_i_free(ctx, d);
    *out = mean > 0 ? far / mean : 0;
    return status;
}

/* Of a graph of a few hops every ball holds everything: balls are for those that reach far. */
static whet_status make_balls(whet_ctx *ctx, const whet_frechet *f, sparse_table *t) {
    whet_status status = WHET_OK;
    int64_t *centre = NULL;
    int32_t *ball = NULL;
    double *far = NULL;
    double depth;
    whet_i_rng rng;
    whet_i_rng_init(&rng, 0, 0);
    WHET_TRY_DONE(depth_of(ctx, f, &depth));
    WHET_TRY_DONE(whet_i_alloc(ctx, f->n_candidates, &t->slot));
    for (int64_t c = 0; c < f->n_candidates; c++) t->slot[c] = c;
    t->balls = f->n_candidates / BALL < CENTRES_MOST ? f->n_candidates / BALL : CENTRES_MOST;
    if (t->balls < 8 || depth < FAR) {
        t->balls = 0;
        goto done;
    }
    WHET_TRY_DONE(whet_i_alloc(ctx, t->balls, &centre));
    for (int64_t b = 0; b < t->balls; b++)
        centre[b] = f->candidates[whet_i_rng_below(&rng, f->n_candidates)];
    WHET_TRY_DONE(whet_i_calloc(ctx, f->n_candidates, &ball));
    WHET_TRY_DONE(whet_i_alloc(ctx, f->n_candidates, &far));
    WHET_TRY_DONE(whet_i_calloc(ctx, t->balls + 1, &t->first));
    WHET_TRY_DONE(whet_i_calloc(ctx, t->balls, &t->radius));
    WHET_TRY_DONE(whet_i_alloc(ctx, f->k * t->balls, &t->to_centre));
    WHET_TRY_DONE(assign_balls(ctx, f, centre, t, ball, far));
    sort_balls(f, t, ball, far);
done:
    whet_i_free(ctx, far);
    whet_i_free(ctx, ball);
    whet_i_free(ctx, centre);
    return status;
}

static whet_status take_graph(whet_ctx *ctx, const whet_frechet *f, sparse_table *t) {
    const int64_t m = f->n_candidates;
    int64_t *points;
    WHET_TRY(make_balls(ctx, f, t));
    WHET_TRY(whet_i_alloc(ctx, m, &points));
    for (int64_t i = 0; i < m; i++) points[i] = f->candidates[t->slot[i]];
    const whet_status status =
        whet_i_graph_rows_make(ctx, f->space, f->observed, f->k, points, m, &t->rows);
    whet_i_free(ctx, points);
    return status;
}

static void plan_destroy(whet_ctx *ctx, void *state) {
    sparse_table *t = state;
    if (!t) return;
    whet_i_graph_rows_free(ctx, &t->rows);
    whet_i_free(ctx, t->slot);
    whet_i_free(ctx, t->first);
    whet_i_free(ctx, t->radius);
    whet_i_free(ctx, t->to_centre);
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
    const sparse_table *t = f->state;
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
    sparse_table *t = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &t));
    if (f->space->kind == SPACE_GRAPH) WHET_TRY_DONE(take_graph(ctx, f, t));
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
    const double n = (double)f->space->n, k = (double)f->k, candidates = (double)f->n_candidates;
    const double balls = fmin(candidates / BALL, CENTRES_MOST);
    *out = (frechet_sizes){.thread = 16 * candidates + 8 * (balls + BALL)};
    if (f->space->kind != SPACE_GRAPH) return WHET_OK;
    double width;
    WHET_TRY(whet_i_graph_width(ctx, f, &width));
    out->held = width * k * candidates + 8 * candidates + 8 * balls * k;
    out->making = out->held + 8 * (n + candidates) + whet_i_graph_search_bytes(ctx, f, width, true);
    return WHET_OK;
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
