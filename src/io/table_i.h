/* SPDX-License-Identifier: Apache-2.0
 * How a table is held: the file's bytes, decoded in place, and 4 bytes a cell.
 *
 * Decoding never lengthens text, so cells are written over the bytes they came from: cell k of a
 * row starts one byte (a NUL) after cell k - 1 ends, the first at the row's start. */
#ifndef WHET_IO_TABLE_I_H
#define WHET_IO_TABLE_I_H

#include "io/io_i.h"

typedef enum whet_i_table_format {
    WHET_TABLE_TSV,
    WHET_TABLE_CSV,
    WHET_TABLE_JSONL
} whet_i_table_format;

struct whet_table {
    char *path;
    char *bytes; /* len bytes and a NUL */
    int64_t len;
    whet_names *columns;
    int64_t rows, row_cap;
    int64_t *start;  /* [rows] offset of the row's first cell in bytes */
    int64_t *line;   /* [rows] line of the file; NULL when row r stands on line r + 2 */
    int64_t *first;  /* [rows] index of the row's first cell; NULL when row * columns */
    uint32_t *end;   /* [cells] where each cell ends, from its row's start */
    int32_t *column; /* [cells] the cell's column; NULL when cells follow the columns */
    int64_t cells, cell_cap;
    int64_t skipped; /* lines of the file before this part of it, less those of the header */
};

/* Opens a row whose first cell starts at bytes[start]; polls for cancelling now and then. */
WHET_CHECKED whet_status whet_i_table_row(whet_ctx *ctx, whet_table *table, int64_t start,
                                          int64_t line);
/* Adds a cell to the last row: bytes up to bytes[end], where a NUL is put. column -1 = in order. */
WHET_CHECKED whet_status whet_i_table_cell(whet_ctx *ctx, whet_table *table, int64_t end,
                                           int32_t column);
/* A column of the header; empty and repeated names are refused. */
WHET_CHECKED whet_status whet_i_table_column(whet_ctx *ctx, whet_table *table, whet_str name,
                                             int64_t line);
/* The sentence for a row of `found` cells. */
WHET_CHECKED whet_status whet_i_table_ragged(whet_ctx *ctx, const whet_table *table, int64_t line,
                                             int64_t found);

/* Fill table->columns and rows from table->bytes, beginning at offset `at` (behind a mark). */
WHET_CHECKED whet_status whet_i_table_tsv(whet_ctx *ctx, whet_table *table, int64_t at);
WHET_CHECKED whet_status whet_i_table_csv(whet_ctx *ctx, whet_table *table, int64_t at);
WHET_CHECKED whet_status whet_i_table_jsonl(whet_ctx *ctx, whet_table *table, int64_t at);

/* A table from memory. bytes: from whet_i_alloc with a NUL behind its len bytes; taken over,
 * released on failure too. where: the name for sentences. */
WHET_CHECKED whet_status whet_i_table_parse(whet_ctx *ctx, whet_i_table_format format,
                                            const char *where, char *bytes, int64_t len,
                                            whet_table **out);
/* The same of a part of a file behind `skipped` lines, its header repeated before it. */
WHET_CHECKED whet_status whet_i_table_parse_part(whet_ctx *ctx, whet_i_table_format format,
                                                 const char *where, char *bytes, int64_t len,
                                                 int64_t skipped, whet_table **out);
WHET_CHECKED whet_status whet_i_table_format_of(whet_ctx *ctx, const char *path,
                                                whet_i_table_format *out);
/* whet_i_table_parts_open over bytes that stay the caller's. */
WHET_CHECKED whet_status whet_i_table_parts_over(whet_ctx *ctx, whet_i_table_format format,
                                                 const char *where, const char *bytes, int64_t len,
                                                 int64_t part_bytes, whet_i_table_parts **out);

#endif
