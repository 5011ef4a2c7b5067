/* SPDX-License-Identifier: Apache-2.0
 * whet label analyze: what labelling rules do, how they agree, why a row has its class. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { PAIRS_SHOWN = 20, WRONG_SHOWN = 1000 };
#define LARGE_PART .5 /* of log odds: what a rule that abstains is named for */

const cli_option cmd_label_analyze_options[] = {
    {.name = "votes",
     .type = CLI_PATH,
     .value = "V.npy",
     .required = true,
     .help = "votes [rows, rules], -1 = abstain; or a table with row, rule, vote"},
    {.name = "truth",
     .type = CLI_PATH,
     .value = "Y.npy",
     .help = "true classes: an array, -1 = not known, or a table with row and label"},
    {.name = "classes", .type = CLI_PATH, .help = "class names, one a line"},
    {.name = "rule-names", .type = CLI_PATH, .help = "names of the rules, one a line"},
    {.name = "model",
     .type = CLI_ENUM,
     .choices = "majority|weighted|snorkel|flyingsquid|dawid-skene|one-coin|ibcc",
     .preset = "dawid-skene",
     .help = "label model that learns accuracies, without the truth, and explains rows"},
    {.name = "explain",
     .type = CLI_INT,
     .value = "ROW",
     .min = 0,
     .max = INT64_MAX,
     .help = "what the balance and each rule add for the best class of this row against the next"},
    {.name = "wrong",
     .type = CLI_INT,
     .value = "RULE",
     .min = 0,
     .max = INT32_MAX,
     .help = "the rows of known class that this rule got wrong"},
    {.name = "report",
     .type = CLI_OUTPUT,
     .value = "R.html",
     .help = "the same as a page with plots"},
    {.name = "rows",
     .type = CLI_INT,
     .min = 1,
     .max = INT64_MAX,
     .help = "rows there are, for triples that leave out some at the end"},
    {.name = "class-count",
     .type = CLI_INT,
     .min = 2,
     .max = INT32_MAX,
     .help = "classes there are"},
    {0},
};

static const char *name_of(const whet_names *names, int64_t i, char out[24]) {
    if (names) return whet_names_get(names, i).ptr;
    (void)snprintf(out, 24, "%lld", (long long)i);
    return out;
}

static double share(int64_t part, int64_t whole) {
    return whole ? (double)part / (double)whole : 0;
}

enum { POLARITY_NUMBERS = 12, POLARITY_NAMES = 30 };

/* "0,2" or "ham,spam", the classes a rule votes for: whole ones that fit the column, then "..". */
static const char *polarity(const whet_label_analysis *a, int64_t j, int64_t k,
                            char out[POLARITY_NAMES + 1]) {
    const int most = a->classes ? POLARITY_NAMES : POLARITY_NUMBERS;
    const int64_t *votes = a->vote_counts + j * k;
    int64_t last = k - 1;
    int used = 0;
    while (last >= 0 && votes[last] == 0) last--;
    for (int64_t c = 0; c <= last; c++) {
        char number[24];
        if (votes[c] == 0) continue;
        const char *name = name_of(a->classes, c, number);
        const int64_t room = c < last ? most - 2 : most, left = room - used - (used ? 1 : 0);
        const bool fits = (int64_t)strlen(name) <= left;
        if (fits)
            used += snprintf(out + used, (size_t)(most + 1 - used), "%s%s", used ? "," : "", name);
        else if (used)
            (void)snprintf(out + used, (size_t)(most + 1 - used), "..");
        else
            (void)snprintf(out, POLARITY_NAMES + 1, "%.*s..", most - 2, name);
        if (!fits) return out;
    }
    return used ? out : "-";
}

static int polarity_width(const whet_label_analysis *a, int64_t m, int64_t k) {
    char classes[POLARITY_NAMES + 1];
    size_t width = POLARITY_NUMBERS;
    for (int64_t j = 0; j < m; j++) {
        const size_t length = strlen(polarity(a, j, k, classes));
        width = length > width ? length : width;
    }
    return (int)width;
}

/* Of the column of names: as the longest, within bounds. */
static int name_width(const whet_label_analysis *a, int64_t m) {
    size_t width = 20;
    for (int64_t j = 0; a->rule_names && j < m; j++) {
        const size_t length = strlen(whet_names_get(a->rule_names, j).ptr);
        width = length > width ? length : width;
    }
    return width < 40 ? (int)width : 40;
}

