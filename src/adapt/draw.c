/* SPDX-License-Identifier: Apache-2.0
 * Which rows to label before any label exists: uniformly, or covering the features.
 *
 * Coverage is facility location: the chosen set C maximises sum_i max_{j in C} max(<x_i, x_j>, 0),
 * greedily, which is within 1 - 1/e of the best set (Nemhauser, Wolsey & Fisher 1978). Gains only
 * shrink as C grows, so a candidate whose gain of an earlier round is not over the best fresh one
 * needs no new look (lazy greedy, Minoux 1978); candidates are refreshed BATCH at a time, because
 * their products with all rows are then one matrix product. The result is that of plain greedy up
 * to the rounding of equal gains; ties go to the lowest index.
 * Legend: n rows, d features. Memory O(n) beyond a block. */
#include <math.h>

#include "adapt/adapt_i.h"
#include "tensor/tensor_i.h"

whet_status whet_draw_uniform(whet_ctx *ctx, const int64_t *from, int64_t n_from, int64_t budget,
                              uint64_t seed, int64_t *rows) {
    if (n_from < 0 || budget < 0 || budget > n_from)
        return whet_i_fail(ctx, WHET_ERR_ARG, "a draw of %lld from %lld rows; expected 0 to %lld",
                           (long long)budget, (long long)n_from, (long long)n_from);
    /* Selection sampling (Knuth 3.4.2 S): ascending, without a permutation. */
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, 0x64726177U);
    int64_t taken = 0;
    for (int64_t i = 0; i < n_from && taken < budget; i++)
        if (whet_i_rng_below(&rng, n_from - i) < budget - taken) rows[taken++] = from ? from[i] : i;
    return WHET_OK;
}

enum { BATCH = 64, ROWS = 512 };

typedef struct cover {
    const float *x; /* [n, d] unit rows */
    int64_t n, d;
    float *best;      /* [n] the largest product with a chosen row so far */
    double *gain;     /* [n] gains, fresh or of an earlier round: then upper bounds */
    int64_t *seen_at; /* [n] the round of that gain */
    int64_t *order;   /* a heap of rows by gain, then index; [size] */
    int64_t size;
    int64_t fresh[BATCH]; /* rows being refreshed */
    int64_t n_fresh;
    float *asked;    /* [BATCH, d] their features */
    double *partial; /* [blocks, BATCH] sums of a block of rows */
    float *products; /* [workers, ROWS, BATCH] */
} cover;

static bool before(const cover *c, int64_t a, int64_t b) {
    return c->gain[a] > c->gain[b] || (c->gain[a] == c->gain[b] && a < b);
}

static void sift_down(cover *c, int64_t at) {
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= c->size) return;
        if (child + 1 < c->size && before(c, c->order[child + 1], c->order[child])) child++;
        if (!before(c, c->order[child], c->order[at])) return;
        const int64_t kept = c->order[at];
        c->order[at] = c->order[child];
        c->order[child] = kept;
        at = child;
    }
}

static int64_t pop(cover *c) {
    const int64_t top = c->order[0];
    c->order[0] = c->order[--c->size];
    sift_down(c, 0);
    return top;
}

static void push(cover *c, int64_t row) {
    int64_t at = c->size++;
    c->order[at] = row;
    while (at > 0 && before(c, c->order[at], c->order[(at - 1) / 2])) {
        const int64_t kept = c->order[at];
        c->order[at] = c->order[(at - 1) / 2];
        c->order[(at - 1) / 2] = kept;
        at = (at - 1) / 2;
    }
}

static void gain_block(void *arg, int64_t block, int32_t worker) {
    cover *c = arg;
    const int64_t first = block * ROWS, n = c->n - first < ROWS ? c->n - first : ROWS;
    float *products = c->products + (int64_t)worker * ROWS * BATCH;
    double *sums = c->partial + block * BATCH;
    whet_i_matmul_f32_serial(false, true, n, c->n_fresh, c->d, c->x + first * c->d, c->d, c->asked,
                             c->d, 0, products, c->n_fresh);
    for (int64_t j = 0; j < c->n_fresh; j++) sums[j] = 0;
    for (int64_t i = 0; i < n; i++) {
        const float held = c->best[first + i];
        for (int64_t j = 0; j < c->n_fresh; j++) {
            const float more = products[i * c->n_fresh + j] - held;
            sums[j] += more > 0 ? (double)more : 0;
        }
    }
}

