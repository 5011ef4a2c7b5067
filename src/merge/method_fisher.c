/* SPDX-License-Identifier: Apache-2.0
 * Means weighted by how much each number matters to its model: sum w_i F_i x_i / sum w_i F_i, F_i the
 * diagonal of the Fisher information (Matena & Raffel 2022, arXiv 2111.09832, eq. 3), or the square of a
 * gradient given instead. Where no model's number matters, the weighted mean. */
#include <math.h>

#include "merge/merging_i.h"

static void pass(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    const bool squares = *(const bool *)arg;
    for (int64_t e = 0; e < c->n; e++) {
        double sum = 0, divisor = 0, plain = 0, weights = 0;
        for (int64_t i = 0; i < t->n; i++) {
            const double w = whet_i_merge_setting(t, i, WHET_I_SET_WEIGHT);
            const double given = (double)c->x[t->n + i][e], x = (double)c->x[i][e];
            const double f = w * (squares ? given * given : given);
            sum += f * x;
            divisor += f;
            plain += w * x;
            weights += w;
        }
        c->out[e] = (float)(divisor == 0 ? plain / weights : sum / divisor);
    }
}

static whet_status check(whet_ctx *ctx, const whet_i_merge_tensor *t) {
    double sum = 0;
    for (int64_t i = 0; i < t->n; i++) {
        const double w = whet_i_merge_setting(t, i, WHET_I_SET_WEIGHT);
        if (w < 0)
            return whet_i_fail(ctx, WHET_ERR_ARG, "%s: weight %g; expected at least 0",
                               t->method->shown.name, w);
        sum += w;
    }
    if (sum <= 0)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s: all weights are 0; expected one above",
                           t->method->shown.name);
    return WHET_OK;
}

static whet_status run_fisher(whet_ctx *ctx, whet_i_merge_tensor *t) {
    bool squares = false;
    return whet_i_merge_write(ctx, t, pass, &squares);
}
static whet_status run_gradient(whet_ctx *ctx, whet_i_merge_tensor *t) {
    bool squares = true;
    return whet_i_merge_write(ctx, t, pass, &squares);
}

static const whet_i_setting_use settings[] = {{WHET_I_SET_WEIGHT, 1}, {WHET_I_SET_COUNT, 0}};

const whet_i_merge_method whet_i_merge_fisher = {
    .shown = {"fisher", "mean weighted by Fisher information", 1, WHET_MERGE_MODELS_MAX / 2,
              WHET_MERGE_BASE_NONE, WHET_MERGE_ELEMENT, true},
    .settings = settings,
    .passes = 1,
    .positive = true,
    .check = check,
    .run = run_fisher};

const whet_i_merge_method whet_i_merge_gradient = {
    .shown = {"gradient", "mean weighted by squared gradients", 1, WHET_MERGE_MODELS_MAX / 2,
              WHET_MERGE_BASE_NONE, WHET_MERGE_ELEMENT, true},
    .settings = settings,
    .passes = 1,
    .check = check,
    .run = run_gradient};
