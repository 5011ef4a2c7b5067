/* SPDX-License-Identifier: Apache-2.0
 * Harmonic functions, and local and global consistency, on the graph in which every row is a neighbour of
 * every other, by exp(-gamma |x_i - x_j|^2): exactly, by one elimination that loses nothing however far
 * weights are apart (state_reduction.c). Published iterations stop far from the answer where weights differ
 * by orders of magnitude.
 * Harmonic: (D - W)_uu F_u = W_ul Y_l. Consistency, F = D^1/2 G: (D - alpha W) G = D^1/2 Y.
 * Source: Zhu, Ghahramani & Lafferty 2003; Zhou et al. 2004.
 * Legend: n rows, d features, k classes, u rows without a label. */
#include <math.h>

#include "label/label_i.h"

typedef struct dense {
    const float *x;
    int64_t n, d;
    double gamma;
    const int64_t *rows; /* [u] whose weights to each other are `w`; NULL: all */
    int64_t u;
    const int32_t *y; /* [n]; weights to rows with a label go to `side` */
    int64_t k;
    double *w;    /* [u, u], zero on the diagonal */
    double *side; /* [u, k + 1]; NULL: none */
    double *sum;  /* [u] of the row of `w`, or of `side` when there is one */
} dense;

static double weight_of(const dense *g, int64_t i, int64_t j) {
    const float *a = g->x + i * g->d, *b = g->x + j * g->d;
    double square = 0;
    for (int64_t c = 0; c < g->d; c++) {
        const double off = (double)a[c] - (double)b[c];
        square += off * off;
    }
    return exp(-g->gamma * square);
}

static void weigh_row(void *arg, int64_t at, int32_t worker) {
    const dense *g = arg;
    const int64_t i = g->rows ? g->rows[at] : at;
    (void)worker;
    g->sum[at] = 0;
    for (int64_t to = 0; to < g->u; to++) {
        const double weight = to == at ? 0 : weight_of(g, i, g->rows ? g->rows[to] : to);
        g->w[at * g->u + to] = weight;
        if (!g->side) g->sum[at] += weight;
    }
    for (int64_t j = 0; g->side && j < g->n; j++) {
        if (g->y[j] < 0) continue;
        const double weight = weight_of(g, i, j);
        g->side[at * (g->k + 1) + g->y[j]] += weight;
        g->sum[at] += weight;
    }
}

static whet_status weigh(whet_ctx *ctx, dense *g) {
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, g->u, g->u, &cells));
    WHET_TRY(whet_i_check_room(ctx, "weights between all rows", 8 * (double)cells,
                               "the graph of nearest neighbours"));
    WHET_TRY(whet_i_alloc(ctx, cells, &g->w));
    WHET_TRY(whet_i_alloc(ctx, g->u, &g->sum));
    return whet_i_parallel_for(ctx, "weighing rows", g->u, weigh_row, g);
}

static void release(whet_ctx *ctx, dense *g) {
    whet_i_free(ctx, g->w);
    whet_i_free(ctx, g->side);
    whet_i_free(ctx, g->sum);
}

/* Rows from which no weight that a double holds leads to a label end in column k of `side`: they get the
 * shares of the classes among the labels. */
static int64_t harmonic_rows(const dense *g, double *f) {
    const int64_t k = g->k;
    int64_t labels = 0, unreached = 0;
    for (int64_t i = 0; i < g->n; i++) labels += g->y[i] >= 0 ? 1 : 0;
    memset(f, 0, (size_t)(g->n * k) * sizeof *f);
    for (int64_t i = 0; i < g->n; i++)
        if (g->y[i] >= 0) f[i * k + g->y[i]] = 1;
    for (int64_t at = 0; at < g->u; at++) {
        const double *side = g->side + at * (k + 1);
        double *row = f + g->rows[at] * k;
        for (int64_t c = 0; c < k; c++) row[c] = side[c];
        unreached += side[k] > .5 ? 1 : 0;
        for (int64_t j = 0; side[k] > 0 && j < g->n; j++)
            if (g->y[j] >= 0) row[g->y[j]] += side[k] / (double)labels;
    }
    return unreached;
}

whet_status whet_i_dense_harmonic(whet_ctx *ctx, const float *x, int64_t n, int64_t d, double gamma,
                                  const int32_t *y, int64_t k, double *f, int64_t *unreached) {
    dense g = {.x = x, .n = n, .d = d, .gamma = gamma, .y = y, .k = k};
    whet_status status = WHET_OK;
    int64_t *rows = NULL, sides;
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &rows));
    for (int64_t i = 0; i < n; i++)
        if (y[i] < 0) rows[g.u++] = i;
    g.rows = rows;
    WHET_TRY_DONE(whet_i_mul(ctx, g.u, k + 1, &sides));
    WHET_TRY_DONE(whet_i_calloc(ctx, sides, &g.side));
    WHET_TRY_DONE(weigh(ctx, &g));
    WHET_TRY_DONE(whet_i_reduce_states(ctx, g.u, g.w, g.sum, k + 1, k, g.side));
    *unreached = harmonic_rows(&g, f);
done:
    whet_i_free(ctx, rows);
    release(ctx, &g);
    return status;
}

whet_status whet_i_dense_green(whet_ctx *ctx, const float *x, int64_t n, int64_t d, double gamma,
                               double alpha, const int64_t *rows, int64_t b, double *green) {
    whet_status status = WHET_OK;
    dense g = {.x = x, .n = n, .d = d, .gamma = gamma, .u = n};
    double *root = NULL;
    WHET_TRY_DONE(weigh(ctx, &g));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &root));
    for (int64_t i = 0; i < n; i++) {
        root[i] = sqrt(g.sum[i]);
        g.sum[i] *= 1 - alpha; /* what a row of D - alpha W sums up to */
        for (int64_t j = 0; j < n; j++) g.w[i * n + j] *= alpha;
    }
    memset(green, 0, (size_t)(n * b) * sizeof *green);
    for (int64_t l = 0; l < b; l++) green[rows[l] * b + l] = root[rows[l]];
    WHET_TRY_DONE(whet_i_reduce_states(ctx, n, g.w, g.sum, b, -1, green));
    for (int64_t i = 0; i < n; i++)
        for (int64_t l = 0; l < b; l++) /* a row without neighbours keeps what is its own */
            green[i * b + l] = root[i] > 0 ? green[i * b + l] * root[i] : rows[l] == i ? 1 : 0;
done:
    whet_i_free(ctx, root);
    release(ctx, &g);
    return status;
}
