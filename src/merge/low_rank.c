/* SPDX-License-Identifier: Apache-2.0
 * Sums of low-rank matrices and of Monarch matrices. Averaging the factors apart is no sum: the mean of B
 * and the mean of A multiply into terms that no adapter has. */
#include <math.h>

#include "merge/low_rank.h"
#include "tensor/tensor_i.h"

void whet_i_low_rank_concat(const whet_i_low_rank *terms, int64_t n, int64_t out, int64_t in,
                            int64_t rank, double *a, double *b) {
    memset(a, 0, (size_t)(rank * in) * sizeof *a);
    memset(b, 0, (size_t)(out * rank) * sizeof *b);
    for (int64_t t = 0, first = 0; t < n; first += terms[t++].rank) {
        const whet_i_low_rank *term = &terms[t];
        memcpy(a + first * in, term->a, (size_t)(term->rank * in) * sizeof *a);
        for (int64_t o = 0; o < out; o++)
            for (int64_t r = 0; r < term->rank; r++)
                b[o * rank + first + r] = term->factor * term->b[o * term->rank + r];
    }
}

/* Room for the steps of a truncation: B = ub sb vb, A = ua sa va, core = sb vb ua sa = u s v. */
typedef struct truncation {
    double *a, *b;            /* [r, in], [out, r] */
    double *ub, *sb, *vb;     /* [out, kb], [kb], [kb, r] */
    double *ua, *sa, *va;     /* [r, ka], [ka], [ka, in] */
    double *core, *u, *s, *v; /* [kb, ka], [kb, k], [k], [k, ka] */
} truncation;

static whet_status make_room(whet_ctx *ctx, truncation *t, int64_t out, int64_t in, int64_t r) {
    const int64_t kb = out < r ? out : r, ka = in < r ? in : r, k = kb < ka ? kb : ka;
    WHET_TRY(whet_i_alloc(ctx, r * in, &t->a));
    WHET_TRY(whet_i_alloc(ctx, out * r, &t->b));
    WHET_TRY(whet_i_alloc(ctx, out * kb, &t->ub));
    WHET_TRY(whet_i_alloc(ctx, kb, &t->sb));
    WHET_TRY(whet_i_alloc(ctx, kb * r, &t->vb));
    WHET_TRY(whet_i_alloc(ctx, r * ka, &t->ua));
    WHET_TRY(whet_i_alloc(ctx, ka, &t->sa));
    WHET_TRY(whet_i_alloc(ctx, ka * in, &t->va));
    WHET_TRY(whet_i_alloc(ctx, kb * ka, &t->core));
    WHET_TRY(whet_i_alloc(ctx, kb * k, &t->u));
    WHET_TRY(whet_i_alloc(ctx, k, &t->s));
    return whet_i_alloc(ctx, k * ka, &t->v);
}

static void free_room(whet_ctx *ctx, truncation *t) {
    double *const all[] = {t->a,  t->b,  t->ub,   t->sb, t->vb, t->ua,
                           t->sa, t->va, t->core, t->u,  t->s,  t->v};
    for (int64_t i = 0; i < WHET_COUNT_OF(all); i++) whet_i_free(ctx, all[i]);
}

whet_status whet_i_low_rank_truncate(whet_ctx *ctx, const whet_i_low_rank *terms, int64_t n,
                                     int64_t out, int64_t in, int64_t rank, double *a, double *b,
                                     double *lost) {
    truncation t = {0};
    int64_t r = 0;
    for (int64_t i = 0; i < n; i++) r += terms[i].rank;
    const int64_t kb = out < r ? out : r, ka = in < r ? in : r, k = kb < ka ? kb : ka;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(make_room(ctx, &t, out, in, r));
    whet_i_low_rank_concat(terms, n, out, in, r, t.a, t.b);
    WHET_TRY_DONE(whet_i_svd(ctx, out, r, t.b, t.sb, t.ub, t.vb));
    WHET_TRY_DONE(whet_i_svd(ctx, r, in, t.a, t.sa, t.ua, t.va));
    WHET_TRY_DONE(
        whet_i_matmul_f64(ctx, false, false, kb, ka, r, t.vb, r, t.ua, ka, 0, t.core, ka));
    for (int64_t i = 0; i < kb; i++)
        for (int64_t j = 0; j < ka; j++) t.core[i * ka + j] *= t.sb[i] * t.sa[j];
    WHET_TRY_DONE(whet_i_svd(ctx, kb, ka, t.core, t.s, t.u, t.v));
    const int64_t kept = rank < k ? rank : k;
    double all = 0, cut = 0;
    for (int64_t j = 0; j < k; j++) {
        const double root = j < kept ? sqrt(t.s[j]) : 0;
        all += t.s[j] * t.s[j];
        if (j >= kept) cut += t.s[j] * t.s[j];
        for (int64_t i = 0; i < kb; i++) t.u[i * k + j] *= root;
        for (int64_t i = 0; i < ka; i++) t.v[j * ka + i] *= root;
    }
    memset(a, 0, (size_t)(rank * in) * sizeof *a);
    memset(b, 0, (size_t)(out * rank) * sizeof *b);
    WHET_TRY_DONE(
        whet_i_matmul_f64(ctx, false, false, out, kept, kb, t.ub, kb, t.u, k, 0, b, rank));
    WHET_TRY_DONE(whet_i_matmul_f64(ctx, false, false, kept, in, ka, t.v, ka, t.va, in, 0, a, in));
    *lost = all > 0 ? sqrt(cut / all) : 0;
done:
    free_room(ctx, &t);
    return status;
}

/* In block k of the sum the rows of w1 stand side by side, so number k r + a of a term is number
 * k R + first + a of the sum; as N divides r and first, both are of output block a mod N, at places
 * k r / N + a / N and k R / N + first / N + a / N. */
void whet_i_monarch_terms_concat(const whet_i_monarch_term *terms, int64_t n, int64_t blocks,
                                 int64_t p, int64_t q, float *w1, float *w2) {
    int64_t sum = 0;
    for (int64_t t = 0; t < n; t++) sum += terms[t].r;
    for (int64_t t = 0, first = 0; t < n; first += terms[t++].r) {
        const whet_i_monarch_term *m = &terms[t];
        const int64_t step = m->r / blocks; /* places a term's block has */
        for (int64_t k = 0; k < blocks; k++)
            memcpy(w1 + (k * sum + first) * p, m->w1 + k * m->r * p,
                   (size_t)(m->r * p) * sizeof *w1);
        for (int64_t row = 0; row < blocks * q; row++)
            for (int64_t c = 0; c < m->r; c++) {
                const int64_t k = c / step;
                const int64_t to = k * sum / blocks + first / blocks + c % step;
                w2[row * sum + to] = (float)(m->factor * (double)m->w2[row * m->r + c]);
            }
    }
}
