/* SPDX-License-Identifier: Apache-2.0
 * whet tune export, combine, project, merge, inspect: folders of adapters in other forms, added up, made of
 * what training changed, put into their models; and what is in them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* Ends a command: what its report says, for people and as a document; the report is released. */
static whet_status tell(cli_run *run, whet_status status, char *report,
                        void (*print)(cli_run *run, const json_t *root)) {
    json_t *root;
    if (status != WHET_OK) {
        whet_free_text(run->ctx, report);
        return status;
    }
    status = cli_report(run, report, &root);
    if (status != WHET_OK) return status;
    print(run, root);
    cli_json(run, root);
    return WHET_OK;
}

/* ---- export ----------------------------------------------------------------------------------- */

const cli_option cmd_tune_export_options[] = {
    {.name = "adapter",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "folder of adapters: LoRA, DoRA or GraLoRA of PEFT, MoRe"},
    {.name = "to",
     .type = CLI_ENUM,
     .choices = "lora|more|dora",
     .required = true,
     .help = "form to write; DoRA is written as DoRA alone"},
    {.name = "rank",
     .type = CLI_INT,
     .min = 1,
     .max = 65536,
     .help = "the nearest of this rank; without it, the rank that loses nothing"},
    {.name = "blocks",
     .type = CLI_INT,
     .min = 1,
     .max = 65536,
     .help = "of MoRe; without it, those it has, or 4"},
    {.name = "model",
     .type = CLI_PATH,
     .value = "DIR",
     .help = "the base: compared with the adapter's; tells sizes that blocks leave open, and rows "
             "that dora needs"},
    {.name = "any-base", .type = CLI_FLAG, .help = "a base with other weights is only warned of"},
    {.name = "output",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "folder to write"},
    {0},
};

/* To --model, where it is given. */
static whet_status fit(cli_run *run, whet_adapter *adapter) {
    const char *model = cli_text(run, "model");
    return model ? whet_adapter_fit(run->ctx, adapter, model, cli_flag(run, "any-base")) : WHET_OK;
}

/* What is read is not written over, also with --force. */
static whet_status check_apart(cli_run *run, const char *input) {
    const char *output = cli_text(run, "output");
    if (!input || !whet_same_path(output, input)) return WHET_OK;
    return cli_fail(run, WHET_ERR_ARG,
                    "%s: the output would take the place of what is read; expected another path",
                    output);
}

static whet_status convert_and_save(cli_run *run, whet_adapter *adapter, char **report) {
    whet_adapter_convert_opts opts = WHET_ADAPTER_CONVERT_OPTS_INIT;
    whet_adapter *made = NULL;
    opts.form = (whet_adapter_form)cli_choice(run, "to"); /* in the order of the choices */
    opts.rank = cli_integer(run, "rank");
    opts.blocks = cli_integer(run, "blocks");
    whet_status status = fit(run, adapter);
    if (status == WHET_OK) status = whet_adapter_convert(run->ctx, adapter, &opts, &made, report);
    if (status == WHET_OK)
        status = whet_adapter_save(run->ctx, made, cli_text(run, "output"), run->force);
    whet_adapter_close(run->ctx, made);
    return status;
}

static void print_conversion(cli_run *run, const json_t *root) {
    const json_t *layers = json_object_get(root, "layers");
    long long parameters = 0;
    for (size_t i = 0; i < json_array_size(layers); i++)
        parameters += cli_count_at(json_array_get(layers, i), "parameters");
    const double residual = cli_real_at(root, "residual");
    cli_print(run, "%zu layers, %lld numbers; ", json_array_size(layers), parameters);
    if (residual > 0)
        cli_print(run, "residual %.4g of the adapter's norm\n", residual);
    else
        cli_print(run, "nothing is lost\n");
    cli_print(run, "wrote %s\n", cli_text(run, "output"));
}

