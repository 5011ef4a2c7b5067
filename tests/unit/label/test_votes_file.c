/* SPDX-License-Identifier: Apache-2.0
 * Votes and labels from files: each form there and back, and what is refused with its place. */
#include "support.h"

#include <math.h>
#include <stdio.h>

#include "label/vote_blocks.h"
#include "label/vote_triples.h"
#include "votes_support.h"
#include "whet/io.h"

static void same_votes(whet_ctx *ctx, const whet_votes *a, const whet_votes *b) {
    int32_t *left, *right;
    assert_true(a->n == b->n && a->m == b->m && a->k == b->k);
    test_ok(ctx, whet_i_alloc(ctx, a->m, &left));
    test_ok(ctx, whet_i_alloc(ctx, a->m, &right));
    for (int64_t i = 0; i < a->n; i++) {
        const int64_t count = whet_i_vote_cells(a, i, left);
        assert_int_equal(whet_i_vote_cells(b, i, right), count);
        assert_memory_equal(left, right, sizeof *left * (size_t)count);
    }
    whet_i_free(ctx, left);
    whet_i_free(ctx, right);
}

static void votes_come_back_from_every_form(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, 300, 5, 4, 1);
    memset(d.narrow + 3 * 5, -1, 5);
    d.narrow[299 * 5 + 4] = 3; /* the last row and rule vote: triples know no others */
    whet_vote_file *file;
    whet_votes_read_opts opts = WHET_VOTES_READ_OPTS_INIT;
    test_ok(ctx, whet_votes_write(ctx, test_tmp("v.npy"), true, &d.votes));
    test_ok(ctx, whet_votes_read(ctx, test_tmp("v.npy"), NULL, &file));
    assert_non_null(whet_vote_file_votes(file)->narrow);
    same_votes(ctx, &d.votes, whet_vote_file_votes(file));
    test_ok(ctx, whet_votes_write(ctx, test_tmp("v.tsv"), true, whet_vote_file_votes(file)));
    whet_vote_file_destroy(ctx, file);
    test_ok(ctx, whet_votes_read(ctx, test_tmp("v.tsv"), NULL, &file));
    assert_non_null(whet_vote_file_votes(file)->start);
    same_votes(ctx, &d.votes, whet_vote_file_votes(file));
    whet_vote_file_destroy(ctx, file);
    opts.rows = 300;
    opts.rules = 7; /* two that never vote */
    opts.classes = 6;
    test_ok(ctx, whet_votes_read(ctx, test_tmp("v.tsv"), &opts, &file));
    assert_int_equal(whet_vote_file_votes(file)->m, 7);
    assert_int_equal(whet_vote_file_votes(file)->k, 6);
    whet_vote_file_set_classes(file, 3);
    assert_int_equal(whet_vote_file_votes(file)->k, 6);
    whet_vote_file_destroy(ctx, file);
    int32_t *wide;
    whet_votes as_wide = wide_form(ctx, &d.votes, &wide);
    wide[7] = 199;
    as_wide.k = 200; /* does not fit int8 */
    test_ok(ctx, whet_votes_write(ctx, test_tmp("w.npy"), true, &as_wide));
    test_ok(ctx, whet_votes_read(ctx, test_tmp("w.npy"), NULL, &file));
    assert_non_null(whet_vote_file_votes(file)->wide);
    same_votes(ctx, &as_wide, whet_vote_file_votes(file));
    whet_vote_file_destroy(ctx, file);
    test_fails(ctx, whet_votes_write(ctx, test_tmp("w.npy"), false, &as_wide), WHET_ERR_EXISTS);
    test_fails(ctx, whet_votes_write(ctx, test_tmp("w.csv"), false, &as_wide), WHET_ERR_ARG);
    whet_i_free(ctx, wide);
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

