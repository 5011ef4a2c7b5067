/* SPDX-License-Identifier: Apache-2.0
 * The end model: whether an encoder that learns from the chosen candidate's probabilities predicts better
 * than that candidate does, asked of labels that neither has seen.
 *
 * Folds of the labels: each is held out of everything, candidates included, which are fitted again with the
 * others; the candidate of the kind that was chosen teaches the encoder and predicts the held-out rows, and
 * so does the encoder. Both are brought to their best temperature on the held-out rows. As elsewhere, the
 * encoder is kept where its mean gain in log loss is more than one standard error over labels.
 * Cost: FOLDS + 1 training runs; three folds, since each is one.
 * Legend: n rows of the pool, b labels, d features, k classes. */
#include "adapt/end_model.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

#include "adapt/tuned_fit.h"
#include "label/label_i.h"

enum { FOLDS = 3 };
#define STREAM 0x656e646dU

void whet_i_end_model_free(whet_ctx *ctx, whet_i_end_model *end) {
    whet_adapt_fit_destroy(ctx, end->fit);
    whet_encoder_destroy(ctx, end->encoder);
    *end = (whet_i_end_model){0};
}

/* ---- one fold --------------------------------------------------------------------------------- */

typedef struct held {
    int64_t b, k;
    int64_t *rows;   /* [b] labelled rows of the pool */
    int32_t *y;      /* [b] */
    int32_t *fold;   /* [b] */
    int32_t *labels; /* [n] of a fit */
    double *teach;   /* [n, k] what it says of the pool */
    double *without; /* [b, k] held-out probabilities of the chosen candidate */
    double *with;    /* [b, k] and of the tuned encoder */
} held;

static void free_held(whet_ctx *ctx, held *h) {
    void *const all[] = {h->rows, h->y, h->fold, h->labels, h->teach, h->without, h->with};
    for (int64_t i = 0; i < WHET_COUNT_OF(all); i++) whet_i_free(ctx, all[i]);
}

static whet_status make_held(whet_ctx *ctx, const whet_i_run *run, held *h) {
    const int64_t n = run->train.n;
    int64_t pool, cases;
    h->k = whet_names_count(run->classes);
    for (int64_t i = 0; i < n; i++) h->b += run->train.labels[i] >= 0;
    WHET_TRY(whet_i_mul(ctx, n, h->k, &pool));
    WHET_TRY(whet_i_mul(ctx, h->b, h->k, &cases));
    WHET_TRY(whet_i_alloc(ctx, h->b, &h->rows));
    WHET_TRY(whet_i_alloc(ctx, h->b, &h->y));
    WHET_TRY(whet_i_alloc(ctx, h->b, &h->fold));
    WHET_TRY(whet_i_alloc(ctx, n, &h->labels));
    WHET_TRY(whet_i_alloc(ctx, pool, &h->teach));
    WHET_TRY(whet_i_alloc(ctx, cases, &h->without));
    WHET_TRY(whet_i_alloc(ctx, cases, &h->with));
    for (int64_t i = 0, at = 0; i < n; i++) {
        if (run->train.labels[i] < 0) continue;
        h->rows[at] = i;
        h->y[at++] = run->train.labels[i];
    }
    return whet_i_stratified_folds(ctx, h->y, h->b, h->k, FOLDS, run->job->seed, STREAM, h->fold);
}

/* Labels of all folds but one (-1: of all). */
static void hold_out(const whet_i_run *run, int32_t fold, held *h) {
    for (int64_t i = 0; i < run->train.n; i++) h->labels[i] = WHET_LABEL_NONE;
    for (int64_t i = 0; i < h->b; i++)
        if (h->fold[i] != fold) h->labels[h->rows[i]] = h->y[i];
}

/* Each fold leaves labels of two classes, and holds one out. */
static bool can_hold_out(const held *h) {
    for (int32_t fold = 0; fold < FOLDS; fold++) {
        int64_t left = -1, out = 0;
        bool two = false;
        for (int64_t i = 0; i < h->b; i++) {
            if (h->fold[i] == fold)
                out++;
            else if (left < 0)
                left = h->y[i];
            else
                two = two || h->y[i] != left;
        }
        if (!two || out == 0) return false;
    }
    return true;
}

