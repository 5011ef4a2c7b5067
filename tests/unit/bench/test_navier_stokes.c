/* SPDX-License-Identifier: Apache-2.0
 * Flows: exact solutions, a second integrator of the same equations, what flows keep, and the job. */
#include "support.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/navier_stokes.h"

enum { GRID = 16, POINTS = GRID * GRID };
#define PI acos(-1)

typedef struct flow {
    whet_ctx *ctx;
    whet_i_flow_plan plan;
    whet_i_flow_state state;
} flow;

static flow open_flow(int64_t grid, double viscosity, double step, bool forced) {
    flow f = {.ctx = test_ctx(1)};
    test_ok(f.ctx, whet_i_flow_plan_make(f.ctx, grid, viscosity, step, forced, &f.plan));
    test_ok(f.ctx, whet_i_flow_state_make(f.ctx, &f.plan, &f.state));
    return f;
}

static void close_flow(flow *f) {
    whet_i_flow_state_free(f->ctx, &f->state);
    whet_i_flow_plan_free(f->ctx, &f->plan);
    test_ctx_done(f->ctx);
}

/* A wave of the vorticity: cos(2 pi (kx x + ky y) + phase), x the column. */
static void add_cosine(double *field, int64_t grid, int kx, int ky, double size, double phase) {
    for (int64_t i = 0; i < grid * grid; i++) {
        const double turns = (double)(kx * (i % grid) + ky * (i / grid)) / (double)grid;
        field[i] += size * cos(2 * PI * turns + phase);
    }
}

/* What is left of a wave when Crank-Nicolson is taken over 8/15, 2/15 and 1/3 of the step. */
static double left_of(double square, double viscosity, double step) {
    static const double part[3] = {8.0 / 15, 2.0 / 15, 1.0 / 3};
    double left = 1;
    for (int i = 0; i < 3; i++) {
        const double x = part[i] / 2 * viscosity * square * step;
        left *= (1 - x) / (1 + x);
    }
    return left;
}

/* Sums over the field: mean square of the vorticity, and of the velocity. */
static double enstrophy(const flow *f) {
    double sum = 0;
    for (int64_t i = 0; i < f->plan.waves; i++)
        sum += 2 * (f->state.re[i] * f->state.re[i] + f->state.im[i] * f->state.im[i]);
    return sum;
}

static double energy(const flow *f) {
    double sum = 0;
    for (int64_t i = 0; i < f->plan.waves; i++) {
        const whet_i_wave k = f->plan.wave[i];
        sum += 2 * (f->state.re[i] * f->state.re[i] + f->state.im[i] * f->state.im[i]) /
               (k.x * k.x + k.y * k.y);
    }
    return sum;
}

/* ---- exact solutions --------------------------------------------------------------------------- */

/* exp(-nu |k|^2 t) but for 2/3 z^3 sum_i (part_i / 2)^3 = 0.0159 z^3 of the logarithm a step, z =
 * nu |k|^2 step: the error of Crank-Nicolson, to its first digits. */
static void a_wave_decays_by_viscosity(void **state) {
    (void)state;
    enum { STEPS = 100 };
    const double viscosity = 1e-2, step = 1e-2, square = 4 * PI * PI * (4 + 9);
    const double z = viscosity * square * step;
    double start[POINTS] = {0};
    flow f = open_flow(GRID, viscosity, step, false);
    add_cosine(start, GRID, 2, -3, 0.7, 0.4);
    whet_i_flow_set(&f.plan, start, &f.state);
    whet_i_flow_advance(&f.plan, &f.state, STEPS);
    const double *end = whet_i_flow_vorticity(&f.plan, &f.state);
    const double log_left = log(end[5] / start[5]);
    const double error = -STEPS * 0.01593 * z * z * z;
    assert_true(fabs(log_left + STEPS * z - error) < 0.01 * fabs(error));
    for (int i = 0; i < POINTS; i++) /* and nothing else has come up */
        assert_true(fabs(end[i] - start[i] * exp(log_left)) < 1e-15);
    close_flow(&f);
}

