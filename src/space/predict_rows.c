/* SPDX-License-Identifier: Apache-2.0
 * The rows of a prediction job, block by block; how many go into a block depends on the number of
 * classes alone. What is remembered of rows that have gone is for measuring them. */
#include <math.h>

#include "space/predict_i.h"

/* Values of a block of whole rows: 8 MiB. */
enum { BLOCK_VALUES = 1 << 20, LEAST_ROWS = 64, MOST_ROWS = 4096 };

static bool is_sparse(const prediction *p) { return whet_posteriors_are_sparse(p->posteriors); }

static whet_status alloc_block(whet_ctx *ctx, prediction *p) {
    const int64_t rows = whet_posteriors_rows(p->posteriors), top = whet_frechet_top(p->frechet);
    int64_t wide = p->k > top ? p->k : top, values, places;
    if (is_sparse(p)) wide = top;
    int64_t block = BLOCK_VALUES / wide;
    block = block < LEAST_ROWS ? LEAST_ROWS : block > MOST_ROWS ? MOST_ROWS : block;
    if (block > rows) block = rows;
    p->block_rows = block;
    WHET_TRY(whet_i_mul(ctx, block, top, &places));
    WHET_TRY(whet_i_alloc(ctx, places, &p->cost));
    WHET_TRY(whet_i_alloc(ctx, block, &p->margin));
    WHET_TRY(whet_i_alloc(ctx, places, &p->top));
    WHET_TRY(whet_i_alloc(ctx, block, &p->ties));
    if (is_sparse(p)) return whet_i_alloc(ctx, block + 1, &p->first);
    WHET_TRY(whet_i_mul(ctx, block, p->k, &values));
    return whet_i_alloc(ctx, values, &p->probs);
}

/* ---- the table ------------------------------------------------------------------------------- */

/* A name that would break the table cannot be written. */
static whet_status append_name(whet_ctx *ctx, prediction *p, int64_t point) {
    char quoted[WHET_QUOTE_SIZE];
    const whet_str name = whet_names_get(whet_space_names(p->space), point);
    for (int64_t i = 0; i < name.len; i++)
        if (name.ptr[i] == '\t' || name.ptr[i] == '\n' || name.ptr[i] == '\r')
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "class %s holds a tab or line end; expected none, for %s",
                               whet_i_quote(quoted, name), p->job->output);
    return whet_i_buf_append(ctx, &p->text, name.ptr, name.len);
}

static whet_status append_row(whet_ctx *ctx, prediction *p, int64_t first, int64_t i) {
    const int64_t top = whet_frechet_top(p->frechet);
    const long long row = (long long)whet_posteriors_row(p->posteriors, first + i);
    WHET_TRY(whet_i_buf_printf(ctx, &p->text, "%lld\t", row));
    WHET_TRY(append_name(ctx, p, p->top[i * top]));
    WHET_TRY(whet_i_buf_printf(ctx, &p->text, "\t%.17g\t%d\t%.17g", p->cost[i * top], p->ties[i],
                               p->margin[i]));
    for (int64_t t = 1; t < top; t++) {
        WHET_TRY(whet_i_buf_append(ctx, &p->text, "\t", 1));
        WHET_TRY(append_name(ctx, p, p->top[i * top + t]));
        WHET_TRY(whet_i_buf_printf(ctx, &p->text, "\t%.17g", p->cost[i * top + t]));
    }
    return whet_i_buf_append(ctx, &p->text, "\n", 1);
}

static whet_status append_header(whet_ctx *ctx, prediction *p) {
    WHET_TRY(whet_i_buf_printf(ctx, &p->text, "row\tclass\tcost\tties\tmargin"));
    for (int32_t t = 2; t <= whet_frechet_top(p->frechet); t++)
        WHET_TRY(whet_i_buf_printf(ctx, &p->text, "\tclass_%d\tcost_%d", t, t));
    return whet_i_buf_append(ctx, &p->text, "\n", 1);
}

/* ---- what measuring needs -------------------------------------------------------------------- */

/* Adds a class of row i and its share; tells whether it comes before the best so far. */
typedef struct argmax {
    double most;
    int64_t column;
} argmax;

static void take_class(argmax *best, int64_t column, double x) {
    if (best->column >= 0 && (x < best->most || (x <= best->most && column > best->column))) return;
    *best = (argmax){x, column};
}

/* The next class of a row: column and probability; false when there is none. */
typedef struct row_view {
    const double *p;
    const int32_t *column; /* NULL: all columns in order */
    int64_t n;
} row_view;

static row_view row_of(const prediction *p, int64_t i) {
    if (!is_sparse(p)) return (row_view){p->probs + i * p->k, NULL, p->k};
    const int64_t from = p->entries.first[i];
    return (row_view){p->entries.p + from, p->entries.column + from,
                      p->entries.first[i + 1] - from};
}

static int64_t column_at(const row_view *v, int64_t i) { return v->column ? v->column[i] : i; }

