/* SPDX-License-Identifier: Apache-2.0
 * Leading eigenvectors of a large operator by a block Krylov space: Q holds an orthonormal basis of
 * span{B, C B, C^2 B, ...}, each new block is C times the last one, orthogonalised against the last two
 * and then against all of Q; the eigenvectors of T = Q^T C Q give those of C. As C is symmetric, C
 * times a block lies, to rounding, in what the blocks up to the next one span: the rest of T is zero,
 * and the first pass need not look at older blocks (Lanczos' recurrence; the second keeps Q
 * orthonormal). Blocks are made orthonormal by the
 * eigenvectors of their Gram matrix, which shows and drops directions that the space already holds
 * (SVQB, Stathopoulos & Wu 2002), so an exhausted space ends the search instead of breaking it.
 * Legend: n size of C, m columns of Q so far, BLOCK columns added at a time. */
#include <math.h>

#include "tensor/tensor_i.h"

enum { BLOCK = 32 };

typedef struct space {
    int64_t n, m, most; /* columns of q now, and room for */
    int64_t last;       /* first column of the newest block, */
    int64_t before;     /* and of the one before it */
    double *q, *cq;     /* [n, most]: the basis, and C times it */
    double *t;          /* [most, most]: Q^T C Q */
    double *block;      /* [n, BLOCK] */
    double *gram;       /* [most, BLOCK], also [BLOCK, BLOCK] */
    double *values;     /* [most] */
} space;

static void space_free(whet_ctx *ctx, space *s) {
    whet_i_free(ctx, s->q);
    whet_i_free(ctx, s->cq);
    whet_i_free(ctx, s->t);
    whet_i_free(ctx, s->block);
    whet_i_free(ctx, s->gram);
    whet_i_free(ctx, s->values);
}

static whet_status space_make(whet_ctx *ctx, int64_t n, int64_t most, space *s) {
    int64_t cells, square;
    WHET_TRY(whet_i_mul(ctx, n, most, &cells));
    WHET_TRY(whet_i_mul(ctx, most, most, &square));
    *s = (space){.n = n, .most = most};
    WHET_TRY(whet_i_alloc(ctx, cells, &s->q));
    WHET_TRY(whet_i_alloc(ctx, cells, &s->cq));
    WHET_TRY(whet_i_calloc(ctx, square, &s->t));
    WHET_TRY(whet_i_alloc(ctx, n * BLOCK, &s->block));
    WHET_TRY(whet_i_alloc(ctx, (most > BLOCK ? most : BLOCK) * BLOCK, &s->gram));
    return whet_i_alloc(ctx, most > BLOCK ? most : BLOCK, &s->values);
}

/* The block minus its part in the span of columns `first` and on of Q. */
static whet_status project_out(whet_ctx *ctx, space *s, int64_t width, int64_t first) {
    const int64_t m = s->m - first;
    const double *q = s->q + first;
    if (m == 0) return WHET_OK;
    WHET_TRY(whet_i_matmul_f64(ctx, true, false, m, width, s->n, q, s->most, s->block, BLOCK, 0,
                               s->gram, BLOCK));
    for (int64_t i = 0; i < m * BLOCK; i++) s->gram[i] = -s->gram[i];
    return whet_i_matmul_f64(ctx, false, false, s->n, width, m, q, s->most, s->gram, BLOCK, 1,
                             s->block, BLOCK);
}

/* Replaces the block by an orthonormal basis of its span; *width shrinks where directions are
 * below `floor` in length. */
static whet_status orthonormalise(whet_ctx *ctx, space *s, int64_t *width, double floor) {
    const int64_t w = *width;
    if (w == 0) return WHET_OK;
    double rotation[BLOCK * BLOCK], row[BLOCK];
    WHET_TRY(whet_i_matmul_f64(ctx, true, false, w, w, s->n, s->block, BLOCK, s->block, BLOCK, 0,
                               rotation, w));
    WHET_TRY(whet_i_eigh(ctx, w, rotation, s->values));
    int64_t kept = 0;
    /* Relative 1e-14: below it the Gram matrix's own rounding decides. */
    while (kept < w && s->values[kept] > floor * floor && s->values[kept] > 1e-14 * s->values[0])
        kept++;
    for (int64_t i = 0; i < s->n; i++) {
        double *b = s->block + i * BLOCK;
        for (int64_t j = 0; j < kept; j++) {
            double sum = 0;
            for (int64_t l = 0; l < w; l++) sum += rotation[j * w + l] * b[l];
            row[j] = sum / sqrt(s->values[j]);
        }
        memcpy(b, row, sizeof *b * (size_t)kept);
    }
    *width = kept;
    return WHET_OK;
}

/* Takes the block into Q, multiplies it by C, and fills the new rows and columns of T. */
static whet_status append(whet_ctx *ctx, space *s, int64_t width, whet_i_apply_fn apply, void *arg,
                          double *in, double *out) {
    for (int64_t i = 0; i < s->n; i++) {
        memcpy(s->q + i * s->most + s->m, s->block + i * BLOCK, sizeof(double) * (size_t)width);
        memcpy(in + i * width, s->block + i * BLOCK, sizeof(double) * (size_t)width);
    }
    WHET_TRY(apply(ctx, arg, width, in, out));
    for (int64_t i = 0; i < s->n; i++)
        memcpy(s->cq + i * s->most + s->m, out + i * width, sizeof(double) * (size_t)width);
    const int64_t first = s->m;
    s->before = s->last;
    s->last = first;
    s->m += width;
    WHET_TRY(whet_i_matmul_f64(ctx, true, false, s->m - s->before, width, s->n, s->q + s->before,
                               s->most, out, width, 0, s->gram, BLOCK));
    for (int64_t i = s->before; i < s->m; i++)
        for (int64_t j = 0; j < width; j++)
            s->t[i * s->most + first + j] = s->t[(first + j) * s->most + i] =
                s->gram[(i - s->before) * BLOCK + j];
    return WHET_OK;
}

