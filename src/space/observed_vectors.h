/* SPDX-License-Identifier: Apache-2.0
 * What the methods over embeddings start from: the vectors of the observed points, in f64, and norms; and
 * distances between candidates and observed points to the power q, many at a time. */
#ifndef WHET_OBSERVED_VECTORS_H
#define WHET_OBSERVED_VECTORS_H

#include "space/frechet_i.h"

/* Vectors [k, dim] (unit: times their scale) less a centre [dim], and their squared norms [k]. */
typedef struct observed_vectors {
    double *vector, *norm, *centre;
} observed_vectors;

enum { POWERS_PANEL = 256 }; /* candidates at a time, at most */

/* centred: from their mean, which keeps what is added up small; else from the origin. {0} is fine to free. */
WHET_CHECKED whet_status whet_i_observed_vectors_make(whet_ctx *ctx, const whet_frechet *f,
                                                      bool centred, observed_vectors *out);
void whet_i_observed_vectors_free(whet_ctx *ctx, observed_vectors *o);
/* Squared norms of the candidates from the same centre: norm [n_candidates]; their vectors too,
 * [n_candidates, dim], where `vectors` is not NULL. */
WHET_CHECKED whet_status whet_i_candidate_norms(whet_ctx *ctx, const whet_frechet *f,
                                                const observed_vectors *o, double *vectors,
                                                double *norm);
/* Powers of the distances of candidates from .. from + n - 1: out [n, k]; scratch [n, dim]. Right to a few
 * units in the 13th digit. */
void whet_i_embedding_powers(const whet_frechet *f, const observed_vectors *o, int64_t from,
                             int64_t n, double *out, double *scratch);

#endif
