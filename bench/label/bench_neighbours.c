/* SPDX-License-Identifier: Apache-2.0
 * Times the search of each row's nearest by cosine among all: rows of unit length in X.npy.
 * Usage: bench_neighbours X.npy NEIGHBOURS THREADS any|plain INDEX.npy
 * plain: by products in f32 alone, as in small pools. Prints one JSON object: seconds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../clock.h"
#include "label/label_i.h"
#include "whet/whet.h"

static whet_status run(whet_ctx *ctx, char **argv) {
    whet_tensor x, index;
    const int64_t m = atoll(argv[2]);
    WHET_TRY(whet_array_read_as(ctx, argv[1], WHET_F32, 2, false, &x));
    const int64_t n = x.shape[0], d = x.shape[1];
    WHET_TRY(whet_tensor_create(ctx, WHET_I64, 2, (const int64_t[]){n, m}, &index));
    float *similarity = malloc(sizeof *similarity * (size_t)(n * m));
    if (!similarity) return WHET_ERR_NOMEM;
    if (strcmp(argv[4], "plain") == 0) WHET_TRY(whet_kernels_select(ctx, "avx512"));
    const double begin = seconds(CLOCK_MONOTONIC);
    WHET_TRY(whet_i_nearest(ctx, x.data, n, x.data, n, d, m, true, index.data, similarity));
    printf("{\"seconds\": %.4f, \"kernels\": \"%s\"}\n", seconds(CLOCK_MONOTONIC) - begin,
           whet_kernels_name(ctx));
    WHET_TRY(whet_npy_write(ctx, argv[5], true, &index));
    free(similarity);
    whet_tensor_destroy(ctx, &index);
    whet_tensor_destroy(ctx, &x);
    return WHET_OK;
}

int main(int argc, char **argv) {
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    whet_ctx *ctx = NULL;
    if (argc != 6) {
        fprintf(stderr, "usage: bench_neighbours X.npy NEIGHBOURS THREADS any|plain INDEX.npy\n");
        return 2;
    }
    opts.threads = atoi(argv[3]);
    if (whet_ctx_create(&opts, &ctx) != WHET_OK) return 5;
    const whet_status status = run(ctx, argv);
    if (status != WHET_OK) fprintf(stderr, "bench_neighbours: %s\n", whet_error(ctx));
    whet_ctx_destroy(ctx);
    return status != WHET_OK;
}
