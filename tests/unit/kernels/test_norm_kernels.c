/* SPDX-License-Identifier: Apache-2.0
 * The kernels of norms by columns in every table, against sums in f64: see whet_i_channels. */
#include "support.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/kernels_i.h"

#define U32 0x1p-24 /* unit roundoff of f32 */

/* Arrays of [rows, n] and [n] at an odd place, with a guard behind them. */
typedef struct channels {
    int64_t rows, n;
    float *x, *residual, *g, *y, *dx, *mean, *scale, *beta, *first, *second;
} channels;

enum { GUARD = 20 };

static float *drawn(int64_t n, uint64_t stream) {
    whet_i_rng rng;
    float *x = (float *)malloc(sizeof(float) * (size_t)(n + 1 + GUARD)) + 1;
    whet_i_rng_init(&rng, 5, stream);
    for (int64_t i = 0; i < n; i++) x[i] = (float)whet_i_rng_normal(&rng);
    for (int64_t i = n; i < n + GUARD; i++) x[i] = 12345;
    return x;
}

static void drop(int64_t n, float *x) {
    for (int64_t i = n; i < n + GUARD; i++) assert_true(x[i] == 12345);
    free(x - 1);
}

static channels make(int64_t rows, int64_t n) {
    const int64_t all = rows * n;
    return (channels){
        rows,          n,           drawn(all, 1), drawn(all, 2), drawn(all, 3), drawn(all, 4),
        drawn(all, 5), drawn(n, 6), drawn(n, 7),   drawn(n, 8),   drawn(n, 9),   drawn(n, 10)};
}

static void done(channels *c) {
    float *const large[] = {c->x, c->residual, c->g, c->y, c->dx};
    float *const small[] = {c->mean, c->scale, c->beta, c->first, c->second};
    for (int i = 0; i < 5; i++) {
        drop(c->rows * c->n, large[i]);
        drop(c->n, small[i]);
    }
}

static void near(double got, double expected, double size) {
    if (fabs(got - expected) > 8 * U32 * size) print_error("%.9g, expected %.9g\n", got, expected);
    assert_true(fabs(got - expected) <= 8 * U32 * size);
}

/* z and the sum of the sizes of its terms. */
static double before(const channels *c, int64_t at, bool residual, double *size) {
    const int64_t j = at % c->n;
    const double product = ((double)c->x[at] - (double)c->mean[j]) * (double)c->scale[j];
    const double rest = residual ? (double)c->residual[at] : 0;
    *size = fabs(product) + fabs((double)c->beta[j]) + fabs(rest) +
            fabs((double)c->x[at] * (double)c->scale[j]);
    return product + (double)c->beta[j] + rest;
}

static void check_moments(const whet_kernels *table, channels *c) {
    double *sums = calloc((size_t)(2 * c->n), sizeof *sums);
    for (int64_t j = 0; j < c->n; j++) sums[j] = 7; /* added to */
    table->channel_moments(c->rows, c->n, c->x, c->mean, sums, sums + c->n);
    for (int64_t j = 0; j < c->n; j++) {
        double sum = 7, squares = 0, size = 7;
        for (int64_t i = 0; i < c->rows; i++) {
            const double off = (double)c->x[i * c->n + j] - (double)c->mean[j];
            sum += off;
            size += fabs(off);
            squares += off * off;
        }
        near(sums[j], sum, 4 * size); /* partial sums of 16: 4 more roundings of their size */
        near(sums[c->n + j], squares, 4 * squares);
    }
    free(sums);
}

static void check_forward(const whet_kernels *table, channels *c, float slope, bool residual) {
    const whet_i_channels args = {.rows = c->rows,
                                  .n = c->n,
                                  .x = c->x,
                                  .mean = c->mean,
                                  .scale = c->scale,
                                  .beta = c->beta,
                                  .residual = residual ? c->residual : NULL,
                                  .slope = slope,
                                  .y = c->y};
    table->channel_norm(&args);
    for (int64_t at = 0; at < c->rows * c->n; at++) {
        double size;
        const double z = before(c, at, residual, &size);
        near((double)c->y[at], z > 0 ? z : (double)slope * z, size);
    }
}

