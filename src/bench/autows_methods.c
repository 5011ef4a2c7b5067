/* SPDX-License-Identifier: Apache-2.0
 * Methods of the AutoWS comparison but those that make rules: baselines, groups, and the main job itself.
 * What is defined on the pool alone (graphs, groups) gives a test row the mean of its nearest pool rows,
 * weighted by cosine (Delalleau et al. 2005): test rows shape nothing.
 * Legend: n rows of the pool, d columns, k classes, m neighbours. */
#include <math.h>
#include <stdio.h>

#include "adapt/adapt_i.h"
#include "bench/autows_i.h"
#include "label/label_i.h"

#include "whet/adapt.h"
#include "whet/label.h"

static void all_covered(const whet_i_autows_task *task, whet_i_autows_answer *out) {
    for (int64_t i = 0; i < task->n; i++) out->pool_covered[i] = true;
    for (int64_t i = 0; i < task->n_test; i++) out->test_covered[i] = true;
}

static whet_baseline_input input_of(const whet_i_autows_task *task) {
    return (whet_baseline_input){.features = task->x,
                                 .n = task->n,
                                 .d = task->d,
                                 .k = task->k,
                                 .labels = task->labels,
                                 .class_features = task->class_vectors,
                                 .seed = task->seed};
}

/* ---- methods by labels and class names alone: a row's answer is its own ----------------------- */

static whet_status by_row(whet_ctx *ctx, const whet_i_autows_method *self,
                          const whet_i_autows_task *task, whet_i_autows_answer *out) {
    const int64_t n = task->n, all = n + task->n_test, d = task->d, k = task->k;
    const whet_baseline method = (whet_baseline)self->option;
    whet_baseline_input input = input_of(task);
    whet_status status = WHET_OK;
    float *x = NULL;
    int32_t *labels = NULL;
    double *probs = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, all * d, &x));
    WHET_TRY_DONE(whet_i_alloc(ctx, all, &labels));
    WHET_TRY_DONE(whet_i_alloc(ctx, all * k, &probs));
    memcpy(x, task->x, (size_t)(n * d) * sizeof *x);
    memcpy(x + n * d, task->test, (size_t)(task->n_test * d) * sizeof *x);
    memcpy(labels, task->labels, (size_t)n * sizeof *labels);
    for (int64_t i = n; i < all; i++) labels[i] = -1;
    input.features = x;
    input.n = all;
    input.labels = labels;
    if (method != WHET_BASELINE_ZERO_SHOT && method != WHET_BASELINE_PROTOTYPES)
        input.class_features = NULL;
    WHET_TRY_DONE(whet_baseline_run(ctx, method, &input, probs));
    memcpy(out->pool, probs, (size_t)(n * k) * sizeof *probs);
    memcpy(out->test, probs + n * k, (size_t)(task->n_test * k) * sizeof *probs);
    all_covered(task, out);
done:
    whet_i_free(ctx, x);
    whet_i_free(ctx, labels);
    whet_i_free(ctx, probs);
    return status;
}

/* ---- methods of the pool as a whole ------------------------------------------------ */

static whet_status test_by_neighbours(whet_ctx *ctx, const whet_i_autows_task *task,
                                      whet_i_autows_answer *out) {
    const int64_t m = task->n < WHET_I_NEIGHBOURS ? task->n : WHET_I_NEIGHBOURS, k = task->k;
    whet_status status = WHET_OK;
    int64_t *near = NULL;
    float *cosine = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, task->n_test * m, &near));
    WHET_TRY_DONE(whet_i_alloc(ctx, task->n_test * m, &cosine));
    WHET_TRY_DONE(whet_i_nearest(ctx, task->test, task->n_test, task->x, task->n, task->d, m, false,
                                 near, cosine));
    for (int64_t i = 0; i < task->n_test; i++) {
        double *row = out->test + i * k, total = 0;
        for (int64_t c = 0; c < k; c++) row[c] = 0;
        for (int64_t e = i * m; e < (i + 1) * m; e++) {
            const double w = fmax((double)cosine[e], WHET_I_LEAST_WEIGHT);
            total += w;
            for (int64_t c = 0; c < k; c++) row[c] += w * out->pool[near[e] * k + c];
        }
        for (int64_t c = 0; c < k; c++) row[c] /= total;
    }
done:
    whet_i_free(ctx, near);
    whet_i_free(ctx, cosine);
    return status;
}

