/* SPDX-License-Identifier: Apache-2.0
 * Asynchronous successive halving (ASHA; Li et al. 2020, arXiv 1810.05934, algorithm 2): of the trials that
 * have been through a rung, the best floor(n / eta) may go on to the next, eta times as long; when none may,
 * a new trial begins. Nobody waits for a rung to fill, so any number of processes can take units.
 *
 * Behind it, when the budget lets nothing new begin, comes what the paper does not have: the best trial of
 * each kind, and the rival of the winner, go on to the whole length, so that kinds are compared at equal
 * effort; the rival is the winner's partner, which has its draws, even where a rung had dropped it. Then the
 * winner and its rival are run on replicates that chose nothing, and the winner is trained on all rows. Each
 * is left out where it would not end within the budget, but for one trial at whole length and the training.
 * What is next follows from the journal alone. */
#include <math.h>

#include "tune/search_i.h"

enum { KINDS = WHET_I_SEARCH_KINDS };

/* ---- what is known ---------------------------------------------------------------------------- */

static const whet_i_search_cell *cell_at(const whet_i_search_state *s, whet_i_search_unit u) {
    return &s->rows[u.trial].cell[u.level][u.replicate];
}

whet_i_search_mean whet_i_search_mean_of(const whet_i_search_state *s, int64_t trial, int32_t level,
                                         int32_t from, int32_t to) {
    whet_i_search_mean m = {.metric = NAN, .loss = NAN, .error = NAN};
    double sum = 0, loss = 0, squares = 0;
    for (int32_t r = from; r < to; r++) {
        const whet_i_search_cell *c = cell_at(s, (whet_i_search_unit){trial, level, r});
        m.begun |= c->state != WHET_I_CELL_EMPTY;
        m.failed |= c->state == WHET_I_CELL_FAILED;
        if (c->state != WHET_I_CELL_DONE) continue;
        m.n++;
        sum += c->metric;
        loss += c->loss;
    }
    m.whole = m.failed || m.n == to - from;
    if (m.n == 0) return m;
    m.metric = sum / (double)m.n;
    m.loss = loss / (double)m.n;
    for (int32_t r = from; r < to; r++) {
        const whet_i_search_cell *c = cell_at(s, (whet_i_search_unit){trial, level, r});
        const double off = c->metric - m.metric;
        if (c->state == WHET_I_CELL_DONE) squares += off * off;
    }
    if (m.n > 1) m.error = sqrt(squares / (double)(m.n - 1) / (double)m.n);
    if (m.whole && !isfinite(m.metric)) m.failed = true;
    return m;
}

static whet_i_search_mean choosing(const whet_i_search_rules *r, int64_t trial, int32_t level) {
    return whet_i_search_mean_of(r->state, trial, level, 0, r->state->head.replicates);
}

bool whet_i_search_better(const whet_i_search_rules *r, int32_t level, int64_t a, int64_t b) {
    const whet_i_search_mean x = choosing(r, a, level), y = choosing(r, b, level);
    const int64_t p = r->trials[a].parameters, q = r->trials[b].parameters;
    if (x.failed != y.failed) return y.failed;
    if (!x.failed && x.metric != y.metric) return (x.metric > y.metric) != r->lower;
    if (!x.failed && x.loss != y.loss && !isnan(x.loss) && !isnan(y.loss)) return x.loss < y.loss;
    return p != q ? p < q : a < b;
}

/* The highest level that a trial has been through whole, or -1. */
static int32_t reached(const whet_i_search_rules *r, int64_t trial) {
    int32_t level = r->state->head.rungs - 1;
    while (level >= 0 && !choosing(r, trial, level).whole) level--;
    return level;
}

static bool has_failed(const whet_i_search_rules *r, int64_t trial) {
    const int32_t level = reached(r, trial);
    return level >= 0 && choosing(r, trial, level).failed;
}

int32_t whet_i_search_passed(const whet_i_search_state *s, whet_i_search_unit u) {
    int32_t level = (u.level < s->head.rungs ? u.level : 0) - 1;
    if (u.replicate >= s->head.replicates) return -1;
    for (; level >= 0; level--) {
        u.level = level;
        if (cell_at(s, u)->state == WHET_I_CELL_DONE) return level;
    }
    return -1;
}

/* ---- what things take ------------------------------------------------------------------------- */

