/* SPDX-License-Identifier: Apache-2.0
 * The ledger: a trade by hand, every step from every state, random schedules against a second bookkeeping,
 * crashes at every record, tampering that the audit must see. */
#include "market_support.h"

#include "market/ledger_i.h"

/* ---- by hand ------------------------------------------------------------------------------------ */

static void apply(whet_ctx *ctx, whet_ledger *l, whet_record r) {
    test_ok(ctx, whet_ledger_apply(ctx, l, &r));
}

static void refuses(whet_ctx *ctx, whet_ledger *l, whet_record r, const char *says) {
    int64_t before, after;
    (void)whet_ledger_records(l, &before);
    test_fails(ctx, whet_ledger_apply(ctx, l, &r), WHET_ERR_ARG);
    test_says(ctx, says);
    (void)whet_ledger_records(l, &after);
    assert_int_equal(before, after);
}

/* With the price 100 where one is needed. */
static whet_record step(whet_record_kind kind, int64_t deal, int64_t time) {
    const int64_t amount = kind == WHET_RECORD_AGREE ? 100 : 0;
    return (whet_record){.kind = kind, .deal = deal, .time = time, .amount = amount};
}

/* Agents 0 (seller) and 1, 2 with 1000 each; offer 0 until time 100: fees 3 and 2 + 1 %, trial fee 10. */
static whet_ledger *market(whet_ctx *ctx, bool exclusive) {
    whet_ledger *l = NULL;
    test_ok(ctx, whet_ledger_create(ctx, &l));
    for (int64_t a = 0; a < 3; a++) {
        apply(ctx, l, (whet_record){.kind = WHET_RECORD_OPEN});
        apply(ctx, l, (whet_record){.kind = WHET_RECORD_DEPOSIT, .agent = a, .amount = 1000});
    }
    const whet_offer_terms terms = {{3, 2, 0, 100}, 10, 2, exclusive};
    apply(ctx, l, (whet_record){.kind = WHET_RECORD_LIST, .until = 100, .terms = terms});
    return l;
}

static whet_record reserve(int64_t buyer, int64_t amount, int64_t time, int64_t until) {
    return (whet_record){.kind = WHET_RECORD_RESERVE,
                         .agent = buyer,
                         .amount = amount,
                         .time = time,
                         .until = until};
}

static void expect(whet_ctx *ctx, const whet_ledger *l, int64_t a0, int64_t a1, int64_t a2,
                   int64_t held, int64_t broker, int64_t treasury) {
    whet_ledger_totals t;
    whet_ledger_get_totals(l, &t);
    assert_int_equal(whet_ledger_wallet(l, 0)->available, a0);
    assert_int_equal(whet_ledger_wallet(l, 1)->available, a1);
    assert_int_equal(whet_ledger_wallet(l, 2)->available, a2);
    assert_int_equal(t.held, held);
    assert_int_equal(t.broker, broker);
    assert_int_equal(t.treasury, treasury);
    assert_int_equal(t.available + t.held + t.broker + t.treasury, t.deposits);
    test_ok(ctx, whet_ledger_audit(ctx, l));
}

