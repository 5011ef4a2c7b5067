/* SPDX-License-Identifier: Apache-2.0
 * The factors of adapters by every table, against sums in f64 of the definition; alone, and as what linear
 * layers add. */
#include "kernel_tables.h"

typedef struct monarch_case {
    int64_t rows, n, rank, blocks;
} monarch_case;

/* x [rows, n], z [rows, rank blocks], w [rank, n], rows a little further apart than they are long. */
typedef struct arrays {
    numbers x, z, w;
    whet_i_monarch args;
} arrays;

static arrays make_arrays(const monarch_case *c) {
    const int64_t ldx = c->n + 3, ldz = c->rank * c->blocks + 2, ldw = c->n + 1;
    arrays a = {make_numbers(c->rows * ldx, 11),
                make_numbers(c->rows * ldz, 12),
                make_numbers(c->rank * ldw, 13),
                {0}};
    a.args = (whet_i_monarch){.rows = c->rows,
                              .n = c->n,
                              .rank = c->rank,
                              .blocks = c->blocks,
                              .x = a.x.x,
                              .z = a.z.x,
                              .w = a.w.x,
                              .ldx = ldx,
                              .ldz = ldz,
                              .ldw = ldw};
    return a;
}

static void drop_arrays(arrays *a) {
    drop_numbers(&a->x);
    drop_numbers(&a->z);
    drop_numbers(&a->w);
}

/* A sum of so many products and what it is added to: |error| <= (terms + 2) u sum of sizes (Higham 2002,
 * 3.5), in any order. */
static void check_sum(double got, double expected, double size, int64_t terms) {
    if (fabs(got - expected) <= (double)(terms + 2) * UNIT * size) return;
    print_error("%.10g; expected %.10g, sizes %.10g\n", got, expected, size);
    fail();
}

static void check_dot(const whet_kernels *table, const monarch_case *c) {
    arrays a = make_arrays(c);
    const int64_t ldo = c->rank * c->blocks + 1;
    numbers out = make_numbers(c->rows * ldo, 14), before = make_numbers(c->rows * ldo, 14);
    a.args.out = out.x;
    a.args.ldo = ldo;
    table->monarch_dot(&a.args);
    for (int64_t i = 0; i < c->rows; i++) {
        for (int64_t j = 0; j < c->rank * c->blocks; j++) {
            double sum = 0, size = 0;
            for (int64_t o = j % c->blocks; o < c->n; o += c->blocks) {
                const double product = (double)a.args.w[j / c->blocks * a.args.ldw + o] *
                                       (double)a.args.x[i * a.args.ldx + o];
                sum += product;
                size += fabs(product);
            }
            check_sum((double)out.x[i * ldo + j], sum, size, c->n);
        }
        assert_true(out.x[i * ldo + ldo - 1] == before.x[i * ldo + ldo - 1]);
    }
    /* A row's bits do not depend on those beside it. */
    for (int64_t i = 0; i < c->rows; i++) {
        whet_i_monarch one = a.args;
        one.rows = 1;
        one.x += i * one.ldx;
        one.out = before.x;
        table->monarch_dot(&one);
        assert_memory_equal(before.x, out.x + i * ldo,
                            sizeof *out.x * (size_t)(c->rank * c->blocks));
    }
    drop_numbers(&out);
    drop_numbers(&before);
    drop_arrays(&a);
}

/* x[i][o] + sum_c w[c][o] z[i][c N + o mod N] */
static double exact_add(const whet_i_monarch *p, int64_t i, int64_t o, double start, double *size) {
    double sum = start;
    *size = fabs(start);
    for (int64_t c = 0; c < p->rank; c++) {
        const double product =
            (double)p->w[c * p->ldw + o] * (double)p->z[i * p->ldz + c * p->blocks + o % p->blocks];
        sum += product;
        *size += fabs(product);
    }
    return sum;
}

static void check_add(const whet_kernels *table, const monarch_case *c) {
    arrays a = make_arrays(c);
    const int64_t ldo = c->n + 1;
    numbers out = make_numbers(c->rows * ldo, 15), start = make_numbers(c->rows * ldo, 15);
    a.args.out = out.x;
    a.args.ldo = ldo;
    table->monarch_add(&a.args);
    for (int64_t i = 0; i < c->rows; i++) {
        for (int64_t o = 0; o < c->n; o++) {
            double size;
            const double sum = exact_add(&a.args, i, o, (double)start.x[i * ldo + o], &size);
            check_sum((double)out.x[i * ldo + o], sum, size, c->rank);
        }
        assert_true(out.x[i * ldo + c->n] == start.x[i * ldo + c->n]);
    }
    for (int64_t i = 0; i < c->rows; i++) {
        whet_i_monarch one = a.args;
        one.rows = 1;
        one.z += i * one.ldz;
        one.out = start.x + i * ldo;
        table->monarch_add(&one);
    }
    assert_memory_equal(start.x, out.x, sizeof *out.x * (size_t)(c->rows * ldo));
    drop_numbers(&out);
    drop_numbers(&start);
    drop_arrays(&a);
}

