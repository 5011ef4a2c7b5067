/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <stdio.h>

#include "core/core_i.h"

static whet_status thousand_names(whet_ctx *ctx, void *arg) {
    (void)arg;
    whet_names *names = NULL;
    whet_status status = whet_names_create(ctx, &names);
    if (status != WHET_OK) return status;
    for (int i = 0; i < 1000; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "name %d", i % 700);
        int64_t index = -1;
        WHET_TRY_DONE(whet_names_add(ctx, names, whet_str_from(text), &index));
        assert_int_equal(index, i % 700);
    }
    assert_int_equal(whet_names_count(names), 700);
    assert_int_equal(whet_names_find(names, whet_str_from("name 699")), 699);
    assert_int_equal(whet_names_find(names, whet_str_from("name 700")), -1);
    assert_string_equal(whet_names_get(names, 42).ptr, "name 42");
done:
    whet_names_destroy(ctx, names);
    return status;
}

static void names_are_found_and_distinct(void **state) {
    (void)state;
    assert_true(test_each_allocation(thousand_names, NULL) > 5);
}

static void an_empty_set_finds_nothing(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_names *names = NULL;
    test_ok(ctx, whet_names_create(ctx, &names));
    assert_int_equal(whet_names_find(names, whet_str_from("")), -1);
    test_ok(ctx, whet_names_add(ctx, names, (whet_str){"a\0b", 3}, NULL));
    assert_int_equal(whet_names_find(names, (whet_str){"a\0b", 3}), 0);
    assert_int_equal(whet_names_find(names, whet_str_from("a")), -1);
    whet_names_destroy(ctx, names);
    whet_names_destroy(ctx, NULL);
    test_ctx_done(ctx);
}

static whet_status numbers_and_one_more(whet_ctx *ctx, void *arg) {
    (void)arg;
    whet_names *names = NULL;
    whet_status status = whet_i_names_numbered(ctx, 1001, &names);
    if (status != WHET_OK) return status;
    int64_t index = -1;
    WHET_TRY_DONE(whet_names_add(ctx, names, whet_str_from("1000"), &index));
    assert_int_equal(index, 1000);
    assert_true(whet_i_names_are_numbers(names));
    status = whet_names_add(ctx, names, whet_str_from("1001"), &index);
    if (status != WHET_OK) {
        /* What could not grow is as it was. */
        assert_int_equal(whet_names_count(names), 1001);
        assert_int_equal(whet_names_find(names, whet_str_from("77")), 77);
        goto done;
    }
    assert_int_equal(index, 1001);
    assert_false(whet_i_names_are_numbers(names));
    assert_int_equal(whet_names_find(names, whet_str_from("77")), 77);
done:
    whet_names_destroy(ctx, names);
    return status;
}

static void numbers_are_names(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const int64_t sizes[] = {1, 9, 10, 11, 100, 12345};
    const char *const none[] = {"", "00", "07", "+7", "-1", "7 ", "12345", "99999999999999999999"};
    for (int i = 0; i < 6; i++) {
        whet_names *names = NULL;
        test_ok(ctx, whet_i_names_numbered(ctx, sizes[i], &names));
        assert_int_equal(whet_names_count(names), sizes[i]);
        for (int64_t v = 0; v < sizes[i]; v++) {
            char text[24];
            (void)snprintf(text, sizeof text, "%lld", (long long)v);
            const whet_str name = whet_names_get(names, v);
            assert_string_equal(name.ptr, text);
            assert_int_equal(name.len, strlen(text));
            assert_int_equal(whet_names_find(names, name), v);
        }
        for (int j = 0; j < 8; j++)
            assert_int_equal(whet_names_find(names, whet_str_from(none[j])), -1);
        whet_names_destroy(ctx, names);
    }
    assert_true(test_each_allocation(numbers_and_one_more, NULL) > 5);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found_and_distinct),
        cmocka_unit_test(numbers_are_names),
        cmocka_unit_test(an_empty_set_finds_nothing),
    };
    return cmocka_run_group_tests_name("core/names", tests, NULL, NULL);
}
