/* SPDX-License-Identifier: Apache-2.0
 * Every table that this processor supports, against sums in f64 and against ref. */
#include "support.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/kernels_i.h"

#define U32 0x1p-24 /* unit roundoff of f32 */
#define U16 0x1p-8  /* of bfloat16 */

#ifdef WHET_KERNELS_X86
extern const whet_kernels whet_i_kernels_bf16_emulated;
#endif

/* Calls check(table) for every table that can run here. */
static void each_table(void (*check)(const whet_kernels *table)) {
    for (const whet_kernels *const *table = whet_i_kernels_all(); *table; table++) {
        if ((*table)->supported())
            check(*table);
        else
            print_message("[   NOTE   ] kernel set %s cannot run here; skipped\n", (*table)->name);
    }
#ifdef WHET_KERNELS_X86
    if (whet_i_kernels_bf16_emulated.supported()) check(&whet_i_kernels_bf16_emulated);
#endif
}

/* Numbers at an odd place, so that no kernel may count on alignment; with a guard behind them. */
typedef struct numbers {
    float *block, *x;
    int64_t n;
} numbers;

static numbers make(int64_t n, uint64_t seed) {
    enum { GUARD = 3 };
    numbers v = {malloc(sizeof(float) * (size_t)(n + 1 + GUARD)), NULL, n};
    v.x = v.block + 1;
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, (uint64_t)n);
    for (int64_t i = 0; i < n; i++) v.x[i] = (float)whet_i_rng_normal(&rng);
    for (int64_t i = n; i < n + GUARD; i++) v.x[i] = 12345;
    return v;
}

static void drop(numbers *v) {
    for (int64_t i = v->n; i < v->n + 3; i++) assert_true(v->x[i] == 12345);
    free(v->block);
}

static double exact_act(whet_i_act act, double x) {
    switch (act) {
    case WHET_I_ACT_NONE: return x;
    case WHET_I_ACT_GELU: return x * 0.5 * erfc(-x * sqrt(0.5));
    case WHET_I_ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    case WHET_I_ACT_RELU: return x < 0 ? 0 : x;
    case WHET_I_ACT_SILU: return x / (1 + exp(-x));
    case WHET_I_ACT_TANH: return tanh(x);
    }
    return 0;
}

/* The factor of x is off by at most 2.5e-7 (simd_kernels.h) and two roundings. */
static double act_bound(double x) { return fabs(x) * (2.5e-7 + 4 * U32) + 1e-37; }

static void check_activations(const whet_kernels *table) {
    enum { N = 4001 };
    for (whet_i_act act = WHET_I_ACT_NONE; act <= WHET_I_ACT_SILU; act++) {
        numbers v = make(N, 1);
        for (int64_t i = 0; i < N; i++) v.x[i] = (float)(i - N / 2) * 0.01f;
        v.x[7] = 1e30f;
        v.x[9] = NAN;
        table->activate(act, N, v.x);
        for (int64_t i = 0; i < N; i++) {
            if (i == 9)
                assert_true(isnan(v.x[i]));
            else {
                const double x = i == 7 ? (double)1e30f : (double)((float)(i - N / 2) * 0.01f);
                assert_true(fabs((double)v.x[i] - exact_act(act, x)) <= act_bound(x));
            }
        }
        drop(&v);
    }
}

/* Rounded to bfloat16 and back, by ref. */
static double bf16(float x) {
    uint16_t half;
    float back;
    whet_i_ref_bf16_from_f32(1, &x, &half);
    whet_i_kernels_ref.f32_from_bf16(1, &half, &back);
    return (double)back;
}

typedef struct linear_case {
    int64_t rows, n, k;
    bool use_bias, use_residual, half;
    whet_i_act act;
} linear_case;

