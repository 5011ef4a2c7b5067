/* SPDX-License-Identifier: Apache-2.0
 * How good outputs are. Matthews' correlation of several classes: Gorodkin 2004. Ties in ranks get
 * their mean. Sums run in order, in f64. */
#include <math.h>
#include <stdlib.h>

#include "tune/tune_i.h"

static const struct {
    whet_tune_metric metric;
    const char *name;
} metrics[] = {
    {WHET_TUNE_METRIC_ACCURACY, "accuracy"}, {WHET_TUNE_METRIC_F1, "f1"},
    {WHET_TUNE_METRIC_MCC, "mcc"},           {WHET_TUNE_METRIC_LOSS, "loss"},
    {WHET_TUNE_METRIC_PEARSON, "pearson"},   {WHET_TUNE_METRIC_SPEARMAN, "spearman"},
    {WHET_TUNE_METRIC_MRR, "mrr"},           {WHET_TUNE_METRIC_DISTANCE, "distance"},
};

const char *whet_i_tune_metric_name(whet_tune_metric metric) {
    for (int64_t i = 0; i < WHET_COUNT_OF(metrics); i++)
        if (metrics[i].metric == metric) return metrics[i].name;
    return "auto";
}

bool whet_i_tune_lower_is_better(whet_tune_metric metric) {
    return metric == WHET_TUNE_METRIC_LOSS || metric == WHET_TUNE_METRIC_DISTANCE;
}

double whet_i_tune_metric_of(const whet_i_tune *run, const whet_i_tune_score *s) {
    switch (run->metric) {
    case WHET_TUNE_METRIC_ACCURACY: return s->accuracy;
    case WHET_TUNE_METRIC_F1: return s->f1;
    case WHET_TUNE_METRIC_MCC: return s->mcc;
    case WHET_TUNE_METRIC_PEARSON: return s->pearson;
    case WHET_TUNE_METRIC_SPEARMAN: return s->spearman;
    case WHET_TUNE_METRIC_MRR: return s->mrr;
    case WHET_TUNE_METRIC_DISTANCE: return s->distance;
    case WHET_TUNE_METRIC_LOSS:
    case WHET_TUNE_METRIC_AUTO: break;
    }
    return s->loss;
}

/* ---- classification --------------------------------------------------------------------------- */

static int64_t argmax(int64_t k, const float *x) {
    int64_t best = 0;
    for (int64_t c = 1; c < k; c++)
        if (x[c] > x[best]) best = c;
    return best;
}

/* log sum exp of x / t */
static double log_total(int64_t k, const float *x, double t) {
    const double most = (double)x[argmax(k, x)];
    double sum = 0;
    for (int64_t c = 0; c < k; c++) sum += exp(((double)x[c] - most) / t);
    return most / t + log(sum);
}

/* The expected squared distance to y under softmax(x / t), whose log sum exp is `total`. */
static double expected_cost(const whet_i_tune *run, const float *x, double t, double total,
                            int64_t y) {
    double sum = 0;
    for (int64_t c = 0; c < run->k; c++)
        sum += exp((double)x[c] / t - total) * (double)run->costs[c * run->k + y];
    return sum;
}

/* -log softmax(-expected costs / temperature) of the label. */
static double frechet_loss(const whet_i_tune *run, const float *x, int32_t label) {
    const double t = whet_i_tune_temperature(run), total = log_total(run->k, x, 1);
    const double own = expected_cost(run, x, 1, total, label);
    double sum = 0;
    for (int64_t y = 0; y < run->k; y++) sum += exp((own - expected_cost(run, x, 1, total, y)) / t);
    return log(sum);
}

/* The loss that is trained, but for label smoothing. */
static double loss_of(const whet_i_tune *run, const float *x, int32_t label) {
    const double t = whet_i_tune_temperature(run);
    switch (run->kind->loss) {
    case WHET_TUNE_EXPECTED_COST: return expected_cost(run, x, t, log_total(run->k, x, t), label);
    case WHET_TUNE_FRECHET: return frechet_loss(run, x, label);
    default: return log_total(run->k, x, 1) - (double)x[label];
    }
}

/* The class of least expected squared distance under softmax(x / t); the first of equal ones. */
static int64_t frechet_mean(const whet_i_tune *run, const float *x) {
    const double t = run->kind->loss == WHET_TUNE_EXPECTED_COST ? whet_i_tune_temperature(run) : 1;
    const double total = log_total(run->k, x, t);
    double least = INFINITY;
    int64_t best = 0;
    for (int64_t y = 0; y < run->k; y++) {
        const double cost = expected_cost(run, x, t, total, y);
        if (!(cost < least)) continue;
        least = cost;
        best = y;
    }
    return best;
}

