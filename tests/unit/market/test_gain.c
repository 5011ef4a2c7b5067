/* SPDX-License-Identifier: Apache-2.0
 * Gains before a trial: the published table, quadratics whose gain is known; and the gate: its error level by
 * drawing trials without a gain. */
#include "market_support.h"

#include <stdlib.h>

/* ---- published ---------------------------------------------------------------------------------- */

static void golden_tables(void **state) {
    (void)state;
    test_need_shared(PRICING_INDEX);
    whet_ctx *ctx = test_ctx(1);
    json_t *whole = NULL, *row;
    size_t i, rows = 0;
    const json_t *pricing = pricing_tables(ctx, &whole);
    json_array_foreach(json_object_get(pricing, "smoothness_bounds"), i, row) {
        const whet_gain_prior prior = {member(row, "grad_dot_d"), member(row, "d_norm2"),
                                       member(row, "Lsmooth")};
        double low, high;
        test_ok(ctx, whet_gain_bounds(ctx, &prior, member(row, "alpha"), &low, &high));
        close_to(low, member(row, "gain_lower"), 1e-14);
        close_to(high, member(row, "gain_upper"), 1e-14);
        rows++;
    }
    json_array_foreach(json_object_get(pricing, "hoeffding"), i, row) {
        double half;
        test_ok(ctx, whet_hoeffding_half_width(ctx, (int64_t)member(row, "n"), member(row, "range"),
                                               member(row, "delta"), &half));
        close_to(half, member(row, "half_width"), 1e-15);
        rows++;
    }
    test_need_some(rows, "bounds of gains");
    json_decref(whole);
    test_ctx_done(ctx);
}

/* Relative gains and decisions of the two-agent market, from its losses. */
static void golden_gains(void **state) {
    (void)state;
    test_need_shared(PRICING_INDEX);
    whet_ctx *ctx = test_ctx(1);
    json_t *whole = NULL, *side;
    size_t i, sides = 0;
    test_ok(ctx, whet_i_json_read(ctx, test_shared(PRICING_INDEX), (int64_t)1 << 24, &whole));
    json_array_foreach(json_object_get(whole, "sides"), i, side) {
        const json_t *losses = json_object_get(side, "losses");
        const size_t best = (size_t)member(side, "best_index");
        double gain;
        test_ok(ctx, whet_relative_gain(ctx, member(side, "buyer_loss"),
                                        json_number_value(json_array_get(losses, best)), &gain));
        close_to(gain, member(side, "relative_gain"), 1e-14);
        assert_int_equal(gain > 0, json_is_true(json_object_get(side, "buy")));
        sides++;
    }
    test_need_some(sides, "sides of a trade");
    json_decref(whole);
    test_ctx_done(ctx);
}

/* ---- quadratics --------------------------------------------------------------------------------- */

enum { DIM = 6 };

/* L(x) = sum c_i x_i^2 / 2 with c in [-1, 1] x smoothness: the gradient is smoothness-Lipschitz. */
static double quadratic(const double *c, const double *x, const double *d, double w) {
    double sum = 0;
    for (int i = 0; i < DIM; i++) sum += c[i] * (x[i] + w * d[i]) * (x[i] + w * d[i]) / 2;
    return sum;
}

static void gains_of_quadratics_lie_between(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 21, 0);
    for (int round = 0; round < 2000; round++) {
        double c[DIM], x[DIM], d[DIM], g2 = 0, low, high;
        whet_gain_prior prior = {0, 0, drawn_between(&rng, .1, 5)};
        for (int i = 0; i < DIM; i++) {
            c[i] = prior.smoothness * drawn_between(&rng, round % 2 ? 0 : -1, 1);
            x[i] = whet_i_rng_normal(&rng);
            d[i] = whet_i_rng_normal(&rng);
            prior.slope += c[i] * x[i] * d[i];
            prior.norm2 += d[i] * d[i];
            g2 += c[i] * c[i] * x[i] * x[i];
        }
        const double before = quadratic(c, x, d, 0), seller = quadratic(c, x, d, 1);
        whet_gain_plan plan;
        test_ok(ctx, whet_gain_best_weight(ctx, &prior, &plan));
        for (int k = 0; k <= 20; k++) {
            const double w = k / 20.0, gain = before - quadratic(c, x, d, w);
            test_ok(ctx, whet_gain_bounds(ctx, &prior, w, &low, &high));
            assert_true(low <= gain + 1e-12 && gain <= high + 1e-12);
            assert_true(low <= plan.best_low + 1e-12);
            if (w > 0 && w < plan.sure_below) assert_true(low > 0 && gain > 0);
            if (w > plan.sure_below + 1e-12 || plan.sure_below <= 0) assert_true(low <= 1e-12);
            if (w > 0) assert_int_equal(high > 0, w > plan.hope_above);
            test_ok(ctx, whet_gain_bounds_of_norm(ctx, sqrt(g2), &prior, w, &low, &high));
            assert_true(low <= gain + 1e-12 && gain <= high + 1e-12);
            if (round % 2) assert_true(gain >= whet_gain_convex(before, seller, w) - 1e-12);
        }
    }
    test_ctx_done(ctx);
}

