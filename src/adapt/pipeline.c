/* SPDX-License-Identifier: Apache-2.0
 * The whole job, stage by stage: read, embed, draw, fit and compare, predict, use the space, write.
 * Complaints come as early as they can: the output folder and the space are looked at before the
 * minutes that embedding takes. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "adapt/method.h"
#include "adapt/pipeline_i.h"
#include "adapt/report.h"
#include "adapt/tuning.h"
#include "label/label_i.h"

static void free_rows(whet_ctx *ctx, whet_i_run_rows *rows) {
    whet_i_free(ctx, rows->made);
    whet_i_free(ctx, rows->words);
    whet_tensor_destroy(ctx, &rows->array);
    whet_i_free(ctx, rows->truth);
    whet_i_free(ctx, rows->labels);
    whet_i_free(ctx, rows->texts);
    whet_table_destroy(ctx, rows->table);
}

void whet_i_run_free(whet_ctx *ctx, whet_i_run *run) {
    whet_i_held_out_free(ctx, &run->held_out);
    whet_i_free(ctx, run->groups);
    whet_i_means_free(ctx, &run->pool_means);
    whet_i_means_free(ctx, &run->means);
    whet_i_label_space_free(ctx, &run->space);
    whet_i_self_space_free(ctx, &run->self_space);
    if (run->pool_probs != run->probs) whet_i_free(ctx, run->pool_probs);
    whet_i_free(ctx, run->probs);
    whet_i_free(ctx, run->candidates);
    whet_i_tuning_free(ctx, &run->tuning);
    whet_adapt_fit_destroy(ctx, run->fit);
    whet_i_free(ctx, run->class_vectors);
    whet_i_feature_map_destroy(ctx, run->map);
    whet_tfidf_destroy(ctx, run->tfidf);
    whet_encoder_destroy(ctx, run->encoder);
    free_rows(ctx, &run->test);
    free_rows(ctx, &run->train);
    whet_i_free(ctx, run->class_texts);
    whet_i_arena_free(ctx, &run->arena);
    whet_names_destroy(ctx, run->classes);
}

/* Seconds since the last call. */
static double lap(whet_i_run *run) {
    const double now = whet_i_seconds_now(), seconds = now - run->clock;
    run->clock = now;
    return seconds;
}

/* What --label-method asks for, told before the minutes that embedding takes. */
static whet_status check_method(whet_ctx *ctx, const whet_i_run *run) {
    const char *method = run->job->method;
    int64_t place;
    if (!method) return WHET_OK;
    WHET_TRY(whet_i_method_find(ctx, method, &place));
    if (!whet_i_method_needs_names(place) || (run->class_texts_mean && !run->train.array.data))
        return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "candidate \"%s\" needs embeddings of the class names; expected %s", method,
                       run->train.array.data
                           ? "texts, not features"
                           : "names that are not only numbers; try a table of class and text");
}

/* ---- fit ------------------------------------------------------------------------------------- */

static whet_status train(whet_ctx *ctx, whet_i_run *run) {
    const int64_t n = run->train.n;
    int32_t *labels;
    WHET_TRY(whet_i_alloc(ctx, n, &labels));
    for (int64_t i = 0; i < n; i++)
        labels[i] = run->train.labels[i] >= 0 ? run->train.labels[i] : WHET_LABEL_NONE;
    const whet_adapt_input input = {run->train.features, n, run->d, labels, run->classes,
                                    run->class_vectors};
    whet_adapt_opts opts = WHET_ADAPT_OPTS_INIT;
    opts.seed = run->job->seed;
    opts.method = run->job->method;
    opts.groups = run->groups;
    const whet_status status = whet_adapt_train(ctx, &input, &opts, &run->fit);
    whet_i_free(ctx, labels);
    return status;
}

/* ---- predict and measure --------------------------------------------------------------------- */

/* Metrics where some true labels are outside the class list: they form one more class that is
 * never predicted. */
