/* SPDX-License-Identifier: Apache-2.0
 * A map from rows to features: TF-IDF of texts, principal components, an autoencoder's or a ResNet's
 * features of images; fitted, and applied.
 * Legend: n rows, d numbers a row. */
#include "label/feature_map.h"

#include <inttypes.h>

#include "io/io_i.h"

/* ---- rows ------------------------------------------------------------------------------------- */

static bool of_images(whet_features method) {
    return method == WHET_FEATURES_VAE || method == WHET_FEATURES_RESNET;
}

void whet_i_raw_rows_free(whet_ctx *ctx, whet_i_raw_rows *rows) {
    whet_table_destroy(ctx, rows->table);
    whet_i_free(ctx, rows->texts);
    whet_tensor_destroy(ctx, &rows->array);
    whet_i_image_rows_free(ctx, &rows->images);
    *rows = (whet_i_raw_rows){0};
}

static whet_status read_images(whet_ctx *ctx, whet_features method, const char *path,
                               whet_i_raw_rows *rows) {
    WHET_TRY(whet_i_image_rows_read(ctx, path, &rows->images));
    rows->n = rows->images.n;
    const bool fits =
        rows->images.height > 0 && (rows->images.channels == 1 || rows->images.channels == 3);
    if (method == WHET_FEATURES_RESNET && !fits)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: %s; expected images [n, height, width], or with 1 or 3 channels "
                           "behind, for a ResNet",
                           path, rows->images.height ? "other channels" : "rows [n, d]");
    return WHET_OK;
}

static whet_status read_texts(whet_ctx *ctx, const char *path, const char *name,
                              whet_i_raw_rows *rows) {
    int64_t column;
    WHET_TRY(whet_table_read(ctx, path, &rows->table));
    WHET_TRY(whet_table_find(ctx, rows->table, name, &column));
    rows->n = whet_table_rows(rows->table);
    WHET_TRY(whet_i_alloc(ctx, rows->n, &rows->texts));
    for (int64_t i = 0; i < rows->n; i++) rows->texts[i] = whet_table_cell(rows->table, i, column);
    whet_i_warn_of_texts(ctx, path, rows->texts, rows->n);
    return WHET_OK;
}

whet_status whet_i_raw_rows_read(whet_ctx *ctx, whet_features method, const char *path,
                                 const char *column, whet_i_raw_rows *out) {
    whet_i_raw_rows rows = {0};
    whet_status status = WHET_OK;
    if (of_images(method)) {
        WHET_TRY_DONE(read_images(ctx, method, path, &rows));
    } else if (method == WHET_FEATURES_PCA) {
        WHET_TRY_DONE(whet_i_features_read_wide(ctx, path, &rows.array));
        rows.n = rows.array.shape[0];
    } else {
        WHET_TRY_DONE(read_texts(ctx, path, column, &rows));
    }
    *out = rows;
    rows = (whet_i_raw_rows){0};
done:
    whet_i_raw_rows_free(ctx, &rows);
    return status;
}

/* ---- fitting ---------------------------------------------------------------------------------- */

void whet_i_feature_map_destroy(whet_ctx *ctx, whet_i_feature_map *map) {
    if (!map) return;
    whet_tfidf_destroy(ctx, map->tfidf);
    whet_i_components_free(ctx, &map->components);
    whet_i_vae_map_destroy(ctx, map->vae);
    whet_i_resnet_map_destroy(ctx, map->resnet);
    whet_safetensors_close(ctx, map->file);
    whet_i_free(ctx, map->from);
    whet_i_free(ctx, map);
}

/* Every row equals the first. */
static bool are_alike(const whet_tensor *x) {
    const int64_t n = x->shape[0], d = x->shape[1];
    const double *wide = x->data;
    if (x->dtype == WHET_F32) return whet_i_rows_are_alike(x->data, n, d);
    for (int64_t i = d; i < n * d; i++)
        if (wide[i] < wide[i % d] || wide[i] > wide[i % d]) return false;
    return true;
}

static whet_status fit_components(whet_ctx *ctx, const whet_feature_job *job,
                                  const whet_i_raw_rows *rows, whet_i_feature_map *m) {
    m->d = rows->array.shape[1];
    if (rows->n < 1 || m->d < 1)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s is [%" PRId64 ", %" PRId64 "]; expected rows and columns",
                           job->input, rows->n, m->d);
    const int64_t most = rows->n < m->d ? rows->n : m->d;
    m->dim = job->dim < most ? job->dim : most;
    if (rows->n > 1 && are_alike(&rows->array))
        whet_i_log(ctx, WHET_LOG_WARN,
                   "%s: all %" PRId64 " rows are alike; expected some that tell them apart: every "
                   "component is 0",
                   job->input, rows->n);
    const whet_tensor *x = &rows->array;
    if (x->dtype == WHET_F32)
        return whet_i_components_fit(ctx, x->data, rows->n, m->d, m->dim, &m->components);
    return whet_i_components_fit_f64(ctx, x->data, rows->n, m->d, m->dim, &m->components);
}

