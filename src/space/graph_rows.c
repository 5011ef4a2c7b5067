/* SPDX-License-Identifier: Apache-2.0
 * Searches from observed points of a graph, into the smallest numbers that hold what they find. Unit
 * lengths: HOP_SOURCES at a time (hop_search.c), into their place where they lie by point, else into a
 * block that is turned round. */
#include "space/graph_rows.h"

#include "space/hop_search.h"

void whet_i_graph_rows_free(whet_ctx *ctx, graph_rows *r) {
    whet_i_free(ctx, r->hops8);
    whet_i_free(ctx, r->hops16);
    whet_i_free(ctx, r->hops32);
    whet_i_free(ctx, r->lengths);
    *r = (graph_rows){0};
}

/* ---- how far it can be ----------------------------------------------------------------------- */

static int64_t farthest(const double *d, int64_t n) {
    int64_t far = 0;
    for (int64_t v = 1; v < n; v++)
        if (d[v] > d[far]) far = v;
    return far;
}

/* From v half the way back to where d [n] was measured from. */
static int64_t half_way(const space_graph *g, const double *d, int64_t v) {
    for (const double half = d[v] / 2; d[v] > half;) {
        int64_t e = g->first[v];
        while (!(d[g->neighbour[e]] < d[v])) e++;
        v = g->neighbour[e];
    }
    return v;
}

/* From m in the middle of a long path: what is farthest from m, and the observed point that is, are an
 * upper bound together. */
whet_status whet_i_graph_longest(whet_ctx *ctx, const whet_space *space, const int64_t *observed,
                                 int64_t k, int64_t *out) {
    const space_graph *g = &space->graph;
    const int64_t n = space->n;
    whet_status status = WHET_OK;
    double *d, most = 0;
    WHET_TRY(whet_i_alloc(ctx, n, &d));
    WHET_TRY_DONE(whet_i_graph_distances(ctx, g, n, observed[0], d));
    const int64_t end = farthest(d, n);
    WHET_TRY_DONE(whet_i_graph_distances(ctx, g, n, end, d));
    const int64_t middle = half_way(g, d, farthest(d, n));
    WHET_TRY_DONE(whet_i_graph_distances(ctx, g, n, middle, d));
    for (int64_t j = 0; j < k; j++) most = d[observed[j]] > most ? d[observed[j]] : most;
    *out = (int64_t)(most + d[farthest(d, n)]);
done:
    whet_i_free(ctx, d);
    return status;
}

/* ---- hops ------------------------------------------------------------------------------------ */

typedef struct searching {
    const whet_space *space;
    const int64_t *observed, *points;
    graph_rows *rows;
    int32_t width;
    hop_search *search; /* [workers] */
    uint8_t **block;    /* [workers] where hops are turned round: [n, HOP_SOURCES] */
} searching;

static void *hops_of(const graph_rows *r) {
    return r->hops8 ? (void *)r->hops8 : r->hops16 ? (void *)r->hops16 : (void *)r->hops32;
}

/* `count` columns of the block become rows of `out`, n apart. */
#define TURN(name, type) \
    static void name(const type *block, const int64_t *points, int64_t n, int64_t count, \
                     type *out) { \
        enum { TILE = 64 }; \
        for (int64_t from = 0; from < n; from += TILE) \
            for (int64_t j = 0; j < count; j++) \
                for (int64_t i = from; i < n && i < from + TILE; i++) \
                    out[j * n + i] = block[points[i] * HOP_SOURCES + j]; \
    }
TURN(turn8, uint8_t)
TURN(turn16, uint16_t)
TURN(turn32, uint32_t)

static void search_some(void *arg, int64_t item, int32_t worker) {
    const searching *w = arg;
    graph_rows *r = w->rows;
    const int64_t from = item * HOP_SOURCES, left = r->k - from;
    const int64_t count = left < HOP_SOURCES ? left : HOP_SOURCES;
    hop_block block = {w->width, r->by_point, (uint8_t *)hops_of(r) + from * w->width};
    if (w->points) {
        block = (hop_block){w->width, HOP_SOURCES, w->block[worker]};
        memset(block.at, 0, (size_t)(w->space->n * HOP_SOURCES * w->width));
    }
    whet_i_hops_run(&w->search[worker], w->observed + from, count, &block);
    if (w->points && r->hops8)
        turn8(block.at, w->points, r->n, count, r->hops8 + from * r->n);
    else if (w->points && r->hops16)
        turn16(block.at, w->points, r->n, count, r->hops16 + from * r->n);
    else if (w->points)
        turn32(block.at, w->points, r->n, count, r->hops32 + from * r->n);
}

