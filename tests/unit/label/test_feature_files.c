/* SPDX-License-Identifier: Apache-2.0
 * Features from files to files: principal components by their definition, TF-IDF as the library has it. */
#include "support.h"

#include <math.h>
#include <stdio.h>

#include "label/label_i.h"
#include "whet/io.h"

enum { N = 40, T = 7, D = 5, DIM = 3 };

static void write_array(whet_ctx *ctx, const char *path, const float *x, int64_t n, int64_t d) {
    whet_tensor t = {(void *)(uintptr_t)x, WHET_F32, 2, {n, d}};
    test_ok(ctx, whet_npy_write(ctx, path, true, &t));
}

/* Columns of falling spread, mixed; the test rows are the first rows of the pool and others. */
static void make_rows(float *x, float *test) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, 5, 0);
    for (int i = 0; i < N; i++) {
        double z[D];
        for (int j = 0; j < D; j++) z[j] = whet_i_rng_normal(&rng) * (D - j) * (D - j);
        for (int j = 0; j < D; j++) x[i * D + j] = (float)(z[j] + .5 * z[(j + 1) % D] + j);
    }
    for (int i = 0; i < T * D; i++) test[i] = i < 4 * D ? x[i] : (float)i;
}

static whet_feature_job pca_job(void) {
    whet_feature_job job = WHET_FEATURE_JOB_INIT;
    job.method = WHET_FEATURES_PCA;
    job.dim = DIM;
    job.force = true;
    job.input = test_tmp("x.npy");
    job.test = test_tmp("t.npy");
    job.output = test_tmp("y.npy");
    job.test_output = test_tmp("z.npy");
    return job;
}

/* Components are centred, uncorrelated, of falling variance; what they keep is what is said; the rows of
 * the pool come out alike among the test rows, which had no say. */
static void components_are_what_they_are_called(void **state) {
    (void)state;
    static float x[N * D], test[T * D];
    whet_ctx *ctx = test_ctx(2);
    whet_feature_job job = pca_job();
    whet_feature_result result;
    whet_tensor y, z;
    double variance[DIM], all = 0, kept = 0;
    make_rows(x, test);
    write_array(ctx, job.input, x, N, D);
    write_array(ctx, job.test, test, T, D);
    test_ok(ctx, whet_feature_files(ctx, &job, &result));
    assert_int_equal(result.rows, N);
    assert_int_equal(result.test_rows, T);
    assert_int_equal(result.dim, DIM);
    test_ok(ctx, whet_array_read_as(ctx, job.output, WHET_F32, 2, true, &y));
    test_ok(ctx, whet_array_read_as(ctx, job.test_output, WHET_F32, 2, true, &z));
    const float *made = y.data;
    for (int a = 0; a < DIM; a++) {
        for (int b = 0; b <= a; b++) {
            double mean = 0, product = 0;
            for (int i = 0; i < N; i++) {
                mean += (double)made[i * DIM + a] / N;
                product += (double)made[i * DIM + a] * (double)made[i * DIM + b];
            }
            /* Numbers of size 25 kept in f32: 2e-6 each, 40 of them squared. */
            assert_true(fabs(mean) < 1e-4);
            if (a != b) assert_true(fabs(product) < .05);
            if (a == b) variance[a] = product;
        }
        kept += variance[a];
        assert_true(a == 0 || variance[a] <= variance[a - 1]);
    }
    for (int j = 0; j < D; j++) {
        double mean = 0;
        for (int i = 0; i < N; i++) mean += (double)x[i * D + j] / N;
        for (int i = 0; i < N; i++)
            all += ((double)x[i * D + j] - mean) * ((double)x[i * D + j] - mean);
    }
    assert_true(fabs(result.explained - kept / all) < 1e-6 && result.explained > .8);
    assert_memory_equal(z.data, y.data, sizeof(float) * 4 * DIM);
    whet_tensor_destroy(ctx, &y);
    whet_tensor_destroy(ctx, &z);
    job.dim = 100; /* no more than there are, and then nothing is lost */
    test_ok(ctx, whet_feature_files(ctx, &job, &result));
    assert_int_equal(result.dim, D);
    assert_true(fabs(result.explained - 1) < 1e-6);
    write_array(ctx, job.test, test, T, D - 1);
    test_fails(ctx, whet_feature_files(ctx, &job, &result), WHET_ERR_SHAPE);
    test_says(ctx, "has 4 columns; expected 5");
    test_ctx_done(ctx);
}