/* The gradient before the activation: by y where `output`, and then written; else by x. */
static void check_backward(const whet_kernels *table, channels *c, float slope, bool output,
                           bool adds) {
    const int64_t all = c->rows * c->n;
    double *sums = calloc((size_t)(2 * c->n), sizeof *sums);
    float *g = malloc(sizeof *g * (size_t)all), *old = malloc(sizeof *old * (size_t)all);
    whet_i_channels args = {.rows = c->rows,
                            .n = c->n,
                            .x = c->x,
                            .mean = c->mean,
                            .scale = c->scale,
                            .beta = c->beta,
                            .slope = slope,
                            .y = output ? c->y : NULL,
                            .g = c->g,
                            .sum = sums,
                            .products = sums + c->n,
                            .first = c->first,
                            .second = c->second,
                            .dx = c->dx,
                            .adds = adds};
    for (int64_t at = 0; at < all; at++) { /* what it must become */
        double size;
        const bool up = output ? c->y[at] > 0 : before(c, at, false, &size) > 0;
        g[at] = up ? c->g[at] : slope * c->g[at];
        old[at] = c->dx[at];
    }
    table->channel_norm_sums(&args);
    args.gated = output;
    table->channel_norm_backward(&args);
    for (int64_t j = 0; j < c->n; j++) {
        double sum = 0, products = 0, size = 0, size_of_products = 0;
        for (int64_t i = 0; i < c->rows; i++) {
            const int64_t at = i * c->n + j;
            const double off = (double)c->x[at] - (double)c->mean[j], d = (double)g[at];
            sum += d;
            size += fabs(d);
            products += d * off;
            size_of_products += fabs(d * off);
            if (output) near((double)c->g[at], d, fabs(d));
            const double scale = (double)c->scale[j], second = (double)c->second[j];
            const double expected = scale * (d - (double)c->first[j] - off * second);
            near((double)c->dx[at], expected + (adds ? (double)old[at] : 0),
                 fabs((double)old[at]) +
                     fabs(scale) * (fabs(d) + fabs((double)c->first[j]) + fabs(off * second)));
        }
        near(sums[j], sum, 4 * size);
        near(sums[c->n + j], products, 4 * size_of_products);
    }
    free(g);
    free(old);
    free(sums);
}

static void check_specials(const whet_kernels *table) {
    const float zero[3] = {0}, one[3] = {1, 1, 1}, x[3] = {NAN, -INFINITY, INFINITY};
    float y[3], g[3] = {1, 2, 3};
    double sums[6] = {0};
    whet_i_channels args = {
        .rows = 1, .n = 3, .x = x, .mean = zero, .scale = one, .beta = zero, .y = y};
    table->channel_norm(&args);
    assert_true(isnan(y[0]) && y[1] == 0 && y[2] == INFINITY);
    y[0] = 0, y[1] = -1, y[2] = 5;
    args.x = one;
    args.g = g;
    args.sum = sums;
    args.products = sums + 3;
    table->channel_norm_sums(&args);
    assert_true(g[0] == 0 && g[1] == 0 && g[2] == 3 && sums[2] == 3 && sums[5] == 3);
}

static void every_table(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{1, 1}, {16, 16}, {17, 33}, {50, 7}, {3, 64}, {0, 5}};
    for (const whet_kernels *const *table = whet_i_kernels_all(); *table; table++) {
        if (!(*table)->supported()) continue;
        check_specials(*table);
        for (int64_t i = 0; i < WHET_COUNT_OF(sizes); i++)
            for (int way = 0; way < 12; way++) {
                const float slope = way / 4 == 0 ? 0 : way / 4 == 1 ? 0.25F : 1;
                channels c = make(sizes[i][0], sizes[i][1]);
                check_moments(*table, &c);
                check_forward(*table, &c, slope, way & 1);
                if (!(way & 1)) check_backward(*table, &c, slope, way & 2, false);
                if (way & 1) check_backward(*table, &c, slope, true, way & 2);
                done(&c);
            }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