static void a_trade_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_ledger *l = market(ctx, false);
    whet_receipt receipt;
    apply(ctx, l, reserve(1, 600, 1, 50));
    expect(ctx, l, 1000, 400, 1000, 600, 0, 0);
    assert_int_equal(whet_ledger_wallet(l, 1)->held, 600);
    test_fails(ctx, whet_ledger_receipt(ctx, l, 0, &receipt), WHET_ERR_ARG);
    test_says(ctx, "deal 0 is reserved");
    apply(ctx, l, step(WHET_RECORD_STAGE, 0, 2));
    apply(ctx, l, step(WHET_RECORD_EVALUATE, 0, 3));
    whet_record agree = step(WHET_RECORD_AGREE, 0, 4);
    agree.amount = 598;
    refuses(ctx, l, agree, "agree: the hold has 600; expected at least 601");
    agree.amount = 250;
    apply(ctx, l, agree);
    apply(ctx, l, step(WHET_RECORD_SETTLE, 0, 50)); /* the deadline itself is in time */
    /* 250 + 3 of the buyer; 2 + 2.5 down of the seller */
    expect(ctx, l, 1000 + 246, 1000 - 253, 1000, 0, 7, 0);
    refuses(ctx, l, step(WHET_RECORD_SETTLE, 0, 50), "settle: deal 0 is settled");
    refuses(ctx, l, step(WHET_RECORD_CANCEL, 0, 51), "cancel: deal 0 is settled");
    test_ok(ctx, whet_ledger_receipt(ctx, l, 0, &receipt));
    assert_int_equal(receipt.payment.buyer_pays, 253);
    assert_int_equal(receipt.seller, 0);
    assert_int_equal(receipt.buyer, 1);
    assert_int_equal(receipt.time, 50);
    refuses(ctx, l, reserve(1, 100, 60, 70), "is settled; expected none that lives or was settled");
    apply(ctx, l, step(WHET_RECORD_DELIVER, 0, 70));
    apply(ctx, l, step(WHET_RECORD_CLOSE, 0, 71));
    refuses(ctx, l, step(WHET_RECORD_DISPUTE, 0, 72), "dispute: deal 0 is closed");
    whet_ledger_destroy(ctx, l);
    test_ctx_done(ctx);
}

static void refunds_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_ledger *l = market(ctx, false);
    apply(ctx, l, reserve(1, 600, 1, 5));
    refuses(ctx, l, step(WHET_RECORD_EXPIRE, 0, 5), "expected later");
    refuses(ctx, l, step(WHET_RECORD_STAGE, 0, 6), "expected no later");
    apply(ctx, l, step(WHET_RECORD_EXPIRE, 0, 6));
    expect(ctx, l, 1000, 1000, 1000, 0, 0, 0);
    /* no gain: the trial costs 10 */
    apply(ctx, l, reserve(1, 10, 6, 20));
    apply(ctx, l, step(WHET_RECORD_STAGE, 1, 7));
    apply(ctx, l, step(WHET_RECORD_EVALUATE, 1, 8));
    apply(ctx, l, step(WHET_RECORD_NO_GAIN, 1, 8));
    expect(ctx, l, 1000, 990, 1000, 0, 10, 0);
    /* the second and last trial: measured, never agreed */
    apply(ctx, l, reserve(1, 300, 8, 20));
    apply(ctx, l, step(WHET_RECORD_STAGE, 2, 9));
    apply(ctx, l, step(WHET_RECORD_EVALUATE, 2, 9));
    apply(ctx, l, step(WHET_RECORD_CANCEL, 2, 21));
    expect(ctx, l, 1000, 980, 1000, 0, 20, 0);
    apply(ctx, l, reserve(1, 300, 21, 30));
    apply(ctx, l, step(WHET_RECORD_STAGE, 3, 21));
    refuses(ctx, l, step(WHET_RECORD_EVALUATE, 3, 21), "buyer 1 has made 2 trials of offer 0");
    whet_record reject = step(WHET_RECORD_REJECT, 3, 22);
    reject.amount = 2;
    refuses(ctx, l, reject, "2 strikes");
    reject.amount = 1;
    apply(ctx, l, reject);
    expect(ctx, l, 1000, 980, 1000, 0, 20, 0);
    assert_int_equal(whet_ledger_wallet(l, 0)->strikes, 1);
    /* agreed, and not settled in time: the broker's fault */
    apply(ctx, l, reserve(2, 300, 22, 30));
    apply(ctx, l, step(WHET_RECORD_STAGE, 4, 22));
    apply(ctx, l, step(WHET_RECORD_EVALUATE, 4, 22));
    apply(ctx, l, step(WHET_RECORD_AGREE, 4, 23));
    apply(ctx, l, step(WHET_RECORD_CANCEL, 4, 31));
    /* weights lost by nobody's fault: no strike */
    apply(ctx, l, reserve(2, 300, 31, 40));
    apply(ctx, l, step(WHET_RECORD_STAGE, 5, 31));
    apply(ctx, l, step(WHET_RECORD_REJECT, 5, 31));
    assert_int_equal(whet_ledger_wallet(l, 0)->strikes, 1);
    expect(ctx, l, 1000, 980, 1000, 0, 20, 0);
    whet_ledger_destroy(ctx, l);
    test_ctx_done(ctx);
}

