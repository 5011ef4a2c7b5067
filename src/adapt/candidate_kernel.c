/* SPDX-License-Identifier: Apache-2.0
 * Candidate "kernel": logistic regression over the Gaussian kernel exp(-gamma |x - l|^2) to the labelled
 * rows l, whose boundary may bend. Prepared rows are of unit length, so that squared distances lie in
 * 0..4 and three widths, two octaves apart, cover what there is.
 * The optimum of a penalised regression lies in the span of its rows (Kimeldorf & Wahba 1971): in the
 * coordinates of the eigenvectors of K it is an ordinary logistic regression, exactly; with more than
 * the trial's 500 labels, those are the landmarks of a Nystroem map (Williams & Seeger 2001).
 * Cost: that of "logistic" for each width, and an eigenproblem of size m. Legend: m landmarks, d
 * features, r coordinates, b labelled rows, k classes. */
#include <math.h>
#include <stdio.h>

#include "adapt/candidate.h"
#include "kernels/kernels_i.h"
#include "tensor/tensor_i.h"

enum { WIDTHS = 3, BLOCK = 4096 };
static const double WIDTH[WIDTHS] = {.25, 1, 4};
/* Eigenvalues below this share of the largest are left out: what is told from rounding, and less than any
 * penalty of the grid would let count. */
#define LEAST_SHARE 1e-8

/* ---- kernel values ---------------------------------------------------------------------------- */

typedef struct landmarks {
    int64_t m, d;
    double gamma;
    double *x;      /* [d, m] their rows as columns */
    double *square; /* [m] */
} landmarks;

static void landmarks_free(whet_ctx *ctx, landmarks *l) {
    whet_i_free(ctx, l->x);
    whet_i_free(ctx, l->square);
    *l = (landmarks){0};
}

/* rows [m, d] */
static whet_status landmarks_make(whet_ctx *ctx, const double *rows, int64_t m, int64_t d,
                                  double gamma, landmarks *out) {
    landmarks l = {m, d, gamma, NULL, NULL};
    int64_t cells;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_mul(ctx, m, d, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &l.x));
    WHET_TRY_DONE(whet_i_calloc(ctx, m, &l.square));
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < d; j++) {
            const double v = rows[i * d + j];
            l.x[j * m + i] = v;
            l.square[i] += v * v;
        }
    *out = l;
    l = (landmarks){0};
done:
    landmarks_free(ctx, &l);
    return status;
}

/* values [n, m] of rows x [n, d]. */
static whet_status kernel_values(whet_ctx *ctx, const landmarks *l, const float *x, int64_t n,
                                 double *values) {
    WHET_TRY(whet_i_scores(ctx, x, n, l->d, l->x, l->m, values));
    for (int64_t i = 0; i < n; i++) {
        double own = 0;
        for (int64_t j = 0; j < l->d; j++) own += (double)x[i * l->d + j] * (double)x[i * l->d + j];
        for (int64_t j = 0; j < l->m; j++) {
            double *v = &values[i * l->m + j];
            *v = -l->gamma * fmax(0, own + l->square[j] - 2 * *v);
        }
    }
    whet_i_kernels_f64()->exp_f64(n * l->m, values);
    return WHET_OK;
}

/* ---- a trial in the kernel's coordinates ------------------------------------------------------- */

/* trial and pool borrow what they share with those they are made from; what is told here is their own. */
typedef struct lift {
    landmarks landmarks;
    int64_t r;
    double *mix;        /* [m, r] coordinates = kernel values times mix */
    whet_i_pool pool;   /* d = r; x, rows: its labelled rows alone, in their order */
    whet_i_trial trial; /* labelled and balance of WHET_I_RAW */
} lift;

static void lift_free(whet_ctx *ctx, lift *l) {
    landmarks_free(ctx, &l->landmarks);
    whet_i_free(ctx, l->mix);
    whet_i_free(ctx, l->pool.x);
    whet_i_free(ctx, l->pool.rows);
    whet_i_free(ctx, l->trial.labelled[WHET_I_RAW]);
    whet_i_free(ctx, l->trial.balance[WHET_I_RAW]);
    *l = (lift){0};
}

