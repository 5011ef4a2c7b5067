/* SPDX-License-Identifier: Apache-2.0
 * Recipes in mergekit's YAML, read by libyaml into its tree of nodes and checked key by key: what is
 * unknown is refused with its line and the nearest name, so that a slip of the pen is no silent default.
 * Aliases are nodes met again, never copies; depth and size are limited. */
#include <math.h>

#include "merge/recipe_nodes.h"

enum { DEPTH = 64 };

/* ---- values ----------------------------------------------------------------------------------- */

static whet_status read_number(const whet_i_recipe_reader *r, const yaml_node_t *node,
                               whet_i_setting setting, double *out) {
    const whet_i_setting_kind *kind = whet_i_setting_kind_of(setting);
    char quoted[WHET_QUOTE_SIZE];
    WHET_TRY(whet_i_node_expect(r, node, YAML_SCALAR_NODE, kind->name));
    const whet_str text = whet_i_node_str(node);
    double value;
    if (!(kind->truth && whet_i_node_truth(text, &value)) && !whet_i_parse_real(text, &value))
        return WHET_I_NODE_FAIL(r, node, WHET_ERR_FORMAT, "\"%s\" is %s; expected %s", kind->name,
                                whet_i_quote(quoted, text),
                                kind->truth ? "true or false" : "a number");
    if (!(value >= kind->low && value <= kind->high))
        return WHET_I_NODE_FAIL(r, node, WHET_ERR_FORMAT, "\"%s\" is %g; expected %g to %g",
                                kind->name, value, kind->low, kind->high);
    *out = value;
    return WHET_OK;
}

/* A number, or a list of them. */
static whet_status read_points(whet_i_recipe_reader *r, yaml_node_t *node, whet_i_setting setting,
                               whet_i_recipe_value *out) {
    out->n = node->type == YAML_SEQUENCE_NODE ? whet_i_node_length(node) : 1;
    if (out->n == 0)
        return WHET_I_NODE_FAIL(r, node, WHET_ERR_FORMAT,
                                "\"%s\" is an empty list; expected numbers",
                                whet_i_setting_kind_of(setting)->name);
    WHET_TRY(whet_i_node_count_items(r, node, out->n));
    WHET_TRY(WHET_I_NODE_MAKE(r, out->n, &out->points));
    if (node->type != YAML_SEQUENCE_NODE) return read_number(r, node, setting, out->points);
    for (int64_t i = 0; i < out->n; i++)
        WHET_TRY(read_number(r, whet_i_node_item(r, node, i), setting, &out->points[i]));
    return WHET_OK;
}

/* A number, a list of numbers, {filter, value}, or a list of such. */
static whet_status read_setting(whet_i_recipe_reader *r, yaml_node_t *node,
                                whet_i_recipe_setting *out) {
    static const char *const keys[] = {"value", "filter"};
    const char *name = whet_i_setting_kind_of(out->setting)->name;
    const bool listed = node->type == YAML_SEQUENCE_NODE && whet_i_node_length(node) > 0 &&
                        whet_i_node_item(r, node, 0)->type == YAML_MAPPING_NODE;
    out->n = listed ? whet_i_node_length(node) : 1;
    WHET_TRY(whet_i_node_count_items(r, node, out->n));
    WHET_TRY(WHET_I_NODE_MAKE(r, out->n, &out->values));
    if (!listed && node->type != YAML_MAPPING_NODE)
        return read_points(r, node, out->setting, out->values);
    for (int64_t i = 0; i < out->n; i++) {
        yaml_node_t *item = listed ? whet_i_node_item(r, node, i) : node, *values[2];
        WHET_TRY(whet_i_node_members(r, item, name, keys, 2, values));
        if (!values[0])
            return WHET_I_NODE_FAIL(r, item, WHET_ERR_FORMAT,
                                    "\"%s\" has no \"value\"; expected one", name);
        if (values[1]) WHET_TRY(whet_i_node_text(r, values[1], "filter", &out->values[i].filter));
        WHET_TRY(read_points(r, values[0], out->setting, &out->values[i]));
    }
    return WHET_OK;
}

