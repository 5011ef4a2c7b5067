/* SPDX-License-Identifier: Apache-2.0
 * The AVX-512 table with products by matrix tiles (AMX: Sapphire Rapids and later): one instruction
 * multiplies 16 x 32 by 32 x 16 bfloat16 and adds to 16 x 16 f32 sums, sixteen times the rate of f32.
 *
 * bfloat16 layers round both operands, as avx512_bf16.c does. f32 products take three tiles for one:
 * every number is, exactly, a sum of three bfloat16 (8 + 8 + 8 bits), x = x1 + x2 + x3 with
 * |x2| <= 2^-8 |x|, |x3| <= 2^-16 |x|, and
 *   a b = a1 b1 + (a1 b2 + a2 b1) + (a1 b3 + a2 b2 + a3 b1) + what is left out, below 2.01 x 2^-24 |a b|,
 * six products at 16/6 of the f32 rate (Henry, Tang & Heinecke 2019). Sums are shorter than a chain of
 * multiply-adds, so that the whole is at least as close to the exact sum (tests/unit/kernels). Not as in
 * f32: parts below 2^-126 count as 0, an absolute error below 2^-125 of the other operand. A row or
 * column with NaN or infinity, which have no parts, is summed by multiply-adds instead.
 * Coarse ones take two parts and a1 b1 + (a1 b2 + a2 b1), three products: 3.1 x 2^-16 |a b| at most is left
 * out.
 *
 * A tile of both operands is 16 lines of 16 pairs along k, (t, t + 16) of 32; operands are cut into
 * tiles, each one block of memory, before they are multiplied. The order of the sums does not depend on
 * the tile's neighbours. WHET_EMULATE_AMX replaces the instructions by their definition.
 * Legend: group 16 rows, chunk 32 of k, parts 1 (bfloat16), 2 (coarse) or 3 (f32) tiles for one. */
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

#ifdef WHET_EMULATE_AMX
#define WHET_AMX_TABLE whet_i_kernels_amx_emulated
#else
#define WHET_AMX_TABLE whet_i_kernels_amx
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum { TILE = 16, PAIRS = TILE * TILE, DEPTH = 2 * TILE }; /* lines, pairs, k of a tile */
enum { COARSE_PARTS = 2, F32_PARTS = 3 };
/* Bytes that tiles are aligned to: one across lines of the cache takes twice as long to load. */
enum { LINE = 64 };
static int64_t chunks_of(int64_t k) { return (k + DEPTH - 1) / DEPTH; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* ---- tiles of an operand -----------------------------------------------------------------------
 */

/* x [lines, numbers]: neighbours in a line are `column` apart, in a column `row`. */
typedef struct square {
    const float *x;
    int64_t row, column, lines, numbers;
} square;

/* Its first 16 lines of 16 numbers each, zeros past the end. */
static void lay_out(const square *s, float to[TILE][TILE]) {
    const int64_t lines = least(s->lines, TILE), numbers = least(s->numbers, TILE);
    if (lines < TILE || numbers < TILE) memset(to, 0, sizeof(float) * PAIRS);
    if (s->row == 1 && numbers > 0 && lines > 0) {
        v_transpose(numbers, lines, s->x, s->column, to[0], TILE);
        return;
    }
    for (int64_t i = 0; i < lines; i++)
        for (int64_t j = 0; j < numbers; j++) to[i][j] = s->x[i * s->row + j * s->column];
}

/* The nearest number of 8 bits, halves away from 0; the rest is exact. */
INLINE vec first_bits(vec x) {
    const __m512i bits = _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000));
    return _mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32((int)0xffff0000U)));
}

/* Upper halves: x's in the low halves of 32 bits, y's in the high ones. */
INLINE __m512i upper_pairs(vec x, vec y) {
    const __m512i low = _mm512_srli_epi32(_mm512_castps_si512(x), 16);
    return _mm512_or_si512(
        low, _mm512_and_si512(_mm512_castps_si512(y), _mm512_set1_epi32((int)0xffff0000U)));
}

/* Where lines and numbers of tiles are not finite, a bit each. */
typedef struct unfit {
    uint32_t lines, numbers;
} unfit;

