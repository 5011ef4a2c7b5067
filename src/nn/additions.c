/* SPDX-License-Identifier: Apache-2.0
 * What adapters add to linear layers, by rows; additions_i.h has the equations.
 * Legend: i additions, k and l blocks, a and c ranks, o outputs, s outputs of a block. */
#include "nn/additions_i.h"

/* Rows that z is made of at once: their x stays in the first-level cache for all additions. The most
 * chunks and the least rows of one. Numbers of W1, and outputs, of an item of the gradients. */
enum { FIRST_ROWS = 12, CHUNKS = 32, CHUNK_STEP = 64, PIECE = 2048, PIECE_OUTPUTS = 256 };

static const whet_i_param *param(const whet_i_task *t, const whet_i_addition *a, int32_t which) {
    return &t->graph->params->items[t->node->params[a->param + which]];
}

/* ---- sizes ------------------------------------------------------------------------------------ */

static int64_t width_of(const whet_i_monarch_shape *s) { return s->blocks * s->rank; }
static int64_t count_w1(const whet_i_monarch_shape *s) { return s->blocks * s->rank * s->p; }
static int64_t count_packed(const whet_i_monarch_shape *s) { return s->rank * s->out; }

int64_t whet_i_additions_width(const whet_i_additions *a) {
    int64_t sum = 0;
    for (int32_t i = 0; i < a->n; i++) sum += width_of(&a->items[i].shape);
    return sum;
}

int64_t whet_i_additions_packed(const whet_i_additions *a) {
    int64_t sum = 0;
    for (int32_t i = 0; i < a->n; i++) sum += count_packed(&a->items[i].shape);
    return sum;
}

int64_t whet_i_additions_sums(const whet_i_additions *a) {
    int64_t sum = 0;
    for (int32_t i = 0; i < a->n; i++)
        sum += count_w1(&a->items[i].shape) + count_packed(&a->items[i].shape);
    return sum;
}

int64_t whet_i_additions_chunk(int64_t rows) {
    return whet_i_blocks(rows > 0 ? rows : 1, CHUNKS * CHUNK_STEP) * CHUNK_STEP;
}

int64_t whet_i_additions_chunks(int64_t most_rows) {
    const int64_t chunks = whet_i_blocks(most_rows, CHUNK_STEP);
    return chunks < CHUNKS ? chunks : CHUNKS;
}

/* Inputs of block k; outputs of block l. */
static int64_t inputs(const whet_i_monarch_shape *s, int64_t k) {
    return s->in - k * s->p < s->p ? s->in - k * s->p : s->p;
}

static int64_t outputs(const whet_i_monarch_shape *s, int64_t l) {
    return l < s->out ? whet_i_blocks(s->out - l, s->blocks) : 0;
}

/* ---- forward ---------------------------------------------------------------------------------- */

void whet_i_additions_pack(const whet_i_task *t, const whet_i_additions *a, int64_t item,
                           whet_i_real *packed) {
    for (int64_t i = 0; i < item; i++) packed += count_packed(&a->items[i].shape);
    const whet_i_monarch_shape *s = &a->items[item].shape;
    const whet_i_real *w2 = param(t, &a->items[item], 1)->values, scale = a->items[item].scale;
    for (int64_t l = 0; l < s->blocks; l++)
        for (int64_t at = 0; at < outputs(s, l); at++)
            for (int64_t c = 0; c < s->rank; c++)
                packed[c * s->out + at * s->blocks + l] = scale * w2[(l * s->q + at) * s->rank + c];
}

/* Block k of the first factor: its rows of x, z and W1, of which the caller names what is written. */
static whet_i_monarch first_block(const whet_i_monarch_shape *s, int64_t k, int64_t rows,
                                  int64_t width) {
    return (whet_i_monarch){.rows = rows,
                            .n = inputs(s, k),
                            .rank = s->rank,
                            .blocks = 1,
                            .ldx = s->in,
                            .ldz = width,
                            .ldw = s->p};
}

static void first_rows(const whet_i_task *t, const whet_i_additions *a, int64_t rows,
                       const whet_i_real *x, whet_i_real *z) {
    const int64_t width = whet_i_additions_width(a);
    for (int32_t i = 0; i < a->n; i++) {
        const whet_i_monarch_shape *s = &a->items[i].shape;
        const whet_i_real *w1 = param(t, &a->items[i], 0)->values;
        for (int64_t k = 0; k < s->blocks; k++, z += s->rank) {
            whet_i_monarch args = first_block(s, k, rows, width);
            args.x = x + k * s->p;
            args.w = w1 + k * s->rank * s->p;
            args.out = z;
            args.ldo = width;
            t->kernels->monarch_dot(&args);
        }
    }
}

