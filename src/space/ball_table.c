/* SPDX-License-Identifier: Apache-2.0
 * A graph's distances from the observed points to the candidates, sorted into balls: each candidate to the
 * nearest of some centres. G(y) = (F(y) / S)^(1/q), the norm in L^q(p) of the distances to y, is
 * 1-Lipschitz in y, so that within r of c nothing is below G(c) - r.
 * Legend: S mass, q power, r radius. */
#include "space/ball_table.h"

#include <math.h>

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
ADD_POWERS(add_powers64, double)

void whet_i_ball_table_add(const ball_table *t, int64_t observed, int64_t from, int64_t n, double p,
                           int32_t power, double *sum) {
    const int64_t at = observed * t->rows.n + from;
    if (t->rows.hops8)
        add_powers8(t->rows.hops8 + at, n, p, power, sum);
    else if (t->rows.hops16)
        add_powers16(t->rows.hops16 + at, n, p, power, sum);
    else if (t->rows.hops32)
        add_powers32(t->rows.hops32 + at, n, p, power, sum);
    else
        add_powers64(t->rows.lengths + at, n, p, power, sum);
}

/* ---- balls ----------------------------------------------------------------------------------- */

int64_t whet_i_ball_table_measure(const ball_table *t, int32_t power, const sparse_row *r,
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

double whet_i_ball_table_bound(const ball_table *t, int32_t power, double mass, double norm,
                               int64_t ball) {
    const double least = norm * (1 - 1e-12) - t->radius[ball];
    if (!(least > 0)) return 0;
    return (1 - 1e-12) * mass * powered(least, power);
}

/* ---- making --------------------------------------------------------------------------------- */

/* Each candidate to the nearest centre (the first of equals): distances from all centres, a few at a
 * time. centre [balls] points; ball, far [n_candidates]. */
static whet_status assign_balls(whet_ctx *ctx, const whet_frechet *f, const int64_t *centre,
                                ball_table *t, int32_t *ball, double *far) {
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

static void sort_balls(const whet_frechet *f, ball_table *t, const int32_t *ball,
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
static whet_status make_balls(whet_ctx *ctx, const whet_frechet *f, ball_table *t) {
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

whet_status whet_i_ball_table_make(whet_ctx *ctx, const whet_frechet *f, ball_table *t) {
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

void whet_i_ball_table_free(whet_ctx *ctx, ball_table *t) {
    whet_i_graph_rows_free(ctx, &t->rows);
    whet_i_free(ctx, t->slot);
    whet_i_free(ctx, t->first);
    whet_i_free(ctx, t->radius);
    whet_i_free(ctx, t->to_centre);
    *t = (ball_table){0};
}

whet_status whet_i_ball_table_sizes(whet_ctx *ctx, const whet_frechet *f, frechet_sizes *out) {
    const double n = (double)f->space->n, k = (double)f->k, candidates = (double)f->n_candidates;
    const double balls = fmin(candidates / BALL, CENTRES_MOST);
    double width;
    WHET_TRY(whet_i_graph_width(ctx, f, &width));
    out->held = width * k * candidates + 8 * candidates + 8 * balls * k;
    out->making = out->held + 8 * (n + candidates) + whet_i_graph_search_bytes(ctx, f, width, true);
    return WHET_OK;
}
