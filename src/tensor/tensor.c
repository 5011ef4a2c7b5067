/* SPDX-License-Identifier: Apache-2.0
 * Element types and dense row-major arrays. */
#include "whet/tensor.h"

#include "core/core_i.h"

/* The shared list is the only place where a type's value, size and name stand together. */
#define TYPE_SIZE(name, value, bytes, text) [name] = (bytes),
#define TYPE_NAME(name, value, bytes, text) [name] = (text),
static const unsigned char type_size[] = {WHET_DTYPE_LIST(TYPE_SIZE)};
static const char *const type_name[] = {WHET_DTYPE_LIST(TYPE_NAME)};

static bool is_dtype(whet_dtype dtype) { return (unsigned)dtype < sizeof type_size; }

size_t whet_dtype_size(whet_dtype dtype) { return is_dtype(dtype) ? type_size[dtype] : 0; }

bool whet_dtype_is_float(whet_dtype dtype) {
    return dtype == WHET_F64 || dtype == WHET_F32 || dtype == WHET_F16 || dtype == WHET_BF16;
}

const char *whet_dtype_name(whet_dtype dtype) {
    return is_dtype(dtype) ? type_name[dtype] : "unknown";
}

int64_t whet_tensor_count(const whet_tensor *tensor) {
    int64_t count = 1;
    for (int32_t i = 0; i < tensor->rank; i++) count *= tensor->shape[i];
    return count;
}

whet_status whet_tensor_create(whet_ctx *ctx, whet_dtype dtype, int32_t rank, const int64_t *shape,
                               whet_tensor *out) {
    if (!is_dtype(dtype))
        return whet_i_fail(ctx, WHET_ERR_ARG, "dtype %d is unknown; expected 0 to %d", (int)dtype,
                           (int)sizeof type_size - 1);
    if (rank < 0 || rank > WHET_RANK_MAX)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%d dimensions; expected 0 to %d", rank,
                           WHET_RANK_MAX);
    whet_tensor made = {.dtype = dtype, .rank = rank};
    int64_t count = 1;
    for (int32_t i = 0; i < rank; i++) {
        WHET_TRY(whet_i_mul(ctx, count, shape[i], &count));
        made.shape[i] = shape[i];
    }
    WHET_TRY(whet_i_alloc_(ctx, count, type_size[dtype], true, &made.data));
    *out = made;
    return WHET_OK;
}

void whet_tensor_destroy(whet_ctx *ctx, whet_tensor *tensor) {
    whet_i_free(ctx, tensor->data);
    *tensor = (whet_tensor){0};
}
