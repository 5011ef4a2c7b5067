/* SPDX-License-Identifier: Apache-2.0
 * Cross-fitting a family of linear models and the share of the balance, in three passes over the
 * splits: without balance; the balance of the promising members at their temperature; the models
 * kept for others to build on. A member is scored by its log loss at its best temperature: with
 * twenty held-out labels accuracy is too coarse to tell members apart.
 * Legend: d features, k classes. */
#include <math.h>
#include <stdio.h>

#include "adapt/candidate.h"
#include "tensor/tensor_i.h"

enum { BETAS = 3 };
static const double BETA[BETAS] = {0, .5, 1};

typedef struct work {
    whet_i_base base; /* room for k classes */
    double *scratch;  /* [family->scratch] */
    double *scores;   /* [b, k] */
    double *held;     /* [b, d] */
    double *prior;    /* [k] */
    int64_t *counts;  /* [k] */
    int32_t *y;       /* [b] */
    float *w, *narrow_scores, *probs, *balance;
} work;

typedef struct fitting {
    const whet_i_trial *trial;
    const whet_i_family *family;
    int view;
    work *work; /* [workers] */
    int64_t workers;
    double *probs;  /* [members, BETAS, cases, k] */
    double *offset; /* [members, splits, k] of the balance, not yet times beta */
    double inner;
    const bool *balanced; /* [members] which to try with balance */
    whet_i_base *fold;    /* [splits] */
    int64_t chosen;
    double beta, temperature;
} fitting;

static void work_free(whet_ctx *ctx, work *w) {
    whet_i_base_free(ctx, &w->base);
    whet_i_free(ctx, w->scratch);
    whet_i_free(ctx, w->scores);
    whet_i_free(ctx, w->held);
    whet_i_free(ctx, w->prior);
    whet_i_free(ctx, w->counts);
    whet_i_free(ctx, w->y);
    whet_i_free(ctx, w->w);
    whet_i_free(ctx, w->narrow_scores);
    whet_i_free(ctx, w->probs);
    whet_i_free(ctx, w->balance);
    *w = (work){0};
}

static whet_status work_make(whet_ctx *ctx, const whet_i_trial *t, int64_t scratch, work *w) {
    const int64_t d = t->pool->d, k = t->pool->k;
    int64_t cells;
    WHET_TRY(whet_i_base_make(ctx, d, k, k, &w->base));
    WHET_TRY(whet_i_alloc(ctx, scratch, &w->scratch));
    WHET_TRY(whet_i_mul(ctx, t->b, k, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &w->scores));
    WHET_TRY(whet_i_mul(ctx, t->b, d, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &w->held));
    WHET_TRY(whet_i_alloc(ctx, k, &w->prior));
    WHET_TRY(whet_i_alloc(ctx, k, &w->counts));
    WHET_TRY(whet_i_alloc(ctx, t->b, &w->y));
    WHET_TRY(whet_i_mul(ctx, d, k, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &w->w));
    WHET_TRY(whet_i_alloc(ctx, WHET_I_BLOCK * k, &w->narrow_scores));
    WHET_TRY(whet_i_mul(ctx, t->n_balance, k, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &w->probs));
    return whet_i_alloc(ctx, 2 * k, &w->balance);
}

/* Probabilities of the split's held rows by w->base, into `probs` [cases, k]. */
static void predict_held(const fitting *f, const whet_i_split *s, work *w, double *probs) {
    const int64_t d = f->trial->pool->d, k = f->trial->pool->k, seen = w->base.linear.seen;
    for (int64_t i = 0; i < s->n_held; i++)
        memcpy(w->held + i * d, f->trial->labelled[f->view] + s->held[i] * d,
               sizeof(double) * (size_t)d);
    whet_i_matmul_f64_serial(false, false, s->n_held, seen, d, w->held, d, w->base.linear.weight,
                             seen, 0, w->scores, seen);
    for (int64_t i = 0; i < s->n_held; i++)
        whet_i_base_finish(&w->base, w->scores + i * seen,
                           probs + (s->repeat * f->trial->b + s->held[i]) * k);
}

static double *cell(const fitting *f, int64_t member, int64_t beta) {
    return f->probs + (member * BETAS + beta) * f->trial->cases * f->trial->pool->k;
}

