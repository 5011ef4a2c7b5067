/* SPDX-License-Identifier: Apache-2.0
 * What adapters a model gets, as adapter_config.json says it (PEFT 0.21; MoRe with "peft_type": "MORE"):
 * of which kind, on which linear layers, and what each layer's is like. Modules are named as in the model's
 * parameters, without ".weight".
 *
 * A layer is adapted when `targets` names it, `excluded` and `saved` do not, and its number is among
 * `layers`, where those are given. Rank, alpha and blocks are those of the first key of `ranks`, `alphas`,
 * `block_counts` that fits the name, else of the config. */
#ifndef WHET_TUNE_ADAPTER_CONFIG_H
#define WHET_TUNE_ADAPTER_CONFIG_H

#include <jansson.h>

#include "io/io_i.h"
#include "tune/adapter_i.h"

/* A set of modules: those whose name is one of `ends`, or ends with it behind a point; those whose whole
 * name matches `pattern`; or every linear layer but the head; or simply every one. */
typedef struct whet_i_modules {
    whet_str *ends; /* [n] NUL-terminated */
    int64_t n;
    whet_str regex; /* of `pattern` */
    whet_i_pattern *pattern;
    bool all_linear, every;
} whet_i_modules;

/* Values by module: the key is a pattern for the end of a name, behind a point or all of it. */
typedef struct whet_i_module_value {
    whet_str key;
    whet_i_pattern *pattern;
    double value;
} whet_i_module_value;

typedef struct whet_i_module_values {
    whet_i_module_value *items;
    int64_t n;
} whet_i_module_values;

typedef struct whet_i_adapter_config {
    whet_i_adapter_kind kind;
    int64_t rank, blocks;
    double alpha;                            /* LoRA's scale is alpha / rank, or */
    bool rank_stabilised;                    /* alpha / sqrt(rank) */
    double dropout;                          /* in training */
    whet_i_modules targets, excluded, saved; /* saved: modules that are trained and kept whole */
    int64_t *layers; /* [n_layers] numbers of layers, the first number in a name; NULL = all */
    int64_t n_layers;
    whet_i_module_values ranks, alphas, block_counts;
    bool python;        /* patterns that are added are Python's, as in files; else PCRE2's */
    whet_i_arena arena; /* of the names */
    whet_i_pattern_state *state;
} whet_i_adapter_config;

/* Fills {0}; what is left behind on failure is released by freeing. */
WHET_CHECKED whet_status whet_i_adapter_config_init(whet_ctx *ctx, whet_i_adapter_config *config);
void whet_i_adapter_config_free(whet_ctx *ctx, whet_i_adapter_config *config);

/* Adds to a set: an end of names; a pattern for whole names (one a set). `where` for sentences. */
WHET_CHECKED whet_status whet_i_modules_add(whet_ctx *ctx, whet_i_adapter_config *config,
                                            whet_i_modules *set, whet_str end);
WHET_CHECKED whet_status whet_i_modules_match(whet_ctx *ctx, whet_i_adapter_config *config,
                                              whet_i_modules *set, const char *where,
                                              whet_str regex);
/* As users write a set: "all-linear", "regex:PATTERN", or ends of names with commas between; NULL is none.
 * Errors: ARG (a pattern that does not compile), NOMEM. */
WHET_CHECKED whet_status whet_i_modules_parse(whet_ctx *ctx, whet_i_adapter_config *config,
                                              whet_i_modules *set, const char *where,
                                              const char *text);
/* Values "KEY=NUMBER,KEY=NUMBER" from least to most, whole numbers where `whole`; NULL is none.
 * Errors: ARG, NOMEM. */
typedef struct whet_i_value_range {
    double least, most;
    bool whole;
} whet_i_value_range;
WHET_CHECKED whet_status whet_i_module_values_parse(whet_ctx *ctx, whet_i_adapter_config *config,
                                                    whet_i_module_values *values, const char *where,
                                                    const char *text, whet_i_value_range range);
WHET_CHECKED whet_status whet_i_module_values_add(whet_ctx *ctx, whet_i_adapter_config *config,
                                                  whet_i_module_values *values, const char *where,
                                                  whet_str key, double value);

/* The value of the first key that fits, or false. */
bool whet_i_module_values_find(const whet_i_adapter_config *config,
                               const whet_i_module_values *values, const char *module, double *out);
void whet_i_module_values_free(whet_ctx *ctx, whet_i_module_values *values);

/* Numbers of layers, "0,2,8-11"; NULL is all. Errors: ARG, LIMIT, NOMEM. */
WHET_CHECKED whet_status whet_i_adapter_layers_parse(whet_ctx *ctx, whet_i_adapter_config *config,
                                                     const char *where, const char *text);

/* The first part of a module's name that is a number, or -1. Pure. */
int64_t whet_i_module_number(const char *module);
/* Whether the module is in the set; `all_linear` is asked of linear layers that are not of the head. */
bool whet_i_modules_has(const whet_i_adapter_config *config, const whet_i_modules *set,
                        const char *module);
/* Whether it, or one that it is a part of, is: modules are saved with all their parts. */
bool whet_i_modules_hold(const whet_i_adapter_config *config, const whet_i_modules *set,
                         const char *module);
/* Whether targets, layers, exclusions and saved modules leave the linear layer in. */
bool whet_i_adapter_config_has(const whet_i_adapter_config *config, const char *module);
/* The same of any module: others than linear layers are none of all_linear. */
bool whet_i_adapter_config_takes(const whet_i_adapter_config *config, const char *module,
                                 bool linear);
/* Whether a linear layer that is not of the head is adapted, and how. */
bool whet_i_adapter_config_layer(const whet_i_adapter_config *config, const char *module,
                                 whet_i_adapter_settings *out);

/* A new reference to the members of adapter_config.json that a config knows; NULL when memory is short. */
json_t *whet_i_adapter_config_json(const whet_i_adapter_config *config, const char *peft_type);

#endif
