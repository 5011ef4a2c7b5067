/* SPDX-License-Identifier: Apache-2.0
 * The symmetric graph made of neighbours. Legend: n rows, m neighbours kept, d features. */
#include <math.h>

#include "label/label_i.h"

void whet_i_graph_free(whet_ctx *ctx, whet_i_graph *graph) {
    whet_i_free(ctx, graph->start);
    whet_i_free(ctx, graph->to);
    whet_i_free(ctx, graph->weight);
    whet_i_free(ctx, graph->degree);
    *graph = (whet_i_graph){0};
}

/* Adds the edge to a row's ascending list, or keeps the larger weight (products of i with j and of
 * j with i may differ in the last bit). Lists are short but for rows that many others are near to;
 * edges come in ascending order of one end, so the place is found at the end nearly always. */
static void add_edge(whet_i_graph *g, int64_t *used, int64_t i, int64_t j, double w) {
    int64_t *to = g->to + g->start[i];
    double *weight = g->weight + g->start[i];
    int64_t place = used[i];
    while (place > 0 && to[place - 1] > j) place--;
    if (place > 0 && to[place - 1] == j) {
        weight[place - 1] = fmax(weight[place - 1], w);
        return;
    }
    memmove(to + place + 1, to + place, sizeof *to * (size_t)(used[i] - place));
    memmove(weight + place + 1, weight + place, sizeof *weight * (size_t)(used[i] - place));
    to[place] = j;
    weight[place] = w;
    used[i]++;
}

/* start[] was laid out for lists with duplicates: closes the gaps and sums the degrees. */
static void compact(whet_i_graph *g, const int64_t *used) {
    int64_t at = 0;
    double total = 0;
    for (int64_t i = 0; i < g->n; i++) {
        const int64_t from = g->start[i];
        g->start[i] = at;
        g->degree[i] = 0;
        for (int64_t e = 0; e < used[i]; e++, at++) {
            g->to[at] = g->to[from + e];
            g->weight[at] = g->weight[from + e];
            g->degree[i] += g->weight[at];
        }
        total += g->degree[i];
    }
    g->start[g->n] = at;
    g->mean_degree = g->n ? total / (double)g->n : 0;
}

/* Neighbours of which nothing but that they are is known count alike. */
static double weight_of(const float *similarity, int64_t at) {
    return similarity ? fmax((double)similarity[at], WHET_I_LEAST_WEIGHT) : 1;
}

static void symmetrise(whet_i_graph *g, int64_t *used, const int64_t *index,
                       const float *similarity, int64_t m) {
    /* Outgoing edges first, sorted; then incoming ones, whose other ends come in order. */
    for (int64_t i = 0; i < g->n; i++)
        for (int64_t e = 0; e < m; e++)
            add_edge(g, used, i, index[i * m + e], weight_of(similarity, i * m + e));
    for (int64_t i = 0; i < g->n; i++)
        for (int64_t e = 0; e < m; e++)
            add_edge(g, used, index[i * m + e], i, weight_of(similarity, i * m + e));
    compact(g, used);
}

/* Of lists of neighbours, index [n, m] and similarity [n, m] or NULL. */
static whet_status graph_of_lists(whet_ctx *ctx, int64_t n, int64_t m, const int64_t *index,
                                  const float *similarity, whet_i_graph *out) {
    whet_status status = WHET_OK;
    whet_i_graph g = {.n = n};
    int64_t *used = NULL;
    const int64_t edges = n * m;
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &used));
    WHET_TRY_DONE(whet_i_calloc(ctx, n + 1, &g.start));
    WHET_TRY_DONE(whet_i_alloc(ctx, 2 * edges, &g.to));
    WHET_TRY_DONE(whet_i_alloc(ctx, 2 * edges, &g.weight));
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &g.degree));
    for (int64_t e = 0; e < edges; e++) g.start[index[e] + 1]++;
    for (int64_t i = 0; i < n; i++) g.start[i + 1] += g.start[i] + m;
    symmetrise(&g, used, index, similarity, m);
    *out = g;
    g = (whet_i_graph){0};
done:
    whet_i_graph_free(ctx, &g);
    whet_i_free(ctx, used);
    return status;
}

whet_status whet_i_graph_build(whet_ctx *ctx, const float *x, int64_t n, int64_t d, int64_t m,
                               whet_i_graph *out) {
    whet_status status = WHET_OK;
    int64_t *index = NULL, edges;
    float *similarity = NULL;
    if (m > n - 1) m = n > 0 ? n - 1 : 0;
    WHET_TRY_DONE(whet_i_mul(ctx, n, m, &edges));
    WHET_TRY_DONE(whet_i_alloc(ctx, edges, &index));
    WHET_TRY_DONE(whet_i_alloc(ctx, edges, &similarity));
    WHET_TRY_DONE(whet_i_nearest(ctx, x, n, x, n, d, m, true, index, similarity));
    WHET_TRY_DONE(graph_of_lists(ctx, n, m, index, similarity, out));
done:
    whet_i_free(ctx, index);
    whet_i_free(ctx, similarity);
    return status;
}

whet_status whet_i_graph_build_euclidean(whet_ctx *ctx, const float *x, int64_t n, int64_t d,
                                         int64_t m, whet_i_graph *out) {
    whet_status status = WHET_OK;
    int64_t *index = NULL, edges;
    if (m > n - 1) m = n > 0 ? n - 1 : 0;
    WHET_TRY_DONE(whet_i_mul(ctx, n, m, &edges));
    WHET_TRY_DONE(whet_i_alloc(ctx, edges, &index));
    WHET_TRY_DONE(whet_i_nearest_euclidean(ctx, x, n, d, m, index));
    WHET_TRY_DONE(graph_of_lists(ctx, n, m, index, NULL, out));
done:
    whet_i_free(ctx, index);
    return status;
}
