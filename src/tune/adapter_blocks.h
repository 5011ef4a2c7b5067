/* SPDX-License-Identifier: Apache-2.0
 * Matrices onto adapters: the nearest of MoRe's shape (adapter_blocks.c), the nearest of low rank
 * (adapter_low_rank.c); and adapters of one form as those of the other, exactly (adapter_convert.c). All in
 * f64. Legend: D [out, in] a matrix, w1 [N, r, p] and w2 [N, q, r] factors, a [R, in] and b [out, R]
 * LoRA's. */
#ifndef WHET_TUNE_ADAPTER_BLOCKS_H
#define WHET_TUNE_ADAPTER_BLOCKS_H

#include "tune/adapter_set.h"

/* ---- matrices of layers ------------------------------------------------------------------------ */

/* sum [in] += row `row` of scale M. Pure. */
void whet_i_factors_row(const whet_i_adapter_shape *shape, double scale, const double *w1,
                        const double *w2, int64_t row, double *sum);
/* The matrix of a layer, scale included: released by whet_i_free. O(in out r / N). */
WHET_CHECKED whet_status whet_i_layer_matrix(whet_ctx *ctx, const whet_i_adapter_layer *layer,
                                             double **out);

/* ---- DoRA (adapter_dora.c) --------------------------------------------------------------------- */

/* The base's weight W [out, in] of a fitted layer, released by whet_i_free. */
WHET_CHECKED whet_status whet_i_base_rows(whet_ctx *ctx, const whet_i_weight_files *base,
                                          const whet_i_adapter_layer *layer, double **out);
/* factors [out]: what DoRA multiplies rows of W + s B A by; 1 of other kinds. first, second: the layer's. */
WHET_CHECKED whet_status whet_i_row_factors(whet_ctx *ctx, const whet_i_adapter_layer *layer,
                                            const double *w, const double *first,
                                            const double *second, double *factors);
/* What the layer changes of W, DoRA's too, which must be fitted; as whet_i_layer_matrix. */
WHET_CHECKED whet_status whet_i_layer_change(whet_ctx *ctx, const whet_i_weight_files *base,
                                             const whet_i_adapter_layer *layer, double **out);
/* Adds a layer of DoRA, whose rows are those of g W + b a; b is divided by g. Errors: NUMERIC (a row that
 * has g = 0 and b of its own), NOMEM. */
WHET_CHECKED whet_status whet_i_dora_put(whet_ctx *ctx, whet_adapter *to, const char *module,
                                         const whet_i_adapter_shape *shape, const double *w,
                                         const double *g, const double *a, double *b);

/* ---- the nearest ------------------------------------------------------------------------------- */

/* The factors nearest to D in the Frobenius norm: each of the N x N blocks of outputs l, l + N, ... and
 * inputs k p ... is by itself a sum of so many products as the shape has for it, so the largest singular
 * values of each are the best (specs of MoRe's projection; Dao et al. 2022, arXiv 2204.00595). *dropped:
 * the sum of squares of the others, which is the squared distance. Cost about 14 in out min(p, q) / N
 * operations, blocks in parallel. Errors: NUMERIC, NOMEM, LIMIT, CANCELLED. */
WHET_CHECKED whet_status whet_i_project_blocks(whet_ctx *ctx, const whet_i_adapter_shape *shape,
                                               const double *d, double *w1, double *w2,
                                               double *dropped);
/* What each rank more is worth: gains [min(p, q)], the sum over blocks of the squares of singular value s,
 * which `s` + 1 products a block keep. */
WHET_CHECKED whet_status whet_i_block_gains(whet_ctx *ctx, const whet_i_adapter_shape *shape,
                                            const double *d, double *gains);

/* Of scale B A, of rank R, the nearest of rank r: to_a [r, in], to_b [out, r]. By singular values of both
 * factors and of the R x R product between; D is never made. *dropped as above. Cost about 14 (in + out)
 * R^2. */
WHET_CHECKED whet_status whet_i_truncate_low_rank(whet_ctx *ctx, int64_t in, int64_t out, int64_t R,
                                                  const double *a, const double *b, int64_t r,
                                                  double *to_a, double *to_b, double *dropped);

#endif
