/* SPDX-License-Identifier: Apache-2.0
 * Two-dimensional incompressible flow on the unit torus by its vorticity w, the data of Li et al. 2021
 * (arXiv 2010.08895, appendix A.3.3):
 *   dw/dt + u . grad w = nu Laplace w + f,   f = 0.1 (sin 2 pi (x + y) + cos 2 pi (x + y))
 *
 * Pseudo-spectral, waves up to a third of the grid: products of two make no alias (Orszag 1971). With
 * k = kx + i ky, the velocity W = u + i v has the waves w / conj(k), and
 *   u . grad w = Im((d/dx - i d/dy)^2 W^2) / 2,
 * so a slope costs two complex transforms, one to W and one from W^2.
 *
 * In time: Runge-Kutta of three stages for the flow and the force (Wray; Spalart, Moser & Rogers 1991),
 * Crank-Nicolson for viscosity in each: orders 3 and 2. Stable while |u| k step < 1.7, k the
 * largest wave number; energy and enstrophy are kept by the flow term but for errors of that order.
 * Legend: n flows. */
#include <math.h>

#include "bench/navier_stokes.h"

enum { LEAST_GRID = 8, MOST_GRID = 1024, STAGES = 3 };
static const double PI = 3.14159265358979323846, FORCE = 0.1;
/* Of a step: the slope now, the slope of the stage before; their sum is the stage's length. */
static const double NOW[STAGES] = {8.0 / 15, 5.0 / 12, 3.0 / 4};
static const double BEFORE[STAGES] = {0, -17.0 / 60, -5.0 / 12};

/* ---- plans and states ------------------------------------------------ */

static int32_t place(int64_t grid, int64_t kx, int64_t ky) {
    return (int32_t)((ky + grid) % grid * grid + (kx + grid) % grid);
}

static void add_wave(whet_i_flow_plan *plan, int64_t kx, int64_t ky) {
    plan->wave[plan->waves++] = (whet_i_wave){.at = place(plan->grid, kx, ky),
                                              .opposite = place(plan->grid, -kx, -ky),
                                              .x = 2 * PI * (double)kx,
                                              .y = 2 * PI * (double)ky};
}

/* Half of the waves with max(|kx|, |ky|) = ring: each has its opposite in the other half. */
static void add_ring(whet_i_flow_plan *plan, int64_t ring) {
    for (int64_t ky = 1 - ring; ky <= ring; ky++) add_wave(plan, ring, ky);
    for (int64_t kx = 1 - ring; kx <= ring; kx++) add_wave(plan, -kx, ring);
}

whet_status whet_i_flow_plan_make(whet_ctx *ctx, int64_t grid, double viscosity, double step,
                                  bool forced, whet_i_flow_plan *out) {
    whet_status status = WHET_OK;
    whet_i_flow_plan plan = {.grid = grid, .viscosity = viscosity, .step = step, .forced = forced};
    const int64_t rings = (grid - 1) / 3;
    if (grid < LEAST_GRID || grid > MOST_GRID || (grid & (grid - 1)) != 0)
        return whet_i_fail(ctx, WHET_ERR_ARG, "flow: grid %lld; expected a power of two, %d to %d",
                           (long long)grid, LEAST_GRID, MOST_GRID);
    if (!(viscosity >= 0 && isfinite(viscosity)))
        return whet_i_fail(ctx, WHET_ERR_ARG, "flow: viscosity %g; expected a number above 0",
                           viscosity);
    if (!(step > 0 && isfinite(step)))
        return whet_i_fail(ctx, WHET_ERR_ARG, "flow: step %g; expected a number above 0", step);
    WHET_TRY_DONE(whet_i_fourier_make(ctx, grid, &plan.fourier));
    WHET_TRY_DONE(whet_i_alloc(ctx, 2 * rings * (rings + 1), &plan.wave));
    for (int64_t ring = 1; ring <= rings; ring++) add_ring(&plan, ring);
    *out = plan;
    return WHET_OK;
done:
    whet_i_flow_plan_free(ctx, &plan);
    return status;
}

