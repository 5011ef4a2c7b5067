/* SPDX-License-Identifier: Apache-2.0
 * Probabilities from files: dense arrays, kept in the type they come in and converted block by
 * block, or sparse tables of row, class, p, sorted by row. Values are checked where they become
 * f64, with the file, the row and the class in the sentence.
 * Legend: k classes, rows as counted here, their numbers as the file gives them. */
#include <math.h>

#include "space/posteriors_i.h"

#include "io/io_i.h"

void whet_posteriors_destroy(whet_ctx *ctx, whet_posteriors *p) {
    if (!p) return;
    whet_names_destroy(ctx, p->classes);
    whet_tensor_destroy(ctx, &p->array);
    whet_i_free(ctx, p->path);
    whet_i_free(ctx, p->number);
    whet_i_free(ctx, p->first);
    whet_i_free(ctx, p->column);
    whet_i_free(ctx, p->p);
    whet_i_free(ctx, p);
}

int64_t whet_posteriors_rows(const whet_posteriors *p) { return p->rows; }

const whet_names *whet_posteriors_classes(const whet_posteriors *p) { return p->classes; }

int64_t whet_posteriors_row(const whet_posteriors *p, int64_t i) {
    return p->number ? p->number[i] : i;
}

int64_t whet_i_posteriors_find(const whet_posteriors *p, int64_t number) {
    if (!p->number) return number >= 0 && number < p->rows ? number : -1;
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
    if (!classes)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: its columns have no classes; expected a class list beside an array",
                           probs);
    WHET_TRY(whet_names_read(ctx, classes, &p->classes));
    WHET_TRY(whet_array_read(ctx, probs, &p->array));
    if (p->array.rank != 2)
        return whet_i_fail(ctx, WHET_ERR_SHAPE, "%s: an array of %d dimensions; expected [rows, k]",
                           probs, p->array.rank);
    const int64_t k = whet_names_count(p->classes);
    if (p->array.shape[1] != k)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: %lld columns; expected %lld, one a class of %s", probs,
                           (long long)p->array.shape[1], (long long)k, classes);
    p->rows = p->array.shape[0];
    return WHET_OK;
}

/* ---- sparse ---------------------------------------------------------------------------------- */

/* An entry of the table, to be sorted by row. */
typedef struct entry {
    int64_t row, at; /* number of the row; data row of the table */
    int32_t column;
    double p;
} entry;

static whet_status read_entry(whet_ctx *ctx, const whet_table *t, const int64_t place[3], int64_t i,
                              whet_posteriors *p, entry *out) {
    char quoted[WHET_QUOTE_SIZE];
    const long long line = (long long)whet_table_line(t, i);
    const whet_str row = whet_table_cell(t, i, place[0]), class = whet_table_cell(t, i, place[1]),
                   value = whet_table_cell(t, i, place[2]);
    int64_t column;
    out->at = i;
    if (!whet_i_parse_int(row, &out->row) || out->row < 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s:%lld: row is %s; expected a whole number of 0 or more", p->path,
                           line, whet_i_quote(quoted, row));
    if (!whet_i_parse_real(value, &out->p) || !(out->p >= 0 && isfinite(out->p)))
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s:%lld: p is %s; expected a finite number of 0 or more", p->path, line,
                           whet_i_quote(quoted, value));
    if (class.len < 1)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s:%lld: class is empty; expected a name",
                           p->path, line);
    WHET_TRY(whet_names_add(ctx, p->classes, class, &column));
    if (column > INT32_MAX)
        return whet_i_fail(ctx, WHET_ERR_LIMIT, "%s: over %d classes", p->path, INT32_MAX);
    out->column = (int32_t)column;
    return WHET_OK;
}

/* Stable merge sort by row; gives whichever of the two arrays ends up sorted. */
static entry *sort_entries(entry *items, entry *other, int64_t n) {
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t from = 0; from < n; from += 2 * width) {
            const int64_t middle = from + width < n ? from + width : n;
            const int64_t to = middle + width < n ? middle + width : n;
            int64_t a = from, b = middle;
            for (int64_t i = from; i < to; i++)
                other[i] = b == to || (a < middle && items[a].row <= items[b].row) ? items[a++]
                                                                                   : items[b++];
        }
        entry *sorted = other;
        other = items;
        items = sorted;
    }
    return items;
}