/* What the model says: what its loss was made for. */
static int64_t guess_of(const whet_i_tune *run, const float *x) {
    return run->kind->loss == WHET_TUNE_FRECHET ? frechet_mean(run, x) : argmax(run->k, x);
}

/* From counts [k] of true, predicted and right. */
static void finish_classes(int64_t k, const int64_t *counts, whet_i_tune_score *s) {
    const double n = (double)s->n;
    double cross = 0, guess2 = 0, truth2 = 0, right = 0, f1 = 0;
    int64_t seen = 0;
    for (int64_t c = 0; c < k; c++) {
        const double truth = (double)counts[3 * c], guess = (double)counts[3 * c + 1];
        const double hits = (double)counts[3 * c + 2];
        cross += truth * guess;
        guess2 += guess * guess;
        truth2 += truth * truth;
        right += hits;
        if (truth + guess == 0) continue;
        f1 += 2 * hits / (truth + guess);
        seen++;
    }
    const double spread = (n * n - guess2) * (n * n - truth2);
    s->accuracy = right / n;
    s->f1 = seen ? f1 / (double)seen : 0;
    s->mcc = spread > 0 ? (right * n - cross) / sqrt(spread) : 0;
}

static whet_status score_classes(whet_ctx *ctx, const whet_i_tune *run, const float *x,
                                 const whet_i_tune_rows *rows, whet_i_tune_score *s) {
    const int64_t k = run->k;
    int64_t *counts;
    WHET_TRY(whet_i_calloc(ctx, 3 * k, &counts));
    for (int64_t i = 0; i < rows->n; i++) {
        const int64_t guess = guess_of(run, x + i * k), truth = rows->labels[i];
        counts[3 * truth]++;
        counts[3 * guess + 1]++;
        if (guess == truth) counts[3 * truth + 2]++;
        s->loss += loss_of(run, x + i * k, rows->labels[i]) / (double)rows->n;
        if (!run->costs) continue;
        const float *costs = run->costs + truth * k;
        s->distance += (double)costs[guess] / (double)rows->n;
        s->frechet += (double)costs[frechet_mean(run, x + i * k)] / (double)rows->n;
    }
    finish_classes(k, counts, s);
    whet_i_free(ctx, counts);
    return WHET_OK;
}

/* ---- regression ------------------------------------------------------------------------------- */

static double correlation(int64_t n, const double *x, const double *y) {
    double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
    for (int64_t i = 0; i < n; i++) {
        mx += x[i] / (double)n;
        my += y[i] / (double)n;
    }
    for (int64_t i = 0; i < n; i++) {
        xx += (x[i] - mx) * (x[i] - mx);
        yy += (y[i] - my) * (y[i] - my);
        xy += (x[i] - mx) * (y[i] - my);
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : (double)NAN;
}

typedef struct ranked {
    double value;
    int64_t place;
} ranked;

static int by_value(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

static void to_ranks(int64_t n, double *x, ranked *space) {
    for (int64_t i = 0; i < n; i++) space[i] = (ranked){x[i], i};
    qsort(space, (size_t)n, sizeof *space, by_value);
    for (int64_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && space[end].value == space[i].value; end++) continue;
        for (int64_t j = i; j < end; j++) x[space[j].place] = 0.5 * (double)(i + end - 1);
    }
}

whet_status whet_i_tune_spearman(whet_ctx *ctx, int64_t n, double *x, double *y, double *out) {
    ranked *space;
    WHET_TRY(whet_i_alloc(ctx, n, &space));
    to_ranks(n, x, space);
    to_ranks(n, y, space);
    *out = correlation(n, x, y);
    whet_i_free(ctx, space);
    return WHET_OK;
}

static whet_status score_numbers(whet_ctx *ctx, const float *outputs, const whet_i_tune_rows *rows,
                                 whet_i_tune_score *s) {
    const int64_t n = rows->n;
    double *x = NULL, *y = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &x));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &y));
    for (int64_t i = 0; i < n; i++) {
        x[i] = (double)outputs[i];
        y[i] = (double)rows->targets[i];
        s->loss += (x[i] - y[i]) * (x[i] - y[i]) / (double)n;
    }
    s->pearson = correlation(n, x, y);
    status = whet_i_tune_spearman(ctx, n, x, y, &s->spearman);
done:
    whet_i_free(ctx, y);
    whet_i_free(ctx, x);
    return status;
}

whet_status whet_i_tune_score_of(whet_ctx *ctx, const whet_i_tune *run, const float *outputs,
                                 const whet_i_tune_rows *rows, whet_i_tune_score *out) {
    whet_i_tune_score s = {.n = rows->n};
    if (run->regression)
        WHET_TRY(score_numbers(ctx, outputs, rows, &s));
    else
        WHET_TRY(score_classes(ctx, run, outputs, rows, &s));
    *out = s;
    return WHET_OK;
}
