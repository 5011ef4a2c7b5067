/* SPDX-License-Identifier: Apache-2.0
 * Logistic regression on a few rows of a few features, for hundreds of such fits at once: Newton's
 * method with two outputs and up to 8 inputs, whose systems fit on the stack, else the L-BFGS of
 * logistic.c.
 * Two outputs are fitted as one score s = w x + b for the second, penalty |w|^2 / (2 C), as
 * scikit-learn does; as a softmax of scores -s/2, s/2 the penalty is |W|^2 / (2 (C/2)).
 * Legend: n rows, r inputs. */
#include <math.h>

#include "kernels/kernels_i.h"
#include "label/label_i.h"
#include "label/rules_i.h"

enum { MOST_NEWTON = 8, SIDE = MOST_NEWTON + 1, MOST_STEPS = 60, AT_ONCE = 64 };

int64_t whet_i_subset_logistic_room(int64_t n, int64_t inputs, int64_t outs) {
    return n * inputs + (inputs + 1) * outs + whet_i_logistic_workspace(n, inputs, outs, NULL);
}

/* The loss at theta [r + 1], with its gradient and Hessian. */
static double slope(const whet_i_few *f, double lambda, const double *theta, double *gradient,
                    double hessian[SIDE][SIDE]) {
    const int64_t r = f->inputs;
    void (*const exp_f64)(int64_t, double *) = whet_i_kernels_f64()->exp_f64;
    double loss = 0, row[SIDE];
    row[r] = 1;
    for (int64_t j = 0; j <= r; j++) {
        gradient[j] = j < r ? lambda * theta[j] : 0;
        for (int64_t l = 0; l <= r; l++) hessian[j][l] = j == l && j < r ? lambda : 0;
        if (j < r) loss += lambda / 2 * theta[j] * theta[j];
    }
    for (int64_t first = 0; first < f->n; first += AT_ONCE) {
        const int64_t rows = f->n - first < AT_ONCE ? f->n - first : AT_ONCE;
        double score[AT_ONCE], power[AT_ONCE], product = 1;
        for (int64_t i = 0; i < rows; i++) {
            const float *z = f->z + (first + i) * r;
            score[i] = theta[r];
            for (int64_t j = 0; j < r; j++) score[i] += theta[j] * (double)z[j];
            power[i] = -fabs(score[i]);
        }
        exp_f64(rows, power);
        for (int64_t i = 0; i < rows; i++) {
            const double s = score[i], e = power[i], share = 1 / (1 + e), y = f->y[first + i];
            const double p = s >= 0 ? share : e * share, curve = p * (1 - p);
            loss += (s >= 0 ? s : 0) - y * s;
            product *= 1 + e; /* one logarithm for all: each factor is at most 2 */
            for (int64_t j = 0; j < r; j++) row[j] = (double)f->z[(first + i) * r + j];
            for (int64_t j = 0; j <= r; j++) {
                gradient[j] += (p - y) * row[j];
                for (int64_t l = 0; l <= j; l++) hessian[j][l] += curve * row[j] * row[l];
            }
        }
        loss += log(product);
    }
    return loss;
}

/* Solves H x = b in place for the lower half of a positive definite H of side m; false when it is
 * none. */
static bool solve(double h[SIDE][SIDE], int64_t m, double *b) {
    for (int64_t j = 0; j < m; j++) {
        for (int64_t l = 0; l < j; l++) h[j][j] -= h[j][l] * h[j][l];
        if (!(h[j][j] > 0)) return false;
        h[j][j] = sqrt(h[j][j]);
        for (int64_t i = j + 1; i < m; i++) {
            for (int64_t l = 0; l < j; l++) h[i][j] -= h[i][l] * h[j][l];
            h[i][j] /= h[j][j];
        }
    }
    for (int64_t j = 0; j < m; j++) {
        for (int64_t l = 0; l < j; l++) b[j] -= h[j][l] * b[l];
        b[j] /= h[j][j];
    }
    for (int64_t j = m - 1; j >= 0; j--) {
        for (int64_t l = j + 1; l < m; l++) b[j] -= h[l][j] * b[l];
        b[j] /= h[j][j];
    }
    return true;
}

static void newton(const whet_i_few *f, double c, double *theta) {
    const int64_t m = f->inputs + 1;
    double gradient[SIDE], hessian[SIDE][SIDE], step[SIDE], tried[SIDE], next[SIDE];
    double curves[SIDE][SIDE];
    double loss = slope(f, 1 / c, theta, gradient, hessian);
    for (int64_t t = 0; t < MOST_STEPS; t++) {
        double most = 0, part = 1;
        for (int64_t j = 0; j < m; j++) most = fmax(most, fabs(gradient[j]));
        if (!(most > 1e-9 * (double)f->n)) return;
        memcpy(step, gradient, sizeof step);
        for (int64_t j = 0; j < m; j++) hessian[j][j] *= 1 + 1e-12; /* a flat intercept */
        if (!solve(hessian, m, step)) return;
        double found = INFINITY;
        for (int halvings = 0; halvings < 30 && !(found < loss); halvings++) {
            for (int64_t j = 0; j < m; j++) tried[j] = theta[j] - part * step[j];
            found = slope(f, 1 / c, tried, next, curves);
            part /= 2;
        }
        if (!(found < loss)) return; /* at the rounding of the loss */
        loss = found;
        memcpy(theta, tried, sizeof *theta * (size_t)m);
        memcpy(gradient, next, sizeof gradient);
        memcpy(hessian, curves, sizeof hessian);
    }
}

static void binary(const whet_i_few *f, double c, double *weight, double *bias) {
    double theta[SIDE] = {0};
    int64_t ones = 0;
    for (int64_t i = 0; i < f->n; i++) ones += f->y[i];
    if (ones > 0 && ones < f->n) theta[f->inputs] = log((double)ones / (double)(f->n - ones));
    newton(f, c, theta);
    for (int64_t j = 0; j < f->inputs; j++) {
        weight[2 * j] = 0;
        weight[2 * j + 1] = theta[j];
    }
    bias[0] = 0;
    bias[1] = theta[f->inputs];
}

/* As the path's: votes and probabilities are asked for, and a loss that is right to about its square. */
#define TOLERANCE 1e-5

void whet_i_subset_logistic_solve(const double *z, const whet_i_few *f, double c, double *weight,
                                  double *bias, double *room) {
    double *theta = room, *rest = theta + (f->inputs + 1) * f->outs;
    whet_i_logistic_start(f->n, f->inputs, f->y, f->outs, theta);
    (void)whet_i_logistic_solve(z, f->n, f->inputs, f->y, f->outs, f->outs == 2 ? c / 2 : c, NULL,
                                TOLERANCE, 300, theta, rest);
    memcpy(weight, theta, sizeof *weight * (size_t)(f->inputs * f->outs));
    memcpy(bias, theta + f->inputs * f->outs, sizeof *bias * (size_t)f->outs);
}

void whet_i_subset_logistic_fit(const whet_i_few *f, double c, double *weight, double *bias,
                                double *room) {
    if (f->outs == 2 && f->inputs <= MOST_NEWTON) {
        binary(f, c, weight, bias);
        return;
    }
    const int64_t cells = f->n * f->inputs;
    for (int64_t i = 0; i < cells; i++) room[i] = (double)f->z[i];
    whet_i_subset_logistic_solve(room, f, c, weight, bias, room + cells);
}
