/* SPDX-License-Identifier: Apache-2.0
 * The AutoWS comparison: set by set, seed by seed, feature map by feature map, every method that has not been
 * run; then what it comes to. Rows and feature maps are made only where a cell is missing.
 * Legend: n rows, d columns, k classes. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "bench/autows_i.h"
#include "label/label_i.h"

#include "whet/label.h"

enum { MOST_ROWS = 64 }; /* of each table */

typedef struct wanted {
    bool set[MOST_ROWS], feature[MOST_ROWS], method[MOST_ROWS];
} wanted;

typedef struct run {
    whet_autows_job job;
    wanted wanted;
    whet_encoder *encoder;
    whet_i_feature_tools tools;
    whet_i_bench_place place; /* in it a folder of what takes long to make */
    whet_i_cells cells;
    int64_t done, total; /* cells */
} run;

/* ---- what is asked for ------------------------------------------------ */

static const char *set_name(int64_t i) { return whet_i_sets[i].name; }
static const char *feature_name(int64_t i) { return whet_i_features[i].name; }
static const char *method_name(int64_t i) { return whet_i_autows_methods[i].name; }

static whet_status check(whet_ctx *ctx, const whet_autows_job *j) {
    if (!j->data || !j->output)
        return whet_i_fail(ctx, WHET_ERR_ARG, "expected a folder of data and an output");
    if (j->seeds < 1 || j->seeds > 100 || j->labels < 4 || j->pool < 0 || j->test < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%" PRId32 " seeds, %" PRId64 " labels, a pool of %" PRId64 ", %" PRId64
                           " test rows; expected 1 to 100, 4 or more, 0 or more, 1 or more",
                           j->seeds, j->labels, j->pool, j->test);
    if (j->dtype != WHET_F32 && j->dtype != WHET_BF16)
        return whet_i_fail(ctx, WHET_ERR_ARG, "dtype is %s; expected f32 or bf16",
                           whet_dtype_name(j->dtype));
    return WHET_OK;
}

static whet_status read_lists(whet_ctx *ctx, run *r) {
    const whet_autows_job *j = &r->job;
    WHET_TRY(whet_i_name_list(ctx, "set", j->sets, set_name, whet_i_set_count(), r->wanted.set));
    WHET_TRY(whet_i_name_list(ctx, "feature map", j->features, feature_name, whet_i_feature_count(),
                              r->wanted.feature));
    WHET_TRY(whet_i_name_list(ctx, "method", j->methods, method_name, whet_i_autows_method_count(),
                              r->wanted.method));
    WHET_TRY(whet_i_bench_data(ctx, j->data));
    for (int64_t s = 0; s < whet_i_set_count(); s++) {
        const whet_i_set *set = &whet_i_sets[s];
        WHET_TRY(whet_i_bench_require(ctx, j->sets, set->name, j->data, set->train,
                                      whet_i_set_there(ctx, j->data, set), &r->wanted.set[s]));
    }
    return WHET_OK;
}

/* ---- where it is written ------------------------------------------------ */

/* What is f32 but for products of tuning goes without saying: results from before there was a choice are gone
 * on with. */
static json_t *settings_of(const run *r) {
    const whet_autows_job *j = &r->job;
    const bool said = r->encoder && (j->dtype != WHET_F32 || j->tune_exact);
    const char *dtype = said ? whet_dtype_name(j->dtype) : NULL;
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:s?, s:b, s:s*, s:s}", "bench", "autows",
                     "whet", whet_version(), "seed", (json_int_t)j->seed, "labels",
                     (json_int_t)j->labels, "pool", (json_int_t)j->pool, "test",
                     (json_int_t)j->test, "encoder",
                     r->encoder ? whet_encoder_fingerprint(r->encoder) : NULL, "resnet",
                     j->resnet != NULL, "dtype", dtype, "copies", "together");
}

