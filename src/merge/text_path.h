/* SPDX-License-Identifier: Apache-2.0
 * Loss and accuracy on the line between two encoders with a head for classes, on texts with labels. */
#ifndef WHET_MERGE_TEXT_PATH_H
#define WHET_MERGE_TEXT_PATH_H

#include "merge/align_files.h"
#include "nn/nn_i.h"

/* What a job's table says, as the model of A reads it. */
typedef struct whet_i_text_inputs {
    whet_i_encoder_config config;
    whet_token_rows tokens; /* [n] */
    int32_t *labels;        /* [n] */
    int64_t n, classes;
} whet_i_text_inputs;

/* The job's table: rows whose label is not empty. dirs: folders of A and B with config.json and, of A, the
 * tokenizer; B's NULL = not known. Classes are those that config.json's id2label names, or numbers from 0 (or
 * LABEL_0 ...) where it names none; classes: rows of the head. Errors: IO, FORMAT, UNSUPPORTED (config.json,
 * tokenizer), ARG (columns, max_length), DATA (labels that are no class; the two models name classes
 * differently), NOMEM, LIMIT. Released by _free, also on failure. (text_inputs.c) */
WHET_CHECKED whet_status whet_i_text_inputs_read(whet_ctx *ctx, const whet_align_job *job,
                                                 const char *const dirs[2], const whet_weights *a,
                                                 whet_i_text_inputs *out);
void whet_i_text_inputs_free(whet_ctx *ctx, whet_i_text_inputs *inputs);

/* As whet_mode_path. Errors: SHAPE, FORMAT (a tensor is missing), UNSUPPORTED, NOMEM, CANCELLED. Memory: one
 * mixture in f32, twice. (text_path.c) */
WHET_CHECKED whet_status whet_i_text_path(whet_ctx *ctx, const whet_i_text_inputs *inputs,
                                          const whet_weights *a, const whet_weights *b,
                                          int64_t points, whet_mode_point *out, double *barrier);

/* The tensor of that name, with the family's prefix or without it, or NULL. */
const whet_tensor *whet_i_text_tensor(const whet_weights *weights, const char *prefix,
                                      const char *name);

#endif