static double rate_of(const whet_i_search_rules *r, whet_tune_adapter kind) {
    const whet_i_search_state *s = r->state;
    double seconds = 0, steps = 0;
    for (int64_t t = 0; t < s->n_trials; t++) {
        if (r->trials[t].job.adapter != kind) continue;
        for (int32_t l = 0; l < s->head.rungs; l++)
            for (int32_t k = 0; k < 2 * s->head.replicates; k++) {
                const whet_i_search_cell *c = cell_at(s, (whet_i_search_unit){t, l, k});
                if (c->state != WHET_I_CELL_DONE) continue;
                seconds += fmax(0, c->seconds - s->head.overhead);
                steps += (double)c->steps;
            }
    }
    return steps > 0 ? seconds / steps : s->head.step_seconds;
}

double whet_i_search_expected(const whet_i_search_rules *r, whet_i_search_unit u) {
    const whet_i_search_head *h = &r->state->head;
    const whet_tune_adapter kind = r->trials[u.trial].job.adapter;
    if (u.level == h->rungs) return (double)h->final_steps * rate_of(r, kind) + 2 * h->overhead;
    /* Full tuning leaves no checkpoints. */
    const int32_t passed = kind == WHET_TUNE_FULL || u.trial >= r->state->n_trials
                               ? -1
                               : whet_i_search_passed(r->state, u);
    const int64_t steps = h->steps[u.level] - (passed < 0 ? 0 : h->steps[passed]);
    return (double)steps * rate_of(r, kind) + h->overhead;
}

/* Of all replicates of a trial at a level. */
static double group(const whet_i_search_rules *r, int64_t trial, int32_t level) {
    return r->state->head.replicates *
           whet_i_search_expected(r, (whet_i_search_unit){trial, level, 0});
}

/* Spent, and what others are at. */
static double spent(const whet_i_search_rules *r) {
    const whet_i_search_state *s = r->state;
    double sum = s->spent;
    for (int64_t t = 0; t < s->n_trials; t++)
        for (int32_t l = 0; l <= s->head.rungs; l++)
            for (int32_t k = 0; k < 2 * s->head.replicates; k++) {
                const whet_i_search_unit u = {t, l, k};
                if (cell_at(s, u)->state == WHET_I_CELL_CLAIMED &&
                    whet_i_search_alive(r->journal, cell_at(s, u)))
                    sum += whet_i_search_expected(r, u);
            }
    return sum;
}

static int64_t best_at(const whet_i_search_rules *r, int32_t level) {
    int64_t best = -1;
    for (int64_t t = 0; t < r->state->n_trials; t++) {
        const whet_i_search_mean m = choosing(r, t, level);
        if (m.whole && !m.failed && (best < 0 || whet_i_search_better(r, level, t, best))) best = t;
    }
    return best;
}

/* What is kept for the end: a trial at whole length and the training in any case; comparisons as far as they
 * leave half of the budget to the search. */
static double reserve(const whet_i_search_rules *r) {
    const whet_i_search_head *h = &r->state->head;
    const int32_t top = h->rungs - 1;
    const int64_t best = best_at(r, top), of = best < 0 ? 0 : best;
    const double whole = group(r, of, top);
    const double needed =
        whet_i_search_expected(r, (whet_i_search_unit){of, h->rungs, 0}) + (best < 0 ? whole : 0);
    /* Two finalists, the winner and its rival on new replicates. */
    return fmax(needed, fmin(needed + 4 * whole, 0.5 * r->seconds));
}

static bool affords(const whet_i_search_rules *r, double seconds, double kept) {
    return r->seconds <= 0 || spent(r) + seconds + kept <= r->seconds;
}

/* ---- what is next ----------------------------------------------------------------------------- */

static bool is_open(const whet_i_search_rules *r, whet_i_search_unit u) {
    const whet_i_search_cell *c = cell_at(r->state, u);
    return c->state == WHET_I_CELL_EMPTY ||
           (c->state == WHET_I_CELL_CLAIMED && !whet_i_search_alive(r->journal, c));
}

/* A replicate in [from, to) that nobody is at. */
static bool open_replicate(const whet_i_search_rules *r, int64_t trial, int32_t level, int32_t from,
                           int32_t to, whet_i_search_unit *unit) {
    if (whet_i_search_mean_of(r->state, trial, level, from, to).whole) return false;
    for (int32_t k = from; k < to; k++) {
        *unit = (whet_i_search_unit){trial, level, k};
        if (is_open(r, *unit)) return true;
    }
    return false;
}

