/* SPDX-License-Identifier: Apache-2.0
 * What a gain is worth to the buyer, and what a sale costs the seller.
 * Values are 0 for no gain and do not decrease: nobody pays for a loss, or more for less. */
#include <math.h>

#include "market/market_i.h"

static const char *const NAMES[WHET_VALUATIONS] = {"linear", "accuracy", "saturating",
                                                   "cost-saving"};

const char *whet_valuation_name(whet_valuation_kind kind) {
    return kind < WHET_VALUATIONS ? NAMES[kind] : NULL;
}

static whet_status check(whet_ctx *ctx, const whet_valuation *v) {
    if ((int)v->kind < 0 || v->kind >= WHET_VALUATIONS)
        return whet_i_fail(ctx, WHET_ERR_ARG, "valuation kind %d; expected 0 to %d", (int)v->kind,
                           WHET_VALUATIONS - 1);
    if (v->kind != WHET_VALUE_SATURATING) return whet_i_amount(ctx, "rate of value", v->rate);
    WHET_TRY(whet_i_amount(ctx, "most value", v->most));
    return whet_i_positive(ctx, "scale of value", v->scale);
}

whet_status whet_value(whet_ctx *ctx, const whet_valuation *valuation, double gain, double *out) {
    WHET_TRY(check(ctx, valuation));
    if (!isfinite(gain))
        return whet_i_fail(ctx, WHET_ERR_ARG, "gain is %g; expected a number", gain);
    if (valuation->kind == WHET_VALUE_ACCURACY)
        WHET_TRY(whet_i_within(ctx, "gain of accuracy", gain, -1, 1));
    double value = 0;
    if (gain > 0 && valuation->kind == WHET_VALUE_SATURATING)
        value = -valuation->most * expm1(-gain / valuation->scale);
    else if (gain > 0)
        value = valuation->rate * gain;
    WHET_TRY(whet_i_amount(ctx, "value", value));
    *out = value;
    return WHET_OK;
}

/* ---- in text ----------------------------------------------------------------------------------- */

bool whet_i_market_reals(const char *text, int n, double *out) {
    for (int i = 0; i < n; i++) {
        const char *end = strchr(text, ':');
        if ((end == NULL) != (i == n - 1)) return false;
        const whet_str part = {text, end ? end - text : (int64_t)strlen(text)};
        if (!whet_i_parse_real(part, &out[i])) return false;
        text = end ? end + 1 : text;
    }
    return true;
}

whet_status whet_valuation_parse(whet_ctx *ctx, const char *spec, whet_valuation *out) {
    whet_valuation v = {.kind = WHET_VALUATIONS};
    char quoted[WHET_QUOTE_SIZE];
    double x[2] = {0, 0};
    for (int kind = 0; kind < WHET_VALUATIONS; kind++) {
        const size_t length = strlen(NAMES[kind]);
        if (strncmp(spec, NAMES[kind], length) == 0 && spec[length] == ':' &&
            whet_i_market_reals(spec + length + 1, kind == WHET_VALUE_SATURATING ? 2 : 1, x))
            v.kind = (whet_valuation_kind)kind;
    }
    if (v.kind == WHET_VALUATIONS)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "valuation %s; expected linear:RATE, accuracy:RATE, "
                           "saturating:MOST:SCALE or cost-saving:RATE",
                           whet_i_quote(quoted, whet_str_from(spec)));
    const bool saturating = v.kind == WHET_VALUE_SATURATING;
    v.rate = saturating ? 0 : x[0];
    v.most = saturating ? x[0] : 0;
    v.scale = x[1];
    WHET_TRY(check(ctx, &v));
    *out = v;
    return WHET_OK;
}

/* ---- gains ------------------------------------------------------------------------------------- */

whet_status whet_relative_gain(whet_ctx *ctx, double before, double after, double *out) {
    WHET_TRY(whet_i_positive(ctx, "loss before", before));
    if (!isfinite(after))
        return whet_i_fail(ctx, WHET_ERR_ARG, "loss after is %g; expected a number", after);
    *out = (before - after) / before;
    return WHET_OK;
}

whet_status whet_epochs_saved(whet_ctx *ctx, const double *losses, int64_t n, double loss,
                              double *epochs, bool *reached) {
    if (n < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG, "no losses; expected at least the present one");
    if (!isfinite(loss))
        return whet_i_fail(ctx, WHET_ERR_ARG, "loss is %g; expected a number", loss);
    for (int64_t t = 0; t < n; t++)
        if (!isfinite(losses[t]))
            return whet_i_fail(ctx, WHET_ERR_ARG, "loss %lld is %g; expected a number",
                               (long long)t, losses[t]);
    int64_t t = 0;
    while (t < n && losses[t] > loss) t++;
    *reached = t < n;
    *epochs = (double)(t < n ? t : n - 1);
    if (t > 0 && t < n) *epochs -= (loss - losses[t]) / (losses[t - 1] - losses[t]);
    return WHET_OK;
}

whet_status whet_reservation_cost(whet_ctx *ctx, const whet_reservation *r, double gain,
                                  double *out) {
    WHET_TRY(whet_i_amount(ctx, "training cost", r->training));
    WHET_TRY(whet_i_within(ctx, "amortisation", r->amortisation, 0, 1));
    WHET_TRY(whet_i_amount(ctx, "externality", r->externality));
    WHET_TRY(whet_i_amount(ctx, "fee", r->fee));
    double cost = r->training * r->amortisation + r->fee;
    if (r->competitor) {
        if (!isfinite(gain))
            return whet_i_fail(ctx, WHET_ERR_ARG, "gain is %g; expected a competitor's gain", gain);
        cost += r->externality * fmax(0, gain);
    }
    WHET_TRY(whet_i_amount(ctx, "reservation", cost));
    *out = cost;
    return WHET_OK;
}