/* Blocks of 1, 3 and 64 rows, out of parts of some bytes, are the rows of the file held whole. */
static void triples_in_order_of_rows_come_in_blocks(void **state) {
    (void)state;
    static const int64_t sizes[3] = {1, 3, 64};
    whet_ctx *ctx = test_ctx(1);
    const char *path = test_write_text("order.tsv", "row\trule\tvote\n0\t2\t1\n0\t0\t0\n2\t1\t-1\n"
                                                    "3\t1\t2\n3\t0\t1\n3\t2\t0\n9\t3\t1\n");
    whet_votes_read_opts opts = WHET_VOTES_READ_OPTS_INIT;
    whet_vote_file *file;
    opts.rows = 12;
    test_ok(ctx, whet_votes_read(ctx, path, &opts, &file));
    const whet_votes *whole = whet_vote_file_votes(file);
    for (int s = 0; s < 3; s++) {
        whet_i_table_parts *parts;
        whet_i_triple_stream *stream;
        whet_votes block;
        int64_t first, rows = 0;
        test_ok(ctx, whet_i_table_parts_open(ctx, path, 9, &parts));
        test_ok(ctx, whet_i_triple_stream_open(ctx, path, parts, &opts, sizes[s], &stream));
        assert_int_equal(whet_i_triple_stream_shape(stream)->m, 4);
        for (;;) {
            test_ok(ctx, whet_i_triple_stream_next(ctx, stream, &block, &first));
            if (block.n == 0) break;
            assert_int_equal(first, rows);
            assert_true(block.n <= sizes[s] && block.k == 3);
            for (int64_t i = 0; i < block.n; i++, rows++) {
                const int64_t at = whole->start[rows], votes = whole->start[rows + 1] - at;
                assert_int_equal(block.start[i + 1] - block.start[i], votes);
                for (int64_t e = 0; e < votes; e++) {
                    assert_int_equal(block.rule[block.start[i] + e], whole->rule[at + e]);
                    assert_int_equal(block.vote[block.start[i] + e], whole->vote[at + e]);
                }
            }
        }
        assert_int_equal(rows, 12);
        whet_i_triple_stream_close(ctx, stream);
        whet_i_table_parts_close(ctx, parts);
    }
    whet_vote_file_destroy(ctx, file);
    test_ctx_done(ctx);
}

static whet_status stream_once(whet_ctx *ctx, void *arg) {
    const whet_votes_read_opts opts = WHET_VOTES_READ_OPTS_INIT;
    whet_i_vote_blocks *blocks = NULL;
    whet_votes block;
    int64_t first;
    whet_status status = whet_i_vote_blocks_open(ctx, arg, &opts, &blocks);
    while (status == WHET_OK) {
        status = whet_i_vote_blocks_next(ctx, blocks, &block, &first);
        if (block.n == 0) break;
    }
    whet_i_vote_blocks_close(ctx, blocks);
    return status;
}

/* 66,000 rows are two blocks, a row moved to the end makes them one, held whole: the same votes. */
static void blocks_of_a_large_table_are_its_rows(void **state) {
    (void)state;
    enum { ROWS = 66000 };
    whet_ctx *ctx = test_ctx(1);
    const whet_votes_read_opts opts = WHET_VOTES_READ_OPTS_INIT;
    int64_t sum[2] = {0}, blocks[2] = {0};
    for (int moved = 0; moved < 2; moved++) {
        whet_out *out;
        const char *path = test_tmp(moved ? "moved.tsv" : "large.tsv");
        test_ok(ctx, whet_out_open(ctx, path, true, &out));
        test_ok(ctx, whet_out_printf(ctx, out, "row\trule\tvote\n"));
        for (int i = moved; i < ROWS + moved; i++)
            test_ok(ctx, whet_out_printf(ctx, out, "%d\t%d\t%d\n", i % ROWS, i % ROWS % 5,
                                         i % ROWS % 3));
        test_ok(ctx, whet_out_commit(ctx, out));
        whet_i_vote_blocks *file;
        whet_votes block;
        int64_t first;
        test_ok(ctx, whet_i_vote_blocks_open(ctx, path, &opts, &file));
        for (;; blocks[moved]++) {
            test_ok(ctx, whet_i_vote_blocks_next(ctx, file, &block, &first));
            if (block.n == 0) break;
            assert_true(block.n <= whet_i_vote_blocks_most(file));
            for (int64_t i = 0; i < block.n; i++)
                for (int64_t e = block.start[i]; e < block.start[i + 1]; e++)
                    sum[moved] += (first + i + 1) * (block.rule[e] + 7 * block.vote[e] + 1);
        }
        whet_i_vote_blocks_close(ctx, file);
    }
    assert_int_equal(blocks[0], 2);
    assert_int_equal(blocks[1], 1);
    assert_int_equal(sum[0], sum[1]);
    const char *twice =
        test_write_text("twice.tsv", "row\trule\tvote\n0\t1\t1\n4\t1\t0\n4\t1\t1\n");
    char kept[512];
    (void)snprintf(kept, sizeof kept, "%s", twice);
    test_fails(ctx, stream_once(ctx, kept), WHET_ERR_DATA);
    test_says(ctx, "row 4 has two votes of rule 1");
    (void)test_write_text("twice.tsv", "row\trule\tvote\n0\t1\t1\n4\t1\t0\n4\t3\t1\n");
    assert_true(test_each_allocation(stream_once, kept) > 5);
    test_ctx_done(ctx);
}

