/* SPDX-License-Identifier: Apache-2.0
 * A seller's weights in trial for one buyer: units in the buyer's order, what the gain may come to at most
 * before anything is tried, and the trial. */
#include <float.h>
#include <math.h>

#include "market/trading_i.h"
#include "market/trial_i.h"

static whet_mode_data mode_data(const whet_i_market_data *data, int purpose, int64_t agent) {
    const whet_i_examples *e = &data->held[purpose][agent];
    const whet_i_image *image = &data->image;
    return (whet_mode_data){.x = e->x,
                            .labels = e->labels,
                            .n = e->n,
                            .height = image->height,
                            .width = image->width,
                            .channels = image->channels};
}

/* ---- units ----------------------------------------------------------------------------------- */

static void free_moved(whet_ctx *ctx, whet_i_lot *l) {
    for (int64_t i = 0; l->moved && i < l->seller.n; i++)
        whet_tensor_destroy(ctx, &l->moved[i].tensor);
    whet_i_free(ctx, l->moved);
    l->moved = NULL;
    l->seller = (whet_weights){0};
}

/* By weights where data is NULL. What it leaves behind on failure is released by free_moved. */
static whet_status align(whet_ctx *ctx, const whet_permutation_spec *spec,
                         const whet_weights *buyer, const whet_weights *seller,
                         const whet_mode_data *data, whet_i_lot *out) {
    whet_alignment *alignment = NULL;
    whet_status status = WHET_OK;
    if (data)
        WHET_TRY_DONE(whet_align_activations(ctx, spec, buyer, seller, data, &alignment));
    else
        WHET_TRY_DONE(whet_align_weights(ctx, spec, buyer, seller, NULL, &alignment));
    out->seller.n = seller->n;
    WHET_TRY_DONE(whet_i_calloc(ctx, seller->n, &out->moved));
    WHET_TRY_DONE(whet_alignment_apply(ctx, spec, alignment, seller, out->moved));
    out->seller.items = out->moved;
done:
    whet_alignment_destroy(ctx, alignment);
    return status;
}

/* Of what the seller reveals, by it alone. */
static whet_status align_part(whet_ctx *ctx, const whet_i_offer *offer, const whet_weights *buyer,
                              const whet_weights *seller, whet_i_lot *out) {
    whet_named_tensor *parts = NULL;
    int64_t n = 0;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, 2 * seller->n, &parts));
    for (int64_t i = 0; i < seller->n; i++)
        if (offer->revealed[i]) {
            parts[n] = buyer->items[i];
            parts[seller->n + n++] = seller->items[i];
        }
    const whet_weights a = {parts, n}, b = {parts + seller->n, n};
    WHET_TRY_DONE(align(ctx, offer->spec, &a, &b, NULL, out));
done:
    whet_i_free(ctx, parts);
    return status;
}

/* The lot's seller is its weights, as they are or moved. */
static whet_status align_seller(whet_ctx *ctx, const whet_i_market_run *run,
                                const whet_weights *buyer, const whet_mode_data *data,
                                whet_i_lot *l) {
    const whet_i_market *m = run->market;
    const bool by_data = m->config->terms.align == WHET_I_TRADE_ACTIVATIONS;
    whet_weights seller;
    if (l->seller.n) return WHET_OK;
    seller.items = whet_i_trader_weights(run->traders[l->row.seller], &seller.n);
    if (l->row.units == WHET_UNITS_ALIGNED)
        return align(ctx, m->spec, buyer, &seller, by_data ? data : NULL, l);
    if (l->row.units == WHET_UNITS_PART)
        return align_part(ctx, &m->offers[l->row.seller], buyer, &seller, l);
    l->seller = seller;
    return WHET_OK;
}

/* ---- a trial --------------------------------------------------------------------------------- */

/* What is asked of a trial; the job has views of the rest. */
typedef struct question {
    whet_mode_data select, gate;
    whet_trial_job job;
} question;

