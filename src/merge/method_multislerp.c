/* SPDX-License-Identifier: Apache-2.0
 * Several models on the sphere: the direction of the weighted mean of their directions, at the weighted
 * mean of their lengths; with a base, of the differences from it. (The method is stated by way of the
 * tangents at that mean, u_i - <u_i, m> m, and the exponential map of their weighted sum; that sum is
 * zero, for m is the direction of sum w_i u_i.) Directions that cancel have no mean: then the weighted mean
 * of the numbers. */
#include <math.h>

#include "merge/merging_i.h"

static whet_status check(whet_ctx *ctx, const whet_i_merge_tensor *t) {
    return whet_i_merge_check_sum(ctx, t, WHET_I_SET_NORMALIZE_WEIGHTS);
}

static whet_status run(whet_ctx *ctx, whet_i_merge_tensor *t) {
    enum { MOST = WHET_MERGE_MODELS_MAX };
    const int64_t n = t->n;
    const double eps = whet_i_merge_global(t, WHET_I_SET_EPS);
    double weight[MOST], norm[MOST], factor[MOST + 1], total = 0, length = 0, squared = 0, rest = 1;
    double *gram;
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t i = 0; i < n; i++)
        total += weight[i] = whet_i_merge_setting(t, i, WHET_I_SET_WEIGHT);
    if (whet_i_merge_global(t, WHET_I_SET_NORMALIZE_WEIGHTS) != 0)
        for (int64_t i = 0; i < n; i++) weight[i] /= total;
    WHET_TRY(whet_i_alloc(ctx, n * n, &gram));
    whet_status status = whet_i_merge_gram(ctx, t, t->base >= 0, gram);
    if (status != WHET_OK) goto done;
    for (int64_t i = 0; i < n; i++) {
        norm[i] = sqrt(gram[i * n + i]);
        length += weight[i] * norm[i];
        factor[i] = norm[i] > eps ? weight[i] / norm[i] : 0;
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) squared += factor[i] * factor[j] * gram[i * n + j];
    if (length != 0 && squared < eps * eps) { /* no mean direction: the mean of the numbers */
        whet_i_log(ctx, WHET_LOG_WARN,
                   "multislerp: the directions of tensor %s cancel: its mean is taken",
                   whet_i_quote(quoted, whet_str_from(t->name)));
        for (int64_t i = 0; i < n; i++) factor[i] = weight[i];
    } else {
        for (int64_t i = 0; i < n; i++) factor[i] *= squared > 0 ? length / sqrt(squared) : 0;
    }
    for (int64_t i = 0; i < n; i++) rest -= factor[i];
    factor[n] = rest; /* the base's */
    status = whet_i_merge_write_span(ctx, t, factor);
done:
    whet_i_free(ctx, gram);
    return status;
}

static const whet_i_setting_use settings[] = {{WHET_I_SET_WEIGHT, (double)NAN},
                                              {WHET_I_SET_NORMALIZE_WEIGHTS, 1},
                                              {WHET_I_SET_EPS, 1e-8},
                                              {WHET_I_SET_COUNT, 0}};

const whet_i_merge_method whet_i_merge_multislerp = {
    .shown = {"multislerp", "mean direction and mean length of several models", 2,
              WHET_MERGE_MODELS_MAX, WHET_MERGE_BASE_OPTIONAL, WHET_MERGE_TENSOR, false},
    .settings = settings,
    .warns = true,
    .passes = 2,
    .check = check,
    .run = run};
