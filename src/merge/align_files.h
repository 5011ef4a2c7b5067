/* SPDX-License-Identifier: Apache-2.0
 * What the files of the job of alignment share. */
#ifndef WHET_MERGE_ALIGN_FILES_H
#define WHET_MERGE_ALIGN_FILES_H

#include "merge/align_i.h"
#include "merge/merge_i.h"

/* The specification of a network in a file or folder: of an architecture, with heads as config.json there or
 * beside it says where `given` does not; or a JSON file's, which is refused when it changes the function of
 * these weights. Errors: as whet_permutation_spec_for, _read and _verify. (spec_of_files.c) */
WHET_CHECKED whet_status whet_i_spec_of_files(whet_ctx *ctx, const char *arch, const char *network,
                                              bool folder, const whet_safetensors *file,
                                              const whet_weights *weights,
                                              const whet_permutation_hints *given,
                                              whet_permutation_spec **out);
/* Appends the figure of the result's lines. (mode_figure.c) */
WHET_CHECKED whet_status whet_i_mode_figure(whet_ctx *ctx, const whet_align_result *result,
                                            whet_i_buf *out);

/* How far the losses rise above the straight line between their ends, at most. Pure. (mode_path.c) */
double whet_i_mode_barrier(int64_t points, const whet_mode_point *found);

#endif
