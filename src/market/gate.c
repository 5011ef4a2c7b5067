/* SPDX-License-Identifier: Apache-2.0
 * The gate: buy only when the gain is more than luck. The same examples before and after, so that what makes
 * one hard for both cancels; on examples that chose nothing, for the best of ten mixtures looks like a gain
 * on those that chose it.
 *
 * paired     d_i = before_i - after_i; mean - z s / sqrt(n), s the standard deviation (n - 1)
 * hoeffding  d_i in an interval of the given width; Hoeffding 1963, theorem 2
 * Legend: n examples; level of a wrong yes, divided by the offers tried (Bonferroni). */
#include <math.h>

#include "market/market_i.h"

whet_status whet_hoeffding_half_width(whet_ctx *ctx, int64_t n, double range, double level,
                                      double *out) {
    if (n < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%lld examples; expected at least one", (long long)n);
    WHET_TRY(whet_i_positive(ctx, "range", range));
    if (!(level > 0 && level < 1))
        return whet_i_fail(ctx, WHET_ERR_ARG, "error level is %g; expected above 0, below 1",
                           level);
    *out = range * sqrt(log(2 / level) / (2 * (double)n));
    return WHET_OK;
}

whet_status whet_i_gate_check(whet_ctx *ctx, const whet_gate_opts *o) {
    const bool paired = o->test == WHET_GATE_PAIRED;
    if (!paired && o->test != WHET_GATE_HOEFFDING)
        return whet_i_fail(ctx, WHET_ERR_ARG, "gate test %d; expected 0 or 1", (int)o->test);
    if (!(o->level > 0 && o->level <= .5)) /* above, the paired test would take losses for gains */
        return whet_i_fail(ctx, WHET_ERR_ARG, "error level is %g; expected above 0, at most 0.5",
                           o->level);
    if (o->offers < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%lld offers; expected at least one",
                           (long long)o->offers);
    return paired ? WHET_OK : whet_i_positive(ctx, "range", o->range);
}

/* Means of both and of the difference; how wide differences are. */
static whet_status average(whet_ctx *ctx, const double *before, const double *after, int64_t n,
                           whet_gate *g, double *width) {
    double low = (double)INFINITY, high = -(double)INFINITY, gain = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = before[i] - after[i];
        if (!isfinite(d))
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "example %lld: losses %g before and %g after; expected numbers",
                               (long long)i, before[i], after[i]);
        g->before += before[i];
        g->after += after[i];
        gain += d;
        low = fmin(low, d);
        high = fmax(high, d);
    }
    g->n = n;
    g->before /= (double)n;
    g->after /= (double)n;
    g->gain = gain / (double)n;
    g->relative = g->before > 0 ? g->gain / g->before : 0;
    *width = high - low;
    return WHET_OK;
}

static double deviation(const double *before, const double *after, const whet_gate *g) {
    double sum = 0;
    for (int64_t i = 0; i < g->n; i++) {
        const double off = before[i] - after[i] - g->gain;
        sum += off * off;
    }
    return sqrt(sum / (double)(g->n - 1));
}

whet_status whet_gate_losses(whet_ctx *ctx, const double *before, const double *after, int64_t n,
                             const whet_gate_opts *opts, whet_gate *out) {
    whet_gate_opts o = WHET_GATE_OPTS_INIT;
    whet_gate g = {0};
    double width;
    WHET_TRY(whet_i_opts(ctx, opts, &o, sizeof o, "whet_gate_opts"));
    WHET_TRY(whet_i_gate_check(ctx, &o));
    const int64_t least = o.test == WHET_GATE_PAIRED ? 2 : 1;
    if (n < least)
        return whet_i_fail(ctx, WHET_ERR_DATA, "%lld examples; expected at least %lld",
                           (long long)n, (long long)least);
    WHET_TRY(average(ctx, before, after, n, &g, &width));
    const double level = o.level / (double)o.offers;
    if (o.test == WHET_GATE_PAIRED) {
        const double z = whet_i_normal_upper_quantile(level);
        g.half_width = z * deviation(before, after, &g) / sqrt((double)n);
    } else {
        if (width > o.range * (1 + 1e-12))
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "differences of losses are %g wide; expected at most the range %g",
                               width, o.range);
        WHET_TRY(whet_hoeffding_half_width(ctx, n, o.range, level, &g.half_width));
    }
    g.low = g.gain - g.half_width;
    g.accept = g.low > 0;
    *out = g;
    return WHET_OK;
}