whet_status cmd_tune_export(cli_run *run) {
    whet_adapter *adapter = NULL;
    char *report = NULL;
    if (cli_given(run, "blocks") && cli_choice(run, "to") != 1)
        return cli_fail(run, WHET_ERR_ARG, "--blocks is MoRe's; expected --to more");
    if (cli_flag(run, "any-base") && !cli_given(run, "model"))
        return cli_fail(run, WHET_ERR_ARG, "--any-base is of a base; expected --model");
    whet_status status = check_apart(run, cli_text(run, "adapter"));
    if (status == WHET_OK) status = whet_adapter_open(run->ctx, cli_text(run, "adapter"), &adapter);
    if (status == WHET_OK) status = convert_and_save(run, adapter, &report);
    whet_adapter_close(run->ctx, adapter);
    return tell(run, status, report, print_conversion);
}

/* ---- merge ------------------------------------------------------------------------------------ */

const cli_option cmd_tune_merge_options[] = {
    {.name = "model",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "the base, a Hugging Face folder; it is only read"},
    {.name = "adapter",
     .type = CLI_LIST,
     .value = "DIR[=WEIGHT]",
     .required = true,
     .help = "folder of adapters, and what its change counts for, 1 without; may be repeated"},
    {.name = "dtype",
     .type = CLI_ENUM,
     .choices = "keep|f32|bf16|f16",
     .preset = "keep",
     .help = "type of the weights"},
    {.name = "probe",
     .type = CLI_PATH,
     .value = "TABLE",
     .help = "texts on which merged and unmerged model are compared; without it, eight sentences"},
    {.name = "text",
     .type = CLI_STRING,
     .value = "COLUMN",
     .preset = "text",
     .help = "column of the texts of --probe"},
    {.name = "heads-of",
     .type = CLI_PATH,
     .value = "DIR",
     .help =
         "the adapter whose head is taken, and other modules that it has whole; the others' are "
         "left out"},
    {.name = "any-base", .type = CLI_FLAG, .help = "a base with other weights is only warned of"},
    {.name = "output",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "folder to write"},
    {0},
};

static void print_merge(cli_run *run, const json_t *root) {
    const json_t *probe = json_object_get(root, "probe");
    const json_t *layers = json_object_get(probe, "layers"),
                 *model = json_object_get(probe, "model"), *head = json_object_get(probe, "head");
    cli_print(run, "%lld layers, %lld tensors of heads", cli_count_at(root, "layers"),
              cli_count_at(root, "heads"));
    if (cli_count_at(root, "own") > 0)
        cli_print(run, ", %lld of biases and norms", cli_count_at(root, "own"));
    cli_print(run, "\n");
    if (cli_count_at(root, "layers") > 0)
        cli_print(run, "largest |merged - unmerged|: %.3g of layers whose outputs reach %.3g\n",
                  cli_real_at(layers, "max_difference"), cli_real_at(layers, "largest"));
    if (json_is_object(model))
        cli_print(run,
                  "largest |merged - unmerged|: %.3g of the last hidden states, which reach %.3g "
                  "(%lld texts)\n",
                  cli_real_at(model, "max_difference"), cli_real_at(model, "largest"),
                  cli_count_at(model, "texts"));
    if (json_is_object(head))
        cli_print(run,
                  "largest |merged - unmerged|: %.3g of the logits of next tokens, which reach "
                  "%.3g\n",
                  cli_real_at(head, "max_difference"), cli_real_at(head, "largest"));
    cli_print(run, "wrote %s\n", cli_text(run, "output"));
}

static whet_adapter_merge_job merge_job(const cli_run *run, const cli_weighted *w) {
    static const whet_dtype types[] = {WHET_F32, WHET_F32, WHET_BF16, WHET_F16};
    whet_adapter_merge_job job = WHET_ADAPTER_MERGE_JOB_INIT;
    job.model = cli_text(run, "model");
    job.adapters = (const char *const *)w->paths;
    job.weights = w->weights;
    job.n = w->n;
    job.cast = cli_choice(run, "dtype") > 0;
    job.dtype = types[cli_choice(run, "dtype")];
    job.probe = cli_text(run, "probe");
    job.text = cli_text(run, "text");
    job.any_base = cli_flag(run, "any-base");
    job.heads_of = w->heads;
    job.output = cli_text(run, "output");
    job.force = run->force;
    return job;
}