static void check_outer(const whet_kernels *table, const monarch_case *c) {
    arrays a = make_arrays(c);
    const int64_t ldo = c->n + 1, half = c->rows / 2;
    numbers out = make_numbers(c->rank * ldo, 16), start = make_numbers(c->rank * ldo, 16);
    a.args.out = out.x;
    a.args.ldo = ldo;
    table->monarch_outer(&a.args);
    for (int64_t r = 0; r < c->rank; r++) {
        for (int64_t o = 0; o < c->n; o++) {
            double sum = (double)start.x[r * ldo + o], size = fabs(sum);
            for (int64_t i = 0; i < c->rows; i++) {
                const double product =
                    (double)a.args.z[i * a.args.ldz + r * c->blocks + o % c->blocks] *
                    (double)a.args.x[i * a.args.ldx + o];
                sum += product;
                size += fabs(product);
            }
            check_sum((double)out.x[r * ldo + o], sum, size, c->rows);
        }
        assert_true(out.x[r * ldo + c->n] == start.x[r * ldo + c->n]);
    }
    /* The chain goes on where it was left. */
    whet_i_monarch part = a.args;
    part.out = start.x;
    part.rows = half;
    table->monarch_outer(&part);
    part.rows = c->rows - half;
    part.x += half * part.ldx;
    part.z += half * part.ldz;
    table->monarch_outer(&part);
    assert_memory_equal(start.x, out.x, sizeof *out.x * (size_t)(c->rank * ldo));
    drop_numbers(&out);
    drop_numbers(&start);
    drop_arrays(&a);
}

static void check_factors(const whet_kernels *table) {
    static const int64_t rows[] = {0, 1, 3, 4, 6, 13}, ns[] = {1, 5, 16, 17, 48, 64, 65, 130},
                         ranks[] = {1, 3, 4, 6, 8}, blocks[] = {1, 2, 3, 4, 8, 12, 16, 32};
    for (int64_t i = 0; i < WHET_COUNT_OF(rows); i++)
        for (int64_t j = 0; j < WHET_COUNT_OF(ns); j++)
            for (int64_t k = 0; k < WHET_COUNT_OF(ranks); k++)
                for (int64_t l = 0; l < WHET_COUNT_OF(blocks); l++) {
                    const monarch_case c = {rows[i], ns[j], ranks[k], blocks[l]};
                    check_dot(table, &c);
                    check_add(table, &c);
                    check_outer(table, &c);
                }
}
TABLE_TEST(factors, check_factors)

/* Worked by hand: two blocks, rank 2, three numbers, so that the second block has one less. */
static void check_by_hand(const whet_kernels *table) {
    const whet_i_real x[] = {1, 2, 3}, w[] = {1, 10, 100, -1, 0, 2}, z[] = {5, 7, 11, 13};
    whet_i_real short_row[4], long_row[] = {1, 1, 1}, sums[6] = {0, 0, 0, 0, 0, 1};
    whet_i_monarch p = {.rows = 1, .n = 3, .rank = 2, .blocks = 2, .x = x, .z = z, .w = w};
    p.ldx = p.ldw = 3;
    p.ldz = 4;
    p.out = short_row;
    p.ldo = 4;
    table->monarch_dot(&p); /* numbers 0 and 2 are of block 0 */
    const whet_i_real dot[] = {301, 20, 5, 0};
    for (int i = 0; i < 4; i++) assert_true(short_row[i] == dot[i]);
    p.out = long_row;
    p.ldo = 3;
    table->monarch_add(&p);
    const whet_i_real add[] = {1 + 1 * 5 - 1 * 11, 1 + 10 * 7 + 0 * 13, 1 + 100 * 5 + 2 * 11};
    for (int i = 0; i < 3; i++) assert_true(long_row[i] == add[i]);
    p.out = sums;
    table->monarch_outer(&p);
    const whet_i_real outer[] = {5, 14, 15, 11, 26, 1 + 33};
    for (int i = 0; i < 6; i++) assert_true(sums[i] == outer[i]);
}
TABLE_TEST(by_hand, check_by_hand)

