/* SPDX-License-Identifier: Apache-2.0
 * kernels: which set of CPU kernels a context uses. */
#ifndef WHET_KERNELS_H
#define WHET_KERNELS_H

#include "whet/core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Chooses a kernel set: "ref", "avx2", "avx512", "avx512-bf16", "amx"; NULL or "auto" = the best the
 * processor has (what a context uses when this is never called). WHET_ERR_ARG lists the sets when the
 * name is unknown or the processor lacks it. */
WHET_API WHET_CHECKED whet_status whet_kernels_select(whet_ctx *ctx, const char *name);
/* Name of the set in use. */
WHET_API const char *whet_kernels_name(whet_ctx *ctx);

#ifdef __cplusplus
}
#endif
#endif
