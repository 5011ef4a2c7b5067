/* SPDX-License-Identifier: Apache-2.0
 * Sparse rows over a graph of unit lengths that is too large for a table: the classes of some rows, up to
 * HOP_SOURCES distinct ones, are searched from at once, and no farther than their rows need. Let c be the
 * most probable class of a row. G(y) = (F(y) / S)^(1/q), the norm in L^q(p) of the distances to y, is
 * 1-Lipschitz, so that G(y) >= d(c, y) - G(c): once the best and the next distinct cost of the ball of
 * radius R around c lie below S (R + 1 - G(c))^q, nothing outside matters, and d(j, y) <= R + d(c, j)
 * inside. R starts at 2 G(c) + 2, which is enough for c and its neighbours, and grows where it must not.
 * Memory O(N), whatever K. Legend: S mass, q power. */
#include <math.h>

#include "space/graph_rows.h"
#include "space/hop_search.h"
#include "space/near_ties.h"

enum { GROUP = 16 /* rows of a search at most */ };

typedef struct hop_balls {
    int32_t *candidate; /* [n] index of a point among the candidates, or -1; NULL: all are */
    int32_t width;      /* bytes of a number of hops */
} hop_balls;

typedef struct ball_row {
    sparse_row row;
    int64_t at;                  /* the row's number */
    uint8_t source[HOP_SOURCES]; /* of each entry with mass */
    int32_t entry[HOP_SOURCES], n;
    int32_t centre; /* c, a source */
    uint64_t sources;
    bool measured;  /* d(c, j) of all j, and with them what follows, is known */
    double norm;    /* G(c) */
    int64_t radius; /* R */
} ball_row;

typedef struct ball_scratch {
    hop_search search;
    void *hops; /* [n, HOP_SOURCES] */
    int64_t point[HOP_SOURCES], n_points;
    ball_row group[GROUP];
    int64_t n_group;
    double *cost;   /* [n] where rows of more than HOP_SOURCES classes come, else NULL */
    near_tie *near; /* [n_candidates] */
} ball_scratch;

static int64_t hops_at(const hop_balls *t, const ball_scratch *s, int64_t point, int32_t source) {
    const int64_t at = point * HOP_SOURCES + source;
    return t->width == 1   ? ((const uint8_t *)s->hops)[at]
           : t->width == 2 ? ((const uint16_t *)s->hops)[at]
                           : ((const uint32_t *)s->hops)[at];
}

/* ---- the search ------------------------------------------------------------------------------ */

/* Numbers of the points that the last search came to: zeros again. */
static void clear_hops(const hop_balls *t, ball_scratch *s) {
    const size_t bytes = (size_t)HOP_SOURCES * (size_t)t->width;
    if (s->search.everywhere) {
        memset(s->hops, 0, bytes * (size_t)s->search.n);
        return;
    }
    for (int64_t i = 0; i < s->search.n_touched; i++)
        memset((char *)s->hops + bytes * (size_t)s->search.touched[i], 0, bytes);
}

/* Once c's search has come to all other classes of the row. */
static void measure(const whet_frechet *f, const ball_scratch *s, ball_row *r) {
    double sum = 0;
    for (int32_t i = 0; i < r->n; i++)
        if (!(s->search.seen[s->point[r->source[i]]] >> r->centre & 1)) return;
    for (int32_t i = 0; i < r->n; i++) {
        const double d = (double)hops_at(f->state, s, s->point[r->source[i]], r->centre);
        sum += r->row.p[r->entry[i]] * r->row.scale * powered(d, f->power);
    }
    r->norm = rooted(sum / r->row.mass, f->power);
    r->radius = r->radius > (int64_t)(2 * r->norm) + 2 ? r->radius : (int64_t)(2 * r->norm) + 2;
    r->measured = true;
}

/* The sources that go on behind `level`. */
static uint64_t alive(const whet_frechet *f, ball_scratch *s, int64_t level) {
    uint64_t bits = 0;
    for (int64_t g = 0; g < s->n_group; g++) {
        ball_row *r = &s->group[g];
        if (!r->measured) measure(f, s, r);
        if (!r->measured) bits |= r->sources;
        for (int32_t i = 0; r->measured && i < r->n; i++) {
            const int64_t far = hops_at(f->state, s, s->point[r->source[i]], r->centre);
            if (level < r->radius + far) bits |= (uint64_t)1 << r->source[i];
        }
    }
    return bits;
}

static void search_group(const whet_frechet *f, ball_scratch *s) {
    const hop_balls *t = f->state;
    const hop_block block = {t->width, HOP_SOURCES, s->hops};
    uint64_t bits;
    clear_hops(t, s);
    whet_i_hops_begin(&s->search, s->point, s->n_points);
    for (int64_t level = 0; (bits = alive(f, s, level)) && whet_i_hops_step(&s->search, bits);)
        whet_i_hops_mark(&s->search, &block, ++level);
}

/* ---- a row ----------------------------------------------------------------------------------- */

