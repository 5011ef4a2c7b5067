/* SPDX-License-Identifier: Apache-2.0
 * Times sparse rows on a graph, every node observed: `random` (mean degree 5), or `mesh` (a square grid, far
 * across). Of the ENTRIES classes of a row half lie on a walk from one node, half anywhere, or, with `near`,
 * all on the walk. `weighted`: lengths of .5 to 1.5.
 * Usage: bench_graph_sparse random|mesh NODES ENTRIES ROWS THREADS near|far unit|weighted
 * Prints one JSON object: seconds of opening and of the plan, milliseconds a row and thread (median of 3),
 * peak bytes a node of what is held beside the rows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../clock.h"
#include "space/frechet_i.h"

typedef struct problem {
    int64_t n, rows, entries;
    bool mesh, near, weighted;
    whet_space *space;
    whet_frechet *f;
    int64_t *observed, *first, *best;
    int32_t *column;
    double *p, open, plan, run;
    size_t peak;
} problem;

static whet_status open_graph(whet_ctx *ctx, problem *p) {
    whet_i_rng rng;
    whet_edges e = {.n_edges = p->mesh ? 2 * p->n : p->n * 5 / 2};
    whet_status status = WHET_OK;
    int64_t side = 1, m = 0;
    whet_i_rng_init(&rng, 1, 0);
    while ((side + 1) * (side + 1) <= p->n) side++;
    if (p->mesh) p->n = side * side;
    WHET_TRY_DONE(whet_i_names_numbered(ctx, p->n, &e.names));
    WHET_TRY_DONE(whet_i_alloc(ctx, e.n_edges, &e.from));
    WHET_TRY_DONE(whet_i_alloc(ctx, e.n_edges, &e.to));
    WHET_TRY_DONE(whet_i_alloc(ctx, e.n_edges, &e.length));
    for (int64_t v = 0; p->mesh && v < p->n; v++) {
        if (v % side) e.from[m] = v, e.to[m++] = v - 1;
        if (v >= side) e.from[m] = v, e.to[m++] = v - side;
    }
    for (; !p->mesh && m < e.n_edges; m++) {
        e.to[m] = m < p->n - 1 ? m + 1 : whet_i_rng_below(&rng, p->n);
        e.from[m] = m < p->n - 1 ? whet_i_rng_below(&rng, m + 1)
                                 : (e.to[m] + 1 + whet_i_rng_below(&rng, p->n - 1)) % p->n;
    }
    e.n_edges = m;
    for (int64_t i = 0; i < m; i++) e.length[i] = p->weighted ? .5 + whet_i_rng_uniform(&rng) : 1;
    const double begin = seconds(CLOCK_MONOTONIC);
    WHET_TRY_DONE(whet_i_space_from_graph(ctx, &e, &p->space));
    p->open = seconds(CLOCK_MONOTONIC) - begin;
done:
    whet_edges_destroy(ctx, &e);
    return status;
}

static whet_status make_rows(whet_ctx *ctx, problem *p) {
    whet_i_rng rng;
    const space_graph *g = &p->space->graph;
    whet_i_rng_init(&rng, 2, 0);
    WHET_TRY(whet_i_alloc(ctx, p->n, &p->observed));
    WHET_TRY(whet_i_alloc(ctx, p->rows + 1, &p->first));
    WHET_TRY(whet_i_alloc(ctx, p->rows, &p->best));
    WHET_TRY(whet_i_alloc(ctx, p->rows * p->entries, &p->column));
    WHET_TRY(whet_i_alloc(ctx, p->rows * p->entries, &p->p));
    for (int64_t v = 0; v < p->n; v++) p->observed[v] = v;
    for (int64_t i = 0, e = 0; i < p->rows; i++) {
        int64_t at = whet_i_rng_below(&rng, p->n);
        p->first[i] = e;
        while (e < p->first[i] + p->entries) {
            const bool any = !p->near && (e - p->first[i]) % 2;
            const int64_t v = any ? whet_i_rng_below(&rng, p->n) : at;
            bool again = false;
            for (int64_t b = p->first[i]; b < e; b++) again |= p->column[b] == v;
            at = g->neighbour[g->first[at] +
                              whet_i_rng_below(&rng, g->first[at + 1] - g->first[at])];
            if (again) continue;
            p->column[e] = (int32_t)v;
            p->p[e++] = whet_i_rng_uniform(&rng) + .01;
        }
    }
    p->first[p->rows] = p->rows * p->entries;
    return WHET_OK;
}

static whet_status bench(whet_ctx *ctx, problem *p) {
    enum { TIMES = 3 };
    double times[TIMES];
    size_t before;
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    opts.sparse = true;
    WHET_TRY(open_graph(ctx, p));
    WHET_TRY(make_rows(ctx, p));
    whet_ctx_memory(ctx, &before, NULL);
    double begin = seconds(CLOCK_MONOTONIC);
    WHET_TRY(whet_frechet_create(ctx, p->space, p->observed, p->n, &opts, &p->f));
    p->plan = seconds(CLOCK_MONOTONIC) - begin;
    const whet_sparse_rows rows = {p->first, p->column, p->p, p->rows};
    for (int i = 0; i < TIMES; i++) {
        begin = seconds(CLOCK_MONOTONIC);
        WHET_TRY(whet_frechet_run_sparse(ctx, p->f, &rows, p->best, NULL, NULL, NULL));
        times[i] = seconds(CLOCK_MONOTONIC) - begin;
    }
    p->run = median(times, TIMES);
    whet_ctx_memory(ctx, NULL, &p->peak);
    p->peak -= before;
    return WHET_OK;
}

int main(int argc, char **argv) {
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    whet_ctx *ctx;
    problem p = {0};
    if (argc != 8) {
        (void)fprintf(stderr,
                      "usage: %s random|mesh NODES ENTRIES ROWS THREADS near|far "
                      "unit|weighted\n",
                      argv[0]);
        return 2;
    }
    p.mesh = strcmp(argv[1], "mesh") == 0;
    p.n = strtoll(argv[2], NULL, 10);
    p.entries = strtoll(argv[3], NULL, 10);
    p.rows = strtoll(argv[4], NULL, 10);
    opts.threads = (int32_t)strtol(argv[5], NULL, 10);
    p.near = strcmp(argv[6], "near") == 0;
    p.weighted = strcmp(argv[7], "weighted") == 0;
    if (whet_ctx_create(&opts, &ctx) != WHET_OK) return 5;
    const whet_status status = bench(ctx, &p);
    if (status != WHET_OK)
        (void)fprintf(stderr, "%s\n", whet_error(ctx));
    else
        (void)printf(
            "{\"graph\": \"%s, %s\", \"nodes\": %lld, \"entries\": %lld, \"classes\": \"%s\", "
            "\"rows\": %lld, \"threads\": %d, \"method\": \"%s\", \"open_seconds\": %.2f, "
            "\"plan_seconds\": %.2f, \"ms_a_row_and_thread\": %.3f, "
            "\"bytes_a_node_and_thread\": %.1f}\n",
            argv[1], argv[7], (long long)p.n, (long long)p.entries, argv[6], (long long)p.rows,
            (int)opts.threads, whet_frechet_explain(p.f).method, p.open, p.plan,
            1e3 * p.run * (double)opts.threads / (double)p.rows,
            (double)p.peak / (double)opts.threads / (double)p.n);
    whet_frechet_destroy(ctx, p.f);
    whet_space_destroy(ctx, p.space);
    whet_i_free(ctx, p.observed);
    whet_i_free(ctx, p.first);
    whet_i_free(ctx, p.best);
    whet_i_free(ctx, p.column);
    whet_i_free(ctx, p.p);
    whet_ctx_destroy(ctx);
    return status == WHET_OK ? 0 : 1;
}
