/* SPDX-License-Identifier: Apache-2.0
 * The baselines one at a time: logistic regression, harmonic functions, local and global
 * consistency, class names. What has a setting takes the one with the least log loss over five
 * repeats of five stratified folds of the labels, and that temperature.
 * Legend: n rows, d features, k classes, b labelled rows. */
#include <math.h>

#include "label/label_i.h"

enum { REPEATS = 5, FOLDS = 5, MOST_CASES = 2500 };

typedef struct baseline {
    const whet_baseline_input *in;
    whet_i_prepare prepare;
    float *x; /* [n, d] prepared */
    int64_t n, d, k, b;
    int64_t *rows; /* [b] */
    int32_t *y;    /* [b] */
    int32_t *labels;
    whet_i_splits splits;
    int64_t cases;
    int32_t *case_y;
    double *probs; /* [n, k] */
} baseline;

static void release(whet_ctx *ctx, baseline *s) {
    whet_i_prepare_free(ctx, &s->prepare);
    whet_i_splits_free(ctx, &s->splits);
    whet_i_free(ctx, s->x);
    whet_i_free(ctx, s->rows);
    whet_i_free(ctx, s->y);
    whet_i_free(ctx, s->labels);
    whet_i_free(ctx, s->case_y);
}

static whet_status check(whet_ctx *ctx, whet_baseline method, const whet_baseline_input *in) {
    if (in->n < 1 || in->d < 1)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "features are [%lld, %lld]; expected at least one "
                           "row and one column",
                           (long long)in->n, (long long)in->d);
    if (in->k < 2)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%lld class%s; expected at least 2; try a class "
                           "list",
                           (long long)in->k, in->k == 1 ? "" : "es");
    WHET_TRY(whet_i_check_finite(ctx, "features", in->features, in->n, in->d));
    if (method == WHET_BASELINE_ZERO_SHOT && !in->class_features)
        return whet_i_fail(ctx, WHET_ERR_ARG, "zero-shot without features of the classes");
    if (method != WHET_BASELINE_ZERO_SHOT && in->class_features)
        return whet_i_fail(ctx, WHET_ERR_ARG, "features of the classes are for zero-shot alone");
    if (in->class_features)
        WHET_TRY(whet_i_check_finite(ctx, "class features", in->class_features, in->k, in->d));
    if ((in->loss != WHET_LOSS_CROSS_ENTROPY) != (in->cost != NULL))
        return whet_i_fail(
            ctx, WHET_ERR_ARG,
            "a loss by the metric and distances of classes; expected both or neither");
    if (in->loss != WHET_LOSS_CROSS_ENTROPY && method != WHET_BASELINE_FEW_SHOT)
        return whet_i_fail(ctx, WHET_ERR_ARG, "a loss other than cross-entropy is for few-shot");
    if (method != WHET_BASELINE_ZERO_SHOT && !in->labels)
        return whet_i_fail(ctx, WHET_ERR_ARG, "a method that needs labels, without labels");
    for (int64_t i = 0; in->labels && i < in->n; i++)
        if (in->labels[i] < -1 || in->labels[i] >= in->k)
            return whet_i_fail(ctx, WHET_ERR_ARG, "row %lld has class %d; expected -1 to %lld",
                               (long long)i, in->labels[i], (long long)in->k - 1);
    return WHET_OK;
}

static whet_status set_up(whet_ctx *ctx, whet_baseline method, const whet_baseline_input *in,
                          baseline *s) {
    int64_t cells;
    s->n = in->n;
    s->k = in->k;
    WHET_TRY(whet_i_prepare_fit(ctx, in->features, in->n, in->d, in->class_features != NULL,
                                &s->prepare));
    s->d = s->prepare.d;
    WHET_TRY(whet_i_mul(ctx, s->n, s->d, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &s->x));
    whet_i_prepare_apply(&s->prepare, in->features, s->n, s->x);
    WHET_TRY(whet_i_alloc(ctx, s->n, &s->labels));
    for (int64_t i = 0; i < s->n; i++) {
        s->labels[i] = in->labels ? in->labels[i] : -1;
        s->b += s->labels[i] >= 0 ? 1 : 0;
    }
    if (s->b == 0 && method != WHET_BASELINE_ZERO_SHOT)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "none of %lld rows has a label; expected at least "
                           "one",
                           (long long)s->n);
    WHET_TRY(whet_i_alloc(ctx, s->b, &s->rows));
    WHET_TRY(whet_i_alloc(ctx, s->b, &s->y));
    for (int64_t i = 0, at = 0; i < s->n; i++) {
        if (s->labels[i] < 0) continue;
        s->rows[at] = i;
        s->y[at++] = s->labels[i];
    }
    const int64_t enough = s->b ? (MOST_CASES + s->b - 1) / s->b : 1;
    WHET_TRY(whet_i_splits_make(ctx, s->y, s->b, s->k, enough < REPEATS ? (int32_t)enough : REPEATS,
                                FOLDS, in->seed, &s->splits));
    s->cases = s->splits.repeats * s->b;
    WHET_TRY(whet_i_alloc(ctx, s->cases, &s->case_y));
    for (int64_t i = 0; i < s->cases; i++) s->case_y[i] = s->y[i % s->b];
    return WHET_OK;
}