/* A line of f32 in two or three tiles. What is not finite, or rounds to infinity, leaves NaN at the end. */
INLINE void split_line(int parts, int line, vec x, vec y, uint32_t *tile, unfit *bad) {
    const vec x1 = first_bits(x), y1 = first_bits(y);
    const vec x_rest = v_sub(x, x1), y_rest = v_sub(y, y1);
    const vec x2 = first_bits(x_rest), y2 = first_bits(y_rest);
    const vec x3 = v_sub(x_rest, x2), y3 = v_sub(y_rest, y2);
    const __mmask16 nan = (__mmask16)(_mm512_cmp_ps_mask(x3, x3, _CMP_UNORD_Q) |
                                      _mm512_cmp_ps_mask(y3, y3, _CMP_UNORD_Q));
    bad->numbers |= nan;
    bad->lines |= (uint32_t)(nan != 0) << line;
    _mm512_storeu_si512(tile + line * TILE, upper_pairs(x1, y1));
    _mm512_storeu_si512(tile + PAIRS + line * TILE, upper_pairs(x2, y2));
    if (parts == F32_PARTS)
        _mm512_storeu_si512(tile + 2 * PAIRS + line * TILE, upper_pairs(x3, y3));
}

INLINE void make_line(int parts, int line, vec x, vec y, uint32_t *tile, unfit *bad) {
    if (parts == 1)
        _mm512_storeu_si512(tile + line * TILE, paired(x, y));
    else
        split_line(parts, line, x, y, tile, bad);
}

INLINE vec line_of(const square *s, int64_t i) {
    return i < s->lines ? load(s->x + i * s->row, s->numbers) : v_set(0.0f);
}

/* `parts` tiles of the pairs of x and y. */
INLINE void make_tile(int parts, const square *x, const square *y, uint32_t *tile, unfit *bad) {
    if (x->column == 1) {
        for (int i = 0; i < TILE; i++) make_line(parts, i, line_of(x, i), line_of(y, i), tile, bad);
        return;
    }
    _Alignas(64) float first[TILE][TILE], second[TILE][TILE];
    lay_out(x, first);
    lay_out(y, second);
    for (int i = 0; i < TILE; i++)
        make_line(parts, i, v_load(first[i]), v_load(second[i]), tile, bad);
}

/* The left operand x [rows <= 16, k] as [chunks, parts] tiles; returns which rows are not finite. */
INLINE uint32_t left_group(int parts, const float *x, int64_t row, int64_t column, int64_t rows,
                           int64_t k, uint32_t *tiles) {
    unfit bad = {0, 0};
    for (int64_t t = 0; t < k; t += DEPTH, tiles += parts * PAIRS) {
        const square first = {x + t * column, row, column, rows, k - t};
        const square second = {first.x + TILE * column, row, column, rows, k - t - TILE};
        make_tile(parts, &first, &second, tiles, &bad);
    }
    return bad.lines;
}

/* The right operand x [k, cols <= WHET_I_PANEL] as [chunks, 4, parts] tiles, of which those past the
 * last pair with a column are left as they are; returns which columns are not finite. */
INLINE uint64_t right_panel(int parts, const float *x, int64_t row, int64_t column, int64_t k,
                            int64_t cols, uint32_t *tiles) {
    uint64_t columns = 0;
    for (int64_t t = 0; t < k; t += DEPTH, tiles += 4 * parts * PAIRS) {
        for (int j = 0; j / 2 * 2 * TILE < cols; j++) {
            const float *at = x + t * row + j * TILE * column;
            const square first = {at, row, column, k - t, cols - j * TILE};
            const square second = {at + TILE * row, row, column, k - t - TILE, cols - j * TILE};
            unfit bad = {0, 0};
            make_tile(parts, &first, &second, tiles + j * parts * PAIRS, &bad);
            columns |= (uint64_t)bad.numbers << j * TILE;
        }
    }
    return columns;
}

/* ---- products of tiles -------------------------------------------------------------------------
 */

/* Memory that is needed next, and is asked for while tiles multiply: no processor guesses it. */
typedef struct ahead {
    const char *at, *end;
    int64_t step; /* bytes with every chunk */
} ahead;

