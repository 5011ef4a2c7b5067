/* SPDX-License-Identifier: Apache-2.0
 * Tables that the parts of a tokenizer are made of, and its first parts: values of code points, the
 * normaliser of single code points, tries, added tokens, WordPiece. */
#ifndef WHET_NN_TOKENIZER_PARTS_I_H
#define WHET_NN_TOKENIZER_PARTS_I_H

#include "nn/unicode_i.h"

/* Where ids go: at most cap are written, n counts no further. */
typedef struct whet_i_ids {
    int32_t *ids;
    int64_t n, cap;
} whet_i_ids;

/* ---- a value for every code point: two-stage table of distinct blocks of 256 ------------------ */

#define WHET_I_CHARMAP_BLOCKS (0x110000 / 256)

typedef struct whet_i_charmap {
    uint16_t *block;  /* [WHET_I_CHARMAP_BLOCKS] */
    uint32_t *values; /* [n_blocks * 256] */
    int64_t n_blocks, cap;
} whet_i_charmap;

/* value_of is asked once for each run of code points that whet_i_unicode_plain_until says are all
 * alike, so it must not depend on anything else about them. */
WHET_CHECKED whet_status whet_i_charmap_build(
    whet_ctx *ctx, whet_i_charmap *map,
    whet_status (*value_of)(whet_ctx *ctx, void *arg, uint32_t code, uint32_t *value), void *arg);
void whet_i_charmap_free(whet_ctx *ctx, whet_i_charmap *map);

static inline uint32_t whet_i_charmap_get(const whet_i_charmap *map, uint32_t code) {
    return map->values[(size_t)map->block[code >> 8] << 8 | (code & 0xFF)];
}

/* ---- normaliser ------------------------------------------------------------------------------ */

typedef enum whet_i_norm_op {
    WHET_I_NORM_CLEAN,      /* control characters away, white space to ' ' */
    WHET_I_NORM_IDEOGRAPHS, /* ' ' on both sides of a Chinese character; at most once */
    WHET_I_NORM_DECOMPOSE,  /* NFD; at most once */
    WHET_I_NORM_NONSPACING, /* non-spacing marks away (old categories: BertNormalizer) */
    WHET_I_NORM_MARKS,      /* all marks away (StripAccents) */
    WHET_I_NORM_LOWER
} whet_i_norm_op;

#define WHET_I_NORM_MAX_OPS 8

typedef struct whet_i_normalizer {
    whet_i_norm_op ops[WHET_I_NORM_MAX_OPS];
    int32_t n_ops;
    bool follows;           /* another step: its text has no ill-formed bytes */
    whet_i_charmap actions; /* see normalizer.c */
    uint8_t *pool;          /* replacement strings */
    int64_t pool_len, pool_cap;
    uint8_t ascii[128], ascii_keep[128];
    int64_t max_bytes; /* output bytes an input byte, at most */
    int64_t max_codes; /* output code points an input byte, at most */
} whet_i_normalizer;

/* Compiles ops (already set). */
WHET_CHECKED whet_status whet_i_normalizer_build(whet_ctx *ctx, whet_i_normalizer *norm);
void whet_i_normalizer_free(whet_ctx *ctx, whet_i_normalizer *norm);
/* Writes the normalised, valid UTF-8 of p..end to out, which holds max_bytes * (end - p) bytes.
 * Returns the end of what was written. */
uint8_t *whet_i_normalize(const whet_i_normalizer *norm, const uint8_t *p, const uint8_t *end,
                          uint8_t *out);

/* ---- a trie of byte strings: edges in one open-addressing table ------------------------------- */

typedef struct whet_i_trie {
    uint64_t *edges; /* (node << 8 | byte) << 32 | child, 0 = empty; node 1 is the root */
    int32_t *values; /* [n_nodes + 1] of the string that ends there, -1 = none */
    int64_t n_nodes, cap_nodes;
    int64_t n_edges;
    int32_t shift; /* 32 - log2(table size) */
} whet_i_trie;

#define WHET_I_TRIE_ROOT 1u
#define WHET_I_TRIE_MAX_NODES ((int64_t)1 << 24)

WHET_CHECKED whet_status whet_i_trie_init(whet_ctx *ctx, whet_i_trie *trie);
/* *existing is the value the same bytes had before (then kept), or -1. */
WHET_CHECKED whet_status whet_i_trie_add(whet_ctx *ctx, whet_i_trie *trie, whet_str bytes,
                                         int32_t value, int32_t *existing);
void whet_i_trie_free(whet_ctx *ctx, whet_i_trie *trie);

/* The child along a byte, 0 when there is none. */
static inline uint32_t whet_i_trie_step(const whet_i_trie *trie, uint32_t node, uint8_t byte) {
    const uint32_t key = node << 8 | byte;
    const uint32_t mask = (uint32_t)(((uint64_t)1 << (32 - trie->shift)) - 1);
    uint32_t place = (key * 0x9E3779B1u) >> trie->shift;
    for (;;) {
        const uint64_t edge = trie->edges[place];
        if ((uint32_t)(edge >> 32) == key) return (uint32_t)edge;
        if (!edge) return 0;
        place = (place + 1) & mask;
    }
}

/* ---- added tokens ---------------------------------------------------------------------------- */

typedef struct whet_i_added_token {
    int32_t id;
    bool single_word, lstrip, rstrip;
} whet_i_added_token;

typedef struct whet_i_added {
    whet_i_trie trie; /* value = index in tokens */
    whet_i_added_token *tokens;
    int64_t n, cap;
    bool first[256]; /* bytes a token starts with */
    int32_t only;    /* the one such byte, or -1 */
} whet_i_added;

WHET_CHECKED whet_status whet_i_added_add(whet_ctx *ctx, whet_i_added *added, whet_str content,
                                          whet_i_added_token token, bool *is_new);
void whet_i_added_free(whet_ctx *ctx, whet_i_added *added);

/* The walk over a text: each call gives a piece of plain text (id -1) or a token. */
typedef struct whet_i_added_walk {
    const uint8_t *begin, *end;
    const uint8_t *search; /* where matching goes on */
    const uint8_t *done;   /* up to here everything has been given out */
    int32_t pending;       /* token to give after the text before it, or -1 */
    const uint8_t *pending_end;
} whet_i_added_walk;
void whet_i_added_walk_start(whet_i_added_walk *walk, const uint8_t *begin, const uint8_t *end);
bool whet_i_added_next(const whet_i_added *added, whet_i_added_walk *walk, int32_t *id,
                       const uint8_t **begin, const uint8_t **end);

/* ---- WordPiece ------------------------------------------------------------------------------- */

typedef struct whet_i_wordpiece {
    whet_i_trie trie;
    uint32_t inside; /* node after the continuing-subword prefix, 0 = no such piece */
    int32_t unk;
    int64_t max_chars;
} whet_i_wordpiece;

/* Greedy longest match of one word of n_chars code points, or unk. */
void whet_i_wordpiece_word(const whet_i_wordpiece *model, const uint8_t *word, int64_t len,
                           int64_t n_chars, whet_i_ids *out);

#endif