whet_status cmd_tune_merge(cli_run *run) {
    cli_weighted w = {0};
    char *report = NULL;
    if (cli_given(run, "text") && !cli_given(run, "probe"))
        return cli_fail(run, WHET_ERR_ARG, "--text is a column of --probe; expected both");
    whet_status status = cli_weighted_read(run, &w);
    if (status == WHET_OK) {
        const whet_adapter_merge_job job = merge_job(run, &w);
        status = whet_adapter_merge(run->ctx, &job, &report);
    }
    cli_weighted_free(&w);
    return tell(run, status, report, print_merge);
}

/* ---- combine ---------------------------------------------------------------------------------- */

const cli_option cmd_tune_combine_options[] = {
    {.name = "adapter",
     .type = CLI_LIST,
     .value = "DIR[=WEIGHT]",
     .required = true,
     .help = "folder of adapters, and what it counts for, 1 without; may be repeated"},
    {.name = "to",
     .type = CLI_ENUM,
     .choices = "auto|lora|more|dora",
     .preset = "auto",
     .help = "form to write; auto: DoRA with DoRA, MoRe where that is exact, else LoRA"},
    {.name = "rank",
     .type = CLI_INT,
     .min = 1,
     .max = 65536,
     .help = "the nearest of this rank; without it, the sum of ranks, which loses nothing"},
    {.name = "blocks",
     .type = CLI_INT,
     .min = 1,
     .max = 65536,
     .help = "of MoRe; without it, those they have, or 4"},
    {.name = "model",
     .type = CLI_PATH,
     .value = "DIR",
     .help = "the base, whose rows sums with DoRA need; it is compared with the adapters'"},
    {.name = "heads-of",
     .type = CLI_PATH,
     .value = "DIR",
     .help =
         "the adapter whose head is taken, and other modules that it has whole; the others' are "
         "left out"},
    {.name = "any-base", .type = CLI_FLAG, .help = "a base with other weights is only warned of"},
    {.name = "output",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "folder to write"},
    {0},
};

/* The sum as it is, or in the form and of the rank that are asked for. */
static whet_status save_sum(cli_run *run, whet_adapter *sum, char **report) {
    whet_adapter_convert_opts opts = WHET_ADAPTER_CONVERT_OPTS_INIT;
    whet_adapter *made = NULL;
    const int to = cli_choice(run, "to");
    opts.form = to > 0                      ? (whet_adapter_form)(to - 1)
                : whet_adapter_is_more(sum) ? WHET_ADAPTER_FORM_MORE
                : whet_adapter_is_dora(sum) ? WHET_ADAPTER_FORM_DORA
                                            : WHET_ADAPTER_FORM_LORA;
    opts.rank = cli_integer(run, "rank");
    opts.blocks = cli_integer(run, "blocks");
    whet_status status = fit(run, sum);
    if (status == WHET_OK) status = whet_adapter_convert(run->ctx, sum, &opts, &made, report);
    if (status == WHET_OK)
        status = whet_adapter_save(run->ctx, made, cli_text(run, "output"), run->force);
    whet_adapter_close(run->ctx, made);
    return status;
}

static whet_status combine(cli_run *run, const cli_weighted *w, char **report) {
    whet_adapter *open[CLI_WEIGHTED_MAX] = {NULL}, *sum = NULL;
    const whet_adapter *items[CLI_WEIGHTED_MAX] = {NULL};
    whet_status status = WHET_OK;
    for (int32_t i = 0; status == WHET_OK && i < w->n; i++) {
        status = check_apart(run, w->paths[i]);
        if (status == WHET_OK) status = whet_adapter_open(run->ctx, w->paths[i], &open[i]);
        if (status == WHET_OK) status = fit(run, open[i]);
        if (status == WHET_OK && w->heads && w->heads != w->paths[i])
            whet_adapter_drop_heads(open[i]);
        items[i] = open[i];
    }
    if (status == WHET_OK) status = whet_adapter_combine(run->ctx, items, w->weights, w->n, &sum);
    if (status == WHET_OK) status = save_sum(run, sum, report);
    whet_adapter_close(run->ctx, sum);
    for (int32_t i = 0; i < w->n; i++) whet_adapter_close(run->ctx, open[i]);
    return status;
}