void whet_i_flow_plan_free(whet_ctx *ctx, whet_i_flow_plan *plan) {
    whet_i_fourier_free(ctx, &plan->fourier);
    whet_i_free(ctx, plan->wave);
    *plan = (whet_i_flow_plan){0};
}

whet_status whet_i_flow_state_make(whet_ctx *ctx, const whet_i_flow_plan *plan,
                                   whet_i_flow_state *out) {
    whet_status status = WHET_OK;
    const int64_t points = plan->grid * plan->grid;
    whet_i_flow_state state = {0};
    WHET_TRY_DONE(whet_i_calloc(ctx, plan->waves, &state.re));
    WHET_TRY_DONE(whet_i_calloc(ctx, plan->waves, &state.im));
    WHET_TRY_DONE(whet_i_calloc(ctx, plan->waves, &state.last_re));
    WHET_TRY_DONE(whet_i_calloc(ctx, plan->waves, &state.last_im));
    WHET_TRY_DONE(whet_i_alloc(ctx, points, &state.u));
    WHET_TRY_DONE(whet_i_alloc(ctx, points, &state.v));
    WHET_TRY_DONE(whet_i_alloc(ctx, whet_i_fourier_room(&plan->fourier), &state.scratch));
    *out = state;
    return WHET_OK;
done:
    whet_i_flow_state_free(ctx, &state);
    return status;
}

void whet_i_flow_state_free(whet_ctx *ctx, whet_i_flow_state *state) {
    whet_i_free(ctx, state->re);
    whet_i_free(ctx, state->im);
    whet_i_free(ctx, state->last_re);
    whet_i_free(ctx, state->last_im);
    whet_i_free(ctx, state->u);
    whet_i_free(ctx, state->v);
    whet_i_free(ctx, state->scratch);
    *state = (whet_i_flow_state){0};
}

/* ---- fields ------------------------------------------------ */

void whet_i_flow_draw(const whet_i_flow_plan *plan, whet_i_rng *rng, whet_i_flow_state *state) {
    for (int64_t i = 0; i < plan->waves; i++) {
        const whet_i_wave k = plan->wave[i];
        const double variance = pow(7, 3) * pow(k.x * k.x + k.y * k.y + 49, -2.5);
        state->re[i] = sqrt(variance / 2) * whet_i_rng_normal(rng);
        state->im[i] = sqrt(variance / 2) * whet_i_rng_normal(rng);
    }
}

void whet_i_flow_set(const whet_i_flow_plan *plan, const double *vorticity,
                     whet_i_flow_state *state) {
    const int64_t points = plan->grid * plan->grid;
    memcpy(state->u, vorticity, (size_t)points * sizeof *vorticity);
    memset(state->v, 0, (size_t)points * sizeof *state->v);
    whet_i_fourier_2d(&plan->fourier, state->u, state->v, state->scratch);
    for (int64_t i = 0; i < plan->waves; i++) {
        state->re[i] = state->u[plan->wave[i].at] / (double)points;
        state->im[i] = state->v[plan->wave[i].at] / (double)points;
    }
}

static void clear(const whet_i_flow_plan *plan, whet_i_flow_state *state) {
    const size_t bytes = (size_t)(plan->grid * plan->grid) * sizeof *state->u;
    memset(state->u, 0, bytes);
    memset(state->v, 0, bytes);
}

const double *whet_i_flow_vorticity(const whet_i_flow_plan *plan, whet_i_flow_state *state) {
    clear(plan, state);
    for (int64_t i = 0; i < plan->waves; i++) {
        const whet_i_wave k = plan->wave[i];
        state->u[k.at] = state->u[k.opposite] = state->re[i];
        state->v[k.at] = state->im[i];
        state->v[k.opposite] = -state->im[i];
    }
    whet_i_fourier_2d(&plan->fourier, state->v, state->u, state->scratch);
    return state->u;
}

bool whet_i_flow_is_finite(const whet_i_flow_plan *plan, const whet_i_flow_state *state) {
    double sum = 0; /* of products with 0: 0, or not a number */
    for (int64_t i = 0; i < plan->waves; i++) sum += 0 * state->re[i] + 0 * state->im[i];
    return sum == 0;
}

