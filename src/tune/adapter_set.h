/* SPDX-License-Identifier: Apache-2.0
 * What whet_adapter is inside: layers with their factors, in the order of their names, and tensors that are
 * kept whole. */
#ifndef WHET_TUNE_ADAPTER_SET_H
#define WHET_TUNE_ADAPTER_SET_H

#include <jansson.h>

#include "whet/adapters.h"

#include "io/io_i.h"
#include "nn/nn_i.h"
#include "tensor/tensor_i.h"
#include "tune/adapter_config_read.h"
#include "tune/adapter_kinds.h"
#include "tune/base_identity.h"

typedef struct whet_i_adapter_layer {
    const char *module;         /* as in the adapter, without ".weight" */
    const char *base;           /* tensor of the base, once fitted; else NULL */
    whet_i_adapter_shape shape; /* of W; LoRA has one block */
    double scale;
    whet_tensor first, second; /* A [r, in] and B [out, r], or W1 [N, r, p] and W2 [N, q, r] */
    whet_tensor magnitude;     /* DoRA's [out]; data NULL = none */
} whet_i_adapter_layer;

/* A tensor of a module that is trained whole, the bias of a layer, or a weight of the model itself. */
typedef struct whet_i_adapter_whole {
    const char *name; /* as in the model: "classifier.weight" */
    const char *base; /* once fitted: how the base calls it, which may not have it */
    bool layer_bias;  /* of an adapted layer: "<module>.base_layer.bias" in files */
    bool plain_bias;  /* of a layer without an adapter, where all biases were trained */
    bool own;         /* trained in place, of BitFit's, norms' folders: the base has it */
    bool saved;       /* of a module of modules_to_save, which PEFT puts in the base's place */
    whet_tensor tensor;
} whet_i_adapter_whole;

struct whet_adapter {
    char *path;                     /* of the folder, for sentences */
    bool more;                      /* MoRe, else LoRA or DoRA; or */
    const whet_i_tune_adapter *own; /* BitFit, norms: no layers, weights of the model; else NULL */
    json_t *json;
    whet_safetensors *file;       /* NULL = made, not read */
    whet_i_adapter_layer *layers; /* [n_layers] */
    whet_i_adapter_whole *wholes; /* [n_wholes] */
    int64_t n_layers, n_wholes;
    char *model;        /* once fitted: the base's folder; else NULL */
    const char *prefix; /* once fitted: what its names begin with and the base's lack, or NULL */
    whet_i_arena arena;
};

/* "base_model.model.", which PEFT's names begin with. */
extern const char whet_i_peft_prefix[];
/* Name in adapter_config.json: of the base's identity (base_identity.c), and of [out, in] of the layers
 * whose blocks do not tell. */
#define WHET_I_BASE_KEY "whet_base"
#define WHET_I_SIZES_KEY "whet_sizes"
/* Whose head is one layer on the pooled embedding, which transformers has no name for. */
#define WHET_I_HEAD_KEY "whet_head"
#define WHET_I_HEAD_POOLED_NAME "pooled"

/* The layer of this module, or NULL. */
const whet_i_adapter_layer *whet_i_adapter_find(const whet_adapter *a, const char *module);
/* Copies of the factors in f64; first and second are released by whet_i_free, also one alone on failure. */
WHET_CHECKED whet_status whet_i_adapter_factors(whet_ctx *ctx, const whet_i_adapter_layer *layer,
                                                double **first, double **second);
int64_t whet_i_adapter_layer_count(const whet_i_adapter_layer *layer); /* numbers */
/* Whether the tensor changes the base's of that name, rather than standing in its place. */
static inline bool whet_i_adapter_changes(const whet_i_adapter_whole *w) {
    return w->layer_bias || w->plain_bias || w->own;
}
/* Whether its head reads the pooled embedding. */
static inline bool whet_i_adapter_head_is_pooled(const whet_adapter *a) {
    const char *name = json_string_value(json_object_get(a->json, WHET_I_HEAD_KEY));
    return name && strcmp(name, WHET_I_HEAD_POOLED_NAME) == 0;
}
/* Whether it is DoRA: all layers have magnitudes then. */
static inline bool whet_i_adapter_is_dora(const whet_adapter *a) {
    return a->n_layers > 0 && a->layers[0].magnitude.data;
}
/* ARG unless weights of adapters [n] (NULL = 1 each) are within -1e6 to 1e6. */
WHET_CHECKED whet_status whet_i_adapter_check_weights(whet_ctx *ctx, const double *weights,
                                                      int64_t n);