static double cost_of(const whet_frechet *f, const ball_scratch *s, const ball_row *r,
                      int64_t point) {
    double sum = 0;
    for (int32_t i = 0; i < r->n; i++) {
        const double d = (double)hops_at(f->state, s, point, r->source[i]);
        sum += r->row.p[r->entry[i]] * r->row.scale * powered(d, f->power);
    }
    return sum;
}

/* false where the ball was too small: it is then larger. */
static bool judge(const whet_frechet *f, ball_scratch *s, ball_row *r, uint8_t *answer,
                  const frechet_result *out) {
    const hop_balls *t = f->state;
    const bool all = s->search.everywhere;
    tally best = {(double)INFINITY, (double)INFINITY, s->near, 0};
    int64_t inside = 0;
    for (int64_t i = 0; i < (all ? s->search.n : s->search.n_touched); i++) {
        const int64_t v = all ? i : s->search.touched[i];
        if (!(s->search.seen[v] >> r->centre & 1)) continue;
        if (hops_at(t, s, v, r->centre) > r->radius) continue;
        const int64_t candidate = t->candidate ? t->candidate[v] : v;
        inside++;
        if (candidate < 0) continue;
        const double cost = cost_of(f, s, r, v);
        if (!(cost > best.next)) take_cost(&best, cost, candidate);
    }
    if (inside < s->search.n) {
        const double norm = r->norm * (1 + 1e-12), least = (double)(r->radius + 1) - norm;
        if (!(best.next < r->row.mass * powered(least, f->power) * (1 - 1e-12))) {
            const double wanted = norm + rooted(best.next / r->row.mass, f->power) + 1;
            r->radius = wanted < (double)(2 * r->radius + 1) ? (int64_t)wanted : 2 * r->radius;
            r->radius++;
            return false;
        }
    }
    answer[r->at] = (uint8_t)tell_row(f, &best, r->row.mass, r->at, out);
    return true;
}

/* The rows of a group; those whose ball is too small again, by themselves. */
static void run_group(const whet_frechet *f, ball_scratch *s, uint8_t *answer,
                      const frechet_result *out) {
    uint64_t again = 0;
    search_group(f, s);
    for (int64_t g = 0; g < s->n_group; g++)
        if (!judge(f, s, &s->group[g], answer, out)) again |= (uint64_t)1 << g;
    for (int64_t g = 0; again; g++, again >>= 1) {
        if (!(again & 1)) continue;
        s->group[0] = s->group[g];
        s->n_group = 1;
        do {
            s->group[0].measured = false;
            search_group(f, s);
        } while (!judge(f, s, &s->group[0], answer, out));
    }
    s->n_group = s->n_points = 0;
}

/* More classes than a search has sources: some at a time, to the end, and all costs. */
static frechet_sparse_answer run_wide(const whet_frechet *f, ball_scratch *s, const sparse_row *row,
                                      int64_t at, const frechet_result *out) {
    const hop_balls *t = f->state;
    const hop_block block = {t->width, HOP_SOURCES, s->hops};
    tally best = {(double)INFINITY, (double)INFINITY, s->near, 0};
    memset(s->cost, 0, (size_t)s->search.n * sizeof *s->cost);
    for (int64_t e = 0; e < row->m;) {
        ball_row r = {.row = *row};
        for (; e < row->m && r.n < HOP_SOURCES; e++) {
            if (!(row->p[e] > 0)) continue;
            s->point[r.n] = f->observed[row->column[e]];
            r.source[r.n] = (uint8_t)r.n;
            r.entry[r.n++] = (int32_t)e;
        }
        clear_hops(t, s);
        whet_i_hops_run(&s->search, s->point, r.n, &block);
        for (int64_t v = 0; v < s->search.n; v++) s->cost[v] += cost_of(f, s, &r, v);
    }
    for (int64_t v = 0; v < s->search.n; v++) {
        const int64_t candidate = t->candidate ? t->candidate[v] : v;
        if (candidate >= 0 && !(s->cost[v] > best.next)) take_cost(&best, s->cost[v], candidate);
    }
    return tell_row(f, &best, row->mass, at, out);
}

/* ---- groups ---------------------------------------------------------------------------------- */

/* Adds a row to the group where there is room for its classes. */
static bool join(const whet_frechet *f, ball_scratch *s, const sparse_row *row, int64_t at) {
    if (s->n_group == GROUP) return false;
    ball_row *r = &s->group[s->n_group];
    const int64_t before = s->n_points;
    int32_t heaviest = 0;
    *r = (ball_row){.row = *row, .at = at};
    for (int64_t e = 0; e < row->m; e++) {
        if (!(row->p[e] > 0)) continue;
        const int64_t point = f->observed[row->column[e]];
        int64_t i = 0;
        while (i < s->n_points && s->point[i] != point) i++;
        if (i == HOP_SOURCES) {
            s->n_points = before;
            return false;
        }
        if (i == s->n_points) s->point[s->n_points++] = point;
        if (row->p[e] > row->p[r->n ? r->entry[heaviest] : e]) heaviest = r->n;
        r->sources |= (uint64_t)1 << i;
        r->source[r->n] = (uint8_t)i;
        r->entry[r->n++] = (int32_t)e;
    }
    r->centre = r->source[heaviest];
    s->n_group++;
    return true;
}

