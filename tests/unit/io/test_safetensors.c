/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/io_i.h"
#include "io/safetensors_i.h"

static const float weights[6] = {1, 2, 3, 4, 5, 6};
static const int64_t ids[2] = {-1, 1LL << 40};

static const whet_named_tensor items[] = {
    {"b.weight", {(void *)(uintptr_t)weights, WHET_F32, 2, {2, 3}}},
    {"a \"quoted\" \xc3\xa9", {(void *)(uintptr_t)ids, WHET_I64, 1, {2}}},
    {"empty", {(void *)(uintptr_t)ids, WHET_BF16, 2, {0, 5}}},
    {"scalar", {(void *)(uintptr_t)ids, WHET_U8, 0, {0}}},
};
static const char *const metadata[] = {"format", "whet", "note", "x", NULL};

static whet_status write_and_read(whet_ctx *ctx, void *arg) {
    const char *path = arg;
    WHET_TRY(whet_safetensors_write(ctx, path, true, items, WHET_COUNT_OF(items), metadata));
    whet_safetensors *file = NULL;
    WHET_TRY(whet_safetensors_open(ctx, path, &file));
    assert_int_equal(whet_safetensors_count(file), 4);
    for (int64_t i = 0; i < 4; i++) {
        assert_true(whet_str_equal(whet_safetensors_name(file, i), whet_str_from(items[i].name)));
        const whet_tensor *in = &items[i].tensor;
        whet_tensor view;
        assert_true(whet_safetensors_find(file, items[i].name, &view));
        assert_int_equal(view.dtype, in->dtype);
        assert_int_equal(view.rank, in->rank);
        for (int d = 0; d < in->rank; d++) assert_int_equal(view.shape[d], in->shape[d]);
        const size_t bytes = (size_t)whet_tensor_count(in) * whet_dtype_size(in->dtype);
        if (bytes) assert_memory_equal(view.data, in->data, bytes);
    }
    whet_tensor view;
    assert_false(whet_safetensors_find(file, "c", &view));
    assert_string_equal(whet_safetensors_metadata(file, "note").ptr, "x");
    assert_null(whet_safetensors_metadata(file, "absent").ptr);
    whet_safetensors_close(ctx, file);
    return WHET_OK;
}

static void what_is_written_reads_back(void **state) {
    (void)state;
    char path[4096];
    (void)snprintf(path, sizeof path, "%s", test_tmp("round.safetensors"));
    assert_true(test_each_allocation(write_and_read, path) > 10);
}

static void an_existing_file_is_kept_without_force(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *path = test_write_text("kept.safetensors", "precious");
    test_fails(ctx, whet_safetensors_write(ctx, path, false, items, 1, NULL), WHET_ERR_EXISTS);
    const whet_named_tensor twice[] = {items[0], items[0]};
    test_fails(ctx, whet_safetensors_write(ctx, path, true, twice, 2, NULL), WHET_ERR_ARG);
    FILE *file = fopen(path, "rb");
    char text[16] = {0};
    assert_int_equal(fread(text, 1, 15, file), 8);
    assert_string_equal(text, "precious");
    (void)fclose(file);
    test_ctx_done(ctx);
}

/* A file with this header and `data_len` zero bytes behind it, in exactly as much memory. */
static whet_status parse(whet_ctx *ctx, const char *header, int64_t data_len) {
    const uint64_t n = strlen(header);
    const size_t len = 8 + n + (size_t)data_len;
    char *bytes = calloc(1, len);
    memcpy(bytes, &n, 8);
    memcpy(bytes + 8, header, n);
    whet_safetensors *file = NULL;
    const whet_status status = whet_i_safetensors_parse(ctx, "f", bytes, (int64_t)len, &file);
    assert_true((status == WHET_OK) == (file != NULL));
    whet_safetensors_close(ctx, file);
    free(bytes);
    return status;
}

