/* SPDX-License-Identifier: Apache-2.0
 * Products of any operands for any vector width, f64 and f32. Included after simd_kernels.h by files
 * that also define `vec64`, LANES64 and the v64_ operations.
 *
 * A block of PRODUCT_DEPTH x PRODUCT_COLS of B is packed on the stack, and all rows of A pass by
 * it, six at a time, broadcast from where they lie; sums of one block stay in registers. Blocks
 * follow each other in ascending k, so the bits depend on the operands alone.
 * Legend: m, n size of C, k length of the sums. */
enum { PRODUCT_DEPTH = 256, PRODUCT_COLS = TILE_VECS * LANES64 };

/* packed [depth, PRODUCT_COLS] from column `col` on, zeros past n. */
static void product_pack(const whet_i_product_f64 *p, int64_t at, int64_t depth, int64_t col,
                         double *packed) {
    const int64_t cols = p->n - col < PRODUCT_COLS ? p->n - col : PRODUCT_COLS;
    for (int64_t t = 0; t < depth; t++, packed += PRODUCT_COLS) {
        const double *b = p->b + (at + t) * p->b_row + col * p->b_col;
        for (int64_t j = 0; j < cols; j++) packed[j] = b[j * p->b_col];
        for (int64_t j = cols; j < PRODUCT_COLS; j++) packed[j] = 0;
    }
}

INLINE void product_tile_of(int rows, int64_t depth, const double *a, int64_t a_row, int64_t a_col,
                            const double *b, double *sums) {
    vec64 sum[TILE_ROWS][TILE_VECS];
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < TILE_VECS; j++) sum[i][j] = v64_set(0.0);
    }
    for (int64_t t = 0; t < depth; t++, a += a_col, b += PRODUCT_COLS) {
        vec64 right[TILE_VECS];
        UNROLL for (int j = 0; j < TILE_VECS; j++) right[j] = v64_load(b + j * LANES64);
        UNROLL for (int i = 0; i < rows; i++) {
            const vec64 left = v64_set(a[i * a_row]);
            UNROLL for (int j = 0; j < TILE_VECS; j++) sum[i][j] =
                v64_fma(left, right[j], sum[i][j]);
        }
    }
    UNROLL for (int i = 0; i < rows; i++) {
        UNROLL for (int j = 0; j < TILE_VECS; j++)
            v64_store(sums + i * PRODUCT_COLS + j * LANES64, sum[i][j]);
    }
}

static void product_tile(int64_t rows, int64_t depth, const double *a, int64_t a_row, int64_t a_col,
                         const double *b, double *sums) {
    switch (rows) {
    case 1: product_tile_of(1, depth, a, a_row, a_col, b, sums); break;
    case 2: product_tile_of(2, depth, a, a_row, a_col, b, sums); break;
    case 3: product_tile_of(3, depth, a, a_row, a_col, b, sums); break;
    case 4: product_tile_of(4, depth, a, a_row, a_col, b, sums); break;
    case 5: product_tile_of(5, depth, a, a_row, a_col, b, sums); break;
    default: product_tile_of(TILE_ROWS, depth, a, a_row, a_col, b, sums);
    }
}

/* C's numbers = factor C + sums; factor 0 does not read them. */
static void product_add(const whet_i_product_f64 *p, int64_t row, int64_t rows, int64_t col,
                        double factor, const double *sums) {
    const int64_t cols = p->n - col < PRODUCT_COLS ? p->n - col : PRODUCT_COLS;
    for (int64_t i = 0; i < rows; i++, sums += PRODUCT_COLS) {
        double *c = p->c + (row + i) * p->ldc + col;
        if (factor == 0)
            for (int64_t j = 0; j < cols; j++) c[j] = sums[j];
        else
            for (int64_t j = 0; j < cols; j++) c[j] = factor * c[j] + sums[j];
    }
}

static void product_f64(const whet_i_product_f64 *p) {
    _Alignas(64) double packed[PRODUCT_DEPTH * PRODUCT_COLS];
    _Alignas(64) double sums[TILE_ROWS * PRODUCT_COLS];
    for (int64_t at = 0; at < p->k; at += PRODUCT_DEPTH) {
        const int64_t depth = p->k - at < PRODUCT_DEPTH ? p->k - at : PRODUCT_DEPTH;
        for (int64_t col = 0; col < p->n; col += PRODUCT_COLS) {
            product_pack(p, at, depth, col, packed);
            for (int64_t row = 0; row < p->m; row += TILE_ROWS) {
                const int64_t rows = p->m - row < TILE_ROWS ? p->m - row : TILE_ROWS;
                product_tile(rows, depth, p->a + row * p->a_row + at * p->a_col, p->a_row, p->a_col,
                             packed, sums);
                product_add(p, row, rows, col, at == 0 ? p->beta : 1, sums);
            }
        }
    }
}

/* ---- f32: the same with the tiles of linear ----------------------------------------------------
 */

