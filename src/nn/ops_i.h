/* SPDX-License-Identifier: Apache-2.0
 * The operations that models are written in: each call records one node. What is an input of a node
 * is given once: the inputs of a node are different values. Names of parameters are those of files.
 * Adding one is a file op_<name>.c with a `const whet_i_op`, its call here, and its cases in
 * tests/unit/nn/test_gradients.c. */
#ifndef WHET_NN_OPS_I_H
#define WHET_NN_OPS_I_H

#include "nn/graph_i.h"

/* ---- linear layers (op_linear.c) -------------------------------------------------------------- */

typedef struct whet_i_linear_spec {
    int32_t
        parts; /* 1..3 layers of the same input, their outputs side by side (query, key, value) */
    const char *modules[3]; /* names; parameters are <module>.weight [n, k] and <module>.bias [n] */
    int64_t n[3];
    bool bias;
    whet_i_act act;        /* not with a residual */
    whet_i_value residual; /* added to the output; WHET_I_NONE */
    whet_i_init init;      /* of weights that no file gives; biases begin at 0, or as given */
    double init_scale;
    whet_i_init bias_init;
    double bias_scale;
} whet_i_linear_spec;
/* out [rows, n_0 + ..] = act(x w^T + b) + residual. */
WHET_CHECKED whet_status whet_i_linear_layer(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                             const whet_i_linear_spec *spec, whet_i_value *out);
/* logits = x w^T with the matrix [n, k] of an embedding (tied weights). */
WHET_CHECKED whet_status whet_i_tied_linear(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                            const char *matrix, int64_t n, whet_i_value *out);

/* ---- norms over columns (op_norm.c) ----------------------------------------------------------- */

/* <module>.weight and <module>.bias [columns], or as named by weight and bias. */
WHET_CHECKED whet_status whet_i_layernorm(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                          const char *module, double eps, whet_i_value *out);
WHET_CHECKED whet_status whet_i_rmsnorm(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                        const char *module, double eps, whet_i_value *out);

/* ---- tokens (op_embedding.c, op_attention.c, op_pooling.c) ------------------------------------ */

/* out [T, columns] = sum of rows of 1..3 tables <module>.weight [rows_i, columns], by ids [T, 1]
 * each (feeds of integers within the table; whet_i_batch's maker checks that). */
typedef struct whet_i_embedding_spec {
    int32_t tables;
    const char *modules[3];
    int64_t rows[3], columns;
    whet_i_value ids[3];
    double init_scale; /* deviation of drawn tables; 0 = they must come from a file */
} whet_i_embedding_spec;
WHET_CHECKED whet_status whet_i_embedding(whet_ctx *ctx, whet_i_graph *graph,
                                          const whet_i_embedding_spec *spec, whet_i_value *out);

/* out [T, heads d] = softmax(q k^T / sqrt d) v within each sequence, from qkv [T, (heads + 2
 * groups) d]: queries, keys, values side by side; heads / groups query heads share a key head
 * (grouped queries; Ainslie et al. 2023). dropout is of the weights. */
typedef struct whet_i_attention_spec {
    int64_t heads, groups, d;
    bool causal;
    double dropout;
} whet_i_attention_spec;
WHET_CHECKED whet_status whet_i_attention_layer(whet_ctx *ctx, whet_i_graph *graph,
                                                whet_i_value qkv, const whet_i_attention_spec *spec,
                                                whet_i_value *out);

/* out [B, columns]: the mean of a sequence's tokens, or its first or last one. A sequence without
 * tokens gives zeros. */
typedef enum whet_i_pooling_kind {
    WHET_I_POOL_MEAN,
    WHET_I_POOL_FIRST,
    WHET_I_POOL_LAST
} whet_i_pooling_kind;
WHET_CHECKED whet_status whet_i_pool_tokens(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                            whet_i_pooling_kind kind, whet_i_value *out);
/* out = x / max(|x|, 1e-12) by rows. */
WHET_CHECKED whet_status whet_i_unit_rows(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                          whet_i_value *out);

/* ---- by numbers (op_elementwise.c) ------------------------------------------------------------ */

WHET_CHECKED whet_status whet_i_activation(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                           whet_i_act act, whet_i_value *out);
/* Zeroes each number with probability p and scales the rest by 1 / (1 - p), when batch->train: by a
 * hash of batch->seed, node and place, so that it can be made again. p = 0 records nothing. */
WHET_CHECKED whet_status whet_i_dropout(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                        double p, whet_i_value *out);
/* out = a + b. */
WHET_CHECKED whet_status whet_i_sum(whet_ctx *ctx, whet_i_graph *graph, whet_i_value a,
                                    whet_i_value b, whet_i_value *out);

/* ---- losses (loss_<name>.c): out [1, 1] ------------------------------------------------------- */

/* The mean over rows with a label (0..columns-1; ignored: any negative one) of
 * -sum_c q_c log softmax(logits)_c, q = (1 - smoothing) onehot + smoothing / columns; 0 when no row
 * has a label. labels [rows, 1] integers. Szegedy et al. 2016 for the smoothing. */
WHET_CHECKED whet_status whet_i_cross_entropy(whet_ctx *ctx, whet_i_graph *graph,
                                              whet_i_value logits, whet_i_value labels,
                                              double smoothing, whet_i_value *out);

/* The mean over rows and columns of (predictions - targets)^2; targets are a feed of reals, and
 * numbers. */
WHET_CHECKED whet_status whet_i_mse(whet_ctx *ctx, whet_i_graph *graph, whet_i_value predictions,
                                    whet_i_value targets, whet_i_value *out);

#endif
