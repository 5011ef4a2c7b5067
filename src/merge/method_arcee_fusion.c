/* SPDX-License-Identifier: Apache-2.0
 * Arcee Fusion: the base, and those differences from it that matter most: importance is |difference| times
 * the Kullback-Leibler divergence of the softmax of the model's row from that of the base's; kept is what
 * reaches median + 1.5 (upper - lower quartile) of all importances of the tensor. Quantiles are exact for
 * any size, by order statistics. */
#include <math.h>

#include "merge/merging_i.h"

static double largest(const float *x, int64_t n) {
    double most = (double)x[0];
    for (int64_t e = 1; e < n; e++) most = (double)x[e] > most ? (double)x[e] : most;
    return most;
}

/* sum p ln(p / q), p and q the softmaxes of x and y, 1e-8 added to each */
static double divergence(const float *x, const float *y, int64_t n) {
    const double top_x = largest(x, n), top_y = largest(y, n);
    double sum_x = 0, sum_y = 0, sum = 0;
    for (int64_t e = 0; e < n; e++) {
        sum_x += exp((double)x[e] - top_x);
        sum_y += exp((double)y[e] - top_y);
    }
    for (int64_t e = 0; e < n; e++) {
        const double p = exp((double)x[e] - top_x) / sum_x + 1e-8;
        const double q = exp((double)y[e] - top_y) / sum_y + 1e-8;
        sum += p * log(p / q);
    }
    return sum;
}

/* The importances of a chunk to the worker's scratch. */
static void importances(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c) {
    const float *x = c->x[0], *base = c->x[t->base];
    for (int64_t at = 0; at < c->n; at += t->row) {
        const double d = divergence(x + at, base + at, t->row);
        for (int64_t e = at; e < at + t->row; e++)
            c->scratch[e] = (float)(fabs((double)x[e] - (double)base[e]) * d);
    }
}

static void keys_of(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, int64_t stream,
                    void *arg, uint32_t *keys) {
    (void)stream;
    (void)arg;
    importances(t, c);
    for (int64_t e = 0; e < c->n; e++) keys[e] = whet_i_merge_key(c->scratch[e]);
}

static void write_pass(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    const double least = *(const double *)arg;
    importances(t, c);
    for (int64_t e = 0; e < c->n; e++)
        c->out[e] = (double)c->scratch[e] >= least ? c->x[0][e] : c->x[t->base][e];
}

static const double quantiles[] = {0.25, 0.5, 0.75};
enum { FEW = 4 }; /* numbers, of which the quartiles reach the least */

static void collect(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    (void)arg;
    importances(t, c);
    for (int64_t e = 0; e < c->n; e++) c->sums[c->first + e] = (double)c->scratch[e];
}

static whet_status quartiles_of_few(whet_ctx *ctx, whet_i_merge_tensor *t, double value[3]) {
    double x[FEW];
    WHET_TRY(whet_i_merge_sums(ctx, t, collect, NULL, t->count, x));
    for (int64_t i = 1; i < t->count; i++)
        for (int64_t j = i; j > 0 && x[j] < x[j - 1]; j--) {
            const double kept = x[j];
            x[j] = x[j - 1];
            x[j - 1] = kept;
        }
    for (int64_t k = 0; k < 3; k++) {
        const double place = quantiles[k] * (double)(t->count - 1);
        const int64_t low = (int64_t)floor(place), high = low + 1 < t->count ? low + 1 : low;
        value[k] = x[low] + (place - floor(place)) * (x[high] - x[low]);
    }
    return WHET_OK;
}

static whet_status quartiles_of_many(whet_ctx *ctx, whet_i_merge_tensor *t, double value[3]) {
    whet_i_merge_top tops[6];
    for (int64_t k = 0; k < 6; k++) {
        const int64_t below = (int64_t)floor(quantiles[k / 2] * (double)(t->count - 1));
        const int64_t index = below + k % 2 < t->count ? below + k % 2 : t->count - 1;
        tops[k] = (whet_i_merge_top){.rank = t->count - index}; /* the index-th from below */
    }
    whet_status status = whet_i_merge_select(ctx, t, keys_of, NULL, 1, tops, 6);
    for (int64_t k = 0; k < 6; k++) whet_i_free(ctx, tops[k].before);
    WHET_TRY(status);
    for (int64_t k = 0; k < 3; k++) {
        const double place = quantiles[k] * (double)(t->count - 1), part = place - floor(place);
        const double low = (double)whet_i_merge_key_value(tops[2 * k].least);
        const double high = (double)whet_i_merge_key_value(tops[2 * k + 1].least);
        value[k] = low + part * (high - low);
    }
    return WHET_OK;
}

static whet_status run(whet_ctx *ctx, whet_i_merge_tensor *t) {
    double value[3] = {0};
    if (t->count > 0)
        WHET_TRY(t->count <= FEW ? quartiles_of_few(ctx, t, value)
                                 : quartiles_of_many(ctx, t, value));
    double least = value[1] + 1.5 * (value[2] - value[0]);
    return whet_i_merge_write(ctx, t, write_pass, &least);
}

static int64_t scratch(int64_t n, int64_t chunk) {
    (void)n;
    return chunk;
}

static const whet_i_setting_use settings[] = {{WHET_I_SET_COUNT, 0}};

const whet_i_merge_method whet_i_merge_arcee_fusion = {
    .shown = {"arcee_fusion", "the base, and the differences that matter most", 1, 1,
              WHET_MERGE_BASE_REQUIRED, WHET_MERGE_TENSOR, false},
    .settings = settings,
    .by_row = true,
    .passes = 4,
    .streams = 6,
    .scratch = scratch,
    .run = run};
