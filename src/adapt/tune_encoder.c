/* SPDX-License-Identifier: Apache-2.0
 * One training run of an end model: every weight of the encoder and one layer on its pooled embedding, by
 * soft cross-entropy on the probabilities and the labels, which together weigh a quarter of what the other
 * rows do, as with the logistic end model.
 *
 * Settings stand beforehand: 3 epochs in batches of 32 at 5e-5, of those that Devlin et al. 2019 (A.3)
 * recommend for BERT; the new layer at 100 times that, since its input has unit length and its logits must
 * grow. */
#include <stdio.h>

#include "adapt/end_model.h"
#include "tune/tune_i.h"

enum { BATCH = 32 };
#define RATE 5e-5
#define HEAD_RATE 100.
#define LABELS_SHARE .25

/* Rows of the pool that are trained on. */
typedef struct lesson {
    int64_t n, spread, b;
    whet_str *texts; /* [n] */
    float *probs;    /* [n, k] */
    int32_t *labels; /* [n] */
} lesson;

static void free_lesson(whet_ctx *ctx, lesson *l) {
    whet_i_free(ctx, l->texts);
    whet_i_free(ctx, l->probs);
    whet_i_free(ctx, l->labels);
}

/* The place of pool row i among `spread` evenly spaced ones of n: whether it is one of them. */
static bool is_spread(int64_t i, int64_t spread, int64_t n) {
    const int64_t at = (i * spread + n - 1) / n;
    return at < spread && at * n / spread == i;
}

static whet_status make_lesson(whet_ctx *ctx, const whet_i_run *run, const int32_t *labels,
                               const double *probs, lesson *l) {
    const int64_t n = run->train.n, k = whet_names_count(run->classes);
    const int64_t spread = n < WHET_I_TUNE_ROWS ? n : WHET_I_TUNE_ROWS;
    int64_t cells;
    for (int64_t i = 0; i < n; i++) l->n += labels[i] >= 0 || is_spread(i, spread, n);
    WHET_TRY(whet_i_mul(ctx, l->n, k, &cells));
    WHET_TRY(whet_i_alloc(ctx, l->n, &l->texts));
    WHET_TRY(whet_i_alloc(ctx, cells, &l->probs));
    WHET_TRY(whet_i_alloc(ctx, l->n, &l->labels));
    for (int64_t i = 0, at = 0; i < n; i++) {
        if (labels[i] < 0 && !is_spread(i, spread, n)) continue;
        l->texts[at] = run->train.texts[i];
        l->labels[at] = labels[i] >= 0 ? labels[i] : -1;
        l->b += labels[i] >= 0;
        for (int64_t c = 0; c < k; c++) l->probs[at * k + c] = (float)probs[i * k + c];
        at++;
    }
    l->spread = spread;
    return WHET_OK;
}

static whet_tune_job job_of(const whet_i_run *run, const lesson *l, const char *folder) {
    whet_tune_job job = WHET_TUNE_JOB_INIT;
    const double each = l->b ? LABELS_SHARE * (double)l->spread / (double)l->b : 1;
    job.model = run->job->model;
    job.train = run->train.path;
    job.probs = "probabilities of the pool";
    job.label_weight = each > 1 ? each : 1;
    job.head = WHET_TUNE_HEAD_POOLED;
    job.epochs = WHET_I_TUNE_EPOCHS;
    job.batch_size = BATCH;
    job.learning_rate = RATE;
    job.head_rate = HEAD_RATE;
    job.max_length = run->job->max_length;
    job.dtype = run->job->dtype;
    job.seed = run->job->seed;
    job.output = folder;
    job.force = true; /* the folder is new, and there */
    return job;
}

/* Figures and times of a run that is a part of another are told there. */
static void remove_report(const char *folder) {
    char path[4096];
    const int n = snprintf(path, sizeof path, "%s/training.json", folder);
    if (n > 0 && (size_t)n < sizeof path) (void)remove(path);
}

static whet_status load(whet_ctx *ctx, const whet_i_run *run, const char *folder,
                        whet_encoder **out) {
    whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
    opts.dtype = run->job->dtype;
    opts.max_length = run->job->max_length;
    return whet_encoder_load(ctx, folder, &opts, out);
}

whet_status whet_i_tune_encoder(whet_ctx *ctx, const whet_i_run *run, const int32_t *labels,
                                const double *probs, const char *folder, whet_i_tuned *out) {
    const int64_t k = whet_names_count(run->classes);
    lesson l = {0};
    int64_t cells;
    whet_status status = WHET_OK;
    *out = (whet_i_tuned){.d = run->d, .k = k};
    WHET_TRY_DONE(make_lesson(ctx, run, labels, probs, &l));
    WHET_TRY_DONE(whet_i_mul(ctx, k, run->d, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &out->weight));
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &out->bias));
    const whet_i_tune_given given = {.texts = l.texts,
                                     .n = l.n,
                                     .probs = l.probs,
                                     .labels = l.labels,
                                     .classes = run->classes,
                                     .weight = out->weight,
                                     .bias = out->bias};
    const whet_tune_job job = job_of(run, &l, folder);
    WHET_TRY_DONE(whet_i_tune_on(ctx, &job, &given, NULL));
    remove_report(folder);
    WHET_TRY_DONE(load(ctx, run, folder, &out->encoder));
done:
    free_lesson(ctx, &l);
    return status;
}

void whet_i_tuned_free(whet_ctx *ctx, whet_i_tuned *tuned) {
    whet_encoder_destroy(ctx, tuned->encoder);
    whet_i_free(ctx, tuned->bias);
    whet_i_free(ctx, tuned->weight);
    *tuned = (whet_i_tuned){0};
}
