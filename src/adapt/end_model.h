/* SPDX-License-Identifier: Apache-2.0
 * The end model of a run: an encoder tuned on a candidate's probabilities.
 * Legend: n rows of the pool, d features, k classes. */
#ifndef WHET_ADAPT_END_MODEL_H
#define WHET_ADAPT_END_MODEL_H

#include "adapt/pipeline_i.h"

/* A tuned encoder and its head. */
typedef struct whet_i_tuned {
    int64_t d, k;
    float *weight, *bias; /* [k, d], [k] */
    whet_encoder *encoder;
} whet_i_tuned;

/* Tunes the encoder of the job on labels [n], -1 = none, and probs [n, k] of the pool into `folder`, which
 * there is: at most WHET_I_TUNE_ROWS evenly spaced rows, and the labelled ones. What it leaves in *out on
 * failure is released by whet_i_tuned_free. (tune_encoder.c) */
enum { WHET_I_TUNE_ROWS = 2000, WHET_I_TUNE_EPOCHS = 3 };
WHET_CHECKED whet_status whet_i_tune_encoder(whet_ctx *ctx, const whet_i_run *run,
                                             const int32_t *labels, const double *probs,
                                             const char *folder, whet_i_tuned *out);
void whet_i_tuned_free(whet_ctx *ctx, whet_i_tuned *tuned);

/* The stage (end_model.c): cross-fits, decides, and where the tuned encoder is kept, makes it in
 * dir/classifier/encoder: run->end. Does nothing for the logistic end model. */
WHET_CHECKED whet_status whet_i_run_end_model(whet_ctx *ctx, whet_i_run *run, const char *dir);
/* Calibrated probabilities [n, k] of texts by the tuned encoder that was kept. */
WHET_CHECKED whet_status whet_i_end_model_predict(whet_ctx *ctx, const whet_i_run *run,
                                                  const whet_str *texts, int64_t n, double *probs);
void whet_i_end_model_free(whet_ctx *ctx, whet_i_end_model *end);

#endif
