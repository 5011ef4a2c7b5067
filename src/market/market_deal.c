/* SPDX-License-Identifier: Apache-2.0
 * Money in a simulated market: what a trial is worth to the buyer (V) and must bring the seller (C), the
 * price between them, and what all of it teaches those who deal again. Mechanisms work on what is left when
 * fees are paid, between (C + fee) / (1 - rate) and (V - fee) / (1 + rate), as in price_job.c. */
#include <math.h>

#include "market/trading_i.h"

/* ---- who pays with what ---------------------------------------------------------------------- */

static whet_status record(whet_ctx *ctx, whet_i_market_run *run, whet_record_kind kind,
                          int64_t agent, int64_t amount) {
    const whet_record r = {.kind = kind, .agent = agent, .amount = amount};
    return whet_ledger_apply(ctx, run->ledger, &r);
}

static whet_status open_wallets(whet_ctx *ctx, whet_i_market_run *run) {
    const whet_trading_config *c = run->market->config;
    WHET_TRY(whet_ledger_create(ctx, &run->ledger));
    for (int64_t i = 0; i < c->n_agents; i++) {
        const whet_trading_flow flow = {run->seed,          run->arm, 0,
                                        WHET_PARTY_OUTSIDE, i,        c->agents[i].wallet};
        WHET_TRY(record(ctx, run, WHET_RECORD_OPEN, i, 0));
        if (flow.amount == 0) continue;
        WHET_TRY(record(ctx, run, WHET_RECORD_DEPOSIT, i, flow.amount));
        WHET_TRY(whet_i_put_flow(ctx, &run->rows, &flow));
    }
    return WHET_OK;
}

/* In an auction a belief makes the reserve, where the seller has one. */
static bool needs_belief(const whet_i_terms *t, const whet_i_agent *seller) {
    if (t->mechanism == WHET_I_TRADE_SECOND) return seller->belief != NULL;
    return t->mechanism == WHET_I_TRADE_POSTED && t->disclosure != WHET_DISCLOSE_BOTH;
}

whet_status whet_i_deals_open(whet_ctx *ctx, whet_i_market_run *run) {
    const whet_trading_config *c = run->market->config;
    const int64_t n = c->n_agents;
    WHET_TRY(whet_i_calloc(ctx, n * n, &run->pairs));
    if (c->terms.mechanism == WHET_I_TRADE_FREE) return WHET_OK;
    WHET_TRY(open_wallets(ctx, run));
    for (int64_t buyer = 0; buyer < n; buyer++)
        for (int64_t seller = 0; seller < n; seller++)
            if (buyer != seller && c->agents[seller].sells && c->agents[buyer].buys &&
                needs_belief(&c->terms, &c->agents[seller]))
                WHET_TRY(whet_belief_open(ctx, c->agents[seller].belief,
                                          &run->pairs[buyer * n + seller].belief));
    return WHET_OK;
}

/* ---- value ----------------------------------------------------------------------------------- */

/* Epochs of training alone that the gain saves: by what the silo's loss on the same examples did. */
static whet_status epochs_saved(whet_ctx *ctx, const whet_i_market_run *run,
                                const whet_trading_trial *row, double *saved) {
    const whet_i_market *m = run->market;
    const whet_i_told *silo = &m->silos[run->seed * m->config->n_agents + row->buyer].rows;
    const bool gated = !isnan(row->gate_before);
    double *losses = NULL;
    int64_t n = 0;
    bool reached;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, silo->n_scores + 1, &losses));
    losses[n++] = gated ? row->gate_before : row->select_before;
    for (int64_t i = 0; i < silo->n_scores; i++)
        if (silo->scores[i].epoch > row->epoch) losses[n++] = silo->scores[i].valid_loss;
    WHET_TRY_DONE(whet_epochs_saved(ctx, losses, n, gated ? row->gate_after : row->select_after,
                                    saved, &reached));
done:
    whet_i_free(ctx, losses);
    return status;
}

static whet_status find_value(whet_ctx *ctx, const whet_i_market_run *run,
                              whet_trading_trial *row) {
    const whet_valuation *v = &run->market->config->agents[row->buyer].valuation;
    double gain = row->gain;
    if (v->kind == WHET_VALUE_ACCURACY) gain = row->accuracy_after - row->accuracy_before;
    if (v->kind == WHET_VALUE_COST_SAVING) WHET_TRY(epochs_saved(ctx, run, row, &gain));
    return whet_value(ctx, v, gain, &row->value);
}

