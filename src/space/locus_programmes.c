/* SPDX-License-Identifier: Apache-2.0
 * Loci of any set: y is reached alone exactly when the value of the game
 *     t(y) = max over p of min over u != y of F_p(u) - F_p(y),  F_p(u) = sum_j p_j d^2(u, j),
 * is over 0, and in a tie when it is 0. Sampled p find most of what is reached. What is left are
 * linear programmes, whose rows u are made as they are needed: at the p of the rows so far, the least
 * F_p(u) of all candidates (a Frechet mean, by whatever is fastest for the space) either proves
 * t(y) > 0, or is the next row. The prices q of the rows prove t(y) <= max_j sum_u q_u (d^2(u, j) -
 * d^2(y, j)). Both bounds are sums in f64 that do not trust the solver.
 * Unknowns are the shares of y's cost, p_j d^2(y, j), so that t(y) is relative to it: to a few roundings
 * exact, however small it is beside other costs.
 * Programmes go side by side, so that the means of a block are found together. What was a row lately is one
 * again as a rule: these few hundred are asked first, and all candidates when none of them is a row more. */
#include <float.h>
#include <math.h>

#include "space/frechet_i.h"
#include "space/locus_i.h"

enum {
    SAMPLES = 4096,
    SAMPLE_BLOCK = 256,
    BLOCK = 32,
    TOP = 4,
    MOST_ROUNDS = 500,
    POOL = 1024,
    POOL_VALUES = 1 << 16
};

/* What the solver is told of a row: so many times y's squared distance. */
#define MOST_TIMES 1e9

/* Candidates whose rows were added lately, by this programme or those before it: asked before all are. */
typedef struct row_pool {
    int64_t place[POOL], n, room, oldest;
    double *rows; /* [room, k] squared distances */
} row_pool;

/* The programme of one candidate. */
typedef struct programme {
    int64_t place; /* of y among the representatives */
    double *own;   /* [k] d^2(y, j) */
    double *unit;  /* [k] the same, or the largest of them in the place of 0 */
    double least;  /* of unit */
    game *game;
    double *p, *q;   /* [k], [room] */
    int64_t *rows;   /* [room] places of the rows u */
    int64_t n, room; /* rows */
    double value;    /* the least relative margin of its rows at p, or the border without any */
    double upper;    /* of t(y) relative to y's cost */
    bool by_rule;    /* the second question: predicted by the rule for ties? */
    bool done;
} programme;

static void programme_free(whet_ctx *ctx, programme *p) {
    whet_i_game_destroy(ctx, p->game);
    whet_i_free(ctx, p->own);
    whet_i_free(ctx, p->unit);
    whet_i_free(ctx, p->p);
    whet_i_free(ctx, p->q);
    whet_i_free(ctx, p->rows);
}

/* ---- sampling -------------------------------------------------------------------------------- */

/* One to four observed points, weights from even to one-sided. */
static void sample_row(whet_i_rng *rng, int64_t k, double *p) {
    const int64_t support = 1 + whet_i_rng_below(rng, k < 4 ? k : 4);
    memset(p, 0, sizeof *p * (size_t)k);
    for (int64_t i = 0; i < support; i++)
        p[whet_i_rng_below(rng, k)] += -log(1 - whet_i_rng_uniform(rng) * .999) + 1e-3;
}

/* A candidate that is best with a margin, and of which no other is as good, is reached alone. */
static whet_status sample(whet_ctx *ctx, const whet_frechet *f, locus_work *w,
                          const int64_t *place_of) {
    whet_status status = WHET_OK;
    double *p = NULL, *cost = NULL, *margin = NULL;
    int64_t *best = NULL;
    int32_t *ties = NULL;
    whet_i_rng rng;
    const int64_t top = whet_frechet_top(f);
    whet_i_rng_init(&rng, 0, 0);
    WHET_TRY_DONE(whet_i_alloc(ctx, SAMPLE_BLOCK * w->k, &p));
    WHET_TRY_DONE(whet_i_alloc(ctx, SAMPLE_BLOCK * top, &cost));
    WHET_TRY_DONE(whet_i_alloc(ctx, SAMPLE_BLOCK, &margin));
    WHET_TRY_DONE(whet_i_alloc(ctx, SAMPLE_BLOCK, &ties));
    WHET_TRY_DONE(whet_i_alloc(ctx, SAMPLE_BLOCK * top, &best));
    for (int64_t at = 0; at < SAMPLES; at += SAMPLE_BLOCK) {
        for (int64_t i = 0; i < SAMPLE_BLOCK; i++) sample_row(&rng, w->k, p + i * w->k);
        WHET_TRY_DONE(whet_frechet_run(ctx, f, p, SAMPLE_BLOCK, best, cost, ties, margin));
        for (int64_t i = 0; i < SAMPLE_BLOCK; i++)
            if (ties[i] == 1 && (margin[i] > 1e-6 * cost[i * top] || isinf(margin[i])))
                w->reach[place_of[best[i * top]]] = WHET_REACH_ALONE;
        WHET_TRY_DONE(whet_i_progress(ctx, "sampling the locus", at, SAMPLES));
    }
done:
    whet_i_free(ctx, best);
    whet_i_free(ctx, ties);
    whet_i_free(ctx, margin);
    whet_i_free(ctx, cost);
    whet_i_free(ctx, p);
    return status;
}

