/* SPDX-License-Identifier: Apache-2.0
 * Rules from the classes' own vectors: by hand, against thresholds tried one by one, and what they must
 * not mind. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "label/label_i.h"
#include "label/rules_i.h"

enum { N = 240, D = 6, K = 3, FOLDS = 5 };

typedef struct planted {
    float x[N * D], vectors[K * D];
    int32_t truth[N], labels[N];
} planted;

static whet_names *class_names(whet_ctx *ctx, int k) {
    whet_names *names;
    test_ok(ctx, whet_names_create(ctx, &names));
    for (int c = 0; c < k; c++) {
        char name[16];
        (void)snprintf(name, sizeof name, "c%d", c);
        test_ok(ctx, whet_names_add(ctx, names, whet_str_from(name), NULL));
    }
    return names;
}

/* Rows lie around axis c with noise; class 2 around where nobody is near, too. */
static void plant(planted *p, uint64_t seed) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, 0);
    memset(p, 0, sizeof *p);
    for (int c = 0; c < K; c++) p->vectors[c * D + c] = 1;
    for (int i = 0; i < N; i++) {
        p->truth[i] = (int32_t)whet_i_rng_below(&rng, K);
        p->labels[i] = i % 3 == 0 ? p->truth[i] : -1;
        for (int j = 0; j < D; j++)
            p->x[i * D + j] = (float)(.7 * whet_i_rng_normal(&rng) + (j == p->truth[i] ? 1 : 0));
    }
}

/* ---- by hand ---------------------------------------------------------------------------------- */

/* Cosines to class 0: 1, .96, .8, .6, 0; to class 1: 0, .28, .6, .8, 1. Without labels the nearer half
 * (of three: two) of the rows that are nearest to class 0, and of two the nearer one. */
static void half_of_the_nearest_rows_without_labels(void **state) {
    (void)state;
    static const float x[10] = {2, 0, .96f, .28f, .8f, .6f, .3f, .4f, 0, 7},
                       vectors[4] = {3, 0, 0, .5f};
    static const int32_t expected[10] = {0, -1, 0, -1, -1, -1, -1, -1, -1, 1};
    whet_ctx *ctx = test_ctx(1);
    whet_names *classes = class_names(ctx, 2);
    const whet_synth_input input = {x, 5, 2, classes, NULL, 0};
    whet_rules *rules;
    whet_synth_report report;
    int32_t votes[10];
    test_ok(ctx, whet_similarity_rules(ctx, &input, vectors, &rules, &report));
    const whet_rules_input rows = {.features = x, .d = 2, .n = 5};
    test_ok(ctx, whet_rules_apply(ctx, rules, &rows, votes, NULL));
    assert_memory_equal(votes, expected, sizeof votes);
    assert_string_equal(whet_rules_name(rules, 1).ptr, "similar to c1");
    assert_true(isnan(report.accuracy) && isnan(report.log_loss) && report.labelled == 0 &&
                report.rules == 2);
    whet_rules_destroy(ctx, rules);
    whet_names_destroy(ctx, classes);
    test_ctx_done(ctx);
}

/* One label cannot be left out: it alone says that all rows nearest to class 0 may be voted on. */
static void one_label_is_enough_for_its_class(void **state) {
    (void)state;
    static const float x[10] = {2, 0, .96f, .28f, .8f, .6f, .3f, .4f, 0, 7},
                       vectors[4] = {3, 0, 0, .5f};
    static const int32_t labels[5] = {-1, 0, -1, -1, -1};
    static const int32_t expected[10] = {0, -1, 0, -1, 0, -1, -1, -1, -1, 1};
    whet_ctx *ctx = test_ctx(1);
    whet_names *classes = class_names(ctx, 2);
    const whet_synth_input input = {x, 5, 2, classes, labels, 0};
    whet_rules *rules;
    int32_t votes[10];
    test_ok(ctx, whet_similarity_rules(ctx, &input, vectors, &rules, NULL));
    const whet_rules_input rows = {.features = x, .d = 2, .n = 5};
    test_ok(ctx, whet_rules_apply(ctx, rules, &rows, votes, NULL));
    assert_memory_equal(votes, expected, sizeof votes);
    whet_rules_destroy(ctx, rules);
    whet_names_destroy(ctx, classes);
    test_ctx_done(ctx);
}

/* ---- thresholds tried one by one --------------------------------------------------------------- */

static double cosine(const planted *p, int64_t i, int c) {
    double dot = 0, square = 0, own = 0;
    for (int j = 0; j < D; j++) {
        dot += (double)p->x[i * D + j] * (double)p->vectors[c * D + j];
        square += (double)p->x[i * D + j] * (double)p->x[i * D + j];
        own += (double)p->vectors[c * D + j] * (double)p->vectors[c * D + j];
    }
    return dot / sqrt(own) / sqrt(square);
}

static int nearest(const planted *p, int64_t i) {
    int best = 0;
    for (int c = 1; c < K; c++)
        if (cosine(p, i, c) > cosine(p, i, best)) best = c;
    return best;
}

