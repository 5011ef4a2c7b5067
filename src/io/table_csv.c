/* SPDX-License-Identifier: Apache-2.0
 * Comma-separated tables after RFC 4180, through libcsv in its strict mode: quotes only around a
 * whole cell and doubled inside it; spaces belong to cells. Blank lines are skipped.
 * The parser is fed line by line so that rows know their line; it copies each cell, which then is
 * written over bytes that the parser has already seen. */
#include <csv.h>

#include "io/table_i.h"

enum {
    BETWEEN_ROWS = 0, /* libcsv's state before the first byte of a row */
    BLOCK = 1 << 16 /* by which its cell buffer grows; its own 128 bytes are slow for long cells */
};

typedef struct reader {
    whet_ctx *ctx;
    whet_table *table;
    whet_status status;
    int64_t write;    /* where the next cell goes; never ahead of what was parsed */
    int64_t line;     /* of the bytes being parsed */
    int64_t row_line; /* on which the row under way began */
    int64_t found;    /* cells of the row so far */
    bool in_header;
} reader;

static int no_space(unsigned char c) {
    (void)c;
    return 0;
}

static whet_status take(reader *r, const char *cell, int64_t len) {
    whet_table *table = r->table;
    if (r->in_header) return whet_i_table_column(r->ctx, table, (whet_str){cell, len}, r->row_line);
    if (r->found == 0) WHET_TRY(whet_i_table_row(r->ctx, table, r->write, r->row_line));
    if (++r->found > whet_names_count(table->columns)) return WHET_OK; /* counted, then refused */
    if (len) memmove(table->bytes + r->write, cell, (size_t)len);
    WHET_TRY(whet_i_table_cell(r->ctx, table, r->write + len, -1));
    r->write += len + 1;
    return WHET_OK;
}

static void on_cell(void *bytes, size_t len, void *user) {
    reader *r = user;
    if (r->status == WHET_OK) r->status = take(r, bytes, (int64_t)len);
}

static void on_row(int end, void *user) {
    reader *r = user;
    (void)end;
    if (r->status == WHET_OK && !r->in_header && r->found != whet_names_count(r->table->columns))
        r->status = whet_i_table_ragged(r->ctx, r->table, r->row_line, r->found);
    r->in_header = false;
    r->found = 0;
}

static whet_status quote_error(reader *r, struct csv_parser *parser, int64_t column) {
    if (csv_error(parser) == CSV_ENOMEM)
        return whet_i_fail(r->ctx, WHET_ERR_NOMEM, "%s:%lld: out of memory in the CSV parser",
                           r->table->path, (long long)r->line);
    return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                       "%s:%lld:%lld: quote inside a cell or text behind a closing quote; expected "
                       "quotes around a whole cell, doubled inside it",
                       r->table->path, (long long)r->line, (long long)column);
}

static whet_status parse(reader *r, struct csv_parser *parser, int64_t at) {
    const whet_table *table = r->table;
    while (at < table->len && r->status == WHET_OK) {
        const char *text = table->bytes + at;
        const char *feed = memchr(text, '\n', (size_t)(table->len - at));
        const size_t len = feed ? (size_t)(feed - text) + 1 : (size_t)(table->len - at);
        if (parser->pstate == BETWEEN_ROWS) r->row_line = r->line;
        const size_t done = csv_parse(parser, text, len, on_cell, on_row, r);
        if (r->status != WHET_OK) return r->status;
        if (done != len) return quote_error(r, parser, (int64_t)done + 1);
        at += (int64_t)len;
        r->line++;
    }
    return r->status;
}

whet_status whet_i_table_csv(whet_ctx *ctx, whet_table *table, int64_t at) {
    struct csv_parser parser;
    WHET_TRY(whet_i_alloc(ctx, 64, &table->start));
    WHET_TRY(whet_i_alloc(ctx, 64, &table->line));
    table->row_cap = 64;
    reader r = {.ctx = ctx,
                .table = table,
                .status = WHET_OK,
                .write = at,
                .line = 1 + table->skipped,
                .in_header = true};
    if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI) != 0)
        return whet_i_fail(ctx, WHET_ERR_INTERNAL, "%s: the CSV parser did not start", table->path);
    csv_set_space_func(&parser, no_space);
    csv_set_blk_size(&parser, BLOCK);
    whet_status status = parse(&r, &parser, at);
    if (status == WHET_OK) {
        /* The row that a missing final line feed left open ends here. */
        const int failed = csv_fini(&parser, on_cell, on_row, &r);
        status = r.status;
        if (status == WHET_OK && failed)
            status = whet_i_fail(ctx, WHET_ERR_FORMAT,
                                 "%s:%lld: quote opened in this row is not closed; expected a "
                                 "closing quote before the end of the file",
                                 table->path, (long long)r.row_line);
    }
    if (status == WHET_OK && r.in_header)
        status =
            whet_i_fail(ctx, WHET_ERR_FORMAT, "%s:1: empty; expected a header line", table->path);
    csv_free(&parser);
    return status;
}