/* Taylor & Green's vortices: four waves of one length, whose flow term vanishes by cancelling. */
static void vortices_keep_their_shape(void **state) {
    (void)state;
    enum { STEPS = 50 };
    const double viscosity = 1e-3, step = 2e-2;
    double start[POINTS] = {0};
    flow f = open_flow(GRID, viscosity, step, false);
    add_cosine(start, GRID, 2, 1, 3, 0);
    add_cosine(start, GRID, 2, -1, 3, 0);
    add_cosine(start, GRID, 1, 2, 2, 1);
    whet_i_flow_set(&f.plan, start, &f.state);
    whet_i_flow_advance(&f.plan, &f.state, STEPS);
    const double *end = whet_i_flow_vorticity(&f.plan, &f.state);
    const double left = pow(left_of(4 * PI * PI * 5, viscosity, step), STEPS);
    for (int i = 0; i < POINTS; i++) assert_true(fabs(end[i] - left * start[i]) < 1e-13);
    close_flow(&f);
}

/* From rest the force drives a parallel flow w = f (1 - exp(-nu |k|^2 t)) / (nu |k|^2), |k|^2 = 8 pi^2;
 * the time integral of Crank-Nicolson is off by about (nu |k|^2 step)^2 / 12 = 5e-7 of it. */
static void the_force_drives_from_rest(void **state) {
    (void)state;
    const double viscosity = 3e-3, step = 1e-2, rate = viscosity * 8 * PI * PI;
    flow f = open_flow(GRID, viscosity, step, true);
    whet_i_flow_advance(&f.plan, &f.state, 300);
    const double *end = whet_i_flow_vorticity(&f.plan, &f.state),
                 grown = (1 - exp(-3 * rate)) / rate;
    for (int i = 0; i < POINTS; i++) {
        const double turn = 2 * PI * (double)(i % GRID + i / GRID) / GRID;
        assert_true(fabs(end[i] - 0.1 * (sin(turn) + cos(turn)) * grown) < 1e-6);
    }
    close_flow(&f);
}

/* ---- a second integrator ----------------------------------------------------------------------- */

/* The same waves, |kx|, |ky| <= 2, by the sum over pairs p + q = k and the classical Runge-Kutta method:
 *   dw_k/dt = -sum (px qy - py qx) w_p w_q / |p|^2 - nu |k|^2 w_k + f_k */
enum { SMALL = 8, REACH = 2, WIDE = 2 * REACH + 1, CELLS = WIDE * WIDE };

static double complex turned(double angle) { return cexp(angle * (double complex)I); }

static void slope(const double complex *w, double viscosity, double complex *out) {
    for (int k = 0; k < CELLS; k++) {
        const int kx = k % WIDE - REACH, ky = k / WIDE - REACH;
        out[k] = -viscosity * 4 * PI * PI * (kx * kx + ky * ky) * w[k];
        if (kx == ky && abs(kx) == 1) out[k] += 0.05 - 0.05 * kx * (double complex)I;
        for (int p = 0; p < CELLS; p++) {
            const int px = p % WIDE - REACH, py = p / WIDE - REACH, qx = kx - px, qy = ky - py;
            if ((px == 0 && py == 0) || abs(qx) > REACH || abs(qy) > REACH) continue;
            out[k] -= w[p] * w[(qy + REACH) * WIDE + qx + REACH] * (px * qy - py * qx) /
                      (px * px + py * py);
        }
    }
    out[CELLS / 2] = 0;
}

static void integrate(double complex *w, double viscosity, double step, int steps) {
    static const double reach[4] = {0, 0.5, 0.5, 1}, weight[4] = {1, 2, 2, 1};
    for (int i = 0; i < steps; i++) {
        double complex at[CELLS], d[CELLS] = {0}, sum[CELLS] = {0};
        for (int stage = 0; stage < 4; stage++) {
            for (int k = 0; k < CELLS; k++) at[k] = w[k] + reach[stage] * step * d[k];
            slope(at, viscosity, d);
            for (int k = 0; k < CELLS; k++) sum[k] += weight[stage] * d[k];
        }
        for (int k = 0; k < CELLS; k++) w[k] += step / 6 * sum[k];
    }
}

