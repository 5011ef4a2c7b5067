/* SPDX-License-Identifier: Apache-2.0
 * Tuning in the main job: heads by hand, saved and read back; what teaches; which lessons a job asks
 * for; gains and calibration by hand; memory that is not to be had; a job that is stopped. What it
 * does as a whole stands in tests/cli/adapt_adapter.sh and adapt_end_model.sh. */
#include "support.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapt/method.h"
#include "adapt/tuned_fit.h"
#include "adapt/tuning.h"
#include "label/label_i.h"

enum { ROWS = 24, D = 4, K = 3 };

static whet_names *names_of(whet_ctx *ctx) {
    static const char *const words[] = {"a", "b", "c"};
    whet_names *names;
    test_ok(ctx, whet_names_create(ctx, &names));
    for (int c = 0; c < K; c++)
        test_ok(ctx, whet_names_add(ctx, names, whet_str_from(words[c]), NULL));
    return names;
}

/* ---- the head ----------------------------------------------------------------------------------- */

static const float weight[K * D] = {1, 0, -1, 2, 0, 3, 0.5F, 0, -2, 0, 0, 1};
static const float bias[K] = {0.25F, -1, 0};
static const float x[2 * D] = {0.5F, -0.5F, 1, 2, -3, 0.125F, 0, 1}; /* of no unit length */

static void head_by_hand(double temperature, const float *row, double *probs) {
    for (int c = 0; c < K; c++) {
        probs[c] = (double)bias[c];
        for (int j = 0; j < D; j++) probs[c] += (double)weight[c * D + j] * (double)row[j];
        probs[c] /= temperature;
    }
    whet_i_softmax(probs, K);
}

static void a_head_predicts_and_is_saved(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_names *classes = names_of(ctx);
    whet_adapt_fit *fit;
    whet_classifier *read;
    double expected[K], probs[2 * K], again[2 * K];
    char dir[300];
    const whet_classifier_meta meta = {.encoder_path = "encoder", .encoder_fingerprint = "0123"};
    whet_i_linear_model *head;
    test_ok(ctx, whet_i_head_take(ctx, weight, bias, D, K, &head));
    test_ok(ctx, whet_i_head_predict(ctx, head, x, 2, probs));
    head_by_hand(1, x, expected);
    for (int c = 0; c < K; c++) assert_true(fabs(probs[c] - expected[c]) < 1e-12);
    test_ok(ctx, whet_i_tuned_fit_make(ctx, classes, head, 2, "in words", &fit));
    whet_i_head_free(ctx, head); /* empty by now */
    assert_int_equal(whet_adapt_fit_chosen(fit), whet_i_encoder_place());
    test_ok(ctx, whet_adapt_fit_predict(ctx, fit, whet_i_encoder_place(), x, 2, probs));
    for (int i = 0; i < 2; i++) {
        head_by_hand(2, x + i * D, expected);
        for (int c = 0; c < K; c++) assert_true(fabs(probs[i * K + c] - expected[c]) < 1e-12);
    }
    (void)snprintf(dir, sizeof dir, "%s", test_tmp("head"));
    assert_int_equal(mkdir(dir, 0777), 0);
    test_ok(ctx, whet_adapt_fit_save(ctx, fit, dir, &meta));
    test_ok(ctx, whet_classifier_load(ctx, dir, &read));
    assert_string_equal(whet_classifier_candidate(read), "encoder");
    assert_string_equal(whet_classifier_settings(read), "in words");
    assert_string_equal(whet_classifier_source(read)->encoder_path, "encoder");
    test_ok(ctx, whet_classifier_predict(ctx, read, x, 2, again));
    assert_memory_equal(probs, again, sizeof probs);
    whet_classifier_destroy(ctx, read);
    whet_adapt_fit_destroy(ctx, fit);
    whet_names_destroy(ctx, classes);
    test_ctx_done(ctx);
}