#ifdef WHET_EMULATE_AMX

static void tiles_begin(void) {}
static void tiles_end(void) {}

INLINE float half_of(uint32_t pair, int high) {
    const uint32_t bits = high ? pair & 0xffff0000U : pair << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return fabsf(x) < 0x1p-126f ? 0 : x;
}

/* c [16, WHET_I_PANEL] += a b, as the instruction is defined. */
static void multiply_tile(const uint32_t *a, const uint32_t *b, float *c) {
    for (int i = 0; i < TILE; i++)
        for (int j = 0; j < TILE; j++) {
            float even = 0, odd = 0;
            for (int t = 0; t < TILE; t++) {
                even = fmaf(half_of(a[i * TILE + t], 0), half_of(b[t * TILE + j], 0), even);
                odd = fmaf(half_of(a[i * TILE + t], 1), half_of(b[t * TILE + j], 1), odd);
            }
            c[i * WHET_I_PANEL + j] += even + odd;
        }
}

static void multiply_block(int parts, int tall, bool adds, int64_t chunks, const uint32_t *left,
                           int64_t group, const uint32_t *right, float *c, ahead *next) {
    (void)next;
    static const int orders[F32_PARTS][6][2] = {
        {{0, 0}}, {{1, 0}, {0, 0}, {0, 1}}, {{0, 2}, {0, 1}, {1, 1}, {1, 0}, {2, 0}, {0, 0}}};
    static const int counts[F32_PARTS] = {1, 3, 6};
    const int products = counts[parts - 1];
    for (int i = 0; i < tall; i++)
        for (int j = 0; j < 2; j++) {
            float *to = c + i * TILE * WHET_I_PANEL + j * TILE;
            for (int r = 0; r < TILE && !adds; r++)
                memset(to + r * WHET_I_PANEL, 0, sizeof(float) * TILE);
            for (int64_t t = 0; t < chunks; t++)
                for (int p = 0; p < products; p++)
                    multiply_tile(left + i * group + (t * parts + orders[parts - 1][p][0]) * PAIRS,
                                  right + ((t * 4 + j) * parts + orders[parts - 1][p][1]) * PAIRS,
                                  to);
        }
}

#else

typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t lines[16];
} tile_config;

static void tiles_begin(void) {
    static const tile_config config = {.palette = 1,
                                       .bytes = {64, 64, 64, 64, 64, 64, 64, 64},
                                       .lines = {16, 16, 16, 16, 16, 16, 16, 16}};
    _tile_loadconfig(&config);
}

static void tiles_end(void) { _tile_release(); }

/* Tiles 0-3 are sums, 4 and 5 of the left operand, 6 and 7 of the right one. */
#define LOAD_LEFT(part) \
    do { \
        _tile_loadd(4, a + (part)*PAIRS, 4 * TILE); \
        if (tall == 2) _tile_loadd(5, a + group + (part)*PAIRS, 4 * TILE); \
    } while (0)
#define LOAD_RIGHT(part) \
    do { \
        _tile_loadd(6, b + (part)*PAIRS, 4 * TILE); \
        _tile_loadd(7, b + (parts + (part)) * PAIRS, 4 * TILE); \
    } while (0)
#define MULTIPLY() \
    do { \
        _tile_dpbf16ps(0, 4, 6); \
        _tile_dpbf16ps(1, 4, 7); \
        if (tall == 2) { \
            _tile_dpbf16ps(2, 5, 6); \
            _tile_dpbf16ps(3, 5, 7); \
        } \
    } while (0)

/* c [16 tall, 32], rows WHET_I_PANEL apart, = or += left by the pair of column tiles at `right`; groups
 * of rows are `group` pairs apart. In each chunk the products that count least come first, of coarse ones
 * those that load no tile twice. */
