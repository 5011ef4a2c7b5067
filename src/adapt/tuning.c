/* SPDX-License-Identifier: Apache-2.0
 * The stage that tunes the encoder: lessons that the job asks for are tried on labels that are held
 * out of everything, the best is kept where it helps, and learned once more with all labels.
 *
 * Where several contend, all are tried on the first fold and the one that loses least there goes on: a
 * race, since a fold is a training run. Where a contender is not asked for by its name, its probabilities
 * are averaged with the chosen candidate's where that loses less on the held-out labels, and it is kept
 * where what it has come to loses less than that candidate, by more than a tie. Time: a run takes what
 * its bytes of text took so far in training, and what was around that; a contender that would not be done
 * in time, with what must follow it, is passed by, and said to be. What training takes is not known before
 * some of it was done: a run is begun unless there is no hope, and stopped where its first steps say that it
 * would be late. Cost: contenders + FOLDS - 1 training runs, and one more where one is kept. */
#include "adapt/tuning.h"

#include <math.h>
#include <stdio.h>

#include "adapt/head_candidates.h"
#include "adapt/tuned_fit.h"

/* Of what embedding takes a byte of text, what training takes at least: the first texts that are embedded
 * make kernels as well, which of a small table is most of it. */
#define TRAINING_SHARE .25
/* Of a comparison, what fitting the chosen candidate to a fold takes at most: one repeat of five. */
#define FIT_SHARE .2
/* Of the limit, by which the folds behind the first may exceed it. */
#define GRACE .1
/* Of the candidate's log loss, what a gain must be more than: where nothing is to be learned, all lose what
 * the classes' shares do, and an encoder in the folder is not worth a tie. A standard error, which is large
 * with so few labels, leaves real gains behind. */
#define LEAST_GAIN .005

void whet_i_tuning_free(whet_ctx *ctx, whet_i_tuning *t) {
    for (int64_t at = 0; at < t->n; at++) whet_i_free(ctx, t->tried[at].held);
    whet_adapt_fit_destroy(ctx, t->fit);
    whet_encoder_destroy(ctx, t->encoder);
    whet_i_free(ctx, t->features);
    *t = (whet_i_tuning){.place = -1};
}

bool whet_i_tuning_ran(const whet_i_tuning *t) {
    bool ran = t->kept;
    for (int64_t at = 0; at < t->n; at++) ran |= t->tried[at].seconds > 0;
    return ran;
}

/* ---- options ------------------------------------------------------------------------------------ */

whet_status whet_i_tuning_check(whet_ctx *ctx, const whet_adapt_job *job) {
    if (job->end_model < WHET_END_LOGISTIC || job->end_model > WHET_END_AUTO)
        return whet_i_fail(ctx, WHET_ERR_ARG, "end model is number %d; expected one there is",
                           (int)job->end_model);
    if (job->adapter < WHET_ADAPTER_NONE || job->adapter > WHET_ADAPTER_AUTO)
        return whet_i_fail(ctx, WHET_ERR_ARG, "adapter is number %d; expected one there is",
                           (int)job->adapter);
    if (!(job->time_limit >= 0 && job->time_limit <= 1e9))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "the time limit is %g seconds; expected above 0, to 1e9, or 0 for none",
                           job->time_limit);
    if (whet_i_lessons_asked(job) == 0) return WHET_OK;
    const bool named = job->adapter == WHET_ADAPTER_MORE || job->adapter == WHET_ADAPTER_LORA ||
                       job->end_model == WHET_END_ENCODER;
    if (named && job->adapter != WHET_ADAPTER_NONE && job->end_model != WHET_END_LOGISTIC)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "an adapter and an end model both tune the encoder; expected one of "
                           "them, or auto for both");
    if (!job->model || job->features)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "an adapter or end model tunes an encoder; expected texts and a "
                           "pretrained encoder to begin with, not features");
    if (job->space && whet_i_self_space_is(job->space))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "space: embedding:auto embeds names as the texts are, which tuning "
                           "changes; expected another space, or no tuned encoder");
    return WHET_OK;
}

