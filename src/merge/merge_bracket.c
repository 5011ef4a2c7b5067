/* SPDX-License-Identifier: Apache-2.0
 * The k largest in one pass: a sample of the keys says between which two the k-th largest is, all but
 * surely; the pass counts what is above them and keeps what is between, of which the k-th and its equals are
 * then found, exactly. Where the sample was wrong, or too many keys are equal to be kept, nothing is found,
 * and merge_order.c goes the longer way: what is found never depends on luck.
 * Source: Floyd & Rivest 1975 (algorithm 489), by a sample of pieces from all over the tensor. */
#include <math.h>
#include <stdatomic.h>

#include "merge/merge_passes.h"

/* Pieces and their length; numbers from which on one is drawn, each so many; deviations of the k-th's rank in
 * the sample; keys that are kept, of all tops: 64 MB; bits of a digit. */
enum { PIECES = 256, PIECE = 256, SMALL = 1 << 16, EACH = 1 << 12, DEVIATIONS = 8 };
enum { KEPT_MOST = 1 << 24, DIGIT = 11, BITS = 32 };

typedef struct bracket {
    uint32_t low, high;
    int64_t *count, *start; /* [chunks] keys between them, where they are kept */
    int64_t wanted;         /* of those between, the largest; 0 = nothing is asked for */
    int64_t equal;          /* to the last of these */
} bracket;

typedef struct search {
    whet_i_merge_tensor *t;
    whet_i_merge_keys keys;
    void *arg;
    whet_i_merge_top *tops;
    int64_t n_tops, n_streams;
    bracket *brackets; /* [n_tops] */
    int64_t pieces, piece;
    uint32_t *sample, *spare; /* [streams, pieces, piece], [workers, pieces, piece] */
    uint32_t *key, *found;    /* [workers, chunk] */
    int64_t *counts;          /* [2 n_tops, chunks] */
    uint32_t *kept;           /* [room] */
    int64_t room;
    double *above; /* [n_tops] */
    atomic_llong used;
} search;

static int64_t kept_most(const whet_i_merge_tensor *t) {
    return t->keys_kept ? t->keys_kept : KEPT_MOST;
}

int64_t whet_i_merge_bracket_bytes(const whet_i_merge_tensor *t, int64_t streams) {
    const int64_t tops = streams > 2 ? 2 * streams : 6; /* breadcrumbs; quartiles */
    const int64_t most = kept_most(t);
    const int64_t kept = tops <= most / (t->count + 1) ? tops * t->count : most;
    const int64_t piece = t->row > PIECE ? t->row : PIECE;
    const int64_t room = t->count > SMALL ? t->workers * t->sources * piece * 4 : 0;
    return streams ? room + kept * 4 + tops * t->chunks * 16 + t->workers * t->chunk * 8 +
                         (streams + t->workers) * PIECES * PIECE * 4
                   : 0;
}

/* ---- one key of many -------------------------------------------------------------------------- */

/* Runs of keys that are not behind each other: of chunks, or one. */
typedef struct runs {
    const uint32_t *keys;
    uint32_t *spare; /* as many, where those go that are still looked at; may be keys */
    int64_t n;
    const int64_t *start; /* NULL: one run of n = its length */
    int64_t *count;       /* changed to how many are left */
    uint32_t low, high;   /* all keys are between */
} runs;

/* Numbers of keys by their digits. */
static void count_digits(const runs *r, uint32_t mask, int shift, uint32_t *sum) {
    /* Two that take turns: keys that follow each other are often of one bin. */
    uint32_t counts[2][1 << DIGIT] = {{0}};
    for (int64_t i = 0; i < (r->start ? r->n : 1); i++) {
        const uint32_t *key = r->keys + (r->start ? r->start[i] : 0);
        const int64_t n = r->start ? r->count[i] : r->n;
        for (int64_t e = 0; e < n; e++) counts[e & 1][(key[e] & ~mask) >> shift]++;
    }
    for (int64_t b = 0; b < 1 << DIGIT; b++) sum[b] = counts[0][b] + counts[1][b];
}

/* Drops the keys that are not low..high. */
static void narrow(const whet_kernels *kernels, runs *r) {
    int64_t above = 0;
    if (!r->start) r->n = kernels->keys_between(r->n, r->keys, r->low, r->high, &above, r->spare);
    for (int64_t i = 0; r->start && i < r->n; i++)
        r->count[i] = kernels->keys_between(r->count[i], r->keys + r->start[i], r->low, r->high,
                                            &above, r->spare + r->start[i]);
    r->keys = r->spare;
}

