/* SPDX-License-Identifier: Apache-2.0
 * Loci on trees. The subtree that the observed points span (their hull) is reached, whatever the
 * lengths: v at x on a path of length L between two of them is the only minimum of the costs for
 * weights 1 - x / L and x / L. Nothing outside is when all nodes are candidates: v hangs off the
 * hull at a gate g, d(v, j) = d(v, g) + d(g, j) for every observed j, so g is always nearer. Among
 * fewer candidates, one that hangs h off its gate g is never reached when a candidate u is nearer to g
 * than h, wherever u is: d(u, j) <= d(u, g) + d(g, j) < h + d(g, j) for every observed j. Of those that
 * hang off one gate only the nearest are thus left. When candidates and observed are ultrametric none but
 * the observed is reached: let j be the nearest of the support of p to v; d(j, .) <= max(d(j, v), d(v, .))
 * = d(v, .) on the support, and j's own term is 0.
 * Edges of length 0 make twins: points at no distance count as one. */
#include <math.h>
#include <stdlib.h>

#include "space/locus_i.h"

/* Where each node is seen from the hull. */
typedef struct hull {
    bool *in;      /* [n] */
    int64_t *gate; /* [n] the hull node that it hangs off; of hull nodes the first at no distance */
    double *height; /* [n] distance to it */
} hull;

static void hull_free(whet_ctx *ctx, hull *h) {
    whet_i_free(ctx, h->in);
    whet_i_free(ctx, h->gate);
    whet_i_free(ctx, h->height);
}

/* The hull's highest node: the lowest with everything observed below it. below [n]: scratch. */
static int64_t hull_top(const space_tree *t, int64_t n, const int64_t *observed, int64_t k,
                        int64_t *below) {
    int64_t top = t->order[0];
    memset(below, 0, sizeof *below * (size_t)n);
    for (int64_t j = 0; j < k; j++) below[observed[j]] = 1;
    for (int64_t i = n - 1; i > 0; i--) below[t->parent[t->order[i]]] += below[t->order[i]];
    for (int64_t i = 0; i < n; i++)
        if (below[t->order[i]] == k) top = t->order[i];
    return top;
}

static whet_status hull_make(whet_ctx *ctx, const space_tree *t, int64_t n, const int64_t *observed,
                             int64_t k, hull *h) {
    int64_t *below;
    WHET_TRY(whet_i_calloc(ctx, n, &h->in));
    WHET_TRY(whet_i_alloc(ctx, n, &h->gate));
    WHET_TRY(whet_i_alloc(ctx, n, &h->height));
    WHET_TRY(whet_i_alloc(ctx, n, &below));
    const int64_t top = hull_top(t, n, observed, k, below);
    for (int64_t v = 0; v < n; v++) h->gate[v] = -1;
    h->in[top] = true;
    h->gate[top] = top;
    h->height[top] = 0;
    for (int64_t v = top; t->parent[v] >= 0; v = t->parent[v]) {
        h->gate[t->parent[v]] = top;
        h->height[t->parent[v]] = h->height[v] + t->length[v];
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t v = t->order[i], up = t->parent[v];
        if (h->gate[v] >= 0) continue;
        h->in[v] = h->in[up] && below[v] > 0;
        h->gate[v] = h->in[v] && t->length[v] > 0 ? v : h->gate[up];
        h->height[v] = h->in[v] ? 0 : h->height[up] + t->length[v];
    }
    whet_i_free(ctx, below);
    return WHET_OK;
}

/* ---- ultrametric sets ------------------------------------------------------------------------ */

/* Distances from one node to all. */
static void distances_from(const space_tree *t, int64_t n, int64_t from, double *d) {
    for (int64_t v = 0; v < n; v++) d[v] = -1;
    d[from] = 0;
    for (int64_t v = from; t->parent[v] >= 0; v = t->parent[v])
        d[t->parent[v]] = d[v] + t->length[v];
    for (int64_t i = 0; i < n; i++) {
        const int64_t v = t->order[i];
        if (d[v] < 0) d[v] = d[t->parent[v]] + t->length[v];
    }
}

static int64_t farthest(const double *d, const bool *wanted, int64_t n) {
    int64_t best = -1;
    for (int64_t v = 0; v < n; v++)
        if (wanted[v] && (best < 0 || d[v] > d[best])) best = v;
    return best;
}

