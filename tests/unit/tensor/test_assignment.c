/* SPDX-License-Identifier: Apache-2.0
 * The assignment problem: against all permutations, the golden sums of scipy, the certificate of the
 * potentials, and what is refused. */
#include "support.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels_i.h"
#include "tensor/tensor_i.h"
#include "whet/io.h"

typedef struct solved {
    int64_t *column;
    double *u, *v, sum;
} solved;

static solved solve(whet_ctx *ctx, const whet_tensor *costs, bool maximize) {
    solved s = {malloc(sizeof *s.column * (size_t)(costs->shape[0] + 1)),
                malloc(sizeof *s.u * (size_t)(costs->shape[0] + 1)),
                malloc(sizeof *s.v * (size_t)(costs->shape[1] + 1)), 0};
    const whet_assignment out = {s.column, s.u, s.v, &s.sum};
    test_ok(ctx, whet_assign(ctx, costs, maximize, &out));
    return s;
}

static void drop(solved *s) {
    free(s->column);
    free(s->u);
    free(s->v);
}

static double at(const whet_tensor *costs, int64_t i, int64_t j) {
    const int64_t cell = i * costs->shape[1] + j;
    return costs->dtype == WHET_F32 ? (double)((const float *)costs->data)[cell]
                                    : ((const double *)costs->data)[cell];
}

/* The potentials prove the assignment: u_i + v_j <= c_ij, equal where assigned. Each is a sum and difference
 * of at most n costs; 1e-12 of their size is some n units in the last place. */
static void certify(const whet_tensor *costs, bool maximize, const solved *s) {
    const int64_t n = costs->shape[0], m = costs->shape[1];
    const double sign = maximize ? -1 : 1;
    double scale = 1e-300, sum = 0, duals = 0;
    bool *seen = calloc((size_t)m + 1, sizeof *seen);
    int64_t count = 0;
    for (int64_t i = 0; i < n * m; i++)
        if (isfinite(at(costs, i / m, i % m))) scale = fmax(scale, fabs(at(costs, i / m, i % m)));
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < m; j++)
            assert_true(sign * (at(costs, i, j) - s->u[i] - s->v[j]) >= -1e-12 * scale);
        duals += s->u[i];
        if (s->column[i] < 0) {
            assert_true(s->u[i] == 0);
            continue;
        }
        assert_in_range(s->column[i], 0, m - 1);
        assert_false(seen[s->column[i]]);
        seen[s->column[i]] = true;
        count++;
        sum += at(costs, i, s->column[i]);
        assert_true(fabs(at(costs, i, s->column[i]) - s->u[i] - s->v[s->column[i]]) <=
                    1e-12 * scale);
    }
    for (int64_t j = 0; j < m; j++) {
        duals += s->v[j];
        if (!seen[j]) assert_true(s->v[j] == 0);
    }
    assert_int_equal(count, n < m ? n : m);
    const double slack = 1e-12 * scale * (double)(n + m + 1);
    assert_true(fabs(sum - s->sum) <= slack);
    assert_true(fabs(duals - s->sum) <= slack); /* strong duality */
    free(seen);
}

/* ---- small problems ---------------------------------------------------------------------------- */

/* The least (sign 1) or largest sum over all injections of rows to columns; n <= m. */
static double best_of_all(const whet_tensor *costs, double sign, int64_t row, uint32_t taken) {
    if (row == costs->shape[0]) return 0;
    double best = (double)INFINITY;
    for (int64_t c = 0; c < costs->shape[1]; c++) {
        if (taken >> c & 1U) continue;
        best = fmin(best, sign * at(costs, row, c) +
                              best_of_all(costs, sign, row + 1, taken | (uint32_t)1 << c));
    }
    return best;
}

