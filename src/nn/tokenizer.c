/* SPDX-License-Identifier: Apache-2.0
 * Tokenizers: loading a folder, and encoding one text.
 *
 * Within a text, pieces of about SEGMENT_BYTES are normalised and cut into words one after the
 * other: no step looks across a space, and a text that is full (max_length) is left at once.
 * Normalisation gives at most max_codes code points a byte, and a token has at least one. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "io/io_i.h"
#include "nn/tokenizer_i.h"

#define MAX_FILE_BYTES ((int64_t)256 << 20)
#define SEGMENT_BYTES 1024

/* ---- loading ---------------------------------------------------------------------------------- */

/* Where tokenizer.json is not there: what the folder has instead, which transformers makes one of. */
static whet_status no_file(whet_ctx *ctx, const char *dir) {
    static const char *const others[] = {"sentencepiece.bpe.model", "spiece.model",
                                         "tokenizer.model", "vocab.txt", "vocab.json"};
    whet_i_buf path = {0};
    const char *found = NULL;
    struct stat info;
    whet_status status = WHET_OK;
    for (int64_t i = 0; i < WHET_COUNT_OF(others) && !found; i++) {
        path.len = 0;
        WHET_TRY_DONE(whet_i_buf_printf(ctx, &path, "%s/%s", dir, others[i]));
        if (stat(path.data, &info) == 0) found = others[i];
    }
    errno = ENOENT;
    status = whet_i_fail(ctx, WHET_ERR_IO, "%s/tokenizer.json: no such file; expected it%s%s%s",
                         dir, found ? "; the folder has " : "", found ? found : "",
                         found ? "; try AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR) of "
                                 "transformers"
                               : "");
done:
    whet_i_buf_free(ctx, &path);
    return status;
}

whet_status whet_tokenizer_load(whet_ctx *ctx, const char *dir, whet_tokenizer **out) {
    struct stat info;
    whet_i_buf path = {0};
    json_t *root = NULL;
    whet_tokenizer *tok = NULL;
    whet_status status = WHET_OK;
    const bool is_dir = stat(dir, &info) == 0 && S_ISDIR(info.st_mode);
    WHET_TRY_DONE(whet_i_buf_printf(ctx, &path, "%s%s", dir, is_dir ? "/tokenizer.json" : ""));
    status = whet_i_json_read(ctx, path.data, MAX_FILE_BYTES, &root);
    if (status == WHET_ERR_IO && is_dir && whet_error_errno(ctx) == ENOENT)
        status = no_file(ctx, dir);
    if (status != WHET_OK) goto done;
    if (is_dir) WHET_TRY_DONE(whet_i_tokenizer_config_apply(ctx, dir, root));
    status = whet_i_tokenizer_from_json(ctx, root, &tok);
    if (status != WHET_OK) status = whet_i_fail_at(ctx, status, "%s", path.data);
    if (status == WHET_OK && is_dir) status = whet_i_token_roles_read(ctx, dir, tok);
    if (status != WHET_OK) goto done;
    *out = tok;
    tok = NULL;
done:
    whet_tokenizer_destroy(ctx, tok);
    json_decref(root);
    whet_i_buf_free(ctx, &path);
    return status;
}

