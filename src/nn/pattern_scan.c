/* SPDX-License-Identifier: Apache-2.0
 * The patterns that nearly all byte-level tokenizers have, scanned without a machine for regular
 * expressions. Each alternative is tried in the pattern's order, with what its greedy repeats give
 * back worked out by hand; tests hold them against the regular expression itself. One pass, O(1)
 * lookups a code point. */
#include "nn/regex_parts_i.h"

enum { LETTER, NUMBER, SPACE, OTHER };

#define CL100K(digits) \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" digits \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct {
    const char *pattern;
    whet_i_scan_kind kind;
    int64_t most_digits;
} KNOWN[] = {{WHET_I_GPT2_PATTERN, WHET_I_SCAN_GPT2, 0},
             {CL100K("{1,3}"), WHET_I_SCAN_CL100K, 3},
             {CL100K(""), WHET_I_SCAN_CL100K, 1}};

static whet_status kind_of(whet_ctx *ctx, void *arg, uint32_t code, uint32_t *value) {
    (void)ctx, (void)arg;
    const uint32_t bits = whet_i_unicode_bits(code);
    *value = bits & WHET_I_RE_LETTER    ? LETTER
             : bits & WHET_I_RE_NUMBER  ? NUMBER
             : bits & WHET_I_CHAR_SPACE ? SPACE
                                        : OTHER;
    return WHET_OK;
}

whet_status whet_i_scan_build(whet_ctx *ctx, whet_str pattern, whet_i_scan *scan) {
    *scan = (whet_i_scan){0};
    for (int64_t i = 0; i < WHET_COUNT_OF(KNOWN); i++) {
        if (!whet_str_equal(pattern, whet_str_from(KNOWN[i].pattern))) continue;
        WHET_TRY(whet_i_charmap_build(ctx, &scan->kinds, kind_of, NULL));
        for (uint32_t b = 0; b < 128; b++)
            scan->ascii[b] = (uint8_t)whet_i_charmap_get(&scan->kinds, b);
        scan->most_digits = KNOWN[i].most_digits;
        scan->kind = KNOWN[i].kind;
    }
    return WHET_OK;
}

void whet_i_scan_free(whet_ctx *ctx, whet_i_scan *scan) { whet_i_charmap_free(ctx, &scan->kinds); }

static uint32_t kind_at(const whet_i_scan *scan, const uint8_t *p, const uint8_t *end,
                        const uint8_t **next) {
    if (*p < 0x80) {
        *next = p + 1;
        return scan->ascii[*p];
    }
    return whet_i_charmap_get(&scan->kinds, whet_i_utf8_decode(p, end, next));
}

/* The end of the run of `kind` from p on, of at most `most` code points. */
static const uint8_t *run(const whet_i_scan *scan, const uint8_t *p, const uint8_t *end,
                          uint32_t kind, int64_t most) {
    const uint8_t *next;
    for (; most > 0 && p < end && kind_at(scan, p, end, &next) == kind; most--) p = next;
    return p;
}

/* The end of 's 't 're 've 'm 'll 'd at an apostrophe, or NULL. Without regard to case the long s
 * (U+017F) is an s too. */
static const uint8_t *contraction(const uint8_t *p, const uint8_t *end, bool any_case) {
    const int64_t left = end - p;
    if (left < 2) return NULL;
    const uint8_t fold = any_case ? 0x20 : 0;
    const uint8_t a = p[1] < 0x80 ? p[1] | fold : p[1];
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return p + 2;
    if (left < 3) return NULL;
    if (any_case && p[1] == 0xC5 && p[2] == 0xBF) return p + 3;
    const uint8_t b = p[2] < 0x80 ? p[2] | fold : p[2];
    const bool two = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
    return two ? p + 3 : NULL;
}

/* White space at p: \s+(?!\S)|\s+, that is all of it but the last before something else. */
static const uint8_t *space(const uint8_t *p, const uint8_t *end, const uint8_t *stop) {
    const uint8_t *last;
    if (stop == end) return stop;
    (void)whet_i_utf8_before(p, stop, &last);
    return last > p ? last : stop;
}

static const uint8_t *next_gpt2(const whet_i_scan *scan, const uint8_t *p, const uint8_t *end) {
    const uint8_t *found, *next;
    if (*p == '\'' && (found = contraction(p, end, false)) != NULL) return found;
    const uint8_t *body = *p == ' ' && p + 1 < end ? p + 1 : p;
    const uint32_t kind = kind_at(scan, body, end, &next);
    if (kind != SPACE) return run(scan, next, end, kind, INT64_MAX);
    return space(p, end, run(scan, p, end, SPACE, INT64_MAX));
}

static bool is_newline(uint8_t byte) { return byte == '\r' || byte == '\n'; }

static const uint8_t *next_cl100k(const whet_i_scan *scan, const uint8_t *p, const uint8_t *end) {
    const uint8_t *found, *next, *after;
    if (*p == '\'' && (found = contraction(p, end, true)) != NULL) return found;
    const uint32_t kind = kind_at(scan, p, end, &next);
    if (kind == LETTER) return run(scan, next, end, LETTER, INT64_MAX);
    if (kind == NUMBER) return run(scan, next, end, NUMBER, scan->most_digits - 1);
    if (!is_newline(*p) && next < end && kind_at(scan, next, end, &after) == LETTER)
        return run(scan, after, end, LETTER, INT64_MAX);
    const uint8_t *body = *p == ' ' ? next : p;
    if (body < end && kind_at(scan, body, end, &after) == OTHER) {
        p = run(scan, after, end, OTHER, INT64_MAX);
        while (p < end && is_newline(*p)) p++;
        return p;
    }
    const uint8_t *stop = run(scan, p, end, SPACE, INT64_MAX);
    for (const uint8_t *last = stop; last > p; last--) /* \s*[\r\n]+: up to the last of them */
        if (is_newline(last[-1])) return last;
    return space(p, end, stop);
}

const uint8_t *whet_i_scan_next(const whet_i_scan *scan, const uint8_t *p, const uint8_t *end) {
    return scan->kind == WHET_I_SCAN_GPT2 ? next_gpt2(scan, p, end) : next_cl100k(scan, p, end);
}
