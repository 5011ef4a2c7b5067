/* SPDX-License-Identifier: Apache-2.0
 * whet label apply: the votes of rules on rows; whet label generate: rules from a few labels. */
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
     .value = "V.npy",
     .required = true,
     .help = "votes [rows, rules] to write: class, or -1 where a rule abstains"},
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
    if (r->reused) cli_print(run, ", %lld columns taken over", (long long)r->reused);
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
     .required = true,
     .help = "table with row (from 0) and label, or a label for every row with empty cells"},
    {.name = "method",
     .type = CLI_ENUM,
     .choices = "snuba",
     .required = true,
     .help = "how rules are made and chosen"},
    {.name = "votes",
     .type = CLI_OUTPUT,
     .value = "V.npy",
     .required = true,
     .help = "votes [rows, rules] to write: class, or -1 where a rule abstains"},
    {.name = "save",
     .type = CLI_PATH,
     .value = "RULES.json",
     .help = "rules to write, for whet label apply"},
    {.name = "probs",
     .type = CLI_PATH,
     .value = "P.npy",
     .help = "the rules' joint posterior [rows, classes] to write"},
    {.name = "classes",
     .type = CLI_PATH,
     .help = "class names in the order of the votes, one a line; without: the labels', sorted"},
    {.name = "form",
     .type = CLI_ENUM,
     .choices = "multi|one-vs-rest",
     .preset = "multi",
     .help = "rules that tell all classes apart, or each votes for one class"},
    {.name = "iterations",
     .type = CLI_INT,
     .min = 1,
     .max = 1000,
     .preset = "3",
     .help = "rounds of making candidates"},
    {.name = "cardinality",
     .type = CLI_INT,
     .min = 0,
     .max = 64,
     .preset = "0",
     .help = "all subsets of up to so many features; 0: single features, and drawn subsets of "
             "growing size (reference: 1)"},
    {.name = "subsets",
     .type = CLI_INT,
     .min = 0,
     .max = 1000000,
     .preset = "0",
     .help = "subsets drawn of each size (0: 8), or in all with --cardinality (0: every one)"},
    {.name = "most-rules",
     .type = CLI_INT,
     .min = 1,
     .max = 1000,
     .preset = "40",
     .help = "rules at most (not for --reference)"},
    {.name = "reference",
     .type = CLI_FLAG,
     .help = "the published algorithm, its defects included"},
    {0},
};

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
    cli_print(run, "%lld rules from %lld labels in %lld rounds; %.4f of %lld rows have a vote\n",
              (long long)report->rules, (long long)report->labelled, (long long)report->rounds,
              (double)r->covered / n, (long long)r->n);
    if (report->accuracy >= 0)
        cli_print(run,
                  "the rules together, on labels they had not seen: accuracy %.3f, log loss "
                  "%.3f\n",
                  report->accuracy, report->log_loss);
    cli_json(run, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "method",
                            cli_text(run, "method"), "rows", (json_int_t)r->n, "labels",
                            (json_int_t)report->labelled, "rounds", (json_int_t)report->rounds,
                            "candidates", (json_int_t)report->candidates, "covered",
                            (json_int_t)r->covered, "accuracy", cli_json_number(report->accuracy),
                            "log_loss", cli_json_number(report->log_loss), "classes",
                            class_list(whet_rules_classes(r->rules)), "rules", list));
}

whet_status cmd_label_generate(cli_run *run) {
    static const whet_synth_method methods[] = {WHET_SYNTH_SNUBA};
    static const whet_synth_form forms[] = {WHET_SYNTH_MULTI, WHET_SYNTH_ONE_VS_REST};
    whet_synth_job job = WHET_SYNTH_JOB_INIT;
    whet_synth_report report;
    whet_rules_result result;
    job.features = cli_text(run, "features");
    job.labels = cli_text(run, "labels");
    job.classes = cli_text(run, "classes");
    job.method = methods[cli_choice(run, "method")];
    job.votes = cli_text(run, "votes");
    job.save = cli_text(run, "save");
    job.probs = cli_text(run, "probs");
    job.snuba.reference = cli_flag(run, "reference");
    job.snuba.form = forms[cli_choice(run, "form")];
    job.snuba.iterations = (int32_t)cli_integer(run, "iterations");
    job.snuba.cardinality = (int32_t)cli_integer(run, "cardinality");
    job.snuba.subsets = cli_integer(run, "subsets");
    job.snuba.most_rules = (int32_t)cli_integer(run, "most-rules");
    job.seed = run->seed;
    job.force = run->force;
    const whet_status status = whet_synth_files(run->ctx, &job, &result, &report);
    if (status != WHET_OK) return status;
    print_generated(run, &result, &report);
    whet_rules_result_free(run->ctx, &result);
    return WHET_OK;
}
