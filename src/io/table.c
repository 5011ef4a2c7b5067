/* SPDX-License-Identifier: Apache-2.0
 * Text tables: what the three formats share, and access to cells. */
#include "io/table_i.h"

whet_status whet_i_table_format_of(whet_ctx *ctx, const char *path, whet_i_table_format *out) {
    if (whet_i_has_extension(path, ".tsv") || whet_i_has_extension(path, ".txt"))
        *out = WHET_TABLE_TSV;
    else if (whet_i_has_extension(path, ".csv"))
        *out = WHET_TABLE_CSV;
    else if (whet_i_has_extension(path, ".jsonl") || whet_i_has_extension(path, ".ndjson"))
        *out = WHET_TABLE_JSONL;
    else
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: format unknown from its name; expected .tsv, .csv, .jsonl, "
                           ".ndjson or .txt",
                           path);
    return WHET_OK;
}

/* ---- building -------------------------------------------------------------------------------- */

whet_status whet_i_table_row(whet_ctx *ctx, whet_table *table, int64_t start, int64_t line) {
    enum { POLL = 1 << 16 };
    if (table->rows == table->row_cap) {
        const int64_t cap = table->row_cap ? table->row_cap * 2 : 64;
        WHET_TRY(whet_i_realloc(ctx, &table->start, cap));
        if (table->line) WHET_TRY(whet_i_realloc(ctx, &table->line, cap));
        if (table->first) WHET_TRY(whet_i_realloc(ctx, &table->first, cap));
        table->row_cap = cap;
    }
    if (table->rows % POLL == POLL - 1) WHET_TRY(whet_i_progress(ctx, "read", start, table->len));
    table->start[table->rows] = start;
    if (table->line) table->line[table->rows] = line;
    if (table->first) table->first[table->rows] = table->cells;
    table->rows++;
    return WHET_OK;
}

whet_status whet_i_table_cell(whet_ctx *ctx, whet_table *table, int64_t end, int32_t column) {
    if (table->cells == table->cell_cap) {
        const int64_t cap = table->cell_cap ? table->cell_cap * 2 : 256;
        WHET_TRY(whet_i_realloc(ctx, &table->end, cap));
        if (table->column) WHET_TRY(whet_i_realloc(ctx, &table->column, cap));
        table->cell_cap = cap;
    }
    const int64_t row = table->rows - 1, reach = end - table->start[row];
    if (reach > UINT32_MAX)
        return whet_i_fail(ctx, WHET_ERR_LIMIT, "%s:%lld: row of %lld bytes; expected below 2^32",
                           table->path, (long long)whet_table_line(table, row), (long long)reach);
    table->end[table->cells] = (uint32_t)reach;
    if (table->column) table->column[table->cells] = column;
    table->cells++;
    table->bytes[end] = '\0';
    return WHET_OK;
}

whet_status whet_i_table_column(whet_ctx *ctx, whet_table *table, whet_str name, int64_t line) {
    char quoted[WHET_QUOTE_SIZE];
    const int64_t n = whet_names_count(table->columns);
    if (name.len == 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s:%lld: column %lld has no name; expected a header with a name for "
                           "each column",
                           table->path, (long long)line, (long long)n + 1);
    if (whet_names_find(table->columns, name) >= 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s:%lld: column %s appears twice; expected distinct names", table->path,
                           (long long)line, whet_i_quote(quoted, name));
    if (n == INT32_MAX)
        return whet_i_fail(ctx, WHET_ERR_LIMIT, "%s:%lld: over %d columns", table->path,
                           (long long)line, INT32_MAX);
    return whet_names_add(ctx, table->columns, name, NULL);
}

whet_status whet_i_table_ragged(whet_ctx *ctx, const whet_table *table, int64_t line,
                                int64_t found) {
    return whet_i_fail(ctx, WHET_ERR_FORMAT,
                       "%s:%lld: row has %lld cells; expected %lld, one for each column of the "
                       "header",
                       table->path, (long long)line, (long long)found,
                       (long long)whet_names_count(table->columns));
}

/* ---- reading --------------------------------------------------------------------------------- */

