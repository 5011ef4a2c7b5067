/* SPDX-License-Identifier: Apache-2.0
 * Kernels of rows for any vector width: norms and softmax with their gradients, activations, sums.
 * Included by simd_kernels.h alone, which defines what they stand on. A row is read once for each
 * sum that needs the one before it; it stays in the first-level cache.
 * Legend: n numbers a row, j numbers. */

/* Sum of x - shift, or of its squares. Four sums at once hide the latency of the addition. */
INLINE float sum_about(int64_t n, const float *x, vec shift, bool squared) {
    vec sum[4] = {v_set(0.0f), v_set(0.0f), v_set(0.0f), v_set(0.0f)};
    int64_t j = 0;
    for (; j + 4 * LANES <= n; j += 4 * LANES) {
        UNROLL for (int u = 0; u < 4; u++) {
            const vec off = v_sub(v_load(x + j + u * LANES), shift);
            sum[u] = squared ? v_fma(off, off, sum[u]) : v_add(sum[u], off);
        }
    }
    for (; j < n; j += LANES) {
        const vec off = v_keep(v_sub(load(x + j, n - j), shift), n - j, 0.0f);
        sum[0] = squared ? v_fma(off, off, sum[0]) : v_add(sum[0], off);
    }
    return v_sum_of(v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3])));
}

INLINE vec mean_of(int64_t n, const float *x) {
    return v_set(sum_about(n, x, v_set(0.0f), false) / (float)n);
}

/* 1 / sqrt(mean of (x - mean)^2 + eps) */
INLINE vec inverse_deviation(int64_t n, const float *x, vec mean, float eps) {
    return v_set(1 / sqrtf(sum_about(n, x, mean, true) / (float)n + eps));
}

static void layernorm(int64_t rows, int64_t n, const float *x, const float *gamma,
                      const float *beta, float eps, float *out) {
    for (int64_t i = 0; i < rows; i++, x += n, out += n) {
        const vec mean = mean_of(n, x), inverse = inverse_deviation(n, x, mean, eps);
        for (int64_t j = 0; j < n; j += LANES) {
            const vec unit = v_mul(v_sub(load(x + j, n - j), mean), inverse);
            store(out + j, n - j, v_fma(unit, load(gamma + j, n - j), load(beta + j, n - j)));
        }
    }
}

/* What the backward passes of both norms share: u = (x - mean) / deviation, v = g gamma,
 * dx = (v - along - u across) / deviation with the means of v and of v u. */
INLINE void norm_backward_row(const whet_i_norm_backward *p, int64_t row, vec mean, vec inverse,
                              bool centred) {
    const int64_t n = p->n;
    const float *x = p->x + row * n, *g = p->g + row * n;
    vec along = v_set(0.0f), across = v_set(0.0f);
    for (int64_t j = 0; j < n; j += LANES) {
        const vec u = v_mul(v_sub(load(x + j, n - j), mean), inverse), slope = load(g + j, n - j);
        const vec v = v_mul(slope, load(p->gamma + j, n - j));
        along = v_add(along, v);
        across = v_fma(v, u, across);
        if (p->dgamma) store(p->dgamma + j, n - j, v_fma(slope, u, load(p->dgamma + j, n - j)));
        if (p->dbeta) store(p->dbeta + j, n - j, v_add(slope, load(p->dbeta + j, n - j)));
    }
    if (!p->dx) return;
    along = v_set(centred ? v_sum_of(along) / (float)n : 0.0f);
    across = v_set(v_sum_of(across) / (float)n);
    for (int64_t j = 0; j < n; j += LANES) {
        const vec u = v_mul(v_sub(load(x + j, n - j), mean), inverse);
        const vec v = v_mul(load(g + j, n - j), load(p->gamma + j, n - j));
        vec d = v_mul(inverse, v_sub(v_sub(v, along), v_mul(u, across)));
        float *to = p->dx + row * n + j;
        if (p->adds) d = v_add(d, load(to, n - j));
        store(to, n - j, d);
    }
}

static void layernorm_backward(const whet_i_norm_backward *p) {
    for (int64_t i = 0; i < p->rows; i++) {
        const float *x = p->x + i * p->n;
        const vec mean = mean_of(p->n, x);
        norm_backward_row(p, i, mean, inverse_deviation(p->n, x, mean, p->eps), true);
    }
}

static void rmsnorm(int64_t rows, int64_t n, const float *x, const float *gamma, float eps,
                    float *out) {
    for (int64_t i = 0; i < rows; i++, x += n, out += n) {
        const vec inverse = inverse_deviation(n, x, v_set(0.0f), eps);
        for (int64_t j = 0; j < n; j += LANES)
            store(out + j, n - j,
                  v_mul(v_mul(load(x + j, n - j), inverse), load(gamma + j, n - j)));
    }
}

