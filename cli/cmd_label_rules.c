/* SPDX-License-Identifier: Apache-2.0
 * whet label apply: the votes of rules on rows; whet label generate: rules from a few labels. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

const cli_option cmd_label_apply_options[] = {
    {.name = "rules",
     .type = CLI_PATH,
     .value = "RULES.json",
     .required = true,
     .help = "labelling rules, as docs/formats/rules.md describes them"},
    {.name = "input",
     .type = CLI_PATH,
     .value = "T.tsv|X.npy",
     .required = true,
     .help = "rows: a table (.tsv, .csv, .jsonl), or features [rows, d]"},
    {.name = "features",
     .type = CLI_PATH,
     .value = "X.npy",
     .help = "features beside a table, when there are rules on both"},
    {.name = "votes",
     .type = CLI_OUTPUT,
     .value = "V.npy|V.tsv",
     .required = true,
     .help =
         "votes [rows, rules] to write: class, or -1 where a rule abstains; .tsv: row, rule, vote"},
    {.name = "probs",
     .type = CLI_OUTPUT,
     .value = "P.npy",
     .help = "the rules' joint posterior [rows, classes] to write: for rules that carry weights, "
             "as those of whet label generate --method snuba --save do"},
    {.name = "previous-rules",
     .type = CLI_PATH,
     .value = "OLD.json",
     .help = "rules applied before to these rows; those that are unchanged are not applied again"},
    {.name = "previous-votes",
     .type = CLI_PATH,
     .value = "OLD.npy",
     .help = "the votes of --previous-rules"},
    {.name = "match-limit",
     .type = CLI_INT,
     .min = 1,
     .max = 1000000000,
     .preset = "100000",
     .help = "steps one match of a pattern may take before it counts as a fault"},
    {0},
};

static json_t *class_list(const whet_names *classes) {
    json_t *list = json_array();
    for (int64_t i = 0; i < whet_names_count(classes); i++) {
        const whet_str name = whet_names_get(classes, i);
        (void)json_array_append_new(list, json_stringn(name.ptr, (size_t)name.len));
    }
    return list;
}

static void print_applied(cli_run *run, const whet_rules_result *r) {
    json_t *list = json_array();
    const double n = r->n ? (double)r->n : 1;
    int64_t faults = 0;
    cli_print(run, "rule\tcoverage\tfaults\n");
    for (int64_t j = 0; j < whet_rules_count(r->rules); j++) {
        const whet_str name = whet_rules_name(r->rules, j);
        const whet_rule_report *report = &r->reports[j];
        faults += report->faults;
        cli_print(run, "%s\t%.4f\t%lld\n", name.ptr, (double)report->votes / n,
                  (long long)report->faults);
        (void)json_array_append_new(
            list, json_pack("{s:s%, s:I, s:I}", "name", name.ptr, (size_t)name.len, "votes",
                            (json_int_t)report->votes, "faults", (json_int_t)report->faults));
    }
    cli_print(run, "%lld rows, %.4f with a vote", (long long)r->n, (double)r->covered / n);
    if (r->reused)
        cli_print(run, ", %lld columns taken over (faults not counted again)",
                  (long long)r->reused);
    cli_print(run, "\n");
    if (faults) cli_note(run, "%lld times a rule failed on a row and abstained", (long long)faults);
    cli_json(run, json_pack("{s:I, s:I, s:I, s:I, s:o, s:o}", "rows", (json_int_t)r->n, "covered",
                            (json_int_t)r->covered, "faults", (json_int_t)faults, "reused",
                            (json_int_t)r->reused, "classes",
                            class_list(whet_rules_classes(r->rules)), "rules", list));
}

whet_status cmd_label_apply(cli_run *run) {
    whet_rules_job job = WHET_RULES_JOB_INIT;
    whet_rules_result result;
    job.rules = cli_text(run, "rules");
    job.input = cli_text(run, "input");
    job.features = cli_text(run, "features");
    job.votes = cli_text(run, "votes");
    job.probs = cli_text(run, "probs");
    job.previous_rules = cli_text(run, "previous-rules");
    job.previous_votes = cli_text(run, "previous-votes");
    job.match_limit = cli_integer(run, "match-limit");
    job.force = run->force;
    if (!job.previous_rules != !job.previous_votes)
        return cli_fail(run, WHET_ERR_ARG,
                        "--previous-rules and --previous-votes; expected both or neither");
    const whet_status status = whet_rules_apply_files(run->ctx, &job, &result);
    if (status != WHET_OK) return status;
    print_applied(run, &result);
    whet_rules_result_free(run->ctx, &result);
    return WHET_OK;
}

/* ---- generate --------------------------------------------------------------------------------- */

