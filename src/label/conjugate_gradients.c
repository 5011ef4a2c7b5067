/* SPDX-License-Identifier: Apache-2.0
 * Conjugate gradients with a Jacobi preconditioner for many right sides on one sparse graph.
 * Right sides are taken WIDTH at a time: a pass over the edges then serves all of them, and the
 * vectors of a block lie together in the cache. Blocks are the units of the parallel loop; inside
 * one, sums run over rows in order. A column that has converged is not moved any more, so its bits
 * do not depend on its neighbours either.
 * Source: Hestenes & Stiefel 1952; Saad 2003, algorithm 9.1. Legend: n rows, m right sides. */
#include "kernels/kernels_i.h"
#include "label/label_i.h"

enum { WIDTH = WHET_I_SIDES };

typedef struct solve {
    whet_i_sparse system;
    const whet_kernels *kernels;
    int64_t n, m, most_steps;
    double tolerance;
    double *b;          /* [n, m] */
    double *scratch;    /* [workers, 4, n, WIDTH]: x, r, p, A p */
    atomic_bool failed; /* a column that did not converge */
} solve;

static bool is_fixed(const solve *s, int64_t i) { return s->system.fixed && s->system.fixed[i]; }

static void load(const solve *s, int64_t first, int64_t width, double *x, double *r, double *p) {
    memset(x, 0, sizeof *x * (size_t)(s->n * WIDTH));
    memset(r, 0, sizeof *r * (size_t)(s->n * WIDTH));
    memset(p, 0, sizeof *p * (size_t)(s->n * WIDTH)); /* stays 0 in fixed rows */
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t c = 0; c < width && !is_fixed(s, i); c++)
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
    s->kernels->sparse_advance(&s->system, zero, p, p, x, r, rr, rz);
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
        s->kernels->sparse_turn(&s->system, r, turn, p);
        s->kernels->sparse_product(&s->system, p, ap, pap);
        for (int c = 0; c < WIDTH; c++) {
            step[c] = rr[c] > goal[c] && pap[c] > 0 ? rz[c] / pap[c] : 0;
            before[c] = rz[c];
        }
        s->kernels->sparse_advance(&s->system, step, p, ap, x, r, rr, rz);
    }
    for (int c = 0; c < WIDTH; c++)
        if (!(rr[c] <= goal[c])) atomic_store(&s->failed, true);
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t c = 0; c < width && !is_fixed(s, i); c++)
            s->b[i * s->m + first + c] = x[i * WIDTH + c];
}

whet_status whet_i_conjugate_gradients(whet_ctx *ctx, const whet_i_system *system, int64_t m,
                                       double tolerance, double *b) {
    const int64_t n = system->graph->n, blocks = (m + WIDTH - 1) / WIDTH;
    int64_t cells, workers = whet_ctx_threads(ctx) < blocks ? whet_ctx_threads(ctx) : blocks;
    if (n == 0 || m == 0) return WHET_OK;
    solve s = {.system = {.n = n,
                          .start = system->graph->start,
                          .to = system->graph->to,
                          .weight = system->weight ? system->weight : system->graph->weight,
                          .diagonal = system->diagonal,
                          .coupling = system->coupling,
                          .fixed = system->fixed},
               .kernels = whet_i_kernels(ctx),
               .n = n,
               .m = m,
               .most_steps = 2000,
               .tolerance = tolerance,
               .b = b};
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
