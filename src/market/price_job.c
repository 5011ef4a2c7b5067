/* SPDX-License-Identifier: Apache-2.0
 * One price, from what is known of both sides: the job of `whet market price`.
 *
 * Fees are part of the deal. Of V the buyer can give at most P_b = (V - units) / (1 + rate) as price, the
 * seller needs at least P_s = (C + units) / (1 - rate): mechanisms work between P_s and P_b. Utilities are
 * linear in the price, so that bargaining over [P_s, P_b] is bargaining over V and C. A posted price is
 * judged by what is paid in all, t = p (1 + rate) + units: profit is proportional to (t - t_s) S(t), t_s what
 * is paid at P_s. */
#include <math.h>

#include "market/market_i.h"

#include "io/io_i.h"

typedef struct terms {
    const whet_price_job *job;
    double buyer_rate, seller_rate;
} terms;

static double net_value(const terms *t, double value) {
    return (value - (double)t->job->fees.buyer) / (1 + t->buyer_rate);
}

static double net_cost(const terms *t, double cost) {
    return (cost + (double)t->job->fees.seller) / (1 - t->seller_rate);
}

static double total_of(const terms *t, double price) {
    return price * (1 + t->buyer_rate) + (double)t->job->fees.buyer;
}

/* ---- mechanisms --------------------------------------------------------------------------------- */

static whet_status open_belief(whet_ctx *ctx, const terms *t, const whet_price_report *r,
                               whet_belief **out) {
    whet_belief *belief = NULL;
    whet_status status = whet_belief_open(ctx, t->job->belief, &belief);
    if (status != WHET_OK) return status;
    if (t->job->disclosure == WHET_DISCLOSE_BOUNDS)
        WHET_TRY_DONE(
            whet_belief_truncate(ctx, belief, r->disclosed.seller_low, r->disclosed.seller_high));
    if (t->job->history)
        WHET_TRY_DONE(whet_belief_observe_file(ctx, belief, t->job->history, t->job->floor));
done:
    if (status == WHET_OK)
        *out = belief;
    else
        whet_belief_destroy(ctx, belief);
    return status;
}

/* Where bounds leave one value, the buyer pays it, if it is worth it to the seller. */
static whet_status post_known(whet_ctx *ctx, const terms *t, double value, double least,
                              whet_posted *out) {
    whet_posted posted = {.sale = 1};
    const double most = net_value(t, value);
    WHET_TRY(whet_i_whole_price(ctx, fmax(least, most), least, most, &posted.price));
    *out = posted.price.trade ? posted : (whet_posted){0};
    return WHET_OK;
}

/* The posted price against the belief. */
static whet_status post_believed(whet_ctx *ctx, const terms *t, const whet_price_report *r,
                                 double least, whet_posted *out) {
    whet_status status = WHET_OK;
    whet_belief *belief;
    whet_posted posted = {0};
    whet_payment paid;
    double exact;
    WHET_TRY(open_belief(ctx, t, r, &belief));
    WHET_TRY_DONE(whet_i_amount(ctx, "least price", total_of(t, least)));
    WHET_TRY_DONE(whet_i_posted_exact(ctx, belief, total_of(t, least), &exact, &posted));
    if (exact >= 0)
        WHET_TRY_DONE(whet_i_whole_price(ctx, fmax(least, net_value(t, exact)), least,
                                         net_value(t, belief->hi), &posted.price));
    if (posted.price.trade) {
        WHET_TRY_DONE(whet_payment_split(ctx, posted.price.price, &t->job->fees, &paid));
        posted.sale = whet_belief_sale(belief, (double)paid.buyer_pays);
    }
    *out = posted;
done:
    whet_belief_destroy(ctx, belief);
    return status;
}

/* With its chances in terms of what both sides pay and get. */
static whet_status post(whet_ctx *ctx, const terms *t, const whet_price_report *r,
                        whet_posted *out) {
    const whet_disclosed *d = &r->disclosed;
    const double least = net_cost(t, r->reservation);
    whet_payment paid;
    whet_posted posted;
    if (d->seller_learns && d->seller_low >= d->seller_high)
        WHET_TRY(post_known(ctx, t, d->seller_high, least, &posted));
    else
        WHET_TRY(post_believed(ctx, t, r, least, &posted));
    if (posted.price.trade) {
        WHET_TRY(whet_payment_split(ctx, posted.price.price, &t->job->fees, &paid));
        posted.profit = ((double)paid.seller_gets - r->reservation) * posted.sale;
    }
    *out = posted;
    return WHET_OK;
}