/* ---- modules kept whole (adapter_heads.c) ------------------------------------------------------- */

/* The tensor of this name, or NULL. */
const whet_i_adapter_whole *whet_i_adapter_find_whole(const whet_adapter *a, const char *name);
/* Whether it has modules that were trained whole. */
bool whet_i_adapter_has_heads(const whet_adapter *a);
/* Whether the tensor `w` of adapter `i` of `items` [n] goes with the others: ARG where one before it has
 * another in its place, SHAPE where one has an adapter of that layer. */
WHET_CHECKED whet_status whet_i_adapter_check_head(whet_ctx *ctx, const whet_adapter *const *items,
                                                   int64_t n, int64_t i,
                                                   const whet_i_adapter_whole *w);
/* The same of all tensors of all. */
WHET_CHECKED whet_status whet_i_adapters_check_heads(whet_ctx *ctx,
                                                     const whet_adapter *const *items, int64_t n);
/* All but `heads_of`, one of their folders `dirs`, give up theirs; NULL: nothing. ARG where it is none. */
WHET_CHECKED whet_status whet_i_adapters_take_heads(whet_ctx *ctx, whet_adapter *const *items,
                                                    const char *const *dirs, int64_t n,
                                                    const char *heads_of);

/* The word vectors, and the head for next tokens, that fitted adapters have whole; NULL = none. */
const whet_i_adapter_whole *whet_i_adapters_words(const whet_adapter *const *items, int64_t n);
const whet_i_adapter_whole *whet_i_adapters_next(const whet_adapter *const *items, int64_t n);
/* Whether a head that is the base's word vectors is that no more. PEFT puts copies in the place of modules
 * one by one: of word vectors that are trained whole the head keeps the base's, and the other way round,
 * unless both are there and equal. */
bool whet_i_adapters_part_head(const whet_adapter *const *items, int64_t n);

/* UNSUPPORTED for weights of the model itself, of which there is no matrix to convert or add up. */
WHET_CHECKED whet_status whet_i_adapter_check_layers(whet_ctx *ctx, const whet_adapter *a);

/* ---- the base (adapter_fit.c) -------------------------------------------------- */

/* whet_adapter_fit on open files, those of `model`, whose identity is known. */
WHET_CHECKED whet_status whet_i_adapter_fit(whet_ctx *ctx, whet_adapter *a, const char *model,
                                            const whet_i_weight_files *files, const char *identity,
                                            bool any_base);

/* ---- making one (adapter_make.c) --------------------------------------------------------------- */

/* Empty, for `capacity` layers and `wholes` tensors; `path` for sentences. */
WHET_CHECKED whet_status whet_i_adapter_create(whet_ctx *ctx, const char *path, bool more,
                                               int64_t capacity, int64_t wholes,
                                               whet_adapter **out);
/* Adds a layer with factors in f64, rounded to f32; scale 1. shape->blocks is 1 of LoRA. */
WHET_CHECKED whet_status whet_i_adapter_put(whet_ctx *ctx, whet_adapter *a, const char *module,
                                            const whet_i_adapter_shape *shape, const double *first,
                                            const double *second);
/* DoRA's magnitudes [out], rounded to f32, of the layer added last. */
WHET_CHECKED whet_status whet_i_adapter_put_magnitude(whet_ctx *ctx, whet_adapter *a,
                                                      const double *magnitude);
/* A copy of the tensor. */
WHET_CHECKED whet_status whet_i_adapter_put_whole(whet_ctx *ctx, whet_adapter *a,
                                                  const whet_i_adapter_whole *whole);
/* whet_adapter_combine; wholes false: without heads and biases. */
WHET_CHECKED whet_status whet_i_adapter_sum(whet_ctx *ctx, const whet_adapter *const *adapters,
                                            const double *weights, int64_t n, bool wholes,
                                            whet_adapter **out);
/* Makes its config: targets by their names, ranks, blocks and alphas by layer; base, task, classes and
 * biases as `like` (NULL = none) says them. */
WHET_CHECKED whet_status whet_i_adapter_settle(whet_ctx *ctx, whet_adapter *a, const json_t *like);

#endif
