/* SPDX-License-Identifier: Apache-2.0
 * The families of encoders, one row each. BERT: Devlin et al. 2019, arXiv 1810.04805; names as in
 * Hugging Face checkpoints. */
#include "nn/nn_i.h"

/* Liu et al. 2019, arXiv 1907.11692; positions begin behind the padding token's. */
#define ROBERTA \
    .prefix = "roberta.", .hidden = "hidden_size", .layers = "num_hidden_layers", \
    .heads = "num_attention_heads", .inner = "intermediate_size", .activation = "hidden_act", \
    .epsilon = "layer_norm_eps", .word = "embeddings.word_embeddings", \
    .position = "embeddings.position_embeddings", .type = "embeddings.token_type_embeddings", \
    .norm = "embeddings.LayerNorm", .layer = "encoder.layer", .query = "attention.self.query", \
    .key = "attention.self.key", .value = "attention.self.value", \
    .mixed = "attention.output.dense", .mixed_norm = "attention.output.LayerNorm", \
    .up = "intermediate.dense", .down = "output.dense", .down_norm = "output.LayerNorm", \
    .position_offset = 2, .hidden_dropout = "hidden_dropout_prob", \
    .attention_dropout = "attention_probs_dropout_prob", .head_dropout = "classifier_dropout", \
    .head_dense = "classifier.dense", .head_act = WHET_I_ACT_TANH, .head_drops_input = true, \
    .head_out = "classifier.out_proj"

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
        .hidden_dropout = "hidden_dropout_prob",
        .attention_dropout = "attention_probs_dropout_prob",
        .head_dropout = "classifier_dropout",
        .classifier = "BertForSequenceClassification",
        .pooler = "pooler.dense",
        .head_act = WHET_I_ACT_TANH,
        .head_out = "classifier",
    },
    {.model_type = "roberta", .classifier = "RobertaForSequenceClassification", ROBERTA},
    /* The same network with a tokenizer of its own: Conneau et al. 2020, arXiv 1911.02116; Martin et al.
     * 2020, arXiv 1911.03894. */
    {.model_type = "xlm-roberta", .classifier = "XLMRobertaForSequenceClassification", ROBERTA},
    {.model_type = "camembert", .classifier = "CamembertForSequenceClassification", ROBERTA},
    {
        /* Sanh et al. 2019, arXiv 1910.01108. */
        .model_type = "distilbert",
        .prefix = "distilbert.",
        .hidden = "dim",
        .layers = "n_layers",
        .heads = "n_heads",
        .inner = "hidden_dim",
        .activation = "activation",
        .word = "embeddings.word_embeddings",
        .position = "embeddings.position_embeddings",
        .norm = "embeddings.LayerNorm",
        .layer = "transformer.layer",
        .query = "attention.q_lin",
        .key = "attention.k_lin",
        .value = "attention.v_lin",
        .mixed = "attention.out_lin",
        .mixed_norm = "sa_layer_norm",
        .up = "ffn.lin1",
        .down = "ffn.lin2",
        .down_norm = "output_layer_norm",
        .position_offset = 0,
        .hidden_dropout = "dropout",
        .attention_dropout = "attention_dropout",
        .head_dropout = "seq_classif_dropout",
        .classifier = "DistilBertForSequenceClassification",
        .head_dense = "pre_classifier",
        .head_act = WHET_I_ACT_RELU,
        .head_out = "classifier",
    },
};

const whet_i_family *whet_i_family_find(whet_str model_type) {
    for (int64_t i = 0; i < WHET_COUNT_OF(families); i++)
        if (whet_str_equal(model_type, whet_str_from(families[i].model_type))) return &families[i];
    return NULL;
}

const char *whet_i_family_known(void) {
    return "\"bert\", \"roberta\", \"xlm-roberta\", \"camembert\" or \"distilbert\"";
}
