/* SPDX-License-Identifier: Apache-2.0
 * The loops over lanes, the rows of a block that lie side by side: built once for each instruction
 * set from lane_loops.h. They multiply and add lane by lane and never contract, so that all sets
 * give the same bits. */
#ifndef WHET_LANES_I_H
#define WHET_LANES_I_H

#include "space/frechet_i.h"

/* A tree cut down to what spans observed classes and candidates, renumbered: see tree_pass.c. */
typedef struct tree_plan {
    int64_t n, n_inner;
    int64_t *inner_first, *leaf_first; /* [n_inner + 1] children of v: first[v] .. first[v + 1] */
    int64_t *parent;                   /* [n] */
    double *length;                    /* [n] to the parent */
    int64_t *point;                    /* [n] candidate, or -1 */
    int64_t *node;                     /* [k] of an observed class */
    double *root_cost;                 /* [k] d(root, class)^2 */
    int64_t height;                    /* edges */
} tree_plan;

/* What a sweep finds about each lane; counts and points as doubles, exact below 2^53. */
typedef struct lane_sweep {
    double limit[LANE_GROUP], ties[LANE_GROUP], first[LANE_GROUP], next[LANE_GROUP];
} lane_sweep;

struct lane_loops {
    const char *name; /* of the kernel set that it goes with */
    /* Column j of the rows, each times its scale, to row row[j] (NULL: j) of weights, `lanes` apart;
     * mass written. probs: one row of [k] for each lane. false when a value is impossible. */
    bool (*load)(const double *const *probs, int64_t k, const double *scale, const int64_t *row,
                 double *weights, int64_t lanes, double *mass);
    /* out [LANE_GROUP] = sum over j of factor[j] times row row[j] (NULL: j) of weights */
    void (*combine)(int64_t k, const double *factor, const int64_t *row, const double *weights,
                    int64_t lanes, double *out);
    /* mass [n, L] own masses -> masses at and below; moment [n_inner, L] written */
    void (*up)(const tree_plan *t, double *mass, double *moment);
    /* cost [n, L] from cost [0]; moment becomes T; least [L] lowered to the candidates' costs */
    void (*down_squared)(const tree_plan *t, const double *mass, double *moment, double *cost,
                         double *least);
    void (*down)(const tree_plan *t, const double *mass, const double *moment, double *cost,
                 double *least);
    /* least of costs [n], `lanes` apart, all of candidates; least [LANE_GROUP] written */
    void (*least)(int64_t n, const double *costs, int64_t lanes, double *least);
    /* Counts and finds what is within the limit and just above it; points [n], -1 = no candidate */
    void (*sweep)(const int64_t *point, int64_t n, const double *costs, int64_t lanes,
                  lane_sweep *out);
    /* sum [LANE_GROUP] = sum over n entries of share[e] times row observed[e] of powers [k, LANE_GROUP] */
    void (*gather)(const int32_t *observed, const float *share, int32_t n, const float *powers,
                   float *sum);
};

/* The loops that go with the context's kernel set. */
const lane_loops *whet_i_lane_loops(whet_ctx *ctx);
extern const lane_loops whet_i_lane_loops_ref, whet_i_lane_loops_avx2, whet_i_lane_loops_avx512;

#endif
