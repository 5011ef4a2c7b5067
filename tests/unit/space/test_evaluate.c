/* SPDX-License-Identifier: Apache-2.0
 * Measures of predictions over a label space, their paired bootstrap, and the picture of both. */
#include "space_support.h"

#include <stdio.h>

#include "space/picture_i.h"

static void scores_are_apart_for_seen_and_unseen_labels(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *path = NULL;
    test_ok(ctx, whet_i_space_path(ctx, 10, &path));
    const int64_t observed[] = {0, 9};
    const whet_label_set set = {path, observed, 2};
    const int64_t predicted[] = {0, 5, 5, 9, 3}, truth[] = {0, 5, 7, 6, -1};
    const bool in_top[] = {true, true, false, true, true};
    whet_space_scores s;
    test_ok(ctx, whet_space_score(ctx, &set, predicted, in_top, truth, 5, &s));
    assert_int_equal(s.all.rows, 4);
    assert_int_equal(s.seen.rows, 1);
    assert_int_equal(s.unseen.rows, 3);
    assert_near(s.all.mean_squared, (0 + 0 + 4 + 9) / 4., 1e-15);
    assert_near(s.all.mean_distance, (0 + 0 + 2 + 3) / 4., 1e-15);
    assert_near(s.seen.mean_squared, 0, 0);
    assert_near(s.unseen.mean_squared, (0 + 4 + 9) / 3., 1e-15);
    assert_near(s.unseen.mean_distance, (0 + 2 + 3) / 3., 1e-15);
    assert_near(s.all.accuracy, .5, 1e-15);
    assert_near(s.seen.accuracy, 1, 1e-15);
    assert_near(s.unseen.accuracy, 1. / 3, 1e-15);
    assert_near(s.all.top_accuracy, .75, 1e-15);
    assert_near(s.unseen.top_accuracy, 2. / 3, 1e-15);
    test_ok(ctx, whet_space_score(ctx, &set, predicted, NULL, truth, 0, &s));
    assert_true(s.all.rows == 0 && isnan(s.all.accuracy) && isnan(s.all.mean_squared));
    test_ok(ctx, whet_space_score(ctx, &set, predicted, NULL, truth, 1, &s));
    assert_true(isnan(s.all.top_accuracy) && isnan(s.unseen.mean_squared));
    whet_space_destroy(ctx, path);
    test_ctx_done(ctx);
}

/* Predictions of 0 or 1 against label 0 on a path: d^2 = d = 1 - right. Row i of a is wrong with
 * probability .3, of b with .5, independently. */
enum { ROWS = 2000 };
static void made_predictions(int64_t *a, int64_t *b, int64_t *truth) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, 3, 0);
    for (int64_t i = 0; i < ROWS; i++) {
        a[i] = whet_i_rng_uniform(&rng) < .3;
        b[i] = whet_i_rng_uniform(&rng) < .5;
        truth[i] = 0;
    }
}

