/* SPDX-License-Identifier: Apache-2.0
 * What is written down of a run: a line a step and a validation (metrics.jsonl), and the report
 * (training.json). Keys are stable: docs/formats/training.md. */
#include <inttypes.h>
#include <math.h>

#include "tune/tune_i.h"

/* ---- lines ------------------------------------------------------------------------------------ */

static whet_status add_point(whet_ctx *ctx, whet_i_tune *run, int64_t step, double loss,
                             double metric) {
    if (run->n_points == run->cap_points) {
        const int64_t cap = run->cap_points ? 2 * run->cap_points : 256;
        WHET_TRY(whet_i_realloc(ctx, &run->points, cap));
        run->cap_points = cap;
    }
    run->points[run->n_points++] = (whet_i_tune_point){step, loss, metric};
    return WHET_OK;
}

/* Takes the reference to `object`. */
static whet_status add_line(whet_ctx *ctx, whet_i_tune *run, json_t *object) {
    whet_status status =
        whet_i_json_dump(ctx, object, JSON_COMPACT | JSON_REAL_PRECISION(9), &run->log);
    json_decref(object);
    return status == WHET_OK ? whet_i_buf_append(ctx, &run->log, "\n", 1) : status;
}

whet_status whet_i_tune_note_step(whet_ctx *ctx, whet_i_tune *run, double loss, double rate,
                                  double norm, int64_t tokens) {
    WHET_TRY(add_point(ctx, run, run->state.step, loss, NAN));
    return add_line(ctx, run,
                    json_pack("{s:I, s:I, s:o, s:f, s:o, s:I}", "step", (json_int_t)run->state.step,
                              "epoch", (json_int_t)run->state.epoch, "loss",
                              whet_i_json_number(loss), "learning_rate", rate, "gradient_norm",
                              whet_i_json_number(norm), "tokens", (json_int_t)tokens));
}

static json_t *score_object(const whet_i_tune *run, const whet_i_tune_score *s) {
    json_t *o = json_pack("{s:I}", "n", (json_int_t)s->n);
    if (run->kind->metrics >> WHET_TUNE_METRIC_LOSS & 1)
        (void)json_object_set_new(o, "loss", whet_i_json_number(s->loss));
    if (run->kind->targets == WHET_I_TARGET_TOKENS) {
        (void)json_object_set_new(o, "perplexity", whet_i_json_number(exp(s->loss)));
        return o;
    }
    if (run->regression) {
        (void)json_object_set_new(o, "pearson", whet_i_json_number(s->pearson));
        (void)json_object_set_new(o, "spearman", whet_i_json_number(s->spearman));
        return o;
    }
    (void)json_object_set_new(o, "accuracy", whet_i_json_number(s->accuracy));
    if (run->kind->targets == WHET_I_TARGET_NONE) {
        (void)json_object_set_new(o, "mrr", whet_i_json_number(s->mrr));
        return o;
    }
    (void)json_object_set_new(o, "f1", whet_i_json_number(s->f1));
    (void)json_object_set_new(o, "mcc", whet_i_json_number(s->mcc));
    if (!run->costs) return o;
    (void)json_object_set_new(o, "distance", whet_i_json_number(s->distance));
    (void)json_object_set_new(o, "frechet_distance", whet_i_json_number(s->frechet));
    return o;
}

whet_status whet_i_tune_note_score(whet_ctx *ctx, whet_i_tune *run, const whet_i_tune_score *score,
                                   bool best) {
    WHET_TRY(add_point(ctx, run, run->state.step, NAN, whet_i_tune_metric_of(run, score)));
    WHET_TRY(add_line(ctx, run,
                      json_pack("{s:I, s:o, s:b}", "step", (json_int_t)run->state.step,
                                "validation", score_object(run, score), "best", best)));
    return whet_i_tune_write_log(ctx, run);
}

/* ---- going on: the lines up to the checkpoint's step ------------------------------------------- */