static void save_head(whet_ctx *ctx, const whet_names *classes, double temperature, double beside,
                      const char *dir) {
    const whet_classifier_meta meta = {
        .encoder_path = "encoder", .encoder_fingerprint = "0123", .beside = beside};
    whet_i_linear_model *head;
    whet_adapt_fit *fit;
    test_ok(ctx, whet_i_head_take(ctx, weight, bias, D, K, &head));
    test_ok(ctx, whet_i_tuned_fit_make(ctx, classes, head, temperature, "", &fit));
    whet_i_head_free(ctx, head);
    assert_int_equal(mkdir(dir, 0777), 0);
    test_ok(ctx, whet_adapt_fit_save(ctx, fit, dir, &meta));
    whet_adapt_fit_destroy(ctx, fit);
}

static whet_status load_pair(whet_ctx *ctx, void *arg) {
    whet_classifier *read;
    WHET_TRY(whet_classifier_load(ctx, arg, &read));
    whet_classifier_destroy(ctx, read);
    return WHET_OK;
}

/* The first lies in a folder, the second in "frozen" there; each predicts as it does alone. */
static void a_second_classifier_is_saved_and_loaded(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_names *classes = names_of(ctx);
    whet_classifier *read;
    double expected[K], probs[2 * K];
    char dir[300], second[320];
    (void)snprintf(dir, sizeof dir, "%s", test_tmp("pair"));
    (void)snprintf(second, sizeof second, "%s/frozen", dir);
    save_head(ctx, classes, 2, .25, dir);
    test_fails(ctx, whet_classifier_load(ctx, dir, &read), WHET_ERR_IO);
    save_head(ctx, classes, 4, 0, second);
    test_ok(ctx, whet_classifier_load(ctx, dir, &read));
    assert_true(whet_classifier_source(read)->beside == .25);
    const whet_classifier *beside = whet_classifier_beside(read);
    assert_non_null(beside);
    assert_null(whet_classifier_beside(beside));
    test_ok(ctx, whet_classifier_predict(ctx, read, x, 2, probs));
    head_by_hand(2, x, expected);
    for (int c = 0; c < K; c++) assert_true(fabs(probs[c] - expected[c]) < 1e-12);
    test_ok(ctx, whet_classifier_predict(ctx, beside, x, 2, probs));
    head_by_hand(4, x, expected);
    for (int c = 0; c < K; c++) assert_true(fabs(probs[c] - expected[c]) < 1e-12);
    whet_classifier_destroy(ctx, read);
    assert_true(test_each_allocation(load_pair, dir) > 20);
    whet_names_destroy(ctx, classes);
    test_ctx_done(ctx);
}

static void a_third_classifier_is_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_names *classes = names_of(ctx);
    whet_classifier *read;
    char dir[300], second[320], third[340];
    (void)snprintf(dir, sizeof dir, "%s", test_tmp("three"));
    (void)snprintf(second, sizeof second, "%s/frozen", dir);
    (void)snprintf(third, sizeof third, "%s/frozen", second);
    save_head(ctx, classes, 2, .25, dir);
    save_head(ctx, classes, 2, .25, second);
    save_head(ctx, classes, 2, 0, third);
    test_fails(ctx, whet_classifier_load(ctx, dir, &read), WHET_ERR_FORMAT);
    test_says(ctx, "or with a third");
    whet_names_destroy(ctx, classes);
    test_ctx_done(ctx);
}

/* A share of the whole, more, less than nothing or none that is a number. */
static void a_share_is_part_of_the_whole(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_names *classes = names_of(ctx);
    whet_i_linear_model *head;
    whet_adapt_fit *fit;
    const double wrong[] = {1, 2, -.5, (double)NAN};
    test_ok(ctx, whet_i_head_take(ctx, weight, bias, D, K, &head));
    test_ok(ctx, whet_i_tuned_fit_make(ctx, classes, head, 1, "", &fit));
    for (int i = 0; i < 4; i++) {
        const whet_classifier_meta meta = {.beside = wrong[i]};
        test_fails(ctx, whet_adapt_fit_save(ctx, fit, test_tmp("none"), &meta), WHET_ERR_ARG);
    }
    whet_i_head_free(ctx, head);
    whet_adapt_fit_destroy(ctx, fit);
    whet_names_destroy(ctx, classes);
    test_ctx_done(ctx);
}

static whet_status make_head(whet_ctx *ctx, void *arg) {
    whet_adapt_fit *fit = NULL;
    whet_i_linear_model *head = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_head_take(ctx, weight, bias, D, K, &head));
    WHET_TRY_DONE(whet_i_tuned_fit_make(ctx, arg, head, 2, "", &fit));