/* What was begun is ended first. */
static bool begun_unit(const whet_i_search_rules *r, whet_i_search_unit *unit) {
    const int32_t k = r->state->head.replicates;
    for (int64_t t = 0; t < r->state->n_trials; t++)
        for (int32_t l = 0; l < r->state->head.rungs; l++)
            for (int32_t from = 0; from <= k; from += k)
                if (whet_i_search_mean_of(r->state, t, l, from, from + k).begun &&
                    open_replicate(r, t, l, from, from + k, unit))
                    return true;
    return false;
}

static bool somebody_works(const whet_i_search_rules *r) {
    const whet_i_search_state *s = r->state;
    for (int64_t t = 0; t < s->n_trials; t++)
        for (int32_t l = 0; l < s->head.rungs; l++)
            for (int32_t k = 0; k < 2 * s->head.replicates; k++) {
                const whet_i_search_cell *c = cell_at(s, (whet_i_search_unit){t, l, k});
                if (c->state == WHET_I_CELL_CLAIMED && whet_i_search_alive(r->journal, c))
                    return true;
            }
    return false;
}

/* Whether a trial is among the best floor(n / eta) of those that have been through a rung. */
static bool may_go_on(const whet_i_search_rules *r, int64_t trial, int32_t level) {
    int64_t n = 0, better = 0;
    for (int64_t t = 0; t < r->state->n_trials; t++) {
        if (!choosing(r, t, level).whole) continue;
        n++;
        better += t != trial && whet_i_search_better(r, level, t, trial);
    }
    return better < n / WHET_I_SEARCH_ETA;
}

static bool promoted_unit(const whet_i_search_rules *r, whet_i_search_unit *unit) {
    for (int32_t l = r->state->head.rungs - 2; l >= 0; l--) {
        int64_t best = -1;
        for (int64_t t = 0; t < r->state->n_trials; t++) {
            const whet_i_search_mean m = choosing(r, t, l);
            if (!m.whole || m.failed || reached(r, t) > l || choosing(r, t, l + 1).begun) continue;
            if (may_go_on(r, t, l) && (best < 0 || whet_i_search_better(r, l, t, best))) best = t;
        }
        if (best < 0 || !affords(r, group(r, best, l + 1), reserve(r))) continue;
        *unit = (whet_i_search_unit){best, l + 1, 0};
        return true;
    }
    return false;
}

static bool new_unit(const whet_i_search_rules *r, whet_i_search_unit *unit) {
    const int64_t n = r->state->n_trials;
    if (n == WHET_I_SEARCH_TRIALS || (r->most > 0 && n >= r->most)) return false;
    /* The first one is what the budget was checked for. */
    if (n > 0 && !affords(r, group(r, n, 0), reserve(r))) return false;
    *unit = (whet_i_search_unit){n, 0, 0};
    return true;
}

/* ---- the end ---------------------------------------------------------------------------------- */

int64_t whet_i_search_winner(const whet_i_search_rules *r) {
    return best_at(r, r->state->head.rungs - 1);
}

int64_t whet_i_search_partner(const whet_i_search_rules *r, int64_t trial) {
    const int64_t pair = trial < 0 ? -1 : r->trials[trial].pair;
    /* A trial that is next is known, too. */
    for (int64_t t = 0; pair >= 0 && t <= r->state->n_trials; t++)
        if (t != trial && r->trials[t].pair == pair) return t;
    return -1;
}

bool whet_i_search_are_pair(const whet_i_search_rules *r, int64_t a, int64_t b) {
    return a >= 0 && b >= 0 && whet_i_search_partner(r, a) == b;
}

static bool is_whole(const whet_i_search_rules *r, int64_t trial) {
    const whet_i_search_mean m = choosing(r, trial, r->state->head.rungs - 1);
    return m.whole && !m.failed;
}

static bool is_rival(const whet_i_search_rules *r, int64_t winner, int64_t trial) {
    const whet_i_search_trial *w = &r->trials[winner], *t = &r->trials[trial];
    const whet_tune_adapter kind =
        w->job.adapter == WHET_TUNE_LORA ? WHET_TUNE_MORE : WHET_TUNE_LORA;
    return t->job.adapter == kind && (double)t->parameters <= 1.01 * (double)w->parameters;
}

