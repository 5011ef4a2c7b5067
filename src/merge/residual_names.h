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
    WHET_I_BLOCK_NAME = 64,   /* bytes of a block's name */
    WHET_I_RESIDUAL_NAME = 96 /* of a module's */
};

/* Names of a network's first convolution and its norm, and of its last layer. */
typedef struct whet_i_residual_ends {
    const char *stem, *stem_norm;
    const char *head; /* NULL: there is none */
} whet_i_residual_ends;
whet_i_residual_ends whet_i_residual_ends_of(const whet_i_tensors *t);

/* A block of a stage, as its tensors say. */
typedef struct whet_i_residual_block {
    char module[WHET_I_BLOCK_NAME];
    int32_t convolutions;                           /* 2, or 3 of a bottleneck */
    int64_t widths[WHET_I_BLOCK_CONVOLUTIONS_MOST]; /* that they write */
    char convs[WHET_I_BLOCK_CONVOLUTIONS_MOST][WHET_I_RESIDUAL_NAME];
    char norms[WHET_I_BLOCK_CONVOLUTIONS_MOST][WHET_I_RESIDUAL_NAME];
    bool shortcut; /* of a convolution; else it has no tensors */
    char shortcut_conv[WHET_I_RESIDUAL_NAME], shortcut_norm[WHET_I_RESIDUAL_NAME];
} whet_i_residual_block;
/* Block `index` of stage 1, 2, ..; false: there is none. Errors: FORMAT (other convolutions than are read
 * here). */
WHET_CHECKED whet_status whet_i_residual_block_of(whet_ctx *ctx, const whet_i_tensors *t, int stage,
                                                  int index, bool *there,
                                                  whet_i_residual_block *out);
/* Whether the tensors are those of a residual network. */
bool whet_i_residual_named(const whet_i_tensors *t);
/* Whether norms stand before convolutions: 1, behind them: 0; -1 where nothing tells. */
int whet_i_residual_before(const whet_i_tensors *t);
/* The same for an architecture, which decides where nothing tells. */
bool whet_i_residual_is_before(const whet_i_tensors *t, const char *arch);

#endif
