/* SPDX-License-Identifier: Apache-2.0
 * The AVX-512 table with bfloat16 products where the processor has them (AVX512_BF16: Cooper Lake,
 * Sapphire Rapids, Zen 4 and later): vdpbf16ps multiplies 32 pairs and adds them to 16 f32 sums,
 * twice the rate of f32. The sums' order is the instruction's, hence the same for every row.
 * Weights are packed by pairs along k, [k / 2, WHET_I_PANEL, 2]; a is rounded to bfloat16 once for
 * all panels. WHET_EMULATE_BF16 replaces the instruction by its definition, so that everything
 * around it can be tested on processors without it. */
#include "kernels/avx512_vec.h"
#include "kernels/simd_kernels.h"
#include "kernels/simd_norms.h"
#include "kernels/simd_product.h"

#ifdef WHET_EMULATE_BF16
#define WHET_BF16_TABLE whet_i_kernels_bf16_emulated
#else
#define WHET_BF16_TABLE whet_i_kernels_avx512_bf16
#endif

/* sum + x1 y1 + x0 y0 for each pair: x and y hold two bfloat16 in each 32 bits. */
INLINE __m512 dot_pairs(__m512 sum, __m512i x, __m512i y) {
#ifdef WHET_EMULATE_BF16
    const __m512i high = _mm512_set1_epi32((int)0xffff0000U);
    sum = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(x, high)),
                          _mm512_castsi512_ps(_mm512_and_si512(y, high)), sum);
    return _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(x, 16)),
                           _mm512_castsi512_ps(_mm512_slli_epi32(y, 16)), sum);
#else
    return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)y);
#endif
}

/* 16 numbers rounded to bfloat16, to nearest even; NaN stays NaN. */
INLINE __m256i narrowed(__m512 x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x00400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}

static void narrow(int64_t n, const float *in, uint16_t *out) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        _mm256_storeu_si256((__m256i *)(void *)(out + i), narrowed(_mm512_loadu_ps(in + i)));
    whet_i_ref_bf16_from_f32(n - i, in + i, out + i);
}

/* Pairs (x, y) of n numbers each, rounded: out [n] with x in the low half; y NULL = zeros. */
static void narrow_pairs(int64_t n, const float *x, const float *y, uint32_t *out) {
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) {
        __m512i pair = _mm512_cvtepu16_epi32(narrowed(_mm512_loadu_ps(x + j)));
        if (y) {
            const __m512i high = _mm512_cvtepu16_epi32(narrowed(_mm512_loadu_ps(y + j)));
            pair = _mm512_or_si512(pair, _mm512_slli_epi32(high, 16));
        }
        _mm512_storeu_si512(out + j, pair);
    }
    for (; j < n; j++) {
        const float both[2] = {x[j], y ? y[j] : 0};
        uint16_t halves[2];
        whet_i_ref_bf16_from_f32(2, both, halves);
        out[j] = (uint32_t)halves[0] | (uint32_t)halves[1] << 16;
    }
}

/* out [pairs of k, cols], cols <= wide apart: pairs along k of x [k, cols], whose neighbours in a
 * row are `column` apart, in a column `row`. */
static void pairs_along(int64_t k, int64_t cols, const float *x, int64_t row, int64_t column,
                        int64_t wide, uint32_t *out) {
    float first[WHET_I_PANEL], second[WHET_I_PANEL];
    for (int64_t t = 0; t < k; t += 2, out += wide) {
        if (column == 1) {
            narrow_pairs(cols, x + t * row, t + 1 < k ? x + (t + 1) * row : NULL, out);
            continue;
        }
        for (int64_t j = 0; j < cols; j += WHET_I_PANEL) {
            const int64_t n = cols - j < WHET_I_PANEL ? cols - j : WHET_I_PANEL;
            for (int64_t i = 0; i < n; i++) {
                first[i] = x[t * row + (j + i) * column];
                second[i] = t + 1 < k ? x[(t + 1) * row + (j + i) * column] : 0;
            }
            narrow_pairs(n, first, second, out + j);
        }
    }
}

static void pack_bf16(int64_t n, int64_t k, const float *w, int64_t row, int64_t column,
                      uint16_t *packed) {
    for (int64_t first = 0; first < n; first += WHET_I_PANEL, packed += whet_i_panel_step(k)) {
        const int64_t cols = n - first < WHET_I_PANEL ? n - first : WHET_I_PANEL;
        uint32_t *pairs = (uint32_t *)(void *)packed;
        pairs_along(k, cols, w + first * row, column, row, WHET_I_PANEL, pairs);
        for (int64_t t = 0; t < (k + 1) / 2 && cols < WHET_I_PANEL; t++)
            memset(pairs + t * WHET_I_PANEL + cols, 0,
                   (size_t)(WHET_I_PANEL - cols) * sizeof *pairs);
    }
}

/* c [rows, WHET_I_PANEL] = a [rows, 2 pairs] by one panel; a's pairs are a_step apart in a row. */
INLINE void pairs_tile_of(int rows, int64_t pairs, const uint32_t *a, int64_t lda, int64_t a_step,
                          const uint16_t *panel, float *c) {
    __m512 sum[TILE_ROWS][TILE_VECS];
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < TILE_VECS; j++) sum[i][j] = _mm512_setzero_ps();
    }
    for (int64_t t = 0; t < pairs; t++, a += a_step, panel += 2 * WHET_I_PANEL) {
        __m512i right[TILE_VECS];
        UNROLL for (int j = 0; j < TILE_VECS; j++) right[j] =
            _mm512_loadu_si512(panel + 2 * LANES * j);
        UNROLL for (int i = 0; i < rows; i++) {
            const __m512i left = _mm512_set1_epi32((int)a[i * lda]);
            UNROLL for (int j = 0; j < TILE_VECS; j++) sum[i][j] =
                dot_pairs(sum[i][j], left, right[j]);
        }
    }
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < TILE_VECS; j++)
            _mm512_storeu_ps(c + i * WHET_I_PANEL + j * LANES, sum[i][j]);
    }
}

