/* SPDX-License-Identifier: Apache-2.0
 * How like each unit of A is each unit of B: products of what their weights are, all tensors together, the
 * other axes of B in the order that they have now. Slices of units are gathered as rows of f64, a chunk
 * of columns at a time, and multiplied. Products that are known for other orders need only the columns
 * whose place in B has changed since: A's times the difference of B's. */
#include <math.h>

#include "merge/align_i.h"
#include "tensor/tensor_i.h"

/* Columns at a time, and numbers a row has room for (no power of two: rows would share sets of a cache);
 * numbers below which starting threads takes longer than gathering; numbers read at a time. */
enum { WIDTH = WHET_I_PRODUCTS_ROOM / 2, CHUNK = WIDTH - 8, ALONE = 1 << 15, RUN = 256 };

/* One axis of one tensor seen as units times the rest. */
typedef struct slices {
    const whet_tensor *a, *b;
    int64_t n, repeat, rest; /* units; numbers a unit: repeat x rest */
    int64_t stride;          /* of the axis */
    int64_t *places;         /* [n, repeat] on the axis */
    int64_t *at_a, *at_b;    /* [rest] offsets of the other axes, of B permuted */
    int64_t *was_b;          /* [rest] of B before; NULL = there is no before */
    bool across;             /* units lie side by side, the first at 0: gathered as [columns, n] */
} slices;

typedef struct products {
    whet_ctx *ctx;
    const whet_i_bound *bound;
    const whet_alignment *alignment, *since; /* since NULL = from nothing */
    int32_t group, part;
    int64_t n, filled;
    double *a, *b, *out; /* [n, WIDTH], [n, WIDTH], [n, n] */
    const slices *now;
    bool across;            /* how what is gathered lies */
    int64_t first, columns; /* of the slices, that are gathered to column `filled` */
} products;

static double from_f16(uint16_t h) {
    const int exponent = h >> 10 & 31, fraction = h & 1023;
    const double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return h >> 15 ? -size : size;
}

/* Numbers base .. base + n of f32, in pieces that are aligned. */
static void read_run(const char *bytes, int64_t n, double *out) {
    float x[RUN];
    for (int64_t first = 0; first < n; first += RUN) {
        const int64_t count = n - first < RUN ? n - first : RUN;
        memcpy(x, bytes + first * (int64_t)sizeof *x, (size_t)count * sizeof *x);
        for (int64_t i = 0; i < count; i++) out[first + i] = (double)x[i];
    }
}

static bool is_run(const int64_t *at, int64_t n) {
    bool apart = false;
    for (int64_t i = 0; i < n; i++) apart |= at[i] != at[0] + i;
    return !apart;
}

/* Numbers base + at[0..n) of a tensor, whose bytes may be unaligned for their type. */
static void read_numbers(const whet_tensor *t, int64_t base, const int64_t *at, int64_t n,
                         double *out) {
    const char *bytes = (const char *)t->data + (size_t)base * whet_dtype_size(t->dtype);
    if (t->dtype == WHET_F32 && n > 0 && is_run(at, n)) {
        read_run(bytes + at[0] * 4, n, out);
        return;
    }
    for (int64_t i = 0; t->dtype == WHET_F32 && i < n; i++) {
        float x;
        memcpy(&x, bytes + at[i] * 4, sizeof x);
        out[i] = (double)x;
    }
    for (int64_t i = 0; t->dtype == WHET_F64 && i < n; i++)
        memcpy(&out[i], bytes + at[i] * 8, sizeof out[i]);
    for (int64_t i = 0; t->dtype == WHET_BF16 && i < n; i++) {
        uint16_t half;
        float x;
        memcpy(&half, bytes + at[i] * 2, sizeof half);
        const uint32_t wide = (uint32_t)half << 16;
        memcpy(&x, &wide, sizeof x);
        out[i] = (double)x;
    }
    for (int64_t i = 0; t->dtype == WHET_F16 && i < n; i++) {
        uint16_t half;
        memcpy(&half, bytes + at[i] * 2, sizeof half);
        out[i] = from_f16(half);
    }
}

