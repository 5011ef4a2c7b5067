/* SPDX-License-Identifier: Apache-2.0
 * Named arrays of a classifier on their way to and from classifier.safetensors. */
#ifndef WHET_ADAPT_STORE_H
#define WHET_ADAPT_STORE_H

#include "whet/io.h"

#include "core/core_i.h"

/* What will be written: views of arrays that live as long as the models they come from. */
typedef struct whet_i_store {
    whet_i_arena names, small; /* tensor names; scalars copied */
    whet_named_tensor *items;
    int64_t n, room;
} whet_i_store;

void whet_i_store_free(whet_ctx *ctx, whet_i_store *store);
/* prefix "a", name "b": tensor "a.b". data is not copied. */
WHET_CHECKED whet_status whet_i_store_put(whet_ctx *ctx, whet_i_store *store, const char *prefix,
                                          const char *name, whet_dtype dtype, const void *data,
                                          int64_t rows, int64_t columns);
WHET_CHECKED whet_status whet_i_store_put_scalar(whet_ctx *ctx, whet_i_store *store,
                                                 const char *prefix, const char *name,
                                                 double value);

/* An opened file, and its name for sentences. */
typedef struct whet_i_source {
    const whet_safetensors *file;
    const char *path;
} whet_i_source;

/* A copy of the tensor "prefix.name", which must have this type and shape, and numbers of at most
 * 1e60 in size: rows, columns of -1 = any, and told in *rows, *columns. columns NULL: rank 1.
 * Errors: FORMAT (absent), SHAPE, DATA, NOMEM. */
WHET_CHECKED whet_status whet_i_source_get(whet_ctx *ctx, const whet_i_source *source,
                                           const char *prefix, const char *name, whet_dtype dtype,
                                           int64_t *rows, int64_t *columns, void *out);
WHET_CHECKED whet_status whet_i_source_scalar(whet_ctx *ctx, const whet_i_source *source,
                                              const char *prefix, const char *name, double *out);

#endif
