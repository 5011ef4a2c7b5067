/* SPDX-License-Identifier: Apache-2.0
 * The training rows and the rows to predict: checked, prepared, with their neighbours.
 * Smoothed features are norm(x + mean of the neighbours): one step of averaging over the graph,
 * which a new row can take as well. Legend: n rows, d features, m neighbours, k classes. */
#include <math.h>

#include "adapt/adapt_i.h"

void whet_i_pool_free(whet_ctx *ctx, whet_i_pool *pool) {
    whet_i_prepare_free(ctx, &pool->prepare);
    whet_i_free(ctx, pool->x);
    whet_i_free(ctx, pool->smooth);
    whet_i_free(ctx, pool->names);
    whet_i_graph_free(ctx, &pool->graph);
    whet_i_free(ctx, pool->rows);
    whet_i_free(ctx, pool->y);
    whet_i_free(ctx, pool->labels);
    *pool = (whet_i_pool){0};
}

static whet_status check(whet_ctx *ctx, const whet_adapt_input *in, int64_t k, int64_t *labelled) {
    if (in->n < 1 || in->d < 1)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "training features are [%lld, %lld]; expected at "
                           "least one row and one column",
                           (long long)in->n, (long long)in->d);
    if (k < 2)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%lld class%s; expected at least 2; try a class "
                           "list",
                           (long long)k, k == 1 ? "" : "es");
    *labelled = 0;
    for (int64_t i = 0; i < in->n; i++) {
        if (in->labels[i] < -1 || in->labels[i] >= k)
            return whet_i_fail(ctx, WHET_ERR_ARG, "row %lld has class %d; expected -1 to %lld",
                               (long long)i, in->labels[i], (long long)k - 1);
        *labelled += in->labels[i] >= 0 ? 1 : 0;
    }
    if (*labelled == 0)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "none of the %lld training rows has a label; "
                           "expected at least one",
                           (long long)in->n);
    WHET_TRY(whet_i_check_finite(ctx, "features", in->features, in->n, in->d));
    if (in->class_vectors)
        WHET_TRY(whet_i_check_finite(ctx, "class vectors", in->class_vectors, k, in->d));
    return WHET_OK;
}

static void to_unit(double *row, int64_t d, float *out) {
    double square = 0;
    for (int64_t j = 0; j < d; j++) square += row[j] * row[j];
    const double inverse = square > 0 ? 1 / sqrt(square) : 0;
    for (int64_t j = 0; j < d; j++) out[j] = (float)(row[j] * inverse);
}

typedef struct smoothing {
    const float *x, *pool;
    int64_t d;
    const whet_i_graph *graph; /* the pool with itself, or: */
    const int64_t *near;
    const double *weight;
    int64_t m;
    double *sums; /* [workers, d] */
    float *out;
} smoothing;

static void smooth_row(void *arg, int64_t i, int32_t worker) {
    const smoothing *s = arg;
    const int64_t from = s->graph ? s->graph->start[i] : i * s->m;
    const int64_t to = s->graph ? s->graph->start[i + 1] : from + s->m;
    double *sum = s->sums + worker * s->d, total = 0;
    for (int64_t j = 0; j < s->d; j++) sum[j] = 0;
    for (int64_t e = from; e < to; e++) {
        const double w = s->graph ? s->graph->weight[e] : s->weight[e];
        const float *other = s->pool + (s->graph ? s->graph->to[e] : s->near[e]) * s->d;
        total += w;
        for (int64_t j = 0; j < s->d; j++) sum[j] += w * (double)other[j];
    }
    for (int64_t j = 0; j < s->d; j++)
        sum[j] = (double)s->x[i * s->d + j] + (total > 0 ? sum[j] / total : 0);
    to_unit(sum, s->d, s->out + i * s->d);
}

static whet_status smooth_rows(whet_ctx *ctx, smoothing *s, int64_t n) {
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, whet_ctx_threads(ctx), s->d, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &s->sums));
    const whet_status status = whet_i_parallel_for(ctx, NULL, n, smooth_row, s);
    whet_i_free(ctx, s->sums);
    return status;
}

static whet_status take_labels(whet_ctx *ctx, const whet_adapt_input *in, int64_t labelled,
                               whet_i_pool *p) {
    WHET_TRY(whet_i_alloc(ctx, in->n, &p->labels));
    WHET_TRY(whet_i_alloc(ctx, labelled, &p->rows));
    WHET_TRY(whet_i_alloc(ctx, labelled, &p->y));
    memcpy(p->labels, in->labels, sizeof *p->labels * (size_t)in->n);
    for (int64_t i = 0; i < in->n; i++) {
        if (in->labels[i] < 0) continue;
        p->rows[p->b] = i;
        p->y[p->b++] = in->labels[i];
    }
    return WHET_OK;
}

