/* SPDX-License-Identifier: Apache-2.0
 * What rules do: by hand, against the models' own sums, with planted copies. Snorkel's columns are
 * held in tests/golden/autows. */
#include "support.h"

#include <math.h>
#include <stdio.h>

#include "votes_support.h"
#include "whet/io.h"

/* Four rows of three rules: (0 0 1), (- 2 -), (- - -), (1 1 1); truth 0, 0, -, 1. */
static const int8_t few[] = {0, 0, 1, -1, 2, -1, -1, -1, -1, 1, 1, 1};
static const int32_t few_truth[] = {0, 0, -1, 1};
static const whet_votes few_votes = {.n = 4, .m = 3, .k = 3, .narrow = few};

static void summary_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    whet_rule_summary rules[3];
    whet_votes_totals t;
    int64_t by_class[9], confusion[3 * 4 * 3], rows[2], count;
    test_ok(ctx, whet_votes_summary(ctx, &few_votes, few_truth, rules, by_class, &t));
    assert_true(t.rows == 4 && t.covered == 3 && t.overlapping == 2 && t.conflicting == 1 &&
                t.labelled == 3);
    assert_true(rules[1].votes == 3 && rules[1].overlaps == 2 && rules[1].conflicts == 1);
    assert_true(rules[1].correct == 2 && rules[1].incorrect == 1);
    assert_true(rules[0].copy_of == -1 && rules[2].copy_of == -1);
    assert_true(rules[2].votes == 2 && rules[2].correct == 1 && rules[2].accuracy == .5);
    const int64_t want[] = {1, 1, 0, 1, 1, 1, 0, 2, 0};
    assert_memory_equal(by_class, want, sizeof want);
    test_ok(ctx, whet_votes_confusion(ctx, &few_votes, few_truth, confusion));
    const int64_t first[] = {1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0}; /* rule 0: abstains, 0, 1, 2 */
    assert_memory_equal(confusion, first, sizeof first);
    test_ok(ctx, whet_votes_wrong_rows(ctx, &few_votes, few_truth, 1, 2, rows, &count));
    assert_true(count == 1 && rows[0] == 1);
    test_ok(ctx, whet_votes_wrong_rows(ctx, &few_votes, few_truth, 2, 0, NULL, &count));
    assert_int_equal(count, 1);
    test_fails(ctx, whet_votes_wrong_rows(ctx, &few_votes, few_truth, 3, 0, NULL, &count),
               WHET_ERR_ARG);
    const int32_t beyond[] = {0, 0, 3, 1};
    test_fails(ctx, whet_votes_summary(ctx, &few_votes, beyond, rules, by_class, &t),
               WHET_ERR_DATA);
    test_says(ctx, "true class of row 2 is 3; expected -1 to 2");
    test_ok(ctx, whet_votes_summary(ctx, &few_votes, NULL, rules, by_class, &t));
    assert_true(rules[1].correct == 0 && rules[1].accuracy == 0 && rules[1].accuracy_high == 1);
    test_ctx_done(ctx);
}