static whet_status find_reservation(whet_ctx *ctx, const whet_i_market_run *run,
                                    whet_trading_trial *row) {
    const whet_trading_config *c = run->market->config;
    whet_reservation r = c->agents[row->seller].reservation;
    r.competitor = c->agents[row->buyer].competitor;
    return whet_reservation_cost(ctx, &r, row->gain, &row->reservation);
}

/* ---- price ----------------------------------------------------------------------------------- */

typedef struct sides {
    const whet_i_terms *terms;
    double most, least; /* prices that leave the buyer, the seller nothing */
} sides;

static double total_of(const sides *s, double price) {
    return price * (1 + s->terms->fees.buyer_bp / 10000.0) + (double)s->terms->fees.buyer;
}

static double price_of(const sides *s, double total) {
    return (total - (double)s->terms->fees.buyer) / (1 + s->terms->fees.buyer_bp / 10000.0);
}

static whet_status post(whet_ctx *ctx, const sides *s, const whet_belief *belief, whet_price *out) {
    whet_posted posted = {0};
    double exact;
    *out = (whet_price){0};
    WHET_TRY(whet_i_amount(ctx, "least price", total_of(s, s->least)));
    WHET_TRY(whet_i_posted_exact(ctx, belief, total_of(s, s->least), &exact, &posted));
    if (exact < 0) return WHET_OK;
    return whet_i_whole_price(ctx, fmax(s->least, price_of(s, exact)), s->least,
                              price_of(s, belief->hi), out);
}

/* The broker's interval of the gain cuts what the seller believes; this once: next time it is another. */
static whet_status post_bounds(whet_ctx *ctx, const whet_i_market_run *run, const sides *s,
                               const whet_trading_trial *row, double gain_high, whet_price *out) {
    const whet_trading_config *c = run->market->config;
    const double before = row->gate_before;
    whet_disclosed d;
    whet_belief *belief = NULL;
    WHET_TRY(whet_disclose(ctx, WHET_DISCLOSE_BOUNDS, &c->agents[row->buyer].valuation,
                           row->gain_low / before, gain_high / before, 0, &d));
    if (!(d.seller_low < d.seller_high))
        return whet_i_whole_price(ctx, fmax(s->least, price_of(s, d.seller_low)), s->least,
                                  price_of(s, d.seller_low), out);
    WHET_TRY(whet_belief_open(ctx, c->agents[row->seller].belief, &belief));
    whet_status status = whet_belief_truncate(ctx, belief, d.seller_low, d.seller_high);
    if (status == WHET_OK)
        status = post(ctx, s, belief, out);
    else if (status == WHET_ERR_DATA) { /* it was held impossible: what is known stands */
        const double known = price_of(s, d.seller_low);
        status = whet_i_whole_price(ctx, fmax(s->least, known), s->least, known, out);
    }
    whet_belief_destroy(ctx, belief);
    return status;
}

static whet_status post_any(whet_ctx *ctx, const whet_i_market_run *run, const sides *s,
                            const whet_trading_trial *row, double gain_high, whet_price *out) {
    const int64_t n = run->market->config->n_agents;
    const whet_belief *belief = run->pairs[row->buyer * n + row->seller].belief;
    if (s->terms->disclosure == WHET_DISCLOSE_BOUNDS)
        return post_bounds(ctx, run, s, row, gain_high, out);
    if (belief) return post(ctx, s, belief, out);
    return whet_i_whole_price(ctx, fmax(s->least, s->most), s->least, s->most, out);
}

/* Whole numbers that each side names in the linear equilibrium; what lies outside of its interval is named as
 * its end, unless that would be a loss. */
static whet_status meet(whet_ctx *ctx, const sides *s, whet_price *out) {
    const whet_i_terms *t = s->terms;
    double x;
    int64_t bid, ask;
    *out = (whet_price){0};
    if (s->most < t->uniform_low || s->least > t->uniform_high) return WHET_OK;
    WHET_TRY(whet_double_auction_bid(ctx, t->uniform_low, t->uniform_high, t->k,
                                     fmin(s->most, t->uniform_high), &x));
    WHET_TRY(whet_money_floor(ctx, "bid", fmax(0, x), &bid));
    WHET_TRY(whet_double_auction_ask(ctx, t->uniform_low, t->uniform_high, t->k,
                                     fmax(s->least, t->uniform_low), &x));
    WHET_TRY(whet_money_ceil(ctx, "ask", x, &ask));
    return whet_double_auction(ctx, bid, ask, t->k, out);
}

