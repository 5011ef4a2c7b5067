/* SPDX-License-Identifier: Apache-2.0
 * The gradient slots of every table against differences of the forward formulas in f64, which no
 * derivation went into. Compiled twice: in f32 for all tables, in f64 for the specification, where a
 * wrong term cannot hide behind rounding.
 * Legend: g the gradient that comes in, L = sum g y the function differentiated. */
#include "kernel_tables.h"

/* f depends on x [n]; arg: what else it needs. */
typedef double function(const double *x, int64_t n, const void *arg);

/* df / dx[j] by the five-point formula (Abramowitz & Stegun 25.3.6): off by h^4 f^(5) / 30, and by
 * 1.5 of f's rounding / h. With h = 1e-3 of the length on which f varies: NEAR of f's size. */
#define NEAR 1e-10
static double difference(function *f, double *x, int64_t n, int64_t j, double h, const void *arg) {
    static const double steps[] = {-2, -1, 1, 2}, factors[] = {1, -8, 8, -1};
    const double at = x[j];
    double sum = 0;
    for (int s = 0; s < 4; s++) {
        x[j] = at + steps[s] * h;
        sum += factors[s] * f(x, n, arg);
    }
    x[j] = at;
    return sum / (12 * h);
}

/* ---- activations ------------------------------------------------------------------------------
 */

static double act_of(const double *x, int64_t n, const void *arg) {
    (void)n;
    return exact_act(*(const whet_i_act *)arg, *x);
}

/* Vectors' erf is off by 2.5e-7 and the slope has half of it; exp by 2 u. Otherwise some ten
 * roundings of numbers up to 1.13, where |x| s (1 - s) and |x| phi(x) are below 0.3. */
#define SLOPE_NEAR (sizeof(whet_i_real) == 4 ? 1.3e-7 + 12 * UNIT : 12 * UNIT + NEAR)

static void check_slopes(const whet_kernels *table) {
    enum { N = 2403 };
    for (whet_i_act act = WHET_I_ACT_NONE; act <= WHET_I_ACT_TANH; act++) {
        numbers x = make_numbers(N, 1), g = make_numbers(N, 2), start = make_numbers(N, 2);
        for (int64_t i = 0; i < N; i++) x.x[i] = (whet_i_real)(i - N / 2) * (whet_i_real)0.01;
        table->activate_backward(act, N, x.x, g.x);
        for (int64_t i = 0; i < N; i++) {
            double at = (double)x.x[i], slope = difference(act_of, &at, 1, 0, 1e-3, &act);
            if (act == WHET_I_ACT_RELU) slope = at > 0; /* of 0: 0 */
            assert_true(fabs((double)g.x[i] - slope * (double)start.x[i]) <=
                        SLOPE_NEAR * fabs((double)start.x[i]));
        }
        drop_numbers(&x);
        drop_numbers(&g);
        drop_numbers(&start);
    }
}

/* Far out slopes are their limits; NaN stays NaN, in x or in g; -0 is 0. */
static void check_far_slopes(const whet_kernels *table) {
    for (whet_i_act act = WHET_I_ACT_NONE; act <= WHET_I_ACT_TANH; act++) {
        const bool flat_left = act != WHET_I_ACT_NONE;
        const bool flat_right = act == WHET_I_ACT_TANH;
        const whet_i_real huge = (whet_i_real)1e30, max = (whet_i_real)3.4e38;
        const whet_i_real x[] = {-50, -100, -huge, -max, 50, 100, huge, max, NAN, 1, -0.0f, 0};
        whet_i_real g[] = {1, 2, 3, 4, 1, 2, 3, 4, 1, NAN, 2, 2};
        table->activate_backward(act, WHET_COUNT_OF(x), x, g);
        for (int i = 0; i < 4; i++) {
            const double left = flat_left ? 0 : i + 1, right = flat_right ? 0 : i + 1;
            assert_true(fabs((double)g[i] - left) <= 4 * 40 * exp(-40)); /* silu's, the slowest */
            assert_true(fabs((double)g[i + 4] - right) <= 4 * UNIT * right + 4 * 40 * exp(-40));
        }
        assert_true((isnan(g[8]) || act == WHET_I_ACT_NONE) && isnan(g[9]));
        assert_true(g[10] == g[11]);
    }
}

