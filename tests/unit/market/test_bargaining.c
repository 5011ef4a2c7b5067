/* SPDX-License-Identifier: Apache-2.0
 * Auctions and bargaining: the published tables, brute force over what either side could do instead, and the
 * property that every price lies between what the seller and the buyer accept. */
#include "market_support.h"

/* ---- published ---------------------------------------------------------------------------------- */

static void golden_nash(whet_ctx *ctx, const json_t *row) {
    const whet_nash in = {member(row, "value_buyer"), member(row, "cost_seller"),
                          member(row, "d_buyer"), member(row, "d_seller"),
                          member(row, "power_seller")};
    whet_price p = {0};
    test_ok(ctx, whet_nash_price(ctx, &in, &p));
    assert_int_equal(p.trade, !json_is_null(json_object_get(row, "price")));
    if (p.trade) close_to(p.exact, member(row, "price"), 1e-15);
}

static void golden_rubinstein(whet_ctx *ctx, const json_t *row) {
    whet_rubinstein in = {.value = member(row, "value_buyer"),
                          .cost = member(row, "cost_seller"),
                          .discount_buyer = member(row, "delta_buyer"),
                          .discount_seller = member(row, "delta_seller")};
    whet_price p = {0};
    test_ok(ctx, whet_rubinstein_price(ctx, &in, &p));
    close_to(p.exact, member(row, "price_seller_proposes"), 1e-14);
    in.buyer_first = true;
    test_ok(ctx, whet_rubinstein_price(ctx, &in, &p));
    close_to(p.exact, member(row, "price_buyer_proposes"), 1e-14);
}

static void golden_tables(void **state) {
    (void)state;
    test_need_shared(PRICING_INDEX);
    whet_ctx *ctx = test_ctx(1);
    json_t *whole = NULL, *row;
    size_t i, rows = 0;
    const json_t *pricing = pricing_tables(ctx, &whole);
    json_array_foreach(json_object_get(pricing, "nash"), i, row) {
        golden_nash(ctx, row);
        rows++;
    }
    json_array_foreach(json_object_get(pricing, "rubinstein"), i, row) {
        golden_rubinstein(ctx, row);
        rows++;
    }
    test_need_some(rows, "prices by nash or rubinstein");
    json_decref(whole);
    test_ctx_done(ctx);
}

/* ---- second price ------------------------------------------------------------------------------- */

static void auctions_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static const struct {
        int64_t bids[4];
        int64_t n, reserve, winner, price, tied, above;
    } CASES[] = {
        {{0}, 0, 10, -1, 0, 0, 0},         {{9}, 1, 10, -1, 0, 0, 0},
        {{10}, 1, 10, 0, 10, 1, 1},        {{30}, 1, 10, 0, 10, 1, 1},
        {{5, 30, 20}, 3, 10, 1, 20, 1, 2}, {{5, 30, 7}, 3, 10, 1, 10, 1, 1},
        {{20, 30, 30}, 3, 0, 1, 30, 2, 3}, {{30, 20, 30, 30}, 4, 25, 0, 30, 3, 3},
        {{20, 40, 30}, 3, 0, 1, 30, 1, 3}, {{40, 20, 30}, 3, 0, 0, 30, 1, 3},
        {{0, 0}, 2, 0, 0, 0, 2, 2},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        whet_auction a = {0};
        test_ok(ctx, whet_second_price(ctx, CASES[i].bids, CASES[i].n, CASES[i].reserve, &a));
        assert_int_equal(a.winner, CASES[i].winner);
        assert_int_equal(a.price.trade, CASES[i].winner >= 0);
        assert_int_equal(a.price.price, CASES[i].price);
        assert_int_equal(a.tied, CASES[i].tied);
        assert_int_equal(a.above, CASES[i].above);
    }
    whet_auction a = {.tied = 9};
    const int64_t odd[] = {5, -1}, huge[] = {WHET_MONEY_MAX + 1};
    test_fails(ctx, whet_second_price(ctx, odd, 2, 0, &a), WHET_ERR_ARG);
    test_says(ctx, "bid 1 is -1");
    test_fails(ctx, whet_second_price(ctx, huge, 1, 0, &a), WHET_ERR_ARG);
    test_fails(ctx, whet_second_price(ctx, odd, 1, -1, &a), WHET_ERR_ARG);
    assert_int_equal(a.tied, 9);
    test_ctx_done(ctx);
}

