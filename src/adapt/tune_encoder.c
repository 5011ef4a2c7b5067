/* SPDX-License-Identifier: Apache-2.0
 * One lesson: a training run of the encoder on rows in memory, and the head on top.
 *
 * Where a candidate's probabilities teach, the labels together weigh a quarter of what the other rows
 * do, as with the logistic end model. Products of training are in bf16 where the machine has it and the job
 * does not ask for f32: half the time, and what is trained stays f32. */
#include <stdio.h>
#include <unistd.h>

#include "adapt/head_candidates.h"
#include "adapt/tuning.h"
#include "kernels/kernels_i.h"
#include "tune/tune_i.h"

enum { BATCH = 32, PASSES = 3, RANK = 8, LIMITS_MAX = 1 << 20 };
#define LIMITS "sentence_bert_config.json"
#define LABELS_SHARE .25

/* ---- rows ------------------------------------------------------------------------------------- */

/* Texts that are trained on. */
typedef struct rows {
    int64_t n, spread, b;
    whet_str *texts; /* [n] */
    float *probs;    /* [n, k], or NULL */
    int32_t *labels; /* [n] */
} rows;

static void free_rows(whet_ctx *ctx, rows *r) {
    whet_i_free(ctx, r->texts);
    whet_i_free(ctx, r->probs);
    whet_i_free(ctx, r->labels);
}

/* The place of pool row i among `spread` evenly spaced ones of n: whether it is one of them. */
static bool is_spread(int64_t i, int64_t spread, int64_t n) {
    const int64_t at = (i * spread + n - 1) / n;
    return at < spread && at * n / spread == i;
}

/* Whether the lesson reads row i of the pool. */
static bool reads(const whet_i_pupil *p, int64_t i) {
    const int64_t n = p->run->train.n, spread = n < WHET_I_TUNE_ROWS ? n : WHET_I_TUNE_ROWS;
    return p->labels[i] >= 0 || (p->lesson->rows == WHET_I_LESSON_POOL && is_spread(i, spread, n));
}

static void add_row(const whet_i_pupil *p, int64_t i, int64_t k, rows *r) {
    r->texts[r->n] = p->run->train.texts[i];
    r->labels[r->n] = p->labels[i] >= 0 ? p->labels[i] : -1;
    r->b += p->labels[i] >= 0;
    for (int64_t c = 0; r->probs && c < k; c++) r->probs[r->n * k + c] = (float)p->teach[i * k + c];
    r->n++;
}

static whet_status make_rows(whet_ctx *ctx, const whet_i_pupil *p, rows *r) {
    const int64_t n = p->run->train.n, k = whet_names_count(p->run->classes);
    const bool names = p->lesson->rows == WHET_I_LESSON_NAMES;
    int64_t room = names ? k : 0, cells;
    for (int64_t i = 0; i < n; i++) room += reads(p, i);
    WHET_TRY(whet_i_mul(ctx, room, k, &cells));
    WHET_TRY(whet_i_alloc(ctx, room, &r->texts));
    WHET_TRY(whet_i_alloc(ctx, room, &r->labels));
    if (p->lesson->rows == WHET_I_LESSON_POOL) WHET_TRY(whet_i_alloc(ctx, cells, &r->probs));
    for (int64_t i = 0; i < n; i++)
        if (reads(p, i)) add_row(p, i, k, r);
    for (int64_t c = 0; names && c < k; c++) {
        r->texts[r->n] = p->run->class_texts[c];
        r->labels[r->n++] = (int32_t)c;
    }
    r->spread = n < WHET_I_TUNE_ROWS ? n : WHET_I_TUNE_ROWS;
    return WHET_OK;
}

/* ---- the run ------------------------------------------------------------------------------------ */

static int64_t epochs_of(const whet_i_lesson *lesson, int64_t n) {
    const int64_t steps = n < 1 ? 1 : (n + BATCH - 1) / BATCH; /* of a pass */
    const int64_t passes = (lesson->steps + steps - 1) / steps;
    return passes > PASSES ? passes : PASSES;
}

