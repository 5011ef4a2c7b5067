/* SPDX-License-Identifier: Apache-2.0
 * Llama-like language models (Touvron et al. 2023; Mistral and Qwen2 are rows of the table): settings
 * of a folder, and the recording. */
#ifndef WHET_NN_LLAMA_I_H
#define WHET_NN_LLAMA_I_H

#include <jansson.h>

#include "nn/model_folder.h"
#include "nn/ops_i.h"

typedef struct whet_i_llama_family {
    const char *model_type;
    const char *classifier; /* what transformers calls the model with a head for classes */
    bool qkv_bias;          /* whatever config.json says */
    bool may_have_bias;     /* attention_bias and mlp_bias count */
    /* Where config.json says nothing: */
    int64_t groups; /* num_key_value_heads, 0 = as many as heads */
    int64_t positions, window;
} whet_i_llama_family;

/* The row of a model type, or NULL; the known ones for a sentence. */
const whet_i_llama_family *whet_i_llama_family_find(whet_str model_type);
const char *whet_i_llama_family_known(void);

enum { WHET_I_ENDS_MAX = 16 };

typedef struct whet_i_llama_config {
    const whet_i_llama_family *family;
    int64_t hidden, layers, heads, groups, d, inner, vocab, positions;
    whet_i_act act;
    double epsilon;
    double attention_dropout; /* in training */
    bool attention_bias, mlp_bias, tied;
    bool untied;   /* config.json says so: a head that is missing is not the word vectors' */
    int32_t begin; /* the token that texts begin with, -1 = none */
    int32_t n_ends, ends[WHET_I_ENDS_MAX]; /* those that end a text */
    double frequency[WHET_I_ROPE_MAX];     /* [d / 2] of rotary embeddings, scaling included */
} whet_i_llama_config;

/* From a parsed config.json; what it asks for and the model does not do is refused by name.
 * Errors: FORMAT, UNSUPPORTED. */
WHET_CHECKED whet_status whet_i_llama_config_parse(whet_ctx *ctx, const json_t *json,
                                                   whet_i_llama_config *out);

/* What ends a text, by a parsed generation_config.json: replaces config.json's, where it says. */
WHET_CHECKED whet_status whet_i_llama_ends_parse(whet_ctx *ctx, const json_t *json,
                                                 whet_i_llama_config *config);

/* Both files of a folder, of which generation_config.json need not be there. Errors: IO, and the above. */
WHET_CHECKED whet_status whet_i_llama_config_read(whet_ctx *ctx, const char *dir,
                                                  whet_i_llama_config *out);

/* Whose head it is, once the files are open: a missing one is the word vectors', and one that is there beside
 * them is the model's own where it differs, whatever "tie_word_embeddings" says, as in transformers. */
void whet_i_llama_find_head(whet_ctx *ctx, const char *dir, const whet_i_weight_files *files,
                            whet_i_llama_config *config);

/* Records the model; feeds are ids and positions, each [T, 1]. hidden [rows of the selection, hidden] after
 * the last norm; the last layer does no work for other tokens. Each layer is a segment. Parameters have
 * their names of transformers' ...ForCausalLM ("model.layers.0.self_attn.q_proj.weight"). */
WHET_CHECKED whet_status whet_i_llama_record(whet_ctx *ctx, whet_i_graph *graph,
                                             const whet_i_llama_config *config,
                                             whet_i_selection selection, whet_i_value *hidden);
/* logits [rows, vocab] of rows [.., hidden]. */
WHET_CHECKED whet_status whet_i_llama_head(whet_ctx *ctx, whet_i_graph *graph,
                                           const whet_i_llama_config *config, whet_i_value rows,
                                           whet_i_value *logits);
/* logits [B, outputs] of each sequence's last token by "<module>.weight", as transformers'
 * ...ForSequenceClassification; drawn with deviation 0.02 when new. */
WHET_CHECKED whet_status whet_i_llama_classifier(whet_ctx *ctx, whet_i_graph *graph,
                                                 const char *module, int64_t outputs,
                                                 whet_i_value hidden, whet_i_value *logits);

#endif
