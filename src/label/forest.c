/* SPDX-License-Identifier: Apache-2.0
 * Forests of randomised trees, a tree at a time: bagged trees of best splits (Breiman 2001) and extremely
 * randomised ones (Geurts, Ernst & Wehenkel 2006). On columns that mean something each, as tables have,
 * a hundred labels give them more than they give a hyperplane.
 * Legend: n rows, d columns, o outputs. */
#include <math.h>

#include "label/label_i.h"

enum { MOST_ROWS = 5000 };

typedef struct growing {
    const whet_i_forest_rows *given;
    whet_i_forest_kind kind;
    whet_i_rng *rng;
    whet_i_forest_tree *tree;
    whet_i_sorted_value *sorted; /* [size] of: the class */
    int32_t *rows;               /* [size] rows of the open nodes, each node's together */
    int32_t *column;             /* [d] in the order they were last drawn */
    int64_t *left, *right;       /* [outs] counts */
} growing;

typedef struct found {
    int32_t input; /* -1: none */
    float at_most;
    double
        purity; /* sum of squared counts over rows, of both sides: the Gini index but for constants */
} found;

int64_t whet_i_forest_tree_size(int64_t n) { return n < MOST_ROWS ? n : MOST_ROWS; }

int64_t whet_i_forest_room(int64_t n, int64_t d, int64_t outs) {
    const int64_t size = whet_i_forest_tree_size(n);
    return 2 * outs * (int64_t)sizeof(int64_t) +
           size * (int64_t)(sizeof(whet_i_sorted_value) + sizeof(int32_t)) +
           d * (int64_t)sizeof(int32_t);
}

/* A threshold from low on, below high, for any two floats in order. */
static float between(float low, float high, double share) {
    const float at = (float)((double)low + share * ((double)high - (double)low));
    return at < high && at >= low ? at : low;
}

/* The values of column j at the node's rows; whether they are not all the same. */
static bool take_column(growing *g, const int32_t *rows, int64_t n, int32_t j, float *low,
                        float *high) {
    const whet_i_forest_rows *r = g->given;
    *low = INFINITY;
    *high = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        const float value = r->x[rows[i] * r->d + j];
        g->sorted[i] = (whet_i_sorted_value){value, r->y[rows[i]]};
        if (value < *low) *low = value;
        if (value > *high) *high = value;
    }
    return *low < *high;
}

static void best_threshold(growing *g, int64_t n, int32_t j, found *best) {
    const size_t outs = (size_t)g->given->outs;
    int64_t left = 0, right = 0; /* sums of squared counts */
    whet_i_sort_values(g->sorted, n);
    memset(g->left, 0, sizeof *g->left * outs);
    memset(g->right, 0, sizeof *g->right * outs);
    for (int64_t i = 0; i < n; i++) right += 2 * g->right[g->sorted[i].of]++ + 1;
    for (int64_t i = 1; i < n; i++) {
        const int32_t y = g->sorted[i - 1].of;
        const float low = g->sorted[i - 1].value, high = g->sorted[i].value;
        left += 2 * g->left[y]++ + 1;
        right -= 2 * g->right[y]-- - 1;
        if (!(low < high)) continue;
        const double purity = (double)left / (double)i + (double)right / (double)(n - i);
        if (purity > best->purity) *best = (found){j, between(low, high, .5), purity};
    }
}

static void random_threshold(growing *g, int64_t n, int32_t j, float low, float high, found *best) {
    const int64_t outs = g->given->outs;
    const float at_most = between(low, high, whet_i_rng_uniform(g->rng));
    int64_t n_left = 0;
    double left = 0, right = 0;
    memset(g->left, 0, sizeof *g->left * (size_t)outs);
    memset(g->right, 0, sizeof *g->right * (size_t)outs);
    for (int64_t i = 0; i < n; i++) {
        const bool yes = g->sorted[i].value <= at_most;
        n_left += yes ? 1 : 0;
        (yes ? g->left : g->right)[g->sorted[i].of]++;
    }
    for (int64_t o = 0; o < outs; o++) {
        left += (double)g->left[o] * (double)g->left[o];
        right += (double)g->right[o] * (double)g->right[o];
    }
    const double purity = left / (double)n_left + right / (double)(n - n_left);
    if (purity > best->purity) *best = (found){j, at_most, purity};
}