/* mix: eigenvectors of K [m, m] over the roots of their values. */
static whet_status find_mix(whet_ctx *ctx, const float *rows, lift *l) {
    const int64_t m = l->landmarks.m;
    double *k = NULL, *values = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, m * m, &k));
    WHET_TRY_DONE(whet_i_alloc(ctx, m, &values));
    WHET_TRY_DONE(kernel_values(ctx, &l->landmarks, rows, m, k));
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < i; j++)
            k[i * m + j] = k[j * m + i] = (k[i * m + j] + k[j * m + i]) / 2;
    WHET_TRY_DONE(whet_i_eigh(ctx, m, k, values));
    while (l->r < m && values[l->r] > LEAST_SHARE * values[0]) l->r++;
    WHET_TRY_DONE(whet_i_alloc(ctx, m * l->r, &l->mix));
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < l->r; j++) l->mix[i * l->r + j] = k[j * m + i] / sqrt(values[j]);
done:
    whet_i_free(ctx, k);
    whet_i_free(ctx, values);
    return status;
}

/* out [n, r] of rows x [n, d]. */
static whet_status coordinates(whet_ctx *ctx, const lift *l, const float *x, int64_t n,
                               double *out) {
    const int64_t m = l->landmarks.m;
    double *values = NULL;
    int64_t cells;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_mul(ctx, n, m, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &values));
    WHET_TRY_DONE(kernel_values(ctx, &l->landmarks, x, n, values));
    WHET_TRY_DONE(
        whet_i_matmul_f64(ctx, false, false, n, l->r, m, values, m, l->mix, l->r, 0, out, l->r));
done:
    whet_i_free(ctx, values);
    return status;
}

static whet_status narrow_coordinates(whet_ctx *ctx, const lift *l, const float *x, int64_t n,
                                      float **out) {
    double *wide = NULL;
    int64_t cells;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_mul(ctx, n, l->r, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &wide));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, out));
    WHET_TRY_DONE(coordinates(ctx, l, x, n, wide));
    for (int64_t i = 0; i < cells; i++) (*out)[i] = (float)wide[i];
done:
    whet_i_free(ctx, wide);
    return status;
}

/* rows [n] of x [*, d], one after the other. */
static whet_status gather(whet_ctx *ctx, const float *x, int64_t d, const int64_t *rows, int64_t n,
                          float **out) {
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, n, d, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, out));
    for (int64_t i = 0; i < n; i++) memcpy(*out + i * d, x + rows[i] * d, sizeof **out * (size_t)d);
    return WHET_OK;
}

static whet_status lift_make(whet_ctx *ctx, const whet_i_trial *trial, double gamma, lift *out) {
    const whet_i_pool *pool = trial->pool;
    const int64_t d = pool->d, m = trial->b;
    whet_status status = WHET_OK;
    float *own = NULL, *all = NULL;
    lift l = {.r = 0};
    int64_t cells;
    WHET_TRY_DONE(landmarks_make(ctx, trial->labelled[WHET_I_RAW], m, d, gamma, &l.landmarks));
    WHET_TRY_DONE(gather(ctx, pool->x, d, trial->rows, m, &own));
    WHET_TRY_DONE(find_mix(ctx, own, &l));
    l.pool = (whet_i_pool){.n = pool->n, .d = l.r, .k = pool->k, .b = pool->b, .y = pool->y};
    l.trial = (whet_i_trial){.b = m,
                             .y = trial->y,
                             .splits = trial->splits,
                             .cases = trial->cases,
                             .case_y = trial->case_y,
                             .n_balance = trial->n_balance};
    WHET_TRY_DONE(whet_i_mul(ctx, m, l.r, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &l.trial.labelled[WHET_I_RAW]));
    WHET_TRY_DONE(coordinates(ctx, &l, own, m, l.trial.labelled[WHET_I_RAW]));
    WHET_TRY_DONE(narrow_coordinates(ctx, &l, trial->balance[WHET_I_RAW], trial->n_balance,
                                     &l.trial.balance[WHET_I_RAW]));
    WHET_TRY_DONE(gather(ctx, pool->x, d, pool->rows, pool->b, &all));
    WHET_TRY_DONE(narrow_coordinates(ctx, &l, all, pool->b, &l.pool.x));
    WHET_TRY_DONE(whet_i_alloc(ctx, pool->b, &l.pool.rows));
    for (int64_t i = 0; i < pool->b; i++) l.pool.rows[i] = i;
    *out = l;
    out->trial.pool = &out->pool;
    l = (lift){0};
done:
    lift_free(ctx, &l);
    whet_i_free(ctx, own);
    whet_i_free(ctx, all);
    return status;
}

