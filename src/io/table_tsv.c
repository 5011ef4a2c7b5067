/* SPDX-License-Identifier: Apache-2.0
 * Tab-separated tables: a header line, a row a line, no quoting. Every byte except tab and line
 * feed may stand in a cell; a carriage return before the line feed belongs to the line end. */
#include "io/table_i.h"

static int64_t line_end(const whet_table *table, int64_t at) {
    const char *found = memchr(table->bytes + at, '\n', (size_t)(table->len - at));
    return found ? found - table->bytes : table->len;
}

static int64_t without_return(const whet_table *table, int64_t from, int64_t end) {
    return end > from && table->bytes[end - 1] == '\r' ? end - 1 : end;
}

static int64_t next_tab(const whet_table *table, int64_t at, int64_t end) {
    const char *found = memchr(table->bytes + at, '\t', (size_t)(end - at));
    return found ? found - table->bytes : end;
}

static whet_status header(whet_ctx *ctx, whet_table *table, int64_t at, int64_t end) {
    for (;;) {
        const int64_t tab = next_tab(table, at, end);
        WHET_TRY(whet_i_table_column(ctx, table, (whet_str){table->bytes + at, tab - at}, 1));
        if (tab == end) return WHET_OK;
        at = tab + 1;
    }
}

/* Room for all rows at once: exact for honest files, and never more cells than bytes. */
static whet_status reserve(whet_ctx *ctx, whet_table *table, int64_t at) {
    int64_t rows = 0, cells;
    for (int64_t p = at; p < table->len; p = line_end(table, p) + 1) rows++;
    const int64_t columns = whet_names_count(table->columns), most = table->len - at + 1;
    if (__builtin_mul_overflow(rows, columns, &cells) || cells > most) cells = most;
    WHET_TRY(whet_i_alloc(ctx, rows + 1, &table->start));
    table->row_cap = rows + 1;
    WHET_TRY(whet_i_alloc(ctx, cells + 1, &table->end));
    table->cell_cap = cells + 1;
    return WHET_OK;
}

static bool only_line_ends(const whet_table *table, int64_t at) {
    while (at < table->len && (table->bytes[at] == '\n' || table->bytes[at] == '\r')) at++;
    return at == table->len;
}

static whet_status row(whet_ctx *ctx, whet_table *table, int64_t at, int64_t end) {
    const int64_t columns = whet_names_count(table->columns),
                  line = table->rows + 2 + table->skipped;
    int64_t found = 0;
    WHET_TRY(whet_i_table_row(ctx, table, at, line));
    for (;; at++) {
        const int64_t tab = next_tab(table, at, end);
        const bool last = tab == end;
        found++;
        if (found <= columns) WHET_TRY(whet_i_table_cell(ctx, table, tab, -1));
        if (last) break;
        at = tab;
    }
    return found == columns ? WHET_OK : whet_i_table_ragged(ctx, table, line, found);
}

whet_status whet_i_table_tsv(whet_ctx *ctx, whet_table *table, int64_t at) {
    int64_t end = line_end(table, at);
    if (only_line_ends(table, at))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s:1: empty; expected a header line",
                           table->path);
    WHET_TRY(header(ctx, table, at, without_return(table, at, end)));
    WHET_TRY(reserve(ctx, table, end < table->len ? end + 1 : table->len));
    const bool single = whet_names_count(table->columns) == 1;
    while (end + 1 < table->len) {
        at = end + 1;
        end = line_end(table, at);
        const int64_t stop = without_return(table, at, end);
        /* An empty line is a row with an empty cell in a table of one column; at the end of a
         * wider table it is nothing; elsewhere the row is ragged. */
        if (stop == at && !single && only_line_ends(table, at)) break;
        WHET_TRY(row(ctx, table, at, stop));
    }
    return WHET_OK;
}
