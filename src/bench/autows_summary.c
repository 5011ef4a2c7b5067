/* SPDX-License-Identifier: Apache-2.0
 * What the cells come to: means over seeds with intervals, the best of each family on each set, what
 * cross-fitting would have chosen, mean ranks and performance profiles.
 * Legend: a problem is a (set, feature map) pair. */
#include <math.h>

#include "bench/autows_i.h"

#include "whet/label.h"

/* A share of one seed: of its rows, by Wilson. */
static whet_i_mean share_of(const whet_i_sums *s, double rows) {
    whet_i_mean m = whet_i_mean_of(s);
    if (m.n == 1 && rows >= 1)
        whet_wilson((int64_t)llround(m.mean * rows), (int64_t)llround(rows), &m.low, &m.high);
    return m;
}

/* ---- groups: a set, a feature map, a method ------------------------------------------------ */

typedef struct tally {
    whet_i_sums covered_accuracy, coverage, accuracy, end_accuracy, log_loss, seconds, megabytes;
    int64_t failed, rules;
    double rows;
} tally;

static tally tally_cells(const whet_i_cells *cells, const whet_i_group *g) {
    tally t = {0};
    for (int64_t i = 0; i < cells->n; i++) {
        const whet_i_cell *c = &cells->item[i];
        if (c->set != g->set || c->feature != g->feature || c->method != g->method) continue;
        if (c->failed[0]) {
            t.failed++;
            continue;
        }
        whet_i_sums_add(&t.covered_accuracy, c->covered_accuracy);
        whet_i_sums_add(&t.coverage, c->coverage);
        whet_i_sums_add(&t.accuracy, c->accuracy);
        whet_i_sums_add(&t.end_accuracy, c->end_accuracy);
        whet_i_sums_add(&t.log_loss, c->log_loss);
        whet_i_sums_add(&t.seconds, c->seconds);
        whet_i_sums_add(&t.megabytes, c->megabytes);
        t.rules += c->rules;
        t.rows = (double)c->test;
    }
    return t;
}

static bool group_of(const whet_i_cells *cells, whet_i_group *g) {
    const tally t = tally_cells(cells, g);
    if (t.accuracy.n + t.failed == 0) return false;
    g->seeds = t.accuracy.n;
    g->failed = t.failed;
    g->rules = t.accuracy.n ? t.rules / t.accuracy.n : 0;
    const double covered = t.coverage.n ? t.coverage.sum / (double)t.coverage.n * t.rows : 0;
    g->covered_accuracy = share_of(&t.covered_accuracy, covered);
    g->coverage = share_of(&t.coverage, t.rows);
    g->accuracy = share_of(&t.accuracy, t.rows);
    g->end_accuracy = share_of(&t.end_accuracy, t.rows);
    g->log_loss = whet_i_mean_of(&t.log_loss);
    g->seconds = whet_i_mean_of(&t.seconds).mean;
    g->megabytes = whet_i_mean_of(&t.megabytes).mean;
    return true;
}

static whet_status make_groups(whet_ctx *ctx, const whet_i_cells *cells, whet_i_autows_summary *s) {
    const int64_t most = whet_i_set_count() * whet_i_feature_count() * whet_i_autows_method_count();
    WHET_TRY(whet_i_alloc(ctx, most, &s->group));
    for (int32_t set = 0; set < whet_i_set_count(); set++)
        for (int32_t f = 0; f < whet_i_feature_count(); f++)
            for (int32_t m = 0; m < whet_i_autows_method_count(); m++) {
                whet_i_group g = {.set = set, .feature = f, .method = m};
                if (group_of(cells, &g)) s->group[s->groups++] = g;
            }
    return WHET_OK;
}

enum { MOST_SEEDS = 100 };

/* ---- verdicts ------------------------------------------------ */

/* Of the groups of a set and family, the one with the best mean accuracy. */
static int64_t best_group(const whet_i_autows_summary *s, int32_t set,
                          whet_i_method_family family) {
    int64_t best = -1;
    for (int64_t i = 0; i < s->groups; i++) {
        const whet_i_group *g = &s->group[i];
        if (g->set != set || whet_i_autows_methods[g->method].family != family || g->seeds == 0)
            continue;
        if (best < 0 || g->accuracy.mean > s->group[best].accuracy.mean) best = i;
    }
    return best;
}

/* Of the choices that tune an encoder, or of the others, the fullest one that was run, on the feature
 * map with the least cross-fitted log loss; NULL = none. */
