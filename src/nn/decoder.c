/* SPDX-License-Identifier: Apache-2.0
 * The decoder of a tokenizer.json: from ids back to text. Each step takes a list of texts and makes
 * another; at the end they are joined. A list is one buffer of bytes and the ends of its texts.
 * Behaviour as Hugging Face tokenizers has it, WordPiece's cleanup included. */
#include "nn/tokenizer_i.h"

typedef struct list {
    whet_i_buf bytes;
    int64_t *end; /* of each text in bytes */
    int64_t n, cap;
} list;

static whet_status add(whet_ctx *ctx, list *l, const void *bytes, int64_t len) {
    return len > 0 ? whet_i_buf_append(ctx, &l->bytes, bytes, len) : WHET_OK;
}

/* Ends the text that add has written. */
static whet_status close_text(whet_ctx *ctx, list *l) {
    if (l->n == l->cap) {
        const int64_t cap = l->cap * 2 + 64;
        WHET_TRY(whet_i_realloc(ctx, &l->end, cap));
        l->cap = cap;
    }
    l->end[l->n++] = l->bytes.len;
    return WHET_OK;
}

static whet_str text_at(const list *l, int64_t i) {
    const int64_t begin = i ? l->end[i - 1] : 0;
    return (whet_str){l->bytes.data ? l->bytes.data + begin : "", l->end[i] - begin};
}

static void free_list(whet_ctx *ctx, list *l) {
    whet_i_buf_free(ctx, &l->bytes);
    whet_i_free(ctx, l->end);
}

static bool starts(whet_str text, whet_str with) {
    return text.len >= with.len && memcmp(text.ptr, with.ptr, (size_t)with.len) == 0;
}

/* text with each `from` (not empty) replaced. */
static whet_status add_replaced(whet_ctx *ctx, list *l, whet_str text, whet_str from, whet_str to) {
    int64_t begin = 0;
    for (int64_t i = 0; i + from.len <= text.len;) {
        if (memcmp(text.ptr + i, from.ptr, (size_t)from.len) != 0) {
            i++;
            continue;
        }
        WHET_TRY(add(ctx, l, text.ptr + begin, i - begin));
        WHET_TRY(add(ctx, l, to.ptr, to.len));
        begin = i += from.len;
    }
    return add(ctx, l, text.ptr + begin, text.len - begin);
}

/* ---- bytes ------------------------------------------------------------------------------------ */

/* Bytes with what is ill-formed replaced, as String::from_utf8_lossy. */
static whet_status add_lossy(whet_ctx *ctx, list *l, whet_str bytes) {
    const uint8_t *p = (const uint8_t *)bytes.ptr, *const end = p + bytes.len, *next;
    for (; p < end; p = next) {
        uint8_t code[4];
        const uint8_t *stop = whet_i_utf8_encode(code, whet_i_utf8_decode(p, end, &next));
        WHET_TRY(add(ctx, l, code, stop - code));
    }
    return WHET_OK;
}

static bool is_valid(const uint8_t *p, int64_t len) {
    const uint8_t *const end = p + len, *next;
    for (; p < end; p = next)
        if (whet_i_utf8_decode(p, end, &next) == WHET_I_REPLACEMENT &&
            (*p != 0xEF || next - p != 3)) /* not U+FFFD itself */
            return false;
    return true;
}

/* The byte that a visible character stands for, or -1. */
static int32_t byte_of(uint32_t code) {
    if ((code >= 0x21 && code <= 0x7E) || (code >= 0xA1 && code <= 0xFF && code != 0xAD))
        return (int32_t)code;
    if (code < 0x100 || code > 0x143) return -1;
    /* The 68 others in order: 0x00..0x20, 0x7F..0xA0, 0xAD. */
    const int32_t k = (int32_t)code - 0x100;
    return k < 0x21 ? k : k < 0x43 ? k - 0x21 + 0x7F : 0xAD;
}

/* A token's bytes, when all its characters stand for one; else its text. */
static whet_status add_byte_level(whet_ctx *ctx, list *l, whet_str token) {
    const uint8_t *p = (const uint8_t *)token.ptr, *const end = p + token.len, *next;
    const int64_t before = l->bytes.len;
    for (; p < end; p = next) {
        const int32_t byte = byte_of(whet_i_utf8_decode(p, end, &next));
        if (byte < 0) {
            l->bytes.len = before;
            return add(ctx, l, token.ptr, token.len);
        }
        const uint8_t one = (uint8_t)byte;
        WHET_TRY(add(ctx, l, &one, 1));
    }
    return WHET_OK;
}

