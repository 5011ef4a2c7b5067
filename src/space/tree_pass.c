/* SPDX-License-Identifier: Apache-2.0
 * Frechet costs of every node of a tree in O(N) a row, exactly, by two passes over the tree
 * (rerooting): subtree masses and first moments upwards, costs downwards.
 *
 *   up     M_v = sum of p below v, A_v = sum of p d(v, .) below v:  A_v += A_c + l M_c
 *   root   F = sum p depth^2, T = A_root
 *   down   with a = A_c + l M_c, the child's part of T_v:
 *          F_c = F_v + 2 l (T_v - 2 a) + l^2 S,   T_c = T_v + l (S - 2 M_c)
 *
 * (nodes below c come nearer by l, all others move away by l). T is the cost of power 1.
 * The tree is first cut down to what spans observed classes and candidates, and nodes of degree 2
 * that are neither are spliced out. Inner nodes come first, breadth-first, so that the children of
 * a node lie side by side: its inner ones and its leaves. Rows of a block lie side by side.
 * Children that are twins go through the same arithmetic, so structural ties are exact. The passes
 * themselves are in lane_loops.h; here is what surrounds them.
 * Legend: S mass of the row, l length of an edge, v a node, c its child, L lanes. */
#include <float.h>
#include <math.h>

#include "space/lanes_i.h"

enum { L = LANE_GROUP };

static void costs(const whet_frechet *f, frechet_block *b) {
    const tree_plan *t = f->state;
    double *moment = b->scratch, root[L];
    f->lane->combine(f->k, t->root_cost, t->node, b->weights, L, root);
    for (int i = 0; i < L; i++) b->least[i] = (double)INFINITY;
    f->lane->up(t, b->weights, moment);
    if (f->power == 2) {
        memcpy(b->costs, root, sizeof root);
        f->lane->down_squared(t, b->weights, moment, b->costs, b->least);
    } else {
        memcpy(root, moment, sizeof root);
        f->lane->down(t, b->weights, moment, b->costs, b->least);
    }
    /* F is convex along a path, so no cost on the way down exceeds both ends; rounding adds a few
     * units in the last place of that an edge, of random sign. */
    const double steps = 16 + (double)t->height;
    for (int i = 0; i < L; i++) b->noise[i] = steps * DBL_EPSILON * root[i];
}

/* Distances from one node to all by a walk up to the root, then down to everything else. */
static double exact(const whet_frechet *f, const frechet_block *b, int64_t lane, int64_t row) {
    const tree_plan *t = f->state;
    double *distance = b->scratch + t->n_inner * L, sum = 0;
    for (int64_t v = 0; v < t->n; v++) distance[v] = -1;
    distance[row] = 0;
    for (int64_t v = row; v != 0; v = t->parent[v])
        distance[t->parent[v]] = distance[v] + t->length[v];
    /* Nodes are numbered parents first. */
    for (int64_t v = 1; v < t->n; v++)
        if (distance[v] < 0) distance[v] = distance[t->parent[v]] + t->length[v];
    for (int64_t j = 0; j < f->k; j++) {
        const double d = distance[t->node[j]];
        sum += b->probs[lane * f->k + j] * b->scale[lane] * (f->power == 2 ? d * d : d);
    }
    return sum;
}

/* ---- the plan: cutting the tree down --------------------------------------------------------- */

/* The tree cut down, still by points: up[v] the parent among the points that stay, or -1. */
typedef struct cut {
    bool *wanted; /* observed or candidate */
    bool *stays;
    int64_t *below; /* wanted points at and below v */
    int64_t *branches;
    int64_t *up;
    double *length;
    int64_t root;
} cut;

static void cut_free(whet_ctx *ctx, cut *c) {
    whet_i_free(ctx, c->wanted);
    whet_i_free(ctx, c->stays);
    whet_i_free(ctx, c->below);
    whet_i_free(ctx, c->branches);
    whet_i_free(ctx, c->up);
    whet_i_free(ctx, c->length);
}

static whet_status cut_alloc(whet_ctx *ctx, int64_t n, cut *c) {
    WHET_TRY(whet_i_calloc(ctx, n, &c->wanted));
    WHET_TRY(whet_i_calloc(ctx, n, &c->stays));
    WHET_TRY(whet_i_calloc(ctx, n, &c->below));
    WHET_TRY(whet_i_calloc(ctx, n, &c->branches));
    WHET_TRY(whet_i_alloc(ctx, n, &c->up));
    return whet_i_alloc(ctx, n, &c->length);
}

