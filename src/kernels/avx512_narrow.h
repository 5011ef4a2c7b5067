/* SPDX-License-Identifier: Apache-2.0
 * Rounding to bfloat16 in vectors, by AVX512_BF16's instructions or, with WHET_EMULATE_BF16, by their
 * definition. Included after simd_kernels.h. */
#ifndef WHET_AVX512_NARROW_H
#define WHET_AVX512_NARROW_H

/* 16 numbers rounded to bfloat16, to nearest even; NaN stays NaN. The instruction takes numbers below
 * the normal range for 0, as the multiplication would. */
INLINE __m256i narrowed(__m512 x) {
#ifdef WHET_EMULATE_BF16
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x00400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
#else
    return (__m256i)_mm512_cvtneps_pbh(x);
#endif
}

/* Pairs of numbers, rounded: x's in the low halves, y's in the high ones. */
INLINE __m512i paired(__m512 x, __m512 y) {
#ifdef WHET_EMULATE_BF16
    const __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(narrowed(y)), 16);
    return _mm512_or_si512(_mm512_cvtepu16_epi32(narrowed(x)), high);
#else
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i from = _mm512_add_epi32(_mm512_mullo_epi32(lane, _mm512_set1_epi32(0x00010001)),
                                          _mm512_set1_epi32(0x00100000));
    return _mm512_permutexvar_epi16(from, (__m512i)_mm512_cvtne2ps_pbh(y, x));
#endif
}

#endif