void whet_i_additions_first(const whet_i_task *t, const whet_i_additions *a, int64_t rows,
                            const whet_i_real *x, whet_i_real *z) {
    const int64_t in = a->items[0].shape.in, width = whet_i_additions_width(a);
    for (int64_t i = 0; i < rows; i += FIRST_ROWS)
        first_rows(t, a, rows - i < FIRST_ROWS ? rows - i : FIRST_ROWS, x + i * in, z + i * width);
}

whet_i_monarch whet_i_additions_second(const whet_i_additions *a, int32_t i,
                                       const whet_i_real *packed, const whet_i_real *z) {
    for (int32_t j = 0; j < i; j++) {
        packed += count_packed(&a->items[j].shape);
        z += width_of(&a->items[j].shape);
    }
    const whet_i_monarch_shape *s = &a->items[i].shape;
    return (whet_i_monarch){.n = s->out,
                            .rank = s->rank,
                            .blocks = s->blocks,
                            .z = z,
                            .w = packed,
                            .ldz = whet_i_additions_width(a),
                            .ldw = s->out};
}

/* ---- backward --------------------------------------------------------------------------------- */

static void add_dx(const whet_i_task *t, const whet_i_addition *a, const whet_i_additions_rows *r,
                   int64_t width, const whet_i_real *dz) {
    const whet_i_monarch_shape *s = &a->shape;
    for (int64_t k = 0; k < s->blocks; k++) {
        whet_i_monarch args = first_block(s, k, r->rows, width);
        args.z = dz + k * s->rank;
        args.w = param(t, a, 0)->values + k * s->rank * s->p;
        args.out = r->dx + k * s->p;
        args.ldo = s->in;
        t->kernels->monarch_add(&args);
    }
}

/* Rows `at`.. of r, `rows` of them, into the sums of their chunk: W1's [N, r, p], then W2's [r, out]. */
static void add_sums(const whet_i_task *t, const whet_i_additions *a, int32_t i,
                     const whet_i_additions_rows *r, int64_t at, int64_t rows, whet_i_real *sums) {
    const whet_i_monarch_shape *s = &a->items[i].shape;
    const int64_t width = whet_i_additions_width(a);
    int64_t column = 0;
    for (int32_t j = 0; j < i; j++) column += width_of(&a->items[j].shape);
    for (int64_t k = 0; k < s->blocks && param(t, &a->items[i], 0)->trainable; k++) {
        whet_i_monarch args = first_block(s, k, rows, width);
        args.x = r->x + at * s->in + k * s->p;
        args.z = r->dz + at * width + column + k * s->rank;
        args.out = sums + k * s->rank * s->p;
        args.ldo = s->p;
        t->kernels->monarch_outer(&args);
    }
    if (!param(t, &a->items[i], 1)->trainable) return;
    const whet_i_monarch args = {.rows = rows,
                                 .n = s->out,
                                 .rank = s->rank,
                                 .blocks = s->blocks,
                                 .x = r->g + at * r->columns + a->items[i].first,
                                 .z = r->z + at * width + column,
                                 .ldx = r->columns,
                                 .ldz = width,
                                 .out = sums + count_w1(s),
                                 .ldo = s->out};
    t->kernels->monarch_outer(&args);
}

void whet_i_additions_backward(const whet_i_task *t, const whet_i_additions *a,
                               const whet_i_additions_rows *r) {
    const int64_t width = whet_i_additions_width(a), size = whet_i_additions_sums(a);
    const int64_t chunk = whet_i_additions_chunk(whet_i_rows(t, t->node->outputs[0]));
    whet_i_real *dz = r->dz;
    for (int32_t i = 0; i < a->n; i++) {
        whet_i_monarch args = whet_i_additions_second(a, i, r->packed, NULL);
        args.rows = r->rows;
        args.x = r->g + a->items[i].first;
        args.ldx = r->columns;
        args.out = dz;
        args.ldo = width;
        t->kernels->monarch_dot(&args);
        if (r->dx) add_dx(t, &a->items[i], r, width, dz);
        dz += width_of(&a->items[i].shape);
    }
    for (int64_t at = 0, rows; at < r->rows; at += rows) {
        const int64_t row = r->first + at, left = chunk - row % chunk;
        rows = r->rows - at < left ? r->rows - at : left;
        whet_i_real *sums = r->sums + row / chunk * size;
        if (row % chunk == 0) memset(sums, 0, (size_t)size * sizeof *sums);
        for (int32_t i = 0; i < a->n; i++) {
            add_sums(t, a, i, r, at, rows, sums);
            sums += count_w1(&a->items[i].shape) + count_packed(&a->items[i].shape);
        }
    }
}