/* Numbers base .. base + n. */
static void read_units(const whet_tensor *t, int64_t base, int64_t n, double *out) {
    int64_t at[RUN];
    if (t->dtype == WHET_F32) {
        read_run((const char *)t->data + base * 4, n, out);
        return;
    }
    for (int64_t first = 0; first < n; first += RUN) {
        const int64_t count = n - first < RUN ? n - first : RUN;
        for (int64_t i = 0; i < count; i++) at[i] = first + i;
        read_numbers(t, base, at, count, out + first);
    }
}

/* What B was at columns r .. r + n of a slice, taken from out [n]. */
static void subtract_numbers(const slices *s, int64_t base, int64_t r, int64_t n, double *out) {
    double was[RUN];
    for (int64_t first = 0; first < n; first += RUN) {
        const int64_t count = n - first < RUN ? n - first : RUN;
        read_numbers(s->b, base, s->was_b + r + first, count, was);
        for (int64_t i = 0; i < count; i++) out[first + i] -= was[i];
    }
}

/* The slice of unit u, its columns first .. first + columns. */
static void gather(void *arg, int64_t u, int32_t worker) {
    const products *p = arg;
    const slices *s = p->now;
    double *a = p->a + u * WIDTH + p->filled, *b = p->b + u * WIDTH + p->filled;
    (void)worker;
    for (int64_t c = 0, n; c < p->columns; c += n) {
        const int64_t k = (p->first + c) / s->rest, r = (p->first + c) % s->rest;
        const int64_t place = s->places[u * s->repeat + k];
        n = s->rest - r < p->columns - c ? s->rest - r : p->columns - c;
        if (place < 0) {
            memset(a + c, 0, (size_t)n * sizeof *a);
            memset(b + c, 0, (size_t)n * sizeof *b);
        } else {
            read_numbers(s->a, place * s->stride, s->at_a + r, n, a + c);
            read_numbers(s->b, place * s->stride, s->at_b + r, n, b + c);
            if (s->was_b) subtract_numbers(s, place * s->stride, r, n, b + c);
        }
    }
}

/* From one column of units to the next: as far as there is room, for the same reason. */
static int64_t row_across(int64_t n) { return n * WIDTH / CHUNK; }

/* Column c of a slice whose units lie side by side. */
static void gather_across(void *arg, int64_t c, int32_t worker) {
    const products *p = arg;
    const slices *s = p->now;
    const int64_t n = s->n, r = p->first + c;
    double *a = p->a + (p->filled + c) * row_across(n), *b = p->b + (p->filled + c) * row_across(n);
    double was[RUN];
    (void)worker;
    read_units(s->a, s->at_a[r], n, a);
    read_units(s->b, s->at_b[r], n, b);
    for (int64_t first = 0; s->was_b && first < n; first += RUN) {
        const int64_t count = n - first < RUN ? n - first : RUN;
        read_units(s->b, s->was_b[r] + first, count, was);
        for (int64_t i = 0; i < count; i++) b[first + i] -= was[i];
    }
}

static whet_status flush(products *p) {
    if (p->filled == 0) return WHET_OK;
    const int64_t k = p->filled;
    p->filled = 0;
    if (p->across)
        return whet_i_matmul_f64(p->ctx, true, false, p->n, p->n, k, p->a, row_across(p->n), p->b,
                                 row_across(p->n), 1, p->out, p->n);
    return whet_i_matmul_f64(p->ctx, false, true, p->n, p->n, k, p->a, WIDTH, p->b, WIDTH, 1,
                             p->out, p->n);
}

static whet_status add_slices(products *p, const slices *s) {
    const int64_t all = s->repeat * s->rest;
    whet_status status = s->across == p->across ? WHET_OK : flush(p);
    p->now = s;
    p->across = s->across;
    for (p->first = 0; p->first < all && status == WHET_OK; p->first += p->columns) {
        const int64_t room = CHUNK - p->filled, left = all - p->first;
        p->columns = left < room ? left : room;
        const int64_t items = s->across ? p->columns : s->n;
        if (s->n * p->columns < ALONE)
            for (int64_t i = 0; i < items; i++) (s->across ? gather_across : gather)(p, i, 0);
        else
            status =
                whet_i_parallel_for(p->ctx, NULL, items, s->across ? gather_across : gather, p);
        p->filled += p->columns;
        if (p->filled == CHUNK && status == WHET_OK) status = flush(p);
    }
    p->now = NULL;
    return status;
}

