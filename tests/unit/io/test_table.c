/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/io_i.h"

static whet_table *read_text(whet_ctx *ctx, const char *name, const char *text) {
    whet_table *table = NULL;
    test_ok(ctx, whet_table_read(ctx, test_write_text(name, text), &table));
    return table;
}

static void refuses(const char *name, const char *text, const char *says) {
    whet_ctx *ctx = test_ctx(1);
    whet_table *table = NULL;
    test_fails(ctx, whet_table_read(ctx, test_write_text(name, text), &table), WHET_ERR_FORMAT);
    test_says(ctx, says);
    assert_null(table);
    test_ctx_done(ctx);
}

static void cell_is(const whet_table *table, int64_t row, int64_t column, const char *expected) {
    const whet_str cell = whet_table_cell(table, row, column);
    assert_int_equal(cell.len, strlen(expected));
    assert_string_equal(cell.ptr, expected); /* also: NUL-terminated */
}

static void tsv_rows_cells_and_lines(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_table *t =
        read_text(ctx, "a.tsv", "\xef\xbb\xbftext\tlabel\r\nhello \"x\"\t1\r\n\t\r\nlast,\t2");
    assert_int_equal(whet_table_rows(t), 3);
    assert_int_equal(whet_names_count(whet_table_columns(t)), 2);
    assert_string_equal(whet_names_get(whet_table_columns(t), 0).ptr, "text");
    cell_is(t, 0, 0, "hello \"x\"");
    cell_is(t, 0, 1, "1");
    cell_is(t, 1, 0, "");
    cell_is(t, 1, 1, "");
    cell_is(t, 2, 0, "last,");
    cell_is(t, 2, 1, "2");
    assert_int_equal(whet_table_line(t, 2), 4);
    whet_table_destroy(ctx, t);
    test_ctx_done(ctx);
}

static void tsv_edges_of_the_format(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_table *t = read_text(ctx, "h.txt", "only a header");
    assert_int_equal(whet_table_rows(t), 0);
    whet_table_destroy(ctx, t);
    t = read_text(ctx, "one.tsv", "name\na\n\nb\n");
    assert_int_equal(whet_table_rows(t), 3); /* the empty line is an empty cell */
    cell_is(t, 1, 0, "");
    cell_is(t, 2, 0, "b");
    whet_table_destroy(ctx, t);
    t = read_text(ctx, "two.tsv", "a\tb\n1\t2\n\n\r\n");
    assert_int_equal(whet_table_rows(t), 1); /* empty lines at the end are nothing */
    whet_table_destroy(ctx, t);
    whet_table *nul = NULL;
    test_ok(ctx, whet_table_read(ctx, test_write("nul.tsv", "a\tb\n1\0x\t2\n", 10), &nul));
    assert_int_equal(whet_table_cell(nul, 0, 0).len, 3);
    assert_memory_equal(whet_table_cell(nul, 0, 0).ptr, "1\0x", 3);
    whet_table_destroy(ctx, nul);
    test_ctx_done(ctx);
}

static void tsv_refusals_name_the_line(void **state) {
    (void)state;
    refuses("r.tsv", "a\tb\n1\t2\n1\n", "r.tsv:3: row has 1 cells; expected 2");
    refuses("r.tsv", "a\tb\n1\t2\t3\n", "r.tsv:2: row has 3 cells; expected 2");
    refuses("r.tsv", "a\tb\n1\t2\n\n1\t2\n", "r.tsv:3: row has 1 cells; expected 2");
    refuses("r.tsv", "a\ta\n", "r.tsv:1: column \"a\" appears twice");
    refuses("r.tsv", "a\t\n", "r.tsv:1: column 2 has no name");
    refuses("r.tsv", "", "r.tsv:1: empty; expected a header line");
    refuses("r.tsv", "\n\n", "empty");
    refuses("r.tsv", "\xff\xfe\x61", "UTF-16");
    refuses("r.tsv", "\x1f\x8b\x08", "try gunzip");
    refuses("r.csv", "PK\x03\x04\x14", "spreadsheet");
}

