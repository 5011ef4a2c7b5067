/* SPDX-License-Identifier: Apache-2.0
 * Label models against the vectors of the reference implementations (snorkel 0.10, flyingsquid, and
 * a plain Dawid-Skene in numpy). Tolerances are the specification's, section 9.2; reasons stand at
 * each. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "label/vote_model.h"
#include "whet/io.h"

/* Files of the folder that hold votes. */
typedef struct sets {
    char **file;
    int64_t n;
} sets;

static sets find_sets(void) {
    sets all = {0};
    whet_ctx *ctx = test_ctx(1);
    const int64_t files = test_shared_files("golden/autows", "", ".npz", &all.file);
    for (int64_t i = 0; i < files; i++) {
        char spec[1024];
        whet_tensor votes;
        char *file = all.file[i];
        (void)snprintf(spec, sizeof spec, "%s:P_mv", test_shared(file));
        const bool has = whet_array_read(ctx, spec, &votes) == WHET_OK;
        if (has) whet_tensor_destroy(ctx, &votes);
        if (!has) free(file);
        if (has) all.file[all.n++] = file;
    }
    test_ctx_done(ctx);
    test_need_some(all.n, "votes of rules");
    return all;
}

/* A set's votes, classes' balance and truth. */
typedef struct problem {
    const char *name;
    whet_votes votes;
    whet_tensor l, p;
} problem;

static whet_tensor array_of(whet_ctx *ctx, const char *set, const char *key, whet_dtype dtype,
                            int32_t rank) {
    char spec[1024];
    whet_tensor out = {0};
    (void)snprintf(spec, sizeof spec, "%s:%s", test_shared(set), key);
    test_ok(ctx, whet_array_read_as(ctx, spec, dtype, rank, false, &out));
    return out;
}

static problem open_problem(whet_ctx *ctx, const char *set) {
    problem q = {.name = set};
    q.l = array_of(ctx, set, "L", WHET_I8, 2);
    q.p = array_of(ctx, set, "p", WHET_F64, 1);
    q.votes =
        (whet_votes){.n = q.l.shape[0], .m = q.l.shape[1], .k = q.p.shape[0], .narrow = q.l.data};
    return q;
}

static void close_problem(whet_ctx *ctx, problem *q) {
    whet_tensor_destroy(ctx, &q->l);
    whet_tensor_destroy(ctx, &q->p);
}

/* The largest difference to the array `key`, which must be within `tolerance`. */
static void agrees(whet_ctx *ctx, const problem *q, const char *key, const double *got,
                   int64_t count, int32_t rank, double tolerance) {
    whet_tensor want = array_of(ctx, q->name, key, WHET_F64, rank);
    const double *w = want.data;
    double worst = 0;
    assert_int_equal(whet_tensor_count(&want), count);
    for (int64_t i = 0; i < count; i++) {
        const double off = fabs(got[i] - w[i]);
        worst = off > worst || isnan(off) ? off : worst;
    }
    if (!(worst <= tolerance))
        fail_msg("%s: %s is off by %g; expected at most %g", q->name, key, worst, tolerance);
    whet_tensor_destroy(ctx, &want);
}

static void labels_agree(whet_ctx *ctx, const problem *q, const char *key, const double *probs) {
    whet_tensor want = array_of(ctx, q->name, key, WHET_I32, 1);
    int32_t *got;
    test_ok(ctx, whet_i_alloc(ctx, q->votes.n, &got));
    test_ok(ctx, whet_hard_labels(ctx, probs, q->votes.n, q->votes.k, WHET_TIE_HASH, 0, got));
    assert_memory_equal(got, want.data, (size_t)q->votes.n * sizeof *got);
    whet_i_free(ctx, got);
    whet_tensor_destroy(ctx, &want);
}

static double *fit(whet_ctx *ctx, const problem *q, const whet_label_model_opts *opts,
                   whet_label_model **model) {
    double *probs;
    test_ok(ctx, whet_i_alloc(ctx, q->votes.n * q->votes.k, &probs));
    test_ok(ctx, whet_label_model_fit(ctx, &q->votes, opts, model));
    test_ok(ctx, whet_label_model_predict(ctx, *model, &q->votes, probs));
    return probs;
}

