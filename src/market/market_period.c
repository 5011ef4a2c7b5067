/* SPDX-License-Identifier: Apache-2.0
 * One period of trade: offers are listed, every buyer has sellers tried and buys the best of what is worth
 * more than it costs, as it was before anybody bought; then all adopt what they bought, and the ledger is
 * audited. FedAvg's period is a mean. */
#include <math.h>

#include "market/trading_i.h"

typedef struct period {
    whet_i_market_run *run;
    const whet_trading_config *config;
    int64_t offers;                                   /* trials that share the gate's level */
    int64_t offer[WHET_I_AGENTS_MAX];                 /* of each seller, in the ledger */
    bool tried[WHET_I_AGENTS_MAX][WHET_I_AGENTS_MAX]; /* buyer, seller */
    whet_trial_result bought[WHET_I_AGENTS_MAX];      /* mixtures to adopt; mixed NULL: none */
} period;

/* ---- the ledger ------------------------------------------------------------------------------ */

static whet_status enter(whet_ctx *ctx, const period *p, whet_record_kind kind, int64_t agent,
                         int64_t subject, int64_t amount) {
    const whet_i_terms *t = &p->config->terms;
    whet_record r = {.kind = kind,
                     .time = p->run->epoch,
                     .agent = agent,
                     .offer = subject,
                     .deal = subject,
                     .amount = amount,
                     .until = p->run->epoch};
    r.terms = (whet_offer_terms){t->fees, t->trial_fee, p->config->n_agents, false};
    return whet_ledger_apply(ctx, p->run->ledger, &r);
}

static whet_status list_offers(whet_ctx *ctx, period *p) {
    for (int64_t i = 0; p->run->ledger && i < p->config->n_agents; i++) {
        if (!p->config->agents[i].sells) continue;
        p->offer[i] = whet_ledger_offers(p->run->ledger);
        WHET_TRY(enter(ctx, p, WHET_RECORD_LIST, i, 0, 0));
    }
    return WHET_OK;
}

static whet_status unlist_offers(whet_ctx *ctx, period *p) {
    for (int64_t i = 0; p->run->ledger && i < p->config->n_agents; i++)
        if (p->config->agents[i].sells)
            WHET_TRY(enter(ctx, p, WHET_RECORD_UNLIST, i, p->offer[i], 0));
    return WHET_OK;
}

static whet_status put_flow(whet_ctx *ctx, const period *p, int64_t from, int64_t to,
                            int64_t amount) {
    const whet_trading_flow flow = {p->run->seed, p->run->arm, p->run->epoch, from, to, amount};
    return amount ? whet_i_put_flow(ctx, &p->run->rows, &flow) : WHET_OK;
}

/* The buyer's money is shared out among those that are still to be tried. *tried: there is enough. */
static whet_status reserve(whet_ctx *ctx, const period *p, whet_i_lot *l, int64_t left,
                           bool *tried) {
    *tried = true;
    if (!p->run->ledger) return WHET_OK;
    const int64_t hold = whet_ledger_wallet(p->run->ledger, l->row.buyer)->available / left;
    *tried = hold >= p->config->terms.trial_fee;
    if (!*tried) return WHET_OK;
    l->deal = whet_ledger_deals(p->run->ledger);
    WHET_TRY(enter(ctx, p, WHET_RECORD_RESERVE, l->row.buyer, p->offer[l->row.seller], hold));
    return enter(ctx, p, WHET_RECORD_STAGE, 0, l->deal, 0);
}

/* Paid and handed over; or refunded, less the fee of the trial. */
static whet_status settle(whet_ctx *ctx, const period *p, whet_i_lot *l) {
    static const whet_record_kind steps[] = {WHET_RECORD_AGREE, WHET_RECORD_SETTLE,
                                             WHET_RECORD_DELIVER, WHET_RECORD_CLOSE};
    if (l->deal < 0) return WHET_OK;
    if (l->row.outcome != WHET_TRADE_BOUGHT) {
        l->row.fees = p->config->terms.trial_fee;
        WHET_TRY(enter(ctx, p, WHET_RECORD_NO_GAIN, 0, l->deal, 0));
        return put_flow(ctx, p, l->row.buyer, WHET_PARTY_BROKER, l->row.fees);
    }
    for (int i = 0; i < 4; i++) WHET_TRY(enter(ctx, p, steps[i], 0, l->deal, l->row.price));
    l->row.fees = l->row.buyer_pays - l->row.seller_gets;
    WHET_TRY(put_flow(ctx, p, l->row.buyer, l->row.seller, l->row.seller_gets));
    return put_flow(ctx, p, l->row.buyer, WHET_PARTY_BROKER, l->row.fees);
}

