/* SPDX-License-Identifier: Apache-2.0
 * whet label: probabilistic labels for the unlabelled rows. */
#include "cli.h"

const cli_option cmd_label_baseline_options[] = {
    {.name = "features",
     .type = CLI_PATH,
     .value = "X.npy",
     .required = true,
     .help = "features [rows, d]"},
    {.name = "labels",
     .type = CLI_PATH,
     .value = "L.tsv",
     .help = "table with row (from 0) and label, or a label for every row with empty cells"},
    {.name = "method",
     .type = CLI_ENUM,
     .choices = "few-shot|propagate|spread|zero-shot|prototypes|cluster|goggles",
     .required = true,
     .help = "logistic regression, harmonic functions, local and global consistency, class names, "
             "class means, k-means, mixtures over affinities"},
    {.name = "classes",
     .type = CLI_PATH,
     .help = "class names in the order of the columns, one a line; without: the labels', sorted"},
    {.name = "class-features",
     .type = CLI_PATH,
     .value = "C.npy",
     .help = "features of the classes [classes, d], for zero-shot; prototypes may have them"},
    {.name = "loss",
     .type = CLI_ENUM,
     .choices = "cross-entropy|expected-cost|frechet",
     .preset = "cross-entropy",
     .help = "few-shot: what the head is trained for; the last two by the squared distances of "
             "--space"},
    {.name = "space",
     .type = CLI_STRING,
     .value = "SPACE",
     .help = "label space of the classes, as whet predict takes it"},
    {.name = "gamma",
     .type = CLI_FLOAT,
     .low = 1e-12,
     .high = 1e12,
     .help = "propagate, spread: join all rows, by exp(-gamma distance^2); without: the nearest"},
    {.name = "neighbours",
     .type = CLI_INT,
     .min = 1,
     .max = 1000,
     .help = "propagate, spread: how many nearest rows a row is joined to; without: 10"},
    {.name = "metric",
     .type = CLI_ENUM,
     .choices = "cosine|euclidean",
     .preset = "cosine",
     .help = "nearest by what: of prepared rows, by weight; of rows as they are, all alike"},
    {.name = "alpha",
     .type = CLI_FLOAT,
     .low = 1e-6,
     .high = .999999,
     .help = "spread: how much a row listens to its neighbours; without: cross-fitted"},
    {.name = "temperature",
     .type = CLI_FLOAT,
     .low = 1e-3,
     .high = 1e3,
     .help = "all but propagate: 1 = the method's own numbers; without: by held-out labels"},
    {.name = "probs",
     .type = CLI_OUTPUT,
     .value = "P.npy",
     .required = true,
     .help = "probabilities [rows, classes] to write"},
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

void cli_print_mapping(cli_run *run, const whet_names *classes, const whet_class_mapping *mapping) {
    if (!mapping) return;
    cli_print(run, "\nclass  labels  matched  margin  rows\n");
    for (int64_t c = 0; c < whet_names_count(classes); c++) {
        const whet_class_mapping *m = &mapping[c];
        const char *name = whet_names_get(classes, c).ptr;
        cli_print(run, "%-6lld %6lld %8lld %7.1f %5lld  %s\n", (long long)c, (long long)m->labels,
                  (long long)m->matched, m->margin, (long long)m->rows, name);
        if (m->labels == 0)
            cli_note(run, "class %s has no label: it was given the component that was left", name);
        else if (m->rows == 0)
            cli_note(run, "class %s has an empty component: no row is given to it", name);
        else if (m->margin < .5)
            cli_note(run, "labels do not tell which component class %s has: margin %.1f", name,
                     m->margin);
    }
}

json_t *cli_mapping_json(const whet_names *classes, const whet_class_mapping *mapping) {
    json_t *list = mapping ? json_array() : json_null();
    for (int64_t c = 0; mapping && c < whet_names_count(classes); c++) {
        const whet_str name = whet_names_get(classes, c);
        (void)json_array_append_new(list, json_pack("{s:s%, s:I, s:I, s:o, s:I}", "class", name.ptr,
                                                    (size_t)name.len, "labels",
                                                    (json_int_t)mapping[c].labels, "matched",
                                                    (json_int_t)mapping[c].matched, "margin",
                                                    cli_json_number(mapping[c].margin), "rows",
                                                    (json_int_t)mapping[c].rows));
    }
    return list;
}

static whet_status check_graph_options(cli_run *run, const whet_baseline_job *job) {
    static const char *const options[] = {"gamma", "neighbours", "metric"};
    const bool on_graph =
        job->method == WHET_BASELINE_PROPAGATE || job->method == WHET_BASELINE_SPREAD;
    for (int i = 0; i < 3; i++) {
        if (!cli_given(run, options[i])) continue;
        if (!on_graph)
            return cli_fail(run, WHET_ERR_ARG, "--%s needs --method propagate or spread",
                            options[i]);
        if (i > 0 && job->gamma > 0)
            return cli_fail(run, WHET_ERR_ARG,
                            "--%s and --gamma, which joins all rows; expected one of them",
                            options[i]);
    }
    return WHET_OK;
}

static whet_status check_options(cli_run *run, const whet_baseline_job *job) {
    if (!job->labels && job->method != WHET_BASELINE_ZERO_SHOT)
        return cli_fail(run, WHET_ERR_ARG, "--method %s needs --labels", cli_text(run, "method"));
    if (job->method == WHET_BASELINE_ZERO_SHOT && !job->class_features)
        return cli_fail(run, WHET_ERR_ARG, "--method zero-shot needs --class-features");
    if (job->class_features && job->method != WHET_BASELINE_ZERO_SHOT &&
        job->method != WHET_BASELINE_PROTOTYPES)
        return cli_fail(run, WHET_ERR_ARG,
                        "--class-features needs --method zero-shot or prototypes");
    if (job->temperature > 0 && job->method == WHET_BASELINE_PROPAGATE)
        return cli_fail(run, WHET_ERR_ARG,
                        "--temperature with --method propagate, whose probabilities are kept");
    if (job->alpha > 0 && job->method != WHET_BASELINE_SPREAD)
        return cli_fail(run, WHET_ERR_ARG, "--alpha needs --method spread");
    if (job->loss != WHET_LOSS_CROSS_ENTROPY && job->method != WHET_BASELINE_FEW_SHOT)
        return cli_fail(run, WHET_ERR_ARG, "--loss %s needs --method few-shot",
                        cli_text(run, "loss"));
    if ((job->loss != WHET_LOSS_CROSS_ENTROPY) != (job->space != NULL))
        return cli_fail(run, WHET_ERR_ARG,
                        "--space and --loss expected-cost or frechet; expected both or neither");
    return check_graph_options(run, job);
}

whet_status cmd_label_baseline(cli_run *run) {
    static const whet_baseline methods[] = {WHET_BASELINE_FEW_SHOT,   WHET_BASELINE_PROPAGATE,
                                            WHET_BASELINE_SPREAD,     WHET_BASELINE_ZERO_SHOT,
                                            WHET_BASELINE_PROTOTYPES, WHET_BASELINE_CLUSTER,
                                            WHET_BASELINE_GOGGLES};
    static const whet_head_loss losses[] = {WHET_LOSS_CROSS_ENTROPY, WHET_LOSS_EXPECTED_COST,
                                            WHET_LOSS_FRECHET};
    static const whet_neighbour_metric metrics[] = {WHET_NEIGHBOURS_COSINE,
                                                    WHET_NEIGHBOURS_EUCLIDEAN};
    whet_baseline_job job = WHET_BASELINE_JOB_INIT;
    whet_names *classes;
    int64_t labelled;
    whet_class_mapping *mapping;
    job.features = cli_text(run, "features");
    job.labels = cli_text(run, "labels");
    job.classes = cli_text(run, "classes");
    job.class_features = cli_text(run, "class-features");
    job.method = methods[cli_choice(run, "method")];
    job.probs = cli_text(run, "probs");
    job.loss = losses[cli_choice(run, "loss")];
    job.space = cli_text(run, "space");
    job.gamma = cli_number(run, "gamma");
    job.alpha = cli_number(run, "alpha");
    job.temperature = cli_number(run, "temperature");
    job.neighbours = cli_integer(run, "neighbours");
    job.neighbour_metric = metrics[cli_choice(run, "metric")];
    job.seed = run->seed;
    job.force = run->force;
    whet_status status = check_options(run, &job);
    if (status == WHET_OK)
        status = whet_baseline_files(run->ctx, &job, &classes, &labelled, &mapping);
    if (status != WHET_OK) return status;
    cli_print(run, "%s from %lld labels; columns of %s:\n", cli_text(run, "method"),
              (long long)labelled, job.probs);
    for (int64_t i = 0; i < whet_names_count(classes); i++)
        cli_print(run, "%lld\t%s\n", (long long)i, whet_names_get(classes, i).ptr);
    cli_print_mapping(run, classes, mapping);
    cli_json(run, json_pack("{s:s, s:I, s:o, s:s, s:o}", "method", cli_text(run, "method"),
                            "labels", (json_int_t)labelled, "classes", class_list(classes),
                            "output", job.probs, "mapping", cli_mapping_json(classes, mapping)));
    whet_class_mapping_free(run->ctx, mapping);
    whet_names_destroy(run->ctx, classes);
    return WHET_OK;
}
