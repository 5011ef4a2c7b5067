/* SPDX-License-Identifier: Apache-2.0
 * The name nearest to a misspelt one, for sentences: Levenshtein distance in bytes, at most half of
 * the word. O(names x length^2). */
#include "core/core_i.h"

enum { LONGEST_COMPARED = 64 };

/* Levenshtein distance by one row of the table. */
static int64_t edits(whet_str a, whet_str b) {
    int64_t row[LONGEST_COMPARED + 1] = {0};
    for (int64_t j = 0; j <= b.len; j++) row[j] = j;
    for (int64_t i = 1; i <= a.len; i++) {
        int64_t diagonal = row[0];
        row[0] = i;
        for (int64_t j = 1; j <= b.len; j++) {
            const int64_t replaced = diagonal + (a.ptr[i - 1] != b.ptr[j - 1]);
            diagonal = row[j];
            const int64_t shorter = row[j] < row[j - 1] ? row[j] : row[j - 1];
            row[j] = shorter + 1 < replaced ? shorter + 1 : replaced;
        }
    }
    return row[b.len];
}

int64_t whet_i_nearest_name(const whet_names *names, whet_str name) {
    if (name.len > LONGEST_COMPARED) return -1;
    int64_t best = -1, least = name.len / 2 + 1;
    for (int64_t i = 0; i < whet_names_count(names); i++) {
        const whet_str other = whet_names_get(names, i);
        if (other.len > LONGEST_COMPARED) continue;
        const int64_t apart = other.len > name.len ? other.len - name.len : name.len - other.len;
        if (apart >= least) continue;
        const int64_t d = edits(name, other);
        if (d < least) {
            least = d;
            best = i;
        }
    }
    return best;
}
