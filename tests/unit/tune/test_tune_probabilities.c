/* SPDX-License-Identifier: Apache-2.0
 * whet tune on probabilistic labels: hard labels as the oracle (certain rows give their bits, mixtures their
 * mixed losses), weights by hand, rows that say nothing, runs that are stopped, memory, bad input. */
#include "support.h"
#include "tune_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tune/tune_i.h"

enum { ROWS = 6 };

static const char texts[] = "text\na good video\nthe song is bad\ngood\nbad song\nno label here\n"
                            "bad bad bad\n";
static const char labelled[] = "text\tlabel\na good video\tyes\nthe song is bad\tno\ngood\tyes\n"
                               "bad song\tno\nno label here\tyes\nbad bad bad\tno\n";
static const float certain[2 * ROWS] = {0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0}; /* no, yes */

/* Paths of test_tmp last for a few calls only. */
static const char *kept(const char *path) {
    static char paths[32][320];
    int i = 0;
    while (i < 31 && paths[i][0] && strcmp(paths[i], path) != 0) i++;
    (void)snprintf(paths[i], sizeof paths[i], "%s", path);
    return paths[i];
}

static const char *probs_file(whet_ctx *ctx, const char *name, const float *q, int64_t rows,
                              int64_t k) {
    float copy[64];
    memcpy(copy, q, (size_t)(rows * k) * sizeof *q);
    const char *path = kept(test_tmp(name));
    const whet_tensor t = {.data = copy, .dtype = WHET_F32, .rank = 2, .shape = {rows, k}};
    test_ok(ctx, whet_npy_write(ctx, path, true, &t));
    return path;
}

static whet_tune_job small_job(const char *table, const char *output) {
    whet_tune_job job = WHET_TUNE_JOB_INIT;
    job.model = kept(test_source("tests/golden/bert_tiny/even"));
    job.train = kept(test_write_text(table == texts ? "texts.tsv" : "soft.tsv", table));
    job.output = output;
    job.force = true;
    job.epochs = 2;
    job.batch_size = 2;
    job.learning_rate = 1e-2;
    job.classes = kept(test_write_text("classes.txt", "no\nyes\n"));
    return job;
}

static uint64_t hash_of(const char *output) {
    static char bytes[1 << 20];
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/model.safetensors", output);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    const size_t n = fread(bytes, 1, sizeof bytes, file);
    assert_int_equal(fclose(file), 0);
    assert_true(n > 1000);
    return whet_i_hash_bytes(bytes, (int64_t)n);
}

static uint64_t bits_of(whet_ctx *ctx, const whet_tune_job *job) {
    test_ok(ctx, whet_tune_run(ctx, job, NULL));
    return hash_of(job->output);
}

/* The loss of the first step: of the model as it is, over all rows at once. */
static double first_loss(whet_ctx *ctx, whet_tune_job job) {
    char path[1024], line[512];
    job.batch_size = 64;
    job.epochs = 1;
    job.dropout = 0;
    test_ok(ctx, whet_tune_run(ctx, &job, NULL));
    (void)snprintf(path, sizeof path, "%s/metrics.jsonl", job.output);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    assert_int_equal(fclose(file), 0);
    json_t *o = json_loads(line, 0, NULL);
    const double loss = json_real_value(json_object_get(o, "loss"));
    json_decref(o);
    assert_true(loss > 0);
    return loss;
}

/* ---- hard labels as the oracle ------------------------------------------------------------------ */

static void certain_rows_are_labels_to_the_bit(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    char output[256];
    const float wrong[2 * ROWS] = {1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1};
    (void)snprintf(output, sizeof output, "%s", test_tmp("certain"));
    whet_tune_job hard = small_job(labelled, output);
    hard.valid = hard.train;
    const uint64_t expected = bits_of(ctx, &hard);
    whet_tune_job soft = small_job(texts, output);
    soft.valid = kept(test_write_text("valid.tsv", labelled));
    soft.probs = probs_file(ctx, "certain.npy", certain, ROWS, 2);
    assert_true(bits_of(ctx, &soft) == expected);
    /* A sure row has the confidence 1, and a batch may be cut. */
    soft.row_weights = WHET_TUNE_WEIGHTS_CONFIDENCE;
    soft.batch_tokens = hard.batch_tokens = 8;
    assert_true(bits_of(ctx, &soft) == bits_of(ctx, &hard));
    /* Labels win over what the array says of their rows. */
    soft = small_job(labelled, output);
    soft.valid = soft.train;
    soft.probs = probs_file(ctx, "wrong.npy", wrong, ROWS, 2);
    soft.label_weight = 7; /* of all rows alike: nothing */
    assert_true(bits_of(ctx, &soft) == expected);
    soft = small_job(texts, output);
    soft.valid = hard.valid;
    soft.probs = probs_file(ctx, "wrong.npy", wrong, ROWS, 2);
    assert_true(bits_of(ctx, &soft) != expected);
    remove_output(output);
    test_ctx_done(ctx);
}

