/* SPDX-License-Identifier: Apache-2.0
 * whet label features: features without a model, for the other commands of label. */
#include "cli.h"

const cli_option cmd_label_features_options[] = {
    {.name = "method",
     .type = CLI_ENUM,
     .choices = "tfidf|pca",
     .required = true,
     .help = "words and pieces of words of texts, or principal components of features"},
    {.name = "input",
     .type = CLI_PATH,
     .value = "T.tsv|X.npy",
     .required = true,
     .help = "a table of texts, or features [rows, d]: what is fitted to, and transformed"},
    {.name = "column", .type = CLI_STRING, .preset = "text", .help = "tfidf: the column of texts"},
    {.name = "dim",
     .type = CLI_INT,
     .min = 1,
     .max = 1024,
     .preset = "100",
     .help = "columns at most"},
    {.name = "output",
     .type = CLI_OUTPUT,
     .value = "Y.npy",
     .required = true,
     .help = "features [rows, columns] to write"},
    {.name = "test",
     .type = CLI_PATH,
     .help = "rows that are transformed as --input is, but not fitted to"},
    {.name = "test-output",
     .type = CLI_PATH,
     .value = "Z.npy",
     .help = "features of --test to write"},
    {0},
};

whet_status cmd_label_features(cli_run *run) {
    static const whet_features methods[] = {WHET_FEATURES_TFIDF, WHET_FEATURES_PCA};
    whet_feature_job job = WHET_FEATURE_JOB_INIT;
    whet_feature_result result;
    job.method = methods[cli_choice(run, "method")];
    job.input = cli_text(run, "input");
    job.column = cli_text(run, "column");
    job.dim = cli_integer(run, "dim");
    job.output = cli_text(run, "output");
    job.test = cli_text(run, "test");
    job.test_output = cli_text(run, "test-output");
    job.seed = run->seed;
    job.force = run->force;
    if (!job.test != !job.test_output)
        return cli_fail(run, WHET_ERR_ARG, "--test and --test-output; expected both or neither");
    const whet_status status = whet_feature_files(run->ctx, &job, &result);
    if (status != WHET_OK) return status;
    cli_print(run, "%s: %lld rows of %lld columns\n", job.output, (long long)result.rows,
              (long long)result.dim);
    if (job.test) cli_print(run, "%s: %lld rows\n", job.test_output, (long long)result.test_rows);
    if (result.explained >= 0)
        cli_print(run, "the components keep %.1f %% of the variance\n", 100 * result.explained);
    cli_json(run,
             json_pack("{s:s, s:I, s:I, s:I, s:o, s:s}", "method", cli_text(run, "method"), "rows",
                       (json_int_t)result.rows, "test_rows", (json_int_t)result.test_rows,
                       "columns", (json_int_t)result.dim, "explained",
                       result.explained >= 0 ? json_real(result.explained) : json_null(), "output",
                       job.output));
    return WHET_OK;
}
