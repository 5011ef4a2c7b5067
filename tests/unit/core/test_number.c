/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/core_i.h"

static void integers_are_whole_or_refused(void **state) {
    (void)state;
    int64_t x = -7;
    assert_true(whet_i_parse_int(whet_str_from("-9223372036854775808"), &x));
    assert_true(x == INT64_MIN);
    assert_true(whet_i_parse_int(whet_str_from("+12"), &x));
    assert_int_equal(x, 12);
    const char *refused[] = {"", "-", "1 ", " 1", "1.0", "0x1", "9223372036854775808", "1e3"};
    for (int64_t i = 0; i < WHET_COUNT_OF(refused); i++)
        assert_false(whet_i_parse_int(whet_str_from(refused[i]), &x));
    assert_int_equal(x, 12);
}

static void reals_are_correctly_rounded(void **state) {
    (void)state;
    const char *texts[] = {"0",
                           "-0.0",
                           "1.5",
                           ".5",
                           "5.",
                           "1e22",
                           "1e23",
                           "9007199254740993",
                           "0.1",
                           "123456789012345678901234567890",
                           "4.9e-324",
                           "1.7976931348623157e308",
                           "3.569622123e-06",
                           "0.000000000000000000000000000000012345678901234567891",
                           "1e400",
                           "2.2250738585072011e-308"};
    for (int64_t i = 0; i < WHET_COUNT_OF(texts); i++) {
        double got = -1;
        assert_true(whet_i_parse_real(whet_str_from(texts[i]), &got));
        const double expected = strtod(texts[i], NULL); /* the C locale is in force here */
        assert_memory_equal(&got, &expected, sizeof got);
    }
    whet_i_rng rng;
    whet_i_rng_init(&rng, 1, 0);
    for (int i = 0; i < 20000; i++) {
        char text[64];
        const int digits = 1 + (int)whet_i_rng_below(&rng, 19);
        const double scale = pow(10, (double)whet_i_rng_below(&rng, 60) - 30);
        (void)snprintf(text, sizeof text, "%.*g", digits, whet_i_rng_normal(&rng) * scale);
        double got = -1;
        assert_true(whet_i_parse_real(whet_str_from(text), &got));
        assert_true(got == strtod(text, NULL));
    }
}

static void words_are_not_reals(void **state) {
    (void)state;
    double x = 3;
    const char *refused[] = {"",    ".",   "-",    "e5",  "1e", "1e+",
                             "nan", "inf", "0x10", "1,5", "1 ", "--1"};
    for (int64_t i = 0; i < WHET_COUNT_OF(refused); i++)
        assert_false(whet_i_parse_real(whet_str_from(refused[i]), &x));
    assert_true(x == 3);
}

/* scipy.stats.t.ppf(.975, n) */
static void student(void **state) {
    (void)state;
    static const struct {
        int64_t freedom;
        double t;
    } cases[] = {{1, 12.706204736174694},   {2, 4.302652729749464},   {3, 3.182446305284263},
                 {4, 2.7764451051977934},   {5, 2.570581835636314},   {10, 2.228138851986273},
                 {30, 2.0422724563012373},  {31, 2.039513446396408},  {100, 1.9839715185235518},
                 {200, 1.9718962236339088}, {201, 1.971836506779859}, {1000, 1.9623390808264078}};
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++)
        assert_true(fabs(whet_i_student(cases[i].freedom) / cases[i].t - 1) < 1e-9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_whole_or_refused),
        cmocka_unit_test(reals_are_correctly_rounded),
        cmocka_unit_test(words_are_not_reals),
        cmocka_unit_test(student),
    };
    return cmocka_run_group_tests_name("core/number", tests, NULL, NULL);
}
