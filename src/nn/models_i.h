/* SPDX-License-Identifier: Apache-2.0
 * Networks that are trained from scratch: one function each that records it (model_<name>.c), one row
 * each in the table of models.c. Parameters are named as in the checkpoints of each family; those
 * that no file gives begin as torch's defaults have it. */
#ifndef WHET_NN_MODELS_I_H
#define WHET_NN_MODELS_I_H

#include "nn/ops_i.h"

enum { WHET_I_WIDTHS_MAX = 16, WHET_I_BATCH_NORM = -1 };

typedef struct whet_i_model_settings {
    whet_i_image image; /* of an example; vectors are {1, 1, n} */
    int64_t classes;
    /* mlp: hidden layers; vae: the encoder's layers and then the latent one. n_widths 0 = the
     * family's own. */
    int64_t widths[WHET_I_WIDTHS_MAX];
    int32_t n_widths;
    whet_i_act act;  /* mlp */
    int64_t blocks;  /* a stage: resnet, wrn; 0 = the row's own */
    int64_t widen;   /* wrn; 0 = the row's own */
    double momentum; /* of running statistics; 0 = 0.1 */
    /* resnet, wrn: of group norms; WHET_I_BATCH_NORM; 0 = the family's own (resnet: batch norms, wrn: one) */
    int64_t norm_groups;
    bool
        apart; /* mlp, lenet, wrn, group norms: what goes into an activation is a value of its own */
} whet_i_model_settings;

typedef struct whet_i_model_values {
    whet_i_value logits;       /* [B, classes]; vae: of the reconstruction, [B, numbers of x] */
    whet_i_value features;     /* [B, ..] before the last layer; vae: the posterior mean */
    whet_i_value log_variance; /* vae; else WHET_I_NONE */
} whet_i_model_values;

typedef struct whet_i_model {
    const char *name;
    int64_t blocks, widen;
    whet_i_image image; /* what it was designed for */
    whet_status (*record)(whet_ctx *ctx, whet_i_graph *graph, const whet_i_model_settings *settings,
                          whet_i_value x, whet_i_model_values *out);
} whet_i_model;

/* The row of that name, or NULL; the known ones as "mlp, ..." for a sentence. */
const whet_i_model *whet_i_model_find(const char *name);
const char *whet_i_models_known(void);

/* Records the model on x [B, height * width * channels], channels last. Settings that are 0 are the
 * row's own; classes must be given (but for vae). Errors: SHAPE (the image is too small), ARG. */
WHET_CHECKED whet_status whet_i_model_record(whet_ctx *ctx, whet_i_graph *graph,
                                             const whet_i_model *model,
                                             const whet_i_model_settings *settings, whet_i_value x,
                                             whet_i_model_values *out);

/* ---- for the model_ files --------------------------------------------------------------------- */

whet_status whet_i_record_mlp(whet_ctx *ctx, whet_i_graph *graph,
                              const whet_i_model_settings *settings, whet_i_value x,
                              whet_i_model_values *out);
whet_status whet_i_record_lenet(whet_ctx *ctx, whet_i_graph *graph,
                                const whet_i_model_settings *settings, whet_i_value x,
                                whet_i_model_values *out);
whet_status whet_i_record_resnet(whet_ctx *ctx, whet_i_graph *graph,
                                 const whet_i_model_settings *settings, whet_i_value x,
                                 whet_i_model_values *out);
whet_status whet_i_record_wrn(whet_ctx *ctx, whet_i_graph *graph,
                              const whet_i_model_settings *settings, whet_i_value x,
                              whet_i_model_values *out);
whet_status whet_i_record_vae(whet_ctx *ctx, whet_i_graph *graph,
                              const whet_i_model_settings *settings, whet_i_value x,
                              whet_i_model_values *out);

/* A linear layer whose weights and biases begin uniform within 1 / sqrt(columns of x): torch's
 * defaults (He et al. 2015 with a = sqrt 5). */
WHET_CHECKED whet_status whet_i_dense(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                      const char *module, int64_t n, whet_i_act act,
                                      whet_i_value *out);
/* The same, its activation in an operation of its own where `apart`. */
WHET_CHECKED whet_status whet_i_hidden(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                       const char *module, int64_t n, whet_i_act act, bool apart,
                                       whet_i_value *out);

#endif