static void the_best_of_all(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 5, 0);
    for (int round = 0; round < 1200; round++) {
        double wide[49];
        float narrow[49];
        const int64_t n = 1 + whet_i_rng_below(&rng, 7), m = n + whet_i_rng_below(&rng, 8 - n);
        const bool maximize = round % 2, single = round % 4 < 2, ties = round % 3 == 0;
        for (int64_t i = 0; i < n * m; i++) {
            narrow[i] = (float)(ties ? (double)whet_i_rng_below(&rng, 3) : whet_i_rng_normal(&rng));
            wide[i] = single || ties ? (double)narrow[i] : whet_i_rng_normal(&rng);
        }
        const whet_tensor costs = {
            single ? (void *)narrow : (void *)wide, single ? WHET_F32 : WHET_F64, 2, {n, m}};
        solved s = solve(ctx, &costs, maximize);
        certify(&costs, maximize, &s);
        const double sign = maximize ? -1 : 1;
        assert_true(fabs(sign * s.sum - best_of_all(&costs, sign, 0, 0)) < 1e-12);
        drop(&s);
    }
    test_ctx_done(ctx);
}

static void by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    double square[] = {4, 1, 3, 2, 0, 5, 3, 2, 2}; /* 1 + 2 + 2 */
    const whet_tensor costs = {square, WHET_F64, 2, {3, 3}};
    solved s = solve(ctx, &costs, false);
    assert_true(s.sum == 5);
    assert_int_equal(s.column[0], 1);
    assert_int_equal(s.column[1], 0);
    assert_int_equal(s.column[2], 2);
    drop(&s);
    double tall[] = {1, 9, 8, 2, 3, 3}; /* rows 0 and 1; row 2 is left over */
    const whet_tensor more = {tall, WHET_F64, 2, {3, 2}};
    s = solve(ctx, &more, false);
    certify(&more, false, &s);
    assert_true(s.sum == 3);
    assert_int_equal(s.column[0], 0);
    assert_int_equal(s.column[1], 1);
    assert_int_equal(s.column[2], -1);
    drop(&s);
    test_ctx_done(ctx);
}

/* Where everything is equal, low indices go together. */
static void ties_go_to_low_indices(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    double same[12 * 12];
    for (int64_t i = 0; i < 144; i++) same[i] = 2.5;
    for (int64_t n = 1; n <= 12; n++)
        for (int64_t m = n; m <= 12; m += 5) {
            const whet_tensor costs = {same, WHET_F64, 2, {n, m}};
            solved s = solve(ctx, &costs, m % 2);
            for (int64_t i = 0; i < n; i++) assert_int_equal(s.column[i], i);
            drop(&s);
        }
    test_ctx_done(ctx);
}

static void nothing_to_assign(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    double none[1] = {7};
    int64_t column[3] = {9, 9, 9};
    double sum = 7;
    const whet_assignment out = {.column = column, .objective = &sum};
    const whet_tensor no_rows = {none, WHET_F64, 2, {0, 3}},
                      no_columns = {none, WHET_F64, 2, {3, 0}};
    test_ok(ctx, whet_assign(ctx, &no_rows, false, &out));
    assert_true(sum == 0);
    assert_int_equal(column[0], 9);
    test_ok(ctx, whet_assign(ctx, &no_columns, true, &out));
    for (int64_t i = 0; i < 3; i++) assert_int_equal(column[i], -1);
    test_ctx_done(ctx);
}

/* ---- forbidden pairs and refusals -------------------------------------------------------------- */

static void infinity_forbids(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const double no = (double)INFINITY;
    double c[] = {1, no, no, no, 1, no, 3, no, no, 1, 2, 9, no, no, no, 4};
    const whet_tensor costs = {c, WHET_F64, 2, {4, 4}};
    solved s = solve(ctx, &costs, false); /* row 1 must take 0 or 2: 1 + 3 + 2 + 4 */
    assert_true(s.sum == 1 + 3 + 1 + 4);
    assert_int_equal(s.column[1], 2);
    drop(&s);
    for (int64_t i = 0; i < 16; i++) c[i] = -c[i];
    s = solve(ctx, &costs, true);
    assert_true(s.sum == -9);
    drop(&s);
    c[6] = c[4] = -no; /* only a column that row 0 needs, too, is left to row 1 */
    c[4] = -1;
    int64_t column[4] = {5, 5, 5, 5};
    const whet_assignment out = {.column = column};
    test_fails(ctx, whet_assign(ctx, &costs, true, &out), WHET_ERR_DATA);
    test_says(ctx, "no assignment without an infinite cost");
    assert_int_equal(column[0], 5);
    test_ctx_done(ctx);
}

