/* SPDX-License-Identifier: Apache-2.0
 * The base model: a linear classifier over the classes it has seen, a share for those it has not,
 * then temperature and balance. Legend: n rows, d features, k classes, seen columns. */
#include <math.h>

#include "adapt/adapt_i.h"
#include "tensor/tensor_i.h"

void whet_i_base_free(whet_ctx *ctx, whet_i_base *base) {
    whet_i_linear_model_free(ctx, &base->linear);
    whet_i_free(ctx, base->offset);
    *base = (whet_i_base){0};
}

whet_status whet_i_base_make(whet_ctx *ctx, int64_t d, int64_t k, int64_t seen, whet_i_base *out) {
    whet_status status = WHET_OK;
    whet_i_base m = {.linear = {.d = d, .k = k, .seen = seen}, .sharpness = 1};
    int64_t cells;
    WHET_TRY_DONE(whet_i_mul(ctx, d, seen, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &m.linear.weight));
    WHET_TRY_DONE(whet_i_calloc(ctx, seen, &m.linear.bias));
    WHET_TRY_DONE(whet_i_calloc(ctx, k, &m.linear.classes));
    WHET_TRY_DONE(whet_i_calloc(ctx, k, &m.offset));
    *out = m;
    m = (whet_i_base){0};
done:
    whet_i_base_free(ctx, &m);
    return status;
}

void whet_i_base_finish(const whet_i_base *base, double *scores, double *q) {
    const whet_i_linear_model *m = &base->linear;
    const double least = log(WHET_I_PROB_FLOOR);
    double top = -INFINITY, sum = 0;
    for (int64_t c = 0; c < m->seen; c++) {
        scores[c] += m->bias[c];
        top = fmax(top, scores[c]);
    }
    for (int64_t c = 0; c < m->seen; c++) sum += exp(scores[c] - top);
    const bool all = m->seen == m->k;
    const double level = log(sum) + top - (all ? 0 : log1p(-m->unseen));
    const double rest = all ? least : fmax(least, log(m->unseen / (double)(m->k - m->seen)));
    for (int64_t c = 0; c < m->k; c++) q[c] = base->sharpness * rest + base->offset[c];
    for (int64_t c = 0; c < m->seen; c++)
        q[m->classes[c]] =
            base->sharpness * fmax(least, scores[c] - level) + base->offset[m->classes[c]];
    whet_i_softmax(q, m->k);
}

typedef struct finishing {
    const whet_i_base *base;
    double *scores, *probs;
    int64_t n;
} finishing;

static void finish_block(void *arg, int64_t block, int32_t worker) {
    (void)worker;
    const finishing *f = arg;
    const int64_t seen = f->base->linear.seen, k = f->base->linear.k;
    for (int64_t i = block * WHET_I_BLOCK; i < (block + 1) * WHET_I_BLOCK && i < f->n; i++)
        whet_i_base_finish(f->base, f->scores + i * seen, f->probs + i * k);
}

whet_status whet_i_base_predict(whet_ctx *ctx, const whet_i_base *base, const float *x, int64_t n,
                                double *probs) {
    const whet_i_linear_model *m = &base->linear;
    whet_status status = WHET_OK;
    finishing f = {base, NULL, probs, n};
    int64_t cells;
    WHET_TRY_DONE(whet_i_mul(ctx, n, m->seen, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &f.scores));
    WHET_TRY_DONE(whet_i_scores(ctx, x, n, m->d, m->weight, m->seen, f.scores));
    WHET_TRY_DONE(
        whet_i_parallel_for(ctx, NULL, (n + WHET_I_BLOCK - 1) / WHET_I_BLOCK, finish_block, &f));
done:
    whet_i_free(ctx, f.scores);
    return status;
}

/* ---- in f32, serial -------------------------------------------------------------------------- */

void whet_i_base_narrow(const whet_i_base *base, float *w) {
    const int64_t cells = base->linear.d * base->linear.seen;
    for (int64_t i = 0; i < cells; i++) w[i] = (float)base->linear.weight[i];
}

static void finish_narrow(const whet_i_base *base, float *scores, float *q) {
    const whet_i_linear_model *m = &base->linear;
    const float least = (float)log(WHET_I_PROB_FLOOR), sharpness = (float)base->sharpness;
    float top = -INFINITY, sum = 0;
    for (int64_t c = 0; c < m->seen; c++) {
        scores[c] += (float)m->bias[c];
        top = scores[c] > top ? scores[c] : top;
    }
    for (int64_t c = 0; c < m->seen; c++) sum += expf(scores[c] - top);
    const bool all = m->seen == m->k;
    const float level = logf(sum) + top - (all ? 0 : (float)log1p(-m->unseen));
    const float rest = all ? least : fmaxf(least, (float)log(m->unseen / (double)(m->k - m->seen)));
    for (int64_t c = 0; c < m->k; c++) q[c] = sharpness * rest + (float)base->offset[c];
    for (int64_t c = 0; c < m->seen; c++)
        q[m->classes[c]] =
            sharpness * fmaxf(least, scores[c] - level) + (float)base->offset[m->classes[c]];
    top = q[0];
    for (int64_t c = 1; c < m->k; c++) top = q[c] > top ? q[c] : top;
    sum = 0;
    for (int64_t c = 0; c < m->k; c++) sum += q[c] = expf(q[c] - top);
    for (int64_t c = 0; c < m->k; c++) q[c] /= sum;
}

void whet_i_base_posterior(const whet_i_base *base, const float *w, const float *x, int64_t n,
                           float *scores, float *probs) {
    const int64_t d = base->linear.d, seen = base->linear.seen, k = base->linear.k;
    for (int64_t first = 0; first < n; first += WHET_I_BLOCK) {
        const int64_t rows = n - first < WHET_I_BLOCK ? n - first : WHET_I_BLOCK;
        whet_i_matmul_f32_serial(false, false, rows, seen, d, x + first * d, d, w, seen, 0, scores,
                                 seen);
        for (int64_t i = 0; i < rows; i++)
            finish_narrow(base, scores + i * seen, probs + (first + i) * k);
    }
}
