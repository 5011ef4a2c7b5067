/* SPDX-License-Identifier: Apache-2.0
 * Losses of one row that know how far classes are apart; gradients by hand.
 * Legend: m scores of the head, p their softmax, y the label, D [k, k] squared distances.
 *
 *   expected cost   L = sum_c p_c D_yc                 dL/ds_c = p_c (D_yc - L)
 *   Frechet         u_c = -sum_j p_j D_jc, q = softmax(u), L = -ln q_y
 *                   dL/du = q - e_y, g_j = -sum_c D_jc dL/du_c, dL/ds_j = p_j (g_j - sum_i p_i g_i)
 * Source: Loki (arXiv 2307.12226), its structured loss, and the direct expected cost. */
#include <math.h>

#include "label/label_i.h"

int64_t whet_i_cost_room(const whet_i_cost *cost) { return cost->k; }

static double expected_cost(const double *own, double *p, int64_t k) {
    double loss = 0;
    whet_i_softmax(p, k);
    for (int64_t c = 0; c < k; c++) loss += p[c] * own[c];
    for (int64_t c = 0; c < k; c++) p[c] *= own[c] - loss;
    return loss;
}

/* u [k]: room */
static double frechet(const whet_i_cost *cost, double *p, int32_t y, double *u) {
    const int64_t k = cost->k;
    double top = -INFINITY, sum = 0, mean = 0;
    whet_i_softmax(p, cost->scored);
    memset(u, 0, sizeof *u * (size_t)k);
    for (int64_t j = 0; j < cost->scored; j++) {
        const double *d = cost->cost + cost->column[j] * k;
        for (int64_t c = 0; c < k; c++) u[c] -= p[j] * d[c];
    }
    const double own = u[y];
    for (int64_t c = 0; c < k; c++) top = fmax(top, u[c]);
    for (int64_t c = 0; c < k; c++) sum += u[c] = exp(u[c] - top);
    for (int64_t c = 0; c < k; c++) u[c] /= sum;
    u[y] -= 1;
    /* g_j is needed twice; p is still whole while the mean is summed. */
    for (int64_t j = 0; j < cost->scored; j++)
        mean -= p[j] * whet_i_dot(cost->cost + cost->column[j] * k, u, k);
    for (int64_t j = 0; j < cost->scored; j++)
        p[j] *= -whet_i_dot(cost->cost + cost->column[j] * k, u, k) - mean;
    return log(sum) + top - own;
}

double whet_i_cost_row(const whet_i_cost *cost, double *row, int32_t y, double *room) {
    return cost->loss == WHET_LOSS_EXPECTED_COST
               ? expected_cost(cost->cost + y * cost->k, row, cost->k)
               : frechet(cost, row, y, room);
}