static void refusals_name_the_place(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    float c[6] = {0, 1, 2, 3, 4, 5};
    int64_t column[3] = {5, 5, 5};
    const whet_assignment out = {.column = column};
    whet_tensor costs = {c, WHET_F32, 2, {2, 3}};
    c[4] = NAN;
    test_fails(ctx, whet_assign(ctx, &costs, false, &out), WHET_ERR_DATA);
    test_says(ctx, "[1, 1] is nan");
    c[4] = -INFINITY;
    test_fails(ctx, whet_assign(ctx, &costs, false, &out), WHET_ERR_DATA);
    test_says(ctx, "[1, 1] is -inf");
    c[4] = INFINITY;
    test_fails(ctx, whet_assign(ctx, &costs, true, &out), WHET_ERR_DATA);
    costs.rank = 3;
    test_fails(ctx, whet_assign(ctx, &costs, true, &out), WHET_ERR_ARG);
    costs.rank = 2;
    costs.dtype = WHET_I32;
    test_fails(ctx, whet_assign(ctx, &costs, true, &out), WHET_ERR_ARG);
    assert_int_equal(column[0], 5);
    test_ctx_done(ctx);
}

/* ---- golden sums ------------------------------------------------------------------------------- */

/* The recipe of index.json: splitmix64 of a counter, 24 bits. */
static void draw_splitmix(uint64_t seed, int64_t n, float *out) {
    for (int64_t k = 1; k <= n; k++) {
        uint64_t x = (uint64_t)k * 0x9E3779B97F4A7C15U + seed;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
        x ^= x >> 31;
        out[k - 1] = (float)(x >> 40) * 0x1p-24F;
    }
}

/* An array of a case's file. */
static void golden_array(whet_ctx *ctx, const json_t *c, const char *name, whet_dtype dtype,
                         int32_t rank, whet_tensor *out) {
    char file[128], spec[512];
    (void)snprintf(file, sizeof file, "golden/market/lap/%s",
                   json_string_value(json_object_get(c, "file")));
    (void)snprintf(spec, sizeof spec, "%s:%s", test_shared(file), name);
    test_ok(ctx, whet_array_read_as(ctx, spec, dtype, rank, false, out));
}

static bool golden_costs(whet_ctx *ctx, const json_t *c, whet_tensor *costs) {
    const char *recipe = json_string_value(json_object_get(c, "recipe"));
    const char *type = json_string_value(json_object_get(c, "dtype"));
    const int64_t n = json_integer_value(json_object_get(c, "n"));
    if (json_is_true(json_object_get(c, "cost_stored"))) {
        golden_array(ctx, c, "cost", strcmp(type, "float32") == 0 ? WHET_F32 : WHET_F64, 2, costs);
        return true;
    }
    if (!recipe) return false; /* neither stored nor described */
    test_ok(ctx, whet_tensor_create(ctx, WHET_F32, 2, (int64_t[]){n, n}, costs));
    draw_splitmix(strtoull(strstr(recipe, "seed=") + 5, NULL, 10), n * n, costs->data);
    return true;
}

static bool golden_case(whet_ctx *ctx, const json_t *c) {
    const bool maximize = json_is_true(json_object_get(c, "maximize"));
    const double wanted = json_real_value(json_object_get(c, "objective_f64"));
    whet_tensor costs = {0}, columns = {0};
    if (!golden_costs(ctx, c, &costs)) return false;
    solved s = solve(ctx, &costs, maximize);
    certify(&costs, maximize, &s);
    assert_true(fabs(s.sum - wanted) <= 1e-9 * fabs(wanted));
    if (json_is_true(json_object_get(c, "unique_optimum"))) {
        golden_array(ctx, c, "cols", WHET_I64, 1, &columns);
        assert_memory_equal(s.column, columns.data, sizeof *s.column * (size_t)costs.shape[0]);
        whet_tensor_destroy(ctx, &columns);
    }
    drop(&s);
    whet_tensor_destroy(ctx, &costs);
    return true;
}