static whet_status open_output(whet_ctx *ctx, run *r) {
    char *path = NULL;
    json_t *settings = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(
        whet_i_bench_folders(ctx, r->job.output, "cache", "cells.jsonl", &r->place, &path));
    settings = settings_of(r);
    status = whet_i_cells_open(ctx, path, settings, r->job.force, &r->cells);
done:
    json_decref(settings);
    whet_i_free(ctx, path);
    return status;
}

/* ---- a cell ------------------------------------------------ */

static void measure(const whet_i_autows_task *task, const whet_i_set_split *split,
                    const whet_i_autows_answer *a, const int32_t *end, whet_i_cell *cell) {
    int64_t n = 0, covered = 0, hits = 0, end_hits = 0;
    double loss = 0;
    for (int64_t i = 0; i < task->n_test; i++) {
        const double *p = a->test + i * task->k;
        const int32_t truth = split->test_truth[i];
        int64_t top = 0;
        if (truth < 0) continue;
        for (int64_t c = 1; c < task->k; c++)
            if (p[c] > p[top]) top = c;
        n++;
        covered += a->test_covered[i];
        hits += a->test_covered[i] && top == truth;
        end_hits += end[i] == truth;
        loss -= log(fmax(p[truth], 1e-6));
    }
    cell->coverage = n ? (double)covered / (double)n : (double)NAN;
    cell->covered_accuracy = covered ? (double)hits / (double)covered : (double)NAN;
    cell->accuracy = n ? (double)hits / (double)n : (double)NAN;
    cell->end_accuracy = n ? (double)end_hits / (double)n : (double)NAN;
    cell->log_loss = n ? loss / (double)n : (double)NAN;
}

static void free_answer(whet_ctx *ctx, whet_i_autows_answer *a) {
    whet_i_free(ctx, a->pool);
    whet_i_free(ctx, a->test);
    whet_i_free(ctx, a->pool_covered);
    whet_i_free(ctx, a->test_covered);
}

static whet_status make_answer(whet_ctx *ctx, const whet_i_autows_task *task,
                               whet_i_autows_answer *a) {
    WHET_TRY(whet_i_calloc(ctx, task->n * task->k, &a->pool));
    WHET_TRY(whet_i_calloc(ctx, task->n_test * task->k, &a->test));
    WHET_TRY(whet_i_calloc(ctx, task->n, &a->pool_covered));
    return whet_i_calloc(ctx, task->n_test, &a->test_covered);
}

/* What a method cannot do with these rows belongs in the table; what stops the run does not. */
static bool goes_on(whet_status status) {
    return status == WHET_ERR_DATA || status == WHET_ERR_NUMERIC || status == WHET_ERR_ARG ||
           status == WHET_ERR_LIMIT;
}

static whet_status run_cell(whet_ctx *ctx, const whet_i_autows_task *task,
                            const whet_i_set_split *split, whet_i_cell *cell) {
    const whet_i_autows_method *method = &whet_i_autows_methods[cell->method];
    whet_i_autows_answer a = {.crossfit = NAN};
    int32_t *end = NULL;
    size_t before, peak;
    whet_status status = WHET_OK;
    whet_i_memory_mark(ctx);
    whet_ctx_memory(ctx, &before, NULL);
    const double begun = whet_i_seconds_now();
    WHET_TRY_DONE(make_answer(ctx, task, &a));
    status = method->run(ctx, method, task, &a);
    whet_ctx_memory(ctx, NULL, &peak);
    cell->seconds = whet_i_seconds_now() - begun;
    cell->megabytes = (double)(peak - before) / 1e6;
    if (goes_on(status)) {
        (void)snprintf(cell->failed, sizeof cell->failed, "%s", whet_error(ctx));
        cell->covered_accuracy = cell->coverage = cell->accuracy = cell->end_accuracy = NAN;
        cell->log_loss = cell->crossfit = NAN;
        status = WHET_OK;
        goto done;
    }
    WHET_TRY_DONE(status);
    WHET_TRY_DONE(whet_i_alloc(ctx, task->n_test, &end));
    WHET_TRY_DONE(whet_i_autows_end_model(ctx, task, &a, end));
    cell->rules = a.rules;
    cell->crossfit = a.crossfit;
    memcpy(cell->words, a.words, sizeof cell->words);
    measure(task, split, &a, end, cell);
done:
    free_answer(ctx, &a);
    whet_i_free(ctx, end);
    return status;
}

