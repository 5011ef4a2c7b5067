/* SPDX-License-Identifier: Apache-2.0
 * Attention by every table, against softmax(scale q k^T) v in f64. */
#include "kernel_tables.h"

typedef struct attention_case {
    int64_t t, d, queries; /* queries 0 = t */
    bool causal, own_q;    /* q apart from k and v */
} attention_case;

/* out [i] in f64 into row [d], and what its rounding is bounded by into bound [d]; p [t] is space.
 */
static void exact_attention(const whet_i_attention *s, int64_t i, double *p, double *row,
                            double *bound) {
    const int64_t queries = s->queries ? s->queries : s->t, ldq = s->ldq ? s->ldq : s->ld;
    const int64_t t = s->causal ? s->t - queries + i + 1 : s->t;
    double most = -HUGE_VAL, sum = 0, largest = 0;
    for (int64_t j = 0; j < t; j++) {
        double size = 0;
        p[j] = 0;
        for (int64_t c = 0; c < s->d; c++) {
            const double product =
                (double)s->scale * (double)s->q[i * ldq + c] * (double)s->k[j * s->ld + c];
            p[j] += product;
            size += fabs(product);
        }
        most = fmax(most, p[j]);
        largest = fmax(largest, size);
    }
    for (int64_t j = 0; j < t; j++) sum += p[j] = exp(p[j] - most);
    for (int64_t c = 0; c < s->d; c++) {
        double size = 0;
        row[c] = 0;
        for (int64_t j = 0; j < t; j++) {
            row[c] += p[j] / sum * (double)s->v[j * s->ld + c];
            size += p[j] / sum * fabs((double)s->v[j * s->ld + c]);
        }
        /* An error e in scores is a factor 1 + 2e in weights; sums of d and of t numbers. */
        bound[c] =
            size * (4 * (double)(s->d + 4) * UNIT * (1 + largest) + 2 * (double)(t + 8) * UNIT);
    }
}

static void check_attention(const whet_kernels *table, const attention_case *s) {
    const int64_t t = s->t, d = s->d, queries = s->queries ? s->queries : t;
    const int64_t ld = 3 * d + 1, ldo = d + 2, ldq = s->own_q ? d + 3 : 0;
    numbers qkv = make_numbers(t * ld, 11), own = make_numbers(queries * (d + 3), 14);
    numbers out = make_numbers(queries * ldo, 12), before = make_numbers(queries * ldo, 12);
    numbers scratch = make_numbers(whet_i_attention_scratch(t, d), 13);
    const whet_i_attention args = {.t = t,
                                   .d = d,
                                   .queries = s->queries,
                                   .causal = s->causal,
                                   .q = s->own_q ? own.x : qkv.x + (t - queries) * ld,
                                   .k = qkv.x + d,
                                   .v = qkv.x + 2 * d,
                                   .ld = ld,
                                   .ldq = ldq,
                                   .ldo = ldo,
                                   .scale = 1 / sqrtf((float)d),
                                   .out = out.x,
                                   .scratch = scratch.x};
    table->attention(&args);
    double *p = malloc(sizeof *p * (size_t)(t + 2 * d)), *row = p + t, *bound = row + d;
    for (int64_t i = 0; i < queries; i++) {
        exact_attention(&args, i, p, row, bound);
        for (int64_t c = 0; c < d; c++)
            assert_true(fabs((double)out.x[i * ldo + c] - row[c]) <= bound[c]);
        for (int64_t c = d; c < ldo; c++) assert_true(out.x[i * ldo + c] == before.x[i * ldo + c]);
    }
    free(p);
    drop_numbers(&qkv);
    drop_numbers(&own);
    drop_numbers(&out);
    drop_numbers(&before);
    drop_numbers(&scratch);
}

static void check_attentions(const whet_kernels *table) {
    static const int64_t ts[] = {1, 2, 5, 6, 7, 8, 15, 16, 17, 31, 64, 65, 100};
    static const int64_t ds[] = {1, 8, 20, 32, 64, 80, 128};
    for (int64_t t = 0; t < WHET_COUNT_OF(ts); t++)
        for (int64_t d = 0; d < WHET_COUNT_OF(ds); d++)
            for (int causal = 0; causal < 2; causal++)
                check_attention(table, &(attention_case){.t = ts[t],
                                                         .d = ds[d],
                                                         .causal = causal,
                                                         .own_q = (t + d) % 2 == 0});
}