static void csv_quotes_commas_and_line_feeds(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_table *t = read_text(ctx, "q.csv",
                              "\xef\xbb\xbf\"te,xt\",label\r\n\"two\nlines \"\"q\"\"\", 1 \r\n\r\n"
                              "plain,\r\n,\"\"");
    assert_int_equal(whet_table_rows(t), 3);
    assert_string_equal(whet_names_get(whet_table_columns(t), 0).ptr, "te,xt");
    cell_is(t, 0, 0, "two\nlines \"q\"");
    cell_is(t, 0, 1, " 1 ");
    cell_is(t, 1, 0, "plain");
    cell_is(t, 1, 1, "");
    cell_is(t, 2, 0, "");
    cell_is(t, 2, 1, "");
    assert_int_equal(whet_table_line(t, 0), 2);
    assert_int_equal(whet_table_line(t, 1), 5);
    assert_int_equal(whet_table_line(t, 2), 6);
    whet_table_destroy(ctx, t);
    test_ctx_done(ctx);
}

static void csv_refusals_name_the_line(void **state) {
    (void)state;
    refuses("r.csv", "a,b\n\"x\ny\",2\n1\n", "r.csv:4: row has 1 cells; expected 2");
    refuses("r.csv", "a,b\n1,2\n\n3,4,5\n", "r.csv:4: row has 3 cells; expected 2");
    refuses("r.csv", "a,b\n1,2\n3,\"open\n\n", "r.csv:3: quote opened in this row");
    refuses("r.csv", "a,b\n1,x\"y\n", "r.csv:2:4: quote inside a cell");
    refuses("r.csv", "a,b\n1,\"x\"y\n", "r.csv:2:");
    refuses("r.csv", "a,a\n", "r.csv:1: column \"a\" appears twice");
    refuses("r.csv", "", "empty");
}

static void jsonl_members_become_columns(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_table *t = read_text(ctx, "m.jsonl",
                              "{\"text\": \"a\\n\\u00e9\\ud83d\\ude00\\\"\", \"n\": 1.50}\r\n\n"
                              "{\"n\": 12345678901234567890, \"ok\": true}\n"
                              " { \"text\" : null , \"x\" : [1, {\"k\":\"]\"}] } \n{}\n"
                              "{\"x\":false,\"\\u0074ext\":\"\\ud800-\\u0000\",\"n\":-0e1}");
    assert_int_equal(whet_table_rows(t), 5);
    assert_int_equal(whet_names_count(whet_table_columns(t)), 4);
    cell_is(t, 0, 0, "a\n\xc3\xa9\xf0\x9f\x98\x80\"");
    cell_is(t, 0, 1, "1.50");
    cell_is(t, 0, 2, "");
    cell_is(t, 1, 0, "");
    cell_is(t, 1, 1, "12345678901234567890");
    cell_is(t, 1, 2, "true");
    cell_is(t, 2, 0, "");
    cell_is(t, 2, 3, "[1, {\"k\":\"]\"}]");
    cell_is(t, 3, 3, "");
    cell_is(t, 4, 3, "false");
    cell_is(t, 4, 1, "-0e1");
    assert_int_equal(whet_table_cell(t, 4, 0).len, 5);
    assert_memory_equal(whet_table_cell(t, 4, 0).ptr, "\xef\xbf\xbd-\0", 6);
    assert_int_equal(whet_table_line(t, 1), 3);
    assert_int_equal(whet_table_line(t, 4), 6);
    whet_table_destroy(ctx, t);
    test_ctx_done(ctx);
}

static void jsonl_refusals_name_line_and_column(void **state) {
    (void)state;
    refuses("r.jsonl", "{\"a\": 1}\n[1]\n", "r.jsonl:2:1: \"[\"; expected an object");
    refuses("r.jsonl", "{\"a\": 1,}\n", "r.jsonl:1:9: ");
    refuses("r.jsonl", "{\"a\": 1} x\n", "r.jsonl:1:10: \"x\"; expected the end of the line");
    refuses("r.jsonl", "{\"a\": 01}\n", "r.jsonl:1:8: ");
    refuses("r.jsonl", "{\"a\": \"x\n", "r.jsonl:1:9: end of line; expected a closing quote");
    refuses("r.jsonl", "{\"a\": \"\\q\"}\n", "behind a backslash");
    refuses("r.jsonl", "{\"a\": \"\\u12g4\"}\n", "four hexadecimal digits");
    refuses("r.jsonl", "{\"a\": 1, \"a\": 2}\n", "r.jsonl:1: member \"a\" appears twice");
    refuses("r.jsonl", "{\"\": 1}\n", "has no name");
    refuses("r.jsonl", "{\"a\": [1, {]}\n", "well-formed array or object");
    refuses("r.jsonl", "{\"a\": NaN}\n", "expected a value");
    refuses("r.jsonl", "{\"a\": 1. }\n", "digit behind the point");
    refuses("r.jsonl", "{\"a\": 1e }\n", "digit of the exponent");
}

