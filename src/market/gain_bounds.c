/* SPDX-License-Identifier: Apache-2.0
 * What a mixture can gain, before it is tried: from the slope of the buyer's loss towards the seller's
 * weights, their distance, and how fast slopes change.
 *
 * L(x) - L(x + w d) lies in -w s -+ K w^2 |d|^2 / 2, s = <gradient at x, d>, if the gradient is K-Lipschitz
 * (the descent lemma). The lower bound is a parabola in w with its top at w = -s / (K |d|^2) and zeros at 0
 * and twice that. */
#include <math.h>

#include "market/market_i.h"

static whet_status check(whet_ctx *ctx, const whet_gain_prior *p) {
    WHET_TRY(whet_i_positive(ctx, "squared distance", p->norm2));
    WHET_TRY(whet_i_positive(ctx, "smoothness", p->smoothness));
    if (!isfinite(p->norm2 * p->smoothness))
        return whet_i_fail(ctx, WHET_ERR_ARG, "smoothness %g times squared distance %g overflows",
                           p->smoothness, p->norm2);
    return WHET_OK;
}

static whet_status check_slope(whet_ctx *ctx, double slope) {
    if (isfinite(slope)) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG, "slope is %g; expected a number", slope);
}

whet_status whet_gain_bounds(whet_ctx *ctx, const whet_gain_prior *prior, double weight,
                             double *low, double *high) {
    WHET_TRY(check(ctx, prior));
    WHET_TRY(check_slope(ctx, prior->slope));
    WHET_TRY(whet_i_within(ctx, "mixing weight", weight, 0, 1));
    const double bend = prior->smoothness / 2 * weight * weight * prior->norm2;
    *low = -weight * prior->slope - bend;
    *high = -weight * prior->slope + bend;
    return WHET_OK;
}

whet_status whet_gain_bounds_of_norm(whet_ctx *ctx, double gradient_norm,
                                     const whet_gain_prior *prior, double weight, double *low,
                                     double *high) {
    WHET_TRY(check(ctx, prior));
    if (!(gradient_norm >= 0) || isinf(gradient_norm))
        return whet_i_fail(ctx, WHET_ERR_ARG, "gradient's length is %g; expected 0 or more",
                           gradient_norm);
    const double steepest = gradient_norm * sqrt(prior->norm2);
    whet_gain_prior worst = *prior, best = *prior;
    double unused, least, most;
    worst.slope = steepest;
    best.slope = -steepest;
    WHET_TRY(whet_gain_bounds(ctx, &worst, weight, &least, &unused));
    WHET_TRY(whet_gain_bounds(ctx, &best, weight, &unused, &most));
    *low = least;
    *high = most;
    return WHET_OK;
}

whet_status whet_gain_best_weight(whet_ctx *ctx, const whet_gain_prior *prior,
                                  whet_gain_plan *out) {
    whet_gain_plan plan = {0};
    double unused;
    WHET_TRY(check(ctx, prior));
    WHET_TRY(check_slope(ctx, prior->slope));
    const double top = -prior->slope / (prior->smoothness * prior->norm2);
    plan.best_weight = fmin(1, fmax(0, top));
    plan.sure_below = fmin(1, fmax(0, 2 * top));
    plan.hope_above = fmin(1, fmax(0, -2 * top));
    WHET_TRY(whet_gain_bounds(ctx, prior, plan.best_weight, &plan.best_low, &unused));
    *out = plan;
    return WHET_OK;
}

double whet_gain_convex(double buyer_loss, double seller_loss, double weight) {
    return weight * (buyer_loss - seller_loss);
}

whet_status whet_smoothness_of_trades(whet_ctx *ctx, const whet_past_trade *trades, int64_t n,
                                      double *out) {
    double most = 0;
    if (n < 1) return whet_i_fail(ctx, WHET_ERR_ARG, "no past trades; expected at least one");
    for (int64_t i = 0; i < n; i++) {
        const whet_past_trade *t = &trades[i];
        const double bend = fabs(t->after - t->before - t->weight * t->slope);
        const double smoothness = 2 * bend / (t->weight * t->weight * t->norm2);
        if (!(t->weight > 0 && t->norm2 > 0 && isfinite(smoothness)))
            return whet_i_fail(ctx, WHET_ERR_ARG,
                               "past trade %lld gives a smoothness of %g; expected losses, a slope "
                               "and a distance that are numbers, and a weight above 0",
                               (long long)i, smoothness);
        most = fmax(most, smoothness);
    }
    *out = most;
    return WHET_OK;
}