/* Some waves, in both forms. */
static void start_both(double *field, double complex *w) {
    static const int kx[] = {1, 0, 1, 2, -1, 2}, ky[] = {0, 1, 1, 1, 2, -2};
    static const double size[] = {3, 2, 2.5, 1.5, 1, 0.5};
    memset(field, 0, SMALL * SMALL * sizeof *field);
    for (int k = 0; k < CELLS; k++) w[k] = 0;
    for (int i = 0; i < 6; i++) {
        add_cosine(field, SMALL, kx[i], ky[i], size[i], i);
        w[(ky[i] + REACH) * WIDE + kx[i] + REACH] += size[i] / 2 * turned(i);
        w[(REACH - ky[i]) * WIDE + REACH - kx[i]] += size[i] / 2 * turned(-i);
    }
}

/* The largest difference to `w` after time 1. */
static double error_of(double viscosity, int steps, const double complex *w) {
    double field[SMALL * SMALL], worst = 0;
    double complex start[CELLS];
    flow f = open_flow(SMALL, viscosity, 1.0 / steps, true);
    start_both(field, start);
    whet_i_flow_set(&f.plan, field, &f.state);
    whet_i_flow_advance(&f.plan, &f.state, steps);
    const double *end = whet_i_flow_vorticity(&f.plan, &f.state);
    for (int i = 0; i < SMALL * SMALL; i++) {
        double complex v = 0;
        for (int k = 0; k < CELLS; k++) {
            const int kx = k % WIDE - REACH, ky = k / WIDE - REACH;
            const double turns = (double)(kx * (i % SMALL) + ky * (i / SMALL)) / SMALL;
            v += w[k] * turned(2 * PI * turns);
        }
        worst = fmax(worst, fabs(end[i] - creal(v)));
    }
    close_flow(&f);
    return worst;
}

/* Vorticity of size 5 to 10. The other integrator, of order 4 at 400 steps, is off by less than 1e-9. */
static void agrees_with_the_sum_over_pairs(void **state) {
    (void)state;
    static const double viscosity[] = {0, 0.02}, low[] = {7, 3.6}, high[] = {9, 4.4};
    for (int i = 0; i < 2; i++) { /* order 3 of the flow term, 2 where viscosity decides */
        double field[SMALL * SMALL];
        double complex w[CELLS];
        start_both(field, w);
        integrate(w, viscosity[i], 1.0 / 400, 400);
        const double coarse = error_of(viscosity[i], 100, w);
        const double fine = error_of(viscosity[i], 200, w);
        if (!(fine < 1e-4 && coarse / fine > low[i] && coarse / fine < high[i]))
            fail_msg("viscosity %g: errors %g and %g", viscosity[i], coarse, fine);
    }
}

/* ---- what flows keep --------------------------------------------------------------------------- */

static void start_at_random(flow *f) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, 11, 0);
    whet_i_flow_draw(&f->plan, &rng, &f->state);
    for (int64_t i = 0; i < f->plan.waves; i++) {
        f->state.re[i] *= 10;
        f->state.im[i] *= 10;
    }
}

/* The flow term moves both between waves, and neither is made nor lost: the third-order method alone
 * loses some, in proportion to step^3. */
static void energy_and_enstrophy_are_kept(void **state) {
    (void)state;
    double lost[2][2];
    for (int i = 0; i < 2; i++) {
        const int64_t steps = i == 0 ? 200 : 400;
        flow f = open_flow(GRID, 0, 2.0 / (double)steps, false);
        start_at_random(&f);
        const double e = energy(&f), z = enstrophy(&f), first = f.state.re[0];
        whet_i_flow_advance(&f.plan, &f.state, steps);
        assert_true(fabs(f.state.re[0] - first) > 0.1 * fabs(first)); /* it does flow */
        lost[0][i] = fabs(energy(&f) / e - 1);
        lost[1][i] = fabs(enstrophy(&f) / z - 1);
        close_flow(&f);
    }
    for (int q = 0; q < 2; q++)
        if (!(lost[q][1] < 1e-5 && lost[q][0] / lost[q][1] > 6))
            fail_msg("quantity %d: %g and %g are lost", q, lost[q][0], lost[q][1]);
}

