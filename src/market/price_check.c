/* SPDX-License-Identifier: Apache-2.0
 * What a pricing job may say together, before anything is read: two answers to one question are an error that
 * names both, and what a mechanism needs must be there. */
#include <math.h>

#include "market/market_i.h"

static const char *const NAMES[WHET_MECHANISMS] = {"posted", "second-price", "double-auction",
                                                   "nash",   "rubinstein",   "bounds"};

const char *whet_mechanism_name(whet_mechanism mechanism) { return NAMES[mechanism]; }

void whet_price_job_init(whet_price_job *job) {
    const double none = (double)NAN;
    const whet_gate_opts gate = WHET_GATE_OPTS_INIT;
    *job = (whet_price_job){.struct_size = sizeof *job,
                            .disclosure = -1,
                            .value = none,
                            .gain = none,
                            .gate = gate,
                            .gain_low = none,
                            .gain_high = none,
                            .weight = none,
                            .loss = none,
                            .value_low = none,
                            .value_high = none,
                            .floor = .05,
                            .reservation = none,
                            .seller = {.training = none},
                            .reservation_low = none,
                            .reservation_high = none,
                            .reserve = -1,
                            .bid = -1,
                            .ask = -1,
                            .k = .5,
                            .uniform_low = none,
                            .uniform_high = none,
                            .power = .5,
                            .discount_buyer = none,
                            .discount_seller = none};
}

static bool given(double x) { return !isnan(x); }

static whet_status both(whet_ctx *ctx, const char *one, const char *other) {
    return whet_i_fail(ctx, WHET_ERR_ARG, "%s and %s are given; expected one of them", one, other);
}

static whet_status lacks(whet_ctx *ctx, const whet_price_job *job, const char *what) {
    return whet_i_fail(ctx, WHET_ERR_ARG, "%s without %s; expected it", NAMES[job->mechanism],
                       what);
}

/* ---- gains and values --------------------------------------------------------------------------- */

static bool has_prior(const whet_price_job *job) { return job->prior.norm2 > 0; }
static bool has_bounds(const whet_price_job *job) { return given(job->gain_low) || has_prior(job); }
static bool has_gain(const whet_price_job *job) { return given(job->gain) || job->before; }

/* More than all of a loss, or of accuracy, cannot be gained. Of epochs any number can; what a slope bounds is
 * not looked at, for that bound holds anyway. */
static whet_status check_most(whet_ctx *ctx, const whet_price_job *job) {
    const double most = given(job->gain) ? job->gain : job->gain_high;
    whet_valuation v;
    if (!job->valuation || !given(most)) return WHET_OK;
    WHET_TRY(whet_valuation_parse(ctx, job->valuation, &v));
    if (most <= 1 || v.kind == WHET_VALUE_COST_SAVING) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG,
                       "gain is %g, a share of %s; expected at most 1; try cost-saving for epochs",
                       most, v.kind == WHET_VALUE_ACCURACY ? "all examples" : "the loss before");
}

static whet_status check_gains(whet_ctx *ctx, const whet_price_job *job) {
    if (given(job->gain) && job->before) return both(ctx, "a gain", "losses that measure it");
    if (!job->before != !job->after)
        return whet_i_fail(ctx, WHET_ERR_ARG, "losses %s alone; expected both before and after",
                           job->before ? "before" : "after");
    if (job->before) WHET_TRY(whet_i_gate_check(ctx, &job->gate));
    if (given(job->gain_low) != given(job->gain_high))
        return whet_i_fail(ctx, WHET_ERR_ARG, "one bound of the gain; expected both");
    if (given(job->gain_low) && job->gain_low > job->gain_high)
        return whet_i_fail(ctx, WHET_ERR_ARG, "gain from %g to %g; expected the lower bound first",
                           job->gain_low, job->gain_high);
    if (given(job->gain_low) && has_prior(job))
        return both(ctx, "bounds of the gain", "a slope and distance that bound it");
    if (given(job->gain) && given(job->gain_low) &&
        (job->gain < job->gain_low || job->gain > job->gain_high))
        return whet_i_fail(ctx, WHET_ERR_ARG, "gain is %g; expected it within its bounds %g to %g",
                           job->gain, job->gain_low, job->gain_high);
    if (given(job->gain) && !job->valuation && !job->seller.competitor)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a gain without a valuation; expected what it is worth");
    WHET_TRY(check_most(ctx, job));
    if (has_bounds(job) && job->mechanism != WHET_MECHANISM_BOUNDS &&
        job->disclosure != WHET_DISCLOSE_BOUNDS && !job->seller.competitor)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "bounds of the gain with %s; expected bounds as disclosure or mechanism",
                           NAMES[job->mechanism]);
    if (!has_prior(job) && (given(job->weight) || given(job->loss)))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a mixing weight or loss without slope, distance and smoothness; "
                           "expected them");
    return WHET_OK;
}