static void plain_pass(void *arg, int64_t at, int32_t worker) {
    const fitting *f = arg;
    work *w = &f->work[worker];
    w->base.sharpness = 1;
    memset(w->base.offset, 0, sizeof(double) * (size_t)f->trial->pool->k);
    for (int64_t m = 0; m < f->family->n; m++) {
        f->family->fit_split(f->family->state, m, at, &w->base.linear, w->scratch);
        predict_held(f, &f->trial->splits.split[at], w, cell(f, m, 0));
    }
}

/* The balance of w->base at sharpness 1/inner and no offset, from labels w->y [n]. */
static void find_balance(const whet_i_trial *t, int view, int64_t n, work *w, double *offset) {
    whet_i_class_prior(w->y, n, t->pool->k, w->counts, w->prior);
    whet_i_base_narrow(&w->base, w->w);
    whet_i_base_posterior(&w->base, w->w, t->balance[view], t->n_balance, w->narrow_scores,
                          w->probs);
    whet_i_balance(w->probs, t->n_balance, t->pool->k, w->prior, offset, w->balance);
}

static void balance_pass(void *arg, int64_t at, int32_t worker) {
    const fitting *f = arg;
    work *w = &f->work[worker];
    const whet_i_split *s = &f->trial->splits.split[at];
    const int64_t k = f->trial->pool->k;
    for (int64_t i = 0; i < s->n_train; i++) w->y[i] = f->trial->y[s->train[i]];
    for (int64_t m = 0; m < f->family->n; m++) {
        if (!f->balanced[m]) continue;
        double *offset = f->offset + (m * f->trial->splits.n + at) * k;
        f->family->fit_split(f->family->state, m, at, &w->base.linear, w->scratch);
        w->base.sharpness = 1 / f->inner;
        memset(w->base.offset, 0, sizeof *offset * (size_t)k);
        find_balance(f->trial, f->view, s->n_train, w, offset);
        for (int64_t beta = 1; beta < BETAS; beta++) {
            for (int64_t c = 0; c < k; c++) w->base.offset[c] = BETA[beta] * offset[c];
            predict_held(f, s, w, cell(f, m, beta));
        }
    }
}

/* The chosen member of each split with everything in place. */
static void keep_pass(void *arg, int64_t at, int32_t worker) {
    const fitting *f = arg;
    whet_i_base *base = &f->fold[at];
    const double *offset = f->offset + (f->chosen * f->trial->splits.n + at) * f->trial->pool->k;
    f->family->fit_split(f->family->state, f->chosen, at, &base->linear, f->work[worker].scratch);
    base->sharpness = 1 / ((f->beta > 0 ? f->inner : 1) * f->temperature);
    for (int64_t c = 0; c < f->trial->pool->k; c++)
        base->offset[c] = f->beta > 0 ? f->beta * offset[c] / f->temperature : 0;
}

typedef struct scored {
    double loss, temperature;
} scored;

static whet_status score(whet_ctx *ctx, const fitting *f, int64_t member, int64_t beta,
                         scored *out) {
    return whet_i_temperature_fit(ctx, cell(f, member, beta), f->trial->cases, f->trial->pool->k,
                                  f->trial->case_y, &out->temperature, &out->loss);
}

static whet_status allocate(whet_ctx *ctx, fitting *f) {
    const int64_t threads = whet_ctx_threads(ctx), n = f->trial->splits.n;
    int64_t cells;
    f->workers = threads < n ? threads : n;
    WHET_TRY(whet_i_calloc(ctx, f->workers, &f->work));
    for (int64_t i = 0; i < f->workers; i++)
        WHET_TRY(work_make(ctx, f->trial, f->family->scratch, &f->work[i]));
    WHET_TRY(whet_i_mul(ctx, f->family->n * BETAS * f->trial->cases, f->trial->pool->k, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &f->probs));
    WHET_TRY(whet_i_mul(ctx, f->family->n * n, f->trial->pool->k, &cells));
    return whet_i_calloc(ctx, cells, &f->offset);
}

static whet_status keep_folds(whet_ctx *ctx, fitting *f, whet_i_result *out) {
    const int64_t n = f->trial->splits.n, k = f->trial->pool->k;
    WHET_TRY(whet_i_calloc(ctx, n, &out->fold));
    out->n_fold = n;
    for (int64_t at = 0; at < n; at++)
        WHET_TRY(whet_i_base_make(ctx, f->trial->pool->d, k, k, &out->fold[at]));
    f->fold = out->fold;
    return whet_i_parallel_for(ctx, NULL, n, keep_pass, f);
}