static void an_upheld_dispute_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_ledger *l = market(ctx, false);
    apply(ctx, l, reserve(1, 600, 1, 50));
    apply(ctx, l, step(WHET_RECORD_STAGE, 0, 2));
    apply(ctx, l, step(WHET_RECORD_EVALUATE, 0, 3));
    whet_record agree = step(WHET_RECORD_AGREE, 0, 4);
    agree.amount = 250;
    apply(ctx, l, agree);
    apply(ctx, l, step(WHET_RECORD_SETTLE, 0, 5));
    apply(ctx, l, step(WHET_RECORD_DISPUTE, 0, 6));
    /* the seller has left but for 40 */
    apply(ctx, l, (whet_record){.kind = WHET_RECORD_WITHDRAW, .time = 6, .amount = 1206});
    refuses(ctx, l, step(WHET_RECORD_UPHOLD, 0, 7), "the treasury has 0; expected at least 213");
    apply(ctx, l, (whet_record){.kind = WHET_RECORD_SWEEP, .time = 7, .amount = 7});
    apply(ctx, l, (whet_record){.kind = WHET_RECORD_FUND, .time = 7, .amount = 300});
    apply(ctx, l, step(WHET_RECORD_UPHOLD, 0, 8));
    expect(ctx, l, 0, 1000, 1000, 0, 0, 307 - 213);
    refuses(ctx, l, step(WHET_RECORD_DISMISS, 0, 9), "dismiss: deal 0 is upheld");
    whet_ledger_destroy(ctx, l);
    test_ctx_done(ctx);
}

static void offers_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_ledger *l = market(ctx, true);
    refuses(ctx, l, reserve(0, 100, 1, 9), "agent 0 is the seller");
    refuses(ctx, l, reserve(1, 9, 1, 9), "amount 9; expected 10 to");
    refuses(ctx, l, reserve(1, 1001, 1, 9), "the buyer has 1000; expected at least 1001");
    refuses(ctx, l, reserve(7, 100, 1, 9), "agent 7 is unknown");
    refuses(ctx, l, reserve(1, 100, 2, 1), "deadline 1; expected 2 or later");
    apply(ctx, l, reserve(1, 100, 2, 9));
    refuses(ctx, l, reserve(2, 100, 2, 9), "for the offer is exclusive");
    refuses(ctx, l, reserve(1, 100, 2, 9), "with this buyer");
    whet_record lapse = {.kind = WHET_RECORD_LAPSE, .time = 100};
    refuses(ctx, l, lapse, "offer 0 expires after 100, it is 100");
    apply(ctx, l, step(WHET_RECORD_EXPIRE, 0, 10));
    apply(ctx, l, reserve(2, 100, 100, 110)); /* free again, on its last day */
    lapse.time = 101;
    apply(ctx, l, lapse);
    refuses(ctx, l, lapse, "no longer listed");
    refuses(ctx, l, reserve(1, 100, 101, 110), "offer 0 is expired");
    apply(ctx, l, step(WHET_RECORD_STAGE, 1, 101)); /* what was begun goes on */
    refuses(ctx, l, (whet_record){.kind = WHET_RECORD_OPEN, .time = 100}, "time 100; expected 101");
    const whet_offer_terms none = {{0, 0, 0, 0}, 0, 0, false};
    refuses(ctx, l,
            (whet_record){.kind = WHET_RECORD_LIST, .time = 101, .until = 200, .terms = none},
            "0 trials");
    refuses(ctx, l, (whet_record){.kind = (whet_record_kind)99, .time = 101}, "record kind 99");
    whet_ledger_destroy(ctx, l);
    test_ctx_done(ctx);
}

