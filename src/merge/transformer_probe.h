/* SPDX-License-Identifier: Apache-2.0
 * Transformers with drawn weights, one layer at a time: embeddings, that layer, the last norm and the heads,
 * in the shapes of given tensors. Layers follow each other on one stream, so that permutations which keep
 * what every such network does keep what the whole does; and no more than a layer takes memory. */
#ifndef WHET_MERGE_TRANSFORMER_PROBE_H
#define WHET_MERGE_TRANSFORMER_PROBE_H

#include "merge/align_i.h"
#include "nn/nn_i.h"

typedef struct whet_i_transformer {
    const whet_weights *weights;
    const whet_i_family *family; /* NULL: Llama and its relatives */
    const char *prefix;          /* of names in these weights, but for heads */
    int64_t layers, hidden, inner, heads, kv, size, vocab, positions, types;
} whet_i_transformer;

/* Whether tensors have the names of a transformer that can be run here. */
bool whet_i_transformer_named(const whet_weights *weights);
/* Which one: of config.json's model_type, NULL = names alone tell, with so many heads. Names are
 * Hugging Face's. Errors: UNSUPPORTED (another type; tensors that are missing or of other shapes). */
WHET_CHECKED whet_status whet_i_transformer_find(whet_ctx *ctx, const whet_weights *weights,
                                                 const char *model_type,
                                                 const whet_permutation_hints *hints,
                                                 whet_i_transformer *out);
/* Whether axis 0 of a tensor of these weights is of tokens, positions, segments or classes: no units. */
bool whet_i_transformer_is_table(const whet_i_transformer *t, const char *name);
/* Whether a tensor is a norm of the queries or keys of each head by itself (Qwen3): of numbers that turn, and
 * have one order. It is not in a probe, where it would change nothing of what moves. */
bool whet_i_transformer_is_head_norm(const whet_i_transformer *t, const char *name,
                                     const whet_tensor *tensor);

enum { WHET_I_PROBE_OUTPUTS = 3 };

/* One that it puts out: [rows, columns]. */
typedef struct whet_i_probe_output {
    const char *what; /* for a sentence */
    const char
        *order; /* a name of the weights: its axis 0 numbers the columns; NULL = nothing may */
    bool last;  /* nothing reads it: it is what the whole network is there for */
    int64_t rows, columns;
    float *values[2];   /* as it is, and permuted */
    whet_i_value value; /* in a recording */
} whet_i_probe_output;

typedef struct whet_i_probe {
    const whet_i_transformer *t;
    int64_t layer, n;   /* parameters */
    int64_t *place;     /* [n] among the weights */
    whet_tensor *drawn; /* [n] f32; tables have few of their rows */
    int64_t count;      /* numbers of all of them */
    whet_i_probe_output outputs[WHET_I_PROBE_OUTPUTS];
    int n_outputs;
} whet_i_probe;

/* Draws layer `layer` and what is around it. What it leaves behind on failure is released by _free.
 * Errors: UNSUPPORTED (tensors that are missing or of other shapes, by name), NOMEM, LIMIT. */
WHET_CHECKED whet_status whet_i_probe_make(whet_ctx *ctx, const whet_i_transformer *t,
                                           int64_t layer, whet_i_probe *out);
/* Runs it with these values [n] on a few tokens; outputs go to values[which]. Errors: NOMEM, LIMIT. */
WHET_CHECKED whet_status whet_i_probe_run(whet_ctx *ctx, whet_i_probe *probe,
                                          const whet_tensor *values, int which);
void whet_i_probe_free(whet_ctx *ctx, whet_i_probe *probe);

#endif