bool whet_i_tuning_is_asked(const whet_adapt_job *job) {
    return whet_i_lessons_asked(job) & (WHET_I_BY_MORE | WHET_I_BY_LORA | WHET_I_BY_ENCODER);
}

static void list_contenders(whet_i_run *run) {
    whet_i_tuning *t = &run->tuning;
    const unsigned bits = whet_i_lessons_asked(run->job);
    for (int64_t i = 0; i < whet_i_lesson_count(); i++) {
        const whet_i_lesson *lesson = &whet_i_lessons[i];
        if (!(lesson->asked_by & bits) || whet_i_lesson_unfit(lesson, run)) continue;
        t->tried[t->n++] = (whet_i_contender){.lesson = lesson,
                                              .share = 1,
                                              .first = (double)NAN,
                                              .alone = (double)NAN,
                                              .log_loss = (double)NAN,
                                              .accuracy = (double)NAN,
                                              .gain = (double)NAN,
                                              .error = (double)NAN,
                                              .heads = {{.temperature = 1}}};
    }
}

/* ---- time --------------------------------------------------------------------------------------- */

typedef struct clock_state {
    double begun;   /* the job */
    double limit;   /* seconds; infinite without */
    double bytes;   /* trained on so far */
    double seconds; /* that took */
    double around;  /* a run's, before and behind its steps */
    double fit;     /* seconds of fitting the candidates to a fold */
    double embed;   /* of the pool and the rows to predict */
    double grace;   /* seconds beyond the limit that do not end what was begun */
} clock_state;

static double bytes_of(const whet_i_run *run, const whet_i_run_rows *rows) {
    double bytes = 0;
    for (int64_t i = 0; i < rows->n; i++) bytes += whet_i_text_bytes(run, rows->texts[i]);
    return bytes;
}

static void start_clock(const whet_i_run *run, clock_state *s) {
    s->begun = run->begun;
    s->limit = run->job->time_limit > 0 ? run->job->time_limit : (double)INFINITY;
    s->embed = run->seconds.embed;
    s->fit = FIT_SHARE * run->seconds.fit;
}

static double seconds_a_byte(const whet_i_run *run, const clock_state *s) {
    if (s->bytes > 0) return s->seconds / s->bytes;
    const double embedded = bytes_of(run, &run->train) + bytes_of(run, &run->test);
    return embedded > 0 ? TRAINING_SHARE * run->texts / embedded : 0;
}

static double seconds_of(const whet_i_run *run, const whet_i_held *h, const clock_state *s,
                         const whet_i_lesson *lesson) {
    const whet_i_pupil pupil = {run, lesson, h->labels, NULL, false, NULL};
    return seconds_a_byte(run, s) * whet_i_lesson_bytes(&pupil) + s->around;
}

/* Seconds that are left for training: without those of fitting the candidates to `folds` further folds, and
 * of embedding anew. */
static double time_left(const clock_state *s, int64_t folds) {
    const double now = whet_i_seconds_now() - s->begun;
    return s->limit + s->grace - now - s->fit * (double)folds - s->embed;
}

/* Whether there is time for `now` seconds, and for what must follow: `folds` further ones of `each` seconds,
 * and once more on all labels. */
static bool is_time(const clock_state *s, double now, double each, int64_t folds) {
    return now + each * (double)(folds + 1) <= time_left(s, folds);
}

double whet_i_tuning_allowed(double left, double of_best, int64_t folds) {
    const double further = (double)(folds + 1);
    return fmin(left / (1 + further), of_best > 0 ? left - further * of_best : left);
}

static double allowed(const clock_state *s, double of_best, int64_t folds) {
    return whet_i_tuning_allowed(time_left(s, folds), of_best, folds);
}