/* Columns far from 0, in f64 or as integers, have the components of what they differ by; so have single
 * rows that a saved map is given. */
static void components_of_large_numbers(void **state) {
    (void)state;
    enum { ROWS = 60 };
    whet_ctx *ctx = test_ctx(2);
    double x[ROWS * 2], one[2];
    int64_t whole[ROWS * 2];
    float plain[ROWS * 2];
    for (int i = 0; i < ROWS; i++) {
        plain[2 * i] = (float)(i * 5 % 60);
        plain[2 * i + 1] = (float)(i * 7 % 11);
        for (int j = 0; j < 2; j++) {
            x[2 * i + j] = 1.7e9 + (double)plain[2 * i + j];
            whole[2 * i + j] = (int64_t)x[2 * i + j];
        }
    }
    whet_feature_job job = WHET_FEATURE_JOB_INIT;
    whet_feature_result expected, result;
    whet_tensor y[3], z;
    job.method = WHET_FEATURES_PCA;
    job.force = true;
    job.dim = 2;
    const whet_tensor files[3] = {{plain, WHET_F32, 2, {ROWS, 2}},
                                  {x, WHET_F64, 2, {ROWS, 2}},
                                  {whole, WHET_I64, 2, {ROWS, 2}}};
    for (int at = 0; at < 3; at++) {
        job.input = test_tmp("large.npy");
        job.output = test_tmp("large-y.npy");
        job.save_map = test_tmp("large-map");
        test_ok(ctx, whet_npy_write(ctx, job.input, true, &files[at]));
        test_ok(ctx, whet_feature_files(ctx, &job, at ? &result : &expected));
        test_ok(ctx, whet_array_read_as(ctx, job.output, WHET_F32, 2, true, &y[at]));
        const float *made = y[at].data, *right = y[0].data;
        /* 1.7e9 in f64 is good to 2.4e-7. */
        for (int i = 0; i < ROWS * 2; i++) assert_true(fabsf(made[i] - right[i]) < 1e-5f);
        if (at) assert_true(fabs(result.explained - expected.explained) < 1e-6);
    }
    whet_feature_job later = WHET_FEATURE_JOB_INIT;
    memcpy(one, x + 2 * 7, sizeof one);
    const whet_tensor row = {one, WHET_F64, 2, {1, 2}};
    later.map = job.save_map;
    later.column = "text";
    later.force = true;
    later.input = test_tmp("large-row.npy");
    later.output = test_tmp("large-row-y.npy");
    test_ok(ctx, whet_npy_write(ctx, later.input, true, &row));
    test_ok(ctx, whet_feature_files(ctx, &later, &result));
    test_ok(ctx, whet_array_read_as(ctx, later.output, WHET_F32, 2, true, &z));
    assert_memory_equal(z.data, (float *)y[2].data + 2 * 7, sizeof(float) * 2);
    whet_tensor_destroy(ctx, &z);
    for (int at = 0; at < 3; at++) whet_tensor_destroy(ctx, &y[at]);
    test_ctx_done(ctx);
}

