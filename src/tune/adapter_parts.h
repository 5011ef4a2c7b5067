/* SPDX-License-Identifier: Apache-2.0
 * The tensors of a file of adapters by layer, before they are known to belong together. */
#ifndef WHET_TUNE_ADAPTER_PARTS_H
#define WHET_TUNE_ADAPTER_PARTS_H

#include "tune/adapter_set.h"

typedef enum whet_i_part {
    WHET_I_PART_FIRST,
    WHET_I_PART_SECOND,
    WHET_I_PART_MAGNITUDE,
    WHET_I_PART_GENERAL_FIRST, /* of GraLoRA's ordinary LoRA */
    WHET_I_PART_GENERAL_SECOND,
    WHET_I_PARTS,
    WHET_I_PART_BIAS
} whet_i_part;

typedef struct whet_i_layer_parts {
    whet_tensor tensors[WHET_I_PARTS]; /* data NULL = not there */
} whet_i_layer_parts;

typedef struct whet_i_parts {
    whet_names *modules;
    whet_i_layer_parts *items; /* one a module */
} whet_i_parts;

/* The layers of `a`, whose memory is taken here, from their tensors. All that do not fit are told in one
 * sentence (SHAPE). */
WHET_CHECKED whet_status whet_i_adapter_layers(whet_ctx *ctx, whet_adapter *a,
                                               const whet_i_peft_config *config,
                                               const whet_i_parts *parts);
/* GraLoRA as the LoRA that it is, with heads and biases of `a`, whose layers are GraLoRA's. */
WHET_CHECKED whet_status whet_i_gralora_import(whet_ctx *ctx, const whet_adapter *a,
                                               const whet_i_peft_config *config,
                                               const whet_i_parts *parts, whet_adapter **out);

/* Sentences about several things at once. */
typedef struct whet_i_problems {
    whet_i_buf text;
    int64_t n;
} whet_i_problems;
WHET_CHECKED whet_status whet_i_problem(whet_ctx *ctx, whet_i_problems *problems,
                                        const char *format, ...) WHET_PRINTF(3, 4);
/* OK without problems; else `status` with them, the first few in full. Releases them. */
WHET_CHECKED whet_status whet_i_problems_end(whet_ctx *ctx, whet_status status, const char *where,
                                             whet_i_problems *problems);

#endif