/* Squared distances of a representative: programmes ask for the same ones again and again. */
static void take_row(const locus_work *w, int64_t place, double *out) {
    double *row = w->rows ? w->rows + place * w->k : out;
    if (!w->rows || !w->known[place]) whet_i_locus_rows(w, &w->point[place], 1, row);
    if (!w->rows) return;
    w->known[place] = true;
    memcpy(out, row, sizeof *out * (size_t)w->k);
}

/* Without them where they would take more than 256 MiB. */
static whet_status make_rows(whet_ctx *ctx, locus_work *w) {
    enum { MOST_VALUES = 1 << 25 };
    if (w->k > MOST_VALUES / w->n) return WHET_OK;
    WHET_TRY(whet_i_calloc(ctx, w->n, &w->known));
    return whet_i_alloc(ctx, w->n * w->k, &w->rows);
}

/* ---- one programme --------------------------------------------------------------------------- */

/* The first p: y's nearest observed point i and the j that y comes nearest to lying between (the least
 * d(y, i) + d(y, j) - d(i, j), of which on trees all but twice the way to the gate is 0), with the weights
 * of which the mean lies there. Any p would do: what it shows is proved by its costs. */
static void first_p(const locus_work *w, programme *p, int64_t nearest) {
    const double to_i = sqrt(p->own[nearest]);
    double least = INFINITY, to_j = 0;
    int64_t best = -1;
    p->p[nearest] = 1;
    for (int64_t j = 0; j < w->k && !w->table; j++) {
        if (j == nearest) continue;
        const double far = sqrt(p->own[j]);
        const double around =
            to_i + far - whet_space_distance(w->space, w->observed[nearest], w->observed[j]);
        const double border = 1e-12 * (to_i + far);
        if (!(around < least - border || (around <= least + border && far < to_j))) continue;
        least = around;
        to_j = far;
        best = j;
    }
    const double apart = to_i + to_j - least;
    if (best < 0 || !(apart > 0)) return;
    p->p[best] = fmin(fmax((to_i - least / 2) / apart, 0), 1);
    p->p[nearest] = 1 - p->p[best];
}

static whet_status begin(whet_ctx *ctx, const locus_work *w, int64_t place, bool by_rule,
                         programme *p) {
    *p = (programme){.place = place, .by_rule = by_rule, .room = 16};
    p->upper = INFINITY;
    p->value = by_rule ? 3 * LOCUS_BORDER : LOCUS_BORDER;
    WHET_TRY(whet_i_alloc(ctx, w->k, &p->own));
    WHET_TRY(whet_i_alloc(ctx, w->k, &p->unit));
    WHET_TRY(whet_i_calloc(ctx, w->k, &p->p));
    WHET_TRY(whet_i_calloc(ctx, p->room, &p->q));
    WHET_TRY(whet_i_alloc(ctx, p->room, &p->rows));
    take_row(w, place, p->own);
    int64_t nearest = 0;
    double most = DBL_MIN;
    for (int64_t j = 0; j < w->k; j++) {
        most = fmax(most, p->own[j]);
        if (p->own[j] < p->own[nearest]) nearest = j;
    }
    p->least = most;
    for (int64_t j = 0; j < w->k; j++) {
        p->unit[j] = p->own[j] > 0 ? p->own[j] : most;
        p->least = fmin(p->least, p->unit[j]);
    }
    first_p(w, p, nearest);
    return whet_i_game_create(ctx, w->k, 4, &p->game);
}

