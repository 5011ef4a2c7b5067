/* SPDX-License-Identifier: Apache-2.0
 * Which examples are on both sides, inputs and labels alike, whatever their files are called. */
#include <stdlib.h>

#include "market/market_i.h"

uint64_t whet_i_example_hash(const float *x, int64_t d, int32_t label) {
    return whet_i_hash_u64(whet_i_hash_long(x, d * (int64_t)sizeof *x) ^
                           whet_i_hash_u64((uint64_t)label));
}

static int by_value(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void whet_i_examples_sort(uint64_t *hashes, int64_t n) {
    if (n) qsort(hashes, (size_t)n, sizeof *hashes, by_value);
}

int64_t whet_i_examples_common(const uint64_t *a, int64_t n, const uint64_t *b, int64_t m,
                               int64_t *differ) {
    int64_t found = 0;
    *differ = n > 0;
    for (int64_t i = 1; i < n; i++) *differ += a[i] != a[i - 1];
    for (int64_t i = 0, j = 0; j < m; j++) {
        while (i < n && a[i] < b[j]) i++;
        found += i < n && a[i] == b[j];
    }
    return found;
}
