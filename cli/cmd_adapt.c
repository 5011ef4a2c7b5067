/* SPDX-License-Identifier: Apache-2.0
 * whet adapt: the main job; whet adapt apply: its classifier on new rows. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

const cli_option cmd_adapt_options[] = {
    {.name = "train", .type = CLI_PATH, .help = "table of texts and labels: .tsv, .csv, .jsonl"},
    {.name = "test", .type = CLI_PATH, .help = "table to predict; its labels, if any, measure"},
    {.name = "text", .type = CLI_STRING, .value = "COLUMN", .help = "column of texts [text]"},
    {.name = "label",
     .type = CLI_STRING,
     .value = "COLUMN",
     .help = "column of labels; empty cells are unlabelled [label]"},
    {.name = "groups",
     .type = CLI_STRING,
     .value = "COLUMN",
     .help = "rows with the same cell in it are held out together: of one author, say. Copies of a "
             "text always are"},
    {.name = "labels",
     .type = CLI_PATH,
     .help = "labels of some rows instead of a column: a table of row (from 0) and label"},
    {.name = "features",
     .type = CLI_PATH,
     .value = "X.npy",
     .help = "features of the training rows, instead of embedding texts"},
    {.name = "test-features",
     .type = CLI_PATH,
     .value = "X.npy",
     .help = "the same of the test rows"},
    {.name = "feature-map",
     .type = CLI_PATH,
     .value = "M.safetensors",
     .help = "a map that whet label features --save-map wrote: --features and --test-features are "
             "images or rows to put through it, and it is saved with the classifier"},
    {.name = "model",
     .type = CLI_PATH,
     .value = "DIR",
     .help = "pretrained encoder, a Hugging Face folder; without it TF-IDF"},
    {.name = "no-words",
     .type = CLI_FLAG,
     .help = "features of --model alone; else TF-IDF stands beside it where the labels say so"},
    {.name = "dtype",
     .type = CLI_ENUM,
     .choices = "auto|f32|bf16",
     .preset = "auto",
     .help = "numbers the encoder works with, as it is and in tuning; auto: f32, and in tuning "
             "products of bf16 where the processor has them"},
    {.name = "max-length",
     .type = CLI_INT,
     .min = 3,
     .max = 1 << 20,
     .help = "tokens of a text that are read; default: the model's limit"},
    {.name = "classes",
     .type = CLI_PATH,
     .help = "class list, one name a line; may hold classes without labels"},
    {.name = "class-names",
     .type = CLI_PATH,
     .help = "table of class and text: what the class names mean"},
    {.name = "budget",
     .type = CLI_INT,
     .min = 1,
     .max = INT64_MAX,
     .help = "use so many of the labels and hide the rest"},
    {.name = "draw",
     .type = CLI_ENUM,
     .choices = "uniform|coverage",
     .preset = "uniform",
     .help = "how the budget's rows are drawn"},
    {.name = "label-method",
     .type = CLI_STRING,
     .value = "NAME",
     .help = "use this candidate, whatever the comparison says: a name of its table (snuba, iws, "
             "goggles and propagate are fitted when asked for); auto: compare those, too; none: "
             "without them, as by default; beside --adapter or --end-model the teacher"},
    {.name = "end-model",
     .type = CLI_ENUM,
     .choices = "logistic|encoder|auto",
     .preset = "logistic",
     .help = "what predicts: the chosen candidate; or the encoder, tuned on its probabilities and "
             "the labels "
             "(minutes); auto: where labels that are held out say that it is better"},
    {.name = "adapter",
     .type = CLI_ENUM,
     .choices = "none|more|lora|auto",
     .preset = "none",
     .help = "tune the encoder on the labels by MoRe or LoRA adapters (half a minute to minutes); "
             "auto: where labels that are held out say that it helps"},
    {.name = "time-limit",
     .type = CLI_FLOAT,
     .value = "SECONDS",
     .low = 1,
     .high = 1e9,
     .help = "tuning must be done within so many seconds of the job: what would not fit is passed "
             "by, and --adapter auto tries more where there is time"},
    {.name = "space",
     .type = CLI_STRING,
     .value = "SPACE",
     .help = "label space: predict by the Frechet mean; tree:FILE, matrix:FILE.npy, .."},
    {.name = "candidates",
     .type = CLI_ENUM,
     .choices = "all|observed|leaves",
     .help = "points of the space that may be predicted; default: leaves, or all when a class is "
             "an inner node"},
    {.name = "output",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "folder to write"},
    {0},
};

const cli_option cmd_adapt_apply_options[] = {
    {.name = "classifier",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "folder classifier/ of a whet adapt"},
    {.name = "input", .type = CLI_PATH, .help = "table of texts"},
    {.name = "text",
     .type = CLI_STRING,
     .value = "COLUMN",
     .help = "column of texts; default: as in training"},
    {.name = "features",
     .type = CLI_PATH,
     .value = "X.npy",
     .help = "features instead of texts, when the classifier was made from features; what its "
             "map takes, when it was made with --feature-map"},
    {.name = "model",
     .type = CLI_PATH,
     .value = "DIR",
     .help = "the encoder, when it has moved since"},
    {.name = "space",
     .type = CLI_STRING,
     .value = "SPACE",
     .help = "label space: predict by the Frechet mean, as whet adapt --space does"},
    {.name = "candidates",
     .type = CLI_ENUM,
     .choices = "all|observed|leaves",
     .help = "points of the space that may be predicted; default: leaves, or all when a class is "
             "an inner node"},
    {.name = "output",
     .type = CLI_OUTPUT,
     .value = "T.tsv",
     .required = true,
     .help = "table of predictions to write; - is standard output"},
    {0},
};

static whet_adapt_job job_of(const cli_run *run) {
    whet_adapt_job job = WHET_ADAPT_JOB_INIT;
    job.train = cli_text(run, "train");
    job.test = cli_text(run, "test");
    job.text = cli_text(run, "text");
    job.label = cli_text(run, "label");
    job.groups = cli_text(run, "groups");
    job.labels = cli_text(run, "labels");
    job.features = cli_text(run, "features");
    job.test_features = cli_text(run, "test-features");
    job.feature_map = cli_text(run, "feature-map");
    job.classes = cli_text(run, "classes");
    job.class_names = cli_text(run, "class-names");
    job.model = cli_text(run, "model");
    job.dtype = cli_choice(run, "dtype") == 2 ? WHET_BF16 : WHET_F32;
    job.tune_exact = cli_choice(run, "dtype") == 1;
    job.max_length = cli_integer(run, "max-length");
    job.space = cli_text(run, "space");
    job.space_candidates = cli_text(run, "candidates");
    job.method = cli_text(run, "label-method");
    job.no_words = cli_flag(run, "no-words");
    job.end_model = (whet_end_model)cli_choice(run, "end-model");
    job.adapter = (whet_adapter_choice)cli_choice(run, "adapter");
    job.time_limit = cli_given(run, "time-limit") ? cli_number(run, "time-limit") : 0;
    job.budget = cli_integer(run, "budget");
    job.draw = cli_choice(run, "draw") == 1 ? WHET_DRAW_COVERAGE : WHET_DRAW_UNIFORM;
    job.seed = run->seed;
    job.output = cli_text(run, "output");
    job.force = run->force;
    return job;
}

static whet_status candidates_alone(cli_run *run) {
    return cli_fail(run, WHET_ERR_ARG, "--candidates is of a label space; expected --space");
}

/* What would change nothing: options of texts, of an encoder and of tables, where there are none. */
static whet_status check_effect(cli_run *run) {
    static const char *const of_tables[] = {"text", "label"}, *const of_model[] = {"max-length",
                                                                                   "no-words"};
    if (cli_given(run, "groups") && !cli_text(run, "train"))
        return cli_fail(run, WHET_ERR_ARG, "--groups is a column of --train; expected one");
    const bool tables = cli_text(run, "train") || cli_text(run, "test");
    for (size_t i = 0; i < 2; i++)
        if (cli_given(run, of_tables[i]) && !tables)
            return cli_fail(run, WHET_ERR_ARG,
                            "--%s is a column of a table; expected --train or --test",
                            of_tables[i]);
    if (cli_given(run, "class-names") && cli_given(run, "features"))
        return cli_fail(run, WHET_ERR_ARG,
                        "--class-names are embedded as the texts are; expected texts, not "
                        "--features");
    if (cli_given(run, "model")) return WHET_OK;
    for (size_t i = 0; i < 2; i++)
        if (cli_given(run, of_model[i]))
            return cli_fail(run, WHET_ERR_ARG, "--%s is of the encoder of --model; expected one",
                            of_model[i]);
    if (cli_choice(run, "dtype") != 0)
        return cli_fail(run, WHET_ERR_ARG, "--dtype %s is of the encoder of --model; expected one",
                        cli_text(run, "dtype"));
    return WHET_OK;
}

