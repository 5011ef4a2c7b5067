/* SPDX-License-Identifier: Apache-2.0
 * Beliefs: probabilities by hand and against draws; what observations, floors and bounds leave, against the
 * same rules on a table of weights. */
#include "market_support.h"

/* ---- priors ------------------------------------------------------------------------------------ */

static void normal_tails_match_published_values(void **state) {
    (void)state;
    /* Abramowitz & Stegun, table 26.1 and 26.5, to the digits that they print */
    close_to(whet_i_normal_upper(0), .5, 0);
    close_to(whet_i_normal_upper(1), .15865525393, 1e-11);
    close_to(whet_i_normal_upper_quantile(.05), 1.644853627, 1e-9);
    close_to(whet_i_normal_upper_quantile(.025), 1.959963985, 1e-9);
    close_to(whet_i_normal_upper_quantile(.01), 2.326347874, 1e-9);
    close_to(whet_i_normal_upper_quantile(.95), -1.644853627, 1e-9);
    /* P(Z >= 10) = 7.619853e-24: relative precision far out */
    close_to(whet_i_normal_upper(10) / 7.61985302416052607e-24, 1, 1e-12);
    close_to(whet_i_normal_upper_quantile(whet_i_normal_upper(10)), 10, 1e-13);
}

static void sales_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_belief *u = opened(ctx, "uniform:20:100"), *e = opened(ctx, "exponential:.1");
    whet_belief *l = opened(ctx, "lognormal:1:.5");
    const double values[] = {30, 10, 20, 20};
    whet_belief *s;
    double p;
    test_ok(ctx, whet_belief_samples(ctx, values, 4, &s));
    close_to(whet_belief_sale(u, 20), 1, 0);
    close_to(whet_belief_sale(u, 40), .75, 1e-15);
    close_to(whet_belief_sale(u, 100), 0, 0);
    close_to(whet_belief_sale(e, 0), 1, 0);
    close_to(whet_belief_sale(e, 10), exp(-1), 1e-15);
    close_to(whet_belief_sale(l, exp(1)), .5, 1e-15);
    close_to(whet_belief_sale(l, exp(1.5)), whet_i_normal_upper(1), 1e-15);
    close_to(whet_belief_sale(s, 10), 1, 0);
    close_to(whet_belief_sale(s, 10.5), .75, 0);
    close_to(whet_belief_sale(s, 20), .75, 0); /* who values the price exactly takes it */
    close_to(whet_belief_sale(s, 20.5), .25, 0);
    close_to(whet_belief_sale(s, 30), .25, 0);
    close_to(whet_belief_sale(s, 31), 0, 0);
    test_ok(ctx, whet_belief_quantile(ctx, u, .75, &p));
    close_to(p, 40, 1e-12);
    test_ok(ctx, whet_belief_quantile(ctx, e, exp(-3), &p));
    close_to(p, 30, 1e-12);
    test_ok(ctx, whet_belief_quantile(ctx, l, .5, &p));
    close_to(p, exp(1), 1e-12);
    test_ok(ctx, whet_belief_quantile(ctx, s, .7, &p));
    close_to(p, 20, 1e-12);
    test_fails(ctx, whet_belief_quantile(ctx, s, 0, &p), WHET_ERR_ARG);
    whet_belief_destroy(ctx, u);
    whet_belief_destroy(ctx, e);
    whet_belief_destroy(ctx, l);
    whet_belief_destroy(ctx, s);
    whet_belief_destroy(ctx, NULL);
    test_ctx_done(ctx);
}

/* A price far out in the lower tail of a cut: 1 - tiny would have no digits left. */
static void far_intervals_keep_their_digits(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_belief *l = opened(ctx, "lognormal:0:1");
    const double lo = exp(-9), middle = exp(-8.5), hi = exp(-8);
    test_ok(ctx, whet_belief_truncate(ctx, l, lo, hi));
    const double whole = whet_i_normal_upper(8) - whet_i_normal_upper(9);
    const double upper = whet_i_normal_upper(8) - whet_i_normal_upper(8.5);
    close_to(whet_belief_sale(l, middle), upper / whole, 1e-12);
    whet_belief_destroy(ctx, l);
    test_ctx_done(ctx);
}

/* ---- observations against a table of weights --------------------------------------------------- */

enum { CELLS = 400, STEPS = 60 };

/* The rule as it is written, on a weight a value. */
static void observe_weights(double *w, const double *prior, const double *value, int64_t n,
                            double price, bool accepted, double floor) {
    double agreed = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) agreed += (value[i] >= price) == accepted ? w[i] : 0;
    for (int64_t i = 0; i < n; i++) {
        const double given = agreed <= 0                       ? prior[i]
                             : (value[i] >= price) == accepted ? w[i] / agreed
                                                               : 0;
        w[i] = (1 - floor) * given + floor * prior[i];
        sum += w[i];
    }
    close_to(sum, 1, 1e-12);
}

