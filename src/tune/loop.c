/* SPDX-License-Identifier: Apache-2.0
 * The training loop. Everything that a step does follows from the settings, the data and the step's
 * number, so that a run that goes on from a checkpoint has the bits of one that was not interrupted. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "tune/tune_i.h"

/* ---- epochs ----------------------------------------------------------------------------------- */

static whet_status begin_epoch(whet_ctx *ctx, whet_i_tune *run) {
    /* Nothing is padded, and where a loss is a mean of tokens, batches of like length learn less: 0.5 % of
     * the loss on sentences. */
    const bool language = run->kind->targets == WHET_I_TARGET_TOKENS;
    const whet_i_batches_opts opts = {.batch_size = run->job.batch_size,
                                      .token_budget = run->sizes.rows[WHET_I_TOKENS],
                                      .bucket = !run->job.no_bucket && !language,
                                      .shuffle = true,
                                      .seed = run->job.seed,
                                      .epoch = run->state.epoch};
    whet_i_batches_free(ctx, &run->batches);
    if (run->kind->compares && run->kind->targets == WHET_I_TARGET_CLASSES)
        return whet_i_balanced_batches_make(ctx, run->train.labels, run->train.n, run->k,
                                            run->job.batch_size, run->job.seed, run->state.epoch,
                                            &run->batches);
    return whet_i_batches_make(ctx, run->train.lengths, run->train.n, &opts, &run->batches);
}

static void count_steps(whet_i_tune *run) {
    run->steps_per_epoch = (run->train.n + run->job.batch_size - 1) / run->job.batch_size;
    run->total_steps = run->steps_per_epoch * run->job.epochs;
    const double warmup = run->job.warmup;
    run->warmup_steps = warmup < 1 ? (int64_t)(warmup * (double)run->total_steps) : (int64_t)warmup;
}

/* ---- one step --------------------------------------------------------------------------------- */

/* The texts of a step, for the sentence that something is wrong with it. */
static whet_status bad_loss(whet_ctx *ctx, const whet_i_tune *run, int64_t first, double loss) {
    const int64_t example = run->batches.order[first];
    char quoted[WHET_QUOTE_SIZE];
    char rate[64];
    (void)snprintf(rate, sizeof rate, "the learning rate %g is too high", run->job.learning_rate);
    /* Before the first step no rate has done anything yet. */
    return whet_i_fail(ctx, WHET_ERR_NUMERIC,
                       "step %" PRId64
                       ": the loss is %g, in the batch with the text %s; expected a "
                       "number; likely %s%s",
                       run->state.step + 1, loss, whet_i_quote(quoted, run->train.texts[example]),
                       run->state.step ? rate
                       : isinf(loss)   ? "numbers of the labels, or of the model, are too large"
                                       : "the model's weights are not all numbers",
                       run->job.dtype == WHET_BF16 ? ", or bf16 too coarse" : "");
}

/* Forward and backward over the micro-batches of step `s` of this epoch: the mean loss of its
 * examples or asked tokens, the gradient of that mean. */
static whet_status gradients(whet_ctx *ctx, whet_i_tune *run, int64_t s, double *loss,
                             int64_t *tokens) {
    const whet_i_batches *b = &run->batches;
    const int64_t from = b->step_start[s], to = b->step_start[s + 1];
    const double all = (double)whet_i_tune_weight(&run->train, b->order + b->micro_start[from],
                                                  b->micro_start[to] - b->micro_start[from]);
    *loss = 0;
    *tokens = 0;
    for (int64_t m = from; m < to; m++) {
        const int64_t first = b->micro_start[m], n = b->micro_start[m + 1] - first;
        const double share = (double)whet_i_tune_weight(&run->train, b->order + first, n) / all;
        whet_i_tune_fill(run, &run->train, b->order + first, n);
        whet_i_batch *batch = &run->batch.batch;
        batch->train = true;
        batch->accumulate = m > from;
        batch->loss_scale = (whet_i_real)share;
        batch->seed = whet_i_hash_u64(run->job.seed ^ whet_i_hash_u64((uint64_t)run->state.step)) +
                      (uint64_t)(m - from) * 0x9e3779b97f4a7c15U;
        whet_i_executor_run(run->executor, batch);
        const double part = (double)whet_i_executor_value(run->executor, run->loss)[0];
        if (!isfinite(part)) return bad_loss(ctx, run, first, part);
        *loss += share * part;
        *tokens += batch->rows[WHET_I_TOKENS];
    }
    return WHET_OK;
}