/* ---- the candidate ------------------------------------------------------------------------------ */

static whet_status crossfit_width(whet_ctx *ctx, const whet_i_trial *trial, double gamma,
                                  whet_i_result *out) {
    whet_status status = WHET_OK;
    whet_i_span span = {0};
    lift l = {0};
    WHET_TRY_DONE(lift_make(ctx, trial, gamma, &l));
    WHET_TRY_DONE(whet_i_span_of(ctx, l.trial.labelled[WHET_I_RAW], l.trial.b, l.r, &span));
    WHET_TRY_DONE(whet_i_logistic_crossfit(ctx, &l.trial, WHET_I_RAW, &span, false, out));
    out->settings.width = gamma;
done:
    whet_i_span_free(ctx, &span);
    lift_free(ctx, &l);
    return status;
}

static whet_status crossfit(whet_ctx *ctx, const whet_i_candidate *self, whet_i_trial *trial,
                            const whet_i_result *prior, whet_i_result *out) {
    (void)self;
    (void)prior;
    out->log_loss = INFINITY;
    for (int w = 0; w < WIDTHS; w++) {
        whet_i_result own = {.available = out->available};
        const whet_status status = crossfit_width(ctx, trial, WIDTH[w], &own);
        whet_i_result worse = own;
        if (status == WHET_OK && own.log_loss < out->log_loss) {
            worse = *out;
            *out = own;
        }
        whet_i_result_free(ctx, &worse);
        WHET_TRY(status);
    }
    (void)snprintf(out->words, sizeof out->words,
                   "gamma = %g, C = %g, balance %g, temperature %.2f", out->settings.width,
                   out->settings.penalty, out->settings.beta, out->settings.temperature);
    return WHET_OK;
}

typedef struct kernel_model {
    whet_i_base base; /* over kernel values: linear.d = m */
    float *rows;      /* [m, d] the landmarks */
    landmarks landmarks;
} kernel_model;

static void destroy(whet_ctx *ctx, void *model) {
    kernel_model *m = model;
    if (!m) return;
    whet_i_base_free(ctx, &m->base);
    whet_i_free(ctx, m->rows);
    landmarks_free(ctx, &m->landmarks);
    whet_i_free(ctx, m);
}

/* From weights of coordinates to weights of kernel values. */
static whet_status mix_weights(whet_ctx *ctx, const lift *l, whet_i_linear_model *linear) {
    const int64_t m = l->landmarks.m, seen = linear->seen;
    double *weight;
    WHET_TRY(whet_i_alloc(ctx, m * seen, &weight));
    whet_i_matmul_f64_serial(false, false, m, seen, l->r, l->mix, l->r, linear->weight, seen, 0,
                             weight, seen);
    whet_i_free(ctx, linear->weight);
    linear->weight = weight;
    linear->d = m;
    return WHET_OK;
}

static whet_status fit(whet_ctx *ctx, const whet_i_candidate *self, const whet_i_trial *trial,
                       const whet_i_settings *settings, const void *prior_model, void **model) {
    (void)self;
    (void)prior_model;
    whet_status status = WHET_OK;
    kernel_model *m = NULL;
    lift l = {0};
    WHET_TRY_DONE(lift_make(ctx, trial, settings->width, &l));
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &m));
    WHET_TRY_DONE(whet_i_calloc(ctx, l.pool.k, &m->base.offset));
    WHET_TRY_DONE(whet_i_logistic_fit(ctx, l.pool.x, l.pool.rows, l.pool.y, l.pool.b, l.r, l.pool.k,
                                      settings->penalty, &m->base.linear));
    WHET_TRY_DONE(whet_i_base_complete(ctx, &l.trial, WHET_I_RAW, settings, &m->base));
    WHET_TRY_DONE(mix_weights(ctx, &l, &m->base.linear));
    WHET_TRY_DONE(gather(ctx, trial->pool->x, trial->pool->d, trial->rows, trial->b, &m->rows));
    m->landmarks = l.landmarks;
    l.landmarks = (landmarks){0};
    *model = m;
    m = NULL;
