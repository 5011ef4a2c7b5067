/* SPDX-License-Identifier: Apache-2.0
 * One body for the three table formats. */
#ifndef WHET_FUZZ_TABLE_H
#define WHET_FUZZ_TABLE_H

#include "fuzz.h"

#include "io/table_i.h"

/* The same in parts of `part` bytes: the same cells on the same lines, or the same sentence. */
static inline void fuzz_table_parts(whet_i_table_format format, const uint8_t *data, size_t size,
                                    int64_t part, const whet_table *whole, const char *sentence) {
    whet_ctx *ctx = fuzz_begin();
    whet_i_table_parts *parts = NULL;
    whet_table *t = NULL;
    int64_t row = 0;
    whet_status status =
        whet_i_table_parts_over(ctx, format, "f", (const char *)data, (int64_t)size, part, &parts);
    FUZZ_REQUIRE(status == WHET_OK);
    while ((status = whet_i_table_parts_next(ctx, parts, &t)) == WHET_OK && t) {
        for (int64_t r = 0; whole && r < whet_table_rows(t); r++, row++) {
            FUZZ_REQUIRE(row < whet_table_rows(whole));
            FUZZ_REQUIRE(whet_table_line(t, r) == whet_table_line(whole, row));
            for (int64_t c = 0; c < whet_names_count(whet_table_columns(whole)); c++) {
                const whet_str name = whet_names_get(whet_table_columns(whole), c);
                const int64_t own = whet_names_find(whet_table_columns(t), name);
                const whet_str cell = own < 0 ? (whet_str){"", 0} : whet_table_cell(t, r, own);
                FUZZ_REQUIRE(whet_str_equal(cell, whet_table_cell(whole, row, c)));
            }
        }
        whet_table_destroy(ctx, t);
    }
    FUZZ_REQUIRE((status == WHET_OK) == (whole != NULL));
    FUZZ_REQUIRE(!whole || row == whet_table_rows(whole));
    /* JSONL counts the columns of the part, where it counts them. */
    const size_t same =
        format == WHET_TABLE_JSONL ? strcspn(sentence + 2, ": ") + 2 : strlen(sentence) + 1;
    FUZZ_REQUIRE(whole || strncmp(whet_error(ctx), sentence, same) == 0);
    whet_i_table_parts_close(ctx, parts);
    fuzz_end(ctx, status);
}

static inline void fuzz_table(whet_i_table_format format, const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    char *bytes = NULL;
    whet_table *table = NULL;
    FUZZ_REQUIRE(whet_i_alloc(ctx, (int64_t)size + 1, &bytes) == WHET_OK);
    if (size) memcpy(bytes, data, size);
    bytes[size] = '\0';
    const whet_status status = whet_i_table_parse(ctx, format, "f", bytes, (int64_t)size, &table);
    if (status == WHET_OK) {
        const int64_t columns = whet_names_count(whet_table_columns(table));
        int64_t total = 0;
        for (int64_t r = 0; r < whet_table_rows(table); r++) {
            /* Equal where CSV rows end in a lone carriage return. */
            FUZZ_REQUIRE(r == 0 || whet_table_line(table, r) >= whet_table_line(table, r - 1));
            for (int64_t c = 0; c < columns; c++) {
                const whet_str cell = whet_table_cell(table, r, c);
                FUZZ_REQUIRE(cell.len >= 0 && cell.ptr[cell.len] == '\0');
                fuzz_touch(cell.ptr, cell.len);
                total += cell.len;
            }
        }
        FUZZ_REQUIRE(total <= (int64_t)size); /* cells never overlap */
    }
    static const int64_t parts[] = {1, 13};
    for (int i = 0; i < 2; i++)
        fuzz_table_parts(format, data, size, parts[i], table, whet_error(ctx));
    whet_table_destroy(ctx, table);
    fuzz_end(ctx, status);
}

#endif