INLINE void multiply_block(int parts, int tall, bool adds, int64_t chunks, const uint32_t *left,
                           int64_t group, const uint32_t *right, float *c, ahead *next) {
    const uint32_t *a = left, *b = right;
    __asm__ volatile("" ::: "memory"); /* loads of tiles do not tell what they read */
    if (adds) {
        _tile_loadd(0, c, sizeof(float) * WHET_I_PANEL);
        _tile_loadd(1, c + TILE, sizeof(float) * WHET_I_PANEL);
        if (tall == 2) {
            _tile_loadd(2, c + TILE * WHET_I_PANEL, sizeof(float) * WHET_I_PANEL);
            _tile_loadd(3, c + TILE * WHET_I_PANEL + TILE, sizeof(float) * WHET_I_PANEL);
        }
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t t = 0; t < chunks; t++, a += parts * PAIRS, b += 4 * parts * PAIRS) {
        const char *stop = next->at + next->step < next->end ? next->at + next->step : next->end;
        for (; next->at < stop; next->at += LINE) __builtin_prefetch(next->at, 0, 2);
        if (parts == F32_PARTS) {
            LOAD_LEFT(0);
            LOAD_RIGHT(2);
            MULTIPLY();
            LOAD_RIGHT(1);
            MULTIPLY();
            LOAD_LEFT(1);
            MULTIPLY();
            LOAD_RIGHT(0);
            MULTIPLY();
            LOAD_LEFT(2);
            MULTIPLY();
            LOAD_LEFT(0);
        } else if (parts == COARSE_PARTS) {
            LOAD_LEFT(1);
            LOAD_RIGHT(0);
            MULTIPLY();
            LOAD_LEFT(0);
            MULTIPLY();
            LOAD_RIGHT(1);
        } else {
            LOAD_LEFT(0);
            LOAD_RIGHT(0);
        }
        MULTIPLY();
    }
    _tile_stored(0, c, sizeof(float) * WHET_I_PANEL);
    _tile_stored(1, c + TILE, sizeof(float) * WHET_I_PANEL);
    if (tall == 2) {
        _tile_stored(2, c + TILE * WHET_I_PANEL, sizeof(float) * WHET_I_PANEL);
        _tile_stored(3, c + TILE * WHET_I_PANEL + TILE, sizeof(float) * WHET_I_PANEL);
    }
}

#endif

/* Rows of c at once. */
enum { BLOCK = 2 * TILE };

/* c [rows <= 32, 32] = or += left by a pair of column tiles. */
INLINE void multiply_rows(int parts, int64_t rows, bool adds, int64_t chunks, const uint32_t *left,
                          int64_t group, const uint32_t *right, float *c, ahead *next) {
    if (rows > TILE)
        multiply_block(parts, 2, adds, chunks, left, group, right, c, next);
    else
        multiply_block(parts, 1, adds, chunks, left, group, right, c, next);
}

/* c's numbers in these rows and columns again, by multiply-adds over ascending k. */
static void mend(const whet_i_product *p, uint64_t bad_rows, uint64_t bad_columns) {
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = 0; j < p->n; j++) {
            float sum = 0;
            if (!((bad_rows >> i | bad_columns >> j) & 1)) continue;
            for (int64_t t = 0; t < p->k; t++)
                sum =
                    fmaf(p->a[i * p->a_row + t * p->a_col], p->b[t * p->b_row + j * p->b_col], sum);
            p->c[i * p->ldc + j] = sum;
        }
}

/* ---- linear layers -----------------------------------------------------------------------------
 */

/* A slab of rows, whose tiles stay in the second-level cache while panels pass by. In f32 a block of k
 * at a time: where there are several, the sums of BLOCK_PANELS panels wait there, too. */
enum { SLAB_BYTES = 1300 << 10, SLAB_MOST = 576, F32_DEPTH = 448, BLOCK_PANELS = 8 };

static int64_t slab_rows(int parts, int64_t depth, int64_t most) {
    const int64_t rows = SLAB_BYTES / (chunks_of(depth) * parts * DEPTH * 2) / BLOCK * BLOCK;
    return rows < 2 * BLOCK ? 2 * BLOCK : least(rows, most);
}

/* How a layer is cut. Bits depend on depth alone, which k decides. */
typedef struct cut {
    int64_t depth, slab, panels; /* of k; rows; of c, whose sums are kept */
} cut;

