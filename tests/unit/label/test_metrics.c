/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <math.h>

#include "label/label_i.h"

static void close_to(double got, double expected, double tolerance) {
    if (!(fabs(got - expected) <= tolerance)) fail_msg("%.17g; expected %.17g", got, expected);
}

static void four_rows_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    /* answers 0, 1, 0 (tie: lowest), 2; truth 0, 2, 0, none */
    const double probs[] = {.7, .2, .1, .1, .6, .3, .4, .4, .2, 0, 0, 1};
    const int32_t truth[] = {0, 2, 0, -1};
    whet_metrics m;
    test_ok(ctx, whet_metrics_compute(ctx, probs, 4, 3, truth, NULL, &m));
    assert_int_equal(m.n, 3);
    close_to(m.accuracy, 2.0 / 3, 1e-15);
    /* class 0: 2 hits of 2 + 2; class 1: never true, once answered; class 2: once true */
    close_to(m.macro_f1, 1.0 / 3, 1e-15);
    close_to(m.log_loss, -(log(.7) + log(.3) + log(.4)) / 3, 1e-15);
    close_to(m.brier, (.09 + .04 + .01 + .01 + .36 + .49 + .36 + .16 + .04) / 3, 1e-15);
    close_to(m.calibration_error, ((1 - .7) + .6 + (1 - .4)) / 3, 1e-15);
    int64_t counts[9];
    test_ok(ctx, whet_metrics_confusion(ctx, probs, 4, 3, truth, NULL, counts));
    const int64_t expected[9] = {2, 0, 0, 0, 0, 0, 0, 1, 0};
    assert_memory_equal(counts, expected, sizeof counts);
    const int32_t predicted[] = {0, 2, 1, 2};
    test_ok(ctx, whet_metrics_compute(ctx, probs, 4, 3, truth, predicted, &m));
    close_to(m.accuracy, 2.0 / 3, 1e-15);
    close_to(m.log_loss, -(log(.7) + log(.3) + log(.4)) / 3, 1e-15);
    test_ctx_done(ctx);
}

static void wilson_matches_published_values(void **state) {
    (void)state;
    double low, high;
    /* Newcombe 1998, table I: 81/263 .2553 .3662; 15/148 .0624 .1605; 0/20 0 .1611; 1/29 .0061
     * .1718. Four digits are printed there. */
    whet_wilson(81, 263, &low, &high);
    close_to(low, .2553, 5e-5);
    close_to(high, .3662, 5e-5);
    whet_wilson(15, 148, &low, &high);
    close_to(low, .0624, 5e-5);
    close_to(high, .1605, 5e-5);
    whet_wilson(0, 20, &low, &high);
    close_to(low, 0, 0);
    close_to(high, .1611, 5e-5);
    whet_wilson(1, 29, &low, &high);
    close_to(low, .0061, 5e-5);
    close_to(high, .1718, 5e-5);
    whet_i_wilson(35.5, 100, &low, &high); /* half a hit, by the formula: not the interval of 35 */
    close_to(low, .26817, 5e-5);
    close_to(high, .45256, 5e-5);
    whet_wilson(20, 20, &low, &high);
    close_to(high, 1, 0);
    whet_wilson(0, 0, &low, &high);
    close_to(high - low, 1, 0);
}

static void reliability_bins_hold_every_counted_row(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    enum { N = 500, K = 4 };
    double probs[N * K];
    int32_t truth[N];
    whet_i_rng rng;
    whet_i_rng_init(&rng, 1, 0);
    int64_t counted = 0;
    for (int64_t i = 0; i < N; i++) {
        for (int64_t c = 0; c < K; c++) probs[i * K + c] = 3 * whet_i_rng_normal(&rng);
        whet_i_softmax(probs + i * K, K);
        truth[i] = (int32_t)whet_i_rng_below(&rng, K + 1) - 1;
        counted += truth[i] >= 0 ? 1 : 0;
    }
    whet_reliability_bin bins[WHET_RELIABILITY_BINS];
    whet_metrics m;
    test_ok(ctx, whet_metrics_reliability(ctx, probs, N, K, truth, bins));
    test_ok(ctx, whet_metrics_compute(ctx, probs, N, K, truth, NULL, &m));
    int64_t n = 0;
    double hits = 0;
    for (int i = 0; i < WHET_RELIABILITY_BINS; i++) {
        n += bins[i].n;
        hits += bins[i].accuracy * (double)bins[i].n;
        if (!bins[i].n) continue;
        assert_true(bins[i].confidence > i / 15.0 && bins[i].confidence <= (i + 1) / 15.0);
    }
    assert_int_equal(n, counted);
    close_to(hits / (double)n, m.accuracy, 1e-12);
    assert_true(m.accuracy > m.accuracy_low && m.accuracy < m.accuracy_high);
    test_ctx_done(ctx);
}

static void a_perfect_forecast_has_no_error(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const double probs[] = {1, 0, 0, 1};
    const int32_t truth[] = {0, 1};
    whet_metrics m;
    test_ok(ctx, whet_metrics_compute(ctx, probs, 2, 2, truth, NULL, &m));
    close_to(m.log_loss + m.brier + m.calibration_error, 0, 0);
    close_to(m.macro_f1, 1, 0);
    const int32_t wrong[] = {1, 0};
    test_ok(ctx, whet_metrics_compute(ctx, probs, 2, 2, wrong, NULL, &m));
    close_to(m.log_loss, -log(1e-15), 1e-12); /* clipped, not infinite */
    close_to(m.brier, 2, 0);
    test_ctx_done(ctx);
}

static void bad_input_is_refused_with_its_place(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    double probs[] = {.5, .5, .5, .5};
    const int32_t none[] = {-1, -1}, beyond[] = {0, 2}, fine[] = {0, 1};
    whet_metrics m = {0};
    test_fails(ctx, whet_metrics_compute(ctx, probs, 2, 2, none, NULL, &m), WHET_ERR_DATA);
    test_says(ctx, "none of 2 rows");
    test_fails(ctx, whet_metrics_compute(ctx, probs, 0, 2, none, NULL, &m), WHET_ERR_DATA);
    test_fails(ctx, whet_metrics_compute(ctx, probs, 2, 2, beyond, NULL, &m), WHET_ERR_ARG);
    test_says(ctx, "row 1");
    test_fails(ctx, whet_metrics_compute(ctx, probs, 2, 2, fine, none, &m), WHET_ERR_ARG);
    probs[3] = (double)NAN;
    test_fails(ctx, whet_metrics_compute(ctx, probs, 2, 2, fine, NULL, &m), WHET_ERR_DATA);
    test_says(ctx, "[1, 1]");
    assert_int_equal(m.n, 0);
    test_ctx_done(ctx);
}

static whet_status compute(whet_ctx *ctx, void *arg) {
    (void)arg;
    const double probs[] = {.5, .5, .5, .5};
    const int32_t truth[] = {0, 1};
    whet_metrics m;
    return whet_metrics_compute(ctx, probs, 2, 2, truth, NULL, &m);
}

static void survives_failing_allocations(void **state) {
    (void)state;
    assert_true(test_each_allocation(compute, NULL) >= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_rows_by_hand),
        cmocka_unit_test(wilson_matches_published_values),
        cmocka_unit_test(reliability_bins_hold_every_counted_row),
        cmocka_unit_test(a_perfect_forecast_has_no_error),
        cmocka_unit_test(bad_input_is_refused_with_its_place),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
