/* SPDX-License-Identifier: Apache-2.0
 * Votes for tests: drawn from rules of known accuracy and coverage, and the same in other forms. */
#ifndef WHET_TEST_VOTES_SUPPORT_H
#define WHET_TEST_VOTES_SUPPORT_H

#include "label/vote_model.h"

typedef struct drawn_votes {
    whet_votes votes;
    int8_t *narrow; /* [n, m] */
    int32_t *truth; /* [n] */
} drawn_votes;

/* Rule j is right with probability .9 - .4 j / m and votes with .9 - .5 j / m; errors are even. */
static inline drawn_votes draw_votes(whet_ctx *ctx, int64_t n, int64_t m, int64_t k,
                                     uint64_t seed) {
    drawn_votes d = {0};
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, 0);
    test_ok(ctx, whet_i_alloc(ctx, n * m, &d.narrow));
    test_ok(ctx, whet_i_alloc(ctx, n, &d.truth));
    for (int64_t i = 0; i < n; i++) {
        d.truth[i] = (int32_t)whet_i_rng_below(&rng, k);
        for (int64_t j = 0; j < m; j++) {
            const double part = (double)j / (double)m;
            const bool right = whet_i_rng_uniform(&rng) < .9 - .4 * part;
            const int64_t other = (d.truth[i] + 1 + whet_i_rng_below(&rng, k - 1)) % k;
            const int64_t vote = right ? d.truth[i] : other;
            d.narrow[i * m + j] = (int8_t)(whet_i_rng_uniform(&rng) < .9 - .5 * part ? vote : -1);
        }
    }
    d.votes = (whet_votes){.n = n, .m = m, .k = k, .narrow = d.narrow};
    return d;
}

static inline void free_votes(whet_ctx *ctx, drawn_votes *d) {
    whet_i_free(ctx, d->narrow);
    whet_i_free(ctx, d->truth);
}

/* The same votes as int32, and as lists; owned arrays to be released by whet_i_free. */
static inline whet_votes wide_form(whet_ctx *ctx, const whet_votes *v, int32_t **wide) {
    test_ok(ctx, whet_i_alloc(ctx, v->n * v->m, wide));
    for (int64_t i = 0; i < v->n * v->m; i++) (*wide)[i] = v->narrow[i];
    return (whet_votes){.n = v->n, .m = v->m, .k = v->k, .wide = *wide};
}

typedef struct listed_votes {
    whet_votes votes;
    int64_t *start;
    int32_t *rule, *vote;
} listed_votes;

static inline listed_votes list_form(whet_ctx *ctx, const whet_votes *v) {
    listed_votes l = {0};
    test_ok(ctx, whet_i_alloc(ctx, v->n + 1, &l.start));
    test_ok(ctx, whet_i_alloc(ctx, v->n * v->m, &l.rule));
    test_ok(ctx, whet_i_alloc(ctx, v->n * v->m, &l.vote));
    l.start[0] = 0;
    for (int64_t i = 0; i < v->n; i++) {
        int64_t at = l.start[i];
        for (int64_t j = 0; j < v->m; j++) {
            if (v->narrow[i * v->m + j] < 0) continue;
            l.rule[at] = (int32_t)j;
            l.vote[at++] = v->narrow[i * v->m + j];
        }
        l.start[i + 1] = at;
    }
    l.votes = (whet_votes){
        .n = v->n, .m = v->m, .k = v->k, .start = l.start, .rule = l.rule, .vote = l.vote};
    return l;
}

static inline void free_list(whet_ctx *ctx, listed_votes *l) {
    whet_i_free(ctx, l->start);
    whet_i_free(ctx, l->rule);
    whet_i_free(ctx, l->vote);
}

#endif
