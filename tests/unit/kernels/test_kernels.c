/* SPDX-License-Identifier: Apache-2.0
 * Every table that this processor supports, against sums in f64 and against ref: activations, rows,
 * conversions, the choice of a table. Linear layers, products, attention and gradients have their
 * own programs. */
#include "kernel_tables.h"

/* The factor of x is off by at most 2.5e-7 (simd_kernels.h) and two roundings. */
static double act_bound(double x) { return fabs(x) * (2.5e-7 + 4 * UNIT) + 1e-37; }

static void check_activations(const whet_kernels *table) {
    enum { N = 4001 };
    for (whet_i_act act = WHET_I_ACT_NONE; act <= WHET_I_ACT_TANH; act++) {
        numbers v = make_numbers(N, 1), x = make_numbers(N, 1);
        for (int64_t i = 0; i < N; i++) x.x[i] = (float)(i - N / 2) * 0.01f;
        const float special[] = {1e30f, -1e30f, NAN, -0.0f, 0.0f, 1e-30f, -100, 100, NAN};
        memcpy(x.x + 7, special, sizeof special);
        x.x[N - 1] = NAN;
        memcpy(v.x, x.x, sizeof *v.x * N);
        table->activate(act, N, v.x);
        for (int64_t i = 0; i < N; i++) {
            const double in = (double)x.x[i], got = (double)v.x[i];
            if (isnan(in))
                assert_true(isnan(got));
            else
                assert_true(fabs(got - exact_act(act, in)) <= act_bound(in));
            if (in <= -100 && act != WHET_I_ACT_NONE && act != WHET_I_ACT_TANH)
                assert_true(fabs(got) <= 1e-37);
            if (in == 0) assert_true(got == 0 && signbit(got) == signbit(in));
        }
        drop_numbers(&v);
        drop_numbers(&x);
    }
}

/* Near 0, where it is x, as well as near 1: the polynomial's or the quotient's 2 u, and roundings
 * of its three operations. */
static void check_tanh(const whet_kernels *table) {
    for (float x = 1e-38f; x < 1e3f; x *= 1.0037f) {
        float both[] = {x, -x};
        table->activate(WHET_I_ACT_TANH, 2, both);
        assert_true(fabs((double)both[0] - tanh((double)x)) <= 5 * UNIT * tanh((double)x));
        assert_true(both[1] == -both[0]);
    }
}

/* [2, n] by one call against each row in f64; in place gives the same bits. */
static void check_layernorms(const whet_kernels *table) {
    for (int64_t n = 1; n <= 70; n++) {
        numbers x = make_numbers(2 * n, 21), g = make_numbers(n, 22), b = make_numbers(n, 23);
        numbers y = make_numbers(2 * n, 24);
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
                const double off = 4 * (double)n * UNIT / sqrt(var + 1e-5);
                const double bound =
                    (off + (double)(n + 8) * UNIT * fabs(unit)) * fabs((double)g.x[j]) +
                    4 * UNIT * (fabs(value) + fabs((double)b.x[j]));
                assert_true(fabs((double)y.x[i * n + j] - value) <= bound);
            }
        }
        table->layernorm(2, n, x.x, g.x, b.x, 1e-5f, x.x);
        assert_memory_equal(x.x, y.x, sizeof(float) * (size_t)(2 * n));
        drop_numbers(&x);
        drop_numbers(&g);
        drop_numbers(&b);
        drop_numbers(&y);
    }
}

static void check_rmsnorms(const whet_kernels *table) {
    for (int64_t n = 1; n <= 70; n++) {
        numbers x = make_numbers(3 * n, 21), g = make_numbers(n, 22), y = make_numbers(3 * n, 24);
        table->rmsnorm(3, n, x.x, g.x, 1e-6f, y.x);
        for (int64_t i = 0; i < 3; i++) {
            double squares = 0;
            for (int64_t j = 0; j < n; j++) squares += pow((double)x.x[i * n + j], 2) / (double)n;
            for (int64_t j = 0; j < n; j++) {
                const double value = (double)x.x[i * n + j] / sqrt(squares + 1e-6) * (double)g.x[j];
                /* Half of the sum's (n + 2) u, then a root, a quotient, two products. */
                assert_true(fabs((double)y.x[i * n + j] - value) <=
                            (double)(n / 2 + 8) * UNIT * fabs(value));
            }
        }
        table->rmsnorm(3, n, x.x, g.x, 1e-6f, x.x);
        assert_memory_equal(x.x, y.x, sizeof(float) * (size_t)(3 * n));
        drop_numbers(&x);
        drop_numbers(&g);
        drop_numbers(&y);
    }
}

