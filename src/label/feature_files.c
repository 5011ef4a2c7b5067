/* SPDX-License-Identifier: Apache-2.0
 * Features from files to files: TF-IDF of texts, principal components of features, an autoencoder's or a
 * pretrained ResNet's of images. What is fitted is fitted on the pool; test rows are only put through it.
 * Legend: n rows, d columns. */
#include <inttypes.h>
#include <sys/stat.h>

#include "io/io_i.h"
#include "label/label_i.h"

typedef struct making {
    const whet_feature_job *job;
    whet_tfidf *tfidf;
    whet_i_components components;
    whet_i_vae_map *vae;
    whet_i_resnet_map *resnet;
    int64_t d, dim;
} making;

/* Rows as they are read, and made. */
typedef struct batch {
    whet_table *table;
    whet_str *texts;
    whet_tensor features, made;
    whet_i_image_rows images;
    int64_t n;
} batch;

static bool of_images(whet_features method) {
    return method == WHET_FEATURES_VAE || method == WHET_FEATURES_RESNET;
}

static void free_batch(whet_ctx *ctx, batch *b) {
    whet_table_destroy(ctx, b->table);
    whet_i_free(ctx, b->texts);
    whet_tensor_destroy(ctx, &b->features);
    whet_i_image_rows_free(ctx, &b->images);
    whet_tensor_destroy(ctx, &b->made);
}

static whet_status read_images(whet_ctx *ctx, const whet_feature_job *job, const char *path,
                               batch *b) {
    WHET_TRY(whet_i_image_rows_read(ctx, path, &b->images));
    b->n = b->images.n;
    const bool fits = b->images.height > 0 && (b->images.channels == 1 || b->images.channels == 3);
    if (job->method == WHET_FEATURES_RESNET && !fits)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: %s; expected images [n, height, width], or with 1 or 3 channels "
                           "behind, for a ResNet",
                           path, b->images.height ? "other channels" : "rows [n, d]");
    return WHET_OK;
}

static whet_status read_batch(whet_ctx *ctx, const whet_feature_job *job, const char *path,
                              batch *b) {
    int64_t column;
    if (of_images(job->method)) return read_images(ctx, job, path, b);
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

static whet_status fit_components(whet_ctx *ctx, making *m, const batch *pool) {
    const whet_feature_job *job = m->job;
    m->d = pool->features.shape[1];
    if (pool->n < 1 || m->d < 1)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s is [%" PRId64 ", %" PRId64 "]; expected rows and columns",
                           job->input, pool->n, m->d);
    const int64_t most = pool->n < m->d ? pool->n : m->d;
    m->dim = job->dim < most ? job->dim : most;
    return whet_i_components_fit(ctx, pool->features.data, pool->n, m->d, m->dim, &m->components);
}

static whet_status fit_texts(whet_ctx *ctx, making *m, const batch *pool) {
    whet_tfidf_opts opts = WHET_TFIDF_OPTS_INIT;
    opts.dim = (int32_t)m->job->dim;
    opts.seed = m->job->seed;
    WHET_TRY(whet_tfidf_fit(ctx, pool->texts, pool->n, &opts, &m->tfidf));
    m->dim = whet_tfidf_dim(m->tfidf);
    return WHET_OK;
}

static whet_status fit(whet_ctx *ctx, making *m, const batch *pool) {
    const whet_feature_job *job = m->job;
    switch (job->method) {
    case WHET_FEATURES_TFIDF: return fit_texts(ctx, m, pool);
    case WHET_FEATURES_PCA: return fit_components(ctx, m, pool);
    case WHET_FEATURES_VAE:
        WHET_TRY(whet_i_vae_map_fit(ctx, pool->images.x.data, pool->n, pool->images.d, job->seed,
                                    &m->vae));
        m->dim = whet_i_vae_map_dim(m->vae);
        return WHET_OK;
    case WHET_FEATURES_RESNET:
        WHET_TRY(whet_i_resnet_map_load(ctx, job->weights, &m->resnet));
        m->dim = whet_i_resnet_map_dim(m->resnet);
        return WHET_OK;
    }
    return whet_i_fail(ctx, WHET_ERR_INTERNAL, "no such features");
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

/* Rows as the pool has them; for an autoencoder their numbers are enough. */
static whet_status check_shape(whet_ctx *ctx, const making *m, const char *path, const batch *pool,
                               const batch *b) {
    const whet_i_image_rows *x = &pool->images, *y = &b->images;
    const int64_t expected = of_images(m->job->method) ? x->d : m->d;
    const int64_t found = of_images(m->job->method) ? y->d : b->features.shape[1];
    if (m->job->method == WHET_FEATURES_TFIDF) return WHET_OK;
    if (found != expected)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s has %" PRId64 " %s; expected %" PRId64 ", as %s has", path, found,
                           of_images(m->job->method) ? "numbers an image" : "columns", expected,
                           m->job->input);
    if (x->height && y->height && (x->height != y->height || x->width != y->width))
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s has images of %" PRId64 " x %" PRId64 "; expected %" PRId64
                           " x %" PRId64 ", as %s has",
                           path, y->height, y->width, x->height, x->width, m->job->input);
    return WHET_OK;
}

static whet_status make(whet_ctx *ctx, const making *m, batch *b) {
    const int64_t shape[2] = {b->n, m->dim};
    const whet_i_image_rows *i = &b->images;
    WHET_TRY(whet_tensor_create(ctx, WHET_F32, 2, shape, &b->made));
    if (m->tfidf) return whet_tfidf_transform(ctx, m->tfidf, b->texts, b->n, b->made.data);
    if (m->vae) return whet_i_vae_map_apply(ctx, m->vae, i->x.data, b->n, b->made.data);
    if (m->resnet)
        return whet_i_resnet_map_apply(ctx, m->resnet, i->x.data, b->n, i->height, i->width,
                                       i->channels, b->made.data);
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
    if ((job->method == WHET_FEATURES_RESNET) != (job->weights != NULL))
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
    return check_one_absent(ctx, job->test_output);
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
    WHET_TRY_DONE(check_absent(ctx, &known));
    WHET_TRY_DONE(fit(ctx, &m, &pool));
    if (known.test) WHET_TRY_DONE(check_shape(ctx, &m, known.test, &pool, &test));
    WHET_TRY_DONE(make(ctx, &m, &pool));
    if (known.test) WHET_TRY_DONE(make(ctx, &m, &test));
    WHET_TRY_DONE(write_both(ctx, &known, &pool, &test));
    *out = (whet_feature_result){
        .rows = pool.n,
        .test_rows = test.n,
        .dim = m.dim,
        .explained = known.method == WHET_FEATURES_PCA ? share_explained(&pool, m.d, m.dim) : -1};
done:
    whet_tfidf_destroy(ctx, m.tfidf);
    whet_i_components_free(ctx, &m.components);
    whet_i_vae_map_destroy(ctx, m.vae);
    whet_i_resnet_map_destroy(ctx, m.resnet);
    free_batch(ctx, &pool);
    free_batch(ctx, &test);
    return status;
}
