/* SPDX-License-Identifier: Apache-2.0
 * Candidates "graph" and "prototypes-graph": the posteriors of logistic regression or prototypes as
 * the prior of every row, labels clamped, smoothed over the graph; see label/graph_smoothing.c.
 *
 * Splits need no solves. With G = (D - W + mu dbar I)^-1 the solution without clamping is
 * mu dbar G P, and clamping the train rows T adds the columns of T: for a held row h,
 *     F_h = M_h + G[h,T] G[T,T]^-1 (Y_T - M_T),   M = mu dbar G[:,L]^T P.
 * G's columns at the labels are solved for once for each mu, and serve both candidates.
 * A new row takes the stationary value given its neighbours:
 *     F(x) = (sum_j w_j F_j + mu dbar P(x)) / (sum_j w_j + mu dbar).
 * Cost: 5 b right sides; a split 5 products [b, n] x [n, k]; the fit k right sides.
 * Legend: n rows, b labels, k classes, pulls: the grid of mu. */
#include <math.h>
#include <stdio.h>

#include "adapt/candidate.h"
#include "tensor/tensor_i.h"

typedef struct graph_model {
    int64_t n, k;
    float *f;                 /* [n, k] */
    double pull, temperature; /* pull = mu dbar */
    whet_i_base base;         /* the prior of a new row */
} graph_model;

static void destroy(whet_ctx *ctx, void *model) {
    graph_model *m = model;
    if (!m) return;
    whet_i_free(ctx, m->f);
    whet_i_base_free(ctx, &m->base);
    whet_i_free(ctx, m);
}

/* ---- cross-fitting --------------------------------------------------------------------------- */

typedef struct fitting {
    const whet_i_trial *trial;
    const whet_i_base *prior; /* [splits] */
    double *probs;            /* [WHET_I_PULLS, cases, k] */
    int64_t room_f, room_d;
    float *narrow; /* [workers, room_f] */
    double *wide;  /* [workers, room_d] */
    atomic_bool failed;
} fitting;

static void sum_priors(const fitting *f, const whet_i_base *prior, float *narrow, double *sums) {
    const whet_i_trial *t = f->trial;
    const int64_t n = t->pool->n, d = t->pool->d, k = t->pool->k, b = t->b;
    float *w = narrow, *scores = w + d * k, *p = scores + WHET_I_BLOCK * k;
    float *product = p + WHET_I_BLOCK * k;
    whet_i_base_narrow(prior, w);
    memset(sums, 0, sizeof *sums * (size_t)(WHET_I_PULLS * b * k));
    for (int64_t first = 0; first < n; first += WHET_I_BLOCK) {
        const int64_t rows = n - first < WHET_I_BLOCK ? n - first : WHET_I_BLOCK;
        whet_i_base_posterior(prior, w, t->pool->x + first * d, rows, scores, p);
        for (int g = 0; g < WHET_I_PULLS; g++) {
            /* f32 within a block of rows, f64 from block to block */
            whet_i_matmul_f32_serial(true, false, b, k, rows, t->green[g] + first * b, b, p, k, 0,
                                     product, k);
            for (int64_t i = 0; i < b * k; i++) sums[g * b * k + i] += (double)product[i];
        }
    }
}

/* M of one mu becomes the held rows' F, in `probs` [cases, k]. */
static bool clamp_split(const whet_i_trial *t, const whet_i_split *s, const double *green,
                        const double *m, double *scratch, double *probs) {
    const int64_t k = t->pool->k, b = t->b, n = s->n_train;
    double *matrix = scratch, *lambda = matrix + b * b;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < n; j++) matrix[i * n + j] = green[s->train[i] * b + s->train[j]];
        for (int64_t c = 0; c < k; c++)
            lambda[i * k + c] = (c == t->y[s->train[i]] ? 1 : 0) - m[s->train[i] * k + c];
    }
    if (!whet_i_cholesky_solve_serial(n, matrix, k, lambda)) return false;
    for (int64_t i = 0; i < s->n_held; i++) {
        double *row = probs + (s->repeat * b + s->held[i]) * k;
        memcpy(row, m + s->held[i] * k, sizeof *row * (size_t)k);
        for (int64_t j = 0; j < n; j++) {
            const double w = green[s->held[i] * b + s->train[j]];
            for (int64_t c = 0; c < k; c++) row[c] += w * lambda[j * k + c];
        }
        double sum = 0;
        for (int64_t c = 0; c < k; c++) sum += row[c] = fmax(row[c], 0); /* of rounding */
        for (int64_t c = 0; c < k; c++) row[c] /= sum;
    }
    return true;
}

