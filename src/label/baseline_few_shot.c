/* SPDX-License-Identifier: Apache-2.0
 * Few-shot: logistic regression on the labelled rows, its penalty and temperature those with the least
 * cross-fitted log loss; or a head trained for a cost between classes.
 * Legend: k classes, b labelled rows. */
#include <math.h>

#include "label/baselines.h"

static whet_status by_cross_entropy(whet_ctx *ctx, const whet_i_baseline *s) {
    whet_status status = WHET_OK;
    whet_i_span span = {0};
    whet_i_path path = {0};
    whet_i_linear_model model = {0};
    double temperature = 1, best = INFINITY, c = 10;
    if (s->cases > 0) {
        WHET_TRY_DONE(whet_i_span_build(ctx, s->x, s->rows, s->b, s->d, &span));
        WHET_TRY_DONE(whet_i_path_fit(ctx, &span, s->y, s->k, &s->splits, &path));
    }
    for (int64_t i = 0; s->cases > 0 && i < WHET_I_PENALTIES; i++) {
        double own, loss;
        WHET_TRY_DONE(whet_i_temperature_fit(ctx, path.probs + i * s->cases * s->k, s->cases, s->k,
                                             s->case_y, &own, &loss));
        if (!(loss < best)) continue;
        best = loss;
        temperature = own;
        c = whet_i_penalties[i];
    }
    WHET_TRY_DONE(whet_i_logistic_fit(ctx, s->x, s->rows, s->y, s->b, s->d, s->k, c, &model));
    WHET_TRY_DONE(whet_i_linear_model_predict(ctx, &model, s->x, s->n, s->probs));
    whet_i_baseline_temper(s, temperature);
done:
    whet_i_span_free(ctx, &span);
    whet_i_path_free(ctx, &path);
    whet_i_linear_model_free(ctx, &model);
    return status;
}

/* How likely the label itself is by -scale cost when the head is sure of it: the mean over classes of
 * softmax(-scale cost[c, .])_c. Rises with the scale. */
static double sureness(const double *cost, int64_t k, double scale) {
    double mean = 0;
    for (int64_t c = 0; c < k; c++) {
        double sum = 0;
        for (int64_t j = 0; j < k; j++) sum += exp(-scale * cost[c * k + j]);
        mean += 1 / (sum * (double)k);
    }
    return mean;
}

/* Scale is a choice for both losses. The mean squared distance becomes 1, so that a penalty means the
 * same in any unit; for the Frechet loss, whose scores are these distances, a sure and right head
 * shall give its label .9, else it could never fit: by bisection. */
static whet_status scale_cost(whet_ctx *ctx, const whet_i_baseline *s, double **out) {
    const double *given = s->in->cost;
    const int64_t cells = s->k * s->k;
    double mean = 0, low = 1, high = 1, *cost;
    for (int64_t i = 0; i < cells; i++) mean += given[i] / (double)cells;
    if (!(mean > 0 && isfinite(mean)))
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "the mean squared distance of classes is %g; expected more than 0",
                           mean);
    WHET_TRY(whet_i_alloc(ctx, cells, &cost));
    for (int64_t i = 0; i < cells; i++) cost[i] = given[i] / mean;
    if (s->in->loss == WHET_LOSS_FRECHET) {
        while (sureness(cost, s->k, high) < .9 && high < 1e4) high *= 2;
        for (int i = 0; i < 50; i++) {
            const double middle = .5 * (low + high);
            if (sureness(cost, s->k, middle) < .9)
                low = middle;
            else
                high = middle;
        }
        for (int64_t i = 0; i < cells; i++) cost[i] *= high;
    }
    *out = cost;
    return WHET_OK;
}

static whet_status by_cost(whet_ctx *ctx, const whet_i_baseline *s) {
    whet_status status = WHET_OK;
    whet_i_span span = {0};
    whet_i_linear_model model = {0};
    double *scaled = NULL, temperature;
    WHET_TRY_DONE(scale_cost(ctx, s, &scaled));
    WHET_TRY_DONE(whet_i_span_build(ctx, s->x, s->rows, s->b, s->d, &span));
    const whet_i_cost cost = {.loss = s->in->loss, .k = s->k, .cost = scaled};
    WHET_TRY_DONE(
        whet_i_cost_head_fit(ctx, &span, s->y, &s->splits, s->case_y, &cost, &model, &temperature));
    WHET_TRY_DONE(whet_i_linear_model_predict(ctx, &model, s->x, s->n, s->probs));
    if (temperature != 1 || s->in->temperature > 0) whet_i_baseline_temper(s, temperature);
done:
    whet_i_span_free(ctx, &span);
    whet_i_linear_model_free(ctx, &model);
    whet_i_free(ctx, scaled);
    return status;
}

whet_status whet_i_few_shot(whet_ctx *ctx, const whet_i_baseline *s) {
    return s->in->loss ? by_cost(ctx, s) : by_cross_entropy(ctx, s);
}
