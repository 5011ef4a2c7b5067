/* SPDX-License-Identifier: Apache-2.0
 * whet align: the units of a network renumbered to match another's. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

const cli_option cmd_align_options[] = {
    {.name = "arch",
     .type = CLI_STRING,
     .value = "NAME[:N]|S.json",
     .preset = "auto",
     .help =
         "architecture, with the number of groups of its group norms (resnet:8, auto:1) or the\n"
         "channels of each (resnet:x16), or a specification of the axes that move together"},
    {.name = "method",
     .type = CLI_ENUM,
     .choices = "weights|activations|straight-through",
     .preset = "weights",
     .help = "what has to agree: weights, or what units put out on --data; straight-through:\n"
             "weights, refined to the least loss of the midpoint on --data and --labels"},
    {.name = "output",
     .type = CLI_PATH,
     .value = "B2.safetensors|FOLDER",
     .required = true,
     .help = "B renumbered: one file, or a folder with B's config.json and tokenizer"},
    {.name = "shard-size",
     .type = CLI_FLOAT,
     .value = "GB",
     .low = 1e-9,
     .high = 1e6,
     .preset = "5",
     .help = "of a folder's files of weights, in 1e9 bytes"},
    {.name = "restarts",
     .type = CLI_INT,
     .min = 1,
     .max = 1000,
     .preset = "1",
     .help = "weights: orders of visiting groups that are tried; the best one counts"},
    {.name = "max-sweeps",
     .type = CLI_INT,
     .min = 1,
     .max = 100000,
     .preset = "100",
     .help = "weights: sweeps over all groups, at most"},
    {.name = "data",
     .type = CLI_PATH,
     .value = "X.npy|T.tsv",
     .help =
         "inputs [n, d], [n, h, w] or [n, h, w, c]: bytes (divided by 255) or reals; of encoders\n"
         "with a head for classes a table (.tsv, .csv, .jsonl) of texts with labels"},
    {.name = "labels", .type = CLI_PATH, .value = "Y.npy", .help = "classes of --data, from 0"},
    {.name = "text",
     .type = CLI_STRING,
     .value = "COLUMN",
     .preset = "text",
     .help = "a table's column of texts"},
    {.name = "second",
     .type = CLI_STRING,
     .value = "COLUMN",
     .help = "its column of second texts: the model reads pairs"},
    {.name = "label",
     .type = CLI_STRING,
     .value = "COLUMN",
     .preset = "label",
     .help =
         "its column of labels, classes of A's config.json; rows with an empty cell are left out"},
    {.name = "max-length",
     .type = CLI_INT,
     .min = 3,
     .max = 1 << 20,
     .help = "tokens a text; without it, the model's limit"},
    {.name = "epochs",
     .type = CLI_INT,
     .min = 1,
     .max = 1000000,
     .preset = "250",
     .help = "straight-through: passes over --data"},
    {.name = "batch-size",
     .type = CLI_INT,
     .min = 1,
     .max = 1 << 24,
     .preset = "1000",
     .help = "straight-through: examples of a step"},
    {.name = "lr",
     .type = CLI_FLOAT,
     .low = 1e-9,
     .high = 1000,
     .preset = "0.01",
     .help = "straight-through: rate of gradient descent"},
    {.name = "mean",
     .type = CLI_LIST,
     .value = "M,..",
     .help = "of each channel, subtracted from inputs in [0, 1] (resnet: those of ImageNet)"},
    {.name = "deviation",
     .type = CLI_LIST,
     .value = "D,..",
     .help = "of each channel, inputs are divided by it (resnet: those of ImageNet)"},
    {.name = "barrier",
     .type = CLI_FLAG,
     .help = "measure loss and accuracy on the line from A to B, before and after"},
    {.name = "points",
     .type = CLI_INT,
     .min = 2,
     .max = 1001,
     .preset = "11",
     .help = "barrier: points of the line, ends included"},
    {.name = "measure",
     .type = CLI_PATH,
     .value = "X.npy",
     .help = "barrier: inputs by which batch norms are measured again, of mixtures and ends;\n"
             "activations are matched on them, too"},
    {.name = "repair",
     .type = CLI_FLAG,
     .help =
         "barrier: also give hidden units of mixtures the means and deviations between\n"
         "those of A and B (REPAIR), on --measure's inputs, else --data's: without batch norms"},
    {.name = "figure", .type = CLI_OUTPUT, .value = "F.svg", .help = "barrier: the lines, drawn"},
    {.name = "save-spec",
     .type = CLI_OUTPUT,
     .value = "S.json",
     .help = "the specification that was used, to write"},
    {.name = "heads",
     .type = CLI_INT,
     .min = 1,
     .max = 1 << 20,
     .help = "attention heads; else as config.json of A or B says"},
    {.name = "kv-heads",
     .type = CLI_INT,
     .min = 1,
     .max = 1 << 20,
     .help = "heads of keys and values; else as config.json says, or as many as heads"},
    {0},
};

/* ---- what goes in --------------------------------------------------------------------------------- */

