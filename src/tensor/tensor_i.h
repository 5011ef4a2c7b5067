/* SPDX-License-Identifier: Apache-2.0
 * What modules above tensor share: matrix products and decompositions. */
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

/* Element i, row-major, as the nearest f64 (integers beyond 2^53 are rounded). Pure. (convert.c) */
double whet_i_tensor_real(const whet_tensor *tensor, int64_t i);

/* ---- assignment (assignment.c) ------------------------------------------------------------------ */

/* whet_assign of gain [k, k], finite, at the largest sum: column [k], a permutation. */
WHET_CHECKED whet_status whet_i_assign_gains(whet_ctx *ctx, double *gain, int64_t k,
                                             int64_t *column);

/* The same of gain [k, k], f32 or f64, -infinity forbidding a pair, begun from the potentials [k] of the
 * columns of a problem like it when they are `known`: the nearer, the less work. They are replaced by this
 * problem's: gain[i, j] - potentials[j] is largest at column[i], for every i. Of equal sums one is chosen by
 * a fixed rule. Errors: as whet_assign. */
WHET_CHECKED whet_status whet_i_assign_again(whet_ctx *ctx, const whet_tensor *gain, bool known,
                                             double *potentials, int64_t *column);

/* ---- room for OpenBLAS (blas_room.c) ---------------------------------------------------------- */

/* Whether so many threads may be inside OpenBLAS at once; NOMEM when not. To be asked before a loop
 * whose body calls it. */
bool whet_i_blas_room(int64_t threads);
WHET_CHECKED whet_status whet_i_blas_need_room(whet_ctx *ctx, int64_t threads);

/* ---- decompositions (decompose.c, krylov.c), in f64; the bits do not depend on the threads ---- */

/* Symmetric a [n, n] = sum_j values[j] v_j v_j^T: a is replaced by the v_j as its rows, values are
 * descending; the largest component of each v_j is positive (the first, among equals).
 * Errors: DATA (not finite), NUMERIC, NOMEM, LIMIT. Cost about 9 n^3. Source: LAPACK dsyevd. */
WHET_CHECKED whet_status whet_i_eigh(whet_ctx *ctx, int64_t n, double *a, double *values);

/* Solves A X = B for symmetric positive definite a [n, n], destroyed; b [n, m] becomes X.
 * false, and b of no use, when A is not positive definite. On the calling thread, for use inside
 * parallel loops, for which whet_i_blas_need_room has been asked. Cost n^3 / 3 + 2 n^2 m. */
bool whet_i_cholesky_solve_serial(int64_t n, double *a, int64_t m, double *b);
/* The same for use outside. Errors: NUMERIC, NOMEM. */
WHET_CHECKED whet_status whet_i_cholesky_solve(whet_ctx *ctx, int64_t n, double *a, int64_t m,
                                               double *b);

/* a [m, n] = sum_j values[j] u_j v_j^T, j < k = min(m, n), values [k] descending; a is destroyed. u [m, k]
 * has the u_j as its columns, v [k, n] the v_j as its rows; u NULL (and v): values alone, at a third of the
 * cost. A vector's sign is free, but the same in each run. Cost about 14 m n k. Source: LAPACK dgesdd.
 * Errors: NUMERIC (also what is not finite), NOMEM, LIMIT. */
WHET_CHECKED whet_status whet_i_svd(whet_ctx *ctx, int64_t m, int64_t n, double *a, double *values,
                                    double *u, double *v);
/* The same on the calling thread, for use inside parallel loops, for which whet_i_blas_need_room has been
 * asked: room [room_len], of whet_i_svd_room numbers at least. false where it was not found. */
int64_t whet_i_svd_room(int64_t m, int64_t n, bool vectors);
bool whet_i_svd_serial(int64_t m, int64_t n, double *a, double *values, double *u, double *v,
                       double *room, int64_t room_len);

/* Principal components of x [n, d], n >= 1, dim <= min(n, d): mean [d]; components [dim, d], unit
 * rows by falling variance [dim] (divided by n - 1, or by 1 when n = 1); directions without
 * variance are rows of zeros. Exact: the eigenvectors of the smaller of X^T X and X X^T.
 * Cost n d min(n, d). Errors: DATA, NUMERIC, NOMEM. */
WHET_CHECKED whet_status whet_i_pca(whet_ctx *ctx, const float *x, int64_t n, int64_t d,
                                    int64_t dim, double *mean, double *components,
                                    double *variance);
/* The same of rows in f64, which may be far from 0. */
WHET_CHECKED whet_status whet_i_pca_f64(whet_ctx *ctx, const double *x, int64_t n, int64_t d,
                                        int64_t dim, double *mean, double *components,
                                        double *variance);

/* The largest eigenvalues of a symmetric positive semidefinite operator of size n that is known by
 * its products alone: apply writes out [n, m] = C in [n, m].
 * values [dim] descending, vectors [n, dim]; *found <= dim, fewer when the rank is lower.
 * Residuals |C v - value v| are at most tolerance x the largest value, unless the basis reached
 * its limit of max_basis columns (0: 8 dim + 128). Block Krylov space, orthogonalised in full,
 * Rayleigh-Ritz; the start is drawn from the seed.
 * Source: Golub & Underwood 1977; Musco & Musco 2015 (arXiv 1504.05477). Cost for a basis of m:
 * m products, 4 n m^2 and some m^3; memory n m. Errors: NUMERIC, NOMEM, LIMIT, CANCELLED. */
typedef whet_status (*whet_i_apply_fn)(whet_ctx *ctx, void *arg, int64_t m, const double *in,
                                       double *out);
WHET_CHECKED whet_status whet_i_top_eigen(whet_ctx *ctx, int64_t n, int64_t dim, double tolerance,
                                          int64_t max_basis, uint64_t seed, whet_i_apply_fn apply,
                                          void *arg, double *values, double *vectors,
                                          int64_t *found);

#endif
