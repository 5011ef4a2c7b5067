/* SPDX-License-Identifier: Apache-2.0
 * The whole job of `whet predict`: probabilities and a label space in, predictions out. */
#include <math.h>

#include "space/predict_i.h"

static void prediction_free(whet_ctx *ctx, prediction *p) {
    whet_i_buf_free(ctx, &p->text);
    whet_i_free(ctx, p->ties);
    whet_i_free(ctx, p->top);
    whet_i_free(ctx, p->margin);
    whet_i_free(ctx, p->cost);
    whet_i_free(ctx, p->probs);
    whet_i_free(ctx, p->first);
    whet_i_free(ctx, p->sharpened);
    whet_i_free(ctx, p->is_observed);
    for (int i = 0; i < 2; i++) whet_i_free(ctx, p->in_top[i]);
    whet_i_free(ctx, p->mass);
    whet_i_free(ctx, p->truth);
    whet_i_free(ctx, p->argmax);
    whet_i_free(ctx, p->best);
    whet_frechet_destroy(ctx, p->frechet);
    whet_i_free(ctx, p->candidates);
    whet_i_free(ctx, p->observed);
    whet_space_destroy(ctx, p->space);
    whet_posteriors_destroy(ctx, p->posteriors);
}

/* ---- reading --------------------------------------------------------------------------------- */

static whet_status find_points(whet_ctx *ctx, const whet_space *space, const whet_names *names,
                               const char *path, int64_t **out) {
    int64_t *points;
    WHET_TRY(whet_i_alloc(ctx, whet_names_count(names), &points));
    const whet_status status = whet_space_find_all(ctx, space, names, points);
    if (status == WHET_OK) {
        *out = points;
        return WHET_OK;
    }
    whet_i_free(ctx, points);
    return whet_i_fail_at(ctx, status, "%s", path);
}

static whet_status prepare(whet_ctx *ctx, prediction *p) {
    const whet_predict_job *job = p->job;
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    opts.power = job->power;
    opts.top = job->top;
    opts.method = job->method;
    WHET_TRY(whet_posteriors_read(ctx, job->probs, job->classes, &p->posteriors));
    const whet_names *classes = whet_posteriors_classes(p->posteriors);
    p->k = whet_names_count(classes);
    opts.sparse = whet_posteriors_are_sparse(p->posteriors);
    opts.entries = whet_posteriors_entry_count(p->posteriors);
    WHET_TRY(whet_space_open(ctx, job->space, classes, &p->space));
    WHET_TRY(find_points(ctx, p->space, classes, job->classes ? job->classes : job->probs,
                         &p->observed));
    WHET_TRY(whet_i_calloc(ctx, whet_space_size(p->space), &p->is_observed));
    for (int64_t j = 0; j < p->k; j++) p->is_observed[p->observed[j]] = true;
    WHET_TRY(whet_candidates_read(ctx, p->space, job->candidates, &opts, &p->candidates));
    return whet_frechet_create(ctx, p->space, p->observed, p->k, &opts, &p->frechet);
}

/* ---- the temperature ------------------------------------------------------------------------- */

/* The rows that have labels, one after another. */
static whet_status gather(whet_ctx *ctx, const prediction *p, int64_t *labels, double *probs,
                          int64_t *n) {
    const int64_t k = p->k;
    int64_t found = 0;
    for (int64_t row = 0; row < whet_posteriors_rows(p->posteriors); row++) {
        if (labels[row] < 0) continue;
        if (probs) WHET_TRY(whet_posteriors_block(ctx, p->posteriors, row, 1, probs + found * k));
        if (probs) labels[found] = labels[row];
        found++;
    }
    *n = found;
    return WHET_OK;
}

static whet_status calibrate(whet_ctx *ctx, prediction *p, whet_predict_report *report) {
    whet_status status = WHET_OK;
    const int64_t k = p->k;
    int64_t *labels = NULL, n, values;
    double *probs = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, whet_posteriors_rows(p->posteriors), &labels));
    WHET_TRY_DONE(whet_posteriors_labels(ctx, p->posteriors, p->space, p->job->calibrate, labels));
    WHET_TRY_DONE(gather(ctx, p, labels, NULL, &n));
    WHET_TRY_DONE(whet_i_mul(ctx, n, k, &values));
    WHET_TRY_DONE(whet_i_check_room(ctx, "the calibration", (double)values * sizeof *probs,
                                    "fewer labels: a thousand are enough"));
    WHET_TRY_DONE(whet_i_alloc(ctx, values, &probs));
    WHET_TRY_DONE(gather(ctx, p, labels, probs, &n));
    status = whet_temperature_fit(ctx, p->frechet, probs, n, labels, p->job->calibration,
                                  &p->temperature, &report->calibration_loss);
    if (status == WHET_ERR_DATA) status = whet_i_fail_at(ctx, status, "%s", p->job->calibrate);
    report->calibration_rows = n;
