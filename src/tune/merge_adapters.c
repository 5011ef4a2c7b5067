/* SPDX-License-Identifier: Apache-2.0
 * Adapters merged into the weights of their layers, so that the model runs without them: W + scale M,
 * M as adapter_i.h defines it. */
#include <stdio.h>

#include "tune/tune_i.h"

enum { NAME_SIZE = 512 };

bool whet_i_tune_is_adapter(const char *name) {
    return strstr(name, ".lora_") != NULL || strstr(name, ".more_w") != NULL;
}

/* One of the two factors of the module's adapter, or NULL. */
static const whet_i_param *factor(const whet_i_tune *run, const char *module,
                                  const whet_i_adapter_settings *settings, int i) {
    static const char *const names[][2] = {{"more_w1", "more_w2"},
                                           {"lora_A.weight", "lora_B.weight"}};
    char name[NAME_SIZE + 32];
    (void)snprintf(name, sizeof name, "%s.%s", module, names[settings->kind][i]);
    const whet_i_param_id id = whet_i_params_find(run->params, name);
    return id < 0 ? NULL : &run->params->items[id];
}

/* w [out, in] += scale M, each number rounded once; sum [in]. */
static void add_adapter(const whet_i_adapter_shape *s, double scale, const float *w1,
                        const float *w2, double *sum, float *w) {
    for (int64_t row = 0; row < s->out; row++) {
        float *to = w + row * s->in;
        for (int64_t i = 0; i < s->in; i++) sum[i] = (double)to[i];
        whet_i_adapter_dense_row(s, scale, w1, w2, row, sum);
        for (int64_t i = 0; i < s->in; i++) to[i] = (float)sum[i];
    }
}

whet_status whet_i_tune_merged(whet_ctx *ctx, const whet_i_tune *run, whet_i_param_id id,
                               whet_i_arena *arena, float **values) {
    const whet_i_param *p = &run->params->items[id];
    char module[NAME_SIZE];
    double *sum;
    (void)snprintf(module, sizeof module, "%s", p->name);
    char *end = strrchr(module, '.');
    whet_i_adapter_settings settings;
    if (!end || strcmp(end, ".weight") != 0 || p->rank != 2) return WHET_OK;
    *end = '\0';
    if (!whet_i_tune_adapted(run, module, &settings)) return WHET_OK;
    const whet_i_param *w1 = factor(run, module, &settings, 0);
    const whet_i_param *w2 = factor(run, module, &settings, 1);
    if (!w1 || !w2) return WHET_OK;
    const whet_i_adapter_shape shape =
        whet_i_adapter_shape_of(p->shape[1], p->shape[0], settings.blocks, settings.rank);
    WHET_TRY(whet_i_arena_alloc(ctx, arena, p->count, sizeof **values, values));
    whet_i_param_read(run->params, id, 0, p->count, *values);
    WHET_TRY(whet_i_arena_alloc(ctx, arena, shape.in, sizeof *sum, &sum));
    add_adapter(&shape, settings.scale, w1->values, w2->values, sum, *values);
    return WHET_OK;
}