static void best_weights_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_gain_plan plan;
    const whet_gain_prior inner = {-2, 4, 1}, clipped = {-10, 4, 1}, uphill = {1, 4, 1};
    test_ok(ctx, whet_gain_best_weight(ctx, &inner, &plan));
    close_to(plan.best_weight, .5, 0);
    close_to(plan.best_low, .5, 0); /* slope^2 / (2 smoothness norm2) */
    close_to(plan.sure_below, 1, 0);
    close_to(plan.hope_above, 0, 0);
    test_ok(ctx, whet_gain_best_weight(ctx, &clipped, &plan));
    close_to(plan.best_weight, 1, 0);
    close_to(plan.best_low, 8, 0);
    test_ok(ctx, whet_gain_best_weight(ctx, &uphill, &plan));
    close_to(plan.best_weight, 0, 0);
    close_to(plan.best_low, 0, 0);
    close_to(plan.sure_below, 0, 0);
    close_to(plan.hope_above, .5, 0);
    const whet_gain_prior odd[] = {{-2, 0, 1}, {-2, 4, 0}, {(double)NAN, 4, 1}, {-2, 1e200, 1e200}};
    for (int i = 0; i < 4; i++)
        test_fails(ctx, whet_gain_best_weight(ctx, &odd[i], &plan), WHET_ERR_ARG);
    double low = 5, high;
    test_fails(ctx, whet_gain_bounds(ctx, &inner, 1.5, &low, &high), WHET_ERR_ARG);
    test_fails(ctx, whet_gain_bounds_of_norm(ctx, -1, &inner, .5, &low, &high), WHET_ERR_ARG);
    close_to(low, 5, 0);
    test_ctx_done(ctx);
}

/* A parabola's own bend comes back from one trade; the largest of several. */
static void smoothness_of_past_trades(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    /* L(x) = 3 x^2 / 2 along d = 2, from x = 1: slope 6, norm2 4 */
    const whet_past_trade trades[] = {{1.5, 1.5 * 4, 6, 4, .5}, {1.5, 1.5 + .1, .1, 1, 1}};
    double k = -1;
    test_ok(ctx, whet_smoothness_of_trades(ctx, trades, 1, &k));
    close_to(k, 3, 1e-14);
    test_ok(ctx, whet_smoothness_of_trades(ctx, trades, 2, &k));
    close_to(k, 3, 1e-14);
    test_fails(ctx, whet_smoothness_of_trades(ctx, trades, 0, &k), WHET_ERR_ARG);
    const whet_past_trade odd[] = {{1, 1, 1, 1, 1}, {1, NAN, 1, 1, 1}};
    test_fails(ctx, whet_smoothness_of_trades(ctx, odd, 2, &k), WHET_ERR_ARG);
    test_says(ctx, "past trade 1");
    test_ctx_done(ctx);
}

/* ---- the gate ----------------------------------------------------------------------------------- */

static void gates_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_gate_opts o = WHET_GATE_OPTS_INIT;
    whet_gate g = {0};
    const double before[] = {1, 2, 3, 4}, after[] = {.5, 1, 2.5, 3};
    /* differences .5 1 .5 1: mean .75, s = sqrt(.25 / 3) */
    test_ok(ctx, whet_gate_losses(ctx, before, after, 4, &o, &g));
    close_to(g.gain, .75, 1e-15);
    close_to(g.before, 2.5, 1e-15);
    close_to(g.after, 1.75, 1e-15);
    close_to(g.relative, .3, 1e-15);
    close_to(g.half_width, 1.6448536269514722 * sqrt(.25 / 3) / 2, 1e-13);
    assert_true(g.accept);
    o.offers = 5;
    test_ok(ctx, whet_gate_losses(ctx, before, after, 4, &o, &g));
    close_to(g.half_width, 2.3263478740408408 * sqrt(.25 / 3) / 2, 1e-13); /* z of .05 / 5 */
    o = (whet_gate_opts){sizeof o, WHET_GATE_HOEFFDING, .05, 1, 2};
    test_ok(ctx, whet_gate_losses(ctx, before, after, 4, &o, &g));
    close_to(g.half_width, 2 * sqrt(log(40) / 8), 1e-15);
    assert_false(g.accept);
    test_ok(ctx, whet_gate_losses(ctx, before, before, 4, NULL, &g)); /* no gain: no */
    assert_false(g.accept);
    test_ctx_done(ctx);
}

