/* SPDX-License-Identifier: Apache-2.0
 * Dropout by a counter: what is dropped depends on a number's place alone. Written once in vectors and
 * compiled for each instruction set, as plain_merge.h is; every number is by itself: every table has the
 * same bits. Included by the tables' files. */
#include "kernels/kernels_i.h"

enum { DROP_WORDS = 8, DROP_LANES = 16, DROP_NUMBERS = 4 * DROP_WORDS };

typedef uint64_t drop_words __attribute__((vector_size(64)));
typedef uint16_t drop_halves __attribute__((vector_size(32)));
typedef uint32_t drop_bits __attribute__((vector_size(64)));
typedef int32_t drop_mask __attribute__((vector_size(64)));
typedef float drop_vec __attribute__((vector_size(64), aligned(4), may_alias));

/* whet_i_hash_u64 of eight counters: 16 bits a number, the lowest first. */
static inline __attribute__((always_inline)) void drop_draw(uint64_t stream, uint64_t group,
                                                            drop_halves halves[2]) {
    static const drop_words lane = {0, 1, 2, 3, 4, 5, 6, 7};
    drop_words x = (group + lane) ^ stream;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
    x = (x ^ x >> 27) * 0x94d049bb133111ebU;
    x ^= x >> 31;
    memcpy(halves, &x, sizeof x);
}

static void drop_few(int64_t n, uint64_t stream, uint64_t group, uint32_t threshold,
                     whet_i_real keep, const whet_i_real *from, bool adds, whet_i_real *to) {
    for (int64_t i = 0; i < n; i += 4, group++) {
        const uint64_t bits = whet_i_hash_u64(stream ^ group);
        for (int64_t j = i; j < i + 4 && j < n; j++) {
            const bool kept = (bits >> 16 * (j - i) & 0xffff) >= threshold;
            const whet_i_real y = kept ? keep * from[j] : 0;
            to[j] = adds ? to[j] + y : y;
        }
    }
}

static void dropout(int64_t n, uint64_t stream, int64_t first, uint32_t threshold, whet_i_real keep,
                    const whet_i_real *from, bool adds, whet_i_real *to) {
    int64_t i = 0;
    /* Where numbers are f64, on reference kernels, nothing is in vectors. */
    for (; sizeof *to == sizeof(float) && i + DROP_NUMBERS <= n; i += DROP_NUMBERS) {
        drop_halves halves[2];
        drop_draw(stream, (uint64_t)(first + i) / 4, halves);
        for (int h = 0; h < 2; h++) {
            const drop_vec *x = (const drop_vec *)(const void *)(from + i + h * DROP_LANES);
            drop_vec *out = (drop_vec *)(void *)(to + i + h * DROP_LANES);
            const drop_mask kept =
                (drop_mask)(__builtin_convertvector(halves[h], drop_bits) >= threshold);
            drop_vec y = (drop_vec)((drop_mask)(*x * (float)keep) & kept);
            if (adds) y += *out;
            *out = y;
        }
    }
    drop_few(n - i, stream, (uint64_t)(first + i) / 4, threshold, keep, from + i, adds, to + i);
}

#define DROPOUT_SLOTS .dropout = dropout
