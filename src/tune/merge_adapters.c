/* SPDX-License-Identifier: Apache-2.0
 * Adapters merged into the weights of their layers, so that the model runs without them: W + scale M,
 * M as adapter_i.h defines it. */
#include <stdio.h>

#include "tune/tune_i.h"

enum { NAME_SIZE = 512 };

bool whet_i_tune_is_adapter(const char *name) {
    return strstr(name, ".lora_") != NULL || strstr(name, ".more_w") != NULL;
}

/* One of the adapter's parameters, or NULL. */
static const float *factor(const whet_i_tune *run, const char *module, whet_i_adapter_kind kind,
                           int32_t i) {
    char name[NAME_SIZE + 32];
    const char *end = whet_i_adapter_factor(kind, i);
    if (!end) return NULL;
    (void)snprintf(name, sizeof name, "%s.%s", module, end);
    const whet_i_param_id id = whet_i_params_find(run->params, name);
    return id < 0 ? NULL : run->params->items[id].values;
}

whet_status whet_i_tune_merged(whet_ctx *ctx, const whet_i_tune *run, whet_i_param_id id,
                               whet_i_arena *arena, float **values) {
    const whet_i_param *p = &run->params->items[id];
    char module[NAME_SIZE];
    double *sum;
    (void)snprintf(module, sizeof module, "%s", p->name);
    char *end = strrchr(module, '.');
    whet_i_adapter_settings a;
    if (!end || strcmp(end, ".weight") != 0 || p->rank != 2) return WHET_OK;
    *end = '\0';
    if (!whet_i_tune_adapted(run, module, &a)) return WHET_OK;
    const float *w1 = factor(run, module, a.kind, 0), *w2 = factor(run, module, a.kind, 1);
    if (!w1 || !w2) return WHET_OK;
    const whet_i_adapter_dense dense = {
        .shape = whet_i_tune_adapter_shape(run, module, p->shape[1], p->shape[0], &a),
        .scale = a.scale,
        .w1 = w1,
        .w2 = w2,
        .magnitudes = factor(run, module, a.kind, 2)};
    WHET_TRY(whet_i_arena_alloc(ctx, arena, p->count, sizeof **values, values));
    WHET_TRY(whet_i_arena_alloc(ctx, arena, p->shape[1], sizeof *sum, &sum));
    whet_i_param_read(run->params, id, 0, p->count, *values);
    for (int64_t row = 0; row < p->shape[0]; row++)
        whet_i_adapter_merge_row(&dense, row, sum, *values + row * p->shape[1]);
    return WHET_OK;
}
