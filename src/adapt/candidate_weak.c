/* SPDX-License-Identifier: Apache-2.0
 * Candidates "snuba", "iws", "goggles" and "propagate": weak supervision. A labeller turns the labels into
 * probabilities for rows of the pool; a logistic regression, the end model, learns from these rows and the
 * labels, and predicts. They cost many times what the others do, and take part when asked for.
 *
 * Cross-fitting repeats all of it without the held-out labels, over one repeat's folds, whose answers stand
 * for the other repeats' too (out of fold all the same): labellers one after the other, each parallel
 * within, then the end models side by side. A labeller that cannot work with what a split leaves (one class,
 * nothing that tells classes apart) gives the shares of the classes.
 * Cost: splits labellers, and as many regressions on at most STUDENT_ROWS rows.
 * Legend: n rows of the pool, b labels, k classes, r rows that the end model learns from. */
#include <math.h>
#include <stdio.h>

#include "adapt/candidate.h"
#include "whet/labelling.h"
#include "whet/votes.h"

/* The end model: labels weigh LABELS_SHARE of what the labeller's rows do together. Choices, not fitted. */
enum { STUDENT_ROWS = 2000, STEPS = 200 };
#define PENALTY 10.
#define LABELS_SHARE .25
#define TOLERANCE 1e-5

extern const whet_i_candidate whet_i_candidate_snuba, whet_i_candidate_iws,
    whet_i_candidate_goggles, whet_i_candidate_propagate;

/* ---- labellers -------------------------------------------------------------------------------- */

/* probs [n, k] of all rows of the pool, from labels [n]. */
typedef whet_status (*labeller)(whet_ctx *ctx, const whet_synth_input *in, double *probs);

static whet_status label_by_snuba(whet_ctx *ctx, const whet_synth_input *in, double *probs) {
    const whet_snuba_opts opts = WHET_SNUBA_OPTS_INIT;
    whet_rules *rules;
    WHET_TRY(whet_snuba(ctx, in, &opts, &rules, probs, NULL));
    whet_rules_destroy(ctx, rules);
    return WHET_OK;
}

/* Rules that were found useful, joined by Dawid and Skene's model with the labels clamped. */
static whet_status label_by_iws(whet_ctx *ctx, const whet_synth_input *in, double *probs) {
    const whet_iws_opts opts = WHET_IWS_OPTS_INIT;
    whet_label_model_opts model_opts = WHET_LABEL_MODEL_OPTS_INIT;
    whet_status status = WHET_OK;
    whet_rules *rules = NULL;
    whet_label_model *model = NULL;
    int32_t *votes = NULL;
    int64_t cells;
    WHET_TRY_DONE(whet_iws(ctx, in, &opts, &rules, NULL));
    const int64_t m = whet_rules_count(rules);
    WHET_TRY_DONE(whet_i_mul(ctx, in->n, m, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &votes));
    const whet_rules_input rows = {.features = in->features, .d = in->d, .n = in->n};
    WHET_TRY_DONE(whet_rules_apply(ctx, rules, &rows, votes, NULL));
    const whet_votes view = {.n = in->n, .m = m, .k = whet_names_count(in->classes), .wide = votes};
    model_opts.method = WHET_LABEL_DAWID_SKENE;
    model_opts.labels = in->labels;
    WHET_TRY_DONE(whet_label_model_fit(ctx, &view, &model_opts, &model));
    WHET_TRY_DONE(whet_label_model_predict(ctx, model, &view, probs));
done:
    whet_label_model_destroy(ctx, model);
    whet_i_free(ctx, votes);
    whet_rules_destroy(ctx, rules);
    return status;
}

static whet_status label_by_baseline(whet_ctx *ctx, const whet_synth_input *in,
                                     whet_baseline method, double *probs) {
    const whet_baseline_input input = {.features = in->features,
                                       .n = in->n,
                                       .d = in->d,
                                       .k = whet_names_count(in->classes),
                                       .labels = in->labels,
                                       .seed = in->seed};
    return whet_baseline_run(ctx, method, &input, probs);
}

static whet_status label_by_goggles(whet_ctx *ctx, const whet_synth_input *in, double *probs) {
    return label_by_baseline(ctx, in, WHET_BASELINE_GOGGLES, probs);
}

static whet_status label_by_propagation(whet_ctx *ctx, const whet_synth_input *in, double *probs) {
    return label_by_baseline(ctx, in, WHET_BASELINE_PROPAGATE, probs);
}

/* ---- what the end models share ----------------------------------------------------------------- */