static whet_status measure(whet_ctx *ctx, const whet_i_run *run, const double *probs,
                           whet_metrics *out) {
    const int64_t n = run->target->n, k = whet_names_count(run->classes);
    double *wide = NULL;
    int32_t *truth = NULL;
    int64_t size;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_mul(ctx, n, k + 1, &size));
    WHET_TRY_DONE(whet_i_alloc(ctx, size, &wide));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &truth));
    for (int64_t i = 0; i < n; i++) {
        const int32_t label = run->target->labels[i];
        memcpy(wide + i * (k + 1), probs + i * k, (size_t)k * sizeof *wide);
        wide[i * (k + 1) + k] = 0;
        truth[i] = label == WHET_LABEL_OTHER ? (int32_t)k : label;
    }
    WHET_TRY_DONE(whet_metrics_compute(ctx, wide, n, k + 1, truth, NULL, out));
done:
    whet_i_free(ctx, truth);
    whet_i_free(ctx, wide);
    return status;
}

/* All candidates at once is faster (neighbours are searched once) and needs as many times the
 * memory: within this many bytes. */
enum { PREDICT_ALL_LIMIT = 256 << 20 };

/* Rows of this run by a candidate; the tuned encoder's features are its own. */
static whet_status predict_rows(whet_ctx *ctx, const whet_i_run *run, int64_t candidate,
                                const whet_i_run_rows *rows, double *probs) {
    if (candidate == run->tuning.place) return whet_i_tuning_predict(ctx, run, rows, probs);
    return whet_adapt_fit_predict(ctx, run->fit, candidate, rows->features, rows->n, probs);
}

static whet_status predict_and_measure(whet_ctx *ctx, whet_i_run *run, double *scratch,
                                       int64_t size, bool all) {
    if (all)
        WHET_TRY(whet_adapt_fit_predict_all(ctx, run->fit, run->target->features, run->target->n,
                                            scratch));
    for (int64_t c = 0; c < run->n_candidates; c++) {
        whet_i_candidate *candidate = &run->candidates[c];
        double *probs = all ? scratch + c * size : scratch;
        if (!candidate->info->available) continue;
        WHET_TRY(whet_i_progress(ctx, "predict", c, run->n_candidates));
        if (!all || c == run->tuning.place) WHET_TRY(predict_rows(ctx, run, c, run->target, probs));
        WHET_TRY(measure(ctx, run, probs, &candidate->test));
        candidate->tested = true;
        if (c == run->chosen) memcpy(run->probs, probs, (size_t)size * sizeof *probs);
    }
    return WHET_OK;
}

/* Predicts the target rows: by every candidate where that can be measured, else by the chosen. */
static whet_status predict_target(whet_ctx *ctx, whet_i_run *run) {
    int64_t size, total;
    WHET_TRY(whet_i_mul(ctx, run->target->n, whet_names_count(run->classes), &size));
    WHET_TRY(whet_i_alloc(ctx, size, &run->probs));
    if (run->target == &run->train || run->test.n_labels == 0)
        return predict_rows(ctx, run, run->chosen, run->target, run->probs);
    WHET_TRY(whet_i_mul(ctx, size, run->n_candidates, &total));
    const bool all = total <= PREDICT_ALL_LIMIT / (int64_t)sizeof(double);
    double *scratch;
    WHET_TRY(whet_i_alloc(ctx, all ? total : size, &scratch));
    const whet_status status = predict_and_measure(ctx, run, scratch, size, all);
    whet_i_free(ctx, scratch);
    return status;
}

