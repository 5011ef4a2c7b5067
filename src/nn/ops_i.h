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
/* Declares the parameters of a layer of inputs of k columns whose parts are recorded one by one afterwards,
 * in the order that they have in a layer that is recorded whole. */
WHET_CHECKED whet_status whet_i_linear_declare(whet_ctx *ctx, whet_i_graph *graph,
                                               const whet_i_linear_spec *spec, int64_t k);
/* logits = x w^T with the matrix [n, k] of an embedding (tied weights). */
WHET_CHECKED whet_status whet_i_tied_linear(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                            const char *matrix, int64_t n, whet_i_value *out);

/* ---- norms over columns (op_norm.c) ----------------------------------------------------------- */

/* <module>.weight and <module>.bias [columns], or as named by weight and bias. */
WHET_CHECKED whet_status whet_i_layernorm(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                          const char *module, double eps, whet_i_value *out);
WHET_CHECKED whet_status whet_i_rmsnorm(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                        const char *module, double eps, whet_i_value *out);

/* ---- tokens (op_embedding.c, op_attention.c, op_selection.c, op_pooling.c, op_rope.c) ----------- */

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

/* The same of some tokens' queries, q [rows of the selection, heads d], against keys and values of all, kv
 * [T, 2 groups d]: out [rows of the selection, heads d]. */
WHET_CHECKED whet_status whet_i_attention_of(whet_ctx *ctx, whet_i_graph *graph,
                                             whet_i_selection selection, whet_i_value q,
                                             whet_i_value kv, const whet_i_attention_spec *spec,
                                             whet_i_value *out);

/* out [rows of the selection, columns] = those tokens' rows of x [T, columns]; or x, where it has no others
 * than the selection's, with zeros in place of the rows of sequences without tokens. ALL is x itself. */
WHET_CHECKED whet_status whet_i_select_tokens(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                              whet_i_selection selection, whet_i_value *out);
/* out [B, columns]: the mean of a sequence's tokens, or its first or last one. A sequence without
 * tokens gives zeros. First and last may be of an x that has no other rows. */
typedef enum whet_i_pooling_kind {
    WHET_I_POOL_MEAN,
    WHET_I_POOL_FIRST,
    WHET_I_POOL_LAST
} whet_i_pooling_kind;
WHET_CHECKED whet_status whet_i_pool_tokens(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                            whet_i_pooling_kind kind, whet_i_value *out);
/* first, second [pairs, columns] = rows 0, 2, .. and 1, 3, .. of x [B, columns], B = 2 pairs.
 * (op_split.c) */
WHET_CHECKED whet_status whet_i_split_pairs(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                            whet_i_value *first, whet_i_value *second);
/* out = x / max(|x|, 1e-12) by rows. */
WHET_CHECKED whet_status whet_i_unit_rows(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                          whet_i_value *out);

/* Turns the first `heads` heads of d numbers of each row of x [rows of the selection, ..] (queries, then
 * keys) by position times frequency [d / 2]; positions [T, 1] integers. Pairs are (2 i, 2 i + 1) when
 * interleaved, else (i, i + d / 2), as transformers has them. */
enum { WHET_I_ROPE_MAX = 256 };
typedef struct whet_i_rope_spec {
    int64_t heads, d; /* d even, at most 2 WHET_I_ROPE_MAX */
    bool interleaved;
    double frequency[WHET_I_ROPE_MAX];
    whet_i_selection selection;
} whet_i_rope_spec;
WHET_CHECKED whet_status whet_i_rope(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                     whet_i_value positions, const whet_i_rope_spec *spec,
                                     whet_i_value *out);

/* ---- by numbers (op_elementwise.c) ------------------------------------------------------------ */

WHET_CHECKED whet_status whet_i_activation(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                           whet_i_act act, whet_i_value *out);
/* out [rows, n] = act(a) b of x [rows, 2 n] = [a, b]. */
WHET_CHECKED whet_status whet_i_gated(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                      whet_i_act act, whet_i_value *out);
/* Zeroes each number with probability p and scales the rest by 1 / (1 - p), when batch->train: by a
 * hash of batch->seed, node and place, so that it can be made again. p = 0 records nothing. */
WHET_CHECKED whet_status whet_i_dropout(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                        double p, whet_i_value *out);
/* out = a + b. */
WHET_CHECKED whet_status whet_i_sum(whet_ctx *ctx, whet_i_graph *graph, whet_i_value a,
                                    whet_i_value b, whet_i_value *out);

/* ---- images (op_convolution.c, op_batchnorm.c, op_groupnorm.c, op_image.c, op_image_pool.c) ------ */

/* A value of images has height * width * channels columns, channels last. */
typedef struct whet_i_image {
    int64_t height, width, channels;
} whet_i_image;

