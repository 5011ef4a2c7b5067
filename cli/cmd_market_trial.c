/* SPDX-License-Identifier: Apache-2.0
 * whet market trial: what a seller's weights are worth to a buyer, measured. */
#include "gate_options.h"

const cli_option cmd_market_trial_options[] = {
    {.name = "arch",
     .type = CLI_STRING,
     .value = "NAME[:N]|S.json",
     .preset = "mlp",
     .help =
         "architecture of both networks: mlp, lenet, resnet or wrn, of group norms with the\n"
         "number of their groups (resnet:8; without it one) or the channels of each (resnet:x16);\n"
         "or a specification (.json), which may tell strides and pools"},
    {.name = "data",
     .type = CLI_PATH,
     .value = "X.npy",
     .required = true,
     .help = "examples that choose the mixture: [n, d], [n, h, w] or [n, h, w, c],\n"
             "bytes (divided by 255) or reals"},
    {.name = "labels",
     .type = CLI_PATH,
     .value = "Y.npy",
     .required = true,
     .help = "their classes, from 0"},
    {.name = "gate-data",
     .type = CLI_PATH,
     .value = "X.npy",
     .help = "other examples, which judge the choice; without them nothing is proved"},
    {.name = "gate-labels", .type = CLI_PATH, .value = "Y.npy", .help = "their classes"},
    {.name = "align",
     .type = CLI_ENUM,
     .choices = "no|weights",
     .preset = "no",
     .help = "renumber the seller's units by weights first"},
    {.name = "restarts",
     .type = CLI_INT,
     .min = 1,
     .max = 1000,
     .preset = "1",
     .help = "--align: orders of visiting layers that are tried"},
    {.name = "search",
     .type = CLI_ENUM,
     .choices = "grid|refined|groups|gradient",
     .preset = "refined",
     .help = "ten shares; between them; a share for each layer,\n"
             "by turns or by slopes"},
    {.name = "goods",
     .type = CLI_LIST,
     .value = "TENSOR,..",
     .help = "tensors that are traded; the rest stays the buyer's (default all)"},
    {.name = "outright",
     .type = CLI_FLAG,
     .help = "the seller's weights themselves may be chosen, not mixtures alone"},
    CLI_GATE_OPTIONS("the gain on --gate-data", "on these examples"),
    {.name = "measure",
     .type = CLI_PATH,
     .value = "X.npy",
     .help = "inputs by which batch norms are measured again, of buyer and mixtures"},
    {.name = "repair",
     .type = CLI_FLAG,
     .help = "give hidden units of mixtures means and deviations between those of both\n"
             "networks, on --measure or --data: for networks without batch norms"},
    {.name = "mean",
     .type = CLI_LIST,
     .value = "M,..",
     .help = "of each channel, subtracted from inputs (resnet: those of ImageNet)"},
    {.name = "deviation",
     .type = CLI_LIST,
     .value = "D,..",
     .help = "of each channel, inputs are divided by it (resnet: those of ImageNet)"},
    {.name = "output",
     .type = CLI_OUTPUT,
     .value = "MIX.safetensors",
     .help = "the mixture that was chosen, to write"},
    {0},
};

/* ---- what goes in ------------------------------------------------------------------------------ */

static whet_status read_files(cli_run *run, const char **goods, whet_trial_files *f) {
    f->buyer = cli_arg(run, 0);
    f->seller = cli_arg(run, 1);
    f->arch = cli_text(run, "arch");
    f->align = cli_choice(run, "align") == 1;
    f->restarts = cli_integer(run, "restarts");
    f->seed = run->seed;
    f->data = cli_text(run, "data");
    f->labels = cli_text(run, "labels");
    f->gate_data = cli_text(run, "gate-data");
    f->gate_labels = cli_text(run, "gate-labels");
    f->statistics = cli_text(run, "measure");
    f->repair = cli_flag(run, "repair");
    f->search = (whet_trial_search)cli_choice(run, "search");
    f->outright = cli_flag(run, "outright");
    f->output = cli_text(run, "output");
    f->force = run->force;
    f->n_goods = cli_list_count(run, "goods");
    for (int32_t i = 0; i < f->n_goods; i++) goods[i] = cli_list_item(run, "goods", i);
    f->goods = f->n_goods ? goods : NULL;
    const whet_status status = cli_gate_read(run, "gate-data", &f->opts);
    if (status != WHET_OK) return status;
    if (!f->gate_data != !f->gate_labels)
        return cli_fail(run, WHET_ERR_ARG, "--gate-data X.npy and --gate-labels Y.npy go together");
    if (f->outright && f->search == WHET_TRIAL_GRID)
        return cli_fail(run, WHET_ERR_ARG,
                        "--outright has no use with --search grid, which tries shares to .95; "
                        "expected another search");
    if (cli_given(run, "restarts") && !f->align)
        return cli_fail(run, WHET_ERR_ARG, "--restarts needs --align weights");
    return cli_image_scale(run, f->mean, f->scale);
}

