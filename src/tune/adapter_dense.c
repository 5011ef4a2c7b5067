/* SPDX-License-Identifier: Apache-2.0
 * The matrix that an adapter is, row by row: row s N + l of M is the sum over c of W2[l][s][c] times row
 * c N + l of the block-diagonal first factor, which is W1[k][a] on block k, k r + a = c N + l. */
#include <math.h>

#include "tune/adapter_i.h"

void whet_i_adapter_dense_row(const whet_i_adapter_dense *a, int64_t row, double *sum) {
    const whet_i_adapter_shape *s = &a->shape;
    const int64_t l = row % s->blocks, at = row / s->blocks;
    for (int64_t c = 0; c < s->rank && at < s->q; c++) {
        const int64_t z = c * s->blocks + l, first = z / s->rank * s->p;
        const int64_t n = s->in - first < s->p ? s->in - first : s->p;
        const double factor = a->scale * (double)a->w2[(l * s->q + at) * s->rank + c];
        for (int64_t i = 0; i < n; i++) sum[first + i] += factor * (double)a->w1[z * s->p + i];
    }
}

void whet_i_adapter_merge_row(const whet_i_adapter_dense *a, int64_t row, double *sum, float *w) {
    const int64_t n = a->shape.in;
    double square = 0, factor = 1;
    for (int64_t i = 0; i < n; i++) sum[i] = (double)w[i];
    whet_i_adapter_dense_row(a, row, sum);
    for (int64_t i = 0; i < n && a->magnitudes; i++) square += sum[i] * sum[i];
    if (a->magnitudes) factor = square > 0 ? (double)a->magnitudes[row] / sqrt(square) : 0;
    for (int64_t i = 0; i < n; i++) w[i] = (float)(factor * sum[i]);
}
