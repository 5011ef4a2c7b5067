/* SPDX-License-Identifier: Apache-2.0
 * SCE (FuseChat, Wan et al. 2024, arXiv 2408.07990): select the places where the models' differences from
 * the base vary most, calculate a weight for each model, the mean of its squared differences, and erase
 * what has not the sign of the sum. */
#include <math.h>

#include "merge/merging_i.h"

/* Variance over the models, in place of which a difference stands. */
static float variance(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, int64_t e) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < t->n; i++) sum += (double)c->x[i][e] - (double)c->x[t->base][e];
    const double mean = sum / (double)t->n;
    for (int64_t i = 0; i < t->n; i++) {
        const double apart = (double)c->x[i][e] - (double)c->x[t->base][e] - mean;
        squares += apart * apart;
    }
    return (float)(squares / (double)t->n);
}

static void variance_keys(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, int64_t stream,
                          void *arg, uint32_t *keys) {
    (void)stream;
    (void)arg;
    for (int64_t e = 0; e < c->n; e++) keys[e] = whet_i_merge_key(variance(t, c, e));
}

static void count_varying(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    (void)arg;
    for (int64_t e = 0; e < c->n; e++) c->sums[0] += variance(t, c, e) > 0 ? 1 : 0;
}

static void mask(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, int64_t i, void *arg,
                 float *m) {
    uint32_t *key = (uint32_t *)(void *)m;
    (void)i;
    variance_keys(t, c, 0, NULL, key);
    whet_i_merge_top_mask(t, arg, c->index, c->n, key, m);
}

static void squares(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    const whet_i_merge_deltas *d = arg;
    float *m = c->scratch;
    if (d->mask) mask(t, c, 0, d->arg, m);
    for (int64_t i = 0; i < t->n; i++) {
        double sum = 0;
        for (int64_t e = 0; e < c->n; e++) {
            const double delta = (double)c->x[i][e] - (double)c->x[t->base][e];
            sum += d->mask ? delta * delta * (double)m[e] : delta * delta;
        }
        c->sums[i] += sum;
    }
}

static whet_status run(whet_ctx *ctx, whet_i_merge_tensor *t) {
    const double share = whet_i_merge_global(t, WHET_I_SET_SELECT_TOPK);
    whet_i_merge_top top = {0};
    whet_i_merge_deltas d;
    double sums[WHET_MERGE_MODELS_MAX], total = 0, varying;
    whet_i_merge_deltas_init(t, &d);
    d.lambda = 1;
    d.consensus = d.normalize = d.clamp_divisor = true;
    whet_status status = WHET_OK;
    if (share < 1) {
        WHET_TRY_DONE(whet_i_merge_sums(ctx, t, count_varying, NULL, 1, &varying));
        top.rank = (int64_t)(share * varying);
        WHET_TRY_DONE(whet_i_merge_select(ctx, t, variance_keys, NULL, 1, &top, 1));
        d.mask = mask;
        d.arg = &top;
    }
    WHET_TRY_DONE(whet_i_merge_sums(ctx, t, squares, &d, t->n, sums));
    for (int64_t i = 0; i < t->n; i++) total += sums[i];
    for (int64_t i = 0; i < t->n; i++) {
        d.weight[i] = total > 0 ? sums[i] / total : 1 / (double)t->n;
        d.vote[i] = 1;
    }
    status = whet_i_merge_write_deltas(ctx, t, &d);
done:
    whet_i_free(ctx, top.before);
    return status;
}

static const whet_i_setting_use settings[] = {
    {WHET_I_SET_SELECT_TOPK, 1}, {WHET_I_SET_INT8_MASK, 0}, {WHET_I_SET_COUNT, 0}};

const whet_i_merge_method whet_i_merge_sce = {
    .shown = {"sce", "places of most variance, models weighed by their differences", 1,
              WHET_MERGE_MODELS_MAX, WHET_MERGE_BASE_REQUIRED, WHET_MERGE_TENSOR, false},
    .settings = settings,
    .passes = 6,
    .streams = 1,
    .scratch = whet_i_merge_deltas_scratch,
    .run = run};