done:
    whet_i_free(ctx, probs);
    whet_i_free(ctx, labels);
    return status;
}

/* ---- measuring ------------------------------------------------------------------------------- */

static whet_status read_truth(whet_ctx *ctx, prediction *p) {
    const int64_t rows = whet_posteriors_rows(p->posteriors);
    const int64_t k = p->k;
    if (!p->job->truth) return WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, rows, &p->truth));
    WHET_TRY(whet_i_alloc(ctx, rows, &p->best));
    WHET_TRY(whet_i_alloc(ctx, rows, &p->argmax));
    WHET_TRY(whet_i_calloc(ctx, k, &p->mass));
    for (int i = 0; i < 2 && p->job->top > 1; i++)
        WHET_TRY(whet_i_calloc(ctx, rows, &p->in_top[i]));
    return whet_posteriors_labels(ctx, p->posteriors, p->space, p->job->truth, p->truth);
}

static whet_status measure(whet_ctx *ctx, const prediction *p, whet_predict_report *r) {
    const int64_t rows = whet_posteriors_rows(p->posteriors);
    const whet_label_set set = {p->space, p->observed, p->k};
    WHET_TRY(whet_space_score(ctx, &set, p->best, p->in_top[0], p->truth, rows, &r->frechet));
    WHET_TRY(whet_space_score(ctx, &set, p->argmax, p->in_top[1], p->truth, rows, &r->argmax));
    WHET_TRY(
        whet_space_compare(ctx, &set, p->best, p->argmax, p->truth, rows, p->job->seed, &r->gains));
    r->measured = true;
    if (!p->job->plot) return WHET_OK;
    const whet_space_picture picture = {p->best, p->argmax, p->truth, rows, p->mass};
    return whet_space_draw(ctx, &set, &picture, p->job->plot, p->job->force);
}

static whet_status check_job(whet_ctx *ctx, const whet_predict_job *job) {
    if (!job->probs || !job->space || (!job->output && !job->explain))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "no %s is given; expected probabilities, a space and an output",
                           !job->probs   ? "probs"
                           : !job->space ? "space"
                                         : "output");
    if (!(job->temperature > 0 && isfinite(job->temperature)))
        return whet_i_fail(ctx, WHET_ERR_ARG, "temperature is %g; expected more than 0",
                           job->temperature);
    if (job->plot && !job->truth)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a plot without labels to measure by; expected truth beside it");
    if (job->calibrate && job->temperature != 1)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a temperature and labels to calibrate it on are both given; expected "
                           "one of them");
    return WHET_OK;
}

/* That it can be written is known before the work, too. */
static whet_status check_plot(whet_ctx *ctx, const whet_predict_job *job) {
    whet_out *out;
    if (!job->plot) return WHET_OK;
    WHET_TRY(whet_out_open(ctx, job->plot, job->force, &out));
    whet_out_abort(ctx, out);
    return WHET_OK;
}

static void fill_report(const whet_ctx *ctx, const prediction *p, whet_predict_report *r) {
    r->rows = whet_posteriors_rows(p->posteriors);
    r->classes = p->k;
    r->points = whet_space_size(p->space);
    r->candidates = whet_frechet_candidates(p->frechet);
    r->top = whet_frechet_top(p->frechet);
    r->temperature = p->temperature;
    r->plan = whet_frechet_explain(p->frechet);
    whet_ctx_memory(ctx, &r->bytes, NULL);
}

whet_status whet_predict(whet_ctx *ctx, const whet_predict_job *given,
                         whet_predict_report *report) {
    whet_status status = WHET_OK;
    whet_predict_job job = WHET_PREDICT_JOB_INIT;
    whet_predict_report r = {0};
    prediction p = {.job = &job};
    whet_out *out = NULL;
    WHET_TRY(whet_i_opts(ctx, given, &job, sizeof job, "whet_predict_job"));
    WHET_TRY(check_job(ctx, &job));
    p.temperature = job.temperature;
    /* An existing output is refused before any work; labels are read before anything is written. */
    if (!job.explain) WHET_TRY(whet_out_open(ctx, job.output, job.force, &out));
    WHET_TRY_DONE(check_plot(ctx, &job));
    WHET_TRY_DONE(prepare(ctx, &p));
    WHET_TRY_DONE(read_truth(ctx, &p));
    fill_report(ctx, &p, &r);
    if (job.explain) {
        *report = r;
        goto done;
    }
    if (job.calibrate) WHET_TRY_DONE(calibrate(ctx, &p, &r));
    WHET_TRY_DONE(whet_i_predict_rows(ctx, &p, out));
    if (job.truth) WHET_TRY_DONE(measure(ctx, &p, &r));
    r.unobserved = p.unobserved;
    r.temperature = p.temperature;
    status = whet_out_commit(ctx, out);
    out = NULL;
    if (status == WHET_OK) *report = r;
done:
    whet_out_abort(ctx, out);
    prediction_free(ctx, &p);
    return status;
}
