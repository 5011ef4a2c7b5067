/* SPDX-License-Identifier: Apache-2.0
 * Tokenizers: loading a folder, and encoding one text.
 *
 * Within a text, pieces of about SEGMENT_BYTES are normalised and cut into words one after the
 * other: no step looks across a space, and a text that is full (max_length) is left at once.
 * Normalisation gives at most max_codes code points a byte, and a token has at least one. */
#include <stdio.h>
#include <sys/stat.h>

#include "io/io_i.h"
#include "nn/tokenizer_i.h"

#define MAX_FILE_BYTES ((int64_t)256 << 20)
#define SEGMENT_BYTES 1024

/* ---- loading ---------------------------------------------------------------------------------- */

whet_status whet_tokenizer_load(whet_ctx *ctx, const char *dir, whet_tokenizer **out) {
    struct stat info;
    whet_i_buf path = {0};
    json_t *root = NULL;
    whet_status status = WHET_OK;
    const bool is_dir = stat(dir, &info) == 0 && S_ISDIR(info.st_mode);
    WHET_TRY_DONE(whet_i_buf_printf(ctx, &path, "%s%s", dir, is_dir ? "/tokenizer.json" : ""));
    WHET_TRY_DONE(whet_i_json_read(ctx, path.data, MAX_FILE_BYTES, &root));
    status = whet_i_tokenizer_from_json(ctx, root, out);
    if (status != WHET_OK) status = whet_i_fail_at(ctx, status, "%s", path.data);
done:
    json_decref(root);
    whet_i_buf_free(ctx, &path);
    return status;
}

void whet_tokenizer_destroy(whet_ctx *ctx, whet_tokenizer *tokenizer) {
    if (!tokenizer) return;
    whet_i_normalizer_free(ctx, &tokenizer->norm);
    whet_i_charmap_free(ctx, &tokenizer->classes);
    whet_i_trie_free(ctx, &tokenizer->model.trie);
    whet_i_added_free(ctx, &tokenizer->raw);
    whet_i_added_free(ctx, &tokenizer->normalized);
    whet_i_free(ctx, tokenizer->tokens);
    whet_i_arena_free(ctx, &tokenizer->bytes);
    whet_i_free(ctx, tokenizer);
}

int64_t whet_tokenizer_vocab_size(const whet_tokenizer *tokenizer) { return tokenizer->n_tokens; }

whet_str whet_tokenizer_token(const whet_tokenizer *tokenizer, int32_t id) {
    if (id < 0 || id >= tokenizer->n_tokens) return (whet_str){NULL, 0};
    return tokenizer->tokens[id];
}

/* ---- one text --------------------------------------------------------------------------------- */

static uint32_t class_at(const whet_tokenizer *tok, const uint8_t *p, const uint8_t *end,
                         const uint8_t **next) {
    if (*p < 0x80) {
        *next = p + 1;
        return tok->class_of[*p];
    }
    return whet_i_charmap_get(&tok->classes, whet_i_utf8_decode(p, end, next));
}

/* The words of normalised text. */
static void encode_words(const whet_tokenizer *tok, const uint8_t *p, const uint8_t *end,
                         whet_i_ids *out) {
    const uint8_t *next;
    while (p < end && out->n < out->cap) {
        const uint8_t *word = p;
        const uint32_t class = class_at(tok, p, end, &next);
        p = next;
        if (class == WHET_I_CLASS_SPACE) continue;
        int64_t n_chars = 1;
        if (class != WHET_I_CLASS_ALONE) {
            while (p < end && tok->class_of[*p] == class) p++;
            n_chars += p - next;
            while (p < end && class_at(tok, p, end, &next) == class) {
                p = next;
                n_chars++;
            }
        }
        whet_i_wordpiece_word(&tok->model, word, p - word, n_chars, out);
    }
}

/* Text without raw added tokens. */
static void encode_piece(const whet_tokenizer *tok, const uint8_t *p, const uint8_t *end,
                         uint8_t *scratch, whet_i_ids *out) {
    const bool whole = tok->normalized.n > 0 || tok->pre == WHET_I_PRE_NONE;
    while (p < end && out->n < out->cap) {
        const uint8_t *stop = end;
        if (!whole && end - p > SEGMENT_BYTES) {
            const uint8_t *space =
                memchr(p + SEGMENT_BYTES, ' ', (size_t)(end - p) - SEGMENT_BYTES);
            if (space) stop = space + 1;
        }
        const uint8_t *normal_end = whet_i_normalize(&tok->norm, p, stop, scratch);
        p = stop;
        if (tok->normalized.n == 0) {
            encode_words(tok, scratch, normal_end, out);
            continue;
        }
        whet_i_added_walk walk;
        whet_i_added_walk_start(&walk, scratch, normal_end);
        int32_t id;
        const uint8_t *from, *to;
        while (out->n < out->cap && whet_i_added_next(&tok->normalized, &walk, &id, &from, &to)) {
            if (id < 0)
                encode_words(tok, from, to, out);
            else
                out->ids[out->n++] = id;
        }
    }
}

void whet_i_tokenizer_text(const whet_tokenizer *tok, whet_str text, uint8_t *scratch,
                           whet_i_ids *out) {
    const uint8_t *begin = (const uint8_t *)text.ptr;
    if (text.len == 0) return;
    whet_i_added_walk walk;
    whet_i_added_walk_start(&walk, begin, begin + text.len);
    int32_t id;
    const uint8_t *from, *to;
    while (out->n < out->cap && whet_i_added_next(&tok->raw, &walk, &id, &from, &to)) {
        if (id < 0)
            encode_piece(tok, from, to, scratch, out);
        else
            out->ids[out->n++] = id;
    }
}

whet_status whet_i_tokenizer_bounds(whet_ctx *ctx, const whet_tokenizer *tok, int64_t len,
                                    int64_t *scratch, int64_t *ids) {
    WHET_TRY(whet_i_mul(ctx, len, tok->norm.max_bytes, scratch));
    return whet_i_mul(ctx, len, tok->norm.max_codes, ids);
}
