/* SPDX-License-Identifier: Apache-2.0
 * Adapters of linear layers: a layer's output y = W x + b becomes y + scale M x, M a product of two
 * block-diagonal matrices with a fixed permutation between them and one after (MoRe, Monarch
 * rectangular fine-tuning, arXiv 2408.17383). With one block M = B A, which is LoRA of rank r
 * (Hu et al. 2022). For N blocks, input width in = N p and output width out <= N q:
 *   z[k r + a]   = sum_i W1[k][a][i] x[k p + i]         k < N, a < r; the last block may be cut
 *   y[s N + l]  += scale sum_c W2[l][s][c] z[c N + l]   l < N, c < r, s < q; outputs >= out do not exist
 * Parameters: r (in + N q), whatever N; M has rank up to N r. Source: specs of MoRe's linear layer. */
#ifndef WHET_TUNE_ADAPTER_I_H
#define WHET_TUNE_ADAPTER_I_H

#include "nn/nn_i.h"

typedef whet_i_monarch_shape whet_i_adapter_shape;

/* The shape that the reference gives a layer: p = ceil(in / N), blocks that lie in the padding alone
 * are dropped, q = ceil(p out / in), in integers. */
whet_i_adapter_shape whet_i_adapter_shape_of(int64_t in, int64_t out, int64_t blocks, int64_t rank);

/* The table of kinds is adapter_kinds.c's. */
typedef enum whet_i_adapter_kind {
    WHET_I_ADAPTER_MORE,
    WHET_I_ADAPTER_LORA,
    WHET_I_ADAPTER_DORA /* LoRA, and a magnitude for each row of W + M (op_magnitude.c) */
} whet_i_adapter_kind;

/* How the kind's parameter i is called behind the module: W1, W2, magnitudes; NULL behind the last. */
const char *whet_i_adapter_factor(whet_i_adapter_kind kind, int32_t i);
/* Whether a parameter is W2 of its module. */
bool whet_i_adapter_is_second(whet_i_adapter_kind kind, const char *name);

typedef struct whet_i_adapter_settings {
    whet_i_adapter_kind
        kind; /* LoRA, DoRA: one block, names lora_A.weight [r, in] and lora_B.weight [out, r];
                                 MoRe: more_w1 [N, r, p] and more_w2 [N, q, r] */
    int64_t blocks, rank;
    double scale; /* alpha / r for LoRA; 1 for MoRe */
} whet_i_adapter_settings;

/* ARG where a rank is above the shorter side of a layer's [out, in]: for what is to be trained anew; sums of
 * adapters may be. */
WHET_CHECKED whet_status whet_i_adapter_check_rank(whet_ctx *ctx, const char *module, int64_t in,
                                                   int64_t out, int64_t rank);

/* *y [rows, columns] becomes *y with the adapter of `module` added to `columns_of_layer` columns from
 * `first` on. W1 begins uniform within 1 / sqrt(p), W2 at zero, so that nothing changes at first.
 * Errors: ARG (a rank above the layer's shorter side; the sentence names the module). */
WHET_CHECKED whet_status whet_i_adapter_record(whet_ctx *ctx, whet_i_graph *graph,
                                               const char *module, whet_i_value x, whet_i_value *y,
                                               int64_t first, int64_t columns_of_layer,
                                               const whet_i_adapter_settings *settings);

/* The same, where in training numbers of scale M x are zeroed with probability `dropout` before they are
 * added, and the rest scaled by 1 / (1 - dropout): MoRe's dropout (LoRA's is of what it reads). */
WHET_CHECKED whet_status whet_i_adapter_record_dropout(whet_ctx *ctx, whet_i_graph *graph,
                                                       const char *module, whet_i_value x,
                                                       whet_i_value *y, int64_t first,
                                                       int64_t columns_of_layer,
                                                       const whet_i_adapter_settings *settings,
                                                       double dropout);

/* The same, of a shape that is known, as tensors of MoRe have it whose blocks' sizes were chosen: in, out,
 * blocks, rank, p, q with (blocks - 1) p < in <= blocks p and out <= blocks q. */
WHET_CHECKED whet_status whet_i_adapter_record_shape(whet_ctx *ctx, whet_i_graph *graph,
                                                     const char *module, whet_i_value x,
                                                     whet_i_value *y, int64_t first,
                                                     const whet_i_adapter_shape *shape,
                                                     const whet_i_adapter_settings *settings,
                                                     double dropout);

/* Warns of a rank that leaves parts of the matrix at zero (r < N) or gives some of them more terms than
 * others (r no multiple of N); whether it did. */
bool whet_i_adapter_warn(whet_ctx *ctx, const char *module,
                         const whet_i_adapter_settings *settings);

/* One layer's adapter, to be added to its weights. */
typedef struct whet_i_adapter_dense {
    whet_i_adapter_shape shape;
    double scale;
    const float *w1, *w2;    /* [N, r, p], [N, q, r] */
    const float *magnitudes; /* [out] lengths that the rows of W + scale M get; NULL = none */
} whet_i_adapter_dense;
/* sum [in] += row `row` of scale M; O(in r / N). Pure. */
void whet_i_adapter_dense_row(const whet_i_adapter_dense *a, int64_t row, double *sum);
/* Row `row` of the weights, w [in], with the adapter in it: summed in f64, rounded once; sum [in] is
 * space. */
void whet_i_adapter_merge_row(const whet_i_adapter_dense *a, int64_t row, double *sum, float *w);

/* Behind the adapter, its magnitudes; *y has the layer's bias in it, but no residual. */
WHET_CHECKED whet_status whet_i_magnitude_record(whet_ctx *ctx, whet_i_graph *graph,
                                                 const char *module, int64_t in, whet_i_value *y,
                                                 int64_t first, int64_t columns_of_layer,
                                                 const whet_i_adapter_settings *settings);
/* Of what is not trained: rows have their lengths once. The parameter, recorded so, is m / |V| after
 * settling, which divides it to the bits of the passes that do it each time. Errors: NOMEM. */
WHET_CHECKED whet_status whet_i_magnitude_record_settled(whet_ctx *ctx, whet_i_graph *graph,
                                                         const char *module, int64_t in,
                                                         whet_i_value *y, int64_t first,
                                                         int64_t columns_of_layer,
                                                         const whet_i_adapter_settings *settings);
WHET_CHECKED whet_status whet_i_magnitudes_settle(whet_ctx *ctx, whet_i_params *params,
                                                  const char *module, int64_t in, int64_t out,
                                                  const whet_i_adapter_settings *settings);
/* The module's magnitudes, parameter `id`, become the norms of its rows. Errors: NOMEM. */
WHET_CHECKED whet_status whet_i_magnitudes_begin(whet_ctx *ctx, whet_i_params *params,
                                                 const char *module, whet_i_param_id id);

#endif
