/* SPDX-License-Identifier: Apache-2.0
 * Units that stay in blocks of neighbours, as channels under a group norm of several groups do: blocks move
 * whole, and units inside of them. For every pair of blocks the best order inside, then the assignment over
 * pairs of the largest sum: exact, for what is inside one pair has no say in another. Where several norms
 * read a stream, each has a run of its units, and blocks of one lie inside those of another: the longest
 * blocks are paired first, inside of each pair those of the next. Units outside a run stay outside. Blocks
 * that are made of other runs are no pair.
 * Legend: a level is a run; levels go from long blocks to short ones, runs of one block come last. */
#include <math.h>

#include "merge/align_i.h"
#include "tensor/tensor_i.h"

typedef struct matcher {
    whet_ctx *ctx;
    whet_i_run levels[WHET_I_RUNS_MAX + 1];
    int32_t n_levels;
    int64_t units;
    const double *gain; /* [units, units] */
    double none;        /* what a pair costs that is none: more than all gains make up for */
} matcher;

/* ---- levels -------------------------------------------------------------------------------------- */

static int64_t length_of(const whet_i_run *r) { return r->count / (r->blocks > 1 ? r->blocks : 1); }

/* What a run of one block asks of units, to stay inside or outside, no other run cuts. */
static int64_t rank_of(const whet_i_run *r) { return r->blocks > 1 ? length_of(r) : 0; }

static void add_level(matcher *m, whet_i_run run) {
    int32_t at = m->n_levels++;
    for (; at > 0 && rank_of(&m->levels[at - 1]) < rank_of(&run); at--)
        m->levels[at] = m->levels[at - 1];
    m->levels[at] = run;
}

static void take_levels(matcher *m, const whet_i_group *g) {
    m->units = g->units;
    if (g->blocks > 1) add_level(m, (whet_i_run){0, g->units, g->blocks});
    for (int32_t i = 0; i < g->n_runs && i < WHET_I_RUNS_MAX; i++) add_level(m, g->runs[i]);
}

/* The block of a unit, or -1. */
static int64_t block_of(const whet_i_run *r, int64_t unit) {
    return unit < r->first || unit >= r->first + r->count ? -1 : (unit - r->first) / length_of(r);
}

static bool fits(const whet_i_run *r, int64_t units) {
    return r->first >= 0 && r->count > 0 && r->first <= units - r->count &&
           (r->blocks < 2 || (r->blocks <= r->count && r->count % r->blocks == 0));
}

bool whet_i_runs_fit(const whet_i_group *group) {
    matcher m = {0};
    take_levels(&m, group);
    for (int32_t i = 0; i < m.n_levels; i++)
        if (!fits(&m.levels[i], m.units)) return false;
    for (int32_t i = 0; i < m.n_levels; i++)
        for (int32_t k = i + 1; k < m.n_levels; k++) {
            const whet_i_run *outer = &m.levels[i], *inner = &m.levels[k];
            for (int64_t u = inner->first; inner->blocks > 1 && u < inner->first + inner->count;
                 u++) {
                const int64_t begins = u - (u - inner->first) % length_of(inner);
                if (block_of(outer, u) != block_of(outer, begins)) return false;
            }
        }
    return true;
}

/* ---- matching ------------------------------------------------------------------------------------ */

static whet_status solve(const matcher *m, int32_t level, int64_t n, const int64_t *a,
                         const int64_t *b, int64_t *out, double *value);

/* Units that nothing holds together: one assignment. */
static whet_status solve_units(const matcher *m, int64_t n, const int64_t *a, const int64_t *b,
                               int64_t *out, double *value) {
    double *gain = NULL;
    int64_t cells;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_mul(m->ctx, n, n, &cells));
    WHET_TRY_DONE(whet_i_alloc(m->ctx, cells, &gain));
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) gain[i * n + j] = m->gain[a[i] * m->units + b[j]];
    WHET_TRY_DONE(whet_i_assign_gains(m->ctx, gain, n, out));
    *value = 0;
    for (int64_t i = 0; i < n; i++) {
        *value += gain[i * n + out[i]];
        out[i] = b[out[i]];
    }
done:
    whet_i_free(m->ctx, gain);
    return status;
}

/* Where the blocks of a level begin among units that are all inside: begins [.. + 1]; their number. */
static int64_t cut(const whet_i_run *r, int64_t n, const int64_t *units, int64_t *begins) {
    int64_t k = 0;
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || block_of(r, units[i]) != block_of(r, units[i - 1])) begins[k++] = i;
    begins[k] = n;
    return k;
}

