/* SPDX-License-Identifier: Apache-2.0
 * Lookups in the observed tables of unicode_data.c, and UTF-8 with replacement of ill-formed bytes
 * by maximal subparts (The Unicode Standard 15, section 3.9). */
#include "nn/unicode_i.h"

#define HANGUL_FIRST 0xAC00u
#define HANGUL_LAST 0xD7A3u

static const struct {
    uint32_t first, last;
} IDEOGRAPHS[] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},  {0x20000, 0x2A6DF},
                  {0x2A700, 0x2B81F}, {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};

/* Index of the last of n sorted records whose first field is <= code, or -1. */
#define FIND_LAST(table, n, field, code, found) \
    do { \
        int64_t low_ = 0, high_ = (n); \
        while (low_ < high_) { \
            const int64_t middle_ = (low_ + high_) / 2; \
            if ((table)[middle_].field <= (code)) \
                low_ = middle_ + 1; \
            else \
                high_ = middle_; \
        } \
        (found) = low_ - 1; \
    } while (0)

static int64_t start_of(uint32_t code) {
    int64_t i;
    FIND_LAST(whet_i_unicode_starts, whet_i_unicode_n_starts, first, code, i);
    return i;
}

static int64_t lower_run_of(uint32_t code) {
    int64_t i;
    FIND_LAST(whet_i_unicode_lowers, whet_i_unicode_n_lowers, first, code, i);
    return i;
}

static int64_t class_run_of(uint32_t code) {
    int64_t i;
    FIND_LAST(whet_i_unicode_classes, whet_i_unicode_n_classes, first, code, i);
    return i;
}

static int64_t decomposition_of(uint32_t code) {
    int64_t i;
    FIND_LAST(whet_i_unicode_decompositions, whet_i_unicode_n_decompositions, code, code, i);
    return i;
}

uint32_t whet_i_unicode_bits(uint32_t code) { return whet_i_unicode_starts[start_of(code)].bits; }

uint32_t whet_i_unicode_class(uint32_t code) {
    const int64_t i = class_run_of(code);
    return i >= 0 && code <= whet_i_unicode_classes[i].last ? whet_i_unicode_classes[i].value : 0;
}

bool whet_i_unicode_is_ideograph(uint32_t code) {
    for (int64_t i = 0; i < WHET_COUNT_OF(IDEOGRAPHS); i++)
        if (code >= IDEOGRAPHS[i].first && code <= IDEOGRAPHS[i].last) return true;
    return false;
}

int32_t whet_i_unicode_lower(uint32_t code, uint32_t out[2]) {
    out[0] = code;
    if (code == 0x130) { /* the one letter whose lower case is two: i, combining dot above */
        out[0] = 0x69;
        out[1] = 0x307;
        return 2;
    }
    const int64_t i = lower_run_of(code);
    if (i < 0) return 1;
    const whet_i_unicode_lower_run *run = &whet_i_unicode_lowers[i];
    if (code <= run->last && (code - run->first) % run->step == 0)
        out[0] = (uint32_t)((int32_t)code + run->delta);
    return 1;
}

int32_t whet_i_unicode_decompose(uint32_t code, uint32_t out[4]) {
    if (code >= HANGUL_FIRST && code <= HANGUL_LAST) { /* The Unicode Standard, section 3.12 */
        const uint32_t index = code - HANGUL_FIRST;
        out[0] = 0x1100 + index / 588;
        out[1] = 0x1161 + index % 588 / 28;
        out[2] = 0x11A7 + index % 28;
        return index % 28 ? 3 : 2;
    }
    const int64_t i = decomposition_of(code);
    if (i < 0 || whet_i_unicode_decompositions[i].code != code) {
        out[0] = code;
        return 1;
    }
    const whet_i_unicode_decomposition *found = &whet_i_unicode_decompositions[i];
    for (uint32_t k = 0; k < found->count; k++) out[k] = whet_i_unicode_pool[found->start + k];
    return (int32_t)found->count;
}

