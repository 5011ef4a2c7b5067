/* SPDX-License-Identifier: Apache-2.0
 * Which points to label next.
 * Trees, all nodes candidates: the locus is the subtree that the observed span, and a new point adds
 * its path to it. The farthest point adds most, and adding the farthest again and again is optimal for
 * every number of points. The whole sequence at once: orient the tree away from the locus, cut it into
 * long paths (each node goes on to its highest child), sort the paths by length: their tips, in order,
 * are what the greedy rule picks, because a path hangs off one that is at least as long.
 * Elsewhere: the farthest candidate from all points so far (Gonzalez 1985).
 * Ties: lowest point. */
#include <math.h>
#include <stdlib.h>

#include "space/space_i.h"

/* ---- trees ----------------------------------------------------------------------------------- */

/* A long path outside the locus. */
typedef struct chain {
    double length; /* from the locus, or the longer path, to the tip */
    int64_t tip, nodes;
} chain;

typedef struct outward {
    bool *in;                   /* [n] in the locus */
    int64_t *up, *order;        /* [n] towards the locus, -1 in it; nearer ones first */
    double *step, *height;      /* [n] to `up` (length or 1); of the highest path below */
    int64_t *tip, *nodes, *via; /* [n] lowest tip of such a path, its nodes, its first node */
} outward;

static void outward_free(whet_ctx *ctx, outward *o) {
    whet_i_free(ctx, o->in);
    whet_i_free(ctx, o->up);
    whet_i_free(ctx, o->order);
    whet_i_free(ctx, o->step);
    whet_i_free(ctx, o->height);
    whet_i_free(ctx, o->tip);
    whet_i_free(ctx, o->nodes);
    whet_i_free(ctx, o->via);
}

static whet_status outward_alloc(whet_ctx *ctx, int64_t n, outward *o) {
    WHET_TRY(whet_i_calloc(ctx, n, &o->in));
    WHET_TRY(whet_i_alloc(ctx, n, &o->up));
    WHET_TRY(whet_i_alloc(ctx, n, &o->order));
    WHET_TRY(whet_i_alloc(ctx, n, &o->step));
    WHET_TRY(whet_i_calloc(ctx, n, &o->height));
    WHET_TRY(whet_i_alloc(ctx, n, &o->tip));
    WHET_TRY(whet_i_alloc(ctx, n, &o->nodes));
    return whet_i_alloc(ctx, n, &o->via);
}

/* The subtree that the observed span: their number below each node decides. below [n]: scratch. */
static void mark_locus(const space_tree *t, int64_t n, const int64_t *observed, int64_t k,
                       int64_t *below, bool *in) {
    int64_t top = t->order[0];
    memset(below, 0, sizeof *below * (size_t)n);
    for (int64_t j = 0; j < k; j++) below[observed[j]] = 1;
    for (int64_t i = n - 1; i > 0; i--) below[t->parent[t->order[i]]] += below[t->order[i]];
    for (int64_t i = 0; i < n; i++)
        if (below[t->order[i]] == k) top = t->order[i];
    in[top] = true;
    for (int64_t i = 0; i < n; i++) {
        const int64_t v = t->order[i];
        if (v != top && t->parent[v] >= 0 && in[t->parent[v]] && below[v] > 0) in[v] = true;
    }
}

/* Above the locus the tree is turned round: its top's ancestors hang off it one after another. */
static void orient(const space_tree *t, int64_t n, bool by_nodes, outward *o) {
    int64_t at = 0, top = t->order[0];
    for (int64_t i = n - 1; i >= 0; i--)
        if (o->in[t->order[i]]) top = t->order[i];
    for (int64_t v = 0; v < n; v++) o->up[v] = -2;
    for (int64_t v = top; t->parent[v] >= 0; v = t->parent[v]) {
        const int64_t above = t->parent[v];
        o->up[above] = v;
        o->step[above] = by_nodes ? 1 : t->length[v];
        o->order[at++] = above;
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t v = t->order[i];
        if (o->in[v]) {
            o->up[v] = -1;
        } else if (o->up[v] == -2) {
            o->up[v] = t->parent[v];
            o->step[v] = by_nodes ? 1 : t->length[v];
            o->order[at++] = v;
        }
    }
    for (int64_t v = 0; v < n; v++) {
        o->tip[v] = v;
        o->nodes[v] = 1;
        o->via[v] = -1;
    }
}

