/* SPDX-License-Identifier: Apache-2.0
 * Probabilities from files: dense arrays, read and converted block by block, or sparse rows through
 * a window (rows_of_table.c, rows_of_archive.c, row_window.c). Values are checked where they become f64, with
 * the file, the row and the class in the sentence.
 * Legend: k classes, rows as counted here, their numbers as the file gives them. */
#include <math.h>

#include "space/posteriors_i.h"

#include "io/io_i.h"

void whet_posteriors_destroy(whet_ctx *ctx, whet_posteriors *p) {
    if (!p) return;
    whet_names_destroy(ctx, p->classes);
    whet_i_array_rows_close(ctx, p->array);
    whet_i_free(ctx, p->path);
    if (p->source) p->source->close(ctx, p->state);
    whet_i_window_free(ctx, &p->window);
    whet_i_free(ctx, p->number);
    whet_i_free(ctx, p);
}

int64_t whet_posteriors_rows(const whet_posteriors *p) { return p->rows; }

const whet_names *whet_posteriors_classes(const whet_posteriors *p) { return p->classes; }

int64_t whet_posteriors_row(const whet_posteriors *p, int64_t i) {
    const row_window *w = &p->window;
    if (!p->named || p->in_turn) return i;
    if (i >= w->from && i < w->from + w->n) return w->number[i - w->from];
    return p->number && i >= 0 && i < p->rows ? p->number[i] : -1;
}

whet_status whet_i_posteriors_numbers(whet_ctx *ctx, whet_posteriors *p) {
    enum { AT_A_TIME = 4096 };
    whet_status status = WHET_OK;
    int64_t *number;
    if (!p->named || p->in_turn || p->number) return WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, p->rows, &number));
    for (int64_t at = 0; at < p->rows; at += AT_A_TIME) {
        const int64_t n = p->rows - at < AT_A_TIME ? p->rows - at : AT_A_TIME;
        WHET_TRY_DONE(whet_i_window_move(ctx, p, at, n));
        memcpy(number + at, p->window.number + (at - p->window.from), sizeof *number * (size_t)n);
    }
    p->number = number;
    return WHET_OK;
done:
    whet_i_free(ctx, number);
    return status;
}

int64_t whet_i_posteriors_find(const whet_posteriors *p, int64_t number) {
    if (!p->named || p->in_turn) return number >= 0 && number < p->rows ? number : -1;
    int64_t from = 0, to = p->rows;
    while (from < to) {
        const int64_t middle = from + (to - from) / 2;
        if (p->number[middle] < number)
            from = middle + 1;
        else
            to = middle;
    }
    return from < p->rows && p->number[from] == number ? from : -1;
}

/* ---- dense ----------------------------------------------------------------------------------- */

static whet_status read_dense(whet_ctx *ctx, const char *probs, const char *classes,
                              whet_posteriors *p) {
    WHET_TRY(whet_names_read(ctx, classes, &p->classes));
    WHET_TRY(whet_i_array_rows_open(ctx, probs, &p->array));
    const whet_tensor *array = whet_i_array_rows_head(p->array);
    if (array->rank != 2)
        return whet_i_fail(ctx, WHET_ERR_SHAPE, "%s: an array of %d dimensions; expected [rows, k]",
                           probs, array->rank);
    const int64_t k = whet_names_count(p->classes);
    if (array->shape[1] != k)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: %lld columns; expected %lld, one a class of %s", probs,
                           (long long)array->shape[1], (long long)k, classes);
    p->rows = array->shape[0];
    return WHET_OK;
}

/* ---- which ----------------------------------------------------------------------------------- */

bool whet_i_is_table(const char *path) {
    static const char *const extensions[] = {".tsv", ".csv", ".txt", ".jsonl", ".ndjson"};
    for (int64_t i = 0; i < WHET_COUNT_OF(extensions); i++)
        if (whet_i_has_extension(path, extensions[i])) return true;
    return false;
}