/* The rank-th largest, 1 the largest; *rank becomes its place among its equals, *equal their number. */
static uint32_t key_of_rank(const whet_kernels *kernels, runs *r, int64_t *rank, int64_t *equal) {
    int left = BITS; /* lower bits that are not known; what all share is */
    while (left > 0 && (r->low ^ r->high) >> (left - 1) == 0) left--;
    uint32_t mask = left < BITS ? UINT32_MAX << left : 0;
    *equal = 0;
    r->low &= mask;
    while (left > 0) {
        const int shift = left > DIGIT ? left - DIGIT : 0;
        uint32_t counts[1 << DIGIT];
        int64_t bin = (1 << DIGIT) - 1;
        count_digits(r, mask, shift, counts);
        while (bin > 0 && counts[bin] < *rank) *rank -= counts[bin--];
        mask = UINT32_MAX << shift;
        left = shift;
        *equal = counts[bin];
        r->low |= (uint32_t)bin << shift;
        r->high = r->low | ~mask;
        if (left > 0) narrow(kernels, r);
    }
    return r->low;
}

/* ---- brackets --------------------------------------------------------------------------------- */

static bool asked(const search *s, int64_t k) {
    return s->tops[k].rank > 0 && s->tops[k].rank < s->t->count;
}

/* Ends of bracket k by the sample. */
static void find_bracket(const search *s, int64_t k, int32_t worker) {
    bracket *b = &s->brackets[k];
    const int64_t n = s->pieces * s->piece;
    const runs sample = {.keys = s->sample + s->tops[k].stream * n,
                         .spare = s->spare + worker * n,
                         .n = n,
                         .high = UINT32_MAX};
    if (!asked(s, k)) return;
    const double share = (double)s->tops[k].rank / (double)s->t->count;
    const double spread = DEVIATIONS * (sqrt(share * (1 - share) * (double)n) + 1);
    int64_t above = (int64_t)(share * (double)n - spread), equal;
    int64_t below = (int64_t)(share * (double)n + spread) + 1;
    runs looked = sample;
    if (above >= 1) b->high = key_of_rank(s->t->kernels, &looked, &above, &equal);
    looked = sample;
    if (below <= n) b->low = key_of_rank(s->t->kernels, &looked, &below, &equal);
}

/* Brackets `first` and on, as many apart as the tensor has workers. */
static void find_brackets(void *arg, int64_t first, int32_t worker) {
    const search *s = arg;
    for (int64_t k = first; k < s->n_tops; k += s->t->workers) find_bracket(s, k, worker);
}

/* Room for what the brackets will hold by the sample; false: too much. */
static bool find_room(search *s) {
    double all = 0;
    for (int64_t k = 0; k < s->n_tops; k++) {
        const bracket *b = &s->brackets[k];
        const int64_t n = s->pieces * s->piece;
        const uint32_t *sample = s->sample + s->tops[k].stream * n;
        int64_t in = 0;
        if (!asked(s, k) || b->low == b->high) continue;
        for (int64_t e = 0; e < n; e++) in += sample[e] >= b->low && sample[e] <= b->high;
        const double share = n ? 1.25 * (double)in / (double)n + 0.01 : 1;
        all += fmin(share, 1) * (double)s->t->count;
    }
    s->room = (int64_t)all + 1;
    return all < (double)kept_most(s->t);
}

static whet_status make_brackets(whet_ctx *ctx, search *s, bool *fit) {
    for (int64_t k = 0; k < s->n_tops; k++) s->brackets[k].high = UINT32_MAX;
    if (s->t->count > SMALL) {
        const bool rows = s->t->method->by_row || s->t->method->shown.scope == WHET_MERGE_ROW;
        s->piece = rows ? s->t->row : PIECE;
        s->pieces = s->t->count / EACH < PIECES ? s->t->count / EACH : PIECES;
        s->pieces = s->pieces * PIECE / s->piece;
        *fit = s->pieces >= SMALL / EACH; /* of fewer, little can be said */
        if (!*fit) return WHET_OK;
        WHET_TRY(whet_i_alloc(ctx, s->n_streams * s->pieces * s->piece, &s->sample));
        WHET_TRY(whet_i_alloc(ctx, s->t->workers * s->pieces * s->piece, &s->spare));
        WHET_TRY(whet_i_merge_sample(ctx, s->t, s->keys, s->arg, s->n_streams, s->pieces, s->piece,
                                     s->sample));
        WHET_TRY(whet_i_parallel_for(ctx, NULL, s->t->workers, find_brackets, s));
    }
    *fit = find_room(s);
    return WHET_OK;
}

/* ---- the pass --------------------------------------------------------------------------------- */

static void keep_between(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    search *s = arg;
    uint32_t *key = s->key + c->worker * t->chunk, *found = s->found + c->worker * t->chunk;
    for (int64_t i = 0; i < s->n_streams; i++) {
        bool made = false;
        for (int64_t k = 0; k < s->n_tops; k++) {
            bracket *b = &s->brackets[k];
            int64_t above = 0;
            if (s->tops[k].stream != i || !asked(s, k)) continue;
            if (!made) s->keys(t, c, i, s->arg, key);
            made = true;
            const int64_t n = t->kernels->keys_between(c->n, key, b->low, b->high, &above, found);
            c->sums[k] += (double)above;
            b->count[c->index] = n;
            if (b->low == b->high || n == 0) continue;
            b->start[c->index] = atomic_fetch_add(&s->used, n);
            if (b->start[c->index] + n <= s->room)
                memcpy(s->kept + b->start[c->index], found, (size_t)n * sizeof *found);
        }
    }
}