static whet_status by_pool(whet_ctx *ctx, const whet_i_autows_method *self,
                           const whet_i_autows_task *task, whet_i_autows_answer *out) {
    whet_baseline_input input = input_of(task);
    input.class_features = NULL;
    WHET_TRY(whet_baseline_run(ctx, (whet_baseline)self->option, &input, out->pool));
    WHET_TRY(test_by_neighbours(ctx, task, out));
    all_covered(task, out);
    return WHET_OK;
}

/* ---- the main job ------------------------------------------------ */

static whet_status by_adapt(whet_ctx *ctx, const whet_i_autows_method *self,
                            const whet_i_autows_task *task, whet_i_autows_answer *out) {
    const whet_adapt_input input = {.features = task->raw, /* it prepares them itself */
                                    .n = task->n,
                                    .d = task->d_raw,
                                    .labels = task->labels,
                                    .classes = task->classes,
                                    .class_vectors = task->class_vectors};
    whet_adapt_opts opts = WHET_ADAPT_OPTS_INIT;
    whet_adapt_fit *fit = NULL;
    int64_t *groups = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_group_texts(ctx, task->texts, task->n, &groups));
    opts.seed = task->seed;
    opts.groups = groups;
    opts.method = self->option ? "auto" : NULL;
    WHET_TRY_DONE(whet_adapt_train(ctx, &input, &opts, &fit));
    const int64_t chosen = whet_adapt_fit_chosen(fit);
    const whet_candidate_info *info = whet_adapt_fit_info(fit, chosen);
    out->crossfit = info->log_loss;
    (void)snprintf(out->words, sizeof out->words, "%s: %s", info->name, info->settings);
    WHET_TRY_DONE(whet_adapt_fit_predict(ctx, fit, chosen, task->raw, task->n, out->pool));
    WHET_TRY_DONE(
        whet_adapt_fit_predict(ctx, fit, chosen, task->raw_test, task->n_test, out->test));
    all_covered(task, out);
done:
    whet_i_free(ctx, groups);
    whet_adapt_fit_destroy(ctx, fit);
    return status;
}

/* ---- the table ------------------------------------------------ */

const whet_i_autows_method whet_i_autows_methods[] = {
    {"few-shot", "few-shot logistic regression", WHET_I_METHOD_BASELINE, false, false,
     WHET_BASELINE_FEW_SHOT, by_row},
    {"prototypes", "class means", WHET_I_METHOD_BASELINE, false, false, WHET_BASELINE_PROTOTYPES,
     by_row},
    {"zero-shot", "class names", WHET_I_METHOD_BASELINE, true, false, WHET_BASELINE_ZERO_SHOT,
     by_row},
    {"propagate", "label propagation", WHET_I_METHOD_BASELINE, false, false,
     WHET_BASELINE_PROPAGATE, by_pool},
    {"spread", "label spreading", WHET_I_METHOD_BASELINE, false, false, WHET_BASELINE_SPREAD,
     by_pool},
    {"cluster", "k-means groups", WHET_I_METHOD_BASELINE, false, false, WHET_BASELINE_CLUSTER,
     by_pool},
    {"goggles", "GOGGLES", WHET_I_METHOD_WEAK, false, false, WHET_BASELINE_GOGGLES, by_pool},
    {"snuba", "Snuba", WHET_I_METHOD_WEAK, false, false, WHET_I_RULES_SNUBA,
     whet_i_autows_by_rules},
    {"snuba-ovr", "Snuba, one class against the rest", WHET_I_METHOD_WEAK, false, false,
     WHET_I_RULES_SNUBA_APART, whet_i_autows_by_rules},
    {"iws", "IWS", WHET_I_METHOD_WEAK, false, false, WHET_I_RULES_IWS, whet_i_autows_by_rules},
    {"iws-ovr", "IWS, one class against the rest", WHET_I_METHOD_WEAK, false, false,
     WHET_I_RULES_IWS_APART, whet_i_autows_by_rules},
    {"snuba-ref", "Snuba as published", WHET_I_METHOD_PUBLISHED, false, false,
     WHET_I_RULES_SNUBA_PUBLISHED, whet_i_autows_by_rules},
    {"snuba-ovr-ref", "Snuba as published, one class against the rest", WHET_I_METHOD_PUBLISHED,
     false, false, WHET_I_RULES_SNUBA_APART_PUBLISHED, whet_i_autows_by_rules},
    {"adapt", "whet adapt", WHET_I_METHOD_CHOICE, false, false, 0, by_adapt},
    {"adapt-auto", "whet adapt --label-method auto", WHET_I_METHOD_CHOICE, false, false, 1,
     by_adapt},
    {"adapt-adapter", "whet adapt --adapter auto", WHET_I_METHOD_CHOICE, false, true, 0,
     whet_i_autows_by_tuning},
};