double whet_i_text_bytes(const whet_i_run *run, whet_str text) {
    enum { BYTES_A_TOKEN = 5 };
    const int64_t most = BYTES_A_TOKEN * run->encoder->config.max_length;
    return (double)(text.len < most ? text.len : most);
}

double whet_i_lesson_bytes(const whet_i_pupil *p) {
    const int64_t n = p->run->train.n, k = whet_names_count(p->run->classes);
    const bool names = p->lesson->rows == WHET_I_LESSON_NAMES;
    double bytes = 0;
    int64_t read = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!reads(p, i)) continue;
        bytes += whet_i_text_bytes(p->run, p->run->train.texts[i]);
        read++;
    }
    for (int64_t c = 0; names && c < k; c++, read++)
        bytes += whet_i_text_bytes(p->run, p->run->class_texts[c]);
    return bytes * (double)epochs_of(p->lesson, read);
}

whet_dtype whet_i_tuning_dtype(whet_ctx *ctx, const whet_adapt_job *job) {
    return !job->tune_exact && whet_i_kernels(ctx)->bf16_products ? WHET_BF16 : job->dtype;
}

static whet_tune_job job_of(whet_ctx *ctx, const whet_i_pupil *p, const rows *r,
                            const char *folder) {
    whet_tune_job job = WHET_TUNE_JOB_INIT;
    const whet_i_lesson *lesson = p->lesson;
    const double each = r->b ? LABELS_SHARE * (double)r->spread / (double)r->b : 1;
    job.model = p->run->job->model;
    job.train = p->run->train.path;
    job.loss = lesson->loss;
    job.temperature = lesson->temperature;
    job.head = WHET_TUNE_HEAD_POOLED;
    job.adapter = lesson->adapter;
    job.rank = RANK;
    if (lesson->adapter != WHET_TUNE_FULL) job.targets = "all-linear";
    if (lesson->adapter != WHET_TUNE_FULL) job.dropout = 0;
    if (r->probs) {
        job.probs = "probabilities of the pool";
        job.row_weights = lesson->row_weights;
        job.label_weight = each > 1 ? each : 1;
    }
    job.epochs = epochs_of(lesson, r->n);
    job.batch_size = BATCH;
    job.learning_rate = lesson->rate;
    job.head_rate = lesson->head_rate;
    job.max_length = p->run->job->max_length;
    job.dtype = whet_i_tuning_dtype(ctx, p->run->job);
    job.seed = p->run->job->seed;
    job.output = folder;
    job.force = true; /* the folder is new, and there */
    return job;
}

static whet_i_tune_given given_of(const whet_i_pupil *p, const rows *r) {
    return (whet_i_tune_given){.texts = r->texts,
                               .n = r->n,
                               .probs = r->probs,
                               .labels = r->labels,
                               .classes = p->run->classes,
                               .half = p->half};
}

/* ---- without a file ------------------------------------------------------------------------------- */

/* Tunes at the pupil's pace: whether all steps were taken. */
static whet_status tune_in_time(whet_ctx *ctx, const whet_i_pupil *p, const whet_tune_job *job,
                                whet_i_tune_given *given, bool *done) {
    whet_i_tune_pace pace = {.until = p->pace ? p->pace->until : 0};
    if (p->pace) given->pace = &pace;
    const whet_status status = whet_i_tune_on(ctx, job, given, NULL);
    given->pace = NULL;
    WHET_TRY(status);
    if (p->pace)
        *p->pace = (whet_i_pace){pace.until, pace.late, pace.steps, pace.total, pace.seconds};
    *done = !pace.late;
    return WHET_OK;
}

