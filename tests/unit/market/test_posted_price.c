/* SPDX-License-Identifier: Apache-2.0
 * Posted prices: the published tables, closed forms, brute force over a fine grid of prices as a second
 * algorithm for every kind of belief and history, and draws of buyers. */
#include "market_support.h"

#include <stdlib.h>

static whet_posted posted(whet_ctx *ctx, const whet_belief *belief, double cost) {
    whet_posted p = {0};
    test_ok(ctx, whet_posted_price(ctx, belief, cost, &p));
    return p;
}

/* Takes the belief over. */
static double exact_of(whet_ctx *ctx, whet_belief *belief, double cost) {
    const double exact = posted(ctx, belief, cost).price.exact;
    whet_belief_destroy(ctx, belief);
    return exact;
}

/* ---- published ---------------------------------------------------------------------------------- */

static void golden_tables(void **state) {
    (void)state;
    test_need_shared(PRICING_INDEX);
    whet_ctx *ctx = test_ctx(1);
    json_t *whole = NULL, *row;
    const json_t *pricing = pricing_tables(ctx, &whole);
    size_t i, rows = 0;
    json_array_foreach(json_object_get(pricing, "uniform_reserve"), i, row) {
        whet_belief *b = NULL;
        test_ok(ctx, whet_belief_uniform(ctx, member(row, "lo"), member(row, "hi"), &b));
        close_to(exact_of(ctx, b, member(row, "seller_cost")), member(row, "price"), 1e-15);
        rows++;
    }
    json_array_foreach(json_object_get(pricing, "exponential_reserve"), i, row) {
        whet_belief *b = NULL;
        test_ok(ctx, whet_belief_exponential(ctx, member(row, "rate"), &b));
        close_to(exact_of(ctx, b, member(row, "seller_cost")), member(row, "price"), 1e-15);
        rows++;
    }
    json_array_foreach(json_object_get(pricing, "lognormal_reserve"), i, row) {
        whet_belief *b = NULL;
        test_ok(ctx, whet_belief_lognormal(ctx, member(row, "mu"), member(row, "sigma"), &b));
        /* their root finder stops at 2e-12, ours at the last bit of the tail */
        close_to(exact_of(ctx, b, member(row, "seller_cost")), member(row, "price"), 1e-11);
        rows++;
    }
    json_array_foreach(json_object_get(pricing, "empirical_reserve"), i, row) {
        const json_t *samples = json_object_get(row, "samples");
        const int64_t n = (int64_t)json_array_size(samples);
        double *values = malloc(sizeof *values * (size_t)(n + 1));
        whet_belief *b = NULL;
        assert_non_null(values);
        for (int64_t k = 0; k < n; k++)
            values[k] = json_number_value(json_array_get(samples, (size_t)k));
        test_ok(ctx, whet_belief_samples(ctx, values, n, &b));
        const whet_posted p = posted(ctx, b, member(row, "seller_cost"));
        close_to(p.price.exact, member(row, "price"), 0);
        close_to(p.profit * (double)n, member(row, "revenue_times_n"), 1e-14);
        whet_belief_destroy(ctx, b);
        free(values);
        rows++;
    }
    test_need_some(rows, "posted prices");
    json_decref(whole);
    test_ctx_done(ctx);
}

/* ---- brute force -------------------------------------------------------------------------------- */

/* The best of 40,000 prices up to where a sale has probability 1e-7. */
static double best_on_grid(whet_ctx *ctx, const whet_belief *b, double cost) {
    enum { PRICES = 40000 };
    double top, best = 0;
    test_ok(ctx, whet_belief_quantile(ctx, b, 1e-7, &top));
    for (int i = 0; i <= PRICES; i++) {
        const double p = top * i / PRICES;
        best = fmax(best, (p - cost) * whet_belief_sale(b, p));
    }
    return best;
}