/* ---- what came out ----------------------------------------------------------------------------- */

static const char *group_of(const whet_trial_result *r, int64_t group) {
    return group < 0 ? "all" : r->groups[group].name;
}

static void print_result(cli_run *run, const whet_trial_files *f, const whet_trial_result *r) {
    enum { SHOWN = 24 };
    cli_print(run, "%8s %10s %9s  %s\n", "share", "loss", "accuracy", "of");
    for (int64_t i = 0; i < r->n_points && i < SHOWN; i++)
        cli_print(run, "%8.4f %10.5f %7.2f %%  %s%s\n", r->points[i].weight, r->points[i].loss,
                  100 * r->points[i].accuracy, group_of(r, r->points[i].group),
                  i == r->best ? " *" : "");
    if (r->n_points > SHOWN) cli_print(run, "and %lld more\n", (long long)(r->n_points - SHOWN));
    cli_print(run,
              "buyer %.5f, mixture %.5f at %.4f of the seller: gain %.4f where it was chosen\n",
              r->before.loss, r->after.loss, r->weight, r->gain);
    for (int64_t i = 0; i < r->n_groups && f->search >= WHET_TRIAL_GROUPS; i++)
        cli_print(run, "%8.4f of %s\n", r->groups[i].weight, r->groups[i].name);
    if (!r->gated) {
        cli_print(run, "no gate: nothing says that the gain is more than luck\n");
        return;
    }
    cli_print(
        run,
        "gate, %lld examples: loss %.5f to %.5f, gain %.5f +- %.5f; accuracy %.2f to %.2f %%\n",
        (long long)r->decision.n, r->decision.before, r->decision.after, r->decision.gain,
        r->decision.half_width, 100 * r->accuracy_before, 100 * r->accuracy_after);
    cli_print(run, "%s\n", r->buy ? "buy: more than luck" : "no: not more than luck");
}

static json_t *points_json(const whet_trial_result *r) {
    json_t *list = json_array();
    for (int64_t i = 0; i < r->n_points; i++)
        (void)json_array_append_new(list, json_pack("{s:o, s:s, s:o, s:o}", "share",
                                                    cli_json_number(r->points[i].weight), "of",
                                                    group_of(r, r->points[i].group), "loss",
                                                    cli_json_number(r->points[i].loss), "accuracy",
                                                    cli_json_number(r->points[i].accuracy)));
    return list;
}

static json_t *groups_json(const whet_trial_result *r) {
    json_t *list = json_array();
    for (int64_t i = 0; i < r->n_groups; i++)
        (void)json_array_append_new(list, json_pack("{s:s, s:I, s:o}", "name", r->groups[i].name,
                                                    "tensors", (json_int_t)r->groups[i].tensors,
                                                    "share", cli_json_number(r->groups[i].weight)));
    return list;
}

static json_t *gate_json(const whet_trial_result *r) {
    const whet_gate *g = &r->decision;
    if (!r->gated) return json_null();
    return json_pack("{s:b, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "accept", g->accept, "n",
                     (json_int_t)g->n, "before", cli_json_number(g->before), "after",
                     cli_json_number(g->after), "gain", cli_json_number(g->gain), "half_width",
                     cli_json_number(g->half_width), "relative", cli_json_number(g->relative),
                     "accuracy_before", cli_json_number(r->accuracy_before), "accuracy_after",
                     cli_json_number(r->accuracy_after));
}

static json_t *document(const whet_trial_files *f, const whet_trial_result *r) {
    return json_pack("{s:b, s:s, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s?}",
                     "buy", r->buy, "search", whet_trial_search_name(f->search), "share",
                     cli_json_number(r->weight), "best", (json_int_t)r->best, "before",
                     cli_json_number(r->before.loss), "after", cli_json_number(r->after.loss),
                     "accuracy_before", cli_json_number(r->before.accuracy), "accuracy_after",
                     cli_json_number(r->after.accuracy), "gain", cli_json_number(r->gain),
                     "distance2", cli_json_number(r->moved), "points", points_json(r), "layers",
                     groups_json(r), "gate", gate_json(r), "output", f->output);
}

whet_status cmd_market_trial(cli_run *run) {
    const char *goods[CLI_LIST_MAX];
    whet_trial_files files = WHET_TRIAL_FILES_INIT;
    whet_trial_result result;
    whet_status status = read_files(run, goods, &files);
    if (status != WHET_OK) return status;
    status = whet_trial_run_files(run->ctx, &files, &result);
    if (status != WHET_OK) return status;
    print_result(run, &files, &result);
    cli_json(run, document(&files, &result));
    run->answer_no = !result.buy;
    whet_trial_result_free(run->ctx, &result);
    return WHET_OK;
}