static void rmsnorm_backward(const whet_i_norm_backward *p) {
    const vec zero = v_set(0.0f);
    for (int64_t i = 0; i < p->rows; i++)
        norm_backward_row(p, i, zero, inverse_deviation(p->n, p->x + i * p->n, zero, p->eps),
                          false);
}

static void activate(whet_i_act act, int64_t n, float *x) {
    for (int64_t j = 0; j < n; j += LANES) store(x + j, n - j, v_activate(act, load(x + j, n - j)));
}

static void softmax(int64_t n, float *x) {
    vec most = v_set(-HUGE_VALF), sum = v_set(0.0f);
    for (int64_t j = 0; j < n; j += LANES)
        most = v_max(most, v_keep(load(x + j, n - j), n - j, -HUGE_VALF));
    const vec shift = v_set(v_max_of(most));
    for (int64_t j = 0; j < n; j += LANES) {
        const vec e = v_keep(v_exp(v_sub(load(x + j, n - j), shift)), n - j, 0.0f);
        store(x + j, n - j, e);
        sum = v_add(sum, e);
    }
    const vec inverse = v_set(1 / v_sum_of(sum));
    for (int64_t j = 0; j < n; j += LANES) store(x + j, n - j, v_mul(load(x + j, n - j), inverse));
}

static void panel_softmax(int64_t n, const float *x, float *most, float *sum) {
    for (int64_t j = 0; j < WHET_I_PANEL; j += LANES, x += LANES) {
        vec top = v_load(x), all = v_set(0.0f);
        for (int64_t i = 1; i < n; i++) top = v_max(top, v_load(x + i * WHET_I_PANEL));
        for (int64_t i = 0; i < n; i++)
            all = v_add(all, v_exp(v_sub(v_load(x + i * WHET_I_PANEL), top)));
        v_store(most + j, top);
        v_store(sum + j, all);
    }
}

static void activate_backward(whet_i_act act, int64_t n, const float *x, float *g) {
    for (int64_t j = 0; j < n; j += LANES)
        store(g + j, n - j, v_mul(load(g + j, n - j), v_slope(act, load(x + j, n - j))));
}

static void softmax_backward(int64_t n, float scale_by, const float *p, float *g) {
    vec sum = v_set(0.0f);
    for (int64_t j = 0; j < n; j += LANES) sum = v_fma(load(p + j, n - j), load(g + j, n - j), sum);
    const vec mean = v_set(v_sum_of(sum)), factor = v_set(scale_by);
    for (int64_t j = 0; j < n; j += LANES)
        store(g + j, n - j,
              v_mul(v_mul(factor, load(p + j, n - j)), v_sub(load(g + j, n - j), mean)));
}

/* Four sums at once hide the latency of the multiply-add. */
static float dot(int64_t n, const float *a, const float *b) {
    vec sum[4] = {v_set(0.0f), v_set(0.0f), v_set(0.0f), v_set(0.0f)};
    int64_t j = 0;
    for (; j + 4 * LANES <= n; j += 4 * LANES) {
        UNROLL for (int u = 0; u < 4; u++) sum[u] =
            v_fma(v_load(a + j + u * LANES), v_load(b + j + u * LANES), sum[u]);
    }
    for (; j < n; j += LANES) sum[0] = v_fma(load(a + j, n - j), load(b + j, n - j), sum[0]);
    return v_sum_of(v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3])));
}

static float squared_distance(int64_t n, const float *a, const float *b) {
    vec sum[4] = {v_set(0.0f), v_set(0.0f), v_set(0.0f), v_set(0.0f)};
    int64_t j = 0;
    for (; j + 4 * LANES <= n; j += 4 * LANES) {
        UNROLL for (int u = 0; u < 4; u++) {
            const vec off = v_sub(v_load(a + j + u * LANES), v_load(b + j + u * LANES));
            sum[u] = v_fma(off, off, sum[u]);
        }
    }
    for (; j < n; j += LANES) {
        const vec off = v_sub(load(a + j, n - j), load(b + j, n - j));
        sum[0] = v_fma(off, off, sum[0]);
    }
    return v_sum_of(v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3])));
}

static void add(int64_t n, const float *x, float *sum) {
    for (int64_t j = 0; j < n; j += LANES)
        store(sum + j, n - j, v_add(load(sum + j, n - j), load(x + j, n - j)));
}

static void add_scaled(int64_t n, float factor, const float *x, float *sum) {
    const vec by = v_set(factor);
    for (int64_t j = 0; j < n; j += LANES)
        store(sum + j, n - j, v_fma(by, load(x + j, n - j), load(sum + j, n - j)));
}

static void scale(int64_t n, float factor, float *x) {
    for (int64_t j = 0; j < n; j += LANES)
        store(x + j, n - j, v_mul(load(x + j, n - j), v_set(factor)));
}
