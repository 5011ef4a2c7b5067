/* SPDX-License-Identifier: Apache-2.0
 * Training runs of the comparison of adapters as lines of a file of results. */
#include <math.h>
#include <stdio.h>

#include "bench/glue_i.h"

void whet_i_glue_runs_close(whet_ctx *ctx, whet_i_glue_runs *runs) {
    whet_i_free(ctx, runs->item);
    whet_i_lines_close(ctx, &runs->lines);
    *runs = (whet_i_glue_runs){0};
}

const whet_i_glue_run *whet_i_glue_runs_find(const whet_i_glue_runs *runs,
                                             const whet_i_glue_run *key) {
    for (int64_t i = 0; i < runs->n; i++) {
        const whet_i_glue_run *r = &runs->item[i];
        if (r->task == key->task && r->method == key->method && r->rate == key->rate &&
            r->seed == key->seed)
            return r;
    }
    return NULL;
}

static whet_status keep(whet_ctx *ctx, whet_i_glue_runs *runs, const whet_i_glue_run *run) {
    if (runs->n == runs->cap) {
        const int64_t cap = runs->cap ? 2 * runs->cap : 128;
        WHET_TRY(whet_i_realloc(ctx, &runs->item, cap));
        runs->cap = cap;
    }
    runs->item[runs->n++] = *run;
    return WHET_OK;
}

static json_t *run_json(const whet_i_glue_runs *runs, const whet_i_glue_run *r) {
    json_t *o =
        json_pack("{s:s, s:s, s:I, s:s, s:f, s:o, s:o, s:o, s:I, s:I, s:I, s:o}", "task",
                  whet_i_glue_tasks[r->task].name, "method", whet_i_glue_methods[r->method].name,
                  "seed", (json_int_t)r->seed, "part", r->rate < 0 ? "test" : "choose", "rate",
                  r->learning_rate, "metric", whet_i_json_number(r->metric), "seconds",
                  whet_i_json_number(r->seconds), "megabytes", whet_i_json_number(r->megabytes),
                  "trained", (json_int_t)r->trained, "steps", (json_int_t)r->steps, "rows",
                  (json_int_t)r->rows, "data", whet_i_bench_hash_json(runs->data[r->task]));
    if (o && r->failed[0]) (void)json_object_set_new(o, "failed", json_string(r->failed));
    return o;
}

/* ---- reading ----------------------------------------------------------------------------------- */

static const char *text_at(const json_t *o, const char *key) {
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

static double number_at(const json_t *o, const char *key) {
    const json_t *value = json_object_get(o, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static int64_t count_at(const json_t *o, const char *key) {
    return json_integer_value(json_object_get(o, key));
}

static int32_t rate_place(const whet_i_glue_method *method, double rate) {
    for (int32_t i = 0; i < WHET_I_GLUE_RATES; i++)
        if (fabs(method->rates[i] - rate) <= 1e-6 * rate) return i;
    return -1;
}

/* false: not a run of today's tables. */
static bool run_of(const json_t *o, whet_i_glue_run *r) {
    *r = (whet_i_glue_run){.task = -1,
                           .method = -1,
                           .rate = -1,
                           .seed = count_at(o, "seed"),
                           .learning_rate = number_at(o, "rate"),
                           .metric = number_at(o, "metric"),
                           .seconds = number_at(o, "seconds"),
                           .megabytes = number_at(o, "megabytes"),
                           .trained = count_at(o, "trained"),
                           .steps = count_at(o, "steps"),
                           .rows = count_at(o, "rows")};
    (void)snprintf(r->failed, sizeof r->failed, "%s", text_at(o, "failed"));
    for (int32_t i = 0; i < whet_i_glue_task_count(); i++)
        if (strcmp(whet_i_glue_tasks[i].name, text_at(o, "task")) == 0) r->task = i;
    for (int32_t i = 0; i < whet_i_glue_method_count(); i++)
        if (strcmp(whet_i_glue_methods[i].name, text_at(o, "method")) == 0) r->method = i;
    if (r->task < 0 || r->method < 0) return false;
    if (strcmp(text_at(o, "part"), "test") == 0) return true;
    r->rate = rate_place(&whet_i_glue_methods[r->method], r->learning_rate);
    return r->rate >= 0;
}

static whet_status take(whet_ctx *ctx, void *arg, const json_t *o) {
    whet_i_glue_runs *runs = arg;
    whet_i_glue_run run;
    if (!run_of(o, &run) || whet_i_glue_runs_find(runs, &run)) return WHET_OK;
    const uint64_t data = runs->data[run.task];
    if (data && !whet_i_bench_is_hash(json_object_get(o, "data"), data)) return WHET_OK;
    return keep(ctx, runs, &run);
}

whet_status whet_i_glue_runs_open(whet_ctx *ctx, const char *path, json_t *settings, bool force,
                                  const uint64_t *data, whet_i_glue_runs *out) {
    whet_i_glue_runs runs = {.data = data};
    const whet_status status =
        whet_i_lines_open(ctx, path, settings, force, take, &runs, &runs.lines);
    if (status == WHET_OK)
        *out = runs;
    else
        whet_i_glue_runs_close(ctx, &runs);
    return status;
}

whet_status whet_i_glue_runs_add(whet_ctx *ctx, whet_i_glue_runs *runs,
                                 const whet_i_glue_run *run) {
    WHET_TRY(keep(ctx, runs, run));
    return whet_i_lines_add(ctx, &runs->lines, run_json(runs, run));
}
