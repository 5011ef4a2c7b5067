/* SPDX-License-Identifier: Apache-2.0
 * Which modules adapters are for, and what each one's is like: adapter_config.h has the rules, which are
 * PEFT's. A pattern that takes too many steps on a name does not match it. */
#include <math.h>
#include <stdio.h>

#include "tune/adapter_config.h"

enum { STEPS = 100000, LAYERS_MAX = 10000 };

whet_status whet_i_adapter_config_init(whet_ctx *ctx, whet_i_adapter_config *config) {
    return whet_i_pattern_state_create(ctx, STEPS, &config->state);
}

void whet_i_module_values_free(whet_ctx *ctx, whet_i_module_values *values) {
    for (int64_t i = 0; i < values->n; i++) whet_i_pattern_free(ctx, values->items[i].pattern);
    whet_i_free(ctx, values->items);
    *values = (whet_i_module_values){0};
}

static void free_modules(whet_ctx *ctx, whet_i_modules *set) {
    whet_i_pattern_free(ctx, set->pattern);
    whet_i_free(ctx, set->ends);
}

void whet_i_adapter_config_free(whet_ctx *ctx, whet_i_adapter_config *config) {
    whet_i_module_values_free(ctx, &config->block_counts);
    whet_i_module_values_free(ctx, &config->alphas);
    whet_i_module_values_free(ctx, &config->ranks);
    free_modules(ctx, &config->saved);
    free_modules(ctx, &config->excluded);
    free_modules(ctx, &config->targets);
    whet_i_pattern_state_free(ctx, config->state);
    whet_i_free(ctx, config->layers);
    whet_i_arena_free(ctx, &config->arena);
    *config = (whet_i_adapter_config){0};
}

/* ---- filling ---------------------------------------------------------------------------------- */

static whet_status keep(whet_ctx *ctx, whet_i_adapter_config *config, whet_str text,
                        whet_str *out) {
    char *copy;
    WHET_TRY(whet_i_arena_alloc(ctx, &config->arena, text.len + 1, 1, &copy));
    memcpy(copy, text.ptr, (size_t)text.len);
    copy[text.len] = '\0';
    *out = (whet_str){copy, text.len};
    return WHET_OK;
}

whet_status whet_i_modules_add(whet_ctx *ctx, whet_i_adapter_config *config, whet_i_modules *set,
                               whet_str end) {
    WHET_TRY(whet_i_realloc(ctx, &set->ends, set->n + 1));
    WHET_TRY(keep(ctx, config, end, &set->ends[set->n]));
    set->n++;
    return WHET_OK;
}

whet_status whet_i_modules_match(whet_ctx *ctx, whet_i_adapter_config *config, whet_i_modules *set,
                                 const char *where, whet_str regex) {
    const whet_i_pattern_opts whole = {.whole = true};
    WHET_TRY(keep(ctx, config, regex, &set->regex));
    if (config->python)
        return whet_i_pattern_compile_python(ctx, where, regex, false, &set->pattern);
    return whet_i_pattern_compile(ctx, where, regex, whole, &set->pattern);
}

/* The part of *text up to the next comma, without spaces around it; *text goes behind it. */
static whet_str next_part(const char **text) {
    const size_t length = strcspn(*text, ",");
    const whet_str part = whet_i_trim((whet_str){*text, (int64_t)length});
    *text += length + ((*text)[length] == ',');
    return part;
}

/* A pattern that does not compile is damage in a file, but a slip in an argument. */
static whet_status as_argument(whet_status status) {
    return status == WHET_ERR_UNSUPPORTED ? WHET_ERR_ARG : status;
}

