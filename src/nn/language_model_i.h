/* SPDX-License-Identifier: Apache-2.0
 * What loading a language model and generating share. */
#ifndef WHET_NN_LANGUAGE_MODEL_I_H
#define WHET_NN_LANGUAGE_MODEL_I_H

#include <jansson.h>

#include "nn/llama_i.h"
#include "nn/nn_i.h"

typedef struct whet_i_weight_file {
    char *name; /* in the folder */
    whet_safetensors *tensors;
} whet_i_weight_file;

struct whet_language_model {
    whet_i_llama_config config;
    whet_tokenizer *tokenizer;
    whet_i_weight_file *files; /* [n_files] */
    int64_t n_files;
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_value logits; /* [B, vocab] of the last token of each sequence */
};

/* Which files "weight_map" of a parsed model.safetensors.index.json names, each once: files of the
 * folder, nothing else. names holds some of them on failure. Errors: FORMAT, LIMIT, NOMEM. */
WHET_CHECKED whet_status whet_i_weight_files_parse(whet_ctx *ctx, const json_t *index,
                                                   whet_names *names);

/* Everything but the tokenizer. What it leaves behind on failure is released by
 * whet_language_model_destroy. */
WHET_CHECKED whet_status whet_i_language_model_weights(whet_ctx *ctx, const char *dir,
                                                       whet_dtype dtype, whet_language_model *m);

#endif