/* One number of c in f64; *size gets the sum of magnitudes that bounds the error. */
static double exact_linear(const linear_case *s, const whet_i_linear *p, const float *w,
                           bool round_a, int64_t i, int64_t j, double *size) {
    double sum = s->use_bias ? (double)p->bias[j] : 0;
    *size = fabs(sum);
    for (int64_t t = 0; t < s->k; t++) {
        const float a = p->a[i * p->lda + t], b = w[j * s->k + t];
        const double product = (round_a ? bf16(a) : (double)a) * (s->half ? bf16(b) : (double)b);
        sum += product;
        *size += fabs(product);
    }
    return sum;
}

static void check_linear(const whet_kernels *table, const linear_case *s) {
    const int64_t lda = s->k + 2, ldc = s->n + 1;
    numbers a = make(s->rows * lda, 3), w = make(s->n * s->k, 4), bias = make(s->n, 5);
    numbers start = make(s->rows * ldc, 6), c = make(s->rows * ldc, 6);
    void *packed = malloc(sizeof(float) * (size_t)whet_i_packed_count(s->n, s->k));
    void *scratch = malloc((size_t)table->linear_scratch(s->rows, s->k) + 1);
    if (s->half)
        table->pack_bf16(s->n, s->k, w.x, s->k, 1, packed);
    else
        table->pack_f32(s->n, s->k, w.x, s->k, 1, packed);
    const whet_i_linear args = {.rows = s->rows,
                                .n = s->n,
                                .k = s->k,
                                .a = a.x,
                                .packed = packed,
                                .bias = s->use_bias ? bias.x : NULL,
                                .residual = s->use_residual ? c.x : NULL,
                                .c = c.x,
                                .lda = lda,
                                .ldr = ldc,
                                .ldc = ldc,
                                .act = s->act,
                                .scratch = scratch};
    (s->half ? table->linear_bf16 : table->linear_f32)(&args);
    for (int64_t i = 0; i < s->rows; i++) {
        for (int64_t j = 0; j < ldc; j++) {
            const double before = (double)start.x[i * ldc + j], got = (double)c.x[i * ldc + j];
            if (j == s->n) { /* between rows nothing is touched */
                assert_true(got == before);
                continue;
            }
            double size;
            const double sum =
                exact_linear(s, &args, w.x, s->half && table->bf16_products, i, j, &size);
            const double extra = s->use_residual ? before : 0;
            /* Sum: (k + 2) u sum |a||w| (Higham 2002, 3.5). |act'| <= 1.13. Then one addition. */
            const double expected = exact_act(s->act, sum) + extra;
            const double bound = 1.13 * (double)(s->k + 2) * U32 * size + act_bound(sum) +
                                 2 * U32 * (fabs(extra) + fabs(expected));
            assert_true(fabs(got - expected) <= bound);
        }
    }
    free(packed);
    free(scratch);
    drop(&a);
    drop(&w);
    drop(&bias);
    drop(&start);
    drop(&c);
}

static void check_linears(const whet_kernels *table) {
    static const int64_t rows[] = {0, 1, 2, 3, 4, 5, 6, 7, 16}, ns[] = {1, 15, 16, 17, 64, 65, 130},
                         ks[] = {1, 2, 7, 32, 33};
    for (int64_t r = 0; r < WHET_COUNT_OF(rows); r++)
        for (int64_t n = 0; n < WHET_COUNT_OF(ns); n++)
            for (int64_t k = 0; k < WHET_COUNT_OF(ks); k++)
                for (int half = 0; half < 2; half++)
                    check_linear(table, &(linear_case){rows[r], ns[n], ks[k], (r + n) % 2 == 0,
                                                       (n + k) % 2 == 0, half,
                                                       (whet_i_act)((r + n + k) % 5)});
}

