/* SPDX-License-Identifier: Apache-2.0
 * Tuned encoders on labels held out. Folds of the labels: each is held out of everything, candidates
 * included, which are fitted again with the others; the candidate of the kind that was chosen may
 * teach, and predicts the held-out rows, and so do the tuned encoders. All are brought to their best
 * temperature on the held-out rows. Legend: n rows of the pool, b labels, d features, k classes. */
#include <math.h>

#include "adapt/tuned_fit.h"
#include "adapt/tuning.h"

#define STREAM 0x656e646dU
#define ROUNDING 1e-9 /* of a mean log loss */

void whet_i_held_free(whet_ctx *ctx, whet_i_held *h) {
    void *const all[] = {h->rows, h->y, h->fold, h->labels, h->teach, h->without, h->with};
    for (int64_t i = 0; i < WHET_COUNT_OF(all); i++) whet_i_free(ctx, all[i]);
    *h = (whet_i_held){0};
}

/* A group into one fold. */
static whet_status deal(whet_ctx *ctx, const whet_i_run *run, whet_i_held *h) {
    int64_t *alike = NULL;
    whet_status status = WHET_OK;
    if (run->groups) {
        WHET_TRY(whet_i_alloc(ctx, h->b, &alike));
        status = whet_i_alike(ctx, run->groups, (int64_t)sizeof *run->groups, h->rows, h->b, alike);
    }
    if (status == WHET_OK)
        status = whet_i_stratified_folds(ctx, h->y, alike, h->b, h->k, WHET_I_TUNE_FOLDS,
                                         run->job->seed, STREAM, h->fold);
    whet_i_free(ctx, alike);
    return status;
}

whet_status whet_i_held_make(whet_ctx *ctx, const whet_i_run *run, whet_i_held *h) {
    const int64_t n = run->train.n;
    int64_t pool, cases, all;
    h->k = whet_names_count(run->classes);
    for (int64_t i = 0; i < n; i++) h->b += run->train.labels[i] >= 0;
    WHET_TRY(whet_i_mul(ctx, n, h->k, &pool));
    WHET_TRY(whet_i_mul(ctx, h->b, h->k, &cases));
    WHET_TRY(whet_i_mul(ctx, run->tuning.n * WHET_I_MOST_HEADS, cases, &all));
    WHET_TRY(whet_i_alloc(ctx, h->b, &h->rows));
    WHET_TRY(whet_i_alloc(ctx, h->b, &h->y));
    WHET_TRY(whet_i_alloc(ctx, h->b, &h->fold));
    WHET_TRY(whet_i_alloc(ctx, n, &h->labels));
    WHET_TRY(whet_i_alloc(ctx, pool, &h->teach));
    WHET_TRY(whet_i_alloc(ctx, cases, &h->without));
    WHET_TRY(whet_i_alloc(ctx, all, &h->with));
    for (int64_t i = 0, at = 0; i < n; i++) {
        if (run->train.labels[i] < 0) continue;
        h->rows[at] = i;
        h->y[at++] = run->train.labels[i];
    }
    return deal(ctx, run, h);
}

void whet_i_hold_out(const whet_i_run *run, int32_t fold, whet_i_held *h) {
    for (int64_t i = 0; i < run->train.n; i++) h->labels[i] = WHET_LABEL_NONE;
    for (int64_t i = 0; i < h->b; i++)
        if (h->fold[i] != fold) h->labels[h->rows[i]] = h->y[i];
}

/* Whether a label of the fold is of a class that others of it are left to learn from. */
static bool can_be_learnt(const whet_i_held *h, int32_t fold) {
    for (int64_t i = 0; i < h->b; i++)
        for (int64_t j = 0; h->fold[i] == fold && j < h->b; j++)
            if (h->fold[j] != fold && h->y[j] == h->y[i]) return true;
    return false;
}

bool whet_i_held_tells(const whet_i_held *h) {
    for (int32_t fold = 0; fold < WHET_I_TUNE_FOLDS; fold++) {
        int64_t left = -1;
        bool two = false;
        for (int64_t i = 0; i < h->b; i++) {
            if (h->fold[i] == fold) continue;
            if (left < 0) left = h->y[i];
            two = two || h->y[i] != left;
        }
        if (!two || !can_be_learnt(h, fold)) return false;
    }
    return true;
}

/* ---- a fold ------------------------------------------------------------------------------------ */

/* Puts rows of the fold to their places, from probs [rows of the fold, k]. */
static void place(const whet_i_held *h, int32_t fold, const double *probs, double *out) {
    for (int64_t i = 0, at = 0; i < h->b; i++)
        if (h->fold[i] == fold)
            memcpy(out + i * h->k, probs + h->k * at++, (size_t)h->k * sizeof *probs);
}

