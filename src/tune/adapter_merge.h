/* SPDX-License-Identifier: Apache-2.0
 * Adapters merged into a model folder, stage by stage: what is written (adapter_merge.c), the files of
 * weights (merged_weights.c), the other files (merged_files.c), and whether the merged model does what
 * the base with its adapters does (merged_probe.c). */
#ifndef WHET_TUNE_ADAPTER_MERGE_H
#define WHET_TUNE_ADAPTER_MERGE_H

#include "tune/adapter_blocks.h"

/* A tensor of the merged model. */
typedef struct whet_i_merged_tensor {
    const char *name;  /* in the merged model */
    whet_tensor base;  /* in the base; data NULL = it has none */
    whet_tensor whole; /* what stands in its place; data NULL = the base's */
    bool changed;      /* a vector of the base: what adapters change of it is weighted */
    bool adapted;      /* some adapter has a layer of it */
    whet_dtype dtype;  /* written */
} whet_i_merged_tensor;

/* One file of weights. */
typedef struct whet_i_merged_file {
    const char *name;
    const whet_safetensors *from;
    whet_i_merged_tensor *items;
    int64_t n;
} whet_i_merged_file;

typedef struct whet_i_merging {
    const whet_adapter_merge_job *job;
    whet_i_weight_files files;
    char identity[WHET_I_IDENTITY];
    whet_adapter **adapters;           /* [job->n], NULL = not open yet */
    const char *prefix;                /* put before the base's names; "" */
    whet_i_merged_file *out;           /* [files.n] */
    int64_t n_adapted, n_heads, n_own; /* of biases, norms: tensors of folders of such weights */
    bool heads;
    bool tied;       /* the base has no head but its word vectors */
    bool parts_head; /* the head is not the word vectors, and config.json says so */
    whet_i_arena arena;
    /* what came out */
    double layer_difference, layer_scale; /* of the layers' outputs */
    double difference, scale;             /* of the model's; scale 0 = it was not run */
    double head_difference, head_scale;   /* of its logits of next tokens; scale 0 = it has none */
    int64_t texts, tokens;
} whet_i_merging;

static inline double whet_i_merging_weight(const whet_i_merging *m, int64_t i) {
    return m->job->weights ? m->job->weights[i] : 1;
}
/* The layer of adapter `i` whose weight the base calls so, or NULL. */
const whet_i_adapter_layer *whet_i_merging_layer(const whet_i_merging *m, int64_t i,
                                                 const char *base);

/* Writes all files of weights into `dir`. Errors: NUMERIC (a sum that is not finite in the type), IO,
 * NOMEM. */
WHET_CHECKED whet_status whet_i_merged_weights(whet_ctx *ctx, whet_i_merging *m, const char *dir);
/* Index, config.json, tokenizer and the like. */
WHET_CHECKED whet_status whet_i_merged_files(whet_ctx *ctx, const whet_i_merging *m,
                                             const char *dir);
/* Fills differences: of each layer on random inputs, of the whole model on texts where this library runs
 * it. */
WHET_CHECKED whet_status whet_i_merged_probe(whet_ctx *ctx, whet_i_merging *m, const char *dir);

#endif
