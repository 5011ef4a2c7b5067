/* SPDX-License-Identifier: Apache-2.0
 * Rows that are the same, found by a table of hashes with open places. */
#include "core/core_i.h"

whet_status whet_i_alike(whet_ctx *ctx, const void *rows, int64_t bytes, const int64_t *which,
                         int64_t n, int64_t *first) {
    int64_t places = 2, *table;
    while (places < 2 * n) places *= 2;
    WHET_TRY(whet_i_alloc(ctx, places, &table));
    for (int64_t p = 0; p < places; p++) table[p] = -1;
    for (int64_t i = 0; i < n; i++) {
        const char *row = (const char *)rows + (which ? which[i] : i) * bytes;
        int64_t p = (int64_t)(whet_i_hash_bytes(row, bytes) & (uint64_t)(places - 1));
        for (; table[p] >= 0; p = (p + 1) & (places - 1)) {
            const int64_t at = which ? which[table[p]] : table[p];
            if (memcmp(row, (const char *)rows + at * bytes, (size_t)bytes) == 0) break;
        }
        if (table[p] < 0) table[p] = i;
        first[i] = table[p];
    }
    whet_i_free(ctx, table);
    return WHET_OK;
}
