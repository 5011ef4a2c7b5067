/* SPDX-License-Identifier: Apache-2.0
 * Label models: hand-computed cases, what the specification says of all of them (section 9.1), a
 * second form of the same sum as oracle. The packages' vectors are in tests/golden/autows. */
#include "support.h"

#include <math.h>

#include "votes_support.h"

static whet_label_model_opts opts_of(whet_label_method method) {
    whet_label_model_opts opts = WHET_LABEL_MODEL_OPTS_INIT;
    opts.method = method;
    return opts;
}

static double *fitted(whet_ctx *ctx, const whet_votes *votes, const whet_label_model_opts *opts) {
    whet_label_model *model;
    double *probs;
    test_ok(ctx, whet_i_alloc(ctx, votes->n * votes->k, &probs));
    test_ok(ctx, whet_label_model_fit(ctx, votes, opts, &model));
    test_ok(ctx, whet_label_model_predict(ctx, model, votes, probs));
    whet_label_model_destroy(ctx, model);
    return probs;
}

static int64_t methods(void) {
    int64_t count = 0;
    while (whet_label_method_name((whet_label_method)count)) count++;
    return count;
}

static void near(double got, double want, double tolerance) {
    if (!(fabs(got - want) <= tolerance)) fail_msg("%.17g; expected %.17g", got, want);
}

static double share_right(const double *probs, const drawn_votes *d) {
    int64_t right = 0;
    for (int64_t i = 0; i < d->votes.n; i++)
        right += whet_i_argmax(probs + i * d->votes.k, d->votes.k) == d->truth[i] ? 1 : 0;
    return (double)right / (double)d->votes.n;
}

static void names_are_found(void **state) {
    (void)state;
    whet_label_method found = WHET_LABEL_MAJORITY;
    assert_true(methods() >= 3);
    for (int64_t i = 0; i < methods(); i++) {
        assert_true(whet_label_method_find(whet_label_method_name((whet_label_method)i), &found));
        assert_int_equal(found, i);
    }
    assert_false(whet_label_method_find("magic", &found));
}

static void majority_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const int8_t l[] = {0, 0, 1, 0, 2, -1, -1, -1, -1, 1, -1, -1};
    const whet_votes votes = {.n = 4, .m = 3, .k = 3, .narrow = l};
    whet_label_model_opts opts = opts_of(WHET_LABEL_MAJORITY);
    double *probs = fitted(ctx, &votes, &opts);
    const double top[] = {1, 0, 0, .5, 0, .5, 1. / 3, 1. / 3, 1. / 3, 0, 1, 0};
    for (int i = 0; i < 12; i++) near(probs[i], top[i], 0);
    whet_i_free(ctx, probs);
    opts.share = true;
    probs = fitted(ctx, &votes, &opts);
    const double share[] = {2. / 3, 1. / 3, 0, .5, 0, .5, 1. / 3, 1. / 3, 1. / 3, 0, 1, 0};
    for (int i = 0; i < 12; i++) near(probs[i], share[i], 0);
    whet_i_free(ctx, probs);
    test_ctx_done(ctx);
}

