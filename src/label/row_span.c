/* SPDX-License-Identifier: Apache-2.0
 * Rows in orthogonal coordinates of their own span: x = z q^T, q orthonormal, columns of z orthogonal.
 *
 * The optimum of a regression whose penalty is a function of |w| lies in the span of its rows (what a
 * weight has at right angles to them changes no score and is penalised), so that a fit in r <= min(b, d)
 * coordinates is the fit in d; and it lies in the span of more rows than it is fitted to: one
 * decomposition serves every fold. Sources: Kimeldorf & Wahba 1971; Hastie & Tibshirani 2004
 * (Biostatistics 5:329).
 * By eigenvectors of the smaller of X^T X and X X^T; directions of less than 1e-6 of the largest
 * singular value, which a Gram matrix in f64 does not tell from rounding, are left out.
 * Legend: b rows, d columns, r coordinates. */
#include <math.h>

#include "label/label_i.h"
#include "tensor/tensor_i.h"

#define LEAST_SHARE 1e-12 /* of the largest eigenvalue */

/* The number of eigenvalues, falling, that count. */
static int64_t rank_of(const double *values, int64_t n) {
    int64_t r = 0;
    while (r < n && values[r] > LEAST_SHARE * values[0]) r++;
    return r;
}

/* ---- more columns than rows: what mixes rows into axes ---------------------------------------- */

void whet_i_row_span_free(whet_ctx *ctx, whet_i_row_span *span) {
    whet_i_free(ctx, span->z);
    whet_i_free(ctx, span->mix);
    *span = (whet_i_row_span){0};
}

/* Eigenvectors u_j of X X^T, of eigenvalue s_j^2: z_j = u_j s_j, mix_j = u_j / s_j. */
whet_status whet_i_row_span_build(whet_ctx *ctx, const double *x, int64_t b, int64_t d,
                                  whet_i_row_span *out) {
    whet_i_row_span s = {.b = b};
    whet_status status = WHET_OK;
    double *gram = NULL, *values = NULL;
    int64_t square;
    WHET_TRY(whet_i_mul(ctx, b, b, &square));
    WHET_TRY_DONE(whet_i_alloc(ctx, square, &gram));
    WHET_TRY_DONE(whet_i_alloc(ctx, b, &values));
    WHET_TRY_DONE(whet_i_matmul_f64(ctx, false, true, b, b, d, x, d, x, d, 0, gram, b));
    WHET_TRY_DONE(whet_i_eigh(ctx, b, gram, values));
    s.r = rank_of(values, b);
    WHET_TRY_DONE(whet_i_alloc(ctx, b * s.r, &s.z));
    WHET_TRY_DONE(whet_i_alloc(ctx, b * s.r, &s.mix));
    for (int64_t i = 0; i < b; i++)
        for (int64_t j = 0; j < s.r; j++) {
            s.z[i * s.r + j] = gram[j * b + i] * sqrt(values[j]);
            s.mix[i * s.r + j] = gram[j * b + i] / sqrt(values[j]);
        }
    *out = s;
    s = (whet_i_row_span){0};
done:
    whet_i_row_span_free(ctx, &s);
    whet_i_free(ctx, gram);
    whet_i_free(ctx, values);
    return status;
}

/* ---- any rows ---------------------------------------------------------------------------------- */

void whet_i_span_free(whet_ctx *ctx, whet_i_span *span) {
    whet_i_free(ctx, span->z);
    whet_i_free(ctx, span->back);
    *span = (whet_i_span){0};
}

static whet_status span_wide(whet_ctx *ctx, const double *x, whet_i_span *s) {
    whet_i_row_span rows = {0};
    whet_status status = WHET_OK;
    int64_t cells;
    WHET_TRY_DONE(whet_i_row_span_build(ctx, x, s->b, s->d, &rows));
    s->r = rows.r;
    s->z = rows.z;
    rows.z = NULL;
    WHET_TRY_DONE(whet_i_mul(ctx, s->d, s->r, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &s->back));
    WHET_TRY_DONE(whet_i_matmul_f64(ctx, true, false, s->d, s->r, s->b, x, s->d, rows.mix, s->r, 0,
                                    s->back, s->r));
done:
    whet_i_row_span_free(ctx, &rows);
    return status;
}

/* Eigenvectors of X^T X are the columns of back. */
static whet_status span_tall(whet_ctx *ctx, const double *x, whet_i_span *s) {
    const int64_t b = s->b, d = s->d;
    double *gram = NULL, *values = NULL;
    whet_status status = WHET_OK;
    int64_t square, cells;
    WHET_TRY(whet_i_mul(ctx, d, d, &square));
    WHET_TRY_DONE(whet_i_alloc(ctx, square, &gram));
    WHET_TRY_DONE(whet_i_alloc(ctx, d, &values));
    WHET_TRY_DONE(whet_i_matmul_f64(ctx, true, false, d, d, b, x, d, x, d, 0, gram, d));
    WHET_TRY_DONE(whet_i_eigh(ctx, d, gram, values));
    s->r = rank_of(values, d);
    WHET_TRY_DONE(whet_i_mul(ctx, b, s->r, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &s->z));
    WHET_TRY_DONE(whet_i_alloc(ctx, d * s->r, &s->back));
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < s->r; j++) s->back[i * s->r + j] = gram[j * d + i];
    WHET_TRY_DONE(whet_i_matmul_f64(ctx, false, true, b, s->r, d, x, d, gram, d, 0, s->z, s->r));
done:
    whet_i_free(ctx, gram);
    whet_i_free(ctx, values);
    return status;
}

whet_status whet_i_span_of(whet_ctx *ctx, const double *x, int64_t b, int64_t d, whet_i_span *out) {
    whet_i_span s = {.b = b, .d = d};
    const whet_status status = b < d ? span_wide(ctx, x, &s) : span_tall(ctx, x, &s);
    if (status == WHET_OK)
        *out = s;
    else
        whet_i_span_free(ctx, &s);
    return status;
}

whet_status whet_i_span_build(whet_ctx *ctx, const float *x, const int64_t *rows, int64_t b,
                              int64_t d, whet_i_span *out) {
    double *copy;
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, b, d, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &copy));
    for (int64_t i = 0; i < b; i++)
        for (int64_t j = 0; j < d; j++) copy[i * d + j] = (double)x[rows[i] * d + j];
    const whet_status status = whet_i_span_of(ctx, copy, b, d, out);
    whet_i_free(ctx, copy);
    return status;
}
