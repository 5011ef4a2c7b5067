/* SPDX-License-Identifier: Apache-2.0
 * A linear head on frozen features trained for the metric of a label space, its penalty chosen by
 * cross-fitting the trained loss. The loss is not convex: every fit starts at the strongest penalty,
 * where zero weights are nearly the optimum, and follows it along the rising grid.
 * Legend: b labelled rows, r coordinates of their span, k classes, m scores of the head. */
#include <math.h>

#include "label/label_i.h"
#include "tensor/tensor_i.h"

static const double TOLERANCE = 1e-5;
enum { MOST_STEPS = 200 };

typedef struct head_fitting {
    const whet_i_span *span;
    const int32_t *y;
    const whet_i_splits *splits;
    const whet_i_cost *cost; /* its columns are of the split */
    int64_t room, k;
    double *scratch;  /* [workers, room] */
    int32_t *columns; /* [workers, k] */
    double *loss;     /* [WHET_I_PENALTIES, splits] sums over held rows */
    double *probs;    /* [WHET_I_PENALTIES, cases, k] */
} head_fitting;

/* Which classes the head scores when trained on y [n]: those among them, or all. */
static int64_t take_columns(whet_head_loss loss, const int32_t *y, int64_t n, int64_t k,
                            int32_t *column) {
    int64_t m = 0;
    for (int64_t c = 0; c < k; c++) column[c] = loss == WHET_LOSS_EXPECTED_COST;
    for (int64_t i = 0; i < n; i++) column[y[i]] = 1;
    for (int32_t c = 0; c < k; c++)
        if (column[c]) column[m++] = c;
    return m;
}

static void spread_columns(const double *p, const int32_t *column, int64_t m, int64_t k,
                           double *row) {
    memset(row, 0, sizeof *row * (size_t)k);
    for (int64_t j = 0; j < m; j++) row[column[j]] = p[j];
}

static void fit_split(void *arg, int64_t at, int32_t worker) {
    const head_fitting *f = arg;
    const whet_i_split *s = &f->splits->split[at];
    const int64_t r = f->span->r, b = f->splits->b, k = f->k;
    double *z = f->scratch + worker * f->room, *held = z + b * r, *p = held + b * r;
    double *theta = p + b * k, *row = theta + (r + 1) * k, *room = row + k, *workspace = room + k;
    whet_i_cost cost = *f->cost;
    int32_t *column = f->columns + worker * (k + b), *y = column + k;
    for (int64_t i = 0; i < s->n_train; i++) {
        memcpy(z + i * r, f->span->z + s->train[i] * r, sizeof *z * (size_t)r);
        y[i] = f->y[s->train[i]];
    }
    for (int64_t i = 0; i < s->n_held; i++)
        memcpy(held + i * r, f->span->z + s->held[i] * r, sizeof *z * (size_t)r);
    const int64_t m = cost.scored = take_columns(cost.loss, y, s->n_train, k, column);
    cost.column = column;
    memset(theta, 0, sizeof *theta * (size_t)((r + 1) * m));
    for (int64_t c = 0; c < WHET_I_PENALTIES; c++) {
        double *loss = f->loss + c * f->splits->n + at;
        whet_i_logistic_solve(z, s->n_train, r, y, m, whet_i_penalties[c], &cost, TOLERANCE,
                              MOST_STEPS, theta, workspace);
        for (int64_t i = 0; i < s->n_held; i++)
            memcpy(p + i * m, theta + r * m, sizeof *p * (size_t)m);
        whet_i_matmul_f64_serial(false, false, s->n_held, m, r, held, r, theta, m, 1, p, m);
        *loss = 0;
        for (int64_t i = 0; i < s->n_held; i++) {
            const int64_t at_case = s->repeat * b + s->held[i];
            memcpy(row, p + i * m, sizeof *row * (size_t)m);
            *loss += whet_i_cost_row(&cost, row, f->y[s->held[i]], room);
            whet_i_softmax(p + i * m, m);
            spread_columns(p + i * m, column, m, k,
                           f->probs + (c * f->splits->repeats * b + at_case) * k);
        }
    }
}