/* Offsets of all places of the axes but x, in row-major order, each axis in the order `source`. */
static void fill_offsets(const whet_tensor *t, int32_t x, int64_t *const source[WHET_I_AXES_MAX],
                         int64_t *out) {
    int64_t n = 1, stride = 1, strides[WHET_I_AXES_MAX];
    for (int32_t y = t->rank - 1; y >= 0; y--) {
        strides[y] = stride;
        stride *= t->shape[y];
    }
    out[0] = 0;
    for (int32_t y = 0; y < t->rank; y++) {
        if (y == x) continue;
        /* from the back, so that what is read is not yet overwritten */
        for (int64_t i = n - 1; i >= 0; i--) {
            const int64_t base = out[i];
            for (int64_t j = t->shape[y] - 1; j >= 0; j--)
                out[i * t->shape[y] + j] = base + (source[y] ? source[y][j] : j) * strides[y];
        }
        n *= t->shape[y];
    }
}

/* Leaves the columns whose place in B has changed. */
static void keep_changed(slices *s) {
    int64_t n = 0;
    for (int64_t r = 0; r < s->rest; r++) {
        if (s->at_b[r] == s->was_b[r]) continue;
        s->at_a[n] = s->at_a[r];
        s->at_b[n] = s->at_b[r];
        s->was_b[n++] = s->was_b[r];
    }
    s->rest = n;
}

/* Offsets of the axes but x of tensor i: of A, and of B as an alignment has it. */
static whet_status make_offsets(const products *p, int64_t i, int32_t x,
                                const whet_alignment *alignment, whet_i_arena *arena, int64_t rest,
                                int64_t **out) {
    const whet_tensor *a = &p->bound->a[i];
    int64_t *source[WHET_I_AXES_MAX] = {NULL};
    WHET_TRY(whet_i_arena_alloc(p->ctx, arena, rest, sizeof **out, out));
    for (int32_t y = 0; alignment && y < a->rank; y++) {
        if (y == x) continue;
        WHET_TRY(whet_i_arena_alloc(p->ctx, arena, a->shape[y], sizeof *source[y], &source[y]));
        whet_i_axis_source(p->bound, alignment, &p->bound->spec->tensors[i].axes[y], a->shape[y],
                           source[y]);
    }
    if (rest > 0) fill_offsets(a, x, source, *out);
    return WHET_OK;
}

static whet_status make_slices(const products *p, int64_t i, int32_t x, whet_i_arena *arena,
                               slices *out) {
    const whet_i_axis *axis = &p->bound->spec->tensors[i].axes[x];
    const whet_tensor *a = &p->bound->a[i];
    slices s = {.a = a, .b = &p->bound->b[i], .n = p->n, .rest = 1, .stride = 1};
    for (int32_t y = 0; y < a->rank; y++) {
        if (y > x) s.stride *= a->shape[y];
        if (y != x) s.rest *= a->shape[y];
    }
    s.repeat = whet_i_repeat(p->bound, axis, a->shape[x]);
    WHET_TRY(whet_i_arena_alloc(p->ctx, arena, s.n * s.repeat, sizeof *s.places, &s.places));
    whet_i_axis_places(p->bound, axis, a->shape[x], p->group, p->part, s.places);
    s.across =
        s.stride == 1 && s.repeat == 1 && s.n > 0 && s.places[0] == 0 && is_run(s.places, s.n);
    WHET_TRY(make_offsets(p, i, x, NULL, arena, s.rest, &s.at_a));
    WHET_TRY(make_offsets(p, i, x, p->alignment, arena, s.rest, &s.at_b));
    if (p->since) {
        WHET_TRY(make_offsets(p, i, x, p->since, arena, s.rest, &s.was_b));
        keep_changed(&s);
    }
    *out = s;
    return WHET_OK;
}

static bool has_part(const whet_i_axis *axis, int32_t group, int32_t part) {
    for (int32_t p = 0; p < axis->n; p++)
        if (axis->pieces[p].group == group && axis->pieces[p].part == part) return true;
    return false;
}

