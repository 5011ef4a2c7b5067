/* SPDX-License-Identifier: Apache-2.0
 * A linear head on frozen features trained for the metric of a label space, its penalty chosen by
 * cross-fitting the trained loss. The loss is not convex, and flat where the head is sure: from zero
 * weights it ends at one constant class. Every fit therefore starts from the optimum of the
 * cross-entropy with the same penalty.
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
    int32_t *numbers; /* [workers, 2 (k + b)] */
    double *loss;     /* [WHET_I_PENALTIES, splits] sums over held rows */
    double *probs;    /* [WHET_I_PENALTIES, cases, k] */
} head_fitting;

/* A fit at every penalty in turn: the cross-entropy's optimum, then the cost's from there. */
typedef struct head_path {
    const double *z;  /* [b, r] */
    const int32_t *y; /* [b] */
    int64_t b, r;
    whet_i_cost cost;         /* with its columns */
    int64_t seen;             /* classes among y */
    int32_t *classes, *dense; /* [k] of them, [b] y in their numbers */
    double *plain, *theta;    /* [r + 1, seen], [r + 1, m] */
    double *workspace;
} head_path;

static int64_t path_doubles(int64_t b, int64_t r, const whet_i_cost *cost) {
    return 2 * (r + 1) * cost->k + whet_i_logistic_workspace(b, r, cost->k, cost);
}

/* memory: path_doubles; numbers: 2 k + b. */
static head_path path_begin(const double *z, const int32_t *y, int64_t b, int64_t r,
                            const whet_i_cost *cost, double *memory, int32_t *numbers) {
    const int64_t k = cost->k;
    head_path p = {.z = z, .y = y, .b = b, .r = r, .cost = *cost, .plain = memory};
    p.theta = p.plain + (r + 1) * k;
    p.workspace = p.theta + (r + 1) * k;
    p.classes = numbers;
    p.dense = numbers + 2 * k;
    whet_i_dense_classes(y, b, k, p.classes, &p.seen, p.dense);
    whet_i_logistic_start(b, r, p.dense, p.seen, p.plain);
    p.cost.column = p.classes;
    p.cost.scored = p.seen;
    if (cost->loss == WHET_LOSS_FRECHET) return p;
    int32_t *all = numbers + k;
    for (int32_t c = 0; c < k; c++) all[c] = c;
    p.cost.column = all;
    p.cost.scored = k;
    return p;
}

/* The head's weights from those of the classes seen: its own, or for a class without a label the
 * mean of the others', weighed by how near they are. */
static void path_start(const head_path *p) {
    const int64_t m = p->cost.scored, k = p->cost.k, rows = p->r + 1;
    if (m == p->seen) {
        memcpy(p->theta, p->plain, sizeof *p->theta * (size_t)(rows * m));
        return;
    }
    for (int64_t c = 0; c < m; c++) {
        const double *cost = p->cost.cost + c * k;
        double sum = 0;
        for (int64_t j = 0; j < p->seen; j++) sum += exp(-4 * cost[p->classes[j]]);
        for (int64_t i = 0; i < rows; i++) {
            double mean = 0;
            for (int64_t j = 0; j < p->seen; j++)
                mean += exp(-4 * cost[p->classes[j]]) / sum * p->plain[i * p->seen + j];
            p->theta[i * m + c] = mean;
        }
    }
    for (int64_t j = 0; j < p->seen; j++)
        for (int64_t i = 0; i < rows; i++)
            p->theta[i * m + p->classes[j]] = p->plain[i * p->seen + j];
}

static void path_step(const head_path *p, double penalty) {
    whet_i_logistic_solve(p->z, p->b, p->r, p->dense, p->seen, penalty, NULL, TOLERANCE, MOST_STEPS,
                          p->plain, p->workspace);
    path_start(p);
    whet_i_logistic_solve(p->z, p->b, p->r, p->y, p->cost.scored, penalty, &p->cost, TOLERANCE,
                          MOST_STEPS, p->theta, p->workspace);
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
    double *row = p + b * k, *room = row + k;
    int32_t *y = f->numbers + worker * 2 * (k + b);
    for (int64_t i = 0; i < s->n_train; i++) {
        memcpy(z + i * r, f->span->z + s->train[i] * r, sizeof *z * (size_t)r);
        y[i] = f->y[s->train[i]];
    }
    for (int64_t i = 0; i < s->n_held; i++)
        memcpy(held + i * r, f->span->z + s->held[i] * r, sizeof *z * (size_t)r);
    const head_path path = path_begin(z, y, s->n_train, r, f->cost, room + k, y + b);
    const int64_t m = path.cost.scored;
    for (int64_t c = 0; c < WHET_I_PENALTIES; c++) {
        double *loss = f->loss + c * f->splits->n + at;
        path_step(&path, whet_i_penalties[c]);
        for (int64_t i = 0; i < s->n_held; i++)
            memcpy(p + i * m, path.theta + r * m, sizeof *p * (size_t)m);
        whet_i_matmul_f64_serial(false, false, s->n_held, m, r, held, r, path.theta, m, 1, p, m);
        *loss = 0;
        for (int64_t i = 0; i < s->n_held; i++) {
            const int64_t at_case = s->repeat * b + s->held[i];
            memcpy(row, p + i * m, sizeof *row * (size_t)m);
            *loss += whet_i_cost_row(&path.cost, row, f->y[s->held[i]], room);
            whet_i_softmax(p + i * m, m);
            spread_columns(p + i * m, path.cost.column, m, k,
                           f->probs + (c * f->splits->repeats * b + at_case) * k);
        }
    }
}

static whet_status make_room(whet_ctx *ctx, head_fitting *f) {
    const int64_t b = f->splits->b, r = f->span->r, k = f->k, n = f->splits->n;
    const int64_t threads = whet_ctx_threads(ctx), workers = n && n < threads ? n : threads;
    int64_t cells;
    f->room = 2 * b * r + b * k + 2 * k + path_doubles(b, r, f->cost);
    WHET_TRY(whet_i_mul(ctx, workers, f->room, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &f->scratch));
    WHET_TRY(whet_i_alloc(ctx, workers * 2 * (k + b), &f->numbers));
    WHET_TRY(whet_i_alloc(ctx, WHET_I_PENALTIES * (n + 1), &f->loss));
    WHET_TRY(whet_i_mul(ctx, WHET_I_PENALTIES * f->splits->repeats * b, k, &cells));
    return whet_i_alloc(ctx, cells, &f->probs);
}

static void free_room(whet_ctx *ctx, head_fitting *f) {
    whet_i_free(ctx, f->scratch);
    whet_i_free(ctx, f->numbers);
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
    const head_path path =
        path_begin(span->z, f->y, span->b, span->r, f->cost, f->scratch, f->numbers);
    m->seen = path.cost.scored;
    WHET_TRY(whet_i_alloc(ctx, m->k, &m->classes));
    WHET_TRY(whet_i_alloc(ctx, m->d * m->seen, &m->weight));
    WHET_TRY(whet_i_alloc(ctx, m->seen, &m->bias));
    memcpy(m->classes, path.cost.column, sizeof *m->classes * (size_t)m->seen);
    for (int64_t c = 0; c <= chosen; c++) path_step(&path, whet_i_penalties[c]);
    memcpy(m->bias, path.theta + span->r * m->seen, sizeof *m->bias * (size_t)m->seen);
    return whet_i_matmul_f64(ctx, false, false, m->d, m->seen, span->r, span->back, span->r,
                             path.theta, m->seen, 0, m->weight, m->seen);
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