static whet_status place_entries(whet_ctx *ctx, const whet_table *t, const entry *e, int64_t n,
                                 whet_posteriors *p) {
    char quoted[WHET_QUOTE_SIZE];
    whet_status status = WHET_OK;
    int64_t *seen = NULL; /* the row in which a class was seen last, + 1 */
    for (int64_t i = 0; i < n; i++) p->rows += i == 0 || e[i].row != e[i - 1].row;
    WHET_TRY_DONE(whet_i_alloc(ctx, p->rows, &p->number));
    WHET_TRY_DONE(whet_i_alloc(ctx, p->rows + 1, &p->first));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &p->column));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &p->p));
    WHET_TRY_DONE(whet_i_calloc(ctx, whet_names_count(p->classes), &seen));
    int64_t row = -1;
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || e[i].row != e[i - 1].row) {
            p->number[++row] = e[i].row;
            p->first[row] = i;
        }
        if (seen[e[i].column] == row + 1) {
            status = whet_i_fail(ctx, WHET_ERR_DATA,
                                 "%s:%lld: row %lld has class %s twice; expected once", p->path,
                                 (long long)whet_table_line(t, e[i].at), (long long)e[i].row,
                                 whet_i_quote(quoted, whet_names_get(p->classes, e[i].column)));
            goto done;
        }
        seen[e[i].column] = row + 1;
        p->column[i] = e[i].column;
        p->p[i] = e[i].p;
    }
    p->first[p->rows] = n;
done:
    whet_i_free(ctx, seen);
    return status;
}

static whet_status read_sparse(whet_ctx *ctx, const char *probs, const char *classes,
                               whet_posteriors *p) {
    static const char *const names[3] = {"row", "class", "p"};
    if (classes)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: a table names its classes; expected no class list beside it",
                           probs);
    whet_status status = WHET_OK;
    whet_table *t = NULL;
    entry *entries = NULL, *other = NULL;
    int64_t place[3];
    WHET_TRY_DONE(whet_names_create(ctx, &p->classes));
    WHET_TRY_DONE(whet_table_read(ctx, probs, &t));
    for (int i = 0; i < 3; i++) WHET_TRY_DONE(whet_table_find(ctx, t, names[i], &place[i]));
    const int64_t n = whet_table_rows(t);
    if (n < 1) {
        status = whet_i_fail(ctx, WHET_ERR_DATA, "%s: no entries; expected one or more", probs);
        goto done;
    }
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &entries));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &other));
    for (int64_t i = 0; i < n; i++) WHET_TRY_DONE(read_entry(ctx, t, place, i, p, &entries[i]));
    WHET_TRY_DONE(place_entries(ctx, t, sort_entries(entries, other, n), n, p));
done:
    whet_i_free(ctx, other);
    whet_i_free(ctx, entries);
    whet_table_destroy(ctx, t);
    return status;
}

/* ---- both ------------------------------------------------------------------------------------ */

bool whet_i_is_table(const char *path) {
    static const char *const extensions[] = {".tsv", ".csv", ".txt", ".jsonl", ".ndjson"};
    for (int64_t i = 0; i < WHET_COUNT_OF(extensions); i++)
        if (whet_i_has_extension(path, extensions[i])) return true;
    return false;
}

whet_status whet_posteriors_read(whet_ctx *ctx, const char *probs, const char *classes,
                                 whet_posteriors **out) {
    whet_status status = WHET_OK;
    whet_posteriors *p;
    WHET_TRY(whet_i_calloc(ctx, 1, &p));
    WHET_TRY_DONE(whet_i_strdup(ctx, whet_str_from(probs), &p->path));
    WHET_TRY_DONE(whet_i_is_table(probs) ? read_sparse(ctx, probs, classes, p)
                                         : read_dense(ctx, probs, classes, p));
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

static whet_status dense_rows(whet_ctx *ctx, const whet_posteriors *p, int64_t first, int64_t n,
                              double *out) {
    const int64_t k = whet_names_count(p->classes);
    const size_t size = whet_dtype_size(p->array.dtype);
    const whet_tensor rows = {
        (char *)p->array.data + (size_t)(first * k) * size, p->array.dtype, 2, {n, k}};
    whet_tensor copy;
    WHET_TRY(whet_tensor_convert(ctx, &rows, WHET_F64, &copy));
    memcpy(out, copy.data, (size_t)(n * k) * sizeof *out);
    whet_tensor_destroy(ctx, &copy);
    return WHET_OK;
}

whet_status whet_posteriors_block(whet_ctx *ctx, const whet_posteriors *p, int64_t first, int64_t n,
                                  double *out) {
    const int64_t k = whet_names_count(p->classes);
    if (first < 0 || n < 0 || first > p->rows || n > p->rows - first)
        return whet_i_fail(ctx, WHET_ERR_ARG, "rows %lld and %lld more; expected 0..%lld",
                           (long long)first, (long long)n, (long long)p->rows);
    if (p->number) {
        memset(out, 0, (size_t)(n * k) * sizeof *out);
        for (int64_t i = 0; i < n; i++)
            for (int64_t e = p->first[first + i]; e < p->first[first + i + 1]; e++)
                out[i * k + p->column[e]] = p->p[e];
    } else if (n > 0) {
        WHET_TRY(dense_rows(ctx, p, first, n, out));
    }
    for (int64_t i = 0; i < n; i++) WHET_TRY(check_row(ctx, p, first + i, out + i * k));
    return WHET_OK;
}
