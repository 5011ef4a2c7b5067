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

/* weight sum_c -q_c ln softmax(row)_c; the row becomes its gradient. */
static double soft_row(double *row, const double *q, int64_t k, double weight) {
    double top = row[0], sum = 0, own = 0, mass = 0;
    for (int64_t c = 1; c < k; c++) top = fmax(top, row[c]);
    for (int64_t c = 0; c < k; c++) {
        own += q[c] * row[c];
        mass += q[c];
        sum += row[c] = exp(row[c] - top);
    }
    for (int64_t c = 0; c < k; c++) row[c] = weight * (mass * row[c] / sum - q[c]);
    return weight * (mass * (log(sum) + top) - own);
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
    for (int64_t i = 0; i < p->b; i++) {
        double *row = p->probs + i * p->k;
        loss += soft_row(row, p->q + i * p->k, p->k, p->weight[i]);
        for (int64_t c = 0; c < p->k; c++) slope[c] += row[c];
    }
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
    const whet_i_objective objective = {p.size, evaluate, &p, p.sketch ? precondition : NULL};
    for (int64_t i = 0; i < b; i++) p.total += weight[i];
    begin(&p, theta, start);
    return whet_i_lbfgs(&objective, start, tolerance, most_steps, theta, room);
}
