/* SPDX-License-Identifier: Apache-2.0
 * The whole pricing job: what random deals leave both sides, each failed allocation, outputs left alone. */
#include "market_support.h"

#include "whet/io.h"

static whet_price_job job_of(whet_mechanism mechanism) {
    whet_price_job job;
    whet_price_job_init(&job);
    job.mechanism = mechanism;
    return job;
}

/* Whatever the fees: who deals does not lose by it, money is conserved, and a deal that leaves both sides
 * two units more than they need is not missed. */
static void deals_leave_both_sides_no_worse(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 77, 0);
    int64_t trades = 0;
    for (int round = 0; round < 30000; round++) {
        static const whet_mechanism KINDS[] = {WHET_MECHANISM_NASH, WHET_MECHANISM_RUBINSTEIN,
                                               WHET_MECHANISM_BOUNDS, WHET_MECHANISM_POSTED};
        whet_price_job job = job_of(KINDS[round % 4]);
        const double span = (double)((int64_t)4 << whet_i_rng_below(&rng, 40));
        job.value = drawn_between(&rng, 0, span);
        job.reservation = drawn_between(&rng, 0, span);
        job.fees = (whet_fees){whet_i_rng_below(&rng, 4), whet_i_rng_below(&rng, 4),
                               (int32_t)whet_i_rng_below(&rng, 3000),
                               (int32_t)whet_i_rng_below(&rng, 3000)};
        job.power = whet_i_rng_uniform(&rng);
        job.discount_buyer = whet_i_rng_uniform(&rng);
        job.discount_seller = whet_i_rng_uniform(&rng);
        job.belief = job.mechanism == WHET_MECHANISM_POSTED ? "uniform:0:1000000" : NULL;
        whet_price_report r;
        test_ok(ctx, whet_price_run(ctx, &job, &r));
        if (job.mechanism != WHET_MECHANISM_POSTED) {
            const double most =
                (job.value - (double)job.fees.buyer) / (1 + job.fees.buyer_bp / 1e4);
            const double least =
                (job.reservation + (double)job.fees.seller) / (1 - job.fees.seller_bp / 1e4);
            if (most >= least + 2) assert_true(r.price.trade);
            if (most < least) assert_false(r.price.trade);
        }
        if (!r.price.trade) {
            assert_non_null(r.why);
            continue;
        }
        trades++;
        /* amounts are rounded against a millionth of a unit */
        assert_true(r.buyer_surplus >= -1e-5 && r.seller_surplus >= -1e-5);
        assert_int_equal(r.payment.buyer_pays, r.payment.seller_gets + r.payment.broker_gets);
        assert_null(r.why);
    }
    assert_true(trades > 5000);
    test_ctx_done(ctx);
}

/* With fees, no other whole price has a better expected profit by more than rounding costs. */
static void posted_prices_take_fees_into_account(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_price_job job = job_of(WHET_MECHANISM_POSTED);
    job.belief = "lognormal:7:.6";
    job.reservation = 300;
    job.fees = (whet_fees){20, 10, 500, 300};
    whet_price_report r;
    whet_belief *b;
    double best = 0;
    test_ok(ctx, whet_price_run(ctx, &job, &r));
    test_ok(ctx, whet_belief_open(ctx, job.belief, &b));
    for (int64_t p = 400; p < 6000; p++) {
        whet_payment paid;
        test_ok(ctx, whet_payment_split(ctx, p, &job.fees, &paid));
        best = fmax(best, ((double)paid.seller_gets - 300) *
                              whet_belief_sale(b, (double)paid.buyer_pays));
    }
    /* fees rounded down are worth up to a unit to the seller: 1 of about 900 */
    assert_true(r.posted.profit <= best && r.posted.profit >= best * (1 - 2e-3));
    whet_belief_destroy(ctx, b);
    test_ctx_done(ctx);
}

static whet_status run_job(whet_ctx *ctx, void *arg) {
    whet_price_report r = {.n_bids = -7};
    const whet_status status = whet_price_run(ctx, arg, &r);
    if (status == WHET_OK)
        whet_price_report_free(ctx, &r);
    else
        assert_int_equal(r.n_bids, -7);
    return status;
}

static void survives_failing_allocations(void **state) {
    (void)state;
    static char samples[512];
    whet_ctx *ctx = test_ctx(1);
    double losses[2][4] = {{1, 2, 3, 4}, {.5, 1, 2.5, 3}};
    (void)snprintf(samples, sizeof samples, "samples:%s",
                   test_write_text("v.tsv", "value\n10\n30\n50\n"));
    whet_price_job posted = job_of(WHET_MECHANISM_POSTED);
    posted.belief = samples;
    posted.history = test_write_text("h.tsv", "price\taccepted\n20\t1\n40\t0\n");
    assert_true(test_each_allocation(run_job, &posted) > 10);
    whet_price_job auction = job_of(WHET_MECHANISM_SECOND_PRICE);
    auction.bids = test_write_text("b.csv", "bid,buyer\n30,anna\n20,bert\n");
    auction.belief = "uniform:0:50";
    assert_true(test_each_allocation(run_job, &auction) > 10);
    whet_price_job nash = job_of(WHET_MECHANISM_NASH);
    char paths[2][512];
    for (int i = 0; i < 2; i++) {
        const whet_tensor t = {losses[i], WHET_F64, 1, {4}};
        (void)snprintf(paths[i], sizeof paths[i], "%s", test_tmp(i ? "after.npy" : "before.npy"));
        test_ok(ctx, whet_npy_write(ctx, paths[i], true, &t));
    }
    nash.before = paths[0];
    nash.after = paths[1];
    nash.valuation = "linear:1000";
    assert_true(test_each_allocation(run_job, &nash) > 3);
    test_ctx_done(ctx);
}

static void sizes_and_enums_are_checked(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_price_report r = {.reserve = 5};
    whet_price_job job = job_of((whet_mechanism)17);
    test_fails(ctx, whet_price_run(ctx, &job, &r), WHET_ERR_ARG);
    job = job_of(WHET_MECHANISM_NASH);
    job.value = 5;
    job.disclosure = 9;
    test_fails(ctx, whet_price_run(ctx, &job, &r), WHET_ERR_ARG);
    job.disclosure = -1;
    job.struct_size += 8;
    test_fails(ctx, whet_price_run(ctx, &job, &r), WHET_ERR_ARG);
    job = job_of(WHET_MECHANISM_NASH);
    job.value = 5;
    job.fees.seller = -1;
    test_fails(ctx, whet_price_run(ctx, &job, &r), WHET_ERR_ARG);
    test_says(ctx, "the seller's fee is -1");
    job.fees = (whet_fees){.buyer = WHET_MONEY_MAX + 1};
    test_fails(ctx, whet_price_run(ctx, &job, &r), WHET_ERR_LIMIT);
    assert_int_equal(r.reserve, 5);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deals_leave_both_sides_no_worse),
        cmocka_unit_test(posted_prices_take_fees_into_account),
        cmocka_unit_test(survives_failing_allocations),
        cmocka_unit_test(sizes_and_enums_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
