/* SPDX-License-Identifier: Apache-2.0
 * Opening SPACE, probabilities and labels from files, and the whole predict job, with every
 * allocation failing. What the command prints is in tests/cli/predict.sh. */
#include "space_support.h"

#include <stdio.h>

static void write_array(whet_ctx *ctx, const char *name, int64_t rows, int64_t columns,
                        double *values) {
    const whet_tensor t = {values, WHET_F64, 2, {rows, columns}};
    test_ok(ctx, whet_npy_write(ctx, test_tmp(name), true, &t));
}

static whet_posteriors *posteriors_of(whet_ctx *ctx, const char *text) {
    whet_posteriors *p = NULL;
    test_ok(ctx, whet_posteriors_read(ctx, test_write_text("p.tsv", text), NULL, &p));
    return p;
}

static void sparse_rows_are_sorted_and_filled_with_zeros(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_posteriors *p =
        posteriors_of(ctx, "class\trow\tp\nb\t900000000000\t.25\na\t3\t1\nc\t900000000000\t0\n");
    double block[6] = {9, 9, 9, 9, 9, 9};
    assert_int_equal(whet_posteriors_rows(p), 2);
    assert_int_equal(whet_names_count(whet_posteriors_classes(p)), 3);
    assert_int_equal(whet_posteriors_row(p, 0), 3);
    assert_int_equal(whet_posteriors_row(p, 1), 900000000000);
    test_ok(ctx, whet_posteriors_block(ctx, p, 0, 2, block));
    const double want[] = {0, 1, 0, .25, 0, 0};
    assert_memory_equal(block, want, sizeof want);
    test_ok(ctx, whet_posteriors_block(ctx, p, 2, 0, block));
    test_fails(ctx, whet_posteriors_block(ctx, p, 1, 2, block), WHET_ERR_ARG);
    whet_posteriors_destroy(ctx, p);
    test_ctx_done(ctx);
}

static void many_sparse_rows_in_any_order_come_out_right(void **state) {
    (void)state;
    enum { ENTRIES = 3000, CLASSES = 5 };
    whet_ctx *ctx = test_ctx(1);
    whet_i_buf text = {0};
    whet_i_rng rng;
    int64_t order[ENTRIES];
    whet_i_rng_init(&rng, 1, 0);
    for (int64_t i = 0; i < ENTRIES; i++) order[i] = i;
    whet_i_rng_shuffle(&rng, order, ENTRIES);
    test_ok(ctx, whet_i_buf_printf(ctx, &text, "row\tclass\tp\n"));
    for (int64_t i = 0; i < ENTRIES; i++)
        test_ok(ctx, whet_i_buf_printf(ctx, &text, "%lld\tc%lld\t%lld\n",
                                       (long long)(order[i] / CLASSES * 7),
                                       (long long)(order[i] % CLASSES), (long long)order[i] + 1));
    whet_posteriors *p = posteriors_of(ctx, text.data);
    double block[ENTRIES];
    test_ok(ctx, whet_posteriors_block(ctx, p, 0, ENTRIES / CLASSES, block));
    for (int64_t i = 0; i < ENTRIES; i++) {
        const whet_str name = whet_names_get(whet_posteriors_classes(p), i % CLASSES);
        assert_true(block[i] == (double)(i / CLASSES * CLASSES + (name.ptr[1] - '0') + 1));
        assert_int_equal(whet_posteriors_row(p, i / CLASSES), i / CLASSES * 7);
    }
    whet_posteriors_destroy(ctx, p);
    whet_i_buf_free(ctx, &text);
    test_ctx_done(ctx);
}

