/* SPDX-License-Identifier: Apache-2.0
 * A config of adapters as adapter_config.json has it: PEFT's members and their meaning. */
#include "tune/adapter_config.h"

static json_t *text_of(whet_str text) { return json_stringn(text.ptr, (size_t)text.len); }

/* A list of ends, a pattern, "all-linear", or null. */
static json_t *modules_json(const whet_i_modules *set) {
    if (set->all_linear) return json_string("all-linear");
    if (set->pattern) return text_of(set->regex);
    if (set->n == 0) return json_null();
    json_t *list = json_array();
    for (int64_t i = 0; i < set->n; i++) (void)json_array_append_new(list, text_of(set->ends[i]));
    return list;
}

static json_t *values_json(const whet_i_module_values *values, bool whole) {
    json_t *object = json_object();
    for (int64_t i = 0; i < values->n; i++) {
        const whet_i_module_value *v = &values->items[i];
        (void)json_object_setn_new(object, v->key.ptr, (size_t)v->key.len,
                                   whole ? json_integer((json_int_t)v->value)
                                         : json_real(v->value));
    }
    return object;
}

static json_t *layers_json(const whet_i_adapter_config *config) {
    if (!config->layers) return json_null();
    json_t *list = json_array();
    for (int64_t i = 0; i < config->n_layers; i++)
        (void)json_array_append_new(list, json_integer(config->layers[i]));
    return list;
}

/* What every type has, then what adapters of linear layers have, then the kind's own. */
static json_t *common_json(const whet_i_adapter_config *config, const char *peft_type) {
    return json_pack("{s:s, s:o, s:o, s:o}", "peft_type", peft_type, "target_modules",
                     modules_json(&config->targets), "exclude_modules",
                     modules_json(&config->excluded), "modules_to_save",
                     modules_json(&config->saved));
}

static json_t *factors_json(const whet_i_adapter_config *config) {
    return json_pack("{s:I, s:o, s:o, s:s, s:b}", "r", (json_int_t)config->rank,
                     "layers_to_transform", layers_json(config), "rank_pattern",
                     values_json(&config->ranks, true), "bias", "none", "fan_in_fan_out", 0);
}

static json_t *more_json(const whet_i_adapter_config *config) {
    return json_pack("{s:I, s:o, s:f}", "nblocks", (json_int_t)config->blocks, "nblocks_pattern",
                     values_json(&config->block_counts, true), "more_dropout", config->dropout);
}

static json_t *lora_json(const whet_i_adapter_config *config) {
    return json_pack("{s:f, s:o, s:b, s:b, s:f}", "lora_alpha", config->alpha, "alpha_pattern",
                     values_json(&config->alphas, false), "use_rslora", config->rank_stabilised,
                     "use_dora", config->kind == WHET_I_ADAPTER_DORA, "lora_dropout",
                     config->dropout);
}

/* all, with the members of part, which is given up. */
static json_t *with(json_t *all, json_t *part) {
    if (all && part && json_object_update(all, part) == 0) {
        json_decref(part);
        return all;
    }
    json_decref(part);
    json_decref(all);
    return NULL;
}

json_t *whet_i_adapter_config_json(const whet_i_adapter_config *config, const char *peft_type) {
    const bool more = strcmp(peft_type, "MORE") == 0, lora = strcmp(peft_type, "LORA") == 0;
    json_t *all = common_json(config, peft_type);
    if (more || lora) all = with(all, factors_json(config));
    if (more) all = with(all, more_json(config));
    if (lora) all = with(all, lora_json(config));
    return all;
}
