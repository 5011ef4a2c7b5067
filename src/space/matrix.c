/* SPDX-License-Identifier: Apache-2.0
 * A label space given by its whole table of distances, and the checks that it is one: finite, not
 * negative, zero diagonal, symmetric. The triangle inequality takes n^3 looks: a fixed sample of
 * triples is looked at, and a violation only warns, since the Frechet mean needs no triangles.
 * Values are kept as f32 where f32 holds them exactly.
 * Legend: n points, d [n, n]. */
#include <math.h>

#include "space/space_i.h"

/* Tables computed in f32 are symmetric and zero on the diagonal only up to rounding. */
static const double SLACK = 1e-6;

static bool fits_f32(whet_dtype dtype) {
    switch (dtype) {
    case WHET_F32:
    case WHET_F16:
    case WHET_BF16:
    case WHET_I16:
    case WHET_I8:
    case WHET_U16:
    case WHET_U8:
    case WHET_BOOL: return true;
    case WHET_F64:
    case WHET_I64:
    case WHET_I32:
    case WHET_U64:
    case WHET_U32: return false;
    }
    return false;
}

whet_dtype whet_i_kept_as(whet_dtype dtype) { return fits_f32(dtype) ? WHET_F32 : WHET_F64; }

whet_status whet_i_take_array(whet_ctx *ctx, whet_tensor *in, bool take, double **f64,
                              float **f32) {
    const bool small = fits_f32(in->dtype);
    const whet_dtype dtype = whet_i_kept_as(in->dtype);
    whet_tensor copy = *in;
    if (take && in->dtype == dtype)
        *in = (whet_tensor){0};
    else
        WHET_TRY(whet_tensor_convert(ctx, in, dtype, &copy));
    if (small)
        *f32 = copy.data;
    else
        *f64 = copy.data;
    return WHET_OK;
}

static whet_status check_values(whet_ctx *ctx, const space_matrix *m, int64_t n, double *largest) {
    double most = 0;
    for (int64_t i = 0; i < n * n; i++) {
        const double d = whet_i_matrix_at(m, i);
        if (!(d >= 0 && isfinite(d)))
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "d[%lld,%lld] is %g; expected finite distances of 0 or more",
                               (long long)(i / n), (long long)(i % n), d);
        if (d > most) most = d;
    }
    *largest = most;
    return WHET_OK;
}

static whet_status check_diagonal(whet_ctx *ctx, space_matrix *m, int64_t n, double slack) {
    for (int64_t i = 0; i < n; i++) {
        const double d = whet_i_matrix_at(m, i * n + i);
        if (d > slack)
            return whet_i_fail(ctx, WHET_ERR_DATA, "d[%lld,%lld] is %g; expected 0 on the diagonal",
                               (long long)i, (long long)i, d);
        if (m->f64)
            m->f64[i * n + i] = 0;
        else
            m->f32[i * n + i] = 0;
    }
    return WHET_OK;
}

static whet_status check_symmetry(whet_ctx *ctx, const space_matrix *m, int64_t n, double slack) {
    enum { TILE = 32 }; /* both mirror tiles stay in cache */
    for (int64_t r = 0; r < n; r += TILE) {
        for (int64_t c = r; c < n; c += TILE) {
            for (int64_t i = r; i < n && i < r + TILE; i++) {
                for (int64_t j = c; j < n && j < c + TILE; j++) {
                    const double one = whet_i_matrix_at(m, i * n + j);
                    const double two = whet_i_matrix_at(m, j * n + i);
                    if (fabs(one - two) <= slack) continue;
                    return whet_i_fail(ctx, WHET_ERR_DATA,
                                       "d[%lld,%lld] is %g, d[%lld,%lld] is %g; expected a "
                                       "symmetric table",
                                       (long long)i, (long long)j, one, (long long)j, (long long)i,
                                       two);
                }
            }
        }
    }
    return WHET_OK;
}

static void warn_triangles(whet_ctx *ctx, const space_matrix *m, int64_t n, double slack) {
    enum { SAMPLE = 20000 };
    whet_i_rng rng;
    whet_i_rng_init(&rng, 1, 0);
    int64_t broken = 0, worst[3] = {0};
    double worst_by = 0;
    for (int64_t s = 0; s < SAMPLE; s++) {
        const int64_t a = whet_i_rng_below(&rng, n), b = whet_i_rng_below(&rng, n),
                      c = whet_i_rng_below(&rng, n);
        const double by = whet_i_matrix_at(m, a * n + c) - whet_i_matrix_at(m, a * n + b) -
                          whet_i_matrix_at(m, b * n + c);
        if (by <= slack) continue;
        broken++;
        if (by <= worst_by) continue;
        worst_by = by;
        worst[0] = a;
        worst[1] = b;
        worst[2] = c;
    }
    if (!broken) return;
    const int64_t a = worst[0], b = worst[1], c = worst[2];
    whet_i_log(ctx, WHET_LOG_WARN,
               "not a metric: %lld of %d sampled triples break the triangle inequality, as "
               "d[%lld,%lld] = %g > d[%lld,%lld] + d[%lld,%lld] = %g; are these squared distances?",
               (long long)broken, SAMPLE, (long long)a, (long long)c,
               whet_i_matrix_at(m, a * n + c), (long long)a, (long long)b, (long long)b,
               (long long)c, whet_i_matrix_at(m, a * n + b) + whet_i_matrix_at(m, b * n + c));
}

