/* SPDX-License-Identifier: Apache-2.0
 * Times label models on a file of votes, or on votes drawn here (`draw:ROWSxRULESxCLASSES`, rules
 * right .55 to .9 of the time and silent half of it): reading, fitting, predicting all rows.
 * Usage: bench_label_models VOTES METHOD RUNS THREADS [OPTION...]: balance=F (array), epochs=N,
 * steps=N (exactly so many), smoothing=X, compat, learn, keep, probs=FILE.npy
 * Prints one JSON object; seconds and CPU seconds are medians over the runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "../clock.h"
#include "label/vote_model.h"
#include "whet/io.h"

enum { RUNS_MAX = 64, BLOCK = 1 << 16 };

typedef struct timings {
    double fit[RUNS_MAX], predict[RUNS_MAX], cpu[RUNS_MAX];
} timings;

static whet_status draw(whet_ctx *ctx, const char *sizes, int8_t **narrow, whet_votes *votes) {
    char *end;
    whet_i_rng rng;
    whet_i_rng_init(&rng, 1, 0);
    votes->n = strtoll(sizes, &end, 10);
    votes->m = strtoll(end + 1, &end, 10);
    votes->k = strtoll(end + 1, &end, 10);
    WHET_TRY(whet_i_alloc(ctx, votes->n * votes->m, narrow));
    for (int64_t i = 0; i < votes->n; i++) {
        const int64_t y = whet_i_rng_below(&rng, votes->k);
        for (int64_t j = 0; j < votes->m; j++) {
            const uint64_t x = whet_i_rng_u64(&rng);
            const double right = .9 - .35 * (double)j / (double)votes->m;
            const int64_t other = (y + 1 + (int64_t)(x >> 40) % (votes->k - 1)) % votes->k;
            const bool hit = (double)(x & 0xfffff) < right * 0x100000;
            (*narrow)[i * votes->m + j] = (int8_t)(x >> 20 & 1 ? -1 : hit ? y : other);
        }
    }
    votes->narrow = *narrow;
    return WHET_OK;
}

static bool option(int argc, char **argv, const char *name, const char **value) {
    const size_t length = strlen(name);
    for (int a = 5; a < argc; a++) {
        if (strncmp(argv[a], name, length) != 0) continue;
        if (value && argv[a][length] != '=') continue;
        if (value) *value = argv[a] + length + 1;
        return true;
    }
    return false;
}

static whet_status set_options(whet_ctx *ctx, int argc, char **argv, whet_tensor *balance,
                               whet_label_model_opts *opts) {
    const char *value;
    if (!whet_label_method_find(argv[2], &opts->method))
        return whet_i_fail(ctx, WHET_ERR_ARG, "no method %s", argv[2]);
    if (option(argc, argv, "balance", &value)) {
        WHET_TRY(whet_array_read_as(ctx, value, WHET_F64, 1, true, balance));
        opts->balance = balance->data;
    }
    if (option(argc, argv, "epochs", &value)) opts->epochs = strtoll(value, NULL, 10);
    if (option(argc, argv, "smoothing", &value)) opts->smoothing = strtod(value, NULL);
    if (option(argc, argv, "steps", &value)) {
        opts->most_steps = strtoll(value, NULL, 10);
        opts->tolerance = 0;
    }
    opts->compat = option(argc, argv, "compat", NULL);
    opts->learn_balance = option(argc, argv, "learn", NULL);
    opts->keep_uncovered = option(argc, argv, "keep", NULL);
    return WHET_OK;
}

/* Block by block, as the command does. */
static whet_status predict(whet_ctx *ctx, const whet_label_model *model, const whet_votes *votes,
                           double *probs, bool whole) {
    for (int64_t first = 0; first < votes->n; first += BLOCK) {
        const int64_t count = votes->n - first < BLOCK ? votes->n - first : BLOCK;
        WHET_TRY(whet_i_label_model_predict(ctx, NULL, model, votes, first, count,
                                            probs + (whole ? first * votes->k : 0)));
    }
    return WHET_OK;
}

static whet_status run(whet_ctx *ctx, int argc, char **argv) {
    const int runs = (int)strtol(argv[3], NULL, 10);
    whet_label_model_opts opts = WHET_LABEL_MODEL_OPTS_INIT;
    whet_vote_file *file = NULL;
    int8_t *narrow = NULL;
    whet_votes votes = {0};
    whet_tensor balance = {0};
    const char *out = NULL;
    timings t;
    const bool whole = option(argc, argv, "probs", &out);
    const double begin = seconds(CLOCK_MONOTONIC);
    if (strncmp(argv[1], "draw:", 5) == 0) {
        WHET_TRY(draw(ctx, argv[1] + 5, &narrow, &votes));
    } else {
        WHET_TRY(whet_votes_read(ctx, argv[1], NULL, &file));
        votes = *whet_vote_file_votes(file);
    }
    const double read = seconds(CLOCK_MONOTONIC) - begin;
    WHET_TRY(set_options(ctx, argc, argv, &balance, &opts));
    whet_tensor probs;
    const int64_t shape[2] = {whole || votes.n < BLOCK ? votes.n : BLOCK, votes.k};
    WHET_TRY(whet_tensor_create(ctx, WHET_F64, 2, shape, &probs));
    int64_t steps = 0;
    for (int r = 0; r < runs && r < RUNS_MAX; r++) {
        whet_label_model *model;
        whet_label_model_info info;
        const double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), start = seconds(CLOCK_MONOTONIC);
        WHET_TRY(whet_label_model_fit(ctx, &votes, &opts, &model));
        const double fitted = seconds(CLOCK_MONOTONIC);
        WHET_TRY(predict(ctx, model, &votes, probs.data, whole));
        t.predict[r] = seconds(CLOCK_MONOTONIC) - fitted;
        t.fit[r] = fitted - start;
        t.cpu[r] = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
        whet_label_model_get_info(model, &info);
        steps = info.steps;
        whet_label_model_destroy(ctx, model);
    }
    if (whole) WHET_TRY(whet_npy_write(ctx, out, true, &probs));
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    (void)printf("{\"rows\": %lld, \"rules\": %lld, \"classes\": %lld, \"steps\": %lld, "
                 "\"read_seconds\": %.4f, \"fit_seconds\": %.5f, \"predict_seconds\": %.5f, "
                 "\"cpu_seconds\": %.5f, \"peak_mb\": %.1f}\n",
                 (long long)votes.n, (long long)votes.m, (long long)votes.k, (long long)steps, read,
                 median(t.fit, runs), median(t.predict, runs), median(t.cpu, runs),
                 (double)usage.ru_maxrss / 1e3);
    whet_tensor_destroy(ctx, &probs);
    whet_tensor_destroy(ctx, &balance);
    whet_vote_file_destroy(ctx, file);
    whet_i_free(ctx, narrow);
    return WHET_OK;
}

int main(int argc, char **argv) {
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    whet_ctx *ctx;
    if (argc < 5) {
        (void)fprintf(stderr, "usage: bench_label_models VOTES METHOD RUNS THREADS [OPTION...]\n");
        return 2;
    }
    opts.threads = (int32_t)strtol(argv[4], NULL, 10);
    if (whet_ctx_create(&opts, &ctx) != WHET_OK) return 5;
    const whet_status status = run(ctx, argc, argv);
    if (status != WHET_OK) (void)fprintf(stderr, "%s\n", whet_error(ctx));
    whet_ctx_destroy(ctx);
    return status == WHET_OK ? 0 : 1;
}
