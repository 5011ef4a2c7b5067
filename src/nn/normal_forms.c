/* SPDX-License-Identifier: Apache-2.0
 * NFC, NFKC and NFKD of valid UTF-8: decompose, put marks in canonical order, compose.
 * Source: The Unicode Standard, section 3.11; composition of two code points by utf8proc. What
 * decomposes is taken from the observed tables, since Hugging Face's Unicode is older than
 * utf8proc's: what they do not decompose is not composed either. O(bytes) but for runs of marks. */
#include <utf8proc.h>

#include "nn/tokenizer_i.h"

#define MOST_CODES 32 /* of a compatibility decomposition; the longest has 18 */
#define SHORT_RUN 32  /* marks that are sorted by insertion */
#define HANGUL_L 0x1100u
#define HANGUL_V 0x1161u
#define HANGUL_T 0x11A7u
#define HANGUL_S 0xAC00u

static int32_t decompose(uint32_t code, bool compat, uint32_t out[MOST_CODES]) {
    if (compat && whet_i_unicode_has_compat(code)) {
        utf8proc_int32_t codes[MOST_CODES];
        int boundary = 0;
        const utf8proc_ssize_t n = utf8proc_decompose_char(
            (utf8proc_int32_t)code, codes, MOST_CODES,
            (utf8proc_option_t)(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT), &boundary);
        if (n > 0 && n <= MOST_CODES) {
            for (utf8proc_ssize_t i = 0; i < n; i++) out[i] = (uint32_t)codes[i];
            return (int32_t)n;
        }
    }
    return whet_i_unicode_decompose(code, out);
}

/* The code point that the two compose to, or 0. */
static uint32_t compose(uint32_t a, uint32_t b) {
    if (a - HANGUL_L < 19 && b - HANGUL_V < 21)
        return HANGUL_S + ((a - HANGUL_L) * 21 + (b - HANGUL_V)) * 28;
    if (a - HANGUL_S < 11172 && (a - HANGUL_S) % 28 == 0 && b - HANGUL_T - 1 < 27)
        return a + b - HANGUL_T;
    utf8proc_int32_t both[2] = {(utf8proc_int32_t)a, (utf8proc_int32_t)b};
    if (utf8proc_normalize_utf32(both, 2,
                                 (utf8proc_option_t)(UTF8PROC_COMPOSE | UTF8PROC_STABLE)) != 1)
        return 0;
    uint32_t parts[4];
    const uint32_t code = (uint32_t)both[0];
    return whet_i_unicode_decompose(code, parts) > 1 ? code : 0;
}

/* Stable sort of the run codes[from..to) by class: insertion, or one pass a class that occurs. */
static void sort_run(uint32_t *codes, uint8_t *classes, uint32_t *spare, int64_t from, int64_t to) {
    if (to - from <= SHORT_RUN) {
        for (int64_t i = from + 1; i < to; i++) {
            const uint32_t code = codes[i];
            const uint8_t class = classes[i];
            int64_t k = i;
            for (; k > from && classes[k - 1] > class; k--) {
                codes[k] = codes[k - 1];
                classes[k] = classes[k - 1];
            }
            codes[k] = code;
            classes[k] = class;
        }
        return;
    }
    int64_t count[256] = {0}, at = 0;
    for (int64_t i = from; i < to; i++) count[classes[i]]++;
    for (int i = 0; i < 256; i++) {
        const int64_t n = count[i];
        count[i] = at;
        at += n;
    }
    for (int64_t i = from; i < to; i++) spare[count[classes[i]]++] = codes[i];
    for (int64_t i = from; i < to; i++) {
        codes[i] = spare[i - from];
        classes[i] = (uint8_t)whet_i_unicode_class(codes[i]);
    }
}

/* Composes in place, returns the new count. `starter` is the last code point of class 0; a code
 * point is blocked from it by one between them of the same or a higher class. */
static int64_t compose_all(uint32_t *codes, const uint8_t *classes, int64_t n) {
    int64_t out = 0, starter = -1;
    uint32_t before = 0; /* class of the last one kept behind the starter */
    for (int64_t i = 0; i < n; i++) {
        const uint32_t class = classes[i];
        const bool beside = starter == out - 1;
        if (starter >= 0 && (beside || (before < class && before > 0))) {
            const uint32_t both = compose(codes[starter], codes[i]);
            if (both) {
                codes[starter] = both;
                continue;
            }
        }
        if (class == 0) starter = out;
        before = class;
        codes[out++] = codes[i];
    }
    return out;
}

uint8_t *whet_i_normal_form(whet_i_form form, const uint8_t *p, const uint8_t *end, uint8_t *out,
                            uint8_t *scratch) {
    const int64_t most = (end - p) * WHET_I_FORM_CODES;
    uint32_t *codes = (uint32_t *)(void *)scratch, *spare = codes + most;
    uint8_t *classes = (uint8_t *)(spare + most);
    const bool compat = form != WHET_I_NFC;
    while (p < end) {
        /* ASCII that no mark follows stays. */
        while (p < end && *p < 0x80 && (p + 1 == end || p[1] < 0x80)) *out++ = *p++;
        int64_t n = 0, run = 0;
        while (p < end && !(*p < 0x80 && (p + 1 == end || p[1] < 0x80))) {
            uint32_t parts[MOST_CODES];
            const uint32_t code = whet_i_utf8_decode(p, end, &p);
            const int32_t count = decompose(code, compat, parts);
            for (int32_t i = 0; i < count; i++) {
                const uint32_t class = whet_i_unicode_class(parts[i]);
                if (class == 0) {
                    sort_run(codes, classes, spare, run, n);
                    run = n + 1;
                }
                codes[n] = parts[i];
                classes[n++] = (uint8_t) class;
            }
        }
        if (run < n) sort_run(codes, classes, spare, run, n);
        if (form != WHET_I_NFKD) n = compose_all(codes, classes, n);
        for (int64_t i = 0; i < n; i++) out = whet_i_utf8_encode(out, codes[i]);
    }
    return out;
}