static void labels_come_in_three_shapes(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *space = NULL;
    whet_posteriors *dense = NULL;
    double values[] = {1, 0, 0, 1, 1, 1};
    write_array(ctx, "P.npy", 3, 2, values);
    (void)test_write_text("classes.txt", "0\n4\n");
    test_ok(ctx, whet_space_open(ctx, "path:5", NULL, &space));
    test_ok(ctx, whet_posteriors_read(ctx, test_tmp("P.npy"), test_tmp("classes.txt"), &dense));
    const struct {
        const char *name, *text;
        int64_t want[3];
    } good[] = {
        {"y.txt", "4\n0\n3\n", {4, 0, 3}},
        {"y",
         "\xef\xbb\xbf"
         "4\r\n\r\n3",
         {4, -1, 3}},
        {"y.tsv", "label\n4\n0\n3\n", {4, 0, 3}},
        {"y.tsv", "x\tclass\na\t1\nb\t\nc\t2\n", {1, -1, 2}},
        {"y.csv", "row,label\n2,\"3\"\n0,1\n", {1, -1, 3}},
        {"y.jsonl", "{\"row\": 1, \"label\": \"2\"}\n", {-1, 2, -1}},
        {"y.tsv", "row\tlabel\n", {-1, -1, -1}},
        {"y.tsv", "row\tlabel\n2\t\n1\t2\n", {-1, 2, -1}},
    };
    for (int64_t i = 0; i < WHET_COUNT_OF(good); i++) {
        int64_t got[3];
        test_ok(ctx, whet_posteriors_labels(ctx, dense, space,
                                            test_write_text(good[i].name, good[i].text), got));
        assert_memory_equal(got, good[i].want, sizeof got);
    }
    const struct {
        const char *name, *text, *says;
        whet_status status;
    } bad[] = {
        {"y.txt", "4\n0\n", "y.txt: 2 labels; expected 3", WHET_ERR_SHAPE},
        {"y.txt", "4\n0\n3\n3\n", "4 labels", WHET_ERR_SHAPE},
        {"y.txt", "4\n0\n7\n", "y.txt:3: class \"7\" is not in the label space", WHET_ERR_DATA},
        {"y.tsv", "row\tlabel\n3\t1\n", "y.tsv:2: row 3; expected below 3", WHET_ERR_DATA},
        {"y.tsv", "row\tlabel\n0\t1\n0\t2\n", "y.tsv:3: row 0 has a label already", WHET_ERR_DATA},
        {"y.tsv", "row\tlabel\nx\t1\n", "y.tsv:2: row is \"x\"", WHET_ERR_FORMAT},
        {"y.tsv", "row\tlabel\n-1\t1\n", "y.tsv:2: row is \"-1\"", WHET_ERR_FORMAT},
        {"y.tsv", "row\tanswer\n0\t1\n", "no column label or class", WHET_ERR_FORMAT},
    };
    for (int64_t i = 0; i < WHET_COUNT_OF(bad); i++) {
        int64_t got[3] = {-7, -7, -7};
        test_fails(ctx,
                   whet_posteriors_labels(ctx, dense, space,
                                          test_write_text(bad[i].name, bad[i].text), got),
                   bad[i].status);
        test_says(ctx, bad[i].says);
        assert_true(got[0] == -7 && got[2] == -7);
    }
    /* Beside sparse probabilities, labels may be of more rows. */
    whet_posteriors *sparse = posteriors_of(ctx, "row\tclass\tp\n1\t0\t1\n4\t4\t1\n");
    int64_t got[2];
    test_ok(ctx, whet_posteriors_labels(ctx, sparse, space,
                                        test_write_text("y.txt", "0\n1\n2\n3\n4\n0\n"), got));
    assert_true(got[0] == 1 && got[1] == 4);
    test_ok(ctx, whet_posteriors_labels(ctx, sparse, space,
                                        test_write_text("y.tsv", "row\tlabel\n9\t1\n4\t2\n"), got));
    assert_true(got[0] == -1 && got[1] == 2);
    test_fails(
        ctx,
        whet_posteriors_labels(ctx, sparse, space, test_write_text("y.txt", "0\n1\n2\n3\n"), got),
        WHET_ERR_SHAPE);
    whet_posteriors_destroy(ctx, sparse);
    whet_posteriors_destroy(ctx, dense);
    whet_space_destroy(ctx, space);
    test_ctx_done(ctx);
}