void whet_tokenizer_destroy(whet_ctx *ctx, whet_tokenizer *tokenizer) {
    if (!tokenizer) return;
    whet_i_normalizer_free(ctx, &tokenizer->norm);
    for (int32_t i = 0; i < tokenizer->n_text_steps; i++) {
        whet_i_normalizer_free(ctx, &tokenizer->text_steps[i].chars);
        whet_i_charsmap_free(ctx, tokenizer->text_steps[i].charsmap);
        whet_i_regex_destroy(ctx, tokenizer->text_steps[i].regex);
    }
    for (int32_t i = 0; i < tokenizer->n_pre_steps; i++)
        whet_i_regex_destroy(ctx, tokenizer->pre_steps[i].regex);
    whet_i_bpe_free(ctx, &tokenizer->bpe);
    whet_i_unigram_free(ctx, &tokenizer->unigram);
    whet_i_free(ctx, tokenizer->kinds);
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

/* Words of a classic tokenizer, steps of any other. */
static void encode_normalized(const whet_tokenizer *tok, whet_i_work *work, const uint8_t *p,
                              const uint8_t *end, bool at_start, whet_i_ids *out) {
    if (tok->is_classic)
        encode_words(tok, p, end, out);
    else
        whet_i_pre_tokenize(tok, work, p, end, at_start, out);
}

/* Text without raw added tokens. */
static void encode_piece(const whet_tokenizer *tok, const uint8_t *p, const uint8_t *end,
                         bool at_start, whet_i_work *work, whet_i_ids *out) {
    const bool whole = tok->normalized.n > 0 || tok->pre == WHET_I_PRE_NONE || !tok->is_classic;
    while (p < end && out->n < out->cap) {
        const uint8_t *stop = end, *begin;
        if (!whole && end - p > SEGMENT_BYTES) {
            const uint8_t *space =
                memchr(p + SEGMENT_BYTES, ' ', (size_t)(end - p) - SEGMENT_BYTES);
            if (space) stop = space + 1;
        }
        const uint8_t *normal_end = whet_i_normalize_piece(tok, work, p, stop, &begin);
        p = stop;
        if (tok->normalized.n == 0) {
            encode_normalized(tok, work, begin, normal_end, at_start, out);
            continue;
        }
        whet_i_added_walk walk;
        whet_i_added_walk_start(&walk, begin, normal_end);
        int32_t id;
        const uint8_t *from, *to;
        while (out->n < out->cap && whet_i_added_next(&tok->normalized, &walk, &id, &from, &to)) {
            if (id < 0)
                encode_normalized(tok, work, from, to, at_start && from == begin, out);
            else
                out->ids[out->n++] = id;
        }
    }
}

void whet_i_tokenizer_text(const whet_tokenizer *tok, whet_str text, whet_i_work *work,
                           whet_i_ids *out) {
    const uint8_t *begin = (const uint8_t *)text.ptr;
    whet_i_regex_state_start(&work->regex, text.len);
    if (text.len == 0) return;
    whet_i_added_walk walk;
    whet_i_added_walk_start(&walk, begin, begin + text.len);
    int32_t id;
    const uint8_t *from, *to;
    while (out->n < out->cap && whet_i_added_next(&tok->raw, &walk, &id, &from, &to)) {
        if (id < 0)
            encode_piece(tok, from, to, from == begin, work, out);
        else
            out->ids[out->n++] = id;
    }
}

/* ---- memory ----------------------------------------------------------------------------------- */

/* What n bytes may become in a step. */
static whet_status grow(whet_ctx *ctx, whet_i_growth growth, int64_t *n) {
    WHET_TRY(whet_i_mul(ctx, *n, growth.times, n));
    return whet_i_add(ctx, *n, growth.plus, n);
}

/* The most bytes of a piece after the normaliser, and on the way. */
static whet_status normalized_bytes(whet_ctx *ctx, const whet_tokenizer *tok, int64_t *n) {
    WHET_TRY(whet_i_mul(ctx, *n, tok->norm.max_bytes, n));
    for (int32_t i = 0; i < tok->n_text_steps; i++)
        WHET_TRY(grow(ctx, whet_i_text_step_growth(&tok->text_steps[i]), n));
    return WHET_OK;
}

whet_status whet_i_tokenizer_most_ids(whet_ctx *ctx, const whet_tokenizer *tok, int64_t len,
                                      int64_t *ids) {
    if (tok->is_classic) return whet_i_mul(ctx, len, tok->norm.max_codes, ids);
    /* A text may be in as many pieces as it has bytes, and each has what a step adds once. */
    *ids = len;
    WHET_TRY(whet_i_mul(ctx, *ids, tok->norm.max_bytes, ids));
    for (int32_t i = 0; i < tok->n_text_steps; i++) {
        const whet_i_growth growth = whet_i_text_step_growth(&tok->text_steps[i]);
        WHET_TRY(whet_i_mul(ctx, *ids, growth.times + growth.plus, ids));
    }
    for (int32_t i = 0; i < tok->n_pre_steps; i++) {
        whet_i_growth growth = whet_i_pre_step_growth(&tok->pre_steps[i]);
        /* A mark is one character, and so one token unless it falls apart into bytes. */
        if (tok->is_unigram && !tok->unigram.byte_fallback &&
            tok->pre_steps[i].op == WHET_I_PRE_METASPACE)
            growth = (whet_i_growth){1, 1};
        WHET_TRY(whet_i_mul(ctx, *ids, growth.times + growth.plus, ids));
    }
    if (!tok->is_bpe) return WHET_OK;
    return whet_i_mul(ctx, *ids, tok->bpe.most_symbols + tok->bpe.more_symbols, ids);
}

typedef struct layout {
    int64_t text, other, forms, pre[WHET_I_MAX_STEPS], model, total;
} layout;

/* Rounded up, so that parts start aligned and workers do not share cache lines. */
static whet_status reserve(whet_ctx *ctx, int64_t bytes, layout *l, int64_t *part) {
    *part = l->total;
    WHET_TRY(whet_i_add(ctx, bytes, 127, &bytes));
    return whet_i_add(ctx, l->total, bytes - bytes % 64, &l->total);
}

/* Models count what `longest` bytes may become in 32 bits. */
static whet_status check_index(whet_ctx *ctx, int64_t longest, int64_t n) {
    if (n < INT32_MAX) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_LIMIT,
                       "tokenizer: a text of %lld bytes; expected fewer than %lld",
                       (long long)longest, (long long)INT32_MAX / (n / longest + 1));
}

