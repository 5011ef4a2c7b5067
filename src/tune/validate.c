/* SPDX-License-Identifier: Apache-2.0
 * Examples into batches, and the validation rows through the model. */
#include "tune/tune_i.h"

void whet_i_tune_fill(whet_i_tune *run, const whet_i_tune_rows *rows, const int64_t *which,
                      int64_t n) {
    whet_i_text_batch_fill(&run->batch, &rows->tokens, which, n,
                           run->config.family->position_offset);
    for (int64_t i = 0; i < n; i++) {
        if (run->regression)
            ((float *)run->batch_targets)[i] = rows->targets[which[i]];
        else
            ((int32_t *)run->batch_targets)[i] = rows->labels[which[i]];
    }
    run->batch.batch.feeds[run->graph->values[run->target_feed].output] = run->batch_targets;
}

static whet_status run_batches(whet_ctx *ctx, whet_i_tune *run, const whet_i_batches *b,
                               float *outputs) {
    for (int64_t m = 0; m < b->n_micro; m++) {
        const int64_t *which = b->order + b->micro_start[m];
        const int64_t n = b->micro_start[m + 1] - b->micro_start[m];
        WHET_TRY(whet_i_progress(ctx, "validate", b->micro_start[m], b->n));
        whet_i_tune_fill(run, &run->valid, which, n);
        whet_i_executor_run(run->valid_executor, &run->batch.batch);
        const float *rows = whet_i_executor_value(run->valid_executor, run->logits);
        for (int64_t i = 0; i < n; i++)
            memcpy(outputs + which[i] * run->k, rows + i * run->k,
                   (size_t)run->k * sizeof *outputs);
    }
    return WHET_OK;
}

whet_status whet_i_tune_evaluate(whet_ctx *ctx, whet_i_tune *run, whet_i_tune_score *out) {
    whet_i_batches b = {0};
    float *outputs = NULL;
    int64_t count;
    whet_status status = WHET_OK;
    const whet_i_batches_opts opts = {.batch_size = run->sizes.rows[WHET_I_EXAMPLES],
                                      .token_budget = run->sizes.rows[WHET_I_TOKENS],
                                      .bucket = true};
    WHET_TRY_DONE(whet_i_batches_make(ctx, run->valid.lengths, run->valid.n, &opts, &b));
    WHET_TRY_DONE(whet_i_mul(ctx, run->valid.n, run->k, &count));
    WHET_TRY_DONE(whet_i_alloc(ctx, count, &outputs));
    WHET_TRY_DONE(run_batches(ctx, run, &b, outputs));
    WHET_TRY_DONE(whet_i_tune_score_of(ctx, run, outputs, &run->valid, out));
done:
    whet_i_free(ctx, outputs);
    whet_i_batches_free(ctx, &b);
    return status;
}