static whet_status find_hops(whet_ctx *ctx, searching *w, int64_t values) {
    graph_rows *r = w->rows;
    whet_status status = WHET_OK;
    const int64_t items = (r->k + HOP_SOURCES - 1) / HOP_SOURCES;
    const int32_t threads = whet_ctx_threads(ctx),
                  workers = items < threads ? (int32_t)items : threads;
    int64_t bytes;
    w->width = r->longest < UINT8_MAX ? 1 : r->longest < UINT16_MAX ? 2 : 4;
    if (w->width == 1)
        WHET_TRY_DONE(whet_i_calloc(ctx, values, &r->hops8));
    else if (w->width == 2)
        WHET_TRY_DONE(whet_i_calloc(ctx, values, &r->hops16));
    else
        WHET_TRY_DONE(whet_i_calloc(ctx, values, &r->hops32));
    WHET_TRY_DONE(whet_i_mul(ctx, w->space->n, (int64_t)HOP_SOURCES * w->width, &bytes));
    WHET_TRY_DONE(whet_i_calloc(ctx, workers, &w->search));
    WHET_TRY_DONE(whet_i_calloc(ctx, workers, &w->block));
    for (int32_t i = 0; i < workers; i++) {
        WHET_TRY_DONE(whet_i_hops_create(ctx, &w->space->graph, w->space->n, &w->search[i]));
        if (w->points) WHET_TRY_DONE(whet_i_alloc(ctx, bytes, &w->block[i]));
    }
    WHET_TRY_DONE(whet_i_parallel_for(ctx, "shortest paths", items, search_some, w));
done:
    for (int32_t i = 0; w->search && i < workers; i++) whet_i_hops_free(ctx, &w->search[i]);
    for (int32_t i = 0; w->block && i < workers; i++) whet_i_free(ctx, w->block[i]);
    whet_i_free(ctx, w->search);
    whet_i_free(ctx, w->block);
    return status;
}

/* ---- lengths --------------------------------------------------------------------------------- */

/* Some sources at a time, so that what is not a point asked for is not held for all. */
static whet_status find_lengths(whet_ctx *ctx, const searching *w, int64_t values) {
    enum { SOURCES = 32 };
    graph_rows *r = w->rows;
    whet_status status = WHET_OK;
    const int64_t n = w->space->n;
    double *some = NULL;
    int64_t places;
    WHET_TRY_DONE(whet_i_alloc(ctx, values, &r->lengths));
    if (!w->points)
        return whet_i_graph_table(ctx, &w->space->graph, n, w->observed, r->k, r->lengths);
    WHET_TRY_DONE(whet_i_mul(ctx, n, SOURCES, &places));
    WHET_TRY_DONE(whet_i_alloc(ctx, places, &some));
    for (int64_t from = 0; from < r->k; from += SOURCES) {
        const int64_t count = r->k - from < SOURCES ? r->k - from : SOURCES;
        WHET_TRY_DONE(
            whet_i_graph_table(ctx, &w->space->graph, n, w->observed + from, count, some));
        for (int64_t j = 0; j < count; j++)
            for (int64_t i = 0; i < r->n; i++)
                r->lengths[(from + j) * r->n + i] = some[j * n + w->points[i]];
    }
done:
    whet_i_free(ctx, some);
    return status;
}

whet_status whet_i_graph_rows_make(whet_ctx *ctx, const whet_space *space, const int64_t *observed,
                                   int64_t k, const int64_t *points, int64_t n_points,
                                   graph_rows *out) {
    whet_status status = WHET_OK;
    graph_rows r = {.n = points ? n_points : space->n, .k = k, .by_point = 1};
    searching w = {.space = space, .observed = observed, .points = points, .rows = &r};
    const bool hops = !space->graph.length, by_point = hops && !points;
    const int64_t apart = by_point ? (k + 63) / 64 * 64 : k;
    int64_t values;
    WHET_TRY(whet_i_mul(ctx, apart, r.n, &values));
    r.by_observed = by_point ? 1 : r.n;
    r.by_point = by_point ? apart : 1;
    if (hops) {
        WHET_TRY_DONE(whet_i_graph_longest(ctx, space, observed, k, &r.longest));
        WHET_TRY_DONE(find_hops(ctx, &w, values));
    } else {
        WHET_TRY_DONE(find_lengths(ctx, &w, values));
    }
    *out = r;
    r = (graph_rows){0};
done:
    whet_i_graph_rows_free(ctx, &r);
    return status;
}
