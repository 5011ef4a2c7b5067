/* SPDX-License-Identifier: Apache-2.0
 * whet label count: shards of votes to counts that add up; whet label predict: a saved label model on
 * votes. */
#include "cli.h"

/* ---- count ------------------------------------------------------------------------------------ */

const cli_option cmd_label_count_options[] = {
    {.name = "votes",
     .type = CLI_LIST,
     .value = "V.npy",
     .help = "votes [rows, rules], -1 = abstain, or a table with row, rule, vote; may be repeated"},
    {.name = "add",
     .type = CLI_LIST,
     .value = "C.npz",
     .help = "counts made before, which are added; may be repeated"},
    {.name = "counts",
     .type = CLI_OUTPUT,
     .value = "C.npz",
     .required = true,
     .help = "counts to write, for whet label fit --counts"},
    {.name = "class-count",
     .type = CLI_INT,
     .min = 2,
     .max = INT32_MAX,
     .help = "classes there are; without: as --add says, or voted for in the one file of votes"},
    {.name = "rules",
     .type = CLI_INT,
     .min = 1,
     .max = INT32_MAX,
     .help = "rules there are, for triples that leave out some at the end"},
    {.name = "rows",
     .type = CLI_INT,
     .min = 1,
     .max = INT64_MAX,
     .help = "rows there are in each file of votes, likewise"},
    {0},
};

static void print_counts(cli_run *run, const whet_label_count_job *job,
                         const whet_vote_counts *counts) {
    const int64_t rows = whet_vote_counts_rows(counts);
    int64_t m, k;
    json_t *votes = json_array();
    whet_vote_counts_size(counts, &m, &k);
    cli_print(run, "%lld rows of %lld rules and %lld classes: %s\n\nrule   coverage\n",
              (long long)rows, (long long)m, (long long)k, job->output);
    for (int64_t j = 0; j < m; j++) {
        int64_t all = 0;
        for (int32_t c = 0; c < k; c++) all += whet_vote_counts_of(counts, j, c, j, c);
        cli_print(run, "%-6lld %8.4f\n", (long long)j, rows ? (double)all / (double)rows : 0);
        (void)json_array_append_new(votes, json_integer((json_int_t)all));
    }
    cli_json(run, json_pack("{s:I, s:I, s:I, s:o, s:s}", "rows", (json_int_t)rows, "rules",
                            (json_int_t)m, "classes", (json_int_t)k, "votes", votes, "output",
                            job->output));
}

whet_status cmd_label_count(cli_run *run) {
    const char *votes[CLI_LIST_MAX], *counted[CLI_LIST_MAX];
    whet_label_count_job job = WHET_LABEL_COUNT_JOB_INIT;
    whet_vote_counts *counts;
    job.votes = votes;
    job.n_votes = cli_list_count(run, "votes");
    job.counted = counted;
    job.n_counted = cli_list_count(run, "add");
    for (int32_t i = 0; i < job.n_votes; i++) votes[i] = cli_list_item(run, "votes", i);
    for (int32_t i = 0; i < job.n_counted; i++) counted[i] = cli_list_item(run, "add", i);
    job.reading.rows = cli_integer(run, "rows");
    job.reading.rules = cli_integer(run, "rules");
    job.reading.classes = cli_integer(run, "class-count");
    job.output = cli_text(run, "counts");
    job.force = run->force;
    if (job.n_votes + job.n_counted == 0)
        return cli_fail(run, WHET_ERR_ARG, "neither --votes nor --add; expected one of them");
    if (job.n_votes > 1 && !job.reading.classes && !job.n_counted)
        return cli_fail(run, WHET_ERR_ARG, "several --votes need --class-count, or --add");
    const whet_status status = whet_label_count_run(run->ctx, &job, &counts);
    if (status != WHET_OK) return status;
    print_counts(run, &job, counts);
    whet_vote_counts_destroy(run->ctx, counts);
    return WHET_OK;
}

/* ---- predict ---------------------------------------------------------------------------------- */

const cli_option cmd_label_predict_options[] = {
    {.name = "model-file",
     .type = CLI_PATH,
     .value = "M.json",
     .required = true,
     .help = "a model that whet label fit --save-model wrote"},
    {.name = "votes",
     .type = CLI_PATH,
     .value = "V.npy",
     .required = true,
     .help = "votes of the same rules, as whet label fit takes them; arrays of any length"},
    {.name = "probs",
     .type = CLI_OUTPUT,
     .value = "P.npy",
     .help = "probabilities [rows, classes] to write"},
    {.name = "predictions",
     .type = CLI_OUTPUT,
     .value = "T.tsv",
     .help = "row, class, probability of every row to write"},
    {.name = "ties",
     .type = CLI_ENUM,
     .choices = "lowest|abstain|hash",
     .preset = "abstain",
     .help = "class of rows whose best classes tie: the lowest, none (nor for rows without votes), "
             "or by a hash of the row"},
    {.name = "classes",
     .type = CLI_PATH,
     .help = "class names, which must be the model's; for a model that was fitted without them"},
    {.name = "rule-names",
     .type = CLI_PATH,
     .help = "names of the votes' rules, one a line, or a file of rules (.json): matched with the "
             "model's by name, in any order; without, by place"},
    {.name = "rows",
     .type = CLI_INT,
     .min = 1,
     .max = INT64_MAX,
     .help = "rows there are, for triples that leave out some at the end"},
    {0},
};

static json_t *class_list(const whet_names *classes) {
    json_t *list = json_array();
    for (int64_t i = 0; classes && i < whet_names_count(classes); i++) {
        const whet_str name = whet_names_get(classes, i);
        (void)json_array_append_new(list, json_stringn(name.ptr, (size_t)name.len));
    }
    return list;
}

whet_status cmd_label_predict(cli_run *run) {
    static const whet_tie_policy ties[] = {WHET_TIE_LOWEST, WHET_TIE_ABSTAIN, WHET_TIE_HASH};
    whet_label_predict_job job = WHET_LABEL_PREDICT_JOB_INIT;
    whet_label_predict_result r;
    whet_label_model_info info;
    job.model = cli_text(run, "model-file");
    job.votes = cli_text(run, "votes");
    job.rows = cli_integer(run, "rows");
    job.classes = cli_text(run, "classes");
    job.rules = cli_text(run, "rule-names");
    job.probs = cli_text(run, "probs");
    job.predictions = cli_text(run, "predictions");
    job.ties = ties[cli_choice(run, "ties")];
    job.force = run->force;
    if (!job.probs && !job.predictions)
        return cli_fail(run, WHET_ERR_ARG,
                        "neither --probs nor --predictions; expected one of them");
    const whet_status status = whet_label_predict_run(run->ctx, &job, &r);
    if (status != WHET_OK) return status;
    whet_label_model_get_info(r.model, &info);
    cli_print(run, "%s of %lld rules, fitted to %lld rows, on %lld rows (%lld with votes)\n",
              whet_label_method_name(info.method), (long long)info.m, (long long)info.rows,
              (long long)r.rows, (long long)r.covered);
    cli_json(run, json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:s}", "model",
                            whet_label_method_name(info.method), "rows", (json_int_t)r.rows,
                            "covered", (json_int_t)r.covered, "rules", (json_int_t)info.m,
                            "classes", (json_int_t)info.k, "names", class_list(r.classes), "output",
                            job.probs ? job.probs : job.predictions));
    whet_label_predict_result_destroy(run->ctx, &r);
    return WHET_OK;
}
