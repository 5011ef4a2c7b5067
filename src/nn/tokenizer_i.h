/* SPDX-License-Identifier: Apache-2.0
 * The parts of a tokenizer, each compiled into direct tables when the file is loaded:
 *
 *   bytes -> whet_i_added (raw) -> whet_i_normalizer, whet_i_text_step -> whet_i_added (normalised)
 *         -> classes or whet_i_pre_step -> whet_i_wordpiece, whet_i_bpe or whet_i_unigram -> ids
 *         -> whet_i_template
 *
 * Nothing here allocates or fails after loading: encoding runs inside parallel loops, in memory
 * that whet_i_work laid out before. (A regular expression can give up; the work then says so.) */
#ifndef WHET_NN_TOKENIZER_I_H
#define WHET_NN_TOKENIZER_I_H

#include <jansson.h>

#include "nn/bpe_i.h"
#include "nn/regex_i.h"
#include "nn/tokenizer_parts_i.h"
#include "nn/unigram_i.h"
#include "whet/nn.h"

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

/* ---- normaliser steps that look at more than a code point ------------------------------------- */

typedef enum whet_i_form { WHET_I_NFC, WHET_I_NFKC, WHET_I_NFKD } whet_i_form;

#define WHET_I_FORM_CODES 6  /* code points that a byte decomposes to, at most */
#define WHET_I_FORM_BYTES 12 /* bytes that a byte becomes, at most */
#define WHET_I_FORM_SCRATCH (WHET_I_FORM_CODES * 9) /* bytes of scratch a byte */

/* Writes the form of valid UTF-8 p..end to out; returns the end of what was written. */
uint8_t *whet_i_normal_form(whet_i_form form, const uint8_t *p, const uint8_t *end, uint8_t *out,
                            uint8_t *scratch);

/* Precompiled: see charsmap.c. */
typedef struct whet_i_charsmap {
    uint32_t *units; /* [n] */
    int64_t n;
    char *texts; /* [texts_len + 1] */
    int64_t texts_len;
    int64_t max_bytes; /* output bytes an input byte, at most */
    bool stays[128];   /* characters of ASCII that alone are not replaced */
} whet_i_charsmap;

/* From {"precompiled_charsmap": base 64}. *out is to be freed also after a failure, once it is set.
 * Errors: FORMAT, LIMIT, NOMEM. */
WHET_CHECKED whet_status whet_i_charsmap_read(whet_ctx *ctx, const json_t *json,
                                              whet_i_charsmap **out);
void whet_i_charsmap_free(whet_ctx *ctx, whet_i_charsmap *map);
/* Writes valid UTF-8 p..end anew, into max_bytes * (end - p) bytes; returns the end. */
uint8_t *whet_i_charsmap_apply(const whet_i_charsmap *map, const uint8_t *p, const uint8_t *end,
                               uint8_t *out);

typedef enum whet_i_text_op {
    WHET_I_TEXT_CHARS,
    WHET_I_TEXT_FORM,
    WHET_I_TEXT_CHARSMAP,
    WHET_I_TEXT_PREPEND,
    WHET_I_TEXT_REPLACE,
    WHET_I_TEXT_STRIP
} whet_i_text_op;

typedef struct whet_i_text_step {
    whet_i_text_op op;
    whet_i_normalizer chars;
    whet_i_form form;
    whet_i_charsmap *charsmap;
    whet_str from, to;   /* REPLACE; PREPEND has `to` */
    whet_i_regex *regex; /* REPLACE: instead of from */
    bool left, right;    /* STRIP */
} whet_i_text_step;

#define WHET_I_MAX_STEPS 16

/* ---- pre-tokeniser ---------------------------------------------------------------------------- */

/* Classes of the pre-tokeniser: words are maximal runs of one class of 0 and 3. */
enum { WHET_I_CLASS_A = 0, WHET_I_CLASS_SPACE = 1, WHET_I_CLASS_ALONE = 2, WHET_I_CLASS_B = 3 };

typedef enum whet_i_pre {
    WHET_I_PRE_NONE,
    WHET_I_PRE_BERT,            /* white space removed, punctuation alone */
    WHET_I_PRE_WHITESPACE,      /* \w+|[^\w\s]+ */
    WHET_I_PRE_WHITESPACE_SPLIT /* white space removed */
} whet_i_pre;