static whet_status fill(whet_ctx *ctx, whet_table *table, whet_i_table_format format) {
    const unsigned char *b = (const unsigned char *)table->bytes;
    int64_t at = 0;
    if (table->len >= 3 && memcmp(b, "\xef\xbb\xbf", 3) == 0) at = 3;
    if (table->len >= 2 && ((b[0] == 0xff && b[1] == 0xfe) || (b[0] == 0xfe && b[1] == 0xff)))
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: begins with a UTF-16 mark; expected UTF-8; try iconv -f UTF-16",
                           table->path);
    if (table->len >= 2 && b[0] == 0x1f && b[1] == 0x8b)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: begins as a gzip file does; expected text; try gunzip",
                           table->path);
    if (table->len >= 4 && memcmp(b, "PK\x03\x04", 4) == 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: begins as a zip file or a spreadsheet does; expected text; try "
                           "exporting it as CSV",
                           table->path);
    switch (format) {
    case WHET_TABLE_TSV: return whet_i_table_tsv(ctx, table, at);
    case WHET_TABLE_CSV: return whet_i_table_csv(ctx, table, at);
    case WHET_TABLE_JSONL: return whet_i_table_jsonl(ctx, table, at);
    }
    return whet_i_fail(ctx, WHET_ERR_INTERNAL, "table format %d", (int)format);
}

whet_status whet_i_table_parse_part(whet_ctx *ctx, whet_i_table_format format, const char *where,
                                    char *bytes, int64_t len, int64_t skipped, whet_table **out) {
    whet_table *table = NULL;
    whet_status status = whet_i_calloc(ctx, 1, &table);
    if (status != WHET_OK) {
        whet_i_free(ctx, bytes);
        return status;
    }
    table->bytes = bytes;
    table->len = len;
    table->skipped = skipped;
    WHET_TRY_DONE(whet_i_strdup(ctx, whet_str_from(where), &table->path));
    WHET_TRY_DONE(whet_names_create(ctx, &table->columns));
    WHET_TRY_DONE(fill(ctx, table, format));
    *out = table;
    return WHET_OK;
done:
    whet_table_destroy(ctx, table);
    return status;
}

whet_status whet_i_table_parse(whet_ctx *ctx, whet_i_table_format format, const char *where,
                               char *bytes, int64_t len, whet_table **out) {
    return whet_i_table_parse_part(ctx, format, where, bytes, len, 0, out);
}

whet_status whet_table_read(whet_ctx *ctx, const char *path, whet_table **out) {
    whet_i_table_format format;
    char *bytes;
    int64_t len;
    WHET_TRY(whet_i_table_format_of(ctx, path, &format));
    WHET_TRY(whet_i_file_read(ctx, path, WHET_FILE_MAX, &bytes, &len));
    return whet_i_table_parse(ctx, format, path, bytes, len, out);
}

void whet_table_destroy(whet_ctx *ctx, whet_table *table) {
    if (!table) return;
    whet_i_free(ctx, table->path);
    whet_i_free(ctx, table->bytes);
    whet_names_destroy(ctx, table->columns);
    whet_i_free(ctx, table->start);
    whet_i_free(ctx, table->line);
    whet_i_free(ctx, table->first);
    whet_i_free(ctx, table->end);
    whet_i_free(ctx, table->column);
    whet_i_free(ctx, table);
}

/* ---- access ---------------------------------------------------------------------------------- */

int64_t whet_table_rows(const whet_table *table) { return table->rows; }

const whet_names *whet_table_columns(const whet_table *table) { return table->columns; }

const char *whet_table_path(const whet_table *table) { return table->path; }

int64_t whet_table_line(const whet_table *table, int64_t row) {
    return table->line ? table->line[row] : row + 2 + table->skipped;
}

whet_str whet_table_cell(const whet_table *table, int64_t row, int64_t column) {
    const int64_t first = table->first ? table->first[row] : row * whet_names_count(table->columns);
    int64_t k = column;
    if (table->column) {
        const int64_t next = row + 1 < table->rows ? table->first[row + 1] : table->cells;
        const int64_t n = next - first;
        /* Records mostly name their members in one order, so try the column's own place first. */
        if (k >= n || table->column[first + k] != column)
            for (k = 0; k < n && table->column[first + k] != column;) k++;
        if (k == n) return (whet_str){"", 0};
    }
    const int64_t begin = k ? (int64_t)table->end[first + k - 1] + 1 : 0;
    return (whet_str){table->bytes + table->start[row] + begin,
                      (int64_t)table->end[first + k] - begin};
}