done:
    whet_i_head_free(ctx, head);
    whet_adapt_fit_destroy(ctx, fit);
    return status;
}

static void allocations_of_a_head_may_fail(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_names *classes = names_of(ctx);
    assert_true(test_each_allocation(make_head, classes) > 5);
    whet_names_destroy(ctx, classes);
    test_ctx_done(ctx);
}

static const whet_i_lesson *lesson_of(const char *name) {
    for (int64_t i = 0; i < whet_i_lesson_count(); i++)
        if (strcmp(whet_i_lessons[i].name, name) == 0) return &whet_i_lessons[i];
    fail_msg("no lesson %s", name);
    return NULL;
}

/* Prototypes: unit sums of a name and its examples. Class 0 at (1, 0), class 1 at (3, 4) / 5, class 2
 * at (0, 1); a text at (1, 0) has cosines 1, 0.6, 0, of which logits are 20 times as much. */
static void names_make_prototypes(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const float rows[] = {1, 0, 0.6f, 0.8f, 0.6f, 0.8f, 0, 1}, text[] = {1, 0};
    const int32_t y[] = {0, 1, 1, 2};
    double probs[K];
    whet_i_linear_model *head;
    test_ok(ctx, whet_i_head_fit(ctx, lesson_of("lora-names"), rows, y, 4, 2, K, &head));
    test_ok(ctx, whet_i_head_predict(ctx, head, text, 1, probs));
    const double sum = exp(20) + exp(12) + exp(0);
    assert_true(fabs(probs[0] - exp(20) / sum) < 1e-6);
    assert_true(fabs(probs[1] - exp(12) / sum) < 1e-6);
    whet_i_head_free(ctx, head);
    test_ctx_done(ctx);
}

/* Without names, the logistic regression of the candidates at C = 10. */
static void labels_make_a_logistic_head(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const int32_t y[] = {0, 2};
    const int64_t order[] = {0, 1};
    whet_i_linear_model *head, expected;
    test_ok(ctx, whet_i_head_fit(ctx, lesson_of("more-pairs"), x, y, 2, D, K, &head));
    test_ok(ctx, whet_i_logistic_fit(ctx, x, order, y, 2, D, K, 10, &expected));
    assert_int_equal(head->seen, 2);
    assert_memory_equal(head->weight, expected.weight, sizeof(double) * D * 2);
    whet_i_linear_model_free(ctx, &expected);
    whet_i_head_free(ctx, head);
    test_ctx_done(ctx);
}

/* ---- what a job asks for ------------------------------------------------------------------------ */

static void options_ask_for_lessons(void **state) {
    (void)state;
    whet_names *few, *many;
    whet_ctx *ctx = test_ctx(1);
    whet_adapt_job job = WHET_ADAPT_JOB_INIT;
    assert_int_equal(whet_i_lessons_asked(&job), 0);
    job.time_limit = 5;
    assert_int_equal(whet_i_lessons_asked(&job), 0);
    job.adapter = WHET_ADAPTER_AUTO;
    assert_int_equal(whet_i_lessons_asked(&job), WHET_I_BY_AUTO | WHET_I_BY_TIME);
    job.end_model = WHET_END_AUTO;
    job.time_limit = 0;
    assert_int_equal(whet_i_lessons_asked(&job), WHET_I_BY_AUTO | WHET_I_BY_END_AUTO);
    assert_true(lesson_of("full-labels")->asked_by & WHET_I_BY_END_AUTO);
    few = names_of(ctx);
    test_ok(ctx, whet_i_names_numbered(ctx, 12, &many));
    whet_i_run run = {.job = &job, .classes = few, .class_texts_mean = true};
    assert_non_null(whet_i_lesson_unfit(lesson_of("lora-names"), &run));
    assert_null(whet_i_lesson_unfit(lesson_of("lora-pairs"), &run));
    run.classes = many;
    assert_null(whet_i_lesson_unfit(lesson_of("lora-names"), &run));
    run.class_texts_mean = false;
    assert_non_null(whet_i_lesson_unfit(lesson_of("lora-names"), &run));
    whet_names_destroy(ctx, few);
    whet_names_destroy(ctx, many);
    test_ctx_done(ctx);
}

