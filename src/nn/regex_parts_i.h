/* SPDX-License-Identifier: Apache-2.0
 * What regex.c is made of: the translation of a pattern, and the scanners of known patterns. */
#ifndef WHET_NN_REGEX_PARTS_I_H
#define WHET_NN_REGEX_PARTS_I_H

#include "nn/regex_i.h"
#include "nn/tokenizer_i.h"

/* Appends PCRE2's form of a pattern, or refuses what it may understand otherwise. */
WHET_CHECKED whet_status whet_i_regex_translate(whet_ctx *ctx, const char *part, whet_str pattern,
                                                whet_i_buf *out);

typedef enum whet_i_scan_kind {
    WHET_I_SCAN_NONE,
    WHET_I_SCAN_GPT2,
    WHET_I_SCAN_CL100K /* Llama 3, Qwen 2 */
} whet_i_scan_kind;

typedef struct whet_i_scan {
    whet_i_scan_kind kind;
    int64_t most_digits;  /* in one piece: 3 of Llama 3, 1 of Qwen 2 */
    whet_i_charmap kinds; /* letter, number, space, other */
    uint8_t ascii[128];
} whet_i_scan;

/* Kind NONE for a pattern that is not known. */
WHET_CHECKED whet_status whet_i_scan_build(whet_ctx *ctx, whet_str pattern, whet_i_scan *scan);
void whet_i_scan_free(whet_ctx *ctx, whet_i_scan *scan);
/* The end of the match that starts at p < end: these patterns match everywhere. */
const uint8_t *whet_i_scan_next(const whet_i_scan *scan, const uint8_t *p, const uint8_t *end);

#endif
