/* SPDX-License-Identifier: Apache-2.0
 * Conjugate gradients with a Jacobi preconditioner for many right sides on one sparse graph.
 * Right sides are taken WIDTH at a time: a pass over the edges then serves all of them, and the
 * vectors of a block lie together in the cache. Blocks are the units of the parallel loop; inside
 * one, sums run over rows in order. A column that has converged is not moved any more, so its bits
 * do not depend on its neighbours either.
 * Source: Hestenes & Stiefel 1952; Saad 2003, algorithm 9.1. Legend: n rows, m right sides. */
#include <math.h>

#include "label/label_i.h"

enum { WIDTH = 16 };

typedef struct solve {
    const whet_i_system *system;
    const double *weight;
    int64_t n, m, most_steps;
    double tolerance;
    double *b;          /* [n, m] */
    double *scratch;    /* [workers, 4, n, WIDTH]: x, r, p, A p */
    atomic_bool failed; /* a column that did not converge */
} solve;

static bool is_fixed(const whet_i_system *s, int64_t i) { return s->fixed && s->fixed[i]; }

/* out = A p, and sums[c] = p_c . A p_c */
static void product(const solve *s, const double *p, double *out, double *sums) {
    const whet_i_graph *g = s->system->graph;
    for (int c = 0; c < WIDTH; c++) sums[c] = 0;
    for (int64_t i = 0; i < s->n; i++) {
        double *o = out + i * WIDTH;
        if (is_fixed(s->system, i)) continue;
        double acc[WIDTH] = {0};
        for (int64_t e = g->start[i]; e < g->start[i + 1]; e++) {
            const double w = s->weight[e], *q = p + g->to[e] * WIDTH;
            for (int c = 0; c < WIDTH; c++) acc[c] += w * q[c];
        }
        const double diagonal = s->system->diagonal[i], coupling = s->system->coupling;
        const double *q = p + i * WIDTH;
        for (int c = 0; c < WIDTH; c++) {
            o[c] = diagonal * q[c] - coupling * acc[c];
            sums[c] += q[c] * o[c];
        }
    }
}

/* x += step p, r -= step A p; sums: r . r and r . M^-1 r. */
static void advance(const solve *s, const double *step, double *x, double *r, const double *p,
                    const double *ap, double *rr, double *rz) {
    for (int c = 0; c < WIDTH; c++) rr[c] = rz[c] = 0;
    for (int64_t i = 0; i < s->n; i++) {
        if (is_fixed(s->system, i)) continue;
        const double inverse = 1 / s->system->diagonal[i];
        const int64_t at = i * WIDTH;
        for (int c = 0; c < WIDTH; c++) {
            x[at + c] += step[c] * p[at + c];
            r[at + c] -= step[c] * ap[at + c];
            const double square = r[at + c] * r[at + c];
            rr[c] += square;
            rz[c] += square * inverse;
        }
    }
}

static void load(const solve *s, int64_t first, int64_t width, double *x, double *r, double *p) {
    memset(x, 0, sizeof *x * (size_t)(s->n * WIDTH));
    memset(r, 0, sizeof *r * (size_t)(s->n * WIDTH));
    memset(p, 0, sizeof *p * (size_t)(s->n * WIDTH)); /* stays 0 in fixed rows */
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t c = 0; c < width && !is_fixed(s->system, i); c++)
            r[i * WIDTH + c] = s->b[i * s->m + first + c];
}

static void solve_block(void *arg, int64_t block, int32_t worker) {
    solve *s = arg;
    const int64_t first = block * WIDTH, cells = s->n * WIDTH;
    const int64_t width = s->m - first < WIDTH ? s->m - first : WIDTH;
    double *x = s->scratch + 4 * cells * worker, *r = x + cells, *p = r + cells, *ap = p + cells;
    double rr[WIDTH], rz[WIDTH], before[WIDTH], goal[WIDTH], pap[WIDTH], zero[WIDTH] = {0};
    double step[WIDTH] = {0};
    load(s, first, width, x, r, p);
    advance(s, zero, x, r, p, p, rr, rz);
    for (int c = 0; c < WIDTH; c++) {
        goal[c] = s->tolerance * s->tolerance * rr[c];
        before[c] = 0;
    }
    int64_t steps = 0;
    for (;; steps++) {
        bool done = true;
        for (int c = 0; c < WIDTH; c++) done = done && rr[c] <= goal[c];
        if (done || steps == s->most_steps) break;
        double turn[WIDTH];
        for (int c = 0; c < WIDTH; c++) turn[c] = before[c] > 0 ? rz[c] / before[c] : 0;
        for (int64_t i = 0; i < s->n; i++) {
            if (is_fixed(s->system, i)) continue;
            const double inverse = 1 / s->system->diagonal[i];
            for (int c = 0; c < WIDTH; c++)
                p[i * WIDTH + c] = inverse * r[i * WIDTH + c] + turn[c] * p[i * WIDTH + c];
        }
        product(s, p, ap, pap);
        for (int c = 0; c < WIDTH; c++) {
            step[c] = rr[c] > goal[c] && pap[c] > 0 ? rz[c] / pap[c] : 0;
            before[c] = rz[c];
        }
        advance(s, step, x, r, p, ap, rr, rz);
    }
    for (int c = 0; c < WIDTH; c++)
        if (!(rr[c] <= goal[c])) atomic_store(&s->failed, true);
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t c = 0; c < width && !is_fixed(s->system, i); c++)
            s->b[i * s->m + first + c] = x[i * WIDTH + c];
}

whet_status whet_i_conjugate_gradients(whet_ctx *ctx, const whet_i_system *system, int64_t m,
                                       double tolerance, double *b) {
    const int64_t n = system->graph->n, blocks = (m + WIDTH - 1) / WIDTH;
    int64_t cells, workers = whet_ctx_threads(ctx) < blocks ? whet_ctx_threads(ctx) : blocks;
    if (n == 0 || m == 0) return WHET_OK;
    solve s = {system, system->weight ? system->weight : system->graph->weight,
               n,      m,
               2000,   tolerance,
               b,      NULL,
               false};
    WHET_TRY(whet_i_mul(ctx, n, 4 * WIDTH * workers, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &s.scratch));
    whet_status status = whet_i_parallel_for(ctx, NULL, blocks, solve_block, &s);
    whet_i_free(ctx, s.scratch);
    if (status == WHET_OK && atomic_load(&s.failed))
        status = whet_i_fail(ctx, WHET_ERR_NUMERIC,
                             "a system on the graph of neighbours did not "
                             "reach a residual of %g in %lld steps",
                             tolerance, (long long)s.most_steps);
    return status;
}