/* *late: it was stopped, its verdict says so, and nothing is known of it. */
static whet_status timed_try(whet_ctx *ctx, whet_i_run *run, int32_t fold, int64_t at,
                             double seconds, whet_i_held *h, clock_state *s, bool *late) {
    whet_i_contender *c = &run->tuning.tried[at];
    const double before = c->seconds;
    whet_i_pace pace = {.until = whet_i_seconds_now() + seconds - s->around};
    whet_i_log(ctx, WHET_LOG_INFO, "tuning: %s on the labels of all folds but %d of %d",
               c->lesson->name, fold + 1, WHET_I_TUNE_FOLDS);
    WHET_TRY(whet_i_held_try(ctx, run, fold, at, &pace, h));
    const whet_i_pupil pupil = {run, c->lesson, h->labels, h->teach, false, NULL};
    const double share = (double)pace.steps / (double)(pace.total ? pace.total : 1);
    s->bytes += share * whet_i_lesson_bytes(&pupil);
    s->seconds += pace.seconds;
    s->around = fmax(s->around, c->seconds - before - pace.seconds);
    *late = pace.late;
    if (pace.late)
        (void)snprintf(c->verdict, sizeof c->verdict,
                       "given up: at %lld of %lld steps in %.1f s it would not be done within %g s",
                       (long long)pace.steps, (long long)pace.total, pace.seconds, s->limit);
    return WHET_OK;
}

#define LATE "not tried: it would not be done within %g s"

/* ---- the race ----------------------------------------------------------------------------------- */

/* Whether contender `at` is done in time with what must follow it, which may be another's. */
static bool has_time(const whet_i_run *run, const whet_i_held *h, const clock_state *s, int64_t at,
                     double of_best) {
    const double now = seconds_of(run, h, s, run->tuning.tried[at].lesson);
    return is_time(s, now, fmax(now, of_best), WHET_I_TUNE_FOLDS - 1);
}

/* Marks those that would not be, before anything is fitted: how many are left. */
static int64_t pass_by(whet_i_run *run, const whet_i_held *h, const clock_state *s) {
    int64_t left = 0;
    for (int64_t at = 0; at < run->tuning.n; at++) {
        whet_i_contender *c = &run->tuning.tried[at];
        if (has_time(run, h, s, at, 0))
            left++;
        else
            (void)snprintf(c->verdict, sizeof c->verdict, LATE, s->limit);
    }
    return left;
}

static whet_status first_fold(whet_ctx *ctx, whet_i_run *run, whet_i_held *h, clock_state *s) {
    whet_i_tuning *t = &run->tuning;
    double least = (double)INFINITY, of_best = 0;
    if (pass_by(run, h, s) == 0) return WHET_OK;
    const double begun = whet_i_seconds_now();
    WHET_TRY(whet_i_held_fit(ctx, run, 0, h));
    s->fit = whet_i_seconds_now() - begun;
    for (int64_t at = 0; at < t->n; at++) {
        whet_i_contender *c = &t->tried[at];
        double temperature;
        bool late;
        if (!has_time(run, h, s, at, of_best)) {
            (void)snprintf(c->verdict, sizeof c->verdict, LATE, s->limit);
            continue;
        }
        const double seconds = allowed(s, of_best, WHET_I_TUNE_FOLDS - 1);
        WHET_TRY(timed_try(ctx, run, 0, at, seconds, h, s, &late));
        if (late) continue;
        WHET_TRY(whet_i_held_loss(ctx, h, 0, whet_i_held_with(h, at, 0), &temperature, &c->first));
        (void)snprintf(c->verdict, sizeof c->verdict,
                       "left behind: log loss %.3f on the first fold", c->first);
        if (!(c->first < least)) continue;
        least = c->first;
        of_best = c->seconds; /* its own, not those of others by their bytes */
        t->best = at;
    }
    return WHET_OK;
}

static whet_status try_all(whet_ctx *ctx, whet_i_run *run, whet_i_held *h, clock_state *s) {
    whet_i_tuning *t = &run->tuning;
    WHET_TRY(first_fold(ctx, run, h, s));
    if (t->best < 0) return WHET_OK;
    whet_i_contender *best = &t->tried[t->best];
    best->verdict[0] = '\0';
    s->grace = GRACE * s->limit;
    for (int32_t fold = 1; fold < WHET_I_TUNE_FOLDS; fold++) {
        const double each = best->seconds / (double)best->folds;
        bool late = !is_time(s, 0, each, WHET_I_TUNE_FOLDS - fold);
        if (late)
            (void)snprintf(best->verdict, sizeof best->verdict,
                           "given up: slower than it seemed, for %g s", s->limit);
        else
            WHET_TRY(whet_i_held_fit(ctx, run, fold, h));
        const double seconds = allowed(s, 0, WHET_I_TUNE_FOLDS - 1 - fold);
        if (!late) WHET_TRY(timed_try(ctx, run, fold, t->best, seconds, h, s, &late));
        if (!late) continue;
        t->best = -1;
        return WHET_OK;
    }
    t->folds = WHET_I_TUNE_FOLDS;
    return whet_i_held_compare(ctx, h, !whet_i_tuning_is_asked(run->job), t);
}

