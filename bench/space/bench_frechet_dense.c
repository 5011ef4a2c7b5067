/* SPDX-License-Identifier: Apache-2.0
 * Times Frechet means over a matrix (distances of random points in the plane), an embedding (random
 * vectors) or a graph (random, of mean degree 5), beside the bare f32 product of the same shape, in turn;
 * leaves arrays and answers in a folder for bench/space/dense.py to time its peer on the same ones.
 * Usage: bench_frechet_dense matrix|embedding|graph NODES CLASSES DIM ROWS THREADS FOLDER
 * Prints one JSON object. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../clock.h"
#include "dump.h"
#include "space/space_i.h"
#include "tensor/tensor_i.h"

enum { TIMES = 9 };

typedef struct problem {
    bool matrix, graph;
    int64_t edges;
    int32_t *ends; /* [edges, 2] */
    double plan_seconds;
    size_t held;
    int64_t n, k, dim, rows;
    float *data; /* [n, n] or [n, dim] */
    double *probs;
    int64_t *observed, *best;
    float *a, *b, *c; /* the bare product: [n, inner] [inner, rows] */
    double whet, product;
    whet_frechet_plan plan;
} problem;

static whet_status make(whet_ctx *ctx, problem *p) {
    const int64_t wide = p->graph ? 0 : p->matrix ? p->n : p->dim;
    const int64_t inner = p->matrix || p->graph ? p->k : p->dim;
    whet_i_rng rng;
    whet_i_rng_init(&rng, 1, 0);
    WHET_TRY(whet_i_alloc(ctx, p->n * wide, &p->data));
    WHET_TRY(whet_i_alloc(ctx, p->rows * p->k, &p->probs));
    WHET_TRY(whet_i_alloc(ctx, p->n, &p->observed));
    WHET_TRY(whet_i_alloc(ctx, p->rows, &p->best));
    WHET_TRY(whet_i_alloc(ctx, p->n * inner, &p->a));
    WHET_TRY(whet_i_alloc(ctx, inner * p->rows, &p->b));
    WHET_TRY(whet_i_alloc(ctx, p->n * p->rows, &p->c));
    if (p->matrix) {
        double *at;
        WHET_TRY(whet_i_alloc(ctx, 2 * p->n, &at));
        for (int64_t i = 0; i < 2 * p->n; i++) at[i] = whet_i_rng_uniform(&rng);
        for (int64_t i = 0; i < p->n; i++)
            for (int64_t j = 0; j < p->n; j++)
                p->data[i * p->n + j] =
                    (float)hypot(at[2 * i] - at[2 * j], at[2 * i + 1] - at[2 * j + 1]);
        whet_i_free(ctx, at);
    } else if (p->graph) {
        p->edges = p->n * 5 / 2;
        WHET_TRY(whet_i_alloc(ctx, 2 * p->edges, &p->ends));
        for (int64_t e = 0; e < p->edges; e++) { /* a tree first, so that it is connected */
            const int64_t to = e < p->n - 1 ? e + 1 : whet_i_rng_below(&rng, p->n);
            const int64_t from = e < p->n - 1 ? whet_i_rng_below(&rng, to)
                                              : (to + 1 + whet_i_rng_below(&rng, p->n - 1)) % p->n;
            p->ends[2 * e] = (int32_t)from;
            p->ends[2 * e + 1] = (int32_t)to;
        }
    } else {
        for (int64_t i = 0; i < p->n * p->dim; i++) p->data[i] = (float)whet_i_rng_normal(&rng);
    }
    for (int64_t v = 0; v < p->n; v++) p->observed[v] = v;
    whet_i_rng_shuffle(&rng, p->observed, p->n);
    for (int64_t i = 0; i < p->rows * p->k; i++)
        p->probs[i] = (double)(float)pow(whet_i_rng_uniform(&rng), 16);
    for (int64_t i = 0; i < p->n * inner; i++) p->a[i] = (float)whet_i_rng_uniform(&rng);
    for (int64_t i = 0; i < inner * p->rows; i++) p->b[i] = (float)whet_i_rng_uniform(&rng);
    return WHET_OK;
}

static whet_status open_graph(whet_ctx *ctx, const problem *p, whet_space **out) {
    whet_edges e = {.n_edges = p->edges};
    whet_status status = WHET_OK;
    char name[24];
    WHET_TRY_DONE(whet_names_create(ctx, &e.names));
    for (int64_t v = 0; v < p->n; v++) {
        (void)snprintf(name, sizeof name, "%lld", (long long)v);
        WHET_TRY_DONE(whet_names_add(ctx, e.names, whet_str_from(name), NULL));
    }
    WHET_TRY_DONE(whet_i_alloc(ctx, e.n_edges, &e.from));
    WHET_TRY_DONE(whet_i_alloc(ctx, e.n_edges, &e.to));
    WHET_TRY_DONE(whet_i_alloc(ctx, e.n_edges, &e.length));
    for (int64_t i = 0; i < e.n_edges; i++) {
        e.from[i] = p->ends[2 * i];
        e.to[i] = p->ends[2 * i + 1];
        e.length[i] = 1;
    }
    status = whet_i_space_from_graph(ctx, &e, out);
done:
    whet_edges_destroy(ctx, &e);
    return status;
}

