/* SPDX-License-Identifier: Apache-2.0
 * The factors of MoRe's shape that are nearest to a matrix; adapter_blocks.h has the method. Block (l, k)
 * is of rows s N + l and columns k p + i; its products are those (a, c) with k r + a = c N + l, a < r. */
#include <math.h>

#include "tune/adapter_blocks.h"

void whet_i_factors_row(const whet_i_adapter_shape *s, double scale, const double *w1,
                        const double *w2, int64_t row, double *sum) {
    const int64_t l = row % s->blocks, at = row / s->blocks;
    for (int64_t c = 0; c < s->rank && at < s->q; c++) {
        const int64_t z = c * s->blocks + l, first = z / s->rank * s->p;
        const int64_t n = s->in - first < s->p ? s->in - first : s->p;
        const double factor = scale * w2[(l * s->q + at) * s->rank + c];
        for (int64_t i = 0; i < n; i++) sum[first + i] += factor * w1[z * s->p + i];
    }
}

whet_status whet_i_layer_matrix(whet_ctx *ctx, const whet_i_adapter_layer *layer, double **out) {
    const whet_i_adapter_shape *s = &layer->shape;
    double *w1 = NULL, *w2 = NULL, *m = NULL;
    int64_t n;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_mul(ctx, s->in, s->out, &n));
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &m));
    WHET_TRY_DONE(whet_i_adapter_factors(ctx, layer, &w1, &w2));
    for (int64_t row = 0; row < s->out; row++)
        whet_i_factors_row(s, layer->scale, w1, w2, row, m + row * s->in);
    *out = m;
    m = NULL;
done:
    whet_i_free(ctx, m);
    whet_i_free(ctx, w1);
    whet_i_free(ctx, w2);
    return status;
}

/* ---- blocks in parallel ----------------------------------------------------------------------- */

/* One thread's: the block, its singular vectors, LAPACK's room. */
typedef struct space {
    double *block, *u, *v, *room;
    bool failed;
} space;

typedef struct work {
    const whet_i_adapter_shape *shape;
    const double *d;
    double *w1, *w2; /* NULL: values alone */
    double *values;  /* [N, N, min(p, q)] */
    double *dropped; /* [N, N] */
    space *spaces;   /* one a worker */
    int64_t room;
} work;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static void take_block(const whet_i_adapter_shape *s, const double *d, int64_t l, int64_t k,
                       double *block) {
    const int64_t n = smaller(s->p, s->in - k * s->p);
    memset(block, 0, (size_t)(s->q * s->p) * sizeof *block);
    for (int64_t j = 0; j < s->q && j * s->blocks + l < s->out; j++)
        memcpy(block + j * s->p, d + (j * s->blocks + l) * s->in + k * s->p,
               (size_t)n * sizeof *block);
}

/* The largest singular values into the products that the block has; the square of the rest is dropped. */
static double put_block(const work *w, const space *sp, const double *values, int64_t l,
                        int64_t k) {
    const whet_i_adapter_shape *s = w->shape;
    const int64_t N = s->blocks, r = s->rank, most = smaller(s->p, s->q);
    int64_t t = 0;
    double dropped = 0;
    for (int64_t a = (l + N - k * r % N) % N; a < r; a += N, t++) {
        const int64_t c = (k * r + a) / N;
        const double root = t < most ? sqrt(values[t]) : 0;
        for (int64_t i = 0; i < s->p && t < most; i++)
            w->w1[(k * r + a) * s->p + i] = root * sp->v[t * s->p + i];
        for (int64_t j = 0; j < s->q && t < most; j++)
            w->w2[(l * s->q + j) * r + c] = root * sp->u[j * most + t];
    }
    for (; t < most; t++) dropped += values[t] * values[t];
    return dropped;
}

static void do_block(void *arg, int64_t item, int32_t worker) {
    const work *w = arg;
    const whet_i_adapter_shape *s = w->shape;
    space *sp = &w->spaces[worker];
    const int64_t l = item / s->blocks, k = item % s->blocks;
    double *values = w->values + item * smaller(s->p, s->q);
    take_block(s, w->d, l, k, sp->block);
    if (!whet_i_svd_serial(s->q, s->p, sp->block, values, w->w1 ? sp->u : NULL,
                           w->w1 ? sp->v : NULL, sp->room, w->room))
        sp->failed = true;
    else if (w->w1)
        w->dropped[item] = put_block(w, sp, values, l, k);
}