static void triples_in_any_order(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_vote_file *file;
    const char *path = test_write_text(
        "t.tsv", "vote\trow\tnote\trule\n2\t2\tx\t1\n0\t0\t\t2\n1\t0\t\t0\n-1\t1\t\t1\n");
    test_ok(ctx, whet_votes_read(ctx, path, NULL, &file));
    const whet_votes *v = whet_vote_file_votes(file);
    assert_true(v->n == 3 && v->m == 3 && v->k == 3);
    const int64_t start[] = {0, 2, 2, 3};
    const int32_t rule[] = {0, 2, 1}, vote[] = {1, 0, 2};
    assert_memory_equal(v->start, start, sizeof start);
    assert_memory_equal(v->rule, rule, sizeof rule);
    assert_memory_equal(v->vote, vote, sizeof vote);
    whet_vote_file_destroy(ctx, file);
    test_ctx_done(ctx);
}

static void bad_files_are_told(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
        whet_status status;
    } cases[] = {
        {"row\trule\n0\t1\n", "vote", WHET_ERR_FORMAT},
        {"row\trule\tvote\n", "no votes; expected at least one", WHET_ERR_DATA},
        {"row\trule\tvote\n0\t0\t1\n-1\t0\t1\n", ":3: row is \"-1\"", WHET_ERR_DATA},
        {"row\trule\tvote\n0\tx\t1\n", ":2: rule is \"x\"", WHET_ERR_DATA},
        {"row\trule\tvote\n0\t0\tnan\n", ":2: vote is \"nan\"", WHET_ERR_DATA},
        {"row\trule\tvote\n0\t0\t-2\n", ":2: vote is \"-2\"", WHET_ERR_DATA},
        {"row\trule\tvote\n0\t0\t1\n0\t0\t1\n", "row 0 has two votes of rule 0", WHET_ERR_DATA},
        {"row\trule\tvote\n99999999999\t0\t1\n", ":2: row is", WHET_ERR_DATA},
    };
    whet_ctx *ctx = test_ctx(1);
    whet_vote_file *file = NULL;
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        const char *path = test_write_text("bad.tsv", cases[i].text);
        test_fails(ctx, whet_votes_read(ctx, path, NULL, &file), cases[i].status);
        test_says(ctx, cases[i].says);
        assert_null(file);
    }
    whet_votes_read_opts opts = WHET_VOTES_READ_OPTS_INIT;
    const char *path = test_write_text("fine.tsv", "row\trule\tvote\n4\t1\t2\n");
    opts.rows = 4;
    test_fails(ctx, whet_votes_read(ctx, path, &opts, &file), WHET_ERR_DATA);
    test_says(ctx, "fine.tsv:2: row is \"4\"; expected a whole number from 0 to 3");
    opts = (whet_votes_read_opts)WHET_VOTES_READ_OPTS_INIT;
    opts.classes = 2;
    test_fails(ctx, whet_votes_read(ctx, path, &opts, &file), WHET_ERR_DATA);
    float real[] = {1, 0};
    whet_tensor t = {.data = real, .dtype = WHET_F32, .rank = 2, .shape = {1, 2}};
    test_ok(ctx, whet_npy_write(ctx, test_tmp("f.npy"), true, &t));
    test_fails(ctx, whet_votes_read(ctx, test_tmp("f.npy"), NULL, &file), WHET_ERR_SHAPE);
    test_says(ctx, "is f32 with 2 dimensions; expected votes [rows, rules] of int8 or int32");
    t = (whet_tensor){.data = real, .dtype = WHET_I8, .rank = 2, .shape = {5, 0}};
    test_ok(ctx, whet_npy_write(ctx, test_tmp("f.npy"), true, &t));
    test_fails(ctx, whet_votes_read(ctx, test_tmp("f.npy"), NULL, &file), WHET_ERR_SHAPE);
    test_says(ctx, "f.npy has no rules; expected at least one column");
    int8_t votes[] = {0, 1, -1, 5};
    t = (whet_tensor){.data = votes, .dtype = WHET_I8, .rank = 2, .shape = {2, 2}};
    test_ok(ctx, whet_npy_write(ctx, test_tmp("i.npy"), true, &t));
    opts = (whet_votes_read_opts)WHET_VOTES_READ_OPTS_INIT;
    opts.rows = 3;
    test_fails(ctx, whet_votes_read(ctx, test_tmp("i.npy"), &opts, &file), WHET_ERR_SHAPE);
    opts.rows = 0;
    opts.classes = 5;
    test_fails(ctx, whet_votes_read(ctx, test_tmp("i.npy"), &opts, &file), WHET_ERR_DATA);
    test_says(ctx, "i.npy: vote [1, 1] is 5; expected -1 to 4");
    t.rank = 1;
    t.shape[0] = 4;
    test_ok(ctx, whet_npy_write(ctx, test_tmp("one.npy"), true, &t));
    test_fails(ctx, whet_votes_read(ctx, test_tmp("one.npy"), NULL, &file), WHET_ERR_SHAPE);
    assert_null(file);
    test_ctx_done(ctx);
}

