/* SPDX-License-Identifier: Apache-2.0
 * What the files of the job of alignment share. */
#ifndef WHET_MERGE_ALIGN_FILES_H
#define WHET_MERGE_ALIGN_FILES_H

#include "io/io_i.h"
#include "merge/align_i.h"
#include "merge/merge_i.h"
#include "merge/merge_model.h"

/* Adds what a network's config.json says of heads, its own (folder) or the one beside its file, if any;
 * refused, by name, where others or what is given says otherwise. Errors: IO, FORMAT, DATA.
 * (spec_of_files.c) */
WHET_CHECKED whet_status whet_i_read_heads(whet_ctx *ctx, const char *network, bool folder,
                                           whet_i_heads *heads);
/* config.json of a folder, or the one beside a file; NULL = there is none. Errors: IO, FORMAT. */
WHET_CHECKED whet_status whet_i_read_config(whet_ctx *ctx, const char *network, bool folder,
                                            json_t **out);
/* Where config.json's of residual networks say their strides to be. */
typedef struct whet_i_strides {
    const char *from;
    bool told;
    bool first_stage;       /* the first stage has one, too */
    bool first_convolution; /* of a bottleneck has it, not the second */
    char refused[256];      /* why the network is not run; "" = it is */
} whet_i_strides;
/* Adds what a network's says, if anything. Errors: IO, FORMAT, DATA (another says otherwise).
 * (residual_config.c) */
WHET_CHECKED whet_status whet_i_read_strides(whet_ctx *ctx, const char *network, bool folder,
                                             whet_i_strides *strides);
/* Whether a network has any that could be said. Pure. */
bool whet_i_has_strides(const whet_permutation_spec *spec, const whet_weights *weights);
/* Tells them to a specification of these weights that tells none itself. Errors: FORMAT, NOMEM. */
WHET_CHECKED whet_status whet_i_tell_strides(whet_ctx *ctx, const whet_i_strides *strides,
                                             const whet_weights *weights,
                                             whet_permutation_spec *spec);
/* Warns, for a network that is to be run, where published ones differ and nothing is told. */
WHET_CHECKED whet_status whet_i_warn_of_strides(whet_ctx *ctx, const whet_permutation_spec *spec,
                                                const whet_weights *weights);
/* The specification of a network in a file or folder: of an architecture with these heads, or a JSON
 * file's, which is refused when it changes the function of these weights. Heads that are given and not used
 * are refused. Errors: as whet_permutation_spec_for, _read and _verify. (spec_of_files.c) */
WHET_CHECKED whet_status whet_i_spec_of_files(whet_ctx *ctx, const char *arch, const char *network,
                                              const whet_safetensors *file,
                                              const whet_weights *weights,
                                              const whet_permutation_hints *given,
                                              const whet_i_heads *heads,
                                              whet_permutation_spec **out);
/* Appends the figure of the result's lines. (mode_figure.c) */
WHET_CHECKED whet_status whet_i_mode_figure(whet_ctx *ctx, const whet_align_result *result,
                                            whet_i_buf *out);

/* How far the losses rise above the straight line between their ends, at most. Pure. (mode_path.c) */
double whet_i_mode_barrier(int64_t points, const whet_mode_point *found);

#endif