done:
    destroy(ctx, m);
    lift_free(ctx, &l);
    return status;
}

static whet_status predict(whet_ctx *ctx, const void *model, const whet_i_query *rows,
                           double *probs) {
    const kernel_model *m = model;
    const int64_t d = m->landmarks.d, marks = m->landmarks.m, seen = m->base.linear.seen;
    const int64_t k = m->base.linear.k, block = rows->n < BLOCK ? rows->n : BLOCK;
    double *values = NULL, *scores = NULL;
    int64_t cells;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_mul(ctx, block, marks, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &values));
    WHET_TRY_DONE(whet_i_alloc(ctx, block * seen, &scores));
    for (int64_t first = 0; first < rows->n; first += block) {
        const int64_t n = rows->n - first < block ? rows->n - first : block;
        WHET_TRY_DONE(kernel_values(ctx, &m->landmarks, rows->x + first * d, n, values));
        WHET_TRY_DONE(whet_i_matmul_f64(ctx, false, false, n, seen, marks, values, marks,
                                        m->base.linear.weight, seen, 0, scores, seen));
        for (int64_t i = 0; i < n; i++)
            whet_i_base_finish(&m->base, scores + i * seen, probs + (first + i) * k);
    }
done:
    whet_i_free(ctx, values);
    whet_i_free(ctx, scores);
    return status;
}

static whet_status save(whet_ctx *ctx, const void *model, const char *prefix, whet_i_store *store) {
    const kernel_model *m = model;
    WHET_TRY(whet_i_base_model_save(ctx, &m->base, prefix, store));
    WHET_TRY(whet_i_store_put(ctx, store, prefix, "landmarks", WHET_F32, m->rows, m->landmarks.m,
                              m->landmarks.d));
    return whet_i_store_put_scalar(ctx, store, prefix, "gamma", m->landmarks.gamma);
}

static whet_status load_landmarks(whet_ctx *ctx, const whet_i_source *source, const char *prefix,
                                  int64_t d, kernel_model *m) {
    double *rows = NULL, gamma;
    int64_t marks = -1;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(
        whet_i_source_get(ctx, source, prefix, "landmarks", WHET_F32, &marks, &d, &m->rows));
    WHET_TRY_DONE(whet_i_source_scalar(ctx, source, prefix, "gamma", &gamma));
    if (marks < 1 || !(gamma > 0)) {
        status = whet_i_fail(ctx, WHET_ERR_FORMAT,
                             "%s: %s has %lld landmarks and gamma %g; expected "
                             "at least one, and above 0",
                             source->path, prefix, (long long)marks, gamma);
        goto done;
    }
    WHET_TRY_DONE(whet_i_alloc(ctx, marks * d, &rows));
    for (int64_t i = 0; i < marks * d; i++) rows[i] = (double)m->rows[i];
    WHET_TRY_DONE(landmarks_make(ctx, rows, marks, d, gamma, &m->landmarks));
done:
    whet_i_free(ctx, rows);
    return status;
}

static whet_status load(whet_ctx *ctx, const whet_i_source *source, const char *prefix,
                        const whet_i_pool *pool, void **model) {
    whet_status status = WHET_OK;
    kernel_model *m = NULL;
    void *base = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &m));
    WHET_TRY_DONE(load_landmarks(ctx, source, prefix, pool->d, m));
    const whet_i_pool values = {.d = m->landmarks.m, .k = pool->k};
    WHET_TRY_DONE(whet_i_base_model_load(ctx, source, prefix, &values, &base));
    m->base = *(whet_i_base *)base;
    whet_i_free(ctx, base);
    *model = m;
    m = NULL;
done:
    destroy(ctx, m);
    return status;
}

const whet_i_candidate whet_i_candidate_kernel = {
    .name = "kernel",
    .title = "logistic regression over a Gaussian kernel",
    .view = WHET_I_RAW,
    .blends = true,
    .crossfit = crossfit,
    .fit = fit,
    .predict = predict,
    .save = save,
    .load = load,
    .destroy = destroy,
};
