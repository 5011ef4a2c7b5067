/* SPDX-License-Identifier: Apache-2.0
 * Residual networks for small images (He et al. 2016, section 4.2): 3 x 3 convolutions of 16, 32 and
 * 64 filters in three stages of `blocks` blocks, shortcuts without parameters (option A), the mean of
 * each channel, one linear layer. Depth 6 blocks + 2. Parameters as in the checkpoints of
 * pytorch_resnet_cifar10. Batch norms, or group norms where settings say so. */
#include <stdio.h>

#include "nn/models_i.h"

typedef struct network {
    whet_ctx *ctx;
    whet_i_graph *graph;
    double momentum;
    int64_t groups; /* of group norms; else WHET_I_BATCH_NORM */
    bool apart;     /* what goes into an activation is a value of its own */
} network;

/* relu(norm(x) + residual), by a group norm */
static whet_status group_norm(const network *n, const char *norm, int64_t filters,
                              whet_i_value residual, whet_i_value *x) {
    const bool sum = residual != WHET_I_NONE, fused = !sum && !n->apart;
    const whet_i_groupnorm_spec g = {norm, filters, n->groups, 1e-5,
                                     fused ? 0 : WHET_I_LINEAR_SLOPE};
    WHET_TRY(whet_i_groupnorm(n->ctx, n->graph, *x, &g, x));
    if (sum) WHET_TRY(whet_i_sum(n->ctx, n->graph, *x, residual, x));
    return fused ? WHET_OK : whet_i_activation(n->ctx, n->graph, *x, WHET_I_ACT_RELU, x);
}

/* relu(norm(conv(x)) + residual) */
static whet_status layer(const network *n, const char *conv, const char *norm, int64_t filters,
                         int64_t stride, whet_i_value residual, whet_i_image *image,
                         whet_i_value *x) {
    const whet_i_convolution_spec c = {conv, filters, 3, stride, 1, false, 1, 1};
    const whet_i_batchnorm_spec b = {norm, filters, 1e-5, n->momentum, 0, residual};
    WHET_TRY(whet_i_convolution(n->ctx, n->graph, *x, image, &c, x));
    if (n->groups != WHET_I_BATCH_NORM) return group_norm(n, norm, filters, residual, x);
    return whet_i_batchnorm(n->ctx, n->graph, *x, &b, x);
}

static whet_status block(const network *n, const char *module, int64_t filters, int64_t stride,
                         whet_i_image *image, whet_i_value *x) {
    char conv[64], norm[64];
    whet_i_image side = *image;
    whet_i_value shortcut = *x;
    if (stride != 1 || image->channels != filters)
        WHET_TRY(whet_i_image_shortcut(n->ctx, n->graph, *x, &side, stride, filters, &shortcut));
    (void)snprintf(conv, sizeof conv, "%s.conv1", module);
    (void)snprintf(norm, sizeof norm, "%s.bn1", module);
    WHET_TRY(layer(n, conv, norm, filters, stride, WHET_I_NONE, image, x));
    (void)snprintf(conv, sizeof conv, "%s.conv2", module);
    (void)snprintf(norm, sizeof norm, "%s.bn2", module);
    return layer(n, conv, norm, filters, 1, shortcut, image, x);
}

whet_status whet_i_record_resnet(whet_ctx *ctx, whet_i_graph *graph,
                                 const whet_i_model_settings *settings, whet_i_value x,
                                 whet_i_model_values *out) {
    const network n = {ctx, graph, settings->momentum,
                       settings->norm_groups ? settings->norm_groups : WHET_I_BATCH_NORM,
                       settings->apart};
    whet_i_image image = settings->image;
    WHET_TRY(layer(&n, "conv1", "bn1", 16, 1, WHET_I_NONE, &image, &x));
    for (int64_t stage = 0; stage < 3; stage++)
        for (int64_t i = 0; i < settings->blocks; i++) {
            char module[48];
            (void)snprintf(module, sizeof module, "layer%lld.%lld", (long long)stage + 1,
                           (long long)i);
            whet_i_graph_segment(graph);
            WHET_TRY(
                block(&n, module, INT64_C(16) << stage, stage > 0 && i == 0 ? 2 : 1, &image, &x));
        }
    whet_i_graph_segment(graph);
    WHET_TRY(whet_i_global_pool(ctx, graph, x, &image, &x));
    out->features = x;
    return whet_i_dense(ctx, graph, x, "linear", settings->classes, WHET_I_ACT_NONE, &out->logits);
}