static void add_to_pool(const locus_work *w, row_pool *pool, int64_t place, const double *row) {
    for (int64_t i = 0; i < pool->n; i++)
        if (pool->place[i] == place) return;
    const int64_t at = pool->n < pool->room ? pool->n++ : pool->oldest++ % pool->room;
    pool->place[at] = place;
    memcpy(pool->rows + at * w->k, row, sizeof *row * (size_t)w->k);
}

/* Adds the row of u, which by itself bounds t(y) too; difference [k]: scratch. */
static whet_status add_row(whet_ctx *ctx, const locus_work *w, row_pool *pool, programme *p,
                           int64_t place, double *difference) {
    const bool margin = !p->by_rule || place < p->place;
    double most = -INFINITY;
    for (int64_t i = 0; i < p->n; i++)
        if (p->rows[i] == place) return WHET_OK;
    if (p->n == p->room) {
        WHET_TRY(whet_i_realloc(ctx, &p->rows, 2 * p->room));
        WHET_TRY(whet_i_realloc(ctx, &p->q, 2 * p->room));
        p->room *= 2;
    }
    take_row(w, place, difference);
    add_to_pool(w, pool, place, difference);
    for (int64_t j = 0; j < w->k; j++) {
        const double more = (difference[j] - p->own[j]) / p->unit[j];
        most = fmax(most, more);
        difference[j] = fmax(-more, -MOST_TIMES);
    }
    if (margin) p->upper = fmin(p->upper, most);
    whet_i_game_add(p->game, difference, margin);
    p->rows[p->n++] = place;
    return WHET_OK;
}

static double cost_at(const programme *p, const double *row, int64_t k) {
    double cost = 0;
    for (int64_t j = 0; j < k; j++) cost += p->p[j] * row[j];
    return cost;
}

/* Of u's cost to y's. */
static double margin_of(double cost, double own) {
    return own > 0 ? cost / own - 1 : cost > 0 ? (double)INFINITY : 0;
}

/* max_j sum_u q_u (d^2(u, j) - d^2(y, j)) / unit_j over the rows with prices, which have the least margin. */
static void upper_bound(const locus_work *w, programme *p, double *row, double *sum) {
    const double own = cost_at(p, p->own, w->k);
    double total = 0, most = -INFINITY;
    memset(sum, 0, sizeof *sum * (size_t)w->k);
    p->value = INFINITY;
    for (int64_t i = 0; i < p->n; i++) {
        if (!(p->q[i] > 0)) continue;
        take_row(w, p->rows[i], row);
        if (!p->by_rule || p->rows[i] < p->place)
            p->value = fmin(p->value, margin_of(cost_at(p, row, w->k), own));
        for (int64_t j = 0; j < w->k; j++) sum[j] += p->q[i] * row[j];
        total += p->q[i];
    }
    if (total <= 0) return;
    for (int64_t j = 0; j < w->k; j++) most = fmax(most, (sum[j] / total - p->own[j]) / p->unit[j]);
    p->upper = fmin(p->upper, most);
}

/* What is over without another p: never reached; or never first, by more than the rule's own border. */
static void settle_by_upper(locus_work *w, programme *p) {
    if (!p->by_rule && p->upper < -LOCUS_BORDER) {
        w->reach[p->place] = WHET_REACH_NEVER;
        p->done = true;
    }
    p->done |= p->by_rule && p->upper <= FRECHET_TIE;
}

/* The next p of a programme, and what its prices prove. */
static whet_status step(whet_ctx *ctx, locus_work *w, programme *p, double *row, double *sum) {
    bool feasible;
    settle_by_upper(w, p);
    if (p->done) return WHET_OK;
    WHET_TRY(whet_i_game_solve(ctx, p->game, p->p, p->q, &feasible));
    p->done = !feasible; /* the second question alone, within the solver's tolerance */
    if (!feasible) return WHET_OK;
    for (int64_t j = 0; j < w->k; j++) p->p[j] *= p->least / p->unit[j];
    upper_bound(w, p, row, sum);
    settle_by_upper(w, p);
    return WHET_OK;
}

/* As far as the pool goes, without a mean over all candidates. In the second question what comes after y must
 * not cost less, and what comes before it more than what is had already. */
