/* SPDX-License-Identifier: Apache-2.0
 * Candidates "logistic" and "logistic-smoothed": multinomial logistic regression with an L2
 * penalty, its C from a grid, on the features as they are and on features averaged with their
 * neighbours. Cost: splits x penalties fits of some tens of steps, 4 b^2 k each; see
 * label/logistic.c. */
#include <stdio.h>

#include "adapt/candidate.h"
#include "tensor/tensor_i.h"

typedef struct family_state {
    const whet_i_span *span;
    const whet_i_path *path;
    int64_t d, k;
} family_state;

static void fit_split(const void *state, int64_t at, int64_t split, whet_i_linear_model *linear,
                      double *scratch) {
    (void)scratch;
    const family_state *f = state;
    const int64_t seen = f->path->seen[split], r = f->span->r;
    const double *theta = f->path->theta + (split * WHET_I_PENALTIES + at) * f->path->stride;
    linear->seen = seen;
    linear->unseen = f->path->unseen[split];
    memcpy(linear->classes, f->path->classes + split * f->k,
           sizeof *linear->classes * (size_t)f->k);
    memcpy(linear->bias, theta + r * seen, sizeof *theta * (size_t)seen);
    whet_i_matmul_f64_serial(false, false, f->d, seen, r, f->span->back, r, theta, seen, 0,
                             linear->weight, seen);
}

static const float *features_of(const whet_i_pool *pool, int view) {
    return view == WHET_I_RAW ? pool->x : pool->smooth;
}

whet_status whet_i_logistic_crossfit(whet_ctx *ctx, const whet_i_trial *trial, int view,
                                     const whet_i_span *span, bool keep_folds, whet_i_result *out) {
    const whet_i_pool *pool = trial->pool;
    whet_status status = WHET_OK;
    whet_i_path path = {0};
    int64_t member;
    WHET_TRY_DONE(whet_i_path_fit(ctx, span, trial->y, pool->k, &trial->splits, &path));
    const family_state state = {span, &path, pool->d, pool->k};
    const whet_i_family family = {.n = WHET_I_PENALTIES,
                                  .reference = -1,
                                  .keep_folds = keep_folds,
                                  .state = &state,
                                  .fit_split = fit_split};
    WHET_TRY_DONE(whet_i_base_crossfit(ctx, trial, view, &family, &member, out));
    out->settings.penalty = whet_i_penalties[member];
done:
    whet_i_path_free(ctx, &path);
    return status;
}

static whet_status crossfit(whet_ctx *ctx, const whet_i_candidate *self, whet_i_trial *trial,
                            const whet_i_result *prior, whet_i_result *out) {
    (void)prior;
    const whet_i_pool *pool = trial->pool;
    whet_status status = WHET_OK;
    whet_i_span span = {0};
    WHET_TRY_DONE(whet_i_span_build(ctx, features_of(pool, self->view), trial->rows, trial->b,
                                    pool->d, &span));
    WHET_TRY_DONE(
        whet_i_logistic_crossfit(ctx, trial, self->view, &span, self->view == WHET_I_RAW, out));
    (void)snprintf(out->words, sizeof out->words, "C = %g, balance %g, temperature %.2f",
                   out->settings.penalty, out->settings.beta, out->settings.temperature);
done:
    whet_i_span_free(ctx, &span);
    return status;
}

static whet_status fit(whet_ctx *ctx, const whet_i_candidate *self, const whet_i_trial *trial,
                       const whet_i_settings *settings, const void *prior_model, void **model) {
    (void)prior_model;
    const whet_i_pool *pool = trial->pool;
    whet_status status = WHET_OK;
    whet_i_base *m = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &m));
    WHET_TRY_DONE(whet_i_calloc(ctx, pool->k, &m->offset));
    WHET_TRY_DONE(whet_i_logistic_fit(ctx, features_of(pool, self->view), pool->rows, pool->y,
                                      pool->b, pool->d, pool->k, settings->penalty, &m->linear));
    WHET_TRY_DONE(whet_i_base_complete(ctx, trial, self->view, settings, m));
    *model = m;
    m = NULL;
done:
    whet_i_base_model_destroy(ctx, m);
    return status;
}

const whet_i_candidate whet_i_candidate_logistic = {
    .name = "logistic",
    .title = "logistic regression",
    .view = WHET_I_RAW,
    .blends = true,
    .crossfit = crossfit,
    .fit = fit,
    .predict = whet_i_base_model_predict_raw,
    .save = whet_i_base_model_save,
    .load = whet_i_base_model_load,
    .destroy = whet_i_base_model_destroy,
};

const whet_i_candidate whet_i_candidate_logistic_smoothed = {
    .name = "logistic-smoothed",
    .title = "logistic regression on features averaged with their neighbours",
    .view = WHET_I_SMOOTH,
    .needs_neighbours = true,
    .blends = true,
    .crossfit = crossfit,
    .fit = fit,
    .predict = whet_i_base_model_predict_smooth,
    .save = whet_i_base_model_save,
    .load = whet_i_base_model_load,
    .destroy = whet_i_base_model_destroy,
};
