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
    whet_i_array_view_close(ctx, &p->array);
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
    WHET_TRY(whet_i_array_view_open(ctx, probs, &p->array));
    const whet_tensor *array = &p->array.tensor;
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

/* ---- sparse: compressed rows ----------------------------------------------------------------- */

static whet_status read_part(whet_ctx *ctx, const char *probs, const char *key, whet_dtype dtype,
                             whet_tensor *out) {
    whet_i_buf spec = {0};
    whet_status status = whet_i_buf_printf(ctx, &spec, "%s:%s", probs, key);
    if (status == WHET_OK) status = whet_array_read_as(ctx, spec.data, dtype, 1, true, out);
    whet_i_buf_free(ctx, &spec);
    return status;
}

/* Starts of rows, columns and values fit together, and no class is twice in a row. */
static whet_status check_compressed(whet_ctx *ctx, const whet_posteriors *p, int64_t entries,
                                    const int64_t *column) {
    char quoted[WHET_QUOTE_SIZE];
    const int64_t k = whet_names_count(p->classes);
    whet_status status = WHET_OK;
    int64_t *seen; /* the row in which a class was seen last, + 1 */
    WHET_TRY(whet_i_calloc(ctx, k, &seen));
    for (int64_t i = 0; i < p->rows && status == WHET_OK; i++) {
        if (p->first[i] < 0 || p->first[i] > p->first[i + 1] || p->first[i + 1] > entries)
            status = whet_i_fail(ctx, WHET_ERR_FORMAT,
                                 "%s: indptr of row %lld is %lld; expected starts in ascending "
                                 "order, up to %lld",
                                 p->path, (long long)i, (long long)p->first[i], (long long)entries);
        for (int64_t e = p->first[i]; e < p->first[i + 1] && status == WHET_OK; e++) {
            if (column[e] < 0 || column[e] >= k)
                status = whet_i_fail(ctx, WHET_ERR_DATA,
                                     "%s: row %lld has class %lld; expected below %lld", p->path,
                                     (long long)i, (long long)column[e], (long long)k);
            else if (seen[column[e]] == i + 1)
                status = whet_i_fail(
                    ctx, WHET_ERR_DATA, "%s: row %lld has class %s twice; expected once", p->path,
                    (long long)i, whet_i_quote(quoted, whet_names_get(p->classes, column[e])));
            else if (!(p->p[e] >= 0))
                status =
                    whet_i_fail(ctx, WHET_ERR_DATA, "%s: row %lld: p is %g; expected 0 or more",
                                p->path, (long long)i, p->p[e]);
            if (status == WHET_OK) seen[column[e]] = i + 1;
        }
    }
    whet_i_free(ctx, seen);
    return status;
}

/* As scipy.sparse.save_npz writes CSR: indptr [rows + 1], indices and data [entries], shape [2]. */
static whet_status read_compressed(whet_ctx *ctx, const char *probs, const char *classes,
                                   whet_posteriors *p) {
    whet_status status = WHET_OK;
    whet_tensor indptr = {0}, indices = {0}, data = {0}, shape = {0};
    if (!classes)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: its columns have no classes; expected a class list beside an array",
                           probs);
    WHET_TRY(whet_names_read(ctx, classes, &p->classes));
    const int64_t k = whet_names_count(p->classes);
    WHET_TRY_DONE(read_part(ctx, probs, "shape", WHET_I64, &shape));
    WHET_TRY_DONE(read_part(ctx, probs, "indptr", WHET_I64, &indptr));
    WHET_TRY_DONE(read_part(ctx, probs, "indices", WHET_I64, &indices));
    WHET_TRY_DONE(read_part(ctx, probs, "data", WHET_F64, &data));
    const int64_t *size = shape.data, n = data.shape[0];
    if (shape.shape[0] != 2 || size[1] != k || size[0] != indptr.shape[0] - 1 ||
        indices.shape[0] != n) {
        status =
            whet_i_fail(ctx, WHET_ERR_SHAPE,
                        "%s: rows of another size; expected [rows, %lld], one column a class of "
                        "%s, indptr of rows + 1, as many indices as data",
                        probs, (long long)k, classes);
        goto done;
    }
    p->rows = size[0];
    p->sparse = true;
    p->first = indptr.data;
    p->p = data.data;
    indptr.data = data.data = NULL;
    WHET_TRY_DONE(check_compressed(ctx, p, n, indices.data));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &p->column));
    for (int64_t e = 0; e < n; e++) p->column[e] = (int32_t)((const int64_t *)indices.data)[e];
done:
    whet_tensor_destroy(ctx, &shape);
    whet_tensor_destroy(ctx, &indptr);
    whet_tensor_destroy(ctx, &indices);
    whet_tensor_destroy(ctx, &data);
    return status;
}

/* An archive with the parts of compressed rows: looked for by name, errors are for the readers. */
static bool is_compressed(whet_ctx *ctx, const char *probs) {
    return whet_i_has_extension(probs, ".npz") && whet_i_npz_has(ctx, probs, "indptr");
}

/* ---- sparse: tables -------------------------------------------------------------------------- */

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
    p->sparse = true;
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
    WHET_TRY_DONE(whet_i_is_table(probs)      ? read_sparse(ctx, probs, classes, p)
                  : is_compressed(ctx, probs) ? read_compressed(ctx, probs, classes, p)
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
    const whet_tensor *array = &p->array.tensor;
    const size_t size = whet_dtype_size(array->dtype);
    const whet_tensor rows = {
        (char *)array->data + (size_t)(first * k) * size, array->dtype, 2, {n, k}};
    whet_tensor copy;
    WHET_TRY(whet_tensor_convert(ctx, &rows, WHET_F64, &copy));
    memcpy(out, copy.data, (size_t)(n * k) * sizeof *out);
    whet_tensor_destroy(ctx, &copy);
    whet_i_array_view_forget(&p->array);
    return WHET_OK;
}

whet_status whet_posteriors_block(whet_ctx *ctx, const whet_posteriors *p, int64_t first, int64_t n,
                                  double *out) {
    const int64_t k = whet_names_count(p->classes);
    if (first < 0 || n < 0 || first > p->rows || n > p->rows - first)
        return whet_i_fail(ctx, WHET_ERR_ARG, "rows %lld and %lld more; expected 0..%lld",
                           (long long)first, (long long)n, (long long)p->rows);
    if (p->sparse) {
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

bool whet_posteriors_are_sparse(const whet_posteriors *p) { return p->sparse; }

whet_status whet_posteriors_entries(whet_ctx *ctx, const whet_posteriors *p, int64_t first,
                                    int64_t n, whet_sparse_rows *out) {
    if (!p->sparse)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s: entries of whole rows; expected sparse ones",
                           p->path);
    if (first < 0 || n < 0 || first > p->rows || n > p->rows - first)
        return whet_i_fail(ctx, WHET_ERR_ARG, "rows %lld and %lld more; expected 0..%lld",
                           (long long)first, (long long)n, (long long)p->rows);
    for (int64_t i = first; i < first + n; i++) {
        bool mass = false;
        for (int64_t e = p->first[i]; e < p->first[i + 1]; e++) mass |= p->p[e] > 0;
        if (!mass)
            return whet_i_fail(ctx, WHET_ERR_DATA, "%s: row %lld is all zero; expected some mass",
                               p->path, (long long)whet_posteriors_row(p, i));
    }
    *out = (whet_sparse_rows){p->first + first, p->column, p->p, n};
    return WHET_OK;
}
