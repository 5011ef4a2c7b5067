/* SPDX-License-Identifier: Apache-2.0
 * Linear layers and the packing of their weights, by every table, against sums in f64. */
#include "kernel_tables.h"

/* The factor of x is off by at most 2.5e-7 (simd_kernels.h) and two roundings; tanh by less. */
static double act_bound(double x) { return fabs(x) * (2.5e-7 + 4 * UNIT) + 1e-37; }

typedef struct linear_case {
    int64_t rows, n, k;
    bool use_bias, use_residual;
    number_kind kind;
    bool use_before, use_c;
    whet_i_act act;
} linear_case;

/* One number of c in f64; *size gets the sum of magnitudes that bounds the error. */
static double exact_linear(const linear_case *s, const whet_i_linear *p, const float *w,
                           bool round_a, int64_t i, int64_t j, double *size) {
    double sum = s->use_bias ? (double)p->bias[j] : 0;
    *size = fabs(sum);
    for (int64_t t = 0; t < s->k; t++) {
        const float a = p->a[i * p->lda + t], b = w[j * s->k + t];
        const double product = (round_a ? through_bf16(a) : (double)a) *
                               (s->kind == HALF ? through_bf16(b) : (double)b);
        sum += product;
        *size += fabs(product);
    }
    return sum;
}

static void *packed_weights(const whet_kernels *table, bool half, int64_t n, int64_t k,
                            const float *w, int64_t row, int64_t column) {
    void *packed = calloc((size_t)whet_i_packed_count(n, k), sizeof(float));
    assert_non_null(packed);
    if (half)
        table->pack_bf16(n, k, w, row, column, packed);
    else
        table->pack_f32(n, k, w, row, column, packed);
    return packed;
}

static void run_linear(const whet_kernels *table, number_kind of, const whet_i_linear *p) {
    (of == HALF ? table->linear_bf16 : table->linear_f32)(p);
}

/* One number of both outputs. */
static void compare_linear(const whet_kernels *table, const linear_case *s, const whet_i_linear *p,
                           const float *w, int64_t i, int64_t j, double start) {
    const bool round_a = s->kind == HALF && table->bf16_products;
    double size;
    const double sum = exact_linear(s, p, w, round_a, i, j, &size);
    const double extra = s->use_residual ? start : 0;
    /* Sum: (k + 2) u sum |a||w| (Higham 2002, 3.5). |act'| <= 1.13. Then one addition. */
    const double error = ((double)(s->k + 2) * UNIT + left_out(table, s->kind)) * size;
    const double expected = exact_act(s->act, sum) + extra;
    const double bound = 1.13 * error + act_bound(sum) + 2 * UNIT * (fabs(extra) + fabs(expected));
    if (s->use_c) assert_true(fabs((double)p->c[i * p->ldc + j] - expected) <= bound);
    if (s->use_before) {
        const double before = (double)p->before[i * p->ldc + j];
        assert_true(fabs(before - sum) <= error);
        float half;
        whet_i_kernels_ref.f32_from_bf16(1, p->before_half + i * p->ldc + j, &half);
        assert_true((double)half == through_bf16((float)before));
    }
}

static void check_linear(const whet_kernels *table, const linear_case *s) {
    const int64_t lda = s->k + 2, ldc = s->n + 1;
    numbers a = make_numbers(s->rows * lda, 3), w = make_numbers(s->n * s->k, 4);
    numbers bias = make_numbers(s->n, 5), before = make_numbers(s->rows * ldc, 6);
    numbers start = make_numbers(s->rows * ldc, 6), c = make_numbers(s->rows * ldc, 6);
    void *packed = packed_weights(table, s->kind == HALF, s->n, s->k, w.x, s->k, 1);
    void *scratch = linear_scratch(table, s->kind == HALF, s->rows, s->k);
    uint16_t *before_half = calloc((size_t)(s->rows * ldc + 1), sizeof *before_half);
    assert_non_null(before_half);
    const whet_i_linear args = {.rows = s->rows,
                                .n = s->n,
                                .k = s->k,
                                .a = a.x,
                                .packed = packed,
                                .bias = s->use_bias ? bias.x : NULL,
                                .residual = s->use_residual ? c.x : NULL,
                                .before = s->use_before ? before.x : NULL,
                                .before_half = s->use_before ? before_half : NULL,
                                .c = s->use_c ? c.x : NULL,
                                .lda = lda,
                                .ldr = ldc,
                                .ldc = ldc,
                                .act = s->act,
                                .coarse = s->kind == COARSE,
                                .scratch = scratch};
    run_linear(table, s->kind, &args);
    for (int64_t i = 0; i < s->rows; i++) {
        for (int64_t j = 0; j < s->n; j++)
            compare_linear(table, s, &args, w.x, i, j, (double)start.x[i * ldc + j]);
        /* Between rows nothing is touched. */
        assert_true(c.x[i * ldc + s->n] == start.x[i * ldc + s->n]);
        assert_true(before.x[i * ldc + s->n] == start.x[i * ldc + s->n]);
        assert_true(before_half[i * ldc + s->n] == 0);
    }
    if (!s->use_c) assert_memory_equal(c.x, start.x, sizeof(float) * (size_t)c.n);
    if (!s->use_before) assert_memory_equal(before.x, start.x, sizeof(float) * (size_t)before.n);
    free(packed);
    free(scratch);
    free(before_half);
    drop_numbers(&a);
    drop_numbers(&w);
    drop_numbers(&bias);
    drop_numbers(&before);
    drop_numbers(&start);
    drop_numbers(&c);
}

