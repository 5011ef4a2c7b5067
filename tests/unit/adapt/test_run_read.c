/* SPDX-License-Identifier: Apache-2.0
 * The reading stage: what becomes a label, a class, an error with its line. */
#include "adapt/pipeline_i.h"
#include "support.h"

#define TRAIN "text\tlabel\nred\tb\nblue\t\ngreen\ta\ngrey\tb\n"

static void read_ok(whet_ctx *ctx, whet_i_run *run, const whet_adapt_job *job) {
    *run = (whet_i_run){.job = job};
    test_ok(ctx, whet_i_run_read(ctx, run));
}

static void read_fails(whet_ctx *ctx, const whet_adapt_job *job, whet_status status,
                       const char *says) {
    whet_i_run run = {.job = job};
    test_fails(ctx, whet_i_run_read(ctx, &run), status);
    test_says(ctx, says);
    whet_i_run_free(ctx, &run);
}

static const char *class_name(const whet_i_run *run, int64_t i) {
    return whet_names_get(run->classes, i).ptr;
}

static void empty_cells_are_unlabelled_and_classes_are_sorted(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_adapt_job job = WHET_ADAPT_JOB_INIT;
    whet_i_run run;
    job.train = test_write_text("train.tsv", TRAIN);
    read_ok(ctx, &run, &job);
    assert_int_equal(run.train.n, 4);
    assert_int_equal(run.train.n_labels, 3);
    assert_int_equal(whet_names_count(run.classes), 2);
    assert_string_equal(class_name(&run, 0), "a");
    assert_string_equal(class_name(&run, 1), "b");
    const int32_t labels[] = {1, WHET_LABEL_NONE, 0, 1};
    assert_memory_equal(run.train.labels, labels, sizeof labels);
    assert_true(whet_str_equal(run.train.texts[2], whet_str_from("green")));
    whet_i_run_free(ctx, &run);
    test_ctx_done(ctx);
}

static void numbers_are_sorted_as_numbers(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_adapt_job job = WHET_ADAPT_JOB_INIT;
    whet_i_run run;
    job.train = test_write_text("numbers.tsv", "text\tlabel\na\t10\nb\t9\nc\t-1\nd\t09\n");
    read_ok(ctx, &run, &job);
    assert_string_equal(class_name(&run, 0), "-1");
    assert_string_equal(class_name(&run, 1), "09"); /* equal numbers: by bytes */
    assert_string_equal(class_name(&run, 2), "9");
    assert_string_equal(class_name(&run, 3), "10");
    assert_false(run.class_texts_mean);
    whet_i_run_free(ctx, &run);
    test_ctx_done(ctx);
}

static void a_class_list_keeps_its_order_and_may_hold_more(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_adapt_job job = WHET_ADAPT_JOB_INIT;
    whet_i_run run;
    job.train = test_write_text("train.tsv", TRAIN);
    job.classes = test_write_text("classes.txt", "b\nnever_seen\na\n");
    job.class_names = test_write_text("names.tsv", "class\ttext\na\tthe letter a\n");
    read_ok(ctx, &run, &job);
    assert_int_equal(whet_names_count(run.classes), 3);
    const int32_t labels[] = {0, WHET_LABEL_NONE, 2, 0};
    assert_memory_equal(run.train.labels, labels, sizeof labels);
    assert_true(whet_str_equal(run.class_texts[1], whet_str_from("never seen")));
    assert_true(whet_str_equal(run.class_texts[2], whet_str_from("the letter a")));
    assert_true(run.class_texts_mean);
    whet_i_run_free(ctx, &run);
    test_ctx_done(ctx);
}

static void sparse_labels_take_the_place_of_the_column(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_adapt_job job = WHET_ADAPT_JOB_INIT;
    whet_i_run run;
    job.train = test_write_text("train.tsv", TRAIN);
    job.labels = test_write_text("sparse.tsv", "row\tlabel\n3\tx\n1\ty\n2\t\n");
    read_ok(ctx, &run, &job);
    const int32_t labels[] = {WHET_LABEL_NONE, 1, WHET_LABEL_NONE, 0};
    assert_memory_equal(run.train.labels, labels, sizeof labels);
    whet_i_run_free(ctx, &run);
    test_ctx_done(ctx);
}

static void test_labels_outside_the_classes_count_as_wrong(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_adapt_job job = WHET_ADAPT_JOB_INIT;
    whet_i_run run;
    job.train = test_write_text("train.tsv", TRAIN);
    job.test = test_write_text("test.tsv", "label\ttext\na\tx\nzebra\ty\n\tz\n");
    read_ok(ctx, &run, &job);
    const int32_t labels[] = {0, WHET_LABEL_OTHER, WHET_LABEL_NONE};
    const int32_t truth[] = {0, WHET_LABEL_NONE, WHET_LABEL_NONE};
    assert_memory_equal(run.test.labels, labels, sizeof labels);
    assert_memory_equal(run.test.truth, truth, sizeof truth);
    assert_int_equal(run.test.n_labels, 2);
    assert_int_equal(whet_names_count(run.classes), 2); /* the test data lends no class */
    whet_i_run_free(ctx, &run);
    job.classes = test_write_text("ab.txt", "a\nb\n");
    read_fails(ctx, &job, WHET_ERR_DATA, "test.tsv:3: label \"zebra\" is unknown");
    test_ctx_done(ctx);
}