/* Columns are drawn until sqrt(d) of them that vary were looked at, or all were. */
static found find_split(growing *g, const int32_t *rows, int64_t n) {
    const int64_t d = g->given->d, enough = (int64_t)ceil(sqrt((double)d));
    found best = {-1, 0, -1};
    int64_t looked = 0;
    for (int64_t i = 0; i < d && looked < enough; i++) {
        const int64_t at = i + whet_i_rng_below(g->rng, d - i);
        const int32_t j = g->column[at];
        float low, high;
        g->column[at] = g->column[i];
        g->column[i] = j;
        if (!take_column(g, rows, n, j, &low, &high)) continue;
        looked++;
        if (g->kind == WHET_I_FOREST_BAGGED)
            best_threshold(g, n, j, &best);
        else
            random_threshold(g, n, j, low, high, &best);
    }
    return best;
}

/* The rows that answer yes to the front; how many. */
static int64_t part(const whet_i_forest_rows *r, int32_t *rows, int64_t n, const found *split) {
    int64_t yes = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!(r->x[rows[i] * r->d + split->input] <= split->at_most)) continue;
        const int32_t row = rows[i];
        rows[i] = rows[yes];
        rows[yes++] = row;
    }
    return yes;
}

static bool is_pure(const whet_i_forest_rows *r, const int32_t *rows, int64_t n) {
    for (int64_t i = 1; i < n; i++)
        if (r->y[rows[i]] != r->y[rows[0]]) return false;
    return true;
}

static void make_leaf(growing *g, int64_t at, const int32_t *rows, int64_t n) {
    const whet_i_forest_rows *r = g->given;
    whet_i_forest_tree *t = g->tree;
    memset(g->left, 0, sizeof *g->left * (size_t)r->outs);
    for (int64_t i = 0; i < n; i++) g->left[r->y[rows[i]]]++;
    const int64_t first = t->shares;
    for (int64_t i = 0; i < n; i++) {
        const int32_t y = r->y[rows[i]];
        if (g->left[y] == 0) continue;
        t->out[t->shares] = y;
        t->share[t->shares++] = (float)((double)g->left[y] / (double)(n + 1));
        g->left[y] = 0;
    }
    t->input[at] = -(int32_t)(t->shares - first);
    t->next[at] = (int32_t)first;
    t->at_most[at] = 0;
}

/* As deep as there are rows at worst: 5,000. */
static void grow(growing *g, int32_t *rows, int64_t n) {
    whet_i_forest_tree *t = g->tree;
    const int64_t at = t->nodes++;
    const found split = is_pure(g->given, rows, n) ? (found){-1, 0, 0} : find_split(g, rows, n);
    if (split.input < 0) {
        make_leaf(g, at, rows, n);
        return;
    }
    const int64_t yes = part(g->given, rows, n, &split);
    grow(g, rows, yes);
    t->input[at] = split.input;
    t->next[at] = (int32_t)t->nodes;
    t->at_most[at] = split.at_most;
    grow(g, rows + yes, n - yes);
}

/* With replacement, or `size` of them without. */
static void draw_rows(growing *g, int64_t size) {
    const int64_t n = g->given->n;
    int64_t taken = 0;
    for (int64_t i = 0; i < n && g->kind == WHET_I_FOREST_EXTRA; i++)
        if (whet_i_rng_below(g->rng, n - i) < size - taken) g->rows[taken++] = (int32_t)i;
    for (; taken < size; taken++) g->rows[taken] = (int32_t)whet_i_rng_below(g->rng, n);
}

void whet_i_forest_grow(const whet_i_forest_rows *rows, whet_i_forest_kind kind, whet_i_rng *rng,
                        void *room, whet_i_forest_tree *tree) {
    const int64_t size = whet_i_forest_tree_size(rows->n);
    growing g = {.given = rows, .kind = kind, .rng = rng, .tree = tree, .left = room};
    g.right = g.left + rows->outs;
    g.sorted = (whet_i_sorted_value *)(void *)(g.right + rows->outs);
    g.rows = (int32_t *)(void *)(g.sorted + size);
    g.column = g.rows + size;
    for (int64_t j = 0; j < rows->d; j++) g.column[j] = (int32_t)j;
    tree->nodes = tree->shares = 0;
    draw_rows(&g, size);
    grow(&g, g.rows, size);
}

void whet_i_forest_add(const whet_i_forest_tree *tree, const float *x, double *p) {
    int64_t at = 0;
    while (tree->input[at] >= 0)
        at = x[tree->input[at]] <= tree->at_most[at] ? at + 1 : tree->next[at];
    const int64_t first = tree->next[at];
    for (int64_t i = first; i < first - tree->input[at]; i++)
        p[tree->out[i]] += (double)tree->share[i];
}