/* Highest paths, tips first; a path that is as high goes to the lower tip. */
static void find_chains(int64_t outside, outward *o) {
    for (int64_t i = outside - 1; i >= 0; i--) {
        const int64_t v = o->order[i], u = o->up[v];
        const double height = o->height[v] + o->step[v];
        if (o->in[u]) continue;
        const bool better = o->via[u] < 0 || height > o->height[u] ||
                            (height >= o->height[u] && o->tip[v] < o->tip[u]);
        if (!better) continue;
        o->height[u] = height;
        o->tip[u] = o->tip[v];
        o->nodes[u] = o->nodes[v] + 1;
        o->via[u] = v;
    }
}

static int longest_first(const void *left, const void *right) {
    const chain *a = left, *b = right;
    if (a->length > b->length || a->length < b->length) return a->length > b->length ? -1 : 1;
    return (a->tip > b->tip) - (a->tip < b->tip);
}

/* A chain begins where its node's way towards the locus is not that way's highest. */
static whet_status sort_chains(whet_ctx *ctx, int64_t outside, const outward *o, chain **out,
                               int64_t *count) {
    int64_t n = 0;
    chain *chains;
    WHET_TRY(whet_i_alloc(ctx, outside, &chains));
    for (int64_t i = 0; i < outside; i++) {
        const int64_t v = o->order[i], u = o->up[v];
        if (!o->in[u] && o->via[u] == v) continue;
        chains[n++] = (chain){o->height[v] + o->step[v], o->tip[v], o->nodes[v]};
    }
    qsort(chains, (size_t)n, sizeof *chains, longest_first);
    *out = chains;
    *count = n;
    return WHET_OK;
}

/* The node farthest from `from`, the lowest of equals, and its distance. d [n]: scratch. */
static int64_t farthest_node(const space_tree *t, int64_t n, int64_t from, bool by_nodes,
                             double *d) {
    int64_t best = from;
    for (int64_t v = 0; v < n; v++) d[v] = -1;
    d[from] = 0;
    for (int64_t v = from; t->parent[v] >= 0; v = t->parent[v])
        d[t->parent[v]] = d[v] + (by_nodes ? 1 : t->length[v]);
    for (int64_t i = 0; i < n; i++) {
        const int64_t v = t->order[i];
        if (d[v] < 0) d[v] = d[t->parent[v]] + (by_nodes ? 1 : t->length[v]);
    }
    for (int64_t v = 0; v < n; v++)
        if (d[v] > d[best] || (d[v] >= d[best] && v < best)) best = v;
    return best;
}

static whet_status tree_next(whet_ctx *ctx, const whet_space *space, const int64_t *observed,
                             int64_t k, bool by_nodes, int64_t count, whet_next_class *next,
                             int64_t *n_out) {
    const space_tree *t = &space->tree;
    const int64_t n = space->n;
    whet_status status = WHET_OK;
    outward o = {0};
    chain *chains = NULL;
    int64_t n_chains, written = 0, locus = 0, end = 0;
    WHET_TRY_DONE(outward_alloc(ctx, n, &o));
    if (k == 0) {
        /* An end of a longest path: whatever is farthest from anywhere. */
        end = farthest_node(t, n, 0, by_nodes, o.step);
        observed = &end;
        k = 1;
        next[written++] = (whet_next_class){end, 0, 1};
    }
    mark_locus(t, n, observed, k, o.nodes, o.in);
    for (int64_t v = 0; v < n; v++) locus += o.in[v];
    orient(t, n, by_nodes, &o);
    find_chains(n - locus, &o);
    WHET_TRY_DONE(sort_chains(ctx, n - locus, &o, &chains, &n_chains));
    for (int64_t i = 0; i < n_chains && written < count; i++) {
        locus += chains[i].nodes;
        next[written++] = (whet_next_class){chains[i].tip, chains[i].length, locus};
    }
    *n_out = written;
done:
    whet_i_free(ctx, chains);
    outward_free(ctx, &o);
    return status;
}

/* ---- elsewhere ------------------------------------------------------------------------------- */

