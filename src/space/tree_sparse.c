/* SPDX-License-Identifier: Apache-2.0
 * Frechet means of sparse rows on a tree, exactly, from the entries alone: where all nodes are
 * candidates in O(m log m + m log N) for m entries; the tree's N nodes are not looked at.
 *
 * Along a path the cost is convex (strictly for power 2: d(., k) is |t - t0| + h). So
 *   1. the least cost lies on the subtree that the entries span. Its branching points and the entries
 *      themselves, at most 2 m - 1, with the paths between them as edges, are the virtual tree: costs
 *      of its nodes by the two passes of tree_pass.c;
 *   2. inside at most one of its edges the cost has its least, x = (A_far - A_near) / S from an end (A:
 *      moments of the two sides, S: mass); the two nodes around x are found by lifting;
 *   3. what costs no more than c is connected, for every c: on the path between two such nodes nothing
 *      costs more than both. So growing from the best node, always by the cheapest node next to what
 *      has been taken, gives nodes in order of cost: ties, the next distinct cost, the best `top`.
 * A neighbour u over an edge of length l costs F + l (l S + 2 (T - 2 A_u)) (power 1: T + l (S - 2 M_u)),
 * A_u, M_u moment and mass on its side. Children without an entry below all have A = 0: they cost more
 * the longer their edge, and wait in a list sorted by length, one at a time in the heap.
 *
 * Where only some nodes are candidates, growing passes over the others, and a branch waits under a lower
 * bound of what its candidates cost: away from the least, towards the side with moment A, the cost at
 * distance x is at least F + x (x S + 2 (T - 2 A)) (on the path it is that up to the first entry or
 * branching, where its slope can only rise), and rises with x, so x is the distance to the branch's
 * nearest candidate (tree_gates.h). Branches without candidates are left out; in those without entries
 * the bound is the cost of the nearest candidate itself, and is reached along the path to it. What
 * this looks at is the part of the spanned subtree that costs no more than the answer, at most
 * m times the height of the tree, and the paths to the candidates that are told.
 *
 * Costs that are told are sums of the row's terms, from differences of depths that keep what rounding
 * lost (tree_index.h). */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "space/frechet_i.h"
#include "space/tree_gates.h"

/* A node next to what has been taken. */
typedef struct frontier {
    double cost;        /* a lower bound for the candidates of its branch: its own when it is one */
    int32_t node, from; /* from which taken node it was reached; -1 = the first */
    int32_t next;       /* child list: place of the sibling that waits behind it; -1 = none */
    bool empty;         /* no entries there */
    double owner, moment; /* cost and T of `from` where it is empty */
} frontier;

/* The virtual tree, by position: parents first. */
typedef struct virtual_node {
    int32_t node, parent; /* of the tree; place in the virtual tree, -1 = the top */
    double length;        /* to the parent */
    double mass, moment;  /* at and below, p and p d */
    double all, cost;     /* T and F (power 2) of the node */
} virtual_node;

typedef struct entry {
    int32_t node, position;
    double p;
} entry;

/* One worker's. */
typedef struct frechet_sparse {
    const tree_index *t;
    const tree_gates *gates; /* NULL: all nodes are candidates */
    int32_t power;
    entry *entries;      /* [most entries] by position */
    int32_t *branch;     /* [most entries] at the node in hand: child, UP or HERE */
    double *distance;    /* [most entries] to it */
    virtual_node *nodes; /* [2 most entries] */
    int64_t n, n_nodes;
    double mass;
    frontier *heap;
    int64_t n_heap, room;
    frechet_choice *group; /* [top] the lowest points of the ties in hand */
} frechet_sparse;

enum { UP = -1, HERE = -2, FIRST_ROOM = 256 };

typedef struct sparse_plan {
    tree_index *index;
    tree_gates gates; /* empty: all nodes are candidates */
} sparse_plan;

/* ---- the virtual tree ------------------------------------------------------------------------ */

static int entry_order(const void *left, const void *right) {
    const entry *a = left, *b = right;
    return (a->position > b->position) - (a->position < b->position);
}

