/* SPDX-License-Identifier: Apache-2.0
 * Times whet_assign on a matrix. Usage: bench_assignment COSTS.npy min|max RUNS
 * Prints one JSON object: seconds (median and least), the sum. */
#include <stdio.h>
#include <string.h>

#include "../clock.h"
#include "whet/whet.h"

enum { RUNS_MAX = 100 };

static int measure(whet_ctx *ctx, const whet_tensor *costs, bool maximize, int runs) {
    double times[RUNS_MAX], sum = 0;
    int64_t *column = malloc(sizeof *column * (size_t)(costs->shape[0] + 1));
    const whet_assignment out = {.column = column, .objective = &sum};
    whet_status status = column ? WHET_OK : WHET_ERR_NOMEM;
    for (int i = 0; i < runs && status == WHET_OK; i++) {
        const double begin = seconds(CLOCK_MONOTONIC);
        status = whet_assign(ctx, costs, maximize, &out);
        times[i] = seconds(CLOCK_MONOTONIC) - begin;
    }
    free(column);
    if (status != WHET_OK) return 1;
    const double middle = median(times, runs);
    printf("{\"seconds\": %.6g, \"least\": %.6g, \"sum\": %.17g}\n", middle, times[0], sum);
    return 0;
}

int main(int argc, char **argv) {
    whet_ctx *ctx;
    whet_tensor costs = {0};
    const int runs = argc == 4 ? atoi(argv[3]) : 0;
    if (runs < 1 || runs > RUNS_MAX) {
        (void)fprintf(stderr, "usage: bench_assignment COSTS.npy min|max RUNS\n");
        return 2;
    }
    if (whet_ctx_create(NULL, &ctx) != WHET_OK) return 1;
    int code = whet_array_read(ctx, argv[1], &costs) != WHET_OK;
    if (!code) code = measure(ctx, &costs, strcmp(argv[2], "max") == 0, runs);
    if (code) (void)fprintf(stderr, "%s\n", whet_error(ctx));
    whet_tensor_destroy(ctx, &costs);
    whet_ctx_destroy(ctx);
    return code;
}
