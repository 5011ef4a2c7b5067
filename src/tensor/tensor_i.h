/* SPDX-License-Identifier: Apache-2.0
 * What modules above tensor share: matrix products. */
#ifndef WHET_TENSOR_I_H
#define WHET_TENSOR_I_H

#include "whet/tensor.h"

#include "core/core_i.h"

/* C = op(A) op(B) + beta C, row-major; op transposes when the flag says so.
 * a    op(A) is [m, k]; stored [m, k] or, transposed, [k, m]; rows lda apart
 * b    op(B) is [k, n]; stored [k, n] or, transposed, [n, k]; rows ldb apart
 * c    [m, n], rows ldc apart; with beta 0 it may hold anything, NaN included
 * C must not overlap A or B. k = 0 gives beta C. The bits of C do not depend on the thread count:
 * C is cut into fixed tiles, each the work of one single-threaded library call.
 * Errors: ARG (negative size, a row distance below the row), CANCELLED. Cost 2 m n k. */
WHET_CHECKED whet_status whet_i_matmul_f32(whet_ctx *ctx, bool transpose_a, bool transpose_b,
                                           int64_t m, int64_t n, int64_t k, const float *a,
                                           int64_t lda, const float *b, int64_t ldb, float beta,
                                           float *c, int64_t ldc);
WHET_CHECKED whet_status whet_i_matmul_f64(whet_ctx *ctx, bool transpose_a, bool transpose_b,
                                           int64_t m, int64_t n, int64_t k, const double *a,
                                           int64_t lda, const double *b, int64_t ldb, double beta,
                                           double *c, int64_t ldc);

/* The same on the calling thread alone, cut into the same tiles (so: the same bits); for use inside
 * the body of whet_i_parallel_for. Sizes must be right; cannot fail. */
void whet_i_matmul_f32_serial(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                              const float *a, int64_t lda, const float *b, int64_t ldb, float beta,
                              float *c, int64_t ldc);
void whet_i_matmul_f64_serial(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                              const double *a, int64_t lda, const double *b, int64_t ldb,
                              double beta, double *c, int64_t ldc);

#endif
