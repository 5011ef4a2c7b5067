/* SPDX-License-Identifier: Apache-2.0
 * The comparison of adapters: task by task, seed by seed, method by method. The first seed tries the method's
 * rates on a fifth of its training rows; every seed then trains with the best of them on all its rows, and is
 * tested once, at the end. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "bench/glue_i.h"

#include "whet/nn.h"

enum { MOST_ROWS = 32 /* of each table */ };
#define WARMUP .06
#define DECAY .001

typedef struct job {
    whet_glue_job asked;
    bool task[MOST_ROWS], method[MOST_ROWS];
    uint64_t data[MOST_ROWS]; /* hashes of the tables of tasks that are asked for */
    whet_i_glue_runs runs;
    whet_i_bench_place place; /* in it a folder of tables and models, while it runs */
    int64_t done, total;
} job;

/* ---- what is asked for ------------------------------------------------------------------------- */

static const char *task_name(int64_t i) { return whet_i_glue_tasks[i].name; }
static const char *method_name(int64_t i) { return whet_i_glue_methods[i].name; }
static const char *file_name(int64_t i) { return whet_i_glue_tasks[i].train; }

static whet_status check(whet_ctx *ctx, const whet_glue_job *j) {
    if (!j->data || !j->model || !j->output)
        return whet_i_fail(ctx, WHET_ERR_ARG, "expected a folder of data, a model and an output");
    if (j->seeds < 1 || j->seeds > 100 || j->epochs < 1 || j->epochs > 1000 || j->train < 20 ||
        j->test < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%" PRId32 " seeds, %" PRId64 " epochs, %" PRId64
                           " training and %" PRId64
                           " test rows; expected 1 to 100, 1 to 1000, 20 or more, 1 or more",
                           j->seeds, j->epochs, j->train, j->test);
    return WHET_OK;
}

static whet_status read_lists(whet_ctx *ctx, job *j) {
    const whet_glue_job *a = &j->asked;
    WHET_TRY(whet_i_name_list(ctx, "task", a->tasks, task_name, whet_i_glue_task_count(), j->task));
    WHET_TRY(whet_i_name_list(ctx, "method", a->methods, method_name, whet_i_glue_method_count(),
                              j->method));
    WHET_TRY(whet_i_bench_data(ctx, a->data));
    for (int64_t t = 0; t < whet_i_glue_task_count(); t++) {
        const whet_i_glue_task *task = &whet_i_glue_tasks[t];
        WHET_TRY(whet_i_bench_require(ctx, a->tasks, task->name, a->data, task->train,
                                      whet_i_glue_there(ctx, a->data, task), &j->task[t]));
        if (!j->task[t]) continue;
        WHET_TRY(whet_i_bench_mix_file(ctx, a->data, task->train, &j->data[t]));
        WHET_TRY(whet_i_bench_mix_file(ctx, a->data, task->test, &j->data[t]));
        WHET_TRY(whet_i_glue_check(ctx, a->data, task));
    }
    return whet_i_bench_any(ctx, a->data, "task", j->task, file_name, "", whet_i_glue_task_count());
}

static whet_status open_output(whet_ctx *ctx, job *j) {
    const whet_glue_job *a = &j->asked;
    whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
    whet_encoder *encoder = NULL;
    char *path = NULL;
    json_t *settings = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_encoder_load(ctx, a->model, &opts, &encoder));
    settings = json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:I, s:s}", "bench", "glue", "whet",
                         whet_version(), "seed", (json_int_t)a->seed, "model",
                         whet_encoder_fingerprint(encoder), "train", (json_int_t)a->train, "test",
                         (json_int_t)a->test, "epochs", (json_int_t)a->epochs, "dtype",
                         whet_dtype_name(a->dtype));
    WHET_TRY_DONE(whet_i_bench_folders(ctx, a->output, "work", "runs.jsonl", &j->place, &path));
    status = whet_i_glue_runs_open(ctx, path, settings, a->force, j->data, &j->runs);
done:
    json_decref(settings);
    whet_i_free(ctx, path);
    whet_encoder_destroy(ctx, encoder);
    return status;
}

/* ---- one run ------------------------------------------------------------------------------------ */

/* Settings stand beforehand: those of the authors' runs on GLUE (batches of 16, cosine, 6 % warm-up, decay
 * .001), the head of the model's family. It is validated once, at the end, so that no step is chosen. */
