/* SPDX-License-Identifier: Apache-2.0
 * Regular expressions of tokenizer files: written for Oniguruma (Ruby syntax), matched by PCRE2.
 * The classes are those of the observed tables, so that both see the same letters whatever Unicode
 * version PCRE2 has; what the two may understand differently is refused by name. The patterns of
 * GPT-2, Llama 3 and Qwen 2 have scanners of their own (pattern_scan.c). */
#ifndef WHET_NN_REGEX_I_H
#define WHET_NN_REGEX_I_H

#include "nn/unicode_i.h"

typedef struct whet_i_regex whet_i_regex;

typedef struct whet_i_regex_state { /* of one worker */
    void *match;                    /* PCRE2's */
    int64_t budget;                 /* steps that this text may still take beyond the usual */
    bool exhausted;                 /* a match was given up: the text has no result */
} whet_i_regex_state;

#define WHET_I_GPT2_PATTERN \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

WHET_CHECKED whet_status whet_i_regex_build(whet_ctx *ctx, const char *part, whet_str pattern,
                                            whet_i_regex **out);
void whet_i_regex_destroy(whet_ctx *ctx, whet_i_regex *regex);
/* Leaves the scanner for PCRE2: tests hold one against the other. */
void whet_i_regex_without_scanner(whet_i_regex *regex);

WHET_CHECKED whet_status whet_i_regex_state_init(whet_ctx *ctx, whet_i_regex_state *state);
void whet_i_regex_state_free(whet_ctx *ctx, whet_i_regex_state *state);
/* A new text of `len` bytes. */
void whet_i_regex_state_start(whet_i_regex_state *state, int64_t len);

/* The first match in begin..end (valid UTF-8) from `from` on, never empty; false when none is, or
 * when it is exhausted. */
bool whet_i_regex_find(const whet_i_regex *regex, whet_i_regex_state *state, const uint8_t *begin,
                       const uint8_t *end, const uint8_t *from, const uint8_t **match_begin,
                       const uint8_t **match_end);

#endif