static void fit_split(void *arg, int64_t at, int32_t worker) {
    fitting *f = arg;
    const whet_i_trial *t = f->trial;
    const int64_t cells = t->b * t->pool->k;
    const double dbar = whet_i_mean_degree(&t->pool->graph);
    double *sums = f->wide + worker * f->room_d, *scratch = sums + WHET_I_PULLS * cells;
    sum_priors(f, &f->prior[at], f->narrow + worker * f->room_f, sums);
    for (int g = 0; g < WHET_I_PULLS; g++) {
        for (int64_t i = 0; i < cells; i++) sums[g * cells + i] *= whet_i_pulls[g] * dbar;
        if (!clamp_split(t, &t->splits.split[at], t->green_labelled[g], sums + g * cells, scratch,
                         f->probs + g * t->cases * t->pool->k))
            atomic_store(&f->failed, true);
    }
}

static whet_status allocate(whet_ctx *ctx, fitting *f) {
    const whet_i_trial *t = f->trial;
    const int64_t d = t->pool->d, k = t->pool->k, b = t->b, threads = whet_ctx_threads(ctx);
    const int64_t workers = threads < t->splits.n ? threads : t->splits.n;
    int64_t cells;
    f->room_f = d * k + (2 * WHET_I_BLOCK + b) * k;
    f->room_d = (WHET_I_PULLS + 1) * b * k + b * b;
    WHET_TRY(whet_i_mul(ctx, workers, f->room_f, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &f->narrow));
    WHET_TRY(whet_i_mul(ctx, workers, f->room_d, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &f->wide));
    WHET_TRY(whet_i_mul(ctx, WHET_I_PULLS * t->cases, k, &cells));
    return whet_i_alloc(ctx, cells, &f->probs);
}

static whet_status choose(whet_ctx *ctx, const fitting *f, whet_i_result *out) {
    const whet_i_trial *t = f->trial;
    const int64_t k = t->pool->k, cells = t->cases * k;
    int best = 0;
    out->log_loss = INFINITY;
    for (int g = 0; g < WHET_I_PULLS; g++) {
        double temperature, loss;
        WHET_TRY(whet_i_temperature_fit(ctx, f->probs + g * cells, t->cases, k, t->case_y,
                                        &temperature, &loss));
        if (!(loss < out->log_loss)) continue;
        best = g;
        out->log_loss = loss;
        out->settings.temperature = temperature;
    }
    out->settings.mu = whet_i_pulls[best];
    WHET_TRY(whet_i_alloc(ctx, cells, &out->probs));
    memcpy(out->probs, f->probs + best * cells, sizeof(double) * (size_t)cells);
    whet_i_temper(out->probs, t->cases, k, out->settings.temperature);
    (void)snprintf(out->words, sizeof out->words, "mu = %g, temperature %.2f", out->settings.mu,
                   out->settings.temperature);
    return WHET_OK;
}

static whet_status crossfit(whet_ctx *ctx, const whet_i_candidate *self, whet_i_trial *trial,
                            const whet_i_result *prior, whet_i_result *out) {
    (void)self;
    whet_status status = WHET_OK;
    fitting f = {.trial = trial, .prior = prior->fold};
    WHET_TRY_DONE(whet_i_trial_green(ctx, trial));
    WHET_TRY_DONE(allocate(ctx, &f));
    WHET_TRY_DONE(whet_i_blas_need_room(ctx, whet_ctx_threads(ctx)));
    WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, trial->splits.n, fit_split, &f));
    if (atomic_load(&f.failed)) {
        status = whet_i_fail(ctx, WHET_ERR_NUMERIC,
                             "the graph's Green's function at the labels is "
                             "not positive definite");
        goto done;
    }
    WHET_TRY_DONE(choose(ctx, &f, out));
done:
    whet_i_free(ctx, f.narrow);
    whet_i_free(ctx, f.wide);
    whet_i_free(ctx, f.probs);
    return status;
}

/* ---- all labels ------------------------------------------------------------------------------ */

static whet_status copy_base(whet_ctx *ctx, const whet_i_base *from, whet_i_base *to) {
    const whet_i_linear_model *l = &from->linear;
    WHET_TRY(whet_i_base_make(ctx, l->d, l->k, l->seen, to));
    to->sharpness = from->sharpness;
    to->linear.unseen = l->unseen;
    memcpy(to->offset, from->offset, sizeof(double) * (size_t)l->k);
    memcpy(to->linear.weight, l->weight, sizeof(double) * (size_t)(l->d * l->seen));
    memcpy(to->linear.bias, l->bias, sizeof(double) * (size_t)l->seen);
    memcpy(to->linear.classes, l->classes, sizeof *l->classes * (size_t)l->seen);
    return WHET_OK;
}