static whet_status make_room(whet_ctx *ctx, head_fitting *f) {
    const int64_t b = f->splits->b, r = f->span->r, k = f->k, n = f->splits->n;
    const int64_t threads = whet_ctx_threads(ctx), workers = n && n < threads ? n : threads;
    int64_t cells;
    f->room = 2 * b * r + b * k + (r + 1) * k + 2 * k + whet_i_logistic_workspace(b, r, k, f->cost);
    WHET_TRY(whet_i_mul(ctx, workers, f->room, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &f->scratch));
    WHET_TRY(whet_i_alloc(ctx, workers * (k + b), &f->columns));
    WHET_TRY(whet_i_alloc(ctx, WHET_I_PENALTIES * (n + 1), &f->loss));
    WHET_TRY(whet_i_mul(ctx, WHET_I_PENALTIES * f->splits->repeats * b, k, &cells));
    return whet_i_alloc(ctx, cells, &f->probs);
}

static void free_room(whet_ctx *ctx, head_fitting *f) {
    whet_i_free(ctx, f->scratch);
    whet_i_free(ctx, f->columns);
    whet_i_free(ctx, f->loss);
    whet_i_free(ctx, f->probs);
}

/* The penalty of least cross-fitted loss; without splits the one in the middle. */
static int64_t choose(const head_fitting *f) {
    int64_t best = WHET_I_PENALTIES / 2;
    double least = INFINITY;
    for (int64_t c = 0; f->splits->n && c < WHET_I_PENALTIES; c++) {
        double sum = 0;
        for (int64_t at = 0; at < f->splits->n; at++) sum += f->loss[c * f->splits->n + at];
        if (sum < least) best = c;
        least = fmin(least, sum);
    }
    return best;
}

/* On all labels, along the grid up to the chosen penalty. */
static whet_status fit_all(whet_ctx *ctx, const head_fitting *f, int64_t chosen,
                           whet_i_linear_model *m) {
    const whet_i_span *span = f->span;
    whet_i_cost cost = *f->cost;
    double *theta;
    WHET_TRY(whet_i_alloc(ctx, m->k, &m->classes));
    cost.column = m->classes;
    cost.scored = m->seen = take_columns(cost.loss, f->y, span->b, m->k, m->classes);
    WHET_TRY(whet_i_alloc(ctx, m->d * m->seen, &m->weight));
    WHET_TRY(whet_i_alloc(ctx, m->seen, &m->bias));
    WHET_TRY(whet_i_calloc(ctx, (span->r + 1) * m->seen, &theta));
    for (int64_t c = 0; c <= chosen; c++)
        whet_i_logistic_solve(span->z, span->b, span->r, f->y, m->seen, whet_i_penalties[c], &cost,
                              TOLERANCE, 2 * MOST_STEPS, theta, f->scratch);
    memcpy(m->bias, theta + span->r * m->seen, sizeof *theta * (size_t)m->seen);
    const whet_status status =
        whet_i_matmul_f64(ctx, false, false, m->d, m->seen, span->r, span->back, span->r, theta,
                          m->seen, 0, m->weight, m->seen);
    whet_i_free(ctx, theta);
    return status;
}

whet_status whet_i_cost_head_fit(whet_ctx *ctx, const whet_i_span *span, const int32_t *y,
                                 const whet_i_splits *splits, const int32_t *case_y,
                                 const whet_i_cost *cost, whet_i_linear_model *out,
                                 double *temperature) {
    whet_status status = WHET_OK;
    const int64_t k = cost->k, cases = splits->n ? splits->repeats * span->b : 0;
    whet_i_linear_model m = {.d = span->d, .k = k};
    head_fitting f = {.span = span, .y = y, .splits = splits, .cost = cost, .k = k};
    double t = 1, loss;
    WHET_TRY_DONE(make_room(ctx, &f));
    WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, splits->n, fit_split, &f));
    const int64_t chosen = choose(&f);
    if (cases && cost->loss == WHET_LOSS_EXPECTED_COST)
        WHET_TRY_DONE(
            whet_i_temperature_fit(ctx, f.probs + chosen * cases * k, cases, k, case_y, &t, &loss));
    WHET_TRY_DONE(fit_all(ctx, &f, chosen, &m));
    *out = m;
    *temperature = t;
    m = (whet_i_linear_model){0};
done:
    whet_i_linear_model_free(ctx, &m);
    free_room(ctx, &f);
    return status;
}
