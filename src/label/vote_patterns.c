/* SPDX-License-Identifier: Apache-2.0
 * Rows that vote alike, joined: of many rows and few rules, most repeat. A first look at some rows
 * says whether that pays: where nearly all of the first 4096 differ, or more than a quarter of the first
 * 65536, a table of them all would cost more than it gives.
 * Legend: n rows, m rules. */
#include "label/vote_model.h"

enum { GLANCE_ROWS = 1 << 12, LOOK_ROWS = 1 << 16, FIRST_SLOTS = 1 << 10, LESS = 4 };

typedef struct joining {
    whet_i_vote_patterns *out;
    int64_t *start;
    int32_t *rule, *vote;
    int64_t rows, cap_rows, cap_votes;
    int64_t *slot; /* [slots] pattern + 1, or 0 */
    int64_t slots;
    uint64_t *hash; /* [cap_rows] */
} joining;

static whet_status grow_slots(whet_ctx *ctx, joining *g) {
    const int64_t slots = g->slots ? 2 * g->slots : FIRST_SLOTS;
    int64_t *slot;
    WHET_TRY(whet_i_calloc(ctx, slots, &slot));
    for (int64_t p = 0; p < g->rows; p++) {
        int64_t at = (int64_t)(g->hash[p] & (uint64_t)(slots - 1));
        while (slot[at]) at = (at + 1) & (slots - 1);
        slot[at] = p + 1;
    }
    whet_i_free(ctx, g->slot);
    g->slot = slot;
    g->slots = slots;
    return WHET_OK;
}

static whet_status grow(whet_ctx *ctx, joining *g, int64_t votes) {
    if (2 * (g->rows + 1) > g->slots) WHET_TRY(grow_slots(ctx, g));
    if (g->rows == g->cap_rows) {
        const int64_t cap = g->cap_rows ? 2 * g->cap_rows : FIRST_SLOTS;
        WHET_TRY(whet_i_realloc(ctx, &g->start, cap + 1));
        WHET_TRY(whet_i_realloc(ctx, &g->out->weight, cap));
        WHET_TRY(whet_i_realloc(ctx, &g->hash, cap));
        if (g->cap_rows == 0) g->start[0] = 0;
        g->cap_rows = cap;
    }
    if (g->start[g->rows] + votes > g->cap_votes) {
        const int64_t cap = 2 * (g->start[g->rows] + votes);
        WHET_TRY(whet_i_realloc(ctx, &g->rule, cap));
        WHET_TRY(whet_i_realloc(ctx, &g->vote, cap));
        g->cap_votes = cap;
    }
    return WHET_OK;
}

static bool same(const joining *g, int64_t pattern, const int32_t *cell, int64_t count, int32_t k) {
    const int64_t first = g->start[pattern];
    if (g->start[pattern + 1] - first != count) return false;
    for (int64_t e = 0; e < count; e++)
        if (g->rule[first + e] * k + g->vote[first + e] != cell[e]) return false;
    return true;
}

static whet_status join_row(whet_ctx *ctx, joining *g, const int32_t *cell, int64_t count,
                            int32_t k) {
    const uint64_t hash = whet_i_hash_bytes(cell, count * (int64_t)sizeof *cell);
    WHET_TRY(grow(ctx, g, count));
    int64_t at = (int64_t)(hash & (uint64_t)(g->slots - 1));
    for (; g->slot[at]; at = (at + 1) & (g->slots - 1)) {
        const int64_t p = g->slot[at] - 1;
        if (g->hash[p] != hash || !same(g, p, cell, count, k)) continue;
        g->out->weight[p]++;
        return WHET_OK;
    }
    const int64_t first = g->start[g->rows];
    for (int64_t e = 0; e < count; e++) {
        g->rule[first + e] = cell[e] / k;
        g->vote[first + e] = cell[e] % k;
    }
    g->hash[g->rows] = hash;
    g->out->weight[g->rows] = 1;
    g->start[g->rows + 1] = first + count;
    g->slot[at] = ++g->rows;
    return WHET_OK;
}

void whet_i_vote_patterns_free(whet_ctx *ctx, whet_i_vote_patterns *patterns) {
    whet_i_free(ctx, patterns->start);
    whet_i_free(ctx, patterns->rule);
    whet_i_free(ctx, patterns->vote);
    whet_i_free(ctx, patterns->weight);
    *patterns = (whet_i_vote_patterns){0};
}

whet_status whet_i_vote_patterns_find(whet_ctx *ctx, const whet_votes *votes, const int32_t *labels,
                                      whet_i_vote_patterns *out) {
    joining g = {.out = out};
    int32_t *cell = NULL;
    whet_status status = WHET_OK;
    int64_t read = 0;
    bool pays = true;
    *out = (whet_i_vote_patterns){0};
    WHET_TRY_DONE(whet_i_alloc(ctx, votes->m, &cell));
    for (int64_t i = 0; pays && i < votes->n; i++) {
        if (i % LOOK_ROWS == 0)
            WHET_TRY_DONE(whet_i_progress(ctx, "joining equal rows", i, votes->n));
        if (labels && labels[i] >= 0) continue;
        const int64_t count = whet_i_vote_cells(votes, i, cell);
        WHET_TRY_DONE(join_row(ctx, &g, cell, count, (int32_t)votes->k));
        read++;
        pays = read % LOOK_ROWS != 0 || g.rows * LESS <= read;
        if (read == GLANCE_ROWS) pays = g.rows * 10 <= read * 9;
    }
    pays = pays && g.rows * LESS <= read && g.rows > 0;
done:
    whet_i_free(ctx, cell);
    whet_i_free(ctx, g.slot);
    whet_i_free(ctx, g.hash);
    out->start = g.start;
    out->rule = g.rule;
    out->vote = g.vote;
    if (status != WHET_OK || !pays) whet_i_vote_patterns_free(ctx, out);
    if (status == WHET_OK && pays)
        out->votes = (whet_votes){.n = g.rows,
                                  .m = votes->m,
                                  .k = votes->k,
                                  .start = out->start,
                                  .rule = out->rule,
                                  .vote = out->vote};
    return status;
}
