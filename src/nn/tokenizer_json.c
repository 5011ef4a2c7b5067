/* SPDX-License-Identifier: Apache-2.0
 * From a parsed tokenizer.json to a tokenizer. Everything in the file is either honoured exactly
 * or refused by name; truncation and padding are the caller's business and are not read, except
 * for truncation from the left, which is refused.
 * Format: what Hugging Face tokenizers (0.2x) writes, version "1.0". */
#include "nn/tokenizer_i.h"

#define MAX_GROWTH 4096

/* A part that this library does not have. */
whet_status whet_i_tokenizer_unsupported(whet_ctx *ctx, const char *part, const json_t *type,
                                         const char *known) {
    char quoted[WHET_QUOTE_SIZE];
    return whet_i_fail(
        ctx, WHET_ERR_UNSUPPORTED, "%s: type %s; expected %s", part,
        json_is_string(type) ? whet_i_quote(quoted, whet_i_json_text(type)) : "missing", known);
}

whet_status whet_i_tokenizer_bool(whet_ctx *ctx, const char *part, const json_t *object,
                                  const char *key, bool *out) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_boolean(value))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"%s\" is %s; expected true or false", part,
                           key, value ? "neither true nor false" : "missing");
    *out = json_is_true(value);
    return WHET_OK;
}

whet_status whet_i_tokenizer_keep(whet_ctx *ctx, whet_tokenizer *tok, whet_str text,
                                  whet_str *out) {
    char *copy;
    WHET_TRY(whet_i_arena_alloc(ctx, &tok->bytes, text.len + 1, 1, &copy));
    if (text.len) memcpy(copy, text.ptr, (size_t)text.len);
    copy[text.len] = '\0';
    *out = (whet_str){copy, text.len};
    return WHET_OK;
}

whet_status whet_i_tokenizer_string(whet_ctx *ctx, whet_tokenizer *tok, const char *part,
                                    const json_t *object, const char *key, bool optional,
                                    whet_str *out) {
    const json_t *value = json_object_get(object, key);
    *out = (whet_str){"", 0};
    if (optional && (!value || json_is_null(value))) return WHET_OK;
    if (!json_is_string(value))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"%s\" is %s; expected a text", part, key,
                           value ? "no text" : "missing");
    return whet_i_tokenizer_keep(ctx, tok, whet_i_json_text(value), out);
}

/* ---- vocabulary and model --------------------------------------------------------------------- */

/* The largest id, after checking that every id is in range: holes are allowed, but no more of them
 * than tokens, so that a small file cannot ask for a large table. */
static whet_status largest_id(whet_ctx *ctx, json_t *vocab, int64_t *out) {
    char quoted[WHET_QUOTE_SIZE];
    const int64_t n = (int64_t)json_object_size(vocab);
    const int64_t limit = 2 * n + 1024;
    const char *key;
    json_t *value;
    *out = -1;
    json_object_foreach(vocab, key, value) {
        const int64_t id = json_is_integer(value) ? (int64_t)json_integer_value(value) : -1;
        if (id < 0 || id >= limit)
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "vocab: the id of %s is %s; expected an integer from 0 to %lld",
                               whet_i_quote(quoted, whet_str_from(key)),
                               json_is_integer(value) ? "out of range" : "no integer",
                               (long long)limit - 1);
        if (id > *out) *out = id;
    }
    return WHET_OK;
}

