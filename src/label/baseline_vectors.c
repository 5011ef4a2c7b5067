/* SPDX-License-Identifier: Apache-2.0
 * The baselines with one vector a class: the features of its name.
 * Legend: d features, k classes, b labelled rows. */
#include <math.h>

#include "label/baselines.h"

whet_status whet_i_zero_shot(whet_ctx *ctx, const whet_i_baseline *s) {
    whet_status status = WHET_OK;
    whet_i_linear_model m = {.d = s->d, .k = s->k, .seen = s->k};
    const whet_i_prepare unit = {.kind = WHET_I_UNIT, .d_in = s->d, .d = s->d};
    float *names = NULL;
    double *labelled = NULL, temperature = 1, loss;
    int64_t cells;
    WHET_TRY_DONE(whet_i_mul(ctx, s->k, s->d, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &names));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &m.weight));
    WHET_TRY_DONE(whet_i_calloc(ctx, s->k, &m.bias));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->k, &m.classes));
    whet_i_prepare_apply(&unit, s->in->class_features, s->k, names);
    for (int32_t c = 0; c < s->k; c++) m.classes[c] = c;
    whet_i_prototypes(NULL, NULL, 0, NULL, names, s->d, INFINITY, WHET_I_COSINE_TEMPERATURE,
                      m.classes, s->k, m.weight);
    WHET_TRY_DONE(whet_i_linear_model_predict(ctx, &m, s->x, s->n, s->probs));
    if (s->b > 0) {
        WHET_TRY_DONE(whet_i_alloc(ctx, s->b * s->k, &labelled));
        for (int64_t i = 0; i < s->b; i++)
            memcpy(labelled + i * s->k, s->probs + s->rows[i] * s->k,
                   sizeof *labelled * (size_t)s->k);
        WHET_TRY_DONE(whet_i_temperature_fit(ctx, labelled, s->b, s->k, s->y, &temperature, &loss));
    }
    whet_i_temper(s->probs, s->n, s->k, temperature);
done:
    whet_i_linear_model_free(ctx, &m);
    whet_i_free(ctx, names);
    whet_i_free(ctx, labelled);
    return status;
}
