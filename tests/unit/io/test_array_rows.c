/* SPDX-License-Identifier: Apache-2.0
 * Arrays row by row: every kind of file gives, in whatever order rows are asked for, what the whole array
 * holds; what does not fit into memory is refused before it is read. */
#include "support.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/npy_i.h"

enum { ROWS = 700, WIDE = 300 }; /* rows are more than one piece of values */

/* f32 values that tell their place. */
static float *values_of(whet_ctx *ctx) {
    float *x;
    test_ok(ctx, whet_i_alloc(ctx, ROWS * WIDE, &x));
    for (int64_t i = 0; i < ROWS * WIDE; i++) x[i] = (float)i;
    return x;
}

static void holds(whet_ctx *ctx, whet_i_array_rows *r, const float *x, int64_t first, int64_t n) {
    double *wide;
    float *same;
    test_ok(ctx, whet_i_alloc(ctx, n * WIDE, &wide));
    test_ok(ctx, whet_i_alloc(ctx, n * WIDE, &same));
    test_ok(ctx, whet_i_array_rows_read(ctx, r, first, n, WHET_F64, wide));
    test_ok(ctx, whet_i_array_rows_read(ctx, r, first, n, WHET_F32, same));
    for (int64_t i = 0; i < n * WIDE; i++) assert_true(wide[i] == (double)x[first * WIDE + i]);
    assert_memory_equal(same, x + first * WIDE, (size_t)(n * WIDE) * sizeof *same);
    whet_i_free(ctx, same);
    whet_i_free(ctx, wide);
}

static void visit(whet_ctx *ctx, const char *spec, const float *x) {
    whet_i_array_rows *r = NULL;
    test_ok(ctx, whet_i_array_rows_open(ctx, spec, &r));
    const whet_tensor *head = whet_i_array_rows_head(r);
    assert_null(head->data);
    assert_int_equal(head->rank, 2);
    assert_int_equal(head->shape[0], ROWS);
    assert_int_equal(head->shape[1], WIDE);
    for (int64_t at = 0, n = 1; at < ROWS; at += n, n = n % 97 * 2 + 1)
        holds(ctx, r, x, at, n < ROWS - at ? n : ROWS - at);
    holds(ctx, r, x, ROWS - 1, 1);
    holds(ctx, r, x, 3, 2);
    holds(ctx, r, x, 0, ROWS);
    holds(ctx, r, x, ROWS, 0);
    float one;
    test_fails(ctx, whet_i_array_rows_read(ctx, r, ROWS - 1, 2, WHET_F32, &one), WHET_ERR_ARG);
    test_fails(ctx, whet_i_array_rows_read(ctx, r, -1, 1, WHET_F32, &one), WHET_ERR_ARG);
    whet_i_array_rows_close(ctx, r);
}

/* The same numbers in Fortran order, as numpy writes them. */
static const char *write_fortran(whet_ctx *ctx, const float *x) {
    static const char header[] = "{'descr': '<f4', 'fortran_order': True, 'shape': (700, 300), }";
    whet_i_buf bytes = {0};
    char prefix[10] = "\x93NUMPY\1\0";
    prefix[8] = (char)(sizeof header - 1);
    test_ok(ctx, whet_i_buf_append(ctx, &bytes, prefix, sizeof prefix));
    test_ok(ctx, whet_i_buf_append(ctx, &bytes, header, sizeof header - 1));
    for (int64_t j = 0; j < WIDE; j++)
        for (int64_t i = 0; i < ROWS; i++)
            test_ok(ctx, whet_i_buf_append(ctx, &bytes, (const char *)&x[i * WIDE + j], sizeof *x));
    const char *path = test_write("fortran.npy", bytes.data, bytes.len);
    whet_i_buf_free(ctx, &bytes);
    return path;
}

static void every_file_gives_its_rows(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    float *x = values_of(ctx);
    const whet_tensor t = {x, WHET_F32, 2, {ROWS, WIDE}};
    const whet_named_tensor items[] = {{"one", {x, WHET_F32, 1, {3}}}, {"two", t}};
    char spec[1300];
    test_ok(ctx, whet_npy_write(ctx, test_tmp("x.npy"), true, &t));
    visit(ctx, test_tmp("x.npy"), x);
    visit(ctx, write_fortran(ctx, x), x);
    test_ok(ctx, whet_npz_write(ctx, test_tmp("x.npz"), true, &items[1], 1));
    visit(ctx, test_tmp("x.npz"), x);
    test_ok(ctx, whet_npz_write(ctx, test_tmp("y.npz"), true, items, 2));
    (void)snprintf(spec, sizeof spec, "%s:two", test_tmp("y.npz"));
    visit(ctx, spec, x);
    test_ok(ctx, whet_safetensors_write(ctx, test_tmp("x.safetensors"), true, items, 2, NULL));
    (void)snprintf(spec, sizeof spec, "%s:two", test_tmp("x.safetensors"));
    visit(ctx, spec, x);
    whet_i_free(ctx, x);
    test_ctx_done(ctx);
}

