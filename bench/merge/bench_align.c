/* SPDX-License-Identifier: Apache-2.0
 * Times whet_align_weights. Usage: bench_align A.safetensors B.safetensors RUNS THREADS
 * Prints one JSON object: seconds (median and least), processor seconds (median), the objective, visits. */
#include <stdio.h>

#include "../clock.h"
#include "whet/whet.h"

enum { RUNS_MAX = 100, TENSORS_MAX = 512 };

typedef struct network {
    whet_safetensors *file;
    whet_named_tensor items[TENSORS_MAX];
    whet_weights weights;
} network;

static whet_status read_network(whet_ctx *ctx, const char *path, network *n) {
    const whet_status status = whet_safetensors_open(ctx, path, &n->file);
    if (status != WHET_OK) return status;
    n->weights.items = n->items;
    for (int64_t i = 0; i < whet_safetensors_count(n->file) && i < TENSORS_MAX; i++) {
        n->items[i].name = whet_safetensors_name(n->file, i).ptr;
        (void)whet_safetensors_find(n->file, n->items[i].name, &n->items[i].tensor);
        n->weights.n++;
    }
    return WHET_OK;
}

static whet_status measure(whet_ctx *ctx, const network *a, const network *b, int runs) {
    double times[RUNS_MAX], work[RUNS_MAX], objective = 0;
    int64_t visits = 0;
    whet_permutation_spec *spec = NULL;
    whet_status status = whet_permutation_spec_for(ctx, "auto", a->file, NULL, &spec);
    for (int i = 0; i < runs && status == WHET_OK; i++) {
        whet_alignment *found = NULL;
        const double begin = seconds(CLOCK_MONOTONIC);
        const double worked = seconds(CLOCK_PROCESS_CPUTIME_ID);
        status = whet_align_weights(ctx, spec, &a->weights, &b->weights, NULL, &found);
        times[i] = seconds(CLOCK_MONOTONIC) - begin;
        work[i] = seconds(CLOCK_PROCESS_CPUTIME_ID) - worked;
        if (status != WHET_OK) break;
        objective = whet_alignment_objective(found);
        (void)whet_alignment_visits(found, &visits);
        whet_alignment_destroy(ctx, found);
    }
    whet_permutation_spec_destroy(ctx, spec);
    if (status != WHET_OK) return status;
    const double middle = median(times, runs);
    printf("{\"seconds\": %.6g, \"least\": %.6g, \"processor\": %.6g, \"objective\": %.17g, "
           "\"visits\": %lld}\n",
           middle, times[0], median(work, runs), objective, (long long)visits);
    return WHET_OK;
}

int main(int argc, char **argv) {
    static network a, b;
    whet_ctx *ctx;
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    const int runs = argc == 5 ? atoi(argv[3]) : 0;
    if (runs < 1 || runs > RUNS_MAX) {
        (void)fprintf(stderr, "usage: bench_align A.safetensors B.safetensors RUNS THREADS\n");
        return 2;
    }
    opts.threads = atoi(argv[4]);
    if (whet_ctx_create(&opts, &ctx) != WHET_OK) return 1;
    whet_status status = read_network(ctx, argv[1], &a);
    if (status == WHET_OK) status = read_network(ctx, argv[2], &b);
    if (status == WHET_OK) status = measure(ctx, &a, &b, runs);
    if (status != WHET_OK) (void)fprintf(stderr, "%s\n", whet_error(ctx));
    whet_safetensors_close(ctx, a.file);
    whet_safetensors_close(ctx, b.file);
    whet_ctx_destroy(ctx);
    return status != WHET_OK;
}