static whet_status check_usage(cli_run *run) {
    if (!cli_text(run, "train") && !cli_text(run, "features"))
        return cli_fail(run, WHET_ERR_ARG,
                        "option --train is missing (or --features with --labels); see whet adapt "
                        "--help");
    if (!cli_text(run, "train") && !cli_text(run, "labels"))
        return cli_fail(run, WHET_ERR_ARG, "--features without --train needs --labels");
    if (cli_given(run, "candidates") && !cli_given(run, "space")) return candidates_alone(run);
    if (cli_given(run, "draw") && !cli_given(run, "budget"))
        return cli_fail(run, WHET_ERR_ARG, "--draw says how a budget is drawn; expected --budget");
    if (cli_choice(run, "end-model") != (int32_t)WHET_END_LOGISTIC && !cli_given(run, "model"))
        return cli_fail(run, WHET_ERR_ARG,
                        "--end-model %s tunes the encoder of --model; expected one",
                        cli_text(run, "end-model"));
    if (cli_choice(run, "adapter") != (int32_t)WHET_ADAPTER_NONE && !cli_given(run, "model"))
        return cli_fail(run, WHET_ERR_ARG,
                        "--adapter %s tunes the encoder of --model; expected one",
                        cli_text(run, "adapter"));
    if (cli_given(run, "time-limit") && cli_choice(run, "adapter") == 0 &&
        cli_choice(run, "end-model") == 0)
        return cli_fail(run, WHET_ERR_ARG,
                        "--time-limit is of tuning; expected --adapter or --end-model as well");
    if (cli_given(run, "feature-map") && !cli_given(run, "features"))
        return cli_fail(run, WHET_ERR_ARG,
                        "--feature-map makes features of arrays; expected --features");
    if (cli_given(run, "features") && cli_given(run, "model"))
        return cli_fail(run, WHET_ERR_ARG,
                        "--features and --model both make features; expected one of them");
    return check_effect(run);
}

