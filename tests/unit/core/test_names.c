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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found_and_distinct),
        cmocka_unit_test(an_empty_set_finds_nothing),
    };
    return cmocka_run_group_tests_name("core/names", tests, NULL, NULL);
}