static void intervals_are_those_of_the_normal_limit(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2), *one = test_ctx(1);
    whet_space *path = NULL;
    int64_t a[ROWS], b[ROWS], truth[ROWS];
    const int64_t observed[] = {0, 2};
    made_predictions(a, b, truth);
    test_ok(ctx, whet_i_space_path(ctx, 3, &path));
    const whet_label_set set = {path, observed, 2};
    whet_space_gains g, same;
    test_ok(ctx, whet_space_compare(ctx, &set, a, b, truth, ROWS, 1, &g));
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < ROWS; i++) {
        sum += (double)(a[i] - b[i]);
        squares += (double)((a[i] - b[i]) * (a[i] - b[i]));
    }
    const double mean = sum / ROWS, error = sqrt((squares / ROWS - mean * mean) / ROWS);
    assert_near(g.all.mean_squared.difference, mean, 1e-12);
    assert_near(g.all.accuracy.difference, -mean, 1e-12);
    /* With 1,000 resamples the ends of a 95 % interval have a standard error of about 4 % of its
     * half width (sqrt(.025 .975 / 1000) over the normal density there, .058); 5 of them. */
    assert_true(fabs(g.all.mean_squared.low - (mean - 1.96 * error)) < .45 * error);
    assert_true(fabs(g.all.mean_squared.high - (mean + 1.96 * error)) < .45 * error);
    assert_true(g.all.mean_squared.low == g.all.mean_distance.low);
    assert_true(fabs(g.all.accuracy.low + g.all.mean_squared.high) < .1 * error);
    /* All labels are seen. */
    assert_near(g.seen.mean_squared.difference, mean, 1e-12);
    assert_true(isnan(g.unseen.mean_squared.low) && isnan(g.unseen.accuracy.difference));
    /* The same at another number of threads; another seed draws others. */
    test_ok(one, whet_space_compare(one, &set, a, b, truth, ROWS, 1, &same));
    assert_true(same.all.mean_squared.low == g.all.mean_squared.low &&
                same.seen.accuracy.high == g.seen.accuracy.high);
    test_ok(ctx, whet_space_compare(ctx, &set, a, b, truth, ROWS, 2, &same));
    assert_true(same.all.mean_squared.low != g.all.mean_squared.low);
    /* No difference, no width: rows are drawn together. */
    test_ok(ctx, whet_space_compare(ctx, &set, a, a, truth, ROWS, 1, &same));
    assert_true(same.all.mean_squared.low == 0 && same.all.mean_squared.high == 0);
    /* No rows with a label. */
    for (int64_t i = 0; i < ROWS; i++) truth[i] = -1;
    test_ok(ctx, whet_space_compare(ctx, &set, a, b, truth, ROWS, 1, &same));
    assert_true(isnan(same.all.mean_squared.low));
    whet_space_destroy(ctx, path);
    test_ctx_done(one);
    test_ctx_done(ctx);
}

/* ---- the picture ----------------------------------------------------------------------------- */

/*       root                 labels     argmax    Frechet
 *      /    \                a: 2       a: 3      a: 1
 *     X      Y<&>            b: 1       b: 0      X: 2
 *    a b    c  d             c: 1       c: 1      c: 1            */
static void draw_small(whet_ctx *ctx, const char *name, int64_t labels) {
    whet_space *tree = NULL;
    const char *nodes[] = {"root", "X", "Y<&>", "a", "b", "c", "d"};
    const int64_t parent[] = {-1, 0, 0, 1, 1, 2, 2}, observed[] = {3, 5};
    const int64_t frechet[] = {3, 1, 1, 5}, argmax[] = {3, 3, 3, 5};
    int64_t truth[] = {3, 3, 4, 5};
    const double mass[] = {3, 1};
    for (int64_t i = labels; i < 4; i++) truth[i] = -1;
    whet_names *names = NULL;
    char text[64] = "";
    for (int i = 0; i < 7; i++) {
        strcat(text, nodes[i]);
        strcat(text, "\n");
    }
    test_ok(ctx, whet_names_read(ctx, test_write_text("names.txt", text), &names));
    whet_status status = whet_i_space_from_tree(ctx, names, 7, parent, NULL, true, &tree);
    whet_names_destroy(ctx, names);
    test_ok(ctx, status);
    const whet_label_set set = {tree, observed, 2};
    const whet_space_picture picture = {frechet, argmax, truth, 4, mass};
    status = whet_space_draw(ctx, &set, &picture, test_tmp(name), true);
    if (labels == 0) {
        assert_int_equal(status, WHET_ERR_DATA);
        test_says(ctx, "no row has a label");
    } else {
        test_ok(ctx, status);
    }
    whet_space_destroy(ctx, tree);
}

static void expect(const char *svg, const char *part) {
    if (!strstr(svg, part)) fail_msg("the picture lacks: %s", part);
}

