/* SPDX-License-Identifier: Apache-2.0
 * Graphs as label spaces: shortest-path distances, by breadth-first search when every edge has
 * length 1, else by Dijkstra's algorithm (point_queue.h). Graphs of few points
 * keep the whole table; larger ones are searched from the points that are asked for.
 * Cost a source: O(n + m), or O(m log m) with lengths. Legend: n points, m edges. */
#include <float.h>
#include <math.h>

#include "space/point_queue.h"
#include "space/space_i.h"

enum { TABLE_POINTS = 4096 }; /* 128 MiB of table at most */

static void breadth_first(const space_graph *g, int64_t from, point_queue *s, double *out) {
    int64_t reached = 0;
    out[from] = 0;
    s->point[reached++] = (int32_t)from;
    for (int64_t next = 0; next < reached; next++) {
        const int64_t v = s->point[next];
        for (int64_t i = g->first[v]; i < g->first[v + 1]; i++) {
            const int32_t w = g->neighbour[i];
            if (out[w] < (double)INFINITY) continue;
            out[w] = out[v] + 1;
            s->point[reached++] = w;
        }
    }
}

static void dijkstra(const space_graph *g, int64_t from, point_queue *s, double *out) {
    double so_far;
    int32_t v;
    queue_begin(s, g->longest);
    out[from] = 0;
    heap_push(s, (int32_t)from, 0);
    while (queue_peek(s, g, out, &v, &so_far)) {
        heap_pop(s);
        if (so_far > out[v]) continue; /* an old entry: v was reached by a shorter way */
        for (int64_t i = g->first[v]; i < g->first[v + 1]; i++) {
            const int32_t u = g->neighbour[i];
            const double length = so_far + g->length[i], old = out[u];
            if (length >= old) continue;
            out[u] = length;
            queue_push(s, u, old, length);
        }
    }
}

static void search_free(whet_ctx *ctx, point_queue *s) {
    whet_i_free(ctx, s->point);
    whet_i_free(ctx, s->priority);
    whet_i_free(ctx, s->next);
    whet_i_free(ctx, s->last);
}

/* Breadth-first searches use the heap's points as their queue. */
static whet_status search_alloc(whet_ctx *ctx, const space_graph *g, int64_t n, point_queue *out) {
    point_queue s = {0};
    whet_status status = WHET_OK;
    const int64_t places = g->length ? g->first[n] + 1 : n;
    WHET_TRY_DONE(whet_i_alloc(ctx, places, &s.point));
    if (g->length) WHET_TRY_DONE(whet_i_alloc(ctx, places, &s.priority));
    if (g->length) WHET_TRY_DONE(whet_i_alloc(ctx, n, &s.next));
    if (g->length) WHET_TRY_DONE(whet_i_alloc(ctx, n, &s.last));
    *out = s;
    return WHET_OK;
done:
    search_free(ctx, &s);
    return status;
}

static void run(const space_graph *g, int64_t n, int64_t from, point_queue *s, double *out) {
    for (int64_t v = 0; v < n; v++) out[v] = (double)INFINITY;
    if (g->length)
        dijkstra(g, from, s, out);
    else
        breadth_first(g, from, s, out);
}

whet_status whet_i_graph_distances(whet_ctx *ctx, const space_graph *graph, int64_t n, int64_t from,
                                   double *out) {
    if (graph->matrix.f64) {
        memcpy(out, graph->matrix.f64 + from * n, (size_t)n * sizeof *out);
        return WHET_OK;
    }
    point_queue s;
    WHET_TRY(search_alloc(ctx, graph, n, &s));
    run(graph, n, from, &s, out);
    search_free(ctx, &s);
    return WHET_OK;
}

typedef struct table_work {
    const space_graph *graph;
    int64_t n;
    const int64_t *from;
    point_queue *scratch; /* one a worker */
    double *out;
} table_work;

static void table_row(void *arg, int64_t i, int32_t worker) {
    const table_work *w = arg;
    run(w->graph, w->n, w->from ? w->from[i] : i, &w->scratch[worker], w->out + i * w->n);
}

whet_status whet_i_graph_table(whet_ctx *ctx, const space_graph *graph, int64_t n,
                               const int64_t *from, int64_t k, double *out) {
    whet_status status = WHET_OK;
    const int32_t workers = whet_ctx_threads(ctx);
    table_work w = {graph, n, from, NULL, out};
    WHET_TRY_DONE(whet_i_calloc(ctx, workers, &w.scratch));
    for (int32_t i = 0; i < workers; i++) WHET_TRY_DONE(search_alloc(ctx, graph, n, &w.scratch[i]));
    WHET_TRY_DONE(whet_i_parallel_for(ctx, "shortest paths", k, table_row, &w));
done:
    for (int32_t i = 0; w.scratch && i < workers; i++) search_free(ctx, &w.scratch[i]);
    whet_i_free(ctx, w.scratch);
    return status;
}

/* ---- making ---------------------------------------------------------------------------------- */

static whet_status check_connected(whet_ctx *ctx, const whet_space *space) {
    char one[WHET_QUOTE_SIZE], two[WHET_QUOTE_SIZE];
    double *d;
    WHET_TRY(whet_i_alloc(ctx, space->n, &d));
    whet_status status = whet_i_graph_distances(ctx, &space->graph, space->n, 0, d);
    /* Sums of such lengths may be infinite where there is a path. */
    const bool far = space->graph.longest > DBL_MAX / (double)space->n;
    int64_t lost = 0;
    while (status == WHET_OK && lost < space->n && isfinite(d[lost])) lost++;
    if (status == WHET_OK && lost < space->n)
        status = whet_i_fail(
            ctx, WHET_ERR_DATA, "nodes %s and %s are %s; expected one connected graph%s",
            whet_i_quote(one, whet_names_get(space->names, 0)),
            whet_i_quote(two, whet_names_get(space->names, lost)),
            far ? "not connected, or farther apart than numbers go" : "not connected",
            far ? " of shorter edges" : "");
    whet_i_free(ctx, d);
    return status;
}

whet_status whet_i_space_from_graph(whet_ctx *ctx, const whet_edges *edges, whet_space **out) {
    whet_status status = WHET_OK;
    whet_space *space = NULL;
    int64_t *from = NULL, *to = NULL;
    double *table = NULL;
    WHET_TRY(whet_i_edges_begin(ctx, SPACE_GRAPH, edges, &from, &to, &space));
    WHET_TRY_DONE(
        whet_i_neighbours(ctx, space->n, edges->n_edges, from, to, edges->length, &space->graph));
    WHET_TRY_DONE(check_connected(ctx, space));
    if (space->n <= TABLE_POINTS) {
        WHET_TRY_DONE(whet_i_alloc(ctx, space->n * space->n, &table));
        WHET_TRY_DONE(whet_i_graph_table(ctx, &space->graph, space->n, NULL, space->n, table));
        space->graph.matrix.f64 = table;
        table = NULL;
    }
    *out = space;
    space = NULL;
done:
    whet_i_free(ctx, table);
    whet_i_free(ctx, to);
    whet_i_free(ctx, from);
    whet_space_destroy(ctx, space);
    return status;
}
