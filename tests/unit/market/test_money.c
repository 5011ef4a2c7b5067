/* SPDX-License-Identifier: Apache-2.0
 * Whole units: rounding, overflow by name, fees that conserve; values of gains, costs of sellers. */
#include "market_support.h"

__extension__ typedef __int128 wide;

/* ---- rounding ---------------------------------------------------------------------------------- */

static void reals_become_whole_units(void **state) {
    (void)state;
    static const struct {
        double x;
        int64_t down, up;
    } CASES[] = {
        {0, 0, 0},
        {.5, 0, 1},
        {64.999, 64, 65},
        {65, 65, 65},
        {.29 * 100, 29, 29},  /* 28.999999999999996 in f64 */
        {65 + 1e-14, 65, 65}, /* a spacing above */
        {65.0001, 65, 66},    /* meant */
        {1e9 + .9999, 1000000000, 1000000001},
        {4503599627370495.5, 4503599627370495, 4503599627370496}, /* 2^52 - 1/2: a spacing is 1/2 */
        {9007199254740992.0, WHET_MONEY_MAX, WHET_MONEY_MAX},
    };
    whet_ctx *ctx = test_ctx(1);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        int64_t units = -1;
        test_ok(ctx, whet_money_floor(ctx, "price", CASES[i].x, &units));
        assert_int_equal(units, CASES[i].down);
        test_ok(ctx, whet_money_ceil(ctx, "price", CASES[i].x, &units));
        assert_int_equal(units, CASES[i].up);
    }
    test_ctx_done(ctx);
}

static void what_overflows_is_named(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    int64_t units = 77;
    test_fails(ctx, whet_money_floor(ctx, "bonus", 1e30, &units), WHET_ERR_LIMIT);
    test_says(ctx, "bonus 1e+30 overflows");
    test_fails(ctx, whet_money_floor(ctx, "bonus", (double)INFINITY, &units), WHET_ERR_LIMIT);
    test_fails(ctx, whet_money_ceil(ctx, "bonus", (double)NAN, &units), WHET_ERR_ARG);
    test_fails(ctx, whet_money_floor(ctx, "bonus", -1, &units), WHET_ERR_ARG);
    test_says(ctx, "bonus is -1");
    test_fails(ctx, whet_money_add(ctx, "bill", WHET_MONEY_MAX, 1, &units), WHET_ERR_LIMIT);
    test_says(ctx, "bill 9007199254740993 overflows");
    test_fails(ctx, whet_money_add(ctx, "bill", INT64_MAX, INT64_MAX, &units), WHET_ERR_LIMIT);
    test_fails(ctx, whet_money_add(ctx, "bill", -1, 5, &units), WHET_ERR_ARG);
    test_fails(ctx, whet_money_subtract(ctx, "bill", 4, 5, &units), WHET_ERR_ARG);
    test_says(ctx, "5 are taken from 4");
    assert_int_equal(units, 77);
    test_ok(ctx, whet_money_add(ctx, "bill", WHET_MONEY_MAX - 1, 1, &units));
    assert_int_equal(units, WHET_MONEY_MAX);
    test_ok(ctx, whet_money_subtract(ctx, "bill", 5, 5, &units));
    assert_int_equal(units, 0);
    test_ctx_done(ctx);
}

/* ---- fees -------------------------------------------------------------------------------------- */

static void fees_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const whet_fees fees = {.buyer = 3, .seller = 2, .buyer_bp = 250, .seller_bp = 100};
    whet_payment p = {0};
    test_ok(ctx, whet_payment_split(ctx, 999, &fees, &p));
    assert_int_equal(p.price, 999);
    assert_int_equal(p.buyer_pays, 999 + 3 + 24); /* 24.975 down */
    assert_int_equal(p.seller_gets, 999 - 2 - 9);
    assert_int_equal(p.broker_gets, 3 + 24 + 2 + 9);
    test_ctx_done(ctx);
}

