/* SPDX-License-Identifier: Apache-2.0
 * Rows of tokens as a batch of the engine. */
#ifndef WHET_NN_TEXT_BATCH_H
#define WHET_NN_TEXT_BATCH_H

#include "nn/graph_i.h"
#include "whet/nn.h"

/* Feeds 0, 1, 2 are ids, positions and segments, as whet_i_encoder_record declares them. */
typedef struct whet_i_text_batch {
    int64_t tokens, rows; /* room */
    int32_t *ids, *positions, *types;
    int64_t *start, *asked, *asked_start;
    whet_i_batch batch;
} whet_i_text_batch;

/* What it leaves behind on failure is released by _free. */
WHET_CHECKED whet_status whet_i_text_batch_init(whet_ctx *ctx, whet_i_text_batch *b, int64_t tokens,
                                                int64_t rows);
void whet_i_text_batch_free(whet_ctx *ctx, whet_i_text_batch *b);
/* Rows which[0..n) within the room. Where positions begin behind a padding token's, those of RoBERTa, a token
 * of that kind that a text holds is at its own position and is not counted, as in transformers. */
void whet_i_text_batch_fill(whet_i_text_batch *b, const whet_token_rows *rows, const int64_t *which,
                            int64_t n, int64_t first_position);
/* Of the rows that are filled in, asks for the tokens with a label, labels [T] not negative. */
void whet_i_text_batch_ask(whet_i_text_batch *b, const int32_t *labels);

#endif
