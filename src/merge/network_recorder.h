/* SPDX-License-Identifier: Apache-2.0
 * What the files share that record a network as the tensors that are given say: residual ones
 * (residual_network.c), chains of layers (chain_network.c). */
#ifndef WHET_MERGE_NETWORK_RECORDER_H
#define WHET_MERGE_NETWORK_RECORDER_H

#include "merge/align_i.h"
#include "nn/nn_i.h"

typedef struct whet_i_network_recorder {
    whet_ctx *ctx;
    whet_i_graph *graph;
    const char *arch;
    const whet_weights *weights;
    whet_i_image image;                /* of an example */
    bool apart;                        /* what goes into an activation is a value of its own */
    bool proof;                        /* any network of its symmetries will do */
    const whet_permutation_spec *told; /* of convolutions, or NULL */
} whet_i_network_recorder;

/* A convolution as it is told; else with this stride, and the padding that keeps an image's size at a stride
 * of 1. Its channels are in the groups that its shapes say. *image becomes the shape of out.
 * Errors: FORMAT, DATA (what is told is not of its shapes), SHAPE. */
WHET_CHECKED whet_status whet_i_record_convolution(const whet_i_network_recorder *r,
                                                   const char *module, int64_t stride,
                                                   whet_i_image *image, whet_i_value x,
                                                   whet_i_value *out);
/* Of a module; NULL: nothing is told, or it does not matter (of a proof). */
const whet_i_told *whet_i_recorder_told(const whet_i_network_recorder *r, const char *module);
/* The pool that is told to be behind a convolution, or none. */
WHET_CHECKED whet_status whet_i_record_pool(const whet_i_network_recorder *r,
                                            const whet_i_told_pool *pool, whet_i_image *image,
                                            whet_i_value x, whet_i_value *out);
/* What is told must be of convolutions of the network. Errors: DATA, by name. */
WHET_CHECKED whet_status whet_i_check_told(const whet_i_network_recorder *r);

/* act(norm(x) + residual): a batch norm, or a group norm of the number of groups behind the architecture. */
typedef struct whet_i_norm_spec {
    const char *module;
    int64_t channels;
    bool relu;
    whet_i_value residual; /* WHET_I_NONE = none */
    bool batch;
    bool
        vector; /* of no images: one group, where the channels are no groups as the architecture says */
} whet_i_norm_spec;
WHET_CHECKED whet_status whet_i_record_norm(const whet_i_network_recorder *r,
                                            const whet_i_norm_spec *spec, whet_i_value x,
                                            whet_i_value *out);
/* A linear layer of as many rows as its weight has, with a bias where there is one. */
WHET_CHECKED whet_status whet_i_record_dense(const whet_i_network_recorder *r, const char *module,
                                             whet_i_act act, whet_i_value x, whet_i_value *out);

WHET_CHECKED whet_status whet_i_record_residual(whet_i_network_recorder *r, whet_i_value x,
                                                whet_i_model_values *out);
WHET_CHECKED whet_status whet_i_record_chain(whet_i_network_recorder *r, whet_i_value x,
                                             whet_i_model_values *out);
/* An image, or vector, on which a chain can be proved. */
WHET_CHECKED whet_status whet_i_chain_image(whet_ctx *ctx, const whet_weights *w,
                                            whet_i_image *out);

#endif
