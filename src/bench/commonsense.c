/* SPDX-License-Identifier: Apache-2.0
 * The multiple-choice comparison: for each method and seed one model is tuned on questions of all sets that
 * have training ones, mixed, and asked the test questions of every set.
 * The protocol is LLM-Adapters' (Hu et al. 2023, arXiv 2304.01933) but for the answer: the likeliest of the
 * choices rather than a word looked for in what the model writes, which leaves no question without one. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "bench/commonsense_i.h"
#include "tune/tune_i.h"

const char *const whet_i_questions_sets[] = {"boolq",      "piqa",     "social_i_qa",
                                             "winogrande", "ARC-Easy", "ARC-Challenge",
                                             "openbookqa", "hellaswag"};
int64_t whet_i_questions_set_count(void) { return WHET_COUNT_OF(whet_i_questions_sets); }

/* Rates stand beforehand: those of MoRe's runs (4e-4 for adapters), and what is common for all weights. */
const whet_i_questions_method whet_i_questions_methods[] = {
    {"as-is", false, WHET_TUNE_FULL, 0, 0, 0},
    {"full", true, WHET_TUNE_FULL, 0, 0, 2e-5},
    {"lora-32", true, WHET_TUNE_LORA, 32, 0, 4e-4},
    {"lora-4", true, WHET_TUNE_LORA, 4, 0, 4e-4},
    {"more-4x32", true, WHET_TUNE_MORE, 32, 4, 4e-4},
    {"more-4x4", true, WHET_TUNE_MORE, 4, 4, 4e-4},
};
int64_t whet_i_questions_method_count(void) { return WHET_COUNT_OF(whet_i_questions_methods); }

enum { MOST = 32 };
#define WARMUP .1

typedef struct cell {
    int32_t set, method;
    int64_t seed, questions, cut, trained;
    double accuracy, seconds, megabytes; /* of the training run */
} cell;

typedef struct job {
    whet_commonsense_job asked;
    bool set[MOST], method[MOST];
    uint64_t
        asks[MOST];  /* hashes of the test questions of sets that are asked for; 0 = of others */
    uint64_t trains; /* of all training questions */
    cell *cells;
    int64_t n, cap;
    whet_i_lines lines;
    whet_i_bench_place place; /* in it a folder of questions and models, while it runs */
    int64_t done, total;
} job;

static const char *set_name(int64_t i) { return whet_i_questions_sets[i]; }
static const char *method_name(int64_t i) { return whet_i_questions_methods[i].name; }

/* ---- cells -------------------------------------------------------------------------------------- */

static whet_status keep(whet_ctx *ctx, job *j, const cell *c) {
    if (j->n == j->cap) {
        const int64_t cap = j->cap ? 2 * j->cap : 64;
        WHET_TRY(whet_i_realloc(ctx, &j->cells, cap));
        j->cap = cap;
    }
    j->cells[j->n++] = *c;
    return WHET_OK;
}

static const cell *find(const job *j, int32_t set, int32_t method, int64_t seed) {
    for (int64_t i = 0; i < j->n; i++)
        if (j->cells[i].set == set && j->cells[i].method == method && j->cells[i].seed == seed)
            return &j->cells[i];
    return NULL;
}

static int32_t place(const json_t *o, const char *key, whet_i_name_of name_of, int64_t n) {
    const char *name = json_string_value(json_object_get(o, key));
    for (int32_t i = 0; name && i < n; i++)
        if (strcmp(name, name_of(i)) == 0) return i;
    return -1;
}

/* Of what a cell was made from; 0 = not known: its set is not asked for now. */
static uint64_t data_of(const job *j, int32_t set, int32_t method) {
    const uint64_t asks = j->asks[set];
    return asks && whet_i_questions_methods[method].tuned ? whet_i_hash_u64(asks ^ j->trains)
                                                          : asks;
}

static whet_status take(whet_ctx *ctx, void *arg, const json_t *o) {
    job *j = arg;
    const cell c = {.set = place(o, "set", set_name, whet_i_questions_set_count()),
                    .method = place(o, "method", method_name, whet_i_questions_method_count()),
                    .seed = json_integer_value(json_object_get(o, "seed")),
                    .questions = json_integer_value(json_object_get(o, "questions")),
                    .cut = json_integer_value(json_object_get(o, "cut")),
                    .trained = json_integer_value(json_object_get(o, "trained")),
                    .accuracy = json_number_value(json_object_get(o, "accuracy")),
                    .seconds = json_number_value(json_object_get(o, "seconds")),
                    .megabytes = json_number_value(json_object_get(o, "megabytes"))};
    if (c.set < 0 || c.method < 0 || find(j, c.set, c.method, c.seed)) return WHET_OK;
    const uint64_t data = data_of(j, c.set, c.method);
    if (data && !whet_i_bench_is_hash(json_object_get(o, "data"), data)) return WHET_OK;
    return keep(ctx, j, &c);
}