static void the_picture_shows_what_was_counted(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static char svg[1 << 16];
    draw_small(ctx, "p.svg", 4);
    FILE *file = fopen(test_tmp("p.svg"), "rb");
    assert_non_null(file);
    svg[fread(svg, 1, sizeof svg - 1, file)] = 0;
    (void)fclose(file);
    /* Label a twice: argmax right, the mean at X half the time; b once, unseen; c once. */
    expect(svg, "<title>argmax, seen labels: 0 over 2 rows</title>");
    expect(svg, "<title>Frechet mean, seen labels: 0.5 over 2 rows</title>");
    expect(svg, "<title>argmax, unseen labels: 4 over 1 rows</title>");
    expect(svg, "<title>Frechet mean, unseen labels: 1 over 1 rows</title>");
    expect(svg, "2\xE2\x80\x93"
                "3</text>");
    /* All parts are opened: X by itself has the two means. */
    expect(svg, ">X itself</text>");
    expect(svg, "<title>Frechet mean: 50.00 %</title>");
    expect(svg, "<title>probability: 75.00 %</title>");
    assert_null(strstr(svg, ">d</text>"));
    assert_null(strstr(svg, "Y<&>"));
    draw_small(ctx, "none.svg", 0);
    test_ctx_done(ctx);
}

static void names_are_cut_between_characters(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_buf svg = {0};
    test_ok(ctx, whet_i_svg_text(ctx, &svg, whet_str_from("a<\xC3\xA9\x01z"), 4));
    assert_string_equal(svg.data, "a&lt;\xC3\xA9 \xE2\x80\xA6");
    whet_i_buf_free(ctx, &svg);
    test_ok(ctx, whet_i_svg_text(ctx, &svg, whet_str_from("\xC3\xA9"), 1));
    assert_string_equal(svg.data, "\xC3\xA9");
    whet_i_buf_free(ctx, &svg);
    test_ctx_done(ctx);
}

/* A path of a million nodes is opened step by step: linear, or this does not end. */
static void long_chains_are_opened_fast(void **state) {
    (void)state;
    enum { N = 1000000 };
    whet_ctx *ctx = test_ctx(1);
    whet_space *tree = test_tree(ctx, N, 1, false, 1);
    const int64_t observed[] = {N - 1, N / 2}, row[] = {N - 1};
    const double mass[] = {1, 0};
    const whet_label_set set = {tree, observed, 2};
    const whet_space_picture picture = {row, row, row, 1, mass};
    test_ok(ctx, whet_space_draw(ctx, &set, &picture, test_tmp("long.svg"), true));
    whet_space_destroy(ctx, tree);
    test_ctx_done(ctx);
}

/* ---- failing memory -------------------------------------------------------------------------- */

typedef struct evaluation {
    const whet_label_set *set;
    const int64_t *a, *b, *truth;
    const double *mass;
} evaluation;

static whet_status evaluate_all(whet_ctx *ctx, void *arg) {
    const evaluation *e = arg;
    whet_space_scores scores;
    whet_space_gains gains;
    const whet_space_picture picture = {e->a, e->b, e->truth, 4, e->mass};
    WHET_TRY(whet_space_score(ctx, e->set, e->a, NULL, e->truth, 4, &scores));
    WHET_TRY(whet_space_compare(ctx, e->set, e->a, e->b, e->truth, 4, 1, &gains));
    return whet_space_draw(ctx, e->set, &picture, test_tmp("f.svg"), true);
}

static void every_failing_allocation_is_reported(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *tree = test_tree(ctx, 9, 0, true, 1);
    const int64_t observed[] = {3, 8}, a[] = {3, 1, 1, 5}, b[] = {3, 3, 3, 5},
                  truth[] = {3, 3, 4, -1};
    const double mass[] = {2, 1};
    const whet_label_set set = {tree, observed, 2};
    evaluation e = {&set, a, b, truth, mass};
    assert_true(test_each_allocation(evaluate_all, &e) > 15);
    whet_space_destroy(ctx, tree);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_apart_for_seen_and_unseen_labels),
        cmocka_unit_test(intervals_are_those_of_the_normal_limit),
        cmocka_unit_test(the_picture_shows_what_was_counted),
        cmocka_unit_test(names_are_cut_between_characters),
        cmocka_unit_test(long_chains_are_opened_fast),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