static void weighted_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const int8_t l[] = {0, 1, 1, 0, -1, -1};
    const whet_votes votes = {.n = 2, .m = 3, .k = 2, .narrow = l};
    const double accuracy[] = {.9, .6, .7}, balance[] = {1, 3};
    whet_label_model_opts opts = opts_of(WHET_LABEL_WEIGHTED);
    opts.accuracy = accuracy;
    opts.balance = balance;
    double *probs = fitted(ctx, &votes, &opts);
    const double odds = 1. / 3 * (.9 / .1) / ((.6 / .4) * (.7 / .3)), second = 1. / 3 * 9;
    near(probs[0], odds / (1 + odds), 1e-15);
    near(probs[2], second / (1 + second), 1e-15);
    whet_i_free(ctx, probs);
    /* counted on labels: rule 0 right once of once, rules 1 and 2 wrong once; two votes at .7 */
    const int32_t labels[] = {0, -1};
    whet_label_model *model;
    whet_label_model_info info;
    opts = opts_of(WHET_LABEL_WEIGHTED);
    opts.labels = labels;
    test_ok(ctx, whet_label_model_fit(ctx, &votes, &opts, &model));
    whet_label_model_get_info(model, &info);
    near(info.accuracy[0], 2.4 / 3, 1e-15);
    near(info.accuracy[1], 1.4 / 3, 1e-15);
    near(info.balance[0], 2. / 3, 1e-15); /* (1 + 1) / (1 + 2) */
    near(info.coverage[1], .5, 0);
    whet_label_model_destroy(ctx, model);
    /* agreement with the others: rule 1 is alone against a tie, rule 0 against two */
    opts = opts_of(WHET_LABEL_WEIGHTED);
    test_ok(ctx, whet_label_model_fit(ctx, &votes, &opts, &model));
    whet_label_model_get_info(model, &info);
    near(info.accuracy[0], 1.4 / 3, 1e-15);
    near(info.accuracy[1], 1.4 / 2, 1e-15);
    whet_label_model_destroy(ctx, model);
    test_ctx_done(ctx);
}

/* Every method on rows in another order, rules in another order, classes renamed, rows doubled, and
 * a rule that never votes: the same answers, moved. Renaming classes moves sums, hence a tolerance;
 * optimisers amplify what differs in the last bits. */
static void answers_move_with_rows_rules_and_classes(void **state) {
    (void)state;
    enum { N = 300, M = 6, K = 3 };
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, N, M, K, 3);
    static int8_t turned[N * M], renamed[N * M], doubled[2 * N * M], more[N * (M + 1)];
    static const int8_t to[] = {2, 0, 1};
    for (int i = 0; i < N; i++)
        for (int j = 0; j < M; j++) {
            const int8_t v = d.narrow[i * M + j];
            turned[(N - 1 - i) * M + (M - 1 - j)] = v;
            renamed[i * M + j] = v < 0 ? v : to[v];
            doubled[i * M + j] = doubled[(N + i) * M + j] = v;
            more[i * (M + 1) + j + (j >= 2 ? 1 : 0)] = v;
            more[i * (M + 1) + 2] = -1;
        }
    for (int64_t m = 0; m < methods(); m++) {
        whet_label_model_opts opts = opts_of((whet_label_method)m);
        opts.smoothing = 0; /* or doubled rows would outweigh it */
        whet_votes v = d.votes;
        double *base = fitted(ctx, &v, &opts);
        v.narrow = turned;
        double *other = fitted(ctx, &v, &opts);
        for (int i = 0; i < N; i++)
            for (int c = 0; c < K; c++) near(other[(N - 1 - i) * K + c], base[i * K + c], 1e-7);
        whet_i_free(ctx, other);
        v.narrow = renamed;
        other = fitted(ctx, &v, &opts);
        for (int i = 0; i < N; i++)
            for (int c = 0; c < K; c++) near(other[i * K + to[c]], base[i * K + c], 1e-7);
        whet_i_free(ctx, other);
        v = (whet_votes){.n = 2 * N, .m = M, .k = K, .narrow = doubled};
        other = fitted(ctx, &v, &opts);
        for (int i = 0; i < N * K; i++) {
            near(other[i], other[N * K + i], 0);
            if (m != WHET_LABEL_WEIGHTED && m != WHET_LABEL_IBCC) /* they have counts beforehand */
                near(other[i], base[i], 1e-7);
        }
        whet_i_free(ctx, other);
        v = (whet_votes){.n = N, .m = M + 1, .k = K, .narrow = more};
        other = fitted(ctx, &v, &opts);
        for (int i = 0; i < N * K; i++) near(other[i], base[i], 1e-7);
        whet_i_free(ctx, other);
        whet_i_free(ctx, base);
    }
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

