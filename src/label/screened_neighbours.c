/* SPDX-License-Identifier: Apache-2.0
 * Exact nearest neighbours under the inner product in large pools, screened: products of rows rounded to
 * bfloat16 leave out what cannot be among the m best, products in 64 bits decide among the rest.
 *
 * With x = x' + e and y = y' + f, x' and y' rounded,
 *   |x.y - x'.y'| <= |x'| |f| + |e| |y'| + |e| |f|,
 * and summing d terms in f32 is off by at most d 2^-23 |x'| |y'| and what falls below the normal range.
 * s is the most of it over the pool. A row whose rounded product is more than 2 s below the m-th best has
 * m rows above it; so has one that is more than s below the m-th best of what was multiplied in full.
 * Legend: n queries, m neighbours kept, d features. */
#include <float.h>
#include <math.h>

#include "kernels/kernels_i.h"
#include "label/product_neighbours.h"

enum {
    QUERY_ROWS = 384,
    PANELS = 12,
    POOL_ROWS = PANELS * WHET_I_PANEL,
    LIST = 256,  /* candidates that wait, beside 4 m */
    PROBES = 64, /* rows of the pool that tell whether screening leaves few */
    SCAN = 32    /* products looked at together */
};

/* A row as it is screened: lengths of what is left of it and of what is cut off. */
typedef struct extent {
    double rounded, cut;
} extent;

typedef struct screen {
    const whet_kernels *kernels;
    const float *queries, *pool;
    int64_t n, n_pool, d, m, list;
    bool same;
    const int64_t *own; /* [n] rows of the pool that the queries are; NULL: the same numbers */
    uint16_t *packed;   /* the pool */
    extent *each;       /* [n_pool] */
    extent most;        /* of the pool */
    int64_t *index;
    float *similarity;
    int64_t *decided; /* [n] how many were multiplied in full; NULL = not asked for */
    /* of each worker: */
    char *scratch; /* scratch_bytes for the kernel */
    int64_t scratch_bytes;
    float *products;  /* [QUERY_ROWS, POOL_ROWS] */
    float *best;      /* [QUERY_ROWS, m] rounded products, falling */
    double *exact;    /* [QUERY_ROWS, m] falling */
    float *value;     /* [QUERY_ROWS, list] rounded products of candidates */
    int64_t *waiting; /* [QUERY_ROWS, list] the candidates, rising */
} screen;

/* A query on its way through the pool. */
typedef struct query {
    const float *x;
    double slack;
    float least; /* products from here on may be of the m best */
    int64_t own; /* its row of the pool, or -1 */
    int64_t n_best, n_exact, n_waiting, n_decided;
    float *best, *value;
    double *exact;
    int64_t *index, *waiting;
} query;

/* ---- lengths --------------------------------------------------------------------------------- */

static extent extent_of(const whet_kernels *kernels, const float *x, int64_t d) {
    double rounded = 0, cut = 0;
    for (int64_t from = 0; from < d; from += WHET_I_PANEL) {
        uint16_t half[WHET_I_PANEL];
        float wide[WHET_I_PANEL];
        const int64_t n = d - from < WHET_I_PANEL ? d - from : WHET_I_PANEL;
        kernels->bf16_from_f32(n, x + from, half);
        kernels->f32_from_bf16(n, half, wide);
        for (int64_t j = 0; j < n; j++) {
            const double kept = fabsf(wide[j]) < FLT_MIN ? 0 : (double)wide[j];
            const double lost = (double)x[from + j] - kept;
            rounded += kept * kept;
            cut += lost * lost;
        }
    }
    return (extent){sqrt(rounded), sqrt(cut)};
}

static void measure_row(void *arg, int64_t i, int32_t worker) {
    const screen *s = arg;
    (void)worker;
    s->each[i] = extent_of(s->kernels, s->pool + i * s->d, s->d);
}

