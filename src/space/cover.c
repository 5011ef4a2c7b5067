/* SPDX-License-Identifier: Apache-2.0
 * Sets of points from which everything can be reached (in some tie), all points being candidates.
 * Trees: the leaves; a leaf is between no two points, so none can be left out, and paths between
 * leaves hold every node. L1 grids: two opposite corners; the sum of the distances to them is the same
 * everywhere, so at every p each cell of an antidiagonal ties. Points that are all 1 apart: all.
 * Elsewhere greedy over pairs: what two points reach is the lower envelope of their costs. */
#include <math.h>

#include "space/locus_i.h"

/* ---- greedy over pairs ----------------------------------------------------------------------- */

typedef struct pairs {
    const whet_space *space;
    int64_t n;
    bool *reached; /* [n, n, n]: i and j reach y at [(i * n + j) * n + y] */
    bool *covered; /* [n] */
    bool *chosen;  /* [n] */
} pairs;

static whet_status reach_of_pair(whet_ctx *ctx, pairs *p, int64_t i, int64_t j) {
    const int64_t observed[2] = {i, j};
    whet_locus locus;
    WHET_TRY(whet_locus_find(ctx, p->space, observed, 2, NULL, &locus));
    for (int64_t y = 0; y < p->n; y++) {
        const bool yes = locus.classes[y].reach != WHET_REACH_NEVER;
        p->reached[(i * p->n + j) * p->n + y] = p->reached[(j * p->n + i) * p->n + y] = yes;
    }
    whet_locus_free(ctx, &locus);
    return WHET_OK;
}

/* What the chosen ones and `more` reach beyond what is covered; with `mark` it is covered then. */
static int64_t gain_of(pairs *p, int64_t more, bool mark, bool *fresh) {
    int64_t gain = 0;
    memset(fresh, 0, (size_t)p->n);
    fresh[more] = !p->covered[more];
    for (int64_t i = 0; i < p->n; i++) {
        if (!p->chosen[i]) continue;
        const bool *reached = p->reached + (i * p->n + more) * p->n;
        for (int64_t y = 0; y < p->n; y++) fresh[y] |= reached[y] && !p->covered[y];
    }
    for (int64_t y = 0; y < p->n; y++) {
        gain += fresh[y];
        if (mark) p->covered[y] |= fresh[y];
    }
    if (mark) p->chosen[more] = true;
    return gain;
}

/* The first two are the pair that reaches most. */
static void best_pair(const pairs *p, int64_t *first, int64_t *second) {
    int64_t most = -1;
    for (int64_t i = 0; i < p->n; i++) {
        for (int64_t j = i + 1; j < p->n; j++) {
            int64_t count = 0;
            for (int64_t y = 0; y < p->n; y++) count += p->reached[(i * p->n + j) * p->n + y];
            if (count <= most) continue;
            most = count;
            *first = i;
            *second = j;
        }
    }
}

static int64_t choose_greedily(pairs *p, int64_t *points, bool *fresh) {
    int64_t n = 0, first = 0, second = 0, left = p->n;
    best_pair(p, &first, &second);
    left -= gain_of(p, first, true, fresh);
    points[n++] = first;
    left -= gain_of(p, second, true, fresh);
    points[n++] = second;
    while (left > 0) {
        int64_t best = -1, most = 0;
        for (int64_t v = 0; v < p->n; v++) {
            const int64_t gain = p->chosen[v] ? 0 : gain_of(p, v, false, fresh);
            if (gain > most) {
                most = gain;
                best = v;
            }
        }
        left -= gain_of(p, best, true, fresh);
        points[n++] = best;
    }
    return n;
}

static whet_status greedy(whet_ctx *ctx, const whet_space *space, int64_t *points, int64_t *n) {
    whet_status status = WHET_OK;
    pairs p = {.space = space, .n = space->n};
    bool *fresh = NULL;
    if (space->n > WHET_COVER_MOST)
        return whet_i_fail(ctx, WHET_ERR_LIMIT,
                           "a cover of %lld points; expected at most %d for a space of this kind",
                           (long long)space->n, WHET_COVER_MOST);
    WHET_TRY_DONE(whet_i_calloc(ctx, p.n * p.n * p.n, &p.reached));
    WHET_TRY_DONE(whet_i_calloc(ctx, p.n, &p.covered));
    WHET_TRY_DONE(whet_i_calloc(ctx, p.n, &p.chosen));
    WHET_TRY_DONE(whet_i_alloc(ctx, p.n, &fresh));
    for (int64_t i = 0; i < p.n; i++) {
        for (int64_t j = i + 1; j < p.n; j++) WHET_TRY_DONE(reach_of_pair(ctx, &p, i, j));
        WHET_TRY_DONE(whet_i_progress(ctx, "pairs of points", i + 1, p.n));
    }
    *n = choose_greedily(&p, points, fresh);
done:
    whet_i_free(ctx, fresh);
    whet_i_free(ctx, p.chosen);
    whet_i_free(ctx, p.covered);
    whet_i_free(ctx, p.reached);
    return status;
}

whet_status whet_locus_cover(whet_ctx *ctx, const whet_space *space, int64_t *points, int64_t *n,
                             int64_t *least, whet_cover_proof *proof) {
    int64_t count = 0;
    *proof = WHET_COVER_ALL;
    if (space->n == 1) {
        points[count++] = 0;
    } else if (space->kind == SPACE_TREE) {
        *proof = WHET_COVER_LEAVES;
        for (int64_t v = 0; v < space->n; v++)
            if (space->tree.degree[v] == 1) points[count++] = v;
    } else if (space->kind == SPACE_GRID && !space->grid.euclidean) {
        *proof = WHET_COVER_CORNERS;
        points[count++] = 0;
        points[count++] = space->n - 1;
    } else if (space->kind == SPACE_DISCRETE) {
        for (int64_t v = 0; v < space->n; v++) points[count++] = v;
    } else {
        *proof = WHET_COVER_GREEDY;
        WHET_TRY(greedy(ctx, space, points, &count));
    }
    *n = count;
    *least = *proof == WHET_COVER_GREEDY ? 2 : count;
    return WHET_OK;
}
