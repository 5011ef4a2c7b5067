/* SPDX-License-Identifier: Apache-2.0
 * The whole job of `whet predict`: probabilities and a label space in, predictions out. Rows go
 * through in blocks whose size depends on the number of classes alone. */
#include <math.h>

#include "space/posteriors_i.h"

/* Values of a block of probabilities: 8 MiB. */
enum { BLOCK_VALUES = 1 << 20, LEAST_ROWS = 64, MOST_ROWS = 4096 };

typedef struct prediction {
    const whet_predict_job *job;
    whet_posteriors *posteriors;
    whet_space *space;
    whet_frechet *frechet;
    int64_t *observed, *candidates; /* points */
    double temperature;
    int64_t *best, *argmax; /* [rows] points */
    int64_t *truth;         /* [rows] points, -1 = no label; NULL = nothing is measured */
    bool *in_top[2];        /* [rows] with labels and top > 1: Frechet mean, argmax */
    double *mass;           /* [k] with labels: probability over the rows that have one */
    /* One block. */
    int64_t block_rows;
    double *probs, *cost, *margin;
    int64_t *top;
    int32_t *ties;
    whet_i_buf text;
} prediction;

static void prediction_free(whet_ctx *ctx, prediction *p) {
    whet_i_buf_free(ctx, &p->text);
    whet_i_free(ctx, p->ties);
    whet_i_free(ctx, p->top);
    whet_i_free(ctx, p->margin);
    whet_i_free(ctx, p->cost);
    whet_i_free(ctx, p->probs);
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
    WHET_TRY(whet_posteriors_read(ctx, job->probs, job->classes, &p->posteriors));
    const whet_names *classes = whet_posteriors_classes(p->posteriors);
    WHET_TRY(whet_space_open(ctx, job->space, classes, &p->space));
    WHET_TRY(find_points(ctx, p->space, classes, job->classes ? job->classes : job->probs,
                         &p->observed));
    WHET_TRY(whet_candidates_read(ctx, p->space, job->candidates, &opts, &p->candidates));
    return whet_frechet_create(ctx, p->space, p->observed, whet_names_count(classes), &opts,
                               &p->frechet);
}

/* ---- the temperature ------------------------------------------------------------------------- */

/* The rows that have labels, one after another. */
static whet_status gather(whet_ctx *ctx, const prediction *p, int64_t *labels, double *probs,
                          int64_t *n) {
    const int64_t k = whet_names_count(whet_posteriors_classes(p->posteriors));
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
    const int64_t k = whet_names_count(whet_posteriors_classes(p->posteriors));
    int64_t *labels = NULL, n, values;
    double *probs = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, whet_posteriors_rows(p->posteriors), &labels));
    WHET_TRY_DONE(whet_posteriors_labels(ctx, p->posteriors, p->space, p->job->calibrate, labels));
    WHET_TRY_DONE(gather(ctx, p, labels, NULL, &n));
    WHET_TRY_DONE(whet_i_mul(ctx, n, k, &values));
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

/* ---- rows ------------------------------------------------------------------------------------ */

static whet_status alloc_block(whet_ctx *ctx, prediction *p) {
    const int64_t k = whet_names_count(whet_posteriors_classes(p->posteriors));
    const int64_t rows = whet_posteriors_rows(p->posteriors), top = whet_frechet_top(p->frechet);
    int64_t block = BLOCK_VALUES / (k > top ? k : top), values, places;
    block = block < LEAST_ROWS ? LEAST_ROWS : block > MOST_ROWS ? MOST_ROWS : block;
    if (block > rows) block = rows;
    p->block_rows = block;
    WHET_TRY(whet_i_mul(ctx, block, k, &values));
    WHET_TRY(whet_i_mul(ctx, block, top, &places));
    WHET_TRY(whet_i_alloc(ctx, rows, &p->best));
    WHET_TRY(whet_i_alloc(ctx, rows, &p->argmax));
    WHET_TRY(whet_i_alloc(ctx, values, &p->probs));
    WHET_TRY(whet_i_alloc(ctx, places, &p->cost));
    WHET_TRY(whet_i_alloc(ctx, block, &p->margin));
    WHET_TRY(whet_i_alloc(ctx, places, &p->top));
    return whet_i_alloc(ctx, block, &p->ties);
}

