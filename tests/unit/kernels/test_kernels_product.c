/* SPDX-License-Identifier: Apache-2.0
 * Products of any operands by every table, against sums of higher precision. */
#include "kernel_tables.h"

/* c [m, n] = a b + beta c with either operand transposed, against ref's chain in long double. */
static void check_product_f64(const whet_kernels *table, int64_t m, int64_t n, int64_t k,
                              int form) {
    const int64_t sizes[] = {m * k, k * n, m * (n + 1)};
    double *x[3];
    whet_i_rng rng;
    whet_i_rng_init(&rng, 31, (uint64_t)(m * n * k));
    for (int i = 0; i < 3; i++) {
        x[i] = malloc(sizeof(double) * (size_t)sizes[i]);
        for (int64_t j = 0; j < sizes[i]; j++) x[i][j] = whet_i_rng_normal(&rng);
    }
    double *c = malloc(sizeof(double) * (size_t)sizes[2]);
    memcpy(c, x[2], sizeof(double) * (size_t)sizes[2]);
    const bool ta = form & 1, tb = form & 2;
    const whet_i_product_f64 p = {.m = m,
                                  .n = n,
                                  .k = k,
                                  .a = x[0],
                                  .b = x[1],
                                  .a_row = ta ? 1 : k,
                                  .a_col = ta ? m : 1,
                                  .b_row = tb ? 1 : n,
                                  .b_col = tb ? k : 1,
                                  .beta = form == 3 ? -2 : 0,
                                  .c = c,
                                  .ldc = n + 1};
    table->product_f64(&p);
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            long double sum = p.beta * x[2][i * (n + 1) + j], size = fabsl(sum);
            for (int64_t t = 0; t < k; t++) {
                const long double product = (long double)p.a[i * p.a_row + t * p.a_col] *
                                            (long double)p.b[t * p.b_row + j * p.b_col];
                sum += product;
                size += fabsl(product);
            }
            assert_true(fabsl((long double)c[i * (n + 1) + j] - sum) <=
                        (long double)(k + 3) * 0x1p-53L * size);
        }
        assert_true(c[i * (n + 1) + n] == x[2][i * (n + 1) + n]);
    }
    for (int i = 0; i < 3; i++) free(x[i]);
    free(c);
}

static void check_products_f64(const whet_kernels *table) {
    static const int64_t ms[] = {1, 2, 3, 4, 5, 6, 13}, ns[] = {1, 7, 8, 31, 32, 33, 70},
                         ks[] = {1, 3, 255, 256, 257, 520};
    for (int64_t m = 0; m < WHET_COUNT_OF(ms); m++)
        for (int64_t n = 0; n < WHET_COUNT_OF(ns); n++)
            for (int64_t k = 0; k < WHET_COUNT_OF(ks); k++)
                check_product_f64(table, ms[m], ns[n], ks[k], (int)(m + n + k) % 4);
}

/* `product` or `product_bf16` with scratch of the exact size, which AddressSanitizer watches. */
static void run_product(const whet_kernels *table, number_kind of, const whet_i_product *p) {
    if (of != HALF) {
        table->product(p);
        return;
    }
    void *scratch = malloc((size_t)table->product_bf16_scratch(p->m, p->n));
    table->product_bf16(p, scratch);
    free(scratch);
}

/* x [rows, columns] laid out with neighbours `column` apart in rows, `row` in columns. */
typedef struct layout {
    int64_t row, column;
} layout;

static numbers laid_out(const numbers *x, int64_t rows, int64_t columns, layout to) {
    const int64_t last = rows && columns ? (rows - 1) * to.row + (columns - 1) * to.column + 1 : 0;
    numbers y = make_numbers(last, 77);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            y.x[i * to.row + j * to.column] = x->x[i * columns + j];
    return y;
}

typedef struct product_case {
    int64_t m, n, k;
    float beta;
    number_kind kind;
} product_case;

/* The four forms and one whose operands have gaps everywhere: the operands' numbers decide the bits,
 * not their places. */
enum { FORMS = 5 };
static void forms_of(const product_case *s, int form, layout *a, layout *b) {
    *a = form & 1 ? (layout){1, s->m + 2} : (layout){s->k + 1, 1};
    *b = form & 2 ? (layout){1, s->k + 3} : (layout){s->n + 1, 1};
    if (form == 4) {
        *a = (layout){2 * s->k + 1, 2};
        *b = (layout){3, 3 * s->k + 2};
    }
}