static void options_that_do_not_fit_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_adapt_job job = WHET_ADAPT_JOB_INIT;
    job.model = "model";
    job.adapter = WHET_ADAPTER_MORE;
    test_ok(ctx, whet_i_tuning_check(ctx, &job));
    job.end_model = WHET_END_AUTO;
    test_fails(ctx, whet_i_tuning_check(ctx, &job), WHET_ERR_ARG);
    test_says(ctx, "auto for both");
    job.adapter = WHET_ADAPTER_AUTO;
    test_ok(ctx, whet_i_tuning_check(ctx, &job));
    job.features = "x.npy";
    test_fails(ctx, whet_i_tuning_check(ctx, &job), WHET_ERR_ARG);
    test_says(ctx, "not features");
    job.features = NULL;
    job.time_limit = (double)NAN;
    test_fails(ctx, whet_i_tuning_check(ctx, &job), WHET_ERR_ARG);
    job.time_limit = 0;
    job.adapter = (whet_adapter_choice)9;
    test_fails(ctx, whet_i_tuning_check(ctx, &job), WHET_ERR_ARG);
    test_ctx_done(ctx);
}

/* ---- what held-out labels say ------------------------------------------------------------------- */

/* Two labels, probabilities at their best temperature already: without (.5, .5), with (.8, .8) and one
 * wrong at (.2): the temperature that fits is found by whet_i_temperature_fit; gains are differences
 * of logarithms. */
static void gains_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    double without[8] = {.5, .5, .5, .5, .5, .5, .5, .5},
           with[WHET_I_MOST_HEADS * 8] = {.8, .2, .8, .2, .2, .8, .8, .2};
    int32_t y[4] = {0, 0, 1, 1}, fold[4] = {0, 1, 2, 0};
    double temperature, loss, part;
    whet_i_held h = {.b = 4, .k = 2, .y = y, .fold = fold, .without = without, .with = with};
    whet_i_tuning t = {.n = 1,
                       .tried = {{.lesson = lesson_of("more-pairs"), .folds = 3, .n_heads = 1}}};
    /* Of the first fold, one right and one wrong at the same odds: nothing is to be believed. */
    test_ok(ctx, whet_i_held_loss(ctx, &h, 0, with, &temperature, &part));
    assert_true(part > 0.69 && part < 0.75);
    test_ok(ctx, whet_i_held_compare(ctx, &h, false, &t));
    loss = -(3 * log(with[0]) + log(1 - with[0])) / 4;
    assert_true(fabs(t.tried[0].log_loss - loss) < 1e-9);
    assert_true(fabs(with[0] - 2 / 3.0) < 1e-6); /* three right of four, softened by 1 / 6 */
    assert_true(fabs(t.log_loss_without - log(2)) < 1e-9);
    const double a = log(with[0]) - log(.5), b = log(1 - with[0]) - log(.5), mean = (3 * a + b) / 4;
    const double square = (3 * a * a + b * b) / 4 - mean * mean;
    assert_true(fabs(t.tried[0].gain - mean) < 1e-9);
    assert_true(fabs(t.tried[0].error - sqrt(square / 3)) < 1e-9);
    assert_true(fabs(t.tried[0].accuracy - .75) < 1e-12 && fabs(t.accuracy_without - .5) < 1e-12);
    whet_i_tuning_free(ctx, &t);
    test_ctx_done(ctx);
}

/* Averaged with the candidate where, and only where, that loses less than the tuned encoder alone; log loss,
 * gain and accuracy are of what it has come to. The candidate is right on three of four labels, softened to
 * 2 / 3; so is the first contender, but on others; the second on all, and stays ahead of any mean. */
