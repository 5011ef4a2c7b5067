/* SPDX-License-Identifier: Apache-2.0
 * Alternating offers: bargaining over S = V - C in which waiting costs (Rubinstein 1982; with a last round,
 * Stahl 1972). Shares are the seller's. Who proposes offers the other exactly what refusing is worth to it,
 * so that agreement comes in the first round; this file computes that offer and plays nothing.
 *
 * Without end, proposing is worth x = 1 - d_b (1 - d_s x) to the seller: x = (1 - d_b) / (1 - d_b d_s), and
 * d_s x when the buyer proposes. With a last round its proposer keeps all, and each earlier one follows from
 * the next. */
#include "market/market_i.h"

enum { ROUNDS_MAX = 1000000 };

/* The seller's share when `rounds` rounds are left, the first proposer's turn given. */
static double share_of_rounds(const whet_rubinstein *in) {
    const bool last_is_buyer = in->buyer_first == (in->rounds % 2 == 1);
    double share = last_is_buyer ? 0 : 1;
    bool buyer = last_is_buyer;
    for (int64_t round = in->rounds - 1; round > 0; round--) {
        buyer = !buyer;
        share = buyer ? in->discount_seller * share : 1 - in->discount_buyer * (1 - share);
    }
    return share;
}

whet_status whet_rubinstein_price(whet_ctx *ctx, const whet_rubinstein *in, whet_price *out) {
    WHET_TRY(whet_i_amount(ctx, "value", in->value));
    WHET_TRY(whet_i_amount(ctx, "reservation", in->cost));
    if (!(in->discount_buyer >= 0 && in->discount_buyer < 1))
        return whet_i_fail(ctx, WHET_ERR_ARG, "the buyer's discount is %g; expected 0 to below 1",
                           in->discount_buyer);
    if (!(in->discount_seller >= 0 && in->discount_seller < 1))
        return whet_i_fail(ctx, WHET_ERR_ARG, "the seller's discount is %g; expected 0 to below 1",
                           in->discount_seller);
    if (in->rounds < 0 || in->rounds > ROUNDS_MAX)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%lld rounds; expected 0 (no end) to %d",
                           (long long)in->rounds, ROUNDS_MAX);
    double share = (1 - in->discount_buyer) / (1 - in->discount_buyer * in->discount_seller);
    if (in->buyer_first) share *= in->discount_seller;
    if (in->rounds > 0) share = share_of_rounds(in);
    return whet_i_whole_price(ctx, in->cost + share * (in->value - in->cost), in->cost, in->value,
                              out);
}