static void viscosity_takes_energy_and_enstrophy(void **state) {
    (void)state;
    flow f = open_flow(GRID, 1e-4, 5e-3, false);
    start_at_random(&f);
    double e = energy(&f), z = enstrophy(&f);
    for (int i = 0; i < 400; i++) {
        whet_i_flow_advance(&f.plan, &f.state, 1);
        assert_true(energy(&f) < e && enstrophy(&f) < z);
        e = energy(&f);
        z = enstrophy(&f);
    }
    close_flow(&f);
}

/* ---- the draw ---------------------------------------------------------------------------------- */

/* Mean squares of single waves over 4000 draws, as the covariance has them: five standard deviations of
 * such a mean, of squares of two normal numbers, are 5 sqrt(1 / 4000) = 0.08 of it. A finer grid has
 * the same numbers, and more. */
static void draws_have_their_covariance(void **state) {
    (void)state;
    enum { DRAWS = 4000 };
    flow f = open_flow(GRID, 1e-3, 1, false), finer = open_flow(2 * GRID, 1e-3, 1, false);
    double sum[3] = {0};
    const int64_t which[3] = {0, 10, 59};
    assert_int_equal(f.plan.waves, 60); /* half of 11^2 - 1 */
    for (int d = 0; d < DRAWS; d++) {
        whet_i_rng rng, same;
        whet_i_rng_init(&rng, 1, (uint64_t)d);
        same = rng;
        whet_i_flow_draw(&f.plan, &rng, &f.state);
        for (int j = 0; j < 3; j++)
            sum[j] += f.state.re[which[j]] * f.state.re[which[j]] +
                      f.state.im[which[j]] * f.state.im[which[j]];
        if (d > 0) continue;
        whet_i_flow_draw(&finer.plan, &same, &finer.state);
        assert_memory_equal(f.state.re, finer.state.re, 60 * sizeof *f.state.re);
        assert_memory_equal(f.state.im, finer.state.im, 60 * sizeof *f.state.im);
    }
    for (int j = 0; j < 3; j++) {
        const whet_i_wave k = f.plan.wave[which[j]];
        const double expected = 343 / pow(k.x * k.x + k.y * k.y + 49, 2.5);
        assert_true(fabs(sum[j] / DRAWS / expected - 1) < 0.08);
    }
    close_flow(&f);
    close_flow(&finer);
}

/* ---- the job ----------------------------------------------------------------------------------- */

enum { FLOWS = 5, MANY = 700 };
static const whet_i_flow job = {.grid = GRID, .viscosity = 1e-3, .time = 1, .step = .05, .seed = 9};

static void make_flows(int32_t threads, const whet_i_flow *what, int64_t n, float *out) {
    whet_ctx *ctx = test_ctx(threads);
    test_ok(ctx, whet_i_navier_stokes(ctx, what, n, out));
    test_ctx_done(ctx);
}

static void bits_do_not_depend_on_threads(void **state) {
    (void)state;
    static float one[FLOWS * POINTS], other[FLOWS * POINTS];
    whet_i_flow reseeded = job;
    make_flows(1, &job, FLOWS, one);
    for (int32_t threads = 2; threads <= 5; threads += 3) {
        make_flows(threads, &job, FLOWS, other);
        assert_memory_equal(one, other, sizeof one);
    }
    make_flows(2, &job, 2, other); /* nor on how many there are */
    assert_memory_equal(one, other, 2 * POINTS * sizeof *one);
    assert_memory_not_equal(one, one + POINTS, POINTS * sizeof *one);
    reseeded.seed++;
    make_flows(1, &reseeded, 1, other);
    assert_memory_not_equal(one, other, POINTS * sizeof *one);
}

