/* SPDX-License-Identifier: Apache-2.0
 * Sparse rows from files of any length: what is asked for in any order is what the file says, memory does
 * not grow with rows, and no bytes do harm. */
#include "space_support.h"

#include <stdio.h>

#include "io/io_i.h"

enum { K = 7 };

/* Row i has number `step` i and 1 + i % 5 classes from i % K on, the last one with p 0 unless alone. */
static int64_t entries_of(int64_t i) { return 1 + i % 5; }
static int64_t class_of(int64_t i, int64_t e) { return (i + e) % K; }
static double p_of(int64_t i, int64_t e) {
    return e > 0 && e == entries_of(i) - 1 ? 0 : (double)(i % 1000 + e + 1);
}

static const char *write_table(whet_ctx *ctx, const char *name, int64_t rows, int64_t step) {
    whet_i_buf text = {0};
    test_ok(ctx, whet_i_buf_printf(ctx, &text, "class\tp\trow\n"));
    for (int64_t i = 0; i < rows; i++)
        for (int64_t e = 0; e < entries_of(i); e++)
            test_ok(ctx, whet_i_buf_printf(ctx, &text, "c%d\t%g\t%lld\n", (int)class_of(i, e),
                                           p_of(i, e), (long long)(i * step)));
    const char *path = test_write(name, text.data, text.len);
    whet_i_buf_free(ctx, &text);
    return path;
}

/* start: entries that belong to no row. */
static const char *write_archive(whet_ctx *ctx, const char *name, int64_t rows, int64_t start) {
    int64_t n = start, size[2] = {rows, K};
    for (int64_t i = 0; i < rows; i++) n += entries_of(i);
    int64_t *indptr = TEST_NEW(int64_t, rows + 1);
    int32_t *indices = TEST_NEW(int32_t, n);
    float *data = TEST_NEW(float, n);
    indptr[0] = start;
    for (int64_t i = 0; i < rows; i++) {
        indptr[i + 1] = indptr[i] + entries_of(i);
        for (int64_t e = 0; e < entries_of(i); e++) {
            indices[indptr[i] + e] = (int32_t)class_of(i, e);
            data[indptr[i] + e] = (float)p_of(i, e);
        }
    }
    const whet_named_tensor items[] = {{"indptr", {indptr, WHET_I64, 1, {rows + 1}}},
                                       {"indices", {indices, WHET_I32, 1, {n}}},
                                       {"data", {data, WHET_F32, 1, {n}}},
                                       {"shape", {size, WHET_I64, 1, {2}}}};
    const char *path = test_tmp(name);
    test_ok(ctx, whet_npz_write(ctx, path, true, items, 4));
    free(indptr);
    free(indices);
    free(data);
    return path;
}

static const char *write_classes(void) {
    return test_write_text("classes.txt", "c0\nc1\nc2\nc3\nc4\nc5\nc6\n");
}

static void holds(whet_ctx *ctx, whet_posteriors *p, int64_t first, int64_t n, int64_t step) {
    whet_sparse_rows r;
    test_ok(ctx, whet_posteriors_entries(ctx, p, first, n, &r));
    assert_int_equal(r.rows, n);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(whet_posteriors_row(p, first + i), (first + i) * step);
        assert_int_equal(r.first[i + 1] - r.first[i], entries_of(first + i));
        for (int64_t e = 0; e < entries_of(first + i); e++) {
            const whet_str name =
                whet_names_get(whet_posteriors_classes(p), r.column[r.first[i] + e]);
            assert_int_equal(name.ptr[1] - '0', class_of(first + i, e));
            assert_true(r.p[r.first[i] + e] == p_of(first + i, e));
        }
    }
}

