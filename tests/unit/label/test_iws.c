/* SPDX-License-Identifier: Apache-2.0
 * Interactive weak supervision: its closed-form regression against a solved system, the right rules
 * from labels and from a person's answers, answers that are kept. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "label/bayes_linear.h"
#include "label/rule_candidates.h"
#include "tensor/tensor_i.h"

/* ---- the regression --------------------------------------------------------------------------- */

/* Posterior precision I / prior + Z^T Z / noise, mean its solve of Z^T y / noise: one Cholesky solve in
 * place of 30 rank-one updates. */
static void updates_end_at_the_solved_posterior(void **state) {
    (void)state;
    enum { D = 7, N = 30 };
    whet_ctx *ctx = test_ctx(1);
    double cov[D * D], sum[D], mean[D], room[D], z[N][D], y[N], a[D * D], b[D * 2], where[D];
    whet_i_bayes bayes = {D, .0625, cov, sum, mean, room};
    whet_i_rng rng;
    whet_i_rng_init(&rng, 5, 0);
    whet_i_bayes_start(&bayes, .25);
    double at, deviation;
    for (int j = 0; j < D; j++) where[j] = whet_i_rng_normal(&rng);
    whet_i_bayes_predict(&bayes, where, &at, &deviation);
    double square = 0;
    for (int j = 0; j < D; j++) square += where[j] * where[j];
    assert_true(at == 0 && fabs(deviation - sqrt(.25 * square)) < 1e-12);
    for (int i = 0; i < D * D; i++) a[i] = i % (D + 1) == 0 ? 4 : 0;
    for (int i = 0; i < D * 2; i++) b[i] = 0;
    for (int i = 0; i < N; i++) {
        y[i] = whet_i_rng_normal(&rng);
        for (int j = 0; j < D; j++) z[i][j] = whet_i_rng_normal(&rng);
        whet_i_bayes_observe(&bayes, z[i], y[i]);
        for (int j = 0; j < D; j++) {
            b[j * 2] += z[i][j] * y[i] / .0625;
            for (int l = 0; l < D; l++) a[j * D + l] += z[i][j] * z[i][l] / .0625;
        }
    }
    for (int j = 0; j < D; j++) b[j * 2 + 1] = where[j];
    test_ok(ctx, whet_i_cholesky_solve(ctx, D, a, 2, b));
    double expected = 0, variance = 0;
    for (int j = 0; j < D; j++) {
        expected += where[j] * b[j * 2];
        variance += where[j] * b[j * 2 + 1];
    }
    whet_i_bayes_predict(&bayes, where, &at, &deviation);
    assert_true(fabs(at - expected) < 1e-11); /* 30 updates of condition below 1e3 */
    assert_true(fabs(deviation * deviation - variance) < 1e-11);
    test_ctx_done(ctx);
}

/* ---- rules ------------------------------------------------------------------------------------ */

enum { N = 300, DIM = 20, LABELLED = 80 };

typedef struct planted {
    float x[N * DIM];
    int32_t truth[N], labels[N];
} planted;

/* Two classes; the first half of the features tell them apart with noise, the others are noise. */
static void plant(planted *p) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, 9, 0);
    for (int i = 0; i < N; i++) {
        p->truth[i] = i * 7 % 13 < 6;
        p->labels[i] = i % 3 == 0 && i / 3 < LABELLED ? p->truth[i] : -1;
        for (int j = 0; j < DIM; j++)
            p->x[i * DIM + j] =
                (float)(whet_i_rng_normal(&rng) + (j < DIM / 2 && p->truth[i] ? 1.8 : 0));
    }
}

static whet_names *two_classes(whet_ctx *ctx) {
    whet_names *names;
    test_ok(ctx, whet_names_create(ctx, &names));
    test_ok(ctx, whet_names_add(ctx, names, whet_str_from("no"), NULL));
    test_ok(ctx, whet_names_add(ctx, names, whet_str_from("yes"), NULL));
    return names;
}

/* Rules on features that tell, by the feature in their name ("stump 3", "logistic 12"). */
static int telling(const char *rule) { return atoi(strchr(rule, ' ')) < DIM / 2; }