const cli_option cmd_label_generate_options[] = {
    {.name = "features",
     .type = CLI_PATH,
     .value = "X.npy",
     .required = true,
     .help = "features [rows, d]"},
    {.name = "labels",
     .type = CLI_PATH,
     .value = "L.tsv",
     .help = "table with row (from 0) and label, or a label for every row with empty cells; needed "
             "but for similarity"},
    {.name = "method",
     .type = CLI_ENUM,
     .choices = "snuba|iws|goggles|similarity",
     .required = true,
     .help = "how rules are made and chosen; goggles: votes of three mixtures, without rules; "
             "similarity: cosines to the classes' own vectors"},
    {.name = "class-features",
     .type = CLI_PATH,
     .value = "C.npy",
     .help = "similarity: vectors [classes, d] of the classes, as of their names, in their order"},
    {.name = "votes",
     .type = CLI_OUTPUT,
     .value = "V.npy|V.tsv",
     .required = true,
     .help =
         "votes [rows, rules] to write: class, or -1 where a rule abstains; .tsv: row, rule, vote"},
    {.name = "save",
     .type = CLI_OUTPUT,
     .value = "RULES.json",
     .help = "rules to write, for whet label apply"},
    {.name = "probs",
     .type = CLI_OUTPUT,
     .value = "P.npy",
     .help = "snuba, goggles: the votes' joint posterior [rows, classes] to write"},
    {.name = "classes",
     .type = CLI_PATH,
     .help = "class names in the order of the votes, one a line; without: the labels', sorted"},
    {.name = "form",
     .type = CLI_ENUM,
     .choices = "multi|one-vs-rest",
     .preset = "multi",
     .help = "snuba, iws: rules that tell all classes apart, or each votes for one class (of two "
             "classes, --reference has the first alone)"},
    {.name = "iterations",
     .type = CLI_INT,
     .min = 1,
     .max = 1000,
     .preset = "3",
     .help = "snuba: rounds of making candidates"},
    {.name = "cardinality",
     .type = CLI_INT,
     .min = 0,
     .max = 64,
     .preset = "0",
     .help = "snuba, iws: all subsets of up to so many features; 0: single features, and drawn "
             "subsets of growing size (reference: 1)"},
    {.name = "subsets",
     .type = CLI_INT,
     .min = 0,
     .max = 1000000,
     .preset = "0",
     .help = "snuba, iws: subsets drawn of each size (0: 8), or in all with --cardinality (0: "
             "every one)"},
    {.name = "most-rules",
     .type = CLI_INT,
     .min = 1,
     .max = 1000,
     .help = "snuba: rules at most, 40 without (not for --reference); iws: those that nobody was "
             "asked about at most, beside all that were called useful, 100 without"},
    {.name = "reference",
     .type = CLI_FLAG,
     .help = "snuba: the published algorithm, its defects included"},
    {.name = "queries",
     .type = CLI_INT,
     .min = 0,
     .max = 100000,
     .preset = "25",
     .help = "iws: rules asked about, beside 4 drawn ones"},
    {.name = "usefulness",
     .type = CLI_FLOAT,
     .low = 0,
     .high = 1,
     .preset = "0.6",
     .help = "iws: accuracy from which a rule is useful"},
    {.name = "acquisition",
     .type = CLI_ENUM,
     .choices = "straddle|active|random",
     .preset = "straddle",
     .help = "iws: which rule is asked about next"},
    {.name = "ask",
     .type = CLI_FLAG,
     .help = "iws: you answer on the terminal, instead of the labels"},
    {.name = "answers",
     .type = CLI_PATH,
     .value = "A.jsonl",
     .help = "with --ask: answers are kept here, one by one, and not asked again"},
    {.name = "texts",
     .type = CLI_PATH,
     .value = "T.tsv",
     .help = "with --ask: the rows as text, to show examples"},
    {.name = "column",
     .type = CLI_STRING,
     .preset = "text",
     .help = "the column of --texts to show"},
    {0},
};