static void money_that_overflows_is_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_ledger *l = market(ctx, false);
    const whet_record most = {.kind = WHET_RECORD_DEPOSIT, .amount = WHET_MONEY_MAX - 2999};
    test_fails(ctx, whet_ledger_apply(ctx, l, &most), WHET_ERR_LIMIT);
    test_says(ctx, "money in the ledger 9007199254740993 overflows");
    refuses(ctx, l, (whet_record){.kind = WHET_RECORD_DEPOSIT, .amount = -5}, "amount -5");
    refuses(ctx, l, (whet_record){.kind = WHET_RECORD_DEPOSIT, .amount = INT64_MAX}, "amount");
    refuses(ctx, l, (whet_record){.kind = WHET_RECORD_WITHDRAW, .amount = 1001}, "has 1000");
    apply(ctx, l, (whet_record){.kind = WHET_RECORD_FUND, .amount = WHET_MONEY_MAX - 3000});
    expect(ctx, l, 1000, 1000, 1000, 0, 0, WHET_MONEY_MAX - 3000);
    whet_ledger_destroy(ctx, l);
    test_ctx_done(ctx);
}

/* ---- every step from every state ---------------------------------------------------------------- */

/* The records that bring deal 0 into a state, after its reservation, each at time 1. */
static void bring(whet_ctx *ctx, whet_ledger *l, whet_deal_state to) {
    static const whet_record_kind PATHS[WHET_DEAL_STATES][6] = {
        [WHET_DEAL_STAGED] = {WHET_RECORD_STAGE},
        [WHET_DEAL_EVALUATED] = {WHET_RECORD_STAGE, WHET_RECORD_EVALUATE},
        [WHET_DEAL_AGREED] = {WHET_RECORD_STAGE, WHET_RECORD_EVALUATE, WHET_RECORD_AGREE},
        [WHET_DEAL_SETTLED] = {WHET_RECORD_STAGE, WHET_RECORD_EVALUATE, WHET_RECORD_AGREE,
                               WHET_RECORD_SETTLE},
        [WHET_DEAL_DELIVERED] = {WHET_RECORD_STAGE, WHET_RECORD_EVALUATE, WHET_RECORD_AGREE,
                                 WHET_RECORD_SETTLE, WHET_RECORD_DELIVER},
        [WHET_DEAL_CLOSED] = {WHET_RECORD_STAGE, WHET_RECORD_EVALUATE, WHET_RECORD_AGREE,
                              WHET_RECORD_SETTLE, WHET_RECORD_DELIVER, WHET_RECORD_CLOSE},
        [WHET_DEAL_EXPIRED] = {WHET_RECORD_EXPIRE},
        [WHET_DEAL_REJECTED] = {WHET_RECORD_STAGE, WHET_RECORD_REJECT},
        [WHET_DEAL_NO_GAIN] = {WHET_RECORD_STAGE, WHET_RECORD_EVALUATE, WHET_RECORD_NO_GAIN},
        [WHET_DEAL_CANCELLED] = {WHET_RECORD_STAGE, WHET_RECORD_CANCEL},
        [WHET_DEAL_DISPUTED] = {WHET_RECORD_STAGE, WHET_RECORD_EVALUATE, WHET_RECORD_AGREE,
                                WHET_RECORD_SETTLE, WHET_RECORD_DISPUTE},
        [WHET_DEAL_UPHELD] = {WHET_RECORD_STAGE, WHET_RECORD_EVALUATE, WHET_RECORD_AGREE,
                              WHET_RECORD_SETTLE, WHET_RECORD_DISPUTE, WHET_RECORD_UPHOLD},
        [WHET_DEAL_DISMISSED] = {WHET_RECORD_STAGE, WHET_RECORD_EVALUATE, WHET_RECORD_AGREE,
                                 WHET_RECORD_SETTLE, WHET_RECORD_DISPUTE, WHET_RECORD_DISMISS},
    };
    for (int i = 0; i < 6 && PATHS[to][i]; i++) {
        whet_record r = step(PATHS[to][i], 0, 1);
        if (r.kind == WHET_RECORD_EXPIRE || r.kind == WHET_RECORD_CANCEL) r.time = 60;
        apply(ctx, l, r);
    }
    assert_int_equal(whet_ledger_deal(l, 0)->state, to);
}