static void averages_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    enum { CELLS = WHET_I_MOST_HEADS * 8 };
    double without[8] = {.2, .8, .8, .2, .2, .8, .2, .8};
    double with[2 * CELLS] = {.8,           .2, .8, .2, .2, .8, .8, .2, /* */
                              [CELLS] = .8, .2, .8, .2, .2, .8, .2, .8};
    int32_t y[4] = {0, 0, 1, 1}, fold[4] = {0, 1, 2, 0};
    whet_i_held h = {.b = 4, .k = 2, .y = y, .fold = fold, .without = without, .with = with};
    whet_i_contender tried = {
        .lesson = lesson_of("more-pairs"), .folds = 3, .n_heads = 1, .share = 1};
    whet_i_tuning t = {.n = 2, .tried = {tried, tried}};
    test_ok(ctx, whet_i_held_compare(ctx, &h, true, &t));
    const double alone = -(3 * log(2 / 3.) + log(1 / 3.)) / 4;
    const double loss = -(2 * log(2 / 3.) + 2 * log(.5)) / 4;
    assert_true(t.tried[0].share == .5 && fabs(t.tried[0].alone - alone) < 1e-6);
    assert_true(fabs(t.tried[0].log_loss - loss) < 1e-6);
    assert_true(fabs(t.log_loss_without - alone) < 1e-6);
    assert_true(fabs(t.tried[0].gain - (alone - loss)) < 1e-6);
    assert_true(t.tried[1].share == 1 && t.tried[1].accuracy == 1);
    assert_true(t.tried[1].alone == t.tried[1].log_loss && t.tried[1].gain > t.tried[0].gain);
    whet_i_tuning_free(ctx, &t);
    test_ctx_done(ctx);
}

/* ---- what teaches ------------------------------------------------------------------------------- */

/* Of weak supervision the labeller itself, of others their own predictions. */
static void labellers_teach_what_they_say(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    whet_names *classes = names_of(ctx);
    float rows[ROWS * D];
    int32_t labels[ROWS];
    double taught[ROWS * K], expected[ROWS * K];
    whet_i_rng rng;
    whet_adapt_fit *fit;
    int64_t at;
    whet_i_rng_init(&rng, 4, 0);
    for (int i = 0; i < ROWS; i++) {
        double square = 0;
        for (int j = 0; j < D; j++) {
            const double value = (j == i % K) + 0.3 * whet_i_rng_normal(&rng);
            rows[i * D + j] = (float)value;
            square += value * value;
        }
        for (int j = 0; j < D; j++) rows[i * D + j] /= (float)sqrt(square);
        labels[i] = i < 12 ? i % K : -1;
    }
    const whet_adapt_input input = {rows, ROWS, D, labels, classes, NULL};
    whet_adapt_opts opts = WHET_ADAPT_OPTS_INIT;
    opts.method = "propagate";
    test_ok(ctx, whet_adapt_train(ctx, &input, &opts, &fit));
    const whet_baseline_input baseline = {
        .features = rows, .n = ROWS, .d = D, .k = K, .labels = labels};
    test_ok(ctx, whet_baseline_run(ctx, WHET_BASELINE_PROPAGATE, &baseline, expected));
    test_ok(ctx, whet_i_fit_teach(ctx, fit, whet_adapt_fit_chosen(fit), rows, ROWS, taught));
    for (int i = 0; i < ROWS * K; i++) assert_true(fabs(taught[i] - expected[i]) < 1e-9);
    test_ok(ctx, whet_i_method_find(ctx, "logistic", &at));
    test_ok(ctx, whet_i_fit_teach(ctx, fit, at, rows, ROWS, taught));
    test_ok(ctx, whet_adapt_fit_predict(ctx, fit, at, rows, ROWS, expected));
    assert_memory_equal(taught, expected, sizeof taught);
    whet_adapt_fit_destroy(ctx, fit);
    whet_names_destroy(ctx, classes);
    test_ctx_done(ctx);
}

/* ---- a training run ----------------------------------------------------------------------------- */

typedef struct lesson {
    char model[300], folder[300];
    const whet_i_lesson *lesson;
    bool files, half;
    whet_str texts[ROWS];
    int32_t labels[ROWS];
    double probs[ROWS * K];
    double *kept; /* what was predicted, or NULL */
    whet_i_pace *pace;
} lesson;

static void make_lesson(lesson *l) {
    *l = (lesson){.files = false};
    (void)snprintf(l->model, sizeof l->model, "%s", test_source("tests/golden/bert_tiny/even"));
    (void)snprintf(l->folder, sizeof l->folder, "%s", test_tmp("tuned"));
    (void)mkdir(l->folder, 0777);
    for (int i = 0; i < ROWS; i++) {
        l->texts[i] = whet_str_from(i % 2 ? "a good video" : "the song is bad");
        l->labels[i] = i < 4 ? i % 2 : -1;
        for (int c = 0; c < K; c++) l->probs[i * K + c] = c == i % 2 ? 0.8 : 0.1;
    }
}

