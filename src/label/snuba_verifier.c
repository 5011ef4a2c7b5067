/* SPDX-License-Identifier: Apache-2.0
 * The aggregator of Snuba's published code: a naive-Bayes-like score sum_j w_j v_ij whose weights move
 * towards the log odds of the accuracies that they imply. With its rate and 1,000 steps they stay near
 * where they start, at 1: in effect a vote without weights.
 * Legend: n rows, m rules; t marginals. */
#include <math.h>

#include "label/rule_candidates.h"

enum { STEPS = 1000, LEAST_STEPS = 10 };

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

/* Rows with the same votes are one row with a weight: hundreds of steps over tens of patterns. */
typedef struct patterns {
    int64_t n, m;
    int8_t *vote;   /* [n, m] */
    int64_t *count; /* [n] */
    int64_t *of;    /* [rows] the pattern of each row */
} patterns;

static whet_status find_patterns(whet_ctx *ctx, const int8_t *votes, int64_t n, patterns *p) {
    whet_names *seen = NULL;
    whet_status status = WHET_OK;
    char *key = NULL;
    int64_t cells;
    WHET_TRY_DONE(whet_i_mul(ctx, n, p->m, &cells));
    WHET_TRY_DONE(whet_names_create(ctx, &seen));
    WHET_TRY_DONE(whet_i_alloc(ctx, p->m, &key));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &p->vote));
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &p->count));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &p->of));
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < p->m; j++) key[j] = (char)('1' + votes[i * p->m + j]);
        WHET_TRY_DONE(whet_names_add(ctx, seen, (whet_str){key, p->m}, &p->of[i]));
        if (p->of[i] == p->n) {
            memcpy(p->vote + p->n * p->m, votes + i * p->m, (size_t)p->m);
            p->n++;
        }
        p->count[p->of[i]]++;
    }
done:
    whet_i_free(ctx, key);
    whet_names_destroy(ctx, seen);
    return status;
}

static void marginals(const patterns *p, const double *w, double *t) {
    for (int64_t i = 0; i < p->n; i++) {
        double sum = 0;
        for (int64_t j = 0; j < p->m; j++) sum += w[j] * p->vote[i * p->m + j];
        t[i] = sigmoid(sum);
    }
}

/* g0_j = N_j (w_j - logit acc_j) / sum N. */
static void direction(const patterns *p, const double *w, const double *t, double *g0) {
    double all = 0;
    for (int64_t j = 0; j < p->m; j++) {
        double voted = 0, agreed = 0;
        for (int64_t i = 0; i < p->n; i++) {
            const double v = p->vote[i * p->m + j], count = (double)p->count[i];
            voted += v != 0 ? count : 0;
            agreed += count * v * (2 * t[i] - 1);
        }
        const double accuracy = .5 * (1 + agreed / (voted + 1e-8));
        const double odds = fmin(fmax(log(accuracy / (1 - accuracy)), -10), 10);
        g0[j] = voted * (w[j] - odds);
        all += voted;
    }
    for (int64_t j = 0; j < p->m && all > 0; j++) g0[j] /= all;
}

static double length(const double *x, int64_t n) {
    double square = 0;
    for (int64_t j = 0; j < n; j++) square += x[j] * x[j];
    return sqrt(square);
}

static void descend(const patterns *p, double *w, double *g, double *g0, double *t) {
    for (int64_t j = 0; j < p->m; j++) {
        w[j] = 1;
        g[j] = 0;
    }
    for (int64_t step = 0; step < STEPS; step++) {
        marginals(p, w, t);
        direction(p, w, t, g0);
        for (int64_t j = 0; j < p->m; j++) g[j] = .95 * g0[j] + .05 * g[j];
        if (step > LEAST_STEPS && length(g, p->m) / length(w, p->m) < 1e-6) break;
        for (int64_t j = 0; j < p->m; j++) {
            const double moved = w[j] - 1e-3 * g[j];
            w[j] = copysign(fmax(0, fabs(moved) - 1e-6), moved) / (1 + .5e-6);
        }
    }
}

whet_status whet_i_snuba_verifier(whet_ctx *ctx, const int8_t *votes, int64_t n, int64_t m,
                                  double *weight, double *marginal) {
    whet_status status = WHET_OK;
    patterns p = {.m = m};
    double *g = NULL, *g0 = NULL, *t = NULL;
    WHET_TRY_DONE(find_patterns(ctx, votes, n, &p));
    WHET_TRY_DONE(whet_i_alloc(ctx, m, &g));
    WHET_TRY_DONE(whet_i_alloc(ctx, m, &g0));
    WHET_TRY_DONE(whet_i_alloc(ctx, p.n, &t));
    descend(&p, weight, g, g0, t);
    marginals(&p, weight, t);
    for (int64_t i = 0; i < n; i++) marginal[i] = t[p.of[i]];
done:
    whet_i_free(ctx, p.vote);
    whet_i_free(ctx, p.count);
    whet_i_free(ctx, p.of);
    whet_i_free(ctx, g);
    whet_i_free(ctx, g0);
    whet_i_free(ctx, t);
    return status;
}