/* A name that would break the table cannot be written. */
static whet_status append_name(whet_ctx *ctx, prediction *p, int64_t point) {
    char quoted[WHET_QUOTE_SIZE];
    const whet_str name = whet_names_get(whet_space_names(p->space), point);
    for (int64_t i = 0; i < name.len; i++)
        if (name.ptr[i] == '\t' || name.ptr[i] == '\n' || name.ptr[i] == '\r')
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "class %s holds a tab or line end; expected none, for %s",
                               whet_i_quote(quoted, name), p->job->output);
    return whet_i_buf_append(ctx, &p->text, name.ptr, name.len);
}

static whet_status append_row(whet_ctx *ctx, prediction *p, int64_t first, int64_t i) {
    const int64_t top = whet_frechet_top(p->frechet);
    const long long row = (long long)whet_posteriors_row(p->posteriors, first + i);
    WHET_TRY(whet_i_buf_printf(ctx, &p->text, "%lld\t", row));
    WHET_TRY(append_name(ctx, p, p->top[i * top]));
    WHET_TRY(whet_i_buf_printf(ctx, &p->text, "\t%.17g\t%d\t%.17g", p->cost[i * top], p->ties[i],
                               p->margin[i]));
    for (int64_t t = 1; t < top; t++) {
        WHET_TRY(whet_i_buf_append(ctx, &p->text, "\t", 1));
        WHET_TRY(append_name(ctx, p, p->top[i * top + t]));
        WHET_TRY(whet_i_buf_printf(ctx, &p->text, "\t%.17g", p->cost[i * top + t]));
    }
    return whet_i_buf_append(ctx, &p->text, "\n", 1);
}

static whet_status append_header(whet_ctx *ctx, prediction *p) {
    WHET_TRY(whet_i_buf_printf(ctx, &p->text, "row\tclass\tcost\tties\tmargin"));
    for (int32_t t = 2; t <= whet_frechet_top(p->frechet); t++)
        WHET_TRY(whet_i_buf_printf(ctx, &p->text, "\tclass_%d\tcost_%d", t, t));
    return whet_i_buf_append(ctx, &p->text, "\n", 1);
}

/* Whether the label is among the `top` most probable classes; the first columns win ties. */
static bool among_most_probable(const prediction *p, const double *probs, int64_t k, int64_t label,
                                int64_t top) {
    int64_t own = 0, before = 0;
    while (own < k && p->observed[own] != label) own++;
    if (own == k) return false;
    for (int64_t j = 0; j < k; j++)
        before += probs[j] > probs[own] || (probs[j] == probs[own] && j < own);
    return before < top;
}

/* What measuring needs of a block before its probabilities are sharpened. */
static void note_argmax(prediction *p, int64_t first, int64_t n) {
    const int64_t k = whet_names_count(whet_posteriors_classes(p->posteriors));
    whet_frechet_argmax(p->frechet, p->probs, n, p->argmax + first);
    for (int64_t i = 0; i < n && p->truth; i++) {
        const double *probs = p->probs + i * k;
        const int64_t label = p->truth[first + i];
        double sum = 0;
        if (label < 0) continue;
        for (int64_t j = 0; j < k; j++) sum += probs[j];
        for (int64_t j = 0; j < k; j++) p->mass[j] += probs[j] / sum;
        if (p->in_top[1])
            p->in_top[1][first + i] = among_most_probable(p, probs, k, label, p->job->top);
    }
}

static void note_means(prediction *p, int64_t first, int64_t n) {
    const int64_t top = whet_frechet_top(p->frechet);
    for (int64_t i = 0; i < n; i++) {
        p->best[first + i] = p->top[i * top];
        for (int64_t t = 0; p->in_top[0] && t < top; t++)
            p->in_top[0][first + i] |= p->top[i * top + t] == p->truth[first + i];
    }
}