static whet_status predict_without(whet_ctx *ctx, const whet_i_run *run, const whet_adapt_fit *fit,
                                   int32_t fold, whet_i_held *h) {
    const int64_t d = run->d;
    float *x = NULL;
    double *probs = NULL;
    int64_t m = 0, cells;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_mul(ctx, h->b, d, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &x));
    WHET_TRY_DONE(whet_i_alloc(ctx, h->b * h->k, &probs));
    for (int64_t i = 0; i < h->b; i++)
        if (h->fold[i] == fold)
            memcpy(x + d * m++, run->train.features + h->rows[i] * d, (size_t)d * sizeof *x);
    WHET_TRY_DONE(whet_adapt_fit_predict(ctx, fit, run->tuning.teacher, x, m, probs));
    place(h, fold, probs, h->without);
done:
    whet_i_free(ctx, probs);
    whet_i_free(ctx, x);
    return status;
}

/* The candidate that was chosen, on the fold's labels; one repeat of cross-fitting settles its settings. */
whet_status whet_i_held_fit(whet_ctx *ctx, const whet_i_run *run, int32_t fold, whet_i_held *h) {
    whet_adapt_opts opts = WHET_ADAPT_OPTS_INIT;
    whet_adapt_fit *fit = NULL;
    whet_status status = WHET_OK;
    opts.seed = run->job->seed;
    opts.method = run->job->method;
    opts.groups = run->groups;
    opts.repeats = 1;
    whet_i_hold_out(run, fold, h);
    const whet_adapt_input input = {run->train.features, run->train.n, run->d,
                                    h->labels,           run->classes, run->class_vectors};
    WHET_TRY_DONE(whet_i_fit_again(ctx, run->fit, run->tuning.teacher, &input, &opts, &fit));
    WHET_TRY_DONE(predict_without(ctx, run, fit, fold, h));
    for (int64_t c = 0; c < run->tuning.n; c++) {
        if (run->tuning.tried[c].lesson->rows != WHET_I_LESSON_POOL) continue;
        status = whet_i_fit_teach(ctx, fit, run->tuning.teacher, run->train.features, run->train.n,
                                  h->teach);
        break;
    }
done:
    whet_adapt_fit_destroy(ctx, fit);
    return status;
}

whet_status whet_i_held_try(whet_ctx *ctx, whet_i_run *run, int32_t fold, int64_t at,
                            whet_i_pace *pace, whet_i_held *h) {
    const double begun = whet_i_seconds_now();
    whet_i_contender *c = &run->tuning.tried[at];
    const whet_i_pupil pupil = {run, c->lesson, h->labels, h->teach, false, pace};
    const int64_t heads = whet_i_lesson_heads(c->lesson), cases = h->b * h->k;
    whet_str *texts = NULL;
    double *probs = NULL;
    int64_t m = 0;
    whet_status status = WHET_OK;
    whet_i_hold_out(run, fold, h);
    WHET_TRY_DONE(whet_i_alloc(ctx, h->b, &texts));
    WHET_TRY_DONE(whet_i_alloc(ctx, heads * cases, &probs));
    for (int64_t i = 0; i < h->b; i++)
        if (h->fold[i] == fold) texts[m++] = run->train.texts[h->rows[i]];
    WHET_TRY_DONE(whet_i_tune_and_predict(ctx, &pupil, texts, m, probs));
    for (int64_t head = 0; !pace->late && head < heads; head++)
        place(h, fold, probs + head * m * h->k, whet_i_held_with(h, at, head));
    c->n_heads = heads;
    c->folds += !pace->late;
    c->seconds += whet_i_seconds_now() - begun;
done:
    whet_i_free(ctx, probs);
    whet_i_free(ctx, texts);
    return status;
}

/* ---- what the labels say ------------------------------------------------------------------------ */

whet_status whet_i_held_loss(whet_ctx *ctx, const whet_i_held *h, int32_t fold, double *probs,
                             double *temperature, double *loss) {
    const int64_t k = h->k;
    double *some = NULL;
    int32_t *y = NULL;
    int64_t m = 0;
    whet_status status = WHET_OK;
    if (fold < 0) {
        WHET_TRY(whet_i_temperature_fit(ctx, probs, h->b, k, h->y, temperature, loss));
        whet_i_temper(probs, h->b, k, *temperature);
        return WHET_OK;
    }
    WHET_TRY_DONE(whet_i_alloc(ctx, h->b * k, &some));
    WHET_TRY_DONE(whet_i_alloc(ctx, h->b, &y));
    for (int64_t i = 0; i < h->b; i++) {
        if (h->fold[i] != fold) continue;
        memcpy(some + m * k, probs + i * k, (size_t)k * sizeof *some);
        y[m++] = h->y[i];
    }
    status = whet_i_temperature_fit(ctx, some, m, k, y, temperature, loss);
done:
    whet_i_free(ctx, y);
    whet_i_free(ctx, some);
    return status;
}

