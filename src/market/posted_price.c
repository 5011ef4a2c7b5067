/* SPDX-License-Identifier: Apache-2.0
 * Posted price: take it or leave it, at what earns most against the seller's belief (Myerson 1981).
 *
 * Profit is (p - C) S(p), S the probability of a sale. It stops to rise where the virtual value
 * phi(p) = p - S(p) / f(p) is C. Of all priors here, cut to an interval or not, phi increases wherever it is
 * >= 0, so that with C >= 0 there is one such place: for the uniform and exponential one because their
 * hazard f / S does not fall; for the lognormal one d phi / dz = v s (2 - (s + z) m), with m <= 1 / s where
 * phi >= 0 and z m(z) < 1, m the ratio of S to f in units of z (Mills). That holds at any s, although phi
 * falls somewhere below 0 once s is above 1.52. What observations left may have several such places:
 * ironing.c. */
#include <math.h>

#include "market/market_i.h"

static const char *const NAMES[] = {"closed-form", "root", "ironed", "samples"};

const char *whet_posted_method_name(whet_posted_method method) { return NAMES[method]; }

/* ---- one hump ---------------------------------------------------------------------------------- */

bool whet_i_profit_rises(const whet_belief *belief, int64_t j, double cost, double p) {
    const double whole = whet_i_belief_prior(belief, belief->cut[j], belief->cut[j + 1]);
    const double density = belief->mass[j] * whet_i_belief_density(belief, p) / whole;
    return whet_belief_sale(belief, p) > (p - cost) * density;
}

double whet_i_rising_until(const whet_belief *belief, int64_t j, double cost, double from,
                           double to) {
    double low = from, high = to;
    if (isinf(high)) {
        high = fmax(1, 2 * from);
        while (high < 1e300 && whet_i_profit_rises(belief, j, cost, high)) high *= 2;
    }
    if (!whet_i_profit_rises(belief, j, cost, low)) return low;
    for (int i = 0; i < 2000; i++) {
        const double middle = low + (high - low) / 2;
        if (!(middle > low && middle < high)) break;
        if (whet_i_profit_rises(belief, j, cost, middle))
            low = middle;
        else
            high = middle;
    }
    return high;
}

/* ---- by the kind of belief --------------------------------------------------------------------- */

whet_status whet_i_posted_exact(whet_ctx *ctx, const whet_belief *b, double cost, double *exact,
                                whet_posted *out) {
    const bool plain = b->segments == 1;
    out->method = WHET_POSTED_CLOSED_FORM;
    if (b->kind == WHET_I_SAMPLES) {
        out->method = WHET_POSTED_SAMPLES;
        *exact = whet_i_sample_price(b, cost);
        return WHET_OK;
    }
    if (!plain) {
        out->method = WHET_POSTED_IRONED;
        return whet_i_ironed_price(ctx, b, cost, exact, &out->passed_low, &out->passed_high);
    }
    const double from = fmax(b->lo, cost);
    if (!(whet_belief_sale(b, from) > 0)) {
        *exact = -1;
    } else if (b->kind == WHET_I_UNIFORM) {
        *exact = fmax(b->lo, b->hi / 2 + cost / 2);
    } else if (b->kind == WHET_I_EXPONENTIAL && isinf(b->hi)) {
        *exact = fmax(b->lo, cost + 1 / b->a);
    } else {
        out->method = WHET_POSTED_ROOT;
        *exact = whet_i_rising_until(b, 0, cost, from, b->hi);
    }
    return WHET_OK;
}

whet_status whet_posted_price(whet_ctx *ctx, const whet_belief *belief, double cost,
                              whet_posted *out) {
    whet_posted posted = {0};
    double exact;
    WHET_TRY(whet_i_amount(ctx, "cost", cost));
    WHET_TRY(whet_i_posted_exact(ctx, belief, cost, &exact, &posted));
    if (exact >= cost && exact >= 0)
        WHET_TRY(whet_i_whole_price(ctx, exact, cost, belief->hi, &posted.price));
    if (posted.price.trade) {
        posted.sale = whet_belief_sale(belief, (double)posted.price.price);
        posted.profit = ((double)posted.price.price - cost) * posted.sale;
    }
    *out = posted;
    return WHET_OK;
}
