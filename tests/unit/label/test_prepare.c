/* SPDX-License-Identifier: Apache-2.0
 * Which preparation is chosen: one factor for columns of one unit, each its own where units differ. */
#include "support.h"

#include <math.h>

#include "label/label_i.h"

enum { N = 80, D = 21, LABELLED = 40 };

/* Column 0 tells the class and has deviation `signal`, the others are noise of deviation `noise`. */
static void rows_of(double signal, double noise, float *x, int32_t *labels) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, 11, 0);
    for (int64_t i = 0; i < N; i++) {
        const int32_t y = (int32_t)(i % 2);
        for (int64_t j = 0; j < D; j++) x[i * D + j] = (float)(noise * whet_i_rng_normal(&rng));
        x[i * D] = (float)(signal * ((y ? 1 : -1) + .3 * whet_i_rng_normal(&rng)));
        labels[i] = i < LABELLED ? y : -1;
    }
}

static bool one_factor(const whet_i_prepare *p) {
    for (int64_t j = 1; j < D; j++)
        if (p->scale[j] != p->scale[0]) return false;
    return true;
}

static void columns_of_one_unit_keep_their_spreads(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    float x[N * D], out[N * (D + 1)];
    int32_t labels[N];
    whet_i_prepare p;
    rows_of(3, .3, x, labels);
    test_ok(ctx, whet_i_prepare_choose(ctx, x, N, D, false, labels, 2, &p));
    assert_int_equal(p.kind, WHET_I_STANDARD);
    assert_true(one_factor(&p));
    /* The factor makes the mean square length 1; a column of ones is appended, rows have length 1. */
    double square = 0;
    for (int64_t i = 0; i < N; i++)
        for (int64_t j = 0; j < D; j++)
            square += pow(((double)x[i * D + j] - p.mean[j]) * p.scale[j], 2) / N;
    assert_true(fabs(square - 1) < 1e-9);
    whet_i_prepare_apply(&p, x, N, out);
    for (int64_t i = 0; i < N; i++) {
        double length = 0;
        for (int64_t j = 0; j <= D; j++) length += pow((double)out[i * (D + 1) + j], 2);
        assert_true(fabs(length - 1) < 1e-6);
    }
    whet_i_prepare_free(ctx, &p);
    test_ctx_done(ctx);
}

static void columns_of_other_units_are_scaled_each_by_its_own(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    float x[N * D];
    int32_t labels[N];
    whet_i_prepare p;
    rows_of(1e-3, 1e3, x, labels);
    test_ok(ctx, whet_i_prepare_choose(ctx, x, N, D, false, labels, 2, &p));
    assert_false(one_factor(&p));
    assert_true(p.scale[0] > 1e5 * p.scale[1]);
    whet_i_prepare_free(ctx, &p);
    test_ctx_done(ctx);
}

static void without_labels_that_tell_there_is_no_choice(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    float x[N * D];
    int32_t labels[N];
    whet_i_prepare p, plain;
    rows_of(3, .3, x, labels);
    test_ok(ctx, whet_i_prepare_fit(ctx, x, N, D, false, &plain));
    for (int64_t i = 9; i < N; i++) labels[i] = -1; /* nine are left */
    test_ok(ctx, whet_i_prepare_choose(ctx, x, N, D, false, labels, 2, &p));
    assert_memory_equal(p.scale, plain.scale, sizeof *p.scale * D);
    whet_i_prepare_free(ctx, &p);
    test_ok(ctx, whet_i_prepare_choose(ctx, x, N, D, false, NULL, 2, &p));
    assert_memory_equal(p.scale, plain.scale, sizeof *p.scale * D);
    whet_i_prepare_free(ctx, &p);
    whet_i_prepare_free(ctx, &plain);
    /* Unit rows, and rows beside class vectors, are what they were. */
    test_ok(ctx, whet_i_prepare_choose(ctx, x, N, D, true, labels, 2, &p));
    assert_int_equal(p.kind, WHET_I_UNIT);
    whet_i_prepare_free(ctx, &p);
    test_ctx_done(ctx);
}

static void labels_are_taken_evenly(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    enum { MANY = 1000 };
    float x[MANY];
    int32_t labels[MANY];
    whet_i_few_rows few;
    for (int64_t i = 0; i < MANY; i++) {
        x[i] = (float)i;
        labels[i] = i % 2 ? (int32_t)(i / 2 % 3) : -1;
    }
    test_ok(ctx, whet_i_few_rows_take(ctx, x, MANY, 1, labels, 3, &few));
    assert_int_equal(few.b, 300);
    for (int64_t i = 0; i < few.b; i++) {
        assert_int_equal(few.row[i] % 2, 1);
        assert_true(i == 0 || few.row[i] > few.row[i - 1]);
        assert_true(few.x[i] == (float)few.row[i] && few.y[i] == labels[few.row[i]]);
        /* The i-th of 300 among 500 labelled rows, each second of 1000. */
        assert_int_equal(few.row[i] / 2, i * 500 / 300);
    }
    whet_i_few_rows_free(ctx, &few);
    test_ctx_done(ctx);
}

static whet_status choose(whet_ctx *ctx, void *arg) {
    float x[N * D];
    int32_t labels[N];
    whet_i_prepare p = {0};
    (void)arg;
    rows_of(3, .3, x, labels);
    const whet_status status = whet_i_prepare_choose(ctx, x, N, D, false, labels, 2, &p);
    whet_i_prepare_free(ctx, &p);
    return status;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    assert_true(test_each_allocation(choose, NULL) > 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_of_one_unit_keep_their_spreads),
        cmocka_unit_test(columns_of_other_units_are_scaled_each_by_its_own),
        cmocka_unit_test(without_labels_that_tell_there_is_no_choice),
        cmocka_unit_test(labels_are_taken_evenly),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
