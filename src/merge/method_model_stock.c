/* SPDX-License-Identifier: Apache-2.0
 * Model Stock (Jang et al. 2024, arXiv 2403.19522, eq. 7): between the base and the mean of N models made
 * from it, at t = N c / (1 + (N - 1) c), c the mean cosine between their differences from the base; for
 * the whole tensor or each row. */
#include <math.h>

#include "merge/merging_i.h"

/* gram [n (n + 1) / 2], the upper triangle, to factors of models and base. */
static void factors_of(int64_t n, const double *gram, double *factor) {
    double norm[WHET_MERGE_MODELS_MAX], sum = 0;
    for (int64_t i = 0, k = 0; i < n; k += n - i, i++) norm[i] = sqrt(gram[k]);
    for (int64_t i = 0, k = 0; i < n; i++)
        for (int64_t j = i; j < n; j++, k++) {
            if (i == j) continue;
            const double length = norm[i] * norm[j];
            const double cosine = gram[k] / (length > 1e-6 ? length : 1e-6);
            sum += cosine > 1 ? 1 : cosine < -1 ? -1 : cosine;
        }
    const double count = (double)n, c = sum / (count * (count - 1) / 2);
    const double below = 1 + (count - 1) * c; /* 0 when differences cancel, as two opposite ones */
    const double t = fabs(below) > 1e-12 ? count * c / below : 0;
    for (int64_t i = 0; i < n; i++) factor[i] = t / count;
    factor[n] = 1 - t;
}

static void by_row(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    double factor[WHET_MERGE_MODELS_MAX + 1];
    double *gram = (double *)(void *)c->scratch;
    const int64_t pairs = t->n * (t->n + 1) / 2;
    (void)arg;
    for (int64_t at = 0; at < c->n; at += t->row) {
        for (int64_t i = 0; i < pairs; i++) gram[i] = 0;
        whet_i_merge_gram_of(t, c, at, t->row, true, gram);
        factors_of(t->n, gram, factor);
        whet_i_merge_combine(t, c, at, t->row, factor);
    }
}

static int64_t scratch(int64_t n, int64_t chunk) {
    (void)chunk;
    return n * (n + 1);
}

static whet_status run(whet_ctx *ctx, whet_i_merge_tensor *t) {
    double factor[WHET_MERGE_MODELS_MAX + 1], *gram;
    if (whet_i_merge_global(t, WHET_I_SET_FILTER_WISE) != 0)
        return whet_i_merge_write(ctx, t, by_row, NULL);
    WHET_TRY(whet_i_alloc(ctx, t->n * t->n, &gram));
    whet_status status = whet_i_merge_gram(ctx, t, true, gram);
    for (int64_t i = 0, k = 0; status == WHET_OK && i < t->n; i++) /* back to the triangle */
        for (int64_t j = i; j < t->n; j++, k++) gram[k] = gram[i * t->n + j];
    if (status == WHET_OK) {
        factors_of(t->n, gram, factor);
        status = whet_i_merge_write_span(ctx, t, factor);
    }
    whet_i_free(ctx, gram);
    return status;
}

static const whet_i_setting_use settings[] = {{WHET_I_SET_FILTER_WISE, 0}, {WHET_I_SET_COUNT, 0}};

const whet_i_merge_method whet_i_merge_model_stock = {
    .shown = {"model_stock", "between base and mean, by the angle between differences", 2,
              WHET_MERGE_MODELS_MAX, WHET_MERGE_BASE_REQUIRED, WHET_MERGE_TENSOR, false},
    .settings = settings,
    .by_row = true,
    .passes = 2,
    .scratch = scratch,
    .run = run};