static numbers product_of(const whet_kernels *table, const product_case *s, int form,
                          const numbers *a, const numbers *b, int64_t ldc) {
    layout la, lb;
    forms_of(s, form, &la, &lb);
    numbers x = laid_out(a, s->m, s->k, la), y = laid_out(b, s->k, s->n, lb);
    numbers c = make_numbers(s->m * ldc, 32);
    run_product(table, s->kind,
                &(whet_i_product){.m = s->m,
                                  .n = s->n,
                                  .k = s->k,
                                  .a = x.x,
                                  .b = y.x,
                                  .a_row = la.row,
                                  .a_col = la.column,
                                  .b_row = lb.row,
                                  .b_col = lb.column,
                                  .beta = s->beta,
                                  .c = c.x,
                                  .ldc = ldc,
                                  .coarse = s->kind == COARSE});
    drop_numbers(&x);
    drop_numbers(&y);
    return c;
}

static void check_product(const whet_kernels *table, const product_case *s) {
    const int64_t ldc = s->n + 2;
    const bool rounds = s->kind == HALF && table->bf16_products;
    numbers a = make_numbers(s->m * s->k, 30), b = make_numbers(s->k * s->n, 31);
    numbers start = make_numbers(s->m * ldc, 32), c = product_of(table, s, 0, &a, &b, ldc);
    double *left = malloc(sizeof *left * (size_t)(a.n + b.n + 1)), *right = left + a.n;
    for (int64_t i = 0; i < a.n; i++) left[i] = rounds ? through_bf16(a.x[i]) : (double)a.x[i];
    for (int64_t i = 0; i < b.n; i++) right[i] = rounds ? through_bf16(b.x[i]) : (double)b.x[i];
    for (int64_t i = 0; i < s->m; i++) {
        for (int64_t j = 0; j < s->n; j++) {
            double sum = (double)s->beta * (double)start.x[i * ldc + j], size = fabs(sum);
            for (int64_t t = 0; t < s->k; t++) {
                const double product = left[i * s->k + t] * right[t * s->n + j];
                sum += product;
                size += fabs(product);
            }
            /* k products and sums, beta c, one more addition for each block of at least 64. */
            const double bound =
                ((double)(s->k + s->k / 64 + 4) * UNIT + left_out(table, s->kind)) * size;
            assert_true(fabs((double)c.x[i * ldc + j] - sum) <= bound);
        }
        for (int64_t j = s->n; j < ldc; j++) assert_true(c.x[i * ldc + j] == start.x[i * ldc + j]);
    }
    for (int form = 1; form < FORMS; form++) {
        numbers other = product_of(table, s, form, &a, &b, ldc);
        assert_memory_equal(other.x, c.x, sizeof(float) * (size_t)c.n);
        drop_numbers(&other);
    }
    free(left);
    drop_numbers(&a);
    drop_numbers(&b);
    drop_numbers(&start);
    drop_numbers(&c);
}

static void check_products(const whet_kernels *table) {
    static const int64_t ms[] = {0, 1, 5, 6, 7, 49}, ks[] = {1, 2, 63, 255, 257},
                         ns[] = {0, 1, 15, 16, 17, 33, 64, 65};
    static const float betas[] = {0, 1, -0.75f};
    for (int64_t m = 0; m < WHET_COUNT_OF(ms); m++)
        for (int64_t n = 0; n < WHET_COUNT_OF(ns); n++)
            for (int64_t k = 0; k < WHET_COUNT_OF(ks); k++)
                for (int kind = F32; kind < KINDS; kind++)
                    check_product(table,
                                  &(product_case){ms[m], ns[n], ks[k], betas[(m + n + k) % 3],
                                                  (number_kind)kind});
    /* What attention's and a weight's gradients ask for; and more than one block of everything. */
    static const int64_t shapes[][3] = {
        {64, 32, 128}, {64, 128, 32}, {97, 130, 600}, {401, 70, 40}};
    for (int64_t i = 0; i < WHET_COUNT_OF(shapes); i++)
        for (int kind = F32; kind < KINDS; kind++)
            check_product(table, &(product_case){shapes[i][0], shapes[i][1], shapes[i][2],
                                                 betas[(i + kind) % 3], (number_kind)kind});
}

/* Any part of c computed alone has the bits it has in the whole: gradients may be cut anywhere. */
static void check_parts(const whet_kernels *table) {
    enum { M = 61, N = 150, K = 300 };
    numbers a = make_numbers(M * K, 33), b = make_numbers(K * N, 34);
    numbers all = make_numbers(M * N, 35), part = make_numbers(M * N, 35);
    for (int kind = F32; kind < KINDS; kind++) {
        for (int turned = 0; turned < 2; turned++) {
            whet_i_product p = {.m = M,
                                .n = N,
                                .k = K,
                                .a = a.x,
                                .b = b.x,
                                .a_row = turned ? 1 : K,
                                .a_col = turned ? M : 1,
                                .b_row = N,
                                .b_col = 1,
                                .c = all.x,
                                .ldc = N,
                                .coarse = kind == COARSE};
            run_product(table, (number_kind)kind, &p);
            p.c = part.x;
            for (int64_t row = 0; row < M; row += 7) {
                for (int64_t col = 0; col < N; col += 23) {
                    p.m = M - row < 7 + row ? M - row : 7 + row;
                    p.n = N - col < 40 ? N - col : 40;
                    p.a = a.x + row * p.a_row;
                    p.b = b.x + col;
                    run_product(table, (number_kind)kind, &p);
                    for (int64_t i = 0; i < p.m; i++)
                        assert_memory_equal(part.x + i * N, all.x + (row + i) * N + col,
                                            sizeof(float) * (size_t)p.n);
                }
            }
        }
    }
    drop_numbers(&a);
    drop_numbers(&b);
    drop_numbers(&all);
    drop_numbers(&part);
}

