/* SPDX-License-Identifier: Apache-2.0
 * The kernels written once for any vector width. Included by one file per instruction set, after it
 * has defined `vec`, LANES, TILE_VECS and the v_ operations (see avx512.c, the readable one).
 *
 * linear: a tile of TILE_ROWS x TILE_VECS vectors of c stays in registers while k runs; the panel
 * of weights streams from the second-level cache, a's numbers are broadcast. Each number of c is
 * one chain of fused multiply-adds over ascending k, whatever tile it falls in: that is what makes
 * a row's bits independent of its neighbours. Bias, activation and residual follow while the tile
 * is in the first-level cache.
 * attention: TILE_ROWS queries at a time against all keys, so that no more than TILE_ROWS x t
 * scores exist at once.
 * Legend: k length of sums, t tokens, d numbers a head, i rows, j columns. */
#include <math.h>

#include "kernels/kernels_i.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

enum { TILE_ROWS = 6, TILE_COLS = TILE_VECS * LANES };

/* ---- functions of one vector -------------------------------------------------------------------
 */

/* exp(x), relative error below 1.2e-7 where the result is normal: x = n ln 2 + r, |r| <= ln 2 / 2,
 * e^r = 1 + r + r^2 q(r), q of degree 5 fitted on Chebyshev nodes. */
INLINE vec v_exp(vec x) {
    x = v_max(v_set(-110.0f), v_min(v_set(89.0f), x));
    const vec n = v_round(v_mul(x, v_set(1.44269504f)));
    vec r = v_fma(n, v_set(-0.693145752f), x);
    r = v_fma(n, v_set(-1.42860677e-06f), r);
    vec q = v_set(1.989928714e-04f);
    q = v_fma(q, r, v_set(1.393365208e-03f));
    q = v_fma(q, r, v_set(8.333298378e-03f));
    q = v_fma(q, r, v_set(4.166646674e-02f));
    q = v_fma(q, r, v_set(1.666666716e-01f));
    q = v_fma(q, r, v_set(0.5f));
    return v_ldexp(v_add(v_fma(v_mul(r, r), q, r), v_set(1.0f)), n);
}

/* erf(x / sqrt 2), absolute error below 2.5e-7: x p(x^2) with p of degree 16 in 2 x^2 / 5.5^2 - 1,
 * fitted on Chebyshev nodes of |x| <= 5.5; beyond, 1 - |erf| < 4e-8. At 5.57 the polynomial has passed
 * 1 and is cut: far out the result is exactly 1 or -1, and GELU of -1e30 is 0. */
INLINE vec v_erf_root_half(vec x) {
    static const float p[] = {2.571038604e-01f,  -1.283446401e-01f, 9.547477216e-02f,
                              -7.758713514e-02f, 6.415147334e-02f,  -5.207773298e-02f,
                              4.063520208e-02f,  -3.009670228e-02f, 2.084948123e-02f,
                              -1.337667368e-02f, 8.350363001e-03f,  -5.210970063e-03f,
                              2.558616456e-03f,  -7.896582247e-04f, 5.361461081e-04f,
                              -5.496700760e-04f, 1.914417226e-04f};
    x = v_max(v_set(-5.57f), v_min(v_set(5.57f), x));
    const vec t = v_fma(v_mul(x, x), v_set(2.0f / 30.25f), v_set(-1.0f));
    vec sum = v_set(p[16]);
    for (int i = 15; i >= 0; i--) sum = v_fma(sum, t, v_set(p[i]));
    return v_max(v_set(-1.0f), v_min(v_set(1.0f), v_mul(sum, x)));
}

/* 1 / (1 + exp(-x)) */
INLINE vec v_logistic(vec x) {
    return v_div(v_set(1.0f), v_add(v_set(1.0f), v_exp(v_sub(v_set(0.0f), x))));
}

/* |x| */
INLINE vec v_size(vec x) { return v_max(v_sub(v_set(0.0f), x), x); }

