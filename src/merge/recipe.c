/* SPDX-License-Identifier: Apache-2.0
 * Settings of a recipe: which one holds for a tensor, and its value at the tensor's depth. */
#include <math.h>

#include "merge/recipe.h"

void whet_i_recipe_clear(whet_ctx *ctx, whet_i_recipe *recipe) {
    whet_i_arena_free(ctx, &recipe->arena);
    *recipe = (whet_i_recipe){0};
}

static double at_depth(const whet_i_recipe_value *v, double u) {
    const double x = u * (double)(v->n - 1);
    int64_t below = (int64_t)floor(x);
    if (below >= v->n - 1) return v->points[v->n - 1];
    if (below < 0) below = 0;
    const double part = x - (double)below;
    return (1 - part) * v->points[below] + part * v->points[below + 1];
}

/* NaN when it says nothing about the tensor. */
static double value_in(const whet_i_recipe_settings *settings, whet_i_setting setting,
                       const char *tensor, double u) {
    for (int64_t i = 0; i < settings->n; i++) {
        if (settings->items[i].setting != setting) continue;
        for (int64_t k = 0; k < settings->items[i].n; k++) {
            const whet_i_recipe_value *v = &settings->items[i].values[k];
            if (!v->filter || strcmp(v->filter, "*") == 0 || strstr(tensor, v->filter))
                return at_depth(v, u);
        }
    }
    return (double)NAN;
}

double whet_i_recipe_value_of(const whet_i_recipe *recipe, const whet_i_recipe_slice *slice,
                              const whet_i_recipe_source *source, whet_i_setting setting,
                              const char *tensor, double u) {
    double value = source ? value_in(&source->settings, setting, tensor, u) : (double)NAN;
    if (isnan(value) && slice) value = value_in(&slice->settings, setting, tensor, u);
    return isnan(value) ? value_in(&recipe->settings, setting, tensor, u) : value;
}

whet_status whet_i_recipe_set(whet_ctx *ctx, whet_i_recipe *recipe,
                              whet_i_recipe_settings *settings, whet_i_setting setting,
                              double value) {
    whet_i_recipe_setting *items;
    WHET_TRY(
        whet_i_arena_alloc(ctx, &recipe->arena, settings->n + 1, sizeof *items, (void *)&items));
    if (settings->n) memcpy(items + 1, settings->items, (size_t)settings->n * sizeof *items);
    whet_i_recipe_setting *added = items; /* the first that fits holds */
    *added = (whet_i_recipe_setting){.setting = setting, .n = 1};
    WHET_TRY(
        whet_i_arena_alloc(ctx, &recipe->arena, 1, sizeof *added->values, (void *)&added->values));
    *added->values = (whet_i_recipe_value){.n = 1};
    WHET_TRY(
        whet_i_arena_alloc(ctx, &recipe->arena, 1, sizeof(double), (void *)&added->values->points));
    added->values->points[0] = value;
    settings->items = items;
    settings->n++;
    return WHET_OK;
}

whet_status whet_i_recipe_text(whet_ctx *ctx, whet_i_recipe *recipe, whet_str text,
                               const char **out) {
    char *copy;
    WHET_TRY(whet_i_arena_alloc(ctx, &recipe->arena, text.len + 1, 1, (void *)&copy));
    if (text.len) memcpy(copy, text.ptr, (size_t)text.len);
    copy[text.len] = '\0';
    *out = copy;
    return WHET_OK;
}

bool whet_i_recipe_dtype(whet_str name, whet_dtype *out) {
    static const struct {
        const char *name;
        whet_dtype dtype;
    } names[] = {{"float32", WHET_F32},   {"f32", WHET_F32},   {"float", WHET_F32},
                 {"bfloat16", WHET_BF16}, {"bf16", WHET_BF16}, {"float16", WHET_F16},
                 {"f16", WHET_F16},       {"half", WHET_F16}};
    for (int64_t i = 0; i < WHET_COUNT_OF(names); i++) {
        if (!whet_str_equal(name, whet_str_from(names[i].name))) continue;
        *out = names[i].dtype;
        return true;
    }
    return false;
}