static void gates_refuse_what_they_cannot_judge(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_gate_opts o = WHET_GATE_OPTS_INIT;
    whet_gate g = {.n = 9};
    const double before[] = {1, 2}, after[] = {.5, (double)NAN}, fine[] = {.5, 3};
    test_fails(ctx, whet_gate_losses(ctx, before, fine, 1, &o, &g), WHET_ERR_DATA);
    test_says(ctx, "1 examples; expected at least 2");
    test_fails(ctx, whet_gate_losses(ctx, before, after, 2, &o, &g), WHET_ERR_DATA);
    test_says(ctx, "example 1");
    o.level = 0;
    test_fails(ctx, whet_gate_losses(ctx, before, fine, 2, &o, &g), WHET_ERR_ARG);
    o.level = .6;
    test_fails(ctx, whet_gate_losses(ctx, before, fine, 2, &o, &g), WHET_ERR_ARG);
    o.level = .05;
    o.offers = 0;
    test_fails(ctx, whet_gate_losses(ctx, before, fine, 2, &o, &g), WHET_ERR_ARG);
    o.offers = 1;
    o.test = WHET_GATE_HOEFFDING;
    test_fails(ctx, whet_gate_losses(ctx, before, fine, 2, &o, &g), WHET_ERR_ARG);
    o.range = 1; /* differences .5 and -1 */
    test_fails(ctx, whet_gate_losses(ctx, before, fine, 2, &o, &g), WHET_ERR_DATA);
    test_says(ctx, "1.5 wide");
    double half;
    test_fails(ctx, whet_hoeffding_half_width(ctx, 0, 1, .05, &half), WHET_ERR_ARG);
    test_fails(ctx, whet_hoeffding_half_width(ctx, 5, 1, 1, &half), WHET_ERR_ARG);
    assert_int_equal(g.n, 9);
    test_ctx_done(ctx);
}

/* How many of `trials` candidates with mean difference `gain` pass: losses that only noise changes, in pairs
 * that share most of what makes an example hard. Uniform noise: bounded, as Hoeffding wants. */
static int64_t passing(whet_ctx *ctx, const whet_gate_opts *o, double gain, int64_t trials,
                       uint64_t seed) {
    enum { N = 400 };
    double before[N], after[N];
    whet_i_rng rng;
    int64_t passed = 0;
    whet_i_rng_init(&rng, seed, 0);
    for (int64_t t = 0; t < trials; t++) {
        for (int i = 0; i < N; i++) {
            const double hard = 3 * whet_i_rng_uniform(&rng);
            before[i] = hard + whet_i_rng_uniform(&rng);
            after[i] = hard + whet_i_rng_uniform(&rng) - gain;
        }
        whet_gate g;
        test_ok(ctx, whet_gate_losses(ctx, before, after, N, o, &g));
        passed += g.accept;
    }
    return passed;
}

/* 20,000 trials at 5 %: 1000, give or take 4 x 31; Hoeffding: at most 2.5 %, in truth far fewer. */
static void the_error_level_is_kept(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_gate_opts o = WHET_GATE_OPTS_INIT;
    const int64_t wrong = passing(ctx, &o, 0, 20000, 31);
    assert_true(wrong > 1000 - 124 && wrong < 1000 + 124);
    /* the smaller: 4 x 14 about 200 */
    o.offers = 5;
    const int64_t rarer = passing(ctx, &o, 0, 20000, 32);
    assert_true(rarer > 200 - 56 && rarer < 200 + 56);
    o.test = WHET_GATE_HOEFFDING;
    o.offers = 1;
    o.range = 2;
    assert_true(passing(ctx, &o, 0, 20000, 33) <= 500);
    /* s = sqrt(1/6): a gain of .1 is 4.9 standard errors, .15 above Hoeffding's .136 */
    o.range = 2.0000001; /* differences .15 - 1 .. .15 + 1, rounded */
    assert_true(passing(ctx, &o, .2, 2000, 34) > 1900);
    o.test = WHET_GATE_PAIRED;
    assert_true(passing(ctx, &o, .1, 2000, 35) > 1950);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_tables),
        cmocka_unit_test(golden_gains),
        cmocka_unit_test(gains_of_quadratics_lie_between),
        cmocka_unit_test(best_weights_by_hand),
        cmocka_unit_test(smoothness_of_past_trades),
        cmocka_unit_test(gates_by_hand),
        cmocka_unit_test(gates_refuse_what_they_cannot_judge),
        cmocka_unit_test(the_error_level_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
