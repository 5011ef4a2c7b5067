/* SPDX-License-Identifier: Apache-2.0
 * Which token begins a text, ends one, fills one up: what the files beside tokenizer.json say, the
 * first that says it. A token that the vocabulary lacks says nothing. */
#include <sys/stat.h>

#include "io/io_i.h"
#include "nn/tokenizer_i.h"

#define MAX_CONFIG_BYTES ((int64_t)16 << 20)

static const struct {
    const char *token, *id; /* keys of tokenizer files, of config.json */
} KEYS[WHET_I_N_ROLES] = {[WHET_TOKEN_BOS] = {"bos_token", "bos_token_id"},
                          [WHET_TOKEN_EOS] = {"eos_token", "eos_token_id"},
                          [WHET_TOKEN_PAD] = {"pad_token", "pad_token_id"},
                          [WHET_TOKEN_UNK] = {"unk_token", "unk_token_id"},
                          [WHET_TOKEN_CLS] = {"cls_token", "cls_token_id"},
                          [WHET_TOKEN_SEP] = {"sep_token", "sep_token_id"},
                          [WHET_TOKEN_MASK] = {"mask_token", "mask_token_id"}};

/* Added tokens are few and not in the vocabulary's trie: looked for from the end. */
static int32_t find_any(const whet_tokenizer *tok, whet_str text) {
    const int32_t known = whet_i_tokenizer_find(tok, text);
    if (known >= 0) return known;
    for (int64_t id = tok->n_tokens - 1; id >= 0; id--)
        if (tok->tokens[id].ptr && whet_str_equal(tok->tokens[id], text)) return (int32_t)id;
    return -1;
}

/* A text, {"content": text}, an id, or a list of ids of which the first counts. */
static int32_t token_of(const whet_tokenizer *tok, const json_t *json, int role) {
    const json_t *token = json_object_get(json, KEYS[role].token);
    if (json_is_object(token)) token = json_object_get(token, "content");
    if (json_is_string(token)) return find_any(tok, whet_i_json_text(token));
    const json_t *id = json_object_get(json, KEYS[role].id);
    if (json_is_array(id)) id = json_array_get(id, 0);
    const int64_t value = json_is_integer(id) ? (int64_t)json_integer_value(id) : -1;
    return value >= 0 && value < tok->n_tokens ? (int32_t)value : -1;
}

void whet_i_token_roles_clear(whet_tokenizer *tok) {
    for (int role = 0; role < WHET_I_N_ROLES; role++) tok->role[role] = -1;
}

whet_status whet_i_token_roles_read(whet_ctx *ctx, const char *dir, whet_tokenizer *tok) {
    static const char *const FILES[] = {"tokenizer_config.json", "special_tokens_map.json",
                                        "config.json"};
    whet_i_buf path = {0};
    json_t *json = NULL;
    whet_status status = WHET_OK;
    for (int64_t i = 0; i < WHET_COUNT_OF(FILES); i++) {
        struct stat info;
        path.len = 0;
        WHET_TRY_DONE(whet_i_buf_printf(ctx, &path, "%s/%s", dir, FILES[i]));
        if (stat(path.data, &info) != 0) continue;
        WHET_TRY_DONE(whet_i_json_read(ctx, path.data, MAX_CONFIG_BYTES, &json));
        for (int role = 0; role < WHET_I_N_ROLES; role++)
            if (tok->role[role] < 0) tok->role[role] = token_of(tok, json, role);
        json_decref(json);
        json = NULL;
    }
done:
    json_decref(json);
    whet_i_buf_free(ctx, &path);
    return status;
}

int32_t whet_tokenizer_role(const whet_tokenizer *tokenizer, whet_token_role role) {
    if ((int)role < 0 || (int)role >= WHET_I_N_ROLES) return -1;
    return tokenizer->role[role];
}
