/* SPDX-License-Identifier: Apache-2.0
 * Label spaces given by one vector a point: Euclidean distance, or one of the vectors scaled to length 1,
 * made of their Euclidean one, whose square is 2 - 2 cos. Vectors stay in the type they came in; arithmetic
 * is f64. */
#include <math.h>

#include "space/space_i.h"

static double value_at(const space_embedding *e, int64_t place) {
    return e->f64 ? e->f64[place] : (double)e->f32[place];
}

double whet_i_embedding_distance2(const space_embedding *e, int64_t a, int64_t b) {
    const double scale_a = e->scale ? e->scale[a] : 1, scale_b = e->scale ? e->scale[b] : 1;
    double sum = 0;
    for (int64_t i = 0; i < e->dim; i++) {
        const double x =
            value_at(e, a * e->dim + i) * scale_a - value_at(e, b * e->dim + i) * scale_b;
        sum += x * x;
    }
    return sum;
}

double whet_i_measured(space_measure measure, double distance2) {
    if (measure == MEASURE_COSINE) return .5 * distance2;
    if (measure != MEASURE_ANGULAR) return sqrt(distance2);
    const double half = .5 * sqrt(distance2);
    return 2 * asin(half < 1 ? half : 1);
}

double whet_i_embedding_distance(const space_embedding *e, int64_t a, int64_t b) {
    const double distance2 = whet_i_embedding_distance2(e, a, b);
    static const double pi = 3.14159265358979323846;
    double sum = 0;
    if (e->measure != MEASURE_ANGULAR || distance2 < 2)
        return whet_i_measured(e->measure, distance2);
    /* An obtuse angle is pi less that to the opposite vector. */
    for (int64_t i = 0; i < e->dim; i++) {
        const double x =
            value_at(e, a * e->dim + i) * e->scale[a] + value_at(e, b * e->dim + i) * e->scale[b];
        sum += x * x;
    }
    return pi - whet_i_measured(MEASURE_ANGULAR, sum);
}

whet_status whet_i_measure_read(whet_ctx *ctx, const char *text, space_measure *out) {
    static const char *const names[] = {"euclidean", "unit", "cosine", "angular"};
    char quoted[WHET_QUOTE_SIZE];
    for (int i = 0; i < WHET_COUNT_OF(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (space_measure)i;
            return WHET_OK;
        }
    return whet_i_fail(ctx, WHET_ERR_ARG,
                       "space: metric is %s; expected euclidean, unit, cosine or angular",
                       whet_i_quote(quoted, whet_str_from(text)));
}

void whet_i_embedding_rows(const space_embedding *e, const int64_t *points, int64_t n,
                           const double *centre, double *out) {
    for (int64_t p = 0; p < n; p++) {
        const int64_t from = points[p] * e->dim;
        const double scale = e->scale ? e->scale[points[p]] : 1;
        for (int64_t i = 0; i < e->dim; i++)
            out[p * e->dim + i] = value_at(e, from + i) * scale - centre[i];
    }
}

static whet_status check_values(whet_ctx *ctx, const space_embedding *e, int64_t n) {
    for (int64_t i = 0; i < n * e->dim; i++) {
        const double x = value_at(e, i);
        /* Above this, squares overflow. */
        if (!(fabs(x) < 1e150))
            return whet_i_fail(ctx, WHET_ERR_DATA, "embedding[%lld,%lld] is %g; expected %s",
                               (long long)(i / e->dim), (long long)(i % e->dim), x,
                               isfinite(x) ? "values below 1e150, whose squares are numbers"
                                           : "finite values");
    }
    return WHET_OK;
}

/* 1 / the norm of a vector, of whatever size its numbers are; infinite where all are zero. */
static double scale_of(const space_embedding *e, int64_t p) {
    double most = 0, sum = 0;
    for (int64_t i = 0; i < e->dim; i++) most = fmax(most, fabs(value_at(e, p * e->dim + i)));
    for (int64_t i = 0; most > 0 && i < e->dim; i++) {
        const double x = value_at(e, p * e->dim + i) / most;
        sum += x * x;
    }
    return 1 / sqrt(sum) / most;
}

static whet_status find_scales(whet_ctx *ctx, whet_space *space) {
    space_embedding *e = &space->embedding;
    WHET_TRY(whet_i_alloc(ctx, space->n, &e->scale));
    for (int64_t p = 0; p < space->n; p++) {
        char quoted[WHET_QUOTE_SIZE];
        e->scale[p] = scale_of(e, p);
        if (isfinite(e->scale[p])) continue;
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "the embedding of %s (row %lld) is zero; expected a direction; try "
                           "metric=euclidean",
                           whet_i_quote(quoted, whet_names_get(space->names, p)), (long long)p);
    }
    return WHET_OK;
}

whet_status whet_i_space_from_embedding(whet_ctx *ctx, const whet_names *names, whet_tensor *e,
                                        bool take, space_measure measure, whet_space **out) {
    if (e->rank != 2 || e->shape[1] < 1)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "the embedding has %d dimensions; expected [points, size] with 1 "
                           "column or more",
                           e->rank);
    whet_status status = WHET_OK;
    whet_space *space = NULL;
    WHET_TRY(whet_i_space_begin(ctx, SPACE_EMBEDDING, e->shape[0], names, &space));
    space->embedding.dim = e->shape[1];
    WHET_TRY_DONE(whet_i_take_array(ctx, e, take, &space->embedding.f64, &space->embedding.f32));
    WHET_TRY_DONE(check_values(ctx, &space->embedding, space->n));
    space->embedding.measure = measure;
    if (measure != MEASURE_EUCLIDEAN) WHET_TRY_DONE(find_scales(ctx, space));
    *out = space;
    space = NULL;
done:
    whet_space_destroy(ctx, space);
    return status;
}