/* Behind those that are there, which go before them. */
static whet_status read_settings(whet_i_recipe_reader *r, yaml_node_t *node, bool of_model,
                                 whet_i_recipe_settings *out) {
    const int64_t before = out->n;
    whet_i_recipe_setting *items;
    if (!node) return WHET_OK;
    WHET_TRY(whet_i_node_expect(r, node, YAML_MAPPING_NODE, "parameters"));
    WHET_TRY(whet_i_node_count_items(r, node, before + whet_i_node_length(node)));
    WHET_TRY(WHET_I_NODE_MAKE(r, before + whet_i_node_length(node), &items));
    if (before) memcpy(items, out->items, (size_t)before * sizeof *items);
    out->items = items;
    for (int64_t i = 0; i < whet_i_node_length(node); i++) {
        const yaml_node_pair_t pair = node->data.mapping.pairs.start[i];
        const yaml_node_t *key = yaml_document_get_node(r->document, pair.key);
        WHET_TRY(whet_i_node_expect(r, key, YAML_SCALAR_NODE, "key"));
        const int32_t setting = whet_i_setting_find(whet_i_node_str(key));
        if (setting < 0)
            return whet_i_node_fail_at(
                r, key, whet_i_merge_unknown_setting(r->ctx, NULL, whet_i_node_str(key)));
        if (of_model && !whet_i_setting_kind_of((whet_i_setting)setting)->per_model) {
            whet_i_log(r->ctx, WHET_LOG_WARN,
                       "%s:%zu: \"%s\" is of all models at once, and is passed over here; expected "
                       "it in the \"parameters\" of the slice or the recipe",
                       r->where, key->start_mark.line + 1,
                       whet_i_setting_kind_of((whet_i_setting)setting)->name);
            continue; /* as mergekit does */
        }
        for (int64_t k = before; k < out->n; k++)
            if (out->items[k].setting == (whet_i_setting)setting)
                return WHET_I_NODE_FAIL(r, key, WHET_ERR_FORMAT, "\"%s\" again; expected it once",
                                        whet_i_setting_kind_of((whet_i_setting)setting)->name);
        out->items[out->n].setting = (whet_i_setting)setting;
        WHET_TRY(
            read_setting(r, yaml_document_get_node(r->document, pair.value), &out->items[out->n]));
        out->n++;
    }
    return WHET_OK;
}

/* ---- models ----------------------------------------------------------------------------------- */

static whet_status read_range(const whet_i_recipe_reader *r, const yaml_node_t *node,
                              whet_i_recipe_source *out) {
    int64_t range[2];
    WHET_TRY(whet_i_node_expect(r, node, YAML_SEQUENCE_NODE, "layer_range"));
    bool good = whet_i_node_length(node) == 2;
    for (int64_t i = 0; good && i < 2; i++) {
        const yaml_node_t *item = whet_i_node_item(r, node, i);
        good = item->type == YAML_SCALAR_NODE && whet_i_parse_int(whet_i_node_str(item), &range[i]);
    }
    if (!good)
        return WHET_I_NODE_FAIL(r, node, WHET_ERR_FORMAT,
                                "\"layer_range\" is no pair of whole numbers; expected the first "
                                "layer and the one behind the last");
    if (range[0] < 0 || range[1] <= range[0] || range[1] > INT32_MAX)
        return WHET_I_NODE_FAIL(
            r, node, WHET_ERR_FORMAT,
            "\"layer_range\" is %lld to %lld; expected the first layer, from 0, "
            "and the one behind the last",
            (long long)range[0], (long long)range[1]);
    out->first = range[0];
    out->last = range[1];
    return WHET_OK;
}

