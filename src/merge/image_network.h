/* SPDX-License-Identifier: Apache-2.0
 * Networks of images or vectors, run forward with weights that are given: what losses along a line,
 * statistics of batch norms, and activations are measured with. */
#ifndef WHET_MERGE_IMAGE_NETWORK_H
#define WHET_MERGE_IMAGE_NETWORK_H

#include "merge/align_i.h"
#include "nn/nn_i.h"

typedef struct whet_i_image_network {
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_value logits, loss; /* loss: of one that is trained */
    int64_t d, classes;        /* numbers of an example; columns of logits */
    int64_t norms;             /* batch norms */
} whet_i_image_network;

/* Whether networks of an architecture can be run, on data (chains of convolutions where a specification tells
 * these) and to prove that permutations keep their function. */
bool whet_i_image_network_knows(const char *arch);

/* The tensor of that name, or of "module." before it, or NULL. */
const whet_tensor *whet_i_image_network_tensor(const whet_weights *weights, const char *name);

/* Records the network that the weights (f32) are of, for images of this shape, and gives it their values;
 * names may begin with "module.". told: what a specification tells of its convolutions, or NULL.
 * What it leaves behind on failure is released by _free. Errors: UNSUPPORTED (the architecture, an element
 * type, what is told), SHAPE, FORMAT (names of another network), DATA (what is told is of none of it). */
WHET_CHECKED whet_status whet_i_image_network_make(whet_ctx *ctx, const char *arch,
                                                   const whet_permutation_spec *told,
                                                   const whet_weights *weights,
                                                   const whet_i_image *image,
                                                   whet_i_image_network *out);
/* The same, with what goes into the activations of mlp, lenet, wrn and group norms as values of their own. */
WHET_CHECKED whet_status whet_i_image_network_make_apart(whet_ctx *ctx, const char *arch,
                                                         const whet_permutation_spec *told,
                                                         const whet_weights *weights,
                                                         const whet_i_image *image,
                                                         whet_i_image_network *out);
/* The same, to be trained: labels are its second feed, their mean cross-entropy its loss. */
WHET_CHECKED whet_status whet_i_image_network_make_trained(whet_ctx *ctx, const char *arch,
                                                           const whet_permutation_spec *told,
                                                           const whet_weights *weights,
                                                           const whet_i_image *image,
                                                           whet_i_image_network *out);
/* A network with the symmetries of those of the architecture and these weights, to be proved. */
WHET_CHECKED whet_status whet_i_image_network_make_proof(whet_ctx *ctx, const char *arch,
                                                         const whet_permutation_spec *told,
                                                         const whet_weights *weights,
                                                         const whet_i_image *image,
                                                         whet_i_image_network *out);
void whet_i_image_network_free(whet_ctx *ctx, whet_i_image_network *net);

/* Logits [n, classes] of x [n, d]. stage: of progress. */
WHET_CHECKED whet_status whet_i_image_network_run(whet_ctx *ctx, const whet_i_image_network *net,
                                                  const char *stage, const float *x, int64_t n,
                                                  float *logits);
/* Batch norms get the means and variances of x, batch by batch, averaged: what torch does with momentum
 * None. n >= 2. */
WHET_CHECKED whet_status whet_i_image_network_measure(whet_ctx *ctx, whet_i_image_network *net,
                                                      const float *x, int64_t n);

/* One batch after the other: visit gets its rows and the executor, which holds the values of `keep`. */
typedef struct whet_i_batch_visitor {
    whet_status (*visit)(whet_ctx *ctx, void *arg, const whet_i_executor *executor, int64_t first,
                         int64_t rows);
    void *arg;
    const char *stage;
    const whet_i_value *keep;
    int64_t n_keep;
    bool train;
} whet_i_batch_visitor;
WHET_CHECKED whet_status whet_i_image_network_batches(whet_ctx *ctx,
                                                      const whet_i_image_network *net,
                                                      const float *x, int64_t n,
                                                      const whet_i_batch_visitor *visitor);

#endif
