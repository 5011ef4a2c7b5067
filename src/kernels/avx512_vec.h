/* SPDX-License-Identifier: Apache-2.0
 * The vector operations of simd_kernels.h on AVX-512: 16 floats, tiles of 6 x 64, masks for what
 * does not fill a vector. */
#ifndef WHET_AVX512_VEC_H
#define WHET_AVX512_VEC_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef __m512 vec;
enum { LANES = 16 };
#define TILE_VECS 4
#define V static inline __attribute__((always_inline))

V __mmask16 first_of(int64_t count) {
    return (__mmask16)(count >= 16 ? 0xffff : count <= 0 ? 0 : (1 << count) - 1);
}
V vec v_set(float x) { return _mm512_set1_ps(x); }
V vec v_load(const float *p) { return _mm512_loadu_ps(p); }
V vec v_load_part(const float *p, int64_t n) { return _mm512_maskz_loadu_ps(first_of(n), p); }
V void v_store(float *p, vec x) { _mm512_storeu_ps(p, x); }
V void v_store_part(float *p, int64_t n, vec x) { _mm512_mask_storeu_ps(p, first_of(n), x); }
V vec v_add(vec a, vec b) { return _mm512_add_ps(a, b); }
V vec v_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
V vec v_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
V vec v_div(vec a, vec b) { return _mm512_div_ps(a, b); }
V vec v_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
/* Where one is NaN, b: callers put the constant first, so that NaN comes through. */
V vec v_max(vec a, vec b) { return _mm512_max_ps(a, b); }
V vec v_min(vec a, vec b) { return _mm512_min_ps(a, b); }
V vec v_round(vec x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT); }
V vec v_ldexp(vec x, vec n) { return _mm512_scalef_ps(x, n); } /* n whole */
/* The first `count` numbers of x, the rest `other`. */
V vec v_keep(vec x, int64_t count, float other) {
    return _mm512_mask_mov_ps(v_set(other), first_of(count), x);
}
/* 1 where x > 0, else 0; NaN stays. */
V vec v_positive(vec x) {
    const vec zero = _mm512_setzero_ps();
    const vec y = _mm512_mask_mov_ps(zero, _mm512_cmp_ps_mask(x, zero, _CMP_GT_OQ), v_set(1.0f));
    return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), x);
}
/* Where a < b, x, else y (also at NaN). */
V vec v_where_less(vec a, vec b, vec x, vec y) {
    return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), x);
}
V float v_sum_of(vec x) { return _mm512_reduce_add_ps(x); }
V float v_max_of(vec x) { return _mm512_reduce_max_ps(x); }
V vec v_load_bf16(const uint16_t *p) {
    const __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}
/* So many numbers, again and again. */
V vec v_repeat_2(const float *p) {
    int64_t both;
    memcpy(&both, p, sizeof both);
    return _mm512_castsi512_ps(_mm512_set1_epi64(both));
}
V vec v_repeat_4(const float *p) { return _mm512_broadcast_f32x4(_mm_loadu_ps(p)); }
V vec v_repeat_8(const float *p) { return _mm512_broadcast_f32x8(_mm256_loadu_ps(p)); }
/* The sums of lanes that are equal modulo so many. */
V __m256 half_sum(vec x) {
    return _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
}
V __m128 quarter_sum(vec x) {
    const __m256 half = half_sum(x);
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}
V void v_fold_8(vec x, float *to) { _mm256_storeu_ps(to, half_sum(x)); }
V void v_fold_4(vec x, float *to) { _mm_storeu_ps(to, quarter_sum(x)); }
V void v_fold_2(vec x, float *to) {
    const __m128 sum = quarter_sum(x);
    _mm_storel_pi((__m64 *)(void *)to, _mm_add_ps(sum, _mm_movehl_ps(sum, sum)));
}
/* to [n], n <= 4: the sums of four vectors, each added in the same order. */
V void v_store_sums(const vec *x, int64_t n, float *to) {
    const vec low = v_add(_mm512_unpacklo_ps(x[0], x[1]), _mm512_unpackhi_ps(x[0], x[1]));
    const vec high = v_add(_mm512_unpacklo_ps(x[2], x[3]), _mm512_unpackhi_ps(x[2], x[3]));
    const __m128 sums =
        quarter_sum(v_add(_mm512_shuffle_ps(low, high, 0x44), _mm512_shuffle_ps(low, high, 0xee)));
    _mm_mask_storeu_ps(to, (__mmask8)first_of(n), sums);
}

typedef __m512d vec64;
enum { LANES64 = 8 };
V vec64 v64_set(double x) { return _mm512_set1_pd(x); }
V vec64 v64_load(const double *p) { return _mm512_load_pd(p); }
V void v64_store(double *p, vec64 x) { _mm512_store_pd(p, x); }
V vec64 v64_fma(vec64 a, vec64 b, vec64 c) { return _mm512_fmadd_pd(a, b, c); }

/* Four rows a..d of four lanes in each quarter, transposed in place. */
#define TRANSPOSE_QUARTERS(a, b, c, d) \
    do { \
        const __m512 ab_low = _mm512_unpacklo_ps(a, b), ab_high = _mm512_unpackhi_ps(a, b); \
        const __m512 cd_low = _mm512_unpacklo_ps(c, d), cd_high = _mm512_unpackhi_ps(c, d); \
        a = _mm512_shuffle_ps(ab_low, cd_low, 0x44); \
        b = _mm512_shuffle_ps(ab_low, cd_low, 0xee); \
        c = _mm512_shuffle_ps(ab_high, cd_high, 0x44); \
        d = _mm512_shuffle_ps(ab_high, cd_high, 0xee); \
    } while (0)

/* to [columns, 16] = the transpose of from [rows, columns]; zeros where there is no row. At most 16
 * of each count. */
V void v_transpose(int64_t rows, int64_t columns, const float *from, int64_t ld, float *to,
                   int64_t ld_to) {
    __m512 r[16];
    for (int i = 0; i < 16; i++)
        r[i] = i < rows ? v_load_part(from + i * ld, columns) : _mm512_setzero_ps();
    for (int i = 0; i < 16; i += 4) TRANSPOSE_QUARTERS(r[i], r[i + 1], r[i + 2], r[i + 3]);
    /* r[4g + c] now holds column 4q + c of rows 4g..4g+3 in quarter q: gather the quarters. */
    for (int c = 0; c < 4; c++) {
        const __m512 even_low = _mm512_shuffle_f32x4(r[c], r[c + 4], 0x88);
        const __m512 odd_low = _mm512_shuffle_f32x4(r[c], r[c + 4], 0xdd);
        const __m512 even_high = _mm512_shuffle_f32x4(r[c + 8], r[c + 12], 0x88);
        const __m512 odd_high = _mm512_shuffle_f32x4(r[c + 8], r[c + 12], 0xdd);
        if (c < columns) v_store(to + c * ld_to, _mm512_shuffle_f32x4(even_low, even_high, 0x88));
        if (c + 4 < columns)
            v_store(to + (c + 4) * ld_to, _mm512_shuffle_f32x4(odd_low, odd_high, 0x88));
        if (c + 8 < columns)
            v_store(to + (c + 8) * ld_to, _mm512_shuffle_f32x4(even_low, even_high, 0xdd));
        if (c + 12 < columns)
            v_store(to + (c + 12) * ld_to, _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd));
    }
}

static bool supported_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("fma");
}

#endif
