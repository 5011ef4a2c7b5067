/* SPDX-License-Identifier: Apache-2.0
 * A recipe's "tokenizer": which tokens the output has, and where the vectors of some of them come from. */
#include "merge/recipe_nodes.h"

/* union, base, or a model: "path", "model:path" as older recipes have it, or a mapping. */
static whet_status read_source(const whet_i_recipe_reader *r, yaml_node_t *node) {
    static const char prefix[] = "model:";
    whet_i_recipe *recipe = r->recipe;
    const char *lora = NULL;
    recipe->tokens = WHET_I_TOKENS_PATH;
    if (node->type == YAML_MAPPING_NODE) {
        WHET_TRY(whet_i_node_model(r, node, 0, &recipe->tokens_path, &lora));
        return lora ? WHET_I_NODE_FAIL(r, node, WHET_ERR_UNSUPPORTED,
                                       "a tokenizer of a model with an adapter; expected a folder")
                    : WHET_OK;
    }
    WHET_TRY(whet_i_node_text(r, node, "tokenizer source", &recipe->tokens_path));
    if (strncmp(recipe->tokens_path, prefix, sizeof prefix - 1) == 0)
        recipe->tokens_path += sizeof prefix - 1;
    else if (strcmp(recipe->tokens_path, "union") == 0)
        recipe->tokens = WHET_I_TOKENS_UNION;
    else if (strcmp(recipe->tokens_path, "base") == 0)
        recipe->tokens = WHET_I_TOKENS_BASE;
    return WHET_OK;
}

/* ---- tokens ----------------------------------------------------------------------------------- */

/* The kind of a mapping, which a model's has not; NULL = it is a model. */
static const yaml_node_t *kind_in(const whet_i_recipe_reader *r, const yaml_node_t *node) {
    for (int64_t i = 0; i < whet_i_node_length(node); i++) {
        const yaml_node_pair_t pair = node->data.mapping.pairs.start[i];
        const yaml_node_t *key = yaml_document_get_node(r->document, pair.key);
        if (key->type == YAML_SCALAR_NODE &&
            whet_str_equal(whet_i_node_str(key), whet_str_from("kind")))
            return yaml_document_get_node(r->document, pair.value);
    }
    return NULL;
}

/* {kind: model_token, model, token or token_id} */
static whet_status read_model_token(const whet_i_recipe_reader *r, yaml_node_t *node,
                                    whet_i_recipe_token *out) {
    static const char *const keys[] = {"kind", "model", "token", "token_id"};
    yaml_node_t *values[4];
    char quoted[WHET_QUOTE_SIZE];
    WHET_TRY(whet_i_node_members(r, node, "model_token", keys, 4, values));
    if (!values[1])
        return WHET_I_NODE_FAIL(r, node, WHET_ERR_FORMAT,
                                "model_token has no \"model\"; expected one");
    if (!values[2] == !values[3])
        return WHET_I_NODE_FAIL(r, node, WHET_ERR_FORMAT,
                                "model_token has %s; expected either \"token\" or \"token_id\"",
                                values[2] ? "both" : "neither");
    WHET_TRY(whet_i_node_model(r, values[1], 0, &out->model, &out->lora));
    if (values[2]) return whet_i_node_text(r, values[2], "token", &out->token);
    WHET_TRY(whet_i_node_expect(r, values[3], YAML_SCALAR_NODE, "token_id"));
    const whet_str text = whet_i_node_str(values[3]);
    if (!whet_i_parse_int(text, &out->id) || out->id < 0)
        return WHET_I_NODE_FAIL(r, values[3], WHET_ERR_FORMAT,
                                "\"token_id\" is %s; expected a number from 0",
                                whet_i_quote(quoted, text));
    return WHET_OK;
}

/* A model, or a mapping with a kind. */
static whet_status read_token_source(const whet_i_recipe_reader *r, yaml_node_t *node,
                                     whet_i_recipe_token *out) {
    static const char *const keys[] = {"kind"};
    yaml_node_t *value;
    char quoted[WHET_QUOTE_SIZE];
    const yaml_node_t *kind = node->type == YAML_MAPPING_NODE ? kind_in(r, node) : NULL;
    if (!kind) {
        out->source = WHET_I_TOKEN_OF_MODEL;
        return whet_i_node_model(r, node, 0, &out->model, &out->lora);
    }
    WHET_TRY(whet_i_node_expect(r, kind, YAML_SCALAR_NODE, "kind"));
    const whet_str text = whet_i_node_str(kind);
    if (whet_str_equal(text, whet_str_from("zero"))) {
        out->source = WHET_I_TOKEN_ZERO;
        return whet_i_node_members(r, node, "zero", keys, 1, &value);
    }
    if (!whet_str_equal(text, whet_str_from("model_token")))
        return WHET_I_NODE_FAIL(r, kind, WHET_ERR_FORMAT,
                                "\"kind\" is %s; expected zero or model_token",
                                whet_i_quote(quoted, text));
    out->source = WHET_I_TOKEN_OTHER;
    return read_model_token(r, node, out);
}

