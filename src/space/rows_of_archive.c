/* SPDX-License-Identifier: Apache-2.0
 * Sparse rows from compressed ones, as scipy.sparse.save_npz writes CSR: indptr [rows + 1], indices and data
 * [entries], shape [2]. The three are read in step, stored or deflated; once to check them, once as rows
 * are asked for. */
#include "space/posteriors_i.h"

enum { AT_A_TIME = 4096 };

typedef struct archive_rows {
    whet_i_npz_stream *indptr, *indices, *data;
    int64_t next, end; /* rows read; where the entries of the last one end */
    int64_t *seen;     /* [k] the last row that has the class, counted over all readings */
    int64_t readings;
    int64_t *columns, room; /* of one reading */
} archive_rows;

bool whet_i_is_compressed(whet_ctx *ctx, const char *path) {
    return whet_i_has_extension(path, ".npz") && whet_i_npz_has(ctx, path, "indptr");
}

/* ---- rows ------------------------------------------------------------------------------------ */

static whet_status check_entry(whet_ctx *ctx, const whet_posteriors *p, archive_rows *a,
                               int64_t row, int64_t column, double value) {
    char quoted[WHET_QUOTE_SIZE];
    const int64_t k = whet_names_count(p->classes);
    if (column < 0 || column >= k)
        return whet_i_fail(ctx, WHET_ERR_DATA, "%s: row %lld has class %lld; expected below %lld",
                           p->path, (long long)row, (long long)column, (long long)k);
    if (a->seen[column] == a->readings)
        return whet_i_fail(ctx, WHET_ERR_DATA, "%s: row %lld has class %s twice; expected once",
                           p->path, (long long)row,
                           whet_i_quote(quoted, whet_names_get(p->classes, column)));
    if (!(value >= 0))
        return whet_i_fail(ctx, WHET_ERR_DATA, "%s: row %lld: p is %g; expected 0 or more", p->path,
                           (long long)row, value);
    a->seen[column] = a->readings;
    return WHET_OK;
}

/* Ends of the next n rows, in entries of the file. */
static whet_status read_ends(whet_ctx *ctx, const whet_posteriors *p, archive_rows *a, int64_t n,
                             int64_t *ends) {
    const int64_t entries = whet_i_npz_stream_count(a->data);
    WHET_TRY(whet_i_npz_stream_read(ctx, a->indptr, n, WHET_I64, ends));
    int64_t before = a->end;
    for (int64_t i = 0; i < n; i++) {
        if (ends[i] < before || ends[i] > entries)
            return whet_i_fail(
                ctx, WHET_ERR_FORMAT,
                "%s: indptr of row %lld is %lld; expected starts in ascending order, "
                "up to %lld",
                p->path, (long long)(a->next + i + 1), (long long)ends[i], (long long)entries);
        before = ends[i];
    }
    return WHET_OK;
}

static whet_status read_columns(whet_ctx *ctx, archive_rows *a, int64_t n) {
    if (n > a->room) {
        WHET_TRY(whet_i_realloc(ctx, &a->columns, n));
        a->room = n;
    }
    return whet_i_npz_stream_read(ctx, a->indices, n, WHET_I64, a->columns);
}

/* At most AT_A_TIME rows. */
static whet_status read_rows(whet_ctx *ctx, whet_posteriors *p, archive_rows *a, int64_t n) {
    row_window *w = &p->window;
    int64_t ends[AT_A_TIME], at = w->n > 0 ? w->first[w->n] : 0, room, e = 0;
    WHET_TRY(read_ends(ctx, p, a, n, ends));
    const int64_t entries = ends[n - 1] - a->end, shift = at - a->end;
    WHET_TRY(whet_i_add(ctx, at, entries, &room));
    WHET_TRY(whet_i_window_room(ctx, w, room));
    WHET_TRY(read_columns(ctx, a, entries));
    WHET_TRY(whet_i_npz_stream_read(ctx, a->data, entries, WHET_F64, w->p + at));
    for (int64_t i = 0; i < n; i++, a->next++) {
        a->readings++;
        WHET_TRY(whet_i_window_begin(ctx, w, a->next));
        for (; at < ends[i] + shift; at++, e++) {
            WHET_TRY(check_entry(ctx, p, a, a->next, a->columns[e], w->p[at]));
            w->column[at] = (int32_t)a->columns[e];
        }
        WHET_TRY(whet_i_window_end(ctx, p, w, at));
    }
    a->end = ends[n - 1];
    return WHET_OK;
}

static whet_status more(whet_ctx *ctx, whet_posteriors *p, int64_t n) {
    archive_rows *a = p->state;
    for (int64_t done = 0; done < n && a->next < p->rows;) {
        int64_t some = n - done < AT_A_TIME ? n - done : AT_A_TIME;
        if (some > p->rows - a->next) some = p->rows - a->next;
        WHET_TRY(read_rows(ctx, p, a, some));
        done += some;
    }
    return WHET_OK;
}