/* ---- a feature map ------------------------------------------------ */

typedef struct place {
    int32_t set, feature;
    int64_t seed;
} place;

static bool applies(const run *r, const place *at, int32_t m) {
    const whet_i_autows_method *method = &whet_i_autows_methods[m];
    const bool named = strcmp(whet_i_features[at->feature].name, "encoder") == 0;
    return r->wanted.method[m] && (named || !(method->needs_class_vectors || method->needs_texts));
}

static bool missing(const run *r, const place *at, int32_t m) {
    const whet_i_cell key = {.set = at->set, .feature = at->feature, .method = m, .seed = at->seed};
    return applies(r, at, m) && !whet_i_cells_find(&r->cells, &key);
}

static bool any_missing(const run *r, const place *at) {
    for (int32_t m = 0; m < whet_i_autows_method_count(); m++)
        if (missing(r, at, m)) return true;
    return false;
}

/* Rows of the feature map as methods want them: of unit length, prepared by the pool alone. */
typedef struct prepared {
    whet_i_prepare how;
    float *x, *test, *names;
} prepared;

static whet_status prepare(whet_ctx *ctx, const whet_i_feature_rows *rows,
                           const whet_i_set_split *split, int64_t k, prepared *p) {
    int64_t cells, test_cells;
    WHET_TRY(whet_i_check_finite(ctx, "features of test rows", rows->test, split->n_test, rows->d));
    whet_i_warn_of_alike_rows(ctx, rows->x, split->n, rows->d);
    WHET_TRY(whet_i_prepare_choose(ctx, rows->x, split->n, rows->d, rows->class_vectors != NULL,
                                   split->labels, k, &p->how));
    WHET_TRY(whet_i_mul(ctx, split->n, p->how.d, &cells));
    WHET_TRY(whet_i_mul(ctx, split->n_test, p->how.d, &test_cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &p->x));
    WHET_TRY(whet_i_alloc(ctx, test_cells, &p->test));
    whet_i_prepare_apply(&p->how, rows->x, split->n, p->x);
    whet_i_prepare_apply(&p->how, rows->test, split->n_test, p->test);
    if (!rows->class_vectors) return WHET_OK;
    const whet_i_prepare unit = {.kind = WHET_I_UNIT, .d_in = p->how.d, .d = p->how.d};
    WHET_TRY(whet_i_alloc(ctx, k * p->how.d, &p->names));
    whet_i_prepare_apply(&unit, rows->class_vectors, k, p->names);
    return WHET_OK;
}

static void free_prepared(whet_ctx *ctx, prepared *p) {
    whet_i_prepare_free(ctx, &p->how);
    whet_i_free(ctx, p->x);
    whet_i_free(ctx, p->test);
    whet_i_free(ctx, p->names);
}

static whet_status run_methods(whet_ctx *ctx, run *r, const place *at, const whet_i_set_data *data,
                               const whet_i_set_split *split, const whet_i_autows_task *task) {
    for (int32_t m = 0; m < whet_i_autows_method_count(); m++) {
        if (!missing(r, at, m)) continue;
        whet_i_cell cell = {.set = at->set,
                            .feature = at->feature,
                            .method = m,
                            .seed = at->seed,
                            .labelled = split->labelled,
                            .pool = split->n - split->labelled,
                            .test = split->n_test};
        WHET_TRY(whet_i_progress(ctx, "cells", r->done, r->total));
        whet_i_note(ctx, "%s %s %s", data->set->name, whet_i_features[at->feature].name,
                    whet_i_autows_methods[m].name);
        WHET_TRY(run_cell(ctx, task, split, &cell));
        WHET_TRY(whet_i_cells_add(ctx, &r->cells, &cell));
        r->done++;
    }
    return WHET_OK;
}

