/* SPDX-License-Identifier: Apache-2.0
 * Multinomial logistic regression with an L2 penalty, fitted in the span of its rows by L-BFGS; with
 * a cost (cost_rows.c), the same linear head trained for the metric of a label space.
 *
 * In the span's coordinates the columns of z are orthogonal, so the Hessian at equal probabilities
 * is diagonal: H0 = (pi_c (1 - pi_c) |z_j|^2 + 1/C) / b for weight (j, c), pi_c (1 - pi_c) for a
 * bias. That diagonal, scaled by the last step's curvature, is the start of each L-BFGS direction;
 * it takes the place of tens of steps at large C.
 * Legend: b rows, r coordinates, k classes seen. */
#include <math.h>

#include "label/label_i.h"
#include "tensor/tensor_i.h"

/* ---- the objective --------------------------------------------------------------------------- */

typedef struct problem {
    const double *z;
    const int32_t *y;
    int64_t b, r, k, size; /* size = (r + 1) k */
    double lambda;
    const whet_i_cost *cost; /* NULL: cross-entropy */
    double *probs;           /* [b, k] */
    double *room;            /* of whet_i_cost_row */
} problem;

int64_t whet_i_logistic_workspace(int64_t b, int64_t r, int64_t k, const whet_i_cost *cost) {
    const int64_t size = (r + 1) * k;
    return b * k + size + whet_i_lbfgs_workspace(size) + (cost ? whet_i_cost_room(cost) : 0);
}

enum { AT_ONCE = 32 };

/* The sum of -ln p(y) over rows of scores, which become its gradient by the scores; n <= AT_ONCE. One
 * logarithm for all: their sums are at most k, and k^AT_ONCE is a finite number. */
static double cross_entropy(double *rows, int64_t n, int64_t k, const int32_t *y) {
    double own[AT_ONCE], top[AT_ONCE], sum[AT_ONCE], product = 1, loss = 0;
    for (int64_t i = 0; i < n; i++) own[i] = rows[i * k + y[i]];
    whet_i_exp_rows(rows, n, k, top, sum);
    for (int64_t i = 0; i < n; i++) {
        double *row = rows + i * k;
        const double scale = 1 / sum[i];
        for (int64_t c = 0; c < k; c++) row[c] *= scale;
        row[y[i]] -= 1;
        loss += top[i] - own[i];
        product *= sum[i];
    }
    return loss + log(product);
}

/* The same by the problem's loss, of rows from `first` on. */
static double row_losses(const problem *p, int64_t first, int64_t n) {
    double *rows = p->probs + first * p->k, loss = 0;
    if (!p->cost) return cross_entropy(rows, n, p->k, p->y + first);
    for (int64_t i = 0; i < n; i++)
        loss += whet_i_cost_row(p->cost, rows + i * p->k, p->y[first + i], p->room);
    return loss;
}

/* The mean loss with penalty at theta, and its gradient. */
static double evaluate(const void *arg, const double *theta, double *gradient) {
    const problem *p = arg;
    const double *bias = theta + p->r * p->k, rows = (double)p->b;
    double loss = 0;
    for (int64_t i = 0; i < p->b; i++)
        memcpy(p->probs + i * p->k, bias, sizeof *bias * (size_t)p->k);
    whet_i_matmul_f64_serial(false, false, p->b, p->k, p->r, p->z, p->r, theta, p->k, 1, p->probs,
                             p->k);
    double *slope = gradient + p->r * p->k;
    memset(slope, 0, sizeof *slope * (size_t)p->k);
    for (int64_t i = 0; i < p->b; i += AT_ONCE)
        loss += row_losses(p, i, p->b - i < AT_ONCE ? p->b - i : AT_ONCE);
    for (int64_t i = 0; i < p->b; i++)
        for (int64_t c = 0; c < p->k; c++) slope[c] += p->probs[i * p->k + c];
    memcpy(gradient, theta, sizeof *theta * (size_t)(p->r * p->k));
    whet_i_matmul_f64_serial(true, false, p->r, p->k, p->b, p->z, p->r, p->probs, p->k, p->lambda,
                             gradient, p->k);
    loss += p->lambda / 2 * whet_i_dot(theta, theta, p->r * p->k);
    for (int64_t i = 0; i < p->size; i++) gradient[i] /= rows;
    return loss / rows;
}

/* The inverse of the diagonal of the cross-entropy's Hessian at the classes' shares, with a cost at
 * equal ones: start [size]. */