/* 4 e / (1 + e)^2 with e = exp(-2 |x|): relative, since 1 - tanh^2 would cancel. exp has 2 u and its
 * argument none, six operations follow. */
static void check_tanh_slope(const whet_kernels *table) {
    for (double at = 1e-20; at < 40; at *= 1.013) {
        const whet_i_real x = (whet_i_real)at;
        whet_i_real g[] = {1, 1};
        table->activate_backward(WHET_I_ACT_TANH, 2, (const whet_i_real[]){x, -x}, g);
        const double slope = 1 / pow(cosh((double)x), 2);
        assert_true(fabs((double)g[0] - slope) <= 10 * UNIT * slope);
        assert_true(g[0] == g[1]);
    }
}

/* ---- norms ------------------------------------------------------------------------------------
 */

typedef struct norm {
    const whet_i_real *gamma, *g;
    double eps;
    bool centred;
} norm;

/* mean, 1 / deviation */
static void moments(const double *x, int64_t n, const norm *s, double *mean, double *inverse) {
    double squares = 0;
    *mean = 0;
    for (int64_t j = 0; j < n && s->centred; j++) *mean += x[j] / (double)n;
    for (int64_t j = 0; j < n; j++) squares += (x[j] - *mean) * (x[j] - *mean) / (double)n;
    *inverse = 1 / sqrt(squares + s->eps);
}

static double norm_loss(const double *x, int64_t n, const void *arg) {
    const norm *s = arg;
    double mean, inverse, sum = 0;
    moments(x, n, s, &mean, &inverse);
    for (int64_t j = 0; j < n; j++)
        sum += (double)s->g[j] * (double)s->gamma[j] * (x[j] - mean) * inverse;
    return sum;
}

typedef struct norm_case {
    int64_t rows, n;
    bool centred, adds, in_place, wants_dx, wants_sums;
} norm_case;

/* One row of dx, and its part of the sums and of their bounds. */
static void compare_row(const norm_case *c, const norm *s, double *x, const whet_i_real *dx,
                        const whet_i_real *start, double *sums, double *bounds) {
    const int64_t n = c->n;
    double mean, inverse, size = 0, v_size = 0, vu_size = 0, loss = 0;
    moments(x, n, s, &mean, &inverse);
    for (int64_t j = 0; j < n; j++) size += fabs(x[j]) / (double)n;
    /* u = (x - mean) / deviation is off by the mean's (n + 1) u, and relatively by half of the
     * sum's (n + 2) u and some more operations. */
    const double off = c->centred ? (double)(n + 1) * UNIT * size * inverse : 0;
    for (int64_t j = 0; j < n; j++) {
        const double u = (x[j] - mean) * inverse, v = (double)s->g[j] * (double)s->gamma[j];
        v_size += fabs(v) / (double)n;
        vu_size += fabs(v * u) / (double)n;
        loss += fabs(v * u);
        sums[j] += (double)s->g[j] * u;
        bounds[j] += fabs((double)s->g[j]) * (off + (double)(n + 8 + c->rows) * UNIT * fabs(u));
    }
    for (int64_t j = 0; j < n && c->wants_dx; j++) {
        const double u = (x[j] - mean) * inverse, v = (double)s->g[j] * (double)s->gamma[j];
        const double d = difference(norm_loss, x, n, j, 1e-3 / inverse, s);
        const double before = c->adds ? (double)start[j] : 0;
        /* Means of v and v u (2n roundings with u's own), times u, and the factor 1 / deviation. */
        const double bound =
            inverse * ((double)(2 * n + 20) * UNIT * (fabs(v) + v_size + fabs(u) * vu_size) +
                       off * (fabs(u) * v_size + vu_size) + NEAR * loss) +
            2 * UNIT * (fabs(before) + fabs(before + d));
        assert_true(fabs((double)dx[j] - (before + d)) <= bound);
    }
}

