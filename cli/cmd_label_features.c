/* SPDX-License-Identifier: Apache-2.0
 * whet label features: features of texts and images for the other commands of label. */
#include "cli.h"

const cli_option cmd_label_features_options[] = {
    {.name = "method",
     .type = CLI_ENUM,
     .choices = "tfidf|pca|vae|resnet",
     .help = "of texts; principal components; of images by an autoencoder trained on them, or by a "
             "pretrained ResNet"},
    {.name = "input",
     .type = CLI_PATH,
     .value = "T.tsv|X.npy",
     .required = true,
     .help = "what is fitted to, and transformed: a table of texts, features [rows, d], or images "
             "[rows, height, width(, channels)] of bytes or of reals in [0, 1]"},
    {.name = "column", .type = CLI_STRING, .preset = "text", .help = "tfidf: the column of texts"},
    {.name = "dim",
     .type = CLI_INT,
     .min = 1,
     .max = 1024,
     .preset = "100",
     .help = "tfidf, pca: columns at most (vae has 128, resnet 64)"},
    {.name = "weights",
     .type = CLI_PATH,
     .value = "W.safetensors",
     .help = "resnet: a ResNet for 32 x 32 images, named as in pytorch_resnet_cifar10"},
    {.name = "save-map",
     .type = CLI_OUTPUT,
     .value = "M.safetensors",
     .help = "keep what is fitted, to make features of later rows"},
    {.name = "map",
     .type = CLI_PATH,
     .value = "M.safetensors",
     .help = "in place of --method: a saved map, which --input and --test are put through"},
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

/* What is said with a saved map, which has all that is fitted or chosen, and without one. */
static whet_status check_usage(cli_run *run, const whet_feature_job *job) {
    static const char *const fitted[] = {"method", "dim", "weights", "save-map"};
    for (size_t i = 0; job->map && i < sizeof fitted / sizeof *fitted; i++)
        if (cli_given(run, fitted[i]))
            return cli_fail(run, WHET_ERR_ARG, "--map and --%s; expected one of them", fitted[i]);
    if (!job->test != !job->test_output)
        return cli_fail(run, WHET_ERR_ARG, "--test and --test-output; expected both or neither");
    if (job->map) return WHET_OK;
    if (!cli_given(run, "method"))
        return cli_fail(run, WHET_ERR_ARG,
                        "option --method is missing (or --map); see whet label features --help");
    if ((job->method == WHET_FEATURES_RESNET) != (job->weights != NULL))
        return cli_fail(run, WHET_ERR_ARG, "%s",
                        job->weights ? "--weights needs --method resnet"
                                     : "--method resnet needs --weights W.safetensors");
    if (cli_given(run, "dim") && job->method != WHET_FEATURES_TFIDF &&
        job->method != WHET_FEATURES_PCA)
        return cli_fail(run, WHET_ERR_ARG,
                        "--dim needs --method tfidf or pca; the columns of %s are fixed",
                        cli_text(run, "method"));
    if (cli_given(run, "column") && job->method != WHET_FEATURES_TFIDF)
        return cli_fail(run, WHET_ERR_ARG, "--column needs --method tfidf");
    return WHET_OK;
}

whet_status cmd_label_features(cli_run *run) {
    static const char *const names[] = {"tfidf", "pca", "vae", "resnet"};
    whet_feature_job job = WHET_FEATURE_JOB_INIT;
    whet_feature_result result;
    if (cli_given(run, "method")) job.method = (whet_features)cli_choice(run, "method");
    job.input = cli_text(run, "input");
    job.column = cli_text(run, "column");
    job.dim = cli_integer(run, "dim");
    job.output = cli_text(run, "output");
    job.test = cli_text(run, "test");
    job.test_output = cli_text(run, "test-output");
    job.weights = cli_text(run, "weights");
    job.seed = run->seed;
    job.force = run->force;
    job.save_map = cli_text(run, "save-map");
    job.map = cli_text(run, "map");
    const whet_status usage = check_usage(run, &job);
    if (usage != WHET_OK) return usage;
    const whet_status status = whet_feature_files(run->ctx, &job, &result);
    if (status != WHET_OK) return status;
    cli_print(run, "%s: %lld rows of %lld columns\n", job.output, (long long)result.rows,
              (long long)result.dim);
    if (job.test) cli_print(run, "%s: %lld rows\n", job.test_output, (long long)result.test_rows);
    if (job.save_map) cli_print(run, "%s: the map\n", job.save_map);
    if (result.explained >= 0)
        cli_print(run, "the components keep %.1f %% of the variance\n", 100 * result.explained);
    cli_json(run,
             json_pack("{s:s, s:I, s:I, s:I, s:o, s:s}", "method", names[result.method], "rows",
                       (json_int_t)result.rows, "test_rows", (json_int_t)result.test_rows,
                       "columns", (json_int_t)result.dim, "explained",
                       result.explained >= 0 ? json_real(result.explained) : json_null(), "output",
                       job.output));
    return WHET_OK;
}
