/* SPDX-License-Identifier: Apache-2.0
 * The k largest of the numbers of a tensor, exactly, without sorting or holding them. merge_bracket.c
 * mostly finds them in one pass. Where it does not: a histogram of the upper 16 bits of the keys finds the
 * bin of the k-th largest, a second one of the lower 16 bits of the
 * keys in that bin finds the key itself. Which of several equal keys are among the k is decided by their
 * place, by counting them chunk by chunk in a third pass, made only where it matters.
 * Counts are integers: adding them up in any order gives the same. */
#include "merge/merge_passes.h"

enum { BINS = 1 << 16, LOWER = 16, AT_ONCE = 8 };

typedef struct selection {
    whet_i_merge_keys keys;
    void *arg;
    whet_i_merge_top *tops;
    int64_t n_tops, first, n_streams; /* streams first .. first + n_streams - 1 in this round */
    uint32_t *key;                    /* [workers, chunk] */
    int64_t *counts;                  /* [workers, n_streams or n_tops, BINS] */
    int64_t n_counts;
    int64_t *rest; /* [n_tops] how many more are wanted below the bins above */
} selection;

int64_t whet_i_merge_select_bytes(const whet_i_merge_tensor *t, int64_t streams) {
    const int64_t at_once = streams < AT_ONCE ? streams : AT_ONCE;
    const int64_t counted = t->workers * (at_once * BINS * 8 + t->chunk * 4);
    const int64_t kept = whet_i_merge_bracket_bytes(t, streams);
    return streams == 0 ? 0 : counted > kept ? counted : kept;
}

static bool in_round(const selection *s, const whet_i_merge_top *top) {
    return top->stream >= s->first && top->stream < s->first + s->n_streams;
}

static void count_upper(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    const selection *s = arg;
    uint32_t *key = s->key + c->worker * t->chunk;
    for (int64_t i = 0; i < s->n_streams; i++) {
        int64_t *counts = s->counts + (c->worker * s->n_counts + i) * BINS;
        s->keys(t, c, s->first + i, s->arg, key);
        for (int64_t e = 0; e < c->n; e++) counts[key[e] >> LOWER]++;
    }
}

static void count_lower(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    const selection *s = arg;
    uint32_t *key = s->key + c->worker * t->chunk;
    for (int64_t i = 0; i < s->n_streams; i++) {
        bool made = false;
        for (int64_t k = 0; k < s->n_tops; k++) {
            const whet_i_merge_top *top = &s->tops[k];
            if (top->stream != s->first + i || s->rest[k] == 0) continue;
            if (!made) s->keys(t, c, s->first + i, s->arg, key);
            made = true;
            int64_t *counts = s->counts + (c->worker * s->n_counts + k % s->n_counts) * BINS;
            const uint32_t upper = top->least >> LOWER;
            for (int64_t e = 0; e < c->n; e++)
                if (key[e] >> LOWER == upper) counts[key[e] & (BINS - 1)]++;
        }
    }
}

/* Equals of each undecided top in each chunk. */
static void count_equal(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    const selection *s = arg;
    uint32_t *key = s->key + c->worker * t->chunk;
    for (int64_t k = 0; k < s->n_tops; k++) {
        const whet_i_merge_top *top = &s->tops[k];
        if (!top->before) continue;
        int64_t equal = 0;
        s->keys(t, c, top->stream, s->arg, key);
        for (int64_t e = 0; e < c->n; e++) equal += key[e] == top->least;
        top->before[c->index] = equal;
    }
}

/* Row `row` of the counts, added over the workers into that of worker 0. */
static const int64_t *gathered(const whet_i_merge_tensor *t, const selection *s, int64_t row) {
    int64_t *sum = s->counts + row * BINS;
    for (int32_t w = 1; w < t->workers; w++) {
        int64_t *other = s->counts + (w * s->n_counts + row) * BINS;
        for (int64_t i = 0; i < BINS; i++) {
            sum[i] += other[i];
            other[i] = 0;
        }
    }
    return sum;
}

/* The bin that holds the `rest`-th largest; rest becomes its place within. */
static uint32_t find_bin(const int64_t *counts, int64_t *rest) {
    int64_t bin = BINS - 1;
    while (bin > 0 && counts[bin] < *rest) *rest -= counts[bin--];
    return (uint32_t)bin;
}

static void clear(const whet_i_merge_tensor *t, const selection *s) {
    memset(s->counts, 0, (size_t)(t->workers * s->n_counts * BINS) * sizeof *s->counts);
}

/* The upper halves of the keys of all tops of this round's streams. */
static whet_status find_upper(whet_ctx *ctx, whet_i_merge_tensor *t, selection *s) {
    clear(t, s);
    WHET_TRY(whet_i_merge_sums(ctx, t, count_upper, s, 0, NULL));
    for (int64_t i = 0; i < s->n_streams; i++) {
        const int64_t *counts = gathered(t, s, i);
        for (int64_t k = 0; k < s->n_tops; k++)
            if (s->tops[k].stream == s->first + i && s->rest[k] > 0)
                s->tops[k].least = find_bin(counts, &s->rest[k]) << LOWER;
    }
    return WHET_OK;
}

