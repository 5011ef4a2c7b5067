/* SPDX-License-Identifier: Apache-2.0
 * Wide residual networks (Zagoruyko & Komodakis 2016) with GroupNorm of one group instead of
 * BatchNorm, so that nothing but weights is traded (other norms where settings say so): 16 filters, then
 * three stages of 16, 32 and 64 times `widen`. A block is pre-activated:
 * x + conv2(relu(bn2(conv1(relu(bn1(x)))))); the first of a stage has a shortcut of a 1 x 1 convolution and a
 * norm. 22 layers and widen 6 with 10 classes make 9,659,802 parameters. */
#include <stdio.h>

#include "nn/models_i.h"

typedef struct network {
    whet_ctx *ctx;
    whet_i_graph *graph;
    int64_t groups; /* of norms, or WHET_I_BATCH_NORM */
    double momentum;
    bool apart; /* what goes into an activation is a value of its own */
} network;

static whet_status convolve(const network *n, const char *block, const char *name, int64_t filters,
                            int64_t size, int64_t stride, whet_i_image *image, whet_i_value x,
                            whet_i_value *out) {
    char module[64];
    (void)snprintf(module, sizeof module, "%s%s", block, name);
    const whet_i_convolution_spec spec = {module, filters, size, stride, size / 2, false, 1, 1};
    return whet_i_convolution(n->ctx, n->graph, x, image, &spec, out);
}

static whet_status norm(const network *n, const char *block, const char *name, bool relu,
                        const whet_i_image *image, whet_i_value x, whet_i_value *out) {
    char module[64];
    (void)snprintf(module, sizeof module, "%s%s", block, name);
    const double slope = relu && !n->apart ? 0 : WHET_I_LINEAR_SLOPE;
    const whet_i_groupnorm_spec group = {module, image->channels, n->groups, 1e-5, slope};
    const whet_i_batchnorm_spec batch = {module,      image->channels, 1e-5,
                                         n->momentum, slope,           WHET_I_NONE};
    WHET_TRY(n->groups == WHET_I_BATCH_NORM ? whet_i_batchnorm(n->ctx, n->graph, x, &batch, out)
                                            : whet_i_groupnorm(n->ctx, n->graph, x, &group, out));
    if (!relu || !n->apart) return WHET_OK;
    return whet_i_activation(n->ctx, n->graph, *out, WHET_I_ACT_RELU, out);
}

static whet_status block(const network *n, const char *name, int64_t filters, int64_t stride,
                         whet_i_image *image, whet_i_value *x) {
    whet_i_image side = *image;
    whet_i_value shortcut = *x, y;
    WHET_TRY(norm(n, name, "bn1", true, image, *x, &y));
    WHET_TRY(convolve(n, name, "conv1", filters, 3, stride, image, y, &y));
    WHET_TRY(norm(n, name, "bn2", true, image, y, &y));
    WHET_TRY(convolve(n, name, "conv2", filters, 3, 1, image, y, &y));
    if (stride != 1 || side.channels != filters) {
        WHET_TRY(convolve(n, name, "shortcut.0", filters, 1, stride, &side, *x, &shortcut));
        WHET_TRY(norm(n, name, "shortcut.1", false, &side, shortcut, &shortcut));
    }
    return whet_i_sum(n->ctx, n->graph, y, shortcut, x);
}

whet_status whet_i_record_wrn(whet_ctx *ctx, whet_i_graph *graph,
                              const whet_i_model_settings *settings, whet_i_value x,
                              whet_i_model_values *out) {
    const network n = {ctx, graph, settings->norm_groups ? settings->norm_groups : 1,
                       settings->momentum, settings->apart};
    whet_i_image image = settings->image;
    WHET_TRY(convolve(&n, "", "conv1", 16, 3, 1, &image, x, &x));
    for (int64_t stage = 0; stage < 3; stage++)
        for (int64_t i = 0; i < settings->blocks; i++) {
            char name[48];
            (void)snprintf(name, sizeof name, "layer%lld.%lld.", (long long)stage + 1,
                           (long long)i);
            whet_i_graph_segment(graph);
            WHET_TRY(block(&n, name, (INT64_C(16) << stage) * settings->widen,
                           stage > 0 && i == 0 ? 2 : 1, &image, &x));
        }
    whet_i_graph_segment(graph);
    WHET_TRY(norm(&n, "", "bn1", true, &image, x, &x));
    WHET_TRY(whet_i_global_pool(ctx, graph, x, &image, &x));
    out->features = x;
    return whet_i_dense(ctx, graph, x, "linear", settings->classes, WHET_I_ACT_NONE, &out->logits);
}