/* Blocks: BLOCK_DEPTH x BLOCK_COLS of b are packed and stay in the second-level cache, BLOCK_ROWS rows
 * of a pass by, read from where they lie. Along k a transposed a lies in one page after another,
 * where no processor guesses what comes next: tiles ask for it, a line with each step, so that the
 * queue of misses is never full. (gcc removes a function that only prefetches: it stands in tile_of.) */
enum { BLOCK_DEPTH = 128, BLOCK_COLS = 192, BLOCK_ROWS = 48 };

/* packed [depth, TILE_COLS] from column `col` on; zeros past n up to the whole vector. */
static void pack_right(const whet_i_product *p, int64_t at, int64_t depth, int64_t col,
                       float *packed) {
    const int64_t cols = p->n - col < TILE_COLS ? p->n - col : TILE_COLS;
    const float *b = p->b + at * p->b_row + col * p->b_col;
    if (p->b_row == 1) { /* a transposed operand */
        for (int64_t j = 0; j < cols; j += LANES)
            for (int64_t t = 0; t < depth; t += LANES)
                v_transpose(cols - j, depth - t, b + j * p->b_col + t, p->b_col,
                            packed + t * TILE_COLS + j, TILE_COLS);
        return;
    }
    for (int64_t t = 0; t < depth; t++, b += p->b_row, packed += TILE_COLS) {
        if (p->b_col == 1)
            for (int64_t j = 0; j < cols; j += LANES) v_store(packed + j, load(b + j, cols - j));
        else
            for (int64_t j = 0; j < (cols + LANES - 1) / LANES * LANES; j++)
                packed[j] = j < cols ? b[j * p->b_col] : 0;
    }
}

static void add_sums(const whet_i_product *p, int64_t row, int64_t rows, int64_t col, float factor,
                     const float *sums) {
    const int64_t cols = p->n - col < TILE_COLS ? p->n - col : TILE_COLS;
    for (int64_t i = 0; i < rows; i++, sums += TILE_COLS) {
        float *c = p->c + (row + i) * p->ldc + col;
        for (int64_t j = 0; j < cols; j += LANES) {
            vec y = v_load(sums + j);
            if (factor != 0) y = v_fma(v_set(factor), load(c + j, cols - j), y);
            store(c + j, cols - j, y);
        }
    }
}

/* The numbers of a that come after those of the block of BLOCK_ROWS rows at `first`, or NULL. */
static const float *next_left(const whet_i_product *p, int64_t at, int64_t depth, int64_t first) {
    first += BLOCK_ROWS;
    if (first >= p->m) {
        first = 0;
        at += depth;
    }
    return at + depth <= p->k && first + BLOCK_ROWS <= p->m ? p->a + first + at * p->a_col : NULL;
}

/* Rows `first`.. of c, `rows` of them, by the columns in `right`. While the first four tiles run,
 * each asks for a line of every row of a transposed a that the next block needs. */
static void product_rows(const whet_i_product *p, int64_t at, int64_t depth, int64_t first,
                         int64_t rows, int64_t col, int64_t cols, const float *right) {
    _Alignas(64) float sums[TILE_ROWS * TILE_COLS];
    const float *next = p->a_row == 1 ? next_left(p, at, depth, first) : NULL;
    for (int64_t row = 0; row < rows; row += TILE_ROWS) {
        const int64_t tall = rows - row < TILE_ROWS ? rows - row : TILE_ROWS;
        for (int64_t j = 0; j < cols; j += TILE_COLS) {
            const int64_t vecs = (cols - j + LANES - 1) / LANES, line = row / TILE_ROWS * 16;
            const bool asks = next && j == 0 && line < BLOCK_ROWS;
            tile_by_vecs[vecs < TILE_VECS ? vecs : TILE_VECS](
                tall, depth, p->a + (first + row) * p->a_row + at * p->a_col, p->a_row, p->a_col,
                right + j * depth, TILE_COLS, sums, TILE_COLS, asks ? next + line : right,
                asks ? p->a_col : 0);
            add_sums(p, first + row, tall, col + j, at == 0 ? p->beta : 1, sums);
        }
    }
}

static void product(const whet_i_product *p) {
    _Alignas(64) float right[BLOCK_DEPTH * BLOCK_COLS];
    for (int64_t at = 0; at < p->k; at += BLOCK_DEPTH) {
        const int64_t depth = p->k - at < BLOCK_DEPTH ? p->k - at : BLOCK_DEPTH;
        for (int64_t col = 0; col < p->n; col += BLOCK_COLS) {
            const int64_t cols = p->n - col < BLOCK_COLS ? p->n - col : BLOCK_COLS;
            for (int64_t j = 0; j < cols; j += TILE_COLS)
                pack_right(p, at, depth, col + j, right + j * depth);
            for (int64_t row = 0; row < p->m; row += BLOCK_ROWS)
                product_rows(p, at, depth, row, p->m - row < BLOCK_ROWS ? p->m - row : BLOCK_ROWS,
                             col, cols, right);
        }
    }
}

#define PRODUCT_SLOTS .product_f64 = product_f64
#define PRODUCT_F32_SLOTS .product = product