static whet_status ask_pool(whet_ctx *ctx, locus_work *w, row_pool *pool, programme *p, double *row,
                            double *sum) {
    while (!p->done) {
        const double own = cost_at(p, p->own, w->k);
        const int64_t before = p->n;
        double least = INFINITY;
        int64_t best = -1;
        for (int64_t i = 0; i < pool->n; i++) {
            const double margin = margin_of(cost_at(p, pool->rows + i * w->k, w->k), own);
            const double needed = p->by_rule && pool->place[i] > p->place ? 0 : p->value;
            if (pool->place[i] == p->place || !(margin - needed < least)) continue;
            least = margin - needed;
            best = pool->place[i];
        }
        if (!(least < -LOCUS_BORDER)) return WHET_OK;
        WHET_TRY(add_row(ctx, w, pool, p, best, row));
        if (p->n == before) return WHET_OK;
        WHET_TRY(step(ctx, w, p, row, sum));
    }
    return WHET_OK;
}

/* What the best candidates at p say about the first question. */
static whet_status judge(whet_ctx *ctx, locus_work *w, row_pool *pool, programme *p,
                         const int64_t *best, const double *cost, int64_t top,
                         const int64_t *place_of, double *difference) {
    whet_reach *reach = &w->reach[p->place];
    double own = 0, mass = 0, lower = INFINITY;
    for (int64_t j = 0; j < w->k; j++) {
        own += p->p[j] * p->own[j];
        mass += p->p[j];
    }
    own /= mass;
    for (int64_t i = 0; i < top; i++)
        if (place_of[best[i]] != p->place) lower = fmin(lower, margin_of(cost[i], own));
    p->done = true;
    if (lower > LOCUS_BORDER) {
        *reach = WHET_REACH_ALONE;
        return WHET_OK;
    }
    if (p->upper < -LOCUS_BORDER) {
        *reach = WHET_REACH_NEVER;
        return WHET_OK;
    }
    if (lower >= -LOCUS_BORDER && p->upper <= LOCUS_BORDER) {
        /* On the border: in a tie at this p. */
        *reach = place_of[best[0]] == p->place ? WHET_REACH_PREDICTED : WHET_REACH_TIED;
        return WHET_OK;
    }
    p->done = false;
    const int64_t before = p->n;
    for (int64_t i = 0; i < top; i++)
        if (place_of[best[i]] != p->place && (i < 2 || margin_of(cost[i], own) < LOCUS_BORDER))
            WHET_TRY(add_row(ctx, w, pool, p, place_of[best[i]], difference));
    p->done = p->n == before; /* nothing new: the bounds do not meet */
    return WHET_OK;
}

/* The second question, asked of what is on the border: is there a p where y is of least cost and what
 * comes before it is not? Rows after y go without a margin. */
static whet_status judge_rule(whet_ctx *ctx, locus_work *w, row_pool *pool, programme *p,
                              const int64_t *best, const int64_t *place_of, double *difference) {
    const int64_t first = place_of[best[0]], before = p->n;
    if (first == p->place) {
        w->reach[p->place] = WHET_REACH_PREDICTED;
        p->done = true;
        return WHET_OK;
    }
    WHET_TRY(add_row(ctx, w, pool, p, first, difference));
    p->done = p->n == before || p->upper <= LOCUS_BORDER;
    return WHET_OK;
}

/* ---- blocks of programmes -------------------------------------------------------------------- */

typedef struct block {
    programme p[BLOCK];
    int64_t n;
    double *probs, *cost, *row, *sum; /* [BLOCK, k], [BLOCK, top], [k], [k] */
    int64_t *best, *live;             /* [BLOCK, top], [BLOCK] */
} block;

static whet_status block_alloc(whet_ctx *ctx, int64_t k, int64_t top, block *b) {
    WHET_TRY(whet_i_alloc(ctx, BLOCK * k, &b->probs));
    WHET_TRY(whet_i_alloc(ctx, BLOCK * top, &b->cost));
    WHET_TRY(whet_i_alloc(ctx, k, &b->row));
    WHET_TRY(whet_i_alloc(ctx, k, &b->sum));
    WHET_TRY(whet_i_alloc(ctx, BLOCK * top, &b->best));
    return whet_i_alloc(ctx, BLOCK, &b->live);
}