static void forms_and_threads_give_equal_bits(void **state) {
    (void)state;
    enum { N = 9000, M = 7, K = 4 };
    static const int32_t threads[] = {1, 2, 5};
    double *first = NULL;
    whet_ctx *owner = test_ctx(1);
    drawn_votes d = draw_votes(owner, N, M, K, 4);
    int32_t *wide;
    const whet_votes as_wide = wide_form(owner, &d.votes, &wide);
    listed_votes list = list_form(owner, &d.votes);
    const whet_votes *forms[] = {&d.votes, &as_wide, &list.votes};
    for (int64_t m = 0; m < methods(); m++) {
        const whet_label_model_opts opts = opts_of((whet_label_method)m);
        for (int t = 0; t < 3; t++)
            for (int f = 0; f < 3; f++) {
                whet_ctx *ctx = test_ctx(threads[t]);
                double *probs = fitted(ctx, forms[f], &opts);
                if (!first) {
                    test_ok(owner, whet_i_alloc(owner, N * K, &first));
                    memcpy(first, probs, sizeof *first * N * K);
                    assert_true(share_right(probs, &d) > .8);
                }
                assert_memory_equal(first, probs, sizeof *first * N * K);
                whet_i_free(ctx, probs);
                test_ctx_done(ctx);
            }
        whet_i_free(owner, first);
        first = NULL;
    }
    free_list(owner, &list);
    whet_i_free(owner, wide);
    free_votes(owner, &d);
    test_ctx_done(owner);
}

/* One rule that is always right among five that guess or nearly: every model that learns from more
 * than agreement with the majority says what it says. Not flyingsquid: the moments of two that guess
 * are noise, and it divides by them. */
static void a_perfect_rule_among_noise_wins(void **state) {
    (void)state;
    enum { N = 4000, M = 6, K = 2 };
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, N, M, K, 6);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 1, 0);
    /* two more that see something: of noise alone nobody can say which rule is the perfect one */
    for (int64_t i = 0; i < N; i++)
        for (int64_t j = 0; j < M; j++) {
            const double right = j == 0 ? 1 : j < 3 ? .65 : .5;
            d.narrow[i * M + j] =
                (int8_t)(whet_i_rng_uniform(&rng) < right ? d.truth[i] : 1 - d.truth[i]);
        }
    for (int64_t m = WHET_LABEL_SNORKEL; m < methods(); m++) {
        const whet_label_model_opts opts = opts_of((whet_label_method)m);
        double *probs = fitted(ctx, &d.votes, &opts);
        const double right = share_right(probs, &d), least = m == WHET_LABEL_FLYINGSQUID ? .8 : .99;
        if (!(right > least)) fail_msg("%s: %g", whet_label_method_name(opts.method), right);
        whet_i_free(ctx, probs);
    }
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

/* With every row labelled nothing is hidden: confusion matrices are counts, and a posterior is theirs.
 * Two rules that cover all; 8 rows. Rule 0 is right on 3 of 4 rows of class 0 and 4 of 4 of class 1;
 * rule 1 on 2 and 3. */
static const int8_t labelled_votes[] = {0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0};
static const int32_t all_labels[] = {0, 0, 0, 0, 1, 1, 1, 1};