#define PAIRS_CASE(rows_) \
    case rows_: pairs_tile_of(rows_, pairs, a, lda, a_step, panel, c); break
static void pairs_tile(int64_t rows, int64_t pairs, const uint32_t *a, int64_t lda, int64_t a_step,
                       const uint16_t *panel, float *c) {
    switch (rows) {
        PAIRS_CASE(1);
        PAIRS_CASE(2);
        PAIRS_CASE(3);
        PAIRS_CASE(4);
        PAIRS_CASE(5);
    default: pairs_tile_of(TILE_ROWS, pairs, a, lda, a_step, panel, c);
    }
}

static int64_t linear_scratch(int64_t rows, int64_t k) {
    return (int64_t)sizeof(uint32_t) * rows * ((k + 1) / 2);
}

static void linear_bf16(const whet_i_linear *p) {
    _Alignas(64) float sums[TILE_ROWS * WHET_I_PANEL];
    const int64_t pairs = (p->k + 1) / 2;
    uint32_t *a = p->scratch;
    for (int64_t i = 0; i < p->rows; i++) {
        uint16_t *row = (uint16_t *)(void *)(a + i * pairs);
        if (p->k % 2) row[p->k] = 0;
        narrow(p->k, p->a + i * p->lda, row);
    }
    const uint16_t *panel = p->packed;
    for (int64_t first = 0; first < p->n; first += WHET_I_PANEL, panel += whet_i_panel_step(p->k)) {
        for (int64_t row = 0; row < p->rows; row += TILE_ROWS) {
            const int64_t rows = p->rows - row < TILE_ROWS ? p->rows - row : TILE_ROWS;
            pairs_tile(rows, pairs, a + row * pairs, pairs, 1, panel, sums);
            finish(p, row, rows, first, sums);
        }
    }
}

/* Blocks of `product`: PRODUCT_DEPTH numbers of the sums, PAIR_ROWS rows of a in pairs. */
enum { PAIRS = PRODUCT_DEPTH / 2, PAIR_ROWS = 192 };

static int64_t product_bf16_scratch(int64_t m, int64_t n) {
    const int64_t rows = m < PAIR_ROWS ? m : PAIR_ROWS;
    const int64_t cols = (n + WHET_I_PANEL - 1) / WHET_I_PANEL * WHET_I_PANEL;
    return (int64_t)sizeof(uint32_t) * PAIRS * (rows + cols);
}

static void product_bf16(const whet_i_product *p, void *scratch) {
    _Alignas(64) float sums[TILE_ROWS * TILE_COLS];
    uint32_t *right = scratch,
             *left = right + PAIRS * ((p->n + TILE_COLS - 1) / TILE_COLS * TILE_COLS);
    for (int64_t at = 0; at < p->k; at += PRODUCT_DEPTH) {
        const int64_t depth = p->k - at < PRODUCT_DEPTH ? p->k - at : PRODUCT_DEPTH;
        const int64_t pairs = (depth + 1) / 2;
        for (int64_t col = 0; col < p->n; col += TILE_COLS)
            pairs_along(depth, p->n - col < TILE_COLS ? p->n - col : TILE_COLS,
                        p->b + at * p->b_row + col * p->b_col, p->b_row, p->b_col, TILE_COLS,
                        right + col * PAIRS);
        for (int64_t first = 0; first < p->m; first += PAIR_ROWS) {
            const int64_t most = p->m - first < PAIR_ROWS ? p->m - first : PAIR_ROWS;
            pairs_along(depth, most, p->a + first * p->a_row + at * p->a_col, p->a_col, p->a_row,
                        most, left);
            for (int64_t col = 0; col < p->n; col += TILE_COLS) {
                for (int64_t row = 0; row < most; row += TILE_ROWS) {
                    const int64_t rows = most - row < TILE_ROWS ? most - row : TILE_ROWS;
                    pairs_tile(rows, pairs, left + row, 1, most,
                               (const uint16_t *)(const void *)(right + col * PAIRS), sums);
                    add_sums(p, first + row, rows, col, at == 0 ? p->beta : 1, sums);
                }
            }
        }
    }
}

static bool supported(void) {
#ifdef WHET_EMULATE_BF16
    return supported_avx512();
#else
    return supported_avx512() && __builtin_cpu_supports("avx512bf16");
#endif
}

extern const whet_kernels WHET_BF16_TABLE;
const whet_kernels WHET_BF16_TABLE = {.name = "avx512-bf16",
                                      .supported = supported,
                                      SIMD_SLOTS,
                                      CHANNEL_SLOTS,
                                      PRODUCT_SLOTS,
                                      .pack_bf16 = pack_bf16,
                                      .linear_bf16 = linear_bf16,
                                      .linear_scratch = linear_scratch,
                                      .product_bf16 = product_bf16,
                                      .product_bf16_scratch = product_bf16_scratch,
                                      .bf16_products = true};