static void ask(const whet_i_market_run *run, const whet_weights *buyer, int64_t offers,
                const whet_i_lot *l, question *q) {
    const whet_i_market *m = run->market;
    const whet_trading_config *c = m->config;
    const whet_i_offer *offer = &m->offers[l->row.seller];
    const whet_trial_job fresh = WHET_TRIAL_JOB_INIT;
    const whet_i_market_data *data = whet_i_market_data_of(m, run->seed);
    q->select = mode_data(data, WHET_I_FOR_SELECT, l->row.buyer);
    q->gate = mode_data(data, WHET_I_FOR_GATE, l->row.buyer);
    if (whet_i_trading_measures(c)) {
        q->select.statistics = q->select.x;
        q->select.n_statistics = q->select.n;
    }
    q->job = fresh;
    q->job.arch = c->arch;
    q->job.buyer = buyer;
    q->job.seller = &l->seller;
    q->job.goods = offer->goods;
    q->job.n_goods = offer->n_goods;
    q->job.select = &q->select;
    q->job.gate = c->reference ? NULL : &q->gate;
    q->job.search = c->terms.search;
    q->job.outright = c->terms.outright;
    q->job.batch = c->reference ? c->agents[l->row.buyer].learning.batch : 0;
    q->job.opts.test =
        c->terms.gate == WHET_I_TRADE_HOEFFDING ? WHET_GATE_HOEFFDING : WHET_GATE_PAIRED;
    q->job.opts.level = c->terms.level;
    q->job.opts.offers = offers;
    q->job.opts.range = c->terms.range;
}

/* What was measured, into the row. */
static void read_trial(const whet_i_market_run *run, whet_i_lot *l) {
    const whet_trial_result *r = &l->result;
    whet_trading_trial *row = &l->row;
    row->weight = r->weight;
    row->select_before = r->before.loss;
    row->select_after = r->after.loss;
    row->gain = r->gain;
    row->gate = r->buy;
    row->accuracy_before = r->before.accuracy;
    row->accuracy_after = r->after.accuracy;
    if (!r->gated) return;
    row->gate_before = r->decision.before;
    row->gate_after = r->decision.after;
    row->accuracy_before = r->accuracy_before;
    row->accuracy_after = r->accuracy_after;
    row->gain = r->decision.relative;
    row->gain_low = r->decision.low;
    l->gain_high = r->decision.gain + r->decision.half_width;
    if (run->market->config->terms.gate == WHET_I_TRADE_ANY_GAIN) row->gate = r->decision.gain > 0;
}

whet_status whet_i_lot_try(whet_ctx *ctx, const whet_i_market_run *run, const whet_weights *buyer,
                           int64_t offers, whet_i_lot *l) {
    question q;
    ask(run, buyer, offers, l, &q);
    WHET_TRY(align_seller(ctx, run, buyer, &q.select, l));
    WHET_TRY(whet_trial_run(ctx, &q.job, &l->result));
    free_moved(ctx, l);
    read_trial(run, l);
    return WHET_OK;
}

void whet_i_lot_free(whet_ctx *ctx, whet_i_lot *l) {
    free_moved(ctx, l);
    whet_trial_result_free(ctx, &l->result);
}

/* ---- before a trial -------------------------------------------------------------------------- */

/* What the relative gain on the selection is at most, by shares up to the reach. */
static whet_status bound_gain(whet_ctx *ctx, const whet_trial_job *job, double reach,
                              double *most) {
    whet_gain_prior prior;
    double loss, low, high = 0;
    WHET_TRY(whet_i_trial_prior(ctx, job, reach, &prior, &loss));
    if (prior.norm2 > 0) { /* else the goods are what the buyer has */
        prior.smoothness = fmax(prior.smoothness, DBL_MIN);
        WHET_TRY(whet_gain_bounds(ctx, &prior, reach, &low, &high));
    }
    /* Convex in the share: the most is at an end, and a share of 0 gains 0. */
    *most = loss > 0 ? fmax(0, high) / loss : 0;
    return WHET_OK;
}

whet_status whet_i_lot_expect(whet_ctx *ctx, const whet_i_market_run *run,
                              const whet_weights *buyer, whet_i_lot *l, bool *promising) {
    const whet_trading_config *c = run->market->config;
    const whet_valuation *v = &c->agents[l->row.buyer].valuation;
    double value;
    question q;
    *promising = true;
    if (!(c->terms.prior > 0)) return WHET_OK;
    ask(run, buyer, 1, l, &q);
    WHET_TRY(align_seller(ctx, run, buyer, &q.select, l));
    WHET_TRY(bound_gain(ctx, &q.job, c->terms.prior, &l->row.gain_most));
    *promising = l->row.gain_most > 0;
    /* Of accuracy and of epochs saved no bound is known. */
    if (!run->ledger || (v->kind != WHET_VALUE_LINEAR && v->kind != WHET_VALUE_SATURATING))
        return WHET_OK;
    WHET_TRY(whet_value(ctx, v, l->row.gain_most, &value));
    *promising = *promising && value >= (double)c->terms.trial_fee;
    return WHET_OK;
}
