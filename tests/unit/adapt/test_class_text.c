/* SPDX-License-Identifier: Apache-2.0 */
#include "adapt/pipeline_i.h"
#include "support.h"

static void check(whet_ctx *ctx, const char *name, const char *expected) {
    char *text = NULL;
    test_ok(ctx, whet_class_text(ctx, whet_str_from(name), &text));
    assert_string_equal(text, expected);
    whet_free_text(ctx, text);
}

static void names_for_programs_become_words(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    check(ctx, "freeze_account", "freeze account");
    check(ctx, "Sci/Tech", "Sci Tech");
    check(ctx, "comp.sys.ibm.pc.hardware", "comp sys ibm pc hardware");
    check(ctx, "ABBR:exp", "ABBR exp");
    check(ctx, "credit-card", "credit card");
    check(ctx, "CreditCard", "Credit Card");
    check(ctx, "HTTPServer", "HTTP Server");
    check(ctx, "spam", "spam");
    check(ctx, "two words", "two words");
    check(ctx, "__a__b__", "a b");
    check(ctx, "version 3.5", "version 3.5");
    check(ctx, "2019-20", "2019-20");
    check(ctx, "C++", "C++");
    check(ctx, "pc2PC", "pc2PC");
    check(ctx, "USA", "USA");
    check(ctx, "PCs", "PCs");
    check(ctx, "caf\xc3\xa9_noir", "caf\xc3\xa9 noir");
    check(ctx, "\xe6\x97\xa5\xe6\x9c\xac", "\xe6\x97\xa5\xe6\x9c\xac");
    check(ctx, "-", "-");
    check(ctx, "_", "_");
    check(ctx, "", "");
    check(ctx, "-1", "1"); /* never embedded: the class list has no letters */
    test_ctx_done(ctx);
}

static void numbers_alone_mean_nothing(void **state) {
    (void)state;
    const whet_str numbers[] = {whet_str_from("0"), whet_str_from("1")};
    const whet_str mixed[] = {whet_str_from("0"), whet_str_from("one")};
    const whet_str words[] = {whet_str_from("\xe6\x97\xa5"), whet_str_from("a1")};
    assert_false(whet_i_texts_mean(numbers, 2));
    assert_false(whet_i_texts_mean(mixed, 2));
    assert_true(whet_i_texts_mean(words, 2));
}

static void utf8_is_checked_byte_by_byte(void **state) {
    (void)state;
    assert_int_equal(whet_i_utf8_length("a", 1), 1);
    assert_int_equal(whet_i_utf8_length("\xc3\xa9", 2), 2);
    assert_int_equal(whet_i_utf8_length("\xe2\x82\xac", 3), 3);
    assert_int_equal(whet_i_utf8_length("\xf0\x9f\x98\x80", 4), 4);
    assert_int_equal(whet_i_utf8_length("\xf0\x9f\x98\x80", 3), 0); /* cut */
    assert_int_equal(whet_i_utf8_length("\xc0\xaf", 2), 0);         /* overlong */
    assert_int_equal(whet_i_utf8_length("\xe0\x80\x80", 3), 0);     /* overlong */
    assert_int_equal(whet_i_utf8_length("\xf0\x8f\xbf\xbf", 4), 0); /* overlong */
    assert_int_equal(whet_i_utf8_length("\xed\xa0\x80", 3), 0);     /* surrogate */
    assert_int_equal(whet_i_utf8_length("\xf4\x90\x80\x80", 4), 0); /* beyond U+10FFFF */
    assert_int_equal(whet_i_utf8_length("\xf5\x80\x80\x80", 4), 0);
    assert_int_equal(whet_i_utf8_length("\x80", 1), 0);
    assert_int_equal(whet_i_utf8_length("", 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_for_programs_become_words),
        cmocka_unit_test(numbers_alone_mean_nothing),
        cmocka_unit_test(utf8_is_checked_byte_by_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