static whet_status lay_out(whet_ctx *ctx, const whet_tokenizer *tok, int64_t longest, layout *l) {
    int64_t n = longest, forms = 0, symbols;
    *l = (layout){0};
    WHET_TRY(normalized_bytes(ctx, tok, &n));
    WHET_TRY(reserve(ctx, n, l, &l->text));
    if (tok->n_text_steps > 0) WHET_TRY(reserve(ctx, n, l, &l->other));
    for (int32_t i = 0; i < tok->n_text_steps; i++)
        if (tok->text_steps[i].op == WHET_I_TEXT_FORM)
            WHET_TRY(whet_i_mul(ctx, n, WHET_I_FORM_SCRATCH, &forms));
    WHET_TRY(reserve(ctx, forms, l, &l->forms));
    for (int32_t i = 0; i < tok->n_pre_steps; i++) {
        WHET_TRY(grow(ctx, whet_i_pre_step_growth(&tok->pre_steps[i]), &n));
        const bool writes = tok->pre_steps[i].op >= WHET_I_PRE_METASPACE;
        WHET_TRY(reserve(ctx, writes ? n : 0, l, &l->pre[i]));
    }
    if (tok->is_unigram) WHET_TRY(whet_i_add(ctx, n, 1, &n));
    if (tok->is_unigram) WHET_TRY(check_index(ctx, longest, n));
    if (tok->is_unigram) WHET_TRY(whet_i_mul(ctx, n, WHET_I_UNIGRAM_BYTES, &symbols));
    if (tok->is_unigram) return reserve(ctx, symbols, l, &l->model);
    if (!tok->is_bpe) return WHET_OK;
    WHET_TRY(grow(ctx, (whet_i_growth){tok->bpe.most_symbols, tok->bpe.more_symbols}, &n));
    WHET_TRY(check_index(ctx, longest, n));
    WHET_TRY(whet_i_mul(ctx, n, WHET_I_BPE_SYMBOL_BYTES + (int64_t)sizeof(int32_t), &symbols));
    return reserve(ctx, symbols + 8, l, &l->model);
}

whet_status whet_i_work_init(whet_ctx *ctx, const whet_tokenizer *tok, int64_t longest,
                             whet_i_work *work) {
    layout l;
    *work = (whet_i_work){0};
    WHET_TRY(lay_out(ctx, tok, longest, &l));
    WHET_TRY(whet_i_alloc(ctx, l.total, &work->memory));
    work->text[0] = work->memory + l.text;
    work->text[1] = work->memory + l.other;
    work->forms = work->memory + l.forms;
    for (int32_t i = 0; i < tok->n_pre_steps; i++) work->pre[i] = work->memory + l.pre[i];
    work->model = work->memory + l.model;
    return tok->is_classic ? WHET_OK : whet_i_regex_state_init(ctx, &work->regex);
}

void whet_i_work_free(whet_ctx *ctx, whet_i_work *work) {
    whet_i_regex_state_free(ctx, &work->regex);
    whet_i_free(ctx, work->memory);
    *work = (whet_i_work){0};
}
