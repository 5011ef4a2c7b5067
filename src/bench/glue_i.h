/* SPDX-License-Identifier: Apache-2.0
 * The comparison of adapters: tasks, methods, and the training runs that they make. Each is a table; another
 * task or method is a row.
 * Legend: a run is (task, method, seed, rate); its rate is one of the method's, tried on a part of the
 * training rows, or the chosen one, on all of them. */
#ifndef WHET_GLUE_I_H
#define WHET_GLUE_I_H

#include "bench/bench_i.h"

#include "whet/tune.h"

enum { WHET_I_GLUE_RATES = 3 };

typedef struct whet_i_glue_task {
    const char *name;
    const char *train, *test;          /* below the data folder */
    const char *text, *second, *label; /* columns; second NULL = single texts */
    bool numbers;
    whet_tune_metric metric;
    const char *metric_name;
} whet_i_glue_task;

extern const whet_i_glue_task whet_i_glue_tasks[];
int64_t whet_i_glue_task_count(void);

typedef struct whet_i_glue_method {
    const char *name;
    whet_tune_adapter adapter;
    int64_t rank, blocks;
    double rates[WHET_I_GLUE_RATES];
} whet_i_glue_method;

extern const whet_i_glue_method whet_i_glue_methods[];
int64_t whet_i_glue_method_count(void);

/* ---- rows (glue_rows.c) ------------------------------------------------------------------------ */

/* Tables of one task and seed, in a folder: `fit` and `choose`, a fifth of the training rows, to try rates;
 * `train`, both; `test`, the same rows for each seed. */
typedef struct whet_i_glue_rows {
    char *fit, *choose, *train, *test;
    char *classes; /* all of the task's, a list; NULL = it has numbers */
    int64_t n_train, n_test;
} whet_i_glue_rows;

bool whet_i_glue_there(whet_ctx *ctx, const char *data, const whet_i_glue_task *task);
/* Whether its tables can be trained and tested on. Errors: as tables; FORMAT, DATA, with file and line. */
WHET_CHECKED whet_status whet_i_glue_check(whet_ctx *ctx, const char *data,
                                           const whet_i_glue_task *task);
/* At most train and test rows, drawn by the seed (test rows: by the job's). Errors: as tables, IO. */
WHET_CHECKED whet_status whet_i_glue_rows_make(whet_ctx *ctx, const char *data,
                                               const whet_i_glue_task *task, const char *folder,
                                               int64_t train, int64_t test, uint64_t seed,
                                               uint64_t job_seed, whet_i_glue_rows *out);
/* Removes the tables, too. {0} is fine. */
void whet_i_glue_rows_free(whet_ctx *ctx, whet_i_glue_rows *rows);

/* ---- runs (glue_runs.c) ------------------------------------------------------------------------ */

typedef struct whet_i_glue_run {
    int32_t task, method, rate; /* rate -1: the chosen one, tested */
    int64_t seed;
    double learning_rate, metric, seconds, megabytes; /* metric NaN: it failed */
    int64_t trained, steps, rows;
    char failed[200];
} whet_i_glue_run;

typedef struct whet_i_glue_runs {
    whet_i_glue_run *item;
    int64_t n, cap;
    const uint64_t *data; /* [tasks] hashes of their tables; 0 = not asked for now */
    whet_i_lines lines;
} whet_i_glue_runs;

/* Runs of other tables than `data`'s, which must outlive *out, are not among those. */
WHET_CHECKED whet_status whet_i_glue_runs_open(whet_ctx *ctx, const char *path, json_t *settings,
                                               bool force, const uint64_t *data,
                                               whet_i_glue_runs *out);
const whet_i_glue_run *whet_i_glue_runs_find(const whet_i_glue_runs *runs,
                                             const whet_i_glue_run *key);
WHET_CHECKED whet_status whet_i_glue_runs_add(whet_ctx *ctx, whet_i_glue_runs *runs,
                                              const whet_i_glue_run *run);
void whet_i_glue_runs_close(whet_ctx *ctx, whet_i_glue_runs *runs);

/* ---- what it comes to (glue_report.c) ----------------------------------------------------------- */

/* Text, JSON and TSV of task x method: mean over seeds with interval, numbers trained, seconds, memory; over
 * tasks that all methods have: the mean of the metric, and its difference from LoRA of rank 8. */
WHET_CHECKED whet_status whet_i_glue_text(whet_ctx *ctx, const whet_i_glue_runs *runs,
                                          whet_i_buf *out);
WHET_CHECKED whet_status whet_i_glue_json(whet_ctx *ctx, const whet_i_glue_runs *runs,
                                          whet_i_buf *out);
WHET_CHECKED whet_status whet_i_glue_tsv(whet_ctx *ctx, const whet_i_glue_runs *runs,
                                         whet_i_buf *out);

#endif
