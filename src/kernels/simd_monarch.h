/* SPDX-License-Identifier: Apache-2.0
 * The factors of adapters for any vector width; kernels_i.h has their definition. Included by
 * simd_kernels.h alone, which defines what they stand on.
 *
 * Number o of a long row goes with number o mod N of a piece of the short one. Where N divides the
 * lanes, that piece, repeated, is one vector for all o; where the lanes divide N, it is read from
 * o mod N on: the permutation costs nothing. Other N take ref's loops.
 * dot: lanes run along o, 6 x 4 sums at a time, and lanes of equal o mod N are added at the end.
 * add, outer: as the tiles of linear, with that vector where they broadcast a number.
 * Legend: i rows, c ranks, o numbers of a long row, N blocks. */

/* How the numbers of a short row meet those of a long one; a constant where it is used. */
typedef enum pattern { REPEAT_1, REPEAT_2, REPEAT_4, REPEAT_8, PIECES, NO_PATTERN } pattern;

static pattern pattern_of(int64_t blocks) {
    if (blocks == 1) return REPEAT_1;
    if (blocks == 2) return REPEAT_2;
    if (blocks == 4) return REPEAT_4;
    if (blocks == 8) return REPEAT_8;
    return blocks % LANES == 0 ? PIECES : NO_PATTERN;
}

/* The numbers of the piece z [blocks] that meet LANES numbers from o on, o a multiple of LANES. */
INLINE vec met_by(pattern form, const float *z, int64_t o, int64_t blocks) {
    switch (form) {
    case REPEAT_1: return v_set(*z);
    case REPEAT_2: return v_repeat_2(z);
    case REPEAT_4: return v_repeat_4(z);
    case REPEAT_8: return v_repeat_8(z);
    default: return v_load(z + o % blocks);
    }
}

/* ---- dot --------------------------------------------------------------------------------------- */

/* As many sums as registers hold. */
enum { DOT_ROWS = TILE_VECS == 4 ? 6 : 2, DOT_RANKS = 4 };

/* out [ranks, blocks] of one row: sums of the lanes that are equal modulo N. */
INLINE void fold(pattern form, int64_t ranks, const vec *sum, float *out, int64_t blocks) {
    if (form == REPEAT_1) {
        v_store_sums(sum, ranks, out);
        return;
    }
    for (int64_t c = 0; c < ranks; c++, out += blocks) {
        switch (form) {
        case REPEAT_2: v_fold_2(sum[c], out); break;
        case REPEAT_4: v_fold_4(sum[c], out); break;
        case REPEAT_8: v_fold_8(sum[c], out); break;
        default: v_store(out, sum[c]);
        }
    }
}

