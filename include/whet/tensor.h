/* SPDX-License-Identifier: Apache-2.0
 * tensor: element types and dense arrays, row-major and contiguous. */
#ifndef WHET_TENSOR_H
#define WHET_TENSOR_H

#include "whet/core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* name, value (stable), bytes, text */
#define WHET_DTYPE_LIST(X) \
    X(WHET_F64, 0, 8, "f64") \
    X(WHET_F32, 1, 4, "f32") \
    X(WHET_F16, 2, 2, "f16") \
    X(WHET_BF16, 3, 2, "bf16") \
    X(WHET_I64, 4, 8, "i64") \
    X(WHET_I32, 5, 4, "i32") \
    X(WHET_I16, 6, 2, "i16") \
    X(WHET_I8, 7, 1, "i8") \
    X(WHET_U64, 8, 8, "u64") \
    X(WHET_U32, 9, 4, "u32") \
    X(WHET_U16, 10, 2, "u16") \
    X(WHET_U8, 11, 1, "u8") \
    X(WHET_BOOL, 12, 1, "bool")

typedef enum whet_dtype {
#define WHET_DTYPE_ENUM(name, value, bytes, text) name = value,
    WHET_DTYPE_LIST(WHET_DTYPE_ENUM)
#undef WHET_DTYPE_ENUM
} whet_dtype;

#define WHET_RANK_MAX 8

/* A view of a contiguous row-major array. Owns nothing by itself: who made the data releases it
 * (whet_tensor_destroy for arrays returned by this library, unless the contract says "view"). */
typedef struct whet_tensor {
    void *data;
    whet_dtype dtype;
    int32_t rank; /* 0 = scalar */
    int64_t shape[WHET_RANK_MAX];
} whet_tensor;

WHET_API size_t whet_dtype_size(whet_dtype dtype);             /* bytes an element; pure */
WHET_API bool whet_dtype_is_float(whet_dtype dtype);           /* f64, f32, f16, bf16; pure */
WHET_API const char *whet_dtype_name(whet_dtype dtype);        /* "f32"; pure */
WHET_API int64_t whet_tensor_count(const whet_tensor *tensor); /* elements; pure */

/* A zeroed array. Errors: WHET_ERR_LIMIT when the sizes overflow, WHET_ERR_NOMEM. */
WHET_API WHET_CHECKED whet_status whet_tensor_create(whet_ctx *ctx, whet_dtype dtype, int32_t rank,
                                                     const int64_t *shape, whet_tensor *out);
/* Releases data made by whet_tensor_create and clears the view. {0} is fine. */
WHET_API void whet_tensor_destroy(whet_ctx *ctx, whet_tensor *tensor);
/* A copy in another element type (round to nearest even for f16 and bf16; integers saturate; NaN
 * to an integer is WHET_ERR_DATA). O(count). */
WHET_API WHET_CHECKED whet_status whet_tensor_convert(whet_ctx *ctx, const whet_tensor *in,
                                                      whet_dtype dtype, whet_tensor *out);

/* ---- the assignment problem ------------------------------------------------------------------- */

/* Where whet_assign writes; members but `column` may be NULL. The duals are the certificate: u_i + v_j <=
 * costs[i, j] (>= when maximising), equal where i and j are assigned; 0 where one is left over. */
typedef struct whet_assignment {
    int64_t *column;     /* [n] the column of each row, all different; -1: no column is left */
    double *row_dual;    /* [n] u */
    double *column_dual; /* [m] v */
    double *objective;   /* the sum of the costs of what is assigned, in f64 */
} whet_assignment;

/* Distinct columns for the rows of costs [n, m], f32 or f64, min(n, m) of them, at the least sum of costs,
 * or the largest one when maximising. Exact: f64 potentials prove it, up to the rounding of sums of costs.
 * A cost of infinity (maximising: -infinity) forbids a pair. Of equal sums one is chosen by a fixed rule
 * that prefers low indices.
 * Cost O(n m min(n, m)) at worst, mostly far less; memory 350 bytes a row and 60 a column, and a
 * copy of the costs when n > m. One thread. Can be cancelled.
 * Source: Jonker & Volgenant 1987, Computing 38; Crouse 2016 (rectangular).
 * Errors: ARG (type, dimensions), DATA (NaN, the other infinity, by its place; nothing is allowed),
 * NOMEM, LIMIT, CANCELLED; outputs then unchanged. */
WHET_API WHET_CHECKED whet_status whet_assign(whet_ctx *ctx, const whet_tensor *costs,
                                              bool maximize, const whet_assignment *out);

#ifdef __cplusplus
}
#endif
#endif
