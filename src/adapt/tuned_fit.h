/* SPDX-License-Identifier: Apache-2.0
 * A tuned encoder's head as a fit; what it is compared with, on fewer labels, and what that teaches it. */
#ifndef WHET_ADAPT_TUNED_FIT_H
#define WHET_ADAPT_TUNED_FIT_H

#include "label/label_i.h"
#include "whet/adapt.h"

/* Place of candidate "encoder" in the table. */
int64_t whet_i_encoder_place(void);
/* As whet_adapt_train, on other labels, of candidate `at` of *like alone, which is chosen in it: its parts
 * there, and what they smooth, are cross-fitted anew; a blend's parts get new weights (train.c). */
WHET_CHECKED whet_status whet_i_fit_again(whet_ctx *ctx, const whet_adapt_fit *like, int64_t at,
                                          const whet_adapt_input *input,
                                          const whet_adapt_opts *opts, whet_adapt_fit **out);
/* What candidate `at` has to say of the training rows, features [n, d] of which are given again: of weak
 * supervision the labeller's probabilities, else the candidate's own. probs [n, k]. */
WHET_CHECKED whet_status whet_i_fit_teach(whet_ctx *ctx, const whet_adapt_fit *fit, int64_t at,
                                          const float *features, int64_t n, double *probs);
/* A linear head of tuned features at a temperature, as the fit of candidate "encoder", which is chosen in it;
 * what *head holds becomes the fit's. info: name, title, settings and figures of the others. */
WHET_CHECKED whet_status whet_i_tuned_fit_make(whet_ctx *ctx, const whet_names *classes,
                                               whet_i_linear_model *head, double temperature,
                                               const char *words, whet_adapt_fit **out);

#endif
