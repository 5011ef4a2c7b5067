/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <math.h>
#include <stdlib.h>

#include "adapt/adapt_i.h"

enum { N = 150, D = 5, BUDGET = 20 };

/* Whole-number coordinates on axes of length 1, 0 and sums thereof would tie; normals do not. */
static void make_rows(float *x) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, 21, 0);
    for (int i = 0; i < N * D; i++) x[i] = (float)whet_i_rng_normal(&rng);
}

static double product(const float *x, int64_t i, int64_t j) {
    double ij = 0, ii = 0, jj = 0;
    for (int64_t c = 0; c < D; c++) {
        ij += (double)x[i * D + c] * (double)x[j * D + c];
        ii += (double)x[i * D + c] * (double)x[i * D + c];
        jj += (double)x[j * D + c] * (double)x[j * D + c];
    }
    return ij / sqrt(ii * jj);
}

static void coverage_is_plain_greedy(void **state) {
    (void)state;
    float x[N * D];
    double best[N] = {0};
    int64_t rows[BUDGET], again[BUDGET];
    whet_ctx *ctx = test_ctx(2), *one = test_ctx(1);
    make_rows(x);
    test_ok(ctx, whet_draw_coverage(ctx, x, N, D, BUDGET, rows));
    test_ok(one, whet_draw_coverage(one, x, N, D, BUDGET, again));
    assert_memory_equal(rows, again, sizeof rows);
    for (int64_t at = 0; at < BUDGET; at++) {
        double top = -1;
        int64_t chosen = -1;
        for (int64_t j = 0; j < N; j++) {
            double gain = 0;
            for (int64_t i = 0; i < N; i++) gain += fmax(0, product(x, i, j) - best[i]);
            if (gain > top) {
                top = gain;
                chosen = j;
            }
        }
        assert_int_equal(rows[at], chosen);
        for (int64_t i = 0; i < N; i++) best[i] = fmax(best[i], product(x, i, chosen));
    }
    test_ctx_done(ctx);
    test_ctx_done(one);
}

static void duplicates_and_whole_budgets_are_drawn_once(void **state) {
    (void)state;
    float x[12 * 2];
    int64_t rows[12], seen[12] = {0};
    whet_ctx *ctx = test_ctx(1);
    for (int i = 0; i < 12; i++) {
        x[2 * i] = i < 6 ? 1 : 0;
        x[2 * i + 1] = i < 6 ? 0 : 1;
    }
    test_ok(ctx, whet_draw_coverage(ctx, x, 12, 2, 12, rows));
    assert_int_equal(rows[0], 0);
    assert_int_equal(rows[1], 6);
    for (int i = 0; i < 12; i++) seen[rows[i]]++;
    for (int i = 0; i < 12; i++) assert_int_equal(seen[i], 1);
    test_fails(ctx, whet_draw_coverage(ctx, x, 12, 2, 13, rows), WHET_ERR_ARG);
    x[5] = NAN;
    test_fails(ctx, whet_draw_coverage(ctx, x, 12, 2, 1, rows), WHET_ERR_DATA);
    test_says(ctx, "row 2");
    test_ctx_done(ctx);
}

static void uniform_draws_are_uniform(void **state) {
    (void)state;
    enum { DRAWS = 4000 };
    int64_t rows[3], count[10] = {0}, from[10];
    whet_ctx *ctx = test_ctx(1);
    for (int i = 0; i < 10; i++) from[i] = 100 + i;
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        test_ok(ctx, whet_draw_uniform(ctx, from, 10, 3, seed, rows));
        assert_true(rows[0] < rows[1] && rows[1] < rows[2]);
        for (int i = 0; i < 3; i++) count[rows[i] - 100]++;
    }
    /* Each 1,200 times; standard deviation 29; four of them. */
    for (int i = 0; i < 10; i++) assert_true(llabs(count[i] - DRAWS * 3 / 10) < 116);
    test_fails(ctx, whet_draw_uniform(ctx, NULL, 2, 3, 0, rows), WHET_ERR_ARG);
    test_ctx_done(ctx);
}

static whet_status cover(whet_ctx *ctx, void *arg) {
    int64_t rows[3];
    return whet_draw_coverage(ctx, arg, 20, D, 3, rows);
}

static void survives_failing_allocations(void **state) {
    (void)state;
    float x[N * D];
    make_rows(x);
    assert_true(test_each_allocation(cover, x) > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(coverage_is_plain_greedy),
        cmocka_unit_test(duplicates_and_whole_budgets_are_drawn_once),
        cmocka_unit_test(uniform_draws_are_uniform),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
