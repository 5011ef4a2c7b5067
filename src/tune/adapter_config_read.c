/* SPDX-License-Identifier: Apache-2.0
 * adapter_config.json read; adapter_config_read.h says what is passed by and what is refused. */
#include "tune/adapter_config_read.h"

#include <stdio.h>

enum { RANK_MAX = 1 << 16, BLOCKS_MAX = 1 << 16, LAYERS_MAX = 1 << 20 };

/* ---- sets of modules -------------------------------------------------------------------------- */

static whet_status wrong(whet_ctx *ctx, const char *where, const char *key, const json_t *value,
                         const char *expected) {
    return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"%s\" has %s; expected %s", where, key,
                       whet_i_json_kind(value), expected);
}

static whet_str text_of(const json_t *value) {
    return (whet_str){json_string_value(value), (int64_t)json_string_length(value)};
}

/* Null, a list of names, "all-linear", or a pattern. */
static whet_status read_modules(whet_ctx *ctx, const char *where, const json_t *object,
                                const char *key, whet_i_adapter_config *config,
                                whet_i_modules *set) {
    const json_t *value = json_object_get(object, key), *item;
    size_t i;
    if (!value || json_is_null(value)) return WHET_OK;
    if (json_is_string(value)) {
        char place[128];
        set->all_linear = strcmp(json_string_value(value), "all-linear") == 0;
        if (set->all_linear) return WHET_OK;
        (void)snprintf(place, sizeof place, "%.80s: %s", where, key);
        return whet_i_modules_match(ctx, config, set, place, text_of(value));
    }
    if (!json_is_array(value)) return wrong(ctx, where, key, value, "a list of names, or a text");
    json_array_foreach(value, i, item) {
        if (!json_is_string(item)) return wrong(ctx, where, key, item, "names");
        WHET_TRY(whet_i_modules_add(ctx, config, set, text_of(item)));
    }
    return WHET_OK;
}

static whet_status read_layers(whet_ctx *ctx, const char *where, const json_t *object,
                               whet_i_adapter_config *config) {
    static const char key[] = "layers_to_transform";
    const json_t *value = json_object_get(object, key);
    /* layers_pattern says where a name has its number: those that the weights have are believed then. */
    if (!value || json_is_null(value) || whet_i_peft_says(object, "layers_pattern")) return WHET_OK;
    const bool list = json_is_array(value);
    const int64_t n = list ? (int64_t)json_array_size(value) : 1;
    if (n == 0) return WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, n, &config->layers));
    for (int64_t i = 0; i < n; i++) {
        const json_t *item = list ? json_array_get(value, (size_t)i) : value;
        const int64_t number = json_integer_value(item);
        if (!json_is_integer(item) || number < 0 || number > LAYERS_MAX)
            return wrong(ctx, where, key, item, "numbers of layers");
        config->layers[i] = number;
        config->n_layers++;
    }
    return WHET_OK;
}

static whet_status read_values(whet_ctx *ctx, const char *where, const json_t *object,
                               const char *key, double most, bool whole,
                               whet_i_adapter_config *config, whet_i_module_values *values) {
    json_t *map, *value;
    const char *name;
    WHET_TRY(whet_i_json_object_or_none(ctx, where, object, key, &map));
    json_object_foreach(map, name, value) {
        const double number = json_number_value(value);
        const char *expected =
            whole ? "whole numbers above 0, each in its range" : "numbers above 0";
        char place[128];
        if (json_is_number(value) && !(number > 0 && number <= most))
            return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"%s\" has %g; expected %s", where, key,
                               number, expected);
        if (!json_is_number(value) || (whole && !json_is_integer(value)))
            return wrong(ctx, where, key, value, expected);
        (void)snprintf(place, sizeof place, "%.80s: %s", where, key);
        WHET_TRY(whet_i_module_values_add(ctx, config, values, place, whet_str_from(name), number));
    }
    return WHET_OK;
}

/* ---- the kinds -------------------------------------------------------------------------------- */

/* PEFT has all three of LoRA; numbers it divides by must be above 0. */
static whet_status read_lora(whet_ctx *ctx, const char *where, const json_t *object,
                             whet_i_peft_config *out) {
    whet_i_adapter_config *c = &out->common;
    c->kind = WHET_I_ADAPTER_LORA;
    c->blocks = 1;
    WHET_TRY(whet_i_peft_alpha(ctx, where, object, "lora_alpha", 8, &c->alpha));
    WHET_TRY(whet_i_json_real_or(ctx, where, object, "lora_dropout", 0, &c->dropout));
    WHET_TRY(whet_i_json_bool_or(ctx, where, object, "use_rslora", false, &c->rank_stabilised));
    WHET_TRY(whet_i_json_bool_or(ctx, where, object, "use_dora", false, &out->dora));
    if (out->dora) c->kind = WHET_I_ADAPTER_DORA;
    WHET_TRY(read_values(ctx, where, object, "rank_pattern", RANK_MAX, true, c, &c->ranks));
    return read_values(ctx, where, object, "alpha_pattern", 1e30, false, c, &c->alphas);
}

