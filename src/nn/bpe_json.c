/* SPDX-License-Identifier: Apache-2.0
 * The model BPE of a tokenizer.json: its merges and flags. The vocabulary is there already. */
#include <stdio.h>

#include "nn/tokenizer_i.h"

#define MAX_MERGES ((int64_t)1 << 23)
#define MAX_AFFIX 16 /* bytes before or behind a piece */
static const char *const PART = "model BPE";

/* Printable bytes stand for themselves, the others for the letters from U+0100 on, in order (GPT-2's
 * bytes_to_unicode). */
void whet_i_byte_chars(whet_i_byte_char out[256]) {
    uint32_t next = 0x100;
    for (uint32_t b = 0; b < 256; b++) {
        const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b != 0xAD);
        const uint8_t *end = whet_i_utf8_encode(out[b].bytes, printable ? b : next++);
        out[b].len = (uint8_t)(end - out[b].bytes);
    }
}

static whet_status optional_bool(whet_ctx *ctx, const json_t *json, const char *key, bool *out) {
    const json_t *value = json_object_get(json, key);
    *out = false;
    return value && !json_is_null(value) ? whet_i_tokenizer_bool(ctx, PART, json, key, out)
                                         : WHET_OK;
}

/* ---- what stands before and behind pieces ----------------------------------------------------- */

static whet_status read_affix(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json,
                              const char *key, const uint8_t **bytes, int64_t *len) {
    whet_str text;
    WHET_TRY(whet_i_tokenizer_string(ctx, tok, PART, json, key, true, &text));
    for (int64_t i = 0; i < text.len; i++)
        if (text.len > MAX_AFFIX || (uint8_t)text.ptr[i] >= 0x80)
            return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                               "%s: \"%s\" is not of at most %d ASCII characters", PART, key,
                               MAX_AFFIX);
    *bytes = (const uint8_t *)text.ptr;
    *len = text.len;
    return WHET_OK;
}

/* Ids of bytes: as symbols of byte-level words, and as tokens <0xNN>. */
static void name_bytes(whet_tokenizer *tok) {
    whet_i_bpe *bpe = &tok->bpe;
    bpe->plain_bytes = bpe->byte_level && !bpe->prefix_len && !bpe->suffix_len;
    for (int b = 0; b < 256; b++) {
        char text[16];
        const whet_str one = {(const char *)bpe->char_of[b].bytes, bpe->char_of[b].len};
        bpe->first_id[b] = whet_i_tokenizer_find(tok, one);
        bpe->plain_bytes &= bpe->first_id[b] >= 0;
        const int len = snprintf(text, sizeof text, "<0x%02X>", b);
        bpe->byte_token[b] = whet_i_tokenizer_find(tok, (whet_str){text, len});
    }
}

/* ---- merges ----------------------------------------------------------------------------------- */

static whet_status find_part(whet_ctx *ctx, const whet_tokenizer *tok, int64_t rank, whet_str text,
                             int32_t *id) {
    char quoted[WHET_QUOTE_SIZE];
    *id = whet_i_tokenizer_find(tok, text);
    return *id >= 0 ? WHET_OK
                    : whet_i_fail(ctx, WHET_ERR_FORMAT,
                                  "%s: merge %lld has %s, which is not in the vocabulary", PART,
                                  (long long)rank, whet_i_quote(quoted, text));
}

static whet_status add_merge(whet_ctx *ctx, whet_tokenizer *tok, int64_t rank, whet_str a,
                             whet_str b, whet_i_buf *joined) {
    int32_t left, right, both;
    WHET_TRY(find_part(ctx, tok, rank, a, &left));
    WHET_TRY(find_part(ctx, tok, rank, b, &right));
    /* The second part loses the continuing prefix, or what stands in its place: Hugging Face's. */
    if (b.len <= tok->bpe.prefix_len || ((uint8_t)b.ptr[tok->bpe.prefix_len] & 0xC0) == 0x80)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: the second part of merge %lld is shorter than the "
                           "continuing_subword_prefix",
                           PART, (long long)rank);
    joined->len = 0;
    WHET_TRY(whet_i_buf_append(ctx, joined, a.ptr, a.len));
    WHET_TRY(
        whet_i_buf_append(ctx, joined, b.ptr + tok->bpe.prefix_len, b.len - tok->bpe.prefix_len));
    WHET_TRY(find_part(ctx, tok, rank, (whet_str){joined->data, joined->len}, &both));
    whet_i_bpe_add(&tok->bpe, left, right, (uint32_t)rank, both);
    return WHET_OK;
}

static const whet_str MARK = {"\xE2\x96\x81", 3};

static bool has_mark_at(whet_str text, int64_t at) {
    return at >= 0 && at + MARK.len <= text.len &&
           memcmp(text.ptr + at, MARK.ptr, (size_t)MARK.len) == 0;
}

/* Whether words may be cut before a mark: each symbol must be the same in a part and in the whole
 * (nothing stands before or behind pieces, whole words have no way of their own, and the mark is
 * known, so that unknown letters do not fuse over it). Merges may still forbid it. */
