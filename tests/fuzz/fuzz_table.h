/* SPDX-License-Identifier: Apache-2.0
 * One body for the three table formats. */
#ifndef WHET_FUZZ_TABLE_H
#define WHET_FUZZ_TABLE_H

#include "fuzz.h"

#include "io/table_i.h"

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
        whet_table_destroy(ctx, table);
    }
    fuzz_end(ctx, status);
}

#endif
