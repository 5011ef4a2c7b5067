/* SPDX-License-Identifier: Apache-2.0
 * Nearest neighbours by product in large pools: screened, against sums in 64 bits of every pair. */
#include "support.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "label/product_neighbours.h"
#include "tensor/tensor_i.h"
#include "whet/kernels.h"

typedef struct found {
    int64_t *index;
    float *similarity;
} found;

static found found_new(int64_t n, int64_t m) {
    return (found){calloc((size_t)(n * m), sizeof(int64_t)),
                   calloc((size_t)(n * m), sizeof(float))};
}

static void found_free(found f) {
    free(f.index);
    free(f.similarity);
}

static double sum_of(const float *a, const float *b, int64_t d) {
    double sum = 0;
    for (int64_t j = 0; j < d; j++) sum += (double)a[j] * (double)b[j];
    return sum;
}

/* Every answer is among the m best of all pairs, in order, equal ones by index. Both sums are in 64 bits,
 * in another order: off by at most d 2^-52 of the lengths' product; of rows on a lattice all are exact. */
static void check(const float *queries, int64_t n, const float *pool, int64_t n_pool, int64_t d,
                  int64_t m, bool same, bool exact, found f) {
    double *all = calloc((size_t)(n_pool), sizeof(double));
    for (int64_t i = 0; i < n; i++) {
        const double length = sqrt(sum_of(queries + i * d, queries + i * d, d));
        double most = 0;
        for (int64_t j = 0; j < n_pool; j++) {
            all[j] = sum_of(queries + i * d, pool + j * d, d);
            most = fmax(most, sqrt(sum_of(pool + j * d, pool + j * d, d)));
        }
        const double off = exact ? 0 : 0x1p-51 * (double)d * length * most;
        for (int64_t e = 0; e < m; e++) {
            const int64_t at = f.index[i * m + e];
            int64_t better = 0, equal = 0;
            assert_true(at >= 0 && at < n_pool && !(same && at == i));
            for (int64_t j = 0; j < n_pool; j++) {
                if (same && j == i) continue;
                better += all[j] > all[at] + off;
                equal += all[j] == all[at] && j < at;
            }
            assert_true(better + (exact ? equal : 0) <= e);
            if (exact) assert_int_equal(better + equal, e);
            if (fabs(all[at]) < (double)FLT_MAX)
                assert_true(fabs((double)f.similarity[i * m + e] - all[at]) <=
                            off + fabs(all[at]) * (double)FLT_EPSILON / 2 + (double)FLT_TRUE_MIN);
            for (int64_t other = 0; other < e; other++)
                assert_int_not_equal(f.index[i * m + other], at);
        }
    }
    free(all);
}

static bool search(whet_ctx *ctx, const float *queries, int64_t n, const float *pool,
                   int64_t n_pool, int64_t d, int64_t m, bool same, double share, found f) {
    bool done;
    test_ok(ctx, whet_i_nearest_screened(ctx, queries, n, pool, n_pool, d, m, same, share, f.index,
                                         f.similarity, &done));
    return done;
}

/* kind 0: anywhere; 1: all near one another, closer than rounding to bfloat16 tells; 2: small whole
 * numbers, of which many rows are equal; 3: lengths from 1e-25 to 1e25. */
static float *make_rows(int64_t n, int64_t d, int kind, uint64_t seed) {
    float *x = calloc((size_t)(n * d), sizeof(float));
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, 0);
    for (int64_t i = 0; i < n; i++) {
        const double scale = kind == 3 ? pow(10, (double)(i % 51) - 25) : 1;
        for (int64_t j = 0; j < d; j++) {
            const double z = whet_i_rng_normal(&rng);
            x[i * d + j] = (float)(kind == 0   ? z
                                   : kind == 1 ? 1 + 1e-3 * z
                                   : kind == 2 ? (double)(int)(1.5 * z) * (j < 4)
                                               : z * scale);
        }
    }
    return x;
}

static void those_of_all_pairs(void **state) {
    (void)state;
    static const char *const sets[] = {"ref", "avx2", "avx512", "avx512-bf16", "amx", "auto"};
    static const struct {
        int64_t n, pool, d, m;
        int kind;
    } cases[] = {{50, 1700, 70, 7, 0}, {20, 900, 33, 1, 0},   {40, 1500, 64, 10, 1},
                 {30, 1600, 9, 12, 2}, {20, 800, 130, 40, 1}, {51, 800, 20, 5, 3},
                 {3, 40, 5, 40, 0},    {400, 700, 3, 2, 2}};
    for (size_t k = 0; k < sizeof sets / sizeof sets[0]; k++) {
        whet_ctx *ctx = test_ctx(2);
        if (whet_kernels_select(ctx, sets[k]) != WHET_OK) {
            test_ctx_done(ctx);
            continue; /* not of this processor */
        }
        for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
            const int64_t n = cases[c].n, d = cases[c].d, m = cases[c].m, p = cases[c].pool;
            float *pool = make_rows(p, d, cases[c].kind, 1),
                  *own = make_rows(n, d, cases[c].kind, 2);
            found f = found_new(n, m);
            assert_true(search(ctx, own, n, pool, p, d, m, false, 1, f));
            check(own, n, pool, p, d, m, false, cases[c].kind == 2, f);
            if (m < p) {
                assert_true(search(ctx, pool, n, pool, p, d, m, true, 1, f));
                check(pool, n, pool, p, d, m, true, cases[c].kind == 2, f);
            }
            found_free(f);
            free(own);
            free(pool);
        }
        test_ctx_done(ctx);
    }
}