static void diagonal_start(const problem *p, double *share, double *start) {
    const double rows = (double)p->b;
    memset(share, 0, sizeof *share * (size_t)p->k);
    for (int64_t i = 0; !p->cost && i < p->b; i++) share[p->y[i]] += 1 / rows;
    for (int64_t c = 0; p->cost && c < p->k; c++) share[c] = 1 / (double)p->k;
    for (int64_t j = 0; j <= p->r; j++) {
        double square = j == p->r ? rows : 0;
        for (int64_t i = 0; j < p->r && i < p->b; i++)
            square += p->z[i * p->r + j] * p->z[i * p->r + j];
        for (int64_t c = 0; c < p->k; c++) {
            const double curvature = share[c] * (1 - share[c]) * square / rows;
            const double penalty = j == p->r ? 0 : p->lambda / rows;
            start[j * p->k + c] = 1 / fmax(curvature + penalty, 1e-12);
        }
    }
}

int64_t whet_i_logistic_solve(const double *z, int64_t b, int64_t r, const int32_t *y, int64_t k,
                              double c, const whet_i_cost *cost, double tolerance,
                              int64_t most_steps, double *theta, double *workspace) {
    const int64_t size = (r + 1) * k;
    problem p = {.z = z,
                 .y = y,
                 .b = b,
                 .r = r,
                 .k = k,
                 .size = size,
                 .lambda = 1 / c,
                 .cost = cost,
                 .probs = workspace};
    double *start = p.probs + b * k, *rest = start + size;
    p.room = rest + whet_i_lbfgs_workspace(size);
    diagonal_start(&p, rest, start);
    const whet_i_objective objective = {.size = size, .evaluate = evaluate, .arg = &p};
    return whet_i_lbfgs(&objective, start, tolerance, most_steps, theta, rest);
}

void whet_i_logistic_start(int64_t b, int64_t r, const int32_t *y, int64_t k, double *theta) {
    memset(theta, 0, sizeof *theta * (size_t)((r + 1) * k));
    double *bias = theta + r * k;
    for (int64_t i = 0; i < b; i++) bias[y[i]] += 1;
    for (int64_t c = 0; c < k; c++) bias[c] = log(bias[c] / (double)b);
}

/* ---- fitted models --------------------------------------------------------------------------- */

void whet_i_dense_classes(const int32_t *y, int64_t b, int64_t k, int32_t *classes, int64_t *seen,
                          int32_t *dense) {
    for (int64_t c = 0; c < k; c++) classes[c] = -1;
    for (int64_t i = 0; i < b; i++) classes[y[i]] = 0;
    int32_t next = 0;
    for (int64_t c = 0; c < k; c++)
        if (classes[c] == 0) classes[c] = next++;
    for (int64_t i = 0; i < b; i++) dense[i] = classes[y[i]];
    next = 0;
    for (int64_t c = 0; c < k; c++)
        if (classes[c] >= 0) classes[next++] = (int32_t)c;
    *seen = next;
}

void whet_i_share_out(const double *p, const int32_t *classes, int64_t seen, int64_t k,
                      double unseen, double *row) {
    if (seen == k) {
        if (row != p) memcpy(row, p, sizeof *p * (size_t)k);
        return;
    }
    for (int64_t c = 0; c < k; c++) row[c] = unseen / (double)(k - seen);
    for (int64_t c = 0; c < seen; c++) row[classes[c]] = (1 - unseen) * p[c];
}

void whet_i_linear_model_free(whet_ctx *ctx, whet_i_linear_model *model) {
    whet_i_free(ctx, model->classes);
    whet_i_free(ctx, model->weight);
    whet_i_free(ctx, model->bias);
    *model = (whet_i_linear_model){0};
}

static whet_status solve_in_span(whet_ctx *ctx, const whet_i_span *span, const int32_t *dense,
                                 double c, whet_i_linear_model *m) {
    whet_status status = WHET_OK;
    double *theta = NULL, *workspace = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, (span->r + 1) * m->seen, &theta));
    WHET_TRY_DONE(
        whet_i_alloc(ctx, whet_i_logistic_workspace(span->b, span->r, m->seen, NULL), &workspace));
    whet_i_logistic_start(span->b, span->r, dense, m->seen, theta);
    whet_i_logistic_solve(span->z, span->b, span->r, dense, m->seen, c, NULL, 1e-7, 1000, theta,
                          workspace);
    WHET_TRY_DONE(whet_i_matmul_f64(ctx, false, false, m->d, m->seen, span->r, span->back, span->r,
                                    theta, m->seen, 0, m->weight, m->seen));
    memcpy(m->bias, theta + span->r * m->seen, sizeof *theta * (size_t)m->seen);
