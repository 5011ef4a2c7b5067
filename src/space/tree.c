/* SPDX-License-Identifier: Apache-2.0
 * Trees as label spaces: from a parent array or from undirected edges to a rooted tree in
 * breadth-first order, checked to be one tree; and the distance between two points.
 * Legend: n points, m edges, v a point, w its neighbour. */
#include "space/space_i.h"

static whet_status tree_alloc(whet_ctx *ctx, int64_t n, space_tree *t) {
    WHET_TRY(whet_i_alloc(ctx, n, &t->parent));
    WHET_TRY(whet_i_calloc(ctx, n, &t->length));
    WHET_TRY(whet_i_calloc(ctx, n, &t->hops));
    WHET_TRY(whet_i_alloc(ctx, n, &t->order));
    return whet_i_calloc(ctx, n, &t->degree);
}

/* Walks breadth-first from the root; gives how many points were reached. */
static int64_t orient(const space_graph *g, int64_t n, int64_t root, space_tree *t) {
    enum { UNSEEN = -2 };
    for (int64_t v = 0; v < n; v++) {
        t->parent[v] = UNSEEN;
        t->degree[v] = g->first[v + 1] - g->first[v];
    }
    int64_t reached = 0;
    t->parent[root] = -1;
    t->order[reached++] = root;
    for (int64_t next = 0; next < reached; next++) {
        const int64_t v = t->order[next];
        for (int64_t i = g->first[v]; i < g->first[v + 1]; i++) {
            const int64_t w = g->neighbour[i];
            if (t->parent[w] != UNSEEN) continue;
            t->parent[w] = v;
            t->length[w] = whet_i_edge_length(g, i);
            t->hops[w] = t->hops[v] + 1;
            t->order[reached++] = w;
        }
    }
    return reached;
}

static whet_status not_connected(whet_ctx *ctx, const whet_space *space, int64_t root) {
    char one[WHET_QUOTE_SIZE], two[WHET_QUOTE_SIZE];
    int64_t lost = 0;
    while (space->tree.parent[lost] != -2) lost++;
    return whet_i_fail(ctx, WHET_ERR_DATA, "nodes %s and %s are not connected; expected one tree",
                       whet_i_quote(one, whet_names_get(space->names, root)),
                       whet_i_quote(two, whet_names_get(space->names, lost)));
}

/* The first edge that the walk had no use for: the same again, or one that closes a cycle. */
static whet_status name_cycle(whet_ctx *ctx, const whet_space *space, int64_t m,
                              const int64_t *from, const int64_t *to) {
    char one[WHET_QUOTE_SIZE], two[WHET_QUOTE_SIZE];
    const int64_t *parent = space->tree.parent;
    bool *used, again = false;
    int64_t e = 0;
    WHET_TRY(whet_i_calloc(ctx, space->n, &used));
    for (;; e++) {
        const bool down = parent[to[e]] == from[e], up = parent[from[e]] == to[e];
        const int64_t child = down ? to[e] : from[e];
        again = (down || up) && used[child];
        if (again || !(down || up) || e == m - 1) break;
        used[child] = true;
    }
    whet_i_free(ctx, used);
    whet_i_quote(one, whet_names_get(space->names, from[e]));
    whet_i_quote(two, whet_names_get(space->names, to[e]));
    return whet_i_fail(ctx, WHET_ERR_DATA, "the edge of %s and %s %s; expected a tree; %s", one,
                       two, again ? "is given twice" : "closes a cycle",
                       again ? "try each edge once" : "try graph:FILE");
}

/* Fills space->tree from m checked edges. */
static whet_status grow(whet_ctx *ctx, whet_space *space, int64_t m, const int64_t *from,
                        const int64_t *to, const double *length, int64_t root, bool rooted) {
    whet_status status = WHET_OK;
    space_graph g = {0};
    WHET_TRY_DONE(tree_alloc(ctx, space->n, &space->tree));
    WHET_TRY_DONE(whet_i_neighbours(ctx, space->n, m, from, to, length, &g));
    space->tree.rooted = rooted;
    if (orient(&g, space->n, root, &space->tree) != space->n) {
        status = not_connected(ctx, space, root);
    } else if (m != space->n - 1) {
        status = name_cycle(ctx, space, m, from, to);
    }
done:
    whet_i_neighbours_free(ctx, &g);
    return status;
}