/* Takes the entries with mass; false when a value is impossible. Masses far from 1 are scaled by a
 * power of two: the scale of a row is irrelevant. */
static bool take_entries(frechet_sparse *s, const int64_t *observed, const int32_t *column,
                         const double *p, int64_t n) {
    double sum = 0, scale = 1;
    s->n = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!(p[i] >= 0 && p[i] <= DBL_MAX)) return false;
        sum += p[i];
    }
    if (sum > 0 && sum < 0x1p-300) scale = 0x1p800;
    if (sum > 0x1p300) scale = 0x1p-800;
    s->mass = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!(p[i] * scale > 0)) continue;
        const int32_t v = (int32_t)observed[column[i]];
        s->entries[s->n++] = (entry){v, s->t->position[v], p[i] * scale};
        s->mass += p[i] * scale;
    }
    qsort(s->entries, (size_t)s->n, sizeof *s->entries, entry_order);
    return true;
}

static int node_order(const void *left, const void *right) {
    const virtual_node *a = left, *b = right;
    return (a->parent > b->parent) - (a->parent < b->parent); /* holds the position, see below */
}

/* Entries and the common ancestors of neighbours, each once, parents first. */
static void make_virtual_tree(frechet_sparse *s) {
    const tree_index *t = s->t;
    int64_t n = 0, kept = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const int32_t v = s->entries[i].node;
        s->nodes[n++] = (virtual_node){.node = v, .parent = t->position[v]};
        if (i == 0) continue;
        const int32_t a = whet_i_tree_ancestor(t, s->entries[i - 1].node, v);
        s->nodes[n++] = (virtual_node){.node = a, .parent = t->position[a]};
    }
    qsort(s->nodes, (size_t)n, sizeof *s->nodes, node_order);
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || s->nodes[i].node != s->nodes[kept - 1].node) s->nodes[kept++] = s->nodes[i];
    /* The way up from the node before: its ancestors among the nodes, in the parents set so far. */
    for (int64_t i = 0; i < kept; i++) {
        virtual_node *v = &s->nodes[i];
        int32_t up = (int32_t)i - 1;
        while (up >= 0 &&
               t->position[v->node] >= t->position[s->nodes[up].node] + t->size[s->nodes[up].node])
            up = s->nodes[up].parent;
        v->parent = up;
        v->length = up < 0 ? 0 : whet_i_tree_descent(t, s->nodes[up].node, v->node);
    }
    s->n_nodes = kept;
}

/* Moments upwards, costs downwards. */
static void pass_virtual_tree(frechet_sparse *s) {
    virtual_node *nodes = s->nodes;
    int64_t at = 0;
    double root = 0;
    for (int64_t i = 0; i < s->n; i++) {
        while (nodes[at].node != s->entries[i].node) at++;
        nodes[at].mass += s->entries[i].p;
        const double d = whet_i_tree_descent(s->t, nodes[0].node, nodes[at].node);
        root += s->entries[i].p * d * d;
    }
    for (int64_t i = s->n_nodes - 1; i > 0; i--) {
        virtual_node *up = &nodes[nodes[i].parent];
        up->moment += nodes[i].moment + nodes[i].length * nodes[i].mass;
        up->mass += nodes[i].mass;
    }
    nodes[0].all = nodes[0].moment;
    nodes[0].cost = root;
    for (int64_t i = 1; i < s->n_nodes; i++) {
        virtual_node *v = &nodes[i];
        const virtual_node *up = &nodes[v->parent];
        const double l = v->length, side = v->moment + l * v->mass;
        v->cost = up->cost + 2 * l * (up->all - 2 * side) + l * l * s->mass;
        v->all = up->all + l * (s->mass - 2 * v->mass);
    }
}

/* The place in the virtual tree of least cost. */
static int64_t best_virtual(const frechet_sparse *s) {
    int64_t best = 0;
    for (int64_t i = 1; i < s->n_nodes; i++) {
        const bool less = s->power == 2 ? s->nodes[i].cost < s->nodes[best].cost
                                        : s->nodes[i].all < s->nodes[best].all;
        if (less) best = i;
    }
    return best;
}