/* Whether the label is among the `top` most probable classes; the first columns win ties. */
static bool among_most_probable(const prediction *p, const row_view *v, int64_t label) {
    int64_t own = -1, before = 0;
    for (int64_t i = 0; i < v->n && own < 0; i++)
        if (p->observed[column_at(v, i)] == label) own = i;
    if (own < 0) return false;
    for (int64_t i = 0; i < v->n; i++)
        before +=
            v->p[i] > v->p[own] || (v->p[i] == v->p[own] && column_at(v, i) < column_at(v, own));
    return before < p->job->top;
}

/* Of a block before its probabilities are sharpened. */
static void note_argmax(prediction *p, int64_t first, int64_t n) {
    for (int64_t i = 0; i < n && p->truth; i++) {
        const row_view v = row_of(p, i);
        argmax best = {0, -1};
        double sum = 0;
        for (int64_t j = 0; j < v.n; j++) {
            take_class(&best, column_at(&v, j), v.p[j]);
            sum += v.p[j];
        }
        p->argmax[first + i] = p->observed[best.column < 0 ? 0 : best.column];
        const int64_t label = p->truth[first + i];
        if (label < 0) continue;
        for (int64_t j = 0; j < v.n; j++) p->mass[column_at(&v, j)] += v.p[j] / sum;
        if (p->in_top[1]) p->in_top[1][first + i] = among_most_probable(p, &v, label);
    }
}

static void note_means(prediction *p, int64_t first, int64_t n) {
    const int64_t top = whet_frechet_top(p->frechet);
    for (int64_t i = 0; i < n; i++) {
        p->unobserved += !p->is_observed[p->top[i * top]];
        if (!p->truth) continue;
        p->best[first + i] = p->top[i * top];
        for (int64_t t = 0; p->in_top[0] && t < top; t++)
            p->in_top[0][first + i] |= p->top[i * top + t] == p->truth[first + i];
    }
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static whet_status predict_whole(whet_ctx *ctx, prediction *p, int64_t first, int64_t n) {
    WHET_TRY(whet_posteriors_block(ctx, p->posteriors, first, n, p->probs));
    note_argmax(p, first, n);
    WHET_TRY(whet_temperature_apply(ctx, p->probs, n, p->k, p->temperature));
    return whet_frechet_run(ctx, p->frechet, p->probs, n, p->top, p->cost, p->ties, p->margin);
}

/* p^(1/t) of the entries, each row by itself; classes without an entry stay at 0. */
static whet_status sharpen_entries(whet_ctx *ctx, prediction *p, int64_t n) {
    const whet_sparse_rows *r = &p->entries;
    const int64_t from = r->first[0], count = r->first[n] - from;
    if (count > p->room) {
        WHET_TRY(whet_i_realloc(ctx, &p->sharpened, count));
        p->room = count;
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = r->first[i] - from, m = r->first[i + 1] - r->first[i];
        p->first[i] = at;
        memcpy(p->sharpened + at, r->p + r->first[i], sizeof *r->p * (size_t)m);
        WHET_TRY(whet_temperature_apply(ctx, p->sharpened + at, 1, m, p->temperature));
    }
    p->first[n] = count;
    return WHET_OK;
}

static whet_status predict_entries(whet_ctx *ctx, prediction *p, int64_t first, int64_t n) {
    WHET_TRY(whet_posteriors_entries(ctx, p->posteriors, first, n, &p->entries));
    note_argmax(p, first, n);
    whet_sparse_rows rows = p->entries;
    if (p->temperature != 1) {
        WHET_TRY(sharpen_entries(ctx, p, n));
        rows.column += rows.first[0];
        rows.first = p->first;
        rows.p = p->sharpened;
    }
    return whet_frechet_run_sparse(ctx, p->frechet, &rows, p->top, p->cost, p->ties, p->margin);
}

static whet_status predict_block(whet_ctx *ctx, prediction *p, int64_t first, int64_t n) {
    WHET_TRY(is_sparse(p) ? predict_entries(ctx, p, first, n) : predict_whole(ctx, p, first, n));
    note_means(p, first, n);
    for (int64_t i = 0; i < n; i++) WHET_TRY(append_row(ctx, p, first, i));
    return WHET_OK;
}

whet_status whet_i_predict_rows(whet_ctx *ctx, prediction *p, whet_out *out) {
    const int64_t rows = whet_posteriors_rows(p->posteriors);
    WHET_TRY(alloc_block(ctx, p));
    WHET_TRY(append_header(ctx, p));
    WHET_TRY(whet_out_write(ctx, out, p->text.data, p->text.len));
    for (int64_t first = 0; first < rows; first += p->block_rows) {
        const int64_t left = rows - first, n = left < p->block_rows ? left : p->block_rows;
        p->text.len = 0;
        WHET_TRY(predict_block(ctx, p, first, n));
        WHET_TRY(whet_out_write(ctx, out, p->text.data, p->text.len));
        WHET_TRY(whet_i_progress(ctx, "predicting", first + n, rows));
    }
    return WHET_OK;
}
