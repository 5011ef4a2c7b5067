/* SPDX-License-Identifier: Apache-2.0
 * The label space stage and the tables of predictions, on a tree small enough to do by hand:
 *
 *        root
 *       /    \
 *     left   right      edges of length 1; the classes are a, b, c
 *     /  \      \
 *    a    b      c
 *
 * d(a,b) = 2, d(a,c) = d(b,c) = 4. */
#include <stdio.h>

#include "adapt/pipeline_i.h"
#include "support.h"

#define TREE "root left\nroot right\nleft a\nleft b\nright c\n"

typedef struct tree_run {
    whet_i_run run;
    whet_adapt_job job;
    char space[600];
} tree_run;

static whet_status begin(whet_ctx *ctx, tree_run *t, const char *const *classes, int64_t k,
                         const double *probs, const int32_t *truth, int64_t n) {
    whet_i_run *run = &t->run;
    t->job = (whet_adapt_job)WHET_ADAPT_JOB_INIT;
    (void)snprintf(t->space, sizeof t->space, "tree:%s", test_tmp("tree.txt"));
    t->job.space = t->space;
    run->job = &t->job;
    run->target = &run->test;
    run->test.n = n;
    run->train.n = 1;
    WHET_TRY(whet_names_create(ctx, &run->classes));
    for (int64_t c = 0; c < k; c++)
        WHET_TRY(whet_names_add(ctx, run->classes, whet_str_from(classes[c]), NULL));
    WHET_TRY(whet_i_alloc(ctx, n * k, &run->probs));
    memcpy(run->probs, probs, (size_t)(n * k) * sizeof *probs);
    WHET_TRY(whet_i_alloc(ctx, k, &run->pool_probs));
    memcpy(run->pool_probs, probs, (size_t)k * sizeof *probs);
    WHET_TRY(whet_i_alloc(ctx, n, &run->test.truth));
    memcpy(run->test.truth, truth, (size_t)n * sizeof *truth);
    return WHET_OK;
}

static const char *const abc[] = {"a", "b", "c"};
static const int32_t truth[] = {0, 1, -1};
/* Row 0: argmax is c; squared costs a 4*.3+16*.4 = 7.6, b 7.6, c 16*.6 = 9.6: a and b tie, a wins.
 * Row 1: b, either way. Row 2 has no true label. */
static const double probs[] = {.3, .3, .4, .1, .8, .1, .2, .2, .6};

static void the_frechet_mean_stands_beside_argmax(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    tree_run t = {0};
    (void)test_write_text("tree.txt", TREE);
    test_ok(ctx, begin(ctx, &t, abc, 3, probs, truth, 3));
    whet_i_run *run = &t.run;
    test_ok(ctx, whet_i_run_open_space(ctx, run));
    assert_string_equal(run->space.candidates, "leaves");
    test_ok(ctx, whet_i_run_use_space(ctx, run));
    assert_int_equal(run->means.point[0], run->space.observed[0]);
    assert_int_equal(run->means.point[1], run->space.observed[1]);
    assert_int_equal(run->means.ties[0], 2);
    assert_true(run->means.cost[0] > 7.59999 && run->means.cost[0] < 7.60001);
    assert_true(run->space_scored);
    assert_true(run->by_argmax.all.accuracy == 0.5);      /* c for a; b for b */
    assert_true(run->by_argmax.all.mean_distance == 2.0); /* (4 + 0) / 2 */
    assert_true(run->by_argmax.all.mean_squared == 8.0);  /* (16 + 0) / 2 */
    assert_true(run->by_frechet.all.accuracy == 1.0);
    assert_int_equal(run->by_mean.n, 2); /* row 2 has no label */
    assert_true(run->by_mean.accuracy == 1.0);
    assert_true(run->by_frechet.all.mean_distance == 0.0);
    whet_i_run_free(ctx, run);
    test_ctx_done(ctx);
}

static void a_class_that_is_an_inner_node_opens_all_points(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    tree_run t = {0};
    const char *const inner[] = {"a", "left", "c"};
    (void)test_write_text("tree.txt", TREE);
    test_ok(ctx, begin(ctx, &t, inner, 3, probs, truth, 3));
    test_ok(ctx, whet_i_run_open_space(ctx, &t.run));
    assert_string_equal(t.run.space.candidates, "all");
    whet_i_run_free(ctx, &t.run);
    test_ctx_done(ctx);
}