static void check_norm(const whet_kernels *table, const norm_case *c) {
    const int64_t n = c->n, all = c->rows * n;
    numbers x = make_numbers(all, 41), g = make_numbers(all, 42), gamma = make_numbers(n, 43);
    numbers dx = make_numbers(all, 44), start = make_numbers(all, 44);
    numbers dgamma = make_numbers(n, 45), dbeta = make_numbers(n, 46), g_in = make_numbers(all, 42);
    for (int64_t i = 0; i < all; i++) x.x[i] = x.x[i] * (whet_i_real)0.7 + (whet_i_real)0.4;
    whet_i_real *to = c->in_place ? g.x : dx.x;
    const whet_i_real eps = (whet_i_real)1e-5;
    (c->centred ? table->layernorm_backward : table->rmsnorm_backward)(
        &(whet_i_norm_backward){.rows = c->rows,
                                .n = n,
                                .x = x.x,
                                .gamma = gamma.x,
                                .eps = eps,
                                .g = g.x,
                                .dx = c->wants_dx ? to : NULL,
                                .adds = c->adds,
                                .dgamma = c->wants_sums ? dgamma.x : NULL,
                                .dbeta = c->wants_sums && c->centred ? dbeta.x : NULL});
    double *row = calloc((size_t)(5 * n), sizeof *row), *sums = row + n, *bounds = row + 2 * n;
    double *plain = row + 3 * n, *plain_size = row + 4 * n;
    for (int64_t i = 0; i < c->rows; i++) {
        const norm s = {gamma.x, g_in.x + i * n, (double)eps, c->centred};
        for (int64_t j = 0; j < n; j++) {
            row[j] = (double)x.x[i * n + j];
            plain[j] += (double)g_in.x[i * n + j];
            plain_size[j] += fabs((double)g_in.x[i * n + j]);
        }
        compare_row(c, &s, row, to + i * n, start.x + i * n, sums, bounds);
    }
    numbers gamma_was = make_numbers(n, 45), beta_was = make_numbers(n, 46);
    for (int64_t j = 0; j < n; j++) {
        const double a = (double)gamma_was.x[j], b = (double)beta_was.x[j];
        const double roundings = (double)(c->rows + 1) * UNIT;
        sums[j] = c->wants_sums ? a + sums[j] : a;
        plain[j] = c->wants_sums && c->centred ? b + plain[j] : b;
        assert_true(fabs((double)dgamma.x[j] - sums[j]) <= bounds[j] + roundings * fabs(a));
        assert_true(fabs((double)dbeta.x[j] - plain[j]) <= roundings * (fabs(b) + plain_size[j]));
    }
    if (!c->wants_dx || c->in_place)
        assert_memory_equal(dx.x, start.x, sizeof(whet_i_real) * (size_t)all);
    free(row);
    numbers *used[] = {&x, &g, &gamma, &dx, &start, &dgamma, &dbeta, &g_in, &gamma_was, &beta_was};
    for (int i = 0; i < WHET_COUNT_OF(used); i++) drop_numbers(used[i]);
}

static void check_norms(const whet_kernels *table) {
    static const int64_t ns[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 64, 65, 100, 200};
    static const int64_t rows[] = {0, 1, 2, 5};
    for (int64_t n = 0; n < WHET_COUNT_OF(ns); n++)
        for (int64_t r = 0; r < WHET_COUNT_OF(rows); r++)
            for (int form = 0; form < 5; form++)
                for (int centred = 0; centred < 2; centred++)
                    check_norm(table, &(norm_case){.rows = rows[r],
                                                   .n = ns[n],
                                                   .centred = centred,
                                                   .adds = form == 1,
                                                   .in_place = form == 2,
                                                   .wants_dx = form != 3,
                                                   .wants_sums = form != 4});
}

