/* SPDX-License-Identifier: Apache-2.0
 * The specification of the kernels for norms by columns; see whet_i_channels. Sums are f64's, of sums
 * of ROWS rows in whet_i_real. */
#include "kernels/kernels_i.h"

enum { ROWS = 16 };

static int64_t end_of(int64_t top, int64_t rows) { return top + ROWS < rows ? top + ROWS : rows; }

void whet_i_ref_channel_moments(int64_t rows, int64_t n, const whet_i_real *x,
                                const whet_i_real *center, double *sum, double *squares) {
    for (int64_t top = 0; top < rows; top += ROWS)
        for (int64_t j = 0; j < n; j++) {
            whet_i_real first = 0, second = 0;
            for (int64_t i = top; i < end_of(top, rows); i++) {
                const whet_i_real off = x[i * n + j] - center[j];
                first += off;
                second += off * off;
            }
            sum[j] += (double)first;
            squares[j] += (double)second;
        }
}

static whet_i_real before(const whet_i_channels *p, int64_t at, int64_t j) {
    const whet_i_real z = (p->x[at] - p->mean[j]) * p->scale[j] + p->beta[j];
    return p->residual ? z + p->residual[at] : z;
}

void whet_i_ref_channel_norm(const whet_i_channels *p) {
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t j = 0; j < p->n; j++) {
            const int64_t at = i * p->n + j;
            const whet_i_real z = before(p, at, j);
            p->y[at] = z < 0 ? p->slope == 0 ? 0 : p->slope * z : z; /* NaN stays NaN */
        }
}

/* The gradient before the activation, from that behind it. */
static whet_i_real gate(const whet_i_channels *p, int64_t at, int64_t j) {
    if (p->gated || p->slope == 1) return p->g[at];
    const whet_i_real sign = p->y ? p->y[at] : before(p, at, j);
    return sign > 0 ? p->g[at] : p->slope * p->g[at];
}

void whet_i_ref_channel_norm_sums(const whet_i_channels *p) {
    for (int64_t top = 0; top < p->rows; top += ROWS)
        for (int64_t j = 0; j < p->n; j++) {
            whet_i_real sum = 0, products = 0;
            for (int64_t i = top; i < end_of(top, p->rows); i++) {
                const int64_t at = i * p->n + j;
                const whet_i_real g = gate(p, at, j);
                if (p->y) p->g[at] = g;
                sum += g;
                products += g * (p->x[at] - p->mean[j]);
            }
            p->sum[j] += (double)sum;
            p->products[j] += (double)products;
        }
}

void whet_i_ref_channel_norm_backward(const whet_i_channels *p) {
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t j = 0; j < p->n; j++) {
            const int64_t at = i * p->n + j;
            const whet_i_real off = p->x[at] - p->mean[j];
            const whet_i_real d = p->scale[j] * (gate(p, at, j) - p->first[j] - off * p->second[j]);
            p->dx[at] = p->adds ? p->dx[at] + d : d;
        }
}