static whet_status read_source(whet_i_recipe_reader *r, yaml_node_t *node, bool ranged,
                               whet_i_recipe_source *out) {
    static const char *const keys[] = {"model", "parameters", "importance", "layer_range"};
    yaml_node_t *values[4];
    WHET_TRY(
        whet_i_node_members(r, node, ranged ? "a source" : "models", keys, ranged ? 4 : 3, values));
    if (!values[0])
        return WHET_I_NODE_FAIL(r, node, WHET_ERR_FORMAT,
                                "no \"model\"; expected a folder or file");
    WHET_TRY(whet_i_node_model(r, values[0], 0, &out->model, &out->lora));
    out->first = -1;
    if (ranged && !values[3])
        return WHET_I_NODE_FAIL(r, node, WHET_ERR_FORMAT,
                                "no \"layer_range\"; expected the layers to take");
    if (ranged) WHET_TRY(read_range(r, values[3], out));
    if (values[2]) WHET_TRY(whet_i_node_text(r, values[2], "importance", &out->importance));
    return read_settings(r, values[1], true, &out->settings);
}

static whet_status read_sources(whet_i_recipe_reader *r, yaml_node_t *node, const char *what,
                                bool ranged, whet_i_recipe_slice *out) {
    WHET_TRY(whet_i_node_expect(r, node, YAML_SEQUENCE_NODE, what));
    const int64_t n = whet_i_node_length(node);
    if (n < 1 || n > WHET_MERGE_MODELS_MAX)
        return WHET_I_NODE_FAIL(r, node, n < 1 ? WHET_ERR_FORMAT : WHET_ERR_LIMIT,
                                "\"%s\" has %lld items; expected 1 to %d", what, (long long)n,
                                WHET_MERGE_MODELS_MAX);
    WHET_TRY(whet_i_node_count_items(r, node, n));
    WHET_TRY(WHET_I_NODE_MAKE(r, n, &out->sources));
    for (out->n = 0; out->n < n; out->n++)
        WHET_TRY(read_source(r, whet_i_node_item(r, node, out->n), ranged, &out->sources[out->n]));
    for (int64_t i = 1; ranged && i < n; i++)
        if (out->sources[i].last - out->sources[i].first !=
            out->sources[0].last - out->sources[0].first)
            return WHET_I_NODE_FAIL(
                r, node, WHET_ERR_FORMAT,
                "sources of one slice have %lld and %lld layers; expected as many",
                (long long)(out->sources[0].last - out->sources[0].first),
                (long long)(out->sources[i].last - out->sources[i].first));
    return WHET_OK;
}

static whet_status read_slices(whet_i_recipe_reader *r, yaml_node_t *node) {
    static const char *const keys[] = {"sources", "parameters"};
    whet_i_recipe *recipe = r->recipe;
    WHET_TRY(whet_i_node_expect(r, node, YAML_SEQUENCE_NODE, "slices"));
    const int64_t n = whet_i_node_length(node);
    if (n < 1)
        return WHET_I_NODE_FAIL(r, node, WHET_ERR_FORMAT, "\"slices\" is empty; expected some");
    WHET_TRY(whet_i_node_count_items(r, node, n));
    WHET_TRY(WHET_I_NODE_MAKE(r, n, &recipe->slices));
    recipe->stacked = true;
    for (recipe->n = 0; recipe->n < n; recipe->n++) {
        yaml_node_t *item = whet_i_node_item(r, node, recipe->n), *values[2];
        whet_i_recipe_slice *slice = &recipe->slices[recipe->n];
        WHET_TRY(whet_i_node_members(r, item, "a slice", keys, 2, values));
        if (!values[0])
            return WHET_I_NODE_FAIL(r, item, WHET_ERR_FORMAT,
                                    "no \"sources\"; expected those of the slice");
        WHET_TRY(read_sources(r, values[0], "sources", true, slice));
        WHET_TRY(read_settings(r, values[1], false, &slice->settings));
    }
    return WHET_OK;
}

static whet_status read_models(whet_i_recipe_reader *r, yaml_node_t *node) {
    WHET_TRY(WHET_I_NODE_MAKE(r, 1, &r->recipe->slices));
    r->recipe->n = 1;
    return read_sources(r, node, "models", false, r->recipe->slices);
}