/* [n + n_test] */
static whet_status view_texts(whet_ctx *ctx, const whet_i_set_data *data,
                              const whet_i_set_split *split, whet_str **texts) {
    WHET_TRY(whet_i_alloc(ctx, split->n + split->n_test, texts));
    for (int64_t i = 0; i < split->n; i++) (*texts)[i] = data->texts[split->rows[i]];
    for (int64_t i = 0; i < split->n_test; i++)
        (*texts)[split->n + i] = data->texts[split->test[i]];
    return WHET_OK;
}

static whet_status run_feature(whet_ctx *ctx, run *r, const place *at, const whet_i_set_data *data,
                               const whet_i_set_split *split) {
    const whet_i_feature *feature = &whet_i_features[at->feature];
    whet_i_feature_rows rows = {0};
    prepared p = {0};
    whet_str *texts = NULL;
    whet_status status = WHET_OK;
    r->tools.seed = r->job.seed + (uint64_t)at->seed;
    WHET_TRY_DONE(feature->make(ctx, &r->tools, data, split, &rows));
    WHET_TRY_DONE(prepare(ctx, &rows, split, data->k, &p));
    if (data->texts) WHET_TRY_DONE(view_texts(ctx, data, split, &texts));
    const whet_i_autows_task task = {.n = split->n,
                                     .n_test = split->n_test,
                                     .d = p.how.d,
                                     .d_raw = rows.d,
                                     .k = data->k,
                                     .raw = rows.x,
                                     .raw_test = rows.test,
                                     .x = p.x,
                                     .test = p.test,
                                     .class_vectors = p.names,
                                     .labels = split->labels,
                                     .classes = data->classes,
                                     .texts = texts,
                                     .test_texts = texts ? texts + split->n : NULL,
                                     .model = r->job.model,
                                     .encoder = r->encoder,
                                     .dtype = r->job.dtype,
                                     .tune_exact = r->job.tune_exact,
                                     .cache = r->place.inner,
                                     .seed = r->tools.seed};
    status = run_methods(ctx, r, at, data, split, &task);
done:
    whet_i_free(ctx, texts);
    free_prepared(ctx, &p);
    whet_i_feature_rows_free(ctx, &rows);
    return status;
}

/* ---- a set ------------------------------------------------ */

static bool wants(const run *r, int32_t set, int32_t feature) {
    return r->wanted.feature[feature] &&
           whet_i_feature_fits(&whet_i_features[feature], &whet_i_sets[set], &r->tools);
}

static whet_status run_seed(whet_ctx *ctx, run *r, int32_t set, int64_t seed,
                            const whet_i_set_data *data) {
    const whet_i_split_sizes sizes = {r->job.labels, r->job.pool, r->job.test};
    whet_i_set_split split = {0};
    whet_status status =
        whet_i_set_split_make(ctx, data, &sizes, r->job.seed + (uint64_t)seed, &split);
    for (int32_t f = 0; status == WHET_OK && f < whet_i_feature_count(); f++) {
        const place at = {set, f, seed};
        if (wants(r, set, f) && any_missing(r, &at))
            status = run_feature(ctx, r, &at, data, &split);
    }
    whet_i_set_split_free(ctx, &split);
    return status;
}

static int64_t count_missing(const run *r, int32_t set) {
    int64_t count = 0;
    for (int32_t f = 0; f < whet_i_feature_count(); f++)
        for (int64_t seed = 0; wants(r, set, f) && seed < r->job.seeds; seed++)
            for (int32_t m = 0; m < whet_i_autows_method_count(); m++)
                count += missing(r, &(place){set, f, seed}, m);
    return count;
}

