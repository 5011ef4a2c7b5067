/* SPDX-License-Identifier: Apache-2.0
 * Nodes of a recipe's YAML: their kinds, members and texts, checked, with sentences that name the line. */
#include "merge/recipe_nodes.h"

/* ---- nodes ------------------------------------------------------------------------------------ */

whet_str whet_i_node_str(const yaml_node_t *node) {
    return (whet_str){(const char *)node->data.scalar.value, (int64_t)node->data.scalar.length};
}

static const char *kind_of(const yaml_node_t *node) {
    return node->type == YAML_SCALAR_NODE     ? "a value"
           : node->type == YAML_SEQUENCE_NODE ? "a list"
           : node->type == YAML_MAPPING_NODE  ? "a mapping"
                                              : "nothing";
}

whet_status whet_i_node_fail_at(const whet_i_recipe_reader *r, const yaml_node_t *node,
                                whet_status status) {
    if (status == WHET_ERR_ARG) status = WHET_ERR_FORMAT; /* of the file, not of the call */
    return whet_i_fail_at(r->ctx, status, "%s:%zu", r->where, node->start_mark.line + 1);
}

static bool is_null(const yaml_node_t *node) {
    static const char *const names[] = {"", "~", "null", "Null", "NULL"};
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (int64_t i = 0; i < WHET_COUNT_OF(names); i++)
        if (whet_str_equal(whet_i_node_str(node), whet_str_from(names[i]))) return true;
    return false;
}

whet_status whet_i_node_expect(const whet_i_recipe_reader *r, const yaml_node_t *node,
                               yaml_node_type_t type, const char *what) {
    if (node->type == type) return WHET_OK;
    return WHET_I_NODE_FAIL(r, node, WHET_ERR_FORMAT, "\"%s\" is %s; expected %s", what,
                            kind_of(node),
                            type == YAML_SCALAR_NODE     ? "a value"
                            : type == YAML_SEQUENCE_NODE ? "a list"
                                                         : "a mapping");
}

int64_t whet_i_node_length(const yaml_node_t *node) {
    return node->type == YAML_SEQUENCE_NODE
               ? node->data.sequence.items.top - node->data.sequence.items.start
               : node->data.mapping.pairs.top - node->data.mapping.pairs.start;
}

yaml_node_t *whet_i_node_item(const whet_i_recipe_reader *r, const yaml_node_t *list, int64_t i) {
    return yaml_document_get_node(r->document, list->data.sequence.items.start[i]);
}

whet_status whet_i_node_members(const whet_i_recipe_reader *r, yaml_node_t *node, const char *what,
                                const char *const *keys, int64_t n, yaml_node_t **values) {
    WHET_TRY(whet_i_node_expect(r, node, YAML_MAPPING_NODE, what));
    for (int64_t k = 0; k < n; k++) values[k] = NULL;
    for (int64_t i = 0; i < whet_i_node_length(node); i++) {
        const yaml_node_pair_t pair = node->data.mapping.pairs.start[i];
        yaml_node_t *key = yaml_document_get_node(r->document, pair.key);
        char quoted[WHET_QUOTE_SIZE];
        WHET_TRY(whet_i_node_expect(r, key, YAML_SCALAR_NODE, "key"));
        int64_t at = 0;
        while (at < n && !whet_str_equal(whet_i_node_str(key), whet_str_from(keys[at]))) at++;
        if (at < n && values[at])
            return WHET_I_NODE_FAIL(r, key, WHET_ERR_FORMAT, "\"%s\" again; expected it once",
                                    keys[at]);
        if (at < n) {
            values[at] = yaml_document_get_node(r->document, pair.value);
            continue;
        }
        whet_names *names = NULL;
        whet_status status = whet_names_create(r->ctx, &names);
        for (int64_t k = 0; status == WHET_OK && k < n; k++)
            status = whet_names_add(r->ctx, names, whet_str_from(keys[k]), NULL);
        const int64_t near =
            status == WHET_OK ? whet_i_nearest_name(names, whet_i_node_str(key)) : -1;
        whet_names_destroy(r->ctx, names);
        WHET_TRY(status);
        return WHET_I_NODE_FAIL(
            r, key, WHET_ERR_FORMAT, "key %s is unknown in %s; expected \"%s\"%s",
            whet_i_quote(quoted, whet_i_node_str(key)), what, near < 0 ? keys[0] : keys[near],
            near < 0 ? " and others (see docs/guide/merge.md)" : "");
    }
    for (int64_t k = 0; k < n; k++)
        if (values[k] && is_null(values[k])) values[k] = NULL;
    return WHET_OK;
}