static whet_status make_spaces(whet_ctx *ctx, work *w, int64_t workers) {
    const whet_i_adapter_shape *s = w->shape;
    const int64_t most = smaller(s->p, s->q);
    int64_t block, left = 0, right = 0;
    WHET_TRY(whet_i_calloc(ctx, workers, &w->spaces));
    WHET_TRY(whet_i_mul(ctx, s->q, s->p, &block));
    if (w->w1) {
        WHET_TRY(whet_i_mul(ctx, s->q, most, &left));
        WHET_TRY(whet_i_mul(ctx, s->p, most, &right));
    }
    w->room = whet_i_svd_room(s->q, s->p, w->w1 != NULL);
    for (int64_t i = 0; i < workers; i++) {
        WHET_TRY(whet_i_alloc(ctx, block, &w->spaces[i].block));
        WHET_TRY(whet_i_alloc(ctx, left, &w->spaces[i].u));
        WHET_TRY(whet_i_alloc(ctx, right, &w->spaces[i].v));
        WHET_TRY(whet_i_alloc(ctx, w->room, &w->spaces[i].room));
    }
    return WHET_OK;
}

static void free_work(whet_ctx *ctx, work *w, int64_t workers) {
    for (int64_t i = 0; w->spaces && i < workers; i++) {
        whet_i_free(ctx, w->spaces[i].block);
        whet_i_free(ctx, w->spaces[i].u);
        whet_i_free(ctx, w->spaces[i].v);
        whet_i_free(ctx, w->spaces[i].room);
    }
    whet_i_free(ctx, w->spaces);
    whet_i_free(ctx, w->values);
    whet_i_free(ctx, w->dropped);
}

/* A single block is done by the calling thread, so that there is one space. */
static whet_status run_blocks(whet_ctx *ctx, work *w, int64_t *workers) {
    enum { SIDE_MAX = 46340 }; /* squares must fit in LAPACK's integers */
    const whet_i_adapter_shape *s = w->shape;
    const int64_t blocks = s->blocks * s->blocks;
    int64_t values;
    bool failed = false;
    *workers = blocks == 1 ? 1 : whet_ctx_threads(ctx);
    if (s->p > SIDE_MAX || s->q > SIDE_MAX)
        return whet_i_fail(ctx, WHET_ERR_LIMIT,
                           "blocks of [%lld, %lld]; expected at most %d on a side; try more blocks",
                           (long long)s->q, (long long)s->p, SIDE_MAX);
    WHET_TRY(whet_i_mul(ctx, blocks, smaller(s->p, s->q), &values));
    WHET_TRY(whet_i_alloc(ctx, values, &w->values));
    WHET_TRY(whet_i_calloc(ctx, blocks, &w->dropped));
    WHET_TRY(make_spaces(ctx, w, *workers));
    WHET_TRY(whet_i_blas_need_room(ctx, *workers));
    if (blocks == 1)
        do_block(w, 0, 0);
    else
        WHET_TRY(whet_i_parallel_for(ctx, NULL, blocks, do_block, w));
    for (int64_t i = 0; i < *workers; i++) failed = failed || w->spaces[i].failed;
    if (!failed) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_NUMERIC,
                       "singular values of a [%lld, %lld] block were not found; expected finite "
                       "numbers",
                       (long long)s->q, (long long)s->p);
}

whet_status whet_i_project_blocks(whet_ctx *ctx, const whet_i_adapter_shape *shape, const double *d,
                                  double *w1, double *w2, double *dropped) {
    const whet_i_adapter_shape *s = shape;
    work w = {.shape = shape, .d = d, .w1 = w1, .w2 = w2};
    int64_t workers = 0;
    memset(w1, 0, (size_t)(s->blocks * s->rank * s->p) * sizeof *w1);
    memset(w2, 0, (size_t)(s->blocks * s->rank * s->q) * sizeof *w2);
    const whet_status status = run_blocks(ctx, &w, &workers);
    *dropped = 0;
    for (int64_t i = 0; status == WHET_OK && i < s->blocks * s->blocks; i++)
        *dropped += w.dropped[i];
    free_work(ctx, &w, workers);
    return status;
}

whet_status whet_i_block_gains(whet_ctx *ctx, const whet_i_adapter_shape *shape, const double *d,
                               double *gains) {
    const int64_t most = smaller(shape->p, shape->q);
    work w = {.shape = shape, .d = d};
    int64_t workers = 0;
    const whet_status status = run_blocks(ctx, &w, &workers);
    for (int64_t t = 0; t < most; t++) gains[t] = 0;
    for (int64_t i = 0; status == WHET_OK && i < shape->blocks * shape->blocks; i++)
        for (int64_t t = 0; t < most; t++)
            gains[t] += w.values[i * most + t] * w.values[i * most + t];
    free_work(ctx, &w, workers);
    return status;
}