static void rows(const whet_frechet *f, void *scratch, const whet_sparse_rows *all, int64_t from,
                 int64_t n, uint8_t *answer, const frechet_result *out) {
    ball_scratch *s = scratch;
    for (int64_t i = from; i < from + n; i++) {
        const int64_t first = all->first[i], m = all->first[i + 1] - first;
        sparse_row row = {all->column + first, all->p + first, m, 1, 0};
        int64_t classes = 0;
        answer[i] = (uint8_t)weigh_row(&row);
        if (answer[i] != SPARSE_DONE) continue;
        for (int64_t e = 0; e < m; e++) classes += row.p[e] > 0;
        if (classes > HOP_SOURCES) {
            run_group(f, s, answer, out);
            answer[i] = (uint8_t)run_wide(f, s, &row, i, out);
        } else if (!join(f, s, &row, i)) {
            run_group(f, s, answer, out);
            (void)join(f, s, &row, i);
        }
    }
    run_group(f, s, answer, out);
}

/* ---- the plan -------------------------------------------------------------------------------- */

static void scratch_free(whet_ctx *ctx, void *scratch) {
    ball_scratch *s = scratch;
    if (!s) return;
    whet_i_hops_free(ctx, &s->search);
    whet_i_free(ctx, s->hops);
    whet_i_free(ctx, s->cost);
    whet_i_free(ctx, s->near);
    whet_i_free(ctx, s);
}

static whet_status scratch_create(whet_ctx *ctx, const whet_frechet *f, int64_t most,
                                  void **scratch) {
    const hop_balls *t = f->state;
    const int64_t n = f->space->n;
    whet_status status = WHET_OK;
    ball_scratch *s;
    uint8_t *hops = NULL;
    int64_t bytes;
    WHET_TRY(whet_i_mul(ctx, n, (int64_t)HOP_SOURCES * t->width, &bytes));
    WHET_TRY(whet_i_calloc(ctx, 1, &s));
    WHET_TRY_DONE(whet_i_hops_create(ctx, &f->space->graph, n, &s->search));
    WHET_TRY_DONE(whet_i_calloc(ctx, bytes, &hops));
    s->hops = hops;
    if (most > HOP_SOURCES) WHET_TRY_DONE(whet_i_alloc(ctx, n, &s->cost));
    WHET_TRY_DONE(whet_i_alloc(ctx, f->n_candidates, &s->near));
    *scratch = s;
    return WHET_OK;
done:
    scratch_free(ctx, s);
    return status;
}

static void plan_destroy(whet_ctx *ctx, void *state) {
    hop_balls *t = state;
    if (!t) return;
    whet_i_free(ctx, t->candidate);
    whet_i_free(ctx, t);
}

static whet_status make(whet_ctx *ctx, whet_frechet *f) {
    whet_status status = WHET_OK;
    hop_balls *t = NULL;
    int64_t longest;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &t));
    WHET_TRY_DONE(whet_i_graph_longest(ctx, f->space, f->observed, f->k, &longest));
    t->width = longest < UINT8_MAX ? 1 : longest < UINT16_MAX ? 2 : 4;
    WHET_TRY_DONE(whet_i_frechet_places(ctx, f, &t->candidate));
    f->state = t;
    t = NULL;
done:
    plan_destroy(ctx, t);
    return status;
}

static bool serves(const whet_frechet *f) {
    return f->sparse && f->top == 1 && f->space->kind == SPACE_GRAPH && !f->space->graph.length;
}

static const char *why(const whet_frechet *f) {
    (void)f;
    return "a table of distances would be over 512 MiB, and take longer or more than half of the "
           "memory: the "
           "classes of each row are searched from";
}

static whet_status sizes(whet_ctx *ctx, const whet_frechet *f, frechet_sizes *out) {
    const double n = (double)f->space->n, candidates = (double)f->n_candidates;
    double width;
    WHET_TRY(whet_i_graph_width(ctx, f, &width));
    out->held = f->n_candidates < f->space->n ? 4 * n : 0;
    out->making = out->held + 8 * n;
    out->thread = n * (36 + HOP_SOURCES * width) + 16 * candidates;
    return WHET_OK;
}

static const struct frechet_entries ENTRIES = {
    .create = scratch_create, .free = scratch_free, .rows = rows};

const frechet_method whet_i_method_hop_searches = {
    .name = "hop-searches",
    .title = "searches by entries",
    .cost = "O(m (N + edges)), less where classes are near",
    .needs = "a graph whose edges have length 1, rows that come entry by entry, and the best "
             "candidate alone (top 1)",
    .serves = serves,
    .pays = whet_i_graph_table_is_large,
    .why = why,
    .sizes = sizes,
    .make = make,
    .entries = &ENTRIES,
    .destroy = plan_destroy};
