/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/npy_i.h"

/* A .npy of version 1 from a dictionary and data. */
static const char *npy(const char *name, const char *dictionary, const void *data, int64_t len) {
    char bytes[4096] = "\x93NUMPY\1\0";
    const size_t size = strlen(dictionary);
    bytes[8] = (char)size;
    bytes[9] = (char)(size >> 8);
    memcpy(bytes + 10, dictionary, size);
    if (len) memcpy(bytes + 10 + size, data, (size_t)len);
    return test_write(name, bytes, (int64_t)(10 + size) + len);
}

static whet_tensor tensor_of(void *data, whet_dtype dtype, int32_t rank, int64_t a, int64_t b) {
    return (whet_tensor){.data = data, .dtype = dtype, .rank = rank, .shape = {a, b}};
}

static void same(const whet_tensor *a, const whet_tensor *b) {
    assert_int_equal(a->dtype, b->dtype);
    assert_int_equal(a->rank, b->rank);
    for (int32_t i = 0; i < a->rank; i++) assert_int_equal(a->shape[i], b->shape[i]);
    const size_t bytes = (size_t)whet_tensor_count(a) * whet_dtype_size(a->dtype);
    if (bytes) assert_memory_equal(a->data, b->data, bytes);
}

static void every_type_comes_back(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char data[48];
    for (int i = 0; i < 48; i++) data[i] = (char)(i * 5);
    for (int d = WHET_F64; d <= WHET_BOOL; d++) {
        if (d == WHET_BF16) continue;
        const whet_tensor t = tensor_of(data, (whet_dtype)d, 2, 2, 3);
        whet_tensor back = {0};
        const char *path = test_tmp("types.npy");
        test_ok(ctx, whet_npy_write(ctx, path, true, &t));
        test_ok(ctx, whet_array_read(ctx, path, &back));
        same(&t, &back);
        whet_tensor_destroy(ctx, &back);
    }
    const whet_tensor brain = tensor_of(data, WHET_BF16, 1, 2, 0);
    test_fails(ctx, whet_npy_write(ctx, test_tmp("b.npy"), true, &brain), WHET_ERR_UNSUPPORTED);
    test_ctx_done(ctx);
}

/* The bytes that numpy 2 itself writes for numpy.float32([[1, 2]]). */
static void the_header_is_numpys(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    float values[] = {1, 2};
    const whet_tensor t = tensor_of(values, WHET_F32, 2, 1, 2);
    const char *path = test_tmp("exact.npy");
    test_ok(ctx, whet_npy_write(ctx, path, false, &t));
    char *bytes = NULL;
    int64_t len = 0;
    test_ok(ctx, whet_i_file_read(ctx, path, 1000, &bytes, &len));
    assert_int_equal(len, 128 + 8);
    const char start[] =
        "\x93NUMPY\1\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }";
    assert_memory_equal(bytes, start, sizeof start - 1);
    assert_int_equal(bytes[126], ' ');
    assert_int_equal(bytes[127], '\n');
    assert_memory_equal(bytes + 128, values, 8);
    whet_i_free(ctx, bytes);
    test_ctx_done(ctx);
}

static void scalars_empty_arrays_and_orders(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_tensor t = {0};
    const double pi = 3.25;
    test_ok(ctx, whet_array_read(ctx,
                                 npy("s.npy",
                                     "{'descr':'<f8','fortran_order':False,"
                                     "'shape':()}",
                                     &pi, 8),
                                 &t));
    assert_int_equal(t.rank, 0);
    assert_true(*(double *)t.data == 3.25);
    whet_tensor_destroy(ctx, &t);
    test_ok(ctx, whet_array_read(ctx,
                                 npy("e.npy",
                                     "{'shape': (3L, 0), 'fortran_order': True, "
                                     "\"descr\": '<i4', }  \n",
                                     "", 0),
                                 &t));
    assert_int_equal(t.rank, 2);
    assert_int_equal(t.shape[0], 3);
    assert_int_equal(t.shape[1], 0);
    whet_tensor_destroy(ctx, &t);
    /* x[i,j,k] = 100 i + 10 j + k of shape [2,3,2], first index fastest. */
    int16_t f[12];
    for (int k = 0, n = 0; k < 2; k++)
        for (int j = 0; j < 3; j++)
            for (int i = 0; i < 2; i++) f[n++] = (int16_t)(100 * i + 10 * j + k);
    test_ok(ctx, whet_array_read(ctx,
                                 npy("f.npy",
                                     "{'descr': '<i2', 'fortran_order': True, "
                                     "'shape': (2, 3, 2)}",
                                     f, 24),
                                 &t));
    for (int i = 0, n = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 2; k++)
                assert_int_equal(((int16_t *)t.data)[n++], 100 * i + 10 * j + k);
    whet_tensor_destroy(ctx, &t);
    test_ctx_done(ctx);
}

