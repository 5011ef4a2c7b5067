/* SPDX-License-Identifier: Apache-2.0
 * Sorting a column, as trees do at every node. Shell's method with Ciura's gaps: for some hundred rows, and
 * for hundreds of thousands of such sorts, faster than calls of a comparison. */
#include "label/label_i.h"

void whet_i_sort_values(whet_i_sorted_value *sorted, int64_t n) {
    static const int64_t gaps[] = {1750, 701, 301, 132, 57, 23, 10, 4, 1};
    for (int64_t g = 0; g < WHET_COUNT_OF(gaps); g++)
        for (int64_t i = gaps[g]; i < n; i++) {
            const whet_i_sorted_value moved = sorted[i];
            int64_t at = i;
            for (; at >= gaps[g] && sorted[at - gaps[g]].value > moved.value; at -= gaps[g])
                sorted[at] = sorted[at - gaps[g]];
            sorted[at] = moved;
        }
}