/* The promise that embeddings rest on: rows alone have the bits they have among others. */
static void check_row_independence(const whet_kernels *table) {
    enum { ROWS = 23, N = 80, K = 96 };
    numbers a = make(ROWS * K, 8), w = make(N * K, 9), all = make(ROWS * N, 1),
            some = make(7 * N, 1);
    void *packed = malloc(sizeof(float) * (size_t)whet_i_packed_count(N, K));
    void *scratch = malloc((size_t)table->linear_scratch(ROWS, K) + 1);
    for (int half = 0; half < 2; half++) {
        if (half)
            table->pack_bf16(N, K, w.x, K, 1, packed);
        else
            table->pack_f32(N, K, w.x, K, 1, packed);
        whet_i_linear p = {.rows = ROWS,
                           .n = N,
                           .k = K,
                           .a = a.x,
                           .packed = packed,
                           .c = all.x,
                           .lda = K,
                           .ldc = N,
                           .act = WHET_I_ACT_GELU,
                           .scratch = scratch};
        (half ? table->linear_bf16 : table->linear_f32)(&p);
        p.c = some.x;
        for (p.rows = 1; p.rows <= 7; p.rows++) {
            const int64_t first = ROWS - p.rows - 2;
            p.a = a.x + first * K;
            (half ? table->linear_bf16 : table->linear_f32)(&p);
            assert_memory_equal(some.x, all.x + first * N, sizeof(float) * (size_t)p.rows * N);
        }
    }
    free(packed);
    free(scratch);
    drop(&a);
    drop(&w);
    drop(&all);
    drop(&some);
}

static void check_attention(const whet_kernels *table, int64_t t, int64_t d) {
    const int64_t ld = 3 * d + 1, ldo = d + 2;
    numbers qkv = make(t * ld, 11), out = make(t * ldo, 12), before = make(t * ldo, 12);
    numbers scratch = make(whet_i_attention_scratch(t, d), 13);
    const float scale = 1 / sqrtf((float)d);
    const whet_i_attention args = {.t = t,
                                   .d = d,
                                   .q = qkv.x,
                                   .k = qkv.x + d,
                                   .v = qkv.x + 2 * d,
                                   .ld = ld,
                                   .ldo = ldo,
                                   .scale = scale,
                                   .out = out.x,
                                   .scratch = scratch.x};
    table->attention(&args);
    double *p = malloc(sizeof *p * (size_t)t);
    for (int64_t i = 0; i < t; i++) {
        double most = -HUGE_VAL, sum = 0, largest = 0;
        for (int64_t j = 0; j < t; j++) {
            double size = 0;
            p[j] = 0;
            for (int64_t c = 0; c < d; c++) {
                const double product = (double)args.q[i * ld + c] * (double)args.k[j * ld + c];
                p[j] += (double)scale * product;
                size += fabs((double)scale * product);
            }
            most = fmax(most, p[j]);
            largest = fmax(largest, size);
        }
        for (int64_t j = 0; j < t; j++) sum += p[j] = exp(p[j] - most);
        for (int64_t c = 0; c < d; c++) {
            double value = 0, size = 0;
            for (int64_t j = 0; j < t; j++) {
                value += p[j] / sum * (double)args.v[j * ld + c];
                size += p[j] / sum * fabs((double)args.v[j * ld + c]);
            }
            /* An error e in scores is a factor 1 + 2e in weights; sums of d and of t numbers. */
            const double bound =
                size * (4 * (double)(d + 4) * U32 * (1 + largest) + 2 * (double)(t + 8) * U32);
            assert_true(fabs((double)out.x[i * ldo + c] - value) <= bound);
        }
        assert_true(out.x[i * ldo + d] == before.x[i * ldo + d]);
    }
    free(p);
    drop(&qkv);
    drop(&out);
    drop(&before);
    drop(&scratch);
}

static void check_attentions(const whet_kernels *table) {
    static const int64_t ts[] = {1, 2, 5, 6, 7, 8, 15, 16, 17, 31, 64, 65, 100};
    static const int64_t ds[] = {1, 8, 20, 32, 64, 80, 128};
    for (int64_t t = 0; t < WHET_COUNT_OF(ts); t++)
        for (int64_t d = 0; d < WHET_COUNT_OF(ds); d++) check_attention(table, ts[t], ds[d]);
}