static bool is_passed_by(const whet_i_tuning *t) {
    bool any = false;
    for (int64_t at = 0; at < t->n; at++) any |= t->tried[at].verdict[0] != '\0';
    return any;
}

/* What the limit ended, once: who waits is to know why nothing is tuned, or less than there was to try. */
static void tell_limit(whet_ctx *ctx, const whet_i_run *run) {
    const whet_i_tuning *t = &run->tuning;
    const double limit = run->job->time_limit;
    const whet_i_contender *given_up = NULL;
    bool tried = false;
    if (!(limit > 0)) return;
    for (int64_t at = 0; at < t->n; at++) {
        tried |= t->tried[at].seconds > 0;
        if (strncmp(t->tried[at].verdict, "given up", 8) == 0) given_up = &t->tried[at];
    }
    if (given_up)
        whet_i_log(ctx, WHET_LOG_INFO, "tuning: %s was %s%s", given_up->lesson->name,
                   given_up->verdict, t->best < 0 ? "; nothing is tuned" : "");
    else if (t->best < 0 && !tried && is_passed_by(t))
        whet_i_log(
            ctx, WHET_LOG_INFO,
            "tuning: nothing is tuned: no way would be done within the %g s that the job has, "
            "of which %.1f s went before",
            limit, run->clock - run->begun);
}

/* What is asked for by its name and cannot be judged is still made, where there is the time. */
static whet_status try_or_take(whet_ctx *ctx, whet_i_run *run, whet_i_held *h) {
    whet_i_tuning *t = &run->tuning;
    clock_state s = {0};
    start_clock(run, &s);
    whet_i_hold_out(run, -1, h);
    if (whet_i_held_tells(h)) WHET_TRY(try_all(ctx, run, h, &s));
    if (t->best >= 0 || !whet_i_tuning_is_asked(run->job) || t->n == 0) return WHET_OK;
    if (is_time(&s, 0, seconds_of(run, h, &s, t->tried[0].lesson), 0)) t->best = 0;
    return WHET_OK;
}

/* ---- the choice --------------------------------------------------------------------------------- */

static void tell_figures(const whet_i_run *run, int64_t b, char *text, size_t size) {
    const whet_i_tuning *t = &run->tuning;
    const whet_i_contender *c = t->best >= 0 ? &t->tried[t->best] : NULL;
    const char *teacher = whet_adapt_fit_info(run->fit, t->teacher)->name;
    if (t->folds)
        (void)snprintf(
            text, size,
            "on %lld labels held out of all, its log loss is %.3f and that of %s %.3f, a "
            "gain of %.3f +- %.3f",
            (long long)b, c->log_loss, teacher, t->log_loss_without, c->gain, c->error);
    else if (is_passed_by(t)) /* nothing else ends a race before its last fold */
        (void)snprintf(text, size, "%g s are too few to hold labels out", run->job->time_limit);
    else
        (void)snprintf(text, size, "too few labels to hold any out");
}

static void tell_words(const whet_i_contender *c, const char *teacher, char *text, size_t size) {
    const char *words = whet_i_lesson_head_words(c->lesson, c->head);
    (void)snprintf(text, size, "%s, head %s%s%s%s, temperature %.2f%s%s", c->lesson->name,
                   whet_i_lesson_head_name(c->lesson, c->head), words[0] ? " (" : "", words,
                   words[0] ? ")" : "", c->heads[c->head].temperature,
                   c->share < 1 ? ", averaged with " : "", c->share < 1 ? teacher : "");
}

