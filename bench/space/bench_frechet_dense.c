/* SPDX-License-Identifier: Apache-2.0
 * Times Frechet means over a matrix (distances of random points in the plane) or an embedding (random
 * vectors), beside the bare f32 product of the same shape, in turn; leaves arrays and answers in a folder
 * for bench/space/dense.py to time its peer on the same ones.
 * Usage: bench_frechet_dense matrix|embedding NODES CLASSES DIM ROWS THREADS FOLDER; one JSON object. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "space/space_i.h"
#include "tensor/tensor_i.h"

enum { TIMES = 9 };

typedef struct problem {
    bool matrix;
    int64_t n, k, dim, rows;
    float *data; /* [n, n] or [n, dim] */
    double *probs;
    int64_t *observed, *best;
    float *a, *b, *c; /* the bare product: [n, inner] [inner, rows] */
    double whet, product;
    whet_frechet_plan plan;
} problem;

static double seconds(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static whet_status make(whet_ctx *ctx, problem *p) {
    const int64_t wide = p->matrix ? p->n : p->dim, inner = p->matrix ? p->k : p->dim;
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

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static whet_status measure(whet_ctx *ctx, problem *p) {
    double ours[TIMES], bare[TIMES];
    const int64_t inner = p->matrix ? p->k : p->dim;
    whet_space *space = NULL;
    whet_frechet *f = NULL;
    whet_status status = WHET_OK;
    whet_tensor t = {p->data, WHET_F32, 2, {p->n, p->matrix ? p->n : p->dim}};
    WHET_TRY_DONE(p->matrix ? whet_i_space_from_matrix(ctx, NULL, &t, false, &space)
                            : whet_i_space_from_embedding(ctx, NULL, &t, false, false, &space));
    WHET_TRY_DONE(whet_frechet_create(ctx, space, p->observed, p->k, NULL, &f));
    p->plan = whet_frechet_explain(f);
    for (int i = 0; i < TIMES; i++) {
        double begin = seconds();
        WHET_TRY_DONE(whet_frechet_run(ctx, f, p->probs, p->rows, p->best, NULL, NULL, NULL));
        ours[i] = seconds() - begin;
        begin = seconds();
        WHET_TRY_DONE(whet_i_matmul_f32(ctx, false, false, p->n, p->rows, inner, p->a, inner, p->b,
                                        p->rows, 0, p->c, p->rows));
        bare[i] = seconds() - begin;
    }
    qsort(ours, TIMES, sizeof *ours, ascending);
    qsort(bare, TIMES, sizeof *bare, ascending);
    p->whet = ours[TIMES / 2];
    p->product = bare[TIMES / 2];
done:
    whet_frechet_destroy(ctx, f);
    whet_space_destroy(ctx, space);
    return status;
}

static bool dump(const char *folder, const char *name, const void *bytes, size_t size) {
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file) return false;
    const bool whole = fwrite(bytes, 1, size, file) == size;
    return fclose(file) == 0 && whole;
}

static bool leave(const problem *p, const char *folder) {
    const size_t wide = (size_t)(p->matrix ? p->n : p->dim);
    return dump(folder, "data.f32", p->data, (size_t)p->n * wide * sizeof *p->data) &&
           dump(folder, "probs.f64", p->probs, (size_t)(p->rows * p->k) * sizeof *p->probs) &&
           dump(folder, "observed.i64", p->observed, (size_t)p->k * sizeof *p->observed) &&
           dump(folder, "best.i64", p->best, (size_t)p->rows * sizeof *p->best);
}

int main(int argc, char **argv) {
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    whet_ctx *ctx;
    problem p = {0};
    if (argc != 8) {
        (void)fprintf(stderr, "usage: %s matrix|embedding NODES CLASSES DIM ROWS THREADS FOLDER\n",
                      argv[0]);
        return 2;
    }
    p.matrix = strcmp(argv[1], "matrix") == 0;
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
                 "\"thread_mb\": %.1f}\n",
                 1e3 * p.whet, 1e3 * p.product, p.plan.method, (double)p.plan.plan_bytes / 1e6,
                 (double)p.plan.thread_bytes / 1e6);
    whet_i_free(ctx, p.data);
    whet_i_free(ctx, p.probs);
    whet_i_free(ctx, p.observed);
    whet_i_free(ctx, p.best);
    whet_i_free(ctx, p.a);
    whet_i_free(ctx, p.b);
    whet_i_free(ctx, p.c);
    whet_ctx_destroy(ctx);
    return 0;
}