static void print_rules(cli_run *run, const whet_label_analysis *a, const whet_votes *v,
                        const whet_label_model_info *info) {
    const whet_votes_totals *t = &a->totals;
    const int width = name_width(a, v->m), said = polarity_width(a, v->m, v->k);
    cli_print(run,
              "%lld rows, %lld rules, %lld classes; %.4f covered, %.4f by two or more, %.4f in "
              "conflict\n\n",
              (long long)v->n, (long long)v->m, (long long)v->k, share(t->covered, v->n),
              share(t->overlapping, v->n), share(t->conflicting, v->n));
    cli_print(run, "%-*s %-*s %8s %8s %9s", width, "rule", said, "polarity", "coverage", "overlaps",
              "conflicts");
    if (a->truth) cli_print(run, " %8s %9s %9s", "correct", "incorrect", "emp. acc.");
    cli_print(run, " %8s\n", "learned");
    for (int64_t j = 0; j < v->m; j++) {
        const whet_rule_summary *r = &a->rules[j];
        char name[24], classes[POLARITY_NAMES + 1];
        cli_print(run, "%-*.40s %-*s %8.4f %8.4f %9.4f", width, name_of(a->rule_names, j, name),
                  said, polarity(a, j, v->k, classes), share(r->votes, v->n),
                  share(r->overlaps, v->n), share(r->conflicts, v->n));
        if (a->truth)
            cli_print(run, " %8lld %9lld %9.4f", (long long)r->correct, (long long)r->incorrect,
                      r->accuracy);
        if (isnan(info->accuracy[j]))
            cli_print(run, " %8s\n", "-");
        else
            cli_print(run, " %8.4f\n", info->accuracy[j]);
    }
}

static void print_pairs(cli_run *run, const whet_label_analysis *a, int width) {
    const int64_t shown = a->n_dependences < PAIRS_SHOWN ? a->n_dependences : PAIRS_SHOWN;
    if (shown == 0) return;
    cli_print(run,
              "\n%lld pairs of rules meet or agree more often than their accuracies explain:\n",
              (long long)a->n_dependences);
    cli_print(run, "%-*s %-*s %9s %9s %9s %9s\n", width, "rule", width, "rule", "agree", "expected",
              "both vote", "expected");
    for (int64_t i = 0; i < shown; i++) {
        const whet_rule_dependence *d = &a->dependences[i];
        char first[24], second[24];
        cli_print(run, "%-*.40s %-*.40s %9.4f %9.4f %9lld %9.1f%s\n", width,
                  name_of(a->rule_names, d->a, first), width, name_of(a->rule_names, d->b, second),
                  d->agreement, d->expected_agreement, (long long)d->both, d->expected_both,
                  d->copy ? "  copies" : "");
    }
}

static json_t *matrix(const int64_t *x, int64_t m) {
    json_t *rows = json_array();
    for (int64_t a = 0; a < m; a++) {
        json_t *row = json_array();
        for (int64_t b = 0; b < m; b++)
            (void)json_array_append_new(row, json_integer((json_int_t)x[a * m + b]));
        (void)json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *rule_json(const whet_label_analysis *a, const whet_votes *v,
                         const whet_label_model_info *info, int64_t j) {
    const whet_rule_summary *r = &a->rules[j];
    char name[24];
    json_t *classes = json_array();
    for (int64_t c = 0; c < v->k; c++)
        if (a->vote_counts[j * v->k + c])
            (void)json_array_append_new(classes, json_integer((json_int_t)c));
    json_t *rule = json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o}", "rule", name_of(a->rule_names, j, name), "polarity",
        classes, "coverage", cli_json_number(share(r->votes, v->n)), "overlaps",
        cli_json_number(share(r->overlaps, v->n)), "conflicts",
        cli_json_number(share(r->conflicts, v->n)), "learned", cli_json_number(info->accuracy[j]));
    if (!a->truth || !rule) return rule;
    (void)json_object_set_new(rule, "correct", json_integer((json_int_t)r->correct));
    (void)json_object_set_new(rule, "incorrect", json_integer((json_int_t)r->incorrect));
    (void)json_object_set_new(rule, "accuracy", cli_json_number(r->accuracy));
    (void)json_object_set_new(rule, "accuracy_low", cli_json_number(r->accuracy_low));
    (void)json_object_set_new(rule, "accuracy_high", cli_json_number(r->accuracy_high));
    return rule;
}

