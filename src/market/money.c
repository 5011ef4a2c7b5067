/* SPDX-License-Identifier: Apache-2.0
 * Whole minor units: rounding, checked sums, what the broker takes of a price.
 *
 * A formula's result is a real that misses the exact one by a few spacings of f64: .29 x 100 comes out as
 * 28.999999999999996. Rounded down as it stands, a unit would be lost that nobody meant to lose; numbers
 * that close to a whole one are therefore that one. */
#include <math.h>

#include "market/market_i.h"

/* ---- checks ------------------------------------------------------------------------------------ */

whet_status whet_i_amount(whet_ctx *ctx, const char *what, double x) {
    if (!(x >= 0))
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s is %g; expected an amount of 0 or more", what, x);
    if (x > (double)WHET_MONEY_MAX)
        return whet_i_fail(ctx, WHET_ERR_LIMIT, "%s %.17g overflows; expected at most %lld units",
                           what, x, (long long)WHET_MONEY_MAX);
    return WHET_OK;
}

whet_status whet_i_within(whet_ctx *ctx, const char *what, double x, double low, double high) {
    if (x >= low && x <= high) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG, "%s is %g; expected %g to %g", what, x, low, high);
}

whet_status whet_i_positive(whet_ctx *ctx, const char *what, double x) {
    if (x > 0 && isfinite(x)) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG, "%s is %g; expected a number above 0", what, x);
}

/* ---- rounding ---------------------------------------------------------------------------------- */

/* 4 spacings, but no more than a millionth: near 2^53 spacings are whole units. */
static bool is_whole(double x, double whole) {
    const double spacings = 4 * (nextafter(x, (double)INFINITY) - x);
    return fabs(x - whole) <= fmin(spacings, 1e-6);
}

whet_status whet_money_floor(whet_ctx *ctx, const char *what, double x, int64_t *out) {
    WHET_TRY(whet_i_amount(ctx, what, x));
    const double whole = nearbyint(x);
    *out = (int64_t)(is_whole(x, whole) ? whole : floor(x));
    return WHET_OK;
}

whet_status whet_money_ceil(whet_ctx *ctx, const char *what, double x, int64_t *out) {
    WHET_TRY(whet_i_amount(ctx, what, x));
    const double whole = nearbyint(x);
    *out = (int64_t)(is_whole(x, whole) ? whole : ceil(x));
    return WHET_OK;
}

whet_status whet_i_whole_price(whet_ctx *ctx, double exact, double low, double high,
                               whet_price *out) {
    int64_t price, least, most = WHET_MONEY_MAX;
    if (low > high) {
        *out = (whet_price){0};
        return WHET_OK;
    }
    WHET_TRY(whet_money_floor(ctx, "price", exact, &price));
    WHET_TRY(whet_money_ceil(ctx, "least price", low, &least));
    if (high < (double)WHET_MONEY_MAX)
        WHET_TRY(whet_money_floor(ctx, "greatest price", high, &most));
    if (price < least) price = least;
    *out = price > most ? (whet_price){0} : (whet_price){true, exact, price};
    return WHET_OK;
}

/* ---- sums -------------------------------------------------------------------------------------- */

static whet_status check_units(whet_ctx *ctx, const char *what, int64_t x) {
    if (x < 0)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s is %lld; expected an amount of 0 or more", what,
                           (long long)x);
    if (x > WHET_MONEY_MAX)
        return whet_i_fail(ctx, WHET_ERR_LIMIT, "%s %lld overflows; expected at most %lld units",
                           what, (long long)x, (long long)WHET_MONEY_MAX);
    return WHET_OK;
}

whet_status whet_money_add(whet_ctx *ctx, const char *what, int64_t a, int64_t b, int64_t *out) {
    WHET_TRY(check_units(ctx, what, a));
    WHET_TRY(check_units(ctx, what, b));
    WHET_TRY(check_units(ctx, what, a + b)); /* of two up to 2^53: no overflow */
    *out = a + b;
    return WHET_OK;
}

whet_status whet_money_subtract(whet_ctx *ctx, const char *what, int64_t a, int64_t b,
                                int64_t *out) {
    WHET_TRY(check_units(ctx, what, a));
    WHET_TRY(check_units(ctx, what, b));
    if (a < b)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s: %lld are taken from %lld; expected no more",
                           what, (long long)b, (long long)a);
    *out = a - b;
    return WHET_OK;
}

/* ---- fees -------------------------------------------------------------------------------------- */

/* units + price bp / 10000, rounded down, without a product that overflows. */
static whet_status fee(whet_ctx *ctx, const char *what, int64_t price, int64_t units, int32_t bp,
                       int64_t *out) {
    if (bp < 0 || bp > 10000)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s is %d ten-thousandths; expected 0 to 10000", what,
                           bp);
    const int64_t share = price / 10000 * bp + price % 10000 * bp / 10000;
    return whet_money_add(ctx, what, units, share, out);
}

whet_status whet_payment_split(whet_ctx *ctx, int64_t price, const whet_fees *fees,
                               whet_payment *out) {
    whet_payment p = {.price = price};
    int64_t of_buyer, of_seller;
    WHET_TRY(check_units(ctx, "price", price));
    WHET_TRY(fee(ctx, "the buyer's fee", price, fees->buyer, fees->buyer_bp, &of_buyer));
    WHET_TRY(fee(ctx, "the seller's fee", price, fees->seller, fees->seller_bp, &of_seller));
    if (of_seller > price)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "the seller's fee is %lld at a price of %lld; expected no more than it",
                           (long long)of_seller, (long long)price);
    WHET_TRY(whet_money_add(ctx, "what the buyer pays", price, of_buyer, &p.buyer_pays));
    WHET_TRY(whet_money_add(ctx, "what the broker gets", of_buyer, of_seller, &p.broker_gets));
    p.seller_gets = price - of_seller;
    if (p.buyer_pays != p.seller_gets + p.broker_gets)
        return whet_i_fail(
            ctx, WHET_ERR_INTERNAL, "%lld paid, %lld and %lld received; expected the same",
            (long long)p.buyer_pays, (long long)p.seller_gets, (long long)p.broker_gets);
    *out = p;
    return WHET_OK;
}
