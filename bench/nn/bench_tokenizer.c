/* SPDX-License-Identifier: Apache-2.0
 * Times the tokenizer on a file of texts, one a line, and leaves the ids, so that
 * bench/peers/tokenize_hf.py can compare both with Hugging Face's.
 * Usage: bench_tokenizer MODEL TEXTS IDS THREADS; prints one JSON object. */
#include <stdio.h>
#include <stdlib.h>

#include "../clock.h"
#include "io/io_i.h"
#include "whet/nn.h"

#define TIMES 7 /* their median counts, as the peer gets no best of many either */

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static whet_status split(whet_ctx *ctx, const char *bytes, int64_t len, whet_str **texts,
                         int64_t *n) {
    int64_t lines = 0;
    for (int64_t i = 0; i < len; i++) lines += bytes[i] == '\n';
    WHET_TRY(whet_i_alloc(ctx, lines, texts));
    const char *start = bytes;
    for (*n = 0; *n < lines; ++*n) {
        const char *end = strchr(start, '\n');
        (*texts)[*n] = (whet_str){start, end - start};
        start = end + 1;
    }
    return WHET_OK;
}

static int leave(const char *path, const whet_token_rows *rows) {
    FILE *file = fopen(path, "w");
    if (!file) return 1;
    for (int64_t i = 0; i < rows->n_rows; i++)
        for (int64_t k = rows->start[i]; k < rows->start[i + 1]; k++)
            (void)fprintf(file, k + 1 < rows->start[i + 1] ? "%d " : "%d\n", rows->ids[k]);
    return fclose(file);
}

static whet_status run(whet_ctx *ctx, char **argv) {
    char *bytes = NULL;
    whet_str *texts = NULL;
    whet_tokenizer *tokenizer = NULL;
    whet_token_rows rows = {0};
    whet_status status = WHET_OK;
    int64_t len, n;
    double took[TIMES];
    size_t now, peak;
    WHET_TRY_DONE(whet_i_file_read(ctx, argv[2], WHET_FILE_MAX, &bytes, &len));
    WHET_TRY_DONE(split(ctx, bytes, len, &texts, &n));
    double begin = seconds(CLOCK_MONOTONIC);
    WHET_TRY_DONE(whet_tokenizer_load(ctx, argv[1], &tokenizer));
    const double load = seconds(CLOCK_MONOTONIC) - begin;
    for (int i = 0; i < TIMES; i++) {
        whet_token_rows_destroy(ctx, &rows);
        begin = seconds(CLOCK_MONOTONIC);
        WHET_TRY_DONE(whet_tokenizer_encode(ctx, tokenizer, texts, n, 0, &rows));
        took[i] = seconds(CLOCK_MONOTONIC) - begin;
    }
    qsort(took, TIMES, sizeof *took, by_size);
    whet_ctx_memory(ctx, &now, &peak);
    printf("{\"seconds\": %.6f, \"load_seconds\": %.4f, \"tokens\": %lld, \"peak_mb\": %.1f}\n",
           took[TIMES / 2], load, (long long)rows.start[n], (double)peak / 1e6);
    if (leave(argv[3], &rows) != 0)
        status = whet_i_fail(ctx, WHET_ERR_IO, "%s: not written", argv[3]);
done:
    whet_token_rows_destroy(ctx, &rows);
    whet_tokenizer_destroy(ctx, tokenizer);
    whet_i_free(ctx, texts);
    whet_i_free(ctx, bytes);
    return status;
}

int main(int argc, char **argv) {
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    whet_ctx *ctx;
    if (argc != 5) {
        (void)fprintf(stderr, "usage: bench_tokenizer MODEL TEXTS IDS THREADS\n");
        return 2;
    }
    opts.threads = (int32_t)strtol(argv[4], NULL, 10);
    if (whet_ctx_create(&opts, &ctx) != WHET_OK) return 1;
    const whet_status status = run(ctx, argv);
    if (status != WHET_OK) (void)fprintf(stderr, "%s\n", whet_error(ctx));
    whet_ctx_destroy(ctx);
    return status == WHET_OK ? 0 : 1;
}