static void tell_step(whet_ctx *ctx, const whet_i_tune *run, double loss) {
    const double seconds = whet_i_seconds_now() - run->begun;
    whet_i_note(ctx, "loss %.4f  %.0f tokens/s  %.0f MB", loss,
                seconds > 0 ? (double)run->tokens_done / seconds : 0,
                (double)run->planned_bytes / 1e6);
}

/* What a part tells of its steps: losses at its begin and end, the gradient at its begin. */
static void note_part(whet_i_tune_part *p, double loss, double norm) {
    const bool early = p->steps < WHET_I_PART_WINDOW;
    const double n = early ? (double)(p->steps + 1) : WHET_I_PART_WINDOW;
    if (early) p->first += (loss - p->first) / n;
    if (early) p->norm += (norm - p->norm) / n;
    p->last += (loss - p->last) / n;
    p->steps++;
}

static whet_status take_step(whet_ctx *ctx, whet_i_tune *run) {
    double loss, norm;
    int64_t tokens;
    WHET_TRY(gradients(ctx, run, run->state.batch, &loss, &tokens));
    const whet_i_schedule kind = (whet_i_schedule)run->job.schedule;
    const double rate =
        run->job.learning_rate *
        whet_i_schedule_at(kind, run->state.step, run->total_steps, run->warmup_steps, 0);
    /* Not interrupted between the values of one step. */
    whet_i_hold_cancel(ctx, true);
    whet_status status = whet_i_optimizer_step(ctx, run->optimizer, rate, &norm);
    if (status == WHET_OK) status = whet_i_params_pack(ctx, run->params);
    whet_i_hold_cancel(ctx, false);
    if (status == WHET_ERR_NUMERIC)
        return whet_i_fail_at(ctx, status, "step %" PRId64, run->state.step + 1);
    WHET_TRY(status);
    run->state.step++;
    run->state.batch++;
    run->state.loss_sum += loss;
    run->state.loss_steps++;
    run->state.pending = 1;
    run->tokens_done += tokens;
    tell_step(ctx, run, loss);
    if (!run->part) return whet_i_tune_note_step(ctx, run, loss, rate, norm, tokens);
    note_part(run->part, loss, norm);
    return WHET_OK;
}

/* ---- validation ------------------------------------------------------------------------------- */

/* Takes note of a validation's score; the values of the best one are kept in a file. */
static whet_status judge(whet_ctx *ctx, whet_i_tune *run, const whet_i_tune_score *score) {
    const double metric = whet_i_tune_metric_of(run, score), best = run->state.best;
    const bool lower = whet_i_tune_lower_is_better(run->metric);
    const bool better = isnan(best) ? !isnan(metric) : lower ? metric < best : metric > best;
    if (better) {
        WHET_TRY(whet_i_tune_save_best(ctx, run));
        run->state.best = metric;
        run->state.best_step = run->state.step;
        run->best_score = *score;
    }
    run->state.bad = better ? 0 : run->state.bad + 1;
    run->stopped_early = run->job.patience > 0 && run->state.bad >= run->job.patience;
    whet_i_log(ctx, WHET_LOG_INFO,
               "step %" PRId64 " of %" PRId64 ": loss %.4f, validation %s %.4f%s", run->state.step,
               run->total_steps,
               run->state.loss_steps ? run->state.loss_sum / (double)run->state.loss_steps : 0,
               whet_i_tune_metric_name(run->metric), metric, better ? " (best so far)" : "");
    return whet_i_tune_note_score(ctx, run, score, better);
}