static whet_status find_price(whet_ctx *ctx, const whet_i_market_run *run, const sides *s,
                              const whet_trading_trial *row, double gain_high, whet_price *out) {
    const whet_i_terms *t = s->terms;
    const whet_nash nash = {.value = s->most, .cost = s->least, .power = t->power};
    const whet_rubinstein rubinstein = {
        s->most, s->least, t->discount_buyer, t->discount_seller, t->buyer_first, t->rounds};
    *out = (whet_price){0};
    if (t->mechanism == WHET_I_TRADE_POSTED) return post_any(ctx, run, s, row, gain_high, out);
    if (s->most < 0) return WHET_OK;
    if (t->mechanism == WHET_I_TRADE_NASH) return whet_nash_price(ctx, &nash, out);
    if (t->mechanism == WHET_I_TRADE_RUBINSTEIN)
        return whet_rubinstein_price(ctx, &rubinstein, out);
    return meet(ctx, s, out);
}

static sides sides_of(const whet_i_terms *t, const whet_trading_trial *row) {
    return (sides){t, (row->value - (double)t->fees.buyer) / (1 + t->fees.buyer_bp / 10000.0),
                   (row->reservation + (double)t->fees.seller) / (1 - t->fees.seller_bp / 10000.0)};
}

/* Wallets begin at whole units, and grow by sales alone: somebody must pay first. */
static whet_status find_cheapest(whet_ctx *ctx, const sides *s, whet_i_outlook *out) {
    whet_price price = {0};
    whet_payment paid;
    out->cost = total_of(s, s->least);
    out->pays = -1;
    if (!(out->value > 0) || s->most < 0) return WHET_OK;
    WHET_TRY(whet_i_whole_price(ctx, s->least, s->least, s->most, &price));
    if (!price.trade) return WHET_OK;
    WHET_TRY(whet_payment_split(ctx, price.price, &s->terms->fees, &paid));
    if ((double)paid.buyer_pays > out->value) return WHET_OK;
    out->pays = paid.buyer_pays > s->terms->trial_fee ? paid.buyer_pays : s->terms->trial_fee;
    return WHET_OK;
}

whet_status whet_i_deal_outlook(whet_ctx *ctx, const whet_trading_config *config, int64_t buyer,
                                int64_t seller, whet_i_outlook *out) {
    const whet_i_terms *t = &config->terms;
    const whet_i_agent *of = &config->agents[seller];
    const whet_valuation *v = &config->agents[buyer].valuation;
    const double most = v->kind == WHET_VALUE_COST_SAVING ? (double)config->epochs : 1;
    whet_reservation r = of->reservation;
    whet_trading_trial row = {0};
    whet_price price = {.trade = true};
    whet_belief *belief;
    r.competitor = config->agents[buyer].competitor;
    WHET_TRY(whet_value(ctx, v, most, &row.value));
    WHET_TRY(whet_reservation_cost(ctx, &r, 1, &row.reservation));
    const sides dear = sides_of(t, &row);
    WHET_TRY(whet_i_amount(ctx, "least price", total_of(&dear, dear.least)));
    WHET_TRY(whet_reservation_cost(ctx, &r, 0, &row.reservation));
    const sides s = sides_of(t, &row);
    if (t->mechanism == WHET_I_TRADE_DOUBLE) WHET_TRY(meet(ctx, &s, &price));
    /* With bounds the broker says what is held impossible. */
    if (needs_belief(t, of) && t->mechanism == WHET_I_TRADE_POSTED &&
        t->disclosure != WHET_DISCLOSE_BOUNDS) {
        WHET_TRY(whet_belief_open(ctx, of->belief, &belief));
        const whet_status status = post(ctx, &s, belief, &price);
        whet_belief_destroy(ctx, belief);
        WHET_TRY(status);
    }
    out->priced = price.trade;
    out->value = row.value;
    return find_cheapest(ctx, &s, out);
}

whet_status whet_i_deal_at(whet_ctx *ctx, const whet_i_market_run *run, int64_t price,
                           whet_trading_trial *row) {
    whet_payment paid;
    WHET_TRY(whet_payment_split(ctx, price, &run->market->config->terms.fees, &paid));
    row->posted = true;
    row->price = price;
    row->buyer_pays = paid.buyer_pays;
    row->seller_gets = paid.seller_gets;
    row->outcome = row->value < (double)paid.buyer_pays ? WHET_TRADE_REFUSED : WHET_TRADE_BOUGHT;
    return WHET_OK;
}

