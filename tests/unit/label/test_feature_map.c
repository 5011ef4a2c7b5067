/* SPDX-License-Identifier: Apache-2.0
 * Fitted maps to features that are saved: what they give later rows, and what is refused. A ResNet's is in
 * tests/cli/label_features.sh. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "label/label_i.h"
#include "whet/io.h"

enum { N = 12, T = 3, D = 6, MOST = 48 };

/* Paths that stay: test_tmp's are a ring of few. */
static const char *place(const char *name) {
    static char names[32][32], paths[32][512];
    int i = 0;
    while (names[i][0] && strcmp(names[i], name) != 0) i++;
    assert_true(i < 31);
    (void)snprintf(names[i], sizeof names[i], "%s", name);
    (void)snprintf(paths[i], sizeof paths[i], "%s", test_tmp(name));
    return paths[i];
}

static const char *put(const char *name, const void *bytes, long len) {
    (void)test_write(name, bytes, len);
    return place(name);
}

static const char *put_text(const char *name, const char *text) {
    return put(name, text, (long)strlen(text));
}

static const char *write_rows(whet_ctx *ctx, const char *name, int64_t from, int64_t n, int64_t d) {
    float x[N * D];
    const char *path = place(name);
    whet_i_rng rng;
    for (int64_t i = 0; i < n; i++) {
        whet_i_rng_init(&rng, 3, (uint64_t)(from + i));
        for (int64_t j = 0; j < d; j++) x[i * d + j] = (float)whet_i_rng_uniform(&rng);
    }
    whet_tensor t = {x, WHET_F32, 2, {n, d}};
    test_ok(ctx, whet_npy_write(ctx, path, true, &t));
    return path;
}

/* A fit on rows 0..N-1 (of texts: on some), which also saves its map. */
static whet_feature_job job_of(whet_ctx *ctx, whet_features method) {
    whet_feature_job job = WHET_FEATURE_JOB_INIT;
    job.method = method;
    job.dim = 4;
    job.column = "text";
    job.force = true;
    if (method == WHET_FEATURES_TFIDF) {
        job.input =
            put_text("t.tsv", "text\nred apples\ngreen apples and pears\nred wine\npears\n");
        job.test = put_text("u.tsv", "text\ngreen wine\nnothing known\n");
    } else {
        job.input = write_rows(ctx, "x.npy", 0, N, D);
        job.test = write_rows(ctx, "u.npy", N - 1, T, D);
    }
    job.output = place("y.npy");
    job.test_output = place("z.npy");
    job.save_map = place("map");
    return job;
}

static whet_feature_job later(const whet_feature_job *job) {
    whet_feature_job apply = WHET_FEATURE_JOB_INIT;
    apply.map = job->save_map;
    apply.column = "text";
    apply.input = job->test;
    apply.output = place("later.npy");
    apply.force = true;
    return apply;
}

static char *bytes_of(const char *path, long *len) {
    FILE *f = fopen(path, "rb");
    char *bytes = malloc(1 << 22);
    assert_non_null(f);
    *len = (long)fread(bytes, 1, 1 << 22, f);
    (void)fclose(f);
    return bytes;
}

static void assert_same_files(const char *a, const char *b) {
    long n, m;
    char *x = bytes_of(a, &n), *y = bytes_of(b, &m);
    assert_true(n == m && n > 0);
    assert_memory_equal(x, y, (size_t)n);
    free(x);
    free(y);
}

static const whet_features methods[] = {WHET_FEATURES_TFIDF, WHET_FEATURES_PCA, WHET_FEATURES_VAE};

/* Rows that were only transformed get the same bits from the file, at other thread counts; the settings of
 * the job say nothing then; and the map that was read is written as it was. */