typedef enum whet_i_pre_op {
    WHET_I_PRE_CLASSES,
    WHET_I_PRE_SPLIT,
    WHET_I_PRE_DIGITS,
    WHET_I_PRE_PUNCTUATION,
    WHET_I_PRE_METASPACE,
    WHET_I_PRE_BYTE_LEVEL
} whet_i_pre_op;

typedef enum whet_i_behavior {
    WHET_I_ISOLATED,
    WHET_I_REMOVED,
    WHET_I_MERGED_WITH_PREVIOUS,
    WHET_I_MERGED_WITH_NEXT,
    WHET_I_CONTIGUOUS
} whet_i_behavior;

typedef enum whet_i_prepend { WHET_I_NEVER, WHET_I_FIRST, WHET_I_ALWAYS } whet_i_prepend;

typedef struct whet_i_pre_step {
    whet_i_pre_op op;
    whet_i_behavior behavior;
    bool invert;
    whet_i_regex *regex;    /* SPLIT, BYTE_LEVEL: NULL = by text, not at all */
    whet_str text;          /* SPLIT: the string; METASPACE: what a space becomes */
    whet_i_prepend prepend; /* METASPACE, BYTE_LEVEL */
    bool split;             /* METASPACE */
} whet_i_pre_step;

/* ---- decoder ---------------------------------------------------------------------------------- */

typedef enum whet_i_decode_op {
    WHET_I_DECODE_BYTE_LEVEL,
    WHET_I_DECODE_BYTE_FALLBACK,
    WHET_I_DECODE_FUSE,
    WHET_I_DECODE_REPLACE,
    WHET_I_DECODE_STRIP,
    WHET_I_DECODE_METASPACE,
    WHET_I_DECODE_WORDPIECE,
    WHET_I_DECODE_BPE
} whet_i_decode_op;

typedef struct whet_i_decode_step {
    whet_i_decode_op op;
    whet_str from, to;   /* REPLACE; STRIP, METASPACE, WORDPIECE, BPE have `from` */
    int64_t start, stop; /* STRIP: how many at most */
    bool flag;           /* WORDPIECE: cleanup; METASPACE: the first token has none */
} whet_i_decode_step;

/* ---- the whole ------------------------------------------------------------------------------- */

#define WHET_I_N_ROLES 7
#define WHET_I_MAX_ADDED 65536 /* tokens beside the vocabulary */

struct whet_tokenizer {
    whet_i_normalizer norm; /* first of all; also makes ill-formed bytes U+FFFD */
    whet_i_text_step text_steps[WHET_I_MAX_STEPS];
    int32_t n_text_steps;
    whet_i_pre pre;
    whet_i_charmap classes;
    uint8_t class_of[256]; /* of ASCII; 4 for bytes from 0x80 */
    whet_i_pre_step pre_steps[WHET_I_MAX_STEPS];
    int32_t n_pre_steps;
    bool is_classic;        /* WordPiece on the runs of a class: the fast way of tokenizer.c */
    whet_i_wordpiece model; /* its trie is the vocabulary, whatever the model */
    bool is_bpe, is_unigram;
    whet_i_bpe bpe;
    whet_i_unigram unigram;
    whet_i_added raw, normalized;
    whet_i_template single, pair; /* of the post-processor */
    whet_i_decode_step decode_steps[WHET_I_MAX_STEPS];
    int32_t n_decode_steps;
    bool has_decoder;
    whet_str *tokens; /* [n_tokens], {NULL,0} where the vocabulary has a hole */
    uint8_t *kinds;   /* [n_tokens] WHET_I_TOKEN_ bits */
    int64_t n_tokens;
    int32_t role[WHET_I_N_ROLES]; /* -1 = no token */
    whet_i_arena bytes;
};

enum { WHET_I_TOKEN_SPECIAL = 1 };

/* Memory of one worker. */
typedef struct whet_i_work {
    uint8_t *text[2];               /* a piece before and after a step of the normaliser */
    uint8_t *forms;                 /* for normal forms */
    uint8_t *pre[WHET_I_MAX_STEPS]; /* what a step of the pre-tokeniser makes of a piece */
    uint8_t *model;                 /* for merging */
    whet_i_regex_state regex;
    uint8_t *memory; /* all of the above but regex */
} whet_i_work;

/* For texts of at most `longest` bytes. Release also after a failure. */
WHET_CHECKED whet_status whet_i_work_init(whet_ctx *ctx, const whet_tokenizer *tok, int64_t longest,
                                          whet_i_work *work);
