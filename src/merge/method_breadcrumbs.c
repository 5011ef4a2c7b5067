/* SPDX-License-Identifier: Apache-2.0
 * Breadcrumbs (Davari & Belilovsky 2023, arXiv 2312.06795): of each model's differences the floor(gamma n)
 * largest are dropped as outliers and so many of the smallest that floor(density n) stay. Where gamma n is
 * below 1 nothing is dropped at the top (mergekit 0.1 then drops everything). */
#include <math.h>

#include "merge/merging_i.h"

/* tops[2 i] without tops[2 i + 1] */
static void mask(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, int64_t i, void *arg,
                 float *m) {
    const whet_i_merge_top *kept = (const whet_i_merge_top *)arg + 2 * i, *largest = kept + 1;
    float *size = c->scratch + t->n * t->chunk, *out = size + c->n;
    uint32_t *key = (uint32_t *)(void *)size;
    whet_i_merge_delta_keys(t, c, i, NULL, key);
    whet_i_merge_top_mask(t, kept, c->index, c->n, key, m);
    whet_i_merge_top_mask(t, largest, c->index, c->n, key, out);
    for (int64_t e = 0; e < c->n; e++) m[e] -= out[e];
}

/* Behind the masks, sizes and the largest of one model. */
static int64_t scratch(int64_t n, int64_t chunk) { return (n + 2) * chunk; }

static whet_status merge(whet_ctx *ctx, whet_i_merge_tensor *t, bool consensus) {
    whet_i_merge_top tops[2 * WHET_MERGE_MODELS_MAX] = {{0}};
    whet_i_merge_deltas d;
    whet_i_merge_deltas_init(t, &d);
    d.consensus = consensus;
    d.rescale_l1 = whet_i_merge_global(t, WHET_I_SET_RESCALE) != 0;
    d.mask = mask;
    d.arg = tops;
    for (int64_t i = 0; i < t->n; i++) {
        const double n = (double)t->count;
        const int64_t stay = (int64_t)(whet_i_merge_setting(t, i, WHET_I_SET_DENSITY) * n);
        int64_t largest = (int64_t)(whet_i_merge_setting(t, i, WHET_I_SET_GAMMA) * n);
        if (stay + largest > t->count) largest = t->count - stay;
        tops[2 * i] = (whet_i_merge_top){.stream = i, .rank = stay + largest};
        tops[2 * i + 1] = (whet_i_merge_top){.stream = i, .rank = largest};
    }
    whet_status status =
        whet_i_merge_select(ctx, t, whet_i_merge_delta_keys, NULL, t->n, tops, 2 * t->n);
    if (status == WHET_OK) status = whet_i_merge_write_deltas(ctx, t, &d);
    for (int64_t i = 0; i < 2 * t->n; i++) whet_i_free(ctx, tops[i].before);
    return status;
}

static whet_status run_linear(whet_ctx *ctx, whet_i_merge_tensor *t) {
    return merge(ctx, t, false);
}
static whet_status run_ties(whet_ctx *ctx, whet_i_merge_tensor *t) { return merge(ctx, t, true); }

static const whet_i_setting_use settings[] = {
    {WHET_I_SET_WEIGHT, (double)NAN}, {WHET_I_SET_DENSITY, 1},   {WHET_I_SET_GAMMA, 0.01},
    {WHET_I_SET_LAMBDA, 1},           {WHET_I_SET_NORMALIZE, 0}, {WHET_I_SET_RESCALE, 0},
    {WHET_I_SET_INT8_MASK, 0},        {WHET_I_SET_COUNT, 0}};

const whet_i_merge_method whet_i_merge_breadcrumbs = {
    .shown = {"breadcrumbs", "differences without outliers and small ones, summed", 1,
              WHET_MERGE_MODELS_MAX, WHET_MERGE_BASE_REQUIRED, WHET_MERGE_TENSOR, false},
    .settings = settings,
    .passes = 5,
    .streams = -1,
    .scratch = scratch,
    .run = run_linear};

const whet_i_merge_method whet_i_merge_breadcrumbs_ties = {
    .shown = {"breadcrumbs_ties", "the same, of the elected sign", 1, WHET_MERGE_MODELS_MAX,
              WHET_MERGE_BASE_REQUIRED, WHET_MERGE_TENSOR, false},
    .settings = settings,
    .passes = 5,
    .streams = -1,
    .scratch = scratch,
    .run = run_ties};