static void labels_alone_give_counts(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const whet_votes votes = {.n = 8, .m = 2, .k = 2, .narrow = labelled_votes};
    whet_label_model_opts opts = opts_of(WHET_LABEL_DAWID_SKENE);
    opts.labels = all_labels;
    opts.smoothing = 0;
    double *probs = fitted(ctx, &votes, &opts);
    near(probs[0], 1, 1e-15);                               /* class 1 never gave (0, 0) */
    near(probs[2 * 3], .25 * .5 / (.25 * .5 + .75), 1e-15); /* (1, 1), both 1/2 before */
    whet_i_free(ctx, probs);
    opts.smoothing = 1; /* with 1 more of each of three symbols */
    probs = fitted(ctx, &votes, &opts);
    near(probs[0], 4. * 3 / (4. * 3 + 1. * 2), 1e-12);
    whet_i_free(ctx, probs);
    opts = opts_of(WHET_LABEL_ONE_COIN);
    opts.labels = all_labels;
    opts.smoothing = 0;
    probs = fitted(ctx, &votes, &opts);
    const double a = 7. / 8, b = 5. / 8, both = a * b, none = (1 - a) * (1 - b);
    near(probs[0], both / (both + none), 1e-15);
    whet_i_free(ctx, probs);
    /* psi(n + 1) - psi(n) = 1 / n: of class 0 in row (0, 0) psi(4+3) - psi(10) + psi(4+2) - psi(10),
     * of class 1 psi(1) - psi(10) + psi(2) - psi(10), abstaining counted 1 in both. */
    opts = opts_of(WHET_LABEL_IBCC);
    opts.labels = all_labels;
    probs = fitted(ctx, &votes, &opts);
    double odds = 0;
    for (int n = 1; n < 7; n++) odds += 1. / n;
    for (int n = 2; n < 6; n++) odds += 1. / n;
    near(probs[0], 1 / (1 + exp(-odds)), 1e-13);
    whet_i_free(ctx, probs);
    test_ctx_done(ctx);
}

/* Some labels: their rows stay, and what is learned from the others with them is better than what
 * the votes alone give when most rules are worse than chance. */
static void labels_set_a_misled_majority_right(void **state) {
    (void)state;
    enum { N = 3000, M = 5, K = 2 };
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, N, M, K, 15);
    int32_t *labels;
    test_ok(ctx, whet_i_alloc(ctx, N, &labels));
    for (int64_t i = 0; i < N; i++) {
        labels[i] = i < 100 ? d.truth[i] : -1;
        for (int64_t j = 0; j < 4; j++) /* four of five turned round */
            if (d.narrow[i * M + j] >= 0) d.narrow[i * M + j] = (int8_t)(1 - d.narrow[i * M + j]);
    }
    for (whet_label_method m = WHET_LABEL_DAWID_SKENE; m <= WHET_LABEL_IBCC; m++) {
        whet_label_model_opts opts = opts_of(m);
        double *probs = fitted(ctx, &d.votes, &opts);
        const double alone = share_right(probs, &d);
        whet_i_free(ctx, probs);
        opts.labels = labels;
        probs = fitted(ctx, &d.votes, &opts);
        if (!(alone < .3 && share_right(probs, &d) > .85))
            fail_msg("%s: %g alone, %g with labels", whet_label_method_name(m), alone,
                     share_right(probs, &d));
        whet_i_free(ctx, probs);
    }
    whet_i_free(ctx, labels);
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

/* EM never makes the rows less likely (without smoothing, which is not in the likelihood). */
static void likelihood_never_falls(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, 500, 5, 3, 16);
    double before = (double)INFINITY;
    for (int64_t steps = 1; steps < 40; steps++) {
        whet_label_model_opts opts = opts_of(WHET_LABEL_DAWID_SKENE);
        whet_label_model *model;
        whet_label_model_info info;
        opts.smoothing = opts.tolerance = 0;
        opts.most_steps = steps;
        opts.learn_balance = true;
        test_ok(ctx, whet_label_model_fit(ctx, &d.votes, &opts, &model));
        whet_label_model_get_info(model, &info);
        assert_true(info.loss <= before + 1e-9 * fabs(info.loss));
        before = info.loss;
        assert_true(info.steps == steps || steps > 10); /* it ends in the optimum */
        whet_label_model_destroy(ctx, model);
    }
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