static double real_at(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static void take_score(whet_i_tune *run, const json_t *v) {
    run->best_score = (whet_i_tune_score){.n = json_integer_value(json_object_get(v, "n")),
                                          .loss = real_at(v, "loss"),
                                          .accuracy = real_at(v, "accuracy"),
                                          .f1 = real_at(v, "f1"),
                                          .mcc = real_at(v, "mcc"),
                                          .pearson = real_at(v, "pearson"),
                                          .spearman = real_at(v, "spearman"),
                                          .mrr = real_at(v, "mrr"),
                                          .distance = real_at(v, "distance"),
                                          .frechet = real_at(v, "frechet_distance")};
}

static whet_status take_line(whet_ctx *ctx, whet_i_tune *run, const char *line, int64_t len) {
    json_t *object = json_loadb(line, (size_t)len, 0, NULL);
    const int64_t step = json_integer_value(json_object_get(object, "step"));
    whet_status status = WHET_OK;
    if (json_is_object(object) && step <= run->state.step) {
        const json_t *v = json_object_get(object, "validation");
        status = add_point(ctx, run, step, real_at(object, "loss"),
                           real_at(v, whet_i_tune_metric_name(run->metric)));
        if (v && json_is_true(json_object_get(object, "best"))) take_score(run, v);
        if (status == WHET_OK) status = whet_i_buf_append(ctx, &run->log, line, len + 1);
    }
    json_decref(object);
    return status;
}

whet_status whet_i_tune_read_log(whet_ctx *ctx, whet_i_tune *run) {
    enum { BYTES_MAX = 1 << 30 };
    char *path, *bytes = NULL;
    int64_t len = 0;
    WHET_TRY(whet_i_tune_path(ctx, run, "metrics.jsonl", &path));
    whet_status status = whet_i_file_read(ctx, path, BYTES_MAX, &bytes, &len);
    whet_i_free(ctx, path);
    WHET_TRY(status);
    for (int64_t at = 0; status == WHET_OK && at < len;) {
        const char *end = memchr(bytes + at, '\n', (size_t)(len - at));
        if (!end) break; /* a line cut short */
        status = take_line(ctx, run, bytes + at, end - bytes - at);
        at = end - bytes + 1;
    }
    whet_i_free(ctx, bytes);
    return status;
}

whet_status whet_i_tune_write_log(whet_ctx *ctx, whet_i_tune *run) {
    return whet_i_tune_write(ctx, run, "metrics.jsonl", run->log.data ? run->log.data : "",
                             run->log.len);
}

/* ---- the report ------------------------------------------------------------------------------- */

static void put_text(json_t *o, const char *key, const char *text) {
    if (o && text) (void)json_object_set_new(o, key, json_string(text));
}

static json_t *settings_object(const whet_i_tune *run) {
    static const char *const schedules[] = {"constant", "linear", "cosine"};
    static const char *const weights[] = {"even", "confidence"};
    const whet_tune_job *j = &run->job;
    const double rank = (double)j->rank;
    const double scale =
        run->adapter->scaled ? j->alpha / (j->rank_stabilised ? sqrt(rank) : rank) : 1;
    json_t *o = json_pack(
        "{s:s, s:s, s:I, s:f, s:f, s:f, s:s, s:I, s:f, s:f, s:I, s:I, s:I, s:s, s:b, s:I}",
        "adapter", run->adapter->name, "head",
        j->head == WHET_TUNE_HEAD_POOLED ? "pooled" : "family", "epochs", (json_int_t)j->epochs,
        "learning_rate", j->learning_rate, "head_rate", j->head_rate, "weight_decay",
        j->weight_decay, "schedule", schedules[j->schedule], "warmup_steps",
        (json_int_t)run->warmup_steps, "clip", j->clip, "smoothing", j->smoothing, "batch_size",
        (json_int_t)j->batch_size, "batch_tokens", (json_int_t)run->sizes.rows[WHET_I_TOKENS],
        "max_length", (json_int_t)run->backbone.max_length, "dtype", whet_dtype_name(j->dtype),
        "recompute", j->recompute, "seed", (json_int_t)j->seed);
    if (o && j->new_head) (void)json_object_set_new(o, "new_head", json_true());
    if (o) (void)json_object_set_new(o, "loss", json_string(run->kind->name));
    if (o && run->kind->temperature != 0)
        (void)json_object_set_new(o, "temperature", json_real(whet_i_tune_temperature(run)));
    if (o && j->probs) {
        (void)json_object_set_new(o, "probs", json_string(j->probs));
        (void)json_object_set_new(o, "row_weights", json_string(weights[j->row_weights]));
        (void)json_object_set_new(o, "label_weight", json_real(j->label_weight));
    }
    if (o && j->space) (void)json_object_set_new(o, "space", json_string(j->space));
    if (o && run->kind->embeds && run->regression)
        (void)json_object_set_new(o, "target_scale", json_real(run->target_scale));
    if (o && run->adapter->adapts) {
        (void)json_object_set_new(o, "rank", json_integer(j->rank));
        (void)json_object_set_new(o, "blocks", json_integer(run->adapter->blocks ? j->blocks : 1));
        (void)json_object_set_new(o, "scale", json_real(scale));
        (void)json_object_set_new(o, "layers", json_integer(run->n_matched));
        if (j->second_rate != 1)
            (void)json_object_set_new(o, "second_rate", json_real(j->second_rate));
        put_text(o, "rank_pattern", j->rank_pattern);
        put_text(o, "alpha_pattern", j->alpha_pattern);
        put_text(o, "blocks_pattern", j->blocks_pattern);
        if (j->adapter_dropout > 0)
            (void)json_object_set_new(o, "adapter_dropout", json_real(j->adapter_dropout));
    }
    put_text(o, "targets", j->targets);
    put_text(o, "exclude", j->exclude);
    put_text(o, "only_layers", j->layers);
    put_text(o, "save_modules", j->save_modules);
    return o;
}

static json_t *class_array(const whet_i_tune *run) {
    if (!run->classes) return json_null();
    json_t *array = json_array();
    for (int64_t c = 0; array && c < run->k; c++) {
        const whet_str name = whet_names_get(run->classes, c);
        (void)json_array_append_new(array, json_stringn(name.ptr, (size_t)name.len));
    }
    return array;
}

static json_t *rows_object(const whet_i_tune_rows *rows) {
    if (!rows->n) return json_null();
    json_t *o = json_pack("{s:I, s:I, s:I, s:I}", "rows", (json_int_t)rows->n, "unlabelled",
                          (json_int_t)rows->unlabelled, "truncated", (json_int_t)rows->truncated,
                          "tokens", (json_int_t)rows->tokens.start[rows->tokens.n_rows]);
    if (o && rows->probs) (void)json_object_set_new(o, "labelled", json_integer(rows->clamped));
    if (!rows->asked) return o;
    (void)json_object_set_new(o, "asked_tokens", json_integer(rows->n_asked));
    (void)json_object_set_new(o, "cut_texts", json_integer(rows->cut));
    return o;
}

static int64_t all_numbers(const whet_i_params *params) {
    int64_t sum = 0;
    for (int64_t i = 0; i < params->n; i++) sum += params->items[i].count;
    return sum;
}

static const char *task_name(const whet_i_tune *run) {
    if (run->kind->targets == WHET_I_TARGET_TOKENS) return "language";
    if (run->kind->embeds) return "embedding";
    return run->regression ? "regression" : "classification";
}

whet_status whet_i_tune_report(whet_ctx *ctx, const whet_i_tune *run, char **out) {
    const bool scored = run->valid.n && isfinite(run->state.best);
    json_t *o = json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:o, s:I, s:I, s:I, s:I, s:b, s:I, s:I, s:I, "
        "s:o, s:o}",
        "task", task_name(run), "model", run->backbone.model_type, "output", run->job.output,
        "classes", class_array(run), "train", rows_object(&run->train), "valid",
        rows_object(&run->valid), "settings", settings_object(run), "metric",
        whet_i_tune_metric_name(run->metric), "best",
        scored ? score_object(run, &run->best_score) : json_null(), "best_step",
        (json_int_t)run->state.best_step, "steps", (json_int_t)run->state.step, "planned_steps",
        (json_int_t)run->total_steps, "epochs", (json_int_t)run->state.epoch, "stopped_early",
        run->stopped_early, "trained_parameters", (json_int_t)whet_i_params_trainable(run->params),
        "parameters", (json_int_t)all_numbers(run->params), "planned_bytes",
        (json_int_t)run->planned_bytes, "seconds", whet_i_json_number(run->seconds),
        "tokens_per_second",
        whet_i_json_number(run->seconds > 0 ? (double)run->tokens_done / run->seconds
                                            : (double)NAN));
    whet_i_buf buf = {0};
    const whet_status status =
        whet_i_json_dump(ctx, o, JSON_INDENT(1) | JSON_REAL_PRECISION(17), &buf);
    json_decref(o);
    if (status == WHET_OK)
        *out = buf.data;
    else
        whet_i_buf_free(ctx, &buf);
    return status;
}