/* The loss is linear in the probabilities: mixtures of two labellings. */
static void mixtures_have_mixed_losses(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    char output[256];
    float q[2 * ROWS];
    (void)snprintf(output, sizeof output, "%s", test_tmp("mixed"));
    const float no[2 * ROWS] = {1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0};
    whet_tune_job job = small_job(texts, output);
    job.probs = probs_file(ctx, "no.npy", no, ROWS, 2);
    const double all_no = first_loss(ctx, job);
    for (int64_t i = 0; i < 2 * ROWS; i++) q[i] = 1 - no[i];
    job.probs = probs_file(ctx, "yes.npy", q, ROWS, 2);
    const double all_yes = first_loss(ctx, job);
    for (int64_t i = 0; i < 2 * ROWS; i++) q[i] = i % 2 ? 0.75F : 0.25F;
    job.probs = probs_file(ctx, "between.npy", q, ROWS, 2);
    /* f32 losses: some 1e-7 of theirs. */
    assert_true(fabs(first_loss(ctx, job) - (0.25 * all_no + 0.75 * all_yes)) < 1e-6);
    /* Sums that are 1 but for rounding are made 1; smoothing mixes with the even distribution. */
    for (int64_t i = 0; i < 2 * ROWS; i++) q[i] *= 1.0005F;
    job.probs = probs_file(ctx, "between.npy", q, ROWS, 2);
    assert_true(fabs(first_loss(ctx, job) - (0.25 * all_no + 0.75 * all_yes)) < 1e-6);
    job.smoothing = 0.2;
    assert_true(fabs(first_loss(ctx, job) - (0.3 * all_no + 0.7 * all_yes)) < 1e-6);
    assert_true(fabs(all_no - all_yes) > 1e-3); /* else the above says little */
    remove_output(output);
    test_ctx_done(ctx);
}

/* ---- weights and rows by hand ------------------------------------------------------------------- */

/* Reads as a run does, without the model: probs and which rows are kept. */
static whet_status read_with(whet_ctx *ctx, const whet_tune_job *job, whet_i_tune *run,
                             whet_i_given_labels *given) {
    *run = (whet_i_tune){.job = *job};
    *given = (whet_i_given_labels){0};
    run->job.label = "label";
    if (run->job.label_weight == 0) run->job.label_weight = 1;
    run->train.path = job->train;
    WHET_TRY(whet_table_read(ctx, job->train, &run->train.table));
    return whet_i_tune_read_probabilities(ctx, run, &run->train, given);
}

static void free_read(whet_ctx *ctx, whet_i_tune *run, whet_i_given_labels *given) {
    whet_i_free(ctx, given->items);
    whet_i_tune_free_rows(ctx, &run->train);
    whet_names_destroy(ctx, run->classes);
}

static void near_to(double got, double expected) {
    if (!(fabs(got - expected) <= 1e-6)) print_error("%.9g; expected %.9g\n", got, expected);
    assert_true(fabs(got - expected) <= 1e-6);
}

/* Rows: labelled (class 1, weight 3), zeros, even, confidence 1 - H(.8, .2) / ln 2, certain. */
static void weights_and_rows_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_tune run;
    whet_i_given_labels given;
    const float q[] = {0.9F, 0.1F, 0, 0, 0.5F, 0.5F, 0.8F, 0.2F, 0, 1};
    whet_tune_job job = small_job("text\tlabel\na\tyes\nb\t\nc\t\nd\t \ne\t\n", "nowhere");
    job.probs = probs_file(ctx, "hand.npy", q, 5, 2);
    job.row_weights = WHET_TUNE_WEIGHTS_CONFIDENCE;
    job.label_weight = 3;
    test_ok(ctx, read_with(ctx, &job, &run, &given));
    assert_int_equal(given.n, 3);
    assert_int_equal(given.items[0].row, 0);
    assert_int_equal(given.items[1].row, 3);
    assert_int_equal(given.items[2].row, 4);
    assert_int_equal(run.train.clamped, 1);
    const double sure = 1 + (0.8 * log(0.8) + 0.2 * log(0.2)) / log(2), mean = (3 + sure + 1) / 3;
    const double expected[] = {0, 3 / mean, 0.8 * sure / mean, 0.2 * sure / mean, 0, 1 / mean};
    for (int64_t i = 0; i < 6; i++) near_to((double)run.train.probs[i], expected[i]);
    free_read(ctx, &run, &given);
    job.row_weights = WHET_TUNE_WEIGHTS_EVEN;
    job.smoothing = 0.1;
    test_ok(ctx, read_with(ctx, &job, &run, &given));
    const double even[] = {0.05 * 1.8, 0.95 * 1.8, 0.77 * 0.6, 0.23 * 0.6, 0.05 * 0.6, 0.95 * 0.6};
    for (int64_t i = 0; i < 6; i++) near_to((double)run.train.probs[i], even[i]);
    free_read(ctx, &run, &given);
    test_ctx_done(ctx);
}