static void complaints_name_the_line(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_adapt_job job = WHET_ADAPT_JOB_INIT;
    read_fails(ctx, &job, WHET_ERR_ARG, "no training data");
    job.train = test_write_text("train.tsv", TRAIN);
    job.labels = test_write_text("far.tsv", "row\tlabel\n0\tx\n4\ty\n");
    read_fails(ctx, &job, WHET_ERR_DATA, "far.tsv:3: row is \"4\"; expected a number from 0 to 3");
    job.labels = test_write_text("twice.tsv", "row\tlabel\n0\tx\n0\ty\n");
    read_fails(ctx, &job, WHET_ERR_DATA, "twice.tsv:3: row 0 has a label already");
    job.labels = test_write_text("word.tsv", "row\tlabel\nfirst\tx\n");
    read_fails(ctx, &job, WHET_ERR_DATA, "word.tsv:2: row is \"first\"");
    job.labels = test_write_text("one.tsv", "row\tlabel\n0\tx\n1\tx\n");
    read_fails(ctx, &job, WHET_ERR_DATA, "one class only, \"x\"; expected at least 2");
    job.labels = NULL;
    job.classes = test_write_text("typo.txt", "bb\naa\na\n");
    read_fails(ctx, &job, WHET_ERR_DATA, "train.tsv:2: label \"b\" is unknown");
    job.classes = NULL;
    job.train = test_write_text("bytes.tsv", "text\tlabel\na\tx\nb\ty\xff\n");
    read_fails(ctx, &job, WHET_ERR_DATA, "bytes.tsv:3");
    job.train = test_write_text("nothing.tsv", "text\tlabel\na\t\nb\t \n");
    read_fails(ctx, &job, WHET_ERR_DATA, "no labels");
    job.train = test_write_text("rows.tsv", "text\tlabel\n");
    read_fails(ctx, &job, WHET_ERR_DATA, "no rows");
    job.train = test_write_text("train.tsv", TRAIN);
    job.class_names = test_write_text("dup.tsv", "class\ttext\na\tx\na\ty\n");
    read_fails(ctx, &job, WHET_ERR_DATA, "dup.tsv:3: class \"a\" again");
    test_ctx_done(ctx);
}

static void the_budget_hides_the_rest(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_adapt_job job = WHET_ADAPT_JOB_INIT;
    whet_i_run run;
    job.train = test_write_text("train.tsv", TRAIN);
    job.budget = 2;
    read_ok(ctx, &run, &job);
    test_ok(ctx, whet_i_run_draw(ctx, &run));
    int64_t used = 0, hidden = 0;
    for (int64_t i = 0; i < 4; i++) {
        used += run.train.labels[i] >= 0;
        hidden += run.train.labels[i] == WHET_LABEL_HIDDEN;
    }
    assert_int_equal(used, 2);
    assert_int_equal(hidden, 1);
    assert_int_equal(run.train.labels[1], WHET_LABEL_NONE); /* never given, so never drawn */
    assert_int_equal(run.n_used, 2);
    assert_int_equal(run.n_hidden, 1);
    whet_i_run_free(ctx, &run);
    job.budget = 9;
    read_ok(ctx, &run, &job);
    test_ok(ctx, whet_i_run_draw(ctx, &run));
    assert_int_equal(run.n_used, 3);
    assert_int_equal(run.n_hidden, 0);
    whet_i_run_free(ctx, &run);
    test_ctx_done(ctx);
}

/* By hand: rows 0 and 2 point one way, row 3 the other; row 1 has no label. Two rows that cover
 * all directions are 0 (the first of equals) and 3. */
static void coverage_draws_one_row_of_each_direction(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_adapt_job job = WHET_ADAPT_JOB_INIT;
    whet_i_run run;
    const float features[] = {1, 0, 0, 5, 9, 0, 0, 2};
    job.train = test_write_text("train.tsv", TRAIN);
    job.budget = 2;
    job.draw = WHET_DRAW_COVERAGE;
    read_ok(ctx, &run, &job);
    run.train.features = features;
    run.d = 2;
    test_ok(ctx, whet_i_run_draw(ctx, &run));
    const int32_t labels[] = {1, WHET_LABEL_NONE, WHET_LABEL_HIDDEN, 1};
    assert_memory_equal(run.train.labels, labels, sizeof labels);
    whet_i_run_free(ctx, &run);
    test_ctx_done(ctx);
}

static whet_status read_and_draw(whet_ctx *ctx, void *arg) {
    whet_i_run run = {.job = arg};
    whet_status status = whet_i_run_read(ctx, &run);
    if (status == WHET_OK) status = whet_i_run_draw(ctx, &run);
    whet_i_run_free(ctx, &run);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    whet_adapt_job job = WHET_ADAPT_JOB_INIT;
    job.train = test_write_text("train.tsv", TRAIN);
    job.test = test_write_text("test2.tsv", "label\ttext\na\tx\nzebra\ty\n");
    job.class_names = test_write_text("names.tsv", "class\ttext\na\tthe letter a\n");
    job.budget = 2;
    assert_true(test_each_allocation(read_and_draw, &job) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_cells_are_unlabelled_and_classes_are_sorted),
        cmocka_unit_test(numbers_are_sorted_as_numbers),
        cmocka_unit_test(a_class_list_keeps_its_order_and_may_hold_more),
        cmocka_unit_test(sparse_labels_take_the_place_of_the_column),
        cmocka_unit_test(test_labels_outside_the_classes_count_as_wrong),
        cmocka_unit_test(complaints_name_the_line),
        cmocka_unit_test(the_budget_hides_the_rest),
        cmocka_unit_test(coverage_draws_one_row_of_each_direction),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
