/* SPDX-License-Identifier: Apache-2.0
 * Adapters in a model that runs, without merging: layers add their factors' product (several adapters: their
 * sum, whet_adapter_combine), biases and norms have their weighted changes, whole modules stand in their
 * place. What evaluates while it trains computes the same bits. */
#ifndef WHET_TUNE_ADAPTER_ATTACH_H
#define WHET_TUNE_ADAPTER_ATTACH_H

#include "tune/adapter_set.h"

typedef struct whet_i_attached {
    const whet_adapter *const *items; /* [n] fitted to one base; they outlive this */
    const double *weights;            /* [n] */
    int64_t n;
    const char *prefix; /* that names of parameters have, or lack */
    /* chosen: */
    const whet_adapter *layers; /* what layers add; NULL = nothing */
    double weight;
    whet_adapter *sum; /* owned: `layers` of several */
    whet_i_adapters hook;
    bool parts_head; /* a language model is recorded with a head that is not its word vectors */
} whet_i_attached;

/* Chooses what layers add, and sets the hook, which points to `at`: it must stay where it is. `model`,
 * `files`, `identity`: the base. Errors: as whet_adapter_combine (NUMERIC: weights of DoRA that no DoRA has).
 */
WHET_CHECKED whet_status whet_i_attach(whet_ctx *ctx, whet_i_attached *at, const char *model,
                                       const whet_i_weight_files *files, const char *identity);
void whet_i_attached_free(whet_ctx *ctx, whet_i_attached *at);

/* The stages of loading, as whet_i_load_stage has them. */
WHET_CHECKED whet_status whet_i_attached_at(whet_ctx *ctx, const whet_i_attached *at,
                                            whet_i_load_stage stage, whet_i_params *params);

/* Whether a module of the model that is recorded gets a layer's adapter. Pure. */
bool whet_i_attached_has(const whet_i_attached *at, const char *module);
/* A hash of everything that is added, replaced or changed. O(numbers). */
uint64_t whet_i_attached_hash(const whet_i_attached *at);
/* Whether a parameter has this name but for the prefix. Pure. */
bool whet_i_attached_same(const whet_i_attached *at, const char *a, const char *b);

#endif