static whet_status read_token(const whet_i_recipe_reader *r, const yaml_node_t *key,
                              yaml_node_t *node, whet_i_recipe_token *out) {
    static const char *const keys[] = {"source", "force"};
    yaml_node_t *values[2];
    double force = 0;
    char quoted[WHET_QUOTE_SIZE];
    whet_i_buf place = {0};
    *out = (whet_i_recipe_token){.id = -1};
    WHET_TRY(whet_i_node_text(r, key, "token", &out->text));
    (void)whet_i_quote(quoted, whet_i_node_str(key));
    whet_status status = whet_i_buf_printf(r->ctx, &place, "%s:%zu: token %s", r->where,
                                           key->start_mark.line + 1, quoted);
    if (status == WHET_OK)
        status =
            whet_i_recipe_text(r->ctx, r->recipe, (whet_str){place.data, place.len}, &out->place);
    whet_i_buf_free(r->ctx, &place);
    WHET_TRY(status);
    WHET_TRY(whet_i_node_members(r, node, "a token", keys, 2, values));
    if (values[1]) {
        WHET_TRY(whet_i_node_expect(r, values[1], YAML_SCALAR_NODE, "force"));
        if (!whet_i_node_truth(whet_i_node_str(values[1]), &force))
            return WHET_I_NODE_FAIL(r, values[1], WHET_ERR_FORMAT,
                                    "\"force\" is %s; expected true or false",
                                    whet_i_quote(quoted, whet_i_node_str(values[1])));
    }
    out->force = force != 0;
    return values[0] ? read_token_source(r, values[0], out) : WHET_OK;
}

static whet_status read_tokens(whet_i_recipe_reader *r, yaml_node_t *node) {
    whet_i_recipe *recipe = r->recipe;
    whet_names *names = NULL;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_node_expect(r, node, YAML_MAPPING_NODE, "tokens"));
    const int64_t n = whet_i_node_length(node);
    if (n == 0) return WHET_OK;
    WHET_TRY(whet_i_node_count_items(r, node, n));
    WHET_TRY(WHET_I_NODE_MAKE(r, n, &recipe->token));
    WHET_TRY(whet_names_create(r->ctx, &names));
    for (int64_t i = 0; i < n; i++) {
        const yaml_node_pair_t pair = node->data.mapping.pairs.start[i];
        const yaml_node_t *key = yaml_document_get_node(r->document, pair.key);
        int64_t at;
        WHET_TRY_DONE(
            read_token(r, key, yaml_document_get_node(r->document, pair.value), &recipe->token[i]));
        WHET_TRY_DONE(whet_names_add(r->ctx, names, whet_i_node_str(key), &at));
        if (at < i) {
            status = whet_i_fail(r->ctx, WHET_ERR_FORMAT, "%s again; expected it once",
                                 recipe->token[i].place);
            goto done;
        }
        recipe->n_tokens++;
    }
done:
    whet_names_destroy(r->ctx, names);
    return status;
}

/* ---- the whole -------------------------------------------------------------------------------- */

whet_status whet_i_recipe_read_tokenizer(whet_i_recipe_reader *r, yaml_node_t *node,
                                         yaml_node_t *legacy) {
    static const char *const keys[] = {"source", "pad_to_multiple_of", "tokens"};
    yaml_node_t *values[3];
    if (node && legacy)
        return WHET_I_NODE_FAIL(
            r, legacy, WHET_ERR_FORMAT,
            "both \"tokenizer\" and \"tokenizer_source\"; expected one of them");
    if (legacy) return read_source(r, legacy);
    if (!node) return WHET_OK;
    WHET_TRY(whet_i_node_members(r, node, "tokenizer", keys, 3, values));
    r->recipe->tokens = WHET_I_TOKENS_UNION; /* where it says no more */
    if (values[1]) {
        int64_t pad;
        char quoted[WHET_QUOTE_SIZE];
        WHET_TRY(whet_i_node_expect(r, values[1], YAML_SCALAR_NODE, "pad_to_multiple_of"));
        if (!whet_i_parse_int(whet_i_node_str(values[1]), &pad) || pad < 1 || pad > 1 << 20)
            return WHET_I_NODE_FAIL(r, values[1], WHET_ERR_FORMAT,
                                    "\"pad_to_multiple_of\" is %s; expected 1 to %d",
                                    whet_i_quote(quoted, whet_i_node_str(values[1])), 1 << 20);
        r->recipe->pad_to_multiple_of = pad;
    }
    if (values[0]) WHET_TRY(read_source(r, values[0]));
    return values[2] ? read_tokens(r, values[2]) : WHET_OK;
}