/* The edge inside which the cost is least, if there is one, and the nodes around that place. */
static void bracket(const frechet_sparse *s, int64_t best, int32_t around[2]) {
    const tree_index *t = s->t;
    around[0] = around[1] = s->nodes[best].node;
    for (int64_t i = 1; i < s->n_nodes; i++) {
        const virtual_node *c = &s->nodes[i], *up = &s->nodes[c->parent];
        const double far = c->moment + c->length * c->mass;
        const double x = (2 * far - up->all) / s->mass; /* from the upper end */
        if (!(x > 0 && x < c->length)) continue;
        around[0] = whet_i_tree_lift(t, up->node, c->node, x);
        around[1] = t->parent[around[0]];
        return;
    }
}

/* ---- one node -------------------------------------------------------------------------------- */

/* Distances and branches of all entries at v; the cost, and T. */
static double look_at(frechet_sparse *s, int32_t v, double *moment) {
    const tree_index *t = s->t;
    double cost = 0;
    *moment = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const int32_t u = s->entries[i].node, a = whet_i_tree_ancestor(t, v, u);
        const double d = whet_i_tree_descent(t, a, v) + whet_i_tree_descent(t, a, u);
        s->distance[i] = d;
        s->branch[i] = a != v ? UP : u == v ? HERE : whet_i_tree_branch(t, v, u);
        *moment += s->entries[i].p * d;
        cost += s->entries[i].p * d * d;
    }
    return s->power == 2 ? cost : *moment;
}

static double neighbour_cost(const frechet_sparse *s, double cost, double moment, double length,
                             double side_moment, double side_mass) {
    if (s->power == 2) return cost + length * (length * s->mass + 2 * (moment - 2 * side_moment));
    return cost + length * (s->mass - 2 * side_mass);
}

/* ---- the heap -------------------------------------------------------------------------------- */

static bool push(frechet_sparse *s, const frontier *item) {
    if (s->n_heap == s->room) return false;
    int64_t at = s->n_heap++;
    for (; at > 0 && s->heap[(at - 1) / 2].cost > item->cost; at = (at - 1) / 2)
        s->heap[at] = s->heap[(at - 1) / 2];
    s->heap[at] = *item;
    return true;
}

static frontier pop(frechet_sparse *s) {
    const frontier top = s->heap[0], last = s->heap[--s->n_heap];
    int64_t at = 0;
    for (int64_t down; (down = 2 * at + 1) < s->n_heap; at = down) {
        if (down + 1 < s->n_heap && s->heap[down + 1].cost < s->heap[down].cost) down++;
        if (s->heap[down].cost >= last.cost) break;
        s->heap[at] = s->heap[down];
    }
    s->heap[at] = last;
    return top;
}

/* Whether an entry lies in the subtree of v. */
static bool has_entry(const frechet_sparse *s, int32_t v) {
    const int32_t from = s->t->position[v], to = from + s->t->size[v];
    int64_t low = 0, high = s->n;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (s->entries[middle].position < from)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->n && s->entries[low].position < to;
}

/* From v to the nearest candidate in the branch of its neighbour u. */
static double reach(const frechet_sparse *s, int32_t v, int32_t u) {
    const bool up = u == s->t->parent[v];
    const double length = up ? whet_i_tree_descent(s->t, u, v) : whet_i_tree_descent(s->t, v, u);
    if (!s->gates) return length;
    return up ? s->gates->beyond[v] : length + s->gates->below[u];
}

/* The next child of `owner` from a place in its list that has no entry below; false: heap full. */
static bool push_empty_child(frechet_sparse *s, int32_t owner, int32_t place, double cost,
                             double moment) {
    const tree_index *t = s->t;
    for (; place < t->first_child[owner + 1]; place++) {
        const int32_t c = t->child[place];
        if (has_entry(s, c)) continue; /* so is the child from which the owner was reached */
        const double far = reach(s, owner, c);
        if (isinf(far)) return true; /* no candidates, nor behind it */
        const frontier item = {
            neighbour_cost(s, cost, moment, far, 0, 0), c, owner, place + 1, true, cost, moment};
        return push(s, &item);
    }
    return true;
}