/* Forwards in blocks of odd sizes, one by one, back, and over gaps. */
static void visit(whet_ctx *ctx, const char *probs, const char *classes, int64_t rows,
                  int64_t step) {
    whet_posteriors *p = NULL;
    double block[2 * K];
    test_ok(ctx, whet_posteriors_read(ctx, probs, classes, &p));
    assert_true(whet_posteriors_are_sparse(p));
    assert_int_equal(whet_posteriors_rows(p), rows);
    int64_t entries = 0;
    for (int64_t i = 0; i < rows; i++) entries += entries_of(i);
    assert_int_equal(whet_posteriors_entry_count(p), entries);
    for (int64_t at = 0, n = 1; at < rows; at += n, n = (7 * n + 3) % 4099)
        holds(ctx, p, at, n < rows - at ? n : rows - at, step);
    holds(ctx, p, 0, rows, step);
    for (int64_t at = 0; at < rows; at += 997) holds(ctx, p, at, 1, step);
    for (int64_t at = rows - 1; at >= 0; at -= 9001) holds(ctx, p, at, 1, step);
    holds(ctx, p, rows, 0, step);
    test_ok(ctx, whet_posteriors_block(ctx, p, rows - 2, 2, block));
    for (int64_t e = 0; e < entries_of(rows - 1); e++) {
        char name[] = "c0";
        name[1] = (char)('0' + class_of(rows - 1, e));
        const int64_t j = whet_names_find(whet_posteriors_classes(p), whet_str_from(name));
        assert_true(block[K + j] == p_of(rows - 1, e));
    }
    test_fails(ctx, whet_posteriors_block(ctx, p, rows - 1, 2, block), WHET_ERR_ARG);
    whet_posteriors_destroy(ctx, p);
}

static void rows_come_as_the_file_has_them(void **state) {
    (void)state;
    enum { ROWS = 50000 };
    whet_ctx *ctx = test_ctx(1);
    visit(ctx, write_table(ctx, "t.tsv", ROWS, 1), NULL, ROWS, 1);
    visit(ctx, write_table(ctx, "t.tsv", ROWS, 3), NULL, ROWS, 3);
    visit(ctx, write_archive(ctx, "a.npz", ROWS, 0), write_classes(), ROWS, 1);
    visit(ctx, write_archive(ctx, "a.npz", 9000, 5000), write_classes(), 9000, 1);
    test_ctx_done(ctx);
}

/* Labels of a table with gaps, by number. */
static void gaps_are_known_to_labels(void **state) {
    (void)state;
    enum { ROWS = 6000 };
    whet_ctx *ctx = test_ctx(1);
    whet_posteriors *p = NULL;
    whet_space *space = NULL;
    int64_t *labels = TEST_NEW(int64_t, ROWS);
    test_ok(ctx, whet_posteriors_read(ctx, write_table(ctx, "t.tsv", ROWS, 5), NULL, &p));
    test_ok(ctx, whet_space_open(ctx, "discrete", whet_posteriors_classes(p), &space));
    assert_int_equal(whet_posteriors_row(p, ROWS - 1), -1);
    const char *path =
        test_write_text("y.tsv", "row\tlabel\n29995\tc3\n0\tc2\n29996\tc1\n15000\tc4\n");
    test_ok(ctx, whet_posteriors_labels(ctx, p, space, path, labels));
    for (int64_t i = 0; i < ROWS; i++) {
        const int want = i == 0 ? 2 : i == 3000 ? 4 : i == ROWS - 1 ? 3 : -1;
        assert_int_equal(labels[i], want);
        assert_int_equal(whet_posteriors_row(p, i), 5 * i);
    }
    free(labels);
    whet_space_destroy(ctx, space);
    whet_posteriors_destroy(ctx, p);
    test_ctx_done(ctx);
}

/* Most memory held while a job goes through the rows. */
static size_t peak_of(const char *probs, const char *classes) {
    whet_ctx *ctx = test_ctx(2);
    whet_predict_job job = WHET_PREDICT_JOB_INIT;
    whet_predict_report report;
    size_t peak;
    job.probs = probs;
    job.classes = classes;
    job.space = "discrete";
    job.output = test_tmp("out.tsv");
    job.force = true;
    job.temperature = 2;
    test_ok(ctx, whet_predict(ctx, &job, &report));
    whet_ctx_memory(ctx, NULL, &peak);
    test_ctx_done(ctx);
    return peak;
}

static void memory_does_not_grow_with_rows(void **state) {
    (void)state;
    enum { FEW = 100000, MANY = 400000, SLACK = 1 << 16 };
    whet_ctx *ctx = test_ctx(1);
    for (int64_t step = 1; step < 3; step++) {
        const size_t few = peak_of(write_table(ctx, "t.tsv", FEW, step), NULL);
        const size_t many = peak_of(write_table(ctx, "t.tsv", MANY, step), NULL);
        if (many > few + SLACK) fail_msg("%zu bytes; expected about %zu", many, few);
    }
    const size_t few = peak_of(write_archive(ctx, "a.npz", FEW, 0), write_classes());
    const size_t many = peak_of(write_archive(ctx, "a.npz", MANY, 0), write_classes());
    if (many > few + SLACK) fail_msg("%zu bytes; expected about %zu", many, few);
    test_ctx_done(ctx);
}