static whet_status add(whet_ctx *ctx, job *j, const cell *c) {
    WHET_TRY(keep(ctx, j, c));
    return whet_i_lines_add(
        ctx, &j->lines,
        json_pack("{s:s, s:s, s:I, s:f, s:I, s:I, s:I, s:f, s:f, s:o}", "set", set_name(c->set),
                  "method", method_name(c->method), "seed", (json_int_t)c->seed, "accuracy",
                  c->accuracy, "questions", (json_int_t)c->questions, "cut", (json_int_t)c->cut,
                  "trained", (json_int_t)c->trained, "seconds", c->seconds, "megabytes",
                  c->megabytes, "data", whet_i_bench_hash_json(data_of(j, c->set, c->method))));
}

/* ---- what is asked for -------------------------------------------------------------------------- */

static whet_status check(whet_ctx *ctx, const whet_commonsense_job *j) {
    if (!j->data || !j->model || !j->output)
        return whet_i_fail(ctx, WHET_ERR_ARG, "expected a folder of data, a model and an output");
    if (j->seeds < 1 || j->seeds > 100 || j->epochs < 1 || j->train < 1 || j->test < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%" PRId32 " seeds, %" PRId64 " epochs, %" PRId64
                           " training and %" PRId64
                           " test questions a set; expected 1 to 100, and 1 or more",
                           j->seeds, j->epochs, j->train, j->test);
    return WHET_OK;
}

/* Draws what will be asked and trained on: what is wrong with it is told before the work. */
static whet_status check_questions(whet_ctx *ctx, const job *j, int64_t set, bool train) {
    const whet_commonsense_job *a = &j->asked;
    for (int64_t seed = 0; seed < (train ? a->seeds : 1); seed++) {
        whet_i_questions q = {0};
        WHET_TRY(whet_i_questions_read(ctx, a->data, set_name(set), train,
                                       train ? a->train : a->test, a->seed + (uint64_t)seed, &q));
        whet_i_questions_free(ctx, &q);
    }
    return WHET_OK;
}

static bool tunes(const job *j) {
    bool any = false;
    for (int64_t m = 0; m < whet_i_questions_method_count(); m++)
        any |= j->method[m] && whet_i_questions_methods[m].tuned;
    return any;
}

static whet_status no_training(whet_ctx *ctx, const job *j) {
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "%s: no set that is asked for has training questions; expected "
                       "NAME.train.jsonl of one",
                       j->asked.data);
}

static whet_status read_lists(whet_ctx *ctx, job *j) {
    const whet_commonsense_job *a = &j->asked;
    WHET_TRY(whet_i_name_list(ctx, "set", a->sets, set_name, whet_i_questions_set_count(), j->set));
    WHET_TRY(whet_i_name_list(ctx, "method", a->methods, method_name,
                              whet_i_questions_method_count(), j->method));
    WHET_TRY(whet_i_bench_data(ctx, a->data));
    for (int64_t s = 0; s < whet_i_questions_set_count(); s++) {
        char file[128];
        (void)snprintf(file, sizeof file, "%s.test.jsonl", set_name(s));
        WHET_TRY(whet_i_bench_require(ctx, a->sets, set_name(s), a->data, file,
                                      whet_i_questions_there(ctx, a->data, set_name(s), false),
                                      &j->set[s]));
        if (!j->set[s]) continue;
        WHET_TRY(whet_i_bench_mix_file(ctx, a->data, file, &j->asks[s]));
        WHET_TRY(check_questions(ctx, j, s, false));
        (void)snprintf(file, sizeof file, "%s.train.jsonl", set_name(s));
        if (!whet_i_questions_there(ctx, a->data, set_name(s), true)) continue;
        WHET_TRY(whet_i_bench_mix_file(ctx, a->data, file, &j->trains));
        if (tunes(j)) WHET_TRY(check_questions(ctx, j, s, true));
    }
    WHET_TRY(whet_i_bench_any(ctx, a->data, "set", j->set, set_name, ".test.jsonl",
                              whet_i_questions_set_count()));
    return tunes(j) && !j->trains ? no_training(ctx, j) : WHET_OK;
}

