/* SPDX-License-Identifier: Apache-2.0
 * What the files of the encoder share: the model family's table row, the settings read from a
 * folder, the weights, and the forward pass below the tokenizer. */
#ifndef WHET_NN_I_H
#define WHET_NN_I_H

#include <jansson.h>

#include "whet/io.h"
#include "whet/nn.h"

#include "core/core_i.h"
#include "kernels/kernels_i.h"
#include "nn/additions_i.h"
#include "nn/llama_i.h"
#include "nn/model_folder.h"
#include "nn/models_i.h"
#include "nn/ops_i.h"
#include "nn/optimizer_i.h"
#include "nn/shape_text.h"
#include "nn/text_batch.h"

/* ---- families: one row a model type ---------------------------------------------------------- */

/* How a family of encoders names things. All are stacks of: self-attention, residual and norm, two
 * linear layers, residual and norm, after summed embeddings and a norm. Adding a model type that
 * fits is adding a row (bert.c). */
typedef struct whet_i_family {
    const char *model_type; /* config.json's "model_type" */
    const char *prefix;     /* what tensor names may start with, e.g. "bert." */
    /* keys of config.json */
    const char *hidden, *layers, *heads, *inner, *activation, *epsilon; /* epsilon NULL = 1e-12 */
    /* tensors, without ".weight" and ".bias"; type NULL = the family has no segments */
    const char *word, *position, *type, *norm;
    const char *layer; /* before the layer's number; the names below follow ".<number>." */
    const char *query, *key, *value, *mixed, *mixed_norm, *up, *down, *down_norm;
    int64_t position_offset; /* position of the first token */
    /* The head of sequence classification: on the first token, [pooler or head_dense, head_act,]
     * dropout, head_out. The pooler is the encoder's, the rest has no prefix. */
    const char *hidden_dropout, *attention_dropout, *head_dropout; /* keys of config.json */
    const char *pooler, *head_dense, *head_out;
    const char *classifier; /* what transformers calls the model with it */
    whet_i_act head_act;
    bool head_drops_input;
} whet_i_family;

/* The row of a model type, or NULL; the known ones as "bert, ..." for a sentence. */
const whet_i_family *whet_i_family_find(whet_str model_type);
const char *whet_i_family_known(void);

/* ---- settings -------------------------------------------------------------------------------- */

typedef struct whet_i_encoder_config {
    const whet_i_family *family;
    int64_t hidden, layers, heads, inner, vocab, positions, types;
    whet_i_act act;
    float epsilon;
    double hidden_dropout, attention_dropout, head_dropout; /* in training */
    whet_pooling pooling;
    bool normalize;
    int64_t max_length; /* tokens a text, special ones included */
    bool lowered;       /* sentence-transformers puts texts into small letters */
} whet_i_encoder_config;

/* The documents of a folder; all but the model may be NULL: the file is not there. */
typedef struct whet_i_encoder_docs {
    json_t *model;   /* config.json */
    json_t *modules; /* modules.json */
    json_t *pooling; /* 1_Pooling/config.json; not looked at when the options name a pooling */
    json_t *limit;   /* sentence_bert_config.json */
    json_t *prompts; /* config_sentence_transformers.json */
    json_t *tokens;  /* tokenizer_config.json */
} whet_i_encoder_docs;

void whet_i_encoder_docs_free(whet_i_encoder_docs *docs);

/* The settings in these documents; options override. Errors: FORMAT, UNSUPPORTED, ARG. */
WHET_CHECKED whet_status whet_i_encoder_config_parse(whet_ctx *ctx, const whet_i_encoder_docs *docs,
                                                     const whet_encoder_opts *opts,
                                                     whet_i_encoder_config *out);

/* Reads config.json and, where they are, the sentence-transformers files of the folder; options
 * override. Errors: IO, FORMAT, UNSUPPORTED, ARG. */
WHET_CHECKED whet_status whet_i_encoder_config_read(whet_ctx *ctx, const char *dir,
                                                    const whet_encoder_opts *opts,
                                                    whet_i_encoder_config *out);

/* ---- the model ------------------------------------------------------------------------------- */

/* Heads that give [B, outputs] from the tokens. */
typedef enum whet_i_head_kind {
    WHET_I_HEAD_FAMILY, /* the family's own, as transformers has it */
    WHET_I_HEAD_POOLED  /* head_out on the pooled row, as embeddings are used */
} whet_i_head_kind;
/* The tokens that such a head reads; WHET_I_HEAD_POOLED: that pooling reads. */
whet_i_selection whet_i_encoder_selection(const whet_i_encoder_config *config,
                                          whet_i_head_kind kind);

/* Records the encoder; its feeds are ids, positions and, where the family has segments, segments,
 * each [T, 1]. Names of parameters begin with `prefix`. dropout: as config.json says, in training.
 * hidden [rows of the selection, hidden]: the last layer does no work for other tokens. */
WHET_CHECKED whet_status whet_i_encoder_record(whet_ctx *ctx, whet_i_graph *graph,
                                               const whet_i_encoder_config *config,
                                               const char *prefix, bool dropout,
                                               whet_i_selection selection, whet_i_value *hidden);
/* One row a sequence: the pooling and scaling that the settings ask for. */
WHET_CHECKED whet_status whet_i_encoder_pool(whet_ctx *ctx, whet_i_graph *graph,
                                             const whet_i_encoder_config *config,
                                             whet_i_value hidden, whet_i_value *out);

WHET_CHECKED whet_status whet_i_encoder_head(whet_ctx *ctx, whet_i_graph *graph,
                                             const whet_i_encoder_config *config,
                                             const char *prefix, bool dropout,
                                             whet_i_head_kind kind, int64_t outputs,
                                             whet_i_value hidden, whet_i_value *out);

struct whet_encoder {
    whet_i_encoder_config config;
    whet_dtype dtype;
    int64_t batch_tokens;
    bool coarse;
    whet_tokenizer *tokenizer;
    whet_i_weight_files files; /* word vectors are read from the mappings */
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_value embedding; /* [B, hidden] */
    whet_i_load_hook hook;
    char fingerprint[17];
};

/* Opens the folder's weights and fills everything from `files` to the fingerprint.
 * What it leaves behind on failure is released by whet_encoder_destroy. */
WHET_CHECKED whet_status whet_i_encoder_weights_load(whet_ctx *ctx, const char *dir,
                                                     whet_encoder *encoder);

/* ---- forward --------------------------------------------------------------------------------- */

/* Embeddings [rows.n_rows, hidden] of token rows; a row without tokens gives zeros.
 * Errors: DATA (an id outside the vocabulary, a row over the model's positions), NOMEM, CANCELLED.
 */
WHET_CHECKED whet_status whet_i_encoder_forward(whet_ctx *ctx, const whet_encoder *encoder,
                                                const whet_token_rows *rows, float *out);

#endif
