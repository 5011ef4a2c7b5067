/* SPDX-License-Identifier: Apache-2.0
 * A candidate by its name, as users write it. */
#ifndef WHET_ADAPT_METHOD_H
#define WHET_ADAPT_METHOD_H

#include "core/core_i.h"

#define WHET_I_BLEND "blend"
#define WHET_I_AUTO "auto"    /* every candidate is compared, slow ones too */
#define WHET_I_NO_WEAK "none" /* as without a method: those of weak supervision are left out */

/* Whether the word leaves the choice to the comparison: NULL, "auto", "none". */
bool whet_i_method_compares(const char *name);
/* The place of the candidate in the table of candidates.c; the blend's is behind its end, and so is that of
 * a word that leaves the choice to the comparison.
 * Errors: ARG (lists the names and tells the nearest). */
WHET_CHECKED whet_status whet_i_method_find(whet_ctx *ctx, const char *name, int64_t *out);
/* Whether the candidate at this place needs embeddings of the class names. */
bool whet_i_method_needs_names(int64_t place);

#endif
