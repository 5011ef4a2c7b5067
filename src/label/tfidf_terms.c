/* SPDX-License-Identifier: Apache-2.0
 * The terms of a text: words, pairs of neighbouring words, and the 3- to 5-grams of characters
 * within a word. A word is a run of letters, digits and marks, composed (NFC) and case-folded by
 * utf8proc. Of a word the first WORD_MAX characters count: text without spaces stays linear.
 * A term's key is its kind and its bytes: "w" word, "p" pair "first second", "c" characters. */
#include <stdlib.h>
#include <utf8proc.h>

#include "label/case_folding.h"
#include "label/tfidf_i.h"

enum { WORD_MAX = 64, GRAM_MIN = 3, GRAM_MAX = 5 };

void whet_i_terms_free(whet_ctx *ctx, whet_i_terms *terms) {
    whet_i_free(ctx, terms->clean);
    whet_i_free(ctx, terms->code);
    whet_i_free(ctx, terms->words);
    whet_i_free(ctx, terms->at);
    whet_i_free(ctx, terms->ids);
    whet_i_buf_free(ctx, &terms->key);
    *terms = (whet_i_terms){0};
}

/* Grows a buffer of `size`-byte items to hold at least n; contents are kept. */
static whet_status reserve(whet_ctx *ctx, void *pointer, int64_t *cap, int64_t n, size_t size) {
    if (n <= *cap) return WHET_OK;
    int64_t larger = *cap < 256 ? 256 : *cap;
    while (larger < n) larger = larger > INT64_MAX / 2 ? n : larger * 2;
    WHET_TRY(whet_i_realloc_(ctx, pointer, larger, size));
    *cap = larger;
    return WHET_OK;
}

/* Fills terms->code; *n code points. */
static whet_status fold(whet_ctx *ctx, whet_i_terms *terms, whet_str text, int64_t *n) {
    const utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD;
    int64_t room;
    WHET_TRY(whet_i_mul(ctx, text.len, 3, &room));
    WHET_TRY(reserve(ctx, &terms->clean, &terms->clean_cap, room, 1));
    const int64_t len = whet_i_clean_utf8(text, terms->clean);
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)terms->clean;
    for (int attempt = 0; attempt < 2; attempt++) {
        const utf8proc_ssize_t need =
            utf8proc_decompose(bytes, len, terms->code, terms->code_cap, options);
        if (need < 0)
            return whet_i_fail(ctx, WHET_ERR_INTERNAL, "case folding failed: %s",
                               utf8proc_errmsg(need));
        if (need <= terms->code_cap) {
            const utf8proc_ssize_t kept = utf8proc_normalize_utf32(terms->code, need, options);
            *n = kept < 0 ? need : kept;
            return WHET_OK;
        }
        WHET_TRY(reserve(ctx, &terms->code, &terms->code_cap, need, sizeof *terms->code));
    }
    return whet_i_fail(ctx, WHET_ERR_INTERNAL, "case folding asked for room twice");
}

static bool in_word(int32_t code) {
    const utf8proc_category_t c = utf8proc_category(code);
    return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_NO;
}

static whet_status add_term(whet_ctx *ctx, whet_i_terms *terms, char kind, whet_str a, whet_str b,
                            whet_names *names, bool grow) {
    terms->key.len = 0;
    WHET_TRY(whet_i_buf_append(ctx, &terms->key, &kind, 1));
    WHET_TRY(whet_i_buf_append(ctx, &terms->key, a.ptr, a.len));
    if (b.len) {
        WHET_TRY(whet_i_buf_append(ctx, &terms->key, " ", 1));
        WHET_TRY(whet_i_buf_append(ctx, &terms->key, b.ptr, b.len));
    }
    const whet_str key = {terms->key.data, terms->key.len};
    int64_t id = -1;
    if (grow)
        WHET_TRY(whet_names_add(ctx, names, key, &id));
    else
        id = whet_names_find(names, key);
    if (id < 0) return WHET_OK;
    WHET_TRY(reserve(ctx, &terms->ids, &terms->ids_cap, terms->n_ids + 1, sizeof *terms->ids));
    terms->ids[terms->n_ids++] = id;
    return WHET_OK;
}

/* The word of m characters whose places are at[0..m]. */
static whet_status add_word(whet_ctx *ctx, whet_i_terms *terms, const int64_t *at, int64_t m,
                            whet_str previous, whet_names *names, bool grow) {
    const whet_str none = {NULL, 0}, word = {terms->words + at[0], at[m] - at[0]};
    WHET_TRY(add_term(ctx, terms, 'w', word, none, names, grow));
    if (previous.len) WHET_TRY(add_term(ctx, terms, 'p', previous, word, names, grow));
    for (int64_t len = GRAM_MIN; len <= GRAM_MAX; len++)
        for (int64_t i = 0; i + len <= m; i++) {
            const whet_str gram = {terms->words + at[i], at[i + len] - at[i]};
            WHET_TRY(add_term(ctx, terms, 'c', gram, none, names, grow));
        }
    return WHET_OK;
}

static int ascending(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

whet_status whet_i_terms_extract(whet_ctx *ctx, whet_i_terms *terms, whet_str text,
                                 whet_names *names, bool grow) {
    int64_t n, room;
    terms->n_ids = 0;
    WHET_TRY(fold(ctx, terms, text, &n));
    WHET_TRY(whet_i_mul(ctx, n, 4, &room));
    WHET_TRY(reserve(ctx, &terms->words, &terms->words_cap, room, 1));
    WHET_TRY(reserve(ctx, &terms->at, &terms->at_cap, WORD_MAX + 1, sizeof *terms->at));
    whet_str previous = {NULL, 0};
    int64_t used = 0;
    for (int64_t i = 0; i < n;) {
        if (!in_word(terms->code[i])) {
            i++;
            continue;
        }
        int64_t m = 0;
        for (; i < n && in_word(terms->code[i]); i++) {
            if (m == WORD_MAX) continue;
            terms->at[m++] = used;
            used += utf8proc_encode_char(terms->code[i], (utf8proc_uint8_t *)terms->words + used);
        }
        terms->at[m] = used;
        WHET_TRY(add_word(ctx, terms, terms->at, m, previous, names, grow));
        previous = (whet_str){terms->words + terms->at[0], used - terms->at[0]};
    }
    if (terms->n_ids) qsort(terms->ids, (size_t)terms->n_ids, sizeof *terms->ids, ascending);
    return WHET_OK;
}
