/* SPDX-License-Identifier: Apache-2.0
 * Nearest neighbours by distance, of rows as they are. |a - b|^2 = |a|^2 + |b|^2 - 2ab in 64 bits, from
 * features of 32: of distances that differ by less than some 1e-16 of |a|^2 either may count as the shorter;
 * of rows on a lattice (pixels, counts) all sums are exact, and equal ones are told as equal.
 * Legend: n rows, d features, m neighbours kept. */
#include "label/label_i.h"
#include "tensor/tensor_i.h"

enum { QUERY_ROWS = 192, POOL_ROWS = 768 };

typedef struct search {
    const double *x; /* [n, d] */
    double *square;  /* [n] */
    int64_t n, d, m;
    int64_t *index;   /* [n, m] */
    double *distance; /* [workers, QUERY_ROWS, m] squared, of a block */
    double *products; /* [workers, QUERY_ROWS, POOL_ROWS] */
} search;

static void take_norm(void *arg, int64_t i, int32_t worker) {
    const search *s = arg;
    double sum = 0;
    (void)worker;
    for (int64_t c = 0; c < s->d; c++) sum += s->x[i * s->d + c] * s->x[i * s->d + c];
    s->square[i] = sum;
}

/* Into the rising list, behind its equals: those came earlier, with lower indices. */
static int64_t insert(int64_t *index, double *distance, int64_t held, int64_t m, int64_t at,
                      double value) {
    int64_t place = held < m ? held : m - 1;
    for (; place > 0 && distance[place - 1] > value; place--) {
        distance[place] = distance[place - 1];
        index[place] = index[place - 1];
    }
    distance[place] = value;
    index[place] = at;
    return held < m ? held + 1 : held;
}

static void search_block(void *arg, int64_t block, int32_t worker) {
    const search *s = arg;
    double *products = s->products + (int64_t)worker * QUERY_ROWS * POOL_ROWS;
    double *distance = s->distance + (int64_t)worker * QUERY_ROWS * s->m;
    const int64_t first = block * QUERY_ROWS;
    const int64_t rows = s->n - first < QUERY_ROWS ? s->n - first : QUERY_ROWS;
    int64_t held[QUERY_ROWS] = {0};
    for (int64_t from = 0; from < s->n; from += POOL_ROWS) {
        const int64_t cols = s->n - from < POOL_ROWS ? s->n - from : POOL_ROWS;
        whet_i_matmul_f64_serial(false, true, rows, cols, s->d, s->x + first * s->d, s->d,
                                 s->x + from * s->d, s->d, 0, products, POOL_ROWS);
        for (int64_t i = 0; i < rows; i++) {
            int64_t *index = s->index + (first + i) * s->m;
            double *found = distance + i * s->m;
            for (int64_t j = 0; j < cols; j++) {
                const double square =
                    s->square[first + i] + s->square[from + j] - 2 * products[i * POOL_ROWS + j];
                if (held[i] == s->m && !(square < found[s->m - 1])) continue;
                if (from + j == first + i) continue;
                held[i] = insert(index, found, held[i], s->m, from + j, square);
            }
        }
    }
}

whet_status whet_i_nearest_euclidean(whet_ctx *ctx, const float *x, int64_t n, int64_t d, int64_t m,
                                     int64_t *index) {
    const int64_t workers = whet_ctx_threads(ctx);
    whet_status status = WHET_OK;
    search s = {.n = n, .d = d, .m = m, .index = index};
    double *wide = NULL;
    int64_t cells, lists;
    if (m < 0 || m > n - 1)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%lld neighbours among %lld rows", (long long)m,
                           (long long)n);
    if (m == 0) return WHET_OK;
    WHET_TRY(whet_i_mul(ctx, n, d, &cells));
    WHET_TRY(whet_i_mul(ctx, workers * QUERY_ROWS, m, &lists));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &wide));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &s.square));
    WHET_TRY_DONE(whet_i_alloc(ctx, lists, &s.distance));
    WHET_TRY_DONE(whet_i_alloc(ctx, workers * QUERY_ROWS * POOL_ROWS, &s.products));
    for (int64_t i = 0; i < cells; i++) wide[i] = x[i];
    s.x = wide;
    WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, n, take_norm, &s));
    WHET_TRY_DONE(whet_i_parallel_for(ctx, "finding neighbours", (n + QUERY_ROWS - 1) / QUERY_ROWS,
                                      search_block, &s));
done:
    whet_i_free(ctx, wide);
    whet_i_free(ctx, s.square);
    whet_i_free(ctx, s.distance);
    whet_i_free(ctx, s.products);
    return status;
}
