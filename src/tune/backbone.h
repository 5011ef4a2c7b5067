/* SPDX-License-Identifier: Apache-2.0
 * The pretrained model that is tuned: an encoder of the BERT family, or a Llama-like language model.
 * What the stages need to know of either is here; none of them asks for more. */
#ifndef WHET_TUNE_BACKBONE_H
#define WHET_TUNE_BACKBONE_H

#include <jansson.h>

#include "nn/nn_i.h"

typedef struct whet_i_backbone {
    bool causal; /* a language model */
    const char *model_type;
    const char *prefix;     /* of the model's names; those of a head lack it */
    const char *classifier; /* what transformers calls it with a head for classes */
    const char *head[2];    /* the modules of that head: the last, and one before it or NULL */
    const char *layers[6];  /* ends of names: query, key, value, mixed, up, down */
    int64_t vocab;
    int64_t max_length; /* tokens a text */
    int64_t first_position;
    double dropout[3]; /* of hidden units, attention, head */
    json_t *config_json;
    whet_tokenizer *tokenizer;
    whet_i_weight_files files;
    whet_i_encoder_config encoder; /* unless causal */
    whet_i_llama_config llama;     /* when causal */
} whet_i_backbone;

/* Settings, tokenizer and weights of a folder. max_length 0: the model's; dropout negative: as
 * config.json says. What it leaves behind on failure is released by closing. Sentences name the folder.
 * Errors: IO, FORMAT, SHAPE, UNSUPPORTED, ARG (max_length), NOMEM. */
WHET_CHECKED whet_status whet_i_backbone_open(whet_ctx *ctx, const char *dir, int64_t max_length,
                                              double dropout, whet_i_backbone *out);
/* In training; negative changes nothing. */
void whet_i_backbone_set_dropout(whet_i_backbone *backbone, double dropout);
void whet_i_backbone_close(whet_ctx *ctx, whet_i_backbone *backbone);

/* hidden [rows of the selection, hidden]; feeds: ids, positions, and of some encoders segments. bare: an
 * encoder by itself, whose names have no prefix. */
WHET_CHECKED whet_status whet_i_backbone_record(whet_ctx *ctx, whet_i_graph *graph,
                                                const whet_i_backbone *backbone, bool bare,
                                                whet_i_selection selection, whet_i_value *hidden);
/* The tokens that a head for classes reads; WHET_I_HEAD_POOLED: that embeddings are made of. */
whet_i_selection whet_i_backbone_selection(const whet_i_backbone *backbone, whet_i_head_kind kind);
/* The head for `outputs` classes or numbers: logits [B, outputs]. */
WHET_CHECKED whet_status whet_i_backbone_classify(whet_ctx *ctx, whet_i_graph *graph,
                                                  const whet_i_backbone *backbone,
                                                  whet_i_head_kind kind, int64_t outputs,
                                                  whet_i_value hidden, whet_i_value *logits);
/* The loss of next tokens: labels [T, 1], negative where nothing is asked for. */
WHET_CHECKED whet_status whet_i_backbone_next_token_loss(whet_ctx *ctx, whet_i_graph *graph,
                                                         const whet_i_backbone *backbone,
                                                         whet_i_value hidden, whet_i_value labels,
                                                         whet_i_value *loss);
/* Whether `name`, of a parameter or module, is of the head for classes. */
bool whet_i_backbone_is_head(const whet_i_backbone *backbone, const char *name);

#endif
