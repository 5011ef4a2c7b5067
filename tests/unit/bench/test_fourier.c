/* SPDX-License-Identifier: Apache-2.0
 * Fourier transforms against the sum that they are. */
#include "support.h"

#include <math.h>

#include "bench/fourier.h"

enum { MOST = 256 };

typedef struct arrays {
    whet_i_fourier f;
    double *re, *im, *scratch, *first_re, *first_im;
} arrays;

/* Random numbers in [-1, 1). */
static arrays make(whet_ctx *ctx, int64_t n) {
    arrays a;
    whet_i_rng rng;
    whet_i_rng_init(&rng, (uint64_t)n, 0);
    test_ok(ctx, whet_i_fourier_make(ctx, n, &a.f));
    test_ok(ctx, whet_i_alloc(ctx, n * n, &a.re));
    test_ok(ctx, whet_i_alloc(ctx, n * n, &a.im));
    test_ok(ctx, whet_i_alloc(ctx, n * n, &a.first_re));
    test_ok(ctx, whet_i_alloc(ctx, n * n, &a.first_im));
    test_ok(ctx, whet_i_alloc(ctx, whet_i_fourier_room(&a.f), &a.scratch));
    for (int64_t i = 0; i < n * n; i++) {
        a.re[i] = a.first_re[i] = 2 * whet_i_rng_uniform(&rng) - 1;
        a.im[i] = a.first_im[i] = 2 * whet_i_rng_uniform(&rng) - 1;
    }
    return a;
}

static void drop(whet_ctx *ctx, arrays *a) {
    whet_i_fourier_free(ctx, &a->f);
    whet_i_free(ctx, a->re);
    whet_i_free(ctx, a->im);
    whet_i_free(ctx, a->first_re);
    whet_i_free(ctx, a->first_im);
    whet_i_free(ctx, a->scratch);
}

/* The plain sum of n^2 terms of size up to sqrt(2): its own rounding is the larger. */
static void is_the_sum(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    for (int64_t n = 1; n <= 32; n *= 2) {
        arrays s = make(ctx, n);
        const double bound = (double)(n * n) * 0x1p-51;
        whet_i_fourier_2d(&s.f, s.re, s.im, s.scratch);
        for (int64_t a = 0; a < n; a++)
            for (int64_t b = 0; b < n; b++) {
                double re = 0, im = 0;
                for (int64_t i = 0; i < n * n; i++) {
                    const int64_t turns = (a * (i / n) + b * (i % n)) % n;
                    const double angle = 2 * acos(-1) * (double)turns / (double)n;
                    const double c = cos(angle), d = sin(angle);
                    re += s.first_re[i] * c + s.first_im[i] * d;
                    im += s.first_im[i] * c - s.first_re[i] * d;
                }
                assert_true(fabs(s.re[a * n + b] - re) <= bound);
                assert_true(fabs(s.im[a * n + b] - im) <= bound);
            }
        drop(ctx, &s);
    }
    test_ctx_done(ctx);
}

/* By hand: x[0, 1] = i alone has X[a, b] = i exp(-2 pi i b / 4). */
static void one_point_by_hand(void **state) {
    (void)state;
    static const double re[4] = {0, 1, 0, -1}, im[4] = {1, 0, -1, 0};
    whet_ctx *ctx = test_ctx(1);
    arrays s = make(ctx, 4);
    for (int i = 0; i < 16; i++) s.re[i] = s.im[i] = 0;
    s.im[1] = 1;
    whet_i_fourier_2d(&s.f, s.re, s.im, s.scratch);
    for (int i = 0; i < 16; i++) {
        assert_true(fabs(s.re[i] - re[i % 4]) < 1e-15); /* cos(pi / 2) is 6e-17 */
        assert_true(fabs(s.im[i] - im[i % 4]) < 1e-15);
    }
    drop(ctx, &s);
    test_ctx_done(ctx);
}

/* Sides with a last step by two and without; both parts' squares add up to n^2 as many (Parseval). */
static void there_and_back(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    for (int64_t n = 1; n <= MOST; n *= 2) {
        arrays s = make(ctx, n);
        const double count = (double)(n * n);
        double before = 0, after = 0;
        whet_i_fourier_2d(&s.f, s.re, s.im, s.scratch);
        for (int64_t i = 0; i < n * n; i++) {
            before += s.first_re[i] * s.first_re[i] + s.first_im[i] * s.first_im[i];
            after += s.re[i] * s.re[i] + s.im[i] * s.im[i];
        }
        assert_true(fabs(after / count - before) <= 1e-13 * before);
        whet_i_fourier_2d(&s.f, s.im, s.re, s.scratch);
        for (int64_t i = 0; i < n * n; i++) {
            /* 16 halvings there, 16 back, each of a rounding */
            assert_true(fabs(s.re[i] / count - s.first_re[i]) < 1e-14);
            assert_true(fabs(s.im[i] / count - s.first_im[i]) < 1e-14);
        }
        drop(ctx, &s);
    }
    test_ctx_done(ctx);
}

static void refuses_other_sides(void **state) {
    (void)state;
    static const int64_t bad[] = {0, -4, 3, 48, 1 << 16};
    whet_ctx *ctx = test_ctx(1);
    whet_i_fourier f = {0};
    for (int64_t i = 0; i < WHET_COUNT_OF(bad); i++) {
        test_fails(ctx, whet_i_fourier_make(ctx, bad[i], &f), WHET_ERR_ARG);
        test_says(ctx, "expected a power of two");
        assert_null(f.cosine);
    }
    test_ctx_done(ctx);
}

static whet_status make_once(whet_ctx *ctx, void *arg) {
    whet_i_fourier f;
    (void)arg;
    WHET_TRY(whet_i_fourier_make(ctx, 16, &f));
    whet_i_fourier_free(ctx, &f);
    return WHET_OK;
}

static void survives_lack_of_memory(void **state) {
    (void)state;
    assert_int_equal(test_each_allocation(make_once, NULL), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_the_sum),
        cmocka_unit_test(one_point_by_hand),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(refuses_other_sides),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