/* Cut behind every byte: whole lines stay, and a line is torn unless all of its object is there. */
static void a_torn_last_line_is_left_out(void **state) {
    (void)state;
    static const char text[] = "{\"a\":\"1\"}\n\n{\"a\":\"\xc3\xa9\"}\n";
    const int64_t first = 9, second = 11, whole = 21; /* ends of objects, begin of the second */
    whet_ctx *ctx = test_ctx(1);
    for (int64_t len = 0; len < (int64_t)sizeof text; len++) {
        whet_table *t = NULL;
        int64_t torn = -1;
        test_ok(ctx, whet_i_journal_read(ctx, test_write("grows", text, len), &t, &torn));
        assert_int_equal(whet_table_rows(t), (len >= first) + (len >= whole));
        const bool cut = (len > 0 && len < first) || (len > second && len < whole);
        assert_int_equal(torn, !cut ? 0 : len < first ? 1 : 3);
        whet_table_destroy(ctx, t);
    }
    whet_table *none = NULL;
    int64_t torn = -1;
    test_fails(ctx,
               whet_i_journal_read(ctx, test_write_text("torn", "{\"a\n{\"a\":1}\n"), &none, &torn),
               WHET_ERR_FORMAT);
    test_says(ctx, "torn:1:");
    assert_true(!none && torn == -1);
    test_ctx_done(ctx);
}

static void long_lines_and_many_rows_arrive(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    enum { LONG = 1 << 20, ROWS = 70000 };
    whet_i_buf text = {0};
    test_ok(ctx, whet_i_buf_printf(ctx, &text, "id,text\n"));
    for (int i = 0; i < ROWS; i++)
        test_ok(ctx, whet_i_buf_printf(ctx, &text, "%d,row %d\n", i, i * 7));
    test_ok(ctx, whet_i_buf_printf(ctx, &text, "x,"));
    char *line = malloc(LONG);
    assert_non_null(line);
    memset(line, 'y', LONG);
    test_ok(ctx, whet_i_buf_append(ctx, &text, line, LONG));
    free(line);
    for (int format = 0; format < 2; format++) {
        if (format == 1)
            for (int64_t i = 0; i < text.len; i++)
                if (text.data[i] == ',') text.data[i] = '\t';
        const char *path = test_write(format ? "big.tsv" : "big.csv", text.data, text.len);
        whet_table *t = NULL;
        test_ok(ctx, whet_table_read(ctx, path, &t));
        assert_int_equal(whet_table_rows(t), ROWS + 1);
        cell_is(t, 69999, 1, "row 489993");
        assert_int_equal(whet_table_cell(t, ROWS, 1).len, LONG);
        assert_int_equal(whet_table_line(t, ROWS), ROWS + 2);
        whet_table_destroy(ctx, t);
    }
    whet_i_buf_free(ctx, &text);
    test_ctx_done(ctx);
}

static void an_unknown_column_lists_the_nearest(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_table *t = read_text(ctx, "c.tsv", "id\tlabel\tTEXT\tdate\n");
    int64_t column = -7;
    test_ok(ctx, whet_table_find(ctx, t, "date", &column));
    assert_int_equal(column, 3);
    test_fails(ctx, whet_table_find(ctx, t, "text", &column), WHET_ERR_ARG);
    test_says(ctx, "c.tsv: no column \"text\"; expected one of \"TEXT\", ");
    assert_int_equal(column, 3);
    whet_table_destroy(ctx, t);
    t = read_text(ctx, "w.tsv", "a0\ta1\ta2\ta3\ta4\ta5\ta6\ta7\ta8\tzebra\n");
    test_fails(ctx, whet_table_find(ctx, t, "zebras", &column), WHET_ERR_ARG);
    test_says(ctx, "expected one of \"zebra\", \"a0\"");
    test_says(ctx, ", ...");
    whet_table_destroy(ctx, t);
    test_ctx_done(ctx);
}

