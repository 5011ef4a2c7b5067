/* SPDX-License-Identifier: Apache-2.0
 * The two passes over rows that mixtures and k-means are made of, as products in f64. Rows are cut into
 * at most PARTS parts, whatever the threads; sums of parts are added in order.
 * Legend: n rows, d columns, k groups. */
#include <math.h>

#include "label/mixtures.h"
#include "tensor/tensor_i.h"

enum { PARTS = 64, LEAST_ROWS = 64, BLOCK = 128 };

static int64_t rows_of_part(int64_t n) {
    const int64_t rows = (n + PARTS - 1) / PARTS;
    return rows < LEAST_ROWS ? LEAST_ROWS : rows;
}

static int64_t parts_of(int64_t n) { return (n + rows_of_part(n) - 1) / rows_of_part(n); }

static void square(const double *x, int64_t count, double *to) {
    for (int64_t i = 0; i < count; i++) to[i] = x[i] * x[i];
}

/* ---- scores ---------------------------------------------------------------------------------- */

typedef struct scoring {
    const whet_i_mixture_form *form;
    double *scores;
    double *squares; /* [workers, BLOCK, d] */
    double *totals;  /* [parts] or NULL */
} scoring;

/* The row becomes softmax(row); log sum exp. */
static double soften(double *row, int64_t k) {
    double most = row[0], sum = 0;
    for (int64_t c = 1; c < k; c++) most = fmax(most, row[c]);
    for (int64_t c = 0; c < k; c++) sum += row[c] = exp(row[c] - most);
    for (int64_t c = 0; c < k; c++) row[c] /= sum;
    return most + log(sum);
}

static void score_part(void *arg, int64_t part, int32_t worker) {
    const scoring *s = arg;
    const whet_i_mixture_form *f = s->form;
    const int64_t first = part * rows_of_part(f->n);
    const int64_t last = first + rows_of_part(f->n) < f->n ? first + rows_of_part(f->n) : f->n;
    double *squares = s->squares + worker * BLOCK * f->d;
    if (s->totals) s->totals[part] = 0;
    for (int64_t at = first; at < last; at += BLOCK) {
        const int64_t rows = last - at < BLOCK ? last - at : BLOCK;
        const double *x = f->x + at * f->d;
        double *scores = s->scores + at * f->k;
        for (int64_t i = 0; i < rows; i++)
            memcpy(scores + i * f->k, f->constant, (size_t)f->k * sizeof *scores);
        whet_i_matmul_f64_serial(false, true, rows, f->k, f->d, x, f->d, f->linear, f->d, 1, scores,
                                 f->k);
        if (f->square) {
            square(x, rows * f->d, squares);
            whet_i_matmul_f64_serial(false, true, rows, f->k, f->d, squares, f->d, f->square, f->d,
                                     1, scores, f->k);
        }
        for (int64_t i = 0; i < rows && s->totals; i++)
            s->totals[part] += soften(scores + i * f->k, f->k);
    }
}

whet_status whet_i_mixture_scores(whet_ctx *ctx, const whet_i_mixture_form *form, double *scores,
                                  double *total) {
    whet_status status = WHET_OK;
    scoring s = {.form = form, .scores = scores};
    const int64_t parts = parts_of(form->n);
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, (int64_t)whet_ctx_threads(ctx) * BLOCK, form->d, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &s.squares));
    if (total) WHET_TRY_DONE(whet_i_alloc(ctx, parts, &s.totals));
    WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, parts, score_part, &s));
    if (total) {
        *total = 0;
        for (int64_t i = 0; i < parts; i++) *total += s.totals[i];
    }
done:
    whet_i_free(ctx, s.squares);
    whet_i_free(ctx, s.totals);
    return status;
}

/* ---- moments --------------------------------------------------------------------------------- */

typedef struct summing {
    const double *x, *r;
    int64_t n, d, k;
    bool squared;
    double *squares;                /* [workers, BLOCK, d] */
    double *share, *first, *second; /* [parts, k], [parts, k, d] */
} summing;

static void sum_part(void *arg, int64_t part, int32_t worker) {
    const summing *s = arg;
    const int64_t cells = s->k * s->d, from = part * rows_of_part(s->n);
    const int64_t end = from + rows_of_part(s->n) < s->n ? from + rows_of_part(s->n) : s->n;
    double *squares = s->squares + worker * BLOCK * s->d;
    double *share = s->share + part * s->k;
    memset(share, 0, (size_t)s->k * sizeof *share);
    for (int64_t at = from; at < end; at += BLOCK) {
        const int64_t rows = end - at < BLOCK ? end - at : BLOCK;
        const double *x = s->x + at * s->d, *r = s->r + at * s->k;
        const double beta = at > from ? 1 : 0;
        for (int64_t i = 0; i < rows; i++)
            for (int64_t c = 0; c < s->k; c++) share[c] += r[i * s->k + c];
        whet_i_matmul_f64_serial(true, false, s->k, s->d, rows, r, s->k, x, s->d, beta,
                                 s->first + part * cells, s->d);
        if (!s->squared) continue;
        square(x, rows * s->d, squares);
        whet_i_matmul_f64_serial(true, false, s->k, s->d, rows, r, s->k, squares, s->d, beta,
                                 s->second + part * cells, s->d);
    }
}

static void add_parts(const double *from, int64_t parts, int64_t cells, double *to) {
    memcpy(to, from, (size_t)cells * sizeof *to);
    for (int64_t p = 1; p < parts; p++)
        for (int64_t i = 0; i < cells; i++) to[i] += from[p * cells + i];
}

whet_status whet_i_mixture_moments(whet_ctx *ctx, const double *x, int64_t n, int64_t d, int64_t k,
                                   const double *r, double *share, double *first, double *second) {
    whet_status status = WHET_OK;
    summing s = {.x = x, .r = r, .n = n, .d = d, .k = k, .squared = second != NULL};
    const int64_t parts = parts_of(n);
    int64_t cells, all, squares;
    WHET_TRY(whet_i_mul(ctx, k, d, &cells));
    WHET_TRY(whet_i_mul(ctx, parts, cells, &all));
    WHET_TRY(whet_i_mul(ctx, (int64_t)whet_ctx_threads(ctx) * BLOCK, d, &squares));
    WHET_TRY_DONE(whet_i_alloc(ctx, squares, &s.squares));
    WHET_TRY_DONE(whet_i_alloc(ctx, parts * k, &s.share));
    WHET_TRY_DONE(whet_i_alloc(ctx, all, &s.first));
    WHET_TRY_DONE(whet_i_alloc(ctx, second ? all : 0, &s.second));
    WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, parts, sum_part, &s));
    add_parts(s.share, parts, k, share);
    add_parts(s.first, parts, cells, first);
    if (second) add_parts(s.second, parts, cells, second);
done:
    whet_i_free(ctx, s.squares);
    whet_i_free(ctx, s.share);
    whet_i_free(ctx, s.first);
    whet_i_free(ctx, s.second);
    return status;
}
