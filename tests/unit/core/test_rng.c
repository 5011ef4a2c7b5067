/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <math.h>

#include "core/core_i.h"

static void bounded_integers_are_uniform(void **state) {
    (void)state;
    enum { N = 7, DRAWS = 70000 };
    whet_i_rng rng;
    whet_i_rng_init(&rng, 1, 0);
    int64_t count[N] = {0};
    for (int i = 0; i < DRAWS; i++) count[whet_i_rng_below(&rng, N)]++;
    double chi2 = 0;
    for (int i = 0; i < N; i++) {
        const double off = (double)count[i] - DRAWS / N;
        chi2 += off * off / (DRAWS / N);
    }
    assert_true(chi2 < 22.5); /* 6 degrees of freedom, p = .001; the seed is fixed */
    assert_int_equal(whet_i_rng_below(&rng, 1), 0);
}

static void normals_have_unit_moments(void **state) {
    (void)state;
    enum { DRAWS = 100000 };
    whet_i_rng rng;
    whet_i_rng_init(&rng, 2, 5);
    double sum = 0, square = 0;
    for (int i = 0; i < DRAWS; i++) {
        const double x = whet_i_rng_normal(&rng);
        sum += x;
        square += x * x;
    }
    /* Three standard errors: 1/sqrt(n) of the mean, sqrt(2/n) of the variance. */
    assert_true(fabs(sum / DRAWS) < 3.0 / sqrt(DRAWS));
    assert_true(fabs(square / DRAWS - 1) < 3 * sqrt(2.0 / DRAWS));
}

static void streams_differ_and_repeat(void **state) {
    (void)state;
    whet_i_rng a, b, c;
    whet_i_rng_init(&a, 3, 0);
    whet_i_rng_init(&b, 3, 1);
    whet_i_rng_init(&c, 3, 0);
    int same = 0;
    for (int i = 0; i < 100; i++) {
        const uint64_t x = whet_i_rng_u64(&a);
        same += x == whet_i_rng_u64(&b);
        assert_true(x == whet_i_rng_u64(&c));
    }
    assert_int_equal(same, 0);
}

static void a_shuffle_is_a_permutation(void **state) {
    (void)state;
    int64_t values[50], seen[50] = {0};
    for (int64_t i = 0; i < 50; i++) values[i] = i;
    whet_i_rng rng;
    whet_i_rng_init(&rng, 4, 0);
    whet_i_rng_shuffle(&rng, values, 50);
    int moved = 0;
    for (int64_t i = 0; i < 50; i++) {
        seen[values[i]]++;
        moved += values[i] != i;
    }
    for (int i = 0; i < 50; i++) assert_int_equal(seen[i], 1);
    assert_true(moved > 30);
}

/* Values from a few lines of Python; any byte, and the length, counts; where the bytes lie does not. */
static void hashes_of_many_bytes(void **state) {
    (void)state;
    static const struct {
        int64_t len;
        uint64_t hash;
    } known[] = {{0, 0x6767d53b03bee045u},
                 {1, 0xf2b75fcc20d848cbu},
                 {31, 0x15c45c75df70a93cu},
                 {32, 0xb11efaec76c6465fu},
                 {100, 0xb2f75a12d4f1c4aeu}};
    unsigned char bytes[102], moved[103];
    for (int i = 0; i < 102; i++) bytes[i] = (unsigned char)(i * 37 + 5);
    memcpy(moved + 1, bytes, sizeof bytes);
    for (int64_t i = 0; i < WHET_COUNT_OF(known); i++) {
        assert_true(whet_i_hash_long(bytes, known[i].len) == known[i].hash);
        assert_true(whet_i_hash_long(moved + 1, known[i].len) == known[i].hash);
    }
    for (int i = 0; i < 100; i++) {
        bytes[i] ^= 1;
        assert_true(whet_i_hash_long(bytes, 100) != known[4].hash);
        bytes[i] ^= 1;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounded_integers_are_uniform),
        cmocka_unit_test(normals_have_unit_moments),
        cmocka_unit_test(streams_differ_and_repeat),
        cmocka_unit_test(a_shuffle_is_a_permutation),
        cmocka_unit_test(hashes_of_many_bytes),
    };
    return cmocka_run_group_tests_name("core/rng", tests, NULL, NULL);
}
