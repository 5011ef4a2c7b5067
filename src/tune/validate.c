/* SPDX-License-Identifier: Apache-2.0
 * Examples into batches, and the validation rows through the model. */
#include "tune/tune_i.h"

int64_t whet_i_tune_weight(const whet_i_tune_rows *rows, const int64_t *which, int64_t n) {
    int64_t sum = 0;
    if (!rows->asked) return n;
    for (int64_t i = 0; i < n; i++) sum += rows->lengths[which[i]] - rows->asked[which[i]];
    return sum;
}

/* Each token's label is the one behind it, from the one before the first that is asked for on. */
static void fill_next_tokens(const whet_i_tune_rows *rows, const int64_t *which, int64_t n,
                             int32_t *labels) {
    for (int64_t i = 0; i < n; i++) {
        const int32_t *ids = rows->tokens.ids + rows->tokens.start[which[i]];
        const int64_t length = rows->lengths[which[i]];
        for (int64_t t = 1; t < length; t++) *labels++ = t < rows->asked[which[i]] ? -1 : ids[t];
        *labels++ = -1;
    }
}

static void fill_targets(whet_i_tune *run, const whet_i_tune_rows *rows, const int64_t *which,
                         int64_t n) {
    if (run->kind->targets == WHET_I_TARGET_TOKENS) {
        fill_next_tokens(rows, which, n, run->batch_targets);
        whet_i_text_batch_ask(&run->batch, run->batch_targets);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        if (rows->probs)
            memcpy((float *)run->batch_targets + i * run->k, rows->probs + which[i] * run->k,
                   (size_t)run->k * sizeof(float));
        else if (run->regression)
            ((float *)run->batch_targets)[i] = rows->targets[which[i]];
        else
            ((int32_t *)run->batch_targets)[i] = rows->labels[which[i]];
    }
}

void whet_i_tune_fill(whet_i_tune *run, const whet_i_tune_rows *rows, const int64_t *which,
                      int64_t n) {
    const int64_t texts = whet_i_tune_texts(run);
    for (int64_t i = 0; i < texts * n; i++)
        run->batch_texts[i] = texts * which[i / texts] + i % texts;
    whet_i_text_batch_fill(&run->batch, &rows->tokens, run->batch_texts, texts * n,
                           run->backbone.first_position);
    run->batch.batch.rows[WHET_I_PAIRS] = texts * n / 2;
    /* Beside probabilities, validation rows have labels, which only scores read. */
    const bool other = run->train.probs && !rows->probs;
    const bool asked = run->given && rows != &run->train; /* they have none */
    if (run->target_feed == WHET_I_NONE || other || asked) return;
    fill_targets(run, rows, which, n);
    run->batch.batch.feeds[run->graph->values[run->target_feed].output] = run->batch_targets;
}

/* outputs [rows, width]: what the valid plan keeps, in the order of the rows. */
static whet_status run_batches(whet_ctx *ctx, whet_i_tune *run, const whet_i_tune_rows *rows,
                               const whet_i_batches *b, int64_t width, float *outputs) {
    for (int64_t m = 0; m < b->n_micro; m++) {
        const int64_t *which = b->order + b->micro_start[m];
        const int64_t n = b->micro_start[m + 1] - b->micro_start[m];
        WHET_TRY(whet_i_tune_progress(ctx, run, "validate", b->micro_start[m], b->n));
        whet_i_tune_fill(run, rows, which, n);
        whet_i_executor_run(run->valid_executor, &run->batch.batch);
        const float *made = whet_i_executor_value(run->valid_executor, run->logits);
        for (int64_t i = 0; i < n; i++)
            memcpy(outputs + which[i] * width, made + i * width, (size_t)width * sizeof *outputs);
    }
    return WHET_OK;
}

/* The mean loss a token of the validation rows. */
static whet_status evaluate_language(whet_ctx *ctx, whet_i_tune *run, whet_i_tune_score *out) {
    const whet_i_tune_rows *rows = &run->valid;
    const whet_i_batches_opts opts = {.batch_size = run->job.batch_size,
                                      .token_budget = run->sizes.rows[WHET_I_TOKENS],
                                      .bucket = true};
    whet_i_batches b = {0};
    whet_status status = whet_i_batches_make(ctx, rows->lengths, rows->n, &opts, &b);
    *out = (whet_i_tune_score){.n = rows->n};
    for (int64_t m = 0; status == WHET_OK && m < b.n_micro; m++) {
        const int64_t *which = b.order + b.micro_start[m];
        const int64_t n = b.micro_start[m + 1] - b.micro_start[m];
        status = whet_i_tune_progress(ctx, run, "validate", b.micro_start[m], b.n);
        if (status != WHET_OK) break;
        whet_i_tune_fill(run, rows, which, n);
        whet_i_executor_run(run->valid_executor, &run->batch.batch);
        out->loss += (double)whet_i_executor_value(run->valid_executor, run->loss)[0] *
                     (double)whet_i_tune_weight(rows, which, n) / (double)rows->n_asked;
    }
    whet_i_batches_free(ctx, &b);
    return status;
}

/* outputs [rows, width] */
static whet_status outputs_to(whet_ctx *ctx, whet_i_tune *run, const whet_i_tune_rows *rows,
                              int64_t width, float *outputs) {
    whet_i_batches b = {0};
    whet_status status = WHET_OK;
    const whet_i_batches_opts opts = {.batch_size = run->job.batch_size,
                                      .token_budget = run->sizes.rows[WHET_I_TOKENS],
                                      .bucket = true};
    WHET_TRY_DONE(whet_i_batches_make(ctx, rows->lengths, rows->n, &opts, &b));
    status = run_batches(ctx, run, rows, &b, width, outputs);
done:
    whet_i_batches_free(ctx, &b);
    return status;
}

/* *outputs is released by the caller, also on failure. */
static whet_status outputs_of(whet_ctx *ctx, whet_i_tune *run, const whet_i_tune_rows *rows,
                              int64_t width, float **outputs) {
    int64_t count;
    WHET_TRY(whet_i_mul(ctx, rows->n, width, &count));
    WHET_TRY(whet_i_alloc(ctx, count, outputs));
    return outputs_to(ctx, run, rows, width, *outputs);
}

whet_status whet_i_tune_answer_halfway(whet_ctx *ctx, whet_i_tune *run) {
    whet_i_tune_rows rows = run->valid; /* a view */
    rows.n = run->given->n_halfway;
    return outputs_to(ctx, run, &rows, whet_i_columns(run->graph, run->logits),
                      run->given->halfway);
}

whet_status whet_i_tune_answer(whet_ctx *ctx, whet_i_tune *run) {
    if (!run->given || run->given->n_asked == 0) return WHET_OK;
    return outputs_to(ctx, run, &run->valid, whet_i_columns(run->graph, run->logits),
                      run->given->answers);
}

whet_status whet_i_tune_evaluate(whet_ctx *ctx, whet_i_tune *run, whet_i_tune_score *out) {
    const int64_t columns = whet_i_columns(run->graph, run->logits);
    const bool prototypes = run->kind->embeds && run->kind->targets == WHET_I_TARGET_CLASSES;
    float *train = NULL, *valid = NULL;
    whet_status status = WHET_OK;
    if (run->kind->targets == WHET_I_TARGET_TOKENS) return evaluate_language(ctx, run, out);
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
