/* SPDX-License-Identifier: Apache-2.0
 * The reference kernels of adapters' factors: the specification, and what other tables do where the
 * number of blocks and the width of a vector do not divide each other. Sums in ascending order.
 * Legend: i rows, c ranks, l blocks, o numbers of a long row. */
#include "kernels/kernels_i.h"

void whet_i_ref_monarch_dot(const whet_i_monarch *p) {
    for (int64_t i = 0; i < p->rows; i++) {
        const whet_i_real *x = p->x + i * p->ldx;
        for (int64_t c = 0; c < p->rank; c++) {
            for (int64_t l = 0; l < p->blocks; l++) {
                whet_i_real sum = 0;
                for (int64_t o = l; o < p->n; o += p->blocks) sum += p->w[c * p->ldw + o] * x[o];
                p->out[i * p->ldo + c * p->blocks + l] = sum;
            }
        }
    }
}

void whet_i_ref_monarch_add_block(const whet_i_monarch *p, int64_t i, int64_t rows, int64_t o,
                                  int64_t cols, whet_i_real *to, int64_t ldo) {
    const int64_t n = p->n - o < cols ? p->n - o : cols;
    for (int64_t r = 0; r < rows; r++, to += ldo) {
        const whet_i_real *z = p->z + (i + r) * p->ldz;
        for (int64_t c = 0; c < p->rank; c++, z += p->blocks)
            for (int64_t j = 0, l = o % p->blocks; j < n; j++) {
                to[j] += p->w[c * p->ldw + o + j] * z[l];
                l = l + 1 < p->blocks ? l + 1 : 0;
            }
    }
}

void whet_i_ref_monarch_add(const whet_i_monarch *p) {
    whet_i_ref_monarch_add_block(p, 0, p->rows, 0, p->n, p->out, p->ldo);
}

void whet_i_ref_monarch_outer(const whet_i_monarch *p) {
    for (int64_t i = 0; i < p->rows; i++) {
        const whet_i_real *x = p->x + i * p->ldx, *z = p->z + i * p->ldz;
        for (int64_t c = 0; c < p->rank; c++, z += p->blocks)
            for (int64_t o = 0, l = 0; o < p->n; o++) {
                p->out[c * p->ldo + o] += z[l] * x[o];
                l = l + 1 < p->blocks ? l + 1 : 0;
            }
    }
}
