/* SPDX-License-Identifier: Apache-2.0
 * What ways over large graphs share that pass over candidates, or take observed points one by one.
 * Read-only once made. */
#ifndef WHET_BALL_TABLE_H
#define WHET_BALL_TABLE_H

#include "space/frechet_i.h"
#include "space/graph_rows.h"
#include "space/near_ties.h"

enum { BALL = 512 /* candidates of a ball on average */, CENTRES_MOST = 1024, FAR = 64 };

typedef struct ball_table {
    graph_rows rows;   /* to the candidates, sorted by ball */
    int64_t *slot;     /* [n_candidates] the candidate in each place */
    int64_t balls;     /* 0: no centres, for nothing could be passed over */
    int64_t *first;    /* [balls + 1] places of a ball */
    double *radius;    /* [balls] */
    double *to_centre; /* [k, balls] distances of the observed to the centres */
} ball_table;

/* t is zero. Errors: NOMEM, LIMIT, CANCELLED; what is made by then is for the caller to free. */
WHET_CHECKED whet_status whet_i_ball_table_make(whet_ctx *ctx, const whet_frechet *f,
                                                ball_table *t);
void whet_i_ball_table_free(whet_ctx *ctx, ball_table *t);
/* Sets held and making. */
WHET_CHECKED whet_status whet_i_ball_table_sizes(whet_ctx *ctx, const whet_frechet *f,
                                                 frechet_sizes *out);

/* Adds p d^power of one observed point to sum [n], for the places from .. from + n - 1. */
void whet_i_ball_table_add(const ball_table *t, int64_t observed, int64_t from, int64_t n, double p,
                           int32_t power, double *sum);
/* G at every centre, norm [balls]; gives the ball that promises least. */
int64_t whet_i_ball_table_measure(const ball_table *t, int32_t power, const sparse_row *r,
                                  double *norm);
/* The least cost that a ball can hold, rounding allowed for. */
double whet_i_ball_table_bound(const ball_table *t, int32_t power, double mass, double norm,
                               int64_t ball);

#endif
