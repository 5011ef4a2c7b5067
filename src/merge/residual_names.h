/* SPDX-License-Identifier: Apache-2.0
 * What names and shapes tell of a residual network, for its specification and for running it: where norms
 * stand, how many convolutions a block has, what its shortcut is made of. */
#ifndef WHET_MERGE_RESIDUAL_NAMES_H
#define WHET_MERGE_RESIDUAL_NAMES_H

#include "merge/network_tensors.h"

enum {
    WHET_I_STAGES_MOST = 8,
    WHET_I_BLOCKS_MOST = 400, /* of a stage */
    WHET_I_BLOCK_CONVOLUTIONS_MOST = 3,
    WHET_I_BLOCK_NAME = 32 /* bytes of "layer1.0" */
};

/* A block of a stage, as its tensors say. */
typedef struct whet_i_residual_block {
    char module[WHET_I_BLOCK_NAME];
    int32_t convolutions;                           /* 2, or 3 of a bottleneck */
    int64_t widths[WHET_I_BLOCK_CONVOLUTIONS_MOST]; /* that they write */
    int64_t sizes[WHET_I_BLOCK_CONVOLUTIONS_MOST];  /* of their kernels */
    const char
        *shortcut; /* the module whose .0 is its convolution, .1 its norm; NULL = without tensors */
} whet_i_residual_block;
/* Block `index` of stage 1, 2, ..; false: there is none. Errors: FORMAT (other convolutions than are read
 * here). */
WHET_CHECKED whet_status whet_i_residual_block_of(whet_ctx *ctx, const whet_i_tensors *t, int stage,
                                                  int index, bool *there,
                                                  whet_i_residual_block *out);
/* Whether norms stand before convolutions: 1, behind them: 0; -1 where nothing tells. */
int whet_i_residual_before(const whet_i_tensors *t);
/* The same for an architecture, which decides where nothing tells. */
bool whet_i_residual_is_before(const whet_i_tensors *t, const char *arch);
/* The last layer, "linear" or "fc"; NULL: there is none. */
const char *whet_i_residual_head(const whet_i_tensors *t);

#endif