/* ---- from a parent array --------------------------------------------------------------------- */

static whet_status find_root(whet_ctx *ctx, const whet_space *space, const int64_t *parent,
                             int64_t *out) {
    char one[WHET_QUOTE_SIZE], two[WHET_QUOTE_SIZE];
    int64_t root = -1;
    for (int64_t v = 0; v < space->n; v++) {
        if (parent[v] < -1 || parent[v] >= space->n)
            return whet_i_fail(ctx, WHET_ERR_DATA, "parent[%lld] is %lld; expected -1..%lld",
                               (long long)v, (long long)parent[v], (long long)space->n - 1);
        if (parent[v] >= 0) continue;
        if (root >= 0)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "nodes %s and %s are not connected: both are roots; expected one",
                               whet_i_quote(one, whet_names_get(space->names, root)),
                               whet_i_quote(two, whet_names_get(space->names, v)));
        root = v;
    }
    if (root < 0)
        return whet_i_fail(ctx, WHET_ERR_DATA, "no node is the root; expected one parent of -1");
    *out = root;
    return WHET_OK;
}

whet_status whet_i_space_from_tree(whet_ctx *ctx, const whet_names *names, int64_t n,
                                   const int64_t *parent, const double *length, bool rooted,
                                   whet_space **out) {
    whet_status status = WHET_OK;
    whet_space *space = NULL;
    int64_t *from = NULL, *to = NULL, root, m = 0;
    double *edge_length = NULL;
    WHET_TRY(whet_i_space_begin(ctx, SPACE_TREE, n, names, &space));
    WHET_TRY_DONE(find_root(ctx, space, parent, &root));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &from));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &to));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &edge_length));
    for (int64_t v = 0; v < n; v++) {
        if (v == root) continue;
        from[m] = parent[v];
        to[m] = v;
        edge_length[m] = length ? length[v] : 1;
        WHET_TRY_DONE(whet_i_check_length(ctx, edge_length[m++]));
    }
    WHET_TRY_DONE(grow(ctx, space, m, from, to, edge_length, root, rooted));
    *out = space;
    space = NULL;
done:
    whet_i_free(ctx, edge_length);
    whet_i_free(ctx, to);
    whet_i_free(ctx, from);
    whet_space_destroy(ctx, space);
    return status;
}

whet_status whet_i_space_path(whet_ctx *ctx, int64_t n, whet_space **out) {
    whet_status status = WHET_OK;
    int64_t *parent;
    if (n < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG, "path of %lld points; expected 1 or more",
                           (long long)n);
    WHET_TRY(whet_i_alloc(ctx, n, &parent));
    for (int64_t v = 0; v < n; v++) parent[v] = v - 1;
    status = whet_i_space_from_tree(ctx, NULL, n, parent, NULL, false, out);
    whet_i_free(ctx, parent);
    return status;
}

/* ---- from edges ------------------------------------------------------------------------------ */

/* The node that is no edge's child; each other node must be the child of one edge. */
static whet_status root_of_edges(whet_ctx *ctx, const whet_space *space, const int64_t *to,
                                 int64_t m, int64_t *out) {
    char quoted[WHET_QUOTE_SIZE];
    bool *child;
    WHET_TRY(whet_i_calloc(ctx, space->n, &child));
    whet_status status = WHET_OK;
    int64_t root = 0;
    for (int64_t e = 0; e < m && status == WHET_OK; e++) {
        if (child[to[e]])
            status = whet_i_fail(ctx, WHET_ERR_DATA, "node %s has two parents; expected one",
                                 whet_i_quote(quoted, whet_names_get(space->names, to[e])));
        child[to[e]] = true;
    }
    while (root < space->n && child[root]) root++;
    if (status == WHET_OK && root == space->n)
        status = whet_i_fail(ctx, WHET_ERR_DATA,
                             "every node has a parent, so there is a cycle; expected one root");
    whet_i_free(ctx, child);
    if (status == WHET_OK) *out = root;
    return status;
}

/* ---- forests --------------------------------------------------------------------------------- */

