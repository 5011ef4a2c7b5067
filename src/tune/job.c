/* SPDX-License-Identifier: Apache-2.0
 * whet_tune_run: settings checked and filled in, then stage by stage. Complaints come as early as they
 * can: the output folder and the settings before anything is read, memory before the first step. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tune/tune_i.h"

#include "whet/adapters.h"

/* ---- settings --------------------------------------------------------------------------------- */

void whet_i_tune_fill_defaults(whet_tune_job *j) {
    if (!j->text) j->text = "text";
    if (!j->label) j->label = "label";
    if (!j->rank) j->rank = 8;
    if (!j->blocks) j->blocks = 4;
    if (j->alpha == 0) j->alpha = 2 * (double)j->rank;
    if (!j->epochs) j->epochs = 3;
    if (j->learning_rate == 0) j->learning_rate = whet_i_tune_adapter_find(j->adapter)->rate;
    if (j->head_rate == 0) j->head_rate = 1;
    if (j->second_rate == 0) j->second_rate = 1;
    if (j->weight_decay < 0) j->weight_decay = 0.01;
    if (j->warmup < 0) j->warmup = 0.1;
    if (j->label_weight == 0) j->label_weight = 1;
    const whet_i_tune_kind *kind = whet_i_tune_kind_of(j->loss);
    if (!j->batch_size) j->batch_size = kind && kind->compares ? 32 : 16;
    if (!j->batch_tokens) j->batch_tokens = 2048;
}

static whet_status out_of_range(whet_ctx *ctx, const char *name, double found,
                                const char *expected) {
    return whet_i_fail(ctx, WHET_ERR_ARG, "%s is %g; expected %s", name, found, expected);
}

whet_status whet_i_tune_check_numbers(whet_ctx *ctx, const whet_tune_job *j) {
    if (j->rank < 1 || j->rank > 1024)
        return out_of_range(ctx, "rank", (double)j->rank, "1 to 1024");
    if (j->blocks < 1 || j->blocks > 64)
        return out_of_range(ctx, "blocks", (double)j->blocks, "1 to 64");
    if (j->epochs < 1 || j->epochs > 1000000)
        return out_of_range(ctx, "epochs", (double)j->epochs, "1 to 1000000");
    if (!(j->learning_rate > 0 && j->learning_rate <= 1e3))
        return out_of_range(ctx, "the learning rate", j->learning_rate, "a number above 0");
    if (!(j->head_rate > 0 && j->head_rate < 1e6))
        return out_of_range(ctx, "the head's rate", j->head_rate, "a number above 0");
    if (!(j->second_rate > 0 && j->second_rate < 1e6))
        return out_of_range(ctx, "the second factors' rate", j->second_rate, "a number above 0");
    if (!(j->smoothing >= 0 && j->smoothing < 1))
        return out_of_range(ctx, "label smoothing", j->smoothing, "0 to below 1");
    if (!(j->label_weight > 0 && j->label_weight <= 1e6))
        return out_of_range(ctx, "the labels' weight", j->label_weight, "above 0, to 1e6");
    if (!(j->dropout < 1)) return out_of_range(ctx, "dropout", j->dropout, "0 to below 1");
    if (!(j->adapter_dropout >= 0 && j->adapter_dropout < 1))
        return out_of_range(ctx, "the adapters' dropout", j->adapter_dropout, "0 to below 1");
    if (!(j->clip >= 0)) return out_of_range(ctx, "clipping", j->clip, "0 or more");
    if (j->batch_size < 1 || j->batch_size > 1 << 20)
        return out_of_range(ctx, "the batch size", (double)j->batch_size, "1 to 1048576");
    if (j->batch_tokens < 1 || j->batch_tokens > 1 << 24)
        return out_of_range(ctx, "tokens a batch", (double)j->batch_tokens, "1 to 16777216");
    if (j->patience < 0 || j->evaluate_steps < 0 || j->save_steps < 0)
        return whet_i_fail(ctx, WHET_ERR_ARG, "a negative number of steps; expected 0 or more");
    if (j->dtype != WHET_F32 && j->dtype != WHET_BF16)
        return whet_i_fail(ctx, WHET_ERR_ARG, "dtype is %s; expected f32 or bf16",
                           whet_dtype_name(j->dtype));
    return WHET_OK;
}

