/* SPDX-License-Identifier: Apache-2.0
 * Harmonic functions, and local and global consistency, on the graph in which every row is a neighbour of
 * every other, by exp(-gamma |x_i - x_j|^2): exactly, by one Cholesky factorisation. Published iterations
 * stop far from the answer where weights differ by orders of magnitude.
 * Both are systems in N = D^-1/2 W D^-1/2, whose rows have one scale whatever gamma is: harmonic
 * (I - N_uu) D^1/2 F_u = D^-1/2 W_ul Y_l, consistency (I - alpha N) F = Y.
 * Source: Zhu, Ghahramani & Lafferty 2003; Zhou et al. 2004. Legend: n rows, d features, k classes. */
#include <math.h>

#include "label/label_i.h"
#include "tensor/tensor_i.h"

typedef struct dense {
    const float *x;
    int64_t n, d;
    double gamma;
    double *w;      /* [n, n], zero on the diagonal; then N */
    double *degree; /* [n] */
} dense;

static void weigh_row(void *arg, int64_t i, int32_t worker) {
    const dense *g = arg;
    const float *a = g->x + i * g->d;
    (void)worker;
    g->degree[i] = 0;
    for (int64_t j = 0; j < g->n; j++) {
        const float *b = g->x + j * g->d;
        double square = 0;
        for (int64_t c = 0; c < g->d; c++) {
            const double off = (double)a[c] - (double)b[c];
            square += off * off;
        }
        g->w[i * g->n + j] = i == j ? 0 : exp(-g->gamma * square);
        g->degree[i] += g->w[i * g->n + j];
    }
}

static void normalise_row(void *arg, int64_t i, int32_t worker) {
    const dense *g = arg;
    (void)worker;
    for (int64_t j = 0; j < g->n; j++) g->w[i * g->n + j] /= sqrt(g->degree[i] * g->degree[j]);
}

static whet_status build(whet_ctx *ctx, dense *g) {
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, g->n, g->n, &cells));
    WHET_TRY(whet_i_check_room(ctx, "weights between all rows", 16 * (double)cells,
                               "the graph of nearest neighbours"));
    WHET_TRY(whet_i_alloc(ctx, cells, &g->w));
    WHET_TRY(whet_i_alloc(ctx, g->n, &g->degree));
    WHET_TRY(whet_i_parallel_for(ctx, "weighing rows", g->n, weigh_row, g));
    for (int64_t i = 0; i < g->n; i++)
        if (!(g->degree[i] > 1e-290)) /* products of two must not vanish */
            return whet_i_fail(ctx, WHET_ERR_NUMERIC,
                               "row %lld is so far from all others that its weights vanish at "
                               "gamma %g; expected neighbours; try a smaller gamma",
                               (long long)i, g->gamma);
    return whet_i_parallel_for(ctx, NULL, g->n, normalise_row, g);
}

/* A = I - factor N on the rows of `free` [u]. */
static void system_of(const dense *g, const int64_t *rows, int64_t u, double factor, double *a) {
    for (int64_t i = 0; i < u; i++)
        for (int64_t j = 0; j < u; j++)
            a[i * u + j] = (i == j ? 1 : 0) - factor * g->w[rows[i] * g->n + rows[j]];
}

static whet_status solve_harmonic(whet_ctx *ctx, const dense *g, const int32_t *y, int64_t k,
                                  double *f) {
    whet_status status = WHET_OK;
    int64_t *rows = NULL, u = 0, cells, sides;
    double *a = NULL, *side = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, g->n, &rows));
    for (int64_t i = 0; i < g->n; i++)
        if (y[i] < 0) rows[u++] = i;
    WHET_TRY_DONE(whet_i_mul(ctx, u, u, &cells));
    WHET_TRY_DONE(whet_i_mul(ctx, u, k, &sides));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &a));
    WHET_TRY_DONE(whet_i_calloc(ctx, sides, &side));
    system_of(g, rows, u, 1, a);
    for (int64_t i = 0; i < u; i++)
        for (int64_t j = 0; j < g->n; j++)
            if (y[j] >= 0) side[i * k + y[j]] += g->w[rows[i] * g->n + j] * sqrt(g->degree[j]);
    if (u > 0) WHET_TRY_DONE(whet_i_cholesky_solve(ctx, u, a, k, side));
    memset(f, 0, (size_t)(g->n * k) * sizeof *f);
    for (int64_t i = 0; i < g->n; i++)
        if (y[i] >= 0) f[i * k + y[i]] = 1;
    for (int64_t i = 0; i < u; i++)
        for (int64_t c = 0; c < k; c++)
            f[rows[i] * k + c] = side[i * k + c] / sqrt(g->degree[rows[i]]);
done:
    whet_i_free(ctx, rows);
    whet_i_free(ctx, a);
    whet_i_free(ctx, side);
    return status;
}

whet_status whet_i_dense_harmonic(whet_ctx *ctx, const float *x, int64_t n, int64_t d, double gamma,
                                  const int32_t *y, int64_t k, double *f) {
    dense g = {.x = x, .n = n, .d = d, .gamma = gamma};
    whet_status status = n > 1 ? build(ctx, &g) : WHET_OK;
    if (status == WHET_OK) status = solve_harmonic(ctx, &g, y, k, f);
    whet_i_free(ctx, g.w);
    whet_i_free(ctx, g.degree);
    return status;
}

whet_status whet_i_dense_green(whet_ctx *ctx, const float *x, int64_t n, int64_t d, double gamma,
                               double alpha, const int64_t *rows, int64_t b, double *green) {
    whet_status status = WHET_OK;
    dense g = {.x = x, .n = n, .d = d, .gamma = gamma};
    memset(green, 0, (size_t)(n * b) * sizeof *green);
    for (int64_t l = 0; l < b; l++) green[rows[l] * b + l] = 1;
    if (n < 2) return WHET_OK;
    WHET_TRY_DONE(build(ctx, &g));
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) g.w[i * n + j] = (i == j ? 1 : 0) - alpha * g.w[i * n + j];
    WHET_TRY_DONE(whet_i_cholesky_solve(ctx, n, g.w, b, green));
done:
    whet_i_free(ctx, g.w);
    whet_i_free(ctx, g.degree);
    return status;
}
