/* SPDX-License-Identifier: Apache-2.0
 * The matrix of low rank that is nearest to a product B A: with A = Ua Sa Va and B = Ub Sb Vb, the singular
 * values of the small C = Sb Vb Ua Sa are those of B A, whose vectors are Ub U and V Va. The square roots
 * of the values go to both sides. Legend: R rank of the product, r of the result, m = min(R, in), n =
 * min(R, out). */
#include <math.h>

#include "tune/adapter_blocks.h"

typedef struct pieces {
    double *a, *ua, *sa, *va; /* copy [R, in]; [R, m], [m], [m, in] */
    double *b, *ub, *sb, *vb; /* copy [out, R]; [out, n], [n], [n, R] */
    double *c, *u, *s, *v;    /* [n, m]; [n, k], [k], [k, m], k = min(m, n) */
} pieces;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static whet_status alloc2(whet_ctx *ctx, int64_t rows, int64_t columns, double **out) {
    int64_t n;
    WHET_TRY(whet_i_mul(ctx, rows, columns, &n));
    return whet_i_alloc(ctx, n, out);
}

static whet_status make_pieces(whet_ctx *ctx, int64_t in, int64_t out, int64_t R, pieces *p) {
    const int64_t m = smaller(R, in), n = smaller(R, out), k = smaller(m, n);
    WHET_TRY(alloc2(ctx, R, in, &p->a));
    WHET_TRY(alloc2(ctx, R, m, &p->ua));
    WHET_TRY(alloc2(ctx, m, 1, &p->sa));
    WHET_TRY(alloc2(ctx, m, in, &p->va));
    WHET_TRY(alloc2(ctx, out, R, &p->b));
    WHET_TRY(alloc2(ctx, out, n, &p->ub));
    WHET_TRY(alloc2(ctx, n, 1, &p->sb));
    WHET_TRY(alloc2(ctx, n, R, &p->vb));
    WHET_TRY(alloc2(ctx, n, m, &p->c));
    WHET_TRY(alloc2(ctx, n, k, &p->u));
    WHET_TRY(alloc2(ctx, k, 1, &p->s));
    return alloc2(ctx, k, m, &p->v);
}

static void free_pieces(whet_ctx *ctx, pieces *p) {
    double *const all[] = {p->a,  p->ua, p->sa, p->va, p->b, p->ub,
                           p->sb, p->vb, p->c,  p->u,  p->s, p->v};
    for (int64_t i = 0; i < WHET_COUNT_OF(all); i++) whet_i_free(ctx, all[i]);
}

/* c = Sb Vb Ua Sa */
static whet_status make_core(whet_ctx *ctx, int64_t n, int64_t m, int64_t R, pieces *p) {
    WHET_TRY(whet_i_matmul_f64(ctx, false, false, n, m, R, p->vb, R, p->ua, m, 0, p->c, m));
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m; j++) p->c[i * m + j] *= p->sb[i] * p->sa[j];
    return WHET_OK;
}

whet_status whet_i_truncate_low_rank(whet_ctx *ctx, int64_t in, int64_t out, int64_t R,
                                     const double *a, const double *b, int64_t r, double *to_a,
                                     double *to_b, double *dropped) {
    const int64_t m = smaller(R, in), n = smaller(R, out), k = smaller(m, n), kept = smaller(r, k);
    pieces p = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(make_pieces(ctx, in, out, R, &p));
    memcpy(p.a, a, (size_t)(R * in) * sizeof *a);
    memcpy(p.b, b, (size_t)(R * out) * sizeof *b);
    WHET_TRY_DONE(whet_i_svd(ctx, R, in, p.a, p.sa, p.ua, p.va));
    WHET_TRY_DONE(whet_i_svd(ctx, out, R, p.b, p.sb, p.ub, p.vb));
    WHET_TRY_DONE(make_core(ctx, n, m, R, &p));
    WHET_TRY_DONE(whet_i_svd(ctx, n, m, p.c, p.s, p.u, p.v));
    memset(to_a, 0, (size_t)(r * in) * sizeof *to_a);
    memset(to_b, 0, (size_t)(r * out) * sizeof *to_b);
    WHET_TRY_DONE(whet_i_matmul_f64(ctx, false, false, kept, in, m, p.v, m, p.va, in, 0, to_a, in));
    WHET_TRY_DONE(whet_i_matmul_f64(ctx, false, false, out, kept, n, p.ub, n, p.u, k, 0, to_b, r));
    for (int64_t t = 0; t < kept; t++) {
        const double root = sqrt(p.s[t]);
        for (int64_t i = 0; i < in; i++) to_a[t * in + i] *= root;
        for (int64_t o = 0; o < out; o++) to_b[o * r + t] *= root;
    }
    *dropped = 0;
    for (int64_t t = kept; t < k; t++) *dropped += p.s[t] * p.s[t];
done:
    free_pieces(ctx, &p);
    return status;
}