/* ---- a trial --------------------------------------------------------------------------------- */

static whet_status try_lot(whet_ctx *ctx, const period *p, const whet_weights *buyer,
                           whet_i_lot *l) {
    WHET_TRY(whet_i_lot_try(ctx, p->run, buyer, p->offers, l));
    if (l->deal >= 0) WHET_TRY(enter(ctx, p, WHET_RECORD_EVALUATE, 0, l->deal, 0));
    l->row.outcome = WHET_TRADE_NO_GAIN;
    if (!l->row.gate) return WHET_OK;
    if (p->config->terms.mechanism == WHET_I_TRADE_SECOND)
        return whet_i_deal_bid(ctx, p->run, whet_ledger_deal(p->run->ledger, l->deal)->held,
                               &l->row, &l->bid);
    l->row.outcome = WHET_TRADE_BOUGHT; /* so far: prices and others may say otherwise */
    WHET_TRY(whet_i_deal_price(ctx, p->run, l->gain_high, &l->row));
    const bool short_of =
        l->deal >= 0 && l->row.buyer_pays > whet_ledger_deal(p->run->ledger, l->deal)->held;
    if (l->row.outcome == WHET_TRADE_BOUGHT && short_of) l->row.outcome = WHET_TRADE_NO_MONEY;
    return WHET_OK;
}

/* ---- a buyer --------------------------------------------------------------------------------- */

/* A seller who reveals a part gives what its units put out, where those are compared. */
static whet_trade_units units_of(const period *p, int64_t seller) {
    const whet_i_offer *offer = &p->run->market->offers[seller];
    const whet_i_trade_align align = p->config->terms.align;
    if (align == WHET_I_TRADE_AS_IS || p->run->arm == WHET_ARM_NO_ALIGN)
        return WHET_UNITS_AS_THEY_ARE;
    if (!offer->revealed || align == WHET_I_TRADE_ACTIVATIONS) return WHET_UNITS_ALIGNED;
    return offer->spec ? WHET_UNITS_PART : WHET_UNITS_AS_THEY_ARE;
}

static whet_trading_trial empty_row(const period *p, int64_t buyer, int64_t seller, int64_t round) {
    const double none = (double)NAN;
    return (whet_trading_trial){.seed = p->run->seed,
                                .arm = p->run->arm,
                                .epoch = p->run->epoch,
                                .buyer = buyer,
                                .seller = seller,
                                .round = round,
                                .units = units_of(p, seller),
                                .weight = none,
                                .select_before = none,
                                .select_after = none,
                                .gate_before = none,
                                .gate_after = none,
                                .accuracy_before = none,
                                .accuracy_after = none,
                                .gain = none,
                                .gain_low = none,
                                .gain_most = none,
                                .value = none,
                                .reservation = none,
                                .outcome = WHET_TRADE_NOT_TRIED};
}

static whet_i_lot empty_lot(const period *p, int64_t buyer, int64_t seller, int64_t round) {
    return (whet_i_lot){.row = empty_row(p, buyer, seller, round), .deal = -1};
}

/* Of what would be bought, the lot of most value for its price: the others make way. -1: none. */
static int64_t choose(whet_i_lot *lots, int64_t n) {
    int64_t best = -1;
    for (int64_t i = 0; i < n; i++) {
        if (lots[i].row.outcome != WHET_TRADE_BOUGHT) continue;
        const double left = lots[i].row.value - (double)lots[i].row.buyer_pays;
        if (best < 0 || left > lots[best].row.value - (double)lots[best].row.buyer_pays) best = i;
    }
    for (int64_t i = 0; i < n; i++)
        if (lots[i].row.outcome == WHET_TRADE_BOUGHT && i != best)
            lots[i].row.outcome = WHET_TRADE_OTHER;
    return best;
}

static whet_status try_lots(whet_ctx *ctx, const period *p, const whet_weights *buyer,
                            whet_i_lot *lots, int64_t n) {
    bool tried[WHET_I_AGENTS_MAX];
    int64_t left = 0;
    for (int64_t i = 0; i < n; i++) {
        WHET_TRY(whet_i_lot_expect(ctx, p->run, buyer, &lots[i], &tried[i]));
        left += tried[i];
    }
    for (int64_t i = 0; i < n; i++)
        if (tried[i]) WHET_TRY(reserve(ctx, p, &lots[i], left--, &tried[i]));
    for (int64_t i = 0; i < n; i++)
        if (tried[i]) WHET_TRY(try_lot(ctx, p, buyer, &lots[i]));
    return WHET_OK;
}