/* What bidder 0 gets of bidding b when the good is worth v to it. */
static int64_t payoff(whet_ctx *ctx, int64_t *bids, int64_t n, int64_t reserve, int64_t b,
                      int64_t v) {
    whet_auction a;
    bids[0] = b;
    test_ok(ctx, whet_second_price(ctx, bids, n, reserve, &a));
    return a.winner == 0 ? v - a.price.price : 0;
}

static void bidding_ones_value_is_never_worse(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 12, 0);
    for (int round = 0; round < 2000; round++) {
        int64_t bids[6] = {0}, sorted[6] = {0};
        const int64_t n = 1 + whet_i_rng_below(&rng, 6), reserve = whet_i_rng_below(&rng, 12);
        for (int64_t i = 0; i < n; i++) bids[i] = whet_i_rng_below(&rng, 20);
        whet_auction a;
        test_ok(ctx, whet_second_price(ctx, bids, n, reserve, &a));
        for (int64_t i = 0; i < n; i++) { /* descending */
            int64_t at = i;
            for (; at > 0 && sorted[at - 1] < bids[i]; at--) sorted[at] = sorted[at - 1];
            sorted[at] = bids[i];
        }
        if (sorted[0] >= reserve) {
            assert_int_equal(bids[a.winner], sorted[0]);
            assert_int_equal(a.price.price, n > 1 && sorted[1] > reserve ? sorted[1] : reserve);
        } else {
            assert_int_equal(a.winner, -1);
        }
        const int64_t v = bids[0], honest = payoff(ctx, bids, n, reserve, v, v);
        assert_true(honest >= 0);
        for (int64_t b = 0; b < 21; b++) assert_true(payoff(ctx, bids, n, reserve, b, v) <= honest);
    }
    test_ctx_done(ctx);
}

/* ---- k-double auction --------------------------------------------------------------------------- */

static void double_auctions_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_price p = {0};
    double x;
    test_ok(ctx, whet_double_auction(ctx, 80, 41, .5, &p));
    close_to(p.exact, 60.5, 0);
    assert_int_equal(p.price, 60);
    test_ok(ctx, whet_double_auction(ctx, 100, 0, .29, &p));
    assert_int_equal(p.price, 29);
    test_ok(ctx, whet_double_auction(ctx, 50, 50, .3, &p));
    assert_true(p.trade && p.price == 50);
    test_ok(ctx, whet_double_auction(ctx, 49, 50, .3, &p));
    assert_false(p.trade);
    test_fails(ctx, whet_double_auction(ctx, 49, 50, 1.1, &p), WHET_ERR_ARG);
    test_fails(ctx, whet_double_auction(ctx, -1, 50, .5, &p), WHET_ERR_ARG);
    test_ok(ctx, whet_double_auction_bid(ctx, 0, 1, .5, .6, &x));
    close_to(x, 2 * .6 / 3 + 1.0 / 12, 1e-15);
    test_ok(ctx, whet_double_auction_ask(ctx, 0, 1, .5, .6, &x));
    close_to(x, 2 * .6 / 3 + 1.0 / 4, 1e-15);
    test_ok(ctx, whet_double_auction_bid(ctx, 100, 300, .5, 220, &x));
    close_to(x, 100 + 200 * (2 * .6 / 3 + 1.0 / 12), 1e-14);
    test_fails(ctx, whet_double_auction_bid(ctx, 0, 1, .5, 1.5, &x), WHET_ERR_ARG);
    test_fails(ctx, whet_double_auction_ask(ctx, 1, 1, .5, 1, &x), WHET_ERR_ARG);
    test_ctx_done(ctx);
}

/* For k = 1/2: trade iff V - C >= 1/4, off the border by rounding only. */
static void the_equilibrium_trades_when_a_quarter_lies_between(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    for (int v = 0; v <= 100; v++)
        for (int c = 0; c <= 100; c++) {
            double bid, ask;
            if (v - c == 25) continue;
            test_ok(ctx, whet_double_auction_bid(ctx, 0, 1, .5, v / 100.0, &bid));
            test_ok(ctx, whet_double_auction_ask(ctx, 0, 1, .5, c / 100.0, &ask));
            assert_int_equal(bid >= ask, v - c > 25);
            assert_true(bid <= v / 100.0 && ask >= c / 100.0);
        }
    test_ctx_done(ctx);
}

enum { CELLS = 2000 };

/* The buyer's expected profit of bid b against all sellers' asks, C in the middle of CELLS cells. */
static double profit_of_bid(double k, double v, double b, const double *ask) {
    double sum = 0;
    for (int i = 0; i < CELLS; i++)
        if (b >= ask[i]) sum += v - k * b - (1 - k) * ask[i];
    return sum / CELLS;
}

