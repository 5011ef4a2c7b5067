/* SPDX-License-Identifier: Apache-2.0
 * Candidate "spread": local and global consistency on the graph of neighbours; see
 * label/label_spreading.c. Blind to what the features say beyond neighbourhood, and shown for
 * comparison: where neighbours share labels, smoothing a prior does the same and more.
 * The columns of (I - alpha S)^-1 at the labels give every split without further solves: a split
 * is a choice among them. Cost: b right sides for each of 5 alphas, then k for the fit.
 * Legend: n rows, b labels, k classes. */
#include <math.h>
#include <stdio.h>

#include "adapt/candidate.h"

enum { ALPHAS = 5 };
static const double ALPHA[ALPHAS] = {.5, .8, .9, .95, .99};

typedef struct spread_model {
    int64_t n, k, seen;
    int32_t *classes; /* [seen] */
    float *f;         /* [n, seen] rows of F over the square roots of their degrees */
    double unseen, temperature;
} spread_model;

static void destroy(whet_ctx *ctx, void *model) {
    spread_model *m = model;
    if (!m) return;
    whet_i_free(ctx, m->classes);
    whet_i_free(ctx, m->f);
    whet_i_free(ctx, m);
}

/* Held rows of one split: sums of the columns of the train rows, by class. */
static void predict_split(const whet_i_trial *t, const double *labelled, const whet_i_split *s,
                          int32_t *scratch, double *row, int64_t *counts, double *probs) {
    const int64_t k = t->pool->k, b = t->b;
    int32_t *y = scratch, *dense = y + b, *classes = dense + b;
    int64_t seen;
    for (int64_t i = 0; i < s->n_train; i++) y[i] = t->y[s->train[i]];
    whet_i_dense_classes(y, s->n_train, k, classes, &seen, dense);
    const double unseen = seen == k ? 0 : whet_i_unseen_mass(y, s->n_train, k, counts);
    for (int64_t i = 0; i < s->n_held; i++) {
        const int64_t held = s->held[i];
        for (int64_t c = 0; c < seen; c++) row[c] = 0;
        for (int64_t j = 0; j < s->n_train; j++) row[dense[j]] += labelled[held * b + s->train[j]];
        whet_i_spread_posterior(row, seen);
        whet_i_share_out(row, classes, seen, k, unseen, probs + (s->repeat * b + held) * k);
    }
}

static whet_status crossfit(whet_ctx *ctx, const whet_i_candidate *self, whet_i_trial *trial,
                            const whet_i_result *prior, whet_i_result *out) {
    (void)self;
    (void)prior;
    const int64_t n = trial->pool->n, b = trial->b, k = trial->pool->k;
    whet_status status = WHET_OK;
    double *green = NULL, *labelled = NULL, *row = NULL, *probs = NULL;
    int32_t *scratch = NULL;
    int64_t *counts = NULL, cells, all;
    WHET_TRY_DONE(whet_i_mul(ctx, n, b, &cells));
    WHET_TRY_DONE(whet_i_mul(ctx, trial->cases, k, &all));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &green));
    WHET_TRY_DONE(whet_i_alloc(ctx, b * b, &labelled));
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &row));
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &counts));
    WHET_TRY_DONE(whet_i_alloc(ctx, 2 * b + k, &scratch));
    WHET_TRY_DONE(whet_i_alloc(ctx, all, &probs));
    WHET_TRY_DONE(whet_i_alloc(ctx, all, &out->probs));
    out->log_loss = INFINITY;
    for (int a = 0; a < ALPHAS; a++) {
        double temperature, loss;
        WHET_TRY_DONE(
            whet_i_green_spreading(ctx, &trial->pool->graph, ALPHA[a], trial->rows, b, green));
        for (int64_t i = 0; i < b; i++)
            memcpy(labelled + i * b, green + trial->rows[i] * b, sizeof *green * (size_t)b);
        for (int64_t s = 0; s < trial->splits.n; s++)
            predict_split(trial, labelled, &trial->splits.split[s], scratch, row, counts, probs);
        WHET_TRY_DONE(whet_i_temperature_fit(ctx, probs, trial->cases, k, trial->case_y,
                                             &temperature, &loss));
        if (!(loss < out->log_loss)) continue;
        out->log_loss = loss;
        out->settings.alpha = ALPHA[a];
        out->settings.temperature = temperature;
        memcpy(out->probs, probs, sizeof *probs * (size_t)all);
    }
    whet_i_temper(out->probs, trial->cases, k, out->settings.temperature);
    (void)snprintf(out->words, sizeof out->words, "alpha = %g, temperature %.2f",
                   out->settings.alpha, out->settings.temperature);
done:
    whet_i_free(ctx, green);
    whet_i_free(ctx, labelled);
    whet_i_free(ctx, row);
    whet_i_free(ctx, counts);
    whet_i_free(ctx, scratch);
    whet_i_free(ctx, probs);
    return status;
}

