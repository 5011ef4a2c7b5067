/* SPDX-License-Identifier: Apache-2.0
 * What some hundred rows, evenly spaced, tell of the second moments of all: their span and the mean squares
 * along it. A preconditioner need not be exact, and the large directions, which are what takes steps, are
 * seen in few rows. Steps of a soft regression (soft_logistic.c) on 2,100 rows, diagonal start and sketch:
 * 3,072 columns 200 (not there yet) and 25, 784 columns 150 and 65, 384 columns 71 and 71: with fewer than
 * LEAST_COLUMNS none is made.
 * Legend: b rows, d columns, m rows looked at, r axes. */
#include "label/label_i.h"

enum { MOST_ROWS = 256, LEAST_COLUMNS = 512 };

void whet_i_sketch_free(whet_ctx *ctx, whet_i_sketch *sketch) {
    whet_i_free(ctx, sketch->axis);
    whet_i_free(ctx, sketch->square);
    *sketch = (whet_i_sketch){0};
}

static double mean_square(const double *x, int64_t n, int64_t rows) {
    double sum = 0;
    for (int64_t i = 0; i < rows; i++) sum += whet_i_dot(x + i * n, x + i * n, n);
    return sum / (double)rows;
}

whet_status whet_i_sketch_build(whet_ctx *ctx, const double *z, int64_t b, int64_t d,
                                whet_i_sketch *out) {
    const int64_t m = b < MOST_ROWS ? b : MOST_ROWS, width = d + 1;
    whet_i_sketch s = {.d = d};
    whet_i_span span = {0};
    whet_status status = WHET_OK;
    double *x = NULL, seen = 0;
    int64_t cells;
    if (d < LEAST_COLUMNS) {
        *out = s;
        return WHET_OK;
    }
    WHET_TRY(whet_i_mul(ctx, m, width, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &x));
    for (int64_t i = 0; i < m; i++) {
        memcpy(x + i * width, z + i * b / m * d, sizeof *x * (size_t)d);
        x[i * width + d] = 1;
    }
    WHET_TRY_DONE(whet_i_span_of(ctx, x, m, width, &span));
    WHET_TRY_DONE(whet_i_alloc(ctx, span.r, &s.square));
    s.r = span.r;
    s.axis = span.back;
    span.back = NULL;
    for (int64_t j = 0; j < s.r; j++) {
        s.square[j] = 0;
        for (int64_t i = 0; i < m; i++)
            s.square[j] += span.z[i * s.r + j] * span.z[i * s.r + j] / (double)m;
        seen += s.square[j];
    }
    const double all = mean_square(z, d, b) + 1;
    s.rest = all > seen && width > s.r ? (all - seen) / (double)(width - s.r) : 0;
    *out = s;
    s = (whet_i_sketch){0};
done:
    whet_i_sketch_free(ctx, &s);
    whet_i_span_free(ctx, &span);
    whet_i_free(ctx, x);
    return status;
}
