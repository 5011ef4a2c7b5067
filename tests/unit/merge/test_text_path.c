/* SPDX-License-Identifier: Apache-2.0
 * The line between two encoders with a head for classes: losses by hand, classes by name, refusals. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "merge/text_path.h"

enum { TENSORS = 64, WIDTH = 32 };

/* The tiny encoder with a head of three classes that looks at nothing: its bias alone says. */
typedef struct model {
    whet_safetensors *file;
    whet_named_tensor items[TENSORS];
    whet_weights weights;
    float pooler[WIDTH * WIDTH], zeros[WIDTH], matrix[3 * WIDTH], bias[3];
} model;

static const char *folder(void) {
    static char path[4096];
    (void)snprintf(path, sizeof path, "%s", test_source("tests/golden/bert_tiny/even"));
    return path;
}

static void add(model *m, const char *name, whet_tensor t) {
    assert_true(m->weights.n < TENSORS);
    m->items[m->weights.n++] = (whet_named_tensor){name, t};
}

static void make(whet_ctx *ctx, model *m, const float bias[3]) {
    memset(m, 0, sizeof *m);
    m->weights.items = m->items;
    test_ok(ctx, whet_safetensors_open(
                     ctx, test_source("tests/golden/bert_tiny/even/model.safetensors"), &m->file));
    for (int64_t i = 0; i < whet_safetensors_count(m->file); i++) {
        whet_tensor t;
        const char *name = whet_safetensors_name(m->file, i).ptr;
        assert_true(whet_safetensors_find(m->file, name, &t));
        add(m, name, t);
    }
    memcpy(m->bias, bias, sizeof m->bias);
    for (int i = 0; i < WIDTH; i++) m->pooler[i * WIDTH + i] = 1;
    add(m, "pooler.dense.weight", (whet_tensor){m->pooler, WHET_F32, 2, {WIDTH, WIDTH}});
    add(m, "pooler.dense.bias", (whet_tensor){m->zeros, WHET_F32, 1, {WIDTH}});
    add(m, "classifier.weight", (whet_tensor){m->matrix, WHET_F32, 2, {3, WIDTH}});
    add(m, "classifier.bias", (whet_tensor){m->bias, WHET_F32, 1, {3}});
}

static const char *write_table(const char *text) {
    const char *path = test_tmp("texts.tsv");
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    return path;
}

static whet_align_job job_of(const char *table) {
    whet_align_job job = WHET_ALIGN_JOB_INIT;
    job.a = folder();
    job.data = table;
    job.text = "text";
    job.label = "label";
    return job;
}

static const char table_text[] =
    "text\tlabel\ngood video\t0\nno label\t\n\t1\nbad song\tLABEL_1\nthe channel is good\t0\n";

/* p = (1/2, 1/4, 1/4) and (1/4, 1/2, 1/4) at the ends; between them logits (1, 1, 0) ln 2 / 2. */
static void by_hand(void **state) {
    (void)state;
    static const float two = 0x1.62e43p-1f;
    static const float first[] = {two, 0, 0}, second[] = {0, two, 0};
    static model a, b;
    whet_ctx *ctx = test_ctx(2);
    const whet_align_job job = job_of(write_table(table_text));
    const char *const dirs[2] = {folder(), folder()};
    whet_i_text_inputs in;
    whet_mode_point points[3];
    double barrier;
    make(ctx, &a, first);
    make(ctx, &b, second);
    test_ok(ctx, whet_i_text_inputs_read(ctx, &job, dirs, &a.weights, &in));
    assert_int_equal(in.n, 4);
    assert_int_equal(in.classes, 3);
    assert_int_equal(in.labels[1], 1);
    assert_int_equal(in.labels[2], 1);
    assert_int_equal(in.labels[3], 0);
    test_ok(ctx, whet_i_text_path(ctx, &in, &a.weights, &b.weights, 3, points, &barrier));
    for (int i = 0; i < 3; i++) assert_true(points[i].weight == .5 * i);
    /* logits are f32, of size 1: 1e-6 */
    assert_true(fabs(points[0].loss - 1.5 * log(2)) < 1e-6);
    assert_true(fabs(points[2].loss - 1.5 * log(2)) < 1e-6);
    assert_true(fabs(points[1].loss - (log(2 * sqrt(2) + 1) - .5 * log(2))) < 1e-6);
    assert_true(points[0].accuracy == .5 && points[1].accuracy == .5 && points[2].accuracy == .5);
    assert_true(barrier == 0); /* the loss is convex in the bias */
    whet_i_text_inputs_free(ctx, &in);
    whet_safetensors_close(ctx, a.file);
    whet_safetensors_close(ctx, b.file);
    test_ctx_done(ctx);
}

