/* SPDX-License-Identifier: Apache-2.0
 * Sparse rows over a weighted graph that is too large for a table: Dijkstra's algorithm from the classes of
 * each row, no farther than the row needs (hop_balls.c says how far). Memory O(N + edges), whatever K.
 * Sums of lengths are right to 1e-9 for paths of up to four million edges.
 * Legend: c the most probable class of a row, G(c) the norm of the distances to it, R radius. */
#include <math.h>

#include "space/near_ties.h"
#include "space/point_queue.h"

static const double ROUNDING = 1e-9;

typedef struct length_scratch {
    point_queue queue;
    double *far;                /* [n] infinite between searches */
    double *cost;               /* [n] of points in the ball; -1 elsewhere */
    double *weight;             /* [n] of the row's classes; 0 elsewhere */
    int32_t *touched, *settled; /* [n] of a search; settled by distance */
    int32_t *ball;              /* [n] */
    int64_t n_touched, n_settled, n_ball;
    double *to_centre; /* [most] d(c, j) of an entry */
    near_tie *near;    /* [n_candidates] */
} length_scratch;

typedef struct length_row {
    sparse_row row;
    int64_t centre;            /* an entry */
    int64_t left;              /* classes that c's search has not come to */
    double sum;                /* of p d(c, j)^q */
    double norm, radius, edge; /* G(c); R; the longest edge at c */
} length_row;

static int64_t point_of(const whet_frechet *f, const sparse_row *r, int64_t entry) {
    return f->observed[r->column[entry]];
}

/* ---- searches -------------------------------------------------------------------------------- */

/* Points by distance up to `limit`. From c (row not NULL) the limit is R, known on the way. */
static void search(const whet_frechet *f, length_scratch *s, int64_t from, double limit,
                   length_row *row) {
    const space_graph *g = &f->space->graph;
    double so_far;
    int32_t v;
    queue_begin(&s->queue, g->longest);
    s->n_settled = s->n_touched = 0;
    s->far[from] = 0;
    s->touched[s->n_touched++] = (int32_t)from;
    heap_push(&s->queue, (int32_t)from, 0);
    while (queue_peek(&s->queue, g, s->far, &v, &so_far) && !(so_far > limit)) {
        heap_pop(&s->queue);
        if (so_far > s->far[v]) continue;
        s->settled[s->n_settled++] = v;
        if (row && s->weight[v] > 0) {
            row->sum += s->weight[v] * powered(so_far, f->power);
            if (--row->left == 0) {
                row->norm = rooted(row->sum / row->row.mass, f->power);
                row->radius = fmax(row->radius, (2 * row->norm + row->edge) * (1 + ROUNDING));
                limit = row->radius;
            }
        }
        for (int64_t e = g->first[v]; e < g->first[v + 1]; e++) {
            const int32_t u = g->neighbour[e];
            const double length = so_far + g->length[e], old = s->far[u];
            if (length >= old || length > limit) continue;
            if (isinf(old)) s->touched[s->n_touched++] = u;
            s->far[u] = length;
            queue_push(&s->queue, u, old, length);
        }
    }
}

static void forget_search(length_scratch *s) {
    for (int64_t i = 0; i < s->n_touched; i++) s->far[s->touched[i]] = (double)INFINITY;
}

/* The ball around c, its costs 0 so far, and d(c, j). */
static void search_centre(const whet_frechet *f, length_scratch *s, length_row *r) {
    const int64_t centre = point_of(f, &r->row, r->centre);
    r->left = 0;
    r->sum = 0;
    for (int64_t e = 0; e < r->row.m; e++) {
        s->weight[point_of(f, &r->row, e)] = r->row.p[e] * r->row.scale;
        r->left += r->row.p[e] * r->row.scale > 0;
    }
    search(f, s, centre, (double)INFINITY, r);
    for (int64_t e = 0; e < r->row.m; e++) {
        s->to_centre[e] = s->far[point_of(f, &r->row, e)];
        s->weight[point_of(f, &r->row, e)] = 0;
    }
    s->n_ball = 0;
    for (int64_t i = 0; i < s->n_settled; i++) {
        const int32_t v = s->settled[i];
        if (s->far[v] > r->radius) break;
        s->ball[s->n_ball++] = v;
        s->cost[v] = 0;
    }
    forget_search(s);
}

static void add_entry(const whet_frechet *f, length_scratch *s, const length_row *r, int64_t e) {
    const double p = r->row.p[e] * r->row.scale;
    if (!(p > 0)) return;
    search(f, s, point_of(f, &r->row, e), (r->radius + s->to_centre[e]) * (1 + ROUNDING), NULL);
    for (int64_t i = 0; i < s->n_settled; i++) {
        const int32_t v = s->settled[i];
        if (s->cost[v] >= 0) s->cost[v] += p * powered(s->far[v], f->power);
    }
    forget_search(s);
}

/* ---- a row ----------------------------------------------------------------------------------- */

/* Whether what lies outside the ball can matter; the ball is then to be larger. */
static bool too_small(const whet_frechet *f, const length_scratch *s, double next, length_row *r) {
    const double norm = r->norm * (1 + ROUNDING), least = r->radius * (1 - ROUNDING) - norm;
    if (s->n_ball == f->space->n) return false;
    if (least > 0 && next < r->row.mass * powered(least, f->power) * (1 - ROUNDING)) return false;
    const double wanted = (norm + rooted(next / r->row.mass, f->power)) * (1 + 1e-6);
    r->radius = wanted > r->radius && wanted < 2 * r->radius ? wanted : 2 * r->radius;
    if (!(r->radius > 0)) r->radius = (double)INFINITY;
    return true;
}