/* The head was trained: logits of the texts come out. */
static whet_status predict_logits(whet_ctx *ctx, const whet_i_pupil *p, const rows *r,
                                  const whet_str *texts, int64_t n, double *probs) {
    const int64_t k = whet_names_count(p->run->classes);
    whet_i_tune_given given = given_of(p, r);
    const whet_tune_job job = job_of(ctx, p, r, NULL);
    float *logits;
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, n, k, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &logits));
    given.asked = texts;
    given.n_asked = n;
    given.answers = logits;
    bool done;
    const whet_status status = tune_in_time(ctx, p, &job, &given, &done);
    if (status == WHET_OK && done) whet_i_head_softmax(logits, n, k, probs);
    whet_i_free(ctx, logits);
    return status;
}

/* Texts that an encoder is asked for once it is tuned, one after the other: those to predict, what was
 * trained on, labels before names, and rows of the pool; and halfway all but the pool. */
typedef struct asked {
    int64_t n, learned, pool, all;
    whet_str *texts; /* [all] */
    float *x, *half; /* [all, d], [n + learned, d] */
    float *rows;     /* [pool + labels, d] of x */
    int32_t *labels; /* of them, -1 of the pool */
} asked;

static void free_asked(whet_ctx *ctx, asked *a) {
    whet_i_free(ctx, a->texts);
    whet_i_free(ctx, a->x);
    whet_i_free(ctx, a->half);
    whet_i_free(ctx, a->rows);
    whet_i_free(ctx, a->labels);
}

/* Rows whose labels are held out are none of the pool: rows to predict are new to it. */
static bool is_unlabelled(const whet_i_pupil *p, int64_t i) {
    const int32_t *given = p->run->train.labels;
    return p->labels[i] < 0 && !(given && given[i] >= 0);
}

static whet_status make_asked(whet_ctx *ctx, const whet_i_pupil *p, const rows *r,
                              const whet_str *texts, int64_t n, asked *a) {
    const int64_t d = whet_encoder_dim(p->run->encoder);
    int64_t unlabelled = 0, cells, at = n + r->n;
    for (int64_t i = 0; i < p->run->train.n; i++) unlabelled += is_unlabelled(p, i);
    a->n = n;
    a->learned = r->n;
    a->pool = unlabelled < WHET_I_HEAD_ROWS ? unlabelled : WHET_I_HEAD_ROWS;
    a->all = n + r->n + a->pool;
    WHET_TRY(whet_i_mul(ctx, a->all, d, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &a->x));
    WHET_TRY(whet_i_alloc(ctx, (n + r->n) * d, &a->half));
    WHET_TRY(whet_i_alloc(ctx, (a->pool + r->b) * d, &a->rows));
    WHET_TRY(whet_i_alloc(ctx, a->all, &a->texts));
    WHET_TRY(whet_i_alloc(ctx, a->pool + r->b, &a->labels));
    memcpy(a->texts, texts, (size_t)n * sizeof *texts);
    memcpy(a->texts + n, r->texts, (size_t)r->n * sizeof *texts);
    for (int64_t i = 0, of = 0; i < p->run->train.n; i++)
        if (is_unlabelled(p, i) && is_spread(of++, a->pool, unlabelled))
            a->texts[at++] = p->run->train.texts[i];
    for (int64_t i = 0; i < a->pool; i++) a->labels[i] = -1;
    memcpy(a->labels + a->pool, r->labels, (size_t)r->b * sizeof *a->labels);
    return WHET_OK;
}

/* By the lesson's own head on x [n + learned, d]. */
static whet_status predict_by_own(whet_ctx *ctx, const whet_i_pupil *p, const rows *r,
                                  const asked *a, const float *x, double *probs) {
    const int64_t d = whet_encoder_dim(p->run->encoder), k = whet_names_count(p->run->classes);
    struct whet_i_linear_model *head;
    WHET_TRY(whet_i_head_fit(ctx, p->lesson, x + a->n * d, r->labels, r->n, d, k, &head));
    const whet_status status = whet_i_head_predict(ctx, head, x, a->n, probs);
    whet_i_head_free(ctx, head);
    return status;
}

