/* SPDX-License-Identifier: Apache-2.0
 * The order in which an epoch sees its examples. */
#include <stdlib.h>

#include "nn/optimizer_i.h"

enum { WINDOW = 16 }; /* batches that are sorted together */

typedef struct keyed {
    int64_t length, place, example;
} keyed;

static int by_length(const void *a, const void *b) {
    const keyed *x = a, *y = b;
    if (x->length != y->length) return x->length > y->length ? 1 : -1;
    return x->place > y->place ? 1 : -1;
}

/* Sorts order[0..n) by length, equal lengths as they are. */
static void sort_window(const int64_t *lengths, int64_t *order, int64_t n, keyed *space) {
    for (int64_t i = 0; i < n; i++) space[i] = (keyed){lengths[order[i]], i, order[i]};
    qsort(space, (size_t)n, sizeof *space, by_length);
    for (int64_t i = 0; i < n; i++) order[i] = space[i].example;
}

static whet_status bucket(whet_ctx *ctx, const int64_t *lengths, int64_t batch_size, int64_t n,
                          int64_t *order) {
    const int64_t window = batch_size > n / WINDOW ? n : WINDOW * batch_size;
    keyed *space;
    WHET_TRY(whet_i_alloc(ctx, window, &space));
    for (int64_t i = 0; i < n; i += window)
        sort_window(lengths, order + i, n - i < window ? n - i : window, space);
    whet_i_free(ctx, space);
    return WHET_OK;
}

/* Whole batches change places; a smaller last one stays last. */
static whet_status shuffle_batches(whet_ctx *ctx, whet_i_rng *rng, int64_t batch_size, int64_t n,
                                   int64_t *order) {
    const int64_t whole = n / batch_size;
    int64_t *turn = NULL, *moved = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, whole, &turn));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &moved));
    for (int64_t i = 0; i < whole; i++) turn[i] = i;
    whet_i_rng_shuffle(rng, turn, whole);
    memcpy(moved, order, (size_t)n * sizeof *moved);
    for (int64_t i = 0; i < whole; i++)
        memcpy(order + i * batch_size, moved + turn[i] * batch_size,
               (size_t)batch_size * sizeof *order);
done:
    whet_i_free(ctx, moved);
    whet_i_free(ctx, turn);
    return status;
}

static void cut(const int64_t *lengths, const whet_i_batches_opts *o, whet_i_batches *b) {
    for (int64_t first = 0; first < b->n; first += o->batch_size) {
        const int64_t end = b->n - first < o->batch_size ? b->n : first + o->batch_size;
        int64_t tokens = 0;
        b->step_start[b->n_steps++] = b->n_micro;
        for (int64_t i = first; i < end; i++) {
            if (i == first || tokens + lengths[b->order[i]] > o->token_budget) {
                b->micro_start[b->n_micro++] = i;
                tokens = 0;
            }
            tokens += lengths[b->order[i]];
        }
    }
    b->step_start[b->n_steps] = b->n_micro;
    b->micro_start[b->n_micro] = b->n;
}

whet_status whet_i_batches_make(whet_ctx *ctx, const int64_t *lengths, int64_t n,
                                const whet_i_batches_opts *opts, whet_i_batches *out) {
    whet_i_batches b = {.n = n};
    whet_i_rng rng;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &b.order));
    WHET_TRY_DONE(whet_i_alloc(ctx, n + 1, &b.micro_start));
    WHET_TRY_DONE(whet_i_alloc(ctx, n + 1, &b.step_start));
    for (int64_t i = 0; i < n; i++) b.order[i] = i;
    whet_i_rng_init(&rng, opts->seed, (uint64_t)opts->epoch);
    if (opts->shuffle) whet_i_rng_shuffle(&rng, b.order, n);
    if (opts->bucket) {
        WHET_TRY_DONE(bucket(ctx, lengths, opts->batch_size, n, b.order));
        if (opts->shuffle) WHET_TRY_DONE(shuffle_batches(ctx, &rng, opts->batch_size, n, b.order));
    }
    cut(lengths, opts, &b);
    *out = b;
    return WHET_OK;
done:
    whet_i_batches_free(ctx, &b);
    return status;
}

void whet_i_batches_free(whet_ctx *ctx, whet_i_batches *b) {
    whet_i_free(ctx, b->order);
    whet_i_free(ctx, b->micro_start);
    whet_i_free(ctx, b->step_start);
    *b = (whet_i_batches){0};
}