/* Whole rows in an archive, as many as come by at once and many more. */
static const char *write_dense(whet_ctx *ctx, int64_t rows) {
    float *x = TEST_NEW(float, rows *K);
    for (int64_t i = 0; i < rows * K; i++) x[i] = (float)(1 + i % 13);
    const whet_named_tensor item = {"p", {x, WHET_F32, 2, {rows, K}}};
    const char *path = test_tmp("d.npz");
    test_ok(ctx, whet_npz_write(ctx, path, true, &item, 1));
    free(x);
    return path;
}

static void nor_with_whole_rows_of_an_archive(void **state) {
    (void)state;
    enum { FEW = 20000, MANY = 200000, SLACK = 1 << 16 };
    whet_ctx *ctx = test_ctx(1);
    const size_t few = peak_of(write_dense(ctx, FEW), write_classes());
    const size_t many = peak_of(write_dense(ctx, MANY), write_classes());
    if (many > few + SLACK) fail_msg("%zu bytes; expected about %zu", many, few);
    test_ctx_done(ctx);
}

/* Cut behind every byte, and with every byte changed: refused with a sentence, or read to the end. */
static void damaged_archives_do_no_harm(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    (void)write_classes();
    char *bytes = NULL;
    int64_t len, refused = 0;
    test_ok(ctx, whet_i_file_read(ctx, write_archive(ctx, "a.npz", 6, 1), 1 << 20, &bytes, &len));
    for (int64_t i = 0; i < 3 * len; i++) {
        whet_posteriors *p = NULL;
        whet_sparse_rows r;
        const int64_t at = i / 3;
        const char kept = bytes[at];
        if (i % 3) bytes[at] = (char)(kept ^ (i % 3 == 1 ? 1 : 0x80));
        const char *path = test_write("b.npz", bytes, i % 3 ? len : at);
        bytes[at] = kept;
        if (whet_posteriors_read(ctx, path, test_tmp("classes.txt"), &p) != WHET_OK) {
            assert_true(whet_error(ctx)[0] != '\0');
            refused++;
            continue;
        }
        if (whet_posteriors_are_sparse(p))
            test_ok(ctx, whet_posteriors_entries(ctx, p, 0, whet_posteriors_rows(p), &r));
        whet_posteriors_destroy(ctx, p);
    }
    assert_true(refused > len);
    whet_i_free(ctx, bytes);
    test_ctx_done(ctx);
}

static whet_status read_all(whet_ctx *ctx, void *arg) {
    const char *const *paths = arg;
    whet_posteriors *p = NULL;
    whet_sparse_rows r;
    WHET_TRY(whet_posteriors_read(ctx, paths[0], paths[1], &p));
    const int64_t rows = whet_posteriors_rows(p);
    whet_status status = whet_posteriors_entries(ctx, p, rows - 1, 1, &r);
    if (status == WHET_OK) status = whet_posteriors_entries(ctx, p, 0, rows, &r);
    whet_posteriors_destroy(ctx, p);
    return status;
}

static void each_failing_allocation_is_survived(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *table[] = {write_table(ctx, "t.tsv", 3000, 2), NULL};
    const char *archive[] = {write_archive(ctx, "a.npz", 3000, 3), write_classes()};
    const char *mixed[] = {test_write_text("m.tsv", "row\tclass\tp\n1\ta\t1\n0\tb\t1\n"), NULL};
    test_ctx_done(ctx);
    assert_true(test_each_allocation(read_all, table) > 20);
    assert_true(test_each_allocation(read_all, archive) > 20);
    assert_true(test_each_allocation(read_all, mixed) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_as_the_file_has_them),
        cmocka_unit_test(gaps_are_known_to_labels),
        cmocka_unit_test(memory_does_not_grow_with_rows),
        cmocka_unit_test(nor_with_whole_rows_of_an_archive),
        cmocka_unit_test(damaged_archives_do_no_harm),
        cmocka_unit_test(each_failing_allocation_is_survived),
    };
    return cmocka_run_group_tests_name("space/posteriors", tests, NULL, NULL);
}