static const whet_i_cell *best_choice(const whet_i_cells *cells, int32_t set, int64_t seed,
                                      bool tuned) {
    const whet_i_cell *best = NULL;
    for (int64_t i = 0; i < cells->n; i++) {
        const whet_i_cell *c = &cells->item[i];
        const whet_i_autows_method *m = &whet_i_autows_methods[c->method];
        if (c->set != set || c->seed != seed || c->failed[0] || !isfinite(c->crossfit) ||
            m->family != WHET_I_METHOD_CHOICE || m->needs_texts != tuned)
            continue;
        if (!best || c->method > best->method ||
            (c->method == best->method && c->crossfit < best->crossfit))
            best = c;
    }
    return best;
}

/* The recommendation for a seed: the tuned encoder, where held-out labels say that it is better than
 * what the best feature map gives. */
static const whet_i_cell *recommended(const whet_i_cells *cells, int32_t set, int64_t seed) {
    const whet_i_cell *frozen = best_choice(cells, set, seed, false);
    const whet_i_cell *tuned = best_choice(cells, set, seed, true);
    if (!frozen || !tuned) return frozen ? frozen : tuned;
    return tuned->crossfit < frozen->crossfit ? tuned : frozen;
}

/* Of a set's groups of one method, the one with the best mean accuracy, or -1. */
static int64_t best_map(const whet_i_autows_summary *s, int32_t set, int32_t method) {
    int64_t best = -1;
    for (int64_t i = 0; i < s->groups; i++) {
        const whet_i_group *g = &s->group[i];
        if (g->set != set || g->method != method || g->seeds == 0) continue;
        if (best < 0 || g->accuracy.mean > s->group[best].accuracy.mean) best = i;
    }
    return best;
}

/* The baseline that has all sets that any has, with the best mean over them. */
static int32_t single_baseline(const whet_i_autows_summary *s) {
    int32_t best = -1;
    int64_t most = 0;
    double best_mean = 0;
    for (int32_t m = 0; m < whet_i_autows_method_count(); m++) {
        whet_i_sums all = {0};
        if (whet_i_autows_methods[m].family != WHET_I_METHOD_BASELINE) continue;
        for (int32_t set = 0; set < whet_i_set_count(); set++) {
            const int64_t at = best_map(s, set, m);
            if (at >= 0) whet_i_sums_add(&all, s->group[at].accuracy.mean);
        }
        const double mean = whet_i_mean_of(&all).mean;
        if (all.n < most || (all.n == most && !(mean > best_mean))) continue;
        best = m;
        most = all.n;
        best_mean = mean;
    }
    return best;
}

/* What the recommendation gains over a group, seed by seed. */
static whet_i_mean gain_over(const whet_i_cells *cells, int32_t set, const whet_i_group *g) {
    whet_i_sums gain = {0};
    for (int64_t seed = 0; seed < MOST_SEEDS; seed++) {
        const whet_i_cell key = {
            .set = set, .feature = g->feature, .method = g->method, .seed = seed};
        const whet_i_cell *own = recommended(cells, set, seed),
                          *other = whet_i_cells_find(cells, &key);
        if (own && other) whet_i_sums_add(&gain, own->accuracy - other->accuracy);
    }
    return whet_i_mean_of(&gain);
}

static whet_i_set_verdict verdict_of(const whet_i_cells *cells, const whet_i_autows_summary *s,
                                     int32_t set) {
    whet_i_set_verdict v = {.set = set,
                            .baseline = best_group(s, set, WHET_I_METHOD_BASELINE),
                            .weak = best_group(s, set, WHET_I_METHOD_WEAK),
                            .published = best_group(s, set, WHET_I_METHOD_PUBLISHED),
                            .single = s->single < 0 ? -1 : best_map(s, set, s->single)};
    whet_i_sums accuracy = {0};
    double rows = 0;
    for (int64_t seed = 0; seed < MOST_SEEDS; seed++) {
        const whet_i_cell *r = recommended(cells, set, seed);
        if (!r) continue;
        rows = (double)r->test;
        whet_i_sums_add(&accuracy, r->accuracy);
    }
    v.recommended = share_of(&accuracy, rows);
    if (v.baseline >= 0) v.gain = gain_over(cells, set, &s->group[v.baseline]);
    if (v.single >= 0) v.over_single = gain_over(cells, set, &s->group[v.single]);
    return v;
}

static whet_status make_verdicts(whet_ctx *ctx, const whet_i_cells *cells,
                                 whet_i_autows_summary *s) {
    whet_i_sums gain = {0}, over_single = {0};
    WHET_TRY(whet_i_alloc(ctx, whet_i_set_count(), &s->verdict));
    s->single = single_baseline(s);
    for (int32_t set = 0; set < whet_i_set_count(); set++) {
        const whet_i_set_verdict v = verdict_of(cells, s, set);
        if (v.baseline < 0 && v.weak < 0 && v.recommended.n == 0) continue;
        s->verdict[s->verdicts++] = v;
        if (v.gain.n) whet_i_sums_add(&gain, v.gain.mean);
        if (v.over_single.n) whet_i_sums_add(&over_single, v.over_single.mean);
        s->at_least += v.gain.n > 0 && v.gain.mean >= 0;
        s->at_least_single += v.over_single.n > 0 && v.over_single.mean >= 0;
    }
    s->gain = whet_i_mean_of(&gain);
    s->over_single = whet_i_mean_of(&over_single);
    return WHET_OK;
}

