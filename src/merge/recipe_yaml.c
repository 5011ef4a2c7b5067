/* SPDX-License-Identifier: Apache-2.0
 * Recipes in mergekit's YAML, read by libyaml into its tree of nodes and checked key by key: what is
 * unknown is refused with its line and the nearest name, so that a slip of the pen is no silent default.
 * Aliases are nodes met again, never copies; depth and size are limited. */
#include <math.h>
#include <yaml.h>

#include "merge/recipe.h"

enum { DEPTH = 64, ITEMS_MAX = 100000 };

typedef struct reader {
    whet_ctx *ctx;
    const char *where;
    yaml_document_t *document;
    whet_i_recipe *recipe;
    int64_t items; /* made so far */
} reader;

/* ---- nodes ------------------------------------------------------------------------------------ */

static whet_str text_of(const yaml_node_t *node) {
    return (whet_str){(const char *)node->data.scalar.value, (int64_t)node->data.scalar.length};
}

static const char *kind_of(const yaml_node_t *node) {
    return node->type == YAML_SCALAR_NODE     ? "a value"
           : node->type == YAML_SEQUENCE_NODE ? "a list"
           : node->type == YAML_MAPPING_NODE  ? "a mapping"
                                              : "nothing";
}

#define FAIL(r, node, status, ...) \
    fail_at_((r), (node), whet_i_fail((r)->ctx, (status), __VA_ARGS__))
static whet_status fail_at_(const reader *r, const yaml_node_t *node, whet_status status) {
    return whet_i_fail_at(r->ctx, status, "%s:%zu", r->where, node->start_mark.line + 1);
}

static bool is_null(const yaml_node_t *node) {
    static const char *const names[] = {"", "~", "null", "Null", "NULL"};
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (int64_t i = 0; i < WHET_COUNT_OF(names); i++)
        if (whet_str_equal(text_of(node), whet_str_from(names[i]))) return true;
    return false;
}

static whet_status expect(const reader *r, const yaml_node_t *node, yaml_node_type_t type,
                          const char *what) {
    if (node->type == type) return WHET_OK;
    return FAIL(r, node, WHET_ERR_FORMAT, "\"%s\" is %s; expected %s", what, kind_of(node),
                type == YAML_SCALAR_NODE     ? "a value"
                : type == YAML_SEQUENCE_NODE ? "a list"
                                             : "a mapping");
}

static int64_t length_of(const yaml_node_t *node) {
    return node->type == YAML_SEQUENCE_NODE
               ? node->data.sequence.items.top - node->data.sequence.items.start
               : node->data.mapping.pairs.top - node->data.mapping.pairs.start;
}

static yaml_node_t *item_of(const reader *r, const yaml_node_t *list, int64_t i) {
    return yaml_document_get_node(r->document, list->data.sequence.items.start[i]);
}

/* Finds the values of `keys` [n] in a mapping, NULL where absent; other keys are refused. */
static whet_status members(const reader *r, yaml_node_t *node, const char *what,
                           const char *const *keys, int64_t n, yaml_node_t **values) {
    WHET_TRY(expect(r, node, YAML_MAPPING_NODE, what));
    for (int64_t k = 0; k < n; k++) values[k] = NULL;
    for (int64_t i = 0; i < length_of(node); i++) {
        const yaml_node_pair_t pair = node->data.mapping.pairs.start[i];
        yaml_node_t *key = yaml_document_get_node(r->document, pair.key);
        char quoted[WHET_QUOTE_SIZE];
        WHET_TRY(expect(r, key, YAML_SCALAR_NODE, "key"));
        int64_t at = 0;
        while (at < n && !whet_str_equal(text_of(key), whet_str_from(keys[at]))) at++;
        if (at < n && values[at])
            return FAIL(r, key, WHET_ERR_FORMAT, "\"%s\" again; expected it once", keys[at]);
        if (at < n) {
            values[at] = yaml_document_get_node(r->document, pair.value);
            continue;
        }
        whet_names *names = NULL;
        whet_status status = whet_names_create(r->ctx, &names);
        for (int64_t k = 0; status == WHET_OK && k < n; k++)
            status = whet_names_add(r->ctx, names, whet_str_from(keys[k]), NULL);
        const int64_t near = status == WHET_OK ? whet_i_nearest_name(names, text_of(key)) : -1;
        whet_names_destroy(r->ctx, names);
        WHET_TRY(status);
        return FAIL(r, key, WHET_ERR_FORMAT, "key %s is unknown in %s; expected \"%s\"%s",
                    whet_i_quote(quoted, text_of(key)), what, near < 0 ? keys[0] : keys[near],
                    near < 0 ? " and others (see docs/guide/merge.md)" : "");
    }
    for (int64_t k = 0; k < n; k++)
        if (values[k] && is_null(values[k])) values[k] = NULL;
    return WHET_OK;
}