static whet_tune_job tune_job(const job *j, const whet_i_glue_run *run,
                              const whet_i_glue_rows *rows, const char *folder) {
    const bool tested = run->rate < 0;
    const whet_i_glue_task *task = &whet_i_glue_tasks[run->task];
    const whet_i_glue_method *method = &whet_i_glue_methods[run->method];
    whet_tune_job t = WHET_TUNE_JOB_INIT;
    t.model = j->asked.model;
    t.train = tested ? rows->train : rows->fit;
    t.valid = tested ? rows->test : rows->choose;
    t.classes = rows->classes;
    t.second = task->second ? "second" : NULL;
    t.task = task->numbers ? WHET_TUNE_REGRESS : WHET_TUNE_CLASSIFY;
    t.metric = task->metric;
    t.adapter = method->adapter;
    t.rank = method->rank;
    t.blocks = method->blocks;
    t.learning_rate = run->learning_rate;
    t.epochs = j->asked.epochs;
    t.schedule = WHET_TUNE_COSINE;
    t.warmup = WARMUP;
    t.weight_decay = DECAY;
    t.dtype = j->asked.dtype;
    t.new_head = true; /* whatever the folder was tuned for */
    t.evaluate_steps = INT64_MAX;
    t.save_steps = INT64_MAX;
    t.seed = j->asked.seed + (uint64_t)run->seed;
    t.output = folder;
    t.force = true; /* the folder is new, and there */
    return t;
}

static whet_status read_report(whet_ctx *ctx, const char *report, whet_i_glue_run *run) {
    json_t *o;
    WHET_TRY(whet_i_json_parse(ctx, "training.json", report, (int64_t)strlen(report), &o));
    const json_t *best = json_object_get(o, "best");
    const json_t *metric = json_object_get(best, whet_i_glue_tasks[run->task].metric_name);
    run->metric = json_is_number(metric) ? json_number_value(metric) : (double)NAN;
    run->seconds = json_number_value(json_object_get(o, "seconds"));
    run->trained = json_integer_value(json_object_get(o, "trained_parameters"));
    run->steps = json_integer_value(json_object_get(o, "steps"));
    run->rows = json_integer_value(json_object_get(best, "n"));
    json_decref(o);
    return WHET_OK;
}

/* Training that comes to nothing belongs in the table; what stops the comparison does not. */
static bool goes_on(whet_status status) { return status == WHET_ERR_NUMERIC; }

static whet_status run_one(whet_ctx *ctx, job *j, whet_i_glue_run *run,
                           const whet_i_glue_rows *rows) {
    char *path = NULL, *report = NULL;
    whet_out_dir *folder = NULL;
    size_t before, peak;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_progress(ctx, "runs", j->done, j->total));
    whet_i_note(ctx, "%s %s %g", whet_i_glue_tasks[run->task].name,
                whet_i_glue_methods[run->method].name, run->learning_rate);
    WHET_TRY_DONE(whet_i_join_path(ctx, j->place.inner, "model", &path));
    WHET_TRY_DONE(whet_out_dir_open(ctx, path, false, &folder));
    const whet_tune_job t = tune_job(j, run, rows, whet_out_dir_path(folder));
    whet_i_memory_mark(ctx);
    whet_ctx_memory(ctx, &before, NULL);
    status = whet_tune_run(ctx, &t, &report);
    whet_ctx_memory(ctx, NULL, &peak);
    run->megabytes = (double)(peak - before) / 1e6;
    if (goes_on(status)) {
        (void)snprintf(run->failed, sizeof run->failed, "%s", whet_error(ctx));
        run->metric = run->seconds = NAN;
        status = WHET_OK;
    } else if (status == WHET_OK) {
        status = read_report(ctx, report, run);
    }
    WHET_TRY_DONE(status);
    j->done++;
    status = whet_i_glue_runs_add(ctx, &j->runs, run);
done:
    whet_free_text(ctx, report);
    whet_out_dir_abort(ctx, folder);
    whet_i_free(ctx, path);
    return status;
}

/* ---- a task and a seed -------------------------------------------------------------------------- */

/* The rate that did best; the lowest of equals. */
static double best_rate(const job *j, int32_t task, int32_t method) {
    double rate = whet_i_glue_methods[method].rates[0], most = -INFINITY;
    for (int32_t i = 0; i < WHET_I_GLUE_RATES; i++) {
        const whet_i_glue_run key = {.task = task, .method = method, .rate = i};
        const whet_i_glue_run *run = whet_i_glue_runs_find(&j->runs, &key);
        if (!run || !(run->metric > most)) continue;
        most = run->metric;
        rate = run->learning_rate;
    }
    return rate;
}

