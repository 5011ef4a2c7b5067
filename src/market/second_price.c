/* SPDX-License-Identifier: Apache-2.0
 * Second-price auction with a reserve (Vickrey 1961): an exclusive good to one of several buyers. */
#include "market/market_i.h"

whet_status whet_second_price(whet_ctx *ctx, const int64_t *bids, int64_t n, int64_t reserve,
                              whet_auction *out) {
    whet_auction a = {.winner = -1};
    int64_t second = reserve;
    if (n < 0) return whet_i_fail(ctx, WHET_ERR_ARG, "%lld bids; expected 0 or more", (long long)n);
    if (reserve < 0 || reserve > WHET_MONEY_MAX)
        return whet_i_fail(ctx, WHET_ERR_ARG, "reserve is %lld; expected 0 to %lld",
                           (long long)reserve, (long long)WHET_MONEY_MAX);
    for (int64_t i = 0; i < n; i++) {
        if (bids[i] < 0 || bids[i] > WHET_MONEY_MAX)
            return whet_i_fail(ctx, WHET_ERR_ARG, "bid %lld is %lld; expected 0 to %lld",
                               (long long)i, (long long)bids[i], (long long)WHET_MONEY_MAX);
        if (bids[i] < reserve) continue;
        a.above++;
        if (a.winner < 0 || bids[i] > bids[a.winner]) {
            if (a.winner >= 0) second = bids[a.winner];
            a.winner = i;
            a.tied = 1;
        } else {
            if (bids[i] > second) second = bids[i];
            if (bids[i] == bids[a.winner]) a.tied++;
        }
    }
    if (a.winner >= 0) a.price = (whet_price){true, (double)second, second};
    *out = a;
    return WHET_OK;
}