static void an_unknown_extension_is_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_table *t = NULL;
    test_fails(ctx, whet_table_read(ctx, test_write_text("a.xlsx", "x"), &t), WHET_ERR_UNSUPPORTED);
    test_says(ctx, "expected .tsv");
    test_fails(ctx, whet_table_read(ctx, test_tmp("absent.tsv"), &t), WHET_ERR_IO);
    test_ctx_done(ctx);
}

static void class_lists_are_distinct_names(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_names *names = NULL;
    const char *path = test_write_text("c.txt", "\xef\xbb\xbf"
                                                "b\r\n\r\na a\n\nc");
    test_ok(ctx, whet_names_read(ctx, path, &names));
    assert_int_equal(whet_names_count(names), 3);
    assert_string_equal(whet_names_get(names, 0).ptr, "b");
    assert_string_equal(whet_names_get(names, 1).ptr, "a a");
    whet_names_destroy(ctx, names);
    names = NULL;
    path = test_write_text("s.txt", " b\t\r\n \t\na  a \n");
    test_ok(ctx, whet_names_read(ctx, path, &names));
    assert_int_equal(whet_names_count(names), 2);
    assert_string_equal(whet_names_get(names, 0).ptr, "b");
    assert_string_equal(whet_names_get(names, 1).ptr, "a  a");
    whet_names_destroy(ctx, names);
    names = NULL;
    path = test_write_text("t.txt", "x\n  \ny\nz\n y \n");
    test_fails(ctx, whet_names_read(ctx, path, &names), WHET_ERR_FORMAT);
    test_says(ctx, "t.txt:5: \"y\" is on line 3 already");
    path = test_write_text("d.txt", "x\n\ny\nz\ny\n");
    test_fails(ctx, whet_names_read(ctx, path, &names), WHET_ERR_FORMAT);
    test_says(ctx, "d.txt:5: \"y\" is on line 3 already");
    assert_null(names);
    test_ctx_done(ctx);
}

static whet_status read_all(whet_ctx *ctx, void *arg) {
    (void)arg;
    static const char *const names[] = {"al.tsv", "al.jsonl", "al.csv"};
    for (int i = 0; i < 3; i++) {
        whet_table *t = NULL;
        WHET_TRY(whet_table_read(ctx, test_tmp(names[i]), &t));
        whet_table_destroy(ctx, t);
    }
    whet_names *list = NULL;
    WHET_TRY(whet_names_read(ctx, test_tmp("al.txt"), &list));
    whet_names_destroy(ctx, list);
    return WHET_OK;
}

static void each_failing_allocation_is_survived(void **state) {
    (void)state;
    (void)test_write_text("al.tsv", "a\tb\n1\t2\n");
    (void)test_write_text("al.jsonl", "{\"a\":1}\n{\"b\":2,\"c\":\"x\"}\n");
    (void)test_write_text("al.csv", "a,b\n1,\"2\"\n");
    (void)test_write_text("al.txt", "a\nb\n");
    assert_true(test_each_allocation(read_all, NULL) > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tsv_rows_cells_and_lines),
        cmocka_unit_test(tsv_edges_of_the_format),
        cmocka_unit_test(tsv_refusals_name_the_line),
        cmocka_unit_test(csv_quotes_commas_and_line_feeds),
        cmocka_unit_test(csv_refusals_name_the_line),
        cmocka_unit_test(jsonl_members_become_columns),
        cmocka_unit_test(jsonl_refusals_name_line_and_column),
        cmocka_unit_test(a_torn_last_line_is_left_out),
        cmocka_unit_test(long_lines_and_many_rows_arrive),
        cmocka_unit_test(an_unknown_column_lists_the_nearest),
        cmocka_unit_test(an_unknown_extension_is_refused),
        cmocka_unit_test(class_lists_are_distinct_names),
        cmocka_unit_test(each_failing_allocation_is_survived),
    };
    return cmocka_run_group_tests_name("io/table", tests, NULL, NULL);
}