/* Errors are those of reading the whole. */
static void what_is_no_array_is_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    float *x = values_of(ctx);
    whet_i_array_rows *r = NULL;
    const whet_named_tensor items[] = {{"a", {x, WHET_F32, 1, {3}}}, {"b", {x, WHET_F32, 1, {3}}}};
    test_ok(ctx, whet_npz_write(ctx, test_tmp("z.npz"), true, items, 2));
    const struct {
        const char *spec;
        whet_status status;
    } wrong[] = {{test_tmp("absent.npy"), WHET_ERR_IO},
                 {test_write_text("text.npy", "hello"), WHET_ERR_FORMAT},
                 {test_write_text("empty.npy", ""), WHET_ERR_FORMAT},
                 {test_write_text("short.npy", "\x93NUMPY"), WHET_ERR_FORMAT},
                 {test_write_text("short.npz", "PK"), WHET_ERR_FORMAT},
                 {test_tmp("z.npz"), WHET_ERR_ARG}};
    for (int64_t i = 0; i < WHET_COUNT_OF(wrong); i++) {
        test_fails(ctx, whet_i_array_rows_open(ctx, wrong[i].spec, &r), wrong[i].status);
        assert_null(r);
    }
    whet_i_free(ctx, x);
    test_ctx_done(ctx);
}

/* A byte of the last row is changed: its checksum tells, once the rows have gone by. */
static void damage_is_told_behind_the_last_row(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    float *x = values_of(ctx);
    const whet_named_tensor item = {"x", {x, WHET_F32, 2, {ROWS, WIDE}}};
    whet_i_array_rows *r = NULL;
    char *bytes;
    int64_t len;
    test_ok(ctx, whet_npz_write(ctx, test_tmp("x.npz"), true, &item, 1));
    test_ok(ctx, whet_i_file_read(ctx, test_tmp("x.npz"), WHET_FILE_MAX, &bytes, &len));
    bytes[len / 2] ^= 1;
    test_ok(ctx, whet_i_array_rows_open(ctx, test_write("y.npz", bytes, len), &r));
    test_ok(ctx, whet_i_array_rows_read(ctx, r, 0, ROWS - 1, WHET_F32, x));
    test_fails(ctx, whet_i_array_rows_read(ctx, r, ROWS - 1, 1, WHET_F32, x), WHET_ERR_FORMAT);
    test_says(ctx, "CRC");
    test_ok(ctx, whet_i_array_rows_read(ctx, r, 0, 1, WHET_F32, x)); /* anew */
    whet_i_array_rows_close(ctx, r);
    whet_i_free(ctx, bytes);
    whet_i_free(ctx, x);
    test_ctx_done(ctx);
}

/* 100 MB that are a hole in a file, where 50 may be held: nothing of it is asked for. */
static void too_large_is_refused_before_it_is_read(void **state) {
    (void)state;
    whet_ctx_opts limits = WHET_CTX_OPTS_INIT;
    whet_ctx *ctx = NULL;
    whet_tensor t = {0};
    limits.memory_limit = 50000000;
    assert_int_equal(whet_ctx_create(&limits, &ctx), WHET_OK);
    char header[128] = "\x93NUMPY\1\0\x76\0{'descr': '<f4', 'fortran_order': False, "
                       "'shape': (5000, 5000), }";
    memset(header + 10 + strlen(header + 10), ' ', 117 - strlen(header + 10));
    header[127] = '\n';
    const char *path = test_write("hole.npy", header, 128);
    assert_int_equal(truncate(path, 128 + 100000000), 0);
    test_fails(ctx, whet_array_read(ctx, path, &t), WHET_ERR_LIMIT);
    test_says(ctx, "hole.npy, [5000, 5000] of f32, needs 0.10 GB more; expected at most the 5");
    size_t peak;
    whet_ctx_memory(ctx, NULL, &peak);
    assert_true(peak < 1 << 20);
    whet_ctx_destroy(ctx);
}

static whet_status read_rows(whet_ctx *ctx, void *arg) {
    whet_i_array_rows *r = NULL;
    double two[2 * WIDE];
    WHET_TRY(whet_i_array_rows_open(ctx, arg, &r));
    whet_status status = whet_i_array_rows_read(ctx, r, ROWS - 2, 2, WHET_F64, two);
    if (status == WHET_OK) status = whet_i_array_rows_read(ctx, r, 0, 2, WHET_F64, two);
    whet_i_array_rows_close(ctx, r);
    return status;
}

static void each_failing_allocation_is_survived(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    float *x = values_of(ctx);
    const whet_named_tensor item = {"x", {x, WHET_F32, 2, {ROWS, WIDE}}};
    char npy[600], npz[600], file[600], fortran[600];
    (void)snprintf(npy, sizeof npy, "%s", test_tmp("x.npy"));
    (void)snprintf(npz, sizeof npz, "%s", test_tmp("x.npz"));
    (void)snprintf(file, sizeof file, "%s", test_tmp("x.safetensors"));
    (void)snprintf(fortran, sizeof fortran, "%s", write_fortran(ctx, x));
    test_ok(ctx, whet_npy_write(ctx, npy, true, &item.tensor));
    test_ok(ctx, whet_npz_write(ctx, npz, true, &item, 1));
    test_ok(ctx, whet_safetensors_write(ctx, file, true, &item, 1, NULL));
    whet_i_free(ctx, x);
    test_ctx_done(ctx);
    assert_true(test_each_allocation(read_rows, npy) > 3);
    assert_true(test_each_allocation(read_rows, npz) > 3);
    assert_true(test_each_allocation(read_rows, file) > 3);
    assert_true(test_each_allocation(read_rows, fortran) > 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_gives_its_rows),
        cmocka_unit_test(what_is_no_array_is_refused),
        cmocka_unit_test(damage_is_told_behind_the_last_row),
        cmocka_unit_test(too_large_is_refused_before_it_is_read),
        cmocka_unit_test(each_failing_allocation_is_survived),
    };
    return cmocka_run_group_tests_name("io/array_rows", tests, NULL, NULL);
}