/* ---- the summary ----------------------------------------------------------------------------- */

static void print_accuracy(cli_run *run, const json_t *metrics) {
    char text[64] = "";
    if (json_is_number(json_object_get(metrics, "accuracy")))
        (void)snprintf(text, sizeof text, "%5.1f (%.0f to %.0f)",
                       100 * cli_real_at(metrics, "accuracy"),
                       100 * cli_real_at(metrics, "accuracy_low"),
                       100 * cli_real_at(metrics, "accuracy_high"));
    cli_print(run, "  %-17s", text);
}

/* Wide enough for the longest name. */
static int name_width(const json_t *candidates) {
    size_t i, width = strlen("candidate");
    json_t *c;
    json_array_foreach(candidates, i, c) {
        const size_t length = strlen(cli_text_at(c, "name"));
        width = length > width ? length : width;
    }
    return width > 40 ? 40 : (int)width;
}

/* Candidate i and those behind it that are missing for the same reason, on one line: how many. */
static size_t print_missing(cli_run *run, const json_t *candidates, size_t i) {
    const char *note = cli_text_at(json_array_get(candidates, i), "note");
    size_t n = 0;
    for (; i + n < json_array_size(candidates); n++) {
        const json_t *c = json_array_get(candidates, i + n);
        if (json_is_true(json_object_get(c, "available")) ||
            strcmp(cli_text_at(c, "note"), note) != 0)
            break;
        cli_print(run, "%s%s", n ? ", " : "  ", cli_text_at(c, "name"));
    }
    cli_print(run, ": %s\n", note);
    return n;
}

