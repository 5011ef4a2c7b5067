/* SPDX-License-Identifier: Apache-2.0
 * What the seller believes of the buyer's value V >= 0: a prior, and what trade told since.
 *
 * Observations change the mass of whole segments between the prices that were offered; inside one, V stays
 * distributed as the prior is. So a belief is exact after any number of observations, and mixing with the
 * prior (the floor) is again of this form. All intervals are [low, high): who values a price exactly takes
 * it. Tails are taken from the side on which they are small, so that far intervals keep their precision. */
#include <math.h>
#include <stdlib.h>

#include "market/market_i.h"

/* ---- priors ------------------------------------------------------------------------------------ */

/* How many samples are below x. */
static int64_t samples_below(const whet_belief *belief, double x) {
    int64_t low = 0, high = belief->n;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (belief->samples[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static double normal_between(double low, double high) {
    if (low >= 0) return whet_i_normal_upper(low) - whet_i_normal_upper(high);
    if (high <= 0) return whet_i_normal_upper(-high) - whet_i_normal_upper(-low);
    return 1 - whet_i_normal_upper(-low) - whet_i_normal_upper(high);
}

double whet_i_belief_prior(const whet_belief *belief, double low, double high) {
    low = fmax(low, belief->lo);
    high = fmin(high, belief->hi);
    if (!(low < high)) return 0;
    switch (belief->kind) {
    case WHET_I_UNIFORM: return (high - low) / (belief->hi - belief->lo);
    case WHET_I_EXPONENTIAL: return -exp(-belief->a * low) * expm1(-belief->a * (high - low));
    case WHET_I_LOGNORMAL:
        return normal_between((log(low) - belief->a) / belief->b,
                              (log(high) - belief->a) / belief->b);
    case WHET_I_SAMPLES: break;
    }
    return (double)(samples_below(belief, high) - samples_below(belief, low)) / (double)belief->n;
}

double whet_i_belief_density(const whet_belief *belief, double v) {
    if (v < belief->lo || v > belief->hi || belief->kind == WHET_I_SAMPLES) return 0;
    if (belief->kind == WHET_I_UNIFORM) return 1 / (belief->hi - belief->lo);
    if (belief->kind == WHET_I_EXPONENTIAL) return belief->a * exp(-belief->a * v);
    if (v <= 0) return 0;
    const double z = (log(v) - belief->a) / belief->b;
    return 0.39894228040143267794 * exp(-z * z / 2) / (belief->b * v);
}

/* ---- probabilities ----------------------------------------------------------------------------- */

int64_t whet_i_belief_segment(const whet_belief *belief, double v) {
    int64_t low = 0, high = belief->segments - 1;
    while (low < high) {
        const int64_t middle = low + (high - low + 1) / 2;
        if (belief->cut[middle] <= v)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

double whet_belief_sale(const whet_belief *belief, double price) {
    if (!(price > belief->lo)) return isnan(price) ? 0 : 1;
    if (price >= belief->hi) return 0;
    const int64_t j = whet_i_belief_segment(belief, price);
    const double whole = whet_i_belief_prior(belief, belief->cut[j], belief->cut[j + 1]);
    double above = 0;
    for (int64_t i = belief->segments - 1; i > j; i--) above += belief->mass[i];
    if (whole > 0)
        above += belief->mass[j] * whet_i_belief_prior(belief, price, belief->cut[j + 1]) / whole;
    return fmin(1, above);
}

/* Bisection on the probability of a sale, which falls from 1 at lo to 0. */
whet_status whet_belief_quantile(whet_ctx *ctx, const whet_belief *belief, double q, double *out) {
    if (!(q > 0 && q <= 1))
        return whet_i_fail(ctx, WHET_ERR_ARG, "quantile at %g; expected above 0, at most 1", q);
    double low = belief->lo, high = fmax(1, 2 * low);
    while (high < 1e300 && whet_belief_sale(belief, high) >= q) {
        low = high;
        high *= 2;
    }
    for (int i = 0; i < 2000; i++) {
        const double middle = low + (high - low) / 2;
        if (!(middle > low && middle < high)) break;
        if (whet_belief_sale(belief, middle) >= q)
            low = middle;
        else
            high = middle;
    }
    *out = low;
    return WHET_OK;
}

/* ---- making ------------------------------------------------------------------------------------ */

void whet_belief_destroy(whet_ctx *ctx, whet_belief *belief) {
    if (!belief) return;
    whet_i_free(ctx, belief->samples);
    whet_i_free(ctx, belief->cut);
    whet_i_free(ctx, belief->mass);
    whet_i_free(ctx, belief);
}

/* One segment of mass 1 on [lo, hi). */
static whet_status make(whet_ctx *ctx, const whet_belief *prior, whet_belief **out) {
    whet_status status = WHET_OK;
    whet_belief *made;
    WHET_TRY(whet_i_alloc(ctx, 1, &made));
    *made = *prior;
    made->samples = NULL;
    made->cut = made->mass = NULL;
    made->segments = 1;
    WHET_TRY_DONE(whet_i_alloc(ctx, 2, &made->cut));
    WHET_TRY_DONE(whet_i_alloc(ctx, 1, &made->mass));
    if (prior->kind == WHET_I_SAMPLES) {
        WHET_TRY_DONE(whet_i_alloc(ctx, prior->n, &made->samples));
        memcpy(made->samples, prior->samples, sizeof *prior->samples * (size_t)prior->n);
    }
    made->cut[0] = made->lo;
    made->cut[1] = made->hi;
    made->mass[0] = 1;
done:
    if (status == WHET_OK)
        *out = made;
    else
        whet_belief_destroy(ctx, made);
    return status;
}

static whet_status check_interval(whet_ctx *ctx, double lo, double hi) {
    WHET_TRY(whet_i_amount(ctx, "belief: lower bound", lo));
    WHET_TRY(whet_i_amount(ctx, "belief: upper bound", hi));
    if (!(lo < hi))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "belief from %g to %g; expected the lower bound below the upper one", lo,
                           hi);
    return WHET_OK;
}

whet_status whet_belief_uniform(whet_ctx *ctx, double lo, double hi, whet_belief **out) {
    WHET_TRY(check_interval(ctx, lo, hi));
    const whet_belief prior = {.kind = WHET_I_UNIFORM, .lo = lo, .hi = hi};
    return make(ctx, &prior, out);
}

whet_status whet_belief_exponential(whet_ctx *ctx, double rate, whet_belief **out) {
    WHET_TRY(whet_i_positive(ctx, "belief: rate", rate));
    const whet_belief prior = {.kind = WHET_I_EXPONENTIAL, .a = rate, .hi = (double)INFINITY};
    return make(ctx, &prior, out);
}

whet_status whet_belief_lognormal(whet_ctx *ctx, double mu, double sigma, whet_belief **out) {
    WHET_TRY(whet_i_within(ctx, "belief: mu", mu, -100, 100)); /* e^37 is above WHET_MONEY_MAX */
    WHET_TRY(whet_i_positive(ctx, "belief: sigma", sigma));
    WHET_TRY(whet_i_within(ctx, "belief: sigma", sigma, 0, 100));
    const whet_belief prior = {
        .kind = WHET_I_LOGNORMAL, .a = mu, .b = sigma, .hi = (double)INFINITY};
    return make(ctx, &prior, out);
}

static int ascending(const void *a, const void *b) {
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

whet_status whet_belief_samples(whet_ctx *ctx, const double *values, int64_t n, whet_belief **out) {
    if (n < 1) return whet_i_fail(ctx, WHET_ERR_ARG, "belief: no samples; expected at least one");
    for (int64_t i = 0; i < n; i++)
        if (!(values[i] >= 0 && values[i] <= (double)WHET_MONEY_MAX))
            return whet_i_fail(ctx, WHET_ERR_ARG, "belief: sample %lld is %g; expected 0 to %lld",
                               (long long)i, values[i], (long long)WHET_MONEY_MAX);
    whet_belief *made;
    double *sorted;
    WHET_TRY(whet_i_alloc(ctx, n, &sorted));
    memcpy(sorted, values, sizeof *values * (size_t)n);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    const whet_belief prior = {
        .kind = WHET_I_SAMPLES, .hi = (double)INFINITY, .samples = sorted, .n = n};
    const whet_status status = make(ctx, &prior, &made);
    whet_i_free(ctx, sorted);
    if (status == WHET_OK) *out = made;
    return status;
}

/* ---- the broker's word ------------------------------------------------------------------------- */

whet_status whet_belief_truncate(whet_ctx *ctx, whet_belief *belief, double lo, double hi) {
    WHET_TRY(check_interval(ctx, lo, hi));
    if (belief->segments > 1)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "belief is cut after an observation; expected the bounds first");
    const bool samples = belief->kind == WHET_I_SAMPLES;
    const double low = fmax(lo, belief->lo), high = fmin(hi, belief->hi);
    const int64_t first = samples ? samples_below(belief, lo) : 0;
    const int64_t end = samples ? samples_below(belief, nextafter(hi, (double)INFINITY)) : 0;
    if (samples ? first == end : !(whet_i_belief_prior(belief, low, high) > 0))
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "the belief has no value from %g to %g; expected some chance of it", lo,
                           hi);
    if (samples) {
        belief->n = end - first;
        memmove(belief->samples, belief->samples + first,
                sizeof *belief->samples * (size_t)belief->n);
        return WHET_OK;
    }
    belief->cut[0] = belief->lo = low;
    belief->cut[1] = belief->hi = high;
    return WHET_OK;
}