static void fails_with(const char *dictionary, int64_t data, whet_status expected,
                       const char *says) {
    whet_ctx *ctx = test_ctx(1);
    whet_tensor t = {0};
    static const char zeros[64];
    test_fails(ctx, whet_array_read(ctx, npy("bad.npy", dictionary, zeros, data), &t), expected);
    test_says(ctx, says);
    assert_null(t.data);
    test_ctx_done(ctx);
}

static void lying_headers_are_refused(void **state) {
    (void)state;
#define D(descr, shape) "{'descr': " descr ", 'fortran_order': False, 'shape': " shape "}"
    fails_with(D("'<f4'", "(4,)"), 15, WHET_ERR_FORMAT, "15 bytes of data; expected 16");
    fails_with(D("'<f4'", "(4,)"), 17, WHET_ERR_FORMAT, "17 bytes of data; expected 16");
    fails_with(D("'<f4'", "(4611686018427387904, 4)"), 16, WHET_ERR_LIMIT, "bad.npy");
    fails_with(D("'<f4'", "(99999999999999999999,)"), 16, WHET_ERR_LIMIT, "shape");
    fails_with(D("'<f4'", "(0, 9223372036854775807, 9)"), 4, WHET_ERR_FORMAT, "expected 0");
    fails_with(D("'<f4'", "(1,1,1,1,1,1,1,1,1)"), 4, WHET_ERR_LIMIT, "over 8 dimensions");
    fails_with(D("'>f4'", "(1,)"), 4, WHET_ERR_UNSUPPORTED, "dtype \">f4\"; expected little");
    fails_with(D("'|O'", "(1,)"), 8, WHET_ERR_UNSUPPORTED, "dtype \"|O\"");
    fails_with(D("'<U5'", "(1,)"), 20, WHET_ERR_UNSUPPORTED, "dtype \"<U5\"");
    fails_with(D("[('a', '<f4')]", "(1,)"), 4, WHET_ERR_UNSUPPORTED, "structured");
    fails_with(D("'<f4'", "(-1,)"), 4, WHET_ERR_FORMAT, "a size of the shape");
    fails_with(D("'<f4'", "(1"), 4, WHET_ERR_FORMAT, "expected \",\"");
    fails_with("{'descr': '<f4', 'shape': (1,)}", 4, WHET_ERR_FORMAT, "descr, fortran_order");
    fails_with("{'descr': '<f4', 'descr': '<f4', 'shape': (1,)}", 4, WHET_ERR_FORMAT, "each once");
    fails_with("{'descr': '<f4', 'x': 1}", 4, WHET_ERR_FORMAT, "descr, fortran_order");
    fails_with("", 0, WHET_ERR_FORMAT, "expected a dictionary");
    whet_ctx *ctx = test_ctx(1);
    whet_tensor t = {0};
    test_fails(ctx, whet_array_read(ctx, test_write("x.npy", "\x93NUMPY\x09\0\0\0", 10), &t),
               WHET_ERR_UNSUPPORTED);
    test_fails(ctx,
               whet_array_read(ctx, test_write("x.npy", "\x93NUMPY\2\0\xff\xff\xff\xff", 12), &t),
               WHET_ERR_FORMAT);
    test_says(ctx, "header of 4294967295 bytes in a file of 12");
    test_fails(ctx, whet_array_read(ctx, test_write("x.npy", "plain text", 10), &t),
               WHET_ERR_FORMAT);
    test_fails(ctx, whet_array_read(ctx, test_tmp("absent.npy"), &t), WHET_ERR_IO);
    test_ctx_done(ctx);
}

