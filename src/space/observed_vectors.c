/* SPDX-License-Identifier: Apache-2.0
 * Distances by |a - b|^2 = |a|^2 + |b|^2 - 2 ab by a product, and directly where that would cancel. */
#include "space/observed_vectors.h"

#include <math.h>

#include "tensor/tensor_i.h"

void whet_i_embedding_powers(const whet_frechet *f, const observed_vectors *p, int64_t from,
                             int64_t n, double *out, double *scratch) {
    const space_embedding *e = &f->space->embedding;
    const bool is_square = f->power == 2 && e->measure <= MEASURE_UNIT;
    whet_i_embedding_rows(e, f->candidates + from, n, p->centre, scratch);
    whet_i_matmul_f64_serial(false, true, n, f->k, e->dim, scratch, e->dim, p->vector, e->dim, 0,
                             out, f->k);
    for (int64_t c = 0; c < n; c++) {
        double norm = 0;
        for (int64_t i = 0; i < e->dim; i++)
            norm += scratch[c * e->dim + i] * scratch[c * e->dim + i];
        for (int64_t j = 0; j < f->k; j++) {
            double *d = &out[c * f->k + j];
            const double norms = norm + p->norm[j];
            *d = norms - 2 * *d;
            if (*d < 1e-3 * norms)
                *d = whet_i_embedding_distance2(e, f->candidates[from + c], f->observed[j]);
            if (is_square) continue;
            /* Obtuse angles lose digits, all of them near pi. */
            *d = e->measure == MEASURE_ANGULAR && *d > 3
                     ? whet_i_embedding_distance(e, f->candidates[from + c], f->observed[j])
                     : whet_i_measured(e->measure, *d);
            if (f->power == 2) *d *= *d;
        }
    }
}

void whet_i_observed_vectors_free(whet_ctx *ctx, observed_vectors *o) {
    whet_i_free(ctx, o->vector);
    whet_i_free(ctx, o->norm);
    whet_i_free(ctx, o->centre);
    *o = (observed_vectors){0};
}

static double squared_norm(const double *x, int64_t dim) {
    double sum = 0;
    for (int64_t i = 0; i < dim; i++) sum += x[i] * x[i];
    return sum;
}

whet_status whet_i_observed_vectors_make(whet_ctx *ctx, const whet_frechet *f, bool centred,
                                         observed_vectors *out) {
    const space_embedding *e = &f->space->embedding;
    whet_status status = WHET_OK;
    observed_vectors o = {0};
    int64_t values;
    WHET_TRY_DONE(whet_i_mul(ctx, f->k, e->dim, &values));
    WHET_TRY_DONE(whet_i_alloc(ctx, values, &o.vector));
    WHET_TRY_DONE(whet_i_alloc(ctx, f->k, &o.norm));
    WHET_TRY_DONE(whet_i_calloc(ctx, e->dim, &o.centre));
    whet_i_embedding_rows(e, f->observed, f->k, o.centre, o.vector);
    for (int64_t i = 0; i < values && centred; i++)
        o.centre[i % e->dim] += o.vector[i] / (double)f->k;
    if (centred) whet_i_embedding_rows(e, f->observed, f->k, o.centre, o.vector);
    for (int64_t j = 0; j < f->k; j++) o.norm[j] = squared_norm(o.vector + j * e->dim, e->dim);
    *out = o;
    o = (observed_vectors){0};
done:
    whet_i_observed_vectors_free(ctx, &o);
    return status;
}

whet_status whet_i_candidate_norms(whet_ctx *ctx, const whet_frechet *f, const observed_vectors *o,
                                   double *vectors, double *norm) {
    const space_embedding *e = &f->space->embedding;
    double *one = NULL;
    WHET_TRY(whet_i_alloc(ctx, e->dim, &one));
    for (int64_t c = 0; c < f->n_candidates; c++) {
        double *row = vectors ? vectors + c * e->dim : one;
        whet_i_embedding_rows(e, f->candidates + c, 1, o->centre, row);
        norm[c] = squared_norm(row, e->dim);
    }
    whet_i_free(ctx, one);
    return WHET_OK;
}
