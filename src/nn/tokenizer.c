/* SPDX-License-Identifier: Apache-2.0
 * Tokenizers: loading a folder, and encoding many texts at once.
 *
 * Encoding takes the texts in batches of about BATCH_BYTES, so that scratch stays small; a batch
 * is cut into items of consecutive texts of about ITEM_BYTES (independent of the thread count),
 * each text into its own slot of a shared id buffer that cannot overflow: normalisation gives at
 * most max_codes code points a byte, and a token has at least one. Slots are then packed in order.
 * Within a text, pieces of about SEGMENT_BYTES are normalised and cut into words one after the
 * other: no step looks across a space, and a text that is full (max_length) is left at once. */
#include <stdio.h>
#include <sys/stat.h>

#include "io/io_i.h"
#include "nn/tokenizer_i.h"

#define MAX_FILE_BYTES ((int64_t)256 << 20)
#define BATCH_BYTES ((int64_t)4 << 20)
#define BATCH_TEXTS 65536
#define ITEM_BYTES 16384
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
    whet_i_free(ctx, tokenizer->prefix);
    whet_i_free(ctx, tokenizer->suffix);
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

static void encode_text(const whet_tokenizer *tok, whet_str text, uint8_t *scratch,
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

/* ---- a batch of texts ------------------------------------------------------------------------- */

typedef struct batch {
    const whet_tokenizer *tok;
    const whet_str *texts; /* of this batch */
    int64_t n, n_items, room;
    int64_t *slot;  /* [n + 1] where the text's ids may lie */
    int64_t *item;  /* [n_items + 1] first text of each item */
    int64_t *count; /* [n] ids written */
    int32_t *ids;   /* slots */
    int64_t ids_cap;
    uint8_t *scratch; /* [workers * scratch_len] */
    int64_t scratch_len;
} batch;

static void encode_item(void *arg, int64_t i, int32_t worker) {
    batch *b = arg;
    const whet_tokenizer *tok = b->tok;
    uint8_t *scratch = b->scratch + worker * b->scratch_len;
    for (int64_t k = b->item[i]; k < b->item[i + 1]; k++) {
        int32_t *ids = b->ids + b->slot[k];
        const int64_t room = b->slot[k + 1] - b->slot[k] - tok->n_prefix - tok->n_suffix;
        if (tok->n_prefix) memcpy(ids, tok->prefix, (size_t)tok->n_prefix * sizeof(int32_t));
        whet_i_ids content = {ids + tok->n_prefix, 0, room};
        encode_text(tok, b->texts[k], scratch, &content);
        ids += tok->n_prefix + content.n;
        if (tok->n_suffix) memcpy(ids, tok->suffix, (size_t)tok->n_suffix * sizeof(int32_t));
        b->count[k] = tok->n_prefix + content.n + tok->n_suffix;
    }
}

/* How many of the texts make the next batch; lays out its slots and items. */
static whet_status plan(whet_ctx *ctx, batch *b, int64_t n_left) {
    int64_t bytes = 0, in_item = 0;
    b->n = b->n_items = 0;
    b->slot[0] = b->item[0] = 0;
    while (b->n < n_left && b->n < BATCH_TEXTS) {
        const int64_t len = b->texts[b->n].len;
        int64_t most;
        if (b->n > 0 && bytes + len > BATCH_BYTES) break;
        WHET_TRY(whet_i_mul(ctx, len, b->tok->norm.max_codes, &most));
        if (most > b->room) most = b->room;
        WHET_TRY(whet_i_add(ctx, most, b->tok->n_prefix + b->tok->n_suffix, &most));
        WHET_TRY(whet_i_add(ctx, b->slot[b->n], most, &b->slot[b->n + 1]));
        bytes += len;
        in_item += len + 16;
        b->n++;
        if (in_item >= ITEM_BYTES) {
            b->item[++b->n_items] = b->n;
            in_item = 0;
        }
    }
    if (in_item) b->item[++b->n_items] = b->n;
    if (!b->ids || b->slot[b->n] > b->ids_cap) {
        int32_t *larger;
        WHET_TRY(whet_i_alloc(ctx, b->slot[b->n], &larger));
        whet_i_free(ctx, b->ids);
        b->ids = larger;
        b->ids_cap = b->slot[b->n];
    }
    return WHET_OK;
}

/* Packs the batch's slots behind the rows there are. */
static whet_status append(whet_ctx *ctx, const batch *b, whet_token_rows *rows, int64_t *cap) {
    int64_t total = rows->start[rows->n_rows];
    for (int64_t k = 0; k < b->n; k++) total += b->count[k];
    if (total > *cap) {
        const int64_t larger = total + total / 2;
        WHET_TRY(whet_i_realloc(ctx, &rows->ids, larger));
        *cap = larger;
    }
    for (int64_t k = 0; k < b->n; k++) {
        const int64_t at = rows->start[rows->n_rows];
        if (b->count[k] > 0)
            memcpy(rows->ids + at, b->ids + b->slot[k], (size_t)b->count[k] * sizeof(int32_t));
        rows->start[++rows->n_rows] = at + b->count[k];
    }
    return WHET_OK;
}

static whet_status check_arguments(whet_ctx *ctx, const whet_tokenizer *tok, const whet_str *texts,
                                   int64_t n, int64_t max_length, int64_t *longest) {
    const int64_t specials = tok->n_prefix + tok->n_suffix;
    if (n < 0 || max_length < 0 || (max_length > 0 && max_length < specials))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "tokenizer: %lld texts of at most %lld tokens; expected counts from 0, "
                           "and 0 or at least the %lld special tokens",
                           (long long)n, (long long)max_length, (long long)specials);
    *longest = 0;
    for (int64_t i = 0; i < n; i++) {
        if (texts[i].len < 0 || (!texts[i].ptr && texts[i].len > 0))
            return whet_i_fail(ctx, WHET_ERR_ARG, "tokenizer: text %lld has no bytes",
                               (long long)i);
        if (texts[i].len > *longest) *longest = texts[i].len;
    }
    return WHET_OK;
}