static void reading_as_checks_rank_values_and_range(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_tensor t = {0};
    double d[] = {1, -0.0, 3, 250};
    whet_tensor source = tensor_of(d, WHET_F64, 2, 2, 2);
    const char *path = test_tmp("as.npy");
    test_ok(ctx, whet_npy_write(ctx, path, true, &source));
    test_ok(ctx, whet_array_read_as(ctx, path, WHET_I32, 2, false, &t));
    assert_int_equal(((int32_t *)t.data)[3], 250);
    whet_tensor_destroy(ctx, &t);
    test_fails(ctx, whet_array_read_as(ctx, path, WHET_I8, 2, false, &t), WHET_ERR_DATA);
    test_says(ctx, "as.npy: [1,1] of f64 is no i8");
    test_fails(ctx, whet_array_read_as(ctx, path, WHET_F32, 1, false, &t), WHET_ERR_SHAPE);
    test_says(ctx, "2 dimensions; expected 1");
    d[2] = 0.5;
    test_ok(ctx, whet_npy_write(ctx, path, true, &source));
    test_fails(ctx, whet_array_read_as(ctx, path, WHET_I64, 2, false, &t), WHET_ERR_DATA);
    test_says(ctx, "[1,0] of f64 is no i64");
    d[2] = 1e300; /* finite in f64, infinite in f32 */
    test_ok(ctx, whet_npy_write(ctx, path, true, &source));
    test_ok(ctx, whet_array_read_as(ctx, path, WHET_F64, 2, true, &t));
    whet_tensor_destroy(ctx, &t);
    test_fails(ctx, whet_array_read_as(ctx, path, WHET_F32, 2, true, &t), WHET_ERR_DATA);
    test_says(ctx, "as.npy: [1,0] is NaN or infinite in f32");
    float narrow[] = {1, NAN}; /* in the file's own type, whatever it is read as */
    const whet_tensor single = {.data = narrow, .dtype = WHET_F32, .rank = 1, .shape = {2}};
    test_ok(ctx, whet_npy_write(ctx, path, true, &single));
    test_fails(ctx, whet_array_read_as(ctx, path, WHET_F64, 1, true, &t), WHET_ERR_DATA);
    test_says(ctx, "as.npy: [1] is NaN or infinite in f32");
    d[1] = NAN;
    test_ok(ctx, whet_npy_write(ctx, path, true, &source));
    test_fails(ctx, whet_array_read_as(ctx, path, WHET_F16, 2, true, &t), WHET_ERR_DATA);
    test_says(ctx, "[0,1]");
    test_fails(ctx, whet_array_read_as(ctx, path, WHET_I32, 2, false, &t), WHET_ERR_DATA);
    test_says(ctx, "as.npy");
    test_ok(ctx, whet_array_read_as(ctx, path, WHET_F32, 2, false, &t));
    whet_tensor_destroy(ctx, &t);
    assert_null(t.data);
    test_ctx_done(ctx);
}

