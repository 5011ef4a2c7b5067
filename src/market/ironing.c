/* SPDX-License-Identifier: Apache-2.0
 * Posted prices for beliefs that are not regular: the concave hull of revenue over quantiles.
 *
 * A price p sells with probability q = S(p) and earns R(q) = q p. Profit R(q) - C q is greatest where a line
 * of slope C touches R from above, which it does at a vertex of the concave hull (Myerson 1981, section 6;
 * Bulow & Roberts 1989). What lies under the hull is best at no C: it is passed over. R is sampled on a grid
 * that has the cuts, at which densities jump; the nearly best vertices are refined between their neighbours
 * on the grid, where R is smooth, and behind the last cut without an end, where profit has one hump. */
#include <math.h>

#include "market/market_i.h"

enum { GRID = 4096, LEAST = 16 };
/* Vertices whose profit is this near to the best are refined: humps that the grid cannot rank. */
#define NEARLY 1e-3
/* A point is under the hull, and not on it, when it misses it by this part of the greatest revenue. */
#define UNDER 1e-9

typedef struct curve {
    double *p, *q;    /* [n]: prices descending, their probabilities of a sale */
    int64_t *segment; /* [n]: of the prices between point i and point i - 1 */
    int64_t n;
    int64_t *hull; /* [n_hull] indices of points, q ascending */
    int64_t n_hull;
} curve;

static double revenue(const curve *c, int64_t i) { return c->q[i] > 0 ? c->p[i] * c->q[i] : 0; }

/* ---- revenue over quantiles -------------------------------------------------------------------- */

/* The part of a segment's width above its lower end at grid point i of n: even, or, where it has no end,
 * denser below. */
static double place(int64_t i, int64_t n, bool endless) {
    const double x = 1 - (double)i / (double)n;
    return endless ? x * x * x : x;
}

static whet_status sample_revenue(whet_ctx *ctx, const whet_belief *b, int64_t per, curve *c) {
    double above = 0; /* the mass of the segments above */
    for (int64_t j = b->segments - 1; j >= 0; j--) {
        const double low = b->cut[j];
        const double whole = whet_i_belief_prior(b, low, b->cut[j + 1]);
        const bool endless = isinf(b->cut[j + 1]);
        double high = b->cut[j + 1];
        if (endless)
            WHET_TRY(whet_belief_quantile(ctx, b, fmax(1e-300, 1e-12 * b->mass[j]), &high));
        if (!(high > low)) high = 2 * low + 1; /* a segment that the belief gave up */
        for (int64_t i = j == b->segments - 1 ? 0 : 1; i <= per; i++) {
            const double p = i == per ? low : low + (high - low) * place(i, per, endless);
            c->p[c->n] = p;
            const double share = whole > 0 ? whet_i_belief_prior(b, p, b->cut[j + 1]) / whole : 0;
            c->q[c->n] = above + b->mass[j] * share;
            c->segment[c->n++] = j;
        }
        above += b->mass[j];
    }
    return WHET_OK;
}

/* Whether the middle one of three points is under or on the line between the others. */
static bool is_under(const curve *c, int64_t a, int64_t b, int64_t d) {
    const double left = (c->q[b] - c->q[a]) * (revenue(c, d) - revenue(c, a));
    const double right = (c->q[d] - c->q[a]) * (revenue(c, b) - revenue(c, a));
    return left >= right;
}

/* Andrew's monotone chain; points have q ascending. */
static void take_hull(curve *c) {
    c->n_hull = 0;
    for (int64_t i = 0; i < c->n; i++) {
        if (c->n_hull && !(c->q[i] > c->q[c->hull[c->n_hull - 1]])) {
            if (revenue(c, i) <= revenue(c, c->hull[c->n_hull - 1])) continue;
            c->n_hull--;
        }
        while (c->n_hull >= 2 && is_under(c, c->hull[c->n_hull - 2], c->hull[c->n_hull - 1], i))
            c->n_hull--;
        c->hull[c->n_hull++] = i;
    }
}