static void rules_that_tell_are_found(void **state) {
    (void)state;
    static const whet_iws_acquisition ways[3] = {WHET_IWS_STRADDLE, WHET_IWS_ACTIVE,
                                                 WHET_IWS_RANDOM};
    whet_ctx *ctx = test_ctx(2);
    whet_names *classes = two_classes(ctx);
    planted *p = malloc(sizeof *p);
    assert_non_null(p);
    plant(p);
    const whet_synth_input input = {p->x, N, DIM, classes, p->labels, 0};
    for (int w = 0; w < 3; w++) {
        whet_iws_opts opts = WHET_IWS_OPTS_INIT;
        whet_rules *rules;
        whet_synth_report report;
        int good = 0;
        opts.cardinality = 1;
        opts.queries = 12;
        opts.usefulness = .7; /* noise is right on .5; features that tell on .8 */
        opts.acquisition = ways[w];
        test_ok(ctx, whet_iws(ctx, &input, &opts, &rules, &report));
        assert_int_equal(report.candidates, 2 * DIM);
        assert_int_equal(report.rounds, 16);
        const int64_t m = whet_rules_count(rules);
        for (int64_t j = 0; j < m; j++) good += telling(whet_rules_name(rules, j).ptr);
        /* Of 20 rules that tell; those not asked about are known by how they vote alone. */
        assert_true(good >= 8 && m - good <= 2);
        whet_rules_destroy(ctx, rules);
    }
    free(p);
    whet_names_destroy(ctx, classes);
    test_ctx_done(ctx);
}

typedef struct person {
    int asked, stop_after;
    char last[128];
} person;

static whet_iws_answer answer(void *user, const whet_iws_question *q) {
    person *p = user;
    if (p->asked == p->stop_after) return WHET_IWS_STOP;
    p->asked++;
    (void)snprintf(p->last, sizeof p->last, "%s", q->rule);
    assert_true(q->coverage > 0 && q->coverage <= 1 && q->number <= q->of);
    assert_in_range(q->examples, 1, 8);
    for (int64_t e = 0; e < q->examples; e++) {
        assert_in_range(q->row[e], 0, N - 1);
        assert_in_range(q->vote[e], 0, 1);
    }
    return telling(q->rule) ? WHET_IWS_YES : WHET_IWS_NO;
}

static void answers_are_kept_and_not_asked_again(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_names *classes = two_classes(ctx);
    planted *p = malloc(sizeof *p);
    assert_non_null(p);
    plant(p);
    const whet_synth_input input = {p->x, N, DIM, classes, p->labels, 0};
    whet_iws_opts opts = WHET_IWS_OPTS_INIT;
    whet_rules *rules, *whole;
    whet_synth_report report;
    person first = {0, 5, ""}, second = {0, 100, ""}, all = {0, 100, ""};
    opts.cardinality = 1;
    opts.queries = 6;
    opts.ask = answer;
    opts.user = &first;
    opts.answers = test_tmp("answers.jsonl");
    test_ok(ctx, whet_iws(ctx, &input, &opts, &rules, &report));
    assert_int_equal(report.rounds, 5);
    whet_rules_destroy(ctx, rules);
    opts.user = &second;
    test_ok(ctx, whet_iws(ctx, &input, &opts, &rules, &report));
    assert_int_equal(report.rounds, 10);
    assert_int_equal(second.asked, 5); /* five are known */
    opts.user = &all;
    opts.answers = NULL;
    test_ok(ctx, whet_iws(ctx, &input, &opts, &whole, &report));
    assert_int_equal(all.asked, 10);
    assert_string_equal(all.last, second.last);
    json_t *a = whet_i_rules_json(rules), *b = whet_i_rules_json(whole);
    assert_true(json_equal(a, b)); /* interrupted and whole runs end alike */
    json_decref(a);
    json_decref(b);
    whet_rules_destroy(ctx, rules);
    whet_rules_destroy(ctx, whole);
    opts.answers = test_write_text("broken.jsonl", "{\"rule\":\"stump 1\",\"useful\":\"maybe\"}\n");
    test_fails(ctx, whet_iws(ctx, &input, &opts, &rules, &report), WHET_ERR_FORMAT);
    test_says(ctx, "broken.jsonl:1: useful is \"maybe\"; expected true or false");
    free(p);
    whet_names_destroy(ctx, classes);
    test_ctx_done(ctx);
}