/* ---- as what linear layers add ----------------------------------------------------------------- */

typedef struct adds_case {
    int64_t rows, k, first, n, blocks; /* of the second addition; the first is to columns 0..63 */
    bool half;
} adds_case;

enum { COLUMNS = 150, PANEL_NUMBERS = WHET_I_PANEL };

/* The layer with additions to columns 0..63 and first..first + n, from column `from` on. */
static void run_linear(const whet_kernels *table, const adds_case *s, const whet_i_monarch *adds,
                       const numbers *a, const void *packed, int64_t from, whet_i_real *c) {
    void *scratch = linear_scratch(table, s->half, s->rows, s->k);
    const size_t size = s->half ? sizeof(uint16_t) : sizeof(whet_i_real);
    whet_i_linear p = {.rows = s->rows,
                       .n = COLUMNS - from,
                       .k = s->k,
                       .a = a->x,
                       .packed = (const char *)packed +
                                 size * (size_t)(from / PANEL_NUMBERS * whet_i_panel_step(s->k)),
                       .c = c + from,
                       .lda = s->k,
                       .ldc = COLUMNS,
                       .scratch = scratch,
                       .n_adds = adds ? 2 : 0};
    for (int32_t i = 0; i < p.n_adds; i++)
        p.adds[i] = (whet_i_linear_add){(i ? s->first : 0) - from, adds[i]};
    (s->half ? table->linear_bf16 : table->linear_f32)(&p);
    free(scratch);
}

static void check_adds_case(const whet_kernels *table, const adds_case *s) {
    numbers a = make_numbers(s->rows * s->k, 3), w = make_numbers(COLUMNS * s->k, 4);
    numbers bare = make_numbers(s->rows * COLUMNS, 5), c = make_numbers(s->rows * COLUMNS, 6);
    arrays one = make_arrays(&(monarch_case){s->rows, PANEL_NUMBERS, 3, 2});
    arrays two = make_arrays(&(monarch_case){s->rows, s->n, 5, s->blocks});
    const whet_i_monarch adds[] = {one.args, two.args};
    void *packed = calloc((size_t)whet_i_packed_count(COLUMNS, s->k), sizeof(whet_i_real));
    if (s->half)
        table->pack_bf16(COLUMNS, s->k, w.x, s->k, 1, packed);
    else
        table->pack_f32(COLUMNS, s->k, w.x, s->k, 1, packed);
    run_linear(table, s, NULL, &a, packed, 0, bare.x);
    run_linear(table, s, adds, &a, packed, 0, c.x);
    for (int64_t i = 0; i < s->rows; i++) {
        for (int64_t j = 0; j < COLUMNS; j++) {
            const double start = (double)bare.x[i * COLUMNS + j];
            double sum = start, size = fabs(start);
            if (j < PANEL_NUMBERS) sum = exact_add(&adds[0], i, j, start, &size);
            if (j >= s->first && j < s->first + s->n)
                sum = exact_add(&adds[1], i, j - s->first, start, &size);
            /* The bare layer's numbers are the sums that the chain goes on from. */
            check_sum((double)c.x[i * COLUMNS + j], sum, size, 5);
        }
    }
    /* Columns from another panel on, alone, have the same bits. */
    memcpy(bare.x, c.x, sizeof *c.x * (size_t)c.n);
    run_linear(table, s, adds, &a, packed, PANEL_NUMBERS, c.x);
    assert_memory_equal(bare.x, c.x, sizeof *c.x * (size_t)c.n);
    free(packed);
    drop_numbers(&a);
    drop_numbers(&w);
    drop_numbers(&bare);
    drop_numbers(&c);
    drop_arrays(&one);
    drop_arrays(&two);
}

static void check_adds(const whet_kernels *table) {
    /* 1500 columns of a: linear_f32 takes its rows in several slabs. */
    static const adds_case cases[] = {{7, 20, 64, 64, 1, false},     {7, 20, 64, 86, 4, false},
                                      {13, 33, 128, 22, 8, false},   {6, 5, 64, 86, 3, false},
                                      {200, 1500, 64, 64, 2, false}, {12, 7, 64, 86, 16, false}};
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        adds_case c = cases[i];
        check_adds_case(table, &c);
        c.half = true;
        check_adds_case(table, &c);
    }
}
TABLE_TEST(adds, check_adds)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(factors),
        cmocka_unit_test(adds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
