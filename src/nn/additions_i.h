/* SPDX-License-Identifier: Apache-2.0
 * What adapters add to the output of linear layers: y[first + o] += scale (M x)[o], M a product of two
 * block-diagonal matrices of Monarch's class (MoRe, arXiv 2408.17383; with one block LoRA, Hu et al.
 * 2022). For N blocks, input width in <= N p and output width out <= N q:
 *   z[k r + a]  = sum_i W1[k][a][i] x[k p + i]           k < N, a < r; the last block may be cut
 *   (M x)[o]    = sum_c W2[o mod N][o div N][c] z[c N + o mod N]                     c < r, o < out
 * and with g the gradient of y, h = scale g:
 *   dz[c N + l] = sum_s W2[l][s][c] h[s N + l]           dx[k p + i] += sum_a W1[k][a][i] dz[k r + a]
 *   dW1[k][a][i] = sum_t dz[k r + a] x[k p + i]          dW2[l][s][c] = sum_t h[s N + l] z[c N + l]
 *
 * W2 is packed for each pass as scale W2 [r, out], where column o of a row goes with z[c N + o mod N]:
 * both permutations of the class are then where the kernels read (monarch_dot, _add, _outer), and cost
 * nothing. Sums over rows are made by chunks of rows, whose number depends on the rows of the batch alone,
 * and added up in their order: bits do not depend on threads. */
#ifndef WHET_NN_ADDITIONS_I_H
#define WHET_NN_ADDITIONS_I_H

#include "nn/graph_i.h"

typedef struct whet_i_monarch_shape {
    int64_t in, out;
    int64_t blocks, rank; /* N, r */
    int64_t p, q;         /* widths of an input block, heights of an output block */
} whet_i_monarch_shape;

typedef struct whet_i_addition {
    whet_i_monarch_shape shape;
    int64_t first; /* column of y */
    whet_i_real scale;
    int32_t param; /* of the node: W1 [N, r, p], and after it W2 [N, q, r] */
} whet_i_addition;

/* The additions of one node, all to the same x [rows, in]. */
enum { WHET_I_ADDITIONS_MAX = WHET_I_LINEAR_ADDS };
typedef struct whet_i_additions {
    int32_t n;
    whet_i_addition items[WHET_I_ADDITIONS_MAX];
} whet_i_additions;

/* Numbers: of a row of all z; of all packed W2; of the sums of one chunk. */
int64_t whet_i_additions_width(const whet_i_additions *a);
int64_t whet_i_additions_packed(const whet_i_additions *a);
int64_t whet_i_additions_sums(const whet_i_additions *a);
/* Rows of a chunk, and of how many chunks at most a batch of so many rows or fewer has. */
int64_t whet_i_additions_chunk(int64_t rows);
int64_t whet_i_additions_chunks(int64_t most_rows);

/* Packs W2 of addition `item`; packed: all of them. */
void whet_i_additions_pack(const whet_i_task *t, const whet_i_additions *a, int64_t item,
                           whet_i_real *packed);
/* z [rows, width] of x [rows, in]. */
void whet_i_additions_first(const whet_i_task *t, const whet_i_additions *a, int64_t rows,
                            const whet_i_real *x, whet_i_real *z);
/* Addition i of z as the kernels take it, without `out`. */
whet_i_monarch whet_i_additions_second(const whet_i_additions *a, int32_t i,
                                       const whet_i_real *packed, const whet_i_real *z);

/* Some rows of the backward pass, from row `first` of the batch on, which is the first of a chunk for the
 * first rows of an item: items are whole chunks. */
typedef struct whet_i_additions_rows {
    int64_t first, rows, columns;
    const whet_i_real *packed, *x, *z; /* x, z [rows, ..]; x NULL where no W1 is trained */
    const whet_i_real *g;              /* [rows, columns] */
    whet_i_real *dz;                   /* [rows, width] of scratch */
    whet_i_real *dx;                   /* [rows, in], added to; NULL = not wanted */
    whet_i_real *sums;                 /* [chunks, sums] */
} whet_i_additions_rows;
void whet_i_additions_backward(const whet_i_task *t, const whet_i_additions *a,
                               const whet_i_additions_rows *rows);

/* Afterwards: the gradients of W1 and W2, by items, from the sums of a batch of `rows` rows. */
int64_t whet_i_additions_items(const whet_i_task *t, const whet_i_additions *a);
void whet_i_additions_gradient(const whet_i_task *t, const whet_i_additions *a, int64_t rows,
                               const whet_i_real *sums, int64_t item);

/* Makes the linear layer whose output y is, and which was recorded last, add `addition` itself, where its
 * kernels can: *done. W1 and W2 are params[0], params[1]; x is what both take. */
WHET_CHECKED whet_status whet_i_linear_adapt(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                             whet_i_value y, const whet_i_addition *addition,
                                             const whet_i_param_id params[2], bool *done);

#endif