static whet_status read_vocab(whet_ctx *ctx, whet_tokenizer *tok, json_t *vocab) {
    char quoted[WHET_QUOTE_SIZE], other[WHET_QUOTE_SIZE];
    int64_t last;
    if (!json_is_object(vocab) || json_object_size(vocab) == 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "vocab: %s; expected tokens with their ids",
                           json_is_object(vocab) ? "empty" : "no object");
    WHET_TRY(largest_id(ctx, vocab, &last));
    WHET_TRY(whet_i_calloc(ctx, last + 1 + WHET_I_MAX_ADDED, &tok->tokens));
    WHET_TRY(whet_i_calloc(ctx, last + 1 + WHET_I_MAX_ADDED, &tok->kinds));
    tok->n_tokens = last + 1;
    WHET_TRY(whet_i_trie_init(ctx, &tok->model.trie));
    const char *key;
    json_t *value;
    json_object_foreach(vocab, key, value) {
        const whet_str text = whet_str_from(key);
        const int64_t id = (int64_t)json_integer_value(value);
        int32_t existing = -1;
        if (tok->tokens[id].ptr)
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "vocab: %s and %s both have id %lld; expected one token an id",
                               whet_i_quote(other, tok->tokens[id]), whet_i_quote(quoted, text),
                               (long long)id);
        WHET_TRY(whet_i_tokenizer_keep(ctx, tok, text, &tok->tokens[id]));
        /* The empty token can never be matched, and would match everything here. */
        if (text.len)
            WHET_TRY(whet_i_trie_add(ctx, &tok->model.trie, text, (int32_t)id, &existing));
    }
    return WHET_OK;
}

int32_t whet_i_tokenizer_find(const whet_tokenizer *tok, whet_str text) {
    uint32_t node = WHET_I_TRIE_ROOT;
    for (int64_t i = 0; i < text.len && node; i++)
        node = whet_i_trie_step(&tok->model.trie, node, (uint8_t)text.ptr[i]);
    return node && text.len ? tok->model.trie.values[node] : -1;
}

static whet_status read_wordpiece(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json) {
    char quoted[WHET_QUOTE_SIZE];
    const json_t *unk = json_object_get(json, "unk_token");
    const json_t *prefix = json_object_get(json, "continuing_subword_prefix");
    const json_t *most = json_object_get(json, "max_input_chars_per_word");
    if (!json_is_string(unk) || !json_is_string(prefix))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "model WordPiece: \"%s\" is no text; expected one",
                           json_is_string(unk) ? "continuing_subword_prefix" : "unk_token");
    if (!json_is_integer(most) || json_integer_value(most) < 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "model WordPiece: \"max_input_chars_per_word\" is no count; expected an "
                           "integer from 0");
    WHET_TRY(read_vocab(ctx, tok, json_object_get(json, "vocab")));
    whet_i_wordpiece *model = &tok->model;
    model->max_chars = (int64_t)json_integer_value(most);
    model->unk = whet_i_tokenizer_find(tok, whet_i_json_text(unk));
    if (model->unk < 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "model WordPiece: the unk_token %s is not in the vocabulary",
                           whet_i_quote(quoted, whet_i_json_text(unk)));
    const whet_str inside = whet_i_json_text(prefix);
    model->inside = WHET_I_TRIE_ROOT;
    for (int64_t i = 0; i < inside.len && model->inside; i++)
        model->inside = whet_i_trie_step(&model->trie, model->inside, (uint8_t)inside.ptr[i]);
    return WHET_OK;
}

static whet_status read_model(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json) {
    const json_t *type = json_object_get(json, "type");
    /* Files of before 2020 leave the type out; only BPE has merges. */
    tok->is_bpe = whet_i_json_is(type, "BPE") || (!type && json_object_get(json, "merges"));
    if (tok->is_bpe) {
        WHET_TRY(read_vocab(ctx, tok, json_object_get(json, "vocab")));
        return whet_i_bpe_read(ctx, tok, json);
    }
    tok->is_unigram = whet_i_json_is(type, "Unigram");
    if (!tok->is_unigram && !whet_i_json_is(type, "WordPiece"))
        return whet_i_tokenizer_unsupported(ctx, "model", type, "WordPiece, BPE or Unigram");
    for (int32_t i = 0; i < tok->n_pre_steps; i++)
        if (tok->pre_steps[i].op == WHET_I_PRE_BYTE_LEVEL)
            return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                               "model %s behind the pre_tokenizer ByteLevel; expected BPE",
                               tok->is_unigram ? "Unigram" : "WordPiece");
    return (tok->is_unigram ? whet_i_unigram_read : read_wordpiece)(ctx, tok, json);
}

/* ---- added tokens ----------------------------------------------------------------------------- */

