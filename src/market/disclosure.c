/* SPDX-License-Identifier: Apache-2.0
 * What each side learns of the gain that the broker measured, as values in money. */
#include "market/market_i.h"

static const char *const NAMES[WHET_DISCLOSURES] = {"sealed", "bounds", "buyer", "both"};

const char *whet_disclosure_name(whet_disclosure level) { return NAMES[level]; }

whet_status whet_disclose(whet_ctx *ctx, whet_disclosure level, const whet_valuation *valuation,
                          double low, double high, double gain, whet_disclosed *out) {
    whet_disclosed d = {0};
    if ((int)level < 0 || level >= WHET_DISCLOSURES)
        return whet_i_fail(ctx, WHET_ERR_ARG, "disclosure level %d; expected 0 to %d", (int)level,
                           WHET_DISCLOSURES - 1);
    if (level == WHET_DISCLOSE_BOUNDS && !(low <= high))
        return whet_i_fail(ctx, WHET_ERR_ARG, "gain from %g to %g; expected the lower bound first",
                           low, high);
    if (level >= WHET_DISCLOSE_BUYER) low = high = gain;
    if (level != WHET_DISCLOSE_SEALED) {
        WHET_TRY(whet_value(ctx, valuation, low, &d.buyer_low));
        WHET_TRY(whet_value(ctx, valuation, high, &d.buyer_high));
        d.buyer_learns = true;
        d.seller_learns = level != WHET_DISCLOSE_BUYER;
    }
    if (d.seller_learns) {
        d.seller_low = d.buyer_low;
        d.seller_high = d.buyer_high;
    }
    d.bargain = level == WHET_DISCLOSE_BOTH;
    *out = d;
    return WHET_OK;
}