/* Blocks with blocks: out and value of the k of each that begin there. */
static whet_status solve_blocks(const matcher *m, int32_t level, int64_t k, const int64_t *a,
                                const int64_t *begins_a, const int64_t *b, const int64_t *begins_b,
                                int64_t *out, double *value) {
    const int64_t n = begins_a[k];
    double *over = NULL;
    int64_t *orders = NULL, *chosen = NULL,
            cells; /* [k, n]: row i has orders of A's blocks with B's i */
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_mul(m->ctx, k, k, &cells));
    WHET_TRY_DONE(whet_i_alloc(m->ctx, cells, &over));
    WHET_TRY_DONE(whet_i_mul(m->ctx, k, n, &cells));
    WHET_TRY_DONE(whet_i_alloc(m->ctx, cells, &orders));
    WHET_TRY_DONE(whet_i_alloc(m->ctx, k, &chosen));
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < k; j++) {
            const int64_t length = begins_a[i + 1] - begins_a[i];
            over[i * k + j] = m->none;
            if (length == begins_b[j + 1] - begins_b[j])
                WHET_TRY_DONE(solve(m, level + 1, length, a + begins_a[i], b + begins_b[j],
                                    orders + j * n + begins_a[i], &over[i * k + j]));
        }
    WHET_TRY_DONE(whet_i_assign_gains(m->ctx, over, k, chosen));
    *value = 0;
    for (int64_t i = 0; i<k && * value> m->none; i++) {
        const int64_t at = begins_a[i], length = begins_a[i + 1] - at;
        const double pair = over[i * k + chosen[i]];
        *value = pair > m->none ? *value + pair : m->none;
        memcpy(out + at, orders + chosen[i] * n + at, (size_t)length * sizeof *out);
    }
done:
    whet_i_free(m->ctx, over);
    whet_i_free(m->ctx, orders);
    whet_i_free(m->ctx, chosen);
    return status;
}

/* Units of a run, all of them inside. */
static whet_status solve_inside(const matcher *m, int32_t level, int64_t n, const int64_t *a,
                                const int64_t *b, int64_t *out, double *value) {
    int64_t *begins = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(m->ctx, 2 * (n + 1), &begins));
    const int64_t k = cut(&m->levels[level], n, a, begins);
    if (cut(&m->levels[level], n, b, begins + n + 1) != k)
        *value = m->none;
    else if (k == 1)
        status = solve(m, level + 1, n, a, b, out, value);
    else
        status = solve_blocks(m, level, k, a, begins, b, begins + n + 1, out, value);
done:
    whet_i_free(m->ctx, begins);
    return status;
}

static int64_t count_before(const int64_t *units, int64_t n, int64_t limit) {
    int64_t i = 0;
    while (i < n && units[i] < limit) i++;
    return i;
}

/* Units outside a run: those before it and behind it, together. */
static whet_status solve_outside(const matcher *m, int32_t level, int64_t n, const int64_t *a,
                                 const int64_t cut_a[2], const int64_t *b, const int64_t cut_b[2],
                                 int64_t *out, double *value) {
    const int64_t inside = cut_a[1] - cut_a[0], outside = n - inside;
    int64_t *room = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(m->ctx, 3 * outside, &room));
    int64_t *rest_a = room, *rest_b = room + outside, *found = room + 2 * outside;
    for (int64_t i = 0; i < outside; i++) {
        rest_a[i] = a[i < cut_a[0] ? i : i + inside];
        rest_b[i] = b[i < cut_b[0] ? i : i + inside];
    }
    WHET_TRY_DONE(solve(m, level + 1, outside, rest_a, rest_b, found, value));
    for (int64_t i = 0; i < outside; i++) out[i < cut_a[0] ? i : i + inside] = found[i];
done:
    whet_i_free(m->ctx, room);
    return status;
}

/* The best order of units a [n] of A by those b [n] of B, both ascending: out [n] of B; value m->none when
 * none keeps the runs. */
static whet_status solve(const matcher *m, int32_t level, int64_t n, const int64_t *a,
                         const int64_t *b, int64_t *out, double *value) {
    double inside = 0, outside = 0;
    if (level == m->n_levels) return solve_units(m, n, a, b, out, value);
    const whet_i_run *r = &m->levels[level];
    const int64_t end = r->first + r->count;
    const int64_t cut_a[2] = {count_before(a, n, r->first), count_before(a, n, end)};
    const int64_t cut_b[2] = {count_before(b, n, r->first), count_before(b, n, end)};
    const int64_t count = cut_a[1] - cut_a[0];
    *value = m->none;
    if (count != cut_b[1] - cut_b[0]) return WHET_OK;
    if (count > 0)
        WHET_TRY(
            solve_inside(m, level, count, a + cut_a[0], b + cut_b[0], out + cut_a[0], &inside));
    if (count < n) WHET_TRY(solve_outside(m, level, n, a, cut_a, b, cut_b, out, &outside));
    if (inside > m->none && outside > m->none) *value = inside + outside;
    return WHET_OK;
}

whet_status whet_i_match_units(whet_ctx *ctx, const whet_i_group *group, const double *gain,
                               int64_t *order) {
    matcher m = {.ctx = ctx, .gain = gain};
    const int64_t n = group->units;
    int64_t *units = NULL;
    double sum = 0, value;
    whet_status status = WHET_OK;
    take_levels(&m, group);
    for (int64_t i = 0; i < n * n; i++) sum += fabs(gain[i]);
    m.none = -(1 + 3 * sum);
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &units));
    for (int64_t i = 0; i < n; i++) units[i] = i;
    status = solve(&m, 0, n, units, units, order, &value);
done:
    whet_i_free(ctx, units);
    return status;
}
