/* SPDX-License-Identifier: Apache-2.0
 * The reference kernels: every slot in plain C, in the order of the definitions. The specification
 * that the other tables are tested against, and what a processor without them runs.
 * Sums are f32 in ascending order. */
#include <math.h>

#include "kernels/kernels_i.h"

static bool supported(void) { return true; }

/* ---- linear layers ----------------------------------------------------------------------------
 */

void whet_i_ref_pack_f32(int64_t n, int64_t k, const float *w, float *packed) {
    for (int64_t first = 0; first < n; first += WHET_I_PANEL, packed += whet_i_panel_step(k))
        for (int64_t t = 0; t < k; t++)
            for (int64_t j = 0; j < WHET_I_PANEL; j++)
                packed[t * WHET_I_PANEL + j] = first + j < n ? w[(first + j) * k + t] : 0;
}

static uint16_t round_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (isnan(x)) return (uint16_t)(bits >> 16 | 0x0040U);
    return (uint16_t)((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

static float widen_bf16(uint16_t x) {
    const uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void whet_i_ref_pack_bf16(int64_t n, int64_t k, const float *w, uint16_t *packed) {
    for (int64_t first = 0; first < n; first += WHET_I_PANEL, packed += whet_i_panel_step(k))
        for (int64_t t = 0; t < k; t++)
            for (int64_t j = 0; j < WHET_I_PANEL; j++)
                packed[t * WHET_I_PANEL + j] =
                    first + j < n ? round_bf16(w[(first + j) * k + t]) : 0;
}

static float activated(whet_i_act act, float x) {
    const float root_half = 0.70710678118654752f, root_2_over_pi = 0.79788456080286536f;
    switch (act) {
    case WHET_I_ACT_NONE: return x;
    case WHET_I_ACT_GELU: return 0.5f * x * (1 + erff(x * root_half));
    case WHET_I_ACT_GELU_TANH:
        return 0.5f * x * (1 + tanhf(root_2_over_pi * (x + 0.044715f * x * x * x)));
    case WHET_I_ACT_RELU: return x < 0 ? 0 : x;
    case WHET_I_ACT_SILU: return x / (1 + expf(-x));
    }
    return x;
}

static void activate(whet_i_act act, int64_t n, float *x) {
    for (int64_t i = 0; i < n; i++) x[i] = activated(act, x[i]);
}

static void finish(const whet_i_linear *p, int64_t row, int64_t first, const float *sums) {
    for (int64_t j = first; j < p->n && j < first + WHET_I_PANEL; j++) {
        float y = sums[j - first];
        if (p->bias) y += p->bias[j];
        y = activated(p->act, y);
        if (p->residual) y += p->residual[row * p->ldr + j];
        p->c[row * p->ldc + j] = y;
    }
}

static void linear_f32(const whet_i_linear *p) {
    const float *panel = p->packed;
    for (int64_t first = 0; first < p->n; first += WHET_I_PANEL, panel += whet_i_panel_step(p->k)) {
        for (int64_t i = 0; i < p->rows; i++) {
            float sums[WHET_I_PANEL] = {0};
            for (int64_t t = 0; t < p->k; t++)
                for (int64_t j = 0; j < WHET_I_PANEL; j++)
                    sums[j] += p->a[i * p->lda + t] * panel[t * WHET_I_PANEL + j];
            finish(p, i, first, sums);
        }
    }
}

static void linear_bf16(const whet_i_linear *p) {
    const uint16_t *panel = p->packed;
    for (int64_t first = 0; first < p->n; first += WHET_I_PANEL, panel += whet_i_panel_step(p->k)) {
        for (int64_t i = 0; i < p->rows; i++) {
            float sums[WHET_I_PANEL] = {0};
            for (int64_t t = 0; t < p->k; t++)
                for (int64_t j = 0; j < WHET_I_PANEL; j++)
                    sums[j] += p->a[i * p->lda + t] * widen_bf16(panel[t * WHET_I_PANEL + j]);
            finish(p, i, first, sums);
        }
    }
}

static int64_t linear_scratch(int64_t rows, int64_t k) {
    (void)rows;
    (void)k;
    return 0;
}

static void product_f64(const whet_i_product_f64 *p) {
    for (int64_t i = 0; i < p->m; i++) {
        for (int64_t j = 0; j < p->n; j++) {
            double sum = 0, *c = &p->c[i * p->ldc + j];
            for (int64_t t = 0; t < p->k; t++)
                sum += p->a[i * p->a_row + t * p->a_col] * p->b[t * p->b_row + j * p->b_col];
            *c = p->beta == 0 ? sum : p->beta * *c + sum;
        }
    }
}

/* ---- rows -------------------------------------------------------------------------------------
 */

static float dot(int64_t n, const float *a, const float *b) {
    float sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void softmax(int64_t n, float *x) {
    float most = x[0], sum = 0;
    for (int64_t i = 1; i < n; i++) most = x[i] > most ? x[i] : most;
    for (int64_t i = 0; i < n; i++) sum += x[i] = expf(x[i] - most);
    for (int64_t i = 0; i < n; i++) x[i] /= sum;
}

static void attention(const whet_i_attention *p) {
    float *scores = p->scratch;
    for (int64_t i = 0; i < p->t; i++) {
        for (int64_t j = 0; j < p->t; j++)
            scores[j] = p->scale * dot(p->d, p->q + i * p->ld, p->k + j * p->ld);
        softmax(p->t, scores);
        for (int64_t c = 0; c < p->d; c++) {
            float sum = 0;
            for (int64_t j = 0; j < p->t; j++) sum += scores[j] * p->v[j * p->ld + c];
            p->out[i * p->ldo + c] = sum;
        }
    }
}

static void layernorm(int64_t rows, int64_t n, const float *x, const float *gamma,
                      const float *beta, float eps, float *out) {
    for (int64_t i = 0; i < rows; i++, x += n, out += n) {
        float sum = 0, squares = 0;
        for (int64_t j = 0; j < n; j++) sum += x[j];
        const float mean = sum / (float)n;
        for (int64_t j = 0; j < n; j++) squares += (x[j] - mean) * (x[j] - mean);
        const float inverse = 1 / sqrtf(squares / (float)n + eps);
        for (int64_t j = 0; j < n; j++) out[j] = (x[j] - mean) * inverse * gamma[j] + beta[j];
    }
}

static void add(int64_t n, const float *x, float *sum) {
    for (int64_t i = 0; i < n; i++) sum[i] += x[i];
}

static void scale(int64_t n, float factor, float *x) {
    for (int64_t i = 0; i < n; i++) x[i] *= factor;
}

static float squared_distance(int64_t n, const float *a, const float *b) {
    float sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

/* ---- conversions ------------------------------------------------------------------------------
 */

static void f32_from_bf16(int64_t n, const uint16_t *in, float *out) {
    for (int64_t i = 0; i < n; i++) out[i] = widen_bf16(in[i]);
}

void whet_i_ref_bf16_from_f32(int64_t n, const float *in, uint16_t *out) {
    for (int64_t i = 0; i < n; i++) out[i] = round_bf16(in[i]);
}

void whet_i_ref_f32_from_f16(int64_t n, const uint16_t *in, float *out) {
    for (int64_t i = 0; i < n; i++) {
        const int exponent = in[i] >> 10 & 31, fraction = in[i] & 1023;
        float size;
        if (exponent == 31)
            size = fraction ? NAN : INFINITY;
        else if (exponent == 0)
            size = (float)fraction * 0x1p-24f;
        else
            size = ldexpf((float)(fraction + 1024), exponent - 25);
        out[i] = in[i] & 0x8000 ? -size : size;
    }
}

const whet_kernels whet_i_kernels_ref = {
    .name = "ref",
    .supported = supported,
    .pack_f32 = whet_i_ref_pack_f32,
    .linear_f32 = linear_f32,
    .pack_bf16 = whet_i_ref_pack_bf16,
    .linear_bf16 = linear_bf16,
    .linear_scratch = linear_scratch,
    .product_f64 = product_f64,
    .attention = attention,
    .layernorm = layernorm,
    .activate = activate,
    .softmax = softmax,
    .dot = dot,
    .add = add,
    .scale = scale,
    .squared_distance = squared_distance,
    .f32_from_bf16 = f32_from_bf16,
    .bf16_from_f32 = whet_i_ref_bf16_from_f32,
    .f32_from_f16 = whet_i_ref_f32_from_f16,
};
