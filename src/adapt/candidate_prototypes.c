/* SPDX-License-Identifier: Apache-2.0
 * Candidates "prototypes", "prototypes-smoothed" and "zero-shot": the cosine to one vector a class,
 * made of the labelled rows and the class's name; see label/prototypes.c. Without class vectors the
 * prototypes are centroids; zero-shot is the name alone, and labels only calibrate it.
 * Cost: a fit is b d, a prediction d k. */
#include <math.h>
#include <stdio.h>

#include "adapt/candidate.h"

enum { KAPPAS = 5 };
static const double KAPPA[KAPPAS] = {0, .5, 1, 2, 4};

typedef struct family_state {
    const whet_i_trial *trial;
    int view;
    const double *kappa; /* of the members */
} family_state;

/* Which classes have a prototype: those with a row, all when names count. scratch holds k + b
 * doubles, used for dense class numbers. */
static void describe(const whet_i_pool *pool, const int32_t *y, int64_t n, double kappa,
                     whet_i_linear_model *m, int32_t *dense, int64_t *counts) {
    whet_i_dense_classes(y, n, pool->k, m->classes, &m->seen, dense);
    m->unseen = m->seen == pool->k ? 0 : whet_i_unseen_mass(y, n, pool->k, counts);
    if (!(kappa > 0)) return;
    for (int32_t c = 0; c < pool->k; c++) m->classes[c] = c;
    m->seen = pool->k;
    m->unseen = 0;
}

static void fit_split(const void *state, int64_t at, int64_t split, whet_i_linear_model *linear,
                      double *scratch) {
    const family_state *f = state;
    const whet_i_pool *pool = f->trial->pool;
    const whet_i_split *s = &f->trial->splits.split[split];
    int64_t *counts = (int64_t *)(void *)scratch;
    int32_t *y = (int32_t *)(void *)(scratch + pool->k), *dense = y + f->trial->b;
    for (int64_t i = 0; i < s->n_train; i++) y[i] = f->trial->y[s->train[i]];
    describe(pool, y, s->n_train, f->kappa[at], linear, dense, counts);
    memset(linear->bias, 0, sizeof(double) * (size_t)linear->seen);
    whet_i_prototypes(f->trial->labelled[f->view], s->train, s->n_train, f->trial->y, pool->names,
                      pool->d, f->kappa[at], WHET_I_COSINE_TEMPERATURE, linear->classes,
                      linear->seen, linear->weight);
}

static whet_status crossfit_kappas(whet_ctx *ctx, const whet_i_candidate *self,
                                   const whet_i_trial *trial, const double *kappa, int64_t n,
                                   whet_i_result *out) {
    int64_t member, reference = 0;
    for (int64_t i = 0; i < n; i++)
        if (kappa[i] == 1) reference = i;
    const family_state state = {trial, self->view, kappa};
    const whet_i_family family = {.n = n,
                                  .reference = reference,
                                  .balance_all = true,
                                  .least_inner = .5,
                                  .keep_folds = self->view == WHET_I_RAW && self->blends,
                                  .state = &state,
                                  .scratch = trial->pool->k + trial->b,
                                  .fit_split = fit_split};
    WHET_TRY(whet_i_base_crossfit(ctx, trial, self->view, &family, &member, out));
    out->settings.kappa = kappa[member];
    return WHET_OK;
}

static whet_status crossfit(whet_ctx *ctx, const whet_i_candidate *self, whet_i_trial *trial,
                            const whet_i_result *prior, whet_i_result *out) {
    (void)prior;
    WHET_TRY(crossfit_kappas(ctx, self, trial, KAPPA, trial->pool->names ? KAPPAS : 1, out));
    if (trial->pool->names)
        (void)snprintf(out->words, sizeof out->words,
                       "a name counts as %g examples, balance %g, temperature %.2f",
                       out->settings.kappa, out->settings.beta, out->settings.temperature);
    else
        (void)snprintf(out->words, sizeof out->words, "centroids, balance %g, temperature %.2f",
                       out->settings.beta, out->settings.temperature);
    return WHET_OK;
}