/* Rows: from RESERVED on; columns: STAGE on; i = in time only, l = late only, a = any time, . = never. */
static const char *const ALLOWED[WHET_DEAL_STATES] = {
    [WHET_DEAL_RESERVED] = "i.....l......",  [WHET_DEAL_STAGED] = ".i.....a.l...",
    [WHET_DEAL_EVALUATED] = "..i....aal...", [WHET_DEAL_AGREED] = "...i.....l...",
    [WHET_DEAL_SETTLED] = "....a.....a..",   [WHET_DEAL_DELIVERED] = ".....a....a..",
    [WHET_DEAL_CLOSED] = ".............",    [WHET_DEAL_EXPIRED] = ".............",
    [WHET_DEAL_REJECTED] = ".............",  [WHET_DEAL_NO_GAIN] = ".............",
    [WHET_DEAL_CANCELLED] = ".............", [WHET_DEAL_DISPUTED] = "...........aa",
    [WHET_DEAL_UPHELD] = ".............",    [WHET_DEAL_DISMISSED] = ".............",
};

static void every_step_from_every_state(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    for (int from = 0; from < WHET_DEAL_STATES; from++)
        for (int kind = WHET_RECORD_STAGE; kind < WHET_RECORDS; kind++)
            for (int late = 0; late < 2; late++) {
                whet_ledger *l = market(ctx, false);
                apply(ctx, l, (whet_record){.kind = WHET_RECORD_FUND, .amount = 500});
                apply(ctx, l, reserve(1, 600, 0, 50));
                bring(ctx, l, (whet_deal_state)from);
                const char rule = ALLOWED[from][kind - WHET_RECORD_STAGE];
                const bool allowed = rule == 'a' || rule == (late ? 'l' : 'i');
                /* those ended by time stand behind the deadline already, where nothing is allowed */
                const whet_record r = step((whet_record_kind)kind, 0,
                                           l->time > 50 ? l->time
                                           : late       ? 51
                                                        : 50);
                const whet_status status = whet_ledger_apply(ctx, l, &r);
                if (status != (allowed ? WHET_OK : WHET_ERR_ARG))
                    fail_msg("%s from %s, %s: %s", whet_record_name(r.kind),
                             whet_deal_state_name((whet_deal_state)from), late ? "late" : "in time",
                             whet_error(ctx));
                test_ok(ctx, whet_ledger_audit(ctx, l));
                whet_ledger_destroy(ctx, l);
            }
    test_ctx_done(ctx);
}

/* ---- random schedules against a second bookkeeping ---------------------------------------------- */

enum { AGENTS = 4, RECORDS = 250 };

/* Money by account as somebody else would keep it: balances alone, from what a record says it does. */
typedef struct books {
    int64_t agent[AGENTS], broker, treasury, in;
    int64_t escrow[RECORDS];
} books;

static void pay_back(books *b, const whet_deal *d, int64_t deal, int64_t fee) {
    b->agent[d->buyer] += b->escrow[deal] - fee;
    b->broker += fee;
    b->escrow[deal] = 0;
}