/* Levenshtein distance of the first 32 bytes, case of ASCII letters ignored. */
static int64_t distance(whet_str a, whet_str b) {
    enum { CUT = 32 };
    const int64_t n = a.len < CUT ? a.len : CUT, m = b.len < CUT ? b.len : CUT;
    int64_t row[CUT + 1];
    for (int64_t j = 0; j <= m; j++) row[j] = j;
    for (int64_t i = 1; i <= n; i++) {
        int64_t diagonal = row[0];
        row[0] = i;
        for (int64_t j = 1; j <= m; j++) {
            const bool same = (a.ptr[i - 1] | 32) == (b.ptr[j - 1] | 32);
            int64_t best = diagonal + (same ? 0 : 1);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[m];
}

/* A header of one cell that holds what divides cells elsewhere. */
static const char *advice_of(const whet_table *table) {
    if (whet_names_count(table->columns) != 1) return "";
    const whet_str only = whet_names_get(table->columns, 0);
    if (memchr(only.ptr, '\t', (size_t)only.len)) return "; try naming the file .tsv: it has tabs";
    if (memchr(only.ptr, ';', (size_t)only.len)) return "; try commas in place of its semicolons";
    if (memchr(only.ptr, ',', (size_t)only.len)) return "; try naming the file .csv: it has commas";
    return "";
}

/* The nearest names of columns, as a sentence lists them; "" of a table without any. */
static whet_status list_columns(whet_ctx *ctx, const whet_table *table, whet_str wanted,
                                whet_i_buf *list) {
    enum { SHOWN = 8 };
    const int64_t n = whet_names_count(table->columns);
    int64_t nearest[SHOWN], far[SHOWN], shown = 0; /* by insertion, stable */
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t i = 0; i < n; i++) {
        const int64_t d = distance(wanted, whet_names_get(table->columns, i));
        int64_t k = shown < SHOWN ? shown++ : SHOWN - 1;
        if (shown == SHOWN && k == SHOWN - 1 && i >= SHOWN && far[k] <= d) continue;
        for (; k > 0 && far[k - 1] > d; k--) {
            far[k] = far[k - 1];
            nearest[k] = nearest[k - 1];
        }
        far[k] = d;
        nearest[k] = i;
    }
    for (int64_t k = 0; k < shown; k++)
        WHET_TRY(
            whet_i_buf_printf(ctx, list, "%s%s", k ? ", " : "",
                              whet_i_quote(quoted, whet_names_get(table->columns, nearest[k]))));
    return n > shown ? whet_i_buf_printf(ctx, list, ", ...") : WHET_OK;
}

/* Where a column is, or where it is not: `named` by the user, who picks among those that there are, or the
 * format's own. */
static whet_status find_column(whet_ctx *ctx, const whet_table *table, const char *column,
                               bool named, int64_t *out) {
    const whet_str wanted = whet_str_from(column);
    const int64_t found = whet_names_find(table->columns, wanted);
    const bool several = whet_names_count(table->columns) > 1;
    char quoted[WHET_QUOTE_SIZE];
    whet_i_buf list = {0};
    if (found >= 0) {
        *out = found;
        return WHET_OK;
    }
    whet_status status = list_columns(ctx, table, wanted, &list);
    (void)whet_i_quote(quoted, wanted);
    if (status == WHET_OK && named)
        status = whet_i_fail(ctx, WHET_ERR_ARG, "%s: no column %s; expected %s%s%s", table->path,
                             quoted, several ? "one of " : "",
                             list.data ? list.data : "a table with columns", advice_of(table));
    else if (status == WHET_OK)
        status = whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: no column %s%s%s; expected one%s",
                             table->path, quoted, list.data ? ", but " : "",
                             list.data ? list.data : "", advice_of(table));
    whet_i_buf_free(ctx, &list);
    return status;
}

whet_status whet_table_find(whet_ctx *ctx, const whet_table *table, const char *column,
                            int64_t *out) {
    return find_column(ctx, table, column, true, out);
}

whet_status whet_i_table_needs(whet_ctx *ctx, const whet_table *table, const char *column,
                               int64_t *out) {
    return find_column(ctx, table, column, false, out);
}