static bool missing(const job *j, int32_t task, int32_t method, int64_t seed, int32_t rate) {
    const whet_i_glue_run key = {.task = task, .method = method, .rate = rate, .seed = seed};
    return j->method[method] && !whet_i_glue_runs_find(&j->runs, &key);
}

static int64_t count_missing(const job *j, int32_t task, int64_t seed) {
    int64_t n = 0;
    for (int32_t m = 0; m < whet_i_glue_method_count(); m++)
        for (int32_t rate = -1; rate < (seed == 0 ? WHET_I_GLUE_RATES : 0); rate++)
            n += missing(j, task, m, seed, rate);
    return n;
}

static whet_status run_method(whet_ctx *ctx, job *j, int32_t task, int32_t method, int64_t seed,
                              const whet_i_glue_rows *rows) {
    for (int32_t i = 0; seed == 0 && i < WHET_I_GLUE_RATES; i++) {
        whet_i_glue_run run = {.task = task,
                               .method = method,
                               .rate = i,
                               .learning_rate = whet_i_glue_methods[method].rates[i]};
        if (missing(j, task, method, 0, i)) WHET_TRY(run_one(ctx, j, &run, rows));
    }
    whet_i_glue_run run = {.task = task,
                           .method = method,
                           .rate = -1,
                           .seed = seed,
                           .learning_rate = best_rate(j, task, method)};
    return missing(j, task, method, seed, -1) ? run_one(ctx, j, &run, rows) : WHET_OK;
}

static whet_status run_seed(whet_ctx *ctx, job *j, int32_t task, int64_t seed) {
    whet_i_glue_rows rows = {0};
    if (count_missing(j, task, seed) == 0) return WHET_OK;
    WHET_TRY(whet_i_glue_rows_make(ctx, j->asked.data, &whet_i_glue_tasks[task], j->place.inner,
                                   j->asked.train, j->asked.test, j->asked.seed + (uint64_t)seed,
                                   j->asked.seed, &rows));
    whet_status status = WHET_OK;
    for (int32_t m = 0; status == WHET_OK && m < whet_i_glue_method_count(); m++)
        if (j->method[m]) status = run_method(ctx, j, task, m, seed, &rows);
    whet_i_glue_rows_free(ctx, &rows);
    return status;
}

/* ---- the entrance ------------------------------------------------------------------------------- */

static whet_status write_all(whet_ctx *ctx, const job *j, char **text, char **json) {
    whet_i_buf made[3] = {{0}};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_glue_text(ctx, &j->runs, &made[0]));
    WHET_TRY_DONE(whet_i_glue_json(ctx, &j->runs, &made[1]));
    WHET_TRY_DONE(whet_i_glue_tsv(ctx, &j->runs, &made[2]));
    WHET_TRY_DONE(whet_i_bench_write(ctx, j->asked.output, "summary.json", &made[1]));
    WHET_TRY_DONE(whet_i_bench_write(ctx, j->asked.output, "table.tsv", &made[2]));
    for (int i = 0; i < 2; i++) {
        char **out = i ? json : text;
        if (!out) continue;
        *out = made[i].data;
        made[i] = (whet_i_buf){0};
    }
done:
    for (int i = 0; i < 3; i++) whet_i_buf_free(ctx, &made[i]);
    return status;
}

whet_status whet_glue_run(whet_ctx *ctx, const whet_glue_job *asked, char **text, char **json) {
    job j = {.asked = WHET_GLUE_JOB_INIT};
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_opts(ctx, asked, &j.asked, sizeof j.asked, "whet_glue_job"));
    WHET_TRY(check(ctx, &j.asked));
    WHET_TRY(read_lists(ctx, &j));
    WHET_TRY_DONE(open_output(ctx, &j));
    for (int32_t t = 0; t < whet_i_glue_task_count(); t++)
        for (int64_t s = 0; j.task[t] && s < j.asked.seeds; s++) j.total += count_missing(&j, t, s);
    for (int32_t t = 0; t < whet_i_glue_task_count(); t++)
        for (int64_t s = 0; j.task[t] && s < j.asked.seeds; s++)
            WHET_TRY_DONE(run_seed(ctx, &j, t, s));
    WHET_TRY_DONE(whet_i_progress(ctx, "runs", j.total, j.total));
    status = write_all(ctx, &j, text, json);
done:
    whet_i_bench_leave(ctx, &j.place);
    whet_i_glue_runs_close(ctx, &j.runs);
    return status;
}