static whet_status is_of(whet_ctx *ctx, bool given, const char *what, const char *of) {
    if (!given) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG, "%s of adapters that have none; expected adapter %s",
                       what, of);
}

/* What was given that the adapter does not have. */
static whet_status check_adapter(whet_ctx *ctx, const whet_tune_job *j) {
    const whet_i_tune_adapter *a = whet_i_tune_adapter_find(j->adapter);
    if (!a->adapts) WHET_TRY(is_of(ctx, j->rank_pattern, "ranks", "lora, dora or more"));
    if (!a->blocks) WHET_TRY(is_of(ctx, j->blocks_pattern, "blocks", "more"));
    if (!a->scaled) {
        WHET_TRY(is_of(ctx, j->alpha_pattern, "alphas", "lora or dora"));
        WHET_TRY(is_of(ctx, j->rank_stabilised, "a stabilised scale", "lora or dora"));
    }
    if (!a->adapts) WHET_TRY(is_of(ctx, j->adapter_dropout > 0, "dropout", "lora, dora or more"));
    if (!a->adapts)
        WHET_TRY(is_of(ctx, j->second_rate != 1, "a rate of second factors", "lora, dora or more"));
    return WHET_OK;
}

static whet_status check_job(whet_ctx *ctx, const whet_i_tune *run) {
    const whet_tune_job *j = &run->job;
    if (!j->model || !j->train || (!j->output && !run->given))
        return whet_i_fail(
            ctx, WHET_ERR_ARG,
            "a model, a training table and an output are needed; expected all three");
    if (!j->valid && !run->survey &&
        (j->patience || j->evaluate_steps || j->metric != WHET_TUNE_METRIC_AUTO))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a metric, patience and validation steps need a validation table; "
                           "expected one");
    WHET_TRY(whet_i_tune_check_loss(ctx, j));
    WHET_TRY(check_adapter(ctx, j));
    return whet_i_tune_check_numbers(ctx, j);
}

static whet_status holds(whet_ctx *ctx, const whet_tune_job *j, const char *name, bool *out) {
    struct stat info;
    char *path;
    WHET_TRY(whet_i_join_path(ctx, j->output, name, &path));
    *out = stat(path, &info) == 0;
    whet_i_free(ctx, path);
    return WHET_OK;
}

static whet_status check_checkpoint(whet_ctx *ctx, const whet_tune_job *j) {
    bool stopped, finished;
    WHET_TRY(holds(ctx, j, WHET_I_TUNE_STATE_FILE, &stopped));
    if (stopped) return WHET_OK;
    WHET_TRY(holds(ctx, j, WHET_I_TUNE_REPORT_FILE, &finished));
    if (finished)
        return whet_i_fail(ctx, WHET_ERR_EXISTS,
                           "%s: its run was finished (%s), and nothing is left to go on with; try "
                           "another output, or --force to train again",
                           j->output, WHET_I_TUNE_REPORT_FILE);
    return whet_i_fail(ctx, WHET_ERR_IO, "%s: no checkpoint (%s); expected one to go on from",
                       j->output, WHET_I_TUNE_STATE_FILE);
}

static whet_status check_folder(whet_ctx *ctx, whet_i_tune *run) {
    const whet_tune_job *j = &run->job;
    struct stat info;
    if (j->output && j->model && !whet_i_tune_adapter_find(j->adapter)->peft_type)
        WHET_TRY(whet_i_out_check_apart(ctx, j->output, j->model));
    if (j->output && whet_i_tune_is_leftover(j->output)) {
        if (j->resume)
            whet_i_log(ctx, WHET_LOG_WARN,
                       "%s: the run there came to no checkpoint; it is begun again", j->output);
        run->job.resume = false;
        run->made = true;
        return WHET_OK;
    }
    if (j->resume) return check_checkpoint(ctx, j);
    if (!j->output || j->force || lstat(j->output, &info) != 0) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_EXISTS,
                       "%s exists; it is kept; try another output, --force, or --resume to go on",
                       j->output);
}

/* ---- what a checkpoint belongs to ------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, const void *bytes, int64_t len) {
    return whet_i_hash_u64(hash ^ whet_i_hash_long(bytes, len));
}

static uint64_t mix_number(uint64_t hash, double x) { return mix(hash, &x, (int64_t)sizeof x); }

/* Settings, texts, labels and the weights that training starts from; not the threads, which change
 * no bit, nor how often it is saved. */