static whet_status read_channels(cli_run *run, const char *name, double *out) {
    const int32_t n = cli_list_count(run, name);
    if (n == 0) return WHET_OK;
    if (n > 3)
        return cli_fail(run, WHET_ERR_ARG, "--%s: %d numbers; expected 1 to 3", name, (int)n);
    for (int32_t i = 0; i < n; i++) {
        char *end;
        const char *text = cli_list_item(run, name, i);
        out[i] = strtod(text, &end);
        if (end == text || *end || !(out[i] > -1e9 && out[i] < 1e9))
            return cli_fail(run, WHET_ERR_ARG, "--%s: %s; expected a number", name, text);
    }
    for (int32_t i = n; n == 1 && i < 3; i++) out[i] = out[0];
    return WHET_OK;
}

whet_status cli_image_scale(cli_run *run, double mean[3], double scale[3]) {
    for (int i = 0; i < 3; i++) mean[i] = scale[i] = NAN;
    const whet_status status = read_channels(run, "mean", mean);
    return status == WHET_OK ? read_channels(run, "deviation", scale) : status;
}

/* With or without a number of groups behind it. */
static bool is_arch(const char *given, const char *name) {
    const size_t n = strlen(name);
    return strncmp(given, name, n) == 0 && (given[n] == '\0' || given[n] == ':');
}

/* What the method, or an architecture that is named, does not use. */
static whet_status check_uses(cli_run *run) {
    static const char *const of_weights[] = {"restarts", "max-sweeps"};
    static const char *const of_heads[] = {"heads", "kv-heads"};
    static const char *const headless[] = {"mlp", "cnn", "lenet", "resnet", "wrn"};
    static const char *const of_inputs[] = {"mean", "deviation"};
    static const char *const of_steps[] = {"epochs", "batch-size", "lr"};
    const whet_align_method method = (whet_align_method)cli_choice(run, "method");
    for (int i = 0; i < 3; i++)
        if (method != WHET_ALIGN_STRAIGHT_THROUGH && cli_given(run, of_steps[i]))
            return cli_fail(run, WHET_ERR_ARG, "--%s needs --method straight-through", of_steps[i]);
    for (int i = 0; i < 2; i++) {
        if (method == WHET_ALIGN_ACTIVATIONS && cli_given(run, of_weights[i]))
            return cli_fail(run, WHET_ERR_ARG,
                            "--%s has no use with --method activations; expected weights",
                            of_weights[i]);
        for (size_t k = 0; k < sizeof headless / sizeof *headless; k++)
            if (cli_given(run, of_heads[i]) && is_arch(cli_text(run, "arch"), headless[k]))
                return cli_fail(run, WHET_ERR_ARG,
                                "--%s has no use with --arch %s; expected a transformer",
                                of_heads[i], headless[k]);
        if (cli_given(run, of_inputs[i]) && !cli_given(run, "data"))
            return cli_fail(run, WHET_ERR_ARG, "--%s is of inputs; expected --data as well",
                            of_inputs[i]);
    }
    return WHET_OK;
}

