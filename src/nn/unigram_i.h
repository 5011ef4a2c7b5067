/* SPDX-License-Identifier: Apache-2.0
 * SentencePiece's unigram model of one word; see unigram.c. Read-only after loading. */
#ifndef WHET_NN_UNIGRAM_I_H
#define WHET_NN_UNIGRAM_I_H

#include "nn/tokenizer_parts_i.h"

typedef struct whet_i_unigram {
    const whet_i_trie *vocab;
    double *scores; /* [tokens] log probabilities */
    double unknown; /* the score of a character that no token is */
    int32_t unk;
    bool byte_fallback;      /* what is unknown becomes <0xNN>, where all of them are tokens: */
    int32_t byte_token[256]; /* -1 = none */
} whet_i_unigram;

/* Bytes of memory that a word of len bytes needs. */
#define WHET_I_UNIGRAM_BYTES 16

void whet_i_unigram_free(whet_ctx *ctx, whet_i_unigram *model);
/* One word of len >= 1 bytes; memory of (len + 1) * WHET_I_UNIGRAM_BYTES, aligned for doubles. */
void whet_i_unigram_word(const whet_i_unigram *model, const uint8_t *word, int64_t len,
                         uint8_t *memory, whet_i_ids *out);

#endif
