/* SPDX-License-Identifier: Apache-2.0
 * Kernels of votes, and the exponential that they need. What is written here in vectors of eight is what
 * every table wants: compiled once for each instruction set, whose registers the compiler cuts the vectors
 * to. Nothing is contracted, and sums have the order that is written: every table has the same bits.
 * Included by the tables' files. */
#include <math.h>

#include "kernels/common_bits.h"
#include "kernels/kernels_i.h"

#define VOTE_INLINE static inline __attribute__((always_inline))

typedef double vote_vec __attribute__((vector_size(64), aligned(8), may_alias));
typedef int64_t vote_bits __attribute__((vector_size(64), aligned(8), may_alias));

/* *x = exp(*x) for *x <= 0, 0 below -700: x = n ln 2 + r, |r| <= ln 2 / 2; n by the rounding of a sum
 * with 1.5 x 2^52, in whose low bits it then stands; ln 2 in two parts, the first of which times n is
 * exact; Taylor's polynomial of degree 13, whose next term is below 2^-57. Relative error below 2^-51. */
VOTE_INLINE void vote_exp(vote_vec *x) {
    const vote_vec low = (vote_vec){0} - 700;
    const vote_bits none = *x < low;
    const vote_vec turned = (vote_vec)(((vote_bits)*x & ~none) | ((vote_bits)low & none));
    const vote_vec shifted = turned * 0x1.71547652b82fep0 + 0x1.8p52, n = shifted - 0x1.8p52;
    const vote_vec r = (turned - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33;
    const vote_vec r2 = r * r, r4 = r2 * r2, r8 = r4 * r4;
    const vote_vec a = (1 + r) + r2 * (1. / 2 + r * (1. / 6));
    const vote_vec b = (1. / 24 + r * (1. / 120)) + r2 * (1. / 720 + r * (1. / 5040));
    const vote_vec c = (1. / 40320 + r * (1. / 362880)) + r2 * (1. / 3628800 + r * (1. / 39916800));
    const vote_vec d = 1. / 479001600 + r * (1. / 6227020800);
    const vote_vec p = (a + r4 * b) + r8 * (c + r4 * d);
    *x = (vote_vec)(((vote_bits)p + ((vote_bits)shifted << 52)) & ~none);
}

static void exp_f64(int64_t n, double *x) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) vote_exp((vote_vec *)(x + i));
    if (i == n) return;
    double rest[8] = {0};
    for (int64_t l = 0; l < n - i; l++) rest[l] = x[i + l];
    vote_exp((vote_vec *)rest);
    for (int64_t l = 0; l < n - i; l++) x[i + l] = rest[l];
}

VOTE_INLINE double vote_largest(const vote_vec *x) {
    double most[4];
    for (int l = 0; l < 4; l++) most[l] = (*x)[l] > (*x)[l + 4] ? (*x)[l] : (*x)[l + 4];
    most[0] = most[0] > most[2] ? most[0] : most[2];
    most[1] = most[1] > most[3] ? most[1] : most[3];
    return most[0] > most[1] ? most[0] : most[1];
}

/* Scores of a row to probabilities in place; returns the sum of exp(score - *top). */
VOTE_INLINE double vote_softmax(const int64_t blocks, vote_vec *r, double *top) {
    vote_vec most = r[0], all;
    for (int64_t b = 1; b < blocks; b++) {
        const vote_bits above = r[b] > most;
        most = (vote_vec)(((vote_bits)r[b] & above) | ((vote_bits)most & ~above));
    }
    *top = vote_largest(&most);
    for (int64_t b = 0; b < blocks; b++) {
        r[b] -= *top;
        vote_exp(&r[b]);
    }
    all = r[0];
    for (int64_t b = 1; b < blocks; b++) all += r[b];
    const double sum =
        ((all[0] + all[4]) + (all[2] + all[6])) + ((all[1] + all[5]) + (all[3] + all[7]));
    const double scale = 1 / sum;
    for (int64_t b = 0; b < blocks; b++) r[b] *= scale;
    return sum;
}

/* Pointers are taken before loops: what is stored through vectors may be anything, these too. */

/* Row i, whose scores are made in `r` [blocks]: registers where blocks is known. */
VOTE_INLINE double vote_row(const int64_t blocks, const whet_i_vote_rows *p, int64_t i, vote_vec *r,
                            double *top) {
    const vote_vec *base = (const vote_vec *)p->base, *table = (const vote_vec *)p->table;
    const int32_t *cell = p->cell, *end = cell + p->start[i + 1];
    for (int64_t b = 0; b < blocks; b++) r[b] = base[b];
    for (cell += p->start[i]; cell < end; cell++) {
        const vote_vec *add = table + *cell * blocks;
        for (int64_t b = 0; b < blocks; b++) r[b] += add[b];
    }
    return vote_softmax(blocks, r, top);
}

VOTE_INLINE void vote_count(const int64_t blocks, const whet_i_vote_rows *p, int64_t i,
                            const vote_vec *r) {
    vote_vec *counts = (vote_vec *)p->counts, *total = (vote_vec *)p->total;
    const int32_t *cell = p->cell, *end = cell + p->start[i + 1];
    for (cell += p->start[i]; cell < end; cell++) {
        vote_vec *to = counts + *cell * blocks;
        for (int64_t b = 0; b < blocks; b++) to[b] += r[b];
    }
    for (int64_t b = 0; b < blocks; b++) total[b] += r[b];
}