static cut cut_f32(int64_t rows, int64_t n, int64_t k) {
    const int64_t blocks = (k + F32_DEPTH - 1) / F32_DEPTH, chunks = chunks_of(k);
    cut c = {(chunks + blocks - 1) / blocks * DEPTH, 0, 1};
    c.slab = slab_rows(F32_PARTS, c.depth, blocks > 1 ? 256 : SLAB_MOST);
    c.slab = least(c.slab, (rows + BLOCK - 1) / BLOCK * BLOCK);
    if (blocks > 1) c.panels = least(BLOCK_PANELS, (n + WHET_I_PANEL - 1) / WHET_I_PANEL);
    return c;
}

/* Numbers of 4 bytes: sums, the slab's tiles, a panel's (four groups wide). */
static int64_t linear_f32_scratch(int64_t rows, int64_t k) {
    const cut c = cut_f32(rows, INT64_MAX - WHET_I_PANEL, k);
    const int64_t tiles = (c.slab / TILE + 4) * chunks_of(c.depth) * F32_PARTS * PAIRS;
    return 4 * (c.slab * WHET_I_PANEL * c.panels + tiles) + LINE - 1;
}

static int64_t linear_bf16_scratch(int64_t rows, int64_t k) {
    const int64_t slab = least((rows + BLOCK - 1) / BLOCK * BLOCK, slab_rows(1, k, SLAB_MOST));
    return 4 * (slab / TILE * chunks_of(k) * PAIRS + BLOCK * WHET_I_PANEL) + LINE - 1;
}

static void *aligned(void *scratch) {
    return (void *)(((uintptr_t)scratch + LINE - 1) / LINE * LINE);
}

/* Tiles of the slab's rows, numbers `at`.. of k; marks rows that are not finite. */
INLINE void left_slab(int parts, const whet_i_linear *p, int64_t first, int64_t rows, int64_t at,
                      int64_t depth, uint32_t *left, uint16_t *bad_rows) {
    const int64_t group = chunks_of(depth) * parts * PAIRS;
    for (int64_t i = 0; i < rows; i += TILE)
        bad_rows[i / TILE] |= (uint16_t)left_group(parts, p->a + (first + i) * p->lda + at, p->lda,
                                                   1, rows - i, depth, left + i / TILE * group);
}

/* sums [rows, WHET_I_PANEL] = or += the rows at `left` by one panel. */
INLINE void rows_by_panel(int parts, int64_t rows, int64_t cols, bool adds, int64_t chunks,
                          const uint32_t *left, const uint32_t *right, float *sums, ahead *next) {
    const int64_t group = chunks * parts * PAIRS;
    for (int64_t j = 0; j < cols; j += 2 * TILE)
        for (int64_t row = 0; row < rows; row += BLOCK)
            multiply_rows(parts, rows - row, adds, chunks, left + row / TILE * group, group,
                          right + j / TILE * parts * PAIRS, sums + row * WHET_I_PANEL + j, next);
}

/* Again what comes of rows and columns with NaN or infinity. */
static void mend_rows(const whet_i_linear *p, int64_t first, int64_t rows, int64_t column,
                      const uint16_t *bad_rows, uint64_t bad_columns, float *sums) {
    const float *panel = (const float *)p->packed + column / WHET_I_PANEL * whet_i_panel_step(p->k);
    for (int64_t row = 0; row < rows; row += TILE)
        if (bad_rows[row / TILE] | bad_columns)
            mend(&(whet_i_product){.m = least(rows - row, TILE),
                                   .n = least(p->n - column, WHET_I_PANEL),
                                   .k = p->k,
                                   .a = p->a + (first + row) * p->lda,
                                   .a_row = p->lda,
                                   .a_col = 1,
                                   .b = panel,
                                   .b_row = WHET_I_PANEL,
                                   .b_col = 1,
                                   .c = sums + row * WHET_I_PANEL,
                                   .ldc = WHET_I_PANEL},
                 bad_rows[row / TILE], bad_columns);
}

static void finish_rows(const whet_i_linear *p, int64_t first, int64_t rows, int64_t column,
                        float *sums) {
    for (int64_t i = 0; i < rows; i += TILE_ROWS)
        finish(p, first + i, least(rows - i, TILE_ROWS), column, sums + i * WHET_I_PANEL);
}