static void print_candidates(cli_run *run, const json_t *root) {
    const bool tested = !json_is_null(json_object_get(root, "test"));
    const json_t *candidates = json_object_get(root, "candidates");
    const int width = name_width(candidates);
    cli_print(run, "\n  %-*s  %-17s", width, "candidate", "cross-fitted, %");
    if (tested) cli_print(run, "  %-17s  %8s  %8s", "test, %", "macro F1", "log loss");
    cli_print(run, "\n");
    for (size_t i = 0; i < json_array_size(candidates); i++) {
        const json_t *c = json_array_get(candidates, i);
        const bool chosen = json_is_true(json_object_get(c, "chosen"));
        if (!json_is_true(json_object_get(c, "available"))) {
            i += print_missing(run, candidates, i) - 1;
            continue;
        }
        cli_print(run, "%s %-*s", chosen ? "*" : " ", width, cli_text_at(c, "name"));
        const json_t *test = json_object_get(c, "test");
        if (json_is_null(json_object_get(c, "cross_fitted")))
            cli_print(run, "  %-17s", "not compared");
        else
            print_accuracy(run, json_object_get(c, "cross_fitted"));
        if (tested) {
            print_accuracy(run, test);
            cli_print(run, "  %8.3f  %8.3f", cli_real_at(test, "macro_f1"),
                      cli_real_at(test, "log_loss"));
        }
        cli_print(run, "\n");
    }
}

static void print_space(cli_run *run, const json_t *space) {
    const char *const sides[] = {"argmax", "frechet"};
    if (json_is_null(space)) return;
    cli_print(run, "\n  %-14s  %-17s  %13s  %12s\n", "label space", "test, %", "mean distance",
              "squared");
    for (int i = 0; i < 2; i++) {
        const json_t *side = json_object_get(space, sides[i]);
        cli_print(run, "  %-14s", sides[i]);
        print_accuracy(run, side);
        cli_print(run, "  %13.4g  %12.4g\n", cli_real_at(side, "mean_distance"),
                  cli_real_at(side, "mean_squared_distance"));
    }
}

/* With a space the table's class is the Frechet mean, and argmax stands beside it. */
static void print_right(cli_run *run, const json_t *root) {
    const json_t *test = json_object_get(root, "test");
    const json_t *written = json_object_get(root, "predictions");
    const bool spaced = !json_is_null(json_object_get(json_object_get(root, "settings"), "space"));
    if (json_is_null(test) || json_is_null(written)) return;
    cli_print(run, "test: %.1f %% of %lld rows right%s (95 %%: %.1f to %.1f)",
              100 * cli_real_at(written, "accuracy"), cli_count_at(written, "n"),
              spaced ? " by the Frechet mean" : "", 100 * cli_real_at(written, "accuracy_low"),
              100 * cli_real_at(written, "accuracy_high"));
    if (spaced) cli_print(run, "; %.1f by argmax", 100 * cli_real_at(test, "accuracy"));
    cli_print(run, ", calibration error %.3f\n", cli_real_at(test, "calibration_error"));
}

/* Without a test table the rows that were learnt from are predicted, too. */
static void print_fitted(cli_run *run, const json_t *data) {
    if (!json_is_null(json_object_get(data, "test_rows"))) return;
    cli_print(run,
              "%lld of the predicted rows have a label that was learnt from: their probabilities "
              "were fitted to it,\nand are too high\n",
              cli_count_at(data, "labels_used"));
}