static bool is_table(const char *path) {
    static const char *const ends[] = {".tsv", ".csv", ".jsonl"};
    for (size_t i = 0; path && i < sizeof ends / sizeof *ends; i++) {
        const size_t length = strlen(path), end = strlen(ends[i]);
        if (length > end && strcmp(path + length - end, ends[i]) == 0) return true;
    }
    return false;
}

/* Columns of a table; what is of one kind of data has no use with the other. */
static whet_status read_table(cli_run *run, whet_align_job *job) {
    static const char *const of_tables[] = {"text", "second", "label", "max-length"};
    static const char *const of_arrays[] = {"labels", "measure", "repair", "mean", "deviation"};
    const bool table = is_table(job->data);
    for (int i = 0; !table && i < 4; i++)
        if (cli_given(run, of_tables[i]))
            return cli_fail(run, WHET_ERR_ARG, "--%s needs --data T.tsv, a table", of_tables[i]);
    for (int i = 0; table && i < 5; i++)
        if (cli_given(run, of_arrays[i]))
            return cli_fail(run, WHET_ERR_ARG, "--%s has no use with a table of texts",
                            of_arrays[i]);
    if (!table) return WHET_OK;
    if (job->method != WHET_ALIGN_WEIGHTS)
        return cli_fail(run, WHET_ERR_ARG, "--method %s reads no texts; expected weights",
                        cli_text(run, "method"));
    job->text = cli_text(run, "text");
    job->second = cli_text(run, "second");
    job->label = cli_text(run, "label");
    job->max_length = cli_given(run, "max-length") ? cli_integer(run, "max-length") : 0;
    return WHET_OK;
}

static whet_status read_job(cli_run *run, whet_align_job *job) {
    static const char *const of_barrier[] = {"labels", "measure", "repair", "figure", "points"};
    job->a = cli_arg(run, 0);
    job->b = cli_arg(run, 1);
    job->arch = cli_text(run, "arch");
    job->method = (whet_align_method)cli_choice(run, "method");
    job->opts.restarts = cli_integer(run, "restarts");
    job->opts.max_sweeps = cli_integer(run, "max-sweeps");
    job->opts.seed = run->seed;
    job->hints.heads = cli_integer(run, "heads");
    job->hints.kv_heads = cli_integer(run, "kv-heads");
    job->output = cli_text(run, "output");
    job->spec_output = cli_text(run, "save-spec");
    job->data = cli_text(run, "data");
    job->labels = cli_text(run, "labels");
    job->statistics = cli_text(run, "measure");
    job->figure = cli_text(run, "figure");
    job->points = cli_flag(run, "barrier") ? cli_integer(run, "points") : 0;
    job->repair = cli_flag(run, "repair");
    job->force = run->force;
    if (cli_given(run, "shard-size"))
        job->shard_bytes = (int64_t)(cli_number(run, "shard-size") * 1e9);
    const bool refines = job->method == WHET_ALIGN_STRAIGHT_THROUGH;
    job->opts.epochs = cli_integer(run, "epochs");
    job->opts.batch = cli_integer(run, "batch-size");
    job->opts.rate = cli_number(run, "lr");
    for (int i = refines ? 2 : 0; i < 5; i++) /* labels and inputs to measure on are of both */
        if (!job->points && cli_given(run, of_barrier[i]))
            return cli_fail(run, WHET_ERR_ARG, "--%s needs --barrier", of_barrier[i]);
    const whet_status table = read_table(run, job);
    if (table != WHET_OK) return table;
    if (job->points && (!job->data || (!job->labels && !job->text)))
        return cli_fail(run, WHET_ERR_ARG,
                        "--barrier needs --data X.npy and --labels Y.npy, or --data T.tsv");
    if (job->method == WHET_ALIGN_ACTIVATIONS && !job->data)
        return cli_fail(run, WHET_ERR_ARG, "--method activations needs --data X.npy");
    if (refines && (!job->data || !job->labels))
        return cli_fail(run, WHET_ERR_ARG,
                        "--method straight-through needs --data X.npy and --labels Y.npy");
    if (job->data && !job->points && job->method == WHET_ALIGN_WEIGHTS)
        return cli_fail(run, WHET_ERR_ARG,
                        "--data needs --barrier, or --method activations or "
                        "straight-through");
    const whet_status status = check_uses(run);
    return status == WHET_OK ? cli_image_scale(run, job->mean, job->scale) : status;
}