static void golden_sums(void **state) {
    (void)state;
    test_need_shared("golden/market/lap/index.json");
    whet_ctx *ctx = test_ctx(1);
    json_t *index = json_load_file(test_shared("golden/market/lap/index.json"), 0, NULL);
    const json_t *cases = json_object_get(index, "cases");
    int64_t run = 0;
    for (size_t i = 0; i < json_array_size(cases); i++)
        run += golden_case(ctx, json_array_get(cases, i)) ? 1 : 0;
    json_decref(index);
    test_need_some(run, "assignments");
    test_ctx_done(ctx);
}

/* ---- structure --------------------------------------------------------------------------------- */

/* Products of rows with themselves in another order and noise: the order comes back. */
static void planted_order_comes_back(void **state) {
    (void)state;
    enum { N = 150, D = 64 };
    static double a[N * D], b[N * D], gram[N * N];
    int64_t order[N];
    whet_ctx *ctx = test_ctx(2);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 3, 0);
    for (int64_t i = 0; i < N; i++) order[i] = i;
    whet_i_rng_shuffle(&rng, order, N);
    for (int64_t i = 0; i < N * D; i++) a[i] = whet_i_rng_normal(&rng);
    for (int64_t i = 0; i < N; i++)
        for (int64_t k = 0; k < D; k++)
            b[order[i] * D + k] = a[i * D + k] + .5 * whet_i_rng_normal(&rng);
    test_ok(ctx, whet_i_matmul_f64(ctx, false, true, N, N, D, a, D, b, D, 0, gram, N));
    const whet_tensor costs = {gram, WHET_F64, 2, {N, N}};
    solved s = solve(ctx, &costs, true);
    certify(&costs, true, &s);
    assert_memory_equal(s.column, order, sizeof order);
    drop(&s);
    test_ctx_done(ctx);
}

/* From potentials of anything the same as from nothing; they certify it. Sums are unique here. */
static void again_is_the_same(void **state) {
    (void)state;
    enum { N = 70 };
    static double wide[N * N];
    static float narrow[N * N];
    double potentials[N] = {0};
    int64_t column[N];
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 4, 0);
    for (int round = 0; round < 12; round++) {
        const double share = round % 3 ? .05 : 1; /* near the last problem; unlike it */
        for (int64_t i = 0; i < N * N; i++) {
            wide[i] = (1 - share) * wide[i] + share * whet_i_rng_normal(&rng);
            narrow[i] = (float)wide[i];
        }
        for (int64_t j = 0; round == 7 && j < N; j++) potentials[j] = 1e3 * whet_i_rng_normal(&rng);
        const whet_tensor f64 = {wide, WHET_F64, 2, {N, N}};
        const whet_tensor f32 = {narrow, WHET_F32, 2, {N, N}};
        const whet_tensor *gain = round % 2 ? &f32 : &f64;
        solved s = solve(ctx, gain, true);
        test_ok(ctx, whet_i_assign_again(ctx, gain, round > 0, potentials, column));
        assert_memory_equal(s.column, column, sizeof column);
        for (int64_t i = 0; i < N; i++)
            for (int64_t j = 0; j < N; j++)
                assert_true(at(gain, i, j) - potentials[j] <=
                            at(gain, i, column[i]) - potentials[column[i]] + 1e-10);
        drop(&s);
    }
    wide[N + 2] = (double)NAN;
    const whet_tensor bad = {wide, WHET_F64, 2, {N, N}};
    test_fails(ctx, whet_i_assign_again(ctx, &bad, true, potentials, column), WHET_ERR_DATA);
    test_says(ctx, "[1, 2]");
    test_ctx_done(ctx);
}

/* Sizes around the kernels' vectors, of every table: what plain loops find. */
typedef struct drawn_row {
    whet_i_assignment_row row;
    float narrow[40];
    double c[40], v[40], x[40];
} drawn_row;

