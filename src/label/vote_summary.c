/* SPDX-License-Identifier: Apache-2.0
 * What rules do on their own: how often they vote, alone, together and against each other, and how
 * often they are right; and which rows a rule got wrong. The columns of snorkel's LFAnalysis.
 * Legend: n rows, m rules, k classes. */
#include <inttypes.h>
#include <math.h>

#include "label/vote_model.h"

enum { PARTS = 64, COLUMNS = 6 };

typedef struct summing {
    const whet_votes *votes;
    const int32_t *truth;
    int64_t *rules;  /* [PARTS, m, COLUMNS] votes, overlaps, conflicts, correct, incorrect, and
                      a sum of hashes of (row, vote), which wraps */
    int64_t *vote;   /* [PARTS, m, k] */
    int64_t *totals; /* [PARTS, 4] covered, overlap, conflict, labelled */
    int32_t *cells;  /* [threads, m] */
} summing;

static void sum_part(void *arg, int64_t part, int32_t worker) {
    const summing *s = arg;
    const int64_t m = s->votes->m;
    const int32_t k = (int32_t)s->votes->k;
    int64_t *rules = s->rules + part * m * COLUMNS, *vote = s->vote + part * m * k;
    int64_t *totals = s->totals + part * 4, first, last;
    int32_t *cell = s->cells + worker * m;
    whet_i_part(s->votes->n, PARTS, part, &first, &last);
    for (int64_t i = first; i < last; i++) {
        const int64_t count = whet_i_vote_cells(s->votes, i, cell);
        const int32_t truth = s->truth ? s->truth[i] : -1;
        bool differ = false;
        for (int64_t e = 1; e < count; e++) differ = differ || cell[e] % k != cell[0] % k;
        totals[0] += count > 0 ? 1 : 0;
        totals[1] += count > 1 ? 1 : 0;
        totals[2] += differ ? 1 : 0;
        totals[3] += truth >= 0 ? 1 : 0;
        for (int64_t e = 0; e < count; e++) {
            int64_t *rule = rules + cell[e] / k * COLUMNS;
            rule[0]++;
            rule[1] += count > 1 ? 1 : 0;
            rule[2] += differ ? 1 : 0; /* whoever votes then has someone against it */
            rule[3] += truth >= 0 && cell[e] % k == truth ? 1 : 0;
            rule[4] += truth >= 0 && cell[e] % k != truth ? 1 : 0;
            const uint64_t mark =
                whet_i_hash_u64((uint64_t)i * 0x9e3779b97f4a7c15U + (uint64_t)(cell[e] % k));
            rule[5] = (int64_t)((uint64_t)rule[5] + mark);
            vote[cell[e]]++;
        }
    }
}

static int64_t sum_of(const int64_t *parts, int64_t stride, int64_t at) {
    uint64_t sum = 0; /* hashes wrap; counts do not come near */
    for (int64_t p = 0; p < PARTS; p++) sum += (uint64_t)parts[p * stride + at];
    return (int64_t)sum;
}

static void publish(const summing *s, int64_t *marks, whet_rule_summary *rules,
                    int64_t *vote_counts, whet_votes_totals *totals) {
    const int64_t m = s->votes->m, k = s->votes->k, stride = m * COLUMNS;
    for (int64_t j = 0; j < m; j++) {
        whet_rule_summary *r = &rules[j];
        *r = (whet_rule_summary){.votes = sum_of(s->rules, stride, j * COLUMNS),
                                 .overlaps = sum_of(s->rules, stride, j * COLUMNS + 1),
                                 .conflicts = sum_of(s->rules, stride, j * COLUMNS + 2),
                                 .correct = sum_of(s->rules, stride, j * COLUMNS + 3),
                                 .incorrect = sum_of(s->rules, stride, j * COLUMNS + 4)};
        r->copy_of = -1;
        marks[j] = sum_of(s->rules, stride, j * COLUMNS + 5);
        for (int64_t i = 0; r->votes && r->copy_of < 0 && i < j; i++)
            if (marks[i] == marks[j] && rules[i].votes == r->votes) r->copy_of = i;
        const int64_t judged = r->correct + r->incorrect;
        r->accuracy = judged ? (double)r->correct / (double)judged : 0;
        whet_wilson(r->correct, judged, &r->accuracy_low, &r->accuracy_high);
    }
    for (int64_t c = 0; c < m * k; c++) vote_counts[c] = sum_of(s->vote, m * k, c);
    *totals = (whet_votes_totals){.rows = s->votes->n,
                                  .covered = sum_of(s->totals, 4, 0),
                                  .overlapping = sum_of(s->totals, 4, 1),
                                  .conflicting = sum_of(s->totals, 4, 2),
                                  .labelled = sum_of(s->totals, 4, 3)};
}