/* After a record that was accepted; d is the deal before it. */
static void keep_books(books *b, const whet_ledger *l, const whet_record *r, const whet_deal *d) {
    const whet_offer *o = d ? whet_ledger_offer(l, d->offer) : NULL;
    switch (r->kind) {
    case WHET_RECORD_DEPOSIT: b->agent[r->agent] += r->amount, b->in += r->amount; break;
    case WHET_RECORD_WITHDRAW: b->agent[r->agent] -= r->amount, b->in -= r->amount; break;
    case WHET_RECORD_FUND: b->treasury += r->amount, b->in += r->amount; break;
    case WHET_RECORD_SWEEP: b->treasury += r->amount, b->broker -= r->amount; break;
    case WHET_RECORD_RESERVE:
        b->agent[r->agent] -= r->amount;
        b->escrow[whet_ledger_deals(l) - 1] = r->amount;
        break;
    case WHET_RECORD_EXPIRE:
    case WHET_RECORD_REJECT: pay_back(b, d, r->deal, 0); break;
    case WHET_RECORD_NO_GAIN: pay_back(b, d, r->deal, o->terms.trial_fee); break;
    case WHET_RECORD_CANCEL:
        pay_back(b, d, r->deal, d->state == WHET_DEAL_EVALUATED ? o->terms.trial_fee : 0);
        break;
    case WHET_RECORD_SETTLE:
        b->agent[o->seller] += d->payment.seller_gets;
        b->broker += d->payment.buyer_pays - d->payment.seller_gets;
        b->agent[d->buyer] += b->escrow[r->deal] - d->payment.buyer_pays;
        b->escrow[r->deal] = 0;
        break;
    case WHET_RECORD_UPHOLD: {
        int64_t owed = d->payment.buyer_pays, back = d->payment.seller_gets;
        if (back > b->agent[o->seller]) back = b->agent[o->seller];
        b->agent[o->seller] -= back;
        b->treasury -= owed - back;
        b->agent[d->buyer] += owed;
        break;
    }
    default: break;
    }
}

static void compare(const books *b, const whet_ledger *l) {
    whet_ledger_totals t;
    int64_t sum = b->broker + b->treasury;
    whet_ledger_get_totals(l, &t);
    for (int64_t a = 0; a < whet_ledger_agents(l); a++) {
        assert_int_equal(whet_ledger_wallet(l, a)->available, b->agent[a]);
        assert_true(b->agent[a] >= 0);
        sum += b->agent[a];
    }
    for (int64_t d = 0; d < whet_ledger_deals(l); d++) {
        assert_int_equal(whet_ledger_deal(l, d)->held, b->escrow[d]);
        sum += b->escrow[d];
    }
    assert_int_equal(t.broker, b->broker);
    assert_int_equal(t.treasury, b->treasury);
    assert_int_equal(t.deposits, b->in);
    assert_int_equal(sum, b->in);
}

/* Any record: half of them sensible steps of a random deal, the others anything, also unknown numbers. */
static whet_record random_record(whet_i_rng *rng, const whet_ledger *l) {
    whet_record r = {.time = l->time + whet_i_rng_below(rng, 3)};
    r.kind = (whet_record_kind)whet_i_rng_below(rng, WHET_RECORDS);
    if (whet_i_rng_below(rng, 3) == 0)
        r.kind = (whet_record_kind)(WHET_RECORD_RESERVE + whet_i_rng_below(rng, 5));
    r.agent = whet_i_rng_below(rng, whet_ledger_agents(l) + 1);
    r.offer = whet_i_rng_below(rng, whet_ledger_offers(l) + 1);
    r.deal = whet_i_rng_below(rng, whet_ledger_deals(l) + 1);
    r.amount = whet_i_rng_below(rng, 300) - 5;
    if (r.kind == WHET_RECORD_REJECT) r.amount = whet_i_rng_below(rng, 2);
    r.until = r.time + whet_i_rng_below(rng, 60) - 2;
    r.terms = (whet_offer_terms){{whet_i_rng_below(rng, 5), whet_i_rng_below(rng, 5),
                                  (int32_t)whet_i_rng_below(rng, 2000),
                                  (int32_t)whet_i_rng_below(rng, 2000)},
                                 whet_i_rng_below(rng, 30),
                                 1 + whet_i_rng_below(rng, 3),
                                 whet_i_rng_below(rng, 4) == 0};
    return r;
}