/* The branch of u, a neighbour of v, with the moment and mass of its entries. */
static bool push_branch(frechet_sparse *s, int32_t v, int32_t u, double cost, double moment,
                        double side_moment, double side_mass) {
    const double far = reach(s, v, u);
    if (isinf(far)) return true;
    const frontier item = {neighbour_cost(s, cost, moment, far, side_moment, side_mass),
                           u,
                           v,
                           -1,
                           side_mass == 0,
                           cost,
                           moment};
    return push(s, &item);
}

/* All neighbours of v but the one that it was reached from. Entries are in the order of positions, so
 * that those below one child are neighbours. */
static bool push_neighbours(frechet_sparse *s, int32_t v, int32_t from, double cost,
                            double moment) {
    const int32_t up = s->t->parent[v];
    double up_moment = 0, up_mass = 0;
    for (int64_t i = 0; i < s->n;) {
        const int32_t b = s->branch[i];
        double side_moment = 0, side_mass = 0;
        for (; i < s->n && s->branch[i] == b; i++) {
            side_moment += s->entries[i].p * s->distance[i];
            side_mass += s->entries[i].p;
        }
        if (b == UP) {
            up_moment += side_moment;
            up_mass += side_mass;
        } else if (b != HERE && b != from) {
            if (!push_branch(s, v, b, cost, moment, side_moment, side_mass)) return false;
        }
    }
    if (up >= 0 && up != from && !push_branch(s, v, up, cost, moment, up_moment, up_mass))
        return false;
    return push_empty_child(s, v, s->t->first_child[v], cost, moment);
}

/* Cost and T of what was taken from the heap. Where there are no entries all are on the way back. */
static double visit(frechet_sparse *s, const frontier *item, bool candidate, double *moment) {
    if (candidate || !item->empty) return look_at(s, item->node, moment);
    const bool down = s->t->parent[item->node] == item->from;
    const double length = down ? whet_i_tree_descent(s->t, item->from, item->node)
                               : whet_i_tree_descent(s->t, item->node, item->from);
    for (int64_t i = 0; i < s->n; i++) s->branch[i] = down ? UP : item->from;
    *moment = item->moment + length * s->mass;
    return neighbour_cost(s, item->owner, item->moment, length, 0, 0);
}

/* ---- growing --------------------------------------------------------------------------------- */

/* Keeps the `most` lowest points of a group of ties, in order. */
static int64_t keep_lowest(frechet_choice *group, int64_t n, int64_t most, frechet_choice c) {
    if (most == 0 || (n == most && group[n - 1].point < c.point)) return n;
    int64_t at = n < most ? n : n - 1;
    for (; at > 0 && group[at - 1].point > c.point; at--) group[at] = group[at - 1];
    group[at] = c;
    return n < most ? n + 1 : n;
}

/* Takes nodes in order of cost until `top` are told and the next distinct cost is known. */
static frechet_sparse_answer grow(frechet_sparse *s, int32_t top, int64_t at,
                                  const frechet_result *out, int32_t *better) {
    int64_t told = 0, in_group = 0, kept = 0, ties = 0;
    double least = (double)INFINITY, next = (double)INFINITY, group_least = (double)INFINITY,
           lowest = (double)INFINITY;
    while (s->n_heap > 0) {
        const frontier item = pop(s);
        const bool candidate = !s->gates || s->gates->candidate[item.node];
        double moment;
        const double cost = visit(s, &item, candidate, &moment);
        if (in_group > 0 && candidate && cost > group_least + FRECHET_TIE * fabs(group_least)) {
            /* The group is whole. */
            for (int64_t i = 0; i < kept; i++) {
                out->best[at * top + told + i] = s->group[i].point;
                out->cost[at * top + told + i] = s->group[i].cost / s->mass;
            }
            told += kept;
            if (ties == 0) {
                ties = in_group;
                least = group_least;
                next = cost;
            }
            in_group = kept = 0;
            group_least = (double)INFINITY;
            if (told >= top) break;
        }
        if (ties == 0 && cost + FRECHET_TIE * fabs(cost) < lowest && isfinite(lowest)) {
            *better = item.node;
            return SPARSE_AGAIN;
        }
        lowest = fmin(lowest, cost);
        if (candidate) {
            group_least = fmin(group_least, cost);
            in_group++;
            kept = keep_lowest(s->group, kept, top - told, (frechet_choice){cost, item.node, 0});
        }
        if (item.next >= 0 && !push_empty_child(s, item.from, item.next, item.owner, item.moment))
            return SPARSE_NO_ROOM;
        if (!push_neighbours(s, item.node, item.from, cost, moment)) return SPARSE_NO_ROOM;
    }
    for (int64_t i = 0; i < kept; i++) { /* the tree ended within a group */
        out->best[at * top + told + i] = s->group[i].point;
        out->cost[at * top + told + i] = s->group[i].cost / s->mass;
    }
    if (ties == 0) {
        ties = in_group;
        least = group_least;
    }
    if (!isfinite(least)) return SPARSE_OVERFLOW;
    out->ties[at] = (int32_t)(ties < INT32_MAX ? ties : INT32_MAX);
    out->margin[at] = (next - least) / s->mass;
    return SPARSE_DONE;
}