int64_t whet_i_search_rival(const whet_i_search_rules *r, int64_t winner) {
    const int32_t top = r->state->head.rungs - 1;
    const int64_t n = r->state->n_trials, partner = whet_i_search_partner(r, winner);
    int64_t best = -1;
    if (partner >= 0 && partner < n && is_whole(r, partner)) return partner;
    for (int64_t t = 0; winner >= 0 && t < n; t++) {
        if (!is_rival(r, winner, t) || !is_whole(r, t)) continue;
        if (best < 0 || whet_i_search_better(r, top, t, best)) best = t;
    }
    return best;
}

/* The one that has come furthest, of those the best: of a kind, or (kind KINDS) of the winner's rivals. */
static int64_t furthest(const whet_i_search_rules *r, int kind, int64_t winner) {
    int64_t best = -1;
    int32_t at = -1;
    for (int64_t t = 0; t < r->state->n_trials; t++) {
        const bool in = kind == KINDS ? is_rival(r, winner, t)
                                      : kind < 0 || (int)r->trials[t].job.adapter == kind;
        const int32_t level = reached(r, t);
        if (!in || level < 0 || has_failed(r, t)) continue;
        if (level < at || (level == at && !whet_i_search_better(r, level, t, best))) continue;
        best = t;
        at = level;
    }
    return best;
}

static double final_seconds(const whet_i_search_rules *r, int64_t winner) {
    return whet_i_search_expected(r, (whet_i_search_unit){winner, r->state->head.rungs, 0});
}

/* The winner's partner, where it may still come to the whole length. It may be a trial that nothing of has
 * begun, if that is the next. */
static int64_t open_partner(const whet_i_search_rules *r, int64_t winner) {
    const int64_t n = r->state->n_trials, partner = whet_i_search_partner(r, winner);
    if (partner == n && (n == WHET_I_SEARCH_TRIALS || (r->most > 0 && n >= r->most))) return -1;
    return partner < 0 || partner == n || !has_failed(r, partner) ? partner : -1;
}

/* One that goes on to the whole length without being among the best of its rung. */
static bool finalist_unit(const whet_i_search_rules *r, int64_t winner, whet_i_search_unit *unit) {
    const int32_t top = r->state->head.rungs - 1;
    if (winner < 0) {
        *unit = (whet_i_search_unit){furthest(r, -1, -1), top, 0};
        return unit->trial >= 0;
    }
    const int64_t partner = open_partner(r, winner);
    for (int kind = KINDS + 1; kind >= 0; kind--) {
        /* Another rival only where the partner is not there. */
        if (kind == KINDS && whet_i_search_are_pair(r, winner, whet_i_search_rival(r, winner)))
            continue;
        const int64_t t = kind > KINDS ? partner : furthest(r, kind, winner);
        if (t < 0 || (t < r->state->n_trials && reached(r, t) == top)) continue;
        if (!affords(r, group(r, t, top), final_seconds(r, winner))) continue;
        *unit = (whet_i_search_unit){t, top, 0};
        return true;
    }
    return false;
}

static bool comparing_unit(const whet_i_search_rules *r, int64_t winner, whet_i_search_unit *unit) {
    const int32_t top = r->state->head.rungs - 1, k = r->state->head.replicates;
    const int64_t rival = whet_i_search_rival(r, winner), both[] = {winner, rival};
    if (rival < 0) return false;
    const double seconds = k * (whet_i_search_expected(r, (whet_i_search_unit){winner, top, k}) +
                                whet_i_search_expected(r, (whet_i_search_unit){rival, top, k}));
    const bool begun = whet_i_search_mean_of(r->state, winner, top, k, 2 * k).begun;
    if (!begun && !affords(r, seconds, final_seconds(r, winner))) return false;
    return open_replicate(r, both[0], top, k, 2 * k, unit) ||
           open_replicate(r, both[1], top, k, 2 * k, unit);
}

whet_i_search_step whet_i_search_next(const whet_i_search_rules *r, whet_i_search_unit *unit) {
    if (begun_unit(r, unit) || promoted_unit(r, unit) || new_unit(r, unit))
        return WHET_I_SEARCH_WORK;
    if (somebody_works(r)) return WHET_I_SEARCH_WAIT;
    const int64_t winner = whet_i_search_winner(r);
    if (finalist_unit(r, winner, unit)) return WHET_I_SEARCH_WORK;
    if (winner < 0) return WHET_I_SEARCH_OVER;
    if (comparing_unit(r, winner, unit)) return WHET_I_SEARCH_WORK;
    *unit = (whet_i_search_unit){winner, r->state->head.rungs, 0};
    return is_open(r, *unit) ? WHET_I_SEARCH_TRAIN : WHET_I_SEARCH_OVER;
}