static whet_status crossfit_names(whet_ctx *ctx, const whet_i_candidate *self, whet_i_trial *trial,
                                  const whet_i_result *prior, whet_i_result *out) {
    (void)prior;
    const double alone = INFINITY;
    WHET_TRY(crossfit_kappas(ctx, self, trial, &alone, 1, out));
    (void)snprintf(out->words, sizeof out->words, "balance %g, temperature %.2f",
                   out->settings.beta, out->settings.temperature);
    return WHET_OK;
}

/* Labelled rows in f64, in the view, and what describe needs. */
static whet_status fit_rows(whet_ctx *ctx, const whet_i_pool *pool, int view, double kappa,
                            whet_i_base *m) {
    whet_status status = WHET_OK;
    double *x = NULL;
    int64_t *rows = NULL, *counts = NULL, cells;
    int32_t *dense = NULL;
    const float *from = view == WHET_I_RAW ? pool->x : pool->smooth;
    WHET_TRY_DONE(whet_i_mul(ctx, pool->b, pool->d, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &x));
    WHET_TRY_DONE(whet_i_alloc(ctx, pool->b, &rows));
    WHET_TRY_DONE(whet_i_alloc(ctx, pool->b, &dense));
    WHET_TRY_DONE(whet_i_alloc(ctx, pool->k, &counts));
    for (int64_t i = 0; i < pool->b; i++) {
        rows[i] = i;
        for (int64_t j = 0; j < pool->d; j++)
            x[i * pool->d + j] = (double)from[pool->rows[i] * pool->d + j];
    }
    describe(pool, pool->y, pool->b, kappa, &m->linear, dense, counts);
    whet_i_prototypes(x, rows, pool->b, pool->y, pool->names, pool->d, kappa,
                      WHET_I_COSINE_TEMPERATURE, m->linear.classes, m->linear.seen,
                      m->linear.weight);
done:
    whet_i_free(ctx, x);
    whet_i_free(ctx, rows);
    whet_i_free(ctx, dense);
    whet_i_free(ctx, counts);
    return status;
}

static whet_status fit(whet_ctx *ctx, const whet_i_candidate *self, const whet_i_trial *trial,
                       const whet_i_settings *settings, const void *prior_model, void **model) {
    (void)prior_model;
    const whet_i_pool *pool = trial->pool;
    whet_status status = WHET_OK;
    whet_i_base *m = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &m));
    WHET_TRY_DONE(whet_i_base_make(ctx, pool->d, pool->k, pool->k, m));
    WHET_TRY_DONE(fit_rows(ctx, pool, self->view, settings->kappa, m));
    WHET_TRY_DONE(whet_i_base_complete(ctx, trial, self->view, settings, m));
    *model = m;
    m = NULL;
done:
    whet_i_base_model_destroy(ctx, m);
    return status;
}

const whet_i_candidate whet_i_candidate_prototypes = {
    .name = "prototypes",
    .title = "prototypes: class names and examples averaged",
    .view = WHET_I_RAW,
    .blends = true,
    .crossfit = crossfit,
    .fit = fit,
    .predict = whet_i_base_model_predict_raw,
    .save = whet_i_base_model_save,
    .load = whet_i_base_model_load,
    .destroy = whet_i_base_model_destroy,
};

const whet_i_candidate whet_i_candidate_prototypes_smoothed = {
    .name = "prototypes-smoothed",
    .title = "prototypes on features averaged with their neighbours",
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

const whet_i_candidate whet_i_candidate_zero_shot = {
    .name = "zero-shot",
    .title = "zero-shot: class names alone",
    .view = WHET_I_RAW,
    .needs_names = true,
    .crossfit = crossfit_names,
    .fit = fit,
    .predict = whet_i_base_model_predict_raw,
    .save = whet_i_base_model_save,
    .load = whet_i_base_model_load,
    .destroy = whet_i_base_model_destroy,
};