whet_status whet_i_modules_parse(whet_ctx *ctx, whet_i_adapter_config *config, whet_i_modules *set,
                                 const char *where, const char *text) {
    static const char regex[] = "regex:";
    if (!text) return WHET_OK;
    set->all_linear = strcmp(text, "all-linear") == 0;
    if (set->all_linear) return WHET_OK;
    if (strncmp(text, regex, sizeof regex - 1) == 0)
        return as_argument(
            whet_i_modules_match(ctx, config, set, where, whet_str_from(text + sizeof regex - 1)));
    while (*text) {
        const whet_str end = next_part(&text);
        if (end.len > 0) WHET_TRY(whet_i_modules_add(ctx, config, set, end));
    }
    return WHET_OK;
}

whet_status whet_i_module_values_add(whet_ctx *ctx, whet_i_adapter_config *config,
                                     whet_i_module_values *values, const char *where, whet_str key,
                                     double value) {
    WHET_TRY(whet_i_realloc(ctx, &values->items, values->n + 1));
    whet_i_module_value *item = &values->items[values->n];
    *item = (whet_i_module_value){.value = value};
    WHET_TRY(keep(ctx, config, key, &item->key));
    const whet_status status =
        config->python ? whet_i_pattern_compile_python(ctx, where, item->key, true, &item->pattern)
                       : whet_i_pattern_compile_end(ctx, where, item->key, &item->pattern);
    if (status == WHET_OK) values->n++;
    return status;
}

whet_status whet_i_module_values_parse(whet_ctx *ctx, whet_i_adapter_config *config,
                                       whet_i_module_values *values, const char *where,
                                       const char *text, whet_i_value_range range) {
    char quoted[WHET_QUOTE_SIZE];
    while (text && *text) {
        const whet_str part = next_part(&text);
        whet_str key = part;
        double value = NAN;
        if (part.len == 0) continue;
        while (key.len > 0 && key.ptr[key.len - 1] != '=') key.len--;
        const whet_str number = {part.ptr + key.len, part.len - key.len};
        if (key.len > 0) key.len--; /* the sign itself */
        if (key.len == 0 || !whet_i_parse_real(whet_i_trim(number), &value) ||
            !(value >= range.least && value <= range.most) ||
            (range.whole && value != floor(value)))
            return whet_i_fail(
                ctx, WHET_ERR_ARG,
                "%s: %s; expected an end of layers' names, \"=\" and a%s number from %g to %g",
                where, whet_i_quote(quoted, part), range.whole ? " whole" : "", range.least,
                range.most);
        WHET_TRY(as_argument(
            whet_i_module_values_add(ctx, config, values, where, whet_i_trim(key), value)));
    }
    return WHET_OK;
}

/* "8" or "8-11". */
static bool parse_range(whet_str part, int64_t *first, int64_t *last) {
    int64_t at = 0;
    while (at < part.len && part.ptr[at] != '-') at++;
    if (!whet_i_parse_int((whet_str){part.ptr, at}, first)) return false;
    *last = *first;
    if (at == part.len) return *first >= 0 && *first < LAYERS_MAX;
    return whet_i_parse_int((whet_str){part.ptr + at + 1, part.len - at - 1}, last) &&
           *first >= 0 && *last >= *first && *last < LAYERS_MAX;
}

whet_status whet_i_adapter_layers_parse(whet_ctx *ctx, whet_i_adapter_config *config,
                                        const char *where, const char *text) {
    char quoted[WHET_QUOTE_SIZE];
    while (text && *text) {
        const whet_str part = next_part(&text);
        int64_t first, last;
        if (part.len == 0) continue;
        if (!parse_range(part, &first, &last))
            return whet_i_fail(ctx, WHET_ERR_ARG,
                               "%s: %s; expected numbers of layers, such as 0,2,8-11", where,
                               whet_i_quote(quoted, part));
        WHET_TRY(whet_i_realloc(ctx, &config->layers, config->n_layers + last - first + 1));
        while (first <= last) config->layers[config->n_layers++] = first++;
    }
    return WHET_OK;
}

/* ---- asking ----------------------------------------------------------------------------------- */