/* Of many rows the lists of votes are kept by their length; read anew in every pass they give the same. */
static void many_rows_kept_by_length_change_nothing(void **state) {
    (void)state;
    enum { N = 20000, M = 9, K = 5, TOLD = 300 };
    whet_ctx *ctx = test_ctx(2);
    drawn_votes d = draw_votes(ctx, N, M, K, 19);
    int32_t *labels;
    test_ok(ctx, whet_i_alloc(ctx, N, &labels));
    for (int64_t i = 0; i < N; i++) labels[i] = i < TOLD ? (int32_t)(i % K) : -1;
    for (int form = 0; form < 3; form++) {
        whet_label_model_opts opts = opts_of(WHET_LABEL_DAWID_SKENE);
        opts.most_steps = 5;
        opts.tolerance = 0;
        opts.labels = form == 1 ? labels : NULL;
        opts.keep_uncovered = form == 2;
        double *kept = fitted(ctx, &d.votes, &opts);
        opts.no_joining = true;
        double *plain = fitted(ctx, &d.votes, &opts);
        for (int64_t i = 0; i < N * K; i++) near(kept[i], plain[i], 1e-12);
        whet_i_free(ctx, kept);
        whet_i_free(ctx, plain);
    }
    whet_i_free(ctx, labels);
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

/* Equal rows joined or not; three rules of two classes have 27 patterns. */
static void joined_rows_change_nothing(void **state) {
    (void)state;
    enum { N = 2000, M = 3, K = 2 };
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, N, M, K, 17);
    whet_i_vote_patterns patterns;
    test_ok(ctx, whet_i_vote_patterns_find(ctx, &d.votes, NULL, &patterns));
    assert_true(patterns.votes.n <= 27 && patterns.votes.n > 20);
    int64_t sum = 0;
    for (int64_t p = 0; p < patterns.votes.n; p++) sum += patterns.weight[p];
    assert_int_equal(sum, N);
    whet_i_vote_patterns_free(ctx, &patterns);
    for (whet_label_method m = WHET_LABEL_DAWID_SKENE; m <= WHET_LABEL_IBCC; m++) {
        whet_label_model_opts opts = opts_of(m);
        double *joined = fitted(ctx, &d.votes, &opts);
        opts.no_joining = true;
        double *plain = fitted(ctx, &d.votes, &opts);
        for (int64_t i = 0; i < N * K; i++) near(joined[i], plain[i], 1e-12);
        whet_i_free(ctx, joined);
        whet_i_free(ctx, plain);
    }
    free_votes(ctx, &d);
    d = draw_votes(ctx, N, 9, 5, 18); /* hardly two alike: not worth it */
    test_ok(ctx, whet_i_vote_patterns_find(ctx, &d.votes, NULL, &patterns));
    assert_null(patterns.weight);
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

static void rows_without_votes_get_the_balance(void **state) {
    (void)state;
    enum { N = 400, M = 4, K = 3 };
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, N, M, K, 5);
    const double balance[] = {2, 5, 3};
    memset(d.narrow + 7 * M, -1, M);
    for (int64_t m = 0; m < methods(); m++) {
        whet_label_model_opts opts = opts_of((whet_label_method)m);
        opts.balance = balance;
        double *probs = fitted(ctx, &d.votes, &opts);
        for (int c = 0; c < K; c++) {
            const double want = m == WHET_LABEL_MAJORITY ? 1. / 3 : balance[c] / 10;
            near(probs[7 * K + c], want, 1e-15);
        }
        whet_i_free(ctx, probs);
    }
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

static void few_rules_fall_back_and_say_so(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const int8_t l[] = {0, 1, -1, 1, 0, -1, -1, -1, -1};
    const whet_votes votes = {.n = 3, .m = 3, .k = 2, .narrow = l};
    for (int64_t m = 0; m < methods(); m++) {
        whet_label_model_opts opts = opts_of((whet_label_method)m);
        whet_label_model *model;
        whet_label_model_info info;
        test_ok(ctx, whet_label_model_fit(ctx, &votes, &opts, &model));
        whet_label_model_get_info(model, &info);
        if (info.method != (whet_label_method)m) {
            assert_int_equal(info.method, WHET_LABEL_WEIGHTED);
            assert_non_null(strstr(info.note, "needs votes of 3 rules, and there are 2"));
        }
        assert_int_equal(info.method, m ? WHET_LABEL_WEIGHTED : WHET_LABEL_MAJORITY);
        whet_label_model_destroy(ctx, model);
    }
    test_ctx_done(ctx);
}

/* Two rules say nothing of each other's accuracy, and a third that never votes tells no more. */
static void a_silent_third_rule_changes_nothing(void **state) {
    (void)state;
    enum { N = 200, K = 2 };
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, N, 2, K, 6);
    static int8_t more[N * 3];
    for (int i = 0; i < N; i++) {
        more[i * 3] = d.narrow[i * 2];
        more[i * 3 + 1] = -1;
        more[i * 3 + 2] = d.narrow[i * 2 + 1];
    }
    const whet_votes silent = {.n = N, .m = 3, .k = K, .narrow = more};
    for (int64_t m = 0; m < methods(); m++) {
        const whet_label_model_opts opts = opts_of((whet_label_method)m);
        double *two = fitted(ctx, &d.votes, &opts), *three = fitted(ctx, &silent, &opts);
        assert_memory_equal(two, three, sizeof *two * N * K);
        whet_i_free(ctx, two);
        whet_i_free(ctx, three);
    }
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

static void counts_fit_what_rows_fit(void **state) {
    (void)state;
    enum { N = 900, M = 5, K = 3 };
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, N, M, K, 11);
    whet_label_model_opts opts = opts_of(WHET_LABEL_SNORKEL);
    whet_vote_counts *counts;
    whet_label_model *model;
    double *want = fitted(ctx, &d.votes, &opts), *got;
    test_ok(ctx, whet_i_alloc(ctx, N * K, &got));
    test_ok(ctx, whet_vote_counts_create(ctx, M, K, &counts));
    for (int64_t at = 0; at < N; at += 300) { /* as they arrive */
        const whet_votes part = {.n = 300, .m = M, .k = K, .narrow = d.narrow + at * M};
        test_ok(ctx, whet_vote_counts_add(ctx, counts, &part));
    }
    test_ok(ctx, whet_label_model_fit_counts(ctx, counts, &opts, &model));
    test_ok(ctx, whet_label_model_predict(ctx, model, &d.votes, got));
    assert_memory_equal(got, want, sizeof *got * N * K);
    whet_label_model_destroy(ctx, model);
    opts.labels = d.truth;
    test_fails(ctx, whet_label_model_fit_counts(ctx, counts, &opts, &model), WHET_ERR_ARG);
    opts = opts_of(WHET_LABEL_ONE_COIN);
    test_fails(ctx, whet_label_model_fit_counts(ctx, counts, &opts, &model), WHET_ERR_ARG);
    test_says(ctx, "one-coin from counts alone; expected rows, or one of majority, weighted");
    whet_vote_counts_destroy(ctx, counts);
    whet_i_free(ctx, want);
    whet_i_free(ctx, got);
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

/* The optimum has no gradient, so that more steps of the reference end where the fast one does. */
static void both_optimisers_of_snorkel_meet(void **state) {
    (void)state;
    enum { N = 4000, M = 6, K = 2 };
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, N, M, K, 12);
    whet_label_model_opts opts = opts_of(WHET_LABEL_SNORKEL);
    opts.epochs = 20000;
    double *slow = fitted(ctx, &d.votes, &opts);
    opts.fast = true;
    double *fast = fitted(ctx, &d.votes, &opts);
    for (int64_t i = 0; i < N * K; i++) near(fast[i], slow[i], 1e-4);
    whet_i_free(ctx, fast);
    opts.step = 100; /* at which the epochs diverge: the optimum needs none of them */
    fast = fitted(ctx, &d.votes, &opts);
    for (int64_t i = 0; i < N * K; i++) near(fast[i], slow[i], 1e-4);
    whet_i_free(ctx, slow);
    whet_i_free(ctx, fast);
    opts.fast = false;
    whet_label_model *model = NULL;
    test_fails(ctx, whet_label_model_fit(ctx, &d.votes, &opts, &model), WHET_ERR_NUMERIC);
    test_says(ctx, "smaller rate");
    assert_null(model);
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

/* Of more than two classes the loss has many optima, also as low as one another: it is the one that the
 * reference comes to which counts, for posteriors differ from one to the next. */
static void the_optimum_is_the_one_the_reference_comes_to(void **state) {
    (void)state;
    enum { N = 3000, M = 12, K = 4 };
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, N, M, K, 12);
    whet_label_model_opts opts = opts_of(WHET_LABEL_SNORKEL);
    opts.fast = true;
    double *fast = fitted(ctx, &d.votes, &opts);
    opts.fast = false;
    opts.epochs = 20000;
    double *slow = fitted(ctx, &d.votes, &opts);
    for (int64_t i = 0; i < N * K; i++) near(fast[i], slow[i], 1e-5);
    whet_i_free(ctx, slow);
    whet_i_free(ctx, fast);
    free_votes(ctx, &d);
    /* Votes with two valleys, of .00191655347 (SciPy's L-BFGS-B from the same start, and the reference after
     * 100,000 epochs but for 2e-4 of it) and .00196342874. */
    const char *trec = test_shared("data/trec_rules/L_train.npy");
    if (trec) {
        whet_vote_file *file;
        whet_label_model *model;
        whet_label_model_info info;
        test_ok(ctx, whet_votes_read(ctx, trec, NULL, &file));
        opts = opts_of(WHET_LABEL_SNORKEL);
        opts.fast = true;
        test_ok(ctx, whet_label_model_fit(ctx, whet_vote_file_votes(file), &opts, &model));
        whet_label_model_get_info(model, &info);
        near(info.loss, .0019165534675, 1e-10);
        whet_label_model_destroy(ctx, model);
        whet_vote_file_destroy(ctx, file);
    }
    test_ctx_done(ctx);
}