static void a_stream_writes_the_same_file(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    int32_t v[] = {1, 2, 3, 4, 5, 6};
    const int64_t shape[] = {3, 2};
    const whet_tensor t = tensor_of(v, WHET_I32, 2, 3, 2);
    whet_tensor back = {0};
    whet_npy_stream *s = NULL;
    const char *path = test_tmp("stream.npy");
    test_ok(ctx, whet_npy_stream_open(ctx, path, false, WHET_I32, 2, shape, &s));
    test_ok(ctx, whet_npy_stream_append(ctx, s, v, 1));
    test_ok(ctx, whet_npy_stream_append(ctx, s, v, 0));
    test_ok(ctx, whet_npy_stream_append(ctx, s, v + 2, 2));
    test_fails(ctx, whet_npy_stream_append(ctx, s, v, 1), WHET_ERR_SHAPE);
    test_ok(ctx, whet_npy_stream_commit(ctx, s));
    test_ok(ctx, whet_array_read(ctx, path, &back));
    same(&t, &back);
    whet_tensor_destroy(ctx, &back);
    path = test_tmp("short.npy");
    test_ok(ctx, whet_npy_stream_open(ctx, path, false, WHET_I32, 2, shape, &s));
    test_ok(ctx, whet_npy_stream_append(ctx, s, v, 2));
    test_fails(ctx, whet_npy_stream_commit(ctx, s), WHET_ERR_SHAPE);
    test_says(ctx, "2 rows; expected 3");
    assert_int_equal(access(path, F_OK), -1);
    test_fails(ctx, whet_npy_stream_open(ctx, path, false, WHET_I32, 0, shape, &s), WHET_ERR_ARG);
    whet_npy_stream_abort(ctx, NULL);
    test_ctx_done(ctx);
}

/* Written by numpy.savez_compressed(x=float32 [0,1,2], y=int64 [[1,2],[3,4]] in Fortran order). */
static const unsigned char deflated[] = {
#include "deflated_npz.h"
};

static void archives_come_back(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    float x[] = {0, 1, 2};
    int64_t y[] = {1, 2, 3, 4};
    const whet_named_tensor items[] = {{"x", tensor_of(x, WHET_F32, 1, 3, 0)},
                                       {"y", tensor_of(y, WHET_I64, 2, 2, 2)}};
    whet_tensor t = {0};
    char spec[2][600];
    (void)snprintf(spec[0], 600, "%s", test_tmp("a:b.npz"));
    (void)snprintf(spec[1], 600, "%s",
                   test_write("deflated.npz", deflated, (int64_t)sizeof deflated));
    test_ok(ctx, whet_npz_write(ctx, spec[0], false, items, 2));
    for (int i = 0; i < 2; i++) {
        char keyed[1280];
        test_fails(ctx, whet_array_read(ctx, spec[i], &t), WHET_ERR_ARG);
        test_says(ctx, "several arrays; expected one; try \":key\"");
        (void)snprintf(keyed, sizeof keyed, "%s:x", spec[i]);
        test_ok(ctx, whet_array_read(ctx, keyed, &t));
        same(&t, &items[0].tensor);
        whet_tensor_destroy(ctx, &t);
        (void)snprintf(keyed, sizeof keyed, "%s:y", spec[i]);
        test_ok(ctx, whet_array_read(ctx, keyed, &t));
        same(&t, &items[1].tensor);
        whet_tensor_destroy(ctx, &t);
        (void)snprintf(keyed, sizeof keyed, "%s:z", spec[i]);
        test_fails(ctx, whet_array_read(ctx, keyed, &t), WHET_ERR_ARG);
        test_says(ctx, "no array \"z\"; expected one of \"x\", \"y\"");
    }
    test_ok(ctx, whet_npz_write(ctx, spec[0], true, items, 1));
    test_ok(ctx, whet_array_read(ctx, spec[0], &t)); /* the only one needs no key */
    same(&t, &items[0].tensor);
    whet_tensor_destroy(ctx, &t);
    test_ok(ctx, whet_npz_write(ctx, spec[0], true, items, 0));
    test_fails(ctx, whet_array_read(ctx, spec[0], &t), WHET_ERR_FORMAT);
    test_says(ctx, "holds no array");
    const whet_named_tensor twice[] = {items[0], items[0]};
    test_fails(ctx, whet_npz_write(ctx, spec[0], true, twice, 2), WHET_ERR_ARG);
    test_fails(ctx, whet_array_read(ctx, test_write("cut.npz", deflated, sizeof deflated - 30), &t),
               WHET_ERR_FORMAT);
    test_ctx_done(ctx);
}