void whet_i_work_free(whet_ctx *ctx, whet_i_work *work);
/* Ids that a text of len bytes has at most. */
WHET_CHECKED whet_status whet_i_tokenizer_most_ids(whet_ctx *ctx, const whet_tokenizer *tok,
                                                   int64_t len, int64_t *ids);

/* A piece without raw added tokens, normalised: *begin..result, in the work's memory. */
const uint8_t *whet_i_normalize_piece(const whet_tokenizer *tok, whet_i_work *work,
                                      const uint8_t *p, const uint8_t *end, const uint8_t **begin);
/* The ids of a normalised piece without added tokens, unless it is_classic. at_start: it is
 * the begin of the whole text. */
void whet_i_pre_tokenize(const whet_tokenizer *tok, whet_i_work *work, const uint8_t *p,
                         const uint8_t *end, bool at_start, whet_i_ids *out);
/* Bytes a piece of n bytes may become: n * times + plus. */
typedef struct whet_i_growth {
    int64_t times, plus;
} whet_i_growth;
whet_i_growth whet_i_text_step_growth(const whet_i_text_step *step);
whet_i_growth whet_i_pre_step_growth(const whet_i_pre_step *step);

/* One text without special tokens. work->regex.exhausted tells of one that has no result. */
void whet_i_tokenizer_text(const whet_tokenizer *tok, whet_str text, whet_i_work *work,
                           whet_i_ids *out);

/* ---- reading a file's parts ------------------------------------------------------------------ */

/* From a parsed tokenizer.json; the sentence of a failure does not name the file. */
WHET_CHECKED whet_status whet_i_tokenizer_from_json(whet_ctx *ctx, const json_t *root,
                                                    whet_tokenizer **out);
/* Changes a parsed tokenizer.json as transformers does for what stands beside it. Errors: IO, FORMAT, LIMIT,
 * NOMEM. */
WHET_CHECKED whet_status whet_i_tokenizer_config_apply(whet_ctx *ctx, const char *dir,
                                                       json_t *root);
/* The file's post_processor into single and pair; tokens and n_tokens are known already. */
WHET_CHECKED whet_status whet_i_post_processor_read(whet_ctx *ctx, whet_tokenizer *tok,
                                                    const json_t *json);
WHET_CHECKED whet_status whet_i_normalizer_read(whet_ctx *ctx, whet_tokenizer *tok,
                                                const json_t *json);
WHET_CHECKED whet_status whet_i_pre_tokenizer_read(whet_ctx *ctx, whet_tokenizer *tok,
                                                   const json_t *json);
/* model BPE, without its vocab, which is there already. */
WHET_CHECKED whet_status whet_i_bpe_read(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json);
/* model Unigram, with its vocab. */
WHET_CHECKED whet_status whet_i_unigram_read(whet_ctx *ctx, whet_tokenizer *tok,
                                             const json_t *json);
WHET_CHECKED whet_status whet_i_decoder_read(whet_ctx *ctx, whet_tokenizer *tok,
                                             const json_t *json);
/* Roles of tokens: none, then those that the files of a folder tell. */
void whet_i_token_roles_clear(whet_tokenizer *tok);
WHET_CHECKED whet_status whet_i_token_roles_read(whet_ctx *ctx, const char *dir,
                                                 whet_tokenizer *tok);
/* The id of a token of the vocabulary, or -1. */
int32_t whet_i_tokenizer_find(const whet_tokenizer *tok, whet_str text);
/* The visible characters of byte-level vocabularies. */
void whet_i_byte_chars(whet_i_byte_char out[256]);
/* A copy that lives as long as the tokenizer. */
WHET_CHECKED whet_status whet_i_tokenizer_keep(whet_ctx *ctx, whet_tokenizer *tok, whet_str text,
                                               whet_str *out);
/* A text under a key, kept; optional ones may be missing or null. */
WHET_CHECKED whet_status whet_i_tokenizer_string(whet_ctx *ctx, whet_tokenizer *tok,
                                                 const char *part, const json_t *object,
                                                 const char *key, bool optional, whet_str *out);

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

/* whet_tokenizer_encode; *truncated: how many texts lost tokens, or NULL. (tokenizer_batch.c) */
WHET_CHECKED whet_status whet_i_tokenizer_encode_counted(whet_ctx *ctx,
                                                         const whet_tokenizer *tokenizer,
                                                         const whet_str *texts, int64_t n,
                                                         int64_t max_length, whet_token_rows *out,
                                                         int64_t *truncated);

#endif
