/* SPDX-License-Identifier: Apache-2.0
 * Features from files to files: TF-IDF of texts, principal components of features, an autoencoder's or a
 * pretrained ResNet's of images. What is fitted is fitted on the pool; test rows are only put through it.
 * Legend: n rows, d columns. */
#include <inttypes.h>
#include <sys/stat.h>

#include "io/io_i.h"
#include "label/feature_map.h"

static double number_at(const whet_tensor *x, int64_t i) {
    return x->dtype == WHET_F64 ? ((const double *)x->data)[i]
                                : (double)((const float *)x->data)[i];
}

/* What the components y [n, dim] keep of the variance of x [n, d]. */
static double share_explained(const whet_tensor *from, const whet_tensor *to) {
    const float *y = to->data;
    const int64_t n = from->shape[0], d = from->shape[1];
    double all = 0, kept = 0;
    for (int64_t j = 0; j < d; j++) {
        const double first = number_at(from, j);
        double sum = 0, square = 0;
        for (int64_t i = 0; i < n; i++) sum += (number_at(from, i * d + j) - first) / (double)n;
        for (int64_t i = 0; i < n; i++) {
            const double off = number_at(from, i * d + j) - first - sum;
            square += off * off;
        }
        all += square;
    }
    for (int64_t i = 0; i < whet_tensor_count(to); i++) kept += (double)y[i] * (double)y[i];
    return all > 0 ? kept / all : 1;
}

static whet_status write_one(whet_ctx *ctx, const char *path, bool force, const whet_tensor *made,
                             whet_npy_stream **stream) {
    WHET_TRY(whet_npy_stream_open(ctx, path, force, made->dtype, 2, made->shape, stream));
    return whet_npy_stream_append(ctx, *stream, made->data, made->shape[0]);
}

/* Rows of a file, and their features. */
typedef struct batch {
    whet_i_raw_rows rows;
    whet_tensor made;
} batch;

/* All are whole before one appears. */
static whet_status write_all(whet_ctx *ctx, const whet_feature_job *job,
                             const whet_i_feature_map *map, const batch *pool, const batch *test) {
    whet_npy_stream *first = NULL, *second = NULL, *last;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(write_one(ctx, job->output, job->force, &pool->made, &first));
    if (job->test)
        WHET_TRY_DONE(write_one(ctx, job->test_output, job->force, &test->made, &second));
    if (job->save_map) WHET_TRY_DONE(whet_i_feature_map_save(ctx, map, job->save_map, job->force));
    last = first;
    first = NULL;
    WHET_TRY_DONE(whet_npy_stream_commit(ctx, last));
    last = second;
    second = NULL;
    if (last) status = whet_npy_stream_commit(ctx, last);
done:
    whet_npy_stream_abort(ctx, first);
    whet_npy_stream_abort(ctx, second);
    return status;
}

static whet_status check_job(whet_ctx *ctx, const whet_feature_job *job) {
    const bool fits = !job->map;
    if (!job->input || !job->output ||
        ((!fits || job->method == WHET_FEATURES_TFIDF) && !job->column))
        return whet_i_fail(ctx, WHET_ERR_ARG, "expected an input, its column and an output");
    if (!job->test != !job->test_output)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "test rows and a file for them; expected both or neither");
    if (!fits && (job->save_map || job->weights))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a saved map, and %s; expected the map alone, which is as it was saved",
                           job->weights ? "weights" : "a file to save one to");
    if (fits && (job->method == WHET_FEATURES_RESNET) != (job->weights != NULL))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s; expected the weights of a ResNet for its features, and else none",
                           job->weights ? "weights" : "no weights");
    if (job->dim < 1 || job->dim > 1024)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%" PRId64 " columns; expected 1 to 1024", job->dim);
    return WHET_OK;
}

static whet_status check_one_absent(whet_ctx *ctx, const char *path) {
    struct stat info;
    if (!path || stat(path, &info) != 0 || !S_ISREG(info.st_mode)) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_EXISTS, "%s: exists; expected a new path; try --force", path);
}

/* Told before the work, as writing would tell it after. */
static whet_status check_absent(whet_ctx *ctx, const whet_feature_job *job) {
    if (job->force) return WHET_OK;
    WHET_TRY(check_one_absent(ctx, job->output));
    WHET_TRY(check_one_absent(ctx, job->save_map));
    return check_one_absent(ctx, job->test_output);
}

static void free_batch(whet_ctx *ctx, batch *b) {
    whet_i_raw_rows_free(ctx, &b->rows);
    whet_tensor_destroy(ctx, &b->made);
}

static whet_status make(whet_ctx *ctx, const whet_i_feature_map *map, const char *path, batch *b) {
    WHET_TRY(whet_i_feature_map_check(ctx, map, path, &b->rows));
    const whet_status status = whet_i_feature_map_apply(ctx, map, &b->rows, &b->made);
    return status == WHET_ERR_DATA ? whet_i_fail_at(ctx, status, "%s", path) : status;
}

whet_status whet_feature_files(whet_ctx *ctx, const whet_feature_job *job,
                               whet_feature_result *out) {
    whet_feature_job known = WHET_FEATURE_JOB_INIT;
    whet_i_feature_map *map = NULL;
    batch pool = {0}, test = {0};
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_opts(ctx, job, &known, sizeof known, "whet_feature_job"));
    WHET_TRY(check_job(ctx, &known));
    if (known.map) WHET_TRY_DONE(whet_i_feature_map_load(ctx, known.map, &map));
    const whet_features method = map ? map->method : known.method;
    WHET_TRY_DONE(whet_i_raw_rows_read(ctx, method, known.input, known.column, &pool.rows));
    if (known.test)
        WHET_TRY_DONE(whet_i_raw_rows_read(ctx, method, known.test, known.column, &test.rows));
    WHET_TRY_DONE(check_absent(ctx, &known));
    if (!map) WHET_TRY_DONE(whet_i_feature_map_fit(ctx, &known, &pool.rows, &map));
    if (known.test) WHET_TRY_DONE(make(ctx, map, known.test, &test));
    WHET_TRY_DONE(make(ctx, map, known.input, &pool));
    WHET_TRY_DONE(write_all(ctx, &known, map, &pool, &test));
    const bool components = !known.map && method == WHET_FEATURES_PCA;
    *out = (whet_feature_result){
        .rows = pool.rows.n,
        .test_rows = test.rows.n,
        .dim = map->dim,
        .method = method,
        .explained = components ? share_explained(&pool.rows.array, &pool.made) : -1};
done:
    whet_i_feature_map_destroy(ctx, map);
    free_batch(ctx, &pool);
    free_batch(ctx, &test);
    return status;
}