static whet_status make_(const reader *r, int64_t n, size_t size, void *out) {
    WHET_TRY(whet_i_arena_alloc(r->ctx, &r->recipe->arena, n, size, out));
    void *made;
    memcpy(&made, out, sizeof made);
    memset(made, 0, (size_t)n * size);
    return WHET_OK;
}
#define MAKE(r, n, out) make_((r), (n), sizeof **(out), (void *)(out))

static whet_status count_items(reader *r, const yaml_node_t *node, int64_t n) {
    r->items += n;
    if (r->items <= ITEMS_MAX) return WHET_OK;
    return FAIL(r, node, WHET_ERR_LIMIT, "more than %d items; expected a smaller recipe",
                ITEMS_MAX);
}

/* ---- values ----------------------------------------------------------------------------------- */

static whet_status read_text(const reader *r, const yaml_node_t *node, const char *what,
                             const char **out) {
    WHET_TRY(expect(r, node, YAML_SCALAR_NODE, what));
    const whet_str text = text_of(node);
    if (text.len == 0 || memchr(text.ptr, '\0', (size_t)text.len))
        return FAIL(r, node, WHET_ERR_FORMAT, "\"%s\" is empty; expected text", what);
    return whet_i_recipe_text(r->ctx, r->recipe, text, out);
}