static void majority_is_exact(void **state) {
    (void)state;
    const sets all = find_sets();
    whet_ctx *ctx = test_ctx(1);
    for (int64_t s = 0; s < all.n; s++) {
        problem q = open_problem(ctx, all.file[s]);
        whet_label_model_opts opts = WHET_LABEL_MODEL_OPTS_INIT;
        whet_label_model *model;
        double *probs = fit(ctx, &q, &opts, &model);
        agrees(ctx, &q, "P_mv", probs, q.votes.n * q.votes.k, 2, 0);
        labels_agree(ctx, &q, "pred_mv", probs);
        whet_label_model_destroy(ctx, model);
        whet_i_free(ctx, probs);
        close_problem(ctx, &q);
    }
    test_free_files(all.file, all.n);
    test_ctx_done(ctx);
}

/* Coverage, overlaps, conflicts, accuracy, P(vote | class): exact, being quotients of integers. */
static void summaries_are_exact(void **state) {
    (void)state;
    const sets all = find_sets();
    whet_ctx *ctx = test_ctx(1);
    for (int64_t s = 0; s < all.n; s++) {
        problem q = open_problem(ctx, all.file[s]);
        const int64_t m = q.votes.m, k = q.votes.k, cells = m * (k + 1) * k;
        whet_tensor y = array_of(ctx, q.name, "Y", WHET_I32, 1);
        whet_rule_summary *rules;
        whet_votes_totals totals;
        int64_t *by_class, *confusion, *of_class;
        double *column[5], *shares;
        for (int c = 0; c < 5; c++) test_ok(ctx, whet_i_alloc(ctx, m, &column[c]));
        test_ok(ctx, whet_i_alloc(ctx, m, &rules));
        test_ok(ctx, whet_i_calloc(ctx, k, &of_class));
        test_ok(ctx, whet_i_alloc(ctx, m * k, &by_class));
        test_ok(ctx, whet_i_alloc(ctx, cells, &confusion));
        test_ok(ctx, whet_i_alloc(ctx, cells, &shares));
        test_ok(ctx, whet_votes_summary(ctx, &q.votes, y.data, rules, by_class, &totals));
        test_ok(ctx, whet_votes_confusion(ctx, &q.votes, y.data, confusion));
        for (int64_t i = 0; i < q.votes.n; i++) of_class[((const int32_t *)y.data)[i]]++;
        for (int64_t j = 0; j < m; j++) {
            column[0][j] = (double)rules[j].votes / (double)q.votes.n;
            column[1][j] = (double)rules[j].overlaps / (double)q.votes.n;
            column[2][j] = (double)rules[j].conflicts / (double)q.votes.n;
            column[3][j] = (double)rules[j].correct;
            column[4][j] = (double)rules[j].incorrect;
            for (int64_t v = 0; v <= k; v++)
                for (int64_t c = 0; c < k; c++)
                    shares[(j * (k + 1) + v) * k + c] =
                        (double)confusion[(j * (k + 1) + v) * k + c] / (double)of_class[c];
        }
        agrees(ctx, &q, "lfa_coverage", column[0], m, 1, 0);
        agrees(ctx, &q, "lfa_overlaps", column[1], m, 1, 0);
        agrees(ctx, &q, "lfa_conflicts", column[2], m, 1, 0);
        agrees(ctx, &q, "lfa_correct", column[3], m, 1, 0);
        agrees(ctx, &q, "lfa_incorrect", column[4], m, 1, 0);
        for (int64_t j = 0; j < m; j++) column[0][j] = rules[j].accuracy;
        agrees(ctx, &q, "lfa_empacc", column[0], m, 1, 0x1p-52); /* theirs is (1 + mean) / 2 */
        agrees(ctx, &q, "lfa_probs", shares, cells, 3, 1e-15);
        for (int c = 0; c < 5; c++) whet_i_free(ctx, column[c]);
        whet_i_free(ctx, rules);
        whet_i_free(ctx, of_class);
        whet_i_free(ctx, by_class);
        whet_i_free(ctx, confusion);
        whet_i_free(ctx, shares);
        whet_tensor_destroy(ctx, &y);
        close_problem(ctx, &q);
    }
    test_free_files(all.file, all.n);
    test_ctx_done(ctx);
}