static void allow_cuts(whet_tokenizer *tok) {
    whet_i_bpe *bpe = &tok->bpe;
    if (bpe->byte_level || bpe->ignore_merges || bpe->prefix_len || bpe->suffix_len) return;
    if (whet_i_tokenizer_find(tok, MARK) < 0) return;
    memcpy(bpe->mark, MARK.ptr, (size_t)MARK.len);
    bpe->mark_len = MARK.len;
}

/* "a b" with one space, or ["a", "b"]. */
static whet_status split_merge(whet_ctx *ctx, const json_t *json, int64_t rank, whet_str *a,
                               whet_str *b) {
    const whet_str text = whet_i_json_text(json);
    const char *space = json_is_string(json) ? memchr(text.ptr, ' ', (size_t)text.len) : NULL;
    if (space) {
        *a = (whet_str){text.ptr, space - text.ptr};
        *b = (whet_str){space + 1, text.len - a->len - 1};
        if (!memchr(b->ptr, ' ', (size_t)b->len)) return WHET_OK;
    }
    if (json_array_size(json) == 2 && json_is_string(json_array_get(json, 0)) &&
        json_is_string(json_array_get(json, 1))) {
        *a = whet_i_json_text(json_array_get(json, 0));
        *b = whet_i_json_text(json_array_get(json, 1));
        return WHET_OK;
    }
    return whet_i_fail(ctx, WHET_ERR_FORMAT,
                       "%s: merge %lld is no pair of tokens; expected \"a b\" or [\"a\", \"b\"]",
                       PART, (long long)rank);
}

static whet_status read_merges(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json) {
    whet_i_buf joined = {0};
    whet_status status = WHET_OK;
    const int64_t n = (int64_t)json_array_size(json);
    if (!json_is_array(json) || n > MAX_MERGES)
        return whet_i_fail(ctx, json_is_array(json) ? WHET_ERR_LIMIT : WHET_ERR_FORMAT,
                           "%s: \"merges\" is %s; expected a list of at most %lld", PART,
                           json_is_array(json) ? "too long" : "no list", (long long)MAX_MERGES);
    WHET_TRY(whet_i_bpe_reserve(ctx, &tok->bpe, n));
    for (int64_t i = 0; i < n; i++) {
        whet_str a, b;
        WHET_TRY_DONE(split_merge(ctx, json_array_get(json, (size_t)i), i, &a, &b));
        WHET_TRY_DONE(add_merge(ctx, tok, i, a, b, &joined));
        if (has_mark_at(b, 0) && !has_mark_at(a, a.len - MARK.len)) tok->bpe.mark_len = 0;
    }
done:
    whet_i_buf_free(ctx, &joined);
    return status;
}

/* ---- the whole -------------------------------------------------------------------------------- */

static whet_status read_unk(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json) {
    char quoted[WHET_QUOTE_SIZE];
    const json_t *unk = json_object_get(json, "unk_token");
    tok->bpe.unk = -1;
    if (!unk || json_is_null(unk)) return WHET_OK;
    if (json_is_string(unk)) tok->bpe.unk = whet_i_tokenizer_find(tok, whet_i_json_text(unk));
    if (tok->bpe.unk >= 0 || (json_is_string(unk) && tok->bpe.plain_bytes)) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: the unk_token %s is not in the vocabulary", PART,
                       json_is_string(unk) ? whet_i_quote(quoted, whet_i_json_text(unk))
                                           : "is no text and");
}

whet_status whet_i_bpe_read(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json) {
    whet_i_bpe *bpe = &tok->bpe;
    const json_t *dropout = json_object_get(json, "dropout");
    if (dropout && !json_is_null(dropout) &&
        !(json_is_number(dropout) && json_number_value(dropout) == 0.0))
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: \"dropout\" makes ids random; expected null", PART);
    bpe->vocab = &tok->model.trie;
    WHET_TRY(
        read_affix(ctx, tok, json, "continuing_subword_prefix", &bpe->prefix, &bpe->prefix_len));
    WHET_TRY(read_affix(ctx, tok, json, "end_of_word_suffix", &bpe->suffix, &bpe->suffix_len));
    WHET_TRY(optional_bool(ctx, json, "fuse_unk", &bpe->fuse_unk));
    WHET_TRY(optional_bool(ctx, json, "byte_fallback", &bpe->byte_fallback));
    WHET_TRY(optional_bool(ctx, json, "ignore_merges", &bpe->ignore_merges));
    bpe->inside = WHET_I_TRIE_ROOT;
    for (int64_t i = 0; i < bpe->prefix_len && bpe->inside; i++)
        bpe->inside = whet_i_trie_step(bpe->vocab, bpe->inside, bpe->prefix[i]);
    for (int32_t i = 0; i < tok->n_pre_steps; i++)
        bpe->byte_level |= tok->pre_steps[i].op == WHET_I_PRE_BYTE_LEVEL;
    whet_i_byte_chars(bpe->char_of);
    name_bytes(tok);
    bpe->most_symbols = bpe->byte_fallback ? (bpe->byte_level ? 2 : 1) + bpe->prefix_len : 1;
    bpe->more_symbols = bpe->byte_fallback ? bpe->suffix_len : 0;
    WHET_TRY(read_unk(ctx, tok, json));
    allow_cuts(tok);
    return read_merges(ctx, tok, json_object_get(json, "merges"));
}
