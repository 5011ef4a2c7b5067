/* SPDX-License-Identifier: Apache-2.0
 * What the ways of sparse rows that look at costs one by one share: a row, and what is known of its least
 * costs while they come in any order. */
#ifndef WHET_NEAR_TIES_H
#define WHET_NEAR_TIES_H

#include <float.h>
#include <math.h>

#include "space/frechet_i.h"

/* A row; p are taken times scale, a power of two, so that the mass is far from the ends of f64. */
typedef struct sparse_row {
    const int32_t *column;
    const double *p;
    int64_t m;
    double scale, mass;
} sparse_row;

/* Fills in scale and mass. */
static inline frechet_sparse_answer weigh_row(sparse_row *r) {
    r->scale = 1;
    r->mass = 0;
    for (int64_t e = 0; e < r->m; e++) {
        if (!(r->p[e] >= 0 && r->p[e] <= DBL_MAX)) return SPARSE_IMPOSSIBLE;
        r->mass += r->p[e];
    }
    if (!(r->mass > 0)) return SPARSE_NO_MASS;
    if (r->mass > 0x1p-300 && r->mass < 0x1p300) return SPARSE_DONE;
    r->scale = r->mass < 1 ? 0x1p800 : 0x1p-800;
    r->mass = 0;
    for (int64_t e = 0; e < r->m; e++) r->mass += r->p[e] * r->scale;
    return SPARSE_DONE;
}

static inline double powered(double x, int32_t power) { return power == 2 ? x * x : x; }
static inline double rooted(double x, int32_t power) { return power == 2 ? sqrt(x) : x; }

/* A candidate that may tie. */
typedef struct near_tie {
    double cost;
    int64_t candidate;
} near_tie;

/* What is known of a row so far. */
typedef struct tally {
    double least, next; /* next: the least of those that are known not to tie */
    near_tie *near;
    int64_t n_near;
} tally;

static inline bool beyond_tie(double cost, double least) {
    return cost > least + FRECHET_TIE * fabs(least);
}

/* Which candidates tie is known when the least is: until then all that may are kept. */
static inline void take_cost(tally *t, double cost, int64_t candidate) {
    if (beyond_tie(cost, t->least)) {
        t->next = fmin(t->next, cost);
        return;
    }
    if (beyond_tie(t->least, cost)) {
        t->next = fmin(t->next, t->least);
        t->n_near = 0;
    }
    t->near[t->n_near++] = (near_tie){cost, candidate};
    t->least = fmin(t->least, cost);
}

/* The lowest of those that tie, and how many they are. */
static inline near_tie settle_ties(tally *t, int64_t *ties) {
    near_tie told = {(double)INFINITY, INT64_MAX};
    *ties = 0;
    for (int64_t i = 0; i < t->n_near; i++) {
        if (beyond_tie(t->near[i].cost, t->least)) {
            t->next = fmin(t->next, t->near[i].cost);
            continue;
        }
        ++*ties;
        if (t->near[i].candidate < told.candidate) told = t->near[i];
    }
    return told;
}

/* The results of row `at`, of this mass. */
static inline frechet_sparse_answer tell_row(const whet_frechet *f, tally *t, double mass,
                                             int64_t at, const frechet_result *out) {
    int64_t ties;
    if (!isfinite(t->least)) return SPARSE_OVERFLOW;
    const near_tie told = settle_ties(t, &ties);
    out->best[at] = f->candidates[told.candidate];
    out->cost[at] = told.cost / mass;
    out->ties[at] = (int32_t)(ties < INT32_MAX ? ties : INT32_MAX);
    out->margin[at] = (t->next - t->least) / mass;
    return SPARSE_DONE;
}

#endif
