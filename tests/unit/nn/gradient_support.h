/* SPDX-License-Identifier: Apache-2.0
 * Gradients of a recorded graph against central differences, in f64.
 *
 * A case records a graph whose arrays come from parameters (`source`) and whose output becomes a
 * loss by a fixed weighted sum (`weigh`), so that the gradients of inputs are checked as those of
 * parameters are. */
#ifndef WHET_TEST_GRADIENT_SUPPORT_H
#define WHET_TEST_GRADIENT_SUPPORT_H

#include "support.h"

#include "nn/ops_i.h"

typedef struct gradient_case {
    const char *name;
    /* Records; returns the loss. */
    whet_i_value (*record)(whet_ctx *ctx, whet_i_graph *graph);
    int64_t examples;
    const int64_t *start;                      /* [examples + 1] tokens; NULL: no tokens */
    const int32_t *integers[WHET_I_FEEDS_MAX]; /* feeds in order; NULL where reals are fed */
    const double *reals[WHET_I_FEEDS_MAX];
    bool train;   /* with dropout */
    double bound; /* of the relative error; 0 = 1e-7 */
} gradient_case;

/* Checks every number of every parameter; that 1 and 3 workers, and recomputed segments, give the
 * same bits; that accumulating doubles; that frozen parameters change nothing. */
void check_gradients(const gradient_case *c);
/* The loss of a case, nothing checked. */
double loss_value(const gradient_case *c);

/* An array [rows of extent, columns] that is a parameter, drawn. rows: as many as the case has. */
whet_i_value source(whet_ctx *ctx, whet_i_graph *graph, const char *name, whet_i_extent extent,
                    int64_t rows, int64_t columns);
/* sum_ij cos(1 + 7 i + 3 j) x_ij */
whet_i_value weigh(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x);
/* sum_ij weights_ij x_ij; the array must outlive the graph. */
whet_i_value weigh_by(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x, const double *weights);

#endif