static whet_status few_shot(whet_ctx *ctx, const baseline *s) {
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
    whet_i_temper(s->probs, s->n, s->k, temperature);
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
static whet_status scale_cost(whet_ctx *ctx, const baseline *s, double **out) {
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

static whet_status few_shot_cost(whet_ctx *ctx, const baseline *s) {
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
    if (temperature != 1) whet_i_temper(s->probs, s->n, s->k, temperature);
done:
    whet_i_span_free(ctx, &span);
    whet_i_linear_model_free(ctx, &model);
    whet_i_free(ctx, scaled);
    return status;
}

/* F over all k classes to probabilities over the seen ones, and the rest. */
static whet_status spread_to_probs(whet_ctx *ctx, const baseline *s, double temperature) {
    whet_status status = WHET_OK;
    int32_t *classes = NULL, *dense = NULL;
    int64_t *counts = NULL, seen;
    double *row = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, s->k, &classes));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->b, &dense));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->k, &counts));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->k, &row));
    whet_i_dense_classes(s->y, s->b, s->k, classes, &seen, dense);
    const double unseen = seen == s->k ? 0 : whet_i_unseen_mass(s->y, s->b, s->k, counts);
    for (int64_t i = 0; i < s->n; i++) {
        for (int64_t c = 0; c < seen; c++) row[c] = s->probs[i * s->k + classes[c]];
        whet_i_spread_posterior(row, seen);
        whet_i_share_out(row, classes, seen, s->k, unseen, s->probs + i * s->k);
    }
    whet_i_temper(s->probs, s->n, s->k, temperature);
done:
    whet_i_free(ctx, classes);
    whet_i_free(ctx, dense);
    whet_i_free(ctx, counts);
    whet_i_free(ctx, row);
    return status;
}

/* One alpha cross-fitted from its Green's columns at the labels; see whet_i_green_spreading. */
static whet_status cross_spread(whet_ctx *ctx, const baseline *s, const double *green,
                                double *probs, double *temperature, double *loss) {
    whet_status status = WHET_OK;
    int32_t *y = NULL, *classes = NULL, *dense = NULL;
    int64_t *counts = NULL;
    double *row = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, s->b, &y));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->b, &dense));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->k, &classes));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->k, &counts));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->k, &row));
    for (int64_t at = 0; at < s->splits.n; at++) {
        const whet_i_split *split = &s->splits.split[at];
        int64_t seen;
        for (int64_t i = 0; i < split->n_train; i++) y[i] = s->y[split->train[i]];
        whet_i_dense_classes(y, split->n_train, s->k, classes, &seen, dense);
        const double unseen =
            seen == s->k ? 0 : whet_i_unseen_mass(y, split->n_train, s->k, counts);
        for (int64_t i = 0; i < split->n_held; i++) {
            const int64_t held = split->held[i];
            for (int64_t c = 0; c < seen; c++) row[c] = 0;
            for (int64_t j = 0; j < split->n_train; j++)
                row[dense[j]] += green[s->rows[held] * s->b + split->train[j]];
            whet_i_spread_posterior(row, seen);
            whet_i_share_out(row, classes, seen, s->k, unseen,
                             probs + (split->repeat * s->b + held) * s->k);
        }
    }
    WHET_TRY_DONE(whet_i_temperature_fit(ctx, probs, s->cases, s->k, s->case_y, temperature, loss));
done:
    whet_i_free(ctx, y);
    whet_i_free(ctx, dense);
    whet_i_free(ctx, classes);
    whet_i_free(ctx, counts);
    whet_i_free(ctx, row);
    return status;
}

static whet_status spread(whet_ctx *ctx, const baseline *s, const whet_i_graph *graph) {
    static const double alphas[] = {.5, .8, .9, .95, .99};
    whet_status status = WHET_OK;
    double *green = NULL, *probs = NULL, alpha = .9, temperature = 1, best = INFINITY;
    int64_t cells, all;
    WHET_TRY(whet_i_mul(ctx, s->n, s->b, &cells));
    WHET_TRY(whet_i_mul(ctx, s->cases, s->k, &all));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &green));
    WHET_TRY_DONE(whet_i_alloc(ctx, all, &probs));
    for (int64_t a = 0; s->cases > 0 && a < WHET_COUNT_OF(alphas); a++) {
        double own, loss;
        WHET_TRY_DONE(whet_i_green_spreading(ctx, graph, alphas[a], s->rows, s->b, green));
        WHET_TRY_DONE(cross_spread(ctx, s, green, probs, &own, &loss));
        if (!(loss < best)) continue;
        best = loss;
        alpha = alphas[a];
        temperature = own;
    }
    WHET_TRY_DONE(whet_i_spread(ctx, graph, alpha, s->labels, s->k, s->probs));
    WHET_TRY_DONE(spread_to_probs(ctx, s, temperature));
