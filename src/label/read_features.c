/* SPDX-License-Identifier: Apache-2.0
 * Arrays of features from files, as the f32 that methods work in. A column of large numbers that differ
 * little, such as seconds since 1970, loses there what it says: that is told, not passed over.
 * Legend: n rows, d columns. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "io/io_i.h"
#include "label/label_i.h"

/* Rounding by this share of the standard deviation adds a millionth to the variance ... */
static const double COARSE = 1e-3;
/* ... and columns that are rounded by this one may be taken for constant ones (whet_i_prepare_fit). */
static const double LOST = .15;

static bool held_exactly(whet_dtype type) {
    return type != WHET_F64 && type != WHET_I64 && type != WHET_U64 && type != WHET_I32 &&
           type != WHET_U32;
}

whet_status whet_i_features_read_wide(whet_ctx *ctx, const char *spec, whet_tensor *out) {
    whet_i_array_rows *head;
    WHET_TRY(whet_i_array_rows_open(ctx, spec, &head));
    const whet_dtype type = whet_i_array_rows_head(head)->dtype;
    whet_i_array_rows_close(ctx, head);
    return whet_array_read_as(ctx, spec, held_exactly(type) ? WHET_F32 : WHET_F64, 2, true, out);
}

/* ---- what narrowing loses ---------------------------------------------------------------------- */

typedef struct column {
    double least, most, sum, square, error; /* sum and square from the first row on */
} column;

static void measure(const double *x, const float *narrow, int64_t n, int64_t d, column *columns) {
    for (int64_t j = 0; j < d; j++) columns[j] = (column){.least = x[j], .most = x[j]};
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) {
            column *c = &columns[j];
            const double own = x[i * d + j], off = own - x[j];
            const double lost = own - (double)narrow[i * d + j];
            c->least = own < c->least ? own : c->least;
            c->most = own > c->most ? own : c->most;
            c->sum += off;
            c->square += off * off;
            c->error += lost * lost;
        }
}

/* Not only by what sums in f64 leave. */
static bool varies(const column *c) {
    return c->most - c->least > 1e-13 * fmax(fabs(c->least), fabs(c->most));
}

/* The mean rounding by the standard deviation; 0 where nothing is lost. */
static double coarseness(const column *c, int64_t n) {
    const double mean = c->sum / (double)n;
    const double variance = c->square / (double)n - mean * mean;
    if (!varies(c) || !(c->error > 0)) return 0;
    return variance > 0 ? sqrt(c->error / (double)n / variance) : (double)INFINITY;
}

/* A number between the ends that says little of where it came from. */
static double near(const column *c) { return c->least + floor((c->most - c->least) / 2); }

static whet_status judge(whet_ctx *ctx, const char *spec, const column *columns, int64_t n,
                         int64_t d) {
    int64_t coarse = 0, worst = 0;
    bool differ = false, kept = false;
    for (int64_t j = 0; j < d; j++) {
        const double own = coarseness(&columns[j], n);
        differ = differ || varies(&columns[j]);
        kept = kept || (varies(&columns[j]) && own < LOST);
        coarse += own > COARSE;
        if (own > coarseness(&columns[worst], n)) worst = j;
    }
    const column *c = &columns[worst];
    if (differ && !kept)
        return whet_i_fail(
            ctx, WHET_ERR_DATA,
            "%s: its rows differ by no more than 32-bit floats, in which features are kept, "
            "round: column %" PRId64
            " goes from %.15g to %.15g; expected numbers nearer to 0; try to "
            "subtract %.15g",
            spec, worst, c->least, c->most, near(c));
    if (!coarse) return WHET_OK;
    char others[48] = "";
    if (coarse > 1) (void)snprintf(others, sizeof others, " and %" PRId64 " more", coarse - 1);
    whet_i_log(ctx, WHET_LOG_WARN,
               "%s: column %" PRId64
               "%s: features are kept as 32-bit floats, which round its numbers, from %.15g to "
               "%.15g, by %.2g of their standard deviation; try to subtract %.15g",
               spec, worst, others, c->least, c->most, coarseness(c, n), near(c));
    return WHET_OK;
}

static whet_status check(whet_ctx *ctx, const char *spec, const whet_tensor *wide,
                         const whet_tensor *narrow) {
    const int64_t n = wide->shape[0], d = wide->shape[1];
    column *columns;
    if (n < 2 || d < 1) return WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, d, &columns));
    measure(wide->data, narrow->data, n, d, columns);
    const whet_status status = judge(ctx, spec, columns, n, d);
    whet_i_free(ctx, columns);
    return status;
}

whet_status whet_i_features_read(whet_ctx *ctx, const char *spec, whet_tensor *out) {
    whet_tensor wide, narrow = {0};
    WHET_TRY(whet_i_features_read_wide(ctx, spec, &wide));
    if (wide.dtype == WHET_F32) {
        *out = wide;
        return WHET_OK;
    }
    whet_status status = whet_i_array_convert(ctx, spec, &wide, 0, WHET_F32, true, &narrow);
    if (status == WHET_OK) status = check(ctx, spec, &wide, &narrow);
    whet_tensor_destroy(ctx, &wide);
    if (status == WHET_OK)
        *out = narrow;
    else
        whet_tensor_destroy(ctx, &narrow);
    return status;
}