/* A list; the labels' own, sorted; their numbers. */
static void classes_have_names(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_tune run;
    whet_i_given_labels given;
    const float q[] = {0.9F, 0.1F, 0.2F, 0.8F};
    whet_tune_job job = small_job("text\tlabel\na\tz\nb\ty\n", "nowhere");
    job.probs = probs_file(ctx, "named.npy", q, 2, 2);
    job.classes = NULL;
    test_ok(ctx, read_with(ctx, &job, &run, &given));
    assert_true(whet_str_equal(whet_names_get(run.classes, 0), whet_str_from("y")));
    near_to((double)run.train.probs[1], 1);
    free_read(ctx, &run, &given);
    job.train = kept(test_write_text("unnamed.tsv", "text\na\nb\n"));
    test_ok(ctx, read_with(ctx, &job, &run, &given));
    assert_true(whet_str_equal(whet_names_get(run.classes, 1), whet_str_from("1")));
    assert_int_equal(run.train.clamped, 0);
    free_read(ctx, &run, &given);
    test_ctx_done(ctx);
}

/* ---- stopped, short of memory ------------------------------------------------------------------- */

static bool stop(void *user) {
    int64_t *left = user;
    return (*left)-- == 0;
}

static whet_tune_job uneven_job(whet_ctx *ctx, const char *output) {
    const float q[2 * ROWS] = {0.1F, 0.9F, 0.7F, 0.3F, 0, 0, 1, 0, 0.4F, 0.6F, 0.8F, 0.2F};
    whet_tune_job job =
        small_job("text\tlabel\na good video\t\nthe song is bad\t\ngood\tyes\nbad song\t\n"
                  "no label here\t\nbad bad bad\t\n",
                  output);
    job.valid = kept(test_write_text("valid.tsv", labelled));
    job.probs = probs_file(ctx, "uneven.npy", q, ROWS, 2);
    job.row_weights = WHET_TUNE_WEIGHTS_CONFIDENCE;
    job.save_steps = 1;
    return job;
}

static void stopped_anywhere_it_goes_on(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(3);
    char output[256], checkpoint[512];
    (void)snprintf(output, sizeof output, "%s", test_tmp("halted"));
    (void)snprintf(checkpoint, sizeof checkpoint, "%s/" WHET_I_TUNE_STATE_FILE, output);
    whet_tune_job job = uneven_job(ctx, output);
    const uint64_t expected = bits_of(ctx, &job);
    int64_t resumed = 0;
    for (int64_t at = 0;; at += 2) {
        int64_t left = at;
        whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
        whet_ctx *stopping;
        remove_output(output);
        opts.cancel = stop;
        opts.user = &left;
        opts.threads = 1;
        assert_int_equal(whet_ctx_create(&opts, &stopping), WHET_OK);
        const whet_status status = whet_tune_run(stopping, &job, NULL);
        whet_ctx_destroy(stopping);
        if (status == WHET_OK) break;
        assert_int_equal(status, WHET_ERR_CANCELLED);
        whet_tune_job again = job;
        again.resume = access(checkpoint, F_OK) == 0;
        if (again.resume && resumed++ == 0) { /* not with other targets */
            again.row_weights = WHET_TUNE_WEIGHTS_EVEN;
            test_fails(ctx, whet_tune_run(ctx, &again, NULL), WHET_ERR_DATA);
            test_says(ctx, "other settings");
            again.row_weights = job.row_weights;
        }
        assert_true(bits_of(ctx, &again) == expected);
    }
    assert_true(resumed > 3);
    remove_output(output);
    test_ctx_done(ctx);
}

static whet_status tune_once(whet_ctx *ctx, void *arg) {
    char *report = NULL;
    const whet_status status = whet_tune_run(ctx, arg, &report);
    whet_free_text(ctx, report);
    return status;
}

static void allocations_may_fail(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char output[256];
    (void)snprintf(output, sizeof output, "%s", test_tmp("failing"));
    whet_tune_job job = uneven_job(ctx, output);
    job.epochs = 1;
    job.save_steps = 0;
    job.adapter = WHET_TUNE_LORA;
    job.classes = NULL;
    job.train = kept(test_write_text("soft.tsv", labelled));
    assert_true(test_each_allocation(tune_once, &job) > 100);
    remove_output(output);
    test_ctx_done(ctx);
}