whet_status whet_i_node_make(const whet_i_recipe_reader *r, int64_t n, size_t size, void *out) {
    WHET_TRY(whet_i_arena_alloc(r->ctx, &r->recipe->arena, n, size, out));
    void *made;
    memcpy(&made, out, sizeof made);
    memset(made, 0, (size_t)n * size);
    return WHET_OK;
}

whet_status whet_i_node_count_items(whet_i_recipe_reader *r, const yaml_node_t *node, int64_t n) {
    r->items += n;
    if (r->items <= WHET_I_RECIPE_ITEMS_MAX) return WHET_OK;
    return WHET_I_NODE_FAIL(r, node, WHET_ERR_LIMIT,
                            "more than %d items; expected a smaller recipe",
                            WHET_I_RECIPE_ITEMS_MAX);
}

/* ---- values ----------------------------------------------------------------------------------- */

whet_status whet_i_node_text(const whet_i_recipe_reader *r, const yaml_node_t *node,
                             const char *what, const char **out) {
    WHET_TRY(whet_i_node_expect(r, node, YAML_SCALAR_NODE, what));
    const whet_str text = whet_i_node_str(node);
    if (text.len == 0 || memchr(text.ptr, '\0', (size_t)text.len))
        return WHET_I_NODE_FAIL(r, node, WHET_ERR_FORMAT, "\"%s\" is empty; expected text", what);
    return whet_i_recipe_text(r->ctx, r->recipe, text, out);
}

bool whet_i_node_truth(whet_str text, double *out) {
    static const char *const yes[] = {"true", "True", "TRUE", "yes", "on"};
    static const char *const no[] = {"false", "False", "FALSE", "no", "off"};
    for (int64_t i = 0; i < WHET_COUNT_OF(yes); i++) {
        const bool is = whet_str_equal(text, whet_str_from(yes[i]));
        if (!is && !whet_str_equal(text, whet_str_from(no[i]))) continue;
        *out = is ? 1 : 0;
        return true;
    }
    return false;
}

whet_status whet_i_node_model(const whet_i_recipe_reader *r, yaml_node_t *node, int depth,
                              const char **model, const char **lora) {
    static const char *const keys[] = {"model", "lora", "path", "revision"};
    yaml_node_t *values[4];
    if (node->type == YAML_MAPPING_NODE) {
        const char *ignored = NULL;
        WHET_TRY(whet_i_node_members(r, node, "model", keys, 4, values));
        if (depth > 3 || !values[0] == !values[2])
            return WHET_I_NODE_FAIL(r, node, WHET_ERR_FORMAT,
                                    "a model has %s; expected either \"model\" or \"path\"",
                                    values[0] ? "both" : "neither");
        if (values[3])
            return WHET_I_NODE_FAIL(
                r, values[3], WHET_ERR_UNSUPPORTED,
                "\"revision\" is of models on a server; expected a folder on this machine");
        if (values[1]) WHET_TRY(whet_i_node_model(r, values[1], depth + 1, lora, &ignored));
        return whet_i_node_model(r, values[0] ? values[0] : values[2], depth + 1, model,
                                 values[1] ? &ignored : lora);
    }
    WHET_TRY(whet_i_node_text(r, node, "model", model));
    const char *plus = strrchr(*model, '+');
    if (!plus || plus == *model || !plus[1]) return WHET_OK;
    *lora = plus + 1;
    return whet_i_recipe_text(r->ctx, r->recipe, (whet_str){*model, plus - *model}, model);
}