/* mu to 1e-5 and posteriors to 1e-4 (theirs are f32): the package's runs of 100 and 500 epochs, with
 * the balance of the data and an even one. 5000 epochs drift to 1e-5 and 1e-3 in f32. */
static void snorkel_follows_the_package(void **state) {
    (void)state;
    static const struct {
        const char *tag;
        int64_t epochs;
        bool even;
        double mu, posterior;
    } runs[] = {{"e100", 100, false, 1e-6, 1e-5},
                {"e500", 500, false, 1e-6, 1e-5},
                {"e5000", 5000, false, 2e-5, 1e-3},
                {"e500_uniform", 500, true, 1e-6, 1e-5}};
    const sets all = find_sets();
    whet_ctx *ctx = test_ctx(1);
    for (int64_t s = 0; s < all.n; s++) {
        problem q = open_problem(ctx, all.file[s]);
        const int64_t cells = q.votes.m * q.votes.k * q.votes.k;
        for (int64_t r = 0; r < WHET_COUNT_OF(runs); r++) {
            if (runs[r].epochs > 500 && cells > 1000) continue; /* seconds under sanitizers */
            whet_label_model_opts opts = WHET_LABEL_MODEL_OPTS_INIT;
            whet_label_model *model;
            whet_label_model_info info;
            char key[64];
            opts.method = WHET_LABEL_SNORKEL;
            opts.balance = runs[r].even ? NULL : q.p.data;
            opts.epochs = runs[r].epochs;
            double *probs = fit(ctx, &q, &opts, &model);
            whet_label_model_get_info(model, &info);
            (void)snprintf(key, sizeof key, "mu_snorkel_%s", runs[r].tag);
            agrees(ctx, &q, key, model->likely, cells, 2, runs[r].mu);
            (void)snprintf(key, sizeof key, "P_snorkel_%s", runs[r].tag);
            agrees(ctx, &q, key, probs, q.votes.n * q.votes.k, 2, runs[r].posterior);
            (void)snprintf(key, sizeof key, "w_snorkel_%s", runs[r].tag);
            agrees(ctx, &q, key, info.accuracy, q.votes.m, 1, runs[r].mu);
            (void)snprintf(key, sizeof key, "pred_snorkel_%s", runs[r].tag);
            labels_agree(ctx, &q, key, probs);
            whet_label_model_destroy(ctx, model);
            whet_i_free(ctx, probs);
        }
        close_problem(ctx, &q);
    }
    test_free_files(all.file, all.n);
    test_ctx_done(ctx);
}

/* The package's exponent to 1e-12, and the right one against the closed form in numpy. */
static void flyingsquid_is_the_closed_form(void **state) {
    (void)state;
    const sets all = find_sets();
    whet_ctx *ctx = test_ctx(1);
    for (int64_t s = 0; s < all.n; s++) {
        problem q = open_problem(ctx, all.file[s]);
        const int64_t count = q.votes.n * q.votes.k;
        for (int form = 0; form < (q.votes.k == 2 ? 4 : 2); form++) {
            static const char *const two[] = {"fsown_triplet_mean", "fs_triplet_mean",
                                              "fsown_triplet_median", "fs_triplet_median"};
            static const char *const more[] = {"fsown_ovr_norm", "fs_ovr_softmax_wrench"};
            whet_label_model_opts opts = WHET_LABEL_MODEL_OPTS_INIT;
            whet_label_model *model;
            char key[64];
            opts.method = WHET_LABEL_FLYINGSQUID;
            opts.balance = q.p.data;
            opts.compat = form % 2 == 1;
            opts.median = form >= 2;
            double *probs = fit(ctx, &q, &opts, &model);
            (void)snprintf(key, sizeof key, "P_%s", q.votes.k == 2 ? two[form] : more[form]);
            agrees(ctx, &q, key, probs, count, 2, 1e-12);
            (void)snprintf(key, sizeof key, "pred_%s", q.votes.k == 2 ? two[form] : more[form]);
            labels_agree(ctx, &q, key, probs);
            whet_label_model_destroy(ctx, model);
            whet_i_free(ctx, probs);
        }
        close_problem(ctx, &q);
    }
    test_free_files(all.file, all.n);
    test_ctx_done(ctx);
}

