/* SPDX-License-Identifier: Apache-2.0
 * Exact nearest neighbours under the inner product, and the symmetric graph made of neighbours.
 *
 * Queries are cut into blocks of QUERY_ROWS, whatever the threads; a block walks the pool in pieces
 * of POOL_ROWS, whose products with it are all that is held, and keeps the m best seen so far.
 * Legend: n queries, m neighbours kept, d features. */
#include <math.h>

#include "label/label_i.h"
#include "tensor/tensor_i.h"

enum { QUERY_ROWS = 384, POOL_ROWS = 768 };

typedef struct search {
    const float *queries, *pool;
    int64_t n, n_pool, d, m;
    bool same;
    int64_t *index;
    float *similarity;
    float *products; /* [workers, QUERY_ROWS, POOL_ROWS] */
} search;

/* Puts (at, value) into the falling list of `held` entries, before the first smaller one: equal
 * values that came earlier, with lower indices, stay in front. */
static int64_t insert(int64_t *index, float *similarity, int64_t held, int64_t m, int64_t at,
                      float value) {
    int64_t place = held < m ? held : m - 1;
    while (place > 0 && similarity[place - 1] < value) {
        similarity[place] = similarity[place - 1];
        index[place] = index[place - 1];
        place--;
    }
    similarity[place] = value;
    index[place] = at;
    return held < m ? held + 1 : held;
}

static void search_block(void *arg, int64_t block, int32_t worker) {
    const search *s = arg;
    float *products = s->products + (int64_t)worker * QUERY_ROWS * POOL_ROWS;
    const int64_t first = block * QUERY_ROWS;
    const int64_t rows = s->n - first < QUERY_ROWS ? s->n - first : QUERY_ROWS;
    int64_t held[QUERY_ROWS] = {0};
    for (int64_t from = 0; from < s->n_pool; from += POOL_ROWS) {
        const int64_t cols = s->n_pool - from < POOL_ROWS ? s->n_pool - from : POOL_ROWS;
        whet_i_matmul_f32_serial(false, true, rows, cols, s->d, s->queries + first * s->d, s->d,
                                 s->pool + from * s->d, s->d, 0, products, POOL_ROWS);
        for (int64_t i = 0; i < rows; i++) {
            const float *row = products + i * POOL_ROWS;
            int64_t *index = s->index + (first + i) * s->m;
            float *similarity = s->similarity + (first + i) * s->m;
            for (int64_t j = 0; j < cols; j++) {
                if (held[i] == s->m && !(row[j] > similarity[s->m - 1])) continue;
                if (s->same && from + j == first + i) continue;
                held[i] = insert(index, similarity, held[i], s->m, from + j, row[j]);
            }
        }
    }
}

whet_status whet_i_nearest(whet_ctx *ctx, const float *queries, int64_t n, const float *pool,
                           int64_t n_pool, int64_t d, int64_t m, bool same, int64_t *index,
                           float *similarity) {
    if (m < 0 || m > n_pool - (same ? 1 : 0))
        return whet_i_fail(ctx, WHET_ERR_ARG, "%lld neighbours among %lld rows", (long long)m,
                           (long long)n_pool);
    if (m == 0 || n == 0) return WHET_OK;
    search s = {queries, pool, n, n_pool, d, m, same, index, similarity, NULL};
    WHET_TRY(
        whet_i_alloc(ctx, (int64_t)whet_ctx_threads(ctx) * QUERY_ROWS * POOL_ROWS, &s.products));
    const whet_status status =
        whet_i_parallel_for(ctx, NULL, (n + QUERY_ROWS - 1) / QUERY_ROWS, search_block, &s);
    whet_i_free(ctx, s.products);
    return status;
}

/* ---- the graph ------------------------------------------------------------------------------- */

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