done:
    whet_i_free(ctx, theta);
    whet_i_free(ctx, workspace);
    return status;
}

whet_status whet_i_logistic_fit(whet_ctx *ctx, const float *x, const int64_t *rows,
                                const int32_t *y, int64_t b, int64_t d, int64_t k, double c,
                                whet_i_linear_model *out) {
    whet_status status = WHET_OK;
    whet_i_linear_model m = {.d = d, .k = k};
    whet_i_span span = {0};
    int32_t *dense = NULL;
    int64_t *counts = NULL;
    if (b < 1) return whet_i_fail(ctx, WHET_ERR_DATA, "no labels; expected at least one");
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &counts));
    WHET_TRY_DONE(whet_i_alloc(ctx, b, &dense));
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &m.classes));
    whet_i_dense_classes(y, b, k, m.classes, &m.seen, dense);
    m.unseen = m.seen == k ? 0 : whet_i_unseen_mass(y, b, k, counts);
    WHET_TRY_DONE(whet_i_alloc(ctx, d * m.seen, &m.weight));
    WHET_TRY_DONE(whet_i_alloc(ctx, m.seen, &m.bias));
    WHET_TRY_DONE(whet_i_span_build(ctx, x, rows, b, d, &span));
    WHET_TRY_DONE(solve_in_span(ctx, &span, dense, c, &m));
    *out = m;
    m = (whet_i_linear_model){0};
done:
    whet_i_linear_model_free(ctx, &m);
    whet_i_span_free(ctx, &span);
    whet_i_free(ctx, dense);
    whet_i_free(ctx, counts);
    return status;
}

/* ---- scores ---------------------------------------------------------------------------------- */

enum { SCORE_ROWS = 256 };

typedef struct scoring {
    const float *x;
    const double *exact; /* in its place; or NULL */
    const double *w;
    int64_t n, d, m;
    double *rows; /* [workers, SCORE_ROWS, d] */
    double *scores;
} scoring;

static void score_block(void *arg, int64_t block, int32_t worker) {
    const scoring *s = arg;
    const int64_t first = block * SCORE_ROWS;
    const int64_t n = s->n - first < SCORE_ROWS ? s->n - first : SCORE_ROWS;
    double *rows = s->exact ? NULL : s->rows + worker * SCORE_ROWS * s->d;
    const double *exact = s->exact ? s->exact + first * s->d : rows;
    for (int64_t i = 0; !s->exact && i < n * s->d; i++) rows[i] = (double)s->x[first * s->d + i];
    whet_i_matmul_f64_serial(false, false, n, s->m, s->d, exact, s->d, s->w, s->m, 0,
                             s->scores + first * s->m, s->m);
}

whet_status whet_i_scores(whet_ctx *ctx, const float *x, int64_t n, int64_t d, const double *w,
                          int64_t m, double *scores) {
    scoring s = {x, NULL, w, n, d, m, NULL, scores};
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, (int64_t)whet_ctx_threads(ctx) * SCORE_ROWS, d, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &s.rows));
    const whet_status status =
        whet_i_parallel_for(ctx, NULL, (n + SCORE_ROWS - 1) / SCORE_ROWS, score_block, &s);
    whet_i_free(ctx, s.rows);
    return status;
}

whet_status whet_i_scores_f64(whet_ctx *ctx, const double *x, int64_t n, int64_t d, const double *w,
                              int64_t m, double *scores) {
    scoring s = {NULL, x, w, n, d, m, NULL, scores};
    return whet_i_parallel_for(ctx, NULL, (n + SCORE_ROWS - 1) / SCORE_ROWS, score_block, &s);
}

whet_status whet_i_linear_model_predict(whet_ctx *ctx, const whet_i_linear_model *model,
                                        const float *x, int64_t n, double *probs) {
    int64_t cells;
    double *scores;
    WHET_TRY(whet_i_mul(ctx, n, model->seen, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &scores));
    whet_status status = whet_i_scores(ctx, x, n, model->d, model->weight, model->seen, scores);
    for (int64_t i = 0; status == WHET_OK && i < n; i++) {
        double *row = scores + i * model->seen;
        for (int64_t c = 0; c < model->seen; c++) row[c] += model->bias[c];
        whet_i_softmax(row, model->seen);
        whet_i_share_out(row, model->classes, model->seen, model->k, model->unseen,
                         probs + i * model->k);
    }
    whet_i_free(ctx, scores);
    return status;
}
