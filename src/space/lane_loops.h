/* SPDX-License-Identifier: Apache-2.0
 * The loops themselves, written once over vectors of LANE_VECTOR doubles (the compiler's vector
 * types: left to itself, it vectorises these short loops only now and then). A file that includes
 * this defines LANE_LOOPS, LANE_LOOPS_NAME and LANE_VECTOR, and is compiled for its instruction set.
 * The formulas are in tree_pass.c.
 * Legend: v a node, c its child, m mass, a moment, s mass of the row, L lanes, i a vector of a
 * group of lanes. */
#include <float.h>
#include <math.h>

#include "space/lanes_i.h"

enum { L = LANE_GROUP, VECTORS = LANE_GROUP / LANE_VECTOR };

typedef double vector __attribute__((vector_size(LANE_VECTOR * 8)));
typedef int64_t mask __attribute__((vector_size(LANE_VECTOR * 8)));

#define EACH_VECTOR _Pragma("GCC unroll 16") for (int i = 0; i < VECTORS; i++)

static inline vector get(const double *p, int i) {
    vector x;
    memcpy(&x, p + i * LANE_VECTOR, sizeof x);
    return x;
}

static inline void put(double *p, int i, vector x) { memcpy(p + i * LANE_VECTOR, &x, sizeof x); }

static inline vector choose(mask yes, vector a, vector b) {
    return (vector)((yes & (mask)a) | (~yes & (mask)b));
}

static inline vector lower(vector a, vector b) { return choose(a < b, a, b); }

/* Transposes: column j of the rows, each times its scale, becomes row row[j] of the weights. */
static bool load(const double *const *probs, int64_t k, const double *scale, const int64_t *row,
                 double *weights, int64_t lanes, double *mass) {
    const vector zero = {0}, most = zero + DBL_MAX;
    vector factor[VECTORS], sum[VECTORS];
    mask possible[VECTORS];
    EACH_VECTOR {
        factor[i] = get(scale, i);
        sum[i] = zero;
        possible[i] = zero <= most; /* true */
    }
    for (int64_t j = 0; j < k; j++) {
        double *w = weights + (row ? row[j] : j) * lanes, column[L];
        for (int l = 0; l < L; l++) column[l] = probs[l][j];
        EACH_VECTOR {
            const vector p = get(column, i), scaled = p * factor[i];
            possible[i] &= (p >= zero) & (p <= most);
            sum[i] += scaled;
            put(w, i, scaled);
        }
    }
    int64_t all = -1;
    EACH_VECTOR {
        put(mass, i, sum[i]);
        for (int l = 0; l < LANE_VECTOR; l++) all &= possible[i][l];
    }
    return all != 0;
}

static void combine(int64_t k, const double *factor, const int64_t *row, const double *weights,
                    int64_t lanes, double *out) {
    vector sum[VECTORS];
    EACH_VECTOR sum[i] = (vector){0};
    for (int64_t j = 0; j < k; j++)
        EACH_VECTOR sum[i] += factor[j] * get(weights + (row ? row[j] : j) * lanes, i);
    EACH_VECTOR put(out, i, sum[i]);
}

static void pass_up(const tree_plan *t, double *mass, double *moment) {
    for (int64_t v = t->n_inner - 1; v >= 0; v--) {
        vector m[VECTORS], a[VECTORS];
        EACH_VECTOR {
            m[i] = get(mass + v * L, i);
            a[i] = (vector){0};
        }
        for (int64_t c = t->leaf_first[v]; c < t->leaf_first[v + 1]; c++) {
            EACH_VECTOR {
                const vector mc = get(mass + c * L, i);
                m[i] += mc;
                a[i] += t->length[c] * mc;
            }
        }
        for (int64_t c = t->inner_first[v]; c < t->inner_first[v + 1]; c++) {
            EACH_VECTOR {
                const vector mc = get(mass + c * L, i);
                m[i] += mc;
                a[i] += get(moment + c * L, i) + t->length[c] * mc;
            }
        }
        EACH_VECTOR {
            put(mass + v * L, i, m[i]);
            put(moment + v * L, i, a[i]);
        }
    }
}