static double accuracy_of(const whet_i_held *h, const double *probs) {
    int64_t hits = 0;
    for (int64_t i = 0; i < h->b; i++) hits += whet_i_argmax(probs + i * h->k, h->k) == h->y[i];
    return (double)hits / (double)h->b;
}

/* Mean gain in log loss over h->without and its standard error, over labels. */
static void gain_of(const whet_i_held *h, const double *with, whet_i_contender *c) {
    double sum = 0, square = 0;
    for (int64_t i = 0; i < h->b; i++) {
        const int64_t cell = i * h->k + h->y[i];
        const double gain = log(fmax(with[cell], WHET_I_PROB_FLOOR)) -
                            log(fmax(h->without[cell], WHET_I_PROB_FLOOR));
        sum += gain;
        square += gain * gain;
    }
    c->gain = sum / (double)h->b;
    const double spread = fmax(0, square / (double)h->b - c->gain * c->gain);
    c->error = sqrt(spread / (double)(h->b - 1));
}

/* The head of least log loss on all folds but one (-1: on all). The first, the lesson's own, where no
 * other is better by more than rounding. */
static int64_t best_head(const whet_i_held *h, int64_t at, int64_t heads, int32_t fold) {
    int64_t best = 0;
    double least = (double)INFINITY;
    for (int64_t head = 0; head < heads; head++) {
        const double *probs = whet_i_held_with(h, at, head);
        double loss = 0;
        for (int64_t i = 0; i < h->b; i++)
            if (h->fold[i] != fold) loss -= log(fmax(probs[i * h->k + h->y[i]], WHET_I_PROB_FLOOR));
        if (!(loss < least - ROUNDING * (double)h->b)) continue;
        least = loss;
        best = head;
    }
    return best;
}

/* Averaged with the candidate where that loses less: probs [b, k]. Half and half, the one share that no
 * label has chosen. */
static void average(const whet_i_held *h, double *probs, whet_i_contender *c) {
    double loss = 0;
    for (int64_t i = 0; i < h->b; i++) {
        const int64_t cell = i * h->k + h->y[i];
        loss -= log(fmax((probs[cell] + h->without[cell]) / 2, WHET_I_PROB_FLOOR));
    }
    if (!(loss / (double)h->b < c->alone - ROUNDING)) return;
    c->share = .5;
    for (int64_t i = 0; i < h->b * h->k; i++) probs[i] = (probs[i] + h->without[i]) / 2;
}

/* Figures of contender `at`. A fold is predicted by the head that is best on the others, so that no label
 * has a say in what judges it; the head that is kept is the best on all. */
static whet_status compare(whet_ctx *ctx, const whet_i_held *h, int64_t at, bool averages,
                           whet_i_contender *c) {
    double *probs;
    for (int64_t head = 0; head < c->n_heads; head++) {
        whet_i_head_score *s = &c->heads[head];
        double *with = whet_i_held_with(h, at, head);
        WHET_TRY(whet_i_held_loss(ctx, h, -1, with, &s->temperature, &s->log_loss));
        s->accuracy = accuracy_of(h, with);
    }
    c->head = best_head(h, at, c->n_heads, -1);
    WHET_TRY(whet_i_alloc(ctx, h->b * h->k, &probs));
    for (int64_t i = 0; i < h->b; i++) {
        const int64_t head = best_head(h, at, c->n_heads, h->fold[i]);
        memcpy(probs + i * h->k, whet_i_held_with(h, at, head) + i * h->k,
               (size_t)h->k * sizeof *probs);
    }
    c->alone = whet_i_log_loss(probs, h->b, h->k, h->y);
    if (averages) average(h, probs, c);
    c->log_loss = whet_i_log_loss(probs, h->b, h->k, h->y);
    c->accuracy = accuracy_of(h, probs);
    gain_of(h, probs, c);
    c->held = probs;
    return WHET_OK;
}

whet_status whet_i_held_compare(whet_ctx *ctx, whet_i_held *h, bool averages, whet_i_tuning *t) {
    double temperature;
    WHET_TRY(whet_i_held_loss(ctx, h, -1, h->without, &temperature, &t->log_loss_without));
    t->accuracy_without = accuracy_of(h, h->without);
    for (int64_t at = 0; at < t->n; at++)
        if (t->tried[at].folds == WHET_I_TUNE_FOLDS)
            WHET_TRY(compare(ctx, h, at, averages, &t->tried[at]));
    return WHET_OK;
}