static json_t *document(const whet_label_analysis *a, const whet_votes *v,
                        const whet_label_model_info *info) {
    json_t *rules = json_array(), *pairs = json_array();
    for (int64_t j = 0; j < v->m; j++) (void)json_array_append_new(rules, rule_json(a, v, info, j));
    for (int64_t i = 0; i < a->n_dependences && i < WHET_LABEL_DEPENDENCES; i++) {
        const whet_rule_dependence *d = &a->dependences[i];
        (void)json_array_append_new(
            pairs,
            json_pack("{s:b, s:I, s:I, s:o, s:o, s:I, s:o, s:o, s:o}", "copy", d->copy, "a",
                      (json_int_t)d->a, "b", (json_int_t)d->b, "agreement",
                      cli_json_number(d->agreement), "expected_agreement",
                      cli_json_number(d->expected_agreement), "both", (json_int_t)d->both,
                      "expected_both", cli_json_number(d->expected_both), "agreement_z",
                      cli_json_number(d->agreement_z), "both_z", cli_json_number(d->both_z)));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o, s:o, s:o, s:o}", "rows",
                     (json_int_t)v->n, "rules", (json_int_t)v->m, "classes", (json_int_t)v->k,
                     "covered", (json_int_t)a->totals.covered, "overlapping",
                     (json_int_t)a->totals.overlapping, "conflicting",
                     (json_int_t)a->totals.conflicting, "labelled", (json_int_t)a->totals.labelled,
                     "model", whet_label_method_name(info->method), "summary", rules, "both",
                     matrix(a->both, v->m), "agree", matrix(a->agree, v->m), "dependences", pairs);
}

/* An explanation: what whet_label_model_explain says, and what its numbers are. */
typedef struct explained {
    int64_t row, m, k, top[2], voting;
    double *scores, *probs;         /* [m + 1, k], [k] */
    int32_t *vote;                  /* [m] */
    const char *unit, *joint, *key; /* "UNIT best JOINT next" in words, and in JSON */
} explained;

static void name_unit(const whet_label_model_info *info, explained *e) {
    e->unit = "log odds of class";
    e->joint = "against";
    e->key = "log_odds";
    for (int64_t j = 0; j < e->m; j++) e->voting += e->vote[j] >= 0 ? 1 : 0;
    if (info->method == WHET_LABEL_MAJORITY) {
        e->unit = "votes for class";
        e->joint = "less those for";
        e->key = "votes";
    } else if (info->method == WHET_LABEL_FLYINGSQUID && e->k > 2 && e->voting) {
        e->unit = "log odds against all others of class";
        e->joint = "less those of";
        e->key = "log_odds_against_rest";
    }
}

/* What the balance (j = -1) or a rule adds for the best class against the next. */
static double part_of(const explained *e, int64_t j) {
    return e->scores[(j + 1) * e->k + e->top[0]] - e->scores[(j + 1) * e->k + e->top[1]];
}

static void print_explanation(cli_run *run, const whet_label_analysis *a, const explained *e) {
    const int width = name_width(a, e->m);
    double odds = part_of(e, -1), rest = 0;
    int64_t resting = 0;
    char first[24], second[24];
    cli_print(run, "\nrow %lld: %s %s %s %s, of probability %.4f and %.4f\n", (long long)e->row,
              e->unit, name_of(a->classes, e->top[0], first), e->joint,
              name_of(a->classes, e->top[1], second), e->probs[e->top[0]], e->probs[e->top[1]]);
    if (!e->voting) cli_print(run, "no rule votes on it: it gets what such rows get\n");
    cli_print(run, "%-*s %+9.4f\n", width, "balance", odds);
    for (int64_t j = 0; j < e->m; j++) {
        const double part = part_of(e, j);
        char name[24];
        odds += part;
        if (part == 0) continue;
        if (e->vote[j] < 0 && fabs(part) < LARGE_PART) {
            rest += part;
            resting++;
            continue;
        }
        cli_print(run, "%-*.40s %+9.4f%s\n", width, name_of(a->rule_names, j, name), part,
                  e->vote[j] < 0 ? "  abstains" : "");
    }
    if (resting)
        cli_print(run, "%-*s %+9.4f  %lld rule%s abstain%s\n", width, "others", rest,
                  (long long)resting, resting > 1 ? "s" : "", resting > 1 ? "" : "s");
    cli_print(run, "%-*s %+9.4f\n", width, "together", odds);
}

static json_t *explanation_json(const whet_label_analysis *a, const explained *e) {
    json_t *list = json_array();
    double odds = 0;
    for (int64_t j = -1; j < e->m; j++) {
        const double part = part_of(e, j);
        char name[24];
        odds += part;
        if (j < 0)
            (void)json_array_append_new(
                list, json_pack("{s:s, s:o}", "rule", "balance", e->key, cli_json_number(part)));
        else if (part != 0)
            (void)json_array_append_new(
                list, json_pack("{s:s, s:o, s:o}", "rule", name_of(a->rule_names, j, name), e->key,
                                cli_json_number(part), "vote",
                                e->vote[j] < 0 ? json_null() : json_integer(e->vote[j])));
    }
    return json_pack("{s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "row", (json_int_t)e->row, "class",
                     (json_int_t)e->top[0], "against", (json_int_t)e->top[1], e->key,
                     cli_json_number(odds), "probability", cli_json_number(e->probs[e->top[0]]),
                     "against_probability", cli_json_number(e->probs[e->top[1]]), "rules", list);
}

