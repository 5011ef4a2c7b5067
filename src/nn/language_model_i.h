/* SPDX-License-Identifier: Apache-2.0
 * What loading a language model and generating share. */
#ifndef WHET_NN_LANGUAGE_MODEL_I_H
#define WHET_NN_LANGUAGE_MODEL_I_H

#include "nn/llama_i.h"
#include "nn/nn_i.h"

struct whet_language_model {
    whet_i_llama_config config;
    whet_tokenizer *tokenizer;
    whet_i_weight_files files;
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_load_hook hook;
    whet_i_value logits; /* [B, vocab] of the last token of each sequence */
};

/* Everything but the tokenizer. What it leaves behind on failure is released by
 * whet_language_model_destroy. */
WHET_CHECKED whet_status whet_i_language_model_weights(whet_ctx *ctx, const char *dir,
                                                       whet_dtype dtype, whet_language_model *m);

#endif
