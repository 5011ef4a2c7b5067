/* SPDX-License-Identifier: Apache-2.0
 * Rules applied to rows in memory. Rows are cut into blocks of BLOCK, whatever the threads; a block
 * takes keyword automata first, one pass a text for all words on its column, then the other rules one
 * by one. A rule that fails on a row abstains there, and is counted. Models see features as the 32-bit
 * floats that they were fitted to; numbers are compared as their file holds them, where it is known.
 * Legend: n rows, m rules. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "io/io_i.h"
#include "label/case_folding.h"
#include "label/rules_i.h"
#include "tensor/tensor_i.h"

enum { BLOCK = 256, MATCH_LIMIT = 100000 };

/* Keyword rules on one column with the same case. */
typedef struct keyword_group {
    int64_t column;
    bool ignore_case;
    whet_i_keywords *scan;
} keyword_group;

typedef struct worker {
    whet_i_pattern_state *text;
    whet_i_fold_room fold;     /* for the longest text that may have to be folded */
    bool *found;               /* [m] */
    double *p;                 /* largest outs */
    double *room;              /* largest whet_i_model_room */
    whet_rule_report *reports; /* [m] */
} worker;

typedef struct application {
    const whet_rules *rules;
    const whet_rules_input *input;
    const bool *skip;   /* [m] rules that are not applied; NULL: none */
    const int64_t *row; /* [n] rows that are applied to; NULL: all */
    int64_t n;
    int32_t *votes; /* [n, m] */
    const whet_i_apply_part *part;
    const whet_names *elsewhere; /* columns that other parts of the table have; or NULL */
    int64_t *column;             /* [m] of the table; -1: none, or one whose cells are empty */
    keyword_group *group;
    int64_t groups;
    worker *workers;
    int64_t n_workers;
} application;

/* ---- one row ---------------------------------------------------------------------------------- */

static void count(whet_rule_report *report, int32_t vote, bool fault) {
    report->votes += vote >= 0;
    report->faults += fault;
}

static whet_str cell_of(const application *a, int64_t i, int64_t column) {
    return column < 0 ? whet_str_from("") : whet_table_cell(a->input->table, i, column);
}

static bool finite_inputs(const whet_i_model *m, const float *x) {
    for (int64_t j = 0; j < m->inputs; j++)
        if (!isfinite(x[m->input[j]])) return false;
    return true;
}

static int32_t model_vote(const application *a, const whet_i_model *m, int64_t i, worker *w,
                          bool *fault) {
    const float *x = a->input->features + i * a->input->d;
    *fault = !finite_inputs(m, x);
    if (*fault) return -1;
    whet_i_model_probs(m, (whet_i_strided){x, 0, 1}, 0, w->p, w->room);
    const int64_t top = whet_i_model_vote(w->p, m->least, m->outs);
    return top < 0 ? -1 : m->vote[top];
}

static double feature_of(const application *a, int64_t i, int64_t feature) {
    const whet_tensor *exact = a->part->exact;
    if (!exact) return (double)a->input->features[i * a->input->d + feature];
    return whet_i_tensor_real(exact, (a->part->exact_first + i) * a->input->d + feature);
}

/* An empty cell says nothing, and is no fault. */
static int32_t number_vote(const application *a, const whet_i_rule *rule, int64_t column, int64_t i,
                           bool *fault) {
    double value;
    if (!rule->column) {
        value = feature_of(a, i, rule->feature);
        *fault = !isfinite(value);
    } else {
        const whet_str cell = whet_i_trim(cell_of(a, i, column));
        if (cell.len == 0) return -1;
        *fault = !whet_i_parse_real(cell, &value);
    }
    return !*fault && value >= rule->least && value < rule->below ? rule->vote : -1;
}

static int32_t regex_vote(const application *a, const whet_i_rule *rule, int64_t column, int64_t i,
                          worker *w, bool *fault) {
    const int found = whet_i_pattern_find(rule->code, w->text, cell_of(a, i, column));
    *fault = found < 0;
    return found > 0 ? rule->vote : -1;
}

static void find_keywords(const application *a, int64_t i, worker *w) {
    for (int64_t g = 0; g < a->groups; g++) {
        whet_str text = cell_of(a, i, a->group[g].column);
        if (a->group[g].ignore_case && !whet_i_is_ascii(text)) text = whet_i_fold(text, &w->fold);
        whet_i_keywords_scan(a->group[g].scan, text, w->found);
    }
}