VOTE_INLINE void vote_rows_of(const int64_t blocks, const whet_i_vote_rows *p) {
    double likelihood = 0, product = 1;
    for (int64_t i = 0; i < p->rows; i++) {
        vote_vec kept[2] = {{0}}, *out = (vote_vec *)p->r + i * blocks,
                 *r = blocks <= 2 ? kept : out;
        double top;
        const double sum = vote_row(blocks, p, i, r, &top);
        if (!p->counts) {
            for (int64_t b = 0; b < blocks; b++) out[b] = r[b];
            continue;
        }
        if (p->weight) {
            likelihood += p->weight[i] * (top + log(sum));
            for (int64_t b = 0; b < blocks; b++) r[b] *= p->weight[i];
        } else { /* one logarithm for 16 rows: sums are at most the classes */
            likelihood += top;
            product *= sum;
            if (i % 16 == 15) {
                likelihood += log(product);
                product = 1;
            }
        }
        vote_count(blocks, p, i, r);
    }
    if (p->counts) *p->likelihood += likelihood + log(product);
}

/* ---- two classes: four rows at a time, a pair of lanes each, and the same bits --------------------- */

typedef double vote_pair __attribute__((vector_size(16), aligned(8), may_alias));
enum { VOTE_AT_ONCE = 4 };

static bool vote_two_classes(const whet_i_vote_rows *p) {
    for (int64_t c = 2; c < p->width; c++)
        if (p->base[c] > -1e4) return false;
    return p->width == 8;
}

VOTE_INLINE void vote_pair_scores(const whet_i_vote_rows *p, int64_t i, double *out) {
    const double *table = p->table;
    const int32_t *cell = p->cell, *end = cell + p->start[i + 1];
    vote_pair r = *(const vote_pair *)p->base;
    for (cell += p->start[i]; cell < end; cell++)
        r += *(const vote_pair *)(table + 8 * (int64_t)*cell);
    *(vote_pair *)out = r;
}

VOTE_INLINE void vote_pair_count(const whet_i_vote_rows *p, int64_t i, vote_pair r) {
    double *counts = p->counts;
    const int32_t *cell = p->cell, *end = cell + p->start[i + 1];
    for (cell += p->start[i]; cell < end; cell++) *(vote_pair *)(counts + 8 * (int64_t)*cell) += r;
    *(vote_pair *)p->total += r;
}

/* Of `n` rows from i on, at most VOTE_AT_ONCE: probabilities x, the larger scores, the sums. */
VOTE_INLINE void vote_four(const whet_i_vote_rows *p, int64_t i, int64_t n, double *x, double *top,
                           double *sum) {
    vote_vec all = {0};
    for (int64_t l = 0; l < 2 * VOTE_AT_ONCE; l++) x[l] = 0;
    for (int64_t l = 0; l < n; l++) {
        double *own = x + 2 * l;
        vote_pair_scores(p, i + l, own);
        top[l] = own[0] > own[1] ? own[0] : own[1];
        own[0] -= top[l];
        own[1] -= top[l];
    }
    all = *(const vote_vec *)x;
    vote_exp(&all);
    *(vote_vec *)x = all;
    for (int64_t l = 0; l < n; l++) {
        sum[l] = x[2 * l] + x[2 * l + 1];
        const double scale = 1 / sum[l];
        x[2 * l] *= scale;
        x[2 * l + 1] *= scale;
    }
}

static void vote_rows_of_two(const whet_i_vote_rows *p) {
    double likelihood = 0, product = 1;
    for (int64_t first = 0; first < p->rows; first += VOTE_AT_ONCE) {
        const int64_t n = p->rows - first < VOTE_AT_ONCE ? p->rows - first : VOTE_AT_ONCE;
        double x[2 * VOTE_AT_ONCE], top[VOTE_AT_ONCE], sum[VOTE_AT_ONCE];
        vote_four(p, first, n, x, top, sum);
        for (int64_t l = 0; l < n; l++) {
            const int64_t i = first + l;
            vote_pair r = *(const vote_pair *)(x + 2 * l);
            if (!p->counts) {
                *(vote_vec *)(p->r + i * 8) = (vote_vec){r[0], r[1]};
                continue;
            }
            if (p->weight) {
                likelihood += p->weight[i] * (top[l] + log(sum[l]));
                r *= p->weight[i];
            } else {
                likelihood += top[l];
                product *= sum[l];
                if (i % 16 == 15) {
                    likelihood += log(product);
                    product = 1;
                }
            }
            vote_pair_count(p, i, r);
        }
    }
    if (p->counts) *p->likelihood += likelihood + log(product);
}

static void vote_rows(const whet_i_vote_rows *p) {
    if (vote_two_classes(p)) {
        vote_rows_of_two(p);
        return;
    }
    switch (p->width) {
    case 8: vote_rows_of(1, p); return;
    case 16: vote_rows_of(2, p); return;
    default: vote_rows_of(p->width / 8, p); return;
    }
}

#define VOTE_SLOTS .common_bits = common_bits, .vote_rows = vote_rows, .exp_f64 = exp_f64