static void later_rows_get_the_same_bits(void **state) {
    (void)state;
    for (int64_t i = 0; i < WHET_COUNT_OF(methods); i++) {
        whet_ctx *ctx = test_ctx(1), *wide = test_ctx(3);
        const whet_feature_job job = job_of(ctx, methods[i]);
        whet_feature_job apply = later(&job);
        whet_feature_result fitted, made;
        whet_i_feature_map *map;
        char once[17], again[17];
        test_ok(ctx, whet_feature_files(ctx, &job, &fitted));
        apply.seed = 9;
        apply.dim = 1;
        apply.method = WHET_FEATURES_RESNET;
        test_ok(wide, whet_feature_files(wide, &apply, &made));
        assert_true(made.dim == fitted.dim && made.rows == fitted.test_rows);
        assert_true(made.method == methods[i] && made.explained < 0);
        assert_same_files(job.test_output, apply.output);
        test_ok(ctx, whet_i_feature_map_load(ctx, job.save_map, &map));
        (void)whet_i_feature_map_fingerprint(map, once);
        test_ok(ctx, whet_i_feature_map_save(ctx, map, place("copy"), true));
        assert_same_files(job.save_map, place("copy"));
        if (methods[i] != WHET_FEATURES_TFIDF) {
            whet_tensor t;
            test_ok(ctx, whet_i_feature_map_read(ctx, map, job.test, &t));
            test_ok(ctx, whet_npy_write(ctx, place("read.npy"), true, &t));
            assert_same_files(job.test_output, place("read.npy"));
            whet_tensor_destroy(ctx, &t);
        } else {
            whet_tensor t;
            test_fails(ctx, whet_i_feature_map_read(ctx, map, job.test, &t), WHET_ERR_ARG);
            test_says(ctx, "a map of texts");
        }
        whet_i_feature_map_destroy(ctx, map);
        /* Another fit is another fingerprint. */
        whet_feature_job other = job;
        other.input = job.test;
        other.save_map = place("other");
        test_ok(ctx, whet_feature_files(ctx, &other, &fitted));
        test_ok(ctx, whet_i_feature_map_load(ctx, other.save_map, &map));
        assert_string_not_equal(whet_i_feature_map_fingerprint(map, again), once);
        whet_i_feature_map_destroy(ctx, map);
        test_ctx_done(wide);
        test_ctx_done(ctx);
    }
}

static void load_fails(whet_ctx *ctx, const char *path, whet_status status, const char *says) {
    whet_i_feature_map *map = NULL;
    test_fails(ctx, whet_i_feature_map_load(ctx, path, &map), status);
    test_says(ctx, path);
    test_says(ctx, says);
    assert_null(map);
}

static void refused_as_damaged(whet_ctx *ctx, const char *bytes, long len) {
    whet_i_feature_map *map = NULL;
    const whet_status status = whet_i_feature_map_load(ctx, put("damaged", bytes, len), &map);
    assert_true(status == WHET_ERR_FORMAT || status == WHET_ERR_DATA || status == WHET_ERR_SHAPE ||
                status == WHET_ERR_UNSUPPORTED);
    assert_null(map);
    test_says(ctx, "damaged");
}

/* Whatever bit of the file is another one, it is refused; and so is one that ends early, wherever. */
static void damage_is_seen(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_feature_job job;
    whet_feature_result result;
    char *bytes = NULL;
    long len = 0;
    for (int m = 0; m < 2; m++) { /* texts and numbers; an autoencoder's file is of megabytes */
        free(bytes);
        job = job_of(ctx, methods[m]);
        test_ok(ctx, whet_feature_files(ctx, &job, &result));
        bytes = bytes_of(job.save_map, &len);
        for (long i = 0; i < len; i++) {
            bytes[i] ^= 1;
            refused_as_damaged(ctx, bytes, len);
            bytes[i] ^= 1;
            refused_as_damaged(ctx, bytes, i);
        }
    }
    bytes[len - 1] ^= 64;
    load_fails(ctx, put("last", bytes, len), WHET_ERR_DATA, "fingerprint");
    load_fails(ctx, put("short", bytes, len - 8), WHET_ERR_FORMAT, "");
    load_fails(ctx, put("empty", bytes, 0), WHET_ERR_FORMAT, "");
    load_fails(ctx, place("none"), WHET_ERR_IO, "");
    load_fails(ctx, job.input, WHET_ERR_FORMAT, "");
    free(bytes);
    test_ctx_done(ctx);
}

/* A file as one may forge it: changed tensors and metadata, with the fingerprint that belongs to them. */
typedef struct forgery {
    whet_safetensors *file;
    whet_named_tensor items[MOST];
    int64_t n;
    const char *metadata[15]; /* format, version, method, d, height, width, fingerprint */
} forgery;