static whet_status finish_lots(whet_ctx *ctx, const period *p, whet_i_lot *lots, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        WHET_TRY(settle(ctx, p, &lots[i]));
        WHET_TRY(whet_i_deals_recall(ctx, p->run, &lots[i].row));
        WHET_TRY(whet_i_put_trial(ctx, &p->run->rows, &lots[i].row));
    }
    return WHET_OK;
}

/* A round of a buyer's: *best is the seller that it bought from, or -1. */
static whet_status buy_once(whet_ctx *ctx, period *p, int64_t buyer, const whet_weights *weights,
                            int64_t round, int64_t *best) {
    whet_i_lot lots[WHET_I_AGENTS_MAX] = {0};
    int64_t n = 0;
    whet_status status = WHET_OK;
    *best = -1;
    for (int64_t s = 0; s < p->config->n_agents; s++)
        if (p->tried[buyer][s]) lots[n++] = empty_lot(p, buyer, s, round);
    WHET_TRY_DONE(try_lots(ctx, p, weights, lots, n));
    const int64_t chosen = choose(lots, n);
    WHET_TRY_DONE(finish_lots(ctx, p, lots, n));
    if (chosen < 0) goto done;
    *best = lots[chosen].row.seller;
    const whet_trial_result old = p->bought[buyer]; /* what `weights` may be a view of */
    p->bought[buyer] = lots[chosen].result;
    lots[chosen].result = old;
done:
    for (int64_t i = 0; i < n; i++) whet_i_lot_free(ctx, &lots[i]);
    return status;
}

static whet_status trade_buyer(whet_ctx *ctx, period *p, int64_t buyer) {
    int64_t best = 0;
    for (int64_t round = 0; best >= 0; round++) {
        whet_weights w;
        bool any = false;
        w.items = whet_i_trader_weights(p->run->traders[buyer], &w.n);
        if (p->bought[buyer].mixed) w.items = p->bought[buyer].mixed;
        for (int64_t s = 0; s < p->config->n_agents; s++) any = any || p->tried[buyer][s];
        if (!any) break;
        WHET_TRY(buy_once(ctx, p, buyer, &w, round, &best));
        if (best < 0 || !p->config->terms.greedy) break;
        p->tried[buyer][best] = false;
    }
    return WHET_OK;
}

/* ---- an auction ------------------------------------------------------------------------------ */

/* Of those that bid their own reserve or more the highest wins, and pays the next bid, at least its own
 * reserve: what it pays does not depend on what it bids. *winner -1: none. */
static whet_status award(whet_ctx *ctx, const period *p, whet_i_lot *lots, int64_t n,
                         int64_t *winner) {
    int64_t bids[WHET_I_AGENTS_MAX], of[WHET_I_AGENTS_MAX], k = 0;
    whet_auction auction;
    *winner = -1;
    for (int64_t i = 0; i < n; i++)
        if (lots[i].row.outcome == WHET_TRADE_OUTBID) {
            bids[k] = lots[i].bid.bid;
            of[k++] = i;
        }
    WHET_TRY(whet_second_price(ctx, bids, k, 0, &auction));
    if (auction.winner < 0) return WHET_OK;
    *winner = of[auction.winner];
    whet_i_lot *l = &lots[*winner];
    WHET_TRY(whet_second_price(ctx, bids, k, l->bid.reserve, &auction));
    return whet_i_deal_at(ctx, p->run, auction.price.price, &l->row);
}

/* One seller's weights go to one buyer. Who has bought in this period bids no more. */
static whet_status auction_off(whet_ctx *ctx, period *p, int64_t seller) {
    whet_i_lot lots[WHET_I_AGENTS_MAX] = {0};
    int64_t n = 0, winner;
    whet_status status = WHET_OK;
    for (int64_t b = 0; b < p->config->n_agents; b++) {
        whet_weights w;
        if (!p->tried[b][seller] || p->bought[b].mixed) continue;
        whet_i_lot *l = &lots[n++];
        *l = empty_lot(p, b, seller, 0);
        w.items = whet_i_trader_weights(p->run->traders[b], &w.n);
        WHET_TRY_DONE(try_lots(ctx, p, &w, l, 1));
    }
    WHET_TRY_DONE(award(ctx, p, lots, n, &winner));
    WHET_TRY_DONE(finish_lots(ctx, p, lots, n));
    if (winner < 0) goto done;
    p->bought[lots[winner].row.buyer] = lots[winner].result;
    lots[winner].result = (whet_trial_result){0};
done:
    for (int64_t i = 0; i < n; i++) whet_i_lot_free(ctx, &lots[i]);
    return status;
}

/* ---- the period ------------------------------------------------------------------------------ */