/* What asking needs. */
typedef struct asking {
    cli_run *run;
    json_t *given;           /* the answers of this run */
    const whet_table *texts; /* NULL: rows are shown by number */
    int64_t column;
} asking;

static void show_example(const asking *a, int64_t row, whet_str class) {
    char quoted[400] = "", name[80];
    if (a->texts)
        (void)cli_quote(quoted, sizeof quoted, whet_table_cell(a->texts, row, a->column).ptr);
    (void)fprintf(stderr, "    row %lld: class %s %s\n", (long long)row,
                  cli_quote(name, sizeof name, class.ptr), quoted);
}

/* A line of the terminal. A signal ends the waiting, which fgets would begin anew. */
static bool read_answer(char line[64]) {
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    return poll(&input, 1, -1) > 0 && fgets(line, 64, stdin);
}

/* The end of the input stops, as q does, and as a signal does, which the work behind finds. */
static whet_iws_answer ask_on_terminal(void *user, const whet_iws_question *q) {
    const asking *a = user;
    char line[64];
    cli_progress_clear(a->run);
    (void)fprintf(stderr, "%lld of %lld: %s\n  votes on %.0f %% of the rows, such as\n",
                  (long long)q->number, (long long)q->of, q->rule, 100 * q->coverage);
    for (int64_t e = 0; e < q->examples; e++)
        show_example(a, q->row[e], whet_names_get(q->classes, q->vote[e]));
    for (;;) {
        (void)fprintf(stderr, "  is it right more often than not? [y]es, [n]o, [q]uit: ");
        (void)fflush(stderr);
        if (!read_answer(line) || line[0] == 'q' || line[0] == 'Q') return WHET_IWS_STOP;
        const bool yes = line[0] == 'y' || line[0] == 'Y';
        if (!yes && line[0] != 'n' && line[0] != 'N') continue;
        (void)json_array_append_new(a->given,
                                    json_pack("{s:s, s:b}", "rule", q->rule, "useful", yes));
        return yes ? WHET_IWS_YES : WHET_IWS_NO;
    }
}

/* What a person has said is not lost with the run: without a file of answers it is shown, as lines of one. */
static void show_answers(const asking *a) {
    const size_t n = json_array_size(a->given);
    if (n == 0 || cli_text(a->run, "answers")) return;
    (void)fprintf(stderr, "your answers, as lines of a file for --answers:\n");
    for (size_t i = 0; i < n; i++) {
        char *line = json_dumps(json_array_get(a->given, i), JSON_COMPACT);
        if (line) (void)fprintf(stderr, "%s\n", line);
        free(line);
    }
}

static void print_generated(cli_run *run, const whet_rules_result *r,
                            const whet_synth_report *report) {
    json_t *list = json_array();
    const double n = r->n ? (double)r->n : 1;
    cli_print(run, "rule\tcoverage\n");
    for (int64_t j = 0; j < whet_rules_count(r->rules); j++) {
        const whet_str name = whet_rules_name(r->rules, j);
        cli_print(run, "%s\t%.4f\n", name.ptr, (double)r->reports[j].votes / n);
        (void)json_array_append_new(list,
                                    json_pack("{s:s%, s:I}", "name", name.ptr, (size_t)name.len,
                                              "votes", (json_int_t)r->reports[j].votes));
    }
    cli_print(run, "%lld rules from %lld labels", (long long)report->rules,
              (long long)report->labelled);
    if (report->rounds)
        cli_print(run, ", %lld %s", (long long)report->rounds,
                  strcmp(cli_text(run, "method"), "iws") ? "rounds" : "answers");
    cli_print(run, "; %.4f of %lld rows have a vote\n", (double)r->covered / n, (long long)r->n);
    if (strcmp(cli_text(run, "method"), "similarity") == 0 && report->accuracy >= 0)
        cli_print(run,
                  "on the labels, by thresholds chosen without them: %.3f right, %.3f without a "
                  "vote\n",
                  report->accuracy, (double)report->vague / (double)report->labelled);
    else if (report->accuracy >= 0)
        cli_print(run,
                  "the rules together, out of fold on the labels that chose them (optimistic): "
                  "accuracy %.3f, log "
                  "loss %.3f\n",
                  report->accuracy, report->log_loss);
    cli_json(run, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "method",
                            cli_text(run, "method"), "rows", (json_int_t)r->n, "labels",
                            (json_int_t)report->labelled, "rounds", (json_int_t)report->rounds,
                            "candidates", (json_int_t)report->candidates, "covered",
                            (json_int_t)r->covered, "accuracy", cli_json_number(report->accuracy),
                            "log_loss", cli_json_number(report->log_loss), "classes",
                            class_list(whet_rules_classes(r->rules)), "rules", list));
}

