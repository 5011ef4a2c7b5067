/* SPDX-License-Identifier: Apache-2.0
 * Rows that come entry by entry: by a way that looks at the entries alone, where the plan has one,
 * else filled up with zeros, as many at a time as fit a few megabytes. */
#include <math.h>

#include "space/frechet_i.h"

enum { ROWS_AT_A_TIME = 16, DENSE_VALUES = 1 << 20 };

static void result_free(whet_ctx *ctx, frechet_result *r) {
    whet_i_free(ctx, r->best);
    whet_i_free(ctx, r->cost);
    whet_i_free(ctx, r->ties);
    whet_i_free(ctx, r->margin);
}

static whet_status result_alloc(whet_ctx *ctx, int64_t rows, int64_t top, frechet_result *r) {
    int64_t places;
    WHET_TRY(whet_i_mul(ctx, rows, top, &places));
    WHET_TRY(whet_i_alloc(ctx, places, &r->best));
    WHET_TRY(whet_i_alloc(ctx, places, &r->cost));
    WHET_TRY(whet_i_alloc(ctx, rows, &r->ties));
    return whet_i_alloc(ctx, rows, &r->margin);
}

static whet_status check_rows(whet_ctx *ctx, const whet_frechet *f, const whet_sparse_rows *r) {
    if (r->rows < 0)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%lld rows; expected 0 or more", (long long)r->rows);
    for (int64_t i = 0; i < r->rows; i++) {
        if (r->first[i] > r->first[i + 1])
            return whet_i_fail(ctx, WHET_ERR_ARG, "row %lld ends before it begins", (long long)i);
        for (int64_t e = r->first[i]; e < r->first[i + 1]; e++)
            if (r->column[e] < 0 || r->column[e] >= f->k)
                return whet_i_fail(ctx, WHET_ERR_ARG, "row %lld has column %d; expected 0..%lld",
                                   (long long)i, (int)r->column[e], (long long)f->k - 1);
    }
    return WHET_OK;
}

/* ---- by entries ------------------------------------------------------------------------------ */

typedef struct sparse_work {
    const whet_frechet *f;
    const whet_sparse_rows *rows;
    void **scratch; /* [workers] */
    frechet_result result;
    uint8_t *answer; /* [rows] frechet_sparse_answer */
} sparse_work;

static void run_row(const sparse_work *w, void *scratch, int64_t i) {
    const int64_t from = w->rows->first[i], n = w->rows->first[i + 1] - from;
    w->answer[i] = (uint8_t)w->f->method->entries->row(w->f, scratch, w->rows->column + from,
                                                       w->rows->p + from, n, i, &w->result);
}

static void run_rows(void *arg, int64_t item, int32_t worker) {
    const sparse_work *w = arg;
    const int64_t from = item * ROWS_AT_A_TIME, left = w->rows->rows - from;
    const int64_t n = left < ROWS_AT_A_TIME ? left : ROWS_AT_A_TIME;
    const struct frechet_entries *entries = w->f->method->entries;
    if (entries->rows)
        entries->rows(w->f, w->scratch[worker], w->rows, from, n, w->answer, &w->result);
    for (int64_t i = from; !entries->rows && i < from + n; i++) run_row(w, w->scratch[worker], i);
}

static whet_status row_fails(whet_ctx *ctx, frechet_sparse_answer answer, int64_t row) {
    if (answer == SPARSE_OVERFLOW)
        return whet_i_fail(ctx, WHET_ERR_NUMERIC,
                           "row %lld: its costs are not finite; expected distances whose squares "
                           "can be added; try smaller units",
                           (long long)row);
    if (answer == SPARSE_NO_MASS)
        return whet_i_fail(ctx, WHET_ERR_DATA, "row %lld is all zero; expected some mass",
                           (long long)row);
    return whet_i_fail(ctx, WHET_ERR_DATA, "row %lld: expected finite values of 0 or more",
                       (long long)row);
}

/* Rows with more ties than there was room for, one by one with more. */
static whet_status finish_rows(whet_ctx *ctx, const sparse_work *w) {
    for (int64_t i = 0; i < w->rows->rows; i++) {
        while (w->answer[i] == SPARSE_NO_ROOM) {
            WHET_TRY(w->f->method->entries->widen(ctx, w->scratch[0]));
            run_row(w, w->scratch[0], i);
        }
        if (w->answer[i] != SPARSE_DONE)
            return row_fails(ctx, (frechet_sparse_answer)w->answer[i], i);
    }
    return WHET_OK;
}