static whet_status take_names(whet_ctx *ctx, const whet_adapt_input *in, whet_i_pool *p) {
    if (!in->class_vectors) return WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, p->k * p->d, &p->names));
    const whet_i_prepare unit = {.kind = WHET_I_UNIT, .d_in = p->d, .d = p->d};
    whet_i_prepare_apply(&unit, in->class_vectors, p->k, p->names);
    return WHET_OK;
}

whet_status whet_i_pool_make(whet_ctx *ctx, const whet_adapt_input *input, whet_i_pool *out) {
    const int64_t k = input->classes ? whet_names_count(input->classes) : 0;
    whet_status status = WHET_OK;
    whet_i_pool p = {.n = input->n, .k = k, .given = input->features};
    int64_t labelled, cells;
    WHET_TRY(check(ctx, input, k, &labelled));
    WHET_TRY_DONE(whet_i_prepare_choose(ctx, input->features, input->n, input->d,
                                        input->class_vectors != NULL, input->labels, k,
                                        &p.prepare));
    p.d = p.prepare.d;
    WHET_TRY_DONE(whet_i_mul(ctx, p.n, p.d, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &p.x));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &p.smooth));
    whet_i_prepare_apply(&p.prepare, input->features, p.n, p.x);
    WHET_TRY_DONE(take_labels(ctx, input, labelled, &p));
    WHET_TRY_DONE(take_names(ctx, input, &p));
    p.m = p.n < WHET_I_NEIGHBOURS ? p.n : WHET_I_NEIGHBOURS;
    WHET_TRY_DONE(whet_i_graph_build(ctx, p.x, p.n, p.d, WHET_I_NEIGHBOURS, &p.graph));
    smoothing s = {.x = p.x, .pool = p.x, .d = p.d, .graph = &p.graph, .out = p.smooth};
    WHET_TRY_DONE(smooth_rows(ctx, &s, p.n));
    *out = p;
    p = (whet_i_pool){0};
done:
    whet_i_pool_free(ctx, &p);
    return status;
}

/* ---- rows to predict ------------------------------------------------------------------------- */

void whet_i_query_free(whet_ctx *ctx, whet_i_query *rows) {
    whet_i_free(ctx, rows->x);
    whet_i_free(ctx, rows->smooth);
    whet_i_free(ctx, rows->near);
    whet_i_free(ctx, rows->weight);
    *rows = (whet_i_query){0};
}

/* A cosine is at most 1, but a new row may be of any length when the pool's rows needed no
 * preparation; its similarity must not become infinite. */
static const double MOST_WEIGHT = 1e30;

static whet_status find_neighbours(whet_ctx *ctx, const whet_i_pool *pool, whet_i_query *r) {
    whet_status status = WHET_OK;
    float *similarity = NULL;
    int64_t cells;
    WHET_TRY_DONE(whet_i_mul(ctx, r->n, r->m, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &similarity));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &r->near));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &r->weight));
    WHET_TRY_DONE(whet_i_alloc(ctx, r->n * r->d, &r->smooth));
    WHET_TRY_DONE(
        whet_i_nearest(ctx, r->x, r->n, pool->x, pool->n, r->d, r->m, false, r->near, similarity));
    for (int64_t e = 0; e < cells; e++)
        r->weight[e] = fmin(fmax((double)similarity[e], WHET_I_LEAST_WEIGHT), MOST_WEIGHT);
    smoothing s = {.x = r->x,
                   .pool = pool->x,
                   .d = r->d,
                   .near = r->near,
                   .weight = r->weight,
                   .m = r->m,
                   .out = r->smooth};
    WHET_TRY_DONE(smooth_rows(ctx, &s, r->n));
done:
    whet_i_free(ctx, similarity);
    return status;
}

whet_status whet_i_query_make(whet_ctx *ctx, const whet_i_pool *pool, const float *features,
                              int64_t n, bool neighbours, whet_i_query *out) {
    whet_status status = WHET_OK;
    whet_i_query r = {.n = n, .d = pool->d, .m = pool->m, .given = features};
    int64_t cells;
    if (n < 0) return whet_i_fail(ctx, WHET_ERR_ARG, "%lld rows to predict", (long long)n);
    WHET_TRY(whet_i_check_finite(ctx, "features", features, n, pool->prepare.d_in));
    WHET_TRY(whet_i_mul(ctx, n, r.d, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &r.x));
    whet_i_prepare_apply(&pool->prepare, features, n, r.x);
    if (neighbours) WHET_TRY_DONE(find_neighbours(ctx, pool, &r));
    *out = r;
    r = (whet_i_query){0};
done:
    whet_i_query_free(ctx, &r);
    return status;
}