static double weight_of_sale(const double *w, const double *value, int64_t n, double price) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += value[i] >= price ? w[i] : 0;
    return sum;
}

static void observations_match_a_table_of_weights(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 3, 0);
    double value[CELLS], prior[CELLS], w[CELLS];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < CELLS; i++) {
            value[i] = (double)whet_i_rng_below(&rng, 1000); /* with ties */
            prior[i] = w[i] = 1.0 / CELLS;
        }
        whet_belief *s;
        test_ok(ctx, whet_belief_samples(ctx, value, CELLS, &s));
        for (int step = 0; step < STEPS; step++) {
            const double price = (double)whet_i_rng_below(&rng, 1001),
                         floor = .01 + .2 * (step % 2);
            const bool accepted = whet_i_rng_below(&rng, 2) == 1;
            test_ok(ctx, whet_belief_observe(ctx, s, price, accepted, floor));
            observe_weights(w, prior, value, CELLS, price, accepted, floor);
            for (int i = 0; i < 20; i++) {
                const double at = (double)whet_i_rng_below(&rng, 1001);
                close_to(whet_belief_sale(s, at), weight_of_sale(w, value, CELLS, at), 1e-12);
            }
        }
        whet_belief_destroy(ctx, s);
    }
    test_ctx_done(ctx);
}

/* The same of densities: 20,000 cells of equal probability, whose edges are the belief's own quantiles by
 * formula; prices on the edges, so that a cell agrees as a whole. */
static void observations_of_densities_match_cells(void **state) {
    (void)state;
    enum { FINE = 2000 };
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 4, 0);
    static double edge[FINE], prior[FINE], w[FINE];
    for (int kind = 0; kind < 3; kind++) {
        whet_belief *b = opened(
            ctx, (const char *[]){"uniform:10:90", "exponential:.02", "lognormal:3:.8"}[kind]);
        for (int i = 0; i < FINE; i++) {
            const double q = 1 - i / (double)FINE; /* P(V >= edge) */
            edge[i] = kind == 0   ? 90 - 80 * q
                      : kind == 1 ? -log(q) / .02
                      : i == 0    ? 0
                                  : exp(3 + .8 * whet_i_normal_upper_quantile(q));
            prior[i] = w[i] = 1.0 / FINE;
        }
        for (int step = 0; step < 30; step++) {
            const double price = edge[1 + whet_i_rng_below(&rng, FINE - 1)];
            const bool accepted = whet_i_rng_below(&rng, 2) == 1;
            test_ok(ctx, whet_belief_observe(ctx, b, price, accepted, .05));
            observe_weights(w, prior, edge, FINE, price, accepted, .05);
            for (int i = 0; i < FINE; i += 37)
                /* a cell at the edge may fall to the other side by rounding of its edge */
                close_to(whet_belief_sale(b, edge[i]), weight_of_sale(w, edge, FINE, edge[i]),
                         1e-9);
        }
        whet_belief_destroy(ctx, b);
    }
    test_ctx_done(ctx);
}

static void one_acceptance_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_belief *u = opened(ctx, "uniform:0:100");
    test_ok(ctx, whet_belief_observe(ctx, u, 60, true, 0));
    close_to(whet_belief_sale(u, 60), 1, 1e-15);
    close_to(whet_belief_sale(u, 80), .5, 1e-15);
    test_ok(ctx, whet_belief_observe(ctx, u, 80, false, .1));
    /* .9 on [60, 80), .1 spread over [0, 100) */
    close_to(whet_belief_sale(u, 80), .02, 1e-15);
    close_to(whet_belief_sale(u, 70), .45 + .03, 1e-15);
    close_to(whet_belief_sale(u, 60), .9 + .04, 1e-15);
    close_to(whet_belief_sale(u, 10), .9 + .09, 1e-15);
    whet_belief_destroy(ctx, u);
    test_ctx_done(ctx);
}