/* No price on the grid earns more, but for rounding; and nothing above the best is claimed. */
static void check_best(whet_ctx *ctx, const whet_belief *b, double cost) {
    const whet_posted p = posted(ctx, b, cost);
    const double grid = best_on_grid(ctx, b, cost);
    if (p.price.exact <= 0) {
        close_to(grid, 0, 1e-6);
        return;
    }
    const double profit = (p.price.exact - cost) * whet_belief_sale(b, p.price.exact);
    if (!(profit >= grid * (1 - 1e-12) - 1e-12))
        fail_msg("%g at %.17g, cost %g; the grid has %.17g", profit, p.price.exact, cost, grid);
    assert_true(p.price.exact >= cost);
    if (!p.price.trade) return;
    assert_true((double)p.price.price >= cost);
    close_to(p.sale, whet_belief_sale(b, (double)p.price.price), 0);
    close_to(p.profit, ((double)p.price.price - cost) * p.sale, 0);
}

static void no_price_of_a_grid_is_better(void **state) {
    (void)state;
    static const char *const SPECS[] = {"uniform:0:100",   "uniform:60:100", "exponential:.02",
                                        "lognormal:4:.25", "lognormal:3:1",  "lognormal:2:1.7",
                                        "lognormal:1:3"};
    static const double COSTS[] = {0, .5, 20, 70, 130};
    whet_ctx *ctx = test_ctx(1);
    for (size_t s = 0; s < sizeof SPECS / sizeof SPECS[0]; s++)
        for (size_t c = 0; c < sizeof COSTS / sizeof COSTS[0]; c++) {
            whet_belief *b = opened(ctx, SPECS[s]);
            check_best(ctx, b, COSTS[c]);
            if (whet_belief_sale(b, 30) > whet_belief_sale(b, 90)) {
                test_ok(ctx, whet_belief_truncate(ctx, b, 30, 90));
                check_best(ctx, b, COSTS[c]);
            }
            whet_belief_destroy(ctx, b);
        }
    test_ctx_done(ctx);
}

static void no_price_of_a_grid_is_better_after_a_history(void **state) {
    (void)state;
    static const char *const SPECS[] = {"uniform:0:100", "exponential:.02", "lognormal:3.5:.6"};
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 11, 0);
    int several = 0;
    for (int round = 0; round < 45; round++) {
        whet_belief *b = opened(ctx, SPECS[round % 3]);
        if (round % 2) test_ok(ctx, whet_belief_truncate(ctx, b, 5, 95));
        for (int step = 0; step <= round % 7; step++)
            test_ok(ctx,
                    whet_belief_observe(ctx, b, drawn_between(&rng, 6, 94),
                                        whet_i_rng_below(&rng, 2) == 1, .02 + .1 * (step % 3)));
        check_best(ctx, b, drawn_between(&rng, 0, 60));
        const whet_posted p = posted(ctx, b, 0);
        assert_int_equal(p.method, WHET_POSTED_IRONED);
        several += p.passed_high > p.passed_low;
        whet_belief_destroy(ctx, b);
    }
    assert_true(several > 20); /* such beliefs are what ironing is for */
    test_ctx_done(ctx);
}

/* Two humps by hand: after one refusal of 50 with floor e, mass 1 - e / 2 on [0, 50), e / 2 on [50, 100).
 * Below: p (1 - (2 - e) p / 100), best 25 / (1 - e / 2); above: the prior's part, 50 e / 2. */
static void two_humps_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    for (int i = 1; i < 10; i++) {
        const double e = i / 10.0;
        whet_belief *b = opened(ctx, "uniform:0:100");
        test_ok(ctx, whet_belief_observe(ctx, b, 50, false, e));
        const double low = 25 / (1 - e / 2), low_profit = low / 2, high_profit = 25 * e;
        const whet_posted p = posted(ctx, b, 0);
        close_to(p.price.exact, low_profit > high_profit ? low : 50, 1e-12);
        /* A cost at which the upper hump wins: (p - C)(100 - p) e / 100, p = 50 + C / 2. */
        close_to(posted(ctx, b, 45).price.exact, 72.5, 1e-12);
        assert_true(p.passed_low >= 0 && p.passed_high > p.passed_low);
        whet_belief_destroy(ctx, b);
    }
    test_ctx_done(ctx);
}