/* Features of texts by the tuned encoder, then its head at temperature 1. */
static whet_status predict_texts(whet_ctx *ctx, const whet_i_tuned *t, const whet_str *texts,
                                 int64_t n, double *probs) {
    float *x;
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, n, t->d, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &x));
    const whet_status status = whet_encoder_embed(ctx, t->encoder, texts, n, x);
    for (int64_t i = 0; status == WHET_OK && i < n; i++) {
        double *row = probs + i * t->k;
        for (int64_t c = 0; c < t->k; c++) {
            row[c] = (double)t->bias[c];
            for (int64_t j = 0; j < t->d; j++)
                row[c] += (double)t->weight[c * t->d + j] * (double)x[i * t->d + j];
        }
        whet_i_softmax(row, t->k);
    }
    whet_i_free(ctx, x);
    return status;
}

/* Held-out probabilities of the fitted candidate and of the tuned encoder, to their places in `held`. */
static whet_status predict_held(whet_ctx *ctx, const whet_i_run *run, const whet_adapt_fit *fit,
                                const whet_i_tuned *tuned, int32_t fold, held *h) {
    const int64_t d = run->d, k = h->k;
    float *x = NULL;
    whet_str *texts = NULL;
    double *probs = NULL;
    int64_t *cases = NULL, m = 0, cells;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_mul(ctx, h->b, d, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &x));
    WHET_TRY_DONE(whet_i_alloc(ctx, h->b, &texts));
    WHET_TRY_DONE(whet_i_alloc(ctx, h->b, &cases));
    WHET_TRY_DONE(whet_i_alloc(ctx, h->b * k, &probs));
    for (int64_t i = 0; i < h->b; i++) {
        if (h->fold[i] != fold) continue;
        texts[m] = run->train.texts[h->rows[i]];
        memcpy(x + m * d, run->train.features + h->rows[i] * d, (size_t)d * sizeof *x);
        cases[m++] = i;
    }
    WHET_TRY_DONE(whet_adapt_fit_predict(ctx, fit, run->end.teacher, x, m, probs));
    for (int64_t i = 0; i < m; i++)
        memcpy(h->without + cases[i] * k, probs + i * k, (size_t)k * sizeof *probs);
    WHET_TRY_DONE(predict_texts(ctx, tuned, texts, m, probs));
    for (int64_t i = 0; i < m; i++)
        memcpy(h->with + cases[i] * k, probs + i * k, (size_t)k * sizeof *probs);
done:
    whet_i_free(ctx, probs);
    whet_i_free(ctx, cases);
    whet_i_free(ctx, texts);
    whet_i_free(ctx, x);
    return status;
}

/* The candidates on the labels of h: one repeat of cross-fitting settles their settings. */
static whet_status fit_candidates(whet_ctx *ctx, const whet_i_run *run, const held *h,
                                  whet_adapt_fit **out) {
    const whet_adapt_input input = {run->train.features, run->train.n, run->d,
                                    h->labels,           run->classes, run->class_vectors};
    whet_adapt_opts opts = WHET_ADAPT_OPTS_INIT;
    opts.seed = run->job->seed;
    opts.method = run->job->method;
    opts.repeats = 1;
    return whet_adapt_train(ctx, &input, &opts, out);
}

