/* SPDX-License-Identifier: Apache-2.0
 * Systems of a graph with losses, (diag(sum_j w_ij + loss_i) - W) X = R with w, loss, R >= 0, solved without
 * a subtraction: a pivot is the sum of what still leaves the row, not a diagonal less what was eliminated.
 * Every number of X then has about n roundings of relative error, whatever the weights are; Cholesky's has
 * the condition number's worth, which here is the ratio of the weights (1e100 and more).
 * Rows in panels: a panel's rows are eliminated from one another, then from all others by products.
 * Source: Grassmann, Taksar & Heyman 1985, Operations Research 33(5); O'Cinneide 1993, Numerische Mathematik
 * 65 (the error). Legend: n rows, m right sides; the last of a row's m + 1 numbers is its loss. */
#include "label/label_i.h"
#include "tensor/tensor_i.h"

enum { PANEL = 64, BLOCK = 256 };

typedef struct reduction {
    int64_t n, m, at, end; /* the panel is rows at .. end - 1 */
    double *w;             /* [n, n]; what is above the diagonal is used */
    double *side;          /* [n, m + 1] */
    double *pivot;         /* [n] */
    double *share;         /* [PANEL, n] the panel's rows by their pivots */
    double *shared;        /* [PANEL, m + 1] */
} reduction;

static void take_panel(reduction *r, int64_t p) {
    r->at = p * PANEL;
    r->end = r->at + PANEL < r->n ? r->at + PANEL : r->n;
}

/* Row i takes what row k passes on: its weight to k, times the shares of k's other ways out. */
static void pass_on(const reduction *r, int64_t k, int64_t i) {
    const double weight = r->w[k * r->n + i];
    const double *share = r->share + (k - r->at) * r->n,
                 *shared = r->shared + (k - r->at) * (r->m + 1);
    double *row = r->w + i * r->n, *side = r->side + i * (r->m + 1);
    for (int64_t j = i + 1; j < r->n; j++) row[j] += weight * share[j];
    for (int64_t c = 0; c <= r->m; c++) side[c] += weight * shared[c];
}

static void reduce_panel(const reduction *r, int64_t sink) {
    const int64_t wide = r->m + 1;
    for (int64_t k = r->at; k < r->end; k++) {
        const double *row = r->w + k * r->n;
        double *side = r->side + k * wide, *share = r->share + (k - r->at) * r->n,
               leaves = side[r->m];
        for (int64_t j = k + 1; j < r->n; j++) leaves += row[j];
        if (!(leaves > 0)) { /* the last row of a part that loses nothing: a way out of its own */
            leaves = side[r->m] = 1;
            if (sink >= 0) side[sink] = 1;
        }
        r->pivot[k] = leaves;
        for (int64_t j = k + 1; j < r->n; j++) share[j] = row[j] / leaves;
        for (int64_t c = 0; c < wide; c++) r->shared[(k - r->at) * wide + c] = side[c] / leaves;
        for (int64_t i = k + 1; i < r->end; i++) pass_on(r, k, i);
    }
}

/* A block of the rows below the panel, of them what is right of the block's first column. */
static void reduce_block(void *arg, int64_t b, int32_t worker) {
    const reduction *r = arg;
    const int64_t first = r->end + b * BLOCK, last = first + BLOCK < r->n ? first + BLOCK : r->n;
    const double *panel = r->w + r->at * r->n + first;
    (void)worker;
    whet_i_matmul_f64_serial(true, false, last - first, r->n - first, r->end - r->at, panel, r->n,
                             r->share + first, r->n, 1, r->w + first * r->n + first, r->n);
    whet_i_matmul_f64_serial(true, false, last - first, r->m + 1, r->end - r->at, panel, r->n,
                             r->shared, r->m + 1, 1, r->side + first * (r->m + 1), r->m + 1);
}

/* The panel's rows from the last: X_k = (R_k + sum over later rows w_kj X_j) / pivot_k. */
static whet_status put_back(whet_ctx *ctx, const reduction *r, double *x) {
    const int64_t later = r->n - r->end;
    for (int64_t k = r->at; k < r->end; k++)
        memcpy(x + k * r->m, r->side + k * (r->m + 1), (size_t)r->m * sizeof *x);
    WHET_TRY(whet_i_matmul_f64(ctx, false, false, r->end - r->at, r->m, later,
                               r->w + r->at * r->n + r->end, r->n, x + r->end * r->m, r->m, 1,
                               x + r->at * r->m, r->m));
    for (int64_t k = r->end - 1; k >= r->at; k--) {
        double *out = x + k * r->m;
        for (int64_t j = k + 1; j < r->end; j++)
            for (int64_t c = 0; c < r->m; c++) out[c] += r->w[k * r->n + j] * x[j * r->m + c];
        for (int64_t c = 0; c < r->m; c++) out[c] /= r->pivot[k];
    }
    return WHET_OK;
}

whet_status whet_i_reduce_states(whet_ctx *ctx, int64_t n, double *w, const double *loss, int64_t m,
                                 int64_t sink, double *x) {
    reduction r = {.n = n, .m = m, .w = w};
    whet_status status = WHET_OK;
    const int64_t panels = (n + PANEL - 1) / PANEL;
    int64_t sides, shares;
    WHET_TRY(whet_i_mul(ctx, n, m + 1, &sides));
    WHET_TRY(whet_i_mul(ctx, n, PANEL, &shares));
    WHET_TRY(whet_i_blas_need_room(ctx, whet_ctx_threads(ctx)));
    WHET_TRY_DONE(whet_i_alloc(ctx, sides, &r.side));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &r.pivot));
    WHET_TRY_DONE(whet_i_alloc(ctx, shares, &r.share));
    WHET_TRY_DONE(whet_i_alloc(ctx, PANEL * (m + 1), &r.shared));
    for (int64_t i = 0; i < n; i++) {
        memcpy(r.side + i * (m + 1), x + i * m, (size_t)m * sizeof *x);
        r.side[i * (m + 1) + m] = loss[i];
    }
    for (int64_t p = 0; p < panels; p++) {
        take_panel(&r, p);
        reduce_panel(&r, sink);
        WHET_TRY_DONE(
            whet_i_parallel_for(ctx, NULL, (n - r.end + BLOCK - 1) / BLOCK, reduce_block, &r));
    }
    for (int64_t p = panels - 1; p >= 0; p--) {
        take_panel(&r, p);
        WHET_TRY_DONE(put_back(ctx, &r, x));
    }
done:
    whet_i_free(ctx, r.side);
    whet_i_free(ctx, r.pivot);
    whet_i_free(ctx, r.share);
    whet_i_free(ctx, r.shared);
    return status;
}