/* Inner weights that cancel in the middle: the line rises; the same at any number of threads. */
static void threads_change_no_bit(void **state) {
    (void)state;
    static const float none[] = {0, 0, 0};
    static model a, b;
    whet_mode_point points[2][5];
    double barrier[2];
    for (int k = 0; k < 2; k++) {
        whet_ctx *ctx = test_ctx(k ? 3 : 1);
        const whet_align_job job = job_of(write_table(table_text));
        const char *const dirs[2] = {folder(), NULL};
        whet_i_text_inputs in;
        make(ctx, &a, none);
        make(ctx, &b, none);
        for (int i = 0; i < 3 * WIDTH; i++) {
            a.matrix[i] = (float)(i % 7) - 3;
            b.matrix[i] = 3 - (float)(i % 5);
        }
        test_ok(ctx, whet_i_text_inputs_read(ctx, &job, dirs, &a.weights, &in));
        test_ok(ctx, whet_i_text_path(ctx, &in, &a.weights, &b.weights, 5, points[k], &barrier[k]));
        whet_i_text_inputs_free(ctx, &in);
        whet_safetensors_close(ctx, a.file);
        whet_safetensors_close(ctx, b.file);
        test_ctx_done(ctx);
    }
    assert_true(points[0][0].loss != points[0][4].loss);
    for (int i = 0; i < 5; i++) assert_true(points[0][i].loss == points[1][i].loss);
    assert_true(barrier[0] == barrier[1]);
}

static void refusals(void **state) {
    (void)state;
    static const float none[] = {0, 0, 0};
    static model a, b;
    whet_ctx *ctx = test_ctx(1);
    const char *const dirs[2] = {folder(), folder()};
    whet_align_job job = job_of(write_table("text\tlabel\ngood\t3\n"));
    whet_i_text_inputs in;
    whet_mode_point points[2] = {{-7, -7, -7}, {-7, -7, -7}};
    double barrier = -7;
    make(ctx, &a, none);
    make(ctx, &b, none);
    test_fails(ctx, whet_i_text_inputs_read(ctx, &job, dirs, &a.weights, &in), WHET_ERR_DATA);
    test_says(ctx, "texts.tsv:2: label \"3\"; expected a class from 0 to 2");
    whet_i_text_inputs_free(ctx, &in);
    (void)write_table("text\tlabel\ngood\t\n");
    test_fails(ctx, whet_i_text_inputs_read(ctx, &job, dirs, &a.weights, &in), WHET_ERR_DATA);
    test_says(ctx, "no row has a label");
    whet_i_text_inputs_free(ctx, &in);
    job.second = "other";
    (void)write_table("text\tlabel\ngood\t1\n");
    test_fails(ctx, whet_i_text_inputs_read(ctx, &job, dirs, &a.weights, &in), WHET_ERR_ARG);
    whet_i_text_inputs_free(ctx, &in);
    job.second = NULL;
    test_ok(ctx, whet_i_text_inputs_read(ctx, &job, dirs, &a.weights, &in));
    b.weights.n--; /* the bias */
    test_fails(ctx, whet_i_text_path(ctx, &in, &a.weights, &b.weights, 2, points, &barrier),
               WHET_ERR_FORMAT);
    test_says(ctx, "tensor classifier.bias is not in the second network");
    b.weights.n++;
    b.items[b.weights.n - 1].tensor.shape[0] = 2;
    test_fails(ctx, whet_i_text_path(ctx, &in, &a.weights, &b.weights, 2, points, &barrier),
               WHET_ERR_SHAPE);
    whet_i_text_inputs_free(ctx, &in);
    a.weights.n -= 2;
    test_fails(ctx, whet_i_text_inputs_read(ctx, &job, dirs, &a.weights, &in), WHET_ERR_FORMAT);
    test_says(ctx, "expected a BertForSequenceClassification");
    whet_i_text_inputs_free(ctx, &in);
    assert_true(points[0].weight == -7 && barrier == -7);
    whet_safetensors_close(ctx, a.file);
    whet_safetensors_close(ctx, b.file);
    test_ctx_done(ctx);
}

static whet_status body(whet_ctx *ctx, void *arg) {
    const whet_weights *a = arg;
    const char *const dirs[2] = {folder(), folder()};
    const whet_align_job job = job_of(test_tmp("texts.tsv"));
    whet_mode_point points[2];
    double barrier;
    whet_i_text_inputs in;
    whet_status status = whet_i_text_inputs_read(ctx, &job, dirs, a, &in);
    if (status == WHET_OK) status = whet_i_text_path(ctx, &in, a, a, 2, points, &barrier);
    whet_i_text_inputs_free(ctx, &in);
    return status;
}

static void survives_failing_allocations(void **state) {
    (void)state;
    static const float none[] = {0, 0, 0};
    static model a;
    whet_ctx *ctx = test_ctx(1);
    make(ctx, &a, none);
    (void)write_table("text\tlabel\ngood\t1\n");
    assert_true(test_each_allocation(body, &a.weights) > 100);
    whet_safetensors_close(ctx, a.file);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(refusals),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
