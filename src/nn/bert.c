/* SPDX-License-Identifier: Apache-2.0
 * The families of encoders, one row each. BERT: Devlin et al. 2019, arXiv 1810.04805; names as in
 * Hugging Face checkpoints. */
#include "nn/nn_i.h"

static const whet_i_family families[] = {
    {
        .model_type = "bert",
        .prefix = "bert.",
        .hidden = "hidden_size",
        .layers = "num_hidden_layers",
        .heads = "num_attention_heads",
        .inner = "intermediate_size",
        .activation = "hidden_act",
        .epsilon = "layer_norm_eps",
        .word = "embeddings.word_embeddings",
        .position = "embeddings.position_embeddings",
        .type = "embeddings.token_type_embeddings",
        .norm = "embeddings.LayerNorm",
        .layer = "encoder.layer",
        .query = "attention.self.query",
        .key = "attention.self.key",
        .value = "attention.self.value",
        .mixed = "attention.output.dense",
        .mixed_norm = "attention.output.LayerNorm",
        .up = "intermediate.dense",
        .down = "output.dense",
        .down_norm = "output.LayerNorm",
        .position_offset = 0,
    },
};

const whet_i_family *whet_i_family_find(whet_str model_type) {
    for (int64_t i = 0; i < WHET_COUNT_OF(families); i++)
        if (whet_str_equal(model_type, whet_str_from(families[i].model_type))) return &families[i];
    return NULL;
}

const char *whet_i_family_known(void) { return "\"bert\""; }
