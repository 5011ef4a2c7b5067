/* SPDX-License-Identifier: Apache-2.0
 * The model Unigram of a tokenizer.json: a list of tokens with their scores. */
#include <stdio.h>

#include "nn/tokenizer_i.h"

/* Below the least score, as SentencePiece and Hugging Face have it. */
#define UNKNOWN_PENALTY 10.0
#define MAX_TOKENS ((int64_t)1 << 24)
static const char *const PART = "model Unigram";

static whet_status read_entry(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json, int64_t id) {
    const json_t *text = json_array_get(json, 0), *score = json_array_get(json, 1);
    if (json_array_size(json) != 2 || !json_is_string(text) || !json_is_number(score))
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: token %lld of \"vocab\" is no pair; expected [text, score]", PART,
                           (long long)id);
    tok->unigram.scores[id] = json_number_value(score);
    return whet_i_tokenizer_keep(ctx, tok, whet_i_json_text(text), &tok->tokens[id]);
}

/* Of tokens of one text the last counts: added first, it stays. */
static whet_status add_tokens(whet_ctx *ctx, whet_tokenizer *tok) {
    WHET_TRY(whet_i_trie_init(ctx, &tok->model.trie));
    for (int64_t id = tok->n_tokens - 1; id >= 0; id--) {
        int32_t existing;
        if (tok->tokens[id].len)
            WHET_TRY(
                whet_i_trie_add(ctx, &tok->model.trie, tok->tokens[id], (int32_t)id, &existing));
    }
    return WHET_OK;
}

static whet_status read_vocab(whet_ctx *ctx, whet_tokenizer *tok, const json_t *vocab) {
    const int64_t n = (int64_t)json_array_size(vocab);
    if (n == 0 || n > MAX_TOKENS)
        return whet_i_fail(ctx, n ? WHET_ERR_LIMIT : WHET_ERR_FORMAT,
                           "%s: \"vocab\" is %s; expected a list of 1 to %lld tokens with scores",
                           PART,
                           n                      ? "too long"
                           : json_is_array(vocab) ? "empty"
                                                  : "no list",
                           (long long)MAX_TOKENS);
    WHET_TRY(whet_i_calloc(ctx, n + WHET_I_MAX_ADDED, &tok->tokens));
    WHET_TRY(whet_i_calloc(ctx, n + WHET_I_MAX_ADDED, &tok->kinds));
    WHET_TRY(whet_i_alloc(ctx, n, &tok->unigram.scores));
    tok->n_tokens = n;
    for (int64_t i = 0; i < n; i++)
        WHET_TRY(read_entry(ctx, tok, json_array_get(vocab, (size_t)i), i));
    return add_tokens(ctx, tok);
}

whet_status whet_i_unigram_read(whet_ctx *ctx, whet_tokenizer *tok, const json_t *json) {
    whet_i_unigram *model = &tok->unigram;
    const json_t *unk = json_object_get(json, "unk_id");
    const json_t *fallback = json_object_get(json, "byte_fallback");
    WHET_TRY(read_vocab(ctx, tok, json_object_get(json, "vocab")));
    const int64_t id = json_is_integer(unk) ? (int64_t)json_integer_value(unk) : -1;
    if (id < 0 || id >= tok->n_tokens)
        return whet_i_fail(ctx, json_is_integer(unk) ? WHET_ERR_FORMAT : WHET_ERR_UNSUPPORTED,
                           "%s: \"unk_id\" is %s; expected 0 to %lld", PART,
                           json_is_integer(unk) ? "out of range" : "no integer",
                           (long long)tok->n_tokens - 1);
    if (fallback && !json_is_null(fallback))
        WHET_TRY(whet_i_tokenizer_bool(ctx, PART, json, "byte_fallback", &model->byte_fallback));
    model->unk = (int32_t)id;
    model->vocab = &tok->model.trie;
    model->unknown = model->scores[0];
    for (int64_t i = 0; i < tok->n_tokens; i++)
        if (model->scores[i] < model->unknown) model->unknown = model->scores[i];
    model->unknown -= UNKNOWN_PENALTY;
    for (int b = 0; b < 256; b++) {
        char text[16];
        const int len = snprintf(text, sizeof text, "<0x%02X>", b);
        model->byte_token[b] = whet_i_tokenizer_find(tok, (whet_str){text, len});
    }
    return WHET_OK;
}
