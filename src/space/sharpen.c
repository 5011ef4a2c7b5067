/* SPDX-License-Identifier: Apache-2.0
 * Temperature: p^(1/t) sharpens (t < 1, towards argmax) or flattens (t > 1, towards the mean of the
 * observed classes) before the Frechet mean; and its choice on held-out labels, by mean squared
 * distance, which is what the prediction is for, or by log loss (Guo et al. 2017,
 * arXiv 1706.04599). The distance is a step function of t: hence a grid first, and the t nearest to
 * 1 among equals. */
#include <math.h>

#include "space/frechet_i.h"

enum { ROWS_AT_A_TIME = 16, GRID = 25, SECTIONS = 24 };

/* ---- applying -------------------------------------------------------------------------------- */

typedef struct power_work {
    double *probs;
    int64_t rows, k;
    double t;
} power_work;

static void power_row(double *p, int64_t k, double t) {
    double most = 0, sum = 0;
    for (int64_t j = 0; j < k; j++) {
        if (!(p[j] >= 0)) return;
        if (p[j] > most) most = p[j];
    }
    if (most == 0 || !isfinite(most)) return;
    /* The most probable class becomes 1: nothing overflows, and the sum is 1 or more. */
    for (int64_t j = 0; j < k; j++) {
        p[j] = p[j] > 0 ? exp((log(p[j]) - log(most)) / t) : 0;
        sum += p[j];
    }
    for (int64_t j = 0; j < k; j++) p[j] /= sum;
}

static void power_rows(void *arg, int64_t i, int32_t worker) {
    (void)worker;
    const power_work *w = arg;
    const int64_t from = i * ROWS_AT_A_TIME;
    for (int64_t r = from; r < w->rows && r < from + ROWS_AT_A_TIME; r++)
        power_row(w->probs + r * w->k, w->k, w->t);
}

whet_status whet_temperature_apply(whet_ctx *ctx, double *probs, int64_t rows, int64_t k,
                                   double t) {
    if (!(t > 0 && isfinite(t)))
        return whet_i_fail(ctx, WHET_ERR_ARG, "temperature is %g; expected more than 0", t);
    if (t == 1) return WHET_OK;
    power_work w = {probs, rows, k, t};
    return whet_i_parallel_for(ctx, NULL, (rows + ROWS_AT_A_TIME - 1) / ROWS_AT_A_TIME, power_rows,
                               &w);
}

/* ---- choosing -------------------------------------------------------------------------------- */

typedef struct fitting {
    const whet_frechet *f;
    const double *probs;
    const int64_t *truth, *column; /* column [n]: of an observed point, else -1 */
    int64_t rows;
    whet_calibration calibration;
    double *powers, *distance; /* scratch [rows, k], [rows] */
    int64_t *best;             /* scratch [rows, top] */
    double t, loss;            /* the best so far */
    bool any;
} fitting;

static double log_loss(const fitting *w) {
    /* A label of probability 0 costs much, but not everything. */
    static const double LEAST = 1e-15;
    double sum = 0;
    int64_t n = 0;
    for (int64_t r = 0; r < w->rows; r++) {
        const int64_t j = w->column[w->truth[r]];
        if (j < 0) continue;
        double mass = 0;
        for (int64_t i = 0; i < w->f->k; i++) mass += w->powers[r * w->f->k + i];
        const double p = w->powers[r * w->f->k + j] / mass;
        sum -= log(p > LEAST ? p : LEAST);
        n++;
    }
    return sum / (double)n;
}

static whet_status try_temperature(whet_ctx *ctx, fitting *w, double log_t, double *out) {
    const whet_frechet *f = w->f;
    const double t = exp(log_t);
    double loss = 0;
    memcpy(w->powers, w->probs, (size_t)(w->rows * f->k) * sizeof *w->powers);
    WHET_TRY(whet_temperature_apply(ctx, w->powers, w->rows, f->k, t));
    if (w->calibration == WHET_CALIBRATE_LOG_LOSS) {
        loss = log_loss(w);
    } else {
        WHET_TRY(whet_frechet_run(ctx, f, w->powers, w->rows, w->best, NULL, NULL, NULL));
        for (int64_t r = 1; r < w->rows; r++) w->best[r] = w->best[r * f->top];
        WHET_TRY(whet_space_distances(ctx, f->space, w->best, w->truth, w->rows, w->distance));
        for (int64_t r = 0; r < w->rows; r++) loss += w->distance[r] * w->distance[r];
        loss /= (double)w->rows;
    }
    const bool nearer = fabs(log_t) < fabs(log(w->t));
    if (!w->any || loss < w->loss || (loss == w->loss && nearer)) {
        w->t = t;
        w->loss = loss;
        w->any = true;
    }
    *out = loss;
    return WHET_OK;
}

