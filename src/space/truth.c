/* SPDX-License-Identifier: Apache-2.0
 * Labels of rows as points of a space, from the shapes in which people keep them: a table with the
 * row beside the label, a table with a label for every row, a plain list. */
#include "space/posteriors_i.h"

#include "io/io_i.h"

typedef struct labels {
    const whet_posteriors *posteriors;
    const whet_space *space;
    const char *path;
    int64_t *out; /* [rows], -1 = none yet */
} labels;

static whet_status set_label(whet_ctx *ctx, const labels *l, int64_t line, int64_t row,
                             whet_str name) {
    int64_t point;
    const whet_status status = whet_space_find(ctx, l->space, whet_i_trim(name), &point);
    if (status != WHET_OK) return whet_i_fail_at(ctx, status, "%s:%lld", l->path, (long long)line);
    if (l->out[row] >= 0)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s:%lld: row %lld has a label already; expected one", l->path,
                           (long long)line, (long long)whet_posteriors_row(l->posteriors, row));
    l->out[row] = point;
    return WHET_OK;
}

/* ---- rows named ------------------------------------------------------------------------------ */

static whet_status read_numbered(whet_ctx *ctx, const labels *l, const whet_table *t,
                                 int64_t row_at, int64_t label_at) {
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t i = 0; i < whet_table_rows(t); i++) {
        const whet_str cell = whet_table_cell(t, i, row_at), name = whet_table_cell(t, i, label_at);
        const int64_t line = whet_table_line(t, i);
        int64_t number;
        if (!whet_i_parse_int(cell, &number) || number < 0)
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s:%lld: row is %s; expected a whole number of 0 or more", l->path,
                               (long long)line, whet_i_quote(quoted, cell));
        const int64_t row = whet_i_posteriors_find(l->posteriors, number);
        if (row < 0 && !l->posteriors->named)
            return whet_i_fail(ctx, WHET_ERR_DATA, "%s:%lld: row %lld; expected below %lld, as %s",
                               l->path, (long long)line, (long long)number,
                               (long long)l->posteriors->rows, l->posteriors->path);
        /* Sparse probabilities may be of some of the rows that have labels. */
        if (row >= 0 && whet_i_trim(name).len) WHET_TRY(set_label(ctx, l, line, row, name));
    }
    return WHET_OK;
}

/* ---- every row in turn ----------------------------------------------------------------------- */

/* n labels for all rows: as many as rows, or, beside sparse probabilities, enough. */
static whet_status check_count(whet_ctx *ctx, const labels *l, int64_t n) {
    const whet_posteriors *p = l->posteriors;
    const int64_t last = p->rows ? whet_posteriors_row(p, p->rows - 1) : -1;
    if (!p->named && n != p->rows)
        return whet_i_fail(ctx, WHET_ERR_SHAPE, "%s: %lld labels; expected %lld, one a row of %s",
                           l->path, (long long)n, (long long)p->rows, p->path);
    if (p->named && last >= n)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: %lld labels; expected more than %lld, a row of "
                           "%s",
                           l->path, (long long)n, (long long)last, p->path);
    return WHET_OK;
}

static whet_status read_column(whet_ctx *ctx, const labels *l, const whet_table *t,
                               int64_t label_at) {
    WHET_TRY(check_count(ctx, l, whet_table_rows(t)));
    for (int64_t row = 0; row < l->posteriors->rows; row++) {
        const int64_t i = whet_posteriors_row(l->posteriors, row);
        const whet_str name = whet_table_cell(t, i, label_at);
        if (whet_i_trim(name).len) WHET_TRY(set_label(ctx, l, whet_table_line(t, i), row, name));
    }
    return WHET_OK;
}

/* The line that starts at `at`, without its end; *next is where the next one starts. */
static whet_str line_at(const char *bytes, int64_t len, int64_t at, int64_t *next) {
    const char *newline = memchr(bytes + at, '\n', (size_t)(len - at));
    int64_t end = newline ? newline - bytes : len;
    *next = newline ? end + 1 : len;
    if (end > at && bytes[end - 1] == '\r') end--;
    return (whet_str){bytes + at, end - at};
}

static whet_status read_lines(whet_ctx *ctx, const labels *l, const char *bytes, int64_t len) {
    const whet_posteriors *p = l->posteriors;
    int64_t n = 0, at = len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    const int64_t first = at;
    for (; at < len; n++) (void)line_at(bytes, len, at, &at);
    WHET_TRY(check_count(ctx, l, n));
    at = first;
    for (int64_t i = 0, row = 0; i < n && row < p->rows; i++) {
        const whet_str name = line_at(bytes, len, at, &at);
        if (whet_posteriors_row(p, row) != i) continue;
        if (whet_i_trim(name).len) WHET_TRY(set_label(ctx, l, i + 1, row, name));
        row++;
    }
    return WHET_OK;
}

static whet_status read_list(whet_ctx *ctx, const labels *l) {
    char *bytes;
    int64_t len;
    WHET_TRY(whet_i_file_read(ctx, l->path, WHET_FILE_MAX, &bytes, &len));
    const whet_status status = read_lines(ctx, l, bytes, len);
    whet_i_free(ctx, bytes);
    return status;
}

/* ---- which ----------------------------------------------------------------------------------- */

static int64_t column_of(const whet_table *t, const char *name) {
    return whet_names_find(whet_table_columns(t), whet_str_from(name));
}

static whet_status read_table(whet_ctx *ctx, const labels *l, bool *list) {
    whet_table *t;
    WHET_TRY(whet_table_read(ctx, l->path, &t));
    const int64_t row = column_of(t, "row"), class = column_of(t, "class");
    const int64_t label = column_of(t, "label") >= 0 ? column_of(t, "label") : class;
    *list = label < 0 && whet_names_count(whet_table_columns(t)) == 1;
    whet_status status = WHET_OK;
    if (label < 0 && !*list)
        status =
            whet_i_fail(ctx, WHET_ERR_FORMAT,
                        "%s: no column label or class; expected one, or a plain list", l->path);
    else if (label >= 0)
        status = row >= 0 ? read_numbered(ctx, l, t, row, label) : read_column(ctx, l, t, label);
    whet_table_destroy(ctx, t);
    return status;
}

whet_status whet_posteriors_labels(whet_ctx *ctx, whet_posteriors *p, const whet_space *space,
                                   const char *path, int64_t *out) {
    whet_status status = WHET_OK;
    labels l = {p, space, path, NULL};
    bool list = true;
    WHET_TRY(whet_i_posteriors_numbers(ctx, p));
    WHET_TRY(whet_i_alloc(ctx, p->rows, &l.out));
    for (int64_t i = 0; i < p->rows; i++) l.out[i] = -1;
    if (whet_i_is_table(path)) WHET_TRY_DONE(read_table(ctx, &l, &list));
    if (list) WHET_TRY_DONE(read_list(ctx, &l));
    memcpy(out, l.out, (size_t)p->rows * sizeof *out);
done:
    whet_i_free(ctx, l.out);
    return status;
}
