/* SPDX-License-Identifier: Apache-2.0
 * What the files of the job of alignment share. */
#ifndef WHET_MERGE_ALIGN_FILES_H
#define WHET_MERGE_ALIGN_FILES_H

#include "merge/align_i.h"

/* Appends the figure of the result's lines. (mode_figure.c) */
WHET_CHECKED whet_status whet_i_mode_figure(whet_ctx *ctx, const whet_align_result *result,
                                            whet_i_buf *out);

/* Inputs and labels of a job, as networks expect them. (mode_inputs.c) */
typedef struct whet_i_mode_inputs {
    whet_tensor x, statistics, labels;
    whet_mode_data data;
} whet_i_mode_inputs;
/* Errors: those of whet_array_read; SHAPE, DATA. Released by _free, also on failure. */
WHET_CHECKED whet_status whet_i_mode_inputs_read(whet_ctx *ctx, const whet_align_job *job,
                                                 whet_i_mode_inputs *out);
void whet_i_mode_inputs_free(whet_ctx *ctx, whet_i_mode_inputs *inputs);

#endif
