/* SPDX-License-Identifier: Apache-2.0
 * Depth-limited decision trees on a few rows: CART by the Gini index (Breiman et al. 1984); depth 1 is
 * a decision stump. Numbers are compared in the order of scikit-learn's builder, whose splits it
 * repeats: a split counts when its weighted impurity is strictly less than the best so far, inputs in
 * their order, thresholds rising.
 * Legend: n rows, o outputs. */
#include "label/label_i.h"
#include "label/rules_i.h"

typedef struct grower {
    const whet_i_few *few;
    int32_t depth;
    whet_i_tree_node *node;
    double *leaf;
    int64_t nodes;
    whet_i_sorted_value *sorted; /* [n] */
    int32_t *rows;               /* [n] rows of the open nodes, each node's together */
    int64_t *left, *right;       /* [outs] counts */
} grower;

typedef struct split {
    int32_t input; /* -1: none */
    double at_most, proxy;
} split;

int64_t whet_i_tree_room(int64_t n, int64_t outs) {
    return n * (int64_t)(sizeof(whet_i_sorted_value) + sizeof(int32_t)) +
           2 * outs * (int64_t)sizeof(int64_t) + 16;
}

/* From the sum of squared counts, an integer: exact however it was come by. */
static double gini(int64_t squares, double n) { return 1 - (double)squares / (n * n); }

/* Values closer than this are one: scikit-learn's FEATURE_THRESHOLD. */
#define LEAST_GAP 1e-7f

static void best_of_input(grower *g, const int32_t *rows, int64_t n, int32_t j, split *best) {
    const whet_i_few *few = g->few;
    for (int64_t i = 0; i < n; i++)
        g->sorted[i] = (whet_i_sorted_value){few->z[rows[i] * few->inputs + j], rows[i]};
    whet_i_sort_values(g->sorted, n);
    memset(g->left, 0, sizeof *g->left * (size_t)few->outs);
    memset(g->right, 0, sizeof *g->right * (size_t)few->outs);
    int64_t left = 0, right = 0; /* sums of squares */
    for (int64_t i = 0; i < n; i++) right += 2 * g->right[few->y[rows[i]]]++ + 1;
    for (int64_t i = 1; i < n; i++) {
        const int32_t y = few->y[g->sorted[i - 1].of];
        const float low = g->sorted[i - 1].value, high = g->sorted[i].value;
        left += 2 * g->left[y]++ + 1;
        right -= 2 * g->right[y]-- - 1;
        if (!(high > low + LEAST_GAP)) continue;
        const double ahead = (double)i, behind = (double)(n - i);
        const double proxy = -behind * gini(right, behind) - ahead * gini(left, ahead);
        if (!(proxy > best->proxy)) continue;
        *best = (split){j, (double)low / 2 + (double)high / 2, proxy};
        if (best->at_most == (double)high) best->at_most = (double)low;
    }
}

/* The rows that answer yes to the front; how many. */
static int64_t part(const whet_i_few *few, int32_t *rows, int64_t n, const split *s) {
    int64_t yes = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!((double)few->z[rows[i] * few->inputs + s->input] <= s->at_most)) continue;
        const int32_t row = rows[i];
        rows[i] = rows[yes];
        rows[yes++] = row;
    }
    return yes;
}

static int32_t grow(grower *g, int32_t *rows, int64_t n, int32_t depth) {
    const whet_i_few *few = g->few;
    const int32_t at = (int32_t)g->nodes++;
    double *leaf = g->leaf + at * few->outs;
    bool pure = false;
    for (int64_t o = 0; o < few->outs; o++) leaf[o] = 0;
    for (int64_t i = 0; i < n; i++) leaf[few->y[rows[i]]] += 1;
    for (int64_t o = 0; o < few->outs; o++) {
        pure = pure || leaf[o] == (double)n;
        leaf[o] /= (double)n;
    }
    split best = {-1, 0, -1e300};
    g->node[at] = (whet_i_tree_node){-1, -1, -1, 0};
    if (pure || depth == g->depth) return at;
    for (int32_t j = 0; j < few->inputs; j++) best_of_input(g, rows, n, j, &best);
    if (best.input < 0) return at;
    const int64_t yes = part(few, rows, n, &best);
    g->node[at].input = best.input;
    g->node[at].at_most = best.at_most;
    g->node[at].yes = grow(g, rows, yes, depth + 1);
    g->node[at].no = grow(g, rows + yes, n - yes, depth + 1);
    return at;
}

int64_t whet_i_tree_fit(const whet_i_few *few, int32_t depth, whet_i_tree_node *node, double *leaf,
                        void *room) {
    grower g = {.few = few, .depth = depth, .node = node, .leaf = leaf};
    g.left = room;
    g.right = g.left + few->outs;
    g.sorted = (whet_i_sorted_value *)(void *)(g.right + few->outs);
    g.rows = (int32_t *)(void *)(g.sorted + few->n);
    for (int64_t i = 0; i < few->n; i++) g.rows[i] = (int32_t)i;
    (void)grow(&g, g.rows, few->n, 0);
    return g.nodes;
}