/* By its weights: results of another model at the same path are not mixed in. */
static whet_status identify(whet_ctx *ctx, const char *model, char identity[WHET_I_IDENTITY]) {
    whet_i_weight_files files = {0};
    whet_status status = whet_i_weight_files_open(ctx, model, &files);
    if (status == WHET_OK) status = whet_i_base_identity(ctx, &files, identity);
    whet_i_weight_files_close(ctx, &files);
    return status;
}

static whet_status open_output(whet_ctx *ctx, job *j) {
    const whet_commonsense_job *a = &j->asked;
    char *path = NULL, identity[WHET_I_IDENTITY];
    json_t *settings = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(identify(ctx, a->model, identity));
    settings = json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:I, s:s}", "bench", "commonsense", "whet",
                         whet_version(), "seed", (json_int_t)a->seed, "model", identity, "train",
                         (json_int_t)a->train, "test", (json_int_t)a->test, "epochs",
                         (json_int_t)a->epochs, "dtype", whet_dtype_name(a->dtype));
    WHET_TRY_DONE(whet_i_bench_folders(ctx, a->output, "work", "cells.jsonl", &j->place, &path));
    status = whet_i_lines_open(ctx, path, settings, a->force, take, j, &j->lines);
done:
    json_decref(settings);
    whet_i_free(ctx, path);
    return status;
}

/* ---- tuning ------------------------------------------------------------------------------------- */

static whet_status write_questions(whet_ctx *ctx, const whet_i_questions *q, whet_out *out) {
    whet_status status = WHET_OK;
    for (int64_t i = 0; status == WHET_OK && i < q->n; i++) {
        const whet_str prompt = q->prompts[i], row = q->rows[q->right[i]];
        whet_i_buf line = {0};
        json_t *o =
            json_pack("{s:s%, s:s%}", "instruction", prompt.ptr, (size_t)prompt.len, "answer",
                      row.ptr + prompt.len + 1, (size_t)(row.len - prompt.len - 1));
        status = whet_i_json_dump(ctx, o, JSON_COMPACT, &line);
        if (status == WHET_OK) status = whet_out_write(ctx, out, line.data, line.len);
        if (status == WHET_OK) status = whet_out_write(ctx, out, "\n", 1);
        json_decref(o);
        whet_i_buf_free(ctx, &line);
    }
    return status;
}

/* Training questions of all sets that have some, each drawn by the seed; mixed by the training run. */
static whet_status write_mix(whet_ctx *ctx, const job *j, int64_t seed, char **path) {
    whet_out *out = NULL;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_join_path(ctx, j->place.inner, "train.jsonl", path));
    WHET_TRY(whet_out_open(ctx, *path, true, &out));
    for (int64_t s = 0; status == WHET_OK && s < whet_i_questions_set_count(); s++) {
        whet_i_questions q = {0};
        if (!j->set[s] || !whet_i_questions_there(ctx, j->asked.data, set_name(s), true)) continue;
        status = whet_i_questions_read(ctx, j->asked.data, set_name(s), true, j->asked.train,
                                       j->asked.seed + (uint64_t)seed, &q);
        if (status == WHET_OK) status = write_questions(ctx, &q, out);
        whet_i_questions_free(ctx, &q);
    }
    if (status == WHET_OK) return whet_out_commit(ctx, out);
    whet_out_abort(ctx, out);
    return status;
}

static whet_tune_job tune_job(const job *j, const whet_i_questions_method *m, int64_t seed,
                              const char *train, const char *folder) {
    whet_tune_job t = WHET_TUNE_JOB_INIT;
    t.model = j->asked.model;
    t.train = train;
    t.text = "instruction";
    t.target = "answer";
    t.task = WHET_TUNE_LANGUAGE;
    t.adapter = m->adapter;
    t.rank = m->rank;
    t.blocks = m->blocks;
    t.learning_rate = m->rate;
    t.epochs = j->asked.epochs;
    t.schedule = WHET_TUNE_COSINE;
    t.warmup = WARMUP;
    t.weight_decay = 0;
    t.dtype = j->asked.dtype;
    t.recompute = true;
    t.save_steps = INT64_MAX;
    t.seed = j->asked.seed + (uint64_t)seed;
    t.output = folder;
    t.force = true; /* the folder is new, and there */
    return t;
}