/* The id Hugging Face gives: the vocabulary's, else the next free one behind it. A file that says
 * otherwise is refused, since the same text would get other ids here and there. */
static whet_status added_id(whet_ctx *ctx, whet_tokenizer *tok, whet_str content, int64_t given,
                            int64_t *next_id) {
    char quoted[WHET_QUOTE_SIZE];
    const int64_t known = whet_i_tokenizer_find(tok, content), id = known >= 0 ? known : *next_id;
    if (given != id)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "added_tokens: %s has id %lld; expected %lld, %s",
                           whet_i_quote(quoted, content), (long long)given, (long long)id,
                           known >= 0 ? "its id in the vocabulary" : "the next free one");
    if (known >= 0) return WHET_OK;
    ++*next_id;
    if (id >= tok->n_tokens) tok->n_tokens = id + 1;
    if (tok->tokens[id].ptr)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "added_tokens: %s has id %lld, which a token of the vocabulary has; "
                           "expected an id of its own",
                           whet_i_quote(quoted, content), (long long)id);
    return whet_i_tokenizer_keep(ctx, tok, content, &tok->tokens[id]);
}

/* Normalised tokens are looked for in the normalised text, in their own normalised form. */
static whet_status add_pattern(whet_ctx *ctx, whet_tokenizer *tok, whet_str content,
                               whet_i_added_token token, bool normalized) {
    char quoted[WHET_QUOTE_SIZE];
    bool is_new = true;
    whet_str pattern = content;
    whet_i_work work = {0};
    whet_status status = WHET_OK;
    if (normalized) {
        const uint8_t *from = (const uint8_t *)content.ptr, *begin;
        WHET_TRY_DONE(whet_i_work_init(ctx, tok, content.len, &work));
        whet_i_regex_state_start(&work.regex, content.len);
        const uint8_t *end = whet_i_normalize_piece(tok, &work, from, from + content.len, &begin);
        pattern = (whet_str){(const char *)begin, end - begin};
    }
    if (pattern.len > 0)
        WHET_TRY_DONE(whet_i_added_add(ctx, normalized ? &tok->normalized : &tok->raw, pattern,
                                       token, &is_new));
    if (pattern.len == 0 || !is_new)
        status = whet_i_fail(ctx, WHET_ERR_UNSUPPORTED, "added_tokens: %s %s",
                             whet_i_quote(quoted, content),
                             is_new ? "is nothing once normalised; expected text that remains"
                                    : "occurs twice; expected distinct tokens");
    /* From here on the token reads as it is looked for: Hugging Face decodes it so. A special one
     * that reads otherwise is then no longer known as special when decoding. */
    if (status == WHET_OK && !whet_str_equal(pattern, content)) {
        status = whet_i_tokenizer_keep(ctx, tok, pattern, &tok->tokens[token.id]);
        tok->kinds[token.id] &= (uint8_t)~WHET_I_TOKEN_SPECIAL;
    }
done:
    whet_i_work_free(ctx, &work);
    return status;
}

static whet_status read_added_token(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json,
                                    int64_t *next_id) {
    const json_t *content = json_object_get(json, "content"), *id = json_object_get(json, "id");
    if (!json_is_string(content) || json_string_length(content) == 0 || !json_is_integer(id))
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "added_tokens: an entry without \"content\" or \"id\"; expected both");
    const whet_str text = whet_i_json_text(content);
    bool normalized, special;
    whet_i_added_token token = {0};
    WHET_TRY(whet_i_tokenizer_bool(ctx, "added_tokens", json, "single_word", &token.single_word));
    WHET_TRY(whet_i_tokenizer_bool(ctx, "added_tokens", json, "lstrip", &token.lstrip));
    WHET_TRY(whet_i_tokenizer_bool(ctx, "added_tokens", json, "rstrip", &token.rstrip));
    WHET_TRY(whet_i_tokenizer_bool(ctx, "added_tokens", json, "normalized", &normalized));
    WHET_TRY(whet_i_tokenizer_bool(ctx, "added_tokens", json, "special", &special));
    for (int64_t i = 0; i + 2 < text.len; i++)
        if (memcmp(text.ptr + i, "\xEF\xBF\xBD", 3) == 0)
            return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                               "added_tokens: one contains U+FFFD; expected none");
    WHET_TRY(added_id(ctx, tok, text, (int64_t)json_integer_value(id), next_id));
    token.id = (int32_t)json_integer_value(id);
    if (special) tok->kinds[token.id] |= WHET_I_TOKEN_SPECIAL;
    return add_pattern(ctx, tok, text, token, normalized);
}

