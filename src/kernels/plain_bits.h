/* SPDX-License-Identifier: Apache-2.0
 * Kernels whose plain C is what every table wants: compiled once for each instruction set, where the
 * compiler finds the instructions (popcnt). Included by the files of the tables. */
static int64_t common_bits(int64_t words, const uint64_t *a, const uint64_t *b) {
    int64_t sum = 0;
    for (int64_t i = 0; i < words; i++) sum += __builtin_popcountll(a[i] & b[i]);
    return sum;
}

#define BITS_SLOTS .common_bits = common_bits