/* Of a method without rules. */
static void print_votes(cli_run *run, const whet_rules_result *r, const whet_synth_report *report) {
    cli_print(run, "%lld columns of votes from %lld labels on %lld rows\n",
              (long long)report->rules, (long long)report->labelled, (long long)r->n);
    cli_print_mapping(run, r->classes, r->mapping);
    cli_json(run, json_pack("{s:s, s:I, s:I, s:I, s:I, s:o}", "method", cli_text(run, "method"),
                            "rows", (json_int_t)r->n, "labels", (json_int_t)report->labelled,
                            "columns", (json_int_t)report->rules, "covered", (json_int_t)r->covered,
                            "mapping", cli_mapping_json(r->classes, r->mapping)));
}

static void fill_job(cli_run *run, whet_synth_job *job) {
    static const whet_synth_method methods[] = {WHET_SYNTH_SNUBA, WHET_SYNTH_IWS,
                                                WHET_SYNTH_GOGGLES, WHET_SYNTH_SIMILARITY};
    static const whet_synth_form forms[] = {WHET_SYNTH_MULTI, WHET_SYNTH_ONE_VS_REST};
    static const whet_iws_acquisition next[] = {WHET_IWS_STRADDLE, WHET_IWS_ACTIVE,
                                                WHET_IWS_RANDOM};
    job->features = cli_text(run, "features");
    job->labels = cli_text(run, "labels");
    job->classes = cli_text(run, "classes");
    job->method = methods[cli_choice(run, "method")];
    job->class_features = cli_text(run, "class-features");
    job->votes = cli_text(run, "votes");
    job->save = cli_text(run, "save");
    job->probs = cli_text(run, "probs");
    job->snuba.reference = cli_flag(run, "reference");
    job->snuba.form = job->iws.form = forms[cli_choice(run, "form")];
    job->snuba.iterations = (int32_t)cli_integer(run, "iterations");
    job->snuba.cardinality = job->iws.cardinality = (int32_t)cli_integer(run, "cardinality");
    job->snuba.subsets = job->iws.subsets = cli_integer(run, "subsets");
    if (cli_given(run, "most-rules"))
        job->snuba.most_rules = job->iws.most_rules = (int32_t)cli_integer(run, "most-rules");
    job->iws.queries = (int32_t)cli_integer(run, "queries");
    job->iws.usefulness = cli_number(run, "usefulness");
    job->iws.acquisition = next[cli_choice(run, "acquisition")];
    job->iws.answers = cli_text(run, "answers");
    job->seed = run->seed;
    job->force = run->force;
}

/* Which options are of use with which methods; the others are of use with all. */
static const struct {
    const char *option, *methods;
} uses[] = {
    {"save", "snuba, iws or similarity"},
    {"probs", "snuba or goggles"},
    {"form", "snuba or iws"},
    {"iterations", "snuba"},
    {"cardinality", "snuba or iws"},
    {"subsets", "snuba or iws"},
    {"most-rules", "snuba or iws"},
    {"reference", "snuba"},
    {"queries", "iws"},
    {"usefulness", "iws"},
    {"acquisition", "iws"},
    {"ask", "iws"},
};

