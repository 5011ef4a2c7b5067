/* SPDX-License-Identifier: Apache-2.0
 * Votes of a file block by block, so that an array of any length takes the memory of a block. */
#ifndef WHET_LABEL_VOTE_BLOCKS_H
#define WHET_LABEL_VOTE_BLOCKS_H

#include "label/vote_model.h"

typedef struct whet_i_vote_blocks whet_i_vote_blocks;

/* spec and opts as whet_votes_read; with no classes in opts the file is read once for its largest
 * vote. Triples in order of their rows come in blocks, others as one, held whole. Errors: as
 * whet_votes_read but for votes out of range, which come with their block. */
WHET_CHECKED whet_status whet_i_vote_blocks_open(whet_ctx *ctx, const char *spec,
                                                 const whet_votes_read_opts *opts,
                                                 whet_i_vote_blocks **out);
/* n, m and k of all; no votes. */
const whet_votes *whet_i_vote_blocks_shape(const whet_i_vote_blocks *blocks);
/* Rows that a block has at most. */
int64_t whet_i_vote_blocks_most(const whet_i_vote_blocks *blocks);
/* The next block, checked, valid until the next call, and the row it begins with; n = 0 at the end.
 * Errors: DATA naming row and rule of a vote out of range; as reading. */
WHET_CHECKED whet_status whet_i_vote_blocks_next(whet_ctx *ctx, whet_i_vote_blocks *blocks,
                                                 whet_votes *block, int64_t *first);
void whet_i_vote_blocks_close(whet_ctx *ctx, whet_i_vote_blocks *blocks); /* NULL is fine */

#endif