static whet_status try_fold(whet_ctx *ctx, const whet_i_run *run, const char *dir, int32_t fold,
                            held *h) {
    whet_adapt_fit *fit = NULL;
    whet_i_tuned tuned = {0};
    whet_out_dir *folder = NULL;
    char *path = NULL;
    whet_status status = WHET_OK;
    whet_i_log(ctx, WHET_LOG_INFO, "end model: tuning on the labels of all folds but %d of %d",
               fold + 1, FOLDS);
    hold_out(run, fold, h);
    WHET_TRY_DONE(fit_candidates(ctx, run, h, &fit));
    WHET_TRY_DONE(
        whet_i_fit_teach(ctx, fit, run->end.teacher, run->train.features, run->train.n, h->teach));
    /* Never put in place: gone with what is in it. */
    WHET_TRY_DONE(whet_i_join_path(ctx, dir, "fold", &path));
    WHET_TRY_DONE(whet_out_dir_open(ctx, path, false, &folder));
    WHET_TRY_DONE(
        whet_i_tune_encoder(ctx, run, h->labels, h->teach, whet_out_dir_path(folder), &tuned));
    WHET_TRY_DONE(predict_held(ctx, run, fit, &tuned, fold, h));
done:
    whet_i_tuned_free(ctx, &tuned);
    whet_out_dir_abort(ctx, folder);
    whet_i_free(ctx, path);
    whet_adapt_fit_destroy(ctx, fit);
    return status;
}

/* ---- the choice ------------------------------------------------------------------------------- */

static double accuracy_of(const held *h, const double *probs) {
    int64_t hits = 0;
    for (int64_t i = 0; i < h->b; i++) hits += whet_i_argmax(probs + i * h->k, h->k) == h->y[i];
    return (double)hits / (double)h->b;
}

/* Calibrates both on the held-out rows; mean gain and its standard error. */
static whet_status compare(whet_ctx *ctx, held *h, whet_i_end_model *e) {
    double temperature, sum = 0, square = 0;
    WHET_TRY(whet_i_temperature_fit(ctx, h->without, h->b, h->k, h->y, &temperature,
                                    &e->log_loss_without));
    whet_i_temper(h->without, h->b, h->k, temperature);
    WHET_TRY(whet_i_temperature_fit(ctx, h->with, h->b, h->k, h->y, &e->temperature, &e->log_loss));
    whet_i_temper(h->with, h->b, h->k, e->temperature);
    for (int64_t i = 0; i < h->b; i++) {
        const int64_t cell = i * h->k + h->y[i];
        const double gain = log(fmax(h->with[cell], WHET_I_PROB_FLOOR)) -
                            log(fmax(h->without[cell], WHET_I_PROB_FLOOR));
        sum += gain;
        square += gain * gain;
    }
    e->gain = sum / (double)h->b;
    const double spread = fmax(0, square / (double)h->b - e->gain * e->gain);
    e->error = sqrt(spread / (double)(h->b - 1));
    e->accuracy = accuracy_of(h, h->with);
    e->accuracy_without = accuracy_of(h, h->without);
    return WHET_OK;
}

static void decide(const whet_i_run *run, const held *h, whet_i_end_model *e) {
    const bool asked = run->job->end_model == WHET_END_ENCODER;
    const char *teacher = whet_adapt_fit_info(run->fit, e->teacher)->name;
    char figures[256] = "too few labels to hold any out";
    const bool better = e->folds && e->gain > e->error;
    e->kept = asked || better;
    if (e->folds)
        (void)snprintf(
            figures, sizeof figures,
            "on %lld labels held out of all, its log loss is %.3f and that of %s %.3f, a "
            "gain of %.3f +- %.3f",
            (long long)h->b, e->log_loss, teacher, e->log_loss_without, e->gain, e->error);
    (void)snprintf(e->reason, sizeof e->reason,
                   "The encoder was tuned on the probabilities of %s and %s: %s.", teacher,
                   asked    ? "taken as asked"
                   : better ? "kept"
                            : "not kept",
                   figures);
    if (!e->kept) (void)snprintf(e->note, sizeof e->note, "not kept: %s", figures);
    (void)snprintf(e->words, sizeof e->words, "taught by %s, %d epochs, temperature %.2f", teacher,
                   WHET_I_TUNE_EPOCHS, e->temperature);
}