typedef struct weak {
    const whet_i_trial *trial;
    const whet_i_pool *pool;
    labeller label;
    whet_names *classes; /* "0", "1", ..: labellers want names */
    int32_t *labels;     /* [n] of one split */
    double *probs;       /* [n, k] of one labeller */
    int64_t r, b;        /* rows below; labels */
    int64_t *rows;       /* [r] of the pool: first evenly spaced ones, then the labelled ones */
    double *z;           /* [r, d] */
    whet_i_sketch sketch;
    float *q; /* [models, r, k] */
    int64_t models;
    whet_i_linear_model *linear; /* [models] */
    double *work;                /* [workers] of work_size */
    int64_t work_size;
    const whet_i_split *split; /* NULL: one model, of all labels */
} weak;

static void free_weak(whet_ctx *ctx, weak *w) {
    whet_names_destroy(ctx, w->classes);
    whet_i_free(ctx, w->labels);
    whet_i_free(ctx, w->probs);
    whet_i_free(ctx, w->rows);
    whet_i_free(ctx, w->z);
    whet_i_sketch_free(ctx, &w->sketch);
    whet_i_free(ctx, w->q);
    for (int64_t i = 0; w->linear && i < w->models; i++)
        whet_i_linear_model_free(ctx, &w->linear[i]);
    whet_i_free(ctx, w->linear);
    whet_i_free(ctx, w->work);
}

static whet_status name_classes(whet_ctx *ctx, weak *w) {
    WHET_TRY(whet_names_create(ctx, &w->classes));
    for (int64_t c = 0; c < w->pool->k; c++) {
        char name[24];
        (void)snprintf(name, sizeof name, "%lld", (long long)c);
        WHET_TRY(whet_names_add(ctx, w->classes, whet_str_from(name), NULL));
    }
    return WHET_OK;
}

static whet_status choose_rows(whet_ctx *ctx, weak *w, const int64_t *labelled) {
    const whet_i_pool *p = w->pool;
    const int64_t spread = p->n < STUDENT_ROWS ? p->n : STUDENT_ROWS;
    int64_t cells;
    w->r = spread + w->b;
    WHET_TRY(whet_i_mul(ctx, w->r, p->d, &cells));
    WHET_TRY(whet_i_alloc(ctx, w->r, &w->rows));
    WHET_TRY(whet_i_alloc(ctx, cells, &w->z));
    for (int64_t i = 0; i < spread; i++) w->rows[i] = i * p->n / spread;
    for (int64_t i = 0; i < w->b; i++) w->rows[spread + i] = labelled[i];
    for (int64_t i = 0; i < w->r; i++)
        for (int64_t j = 0; j < p->d; j++) w->z[i * p->d + j] = (double)p->x[w->rows[i] * p->d + j];
    return whet_i_sketch_build(ctx, w->z, w->r, p->d, &w->sketch);
}

static whet_status make_models(whet_ctx *ctx, weak *w, int64_t models) {
    const int64_t d = w->pool->d, k = w->pool->k, threads = whet_ctx_threads(ctx);
    int64_t cells, weights;
    WHET_TRY(whet_i_mul(ctx, models * w->r, k, &cells));
    WHET_TRY(whet_i_mul(ctx, d + 1, k, &weights));
    WHET_TRY(whet_i_alloc(ctx, cells, &w->q));
    WHET_TRY(whet_i_calloc(ctx, models, &w->linear));
    w->models = models;
    for (int64_t i = 0; i < models; i++) {
        whet_i_linear_model *m = &w->linear[i];
        *m = (whet_i_linear_model){.d = d, .k = k, .seen = k};
        WHET_TRY(whet_i_alloc(ctx, weights, &m->weight));
        WHET_TRY(whet_i_alloc(ctx, k, &m->bias));
        WHET_TRY(whet_i_alloc(ctx, k, &m->classes));
        for (int32_t c = 0; c < k; c++) m->classes[c] = c;
    }
    w->work_size = w->r * k + w->r + whet_i_soft_logistic_workspace(w->r, d, k, &w->sketch);
    WHET_TRY(whet_i_mul(ctx, threads, w->work_size, &cells));
    return whet_i_alloc(ctx, cells, &w->work);
}

static whet_status make_weak(whet_ctx *ctx, const int64_t *labelled, int64_t models, weak *w) {
    const whet_i_pool *p = w->pool;
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, p->n, p->k, &cells));
    WHET_TRY(whet_i_alloc(ctx, p->n, &w->labels));
    WHET_TRY(whet_i_alloc(ctx, cells, &w->probs));
    WHET_TRY(name_classes(ctx, w));
    WHET_TRY(choose_rows(ctx, w, labelled));
    return make_models(ctx, w, models);
}

/* ---- a labeller's work ------------------------------------------------------------------------- */