static frechet_sparse_answer row(const whet_frechet *f, void *scratch, const int32_t *column,
                                 const double *p, int64_t n, int64_t at,
                                 const frechet_result *out) {
    frechet_sparse *s = scratch;
    if (!take_entries(s, f->observed, column, p, n)) return SPARSE_IMPOSSIBLE;
    if (s->n == 0) return SPARSE_NO_MASS;
    int32_t around[3];
    double moment, least = (double)INFINITY;
    make_virtual_tree(s);
    pass_virtual_tree(s);
    const int64_t best = best_virtual(s);
    around[2] = s->nodes[best].node;
    if (s->power == 2)
        bracket(s, best, around);
    else
        around[0] = around[1] = around[2];
    int32_t start = around[2];
    for (int i = 2; i >= 0; i--) {
        if (i < 2 && around[i] == start) continue;
        const double cost = look_at(s, around[i], &moment);
        if (!(cost < least)) continue;
        least = cost;
        start = around[i];
    }
    if (!isfinite(least)) return SPARSE_OVERFLOW;
    /* Rounding may have hidden a better node nearby: then from there. */
    frechet_sparse_answer answer = SPARSE_AGAIN;
    while (answer == SPARSE_AGAIN) {
        const frontier first = {0, start, -1, -1, false, 0, 0};
        s->n_heap = 0;
        (void)push(s, &first);
        answer = grow(s, f->top, at, out, &start);
    }
    return answer;
}

/* ---- the plan -------------------------------------------------------------------------------- */

static void scratch_free(whet_ctx *ctx, void *scratch) {
    frechet_sparse *s = scratch;
    if (!s) return;
    whet_i_free(ctx, s->entries);
    whet_i_free(ctx, s->branch);
    whet_i_free(ctx, s->distance);
    whet_i_free(ctx, s->nodes);
    whet_i_free(ctx, s->heap);
    whet_i_free(ctx, s->group);
    whet_i_free(ctx, s);
}

static whet_status scratch_create(whet_ctx *ctx, const whet_frechet *f, int64_t most,
                                  void **scratch) {
    const sparse_plan *plan = f->state;
    whet_status status = WHET_OK;
    frechet_sparse *s;
    WHET_TRY(whet_i_calloc(ctx, 1, &s));
    s->t = plan->index;
    s->gates = plan->gates.candidate ? &plan->gates : NULL;
    s->power = f->power;
    s->room = FIRST_ROOM + 4 * most;
    WHET_TRY_DONE(whet_i_alloc(ctx, most, &s->entries));
    WHET_TRY_DONE(whet_i_alloc(ctx, most, &s->branch));
    WHET_TRY_DONE(whet_i_alloc(ctx, most, &s->distance));
    WHET_TRY_DONE(whet_i_alloc(ctx, 2 * most, &s->nodes));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->room, &s->heap));
    WHET_TRY_DONE(whet_i_alloc(ctx, f->top, &s->group));
    *scratch = s;
    return WHET_OK;
done:
    scratch_free(ctx, s);
    return status;
}

