/* SPDX-License-Identifier: Apache-2.0
 * Byte pair encoding of one word; see bpe.c. Read-only after loading. */
#ifndef WHET_NN_BPE_I_H
#define WHET_NN_BPE_I_H

#include "nn/tokenizer_parts_i.h"

typedef struct whet_i_bpe_pair {
    uint64_t key; /* left id << 32 | right id */
    uint32_t rank;
} whet_i_bpe_pair;

/* The visible character that byte-level vocabularies write for a byte, in UTF-8. */
typedef struct whet_i_byte_char {
    uint8_t bytes[2], len;
} whet_i_byte_char;

typedef struct whet_i_bpe {
    const whet_i_trie *vocab;
    whet_i_bpe_pair *table; /* open addressing, at most half full */
    int32_t shift;          /* 64 - log2(table size) */
    int32_t *merged;        /* [ranks] id that the pair of this rank becomes */
    int32_t unk;            /* -1 = what is unknown is dropped */
    bool fuse_unk, byte_fallback, ignore_merges, byte_level;
    int32_t byte_token[256]; /* <0xNN>, -1 = none */
    whet_i_byte_char char_of[256];
    int32_t first_id[256]; /* of a byte as a symbol of byte-level words */
    bool plain_bytes;      /* byte-level, all of first_id known, nothing before or behind */
    uint32_t inside;       /* node after the continuing-subword prefix, 0 = no such piece */
    const uint8_t *prefix, *suffix;
    int64_t prefix_len, suffix_len;
    uint8_t mark[4];  /* no merge crosses the place before this character, unless behind another: */
    int64_t mark_len; /* words may be cut there; 0 = nowhere */
    int64_t most_symbols, more_symbols; /* of a word of n bytes: n * most + more */
} whet_i_bpe;

/* Bytes that merging needs a symbol, beside the symbol's id. */
#define WHET_I_BPE_SYMBOL_BYTES 28

/* Room for n ranks; then each pair once or again (the last counts). */
WHET_CHECKED whet_status whet_i_bpe_reserve(whet_ctx *ctx, whet_i_bpe *bpe, int64_t n);
void whet_i_bpe_add(whet_i_bpe *bpe, int32_t a, int32_t b, uint32_t rank, int32_t merged);
void whet_i_bpe_free(whet_ctx *ctx, whet_i_bpe *bpe);

/* Merges n symbols in place, returns how many are left. heap_only leaves out the way for short
 * words: tests hold one against the other. */
int64_t whet_i_bpe_merge(const whet_i_bpe *bpe, int32_t *ids, int64_t n, uint8_t *memory,
                         bool heap_only);
/* One word of len >= 1 bytes; memory as whet_i_bpe_memory says. */
void whet_i_bpe_word(const whet_i_bpe *bpe, const uint8_t *word, int64_t len, uint8_t *memory,
                     whet_i_ids *out);

#endif
