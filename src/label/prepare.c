/* SPDX-License-Identifier: Apache-2.0
 * Features of any scale made into rows of unit length, as the methods on cosines need them.
 * Legend: n rows, d columns. */
#include <math.h>

#include "label/label_i.h"

/* Rows of an encoder in bf16 are of unit length to about 1e-2 of rounding at worst. */
static const double UNIT_SLACK = 1e-2;

whet_status whet_i_check_finite(whet_ctx *ctx, const char *what, const float *x, int64_t n,
                                int64_t d) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++)
            if (!isfinite(x[i * d + j]))
                return whet_i_fail(ctx, WHET_ERR_DATA,
                                   "%s: row %lld, column %lld is %s; expected "
                                   "a finite number",
                                   what, (long long)i, (long long)j,
                                   isnan(x[i * d + j]) ? "NaN" : "infinite");
    return WHET_OK;
}

static double square_of(const float *row, int64_t d) {
    double sum = 0;
    for (int64_t j = 0; j < d; j++) sum += (double)row[j] * (double)row[j];
    return sum;
}

static bool all_unit(const float *x, int64_t n, int64_t d) {
    bool any = false;
    for (int64_t i = 0; i < n; i++) {
        const double square = square_of(x + i * d, d);
        if (square > 0 && fabs(sqrt(square) - 1) > UNIT_SLACK) return false;
        any = any || square > 0;
    }
    return any;
}

static void standardise(const float *x, int64_t n, int64_t d, double *mean, double *scale) {
    memset(mean, 0, sizeof *mean * (size_t)d);
    memset(scale, 0, sizeof *scale * (size_t)d);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) mean[j] += (double)x[i * d + j];
    for (int64_t j = 0; j < d; j++) mean[j] /= (double)n;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) {
            const double off = (double)x[i * d + j] - mean[j];
            scale[j] += off * off;
        }
    for (int64_t j = 0; j < d; j++) {
        const double deviation = sqrt(scale[j] / (double)n);
        /* A constant column says nothing, whatever its rounding. */
        const bool constant = !(deviation > 1e-7 * fabs(mean[j]));
        scale[j] = constant ? 0 : 1 / (deviation * sqrt((double)d));
    }
}

whet_status whet_i_prepare_fit(whet_ctx *ctx, const float *x, int64_t n, int64_t d,
                               bool with_classes, whet_i_prepare *out) {
    whet_i_prepare p = {.kind = WHET_I_STANDARD, .d_in = d, .d = d};
    if (all_unit(x, n, d))
        p.kind = WHET_I_AS_IS;
    else if (with_classes)
        p.kind = WHET_I_UNIT;
    if (p.kind == WHET_I_STANDARD) {
        whet_status status = whet_i_add(ctx, d, 1, &p.d);
        if (status == WHET_OK) status = whet_i_alloc(ctx, d, &p.mean);
        if (status == WHET_OK) status = whet_i_alloc(ctx, d, &p.scale);
        if (status != WHET_OK) {
            whet_i_prepare_free(ctx, &p);
            return status;
        }
        standardise(x, n, d, p.mean, p.scale);
    }
    *out = p;
    return WHET_OK;
}

void whet_i_prepare_free(whet_ctx *ctx, whet_i_prepare *prepare) {
    whet_i_free(ctx, prepare->mean);
    whet_i_free(ctx, prepare->scale);
    *prepare = (whet_i_prepare){0};
}

void whet_i_prepare_apply(const whet_i_prepare *prepare, const float *x, int64_t n, float *out) {
    const int64_t in = prepare->d_in, d = prepare->d;
    for (int64_t i = 0; i < n; i++) {
        const float *from = x + i * in;
        float *to = out + i * d;
        if (prepare->kind == WHET_I_AS_IS) {
            memcpy(to, from, sizeof *to * (size_t)d);
            continue;
        }
        double square = prepare->kind == WHET_I_STANDARD ? 1 : square_of(from, in);
        for (int64_t j = 0; prepare->kind == WHET_I_STANDARD && j < in; j++) {
            const double z = ((double)from[j] - prepare->mean[j]) * prepare->scale[j];
            square += z * z;
        }
        const double inverse = square > 0 ? 1 / sqrt(square) : 0;
        for (int64_t j = 0; j < in; j++)
            to[j] =
                (float)(inverse * (prepare->kind == WHET_I_STANDARD
                                       ? ((double)from[j] - prepare->mean[j]) * prepare->scale[j]
                                       : (double)from[j]));
        if (prepare->kind == WHET_I_STANDARD) to[in] = (float)inverse;
    }
}