static whet_status fit(whet_ctx *ctx, const whet_i_candidate *self, const whet_i_trial *trial,
                       const whet_i_settings *settings, const void *prior_model, void **model) {
    (void)self;
    const whet_i_pool *pool = trial->pool;
    whet_status status = WHET_OK;
    graph_model *m = NULL;
    double *f = NULL;
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, pool->n, pool->k, &cells));
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &m));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &f));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &m->f));
    m->n = pool->n;
    m->k = pool->k;
    m->pull = settings->mu * whet_i_mean_degree(&pool->graph);
    m->temperature = settings->temperature;
    WHET_TRY_DONE(copy_base(ctx, prior_model, &m->base));
    WHET_TRY_DONE(whet_i_base_predict(ctx, &m->base, pool->x, pool->n, f));
    WHET_TRY_DONE(whet_i_smooth(ctx, &pool->graph, settings->mu, pool->labels, pool->k, f));
    for (int64_t i = 0; i < cells; i++) m->f[i] = (float)fmin(fmax(f[i], 0), 1);
    *model = m;
    m = NULL;
done:
    destroy(ctx, m);
    whet_i_free(ctx, f);
    return status;
}

static whet_status predict(whet_ctx *ctx, const void *model, const whet_i_query *rows,
                           double *probs) {
    const graph_model *m = model;
    WHET_TRY(whet_i_base_predict(ctx, &m->base, rows->x, rows->n, probs));
    for (int64_t i = 0; i < rows->n; i++) {
        double *row = probs + i * m->k, total = m->pull;
        for (int64_t c = 0; c < m->k; c++) row[c] *= m->pull;
        for (int64_t e = i * rows->m; e < (i + 1) * rows->m; e++) {
            const double w = rows->weight[e];
            const float *other = m->f + rows->near[e] * m->k;
            total += w;
            for (int64_t c = 0; c < m->k; c++) row[c] += w * (double)other[c];
        }
        for (int64_t c = 0; c < m->k; c++) row[c] /= total;
    }
    whet_i_temper(probs, rows->n, m->k, m->temperature);
    return WHET_OK;
}

/* ---- files ----------------------------------------------------------------------------------- */

static whet_status save(whet_ctx *ctx, const void *model, const char *prefix, whet_i_store *store) {
    const graph_model *m = model;
    WHET_TRY(whet_i_store_put(ctx, store, prefix, "f", WHET_F32, m->f, m->n, m->k));
    WHET_TRY(whet_i_store_put_scalar(ctx, store, prefix, "pull", m->pull));
    WHET_TRY(whet_i_store_put_scalar(ctx, store, prefix, "temperature", m->temperature));
    return whet_i_base_model_save(ctx, &m->base, prefix, store);
}

static whet_status load(whet_ctx *ctx, const whet_i_source *source, const char *prefix,
                        const whet_i_pool *pool, void **model) {
    whet_status status = WHET_OK;
    graph_model *m = NULL;
    void *base = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &m));
    m->n = pool->n;
    m->k = pool->k;
    WHET_TRY_DONE(whet_i_source_get(ctx, source, prefix, "f", WHET_F32, &m->n, &m->k, &m->f));
    WHET_TRY_DONE(whet_i_source_scalar(ctx, source, prefix, "pull", &m->pull));
    WHET_TRY_DONE(whet_i_source_scalar(ctx, source, prefix, "temperature", &m->temperature));
    if (!(m->pull > 0) || !(m->temperature >= WHET_I_LEAST_TEMPERATURE)) {
        status = whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: %s.pull or %s.temperature is out of range",
                             source->path, prefix, prefix);
        goto done;
    }
    WHET_TRY_DONE(whet_i_base_model_load(ctx, source, prefix, pool, &base));
    m->base = *(whet_i_base *)base;
    whet_i_free(ctx, base);
    *model = m;
    m = NULL;
done:
    destroy(ctx, m);
    return status;
}

const whet_i_candidate whet_i_candidate_graph = {
    .name = "graph",
    .title = "logistic regression smoothed over the graph of neighbours",
    .prior = "logistic",
    .needs_neighbours = true,
    .blends = true,
    .crossfit = crossfit,
    .fit = fit,
    .predict = predict,
    .save = save,
    .load = load,
    .destroy = destroy,
};

const whet_i_candidate whet_i_candidate_prototypes_graph = {
    .name = "prototypes-graph",
    .title = "prototypes smoothed over the graph of neighbours",
    .prior = "prototypes",
    .needs_neighbours = true,
    .blends = true,
    .crossfit = crossfit,
    .fit = fit,
    .predict = predict,
    .save = save,
    .load = load,
    .destroy = destroy,
};