typedef struct whet_i_convolution_spec {
    const char
        *module; /* <module>.weight [filters, channels / groups, size, size], .bias [filters] */
    int64_t filters, size, stride, padding;
    bool bias;
    int64_t dilation, groups; /* 1, .. */
} whet_i_convolution_spec;
/* y = x * w + bias; *image, the shape of x, becomes that of y. Each of `groups` runs of filters reads
 * the run of channels that stands where it does. Weights that no file gives begin uniform within
 * 1 / sqrt(channels / groups size^2), as torch's do (He et al. 2015 with a = sqrt 5).
 * Errors: SHAPE (the kernel is larger than the padded image; channels or filters are no such groups). */
WHET_CHECKED whet_status whet_i_convolution(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                            whet_i_image *image,
                                            const whet_i_convolution_spec *spec, whet_i_value *out);

/* What follows a norm: y = z where z > 0, else slope z. slope 0 is ReLU, 1 nothing. */
#define WHET_I_LINEAR_SLOPE 1.0

/* Normalises each channel over examples and places, by the statistics of the batch when
 * batch->train, else by running ones, then scales, shifts, adds `residual` (WHET_I_NONE = none) and
 * applies the slope (Ioffe & Szegedy 2015). x has columns = places * channels. <module>.weight,
 * .bias, .running_mean, .running_var [channels]; the running ones move by `momentum` in each forward
 * pass that trains, the variance by its unbiased estimate (not at all with a single row). */
typedef struct whet_i_batchnorm_spec {
    const char *module;
    int64_t channels;
    double eps, momentum, slope;
    whet_i_value residual;
} whet_i_batchnorm_spec;
WHET_CHECKED whet_status whet_i_batchnorm(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                          const whet_i_batchnorm_spec *spec, whet_i_value *out);

/* Normalises each example's `groups` groups of neighbouring channels over their places, then scales
 * and shifts by channel and applies the slope (Wu & He 2018). <module>.weight, .bias [channels].
 * channels must be a multiple of groups. */
typedef struct whet_i_groupnorm_spec {
    const char *module;
    int64_t channels, groups;
    double eps, slope;
} whet_i_groupnorm_spec;
WHET_CHECKED whet_status whet_i_groupnorm(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                          const whet_i_groupnorm_spec *spec, whet_i_value *out);

/* The largest or the mean of each window of a channel, size x size, `stride` apart. What lies in the
 * padding (at most size / 2) is never the largest, and counts as zero for means, as torch has it. The
 * gradient of equal largest goes to the first. NaN wins. *image becomes the shape of out.
 * Errors: SHAPE (the window is larger than the padded image). */
typedef struct whet_i_image_pool_spec {
    bool largest;
    int64_t size, stride, padding;
} whet_i_image_pool_spec;
WHET_CHECKED whet_status whet_i_image_pool(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                           whet_i_image *image, const whet_i_image_pool_spec *spec,
                                           whet_i_value *out);
/* out [rows, channels] = the mean over places. */
WHET_CHECKED whet_status whet_i_global_pool(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                            const whet_i_image *image, whet_i_value *out);

/* A shortcut without parameters (option A of He et al. 2016): every stride-th row and column, and
 * as many zero channels before as behind, up to `channels`. *image becomes the shape of out. */
WHET_CHECKED whet_status whet_i_image_shortcut(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                               whet_i_image *image, int64_t stride,
                                               int64_t channels, whet_i_value *out);
/* Columns in the order channels, height, width, which torch's linear layers expect. */
WHET_CHECKED whet_status whet_i_flatten(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                        const whet_i_image *image, whet_i_value *out);

/* ---- variational autoencoders (op_sample.c, loss_vae.c) ---------------------------------------- */

/* out = mean + exp(log_variance / 2) e, e standard normal by a hash of batch->seed, node and place;
 * out = mean when not batch->train. Kingma & Welling 2014, eq. 4. */
WHET_CHECKED whet_status whet_i_sample_normal(whet_ctx *ctx, whet_i_graph *graph, whet_i_value mean,
                                              whet_i_value log_variance, whet_i_value *out);

/* ---- losses (loss_<name>.c): out [1, 1] -------------------------------------------------------
 * NaN in a row that counts, in what is scored or in a target, gives a loss of NaN, which stops
 * training with its step; rows that do not count are not read. Targets are feeds: they get no
 * gradient. */

/* The mean over rows with a label (0..columns-1; ignored: any negative one) of
 * -sum_c q_c log softmax(logits)_c, q = (1 - smoothing) onehot + smoothing / columns; 0 when no row
 * has a label. labels [rows, 1] integers. Szegedy et al. 2016 for the smoothing. */
WHET_CHECKED whet_status whet_i_cross_entropy(whet_ctx *ctx, whet_i_graph *graph,
                                              whet_i_value logits, whet_i_value labels,
                                              double smoothing, whet_i_value *out);
/* As above against distributions `targets`, a feed of reals [rows, columns]: the mean over rows that are
 * not zero everywhere of -sum_c q_c log softmax(logits)_c. */