/* Of a part: nothing is kept but how long the metric has not been better. */
static void judge_part(whet_i_tune *run, const whet_i_tune_score *score) {
    const double metric = whet_i_tune_metric_of(run, score), best = run->state.best;
    const bool lower = whet_i_tune_lower_is_better(run->metric);
    const bool better = isnan(best) ? !isnan(metric) : lower ? metric < best : metric > best;
    if (better) run->state.best = metric;
    run->state.bad = better ? 0 : run->state.bad + 1;
    run->stopped_early = run->state.bad >= run->part->patience;
}

/* What follows a step, once its validation is there: all of it, or nothing of it. */
static whet_status settle_step(whet_ctx *ctx, whet_i_tune *run, const whet_i_tune_score *score) {
    const bool epoch_done = run->state.batch == run->steps_per_epoch;
    if (score && run->part)
        judge_part(run, score);
    else if (score)
        WHET_TRY(judge(ctx, run, score));
    if (epoch_done) {
        run->state.epoch++;
        run->state.batch = 0;
        run->state.loss_sum = 0;
        run->state.loss_steps = 0;
    }
    run->state.pending = 0;
    const bool due = run->job.save_steps ? run->state.step % run->job.save_steps == 0 : epoch_done;
    const bool save = due && !run->given && !run->part;
    if (save && run->state.step < run->total_steps) WHET_TRY(whet_i_tune_save_checkpoint(ctx, run));
    return epoch_done && run->state.epoch < run->job.epochs ? begin_epoch(ctx, run) : WHET_OK;
}

static whet_status after_step(whet_ctx *ctx, whet_i_tune *run) {
    const int64_t every = run->part ? 0 : run->job.evaluate_steps, step = run->state.step;
    const bool due = every ? step % every == 0 || step == run->total_steps
                           : run->state.batch == run->steps_per_epoch;
    const bool wanted = run->part ? run->part->patience > 0 : !run->given;
    const bool validates = due && run->valid.n && wanted;
    whet_i_tune_score score = {0};
    if (validates) WHET_TRY(whet_i_tune_evaluate(ctx, run, &score));
    whet_i_hold_cancel(ctx, true);
    const whet_status status = settle_step(ctx, run, validates ? &score : NULL);
    whet_i_hold_cancel(ctx, false);
    return status;
}

/* An interruption keeps what was done. */
static whet_status interrupted(whet_ctx *ctx, whet_i_tune *run) {
    whet_i_hold_cancel(ctx, true);
    whet_status status = whet_i_tune_save_checkpoint(ctx, run);
    if (status == WHET_OK) status = whet_i_tune_write_log(ctx, run);
    whet_i_hold_cancel(ctx, false);
    WHET_TRY(status);
    return whet_i_fail(ctx, WHET_ERR_CANCELLED,
                       "interrupted after step %" PRId64 " of %" PRId64
                       "; %s/checkpoint holds it, and --resume goes on from there",
                       run->state.step, run->total_steps, run->job.output);
}

static int64_t half_of(const whet_i_tune *run) { return (run->total_steps + 1) / 2; }

/* Whether the steps will not be done in time at the pace so far, of which the first, that makes plans and
 * kernels, is no part. Of few steps a pace is rough: half of the time more is let pass, and less and less. */
static bool is_late(const whet_i_tune *run, double first_done, int64_t until) {
    enum { TOLD_BY = 5 };
    whet_i_tune_pace *pace = run->given ? run->given->pace : NULL;
    const int64_t step = run->state.step;
    if (!pace) return false;
    const double now = whet_i_seconds_now();
    pace->steps = step;
    pace->total = until;
    pace->seconds = now - run->begun;
    if (step < TOLD_BY || step == until) return false;
    const double left = (now - first_done) / (double)(step - 1) * (double)(until - step);
    const double slack = .1 + .4 * (double)(until - step) / (double)until;
    pace->late = now + left > pace->until + slack * (pace->until - run->begun);
    return pace->late;
}