/* Fresh gains for the rows in c->fresh. */
static whet_status refresh(whet_ctx *ctx, cover *c, int64_t round) {
    const int64_t blocks = (c->n + ROWS - 1) / ROWS;
    for (int64_t j = 0; j < c->n_fresh; j++)
        memcpy(c->asked + j * c->d, c->x + c->fresh[j] * c->d, sizeof(float) * (size_t)c->d);
    WHET_TRY(whet_i_parallel_for(ctx, NULL, blocks, gain_block, c));
    for (int64_t j = 0; j < c->n_fresh; j++) {
        double sum = 0;
        for (int64_t block = 0; block < blocks; block++) sum += c->partial[block * BATCH + j];
        c->gain[c->fresh[j]] = sum;
        c->seen_at[c->fresh[j]] = round;
    }
    return WHET_OK;
}

static whet_status first_gains(whet_ctx *ctx, cover *c) {
    for (int64_t from = 0; from < c->n; from += BATCH) {
        WHET_TRY(whet_i_progress(ctx, "draw", from, c->n));
        c->n_fresh = c->n - from < BATCH ? c->n - from : BATCH;
        for (int64_t j = 0; j < c->n_fresh; j++) c->fresh[j] = from + j;
        WHET_TRY(refresh(ctx, c, 0));
    }
    c->size = c->n;
    for (int64_t i = 0; i < c->n; i++) c->order[i] = i;
    for (int64_t at = c->n / 2 - 1; at >= 0; at--) sift_down(c, at);
    return WHET_OK;
}

/* The row of largest gain given what is chosen. */
static whet_status next_row(whet_ctx *ctx, cover *c, int64_t round, int64_t *out) {
    /* Few need a new look as a rule; when many do, more at a time. */
    int64_t width = 4;
    while (c->seen_at[c->order[0]] != round) {
        c->n_fresh = 0;
        while (c->n_fresh < width && c->size > 0 && c->seen_at[c->order[0]] != round)
            c->fresh[c->n_fresh++] = pop(c);
        WHET_TRY(refresh(ctx, c, round));
        for (int64_t j = 0; j < c->n_fresh; j++) push(c, c->fresh[j]);
        width = width < BATCH ? 2 * width : BATCH;
    }
    *out = pop(c);
    return WHET_OK;
}

static void take(cover *c, int64_t row) {
    const float *chosen = c->x + row * c->d;
    for (int64_t i = 0; i < c->n; i++) {
        float sum = 0;
        for (int64_t j = 0; j < c->d; j++) sum += c->x[i * c->d + j] * chosen[j];
        if (sum > c->best[i]) c->best[i] = sum;
    }
}

static whet_status make_cover(whet_ctx *ctx, cover *c) {
    int64_t cells;
    WHET_TRY(whet_i_calloc(ctx, c->n, &c->best));
    WHET_TRY(whet_i_calloc(ctx, c->n, &c->gain));
    WHET_TRY(whet_i_calloc(ctx, c->n, &c->seen_at));
    WHET_TRY(whet_i_calloc(ctx, c->n, &c->order));
    WHET_TRY(whet_i_mul(ctx, BATCH, c->d, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &c->asked));
    WHET_TRY(whet_i_alloc(ctx, (c->n + ROWS - 1) / ROWS * BATCH, &c->partial));
    return whet_i_alloc(ctx, (int64_t)whet_ctx_threads(ctx) * ROWS * BATCH, &c->products);
}

whet_status whet_draw_coverage(whet_ctx *ctx, const float *features, int64_t n, int64_t d,
                               int64_t budget, int64_t *rows) {
    whet_status status = WHET_OK;
    cover c = {.n = n, .d = d};
    float *x = NULL;
    int64_t *chosen = NULL, cells;
    if (n < 1 || d < 1 || budget < 0 || budget > n)
        return whet_i_fail(ctx, WHET_ERR_ARG, "a draw of %lld from %lld rows; expected 0 to %lld",
                           (long long)budget, (long long)n, (long long)n);
    WHET_TRY(whet_i_check_finite(ctx, "features", features, n, d));
    WHET_TRY(whet_i_mul(ctx, n, d, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &x));
    WHET_TRY_DONE(whet_i_alloc(ctx, budget, &chosen));
    const whet_i_prepare unit = {.kind = WHET_I_UNIT, .d_in = d, .d = d};
    whet_i_prepare_apply(&unit, features, n, x);
    c.x = x;
    WHET_TRY_DONE(make_cover(ctx, &c));
    WHET_TRY_DONE(first_gains(ctx, &c));
    for (int64_t at = 0; at < budget; at++) {
        WHET_TRY_DONE(next_row(ctx, &c, at, &chosen[at]));
        take(&c, chosen[at]);
    }
    memcpy(rows, chosen, sizeof *rows * (size_t)budget);
done:
    whet_i_free(ctx, x);
    whet_i_free(ctx, chosen);
    whet_i_free(ctx, c.best);
    whet_i_free(ctx, c.gain);
    whet_i_free(ctx, c.seen_at);
    whet_i_free(ctx, c.order);
    whet_i_free(ctx, c.asked);
    whet_i_free(ctx, c.partial);
    whet_i_free(ctx, c.products);
    return status;
}