static void labels_by_number_and_by_name(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    int32_t *y = NULL;
    whet_names *classes;
    test_ok(ctx, whet_names_create(ctx, &classes));
    test_ok(ctx, whet_names_add(ctx, classes, whet_str_from("ham"), NULL));
    test_ok(ctx, whet_names_add(ctx, classes, whet_str_from("spam"), NULL));
    const int32_t want[] = {-1, 1, -1, 0};
    const char *sparse = test_write_text("s.tsv", "row\tlabel\n3\tham\n1\tspam\n1\tspam\n");
    test_ok(ctx, whet_class_labels_read(ctx, sparse, 4, classes, 2, &y));
    assert_memory_equal(y, want, sizeof want);
    whet_free_labels(ctx, y);
    const char *column = test_write_text("c.csv", "text,label\na,\nb,1\nc,\nd,0\n");
    test_ok(ctx, whet_class_labels_read(ctx, column, 4, NULL, 2, &y));
    assert_memory_equal(y, want, sizeof want);
    whet_free_labels(ctx, y);
    y = NULL;
    test_fails(ctx, whet_class_labels_read(ctx, column, 5, NULL, 2, &y), WHET_ERR_SHAPE);
    test_fails(ctx, whet_class_labels_read(ctx, sparse, 3, classes, 2, &y), WHET_ERR_DATA);
    test_says(ctx, "row is \"3\"");
    test_fails(ctx, whet_class_labels_read(ctx, sparse, 4, NULL, 2, &y), WHET_ERR_DATA);
    test_says(ctx, "label is \"ham\"; expected a class from 0 to 1, or a list of class names");
    const char *other = test_write_text("o.tsv", "row\tlabel\n3\teggs\n");
    test_fails(ctx, whet_class_labels_read(ctx, other, 4, classes, 2, &y), WHET_ERR_DATA);
    const char *twice = test_write_text("w.tsv", "row\tlabel\n3\tham\n3\tspam\n");
    test_fails(ctx, whet_class_labels_read(ctx, twice, 4, classes, 2, &y), WHET_ERR_DATA);
    test_says(ctx, "second label");
    int32_t array[] = {-1, 1, -1, 0};
    whet_tensor t = {.data = array, .dtype = WHET_I32, .rank = 1, .shape = {4}};
    test_ok(ctx, whet_npy_write(ctx, test_tmp("y.npy"), true, &t));
    test_ok(ctx, whet_class_labels_read(ctx, test_tmp("y.npy"), 4, NULL, 2, &y));
    assert_memory_equal(y, want, sizeof want);
    whet_free_labels(ctx, y);
    y = NULL;
    test_fails(ctx, whet_class_labels_read(ctx, test_tmp("y.npy"), 4, NULL, 1, &y), WHET_ERR_DATA);
    test_says(ctx, "label [1] is 1; expected -1 to 0");
    test_fails(ctx, whet_class_labels_read(ctx, test_tmp("y.npy"), 5, NULL, 2, &y), WHET_ERR_SHAPE);
    assert_null(y);
    whet_names_destroy(ctx, classes);
    test_ctx_done(ctx);
}

