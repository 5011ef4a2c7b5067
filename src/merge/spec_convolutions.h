/* SPDX-License-Identifier: Apache-2.0
 * "convolutions" of a specification as JSON (docs/formats/permutations.md). */
#ifndef WHET_MERGE_SPEC_CONVOLUTIONS_H
#define WHET_MERGE_SPEC_CONVOLUTIONS_H

#include "io/io_i.h"
#include "merge/align_i.h"

/* Reads the member of a document, where there is one. Errors: FORMAT, by name; NOMEM. */
WHET_CHECKED whet_status whet_i_spec_convolutions_read(whet_ctx *ctx, const char *where,
                                                       const json_t *document,
                                                       whet_permutation_spec *spec);
/* Sets it, where convolutions are told; false: no memory. */
bool whet_i_spec_convolutions_write(const whet_permutation_spec *spec, json_t *document);

#endif