static void check_rows(const whet_kernels *table) {
    for (int64_t n = 1; n <= 70; n++) {
        numbers x = make(2 * n, 21), g = make(n, 22), b = make(n, 23), y = make(2 * n, 24);
        table->layernorm(2, n, x.x, g.x, b.x, 1e-5f, y.x);
        for (int64_t i = 0; i < 2; i++) {
            double mean = 0, var = 0;
            for (int64_t j = 0; j < n; j++) mean += (double)x.x[i * n + j] / (double)n;
            for (int64_t j = 0; j < n; j++)
                var += pow((double)x.x[i * n + j] - mean, 2) / (double)n;
            for (int64_t j = 0; j < n; j++) {
                const double unit = ((double)x.x[i * n + j] - mean) / sqrt(var + 1e-5);
                const double value = unit * (double)g.x[j] + (double)b.x[j];
                /* The mean is off by n u max|x| <= 4 n u, over a deviation of at least sqrt eps;
                 * for n > 1 the deviation of these numbers is far larger. */
                const double off = 4 * (double)n * U32 / sqrt(var + 1e-5);
                const double bound =
                    (off + (double)(n + 8) * U32 * fabs(unit)) * fabs((double)g.x[j]) +
                    4 * U32 * (fabs(value) + fabs((double)b.x[j]));
                assert_true(fabs((double)y.x[i * n + j] - value) <= bound);
            }
        }
        double dot = 0, size = 0, distance = 0, sum = 0, most = -HUGE_VAL;
        for (int64_t j = 0; j < n; j++) {
            dot += (double)x.x[j] * (double)g.x[j];
            size += fabs((double)x.x[j] * (double)g.x[j]);
            distance += pow((double)x.x[j] - (double)g.x[j], 2);
            most = fmax(most, (double)x.x[j]);
        }
        assert_true(fabs((double)table->dot(n, x.x, g.x) - dot) <= (double)(n + 1) * U32 * size);
        assert_true(fabs((double)table->squared_distance(n, x.x, g.x) - distance) <=
                    (double)(n + 4) * U32 * distance);
        memcpy(y.x, b.x, sizeof(float) * (size_t)n);
        table->add(n, g.x, y.x);
        for (int64_t j = 0; j < n; j++) assert_true(y.x[j] == b.x[j] + g.x[j]);
        table->scale(n, 3, y.x);
        for (int64_t j = 0; j < n; j++) assert_true(y.x[j] == 3 * (b.x[j] + g.x[j]));
        memcpy(y.x, x.x, sizeof(float) * (size_t)n);
        table->softmax(n, y.x);
        for (int64_t j = 0; j < n; j++) sum += exp((double)x.x[j] - most);
        for (int64_t j = 0; j < n; j++) {
            const double value = exp((double)x.x[j] - most) / sum;
            assert_true(fabs((double)y.x[j] - value) <= value * (double)(n + 16) * U32);
        }
        drop(&x);
        drop(&g);
        drop(&b);
        drop(&y);
    }
}

static void check_special_values(const whet_kernels *table) {
    float x[40];
    for (int i = 0; i < 40; i++) x[i] = i == 3 ? 0 : -HUGE_VALF;
    table->softmax(40, x);
    for (int i = 0; i < 40; i++) assert_true(x[i] == (i == 3 ? 1.0f : 0.0f));
    for (int i = 0; i < 40; i++) x[i] = i == 20 ? NAN : 1;
    table->softmax(40, x);
    for (int i = 0; i < 40; i++) assert_true(isnan(x[i]));
    float ones[40], out[40];
    for (int i = 0; i < 40; i++) ones[i] = 1;
    for (int i = 0; i < 40; i++) x[i] = i == 39 ? NAN : 1;
    table->layernorm(1, 40, x, ones, ones, 1e-5f, out);
    for (int i = 0; i < 40; i++) assert_true(isnan(out[i]));
    /* A constant row has variance 0: eps keeps it finite. */
    table->layernorm(1, 40, ones, ones, ones, 1e-12f, out);
    for (int i = 0; i < 40; i++) assert_true(out[i] == 1);
    assert_true(isnan(table->dot(40, x, ones)));
    table->softmax(1, ones);
    assert_true(ones[0] == 1);
}

