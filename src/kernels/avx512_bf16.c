/* SPDX-License-Identifier: Apache-2.0
 * The AVX-512 table with bfloat16 products where the processor has them (AVX512_BF16: Cooper Lake,
 * Sapphire Rapids, Zen 4 and later): vdpbf16ps multiplies 32 pairs and adds them to 16 f32 sums,
 * twice the rate of f32. The sums' order is the instruction's, hence the same for every row.
 * Weights are packed by pairs along k, [k / 2, WHET_I_PANEL, 2]; a is rounded to bfloat16 once for
 * all panels. WHET_EMULATE_BF16 replaces the instruction by its definition, so that everything
 * around it can be tested on processors without it. */
#include "kernels/avx512_vec.h"
#include "kernels/plain_assignment.h"
#include "kernels/plain_dropout.h"
#include "kernels/plain_merge.h"
#include "kernels/plain_solve.h"
#include "kernels/plain_votes.h"
#include "kernels/simd_kernels.h"
#include "kernels/simd_norms.h"
#include "kernels/simd_product.h"

#include "kernels/avx512_narrow.h"

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

/* out [(n + 1) / 2] pairs of neighbours; an odd last number is paired with 0. */
static void narrow(int64_t n, const float *in, uint32_t *out) {
    for (int64_t i = 0; i < n; i += LANES) {
        const __m256i pairs = narrowed(load(in + i, n - i));
        if (i + LANES <= n)
            _mm256_storeu_si256((__m256i *)(void *)(out + i / 2), pairs);
        else
            _mm256_mask_storeu_epi32(out + i / 2, (__mmask8)first_of((n - i + 1) / 2), pairs);
    }
}

/* out [pairs of k, wide], columns up to the whole vector: pairs along k of x [k, cols], whose
 * neighbours in a column are `row` apart and lie along memory in a row. */
static void pairs_of_rows(int64_t k, int64_t cols, const float *x, int64_t row, int64_t wide,
                          uint32_t *out) {
    for (int64_t t = 0; t < k; t += 2, x += 2 * row, out += wide)
        for (int64_t j = 0; j < cols; j += LANES) {
            const vec second = t + 1 < k ? load(x + row + j, cols - j) : v_set(0.0f);
            _mm512_storeu_si512(out + j, paired(load(x + j, cols - j), second));
        }
}

/* The same of x whose columns lie along memory, `column` apart: rounded there, then transposed. */
static void pairs_of_columns(int64_t k, int64_t cols, const float *x, int64_t column, int64_t wide,
                             uint32_t *out) {
    enum { DEPTH = 128 };
    uint32_t rounded[LANES][DEPTH / 2];
    for (int64_t at = 0; at < k; at += DEPTH, out += wide * (DEPTH / 2)) {
        const int64_t depth = k - at < DEPTH ? k - at : DEPTH, pairs = (depth + 1) / 2;
        for (int64_t j = 0; j < cols; j += LANES) {
            const int64_t rows = cols - j < LANES ? cols - j : LANES;
            for (int64_t i = 0; i < rows; i++) narrow(depth, x + (j + i) * column + at, rounded[i]);
            for (int64_t t = 0; t < pairs; t += LANES) /* moves bits: floats in name only */
                v_transpose(rows, pairs - t, (const float *)(const void *)(rounded[0] + t),
                            DEPTH / 2, (float *)(void *)(out + t * wide + j), wide);
        }
    }
}