static whet_status run_set(whet_ctx *ctx, run *r, int32_t set) {
    whet_i_set_data data;
    if (!r->wanted.set[set] || count_missing(r, set) == 0) return WHET_OK;
    WHET_TRY(
        whet_i_set_read(ctx, r->job.data, r->place.inner, &whet_i_sets[set], r->job.seed, &data));
    whet_status status = whet_i_set_embed(ctx, &r->tools, &data);
    for (int64_t seed = 0; status == WHET_OK && seed < r->job.seeds; seed++)
        status = run_seed(ctx, r, set, seed, &data);
    whet_i_set_free(ctx, &data);
    return status;
}

/* ---- the entrance ------------------------------------------------ */

static whet_status write_all(whet_ctx *ctx, const run *r, char **text, char **json) {
    whet_i_autows_summary summary = {0};
    whet_i_buf made[5] = {{0}};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_autows_summarise(ctx, &r->cells, &summary));
    WHET_TRY_DONE(whet_i_autows_tables(ctx, &summary, &made[0]));
    WHET_TRY_DONE(whet_i_autows_json(ctx, &summary, r->cells.lines.settings, &made[1]));
    WHET_TRY_DONE(whet_i_autows_tsv(ctx, &summary, &made[2]));
    WHET_TRY_DONE(whet_i_autows_profile(ctx, &summary, &made[3]));
    WHET_TRY_DONE(whet_i_autows_html(ctx, &summary, r->cells.lines.settings, &made[4]));
    WHET_TRY_DONE(whet_i_bench_write(ctx, r->job.output, "summary.json", &made[1]));
    WHET_TRY_DONE(whet_i_bench_write(ctx, r->job.output, "table.tsv", &made[2]));
    WHET_TRY_DONE(whet_i_bench_write(ctx, r->job.output, "profile.svg", &made[3]));
    WHET_TRY_DONE(whet_i_bench_write(ctx, r->job.output, "report.html", &made[4]));
    for (int i = 0; i < 2; i++) {
        char **out = i ? json : text;
        if (!out) continue;
        *out = made[i].data;
        made[i] = (whet_i_buf){0};
    }
done:
    whet_i_autows_summary_free(ctx, &summary);
    for (int i = 0; i < 5; i++) whet_i_buf_free(ctx, &made[i]);
    return status;
}

whet_status whet_autows_run(whet_ctx *ctx, const whet_autows_job *job, char **text, char **json) {
    run r = {.job = WHET_AUTOWS_JOB_INIT};
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_opts(ctx, job, &r.job, sizeof r.job, "whet_autows_job"));
    WHET_TRY(check(ctx, &r.job));
    WHET_TRY_DONE(read_lists(ctx, &r));
    if (r.job.model) {
        whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
        opts.dtype = r.job.dtype;
        WHET_TRY_DONE(whet_encoder_load(ctx, r.job.model, &opts, &r.encoder));
    }
    r.tools = (whet_i_feature_tools){.encoder = r.encoder, .resnet = r.job.resnet};
    WHET_TRY_DONE(open_output(ctx, &r));
    r.tools.cache = r.place.inner;
    for (int32_t s = 0; s < whet_i_set_count(); s++)
        if (r.wanted.set[s]) r.total += count_missing(&r, s);
    for (int32_t s = 0; s < whet_i_set_count(); s++) WHET_TRY_DONE(run_set(ctx, &r, s));
    WHET_TRY_DONE(whet_i_progress(ctx, "cells", r.total, r.total));
    status = write_all(ctx, &r, text, json);
done:
    whet_i_cells_close(ctx, &r.cells);
    whet_encoder_destroy(ctx, r.encoder);
    whet_i_bench_leave(ctx, &r.place);
    return status;
}
