/* SPDX-License-Identifier: Apache-2.0
 * Rows of a screened table by their largest probabilities alone: lower bounds of costs that are exact
 * enough to settle peaked rows, at a fraction of the product's time. */
#ifndef WHET_TRUNCATION_H
#define WHET_TRUNCATION_H

#include "space/graph_rows.h"
#include "space/screen_i.h"

enum { TRUNCATED_MOST = 64 /* entries of a row */ };

/* The rows of a block that are tried, by column. In a block's scratch. */
typedef struct truncation {
    int32_t *observed; /* [SCREEN_LANES, TRUNCATED_MOST] by probability */
    float *share;      /* the same; shares of the mass */
    int32_t *n;        /* [SCREEN_LANES] entries */
    float *left_out;   /* delta, a lower bound */
    float *far;        /* g, a lower bound; 0 says nothing */
} truncation;

/* Doubles of scratch that it takes. */
enum { TRUNCATION_SCRATCH = SCREEN_LANES * TRUNCATED_MOST + 2 * SCREEN_LANES };
truncation whet_i_truncation_at(double *scratch);

/* Takes a lane as this column, where few entries hold most of its mass. graph: for the bound of what is left
 * out; NULL for tables that need not keep the triangle inequality. */
bool whet_i_truncate(const whet_frechet *f, const frechet_block *b, int64_t lane,
                     const graph_rows *graph, const truncation *t, int32_t column);
/* Lower bounds of the costs of n candidates, LANE_GROUP at most, of whose distances the powers are given side
 * by side, [k, LANE_GROUP]: out [n, SCREEN_LANES], its first columns. */
void whet_i_truncated_costs(const whet_frechet *f, const truncation *t, const float *powers,
                            int32_t columns, int64_t n, float *out);

#endif