static void check_sums(const whet_kernels *table, int64_t n, const float *x, const float *g) {
    double dot = 0, size = 0, distance = 0;
    for (int64_t j = 0; j < n; j++) {
        dot += (double)x[j] * (double)g[j];
        size += fabs((double)x[j] * (double)g[j]);
        distance += pow((double)x[j] - (double)g[j], 2);
    }
    assert_true(fabs((double)table->dot(n, x, g) - dot) <= (double)(n + 1) * UNIT * size);
    assert_true(fabs((double)table->squared_distance(n, x, g) - distance) <=
                (double)(n + 4) * UNIT * distance);
}

static void check_rows(const whet_kernels *table) {
    for (int64_t n = 0; n <= 140; n++) {
        numbers x = make_numbers(n, 21), g = make_numbers(n, 22), b = make_numbers(n, 23);
        numbers y = make_numbers(n, 24);
        check_sums(table, n, x.x, g.x);
        memcpy(y.x, b.x, sizeof(float) * (size_t)n);
        table->add(n, g.x, y.x);
        for (int64_t j = 0; j < n; j++) assert_true(y.x[j] == b.x[j] + g.x[j]);
        table->scale(n, 3, y.x);
        for (int64_t j = 0; j < n; j++) assert_true(y.x[j] == 3 * (b.x[j] + g.x[j]));
        memcpy(y.x, b.x, sizeof(float) * (size_t)n);
        table->add_scaled(n, -0.3f, x.x, y.x);
        for (int64_t j = 0; j < n; j++) { /* a product and a sum, or both at once */
            const double product = (double)-0.3f * (double)x.x[j], sum = (double)b.x[j] + product;
            assert_true(fabs((double)y.x[j] - sum) <= UNIT * 1.01 * (fabs(product) + fabs(sum)));
        }
        memcpy(y.x, x.x, sizeof(float) * (size_t)n);
        if (n) table->softmax(n, y.x);
        double sum = 0, most = -HUGE_VAL;
        for (int64_t j = 0; j < n; j++) most = fmax(most, (double)x.x[j]);
        for (int64_t j = 0; j < n; j++) sum += exp((double)x.x[j] - most);
        for (int64_t j = 0; j < n; j++) {
            const double value = exp((double)x.x[j] - most) / sum;
            assert_true(fabs((double)y.x[j] - value) <= value * (double)(n + 16) * UNIT);
        }
        drop_numbers(&x);
        drop_numbers(&g);
        drop_numbers(&b);
        drop_numbers(&y);
    }
}