/* The loss of the start, which the rules' given accuracies move: its differences against the first step,
 * which is the gradient times the rate. Entries off the diagonal start at 0 and do not move. */
static void snorkel_steps_along_its_gradient(void **state) {
    (void)state;
    enum { N = 2000, M = 5, K = 3 };
    const double h = 1e-4, balance[K] = {.5, .2, .3};
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, N, M, K, 19);
    whet_label_model_opts opts = opts_of(WHET_LABEL_SNORKEL);
    double accuracy[M] = {.6, .7, .5, .55, .65}, loss[3];
    opts.accuracy = accuracy;
    opts.balance = balance;
    opts.epochs = 1;
    opts.step = 1e-3;
    for (int j = 0; j < M; j++) {
        double slope = 0;
        for (int side = 0; side < 3; side++) {
            whet_label_model *model;
            whet_label_model_info info;
            accuracy[j] += side == 0 ? 0 : side == 1 ? h : -2 * h;
            test_ok(ctx, whet_label_model_fit(ctx, &d.votes, &opts, &model));
            whet_label_model_get_info(model, &info);
            loss[side] = info.loss;
            for (int c = 0; side == 0 && c < K; c++) {
                int64_t votes = 0;
                for (int i = 0; i < N; i++) votes += d.narrow[i * M + j] == c ? 1 : 0;
                /* start = scale x share x accuracy / balance */
                const double moves = opts.start * (double)votes / N / balance[c];
                const double after = model->likely[((int64_t)j * K + c) * K + c];
                slope += (moves * accuracy[j] - after) / opts.step * moves;
            }
            whet_label_model_destroy(ctx, model);
        }
        accuracy[j] += h;
        const double difference = (loss[1] - loss[2]) / (2 * h);
        near(difference, slope, 1e-6 * fabs(slope) + 1e-9);
        assert_true(fabs(slope) > 1e-3);
    }
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

