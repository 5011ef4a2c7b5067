/* SPDX-License-Identifier: Apache-2.0
 * Which of several forms of the features suits the labels: each by the cross-fitted log loss of logistic
 * regressions on some hundred of them.
 * Legend: n rows, d columns, b labelled rows, k classes. */
#include <math.h>

#include "label/label_i.h"

/* More labels would not decide otherwise, and cost their square. */
enum { MOST_LABELS = 300, FOLDS = 5 };

void whet_i_few_rows_free(whet_ctx *ctx, whet_i_few_rows *f) {
    whet_i_free(ctx, f->row);
    whet_i_free(ctx, f->x);
    whet_i_free(ctx, f->y);
    whet_i_free(ctx, f->order);
    whet_i_splits_free(ctx, &f->splits);
    *f = (whet_i_few_rows){0};
}

bool whet_i_few_rows_tell(const int32_t *labels, int64_t n) {
    int64_t labelled = 0, first = -1, repeats = 0;
    bool two = false;
    for (int64_t i = 0; i < n; i++) {
        if (labels[i] < 0) continue;
        labelled++;
        if (first < 0) first = i;
        two = two || labels[i] != labels[first];
        repeats += labels[i] == labels[first];
    }
    return labelled >= 10 && two && repeats >= 2;
}

static whet_status take(whet_ctx *ctx, const float *x, int64_t n, int64_t d, const int32_t *labels,
                        whet_i_few_rows *f) {
    int64_t all = 0, cells, at = 0;
    for (int64_t i = 0; i < n; i++) all += labels[i] >= 0;
    const int64_t most = all < MOST_LABELS ? all : MOST_LABELS;
    WHET_TRY(whet_i_mul(ctx, most, d, &cells));
    WHET_TRY(whet_i_alloc(ctx, most, &f->row));
    WHET_TRY(whet_i_alloc(ctx, cells, &f->x));
    WHET_TRY(whet_i_alloc(ctx, most, &f->y));
    WHET_TRY(whet_i_alloc(ctx, most, &f->order));
    for (int64_t i = 0; i < n && f->b < most; i++) {
        if (labels[i] < 0) continue;
        if (at++ != f->b * all / most) continue; /* the b-th of `most` stands at b all / most */
        memcpy(f->x + f->b * d, x + i * d, (size_t)d * sizeof *x);
        f->row[f->b] = i;
        f->order[f->b] = f->b;
        f->y[f->b++] = labels[i];
    }
    return whet_i_splits_make(ctx, f->y, NULL, f->b, f->k, 1, FOLDS, 0, &f->splits);
}

whet_status whet_i_few_rows_take(whet_ctx *ctx, const float *x, int64_t n, int64_t d,
                                 const int32_t *labels, int64_t k, whet_i_few_rows *out) {
    whet_i_few_rows f = {.k = k};
    const whet_status status = take(ctx, x, n, d, labels, &f);
    if (status == WHET_OK)
        *out = f;
    else
        whet_i_few_rows_free(ctx, &f);
    return status;
}

whet_status whet_i_few_rows_loss(whet_ctx *ctx, const whet_i_few_rows *f, const float *z, int64_t d,
                                 double *least) {
    whet_i_span span = {0};
    whet_i_path path = {0};
    whet_status status = WHET_OK;
    double best = INFINITY;
    WHET_TRY_DONE(whet_i_span_build(ctx, z, f->order, f->b, d, &span));
    WHET_TRY_DONE(whet_i_path_fit(ctx, &span, f->y, f->k, &f->splits, &path));
    for (int64_t i = 0; i < WHET_I_PENALTIES; i++) {
        double temperature, loss;
        WHET_TRY_DONE(whet_i_temperature_fit(ctx, path.probs + i * f->b * f->k, f->b, f->k, f->y,
                                             &temperature, &loss));
        best = fmin(best, loss);
    }
    *least = best;
done:
    whet_i_span_free(ctx, &span);
    whet_i_path_free(ctx, &path);
    return status;
}
