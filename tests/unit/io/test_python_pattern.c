/* SPDX-License-Identifier: Apache-2.0
 * Patterns of Python's re: what Python 3.11 said of each pattern and text, for the whole text by fullmatch,
 * and with "x.y." before it as PEFT asks, re.match(rf"(.*\.)?({pattern})$"). -1: an error, or unknown. */
#include "support.h"

#include <stdio.h>
#include <string.h>

#include "io/io_i.h"

typedef struct pattern_case {
    const char *pattern, *text;
    int whole, end;
} pattern_case;

static const pattern_case cases[] = {
    {"a{,2}b", "b", 1, 1},
    {"a{,2}b", "aab", 1, 1},
    {"a{,2}b", "aaab", 0, 0},
    {"a{,2}b", "a{,2}b", 0, 0},
    {"a{,}b", "aaaab", 1, 1},
    {"a{}b", "a{}b", 1, 1},
    {"a{x}", "a{x}", 1, 1},
    {"a{2}", "aa", 1, 1},
    {"[[:alpha:]]+", "ab", 0, 0},
    {"[[:alpha:]]", "a]", 1, 1},
    {"[[:alpha:]]", "b]", 0, 0},
    {"[]a]+", "]a", 1, 1},
    {"[^]a]+", "bc", 1, 1},
    {"\\u0076\\x61", "va", 1, 1},
    {"[\\u0076]", "v", 1, 1},
    {"\\U0001F600", "\xF0\x9F\x98\x80", 1, 1},
    {"a\\Z", "a", 1, 1},
    {"a.b\\Z", "axb", 1, 1},
    {"(?P<x>a)(?P=x)", "aa", 1, 1},
    {"(?i)AB", "ab", 1, -1},
    {"(?i:A)b", "ab", 1, 1},
    {"(?i:A)b", "aB", 0, 0},
    {"a(?#c)b", "ab", 1, 1},
    {"(?<=a)b", "b", 0, 0},
    {"\\v", "\v", 1, 1},
    {"[\\b]", "\b", 1, 1},
    {"\\d{1,2}", "12", 1, 1},
    {"a*?b", "aab", 1, 1},
    {"[[a]+", "[a", 1, 1},
    {"[a[.]+", "a[.", 1, 1},
    {"", "", 1, 1},
    {"a|b", "b", 1, 1},
    {"(a)\\1", "aa", 1, 0},
    {"a{,2}{1}", "a", -1, -1},
    {"a**", "a", -1, -1},
    {"\\Qa\\E", "a", -1, -1},
    {"\\h", " ", -1, -1},
    {"(?R)", "a", -1, -1},
    {"(?<x>a)", "a", -1, -1},
    {"(*UTF)a", "a", -1, -1},
    {"a(?i)b", "ab", -1, -1},
    {"(?x)a", "a", -1, -1},
    {"\\N{DIGIT ONE}", "1", -1, -1},
    {"(?1)a", "a", -1, -1},
    {"\\xA", "a", -1, -1},
    {"*a", "a", -1, -1},
    {"^*a", "a", -1, -1},
    {"(?|a)", "a", -1, -1},
    {"\\K", "a", -1, -1},
    {"(", "a", -1, -1},
    {"[a", "a", -1, -1},
};

/* 1, 0, or -1 of a pattern that is refused. */
static int asked(whet_ctx *ctx, const char *pattern, bool end, const char *text) {
    whet_i_pattern *compiled = NULL;
    whet_i_pattern_state *state = NULL;
    char name[64];
    const whet_status status =
        whet_i_pattern_compile_python(ctx, "here", whet_str_from(pattern), end, &compiled);
    if (status != WHET_OK) {
        assert_int_equal(status, WHET_ERR_UNSUPPORTED);
        assert_non_null(strstr(whet_error(ctx), "a regular expression of Python's"));
        return -1;
    }
    assert_int_equal(whet_i_pattern_state_create(ctx, 1000, &state), WHET_OK);
    (void)snprintf(name, sizeof name, "%s%s", end ? "x.y." : "", text);
    const int found = whet_i_pattern_find(compiled, state, whet_str_from(name));
    whet_i_pattern_state_free(ctx, state);
    whet_i_pattern_free(ctx, compiled);
    return found;
}

static void patterns_match_what_python_says(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const pattern_case *c = &cases[i];
        if (asked(ctx, c->pattern, false, c->text) != c->whole ||
            asked(ctx, c->pattern, true, c->text) != c->end)
            fail_msg("case %zu: %s on %s", i, c->pattern, c->text);
    }
    test_ctx_done(ctx);
}

/* A pattern that is said to be Python's as well is, here, what it is there. */
static void what_both_read_alike_matches_alike(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static const char *const alike[] = {"query", "layer\\.[01]\\..*", ".*\\.(query|value)",
                                        "(?:a|b){2,3}?", "[^.]+\\.dense"};
    static const char *const apart[] = {"[[:alpha:]]+\\.query",
                                        ".*(?i)QUERY",
                                        ".*\\.\\Qquery\\E",
                                        "a{,2}",
                                        "a++",
                                        "(?<=a)b",
                                        "(a)\\1",
                                        "(?R)",
                                        "\\h"};
    bool same;
    for (size_t i = 0; i < sizeof alike / sizeof *alike; i++) {
        assert_int_equal(whet_i_pattern_is_python(ctx, whet_str_from(alike[i]), true, &same),
                         WHET_OK);
        assert_true(same);
    }
    for (size_t i = 0; i < sizeof apart / sizeof *apart; i++) {
        assert_int_equal(whet_i_pattern_is_python(ctx, whet_str_from(apart[i]), true, &same),
                         WHET_OK);
        assert_false(same);
    }
    test_ctx_done(ctx);
}

static void the_sentence_has_the_place(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_pattern *compiled = NULL;
    assert_int_equal(whet_i_pattern_compile_python(ctx, "c.json: r", whet_str_from("a\\Qb\\E"),
                                                   false, &compiled),
                     WHET_ERR_UNSUPPORTED);
    assert_string_equal(
        whet_error(ctx),
        "c.json: r: the pattern \"a\\\\Qb\\\\E\" has at byte 1 \"\\\\Qb\\\\\", which "
        "Python's re does not have; expected a regular expression of Python's");
    assert_null(compiled);
    test_ctx_done(ctx);
}

static whet_status compile_one(whet_ctx *ctx, void *arg) {
    whet_i_pattern *compiled = NULL;
    const whet_status status =
        whet_i_pattern_compile_python(ctx, "here", whet_str_from(arg), true, &compiled);
    whet_i_pattern_free(ctx, compiled);
    return status;
}

static void each_failed_allocation_is_survived(void **state) {
    (void)state;
    char pattern[] = "layer\\.\\d{,2}\\.[[:x]\\u0041";
    assert_true(test_each_allocation(compile_one, pattern) > 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_match_what_python_says),
        cmocka_unit_test(what_both_read_alike_matches_alike),
        cmocka_unit_test(the_sentence_has_the_place),
        cmocka_unit_test(each_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests_name("io/python_pattern", tests, NULL, NULL);
}