/* What makes a row's best class better than the next, by rule. */
static whet_status explain(cli_run *run, const whet_label_analysis *a, const whet_votes *v,
                           const whet_label_model_info *info, json_t *all) {
    explained e = {.row = cli_integer(run, "explain"), .m = v->m, .k = v->k};
    whet_status status = WHET_OK;
    e.scores = calloc((size_t)((e.m + 1) * e.k) + 1, sizeof *e.scores); /* never of nothing */
    e.probs = calloc((size_t)e.k + 1, sizeof *e.probs);
    e.vote = calloc((size_t)e.m + 1, sizeof *e.vote);
    if (!e.scores || !e.probs || !e.vote)
        status = cli_fail(run, WHET_ERR_NOMEM, "no memory to explain a row");
    else
        status = whet_label_model_explain(run->ctx, a->model, v, e.row, e.scores, e.vote, e.probs,
                                          e.top);
    if (status == WHET_OK) {
        name_unit(info, &e);
        print_explanation(run, a, &e);
        (void)json_object_set_new(all, "explanation", explanation_json(a, &e));
    }
    free(e.scores);
    free(e.probs);
    free(e.vote);
    return status;
}

static whet_status wrong(cli_run *run, const whet_label_analysis *a, const whet_votes *v,
                         json_t *all) {
    int64_t rows[WRONG_SHOWN], count;
    const whet_status status = whet_votes_wrong_rows(
        run->ctx, v, a->truth, cli_integer(run, "wrong"), WRONG_SHOWN, rows, &count);
    if (status != WHET_OK) return status;
    const int64_t shown = count < WRONG_SHOWN ? count : WRONG_SHOWN;
    json_t *list = json_array();
    cli_print(run, "\nrule %lld got %lld rows wrong%s\nrow\tclass\n",
              (long long)cli_integer(run, "wrong"), (long long)count,
              count > shown ? " (the first 1000):" : ":");
    for (int64_t i = 0; i < shown; i++) {
        char name[24];
        cli_print(run, "%lld\t%s\n", (long long)rows[i],
                  name_of(a->classes, a->truth[rows[i]], name));
        (void)json_array_append_new(list, json_integer((json_int_t)rows[i]));
    }
    (void)json_object_set_new(all, "wrong",
                              json_pack("{s:I, s:I, s:o}", "rule",
                                        (json_int_t)cli_integer(run, "wrong"), "count",
                                        (json_int_t)count, "rows", list));
    return WHET_OK;
}

/* Told before anything is printed. */
static whet_status check_place(cli_run *run, const char *option, const char *what, int64_t n) {
    if (!cli_given(run, option) || cli_integer(run, option) < n) return WHET_OK;
    return cli_fail(run, WHET_ERR_ARG, "--%s is %lld; expected a %s from 0 to %lld", option,
                    (long long)cli_integer(run, option), what, (long long)n - 1);
}

whet_status cmd_label_analyze(cli_run *run) {
    whet_label_analyze_job job = WHET_LABEL_ANALYZE_JOB_INIT;
    whet_label_analysis a;
    whet_label_model_info info;
    job.votes = cli_text(run, "votes");
    job.truth = cli_text(run, "truth");
    job.classes = cli_text(run, "classes");
    job.rules = cli_text(run, "rule-names");
    job.report = cli_text(run, "report");
    job.reading.rows = cli_integer(run, "rows");
    job.reading.classes = cli_integer(run, "class-count");
    job.force = run->force;
    (void)whet_label_method_find(cli_text(run, "model"), &job.method);
    if (cli_given(run, "wrong") && !job.truth)
        return cli_fail(run, WHET_ERR_ARG, "--wrong needs --truth");
    whet_status status = whet_label_analyze_run(run->ctx, &job, &a);
    if (status != WHET_OK) return status;
    const whet_votes *votes = whet_vote_file_votes(a.file);
    status = check_place(run, "explain", "row", votes->n);
    if (status == WHET_OK) status = check_place(run, "wrong", "rule", votes->m);
    if (status != WHET_OK) {
        whet_label_analysis_destroy(run->ctx, &a);
        return status;
    }
    whet_label_model_get_info(a.model, &info);
    json_t *all = document(&a, votes, &info);
    print_rules(run, &a, votes, &info);
    print_pairs(run, &a, name_width(&a, votes->m));
    if (cli_given(run, "explain")) status = explain(run, &a, votes, &info, all);
    if (status == WHET_OK && cli_given(run, "wrong")) status = wrong(run, &a, votes, all);
    cli_json(run, all);
    whet_label_analysis_destroy(run->ctx, &a);
    return status;
}
