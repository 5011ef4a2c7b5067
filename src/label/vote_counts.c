/* SPDX-License-Identifier: Apache-2.0
 * Joint counts of votes in one pass: for every two cells, on how many rows both stand.
 *
 * Up to 16 classes each cell becomes a bit set over a batch of rows, and a pair is counted by the
 * bits of a conjunction, 64 rows at a time. With more classes most pairs of cells never meet, and
 * the pairs of each row are counted one by one. Integers: the order of rows and threads is nothing.
 *
 * Legend: n rows, m rules, k classes, d = m k cells. */
#include <inttypes.h>

#include "kernels/kernels_i.h"
#include "label/vote_model.h"

enum { BIT_CLASSES = 16, BATCH_BYTES = 16 << 20, LEAST_WORDS = 64, WORDS = 8, ROWS_A_PART = 4096 };

whet_status whet_vote_counts_create(whet_ctx *ctx, int64_t m, int64_t k, whet_vote_counts **out) {
    whet_vote_counts *counts = NULL;
    whet_status status = WHET_OK;
    int64_t d, cells;
    const int8_t none = 0;
    const whet_votes shape = {.n = 0, .m = m, .k = k, .narrow = &none};
    WHET_TRY(whet_i_votes_check_shape(ctx, &shape));
    WHET_TRY(whet_i_mul(ctx, m, k, &d));
    WHET_TRY(whet_i_mul(ctx, d, d, &cells));
    WHET_TRY(whet_i_check_room(ctx, "counting every two votes", 8 * (double)cells,
                               "a model that needs no counts, as dawid-skene, or fewer rules"));
    WHET_TRY(whet_i_calloc(ctx, 1, &counts));
    counts->m = m;
    counts->k = k;
    WHET_TRY_DONE(whet_i_calloc(ctx, cells, &counts->pairs));
    WHET_TRY_DONE(whet_i_calloc(ctx, m, &counts->judged));
    WHET_TRY_DONE(whet_i_calloc(ctx, m, &counts->right));
    *out = counts;
    counts = NULL;
done:
    whet_vote_counts_destroy(ctx, counts);
    return status;
}

void whet_vote_counts_destroy(whet_ctx *ctx, whet_vote_counts *counts) {
    if (!counts) return;
    whet_i_free(ctx, counts->pairs);
    whet_i_free(ctx, counts->judged);
    whet_i_free(ctx, counts->right);
    whet_i_free(ctx, counts);
}

int64_t whet_vote_counts_rows(const whet_vote_counts *counts) { return counts->n; }

void whet_vote_counts_size(const whet_vote_counts *counts, int64_t *m, int64_t *k) {
    *m = counts->m;
    *k = counts->k;
}

int64_t whet_vote_counts_of(const whet_vote_counts *counts, int64_t a, int32_t v, int64_t b,
                            int32_t w) {
    const int64_t k = counts->k;
    return counts->pairs[(a * k + v) * counts->m * k + b * k + w];
}

whet_status whet_vote_counts_merge(whet_ctx *ctx, whet_vote_counts *counts,
                                   const whet_vote_counts *other) {
    int64_t rows;
    if (counts->m != other->m || counts->k != other->k)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "counts of %" PRId64 " rules and %" PRId64 " classes; expected %" PRId64
                           " and %" PRId64,
                           other->m, other->k, counts->m, counts->k);
    const int64_t d = counts->m * counts->k;
    WHET_TRY(whet_i_add(ctx, counts->n, other->n, &rows)); /* the largest of all */
    for (int64_t i = 0; i < d * d; i++) counts->pairs[i] += other->pairs[i];
    for (int64_t j = 0; j < counts->m; j++) {
        counts->judged[j] += other->judged[j];
        counts->right[j] += other->right[j];
    }
    counts->n = rows;
    return WHET_OK;
}

typedef struct counting {
    const whet_votes *votes;
    int64_t d, first, rows; /* of the batch */
    int64_t words;          /* room of a bit set */
    uint64_t *bits;         /* [d, words] */
    uint64_t *sets;         /* [threads, d] */
    const whet_kernels *kernels;
    int64_t *pairs;      /* [d, d], upper triangle */
    int64_t **of_worker; /* with many classes: [threads] counts [d, d] */
    int32_t *cells;      /* [threads, m] */
} counting;

/* ---- few classes: bit sets ------------------------------------------------------------------- */

/* WORDS words of each set: the sets of 64 rows are made side by side, then dealt out. */
static void fill_words(void *arg, int64_t item, int32_t worker) {
    const counting *c = arg;
    int32_t *cell = c->cells + worker * c->votes->m;
    uint64_t *set = c->sets + worker * c->d;
    for (int64_t word = item * WORDS; word < (item + 1) * WORDS && word * 64 < c->rows; word++) {
        const int64_t begin = word * 64, end = begin + 64 < c->rows ? begin + 64 : c->rows;
        memset(set, 0, sizeof *set * (size_t)c->d);
        for (int64_t i = begin; i < end; i++) {
            const int64_t count = whet_i_vote_cells(c->votes, c->first + i, cell);
            for (int64_t e = 0; e < count; e++) set[cell[e]] |= (uint64_t)1 << (i - begin);
        }
        for (int64_t s = 0; s < c->d; s++) c->bits[s * c->words + word] = set[s];
    }
}