static whet_status scratch_widen(whet_ctx *ctx, void *scratch) {
    frechet_sparse *s = scratch;
    WHET_TRY(whet_i_realloc(ctx, &s->heap, 2 * s->room));
    s->room *= 2;
    return WHET_OK;
}

static void plan_destroy(whet_ctx *ctx, void *state) {
    sparse_plan *plan = state;
    if (!plan) return;
    whet_i_tree_index_destroy(ctx, plan->index);
    whet_i_tree_gates_free(ctx, &plan->gates);
    whet_i_free(ctx, plan);
}

static whet_status make(whet_ctx *ctx, whet_frechet *f) {
    const bool gates = f->n_candidates < f->space->n;
    const space_tree *tree = &f->space->tree;
    whet_status status = WHET_OK;
    sparse_plan *plan;
    WHET_TRY(whet_i_calloc(ctx, 1, &plan));
    WHET_TRY_DONE(whet_i_tree_index_create(ctx, tree, f->space->n, &plan->index));
    if (gates)
        WHET_TRY_DONE(whet_i_tree_gates_create(ctx, tree, f->candidates, f->n_candidates,
                                               plan->index, &plan->gates));
    f->state = plan;
    plan = NULL;
done:
    plan_destroy(ctx, plan);
    return status;
}

static bool is_sparse_tree(const whet_frechet *f) {
    return f->sparse && f->space->kind == SPACE_TREE && f->space->n < INT32_MAX;
}

static bool serves_all(const whet_frechet *f) {
    return is_sparse_tree(f) && f->n_candidates == f->space->n;
}

static bool serves_some(const whet_frechet *f) {
    return is_sparse_tree(f) && f->n_candidates < f->space->n;
}

/* Not where few nodes are candidates in a small or a very deep tree. */
static bool gates_pay(const whet_frechet *f) {
    /* A row of the two passes costs a few ns a node, one here some 100 ns a node of the paths. */
    enum { SMALL = 16384, WORTH = 64 };
    const int64_t n = f->space->n;
    double hops = 0;
    for (int64_t v = 0; v < n; v++) hops += (double)f->space->tree.hops[v];
    return n >= SMALL && WORTH * (hops / (double)n) < (double)n;
}

static const char *why_all(const whet_frechet *f) {
    (void)f;
    return "the space is a tree, all nodes are candidates, rows come entry by entry";
}

static const char *why_some(const whet_frechet *f) {
    (void)f;
    return "the space is a large tree, rows come entry by entry";
}

/* For rows of no more entries than the heap has room for at first. */
static whet_status sizes(whet_ctx *ctx, const whet_frechet *f, frechet_sizes *out) {
    const double n = (double)f->space->n, gates = f->n_candidates < f->space->n ? 17 * n : 0;
    const double each = sizeof(entry) + sizeof(int32_t) + sizeof(double) + 2 * sizeof(virtual_node);
    (void)ctx;
    out->held = 44 * n + gates;
    out->making = out->held + 8 * n;
    out->thread =
        FIRST_ROOM * (each + 5 * sizeof(frontier)) + (double)f->top * sizeof(frechet_choice);
    return WHET_OK;
}

static const struct frechet_entries ENTRIES = {
    .create = scratch_create, .free = scratch_free, .widen = scratch_widen, .row = row};

const frechet_method whet_i_method_tree_entries = {
    .name = "tree-entries",
    .title = "tree by entries",
    .cost = "O(m log m + m log N)",
    .needs = "a tree with all nodes as candidates, and rows that come entry by entry",
    .serves = serves_all,
    .why = why_all,
    .sizes = sizes,
    .make = make,
    .entries = &ENTRIES,
    .destroy = plan_destroy};

const frechet_method whet_i_method_tree_gates = {
    .name = "tree-gates",
    .title = "tree by entries and gates",
    .cost = "O(m log N) a node of the paths looked at",
    .needs = "a tree with some nodes as candidates, and rows that come entry by entry",
    .serves = serves_some,
    .pays = gates_pay,
    .why = why_some,
    .sizes = sizes,
    .make = make,
    .entries = &ENTRIES,
    .destroy = plan_destroy};