/* ---- steps ------------------------------------------------ */

/* u, v: the transform of W^2. */
static void square_velocity(const whet_i_flow_plan *plan, whet_i_flow_state *s) {
    const int64_t points = plan->grid * plan->grid;
    clear(plan, s);
    for (int64_t i = 0; i < plan->waves; i++) { /* w / conj(k); conj(w) / conj(-k) */
        const whet_i_wave k = plan->wave[i];
        const double inverse = 1 / (k.x * k.x + k.y * k.y);
        const double a = s->re[i] * inverse, b = s->im[i] * inverse;
        s->u[k.at] = a * k.x - b * k.y;
        s->v[k.at] = a * k.y + b * k.x;
        s->u[k.opposite] = -a * k.x - b * k.y;
        s->v[k.opposite] = b * k.x - a * k.y;
    }
    whet_i_fourier_2d(&plan->fourier, s->v, s->u, s->scratch);
    for (int64_t i = 0; i < points; i++) {
        const double u = s->u[i], v = s->v[i];
        s->u[i] = u * u - v * v;
        s->v[i] = 2 * u * v;
    }
    whet_i_fourier_2d(&plan->fourier, s->u, s->v, s->scratch);
}

/* The force's part of a wave: (1 - i) / 2 of it at (1, 1). */
static double force_of(const whet_i_flow_plan *plan, whet_i_wave k) {
    const bool driven = plan->forced && k.x == 2 * PI && k.y == 2 * PI;
    return driven ? FORCE / 2 : 0;
}

/* With G = -conj(k)^2 Q, Q the transform of W^2, the slope is -(G(k) - conj(G(-k))) / 4i + f. */
static void advance_stage(const whet_i_flow_plan *plan, int32_t stage, whet_i_flow_state *s) {
    const double scale = 0.25 / (double)(plan->grid * plan->grid);
    const double now = NOW[stage] * plan->step, before = BEFORE[stage] * plan->step;
    const double half = (now + before) / 2 * plan->viscosity;
    square_velocity(plan, s);
    for (int64_t i = 0; i < plan->waves; i++) {
        const whet_i_wave k = plan->wave[i];
        const double c = k.x * k.x - k.y * k.y, d = 2 * k.x * k.y; /* k^2 = c + i d */
        const double sum_re = s->u[k.at] + s->u[k.opposite], sum_im = s->v[k.at] + s->v[k.opposite];
        const double off_re = s->u[k.at] - s->u[k.opposite], off_im = s->v[k.at] - s->v[k.opposite];
        const double force = force_of(plan, k);
        const double re = force + scale * (c * sum_im - d * sum_re);
        const double im = -force - scale * (c * off_re + d * off_im);
        const double damp = half * (k.x * k.x + k.y * k.y), keep = 1 - damp, gain = 1 / (1 + damp);
        s->re[i] = gain * (keep * s->re[i] + now * re + before * s->last_re[i]);
        s->im[i] = gain * (keep * s->im[i] + now * im + before * s->last_im[i]);
        s->last_re[i] = re;
        s->last_im[i] = im;
    }
}

void whet_i_flow_advance(const whet_i_flow_plan *plan, whet_i_flow_state *state, int64_t steps) {
    for (int64_t i = 0; i < steps; i++)
        for (int32_t stage = 0; stage < STAGES; stage++) advance_stage(plan, stage, state);
}

/* ---- many flows ------------------------------------------------ */

enum { ROOM = 1 << 16 }; /* points of a thread's flows, or one flow */

/* Some flows for each thread, a bout of steps at a time: between bouts one can be interrupted. */
typedef struct group {
    const whet_i_flow_plan *plan;
    whet_i_flow_state *state;
    uint64_t seed;
    int64_t first, steps;
    float *out;
} group;

static void begin(void *arg, int64_t i, int32_t worker) {
    const group *g = arg;
    whet_i_rng rng;
    (void)worker;
    whet_i_rng_init(&rng, g->seed, (uint64_t)(g->first + i));
    whet_i_flow_draw(g->plan, &rng, &g->state[i]);
}