static whet_status read_more(whet_ctx *ctx, const char *where, const json_t *object,
                             whet_i_peft_config *out) {
    whet_i_adapter_config *c = &out->common;
    c->kind = WHET_I_ADAPTER_MORE;
    WHET_TRY(whet_i_json_int_or(ctx, where, object, "nblocks", 1, BLOCKS_MAX, 4, &c->blocks));
    WHET_TRY(whet_i_json_real_or(ctx, where, object, "more_dropout", 0, &c->dropout));
    WHET_TRY(read_values(ctx, where, object, "rank_pattern", RANK_MAX, true, c, &c->ranks));
    return read_values(ctx, where, object, "nblocks_pattern", BLOCKS_MAX, true, c,
                       &c->block_counts);
}

static whet_status read_gralora(whet_ctx *ctx, const char *where, const json_t *object,
                                whet_i_peft_config *out) {
    whet_i_adapter_config *c = &out->common;
    c->kind = WHET_I_ADAPTER_LORA; /* which it becomes */
    c->blocks = 1;
    WHET_TRY(whet_i_peft_alpha(ctx, where, object, "alpha", 64, &c->alpha));
    WHET_TRY(
        whet_i_json_int_or(ctx, where, object, "gralora_k", 1, BLOCKS_MAX, 2, &out->gralora_k));
    WHET_TRY(whet_i_json_int_or(ctx, where, object, "hybrid_r", 0, RANK_MAX, 0, &out->hybrid));
    if (c->rank % out->gralora_k == 0) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_FORMAT,
                       "%s: \"r\" is %lld; expected a multiple of the %lld blocks of \"gralora_k\"",
                       where, (long long)c->rank, (long long)out->gralora_k);
}

/* Names of the tensors say all. */
static whet_status read_own(whet_ctx *ctx, const char *where, const json_t *object,
                            whet_i_peft_config *out) {
    (void)ctx;
    (void)where;
    (void)object;
    (void)out;
    return WHET_OK;
}

static const struct {
    const char *name;
    whet_i_peft_type type;
    int64_t rank; /* where the config does not say */
    whet_status (*read)(whet_ctx *ctx, const char *where, const json_t *object,
                        whet_i_peft_config *out);
} kinds[] = {
    {"LORA", WHET_I_PEFT_LORA, 8, read_lora},           {"MORE", WHET_I_PEFT_MORE, 4, read_more},
    {"GRALORA", WHET_I_PEFT_GRALORA, 32, read_gralora}, {"LN_TUNING", WHET_I_PEFT_OWN, 1, read_own},
    {"BITFIT", WHET_I_PEFT_OWN, 1, read_own},
};

whet_status whet_i_peft_config_read(whet_ctx *ctx, const char *where, json_t *object,
                                    whet_i_peft_config *out) {
    char quoted[WHET_QUOTE_SIZE];
    whet_i_adapter_config *c = &out->common;
    whet_str type;
    int64_t kind = 0;
    c->python = true;
    if (!json_is_object(object))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: the document is %s; expected an object",
                           where, whet_i_json_kind(object));
    WHET_TRY(whet_i_json_str(ctx, where, object, "peft_type", &type));
    while (kind < WHET_COUNT_OF(kinds) && !whet_str_equal(type, whet_str_from(kinds[kind].name)))
        kind++;
    if (kind == WHET_COUNT_OF(kinds))
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: \"peft_type\" is %s; expected LORA, MORE, GRALORA, LN_TUNING or "
                           "BITFIT",
                           where, whet_i_quote(quoted, type));
    out->type = kinds[kind].type;
    WHET_TRY(whet_i_peft_check(ctx, where, object));
    WHET_TRY(whet_i_peft_check_upright(ctx, where, object));
    WHET_TRY(whet_i_json_int_or(ctx, where, object, "r", 1, RANK_MAX, kinds[kind].rank, &c->rank));
    WHET_TRY(read_modules(ctx, where, object, "target_modules", c, &c->targets));
    WHET_TRY(read_modules(ctx, where, object, "exclude_modules", c, &c->excluded));
    WHET_TRY(read_modules(ctx, where, object, "modules_to_save", c, &c->saved));
    WHET_TRY(read_layers(ctx, where, object, c));
    return kinds[kind].read(ctx, where, object, out);
}