static whet_status find_reserve(whet_ctx *ctx, const terms *t, whet_price_report *r) {
    int64_t least;
    WHET_TRY(whet_money_ceil(ctx, "least price", net_cost(t, r->reservation), &least));
    r->reserve = t->job->reserve >= 0 ? t->job->reserve : least;
    if (r->reserve < least)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "reserve is %lld; expected at least %lld, the reservation and fees",
                           (long long)r->reserve, (long long)least);
    if (!t->job->belief) return WHET_OK;
    WHET_TRY(post(ctx, t, r, &r->posted));
    if (r->posted.price.trade) r->reserve = r->posted.price.price;
    return WHET_OK;
}

static whet_status hold_auction(whet_ctx *ctx, const terms *t, whet_price_report *r) {
    whet_status status = WHET_OK;
    whet_i_bids bids = {0};
    WHET_TRY(find_reserve(ctx, t, r));
    WHET_TRY(whet_i_bids_read(ctx, t->job->bids, &bids));
    r->n_bids = bids.n;
    WHET_TRY_DONE(whet_second_price(ctx, bids.bids, bids.n, r->reserve, &r->auction));
    r->price = r->auction.price;
    if (!r->price.trade) r->why = "no-bid";
    if (r->price.trade && bids.names && bids.column >= 0)
        WHET_TRY_DONE(whet_i_strdup(
            ctx, whet_table_cell(bids.names, r->auction.winner, bids.column), &r->winner));
done:
    whet_i_bids_free(ctx, &bids);
    return status;
}

/* Bid and ask as given, or as the equilibrium has them: in whole units, against who names them. */
static whet_status meet(whet_ctx *ctx, const terms *t, whet_price_report *r) {
    const whet_price_job *job = t->job;
    int64_t bid = job->bid, ask = job->ask;
    if (!isnan(job->uniform_low)) {
        WHET_TRY(whet_double_auction_bid(ctx, job->uniform_low, job->uniform_high, job->k, r->value,
                                         &r->bid));
        WHET_TRY(whet_double_auction_ask(ctx, job->uniform_low, job->uniform_high, job->k,
                                         r->reservation, &r->ask));
        WHET_TRY(whet_money_floor(ctx, "bid", r->bid, &bid));
        WHET_TRY(whet_money_ceil(ctx, "ask", r->ask, &ask));
    } else {
        r->bid = (double)bid;
        r->ask = (double)ask;
    }
    return whet_double_auction(ctx, bid, ask, job->k, &r->price);
}

static whet_status bargain(whet_ctx *ctx, const terms *t, whet_price_report *r) {
    const whet_price_job *job = t->job;
    WHET_TRY(whet_i_amount(ctx, "the buyer's outside option", job->outside_buyer));
    WHET_TRY(whet_i_amount(ctx, "the seller's outside option", job->outside_seller));
    const double most = net_value(t, r->value - job->outside_buyer);
    const double least = net_cost(t, r->reservation + job->outside_seller);
    if (job->mechanism == WHET_MECHANISM_NASH) {
        const whet_nash in = {.value = fmax(0, most), .cost = least, .power = job->power};
        WHET_TRY(whet_nash_price(ctx, &in, &r->price));
    } else {
        const whet_rubinstein in = {fmax(0, most),       least,
                                    job->discount_buyer, job->discount_seller,
                                    job->buyer_first,    job->rounds};
        WHET_TRY(whet_rubinstein_price(ctx, &in, &r->price));
    }
    if (most < 0) r->price = (whet_price){0};
    return WHET_OK;
}

