/* SPDX-License-Identifier: Apache-2.0
 * The safetensors parser, from memory: what files and fuzzing both go through. */
#ifndef WHET_SAFETENSORS_I_H
#define WHET_SAFETENSORS_I_H

#include "io/io_i.h"

/* Views point into `bytes`, which must outlive the result; closed by whet_safetensors_close. */
WHET_CHECKED whet_status whet_i_safetensors_parse(whet_ctx *ctx, const char *where,
                                                  const char *bytes, int64_t len,
                                                  whet_safetensors **out);

#endif