static whet_status tune(whet_ctx *ctx, const job *j, cell *c, const char *folder) {
    char *train = NULL, *report = NULL;
    size_t before, peak;
    json_t *o = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(write_mix(ctx, j, c->seed, &train));
    const whet_tune_job t =
        tune_job(j, &whet_i_questions_methods[c->method], c->seed, train, folder);
    whet_i_memory_mark(ctx);
    whet_ctx_memory(ctx, &before, NULL);
    WHET_TRY_DONE(whet_tune_run(ctx, &t, &report));
    whet_ctx_memory(ctx, NULL, &peak);
    WHET_TRY_DONE(whet_i_json_parse(ctx, "training.json", report, (int64_t)strlen(report), &o));
    c->megabytes = (double)(peak - before) / 1e6;
    c->seconds = json_number_value(json_object_get(o, "seconds"));
    c->trained = json_integer_value(json_object_get(o, "trained_parameters"));
done:
    json_decref(o);
    whet_free_text(ctx, report);
    if (train) (void)unlink(train);
    whet_i_free(ctx, train);
    return status;
}

/* ---- a method and a seed ------------------------------------------------------------------------ */

static bool missing(const job *j, int32_t set, int32_t method, int64_t seed) {
    return j->set[set] && !find(j, set, method, seed);
}

static int64_t count_missing(const job *j, int32_t method, int64_t seed) {
    int64_t n = 0;
    for (int32_t s = 0; s < whet_i_questions_set_count(); s++) n += missing(j, s, method, seed);
    return n;
}

static whet_status ask_all(whet_ctx *ctx, job *j, const char *folder, cell *c) {
    whet_language_model *model;
    WHET_TRY(whet_language_model_load(ctx, folder, j->asked.dtype, &model));
    whet_status status = WHET_OK;
    for (c->set = 0; status == WHET_OK && c->set < whet_i_questions_set_count(); c->set++) {
        whet_i_questions q = {0};
        if (!missing(j, c->set, c->method, c->seed)) continue;
        status = whet_i_progress(ctx, "cells", j->done, j->total);
        whet_i_note(ctx, "%s %s", set_name(c->set), method_name(c->method));
        /* The same test questions for all. */
        if (status == WHET_OK)
            status = whet_i_questions_read(ctx, j->asked.data, set_name(c->set), false,
                                           j->asked.test, j->asked.seed, &q);
        if (status == WHET_OK) status = whet_i_questions_ask(ctx, model, &q, &c->accuracy, &c->cut);
        c->questions = q.n;
        whet_i_questions_free(ctx, &q);
        if (status == WHET_OK) status = add(ctx, j, c);
        j->done++;
    }
    whet_language_model_destroy(ctx, model);
    return status;
}

static whet_status run_method(whet_ctx *ctx, job *j, int32_t method, int64_t seed) {
    cell c = {.method = method, .seed = seed};
    char *path = NULL;
    whet_out_dir *folder = NULL;
    whet_status status = WHET_OK;
    if (count_missing(j, method, seed) == 0) return WHET_OK;
    if (!whet_i_questions_methods[method].tuned) return ask_all(ctx, j, j->asked.model, &c);
    WHET_TRY(whet_i_join_path(ctx, j->place.inner, "model", &path));
    WHET_TRY_DONE(whet_out_dir_open(ctx, path, false, &folder));
    WHET_TRY_DONE(tune(ctx, j, &c, whet_out_dir_path(folder)));
    status = ask_all(ctx, j, whet_out_dir_path(folder), &c);
done:
    whet_out_dir_abort(ctx, folder);
    whet_i_free(ctx, path);
    return status;
}

/* The model as it is draws nothing: one seed tells all. */
static int64_t seeds_of(const job *j, int32_t method) {
    if (!j->method[method]) return 0;
    return whet_i_questions_methods[method].tuned ? j->asked.seeds : 1;
}

/* ---- what it comes to --------------------------------------------------------------------------- */

static whet_i_mean accuracy_of(const job *j, int32_t set, int32_t method) {
    whet_i_sums sums = {0};
    for (int64_t i = 0; i < j->n; i++)
        if (j->cells[i].set == set && j->cells[i].method == method)
            whet_i_sums_add(&sums, j->cells[i].accuracy);
    return whet_i_mean_of(&sums);
}