static void apply_row(application *a, int64_t at, worker *w) {
    const whet_rules *rules = a->rules;
    const int64_t i = a->row ? a->row[at] : at;
    int32_t *votes = a->votes + at * rules->m;
    if (a->groups) memset(w->found, 0, sizeof *w->found * (size_t)rules->m);
    find_keywords(a, i, w);
    for (int64_t j = 0; j < rules->m; j++) {
        const whet_i_rule *rule = &rules->rule[j];
        bool fault = false;
        if (a->skip && a->skip[j]) continue;
        switch (rule->kind) {
        case WHET_I_RULE_KEYWORDS: votes[j] = w->found[j] ? rule->vote : -1; break;
        case WHET_I_RULE_REGEX: votes[j] = regex_vote(a, rule, a->column[j], i, w, &fault); break;
        case WHET_I_RULE_NUMBER: votes[j] = number_vote(a, rule, a->column[j], i, &fault); break;
        default: votes[j] = model_vote(a, &rule->model, i, w, &fault); break;
        }
        count(&w->reports[j], votes[j], fault);
    }
}

static void apply_block(void *arg, int64_t block, int32_t at) {
    application *a = arg;
    const int64_t first = block * BLOCK;
    const int64_t end = a->n - first < BLOCK ? a->n : first + BLOCK;
    for (int64_t i = first; i < end; i++) apply_row(a, i, &a->workers[at]);
}

/* ---- what rows need --------------------------------------------------------------------------- */

static bool on_features(const whet_i_rule *rule) {
    return rule->kind <= WHET_I_RULE_SIMILARITY ||
           (rule->kind == WHET_I_RULE_NUMBER && !rule->column);
}

static bool active(const application *a, int64_t j) { return !a->skip || !a->skip[j]; }

static bool has_features(const application *a, const whet_i_rule *rule) {
    return a->input->features || (rule->kind == WHET_I_RULE_NUMBER && a->part->exact);
}

static whet_status find_inputs(whet_ctx *ctx, application *a) {
    const whet_rules_input *input = a->input;
    char quoted[WHET_QUOTE_SIZE];
    WHET_TRY(whet_i_alloc(ctx, a->rules->m, &a->column));
    for (int64_t j = 0; j < a->rules->m; j++) {
        const whet_i_rule *rule = &a->rules->rule[j];
        a->column[j] = -1;
        if (!active(a, j)) continue;
        whet_i_quote(quoted, whet_rules_name(a->rules, j));
        if (on_features(rule) && (!has_features(a, rule) || input->d != a->rules->d))
            return whet_i_fail(ctx, WHET_ERR_SHAPE,
                               "rule %s looks at features, which have %" PRId64
                               " columns; expected %" PRId64,
                               quoted, has_features(a, rule) ? input->d : 0, a->rules->d);
        if (on_features(rule)) continue;
        if (!input->table)
            return whet_i_fail(ctx, WHET_ERR_ARG,
                               "rule %s looks at the column %s; expected a table as input", quoted,
                               rule->column);
        const whet_str column = whet_str_from(rule->column);
        if (a->elsewhere && whet_names_find(a->elsewhere, column) >= 0) {
            a->column[j] = whet_names_find(whet_table_columns(input->table), column);
            continue;
        }
        const whet_status found = whet_table_find(ctx, input->table, rule->column, &a->column[j]);
        if (found != WHET_OK) return whet_i_fail_at(ctx, found, "rule %s", quoted);
    }
    return WHET_OK;
}

/* The automaton for all active keyword rules like rule j. */
static whet_status build_group(whet_ctx *ctx, application *a, int64_t j) {
    const whet_i_rule *like = &a->rules->rule[j];
    whet_status status = WHET_OK;
    whet_i_keyword *words = NULL;
    int64_t n = 0;
    for (int64_t at = j; at < a->rules->m; at++) n += a->rules->rule[at].words;
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &words));
    n = 0;
    for (int64_t at = j; at < a->rules->m; at++) {
        const whet_i_rule *rule = &a->rules->rule[at];
        if (rule->kind != WHET_I_RULE_KEYWORDS || !active(a, at) || a->column[at] != a->column[j] ||
            rule->ignore_case != like->ignore_case)
            continue;
        for (int64_t w = 0; w < rule->words; w++)
            words[n++] = (whet_i_keyword){rule->word[w], rule->whole_words, at};
    }
    keyword_group *group = &a->group[a->groups];
    WHET_TRY_DONE(whet_i_keywords_build(ctx, words, n, like->ignore_case, &group->scan));
    group->column = a->column[j];
    group->ignore_case = like->ignore_case;
    a->groups++;
done:
    whet_i_free(ctx, words);
    return status;
}

static whet_status build_groups(whet_ctx *ctx, application *a) {
    WHET_TRY(whet_i_calloc(ctx, a->rules->m, &a->group));
    for (int64_t j = 0; j < a->rules->m; j++) {
        const whet_i_rule *rule = &a->rules->rule[j];
        bool grouped = rule->kind != WHET_I_RULE_KEYWORDS || !active(a, j);
        for (int64_t g = 0; g < a->groups && !grouped; g++)
            grouped =
                a->group[g].column == a->column[j] && a->group[g].ignore_case == rule->ignore_case;
        if (!grouped) WHET_TRY(build_group(ctx, a, j));
    }
    return WHET_OK;
}