/* F1 of class c with threshold t on the labelled rows that are not of fold `out`. */
static double f1_of(const planted *p, const int64_t *row, const int32_t *fold, int64_t b, int out,
                    int c, double t) {
    int right = 0, voted = 0, all = 0;
    for (int64_t at = 0; at < b; at++) {
        if (fold[at] == out) continue;
        const bool votes = nearest(p, row[at]) == c && cosine(p, row[at], c) >= t;
        all += p->labels[row[at]] == c;
        voted += votes;
        right += votes && p->labels[row[at]] == c;
    }
    return 2. * right / (voted + all);
}

static int by_number(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Without labels that tell: the upper middle of all rows nearest to class c. */
static double usual_of(const planted *p, int c) {
    double sorted[N];
    int count = 0;
    for (int i = 0; i < N; i++)
        if (nearest(p, i) == c) sorted[count++] = cosine(p, i, c);
    qsort(sorted, (size_t)count, sizeof *sorted, by_number);
    return sorted[count / 2];
}

/* Thresholds a hair above each row in turn, and -1; the best, of equals the lowest, then put halfway between
 * its neighbours. */
static double best_of(const planted *p, const int64_t *row, const int32_t *fold, int64_t b, int out,
                      int c) {
    double best = f1_of(p, row, fold, b, out, c, -1), least = -1, above = 2;
    for (int64_t at = 0; at < b; at++) {
        if (fold[at] == out || nearest(p, row[at]) != c) continue;
        const double t = cosine(p, row[at], c) + 1e-9;
        const double f1 = f1_of(p, row, fold, b, out, c, t);
        if (f1 < best || (f1 == best && t >= least)) continue;
        best = f1;
        least = t;
    }
    if (!(best > 0)) return usual_of(p, c);
    if (least == -1) return -1;
    for (int64_t at = 0; at < b; at++) {
        if (fold[at] == out || nearest(p, row[at]) != c) continue;
        const double t = cosine(p, row[at], c);
        if (t > least && t < above) above = t;
    }
    return (least - 1e-9) / 2 + above / 2;
}

static void check_thresholds(whet_ctx *ctx, const planted *p) {
    whet_names *classes = class_names(ctx, K);
    const whet_synth_input input = {p->x, N, D, classes, p->labels, 9};
    whet_rules *rules;
    whet_synth_report report;
    whet_i_splits splits;
    int64_t row[N], b = 0, right = 0, silent = 0;
    int32_t y[N];
    for (int i = 0; i < N; i++)
        if (p->labels[i] >= 0) {
            row[b] = i;
            y[b++] = p->labels[i];
        }
    test_ok(ctx, whet_similarity_rules(ctx, &input, p->vectors, &rules, &report));
    test_ok(ctx, whet_i_splits_make(ctx, y, NULL, b, K, 1, FOLDS, 9, &splits));
    double least[K][FOLDS];
    for (int c = 0; c < K; c++) {
        double sorted[FOLDS];
        for (int f = 0; f < FOLDS; f++) least[c][f] = best_of(p, row, splits.fold, b, f, c);
        memcpy(sorted, least[c], sizeof sorted);
        qsort(sorted, FOLDS, sizeof *sorted, by_number);
        /* Sums of six products in another order. */
        assert_true(fabs(rules->rule[c].model.least[c] - sorted[FOLDS / 2]) < 1e-12);
    }
    for (int64_t at = 0; at < b; at++) {
        const int c = nearest(p, row[at]);
        const bool votes = cosine(p, row[at], c) >= least[c][splits.fold[at]];
        right += votes && c == y[at];
        silent += !votes;
    }
    assert_true(report.accuracy == (double)right / (double)b);
    assert_int_equal(report.vague, silent);
    whet_i_splits_free(ctx, &splits);
    whet_rules_destroy(ctx, rules);
    whet_names_destroy(ctx, classes);
}

/* Many labels, and few, of which several thresholds are equally good. */
static void thresholds_are_the_best_of_all(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    planted *p = malloc(sizeof *p);
    assert_non_null(p);
    for (uint64_t seed = 0; seed < 24; seed++) {
        plant(p, 100 + seed);
        for (int i = 0; i < N && seed % 4; i++)
            if (i % (3 * 5) != 0) p->labels[i] = -1;
        check_thresholds(ctx, p);
    }
    free(p);
    test_ctx_done(ctx);
}

/* ---- properties ------------------------------------------------------------------------------- */

static void votes_follow_the_largest_cosine(void **state) {
    (void)state;
    static const int32_t threads[3] = {1, 2, 5};
    planted *p = malloc(sizeof *p);
    int32_t *votes = malloc(sizeof *votes * N * K), *first = malloc(sizeof *first * N * K);
    assert_true(p && votes && first);
    for (int t = 0; t < 4; t++) {
        whet_ctx *ctx = test_ctx(threads[t % 3]);
        whet_names *classes = class_names(ctx, K);
        const char *path = test_tmp("similar.json");
        whet_rules *rules;
        whet_synth_report report;
        plant(p, 2);
        if (t == 3) { /* lengths are nothing: powers of two are exact */
            for (int i = 0; i < N * D; i++) p->x[i] *= i / D % 2 ? 4 : .5f;
            for (int j = 0; j < D; j++) p->vectors[j] *= 8;
        }
        const whet_synth_input input = {p->x, N, D, classes, p->labels, 0};
        test_ok(ctx, whet_similarity_rules(ctx, &input, p->vectors, &rules, &report));
        test_ok(ctx, whet_rules_save(ctx, rules, path, true));
        whet_rules_destroy(ctx, rules);
        test_ok(ctx, whet_rules_load(ctx, path, &rules));
        const whet_rules_input rows = {.features = p->x, .d = D, .n = N};
        test_ok(ctx, whet_rules_apply(ctx, rules, &rows, votes, NULL));
        if (t == 0) memcpy(first, votes, sizeof *first * N * K);
        assert_memory_equal(votes, first, sizeof *first * N * K);
        int64_t right = 0, voted = 0;
        for (int i = 0; i < N; i++)
            for (int c = 0; c < K; c++) {
                const double least = rules->rule[c].model.least[c];
                const bool says = nearest(p, i) == c && cosine(p, i, c) >= least;
                assert_int_equal(votes[i * K + c], says ? c : -1);
                voted += says;
                right += says && c == p->truth[i];
            }
        /* Of all rows, the labelled third among them: within three deviations, 3 sqrt(.2 (1/80 + 1/240)). */
        assert_true(fabs(report.accuracy - (double)right / N) < .17);
        assert_true((double)right / (double)voted > .6); /* nearest mean: 1/sqrt(2)/.7 deviations */
        whet_rules_destroy(ctx, rules);
        whet_names_destroy(ctx, classes);
        test_ctx_done(ctx);
    }
    free(p);
    free(votes);
    free(first);
}

static void unusable_inputs_are_told(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    planted *p = malloc(sizeof *p);
    assert_non_null(p);
    plant(p, 3);
    whet_names *classes = class_names(ctx, K), *one = class_names(ctx, 1);
    whet_rules *rules = NULL;
    whet_synth_input input = {p->x, N, D, classes, p->labels, 0};
    test_fails(ctx, whet_similarity_rules(ctx, &input, NULL, &rules, NULL), WHET_ERR_ARG);
    memset(p->vectors + D, 0, sizeof *p->vectors * D);
    test_fails(ctx, whet_similarity_rules(ctx, &input, p->vectors, &rules, NULL), WHET_ERR_DATA);
    test_says(ctx, "the vector of class 1 is 0");
    p->vectors[D] = NAN;
    test_fails(ctx, whet_similarity_rules(ctx, &input, p->vectors, &rules, NULL), WHET_ERR_DATA);
    p->vectors[D] = 1;
    p->labels[4] = K;
    test_fails(ctx, whet_similarity_rules(ctx, &input, p->vectors, &rules, NULL), WHET_ERR_ARG);
    test_says(ctx, "label of row 4 is 3; expected -1 to 2");
    p->labels[4] = 0;
    p->x[7] = INFINITY;
    test_fails(ctx, whet_similarity_rules(ctx, &input, p->vectors, &rules, NULL), WHET_ERR_DATA);
    test_says(ctx, "row 1");
    input.classes = one;
    test_fails(ctx, whet_similarity_rules(ctx, &input, p->vectors, &rules, NULL), WHET_ERR_ARG);
    input.classes = classes;
    input.d = 1 << 20;
    input.n = 0;
    test_fails(ctx, whet_similarity_rules(ctx, &input, p->vectors, &rules, NULL), WHET_ERR_LIMIT);
    assert_null(rules);
    whet_names_destroy(ctx, classes);
    whet_names_destroy(ctx, one);
    free(p);
    test_ctx_done(ctx);
}

static whet_status whole_run(whet_ctx *ctx, void *arg) {
    const planted *p = arg;
    whet_names *classes = NULL;
    whet_rules *rules = NULL;
    whet_status status = whet_names_create(ctx, &classes);
    for (int c = 0; c < K && status == WHET_OK; c++)
        status = whet_names_add(ctx, classes,
                                whet_str_from(c == 0   ? "a"
                                              : c == 1 ? "b"
                                                       : "c"),
                                NULL);
    const whet_synth_input input = {p->x, N, D, classes, p->labels, 0};
    if (status == WHET_OK) status = whet_similarity_rules(ctx, &input, p->vectors, &rules, NULL);
    whet_rules_destroy(ctx, rules);
    whet_names_destroy(ctx, classes);
    return status;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    planted *p = malloc(sizeof *p);
    assert_non_null(p);
    plant(p, 4);
    assert_true(test_each_allocation(whole_run, p) > 20);
    free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_of_the_nearest_rows_without_labels),
        cmocka_unit_test(one_label_is_enough_for_its_class),
        cmocka_unit_test(thresholds_are_the_best_of_all),
        cmocka_unit_test(votes_follow_the_largest_cosine),
        cmocka_unit_test(unusable_inputs_are_told),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