/* Held-out scores by hand: one rule that is always right, labels on rows it votes on and not. */
static void scores_are_of_labels_not_seen(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, 600, 5, 2, 3);
    whet_label_model_opts opts = WHET_LABEL_MODEL_OPTS_INIT;
    whet_label_score scores[WHET_LABEL_METHODS];
    whet_label_method best;
    for (int i = 0; i < 600; i++) {
        for (int j = 0; j < 5; j++) d.narrow[i * 5 + j] = (int8_t)(j < 3 ? d.truth[i] : -1);
        if (i % 4 == 0) memset(d.narrow + i * 5, -1, 5);
    }
    int32_t labels[600];
    for (int i = 0; i < 600; i++) labels[i] = i < 40 ? d.truth[i] : -1;
    opts.labels = labels;
    test_ok(ctx, whet_label_models_compare(ctx, &d.votes, &opts, 5, 1, scores, &best));
    for (int m = 0; m < WHET_LABEL_METHODS; m++) {
        assert_int_equal(scores[m].n, 40);
        assert_int_equal(scores[m].covered, 30);
        assert_true(fabs(scores[m].accuracy - .75) < 1e-12);
        assert_true(fabs(scores[m].covered_accuracy - 1) < 1e-12);
        assert_true(scores[m].log_loss <= scores[WHET_LABEL_MAJORITY].log_loss + .1);
    }
    for (int i = 0; i < 600; i++) labels[i] = -1;
    test_fails(ctx, whet_label_models_compare(ctx, &d.votes, &opts, 5, 1, scores, &best),
               WHET_ERR_DATA);
    test_says(ctx, "0 labels");
    /* labels that contradict every rule: what a model learns from them it may use, but not to look
     * right on the very label it is judged by; majority is always wrong */
    for (int i = 0; i < 600; i++) labels[i] = i < 40 ? 1 - d.truth[i] : -1;
    test_ok(ctx, whet_label_models_compare(ctx, &d.votes, &opts, 5, 1, scores, &best));
    assert_true(scores[WHET_LABEL_MAJORITY].accuracy < 1e-12);
    assert_true(scores[WHET_LABEL_SNORKEL].accuracy < .1); /* knows the labels' balance alone */
    assert_true(scores[best].accuracy >= scores[WHET_LABEL_MAJORITY].accuracy);
    opts.step = 1e6; /* one that diverges keeps nobody back */
    test_ok(ctx, whet_label_models_compare(ctx, &d.votes, &opts, 5, 1, scores, &best));
    for (int m = 0; m < WHET_LABEL_METHODS; m++) {
        assert_true(scores[m].failed == (m == WHET_LABEL_SNORKEL));
        assert_true(isnan(scores[m].accuracy) == scores[m].failed);
    }
    assert_true(best != WHET_LABEL_SNORKEL);
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

static whet_status fit_files(whet_ctx *ctx, void *arg) {
    whet_label_fit_job job = WHET_LABEL_FIT_JOB_INIT;
    whet_label_fit_result r;
    (void)arg;
    job.votes = test_tmp("fit.tsv");
    job.labels = test_tmp("fit-labels.tsv");
    job.balance = "1,2,1";
    job.model.method = WHET_LABEL_ONE_COIN;
    job.probs = test_tmp("fit.npy");
    job.predictions = test_tmp("fit-out.tsv");
    job.force = true;
    job.folds = 2;
    job.model.epochs = 2;
    const whet_status status = whet_label_fit_run(ctx, &job, &r);
    if (status == WHET_OK) {
        assert_true(r.compared && r.labelled == 3 && r.rows == 30);
        whet_label_fit_result_destroy(ctx, &r);
    }
    return status;
}

static void survives_failing_allocations(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, 30, 4, 3, 2);
    d.narrow[29 * 4 + 3] = 2;
    test_ok(ctx, whet_votes_write(ctx, test_tmp("fit.tsv"), true, &d.votes));
    (void)test_write_text("fit-labels.tsv", "row\tlabel\n0\t1\n1\t2\n5\t0\n");
    assert_true(test_each_allocation(fit_files, NULL) > 50);
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(votes_come_back_from_every_form),
        cmocka_unit_test(triples_in_order_of_rows_come_in_blocks),
        cmocka_unit_test(blocks_of_a_large_table_are_its_rows),
        cmocka_unit_test(triples_in_any_order),
        cmocka_unit_test(bad_files_are_told),
        cmocka_unit_test(labels_by_number_and_by_name),
        cmocka_unit_test(scores_are_of_labels_not_seen),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