/* NaN in a row of a is that row's, infinity in a column of b that column's; with beta 0 c may hold
 * anything, else its NaN stays. */
static void check_special_numbers(const whet_kernels *table) {
    enum { M = 14, N = 67, K = 259, ROW = 12, COLUMN = 66 };
    const product_case s = {M, N, K, 0, F32};
    numbers a = make_numbers(M * K, 36), b = make_numbers(K * N, 37);
    a.x[ROW * K + K - 1] = NAN;
    b.x[(K - 1) * N + COLUMN] = HUGE_VALF;
    for (int kind = F32; kind < KINDS; kind++) {
        for (int form = 0; form < FORMS; form++) {
            layout la, lb;
            forms_of(&s, form, &la, &lb);
            numbers x = laid_out(&a, M, K, la), y = laid_out(&b, K, N, lb);
            numbers c = make_numbers(M * N, 38);
            for (int64_t i = 0; i < c.n; i++) c.x[i] = NAN;
            whet_i_product p = {M,         N,        K,         x.x,
                                y.x,       la.row,   la.column, lb.row,
                                lb.column, .c = c.x, .ldc = N,  .coarse = kind == COARSE};
            run_product(table, (number_kind)kind, &p);
            for (int64_t i = 0; i < M; i++) {
                for (int64_t j = 0; j < N; j++) {
                    const float got = c.x[i * N + j], last = a.x[i * K + K - 1];
                    assert_int_equal(isnan(got) != 0, i == ROW);
                    if (i != ROW && j == COLUMN)
                        assert_true(got == (last > 0 ? HUGE_VALF : -HUGE_VALF));
                    else if (i != ROW)
                        assert_true(isfinite(got));
                }
            }
            c.x[3] = NAN;
            p.beta = 1;
            run_product(table, (number_kind)kind, &p);
            for (int64_t j = 0; j < N; j++) assert_int_equal(isnan(c.x[j]) != 0, j == 3);
            drop_numbers(&x);
            drop_numbers(&y);
            drop_numbers(&c);
        }
    }
    drop_numbers(&a);
    drop_numbers(&b);
}

/* Numbers whose sums are exact: large, small, negative zero. */
static void check_exact_numbers(const whet_kernels *table) {
    const float a[] = {0x1p100f, -0x1p-100f, -0.0f, 3}, b[] = {0x1p20f, 0x1p90f, 5, -0.0f};
    for (int kind = F32; kind < KINDS; kind++) {
        float c = -0.0f;
        whet_i_product p = {1, 1, 1, a, b, 1, 1, 1, 1, .c = &c, .ldc = 1, .coarse = kind == COARSE};
        run_product(table, (number_kind)kind, &p);
        assert_true(c == 0x1p120f);
        p.a = a + 1;
        p.b = b + 1;
        p.beta = 1; /* 0x1p120 - 0x1p-10 */
        run_product(table, (number_kind)kind, &p);
        assert_true(c == 0x1p120f);
        p.beta = 0;
        run_product(table, (number_kind)kind, &p);
        assert_true(c == -0x1p-10f);
        p.a = a + 2;
        p.b = b + 2;
        p.k = 2;
        p.beta = -2;
        run_product(table, (number_kind)kind, &p);
        assert_true(c == 0x1p-9f);
        p.beta = 0;
        run_product(table, (number_kind)kind, &p);
        assert_true(c == 0);
    }
}

TABLE_TEST(products_of_f64, check_products_f64)
TABLE_TEST(products_of_any_operands, check_products)
TABLE_TEST(parts_have_the_bits_of_the_whole, check_parts)
TABLE_TEST(nan_and_infinity_stay_in_their_lines, check_special_numbers)
TABLE_TEST(exact_numbers, check_exact_numbers)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_f64),
        cmocka_unit_test(products_of_any_operands),
        cmocka_unit_test(parts_have_the_bits_of_the_whole),
        cmocka_unit_test(nan_and_infinity_stay_in_their_lines),
        cmocka_unit_test(exact_numbers),
    };
    return cmocka_run_group_tests_name("kernels_product", tests, NULL, NULL);
}