static double profit_of_ask(double k, double c, double a, const double *bid) {
    double sum = 0;
    for (int i = 0; i < CELLS; i++)
        if (bid[i] >= a) sum += k * bid[i] + (1 - k) * a - c;
    return sum / CELLS;
}

/* Nobody gains by another bid or ask, of 400 each: an equilibrium. Cells are 5e-4 wide, a step of the other
 * side's distribution, at a margin of 1 at most. */
static void no_other_bid_is_better_in_the_equilibrium(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static double bid[CELLS], ask[CELLS];
    for (int kk = 0; kk <= 4; kk++) {
        const double k = kk / 4.0;
        for (int i = 0; i < CELLS; i++) {
            test_ok(ctx, whet_double_auction_bid(ctx, 0, 1, k, (i + .5) / CELLS, &bid[i]));
            test_ok(ctx, whet_double_auction_ask(ctx, 0, 1, k, (i + .5) / CELLS, &ask[i]));
        }
        for (int i = 0; i <= 20; i++) {
            const double x = i / 20.0;
            double mine;
            test_ok(ctx, whet_double_auction_bid(ctx, 0, 1, k, x, &mine));
            const double as_buyer = profit_of_bid(k, x, mine, ask);
            test_ok(ctx, whet_double_auction_ask(ctx, 0, 1, k, x, &mine));
            const double as_seller = profit_of_ask(k, x, mine, bid);
            for (int other = 0; other <= 400; other++) {
                assert_true(profit_of_bid(k, x, other / 400.0, ask) <= as_buyer + 5e-4);
                assert_true(profit_of_ask(k, x, other / 400.0, bid) <= as_seller + 5e-4);
            }
        }
    }
    test_ctx_done(ctx);
}

/* ---- bargaining --------------------------------------------------------------------------------- */

/* The product that Nash's price maximises, on a grid of prices. */
static void nash_maximises_the_product(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 9, 0);
    for (int round = 0; round < 200; round++) {
        const whet_nash in = {drawn_between(&rng, 500, 1000), drawn_between(&rng, 0, 300),
                              drawn_between(&rng, 0, 80), drawn_between(&rng, 0, 80),
                              drawn_between(&rng, .05, .95)};
        whet_price p;
        test_ok(ctx, whet_nash_price(ctx, &in, &p));
        assert_true(p.trade);
        double best = -1, at = -1;
        const double low = in.cost + in.outside_seller, high = in.value - in.outside_buyer;
        for (int i = 0; i <= 4000; i++) {
            const double price = low + (high - low) * i / 4000;
            const double product =
                pow(fmax(0, high - price), 1 - in.power) * pow(fmax(0, price - low), in.power);
            if (product > best) {
                best = product;
                at = price;
            }
        }
        assert_true(fabs(at - p.exact) <= (high - low) / 4000 + 1e-9);
    }
    test_ctx_done(ctx);
}

static void power_goes_from_the_cost_to_the_value(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_nash in = {.value = 137, .cost = 41};
    whet_price p = {0};
    test_ok(ctx, whet_nash_price(ctx, &in, &p));
    assert_int_equal(p.price, 41);
    in.power = 1;
    test_ok(ctx, whet_nash_price(ctx, &in, &p));
    assert_int_equal(p.price, 137);
    in.outside_buyer = 90;
    in.outside_seller = 6; /* exactly the surplus */
    test_ok(ctx, whet_nash_price(ctx, &in, &p));
    assert_true(p.trade && p.price == 47);
    in.outside_seller = 7;
    test_ok(ctx, whet_nash_price(ctx, &in, &p));
    assert_false(p.trade);
    in = (whet_nash){.value = 10.8, .cost = 10.2, .power = .5};
    test_ok(ctx, whet_nash_price(ctx, &in, &p)); /* a surplus, but no whole unit in it */
    assert_false(p.trade);
    in.power = -.1;
    test_fails(ctx, whet_nash_price(ctx, &in, &p), WHET_ERR_ARG);
    in = (whet_nash){.value = 1e17, .cost = 1, .power = .5};
    test_fails(ctx, whet_nash_price(ctx, &in, &p), WHET_ERR_LIMIT);
    test_says(ctx, "value 1e+17 overflows");
    test_ctx_done(ctx);
}

/* Shares of who proposes, by the game itself: round r from the last, each offering the other's discounted
 * share of the next round. */
