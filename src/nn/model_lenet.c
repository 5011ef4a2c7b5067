/* SPDX-License-Identifier: Apache-2.0
 * LeNet (LeCun et al. 1998), as the weak-supervision benchmark's end model has it: two convolutions
 * of 5 x 5 with tanh and mean pooling, then 120, 84 and the classes. */
#include "nn/models_i.h"

static whet_status stage(whet_ctx *ctx, whet_i_graph *graph, const char *module, int64_t filters,
                         whet_i_image *image, whet_i_value *x) {
    const whet_i_convolution_spec spec = {module, filters, 5, 1, 0, true, 1, 1};
    const whet_i_image_pool_spec pool = {false, 2, 2, 0};
    WHET_TRY(whet_i_convolution(ctx, graph, *x, image, &spec, x));
    WHET_TRY(whet_i_activation(ctx, graph, *x, WHET_I_ACT_TANH, x));
    return whet_i_image_pool(ctx, graph, *x, image, &pool, x);
}

whet_status whet_i_record_lenet(whet_ctx *ctx, whet_i_graph *graph,
                                const whet_i_model_settings *settings, whet_i_value x,
                                whet_i_model_values *out) {
    whet_i_image image = settings->image;
    WHET_TRY(stage(ctx, graph, "conv1", 6, &image, &x));
    WHET_TRY(stage(ctx, graph, "conv2", 16, &image, &x));
    WHET_TRY(whet_i_flatten(ctx, graph, x, &image, &x));
    WHET_TRY(whet_i_hidden(ctx, graph, x, "fc1", 120, WHET_I_ACT_TANH, settings->apart, &x));
    WHET_TRY(whet_i_hidden(ctx, graph, x, "fc2", 84, WHET_I_ACT_TANH, settings->apart, &x));
    out->features = x;
    return whet_i_dense(ctx, graph, x, "fc3", settings->classes, WHET_I_ACT_NONE, &out->logits);
}