static void check_linears(const whet_kernels *table) {
    static const int64_t rows[] = {0, 1, 2, 3, 4, 5, 6, 7, 16}, ns[] = {1, 15, 16, 17, 64, 65, 130},
                         ks[] = {1, 2, 7, 33, 97};
    static const whet_i_act acts[] = {WHET_I_ACT_NONE, WHET_I_ACT_GELU,      WHET_I_ACT_TANH,
                                      WHET_I_ACT_SILU, WHET_I_ACT_GELU_TANH, WHET_I_ACT_RELU};
    for (int64_t r = 0; r < WHET_COUNT_OF(rows); r++)
        for (int64_t n = 0; n < WHET_COUNT_OF(ns); n++)
            for (int64_t k = 0; k < WHET_COUNT_OF(ks); k++)
                for (int kind = F32; kind < KINDS; kind++)
                    check_linear(table,
                                 &(linear_case){.rows = rows[r],
                                                .n = ns[n],
                                                .k = ks[k],
                                                .use_bias = (r + n) % 2 == 0,
                                                .use_residual = (n + k) % 2 == 0,
                                                .kind = (number_kind)kind,
                                                .use_before = (r + k) % 3 != 0,
                                                .use_c = (r + k) % 3 != 1,
                                                .act = acts[(r + n + k) % WHET_COUNT_OF(acts)]});
}

/* More rows, panels and blocks of k than a table takes at a time. */
static void check_large_linears(const whet_kernels *table) {
    static const int64_t sizes[][3] = {{33, 70, 96}, {70, 65, 449}, {17, 600, 900}, {700, 5, 450}};
    for (int64_t i = 0; i < WHET_COUNT_OF(sizes); i++)
        for (int kind = F32; kind < KINDS; kind++)
            check_linear(table, &(linear_case){.rows = sizes[i][0],
                                               .n = sizes[i][1],
                                               .k = sizes[i][2],
                                               .use_bias = i % 2,
                                               .use_residual = !(i % 2),
                                               .kind = (number_kind)kind,
                                               .use_before = true,
                                               .use_c = true,
                                               .act = WHET_I_ACT_GELU});
}

/* An f32 layer keeps all 24 bits: numbers of any size times 1 are themselves, 0 elsewhere. */
static void check_every_bit(const whet_kernels *table) {
    enum { ROWS = 40, K = 110 };
    numbers a = make_numbers(ROWS * K, 3), w = make_numbers(K * K, 4);
    numbers c = make_numbers(ROWS * K, 5);
    for (int64_t i = 0; i < a.n; i++) a.x[i] = ldexpf(a.x[i], (int)(i % 160) - 80);
    for (int64_t i = 0; i < w.n; i++) w.x[i] = i % (K + 1) == 0;
    void *packed = packed_weights(table, false, K, K, w.x, K, 1);
    void *scratch = linear_scratch(table, false, ROWS, K);
    table->linear_f32(&(whet_i_linear){.rows = ROWS,
                                       .n = K,
                                       .k = K,
                                       .a = a.x,
                                       .packed = packed,
                                       .c = c.x,
                                       .lda = K,
                                       .ldc = K,
                                       .scratch = scratch});
    for (int64_t i = 0; i < c.n; i++) assert_true(c.x[i] == a.x[i]);
    free(packed);
    free(scratch);
    drop_numbers(&a);
    drop_numbers(&w);
    drop_numbers(&c);
}

