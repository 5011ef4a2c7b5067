/* SPDX-License-Identifier: Apache-2.0
 * Code points as Hugging Face tokenizers sees them, and UTF-8.
 *
 * The tables (unicode_data.c) are observed, not taken from one Unicode version: see
 * tools/unicode_tables.py. All lookups here are binary searches; the tokenizer compiles what it
 * needs into direct tables when it is loaded. */
#ifndef WHET_NN_UNICODE_I_H
#define WHET_NN_UNICODE_I_H

#include "core/core_i.h"

#define WHET_I_UNICODE_END 0x110000u
#define WHET_I_REPLACEMENT 0xFFFDu

enum {
    WHET_I_CHAR_OTHER = 1,      /* control, format or private use: dropped by clean_text */
    WHET_I_CHAR_SPACE = 2,      /* white space */
    WHET_I_CHAR_PUNCT = 4,      /* a token of its own for BERT */
    WHET_I_CHAR_NONSPACING = 8, /* dropped by BERT's strip_accents, after decomposition */
    WHET_I_CHAR_MARK = 16,      /* dropped by StripAccents */
    WHET_I_CHAR_WORD = 32,      /* part of a word for single_word and Whitespace */
    WHET_I_CHAR_NUMERIC = 64,   /* cut off by Digits */
    /* The classes of regular expressions: \p{L}, \p{N}, \p{M}, \p{P}, \p{S}, \d, \w; \s is SPACE. */
    WHET_I_RE_LETTER = 128,
    WHET_I_RE_NUMBER = 256,
    WHET_I_RE_MARK = 512,
    WHET_I_RE_PUNCT = 1024,
    WHET_I_RE_SYMBOL = 2048,
    WHET_I_RE_DIGIT = 4096,
    WHET_I_RE_WORD = 8192
};

/* Of code points, for grapheme clusters: Unicode Standard Annex 29, tables 2 and 3, but for flags and the
 * syllables of Hangul. */
typedef enum whet_i_grapheme {
    WHET_I_GRAPHEME_OTHER,
    WHET_I_GRAPHEME_CONTROL, /* with CR and LF */
    WHET_I_GRAPHEME_EXTEND,
    WHET_I_GRAPHEME_LINKER, /* EXTEND that joins consonants */
    WHET_I_GRAPHEME_ZWNJ,   /* EXTEND that parts them */
    WHET_I_GRAPHEME_ZWJ,
    WHET_I_GRAPHEME_SPACING,
    WHET_I_GRAPHEME_PREPEND,
    WHET_I_GRAPHEME_PICTURE,
    WHET_I_GRAPHEME_CONSONANT,
    WHET_I_GRAPHEME_L,
    WHET_I_GRAPHEME_V,
    WHET_I_GRAPHEME_T,
    WHET_I_GRAPHEME_LV,
    WHET_I_GRAPHEME_LVT
} whet_i_grapheme;

typedef struct whet_i_unicode_start { /* `bits` hold from `first` up to the next start */
    uint32_t first;
    uint32_t bits;
} whet_i_unicode_start;
typedef struct whet_i_unicode_lower_run { /* first, first + step, ..., last move by delta */
    uint32_t first, last, step;
    int32_t delta;
} whet_i_unicode_lower_run;
typedef struct whet_i_unicode_class_run { /* canonical combining or grapheme class, not 0 */
    uint32_t first, last, value;
} whet_i_unicode_class_run;
typedef struct whet_i_unicode_decomposition { /* full canonical decomposition in the pool */
    uint32_t code, start, count;
} whet_i_unicode_decomposition;
typedef struct whet_i_unicode_range {
    uint32_t first, last;
} whet_i_unicode_range;

extern const whet_i_unicode_start whet_i_unicode_starts[];
extern const int64_t whet_i_unicode_n_starts;
extern const whet_i_unicode_lower_run whet_i_unicode_lowers[];
extern const int64_t whet_i_unicode_n_lowers;
extern const whet_i_unicode_class_run whet_i_unicode_classes[];
extern const int64_t whet_i_unicode_n_classes;
extern const whet_i_unicode_decomposition whet_i_unicode_decompositions[];
extern const int64_t whet_i_unicode_n_decompositions;
/* Code points whose compatibility decomposition is not the canonical one. */
extern const whet_i_unicode_range whet_i_unicode_compats[];
extern const int64_t whet_i_unicode_n_compats;
extern const uint32_t whet_i_unicode_pool[];
extern const whet_i_unicode_class_run whet_i_unicode_graphemes[];
extern const int64_t whet_i_unicode_n_graphemes;

/* WHET_I_CHAR_ bits. Pure. O(log). */
uint32_t whet_i_unicode_bits(uint32_t code);
/* Canonical combining class. Pure. O(log). */
uint32_t whet_i_unicode_class(uint32_t code);
/* BERT's "Chinese characters": the blocks of CJK ideographs it knows. Pure. */
bool whet_i_unicode_is_ideograph(uint32_t code);
/* Lower case, full decomposition: write at most 2 and 4 code points, return how many. Pure. */
int32_t whet_i_unicode_lower(uint32_t code, uint32_t out[2]);
int32_t whet_i_unicode_decompose(uint32_t code, uint32_t out[4]);
/* Whether NFKD makes something else of it than NFD. Pure. O(log). */
bool whet_i_unicode_has_compat(uint32_t code);
/* No code point in code..result-1 differs from `code` in bits, class, ideograph, or maps to
 * anything but itself; result == code when `code` itself maps. Pure. O(log). */
uint32_t whet_i_unicode_plain_until(uint32_t code);

/* The end of the extended grapheme cluster that begins at p < end, of valid UTF-8. Pairs of regional
 * indicators are two: nothing that asks looks at clusters of over 5 bytes. Pure. O(cluster log). */
const uint8_t *whet_i_grapheme_end(const uint8_t *p, const uint8_t *end);

/* The code point at p < end; *next is the byte after it. Ill-formed bytes give U+FFFD and move by
 * the maximal subpart (Unicode 3.9, table 3-8), as Python's errors="replace". Pure. */
uint32_t whet_i_utf8_decode(const uint8_t *p, const uint8_t *end, const uint8_t **next);
/* The code point that ends before p > begin, U+FFFD when ill-formed. Pure. */
uint32_t whet_i_utf8_before(const uint8_t *begin, const uint8_t *p, const uint8_t **start);
/* Writes 1 to 4 bytes, returns the one after. */
uint8_t *whet_i_utf8_encode(uint8_t *out, uint32_t code);

#endif