/* A rule with itself and those behind it: writes those counts alone. */
static void count_rule(void *arg, int64_t j, int32_t worker) {
    const counting *c = arg;
    const int64_t k = c->votes->k, words = (c->rows + 63) / 64;
    (void)worker;
    for (int64_t a = j * k; a < (j + 1) * k; a++) {
        const uint64_t *own = c->bits + a * c->words;
        c->pairs[a * c->d + a] += c->kernels->common_bits(words, own, own);
    }
    /* The rule's own words stay in the nearest cache, and others come by once. */
    for (int64_t b = (j + 1) * k; b < c->d; b++)
        for (int64_t a = j * k; a < (j + 1) * k; a++)
            c->pairs[a * c->d + b] +=
                c->kernels->common_bits(words, c->bits + a * c->words, c->bits + b * c->words);
}

static whet_status count_by_bits(whet_ctx *ctx, counting *c) {
    whet_status status = WHET_OK;
    int64_t cells;
    const int64_t n = c->votes->n, all = (n + 63) / 64;
    c->words = BATCH_BYTES / (8 * c->d);
    c->words = c->words < LEAST_WORDS ? LEAST_WORDS : c->words;
    c->words = c->words > all ? all : c->words;
    WHET_TRY(whet_i_mul(ctx, c->d, c->words, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &c->bits));
    WHET_TRY_DONE(whet_i_mul(ctx, c->d, whet_ctx_threads(ctx), &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &c->sets));
    for (c->first = 0; c->first < n; c->first += c->words * 64) {
        c->rows = n - c->first < c->words * 64 ? n - c->first : c->words * 64;
        WHET_TRY_DONE(whet_i_progress(ctx, "counting votes", c->first, n));
        WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, (c->rows + 64 * WORDS - 1) / (64 * WORDS),
                                          fill_words, c));
        WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, c->votes->m, count_rule, c));
    }
    WHET_TRY_DONE(whet_i_progress(ctx, "counting votes", n, n));
done:
    whet_i_free(ctx, c->sets);
    whet_i_free(ctx, c->bits);
    return status;
}

/* ---- many classes: pairs of each row ---------------------------------------------------------- */

static void count_rows(void *arg, int64_t part, int32_t worker) {
    const counting *c = arg;
    const int64_t n = c->votes->n, begin = part * ROWS_A_PART;
    const int64_t end = begin + ROWS_A_PART < n ? begin + ROWS_A_PART : n;
    int32_t *cell = c->cells + worker * c->votes->m;
    int64_t *pairs = c->of_worker[worker];
    for (int64_t i = begin; i < end; i++) {
        const int64_t count = whet_i_vote_cells(c->votes, i, cell);
        for (int64_t a = 0; a < count; a++)
            for (int64_t b = a; b < count; b++) pairs[cell[a] * c->d + cell[b]]++;
    }
}

static whet_status count_by_rows(whet_ctx *ctx, counting *c) {
    const int64_t threads = whet_ctx_threads(ctx), cells = c->d * c->d;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_calloc(ctx, threads, &c->of_worker));
    c->of_worker[0] = c->pairs;
    for (int64_t t = 1; t < threads; t++)
        WHET_TRY_DONE(whet_i_calloc(ctx, cells, &c->of_worker[t]));
    WHET_TRY_DONE(whet_i_parallel_for(
        ctx, "counting votes", (c->votes->n + ROWS_A_PART - 1) / ROWS_A_PART, count_rows, c));
    for (int64_t t = 1; t < threads; t++)
        for (int64_t i = 0; i < cells; i++) c->pairs[i] += c->of_worker[t][i];
done:
    for (int64_t t = 1; t < threads; t++) whet_i_free(ctx, c->of_worker[t]);
    whet_i_free(ctx, c->of_worker);
    return status;
}

whet_status whet_vote_counts_add(whet_ctx *ctx, whet_vote_counts *counts, const whet_votes *votes) {
    if (votes->m != counts->m || votes->k != counts->k)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "votes of %" PRId64 " rules and %" PRId64 " classes; expected %" PRId64
                           " and %" PRId64,
                           votes->m, votes->k, counts->m, counts->k);
    WHET_TRY(whet_votes_check(ctx, votes));
    return whet_i_vote_counts_add(ctx, counts, votes, true);
}

whet_status whet_i_vote_counts_add(whet_ctx *ctx, whet_vote_counts *counts, const whet_votes *votes,
                                   bool judged) {
    whet_status status = WHET_OK;
    int64_t room, rows;
    WHET_TRY(whet_i_add(ctx, counts->n, votes->n, &rows));
    counting c = {.votes = votes, .d = votes->m * votes->k, .kernels = whet_i_kernels(ctx)};
    WHET_TRY_DONE(whet_i_mul(ctx, whet_ctx_threads(ctx), votes->m, &room));
    WHET_TRY_DONE(whet_i_alloc(ctx, room, &c.cells));
    WHET_TRY_DONE(whet_i_calloc(ctx, c.d * c.d, &c.pairs));
    if (votes->k <= BIT_CLASSES)
        WHET_TRY_DONE(count_by_bits(ctx, &c));
    else
        WHET_TRY_DONE(count_by_rows(ctx, &c));
    if (judged) WHET_TRY_DONE(whet_i_judge_votes(ctx, votes, NULL, counts->judged, counts->right));
    for (int64_t a = 0; a < c.d; a++)
        for (int64_t b = a; b < c.d; b++) {
            counts->pairs[a * c.d + b] += c.pairs[a * c.d + b];
            if (a != b) counts->pairs[b * c.d + a] += c.pairs[a * c.d + b];
        }
    counts->n = rows;
done:
    whet_i_free(ctx, c.pairs);
    whet_i_free(ctx, c.cells);
    return status;
}