static void draw_row(whet_i_rng *rng, int64_t n, int form, drawn_row *d) {
    for (int64_t j = 0; j < n; j++) {
        d->narrow[j] = (float)whet_i_rng_below(rng, form < 2 ? 4 : 1000);
        d->c[j] = (double)d->narrow[j];
        d->v[j] = whet_i_rng_below(rng, 6) ? (double)whet_i_rng_below(rng, 3) : -(double)INFINITY;
    }
    d->row =
        (whet_i_assignment_row){n, form % 2 ? d->narrow : NULL, d->c, form < 2 ? 1 : -1, .25, d->v};
    for (int64_t j = 0; j < n; j++) d->x[j] = .25 + (d->row.sign * d->c[j] - d->v[j]);
}

/* The k-th of x by value, then place. */
static int64_t kth(const drawn_row *d, int64_t k) {
    for (int64_t j = 0; j < d->row.n; j++) {
        int64_t before = 0;
        for (int64_t i = 0; i < d->row.n; i++)
            before += d->x[i] < d->x[j] || (i < j && d->x[i] == d->x[j]);
        if (before == k) return j;
    }
    return -1;
}

static void check_table(const whet_kernels *t, const drawn_row *d) {
    const int64_t n = d->row.n;
    double least[12], key[40], want = (double)INFINITY;
    int64_t at[12], from[40], finite = 0;
    for (int64_t j = 0; j < n; j++) finite += isfinite(d->x[j]) ? 1 : 0;
    for (int64_t most = 1; most <= 12; most++) {
        const int64_t count = t->cost_least(&d->row, most, least, at);
        assert_int_equal(count, most < finite ? most : finite);
        for (int64_t k = 0; k < count; k++) {
            assert_int_equal(at[k], kth(d, k));
            assert_true(least[k] == d->x[at[k]]);
        }
    }
    for (int64_t first = 0; first <= n; first += 3) {
        int64_t place = first;
        while (place < n && d->x[place] != d->x[n / 2]) place++;
        assert_int_equal(t->cost_find(&d->row, d->x[n / 2], first), place);
    }
    assert_int_equal(t->cost_find(&d->row, 1e9, 0), n);
    for (int64_t j = 0; j < n; j++) {
        key[j] = j % 3 ? 1 : (double)INFINITY;
        from[j] = -5;
    }
    const double got = t->cost_relax(&d->row, 7, key, from);
    for (int64_t j = 0; j < n; j++) {
        const double old = j % 3 ? 1 : (double)INFINITY;
        assert_true(key[j] == fmin(d->x[j], old));
        assert_int_equal(from[j], d->x[j] < old ? 7 : -5);
        want = fmin(want, key[j]);
    }
    assert_true(got == want);
}

static void every_table_finds_the_same(void **state) {
    (void)state;
    whet_i_rng rng;
    drawn_row d;
    whet_i_rng_init(&rng, 8, 0);
    for (int64_t n = 1; n < 40; n++)
        for (int form = 0; form < 4; form++) {
            draw_row(&rng, n, form, &d);
            for (const whet_kernels *const *t = whet_i_kernels_all(); *t; t++)
                if ((*t)->supported()) check_table(*t, &d);
        }
}

static whet_status body(whet_ctx *ctx, void *arg) {
    const whet_assignment out = {.column = arg};
    double c[] = {3, 1, 2, 7, 5, 6};
    const whet_tensor costs = {c, WHET_F64, 2, {3, 2}};
    return whet_assign(ctx, &costs, false, &out);
}

static whet_status again_body(whet_ctx *ctx, void *arg) {
    double c[] = {3, 1, 2, 7}, potentials[] = {1, 2};
    const whet_tensor gain = {c, WHET_F64, 2, {2, 2}};
    return whet_i_assign_again(ctx, &gain, true, potentials, arg);
}

static void survives_failing_allocations(void **state) {
    (void)state;
    int64_t column[3];
    assert_true(test_each_allocation(body, column) >= 1);
    assert_true(test_each_allocation(again_body, column) >= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_of_all),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(ties_go_to_low_indices),
        cmocka_unit_test(nothing_to_assign),
        cmocka_unit_test(infinity_forbids),
        cmocka_unit_test(refusals_name_the_place),
        cmocka_unit_test(golden_sums),
        cmocka_unit_test(planted_order_comes_back),
        cmocka_unit_test(again_is_the_same),
        cmocka_unit_test(every_table_finds_the_same),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