static void take_ball(const whet_frechet *f, length_scratch *s, tally *best) {
    const int32_t *candidates = f->state; /* places of points among them; NULL: all are */
    *best = (tally){(double)INFINITY, (double)INFINITY, s->near, 0};
    for (int64_t i = 0; i < s->n_ball; i++) {
        const int32_t v = s->ball[i];
        const int64_t candidate = candidates ? candidates[v] : v;
        if (candidate >= 0 && !(s->cost[v] > best->next)) take_cost(best, s->cost[v], candidate);
        s->cost[v] = -1;
    }
}

static frechet_sparse_answer row(const whet_frechet *f, void *scratch, const int32_t *column,
                                 const double *p, int64_t m, int64_t at,
                                 const frechet_result *out) {
    const space_graph *g = &f->space->graph;
    length_scratch *s = scratch;
    length_row r = {.row = {column, p, m, 1, 0}};
    tally best;
    const frechet_sparse_answer wrong = weigh_row(&r.row);
    if (wrong != SPARSE_DONE) return wrong;
    for (int64_t e = 1; e < m; e++)
        if (p[e] > p[r.centre]) r.centre = e;
    const int64_t centre = point_of(f, &r.row, r.centre);
    for (int64_t e = g->first[centre]; e < g->first[centre + 1]; e++)
        r.edge = fmax(r.edge, g->length[e]);
    do {
        search_centre(f, s, &r);
        for (int64_t e = 0; e < m; e++) add_entry(f, s, &r, e);
        take_ball(f, s, &best);
    } while (too_small(f, s, best.next, &r));
    return tell_row(f, &best, r.row.mass, at, out);
}

/* ---- the plan -------------------------------------------------------------------------------- */

static void scratch_free(whet_ctx *ctx, void *scratch) {
    length_scratch *s = scratch;
    if (!s) return;
    whet_i_free(ctx, s->queue.point);
    whet_i_free(ctx, s->queue.priority);
    whet_i_free(ctx, s->queue.next);
    whet_i_free(ctx, s->queue.last);
    whet_i_free(ctx, s->far);
    whet_i_free(ctx, s->cost);
    whet_i_free(ctx, s->weight);
    whet_i_free(ctx, s->touched);
    whet_i_free(ctx, s->settled);
    whet_i_free(ctx, s->ball);
    whet_i_free(ctx, s->to_centre);
    whet_i_free(ctx, s->near);
    whet_i_free(ctx, s);
}

static whet_status scratch_create(whet_ctx *ctx, const whet_frechet *f, int64_t most,
                                  void **scratch) {
    const int64_t n = f->space->n, ends = f->space->graph.first[n] + 1;
    whet_status status = WHET_OK;
    length_scratch *s;
    WHET_TRY(whet_i_calloc(ctx, 1, &s));
    WHET_TRY_DONE(whet_i_alloc(ctx, ends, &s->queue.point));
    WHET_TRY_DONE(whet_i_alloc(ctx, ends, &s->queue.priority));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &s->queue.next));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &s->queue.last));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &s->far));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &s->cost));
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &s->weight));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &s->touched));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &s->settled));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &s->ball));
    WHET_TRY_DONE(whet_i_alloc(ctx, most, &s->to_centre));
    WHET_TRY_DONE(whet_i_alloc(ctx, f->n_candidates, &s->near));
    for (int64_t v = 0; v < n; v++) {
        s->far[v] = (double)INFINITY;
        s->cost[v] = -1;
    }
    *scratch = s;
    return WHET_OK;
done:
    scratch_free(ctx, s);
    return status;
}

static void plan_destroy(whet_ctx *ctx, void *state) { whet_i_free(ctx, state); }

static whet_status make(whet_ctx *ctx, whet_frechet *f) {
    int32_t *candidates;
    WHET_TRY(whet_i_frechet_places(ctx, f, &candidates));
    f->state = candidates;
    return WHET_OK;
}

static bool serves(const whet_frechet *f) {
    return f->sparse && f->top == 1 && f->space->kind == SPACE_GRAPH && f->space->graph.length;
}

static const char *why(const whet_frechet *f) {
    (void)f;
    return "a table of distances would be over 512 MiB, and take longer or more than half of the "
           "memory: the "
           "classes of each row are searched from";
}

static whet_status sizes(whet_ctx *ctx, const whet_frechet *f, frechet_sizes *out) {
    const double n = (double)f->space->n, candidates = (double)f->n_candidates;
    (void)ctx;
    out->held = out->making = f->n_candidates < f->space->n ? 4 * n : 0;
    out->thread = 60 * n + 12 * (double)f->space->graph.first[f->space->n] + 16 * candidates;
    return WHET_OK;
}

static const struct frechet_entries ENTRIES = {
    .create = scratch_create, .free = scratch_free, .row = row};

const frechet_method whet_i_method_length_searches = {
    .name = "length-searches",
    .title = "searches by entries",
    .cost = "O(m edges log N), less where classes are near",
    .needs = "a graph whose edges have lengths, rows that come entry by entry, and the best "
             "candidate alone (top 1)",
    .serves = serves,
    .pays = whet_i_graph_table_is_large,
    .why = why,
    .sizes = sizes,
    .make = make,
    .entries = &ENTRIES,
    .destroy = plan_destroy};
