/* SPDX-License-Identifier: Apache-2.0
 * How good embeddings are: classes by the nearest prototype, numbers by cosines, partners by their
 * rank. Embeddings are unit rows. Sums run in order, in f64.
 * Legend: n rows, d columns, k classes. */
#include <math.h>

#include "tune/tune_i.h"

enum { BLOCK = 64 };

static double dot(int64_t d, const float *a, const float *b) {
    double sum = 0;
    for (int64_t j = 0; j < d; j++) sum += (double)a[j] * (double)b[j];
    return sum;
}

/* ---- classes ---------------------------------------------------------------------------------- */

/* prototypes [k, d]: the unit sums of the training rows of each class; zeros where there is none. */
static whet_status make_prototypes(whet_ctx *ctx, const whet_i_tune *run, int64_t d,
                                   const float *train, float *prototypes) {
    double *sums;
    WHET_TRY(whet_i_calloc(ctx, run->k * d, &sums));
    for (int64_t i = 0; i < run->train.n; i++)
        for (int64_t j = 0; j < d; j++)
            sums[run->train.labels[i] * d + j] += (double)train[i * d + j];
    for (int64_t c = 0; c < run->k; c++) {
        double square = 0;
        for (int64_t j = 0; j < d; j++) square += sums[c * d + j] * sums[c * d + j];
        for (int64_t j = 0; j < d; j++)
            prototypes[c * d + j] = square > 0 ? (float)(sums[c * d + j] / sqrt(square)) : 0;
    }
    whet_i_free(ctx, sums);
    return WHET_OK;
}

/* outputs [n, k]: cosines; a class without a training row is never nearest. */
static void cosines(const whet_i_tune *run, int64_t d, const float *prototypes, const float *valid,
                    float *outputs) {
    for (int64_t i = 0; i < run->valid.n; i++) {
        for (int64_t c = 0; c < run->k; c++) {
            const float *prototype = prototypes + c * d;
            outputs[i * run->k + c] =
                dot(d, prototype, prototype) > 0 ? (float)dot(d, valid + i * d, prototype) : -2;
        }
    }
}

static whet_status score_prototypes(whet_ctx *ctx, const whet_i_tune *run, int64_t d,
                                    const float *train, const float *valid, whet_i_tune_score *s) {
    float *prototypes = NULL, *outputs = NULL;
    int64_t count;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_mul(ctx, run->k, d, &count));
    WHET_TRY_DONE(whet_i_alloc(ctx, count, &prototypes));
    WHET_TRY_DONE(whet_i_mul(ctx, run->valid.n, run->k, &count));
    WHET_TRY_DONE(whet_i_alloc(ctx, count, &outputs));
    WHET_TRY_DONE(make_prototypes(ctx, run, d, train, prototypes));
    cosines(run, d, prototypes, valid, outputs);
    WHET_TRY_DONE(whet_i_tune_score_of(ctx, run, outputs, &run->valid, s));
    s->loss = (double)NAN; /* cosines are no logits */
done:
    whet_i_free(ctx, outputs);
    whet_i_free(ctx, prototypes);
    return status;
}

/* ---- two texts a row -------------------------------------------------------------------------- */

static whet_status score_cosines(whet_ctx *ctx, const whet_i_tune *run, int64_t d,
                                 const float *valid, whet_i_tune_score *s) {
    float *outputs;
    WHET_TRY(whet_i_alloc(ctx, run->valid.n, &outputs));
    for (int64_t i = 0; i < run->valid.n; i++)
        outputs[i] = (float)dot(d, valid + 2 * i * d, valid + (2 * i + 1) * d);
    const whet_status status = whet_i_tune_score_of(ctx, run, outputs, &run->valid, s);
    whet_i_free(ctx, outputs);
    return status;
}

/* How many partners are nearer than the own one: rows first.. of S = first texts x second texts. */
static void rank_block(const whet_i_tune *run, int64_t d, const float *valid, int64_t first,
                       float *similar, whet_i_tune_score *s) {
    const int64_t n = run->valid.n, rows = n - first < BLOCK ? n - first : BLOCK;
    const whet_i_product args = {.m = rows,
                                 .n = n,
                                 .k = d,
                                 .a = valid + 2 * first * d,
                                 .a_row = 2 * d,
                                 .a_col = 1,
                                 .b = valid + d,
                                 .b_row = 1,
                                 .b_col = 2 * d,
                                 .c = similar,
                                 .ldc = n};
    run->params->kernels->product(&args);
    for (int64_t i = 0; i < rows; i++) {
        int64_t nearer = 0;
        for (int64_t j = 0; j < n; j++) nearer += similar[i * n + j] > similar[i * n + first + i];
        s->accuracy += nearer == 0;
        s->mrr += 1 / (double)(nearer + 1);
    }
}

static whet_status score_partners(whet_ctx *ctx, const whet_i_tune *run, int64_t d,
                                  const float *valid, whet_i_tune_score *s) {
    const int64_t n = run->valid.n;
    float *similar;
    *s = (whet_i_tune_score){.n = n};
    WHET_TRY(whet_i_alloc(ctx, BLOCK * n, &similar));
    for (int64_t i = 0; i < n; i += BLOCK) rank_block(run, d, valid, i, similar, s);
    s->accuracy /= (double)n;
    s->mrr /= (double)n;
    whet_i_free(ctx, similar);
    return WHET_OK;
}

whet_status whet_i_tune_score_embeddings(whet_ctx *ctx, const whet_i_tune *run, int64_t d,
                                         const float *train, const float *valid,
                                         whet_i_tune_score *out) {
    switch (run->kind->targets) {
    case WHET_I_TARGET_CLASSES: return score_prototypes(ctx, run, d, train, valid, out);
    case WHET_I_TARGET_NUMBERS: return score_cosines(ctx, run, d, valid, out);
    case WHET_I_TARGET_TOKENS:
    case WHET_I_TARGET_NONE: break;
    }
    return score_partners(ctx, run, d, valid, out);
}