static void open_forgery(whet_ctx *ctx, const char *path, forgery *f) {
    static const char *const keys[] = {"format", "version", "method",     "d",
                                       "height", "width",   "fingerprint"};
    test_ok(ctx, whet_safetensors_open(ctx, path, &f->file));
    f->n = whet_safetensors_count(f->file);
    assert_true(f->n <= MOST);
    for (int64_t i = 0; i < f->n; i++) {
        f->items[i].name = whet_safetensors_name(f->file, i).ptr;
        assert_true(whet_safetensors_find(f->file, f->items[i].name, &f->items[i].tensor));
        const size_t size = (size_t)whet_tensor_count(&f->items[i].tensor) *
                            whet_dtype_size(f->items[i].tensor.dtype);
        void *copy = malloc(size + 1);
        memcpy(copy, f->items[i].tensor.data, size);
        f->items[i].tensor.data = copy;
    }
    for (int i = 0; i < 7; i++) {
        f->metadata[2 * i] = keys[i];
        f->metadata[2 * i + 1] = whet_safetensors_metadata(f->file, keys[i]).ptr;
        assert_non_null(f->metadata[2 * i + 1]);
    }
    f->metadata[14] = NULL;
}

static void close_forgery(whet_ctx *ctx, forgery *f) {
    for (int64_t i = 0; i < f->n; i++) free(f->items[i].tensor.data);
    whet_safetensors_close(ctx, f->file);
}

static whet_tensor *tensor_of(forgery *f, const char *name) {
    for (int64_t i = 0; i < f->n; i++)
        if (strcmp(f->items[i].name, name) == 0) return &f->items[i].tensor;
    fail();
    return NULL;
}

/* Written with what the refusal of another fingerprint says that it has. */
static const char *write_forgery(whet_ctx *ctx, forgery *f) {
    const char *path = place("forged"), *kept = f->metadata[13];
    char found[17] = "";
    whet_i_feature_map *map = NULL;
    f->metadata[13] = "0";
    test_ok(ctx, whet_safetensors_write(ctx, path, true, f->items, f->n, f->metadata));
    if (whet_i_feature_map_load(ctx, path, &map) == WHET_ERR_DATA) {
        const char *at = strstr(whet_error(ctx), "the fingerprint ");
        assert_non_null(at);
        memcpy(found, at + strlen("the fingerprint "), 16);
        f->metadata[13] = found;
        test_ok(ctx, whet_safetensors_write(ctx, path, true, f->items, f->n, f->metadata));
    }
    assert_null(map);
    f->metadata[13] = kept;
    return path;
}

static void forged_settings_are_refused(void **state) {
    (void)state;
    static const struct {
        int at; /* in the metadata */
        const char *value;
        whet_status status;
        const char *says;
    } cases[] = {
        {1, "whet-classifier", WHET_ERR_FORMAT, "no map to features"},
        {3, "2", WHET_ERR_UNSUPPORTED, "version 2; expected 1"},
        {3, "one", WHET_ERR_FORMAT, "\"version\" is \"one\""},
        {5, "wavelet", WHET_ERR_UNSUPPORTED, "\"method\" is \"wavelet\""},
        {5, "tfidf", WHET_ERR_FORMAT, "tfidf.terms"},
        {5, "vae", WHET_ERR_FORMAT, "\"encoder.0.weight\" is missing"},
        {5, "resnet", WHET_ERR_FORMAT, "layer1.0.conv1.weight"},
        {7, "0", WHET_ERR_FORMAT, "rows of no numbers"},
        {7, "-6", WHET_ERR_FORMAT, "\"d\" is \"-6\""},
        {7, "7", WHET_ERR_SHAPE, "pca.axes"},
        {9, "1048577", WHET_ERR_FORMAT, "\"height\""},
    };
    whet_ctx *ctx = test_ctx(1);
    const whet_feature_job job = job_of(ctx, WHET_FEATURES_PCA);
    whet_feature_result result;
    whet_i_feature_map *map;
    forgery f;
    test_ok(ctx, whet_feature_files(ctx, &job, &result));
    open_forgery(ctx, job.save_map, &f);
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        const char *kept = f.metadata[cases[i].at];
        f.metadata[cases[i].at] = cases[i].value;
        load_fails(ctx, write_forgery(ctx, &f), cases[i].status, cases[i].says);
        f.metadata[cases[i].at] = kept;
    }
    ((double *)tensor_of(&f, "pca.axes")->data)[2] = NAN;
    load_fails(ctx, write_forgery(ctx, &f), WHET_ERR_DATA, "\"pca.axes\" holds nan at position 2");
    ((double *)tensor_of(&f, "pca.axes")->data)[2] = 1;
    tensor_of(&f, "pca.at_mean")->shape[0]--;
    load_fails(ctx, write_forgery(ctx, &f), WHET_ERR_SHAPE, "pca.at_mean");
    tensor_of(&f, "pca.at_mean")->shape[0]++;
    test_ok(ctx, whet_i_feature_map_load(ctx, write_forgery(ctx, &f), &map)); /* the forger can */
    whet_i_feature_map_destroy(ctx, map);
    close_forgery(ctx, &f);
    test_ctx_done(ctx);
}

