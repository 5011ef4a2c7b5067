/* SPDX-License-Identifier: Apache-2.0
 * metrics.json: what was done and how good it is, for programs. Keys are stable
 * (docs/guide/adapt.md). */
#include <jansson.h>
#include <math.h>

#include "adapt/tuning.h"

/* Not finite is null: JSON has no NaN. */
static void put(json_t *object, const char *key, json_t *value) {
    if (json_object_set_new(object, key, value) != 0) json_object_clear(object);
}

static json_t *text(const char *s) { return s ? json_string(s) : json_null(); }

/* Paths are whatever bytes the system allows. */
static json_t *path_text(whet_ctx *ctx, const char *s) {
    whet_i_buf buf = {0};
    json_t *out = NULL;
    if (!s) return json_null();
    if (whet_i_append_clean(ctx, &buf, whet_str_from(s)) == WHET_OK)
        out = json_string(buf.data ? buf.data : "");
    whet_i_buf_free(ctx, &buf);
    return out;
}

static json_t *metrics_object(const whet_metrics *m) {
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "n", (json_int_t)m->n, "accuracy",
                     whet_i_json_number(m->accuracy), "accuracy_low",
                     whet_i_json_number(m->accuracy_low), "accuracy_high",
                     whet_i_json_number(m->accuracy_high), "macro_f1",
                     whet_i_json_number(m->macro_f1), "log_loss", whet_i_json_number(m->log_loss),
                     "brier", whet_i_json_number(m->brier), "calibration_error",
                     whet_i_json_number(m->calibration_error));
}

/* Of what predictions.tsv says. */
static json_t *hits_object(const whet_i_hits *h) {
    if (h->n == 0) return json_null();
    return json_pack("{s:I, s:o, s:o, s:o}", "n", (json_int_t)h->n, "accuracy",
                     whet_i_json_number(h->accuracy), "accuracy_low", whet_i_json_number(h->low),
                     "accuracy_high", whet_i_json_number(h->high));
}

static json_t *candidate_object(const whet_i_run *run, int64_t i) {
    const whet_i_candidate *c = &run->candidates[i];
    json_t *fitted = json_null();
    if (isfinite(c->info->accuracy)) /* else it was not compared */
        fitted =
            json_pack("{s:o, s:o, s:o, s:o}", "accuracy", whet_i_json_number(c->info->accuracy),
                      "accuracy_low", whet_i_json_number(c->info->accuracy_low), "accuracy_high",
                      whet_i_json_number(c->info->accuracy_high), "log_loss",
                      whet_i_json_number(c->info->log_loss));
    return json_pack("{s:s, s:o, s:o, s:b, s:o, s:b, s:o, s:o}", "name", c->info->name, "title",
                     text(c->info->title), "settings", text(c->info->settings), "available",
                     (int)c->info->available, "note", text(c->info->note), "chosen",
                     (int)(i == run->chosen), "cross_fitted", fitted, "test",
                     c->tested ? metrics_object(&c->test) : json_null());
}