static const cell *any_cell(const job *j, int32_t method) {
    for (int64_t i = 0; i < j->n; i++)
        if (j->cells[i].method == method) return &j->cells[i];
    return NULL;
}

static whet_status put_text(whet_ctx *ctx, const job *j, whet_i_buf *out) {
    for (int32_t s = 0; s < whet_i_questions_set_count(); s++)
        if (j->set[s]) WHET_PUT("%s%s", out->len ? "  " : "method       ", set_name(s));
    WHET_PUT("  mean   trained    seconds  MB\n");
    for (int32_t m = 0; m < whet_i_questions_method_count(); m++) {
        const cell *c = any_cell(j, m);
        whet_i_sums all = {0};
        if (!c) continue;
        WHET_PUT("%-12s", method_name(m));
        for (int32_t s = 0; s < whet_i_questions_set_count(); s++) {
            const whet_i_mean a = accuracy_of(j, s, m);
            if (!j->set[s]) continue;
            whet_i_sums_add(&all, a.mean);
            WHET_PUT(" %*.1f", (int)strlen(set_name(s)) + 1, 100 * a.mean);
        }
        WHET_PUT("  %5.1f %9" PRId64 " %9.1f %5.0f\n", 100 * whet_i_mean_of(&all).mean, c->trained,
                 c->seconds, c->megabytes);
    }
    return WHET_OK;
}

static json_t *results_json(const job *j) {
    json_t *list = json_array();
    for (int32_t m = 0; m < whet_i_questions_method_count(); m++)
        for (int32_t s = 0; s < whet_i_questions_set_count(); s++) {
            const whet_i_mean a = accuracy_of(j, s, m);
            if (a.n == 0) continue;
            const cell *c = any_cell(j, m);
            (void)json_array_append_new(
                list,
                json_pack("{s:s, s:s, s:I, s:o, s:o, s:o, s:I}", "set", set_name(s), "method",
                          method_name(m), "seeds", (json_int_t)a.n, "accuracy",
                          whet_i_json_number(a.mean), "low", whet_i_json_number(a.low), "high",
                          whet_i_json_number(a.high), "trained", (json_int_t)c->trained));
        }
    return list;
}

static whet_status write_all(whet_ctx *ctx, const job *j, char **text, char **json) {
    whet_i_buf words = {0}, document = {0};
    whet_status status = put_text(ctx, j, &words);
    json_t *root =
        json_pack("{s:O, s:o}", "settings", j->lines.settings, "results", results_json(j));
    if (status == WHET_OK)
        status = whet_i_json_dump(ctx, root, JSON_INDENT(1) | JSON_REAL_PRECISION(9), &document);
    json_decref(root);
    if (status == WHET_OK)
        status = whet_i_bench_write(ctx, j->asked.output, "summary.json", &document);
    if (status == WHET_OK && text) {
        *text = words.data;
        words = (whet_i_buf){0};
    }
    if (status == WHET_OK && json) {
        *json = document.data;
        document = (whet_i_buf){0};
    }
    whet_i_buf_free(ctx, &words);
    whet_i_buf_free(ctx, &document);
    return status;
}

whet_status whet_commonsense_run(whet_ctx *ctx, const whet_commonsense_job *asked, char **text,
                                 char **json) {
    job j = {.asked = WHET_COMMONSENSE_JOB_INIT};
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_opts(ctx, asked, &j.asked, sizeof j.asked, "whet_commonsense_job"));
    WHET_TRY(check(ctx, &j.asked));
    WHET_TRY(read_lists(ctx, &j));
    WHET_TRY_DONE(open_output(ctx, &j));
    for (int32_t m = 0; m < whet_i_questions_method_count(); m++)
        for (int64_t s = 0; s < seeds_of(&j, m); s++) j.total += count_missing(&j, m, s);
    for (int32_t m = 0; m < whet_i_questions_method_count(); m++)
        for (int64_t s = 0; s < seeds_of(&j, m); s++) WHET_TRY_DONE(run_method(ctx, &j, m, s));
    WHET_TRY_DONE(whet_i_progress(ctx, "cells", j.total, j.total));
    status = write_all(ctx, &j, text, json);
done:
    whet_i_bench_leave(ctx, &j.place);
    whet_i_free(ctx, j.cells);
    whet_i_lines_close(ctx, &j.lines);
    return status;
}