static void fees_conserve_money(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 7, 0);
    int64_t split = 0;
    for (int i = 0; i < 100000; i++) {
        /* Of every size, from 0 to beyond the limit. */
        const int64_t price =
            whet_i_rng_below(&rng, (int64_t)1 << (1 + whet_i_rng_below(&rng, 54)));
        const whet_fees fees = {whet_i_rng_below(&rng, 1000), whet_i_rng_below(&rng, 1000),
                                (int32_t)whet_i_rng_below(&rng, 10001),
                                (int32_t)whet_i_rng_below(&rng, 10001)};
        whet_payment p = {0};
        if (whet_payment_split(ctx, price, &fees, &p) != WHET_OK) continue;
        split++;
        assert_int_equal(p.buyer_pays, p.seller_gets + p.broker_gets);
        const wide of_buyer = (wide)price * fees.buyer_bp / 10000 + fees.buyer;
        const wide of_seller = (wide)price * fees.seller_bp / 10000 + fees.seller;
        assert_true(p.buyer_pays == price + of_buyer && p.seller_gets == price - of_seller);
        assert_true(p.seller_gets >= 0 && p.buyer_pays <= WHET_MONEY_MAX);
    }
    assert_true(split > 50000);
    test_ctx_done(ctx);
}

static void fees_that_cannot_be_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_payment p = {.price = 5};
    const whet_fees dear = {.seller = 11}, negative = {.buyer = -1}, rate = {.buyer_bp = 10001},
                    doubling = {.buyer_bp = 10000};
    test_fails(ctx, whet_payment_split(ctx, 10, &dear, &p), WHET_ERR_ARG);
    test_says(ctx, "the seller's fee is 11 at a price of 10");
    test_fails(ctx, whet_payment_split(ctx, 10, &negative, &p), WHET_ERR_ARG);
    test_says(ctx, "the buyer's fee is -1");
    test_fails(ctx, whet_payment_split(ctx, 10, &rate, &p), WHET_ERR_ARG);
    test_fails(ctx, whet_payment_split(ctx, -1, &rate, &p), WHET_ERR_ARG);
    test_fails(ctx, whet_payment_split(ctx, WHET_MONEY_MAX / 2 + 1, &doubling, &p), WHET_ERR_LIMIT);
    test_says(ctx, "what the buyer pays 9007199254740994 overflows");
    assert_int_equal(p.price, 5);
    test_ctx_done(ctx);
}

/* ---- values and costs -------------------------------------------------------------------------- */

static double value_of(whet_ctx *ctx, const char *spec, double gain) {
    whet_valuation v;
    double value = -1;
    test_ok(ctx, whet_valuation_parse(ctx, spec, &v));
    test_ok(ctx, whet_value(ctx, &v, gain, &value));
    return value;
}

static void values_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    close_to(value_of(ctx, "linear:2000", .05), 100, 1e-14);
    close_to(value_of(ctx, "accuracy:500", .02), 10, 1e-14);
    close_to(value_of(ctx, "cost-saving:30", 2.5), 75, 0);
    close_to(value_of(ctx, "saturating:1000:.1", .1), 1000 * (1 - exp(-1)), 1e-14);
    close_to(value_of(ctx, "saturating:1000:.1", 1e9), 1000, 0);
    /* 1 - exp(-x) would lose half of the digits here */
    close_to(value_of(ctx, "saturating:1e9:1", 1e-9), 1 - 5e-10, 1e-15);
    assert_string_equal(whet_valuation_name(WHET_VALUE_COST_SAVING), "cost-saving");
    assert_null(whet_valuation_name(WHET_VALUATIONS));
    test_ctx_done(ctx);
}

static void values_start_at_nothing_and_do_not_fall(void **state) {
    (void)state;
    static const char *const SPECS[] = {"linear:700", "accuracy:700", "saturating:700:.2",
                                        "cost-saving:700"};
    whet_ctx *ctx = test_ctx(1);
    for (int s = 0; s < 4; s++) {
        double last = 0;
        for (int i = -100; i <= 100; i++) {
            const double value = value_of(ctx, SPECS[s], i / 100.0);
            if (i <= 0) close_to(value, 0, 0);
            assert_true(value >= last);
            last = value;
        }
        assert_true(last > 0);
    }
    test_ctx_done(ctx);
}

