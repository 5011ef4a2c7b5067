/* SPDX-License-Identifier: Apache-2.0
 * The second way to the nearest neighbours by product, for large pools. */
#ifndef WHET_LABEL_PRODUCT_NEIGHBOURS_H
#define WHET_LABEL_PRODUCT_NEIGHBOURS_H

#include "label/label_i.h"

/* whet_i_nearest of 1 <= m rows, by products of rows rounded to bfloat16, where these leave at most
 * `share` of the pool to be multiplied in full (of some of its own rows; in [0, 1], 1 = in any case):
 * else *done is false and nothing was written. Products are sums in 64 bits, rounded once: the same on
 * any machine, whatever the queries come with. 2 n n_pool d at the rate of bfloat16; 2 n_pool d bytes,
 * and 384 (6144 + 60 m) a thread. Errors: NOMEM, CANCELLED. (screened_neighbours.c) */
WHET_CHECKED whet_status whet_i_nearest_screened(whet_ctx *ctx, const float *queries, int64_t n,
                                                 const float *pool, int64_t n_pool, int64_t d,
                                                 int64_t m, bool same, double share, int64_t *index,
                                                 float *similarity, bool *done);

#endif