/* Rows i.. and ranks c.., `rows` and at most DOT_RANKS of them; of pieces, the numbers `at`.. of each. */
INLINE void dot_tile(int rows, pattern form, const whet_i_monarch *p, int64_t i, int64_t c,
                     int64_t at) {
    const int64_t ranks = p->rank - c < DOT_RANKS ? p->rank - c : DOT_RANKS;
    const int64_t step = form == PIECES ? p->blocks : LANES;
    const float *x = p->x + i * p->ldx, *w[DOT_RANKS];
    vec sum[DOT_ROWS][DOT_RANKS];
    for (int64_t j = 0; j < DOT_RANKS; j++) w[j] = p->w + (c + (j < ranks ? j : 0)) * p->ldw;
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int j = 0; j < DOT_RANKS; j++) sum[r][j] = v_set(0.0f);
    }
    int64_t o = at;
    for (; o + LANES <= p->n; o += step) {
        vec right[DOT_RANKS];
        UNROLL for (int j = 0; j < DOT_RANKS; j++) right[j] = v_load(w[j] + o);
        UNROLL for (int r = 0; r < rows; r++) {
            const vec left = v_load(x + r * p->ldx + o);
            UNROLL for (int j = 0; j < DOT_RANKS; j++) sum[r][j] = v_fma(left, right[j], sum[r][j]);
        }
    }
    if (o < p->n) {
        const int64_t left_over = p->n - o;
        UNROLL for (int r = 0; r < rows; r++) {
            const vec left = v_load_part(x + r * p->ldx + o, left_over);
            UNROLL for (int j = 0; j < DOT_RANKS; j++) sum[r][j] =
                v_fma(left, v_load_part(w[j] + o, left_over), sum[r][j]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        fold(form, ranks, sum[r], p->out + (i + r) * p->ldo + c * p->blocks + at, p->blocks);
}

INLINE void dot_of(pattern form, const whet_i_monarch *p) {
    for (int64_t i = 0; i < p->rows; i += DOT_ROWS) {
        const int64_t rows = p->rows - i < DOT_ROWS ? p->rows - i : DOT_ROWS;
        for (int64_t c = 0; c < p->rank; c += DOT_RANKS) {
            for (int64_t at = 0; at < (form == PIECES ? p->blocks : 1); at += LANES) {
                if (rows == DOT_ROWS)
                    dot_tile(DOT_ROWS, form, p, i, c, at);
                else
                    for (int64_t r = 0; r < rows; r++) dot_tile(1, form, p, i + r, c, at);
            }
        }
    }
}

static void monarch_dot(const whet_i_monarch *p) {
    switch (pattern_of(p->blocks)) {
    case REPEAT_1: dot_of(REPEAT_1, p); break;
    case REPEAT_2: dot_of(REPEAT_2, p); break;
    case REPEAT_4: dot_of(REPEAT_4, p); break;
    case REPEAT_8: dot_of(REPEAT_8, p); break;
    case PIECES: dot_of(PIECES, p); break;
    default: whet_i_kernels_ref.monarch_dot(p);
    }
}

/* ---- add --------------------------------------------------------------------------------------- */

/* Rows i.. and numbers o.. of x, `rows` and `vecs` vectors, of which the last may be cut by n; `to` is
 * where the first of them lies. */
INLINE void add_tile(int rows, int vecs, pattern form, const whet_i_monarch *p, int64_t i,
                     int64_t o, float *to, int64_t ldo) {
    const float *z = p->z + i * p->ldz, *w = p->w + o;
    const int64_t left_over = p->n - o;
    const bool whole = left_over >= vecs * LANES;
    vec sum[TILE_ROWS][TILE_VECS];
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int j = 0; j < vecs; j++) sum[r][j] =
            whole ? v_load(to + r * ldo + j * LANES)
                  : v_load_part(to + r * ldo + j * LANES, left_over - j * LANES);
    }
    for (int64_t c = 0; c < p->rank; c++, w += p->ldw, z += p->blocks) {
        vec right[TILE_VECS];
        UNROLL for (int j = 0; j < vecs; j++) right[j] =
            whole ? v_load(w + j * LANES) : v_load_part(w + j * LANES, left_over - j * LANES);
        UNROLL for (int r = 0; r < rows; r++) {
            UNROLL for (int j = 0; j < vecs; j++) sum[r][j] =
                v_fma(met_by(form, z + r * p->ldz, o + j * LANES, p->blocks), right[j], sum[r][j]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int j = 0; j < vecs; j++) {
            if (whole)
                v_store(to + r * ldo + j * LANES, sum[r][j]);
            else
                v_store_part(to + r * ldo + j * LANES, left_over - j * LANES, sum[r][j]);
        }
    }
}

/* At most TILE_ROWS rows and, from o on, TILE_COLS numbers. */
INLINE void add_block_of(pattern form, const whet_i_monarch *p, int64_t i, int64_t rows, int64_t o,
                         float *to, int64_t ldo) {
    const int64_t vecs = p->n - o < TILE_COLS ? (p->n - o + LANES - 1) / LANES : TILE_VECS;
    if (rows == TILE_ROWS && vecs == TILE_VECS) {
        add_tile(TILE_ROWS, TILE_VECS, form, p, i, o, to, ldo);
        return;
    }
    for (int64_t j = 0; j < vecs; j++) {
        if (rows == TILE_ROWS)
            add_tile(TILE_ROWS, 1, form, p, i, o + j * LANES, to + j * LANES, ldo);
        else
            for (int64_t r = 0; r < rows; r++)
                add_tile(1, 1, form, p, i + r, o + j * LANES, to + r * ldo + j * LANES, ldo);
    }
}

static void add_block(pattern form, const whet_i_monarch *p, int64_t i, int64_t rows, int64_t o,
                      float *to, int64_t ldo) {
    switch (form) {
    case REPEAT_1: add_block_of(REPEAT_1, p, i, rows, o, to, ldo); break;
    case REPEAT_2: add_block_of(REPEAT_2, p, i, rows, o, to, ldo); break;
    case REPEAT_4: add_block_of(REPEAT_4, p, i, rows, o, to, ldo); break;
    case REPEAT_8: add_block_of(REPEAT_8, p, i, rows, o, to, ldo); break;
    case PIECES: add_block_of(PIECES, p, i, rows, o, to, ldo); break;
    default: whet_i_ref_monarch_add_block(p, i, rows, o, TILE_COLS, to, ldo);
    }
}

static void monarch_add(const whet_i_monarch *p) {
    const pattern form = pattern_of(p->blocks);
    for (int64_t i = 0; i < p->rows; i += TILE_ROWS)
        for (int64_t o = 0; o < p->n; o += TILE_COLS)
            add_block(form, p, i, p->rows - i < TILE_ROWS ? p->rows - i : TILE_ROWS, o,
                      p->out + i * p->ldo + o, p->ldo);
}

/* ---- outer ------------------------------------------------------------------------------------- */

enum { OUTER_RANKS = 4 };

INLINE void outer_tile(int ranks, int vecs, pattern form, const whet_i_monarch *p, int64_t c,
                       int64_t o) {
    const float *x = p->x + o, *z = p->z + c * p->blocks;
    float *to = p->out + c * p->ldo + o;
    const int64_t left_over = p->n - o;
    const bool whole = left_over >= vecs * LANES;
    vec sum[OUTER_RANKS][TILE_VECS];
    UNROLL for (int r = 0; r < ranks; r++) {
        UNROLL for (int j = 0; j < vecs; j++) sum[r][j] =
            whole ? v_load(to + r * p->ldo + j * LANES)
                  : v_load_part(to + r * p->ldo + j * LANES, left_over - j * LANES);
    }
    for (int64_t i = 0; i < p->rows; i++, x += p->ldx, z += p->ldz) {
        vec right[TILE_VECS];
        UNROLL for (int j = 0; j < vecs; j++) right[j] =
            whole ? v_load(x + j * LANES) : v_load_part(x + j * LANES, left_over - j * LANES);
        UNROLL for (int r = 0; r < ranks; r++) {
            UNROLL for (int j = 0; j < vecs; j++) sum[r][j] = v_fma(
                met_by(form, z + r * p->blocks, o + j * LANES, p->blocks), right[j], sum[r][j]);
        }
    }
    UNROLL for (int r = 0; r < ranks; r++) {
        UNROLL for (int j = 0; j < vecs; j++) {
            if (whole)
                v_store(to + r * p->ldo + j * LANES, sum[r][j]);
            else
                v_store_part(to + r * p->ldo + j * LANES, left_over - j * LANES, sum[r][j]);
        }
    }
}

INLINE void outer_of(pattern form, const whet_i_monarch *p) {
    for (int64_t o = 0; o < p->n; o += TILE_COLS) {
        const int64_t vecs = p->n - o < TILE_COLS ? (p->n - o + LANES - 1) / LANES : TILE_VECS;
        for (int64_t c = 0; c < p->rank; c += OUTER_RANKS) {
            const int64_t ranks = p->rank - c < OUTER_RANKS ? p->rank - c : OUTER_RANKS;
            if (ranks == OUTER_RANKS && vecs == TILE_VECS) {
                outer_tile(OUTER_RANKS, TILE_VECS, form, p, c, o);
                continue;
            }
            for (int64_t j = 0; j < vecs; j++) {
                if (ranks == OUTER_RANKS)
                    outer_tile(OUTER_RANKS, 1, form, p, c, o + j * LANES);
                else
                    for (int64_t r = 0; r < ranks; r++)
                        outer_tile(1, 1, form, p, c + r, o + j * LANES);
            }
        }
    }
}

static void monarch_outer(const whet_i_monarch *p) {
    switch (pattern_of(p->blocks)) {
    case REPEAT_1: outer_of(REPEAT_1, p); break;
    case REPEAT_2: outer_of(REPEAT_2, p); break;
    case REPEAT_4: outer_of(REPEAT_4, p); break;
    case REPEAT_8: outer_of(REPEAT_8, p); break;
    case PIECES: outer_of(PIECES, p); break;
    default: whet_i_kernels_ref.monarch_outer(p);
    }
}

#define MONARCH_SLOTS \
    .monarch_dot = monarch_dot, .monarch_add = monarch_add, .monarch_outer = monarch_outer