/* run->encoder is asked for its columns and its limit alone. */
static whet_status tune_once(whet_ctx *ctx, void *arg) {
    lesson *l = arg;
    whet_adapt_job job = WHET_ADAPT_JOB_INIT;
    whet_i_run run = {.job = &job};
    double probs[WHET_I_MOST_HEADS * ROWS * K] = {0};
    whet_i_tuned tuned = {0};
    whet_status status = WHET_OK;
    const whet_i_pupil pupil = {&run, l->lesson, l->labels, l->probs, l->half, l->pace};
    whet_str names[K] = {whet_str_from("the song is bad"), whet_str_from("a good video"),
                         whet_str_from("check out my channel")};
    job.model = l->model;
    run.train = (whet_i_run_rows){.path = "pool", .n = ROWS, .texts = l->texts};
    run.class_texts = names;
    WHET_TRY_DONE(whet_names_create(ctx, &run.classes));
    for (int c = 0; c < K; c++)
        WHET_TRY_DONE(whet_names_add(ctx, run.classes, (whet_str){&"abc"[c], 1}, NULL));
    WHET_TRY_DONE(whet_encoder_load(ctx, l->model, NULL, &run.encoder));
    assert_true(whet_i_lesson_bytes(&pupil) > 0);
    if (l->files)
        WHET_TRY_DONE(whet_i_tune_encoder(ctx, &pupil, l->folder, &tuned));
    else
        WHET_TRY_DONE(whet_i_tune_and_predict(ctx, &pupil, l->texts, ROWS, probs));
    if (l->pace && l->pace->late) goto done;
    if (l->files) WHET_TRY_DONE(whet_i_head_predict(ctx, tuned.head, tuned.features, ROWS, probs));
    if (l->kept) memcpy(l->kept, probs, sizeof probs);
    /* What it was taught: there are no rows of the third class; the two others, but in three small steps. */
    const bool enough = l->lesson->steps || l->lesson->adapter == WHET_TUNE_LORA;
    const int64_t heads = l->files ? 1 : whet_i_lesson_heads(l->lesson);
    for (int64_t i = 0; i < heads * ROWS; i++) {
        const double *p = probs + i * K;
        assert_true(p[i % 2] > p[2]); /* ROWS is even */
        assert_true(!enough || whet_i_argmax(p, K) == i % 2);
    }
done:
    whet_i_tuned_free(ctx, &tuned);
    whet_encoder_destroy(ctx, run.encoder);
    whet_names_destroy(ctx, run.classes);
    return status;
}

/* The last head is the lesson's own on the encoder that is saved after half of the steps: within what saving
 * rounds, and that is not what comes of all steps. */
static void the_last_head_stops_halfway(void **state) {
    (void)state;
    lesson l;
    double predicted[WHET_I_MOST_HEADS * ROWS * K], saved[WHET_I_MOST_HEADS * ROWS * K];
    whet_ctx *ctx = test_ctx(2);
    make_lesson(&l);
    l.lesson = lesson_of("lora-pairs");
    const int64_t last = whet_i_lesson_heads(l.lesson) - 1;
    assert_true(whet_i_lesson_head_is_half(l.lesson, last));
    assert_false(whet_i_lesson_head_is_half(l.lesson, last - 1));
    assert_false(whet_i_lesson_head_is_half(lesson_of("lora-labels"), 0));
    assert_string_equal(whet_i_lesson_head_name(l.lesson, last), "logistic");
    assert_string_equal(whet_i_lesson_head_words(l.lesson, last), "half of the steps");
    l.kept = predicted;
    test_ok(ctx, tune_once(ctx, &l));
    l.kept = saved;
    l.files = l.half = true;
    test_ok(ctx, tune_once(ctx, &l));
    double off = 0, moved = 0;
    for (int i = 0; i < ROWS * K; i++) {
        off = fmax(off, fabs(predicted[last * ROWS * K + i] - saved[i]));
        moved = fmax(moved, fabs(predicted[i] - saved[i]));
    }
    assert_true(off < 1e-2 && moved > 2 * off);
    test_ctx_done(ctx);
}