static whet_status predict_block(whet_ctx *ctx, prediction *p, int64_t first, int64_t n) {
    const int64_t k = whet_names_count(whet_posteriors_classes(p->posteriors));
    WHET_TRY(whet_posteriors_block(ctx, p->posteriors, first, n, p->probs));
    note_argmax(p, first, n);
    WHET_TRY(whet_temperature_apply(ctx, p->probs, n, k, p->temperature));
    WHET_TRY(whet_frechet_run(ctx, p->frechet, p->probs, n, p->top, p->cost, p->ties, p->margin));
    note_means(p, first, n);
    for (int64_t i = 0; i < n; i++) WHET_TRY(append_row(ctx, p, first, i));
    return WHET_OK;
}

static whet_status predict_rows(whet_ctx *ctx, prediction *p, whet_out *out) {
    const int64_t rows = whet_posteriors_rows(p->posteriors);
    WHET_TRY(append_header(ctx, p));
    WHET_TRY(whet_out_write(ctx, out, p->text.data, p->text.len));
    for (int64_t first = 0; first < rows; first += p->block_rows) {
        const int64_t left = rows - first, n = left < p->block_rows ? left : p->block_rows;
        p->text.len = 0;
        WHET_TRY(predict_block(ctx, p, first, n));
        WHET_TRY(whet_out_write(ctx, out, p->text.data, p->text.len));
        WHET_TRY(whet_i_progress(ctx, "predicting", first + n, rows));
    }
    return WHET_OK;
}

/* ---- measuring ------------------------------------------------------------------------------- */

static whet_status count_unobserved(whet_ctx *ctx, const prediction *p, int64_t *out) {
    const int64_t k = whet_names_count(whet_posteriors_classes(p->posteriors));
    bool *observed;
    WHET_TRY(whet_i_calloc(ctx, whet_space_size(p->space), &observed));
    for (int64_t j = 0; j < k; j++) observed[p->observed[j]] = true;
    int64_t n = 0;
    for (int64_t row = 0; row < whet_posteriors_rows(p->posteriors); row++)
        n += !observed[p->best[row]];
    whet_i_free(ctx, observed);
    *out = n;
    return WHET_OK;
}

static whet_status read_truth(whet_ctx *ctx, prediction *p) {
    const int64_t rows = whet_posteriors_rows(p->posteriors);
    const int64_t k = whet_names_count(whet_posteriors_classes(p->posteriors));
    if (!p->job->truth) return WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, rows, &p->truth));
    WHET_TRY(whet_i_calloc(ctx, k, &p->mass));
    for (int i = 0; i < 2 && p->job->top > 1; i++)
        WHET_TRY(whet_i_calloc(ctx, rows, &p->in_top[i]));
    return whet_posteriors_labels(ctx, p->posteriors, p->space, p->job->truth, p->truth);
}

static whet_status measure(whet_ctx *ctx, const prediction *p, whet_predict_report *r) {
    const int64_t rows = whet_posteriors_rows(p->posteriors);
    const whet_label_set set = {p->space, p->observed,
                                whet_names_count(whet_posteriors_classes(p->posteriors))};
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
    if (!job->probs || !job->space || !job->output)
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
    WHET_TRY(whet_out_open(ctx, job.output, job.force, &out));
    WHET_TRY_DONE(check_plot(ctx, &job));
    WHET_TRY_DONE(prepare(ctx, &p));
    const int64_t rows = whet_posteriors_rows(p.posteriors);
    WHET_TRY_DONE(read_truth(ctx, &p));
    if (job.calibrate) WHET_TRY_DONE(calibrate(ctx, &p, &r));
    WHET_TRY_DONE(alloc_block(ctx, &p));
    WHET_TRY_DONE(predict_rows(ctx, &p, out));
    if (job.truth) WHET_TRY_DONE(measure(ctx, &p, &r));
    WHET_TRY_DONE(count_unobserved(ctx, &p, &r.unobserved));
    r.rows = rows;
    r.classes = whet_names_count(whet_posteriors_classes(p.posteriors));
    r.points = whet_space_size(p.space);
    r.candidates = whet_frechet_candidates(p.frechet);
    r.top = whet_frechet_top(p.frechet);
    r.temperature = p.temperature;
    status = whet_out_commit(ctx, out);
    out = NULL;
    if (status == WHET_OK) *report = r;
done:
    whet_out_abort(ctx, out);
    prediction_free(ctx, &p);
    return status;
}
