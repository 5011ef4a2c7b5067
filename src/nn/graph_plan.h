/* SPDX-License-Identifier: Apache-2.0
 * A plan as the executor reads it. */
#ifndef WHET_NN_GRAPH_PLAN_H
#define WHET_NN_GRAPH_PLAN_H

#include "nn/graph_i.h"

/* Places of arrays: reals from the start of the executor's block, or none, or a feed of the batch. */
#define WHET_I_NOWHERE ((int64_t)-1)
static inline int64_t whet_i_place_of_feed(int32_t feed) { return -2 - (int64_t)feed; }
static inline int32_t whet_i_feed_at(int64_t place) { return (int32_t)(-2 - place); }

typedef enum whet_i_step_kind {
    WHET_I_STEP_FORWARD,
    WHET_I_STEP_SEED,    /* the gradient of the loss with respect to itself */
    WHET_I_STEP_AGAIN,   /* the forward pass, for values that were not kept */
    WHET_I_STEP_REBUILD, /* the same by the operation's short way */
    WHET_I_STEP_BACKWARD
} whet_i_step_kind;

typedef struct whet_i_step {
    whet_i_step_kind kind;
    int32_t node;
    const whet_i_pass *pass;
    int64_t in[WHET_I_INPUTS_MAX], out[WHET_I_OUTPUTS_MAX];
    int64_t grad_out[WHET_I_OUTPUTS_MAX], grad_in[WHET_I_INPUTS_MAX];
    int64_t saved, temporary;
    bool adds[WHET_I_INPUTS_MAX], param_adds[WHET_I_PARAMS_MAX];
} whet_i_step;

struct whet_i_plan {
    const whet_i_graph *graph;
    whet_i_sizes sizes;
    whet_i_step *steps;
    int64_t n_steps, n_phases;
    int64_t reals;   /* of the block */
    int64_t scratch; /* bytes a worker, a multiple of 64 */
    bool always_team;
    void **states; /* [n_nodes] of prepare */
    int64_t *kept; /* [n_values] places of values that are kept, else nowhere */
};

#endif