static void spaces_open_as_typed(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    double d[] = {0, 3, 3, 0};
    char spec[4096];
    whet_space *space = NULL;
    write_array(ctx, "D,names=odd.npy", 2, 2, d);
    (void)test_write_text("names,metric=x.txt", "left\nright\n");
    (void)snprintf(spec, sizeof spec, "matrix:%s", test_tmp("D,names=odd.npy"));
    /* A path that looks like an option is taken for one. */
    test_fails(ctx, whet_space_open(ctx, spec, NULL, &space), WHET_ERR_IO);
    write_array(ctx, "D,odd.npy", 2, 2, d);
    (void)test_write_text("n,ames.txt", "left\nright\n");
    (void)snprintf(spec, sizeof spec, "matrix:%s,names=%s", test_tmp("D,odd.npy"),
                   test_tmp("n,ames.txt"));
    test_fails(ctx, whet_space_open(ctx, spec, NULL, &space), WHET_ERR_IO);
    (void)test_write_text("names.txt", "left\nright\n");
    (void)snprintf(spec, sizeof spec, "matrix:%s,names=%s", test_tmp("D,odd.npy"),
                   test_tmp("names.txt"));
    test_ok(ctx, whet_space_open(ctx, spec, NULL, &space));
    assert_string_equal(whet_names_get(whet_space_names(space), 1).ptr, "right");
    assert_true(whet_space_distance(space, 0, 1) == 3);
    whet_space_destroy(ctx, space);
    (void)test_write_text("three.txt", "a\nb\nc\n");
    (void)snprintf(spec, sizeof spec, "matrix:%s,names=%s", test_tmp("D,odd.npy"),
                   test_tmp("three.txt"));
    test_fails(ctx, whet_space_open(ctx, spec, NULL, &space), WHET_ERR_SHAPE);
    test_says(ctx, "3 names for 2 points");
    test_ok(ctx, whet_space_open(ctx, "grid:2x3x2", NULL, &space));
    assert_int_equal(whet_space_size(space), 12);
    assert_true(whet_space_distance(space, 0, 11) == 4);
    whet_space_destroy(ctx, space);
    test_ok(ctx, whet_space_open(ctx, "discrete:4", NULL, &space));
    assert_int_equal(whet_space_size(space), 4);
    whet_space_destroy(ctx, space);
    const struct {
        const char *spec;
        whet_status status;
    } bad[] = {
        {"", WHET_ERR_ARG},
        {"tree", WHET_ERR_ARG},
        {"tree:", WHET_ERR_ARG},
        {":x", WHET_ERR_ARG},
        {"path:0", WHET_ERR_ARG},
        {"path:-1", WHET_ERR_ARG},
        {"path:1e3", WHET_ERR_ARG},
        {"discrete", WHET_ERR_ARG},
        {"discrete:", WHET_ERR_ARG},
        {"grid:2x", WHET_ERR_ARG},
        {"grid:0x3", WHET_ERR_ARG},
        {"grid:x", WHET_ERR_ARG},
        {"Tree:x", WHET_ERR_ARG},
        {"path:60000000", WHET_ERR_LIMIT},
        {"grid:10000x10000", WHET_ERR_LIMIT},
        {"grid:1x1x1x1x1x1x1x1x1", WHET_ERR_ARG},
        {"graph:x,names=y", WHET_ERR_ARG},
        {"path:5,names=y", WHET_ERR_ARG},
        {"tree:x,metric=y", WHET_ERR_ARG},
    };
    for (int64_t i = 0; i < WHET_COUNT_OF(bad); i++) {
        space = NULL;
        test_fails(ctx, whet_space_open(ctx, bad[i].spec, NULL, &space), bad[i].status);
        assert_null(space);
    }
    test_ctx_done(ctx);
}

/* ---- the whole job --------------------------------------------------------------------------- */

static whet_predict_job job_here(void) {
    whet_predict_job job = WHET_PREDICT_JOB_INIT;
    job.probs = test_tmp("P.npy");
    job.classes = test_tmp("classes.txt");
    job.space = "path:5";
    job.output = test_tmp("out.tsv");
    job.force = true;
    return job;
}

static whet_status run_job(whet_ctx *ctx, void *arg) {
    whet_predict_report report;
    return whet_predict(ctx, arg, &report);
}