/* Behind the first number of indptr, and the entries before it, which no row has. */
static whet_status begin(whet_ctx *ctx, whet_posteriors *p, archive_rows *a) {
    a->next = a->end = 0;
    int64_t start;
    WHET_TRY(read_ends(ctx, p, a, 1, &start));
    for (int64_t left = start; left > 0;) {
        double unused[AT_A_TIME];
        const int64_t some = left < AT_A_TIME ? left : AT_A_TIME;
        WHET_TRY(read_columns(ctx, a, some));
        WHET_TRY(whet_i_npz_stream_read(ctx, a->data, some, WHET_F64, unused));
        left -= some;
    }
    a->end = start;
    return WHET_OK;
}

static whet_status to_start(whet_ctx *ctx, whet_posteriors *p) {
    archive_rows *a = p->state;
    WHET_TRY(whet_i_npz_stream_rewind(ctx, a->indptr));
    WHET_TRY(whet_i_npz_stream_rewind(ctx, a->indices));
    WHET_TRY(whet_i_npz_stream_rewind(ctx, a->data));
    return begin(ctx, p, a);
}

static void close_archive(whet_ctx *ctx, void *state) {
    archive_rows *a = state;
    if (!a) return;
    whet_i_npz_stream_close(ctx, a->indptr);
    whet_i_npz_stream_close(ctx, a->indices);
    whet_i_npz_stream_close(ctx, a->data);
    whet_i_free(ctx, a->seen);
    whet_i_free(ctx, a->columns);
    whet_i_free(ctx, a);
}

/* ---- opening --------------------------------------------------------------------------------- */

static whet_status check_sizes(whet_ctx *ctx, whet_posteriors *p, const archive_rows *a,
                               const char *classes) {
    whet_i_buf spec = {0};
    whet_tensor shape = {0};
    whet_status status = whet_i_buf_printf(ctx, &spec, "%s:shape", p->path);
    if (status == WHET_OK) status = whet_array_read_as(ctx, spec.data, WHET_I64, 1, true, &shape);
    whet_i_buf_free(ctx, &spec);
    if (status != WHET_OK) return status;
    const int64_t *size = shape.data, k = whet_names_count(p->classes),
                  n = whet_i_npz_stream_count(a->data), starts = whet_i_npz_stream_count(a->indptr);
    if (n < 0 || starts < 1 || whet_i_npz_stream_count(a->indices) != n || shape.shape[0] != 2 ||
        size[1] != k || size[0] != starts - 1)
        status =
            whet_i_fail(ctx, WHET_ERR_SHAPE,
                        "%s: rows of another size; expected [rows, %lld], one column a class of "
                        "%s, indptr of rows + 1, as many indices as data",
                        p->path, (long long)k, classes);
    else
        p->rows = size[0];
    whet_tensor_destroy(ctx, &shape);
    return status;
}

/* Columns that are compressed have the same arrays, and are no rows. */
static whet_status check_format(whet_ctx *ctx, const whet_posteriors *p) {
    char format[16], quoted[WHET_QUOTE_SIZE];
    whet_i_npz_word(ctx, p->path, "format", format, sizeof format);
    if (!*format || strcmp(format, "csr") == 0) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                       "%s: \"format\" is %s; expected \"csr\", rows that are compressed; try "
                       "scipy.sparse's tocsr",
                       p->path, whet_i_quote(quoted, whet_str_from(format)));
}

/* Goes through all rows, keeping none, and to the end of the arrays, where damage shows. */
static whet_status check_all(whet_ctx *ctx, whet_posteriors *p, archive_rows *a) {
    WHET_TRY(begin(ctx, p, a));
    while (a->next < p->rows) {
        p->window.n = 0;
        WHET_TRY(more(ctx, p, AT_A_TIME));
        p->entries += p->window.first[p->window.n];
        WHET_TRY(whet_i_progress(ctx, "read", a->next, p->rows));
    }
    p->window.n = 0;
    WHET_TRY(whet_i_npz_stream_end(ctx, a->indptr));
    WHET_TRY(whet_i_npz_stream_end(ctx, a->indices));
    return whet_i_npz_stream_end(ctx, a->data);
}

whet_status whet_i_compressed_rows_open(whet_ctx *ctx, const char *classes, whet_posteriors *p) {
    static const row_source source = {more, to_start, close_archive};
    archive_rows *a;
    WHET_TRY(whet_i_calloc(ctx, 1, &a));
    p->sparse = p->in_turn = true;
    p->source = &source;
    p->state = a; /* released with *p */
    WHET_TRY(whet_names_read(ctx, classes, &p->classes));
    WHET_TRY(whet_i_calloc(ctx, whet_names_count(p->classes), &a->seen));
    WHET_TRY(whet_i_npz_stream_open(ctx, p->path, "indptr", &a->indptr));
    WHET_TRY(whet_i_npz_stream_open(ctx, p->path, "indices", &a->indices));
    WHET_TRY(whet_i_npz_stream_open(ctx, p->path, "data", &a->data));
    WHET_TRY(check_format(ctx, p));
    WHET_TRY(check_sizes(ctx, p, a, classes));
    WHET_TRY(check_all(ctx, p, a));
    return to_start(ctx, p);
}
