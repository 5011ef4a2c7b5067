/* SPDX-License-Identifier: Apache-2.0
 * What the tests of kernels share: all tables, numbers at odd addresses, the activations in f64. */
#ifndef WHET_TEST_KERNEL_TABLES_H
#define WHET_TEST_KERNEL_TABLES_H

#include "support.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/kernels_i.h"

/* Unit roundoff of what kernels compute in. */
#ifdef WHET_I_DOUBLE
#define UNIT 0x1p-53
#else
#define UNIT 0x1p-24
#endif

/* Calls check(table) for every table that can run here; in f64, for ref. */
void each_table(void (*check)(const whet_kernels *table));
#define TABLE_TEST(name, check) \
    static void name(void **state) { \
        (void)state; \
        each_table(check); \
    }

/* What a layer or a product computes: f32, of bfloat16, or coarse, in f32. */
typedef enum number_kind { F32, HALF, COARSE, KINDS } number_kind;

/* What coarse products may leave out of each product, as a part of it (kernels_i.h). */
double left_out(const whet_kernels *table, number_kind of);

/* Normal numbers at an odd place, so that no kernel may count on alignment; drop_numbers checks a
 * guard behind them. */
typedef struct numbers {
    whet_i_real *block, *x;
    int64_t n;
} numbers;
numbers make_numbers(int64_t n, uint64_t seed);
void drop_numbers(numbers *v);

/* Rounded to bfloat16 and back, by ref. */
double through_bf16(whet_i_real x);

/* Scratch of the exact size for either kind of linear layer, which AddressSanitizer watches. */
void *linear_scratch(const whet_kernels *table, bool half, int64_t rows, int64_t k);

double exact_act(whet_i_act act, double x);

#endif
