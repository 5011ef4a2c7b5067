/* SPDX-License-Identifier: Apache-2.0
 * Private to bench: Fourier transforms of square complex arrays, in double. */
#ifndef WHET_BENCH_FOURIER_H
#define WHET_BENCH_FOURIER_H

#include "core/core_i.h"

typedef struct whet_i_fourier {
    int64_t n;
    double *cosine, *sine; /* [n] of 2 pi p / n */
} whet_i_fourier;

/* For a side n, a power of two, 1 to 2^15. Read-only once made: may be shared. Errors: ARG, NOMEM.
 * whet_i_fourier_free takes what was never made, too. */
WHET_CHECKED whet_status whet_i_fourier_make(whet_ctx *ctx, int64_t n, whet_i_fourier *out);
void whet_i_fourier_free(whet_ctx *ctx, whet_i_fourier *f);
/* Numbers of scratch that a transform takes. */
int64_t whet_i_fourier_room(const whet_i_fourier *f);

/* re, im [n, n] become X[a, b] = sum_rc x[r, c] exp(-2 pi i (a r + b c) / n), in place. Called with re and
 * im exchanged, it is the same with +i: the inverse but for 1 / n^2. Cost 10 n^2 log2 n, n = 64 in L1.
 * Errors of relative size 2^-53 log2 n. Pure. */
void whet_i_fourier_2d(const whet_i_fourier *f, double *re, double *im, double *scratch);

#endif