/* Eigenvectors y_j of T; the residual of Q y_j is |C Q y - theta Q y|, the part of C Q's last block
 * outside Q: |(I - Q Q^T) C Q_last y_last|, bounded here through the Gram matrix of the next block
 * before it was made orthonormal, whose largest singular value is `beyond`. */
static whet_status ritz(whet_ctx *ctx, const space *s, double *y) {
    for (int64_t i = 0; i < s->m; i++)
        memcpy(y + i * s->m, s->t + i * s->most, sizeof *y * (size_t)s->m);
    return whet_i_eigh(ctx, s->m, y, s->values);
}

static double worst_residual(const space *s, const double *y, int64_t dim, double beyond) {
    double worst = 0;
    const int64_t kept = dim < s->m ? dim : s->m;
    for (int64_t j = 0; j < kept; j++) {
        double tail = 0;
        for (int64_t i = s->last; i < s->m; i++) tail += y[j * s->m + i] * y[j * s->m + i];
        worst = fmax(worst, beyond * sqrt(tail));
    }
    return worst;
}

static void random_block(space *s, uint64_t seed, int64_t width) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, 0x6b72796c6f76U);
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t j = 0; j < width; j++) s->block[i * BLOCK + j] = whet_i_rng_normal(&rng);
}

/* The next block: C times the newest, without what the last two hold. *beyond is its largest length. */
static whet_status next_block(whet_ctx *ctx, space *s, int64_t *width, double *beyond) {
    const int64_t newest = s->m - s->last;
    for (int64_t i = 0; i < s->n; i++)
        memcpy(s->block + i * BLOCK, s->cq + i * s->most + s->last,
               sizeof(double) * (size_t)newest);
    *width = newest;
    WHET_TRY(project_out(ctx, s, newest, s->before));
    WHET_TRY(orthonormalise(ctx, s, width, 0));
    *beyond = newest ? sqrt(fmax(0, s->values[0])) : 0;
    return WHET_OK;
}

static whet_status finish(whet_ctx *ctx, const space *s, const double *y, int64_t dim,
                          double *values, double *vectors, int64_t *found) {
    int64_t kept = 0;
    while (kept < dim && kept < s->m && s->values[kept] > 1e-13 * s->values[0]) kept++;
    WHET_TRY(whet_i_matmul_f64(ctx, false, true, s->n, kept, s->m, s->q, s->most, y, s->m, 0,
                               vectors, dim));
    for (int64_t j = 0; j < kept; j++) values[j] = s->values[j];
    *found = kept;
    return WHET_OK;
}

static whet_status search(whet_ctx *ctx, space *s, int64_t dim, double tolerance,
                          whet_i_apply_fn apply, void *arg, double *y, double *in, double *out) {
    int64_t width = s->most < BLOCK ? s->most : BLOCK, check_at = dim + dim / 2;
    double beyond = 0, largest = 0;
    WHET_TRY(orthonormalise(ctx, s, &width, 0));
    for (;;) {
        WHET_TRY(append(ctx, s, width, apply, arg, in, out));
        WHET_TRY(next_block(ctx, s, &width, &beyond));
        largest = fmax(largest, s->t[0]);
        /* What is left of the block is rounding: the space is invariant. */
        const bool over = width == 0 || s->m == s->most || beyond <= 1e-13 * largest;
        if (over || s->m >= check_at) {
            WHET_TRY(ritz(ctx, s, y));
            if (over || worst_residual(s, y, dim, beyond) <= tolerance * s->values[0])
                return WHET_OK;
            check_at = s->m + s->m / 4;
        }
        /* Once more against Q: after the division small parts in its span have grown. */
        WHET_TRY(project_out(ctx, s, width, 0));
        WHET_TRY(orthonormalise(ctx, s, &width, .1));
        if (width > s->most - s->m) width = s->most - s->m;
        if (width == 0) return ritz(ctx, s, y);
    }
}

whet_status whet_i_top_eigen(whet_ctx *ctx, int64_t n, int64_t dim, double tolerance,
                             int64_t max_basis, uint64_t seed, whet_i_apply_fn apply, void *arg,
                             double *values, double *vectors, int64_t *found) {
    if (n < 1 || dim < 1 || dim > n)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%lld eigenvectors of an operator of size %lld; "
                           "expected 1 to its size",
                           (long long)dim, (long long)n);
    int64_t most = max_basis ? max_basis : 8 * dim + 4 * BLOCK;
    if (most < dim) most = dim;
    if (most > n) most = n;
    whet_status status = WHET_OK;
    space s = {0};
    double *y = NULL, *in = NULL, *out = NULL;
    int64_t square;
    WHET_TRY_DONE(whet_i_mul(ctx, most, most, &square));
    WHET_TRY_DONE(space_make(ctx, n, most, &s));
    WHET_TRY_DONE(whet_i_alloc(ctx, square, &y));
    WHET_TRY_DONE(whet_i_alloc(ctx, n * BLOCK, &in));
    WHET_TRY_DONE(whet_i_alloc(ctx, n * BLOCK, &out));
    random_block(&s, seed, most < BLOCK ? most : BLOCK);
    WHET_TRY_DONE(search(ctx, &s, dim, tolerance, apply, arg, y, in, out));
    WHET_TRY_DONE(finish(ctx, &s, y, dim, values, vectors, found));
done:
    space_free(ctx, &s);
    whet_i_free(ctx, y);
    whet_i_free(ctx, in);
    whet_i_free(ctx, out);
    return status;
}