static void damaged_archives_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    int64_t y[] = {1, 2, 3, 4};
    const whet_named_tensor item = {"y", tensor_of(y, WHET_I64, 2, 2, 2)};
    const char *path = test_tmp("whole.npz");
    test_ok(ctx, whet_npz_write(ctx, path, false, &item, 1));
    char *bytes = NULL;
    int64_t len = 0;
    test_ok(ctx, whet_i_file_read(ctx, path, 10000, &bytes, &len));
    /* The name is 5 bytes, the record 30 and the ZIP64 field 20: data follow the 128-byte header.
     */
    bytes[30 + 5 + 20 + 128] ^= 1;
    whet_tensor t = {0};
    test_fails(ctx, whet_i_npz_parse(ctx, "w.npz", bytes, len, NULL, &t), WHET_ERR_FORMAT);
    test_says(ctx, "CRC");
    assert_null(t.data);
    whet_i_free(ctx, bytes);
    test_ctx_done(ctx);
}

static whet_status read_and_write(whet_ctx *ctx, void *arg) {
    (void)arg;
    float x[] = {0, 1, 2, 4};
    whet_named_tensor item = {"x", tensor_of(x, WHET_F32, 2, 2, 2)};
    whet_tensor t = {0};
    const int64_t shape[] = {2, 2};
    whet_npy_stream *s = NULL;
    WHET_TRY(whet_npy_write(ctx, test_tmp("alloc.npy"), true, &item.tensor));
    WHET_TRY(whet_array_read_as(ctx, test_tmp("alloc.npy"), WHET_I16, 2, true, &t));
    whet_tensor_destroy(ctx, &t);
    WHET_TRY(whet_npz_write(ctx, test_tmp("alloc.npz"), true, &item, 1));
    WHET_TRY(whet_array_read(ctx, test_tmp("alloc.npz:x"), &t));
    whet_tensor_destroy(ctx, &t);
    WHET_TRY(whet_npy_stream_open(ctx, test_tmp("alloc.npy"), true, WHET_F32, 2, shape, &s));
    whet_status status = whet_npy_stream_append(ctx, s, x, 2);
    if (status == WHET_OK) return whet_npy_stream_commit(ctx, s);
    whet_npy_stream_abort(ctx, s);
    return status;
}

static void each_failing_allocation_is_survived(void **state) {
    (void)state;
    assert_true(test_each_allocation(read_and_write, NULL) > 20);
}

static void tensors_of_safetensors_by_name(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    float x[] = {0.5F, 1};
    const whet_named_tensor items[] = {{"a:b", tensor_of(x, WHET_F32, 1, 2, 0)},
                                       {"c", tensor_of(x, WHET_F32, 1, 1, 0)}};
    whet_tensor t = {0};
    test_ok(ctx, whet_safetensors_write(ctx, test_tmp("m.safetensors"), false, items, 2, NULL));
    test_ok(ctx, whet_array_read(ctx, test_tmp("m.safetensors:a:b"), &t));
    same(&t, &items[0].tensor);
    whet_tensor_destroy(ctx, &t);
    test_fails(ctx, whet_array_read(ctx, test_tmp("m.safetensors:d"), &t), WHET_ERR_ARG);
    test_says(ctx, "no tensor \"d\"; expected one of \"a:b\", \"c\"");
    test_fails(ctx, whet_array_read(ctx, test_tmp("m.safetensors"), &t), WHET_ERR_ARG);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_comes_back),
        cmocka_unit_test(the_header_is_numpys),
        cmocka_unit_test(scalars_empty_arrays_and_orders),
        cmocka_unit_test(lying_headers_are_refused),
        cmocka_unit_test(reading_as_checks_rank_values_and_range),
        cmocka_unit_test(a_stream_writes_the_same_file),
        cmocka_unit_test(archives_come_back),
        cmocka_unit_test(damaged_archives_are_refused),
        cmocka_unit_test(each_failing_allocation_is_survived),
        cmocka_unit_test(tensors_of_safetensors_by_name),
    };
    return cmocka_run_group_tests_name("io/npy", tests, NULL, NULL);
}