whet_status cmd_tune_combine(cli_run *run) {
    cli_weighted w = {0};
    char *report = NULL;
    if (cli_given(run, "blocks") && (cli_choice(run, "to") == 1 || cli_choice(run, "to") == 3))
        return cli_fail(run, WHET_ERR_ARG, "--blocks is MoRe's; expected --to more");
    if (cli_flag(run, "any-base") && !cli_given(run, "model"))
        return cli_fail(run, WHET_ERR_ARG, "--any-base is of a base; expected --model");
    whet_status status = cli_weighted_read(run, &w);
    if (status == WHET_OK) status = combine(run, &w, &report);
    cli_weighted_free(&w);
    return tell(run, status, report, print_conversion);
}

/* ---- project ---------------------------------------------------------------------------------- */

const cli_option cmd_tune_project_options[] = {
    {.name = "model",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "the base, a Hugging Face folder"},
    {.name = "tuned",
     .type = CLI_PATH,
     .value = "DIR",
     .help = "the model that training made of it; or"},
    {.name = "adapter", .type = CLI_PATH, .value = "DIR", .help = "a folder of adapters for it"},
    {.name = "to", .type = CLI_ENUM, .choices = "more|lora", .preset = "more", .help = "form"},
    {.name = "budget",
     .type = CLI_INT,
     .value = "NUMBERS",
     .min = 1,
     .max = INT64_MAX / 2,
     .help = "numbers of all layers, shared out by what they are worth; or"},
    {.name = "rank", .type = CLI_INT, .min = 1, .max = 65536, .help = "of every layer"},
    {.name = "blocks", .type = CLI_INT, .min = 1, .max = 65536, .help = "of MoRe; without it, 4"},
    {.name = "targets",
     .type = CLI_STRING,
     .value = "LIST",
     .help = "layers, as whet tune has them; without it, every linear layer but heads and word "
             "vectors"},
    {.name = "any-base", .type = CLI_FLAG, .help = "a base with other weights is only warned of"},
    {.name = "output",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "folder to write"},
    {0},
};

static void print_projection(cli_run *run, const json_t *root) {
    const json_t *layers = json_object_get(root, "layers");
    const long long left = cli_count_at(root, "left_out");
    cli_print(run, "%5s %9s %9s %9s  %s\n", "rank", "numbers", "norm", "residual", "layer");
    for (size_t i = 0; i < json_array_size(layers); i++) {
        const json_t *l = json_array_get(layers, i);
        cli_print(run, "%5lld %9lld %9.3g %9.4f  %s\n", cli_count_at(l, "rank"),
                  cli_count_at(l, "parameters"), cli_real_at(l, "norm"), cli_real_at(l, "residual"),
                  cli_text_at(l, "module"));
    }
    cli_print(run, "%lld numbers, residual %.4f of what changed in these layers\n",
              cli_count_at(root, "parameters"), cli_real_at(root, "residual"));
    if (left > 0)
        cli_print(run, "%lld other tensors changed, and are left out: %.4f of all changes\n", left,
                  cli_real_at(root, "left_out_share"));
    cli_print(run, "wrote %s\n", cli_text(run, "output"));
}

static whet_status check_project(cli_run *run) {
    if (cli_given(run, "tuned") == cli_given(run, "adapter"))
        return cli_fail(run, WHET_ERR_ARG, "--tuned and --adapter; expected one of them");
    if (cli_given(run, "budget") == cli_given(run, "rank"))
        return cli_fail(run, WHET_ERR_ARG, "--budget and --rank; expected one of them");
    if (cli_given(run, "blocks") && cli_choice(run, "to") == 1)
        return cli_fail(run, WHET_ERR_ARG, "--blocks is MoRe's; expected --to more");
    return WHET_OK;
}

