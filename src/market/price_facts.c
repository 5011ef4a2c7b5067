/* SPDX-License-Identifier: Apache-2.0
 * What a pricing job knows: the gain, measured or given, and its bounds; the buyer's value; the seller's
 * reservation; bids. */
#include <math.h>

#include "market/market_i.h"

#include "io/io_i.h"

/* ---- the gain ----------------------------------------------------------------------------------- */

/* Gains of accuracy are of errors: losses would pass for it, and be priced as what they are not. */
static whet_status check_errors(whet_ctx *ctx, const char *path, const whet_tensor *x) {
    const double *error = x->data;
    for (int64_t i = 0; i < x->shape[0]; i++)
        if (error[i] != 0 && error[i] != 1)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: example %lld is %g; expected errors, 0 or 1, of which accuracy "
                               "is made",
                               path, (long long)i, error[i]);
    return WHET_OK;
}

static whet_status measure(whet_ctx *ctx, const whet_price_job *job, bool errors,
                           whet_price_report *r) {
    whet_status status = WHET_OK;
    whet_tensor before = {0}, after = {0};
    WHET_TRY_DONE(whet_array_read_as(ctx, job->before, WHET_F64, 1, true, &before));
    WHET_TRY_DONE(whet_array_read_as(ctx, job->after, WHET_F64, 1, true, &after));
    if (before.shape[0] != after.shape[0]) {
        status = whet_i_fail(
            ctx, WHET_ERR_SHAPE, "%s: %lld losses; expected %lld, of the same examples as %s",
            job->after, (long long)after.shape[0], (long long)before.shape[0], job->before);
        goto done;
    }
    if (errors) {
        WHET_TRY_DONE(check_errors(ctx, job->before, &before));
        WHET_TRY_DONE(check_errors(ctx, job->after, &after));
    }
    status = whet_gate_losses(ctx, before.data, after.data, before.shape[0], &job->gate, &r->gate);
    if (status == WHET_ERR_DATA) status = whet_i_fail_at(ctx, status, "%s", job->before);
    r->gated = status == WHET_OK;
done:
    whet_tensor_destroy(ctx, &before);
    whet_tensor_destroy(ctx, &after);
    return status;
}

/* The gate's gain in the valuation's unit. */
static whet_status measured_gain(whet_ctx *ctx, const whet_price_job *job, const whet_valuation *v,
                                 const whet_gate *gate, double *gain) {
    if (v && v->kind == WHET_VALUE_ACCURACY) {
        *gain = gate->gain;
        return WHET_OK;
    }
    if (!(gate->before > 0))
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: the mean loss is %g; expected above 0, for gains relative to it",
                           job->before, gate->before);
    return whet_relative_gain(ctx, gate->before, gate->after, gain);
}

static whet_status bound(whet_ctx *ctx, const whet_price_job *job, whet_price_report *r) {
    double low, high;
    if (!(job->prior.norm2 > 0)) {
        r->gain_low = job->gain_low;
        r->gain_high = job->gain_high;
        return WHET_OK;
    }
    const double loss = isnan(job->loss) ? 1 : job->loss;
    WHET_TRY(whet_i_positive(ctx, "the buyer's loss", loss));
    WHET_TRY(whet_gain_best_weight(ctx, &job->prior, &r->plan));
    r->planned = true;
    r->weight = isnan(job->weight) ? r->plan.best_weight : job->weight;
    WHET_TRY(whet_gain_bounds(ctx, &job->prior, r->weight, &low, &high));
    r->gain_low = low / loss;
    r->gain_high = high / loss;
    return WHET_OK;
}

/* ---- V and C ------------------------------------------------------------------------------------ */

static whet_status find_cost(whet_ctx *ctx, const whet_price_job *job, whet_price_report *r) {
    if (job->ask >= 0 || !isnan(job->reservation_low)) return WHET_OK; /* not known */
    r->reservation = isnan(job->reservation) ? 0 : job->reservation;
    if (isnan(job->seller.training)) return whet_i_amount(ctx, "reservation", r->reservation);
    /* Of a gain that only bounds are known of, the worst for the seller. */
    const double gain = isnan(r->gain) ? r->gain_high : r->gain;
    return whet_reservation_cost(ctx, &job->seller, gain, &r->reservation);
}