static whet_status check_value(whet_ctx *ctx, const whet_price_job *job) {
    if (given(job->value) && job->valuation) return both(ctx, "a value", "a valuation");
    if (job->valuation && !has_gain(job) && !has_bounds(job))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a valuation without a gain; expected a gain, its "
                           "bounds, or losses before and after");
    if (given(job->value_low) != given(job->value_high))
        return whet_i_fail(ctx, WHET_ERR_ARG, "one bound of the value; expected both");
    if (given(job->value) && given(job->value_low) &&
        (job->value < job->value_low || job->value > job->value_high))
        return whet_i_fail(ctx, WHET_ERR_ARG, "value is %g; expected it within its bounds %g to %g",
                           job->value, job->value_low, job->value_high);
    if (given(job->value_low) && job->valuation)
        return both(ctx, "bounds of the value", "a valuation");
    if (job->history && !job->belief)
        return whet_i_fail(ctx, WHET_ERR_ARG, "a history without a belief; expected one");
    return WHET_OK;
}

/* ---- the seller --------------------------------------------------------------------------------- */

static whet_status check_seller(whet_ctx *ctx, const whet_price_job *job) {
    const bool parts = given(job->seller.training);
    if (given(job->reservation) && parts) return both(ctx, "a reservation", "a training cost");
    if (job->seller.competitor && !(job->seller.externality > 0))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a competitor without an externality; expected what its gain costs");
    if (parts && job->seller.training > 0 && !(job->seller.amortisation > 0))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a training cost of %g with an amortisation of 0; expected the share of "
                           "it, above 0, that this sale must bring in",
                           job->seller.training);
    if (!parts && job->seller.amortisation > 0)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "an amortisation of %g without a training cost; expected what it is a "
                           "share of",
                           job->seller.amortisation);
    if (!parts && (job->seller.competitor || job->seller.externality > 0 || job->seller.fee > 0))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "parts of a reservation without a training cost; "
                           "expected it, 0 if there is none");
    if (job->seller.competitor && !has_gain(job) && !has_bounds(job))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a competitor without a gain; expected a gain, its bounds, or losses");
    if (given(job->reservation_low) != given(job->reservation_high))
        return whet_i_fail(ctx, WHET_ERR_ARG, "one bound of the reservation; expected both");
    if (given(job->reservation_low) && (given(job->reservation) || parts))
        return both(ctx, "bounds of the reservation", "a reservation");
    if (job->fees.seller_bp >= 10000)
        return whet_i_fail(ctx, WHET_ERR_ARG, "the seller's fee is the whole price; expected less");
    whet_payment unused; /* rates and signs, at a price that bears the fee */
    return whet_payment_split(ctx, 0,
                              &(whet_fees){job->fees.buyer, job->fees.seller < 0 ? -1 : 0,
                                           job->fees.buyer_bp, job->fees.seller_bp},
                              &unused);
}

/* ---- mechanisms --------------------------------------------------------------------------------- */

static bool knows_value(const whet_price_job *job) {
    return given(job->value) || (job->valuation && has_gain(job));
}