/* theta as numpy has it, [m, k, k + 1] with abstaining first, from P(vote | class). */
static void theta_agrees(whet_ctx *ctx, const problem *q, const char *tag, bool abstains,
                         const whet_label_model *model, const double *coverage) {
    const int64_t m = q->votes.m, k = q->votes.k;
    double *theta;
    char key[64];
    test_ok(ctx, whet_i_alloc(ctx, m * k * (k + 1), &theta));
    for (int64_t j = 0; j < m; j++)
        for (int64_t c = 0; c < k; c++) {
            double *row = theta + (j * k + c) * (k + 1);
            row[0] = abstains ? 1 : 0;
            for (int64_t v = 0; v < k; v++) {
                row[v + 1] = model->likely[(j * k + v) * k + c] / (abstains ? 1 : coverage[j]);
                row[0] -= abstains ? row[v + 1] : 0;
            }
        }
    (void)snprintf(key, sizeof key, "theta_%s", tag);
    agrees(ctx, q, key, theta, m * k * (k + 1), 3, 1e-9);
    whet_i_free(ctx, theta);
}

/* After as many steps as numpy took by the same rule; 1e-9 is what sums of thousands of rows in
 * another order leave after a hundred steps. Rows as they are and joined give the same. */
static void dawid_skene_follows_numpy(void **state) {
    (void)state;
    static const struct {
        const char *tag;
        double smoothing;
        bool ignores;
    } runs[] = {{"ds_own", 0, false}, {"ds_own_smooth", 1, false}, {"ds_own_condabs", 0, true}};
    const sets all = find_sets();
    whet_ctx *ctx = test_ctx(1);
    for (int64_t s = 0; s < all.n; s++) {
        problem q = open_problem(ctx, all.file[s]);
        for (int64_t r = 0; r < 2 * WHET_COUNT_OF(runs); r++) {
            whet_label_model_opts opts = WHET_LABEL_MODEL_OPTS_INIT;
            whet_label_model *model;
            whet_label_model_info info;
            char key[64];
            opts.method = WHET_LABEL_DAWID_SKENE;
            opts.smoothing = runs[r / 2].smoothing;
            opts.ignore_abstains = runs[r / 2].ignores;
            opts.learn_balance = opts.keep_uncovered = true;
            opts.no_joining = r % 2 == 1;
            double *probs = fit(ctx, &q, &opts, &model);
            whet_label_model_get_info(model, &info);
            (void)snprintf(key, sizeof key, "ll_%s", runs[r / 2].tag);
            whet_tensor ll = array_of(ctx, q.name, key, WHET_F64, 1);
            const double last = ((const double *)ll.data)[ll.shape[0] - 1];
            /* where the rules leave nothing open the likelihood is 1, and its change is rounding */
            if (info.steps != ll.shape[0] && fabs(last) > 1e-9)
                fail_msg("%s %s: %d steps; expected %d", q.name, key, (int)info.steps,
                         (int)ll.shape[0]);
            assert_true(fabs(-info.loss - last) <= 1e-9 * (1 + fabs(last)));
            whet_tensor_destroy(ctx, &ll);
            (void)snprintf(key, sizeof key, "P_%s", runs[r / 2].tag);
            agrees(ctx, &q, key, probs, q.votes.n * q.votes.k, 2, 1e-9);
            (void)snprintf(key, sizeof key, "prior_%s", runs[r / 2].tag);
            agrees(ctx, &q, key, info.balance, q.votes.k, 1, 1e-9);
            theta_agrees(ctx, &q, runs[r / 2].tag, !opts.ignore_abstains, model, info.coverage);
            whet_label_model_destroy(ctx, model);
            whet_i_free(ctx, probs);
        }
        close_problem(ctx, &q);
    }
    test_free_files(all.file, all.n);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(majority_is_exact),
        cmocka_unit_test(summaries_are_exact),
        cmocka_unit_test(snorkel_follows_the_package),
        cmocka_unit_test(flyingsquid_is_the_closed_form),
        cmocka_unit_test(dawid_skene_follows_numpy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