/* One module, whatever its name: it stands for the whole model. */
static whet_status read_modules(whet_i_recipe_reader *r, yaml_node_t *node) {
    static const char *const keys[] = {"models", "slices", "parameters"};
    yaml_node_t *values[3];
    WHET_TRY(whet_i_node_expect(r, node, YAML_MAPPING_NODE, "modules"));
    if (whet_i_node_length(node) != 1)
        return WHET_I_NODE_FAIL(r, node, WHET_ERR_UNSUPPORTED,
                                "%lld modules; expected one; try a recipe for each",
                                (long long)whet_i_node_length(node));
    yaml_node_t *module =
        yaml_document_get_node(r->document, node->data.mapping.pairs.start->value);
    WHET_TRY(whet_i_node_members(r, module, "a module", keys, 3, values));
    if (!values[0] == !values[1])
        return WHET_I_NODE_FAIL(r, module, WHET_ERR_FORMAT,
                                "a module has %s; expected either \"models\" or \"slices\"",
                                values[0] ? "both" : "neither");
    WHET_TRY(values[0] ? read_models(r, values[0]) : read_slices(r, values[1]));
    return read_settings(r, values[2], false, &r->recipe->settings);
}

/* ---- the whole -------------------------------------------------------------------------------- */

static whet_status read_dtype(const whet_i_recipe_reader *r, const yaml_node_t *node,
                              const char *what, bool *given, whet_dtype *out) {
    char quoted[WHET_QUOTE_SIZE];
    if (!node) return WHET_OK;
    WHET_TRY(whet_i_node_expect(r, node, YAML_SCALAR_NODE, what));
    *given = whet_i_recipe_dtype(whet_i_node_str(node), out);
    if (*given) return WHET_OK;
    return WHET_I_NODE_FAIL(r, node, WHET_ERR_FORMAT,
                            "\"%s\" is %s; expected float32, float16 or bfloat16", what,
                            whet_i_quote(quoted, whet_i_node_str(node)));
}

static whet_status read_template(const whet_i_recipe_reader *r, const yaml_node_t *node) {
    const char *text;
    char quoted[WHET_QUOTE_SIZE];
    WHET_TRY(whet_i_node_text(r, node, "chat_template", &text));
    r->recipe->chat_template = whet_i_chat_template(text);
    if (r->recipe->chat_template) return WHET_OK;
    return WHET_I_NODE_FAIL(
        r, node, WHET_ERR_FORMAT,
        "\"chat_template\" is %s; expected auto, alpaca, chatml, exaone, llama3, "
        "mistral, or a template in Jinja",
        whet_i_quote(quoted, whet_str_from(text)));
}

enum {
    MODELS,
    SLICES,
    MODULES,
    METHOD,
    BASE,
    PARAMETERS,
    DTYPE,
    OUT_DTYPE,
    TOKENIZER,
    LEGACY,
    CHAT,
    NAME,
    KEYS
};
static const char *const top_keys[KEYS] = {
    "models", "slices",    "modules",   "merge_method",     "base_model",    "parameters",
    "dtype",  "out_dtype", "tokenizer", "tokenizer_source", "chat_template", "name"};

static whet_status read_recipe(whet_i_recipe_reader *r, yaml_node_t *root) {
    whet_i_recipe *recipe = r->recipe;
    yaml_node_t *v[KEYS];
    WHET_TRY(whet_i_node_members(r, root, "the recipe", top_keys, KEYS, v));
    if (!v[METHOD])
        return WHET_I_NODE_FAIL(r, root, WHET_ERR_FORMAT, "no \"merge_method\"; expected one");
    WHET_TRY(whet_i_node_expect(r, v[METHOD], YAML_SCALAR_NODE, "merge_method"));
    const whet_status found =
        whet_i_merge_find(r->ctx, whet_i_node_str(v[METHOD]), &recipe->method);
    if (found != WHET_OK) return whet_i_node_fail_at(r, v[METHOD], found);
    const int given = !!v[MODELS] + !!v[SLICES] + !!v[MODULES];
    if (given != 1)
        return WHET_I_NODE_FAIL(
            r, root, WHET_ERR_FORMAT,
            "%s of \"models\", \"slices\" and \"modules\"; expected exactly one",
            given ? "several" : "none");
    if (v[BASE]) WHET_TRY(whet_i_node_model(r, v[BASE], 0, &recipe->base, &recipe->base_lora));
    if (v[MODELS]) WHET_TRY(read_models(r, v[MODELS]));
    if (v[SLICES]) WHET_TRY(read_slices(r, v[SLICES]));
    if (v[MODULES]) WHET_TRY(read_modules(r, v[MODULES]));
    WHET_TRY(read_settings(r, v[PARAMETERS], false, &recipe->settings));
    WHET_TRY(read_dtype(r, v[DTYPE], "dtype", &recipe->dtype_given, &recipe->dtype));
    WHET_TRY(
        read_dtype(r, v[OUT_DTYPE], "out_dtype", &recipe->out_dtype_given, &recipe->out_dtype));
    WHET_TRY(whet_i_recipe_read_tokenizer(r, v[TOKENIZER], v[LEGACY]));
    return v[CHAT] ? read_template(r, v[CHAT]) : WHET_OK;
}