static whet_status check_truth(whet_ctx *ctx, const whet_votes *votes, const int32_t *truth) {
    WHET_TRY(whet_votes_check(ctx, votes));
    for (int64_t i = 0; truth && i < votes->n; i++)
        if (truth[i] < -1 || truth[i] >= votes->k)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "true class of row %" PRId64 " is %d; expected -1 to %" PRId64, i,
                               truth[i], votes->k - 1);
    return WHET_OK;
}

whet_status whet_votes_summary(whet_ctx *ctx, const whet_votes *votes, const int32_t *truth,
                               whet_rule_summary *rules, int64_t *vote_counts,
                               whet_votes_totals *totals) {
    summing s = {.votes = votes, .truth = truth};
    whet_status status = WHET_OK;
    int64_t room, *marks = NULL;
    WHET_TRY(check_truth(ctx, votes, truth));
    WHET_TRY_DONE(whet_i_mul(ctx, (int64_t)PARTS * COLUMNS, votes->m, &room));
    WHET_TRY_DONE(whet_i_calloc(ctx, room, &s.rules));
    WHET_TRY_DONE(whet_i_mul(ctx, PARTS, votes->m * votes->k, &room));
    WHET_TRY_DONE(whet_i_calloc(ctx, room, &s.vote));
    WHET_TRY_DONE(whet_i_calloc(ctx, (int64_t)PARTS * 4, &s.totals));
    WHET_TRY_DONE(whet_i_mul(ctx, whet_ctx_threads(ctx), votes->m, &room));
    WHET_TRY_DONE(whet_i_alloc(ctx, room, &s.cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, votes->m, &marks));
    WHET_TRY_DONE(whet_i_parallel_for(ctx, "summing votes", PARTS, sum_part, &s));
    publish(&s, marks, rules, vote_counts, totals);
done:
    whet_i_free(ctx, marks);
    whet_i_free(ctx, s.cells);
    whet_i_free(ctx, s.totals);
    whet_i_free(ctx, s.vote);
    whet_i_free(ctx, s.rules);
    return status;
}

/* ---- rows behind the numbers ------------------------------------------------------------------ */

/* Vote of a rule on a row, or -1. */
static int32_t vote_of(const whet_votes *votes, int64_t i, int64_t rule) {
    if (votes->narrow) return votes->narrow[i * votes->m + rule];
    if (votes->wide) return votes->wide[i * votes->m + rule];
    for (int64_t e = votes->start[i]; e < votes->start[i + 1]; e++)
        if (votes->rule[e] == rule) return votes->vote[e];
    return -1;
}

whet_status whet_votes_wrong_rows(whet_ctx *ctx, const whet_votes *votes, const int32_t *truth,
                                  int64_t rule, int64_t most, int64_t *rows, int64_t *count) {
    int64_t found = 0;
    WHET_TRY(check_truth(ctx, votes, truth));
    if (rule < 0 || rule >= votes->m || !truth || most < 0)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "rows that rule %" PRId64
                           " got wrong; expected a rule from 0 to %" PRId64
                           ", true classes, and room for the rows",
                           rule, votes->m - 1);
    for (int64_t i = 0; i < votes->n; i++) {
        const int32_t vote = vote_of(votes, i, rule);
        if (truth[i] < 0 || vote < 0 || vote == truth[i]) continue;
        if (found < most) rows[found] = i;
        found++;
    }
    *count = found;
    return WHET_OK;
}

whet_status whet_votes_confusion(whet_ctx *ctx, const whet_votes *votes, const int32_t *truth,
                                 int64_t *counts) {
    const int64_t m = votes->m, k = votes->k;
    int32_t *cell;
    WHET_TRY(check_truth(ctx, votes, truth));
    if (!truth) return whet_i_fail(ctx, WHET_ERR_ARG, "votes by true class; expected true classes");
    WHET_TRY(whet_i_alloc(ctx, m, &cell));
    memset(counts, 0, sizeof *counts * (size_t)(m * (k + 1) * k));
    for (int64_t i = 0; i < votes->n; i++) {
        if (truth[i] < 0) continue;
        const int64_t count = whet_i_vote_cells(votes, i, cell);
        for (int64_t j = 0; j < m; j++) counts[j * (k + 1) * k + truth[i]]++;
        for (int64_t e = 0; e < count; e++) {
            int64_t *rule = counts + cell[e] / k * (k + 1) * k;
            rule[truth[i]]--;
            rule[(cell[e] % k + 1) * k + truth[i]]++;
        }
    }
    whet_i_free(ctx, cell);
    return WHET_OK;
}
