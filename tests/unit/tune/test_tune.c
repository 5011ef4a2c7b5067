/* SPDX-License-Identifier: Apache-2.0
 * whet tune from C: scores by hand, what a run writes, and memory that is not to be had. */
#include "support.h"
#include "tune_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tune/tune_i.h"

/* ---- scores ----------------------------------------------------------------------------------- */

static void near_to(double got, double expected) {
    if (!(fabs(got - expected) <= 1e-6)) print_error("%.9g; expected %.9g\n", got, expected);
    assert_true(fabs(got - expected) <= 1e-6);
}

/* Three classes, six rows, two wrong: counts by hand; MCC by Gorodkin's formula:
 * truth 3,2,1; guesses 2,3,1; right 4: (4*6 - (6+6+1)) / sqrt((36-14)(36-14)) = 11/22. */
static void classes_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_tune run = {.kind = whet_i_tune_kind_of(WHET_TUNE_CROSS_ENTROPY), .k = 3};
    int32_t labels[] = {0, 0, 0, 1, 1, 2};
    const float outputs[] = {2, 0, 0, 5, 1, 1, 0, 1, 0, 0, 1, 0, 1, 1.5f, 0, 0, 0, 1};
    const whet_i_tune_rows rows = {.n = 6, .labels = labels};
    whet_i_tune_score s;
    test_ok(ctx, whet_i_tune_score_of(ctx, &run, outputs, &rows, &s));
    near_to(s.accuracy, 5.0 / 6);
    near_to(s.f1, (2 * 2 / 5.0 + 2 * 2 / 5.0 + 1) / 3);
    near_to(s.mcc, (5 * 6 - (3 * 2 + 2 * 3 + 1)) / sqrt((36.0 - 14) * (36 - 14)));
    double loss = 0;
    for (int i = 0; i < 6; i++) {
        double sum = 0;
        for (int c = 0; c < 3; c++) sum += exp((double)outputs[3 * i + c]);
        loss += log(sum) - (double)outputs[3 * i + labels[i]];
    }
    near_to(s.loss, loss / 6);
    assert_int_equal(s.n, 6);
    /* Everything one class: no correlation, not a division by zero. */
    int32_t same[] = {0, 0};
    const whet_i_tune_rows one = {.n = 2, .labels = same};
    test_ok(ctx, whet_i_tune_score_of(ctx, &run, outputs, &one, &s));
    near_to(s.mcc, 0);
    near_to(s.accuracy, 1);
    test_ctx_done(ctx);
}

/* Ranks with a tie: outputs 1,2,2,4 rank 0,1.5,1.5,3; targets 1,3,2,4 rank 0,2,1,3. */
static void numbers_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_tune run = {.kind = whet_i_tune_kind_of(WHET_TUNE_MSE), .k = 1, .regression = true};
    float targets[] = {1, 3, 2, 4};
    const float outputs[] = {1, 2, 2, 4};
    const whet_i_tune_rows rows = {.n = 4, .targets = targets};
    whet_i_tune_score s;
    test_ok(ctx, whet_i_tune_score_of(ctx, &run, outputs, &rows, &s));
    near_to(s.loss, 0.25);
    near_to(s.pearson, 4.5 / sqrt(4.75 * 5));
    near_to(s.spearman, 4.5 / sqrt(4.5 * 5));
    const float flat[] = {1, 1, 1, 1};
    test_ok(ctx, whet_i_tune_score_of(ctx, &run, flat, &rows, &s));
    assert_true(isnan(s.pearson) && isnan(s.spearman));
    test_ctx_done(ctx);
}

/* ---- runs ------------------------------------------------------------------------------------- */

static const char *model(void) { return test_source("tests/golden/bert_tiny/even"); }

static const char table[] = "text\tlabel\na good video\tyes\nthe song is bad\tno\ngood\tyes\n\tno\n"
                            "no label here\t\nbad bad bad\tno\n";

static whet_tune_job small_job(const char *output) {
    whet_tune_job job = WHET_TUNE_JOB_INIT;
    job.model = model();
    job.train = job.valid = test_write_text("train.tsv", table);
    job.output = output;
    job.epochs = 2;
    job.batch_size = 2;
    job.learning_rate = 1e-3;
    return job;
}

static void rows_without_a_label_are_left_out_and_counted(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    const char *output = test_tmp("out");
    whet_tune_job job = small_job(output);
    char *report;
    json_error_t error;
    test_ok(ctx, whet_tune_run(ctx, &job, &report));
    json_t *root = json_loads(report, 0, &error);
    assert_non_null(root);
    json_t *train = json_object_get(root, "train");
    assert_int_equal(json_integer_value(json_object_get(train, "rows")), 5);
    assert_int_equal(json_integer_value(json_object_get(train, "unlabelled")), 1);
    assert_int_equal(json_integer_value(json_object_get(root, "steps")), 6);
    json_decref(root);
    whet_free_text(ctx, report);
    test_fails(ctx, whet_tune_run(ctx, &job, NULL), WHET_ERR_EXISTS);
    job.force = true;
    test_ok(ctx, whet_tune_run(ctx, &job, NULL));
    remove_output(output);
    test_ctx_done(ctx);
}