whet_status whet_i_deal_price(whet_ctx *ctx, whet_i_market_run *run, double gain_high,
                              whet_trading_trial *row) {
    const whet_i_terms *t = &run->market->config->terms;
    whet_price price;
    if (t->mechanism == WHET_I_TRADE_FREE) {
        row->value = row->gain;
        row->reservation = 0;
        return WHET_OK;
    }
    WHET_TRY(find_value(ctx, run, row));
    WHET_TRY(find_reservation(ctx, run, row));
    const sides s = sides_of(t, row);
    WHET_TRY(find_price(ctx, run, &s, row, gain_high, &price));
    row->outcome = WHET_TRADE_NO_PRICE;
    return price.trade ? whet_i_deal_at(ctx, run, price.price, row) : WHET_OK;
}

/* ---- auctions -------------------------------------------------------------------------------- */

/* The dearest whole price at which the buyer pays no more than `most`; -1: none. */
static whet_status dearest(whet_ctx *ctx, const sides *s, double most, int64_t *out) {
    const double price = price_of(s, most);
    *out = -1;
    if (price < 0) return WHET_OK;
    WHET_TRY(whet_money_floor(ctx, "bid", price, out));
    while (*out >= 0 && total_of(s, (double)*out) > most) --*out; /* the division rounded up */
    return WHET_OK;
}

/* By the seller's belief, where it has one that would ever buy; else what leaves it nothing. */
static whet_status find_reserve(whet_ctx *ctx, const whet_i_market_run *run, const sides *s,
                                const whet_trading_trial *row, int64_t *out) {
    const int64_t n = run->market->config->n_agents;
    const whet_belief *belief = run->pairs[row->buyer * n + row->seller].belief;
    whet_price price = {0};
    if (belief) WHET_TRY(post(ctx, s, belief, &price));
    if (!price.trade)
        WHET_TRY(whet_i_whole_price(ctx, s->least, s->least, (double)WHET_MONEY_MAX, &price));
    *out = price.price;
    return WHET_OK;
}

whet_status whet_i_deal_bid(whet_ctx *ctx, const whet_i_market_run *run, int64_t held,
                            whet_trading_trial *row, whet_i_bid *out) {
    int64_t worth, affordable;
    WHET_TRY(find_value(ctx, run, row));
    WHET_TRY(find_reservation(ctx, run, row));
    const sides s = sides_of(&run->market->config->terms, row);
    WHET_TRY(dearest(ctx, &s, row->value, &worth));
    WHET_TRY(dearest(ctx, &s, (double)held, &affordable));
    WHET_TRY(find_reserve(ctx, run, &s, row, &out->reserve));
    out->bid = worth < affordable ? worth : affordable;
    row->outcome = worth < out->reserve      ? WHET_TRADE_NO_PRICE
                   : out->bid < out->reserve ? WHET_TRADE_NO_MONEY
                                             : WHET_TRADE_OUTBID;
    return WHET_OK;
}

/* ---- what it teaches ------------------------------------------------------------------------- */

/* A pair whose last trial was worth less than a trial costs waits 1, 2, 4, .. periods for the next. */
static void recall_wait(const whet_i_terms *t, whet_i_pair *pair, const whet_trading_trial *row) {
    if (row->outcome == WHET_TRADE_NOT_TRIED) {
        pair->skipped++;
        return;
    }
    const double worth = row->gate ? row->value : 0;
    pair->skipped = 0;
    if (worth >= (double)t->trial_fee)
        pair->wait = 0;
    else
        pair->wait = pair->wait ? 2 * pair->wait : 1;
}

whet_status whet_i_deals_recall(whet_ctx *ctx, whet_i_market_run *run,
                                const whet_trading_trial *row) {
    const whet_trading_config *c = run->market->config;
    whet_i_pair *pair = &run->pairs[row->buyer * c->n_agents + row->seller];
    const bool bought = row->outcome == WHET_TRADE_BOUGHT;
    recall_wait(&c->terms, pair, row);
    /* That another offer was better, or money short, says nothing of what this one is worth; who wins an
     * auction is the highest of several, and no draw of the belief. */
    if (c->terms.mechanism != WHET_I_TRADE_POSTED || !pair->belief ||
        c->terms.disclosure == WHET_DISCLOSE_BOUNDS || !row->posted ||
        (!bought && row->outcome != WHET_TRADE_REFUSED))
        return WHET_OK;
    return whet_belief_observe(ctx, pair->belief, (double)row->buyer_pays, bought, c->terms.floor);
}
