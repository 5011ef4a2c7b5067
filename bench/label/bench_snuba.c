/* SPDX-License-Identifier: Apache-2.0
 * Times whet_snuba on one of the published runs (an .npz with X, y, idx_labeled, idx_unlabeled).
 * Usage: bench_snuba RUN.npz ITERATIONS CARDINALITY multi|one-vs-rest reference|corrected THREADS
 * Prints one JSON object: seconds (median and least of 7), processor seconds (median), rules. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../clock.h"
#include "whet/whet.h"

enum { RUNS = 7 };

typedef struct problem {
    float *x;
    int32_t *labels;
    int64_t n, d;
    whet_names *classes;
} problem;

static whet_status key_of(whet_ctx *ctx, const char *file, const char *key, whet_dtype dtype,
                          whet_tensor *out) {
    char spec[1024];
    whet_tensor t = {0};
    (void)snprintf(spec, sizeof spec, "%s:%s", file, key);
    whet_status status = whet_array_read(ctx, spec, &t);
    if (status == WHET_OK) status = whet_tensor_convert(ctx, &t, dtype, out);
    whet_tensor_destroy(ctx, &t);
    return status;
}

/* Labelled rows first, then the unlabelled ones. */
static whet_status read_problem(whet_ctx *ctx, const char *file, problem *p) {
    whet_tensor x = {0}, y = {0}, at[2] = {{0}, {0}};
    whet_status status = key_of(ctx, file, "X", WHET_F32, &x);
    if (status == WHET_OK) status = key_of(ctx, file, "y", WHET_I32, &y);
    if (status == WHET_OK) status = key_of(ctx, file, "idx_labeled", WHET_I64, &at[0]);
    if (status == WHET_OK) status = key_of(ctx, file, "idx_unlabeled", WHET_I64, &at[1]);
    if (status == WHET_OK) status = whet_names_create(ctx, &p->classes);
    if (status != WHET_OK) return status;
    p->d = x.shape[1];
    p->n = at[0].shape[0] + at[1].shape[0];
    p->x = malloc(sizeof *p->x * (size_t)(p->n * p->d));
    p->labels = malloc(sizeof *p->labels * (size_t)p->n);
    if (!p->x || !p->labels) return WHET_ERR_NOMEM;
    int32_t k = 0;
    for (int64_t s = 0, i = 0; s < 2; s++)
        for (int64_t r = 0; r < at[s].shape[0]; r++, i++) {
            const int64_t row = ((const int64_t *)at[s].data)[r];
            memcpy(p->x + i * p->d, (const float *)x.data + row * p->d,
                   sizeof *p->x * (size_t)p->d);
            p->labels[i] = s ? -1 : ((const int32_t *)y.data)[row];
            k = p->labels[i] + 1 > k ? p->labels[i] + 1 : k;
        }
    for (int32_t c = 0; c < k && status == WHET_OK; c++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%d", c);
        status = whet_names_add(ctx, p->classes, whet_str_from(name), NULL);
    }
    whet_tensor_destroy(ctx, &x);
    whet_tensor_destroy(ctx, &y);
    whet_tensor_destroy(ctx, &at[0]);
    whet_tensor_destroy(ctx, &at[1]);
    return status;
}

static int by_value(const void *left, const void *right) {
    const double *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

static whet_status time_runs(whet_ctx *ctx, const problem *p, const whet_snuba_opts *opts) {
    const whet_synth_input input = {p->x, p->n, p->d, p->classes, p->labels, 0};
    double took[RUNS], used[RUNS];
    int64_t m = 0;
    for (int r = 0; r < RUNS; r++) {
        whet_rules *rules;
        const double begin = seconds(CLOCK_MONOTONIC), worked = seconds(CLOCK_PROCESS_CPUTIME_ID);
        const whet_status status = whet_snuba(ctx, &input, opts, &rules, NULL, NULL);
        if (status != WHET_OK) return status;
        took[r] = seconds(CLOCK_MONOTONIC) - begin;
        used[r] = seconds(CLOCK_PROCESS_CPUTIME_ID) - worked;
        m = whet_rules_count(rules);
        whet_rules_destroy(ctx, rules);
    }
    qsort(took, RUNS, sizeof *took, by_value);
    qsort(used, RUNS, sizeof *used, by_value);
    printf("{\"seconds\": %.5f, \"least\": %.5f, \"cpu\": %.5f, \"rules\": %lld}\n", took[RUNS / 2],
           took[0], used[RUNS / 2], (long long)m);
    return WHET_OK;
}

int main(int argc, char **argv) {
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    whet_snuba_opts how = WHET_SNUBA_OPTS_INIT;
    whet_ctx *ctx = NULL;
    problem p = {0};
    if (argc != 7) {
        (void)fprintf(stderr, "usage: bench_snuba RUN.npz ITERATIONS CARDINALITY "
                              "multi|one-vs-rest reference|corrected THREADS\n");
        return 2;
    }
    how.iterations = atoi(argv[2]);
    how.cardinality = atoi(argv[3]);
    how.form = strcmp(argv[4], "multi") ? WHET_SYNTH_ONE_VS_REST : WHET_SYNTH_MULTI;
    how.reference = strcmp(argv[5], "reference") == 0;
    opts.threads = atoi(argv[6]);
    if (whet_ctx_create(&opts, &ctx) != WHET_OK) return 1;
    whet_status status = read_problem(ctx, argv[1], &p);
    if (status == WHET_OK) status = time_runs(ctx, &p, &how);
    if (status != WHET_OK) (void)fprintf(stderr, "bench_snuba: %s\n", whet_error(ctx));
    whet_names_destroy(ctx, p.classes);
    free(p.x);
    free(p.labels);
    whet_ctx_destroy(ctx);
    return status != WHET_OK;
}
