/* SPDX-License-Identifier: Apache-2.0
 * |a - b|^2 = |a|^2 + |b|^2 - 2 ab by a product, and directly where that would cancel. */
#include "space/embedding_powers.h"

#include <math.h>

#include "tensor/tensor_i.h"

void whet_i_embedding_powers(const whet_frechet *f, const embedding_powers *p, int64_t from,
                             int64_t n, double *out, double *scratch) {
    const space_embedding *e = &f->space->embedding;
    whet_i_embedding_rows(e, f->candidates + from, n, p->centre, scratch);
    whet_i_matmul_f64_serial(false, true, n, f->k, e->dim, scratch, e->dim, p->observed, e->dim, 0,
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
            if (e->angular) {
                const double angle = whet_i_angle(*d);
                *d = f->power == 2 ? angle * angle : angle;
            } else if (f->power == 1) {
                *d = sqrt(*d);
            }
        }
    }
}

void whet_i_embedding_powers_free(whet_ctx *ctx, embedding_powers *p) {
    whet_i_free(ctx, p->observed);
    whet_i_free(ctx, p->norm);
    whet_i_free(ctx, p->centre);
    *p = (embedding_powers){0};
}

whet_status whet_i_embedding_powers_make(whet_ctx *ctx, const whet_frechet *f,
                                         embedding_powers *out) {
    const space_embedding *e = &f->space->embedding;
    whet_status status = WHET_OK;
    embedding_powers p = {0};
    int64_t values;
    WHET_TRY_DONE(whet_i_mul(ctx, f->k, e->dim, &values));
    WHET_TRY_DONE(whet_i_alloc(ctx, values, &p.observed));
    WHET_TRY_DONE(whet_i_calloc(ctx, f->k, &p.norm));
    WHET_TRY_DONE(whet_i_calloc(ctx, e->dim, &p.centre));
    whet_i_embedding_rows(e, f->observed, f->k, p.centre, p.observed);
    for (int64_t i = 0; i < values; i++) p.centre[i % e->dim] += p.observed[i] / (double)f->k;
    for (int64_t i = 0; i < values; i++) {
        p.observed[i] -= p.centre[i % e->dim];
        p.norm[i / e->dim] += p.observed[i] * p.observed[i];
    }
    *out = p;
    p = (embedding_powers){0};
done:
    whet_i_embedding_powers_free(ctx, &p);
    return status;
}
