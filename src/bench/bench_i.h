/* SPDX-License-Identifier: Apache-2.0
 * Private to bench: the data sets of the AutoWS comparison and what it computes on them.
 * Legend: n rows, d columns, k classes. */
#ifndef WHET_BENCH_I_H
#define WHET_BENCH_I_H

#include "whet/bench.h"

#include "core/core_i.h"

/* ---- made images (images.c) ------------------------------------------------------------------- */

enum { WHET_I_IMAGE_SIDE = 28, WHET_I_SPHERE_SIDE = 60 };
#define WHET_I_IMAGE_PIXELS (WHET_I_IMAGE_SIDE * WHET_I_IMAGE_SIDE)
#define WHET_I_SPHERE_PIXELS (WHET_I_SPHERE_SIDE * WHET_I_SPHERE_SIDE)

/* out[r][c] = in[p[r]][p[c]], p the bit reversals of 0..31 that are below 28, in order. Pure. */
void whet_i_image_permute(const uint8_t *in, uint8_t *out);
/* rotation [3, 3] row-major, uniform on SO(3) for u1, u2, u3 uniform in [0, 1) (Arvo 1992). Pure. */
void whet_i_random_rotation(double u1, double u2, double u3, double rotation[9]);
/* in [28, 28] on a sphere, turned, projected back: out [60, 60]. Pure.
 * Source: Cohen et al. 2018 (arXiv 1801.10130), appendix, as AutoWS-Bench-101 has it. */
void whet_i_image_to_sphere(const uint8_t *in, const double rotation[9], uint8_t *out);

/* ---- made flows (navier_stokes.c) ------------------------------------------------------------- */

typedef struct whet_i_flow {
    int64_t grid;     /* points a side, a power of two, 8..1024 */
    double viscosity; /* > 0 */
    double time, step;
    uint64_t seed;
} whet_i_flow;

/* out [n, grid, grid]: vorticity at `time` of n flows that start from random fields, each its own stream
 * of the seed. Two-dimensional, incompressible, on the unit torus, forced: pseudo-spectral, Crank-Nicolson
 * for viscosity, 2/3 dealiasing (Li et al. 2021, arXiv 2010.08895, appendix A.3.3).
 * Cost n steps grid^2 log grid. Errors: ARG, NUMERIC (a field that is not finite), NOMEM, CANCELLED. */
WHET_CHECKED whet_status whet_i_navier_stokes(whet_ctx *ctx, const whet_i_flow *flow, int64_t n,
                                              float *out);

#endif
