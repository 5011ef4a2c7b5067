/* SPDX-License-Identifier: Apache-2.0
 * Times the Frechet prediction over random trees and leaves its inputs and answers in a folder, so
 * that bench/peers/frechet_numpy.py and bench/space/dense.py can time the dense product on the same ones.
 * Usage: bench_frechet NODES CLASSES ROWS THREADS FOLDER; prints one JSON object (median of 25). */
#include <stdio.h>
#include <stdlib.h>

#include "../clock.h"
#include "dump.h"
#include "space/space_i.h"

typedef struct problem {
    int64_t n, k, rows;
    int64_t *parent, *observed, *best;
    double *probs;
} problem;

/* Each node hangs from an earlier one; classes anywhere; peaked rows. */
static whet_status make(whet_ctx *ctx, problem *p) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, 1, 0);
    WHET_TRY(whet_i_alloc(ctx, p->n, &p->parent));
    WHET_TRY(whet_i_alloc(ctx, p->n, &p->observed));
    WHET_TRY(whet_i_alloc(ctx, p->rows, &p->best));
    WHET_TRY(whet_i_alloc(ctx, p->rows * p->k, &p->probs));
    for (int64_t v = 0; v < p->n; v++) {
        p->parent[v] = v ? whet_i_rng_below(&rng, v) : -1;
        p->observed[v] = v;
    }
    whet_i_rng_shuffle(&rng, p->observed, p->n);
    for (int64_t i = 0; i < p->rows * p->k; i++) {
        const double x = whet_i_rng_uniform(&rng);
        /* Values that f32 holds: the peer works in f32. */
        p->probs[i] = (double)(float)(x * x * x * x);
    }
    return WHET_OK;
}

static whet_status measure(whet_ctx *ctx, const problem *p, double *middle) {
    enum { TIMES = 25 };
    double times[TIMES];
    whet_space *space = NULL;
    whet_frechet *f = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_space_from_tree(ctx, NULL, p->n, p->parent, NULL, true, &space));
    WHET_TRY_DONE(whet_frechet_create(ctx, space, p->observed, p->k, NULL, &f));
    for (int i = 0; i < TIMES; i++) {
        const double start = seconds(CLOCK_MONOTONIC);
        WHET_TRY_DONE(whet_frechet_run(ctx, f, p->probs, p->rows, p->best, NULL, NULL, NULL));
        times[i] = seconds(CLOCK_MONOTONIC) - start;
    }
    *middle = median(times, TIMES);
done:
    whet_frechet_destroy(ctx, f);
    whet_space_destroy(ctx, space);
    return status;
}

int main(int argc, char **argv) {
    if (argc != 6) {
        (void)fprintf(stderr, "usage: bench_frechet NODES CLASSES ROWS THREADS FOLDER\n");
        return 2;
    }
    problem p = {.n = atoll(argv[1]), .k = atoll(argv[2]), .rows = atoll(argv[3])};
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    opts.threads = atoi(argv[4]);
    whet_ctx *ctx = NULL;
    double middle = 0;
    whet_status status = whet_ctx_create(&opts, &ctx);
    if (status != WHET_OK) return whet_status_exit_code(status);
    status = make(ctx, &p);
    if (status == WHET_OK) status = measure(ctx, &p, &middle);
    bool dumped = false;
    if (status == WHET_OK)
        dumped = dump(argv[5], "parent.i64", p.parent, (size_t)p.n * 8) &&
                 dump(argv[5], "observed.i64", p.observed, (size_t)p.k * 8) &&
                 dump(argv[5], "probs.f64", p.probs, (size_t)(p.rows * p.k) * 8) &&
                 dump(argv[5], "best.i64", p.best, (size_t)p.rows * 8);
    if (dumped)
        (void)printf("{\"nodes\": %lld, \"classes\": %lld, \"rows\": %lld, \"ms\": %.4f}\n",
                     (long long)p.n, (long long)p.k, (long long)p.rows, middle * 1e3);
    else
        (void)fprintf(stderr, "bench_frechet: %s\n", whet_error(ctx));
    whet_i_free(ctx, p.parent);
    whet_i_free(ctx, p.observed);
    whet_i_free(ctx, p.best);
    whet_i_free(ctx, p.probs);
    whet_ctx_destroy(ctx);
    return dumped ? 0 : 4;
}
