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
static const whet_i_param *factor(const whet_i_tune *run, const char *module, int i) {
    static const char *const names[][2] = {{"more_w1", "more_w2"},
                                           {"lora_A.weight", "lora_B.weight"}};
    char name[NAME_SIZE + 32];
    (void)snprintf(name, sizeof name, "%s.%s", module, names[run->adapter.kind][i]);
    const whet_i_param_id id = whet_i_params_find(run->params, name);
    return id < 0 ? NULL : &run->params->items[id];
}

/* w [out, in] += scale M. Row s N + l of M is the sum over c of W2[l][s][c] times z's number c N + l, which
 * is W1[k][a] of block k, k r + a = c N + l. */
static void add_adapter(const whet_i_adapter_shape *s, double scale, const float *w1,
                        const float *w2, float *w) {
    for (int64_t row = 0; row < s->out; row++) {
        const int64_t l = row % s->blocks, at = row / s->blocks;
        for (int64_t c = 0; c < s->rank && at < s->q; c++) {
            const int64_t z = c * s->blocks + l, first = z / s->rank * s->p;
            const int64_t n = s->in - first < s->p ? s->in - first : s->p;
            const double factor = scale * (double)w2[(l * s->q + at) * s->rank + c];
            for (int64_t i = 0; i < n; i++)
                w[row * s->in + first + i] += (float)(factor * (double)w1[z * s->p + i]);
        }
    }
}

whet_status whet_i_tune_merged(whet_ctx *ctx, const whet_i_tune *run, whet_i_param_id id,
                               whet_i_arena *arena, float **values) {
    const whet_i_param *p = &run->params->items[id];
    char module[NAME_SIZE];
    (void)snprintf(module, sizeof module, "%s", p->name);
    char *end = strrchr(module, '.');
    if (run->job.adapter == WHET_TUNE_FULL || !end || strcmp(end, ".weight") != 0 || p->rank != 2)
        return WHET_OK;
    *end = '\0';
    const whet_i_param *w1 = factor(run, module, 0), *w2 = factor(run, module, 1);
    if (!w1 || !w2) return WHET_OK;
    const whet_i_adapter_shape shape =
        whet_i_adapter_shape_of(p->shape[1], p->shape[0], run->adapter.blocks, run->adapter.rank);
    WHET_TRY(whet_i_arena_alloc(ctx, arena, p->count, sizeof **values, values));
    whet_i_param_read(run->params, id, 0, p->count, *values);
    add_adapter(&shape, run->adapter.scale, w1->values, w2->values, *values);
    return WHET_OK;
}