static void cut_down(const whet_frechet *f, cut *c) {
    const space_tree *t = &f->space->tree;
    const int64_t n = f->space->n;
    int64_t wanted = 0;
    for (int64_t j = 0; j < f->k; j++) c->wanted[f->observed[j]] = true;
    for (int64_t j = 0; j < f->n_candidates; j++) c->wanted[f->candidates[j]] = true;
    for (int64_t v = 0; v < n; v++) wanted += c->below[v] = c->wanted[v];
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t v = t->order[i];
        c->below[t->parent[v]] += c->below[v];
        if (c->below[v]) c->branches[t->parent[v]]++;
    }
    /* The points with everything wanted below them are a chain down from the root. */
    for (int64_t i = 0; i < n; i++)
        if (c->below[t->order[i]] == wanted) c->root = t->order[i];
    for (int64_t i = 0; i < n; i++) {
        const int64_t v = t->order[i], p = t->parent[v];
        const bool inside = v == c->root || (c->below[v] > 0 && c->below[v] < wanted);
        if (!inside) continue;
        c->stays[v] = v == c->root || c->wanted[v] || c->branches[v] > 1;
        c->up[v] = v == c->root ? -1 : c->stays[p] ? p : c->up[p];
        c->length[v] = v == c->root ? 0 : t->length[v] + (c->stays[p] ? 0 : c->length[p]);
    }
}

static void plan_destroy(whet_ctx *ctx, void *state) {
    tree_plan *t = state;
    if (!t) return;
    whet_i_free(ctx, t->inner_first);
    whet_i_free(ctx, t->leaf_first);
    whet_i_free(ctx, t->parent);
    whet_i_free(ctx, t->length);
    whet_i_free(ctx, t->point);
    whet_i_free(ctx, t->node);
    whet_i_free(ctx, t->root_cost);
    whet_i_free(ctx, t);
}

static whet_status plan_alloc(whet_ctx *ctx, int64_t n, int64_t n_inner, int64_t k, tree_plan *t) {
    t->n = n;
    t->n_inner = n_inner;
    WHET_TRY(whet_i_calloc(ctx, n_inner + 1, &t->inner_first));
    WHET_TRY(whet_i_calloc(ctx, n_inner + 1, &t->leaf_first));
    WHET_TRY(whet_i_calloc(ctx, n, &t->parent));
    WHET_TRY(whet_i_calloc(ctx, n, &t->length));
    WHET_TRY(whet_i_calloc(ctx, n, &t->point));
    WHET_TRY(whet_i_calloc(ctx, k, &t->node));
    return whet_i_calloc(ctx, k, &t->root_cost);
}

/* Children that stay of each point that stays: [first[v], first[v + 1]) of `child`. */
typedef struct children {
    int64_t *first, *child, count;
} children;

static whet_status children_make(whet_ctx *ctx, const whet_frechet *f, const cut *c,
                                 children *out) {
    const int64_t n = f->space->n;
    WHET_TRY(whet_i_calloc(ctx, n + 2, &out->first));
    WHET_TRY(whet_i_alloc(ctx, n, &out->child));
    for (int64_t v = 0; v < n; v++)
        if (c->stays[v] && v != c->root) out->first[c->up[v] + 2]++;
    for (int64_t v = 2; v < n + 2; v++) out->first[v] += out->first[v - 1];
    out->count = 1;
    for (int64_t i = 0; i < n; i++) {
        const int64_t v = f->space->tree.order[i];
        if (!c->stays[v] || v == c->root) continue;
        out->child[out->first[c->up[v] + 1]++] = v;
        out->count++;
    }
    return WHET_OK;
}