#define ENTRY(dtype, shape, offsets) \
    "{\"x\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void lying_headers_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    test_ok(ctx, parse(ctx, ENTRY("F32", "[2]", "[0,8]"), 8));
    test_ok(ctx, parse(ctx, "{}", 0));
    const struct {
        const char *header;
        int64_t data;
        whet_status status;
        const char *says;
    } cases[] = {
        {ENTRY("F32", "[2]", "[0,8]"), 7, WHET_ERR_FORMAT, "within the 7 bytes"},
        {ENTRY("F32", "[2]", "[0,8]"), 9, WHET_ERR_FORMAT, "9 bytes of data"},
        {ENTRY("F32", "[3]", "[0,8]"), 8, WHET_ERR_FORMAT, "expected 12"},
        {ENTRY("F32", "[2]", "[8,0]"), 8, WHET_ERR_FORMAT, "range"},
        {ENTRY("F32", "[2]", "[-8,0]"), 8, WHET_ERR_FORMAT, "range"},
        {ENTRY("F32", "[2]", "[4,12]"), 12, WHET_ERR_FORMAT, "begins at byte 4"},
        {ENTRY("F32", "[-2]", "[0,8]"), 8, WHET_ERR_FORMAT, "negative"},
        {ENTRY("F32", "[2.0]", "[0,8]"), 8, WHET_ERR_FORMAT, "a real number"},
        {ENTRY("F32", "[4294967296,4294967296]", "[0,0]"), 0, WHET_ERR_FORMAT, "overflow"},
        {ENTRY("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, WHET_ERR_UNSUPPORTED, "9 dimensions"},
        {ENTRY("F8_E4M3", "[2]", "[0,2]"), 2, WHET_ERR_UNSUPPORTED, "F8_E4M3"},
        {ENTRY("F32", "[2]", "[0,8,8]"), 8, WHET_ERR_FORMAT, "two integers"},
        {"{\"x\":[]}", 0, WHET_ERR_FORMAT, "an array"},
        {"{\"__metadata__\":{\"a\":1}}", 0, WHET_ERR_FORMAT, "an integer"},
        {"[]", 0, WHET_ERR_FORMAT, "an array"},
        {"{", 0, WHET_ERR_FORMAT, "f:1:"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
         2, WHET_ERR_FORMAT, "duplicate"},
        {"{\"x\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"y\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
         3, WHET_ERR_FORMAT, "begins at byte 1"},
    };
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        test_fails(ctx, parse(ctx, cases[i].header, cases[i].data), cases[i].status);
        test_says(ctx, cases[i].says);
    }
    test_ctx_done(ctx);
}

static void a_file_cut_anywhere_is_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char header[] = ENTRY("F32", "[2]", "[0,8]");
    char whole[8 + sizeof header - 1 + 8] = {0};
    const uint64_t n = sizeof header - 1;
    memcpy(whole, &n, 8);
    memcpy(whole + 8, header, n);
    for (size_t len = 0; len < sizeof whole; len++) {
        char *cut = malloc(len ? len : 1);
        memcpy(cut, whole, len);
        whet_safetensors *file = NULL;
        test_fails(ctx, whet_i_safetensors_parse(ctx, "f", cut, (int64_t)len, &file),
                   WHET_ERR_FORMAT);
        free(cut);
    }
    test_ctx_done(ctx);
}

/* Two files as one: all tensors in order, metadata of the first; a tensor in both is refused. */
static whet_status join_two(whet_ctx *ctx, void *arg) {
    const char *const *paths = arg;
    whet_safetensors *files[2] = {NULL, NULL}, *all = NULL;
    whet_tensor view;
    whet_status status = whet_safetensors_open(ctx, paths[0], &files[0]);
    if (status == WHET_OK) status = whet_safetensors_open(ctx, paths[1], &files[1]);
    if (status == WHET_OK) status = whet_i_safetensors_join(ctx, "both", files, 2, &all);
    if (status == WHET_OK) {
        assert_int_equal(whet_safetensors_count(all), 4);
        for (int64_t i = 0; i < 4; i++)
            assert_true(
                whet_str_equal(whet_safetensors_name(all, i), whet_str_from(items[i].name)));
        assert_true(whet_safetensors_find(all, "b.weight", &view));
        assert_memory_equal(view.data, weights, sizeof weights);
        assert_true(whet_safetensors_find(all, "scalar", &view));
        assert_memory_equal(view.data, ids, 1);
        assert_string_equal(whet_safetensors_metadata(all, "format").ptr, "whet");
    }
    whet_safetensors_close(ctx, all);
    whet_safetensors_close(ctx, files[0]);
    whet_safetensors_close(ctx, files[1]);
    return status;
}

static void files_as_one(void **state) {
    (void)state;
    char first[600], second[600];
    const char *paths[] = {first, second}, *twice[] = {first, first};
    whet_ctx *ctx = test_ctx(1);
    (void)snprintf(first, sizeof first, "%s", test_tmp("first.safetensors"));
    (void)snprintf(second, sizeof second, "%s", test_tmp("second.safetensors"));
    test_ok(ctx, whet_safetensors_write(ctx, first, true, items, 2, metadata));
    test_ok(ctx, whet_safetensors_write(ctx, second, true, items + 2, 2, NULL));
    assert_true(test_each_allocation(join_two, paths) > 10);
    test_fails(ctx, join_two(ctx, twice), WHET_ERR_FORMAT);
    test_says(ctx, "both: tensor \"b.weight\" is in two files");
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(an_existing_file_is_kept_without_force),
        cmocka_unit_test(lying_headers_are_refused),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(files_as_one),
    };
    return cmocka_run_group_tests_name("io/safetensors", tests, NULL, NULL);
}