/* By the others, which look at the labels and the pool. */
static whet_status predict_by_others(whet_ctx *ctx, const whet_i_pupil *p, const rows *r,
                                     const asked *a, double *probs) {
    const int64_t d = whet_encoder_dim(p->run->encoder);
    const float *learned = a->x + a->n * d;
    memcpy(a->rows, learned + r->n * d, (size_t)(a->pool * d) * sizeof *a->rows);
    memcpy(a->rows + a->pool * d, learned, (size_t)(r->b * d) * sizeof *a->rows);
    const bool names = p->lesson->rows == WHET_I_LESSON_NAMES;
    const whet_adapt_input input = {a->rows,   a->pool + r->b,  d,
                                    a->labels, p->run->classes, names ? learned + r->b * d : NULL};
    return whet_i_heads_predict(ctx, &input, a->x, a->n, probs);
}

/* Embeddings of the texts, of what was trained on and of rows of the pool come out. */
static whet_status predict_embeddings(whet_ctx *ctx, const whet_i_pupil *p, const rows *r,
                                      const whet_str *texts, int64_t n, double *probs) {
    const int64_t cells = n * whet_names_count(p->run->classes);
    whet_i_tune_given given = given_of(p, r);
    const whet_tune_job job = job_of(ctx, p, r, NULL);
    asked a = {0};
    bool all_steps;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(make_asked(ctx, p, r, texts, n, &a));
    given.asked = a.texts;
    given.n_asked = a.all;
    given.answers = a.x;
    given.n_halfway = n + r->n;
    given.halfway = a.half;
    WHET_TRY_DONE(tune_in_time(ctx, p, &job, &given, &all_steps));
    if (!all_steps) goto done;
    WHET_TRY_DONE(predict_by_own(ctx, p, r, &a, a.x, probs));
    WHET_TRY_DONE(predict_by_others(ctx, p, r, &a, probs + cells));
    status =
        predict_by_own(ctx, p, r, &a, a.half, probs + (whet_i_lesson_heads(p->lesson) - 1) * cells);
done:
    free_asked(ctx, &a);
    return status;
}

whet_status whet_i_tune_and_predict(whet_ctx *ctx, const whet_i_pupil *p, const whet_str *texts,
                                    int64_t n, double *probs) {
    rows r = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(make_rows(ctx, p, &r));
    status = whet_i_lesson_has_head(p->lesson) ? predict_logits(ctx, p, &r, texts, n, probs)
                                               : predict_embeddings(ctx, p, &r, texts, n, probs);
done:
    free_rows(ctx, &r);
    return status;
}

/* ---- into a folder -------------------------------------------------------------------------------- */

/* Figures and times of a run that is a part of another are told there. */
static void remove_report(const char *folder) {
    char path[4096];
    const int n = snprintf(path, sizeof path, "%s/training.json", folder);
    if (n > 0 && (size_t)n < sizeof path) (void)remove(path);
}

static whet_status read_limits(whet_ctx *ctx, const char *folder, json_t **out) {
    char *path, *bytes = NULL;
    int64_t len;
    WHET_TRY(whet_i_join_path(ctx, folder, LIMITS, &path));
    whet_status status = WHET_OK;
    *out = NULL;
    if (access(path, F_OK) != 0) goto done;
    WHET_TRY_DONE(whet_i_file_read(ctx, path, LIMITS_MAX, &bytes, &len));
    status = whet_i_json_parse(ctx, path, bytes, len, out);
done:
    whet_i_free(ctx, bytes);
    whet_i_free(ctx, path);
    return status;
}

/* What the encoder was tuned on ends at the job's limit: who loads the folder elsewhere reads as far. */
static whet_status write_limit(whet_ctx *ctx, const whet_i_run *run, const char *folder) {
    json_t *limits;
    whet_i_buf text = {0};
    if (run->job->max_length == 0) return WHET_OK;
    WHET_TRY(read_limits(ctx, folder, &limits));
    if (!json_is_object(limits)) {
        json_decref(limits);
        limits = json_object();
    }
    if (json_object_set_new(limits, "max_seq_length", json_integer(run->job->max_length)) != 0) {
        json_decref(limits);
        limits = NULL; /* told by what follows */
    }
    whet_status status = whet_i_json_dump(ctx, limits, JSON_INDENT(2), &text);
    json_decref(limits);
    if (status == WHET_OK)
        status = whet_i_write_file(ctx, folder, LIMITS, true, text.data, text.len);
    whet_i_buf_free(ctx, &text);
    return status;
}

