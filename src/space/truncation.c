/* SPDX-License-Identifier: Apache-2.0
 * Top-k truncation with its certificate. F(y) = F_k(y) + R(y): the k largest probabilities, and what is left
 * out, of mass delta. (R(y) / delta)^(1/q), the norm in L^q of the distances to what is left out, is
 * 1-Lipschitz in y: with g its value at c, the most probable class, R(y) >= delta max(0, g - d(c, y))^q. F_k
 * and that bound are below F; the screen (screen.c) sums the candidates of least bounds whole, until no bound
 * of the others reaches the answer; where that does not come about the row goes through the product. A row is
 * tried when a 32nd of its entries, and TRUNCATED_MOST at most, leave out no more than three hundredths of
 * its mass. Legend: q power. */
#include "space/truncation.h"

#include "space/lanes_i.h"

#include <float.h>
#include <math.h>

static const double ENOUGH = .99,
                    WORTH = .9; /* of the mass: no more are taken; fewer are not tried */

truncation whet_i_truncation_at(double *scratch) {
    truncation t;
    t.share = (float *)scratch;
    t.observed = (int32_t *)(t.share + SCREEN_LANES * TRUNCATED_MOST);
    t.left_out = (float *)(t.observed + SCREEN_LANES * TRUNCATED_MOST);
    t.far = t.left_out + SCREEN_LANES;
    t.n = (int32_t *)(t.far + SCREEN_LANES);
    return t;
}

/* The largest of p [k], at most `most`, in descending order; how many. */
static int32_t find_largest(const double *p, int64_t k, int32_t most, int32_t *index) {
    int32_t n = 0;
    for (int64_t j = 0; j < k && most > 0; j++) {
        if (!(p[j] > 0) || (n == most && !(p[j] > p[index[n - 1]]))) continue;
        int32_t at = n < most ? n++ : n - 1;
        for (; at > 0 && p[index[at - 1]] < p[j]; at--) index[at] = index[at - 1];
        index[at] = (int32_t)j;
    }
    return n;
}

/* Whether `most` of p [k] may hold WORTH of the mass: by Cauchy and Schwarz their squares then sum to
 * WORTH^2 / most. Most rows that are not peaked are found out by that, in one pass without branches. */
static bool may_be_peaked(const double *p, int64_t k, double unit, int32_t most) {
    double sums[8] = {0}, square = 0;
    int64_t j = 0;
    for (; j + 8 <= k; j += 8)
        for (int64_t u = 0; u < 8; u++) sums[u] += p[j + u] * p[j + u];
    for (; j < k; j++) square += p[j] * p[j];
    for (int64_t u = 0; u < 8; u++) square += sums[u];
    return square * unit * unit * (double)most >= WORTH * WORTH * (1 - 1e-9);
}

/* g: of what is neither of the n kept entries; total: d(c, .)^q over the whole row. */
static double far_from(const whet_frechet *f, const graph_rows *graph, const double *p, double unit,
                       const int32_t *kept, int32_t n, double left_out) {
    const int64_t centre = f->observed[kept[0]];
    double total = 0, near = 0;
    for (int64_t j = 0; j < f->k; j++) {
        const double d = whet_i_graph_rows_at(graph, j, centre);
        total += p[j] * unit * (f->power == 2 ? d * d : d);
    }
    for (int32_t i = 0; i < n; i++) {
        const double d = whet_i_graph_rows_at(graph, kept[i], centre);
        near += p[kept[i]] * unit * (f->power == 2 ? d * d : d);
    }
    /* What subtracting may have lost goes to the safe side. */
    const double rest = total - near - 4 * DBL_EPSILON * (double)f->k * total;
    if (!(rest > 0)) return 0;
    return f->power == 2 ? sqrt(rest / left_out) : rest / left_out;
}

bool whet_i_truncate(const whet_frechet *f, const frechet_block *b, int64_t lane,
                     const graph_rows *graph, const truncation *t, int32_t column) {
    const double *p = b->probs + lane * f->k, unit = b->scale[lane] / b->mass[lane];
    int32_t *kept = t->observed + column * TRUNCATED_MOST, n = 0;
    float *share = t->share + column * TRUNCATED_MOST;
    const int32_t most = f->k / 32 < TRUNCATED_MOST ? (int32_t)(f->k / 32) : TRUNCATED_MOST;
    if (!may_be_peaked(p, f->k, unit, most)) return false;
    const int32_t found = find_largest(p, f->k, most, kept);
    double mass = 0;
    while (n < found && mass < ENOUGH) mass += p[kept[n++]] * unit;
    if (!(mass >= WORTH)) return false;
    const double left_out = 1 - mass - 4 * DBL_EPSILON * (double)f->k;
    for (int32_t i = 0; i < n; i++) share[i] = (float)(p[kept[i]] * unit);
    t->far[column] = t->left_out[column] = 0;
    if (graph && left_out > 0) {
        t->left_out[column] = (float)(left_out * (1 - 1e-6));
        t->far[column] = (float)(far_from(f, graph, p, unit, kept, n, 1 - mass) * (1 - 1e-6));
    }
    t->n[column] = n;
    return true;
}

void whet_i_truncated_costs(const whet_frechet *f, const truncation *t, const float *powers,
                            int32_t columns, int64_t n, float *out) {
    for (int32_t i = 0; i < columns; i++) {
        const int32_t *observed = t->observed + i * TRUNCATED_MOST;
        const float *to = powers + (int64_t)observed[0] * LANE_GROUP;
        float cost[LANE_GROUP];
        f->lane->gather(observed, t->share + i * TRUNCATED_MOST, t->n[i], powers, cost);
        for (int64_t c = 0; c < n; c++) {
            const float d = f->power == 2 ? sqrtf(to[c]) : to[c];
            const float beyond = fmaxf(t->far[i] - d * (1 + 1e-6F), 0);
            cost[c] += t->left_out[i] * (f->power == 2 ? beyond * beyond : beyond);
        }
        for (int64_t c = 0; c < n; c++) out[c * SCREEN_LANES + i] = cost[c];
    }
}
