/* SPDX-License-Identifier: Apache-2.0
 * Recorded graphs against torch's values (tests/golden/images): loss, outputs, gradients of every
 * parameter and running statistics, at 1, 2 and 5 workers with the same bits. */
#ifndef WHET_TEST_PARITY_SUPPORT_H
#define WHET_TEST_PARITY_SUPPORT_H

#include "gradient_support.h"

typedef struct parity_case {
    const char *name; /* of the golden arrays */
    /* Records, with feed 0 of reals where `columns` > 0, and then labels as feed 1 where `classes` >
     * 0; *out is the value to compare. Returns the loss. */
    whet_i_value (*record)(whet_ctx *ctx, whet_i_graph *graph, whet_i_value *out);
    int64_t rows, columns, classes;
    bool train, absolute; /* feeds are |formula| */
} parity_case;

void check_parity(const parity_case *c);

/* A number of the array `name`, as generate.py has it, before its rule by name. */
double formula(const char *name, int64_t i);
/* Fills all parameters by name. They must have been settled. */
void fill_parameters(whet_i_params *params);
/* got [n] against the golden array, which is thinned: within `bound` times its largest number. */
void compare_golden(whet_ctx *ctx, const char *name, int64_t n, const whet_i_real *got,
                    double bound);

#endif
