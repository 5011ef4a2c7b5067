/* SPDX-License-Identifier: Apache-2.0
 * How many bits two rows of words have in common, for the table that includes this. With AVX-512 the bits of
 * a byte come from two look-ups of half a byte, summed in bytes for as long as these cannot run over (Mula,
 * Kurz & Lemire 2018, arXiv 1611.07612); without it a word at a time is as quick. */
#ifndef WHET_COMMON_BITS_H
#define WHET_COMMON_BITS_H

#include <stdint.h>

#ifdef __AVX512BW__
#include <immintrin.h>

static inline __m512i bits_of_bytes(__m512i v) {
    const __m512i half = _mm512_set1_epi8(15);
    const __m512i count =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m512i low = _mm512_and_si512(v, half),
                  high = _mm512_and_si512(_mm512_srli_epi16(v, 4), half);
    return _mm512_add_epi8(_mm512_shuffle_epi8(count, low), _mm512_shuffle_epi8(count, high));
}

static int64_t common_bits(int64_t words, const uint64_t *a, const uint64_t *b) {
    enum { WORDS = 8, MOST = 31 }; /* 31 times 8 bits fit into a byte */
    __m512i sum = _mm512_setzero_si512();
    int64_t i = 0;
    while (i < words) {
        __m512i bytes = _mm512_setzero_si512();
        for (int turn = 0; turn < MOST && i < words; turn++, i += WORDS) {
            const int64_t left = words - i;
            const __mmask8 there = (__mmask8)(0xff >> (left >= WORDS ? 0 : WORDS - left));
            bytes = _mm512_add_epi8(
                bytes, bits_of_bytes(_mm512_and_si512(_mm512_maskz_loadu_epi64(there, a + i),
                                                      _mm512_maskz_loadu_epi64(there, b + i))));
        }
        sum = _mm512_add_epi64(sum, _mm512_sad_epu8(bytes, _mm512_setzero_si512()));
    }
    return _mm512_reduce_add_epi64(sum);
}

#else

static int64_t common_bits(int64_t words, const uint64_t *a, const uint64_t *b) {
    int64_t sum = 0;
    for (int64_t i = 0; i < words; i++) sum += __builtin_popcountll(a[i] & b[i]);
    return sum;
}

#endif
#endif