int64_t whet_i_autows_method_count(void) { return WHET_COUNT_OF(whet_i_autows_methods); }

/* ---- the end model ------------------------------------------------ */

/* As whet adapt's: choices, not fitted. */
enum { STUDENT_ROWS = 2000, STEPS = 200 };
static const double PENALTY = 10, LABELS_SHARE = .25, TOLERANCE = 1e-5;

typedef struct student {
    int64_t r;
    double *z, *q, *weight, *theta, *room;
    whet_i_sketch sketch;
} student;

static void free_student(whet_ctx *ctx, student *s) {
    whet_i_free(ctx, s->z);
    whet_i_free(ctx, s->q);
    whet_i_free(ctx, s->weight);
    whet_i_free(ctx, s->theta);
    whet_i_free(ctx, s->room);
    whet_i_sketch_free(ctx, &s->sketch);
}

static void add_row(student *s, const whet_i_autows_task *task, int64_t row, const double *q,
                    double weight) {
    for (int64_t j = 0; j < task->d; j++)
        s->z[s->r * task->d + j] = (double)task->x[row * task->d + j];
    for (int64_t c = 0; c < task->k; c++)
        s->q[s->r * task->k + c] =
            task->labels[row] >= 0 ? (c == task->labels[row] ? 1. : 0.) : q[c];
    s->weight[s->r++] = weight;
}

/* Covered rows without a label, evenly spaced; then the labelled ones, LABELS_SHARE of their weight. */
static void choose_rows(const whet_i_autows_task *task, const whet_i_autows_answer *answer,
                        student *s) {
    int64_t covered = 0, labelled = 0, at = 0;
    for (int64_t i = 0; i < task->n; i++) {
        labelled += task->labels[i] >= 0;
        covered += task->labels[i] < 0 && answer->pool_covered[i];
    }
    const int64_t take = covered < STUDENT_ROWS ? covered : STUDENT_ROWS;
    for (int64_t i = 0; i < task->n; i++) {
        if (task->labels[i] >= 0 || !answer->pool_covered[i]) continue;
        /* the j-th of `take` stands at j covered / take */
        if (s->r < take && at == s->r * covered / take)
            add_row(s, task, i, answer->pool + i * task->k, 1);
        at++;
    }
    const double each = labelled ? LABELS_SHARE * (double)take / (double)labelled : 0;
    for (int64_t i = 0; i < task->n; i++)
        if (task->labels[i] >= 0) add_row(s, task, i, NULL, fmax(each, 1));
}

whet_status whet_i_autows_end_model(whet_ctx *ctx, const whet_i_autows_task *task,
                                    const whet_i_autows_answer *answer, int32_t *predicted) {
    const int64_t d = task->d, k = task->k, most = task->n;
    student s = {0};
    double *scores = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, most * d, &s.z));
    WHET_TRY_DONE(whet_i_alloc(ctx, most * k, &s.q));
    WHET_TRY_DONE(whet_i_alloc(ctx, most, &s.weight));
    WHET_TRY_DONE(whet_i_alloc(ctx, (d + 1) * k, &s.theta));
    choose_rows(task, answer, &s);
    WHET_TRY_DONE(whet_i_sketch_build(ctx, s.z, s.r, d, &s.sketch));
    WHET_TRY_DONE(whet_i_alloc(ctx, whet_i_soft_logistic_workspace(s.r, d, k, &s.sketch), &s.room));
    (void)whet_i_soft_logistic_solve(s.z, s.r, d, s.q, s.weight, k, PENALTY, &s.sketch, TOLERANCE,
                                     STEPS, s.theta, s.room);
    WHET_TRY_DONE(whet_i_alloc(ctx, task->n_test * k, &scores));
    WHET_TRY_DONE(whet_i_scores(ctx, task->test, task->n_test, d, s.theta, k, scores));
    for (int64_t i = 0; i < task->n_test; i++) {
        predicted[i] = 0;
        for (int64_t c = 0; c < k; c++) scores[i * k + c] += s.theta[d * k + c];
        for (int64_t c = 1; c < k; c++)
            if (scores[i * k + c] > scores[i * k + predicted[i]]) predicted[i] = (int32_t)c;
    }
done:
    free_student(ctx, &s);
    whet_i_free(ctx, scores);
    return status;
}