static void bad_options_are_told(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, 50, 4, 2, 13);
    whet_label_model_opts opts = opts_of(WHET_LABEL_SNORKEL);
    whet_label_model *model = NULL;
    const double zero[] = {1, 0}, nan[] = {(double)NAN, 1}, sure[] = {.5, .5, 2, .5};
    opts.balance = zero;
    test_fails(ctx, whet_label_model_fit(ctx, &d.votes, &opts, &model), WHET_ERR_DATA);
    test_says(ctx, "balance of class 1 is 0");
    opts.balance = nan;
    test_fails(ctx, whet_label_model_fit(ctx, &d.votes, &opts, &model), WHET_ERR_DATA);
    opts = opts_of(WHET_LABEL_SNORKEL);
    opts.accuracy = sure;
    test_fails(ctx, whet_label_model_fit(ctx, &d.votes, &opts, &model), WHET_ERR_DATA);
    test_says(ctx, "accuracy of rule 2 is 2");
    opts = opts_of((whet_label_method)99);
    test_fails(ctx, whet_label_model_fit(ctx, &d.votes, &opts, &model), WHET_ERR_ARG);
    opts = opts_of(WHET_LABEL_SNORKEL);
    opts.epochs = 0;
    test_fails(ctx, whet_label_model_fit(ctx, &d.votes, &opts, &model), WHET_ERR_ARG);
    opts = opts_of(WHET_LABEL_MAJORITY);
    d.truth[3] = 2;
    opts.labels = d.truth;
    test_fails(ctx, whet_label_model_fit(ctx, &d.votes, &opts, &model), WHET_ERR_DATA);
    test_says(ctx, "label of row 3 is 2; expected -1 to 1");
    assert_null(model);
    opts = opts_of(WHET_LABEL_MAJORITY);
    test_ok(ctx, whet_label_model_fit(ctx, &d.votes, &opts, &model));
    double probs[100];
    whet_votes other = d.votes;
    other.m = 2;
    test_fails(ctx, whet_label_model_predict(ctx, model, &other, probs), WHET_ERR_ARG);
    whet_label_model_destroy(ctx, model);
    whet_label_model_destroy(ctx, NULL);
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

