/* SPDX-License-Identifier: Apache-2.0
 * Sums of low-rank and of Monarch matrices, kept in their form. */
#ifndef WHET_MERGE_LOW_RANK_H
#define WHET_MERGE_LOW_RANK_H

#include <jansson.h>

#include "whet/merging.h"

#include "core/core_i.h"

/* factor B A, A [rank, in], B [out, rank]. */
typedef struct whet_i_low_rank {
    int64_t rank;
    const double *a, *b;
    double factor;
} whet_i_low_rank;

/* a [rank, in], b [out, rank] with b a = the sum of n terms, rank at least the sum of theirs; the rest is
 * 0. */
void whet_i_low_rank_concat(const whet_i_low_rank *terms, int64_t n, int64_t out, int64_t in,
                            int64_t rank, double *a, double *b);
/* The matrix of `rank` nearest to the sum (Eckart & Young 1936), without making the sum: bases of the thin
 * factors, and the singular values of the small matrix between them. *lost, the norm of what is cut over
 * that of the sum. Cost (out + in) r^2, r the sum of ranks. Errors: NUMERIC, NOMEM, LIMIT. */
WHET_CHECKED whet_status whet_i_low_rank_truncate(whet_ctx *ctx, const whet_i_low_rank *terms,
                                                  int64_t n, int64_t out, int64_t in, int64_t rank,
                                                  double *a, double *b, double *lost);

/* A Monarch matrix of `blocks` blocks N: w1 [N, r, p], w2 [N, q, r] (row s N + l of the matrix is the sum
 * over c of w2[l][s][c] times number c N + l of w1 x, whose number k r + a is row a of block k). */
typedef struct whet_i_monarch_term {
    int64_t r;
    const float *w1, *w2;
    double factor;
} whet_i_monarch_term;

/* w1 [N, R, p], w2 [N, q, R], R the sum of the r, which N must divide each: exactly the sum. */
void whet_i_monarch_terms_concat(const whet_i_monarch_term *terms, int64_t n, int64_t blocks,
                                 int64_t p, int64_t q, float *w1, float *w2);

/* adapter_config.json at `path`: of LoRA or MoRe, without what is not known here. Errors: as
 * whet_i_peft_check, and UNSUPPORTED (DoRA), FORMAT, IO, NOMEM. */
WHET_CHECKED whet_status whet_i_merge_adapter_config(whet_ctx *ctx, const char *path, json_t **out);

#endif