/* A node that is its own descendant would never end. */
static whet_status check_depth(const whet_i_recipe_reader *r, const yaml_node_t *node, int depth,
                               int64_t *seen) {
    if (depth > DEPTH || ++*seen > WHET_I_RECIPE_ITEMS_MAX)
        return WHET_I_NODE_FAIL(
            r, node, WHET_ERR_LIMIT,
            "nested deeper than %d, or more than %d values; expected a plain recipe", DEPTH,
            WHET_I_RECIPE_ITEMS_MAX);
    if (node->type == YAML_SCALAR_NODE) return WHET_OK;
    for (int64_t i = 0; i < whet_i_node_length(node); i++) {
        if (node->type == YAML_SEQUENCE_NODE) {
            WHET_TRY(check_depth(r, whet_i_node_item(r, node, i), depth + 1, seen));
            continue;
        }
        const yaml_node_pair_t pair = node->data.mapping.pairs.start[i];
        WHET_TRY(check_depth(r, yaml_document_get_node(r->document, pair.key), depth + 1, seen));
        WHET_TRY(check_depth(r, yaml_document_get_node(r->document, pair.value), depth + 1, seen));
    }
    return WHET_OK;
}

static whet_status tell_parser(whet_ctx *ctx, const char *where, const yaml_parser_t *parser) {
    if (parser->error == YAML_MEMORY_ERROR)
        return whet_i_fail(ctx, WHET_ERR_NOMEM, "%s: out of memory in the YAML parser", where);
    return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s:%zu:%zu: %s; expected YAML", where,
                       parser->problem_mark.line + 1, parser->problem_mark.column + 1,
                       parser->problem ? parser->problem : "malformed");
}

whet_status whet_i_recipe_parse(whet_ctx *ctx, const char *where, const char *bytes, int64_t len,
                                whet_i_recipe *out) {
    yaml_parser_t parser;
    yaml_document_t document, next;
    whet_i_recipe_reader r = {.ctx = ctx, .where = where, .document = &document, .recipe = out};
    int64_t seen = 0;
    if (!yaml_parser_initialize(&parser))
        return whet_i_fail(ctx, WHET_ERR_NOMEM, "%s: out of memory in the YAML parser", where);
    yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, (size_t)len);
    if (!yaml_parser_load(&parser, &document)) {
        const whet_status failed = tell_parser(ctx, where, &parser);
        yaml_parser_delete(&parser);
        return failed;
    }
    yaml_node_t *root = yaml_document_get_root_node(&document);
    whet_status status;
    if (root)
        status = check_depth(&r, root, 0, &seen);
    else
        status =
            whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: no YAML document; expected a recipe", where);
    if (status == WHET_OK) status = read_recipe(&r, root);
    if (status == WHET_OK && yaml_parser_load(&parser, &next)) {
        if (yaml_document_get_root_node(&next))
            status = whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                                 "%s: several documents; expected one recipe a file", where);
        yaml_document_delete(&next);
    } else if (status == WHET_OK) {
        status = tell_parser(ctx, where, &parser);
    }
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    return status;
}
