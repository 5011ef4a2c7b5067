/* SPDX-License-Identifier: Apache-2.0
 * A multilayer perceptron: hidden layers layer0, layer1, ... with an activation, then one layer to
 * the classes, numbered on. Without widths: one hidden layer of 64. */
#include <stdio.h>

#include "nn/models_i.h"

whet_status whet_i_record_mlp(whet_ctx *ctx, whet_i_graph *graph,
                              const whet_i_model_settings *settings, whet_i_value x,
                              whet_i_model_values *out) {
    const whet_i_act act = settings->act == WHET_I_ACT_NONE ? WHET_I_ACT_RELU : settings->act;
    const int32_t layers = settings->n_widths ? settings->n_widths : 1;
    char name[32];
    for (int32_t i = 0; i < layers; i++) {
        (void)snprintf(name, sizeof name, "layer%d", i);
        const int64_t width = settings->n_widths ? settings->widths[i] : 64;
        WHET_TRY(whet_i_hidden(ctx, graph, x, name, width, act, settings->apart, &x));
    }
    out->features = x;
    (void)snprintf(name, sizeof name, "layer%d", layers);
    return whet_i_dense(ctx, graph, x, name, settings->classes, WHET_I_ACT_NONE, &out->logits);
}