static whet_status predict(whet_ctx *ctx, whet_i_run *run) {
    int64_t size;
    run->n_candidates = whet_adapt_fit_candidates(run->fit);
    run->chosen = whet_adapt_fit_chosen(run->fit);
    run->reason = whet_adapt_fit_reason(run->fit);
    WHET_TRY(whet_i_calloc(ctx, run->n_candidates, &run->candidates));
    for (int64_t c = 0; c < run->n_candidates; c++)
        run->candidates[c].info = whet_adapt_fit_info(run->fit, c);
    if (run->tuning.info.name) run->candidates[run->tuning.place].info = &run->tuning.info;
    if (run->tuning.kept) {
        run->chosen = run->tuning.place;
        run->reason = run->tuning.reason;
    }
    WHET_TRY(predict_target(ctx, run));
    if (run->target == &run->train) {
        run->pool_probs = run->probs;
        return WHET_OK;
    }
    WHET_TRY(whet_i_mul(ctx, run->train.n, whet_names_count(run->classes), &size));
    WHET_TRY(whet_i_alloc(ctx, size, &run->pool_probs));
    return predict_rows(ctx, run, run->chosen, &run->train, run->pool_probs);
}

/* ---- write ----------------------------------------------------------------------------------- */

whet_status whet_i_make_folder(whet_ctx *ctx, const char *path) {
    if (mkdir(path, 0777) == 0) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_IO, "%s: %s; expected to make this folder", path,
                       strerror(errno));
}

/* What the tuned and the frozen classifier have in common. */
static whet_classifier_meta meta_of(const whet_i_run *run) {
    whet_classifier_meta meta = {0};
    if (run->encoder) {
        meta.dtype = whet_dtype_name(run->job->dtype);
        meta.max_length = run->job->max_length;
    }
    if (run->job->class_names) meta.class_texts = run->class_texts;
    if (run->train.text_column >= 0)
        meta.text_column =
            whet_names_get(whet_table_columns(run->train.table), run->train.text_column).ptr;
    return meta;
}

static whet_status save_frozen(whet_ctx *ctx, const whet_i_run *run, const char *path) {
    whet_classifier_meta meta = meta_of(run);
    char *map_path = NULL, *model = NULL, fingerprint[17];
    whet_status status = WHET_OK;
    meta.tfidf = run->tfidf;
    meta.words = run->words;
    WHET_TRY_DONE(whet_i_make_folder(ctx, path));
    if (run->encoder) {
        /* Absolute, so that it is found from another folder too. */
        model = realpath(run->job->model, NULL);
        meta.encoder_path = model ? model : run->job->model;
        meta.encoder_fingerprint = run->fingerprint;
    }
    if (run->map) {
        meta.feature_map = whet_i_feature_map_fingerprint(run->map, fingerprint);
        WHET_TRY_DONE(whet_i_join_path(ctx, path, WHET_I_MAP_FILE, &map_path));
        WHET_TRY_DONE(whet_i_feature_map_save(ctx, run->map, map_path, false));
    }
    WHET_TRY_DONE(whet_adapt_fit_save(ctx, run->fit, path, &meta));
done:
    whet_i_free(ctx, map_path);
    free(model);
    return status;
}

/* The tuned encoder is in the folder already. It reads no words: those are beside the one that was left as it
 * is, in a folder of its own where the two are averaged. */
static whet_status save_tuned(whet_ctx *ctx, const whet_i_run *run, const char *path) {
    const double share = run->tuning.tried[run->tuning.best].share;
    whet_classifier_meta meta = meta_of(run);
    char *frozen;
    meta.encoder_path = WHET_I_TUNED_FOLDER;
    meta.encoder_fingerprint = whet_encoder_fingerprint(run->tuning.encoder);
    meta.beside = 1 - share;
    WHET_TRY(whet_adapt_fit_save(ctx, run->tuning.fit, path, &meta));
    if (!(share < 1)) return WHET_OK;
    WHET_TRY(whet_i_join_path(ctx, path, WHET_I_FROZEN_FOLDER, &frozen));
    const whet_status status = save_frozen(ctx, run, frozen);
    whet_i_free(ctx, frozen);
    return status;
}

static whet_status save_classifier(whet_ctx *ctx, const whet_i_run *run, const char *dir) {
    char *path;
    WHET_TRY(whet_i_join_path(ctx, dir, "classifier", &path));
    const whet_status status =
        run->tuning.kept ? save_tuned(ctx, run, path) : save_frozen(ctx, run, path);
    whet_i_free(ctx, path);
    return status;
}