static whet_status price_bounds(whet_ctx *ctx, const terms *t, whet_price_report *r) {
    const whet_price_job *job = t->job;
    double low = job->value_low, high = job->value_high;
    const bool bounds = !isnan(job->reservation_low);
    const double cost_low = bounds ? job->reservation_low : r->reservation;
    const double cost_high = bounds ? job->reservation_high : r->reservation;
    if (isnan(low) && !isnan(r->value)) low = high = r->value;
    if (isnan(low)) {
        whet_valuation v;
        WHET_TRY(whet_valuation_parse(ctx, job->valuation, &v));
        WHET_TRY(whet_value(ctx, &v, r->gain_low, &low));
        WHET_TRY(whet_value(ctx, &v, r->gain_high, &high));
    }
    WHET_TRY(whet_i_amount(ctx, "lower bound of the value", low));
    WHET_TRY(whet_i_amount(ctx, "upper bound of the value", high));
    WHET_TRY(whet_i_amount(ctx, "lower bound of the reservation", cost_low));
    WHET_TRY(whet_i_amount(ctx, "upper bound of the reservation", cost_high));
    WHET_TRY(whet_price_between(ctx, fmax(0, net_value(t, low)), fmax(0, net_value(t, high)),
                                net_cost(t, cost_low), net_cost(t, cost_high), &r->bounds));
    r->price = r->bounds.price;
    if (r->bounds.verdict == WHET_BOUNDS_DISCLOSE) r->why = "disclose-more";
    return WHET_OK;
}

static whet_status find_price(whet_ctx *ctx, const terms *t, whet_price_report *r) {
    switch (t->job->mechanism) {
    case WHET_MECHANISM_POSTED:
        WHET_TRY(post(ctx, t, r, &r->posted));
        r->price = r->posted.price;
        return WHET_OK;
    case WHET_MECHANISM_SECOND_PRICE: return hold_auction(ctx, t, r);
    case WHET_MECHANISM_DOUBLE_AUCTION: return meet(ctx, t, r);
    case WHET_MECHANISM_BOUNDS: return price_bounds(ctx, t, r);
    default: return bargain(ctx, t, r);
    }
}

/* ---- the deal ----------------------------------------------------------------------------------- */

/* What is paid, and whether the buyer, where V is known, takes the price. */
static whet_status settle(whet_ctx *ctx, const terms *t, whet_price_report *r) {
    if (!r->price.trade) {
        if (!r->why) r->why = "no-surplus";
        return WHET_OK;
    }
    WHET_TRY(whet_payment_split(ctx, r->price.price, &t->job->fees, &r->payment));
    if (t->job->mechanism == WHET_MECHANISM_POSTED && !isnan(r->value) &&
        r->value < (double)r->payment.buyer_pays) {
        r->why = "refused";
        r->price.trade = false;
        return WHET_OK;
    }
    r->buyer_surplus = r->value - (double)r->payment.buyer_pays;
    r->seller_surplus = (double)r->payment.seller_gets - r->reservation;
    return WHET_OK;
}

void whet_price_report_free(whet_ctx *ctx, whet_price_report *report) {
    whet_i_free(ctx, report->winner);
    report->winner = NULL;
}

whet_status whet_price_run(whet_ctx *ctx, const whet_price_job *job, whet_price_report *out) {
    whet_status status = WHET_OK;
    const double none = (double)NAN;
    whet_price_job j;
    whet_price_report r = {.value = none,
                           .reservation = none,
                           .buyer_surplus = none,
                           .seller_surplus = none,
                           .gain = none,
                           .gain_low = none,
                           .gain_high = none,
                           .weight = none,
                           .bid = none,
                           .ask = none,
                           .reserve = -1,
                           .n_bids = -1};
    whet_price_job_init(&j);
    WHET_TRY(whet_i_opts(ctx, job, &j, sizeof j, "whet_price_job"));
    const terms t = {&j, j.fees.buyer_bp / 10000.0, j.fees.seller_bp / 10000.0};
    WHET_TRY(whet_i_price_check(ctx, &j));
    WHET_TRY(whet_i_price_facts(ctx, &j, &r));
    if (!r.why) WHET_TRY_DONE(find_price(ctx, &t, &r));
    WHET_TRY_DONE(settle(ctx, &t, &r));
done:
    if (status == WHET_OK)
        *out = r;
    else
        whet_price_report_free(ctx, &r);
    return status;
}