bool whet_i_unicode_has_compat(uint32_t code) {
    int64_t i;
    FIND_LAST(whet_i_unicode_compats, whet_i_unicode_n_compats, first, code, i);
    return i >= 0 && code <= whet_i_unicode_compats[i].last;
}

static void at_most(uint32_t *limit, uint32_t code, uint32_t change) {
    if (change > code && change < *limit) *limit = change;
}

uint32_t whet_i_unicode_plain_until(uint32_t code) {
    uint32_t out[4], limit = WHET_I_UNICODE_END;
    if (whet_i_unicode_lower(code, out) > 1 || out[0] != code) return code;
    if (whet_i_unicode_decompose(code, out) > 1 || out[0] != code) return code;
    int64_t i = start_of(code) + 1;
    if (i < whet_i_unicode_n_starts) at_most(&limit, code, whet_i_unicode_starts[i].first);
    i = lower_run_of(code);
    if (i >= 0 && code < whet_i_unicode_lowers[i].last) return code + 1;
    if (i + 1 < whet_i_unicode_n_lowers) at_most(&limit, code, whet_i_unicode_lowers[i + 1].first);
    i = class_run_of(code);
    if (i >= 0) at_most(&limit, code, whet_i_unicode_classes[i].last + 1);
    if (i + 1 < whet_i_unicode_n_classes)
        at_most(&limit, code, whet_i_unicode_classes[i + 1].first);
    i = decomposition_of(code) + 1;
    if (i < whet_i_unicode_n_decompositions)
        at_most(&limit, code, whet_i_unicode_decompositions[i].code);
    at_most(&limit, code, HANGUL_FIRST);
    at_most(&limit, code, WHET_I_REPLACEMENT);
    if (code == WHET_I_REPLACEMENT) return code;
    for (i = 0; i < WHET_COUNT_OF(IDEOGRAPHS); i++) {
        at_most(&limit, code, IDEOGRAPHS[i].first);
        at_most(&limit, code, IDEOGRAPHS[i].last + 1);
    }
    return limit;
}

uint32_t whet_i_utf8_decode(const uint8_t *p, const uint8_t *end, const uint8_t **next) {
    const uint8_t lead = *p++;
    *next = p;
    if (lead < 0x80) return lead;
    if (lead < 0xC2 || lead > 0xF4) return WHET_I_REPLACEMENT;
    const int32_t more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    /* The second byte's range excludes overlong forms, surrogates and what is past U+10FFFF. */
    uint8_t low = 0x80, high = 0xBF;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
    uint32_t code = lead & (0x3Fu >> more);
    for (int32_t i = 0; i < more; i++) {
        if (p == end || *p < low || *p > high) {
            *next = p;
            return WHET_I_REPLACEMENT;
        }
        code = code << 6 | (*p++ & 0x3Fu);
        low = 0x80;
        high = 0xBF;
    }
    *next = p;
    return code;
}

uint32_t whet_i_utf8_before(const uint8_t *begin, const uint8_t *p, const uint8_t **start) {
    for (const uint8_t *lead = p - 1; lead >= begin && p - lead <= 4; lead--) {
        if ((*lead & 0xC0) == 0x80) continue;
        const uint8_t *next;
        const uint32_t code = whet_i_utf8_decode(lead, p, &next);
        if (next != p) break;
        *start = lead;
        return code;
    }
    *start = p - 1;
    return WHET_I_REPLACEMENT;
}

uint8_t *whet_i_utf8_encode(uint8_t *out, uint32_t code) {
    if (code < 0x80) {
        *out++ = (uint8_t)code;
    } else if (code < 0x800) {
        *out++ = (uint8_t)(0xC0 | code >> 6);
        *out++ = (uint8_t)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *out++ = (uint8_t)(0xE0 | code >> 12);
        *out++ = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        *out++ = (uint8_t)(0x80 | (code & 0x3F));
    } else {
        *out++ = (uint8_t)(0xF0 | code >> 18);
        *out++ = (uint8_t)(0x80 | (code >> 12 & 0x3F));
        *out++ = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        *out++ = (uint8_t)(0x80 | (code & 0x3F));
    }
    return out;
}