static void forged_networks_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const whet_feature_job job = job_of(ctx, WHET_FEATURES_VAE);
    whet_feature_job apply = later(&job);
    whet_feature_result result;
    forgery f;
    test_ok(ctx, whet_feature_files(ctx, &job, &result));
    open_forgery(ctx, job.save_map, &f);
    f.metadata[7] = "5";
    load_fails(ctx, write_forgery(ctx, &f), WHET_ERR_SHAPE, "\"encoder.0.weight\" is [128, 6]");
    f.metadata[7] = "6";
    const char *name = f.items[0].name;
    f.items[0].name = "renamed";
    load_fails(ctx, write_forgery(ctx, &f), WHET_ERR_FORMAT, "is missing");
    f.items[0].name = name;
    ((float *)tensor_of(&f, "mean.bias")->data)[5] = INFINITY;
    apply.map = write_forgery(ctx, &f);
    test_fails(ctx, whet_feature_files(ctx, &apply, &result), WHET_ERR_DATA);
    test_says(ctx, "feature 5 of image 0 is inf");
    close_forgery(ctx, &f);
    test_ctx_done(ctx);
}

static void rows_that_a_map_does_not_take(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    uint8_t pixels[12] = {0};
    whet_tensor images = {pixels, WHET_U8, 3, {2, 3, 2}}, turned = {pixels, WHET_U8, 3, {2, 2, 3}};
    whet_feature_job job = job_of(ctx, WHET_FEATURES_PCA), apply = later(&job);
    whet_feature_result result;
    test_ok(ctx, whet_feature_files(ctx, &job, &result));
    apply.input = write_rows(ctx, "narrow.npy", 0, 2, D - 1);
    test_fails(ctx, whet_feature_files(ctx, &apply, &result), WHET_ERR_SHAPE);
    test_says(ctx, "has 5 columns; expected 6, as ");
    test_says(ctx, "map takes");
    apply.save_map = place("again");
    test_fails(ctx, whet_feature_files(ctx, &apply, &result), WHET_ERR_ARG);
    test_says(ctx, "a saved map, and a file to save one to");
    job = job_of(ctx, WHET_FEATURES_VAE);
    job.input = job.test = place("tall.npy");
    test_ok(ctx, whet_npy_write(ctx, job.input, true, &images));
    test_ok(ctx, whet_feature_files(ctx, &job, &result));
    apply = later(&job);
    apply.input = place("wide.npy");
    test_ok(ctx, whet_npy_write(ctx, apply.input, true, &turned));
    test_fails(ctx, whet_feature_files(ctx, &apply, &result), WHET_ERR_SHAPE);
    test_says(ctx, "has images of 2 x 3; expected 3 x 2, as ");
    job.force = false; /* told before the work; nothing is written */
    test_fails(ctx, whet_feature_files(ctx, &job, &result), WHET_ERR_EXISTS);
    test_ctx_done(ctx);
}

static whet_status run_jobs(whet_ctx *ctx, void *arg) {
    const whet_feature_job *jobs = arg;
    whet_feature_result result;
    WHET_TRY(whet_feature_files(ctx, &jobs[0], &result));
    return whet_feature_files(ctx, &jobs[1], &result);
}

static void allocations_may_fail(void **state) {
    (void)state;
    for (int64_t i = 0; i < WHET_COUNT_OF(methods); i++) {
        whet_ctx *ctx = test_ctx(1);
        whet_feature_job jobs[2] = {job_of(ctx, methods[i])};
        whet_feature_result result;
        jobs[1] = later(&jobs[0]);
        test_ok(ctx, whet_feature_files(ctx, &jobs[0], &result));
        if (methods[i] == WHET_FEATURES_VAE) jobs[0] = jobs[1]; /* fitting has its own test */
        test_ctx_done(ctx);
        assert_true(test_each_allocation(run_jobs, jobs) > 10);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(later_rows_get_the_same_bits),
        cmocka_unit_test(damage_is_seen),
        cmocka_unit_test(forged_settings_are_refused),
        cmocka_unit_test(forged_networks_are_refused),
        cmocka_unit_test(rows_that_a_map_does_not_take),
        cmocka_unit_test(allocations_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
