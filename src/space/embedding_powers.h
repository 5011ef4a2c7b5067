/* SPDX-License-Identifier: Apache-2.0
 * Distances between candidates and observed points of an embedding to the power q, many at a time. */
#ifndef WHET_EMBEDDING_POWERS_H
#define WHET_EMBEDDING_POWERS_H

#include "space/frechet_i.h"

/* Observed vectors [k, dim] less their centre [dim], and their squared norms [k]. */
typedef struct embedding_powers {
    double *observed, *norm, *centre;
} embedding_powers;

enum { POWERS_PANEL = 256 }; /* candidates at a time, at most */

WHET_CHECKED whet_status whet_i_embedding_powers_make(whet_ctx *ctx, const whet_frechet *f,
                                                      embedding_powers *out);
void whet_i_embedding_powers_free(whet_ctx *ctx, embedding_powers *e);
/* Candidates from .. from + n - 1: out [n, k]; scratch [n, dim]. Right to a few units in the 13th digit. */
void whet_i_embedding_powers(const whet_frechet *f, const embedding_powers *e, int64_t from,
                             int64_t n, double *out, double *scratch);

#endif