/* Whether all were kept, and each k-th is among them. */
static bool all_found(search *s) {
    if (atomic_load(&s->used) > s->room) return false;
    for (int64_t k = 0; k < s->n_tops; k++) {
        bracket *b = &s->brackets[k];
        int64_t between = 0;
        if (!asked(s, k)) continue;
        for (int64_t i = 0; i < s->t->chunks; i++) between += b->count[i];
        b->wanted = s->tops[k].rank - (int64_t)s->above[k];
        if (b->wanted < 1 || b->wanted > between) return false;
        b->equal = between; /* right where they are all one key */
    }
    return true;
}

static void settle(void *arg, int64_t k, int32_t worker) {
    search *s = arg;
    bracket *b = &s->brackets[k];
    whet_i_merge_top *top = &s->tops[k];
    runs kept = {s->kept, s->kept, s->t->chunks, b->start, b->count, b->low, b->high};
    (void)worker;
    if (b->wanted == 0) return;
    top->equals = b->wanted;
    top->least = b->low;
    if (b->low < b->high) top->least = key_of_rank(s->t->kernels, &kept, &top->equals, &b->equal);
}

/* Equals in the chunks before each, where not all of them are in. */
static whet_status tell_equals_apart(whet_ctx *ctx, const search *s, int64_t k) {
    const bracket *b = &s->brackets[k];
    whet_i_merge_top *top = &s->tops[k];
    if (b->wanted == 0 || top->equals == b->equal) return WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, s->t->chunks + 1, &top->before));
    top->before[0] = 0;
    for (int64_t i = 0; i < s->t->chunks; i++) {
        int64_t here = b->low == b->high ? b->count[i] : 0;
        for (int64_t e = 0; b->low < b->high && e < b->count[i]; e++)
            here += s->kept[b->start[i] + e] == top->least;
        top->before[i + 1] = top->before[i] + here;
    }
    return WHET_OK;
}

static whet_status make_room(whet_ctx *ctx, search *s) {
    int64_t cells, numbers;
    WHET_TRY(whet_i_mul(ctx, 2 * s->n_tops, s->t->chunks, &cells));
    WHET_TRY(whet_i_mul(ctx, s->t->workers, s->t->chunk, &numbers));
    WHET_TRY(whet_i_calloc(ctx, cells, &s->counts));
    WHET_TRY(whet_i_alloc(ctx, numbers, &s->key));
    WHET_TRY(whet_i_alloc(ctx, numbers, &s->found));
    WHET_TRY(whet_i_alloc(ctx, s->room, &s->kept));
    for (int64_t k = 0; k < s->n_tops; k++) {
        s->brackets[k].count = s->counts + 2 * k * s->t->chunks;
        s->brackets[k].start = s->brackets[k].count + s->t->chunks;
    }
    return WHET_OK;
}

whet_status whet_i_merge_bracket(whet_ctx *ctx, whet_i_merge_tensor *t, whet_i_merge_keys keys,
                                 void *arg, int64_t n_streams, whet_i_merge_top *tops,
                                 int64_t n_tops, bool *found) {
    search s = {
        .t = t, .keys = keys, .arg = arg, .tops = tops, .n_tops = n_tops, .n_streams = n_streams};
    whet_status status = WHET_OK;
    bool fit;
    *found = false;
    WHET_TRY_DONE(whet_i_calloc(ctx, n_tops, &s.brackets));
    WHET_TRY_DONE(whet_i_calloc(ctx, n_tops, &s.above));
    WHET_TRY_DONE(make_brackets(ctx, &s, &fit));
    if (!fit) goto done;
    WHET_TRY_DONE(make_room(ctx, &s));
    WHET_TRY_DONE(whet_i_merge_sums(ctx, t, keep_between, &s, n_tops, s.above));
    if (!all_found(&s)) goto done;
    WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, n_tops, settle, &s));
    for (int64_t k = 0; k < n_tops; k++) WHET_TRY_DONE(tell_equals_apart(ctx, &s, k));
    *found = true;
done:
    whet_i_free(ctx, s.brackets);
    whet_i_free(ctx, s.above);
    whet_i_free(ctx, s.sample);
    whet_i_free(ctx, s.spare);
    whet_i_free(ctx, s.key);
    whet_i_free(ctx, s.found);
    whet_i_free(ctx, s.counts);
    whet_i_free(ctx, s.kept);
    return status;
}
