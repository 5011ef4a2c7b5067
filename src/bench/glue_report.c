/* SPDX-License-Identifier: Apache-2.0
 * What the runs of the comparison of adapters come to: by task and method, over tasks, and beside LoRA. */
#include <inttypes.h>
#include <math.h>

#include "bench/glue_i.h"

static const char beside[] = "lora-8"; /* the method that others are held against */

typedef struct group {
    whet_i_mean metric;
    double rate, seconds, megabytes;
    int64_t trained, failed;
} group;

static group group_of(const whet_i_glue_runs *runs, int32_t task, int32_t method) {
    whet_i_sums metric = {0}, seconds = {0}, megabytes = {0};
    group g = {0};
    for (int64_t i = 0; i < runs->n; i++) {
        const whet_i_glue_run *r = &runs->item[i];
        if (r->task != task || r->method != method || r->rate >= 0) continue;
        whet_i_sums_add(&metric, r->metric);
        whet_i_sums_add(&seconds, r->seconds);
        whet_i_sums_add(&megabytes, r->megabytes);
        g.failed += r->failed[0] != '\0';
        g.rate = r->learning_rate;
        g.trained = r->trained;
    }
    g.metric = whet_i_mean_of(&metric);
    g.seconds = whet_i_mean_of(&seconds).mean;
    g.megabytes = whet_i_mean_of(&megabytes).mean;
    return g;
}

static bool has_method(const whet_i_glue_runs *runs, int32_t method) {
    bool any = false;
    for (int32_t t = 0; t < whet_i_glue_task_count() && !any; t++)
        any = group_of(runs, t, method).metric.n > 0;
    return any;
}

/* Tested by every method that has been tested at all. */
static bool is_whole(const whet_i_glue_runs *runs, int32_t task) {
    bool any = false;
    for (int32_t m = 0; m < whet_i_glue_method_count(); m++) {
        if (!has_method(runs, m)) continue;
        if (group_of(runs, task, m).metric.n == 0) return false;
        any = true;
    }
    return any;
}

static int32_t method_place(const char *name) {
    int32_t at = 0;
    while (strcmp(whet_i_glue_methods[at].name, name) != 0) at++;
    return at;
}

/* Differences from the other method: of its runs on the same task with the same seed, averaged over seeds;
 * the interval is over tasks. */
typedef struct standing {
    double mean; /* of the metric, over whole tasks */
    whet_i_mean difference;
    int64_t tasks;
} standing;

static whet_i_mean difference_on(const whet_i_glue_runs *runs, int32_t task, int32_t method,
                                 int32_t other) {
    whet_i_sums sums = {0};
    for (int64_t i = 0; i < runs->n; i++) {
        const whet_i_glue_run *r = &runs->item[i];
        if (r->task != task || r->method != method || r->rate >= 0) continue;
        const whet_i_glue_run key = {.task = task, .method = other, .rate = -1, .seed = r->seed};
        const whet_i_glue_run *o = whet_i_glue_runs_find(runs, &key);
        if (o) whet_i_sums_add(&sums, r->metric - o->metric);
    }
    return whet_i_mean_of(&sums);
}

static standing standing_of(const whet_i_glue_runs *runs, int32_t method) {
    const int32_t other = method_place(beside);
    whet_i_sums means = {0}, differences = {0};
    for (int32_t t = 0; t < whet_i_glue_task_count(); t++) {
        if (!is_whole(runs, t)) continue;
        whet_i_sums_add(&means, group_of(runs, t, method).metric.mean);
        whet_i_sums_add(&differences, difference_on(runs, t, method, other).mean);
    }
    return (standing){.mean = whet_i_mean_of(&means).mean,
                      .difference = whet_i_mean_of(&differences),
                      .tasks = means.n};
}

/* ---- text --------------------------------------------------------------------------------------- */

static whet_status put_cell(whet_ctx *ctx, const whet_i_mean *m, whet_i_buf *out) {
    if (m->n == 0) {
        WHET_PUT(" %14s", "-");
    } else if (isfinite(m->low)) {
        WHET_PUT(" %6.1f +- %4.1f", 100 * m->mean, 50 * (m->high - m->low));
    } else {
        WHET_PUT(" %6.1f        ", 100 * m->mean);
    }
    return WHET_OK;
}

static whet_status put_standing(whet_ctx *ctx, const whet_i_glue_runs *runs, int32_t m,
                                whet_i_buf *out) {
    const standing s = standing_of(runs, m);
    if (s.tasks == 0) return WHET_OK;
    WHET_PUT("  %-10s %6.1f", whet_i_glue_methods[m].name, 100 * s.mean);
    if (s.difference.n > 0) WHET_PUT("   %+5.1f", 100 * s.difference.mean);
    if (isfinite(s.difference.low))
        WHET_PUT(" (%+.1f to %+.1f)", 100 * s.difference.low, 100 * s.difference.high);
    WHET_PUT("\n");
    return WHET_OK;
}

