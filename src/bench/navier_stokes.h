/* SPDX-License-Identifier: Apache-2.0
 * Private to bench: one flow, step by step; whet_i_navier_stokes (bench_i.h) makes many.
 * The unit torus; x is the column, y the row of an array; vorticity w = dv/dx - du/dy. */
#ifndef WHET_BENCH_NAVIER_STOKES_H
#define WHET_BENCH_NAVIER_STOKES_H

#include "bench/bench_i.h"
#include "bench/fourier.h"

/* One of two opposite waves exp(+-2 pi i (kx x + ky y)). */
typedef struct whet_i_wave {
    int32_t at, opposite; /* places in an array [grid, grid] */
    double x, y;          /* 2 pi kx, 2 pi ky */
} whet_i_wave;

/* What the flows of a kind share; read-only once made. */
typedef struct whet_i_flow_plan {
    whet_i_fourier fourier;
    int64_t grid, waves;
    whet_i_wave
        *wave; /* [waves], |kx|, |ky| <= (grid - 1) / 3, from the longest to the shortest: those of
                          a coarser grid come first, in its order */
    double viscosity, step;
    bool forced;
} whet_i_flow_plan;

typedef struct whet_i_flow_state {
    double *re, *im;           /* [waves] of the vorticity */
    double *last_re, *last_im; /* [waves] what drove it in the step before */
    double *u, *v;             /* [grid, grid] */
    double *scratch;
} whet_i_flow_state;

/* Errors: ARG (grid, viscosity >= 0, step > 0), NOMEM. The _free calls take what was never made, too. */
WHET_CHECKED whet_status whet_i_flow_plan_make(whet_ctx *ctx, int64_t grid, double viscosity,
                                               double step, bool forced, whet_i_flow_plan *out);
void whet_i_flow_plan_free(whet_ctx *ctx, whet_i_flow_plan *plan);
WHET_CHECKED whet_status whet_i_flow_state_make(whet_ctx *ctx, const whet_i_flow_plan *plan,
                                                whet_i_flow_state *out);
void whet_i_flow_state_free(whet_ctx *ctx, whet_i_flow_state *state);

/* A draw of N(0, 7^3 (-Laplace + 49)^(-5/2)) without mean, as the code that made the published data has it;
 * its paper's 7^(3/2) is the root of that. The same field on any grid, but for waves that it does not
 * hold. Pure. */
void whet_i_flow_draw(const whet_i_flow_plan *plan, whet_i_rng *rng, whet_i_flow_state *state);
/* From vorticity [grid, grid]; waves outside the plan are dropped, and the mean. Pure. */
void whet_i_flow_set(const whet_i_flow_plan *plan, const double *vorticity,
                     whet_i_flow_state *state);
/* Vorticity [grid, grid], in the state: valid until the next call with it. Pure. */
const double *whet_i_flow_vorticity(const whet_i_flow_plan *plan, whet_i_flow_state *state);
/* Steps of plan->step. What comes of too long a step is not finite sooner or later. Pure. */
void whet_i_flow_advance(const whet_i_flow_plan *plan, whet_i_flow_state *state, int64_t steps);
bool whet_i_flow_is_finite(const whet_i_flow_plan *plan, const whet_i_flow_state *state);

#endif