/* What is frozen keeps its bits; what is chosen does not. */
static void only_what_is_chosen_changes(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *output = test_tmp("chosen");
    whet_tune_job job = small_job(output);
    char path[1024];
    whet_safetensors *before, *after;
    job.targets = "attention.self.query";
    job.learning_rate = 0.01;
    test_ok(ctx, whet_tune_run(ctx, &job, NULL));
    (void)snprintf(path, sizeof path, "%s/model.safetensors", model());
    test_ok(ctx, whet_safetensors_open(ctx, path, &before));
    (void)snprintf(path, sizeof path, "%s/model.safetensors", output);
    test_ok(ctx, whet_safetensors_open(ctx, path, &after));
    int64_t changed = 0, same = 0;
    for (int64_t i = 0; i < whet_safetensors_count(after); i++) {
        char name[256];
        const whet_str full = whet_safetensors_name(after, i);
        whet_tensor a, b;
        (void)snprintf(name, sizeof name, "%.*s", (int)full.len, full.ptr);
        assert_true(whet_safetensors_find(after, name, &a));
        if (!whet_safetensors_find(before, strncmp(name, "bert.", 5) == 0 ? name + 5 : name, &b))
            continue; /* the head */
        const bool equal =
            memcmp(a.data, b.data, (size_t)whet_tensor_count(&a) * sizeof(float)) == 0;
        assert_int_equal(equal, strstr(name, "query") == NULL);
        changed += !equal;
        same += equal;
    }
    assert_true(changed > 0 && same > 10);
    whet_safetensors_close(ctx, before);
    whet_safetensors_close(ctx, after);
    remove_output(output);
    test_ctx_done(ctx);
}

/* Cancelled at each poll in turn, then resumed: the bits of a run that was left alone. */
typedef struct stopper {
    int64_t polls, stop_at;
} stopper;

static bool stop(void *user) {
    stopper *s = user;
    return s->polls++ == s->stop_at;
}

static uint64_t hash_of(const char *output) {
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/model.safetensors", output);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    static char bytes[1 << 20];
    const size_t n = fread(bytes, 1, sizeof bytes, file);
    assert_int_equal(fclose(file), 0);
    assert_true(n > 1000);
    return whet_i_hash_bytes(bytes, (int64_t)n);
}

static void stopped_anywhere_it_goes_on(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char output[256];
    (void)snprintf(output, sizeof output, "%s", test_tmp("stopped"));
    whet_tune_job job = small_job(output);
    test_ok(ctx, whet_tune_run(ctx, &job, NULL));
    const uint64_t expected = hash_of(output);
    remove_output(output);
    bool done = false;
    for (int64_t at = 0; !done; at += 3) {
        stopper s = {0, at};
        whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
        whet_ctx *stopping;
        opts.cancel = stop;
        opts.user = &s;
        opts.threads = 1;
        assert_int_equal(whet_ctx_create(&opts, &stopping), WHET_OK);
        const whet_status status = whet_tune_run(stopping, &job, NULL);
        done = status == WHET_OK;
        assert_true(done || status == WHET_ERR_CANCELLED);
        whet_ctx_destroy(stopping);
        char checkpoint[1024];
        (void)snprintf(checkpoint, sizeof checkpoint, "%s/" WHET_I_TUNE_STATE_FILE, output);
        job.resume = access(checkpoint, F_OK) == 0;
        job.force = !job.resume;
        if (done) break;
        test_ok(ctx, whet_tune_run(ctx, &job, NULL));
        assert_true(hash_of(output) == expected);
        job.resume = false;
        job.force = false;
        remove_output(output);
    }
    remove_output(output);
    test_ctx_done(ctx);
}

static whet_status tune_once(whet_ctx *ctx, void *arg) {
    const whet_tune_job *job = arg;
    char *report = NULL;
    const whet_status status = whet_tune_run(ctx, job, &report);
    whet_free_text(ctx, report);
    return status;
}

static void allocations_may_fail(void **state) {
    (void)state;
    char output[256];
    (void)snprintf(output, sizeof output, "%s", test_tmp("failing"));
    whet_tune_job job = small_job(output);
    job.force = true;
    job.epochs = 1;
    job.adapter = WHET_TUNE_MORE;
    assert_true(test_each_allocation(tune_once, &job) > 100);
    remove_output(output);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_by_hand),
        cmocka_unit_test(numbers_by_hand),
        cmocka_unit_test(rows_without_a_label_are_left_out_and_counted),
        cmocka_unit_test(only_what_is_chosen_changes),
        cmocka_unit_test(stopped_anywhere_it_goes_on),
        cmocka_unit_test(allocations_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
