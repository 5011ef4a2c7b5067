/* SPDX-License-Identifier: Apache-2.0
 * Heavy paths of a tree, children by length, depths with what their rounding left. */
#include "space/tree_index.h"

#include <stdlib.h>

void whet_i_tree_index_destroy(whet_ctx *ctx, tree_index *t) {
    if (!t) return;
    whet_i_free(ctx, t->parent);
    whet_i_free(ctx, t->head);
    whet_i_free(ctx, t->position);
    whet_i_free(ctx, t->at);
    whet_i_free(ctx, t->size);
    whet_i_free(ctx, t->first_child);
    whet_i_free(ctx, t->child);
    whet_i_free(ctx, t->depth);
    whet_i_free(ctx, t->rest);
    whet_i_free(ctx, t);
}

static whet_status index_alloc(whet_ctx *ctx, int64_t n, tree_index *t) {
    t->n = n;
    WHET_TRY(whet_i_alloc(ctx, n, &t->parent));
    WHET_TRY(whet_i_alloc(ctx, n, &t->head));
    WHET_TRY(whet_i_alloc(ctx, n, &t->position));
    WHET_TRY(whet_i_alloc(ctx, n, &t->at));
    WHET_TRY(whet_i_alloc(ctx, n, &t->size));
    WHET_TRY(whet_i_calloc(ctx, n + 1, &t->first_child));
    WHET_TRY(whet_i_alloc(ctx, n, &t->child));
    WHET_TRY(whet_i_alloc(ctx, n, &t->depth));
    return whet_i_alloc(ctx, n, &t->rest);
}

/* Depths as a sum of two: the rounding error of an addition is itself a number (Knuth's two-sum). */
static void find_depths(const space_tree *tree, tree_index *t) {
    for (int64_t i = 0; i < t->n; i++) {
        const int64_t v = tree->order[i], up = tree->parent[v];
        t->parent[v] = (int32_t)up;
        t->depth[v] = up < 0 ? 0 : t->depth[up];
        t->rest[v] = 0;
        if (up < 0) continue;
        const double a = t->depth[up], b = tree->length[v], sum = a + b, part = sum - a;
        const double lost = (a - (sum - part)) + (b - part) + t->rest[up];
        t->depth[v] = sum;
        t->rest[v] = lost;
    }
}

typedef struct sibling {
    double key;
    int32_t node;
} sibling;

static int by_key(const void *left, const void *right) {
    const sibling *a = left, *b = right;
    if (a->key < b->key || a->key > b->key) return a->key < b->key ? -1 : 1;
    return (a->node > b->node) - (a->node < b->node);
}

whet_status whet_i_tree_sort_children(whet_ctx *ctx, tree_index *t, const double *key) {
    int32_t most = 0;
    sibling *family;
    for (int64_t v = 0; v < t->n; v++)
        if (t->first_child[v + 1] - t->first_child[v] > most)
            most = t->first_child[v + 1] - t->first_child[v];
    WHET_TRY(whet_i_alloc(ctx, most, &family));
    for (int64_t v = 0; v < t->n; v++) {
        const int32_t from = t->first_child[v], count = t->first_child[v + 1] - from;
        bool sorted = true;
        for (int32_t i = 0; i < count; i++) {
            const int32_t c = t->child[from + i];
            family[i] = (sibling){key[c], c};
            sorted &= i == 0 || by_key(&family[i - 1], &family[i]) <= 0;
        }
        if (sorted) continue;
        qsort(family, (size_t)count, sizeof *family, by_key);
        for (int32_t i = 0; i < count; i++) t->child[from + i] = family[i].node;
    }
    whet_i_free(ctx, family);
    return WHET_OK;
}

static void list_children(tree_index *t) {
    int32_t *next = t->at; /* scratch until the nodes are numbered */
    for (int64_t v = 0; v < t->n; v++)
        if (t->parent[v] >= 0) t->first_child[t->parent[v] + 1]++;
    for (int64_t v = 0; v < t->n; v++) t->first_child[v + 1] += t->first_child[v];
    memcpy(next, t->first_child, (size_t)t->n * sizeof *next);
    for (int64_t v = 0; v < t->n; v++)
        if (t->parent[v] >= 0) t->child[next[t->parent[v]]++] = (int32_t)v;
}

/* Sizes of subtrees, the heavy child first, positions parents first. */
static void number_nodes(const space_tree *tree, tree_index *t) {
    int32_t *size = t->size;
    for (int64_t v = 0; v < t->n; v++) size[v] = 1;
    for (int64_t i = t->n - 1; i > 0; i--) {
        const int64_t v = tree->order[i];
        size[t->parent[v]] += size[v];
    }
    const int32_t root = (int32_t)tree->order[0];
    t->head[root] = root;
    t->position[root] = 0;
    for (int64_t i = 0; i < t->n; i++) {
        const int32_t v = (int32_t)tree->order[i];
        const int32_t from = t->first_child[v], to = t->first_child[v + 1];
        int32_t heavy = -1, next = t->position[v] + 1;
        for (int32_t c = from; c < to; c++)
            if (heavy < 0 || size[t->child[c]] > size[heavy]) heavy = t->child[c];
        if (heavy >= 0) {
            t->head[heavy] = t->head[v];
            t->position[heavy] = next;
            next += size[heavy];
        }
        for (int32_t c = from; c < to; c++) {
            const int32_t u = t->child[c];
            if (u == heavy) continue;
            t->head[u] = u;
            t->position[u] = next;
            next += size[u];
        }
    }
    for (int64_t v = 0; v < t->n; v++) t->at[t->position[v]] = (int32_t)v;
}

whet_status whet_i_tree_index_create(whet_ctx *ctx, const space_tree *tree, int64_t n,
                                     tree_index **out) {
    whet_status status = WHET_OK;
    tree_index *t = NULL;
    if (n >= INT32_MAX)
        return whet_i_fail(ctx, WHET_ERR_LIMIT, "a tree of %lld nodes; expected below 2^31",
                           (long long)n);
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &t));
    WHET_TRY_DONE(index_alloc(ctx, n, t));
    find_depths(tree, t);
    list_children(t);
    WHET_TRY_DONE(whet_i_tree_sort_children(ctx, t, tree->length));
    number_nodes(tree, t);
    *out = t;
    t = NULL;
done:
    whet_i_tree_index_destroy(ctx, t);
    return status;
}

int32_t whet_i_tree_lift(const tree_index *t, int32_t above, int32_t below, double far) {
    int32_t best = below;
    for (int32_t v = below;;) {
        const int32_t head = t->head[v];
        if (head != t->head[above] && whet_i_tree_descent(t, above, head) >= far) {
            best = head;
            v = t->parent[head];
            if (whet_i_tree_descent(t, above, v) < far) return best;
            continue;
        }
        /* On this path: positions between its top here and v, distances rising. */
        int32_t low = head == t->head[above] ? t->position[above] : t->position[head];
        int32_t high = t->position[v];
        if (whet_i_tree_descent(t, above, t->at[high]) < far) return best;
        while (low < high) {
            const int32_t middle = low + (high - low) / 2;
            if (whet_i_tree_descent(t, above, t->at[middle]) >= far)
                high = middle;
            else
                low = middle + 1;
        }
        return t->at[high];
    }
}