static void block_free(whet_ctx *ctx, block *b) {
    for (int64_t i = 0; i < b->n; i++) programme_free(ctx, &b->p[i]);
    whet_i_free(ctx, b->probs);
    whet_i_free(ctx, b->cost);
    whet_i_free(ctx, b->row);
    whet_i_free(ctx, b->sum);
    whet_i_free(ctx, b->best);
    whet_i_free(ctx, b->live);
}

/* One round: means at the present p of every programme, then their next rows and p. */
static whet_status advance(whet_ctx *ctx, const whet_frechet *f, locus_work *w, row_pool *pool,
                           block *b, const int64_t *place_of, bool *any) {
    const int64_t top = whet_frechet_top(f);
    int64_t live = 0;
    for (int64_t i = 0; i < b->n; i++) {
        programme *p = &b->p[i];
        WHET_TRY(ask_pool(ctx, w, pool, p, b->row, b->sum));
        if (p->done) continue;
        memcpy(b->probs + live * w->k, p->p, sizeof *b->probs * (size_t)w->k);
        b->live[live++] = i;
    }
    *any = live > 0;
    if (live == 0) return WHET_OK;
    WHET_TRY(whet_frechet_run(ctx, f, b->probs, live, b->best, b->cost, NULL, NULL));
    for (int64_t l = 0; l < live; l++) {
        programme *p = &b->p[b->live[l]];
        const int64_t *best = b->best + l * top;
        WHET_TRY(p->by_rule
                     ? judge_rule(ctx, w, pool, p, best, place_of, b->row)
                     : judge(ctx, w, pool, p, best, b->cost + l * top, top, place_of, b->row));
        if (!p->done) WHET_TRY(step(ctx, w, p, b->row, b->sum));
    }
    return WHET_OK;
}

/* Programmes of the places that `wanted` reach has, block by block. */
static whet_status solve_all(whet_ctx *ctx, const whet_frechet *f, locus_work *w, row_pool *pool,
                             const int64_t *place_of, whet_reach wanted, bool by_rule) {
    whet_status status = WHET_OK;
    int64_t place = 0;
    while (place < w->n) {
        block b = {.n = 0};
        bool any = true;
        WHET_TRY_DONE(block_alloc(ctx, w->k, whet_frechet_top(f), &b));
        for (; place < w->n && b.n < BLOCK; place++)
            if (w->reach[place] == wanted)
                WHET_TRY_DONE(begin(ctx, w, place, by_rule, &b.p[b.n++]));
        w->programmes += b.n;
        for (int64_t round = 0; any && round < MOST_ROUNDS; round++)
            WHET_TRY_DONE(advance(ctx, f, w, pool, &b, place_of, &any));
        WHET_TRY_DONE(whet_i_progress(ctx, "solving for the locus", place, w->n));
    done:
        block_free(ctx, &b);
        if (status != WHET_OK) return status;
    }
    return WHET_OK;
}

whet_status whet_i_locus_programmes(whet_ctx *ctx, locus_work *w) {
    whet_status status = WHET_OK;
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    whet_frechet *f = NULL;
    int64_t *place_of = NULL;
    row_pool recent = {.room = POOL_VALUES / w->k};
    recent.room = recent.room > POOL ? POOL : recent.room < 16 ? 16 : recent.room;
    opts.candidates = WHET_CANDIDATES_LIST;
    opts.candidate_list = w->point;
    opts.n_candidates = w->n;
    opts.top = TOP;
    WHET_TRY_DONE(whet_i_alloc(ctx, w->space->n, &place_of));
    for (int64_t i = 0; i < w->n; i++) place_of[w->point[i]] = i;
    WHET_TRY_DONE(whet_frechet_create(ctx, w->space, w->observed, w->k, &opts, &f));
    WHET_TRY_DONE(sample(ctx, f, w, place_of));
    WHET_TRY_DONE(make_rows(ctx, w));
    WHET_TRY_DONE(whet_i_alloc(ctx, recent.room * w->k, &recent.rows));
    WHET_TRY_DONE(solve_all(ctx, f, w, &recent, place_of, WHET_REACH_UNDECIDED, false));
    WHET_TRY_DONE(solve_all(ctx, f, w, &recent, place_of, WHET_REACH_TIED, true));
done:
    whet_i_free(ctx, w->rows);
    whet_i_free(ctx, w->known);
    w->rows = NULL;
    w->known = NULL;
    whet_i_free(ctx, recent.rows);
    whet_frechet_destroy(ctx, f);
    whet_i_free(ctx, place_of);
    return status;
}