static void advance(void *arg, int64_t i, int32_t worker) {
    const group *g = arg;
    (void)worker;
    whet_i_flow_advance(g->plan, &g->state[i], g->steps);
}

static void finish(void *arg, int64_t i, int32_t worker) {
    const group *g = arg;
    const int64_t points = g->plan->grid * g->plan->grid;
    const double *vorticity = whet_i_flow_vorticity(g->plan, &g->state[i]);
    float *out = g->out + (g->first + i) * points;
    (void)worker;
    for (int64_t j = 0; j < points; j++) out[j] = (float)vorticity[j];
}

static whet_status run_group(whet_ctx *ctx, group *g, int64_t count, int64_t steps) {
    const int64_t points = g->plan->grid * g->plan->grid, bout = 1 + (1 << 21) / points;
    WHET_TRY(whet_i_parallel_for(ctx, NULL, count, begin, g));
    for (int64_t done = 0; done < steps; done += g->steps) {
        g->steps = steps - done < bout ? steps - done : bout;
        WHET_TRY(whet_i_parallel_for(ctx, NULL, count, advance, g));
        for (int64_t i = 0; i < count; i++)
            if (!whet_i_flow_is_finite(g->plan, &g->state[i]))
                return whet_i_fail(ctx, WHET_ERR_NUMERIC,
                                   "flow %lld: not finite at time %.3g; expected a step that is "
                                   "stable; try one shorter than %g",
                                   (long long)(g->first + i),
                                   (double)(done + g->steps) * g->plan->step, g->plan->step);
    }
    return whet_i_parallel_for(ctx, NULL, count, finish, g);
}

static whet_status run_groups(whet_ctx *ctx, group *g, int64_t size, int64_t n, int64_t steps) {
    WHET_TRY(whet_i_progress(ctx, "flows", 0, n));
    for (g->first = 0; g->first < n; g->first += size) {
        const int64_t left = n - g->first, count = left < size ? left : size;
        WHET_TRY(run_group(ctx, g, count, steps));
        WHET_TRY(whet_i_progress(ctx, "flows", g->first + count, n));
    }
    return WHET_OK;
}

/* Steps no longer than asked for that end at the time. */
static whet_status count_steps(whet_ctx *ctx, const whet_i_flow *flow, int64_t *steps) {
    const double count = ceil(flow->time / flow->step * (1 - 1e-12)); /* 2.1 / 0.3 is above 7 */
    if (!(flow->viscosity > 0))
        return whet_i_fail(ctx, WHET_ERR_ARG, "flow: viscosity %g; expected a number above 0",
                           flow->viscosity);
    if (!(flow->time >= 0 && count <= 1e9)) /* 1e9: what a step may be of the time */
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "flow: time %g in steps of %g; expected 0 to 1e9 steps", flow->time,
                           flow->step);
    *steps = (int64_t)count;
    return WHET_OK;
}

whet_status whet_i_navier_stokes(whet_ctx *ctx, const whet_i_flow *flow, int64_t n, float *out) {
    whet_status status = WHET_OK;
    whet_i_flow_plan plan = {0};
    int64_t steps, size;
    group g = {.plan = &plan, .seed = flow->seed, .out = out};
    if (n < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%lld flows; expected 1 or more", (long long)n);
    WHET_TRY(count_steps(ctx, flow, &steps));
    WHET_TRY(whet_i_flow_plan_make(ctx, flow->grid, flow->viscosity,
                                   steps > 0 ? flow->time / (double)steps : flow->step, true,
                                   &plan));
    size = whet_ctx_threads(ctx) * (1 + ROOM / (plan.grid * plan.grid));
    size = n < size ? n : size;
    WHET_TRY_DONE(whet_i_calloc(ctx, size, &g.state));
    for (int64_t i = 0; i < size; i++)
        WHET_TRY_DONE(whet_i_flow_state_make(ctx, &plan, &g.state[i]));
    WHET_TRY_DONE(run_groups(ctx, &g, size, n, steps));
done:
    for (int64_t i = 0; g.state && i < size; i++) whet_i_flow_state_free(ctx, &g.state[i]);
    whet_i_free(ctx, g.state);
    whet_i_flow_plan_free(ctx, &plan);
    return status;
}