/* NaN in a row is that row's, whichever operand it comes by. */
static void check_norm_nan(const whet_kernels *table) {
    enum { ROWS = 3, N = 37 };
    for (int form = 0; form < 4; form++) {
        numbers x = make_numbers(ROWS * N, 1), g = make_numbers(ROWS * N, 2);
        numbers gamma = make_numbers(N, 3), clean = make_numbers(ROWS * N, 4);
        whet_i_norm_backward p = {ROWS, N, x.x, gamma.x, (whet_i_real)1e-5, g.x, .dx = clean.x};
        void (*const backward)(const whet_i_norm_backward *) =
            form & 2 ? table->layernorm_backward : table->rmsnorm_backward;
        backward(&p);
        (form & 1 ? x : g).x[N + 36] = NAN;
        p.dx = g.x;
        backward(&p);
        for (int64_t i = 0; i < ROWS * N; i++)
            assert_true(i / N == 1 ? isnan(g.x[i]) : g.x[i] == clean.x[i]);
        drop_numbers(&x);
        drop_numbers(&g);
        drop_numbers(&gamma);
        drop_numbers(&clean);
    }
}

/* ---- softmax ----------------------------------------------------------------------------------
 */

typedef struct loss {
    double scale;
    const whet_i_real *g;
} loss;

static double softmax_loss(const double *x, int64_t n, const void *arg) {
    const loss *s = arg;
    double most = -HUGE_VAL, sum = 0, total = 0;
    for (int64_t j = 0; j < n; j++) most = fmax(most, s->scale * x[j]);
    for (int64_t j = 0; j < n; j++) {
        const double e = exp(s->scale * x[j] - most);
        sum += e;
        total += e * (double)s->g[j];
    }
    return total / sum;
}

static void check_softmax(const whet_kernels *table) {
    for (int64_t n = 1; n <= 70; n++) {
        numbers x = make_numbers(n, 51), p = make_numbers(n, 52), g = make_numbers(n, 53);
        numbers start = make_numbers(n, 53);
        const loss s = {0.3, start.x};
        double *in = malloc(sizeof *in * (size_t)n), sum = 0, size = 0;
        for (int64_t j = 0; j < n; j++) sum += exp(s.scale * (in[j] = (double)x.x[j]));
        for (int64_t j = 0; j < n; j++) {
            p.x[j] = (whet_i_real)(exp(s.scale * in[j]) / sum);
            size += (double)p.x[j] * fabs((double)g.x[j]);
        }
        table->softmax_backward(n, (whet_i_real)s.scale, p.x, g.x);
        for (int64_t j = 0; j < n; j++) {
            const double d = difference(softmax_loss, in, n, j, 1e-2, &s);
            /* The sum of n numbers and their own rounding, then four operations. */
            const double bound =
                s.scale * (double)p.x[j] *
                ((double)(n + 8) * UNIT * size + 8 * UNIT * (fabs((double)start.x[j]) + size));
            assert_true(fabs((double)g.x[j] - d) <= bound + NEAR * size);
        }
        p.x[n - 1] = NAN;
        table->softmax_backward(n, 1, p.x, g.x);
        for (int64_t j = 0; j < n; j++) assert_true(isnan(g.x[j]));
        free(in);
        drop_numbers(&x);
        drop_numbers(&p);
        drop_numbers(&g);
        drop_numbers(&start);
    }
}

TABLE_TEST(slopes_of_activations, check_slopes)
TABLE_TEST(slopes_far_out, check_far_slopes)
TABLE_TEST(slope_of_tanh_is_relative, check_tanh_slope)
TABLE_TEST(norms, check_norms)
TABLE_TEST(nan_stays_in_its_row, check_norm_nan)
TABLE_TEST(softmax, check_softmax)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slopes_of_activations),     cmocka_unit_test(slopes_far_out),
        cmocka_unit_test(slope_of_tanh_is_relative), cmocka_unit_test(norms),
        cmocka_unit_test(nan_stays_in_its_row),      cmocka_unit_test(softmax),
    };
    return cmocka_run_group_tests_name("kernels_gradients", tests, NULL, NULL);
}
