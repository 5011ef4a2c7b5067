/* SPDX-License-Identifier: Apache-2.0
 * The matrix that an adapter is, row by row: row s N + l of M is the sum over c of W2[l][s][c] times row
 * c N + l of the block-diagonal first factor, which is W1[k][a] on block k, k r + a = c N + l. */
#include "tune/adapter_i.h"

void whet_i_adapter_dense_row(const whet_i_adapter_shape *s, double scale, const float *w1,
                              const float *w2, int64_t row, double *sum) {
    const int64_t l = row % s->blocks, at = row / s->blocks;
    for (int64_t c = 0; c < s->rank && at < s->q; c++) {
        const int64_t z = c * s->blocks + l, first = z / s->rank * s->p;
        const int64_t n = s->in - first < s->p ? s->in - first : s->p;
        const double factor = scale * (double)w2[(l * s->q + at) * s->rank + c];
        for (int64_t i = 0; i < n; i++) sum[first + i] += factor * (double)w1[z * s->p + i];
    }
}
