/* SPDX-License-Identifier: Apache-2.0
 * The linear head on a tuned encoder's embeddings. Where the lesson trains none, it is a logistic
 * regression on those of the labelled texts; where class names took part, prototypes: a class is the
 * unit sum of its name and its examples, as far as their cosine goes. Legend: n rows, d columns, k
 * classes. */
#include <math.h>

#include "adapt/adapt_i.h"
#include "adapt/tuning.h"

#define PENALTY 10.         /* C: measured, 1 to 100 are alike on tuned embeddings */
#define PROTOTYPE_SCALE 20. /* logits are so many cosines; a temperature follows */

void whet_i_head_free(whet_ctx *ctx, whet_i_linear_model *head) {
    if (head) whet_i_linear_model_free(ctx, head);
    whet_i_free(ctx, head);
}

/* Of all classes, zeros. */
static whet_status make(whet_ctx *ctx, int64_t d, int64_t k, whet_i_linear_model **out) {
    whet_i_linear_model *m;
    int64_t cells;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_mul(ctx, d, k, &cells));
    WHET_TRY(whet_i_calloc(ctx, 1, &m));
    *m = (whet_i_linear_model){.d = d, .k = k, .seen = k};
    WHET_TRY_DONE(whet_i_calloc(ctx, cells, &m->weight));
    WHET_TRY_DONE(whet_i_calloc(ctx, k, &m->bias));
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &m->classes));
    for (int64_t c = 0; c < k; c++) m->classes[c] = (int32_t)c;
    *out = m;
    m = NULL;
done:
    whet_i_head_free(ctx, m);
    return status;
}

whet_status whet_i_head_take(whet_ctx *ctx, const float *weight, const float *bias, int64_t d,
                             int64_t k, whet_i_linear_model **out) {
    WHET_TRY(make(ctx, d, k, out));
    for (int64_t c = 0; c < k; c++) {
        (*out)->bias[c] = (double)bias[c];
        for (int64_t j = 0; j < d; j++) (*out)->weight[j * k + c] = (double)weight[c * d + j];
    }
    return WHET_OK;
}

static void fill_prototypes(const float *x, const int32_t *y, int64_t n, whet_i_linear_model *m) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m->d; j++) m->weight[j * m->k + y[i]] += (double)x[i * m->d + j];
    for (int64_t c = 0; c < m->k; c++) {
        double square = 0;
        for (int64_t j = 0; j < m->d; j++) {
            const double w = m->weight[j * m->k + c];
            square += w * w;
        }
        const double scale = square > 0 ? PROTOTYPE_SCALE / sqrt(square) : 0;
        for (int64_t j = 0; j < m->d; j++) m->weight[j * m->k + c] *= scale;
    }
}

static whet_status fit_logistic(whet_ctx *ctx, const float *x, const int32_t *y, int64_t n,
                                int64_t d, int64_t k, whet_i_linear_model **out) {
    whet_i_linear_model *m = NULL;
    int64_t *order = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &m));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &order));
    for (int64_t i = 0; i < n; i++) order[i] = i;
    WHET_TRY_DONE(whet_i_logistic_fit(ctx, x, order, y, n, d, k, PENALTY, m));
    *out = m;
    m = NULL;
done:
    whet_i_free(ctx, order);
    whet_i_head_free(ctx, m);
    return status;
}

whet_status whet_i_head_fit(whet_ctx *ctx, const whet_i_lesson *lesson, const float *x,
                            const int32_t *y, int64_t n, int64_t d, int64_t k,
                            whet_i_linear_model **out) {
    if (lesson->rows != WHET_I_LESSON_NAMES) return fit_logistic(ctx, x, y, n, d, k, out);
    WHET_TRY(make(ctx, d, k, out));
    fill_prototypes(x, y, n, *out);
    return WHET_OK;
}

whet_status whet_i_head_predict(whet_ctx *ctx, const whet_i_linear_model *head, const float *x,
                                int64_t n, double *probs) {
    whet_i_base base = {.linear = *head, .sharpness = 1};
    WHET_TRY(whet_i_calloc(ctx, head->k, &base.offset));
    const whet_status status = whet_i_base_predict(ctx, &base, x, n, probs);
    whet_i_free(ctx, base.offset);
    return status;
}

void whet_i_head_softmax(const float *logits, int64_t n, int64_t k, double *probs) {
    for (int64_t i = 0; i < n; i++) {
        for (int64_t c = 0; c < k; c++) probs[i * k + c] = (double)logits[i * k + c];
        whet_i_softmax(probs + i * k, k);
    }
}