/* Methods that work in f32 are not given rows that are alike there alone; what is rounded a little is. */
static void rows_that_narrowing_makes_alike_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    double x[6] = {1.7e9, 5, 1.7e9 + 20, 5, 1.7e9 + 59, 5};
    const whet_tensor t = {x, WHET_F64, 2, {3, 2}};
    const char *path = test_tmp("alike.npy");
    whet_tensor out;
    test_ok(ctx, whet_npy_write(ctx, path, true, &t));
    test_fails(ctx, whet_i_features_read(ctx, path, &out), WHET_ERR_DATA);
    test_says(ctx, "column 0 goes from 1700000000 to 1700000059; expected numbers nearer to 0");
    test_says(ctx, "try to subtract 1700000029");
    x[1] = .1;
    test_ok(ctx, whet_npy_write(ctx, path, true, &t));
    test_ok(ctx, whet_i_features_read(ctx, path, &out));
    assert_true(out.dtype == WHET_F32 && ((float *)out.data)[1] == .1f);
    whet_tensor_destroy(ctx, &out);
    for (int i = 0; i < 6; i++) x[i] = i == 2 ? .1 + .2 : .3; /* what sums leave is no difference */
    test_ok(ctx, whet_npy_write(ctx, path, true, &t));
    test_ok(ctx, whet_i_features_read(ctx, path, &out));
    whet_tensor_destroy(ctx, &out);
    for (int i = 0; i < 6; i++) x[i] = 7;
    test_ok(ctx, whet_npy_write(ctx, path, true, &t));
    test_ok(ctx, whet_i_features_read(ctx, path, &out)); /* alike in the file too */
    whet_tensor_destroy(ctx, &out);
    x[3] = 1e39;
    test_ok(ctx, whet_npy_write(ctx, path, true, &t));
    test_fails(ctx, whet_i_features_read(ctx, path, &out), WHET_ERR_DATA);
    test_says(ctx, "[1,1] is NaN or infinite in f32");
    test_ctx_done(ctx);
}

static void texts_as_the_library_has_them(void **state) {
    (void)state;
    static const char *const texts[4] = {"red apples", "green apples and pears", "red wine",
                                         "pears"};
    whet_ctx *ctx = test_ctx(1);
    whet_feature_job job = WHET_FEATURE_JOB_INIT;
    whet_feature_result result;
    whet_tfidf_opts opts = WHET_TFIDF_OPTS_INIT;
    whet_tfidf *tfidf;
    whet_str list[4];
    whet_tensor y;
    float expected[4 * 2];
    job.input =
        test_write_text("t.tsv", "text\nred apples\ngreen apples and pears\nred wine\npears\n");
    job.column = "text";
    job.dim = 2;
    job.output = test_tmp("words.npy");
    for (int i = 0; i < 4; i++) list[i] = whet_str_from(texts[i]);
    opts.dim = 2;
    test_ok(ctx, whet_tfidf_fit(ctx, list, 4, &opts, &tfidf));
    test_ok(ctx, whet_tfidf_transform(ctx, tfidf, list, 4, expected));
    test_ok(ctx, whet_feature_files(ctx, &job, &result));
    assert_true(result.dim == 2 && result.explained < 0);
    test_ok(ctx, whet_array_read_as(ctx, job.output, WHET_F32, 2, true, &y));
    assert_memory_equal(y.data, expected, sizeof expected);
    whet_tensor_destroy(ctx, &y);
    whet_tfidf_destroy(ctx, tfidf);
    test_fails(ctx, whet_feature_files(ctx, &job, &result), WHET_ERR_EXISTS);
    job.column = "body";
    test_fails(ctx, whet_feature_files(ctx, &job, &result), WHET_ERR_ARG);
    job.test = job.input;
    test_fails(ctx, whet_feature_files(ctx, &job, &result), WHET_ERR_ARG);
    test_ctx_done(ctx);
}

static whet_status run_job(whet_ctx *ctx, void *arg) {
    const whet_feature_job *job = arg;
    whet_feature_result result;
    return whet_feature_files(ctx, job, &result);
}

static void allocations_may_fail(void **state) {
    (void)state;
    static float x[N * D], test[T * D];
    whet_ctx *ctx = test_ctx(1);
    whet_feature_job job = pca_job();
    make_rows(x, test);
    write_array(ctx, job.input, x, N, D);
    write_array(ctx, job.test, test, T, D);
    test_ctx_done(ctx);
    assert_true(test_each_allocation(run_job, &job) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(components_are_what_they_are_called),
        cmocka_unit_test(components_of_large_numbers),
        cmocka_unit_test(rows_that_narrowing_makes_alike_are_refused),
        cmocka_unit_test(texts_as_the_library_has_them),
        cmocka_unit_test(allocations_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