/* Golden section: a and b enclose, c < d divide. */
static whet_status narrow(whet_ctx *ctx, fitting *w, double a, double b) {
    const double ratio = 0.6180339887498949;
    double c = b - ratio * (b - a), d = a + ratio * (b - a), at_c, at_d;
    WHET_TRY(try_temperature(ctx, w, c, &at_c));
    WHET_TRY(try_temperature(ctx, w, d, &at_d));
    for (int i = 0; i < SECTIONS; i++) {
        if (at_c < at_d || (at_c == at_d && fabs(c) <= fabs(d))) {
            b = d;
            d = c;
            at_d = at_c;
            c = b - ratio * (b - a);
            WHET_TRY(try_temperature(ctx, w, c, &at_c));
        } else {
            a = c;
            c = d;
            at_c = at_d;
            d = a + ratio * (b - a);
            WHET_TRY(try_temperature(ctx, w, d, &at_d));
        }
    }
    return WHET_OK;
}

static whet_status search(whet_ctx *ctx, fitting *w) {
    const double end = log(20.0), step = 2 * end / (GRID - 1);
    double loss;
    const int middle = GRID / 2; /* there the exponent is exactly 0, t = 1 */
    for (int i = 0; i < GRID; i++) {
        WHET_TRY(try_temperature(ctx, w, (i - middle) * step, &loss));
        WHET_TRY(whet_i_progress(ctx, "calibrating", i + 1, GRID));
    }
    const double best = log(w->t);
    return narrow(ctx, w, best - step < -end ? -end : best - step,
                  best + step > end ? end : best + step);
}

static whet_status check_truth(whet_ctx *ctx, const fitting *w) {
    int64_t observed = 0;
    for (int64_t r = 0; r < w->rows; r++) {
        if (w->truth[r] < 0 || w->truth[r] >= w->f->space->n)
            return whet_i_fail(ctx, WHET_ERR_ARG, "truth[%lld] is %lld; expected 0..%lld",
                               (long long)r, (long long)w->truth[r], (long long)w->f->space->n - 1);
        observed += w->column[w->truth[r]] >= 0;
    }
    if (w->rows < 1)
        return whet_i_fail(ctx, WHET_ERR_DATA, "no labels to calibrate on; expected 1 or more");
    if (w->calibration == WHET_CALIBRATE_LOG_LOSS && observed < 1)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "no label to calibrate on is an observed class; expected 1 or more; try "
                           "the distance in place of the log loss");
    return WHET_OK;
}

whet_status whet_temperature_fit(whet_ctx *ctx, const whet_frechet *f, const double *probs,
                                 int64_t rows, const int64_t *truth, whet_calibration calibration,
                                 double *t, double *loss) {
    whet_status status = WHET_OK;
    int64_t values, places, *column = NULL;
    fitting w = {.f = f, .probs = probs, .truth = truth, .rows = rows, .calibration = calibration};
    w.t = 1;
    WHET_TRY(whet_i_mul(ctx, rows, f->k, &values));
    WHET_TRY(whet_i_mul(ctx, rows, f->top, &places));
    WHET_TRY_DONE(whet_i_alloc(ctx, f->space->n, &column));
    WHET_TRY_DONE(whet_i_alloc(ctx, values, &w.powers));
    WHET_TRY_DONE(whet_i_alloc(ctx, rows, &w.distance));
    WHET_TRY_DONE(whet_i_alloc(ctx, places, &w.best));
    for (int64_t v = 0; v < f->space->n; v++) column[v] = -1;
    for (int64_t j = 0; j < f->k; j++) column[f->observed[j]] = j;
    w.column = column;
    WHET_TRY_DONE(check_truth(ctx, &w));
    /* Once as they are: refuses impossible rows, whatever the loss. */
    WHET_TRY_DONE(whet_frechet_run(ctx, f, probs, rows, w.best, NULL, NULL, NULL));
    WHET_TRY_DONE(search(ctx, &w));
    *t = w.t;
    if (loss) *loss = w.loss;
done:
    whet_i_free(ctx, w.best);
    whet_i_free(ctx, w.distance);
    whet_i_free(ctx, w.powers);
    whet_i_free(ctx, column);
    return status;
}
