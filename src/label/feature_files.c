/* SPDX-License-Identifier: Apache-2.0
 * Features without a model, from files to files: TF-IDF of texts, principal components of features. What
 * is fitted is fitted on the pool; test rows are only put through it.
 * Legend: n rows, d columns. */
#include <inttypes.h>

#include "io/io_i.h"
#include "label/label_i.h"

typedef struct making {
    const whet_feature_job *job;
    whet_tfidf *tfidf;
    whet_i_components components;
    int64_t d, dim;
} making;

/* Rows as they are read, and made. */
typedef struct batch {
    whet_table *table;
    whet_str *texts;
    whet_tensor features, made;
    int64_t n;
} batch;

static void free_batch(whet_ctx *ctx, batch *b) {
    whet_table_destroy(ctx, b->table);
    whet_i_free(ctx, b->texts);
    whet_tensor_destroy(ctx, &b->features);
    whet_tensor_destroy(ctx, &b->made);
}

static whet_status read_batch(whet_ctx *ctx, const whet_feature_job *job, const char *path,
                              batch *b) {
    int64_t column;
    if (job->method == WHET_FEATURES_PCA) {
        WHET_TRY(whet_array_read_as(ctx, path, WHET_F32, 2, true, &b->features));
        b->n = b->features.shape[0];
        return WHET_OK;
    }
    WHET_TRY(whet_table_read(ctx, path, &b->table));
    WHET_TRY(whet_table_find(ctx, b->table, job->column, &column));
    b->n = whet_table_rows(b->table);
    WHET_TRY(whet_i_alloc(ctx, b->n, &b->texts));
    for (int64_t i = 0; i < b->n; i++) b->texts[i] = whet_table_cell(b->table, i, column);
    whet_i_warn_of_texts(ctx, path, b->texts, b->n);
    return WHET_OK;
}

static whet_status fit(whet_ctx *ctx, making *m, const batch *pool) {
    const whet_feature_job *job = m->job;
    if (job->method == WHET_FEATURES_TFIDF) {
        whet_tfidf_opts opts = WHET_TFIDF_OPTS_INIT;
        opts.dim = (int32_t)job->dim;
        opts.seed = job->seed;
        WHET_TRY(whet_tfidf_fit(ctx, pool->texts, pool->n, &opts, &m->tfidf));
        m->dim = whet_tfidf_dim(m->tfidf);
        return WHET_OK;
    }
    m->d = pool->features.shape[1];
    if (pool->n < 1 || m->d < 1)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s is [%" PRId64 ", %" PRId64 "]; expected rows and columns",
                           job->input, pool->n, m->d);
    const int64_t most = pool->n < m->d ? pool->n : m->d;
    m->dim = job->dim < most ? job->dim : most;
    return whet_i_components_fit(ctx, pool->features.data, pool->n, m->d, m->dim, &m->components);
}

/* What the components keep of the pool's variance. */
static double share_explained(const batch *pool, int64_t d, int64_t dim) {
    const float *x = pool->features.data, *y = pool->made.data;
    double all = 0, kept = 0;
    for (int64_t j = 0; j < d; j++) {
        double sum = 0, square = 0;
        for (int64_t i = 0; i < pool->n; i++) sum += (double)x[i * d + j] / (double)pool->n;
        for (int64_t i = 0; i < pool->n; i++) {
            const double off = (double)x[i * d + j] - sum;
            square += off * off;
        }
        all += square;
    }
    for (int64_t i = 0; i < pool->n * dim; i++) kept += (double)y[i] * (double)y[i];
    return all > 0 ? kept / all : 1;
}

static whet_status make(whet_ctx *ctx, const making *m, const char *path, batch *b) {
    const int64_t shape[2] = {b->n, m->dim};
    WHET_TRY(whet_tensor_create(ctx, WHET_F32, 2, shape, &b->made));
    if (m->tfidf) return whet_tfidf_transform(ctx, m->tfidf, b->texts, b->n, b->made.data);
    if (b->features.shape[1] != m->d)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s has %" PRId64 " columns; expected %" PRId64 ", as %s has", path,
                           b->features.shape[1], m->d, m->job->input);
    return whet_i_components_apply(ctx, &m->components, b->features.data, b->n, b->made.data);
}

static whet_status write_one(whet_ctx *ctx, const char *path, bool force, const whet_tensor *made,
                             whet_npy_stream **stream) {
    WHET_TRY(whet_npy_stream_open(ctx, path, force, made->dtype, 2, made->shape, stream));
    return whet_npy_stream_append(ctx, *stream, made->data, made->shape[0]);
}

/* Both are open before one appears. */
static whet_status write_both(whet_ctx *ctx, const whet_feature_job *job, const batch *pool,
                              const batch *test) {
    whet_npy_stream *first = NULL, *second = NULL, *last;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(write_one(ctx, job->output, job->force, &pool->made, &first));
    if (job->test)
        WHET_TRY_DONE(write_one(ctx, job->test_output, job->force, &test->made, &second));
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
    if (!job->input || !job->output || (job->method == WHET_FEATURES_TFIDF && !job->column))
        return whet_i_fail(ctx, WHET_ERR_ARG, "expected an input, its column and an output");
    if (!job->test != !job->test_output)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "test rows and a file for them; expected both or neither");
    if (job->dim < 1 || job->dim > 1024)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%" PRId64 " columns; expected 1 to 1024", job->dim);
    return WHET_OK;
}

whet_status whet_feature_files(whet_ctx *ctx, const whet_feature_job *job,
                               whet_feature_result *out) {
    whet_feature_job known = WHET_FEATURE_JOB_INIT;
    making m = {.job = &known};
    batch pool = {0}, test = {0};
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_opts(ctx, job, &known, sizeof known, "whet_feature_job"));
    WHET_TRY(check_job(ctx, &known));
    WHET_TRY_DONE(read_batch(ctx, &known, known.input, &pool));
    if (known.test) WHET_TRY_DONE(read_batch(ctx, &known, known.test, &test));
    WHET_TRY_DONE(fit(ctx, &m, &pool));
    WHET_TRY_DONE(make(ctx, &m, known.input, &pool));
    if (known.test) WHET_TRY_DONE(make(ctx, &m, known.test, &test));
    WHET_TRY_DONE(write_both(ctx, &known, &pool, &test));
    *out = (whet_feature_result){.rows = pool.n,
                                 .test_rows = test.n,
                                 .dim = m.dim,
                                 .explained = m.tfidf ? -1 : share_explained(&pool, m.d, m.dim)};
done:
    whet_tfidf_destroy(ctx, m.tfidf);
    whet_i_components_free(ctx, &m.components);
    free_batch(ctx, &pool);
    free_batch(ctx, &test);
    return status;
}