static whet_status add_tensor(products *p, int64_t i) {
    const whet_i_spec_tensor *t = &p->bound->spec->tensors[i];
    for (int32_t x = 0; x < t->rank; x++) {
        whet_i_arena arena = {0};
        slices s;
        if (t->unmatched || !has_part(&t->axes[x], p->group, p->part)) continue;
        whet_status status = make_slices(p, i, x, &arena, &s);
        if (status == WHET_OK) status = add_slices(p, &s);
        whet_i_arena_free(p->ctx, &arena);
        WHET_TRY(status);
    }
    return WHET_OK;
}

whet_status whet_i_unit_products(whet_ctx *ctx, const whet_i_bound *bound,
                                 const whet_alignment *alignment, const whet_alignment *since,
                                 int32_t group, int32_t part, double *room, double *out) {
    products p = {.ctx = ctx,
                  .bound = bound,
                  .alignment = alignment,
                  .since = since,
                  .group = group,
                  .part = part,
                  .n = whet_i_part_count(&bound->groups[group], part),
                  .a = room,
                  .out = out};
    p.b = room + p.n * WIDTH;
    if (!since) memset(out, 0, (size_t)(p.n * p.n) * sizeof *out);
    for (int64_t i = 0; i < bound->spec->n_tensors; i++) WHET_TRY(add_tensor(&p, i));
    return flush(&p);
}

/* ---- the objective ---------------------------------------------------------------------------------- */

typedef struct sums {
    const whet_tensor *a, *b;
    int64_t *const *source;
    double product, distance;
} sums;

/* Of the last axis, that begins at these numbers. */
static void sum_row(sums *s, int64_t n, const int64_t *source, int64_t at_a, int64_t at_b) {
    double x[RUN], y[RUN];
    int64_t from_a[RUN], from_b[RUN];
    for (int64_t first = 0; first < n; first += RUN) {
        const int64_t count = n - first < RUN ? n - first : RUN;
        for (int64_t i = 0; i < count; i++) {
            from_a[i] = first + i;
            from_b[i] = source ? source[first + i] : first + i;
        }
        read_numbers(s->a, at_a, from_a, count, x);
        read_numbers(s->b, at_b, from_b, count, y);
        for (int64_t i = 0; i < count; i++) {
            s->product += x[i] * y[i];
            s->distance += (x[i] - y[i]) * (x[i] - y[i]);
        }
    }
}

/* Over the elements of A in order, of B where they come from. */
static void sum_axis(sums *s, int32_t axis, int64_t at_a, int64_t at_b) {
    const int64_t n = axis < s->a->rank && axis < WHET_I_AXES_MAX ? s->a->shape[axis] : 1;
    const int64_t *source = axis < WHET_I_AXES_MAX ? s->source[axis] : NULL;
    if (axis + 1 >= s->a->rank || axis + 1 >= WHET_I_AXES_MAX) {
        sum_row(s, n, source, at_a * n, at_b * n);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        sum_axis(s, axis + 1, at_a * n + i, at_b * n + (source ? source[i] : i));
}

whet_status whet_i_objective(whet_ctx *ctx, const whet_i_bound *bound,
                             const whet_alignment *alignment, double *product, double *distance) {
    double all = 0, apart = 0;
    for (int64_t i = 0; i < bound->spec->n_tensors; i++) {
        const whet_i_spec_tensor *t = &bound->spec->tensors[i];
        const whet_tensor *a = &bound->a[i];
        int64_t *source[WHET_I_AXES_MAX] = {NULL};
        whet_i_arena arena = {0};
        whet_status status = WHET_OK;
        bool moves = false;
        if (t->unmatched) continue;
        for (int32_t x = 0; x < a->rank && status == WHET_OK; x++) {
            if (t->axes[x].n == 0) continue;
            moves = true;
            status = whet_i_arena_alloc(ctx, &arena, a->shape[x], sizeof *source[x], &source[x]);
            if (status == WHET_OK)
                whet_i_axis_source(bound, alignment, &t->axes[x], a->shape[x], source[x]);
        }
        sums s = {.a = a, .b = &bound->b[i], .source = source};
        if (status == WHET_OK) sum_axis(&s, 0, 0, 0);
        whet_i_arena_free(ctx, &arena);
        WHET_TRY(status);
        if (moves) all += s.product;
        apart += s.distance;
    }
    *product = all;
    *distance = apart;
    return WHET_OK;
}
