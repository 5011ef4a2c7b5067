/* SPDX-License-Identifier: Apache-2.0
 * A run of the whole job as it stands when the report is written, made by hand: k classes, test
 * rows, hostile texts. */
#ifndef WHET_TEST_REPORT_SAMPLE_H
#define WHET_TEST_REPORT_SAMPLE_H

#include <math.h>
#include <stdio.h>

#include "adapt/report.h"
#include "support.h"

/* accuracy NaN: nothing was compared. */
typedef struct report_sample {
    bool not_compared;
    whet_i_run run;
    whet_adapt_job job;
    whet_candidate_info infos[5];
    whet_i_candidate candidates[5];
} report_sample;

static inline whet_status sample_rows(whet_ctx *ctx, whet_i_run_rows *rows, int64_t n, int64_t k) {
    rows->n = n;
    WHET_TRY(whet_i_calloc(ctx, n, &rows->texts));
    WHET_TRY(whet_i_calloc(ctx, n, &rows->labels));
    WHET_TRY(whet_i_calloc(ctx, n, &rows->truth));
    for (int64_t i = 0; i < n; i++) {
        rows->texts[i] = whet_str_from(i % 2 ? "<script>alert('x')</script> & \"more\" \xff"
                                             : "Check out my channel, 100% new!");
        rows->labels[i] = rows->truth[i] = (int32_t)((i * 7 / 3) % k);
    }
    rows->n_labels = n;
    return WHET_OK;
}

/* Probabilities right about four times of five. */
static inline whet_status sample_probs(whet_ctx *ctx, const whet_i_run_rows *rows, int64_t k,
                                       double **out) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, 7, 0);
    WHET_TRY(whet_i_alloc(ctx, rows->n * k, out));
    for (int64_t i = 0; i < rows->n; i++) {
        double *p = *out + i * k;
        const double top = 1 / (double)k + (1 - 1 / (double)k) * whet_i_rng_uniform(&rng);
        const bool right = whet_i_rng_uniform(&rng) < top;
        const int64_t at = right ? rows->truth[i] : whet_i_rng_below(&rng, k);
        for (int64_t c = 0; c < k; c++) p[c] = (1 - top) / (double)(k - 1);
        p[at] = top;
    }
    return WHET_OK;
}

/* The first hundred labels, as the pool's probabilities have them. */
static inline whet_status sample_held(whet_ctx *ctx, report_sample *s, int64_t k) {
    whet_i_held_out *held = &s->run.held_out;
    held->n = s->not_compared ? 0 : 100;
    WHET_TRY(whet_i_alloc(ctx, held->n, &held->rows));
    WHET_TRY(whet_i_alloc(ctx, held->n * k, &held->probs));
    for (int64_t i = 0; i < held->n; i++) held->rows[i] = i;
    memcpy(held->probs, s->run.pool_probs, (size_t)(held->n * k) * sizeof *held->probs);
    held->doubted = 20;
    return WHET_OK;
}

static inline whet_status sample_fill(whet_ctx *ctx, report_sample *s, int64_t k, int64_t n) {
    static const char *const names[] = {"logistic", "graph", "spread", "zero-shot", "prototypes"};
    whet_i_run *run = &s->run;
    char name[32];
    s->job = (whet_adapt_job)WHET_ADAPT_JOB_INIT;
    s->job.command = "whet adapt --train 'a b.tsv' --budget 100 --output out";
    s->job.output = "out";
    run->job = &s->job;
    run->source = "file";
    run->reason = "it is within one standard error of the best, and the simplest of those.";
    run->d = 384;
    WHET_TRY(whet_names_create(ctx, &run->classes));
    for (int64_t c = 0; c < k; c++) {
        (void)snprintf(name, sizeof name, c ? "class_%d" : "<b>%d&", (int)c);
        WHET_TRY(whet_names_add(ctx, run->classes, whet_str_from(name), NULL));
    }
    WHET_TRY(sample_rows(ctx, &run->train, 400, k));
    run->train.path = "train & more.tsv";
    for (int64_t i = 100; i < 400; i++) run->train.labels[i] = WHET_LABEL_HIDDEN;
    run->n_used = 100;
    run->n_hidden = 300;
    WHET_TRY(sample_probs(ctx, &run->train, k, &run->pool_probs));
    WHET_TRY(sample_held(ctx, s, k));
    if (n == 0) {
        run->target = &run->train;
        run->probs = run->pool_probs;
    } else {
        WHET_TRY(sample_rows(ctx, &run->test, n, k));
        run->test.path = "test.tsv";
        run->target = &run->test;
        WHET_TRY(sample_probs(ctx, &run->test, k, &run->probs));
    }
    whet_i_free(ctx, run->candidates);
    run->n_candidates = 5;
    run->chosen = 1;
    WHET_TRY(whet_i_calloc(ctx, 5, &run->candidates));
    for (int64_t i = 0; i < 5; i++) {
        const double accuracy = 0.72 + 0.04 * (double)i;
        s->infos[i] = (whet_candidate_info){names[i],
                                            "a few words about it",
                                            "C = 10",
                                            i != 3,
                                            "the class names are only numbers",
                                            accuracy,
                                            accuracy - 0.09,
                                            accuracy + 0.07,
                                            0.6};
        if (s->not_compared)
            s->infos[i].accuracy = s->infos[i].accuracy_low = s->infos[i].accuracy_high =
                s->infos[i].log_loss = (double)NAN;
        run->candidates[i].info = &s->infos[i];
        if (n == 0 || i == 3) continue;
        run->candidates[i].tested = true;
        WHET_TRY(whet_metrics_compute(ctx, run->probs, n, k, run->test.truth, NULL,
                                      &run->candidates[i].test));
    }
    return WHET_OK;
}
#endif