static whet_status run_by_entries(whet_ctx *ctx, const whet_frechet *f,
                                  const whet_sparse_rows *rows, frechet_result *result) {
    whet_status status = WHET_OK;
    sparse_work w = {.f = f, .rows = rows, .result = *result};
    const int64_t items = (rows->rows + ROWS_AT_A_TIME - 1) / ROWS_AT_A_TIME;
    const int64_t threads = whet_ctx_threads(ctx), workers = items < threads ? items : threads;
    int64_t most = 1;
    for (int64_t i = 0; i < rows->rows; i++)
        if (rows->first[i + 1] - rows->first[i] > most) most = rows->first[i + 1] - rows->first[i];
    WHET_TRY_DONE(whet_i_calloc(ctx, workers, &w.scratch));
    WHET_TRY_DONE(whet_i_alloc(ctx, rows->rows, &w.answer));
    for (int64_t i = 0; i < workers; i++)
        WHET_TRY_DONE(f->method->entries->create(ctx, f, most, &w.scratch[i]));
    WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, items, run_rows, &w));
    status = finish_rows(ctx, &w);
done:
    for (int64_t i = 0; w.scratch && i < workers; i++) f->method->entries->free(ctx, w.scratch[i]);
    whet_i_free(ctx, w.scratch);
    whet_i_free(ctx, w.answer);
    return status;
}

/* ---- filled up ------------------------------------------------------------------------------- */

static whet_status run_filled(whet_ctx *ctx, const whet_frechet *f, const whet_sparse_rows *rows,
                              const frechet_result *result) {
    whet_status status = WHET_OK;
    const int64_t most = DENSE_VALUES / f->k, whole = most < f->lanes ? f->lanes : most;
    const int64_t at_a_time = whole < rows->rows ? whole : rows->rows;
    double *dense;
    int64_t values;
    WHET_TRY(whet_i_mul(ctx, at_a_time, f->k, &values));
    WHET_TRY(whet_i_alloc(ctx, values, &dense));
    for (int64_t at = 0; at < rows->rows; at += at_a_time) {
        const int64_t n = rows->rows - at < at_a_time ? rows->rows - at : at_a_time;
        memset(dense, 0, sizeof *dense * (size_t)(n * f->k));
        for (int64_t i = 0; i < n; i++)
            for (int64_t e = rows->first[at + i]; e < rows->first[at + i + 1]; e++)
                dense[i * f->k + rows->column[e]] = rows->p[e];
        status =
            whet_frechet_run(ctx, f, dense, n, result->best + at * f->top,
                             result->cost + at * f->top, result->ties + at, result->margin + at);
        if (status == WHET_ERR_DATA && at > 0)
            status = whet_i_fail_at(ctx, status, "behind row %lld", (long long)at);
        WHET_TRY_DONE(status);
    }
done:
    whet_i_free(ctx, dense);
    return status;
}

whet_status whet_frechet_run_sparse(whet_ctx *ctx, const whet_frechet *f,
                                    const whet_sparse_rows *rows, int64_t *best, double *cost,
                                    int32_t *ties, double *margin) {
    whet_status status = WHET_OK;
    frechet_result r = {0};
    WHET_TRY(check_rows(ctx, f, rows));
    if (rows->rows == 0) return WHET_OK;
    WHET_TRY_DONE(result_alloc(ctx, rows->rows, f->top, &r));
    WHET_TRY_DONE(f->method->entries ? run_by_entries(ctx, f, rows, &r)
                                     : run_filled(ctx, f, rows, &r));
    const size_t n = (size_t)rows->rows, places = n * (size_t)f->top;
    memcpy(best, r.best, places * sizeof *best);
    if (cost) memcpy(cost, r.cost, places * sizeof *cost);
    if (ties) memcpy(ties, r.ties, n * sizeof *ties);
    if (margin) memcpy(margin, r.margin, n * sizeof *margin);
done:
    result_free(ctx, &r);
    return status;
}
