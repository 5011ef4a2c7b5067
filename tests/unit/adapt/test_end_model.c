/* SPDX-License-Identifier: Apache-2.0
 * The tuned end model: its head by hand, saved and read back; what teaches it; memory that is not to be
 * had; a job that is stopped. What it does as a whole stands in tests/cli/adapt_end_model.sh. */
#include "support.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapt/end_model.h"
#include "adapt/method.h"
#include "adapt/tuned_fit.h"
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
    test_ok(ctx, whet_i_tuned_fit_make(ctx, classes, D, weight, bias, 2, "in words", &fit));
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

static whet_status make_head(whet_ctx *ctx, void *arg) {
    whet_adapt_fit *fit;
    WHET_TRY(whet_i_tuned_fit_make(ctx, arg, D, weight, bias, 2, "", &fit));
    whet_adapt_fit_destroy(ctx, fit);
    return WHET_OK;
}

static void allocations_of_a_head_may_fail(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_names *classes = names_of(ctx);
    assert_true(test_each_allocation(make_head, classes) > 5);
    whet_names_destroy(ctx, classes);
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
    whet_str texts[ROWS];
    int32_t labels[ROWS];
    double probs[ROWS * K];
} lesson;

static void make_lesson(lesson *l) {
    (void)snprintf(l->model, sizeof l->model, "%s", test_source("tests/golden/bert_tiny/even"));
    (void)snprintf(l->folder, sizeof l->folder, "%s", test_tmp("tuned"));
    (void)mkdir(l->folder, 0777);
    for (int i = 0; i < ROWS; i++) {
        l->texts[i] = whet_str_from(i % 2 ? "a good video" : "the song is bad");
        l->labels[i] = i < 4 ? i % 2 : -1;
        for (int c = 0; c < K; c++) l->probs[i * K + c] = c == i % 2 ? 0.8 : 0.1;
    }
}

static whet_status tune_once(whet_ctx *ctx, void *arg) {
    lesson *l = arg;
    whet_adapt_job job = WHET_ADAPT_JOB_INIT;
    whet_i_run run = {.job = &job, .d = 32};
    whet_i_tuned tuned = {0};
    whet_status status = WHET_OK;
    job.model = l->model;
    run.train = (whet_i_run_rows){.path = "pool", .n = ROWS, .texts = l->texts};
    WHET_TRY_DONE(whet_names_create(ctx, &run.classes));
    for (int c = 0; c < K; c++)
        WHET_TRY_DONE(whet_names_add(ctx, run.classes, (whet_str){&"abc"[c], 1}, NULL));
    WHET_TRY_DONE(whet_i_tune_encoder(ctx, &run, l->labels, l->probs, l->folder, &tuned));
    /* The new layer has learned which classes there are more of. */
    assert_true(tuned.bias[0] > tuned.bias[2] && tuned.bias[1] > tuned.bias[2]);
done:
    whet_i_tuned_free(ctx, &tuned);
    whet_names_destroy(ctx, run.classes);
    return status;
}

static void allocations_of_tuning_may_fail(void **state) {
    (void)state;
    lesson l;
    make_lesson(&l);
    assert_true(test_each_allocation(tune_once, &l) > 200);
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
    job.end_model = WHET_END_ENCODER;
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
    assert_int_equal(entries_beside(output, ""), 2 + 4); /* ., .. and what the guide lists */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_predicts_and_is_saved),
        cmocka_unit_test(allocations_of_a_head_may_fail),
        cmocka_unit_test(labellers_teach_what_they_say),
        cmocka_unit_test(allocations_of_tuning_may_fail),
        cmocka_unit_test(a_stopped_job_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
