/* SPDX-License-Identifier: Apache-2.0
 * The normaliser, compiled: what the file's steps do to one code point does not depend on its
 * neighbours, except for the canonical ordering of marks after a decomposition. So each code point
 * gets one action from a table:
 *   KEEP      its own bytes          DROP      nothing         SPACED   ' ', its bytes, ' '
 *   REORDER   the marks from here on are put in canonical order (rare: taken by put_run)
 *   otherwise a string in the pool: STRING | offset << 8 | length
 * Source: BertNormalizer and NFD as Hugging Face tokenizers behaves; Unicode 3.11, D109 (order). */
#include "nn/tokenizer_i.h"

enum { KEEP = 0, DROP = 1, SPACED = 2, REORDER = 3 };
#define STRING 0x80000000u
#define MAX_POOL ((int64_t)1 << 23)
/* What the steps can make of one code point: a space on both sides once, one decomposition (x 4),
 * one letter that becomes two. */
#define MAX_CODES 32
#define GONE 0xFFFFFFFFu /* a dropped starter: still separates runs of marks */

typedef struct codes {
    uint32_t code[MAX_CODES];
    uint32_t mark[MAX_CODES]; /* canonical combining class, 0 before and without NFD */
    int32_t n;
} codes;

static void put(codes *list, uint32_t code, uint32_t mark) {
    if (list->n == MAX_CODES) return;
    list->code[list->n] = code;
    list->mark[list->n++] = mark;
}

static void apply(whet_i_norm_op op, uint32_t code, uint32_t mark, codes *out) {
    uint32_t to[4];
    switch (op) {
    case WHET_I_NORM_CLEAN: {
        const uint32_t bits = whet_i_unicode_bits(code);
        if (bits & WHET_I_CHAR_OTHER || code == 0 || code == WHET_I_REPLACEMENT) break;
        put(out, bits & WHET_I_CHAR_SPACE ? ' ' : code, mark);
        return;
    }
    case WHET_I_NORM_IDEOGRAPHS:
        if (whet_i_unicode_is_ideograph(code)) {
            put(out, ' ', 0);
            put(out, code, mark);
            put(out, ' ', 0);
        } else {
            put(out, code, mark);
        }
        return;
    case WHET_I_NORM_DECOMPOSE: {
        const int32_t n = whet_i_unicode_decompose(code, to);
        for (int32_t i = 0; i < n; i++) put(out, to[i], whet_i_unicode_class(to[i]));
        return;
    }
    case WHET_I_NORM_NONSPACING:
        if (whet_i_unicode_bits(code) & WHET_I_CHAR_NONSPACING) break;
        put(out, code, mark);
        return;
    case WHET_I_NORM_MARKS:
        if (whet_i_unicode_bits(code) & WHET_I_CHAR_MARK) break;
        put(out, code, mark);
        return;
    case WHET_I_NORM_LOWER: {
        const int32_t n = whet_i_unicode_lower(code, to);
        for (int32_t i = 0; i < n; i++) put(out, to[i], mark);
        return;
    }
    }
    put(out, GONE, mark); /* dropped */
}

/* All steps on one code point. GONE entries of class 0 stay only after a decomposition, where they
 * separate runs of marks. */
static void transform(const whet_i_normalizer *norm, uint32_t code, codes *list) {
    bool decomposed = false;
    list->n = 0;
    put(list, code, 0);
    for (int32_t k = 0; k < norm->n_ops; k++) {
        codes next;
        next.n = 0;
        decomposed |= norm->ops[k] == WHET_I_NORM_DECOMPOSE;
        for (int32_t i = 0; i < list->n; i++) {
            if (list->code[i] == GONE)
                put(&next, GONE, list->mark[i]);
            else
                apply(norm->ops[k], list->code[i], list->mark[i], &next);
        }
        list->n = 0;
        for (int32_t i = 0; i < next.n; i++)
            if (next.code[i] != GONE || (decomposed && next.mark[i] == 0))
                put(list, next.code[i], next.mark[i]);
    }
}

static whet_status pool_string(whet_ctx *ctx, whet_i_normalizer *norm, const uint8_t *bytes,
                               int64_t len, uint32_t *value) {
    if (norm->pool_len + len > norm->pool_cap) {
        const int64_t cap = norm->pool_cap * 2 + 4096;
        WHET_TRY(whet_i_realloc(ctx, &norm->pool, cap));
        norm->pool_cap = cap;
    }
    if (norm->pool_len + len > MAX_POOL || len > 255)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "normalizer: its steps lengthen the text too much; expected fewer");
    memcpy(norm->pool + norm->pool_len, bytes, (size_t)len);
    *value = STRING | (uint32_t)norm->pool_len << 8 | (uint32_t)len;
    norm->pool_len += len;
    return WHET_OK;
}

