/* SPDX-License-Identifier: Apache-2.0
 * The kernels on AVX2 with FMA: 8 floats a vector, tiles of 6 x 16. Compiled with -mavx2 -mfma;
 * nothing here runs unless `supported`. */
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef __m256 vec;
enum { LANES = 8 };
#define TILE_VECS 2
#define V static inline __attribute__((always_inline))

V __m256i first_of(int64_t count) {
    const int n = count >= 8 ? 8 : count <= 0 ? 0 : (int)count;
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
V vec v_set(float x) { return _mm256_set1_ps(x); }
V vec v_load(const float *p) { return _mm256_loadu_ps(p); }
V vec v_load_part(const float *p, int64_t n) { return _mm256_maskload_ps(p, first_of(n)); }
V void v_store(float *p, vec x) { _mm256_storeu_ps(p, x); }
V void v_store_part(float *p, int64_t n, vec x) { _mm256_maskstore_ps(p, first_of(n), x); }
V vec v_add(vec a, vec b) { return _mm256_add_ps(a, b); }
V vec v_sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
V vec v_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
V vec v_div(vec a, vec b) { return _mm256_div_ps(a, b); }
V vec v_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
/* Where one is NaN, b: callers put the constant first, so that NaN comes through. */
V vec v_max(vec a, vec b) { return _mm256_max_ps(a, b); }
V vec v_min(vec a, vec b) { return _mm256_min_ps(a, b); }
V vec v_round(vec x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/* x 2^n, n whole within -252..252, in two steps so that results below the normal range come out. */
V vec v_ldexp(vec x, vec n) {
    const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    const __m256i rest = _mm256_sub_epi32(whole, half), bias = _mm256_set1_epi32(127);
    const __m256i a = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    const __m256i b = _mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23);
    return v_mul(v_mul(x, _mm256_castsi256_ps(a)), _mm256_castsi256_ps(b));
}
/* The first `count` numbers of x, the rest `other`. */
V vec v_keep(vec x, int64_t count, float other) {
    return _mm256_blendv_ps(v_set(other), x, _mm256_castsi256_ps(first_of(count)));
}
/* 1 where x > 0, else 0; NaN stays. */
V vec v_positive(vec x) {
    const vec y = _mm256_and_ps(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GT_OQ), v_set(1.0f));
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}
/* Where a < b, x, else y (also at NaN). */
V vec v_where_less(vec a, vec b, vec x, vec y) {
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
V float v_sum_of(vec x) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
V float v_max_of(vec x) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
V vec v_load_bf16(const uint16_t *p) {
    const __m128i half = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}
/* So many numbers, again and again. */
V vec v_repeat_2(const float *p) {
    int64_t both;
    memcpy(&both, p, sizeof both);
    return _mm256_castsi256_ps(_mm256_set1_epi64x(both));
}
V vec v_repeat_4(const float *p) { return _mm256_broadcast_ps((const __m128 *)(const void *)p); }
V vec v_repeat_8(const float *p) { return v_load(p); }
/* The sums of lanes that are equal modulo so many. */
V __m128 half_sum(vec x) {
    return _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
}
V void v_fold_8(vec x, float *to) { v_store(to, x); }
V void v_fold_4(vec x, float *to) { _mm_storeu_ps(to, half_sum(x)); }
V void v_fold_2(vec x, float *to) {
    const __m128 sum = half_sum(x);
    _mm_storel_pi((__m64 *)(void *)to, _mm_add_ps(sum, _mm_movehl_ps(sum, sum)));
}
/* to [n], n <= 4: the sums of four vectors, each added in the same order. */
V void v_store_sums(const vec *x, int64_t n, float *to) {
    const vec low = v_add(_mm256_unpacklo_ps(x[0], x[1]), _mm256_unpackhi_ps(x[0], x[1]));
    const vec high = v_add(_mm256_unpacklo_ps(x[2], x[3]), _mm256_unpackhi_ps(x[2], x[3]));
    const __m128 sums =
        half_sum(v_add(_mm256_shuffle_ps(low, high, 0x44), _mm256_shuffle_ps(low, high, 0xee)));
    float all[4];
    _mm_storeu_ps(all, sums);
    memcpy(to, all, (size_t)n * sizeof *to);
}

typedef __m256d vec64;
enum { LANES64 = 4 };
V vec64 v64_set(double x) { return _mm256_set1_pd(x); }
V vec64 v64_load(const double *p) { return _mm256_load_pd(p); }
V void v64_store(double *p, vec64 x) { _mm256_store_pd(p, x); }
V vec64 v64_fma(vec64 a, vec64 b, vec64 c) { return _mm256_fmadd_pd(a, b, c); }

/* to [columns, 8] = the transpose of from [rows, columns]; zeros where there is no row. At most 8
 * of each count. */
V void v_transpose(int64_t rows, int64_t columns, const float *from, int64_t ld, float *to,
                   int64_t ld_to) {
    __m256 r[8], pairs[8], fours[8];
    for (int i = 0; i < 8; i++)
        r[i] = i < rows ? v_load_part(from + i * ld, columns) : _mm256_setzero_ps();
    for (int i = 0; i < 8; i += 2) {
        pairs[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        fours[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
        fours[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
        fours[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
        fours[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
    }
    for (int c = 0; c < 4; c++) {
        if (c < columns)
            v_store(to + c * ld_to, _mm256_permute2f128_ps(fours[c], fours[c + 4], 0x20));
        if (c + 4 < columns)
            v_store(to + (c + 4) * ld_to, _mm256_permute2f128_ps(fours[c], fours[c + 4], 0x31));
    }
}

#include "kernels/plain_assignment.h"
#include "kernels/plain_dropout.h"
#include "kernels/plain_merge.h"
#include "kernels/plain_solve.h"
#include "kernels/plain_votes.h"
#include "kernels/simd_kernels.h"
#include "kernels/simd_norms.h"
#include "kernels/simd_product.h"
#include "kernels/simd_widening.h"

static bool supported(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

extern const whet_kernels whet_i_kernels_avx2;
const whet_kernels whet_i_kernels_avx2 = {.name = "avx2",
                                          .supported = supported,
                                          SIMD_SLOTS,
                                          CHANNEL_SLOTS,
                                          WIDENING_SLOTS,
                                          LINEAR_SLOTS,
                                          PRODUCT_SLOTS,
                                          PRODUCT_F32_SLOTS,
                                          VOTE_SLOTS,
                                          COST_SLOTS,
                                          DROPOUT_SLOTS,
                                          SOLVE_SLOTS,
                                          MERGE_SLOTS};
