/* SPDX-License-Identifier: Apache-2.0
 * Logistic regressions of every split along a rising grid of penalties, each started from the one
 * before. Splits are the units of the parallel loop.
 * Legend: b labelled rows, r coordinates of their span, k classes. */
#include "label/label_i.h"
#include "tensor/tensor_i.h"

const double whet_i_penalties[WHET_I_PENALTIES] = {.1, .3, 1, 3, 10, 30, 100, 300, 1000};

/* Enough for a choice among penalties: the loss is then right to about its square. */
static const double TOLERANCE = 1e-5;
enum { MOST_STEPS = 300 };

typedef struct fitting {
    const whet_i_span *span;
    const int32_t *y;
    int64_t k;
    const whet_i_splits *splits;
    whet_i_path *path;
    int64_t room;    /* doubles a worker */
    double *scratch; /* [workers, room] */
    int32_t *dense;  /* [workers, 2 b] */
    int64_t *counts; /* [workers, k] */
} fitting;

static void fit_split(void *arg, int64_t at, int32_t worker) {
    const fitting *f = arg;
    const whet_i_split *s = &f->splits->split[at];
    const int64_t r = f->span->r, b = f->splits->b, k = f->k;
    double *z = f->scratch + worker * f->room, *held = z + b * r, *p = held + b * r;
    double *workspace = p + b * k, *start = workspace + whet_i_logistic_workspace(b, r, k, NULL);
    int32_t *y = f->dense + worker * 2 * b, *dense = y + b, *classes = f->path->classes + at * k;
    int64_t seen;
    for (int64_t i = 0; i < s->n_train; i++) {
        memcpy(z + i * r, f->span->z + s->train[i] * r, sizeof *z * (size_t)r);
        y[i] = f->y[s->train[i]];
    }
    for (int64_t i = 0; i < s->n_held; i++)
        memcpy(held + i * r, f->span->z + s->held[i] * r, sizeof *z * (size_t)r);
    whet_i_dense_classes(y, s->n_train, k, classes, &seen, dense);
    f->path->seen[at] = seen;
    f->path->unseen[at] =
        seen == k ? 0 : whet_i_unseen_mass(y, s->n_train, k, f->counts + worker * k);
    whet_i_logistic_start(s->n_train, r, dense, seen, start);
    for (int64_t c = 0; c < WHET_I_PENALTIES; c++) {
        double *theta = f->path->theta + (at * WHET_I_PENALTIES + c) * f->path->stride;
        memcpy(theta, c ? theta - f->path->stride : start,
               sizeof *theta * (size_t)((r + 1) * seen));
        whet_i_logistic_solve(z, s->n_train, r, dense, seen, whet_i_penalties[c], NULL, TOLERANCE,
                              MOST_STEPS, theta, workspace);
        for (int64_t i = 0; i < s->n_held; i++)
            memcpy(p + i * seen, theta + r * seen, sizeof *p * (size_t)seen);
        whet_i_matmul_f64_serial(false, false, s->n_held, seen, r, held, r, theta, seen, 1, p,
                                 seen);
        for (int64_t i = 0; i < s->n_held; i++) {
            const int64_t at_case = s->repeat * b + s->held[i];
            whet_i_softmax(p + i * seen, seen);
            whet_i_share_out(p + i * seen, classes, seen, k, f->path->unseen[at],
                             f->path->probs + (c * f->splits->repeats * b + at_case) * k);
        }
    }
}

void whet_i_path_free(whet_ctx *ctx, whet_i_path *path) {
    whet_i_free(ctx, path->theta);
    whet_i_free(ctx, path->probs);
    whet_i_free(ctx, path->classes);
    whet_i_free(ctx, path->seen);
    whet_i_free(ctx, path->unseen);
    *path = (whet_i_path){0};
}

static whet_status make_room(whet_ctx *ctx, fitting *f, whet_i_path *path, int64_t most_seen) {
    const int64_t b = f->splits->b, r = f->span->r, k = f->k, n = f->splits->n;
    const int64_t threads = whet_ctx_threads(ctx), workers = threads < n ? threads : n;
    int64_t cells;
    path->stride = (r + 1) * most_seen;
    WHET_TRY(whet_i_mul(ctx, n * WHET_I_PENALTIES, path->stride, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &path->theta));
    WHET_TRY(whet_i_mul(ctx, WHET_I_PENALTIES * f->splits->repeats * b, k, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &path->probs));
    WHET_TRY(whet_i_mul(ctx, n, k, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &path->classes));
    WHET_TRY(whet_i_alloc(ctx, n, &path->seen));
    WHET_TRY(whet_i_alloc(ctx, n, &path->unseen));
    f->room = 2 * b * r + b * k + whet_i_logistic_workspace(b, r, k, NULL) + (r + 1) * k;
    WHET_TRY(whet_i_mul(ctx, workers, f->room, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &f->scratch));
    WHET_TRY(whet_i_alloc(ctx, workers * 2 * b, &f->dense));
    return whet_i_alloc(ctx, workers * k, &f->counts);
}

whet_status whet_i_path_fit(whet_ctx *ctx, const whet_i_span *span, const int32_t *y, int64_t k,
                            const whet_i_splits *splits, whet_i_path *out) {
    whet_status status = WHET_OK;
    whet_i_path path = {0};
    fitting f = {.span = span, .y = y, .k = k, .splits = splits, .path = &path};
    WHET_TRY_DONE(make_room(ctx, &f, &path, k < splits->b ? k : splits->b));
    WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, splits->n, fit_split, &f));
    *out = path;
    path = (whet_i_path){0};
done:
    whet_i_path_free(ctx, &path);
    whet_i_free(ctx, f.scratch);
    whet_i_free(ctx, f.dense);
    whet_i_free(ctx, f.counts);
    return status;
}