static void the_job_survives_each_failed_allocation(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    double values[] = {1, 0, .1, .9, 1, 1};
    char tree[4096];
    write_array(ctx, "P.npy", 3, 2, values);
    test_ctx_done(ctx);
    (void)test_write_text("classes.txt", "0\n4\n");
    (void)test_write_text("y.tsv", "row\tlabel\n0\t1\n2\t2\n");
    (void)test_write_text("c.txt", "1\n2\n");
    (void)snprintf(tree, sizeof tree, "tree:%s", test_write_text("tree.txt", "0 1\n1 4\n1 2\n"));
    whet_predict_job job = job_here();
    job.space = tree;
    job.truth = job.calibrate = test_tmp("y.tsv");
    job.candidates = test_tmp("c.txt");
    job.top = 2;
    assert_true(test_each_allocation(run_job, &job) > 40);
    job.calibration = WHET_CALIBRATE_LOG_LOSS;
    job.candidates = NULL;
    (void)snprintf(tree, sizeof tree, "graph:%s", test_tmp("tree.txt"));
    (void)test_write_text("y.tsv", "row\tlabel\n0\t0\n2\t2\n");
    assert_true(test_each_allocation(run_job, &job) > 40);
}

static void a_job_reports_what_it_did(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    double values[] = {1, 0, .1, .9, 1, 1};
    write_array(ctx, "P.npy", 3, 2, values);
    (void)test_write_text("classes.txt", "0\n4\n");
    whet_predict_job job = job_here();
    whet_predict_report r;
    job.truth = test_write_text("y.txt", "0\n4\n3\n");
    job.top = 9;
    test_ok(ctx, whet_predict(ctx, &job, &r));
    assert_int_equal(r.rows, 3);
    assert_int_equal(r.classes, 2);
    assert_int_equal(r.points, 5);
    assert_int_equal(r.top, 5);
    assert_int_equal(r.unobserved, 1);
    assert_true(r.measured && r.temperature == 1 && r.calibration_rows == 0);
    /* Costs of row 1 at 3 and 4: (.1 9 + .9 1), (.1 16) = 1.8, 1.6. */
    assert_near(r.frechet.all.mean_squared, (0 + 0 + 1) / 3., 1e-15);
    assert_near(r.argmax.all.mean_squared, (0 + 0 + 9) / 3., 1e-15);
    const char *const broken[] = {"probs", "space", "output"};
    for (int i = 0; i < 3; i++) {
        whet_predict_job without = job;
        if (i == 0) without.probs = NULL;
        if (i == 1) without.space = NULL;
        if (i == 2) without.output = NULL;
        test_fails(ctx, whet_predict(ctx, &without, &r), WHET_ERR_ARG);
        test_says(ctx, broken[i]);
    }
    job.temperature = 0;
    test_fails(ctx, whet_predict(ctx, &job, &r), WHET_ERR_ARG);
    job.temperature = 2;
    job.calibrate = job.truth;
    test_fails(ctx, whet_predict(ctx, &job, &r), WHET_ERR_ARG);
    test_ctx_done(ctx);
}

/* More rows than a block holds: the seams must not show. */
static void blocks_leave_no_seams(void **state) {
    (void)state;
    enum { MANY = 9001, K = 2 };
    whet_ctx *ctx = test_ctx(2);
    double *values = TEST_NEW(double, MANY *K);
    for (int64_t i = 0; i < MANY; i++) {
        values[i * K] = 1 + (double)(i % 5);
        values[i * K + 1] = 5 - (double)(i % 5);
    }
    write_array(ctx, "P.npy", MANY, K, values);
    (void)test_write_text("classes.txt", "0\n4\n");
    whet_predict_job job = job_here();
    whet_predict_report r;
    test_ok(ctx, whet_predict(ctx, &job, &r));
    whet_table *t = NULL;
    test_ok(ctx, whet_table_read(ctx, job.output, &t));
    assert_int_equal(whet_table_rows(t), MANY);
    for (int64_t i = 0; i < MANY; i++) {
        int64_t row = -1;
        assert_true(whet_i_parse_int(whet_table_cell(t, i, 0), &row));
        assert_int_equal(row, i);
        for (int64_t c = 1; c < 5; c++)
            assert_true(whet_str_equal(whet_table_cell(t, i, c), whet_table_cell(t, i % 5, c)));
    }
    whet_table_destroy(ctx, t);
    free(values);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sparse_rows_are_sorted_and_filled_with_zeros),
        cmocka_unit_test(many_sparse_rows_in_any_order_come_out_right),
        cmocka_unit_test(labels_come_in_three_shapes),
        cmocka_unit_test(spaces_open_as_typed),
        cmocka_unit_test(the_job_survives_each_failed_allocation),
        cmocka_unit_test(a_job_reports_what_it_did),
        cmocka_unit_test(blocks_leave_no_seams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