/* Relative error below 3e-7: x (1 + x^2 q(x^2)) where |x| < 0.55, q of degree 4 fitted on Chebyshev
 * nodes; else 1 - 2 / (1 + exp(2 |x|)) with x's sign, where the quotient is at most 1/2. */
INLINE vec v_tanh(vec x) {
    const vec one = v_set(1.0f), size = v_size(x), square = v_mul(x, x);
    vec q = v_set(-6.610228214e-03f);
    q = v_fma(q, square, v_set(2.130938880e-02f));
    q = v_fma(q, square, v_set(-5.390942842e-02f));
    q = v_fma(q, square, v_set(1.333311349e-01f));
    q = v_fma(q, square, v_set(-3.333333135e-01f));
    const vec near = v_mul(x, v_fma(square, q, one));
    const vec far = v_sub(one, v_div(v_set(2.0f), v_add(one, v_exp(v_add(size, size)))));
    const vec with_sign = v_where_less(x, v_set(0.0f), v_sub(v_set(0.0f), far), far);
    return v_where_less(size, v_set(0.55f), near, with_sign);
}

INLINE vec v_activate(whet_i_act act, vec x) {
    switch (act) {
    case WHET_I_ACT_NONE: return x;
    case WHET_I_ACT_GELU:
        return v_mul(v_mul(v_set(0.5f), x), v_add(v_set(1.0f), v_erf_root_half(x)));
    case WHET_I_ACT_GELU_TANH: { /* 1/2 (1 + tanh u) is the logistic function of 2u */
        const vec cubic = v_mul(v_mul(x, x), v_mul(x, v_set(0.044715f)));
        return v_mul(x, v_logistic(v_mul(v_set(1.59576912f), v_add(x, cubic))));
    }
    case WHET_I_ACT_RELU: return v_max(v_set(0.0f), x);
    case WHET_I_ACT_SILU: return v_mul(x, v_logistic(x));
    case WHET_I_ACT_TANH: return v_tanh(x);
    }
    return x;
}

/* The nearest within -limit..limit: beyond these, slopes are 0 or 1 to f32, and powers of x would
 * overflow into infinity times 0. */
INLINE vec v_within(float limit, vec x) { return v_max(v_set(-limit), v_min(v_set(limit), x)); }

/* act'(x). 1 - s of s = 1 / (1 + e) is taken as e s, which does not cancel. */
INLINE vec v_slope(whet_i_act act, vec x) {
    const vec one = v_set(1.0f), half = v_set(0.5f);
    switch (act) {
    case WHET_I_ACT_NONE: return one;
    case WHET_I_ACT_GELU: { /* Phi(x) + x phi(x) */
        const vec density = v_mul(v_set(0.398942280f), v_exp(v_mul(v_set(-0.5f), v_mul(x, x))));
        return v_fma(x, density, v_mul(half, v_add(one, v_erf_root_half(x))));
    }
    case WHET_I_ACT_GELU_TANH: { /* x s(2u): s + 2 x s (1 - s) u' */
        x = v_within(10.0f, x);
        const vec square = v_mul(x, x);
        const vec cubic = v_mul(square, v_mul(x, v_set(0.044715f)));
        const vec e = v_exp(v_mul(v_set(-1.59576912f), v_add(x, cubic)));
        const vec s = v_div(one, v_add(one, e));
        const vec inner = v_mul(v_set(1.59576912f), v_fma(square, v_set(0.134145f), one));
        return v_fma(v_mul(x, inner), v_mul(s, v_mul(e, s)), s);
    }
    case WHET_I_ACT_RELU: return v_positive(x);
    case WHET_I_ACT_SILU: {
        x = v_within(40.0f, x);
        const vec e = v_exp(v_sub(v_set(0.0f), x)), s = v_div(one, v_add(one, e));
        return v_mul(s, v_fma(x, v_mul(e, s), one));
    }
    case WHET_I_ACT_TANH: { /* 1 - tanh^2 = 4 e / (1 + e)^2, e = exp(-2 |x|), does not cancel */
        const vec e = v_exp(v_mul(v_set(-2.0f), v_size(x))), s = v_div(one, v_add(one, e));
        return v_mul(v_mul(v_set(4.0f), e), v_mul(s, s));
    }
    }
    return one;
}

