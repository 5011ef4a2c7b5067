/* SPDX-License-Identifier: Apache-2.0
 * Exact nearest neighbours under the inner product.
 *
 * Queries are cut into blocks of QUERY_ROWS, whatever the threads; a block walks the pool in pieces
 * of POOL_ROWS, whose products with it are all that is held, and keeps the m best seen so far.
 * Legend: n queries, m neighbours kept, d features. */
#include <math.h>

#include "kernels/kernels_i.h"
#include "label/product_neighbours.h"
#include "tensor/tensor_i.h"

enum {
    QUERY_ROWS = 384,
    POOL_ROWS = 768,
    LARGE_POOL = 16384 /* rows, from which on screening may pay */
};
static const double FEW = 1. / 64;

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
    if (n_pool >= LARGE_POOL && whet_i_kernels(ctx)->bf16_products) {
        bool done;
        WHET_TRY(whet_i_nearest_screened(ctx, queries, n, pool, n_pool, d, m, same, FEW, index,
                                         similarity, &done));
        if (done) return WHET_OK;
    }
    search s = {queries, pool, n, n_pool, d, m, same, index, similarity, NULL};
    WHET_TRY(
        whet_i_alloc(ctx, (int64_t)whet_ctx_threads(ctx) * QUERY_ROWS * POOL_ROWS, &s.products));
    const whet_status status =
        whet_i_parallel_for(ctx, NULL, (n + QUERY_ROWS - 1) / QUERY_ROWS, search_block, &s);
    whet_i_free(ctx, s.products);
    return status;
}
