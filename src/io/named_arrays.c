/* SPDX-License-Identifier: Apache-2.0
 * Named arrays to and from safetensors; what comes from a file is checked here once. */
#include <math.h>

#include "io/io_i.h"

enum { NAME_SIZE = 160 };

void whet_i_store_free(whet_ctx *ctx, whet_i_store *store) {
    whet_i_arena_free(ctx, &store->names);
    whet_i_arena_free(ctx, &store->small);
    whet_i_free(ctx, store->items);
    *store = (whet_i_store){0};
}

/* "prefix.name"; both come from this library and are short. */
static void join(char out[NAME_SIZE], const char *prefix, const char *name) {
    const size_t a = strlen(prefix), b = strlen(name);
    memcpy(out, prefix, a);
    out[a] = '.';
    memcpy(out + a + 1, name, b + 1);
}

whet_status whet_i_store_put_tensor(whet_ctx *ctx, whet_i_store *store, const char *name,
                                    const whet_tensor *view) {
    if (store->n == store->room) {
        WHET_TRY(whet_i_realloc(ctx, &store->items, store->room ? 2 * store->room : 16));
        store->room = store->room ? 2 * store->room : 16;
    }
    store->items[store->n++] = (whet_named_tensor){name, *view};
    return WHET_OK;
}

whet_status whet_i_store_put(whet_ctx *ctx, whet_i_store *store, const char *prefix,
                             const char *name, whet_dtype dtype, const void *data, int64_t rows,
                             int64_t columns) {
    whet_tensor view = {.dtype = dtype, .rank = columns ? 2 : 1, .shape = {rows, columns}};
    char *full;
    if (strlen(prefix) + strlen(name) + 2 > NAME_SIZE)
        return whet_i_fail(ctx, WHET_ERR_INTERNAL, "a tensor's name is too long");
    WHET_TRY(whet_i_arena_alloc(ctx, &store->names, NAME_SIZE, 1, &full));
    join(full, prefix, name);
    memcpy(&view.data, &data, sizeof view.data); /* for writing out: never written through */
    return whet_i_store_put_tensor(ctx, store, full, &view);
}

whet_status whet_i_store_put_scalar(whet_ctx *ctx, whet_i_store *store, const char *prefix,
                                    const char *name, double value) {
    double *kept;
    WHET_TRY(whet_i_arena_alloc(ctx, &store->small, 1, sizeof *kept, &kept));
    *kept = value;
    return whet_i_store_put(ctx, store, prefix, name, WHET_F64, kept, 1, 0);
}

/* Numbers up to this size stay finite in everything that is computed from them: with features of
 * f32, score times sharpness is under 2^24 * 1e39 * MOST * MOST. What training gives is far below:
 * the largest is 1 / the spread of a feature, under 1e46. */
static const double MOST = 1e60;

static whet_status check_values(whet_ctx *ctx, const whet_i_source *source, const char *name,
                                const whet_tensor *tensor, const char *bytes) {
    const int64_t count = whet_tensor_count(tensor);
    for (int64_t i = 0; i < count; i++) {
        double value = 0;
        if (tensor->dtype == WHET_F64)
            value = ((const double *)(const void *)bytes)[i];
        else if (tensor->dtype == WHET_F32)
            value = (double)((const float *)(const void *)bytes)[i];
        if (!(fabs(value) <= MOST))
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: \"%s\" holds %g at position %lld; expected a number of at most "
                               "%g in size",
                               source->path, name, value, (long long)i, MOST);
    }
    return WHET_OK;
}

static whet_status check_shape(whet_ctx *ctx, const whet_i_source *source, const char *name,
                               whet_dtype dtype, const whet_tensor *t, int64_t rows,
                               const int64_t *columns) {
    const bool fits = t->dtype == dtype && t->rank == (columns ? 2 : 1) &&
                      (rows < 0 || t->shape[0] == rows) &&
                      (!columns || *columns < 0 || t->shape[1] == *columns);
    if (fits) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_SHAPE,
                       "%s: \"%s\" is %s of rank %d, [%lld, %lld]; expected "
                       "%s [%lld, %lld] (-1: any)",
                       source->path, name, whet_dtype_name(t->dtype), t->rank,
                       (long long)(t->rank > 0 ? t->shape[0] : 1),
                       (long long)(t->rank > 1 ? t->shape[1] : 1), whet_dtype_name(dtype),
                       (long long)rows, (long long)(columns ? *columns : 1));
}

whet_status whet_i_source_get(whet_ctx *ctx, const whet_i_source *source, const char *prefix,
                              const char *name, whet_dtype dtype, int64_t *rows, int64_t *columns,
                              void *out) {
    char full[NAME_SIZE];
    whet_tensor t;
    if (strlen(prefix) + strlen(name) + 2 > NAME_SIZE)
        return whet_i_fail(ctx, WHET_ERR_INTERNAL, "a tensor's name is too long");
    join(full, prefix, name);
    if (!whet_safetensors_find(source->file, full, &t))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: there is no tensor \"%s\"", source->path,
                           full);
    WHET_TRY(check_shape(ctx, source, full, dtype, &t, *rows, columns));
    char *copy;
    const int64_t count = whet_tensor_count(&t);
    WHET_TRY(whet_i_alloc_(ctx, count, whet_dtype_size(dtype), false, &copy));
    if (count) memcpy(copy, t.data, (size_t)count * whet_dtype_size(dtype));
    const whet_status status = check_values(ctx, source, full, &t, copy);
    if (status != WHET_OK) {
        whet_i_free(ctx, copy);
        return status;
    }
    *rows = t.shape[0];
    if (columns) *columns = t.shape[1];
    memcpy(out, &copy, sizeof copy);
    return WHET_OK;
}

whet_status whet_i_source_scalar(whet_ctx *ctx, const whet_i_source *source, const char *prefix,
                                 const char *name, double *out) {
    int64_t one = 1;
    double *value;
    WHET_TRY(whet_i_source_get(ctx, source, prefix, name, WHET_F64, &one, NULL, &value));
    *out = *value;
    whet_i_free(ctx, value);
    return WHET_OK;
}