/* Shares of the classes, one more of each than there are. */
static void fill_with_shares(const weak *w) {
    const int64_t n = w->pool->n, k = w->pool->k;
    double total = (double)k;
    for (int64_t c = 0; c < k; c++) w->probs[c] = 1;
    for (int64_t i = 0; i < n; i++)
        if (w->labels[i] >= 0) {
            w->probs[w->labels[i]]++;
            total++;
        }
    for (int64_t c = 0; c < k; c++) w->probs[c] /= total;
    for (int64_t i = 1; i < n; i++)
        memcpy(w->probs + i * k, w->probs, (size_t)k * sizeof *w->probs);
}

static whet_status run_labeller(whet_ctx *ctx, const weak *w, int64_t at) {
    const whet_synth_input in = {.features = w->pool->x,
                                 .n = w->pool->n,
                                 .d = w->pool->d,
                                 .classes = w->classes,
                                 .labels = w->labels,
                                 .seed = (uint64_t)at};
    const whet_status status = w->label(ctx, &in, w->probs);
    if (status != WHET_ERR_DATA && status != WHET_ERR_NUMERIC) return status;
    fill_with_shares(w);
    return WHET_OK;
}

/* q of model `at` from labels [n]: of the labels themselves certain. */
static whet_status ask_labeller(whet_ctx *ctx, const weak *w, int64_t at) {
    const int64_t k = w->pool->k;
    WHET_TRY(run_labeller(ctx, w, at));
    for (int64_t i = 0; i < w->r; i++) {
        const int32_t own = w->labels[w->rows[i]];
        float *q = w->q + (at * w->r + i) * k;
        for (int64_t c = 0; c < k; c++)
            q[c] = own >= 0 ? (c == own ? 1.F : 0.F) : (float)w->probs[w->rows[i] * k + c];
    }
    return WHET_OK;
}

/* The end model `at`. Rows behind the evenly spaced ones are labels: of those, the split's. */
static void teach(void *arg, int64_t at, int32_t worker) {
    const weak *w = arg;
    const int64_t k = w->pool->k, d = w->pool->d, spread = w->r - w->b;
    double *q = w->work + worker * w->work_size, *weight = q + w->r * k, *room = weight + w->r;
    const whet_i_split *split = w->split ? &w->split[at] : NULL;
    const int64_t n_labels = split ? split->n_train : w->b;
    const double each = n_labels ? LABELS_SHARE * (double)spread / (double)n_labels : 0;
    for (int64_t i = 0; i < w->r * k; i++) q[i] = (double)w->q[at * w->r * k + i];
    for (int64_t i = 0; i < w->r; i++) weight[i] = i < spread ? 1 : split ? 0 : fmax(each, 1);
    for (int64_t i = 0; split && i < split->n_train; i++)
        weight[spread + split->train[i]] = fmax(each, 1);
    whet_i_linear_model *m = &w->linear[at];
    (void)whet_i_soft_logistic_solve(w->z, w->r, d, q, weight, k, PENALTY, &w->sketch, TOLERANCE,
                                     STEPS, m->weight, room);
    memcpy(m->bias, m->weight + d * k, (size_t)k * sizeof *m->bias);
}

/* ---- cross-fitting ------------------------------------------------------------------------------ */

static void predict_held(const weak *w, double *probs) {
    const whet_i_trial *t = w->trial;
    const int64_t k = w->pool->k, d = w->pool->d;
    for (int64_t at = 0; at < w->models; at++) {
        const whet_i_split *split = &t->splits.split[at];
        const whet_i_linear_model *m = &w->linear[at];
        for (int64_t i = 0; i < split->n_held; i++) {
            double *row = probs + split->held[i] * k;
            const double *x = t->labelled[WHET_I_RAW] + split->held[i] * d;
            memcpy(row, m->bias, (size_t)k * sizeof *row);
            for (int64_t j = 0; j < d; j++)
                for (int64_t c = 0; c < k; c++) row[c] += x[j] * m->weight[j * k + c];
            whet_i_softmax(row, k);
        }
    }
    for (int64_t repeat = 1; repeat < t->splits.repeats; repeat++)
        memcpy(probs + repeat * t->b * k, probs, (size_t)(t->b * k) * sizeof *probs);
}