static void describe(const whet_i_run *run, const held *h, whet_i_end_model *e) {
    const whet_candidate_info *listed = whet_adapt_fit_info(run->fit, e->place);
    e->info = (whet_candidate_info){.name = listed->name,
                                    .title = listed->title,
                                    .settings = e->words,
                                    .available = e->kept,
                                    .note = e->note,
                                    .accuracy = (double)NAN,
                                    .accuracy_low = (double)NAN,
                                    .accuracy_high = (double)NAN,
                                    .log_loss = e->log_loss};
    if (!e->folds) return;
    e->info.accuracy = e->accuracy;
    whet_wilson(llround(e->accuracy * (double)h->b), h->b, &e->info.accuracy_low,
                &e->info.accuracy_high);
}

/* ---- the encoder on all labels ----------------------------------------------------------------- */

static whet_status make_folder(whet_ctx *ctx, const char *path) {
    if (mkdir(path, 0777) == 0) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_IO, "%s: %s; expected to make this folder", path,
                       strerror(errno));
}

static whet_status tune_on_all(whet_ctx *ctx, whet_i_run *run, const char *dir, held *h) {
    whet_i_end_model *e = &run->end;
    whet_i_tuned tuned = {0};
    char *classifier = NULL, *folder = NULL;
    whet_status status = WHET_OK;
    whet_i_log(ctx, WHET_LOG_INFO, "end model: tuning on all labels");
    hold_out(run, -1, h);
    WHET_TRY_DONE(whet_i_join_path(ctx, dir, "classifier", &classifier));
    WHET_TRY_DONE(whet_i_join_path(ctx, classifier, WHET_I_END_MODEL_FOLDER, &folder));
    WHET_TRY_DONE(make_folder(ctx, classifier));
    WHET_TRY_DONE(make_folder(ctx, folder));
    WHET_TRY_DONE(
        whet_i_fit_teach(ctx, run->fit, e->teacher, run->train.features, run->train.n, h->teach));
    WHET_TRY_DONE(whet_i_tune_encoder(ctx, run, h->labels, h->teach, folder, &tuned));
    WHET_TRY_DONE(whet_i_tuned_fit_make(ctx, run->classes, run->d, tuned.weight, tuned.bias,
                                        e->temperature, e->words, &e->fit));
    e->encoder = tuned.encoder;
    tuned.encoder = NULL;
done:
    whet_i_tuned_free(ctx, &tuned);
    whet_i_free(ctx, folder);
    whet_i_free(ctx, classifier);
    return status;
}

whet_status whet_i_end_model_predict(whet_ctx *ctx, const whet_i_run *run, const whet_str *texts,
                                     int64_t n, double *probs) {
    float *x;
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, n, run->d, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &x));
    whet_status status = whet_encoder_embed(ctx, run->end.encoder, texts, n, x);
    if (status == WHET_OK)
        status = whet_adapt_fit_predict(ctx, run->end.fit, run->end.place, x, n, probs);
    whet_i_free(ctx, x);
    return status;
}

whet_status whet_i_run_end_model(whet_ctx *ctx, whet_i_run *run, const char *dir) {
    whet_i_end_model *e = &run->end;
    held h = {0};
    whet_status status = WHET_OK;
    e->place = whet_i_encoder_place();
    if (run->job->end_model == WHET_END_LOGISTIC) return WHET_OK;
    e->teacher = whet_adapt_fit_chosen(run->fit);
    e->temperature = 1;
    e->log_loss = e->log_loss_without = e->gain = e->error = (double)NAN;
    WHET_TRY_DONE(make_held(ctx, run, &h));
    if (can_hold_out(&h)) {
        e->folds = FOLDS;
        for (int32_t fold = 0; fold < FOLDS; fold++)
            WHET_TRY_DONE(try_fold(ctx, run, dir, fold, &h));
        WHET_TRY_DONE(compare(ctx, &h, e));
    }
    decide(run, &h, e);
    describe(run, &h, e);
    if (e->kept) WHET_TRY_DONE(tune_on_all(ctx, run, dir, &h));
done:
    free_held(ctx, &h);
    return status;
}