static whet_status fit_texts(whet_ctx *ctx, const whet_feature_job *job,
                             const whet_i_raw_rows *rows, whet_i_feature_map *m) {
    whet_tfidf_opts opts = WHET_TFIDF_OPTS_INIT;
    opts.dim = (int32_t)job->dim;
    opts.seed = job->seed;
    WHET_TRY(whet_tfidf_fit(ctx, rows->texts, rows->n, &opts, &m->tfidf));
    m->dim = whet_tfidf_dim(m->tfidf);
    return WHET_OK;
}

static whet_status fit(whet_ctx *ctx, const whet_feature_job *job, const whet_i_raw_rows *rows,
                       whet_i_feature_map *m) {
    m->method = job->method;
    WHET_TRY(whet_i_strdup(ctx, whet_str_from(job->input), &m->from));
    if (of_images(job->method)) {
        m->d = rows->images.d;
        m->height = rows->images.height;
        m->width = rows->images.width;
    }
    switch (job->method) {
    case WHET_FEATURES_TFIDF: return fit_texts(ctx, job, rows, m);
    case WHET_FEATURES_PCA: return fit_components(ctx, job, rows, m);
    case WHET_FEATURES_VAE:
        WHET_TRY(whet_i_vae_map_fit(ctx, rows->images.x.data, rows->n, m->d, job->seed, &m->vae));
        m->dim = whet_i_vae_map_dim(m->vae);
        return WHET_OK;
    case WHET_FEATURES_RESNET:
        WHET_TRY(whet_i_resnet_map_load(ctx, job->weights, &m->resnet));
        m->dim = whet_i_resnet_map_dim(m->resnet);
        return WHET_OK;
    }
    return whet_i_fail(ctx, WHET_ERR_INTERNAL, "no such features");
}

whet_status whet_i_feature_map_fit(whet_ctx *ctx, const whet_feature_job *job,
                                   const whet_i_raw_rows *rows, whet_i_feature_map **out) {
    whet_i_feature_map *map = NULL;
    WHET_TRY(whet_i_calloc(ctx, 1, &map));
    const whet_status status = fit(ctx, job, rows, map);
    if (status == WHET_OK)
        *out = map;
    else
        whet_i_feature_map_destroy(ctx, map);
    return status;
}

/* ---- application ------------------------------------------------------------------------------ */

whet_status whet_i_feature_map_check(whet_ctx *ctx, const whet_i_feature_map *map, const char *path,
                                     const whet_i_raw_rows *rows) {
    const whet_i_image_rows *images = &rows->images;
    const char *verb = map->loaded ? "takes" : "has";
    if (map->method == WHET_FEATURES_TFIDF) return WHET_OK;
    const int64_t found = of_images(map->method) ? images->d : rows->array.shape[1];
    if (found != map->d)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s has %" PRId64 " %s; expected %" PRId64 ", as %s %s", path, found,
                           of_images(map->method) ? "numbers an image" : "columns", map->d,
                           map->from, verb);
    if (map->height && images->height &&
        (map->height != images->height || map->width != images->width))
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s has images of %" PRId64 " x %" PRId64 "; expected %" PRId64
                           " x %" PRId64 ", as %s %s",
                           path, images->height, images->width, map->height, map->width, map->from,
                           verb);
    return WHET_OK;
}

whet_status whet_i_feature_map_apply(whet_ctx *ctx, const whet_i_feature_map *map,
                                     const whet_i_raw_rows *rows, whet_tensor *out) {
    const int64_t n = rows->n, shape[2] = {n, map->dim};
    const whet_i_image_rows *i = &rows->images;
    whet_tensor made;
    whet_status status;
    WHET_TRY(whet_tensor_create(ctx, WHET_F32, 2, shape, &made));
    if (map->tfidf)
        status = whet_tfidf_transform(ctx, map->tfidf, rows->texts, n, made.data);
    else if (map->vae)
        status = whet_i_vae_map_apply(ctx, map->vae, i->x.data, n, made.data);
    else if (map->resnet)
        status = whet_i_resnet_map_apply(ctx, map->resnet, i->x.data, n, i->height, i->width,
                                         i->channels, made.data);
    else
        status =
            rows->array.dtype == WHET_F64
                ? whet_i_components_apply_f64(ctx, &map->components, rows->array.data, n, made.data)
                : whet_i_components_apply(ctx, &map->components, rows->array.data, n, made.data);
    if (status == WHET_OK) /* numbers may be too large, weights as a forger likes them */
        status = whet_i_check_finite(ctx, "features that come out", made.data, n, map->dim);
    if (status == WHET_OK)
        *out = made;
    else
        whet_tensor_destroy(ctx, &made);
    return status;
}

whet_status whet_i_feature_map_read(whet_ctx *ctx, const whet_i_feature_map *map, const char *path,
                                    whet_tensor *out) {
    whet_i_raw_rows rows = {0};
    whet_status status = WHET_OK;
    if (map->method == WHET_FEATURES_TFIDF)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: a map of texts; expected one of arrays (pca, vae, resnet)",
                           map->from);
    WHET_TRY_DONE(whet_i_raw_rows_read(ctx, map->method, path, NULL, &rows));
    WHET_TRY_DONE(whet_i_feature_map_check(ctx, map, path, &rows));
    WHET_TRY_DONE(whet_i_feature_map_apply(ctx, map, &rows, out));
done:
    whet_i_raw_rows_free(ctx, &rows);
    return status;
}