/* ---- gradients of W1 and W2 -------------------------------------------------------------------- */

static int64_t items_w1(const whet_i_task *t, const whet_i_addition *a) {
    return param(t, a, 0)->trainable ? whet_i_blocks(count_w1(&a->shape), PIECE) : 0;
}

static int64_t items_w2(const whet_i_task *t, const whet_i_addition *a) {
    return param(t, a, 1)->trainable ? whet_i_blocks(a->shape.out, PIECE_OUTPUTS) : 0;
}

int64_t whet_i_additions_items(const whet_i_task *t, const whet_i_additions *a) {
    int64_t sum = 0;
    for (int32_t i = 0; i < a->n; i++) sum += items_w1(t, &a->items[i]) + items_w2(t, &a->items[i]);
    return sum;
}

/* to [n] += the numbers at `from` of each chunk, in their order. */
static void add_chunks(const whet_i_task *t, int64_t chunks, int64_t size, int64_t n,
                       const whet_i_real *from, whet_i_real *to) {
    for (int64_t j = 0; j < chunks; j++) t->kernels->add(n, from + j * size, to);
}

static void gradient_w1(const whet_i_task *t, const whet_i_addition *a, int64_t chunks,
                        int64_t size, const whet_i_real *sums, int64_t item) {
    const int64_t first = item * PIECE, n = whet_i_block_rows(count_w1(&a->shape), PIECE, item);
    whet_i_real *to = param(t, a, 0)->gradient + first;
    if (!t->param_adds[a->param]) memset(to, 0, (size_t)n * sizeof *to);
    add_chunks(t, chunks, size, n, sums + first, to);
}

/* Some outputs; with the last of them, those of W2 that do not exist: zeros. */
static void gradient_w2(const whet_i_task *t, const whet_i_addition *a, int64_t chunks,
                        int64_t size, const whet_i_real *sums, int64_t item) {
    const whet_i_monarch_shape *s = &a->shape;
    const int64_t first = item * PIECE_OUTPUTS;
    const int64_t n = whet_i_block_rows(s->out, PIECE_OUTPUTS, item);
    const bool adds = t->param_adds[a->param + 1];
    whet_i_real *to = param(t, a, 1)->gradient, sum[PIECE_OUTPUTS];
    for (int64_t c = 0; c < s->rank; c++) {
        memset(sum, 0, sizeof sum);
        add_chunks(t, chunks, size, n, sums + c * s->out + first, sum);
        for (int64_t j = 0; j < n; j++) {
            const int64_t o = first + j;
            whet_i_real *g = &to[(o % s->blocks * s->q + o / s->blocks) * s->rank + c];
            *g = a->scale * sum[j] + (adds ? *g : 0);
        }
    }
    for (int64_t l = 0; l < s->blocks && !adds && first + n == s->out; l++) {
        const int64_t exist = outputs(s, l);
        memset(to + (l * s->q + exist) * s->rank, 0,
               (size_t)((s->q - exist) * s->rank) * sizeof *to);
    }
}

void whet_i_additions_gradient(const whet_i_task *t, const whet_i_additions *a, int64_t rows,
                               const whet_i_real *sums, int64_t item) {
    const int64_t chunks = whet_i_blocks(rows, whet_i_additions_chunk(rows));
    const int64_t size = whet_i_additions_sums(a);
    for (int32_t i = 0; i < a->n; i++) {
        const whet_i_addition *one = &a->items[i];
        const int64_t n1 = items_w1(t, one), n2 = items_w2(t, one);
        if (item < n1) {
            gradient_w1(t, one, chunks, size, sums, item);
            return;
        }
        if (item < n1 + n2) {
            gradient_w2(t, one, chunks, size, sums + count_w1(&one->shape), item - n1);
            return;
        }
        item -= n1 + n2;
        sums += count_w1(&one->shape) + count_packed(&one->shape);
    }
}