/* Fills l with RECORDS accepted records, held against the books after each; reach counts ends. */
static void run_schedule(whet_ctx *ctx, whet_ledger *l, uint64_t seed, int64_t *reach) {
    whet_i_rng rng;
    books b = {0};
    int64_t accepted = 0;
    whet_i_rng_init(&rng, seed, 0);
    while (accepted < RECORDS) {
        const whet_record r = random_record(&rng, l);
        if (r.kind == WHET_RECORD_OPEN && whet_ledger_agents(l) == AGENTS) continue;
        const bool of_deal = r.kind >= WHET_RECORD_STAGE && r.deal < whet_ledger_deals(l);
        whet_deal before = {0};
        if (of_deal) before = *whet_ledger_deal(l, r.deal);
        const whet_status status = whet_ledger_apply(ctx, l, &r);
        assert_true(status == WHET_OK || status == WHET_ERR_ARG);
        if (status == WHET_OK) {
            accepted++;
            keep_books(&b, l, &r, of_deal ? &before : NULL);
        }
        compare(&b, l);
    }
    for (int64_t d = 0; d < whet_ledger_deals(l); d++) reach[whet_ledger_deal(l, d)->state]++;
}

static void random_schedules_match_other_books(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    int64_t reach[WHET_DEAL_STATES] = {0};
    for (uint64_t seed = 0; seed < 200; seed++) {
        whet_ledger *l = NULL;
        test_ok(ctx, whet_ledger_create(ctx, &l));
        run_schedule(ctx, l, seed, reach);
        test_ok(ctx, whet_ledger_audit(ctx, l));
        whet_ledger_destroy(ctx, l);
    }
    for (int s = 0; s < WHET_DEAL_STATES; s++)
        if (reach[s] == 0)
            fail_msg("no schedule ends in %s", whet_deal_state_name((whet_deal_state)s));
    test_ctx_done(ctx);
}

/* ---- crashes ------------------------------------------------------------------------------------ */

/* Everything that a ledger says, as one number. */
static uint64_t digest(const whet_ledger *l) {
    uint64_t h = whet_i_hash_u64((uint64_t)l->broker) ^ (uint64_t)l->treasury;
    h = whet_i_hash_u64(h ^ (uint64_t)l->outside) ^ (uint64_t)l->time;
    for (int64_t i = 0; i < l->n_agents; i++)
        h = whet_i_hash_u64(h + whet_i_hash_bytes(&l->wallets[i], sizeof *l->wallets));
    for (int64_t i = 0; i < l->n_offers; i++)
        h = whet_i_hash_u64(h + (uint64_t)l->offers[i].state * 7 +
                            (uint64_t)l->offers[i].last_deal);
    for (int64_t i = 0; i < l->n_deals; i++) {
        const whet_deal *d = &l->deals[i];
        h = whet_i_hash_u64(h + whet_i_hash_u64((uint64_t)d->state + (uint64_t)d->held * 16) +
                            (uint64_t)d->settled_at +
                            whet_i_hash_bytes(&d->payment, sizeof d->payment));
    }
    return h;
}

/* Killed behind any record, replayed, gone on with: the same states as without. */
static void a_crash_at_any_record_changes_nothing(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    int64_t reach[WHET_DEAL_STATES] = {0}, n;
    for (uint64_t seed = 1000; seed < 1010; seed++) {
        whet_ledger *l = NULL, *steps = NULL;
        uint64_t after[RECORDS + 1];
        test_ok(ctx, whet_ledger_create(ctx, &l));
        test_ok(ctx, whet_ledger_create(ctx, &steps));
        run_schedule(ctx, l, seed, reach);
        const whet_record *records = whet_ledger_records(l, &n);
        after[0] = digest(steps);
        for (int64_t i = 0; i < n; i++) {
            test_ok(ctx, whet_ledger_apply(ctx, steps, &records[i]));
            after[i + 1] = digest(steps);
        }
        for (int64_t crash = 0; crash <= n; crash++) {
            whet_ledger *again = NULL;
            test_ok(ctx, whet_ledger_replay(ctx, records, crash, &again));
            assert_true(digest(again) == after[crash]);
            if (crash % 10 == 0) test_ok(ctx, whet_ledger_audit(ctx, again));
            for (int64_t i = crash; i < n; i++)
                test_ok(ctx, whet_ledger_apply(ctx, again, &records[i]));
            assert_true(digest(again) == digest(l));
            whet_ledger_destroy(ctx, again);
        }
        whet_ledger_destroy(ctx, steps);
        whet_ledger_destroy(ctx, l);
    }
    test_ctx_done(ctx);
}