/* Rows `first`.. of c, a slab at most, in c's columns from `column` on, `panels` of them. */
typedef struct slab {
    const whet_i_linear *p;
    cut cut;
    int64_t first, rows;
    float *sums;
    uint32_t *left, *right;
    uint16_t bad_rows[SLAB_MOST / TILE];
} slab;

/* One block of k of one panel's columns, from `column` on; after the last one what follows the sums, while
 * they are in the first-level cache. */
INLINE void panel_by_rows(int parts, const slab *s, int64_t column, int64_t at, int64_t depth,
                          uint64_t bad_columns, float *sums, ahead *next) {
    const int64_t cols = least(s->p->n - column, WHET_I_PANEL), chunks = chunks_of(depth);
    for (int64_t row = 0; row < s->rows; row += BLOCK, sums += BLOCK * WHET_I_PANEL) {
        const int64_t tall = least(s->rows - row, BLOCK);
        rows_by_panel(parts, tall, cols, at > 0, chunks,
                      s->left + row / TILE * chunks * parts * PAIRS, s->right, sums, next);
        if (at + depth < s->p->k) continue;
        mend_rows(s->p, s->first + row, tall, column, s->bad_rows + row / TILE, bad_columns, sums);
        finish_rows(s->p, s->first + row, tall, column, sums);
    }
}

INLINE void slab_by_panels(int parts, slab *s, int64_t column) {
    const whet_i_linear *p = s->p;
    const int64_t end = least(column + s->cut.panels * WHET_I_PANEL, p->n);
    const int64_t step = whet_i_panel_step(p->k);
    uint64_t bad_columns[BLOCK_PANELS] = {0};
    for (int64_t at = 0; at < p->k; at += s->cut.depth) {
        const int64_t depth = least(p->k - at, s->cut.depth);
        if (s->cut.depth < p->k || column == 0)
            left_slab(parts, p, s->first, s->rows, at, depth, s->left, s->bad_rows);
        float *sums = s->sums;
        for (int64_t j = column; j < end; j += WHET_I_PANEL, sums += s->cut.slab * WHET_I_PANEL) {
            const float *panel = (const float *)p->packed + j / WHET_I_PANEL * step;
            const int64_t cols = least(p->n - j, WHET_I_PANEL);
            const char *after = (const char *)(panel + step + at * WHET_I_PANEL);
            const int64_t bytes = depth * WHET_I_PANEL * (int64_t)sizeof(float);
            ahead next = {after, j + WHET_I_PANEL < p->n ? after + bytes : after,
                          bytes * BLOCK / (2 * chunks_of(depth) * s->rows) / LINE * LINE + LINE};
            bad_columns[(j - column) / WHET_I_PANEL] |= right_panel(
                parts, panel + at * WHET_I_PANEL, WHET_I_PANEL, 1, depth, cols, s->right);
            panel_by_rows(parts, s, j, at, depth, bad_columns[(j - column) / WHET_I_PANEL], sums,
                          &next);
        }
    }
}

/* Short sums are over before splitting has paid, and would fill tiles with zeros. The choice is by k
 * alone: bits do not depend on the rows. */
enum { DEPTH_LEAST = 3 * DEPTH };

INLINE void linear_of(int parts, const whet_i_linear *p) {
    slab s = {.p = p, .cut = cut_f32(p->rows, p->n, p->k), .sums = aligned(p->scratch)};
    s.left = (uint32_t *)(void *)(s.sums + s.cut.slab * WHET_I_PANEL * s.cut.panels);
    s.right = s.left + s.cut.slab / TILE * chunks_of(s.cut.depth) * F32_PARTS * PAIRS;
    tiles_begin();
    for (s.first = 0; s.first < p->rows; s.first += s.cut.slab) {
        s.rows = least(p->rows - s.first, s.cut.slab);
        memset(s.bad_rows, 0, sizeof s.bad_rows);
        for (int64_t j = 0; j < p->n; j += s.cut.panels * WHET_I_PANEL)
            slab_by_panels(parts, &s, j);
    }
    tiles_end();
}