static void odd_valuations_are_refused(void **state) {
    (void)state;
    static const char *const SPECS[] = {"",
                                        "linear",
                                        "linear:",
                                        "linear:x",
                                        "linear:1:2",
                                        "linear:-1",
                                        "saturating:1",
                                        "saturating:1:0",
                                        "linear:nan",
                                        "saturating:1:2:3",
                                        "linear:1e99",
                                        "accuracy:1e16",
                                        "quadratic:1",
                                        "linear:1 ",
                                        " linear:1",
                                        "saturating:-1:1",
                                        "saturating:1:1e999"};
    whet_ctx *ctx = test_ctx(1);
    whet_valuation v = {.rate = 5};
    double value = 7;
    for (size_t i = 0; i < sizeof SPECS / sizeof SPECS[0]; i++) {
        const whet_status status = whet_valuation_parse(ctx, SPECS[i], &v);
        if (status != WHET_ERR_ARG && status != WHET_ERR_LIMIT)
            fail_msg("\"%s\" gave %d", SPECS[i], (int)status);
    }
    close_to(v.rate, 5, 0);
    test_ok(ctx, whet_valuation_parse(ctx, "accuracy:9e15", &v));
    test_fails(ctx, whet_value(ctx, &v, 1.5, &value), WHET_ERR_ARG); /* not in per cent */
    test_fails(ctx, whet_value(ctx, &v, (double)NAN, &value), WHET_ERR_ARG);
    v.kind = WHET_VALUE_LINEAR;
    test_fails(ctx, whet_value(ctx, &v, 2, &value), WHET_ERR_LIMIT);
    test_says(ctx, "value 18000000000000000 overflows");
    v.kind = (whet_valuation_kind)9;
    test_fails(ctx, whet_value(ctx, &v, 0, &value), WHET_ERR_ARG);
    close_to(value, 7, 0);
    test_ctx_done(ctx);
}

static void epochs_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const double losses[] = {1, .6, .7, .5};
    static const struct {
        double loss, epochs;
        bool reached;
    } CASES[] = {{1.2, 0, true},    {1, 0, true},  {.8, .5, true}, {.6, 1, true},
                 {.55, 2.75, true}, {.5, 3, true}, {.4, 3, false}};
    double epochs = -1, gain;
    bool reached = false;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        test_ok(ctx, whet_epochs_saved(ctx, losses, 4, CASES[i].loss, &epochs, &reached));
        close_to(epochs, CASES[i].epochs, 1e-14);
        assert_int_equal(reached, CASES[i].reached);
    }
    test_fails(ctx, whet_epochs_saved(ctx, losses, 0, 1, &epochs, &reached), WHET_ERR_ARG);
    const double odd[] = {1, (double)NAN};
    test_fails(ctx, whet_epochs_saved(ctx, odd, 2, .5, &epochs, &reached), WHET_ERR_ARG);
    test_says(ctx, "loss 1");
    test_ok(ctx, whet_relative_gain(ctx, .8, .6, &gain));
    close_to(gain, .25, 1e-15);
    test_fails(ctx, whet_relative_gain(ctx, 0, .6, &gain), WHET_ERR_ARG);
    test_ctx_done(ctx);
}

static void reservations_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_reservation r = {.training = 1000, .amortisation = .05, .externality = 400, .fee = 3};
    double cost = -1;
    test_ok(ctx, whet_reservation_cost(ctx, &r, .1, &cost));
    close_to(cost, 53, 1e-14); /* no competitor */
    r.competitor = true;
    test_ok(ctx, whet_reservation_cost(ctx, &r, .1, &cost));
    close_to(cost, 93, 1e-14);
    test_ok(ctx, whet_reservation_cost(ctx, &r, -.1, &cost)); /* who loses does not hurt */
    close_to(cost, 53, 1e-14);
    test_fails(ctx, whet_reservation_cost(ctx, &r, (double)NAN, &cost), WHET_ERR_ARG);
    r.amortisation = 1.01;
    test_fails(ctx, whet_reservation_cost(ctx, &r, .1, &cost), WHET_ERR_ARG);
    test_says(ctx, "amortisation is 1.01; expected 0 to 1");
    r.amortisation = 1;
    r.externality = 9e15;
    test_fails(ctx, whet_reservation_cost(ctx, &r, 2, &cost), WHET_ERR_LIMIT);
    test_says(ctx, "reservation");
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reals_become_whole_units),
        cmocka_unit_test(what_overflows_is_named),
        cmocka_unit_test(fees_by_hand),
        cmocka_unit_test(fees_conserve_money),
        cmocka_unit_test(fees_that_cannot_be_are_refused),
        cmocka_unit_test(values_by_hand),
        cmocka_unit_test(values_start_at_nothing_and_do_not_fall),
        cmocka_unit_test(odd_valuations_are_refused),
        cmocka_unit_test(epochs_by_hand),
        cmocka_unit_test(reservations_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