typedef struct failing {
    whet_votes votes;
    whet_label_model_opts opts;
} failing;

static whet_status fit_and_predict(whet_ctx *ctx, void *arg) {
    const failing *f = arg;
    whet_label_model *model = NULL;
    double probs[120];
    whet_status status = whet_label_model_fit(ctx, &f->votes, &f->opts, &model);
    if (status == WHET_OK) status = whet_label_model_predict(ctx, model, &f->votes, probs);
    whet_label_model_destroy(ctx, model);
    return status;
}

static void survives_failing_allocations(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, 40, 4, 3, 14);
    for (int64_t m = 0; m < methods(); m++) {
        failing f = {d.votes, opts_of((whet_label_method)m)};
        f.opts.epochs = 3;
        assert_true(test_each_allocation(fit_and_predict, &f) > 5);
        f.opts.fast = true;
        f.opts.labels = d.truth;
        assert_true(test_each_allocation(fit_and_predict, &f) > 5);
    }
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found),
        cmocka_unit_test(majority_by_hand),
        cmocka_unit_test(weighted_by_hand),
        cmocka_unit_test(answers_move_with_rows_rules_and_classes),
        cmocka_unit_test(forms_and_threads_give_equal_bits),
        cmocka_unit_test(a_perfect_rule_among_noise_wins),
        cmocka_unit_test(labels_alone_give_counts),
        cmocka_unit_test(labels_set_a_misled_majority_right),
        cmocka_unit_test(likelihood_never_falls),
        cmocka_unit_test(many_rows_kept_by_length_change_nothing),
        cmocka_unit_test(joined_rows_change_nothing),
        cmocka_unit_test(rows_without_votes_get_the_balance),
        cmocka_unit_test(few_rules_fall_back_and_say_so),
        cmocka_unit_test(a_silent_third_rule_changes_nothing),
        cmocka_unit_test(counts_fit_what_rows_fit),
        cmocka_unit_test(both_optimisers_of_snorkel_meet),
        cmocka_unit_test(the_optimum_is_the_one_the_reference_comes_to),
        cmocka_unit_test(snorkel_steps_along_its_gradient),
        cmocka_unit_test(bad_options_are_told),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