/* So many that they are made in several groups, whose size the threads decide. */
static void many_flows_are_no_others(void **state) {
    (void)state;
    static float one[MANY * POINTS], other[MANY * POINTS];
    whet_i_flow brief = job;
    brief.time = brief.step;
    make_flows(1, &brief, MANY, one);
    make_flows(2, &brief, MANY, other);
    assert_memory_equal(one, other, sizeof one);
    make_flows(5, &brief, MANY, other);
    assert_memory_equal(one, other, sizeof one);
    for (int i = 1; i < MANY; i++)
        assert_memory_not_equal(one, one + (int64_t)i * POINTS, POINTS * sizeof *one);
}

/* The mean of vorticity is 0; floats of size 1 carry 6e-8. */
static void has_no_mean(void **state) {
    (void)state;
    static float out[FLOWS * POINTS];
    make_flows(2, &job, FLOWS, out);
    for (int i = 0; i < FLOWS; i++) {
        double sum = 0, square = 0;
        for (int j = 0; j < POINTS; j++) {
            sum += (double)out[i * POINTS + j];
            square += (double)out[i * POINTS + j] * (double)out[i * POINTS + j];
        }
        assert_true(fabs(sum / POINTS) < 1e-7 && square / POINTS > 1e-3);
    }
}

/* Viscous enough for both grids to hold it: the points that they share agree. */
static void finer_grids_agree(void **state) {
    (void)state;
    static float coarse[32 * 32], fine[64 * 64];
    whet_i_flow what = {.grid = 32, .viscosity = 1e-2, .time = 1, .step = .01, .seed = 2};
    make_flows(1, &what, 1, coarse);
    what.grid = 64;
    make_flows(1, &what, 1, fine);
    for (int i = 0; i < 32 * 32; i++)
        assert_true(fabsf(coarse[i] - fine[i / 32 * 2 * 64 + i % 32 * 2]) < 1e-6f);
}

static void ends_at_the_time(void **state) {
    (void)state;
    static float a[POINTS], b[POINTS];
    whet_i_flow what = job;
    what.time = 2.1;
    what.step =
        0.3; /* 2.1 / 0.3 is a little above 7 in doubles; of 0.305 it takes 7, shorter ones */
    make_flows(1, &what, 1, a);
    what.step = 0.305;
    make_flows(1, &what, 1, b);
    assert_memory_equal(a, b, sizeof a);
    what.step = 0.299;
    make_flows(1, &what, 1, b);
    assert_memory_not_equal(a, b, sizeof a);
    what.time = 0;
    make_flows(1, &what, 1, a);
    flow f = open_flow(GRID, what.viscosity, 1, true);
    whet_i_rng rng;
    whet_i_rng_init(&rng, what.seed, 0);
    whet_i_flow_draw(&f.plan, &rng, &f.state);
    const double *drawn = whet_i_flow_vorticity(&f.plan, &f.state);
    for (int i = 0; i < POINTS; i++) assert_true(a[i] == (float)drawn[i]);
    close_flow(&f);
}

static void refuses_what_cannot_be(void **state) {
    (void)state;
    const double nan = (double)NAN, inf = (double)INFINITY;
    const whet_i_flow bad[] = {
        {.grid = 48, .viscosity = 1, .time = 1, .step = 1},
        {.grid = 4, .viscosity = 1, .time = 1, .step = 1},
        {.grid = 2048, .viscosity = 1, .time = 1, .step = 1},
        {.grid = 8, .viscosity = 0, .time = 1, .step = 1},
        {.grid = 8, .viscosity = nan, .time = 1, .step = 1},
        {.grid = 8, .viscosity = inf, .time = 1, .step = 1},
        {.grid = 8, .viscosity = 1, .time = 1, .step = 0},
        {.grid = 8, .viscosity = 1, .time = 1, .step = -1},
        {.grid = 8, .viscosity = 1, .time = 1, .step = nan},
        {.grid = 8, .viscosity = 1, .time = 1, .step = inf},
        {.grid = 8, .viscosity = 1, .time = -1, .step = 1},
        {.grid = 8, .viscosity = 1, .time = nan, .step = 1},
        {.grid = 8, .viscosity = 1, .time = inf, .step = 1},
        {.grid = 8, .viscosity = 1, .time = 1, .step = 1e-10},
    };
    whet_ctx *ctx = test_ctx(1);
    float out[64] = {0};
    for (int64_t i = 0; i < WHET_COUNT_OF(bad); i++) {
        test_fails(ctx, whet_i_navier_stokes(ctx, &bad[i], 1, out), WHET_ERR_ARG);
        test_says(ctx, "expected");
    }
    test_fails(ctx, whet_i_navier_stokes(ctx, &job, 0, out), WHET_ERR_ARG);
    test_ctx_done(ctx);
}

