/* SPDX-License-Identifier: Apache-2.0
 * Results that are combinations of the models: linear, spherical, on a sphere's mean. Where the factors
 * depend on angles and lengths, the matrix of products of the models holds all that is needed, so one pass
 * makes it, and another the result; no copy of a model is ever changed. Sums are f64. */
#include "merge/merge_passes.h"

void whet_i_merge_gram_of(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, int64_t at,
                          int64_t n, bool centred, double *gram) {
    const float *base = centred ? c->x[t->base] + at : NULL;
    for (int64_t i = 0, k = 0; i < t->n; i++)
        for (int64_t j = i; j < t->n; j++, k++) {
            const float *x = c->x[i] + at, *y = c->x[j] + at;
            double sum[4] = {0}; /* four chains, for the processor's sake */
            int64_t e = 0;
            for (; base && e + 4 <= n; e += 4)
                for (int64_t l = 0; l < 4; l++) {
                    const double zero = (double)base[e + l];
                    sum[l] += ((double)x[e + l] - zero) * ((double)y[e + l] - zero);
                }
            for (; !base && e + 4 <= n; e += 4)
                for (int64_t l = 0; l < 4; l++) sum[l] += (double)x[e + l] * (double)y[e + l];
            for (; e < n; e++) {
                const double zero = base ? (double)base[e] : 0;
                sum[0] += ((double)x[e] - zero) * ((double)y[e] - zero);
            }
            gram[k] += (sum[0] + sum[1]) + (sum[2] + sum[3]);
        }
}

static void gram_pass(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    whet_i_merge_gram_of(t, c, 0, c->n, *(const bool *)arg, c->sums);
}

whet_status whet_i_merge_gram(whet_ctx *ctx, whet_i_merge_tensor *t, bool centred, double *gram) {
    double *upper;
    WHET_TRY(whet_i_alloc(ctx, t->n * (t->n + 1) / 2, &upper));
    const whet_status status =
        whet_i_merge_sums(ctx, t, gram_pass, &centred, t->n * (t->n + 1) / 2, upper);
    if (status == WHET_OK) whet_i_merge_gram_full(t->n, upper, gram);
    whet_i_free(ctx, upper);
    return status;
}

void whet_i_merge_gram_full(int64_t n, const double *upper, double *gram) {
    for (int64_t i = 0, k = 0; i < n; i++)
        for (int64_t j = i; j < n; j++, k++) gram[i * n + j] = gram[j * n + i] = upper[k];
}

void whet_i_merge_combine(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, int64_t at,
                          int64_t n, const double *factor) {
    const int64_t sources = t->base >= 0 ? t->base + 1 : t->n;
    const float *x[WHET_MERGE_MODELS_MAX + 1];
    for (int64_t s = 0; s < sources; s++) x[s] = c->x[s] + at;
    t->kernels->combine(n, sources, x, factor, c->out + at);
}

static void combine_pass(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    whet_i_merge_combine(t, c, 0, c->n, arg);
}

whet_status whet_i_merge_write_span(whet_ctx *ctx, whet_i_merge_tensor *t, double *factor) {
    return whet_i_merge_write(ctx, t, combine_pass, factor);
}