static json_t *candidates_array(const whet_i_run *run) {
    json_t *array = json_array();
    for (int64_t i = 0; i < run->n_candidates; i++)
        if (json_array_append_new(array, candidate_object(run, i)) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *classes_array(const whet_i_run *run) {
    const int64_t k = whet_names_count(run->classes);
    json_t *array = json_array();
    for (int64_t c = 0; c < k; c++) {
        const whet_str name = whet_names_get(run->classes, c);
        int64_t labels = 0;
        for (int64_t i = 0; i < run->train.n; i++) labels += run->train.labels[i] == c;
        if (json_array_append_new(array,
                                  json_pack("{s:s%, s:I}", "name", name.ptr, (size_t)name.len,
                                            "labels", (json_int_t)labels)) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *data_object(whet_ctx *ctx, const whet_i_run *run) {
    const bool test = run->test.n > 0;
    return json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "train",
                     path_text(ctx, run->train.path), "rows", (json_int_t)run->train.n,
                     "labels_given", (json_int_t)run->train.n_labels, "labels_used",
                     (json_int_t)run->n_used, "labels_hidden", (json_int_t)run->n_hidden,
                     "unlabelled", (json_int_t)(run->train.n - run->n_used), "class_count",
                     (json_int_t)whet_names_count(run->classes), "classes", classes_array(run),
                     "test", path_text(ctx, run->test.path), "test_rows",
                     test ? json_integer(run->test.n) : json_null(), "test_labels",
                     test ? json_integer(run->test.n_labels) : json_null());
}

static json_t *features_object(whet_ctx *ctx, const whet_i_run *run) {
    json_t *o = json_pack("{s:s, s:I, s:b}", "source", run->source, "columns", (json_int_t)run->d,
                          "class_names_embedded", (int)(run->class_vectors != NULL));
    if (run->map) put(o, "map", path_text(ctx, run->job->feature_map));
    if (run->fingerprint) {
        put(o, "model", path_text(ctx, run->job->model));
        put(o, "fingerprint", text(run->fingerprint));
        put(o, "dtype", text(whet_dtype_name(run->job->dtype)));
        put(o, "max_length", json_integer(run->job->max_length));
    }
    return o;
}

static json_t *settings_object(whet_ctx *ctx, const whet_i_run *run) {
    const whet_adapt_job *job = run->job;
    return json_pack("{s:o, s:I, s:I, s:s, s:o, s:o, s:o}", "command", path_text(ctx, job->command),
                     "seed", (json_int_t)job->seed, "budget", (json_int_t)job->budget, "draw",
                     job->draw == WHET_DRAW_COVERAGE ? "coverage" : "uniform", "method",
                     text(job->method), "space", path_text(ctx, job->space), "space_candidates",
                     text(run->space.candidates));
}

static json_t *space_group(const whet_space_means *m) {
    double low, high;
    whet_wilson((int64_t)llround(m->accuracy * (double)m->rows), m->rows, &low, &high);
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o}", "n", (json_int_t)m->rows, "accuracy",
                     whet_i_json_number(m->accuracy), "accuracy_low", whet_i_json_number(low),
                     "accuracy_high", whet_i_json_number(high), "mean_distance",
                     whet_i_json_number(m->mean_distance), "mean_squared_distance",
                     whet_i_json_number(m->mean_squared));
}

static json_t *space_side(const whet_space_scores *s) {
    json_t *o = space_group(&s->all);
    put(o, "seen", s->seen.rows ? space_group(&s->seen) : json_null());
    put(o, "unseen", s->unseen.rows ? space_group(&s->unseen) : json_null());
    return o;
}

static json_t *space_interval(const whet_space_interval *i) {
    return json_pack("{s:o, s:o, s:o}", "mean", whet_i_json_number(i->difference), "low",
                     whet_i_json_number(i->low), "high", whet_i_json_number(i->high));
}

static json_t *space_object(const whet_i_run *run) {
    if (!run->space_scored) return json_null();
    const whet_space_gain *g = &run->gains.all;
    json_t *difference =
        json_pack("{s:o, s:o, s:o}", "mean_squared_distance", space_interval(&g->mean_squared),
                  "mean_distance", space_interval(&g->mean_distance), "accuracy",
                  space_interval(&g->accuracy));
    return json_pack("{s:o, s:o, s:o}", "argmax", space_side(&run->by_argmax), "frechet",
                     space_side(&run->by_frechet), "difference", difference);
}

static json_t *seconds_object(const whet_i_seconds *s) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "read", whet_i_json_number(s->read), "embed",
                     whet_i_json_number(s->embed), "fit", whet_i_json_number(s->fit), "tune",
                     whet_i_json_number(s->tune), "predict", whet_i_json_number(s->predict),
                     "total", whet_i_json_number(s->total));
}

/* Of one that was tried on all folds. */
static json_t *heads_array(const whet_i_contender *c) {
    json_t *heads = json_array();
    for (int64_t i = 0; isfinite(c->log_loss) && i < c->n_heads; i++)
        (void)json_array_append_new(
            heads,
            json_pack("{s:s, s:s, s:o, s:o, s:o, s:b}", "name",
                      whet_i_lesson_head_name(c->lesson, i), "settings",
                      whet_i_lesson_head_words(c->lesson, i), "log_loss",
                      whet_i_json_number(c->heads[i].log_loss), "accuracy",
                      whet_i_json_number(c->heads[i].accuracy), "temperature",
                      whet_i_json_number(c->heads[i].temperature), "chosen", (int)(i == c->head)));
    return heads;
}

static json_t *contender_object(const whet_i_contender *c, bool kept) {
    return json_pack("{s:s, s:s, s:I, s:o, s:o, s:o, s:f, s:o, s:o, s:o, s:o, s:b, s:s, s:o}",
                     "name", c->lesson->name, "title", c->lesson->title, "folds",
                     (json_int_t)c->folds, "seconds", whet_i_json_number(c->seconds), "first_fold",
                     whet_i_json_number(c->first), "log_loss_alone", whet_i_json_number(c->alone),
                     "share", c->share, "log_loss", whet_i_json_number(c->log_loss), "accuracy",
                     whet_i_json_number(c->accuracy), "gain", whet_i_json_number(c->gain),
                     "standard_error", whet_i_json_number(c->error), "kept", (int)kept, "verdict",
                     c->verdict, "heads", heads_array(c));
}