/* The same of x [k, cols] with neighbours in a row `column` apart, in a column `row`. */
static void pairs_along(int64_t k, int64_t cols, const float *x, int64_t row, int64_t column,
                        int64_t wide, uint32_t *out) {
    if (column == 1) {
        pairs_of_rows(k, cols, x, row, wide, out);
        return;
    }
    if (row == 1) {
        pairs_of_columns(k, cols, x, column, wide, out);
        return;
    }
    for (int64_t t = 0; t < k; t += 2, out += wide)
        for (int64_t j = 0; j < cols; j += LANES) {
            float both[2][LANES] = {{0}};
            for (int64_t i = 0; i < LANES && j + i < cols; i++) {
                both[0][i] = x[t * row + (j + i) * column];
                both[1][i] = t + 1 < k ? x[(t + 1) * row + (j + i) * column] : 0;
            }
            _mm512_storeu_si512(out + j, paired(v_load(both[0]), v_load(both[1])));
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

/* c [rows, vecs * LANES] = a [rows, 2 pairs] by one panel; a's pairs are a_step apart in a row;
 * asks as tile_of does. */
INLINE void pairs_tile_of(int rows, int vecs, int64_t pairs, const uint32_t *a, int64_t lda,
                          int64_t a_step, const uint32_t *panel, float *c, const float *ask,
                          int64_t ask_step) {
    __m512 sum[TILE_ROWS][TILE_VECS];
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < vecs; j++) sum[i][j] = _mm512_setzero_ps();
    }
    for (int64_t t = 0; t < pairs; t++, a += a_step, panel += WHET_I_PANEL, ask += ask_step) {
        if (vecs == TILE_VECS) __builtin_prefetch(ask, 0, 2);
        __m512i right[TILE_VECS];
        UNROLL for (int j = 0; j < vecs; j++) right[j] = _mm512_loadu_si512(panel + LANES * j);
        UNROLL for (int i = 0; i < rows; i++) {
            const __m512i left = _mm512_set1_epi32((int)a[i * lda]);
            UNROLL for (int j = 0; j < vecs; j++) sum[i][j] = dot_pairs(sum[i][j], left, right[j]);
        }
    }
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < vecs; j++)
            _mm512_storeu_ps(c + i * WHET_I_PANEL + j * LANES, sum[i][j]);
    }
}

#define PAIRS_CASE(rows_) \
    case rows_: pairs_tile_of(rows_, vecs, pairs, a, lda, a_step, panel, c, ask, ask_step); break
INLINE void pairs_tile(int64_t rows, int vecs, int64_t pairs, const uint32_t *a, int64_t lda,
                       int64_t a_step, const uint32_t *panel, float *c, const float *ask,
                       int64_t ask_step) {
    switch (rows) {
        PAIRS_CASE(1);
        PAIRS_CASE(2);
        PAIRS_CASE(3);
        PAIRS_CASE(4);
        PAIRS_CASE(5);
    default: pairs_tile_of(TILE_ROWS, vecs, pairs, a, lda, a_step, panel, c, ask, ask_step);
    }
}

#define PAIRS_TILE(vecs) \
    static void pairs_tile_##vecs(int64_t rows, int64_t pairs, const uint32_t *a, int64_t lda, \
                                  int64_t a_step, const uint32_t *panel, float *c, \
                                  const float *ask, int64_t ask_step) { \
        pairs_tile(rows, vecs, pairs, a, lda, a_step, panel, c, ask, ask_step); \
    }
PAIRS_TILE(1)
PAIRS_TILE(2)
PAIRS_TILE(3)
PAIRS_TILE(4)
static void (*const pairs_by_vecs[])(int64_t rows, int64_t pairs, const uint32_t *a, int64_t lda,
                                     int64_t a_step, const uint32_t *panel, float *c,
                                     const float *ask, int64_t ask_step) = {
    NULL, pairs_tile_1, pairs_tile_2, pairs_tile_3, pairs_tile_4};

static int64_t linear_bf16_scratch(int64_t rows, int64_t k) {
    return (int64_t)sizeof(uint32_t) * rows * ((k + 1) / 2);
}

static void linear_bf16(const whet_i_linear *p) {
    _Alignas(64) float sums[TILE_ROWS * WHET_I_PANEL];
    const int64_t pairs = (p->k + 1) / 2;
    uint32_t *a = p->scratch;
    for (int64_t i = 0; i < p->rows; i++) narrow(p->k, p->a + i * p->lda, a + i * pairs);
    const uint16_t *panel = p->packed;
    for (int64_t first = 0; first < p->n; first += WHET_I_PANEL, panel += whet_i_panel_step(p->k)) {
        for (int64_t row = 0; row < p->rows; row += TILE_ROWS) {
            const int64_t rows = p->rows - row < TILE_ROWS ? p->rows - row : TILE_ROWS;
            pairs_tile_4(rows, pairs, a + row * pairs, pairs, 1,
                         (const uint32_t *)(const void *)panel, sums, sums, 0);
            finish(p, row, rows, first, sums);
        }
    }
}

