/* SPDX-License-Identifier: Apache-2.0
 * The weighted sum of the models, divided by the sum of weights unless told otherwise: "model soups"
 * (Wortsman et al. 2022, arXiv 2203.05482). */
#include <math.h>

#include "merge/merging_i.h"

static whet_status check(whet_ctx *ctx, const whet_i_merge_tensor *t) {
    return whet_i_merge_check_sum(ctx, t, WHET_I_SET_NORMALIZE);
}

static whet_status run(whet_ctx *ctx, whet_i_merge_tensor *t) {
    double factor[WHET_MERGE_MODELS_MAX], sum = 0;
    for (int64_t i = 0; i < t->n; i++)
        sum += factor[i] = whet_i_merge_setting(t, i, WHET_I_SET_WEIGHT);
    if (whet_i_merge_global(t, WHET_I_SET_NORMALIZE) != 0)
        for (int64_t i = 0; i < t->n; i++) factor[i] /= sum;
    return whet_i_merge_write_span(ctx, t, factor);
}

static const whet_i_setting_use settings[] = {
    {WHET_I_SET_WEIGHT, (double)NAN}, {WHET_I_SET_NORMALIZE, 1}, {WHET_I_SET_COUNT, 0}};

const whet_i_merge_method whet_i_merge_linear = {
    .shown = {"linear", "weighted mean", 1, WHET_MERGE_MODELS_MAX, WHET_MERGE_BASE_NONE,
              WHET_MERGE_ELEMENT, false},
    .settings = settings,
    .passes = 1,
    .check = check,
    .run = run};
