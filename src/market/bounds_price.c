/* SPDX-License-Identifier: Apache-2.0
 * Prices when only bounds of both sides' values are known: one that suits both whatever the truth, or none
 * without more disclosure. */
#include "market/market_i.h"

static const char *const NAMES[] = {"safe", "disclose-more", "no-trade"};

const char *whet_bounds_verdict_name(whet_bounds_verdict verdict) { return NAMES[verdict]; }

static whet_status check_order(whet_ctx *ctx, const char *what, double low, double high) {
    WHET_TRY(whet_i_amount(ctx, what, low));
    WHET_TRY(whet_i_amount(ctx, what, high));
    if (low > high)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s from %g to %g; expected the lower bound first",
                           what, low, high);
    return WHET_OK;
}

whet_status whet_price_between(whet_ctx *ctx, double value_low, double value_high, double cost_low,
                               double cost_high, whet_bounds_price *out) {
    WHET_TRY(check_order(ctx, "value", value_low, value_high));
    WHET_TRY(check_order(ctx, "reservation", cost_low, cost_high));
    whet_bounds_price b = {.low = cost_low, .high = value_high};
    const double middle = cost_high + (value_low - cost_high) / 2;
    if (cost_high <= value_low) /* no trade here: no whole unit lies between */
        WHET_TRY(whet_i_whole_price(ctx, middle, cost_high, value_low, &b.price));
    b.verdict = b.price.trade            ? WHET_BOUNDS_SAFE
                : value_high >= cost_low ? WHET_BOUNDS_DISCLOSE
                                         : WHET_BOUNDS_NO_TRADE;
    if (b.verdict == WHET_BOUNDS_SAFE) {
        b.low = cost_high;
        b.high = value_low;
    }
    *out = b;
    return WHET_OK;
}