/* A column's bits do not depend on its neighbours; far below the most counts for nothing; NaN stays. */
static void check_panels(const whet_kernels *table) {
    enum { MOST = 70 };
    static float x[MOST * WHET_I_PANEL];
    float most[WHET_I_PANEL], sum[WHET_I_PANEL];
    whet_i_rng rng;
    whet_i_rng_init(&rng, 9, 0);
    for (int64_t n = 1; n <= MOST; n = 2 * n + 3) {
        for (int64_t i = 0; i < n * WHET_I_PANEL; i++) x[i] = (float)(9 * whet_i_rng_normal(&rng));
        x[5] = 1000;
        x[(n - 1) * WHET_I_PANEL + 60] = (float)NAN;
        table->panel_softmax(n, x, most, sum);
        for (int64_t j = 0; j < WHET_I_PANEL; j++) {
            double top = -HUGE_VAL, all = 0;
            for (int64_t i = 0; i < n; i++) top = fmax(top, (double)x[i * WHET_I_PANEL + j]);
            for (int64_t i = 0; i < n; i++) all += exp((double)x[i * WHET_I_PANEL + j] - top);
            if (j == 60) {
                assert_true(isnan(sum[j]));
                continue;
            }
            assert_true((double)most[j] == top);
            /* an exponential rounds by 2 units, its argument by a unit of at most 80; n sums */
            assert_true(fabs((double)sum[j] - all) <= all * (double)(n + 90) * UNIT);
        }
        assert_true(sum[5] == 1);
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
    for (int i = 0; i < ALL - 3; i++) assert_int_equal(back[i], isnan(wide[i]) ? i | 0x40 : i);
    table->f32_from_f16(ALL - 3, bits, wide);
    whet_i_ref_f32_from_f16(ALL - 3, bits, expected);
    assert_memory_equal(wide, expected, sizeof *wide * (ALL - 3));
    assert_true(wide[0x3c00] == 1 && wide[1] == 0x1p-24f && wide[0xfbff] == -65504);
    free(bits);
    free(back);
    free(wide);
    free(expected);
}

/* Bit by bit; no words, and counts around any vector's length. */
static void check_bits(const whet_kernels *table) {
    uint64_t a[40], b[40];
    whet_i_rng rng;
    whet_i_rng_init(&rng, 3, 0);
    for (int64_t words = 0; words <= 40; words++) {
        int64_t want = 0;
        for (int64_t i = 0; i < words; i++) {
            a[i] = i % 5 == 3 ? UINT64_MAX : whet_i_rng_u64(&rng);
            b[i] = whet_i_rng_u64(&rng);
            for (int bit = 0; bit < 64; bit++) want += (int64_t)(a[i] >> bit & b[i] >> bit & 1);
        }
        assert_int_equal(table->common_bits(words, a, b), want);
    }
}

/* Against exp of libm: 2^-51 for ours and 2^-52 for theirs; and bit by bit against ref at every length and
 * place. */
static void check_exp(const whet_kernels *table) {
    enum { N = 67 };
    double x[N + 1], given[N + 1];
    whet_i_rng rng;
    whet_i_rng_init(&rng, 5, 0);
    for (int64_t i = 0; i <= N; i++)
        given[i] = -pow(10, 2.8 * whet_i_rng_uniform(&rng) - (double)(i % 3) * 8);
    for (int64_t n = 0; n <= N; n++) {
        memcpy(x, given, sizeof x);
        table->exp_f64(n, x);
        for (int64_t i = 0; i < n; i++) {
            double one = given[i];
            whet_i_kernels_ref.exp_f64(1, &one);
            assert_memory_equal(&x[i], &one, sizeof one);
            assert_true(fabs(x[i] - exp(given[i])) <= 0x1.8p-51 * x[i]);
        }
        for (int64_t i = n; i <= N; i++) assert_true(x[i] == given[i]);
    }
    double special[9] = {-INFINITY, (double)NAN, -700.1,       -699.9, -1e300,
                         -5e-324,   0,           -(double)NAN, -1};
    table->exp_f64(9, special);
    assert_true(special[0] == 0 && isnan(special[1]) && special[2] == 0 && special[4] == 0);
    assert_true(fabs(special[3] - exp(-699.9)) <= 0x1.8p-51 * special[3]);
    assert_true(special[5] == 1 && special[6] == 1 && isnan(special[7]));
    assert_true(fabs(special[8] - exp(-1)) <= 0x1.8p-51 * special[8]);
}

/* Rows of votes against exp of libm (2^-51 a term, a division, roundings of the sums: 1e-14 of a
 * probability), and bit by bit against ref; counts are sums of what predicting gives. */
static void check_votes(const whet_kernels *table) {
    enum { ROWS = 37, CELLS = 30, MOST = 24 };
    static const double weight[ROWS] = {1, 2, 3, [36] = 5};
    whet_i_rng rng;
    whet_i_rng_init(&rng, 4, 0);
    for (int64_t width = 8; width <= MOST; width += 8)
        for (int form = 0; form < 6; form++) {
            /* Every other time two classes alone, which have a way of their own. */
            const int64_t classes = form < 3 ? width - 3 : 2;
            double base[MOST], scores[CELLS * MOST], r[ROWS * MOST], kept[ROWS * MOST];
            double counts[CELLS * MOST] = {0}, total[MOST] = {0}, likelihood = 0, want = 0;
            int32_t start[ROWS + 1] = {0}, cell[ROWS * 6];
            for (int64_t c = 0; c < width; c++)
                base[c] = c < classes ? whet_i_rng_normal(&rng) : -1e6;
            for (int64_t i = 0; i < CELLS * width; i++) scores[i] = 40 * whet_i_rng_normal(&rng);
            for (int i = 0; i < ROWS; i++) {
                start[i + 1] = start[i] + (int32_t)whet_i_rng_below(&rng, 7);
                for (int32_t e = start[i]; e < start[i + 1]; e++)
                    cell[e] = (int32_t)whet_i_rng_below(&rng, CELLS);
            }
            whet_i_vote_rows args = {.rows = ROWS,
                                     .width = width,
                                     .start = start,
                                     .cell = cell,
                                     .base = base,
                                     .table = scores,
                                     .r = r};
            table->vote_rows(&args);
            memcpy(kept, r, sizeof r);
            for (int64_t i = 0; i < ROWS; i++) {
                double exact[MOST], top = -1e300, sum = 0;
                for (int64_t c = 0; c < width; c++) {
                    exact[c] = base[c];
                    for (int32_t e = start[i]; e < start[i + 1]; e++)
                        exact[c] += scores[cell[e] * width + c];
                    top = fmax(top, exact[c]);
                }
                for (int64_t c = 0; c < width; c++) sum += exact[c] = exp(exact[c] - top);
                for (int64_t c = 0; c < width; c++)
                    assert_true(fabs(r[i * width + c] - exact[c] / sum) <=
                                1e-14 * exact[c] / sum + 1e-300);
                want += (form % 3 == 2 ? weight[i] : 1) * (top + log(sum));
            }
            args.r = kept;
            whet_i_kernels_ref.vote_rows(&args);
            assert_memory_equal(kept, r, sizeof(double) * (size_t)(ROWS * width));
            if (form % 3 == 0) continue;
            args.r = r;
            args.weight = form % 3 == 2 ? weight : NULL;
            args.counts = counts;
            args.total = total;
            args.likelihood = &likelihood;
            table->vote_rows(&args);
            assert_true(fabs(likelihood - want) <= 1e-12 * fabs(want));
            for (int64_t c = 0; c < width; c++) {
                double sum = 0, of_cell = 0;
                for (int64_t i = 0; i < ROWS; i++) {
                    const double part = kept[i * width + c] * (form % 3 == 2 ? weight[i] : 1);
                    sum += part;
                    for (int32_t e = start[i]; e < start[i + 1]; e++)
                        of_cell += cell[e] == 3 ? part : 0;
                }
                assert_true(fabs(total[c] - sum) <= 1e-13 &&
                            fabs(counts[3 * width + c] - of_cell) <= 1e-13);
            }
        }
}

/* Bit by bit against one number at a time; counts around any vector's length. */
static void check_merge_keys(const whet_kernels *table) {
    for (int64_t n = 0; n <= 150; n++) {
        numbers x = make_numbers(n, 31), base = make_numbers(n, 32);
        uint32_t key[150], between[150], want[150];
        float m[150];
        int64_t count = 0, above = 5, more = 5;
        table->difference_keys(n, (const float *)x.x, (const float *)base.x, key);
        const uint32_t low = n ? key[n / 2] : 0, high = low + 0x400000;
        for (int64_t e = 0; e < n; e++) {
            const float apart = fabsf(x.x[e] - base.x[e]);
            uint32_t bits;
            memcpy(&bits, &apart, sizeof bits);
            assert_int_equal(key[e], bits | 0x80000000U);
            if (key[e] >= low && key[e] <= high) want[count++] = key[e];
            more += key[e] > high;
        }
        assert_int_equal(table->keys_between(n, key, low, high, &above, between), count);
        assert_int_equal(above, more);
        assert_memory_equal(between, want, sizeof *want * (size_t)count);
        table->keys_mask(n, key, low, m);
        for (int64_t e = 0; e < n; e++) assert_true(m[e] == (key[e] >= low ? 1.0F : 0.0F));
        assert_int_equal(table->keys_between(n, key, low, high, &above, key), count); /* in place */
        assert_memory_equal(key, want, sizeof *want * (size_t)count);
        assert_int_equal(table->first_from(n, x.x, 0x7f800000), n);
        for (int64_t at = n - 1; at >= 0; at -= 7) { /* the one before does not hide it */
            x.x[at] = at % 2 ? -HUGE_VALF : NAN;
            assert_int_equal(table->first_from(n, x.x, 0x7f800000), at);
        }
        drop_numbers(&x);
        drop_numbers(&base);
    }
}

/* The share of draws is checked where DARE is; here each against the hash itself. */
static void check_drawn_masks(const whet_kernels *table) {
    static const double share[] = {0, 0x1p-53, 0.3, 0.5, 1};
    for (int64_t n = 0; n <= 40; n++)
        for (int k = 0; k < 5; k++) {
            float m[40];
            table->drawn_mask(n, 77, (INT64_C(1) << 33) + n, share[k], m);
            for (int64_t e = 0; e < n; e++) {
                const uint64_t place = (UINT64_C(1) << 33) + (uint64_t)(n + e);
                const double drawn = (double)(whet_i_hash_u64(77 ^ place) >> 11) * 0x1p-53;
                assert_true(m[e] == (drawn < share[k] ? 1.0F : 0.0F));
            }
        }
}

/* By its definition, at every place; all, some and none dropped; in place; and nothing behind the end. */
static void check_dropout(const whet_kernels *table) {
    enum { MOST = 150 };
    static const uint32_t threshold[] = {0, 1, 6554, 32768, 65535, 65536};
    for (int64_t n = 0; n <= MOST; n += n < 70 ? 1 : 11)
        for (int k = 0; k < 6; k++)
            for (int adds = 0; adds < 2; adds++) {
                numbers from = make_numbers(n, 41), base = make_numbers(n, 42);
                float to[MOST + 1] = {[MOST] = 7};
                const int64_t first = (INT64_C(1) << 34) + 4 * n;
                if (n) memcpy(to, adds ? base.x : from.x, sizeof *to * (size_t)n);
                table->dropout(n, 99, first, threshold[k], 1.25F, adds ? from.x : to, adds, to);
                for (int64_t i = 0; i < n; i++) {
                    const uint64_t bits = whet_i_hash_u64(99 ^ (uint64_t)((first + i) / 4));
                    const bool kept = (bits >> 16 * (i % 4) & 0xffff) >= threshold[k];
                    const float y = kept ? 1.25F * from.x[i] : 0;
                    assert_true(to[i] == (adds ? base.x[i] + y : y));
                }
                assert_true(n == MOST || to[MOST] == 7);
                drop_numbers(&from);
                drop_numbers(&base);
            }
}

/* A ring with chords, by its definition, to the bit; row 3 is fixed, or none; what is fixed stays. */
static void check_sparse(const whet_kernels *table) {
    enum { N = 7, S = WHET_I_SIDES };
    static const int64_t start[N + 1] = {0, 2, 4, 7, 9, 12, 12, 14};
    static const int64_t to[14] = {1, 6, 0, 2, 1, 3, 4, 2, 4, 2, 3, 6, 0, 4};
    static const bool fixed[N] = {[3] = true};
    double weight[14], diagonal[N], p[N * S], r[N * S], x[N * S], out[N * S], by[S];
    double sums[S], rr[S], rz[S];
    for (int e = 0; e < 14; e++) weight[e] = .1 + .07 * e;
    for (int i = 0; i < N; i++) diagonal[i] = 3 + .3 * i;
    for (int c = 0; c < S; c++) by[c] = .4 - .05 * c;
    for (int k = 0; k < 2; k++) {
        const whet_i_sparse a = {N, start, to, weight, diagonal, .9, k ? fixed : NULL};
        double expected[N * S], want[S] = {0}, want_rr[S] = {0}, want_rz[S] = {0};
        for (int i = 0; i < N * S; i++) {
            p[i] = sin(i);
            r[i] = cos(3 * i);
            x[i] = expected[i] = out[i] = 7;
        }
        for (int i = 0; i < N; i++)
            for (int c = 0; c < S && !(k && fixed[i]); c++) {
                double near = 0;
                for (int64_t e = start[i]; e < start[i + 1]; e++)
                    near += weight[e] * p[to[e] * S + c];
                const double y = diagonal[i] * p[i * S + c] - .9 * near;
                expected[i * S + c] = y;
                want[c] += p[i * S + c] * y;
            }
        table->sparse_product(&a, p, out, sums);
        assert_memory_equal(out, expected, sizeof out);
        assert_memory_equal(sums, want, sizeof sums);
        double left[N * S], sought[N * S], along[N * S];
        for (int i = 0; i < N; i++)
            for (int c = 0; c < S; c++) {
                const int at = i * S + c;
                const bool moves = !(k && fixed[i]);
                sought[at] = moves ? x[at] + by[c] * p[at] : x[at];
                left[at] = moves ? r[at] - by[c] * out[at] : r[at];
                along[at] = moves ? 1 / diagonal[i] * left[at] + by[c] * p[at] : p[at];
                if (moves) want_rr[c] += left[at] * left[at];
                if (moves) want_rz[c] += left[at] * left[at] * (1 / diagonal[i]);
            }
        table->sparse_advance(&a, by, p, out, x, r, rr, rz);
        assert_memory_equal(x, sought, sizeof x);
        assert_memory_equal(r, left, sizeof r);
        assert_memory_equal(rr, want_rr, sizeof rr);
        assert_memory_equal(rz, want_rz, sizeof rz);
        table->sparse_turn(&a, r, by, p);
        assert_memory_equal(p, along, sizeof p);
    }
}

/* (x - base) mask factor of model i of a whet_i_election. */
static double elects(const whet_i_election *a, int64_t i, int64_t e) {
    const float apart = fabsf(a->x[i][e] - a->base[e]);
    double m = a->mask ? (double)a->mask[i * a->ld_mask + e] : 1;
    uint32_t key;
    memcpy(&key, &apart, sizeof key);
    if (a->least) m = (key | 1U << 31) >= a->least[i] ? 1 : 0;
    return ((double)a->x[i][e] - (double)a->base[e]) * m * a->factor[i];
}

/* One number of it, by its definition. */
static float elected(const whet_i_election *a, int64_t e) {
    double votes = 0, sum = 0, divisor = 0;
    for (int64_t i = 0; i < a->models; i++) votes += a->vote[i] * elects(a, i, e);
    for (int64_t i = 0; i < a->models; i++) {
        const double value = elects(a, i, e);
        if (a->consensus && !(a->vote[i] * value * (votes >= 0 ? 1 : -1) > 0)) continue;
        sum += a->weight[i] * value;
        divisor += a->weight[i];
    }
    if (a->normalize && a->clamp_divisor) sum /= divisor < 1e-6 ? 1e-6 : divisor;
    if (a->normalize && !a->clamp_divisor) sum /= fabs(divisor) < 1e-8 ? 1 : divisor;
    return (float)((double)a->base[e] + a->lambda * sum);
}

/* The bits of one number at a time: more models than are kept at once, too; and sums of one model. */
static void check_elections(const whet_kernels *table) {
    enum { MODELS = 11, MOST = 150 };
    static const double factor[MODELS] = {1, 2, 1, 0.25, 1, 1, 1, 1, 1, 1.5, 1};
    static const double weight[MODELS] = {0.5, -0.5, 1, 0.3, 1, 1, 1, 1, 1, 1, 2};
    static const double vote[MODELS] = {0.5, 1, -1, 0.3, 0, 1, 1, 1, 1, 1, 2};
    /* Weights that vote; divisors that are powers of two, all of them and not. */
    static const double even[] = {0.5, 0.5}, uneven[] = {0.25, 0.75};
    static const struct {
        int64_t models;
        const double *weight, *vote;
    } kinds[] = {{MODELS, weight, vote}, {2, weight, vote}, {8, weight, weight},
                 {MODELS, vote, vote},   {2, even, even},   {2, uneven, uneven},
                 {1, even, even},        {8, vote, vote}};
    enum { MANNERS = sizeof kinds / sizeof *kinds };
    for (int64_t n = 0; n <= MOST; n += n < 20 ? 1 : 13)
        for (int form = 0; form < 32 * MANNERS; form++) {
            const float *x[MODELS];
            numbers from[MODELS], base = make_numbers(n, 50), mask = make_numbers(MODELS * n, 51);
            float out[MOST + 1] = {[MOST] = 7}, mixed[MOST];
            for (int i = 0; i < MODELS; i++) {
                from[i] = make_numbers(n, 60 + (uint64_t)i);
                x[i] = from[i].x;
            }
            for (int64_t e = 0; e < MODELS * n; e++) mask.x[e] = mask.x[e] > 0 ? 1 : 0;
            for (int64_t e = 0; e < n; e += 5) from[1].x[e] = base.x[e];
            uint32_t least[MODELS] = {0, 0, UINT32_MAX};
            for (int i = 3; n && i < MODELS; i++) /* one number has just this size */
                table->difference_keys(1, x[i] + n / 2, base.x + n / 2, &least[i]);
            if (n && form & 8) table->difference_keys(1, x[1] + n / 3, base.x + n / 3, &least[1]);
            const whet_i_election a = {.n = n,
                                       .models = kinds[form / 32].models,
                                       .x = x,
                                       .base = base.x,
                                       .mask = form & 1 ? mask.x : NULL,
                                       .ld_mask = n,
                                       .least = form & 16 ? least : NULL,
                                       .factor = factor,
                                       .weight = kinds[form / 32].weight,
                                       .vote = kinds[form / 32].vote,
                                       .consensus = (form & 2) != 0,
                                       .normalize = (form & 4) != 0,
                                       .clamp_divisor = (form & 8) != 0,
                                       .lambda = form & 8 ? 1 : 0.7,
                                       .out = out};
            table->elect(&a);
            for (int64_t e = 0; e < n; e++) assert_true(out[e] == elected(&a, e));
            assert_true(out[MOST] == 7);
            table->combine(n, MODELS, x, vote, mixed);
            for (int64_t e = 0; e < n; e++) {
                double sum = 0;
                for (int i = 0; i < MODELS; i++) sum += vote[i] * (double)x[i][e];
                assert_true(mixed[e] == (float)sum);
            }
            double all = 1, kept = 2, sum = 1, part = 2;
            table->difference_sums(n, x[0], base.x, mask.x, &all, &kept);
            for (int64_t e = 0; e < n; e++) {
                const double size = fabs((double)x[0][e] - (double)base.x[e]);
                sum += size;
                part += size * (double)mask.x[e];
            }
            assert_true(fabs(all - sum) <= 1e-13 * sum && fabs(kept - part) <= 1e-13 * sum);
            for (int i = 0; i < MODELS; i++) drop_numbers(&from[i]);
            drop_numbers(&base);
            drop_numbers(&mask);
        }
}

TABLE_TEST(merge_keys, check_merge_keys)
TABLE_TEST(drawn_masks, check_drawn_masks)
TABLE_TEST(elections, check_elections)
TABLE_TEST(dropouts, check_dropout)
TABLE_TEST(sparse_systems, check_sparse)
TABLE_TEST(votes, check_votes)
TABLE_TEST(exponentials, check_exp)
TABLE_TEST(bits, check_bits)
TABLE_TEST(activations, check_activations)
TABLE_TEST(tanh_is_accurate_everywhere, check_tanh)
TABLE_TEST(layernorms, check_layernorms)
TABLE_TEST(rmsnorms, check_rmsnorms)
TABLE_TEST(row_kernels, check_rows)
TABLE_TEST(panels, check_panels)
TABLE_TEST(nan_infinity_and_constants, check_special_values)
TABLE_TEST(conversions, check_conversions)

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
        cmocka_unit_test(activations),  cmocka_unit_test(tanh_is_accurate_everywhere),
        cmocka_unit_test(layernorms),   cmocka_unit_test(rmsnorms),
        cmocka_unit_test(row_kernels),  cmocka_unit_test(nan_infinity_and_constants),
        cmocka_unit_test(conversions),  cmocka_unit_test(sets_are_chosen_by_name),
        cmocka_unit_test(bits),         cmocka_unit_test(votes),
        cmocka_unit_test(panels),       cmocka_unit_test(merge_keys),
        cmocka_unit_test(drawn_masks),  cmocka_unit_test(elections),
        cmocka_unit_test(dropouts),     cmocka_unit_test(sparse_systems),
        cmocka_unit_test(exponentials),
    };
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