static void linear_by_tiles(const whet_i_linear *p) {
    if (p->k < DEPTH_LEAST)
        linear_f32(p);
    else if (p->coarse)
        linear_of(COARSE_PARTS, p);
    else
        linear_of(F32_PARTS, p);
}

static void linear_bf16(const whet_i_linear *p) {
    const int64_t chunks = chunks_of(p->k), most = slab_rows(1, p->k, SLAB_MOST);
    uint16_t bad_rows[SLAB_MOST / TILE] = {0};
    float *sums = aligned(p->scratch);
    uint32_t *left = (uint32_t *)(void *)(sums + BLOCK * WHET_I_PANEL);
    tiles_begin();
    for (int64_t first = 0; first < p->rows; first += most) {
        const int64_t rows = least(p->rows - first, most);
        left_slab(1, p, first, rows, 0, p->k, left, bad_rows);
        for (int64_t j = 0; j < p->n; j += WHET_I_PANEL) {
            const uint16_t *panel =
                (const uint16_t *)p->packed + j / WHET_I_PANEL * whet_i_panel_step(p->k);
            const char *after = (const char *)(panel + whet_i_panel_step(p->k));
            const int64_t bytes = chunks * 4 * PAIRS * (int64_t)sizeof(uint32_t);
            ahead next = {after, j + WHET_I_PANEL < p->n ? after + bytes : after,
                          bytes * BLOCK / (2 * chunks * rows) / LINE * LINE + LINE};
            for (int64_t row = 0; row < rows; row += BLOCK) {
                const int64_t tall = least(rows - row, BLOCK);
                rows_by_panel(1, tall, least(p->n - j, WHET_I_PANEL), false, chunks,
                              left + row / TILE * chunks * PAIRS,
                              (const uint32_t *)(const void *)panel, sums, &next);
                finish_rows(p, first + row, tall, j, sums);
            }
        }
    }
    tiles_end();
}

static void pack_bf16(int64_t n, int64_t k, const float *w, int64_t row, int64_t column,
                      uint16_t *packed) {
    memset(packed, 0, sizeof *packed * (size_t)whet_i_packed_count(n, k));
    for (int64_t first = 0; first < n; first += WHET_I_PANEL, packed += whet_i_panel_step(k))
        (void)right_panel(1, w + first * row, column, row, k, least(n - first, WHET_I_PANEL),
                          (uint32_t *)(void *)packed);
}

/* ---- products of any operands ------------------------------------------------------------------
 */

/* Blocks of c: their tiles are on the stack and in the second-level cache, those of 32 rows and
 * columns in the first-level one. */
enum { TILES_DEPTH = 128, TILES_COLS = 192, TILES_ROWS = 2 * BLOCK };

INLINE void product_rows_of(int parts, const whet_i_product *p, int64_t at, int64_t depth,
                            int64_t first, int64_t col, int64_t cols, const uint64_t *bad_columns,
                            const uint32_t *right) {
    _Alignas(64) uint32_t left[TILES_ROWS / TILE * TILES_DEPTH / DEPTH * F32_PARTS * PAIRS];
    _Alignas(64) float sums[BLOCK * WHET_I_PANEL];
    const int64_t chunks = chunks_of(depth), group = chunks * parts * PAIRS;
    const int64_t rows = least(p->m - first, TILES_ROWS);
    uint64_t bad_rows = 0;
    for (int64_t i = 0; i < rows; i += TILE)
        bad_rows |=
            (uint64_t)left_group(parts, p->a + (first + i) * p->a_row + at * p->a_col, p->a_row,
                                 p->a_col, rows - i, depth, left + i / TILE * group)
            << i;
    for (int64_t row = 0; row < rows; row += BLOCK) {
        const int64_t tall = least(rows - row, BLOCK);
        for (int64_t j = 0; j < cols; j += WHET_I_PANEL) {
            const int64_t wide = least(cols - j, WHET_I_PANEL);
            const uint32_t *panel = right + j / WHET_I_PANEL * 4 * group;
            ahead nothing = {NULL, NULL, 0};
            for (int64_t i = 0; i < wide; i += 2 * TILE)
                multiply_rows(parts, tall, false, chunks, left + row / TILE * group, group,
                              panel + i / TILE * parts * PAIRS, sums + i, &nothing);
            whet_i_product part = *p;
            part.m = tall;
            part.n = wide;
            part.k = depth;
            part.a += (first + row) * p->a_row + at * p->a_col;
            part.b += at * p->b_row + (col + j) * p->b_col;
            part.c = sums;
            part.ldc = WHET_I_PANEL;
            if (parts > 1 && (bad_rows >> row | bad_columns[j / WHET_I_PANEL]))
                mend(&part, bad_rows >> row, bad_columns[j / WHET_I_PANEL]);
            add_sums(p, first + row, tall, col + j, at == 0 ? p->beta : 1, sums);
        }
    }
}