/* The v_ operations come in two forms: whole vectors, and the first `count` numbers. */
INLINE vec load(const float *p, int64_t count) {
    return count >= LANES ? v_load(p) : v_load_part(p, count);
}

INLINE void store(float *p, int64_t count, vec x) {
    if (count >= LANES)
        v_store(p, x);
    else
        v_store_part(p, count, x);
}

/* ---- the tile ----------------------------------------------------------------------------------
 */

/* c [rows, vecs * LANES] = a [rows, k] b [k, vecs * LANES]; neighbours in a row of a are a_step
 * apart. rows and vecs are constant once inlined. With each step the line at `ask`, ask_step further
 * each time, is asked for: what the next tiles need from where no processor guesses it. */
INLINE void tile_of(int rows, int vecs, int64_t k, const float *a, int64_t lda, int64_t a_step,
                    const float *b, int64_t ldb, float *c, int64_t ldc, const float *ask,
                    int64_t ask_step) {
    vec sum[TILE_ROWS][TILE_VECS];
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < vecs; j++) sum[i][j] = v_set(0.0f);
    }
    for (int64_t t = 0; t < k; t++, a += a_step, b += ldb, ask += ask_step) {
        if (vecs == TILE_VECS) __builtin_prefetch(ask, 0, 2);
        vec right[TILE_VECS];
        UNROLL for (int j = 0; j < vecs; j++) right[j] = v_load(b + j * LANES);
        UNROLL for (int i = 0; i < rows; i++) {
            const vec left = v_set(a[i * lda]);
            UNROLL for (int j = 0; j < vecs; j++) sum[i][j] = v_fma(left, right[j], sum[i][j]);
        }
    }
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < vecs; j++) v_store(c + i * ldc + j * LANES, sum[i][j]);
    }
}

#define TILE_CASE(rows_) \
    case rows_: tile_of(rows_, vecs, k, a, lda, a_step, b, ldb, c, ldc, ask, ask_step); break
INLINE void tile(int64_t rows, int vecs, int64_t k, const float *a, int64_t lda, int64_t a_step,
                 const float *b, int64_t ldb, float *c, int64_t ldc, const float *ask,
                 int64_t ask_step) {
    switch (rows) {
        TILE_CASE(1);
        TILE_CASE(2);
        TILE_CASE(3);
        TILE_CASE(4);
        TILE_CASE(5);
    default: tile_of(TILE_ROWS, vecs, k, a, lda, a_step, b, ldb, c, ldc, ask, ask_step);
    }
}

#define TILE_PARAMETERS \
    int64_t rows, int64_t k, const float *a, int64_t lda, int64_t a_step, const float *b, \
        int64_t ldb, float *c, int64_t ldc, const float *ask, int64_t ask_step
static void tile_1(TILE_PARAMETERS) {
    tile(rows, 1, k, a, lda, a_step, b, ldb, c, ldc, ask, ask_step);
}
static void tile_2(TILE_PARAMETERS) {
    tile(rows, 2, k, a, lda, a_step, b, ldb, c, ldc, ask, ask_step);
}
#if TILE_VECS == 4
static void tile_3(TILE_PARAMETERS) {
    tile(rows, 3, k, a, lda, a_step, b, ldb, c, ldc, ask, ask_step);
}
static void tile_4(TILE_PARAMETERS) {
    tile(rows, 4, k, a, lda, a_step, b, ldb, c, ldc, ask, ask_step);
}
static void (*const tile_by_vecs[])(TILE_PARAMETERS) = {NULL, tile_1, tile_2, tile_3, tile_4};
#else
static void (*const tile_by_vecs[])(TILE_PARAMETERS) = {NULL, tile_1, tile_2};
#endif

#include "kernels/simd_monarch.h"