/* The last tokens alone, as a cache of keys and values asks for them. */
static void check_last_queries(const whet_kernels *table) {
    static const int64_t ts[] = {1, 7, 17, 66, 130};
    for (int64_t t = 0; t < WHET_COUNT_OF(ts); t++)
        for (int64_t queries = 1; queries <= 13 && queries <= ts[t]; queries++)
            for (int form = 0; form < 4; form++)
                check_attention(table, &(attention_case){.t = ts[t],
                                                         .d = form < 2 ? 32 : 19,
                                                         .queries = queries,
                                                         .causal = form & 1,
                                                         .own_q = queries % 2 == 0});
}

/* Rows alone have the bits they have among others, and later tokens change nothing under a causal
 * mask, were they as large as they can be. */
static void check_rows_alone(const whet_kernels *table) {
    enum { T = 40, D = 32, LD = 3 * D };
    numbers qkv = make_numbers(T * LD, 11), all = make_numbers(T * D, 12);
    numbers some = make_numbers(T * D, 12);
    numbers scratch = make_numbers(whet_i_attention_scratch(T, D), 13);
    whet_i_attention p = {.t = T,
                          .d = D,
                          .k = qkv.x + D,
                          .v = qkv.x + 2 * D,
                          .ld = LD,
                          .ldo = D,
                          .scale = 0.2f,
                          .scratch = scratch.x};
    for (int causal = 0; causal < 2; causal++) {
        p.causal = causal;
        p.q = qkv.x;
        p.t = T;
        p.queries = 0;
        p.out = all.x;
        table->attention(&p);
        p.out = some.x;
        for (p.queries = 1; p.queries < T; p.queries++) {
            p.q = qkv.x + (T - p.queries) * LD;
            table->attention(&p);
            assert_memory_equal(some.x, all.x + (T - p.queries) * D,
                                sizeof(float) * (size_t)(p.queries * D));
        }
    }
    p.queries = 0;
    p.q = qkv.x;
    for (p.t = T - 1; p.t > 0; p.t--) {
        for (int64_t c = 0; c < LD; c++) qkv.x[p.t * LD + c] = 1e30f;
        table->attention(&p);
        assert_memory_equal(some.x, all.x, sizeof(float) * (size_t)(p.t * D));
        const int64_t short_t = p.t;
        p.t = T;
        table->attention(&p);
        assert_memory_equal(some.x, all.x, sizeof(float) * (size_t)(short_t * D));
        p.t = short_t;
    }
    drop_numbers(&qkv);
    drop_numbers(&all);
    drop_numbers(&some);
    drop_numbers(&scratch);
}

/* NaN in a query is its row's alone; in a key or a value it is seen by the rows that look at it,
 * under a causal mask by none before. */
static void check_nan(const whet_kernels *table) {
    enum { T = 21, D = 16, LD = 3 * D, BAD = 13 };
    for (int which = 0; which < 3; which++) {
        for (int causal = 0; causal < 2; causal++) {
            numbers qkv = make_numbers(T * LD, 11), out = make_numbers(T * D, 12);
            numbers scratch = make_numbers(whet_i_attention_scratch(T, D), 13);
            qkv.x[BAD * LD + which * D + 3] = NAN;
            table->attention(&(whet_i_attention){.t = T,
                                                 .d = D,
                                                 .causal = causal,
                                                 .q = qkv.x,
                                                 .k = qkv.x + D,
                                                 .v = qkv.x + 2 * D,
                                                 .ld = LD,
                                                 .ldo = D,
                                                 .scale = 0.25f,
                                                 .out = out.x,
                                                 .scratch = scratch.x});
            for (int64_t i = 0; i < T; i++) {
                for (int64_t c = 0; c < D; c++) {
                    const bool sees = which == 0   ? i == BAD
                                      : which == 1 ? !causal || i >= BAD
                                                   : (!causal || i >= BAD) && c == 3;
                    assert_int_equal(isnan(out.x[i * D + c]) != 0, sees);
                }
            }
            drop_numbers(&qkv);
            drop_numbers(&out);
            drop_numbers(&scratch);
        }
    }
}

TABLE_TEST(attention_is_softmax_of_products, check_attentions)
TABLE_TEST(last_queries_alone, check_last_queries)
TABLE_TEST(rows_do_not_depend_on_neighbours, check_rows_alone)
TABLE_TEST(nan_reaches_who_looks_at_it, check_nan)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_is_softmax_of_products),
        cmocka_unit_test(last_queries_alone),
        cmocka_unit_test(rows_do_not_depend_on_neighbours),
        cmocka_unit_test(nan_reaches_who_looks_at_it),
    };
    return cmocka_run_group_tests_name("kernels_attention", tests, NULL, NULL);
}
