/* SPDX-License-Identifier: Apache-2.0
 * The base plus weighted differences from it (Ilharco et al. 2023, arXiv 2212.04089, eq. 2). */
#include <math.h>

#include "merge/merging_i.h"

static whet_status run(whet_ctx *ctx, whet_i_merge_tensor *t) {
    double factor[WHET_MERGE_MODELS_MAX + 1], sum = 0, rest = 1;
    for (int64_t i = 0; i < t->n; i++)
        sum += factor[i] = whet_i_merge_setting(t, i, WHET_I_SET_WEIGHT);
    if (whet_i_merge_global(t, WHET_I_SET_NORMALIZE) == 0 || fabs(sum) < 1e-8) sum = 1;
    for (int64_t i = 0; i < t->n; i++) {
        factor[i] *= whet_i_merge_global(t, WHET_I_SET_LAMBDA) / sum;
        rest -= factor[i];
    }
    factor[t->n] = rest;
    return whet_i_merge_write_span(ctx, t, factor);
}

static const whet_i_setting_use settings[] = {{WHET_I_SET_WEIGHT, (double)NAN},
                                              {WHET_I_SET_LAMBDA, 1},
                                              {WHET_I_SET_NORMALIZE, 0},
                                              {WHET_I_SET_INT8_MASK, 0},
                                              {WHET_I_SET_COUNT, 0}};

const whet_i_merge_method whet_i_merge_task_arithmetic = {
    .shown = {"task_arithmetic", "base plus weighted differences", 1, WHET_MERGE_MODELS_MAX,
              WHET_MERGE_BASE_REQUIRED, WHET_MERGE_ELEMENT, false},
    .settings = settings,
    .passes = 1,
    .run = run};