static whet_status measure(whet_ctx *ctx, problem *p) {
    double ours[TIMES], bare[TIMES];
    const int64_t inner = p->matrix || p->graph ? p->k : p->dim;
    size_t before, after;
    whet_space *space = NULL;
    whet_frechet *f = NULL;
    whet_status status = WHET_OK;
    whet_tensor t = {p->data, WHET_F32, 2, {p->n, p->matrix ? p->n : p->dim}};
    whet_ctx_memory(ctx, &before, NULL);
    WHET_TRY_DONE(
        p->graph    ? open_graph(ctx, p, &space)
        : p->matrix ? whet_i_space_from_matrix(ctx, NULL, &t, false, &space)
                    : whet_i_space_from_embedding(ctx, NULL, &t, false, MEASURE_EUCLIDEAN, &space));
    const double start = seconds(CLOCK_MONOTONIC);
    WHET_TRY_DONE(whet_frechet_create(ctx, space, p->observed, p->k, NULL, &f));
    p->plan_seconds = seconds(CLOCK_MONOTONIC) - start;
    whet_ctx_memory(ctx, &after, NULL);
    p->held = after - before;
    p->plan = whet_frechet_explain(f);
    for (int i = 0; i < TIMES; i++) {
        double begin = seconds(CLOCK_MONOTONIC);
        WHET_TRY_DONE(whet_frechet_run(ctx, f, p->probs, p->rows, p->best, NULL, NULL, NULL));
        ours[i] = seconds(CLOCK_MONOTONIC) - begin;
        begin = seconds(CLOCK_MONOTONIC);
        WHET_TRY_DONE(whet_i_matmul_f32(ctx, false, false, p->n, p->rows, inner, p->a, inner, p->b,
                                        p->rows, 0, p->c, p->rows));
        bare[i] = seconds(CLOCK_MONOTONIC) - begin;
    }
    p->whet = median(ours, TIMES);
    p->product = median(bare, TIMES);
done:
    whet_frechet_destroy(ctx, f);
    whet_space_destroy(ctx, space);
    return status;
}

static bool leave(const problem *p, const char *folder) {
    const size_t wide = (size_t)(p->graph ? 0 : p->matrix ? p->n : p->dim);
    return (!p->graph ||
            dump(folder, "ends.i32", p->ends, (size_t)p->edges * 2 * sizeof *p->ends)) &&
           dump(folder, "data.f32", p->data, (size_t)p->n * wide * sizeof *p->data) &&
           dump(folder, "probs.f64", p->probs, (size_t)(p->rows * p->k) * sizeof *p->probs) &&
           dump(folder, "observed.i64", p->observed, (size_t)p->k * sizeof *p->observed) &&
           dump(folder, "best.i64", p->best, (size_t)p->rows * sizeof *p->best);
}

int main(int argc, char **argv) {
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    whet_ctx *ctx;
    problem p = {0};
    if (argc != 8) {
        (void)fprintf(stderr,
                      "usage: %s matrix|embedding|graph NODES CLASSES DIM ROWS THREADS FOLDER\n",
                      argv[0]);
        return 2;
    }
    p.matrix = strcmp(argv[1], "matrix") == 0;
    p.graph = strcmp(argv[1], "graph") == 0;
    p.n = strtoll(argv[2], NULL, 10);
    p.k = strtoll(argv[3], NULL, 10);
    p.dim = strtoll(argv[4], NULL, 10);
    p.rows = strtoll(argv[5], NULL, 10);
    opts.threads = (int32_t)strtol(argv[6], NULL, 10);
    if (whet_ctx_create(&opts, &ctx) != WHET_OK) return 5;
    whet_status status = make(ctx, &p);
    if (status == WHET_OK) status = measure(ctx, &p);
    if (status != WHET_OK || !leave(&p, argv[7])) {
        (void)fprintf(stderr, "%s\n", whet_error(ctx));
        return 1;
    }
    (void)printf("{\"whet_ms\": %.3f, \"product_ms\": %.3f, \"method\": \"%s\", \"plan_mb\": %.1f, "
                 "\"thread_mb\": %.1f, \"plan_seconds\": %.2f, \"space_and_plan_mb\": %.1f}\n",
                 1e3 * p.whet, 1e3 * p.product, p.plan.method, (double)p.plan.plan_bytes / 1e6,
                 (double)p.plan.thread_bytes / 1e6, p.plan_seconds, (double)p.held / 1e6);
    whet_i_free(ctx, p.data);
    whet_i_free(ctx, p.ends);
    whet_i_free(ctx, p.probs);
    whet_i_free(ctx, p.observed);
    whet_i_free(ctx, p.best);
    whet_i_free(ctx, p.a);
    whet_i_free(ctx, p.b);
    whet_i_free(ctx, p.c);
    whet_ctx_destroy(ctx);
    return 0;
}