/* ---- what is refused ---------------------------------------------------------------------------- */

static void refused(whet_ctx *ctx, const whet_tune_job *job, whet_status status,
                    const char *sentence) {
    test_fails(ctx, whet_tune_run(ctx, job, NULL), status);
    test_says(ctx, sentence);
}

static void arrays_that_are_none(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char output[256];
    float q[2 * ROWS];
    (void)snprintf(output, sizeof output, "%s", test_tmp("never"));
    whet_tune_job job = small_job(texts, output);
    job.probs = probs_file(ctx, "bad.npy", certain, ROWS - 1, 2);
    refused(ctx, &job, WHET_ERR_SHAPE, "5 rows; expected 6");
    job.probs = probs_file(ctx, "bad.npy", certain, ROWS, 1);
    refused(ctx, &job, WHET_ERR_SHAPE, "1 columns; expected 2 to");
    const float three[3 * ROWS] = {1};
    job.probs = probs_file(ctx, "bad.npy", three, ROWS, 3);
    refused(ctx, &job, WHET_ERR_SHAPE, "3 columns; expected 2, one a class");
    memcpy(q, certain, sizeof q);
    q[4] = 0.1F;
    job.probs = probs_file(ctx, "bad.npy", q, ROWS, 2);
    refused(ctx, &job, WHET_ERR_DATA, "row 2 sums to 1.1");
    q[4] = -0.5F;
    job.probs = probs_file(ctx, "bad.npy", q, ROWS, 2);
    refused(ctx, &job, WHET_ERR_DATA, "row 2 holds -0.5 in column 0");
    q[4] = NAN;
    job.probs = probs_file(ctx, "bad.npy", q, ROWS, 2);
    refused(ctx, &job, WHET_ERR_DATA, "[2,0]");
    for (int64_t i = 0; i < 2 * ROWS; i++) q[i] = i < 4 ? 0.5F : 0;
    job.probs = probs_file(ctx, "bad.npy", q, ROWS, 2);
    refused(ctx, &job, WHET_ERR_DATA, "all probabilities are equal");
    job.probs = probs_file(ctx, "bad.npy", certain, ROWS, 2);
    job.train = kept(test_write_text("odd.tsv", "text\tlabel\na\t\nb\t\nc\tye\nd\t\ne\t\nf\t\n"));
    refused(ctx, &job, WHET_ERR_DATA, "odd.tsv:4: label \"ye\"");
    job.label = "class";
    refused(ctx, &job, WHET_ERR_ARG, "\"class\"");
    job.probs = "nothing.npy";
    refused(ctx, &job, WHET_ERR_IO, "nothing.npy");
    assert_int_not_equal(access(output, F_OK), 0);
    test_ctx_done(ctx);
}

static void settings_that_do_not_fit(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char output[256];
    (void)snprintf(output, sizeof output, "%s", test_tmp("never"));
    whet_tune_job job = small_job(texts, output);
    job.row_weights = WHET_TUNE_WEIGHTS_CONFIDENCE;
    refused(ctx, &job, WHET_ERR_ARG, "without probabilities");
    job.row_weights = WHET_TUNE_WEIGHTS_EVEN;
    job.label_weight = 2;
    refused(ctx, &job, WHET_ERR_ARG, "without probabilities");
    job.probs = "p.npy";
    job.label_weight = -1;
    refused(ctx, &job, WHET_ERR_ARG, "labels' weight is -1");
    job.label_weight = 1;
    job.row_weights = (whet_tune_weights)9;
    refused(ctx, &job, WHET_ERR_ARG, "number 9");
    job.row_weights = WHET_TUNE_WEIGHTS_EVEN;
    job.loss = WHET_TUNE_SUPERVISED;
    refused(ctx, &job, WHET_ERR_ARG, "another task or loss");
    job.loss = WHET_TUNE_LOSS_AUTO;
    job.task = WHET_TUNE_REGRESS;
    refused(ctx, &job, WHET_ERR_ARG, "another task or loss");
    job.task = WHET_TUNE_AUTO;
    job.target = "text";
    refused(ctx, &job, WHET_ERR_ARG, "another task or loss");
    assert_int_not_equal(access(output, F_OK), 0);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certain_rows_are_labels_to_the_bit),
        cmocka_unit_test(mixtures_have_mixed_losses),
        cmocka_unit_test(weights_and_rows_by_hand),
        cmocka_unit_test(classes_have_names),
        cmocka_unit_test(stopped_anywhere_it_goes_on),
        cmocka_unit_test(allocations_may_fail),
        cmocka_unit_test(arrays_that_are_none),
        cmocka_unit_test(settings_that_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