whet_status cmd_tune_project(cli_run *run) {
    whet_adapter_project_job job = WHET_ADAPTER_PROJECT_JOB_INIT;
    whet_adapter *made = NULL;
    char *report = NULL;
    whet_status status = check_project(run);
    if (status != WHET_OK) return status;
    job.model = cli_text(run, "model");
    job.tuned = cli_text(run, "tuned");
    job.adapter = cli_text(run, "adapter");
    job.form = cli_choice(run, "to") == 1 ? WHET_ADAPTER_FORM_LORA : WHET_ADAPTER_FORM_MORE;
    job.budget = cli_integer(run, "budget");
    job.rank = cli_integer(run, "rank");
    job.blocks = cli_integer(run, "blocks");
    job.targets = cli_text(run, "targets");
    job.any_base = cli_flag(run, "any-base");
    status = check_apart(run, job.model);
    if (status == WHET_OK) status = check_apart(run, job.tuned);
    if (status == WHET_OK) status = check_apart(run, job.adapter);
    if (status == WHET_OK) status = whet_adapter_project(run->ctx, &job, &made, &report);
    if (status == WHET_OK)
        status = whet_adapter_save(run->ctx, made, cli_text(run, "output"), run->force);
    whet_adapter_close(run->ctx, made);
    return tell(run, status, report, print_projection);
}

/* ---- inspect ---------------------------------------------------------------------------------- */

const cli_option cmd_tune_inspect_options[] = {{0}};

static void print_names(cli_run *run, const json_t *root, const char *key) {
    const json_t *names = json_object_get(root, key);
    for (size_t i = 0; i < json_array_size(names); i++)
        cli_print(run, "%s%s%s", i ? ", " : key, i ? "" : ": ",
                  json_string_value(json_array_get(names, i)));
    if (json_array_size(names) > 0) cli_print(run, "\n");
}

static const char *text_or_unknown(const json_t *root, const char *key) {
    const char *text = cli_text_at(root, key);
    return *text ? text : "unknown";
}

static void print_description(cli_run *run, const json_t *root) {
    const json_t *layers = json_object_get(root, "layers");
    cli_print(run, "%s: %zu layers, %lld numbers; %lld in heads and biases\n",
              cli_text_at(root, "kind"), json_array_size(layers),
              cli_count_at(root, "adapter_parameters"), cli_count_at(root, "other_parameters"));
    cli_print(run, "base: %s, hash %s\n", text_or_unknown(root, "base"),
              text_or_unknown(root, "base_hash"));
    print_names(run, root, "heads");
    print_names(run, root, "biases");
    print_names(run, root, "own");
    if (json_array_size(layers) > 0)
        cli_print(run, "\n%6s %6s %5s %6s %8s %9s  %s\n", "in", "out", "rank", "blocks", "scale",
                  "numbers", "layer");
    for (size_t i = 0; i < json_array_size(layers); i++) {
        const json_t *l = json_array_get(layers, i);
        cli_print(run, "%6lld %6lld %5lld %6lld %8.4g %9lld  %s\n", cli_count_at(l, "in"),
                  cli_count_at(l, "out"), cli_count_at(l, "rank"), cli_count_at(l, "blocks"),
                  cli_real_at(l, "scale"), cli_count_at(l, "parameters"), cli_text_at(l, "module"));
    }
}

whet_status cmd_tune_inspect(cli_run *run) {
    whet_adapter *adapter;
    char *report = NULL;
    whet_status status = whet_adapter_open(run->ctx, cli_arg(run, 0), &adapter);
    if (status != WHET_OK) return status;
    status = whet_adapter_describe(run->ctx, adapter, &report);
    whet_adapter_close(run->ctx, adapter);
    return tell(run, status, report, print_description);
}