static void decide(whet_i_run *run, int64_t b) {
    whet_i_tuning *t = &run->tuning;
    char figures[256];
    const bool asked = whet_i_tuning_is_asked(run->job);
    const whet_i_contender *c = t->best >= 0 ? &t->tried[t->best] : NULL;
    const whet_i_lesson *lesson = c ? c->lesson : NULL;
    const char *teacher = whet_adapt_fit_info(run->fit, t->teacher)->name;
    t->kept = c && (asked || (t->folds && c->gain > LEAST_GAIN * t->log_loss_without));
    tell_figures(run, b, figures, sizeof figures);
    if (c)
        (void)snprintf(t->reason, sizeof t->reason,
                       "The encoder was tuned (%s: %s)%s%s and %s: %s.", lesson->name,
                       lesson->title, c->share < 1 ? ", averaged with " : "",
                       c->share < 1 ? teacher : "",
                       asked     ? "taken as asked"
                       : t->kept ? "kept"
                                 : "not kept",
                       figures);
    else
        (void)snprintf(t->reason, sizeof t->reason, "The encoder was not tuned: %s.", figures);
    if (!t->kept) (void)snprintf(t->note, sizeof t->note, "not kept: %s", figures);
    if (c) tell_words(c, teacher, t->words, sizeof t->words);
    for (int64_t at = 0; at < t->n; at++)
        if (at == t->best)
            (void)snprintf(t->tried[at].verdict, sizeof t->tried[at].verdict, "%s",
                           !t->kept ? "not kept"
                           : asked  ? "taken as asked"
                                    : "kept");
}

static void describe(const whet_i_run *run, int64_t b, whet_i_tuning *t) {
    const whet_candidate_info *listed = whet_adapt_fit_info(run->fit, t->place);
    const whet_i_contender *c = t->best >= 0 ? &t->tried[t->best] : NULL;
    t->info = (whet_candidate_info){.name = listed->name,
                                    .title = c ? c->lesson->title : listed->title,
                                    .settings = t->words,
                                    .available = t->kept,
                                    .note = t->note,
                                    .accuracy = (double)NAN,
                                    .accuracy_low = (double)NAN,
                                    .accuracy_high = (double)NAN,
                                    .log_loss = c ? c->log_loss : (double)NAN};
    if (!t->folds) return;
    t->info.accuracy = c->accuracy;
    whet_wilson(llround(c->accuracy * (double)b), b, &t->info.accuracy_low, &t->info.accuracy_high);
}

/* ---- the encoder on all labels ----------------------------------------------------------------- */

/* The fit of the chosen head on the tuned embeddings of all labels and the pool. */
static whet_status fit_head(whet_ctx *ctx, whet_i_run *run, const whet_i_held *h,
                            const whet_i_tuned *tuned) {
    whet_i_tuning *t = &run->tuning;
    const whet_i_contender *c = &t->tried[t->best];
    const double temperature = c->heads[c->head].temperature;
    const int64_t k = whet_names_count(run->classes);
    whet_adapt_input input = {tuned->features, run->train.n, tuned->d,
                              h->labels,       run->classes, NULL};
    float *names = NULL;
    int64_t cells;
    whet_status status = WHET_OK;
    if (c->head == 0 || whet_i_lesson_head_is_half(c->lesson, c->head))
        return whet_i_tuned_fit_make(ctx, run->classes, tuned->head, temperature, t->words,
                                     &t->fit);
    if (c->lesson->rows == WHET_I_LESSON_NAMES) {
        WHET_TRY_DONE(whet_i_mul(ctx, k, tuned->d, &cells));
        WHET_TRY_DONE(whet_i_alloc(ctx, cells, &names));
        WHET_TRY_DONE(whet_encoder_embed(ctx, tuned->encoder, run->class_texts, k, names));
        input.class_vectors = names;
    }
    status = whet_i_heads_fit(ctx, &input, c->head - 1, temperature, t->words, &t->fit);
done:
    whet_i_free(ctx, names);
    return status;
}