static whet_status check_uses(cli_run *run) {
    static const char *const corrected[] = {"most-rules", "probs"};
    static const char *const asked[] = {"answers", "texts"};
    const char *method = cli_text(run, "method");
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
        if (cli_given(run, uses[i].option) && !strstr(uses[i].methods, method))
            return cli_fail(run, WHET_ERR_ARG, "--%s needs --method %s", uses[i].option,
                            uses[i].methods);
    for (int i = 0; i < 2; i++)
        if (cli_given(run, corrected[i]) && cli_flag(run, "reference"))
            return cli_fail(run, WHET_ERR_ARG,
                            "--%s and --reference; expected one of them: the published algorithm "
                            "has %s",
                            corrected[i], i ? "no joint posterior" : "no limit but --iterations");
    for (int i = 0; i < 2; i++)
        if (cli_given(run, asked[i]) && !cli_flag(run, "ask"))
            return cli_fail(run, WHET_ERR_ARG, "--%s needs --ask", asked[i]);
    if (cli_given(run, "column") && !cli_text(run, "texts"))
        return cli_fail(run, WHET_ERR_ARG, "--column needs --texts");
    return WHET_OK;
}

static whet_status check_options(cli_run *run) {
    const bool similarity = strcmp(cli_text(run, "method"), "similarity") == 0;
    if (similarity != (cli_text(run, "class-features") != NULL))
        return cli_fail(run, WHET_ERR_ARG,
                        "--class-features and --method similarity; expected both or neither");
    if (!cli_text(run, "labels") && !similarity)
        return cli_fail(run, WHET_ERR_ARG, "--method %s needs --labels", cli_text(run, "method"));
    if (!cli_text(run, "labels") && !cli_text(run, "classes"))
        return cli_fail(run, WHET_ERR_ARG,
                        "neither --labels nor --classes; expected one, which names the classes");
    return check_uses(run);
}

/* The rows of the features, as texts: as many. */
static whet_status read_texts(cli_run *run, asking *ask, whet_table **texts) {
    whet_tensor features = {0};
    whet_status status = whet_table_read(run->ctx, cli_text(run, "texts"), texts);
    if (status == WHET_OK)
        status = whet_table_find(run->ctx, *texts, cli_text(run, "column"), &ask->column);
    if (status == WHET_OK) status = whet_array_read(run->ctx, cli_text(run, "features"), &features);
    if (status == WHET_OK && features.rank > 0 && features.shape[0] != whet_table_rows(*texts))
        status = cli_fail(run, WHET_ERR_SHAPE, "%s has %lld rows; expected %lld, as %s has",
                          cli_text(run, "texts"), (long long)whet_table_rows(*texts),
                          (long long)features.shape[0], cli_text(run, "features"));
    whet_tensor_destroy(run->ctx, &features);
    return status;
}

whet_status cmd_label_generate(cli_run *run) {
    whet_synth_job job = WHET_SYNTH_JOB_INIT;
    whet_synth_report report;
    whet_rules_result result;
    whet_table *texts = NULL;
    whet_status status = check_options(run);
    if (status != WHET_OK) return status;
    asking ask = {.run = run, .given = json_array()};
    fill_job(run, &job);
    if (cli_flag(run, "ask")) {
        job.iws.ask = ask_on_terminal;
        job.iws.user = &ask;
        (void)setvbuf(stdin, NULL, _IONBF, 0); /* what poll sees is all there is */
    }
    if (cli_text(run, "texts")) {
        status = read_texts(run, &ask, &texts);
        ask.texts = texts;
    }
    if (status == WHET_OK) status = whet_synth_files(run->ctx, &job, &result, &report);
    whet_table_destroy(run->ctx, texts);
    if (status != WHET_OK) show_answers(&ask);
    json_decref(ask.given);
    if (status != WHET_OK) return status;
    if (result.rules)
        print_generated(run, &result, &report);
    else
        print_votes(run, &result, &report);
    whet_rules_result_free(run->ctx, &result);
    return WHET_OK;
}