/* Each way, with and without files; each allocation of the two that differ most. */
static void lessons_teach(void **state) {
    (void)state;
    lesson l;
    make_lesson(&l);
    for (int64_t i = 0; i < whet_i_lesson_count(); i++)
        for (int files = 0; files < 2; files++) {
            whet_ctx *ctx = test_ctx(2);
            l.lesson = &whet_i_lessons[i];
            l.files = files;
            test_ok(ctx, tune_once(ctx, &l));
            test_ctx_done(ctx);
        }
}

static void allocations_of_tuning_may_fail(void **state) {
    (void)state;
    lesson l;
    make_lesson(&l);
    l.lesson = lesson_of("more-pairs");
    assert_true(test_each_allocation(tune_once, &l) > 200);
    l.lesson = lesson_of("full-taught");
    l.files = true;
    assert_true(test_each_allocation(tune_once, &l) > 200);
}

/* ---- time --------------------------------------------------------------------------------------- */

/* Where the time is over at the beginning, few steps are taken and nothing comes out; where there is no end
 * of it, all are, and the same comes out as without. */
static void a_slow_run_is_stopped(void **state) {
    (void)state;
    const char *const names[] = {"more-pairs", "lora-labels"};
    for (int i = 0; i < 2; i++) {
        lesson l;
        double free[WHET_I_MOST_HEADS * ROWS * K], timed[WHET_I_MOST_HEADS * ROWS * K];
        whet_ctx *ctx = test_ctx(1);
        make_lesson(&l);
        l.lesson = lesson_of(names[i]);
        whet_i_pace pace = {.until = whet_i_seconds_now() - 1};
        l.pace = &pace;
        test_ok(ctx, tune_once(ctx, &l));
        assert_true(pace.late && pace.steps > 1 && pace.steps < pace.total / 4);
        assert_true(pace.seconds > 0);
        l.kept = free;
        l.pace = NULL;
        test_ok(ctx, tune_once(ctx, &l));
        pace = (whet_i_pace){.until = (double)INFINITY};
        l.kept = timed;
        l.pace = &pace;
        test_ok(ctx, tune_once(ctx, &l));
        assert_true(!pace.late && pace.steps == pace.total && pace.total >= 60);
        assert_memory_equal(free, timed, sizeof free);
        test_ctx_done(ctx);
    }
}

/* A job of 5 seconds that began 100 seconds ago: nothing is tried, nor made as asked, and both is told. */
static void what_would_be_late_is_passed_by(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    lesson l;
    float z[ROWS * 2];
    make_lesson(&l);
    for (int i = 0; i < ROWS; i++) {
        z[2 * i] = (float)(i % 2);
        z[2 * i + 1] = (float)(1 - i % 2);
        l.labels[i] = i < 12 ? i % 2 : -1;
    }
    for (int asked = 0; asked < 2; asked++) {
        whet_adapt_job job = WHET_ADAPT_JOB_INIT;
        whet_i_run run = {.job = &job, .d = 2, .begun = whet_i_seconds_now() - 100};
        job.model = l.model;
        job.time_limit = 5;
        job.adapter = asked ? WHET_ADAPTER_LORA : WHET_ADAPTER_AUTO;
        run.seconds.embed = 1;
        run.train = (whet_i_run_rows){
            .path = "pool", .n = ROWS, .texts = l.texts, .labels = l.labels, .features = z};
        run.classes = names_of(ctx);
        test_ok(ctx, whet_encoder_load(ctx, l.model, NULL, &run.encoder));
        const whet_adapt_input input = {z, ROWS, 2, l.labels, run.classes, NULL};
        test_ok(ctx, whet_adapt_train(ctx, &input, NULL, &run.fit));
        test_ok(ctx, whet_i_run_tuning(ctx, &run, "nowhere"));
        const whet_i_tuning *t = &run.tuning;
        assert_int_equal(t->n, asked ? 1 : 4);
        assert_true(!t->kept && t->best < 0 && t->folds == 0);
        for (int64_t at = 0; at < t->n; at++) {
            assert_int_equal(t->tried[at].folds, 0);
            assert_non_null(strstr(t->tried[at].verdict, "within 5 s"));
        }
        assert_non_null(strstr(t->reason, "not tuned: 5 s are too few"));
        whet_i_tuning_free(ctx, &run.tuning);
        whet_adapt_fit_destroy(ctx, run.fit);
        whet_encoder_destroy(ctx, run.encoder);
        whet_names_destroy(ctx, run.classes);
    }
    test_ctx_done(ctx);
}