/* Steps of 1 at nearly no viscosity. */
static void tells_of_steps_too_long(void **state) {
    (void)state;
    static float out[POINTS];
    const whet_i_flow wild = {.grid = GRID, .viscosity = 1e-9, .time = 1e6, .step = 1};
    whet_ctx *ctx = test_ctx(1);
    test_fails(ctx, whet_i_navier_stokes(ctx, &wild, 1, out), WHET_ERR_NUMERIC);
    test_says(ctx, "flow 0: not finite at time");
    test_says(ctx, "try one shorter than 1");
    test_ctx_done(ctx);
}

typedef struct listener {
    int64_t polls, last, total;
} listener;

static bool stop_later(void *user) { return ++((listener *)user)->polls > 20; }

static void listen(void *user, const char *stage, int64_t done, int64_t total) {
    listener *heard = user;
    if (!stage || strcmp(stage, "flows") != 0) return;
    assert_true(done >= heard->last);
    heard->last = done;
    heard->total = total;
}

/* A single flow of many steps: it is stopped before its end. */
static void can_be_interrupted(void **state) {
    (void)state;
    static float out[POINTS];
    whet_i_flow endless = job;
    listener heard = {0};
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    whet_ctx *ctx;
    opts.threads = 1;
    opts.user = &heard;
    opts.cancel = stop_later;
    assert_int_equal(whet_ctx_create(&opts, &ctx), WHET_OK);
    endless.time = 1e6;
    endless.step = 1e-2;
    test_fails(ctx, whet_i_navier_stokes(ctx, &endless, 1, out), WHET_ERR_CANCELLED);
    whet_ctx_destroy(ctx);
}

static void tells_how_far_it_is(void **state) {
    (void)state;
    static float out[FLOWS * POINTS];
    listener heard = {0};
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    whet_ctx *ctx;
    opts.threads = 2;
    opts.user = &heard;
    opts.progress = listen;
    assert_int_equal(whet_ctx_create(&opts, &ctx), WHET_OK);
    test_ok(ctx, whet_i_navier_stokes(ctx, &job, FLOWS, out));
    assert_int_equal(heard.last, FLOWS);
    assert_int_equal(heard.total, FLOWS);
    whet_ctx_destroy(ctx);
}

static whet_status run_once(whet_ctx *ctx, void *arg) {
    const whet_i_flow small = {.grid = 8, .viscosity = 1e-2, .time = .1, .step = .05};
    return whet_i_navier_stokes(ctx, &small, 2, arg);
}

static void survives_lack_of_memory(void **state) {
    (void)state;
    float out[2 * 64];
    assert_true(test_each_allocation(run_once, out) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wave_decays_by_viscosity),
        cmocka_unit_test(vortices_keep_their_shape),
        cmocka_unit_test(the_force_drives_from_rest),
        cmocka_unit_test(agrees_with_the_sum_over_pairs),
        cmocka_unit_test(energy_and_enstrophy_are_kept),
        cmocka_unit_test(viscosity_takes_energy_and_enstrophy),
        cmocka_unit_test(draws_have_their_covariance),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(many_flows_are_no_others),
        cmocka_unit_test(has_no_mean),
        cmocka_unit_test(finer_grids_agree),
        cmocka_unit_test(ends_at_the_time),
        cmocka_unit_test(refuses_what_cannot_be),
        cmocka_unit_test(tells_of_steps_too_long),
        cmocka_unit_test(can_be_interrupted),
        cmocka_unit_test(tells_how_far_it_is),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