/* Turns moments into T on the way: T of a parent is ready before its children are reached. */
static void pass_down_squared(const tree_plan *t, const double *mass, double *moment, double *cost,
                              double *least) {
    vector s[VECTORS], low[VECTORS], f[VECTORS], tv[VECTORS];
    EACH_VECTOR {
        s[i] = get(mass, i);
        low[i] = get(least, i);
    }
    for (int64_t v = 0; v < t->n_inner; v++) {
        EACH_VECTOR {
            f[i] = get(cost + v * L, i);
            tv[i] = get(moment + v * L, i);
        }
        if (t->point[v] >= 0) EACH_VECTOR low[i] = lower(f[i], low[i]);
        for (int64_t c = t->leaf_first[v]; c < t->leaf_first[v + 1]; c++) {
            const double twice = 2 * t->length[c], square = t->length[c] * t->length[c];
            const bool candidate = t->point[c] >= 0;
            EACH_VECTOR {
                const vector down = twice * (tv[i] - twice * get(mass + c * L, i));
                const vector fc = f[i] + down + square * s[i];
                put(cost + c * L, i, fc);
                if (candidate) low[i] = lower(fc, low[i]);
            }
        }
        for (int64_t c = t->inner_first[v]; c < t->inner_first[v + 1]; c++) {
            const double length = t->length[c], twice = 2 * length, square = length * length;
            EACH_VECTOR {
                const vector mc = get(mass + c * L, i);
                const vector a = get(moment + c * L, i) + length * mc;
                put(cost + c * L, i, f[i] + twice * (tv[i] - 2 * a) + square * s[i]);
                put(moment + c * L, i, tv[i] + length * (s[i] - 2 * mc));
            }
        }
    }
    EACH_VECTOR put(least, i, low[i]);
}

/* Power 1: the cost is T itself, and that of the root is its moment. */
static void pass_down(const tree_plan *t, const double *mass, const double *moment, double *cost,
                      double *least) {
    vector s[VECTORS], low[VECTORS], tv[VECTORS];
    memcpy(cost, moment, L * sizeof *cost);
    EACH_VECTOR {
        s[i] = get(mass, i);
        low[i] = get(least, i);
    }
    for (int64_t v = 0; v < t->n_inner; v++) {
        EACH_VECTOR tv[i] = get(cost + v * L, i);
        if (t->point[v] >= 0) EACH_VECTOR low[i] = lower(tv[i], low[i]);
        for (int64_t c = t->leaf_first[v]; c < t->leaf_first[v + 1]; c++) {
            const bool candidate = t->point[c] >= 0;
            EACH_VECTOR {
                const vector tc = tv[i] + t->length[c] * (s[i] - 2 * get(mass + c * L, i));
                put(cost + c * L, i, tc);
                if (candidate) low[i] = lower(tc, low[i]);
            }
        }
        for (int64_t c = t->inner_first[v]; c < t->inner_first[v + 1]; c++)
            EACH_VECTOR put(cost + c * L, i,
                            tv[i] + t->length[c] * (s[i] - 2 * get(mass + c * L, i)));
    }
    EACH_VECTOR put(least, i, low[i]);
}

static void least_cost(int64_t n, const double *costs, int64_t lanes, double *out) {
    vector low[VECTORS];
    EACH_VECTOR low[i] = (vector){0} + (double)INFINITY;
    for (int64_t c = 0; c < n; c++) EACH_VECTOR low[i] = lower(get(costs + c * lanes, i), low[i]);
    EACH_VECTOR put(out, i, low[i]);
}

static void sweep(const int64_t *points, int64_t n, const double *costs, int64_t lanes,
                  lane_sweep *out) {
    const vector none = (vector){0} + (double)INFINITY, one = (vector){0} + 1.0, zero = {0};
    vector limit[VECTORS], ties[VECTORS], first[VECTORS], next[VECTORS];
    EACH_VECTOR {
        limit[i] = get(out->limit, i);
        ties[i] = zero;
        first[i] = next[i] = none;
    }
    for (int64_t c = 0; c < n; c++) {
        if (points[c] < 0) continue;
        const vector point = zero + (double)points[c];
        EACH_VECTOR {
            const vector x = get(costs + c * lanes, i);
            const mask tied = x <= limit[i];
            ties[i] += choose(tied, one, zero);
            first[i] = lower(choose(tied, point, none), first[i]);
            next[i] = lower(choose(tied, none, x), next[i]);
        }
    }
    EACH_VECTOR {
        put(out->ties, i, ties[i]);
        put(out->first, i, first[i]);
        put(out->next, i, next[i]);
    }
}

typedef float singles __attribute__((vector_size(LANE_VECTOR * 8)));

/* In f32, vectors of twice as many lanes. */
static void gather(const int32_t *observed, const float *share, int32_t n, const float *powers,
                   float *sum) {
    enum { WIDE = 2 * LANE_VECTOR, COUNT = LANE_GROUP / WIDE };
    singles total[COUNT];
    memset(total, 0, sizeof total);
    for (int32_t e = 0; e < n; e++) {
        const float *row = powers + (int64_t)observed[e] * LANE_GROUP;
        for (int i = 0; i < COUNT; i++) {
            singles x;
            memcpy(&x, row + i * WIDE, sizeof x);
            total[i] += share[e] * x;
        }
    }
    memcpy(sum, total, sizeof total);
}

const lane_loops LANE_LOOPS = {LANE_LOOPS_NAME, load,       combine, pass_up, pass_down_squared,
                               pass_down,       least_cost, sweep,   gather};
