/* SPDX-License-Identifier: Apache-2.0
 * slerp by weights, t = w1 / (w0 + w1), of the whole tensor, of its rows, or of its columns; with a base,
 * of the differences from it. */
#include <math.h>

#include "merge/merging_i.h"

enum { STRIPE = 8192 }; /* columns whose products are held at once */

typedef struct nuslerp {
    double t;
    bool centred;
    int64_t columns, first, n; /* of a stripe */
    double *factor;            /* [columns, 2] by columns; [2] of the tensor */
} nuslerp;

static double share(const whet_i_merge_tensor *t) {
    const double w0 = whet_i_merge_setting(t, 0, WHET_I_SET_WEIGHT);
    const double w1 = whet_i_merge_setting(t, 1, WHET_I_SET_WEIGHT);
    return fabs(w0 + w1) < 1e-8 ? 0.5 : w1 / (w0 + w1);
}

/* gram [3] = 00, 01, 11 to factors of the sources, the base's last. */
static void factors_of(const nuslerp *s, const double *gram, double *factor) {
    whet_i_slerp_factors(s->t, sqrt(gram[0]), sqrt(gram[2]), gram[1], 2, &factor[0], &factor[1]);
    factor[2] = s->centred ? 1 - factor[0] - factor[1] : 0;
}

static void by_row(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    for (int64_t at = 0; at < c->n; at += t->row) {
        const nuslerp *s = arg;
        double gram[3] = {0}, factor[3];
        whet_i_merge_gram_of(t, c, at, t->row, s->centred, gram);
        factors_of(s, gram, factor);
        whet_i_merge_combine(t, c, at, t->row, factor);
    }
}

static void column_products(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    const nuslerp *s = arg;
    for (int64_t e = 0; e < c->n; e++) {
        const int64_t column = (c->first + e) % s->columns - s->first;
        if (column < 0 || column >= s->n) continue;
        const double zero = s->centred ? (double)c->x[t->base][e] : 0;
        const double x = (double)c->x[0][e] - zero, y = (double)c->x[1][e] - zero;
        double *sum = c->sums + 3 * column;
        sum[0] += x * x;
        sum[1] += x * y;
        sum[2] += y * y;
    }
}

static void by_column(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    const nuslerp *s = arg;
    for (int64_t e = 0; e < c->n; e++) {
        const double *f = s->factor + 3 * ((c->first + e) % s->columns);
        const double zero = s->centred ? f[2] * (double)c->x[t->base][e] : 0;
        c->out[e] = (float)(f[0] * (double)c->x[0][e] + f[1] * (double)c->x[1][e] + zero);
    }
}

static int64_t columns_of(const whet_i_merge_tensor *t) {
    return t->rank > 1 && t->shape[0] ? t->count / t->shape[0] : 0;
}

/* Whether it goes by columns is not known here: what that takes. */
static int64_t beside(const whet_i_merge_tensor *t) {
    const int64_t columns = columns_of(t), most = columns < STRIPE ? columns : STRIPE;
    return (columns + most) * 3 * (int64_t)sizeof(double) + whet_i_merge_sums_bytes(t, 3 * most);
}

static whet_status run_columns(whet_ctx *ctx, whet_i_merge_tensor *t, nuslerp *s) {
    double *sums = NULL;
    whet_status status = WHET_OK;
    s->columns = columns_of(t);
    const int64_t most = s->columns < STRIPE ? s->columns : STRIPE;
    WHET_TRY_DONE(whet_i_alloc(ctx, s->columns * 3, &s->factor));
    WHET_TRY_DONE(whet_i_alloc(ctx, most * 3, &sums));
    for (; s->first < s->columns; s->first += most) {
        s->n = s->columns - s->first < most ? s->columns - s->first : most;
        WHET_TRY_DONE(whet_i_merge_sums(ctx, t, column_products, s, 3 * s->n, sums));
        for (int64_t i = 0; i < s->n; i++)
            factors_of(s, sums + 3 * i, s->factor + 3 * (s->first + i));
    }
    status = whet_i_merge_write(ctx, t, by_column, s);
done:
    whet_i_free(ctx, sums);
    whet_i_free(ctx, s->factor);
    return status;
}

static whet_status run(whet_ctx *ctx, whet_i_merge_tensor *t) {
    nuslerp s = {.t = share(t), .centred = t->base >= 0};
    double gram[4], factor[3];
    if (whet_i_merge_global(t, WHET_I_SET_FLATTEN) == 0 && t->rank > 1)
        return whet_i_merge_global(t, WHET_I_SET_ROW_WISE) != 0
                   ? run_columns(ctx, t, &s)
                   : whet_i_merge_write(ctx, t, by_row, &s);
    WHET_TRY(whet_i_merge_gram(ctx, t, s.centred, gram));
    const double upper[3] = {gram[0], gram[1], gram[3]};
    factors_of(&s, upper, factor);
    return whet_i_merge_write_span(ctx, t, factor);
}

static const whet_i_setting_use settings[] = {{WHET_I_SET_WEIGHT, (double)NAN},
                                              {WHET_I_SET_FLATTEN, 1},
                                              {WHET_I_SET_ROW_WISE, 0},
                                              {WHET_I_SET_COUNT, 0}};

const whet_i_merge_method whet_i_merge_nuslerp = {
    .shown = {"nuslerp", "slerp by weights, of tensors, rows or columns", 2, 2,
              WHET_MERGE_BASE_OPTIONAL, WHET_MERGE_TENSOR, false},
    .settings = settings,
    .by_row = true,
    .passes = 2,
    .beside = beside,
    .run = run};
