/* SPDX-License-Identifier: Apache-2.0
 * Times whet_trial_run. Usage: bench_trial A.safetensors B.safetensors X.npy Y.npy RUNS THREADS
 * Prints one JSON object: seconds (median and least), processor seconds (median), losses and accuracies of
 * the ten shares. */
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

static void print_result(const whet_trial_result *r, double *times, double *work, int runs) {
    const double middle = median(times, runs);
    printf("{\"seconds\": %.6g, \"least\": %.6g, \"processor\": %.6g, \"losses\": [", middle,
           times[0], median(work, runs));
    for (int64_t i = 0; i < r->n_points; i++) printf("%s%.17g", i ? ", " : "", r->points[i].loss);
    printf("], \"accuracies\": [");
    for (int64_t i = 0; i < r->n_points; i++)
        printf("%s%.17g", i ? ", " : "", r->points[i].accuracy);
    printf("]}\n");
}

static whet_status measure(whet_ctx *ctx, const whet_trial_job *job, int runs) {
    double times[RUNS_MAX], work[RUNS_MAX];
    whet_trial_result r = {0};
    for (int i = 0; i < runs; i++) {
        whet_trial_result_free(ctx, &r);
        const double begin = seconds(CLOCK_MONOTONIC);
        const double worked = seconds(CLOCK_PROCESS_CPUTIME_ID);
        const whet_status status = whet_trial_run(ctx, job, &r);
        times[i] = seconds(CLOCK_MONOTONIC) - begin;
        work[i] = seconds(CLOCK_PROCESS_CPUTIME_ID) - worked;
        if (status != WHET_OK) return status;
    }
    print_result(&r, times, work, runs);
    whet_trial_result_free(ctx, &r);
    return WHET_OK;
}

int main(int argc, char **argv) {
    static network a, b;
    whet_ctx *ctx;
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    whet_tensor x = {0}, y = {0};
    whet_trial_job job = WHET_TRIAL_JOB_INIT;
    const int runs = argc == 7 ? atoi(argv[5]) : 0;
    if (runs < 1 || runs > RUNS_MAX) {
        (void)fprintf(stderr,
                      "usage: bench_trial A.safetensors B.safetensors X.npy Y.npy RUNS THREADS\n");
        return 2;
    }
    opts.threads = atoi(argv[6]);
    if (whet_ctx_create(&opts, &ctx) != WHET_OK) return 1;
    whet_status status = read_network(ctx, argv[1], &a);
    if (status == WHET_OK) status = read_network(ctx, argv[2], &b);
    if (status == WHET_OK) status = whet_array_read_as(ctx, argv[3], WHET_F32, 2, false, &x);
    if (status == WHET_OK) status = whet_array_read_as(ctx, argv[4], WHET_I32, 1, false, &y);
    const whet_mode_data data = {.x = x.data,
                                 .labels = y.data,
                                 .n = x.shape[0],
                                 .height = 1,
                                 .width = 1,
                                 .channels = x.shape[1]};
    job.arch = "mlp";
    job.buyer = &a.weights;
    job.seller = &b.weights;
    job.select = &data;
    if (status == WHET_OK) status = measure(ctx, &job, runs);
    if (status != WHET_OK) (void)fprintf(stderr, "%s\n", whet_error(ctx));
    whet_tensor_destroy(ctx, &x);
    whet_tensor_destroy(ctx, &y);
    whet_safetensors_close(ctx, a.file);
    whet_safetensors_close(ctx, b.file);
    whet_ctx_destroy(ctx);
    return status != WHET_OK;
}