/* Scores, then the balance where it is worth trying, then all scores again. */
static whet_status settle(whet_ctx *ctx, fitting *f, scored *scores, bool *balanced,
                          whet_i_result *out, int64_t *member) {
    const whet_i_family *family = f->family;
    int64_t best = 0, best_beta = 0;
    WHET_TRY(whet_i_parallel_for(ctx, NULL, f->trial->splits.n, plain_pass, f));
    for (int64_t m = 0; m < family->n; m++) {
        WHET_TRY(score(ctx, f, m, 0, &scores[m * BETAS]));
        if (scores[m * BETAS].loss < scores[best * BETAS].loss) best = m;
    }
    const int64_t reference = family->reference >= 0 ? family->reference : best;
    f->inner = fmax(scores[reference * BETAS].temperature, family->least_inner);
    for (int64_t m = 0; m < family->n; m++) balanced[m] = family->balance_all || m == best;
    f->balanced = balanced;
    WHET_TRY(whet_i_parallel_for(ctx, NULL, f->trial->splits.n, balance_pass, f));
    for (int64_t m = 0; m < family->n; m++)
        for (int64_t beta = 1; balanced[m] && beta < BETAS; beta++)
            WHET_TRY(score(ctx, f, m, beta, &scores[m * BETAS + beta]));
    for (int64_t m = 0; m < family->n; m++)
        for (int64_t beta = 0; beta < (balanced[m] ? BETAS : 1); beta++)
            if (scores[m * BETAS + beta].loss < scores[best * BETAS + best_beta].loss) {
                best = m;
                best_beta = beta;
            }
    f->chosen = *member = best;
    f->beta = out->settings.beta = BETA[best_beta];
    f->temperature = out->settings.temperature = scores[best * BETAS + best_beta].temperature;
    out->settings.inner = best_beta ? f->inner : 1;
    out->log_loss = scores[best * BETAS + best_beta].loss;
    const int64_t cells = f->trial->cases * f->trial->pool->k;
    WHET_TRY(whet_i_alloc(ctx, cells, &out->probs));
    memcpy(out->probs, cell(f, best, best_beta), sizeof(double) * (size_t)cells);
    whet_i_temper(out->probs, f->trial->cases, f->trial->pool->k, f->temperature);
    return WHET_OK;
}

whet_status whet_i_base_crossfit(whet_ctx *ctx, const whet_i_trial *trial, int view,
                                 const whet_i_family *family, int64_t *member, whet_i_result *out) {
    whet_status status = WHET_OK;
    fitting f = {.trial = trial, .family = family, .view = view};
    scored *scores = NULL;
    bool *balanced = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, family->n * BETAS, &scores));
    WHET_TRY_DONE(whet_i_calloc(ctx, family->n, &balanced));
    WHET_TRY_DONE(allocate(ctx, &f));
    WHET_TRY_DONE(settle(ctx, &f, scores, balanced, out, member));
    if (family->keep_folds) WHET_TRY_DONE(keep_folds(ctx, &f, out));
done:
    for (int64_t i = 0; f.work && i < f.workers; i++) work_free(ctx, &f.work[i]);
    whet_i_free(ctx, f.work);
    whet_i_free(ctx, f.probs);
    whet_i_free(ctx, f.offset);
    whet_i_free(ctx, scores);
    whet_i_free(ctx, balanced);
    return status;
}

whet_status whet_i_base_complete(whet_ctx *ctx, const whet_i_trial *trial, int view,
                                 const whet_i_settings *settings, whet_i_base *base) {
    const whet_i_pool *pool = trial->pool;
    whet_status status = WHET_OK;
    work w = {0};
    base->sharpness = 1 / (settings->inner * settings->temperature);
    memset(base->offset, 0, sizeof(double) * (size_t)pool->k);
    if (settings->beta == 0) return WHET_OK;
    WHET_TRY_DONE(work_make(ctx, trial, 0, &w));
    /* The balance is found on the model itself: lent to the work space and taken back. */
    const whet_i_base room = w.base;
    w.base = *base;
    w.base.sharpness = 1 / settings->inner;
    int32_t *y = w.y;
    w.y = pool->y;
    find_balance(trial, view, pool->b, &w, base->offset);
    w.y = y;
    w.base = room;
    for (int64_t c = 0; c < pool->k; c++) base->offset[c] *= settings->beta / settings->temperature;
done:
    work_free(ctx, &w);
    return status;
}