/* A buyer who always refuses what he would gladly pay. */
static void a_floor_is_kept_against_refusing_by_design(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_belief *u = opened(ctx, "uniform:0:100"), *naive = opened(ctx, "uniform:0:100");
    whet_posted posted;
    for (int i = 0; i < 50; i++) {
        test_ok(ctx, whet_posted_price(ctx, u, 0, &posted));
        test_ok(ctx, whet_belief_observe(ctx, u, posted.price.exact, false, .05));
        test_ok(ctx, whet_posted_price(ctx, naive, 0, &posted));
        test_ok(ctx, whet_belief_observe(ctx, naive, posted.price.exact, false, 0));
    }
    close_to(whet_belief_sale(u, 50), .05 * .5, 1e-12);
    test_ok(ctx, whet_posted_price(ctx, u, 0, &posted));
    /* at least the floor's part of the prior's profit of 25, times 1 - 1/.. for what is below 50 */
    assert_true(posted.price.exact * whet_belief_sale(u, posted.price.exact) >= .05 * 25 - 1e-12);
    test_ok(ctx, whet_posted_price(ctx, naive, 0, &posted));
    assert_true(posted.price.exact < 1e-12); /* halved fifty times */
    whet_belief_destroy(ctx, u);
    whet_belief_destroy(ctx, naive);
    test_ctx_done(ctx);
}

static void what_cannot_be_is_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_belief *u = opened(ctx, "uniform:0:100"), *e = opened(ctx, "exponential:1");
    test_ok(ctx, whet_belief_observe(ctx, u, 60, true, 0));
    test_fails(ctx, whet_belief_observe(ctx, u, 40, false, 0), WHET_ERR_DATA);
    test_says(ctx, "a price of 40 was refused, which the belief holds impossible");
    test_fails(ctx, whet_belief_observe(ctx, u, 100, true, 0), WHET_ERR_DATA);
    close_to(whet_belief_sale(u, 80), .5, 1e-15); /* as before */
    test_fails(ctx, whet_belief_observe(ctx, u, 50, true, 1), WHET_ERR_ARG);
    test_fails(ctx, whet_belief_observe(ctx, u, 50, true, (double)NAN), WHET_ERR_ARG);
    test_fails(ctx, whet_belief_observe(ctx, u, -1, true, 0), WHET_ERR_ARG);
    test_fails(ctx, whet_belief_truncate(ctx, u, 10, 20), WHET_ERR_ARG);
    test_says(ctx, "after an observation");
    /* With a floor, the impossible says that the belief was wrong: back to the prior. */
    test_ok(ctx, whet_belief_observe(ctx, u, 100, true, .01));
    close_to(whet_belief_sale(u, 80), .2, 1e-14);
    test_fails(ctx, whet_belief_truncate(ctx, e, 20, 10), WHET_ERR_ARG);
    test_fails(ctx, whet_belief_truncate(ctx, e, 1000, 2000), WHET_ERR_DATA);
    test_says(ctx, "the belief has no value from 1000 to 2000");
    test_ok(ctx, whet_belief_truncate(ctx, e, 1, 2));
    close_to(whet_belief_sale(e, 1.5), (exp(-1.5) - exp(-2)) / (exp(-1) - exp(-2)), 1e-14);
    close_to(whet_belief_sale(e, .5), 1, 0);
    whet_status status = WHET_OK;
    for (int i = 0; i < 5000 && status == WHET_OK; i++)
        status = whet_belief_observe(ctx, e, 1 + (i + 1) / 5002.0, i % 2 == 0, .5);
    assert_int_equal(status, WHET_ERR_LIMIT);
    whet_belief_destroy(ctx, u);
    whet_belief_destroy(ctx, e);
    test_ctx_done(ctx);
}

/* ---- files and specs --------------------------------------------------------------------------- */

static void samples_are_read_and_cut(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char spec[512];
    whet_belief *b = NULL;
    (void)snprintf(spec, sizeof spec, "samples:%s",
                   test_write_text("v.csv", "buyer,value\na,10\nb,30.5\nc,20\n"));
    b = opened(ctx, spec);
    close_to(whet_belief_sale(b, 20), 2 / 3.0, 1e-15);
    test_ok(ctx, whet_belief_truncate(ctx, b, 15, 30.5)); /* bounds belong to it */
    close_to(whet_belief_sale(b, 30), .5, 0);
    close_to(whet_belief_sale(b, 20), 1, 0);
    test_fails(ctx, whet_belief_truncate(ctx, b, 21, 30), WHET_ERR_DATA);
    test_ok(ctx, whet_belief_observe_file(
                     ctx, b, test_write_text("h.tsv", "price\taccepted\n25\tyes\n25\t0\n"), .2));
    /* [.1, .9], then refused: .8 [1, 0] + .2 [.5, .5] */
    close_to(whet_belief_sale(b, 25), .1, 1e-15);
    whet_belief_destroy(ctx, b);
    test_ctx_done(ctx);
}

