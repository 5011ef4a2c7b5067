/* SPDX-License-Identifier: Apache-2.0
 * Batches whose rows are to be compared with each other: several rows of each class.
 *
 * Classes, and the rows of each class, are decks: cards are dealt in a random order, and shuffled again
 * when the last one is out, so that every card comes about equally often. A batch never has a row twice.
 */
#include "nn/optimizer_i.h"

typedef struct deck {
    int64_t *cards; /* [n] numbers below the length of `seen` */
    int64_t n, next;
    int64_t *seen; /* the batch that had the card last */
} deck;

typedef struct dealer {
    whet_i_rng rng;
    deck classes;    /* those that have rows */
    deck *rows;      /* [k] */
    int64_t *cards;  /* [n] rows by class */
    int64_t *seen;   /* [n] */
    int64_t *taken;  /* [k] rows of the class in this batch */
    int64_t *chosen; /* [k] classes of this batch */
    int64_t n_chosen;
} dealer;

static void restart(whet_i_rng *rng, deck *d) {
    whet_i_rng_shuffle(rng, d->cards, d->n);
    d->next = 0;
}

/* The next card that batch `batch` does not have; there must be one. */
static int64_t deal(whet_i_rng *rng, deck *d, int64_t batch) {
    if (d->next == d->n) restart(rng, d);
    int64_t at = d->next;
    while (d->seen[d->cards[at]] == batch) at++;
    const int64_t card = d->cards[at];
    d->cards[at] = d->cards[d->next];
    d->cards[d->next++] = card;
    d->seen[card] = batch;
    return card;
}

static whet_status make_dealer(whet_ctx *ctx, int64_t n, int64_t k, dealer *d) {
    WHET_TRY(whet_i_calloc(ctx, k, &d->rows));
    WHET_TRY(whet_i_alloc(ctx, n, &d->cards));
    WHET_TRY(whet_i_alloc(ctx, n, &d->seen));
    WHET_TRY(whet_i_alloc(ctx, k, &d->taken));
    WHET_TRY(whet_i_alloc(ctx, k, &d->chosen));
    WHET_TRY(whet_i_alloc(ctx, k, &d->classes.cards));
    return whet_i_alloc(ctx, k, &d->classes.seen);
}

static void free_dealer(whet_ctx *ctx, dealer *d) {
    whet_i_free(ctx, d->classes.seen);
    whet_i_free(ctx, d->classes.cards);
    whet_i_free(ctx, d->chosen);
    whet_i_free(ctx, d->taken);
    whet_i_free(ctx, d->seen);
    whet_i_free(ctx, d->cards);
    whet_i_free(ctx, d->rows);
}

static void fill_decks(dealer *d, const int32_t *labels, int64_t n, int64_t k) {
    int64_t first = 0;
    for (int64_t i = 0; i < n; i++) d->rows[labels[i]].n++;
    for (int64_t c = 0; c < k; c++) {
        d->rows[c].cards = d->cards + first;
        d->rows[c].seen = d->seen;
        first += d->rows[c].n;
        d->classes.seen[c] = -1;
        if (d->rows[c].n) d->classes.cards[d->classes.n++] = c;
    }
    for (int64_t i = 0; i < n; i++) {
        deck *rows = &d->rows[labels[i]];
        d->seen[i] = -1;
        rows->cards[rows->next++] = i;
    }
    restart(&d->rng, &d->classes);
    for (int64_t c = 0; c < k; c++) restart(&d->rng, &d->rows[c]);
}

static void choose_class(dealer *d, int64_t batch) {
    const int64_t c = deal(&d->rng, &d->classes, batch);
    d->taken[c] = 0;
    d->chosen[d->n_chosen++] = c;
}

/* As many classes as can have two rows each; a row of each in turn; more classes when these have no more. */
static void fill_batch(dealer *d, int64_t batch, int64_t size, int64_t *order) {
    const int64_t wanted = size / 2 > 2 ? size / 2 : 2;
    int64_t n = 0;
    d->n_chosen = 0;
    while (d->n_chosen < wanted && d->n_chosen < d->classes.n) choose_class(d, batch);
    while (n < size) {
        const int64_t before = n;
        for (int64_t i = 0; i < d->n_chosen && n < size; i++) {
            const int64_t c = d->chosen[i];
            if (d->taken[c] == d->rows[c].n) continue;
            d->taken[c]++;
            order[n++] = deal(&d->rng, &d->rows[c], batch);
        }
        if (n == before) choose_class(d, batch);
    }
}

whet_status whet_i_balanced_batches_make(whet_ctx *ctx, const int32_t *labels, int64_t n, int64_t k,
                                         int64_t batch_size, uint64_t seed, int64_t epoch,
                                         whet_i_batches *out) {
    const int64_t size = batch_size < n ? batch_size : n;
    whet_i_batches b = {.n_steps = n ? (n + size - 1) / size : 0};
    dealer d = {.n_chosen = 0};
    whet_status status = WHET_OK;
    b.n_micro = b.n_steps;
    b.n = b.n_steps * size;
    WHET_TRY_DONE(whet_i_alloc(ctx, b.n, &b.order));
    WHET_TRY_DONE(whet_i_alloc(ctx, b.n_micro + 1, &b.micro_start));
    WHET_TRY_DONE(whet_i_alloc(ctx, b.n_steps + 1, &b.step_start));
    WHET_TRY_DONE(make_dealer(ctx, n, k, &d));
    whet_i_rng_init(&d.rng, seed, (uint64_t)epoch);
    fill_decks(&d, labels, n, k);
    for (int64_t s = 0; s <= b.n_steps; s++) {
        b.micro_start[s] = s * size;
        b.step_start[s] = s;
        if (s < b.n_steps) fill_batch(&d, s, size, b.order + s * size);
    }
    *out = b;
    b = (whet_i_batches){0};
done:
    free_dealer(ctx, &d);
    whet_i_batches_free(ctx, &b);
    return status;
}
