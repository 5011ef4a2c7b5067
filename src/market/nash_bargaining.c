/* SPDX-License-Identifier: Apache-2.0
 * Nash's bargaining price (Nash 1950), with unequal power: both know V and C. */
#include "market/market_i.h"

whet_status whet_nash_price(whet_ctx *ctx, const whet_nash *in, whet_price *out) {
    WHET_TRY(whet_i_amount(ctx, "value", in->value));
    WHET_TRY(whet_i_amount(ctx, "reservation", in->cost));
    WHET_TRY(whet_i_amount(ctx, "the buyer's outside option", in->outside_buyer));
    WHET_TRY(whet_i_amount(ctx, "the seller's outside option", in->outside_seller));
    WHET_TRY(whet_i_within(ctx, "power", in->power, 0, 1));
    const double least = in->cost + in->outside_seller, most = in->value - in->outside_buyer;
    return whet_i_whole_price(ctx, least + in->power * (most - least), least, most, out);
}
