/* SPDX-License-Identifier: Apache-2.0
 * Which model a folder of weights is. */
#ifndef WHET_TUNE_BASE_IDENTITY_H
#define WHET_TUNE_BASE_IDENTITY_H

#include "nn/nn_i.h"

/* A hash of names, shapes, types and bytes of all weights, whatever files they are in: 16 hexadecimal
 * digits. O(bytes), a tensor a thread. */
enum { WHET_I_IDENTITY = 17 };
WHET_CHECKED whet_status whet_i_base_identity(whet_ctx *ctx, const whet_i_weight_files *files,
                                              char out[WHET_I_IDENTITY]);

#endif