static void bad_files_are_refused_with_their_line(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } HISTORIES[] = {
        {"price\ttaken\n1\t1\n", "no column \"accepted\""},
        {"price\taccepted\n1\t1\nx\t1\n", "h.tsv:3: price is \"x\""},
        {"price\taccepted\n1\tmaybe\n", "h.tsv:2: accepted is \"maybe\""},
        {"price\taccepted\n-1\t1\n", "h.tsv:2: observed price is -1"},
        {"price\taccepted\n1\t1\n200\t1\n", "h.tsv:3: a price of 200 was accepted"},
    };
    static const struct {
        const char *text, *says;
    } SAMPLES[] = {{"value\n", "no rows"},
                   {"price\n1\n", "no column \"value\""},
                   {"value\n1\n-2\n", "s.tsv:3: value is \"-2\""},
                   {"value\n1e30\n", "s.tsv:2"}};
    whet_ctx *ctx = test_ctx(1);
    char spec[512];
    whet_belief *u = opened(ctx, "uniform:0:100"), *none = NULL;
    for (size_t i = 0; i < sizeof HISTORIES / sizeof HISTORIES[0]; i++) {
        const char *path = test_write_text("h.tsv", HISTORIES[i].text);
        const whet_status status = whet_belief_observe_file(ctx, u, path, 0);
        assert_true(status == WHET_ERR_FORMAT || status == WHET_ERR_DATA);
        test_says(ctx, HISTORIES[i].says);
        close_to(whet_belief_sale(u, 50), .5, 0);
    }
    for (size_t i = 0; i < sizeof SAMPLES / sizeof SAMPLES[0]; i++) {
        (void)snprintf(spec, sizeof spec, "samples:%s", test_write_text("s.tsv", SAMPLES[i].text));
        const whet_status status = whet_belief_open(ctx, spec, &none);
        assert_true(status == WHET_ERR_FORMAT || status == WHET_ERR_DATA);
        test_says(ctx, SAMPLES[i].says);
    }
    test_fails(ctx, whet_belief_observe_file(ctx, u, "/nowhere/h.tsv", 0), WHET_ERR_IO);
    assert_null(none);
    whet_belief_destroy(ctx, u);
    test_ctx_done(ctx);
}

static void odd_specs_are_refused(void **state) {
    (void)state;
    static const char *const SPECS[] = {"",
                                        "uniform",
                                        "uniform:1",
                                        "uniform:1:1",
                                        "uniform:2:1",
                                        "uniform:-1:1",
                                        "uniform:0:1e17",
                                        "uniform:0:1:2",
                                        "exponential:0",
                                        "exponential:-1",
                                        "exponential:1:2",
                                        "lognormal:0:0",
                                        "lognormal:0:-1",
                                        "lognormal:1e3:1",
                                        "normal:0:1",
                                        "samples:",
                                        "uniform:0:nan",
                                        "uniform:0:0x10",
                                        "exponential:1e999",
                                        "Uniform:0:1"};
    whet_ctx *ctx = test_ctx(1);
    whet_belief *none = NULL;
    for (size_t i = 0; i < sizeof SPECS / sizeof SPECS[0]; i++) {
        const whet_status status = whet_belief_open(ctx, SPECS[i], &none);
        if (status != WHET_ERR_ARG && status != WHET_ERR_LIMIT)
            fail_msg("\"%s\" gave %d", SPECS[i], (int)status);
    }
    assert_null(none);
    test_ctx_done(ctx);
}

static whet_status live(whet_ctx *ctx, void *arg) {
    whet_belief *b = NULL;
    whet_posted posted;
    whet_status status = whet_belief_open(ctx, arg, &b);
    if (status == WHET_OK) status = whet_belief_observe(ctx, b, 30, true, .1);
    if (status == WHET_OK)
        status = whet_belief_observe_file(
            ctx, b, test_write_text("a.tsv", "price\taccepted\n20\t1\n40\t0\n"), .1);
    if (status == WHET_OK) status = whet_posted_price(ctx, b, 3, &posted);
    whet_belief_destroy(ctx, b);
    return status;
}

static void survives_failing_allocations(void **state) {
    (void)state;
    static char uniform[] = "uniform:0:100", samples[512];
    (void)snprintf(samples, sizeof samples, "samples:%s",
                   test_write_text("v.tsv", "value\n10\n30\n50\n"));
    assert_true(test_each_allocation(live, uniform) > 5);
    assert_true(test_each_allocation(live, samples) > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normal_tails_match_published_values),
        cmocka_unit_test(sales_by_hand),
        cmocka_unit_test(far_intervals_keep_their_digits),
        cmocka_unit_test(observations_match_a_table_of_weights),
        cmocka_unit_test(observations_of_densities_match_cells),
        cmocka_unit_test(one_acceptance_by_hand),
        cmocka_unit_test(a_floor_is_kept_against_refusing_by_design),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(samples_are_read_and_cut),
        cmocka_unit_test(bad_files_are_refused_with_their_line),
        cmocka_unit_test(odd_specs_are_refused),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
