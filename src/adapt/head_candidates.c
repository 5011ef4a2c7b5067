/* SPDX-License-Identifier: Apache-2.0
 * Candidates of the comparison as heads on a tuned encoder's embeddings: centroids, and what looks at
 * neighbours in the pool. Their settings stand beforehand: cross-fitting them here would judge labels by
 * embeddings that were tuned on those very labels. Which head is best is for tuning_folds.c to say, on
 * labels that the encoder has not seen.
 * Legend: n rows (labels and pool), d columns, k classes, m rows to predict. */
#include "adapt/head_candidates.h"

#include <stdio.h>

#include "adapt/ensemble.h"
#include "adapt/tuned_fit.h"

/* C as of the lesson's own logistic head, the rest in the middle of the grids of the comparison. */
#define SETTINGS .penalty = 10, .kappa = 1, .inner = 1, .mu = .3, .alpha = .9, .temperature = 1

static const struct head {
    const char *candidate;
    const char *words; /* its settings */
} heads[] = {
    {"prototypes", "centroids"},
    {"prototypes-smoothed", "centroids"},
    {"logistic-smoothed", "C = 10"},
    {"graph", "C = 10, mu = 0.3"},
    {"prototypes-graph", "centroids, mu = 0.3"},
    {"spread", "alpha = 0.9"},
};

int64_t whet_i_heads_count(void) { return WHET_COUNT_OF(heads); }

static const whet_i_candidate *candidate_of(const char *name) {
    return whet_i_candidate_find(name, (int64_t)strlen(name));
}

const char *whet_i_heads_name(int64_t at) { return heads[at].candidate; }

const char *whet_i_heads_words(int64_t at) { return heads[at].words; }

static int64_t place_of(const whet_i_candidate *c) {
    int64_t at = 0;
    while (whet_i_candidates[at] != c) at++;
    return at;
}

/* The candidate and before it the one that it smooths, in models by their place in the table. */
static whet_status fit_model(whet_ctx *ctx, const whet_i_trial *trial, const whet_i_candidate *c,
                             double temperature, void **models) {
    whet_i_settings settings = {SETTINGS};
    const int64_t at = place_of(c);
    const void *prior = NULL;
    if (models[at]) return WHET_OK;
    if (!trial->pool->names) settings.kappa = 0;
    if (c->prior) {
        const whet_i_candidate *smoothed = candidate_of(c->prior);
        WHET_TRY(fit_model(ctx, trial, smoothed, 1, models));
        prior = models[place_of(smoothed)];
    }
    settings.temperature = temperature;
    return c->fit(ctx, c, trial, &settings, prior, &models[at]);
}

static void free_models(whet_ctx *ctx, void **models) {
    for (int64_t i = 0; i < whet_i_candidate_count(); i++)
        if (models[i]) whet_i_candidates[i]->destroy(ctx, models[i]);
}

/* ---- all of them ---------------------------------------------------------------------------------- */

whet_status whet_i_heads_predict(whet_ctx *ctx, const whet_adapt_input *input, const float *x,
                                 int64_t m, double *probs) {
    void *models[WHET_I_MOST_PARTS] = {0};
    whet_i_pool pool = {0};
    whet_i_trial trial = {0};
    whet_i_query rows = {0};
    whet_status status = WHET_OK;
    int64_t cells;
    WHET_TRY_DONE(whet_i_pool_make(ctx, input, &pool));
    WHET_TRY_DONE(whet_i_trial_make(ctx, &pool, 0, 2, 0, &trial));
    WHET_TRY_DONE(whet_i_query_make(ctx, &pool, x, m, true, &rows));
    WHET_TRY_DONE(whet_i_mul(ctx, m, pool.k, &cells));
    for (int64_t i = 0; i < WHET_COUNT_OF(heads); i++) {
        const whet_i_candidate *c = candidate_of(heads[i].candidate);
        WHET_TRY_DONE(fit_model(ctx, &trial, c, 1, models));
        WHET_TRY_DONE(c->predict(ctx, models[place_of(c)], &rows, probs + i * cells));
    }
done:
    free_models(ctx, models);
    whet_i_query_free(ctx, &rows);
    whet_i_trial_free(ctx, &trial);
    whet_i_pool_free(ctx, &pool);
    return status;
}

/* ---- one, to be kept ------------------------------------------------------------------------------ */

/* It stands as the only part of a blend, whose name is that of candidate "encoder": so it is predicted
 * with, saved and loaded as any blend is. */
static void describe(whet_adapt_fit *fit, const whet_i_candidate *c, double temperature,
                     const char *words, const char *settings) {
    const whet_i_candidate *encoder = whet_i_candidates[whet_i_encoder_place()];
    const int64_t at = place_of(c), blend = fit->n - 1;
    fit->blend[0] = (whet_i_part){c, fit->models[at], 1};
    fit->n_blend = 1;
    fit->chosen = blend;
    fit->results[at].available = fit->results[blend].available = true;
    fit->results[at].settings.temperature = temperature;
    (void)snprintf(fit->results[at].words, sizeof fit->results[at].words, "%s", settings);
    (void)snprintf(fit->results[blend].words, sizeof fit->results[blend].words, "%s", words);
    fit->infos[blend] = (whet_candidate_info){.name = encoder->name,
                                              .title = encoder->title,
                                              .settings = fit->results[blend].words,
                                              .available = true,
                                              .note = fit->results[blend].note};
}

/* Rows that were averaged, and the graph, have done their work. */
static void forget_pool(whet_ctx *ctx, whet_i_pool *pool) {
    whet_i_graph_free(ctx, &pool->graph);
    whet_i_free(ctx, pool->smooth);
    pool->smooth = NULL;
    pool->given = NULL;
}

whet_status whet_i_heads_fit(whet_ctx *ctx, const whet_adapt_input *input, int64_t at,
                             double temperature, const char *words, whet_adapt_fit **out) {
    const whet_i_candidate *c = candidate_of(heads[at].candidate);
    whet_adapt_fit *fit = NULL;
    whet_i_trial trial = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &fit));
    fit->n = whet_i_candidate_count() + 1;
    WHET_TRY_DONE(whet_i_copy_names(ctx, input->classes, &fit->classes));
    WHET_TRY_DONE(whet_i_pool_make(ctx, input, &fit->pool));
    WHET_TRY_DONE(whet_i_trial_make(ctx, &fit->pool, 0, 2, 0, &trial));
    WHET_TRY_DONE(fit_model(ctx, &trial, c, temperature, fit->models));
    describe(fit, c, temperature, words, heads[at].words);
    forget_pool(ctx, &fit->pool);
    *out = fit;
    fit = NULL;
done:
    whet_adapt_fit_destroy(ctx, fit);
    whet_i_trial_free(ctx, &trial);
    return status;
}