whet_status whet_i_space_from_matrix(whet_ctx *ctx, const whet_names *names, whet_tensor *d,
                                     bool take, whet_space **out) {
    if (d->rank != 2 || d->shape[0] != d->shape[1])
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "the distances have %d dimensions [%lld, %lld]; expected [n, n]",
                           d->rank, (long long)(d->rank > 0 ? d->shape[0] : 0),
                           (long long)(d->rank > 1 ? d->shape[1] : 0));
    whet_status status = WHET_OK;
    whet_space *space = NULL;
    const int64_t n = d->shape[0];
    double largest;
    WHET_TRY(whet_i_space_begin(ctx, SPACE_MATRIX, n, names, &space));
    space_matrix *m = &space->matrix;
    WHET_TRY_DONE(whet_i_take_array(ctx, d, take, &m->f64, &m->f32));
    WHET_TRY_DONE(check_values(ctx, m, n, &largest));
    WHET_TRY_DONE(check_diagonal(ctx, m, n, SLACK * largest));
    WHET_TRY_DONE(check_symmetry(ctx, m, n, SLACK * largest));
    warn_triangles(ctx, m, n, SLACK * largest);
    *out = space;
    space = NULL;
done:
    whet_space_destroy(ctx, space);
    return status;
}

/* ---- some rows only -------------------------------------------------------------------------- */

static whet_status place_rows(whet_ctx *ctx, whet_space *space, const whet_names *rows) {
    char quoted[WHET_QUOTE_SIZE];
    int64_t *row;
    WHET_TRY(whet_i_alloc(ctx, space->n, &row));
    space->matrix.row = row;
    for (int64_t v = 0; v < space->n; v++) row[v] = -1;
    for (int64_t i = 0; i < whet_names_count(rows); i++) {
        int64_t point;
        WHET_TRY(whet_space_find(ctx, space, whet_names_get(rows, i), &point));
        const double d = whet_i_matrix_at(&space->matrix, i * space->n + point);
        if (!(d <= 0))
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "row %lld gives %s the distance %g to itself; "
                               "expected 0; are rows and columns named right?",
                               (long long)i, whet_i_quote(quoted, whet_names_get(rows, i)), d);
        row[point] = i;
    }
    return WHET_OK;
}

/* Where two rows tell the same distance they must agree. */
static whet_status check_rows_agree(whet_ctx *ctx, whet_space *space, const whet_names *rows,
                                    double slack) {
    const int64_t k = whet_names_count(rows), n = space->n;
    whet_status status = WHET_OK;
    int64_t *point;
    WHET_TRY(whet_i_alloc(ctx, k, &point));
    WHET_TRY_DONE(whet_space_find_all(ctx, space, rows, point));
    for (int64_t i = 0; i < k; i++) {
        for (int64_t j = i + 1; j < k; j++) {
            const double one = whet_i_matrix_at(&space->matrix, i * n + point[j]);
            const double two = whet_i_matrix_at(&space->matrix, j * n + point[i]);
            if (fabs(one - two) <= slack) continue;
            status = whet_i_fail(ctx, WHET_ERR_DATA,
                                 "d[%lld,%lld] is %g, d[%lld,%lld] is %g; expected the same "
                                 "distance from both rows",
                                 (long long)i, (long long)point[j], one, (long long)j,
                                 (long long)point[i], two);
            goto done;
        }
    }
done:
    whet_i_free(ctx, point);
    return status;
}

whet_status whet_i_space_from_slab(whet_ctx *ctx, const whet_names *names, const whet_names *rows,
                                   whet_tensor *d, bool take, whet_space **out) {
    const int64_t k = whet_names_count(rows);
    if (d->rank != 2 || d->shape[0] != k)
        return whet_i_fail(
            ctx, WHET_ERR_SHAPE,
            "the distances have %d dimensions [%lld, ..]; expected [%lld, points], a "
            "line for each of the rows' names",
            d->rank, (long long)(d->rank > 0 ? d->shape[0] : 0), (long long)k);
    whet_status status = WHET_OK;
    whet_space *space = NULL;
    const int64_t n = d->shape[1];
    WHET_TRY(whet_i_space_begin(ctx, SPACE_MATRIX, n, names, &space));
    space_matrix *m = &space->matrix;
    WHET_TRY_DONE(whet_i_take_array(ctx, d, take, &m->f64, &m->f32));
    double largest = 0;
    for (int64_t i = 0; i < k * n; i++) {
        const double x = whet_i_matrix_at(m, i);
        largest = fmax(largest, x);
        if (x >= 0 && isfinite(x)) continue;
        status = whet_i_fail(ctx, WHET_ERR_DATA,
                             "d[%lld,%lld] is %g; expected finite distances of 0 or more",
                             (long long)(i / n), (long long)(i % n), x);
        goto done;
    }
    WHET_TRY_DONE(place_rows(ctx, space, rows));
    WHET_TRY_DONE(check_rows_agree(ctx, space, rows, SLACK * largest));
    *out = space;
    space = NULL;
done:
    whet_space_destroy(ctx, space);
    return status;
}
