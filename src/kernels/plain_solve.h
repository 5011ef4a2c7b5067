/* SPDX-License-Identifier: Apache-2.0
 * Steps of conjugate gradients on a sparse system, for sixteen right sides at once. Written once in
 * vectors and compiled for each instruction set, as plain_merge.h is; right sides do not meet, and sums run
 * over rows in order: every table has the same bits. Included by the tables' files. */
#include "kernels/kernels_i.h"

enum { SIDE_VECTORS = WHET_I_SIDES / 8 };
typedef double side_vec __attribute__((vector_size(64), aligned(8), may_alias));

static inline __attribute__((always_inline)) const side_vec *side_row(const double *x, int64_t i) {
    return (const side_vec *)(const void *)(x + i * WHET_I_SIDES);
}
static inline __attribute__((always_inline)) side_vec *side_row_to(double *x, int64_t i) {
    return (side_vec *)(void *)(x + i * WHET_I_SIDES);
}

static void sparse_product(const whet_i_sparse *a, const double *p, double *out, double *sums) {
    side_vec sum[SIDE_VECTORS] = {{0}};
    for (int64_t i = 0; i < a->n; i++) {
        if (a->fixed && a->fixed[i]) continue;
        side_vec near[SIDE_VECTORS] = {{0}};
        for (int64_t e = a->start[i]; e < a->start[i + 1]; e++) {
            const side_vec *q = side_row(p, a->to[e]);
            for (int v = 0; v < SIDE_VECTORS; v++) near[v] += a->weight[e] * q[v];
        }
        const side_vec *q = side_row(p, i);
        side_vec *o = side_row_to(out, i);
        for (int v = 0; v < SIDE_VECTORS; v++) {
            const side_vec y = a->diagonal[i] * q[v] - a->coupling * near[v];
            o[v] = y;
            sum[v] += q[v] * y;
        }
    }
    memcpy(sums, sum, sizeof sum);
}

static void sparse_turn(const whet_i_sparse *a, const double *r, const double *turn, double *p) {
    const side_vec *by = side_row(turn, 0);
    for (int64_t i = 0; i < a->n; i++) {
        if (a->fixed && a->fixed[i]) continue;
        const double inverse = 1 / a->diagonal[i];
        const side_vec *residual = side_row(r, i);
        side_vec *to = side_row_to(p, i);
        for (int v = 0; v < SIDE_VECTORS; v++) to[v] = inverse * residual[v] + by[v] * to[v];
    }
}

static void sparse_advance(const whet_i_sparse *a, const double *step, const double *p,
                           const double *ap, double *x, double *r, double *rr, double *rz) {
    const side_vec *by = side_row(step, 0);
    side_vec plain[SIDE_VECTORS] = {{0}}, scaled[SIDE_VECTORS] = {{0}};
    for (int64_t i = 0; i < a->n; i++) {
        if (a->fixed && a->fixed[i]) continue;
        const double inverse = 1 / a->diagonal[i];
        const side_vec *along = side_row(p, i), *down = side_row(ap, i);
        side_vec *solution = side_row_to(x, i), *residual = side_row_to(r, i);
        for (int v = 0; v < SIDE_VECTORS; v++) {
            solution[v] += by[v] * along[v];
            const side_vec left = residual[v] - by[v] * down[v], square = left * left;
            residual[v] = left;
            plain[v] += square;
            scaled[v] += square * inverse;
        }
    }
    memcpy(rr, plain, sizeof plain);
    memcpy(rz, scaled, sizeof scaled);
}

#define SOLVE_SLOTS \
    .sparse_product = sparse_product, .sparse_turn = sparse_turn, .sparse_advance = sparse_advance