/* ---- linear layers -----------------------------------------------------------------------------
 */

/* As whet_i_ref_bf16_from_f32, in a form that compilers make vectors of. */
static void narrow_row(int64_t n, const float *x, uint16_t *out) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        const uint32_t nearest = bits + 0x7fff + (bits >> 16 & 1), quiet = bits | 0x400000;
        out[i] = (uint16_t)(((bits & 0x7fffffff) > 0x7f800000 ? quiet : nearest) >> 16);
    }
}

/* What is added to the columns from `first` on, while their sums are in the first-level cache. */
static void add_to_sums(const whet_i_linear *p, int64_t row, int64_t rows, int64_t first,
                        float *sums) {
    for (int32_t i = 0; i < p->n_adds; i++) {
        const whet_i_monarch *m = &p->adds[i].product;
        const int64_t o = first - p->adds[i].first;
        if (o >= 0 && o < m->n) add_block(pattern_of(m->blocks), m, row, rows, o, sums, TILE_COLS);
    }
}

static void finish(const whet_i_linear *p, int64_t row, int64_t rows, int64_t first, float *sums) {
    float line[TILE_COLS];
    if (p->n_adds) add_to_sums(p, row, rows, first, sums);
    for (int64_t i = 0; i < rows; i++, sums += TILE_COLS) {
        for (int64_t j = 0; j < TILE_COLS && first + j < p->n; j += LANES) {
            const int64_t count = p->n - first - j;
            vec y = v_load(sums + j);
            if (p->bias) y = v_add(y, load(p->bias + first + j, count));
            if (p->before) store(p->before + (row + i) * p->ldc + first + j, count, y);
            if (p->before_half) v_store(line + j, y);
            if (!p->c) continue;
            y = v_activate(p->act, y);
            if (p->residual)
                y = v_add(y, load(p->residual + (row + i) * p->ldr + first + j, count));
            store(p->c + (row + i) * p->ldc + first + j, count, y);
        }
        if (p->before_half)
            narrow_row(p->n - first < TILE_COLS ? p->n - first : TILE_COLS, line,
                       p->before_half + (row + i) * p->ldc + first);
    }
}

/* to [k, WHET_I_PANEL], the panel of w's rows from `first` on. */
static void pack_panel(int64_t n, int64_t k, const float *w, int64_t row, int64_t column,
                       int64_t first, float *to) {
    const int64_t rows = n - first < WHET_I_PANEL ? n - first : WHET_I_PANEL;
    w += first * row;
    if (column == 1) {
        for (int64_t j = 0; j < WHET_I_PANEL; j += LANES)
            for (int64_t t = 0; t < k; t += LANES)
                v_transpose(rows - j, k - t, w + j * row + t, row, to + t * WHET_I_PANEL + j,
                            WHET_I_PANEL);
        return;
    }
    for (int64_t t = 0; t < k; t++, to += WHET_I_PANEL) {
        if (row == 1 && rows == WHET_I_PANEL)
            memcpy(to, w + t * column, WHET_I_PANEL * sizeof *to);
        else
            for (int64_t j = 0; j < WHET_I_PANEL; j++)
                to[j] = j < rows ? w[j * row + t * column] : 0;
    }
}

static void pack_f32(int64_t n, int64_t k, const float *w, int64_t row, int64_t column,
                     float *packed) {
    for (int64_t first = 0; first < n; first += WHET_I_PANEL, packed += whet_i_panel_step(k))
        pack_panel(n, k, w, row, column, first, packed);
}

/* All rows against one panel of f32 weights; first: its first column. */
static void linear_panel(const whet_i_linear *p, int64_t first, const float *panel) {
    _Alignas(64) float sums[TILE_ROWS * TILE_COLS];
    for (int64_t at = 0; at < WHET_I_PANEL && first + at < p->n; at += TILE_COLS) {
        for (int64_t row = 0; row < p->rows; row += TILE_ROWS) {
            const int64_t rows = p->rows - row < TILE_ROWS ? p->rows - row : TILE_ROWS;
            tile_by_vecs[TILE_VECS](rows, p->k, p->a + row * p->lda, p->lda, 1, panel + at,
                                    WHET_I_PANEL, sums, TILE_COLS, panel, 0);
            finish(p, row, rows, first + at, sums);
        }
    }
}