/* The lower halves, as many tops at once as there are rows of counts. */
static whet_status find_lower(whet_ctx *ctx, whet_i_merge_tensor *t, selection *s) {
    const int64_t n_tops = s->n_tops;
    whet_i_merge_top *tops = s->tops;
    int64_t *rest = s->rest;
    whet_status status = WHET_OK;
    for (int64_t from = 0; status == WHET_OK && from < n_tops; from += s->n_counts) {
        s->tops = tops + from;
        s->rest = rest + from;
        s->n_tops = n_tops - from < s->n_counts ? n_tops - from : s->n_counts;
        bool any = false;
        for (int64_t k = 0; k < s->n_tops; k++) any |= in_round(s, &s->tops[k]) && s->rest[k] > 0;
        if (!any) continue;
        clear(t, s);
        status = whet_i_merge_sums(ctx, t, count_lower, s, 0, NULL);
        for (int64_t k = 0; status == WHET_OK && k < s->n_tops; k++) {
            whet_i_merge_top *top = &s->tops[k];
            if (!in_round(s, top) || s->rest[k] == 0) continue;
            const int64_t *counts = gathered(t, s, k);
            const uint32_t low = find_bin(counts, &s->rest[k]);
            top->least |= low;
            top->equals = s->rest[k];
            s->rest[k] = counts[low] == top->equals ? 0 : -1; /* -1: equals must be told apart */
        }
    }
    s->tops = tops;
    s->rest = rest;
    s->n_tops = n_tops;
    return status;
}

static whet_status tell_equals_apart(whet_ctx *ctx, whet_i_merge_tensor *t, selection *s) {
    bool any = false;
    for (int64_t k = 0; k < s->n_tops; k++) {
        if (s->rest[k] != -1) continue;
        WHET_TRY(whet_i_alloc(ctx, t->chunks + 1, &s->tops[k].before));
        any = true;
    }
    if (!any) return WHET_OK;
    WHET_TRY(whet_i_merge_sums(ctx, t, count_equal, s, 0, NULL));
    for (int64_t k = 0; k < s->n_tops; k++) {
        int64_t *before = s->tops[k].before, sum = 0;
        for (int64_t i = 0; before && i < t->chunks; i++) {
            const int64_t here = before[i];
            before[i] = sum;
            sum += here;
        }
        if (before) before[t->chunks] = sum;
    }
    return WHET_OK;
}

/* By histograms. */
static whet_status count(whet_ctx *ctx, whet_i_merge_tensor *t, whet_i_merge_keys keys, void *arg,
                         int64_t n_streams, whet_i_merge_top *tops, int64_t n_tops) {
    selection s = {.keys = keys, .arg = arg, .tops = tops, .n_tops = n_tops};
    whet_status status = WHET_OK;
    s.n_counts = n_streams < AT_ONCE ? n_streams : AT_ONCE;
    WHET_TRY_DONE(whet_i_alloc(ctx, t->workers * t->chunk, &s.key));
    WHET_TRY_DONE(whet_i_alloc(ctx, t->workers * s.n_counts * BINS, &s.counts));
    WHET_TRY_DONE(whet_i_calloc(ctx, n_tops, &s.rest));
    for (int64_t k = 0; k < n_tops; k++) s.rest[k] = tops[k].rank < t->count ? tops[k].rank : 0;
    for (s.first = 0; s.first < n_streams; s.first += s.n_counts) {
        s.n_streams = n_streams - s.first < s.n_counts ? n_streams - s.first : s.n_counts;
        WHET_TRY_DONE(find_upper(ctx, t, &s));
        WHET_TRY_DONE(find_lower(ctx, t, &s));
    }
    status = tell_equals_apart(ctx, t, &s);
done:
    whet_i_free(ctx, s.key);
    whet_i_free(ctx, s.counts);
    whet_i_free(ctx, s.rest);
    return status;
}

whet_status whet_i_merge_select(whet_ctx *ctx, whet_i_merge_tensor *t, whet_i_merge_keys keys,
                                void *arg, int64_t n_streams, whet_i_merge_top *tops,
                                int64_t n_tops) {
    bool found;
    for (int64_t k = 0; k < n_tops; k++) { /* none: above all keys; all: from the lowest on */
        tops[k].before = NULL;
        tops[k].least = tops[k].rank < t->count ? UINT32_MAX : 0;
        tops[k].equals = tops[k].rank < t->count ? 0 : t->count;
    }
    WHET_TRY(whet_i_merge_bracket(ctx, t, keys, arg, n_streams, tops, n_tops, &found));
    return found ? WHET_OK : count(ctx, t, keys, arg, n_streams, tops, n_tops);
}

/* But in the one chunk where the last of the equals that are in lies, all equals are in, or none. */
bool whet_i_merge_top_least(const whet_i_merge_top *top, int64_t chunk, uint32_t *least) {
    const int64_t before = top->before ? top->before[chunk] : 0;
    const int64_t behind = top->before ? top->before[chunk + 1] : 0;
    const bool all = top->equals > 0 && behind <= top->equals;
    *least = all ? top->least : top->least + 1;
    return all || (before >= top->equals && top->least < UINT32_MAX);
}

void whet_i_merge_top_mask(const whet_i_merge_tensor *t, const whet_i_merge_top *top, int64_t chunk,
                           int64_t n, const uint32_t *key, float *m) {
    uint32_t least;
    if (whet_i_merge_top_least(top, chunk, &least)) {
        t->kernels->keys_mask(n, key, least, m);
        return;
    }
    int64_t left = top->equals - (top->before ? top->before[chunk] : 0);
    for (int64_t e = 0; e < n; e++) {
        uint32_t one;
        memcpy(&one, key + e, sizeof one);
        const bool equal = one == top->least;
        m[e] = one > top->least || (equal && left > 0) ? 1.0F : 0.0F;
        left -= equal;
    }
}