typedef struct spreading {
    const whet_space *space;
    const int64_t *candidates;
    int64_t n;
    double *nearest;  /* [n] distance to what is chosen so far; -1 = chosen */
    int64_t *to;      /* [n] scratch */
    double *distance; /* [n] scratch */
} spreading;

static whet_status choose(whet_ctx *ctx, spreading *s, int64_t point) {
    for (int64_t i = 0; i < s->n; i++) s->to[i] = point;
    WHET_TRY(whet_space_distances(ctx, s->space, s->candidates, s->to, s->n, s->distance));
    for (int64_t i = 0; i < s->n; i++) {
        s->nearest[i] = fmin(s->nearest[i], s->distance[i]);
        if (s->candidates[i] == point) s->nearest[i] = -1;
    }
    return WHET_OK;
}

static whet_status spread_out(whet_ctx *ctx, spreading *s, const int64_t *observed, int64_t k,
                              int64_t count, whet_next_class *next, int64_t *n_out) {
    int64_t written = 0;
    for (int64_t i = 0; i < s->n; i++) s->nearest[i] = (double)INFINITY;
    for (int64_t j = 0; j < k; j++) {
        WHET_TRY(choose(ctx, s, observed[j]));
        WHET_TRY(whet_i_progress(ctx, "measuring the observed", j + 1, k));
    }
    while (written < count) {
        int64_t best = -1;
        for (int64_t i = 0; i < s->n; i++)
            if (s->nearest[i] >= 0 && (best < 0 || s->nearest[i] > s->nearest[best])) best = i;
        if (best < 0) break;
        const double gain = isinf(s->nearest[best]) ? 0 : s->nearest[best];
        next[written++] = (whet_next_class){s->candidates[best], gain, -1};
        WHET_TRY(choose(ctx, s, s->candidates[best]));
        WHET_TRY(whet_i_progress(ctx, "choosing classes", written, count));
    }
    *n_out = written;
    return WHET_OK;
}

static whet_status farthest_first(whet_ctx *ctx, const whet_space *space, const int64_t *observed,
                                  int64_t k, const whet_frechet_opts *opts, int64_t count,
                                  whet_next_class *next, int64_t *n_out) {
    whet_status status = WHET_OK;
    spreading s = {.space = space};
    int64_t *candidates = NULL;
    WHET_TRY_DONE(whet_i_candidates_take(ctx, space, observed, k, opts, &candidates, &s.n));
    s.candidates = candidates;
    WHET_TRY_DONE(whet_i_alloc(ctx, s.n, &s.nearest));
    WHET_TRY_DONE(whet_i_alloc(ctx, s.n, &s.to));
    WHET_TRY_DONE(whet_i_alloc(ctx, s.n, &s.distance));
    status = spread_out(ctx, &s, observed, k, count, next, n_out);
done:
    whet_i_free(ctx, s.distance);
    whet_i_free(ctx, s.to);
    whet_i_free(ctx, s.nearest);
    whet_i_free(ctx, candidates);
    return status;
}

whet_status whet_next_classes(whet_ctx *ctx, const whet_space *space, const int64_t *observed,
                              int64_t k, const whet_frechet_opts *opts, bool by_nodes,
                              int64_t count, whet_next_class *next, int64_t *n,
                              whet_next_rule *rule) {
    whet_frechet_opts o = WHET_FRECHET_OPTS_INIT;
    int64_t *copy;
    WHET_TRY(whet_i_opts(ctx, opts, &o, sizeof o, "whet_frechet_opts"));
    if (k < 0 || count < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%lld observed classes and %lld to choose; expected 0 or more and 1 or "
                           "more",
                           (long long)k, (long long)count);
    WHET_TRY(whet_i_points_copy(ctx, space, "observed class", observed, k, &copy));
    whet_i_free(ctx, copy);
    const bool tree = space->kind == SPACE_TREE && o.candidates == WHET_CANDIDATES_ALL;
    const whet_status status = tree ? tree_next(ctx, space, observed, k, by_nodes, count, next, n)
                                    : farthest_first(ctx, space, observed, k, &o, count, next, n);
    if (status == WHET_OK) *rule = tree ? WHET_NEXT_TREE : WHET_NEXT_FARTHEST;
    return status;
}