/* Rows in slabs of half a megabyte of a, which stay in the second-level cache for all panels. */
static void linear_f32(const whet_i_linear *p) {
    const int64_t most = (1 << 17) / p->k, slab = most > 16 * TILE_ROWS ? most : 16 * TILE_ROWS;
    whet_i_linear s = *p;
    for (int64_t row = 0; row < p->rows; row += s.rows) {
        s.rows = p->rows - row < slab ? p->rows - row : slab / TILE_ROWS * TILE_ROWS;
        s.a = p->a + row * p->lda;
        for (int32_t i = 0; i < p->n_adds; i++)
            s.adds[i].product.z = p->adds[i].product.z + row * p->adds[i].product.ldz;
        s.residual = p->residual ? p->residual + row * p->ldr : NULL;
        s.before = p->before ? p->before + row * p->ldc : NULL;
        s.before_half = p->before_half ? p->before_half + row * p->ldc : NULL;
        s.c = p->c ? p->c + row * p->ldc : NULL;
        const float *panel = p->packed;
        for (int64_t first = 0; first < p->n;
             first += WHET_I_PANEL, panel += whet_i_panel_step(p->k))
            linear_panel(&s, first, panel);
    }
}

static void f32_from_bf16(int64_t n, const uint16_t *in, float *out) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) v_store(out + i, v_load_bf16(in + i));
    whet_i_kernels_ref.f32_from_bf16(n - i, in + i, out + i);
}

/* ---- attention ---------------------------------------------------------------------------------
 */

/* keys [d, padded t]: panels of TILE_COLS keys, each [d, TILE_COLS], zeros past t. */
static void transpose_keys(const whet_i_attention *p, float *keys) {
    for (int64_t first = 0; first < p->t; first += TILE_COLS, keys += TILE_COLS * p->d) {
        for (int64_t j = 0; j < TILE_COLS; j += LANES) {
            const int64_t rows = p->t - first - j;
            for (int64_t c = 0; c < p->d; c += LANES)
                v_transpose(rows, p->d - c, p->k + (first + j) * p->ld + c, p->ld,
                            keys + c * TILE_COLS + j, TILE_COLS);
        }
    }
}

/* Values in whole vectors [t, wide]; as they are when they already are whole. */
static const float *whole_values(const whet_i_attention *p, int64_t wide, float *space,
                                 int64_t *ldv) {
    *ldv = p->ld;
    if (p->d == wide) return p->v;
    *ldv = wide;
    for (int64_t i = 0; i < p->t; i++)
        for (int64_t c = 0; c < wide; c++) space[i * wide + c] = c < p->d ? p->v[i * p->ld + c] : 0;
    return space;
}

/* exp(scale (x - max)) in place, 0 past n up to the whole vector; returns the sum. */
INLINE float exponentials(int64_t n, float scale_by, float *x) {
    vec most = v_set(-HUGE_VALF);
    for (int64_t j = 0; j < n; j += LANES)
        most = v_max(most, v_keep(v_load(x + j), n - j, -HUGE_VALF));
    const vec shift = v_set(-scale_by * v_max_of(most)), factor = v_set(scale_by);
    vec sum = v_set(0.0f);
    for (int64_t j = 0; j < n; j += LANES) {
        const vec e = v_keep(v_exp(v_fma(v_load(x + j), factor, shift)), n - j, 0.0f);
        v_store(x + j, e);
        sum = v_add(sum, e);
    }
    return v_sum_of(sum);
}