/* ---- standings ------------------------------------------------ */

double whet_i_profile_tau(int64_t point) {
    return 1 + 4 * (double)point / (WHET_I_PROFILE_POINTS - 1);
}

/* accuracy [methods] of one problem; false unless every ranked method has one. */
static bool problem_of(const whet_i_autows_summary *s, int32_t set, int32_t feature,
                       const bool *ranked, double *accuracy) {
    const int64_t n = whet_i_autows_method_count();
    for (int64_t m = 0; m < n; m++) accuracy[m] = NAN;
    for (int64_t i = 0; i < s->groups; i++)
        if (s->group[i].set == set && s->group[i].feature == feature && s->group[i].seeds > 0)
            accuracy[s->group[i].method] = s->group[i].accuracy.mean;
    bool any = false;
    for (int64_t m = 0; m < n; m++) {
        if (ranked[m] && !isfinite(accuracy[m])) return false;
        any = any || ranked[m];
    }
    return any;
}

static double error_of(double accuracy) { return fmax(1 - accuracy, 1e-4); }

static void add_problem(whet_i_autows_summary *s, const double *accuracy) {
    double least = INFINITY;
    for (int64_t i = 0; i < s->standings; i++)
        least = fmin(least, error_of(accuracy[s->standing[i].method]));
    for (int64_t i = 0; i < s->standings; i++) {
        whet_i_method_standing *me = &s->standing[i];
        const double own = accuracy[me->method];
        double rank = 1;
        for (int64_t j = 0; j < s->standings; j++) {
            const double other = accuracy[s->standing[j].method];
            /* ties share their ranks */
            if (j != i) rank += other > own ? 1 : other < own ? 0 : .5;
        }
        me->problems++;
        me->rank += rank;
        me->accuracy += own;
        for (int64_t p = 0; p < WHET_I_PROFILE_POINTS; p++)
            me->profile[p] += error_of(own) <= whet_i_profile_tau(p) * least * (1 + 1e-12) ? 1 : 0;
    }
}

/* What few feature maps allow would leave few problems to rank on. */
static bool is_ranked(int32_t method) {
    const whet_i_autows_method *m = &whet_i_autows_methods[method];
    return !m->needs_class_vectors && !m->needs_texts;
}

static whet_status make_standings(whet_ctx *ctx, whet_i_autows_summary *s) {
    const int64_t n = whet_i_autows_method_count();
    bool *ranked = NULL;
    double *accuracy = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &ranked));
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &accuracy));
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &s->standing));
    for (int64_t i = 0; i < s->groups; i++)
        ranked[s->group[i].method] = is_ranked(s->group[i].method);
    for (int32_t m = 0; m < n; m++)
        if (ranked[m]) s->standing[s->standings++].method = m;
    for (int32_t set = 0; set < whet_i_set_count(); set++)
        for (int32_t f = 0; f < whet_i_feature_count(); f++)
            if (problem_of(s, set, f, ranked, accuracy)) add_problem(s, accuracy);
    for (int64_t i = 0; i < s->standings; i++) {
        whet_i_method_standing *me = &s->standing[i];
        const double share = me->problems ? 1 / (double)me->problems : (double)NAN;
        me->rank *= share;
        me->accuracy *= share;
        for (int64_t p = 0; p < WHET_I_PROFILE_POINTS; p++) me->profile[p] *= share;
    }
done:
    whet_i_free(ctx, ranked);
    whet_i_free(ctx, accuracy);
    return status;
}

whet_status whet_i_autows_summarise(whet_ctx *ctx, const whet_i_cells *cells,
                                    whet_i_autows_summary *out) {
    whet_i_autows_summary s = {0};
    whet_status status = make_groups(ctx, cells, &s);
    if (status == WHET_OK) status = make_verdicts(ctx, cells, &s);
    if (status == WHET_OK) status = make_standings(ctx, &s);
    if (status == WHET_OK)
        *out = s;
    else
        whet_i_autows_summary_free(ctx, &s);
    return status;
}

void whet_i_autows_summary_free(whet_ctx *ctx, whet_i_autows_summary *summary) {
    whet_i_free(ctx, summary->group);
    whet_i_free(ctx, summary->verdict);
    whet_i_free(ctx, summary->standing);
    *summary = (whet_i_autows_summary){0};
}
