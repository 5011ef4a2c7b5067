/* SPDX-License-Identifier: Apache-2.0
 * The reference kernels: every slot in plain C, in the order of the definitions. The specification
 * that the other tables are tested against, and what a processor without them runs.
 * Sums are f32 in ascending order. */
#include <tgmath.h>

#include "kernels/kernels_i.h"

#include "kernels/plain_assignment.h"
#include "kernels/plain_dropout.h"
#include "kernels/plain_merge.h"
#include "kernels/plain_solve.h"
#include "kernels/plain_votes.h"

#define R(x) ((whet_i_real)(x))

static bool supported(void) { return true; }

/* ---- linear layers ----------------------------------------------------------------------------
 */

static void pack_f32(int64_t n, int64_t k, const whet_i_real *w, int64_t row, int64_t column,
                     whet_i_real *packed) {
    for (int64_t first = 0; first < n; first += WHET_I_PANEL, packed += whet_i_panel_step(k))
        for (int64_t t = 0; t < k; t++)
            for (int64_t j = 0; j < WHET_I_PANEL; j++)
                packed[t * WHET_I_PANEL + j] =
                    first + j < n ? w[(first + j) * row + t * column] : 0;
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

void whet_i_ref_pack_bf16(int64_t n, int64_t k, const whet_i_real *w, int64_t row, int64_t column,
                          uint16_t *packed) {
    for (int64_t first = 0; first < n; first += WHET_I_PANEL, packed += whet_i_panel_step(k))
        for (int64_t t = 0; t < k; t++)
            for (int64_t j = 0; j < WHET_I_PANEL; j++)
                packed[t * WHET_I_PANEL + j] =
                    first + j < n ? round_bf16((float)w[(first + j) * row + t * column]) : 0;
}

static whet_i_real activated(whet_i_act act, whet_i_real x) {
    const whet_i_real root_half = R(0.70710678118654752), root_2_over_pi = R(0.79788456080286536);
    switch (act) {
    case WHET_I_ACT_NONE: return x;
    case WHET_I_ACT_GELU: return R(0.5) * x * (1 + erf(x * root_half));
    case WHET_I_ACT_GELU_TANH:
        return R(0.5) * x * (1 + tanh(root_2_over_pi * (x + R(0.044715) * x * x * x)));
    case WHET_I_ACT_RELU: return x < 0 ? 0 : x;
    case WHET_I_ACT_SILU: return x / (1 + exp(-x));
    case WHET_I_ACT_TANH: return tanh(x);
    }
    return x;
}

/* act'(x). 1 - s of s = 1 / (1 + e) is taken as e s, which does not cancel; far out, where powers of
 * x would overflow, slopes are 0 or 1. */
static whet_i_real slope(whet_i_act act, whet_i_real x) {
    const whet_i_real root_half = R(0.70710678118654752), root_2_over_pi = R(0.79788456080286536);
    switch (act) {
    case WHET_I_ACT_NONE: return 1;
    case WHET_I_ACT_GELU: /* Phi(x) + x phi(x); 1/sqrt(2 pi) = root_2_over_pi / 2 */
        return R(0.5) * (1 + erf(x * root_half) + root_2_over_pi * x * exp(R(-0.5) * x * x));
    case WHET_I_ACT_GELU_TANH: { /* x s(2u): s + 2 x s (1 - s) u' */
        if (fabs(x) > 10) return x > 0;
        const whet_i_real e = exp(-2 * root_2_over_pi * (x + R(0.044715) * x * x * x));
        const whet_i_real s = 1 / (1 + e), inner = 1 + R(0.134145) * x * x;
        return s + 2 * x * s * (e * s) * root_2_over_pi * inner;
    }
    case WHET_I_ACT_RELU: return x > 0 ? 1 : x <= 0 ? 0 : x;
    case WHET_I_ACT_SILU: {
        if (fabs(x) > 80) return x > 0;
        const whet_i_real e = exp(-x), s = 1 / (1 + e);
        return s * (1 + x * (e * s));
    }
    case WHET_I_ACT_TANH: { /* 1 - tanh^2 */
        const whet_i_real e = exp(-2 * fabs(x)), s = 1 / (1 + e);
        return 4 * e * s * s;
    }
    }
    return 1;
}

static void activate(whet_i_act act, int64_t n, whet_i_real *x) {
    for (int64_t i = 0; i < n; i++) x[i] = activated(act, x[i]);
}

static void activate_backward(whet_i_act act, int64_t n, const whet_i_real *x, whet_i_real *g) {
    for (int64_t i = 0; i < n; i++) g[i] *= slope(act, x[i]);
}

static void finish(const whet_i_linear *p, int64_t row, int64_t first, whet_i_real *sums) {
    for (int32_t i = 0; i < p->n_adds; i++) {
        const int64_t o = first - p->adds[i].first;
        if (o >= 0 && o < p->adds[i].product.n)
            whet_i_ref_monarch_add_block(&p->adds[i].product, row, 1, o, WHET_I_PANEL, sums, 0);
    }
    for (int64_t j = first; j < p->n && j < first + WHET_I_PANEL; j++) {
        whet_i_real y = sums[j - first];
        if (p->bias) y += p->bias[j];
        if (p->before) p->before[row * p->ldc + j] = y;
        if (p->before_half) {
            const float single = (float)y;
            whet_i_ref_bf16_from_f32(1, &single, p->before_half + row * p->ldc + j);
        }
        if (!p->c) continue;
        y = activated(p->act, y);
        if (p->residual) y += p->residual[row * p->ldr + j];
        p->c[row * p->ldc + j] = y;
    }
}

static void linear_f32(const whet_i_linear *p) {
    const whet_i_real *panel = p->packed;
    for (int64_t first = 0; first < p->n; first += WHET_I_PANEL, panel += whet_i_panel_step(p->k)) {
        for (int64_t i = 0; i < p->rows; i++) {
            whet_i_real sums[WHET_I_PANEL] = {0};
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
            whet_i_real sums[WHET_I_PANEL] = {0};
            for (int64_t t = 0; t < p->k; t++)
                for (int64_t j = 0; j < WHET_I_PANEL; j++)
                    sums[j] +=
                        p->a[i * p->lda + t] * (whet_i_real)widen_bf16(panel[t * WHET_I_PANEL + j]);
            finish(p, i, first, sums);
        }
    }
}

static int64_t linear_bf16_scratch(int64_t rows, int64_t k) {
    (void)rows;
    (void)k;
    return 0;
}

int64_t whet_i_ref_linear_f32_scratch(int64_t rows, int64_t k) {
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

static void product(const whet_i_product *p) {
    for (int64_t i = 0; i < p->m; i++) {
        for (int64_t j = 0; j < p->n; j++) {
            whet_i_real sum = 0, *c = &p->c[i * p->ldc + j];
            for (int64_t t = 0; t < p->k; t++)
                sum += p->a[i * p->a_row + t * p->a_col] * p->b[t * p->b_row + j * p->b_col];
            *c = p->beta == 0 ? sum : p->beta * *c + sum;
        }
    }
}

static void product_bf16(const whet_i_product *p, void *scratch) {
    (void)scratch;
    product(p);
}

static int64_t product_bf16_scratch(int64_t m, int64_t n) {
    (void)m;
    (void)n;
    return 0;
}

/* ---- rows -------------------------------------------------------------------------------------
 */

static whet_i_real dot(int64_t n, const whet_i_real *a, const whet_i_real *b) {
    whet_i_real sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void softmax(int64_t n, whet_i_real *x) {
    whet_i_real most = x[0], sum = 0;
    for (int64_t i = 1; i < n; i++) most = x[i] > most ? x[i] : most;
    for (int64_t i = 0; i < n; i++) sum += x[i] = exp(x[i] - most);
    for (int64_t i = 0; i < n; i++) x[i] /= sum;
}

static void softmax_backward(int64_t n, whet_i_real scale, const whet_i_real *p, whet_i_real *g) {
    const whet_i_real mean = dot(n, p, g);
    for (int64_t i = 0; i < n; i++) g[i] = scale * p[i] * (g[i] - mean);
}

static void panel_softmax(int64_t n, const whet_i_real *x, whet_i_real *most, whet_i_real *sum) {
    for (int64_t j = 0; j < WHET_I_PANEL; j++, x++) {
        most[j] = x[0];
        sum[j] = 0;
        for (int64_t i = 1; i < n; i++) most[j] = fmax(most[j], x[i * WHET_I_PANEL]);
        for (int64_t i = 0; i < n; i++) sum[j] += exp(x[i * WHET_I_PANEL] - most[j]);
    }
}

static void attention(const whet_i_attention *p) {
    whet_i_real *scores = p->scratch;
    const int64_t queries = p->queries ? p->queries : p->t, ldq = p->ldq ? p->ldq : p->ld;
    for (int64_t i = 0; i < queries; i++) {
        const int64_t t = p->causal ? p->t - queries + i + 1 : p->t;
        for (int64_t j = 0; j < t; j++)
            scores[j] = p->scale * dot(p->d, p->q + i * ldq, p->k + j * p->ld);
        softmax(t, scores);
        for (int64_t c = 0; c < p->d; c++) {
            whet_i_real sum = 0;
            for (int64_t j = 0; j < t; j++) sum += scores[j] * p->v[j * p->ld + c];
            p->out[i * p->ldo + c] = sum;
        }
    }
}

static void layernorm(int64_t rows, int64_t n, const whet_i_real *x, const whet_i_real *gamma,
                      const whet_i_real *beta, whet_i_real eps, whet_i_real *out) {
    for (int64_t i = 0; i < rows; i++, x += n, out += n) {
        whet_i_real sum = 0, squares = 0;
        for (int64_t j = 0; j < n; j++) sum += x[j];
        const whet_i_real mean = sum / (whet_i_real)n;
        for (int64_t j = 0; j < n; j++) squares += (x[j] - mean) * (x[j] - mean);
        const whet_i_real inverse = 1 / sqrt(squares / (whet_i_real)n + eps);
        for (int64_t j = 0; j < n; j++) out[j] = (x[j] - mean) * inverse * gamma[j] + beta[j];
    }
}

/* With u = (x - mean) / deviation and v = g gamma: dx = (v - mean(v) - u mean(v u)) / deviation. */
static void layernorm_backward(const whet_i_norm_backward *p) {
    const int64_t n = p->n;
    for (int64_t i = 0; i < p->rows; i++) {
        const whet_i_real *x = p->x + i * n, *g = p->g + i * n;
        whet_i_real sum = 0, squares = 0, along = 0, across = 0;
        for (int64_t j = 0; j < n; j++) sum += x[j];
        const whet_i_real mean = sum / (whet_i_real)n;
        for (int64_t j = 0; j < n; j++) squares += (x[j] - mean) * (x[j] - mean);
        const whet_i_real inverse = 1 / sqrt(squares / (whet_i_real)n + p->eps);
        for (int64_t j = 0; j < n; j++) {
            const whet_i_real u = (x[j] - mean) * inverse, v = g[j] * p->gamma[j];
            along += v;
            across += v * u;
            if (p->dgamma) p->dgamma[j] += g[j] * u;
            if (p->dbeta) p->dbeta[j] += g[j];
        }
        along /= (whet_i_real)n;
        across /= (whet_i_real)n;
        for (int64_t j = 0; j < n && p->dx; j++) {
            const whet_i_real u = (x[j] - mean) * inverse, v = g[j] * p->gamma[j];
            const whet_i_real d = inverse * (v - along - u * across);
            p->dx[i * n + j] = p->adds ? p->dx[i * n + j] + d : d;
        }
    }
}

static void rmsnorm(int64_t rows, int64_t n, const whet_i_real *x, const whet_i_real *gamma,
                    whet_i_real eps, whet_i_real *out) {
    for (int64_t i = 0; i < rows; i++, x += n, out += n) {
        const whet_i_real inverse = 1 / sqrt(dot(n, x, x) / (whet_i_real)n + eps);
        for (int64_t j = 0; j < n; j++) out[j] = x[j] * inverse * gamma[j];
    }
}

static void rmsnorm_backward(const whet_i_norm_backward *p) {
    const int64_t n = p->n;
    for (int64_t i = 0; i < p->rows; i++) {
        const whet_i_real *x = p->x + i * n, *g = p->g + i * n;
        const whet_i_real inverse = 1 / sqrt(dot(n, x, x) / (whet_i_real)n + p->eps);
        whet_i_real across = 0;
        for (int64_t j = 0; j < n; j++) {
            const whet_i_real u = x[j] * inverse;
            across += g[j] * p->gamma[j] * u;
            if (p->dgamma) p->dgamma[j] += g[j] * u;
        }
        across /= (whet_i_real)n;
        for (int64_t j = 0; j < n && p->dx; j++) {
            const whet_i_real d = inverse * (g[j] * p->gamma[j] - x[j] * inverse * across);
            p->dx[i * n + j] = p->adds ? p->dx[i * n + j] + d : d;
        }
    }
}

static void add(int64_t n, const whet_i_real *x, whet_i_real *sum) {
    for (int64_t i = 0; i < n; i++) sum[i] += x[i];
}

static void add_scaled(int64_t n, whet_i_real factor, const whet_i_real *x, whet_i_real *sum) {
    for (int64_t i = 0; i < n; i++) sum[i] += factor * x[i];
}

static void scale(int64_t n, whet_i_real factor, whet_i_real *x) {
    for (int64_t i = 0; i < n; i++) x[i] *= factor;
}

static whet_i_real squared_distance(int64_t n, const whet_i_real *a, const whet_i_real *b) {
    whet_i_real sum = 0;
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
    .pack_f32 = pack_f32,
    .linear_f32 = linear_f32,
    .pack_bf16 = whet_i_ref_pack_bf16,
    .linear_bf16 = linear_bf16,
    .linear_f32_scratch = whet_i_ref_linear_f32_scratch,
    .linear_bf16_scratch = linear_bf16_scratch,
    VOTE_SLOTS,
    COST_SLOTS,
    DROPOUT_SLOTS,
    SOLVE_SLOTS,
    MERGE_SLOTS,
    .product_f64 = product_f64,
    .product = product,
    .product_bf16 = product_bf16,
    .product_bf16_scratch = product_bf16_scratch,
    .monarch_dot = whet_i_ref_monarch_dot,
    .monarch_add = whet_i_ref_monarch_add,
    .monarch_outer = whet_i_ref_monarch_outer,
    .attention = attention,
    .layernorm = layernorm,
    .layernorm_backward = layernorm_backward,
    .rmsnorm = rmsnorm,
    .rmsnorm_backward = rmsnorm_backward,
    .activate = activate,
    .activate_backward = activate_backward,
    .softmax = softmax,
    .softmax_backward = softmax_backward,
    .panel_softmax = panel_softmax,
    .dot = dot,
    .add = add,
    .add_scaled = add_scaled,
    .scale = scale,
    .squared_distance = squared_distance,
    .f32_from_bf16 = f32_from_bf16,
    .bf16_from_f32 = whet_i_ref_bf16_from_f32,
    .f32_from_f16 = whet_i_ref_f32_from_f16,
    .channel_moments = whet_i_ref_channel_moments,
    .channel_norm = whet_i_ref_channel_norm,
    .channel_norm_sums = whet_i_ref_channel_norm_sums,
    .channel_norm_backward = whet_i_ref_channel_norm_backward,
};