static whet_status check_double(whet_ctx *ctx, const whet_price_job *job) {
    const bool uniform = given(job->uniform_low);
    if (uniform != given(job->uniform_high))
        return whet_i_fail(ctx, WHET_ERR_ARG, "one bound of both sides' values; expected both");
    if (uniform && (job->bid >= 0 || job->ask >= 0))
        return both(ctx, "a bid or ask", "an equilibrium that makes them");
    if (uniform && (job->fees.buyer > 0 || job->fees.seller > 0 || job->fees.buyer_bp > 0 ||
                    job->fees.seller_bp > 0))
        return both(ctx, "fees", "an equilibrium, which holds without");
    if (!uniform && (given(job->value) || job->valuation)) return both(ctx, "a bid", "a value");
    if (!uniform && (given(job->reservation) || given(job->seller.training)))
        return both(ctx, "an ask", "a reservation");
    if (uniform && !knows_value(job)) return lacks(ctx, job, "a value");
    if (!uniform && (job->bid < 0 || job->ask < 0)) return lacks(ctx, job, "a bid and an ask");
    return WHET_OK;
}

static whet_status check_mechanism(whet_ctx *ctx, const whet_price_job *job) {
    switch (job->mechanism) {
    case WHET_MECHANISM_POSTED: return job->belief ? WHET_OK : lacks(ctx, job, "a belief");
    case WHET_MECHANISM_SECOND_PRICE:
        if (!job->bids) return lacks(ctx, job, "bids");
        return job->belief && job->reserve >= 0 ? both(ctx, "a reserve", "a belief that makes one")
                                                : WHET_OK;
    case WHET_MECHANISM_DOUBLE_AUCTION: return check_double(ctx, job);
    case WHET_MECHANISM_RUBINSTEIN:
        if (!given(job->discount_buyer) || !given(job->discount_seller))
            return lacks(ctx, job, "both discounts");
        return knows_value(job) ? WHET_OK : lacks(ctx, job, "a value");
    case WHET_MECHANISM_NASH: return knows_value(job) ? WHET_OK : lacks(ctx, job, "a value");
    default: break;
    }
    if (!given(job->value_low) && !(job->valuation && has_bounds(job)) && !knows_value(job))
        return lacks(ctx, job, "bounds of the value");
    return WHET_OK;
}

/* The level says who knows what, which not every mechanism can work with. */
static whet_status check_disclosure(whet_ctx *ctx, const whet_price_job *job) {
    if (job->disclosure < 0) return WHET_OK;
    const bool bargains =
        job->mechanism == WHET_MECHANISM_NASH || job->mechanism == WHET_MECHANISM_RUBINSTEIN;
    const whet_disclosure level = (whet_disclosure)job->disclosure;
    if (job->disclosure >= WHET_DISCLOSURES)
        return whet_i_fail(ctx, WHET_ERR_ARG, "disclosure level %d; expected 0 to 3",
                           job->disclosure);
    if (bargains != (level == WHET_DISCLOSE_BOTH))
        return whet_i_fail(
            ctx, WHET_ERR_ARG,
            "disclosure %s with %s; expected nash or rubinstein where both learn the "
            "gain, and only there",
            whet_disclosure_name(level), NAMES[job->mechanism]);
    if (level != WHET_DISCLOSE_SEALED && !job->valuation)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "disclosure %s without a valuation; expected what a gain is worth",
                           whet_disclosure_name(level));
    if (level == WHET_DISCLOSE_BOUNDS && !has_bounds(job))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "disclosure bounds without bounds of the gain; "
                           "expected them");
    if (level >= WHET_DISCLOSE_BUYER && !has_gain(job))
        return whet_i_fail(ctx, WHET_ERR_ARG, "disclosure %s without a gain; expected one",
                           whet_disclosure_name(level));
    return WHET_OK;
}

whet_status whet_i_price_check(whet_ctx *ctx, const whet_price_job *job) {
    if ((int)job->mechanism < 0 || job->mechanism >= WHET_MECHANISMS)
        return whet_i_fail(ctx, WHET_ERR_ARG, "mechanism %d; expected 0 to %d", (int)job->mechanism,
                           WHET_MECHANISMS - 1);
    WHET_TRY(check_gains(ctx, job));
    WHET_TRY(check_value(ctx, job));
    WHET_TRY(check_seller(ctx, job));
    WHET_TRY(check_mechanism(ctx, job));
    return check_disclosure(ctx, job);
}