/* Labels that others speak against. */
static void print_doubts(cli_run *run, const json_t *held) {
    enum { SHOWN = 3 };
    const json_t *first = json_object_get(held, "first"), *one;
    size_t i;
    if (cli_count_at(held, "doubted") == 0) return;
    cli_print(run, "%lld of %lld labels %s another class's by the other labels (held_out.tsv):",
              cli_count_at(held, "doubted"), cli_count_at(held, "labels"),
              cli_count_at(held, "doubted") == 1 ? "is" : "are");
    json_array_foreach(first, i, one) {
        if (i == SHOWN) break;
        cli_print(run, "%s row %lld (%s at %.0f %%, %s at %.0f %%)", i ? "," : "",
                  cli_count_at(one, "row"), cli_text_at(one, "label"),
                  100 * cli_real_at(one, "own"), cli_text_at(one, "class"),
                  100 * cli_real_at(one, "probability"));
    }
    cli_print(run, "%s\n", json_array_size(first) > SHOWN ? ", ..." : "");
}

static void print_summary(cli_run *run, const json_t *root) {
    const json_t *data = json_object_get(root, "data");
    const char *output = cli_text(run, "output");
    cli_print(run, "%lld rows, %lld classes, %lld labels used", cli_count_at(data, "rows"),
              cli_count_at(data, "class_count"), cli_count_at(data, "labels_used"));
    if (cli_count_at(data, "labels_hidden"))
        cli_print(run, " (%lld hidden by the budget)", cli_count_at(data, "labels_hidden"));
    cli_print(run, "; features: %s, %lld columns\n",
              cli_text_at(json_object_get(root, "features"), "source"),
              cli_count_at(json_object_get(root, "features"), "columns"));
    print_candidates(run, root);
    cli_print(run, "\n* chosen: %s. %s\n", cli_text_at(root, "chosen"),
              cli_text_at(root, "reason"));
    const json_t *end = json_object_get(root, "end_model");
    if (json_is_object(end) && json_is_false(json_object_get(end, "kept")))
        cli_print(run, "%s\n", cli_text_at(end, "reason"));
    print_right(run, root);
    print_fitted(run, data);
    print_doubts(run, json_object_get(root, "held_out"));
    print_space(run, json_object_get(root, "space"));
    cli_print(run,
              "\nwrote %s: predictions.tsv,%s metrics.json, report.html, classifier/ (%.1f s)\n",
              output, json_is_null(json_object_get(root, "held_out")) ? "" : " held_out.tsv,",
              cli_real_at(json_object_get(root, "seconds"), "total"));
}

whet_status cmd_adapt(cli_run *run) {
    char *metrics = NULL, *command;
    json_t *root;
    whet_status status = check_usage(run);
    if (status != WHET_OK) return status;
    whet_adapt_job job = job_of(run);
    job.command = command = cli_command_line(run);
    status = whet_adapt_run(run->ctx, &job, &metrics);
    free(command);
    if (status == WHET_OK) status = cli_report(run, metrics, &root);
    if (status != WHET_OK) return status;
    print_summary(run, root);
    cli_json(run, root);
    return WHET_OK;
}

whet_status cmd_adapt_apply(cli_run *run) {
    int64_t rows;
    whet_apply_job job = WHET_APPLY_JOB_INIT;
    job.classifier = cli_text(run, "classifier");
    job.input = cli_text(run, "input");
    job.text = cli_text(run, "text");
    job.features = cli_text(run, "features");
    job.model = cli_text(run, "model");
    job.space = cli_text(run, "space");
    job.space_candidates = cli_text(run, "candidates");
    job.output = cli_text(run, "output");
    job.force = run->force;
    if (cli_given(run, "candidates") && !cli_given(run, "space")) return candidates_alone(run);
    if (!job.input == !job.features)
        return cli_fail(run, WHET_ERR_ARG, "%s; expected one of --input and --features",
                        job.input ? "--input and --features are both given"
                                  : "no rows to predict are given");
    if (job.features && job.text)
        return cli_fail(run, WHET_ERR_ARG, "--text is a column of --input; expected --input");
    if (job.features && job.model)
        return cli_fail(run, WHET_ERR_ARG,
                        "--model embeds the texts of --input; expected --input, not --features");
    const whet_status status = whet_adapt_apply(run->ctx, &job, &rows);
    if (status != WHET_OK) return status;
    cli_print(run, "%lld rows predicted: %s\n", (long long)rows, job.output);
    cli_json(run, json_pack("{s:I, s:s}", "rows", (json_int_t)rows, "output", job.output));
    return WHET_OK;
}