static whet_status action_of(whet_ctx *ctx, void *arg, uint32_t code, uint32_t *value) {
    whet_i_normalizer *norm = arg;
    codes list;
    uint8_t bytes[MAX_CODES * 4], own[4];
    transform(norm, code, &list);
    uint8_t *end = bytes;
    int32_t n = 0;
    bool reorder = false;
    for (int32_t i = 0; i < list.n; i++) {
        if (list.code[i] == GONE) continue;
        end = whet_i_utf8_encode(end, list.code[i]);
        n++;
        reorder |= list.mark[i] != 0;
    }
    /* An ill-formed byte alone stands for U+FFFD. */
    const int64_t own_len = whet_i_utf8_encode(own, code) - own, len = end - bytes;
    const int64_t from = code == WHET_I_REPLACEMENT && !norm->follows ? 1 : own_len;
    const int64_t by_bytes = (len + from - 1) / from, by_codes = (n + from - 1) / from;
    if (by_bytes > norm->max_bytes) norm->max_bytes = by_bytes;
    if (by_codes > norm->max_codes) norm->max_codes = by_codes;
    if (reorder)
        *value = REORDER;
    else if (len == 0)
        *value = DROP;
    else if (len == own_len && memcmp(bytes, own, (size_t)len) == 0 && code != WHET_I_REPLACEMENT)
        *value = KEEP;
    else if (n == 3 && list.code[0] == ' ' && list.code[1] == code && list.code[2] == ' ')
        *value = SPACED;
    else
        return pool_string(ctx, norm, bytes, len, value);
    return WHET_OK;
}

whet_status whet_i_normalizer_build(whet_ctx *ctx, whet_i_normalizer *norm) {
    norm->max_bytes = 1;
    norm->max_codes = 1;
    WHET_TRY(whet_i_charmap_build(ctx, &norm->actions, action_of, norm));
    for (uint32_t b = 0; b < 128; b++) {
        const uint32_t action = whet_i_charmap_get(&norm->actions, b);
        norm->ascii[b] = action & STRING ? norm->pool[(action & ~STRING) >> 8] : (uint8_t)b;
        norm->ascii_keep[b] = action != DROP;
    }
    return WHET_OK;
}

void whet_i_normalizer_free(whet_ctx *ctx, whet_i_normalizer *norm) {
    whet_i_charmap_free(ctx, &norm->actions);
    whet_i_free(ctx, norm->pool);
}

/* A place in a text after all steps: entry k of the code point at p. */
typedef struct place {
    const uint8_t *p, *next, *end;
    codes list;
    int32_t k;
} place;

static void place_at(const whet_i_normalizer *norm, place *at, const uint8_t *p) {
    at->p = at->next = p;
    at->k = 0;
    at->list.n = 0;
    if (p < at->end) transform(norm, whet_i_utf8_decode(p, at->end, &at->next), &at->list);
}

/* Moves over code points that are used up; false at the end of the text. */
static bool settle(const whet_i_normalizer *norm, place *at) {
    while (at->p < at->end && at->k == at->list.n) place_at(norm, at, at->next);
    return at->p < at->end;
}

/* Writes the run of marks that starts at `at`, lowest class first, text order within a class, by
 * one pass a class that occurs (there are 56): no memory, O(classes * run). Moves `at` behind it.
 */
static uint8_t *put_run(const whet_i_normalizer *norm, place *at, uint8_t *out) {
    uint64_t present[4] = {0};
    place scan = *at;
    for (; settle(norm, &scan) && scan.list.mark[scan.k]; scan.k++) {
        const uint32_t mark = scan.list.mark[scan.k];
        present[mark >> 6] |= (uint64_t)1 << (mark & 63);
    }
    for (uint32_t mark = 1; mark < 256; mark++) {
        if (!(present[mark >> 6] >> (mark & 63) & 1)) continue;
        place from = *at;
        for (; settle(norm, &from) && from.list.mark[from.k]; from.k++)
            if (from.list.mark[from.k] == mark)
                out = whet_i_utf8_encode(out, from.list.code[from.k]);
    }
    *at = scan;
    return out;
}

/* From a code point whose action is REORDER up to one whose action is not. */
static uint8_t *reorder(const whet_i_normalizer *norm, const uint8_t **p, const uint8_t *end,
                        uint8_t *out) {
    place at = {.end = end};
    place_at(norm, &at, *p);
    for (;;) {
        if (at.k == at.list.n) {
            *p = at.next;
            if (*p == end) return out;
            const uint8_t *next;
            const uint32_t code = whet_i_utf8_decode(*p, end, &next);
            if (whet_i_charmap_get(&norm->actions, code) != REORDER) return out;
            place_at(norm, &at, *p);
        } else if (at.list.mark[at.k]) {
            out = put_run(norm, &at, out);
            if (at.p == end) {
                *p = end;
                return out;
            }
        } else {
            if (at.list.code[at.k] != GONE) out = whet_i_utf8_encode(out, at.list.code[at.k]);
            at.k++;
        }
    }
}

uint8_t *whet_i_normalize(const whet_i_normalizer *norm, const uint8_t *p, const uint8_t *end,
                          uint8_t *out) {
    while (p < end) {
        if (*p < 0x80) {
            *out = norm->ascii[*p];
            out += norm->ascii_keep[*p];
            p++;
            continue;
        }
        const uint8_t *next;
        const uint32_t code = whet_i_utf8_decode(p, end, &next);
        const uint32_t action = whet_i_charmap_get(&norm->actions, code);
        if (action == KEEP) {
            for (; p < next; p++) *out++ = *p;
        } else if (action == REORDER) {
            out = reorder(norm, &p, end, out);
            continue;
        } else if (action == SPACED) {
            *out++ = ' ';
            for (; p < next; p++) *out++ = *p;
            *out++ = ' ';
        } else if (action != DROP) {
            const uint8_t *from = norm->pool + ((action & ~STRING) >> 8);
            for (uint32_t i = 0; i < (action & 0xFF); i++) *out++ = from[i];
        }
        p = next;
    }
    return out;
}