/* The name itself, or its end behind a point. */
static bool ends_as(whet_str module, whet_str end) {
    const int64_t before = module.len - end.len;
    if (before < 0 || memcmp(module.ptr + before, end.ptr, (size_t)end.len) != 0) return false;
    return before == 0 || module.ptr[before - 1] == '.';
}

bool whet_i_modules_has(const whet_i_adapter_config *config, const whet_i_modules *set,
                        const char *module) {
    const whet_str name = whet_str_from(module);
    bool any = set->all_linear || set->every;
    for (int64_t i = 0; i < set->n && !any; i++) any = ends_as(name, set->ends[i]);
    return any || (set->pattern && whet_i_pattern_find(set->pattern, config->state, name) == 1);
}

bool whet_i_modules_hold(const whet_i_adapter_config *config, const whet_i_modules *set,
                         const char *module) {
    enum { MOST = 512 };
    char whole[MOST], *end;
    bool held = whet_i_modules_has(config, set, module);
    (void)snprintf(whole, sizeof whole, "%s", module);
    while (!held && (end = strrchr(whole, '.'))) {
        *end = '\0';
        held = whet_i_modules_has(config, set, whole);
    }
    return held;
}

int64_t whet_i_module_number(const char *module) {
    for (const char *at = module; *at;) {
        const size_t length = strcspn(at, ".");
        int64_t number;
        if (length > 0 && whet_i_is_digit(*at) &&
            whet_i_parse_int((whet_str){at, (int64_t)length}, &number))
            return number;
        at += length + (at[length] == '.');
    }
    return -1;
}

static bool has_number(const whet_i_adapter_config *config, const char *module) {
    if (!config->layers) return true;
    const int64_t number = whet_i_module_number(module);
    bool any = false;
    for (int64_t i = 0; i < config->n_layers; i++) any = any || config->layers[i] == number;
    return any;
}

bool whet_i_module_values_find(const whet_i_adapter_config *config,
                               const whet_i_module_values *values, const char *module,
                               double *out) {
    const whet_str name = whet_str_from(module);
    for (int64_t i = 0; i < values->n; i++)
        if (whet_i_pattern_find(values->items[i].pattern, config->state, name) == 1) {
            *out = values->items[i].value;
            return true;
        }
    return false;
}

static double value_of(const whet_i_adapter_config *config, const whet_i_module_values *values,
                       const char *module, double fallback) {
    (void)whet_i_module_values_find(config, values, module, &fallback);
    return fallback;
}

bool whet_i_adapter_config_takes(const whet_i_adapter_config *config, const char *module,
                                 bool linear) {
    const whet_i_modules *in = &config->targets, *out = &config->excluded;
    if (in->all_linear ? !linear : !whet_i_modules_has(config, in, module)) return false;
    if (out->all_linear ? linear : whet_i_modules_has(config, out, module)) return false;
    return has_number(config, module) && !whet_i_modules_hold(config, &config->saved, module);
}

bool whet_i_adapter_config_has(const whet_i_adapter_config *config, const char *module) {
    return whet_i_adapter_config_takes(config, module, true);
}

bool whet_i_adapter_config_layer(const whet_i_adapter_config *config, const char *module,
                                 whet_i_adapter_settings *out) {
    if (!whet_i_adapter_config_has(config, module)) return false;
    const bool more = config->kind == WHET_I_ADAPTER_MORE;
    const double rank = value_of(config, &config->ranks, module, (double)config->rank);
    const double alpha = value_of(config, &config->alphas, module, config->alpha);
    const double blocks = value_of(config, &config->block_counts, module, (double)config->blocks);
    *out = (whet_i_adapter_settings){
        .kind = config->kind,
        .blocks = more ? (int64_t)blocks : 1,
        .rank = (int64_t)rank,
        .scale = more ? 1 : alpha / (config->rank_stabilised ? sqrt(rank) : rank)};
    return true;
}