/* ---- a job that is stopped ---------------------------------------------------------------------- */

static bool stop(void *user) {
    int64_t *left = user;
    return (*left)-- == 0;
}

static int64_t entries_beside(const char *dir, const char *begin) {
    DIR *entries = opendir(dir);
    int64_t n = 0;
    assert_non_null(entries);
    for (const struct dirent *e; (e = readdir(entries));)
        n += strncmp(e->d_name, begin, strlen(begin)) == 0;
    (void)closedir(entries);
    return n;
}

static void a_stopped_job_leaves_nothing(void **state) {
    (void)state;
    char model[300], train[300], output[300], root[300], table[2048] = "text\tlabel\n";
    (void)snprintf(model, sizeof model, "%s", test_source("tests/golden/bert_tiny/even"));
    for (int i = 0; i < ROWS; i++) {
        const size_t used = strlen(table);
        (void)snprintf(table + used, sizeof table - used, "%s video number %d\t%s\n",
                       i % 2 ? "good" : "bad", i, i < 12 ? (i % 2 ? "yes" : "no") : "");
    }
    (void)snprintf(train, sizeof train, "%s", test_write_text("pool.tsv", table));
    (void)snprintf(output, sizeof output, "%s", test_tmp("job"));
    (void)snprintf(root, sizeof root, "%s", test_tmp(""));
    whet_adapt_job job = WHET_ADAPT_JOB_INIT;
    job.train = train;
    job.model = model;
    job.output = output;
    job.adapter = WHET_ADAPTER_LORA;
    int64_t rounds = 0;
    for (int64_t at = 3;; at = at * 3 / 2 + 1) {
        int64_t left = at;
        whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
        whet_ctx *stopping;
        opts.cancel = stop;
        opts.user = &left;
        opts.threads = 1;
        assert_int_equal(whet_ctx_create(&opts, &stopping), WHET_OK);
        const whet_status status = whet_adapt_run(stopping, &job, NULL);
        whet_ctx_destroy(stopping);
        if (status == WHET_OK) break;
        assert_int_equal(status, WHET_ERR_CANCELLED);
        assert_int_equal(entries_beside(root, "job"), 0);
        rounds++;
    }
    assert_true(rounds > 5);
    assert_int_equal(entries_beside(output, ""), 2 + 5); /* ., .. and what the guide lists */
}

/* By hand: two folds and all labels follow. A run that leads keeps 3 times its own. */
static void the_time_of_the_best_is_kept(void **state) {
    (void)state;
    assert_true(whet_i_tuning_allowed(40, 0, 2) == 10);
    assert_true(whet_i_tuning_allowed(40, 8, 2) == 10); /* of 40, 30 are left: more than 24 */
    assert_true(whet_i_tuning_allowed(40, 12, 2) == 4); /* 36 are kept */
    assert_true(whet_i_tuning_allowed(40, 14, 2) < 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_time_of_the_best_is_kept),
        cmocka_unit_test(a_head_predicts_and_is_saved),
        cmocka_unit_test(a_second_classifier_is_saved_and_loaded),
        cmocka_unit_test(a_third_classifier_is_refused),
        cmocka_unit_test(a_share_is_part_of_the_whole),
        cmocka_unit_test(allocations_of_a_head_may_fail),
        cmocka_unit_test(names_make_prototypes),
        cmocka_unit_test(labels_make_a_logistic_head),
        cmocka_unit_test(the_last_head_stops_halfway),
        cmocka_unit_test(options_ask_for_lessons),
        cmocka_unit_test(options_that_do_not_fit_are_refused),
        cmocka_unit_test(gains_by_hand),
        cmocka_unit_test(averages_by_hand),
        cmocka_unit_test(labellers_teach_what_they_say),
        cmocka_unit_test(lessons_teach),
        cmocka_unit_test(allocations_of_tuning_may_fail),
        cmocka_unit_test(a_slow_run_is_stopped),
        cmocka_unit_test(what_would_be_late_is_passed_by),
        cmocka_unit_test(a_stopped_job_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
