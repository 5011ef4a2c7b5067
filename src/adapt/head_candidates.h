/* SPDX-License-Identifier: Apache-2.0
 * Candidates of the comparison as heads on a tuned encoder's embeddings: other than the lesson's own,
 * which is tuned_head.c's. Numbered 0 .. whet_i_heads_count() - 1. */
#ifndef WHET_ADAPT_HEAD_CANDIDATES_H
#define WHET_ADAPT_HEAD_CANDIDATES_H

#include "core/core_i.h"

#include "whet/adapt.h"

int64_t whet_i_heads_count(void);
/* The candidate's name, and its settings in words. */
const char *whet_i_heads_name(int64_t at);
const char *whet_i_heads_words(int64_t at);
/* Each fitted to the input, whose features are tuned embeddings of labels and pool, and its probabilities at
 * temperature 1 of x [m, d]: probs [heads, m, k]. */
WHET_CHECKED whet_status whet_i_heads_predict(whet_ctx *ctx, const whet_adapt_input *input,
                                              const float *x, int64_t m, double *probs);
/* One at a temperature, as a fit that goes by the name of candidate "encoder" and has the head as its only
 * part. words: its settings as they are told. */
WHET_CHECKED whet_status whet_i_heads_fit(whet_ctx *ctx, const whet_adapt_input *input, int64_t at,
                                          double temperature, const char *words,
                                          whet_adapt_fit **out);

#endif