/* With "end_model" and with "adapter" alike. */
static json_t *tuning_object(whet_ctx *ctx, const whet_i_run *run) {
    const whet_i_tuning *t = &run->tuning;
    static const whet_i_contender none = {.log_loss = (double)NAN,
                                          .accuracy = (double)NAN,
                                          .gain = (double)NAN,
                                          .error = (double)NAN};
    if (!t->info.name) return json_null();
    const whet_i_contender *best = t->best >= 0 ? &t->tried[t->best] : &none;
    json_t *tried = json_array();
    for (int64_t at = 0; at < t->n; at++)
        (void)json_array_append_new(tried,
                                    contender_object(&t->tried[at], t->kept && at == t->best));
    json_t *o = json_pack(
        "{s:b, s:o, s:s, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "kept", (int)t->kept, "reason",
        text(t->reason), "teacher", whet_adapt_fit_info(run->fit, t->teacher)->name, "lesson",
        text(best->lesson ? best->lesson->name : NULL), "folds", (json_int_t)t->folds, "log_loss",
        whet_i_json_number(best->log_loss), "log_loss_without",
        whet_i_json_number(t->log_loss_without), "gain", whet_i_json_number(best->gain),
        "standard_error", whet_i_json_number(best->error), "accuracy",
        whet_i_json_number(best->accuracy), "accuracy_without",
        whet_i_json_number(t->accuracy_without));
    put(o, "time_limit", run->job->time_limit > 0 ? json_real(run->job->time_limit) : json_null());
    put(o, "columns", t->kept ? json_integer(whet_encoder_dim(t->encoder)) : json_null());
    put(o, "dtype",
        whet_i_tuning_ran(t) ? text(whet_dtype_name(whet_i_tuning_dtype(ctx, run->job)))
                             : json_null());
    put(o, "contenders", tried);
    return o;
}

/* The labels most in doubt. */
static json_t *held_out_object(const whet_i_run *run) {
    enum { MOST = 10 };
    const whet_i_held_out *h = &run->held_out;
    const int64_t k = whet_names_count(run->classes);
    json_t *first = json_array();
    if (h->n == 0) {
        json_decref(first);
        return json_null();
    }
    for (int64_t i = 0, told = 0; i < h->n && told < MOST; i++) {
        const double *p = h->probs + i * k;
        const int64_t label = run->train.labels[h->rows[i]];
        const whet_str own = whet_names_get(run->classes, label);
        const int32_t likelier = whet_i_held_class(run, i);
        if (likelier == label) continue;
        const whet_str name = whet_names_get(run->classes, likelier);
        (void)json_array_append_new(
            first,
            json_pack("{s:I, s:s%, s:o, s:s%, s:o}", "row", (json_int_t)h->rows[i], "label",
                      own.ptr, (size_t)own.len, "own", whet_i_json_number(p[label]), "class",
                      name.ptr, (size_t)name.len, "probability", whet_i_json_number(p[likelier])));
        told++;
    }
    return json_pack("{s:I, s:I, s:o}", "labels", (json_int_t)h->n, "doubted",
                     (json_int_t)h->doubted, "first", first);
}

static json_t *document(whet_ctx *ctx, const whet_i_run *run) {
    const whet_i_candidate *chosen = &run->candidates[run->chosen];
    const whet_i_hits hits = whet_i_run_hits(run);
    json_t *versions = json_pack("{s:s, s:s, s:i}", "whet", whet_version(), "kernels",
                                 whet_kernels_name(ctx), "threads", (int)whet_ctx_threads(ctx));
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "chosen",
                     chosen->info->name, "reason", text(run->reason), "test",
                     chosen->tested ? metrics_object(&chosen->test) : json_null(), "predictions",
                     hits_object(&hits), "space", space_object(run), "candidates",
                     candidates_array(run), "data", data_object(ctx, run), "features",
                     features_object(ctx, run), "settings", settings_object(ctx, run), "seconds",
                     seconds_object(&run->seconds), "versions", versions, "end_model",
                     tuning_object(ctx, run), "held_out", held_out_object(run));
}

whet_status whet_i_metrics_json(whet_ctx *ctx, const whet_i_run *run, char **out) {
    json_t *root = document(ctx, run);
    whet_i_buf buf = {0};
    /* 15 digits print decimal fractions as they were meant (0.1, not 0.10000000000000001). */
    whet_status status =
        whet_i_json_dump(ctx, root, JSON_INDENT(2) | JSON_REAL_PRECISION(17), &buf);
    json_decref(root);
    if (status == WHET_OK) status = whet_i_buf_append(ctx, &buf, "\n", 1);
    if (status == WHET_OK)
        *out = buf.data;
    else
        whet_i_buf_free(ctx, &buf);
    return status;
}
