/* SPDX-License-Identifier: Apache-2.0
 * Language models of any shape, with drawn weights, in folders that are made here; prompts for them; and
 * what whole passes say, as the oracle of generation. */
#ifndef WHET_TEST_MADE_LLAMA_H
#define WHET_TEST_MADE_LLAMA_H

#include "support.h"

#include "nn/language_model_i.h"

typedef struct llama_shape {
    int64_t layers, hidden, heads, groups, d, inner, vocab, positions;
} llama_shape;

/* One number of one tensor is another. */
typedef struct damage {
    const char *name;
    int64_t at;
    float value;
} damage;

/* A folder; `ends` is config.json's eos_token_id, bos_token_id is 0; hurt NULL = sound weights. */
const char *make_llama(whet_ctx *ctx, const llama_shape *s, const char *ends, const damage *hurt);
/* Its model without a tokenizer; whet_language_model_destroy. */
whet_language_model *load_llama(whet_ctx *ctx, const char *dir);

/* n rows of these lengths, over and over, of tokens that vary; free_prompts. */
void make_prompts(whet_token_rows *p, int64_t n, const int64_t *lengths, int64_t n_lengths,
                  int64_t vocab);
void free_prompts(whet_token_rows *p);

/* Logits [vocab] behind ids[0..n), by a pass over all of them without a cache. */
void whole_pass(whet_ctx *ctx, const whet_language_model *m, const int32_t *ids, int64_t n,
                float *logits);

#endif