static void a_class_outside_the_space_is_named(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    tree_run t = {0};
    const char *const unknown[] = {"a", "b", "lefd"};
    (void)test_write_text("tree.txt", TREE);
    test_ok(ctx, begin(ctx, &t, unknown, 3, probs, truth, 3));
    test_fails(ctx, whet_i_run_open_space(ctx, &t.run), WHET_ERR_DATA);
    test_says(ctx, "class \"lefd\"");
    test_says(ctx, "left");
    whet_i_run_free(ctx, &t.run);
    test_ctx_done(ctx);
}

static void check_file(const char *path, const char *expected) {
    char found[2048];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    const size_t n = fread(found, 1, sizeof found - 1, file);
    assert_int_equal(fclose(file), 0);
    found[n] = '\0';
    assert_string_equal(found, expected);
}

static void tables_are_written_as_documented(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    tree_run t = {0};
    (void)test_write_text("tree.txt", TREE);
    test_ok(ctx, begin(ctx, &t, abc, 3, probs, truth, 3));
    const int32_t labels[] = {2, WHET_LABEL_HIDDEN, WHET_LABEL_NONE};
    whet_i_prediction_table table = {
        .classes = t.run.classes, .probs = probs, .n = 3, .skip_labelled = labels};
    const char *path = test_tmp("plain.tsv");
    test_ok(ctx, whet_i_write_prediction_table(ctx, &table, path, true));
    check_file(path, "row\tclass\tprobability\tmargin\ttop3\n"
                     "1\tb\t0.800000\t0.700000\tb:0.8000,a:0.1000,c:0.1000\n"
                     "2\tc\t0.600000\t0.400000\tc:0.6000,a:0.2000,b:0.2000\n");
    test_ok(ctx, whet_i_run_open_space(ctx, &t.run));
    test_ok(ctx, whet_i_run_use_space(ctx, &t.run));
    table.skip_labelled = NULL;
    table.n = 1;
    table.space = t.run.space.space;
    table.means = &t.run.means;
    test_ok(ctx, whet_i_write_prediction_table(ctx, &table, path, true));
    check_file(path, "row\tclass\tprobability\tmargin\ttop3\targmax\tcost\tties\n"
                     "0\ta\t0.300000\t0.100000\tc:0.4000,a:0.3000,b:0.3000\tc\t7.6\t2\n");
    whet_i_run_free(ctx, &t.run);
    test_ctx_done(ctx);
}

static void the_best_classes_come_first_and_ties_by_index(void **state) {
    (void)state;
    int32_t top[3];
    assert_int_equal(whet_i_top((const double[]){.2, .5, .3}, 3, 3, top), 3);
    assert_true(top[0] == 1 && top[1] == 2 && top[2] == 0);
    assert_int_equal(whet_i_top((const double[]){.5, .5}, 2, 3, top), 2);
    assert_true(top[0] == 0 && top[1] == 1);
    assert_int_equal(whet_i_top((const double[]){.25, .25, .25, .25}, 4, 3, top), 3);
    assert_true(top[0] == 0 && top[1] == 1 && top[2] == 2);
}

static whet_status whole(whet_ctx *ctx, void *arg) {
    (void)arg;
    tree_run t = {0};
    whet_status status = begin(ctx, &t, abc, 3, probs, truth, 3);
    if (status == WHET_OK) status = whet_i_run_open_space(ctx, &t.run);
    if (status == WHET_OK) status = whet_i_run_use_space(ctx, &t.run);
    whet_i_run_free(ctx, &t.run);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    (void)test_write_text("tree.txt", TREE);
    assert_true(test_each_allocation(whole, NULL) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_frechet_mean_stands_beside_argmax),
        cmocka_unit_test(a_class_that_is_an_inner_node_opens_all_points),
        cmocka_unit_test(a_class_outside_the_space_is_named),
        cmocka_unit_test(tables_are_written_as_documented),
        cmocka_unit_test(the_best_classes_come_first_and_ties_by_index),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