static bool truth_of(whet_str text, double *out) {
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

static whet_status read_number(const reader *r, const yaml_node_t *node, whet_i_setting setting,
                               double *out) {
    const whet_i_setting_kind *kind = whet_i_setting_kind_of(setting);
    char quoted[WHET_QUOTE_SIZE];
    WHET_TRY(expect(r, node, YAML_SCALAR_NODE, kind->name));
    const whet_str text = text_of(node);
    double value;
    if (!(kind->truth && truth_of(text, &value)) && !whet_i_parse_real(text, &value))
        return FAIL(r, node, WHET_ERR_FORMAT, "\"%s\" is %s; expected %s", kind->name,
                    whet_i_quote(quoted, text), kind->truth ? "true or false" : "a number");
    if (!(value >= kind->low && value <= kind->high))
        return FAIL(r, node, WHET_ERR_FORMAT, "\"%s\" is %g; expected %g to %g", kind->name, value,
                    kind->low, kind->high);
    *out = value;
    return WHET_OK;
}

/* A number, or a list of them. */
static whet_status read_points(reader *r, yaml_node_t *node, whet_i_setting setting,
                               whet_i_recipe_value *out) {
    out->n = node->type == YAML_SEQUENCE_NODE ? length_of(node) : 1;
    if (out->n == 0)
        return FAIL(r, node, WHET_ERR_FORMAT, "\"%s\" is an empty list; expected numbers",
                    whet_i_setting_kind_of(setting)->name);
    WHET_TRY(count_items(r, node, out->n));
    WHET_TRY(MAKE(r, out->n, &out->points));
    if (node->type != YAML_SEQUENCE_NODE) return read_number(r, node, setting, out->points);
    for (int64_t i = 0; i < out->n; i++)
        WHET_TRY(read_number(r, item_of(r, node, i), setting, &out->points[i]));
    return WHET_OK;
}

/* A number, a list of numbers, {filter, value}, or a list of such. */
static whet_status read_setting(reader *r, yaml_node_t *node, whet_i_recipe_setting *out) {
    static const char *const keys[] = {"value", "filter"};
    const char *name = whet_i_setting_kind_of(out->setting)->name;
    const bool listed = node->type == YAML_SEQUENCE_NODE && length_of(node) > 0 &&
                        item_of(r, node, 0)->type == YAML_MAPPING_NODE;
    out->n = listed ? length_of(node) : 1;
    WHET_TRY(count_items(r, node, out->n));
    WHET_TRY(MAKE(r, out->n, &out->values));
    if (!listed && node->type != YAML_MAPPING_NODE)
        return read_points(r, node, out->setting, out->values);
    for (int64_t i = 0; i < out->n; i++) {
        yaml_node_t *item = listed ? item_of(r, node, i) : node, *values[2];
        WHET_TRY(members(r, item, name, keys, 2, values));
        if (!values[0])
            return FAIL(r, item, WHET_ERR_FORMAT, "\"%s\" has no \"value\"; expected one", name);
        if (values[1]) WHET_TRY(read_text(r, values[1], "filter", &out->values[i].filter));
        WHET_TRY(read_points(r, values[0], out->setting, &out->values[i]));
    }
    return WHET_OK;
}

static whet_status read_settings(reader *r, yaml_node_t *node, whet_i_recipe_settings *out) {
    if (!node) return WHET_OK;
    WHET_TRY(expect(r, node, YAML_MAPPING_NODE, "parameters"));
    WHET_TRY(count_items(r, node, length_of(node)));
    WHET_TRY(MAKE(r, length_of(node), &out->items));
    for (int64_t i = 0; i < length_of(node); i++) {
        const yaml_node_pair_t pair = node->data.mapping.pairs.start[i];
        const yaml_node_t *key = yaml_document_get_node(r->document, pair.key);
        WHET_TRY(expect(r, key, YAML_SCALAR_NODE, "key"));
        const int32_t setting = whet_i_setting_find(text_of(key));
        if (setting < 0)
            return fail_at_(r, key, whet_i_merge_unknown_setting(r->ctx, NULL, text_of(key)));
        for (int64_t k = 0; k < out->n; k++)
            if (out->items[k].setting == (whet_i_setting)setting)
                return FAIL(r, key, WHET_ERR_FORMAT, "\"%s\" again; expected it once",
                            whet_i_setting_kind_of((whet_i_setting)setting)->name);
        out->items[out->n].setting = (whet_i_setting)setting;
        WHET_TRY(
            read_setting(r, yaml_document_get_node(r->document, pair.value), &out->items[out->n]));
        out->n++;
    }
    return WHET_OK;
}

/* ---- models ----------------------------------------------------------------------------------- */

/* "path", "path+lora", or {model: {model: {path, revision}, lora: {path}}} as mergekit writes it out. */
static whet_status read_model(const reader *r, yaml_node_t *node, int depth, const char **model,
                              const char **lora) {
    static const char *const keys[] = {"model", "lora", "path", "revision"};
    yaml_node_t *values[4];
    if (node->type == YAML_MAPPING_NODE) {
        const char *ignored = NULL;
        WHET_TRY(members(r, node, "model", keys, 4, values));
        if (depth > 3 || !values[0] == !values[2])
            return FAIL(r, node, WHET_ERR_FORMAT,
                        "a model has %s; expected either \"model\" or \"path\"",
                        values[0] ? "both" : "neither");
        if (values[3])
            return FAIL(r, values[3], WHET_ERR_UNSUPPORTED,
                        "\"revision\" is of models on a server; expected a folder on this machine");
        if (values[1]) WHET_TRY(read_model(r, values[1], depth + 1, lora, &ignored));
        return read_model(r, values[0] ? values[0] : values[2], depth + 1, model,
                          values[1] ? &ignored : lora);
    }
    WHET_TRY(read_text(r, node, "model", model));
    const char *plus = strrchr(*model, '+');
    if (!plus || plus == *model || !plus[1]) return WHET_OK;
    *lora = plus + 1;
    return whet_i_recipe_text(r->ctx, r->recipe, (whet_str){*model, plus - *model}, model);
}

static whet_status read_range(const reader *r, const yaml_node_t *node, whet_i_recipe_source *out) {
    int64_t range[2];
    WHET_TRY(expect(r, node, YAML_SEQUENCE_NODE, "layer_range"));
    bool good = length_of(node) == 2;
    for (int64_t i = 0; good && i < 2; i++) {
        const yaml_node_t *item = item_of(r, node, i);
        good = item->type == YAML_SCALAR_NODE && whet_i_parse_int(text_of(item), &range[i]);
    }
    if (!good || range[0] < 0 || range[1] <= range[0] || range[1] > INT32_MAX)
        return FAIL(r, node, WHET_ERR_FORMAT,
                    "\"layer_range\" is none; expected two numbers, the first layer and the one "
                    "behind the last");
    out->first = range[0];
    out->last = range[1];
    return WHET_OK;
}

static whet_status read_source(reader *r, yaml_node_t *node, bool ranged,
                               whet_i_recipe_source *out) {
    static const char *const keys[] = {"model", "parameters", "importance", "layer_range"};
    yaml_node_t *values[4];
    WHET_TRY(members(r, node, ranged ? "a source" : "models", keys, ranged ? 4 : 3, values));
    if (!values[0])
        return FAIL(r, node, WHET_ERR_FORMAT, "no \"model\"; expected a folder or file");
    WHET_TRY(read_model(r, values[0], 0, &out->model, &out->lora));
    out->first = -1;
    if (ranged && !values[3])
        return FAIL(r, node, WHET_ERR_FORMAT, "no \"layer_range\"; expected the layers to take");
    if (ranged) WHET_TRY(read_range(r, values[3], out));
    if (values[2]) WHET_TRY(read_text(r, values[2], "importance", &out->importance));
    return read_settings(r, values[1], &out->settings);
}

static whet_status read_sources(reader *r, yaml_node_t *node, const char *what, bool ranged,
                                whet_i_recipe_slice *out) {
    WHET_TRY(expect(r, node, YAML_SEQUENCE_NODE, what));
    const int64_t n = length_of(node);
    if (n < 1 || n > WHET_MERGE_MODELS_MAX)
        return FAIL(r, node, WHET_ERR_LIMIT, "\"%s\" has %lld items; expected 1 to %d", what,
                    (long long)n, WHET_MERGE_MODELS_MAX);
    WHET_TRY(count_items(r, node, n));
    WHET_TRY(MAKE(r, n, &out->sources));
    for (out->n = 0; out->n < n; out->n++)
        WHET_TRY(read_source(r, item_of(r, node, out->n), ranged, &out->sources[out->n]));
    for (int64_t i = 1; ranged && i < n; i++)
        if (out->sources[i].last - out->sources[i].first !=
            out->sources[0].last - out->sources[0].first)
            return FAIL(r, node, WHET_ERR_FORMAT,
                        "sources of one slice have %lld and %lld layers; expected as many",
                        (long long)(out->sources[0].last - out->sources[0].first),
                        (long long)(out->sources[i].last - out->sources[i].first));
    return WHET_OK;
}

static whet_status read_slices(reader *r, yaml_node_t *node) {
    static const char *const keys[] = {"sources", "parameters"};
    whet_i_recipe *recipe = r->recipe;
    WHET_TRY(expect(r, node, YAML_SEQUENCE_NODE, "slices"));
    const int64_t n = length_of(node);
    if (n < 1) return FAIL(r, node, WHET_ERR_FORMAT, "\"slices\" is empty; expected some");
    WHET_TRY(count_items(r, node, n));
    WHET_TRY(MAKE(r, n, &recipe->slices));
    recipe->stacked = true;
    for (recipe->n = 0; recipe->n < n; recipe->n++) {
        yaml_node_t *item = item_of(r, node, recipe->n), *values[2];
        whet_i_recipe_slice *slice = &recipe->slices[recipe->n];
        WHET_TRY(members(r, item, "a slice", keys, 2, values));
        if (!values[0])
            return FAIL(r, item, WHET_ERR_FORMAT, "no \"sources\"; expected those of the slice");
        WHET_TRY(read_sources(r, values[0], "sources", true, slice));
        WHET_TRY(read_settings(r, values[1], &slice->settings));
    }
    return WHET_OK;
}

static whet_status read_models(reader *r, yaml_node_t *node) {
    WHET_TRY(MAKE(r, 1, &r->recipe->slices));
    r->recipe->n = 1;
    return read_sources(r, node, "models", false, r->recipe->slices);
}

/* One module, whatever its name: it stands for the whole model. */
static whet_status read_modules(reader *r, yaml_node_t *node) {
    static const char *const keys[] = {"models", "slices", "parameters"};
    yaml_node_t *values[3];
    WHET_TRY(expect(r, node, YAML_MAPPING_NODE, "modules"));
    if (length_of(node) != 1)
        return FAIL(r, node, WHET_ERR_UNSUPPORTED,
                    "%lld modules; expected one; try a recipe for each",
                    (long long)length_of(node));
    yaml_node_t *module =
        yaml_document_get_node(r->document, node->data.mapping.pairs.start->value);
    WHET_TRY(members(r, module, "a module", keys, 3, values));
    if (!values[0] == !values[1])
        return FAIL(r, module, WHET_ERR_FORMAT,
                    "a module has %s; expected either \"models\" or \"slices\"",
                    values[0] ? "both" : "neither");
    WHET_TRY(values[0] ? read_models(r, values[0]) : read_slices(r, values[1]));
    for (int64_t i = 0; values[2] && i < r->recipe->n; i++)
        if (r->recipe->slices[i].settings.n == 0)
            WHET_TRY(read_settings(r, values[2], &r->recipe->slices[i].settings));
    return WHET_OK;
}

/* ---- the whole -------------------------------------------------------------------------------- */

static whet_status read_dtype(const reader *r, const yaml_node_t *node, const char *what,
                              bool *given, whet_dtype *out) {
    char quoted[WHET_QUOTE_SIZE];
    if (!node) return WHET_OK;
    WHET_TRY(expect(r, node, YAML_SCALAR_NODE, what));
    *given = whet_i_recipe_dtype(text_of(node), out);
    if (*given) return WHET_OK;
    return FAIL(r, node, WHET_ERR_FORMAT, "\"%s\" is %s; expected float32, float16 or bfloat16",
                what, whet_i_quote(quoted, text_of(node)));
}

static whet_status read_token_source(const reader *r, const yaml_node_t *node) {
    whet_i_recipe *recipe = r->recipe;
    WHET_TRY(read_text(r, node, "tokenizer source", &recipe->tokens_path));
    recipe->tokens = strcmp(recipe->tokens_path, "union") == 0  ? WHET_I_TOKENS_UNION
                     : strcmp(recipe->tokens_path, "base") == 0 ? WHET_I_TOKENS_BASE
                                                                : WHET_I_TOKENS_PATH;
    return WHET_OK;
}

static whet_status read_tokenizer(const reader *r, yaml_node_t *node, const yaml_node_t *legacy) {
    static const char *const keys[] = {"source", "pad_to_multiple_of", "tokens"};
    yaml_node_t *values[3];
    if (node && legacy)
        return FAIL(r, legacy, WHET_ERR_FORMAT,
                    "both \"tokenizer\" and \"tokenizer_source\"; expected one of them");
    if (legacy) return read_token_source(r, legacy);
    if (!node) return WHET_OK;
    WHET_TRY(members(r, node, "tokenizer", keys, 3, values));
    if (values[2])
        return FAIL(r, values[2], WHET_ERR_UNSUPPORTED,
                    "\"tokens\" is not supported; expected none: each token's vector is merged "
                    "from the models that have it");
    if (values[1]) {
        int64_t pad;
        WHET_TRY(expect(r, values[1], YAML_SCALAR_NODE, "pad_to_multiple_of"));
        if (!whet_i_parse_int(text_of(values[1]), &pad) || pad < 1 || pad > 1 << 20)
            return FAIL(r, values[1], WHET_ERR_FORMAT,
                        "\"pad_to_multiple_of\" is none; expected 1 to %d", 1 << 20);
        r->recipe->pad_to_multiple_of = pad;
    }
    return values[0] ? read_token_source(r, values[0]) : WHET_OK;
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

static whet_status read_recipe(reader *r, yaml_node_t *root) {
    whet_i_recipe *recipe = r->recipe;
    yaml_node_t *v[KEYS];
    WHET_TRY(members(r, root, "the recipe", top_keys, KEYS, v));
    if (!v[METHOD]) return FAIL(r, root, WHET_ERR_FORMAT, "no \"merge_method\"; expected one");
    WHET_TRY(expect(r, v[METHOD], YAML_SCALAR_NODE, "merge_method"));
    const whet_status found = whet_i_merge_find(r->ctx, text_of(v[METHOD]), &recipe->method);
    if (found != WHET_OK) return fail_at_(r, v[METHOD], found);
    const int given = !!v[MODELS] + !!v[SLICES] + !!v[MODULES];
    if (given != 1)
        return FAIL(r, root, WHET_ERR_FORMAT,
                    "%s of \"models\", \"slices\" and \"modules\"; expected exactly one",
                    given ? "several" : "none");
    if (v[BASE]) WHET_TRY(read_model(r, v[BASE], 0, &recipe->base, &recipe->base_lora));
    if (v[MODELS]) WHET_TRY(read_models(r, v[MODELS]));
    if (v[SLICES]) WHET_TRY(read_slices(r, v[SLICES]));
    if (v[MODULES]) WHET_TRY(read_modules(r, v[MODULES]));
    WHET_TRY(read_settings(r, v[PARAMETERS], &recipe->settings));
    WHET_TRY(read_dtype(r, v[DTYPE], "dtype", &recipe->dtype_given, &recipe->dtype));
    WHET_TRY(
        read_dtype(r, v[OUT_DTYPE], "out_dtype", &recipe->out_dtype_given, &recipe->out_dtype));
    WHET_TRY(read_tokenizer(r, v[TOKENIZER], v[LEGACY]));
    return v[CHAT] ? read_text(r, v[CHAT], "chat_template", &recipe->chat_template) : WHET_OK;
}

/* A node that is its own descendant would never end. */
static whet_status check_depth(const reader *r, const yaml_node_t *node, int depth, int64_t *seen) {
    if (depth > DEPTH || ++*seen > ITEMS_MAX)
        return FAIL(r, node, WHET_ERR_LIMIT,
                    "nested deeper than %d, or more than %d values; expected a plain recipe", DEPTH,
                    ITEMS_MAX);
    if (node->type == YAML_SCALAR_NODE) return WHET_OK;
    for (int64_t i = 0; i < length_of(node); i++) {
        if (node->type == YAML_SEQUENCE_NODE) {
            WHET_TRY(check_depth(r, item_of(r, node, i), depth + 1, seen));
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
    reader r = {.ctx = ctx, .where = where, .document = &document, .recipe = out};
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