WHET_CHECKED whet_status whet_i_soft_cross_entropy(whet_ctx *ctx, whet_i_graph *graph,
                                                   whet_i_value logits, whet_i_value targets,
                                                   whet_i_value *out);

/* whet_i_cross_entropy(x w^T, labels), without smoothing, w [n, k] the matrix of that name (an
 * embedding's, when tied), x of all tokens, or of the asked ones, which are then those with a label. The
 * logits are never held whole: a worker needs 48 n reals. */
WHET_CHECKED whet_status whet_i_head_loss(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                          const char *matrix, int64_t n, whet_i_value labels,
                                          whet_i_value *out);

/* The mean over labelled rows of sum_c softmax(logits / temperature)_c costs[label, c]. costs [K,
 * columns] are finite and must outlive the graph; labels are 0..K-1, and need not be among what is
 * scored. With squared distances: the expected squared distance from label to guess. Unlike
 * cross-entropy it is not convex in the logits: it hardly moves a guess that is certain, be it wrong, and
 * new weights may come to rest on the class that is cheapest for all, the middle of a path. */
WHET_CHECKED whet_status whet_i_expected_cost(whet_ctx *ctx, whet_i_graph *graph,
                                              whet_i_value logits, whet_i_value labels,
                                              const whet_i_real *costs, double temperature,
                                              whet_i_value *out);
/* Cross-entropy through the Frechet mean: logits [rows, K] of observed classes, p = softmax(logits), s =
 * -p costs / temperature over N candidates, and the mean over labelled rows (0..N-1) of
 * -log softmax(s)_label. costs [K, N], finite, outlive the graph. Their mean is a temperature at which
 * scores do not saturate. O(K N) a row. Source: Loki, arXiv 2307.12226 (temperature 1 there). */
WHET_CHECKED whet_status whet_i_frechet_loss(whet_ctx *ctx, whet_i_graph *graph,
                                             whet_i_value logits, whet_i_value labels,
                                             const whet_i_real *costs, int64_t candidates,
                                             double temperature, whet_i_value *out);

/* The mean over rows and columns of (predictions - targets)^2; targets are a feed of reals. */
WHET_CHECKED whet_status whet_i_mse(whet_ctx *ctx, whet_i_graph *graph, whet_i_value predictions,
                                    whet_i_value targets, whet_i_value *out);

/* The loss of a variational autoencoder: weight * reconstruction + divergence. Reconstruction is the
 * mean over all numbers of (sigmoid(logits) - targets)^2, or of the binary cross-entropy of targets
 * in [0, 1] under sigmoid(logits); the divergence from N(0, 1), -1/2 sum (1 + v - m^2 - exp v) over
 * columns, is averaged over rows (m the mean, v the log-variance; Kingma & Welling 2014, app. B).
 * 0 when there are no rows. targets are a feed of reals. */
typedef struct whet_i_vae_loss_spec {
    bool cross_entropy; /* else squares */
    double weight;
} whet_i_vae_loss_spec;
WHET_CHECKED whet_status whet_i_vae_loss(whet_ctx *ctx, whet_i_graph *graph, whet_i_value logits,
                                         whet_i_value targets, whet_i_value mean,
                                         whet_i_value log_variance,
                                         const whet_i_vae_loss_spec *spec, whet_i_value *out);

/* Losses on all pairs of a batch's embeddings [B, d], which the caller makes unit rows; see
 * loss_pairs.c for the formulas. */
typedef enum whet_i_pair_loss {
    WHET_I_PAIR_COSINE,      /* squares of S_ij - [same class] */
    WHET_I_PAIR_CONTRASTIVE, /* pulls a class together, pushes others beyond `margin` */
    WHET_I_PAIR_SUPERVISED,  /* supervised contrastive, at `temperature` */
    WHET_I_PAIR_RANKING /* in-batch softmax of pairs (embeddings_i, other_i) at `temperature` */
} whet_i_pair_loss;
typedef struct whet_i_pairs_spec {
    whet_i_pair_loss kind;
    double temperature, margin;
    bool symmetric; /* ranking: both ways */
} whet_i_pairs_spec;
/* other: labels [B, 1] integers, or with RANKING the partners [B, d]. A row with a negative label takes
 * no part: it is in no pair, no anchor, no positive, and in no denominator. 0 where there is no pair, or
 * (SUPERVISED) no pair of a class. */
WHET_CHECKED whet_status whet_i_pairs(whet_ctx *ctx, whet_i_graph *graph,
                                      const whet_i_pairs_spec *spec, whet_i_value embeddings,
                                      whet_i_value other, whet_i_value *out);
/* The mean over rows of (a_i . b_i - target_i)^2: of cosines, for unit rows a and b [rows, d]; targets
 * [rows, 1] reals. 0 without rows. (loss_cosine.c) */
WHET_CHECKED whet_status whet_i_cosine_mse(whet_ctx *ctx, whet_i_graph *graph, whet_i_value a,
                                           whet_i_value b, whet_i_value targets, whet_i_value *out);

#endif
