/* SPDX-License-Identifier: Apache-2.0
 * Which preparation suits features: every column by its own deviation, or all by one factor? The first is
 * right where columns have units of their own, the second where they share one (pixels, principal
 * components, moments of a series): there small columns are small because they say little. The labels
 * decide, by the cross-fitted log loss of logistic regressions.
 * Legend: n rows, d columns, b labelled rows, k classes. */
#include <inttypes.h>
#include <math.h>

#include "label/label_i.h"

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

/* The loss with a preparation. */
static whet_status loss_with(whet_ctx *ctx, const whet_i_prepare *p, const whet_i_few_rows *few,
                             double *loss) {
    float *z;
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, few->b, p->d, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &z));
    whet_i_prepare_apply(p, few->x, few->b, z);
    const whet_status status = whet_i_few_rows_loss(ctx, few, z, p->d, loss);
    whet_i_free(ctx, z);
    return status;
}

bool whet_i_rows_are_alike(const float *x, int64_t n, int64_t d) {
    for (int64_t i = d; i < n * d; i++)
        if (x[i] < x[i % d] || x[i] > x[i % d]) return false;
    return true;
}

void whet_i_warn_of_alike_rows(whet_ctx *ctx, const float *x, int64_t n, int64_t d) {
    if (n > 1 && whet_i_rows_are_alike(x, n, d))
        whet_i_log(ctx, WHET_LOG_WARN,
                   "features: all %" PRId64 " rows are alike; expected some that tell them apart: "
                   "what comes out says nothing of a row",
                   n);
}

whet_status whet_i_prepare_choose(whet_ctx *ctx, const float *x, int64_t n, int64_t d,
                                  bool with_classes, const int32_t *labels, int64_t k,
                                  whet_i_prepare *out) {
    whet_i_prepare own = {0}, one = {0};
    whet_i_few_rows few = {0};
    double own_loss, one_loss;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_prepare_fit(ctx, x, n, d, with_classes, &own));
    if (own.kind != WHET_I_STANDARD || !labels || !whet_i_few_rows_tell(labels, n)) {
        *out = own;
        return WHET_OK;
    }
    WHET_TRY_DONE(copy_of(ctx, &own, &one));
    share_scale(&one);
    WHET_TRY_DONE(whet_i_few_rows_take(ctx, x, n, d, labels, k, &few));
    WHET_TRY_DONE(loss_with(ctx, &own, &few, &own_loss));
    WHET_TRY_DONE(loss_with(ctx, &one, &few, &one_loss));
    whet_i_prepare *better = own_loss < CLEARLY * one_loss ? &own : &one;
    *out = *better;
    *better = (whet_i_prepare){0};
done:
    whet_i_few_rows_free(ctx, &few);
    whet_i_prepare_free(ctx, &own);
    whet_i_prepare_free(ctx, &one);
    return status;
}
