/* SPDX-License-Identifier: Apache-2.0
 * Targets that match nothing are misspelt, most likely: told with the name that is nearest. */
#include "tune/adapter_targets.h"

#include <stdio.h>

/* The last part of a module's name. */
static const char *last_of(const char *module) {
    const char *point = strrchr(module, '.');
    return point ? point + 1 : module;
}

static bool matches_any(const whet_i_adapter_config *c, const whet_i_modules *set,
                        const char *const *modules, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (whet_i_modules_has(c, set, modules[i])) return true;
    return false;
}

static whet_status no_match(whet_ctx *ctx, const whet_i_modules *set, const whet_names *names) {
    char quoted[WHET_QUOTE_SIZE], near[WHET_QUOTE_SIZE + 32] = "", some[WHET_QUOTE_SIZE],
                                                         text[WHET_QUOTE_SIZE];
    const int64_t n = whet_names_count(names);
    int64_t nearest = -1;
    for (int64_t i = 0; i < set->n && nearest < 0; i++)
        nearest = whet_i_nearest_name(names, set->ends[i]);
    if (nearest >= 0)
        (void)snprintf(near, sizeof near, " (did you mean %s?)",
                       whet_i_quote(quoted, whet_names_get(names, nearest)));
    return whet_i_fail(ctx, WHET_ERR_ARG, "targets %s match no layer%s; expected names such as %s",
                       whet_i_quote(text, set->n ? set->ends[0] : set->regex), near,
                       n ? whet_i_quote(some, whet_names_get(names, 0))
                         : "those of the model's linear layers");
}

whet_status whet_i_targets_check(whet_ctx *ctx, const whet_i_adapter_config *config,
                                 const char *const *modules, int64_t n) {
    const whet_i_modules *set = &config->targets;
    whet_names *names;
    whet_status status = WHET_OK;
    if (set->all_linear) return WHET_OK;
    WHET_TRY(whet_names_create(ctx, &names));
    for (int64_t i = 0; i < n; i++)
        WHET_TRY_DONE(whet_names_add(ctx, names, whet_str_from(last_of(modules[i])), NULL));
    if (!matches_any(config, set, modules, n)) {
        status = no_match(ctx, set, names);
        goto done;
    }
    for (int64_t i = 0; i < set->n; i++) {
        const whet_i_modules one = {.ends = &set->ends[i], .n = 1};
        char quoted[WHET_QUOTE_SIZE];
        if (!matches_any(config, &one, modules, n))
            whet_i_log(ctx, WHET_LOG_WARN, "targets: %s is the name of no layer",
                       whet_i_quote(quoted, set->ends[i]));
    }
done:
    whet_names_destroy(ctx, names);
    return status;
}
