/* SPDX-License-Identifier: Apache-2.0
 * Searches from observed points of a graph, into the smallest numbers that hold what they find. */
#include "space/graph_rows.h"

void whet_i_graph_rows_free(whet_ctx *ctx, graph_rows *r) {
    whet_i_free(ctx, r->hops8);
    whet_i_free(ctx, r->hops16);
    whet_i_free(ctx, r->lengths);
    *r = (graph_rows){0};
}

typedef struct searching {
    const space_graph *graph;
    int64_t n;
    const int64_t *observed;
    int32_t *queue; /* [workers, n] */
    graph_rows *rows;
} searching;

/* Breadth first, a level at a time; the queue is what has been reached, in order. Made for both widths. */
#define BREADTH_FIRST(name, type, unreached) \
    static void name(const space_graph *g, int64_t n, int64_t from, int32_t *queue, type *hops) { \
        int64_t begin = 0, end = 1; \
        for (int64_t v = 0; v < n; v++) hops[v] = unreached; \
        hops[from] = 0; \
        queue[0] = (int32_t)from; \
        for (type level = 1; begin < end; level++) { \
            const int64_t next = end; \
            for (; begin < next; begin++) { \
                const int32_t v = queue[begin]; \
                for (int64_t i = g->first[v]; i < g->first[v + 1]; i++) { \
                    const int64_t u = g->neighbour[i]; \
                    if (hops[u] != unreached) continue; \
                    hops[u] = level; \
                    queue[end++] = (int32_t)u; \
                } \
            } \
        } \
    }
BREADTH_FIRST(search8, uint8_t, UINT8_MAX)
BREADTH_FIRST(search16, uint16_t, UINT16_MAX)

static void search_one(void *arg, int64_t i, int32_t worker) {
    const searching *w = arg;
    int32_t *queue = w->queue + worker * w->n;
    if (w->rows->hops8)
        search8(w->graph, w->n, w->observed[i], queue, w->rows->hops8 + i * w->n);
    else
        search16(w->graph, w->n, w->observed[i], queue, w->rows->hops16 + i * w->n);
}

/* No two points are farther apart than twice what is farthest from one. */
static whet_status bound_diameter(whet_ctx *ctx, const space_graph *graph, int64_t n, int64_t from,
                                  double *bound) {
    double *d, most = 0;
    WHET_TRY(whet_i_alloc(ctx, n, &d));
    const whet_status status = whet_i_graph_distances(ctx, graph, n, from, d);
    for (int64_t v = 0; status == WHET_OK && v < n; v++) most = d[v] > most ? d[v] : most;
    whet_i_free(ctx, d);
    *bound = 2 * most;
    return status;
}

static whet_status find_hops(whet_ctx *ctx, const space_graph *graph, const int64_t *observed,
                             double bound, int64_t values, graph_rows *r) {
    searching w = {graph, r->n, observed, NULL, r};
    int64_t places;
    if (bound < UINT8_MAX)
        WHET_TRY(whet_i_alloc(ctx, values, &r->hops8));
    else
        WHET_TRY(whet_i_alloc(ctx, values, &r->hops16));
    WHET_TRY(whet_i_mul(ctx, whet_ctx_threads(ctx), r->n, &places));
    WHET_TRY(whet_i_alloc(ctx, places, &w.queue));
    const whet_status status = whet_i_parallel_for(ctx, "shortest paths", r->k, search_one, &w);
    whet_i_free(ctx, w.queue);
    return status;
}

whet_status whet_i_graph_rows_make(whet_ctx *ctx, const space_graph *graph, int64_t n,
                                   const int64_t *observed, int64_t k, graph_rows *out) {
    whet_status status = WHET_OK;
    graph_rows r = {.n = n, .k = k};
    int64_t values;
    double bound = 0;
    WHET_TRY(whet_i_mul(ctx, k, n, &values));
    if (graph->hops) WHET_TRY(bound_diameter(ctx, graph, n, observed[0], &bound));
    if (graph->hops && bound < UINT16_MAX && n < INT32_MAX) {
        WHET_TRY_DONE(find_hops(ctx, graph, observed, bound, values, &r));
    } else {
        WHET_TRY_DONE(whet_i_alloc(ctx, values, &r.lengths));
        WHET_TRY_DONE(whet_i_graph_table(ctx, graph, n, observed, k, r.lengths));
    }
    *out = r;
    r = (graph_rows){0};
done:
    whet_i_graph_rows_free(ctx, &r);
    return status;
}