/* ---- what came out -------------------------------------------------------------------------------- */

static void print_lines(cli_run *run, const whet_align_result *r) {
    if (!r->points) return;
    cli_print(run, "\n%8s", "share");
    for (int l = 0; l < WHET_LINES; l++)
        if (r->lines[l]) cli_print(run, "  %24s", whet_align_line_name((whet_align_line)l));
    cli_print(run, "\n");
    for (int64_t i = 0; i < r->points; i++) {
        cli_print(run, "%8.3f", r->lines[0][i].weight);
        for (int l = 0; l < WHET_LINES; l++)
            if (r->lines[l])
                cli_print(run, "  %12.4f %9.1f %%", r->lines[l][i].loss,
                          100 * r->lines[l][i].accuracy);
        cli_print(run, "\n");
    }
    cli_print(run, "%8s", "barrier");
    for (int l = 0; l < WHET_LINES; l++)
        if (r->lines[l]) cli_print(run, "  %12.4f %11s", r->barrier[l], "");
    cli_print(run, "\n");
}

/* How many units moved. */
static int64_t moved_units(const whet_align_result *r, int64_t group, int64_t *units) {
    int64_t n, moved = 0;
    const int64_t *order = whet_alignment_order(r->alignment, group, 0, &n);
    for (int64_t i = 0; i < n; i++) moved += order[i] != i;
    *units = n;
    return moved;
}

static void print_groups(cli_run *run, const whet_align_result *r) {
    enum { SHOWN = 40 };
    const int64_t groups = whet_permutation_spec_groups(r->spec);
    for (int64_t g = 0; g < groups && g < SHOWN; g++) {
        int64_t units;
        const int64_t moved = moved_units(r, g, &units);
        cli_print(run, "%8lld of %6lld units moved  %s\n", (long long)moved, (long long)units,
                  whet_permutation_spec_group(r->spec, g));
    }
    if (groups > SHOWN) cli_print(run, "and %lld more groups\n", (long long)(groups - SHOWN));
}

/* A model without a head is used for its hidden states: their columns are units like any other. */
static void print_outputs(cli_run *run, const whet_align_job *job, const whet_align_result *r) {
    for (int64_t g = 0; g < whet_permutation_spec_groups(r->spec); g++) {
        int64_t units;
        if (!whet_permutation_spec_output(r->spec, g) || moved_units(r, g, &units) == 0) continue;
        cli_print(run,
                  "%s gives what B gives with columns in another order, A's (%s): its embeddings "
                  "are not to be compared with B's\n",
                  job->output, whet_permutation_spec_group(r->spec, g));
        return;
    }
}

static json_t *groups_json(const whet_align_result *r) {
    json_t *list = json_array();
    for (int64_t g = 0; g < whet_permutation_spec_groups(r->spec); g++) {
        int64_t units, n;
        const int64_t moved = moved_units(r, g, &units);
        json_t *orders = json_array();
        for (int32_t part = 0; part < 4; part++) {
            const int64_t *order = whet_alignment_order(r->alignment, g, part, &n);
            if (!order) continue;
            json_t *numbers = json_array();
            for (int64_t i = 0; i < n; i++)
                (void)json_array_append_new(numbers, json_integer((json_int_t)order[i]));
            (void)json_array_append_new(orders, numbers);
        }
        (void)json_array_append_new(
            list,
            json_pack("{s:s, s:I, s:I, s:b, s:o}", "name", whet_permutation_spec_group(r->spec, g),
                      "units", (json_int_t)units, "moved", (json_int_t)moved, "output",
                      (int)whet_permutation_spec_output(r->spec, g), "orders", orders));
    }
    return list;
}