/* Bytes of the longest text that may have to be folded. */
static int64_t longest_folded(const application *a) {
    int64_t most = 0;
    for (int64_t g = 0; g < a->groups; g++)
        for (int64_t i = 0; a->group[g].ignore_case && i < a->input->n; i++) {
            const whet_str text = cell_of(a, i, a->group[g].column);
            most = text.len > most ? text.len : most;
        }
    return most;
}

static whet_status make_workers(whet_ctx *ctx, application *a) {
    const int64_t limit = a->input->match_limit ? a->input->match_limit : MATCH_LIMIT;
    int64_t outs = 1, room = 1;
    bool patterns = false;
    for (int64_t j = 0; j < a->rules->m; j++) {
        const whet_i_model *m = &a->rules->rule[j].model;
        outs = m->outs > outs ? m->outs : outs;
        room = whet_i_model_room(m) > room ? whet_i_model_room(m) : room;
        patterns = patterns || a->rules->rule[j].code;
    }
    const int64_t workers = whet_ctx_threads(ctx), folded = longest_folded(a);
    WHET_TRY(whet_i_calloc(ctx, workers, &a->workers));
    a->n_workers = workers;
    for (int64_t t = 0; t < workers; t++) {
        worker *w = &a->workers[t];
        WHET_TRY(whet_i_alloc(ctx, a->rules->m, &w->found));
        if (folded) WHET_TRY(whet_i_fold_room_make(ctx, folded, &w->fold));
        WHET_TRY(whet_i_alloc(ctx, outs, &w->p));
        WHET_TRY(whet_i_alloc(ctx, room, &w->room));
        WHET_TRY(whet_i_calloc(ctx, a->rules->m, &w->reports));
        if (patterns) WHET_TRY(whet_i_pattern_state_create(ctx, limit, &w->text));
    }
    return WHET_OK;
}

static void release(whet_ctx *ctx, application *a) {
    for (int64_t t = 0; t < a->n_workers; t++) {
        worker *w = &a->workers[t];
        whet_i_pattern_state_free(ctx, w->text);
        whet_i_free(ctx, w->found);
        whet_i_fold_room_free(ctx, &w->fold);
        whet_i_free(ctx, w->p);
        whet_i_free(ctx, w->room);
        whet_i_free(ctx, w->reports);
    }
    for (int64_t g = 0; g < a->groups; g++) whet_i_keywords_free(ctx, a->group[g].scan);
    whet_i_free(ctx, a->workers);
    whet_i_free(ctx, a->group);
    whet_i_free(ctx, a->column);
}

static whet_status check_input(whet_ctx *ctx, const whet_rules_input *input) {
    if (input->n < 0 || input->match_limit < 0 || input->match_limit > 1000000000)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%" PRId64 " rows, a match limit of %" PRId64
                           "; expected no negative numbers, and a limit of at most 1e9",
                           input->n, input->match_limit);
    if (input->table && whet_table_rows(input->table) != input->n)
        return whet_i_fail(ctx, WHET_ERR_SHAPE, "the table has %" PRId64 " rows; expected %" PRId64,
                           whet_table_rows(input->table), input->n);
    return WHET_OK;
}

whet_status whet_i_rules_apply_some(whet_ctx *ctx, const whet_rules *rules,
                                    const whet_rules_input *input, const whet_i_apply_part *part,
                                    int32_t *votes, whet_rule_report *reports) {
    whet_status status = WHET_OK;
    application a = {.rules = rules,
                     .input = input,
                     .skip = part->skip,
                     .row = part->row,
                     .n = part->row ? part->rows : input->n,
                     .part = part,
                     .elsewhere = part->columns,
                     .votes = votes};
    WHET_TRY(check_input(ctx, input));
    WHET_TRY_DONE(find_inputs(ctx, &a));
    WHET_TRY_DONE(build_groups(ctx, &a));
    WHET_TRY_DONE(make_workers(ctx, &a));
    WHET_TRY_DONE(
        whet_i_parallel_for(ctx, part->stage, (a.n + BLOCK - 1) / BLOCK, apply_block, &a));
    for (int64_t t = 0; t < a.n_workers && reports; t++)
        for (int64_t j = 0; j < rules->m; j++) {
            reports[j].votes += a.workers[t].reports[j].votes;
            reports[j].faults += a.workers[t].reports[j].faults;
        }
done:
    release(ctx, &a);
    return status;
}

whet_status whet_rules_apply(whet_ctx *ctx, const whet_rules *rules, const whet_rules_input *input,
                             int32_t *votes, whet_rule_report *reports) {
    const whet_i_apply_part whole = {.stage = "apply rules"};
    return whet_i_rules_apply_some(ctx, rules, input, &whole, votes, reports);
}