static void pack_piece(void *arg, int64_t piece, int32_t worker) {
    const screen *s = arg;
    const int64_t first = piece * POOL_ROWS;
    const int64_t rows = s->n_pool - first < POOL_ROWS ? s->n_pool - first : POOL_ROWS;
    (void)worker;
    s->kernels->pack_bf16(rows, s->d, s->pool + first * s->d, s->d, 1,
                          s->packed + piece * PANELS * whet_i_panel_step(s->d));
}

/* By how much a rounded product may be off, at most; infinite where it may not be finite. */
static double slack_of(const screen *s, extent x) {
    const double d = (double)s->d, product = x.rounded * s->most.rounded;
    const double cut = x.rounded * s->most.cut + x.cut * s->most.rounded + x.cut * s->most.cut;
    if (!(product < 1e37)) return (double)INFINITY;
    return (cut + d * 0x1p-23 * product) * (1 + 1e-9) + d * 0x1p-124;
}

/* ---- one query ------------------------------------------------------------------------------- */

/* In lanes, so that it is a loop over vectors; their sum is in a fixed order. */
static double product_of(const float *a, const float *b, int64_t d) {
    enum { LANES = 8 };
    double lane[LANES] = {0}, sum = 0;
    int64_t j = 0;
    for (; j + LANES <= d; j += LANES)
        for (int64_t l = 0; l < LANES; l++) lane[l] += (double)a[j + l] * (double)b[j + l];
    for (; j < d; j++) sum += (double)a[j] * (double)b[j];
    for (int64_t l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

static float below(double x) {
    const float near = (float)x;
    return (double)near < x ? near : nextafterf(near, -INFINITY);
}

static void raise_least(const screen *s, query *q) {
    if (q->n_best == s->m) {
        const float least = below((double)q->best[s->m - 1] - 2 * q->slack);
        if (least > q->least) q->least = least;
    }
    if (q->n_exact == s->m) {
        const float least = below(q->exact[s->m - 1] - q->slack);
        if (least > q->least) q->least = least;
    }
}

static void keep_best(const screen *s, query *q, float value) {
    if (q->n_best == s->m && !(value > q->best[s->m - 1])) return;
    int64_t place = q->n_best < s->m ? q->n_best++ : s->m - 1;
    for (; place > 0 && q->best[place - 1] < value; place--) q->best[place] = q->best[place - 1];
    q->best[place] = value;
}

/* Candidates come in rising order of their rows, so that of equal ones the lower stay in front. */
static void keep_exact(const screen *s, query *q, int64_t at) {
    const double value = product_of(q->x, s->pool + at * s->d, s->d);
    if (q->n_exact == s->m && !(value > q->exact[s->m - 1])) return;
    int64_t place = q->n_exact < s->m ? q->n_exact++ : s->m - 1;
    for (; place > 0 && q->exact[place - 1] < value; place--) {
        q->exact[place] = q->exact[place - 1];
        q->index[place] = q->index[place - 1];
    }
    q->exact[place] = value;
    q->index[place] = at;
}

/* Drops candidates that fell behind since. */
static void thin_out(query *q) {
    int64_t kept = 0;
    for (int64_t i = 0; i < q->n_waiting; i++) {
        if (q->value[i] < q->least) continue;
        q->value[kept] = q->value[i];
        q->waiting[kept++] = q->waiting[i];
    }
    q->n_waiting = kept;
}

static void decide(const screen *s, query *q) {
    for (int64_t i = 0; i < q->n_waiting; i++) keep_exact(s, q, q->waiting[i]);
    q->n_decided += q->n_waiting;
    q->n_waiting = 0;
    raise_least(s, q);
}

static void add_candidate(const screen *s, query *q, int64_t at, float value) {
    if (at == q->own) return;
    if (q->n_waiting == s->list) {
        thin_out(q);
        if (q->n_waiting > s->list / 2) decide(s, q);
        if (value < q->least) return;
    }
    q->value[q->n_waiting] = value;
    q->waiting[q->n_waiting++] = at;
    keep_best(s, q, value);
    raise_least(s, q);
}

static void scan(const screen *s, query *q, const float *products, int64_t cols, int64_t from) {
    int64_t j = 0;
    for (; j + SCAN <= cols; j += SCAN) {
        int32_t any = 0;
        for (int64_t l = 0; l < SCAN; l++) any |= products[j + l] >= q->least;
        for (int64_t l = 0; any && l < SCAN; l++)
            if (products[j + l] >= q->least) add_candidate(s, q, from + j + l, products[j + l]);
    }
    for (; j < cols; j++)
        if (products[j] >= q->least) add_candidate(s, q, from + j, products[j]);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static void begin(const screen *s, int64_t i, int64_t lane, query *q) {
    *q = (query){.x = s->queries + i * s->d,
                 .least = -INFINITY,
                 .own = s->own    ? s->own[i]
                        : s->same ? i
                                  : -1,
                 .best = s->best + lane * s->m,
                 .exact = s->exact + lane * s->m,
                 .value = s->value + lane * s->list,
                 .waiting = s->waiting + lane * s->list,
                 .index = s->index + i * s->m};
    q->slack = slack_of(s, extent_of(s->kernels, q->x, s->d));
}

static void finish(const screen *s, int64_t i, query *q) {
    for (int64_t at = 0; q->slack == (double)INFINITY && at < s->n_pool; at++)
        if (at != q->own) keep_exact(s, q, at); /* rounded products would tell nothing */
    if (q->slack == (double)INFINITY) q->n_decided += s->n_pool;
    thin_out(q);
    decide(s, q);
    if (s->decided) s->decided[i] = q->n_decided;
    for (int64_t e = 0; e < s->m; e++) s->similarity[i * s->m + e] = (float)q->exact[e];
}

static void screen_block(void *arg, int64_t block, int32_t worker) {
    const screen *s = arg;
    const int64_t first = block * QUERY_ROWS, step = whet_i_panel_step(s->d);
    const int64_t rows = s->n - first < QUERY_ROWS ? s->n - first : QUERY_ROWS;
    float *products = s->products + (int64_t)worker * QUERY_ROWS * POOL_ROWS;
    query each[QUERY_ROWS];
    for (int64_t i = 0; i < rows; i++)
        begin(s, first + i, (int64_t)worker * QUERY_ROWS + i, &each[i]);
    for (int64_t from = 0; from < s->n_pool; from += POOL_ROWS) {
        const int64_t cols = s->n_pool - from < POOL_ROWS ? s->n_pool - from : POOL_ROWS;
        const whet_i_linear product = {.rows = rows,
                                       .n = cols,
                                       .k = s->d,
                                       .a = s->queries + first * s->d,
                                       .packed = s->packed + from / WHET_I_PANEL * step,
                                       .c = products,
                                       .lda = s->d,
                                       .ldc = POOL_ROWS,
                                       .act = WHET_I_ACT_NONE,
                                       .scratch = s->scratch + worker * s->scratch_bytes};
        s->kernels->linear_bf16(&product);
        for (int64_t i = 0; i < rows; i++)
            if (each[i].slack < (double)INFINITY)
                scan(s, &each[i], products + i * POOL_ROWS, cols, from);
    }
    for (int64_t i = 0; i < rows; i++) finish(s, first + i, &each[i]);
}

static void screen_clear(whet_ctx *ctx, screen *s) {
    void *const all[] = {s->packed, s->each,  s->scratch, s->products,
                         s->best,   s->exact, s->value,   s->waiting};
    for (int64_t i = 0; i < WHET_COUNT_OF(all); i++) whet_i_free(ctx, all[i]);
}

static whet_status screen_make(whet_ctx *ctx, screen *s) {
    const int64_t lanes = (int64_t)whet_ctx_threads(ctx) * QUERY_ROWS;
    const int64_t pieces = (s->n_pool + POOL_ROWS - 1) / POOL_ROWS;
    int64_t numbers, best, lists;
    s->kernels = whet_i_kernels(ctx);
    s->list = LIST + 4 * s->m;
    s->scratch_bytes = (s->kernels->linear_bf16_scratch(QUERY_ROWS, s->d) + 63) / 64 * 64;
    WHET_TRY(whet_i_mul(ctx, pieces * PANELS, whet_i_panel_step(s->d), &numbers));
    WHET_TRY(whet_i_mul(ctx, lanes, s->m, &best));
    WHET_TRY(whet_i_mul(ctx, lanes, s->list, &lists));
    WHET_TRY(whet_i_alloc(ctx, numbers, &s->packed));
    WHET_TRY(whet_i_alloc(ctx, s->n_pool, &s->each));
    WHET_TRY(whet_i_alloc(ctx, whet_ctx_threads(ctx) * s->scratch_bytes, &s->scratch));
    WHET_TRY(whet_i_alloc(ctx, lanes * POOL_ROWS, &s->products));
    WHET_TRY(whet_i_alloc(ctx, best, &s->best));
    WHET_TRY(whet_i_alloc(ctx, best, &s->exact));
    WHET_TRY(whet_i_alloc(ctx, lists, &s->value));
    WHET_TRY(whet_i_alloc(ctx, lists, &s->waiting));
    WHET_TRY(whet_i_parallel_for(ctx, NULL, pieces, pack_piece, s));
    WHET_TRY(whet_i_parallel_for(ctx, NULL, s->n_pool, measure_row, s));
    for (int64_t i = 0; i < s->n_pool; i++) {
        s->most.rounded = fmax(s->most.rounded, s->each[i].rounded);
        s->most.cut = fmax(s->most.cut, s->each[i].cut);
    }
    return WHET_OK;
}

/* ---- whether it pays ------------------------------------------------------------------------- */

/* Some rows of the pool are tried: where rows lie so close that rounding hides which are nearer (features
 * with a large mean, copies), nearly all would be multiplied twice. Of the pool alone, so that a query
 * has the same bits whatever it comes with. */
static whet_status leaves_few(whet_ctx *ctx, const screen *full, double share, bool *few) {
    const int64_t n = full->n_pool < PROBES ? full->n_pool : PROBES;
    whet_status status = WHET_OK;
    screen s = *full;
    float *queries = NULL, *similarity = NULL;
    int64_t *index = NULL, *decided = NULL, own[PROBES], cells, total = 0;
    WHET_TRY_DONE(whet_i_mul(ctx, n, s.m, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, n * s.d, &queries));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &similarity));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &index));
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &decided));
    for (int64_t i = 0; i < n; i++) {
        own[i] = full->n_pool / n * i;
        memcpy(queries + i * s.d, s.pool + own[i] * s.d, (size_t)s.d * sizeof *queries);
    }
    if (s.m > s.n_pool - 1) s.m = s.n_pool - 1; /* the row itself is left out */
    s.queries = queries;
    s.n = n;
    s.own = own;
    s.index = index;
    s.similarity = similarity;
    s.decided = decided;
    WHET_TRY_DONE(
        whet_i_parallel_for(ctx, NULL, (n + QUERY_ROWS - 1) / QUERY_ROWS, screen_block, &s));
    for (int64_t i = 0; i < n; i++) total += decided[i];
    *few = (double)total <= share * (double)n * (double)s.n_pool;
done:
    whet_i_free(ctx, queries);
    whet_i_free(ctx, similarity);
    whet_i_free(ctx, index);
    whet_i_free(ctx, decided);
    return status;
}

whet_status whet_i_nearest_screened(whet_ctx *ctx, const float *queries, int64_t n,
                                    const float *pool, int64_t n_pool, int64_t d, int64_t m,
                                    bool same, double share, int64_t *index, float *similarity,
                                    bool *done) {
    screen s = {.queries = queries,
                .pool = pool,
                .n = n,
                .n_pool = n_pool,
                .d = d,
                .m = m,
                .same = same,
                .index = index,
                .similarity = similarity};
    whet_status status = screen_make(ctx, &s);
    *done = false;
    if (status == WHET_OK) status = leaves_few(ctx, &s, share, done);
    if (status == WHET_OK && *done)
        status = whet_i_parallel_for(ctx, "finding neighbours", (n + QUERY_ROWS - 1) / QUERY_ROWS,
                                     screen_block, &s);
    screen_clear(ctx, &s);
    return status;
}