/* out [rows, wide] = scores [rows, t] values */
static void weigh_values(int64_t rows, int64_t t, const float *scores, int64_t padded,
                         const float *values, int64_t ldv, int64_t wide, float *out) {
    for (int64_t c = 0; c < wide; c += TILE_COLS) {
        const int64_t vecs = (wide - c) / LANES;
        tile_by_vecs[vecs < TILE_VECS ? vecs : TILE_VECS](rows, t, scores, padded, 1, values + c,
                                                          ldv, out + c, wide, values, 0);
    }
}

/* n a multiple of LANES */
INLINE bool all_finite(int64_t n, const float *x) {
    vec sum = v_set(0.0f);
    for (int64_t j = 0; j < n; j += LANES) sum = v_fma(v_load(x + j), v_set(0.0f), sum);
    return v_sum_of(sum) == 0;
}

static void attention(const whet_i_attention *p) {
    const int64_t padded = (p->t + TILE_COLS - 1) / TILE_COLS * TILE_COLS;
    const int64_t wide = (p->d + LANES - 1) / LANES * LANES;
    float *keys = p->scratch, *scores = keys + padded * p->d, *out = scores + TILE_ROWS * padded;
    int64_t ldv;
    transpose_keys(p, keys);
    const float *values = whole_values(p, wide, out + TILE_ROWS * wide, &ldv);
    const int64_t queries = p->queries ? p->queries : p->t, ldq = p->ldq ? p->ldq : p->ld;
    for (int64_t i = 0; i < queries; i += TILE_ROWS) {
        const int64_t rows = queries - i < TILE_ROWS ? queries - i : TILE_ROWS;
        const int64_t before = p->t - queries + i; /* tokens before the first query */
        const int64_t t = p->causal ? before + rows : p->t;
        for (int64_t j = 0; j < t; j += TILE_COLS) {
            const int64_t vecs = (t - j + LANES - 1) / LANES;
            tile_by_vecs[vecs < TILE_VECS ? vecs : TILE_VECS](rows, p->d, p->q + i * ldq, ldq, 1,
                                                              keys + j * p->d, TILE_COLS,
                                                              scores + j, padded, keys, 0);
        }
        float inverse[TILE_ROWS];
        for (int64_t r = 0; r < rows; r++) {
            const int64_t seen = p->causal ? before + r + 1 : t;
            inverse[r] = 1 / exponentials(seen, p->scale, scores + r * padded);
            for (int64_t j = (seen + LANES - 1) / LANES * LANES; j < t; j += LANES)
                v_store(scores + r * padded + j, v_set(0.0f));
        }
        weigh_values(rows, t, scores, padded, values, ldv, wide, out);
        /* A weight of 0 does not hide NaN or infinity among the values of later tokens. */
        for (int64_t r = 0; r < rows - 1 && p->causal; r++)
            if (!all_finite(wide, out + r * wide))
                weigh_values(1, before + r + 1, scores + r * padded, padded, values, ldv, wide,
                             out + r * wide);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < p->d; c += LANES)
                store(p->out + (i + r) * p->ldo + c, p->d - c,
                      v_mul(v_load(out + r * wide + c), v_set(inverse[r])));
    }
}

#include "kernels/simd_rows.h"

/* linear_f32 apart, for tables with one of their own. */
#define LINEAR_SLOTS .linear_f32 = linear_f32, .linear_f32_scratch = whet_i_ref_linear_f32_scratch
/* Narrowing happens once a model, and half precision is only read from files: ref's. */
#define SIMD_SLOTS \
    .pack_f32 = pack_f32, .attention = attention, .layernorm = layernorm, \
    .layernorm_backward = layernorm_backward, .rmsnorm = rmsnorm, \
    .rmsnorm_backward = rmsnorm_backward, .activate = activate, \
    .activate_backward = activate_backward, .softmax = softmax, \
    .softmax_backward = softmax_backward, .panel_softmax = panel_softmax, .dot = dot, .add = add, \
    .add_scaled = add_scaled, .scale = scale, .squared_distance = squared_distance, \
    .f32_from_bf16 = f32_from_bf16, .bf16_from_f32 = narrow_row, \
    .f32_from_f16 = whet_i_ref_f32_from_f16, MONARCH_SLOTS