static void samples_by_brute_force(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 5, 0);
    for (int round = 0; round < 300; round++) {
        const int64_t n = 1 + whet_i_rng_below(&rng, 260);
        const double cost = (double)whet_i_rng_below(&rng, 60);
        double v[300], sorted[300];
        for (int64_t i = 0; i < n; i++) v[i] = (double)whet_i_rng_below(&rng, 90);
        whet_belief *b;
        test_ok(ctx, whet_belief_samples(ctx, v, n, &b));
        for (int64_t i = 0; i < n; i++) { /* insertion sort: another way than the library's */
            int64_t at = i;
            for (; at > 0 && sorted[at - 1] > v[i]; at--) sorted[at] = sorted[at - 1];
            sorted[at] = v[i];
        }
        const int64_t top = n < 200 ? (int64_t)ceil(sqrt((double)n)) : 0;
        double best = -1, profit = -1;
        for (int pass = 0; pass < 2 && best < 0; pass++) {
            const int64_t end = pass ? n : (n - top > 1 ? n - top : 1);
            for (int64_t i = 0; i < end; i++)
                if (sorted[i] >= cost && (sorted[i] - cost) * (double)(n - i) >= profit) {
                    if (i > 0 && sorted[i - 1] >= sorted[i]) continue;
                    profit = (sorted[i] - cost) * (double)(n - i);
                    best = sorted[i]; /* of equals the higher */
                }
        }
        const whet_posted p = posted(ctx, b, cost);
        assert_int_equal(p.price.trade, best >= 0);
        if (best >= 0) {
            close_to(p.price.exact, best, 0);
            close_to(p.profit * (double)n, profit, 1e-12);
        }
        whet_belief_destroy(ctx, b);
    }
    test_ctx_done(ctx);
}

/* After observations the samples have weights: brute force by the probability of a sale. */
static void samples_with_a_history(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 6, 0);
    enum { N = 250 }; /* no guard: the plain rule */
    for (int round = 0; round < 40; round++) {
        double v[N], best = 0;
        for (int i = 0; i < N; i++) v[i] = drawn_between(&rng, 0, 1000);
        whet_belief *b;
        test_ok(ctx, whet_belief_samples(ctx, v, N, &b));
        for (int step = 0; step <= round % 5; step++)
            test_ok(ctx, whet_belief_observe(ctx, b, drawn_between(&rng, 0, 1000),
                                             whet_i_rng_below(&rng, 2) == 1, .1));
        for (int i = 0; i < N; i++) best = fmax(best, (v[i] - 100) * whet_belief_sale(b, v[i]));
        const double exact = posted(ctx, b, 100).price.exact;
        close_to((exact - 100) * whet_belief_sale(b, exact), best, 1e-12);
        whet_belief_destroy(ctx, b);
    }
    test_ctx_done(ctx);
}

static void the_guard_keeps_a_lone_high_sample_out(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const double v[] = {10, 11, 12, 13, 14, 15, 16, 17, 1e6};
    whet_belief *b;
    test_ok(ctx, whet_belief_samples(ctx, v, 9, &b));
    /* of 6 candidates: 10 x 9, 11 x 8, 12 x 7, .. */
    close_to(posted(ctx, b, 0).price.exact, 10, 0);
    /* only guarded samples are worth it: better those than none */
    close_to(posted(ctx, b, 16.5).price.exact, 1e6, 0);
    assert_false(posted(ctx, b, 2e6).price.trade);
    whet_belief_destroy(ctx, b);
    test_ok(ctx, whet_belief_samples(ctx, v, 1, &b));
    close_to(posted(ctx, b, 0).price.exact, 10, 0);
    whet_belief_destroy(ctx, b);
    const double tied[] = {4, 8}; /* 4 x 2 = 8 x 1; n = 2 has one candidate, so take many */
    double many[200];
    for (int i = 0; i < 200; i++) many[i] = tied[i % 2];
    test_ok(ctx, whet_belief_samples(ctx, many, 200, &b));
    close_to(posted(ctx, b, 0).price.exact, 8, 0);
    whet_belief_destroy(ctx, b);
    /* 200 samples are many, 199 are not */
    for (int i = 0; i < 200; i++) many[i] = i == 0 ? 1e6 : 1;
    for (int64_t n = 199; n <= 200; n++) {
        test_ok(ctx, whet_belief_samples(ctx, many, n, &b));
        close_to(posted(ctx, b, 0).price.exact, n == 199 ? 1 : 1e6, 0);
        whet_belief_destroy(ctx, b);
    }
    test_ctx_done(ctx);
}

