/* SPDX-License-Identifier: Apache-2.0
 * Multinomial logistic regression on probabilistic labels: the end model that learns from a labeller.
 * Minimises (1 / sum w) [ sum_i w_i sum_c -q_ic ln p(c | z_i) + |W|^2 / (2 C) ], the bias free of penalty.
 * L-BFGS with the diagonal start of logistic.c; or, with a sketch of the rows, with the inverse of the
 * Hessian that the sketch and the classes' shares s_c give, as if rows and probabilities were independent:
 * for class c, s_c (1 - s_c) square_j + 1 / (C sum w) along axis j, the same with `rest` elsewhere.
 * Source: randomised Nystrom preconditioning (Frangella, Tropp & Udell 2023, SIMAX 44:2).
 * Legend: b rows, r coordinates, k classes. */
#include <math.h>

#include "label/label_i.h"
#include "tensor/tensor_i.h"

typedef struct problem {
    const double *z, *q, *weight;
    int64_t b, r, k, size; /* size = (r + 1) k */
    double total, lambda;
    const whet_i_sketch *sketch; /* or NULL */
    double *probs;               /* [b, k] */
    double *share;               /* [k] of the classes */
    double *along;               /* [sketch->r, k] */
} problem;

int64_t whet_i_soft_logistic_workspace(int64_t b, int64_t r, int64_t k,
                                       const whet_i_sketch *sketch) {
    const int64_t size = (r + 1) * k;
    return b * k + k + size + (sketch ? sketch->r * k : 0) + whet_i_lbfgs_workspace(size);
}

enum { AT_ONCE = 32 };

/* The sum of weight sum_c -q_c ln softmax(row)_c over rows from `first` on, which become its gradient;
 * n <= AT_ONCE. */
static double soft_losses(const problem *p, int64_t first, int64_t n) {
    const int64_t k = p->k;
    double *rows = p->probs + first * k, loss = 0;
    double own[AT_ONCE] = {0}, mass[AT_ONCE] = {0}, top[AT_ONCE], sum[AT_ONCE];
    const double *q = p->q + first * k, *weight = p->weight + first;
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < k; c++) {
            own[i] += q[i * k + c] * rows[i * k + c];
            mass[i] += q[i * k + c];
        }
    whet_i_exp_rows(rows, n, k, top, sum);
    for (int64_t i = 0; i < n; i++) {
        double *row = rows + i * k;
        const double scale = mass[i] / sum[i];
        for (int64_t c = 0; c < k; c++) row[c] = weight[i] * (row[c] * scale - q[i * k + c]);
        loss += weight[i] * (mass[i] * (log(sum[i]) + top[i]) - own[i]);
    }
    return loss;
}

static double evaluate(const void *arg, const double *theta, double *gradient) {
    const problem *p = arg;
    const double *bias = theta + p->r * p->k;
    double *slope = gradient + p->r * p->k, loss = 0;
    for (int64_t i = 0; i < p->b; i++)
        memcpy(p->probs + i * p->k, bias, sizeof *bias * (size_t)p->k);
    whet_i_matmul_f64_serial(false, false, p->b, p->k, p->r, p->z, p->r, theta, p->k, 1, p->probs,
                             p->k);
    memset(slope, 0, sizeof *slope * (size_t)p->k);
    for (int64_t i = 0; i < p->b; i += AT_ONCE)
        loss += soft_losses(p, i, p->b - i < AT_ONCE ? p->b - i : AT_ONCE);
    for (int64_t i = 0; i < p->b; i++)
        for (int64_t c = 0; c < p->k; c++) slope[c] += p->probs[i * p->k + c];
    memcpy(gradient, theta, sizeof *theta * (size_t)(p->r * p->k));
    whet_i_matmul_f64_serial(true, false, p->r, p->k, p->b, p->z, p->r, p->probs, p->k, p->lambda,
                             gradient, p->k);
    loss += p->lambda / 2 * whet_i_dot(theta, theta, p->r * p->k);
    for (int64_t i = 0; i < p->size; i++) gradient[i] /= p->total;
    return loss / p->total;
}

static double curvature(const problem *p, int64_t c, double square) {
    return p->share[c] * (1 - p->share[c]) * square + p->lambda / p->total;
}

/* out = v / rest + axis ((1 / square_j - 1 / rest) axis^T v), curvatures by class. */
static void precondition(const void *arg, const double *v, double *out) {
    const problem *p = arg;
    const whet_i_sketch *s = p->sketch;
    const int64_t d = p->r + 1, k = p->k;
    whet_i_matmul_f64_serial(true, false, s->r, k, d, s->axis, s->r, v, k, 0, p->along, k);
    for (int64_t c = 0; c < k; c++) {
        const double rest = curvature(p, c, s->rest);
        for (int64_t j = 0; j < s->r; j++)
            p->along[j * k + c] *= 1 / curvature(p, c, s->square[j]) - 1 / rest;
        for (int64_t j = 0; j < d; j++) out[j * k + c] = v[j * k + c] / rest;
    }
    whet_i_matmul_f64_serial(false, false, d, k, s->r, s->axis, s->r, p->along, k, 1, out, k);
}

/* theta: W = 0, the bias the log shares of the classes; start: the inverse of the Hessian's diagonal
 * there. */
static void begin(const problem *p, double *theta, double *start) {
    double *share = p->share;
    memset(share, 0, sizeof *share * (size_t)p->k);
    memset(theta, 0, sizeof *theta * (size_t)p->size);
    for (int64_t i = 0; i < p->b; i++)
        for (int64_t c = 0; c < p->k; c++) share[c] += p->weight[i] * p->q[i * p->k + c] / p->total;
    for (int64_t c = 0; c < p->k; c++) {
        share[c] = fmax(share[c], 1e-6);
        theta[p->r * p->k + c] = log(share[c]);
        start[p->r * p->k + c] = 1 / (share[c] * (1 - share[c]) + 1e-9);
    }
    for (int64_t j = 0; j < p->r && !p->sketch; j++) {
        double square = 0;
        for (int64_t i = 0; i < p->b; i++)
            square += p->weight[i] * p->z[i * p->r + j] * p->z[i * p->r + j];
        for (int64_t c = 0; c < p->k; c++)
            start[j * p->k + c] = p->total / (share[c] * (1 - share[c]) * square + p->lambda);
    }
}

int64_t whet_i_soft_logistic_solve(const double *z, int64_t b, int64_t r, const double *q,
                                   const double *weight, int64_t k, double c,
                                   const whet_i_sketch *sketch, double tolerance,
                                   int64_t most_steps, double *theta, double *workspace) {
    problem p = {.z = z,
                 .q = q,
                 .weight = weight,
                 .b = b,
                 .r = r,
                 .k = k,
                 .size = (r + 1) * k,
                 .lambda = 1 / c,
                 .sketch = sketch && sketch->axis ? sketch : NULL,
                 .probs = workspace,
                 .share = workspace + b * k};
    p.along = p.share + k;
    double *start = p.along + (p.sketch ? sketch->r * k : 0), *room = start + p.size;
    const whet_i_objective objective = {p.size, evaluate, &p, p.sketch ? precondition : NULL, 0};
    for (int64_t i = 0; i < b; i++) p.total += weight[i];
    begin(&p, theta, start);
    return whet_i_lbfgs(&objective, start, tolerance, most_steps, theta, room);
}
