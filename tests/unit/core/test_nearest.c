/* SPDX-License-Identifier: Apache-2.0 */
#include "core/core_i.h"
#include "support.h"

static void the_nearest_name_is_near_enough_or_none(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_names *names = NULL;
    test_ok(ctx, whet_names_create(ctx, &names));
    const char *const all[] = {"spam", "ham", "transfer", "translate", "spat"};
    for (int i = 0; i < 5; i++)
        test_ok(ctx, whet_names_add(ctx, names, whet_str_from(all[i]), NULL));
    assert_int_equal(whet_i_nearest_name(names, whet_str_from("spma")), 0);
    assert_int_equal(whet_i_nearest_name(names, whet_str_from("tranfer")), 2);
    assert_int_equal(whet_i_nearest_name(names, whet_str_from("Ham")), 1);
    assert_int_equal(whet_i_nearest_name(names, whet_str_from("spa")), 0); /* the first of equals */
    assert_int_equal(whet_i_nearest_name(names, whet_str_from("positive")), -1);
    assert_int_equal(whet_i_nearest_name(names, whet_str_from("")), -1);
    whet_names_destroy(ctx, names);
    test_ctx_done(ctx);
}

static void long_words_are_not_compared(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_names *names = NULL;
    char word[200];
    memset(word, 'a', sizeof word);
    test_ok(ctx, whet_names_create(ctx, &names));
    test_ok(ctx, whet_names_add(ctx, names, (whet_str){word, 200}, NULL));
    assert_int_equal(whet_i_nearest_name(names, (whet_str){word, 199}), -1);
    assert_int_equal(whet_i_nearest_name(names, (whet_str){word, 60}), -1);
    whet_names_destroy(ctx, names);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_name_is_near_enough_or_none),
        cmocka_unit_test(long_words_are_not_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