void whet_i_tune_make_fingerprint(whet_i_tune *run) {
    const whet_tune_job *j = &run->job;
    const double numbers[] = {(double)j->head,
                              (double)j->adapter,
                              (double)j->rank,
                              (double)j->blocks,
                              j->alpha,
                              (double)j->rank_stabilised,
                              j->adapter_dropout,
                              (double)j->epochs,
                              j->learning_rate,
                              j->head_rate,
                              j->weight_decay,
                              (double)j->schedule,
                              j->warmup,
                              j->clip,
                              j->smoothing,
                              run->backbone.dropout[0],
                              run->backbone.dropout[1],
                              run->backbone.dropout[2],
                              (double)j->batch_size,
                              (double)run->sizes.rows[WHET_I_TOKENS],
                              (double)j->no_bucket,
                              (double)j->dtype,
                              (double)run->metric,
                              (double)j->patience,
                              (double)j->evaluate_steps,
                              (double)run->k,
                              (double)run->kind->loss,
                              whet_i_tune_temperature(run),
                              (double)run->valid.n};
    uint64_t hash = whet_i_hash_u64(j->seed);
    if (run->part) hash = mix(hash, run->fingerprint, (int64_t)sizeof run->fingerprint);
    for (int64_t i = 0; i < WHET_COUNT_OF(numbers); i++) hash = mix_number(hash, numbers[i]);
    if (j->second_rate != 1) hash = mix_number(hash, j->second_rate);
    /* Ranks and layers show in the parameters' names and counts; these do not. */
    if (j->alpha_pattern) hash = mix(hash, j->alpha_pattern, (int64_t)strlen(j->alpha_pattern));
    if (j->blocks_pattern) hash = mix(hash, j->blocks_pattern, (int64_t)strlen(j->blocks_pattern));
    const whet_token_rows *t = &run->train.tokens;
    hash = mix(hash, t->ids, t->start[t->n_rows] * (int64_t)sizeof *t->ids);
    if (run->train.labels)
        hash = mix(hash, run->train.labels, run->train.n * (int64_t)sizeof *run->train.labels);
    if (run->train.targets)
        hash = mix(hash, run->train.targets, run->train.n * (int64_t)sizeof *run->train.targets);
    if (run->train.probs)
        hash =
            mix(hash, run->train.probs, run->train.n * run->k * (int64_t)sizeof *run->train.probs);
    if (run->train.asked)
        hash = mix(hash, run->train.asked, run->train.n * (int64_t)sizeof *run->train.asked);
    hash = whet_i_tune_mix_start(run, hash);
    if (run->costs) hash = mix(hash, run->costs, run->k * run->k * (int64_t)sizeof *run->costs);
    for (int64_t i = 0; i < run->params->n; i++) {
        const whet_i_param *p = &run->params->items[i];
        hash = mix(hash, p->name, (int64_t)strlen(p->name));
        hash = mix_number(hash, p->trainable ? (double)p->count : 0);
        if (p->source.data && !run->part)
            hash = mix(hash, p->source.data,
                       whet_tensor_count(&p->source) * (int64_t)whet_dtype_size(p->source.dtype));
    }
    (void)snprintf(run->fingerprint, sizeof run->fingerprint, "%016" PRIx64, hash);
}

/* ---- the run ---------------------------------------------------------------------------------- */

void whet_i_tune_free_rows(whet_ctx *ctx, whet_i_tune_rows *rows) {
    whet_i_free(ctx, rows->asked);
    whet_i_free(ctx, rows->probs);
    whet_i_free(ctx, rows->targets);
    whet_i_free(ctx, rows->labels);
    whet_i_free(ctx, rows->lengths);
    whet_token_rows_destroy(ctx, &rows->tokens);
    whet_i_free(ctx, rows->seconds);
    whet_i_free(ctx, rows->texts);
    whet_table_destroy(ctx, rows->table);
}