static double seller_share_of_game(double db, double ds, bool buyer_first, int64_t rounds) {
    double seller = 0, buyer = 0; /* behind the last round */
    for (int64_t r = rounds; r >= 1; r--) {
        const bool buyer_proposes = buyer_first == (r % 2 == 1);
        if (buyer_proposes) {
            seller = ds * seller;
            buyer = 1 - seller;
        } else {
            buyer = db * buyer;
            seller = 1 - buyer;
        }
    }
    return seller;
}

static void rubinstein_is_the_limit_of_games_with_an_end(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 10, 0);
    for (int round = 0; round < 300; round++) {
        whet_rubinstein in = {.value = 5000,
                              .cost = 1000,
                              .discount_buyer = drawn_between(&rng, 0, .95),
                              .discount_seller = drawn_between(&rng, 0, .95),
                              .buyer_first = round % 2 == 1};
        whet_price p;
        /* .95^2 a pair of rounds: after 2000 nothing of the end is left in f64 */
        test_ok(ctx, whet_rubinstein_price(ctx, &in, &p));
        close_to(p.exact,
                 1000 + 4000 * seller_share_of_game(in.discount_buyer, in.discount_seller,
                                                    in.buyer_first, 2000 + round % 3),
                 1e-13);
        in.rounds = 1 + whet_i_rng_below(&rng, 8);
        test_ok(ctx, whet_rubinstein_price(ctx, &in, &p));
        close_to(p.exact,
                 1000 + 4000 * seller_share_of_game(in.discount_buyer, in.discount_seller,
                                                    in.buyer_first, in.rounds),
                 1e-13);
    }
    test_ctx_done(ctx);
}

static void rubinstein_edges(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_price p = {0};
    whet_rubinstein in = {.value = 90, .cost = 10, .discount_seller = .5};
    test_ok(ctx, whet_rubinstein_price(ctx, &in, &p)); /* a buyer who cannot wait pays all */
    assert_int_equal(p.price, 90);
    in.buyer_first = true;
    test_ok(ctx, whet_rubinstein_price(ctx, &in, &p));
    assert_int_equal(p.price, 50);
    in.value = 9;
    test_ok(ctx, whet_rubinstein_price(ctx, &in, &p));
    assert_false(p.trade);
    in.value = 90;
    in.discount_buyer = 1;
    test_fails(ctx, whet_rubinstein_price(ctx, &in, &p), WHET_ERR_ARG);
    in.discount_buyer = .5;
    in.rounds = -1;
    test_fails(ctx, whet_rubinstein_price(ctx, &in, &p), WHET_ERR_ARG);
    /* Short rounds: Nash's price with power r_b / (r_b + r_s). At h = 1e-6 the first move is worth 1e-6. */
    const double rate_b = 3, rate_s = 1, h = 1e-6;
    in = (whet_rubinstein){.value = 900,
                           .cost = 100,
                           .discount_buyer = exp(-rate_b * h),
                           .discount_seller = exp(-rate_s * h)};
    test_ok(ctx, whet_rubinstein_price(ctx, &in, &p));
    close_to(p.exact, 100 + 800 * .75, 5e-6);
    test_ctx_done(ctx);
}

static void bounds_by_hand(void **state) {
    (void)state;
    static const struct {
        double vl, vu, cl, cu;
        whet_bounds_verdict verdict;
        double low, high;
        int64_t price;
    } CASES[] = {
        {60, 90, 20, 41, WHET_BOUNDS_SAFE, 41, 60, 50},
        {60, 90, 60, 60, WHET_BOUNDS_SAFE, 60, 60, 60},
        {60, 90, 20, 61, WHET_BOUNDS_DISCLOSE, 20, 90, 0},
        {60, 90, 90, 95, WHET_BOUNDS_DISCLOSE, 90, 90, 0},
        {60, 90, 91, 95, WHET_BOUNDS_NO_TRADE, 91, 90, 0},
        {60.3, 90, 20, 60.2, WHET_BOUNDS_DISCLOSE, 20, 90, 0},
    };
    whet_ctx *ctx = test_ctx(1);
    whet_bounds_price b = {0};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        test_ok(ctx,
                whet_price_between(ctx, CASES[i].vl, CASES[i].vu, CASES[i].cl, CASES[i].cu, &b));
        assert_int_equal(b.verdict, CASES[i].verdict);
        close_to(b.low, CASES[i].low, 0);
        close_to(b.high, CASES[i].high, 0);
        assert_int_equal(b.price.price, CASES[i].price);
        assert_int_equal(b.price.trade, b.verdict == WHET_BOUNDS_SAFE);
    }
    test_fails(ctx, whet_price_between(ctx, 2, 1, 0, 0, &b), WHET_ERR_ARG);
    test_says(ctx, "value from 2 to 1");
    test_fails(ctx, whet_price_between(ctx, 1, 2, 1, 0, &b), WHET_ERR_ARG);
    assert_string_equal(whet_bounds_verdict_name(WHET_BOUNDS_DISCLOSE), "disclose-more");
    test_ctx_done(ctx);
}