/* Whom each buyer has tried; who is left out because little is expected has a row that says so. */
static whet_status plan_trials(whet_ctx *ctx, period *p) {
    const int64_t n = p->config->n_agents;
    for (int64_t b = 0; b < n; b++)
        for (int64_t s = 0; s < n; s++) {
            const whet_i_pair *pair = &p->run->pairs[b * n + s];
            if (b == s || !p->config->agents[b].buys || !p->config->agents[s].sells) continue;
            p->tried[b][s] = pair->skipped >= pair->wait;
            p->offers += p->tried[b][s];
            if (p->tried[b][s]) continue;
            const whet_trading_trial row = empty_row(p, b, s, 0);
            WHET_TRY(whet_i_deals_recall(ctx, p->run, &row));
            WHET_TRY(whet_i_put_trial(ctx, &p->run->rows, &row));
        }
    if (p->config->terms.greedy) p->offers *= n - 1; /* rounds, at most */
    return WHET_OK;
}

static whet_status put_wallets(whet_ctx *ctx, whet_i_market_run *run) {
    for (int64_t i = 0; run->ledger && i < run->market->config->n_agents; i++) {
        const whet_trading_wallet row = {run->seed, run->arm, run->epoch, i,
                                         whet_ledger_wallet(run->ledger, i)->available};
        WHET_TRY(whet_i_put_wallet(ctx, &run->rows, &row));
    }
    return WHET_OK;
}

/* Auctions are held one after the other, another seller's first in each period. */
static whet_status trade_all(whet_ctx *ctx, period *p) {
    const int64_t n = p->config->n_agents;
    const int64_t turn = p->run->epoch / p->config->terms.frequency;
    const bool auctions = p->config->terms.mechanism == WHET_I_TRADE_SECOND;
    for (int64_t i = 0; i < n; i++)
        WHET_TRY(auctions ? auction_off(ctx, p, (turn + i) % n) : trade_buyer(ctx, p, i));
    return WHET_OK;
}

static whet_status trade(whet_ctx *ctx, whet_i_market_run *run) {
    period p = {.run = run, .config = run->market->config};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(plan_trials(ctx, &p));
    WHET_TRY_DONE(list_offers(ctx, &p));
    WHET_TRY_DONE(trade_all(ctx, &p));
    for (int64_t b = 0; b < p.config->n_agents; b++)
        if (p.bought[b].mixed)
            WHET_TRY_DONE(whet_i_trader_adopt(ctx, run->traders[b], p.bought[b].mixed,
                                              p.config->terms.keep_optimizer));
    WHET_TRY_DONE(unlist_offers(ctx, &p));
    if (run->ledger) WHET_TRY_DONE(whet_ledger_audit(ctx, run->ledger));
    WHET_TRY_DONE(put_wallets(ctx, run));
done:
    for (int64_t b = 0; b < p.config->n_agents; b++) whet_trial_result_free(ctx, &p.bought[b]);
    return status;
}

/* FedAvg: everybody goes on from the mean of all, each counting the same, as a share of 1/2 of two does. */
static whet_status average(whet_ctx *ctx, whet_i_market_run *run) {
    const int64_t agents = run->n_traders;
    int64_t n;
    const whet_named_tensor *first = whet_i_trader_weights(run->traders[0], &n);
    whet_named_tensor *mean = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &mean));
    for (int64_t i = 0; i < n; i++) {
        const whet_tensor *t = &first[i].tensor;
        const int64_t count = whet_tensor_count(t);
        WHET_TRY_DONE(whet_tensor_create(ctx, WHET_F32, t->rank, t->shape, &mean[i].tensor));
        for (int64_t k = 0; k < count; k++) {
            double sum = 0;
            for (int64_t a = 0; a < agents; a++) {
                int64_t unused;
                const whet_named_tensor *of = whet_i_trader_weights(run->traders[a], &unused);
                sum += (double)((const float *)of[i].tensor.data)[k];
            }
            ((float *)mean[i].tensor.data)[k] = (float)(sum / (double)agents);
        }
    }
    for (int64_t a = 0; a < agents; a++)
        WHET_TRY_DONE(whet_i_trader_adopt(ctx, run->traders[a], mean,
                                          run->market->config->terms.keep_optimizer));
done:
    for (int64_t i = 0; mean && i < n; i++) whet_tensor_destroy(ctx, &mean[i].tensor);
    whet_i_free(ctx, mean);
    return status;
}

whet_status whet_i_market_run_period(whet_ctx *ctx, whet_i_market_run *run) {
    const whet_i_terms *t = &run->market->config->terms;
    if (run->epoch < t->start || run->epoch % t->frequency != 0) return put_wallets(ctx, run);
    return run->arm == WHET_ARM_FEDAVG ? average(ctx, run) : trade(ctx, run);
}