static json_t *trace_json(const whet_align_result *r) {
    json_t *list = json_array();
    int64_t n;
    const whet_align_visit *v = whet_alignment_visits(r->alignment, &n);
    for (int64_t i = 0; i < n; i++)
        (void)json_array_append_new(
            list, json_pack("{s:I, s:I, s:s, s:o, s:o}", "restart", (json_int_t)v[i].restart,
                            "sweep", (json_int_t)v[i].sweep, "group",
                            whet_permutation_spec_group(r->spec, v[i].group), "before",
                            cli_json_number(v[i].before), "after", cli_json_number(v[i].after)));
    return list;
}

static json_t *lines_json(const whet_align_result *r) {
    json_t *all = json_object();
    for (int l = 0; l < WHET_LINES; l++) {
        if (!r->lines[l]) continue;
        json_t *points = json_array();
        for (int64_t i = 0; i < r->points; i++)
            (void)json_array_append_new(points,
                                        json_pack("{s:o, s:o, s:o}", "share",
                                                  cli_json_number(r->lines[l][i].weight), "loss",
                                                  cli_json_number(r->lines[l][i].loss), "accuracy",
                                                  cli_json_number(r->lines[l][i].accuracy)));
        (void)json_object_set_new(
            all, whet_align_line_name((whet_align_line)l),
            json_pack("{s:o, s:o}", "barrier", cli_json_number(r->barrier[l]), "points", points));
    }
    return all;
}

static json_t *midpoint_json(const whet_align_job *job, double loss) {
    return job->method == WHET_ALIGN_STRAIGHT_THROUGH ? cli_json_number(loss) : json_null();
}

static void report(cli_run *run, const whet_align_job *job, const whet_align_result *r) {
    double before, after;
    int64_t visits;
    (void)whet_alignment_visits(r->alignment, &visits);
    whet_alignment_distance(r->alignment, &before, &after);
    const double identity = whet_alignment_identity(r->alignment);
    const double objective = whet_alignment_objective(r->alignment);
    cli_print(run, "%s: %lld tensors in %lld file%s, architecture %s\n", job->output,
              (long long)r->tensors, (long long)r->files, r->files == 1 ? "" : "s",
              *whet_permutation_spec_arch(r->spec) ? whet_permutation_spec_arch(r->spec)
                                                   : "of the file");
    print_groups(run, r);
    print_outputs(run, job, r);
    cli_print(run, "products of weights %.6g, before %.6g; squared distance %.6g, before %.6g\n",
              objective, identity, after, before);
    double matched, refined;
    whet_alignment_midpoint(r->alignment, &matched, &refined);
    if (job->method == WHET_ALIGN_STRAIGHT_THROUGH)
        cli_print(run, "loss at the midpoint %.4g, by weight matching %.4g\n", refined, matched);
    if (job->method == WHET_ALIGN_WEIGHTS)
        cli_print(run, "%lld visits, best of %lld restarts: number %lld\n", (long long)visits,
                  (long long)job->opts.restarts,
                  (long long)whet_alignment_best_restart(r->alignment) + 1);
    print_lines(run, r);
    if (!run->json) return;
    cli_json(
        run,
        json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:s, s:o, s:o}",
                  "arch", whet_permutation_spec_arch(r->spec), "method", cli_text(run, "method"),
                  "tensors", (json_int_t)r->tensors, "files", (json_int_t)r->files, "objective",
                  cli_json_number(objective), "objective_before", cli_json_number(identity),
                  "distance", cli_json_number(after), "distance_before", cli_json_number(before),
                  "best_restart", (json_int_t)whet_alignment_best_restart(r->alignment), "groups",
                  groups_json(r), "trace", trace_json(r), "lines", lines_json(r), "output",
                  job->output, "midpoint", midpoint_json(job, refined), "midpoint_matched",
                  midpoint_json(job, matched)));
}

whet_status cmd_align(cli_run *run) {
    whet_align_job job = WHET_ALIGN_JOB_INIT;
    whet_align_result result;
    whet_status status = read_job(run, &job);
    if (status != WHET_OK) return status;
    status = whet_align_files(run->ctx, &job, &result);
    if (status != WHET_OK) return status;
    report(run, &job, &result);
    whet_align_result_free(run->ctx, &result);
    return WHET_OK;
}
