/* SPDX-License-Identifier: Apache-2.0
 * Private to bench: what comparisons share, then the data that they make.
 * Legend: n rows, d columns, k classes. */
#ifndef WHET_BENCH_I_H
#define WHET_BENCH_I_H

#include "whet/bench.h"

#include "io/io_i.h"

/* ---- means with intervals (means.c) ------------------------------------------------------------ */

typedef struct whet_i_sums {
    int64_t n;
    double sum, squares;
} whet_i_sums;
/* What is not finite is passed over. */
void whet_i_sums_add(whet_i_sums *sums, double x);

/* With Student's 95 % interval; NaN where there is none. */
typedef struct whet_i_mean {
    int64_t n;
    double mean, low, high;
} whet_i_mean;
whet_i_mean whet_i_mean_of(const whet_i_sums *sums);

/* ---- results as lines of a file (result_lines.c) ----------------------------------------------- */

/* The first line has the settings, each other one a result: a run that was stopped goes on. The file is
 * replaced whole at each result: it is small, and never half. */
typedef struct whet_i_lines {
    whet_i_buf text; /* of the file */
    char *path;
    json_t *settings; /* results of other settings are not mixed in */
} whet_i_lines;
typedef whet_status (*whet_i_take_line)(whet_ctx *ctx, void *arg, const json_t *object);
/* Each result that the file has goes to `take`; a last line that is cut short is dropped, and with other
 * settings all are, by force alone. Errors: EXISTS (other settings, without force), FORMAT, IO, NOMEM (also
 * settings NULL). */
WHET_CHECKED whet_status whet_i_lines_open(whet_ctx *ctx, const char *path, json_t *settings,
                                           bool force, whet_i_take_line take, void *arg,
                                           whet_i_lines *out);
/* Adds a result, whose reference is given up (NULL is lacking memory), and puts the file in place. */
WHET_CHECKED whet_status whet_i_lines_add(whet_ctx *ctx, whet_i_lines *lines, json_t *object);
void whet_i_lines_close(whet_ctx *ctx, whet_i_lines *lines);

/* ---- what is asked for, where it goes (name_list.c) -------------------------------------------- */

typedef const char *(*whet_i_name_of)(int64_t i);
/* out[i] of n names: whether `list` (names joined by commas, NULL = all) has it. Errors: ARG, with what
 * there is; `what` is for that sentence. */
WHET_CHECKED whet_status whet_i_name_list(whet_ctx *ctx, const char *what, const char *list,
                                          whet_i_name_of name_of, int64_t n, bool *out);
/* Whether what is wanted is there: if not, an error where it was asked for by name (`given`), else told, and
 * no longer wanted. `file` below `data` is for the sentence. Errors: IO. */
WHET_CHECKED whet_status whet_i_bench_require(whet_ctx *ctx, bool given, const char *name,
                                              const char *data, const char *file, bool there,
                                              bool *wanted);
/* Before the lists: errors IO where `data` is no folder that can be read. */
WHET_CHECKED whet_status whet_i_bench_data(whet_ctx *ctx, const char *data);
/* Behind them, where none of n is wanted: DATA, with the files, names and a suffix, that were looked for. */
WHET_CHECKED whet_status whet_i_bench_any(whet_ctx *ctx, const char *data, const char *what,
                                          const bool *wanted, whet_i_name_of name_of,
                                          const char *suffix, int64_t n);
/* *hash becomes one of what it was and of the bytes of `file` below `data`: results of other data are not
 * those of this. Errors: IO, NOMEM. */
WHET_CHECKED whet_status whet_i_bench_mix_file(whet_ctx *ctx, const char *data, const char *file,
                                               uint64_t *hash);
/* A hash as results tell it, and whether a result tells this one. */
json_t *whet_i_bench_hash_json(uint64_t hash);
bool whet_i_bench_is_hash(const json_t *value, uint64_t hash);
/* Where a comparison writes: a folder, and one in it that goes when it is empty. {0} is fine. */
typedef struct whet_i_bench_place {
    const char *path;
    char *inner;
    bool made; /* the outer one */
} whet_i_bench_place;
/* The folder, the one in it, and the path of a file in it, released by whet_i_free; what is not there is
 * made, but for the file. What it leaves on failure is closed all the same. Errors: IO, NOMEM. */
WHET_CHECKED whet_status whet_i_bench_folders(whet_ctx *ctx, const char *path, const char *inner,
                                              const char *file, whet_i_bench_place *place,
                                              char **file_path);
/* Takes away the inner folder, and the outer one where it was made, unless they hold something. */
void whet_i_bench_leave(whet_ctx *ctx, whet_i_bench_place *place);
/* folder/name, replaced. Errors: IO, NOMEM. */
WHET_CHECKED whet_status whet_i_bench_write(whet_ctx *ctx, const char *folder, const char *name,
                                            const whet_i_buf *text);

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
    double time;      /* >= 0 */
    double step;      /* > 0, made shorter to divide the time; at most 1e9 steps */
    uint64_t seed;
} whet_i_flow;

/* The two classes of the comparison, named as it names them; each needs a seed of its own. Time 4 is
 * one or two turnovers, 1 / rms of vorticity. What viscosity took is then seen in part by a linear
 * classifier of 100 flows on raw vorticity (right for 0.77 of 500 others; 0.49 at time 1, 0.66 at 3,
 * 0.88 at 5, 0.99 at 8, for the force drives a pattern whose size tells viscosity), and wholly by who
 * looks at waves shorter than an eighth: below 1e-7 of the mean square here, 7e-4 to 2e-3 there. The
 * flows of time 30, truly turbulent at 1e-5, it tells apart without an error. A step of 0.025 is a
 * third of what is stable; errors are below 2e-5 of the field. */
#define WHET_I_LAMINAR_FLOW \
    { .grid = 64, .viscosity = 1e-3, .time = 4, .step = 0.025 }
#define WHET_I_TURBULENT_FLOW \
    { .grid = 64, .viscosity = 1e-5, .time = 4, .step = 0.025 }

/* out [n, grid, grid]: vorticity at `time` of n flows that start from random fields, each its own stream
 * of the seed, whatever n. Two-dimensional, incompressible, on the unit torus, forced: pseudo-spectral,
 * 2/3 dealiasing, Crank-Nicolson for viscosity (Li et al. 2021, arXiv 2010.08895, appendix A.3.3), and in
 * place of Euler's steps Runge-Kutta's of order 3. `out` is of no use on failure.
 * Cost 3 n steps (20 grid^2 log2 grid); memory 40 grid^2 bytes a thread, or 3 MB. Progress stage "flows".
 * Errors: ARG, NUMERIC (a field that is not finite: steps too long), NOMEM, CANCELLED. */
WHET_CHECKED whet_status whet_i_navier_stokes(whet_ctx *ctx, const whet_i_flow *flow, int64_t n,
                                              float *out);

#endif
