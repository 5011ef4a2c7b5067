/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <math.h>
#include <stdlib.h>

#include "tensor/tensor_i.h"

/* Sizes around the tiles and the libraries' register blocks. */
static const int64_t sizes[][3] = {{1, 1, 1},       {2, 3, 4},    {17, 33, 5},
                                   {64, 64, 64},    {383, 5, 70}, {385, 20, 3},
                                   {400, 800, 130}, {3, 1600, 9}, {7, 40, 600}};

static void fill(whet_i_rng *rng, int64_t n, double *x64, float *x32) {
    for (int64_t i = 0; i < n; i++) {
        x32[i] = (float)whet_i_rng_normal(rng);
        x64[i] = (double)x32[i];
    }
}

/* |error| <= (k + 2) u sum |a||b| (Higham, 2002, section 3.5), whatever the order of the sum. */
static void check_entry(const double *a, int64_t a_col, const double *b, int64_t b_row, int64_t k,
                        double start, double got, double unit) {
    double sum = start, size = fabs(start);
    for (int64_t t = 0; t < k; t++) {
        sum += a[t * a_col] * b[t * b_row];
        size += fabs(a[t * a_col] * b[t * b_row]);
    }
    /* The oracle itself is summed in f64: its own error counts beside the f64 product's. */
    assert_true(fabs(got - sum) <= (double)(k + 2) * (unit + 0x1p-52) * size);
}

static void check_product(whet_ctx *ctx, bool ta, bool tb, int64_t m, int64_t n, int64_t k,
                          double beta) {
    const int64_t lda = (ta ? m : k) + 3, ldb = (tb ? k : n) + 1, ldc = n + 2;
    const int64_t na = (ta ? k : m) * lda, nb = (tb ? n : k) * ldb, nc = m * ldc;
    double *a = malloc(sizeof *a * (size_t)na), *b = malloc(sizeof *b * (size_t)nb);
    double *c0 = malloc(sizeof *c0 * (size_t)nc), *c = malloc(sizeof *c * (size_t)nc);
    float *a32 = malloc(sizeof *a32 * (size_t)na), *b32 = malloc(sizeof *b32 * (size_t)nb);
    float *c32 = malloc(sizeof *c32 * (size_t)nc), *again = malloc(sizeof *again * (size_t)nc);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 7, (uint64_t)(m + n * 10 + k * 100));
    fill(&rng, na, a, a32);
    fill(&rng, nb, b, b32);
    fill(&rng, nc, c0, c32);
    memcpy(c, c0, sizeof *c * (size_t)nc);
    memcpy(again, c32, sizeof *again * (size_t)nc);
    test_ok(ctx,
            whet_i_matmul_f32(ctx, ta, tb, m, n, k, a32, lda, b32, ldb, (float)beta, c32, ldc));
    test_ok(ctx, whet_i_matmul_f64(ctx, ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc));
    whet_i_matmul_f32_serial(ta, tb, m, n, k, a32, lda, b32, ldb, (float)beta, again, ldc);
    assert_memory_equal(c32, again, sizeof *again * (size_t)nc);
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < ldc; j++) {
            const int64_t at = i * ldc + j;
            if (j >= n) { /* between the rows nothing is touched */
                assert_true(c[at] == c0[at]);
                continue;
            }
            const double *pa = ta ? a + i : a + i * lda, *pb = tb ? b + j * ldb : b + j;
            const int64_t a_col = ta ? lda : 1, b_row = tb ? 1 : ldb;
            check_entry(pa, a_col, pb, b_row, k, beta * c0[at], c[at], 0x1p-53);
            check_entry(pa, a_col, pb, b_row, k, beta * c0[at], (double)c32[at], 0x1p-24);
        }
    }
    free(a);
    free(b);
    free(c0);
    free(c);
    free(a32);
    free(b32);
    free(c32);
    free(again);
}

static void products_agree_with_plain_sums(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    for (int64_t s = 0; s < WHET_COUNT_OF(sizes); s++)
        for (int flags = 0; flags < 4; flags++)
            check_product(ctx, flags & 1, flags & 2, sizes[s][0], sizes[s][1], sizes[s][2],
                          flags == 1 ? 0.5 : 0);
    test_ctx_done(ctx);
}

static void empty_sums_only_scale(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    float c[4] = {1, 2, NAN, 4}, none = 0;
    test_ok(ctx, whet_i_matmul_f32(ctx, false, false, 2, 2, 0, &none, 0, &none, 2, 0, c, 2));
    for (int i = 0; i < 4; i++) assert_true(c[i] == 0);
    double d[2] = {1, 2}, nothing = 0;
    test_ok(ctx, whet_i_matmul_f64(ctx, false, false, 1, 2, 0, &nothing, 0, &nothing, 2, 3, d, 2));
    assert_true(d[0] == 3 && d[1] == 6);
    test_ok(ctx, whet_i_matmul_f64(ctx, false, false, 0, 2, 3, &nothing, 3, d, 2, 0, d, 2));
    test_ctx_done(ctx);
}

static void wrong_sizes_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    float x[4] = {0};
    test_fails(ctx, whet_i_matmul_f32(ctx, false, false, -1, 1, 1, x, 1, x, 1, 0, x, 1),
               WHET_ERR_ARG);
    test_fails(ctx, whet_i_matmul_f32(ctx, true, false, 2, 1, 1, x, 1, x, 1, 0, x, 1),
               WHET_ERR_ARG);
    test_says(ctx, "expected at least 2, 1, 1");
    test_ctx_done(ctx);
}

static void bits_do_not_depend_on_threads(void **state) {
    (void)state;
    enum { M = 900, N = 1000, K = 50 };
    float *a = malloc(sizeof(float) * M * K), *b = malloc(sizeof(float) * K * N);
    float *first = malloc(sizeof(float) * M * N), *c = malloc(sizeof(float) * M * N);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 1, 1);
    for (int i = 0; i < M * K; i++) a[i] = (float)whet_i_rng_normal(&rng);
    for (int i = 0; i < K * N; i++) b[i] = (float)whet_i_rng_normal(&rng);
    static const int32_t threads[] = {1, 2, 5};
    for (int t = 0; t < 3; t++) {
        whet_ctx *ctx = test_ctx(threads[t]);
        test_ok(ctx,
                whet_i_matmul_f32(ctx, false, false, M, N, K, a, K, b, N, 0, t ? c : first, N));
        if (t) assert_memory_equal(c, first, sizeof(float) * M * N);
        test_ctx_done(ctx);
    }
    free(a);
    free(b);
    free(c);
    free(first);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_agree_with_plain_sums),
        cmocka_unit_test(empty_sums_only_scale),
        cmocka_unit_test(wrong_sizes_are_refused),
        cmocka_unit_test(bits_do_not_depend_on_threads),
    };
    return cmocka_run_group_tests_name("tensor/products", tests, NULL, NULL);
}