/* Blocks are those of `product`, in pairs: as many bytes. */
enum { PAIRS = BLOCK_DEPTH, PAIRS_DEPTH = 2 * PAIRS };

static int64_t product_bf16_scratch(int64_t m, int64_t n) {
    (void)m;
    (void)n;
    return 0;
}

/* Rows `first`.. of c, `rows` of them, by the columns in `right`. */
static void product_bf16_rows(const whet_i_product *p, int64_t at, int64_t depth, int64_t first,
                              int64_t rows, int64_t col, int64_t cols, const uint32_t *right,
                              uint32_t *left) {
    _Alignas(64) float sums[TILE_ROWS * TILE_COLS];
    const int64_t pairs = (depth + 1) / 2;
    const float *a = p->a + first * p->a_row + at * p->a_col;
    const bool along = p->a_col == 1; /* left [rows, pairs], else [pairs, rows] */
    const int64_t row_step = along ? pairs : 1, pair_step = along ? 1 : BLOCK_ROWS;
    if (along)
        for (int64_t i = 0; i < rows; i++) narrow(depth, a + i * p->a_row, left + i * pairs);
    else
        pairs_along(depth, rows, a, p->a_col, p->a_row, BLOCK_ROWS, left);
    const float *next = p->a_row == 1 && !along ? next_left(p, at, depth, first) : NULL;
    for (int64_t row = 0; row < rows; row += TILE_ROWS) {
        /* Four lines of a row in the block at most: four tiles ask for those of even rows, four for
         * odd ones. */
        const int64_t tile = row / TILE_ROWS, line = tile % 4 * 16 + tile / 4 * p->a_col;
        const int64_t tall = rows - row < TILE_ROWS ? rows - row : TILE_ROWS;
        for (int64_t j = 0; j < cols; j += TILE_COLS) {
            const int64_t vecs = (cols - j + LANES - 1) / LANES;
            pairs_by_vecs[vecs < TILE_VECS ? vecs : TILE_VECS](
                tall, pairs, left + row * row_step, row_step, pair_step, right + j * PAIRS, sums,
                next && j == 0 ? next + line : sums, next && j == 0 ? 2 * p->a_col : 0);
            add_sums(p, first + row, tall, col + j, at == 0 ? p->beta : 1, sums);
        }
    }
}

static void product_bf16(const whet_i_product *p, void *scratch) {
    (void)scratch;
    _Alignas(64) uint32_t right[PAIRS * BLOCK_COLS], left[PAIRS * BLOCK_ROWS];
    for (int64_t at = 0; at < p->k; at += PAIRS_DEPTH) {
        const int64_t depth = p->k - at < PAIRS_DEPTH ? p->k - at : PAIRS_DEPTH;
        for (int64_t col = 0; col < p->n; col += BLOCK_COLS) {
            const int64_t cols = p->n - col < BLOCK_COLS ? p->n - col : BLOCK_COLS;
            for (int64_t j = 0; j < cols; j += TILE_COLS)
                pairs_along(depth, cols - j < TILE_COLS ? cols - j : TILE_COLS,
                            p->b + at * p->b_row + (col + j) * p->b_col, p->b_row, p->b_col,
                            TILE_COLS, right + j * PAIRS);
            for (int64_t row = 0; row < p->m; row += BLOCK_ROWS)
                product_bf16_rows(p, at, depth, row,
                                  p->m - row < BLOCK_ROWS ? p->m - row : BLOCK_ROWS, col, cols,
                                  right, left);
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
                                      LINEAR_SLOTS,
                                      PRODUCT_SLOTS,
                                      PRODUCT_F32_SLOTS,
                                      VOTE_SLOTS,
                                      COST_SLOTS,
                                      DROPOUT_SLOTS,
                                      SOLVE_SLOTS,
                                      MERGE_SLOTS,
                                      .pack_bf16 = pack_bf16,
                                      .linear_bf16 = linear_bf16,
                                      .linear_bf16_scratch = linear_bf16_scratch,
                                      .product_bf16 = product_bf16,
                                      .product_bf16_scratch = product_bf16_scratch,
                                      .bf16_products = true};