/* Whatever the order of a table's sums and however it multiplies: on the mean no further from the exact
 * sums than a chain of multiply-adds, ref's. Both errors are means over 4,800 sums, off by 2 % or so. */
static void check_closeness(const whet_kernels *table) {
    enum { ROWS = 48, N = 100, K = 768 };
    const whet_kernels *tables[] = {table, &whet_i_kernels_ref};
    numbers a = make_numbers(ROWS * K, 13), w = make_numbers(N * K, 14);
    numbers c = make_numbers(ROWS * N, 15);
    double error[2] = {0};
    for (int which = 0; which < 2; which++) {
        void *packed = packed_weights(tables[which], false, N, K, w.x, K, 1);
        void *scratch = linear_scratch(tables[which], false, ROWS, K);
        whet_i_linear p = {.rows = ROWS,
                           .n = N,
                           .k = K,
                           .a = a.x,
                           .packed = packed,
                           .c = c.x,
                           .lda = K,
                           .ldc = N,
                           .scratch = scratch};
        tables[which]->linear_f32(&p);
        const linear_case s = {.n = N, .k = K};
        for (int64_t i = 0; i < c.n; i++) {
            double size;
            error[which] +=
                pow((double)c.x[i] - exact_linear(&s, &p, w.x, false, i / N, i % N, &size), 2);
        }
        free(packed);
        free(scratch);
    }
    assert_true(error[0] <= 1.1 * error[1]);
    drop_numbers(&a);
    drop_numbers(&w);
    drop_numbers(&c);
}

/* w^T with strides exchanged is w: the packed bytes are the same, and say which number is where. */
static void check_packing(const whet_kernels *table) {
    static const int64_t ns[] = {1, 16, 63, 64, 65, 130}, ks[] = {1, 2, 15, 16, 17, 40};
    for (int64_t i = 0; i < WHET_COUNT_OF(ns); i++) {
        for (int64_t j = 0; j < WHET_COUNT_OF(ks); j++) {
            const int64_t n = ns[i], k = ks[j], ld = n + 3, wide = 2 * (k + 1);
            numbers w = make_numbers(n * k, 1), across = make_numbers(k * ld, 2);
            numbers spread = make_numbers(n * wide, 3);
            for (int64_t r = 0; r < n; r++)
                for (int64_t t = 0; t < k; t++)
                    spread.x[r * wide + 2 * t] = across.x[t * ld + r] = w.x[r * k + t];
            for (int half = 0; half < 2; half++) {
                const size_t bytes =
                    (half ? sizeof(uint16_t) : sizeof(float)) * (size_t)whet_i_packed_count(n, k);
                void *packed = packed_weights(table, half, n, k, w.x, k, 1);
                void *turned = packed_weights(table, half, n, k, across.x, 1, ld);
                void *apart = packed_weights(table, half, n, k, spread.x, wide, 2);
                assert_memory_equal(packed, turned, bytes);
                assert_memory_equal(packed, apart, bytes);
                free(packed);
                free(turned);
                free(apart);
            }
            drop_numbers(&w);
            drop_numbers(&across);
            drop_numbers(&spread);
        }
    }
}

/* The promise that embeddings rest on: rows alone have the bits they have among others. */
static void check_row_independence(const whet_kernels *table) {
    enum { ROWS = 523, N = 80, K = 460 };
    numbers a = make_numbers(ROWS * K, 8), w = make_numbers(N * K, 9),
            all = make_numbers(ROWS * N, 1), some = make_numbers(7 * N, 1);
    for (int kind = F32; kind < KINDS; kind++) {
        const bool half = kind == HALF;
        void *scratch = linear_scratch(table, half, ROWS, K);
        void *packed = packed_weights(table, half, N, K, w.x, K, 1);
        whet_i_linear p = {.rows = ROWS,
                           .n = N,
                           .k = K,
                           .a = a.x,
                           .packed = packed,
                           .c = all.x,
                           .lda = K,
                           .ldc = N,
                           .act = WHET_I_ACT_GELU,
                           .coarse = kind == COARSE,
                           .scratch = scratch};
        run_linear(table, (number_kind)kind, &p);
        p.c = some.x;
        for (p.rows = 1; p.rows <= 7; p.rows++) {
            const int64_t first = ROWS - p.rows - 2;
            p.a = a.x + first * K;
            run_linear(table, (number_kind)kind, &p);
            assert_memory_equal(some.x, all.x + first * N, sizeof(float) * (size_t)p.rows * N);
        }
        free(packed);
        free(scratch);
    }
    drop_numbers(&a);
    drop_numbers(&w);
    drop_numbers(&all);
    drop_numbers(&some);
}