whet_status whet_tokenizer_encode(whet_ctx *ctx, const whet_tokenizer *tokenizer,
                                  const whet_str *texts, int64_t n, int64_t max_length,
                                  whet_token_rows *out) {
    whet_token_rows rows = {0};
    whet_status status = WHET_OK;
    batch b = {.tok = tokenizer, .texts = texts};
    const int64_t most_texts = n < BATCH_TEXTS ? n : BATCH_TEXTS;
    int64_t longest, cap = 0, scratch;
    WHET_TRY(check_arguments(ctx, tokenizer, texts, n, max_length, &longest));
    b.room = max_length ? max_length - tokenizer->n_prefix - tokenizer->n_suffix : INT64_MAX;
    WHET_TRY_DONE(whet_i_mul(ctx, longest, tokenizer->norm.max_bytes, &scratch));
    /* Workers do not share cache lines. */
    WHET_TRY_DONE(whet_i_add(ctx, scratch, 128, &b.scratch_len));
    WHET_TRY_DONE(whet_i_mul(ctx, b.scratch_len, whet_ctx_threads(ctx), &scratch));
    WHET_TRY_DONE(whet_i_alloc(ctx, scratch, &b.scratch));
    WHET_TRY_DONE(whet_i_alloc(ctx, most_texts + 1, &b.slot));
    WHET_TRY_DONE(whet_i_alloc(ctx, most_texts + 1, &b.item));
    WHET_TRY_DONE(whet_i_alloc(ctx, most_texts, &b.count));
    WHET_TRY_DONE(whet_i_calloc(ctx, n + 1, &rows.start));
    while (rows.n_rows < n) {
        b.texts = texts + rows.n_rows;
        WHET_TRY_DONE(plan(ctx, &b, n - rows.n_rows));
        WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, b.n_items, encode_item, &b));
        WHET_TRY_DONE(append(ctx, &b, &rows, &cap));
    }
    WHET_TRY_DONE(whet_i_realloc(ctx, &rows.ids, rows.start[n] > 0 ? rows.start[n] : 1));
    *out = rows;
    rows = (whet_token_rows){0};
done:
    whet_i_free(ctx, b.scratch);
    whet_i_free(ctx, b.slot);
    whet_i_free(ctx, b.item);
    whet_i_free(ctx, b.count);
    whet_i_free(ctx, b.ids);
    whet_token_rows_destroy(ctx, &rows);
    return status;
}

void whet_token_rows_destroy(whet_ctx *ctx, whet_token_rows *rows) {
    whet_i_free(ctx, rows->start);
    whet_i_free(ctx, rows->ids);
    *rows = (whet_token_rows){0};
}
