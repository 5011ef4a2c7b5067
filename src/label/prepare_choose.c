/* SPDX-License-Identifier: Apache-2.0
 * Which preparation suits features: every column by its own deviation, or all by one factor? The first is
 * right where columns have units of their own, the second where they share one (pixels, principal
 * components, moments of a series): there small columns are small because they say little. The labels
 * decide, by the cross-fitted log loss of logistic regressions.
 * Legend: n rows, d columns, b labelled rows, k classes. */
#include <math.h>

#include "label/label_i.h"

/* More labels would not decide otherwise, and cost their square. */
enum { MOST_LABELS = 300, FOLDS = 5 };
/* One factor, the simpler of the two, unless the other's loss is clearly lower. */
static const double CLEARLY = .95;

/* In place of each column's deviation that of a whole row: scale is 1 / (deviation sqrt(d)). */
static void share_scale(whet_i_prepare *p) {
    double sum = 0;
    for (int64_t j = 0; j < p->d_in; j++)
        if (p->scale[j] > 0) sum += 1 / (p->scale[j] * p->scale[j] * (double)p->d_in);
    const double one = sum > 0 ? 1 / sqrt(sum) : 0;
    for (int64_t j = 0; j < p->d_in; j++)
        if (p->scale[j] > 0) p->scale[j] = one;
}

static whet_status copy_of(whet_ctx *ctx, const whet_i_prepare *p, whet_i_prepare *out) {
    whet_i_prepare copy = {.kind = p->kind, .d_in = p->d_in, .d = p->d};
    whet_status status = whet_i_alloc(ctx, p->d_in, &copy.mean);
    if (status == WHET_OK) status = whet_i_alloc(ctx, p->d_in, &copy.scale);
    if (status != WHET_OK) {
        whet_i_prepare_free(ctx, &copy);
        return status;
    }
    memcpy(copy.mean, p->mean, (size_t)p->d_in * sizeof *copy.mean);
    memcpy(copy.scale, p->scale, (size_t)p->d_in * sizeof *copy.scale);
    *out = copy;
    return WHET_OK;
}

/* Labelled rows, evenly spaced where there are too many. */
typedef struct few_rows {
    int64_t b, k;
    float *x; /* [b, d_in] as they are */
    int32_t *y;
    int64_t *order; /* 0 .. b - 1 */
    whet_i_splits splits;
    int32_t *case_y;
} few_rows;

static void free_few(whet_ctx *ctx, few_rows *f) {
    whet_i_free(ctx, f->x);
    whet_i_free(ctx, f->y);
    whet_i_free(ctx, f->order);
    whet_i_free(ctx, f->case_y);
    whet_i_splits_free(ctx, &f->splits);
}

static whet_status take_few(whet_ctx *ctx, const float *x, int64_t n, int64_t d,
                            const int32_t *labels, few_rows *f) {
    int64_t all = 0, cells, at = 0;
    for (int64_t i = 0; i < n; i++) all += labels[i] >= 0;
    const int64_t most = all < MOST_LABELS ? all : MOST_LABELS;
    WHET_TRY(whet_i_mul(ctx, most, d, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &f->x));
    WHET_TRY(whet_i_alloc(ctx, most, &f->y));
    WHET_TRY(whet_i_alloc(ctx, most, &f->order));
    WHET_TRY(whet_i_alloc(ctx, most, &f->case_y));
    for (int64_t i = 0; i < n && f->b < most; i++) {
        if (labels[i] < 0) continue;
        if (at++ != f->b * all / most) continue;
        memcpy(f->x + f->b * d, x + i * d, (size_t)d * sizeof *x);
        f->order[f->b] = f->b;
        f->y[f->b++] = labels[i];
    }
    WHET_TRY(whet_i_splits_make(ctx, f->y, f->b, f->k, 1, FOLDS, 0, &f->splits));
    for (int64_t i = 0; i < f->b; i++) f->case_y[i] = f->y[i];
    return WHET_OK;
}

/* The least log loss over penalties. */
static whet_status loss_with(whet_ctx *ctx, const whet_i_prepare *p, const few_rows *f,
                             double *least) {
    whet_i_span span = {0};
    whet_i_path path = {0};
    float *z = NULL;
    int64_t cells;
    whet_status status = WHET_OK;
    *least = INFINITY;
    WHET_TRY_DONE(whet_i_mul(ctx, f->b, p->d, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &z));
    whet_i_prepare_apply(p, f->x, f->b, z);
    WHET_TRY_DONE(whet_i_span_build(ctx, z, f->order, f->b, p->d, &span));
    WHET_TRY_DONE(whet_i_path_fit(ctx, &span, f->y, f->k, &f->splits, &path));
    for (int64_t i = 0; i < WHET_I_PENALTIES; i++) {
        double temperature, loss;
        WHET_TRY_DONE(whet_i_temperature_fit(ctx, path.probs + i * f->b * f->k, f->b, f->k,
                                             f->case_y, &temperature, &loss));
        *least = fmin(*least, loss);
    }
done:
    whet_i_free(ctx, z);
    whet_i_span_free(ctx, &span);
    whet_i_path_free(ctx, &path);
    return status;
}

/* Holding labels out can tell something: several of two classes, one of them twice. */
static bool can_tell(const int32_t *labels, int64_t n) {
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

whet_status whet_i_prepare_choose(whet_ctx *ctx, const float *x, int64_t n, int64_t d,
                                  bool with_classes, const int32_t *labels, int64_t k,
                                  whet_i_prepare *out) {
    whet_i_prepare own = {0}, one = {0};
    few_rows few = {.k = k};
    double own_loss, one_loss;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_prepare_fit(ctx, x, n, d, with_classes, &own));
    if (own.kind != WHET_I_STANDARD || !labels || !can_tell(labels, n)) {
        *out = own;
        return WHET_OK;
    }
    WHET_TRY_DONE(copy_of(ctx, &own, &one));
    share_scale(&one);
    WHET_TRY_DONE(take_few(ctx, x, n, d, labels, &few));
    WHET_TRY_DONE(loss_with(ctx, &own, &few, &own_loss));
    WHET_TRY_DONE(loss_with(ctx, &one, &few, &one_loss));
    whet_i_prepare *better = own_loss < CLEARLY * one_loss ? &own : &one;
    *out = *better;
    *better = (whet_i_prepare){0};
done:
    free_few(ctx, &few);
    whet_i_prepare_free(ctx, &own);
    whet_i_prepare_free(ctx, &one);
    return status;
}