/* ---- tampering ---------------------------------------------------------------------------------- */

static void the_audit_sees_tampering(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_ledger *l = market(ctx, false);
    apply(ctx, l, reserve(1, 600, 1, 50));
    apply(ctx, l, reserve(2, 100, 1, 50));
    int64_t *const touched[] = {&l->wallets[0].available,
                                &l->wallets[1].held,
                                &l->wallets[0].strikes,
                                &l->broker,
                                &l->treasury,
                                &l->outside,
                                &l->deals[0].held,
                                &l->deals[1].deadline,
                                &l->deals[0].settled_at,
                                &l->deals[0].payment.price,
                                &l->entries[1].amount,
                                &l->records[1].amount,
                                &l->records[7].amount,
                                &l->records[8].agent,
                                &l->n_records,
                                &l->offers[0].last_deal};
    for (size_t i = 0; i < sizeof touched / sizeof touched[0]; i++) {
        test_ok(ctx, whet_ledger_audit(ctx, l));
        *touched[i] -= 1;
        const whet_status status = whet_ledger_audit(ctx, l);
        *touched[i] += 1;
        if (status != WHET_ERR_INTERNAL) fail_msg("tampering %d is not seen", (int)i);
        test_says(ctx, "audit");
    }
    l->deals[0].state = WHET_DEAL_CLOSED;
    test_fails(ctx, whet_ledger_audit(ctx, l), WHET_ERR_INTERNAL);
    whet_ledger_destroy(ctx, l);
    test_ctx_done(ctx);
}

/* ---- memory ------------------------------------------------------------------------------------- */

typedef struct live_arg {
    const whet_record *records;
    int64_t n;
} live_arg;

static whet_status live(whet_ctx *ctx, void *arg) {
    const live_arg *a = arg;
    whet_ledger *l = NULL;
    whet_status status = whet_ledger_create(ctx, &l);
    for (int64_t i = 0; status == WHET_OK && i < a->n; i++) {
        const uint64_t before = digest(l);
        status = whet_ledger_apply(ctx, l, &a->records[i]);
        if (status != WHET_OK) assert_true(digest(l) == before && l->n_records == i);
    }
    if (status == WHET_OK) status = whet_ledger_audit(ctx, l);
    whet_ledger_destroy(ctx, l);
    return status;
}

static void survives_failing_allocations(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    int64_t reach[WHET_DEAL_STATES] = {0};
    whet_ledger *l = NULL;
    live_arg arg;
    test_ok(ctx, whet_ledger_create(ctx, &l));
    run_schedule(ctx, l, 5, reach);
    arg.records = whet_ledger_records(l, &arg.n);
    assert_true(test_each_allocation(live, &arg) > 20);
    whet_ledger_destroy(ctx, l);
    whet_ledger_destroy(ctx, NULL);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trade_by_hand),
        cmocka_unit_test(refunds_by_hand),
        cmocka_unit_test(an_upheld_dispute_by_hand),
        cmocka_unit_test(offers_by_hand),
        cmocka_unit_test(money_that_overflows_is_refused),
        cmocka_unit_test(every_step_from_every_state),
        cmocka_unit_test(random_schedules_match_other_books),
        cmocka_unit_test(a_crash_at_any_record_changes_nothing),
        cmocka_unit_test(the_audit_sees_tampering),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