static void lists_and_threads_sum_alike(void **state) {
    (void)state;
    enum { M = 6, K = 3 };
    whet_ctx *ctx = test_ctx(5);
    drawn_votes d = draw_votes(ctx, 777, M, K, 1);
    listed_votes list = list_form(ctx, &d.votes);
    whet_rule_summary dense[M], listed[M];
    int64_t first[M * K], second[M * K], rows[2][777], count[2];
    whet_votes_totals t, u;
    test_ok(ctx, whet_votes_summary(ctx, &d.votes, d.truth, dense, first, &t));
    test_ok(ctx, whet_votes_summary(ctx, &list.votes, d.truth, listed, second, &u));
    assert_memory_equal(dense, listed, sizeof dense);
    assert_memory_equal(first, second, sizeof first);
    assert_memory_equal(&t, &u, sizeof t);
    for (int j = 0; j < M; j++) {
        test_ok(ctx, whet_votes_wrong_rows(ctx, &d.votes, d.truth, j, 777, rows[0], &count[0]));
        test_ok(ctx, whet_votes_wrong_rows(ctx, &list.votes, d.truth, j, 777, rows[1], &count[1]));
        assert_true(count[0] == dense[j].incorrect && count[1] == count[0]);
        assert_memory_equal(rows[0], rows[1], sizeof(int64_t) * (size_t)count[0]);
    }
    free_list(ctx, &list);
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

/* The parts of a row's score add up to the log odds of what is predicted, of a row without votes too (row 7);
 * of flyingsquid with three classes, to the log odds of each class against the rest. What abstaining tells is
 * the rule's that abstains. */
static void explanations_add_up(void **state) {
    (void)state;
    enum { M = 5, K = 3 };
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, 200, M, K, 2);
    for (int j = 0; j < M; j++) d.narrow[7 * M + j] = -1;
    for (int method = 1; whet_label_method_name((whet_label_method)method); method++) {
        whet_label_model_opts opts = WHET_LABEL_MODEL_OPTS_INIT;
        whet_label_model *model;
        double probs[200 * K], scores[(M + 1) * K], own[K], told = 0;
        int32_t vote[M];
        int64_t top[2];
        opts.method = (whet_label_method)method;
        test_ok(ctx, whet_label_model_fit(ctx, &d.votes, &opts, &model));
        test_ok(ctx, whet_label_model_predict(ctx, model, &d.votes, probs));
        for (int64_t row = 0; row < 200; row++) {
            double sum[K] = {0};
            test_ok(ctx,
                    whet_label_model_explain(ctx, model, &d.votes, row, scores, vote, own, top));
            for (int j = 0; j < M; j++) {
                assert_int_equal(vote[j], d.narrow[row * M + j]);
                for (int c = 0; c < K; c++) told += vote[j] < 0 ? fabs(scores[(j + 1) * K + c]) : 0;
            }
            for (int e = 0; e < (M + 1) * K; e++) sum[e % K] += scores[e];
            for (int c = 0; c < K; c++) assert_true(own[c] == probs[row * K + c]);
            assert_int_equal(top[0], whet_i_argmax(sum, K));
            assert_true(top[1] != top[0] && sum[top[1]] >= sum[3 - top[0] - top[1]]);
            for (int c = 0; c < K && row != 7 && method == WHET_LABEL_FLYINGSQUID; c++)
                sum[c] = -log1p(exp(-sum[c]));
            for (int c = 1; c < K; c++)
                if (own[0] > 1e-12 && own[c] > 1e-12)
                    assert_true(fabs(sum[c] - sum[0] - log(own[c] / own[0])) < 1e-9);
        }
        assert_true((told > 0) == (method >= WHET_LABEL_DAWID_SKENE));
        test_fails(ctx, whet_label_model_explain(ctx, model, &d.votes, 200, scores, vote, own, top),
                   WHET_ERR_ARG);
        whet_label_model_destroy(ctx, model);
    }
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

/* Of independent rules no pair is told; of the same with a copy, and with a copy of four votes in
 * five, that pair. */
static void planted_copies_are_found(void **state) {
    (void)state;
    enum { N = 4000, M = 7, K = 3 };
    for (int form = 0; form < 3; form++) {
        whet_ctx *ctx = test_ctx(1);
        drawn_votes d = draw_votes(ctx, N, M, K, 3);
        whet_label_model_opts opts = WHET_LABEL_MODEL_OPTS_INIT;
        whet_label_model *model;
        whet_vote_counts *counts;
        whet_rule_dependence found[4];
        whet_i_rng rng;
        int64_t count;
        whet_i_rng_init(&rng, 4, 0);
        for (int64_t i = 0; form && i < N; i++)
            if (form == 1 || whet_i_rng_below(&rng, 5)) d.narrow[i * M + 6] = d.narrow[i * M + 2];
        opts.method = WHET_LABEL_FLYINGSQUID;
        opts.median = true;
        whet_rule_summary rules[M];
        whet_votes_totals totals;
        int64_t by_class[M * K];
        test_ok(ctx, whet_votes_summary(ctx, &d.votes, NULL, rules, by_class, &totals));
        for (int j = 0; j < M; j++)
            assert_int_equal(rules[j].copy_of, form == 1 && j == 6 ? 2 : -1);
        test_ok(ctx, whet_vote_counts_create(ctx, M, K, &counts));
        test_ok(ctx, whet_vote_counts_add(ctx, counts, &d.votes));
        test_ok(ctx, whet_label_model_fit_counts(ctx, counts, &opts, &model));
        test_ok(ctx, whet_rule_dependences(ctx, model, counts, 4, found, &count));
        assert_int_equal(count, form ? 1 : 0);
        if (form) assert_true(found[0].a == 2 && found[0].b == 6 && found[0].copy == (form == 1));
        int64_t both[M * M], agree[M * M];
        whet_vote_counts_agreement(counts, both, agree);
        if (form)
            assert_true(both[2 * M + 6] == found[0].both && agree[6 * M + 2] == found[0].agree);
        whet_label_model_destroy(ctx, model);
        opts.method = WHET_LABEL_MAJORITY;
        test_ok(ctx, whet_label_model_fit_counts(ctx, counts, &opts, &model));
        test_fails(ctx, whet_rule_dependences(ctx, model, counts, 4, found, &count), WHET_ERR_ARG);
        whet_label_model_destroy(ctx, model);
        whet_vote_counts_destroy(ctx, counts);
        free_votes(ctx, &d);
        test_ctx_done(ctx);
    }
}

static whet_status analyze(whet_ctx *ctx, void *arg) {
    whet_label_analyze_job job = WHET_LABEL_ANALYZE_JOB_INIT;
    whet_label_analysis a;
    (void)arg;
    job.votes = test_tmp("v.npy");
    job.truth = test_tmp("t.tsv");
    job.rules = test_tmp("rules.txt");
    job.report = test_tmp("r.html");
    job.force = true;
    const whet_status status = whet_label_analyze_run(ctx, &job, &a);
    if (status == WHET_OK) whet_label_analysis_destroy(ctx, &a);
    return status;
}

static void reports_are_whole_and_escaped(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static char text[1 << 16];
    test_ok(ctx, whet_votes_write(ctx, test_tmp("v.npy"), true, &few_votes));
    (void)test_write_text("t.tsv", "row\tlabel\n0\t0\n1\t0\n3\t1\n");
    (void)test_write_text("rules.txt", "<b>one</b>\ntwo & more\nthree\n");
    test_ok(ctx, analyze(ctx, NULL));
    FILE *f = fopen(test_tmp("r.html"), "rb");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    (void)fclose(f);
    assert_null(strstr(text, "<b>one"));
    assert_non_null(strstr(text, "&lt;b&gt;one&lt;/b&gt;"));
    assert_non_null(strstr(text, "two &amp; more"));
    assert_non_null(strstr(text, "</html>"));
    assert_null(strstr(text, "nan"));
    assert_true(test_each_allocation(analyze, NULL) > 20);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(summary_by_hand),
        cmocka_unit_test(lists_and_threads_sum_alike),
        cmocka_unit_test(explanations_add_up),
        cmocka_unit_test(planted_copies_are_found),
        cmocka_unit_test(reports_are_whole_and_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