static whet_status learn(whet_ctx *ctx, const whet_i_pupil *p, const rows *r, const char *folder,
                         whet_i_tuned *out) {
    const int64_t d = whet_encoder_dim(p->run->encoder), k = whet_names_count(p->run->classes);
    whet_i_tune_given given = given_of(p, r);
    const whet_tune_job job = job_of(ctx, p, r, folder);
    float *weight = NULL, *bias = NULL;
    int64_t cells;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_mul(ctx, k, d, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &weight));
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &bias));
    given.weight = weight;
    given.bias = bias;
    WHET_TRY_DONE(whet_i_tune_on(ctx, &job, &given, NULL));
    if (whet_i_lesson_has_head(p->lesson))
        status = whet_i_head_take(ctx, weight, bias, d, k, &out->head);
done:
    whet_i_free(ctx, bias);
    whet_i_free(ctx, weight);
    return status;
}

static whet_status load(whet_ctx *ctx, const whet_i_run *run, const char *folder,
                        whet_i_tuned *out) {
    whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
    int64_t cells;
    opts.dtype = run->job->dtype;
    opts.max_length = run->job->max_length;
    opts.coarse = true;
    WHET_TRY(whet_encoder_load(ctx, folder, &opts, &out->encoder));
    out->d = whet_encoder_dim(out->encoder);
    WHET_TRY(whet_i_mul(ctx, run->train.n, out->d, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &out->features));
    return whet_encoder_embed(ctx, out->encoder, run->train.texts, run->train.n, out->features);
}

/* The head on the features that the saved encoder gives. */
static whet_status fit_saved(whet_ctx *ctx, const whet_i_pupil *p, const rows *r,
                             whet_i_tuned *out) {
    const int64_t d = out->d, k = whet_names_count(p->run->classes);
    const bool names = p->lesson->rows == WHET_I_LESSON_NAMES;
    float *x;
    int64_t cells, at = 0;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_mul(ctx, r->n, d, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &x));
    for (int64_t i = 0; i < p->run->train.n; i++)
        if (reads(p, i)) memcpy(x + d * at++, out->features + i * d, (size_t)d * sizeof *x);
    if (names) status = whet_encoder_embed(ctx, out->encoder, p->run->class_texts, k, x + d * at);
    if (status == WHET_OK)
        status = whet_i_head_fit(ctx, p->lesson, x, r->labels, r->n, d, k, &out->head);
    whet_i_free(ctx, x);
    return status;
}

whet_status whet_i_tune_encoder(whet_ctx *ctx, const whet_i_pupil *p, const char *folder,
                                whet_i_tuned *out) {
    rows r = {0};
    whet_status status = WHET_OK;
    *out = (whet_i_tuned){0};
    WHET_TRY_DONE(make_rows(ctx, p, &r));
    WHET_TRY_DONE(learn(ctx, p, &r, folder, out));
    remove_report(folder);
    WHET_TRY_DONE(write_limit(ctx, p->run, folder));
    WHET_TRY_DONE(load(ctx, p->run, folder, out));
    if (!whet_i_lesson_has_head(p->lesson)) status = fit_saved(ctx, p, &r, out);
done:
    free_rows(ctx, &r);
    return status;
}

void whet_i_tuned_free(whet_ctx *ctx, whet_i_tuned *tuned) {
    whet_encoder_destroy(ctx, tuned->encoder);
    whet_i_free(ctx, tuned->features);
    whet_i_head_free(ctx, tuned->head);
    *tuned = (whet_i_tuned){0};
}