void whet_i_tune_free(whet_ctx *ctx, whet_i_tune *run) {
    whet_i_free(ctx, run->points);
    whet_i_buf_free(ctx, &run->log);
    whet_i_batches_free(ctx, &run->batches);
    whet_i_optimizer_destroy(ctx, run->optimizer);
    whet_i_free(ctx, run->batch_texts);
    whet_i_free(ctx, run->batch_targets);
    whet_i_text_batch_free(ctx, &run->batch);
    whet_i_executor_destroy(ctx, run->valid_executor);
    whet_i_executor_destroy(ctx, run->executor);
    whet_i_plan_destroy(ctx, run->valid_plan);
    whet_i_plan_destroy(ctx, run->plan);
    whet_i_graph_destroy(ctx, run->graph);
    whet_i_params_destroy(ctx, run->params);
    whet_i_backbone_close(ctx, &run->backbone);
    whet_i_tune_free_rows(ctx, &run->valid);
    whet_i_tune_free_rows(ctx, &run->train);
    whet_i_adapter_config_free(ctx, &run->config);
    whet_adapter_close(ctx, run->start);
    whet_names_destroy(ctx, run->head.names);
    whet_names_destroy(ctx, run->classes);
    whet_i_arena_free(ctx, &run->arena);
}

/* Of the head on the pooled embedding: one layer. */
static void give_head(const whet_i_tune *run) {
    for (int64_t i = 0; run->given && i < run->params->n; i++) {
        const whet_i_param *p = &run->params->items[i];
        if (!whet_i_backbone_is_head(&run->backbone, p->name) || !run->given->weight) continue;
        memcpy(p->rank == 2 ? run->given->weight : run->given->bias, p->values,
               (size_t)p->count * sizeof *p->values);
    }
}

static whet_status put_files(whet_ctx *ctx, whet_i_tune *run, char **report) {
    WHET_TRY(whet_i_tune_save_model(ctx, run));
    WHET_TRY(whet_i_tune_report(ctx, run, report));
    WHET_TRY(
        whet_i_tune_write(ctx, run, WHET_I_TUNE_REPORT_FILE, *report, (int64_t)strlen(*report)));
    whet_i_tune_end_folder(run);
    return WHET_OK;
}

whet_status whet_i_tune_open(whet_ctx *ctx, whet_i_tune *run) {
    if (run->job.model) WHET_TRY(whet_i_tune_open_start(ctx, run));
    if (!whet_i_tune_adapter_find(run->job.adapter))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "adapter %d is none; expected one of whet_tune_adapter",
                           (int)run->job.adapter);
    whet_i_tune_fill_defaults(&run->job);
    WHET_TRY(check_job(ctx, run));
    if (!run->survey) WHET_TRY(check_folder(ctx, run));
    WHET_TRY(whet_i_backbone_open(ctx, run->job.model, run->job.max_length, run->job.dropout,
                                  &run->backbone));
    WHET_TRY(whet_i_tune_check_backbone(ctx, run));
    WHET_TRY(whet_i_tune_open_head(ctx, run));
    WHET_TRY(whet_i_tune_read(ctx, run));
    return whet_i_tune_choose_metric(ctx, run);
}

static whet_status stages(whet_ctx *ctx, whet_i_tune *run, char **report) {
    WHET_TRY(whet_i_tune_open(ctx, run));
    WHET_TRY(whet_i_tune_build(ctx, run));
    if (!run->given) whet_i_tune_make_fingerprint(run);
    whet_i_weight_files_forget(&run->backbone.files);
    if (run->job.output) WHET_TRY(whet_i_tune_begin_folder(ctx, run));
    WHET_TRY(whet_i_tune_train(ctx, run));
    if (run->given && run->given->pace && run->given->pace->late) return WHET_OK;
    give_head(run);
    WHET_TRY(whet_i_tune_answer(ctx, run));
    return run->job.output ? put_files(ctx, run, report) : WHET_OK;
}

whet_status whet_i_tune_on(whet_ctx *ctx, const whet_tune_job *job, const whet_i_tune_given *given,
                           char **report) {
    whet_i_tune run = {.job = WHET_TUNE_JOB_INIT, .given = given};
    char *text = NULL;
    WHET_TRY(whet_i_opts(ctx, job, &run.job, sizeof run.job, "whet_tune_job"));
    const whet_status status = stages(ctx, &run, &text);
    if (run.writes) whet_i_tune_unmark(run.job.output);
    if (run.writes && run.made && status != WHET_OK) whet_i_tune_sweep_leftover(run.job.output);
    if (status == WHET_OK && report) {
        *report = text;
        text = NULL;
    }
    whet_i_free(ctx, text);
    whet_i_tune_free(ctx, &run);
    return status;
}

whet_status whet_tune_run(whet_ctx *ctx, const whet_tune_job *job, char **report) {
    return whet_i_tune_on(ctx, job, NULL, report);
}