done:
    whet_i_free(ctx, green);
    whet_i_free(ctx, probs);
    return status;
}

static whet_status propagate(whet_ctx *ctx, const baseline *s, const whet_i_graph *graph) {
    WHET_TRY(whet_i_harmonic(ctx, graph, s->labels, s->k, s->probs));
    for (int64_t i = 0; i < s->n; i++) { /* what conjugate gradients leave of rounding */
        double *row = s->probs + i * s->k, sum = 0;
        for (int64_t c = 0; c < s->k; c++) sum += row[c] = fmax(row[c], 0);
        for (int64_t c = 0; c < s->k; c++) row[c] /= sum;
    }
    return WHET_OK;
}

static whet_status zero_shot(whet_ctx *ctx, const baseline *s) {
    whet_status status = WHET_OK;
    whet_i_linear_model m = {.d = s->d, .k = s->k, .seen = s->k};
    const whet_i_prepare unit = {.kind = WHET_I_UNIT, .d_in = s->d, .d = s->d};
    float *names = NULL;
    double *labelled = NULL, temperature = 1, loss;
    int64_t cells;
    WHET_TRY_DONE(whet_i_mul(ctx, s->k, s->d, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &names));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &m.weight));
    WHET_TRY_DONE(whet_i_calloc(ctx, s->k, &m.bias));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->k, &m.classes));
    whet_i_prepare_apply(&unit, s->in->class_features, s->k, names);
    for (int32_t c = 0; c < s->k; c++) m.classes[c] = c;
    whet_i_prototypes(NULL, NULL, 0, NULL, names, s->d, INFINITY, WHET_I_COSINE_TEMPERATURE,
                      m.classes, s->k, m.weight);
    WHET_TRY_DONE(whet_i_linear_model_predict(ctx, &m, s->x, s->n, s->probs));
    if (s->b > 0) {
        WHET_TRY_DONE(whet_i_alloc(ctx, s->b * s->k, &labelled));
        for (int64_t i = 0; i < s->b; i++)
            memcpy(labelled + i * s->k, s->probs + s->rows[i] * s->k,
                   sizeof *labelled * (size_t)s->k);
        WHET_TRY_DONE(whet_i_temperature_fit(ctx, labelled, s->b, s->k, s->y, &temperature, &loss));
    }
    whet_i_temper(s->probs, s->n, s->k, temperature);
done:
    whet_i_linear_model_free(ctx, &m);
    whet_i_free(ctx, names);
    whet_i_free(ctx, labelled);
    return status;
}

static whet_status on_graph(whet_ctx *ctx, const baseline *s, whet_baseline method) {
    whet_i_graph graph;
    WHET_TRY(whet_i_graph_build(ctx, s->x, s->n, s->d, WHET_I_NEIGHBOURS, &graph));
    const whet_status status =
        method == WHET_BASELINE_SPREAD ? spread(ctx, s, &graph) : propagate(ctx, s, &graph);
    whet_i_graph_free(ctx, &graph);
    return status;
}

whet_status whet_baseline_run(whet_ctx *ctx, whet_baseline method, const whet_baseline_input *input,
                              double *probs) {
    whet_status status = WHET_OK;
    baseline s = {.in = input};
    int64_t cells;
    if ((int)method < 0 || method > WHET_BASELINE_ZERO_SHOT)
        return whet_i_fail(ctx, WHET_ERR_ARG, "baseline %d; expected 0 to 3", (int)method);
    WHET_TRY(check(ctx, method, input));
    WHET_TRY(whet_i_mul(ctx, input->n, input->k, &cells));
    /* Into memory of our own first: probs is untouched on failure. */
    WHET_TRY(whet_i_alloc(ctx, cells, &s.probs));
    WHET_TRY_DONE(set_up(ctx, method, input, &s));
    switch (method) {
    case WHET_BASELINE_FEW_SHOT:
        WHET_TRY_DONE(input->loss ? few_shot_cost(ctx, &s) : few_shot(ctx, &s));
        break;
    case WHET_BASELINE_ZERO_SHOT: WHET_TRY_DONE(zero_shot(ctx, &s)); break;
    case WHET_BASELINE_PROPAGATE:
    case WHET_BASELINE_SPREAD: WHET_TRY_DONE(on_graph(ctx, &s, method)); break;
    }
    memcpy(probs, s.probs, sizeof *probs * (size_t)cells);
done:
    whet_i_free(ctx, s.probs);
    release(ctx, &s);
    return status;
}
