/* SPDX-License-Identifier: Apache-2.0
 * The fully connected variational autoencoder of the weak-supervision benchmark (Kingma & Welling
 * 2014): 784-392-196-128-128 with BatchNorm and LeakyReLU(0.1), linear heads for the posterior's mean
 * and log-variance (128), the mirrored decoder. Modules are numbered as in torch's Sequential of
 * (linear, norm, activation): encoder.0, encoder.1, encoder.3, ... The reconstruction is left as
 * logits: whet_i_vae_loss takes them.
 * widths: of the encoder's layers, then of the latent space. */
#include <stdio.h>

#include "nn/models_i.h"

static const double SLOPE = 0.1;

typedef struct network {
    whet_ctx *ctx;
    whet_i_graph *graph;
    double momentum;
} network;

/* Layer i of encoder or decoder. */
static whet_status layer(const network *n, const char *part, int32_t i, int64_t width,
                         whet_i_value *x) {
    char module[32];
    (void)snprintf(module, sizeof module, "%s.%d", part, 3 * i);
    WHET_TRY(whet_i_dense(n->ctx, n->graph, *x, module, width, WHET_I_ACT_NONE, x));
    (void)snprintf(module, sizeof module, "%s.%d", part, 3 * i + 1);
    const whet_i_batchnorm_spec spec = {module, width, 1e-5, n->momentum, SLOPE, WHET_I_NONE};
    return whet_i_batchnorm(n->ctx, n->graph, *x, &spec, x);
}

whet_status whet_i_record_vae(whet_ctx *ctx, whet_i_graph *graph,
                              const whet_i_model_settings *settings, whet_i_value x,
                              whet_i_model_values *out) {
    static const int64_t usual[] = {392, 196, 128, 128, 128};
    const network n = {ctx, graph, settings->momentum};
    const int64_t *widths = settings->n_widths ? settings->widths : usual;
    const int32_t layers = settings->n_widths ? settings->n_widths - 1 : 4;
    const int64_t numbers = whet_i_columns(graph, x);
    whet_i_value z;
    char last[32];
    for (int32_t i = 0; i < layers; i++) WHET_TRY(layer(&n, "encoder", i, widths[i], &x));
    WHET_TRY(whet_i_dense(ctx, graph, x, "mean", widths[layers], WHET_I_ACT_NONE, &out->features));
    WHET_TRY(whet_i_dense(ctx, graph, x, "log_variance", widths[layers], WHET_I_ACT_NONE,
                          &out->log_variance));
    WHET_TRY(whet_i_sample_normal(ctx, graph, out->features, out->log_variance, &z));
    for (int32_t i = 0; i < layers; i++)
        WHET_TRY(layer(&n, "decoder", i, widths[layers - 1 - i], &z));
    (void)snprintf(last, sizeof last, "decoder.%d", 3 * layers);
    return whet_i_dense(ctx, graph, z, last, numbers, WHET_I_ACT_NONE, &out->logits);
}
