/* SPDX-License-Identifier: Apache-2.0
 * The parts of a tokenizer, each compiled into direct tables when the file is loaded:
 *
 *   bytes -> whet_i_added (raw) -> whet_i_normalizer -> whet_i_added (normalised)
 *         -> classes (pre-tokeniser) -> whet_i_wordpiece -> ids -> prefix, suffix
 *
 * Nothing here allocates or can fail after loading: encoding runs inside parallel loops. */
#ifndef WHET_NN_TOKENIZER_I_H
#define WHET_NN_TOKENIZER_I_H

#include <jansson.h>

#include "core/core_i.h"
#include "nn/unicode_i.h"
#include "whet/nn.h"

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

/* Where ids go: at most cap are written, n counts no further. */
typedef struct whet_i_ids {
    int32_t *ids;
    int64_t n, cap;
} whet_i_ids;

/* Greedy longest match of one word of n_chars code points, or unk. */
void whet_i_wordpiece_word(const whet_i_wordpiece *model, const uint8_t *word, int64_t len,
                           int64_t n_chars, whet_i_ids *out);

/* ---- post-processor -------------------------------------------------------------------------- */

#define WHET_I_MAX_SPECIAL 64 /* tokens that a template adds */

/* Special tokens, sequence, special tokens [, sequence, special tokens]. */
typedef struct whet_i_template {
    int32_t ids[WHET_I_MAX_SPECIAL]; /* special tokens in order */
    uint8_t types[WHET_I_MAX_SPECIAL];
    int32_t end[3];         /* where those before, between (or after), after the sequences end */
    int32_t n_sequences;    /* 1 or 2; 0 = the file has no such template */
    uint8_t type_of[2];     /* segment of the first text, of the second */
    bool second_text_first; /* of a pair */
} whet_i_template;

static inline int64_t whet_i_template_specials(const whet_i_template *t) {
    return t->n_sequences ? t->end[t->n_sequences] : 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* Classes of the pre-tokeniser: words are maximal runs of one class of 0 and 3. */
enum { WHET_I_CLASS_A = 0, WHET_I_CLASS_SPACE = 1, WHET_I_CLASS_ALONE = 2, WHET_I_CLASS_B = 3 };

typedef enum whet_i_pre {
    WHET_I_PRE_NONE,
    WHET_I_PRE_BERT,            /* white space removed, punctuation alone */
    WHET_I_PRE_WHITESPACE,      /* \w+|[^\w\s]+ */
    WHET_I_PRE_WHITESPACE_SPLIT /* white space removed */
} whet_i_pre;

struct whet_tokenizer {
    whet_i_normalizer norm;
    whet_i_pre pre;
    whet_i_charmap classes;
    uint8_t class_of[256]; /* of ASCII; 4 for bytes from 0x80 */
    whet_i_wordpiece model;
    whet_i_added raw, normalized;
    whet_i_template single, pair; /* of the post-processor */
    whet_str *tokens;             /* [n_tokens], {NULL,0} where the vocabulary has a hole */
    int64_t n_tokens;
    whet_i_arena bytes;
};

/* From a parsed tokenizer.json; the sentence of a failure does not name the file. */
WHET_CHECKED whet_status whet_i_tokenizer_from_json(whet_ctx *ctx, const json_t *root,
                                                    whet_tokenizer **out);
/* The file's post_processor into single and pair; tokens and n_tokens are known already. */
WHET_CHECKED whet_status whet_i_post_processor_read(whet_ctx *ctx, whet_tokenizer *tok,
                                                    const json_t *json);
/* One text without special tokens; scratch as whet_i_tokenizer_scratch says. */
void whet_i_tokenizer_text(const whet_tokenizer *tok, whet_str text, uint8_t *scratch,
                           whet_i_ids *out);
/* Bytes of scratch and ids that a text of `len` bytes needs at most. */
WHET_CHECKED whet_status whet_i_tokenizer_bounds(whet_ctx *ctx, const whet_tokenizer *tok,
                                                 int64_t len, int64_t *scratch, int64_t *ids);

/* ---- reading a file's parts ------------------------------------------------------------------ */

static inline whet_str whet_i_json_text(const json_t *value) {
    return (whet_str){json_string_value(value), (int64_t)json_string_length(value)};
}
static inline bool whet_i_json_is(const json_t *value, const char *text) {
    return json_is_string(value) && whet_str_equal(whet_i_json_text(value), whet_str_from(text));
}
/* A part that this library does not have: the sentence, and its status. */
WHET_CHECKED whet_status whet_i_tokenizer_unsupported(whet_ctx *ctx, const char *part,
                                                      const json_t *type, const char *known);
WHET_CHECKED whet_status whet_i_tokenizer_bool(whet_ctx *ctx, const char *part,
                                               const json_t *object, const char *key, bool *out);

#endif