/* NaN and infinity in one row of a reach that row alone, in one row of w that column alone, also
 * from the last numbers, whose neighbours are padding. */
static void check_special_numbers_at(const whet_kernels *table, int64_t K) {
    enum { ROWS = 38, N = 70, BAD_ROW = 35, BAD_COLUMN = 69, INFINITE_ROW = 9 };
    numbers a = make_numbers(ROWS * K, 8), w = make_numbers(N * K, 9);
    numbers clean = make_numbers(ROWS * N, 1), c = make_numbers(ROWS * N, 1);
    for (int kind = F32; kind < KINDS; kind++) {
        const bool half = kind == HALF;
        void *scratch = linear_scratch(table, half, ROWS, K);
        whet_i_linear p = {.rows = ROWS,
                           .n = N,
                           .k = K,
                           .a = a.x,
                           .c = clean.x,
                           .lda = K,
                           .ldc = N,
                           .coarse = kind == COARSE,
                           .scratch = scratch};
        void *packed = packed_weights(table, half, N, K, w.x, K, 1);
        p.packed = packed;
        run_linear(table, (number_kind)kind, &p);
        free(packed);
        const float a_was = a.x[BAD_ROW * K + K - 1], w_was = w.x[BAD_COLUMN * K + K - 1];
        const float infinite_was = a.x[INFINITE_ROW * K];
        a.x[BAD_ROW * K + K - 1] = NAN;
        a.x[INFINITE_ROW * K] = HUGE_VALF;
        w.x[BAD_COLUMN * K + K - 1] = -HUGE_VALF;
        p.c = c.x;
        p.packed = packed = packed_weights(table, half, N, K, w.x, K, 1);
        run_linear(table, (number_kind)kind, &p);
        free(packed);
        for (int64_t i = 0; i < ROWS; i++) {
            for (int64_t j = 0; j < N; j++) {
                const float got = c.x[i * N + j];
                if (i == BAD_ROW)
                    assert_true(isnan(got));
                else if (j == BAD_COLUMN)
                    assert_true(got == (a.x[i * K + K - 1] > 0 ? -HUGE_VALF : HUGE_VALF) ||
                                (i == INFINITE_ROW && isnan(got)));
                else if (i == INFINITE_ROW)
                    assert_true(got == (w.x[j * K] > 0 ? HUGE_VALF : -HUGE_VALF));
                else
                    assert_true(got == clean.x[i * N + j]);
            }
        }
        a.x[BAD_ROW * K + K - 1] = a_was;
        a.x[INFINITE_ROW * K] = infinite_was;
        w.x[BAD_COLUMN * K + K - 1] = w_was;
        free(scratch);
    }
    drop_numbers(&a);
    drop_numbers(&w);
    drop_numbers(&clean);
    drop_numbers(&c);
}

static void check_special_numbers(const whet_kernels *table) {
    check_special_numbers_at(table, 17);
    check_special_numbers_at(table, 97);
    check_special_numbers_at(table, 500);
}

TABLE_TEST(linear_layers, check_linears)
TABLE_TEST(large_linear_layers, check_large_linears)
TABLE_TEST(f32_keeps_every_bit, check_every_bit)
TABLE_TEST(f32_is_as_close_as_a_chain, check_closeness)
TABLE_TEST(packing_takes_any_strides, check_packing)
TABLE_TEST(rows_do_not_depend_on_neighbours, check_row_independence)
TABLE_TEST(nan_and_infinity_stay_in_their_lines, check_special_numbers)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_layers),
        cmocka_unit_test(large_linear_layers),
        cmocka_unit_test(f32_keeps_every_bit),
        cmocka_unit_test(f32_is_as_close_as_a_chain),
        cmocka_unit_test(packing_takes_any_strides),
        cmocka_unit_test(rows_do_not_depend_on_neighbours),
        cmocka_unit_test(nan_and_infinity_stay_in_their_lines),
    };
    return cmocka_run_group_tests_name("kernels_linear", tests, NULL, NULL);
}