static whet_status read_any(whet_ctx *ctx, const char *classes, whet_posteriors *p) {
    if (whet_i_is_table(p->path) && classes)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: a table names its classes; expected no class list beside it",
                           p->path);
    if (whet_i_is_table(p->path)) return whet_i_table_rows_open(ctx, p);
    if (!classes)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: its columns have no classes; expected a class list beside an array",
                           p->path);
    if (whet_i_is_compressed(ctx, p->path)) return whet_i_compressed_rows_open(ctx, classes, p);
    return read_dense(ctx, p->path, classes, p);
}

whet_status whet_posteriors_read(whet_ctx *ctx, const char *probs, const char *classes,
                                 whet_posteriors **out) {
    whet_status status = WHET_OK;
    whet_posteriors *p;
    WHET_TRY(whet_i_calloc(ctx, 1, &p));
    WHET_TRY_DONE(whet_i_strdup(ctx, whet_str_from(probs), &p->path));
    WHET_TRY_DONE(read_any(ctx, classes, p));
    if (whet_names_count(p->classes) < 1) {
        status = whet_i_fail(ctx, WHET_ERR_DATA, "%s: no classes; expected one or more", classes);
        goto done;
    }
    *out = p;
    return WHET_OK;
done:
    whet_posteriors_destroy(ctx, p);
    return status;
}

static whet_status check_row(whet_ctx *ctx, const whet_posteriors *p, int64_t i, const double *x) {
    char quoted[WHET_QUOTE_SIZE];
    const int64_t k = whet_names_count(p->classes);
    bool mass = false;
    for (int64_t j = 0; j < k; j++) {
        if (!(x[j] >= 0 && isfinite(x[j])))
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: row %lld, class %s: %g; expected a finite number of 0 or more",
                               p->path, (long long)whet_posteriors_row(p, i),
                               whet_i_quote(quoted, whet_names_get(p->classes, j)), x[j]);
        mass |= x[j] > 0;
    }
    if (mass) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA, "%s: row %lld is all zero; expected some mass", p->path,
                       (long long)whet_posteriors_row(p, i));
}

static whet_status check_range(whet_ctx *ctx, const whet_posteriors *p, int64_t first, int64_t n) {
    if (first >= 0 && n >= 0 && first <= p->rows && n <= p->rows - first) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG, "rows %lld and %lld more; expected 0..%lld",
                       (long long)first, (long long)n, (long long)p->rows);
}

whet_status whet_posteriors_block(whet_ctx *ctx, whet_posteriors *p, int64_t first, int64_t n,
                                  double *out) {
    const int64_t k = whet_names_count(p->classes);
    whet_sparse_rows r = {0};
    WHET_TRY(check_range(ctx, p, first, n));
    if (p->sparse) {
        WHET_TRY(whet_posteriors_entries(ctx, p, first, n, &r));
        memset(out, 0, (size_t)(n * k) * sizeof *out);
        for (int64_t i = 0; i < n; i++)
            for (int64_t e = r.first[i]; e < r.first[i + 1]; e++) out[i * k + r.column[e]] = r.p[e];
    } else if (n > 0) {
        WHET_TRY(whet_i_array_rows_read(ctx, p->array, first, n, WHET_F64, out));
    }
    for (int64_t i = 0; i < n; i++) WHET_TRY(check_row(ctx, p, first + i, out + i * k));
    return WHET_OK;
}

int64_t whet_posteriors_entry_count(const whet_posteriors *p) { return p->entries; }

bool whet_posteriors_are_sparse(const whet_posteriors *p) { return p->sparse; }

whet_status whet_posteriors_entries(whet_ctx *ctx, whet_posteriors *p, int64_t first, int64_t n,
                                    whet_sparse_rows *out) {
    static const int64_t none[1] = {0};
    if (!p->sparse)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s: entries of whole rows; expected sparse ones",
                           p->path);
    WHET_TRY(check_range(ctx, p, first, n));
    WHET_TRY(whet_i_window_move(ctx, p, first, n));
    const row_window *w = &p->window;
    *out = (whet_sparse_rows){n ? w->first + (first - w->from) : none, w->column, w->p, n};
    return WHET_OK;
}
