/* SPDX-License-Identifier: Apache-2.0
 * k-double auction: buyer and seller each name a price, and meet between them (Chatterjee & Samuelson 1983).
 *
 * Neither names its true one. When both values are uniform on [0, 1] there is an equilibrium in lines:
 *   bid V / (1 + k) + k (1 - k) / (2 (1 + k)),   ask C / (2 - k) + (1 - k) / 2.
 * The lowest ask is (1 - k) / 2, the highest bid 1 - k / 2. A bid is above V only when V is below that ask,
 * an ask below C only when C is above that bid, and no trade comes of either: both may as well stop at V and
 * C, and do here. */
#include <math.h>

#include "market/market_i.h"

static whet_status check_units(whet_ctx *ctx, const char *what, int64_t x) {
    if (x >= 0 && x <= WHET_MONEY_MAX) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG, "%s is %lld; expected 0 to %lld", what, (long long)x,
                       (long long)WHET_MONEY_MAX);
}

whet_status whet_double_auction(whet_ctx *ctx, int64_t bid, int64_t ask, double k,
                                whet_price *out) {
    WHET_TRY(check_units(ctx, "bid", bid));
    WHET_TRY(check_units(ctx, "ask", ask));
    WHET_TRY(whet_i_within(ctx, "k", k, 0, 1));
    const double exact = (double)ask + k * (double)(bid - ask);
    return whet_i_whole_price(ctx, exact, (double)ask, (double)bid, out);
}

static whet_status check_uniform(whet_ctx *ctx, double lo, double hi, double k, const char *what,
                                 double x) {
    WHET_TRY(whet_i_amount(ctx, "lower bound", lo));
    WHET_TRY(whet_i_amount(ctx, "upper bound", hi));
    if (!(lo < hi))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "values from %g to %g; expected the lower bound first", lo, hi);
    WHET_TRY(whet_i_within(ctx, "k", k, 0, 1));
    return whet_i_within(ctx, what, x, lo, hi);
}

whet_status whet_double_auction_bid(whet_ctx *ctx, double lo, double hi, double k, double value,
                                    double *out) {
    WHET_TRY(check_uniform(ctx, lo, hi, k, "value", value));
    const double v = (value - lo) / (hi - lo);
    const double bid = v / (1 + k) + k * (1 - k) / (2 * (1 + k));
    *out = fmin(value, lo + (hi - lo) * bid);
    return WHET_OK;
}

whet_status whet_double_auction_ask(whet_ctx *ctx, double lo, double hi, double k, double cost,
                                    double *out) {
    WHET_TRY(check_uniform(ctx, lo, hi, k, "cost", cost));
    const double c = (cost - lo) / (hi - lo);
    const double ask = c / (2 - k) + (1 - k) / 2;
    *out = fmax(cost, lo + (hi - lo) * ask);
    return WHET_OK;
}