static whet_status put_task(whet_ctx *ctx, const whet_i_glue_runs *runs, int32_t t,
                            whet_i_buf *out) {
    bool head = false;
    for (int32_t m = 0; m < whet_i_glue_method_count(); m++) {
        const group g = group_of(runs, t, m);
        if (g.metric.n + g.failed == 0) continue;
        if (!head)
            WHET_PUT("%s (%s)%*s trained   rate    seconds   MB\n", whet_i_glue_tasks[t].name,
                     whet_i_glue_tasks[t].metric_name, 14, "");
        head = true;
        WHET_PUT("  %-10s", whet_i_glue_methods[m].name);
        WHET_TRY(put_cell(ctx, &g.metric, out));
        WHET_PUT(" %10" PRId64 "  %.0e %8.1f %6.0f%s\n", g.trained, g.rate, g.seconds, g.megabytes,
                 g.failed ? "  (some runs came to nothing)" : "");
    }
    return WHET_OK;
}

whet_status whet_i_glue_text(whet_ctx *ctx, const whet_i_glue_runs *runs, whet_i_buf *out) {
    int64_t whole = 0;
    for (int32_t t = 0; t < whet_i_glue_task_count(); t++) {
        WHET_TRY(put_task(ctx, runs, t, out));
        whole += is_whole(runs, t);
    }
    WHET_PUT("over %" PRId64 " tasks: mean, and difference from %s with the same rows (95 %% over "
             "tasks)\n",
             whole, beside);
    for (int32_t m = 0; m < whet_i_glue_method_count(); m++)
        WHET_TRY(put_standing(ctx, runs, m, out));
    return WHET_OK;
}

/* ---- JSON and TSV ------------------------------------------------------------------------------- */

static json_t *mean_json(const whet_i_mean *m) {
    return json_pack("{s:I, s:o, s:o, s:o}", "n", (json_int_t)m->n, "mean",
                     whet_i_json_number(m->mean), "low", whet_i_json_number(m->low), "high",
                     whet_i_json_number(m->high));
}

static json_t *group_json(int32_t t, int32_t m, const group *g) {
    return json_pack("{s:s, s:s, s:s, s:o, s:f, s:I, s:o, s:o, s:I}", "task",
                     whet_i_glue_tasks[t].name, "method", whet_i_glue_methods[m].name, "metric",
                     whet_i_glue_tasks[t].metric_name, "value", mean_json(&g->metric), "rate",
                     g->rate, "trained", (json_int_t)g->trained, "seconds",
                     whet_i_json_number(g->seconds), "megabytes", whet_i_json_number(g->megabytes),
                     "failed", (json_int_t)g->failed);
}

static json_t *standing_json(const whet_i_glue_runs *runs, int32_t m) {
    const standing s = standing_of(runs, m);
    return json_pack("{s:s, s:I, s:o, s:o, s:s}", "method", whet_i_glue_methods[m].name, "tasks",
                     (json_int_t)s.tasks, "mean", whet_i_json_number(s.mean), "difference",
                     mean_json(&s.difference), "beside", beside);
}

whet_status whet_i_glue_json(whet_ctx *ctx, const whet_i_glue_runs *runs, whet_i_buf *out) {
    json_t *groups = json_array(), *methods = json_array();
    for (int32_t m = 0; m < whet_i_glue_method_count(); m++) {
        for (int32_t t = 0; t < whet_i_glue_task_count(); t++) {
            const group g = group_of(runs, t, m);
            if (g.metric.n + g.failed > 0)
                (void)json_array_append_new(groups, group_json(t, m, &g));
        }
        if (has_method(runs, m)) (void)json_array_append_new(methods, standing_json(runs, m));
    }
    json_t *root = json_pack("{s:O, s:o, s:o}", "settings", runs->lines.settings, "results", groups,
                             "methods", methods);
    const whet_status status =
        whet_i_json_dump(ctx, root, JSON_INDENT(1) | JSON_REAL_PRECISION(9), out);
    json_decref(root);
    return status;
}

whet_status whet_i_glue_tsv(whet_ctx *ctx, const whet_i_glue_runs *runs, whet_i_buf *out) {
    WHET_PUT("task\tmethod\tmetric\tseeds\tmean\tlow\thigh\trate\ttrained\tseconds\tmegabytes\n");
    for (int32_t t = 0; t < whet_i_glue_task_count(); t++)
        for (int32_t m = 0; m < whet_i_glue_method_count(); m++) {
            const group g = group_of(runs, t, m);
            if (g.metric.n + g.failed == 0) continue;
            WHET_PUT("%s\t%s\t%s\t%" PRId64 "\t%.6g\t%.6g\t%.6g\t%g\t%" PRId64 "\t%.6g\t%.6g\n",
                     whet_i_glue_tasks[t].name, whet_i_glue_methods[m].name,
                     whet_i_glue_tasks[t].metric_name, g.metric.n, g.metric.mean, g.metric.low,
                     g.metric.high, g.rate, g.trained, g.seconds, g.megabytes);
        }
    return WHET_OK;
}