/* P10 of every mechanism: the price in [C, V], or no trade; where a whole unit lies between, trade. */
static void prices_lie_between_cost_and_value(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 13, 0);
    int64_t trades = 0;
    for (int round = 0; round < 20000; round++) {
        const double span = (double)((int64_t)1 << whet_i_rng_below(&rng, 50));
        const double v = drawn_between(&rng, 0, span), c = drawn_between(&rng, 0, span);
        const whet_nash nash = {v, c, 0, 0, whet_i_rng_uniform(&rng)};
        const whet_rubinstein rub = {v,
                                     c,
                                     whet_i_rng_uniform(&rng),
                                     whet_i_rng_uniform(&rng),
                                     round % 2 == 1,
                                     whet_i_rng_below(&rng, 4)};
        whet_bounds_price b;
        whet_price p[3];
        test_ok(ctx, whet_nash_price(ctx, &nash, &p[0]));
        test_ok(ctx, whet_rubinstein_price(ctx, &rub, &p[1]));
        test_ok(ctx, whet_price_between(ctx, v, v, c, c, &b));
        p[2] = b.price;
        for (int m = 0; m < 3; m++) {
            assert_int_equal(p[m].trade, ceil(c) <= floor(v) && c <= v);
            if (!p[m].trade) continue;
            trades++;
            assert_true((double)p[m].price >= c && (double)p[m].price <= v);
            assert_true((double)p[m].price <= p[m].exact + 1e-6 || (double)p[m].price < c + 1);
        }
    }
    assert_true(trades > 20000);
    test_ctx_done(ctx);
}

/* ---- disclosure --------------------------------------------------------------------------------- */

static void disclosure_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const whet_valuation v = {.kind = WHET_VALUE_LINEAR, .rate = 1000};
    whet_disclosed d;
    test_ok(ctx, whet_disclose(ctx, WHET_DISCLOSE_SEALED, &v, NAN, NAN, NAN, &d));
    assert_true(!d.buyer_learns && !d.seller_learns && !d.bargain);
    test_ok(ctx, whet_disclose(ctx, WHET_DISCLOSE_BOUNDS, &v, -.02, .05, NAN, &d));
    assert_true(d.buyer_learns && d.seller_learns && !d.bargain);
    close_to(d.seller_low, 0, 0);
    close_to(d.seller_high, 50, 1e-15);
    test_ok(ctx, whet_disclose(ctx, WHET_DISCLOSE_BUYER, &v, NAN, NAN, .03, &d));
    assert_true(d.buyer_learns && !d.seller_learns && !d.bargain);
    close_to(d.buyer_low, 30, 1e-15);
    close_to(d.seller_high, 0, 0);
    test_ok(ctx, whet_disclose(ctx, WHET_DISCLOSE_BOTH, &v, NAN, NAN, .03, &d));
    assert_true(d.buyer_learns && d.seller_learns && d.bargain);
    close_to(d.seller_high, 30, 1e-15);
    test_fails(ctx, whet_disclose(ctx, WHET_DISCLOSE_BOUNDS, &v, .1, .05, 0, &d), WHET_ERR_ARG);
    test_fails(ctx, whet_disclose(ctx, WHET_DISCLOSE_BOTH, &v, 0, 0, NAN, &d), WHET_ERR_ARG);
    test_fails(ctx, whet_disclose(ctx, (whet_disclosure)4, &v, 0, 0, 0, &d), WHET_ERR_ARG);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_tables),
        cmocka_unit_test(auctions_by_hand),
        cmocka_unit_test(bidding_ones_value_is_never_worse),
        cmocka_unit_test(double_auctions_by_hand),
        cmocka_unit_test(the_equilibrium_trades_when_a_quarter_lies_between),
        cmocka_unit_test(no_other_bid_is_better_in_the_equilibrium),
        cmocka_unit_test(nash_maximises_the_product),
        cmocka_unit_test(power_goes_from_the_cost_to_the_value),
        cmocka_unit_test(rubinstein_is_the_limit_of_games_with_an_end),
        cmocka_unit_test(rubinstein_edges),
        cmocka_unit_test(bounds_by_hand),
        cmocka_unit_test(prices_lie_between_cost_and_value),
        cmocka_unit_test(disclosure_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