whet_status whet_i_price_facts(whet_ctx *ctx, const whet_price_job *job, whet_price_report *r) {
    whet_valuation v;
    r->value = job->value;
    r->gain = job->gain;
    if (!isnan(job->value)) WHET_TRY(whet_i_amount(ctx, "value", job->value));
    if (job->valuation) WHET_TRY(whet_valuation_parse(ctx, job->valuation, &v));
    WHET_TRY(bound(ctx, job, r));
    if (job->before && job->valuation && v.kind == WHET_VALUE_COST_SAVING)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "losses do not tell epochs saved; expected a gain in "
                           "epochs with a cost-saving valuation");
    if (job->before) {
        const bool errors = job->valuation && v.kind == WHET_VALUE_ACCURACY;
        WHET_TRY(measure(ctx, job, errors, r));
        WHET_TRY(measured_gain(ctx, job, job->valuation ? &v : NULL, &r->gate, &r->gain));
        if (!r->gate.accept) r->why = "gate";
    }
    if (!r->why && (isnan(r->gain) ? r->gain_high <= 0 : r->gain <= 0)) r->why = "no-gain";
    if (job->valuation && !isnan(r->gain)) WHET_TRY(whet_value(ctx, &v, r->gain, &r->value));
    if (job->disclosure >= 0 && (job->valuation || job->disclosure == WHET_DISCLOSE_SEALED))
        WHET_TRY(whet_disclose(ctx, (whet_disclosure)job->disclosure, job->valuation ? &v : NULL,
                               r->gain_low, r->gain_high, r->gain, &r->disclosed));
    return find_cost(ctx, job, r);
}

/* ---- bids --------------------------------------------------------------------------------------- */

void whet_i_bids_free(whet_ctx *ctx, whet_i_bids *bids) {
    whet_i_free(ctx, bids->bids);
    whet_table_destroy(ctx, bids->names);
    *bids = (whet_i_bids){0};
}

static whet_status bids_of_table(whet_ctx *ctx, const char *path, whet_i_bids *out) {
    char quoted[WHET_QUOTE_SIZE];
    WHET_TRY(whet_table_read(ctx, path, &out->names));
    const whet_table *t = out->names;
    const int64_t column = whet_names_find(whet_table_columns(t), whet_str_from("bid"));
    if (column < 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: no column \"bid\"; expected one", path);
    out->n = whet_table_rows(t);
    out->column = whet_names_find(whet_table_columns(t), whet_str_from("buyer"));
    WHET_TRY(whet_i_alloc(ctx, out->n, &out->bids));
    for (int64_t i = 0; i < out->n; i++) {
        const whet_str cell = whet_table_cell(t, i, column);
        if (!whet_i_parse_int(cell, &out->bids[i]) || out->bids[i] < 0 ||
            out->bids[i] > WHET_MONEY_MAX)
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s:%lld: bid is %s; expected whole units from 0 to %lld", path,
                               (long long)whet_table_line(t, i), whet_i_quote(quoted, cell),
                               (long long)WHET_MONEY_MAX);
    }
    return WHET_OK;
}

static whet_status bids_of_array(whet_ctx *ctx, const char *path, whet_i_bids *out) {
    whet_tensor values;
    WHET_TRY(whet_array_read_as(ctx, path, WHET_I64, 1, true, &values));
    whet_status status = whet_i_alloc(ctx, values.shape[0], &out->bids);
    if (status == WHET_OK) {
        out->n = values.shape[0];
        memcpy(out->bids, values.data, sizeof *out->bids * (size_t)out->n);
    }
    whet_tensor_destroy(ctx, &values);
    for (int64_t i = 0; status == WHET_OK && i < out->n; i++)
        if (out->bids[i] < 0 || out->bids[i] > WHET_MONEY_MAX)
            status =
                whet_i_fail(ctx, WHET_ERR_DATA, "%s: bid %lld is %lld; expected 0 to %lld", path,
                            (long long)i, (long long)out->bids[i], (long long)WHET_MONEY_MAX);
    return status;
}

whet_status whet_i_bids_read(whet_ctx *ctx, const char *path, whet_i_bids *out) {
    whet_i_bids bids = {.column = -1};
    const whet_status status = whet_i_names_table(path) ? bids_of_table(ctx, path, &bids)
                                                        : bids_of_array(ctx, path, &bids);
    if (status == WHET_OK)
        *out = bids;
    else
        whet_i_bids_free(ctx, &bids);
    return status;
}
