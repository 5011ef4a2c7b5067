/* SPDX-License-Identifier: Apache-2.0
 * Norms by columns for any vector width; see whet_i_channels. Bound by memory: each is one pass. A
 * vector of columns at a time over ROWS rows, whose lines are then in the first-level cache for the
 * next vector. Included after simd_kernels.h. */

enum { CHANNEL_ROWS = 16 };

/* What one vector of columns needs in all rows. */
typedef struct lane_block {
    int64_t first, count; /* columns */
    vec mean, scale, beta, slope, rest;
} lane_block;

INLINE lane_block lane_block_of(const whet_i_channels *p, int64_t j) {
    const int64_t count = p->n - j;
    return (lane_block){j,
                        count,
                        load(p->mean + j, count),
                        load(p->scale + j, count),
                        load(p->beta + j, count),
                        v_set(p->slope),
                        v_set(1 - p->slope)};
}

INLINE int64_t channel_end(int64_t top, int64_t rows) {
    return top + CHANNEL_ROWS < rows ? top + CHANNEL_ROWS : rows;
}

INLINE void add_lanes(int64_t count, vec from, double *to) {
    float lanes[LANES];
    v_store(lanes, from);
    for (int64_t k = 0; k < (count < LANES ? count : LANES); k++) to[k] += (double)lanes[k];
}

static void channel_moments(int64_t rows, int64_t n, const float *x, const float *center,
                            double *sum, double *squares) {
    for (int64_t top = 0; top < rows; top += CHANNEL_ROWS)
        for (int64_t j = 0; j < n; j += LANES) {
            const vec middle = load(center + j, n - j);
            vec first = v_set(0.0f), second = v_set(0.0f);
            for (int64_t i = top; i < channel_end(top, rows); i++) {
                const vec off = v_sub(load(x + i * n + j, n - j), middle);
                first = v_add(first, off);
                second = v_fma(off, off, second);
            }
            add_lanes(n - j, first, sum + j);
            add_lanes(n - j, second, squares + j);
        }
}

INLINE vec channel_before(const whet_i_channels *p, const lane_block *c, int64_t at) {
    const vec off = v_sub(load(p->x + at, c->count), c->mean);
    const vec z = v_fma(off, c->scale, c->beta);
    return p->residual ? v_add(z, load(p->residual + at, c->count)) : z;
}

/* relu apart: 0 times infinity is not 0. */
INLINE vec channel_after(const lane_block *c, vec z, bool relu) {
    const vec zero = v_set(0.0f), up = v_max(zero, z);
    return relu ? up : v_fma(c->slope, v_min(zero, z), up);
}

static void channel_norm(const whet_i_channels *p) {
    const bool relu = p->slope == 0;
    for (int64_t top = 0; top < p->rows; top += CHANNEL_ROWS)
        for (int64_t j = 0; j < p->n; j += LANES) {
            const lane_block c = lane_block_of(p, j);
            for (int64_t i = top; i < channel_end(top, p->rows); i++) {
                const int64_t at = i * p->n + j;
                store(p->y + at, c.count, channel_after(&c, channel_before(p, &c, at), relu));
            }
        }
}

/* How the gradient before the activation is found. */
typedef enum gating { AS_IT_IS, BY_OUTPUT, BY_INPUT } gating;

INLINE gating gating_of(const whet_i_channels *p) {
    if (p->gated || p->slope == 1) return AS_IT_IS;
    return p->y ? BY_OUTPUT : BY_INPUT;
}

INLINE vec gated(const whet_i_channels *p, const lane_block *c, int64_t at, gating how) {
    const vec g = load(p->g + at, c->count);
    if (how == AS_IT_IS) return g;
    const vec sign = how == BY_OUTPUT ? load(p->y + at, c->count) : channel_before(p, c, at);
    return v_mul(g, v_fma(v_positive(sign), c->rest, c->slope));
}

INLINE void norm_sums(const whet_i_channels *p, gating how) {
    for (int64_t top = 0; top < p->rows; top += CHANNEL_ROWS)
        for (int64_t j = 0; j < p->n; j += LANES) {
            const lane_block c = lane_block_of(p, j);
            vec sum = v_set(0.0f), products = v_set(0.0f);
            for (int64_t i = top; i < channel_end(top, p->rows); i++) {
                const int64_t at = i * p->n + j;
                const vec g = gated(p, &c, at, how);
                if (how == BY_OUTPUT) store(p->g + at, c.count, g);
                sum = v_add(sum, g);
                products = v_fma(g, v_sub(load(p->x + at, c.count), c.mean), products);
            }
            add_lanes(c.count, sum, p->sum + j);
            add_lanes(c.count, products, p->products + j);
        }
}

static void channel_norm_sums(const whet_i_channels *p) {
    switch (gating_of(p)) {
    case AS_IT_IS: norm_sums(p, AS_IT_IS); return;
    case BY_OUTPUT: norm_sums(p, BY_OUTPUT); return;
    case BY_INPUT: norm_sums(p, BY_INPUT); return;
    }
}

INLINE void norm_backward(const whet_i_channels *p, gating how) {
    for (int64_t top = 0; top < p->rows; top += CHANNEL_ROWS)
        for (int64_t j = 0; j < p->n; j += LANES) {
            const lane_block c = lane_block_of(p, j);
            const vec first = load(p->first + j, c.count), second = load(p->second + j, c.count);
            for (int64_t i = top; i < channel_end(top, p->rows); i++) {
                const int64_t at = i * p->n + j;
                const vec off = v_sub(load(p->x + at, c.count), c.mean);
                const vec g = v_sub(gated(p, &c, at, how), first);
                vec d = v_mul(c.scale, v_sub(g, v_mul(off, second)));
                if (p->adds) d = v_add(d, load(p->dx + at, c.count));
                store(p->dx + at, c.count, d);
            }
        }
}

static void channel_norm_backward(const whet_i_channels *p) {
    switch (gating_of(p)) {
    case AS_IT_IS: norm_backward(p, AS_IT_IS); return;
    case BY_OUTPUT: norm_backward(p, BY_OUTPUT); return;
    case BY_INPUT: norm_backward(p, BY_INPUT); return;
    }
}

#define CHANNEL_SLOTS \
    .channel_moments = channel_moments, .channel_norm = channel_norm, \
    .channel_norm_sums = channel_norm_sums, .channel_norm_backward = channel_norm_backward
