/* SPDX-License-Identifier: Apache-2.0
 * Kernels of the assignment problem: passes over one row of costs. Written once in vectors of eight and
 * compiled for each instruction set, as plain_votes.h is; every table has the same bits, for nothing is
 * summed. Included by the tables' files. */
#include <math.h>
#ifdef __AVX__
#include <immintrin.h>
#endif

#include "kernels/kernels_i.h"

#define COST_INLINE static inline __attribute__((always_inline))

enum { COST_LANES = 8 };

typedef double cost_vec __attribute__((vector_size(64), aligned(8), may_alias));
typedef float cost_half __attribute__((vector_size(32), aligned(4), may_alias));
typedef int64_t cost_bits __attribute__((vector_size(64), aligned(8), may_alias));

/* x_j = base + (sign c_j - v_j): of one, and of eight from j on. */
COST_INLINE double cost_at(const whet_i_assignment_row *r, bool narrow, int64_t j) {
    return r->base + (r->sign * (narrow ? (double)r->f32[j] : r->f64[j]) - r->v[j]);
}
COST_INLINE void cost_eight(const whet_i_assignment_row *r, bool narrow, int64_t j, cost_vec *out) {
    const cost_vec c = narrow ? __builtin_convertvector(*(const cost_half *)(r->f32 + j), cost_vec)
                              : *(const cost_vec *)(r->f64 + j);
    *out = r->base + (c * r->sign - *(const cost_vec *)(r->v + j));
}

/* a where mask, else b. */
COST_INLINE void cost_pick(const cost_bits *mask, const cost_vec *a, const cost_vec *b,
                           cost_vec *out) {
    *out = (cost_vec)((*mask & (cost_bits)*a) | (~*mask & (cost_bits)*b));
}

/* A bit for each lane where mask is set. */
COST_INLINE uint32_t cost_lanes(const cost_bits *mask) {
#if defined(__AVX512F__)
    return _mm512_test_epi64_mask((__m512i)*mask, (__m512i)*mask);
#elif defined(__AVX__)
    const double *at = (const double *)mask;
    return (uint32_t)_mm256_movemask_pd(_mm256_loadu_pd(at)) |
           (uint32_t)_mm256_movemask_pd(_mm256_loadu_pd(at + 4)) << 4;
#else
    uint32_t bits = 0;
    for (int l = 0; l < COST_LANES; l++) bits |= (uint32_t)((*mask)[l] & 1) << l;
    return bits;
#endif
}
COST_INLINE bool cost_any(const cost_bits *mask) { return cost_lanes(mask) != 0; }

/* The first place from `first` on where x_j is `value`; n when there is none. */
COST_INLINE int64_t cost_place(const whet_i_assignment_row *r, bool narrow, double value,
                               int64_t first) {
    const cost_vec wanted = value - (cost_vec){0};
    int64_t j = first;
    for (; j + COST_LANES <= r->n; j += COST_LANES) {
        cost_vec x;
        cost_eight(r, narrow, j, &x);
        const cost_bits equal = x == wanted;
        if (cost_any(&equal)) break;
    }
    while (j < r->n && cost_at(r, narrow, j) != value) j++;
    return j;
}

/* x among the `count` least so far, behind its equals. */
COST_INLINE int64_t cost_insert(double x, int64_t j, int64_t count, int64_t most, double *least,
                                int64_t *at) {
    int64_t i = count < most ? count : most - 1;
    for (; i > 0 && x < least[i - 1]; i--) {
        least[i] = least[i - 1];
        at[i] = at[i - 1];
    }
    least[i] = x;
    at[i] = j;
    return count < most ? count + 1 : most;
}

/* What the `most` least are not above: of eight numbers that different lanes have, the most-th. */
COST_INLINE double cost_ceiling(const whet_i_assignment_row *r, bool narrow, int64_t most) {
    cost_vec low = INFINITY - (cost_vec){0};
    double sorted[COST_LANES];
    int64_t at[COST_LANES], count = 0;
    if (most > COST_LANES) return INFINITY;
    for (int64_t j = 0; j + COST_LANES <= r->n; j += COST_LANES) {
        cost_vec x;
        cost_eight(r, narrow, j, &x);
        const cost_bits below = x < low;
        cost_pick(&below, &x, &low, &low);
    }
    for (int l = 0; l < COST_LANES; l++)
        count = cost_insert(low[l], l, count, COST_LANES, sorted, at);
    return sorted[most - 1];
}

/* Two passes: the first finds a ceiling, so that the second has few to sort. */
COST_INLINE int64_t cost_least_of(const whet_i_assignment_row *r, bool narrow, int64_t most,
                                  double *least, int64_t *at) {
    const double ceiling = cost_ceiling(r, narrow, most);
    double bound = INFINITY; /* what is not below it is not among them */
    int64_t count = 0, j = 0;
    for (; j + COST_LANES <= r->n; j += COST_LANES) {
        cost_vec x;
        cost_eight(r, narrow, j, &x);
        const cost_bits below = (x <= ceiling - (cost_vec){0}) & (x < bound - (cost_vec){0});
        for (uint32_t lanes = cost_lanes(&below); lanes; lanes &= lanes - 1) {
            const int l = __builtin_ctz(lanes);
            if (x[l] < bound) count = cost_insert(x[l], j + l, count, most, least, at);
            if (count == most) bound = least[most - 1];
        }
    }
    for (; j < r->n; j++) {
        const double x = cost_at(r, narrow, j);
        if (x < bound) count = cost_insert(x, j, count, most, least, at);
        if (count == most) bound = least[most - 1];
    }
    return count;
}

static int64_t cost_least(const whet_i_assignment_row *r, int64_t most, double *least,
                          int64_t *at) {
    return r->f32 ? cost_least_of(r, true, most, least, at)
                  : cost_least_of(r, false, most, least, at);
}

static int64_t cost_find(const whet_i_assignment_row *r, double value, int64_t first) {
    return r->f32 ? cost_place(r, true, value, first) : cost_place(r, false, value, first);
}

COST_INLINE double cost_relax_of(const whet_i_assignment_row *r, bool narrow, int64_t row,
                                 double *key, int64_t *from) {
    cost_vec least = INFINITY - (cost_vec){0};
    double most = INFINITY;
    int64_t j = 0;
    for (; j + COST_LANES <= r->n; j += COST_LANES) {
        cost_vec x, k = *(cost_vec *)(key + j);
        cost_eight(r, narrow, j, &x);
        const cost_bits better = x < k;
        cost_pick(&better, &x, &k, &k);
        if (cost_any(&better)) {
            cost_bits *f = (cost_bits *)(from + j);
            *(cost_vec *)(key + j) = k;
            *f = (better & row) | (~better & *f);
        }
        const cost_bits below = k < least;
        cost_pick(&below, &k, &least, &least);
    }
    for (; j < r->n; j++) {
        const double x = cost_at(r, narrow, j);
        if (x < key[j]) {
            key[j] = x;
            from[j] = row;
        }
        most = key[j] < most ? key[j] : most;
    }
    for (int l = 0; l < COST_LANES; l++) most = least[l] < most ? least[l] : most;
    return most;
}

static double cost_relax(const whet_i_assignment_row *r, int64_t row, double *key, int64_t *from) {
    return r->f32 ? cost_relax_of(r, true, row, key, from)
                  : cost_relax_of(r, false, row, key, from);
}

#define COST_SLOTS .cost_least = cost_least, .cost_find = cost_find, .cost_relax = cost_relax
