/* SPDX-License-Identifier: Apache-2.0
 * Examples into batches, and the validation rows through the model. */
#include "tune/tune_i.h"

void whet_i_tune_fill(whet_i_tune *run, const whet_i_tune_rows *rows, const int64_t *which,
                      int64_t n) {
    const int64_t texts = whet_i_tune_texts(run);
    for (int64_t i = 0; i < texts * n; i++)
        run->batch_texts[i] = texts * which[i / texts] + i % texts;
    whet_i_text_batch_fill(&run->batch, &rows->tokens, run->batch_texts, texts * n,
                           run->config.family->position_offset);
    run->batch.batch.rows[WHET_I_PAIRS] = texts * n / 2;
    if (run->target_feed == WHET_I_NONE) return;
    for (int64_t i = 0; i < n; i++) {
        if (run->regression)
            ((float *)run->batch_targets)[i] = rows->targets[which[i]];
        else
            ((int32_t *)run->batch_targets)[i] = rows->labels[which[i]];
    }
    run->batch.batch.feeds[run->graph->values[run->target_feed].output] = run->batch_targets;
}

/* outputs [rows, width]: what the valid plan keeps, in the order of the rows. */
static whet_status run_batches(whet_ctx *ctx, whet_i_tune *run, const whet_i_tune_rows *rows,
                               const whet_i_batches *b, int64_t width, float *outputs) {
    for (int64_t m = 0; m < b->n_micro; m++) {
        const int64_t *which = b->order + b->micro_start[m];
        const int64_t n = b->micro_start[m + 1] - b->micro_start[m];
        WHET_TRY(whet_i_progress(ctx, "validate", b->micro_start[m], b->n));
        whet_i_tune_fill(run, rows, which, n);
        whet_i_executor_run(run->valid_executor, &run->batch.batch);
        const float *made = whet_i_executor_value(run->valid_executor, run->logits);
        for (int64_t i = 0; i < n; i++)
            memcpy(outputs + which[i] * width, made + i * width, (size_t)width * sizeof *outputs);
    }
    return WHET_OK;
}

/* *outputs is released by the caller, also on failure. */
static whet_status outputs_of(whet_ctx *ctx, whet_i_tune *run, const whet_i_tune_rows *rows,
                              int64_t width, float **outputs) {
    whet_i_batches b = {0};
    int64_t count;
    whet_status status = WHET_OK;
    const whet_i_batches_opts opts = {.batch_size = run->job.batch_size,
                                      .token_budget = run->sizes.rows[WHET_I_TOKENS],
                                      .bucket = true};
    WHET_TRY_DONE(whet_i_batches_make(ctx, rows->lengths, rows->n, &opts, &b));
    WHET_TRY_DONE(whet_i_mul(ctx, rows->n, width, &count));
    WHET_TRY_DONE(whet_i_alloc(ctx, count, outputs));
    status = run_batches(ctx, run, rows, &b, width, *outputs);
done:
    whet_i_batches_free(ctx, &b);
    return status;
}

whet_status whet_i_tune_evaluate(whet_ctx *ctx, whet_i_tune *run, whet_i_tune_score *out) {
    const int64_t columns = whet_i_columns(run->graph, run->logits);
    const bool prototypes = run->kind->embeds && run->kind->targets == WHET_I_TARGET_CLASSES;
    float *train = NULL, *valid = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(outputs_of(ctx, run, &run->valid, whet_i_tune_texts(run) * columns, &valid));
    if (prototypes) WHET_TRY_DONE(outputs_of(ctx, run, &run->train, columns, &train));
    if (run->kind->embeds)
        status = whet_i_tune_score_embeddings(ctx, run, columns, train, valid, out);
    else
        status = whet_i_tune_score_of(ctx, run, valid, &run->valid, out);
done:
    whet_i_free(ctx, valid);
    whet_i_free(ctx, train);
    return status;
}