/* The hull's edge, widest in prices, that has points well under it. */
static void find_passed(const curve *c, double *low, double *high) {
    double most = 0, widest = 0;
    for (int64_t i = 0; i < c->n_hull; i++) most = fmax(most, revenue(c, c->hull[i]));
    for (int64_t e = 1; e < c->n_hull; e++) {
        const int64_t a = c->hull[e - 1], b = c->hull[e];
        const double slope = (revenue(c, b) - revenue(c, a)) / (c->q[b] - c->q[a]);
        bool under = false;
        for (int64_t i = a + 1; i < b && !under; i++)
            under = revenue(c, i) < revenue(c, a) + slope * (c->q[i] - c->q[a]) - UNDER * most;
        if (!under || !(c->p[a] - c->p[b] > widest)) continue;
        widest = c->p[a] - c->p[b];
        *low = c->p[b];
        *high = c->p[a];
    }
}

/* ---- the tangent of slope C -------------------------------------------------------------------- */

typedef struct best {
    double p, profit;
} best;

static void consider(const whet_belief *b, double cost, double p, best *top) {
    const double profit = (p - cost) * whet_belief_sale(b, p);
    if (profit > top->profit || (profit >= top->profit && p > top->p)) {
        top->profit = profit;
        top->p = p;
    }
}

/* Both sides of grid point i, up to its neighbours. */
static void refine(const whet_belief *b, const curve *c, double cost, int64_t i, best *top) {
    consider(b, cost, c->p[i], top);
    for (int64_t k = i; k <= i + 1 && k < c->n; k++) {
        if (k == 0) continue;
        const int64_t j = c->segment[k];
        if (!(b->mass[j] > 0) || !(c->p[k - 1] > cost)) continue;
        consider(b, cost, whet_i_rising_until(b, j, cost, fmax(c->p[k], cost), c->p[k - 1]), top);
    }
}

static best touch(const whet_belief *b, const curve *c, double cost) {
    best found = {-1, 0};
    double most = 0;
    for (int64_t h = 0; h < c->n_hull; h++)
        most = fmax(most, revenue(c, c->hull[h]) - cost * c->q[c->hull[h]]);
    for (int64_t h = 0; h < c->n_hull; h++) {
        const int64_t i = c->hull[h];
        const double profit = revenue(c, i) - cost * c->q[i];
        if (c->p[i] >= cost && profit >= most * (1 - NEARLY)) refine(b, c, cost, i, &found);
    }
    const int64_t last = b->segments - 1;
    if (isinf(b->hi) && b->mass[last] > 0) {
        const double from = fmax(b->cut[last], cost);
        if (whet_belief_sale(b, from) > 0)
            consider(b, cost, whet_i_rising_until(b, last, cost, from, b->hi), &found);
    }
    return found;
}

whet_status whet_i_ironed_price(whet_ctx *ctx, const whet_belief *belief, double cost,
                                double *exact, double *passed_low, double *passed_high) {
    whet_status status = WHET_OK;
    const int64_t even = GRID / belief->segments, per = even < LEAST ? LEAST : even;
    curve c = {0};
    int64_t most;
    WHET_TRY(whet_i_mul(ctx, belief->segments, per, &most));
    WHET_TRY_DONE(whet_i_alloc(ctx, most + 1, &c.p));
    WHET_TRY_DONE(whet_i_alloc(ctx, most + 1, &c.q));
    WHET_TRY_DONE(whet_i_alloc(ctx, most + 1, &c.segment));
    WHET_TRY_DONE(whet_i_alloc(ctx, most + 1, &c.hull));
    WHET_TRY_DONE(sample_revenue(ctx, belief, per, &c));
    take_hull(&c);
    *passed_low = *passed_high = 0;
    find_passed(&c, passed_low, passed_high);
    *exact = touch(belief, &c, cost).p;
done:
    whet_i_free(ctx, c.p);
    whet_i_free(ctx, c.q);
    whet_i_free(ctx, c.segment);
    whet_i_free(ctx, c.hull);
    return status;
}