static whet_iws_answer always_no(void *user, const whet_iws_question *q) {
    (void)user;
    (void)q;
    return WHET_IWS_NO;
}

static void one_rule_is_given_when_none_is_useful(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_names *classes = two_classes(ctx);
    planted *p = malloc(sizeof *p);
    assert_non_null(p);
    plant(p);
    whet_synth_input input = {p->x, N, DIM, classes, p->labels, 0};
    whet_iws_opts opts = WHET_IWS_OPTS_INIT;
    whet_rules *rules = NULL;
    opts.cardinality = 1;
    opts.ask = always_no;
    opts.queries = 40; /* more than there are candidates */
    test_ok(ctx, whet_iws(ctx, &input, &opts, &rules, NULL));
    assert_int_equal(whet_rules_count(rules), 1);
    assert_true(telling(whet_rules_name(rules, 0).ptr));
    whet_rules_destroy(ctx, rules);
    rules = NULL;
    for (int i = 0; i < N * DIM; i++) p->x[i] = 1;
    test_fails(ctx, whet_iws(ctx, &input, NULL, &rules, NULL), WHET_ERR_DATA);
    opts.usefulness = 1.5;
    plant(p);
    test_fails(ctx, whet_iws(ctx, &input, &opts, &rules, NULL), WHET_ERR_ARG);
    assert_null(rules);
    free(p);
    whet_names_destroy(ctx, classes);
    test_ctx_done(ctx);
}

static void same_rules_at_any_number_of_threads(void **state) {
    (void)state;
    static const int32_t threads[3] = {1, 2, 5};
    json_t *first = NULL;
    planted *p = malloc(sizeof *p);
    assert_non_null(p);
    plant(p);
    for (int t = 0; t < 3; t++) {
        whet_ctx *ctx = test_ctx(threads[t]);
        whet_names *classes = two_classes(ctx);
        const whet_synth_input input = {p->x, N, DIM, classes, p->labels, 3};
        whet_rules *rules;
        test_ok(ctx, whet_iws(ctx, &input, NULL, &rules, NULL));
        json_t *made = whet_i_rules_json(rules);
        if (first) assert_true(json_equal(first, made));
        if (!first) first = json_incref(made);
        json_decref(made);
        whet_rules_destroy(ctx, rules);
        whet_names_destroy(ctx, classes);
        test_ctx_done(ctx);
    }
    json_decref(first);
    free(p);
}

static whet_status one_run(whet_ctx *ctx, void *arg) {
    const planted *p = arg;
    whet_names *classes = NULL;
    whet_rules *rules = NULL;
    whet_iws_opts opts = WHET_IWS_OPTS_INIT;
    person someone = {0, 100, ""};
    whet_status status = whet_names_create(ctx, &classes);
    if (status == WHET_OK) status = whet_names_add(ctx, classes, whet_str_from("no"), NULL);
    if (status == WHET_OK) status = whet_names_add(ctx, classes, whet_str_from("yes"), NULL);
    const whet_synth_input input = {p->x, N, DIM, classes, p->labels, 0};
    opts.cardinality = 1;
    opts.seeds = 1;
    opts.queries = 1;
    opts.most_rules = 1;
    opts.ask = answer;
    opts.user = &someone;
    opts.answers = test_tmp("fault.jsonl");
    if (status == WHET_OK) status = whet_iws(ctx, &input, &opts, &rules, NULL);
    whet_rules_destroy(ctx, rules);
    whet_names_destroy(ctx, classes);
    return status;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    planted *p = malloc(sizeof *p);
    assert_non_null(p);
    plant(p);
    assert_true(test_each_allocation(one_run, p) > 60);
    free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(updates_end_at_the_solved_posterior),
        cmocka_unit_test(rules_that_tell_are_found),
        cmocka_unit_test(answers_are_kept_and_not_asked_again),
        cmocka_unit_test(one_rule_is_given_when_none_is_useful),
        cmocka_unit_test(same_rules_at_any_number_of_threads),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