static int64_t find_root_of(int64_t *up, int64_t v) {
    while (up[v] != v) {
        up[v] = up[up[v]]; /* halve the way for the next one */
        v = up[v];
    }
    return v;
}

/* up [n]: a node that stands for each node's tree; root [n]: the first node of the tree it stands for. */
static int64_t name_trees(const whet_edges *e, int64_t n, int64_t *up, int64_t *root) {
    int64_t trees = 0;
    for (int64_t v = 0; v < n; v++) up[v] = v;
    for (int64_t i = 0; i < e->n_edges; i++)
        up[find_root_of(up, e->from[i])] = find_root_of(up, e->to[i]);
    for (int64_t v = 0; v < n; v++) root[v] = -1;
    for (int64_t v = 0; v < n; v++) {
        const int64_t tree = find_root_of(up, v);
        trees += root[tree] < 0;
        if (root[tree] < 0) root[tree] = v;
    }
    return trees;
}

/* In a rooted forest the root of a tree is its node that is no child. */
static whet_status take_roots(whet_ctx *ctx, const whet_edges *e, int64_t n, int64_t *up,
                              int64_t *root) {
    bool *child;
    if (!e->rooted) return WHET_OK;
    WHET_TRY(whet_i_calloc(ctx, n, &child));
    for (int64_t i = 0; i < e->n_edges; i++) child[e->to[i]] = true;
    for (int64_t v = n - 1; v >= 0; v--)
        if (!child[v]) root[find_root_of(up, v)] = v;
    whet_i_free(ctx, child);
    return WHET_OK;
}

whet_status whet_i_join_forest(whet_ctx *ctx, whet_edges *e, double length) {
    static const char JOINED[] = "(joined)";
    whet_status status = WHET_OK;
    const int64_t n = whet_names_count(e->names);
    int64_t *up = NULL, *root = NULL, joined;
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &up));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &root));
    const int64_t trees = name_trees(e, n, up, root);
    if (trees == 1) goto done;
    WHET_TRY_DONE(take_roots(ctx, e, n, up, root));
    if (whet_names_find(e->names, whet_str_from(JOINED)) >= 0) {
        status = whet_i_fail(ctx, WHET_ERR_DATA,
                             "a node is called %s, as the one that joins the trees", JOINED);
        goto done;
    }
    WHET_TRY_DONE(whet_names_add(ctx, e->names, whet_str_from(JOINED), &joined));
    WHET_TRY_DONE(whet_i_realloc(ctx, &e->from, e->n_edges + trees));
    WHET_TRY_DONE(whet_i_realloc(ctx, &e->to, e->n_edges + trees));
    WHET_TRY_DONE(whet_i_realloc(ctx, &e->length, e->n_edges + trees));
    for (int64_t v = 0; v < n; v++) {
        if (find_root_of(up, v) != v) continue;
        e->from[e->n_edges] = joined;
        e->to[e->n_edges] = root[v];
        e->length[e->n_edges++] = length;
    }
done:
    whet_i_free(ctx, root);
    whet_i_free(ctx, up);
    return status;
}

whet_status whet_i_space_from_edges(whet_ctx *ctx, const whet_edges *edges, whet_space **out) {
    whet_status status = WHET_OK;
    whet_space *space = NULL;
    int64_t *from = NULL, *to = NULL, root = 0;
    WHET_TRY(whet_i_edges_begin(ctx, SPACE_TREE, edges, &from, &to, &space));
    if (edges->rooted) WHET_TRY_DONE(root_of_edges(ctx, space, to, edges->n_edges, &root));
    WHET_TRY_DONE(grow(ctx, space, edges->n_edges, from, to, edges->length, root, edges->rooted));
    *out = space;
    space = NULL;
done:
    whet_i_free(ctx, to);
    whet_i_free(ctx, from);
    whet_space_destroy(ctx, space);
    return status;
}

/* ---- distance -------------------------------------------------------------------------------- */

double whet_i_tree_distance(const space_tree *t, int64_t a, int64_t b) {
    /* Only lengths on the path are added: no cancellation, unlike differences of depths. */
    double sum = 0;
    while (a != b) {
        int64_t *lower = t->hops[a] >= t->hops[b] ? &a : &b;
        sum += t->length[*lower];
        *lower = t->parent[*lower];
    }
    return sum;
}