INLINE void product_of(int parts, const whet_i_product *p) {
    _Alignas(64) uint32_t right[TILES_COLS / TILE * TILES_DEPTH / DEPTH * F32_PARTS * PAIRS];
    uint64_t bad_columns[TILES_COLS / WHET_I_PANEL];
    tiles_begin();
    for (int64_t at = 0; at < p->k; at += TILES_DEPTH) {
        const int64_t depth = least(p->k - at, TILES_DEPTH);
        const int64_t panel = chunks_of(depth) * 4 * parts * PAIRS;
        for (int64_t col = 0; col < p->n; col += TILES_COLS) {
            const int64_t cols = least(p->n - col, TILES_COLS);
            for (int64_t j = 0; j < cols; j += WHET_I_PANEL)
                bad_columns[j / WHET_I_PANEL] = right_panel(
                    parts, p->b + at * p->b_row + (col + j) * p->b_col, p->b_row, p->b_col, depth,
                    least(cols - j, WHET_I_PANEL), right + j / WHET_I_PANEL * panel);
            for (int64_t row = 0; row < p->m; row += TILES_ROWS)
                product_rows_of(parts, p, at, depth, row, col, cols, bad_columns, right);
        }
    }
    tiles_end();
}

static void product_by_tiles(const whet_i_product *p) {
    if (p->k < DEPTH)
        product(p);
    else if (p->coarse)
        product_of(COARSE_PARTS, p);
    else
        product_of(F32_PARTS, p);
}

static void product_bf16(const whet_i_product *p, void *scratch) {
    (void)scratch;
    product_of(1, p);
}
static int64_t product_bf16_scratch(int64_t m, int64_t n) {
    (void)m;
    (void)n;
    return 0;
}

#ifdef WHET_EMULATE_AMX
static bool supported(void) { return supported_avx512(); }
#else
/* The operating system lends room for the tiles, 8 KB a thread, to processes that ask (Linux). */
static bool supported(void) {
    enum { REQUEST = 0x1023, TILE_DATA = 18 };   /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */
    const unsigned wanted = 1U << 22 | 1U << 24; /* AMX-BF16, AMX-TILE */
    unsigned a, b, c, d;
    return supported_avx512() && __builtin_cpu_supports("avx512bf16") &&
           __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & wanted) == wanted &&
           syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}
#endif

extern const whet_kernels WHET_AMX_TABLE;
const whet_kernels WHET_AMX_TABLE = {.name = "amx",
                                     .supported = supported,
                                     SIMD_SLOTS,
                                     CHANNEL_SLOTS,
                                     PRODUCT_SLOTS,
                                     VOTE_SLOTS,
                                     COST_SLOTS,
                                     DROPOUT_SLOTS,
                                     SOLVE_SLOTS,
                                     MERGE_SLOTS,
                                     .linear_f32 = linear_by_tiles,
                                     .linear_f32_scratch = linear_f32_scratch,
                                     .linear_f32_converts = true,
                                     .product = product_by_tiles,
                                     .pack_bf16 = pack_bf16,
                                     .linear_bf16 = linear_bf16,
                                     .linear_bf16_scratch = linear_bf16_scratch,
                                     .product_bf16 = product_bf16,
                                     .product_bf16_scratch = product_bf16_scratch,
                                     .bf16_products = true};
