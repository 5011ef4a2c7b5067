/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <stdio.h>
#include <string.h>

#include "io/io_i.h"

/* UTF-8 of a code point of the Basic Multilingual Plane. */
static int64_t encode(unsigned code, char out[3]) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    out[0] = (char)(0xe0 | code >> 12);
    out[1] = (char)(0x80 | (code >> 6 & 0x3f));
    out[2] = (char)(0x80 | (code & 0x3f));
    return 3;
}

/* White_Space of PropList.txt, Unicode 15. */
static bool is_white(unsigned c) {
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

static void white_space_around_a_name_does_not_count(void **state) {
    (void)state;
    for (unsigned code = 1; code < 0x10000; code++) {
        char space[3], text[32];
        if (code >= 0xd800 && code < 0xe000) continue;
        const int64_t n = encode(code, space);
        const int len = snprintf(text, sizeof text, "%.*s %.*sa%.*sb%.*s", (int)n, space, (int)n,
                                 space, (int)n, space, (int)n, space);
        const whet_str trimmed = whet_i_trim((whet_str){text, len});
        if (is_white(code)) {
            assert_int_equal(trimmed.len, 2 + n); /* within the name it stays */
            assert_true(trimmed.ptr[0] == 'a' && trimmed.ptr[1 + n] == 'b');
        } else {
            assert_int_equal(trimmed.len, len);
        }
    }
    assert_int_equal(whet_i_trim(whet_str_from(" \xc2\xa0\xe3\x80\x80")).len, 0);
    assert_int_equal(whet_i_trim(whet_str_from("")).len, 0);
    /* Bytes that are no UTF-8 are left alone. */
    assert_int_equal(whet_i_trim(whet_str_from("\xa0"
                                               "a\xe2\x80"))
                         .len,
                     4);
}

static whet_status classes_of(whet_ctx *ctx, const char *const *labels, int64_t n,
                              whet_names **out) {
    whet_i_given_label items[8];
    for (int64_t i = 0; i < n; i++)
        items[i] = (whet_i_given_label){i, i + 2, whet_str_from(labels[i])};
    const whet_i_given_labels given = {"t.csv", items, n};
    return whet_i_labels_classes(ctx, &given, out);
}

static void names_that_look_the_same_are_told(void **state) {
    (void)state;
    char warning[TEST_WARNING];
    whet_ctx *ctx = test_ctx_warned(warning);
    const struct {
        const char *labels[4], *warning; /* NULL: none */
        int64_t n;
    } cases[] = {
        {{"spam", "ham", "spam", "Ham x"}, NULL, 4},
        {{"Spam", "ham", "spam"}, "t.csv: labels \"Spam\" and \"spam\" differ only in case", 3},
        {{"caf\xc3\xa9", "cafe\xcc\x81"}, "they are two classes", 2},
        {{"caf\xc3\xa9", "cafe"}, NULL, 2}, /* another word */
        {{"a", "a\xe2\x80\x8b"}, "they are two classes", 2},
        {{"in mood", "in\xc2\xa0mood"}, "they are two classes", 2},
        {{"a", "A", "b", "B"}, "\"A\" and \"a\"", 4},
        {{"a", "A", "b", "B"}, "(of 2 such pairs the first)", 4},
        {{"1", "01"}, NULL, 2},
        {{"\xef\xb7\xba", "x"}, NULL, 2}, /* 18 characters of one */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        whet_names *classes;
        warning[0] = '\0';
        test_ok(ctx, classes_of(ctx, cases[i].labels, cases[i].n, &classes));
        if (cases[i].warning)
            assert_non_null(strstr(warning, cases[i].warning));
        else
            assert_string_equal(warning, "");
        whet_names_destroy(ctx, classes);
    }
    test_ctx_done(ctx);
}

static whet_status make_and_free(whet_ctx *ctx, void *arg) {
    const char *const labels[] = {"a", "A", "b", "caf\xc3\xa9"};
    whet_names *classes;
    (void)arg;
    WHET_TRY(classes_of(ctx, labels, 4, &classes));
    whet_names_destroy(ctx, classes);
    return WHET_OK;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    assert_true(test_each_allocation(make_and_free, NULL) > 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(white_space_around_a_name_does_not_count),
        cmocka_unit_test(names_that_look_the_same_are_told),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