static whet_status learn_all(whet_ctx *ctx, whet_i_run *run, const char *dir, whet_i_held *h) {
    whet_i_tuning *t = &run->tuning;
    const whet_i_contender *c = &t->tried[t->best];
    const whet_i_pupil pupil = {
        run, c->lesson, h->labels, h->teach, whet_i_lesson_head_is_half(c->lesson, c->head), NULL};
    whet_i_tuned tuned = {0};
    char *classifier = NULL, *folder = NULL;
    whet_status status = WHET_OK;
    whet_i_log(ctx, WHET_LOG_INFO, "tuning: %s on all labels", c->lesson->name);
    whet_i_hold_out(run, -1, h);
    WHET_TRY_DONE(whet_i_join_path(ctx, dir, "classifier", &classifier));
    WHET_TRY_DONE(whet_i_join_path(ctx, classifier, WHET_I_TUNED_FOLDER, &folder));
    WHET_TRY_DONE(whet_i_make_folder(ctx, classifier));
    WHET_TRY_DONE(whet_i_make_folder(ctx, folder));
    if (c->lesson->rows == WHET_I_LESSON_POOL)
        WHET_TRY_DONE(whet_i_fit_teach(ctx, run->fit, t->teacher, run->train.features, run->train.n,
                                       h->teach));
    WHET_TRY_DONE(whet_i_tune_encoder(ctx, &pupil, folder, &tuned));
    WHET_TRY_DONE(fit_head(ctx, run, h, &tuned));
    t->encoder = tuned.encoder;
    t->features = tuned.features;
    tuned.encoder = NULL;
    tuned.features = NULL;
done:
    whet_i_tuned_free(ctx, &tuned);
    whet_i_free(ctx, folder);
    whet_i_free(ctx, classifier);
    return status;
}

static whet_status predict_alone(whet_ctx *ctx, const whet_i_run *run, const whet_i_run_rows *rows,
                                 double *probs) {
    const whet_i_tuning *t = &run->tuning;
    const int64_t chosen = whet_adapt_fit_chosen(t->fit);
    float *x;
    int64_t cells;
    if (rows == &run->train)
        return whet_adapt_fit_predict(ctx, t->fit, chosen, t->features, rows->n, probs);
    WHET_TRY(whet_i_mul(ctx, rows->n, whet_encoder_dim(t->encoder), &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &x));
    whet_status status = whet_encoder_embed(ctx, t->encoder, rows->texts, rows->n, x);
    if (status == WHET_OK) status = whet_adapt_fit_predict(ctx, t->fit, chosen, x, rows->n, probs);
    whet_i_free(ctx, x);
    return status;
}

whet_status whet_i_tuning_predict(whet_ctx *ctx, const whet_i_run *run, const whet_i_run_rows *rows,
                                  double *probs) {
    const whet_i_tuning *t = &run->tuning;
    const double share = t->tried[t->best].share;
    const int64_t k = whet_names_count(run->classes);
    double *others;
    int64_t cells;
    WHET_TRY(predict_alone(ctx, run, rows, probs));
    if (!(share < 1)) return WHET_OK;
    WHET_TRY(whet_i_mul(ctx, rows->n, k, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &others));
    const whet_status status =
        whet_adapt_fit_predict(ctx, run->fit, t->teacher, rows->features, rows->n, others);
    for (int64_t i = 0; status == WHET_OK && i < cells; i++)
        probs[i] = share * probs[i] + (1 - share) * others[i];
    whet_i_free(ctx, others);
    return status;
}

whet_status whet_i_run_tuning(whet_ctx *ctx, whet_i_run *run, const char *dir) {
    whet_i_tuning *t = &run->tuning;
    whet_i_held h = {0};
    whet_status status = WHET_OK;
    t->place = whet_i_encoder_place();
    t->best = -1;
    t->log_loss_without = t->accuracy_without = (double)NAN;
    if (whet_i_lessons_asked(run->job) == 0) return WHET_OK;
    t->teacher = whet_adapt_fit_chosen(run->fit);
    list_contenders(run);
    WHET_TRY_DONE(whet_i_held_make(ctx, run, &h));
    WHET_TRY_DONE(try_or_take(ctx, run, &h));
    tell_limit(ctx, run);
    decide(run, h.b);
    describe(run, h.b, t);
    if (t->kept) WHET_TRY_DONE(learn_all(ctx, run, dir, &h));
done:
    whet_i_held_free(ctx, &h);
    return status;
}
