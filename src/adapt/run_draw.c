/* SPDX-License-Identifier: Apache-2.0
 * The budget: N of the given labels are used, the rest hidden as if they had never been given.
 * Uniform: whet_draw_uniform. Coverage: greedy facility location over the features of the
 * labelled rows (draw_coverage), which needs no label and no seed. */
#include <inttypes.h>
#include <math.h>

#include "adapt/pipeline_i.h"

/* Facility location compares directions: rows of unit length (zero rows stay zero). */
static void unit_copy(const float *row, int64_t d, float *out) {
    double norm = 0;
    for (int64_t j = 0; j < d; j++) norm += (double)row[j] * (double)row[j];
    const double scale = norm > 0 ? 1 / sqrt(norm) : 0;
    for (int64_t j = 0; j < d; j++) out[j] = (float)((double)row[j] * scale);
}

static whet_status coverage(whet_ctx *ctx, const whet_i_run *run, const int64_t *labelled,
                            int64_t m, int64_t budget, int64_t *chosen) {
    float *unit = NULL;
    int64_t size;
    WHET_TRY(whet_i_mul(ctx, m, run->d, &size));
    WHET_TRY(whet_i_alloc(ctx, size, &unit));
    for (int64_t i = 0; i < m; i++)
        unit_copy(run->train.features + labelled[i] * run->d, run->d, unit + i * run->d);
    const whet_status status = whet_draw_coverage(ctx, unit, m, run->d, budget, chosen);
    whet_i_free(ctx, unit);
    if (status != WHET_OK) return status;
    for (int64_t i = 0; i < budget; i++) chosen[i] = labelled[chosen[i]];
    return WHET_OK;
}

whet_status whet_i_run_draw(whet_ctx *ctx, whet_i_run *run) {
    const int64_t budget = run->job->budget, m = run->train.n_labels, n = run->train.n;
    run->n_used = m;
    if (budget == 0) return WHET_OK;
    if (budget < 0)
        return whet_i_fail(ctx, WHET_ERR_ARG, "budget is %" PRId64 "; expected at least 1", budget);
    if (budget >= m) {
        if (budget > m)
            whet_i_log(ctx, WHET_LOG_WARN,
                       "a budget of %" PRId64 " labels, but %" PRId64 " are given: all are used",
                       budget, m);
        return WHET_OK;
    }
    int64_t *labelled = NULL, *chosen = NULL;
    int32_t *used = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, m, &labelled));
    WHET_TRY_DONE(whet_i_alloc(ctx, budget, &chosen));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &used));
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        if (run->train.labels[i] >= 0) labelled[count++] = i;
    if (run->job->draw == WHET_DRAW_COVERAGE)
        WHET_TRY_DONE(coverage(ctx, run, labelled, m, budget, chosen));
    else
        WHET_TRY_DONE(whet_draw_uniform(ctx, labelled, m, budget, run->job->seed, chosen));
    for (int64_t i = 0; i < n; i++)
        used[i] = run->train.labels[i] >= 0 ? WHET_LABEL_HIDDEN : run->train.labels[i];
    for (int64_t i = 0; i < budget; i++) used[chosen[i]] = run->train.labels[chosen[i]];
    memcpy(run->train.labels, used, (size_t)n * sizeof *used);
    run->n_used = budget;
    run->n_hidden = m - budget;
done:
    whet_i_free(ctx, used);
    whet_i_free(ctx, chosen);
    whet_i_free(ctx, labelled);
    return status;
}