static int32_t hex(char c) {
    if (whet_i_is_digit(c)) return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte of <0xNN>, or -1. (Rust's from_str_radix takes a plus sign.) */
static int32_t fallback_byte(whet_str token) {
    if (token.len != 6 || memcmp(token.ptr, "<0x", 3) != 0 || token.ptr[5] != '>') return -1;
    const int32_t high = token.ptr[3] == '+' ? 0 : hex(token.ptr[3]), low = hex(token.ptr[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Runs of byte tokens become their text, or one U+FFFD each. */
static whet_status byte_fallback(whet_ctx *ctx, const list *in, list *out) {
    for (int64_t i = 0; i < in->n;) {
        const int64_t begin = out->bytes.len;
        int64_t n = 0;
        for (; i + n < in->n; n++) {
            const int32_t byte = fallback_byte(text_at(in, i + n));
            if (byte < 0) break;
            const uint8_t one = (uint8_t)byte;
            WHET_TRY(add(ctx, out, &one, 1));
        }
        if (n == 0) {
            const whet_str token = text_at(in, i++);
            WHET_TRY(add(ctx, out, token.ptr, token.len));
            WHET_TRY(close_text(ctx, out));
            continue;
        }
        i += n;
        if (is_valid((const uint8_t *)out->bytes.data + begin, n)) {
            WHET_TRY(close_text(ctx, out));
            continue;
        }
        out->bytes.len = begin;
        for (int64_t k = 0; k < n; k++) {
            WHET_TRY(add(ctx, out, "\xEF\xBF\xBD", 3));
            WHET_TRY(close_text(ctx, out));
        }
    }
    return WHET_OK;
}

/* ---- steps on each text ----------------------------------------------------------------------- */

/* Up to `start` characters at the begin and `stop` at the end go, while they are `from`. */
static whet_str strip(const whet_i_decode_step *s, whet_str text) {
    for (int64_t i = 0; i < s->start && starts(text, s->from); i++) {
        text.ptr += s->from.len;
        text.len -= s->from.len;
    }
    for (int64_t i = 0; i < s->stop && text.len >= s->from.len; i++) {
        if (memcmp(text.ptr + text.len - s->from.len, s->from.ptr, (size_t)s->from.len) != 0) break;
        text.len -= s->from.len;
    }
    return text;
}

/* English as a detokeniser of 2019 leaves it: one replacement after the other. */
static whet_status clean_up(whet_ctx *ctx, list *l, int64_t begin) {
    static const char *const PAIRS[][2] = {{" .", "."},     {" ?", "?"},           {" !", "!"},
                                           {" ,", ","},     {" ' ", "'"},          {" n't", "n't"},
                                           {" 'm", "'m"},   {" do not", " don't"}, {" 's", "'s"},
                                           {" 've", "'ve"}, {" 're", "'re"}};
    whet_status status = WHET_OK;
    for (int64_t i = 0; i < WHET_COUNT_OF(PAIRS) && status == WHET_OK; i++) {
        list copy = {0};
        const whet_str text = {l->bytes.data ? l->bytes.data + begin : "", l->bytes.len - begin};
        status =
            add_replaced(ctx, &copy, text, whet_str_from(PAIRS[i][0]), whet_str_from(PAIRS[i][1]));
        l->bytes.len = begin;
        if (status == WHET_OK) status = add(ctx, l, copy.bytes.data, copy.bytes.len);
        free_list(ctx, &copy);
    }
    return status;
}

static whet_status wordpiece(whet_ctx *ctx, const whet_i_decode_step *s, int64_t i, whet_str text,
                             list *out) {
    const int64_t begin = out->bytes.len;
    if (i > 0 && starts(text, s->from)) {
        text.ptr += s->from.len;
        text.len -= s->from.len;
    } else if (i > 0) {
        WHET_TRY(add(ctx, out, " ", 1));
    }
    WHET_TRY(add(ctx, out, text.ptr, text.len));
    return s->flag ? clean_up(ctx, out, begin) : WHET_OK;
}

/* Text i of n by one step that looks at one text. */
static whet_status apply_one(whet_ctx *ctx, const whet_i_decode_step *s, int64_t i, int64_t n,
                             whet_str text, list *out) {
    const whet_str none = {"", 0}, space = {" ", 1};
    switch (s->op) {
    case WHET_I_DECODE_REPLACE: return add_replaced(ctx, out, text, s->from, s->to);
    case WHET_I_DECODE_STRIP: text = strip(s, text); return add(ctx, out, text.ptr, text.len);
    case WHET_I_DECODE_METASPACE:
        return add_replaced(ctx, out, text, s->from, i == 0 && s->flag ? none : space);
    case WHET_I_DECODE_WORDPIECE: return wordpiece(ctx, s, i, text, out);
    case WHET_I_DECODE_BPE: return add_replaced(ctx, out, text, s->from, i + 1 == n ? none : space);
    case WHET_I_DECODE_BYTE_LEVEL: return add_byte_level(ctx, out, text);
    case WHET_I_DECODE_BYTE_FALLBACK:
    case WHET_I_DECODE_FUSE: break;
    }
    return add(ctx, out, text.ptr, text.len);
}

static whet_status apply(whet_ctx *ctx, const whet_i_decode_step *s, const list *in, list *out) {
    if (s->op == WHET_I_DECODE_BYTE_FALLBACK) return byte_fallback(ctx, in, out);
    const bool fuses = s->op == WHET_I_DECODE_FUSE || s->op == WHET_I_DECODE_BYTE_LEVEL;
    for (int64_t i = 0; i < in->n; i++) {
        WHET_TRY(apply_one(ctx, s, i, in->n, text_at(in, i), out));
        if (!fuses) WHET_TRY(close_text(ctx, out));
    }
    if (!fuses) return WHET_OK;
    if (s->op == WHET_I_DECODE_BYTE_LEVEL) {
        list lossy = {0};
        whet_status status = add_lossy(
            ctx, &lossy, (whet_str){out->bytes.data ? out->bytes.data : "", out->bytes.len});
        out->bytes.len = 0;
        if (status == WHET_OK) status = add(ctx, out, lossy.bytes.data, lossy.bytes.len);
        free_list(ctx, &lossy);
        WHET_TRY(status);
    }
    return close_text(ctx, out);
}

/* ---- the calls -------------------------------------------------------------------------------- */

static whet_status tokens_of(whet_ctx *ctx, const whet_tokenizer *tok, const int32_t *ids,
                             int64_t n, bool skip_special, list *out) {
    for (int64_t i = 0; i < n; i++) {
        const whet_str token = whet_tokenizer_token(tok, ids[i]);
        if (!token.ptr || (skip_special && tok->kinds[ids[i]] & WHET_I_TOKEN_SPECIAL)) continue;
        /* Without a decoder, tokens are joined by spaces. */
        if (!tok->has_decoder && out->n > 0) WHET_TRY(add(ctx, out, " ", 1));
        WHET_TRY(add(ctx, out, token.ptr, token.len));
        WHET_TRY(close_text(ctx, out));
    }
    return WHET_OK;
}

static whet_status hand_out(whet_ctx *ctx, const list *l, char **text, int64_t *len) {
    const whet_str all = {l->bytes.data ? l->bytes.data : "", l->bytes.len};
    WHET_TRY(whet_i_strdup(ctx, all, text));
    *len = all.len;
    return WHET_OK;
}

whet_status whet_tokenizer_decode(whet_ctx *ctx, const whet_tokenizer *tokenizer,
                                  const int32_t *ids, int64_t n, bool skip_special, char **text,
                                  int64_t *len) {
    list lists[2] = {{.n = 0}, {.n = 0}};
    int now = 0;
    whet_status status = WHET_OK;
    if (n < 0 || (!ids && n > 0))
        return whet_i_fail(ctx, WHET_ERR_ARG, "tokenizer: %lld ids to decode; expected some",
                           (long long)n);
    WHET_TRY_DONE(tokens_of(ctx, tokenizer, ids, n, skip_special, &lists[0]));
    for (int32_t i = 0; i < tokenizer->n_decode_steps; i++) {
        list *out = &lists[1 - now];
        out->bytes.len = out->n = 0;
        WHET_TRY_DONE(apply(ctx, &tokenizer->decode_steps[i], &lists[now], out));
        now = 1 - now;
    }
    WHET_TRY_DONE(hand_out(ctx, &lists[now], text, len));
done:
    free_list(ctx, &lists[0]);
    free_list(ctx, &lists[1]);
    return status;
}

/* One token as it stands behind others: steps that ask for the begin or the end of the text are left
 * out, and bytes stay what they are. */
whet_status whet_tokenizer_token_bytes(whet_ctx *ctx, const whet_tokenizer *tokenizer, int32_t id,
                                       char **text, int64_t *len) {
    list lists[2] = {{.n = 0}, {.n = 0}};
    int now = 0;
    bool fused = false, is_byte = false;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(tokens_of(ctx, tokenizer, &id, 1, false, &lists[0]));
    for (int32_t i = 0; i < tokenizer->n_decode_steps && lists[now].n == 1 && !is_byte; i++) {
        const whet_i_decode_step *s = &tokenizer->decode_steps[i];
        const whet_str in = text_at(&lists[now], 0);
        const int32_t byte = s->op == WHET_I_DECODE_BYTE_FALLBACK ? fallback_byte(in) : -1;
        const uint8_t one = (uint8_t)byte;
        list *out = &lists[1 - now];
        fused |= s->op == WHET_I_DECODE_FUSE;
        if (fused && s->op == WHET_I_DECODE_STRIP) continue;
        is_byte = byte >= 0;
        out->bytes.len = out->n = 0;
        if (is_byte)
            WHET_TRY_DONE(add(ctx, out, &one, 1));
        else
            WHET_TRY_DONE(apply_one(ctx, s, 1, 3, in, out));
        WHET_TRY_DONE(close_text(ctx, out));
        now = 1 - now;
    }
    WHET_TRY_DONE(hand_out(ctx, &lists[now], text, len));
done:
    free_list(ctx, &lists[0]);
    free_list(ctx, &lists[1]);
    return status;
}