/* Whether all wanted nodes are equally far from the middle of the longest path between two of them:
 * d(v, middle) = max(d(v, a), d(v, b)) - d(a, b) / 2. To rounding of the sums. */
static whet_status is_ultrametric(whet_ctx *ctx, const space_tree *t, int64_t n, const bool *wanted,
                                  bool *out) {
    whet_status status = WHET_OK;
    double *from_a = NULL, *from_b = NULL;
    bool equal = true;
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &from_a));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &from_b));
    int64_t any = 0;
    while (!wanted[any]) any++;
    distances_from(t, n, any, from_a);
    const int64_t a = farthest(from_a, wanted, n);
    distances_from(t, n, a, from_a);
    const int64_t b = farthest(from_a, wanted, n);
    distances_from(t, n, b, from_b);
    const double longest = from_a[b];
    for (int64_t v = 0; v < n && equal; v++)
        if (wanted[v]) equal = fabs(fmax(from_a[v], from_b[v]) - longest) <= 1e-12 * longest;
    *out = equal;
done:
    whet_i_free(ctx, from_b);
    whet_i_free(ctx, from_a);
    return status;
}

/* ---- representatives ------------------------------------------------------------------------- */

typedef struct hanging {
    int64_t gate, point, place; /* place among the candidates */
    double height;
} hanging;

static int by_gate(const void *left, const void *right) {
    const hanging *a = left, *b = right;
    if (a->gate != b->gate) return a->gate < b->gate ? -1 : 1;
    if (a->height < b->height || a->height > b->height) return a->height < b->height ? -1 : 1;
    return (a->point > b->point) - (a->point < b->point);
}

static int by_point(const void *left, const void *right) {
    const int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

/* The candidate nearest to each node, and how far it is. */
typedef struct nearby {
    int64_t *point;
    double *far;
} nearby;

static void nearest_free(whet_ctx *ctx, nearby *near) {
    whet_i_free(ctx, near->point);
    whet_i_free(ctx, near->far);
}

static void pass_on(nearby *near, int64_t from, int64_t to, double length) {
    if (!(near->far[from] + length < near->far[to])) return;
    near->far[to] = near->far[from] + length;
    near->point[to] = near->point[from];
}

static whet_status find_nearest(whet_ctx *ctx, const space_tree *t, int64_t n,
                                const int64_t *candidates, int64_t n_candidates, nearby *near) {
    WHET_TRY(whet_i_alloc(ctx, n, &near->point));
    WHET_TRY(whet_i_alloc(ctx, n, &near->far));
    for (int64_t v = 0; v < n; v++) near->far[v] = (double)INFINITY;
    for (int64_t i = 0; i < n_candidates; i++) {
        near->point[candidates[i]] = candidates[i];
        near->far[candidates[i]] = 0;
    }
    for (int64_t i = n - 1; i > 0; i--)
        pass_on(near, t->order[i], t->parent[t->order[i]], t->length[t->order[i]]);
    for (int64_t i = 1; i < n; i++)
        pass_on(near, t->parent[t->order[i]], t->order[i], t->length[t->order[i]]);
    return WHET_OK;
}

/* One gate's candidates [count], nearest first. The nearest are one representative, unless another
 * candidate is nearer to the gate, by more than sums of lengths are wrong by. */
static void settle_gate(const hanging *c, int64_t count, const nearby *near, locus_work *w,
                        whet_locus_class *classes, int64_t *of) {
    const bool inside = c[0].height <= 0;
    const bool never = !inside && near->far[c[0].gate] < c[0].height * (1 - 1e-9);
    for (int64_t i = 0; i < count; i++) {
        whet_locus_class *class = &classes[c[i].place];
        const bool nearest = c[i].height <= c[0].height;
        class->point = c[i].point;
        class->other = -1;
        of[c[i].place] = nearest && !never ? c[0].point : -1;
        if (never) {
            class->reason = WHET_REASON_FARTHER;
            class->other = near->point[c[0].gate];
        } else if (nearest && i > 0) {
            class->reason = WHET_REASON_TWIN;
            class->other = c[0].point;
        } else if (nearest) {
            class->reason = inside ? WHET_REASON_BETWEEN : WHET_REASON_MIXTURE;
        } else {
            class->reason = inside ? WHET_REASON_BRANCH : WHET_REASON_FARTHER;
            class->other = c[0].point;
        }
    }
    if (never) return;
    w->point[w->n] = c[0].point;
    w->reach[w->n++] = inside ? WHET_REACH_ALONE : WHET_REACH_UNDECIDED;
}

static whet_status settle(whet_ctx *ctx, const hull *h, const int64_t *candidates,
                          int64_t n_candidates, locus_work *w, whet_locus_class *classes,
                          int64_t *of) {
    whet_status status = WHET_OK;
    nearby near = {0};
    hanging *c = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, n_candidates, &c));
    WHET_TRY_DONE(find_nearest(ctx, &w->space->tree, w->space->n, candidates, n_candidates, &near));
    for (int64_t i = 0; i < n_candidates; i++) {
        const int64_t v = candidates[i];
        c[i] = (hanging){h->gate[v], v, i, h->height[v]};
    }
    qsort(c, (size_t)n_candidates, sizeof *c, by_gate);
    for (int64_t from = 0, to; from < n_candidates; from = to) {
        for (to = from + 1; to < n_candidates && c[to].gate == c[from].gate;) to++;
        settle_gate(c + from, to - from, &near, w, classes, of);
    }
