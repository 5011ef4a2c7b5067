/* SPDX-License-Identifier: Apache-2.0
 * The layers of a chain in the order in which their names put them, for its specification and for running
 * it. */
#ifndef WHET_MERGE_CHAIN_NAMES_H
#define WHET_MERGE_CHAIN_NAMES_H

#include "merge/network_tensors.h"

enum { WHET_I_CHAIN_NAME = 192 };

typedef struct whet_i_chain_module {
    char name[WHET_I_CHAIN_NAME];
    int32_t rank;          /* of its weight: 1 a norm, 2 a linear layer, 4 a convolution */
    int64_t rows, columns; /* of its weight */
    int64_t size;          /* of a square kernel; 0 of another */
    /* For the order alone. */
    char anchor[WHET_I_CHAIN_NAME]; /* the layer that a norm stands behind, or the module itself */
    bool late;                      /* among linear layers, behind all convolutions */
} whet_i_chain_module;

/* Convolutions, then linear layers, each by the numbers in their names, norms behind the layer of their
 * number, or in their place among numbers (nn.Sequential). Owned: whet_i_free. Errors: FORMAT (a tensor of no
 * module, other weights, a norm that may stand behind either of two layers), NOMEM. */
WHET_CHECKED whet_status whet_i_chain_modules(whet_ctx *ctx, const whet_i_tensors *t,
                                              whet_i_chain_module **out, int64_t *n);

#endif