static whet_status read_added_tokens(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json,
                                     int64_t vocab_count) {
    if (!json || json_is_null(json)) return WHET_OK;
    const size_t n = json_array_size(json);
    if (!json_is_array(json) || n > WHET_I_MAX_ADDED)
        return whet_i_fail(ctx, json_is_array(json) ? WHET_ERR_LIMIT : WHET_ERR_FORMAT,
                           "added_tokens: %s; expected a list of at most %d",
                           json_is_array(json) ? "too many" : "no list", WHET_I_MAX_ADDED);
    int64_t next_id = vocab_count;
    for (size_t i = 0; i < n; i++)
        WHET_TRY(read_added_token(ctx, tok, json_array_get(json, i), &next_id));
    return WHET_OK;
}

/* A small file must not ask for much memory a byte of text. */
static whet_status check_growth(whet_ctx *ctx, const whet_tokenizer *tok) {
    int64_t most = 0;
    const whet_status status = whet_i_tokenizer_most_ids(ctx, tok, 1, &most);
    return status == WHET_OK && most <= MAX_GROWTH
               ? WHET_OK
               : whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                             "normalizer, pre_tokenizer: their steps may make over %d tokens of a "
                             "byte; expected fewer",
                             MAX_GROWTH);
}

/* ---- the whole -------------------------------------------------------------------------------- */

whet_status whet_i_tokenizer_from_json(whet_ctx *ctx, const json_t *root, whet_tokenizer **out) {
    whet_tokenizer *tok = NULL;
    whet_status status = WHET_OK;
    const json_t *version = json_object_get(root, "version");
    const json_t *model = json_object_get(root, "model");
    const json_t *side = json_object_get(json_object_get(root, "truncation"), "direction");
    if (!json_is_object(root) || !json_is_object(model))
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "no object with a \"model\"; expected a tokenizer.json of Hugging Face");
    if (version && !whet_i_json_is(version, "1.0"))
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "its version is not \"1.0\"; expected version 1.0");
    if (side && !whet_i_json_is(side, "Right"))
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "truncation: direction is not \"Right\"; expected that");
    WHET_TRY(whet_i_calloc(ctx, 1, &tok));
    whet_i_token_roles_clear(tok);
    WHET_TRY_DONE(whet_i_normalizer_read(ctx, tok, json_object_get(root, "normalizer")));
    WHET_TRY_DONE(whet_i_pre_tokenizer_read(ctx, tok, json_object_get(root, "pre_tokenizer")));
    WHET_TRY_DONE(read_model(ctx, tok, model));
    tok->is_classic = !tok->is_bpe && !tok->is_unigram && tok->n_text_steps == 0 &&
                      (tok->n_pre_steps == 0 ||
                       (tok->n_pre_steps == 1 && tok->pre_steps[0].op == WHET_I_PRE_CLASSES));
    const json_t *vocab = json_object_get(model, "vocab");
    const size_t n = tok->is_unigram ? json_array_size(vocab) : json_object_size(vocab);
    WHET_TRY_DONE(read_added_tokens(ctx, tok, json_object_get(root, "added_tokens"), (int64_t)n));
    WHET_TRY_DONE(whet_i_post_processor_read(ctx, tok, json_object_get(root, "post_processor")));
    WHET_TRY_DONE(whet_i_decoder_read(ctx, tok, json_object_get(root, "decoder")));
    WHET_TRY_DONE(check_growth(ctx, tok));
    *out = tok;
    tok = NULL;
done:
    whet_tokenizer_destroy(ctx, tok);
    return status;
}
