/* SPDX-License-Identifier: Apache-2.0
 * A candidate by its name, as users write it. */
#ifndef WHET_ADAPT_METHOD_H
#define WHET_ADAPT_METHOD_H

#include "core/core_i.h"

#define WHET_I_BLEND "blend"

/* The place of the candidate in the table of candidates.c; the blend's is behind its end.
 * Errors: ARG (lists the names and tells the nearest). */
WHET_CHECKED whet_status whet_i_method_find(whet_ctx *ctx, const char *name, int64_t *out);
/* Whether the candidate at this place needs embeddings of the class names. */
bool whet_i_method_needs_names(int64_t place);

#endif
