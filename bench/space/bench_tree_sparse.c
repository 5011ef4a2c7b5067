/* SPDX-License-Identifier: Apache-2.0
 * Times sparse rows on a tree: `random:N` (each node hangs from an earlier one), or a SPACE of kind
 * tree; every node observed, rows of ENTRIES classes of which half are near each other (children and
 * grandchildren of one node's ancestors), as a classifier's best guesses are.
 * Usage: bench_tree_sparse TREE ENTRIES ROWS THREADS [leaves]; with `leaves` only they are candidates.
 * Prints one JSON object: seconds of opening, of the
 * plan and of the rows (median of 5), bytes a node. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../clock.h"
#include "space/frechet_i.h"

typedef struct problem {
    whet_space *space;
    whet_frechet *f;
    int64_t n, rows, entries;
    int64_t *observed, *first, *best;
    int32_t *column;
    double *p;
    double open, plan, run;
    bool leaves;
    size_t bytes;
} problem;

static whet_status open_tree(whet_ctx *ctx, const char *what, problem *p) {
    if (strncmp(what, "random:", 7) != 0) {
        const double begin = seconds(CLOCK_MONOTONIC);
        WHET_TRY(whet_space_open(ctx, what, NULL, &p->space));
        p->open = seconds(CLOCK_MONOTONIC) - begin;
        p->n = whet_space_size(p->space);
        return WHET_OK;
    }
    whet_i_rng rng;
    int64_t *parent;
    whet_i_rng_init(&rng, 1, 0);
    p->n = strtoll(what + 7, NULL, 10);
    WHET_TRY(whet_i_alloc(ctx, p->n, &parent));
    for (int64_t v = 0; v < p->n; v++) parent[v] = v ? whet_i_rng_below(&rng, v) : -1;
    const double begin = seconds(CLOCK_MONOTONIC);
    const whet_status status =
        whet_i_space_from_tree(ctx, NULL, p->n, parent, NULL, true, &p->space);
    p->open = seconds(CLOCK_MONOTONIC) - begin;
    whet_i_free(ctx, parent);
    return status;
}

/* Half near a node: its ancestors up to three above, and nodes by number beside it; half anywhere. */
static whet_status make_rows(whet_ctx *ctx, problem *p) {
    whet_i_rng rng;
    const space_tree *t = &p->space->tree;
    whet_i_rng_init(&rng, 2, 0);
    WHET_TRY(whet_i_alloc(ctx, p->n, &p->observed));
    WHET_TRY(whet_i_alloc(ctx, p->rows + 1, &p->first));
    WHET_TRY(whet_i_alloc(ctx, p->rows, &p->best));
    WHET_TRY(whet_i_alloc(ctx, p->rows * p->entries, &p->column));
    WHET_TRY(whet_i_alloc(ctx, p->rows * p->entries, &p->p));
    for (int64_t v = 0; v < p->n; v++) p->observed[v] = v;
    for (int64_t i = 0, e = 0; i < p->rows; i++) {
        int64_t near = whet_i_rng_below(&rng, p->n);
        p->first[i] = e;
        for (int64_t j = 0; j < p->entries; j++, e++) {
            const int64_t v = j % 2 ? whet_i_rng_below(&rng, p->n) : near;
            bool again = false;
            for (int64_t b = p->first[i]; b < e; b++) again |= p->column[b] == v;
            p->column[e] = (int32_t)(again ? (v + j + 1) % p->n : v);
            p->p[e] = whet_i_rng_uniform(&rng) + .01;
            near = t->parent[near] >= 0 ? t->parent[near] : near;
        }
    }
    p->first[p->rows] = p->rows * p->entries;
    return WHET_OK;
}

static whet_status measure(whet_ctx *ctx, problem *p) {
    enum { TIMES = 5 };
    double times[TIMES];
    size_t before, after;
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    opts.sparse = true;
    opts.candidates = p->leaves ? WHET_CANDIDATES_LEAVES : WHET_CANDIDATES_ALL;
    whet_ctx_memory(ctx, &before, NULL);
    double begin = seconds(CLOCK_MONOTONIC);
    WHET_TRY(whet_frechet_create(ctx, p->space, p->observed, p->n, &opts, &p->f));
    p->plan = seconds(CLOCK_MONOTONIC) - begin;
    whet_ctx_memory(ctx, &after, NULL);
    p->bytes += after - before;
    const whet_sparse_rows rows = {p->first, p->column, p->p, p->rows};
    for (int i = 0; i < TIMES; i++) {
        begin = seconds(CLOCK_MONOTONIC);
        WHET_TRY(whet_frechet_run_sparse(ctx, p->f, &rows, p->best, NULL, NULL, NULL));
        times[i] = seconds(CLOCK_MONOTONIC) - begin;
    }
    p->run = median(times, TIMES);
    return WHET_OK;
}

static whet_status bench(whet_ctx *ctx, const char *what, problem *p) {
    size_t before, after;
    whet_ctx_memory(ctx, &before, NULL);
    WHET_TRY(open_tree(ctx, what, p));
    whet_ctx_memory(ctx, &after, NULL);
    p->bytes = after - before;
    WHET_TRY(make_rows(ctx, p));
    return measure(ctx, p);
}

int main(int argc, char **argv) {
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    whet_ctx *ctx;
    problem p = {0};
    p.leaves = argc == 6 && strcmp(argv[5], "leaves") == 0;
    if (argc != 5 && !p.leaves) {
        (void)fprintf(stderr, "usage: %s TREE ENTRIES ROWS THREADS [leaves]\n", argv[0]);
        return 2;
    }
    p.entries = strtoll(argv[2], NULL, 10);
    p.rows = strtoll(argv[3], NULL, 10);
    opts.threads = (int32_t)strtol(argv[4], NULL, 10);
    if (whet_ctx_create(&opts, &ctx) != WHET_OK) return 5;
    const whet_status status = bench(ctx, argv[1], &p);
    if (status != WHET_OK)
        (void)fprintf(stderr, "%s\n", whet_error(ctx));
    else
        (void)printf("{\"nodes\": %lld, \"entries\": %lld, \"rows\": %lld, \"threads\": %d, "
                     "\"method\": \"%s\", \"open_seconds\": %.3f, \"plan_seconds\": %.3f, "
                     "\"microseconds_a_row_and_thread\": %.2f, \"bytes_a_node\": %.1f}\n",
                     (long long)p.n, (long long)p.entries, (long long)p.rows, (int)opts.threads,
                     whet_frechet_explain(p.f).method, p.open, p.plan,
                     1e6 * p.run * (double)opts.threads / (double)p.rows,
                     (double)p.bytes / (double)p.n);
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