static whet_status crossfit_by(whet_ctx *ctx, const whet_i_trial *trial, labeller label,
                               whet_i_result *out) {
    const whet_i_pool *pool = trial->pool;
    weak w = {
        .trial = trial, .pool = pool, .label = label, .b = trial->b, .split = trial->splits.split};
    whet_status status = WHET_OK;
    int64_t cells;
    WHET_TRY_DONE(whet_i_mul(ctx, trial->cases, pool->k, &cells));
    WHET_TRY_DONE(make_weak(ctx, trial->rows, trial->splits.folds, &w));
    for (int64_t at = 0; at < w.models; at++) {
        const whet_i_split *split = &trial->splits.split[at];
        for (int64_t i = 0; i < pool->n; i++) w.labels[i] = -1;
        for (int64_t i = 0; i < split->n_train; i++)
            w.labels[trial->rows[split->train[i]]] = trial->y[split->train[i]];
        WHET_TRY_DONE(ask_labeller(ctx, &w, at));
    }
    WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, w.models, teach, &w));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &out->probs));
    predict_held(&w, out->probs);
    WHET_TRY_DONE(whet_i_temperature_fit(ctx, out->probs, trial->cases, pool->k, trial->case_y,
                                         &out->settings.temperature, &out->log_loss));
    whet_i_temper(out->probs, trial->cases, pool->k, out->settings.temperature);
    out->settings.inner = 1;
    (void)snprintf(out->words, sizeof out->words, "end model of C %g, temperature %.2f", PENALTY,
                   out->settings.temperature);
done:
    free_weak(ctx, &w);
    return status;
}

/* ---- fitting ------------------------------------------------------------------------------------ */

static whet_status fit_by(whet_ctx *ctx, const whet_i_trial *trial, labeller label,
                          const whet_i_settings *settings, void **model) {
    const whet_i_pool *pool = trial->pool;
    weak w = {.trial = trial, .pool = pool, .label = label, .b = pool->b};
    whet_status status = WHET_OK;
    whet_i_base *m = NULL;
    WHET_TRY_DONE(make_weak(ctx, pool->rows, 1, &w));
    memcpy(w.labels, pool->labels, (size_t)pool->n * sizeof *w.labels);
    WHET_TRY_DONE(ask_labeller(ctx, &w, 0));
    teach(&w, 0, 0);
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &m));
    WHET_TRY_DONE(whet_i_base_make(ctx, pool->d, pool->k, pool->k, m));
    memcpy(m->linear.weight, w.linear->weight,
           (size_t)(pool->d * pool->k) * sizeof *m->linear.weight);
    memcpy(m->linear.bias, w.linear->bias, (size_t)pool->k * sizeof *m->linear.bias);
    for (int32_t c = 0; c < pool->k; c++) m->linear.classes[c] = c;
    WHET_TRY_DONE(whet_i_base_complete(ctx, trial, WHET_I_RAW, settings, m));
    *model = m;
    m = NULL;
done:
    whet_i_base_model_destroy(ctx, m);
    free_weak(ctx, &w);
    return status;
}

/* ---- the candidates ----------------------------------------------------------------------------- */

static labeller labeller_of(const whet_i_candidate *self) {
    if (self == &whet_i_candidate_snuba) return label_by_snuba;
    if (self == &whet_i_candidate_iws) return label_by_iws;
    if (self == &whet_i_candidate_goggles) return label_by_goggles;
    return label_by_propagation;
}

static whet_status crossfit(whet_ctx *ctx, const whet_i_candidate *self, whet_i_trial *trial,
                            const whet_i_result *prior, whet_i_result *out) {
    (void)prior;
    return crossfit_by(ctx, trial, labeller_of(self), out);
}

static whet_status fit(whet_ctx *ctx, const whet_i_candidate *self, const whet_i_trial *trial,
                       const whet_i_settings *settings, const void *prior_model, void **model) {
    (void)prior_model;
    return fit_by(ctx, trial, labeller_of(self), settings, model);
}

static whet_status teach_pool(whet_ctx *ctx, const whet_i_candidate *self, const whet_i_pool *pool,
                              double *probs) {
    weak w = {.pool = pool, .label = labeller_of(self), .labels = pool->labels, .probs = probs};
    whet_status status = name_classes(ctx, &w);
    if (status == WHET_OK) status = run_labeller(ctx, &w, 0);
    whet_names_destroy(ctx, w.classes);
    return status;
}

#define WEAK_CANDIDATE(name_, title_) \
    { \
        .name = name_, .title = title_, .view = WHET_I_RAW, .on_request = true, .blends = true, \
        .crossfit = crossfit, .fit = fit, .predict = whet_i_base_model_predict_raw, \
        .save = whet_i_base_model_save, .load = whet_i_base_model_load, \
        .destroy = whet_i_base_model_destroy, .teach = teach_pool \
    }

const whet_i_candidate whet_i_candidate_snuba =
    WEAK_CANDIDATE("snuba", "end model on labels by Snuba's rules");
const whet_i_candidate whet_i_candidate_iws =
    WEAK_CANDIDATE("iws", "end model on labels by rules found useful");
const whet_i_candidate whet_i_candidate_goggles =
    WEAK_CANDIDATE("goggles", "end model on labels by affinity mixtures");
const whet_i_candidate whet_i_candidate_propagate =
    WEAK_CANDIDATE("propagate", "end model on labels propagated over neighbours");