static whet_status write_all(whet_ctx *ctx, whet_i_run *run, const char *dir, char **metrics) {
    whet_i_buf report = {0};
    char *json = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_write_predictions(ctx, run, dir));
    WHET_TRY_DONE(whet_i_write_held_out(ctx, run, dir));
    WHET_TRY_DONE(save_classifier(ctx, run, dir));
    WHET_TRY_DONE(whet_i_report(ctx, run, &report));
    WHET_TRY_DONE(whet_i_write_file(ctx, dir, "report.html", false, report.data, report.len));
    WHET_TRY_DONE(whet_i_metrics_json(ctx, run, &json));
    WHET_TRY_DONE(whet_i_write_file(ctx, dir, "metrics.json", false, json, (int64_t)strlen(json)));
    *metrics = json;
    json = NULL;
done:
    whet_i_free(ctx, json);
    whet_i_buf_free(ctx, &report);
    return status;
}

static whet_status run_stages(whet_ctx *ctx, whet_i_run *run, const char *dir) {
    run->begun = run->clock = whet_i_seconds_now();
    WHET_TRY(whet_i_run_read(ctx, run));
    run->target = run->test.n ? &run->test : &run->train;
    WHET_TRY(check_method(ctx, run));
    WHET_TRY(whet_i_run_open_space(ctx, run));
    run->seconds.read = lap(run);
    WHET_TRY(whet_i_run_embed(ctx, run));
    WHET_TRY(whet_i_run_make_space(ctx, run));
    run->seconds.embed = lap(run);
    WHET_TRY(whet_i_run_draw(ctx, run));
    WHET_TRY(whet_i_run_group(ctx, run));
    WHET_TRY(whet_i_run_add_words(ctx, run));
    WHET_TRY(train(ctx, run));
    run->seconds.fit = lap(run);
    WHET_TRY(whet_i_run_tuning(ctx, run, dir));
    run->seconds.tune = lap(run);
    WHET_TRY(predict(ctx, run));
    WHET_TRY(whet_i_run_hold_out(ctx, run));
    WHET_TRY(whet_i_run_use_space(ctx, run));
    run->seconds.predict = lap(run);
    run->seconds.total = run->clock - run->begun;
    return WHET_OK;
}

/* Not every job writes them: those of an earlier job go with that. */
static const char *const OWN[] = {"pool_predictions.tsv", "held_out.tsv", NULL};

whet_status whet_adapt_run(whet_ctx *ctx, const whet_adapt_job *job, char **metrics) {
    whet_adapt_job known = WHET_ADAPT_JOB_INIT;
    int64_t place;
    WHET_TRY(whet_i_opts(ctx, job, &known, sizeof known, "whet_adapt_job"));
    if (!known.output)
        return whet_i_fail(ctx, WHET_ERR_ARG, "no output; expected a folder to write");
    if (known.method) WHET_TRY(whet_i_method_find(ctx, known.method, &place));
    WHET_TRY(whet_i_tuning_check(ctx, &known));
    whet_i_run run = {.job = &known, .tuning = {.place = -1}};
    whet_out_dir *dir = NULL;
    char *json = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_out_dir_open(ctx, known.output, known.force, OWN, &dir));
    WHET_TRY_DONE(run_stages(ctx, &run, whet_out_dir_path(dir)));
    WHET_TRY_DONE(write_all(ctx, &run, whet_out_dir_path(dir), &json));
    WHET_TRY_DONE(whet_i_progress(ctx, NULL, 0, 0)); /* the last chance to change one's mind */
    status = whet_out_dir_commit(ctx, dir);
    dir = NULL;
    if (status == WHET_OK && metrics) {
        *metrics = json;
        json = NULL;
    }
done:
    whet_i_free(ctx, json);
    whet_out_dir_abort(ctx, dir);
    whet_i_run_free(ctx, &run);
    return status;
}