static void check_conversions(const whet_kernels *table) {
    enum { ALL = 65536 };
    uint16_t *bits = malloc(sizeof *bits * (ALL + 1)), *back = malloc(sizeof *back * ALL);
    float *wide = malloc(sizeof *wide * ALL), *expected = malloc(sizeof *expected * ALL);
    for (int i = 0; i < ALL; i++) bits[i] = (uint16_t)i;
    table->f32_from_bf16(ALL - 3, bits, wide);
    whet_i_kernels_ref.f32_from_bf16(ALL - 3, bits, expected);
    assert_memory_equal(wide, expected, sizeof *wide * (ALL - 3));
    table->bf16_from_f32(ALL - 3, wide, back);
    for (int i = 0; i < ALL - 3; i++)
        if (!isnan(wide[i])) assert_int_equal(back[i], i);
    table->f32_from_f16(ALL - 3, bits, wide);
    whet_i_ref_f32_from_f16(ALL - 3, bits, expected);
    assert_memory_equal(wide, expected, sizeof *wide * (ALL - 3));
    assert_true(wide[0x3c00] == 1 && wide[1] == 0x1p-24f && wide[0xfbff] == -65504);
    free(bits);
    free(back);
    free(wide);
    free(expected);
}

/* c [m, n] = a b + beta c with either operand transposed, against ref's chain in long double. */
static void check_product(const whet_kernels *table, int64_t m, int64_t n, int64_t k, int form) {
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

static void check_products(const whet_kernels *table) {
    static const int64_t ms[] = {1, 2, 3, 4, 5, 6, 13}, ns[] = {1, 7, 8, 31, 32, 33, 70},
                         ks[] = {1, 3, 255, 256, 257, 520};
    for (int64_t m = 0; m < WHET_COUNT_OF(ms); m++)
        for (int64_t n = 0; n < WHET_COUNT_OF(ns); n++)
            for (int64_t k = 0; k < WHET_COUNT_OF(ks); k++)
                check_product(table, ms[m], ns[n], ks[k], (int)(m + n + k) % 4);
}

static void products_of_f64(void **state) {
    (void)state;
    each_table(check_products);
}

static void activations(void **state) {
    (void)state;
    each_table(check_activations);
}
static void linear_layers(void **state) {
    (void)state;
    each_table(check_linears);
}
static void rows_do_not_depend_on_neighbours(void **state) {
    (void)state;
    each_table(check_row_independence);
}
static void attention_is_softmax_of_products(void **state) {
    (void)state;
    each_table(check_attentions);
}
static void row_kernels(void **state) {
    (void)state;
    each_table(check_rows);
}
static void nan_infinity_and_constants(void **state) {
    (void)state;
    each_table(check_special_values);
}
static void conversions(void **state) {
    (void)state;
    each_table(check_conversions);
}

static void sets_are_chosen_by_name(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *best = whet_kernels_name(ctx);
    test_ok(ctx, whet_kernels_select(ctx, "ref"));
    assert_string_equal(whet_kernels_name(ctx), "ref");
    assert_ptr_equal(whet_i_kernels(ctx), &whet_i_kernels_ref);
    test_fails(ctx, whet_kernels_select(ctx, "avx9\n"), WHET_ERR_ARG);
    test_says(ctx, "kernel set \"avx9\\x0a\" is not available here; expected one of auto, ");
    assert_string_equal(whet_kernels_name(ctx), "ref");
    test_ok(ctx, whet_kernels_select(ctx, NULL));
    assert_string_equal(whet_kernels_name(ctx), best);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_f64),
        cmocka_unit_test(activations),
        cmocka_unit_test(linear_layers),
        cmocka_unit_test(rows_do_not_depend_on_neighbours),
        cmocka_unit_test(attention_is_softmax_of_products),
        cmocka_unit_test(row_kernels),
        cmocka_unit_test(nan_infinity_and_constants),
        cmocka_unit_test(conversions),
        cmocka_unit_test(sets_are_chosen_by_name),
    };
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