/* ---- draws of buyers ---------------------------------------------------------------------------- */

/* 400,000 buyers of fixed seed: what they pay at the price is what the belief says, to 4 standard errors, and
 * no more at prices 10 % off, to the same. */
static void drawn_buyers_pay_what_is_promised(void **state) {
    (void)state;
    enum { BUYERS = 400000, PRICES = 3 };
    static const double FACTOR[PRICES] = {1, .9, 1.1};
    static const char *const SPECS[] = {"uniform:20:100", "exponential:.02", "lognormal:3:.7"};
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 2024, 0);
    for (int s = 0; s < 3; s++) {
        whet_belief *b = opened(ctx, SPECS[s]);
        const double cost = 15, price = posted(ctx, b, cost).price.exact;
        double paid[PRICES] = {0};
        for (int i = 0; i < BUYERS; i++) {
            const double u = whet_i_rng_uniform(&rng);
            const double v = s == 0   ? 20 + 80 * u
                             : s == 1 ? -50 * log1p(-u)
                                      : exp(3 + .7 * whet_i_rng_normal(&rng));
            for (int k = 0; k < PRICES; k++)
                if (v >= price * FACTOR[k]) paid[k] += (price * FACTOR[k] - cost) / BUYERS;
        }
        const double sale = whet_belief_sale(b, price), margin = price - cost;
        const double error = 4 * margin * sqrt(sale * (1 - sale) / BUYERS);
        assert_true(fabs(paid[0] - margin * sale) < error);
        assert_true(paid[1] < paid[0] + error && paid[2] < paid[0] + error);
        whet_belief_destroy(ctx, b);
    }
    test_ctx_done(ctx);
}

/* ---- edges -------------------------------------------------------------------------------------- */

static void whole_prices_stay_above_the_cost(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_belief *u = opened(ctx, "uniform:0:10.4");
    whet_posted p = posted(ctx, u, 9.3); /* exact 9.85; 9 would be a loss */
    close_to(p.price.exact, 9.85, 1e-14);
    assert_int_equal(p.price.price, 10);
    close_to(p.sale, .4 / 10.4, 1e-14);
    assert_false(posted(ctx, u, 10.1).price.trade); /* no whole unit from 10.1 to 10.4 */
    assert_false(posted(ctx, u, 10.4).price.trade);
    assert_false(posted(ctx, u, 5000).price.trade);
    whet_belief_destroy(ctx, u);
    test_ctx_done(ctx);
}

static void prices_that_overflow_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_belief *e = opened(ctx, "exponential:1e-17"), *l = opened(ctx, "lognormal:90:1");
    whet_posted p = {.sale = 5};
    test_fails(ctx, whet_posted_price(ctx, e, 0, &p), WHET_ERR_LIMIT);
    test_says(ctx, "price 1e+17 overflows");
    test_fails(ctx, whet_posted_price(ctx, l, 0, &p), WHET_ERR_LIMIT);
    test_fails(ctx, whet_posted_price(ctx, e, -1, &p), WHET_ERR_ARG);
    test_fails(ctx, whet_posted_price(ctx, e, (double)NAN, &p), WHET_ERR_ARG);
    test_fails(ctx, whet_posted_price(ctx, e, 1e16, &p), WHET_ERR_LIMIT);
    close_to(p.sale, 5, 0);
    whet_belief_destroy(ctx, e);
    whet_belief_destroy(ctx, l);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_tables),
        cmocka_unit_test(no_price_of_a_grid_is_better),
        cmocka_unit_test(no_price_of_a_grid_is_better_after_a_history),
        cmocka_unit_test(two_humps_by_hand),
        cmocka_unit_test(samples_by_brute_force),
        cmocka_unit_test(samples_with_a_history),
        cmocka_unit_test(the_guard_keeps_a_lone_high_sample_out),
        cmocka_unit_test(drawn_buyers_pay_what_is_promised),
        cmocka_unit_test(whole_prices_stay_above_the_cost),
        cmocka_unit_test(prices_that_overflow_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
