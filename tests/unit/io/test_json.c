/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "io/io_i.h"

static whet_status parse(whet_ctx *ctx, const char *text, json_t **out) {
    return whet_i_json_parse(ctx, "c.json", text, (int64_t)strlen(text), out);
}

static void members_come_out_checked(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    json_t *doc = NULL;
    test_ok(ctx,
            parse(ctx,
                  "\xef\xbb\xbf{\"n\": 12, \"r\": 0.5, \"b\": true, \"s\": \"text\", \"a\": [],"
                  " \"o\": {}, \"z\": null}",
                  &doc));
    int64_t n = 0;
    double r = 0;
    bool b = false;
    whet_str s = {0};
    json_t *a = NULL, *o = NULL;
    test_ok(ctx, whet_i_json_int(ctx, "c.json", doc, "n", 0, 12, &n));
    assert_int_equal(n, 12);
    test_ok(ctx, whet_i_json_real(ctx, "c.json", doc, "n", &r));
    assert_true(r == 12.0);
    test_ok(ctx, whet_i_json_real(ctx, "c.json", doc, "r", &r));
    assert_true(r == 0.5);
    test_ok(ctx, whet_i_json_bool(ctx, "c.json", doc, "b", &b));
    assert_true(b);
    test_ok(ctx, whet_i_json_str(ctx, "c.json", doc, "s", &s));
    assert_string_equal(s.ptr, "text");
    test_ok(ctx, whet_i_json_array(ctx, "c.json", doc, "a", &a));
    test_ok(ctx, whet_i_json_object(ctx, "c.json", doc, "o", &o));
    test_ok(ctx, whet_i_json_int_or(ctx, "c.json", doc, "z", 0, 9, 5, &n));
    assert_int_equal(n, 5);
    test_ok(ctx, whet_i_json_str_or_none(ctx, "c.json", doc, "absent", &s));
    assert_null(s.ptr);
    test_ok(ctx, whet_i_json_object_or_none(ctx, "c.json", doc, "z", &o));
    assert_null(o);

    n = 77;
    test_fails(ctx, whet_i_json_int(ctx, "c.json", doc, "n", 13, 20, &n), WHET_ERR_FORMAT);
    test_says(ctx, "c.json: \"n\" is 12; expected an integer from 13 to 20");
    assert_int_equal(n, 77);
    test_fails(ctx, whet_i_json_int_or(ctx, "c.json", doc, "s", 0, 9, 5, &n), WHET_ERR_FORMAT);
    test_says(ctx, "c.json: \"s\" is a string; expected an integer");
    test_fails(ctx, whet_i_json_str(ctx, "c.json", doc, "gone", &s), WHET_ERR_FORMAT);
    test_says(ctx, "\"gone\" is missing; expected a string");
    test_fails(ctx, whet_i_json_bool_or(ctx, "c.json", doc, "n", true, &b), WHET_ERR_FORMAT);
    test_fails(ctx, whet_i_json_array_or_none(ctx, "c.json", doc, "o", &a), WHET_ERR_FORMAT);
    json_decref(doc);
    test_ctx_done(ctx);
}

static void syntax_errors_name_line_and_column(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    json_t *doc = NULL;
    test_fails(ctx, parse(ctx, "{\"a\": 1,\n  \"b\": x}", &doc), WHET_ERR_FORMAT);
    test_says(ctx, "c.json:2:8: ");
    test_says(ctx, "\"x\"");
    test_fails(ctx, parse(ctx, "{\"a\": 1, \"a\": 2}", &doc), WHET_ERR_FORMAT);
    test_says(ctx, "duplicate");
    test_fails(ctx, parse(ctx, "", &doc), WHET_ERR_FORMAT);
    test_fails(ctx, parse(ctx, "{} trailing", &doc), WHET_ERR_FORMAT);
    test_fails(ctx, parse(ctx, "[1e999]", &doc), WHET_ERR_FORMAT);
    test_fails(ctx, parse(ctx, "[\"\x01\"]", &doc), WHET_ERR_FORMAT);
    assert_null(strchr(whet_error(ctx), '\x01'));
    assert_null(doc);
    test_ctx_done(ctx);
}

/* transformers' "no limit" is an integer of 31 digits; the document's other integers stay integers. */
static void integers_beyond_64_bits_are_reals(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    json_t *doc = NULL;
    int64_t n = 0;
    double r = 0;
    test_ok(ctx, parse(ctx,
                       "{\"model_max_length\": 1000000000000000019884624838656, \"n\": -3, "
                       "\"r\": 0.25, \"list\": [{\"id\": 7}, 8, 2.5]}",
                       &doc));
    test_ok(ctx, whet_i_json_real(ctx, "c.json", doc, "model_max_length", &r));
    assert_true(r == 1e30);
    test_ok(ctx, whet_i_json_int(ctx, "c.json", doc, "n", -5, 5, &n));
    assert_int_equal(n, -3);
    test_ok(ctx, whet_i_json_real(ctx, "c.json", doc, "r", &r));
    assert_true(r == 0.25);
    const json_t *list = json_object_get(doc, "list");
    assert_true(json_is_integer(json_object_get(json_array_get(list, 0), "id")));
    assert_true(json_is_integer(json_array_get(list, 1)) && json_is_real(json_array_get(list, 2)));
    json_decref(doc);
    test_ok(ctx, parse(ctx, "[-99999999999999999999]", &doc));
    json_decref(doc);
    test_fails(ctx, parse(ctx, "[99999999999999999999, {\"a\": 1, \"a\": 2}]", &doc),
               WHET_ERR_FORMAT);
    test_fails(ctx, parse(ctx, "[1e999]", &doc), WHET_ERR_FORMAT);
    test_ctx_done(ctx);
}

static void deep_nesting_is_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    enum { DEPTH = 100000 };
    char *text = malloc(DEPTH + 1);
    assert_non_null(text);
    memset(text, '[', DEPTH);
    text[DEPTH] = '\0';
    json_t *doc = NULL;
    test_fails(ctx, parse(ctx, text, &doc), WHET_ERR_LIMIT);
    test_says(ctx, "2048");
    free(text);
    test_ctx_done(ctx);
}

static void files_are_limited_in_size(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *path = test_write_text("small.json", "{\"a\": 1}");
    json_t *doc = NULL;
    test_fails(ctx, whet_i_json_read(ctx, path, 7, &doc), WHET_ERR_LIMIT);
    test_ok(ctx, whet_i_json_read(ctx, path, 8, &doc));
    json_decref(doc);
    test_fails(ctx, whet_i_json_read(ctx, test_tmp("absent.json"), 8, &doc), WHET_ERR_IO);
    test_says(ctx, "absent.json: cannot be opened: No such file");
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_come_out_checked),
        cmocka_unit_test(syntax_errors_name_line_and_column),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(integers_beyond_64_bits_are_reals),
        cmocka_unit_test(files_are_limited_in_size),
    };
    return cmocka_run_group_tests_name("io/json", tests, NULL, NULL);
}
