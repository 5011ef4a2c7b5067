/* SPDX-License-Identifier: Apache-2.0
 * A fitted map to features and the rows that it is fitted to and applied to. */
#ifndef WHET_LABEL_FEATURE_MAP_H
#define WHET_LABEL_FEATURE_MAP_H

#include "label/label_i.h"

struct whet_i_feature_map {
    whet_features method;
    char *from;            /* the file of what it was fitted to, or its own: for sentences */
    bool loaded;           /* its own */
    int64_t d;             /* numbers a row; 0: texts */
    int64_t height, width; /* of images; 0: rows */
    int64_t dim;           /* columns that come out */
    whet_tfidf *tfidf;     /* one of these */
    whet_i_components components;
    whet_i_vae_map *vae;
    whet_i_resnet_map *resnet;
    whet_safetensors *file; /* whose arrays a network reads; NULL unless loaded */
    uint64_t fingerprint;   /* 0 unless loaded */
};

/* Rows as their file has them: texts, an array [n, d], or images. */
typedef struct whet_i_raw_rows {
    int64_t n;
    whet_table *table;
    whet_str *texts;   /* [n] */
    whet_tensor array; /* f32, or f64 where that does not hold the file's type */
    whet_i_image_rows images;
} whet_i_raw_rows;

/* column: of a table, for texts. Errors: as reading; SHAPE (no images for a ResNet). */
WHET_CHECKED whet_status whet_i_raw_rows_read(whet_ctx *ctx, whet_features method, const char *path,
                                              const char *column, whet_i_raw_rows *out);
void whet_i_raw_rows_free(whet_ctx *ctx, whet_i_raw_rows *rows);

/* Fitted to the rows of job->input, or with its weights. Errors as whet_feature_files. */
WHET_CHECKED whet_status whet_i_feature_map_fit(whet_ctx *ctx, const whet_feature_job *job,
                                                const whet_i_raw_rows *rows,
                                                whet_i_feature_map **out);
/* A map from an open file, which goes over to it and is closed on failure as well; `where` names it in
 * sentences. Not trusted. Errors: as whet_i_feature_map_load, but for opening. */
WHET_CHECKED whet_status whet_i_feature_map_take(whet_ctx *ctx, whet_safetensors *file,
                                                 const char *where, whet_i_feature_map **out);
/* Rows of `path` as the map takes them; for an autoencoder their numbers are enough. Errors: SHAPE. */
WHET_CHECKED whet_status whet_i_feature_map_check(whet_ctx *ctx, const whet_i_feature_map *map,
                                                  const char *path, const whet_i_raw_rows *rows);
/* out [n, dim], of rows that have been checked; a row's bits depend on that row alone. */
WHET_CHECKED whet_status whet_i_feature_map_apply(whet_ctx *ctx, const whet_i_feature_map *map,
                                                  const whet_i_raw_rows *rows, whet_tensor *out);

#endif