done:
    nearest_free(ctx, &near);
    whet_i_free(ctx, c);
    return status;
}

/* Representatives by ascending point, and `of` by their place. */
static whet_status sort_representatives(whet_ctx *ctx, int64_t n_candidates, locus_work *w,
                                        int64_t *of) {
    int64_t *place;
    WHET_TRY(whet_i_alloc(ctx, w->space->n, &place));
    for (int64_t i = 0; i < w->n; i++) place[w->point[i]] = (int64_t)w->reach[i];
    qsort(w->point, (size_t)w->n, sizeof *w->point, by_point);
    for (int64_t i = 0; i < w->n; i++) {
        w->reach[i] = (whet_reach)place[w->point[i]];
        place[w->point[i]] = i;
    }
    for (int64_t i = 0; i < n_candidates; i++)
        if (of[i] >= 0) of[i] = place[of[i]];
    whet_i_free(ctx, place);
    return WHET_OK;
}

/* When everything is equally deep and all that is observed may be predicted, nothing else is reached. */
static whet_status settle_ultrametric(whet_ctx *ctx, const int64_t *candidates,
                                      int64_t n_candidates, locus_work *w,
                                      whet_locus_class *classes, const int64_t *of) {
    bool *wanted, ultrametric = false, left = false;
    for (int64_t i = 0; i < w->n; i++) left |= w->reach[i] == WHET_REACH_UNDECIDED;
    if (!left) return WHET_OK;
    WHET_TRY(whet_i_calloc(ctx, w->space->n, &wanted));
    for (int64_t i = 0; i < n_candidates; i++) wanted[candidates[i]] = true;
    bool all = true;
    for (int64_t j = 0; j < w->k; j++) all = all && wanted[w->observed[j]];
    const whet_status status =
        all ? is_ultrametric(ctx, &w->space->tree, w->space->n, wanted, &ultrametric) : WHET_OK;
    whet_i_free(ctx, wanted);
    if (status != WHET_OK || !ultrametric) return status;
    for (int64_t i = 0; i < w->n; i++)
        if (w->reach[i] == WHET_REACH_UNDECIDED) w->reach[i] = WHET_REACH_NEVER;
    for (int64_t i = 0; i < n_candidates; i++)
        if (of[i] < 0 || w->reach[of[i]] == WHET_REACH_NEVER)
            classes[i] = (whet_locus_class){
                .point = candidates[i], .other = -1, .reason = WHET_REASON_ULTRAMETRIC};
    return WHET_OK;
}

whet_status whet_i_locus_tree(whet_ctx *ctx, const int64_t *candidates, int64_t n_candidates,
                              locus_work *w, whet_locus_class *classes, int64_t *of) {
    whet_status status = WHET_OK;
    hull h = {0};
    WHET_TRY_DONE(hull_make(ctx, &w->space->tree, w->space->n, w->observed, w->k, &h));
    WHET_TRY_DONE(settle(ctx, &h, candidates, n_candidates, w, classes, of));
    WHET_TRY_DONE(sort_representatives(ctx, n_candidates, w, of));
    WHET_TRY_DONE(settle_ultrametric(ctx, candidates, n_candidates, w, classes, of));
done:
    hull_free(ctx, &h);
    return status;
}