/* F over the seen classes alone, each row over the square root of its degree. */
static whet_status fit_rows(whet_ctx *ctx, const whet_i_pool *pool, double alpha,
                            const int32_t *dense, spread_model *m) {
    whet_status status = WHET_OK;
    double *f = NULL;
    int32_t *y = NULL;
    int64_t cells;
    WHET_TRY_DONE(whet_i_mul(ctx, pool->n, m->seen, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &f));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &m->f));
    WHET_TRY_DONE(whet_i_alloc(ctx, pool->n, &y));
    for (int64_t i = 0; i < pool->n; i++) y[i] = -1;
    for (int64_t i = 0; i < pool->b; i++) y[pool->rows[i]] = dense[i];
    WHET_TRY_DONE(whet_i_spread(ctx, &pool->graph, alpha, y, m->seen, f));
    for (int64_t i = 0; i < pool->n; i++) {
        const double scale = pool->graph.degree[i] > 0 ? 1 / sqrt(pool->graph.degree[i]) : 1;
        for (int64_t c = 0; c < m->seen; c++)
            m->f[i * m->seen + c] = (float)(f[i * m->seen + c] * scale);
    }
done:
    whet_i_free(ctx, f);
    whet_i_free(ctx, y);
    return status;
}

static whet_status fit(whet_ctx *ctx, const whet_i_candidate *self, const whet_i_trial *trial,
                       const whet_i_settings *settings, const void *prior_model, void **model) {
    (void)self;
    (void)prior_model;
    const whet_i_pool *pool = trial->pool;
    whet_status status = WHET_OK;
    spread_model *m = NULL;
    int32_t *dense = NULL;
    int64_t *counts = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &m));
    m->n = pool->n;
    m->k = pool->k;
    m->temperature = settings->temperature;
    WHET_TRY_DONE(whet_i_alloc(ctx, pool->k, &m->classes));
    WHET_TRY_DONE(whet_i_alloc(ctx, pool->b, &dense));
    WHET_TRY_DONE(whet_i_alloc(ctx, pool->k, &counts));
    whet_i_dense_classes(pool->y, pool->b, pool->k, m->classes, &m->seen, dense);
    m->unseen = m->seen == pool->k ? 0 : whet_i_unseen_mass(pool->y, pool->b, pool->k, counts);
    WHET_TRY_DONE(fit_rows(ctx, pool, settings->alpha, dense, m));
    *model = m;
    m = NULL;
done:
    destroy(ctx, m);
    whet_i_free(ctx, dense);
    whet_i_free(ctx, counts);
    return status;
}

static whet_status predict(whet_ctx *ctx, const void *model, const whet_i_query *rows,
                           double *probs) {
    const spread_model *m = model;
    double *row;
    WHET_TRY(whet_i_alloc(ctx, m->seen, &row));
    for (int64_t i = 0; i < rows->n; i++) {
        for (int64_t c = 0; c < m->seen; c++) row[c] = 0;
        for (int64_t e = i * rows->m; e < (i + 1) * rows->m; e++)
            for (int64_t c = 0; c < m->seen; c++)
                row[c] += rows->weight[e] * (double)m->f[rows->near[e] * m->seen + c];
        whet_i_spread_posterior(row, m->seen);
        whet_i_share_out(row, m->classes, m->seen, m->k, m->unseen, probs + i * m->k);
    }
    whet_i_free(ctx, row);
    whet_i_temper(probs, rows->n, m->k, m->temperature);
    return WHET_OK;
}

static whet_status save(whet_ctx *ctx, const void *model, const char *prefix, whet_i_store *store) {
    const spread_model *m = model;
    WHET_TRY(whet_i_store_put(ctx, store, prefix, "classes", WHET_I32, m->classes, m->seen, 0));
    WHET_TRY(whet_i_store_put(ctx, store, prefix, "f", WHET_F32, m->f, m->n, m->seen));
    WHET_TRY(whet_i_store_put_scalar(ctx, store, prefix, "unseen", m->unseen));
    return whet_i_store_put_scalar(ctx, store, prefix, "temperature", m->temperature);
}

static whet_status load(whet_ctx *ctx, const whet_i_source *source, const char *prefix,
                        const whet_i_pool *pool, void **model) {
    whet_status status = WHET_OK;
    spread_model *m = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &m));
    m->n = pool->n;
    m->k = pool->k;
    m->seen = -1;
    WHET_TRY_DONE(
        whet_i_source_get(ctx, source, prefix, "classes", WHET_I32, &m->seen, NULL, &m->classes));
    WHET_TRY_DONE(whet_i_source_get(ctx, source, prefix, "f", WHET_F32, &m->n, &m->seen, &m->f));
    WHET_TRY_DONE(whet_i_source_scalar(ctx, source, prefix, "unseen", &m->unseen));
    WHET_TRY_DONE(whet_i_source_scalar(ctx, source, prefix, "temperature", &m->temperature));
    if (!whet_i_classes_rise(m->classes, m->seen, m->k) || !(m->unseen >= 0 && m->unseen < 1) ||
        !(m->temperature >= WHET_I_LEAST_TEMPERATURE)) {
        status = whet_i_fail(ctx, WHET_ERR_FORMAT,
                             "%s: %s holds classes, unseen or temperature "
                             "out of range",
                             source->path, prefix);
        goto done;
    }
    *model = m;
    m = NULL;
done:
    destroy(ctx, m);
    return status;
}

const whet_i_candidate whet_i_candidate_spread = {
    .name = "spread",
    .title = "local and global consistency on the graph of neighbours",
    .needs_neighbours = true,
    .crossfit = crossfit,
    .fit = fit,
    .predict = predict,
    .save = save,
    .load = load,
    .destroy = destroy,
};