/* Rows of zeros, numbers below the normal range, products beyond f32: what rounding says nothing of. */
static void rows_of_odd_sizes(void **state) {
    (void)state;
    enum { N = 700, D = 40, M = 6 };
    whet_ctx *ctx = test_ctx(1);
    float *x = make_rows(N, D, 0, 3);
    for (int64_t j = 0; j < D; j++) {
        x[5 * D + j] = 0;
        x[6 * D + j] *= 1e-40F;
        x[7 * D + j] *= 1e19F;
        x[8 * D + j] *= 1e19F;
        x[9 * D + j] = j ? 0 : FLT_MAX;
    }
    found f = found_new(N, M);
    assert_true(search(ctx, x, 20, x, N, D, M, true, 1, f));
    for (int64_t i = 0; i < 20; i++) {
        double last = INFINITY;
        for (int64_t e = 0; e < M; e++) {
            const double value = sum_of(x + i * D, x + f.index[i * M + e] * D, D);
            int64_t better = 0;
            for (int64_t j = 0; j < N; j++)
                better += j != i && sum_of(x + i * D, x + j * D, D) > value + fabs(value) * 1e-12;
            assert_true(better <= e && value <= last + fabs(value) * 1e-12);
            last = value;
        }
    }
    for (int64_t e = 0; e < M; e++) assert_int_equal(f.index[5 * M + e], e < 5 ? e : e + 1);
    found_free(f);
    free(x);
    test_ctx_done(ctx);
}

/* A query's answer has the same bits alone, among others, and at any number of threads. */
static void the_same_in_any_company(void **state) {
    (void)state;
    enum { N = 16500, D = 48, M = 9 };
    float *x = make_rows(N, D, 0, 4);
    found whole = found_new(N, M), part = found_new(7, M);
    for (int32_t threads = 1; threads <= 3; threads += 2) {
        whet_ctx *ctx = test_ctx(threads);
        test_ok(ctx,
                whet_i_nearest(ctx, x, 1000, x, N, D, M, false, whole.index, whole.similarity));
        for (int64_t first = 0; first < 990; first += 331) {
            test_ok(ctx, whet_i_nearest(ctx, x + first * D, 7, x, N, D, M, false, part.index,
                                        part.similarity));
            assert_memory_equal(part.index, whole.index + first * M, 7 * M * sizeof *part.index);
            assert_memory_equal(part.similarity, whole.similarity + first * M,
                                7 * M * sizeof *part.similarity);
        }
        test_ctx_done(ctx);
    }
    found_free(part);
    found_free(whole);
    free(x);
}

/* Where all rows are close, screening is left alone and nothing is written. */
static void told_where_it_does_not_pay(void **state) {
    (void)state;
    enum { N = 3000, D = 32, M = 5 };
    whet_ctx *ctx = test_ctx(1);
    float *close = make_rows(N, D, 1, 5), *wide = make_rows(N, D, 0, 6);
    found f = found_new(N, M);
    f.index[0] = -7;
    assert_false(search(ctx, close, N, close, N, D, M, true, 1. / 64, f));
    assert_int_equal(f.index[0], -7);
    assert_true(search(ctx, wide, 10, wide, N, D, M, true, 1. / 64, f));
    found_free(f);
    free(close);
    free(wide);
    test_ctx_done(ctx);
}

static whet_status search_once(whet_ctx *ctx, void *arg) {
    int64_t index[30];
    float similarity[30];
    bool done;
    return whet_i_nearest_screened(ctx, arg, 10, arg, 300, 8, 3, true, 1, index, similarity, &done);
}

static void allocations_may_fail(void **state) {
    (void)state;
    float *x = make_rows(300, 8, 0, 7);
    assert_true(test_each_allocation(search_once, x) >= 10);
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_of_all_pairs),      cmocka_unit_test(rows_of_odd_sizes),
        cmocka_unit_test(the_same_in_any_company), cmocka_unit_test(told_where_it_does_not_pay),
        cmocka_unit_test(allocations_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