/* Numbers the points that stay and fills the plan; node_of [n] and point_of [nodes] are scratch. */
static void number_nodes(const cut *c, const children *ch, tree_plan *t, int64_t *node_of,
                         int64_t *point_of) {
    int64_t inner = 1, leaf = t->n_inner;
    point_of[0] = c->root;
    for (int64_t v = 0; v < t->n_inner; v++) {
        const int64_t p = point_of[v];
        node_of[p] = v;
        t->inner_first[v] = inner;
        t->leaf_first[v] = leaf;
        for (int64_t i = ch->first[p]; i < ch->first[p + 1]; i++) {
            const int64_t q = ch->child[i];
            const int64_t node = ch->first[q] < ch->first[q + 1] ? inner++ : leaf++;
            point_of[node] = q;
            node_of[q] = node;
            t->parent[node] = v;
            t->length[node] = c->length[q];
        }
    }
    t->inner_first[t->n_inner] = inner;
    t->leaf_first[t->n_inner] = leaf;
}

static void find_depths(const whet_frechet *f, tree_plan *t, double *depth) {
    depth[0] = 0;
    for (int64_t v = 1; v < t->n; v++) depth[v] = depth[t->parent[v]] + t->length[v];
    for (int64_t j = 0; j < f->k; j++) t->root_cost[j] = depth[t->node[j]] * depth[t->node[j]];
    /* Breadth-first: no inner node is deeper than the last one. */
    t->height = 1;
    for (int64_t v = t->n_inner - 1; v > 0; v = t->parent[v]) t->height++;
}

static whet_status make(whet_ctx *ctx, whet_frechet *f) {
    whet_status status = WHET_OK;
    tree_plan *t = NULL;
    cut c = {0};
    children ch = {0};
    int64_t *node_of = NULL, *point_of = NULL, inner = 0;
    double *depth = NULL;
    const int64_t n = f->space->n;
    WHET_TRY_DONE(cut_alloc(ctx, n, &c));
    cut_down(f, &c);
    WHET_TRY_DONE(children_make(ctx, f, &c, &ch));
    for (int64_t v = 0; v < n; v++)
        inner += v == c.root || (c.stays[v] && ch.first[v] < ch.first[v + 1]);
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &t));
    WHET_TRY_DONE(plan_alloc(ctx, ch.count, inner, f->k, t));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &node_of));
    WHET_TRY_DONE(whet_i_alloc(ctx, ch.count, &point_of));
    WHET_TRY_DONE(whet_i_alloc(ctx, ch.count, &depth));
    number_nodes(&c, &ch, t, node_of, point_of);
    for (int64_t v = 0; v < t->n; v++) t->point[v] = -1;
    for (int64_t j = 0; j < f->n_candidates; j++)
        t->point[node_of[f->candidates[j]]] = f->candidates[j];
    for (int64_t j = 0; j < f->k; j++) t->node[j] = node_of[f->observed[j]];
    find_depths(f, t, depth);
    f->state = t;
    f->lanes = L;
    f->n_weights = f->n_costs = t->n;
    f->n_zero = t->n_inner;
    f->n_scratch = t->n_inner * L + t->n;
    f->weight_row = t->node;
    f->cost_point = t->point;
    t = NULL;
done:
    whet_i_free(ctx, depth);
    whet_i_free(ctx, point_of);
    whet_i_free(ctx, node_of);
    whet_i_free(ctx, ch.first);
    whet_i_free(ctx, ch.child);
    cut_free(ctx, &c);
    plan_destroy(ctx, t);
    return status;
}

static bool serves(const whet_frechet *f) { return f->space->kind == SPACE_TREE; }

static const char *why(const whet_frechet *f) {
    return f->sparse
               ? "the space is a tree; not all nodes are candidates, and it is so small or so deep "
                 "that whole rows are quicker"
               : "the space is a tree";
}

/* As if every node of the tree that is cut down were an inner one. */
static whet_status sizes(whet_ctx *ctx, const whet_frechet *f, frechet_sizes *out) {
    const double all = (double)f->space->n, k = (double)f->k,
                 nodes = fmin(all, 2 * (k + (double)f->n_candidates));
    (void)ctx;
    *out = whet_i_block_sizes(f, 40 * nodes + 16 * k, L, nodes, nodes, nodes * (L + 1));
    out->making = out->held + 58 * all + 16 * nodes;
    return WHET_OK;
}

const frechet_method whet_i_method_tree_pass = {.name = "tree-pass",
                                                .title = "tree pass",
                                                .cost = "O(N)",
                                                .needs = "a tree",
                                                .serves = serves,
                                                .why = why,
                                                .sizes = sizes,
                                                .make = make,
                                                .costs = costs,
                                                .exact = exact,
                                                .destroy = plan_destroy};