static whet_status all_steps(whet_ctx *ctx, whet_i_tune *run, int64_t until) {
    double first_done = 0;
    if (run->state.pending) WHET_TRY(after_step(ctx, run));
    while (run->state.step < until && !run->stopped_early) {
        WHET_TRY(whet_i_tune_progress(ctx, run, "train", run->state.step, run->total_steps));
        WHET_TRY(take_step(ctx, run));
        WHET_TRY(after_step(ctx, run));
        if (run->given && run->given->halfway && run->state.step == half_of(run))
            WHET_TRY(whet_i_tune_answer_halfway(ctx, run));
        if (run->state.step == 1) first_done = whet_i_seconds_now();
        if (is_late(run, first_done, until)) return WHET_OK;
    }
    return whet_i_tune_progress(ctx, run, "train", run->state.step, run->state.step);
}

whet_status whet_i_tune_train(whet_ctx *ctx, whet_i_tune *run) {
    run->begun = whet_i_seconds_now();
    count_steps(run);
    run->state.best = NAN;
    if (run->job.resume) WHET_TRY(whet_i_tune_load_checkpoint(ctx, run));
    if (run->state.epoch < run->job.epochs) WHET_TRY(begin_epoch(ctx, run));
    const bool half = run->given && run->given->half;
    whet_status status = all_steps(ctx, run, half ? half_of(run) : run->total_steps);
    run->seconds = whet_i_seconds_now() - run->begun;
    if (status == WHET_ERR_CANCELLED && !run->given) return interrupted(ctx, run);
    WHET_TRY(status);
    return run->valid.n && !isnan(run->state.best) ? whet_i_tune_load_best(ctx, run) : WHET_OK;
}

/* ---- a part ----------------------------------------------------------------------------------- */

/* A checkpoint saves work and decides nothing: where there is none, or another's, its steps are taken again,
 * to the same bits. One that is there and is not what was written is told. */
static whet_status begin_part(whet_ctx *ctx, whet_i_tune *run) {
    whet_status status = WHET_OK;
    run->state.best = NAN;
    if (run->part->from)
        status = whet_i_training_load(ctx, run->part->from, run->optimizer, &run->state,
                                      run->fingerprint);
    if (status == WHET_ERR_NOMEM || status == WHET_ERR_CANCELLED) return status;
    if (status != WHET_OK && access(run->part->from, F_OK) == 0)
        whet_i_log(ctx, WHET_LOG_WARN, "%s; its steps are taken again", whet_error(ctx));
    if (run->state.step) WHET_TRY(whet_i_params_pack(ctx, run->params));
    run->stopped_early = run->part->patience > 0 && run->state.bad >= run->part->patience;
    return run->state.epoch < run->job.epochs ? begin_epoch(ctx, run) : WHET_OK;
}

/* Of all weights it would be large, and slower to write than to make again. */
static whet_status leave_checkpoint(whet_ctx *ctx, const whet_i_tune *run) {
    enum { COPIES = 3, BYTES_MAX = 64 << 20 };
    const int64_t count = whet_i_params_trainable(run->params);
    if (!run->part->to || count > BYTES_MAX / COPIES / (int64_t)sizeof(float)) return WHET_OK;
    const whet_status status =
        whet_i_training_save(ctx, run->part->to, run->optimizer, &run->state, run->fingerprint);
    if (status != WHET_ERR_IO) return status;
    whet_i_log(ctx, WHET_LOG_WARN, "%s; the steps will be made again", whet_error(ctx));
    return WHET_OK;
}

whet_status whet_i_tune_train_part(whet_ctx *ctx, whet_i_tune *run) {
    whet_i_tune_part *p = run->part;
    whet_i_tune_score score;
    run->begun = whet_i_seconds_now();
    count_steps(run);
    p->steps = 0;
    p->first = p->last = p->norm = 0;
    p->total = run->total_steps;
    p->step = (int64_t)fmax(1, ceil(p->share * (double)p->total - 1e-9));
    WHET_TRY(begin_part(ctx, run));
    WHET_TRY(all_steps(ctx, run, p->step));
    p->seconds = whet_i_seconds_now() - run->begun;
    p->early = run->stopped_early;
    p->step = run->state.step;
    WHET_TRY(whet_i_tune_evaluate(ctx, run, &score));
    p->metric = whet_i_tune_metric_of(run, &score);
    p->loss = run->kind->metrics >> WHET_TUNE_METRIC_LOSS & 1 ? score.loss : (double)NAN;
    return leave_checkpoint(ctx, run);
}
