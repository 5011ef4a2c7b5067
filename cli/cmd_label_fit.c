/* SPDX-License-Identifier: Apache-2.0
 * whet label fit: votes of labelling rules to probabilities, by a label model. */
#include <math.h>
#include <string.h>

#include "cli.h"

const cli_option cmd_label_fit_options[] = {
    {.name = "votes",
     .type = CLI_PATH,
     .value = "V.npy",
     .help = "votes [rows, rules], -1 = abstain; or a table with row, rule, vote"},
    {.name = "counts",
     .type = CLI_PATH,
     .value = "C.npz",
     .help = "counts of whet label count in place of votes: majority, weighted, snorkel, "
             "flyingsquid"},
    {.name = "save-model",
     .type = CLI_OUTPUT,
     .value = "M.json",
     .help = "the fitted model to write, for whet label predict"},
    {.name = "model",
     .type = CLI_ENUM,
     .choices = "majority|weighted|snorkel|flyingsquid|dawid-skene|one-coin|ibcc|auto",
     .preset = "dawid-skene",
     .help = "label model; auto: the best by cross-fitting on --labels"},
    {.name = "labels",
     .type = CLI_PATH,
     .value = "L.tsv",
     .help = "true classes of some rows: table with row and label, or an array, -1 = none"},
    {.name = "classes",
     .type = CLI_PATH,
     .help = "class names in the order of the votes' numbers, one a line"},
    {.name = "rule-names",
     .type = CLI_PATH,
     .help = "names of the rules to save with the model, one a line, or a file of rules (.json)"},
    {.name = "balance",
     .type = CLI_STRING,
     .value = "P",
     .help = "share of each class, or counts: p0,p1,... or a file; without: from --labels, else "
             "even (EM "
             "models learn it then)"},
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
    {.name = "rows",
     .type = CLI_INT,
     .min = 1,
     .max = INT64_MAX,
     .help = "rows there are, for triples that leave out some at the end"},
    {.name = "rules",
     .type = CLI_INT,
     .min = 1,
     .max = INT32_MAX,
     .help = "rules there are, likewise"},
    {.name = "class-count",
     .type = CLI_INT,
     .min = 2,
     .max = INT32_MAX,
     .help = "classes there are; without: as listed, given a balance, voted for or labelled"},
    {.name = "compat", .type = CLI_FLAG, .help = "the original packages' behaviour, see the guide"},
    {.name = "share",
     .type = CLI_FLAG,
     .help = "majority: every class has its share of the votes, not the top ones alone"},
    {.name = "epochs",
     .type = CLI_INT,
     .preset = "500",
     .min = 1,
     .max = 10000000,
     .help = "snorkel: steps of its optimiser"},
    {.name = "lr",
     .type = CLI_FLOAT,
     .preset = "0.01",
     .low = 1e-12,
     .high = 1e6,
     .help = "snorkel: rate of its optimiser"},
    {.name = "l2",
     .type = CLI_FLOAT,
     .preset = "0",
     .low = 0,
     .high = 1e6,
     .help = "snorkel: pull to its start"},
    {.name = "fast",
     .type = CLI_FLAG,
     .help = "snorkel: after these steps on to an optimum, by L-BFGS"},
    {.name = "median",
     .type = CLI_FLAG,
     .help = "flyingsquid: the median of triplets, not their mean"},
    {.name = "smoothing",
     .type = CLI_FLOAT,
     .preset = "0.01",
     .low = 0,
     .high = 1e6,
     .help = "dawid-skene, one-coin: counts before the first row"},
    {.name = "learn-balance",
     .type = CLI_FLAG,
     .help = "dawid-skene, one-coin, ibcc: learn the balance also where it is known"},
    {.name = "keep-uncovered",
     .type = CLI_FLAG,
     .help = "these: rows without votes take part, and abstaining says something of them"},
    {.name = "ignore-abstains", .type = CLI_FLAG, .help = "these: abstaining says nothing"},
    {.name = "steps",
     .type = CLI_INT,
     .preset = "1000",
     .min = 1,
     .max = 10000000,
     .help = "these: at most so many steps"},
    {.name = "tolerance",
     .type = CLI_FLOAT,
     .preset = "1e-8",
     .low = 0,
     .high = 1,
     .help = "these: stop at this relative change of the likelihood"},
    {.name = "no-compare",
     .type = CLI_FLAG,
     .help = "with --labels: do not cross-fit all models beside the one asked for"},
    {0},
};

static whet_label_fit_job job_of(const cli_run *run) {
    static const whet_tie_policy ties[] = {WHET_TIE_LOWEST, WHET_TIE_ABSTAIN, WHET_TIE_HASH};
    whet_label_fit_job job = WHET_LABEL_FIT_JOB_INIT;
    job.votes = cli_text(run, "votes");
    job.counts = cli_text(run, "counts");
    job.save = cli_text(run, "save-model");
    job.labels = cli_text(run, "labels");
    job.classes = cli_text(run, "classes");
    job.rules = cli_text(run, "rule-names");
    job.balance = cli_text(run, "balance");
    job.probs = cli_text(run, "probs");
    job.predictions = cli_text(run, "predictions");
    job.ties = ties[cli_choice(run, "ties")];
    job.reading.rows = cli_integer(run, "rows");
    job.reading.rules = cli_integer(run, "rules");
    job.reading.classes = cli_integer(run, "class-count");
    job.choose = !whet_label_method_find(cli_text(run, "model"), &job.model.method);
    job.model.compat = cli_flag(run, "compat");
    job.model.share = cli_flag(run, "share");
    job.model.epochs = cli_integer(run, "epochs");
    job.model.step = cli_number(run, "lr");
    job.model.l2 = cli_number(run, "l2");
    job.model.fast = cli_flag(run, "fast");
    job.model.median = cli_flag(run, "median");
    job.model.smoothing = cli_number(run, "smoothing");
    job.model.learn_balance = cli_flag(run, "learn-balance");
    job.model.keep_uncovered = cli_flag(run, "keep-uncovered");
    job.model.ignore_abstains = cli_flag(run, "ignore-abstains");
    job.model.most_steps = cli_integer(run, "steps");
    job.model.tolerance = cli_number(run, "tolerance");
    job.no_compare = cli_flag(run, "no-compare");
    job.seed = run->seed;
    job.force = run->force;
    return job;
}

static const char *class_name(const whet_label_fit_result *r, int64_t c) {
    return r->classes ? whet_names_get(r->classes, c).ptr : "";
}

static void print_scores(cli_run *run, const whet_label_fit_result *r,
                         const whet_label_model_info *info) {
    const whet_label_score *majority = &r->scores[WHET_LABEL_MAJORITY];
    cli_print(run, "\ncross-fitted on %lld labels (rows without votes count as wrong):\n",
              (long long)r->labelled);
    cli_print(run, "%-13s %9s   %-15s %9s %9s\n", "model", "accuracy", "95 %", "covered",
              "log loss");
    for (int i = 0; i < WHET_LABEL_METHODS; i++) {
        const whet_label_score *s = &r->scores[i];
        const bool fell = s->used != s->method;
        if (s->failed) {
            cli_print(run, "%-13s diverged\n", whet_label_method_name(s->method));
            continue;
        }
        cli_print(run, "%-13s %9.4f   %.4f - %.4f %9.4f %9.4f%s%s%s\n",
                  whet_label_method_name(s->method), s->accuracy, s->accuracy_low, s->accuracy_high,
                  s->covered_accuracy, s->log_loss, s->method == r->best ? "   best" : "",
                  fell ? "   in fact " : "", fell ? whet_label_method_name(s->used) : "");
    }
    cli_print(
        run,
        "labels are held out of the label models, not of the rules: if the rules were made from "
        "these\nlabels, all models look better here than they are\n");
    if (r->scores[info->method].accuracy < majority->accuracy)
        cli_note(run, "%s is worse than majority on the labels, %.4f to %.4f; try --model %s",
                 whet_label_method_name(info->method), r->scores[info->method].accuracy,
                 majority->accuracy, whet_label_method_name(r->best));
}

static void print_result(cli_run *run, const whet_label_fit_result *r,
                         const whet_label_model_info *info) {
    cli_print(run, "%s on %lld rows", whet_label_method_name(info->method), (long long)r->rows);
    if (r->covered >= 0) cli_print(run, " (%lld with votes)", (long long)r->covered);
    cli_print(run, ", %lld rules, %lld classes", (long long)info->m, (long long)info->k);
    if (r->labelled) cli_print(run, ", %lld labels", (long long)r->labelled);
    if (info->steps) cli_print(run, "; %lld steps", (long long)info->steps);
    cli_print(run, "\n");
    if (r->covered > 0)
        cli_print(run, "its class is one of the majority's on %.4f of the rows with votes\n",
                  r->majority_agreement);
    cli_print(run, "\nclass  balance\n");
    for (int64_t c = 0; c < info->k; c++)
        cli_print(run, "%-6lld %.4f  %s%s\n", (long long)c, info->balance[c], class_name(r, c),
                  r->class_votes[c] ? "" : "  no rule votes for it");
    cli_print(run, "\nrule   coverage  accuracy\n");
    for (int64_t j = 0; j < info->m; j++) {
        if (isnan(info->accuracy[j]))
            cli_print(run, "%-6lld %8.4f  %8s\n", (long long)j, info->coverage[j], "-");
        else
            cli_print(run, "%-6lld %8.4f  %8.4f%s\n", (long long)j, info->coverage[j],
                      info->accuracy[j],
                      info->coverage[j] > 0 && info->accuracy[j] < 1 / (double)info->k
                          ? "  worse than chance"
                          : "");
    }
    if (r->compared) print_scores(run, r, info);
    for (int64_t j = 0; j < info->m; j++)
        if (r->copy_of[j] >= 0)
            cli_note(run,
                     "rule %lld votes as rule %lld does on every row: together they count twice",
                     (long long)j, (long long)r->copy_of[j]);
}

/* [[rule, the one it copies], ...] */
static json_t *copies_json(const whet_label_fit_result *r, int64_t m) {
    json_t *list = json_array();
    for (int64_t j = 0; j < m; j++)
        if (r->copy_of[j] >= 0)
            (void)json_array_append_new(
                list, json_pack("[I, I]", (json_int_t)j, (json_int_t)r->copy_of[j]));
    return list;
}

static json_t *class_votes_json(const whet_label_fit_result *r, int64_t k) {
    json_t *list = json_array();
    for (int64_t c = 0; c < k; c++)
        (void)json_array_append_new(list, json_integer((json_int_t)r->class_votes[c]));
    return list;
}

static json_t *numbers(const double *x, int64_t n) {
    json_t *list = json_array();
    for (int64_t i = 0; i < n; i++) (void)json_array_append_new(list, cli_json_number(x[i]));
    return list;
}

static json_t *scores_json(const whet_label_fit_result *r) {
    json_t *list = json_array();
    for (int i = 0; r->compared && i < WHET_LABEL_METHODS; i++) {
        const whet_label_score *s = &r->scores[i];
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "model",
                            whet_label_method_name(s->method), "used",
                            whet_label_method_name(s->used), "labels", (json_int_t)s->n, "covered",
                            (json_int_t)s->covered, "accuracy", cli_json_number(s->accuracy),
                            "accuracy_low", cli_json_number(s->accuracy_low), "accuracy_high",
                            cli_json_number(s->accuracy_high), "covered_accuracy",
                            cli_json_number(s->covered_accuracy), "log_loss",
                            cli_json_number(s->log_loss)));
    }
    return list;
}

/* ---- usage ----------------------------------------------------------------------------------- */

#define OF(method) (1U << WHET_LABEL_##method)
#define OF_EM (OF(DAWID_SKENE) | OF(ONE_COIN) | OF(IBCC))
/* Options that are of some models only. */
static const struct {
    const char *option, *names;
    uint32_t models;
} owned[] = {
    {"compat", "flyingsquid or dawid-skene", OF(FLYINGSQUID) | OF(DAWID_SKENE)},
    {"share", "majority", OF(MAJORITY)},
    {"epochs", "snorkel", OF(SNORKEL)},
    {"lr", "snorkel", OF(SNORKEL)},
    {"l2", "snorkel", OF(SNORKEL)},
    {"fast", "snorkel", OF(SNORKEL)},
    {"median", "flyingsquid", OF(FLYINGSQUID)},
    {"smoothing", "dawid-skene or one-coin", OF(DAWID_SKENE) | OF(ONE_COIN)},
    {"learn-balance", "dawid-skene, one-coin or ibcc", OF_EM},
    {"keep-uncovered", "dawid-skene, one-coin or ibcc", OF_EM},
    {"ignore-abstains", "dawid-skene, one-coin or ibcc", OF_EM},
    {"steps", "dawid-skene, one-coin or ibcc", OF_EM},
    {"tolerance", "dawid-skene, one-coin or ibcc", OF_EM},
};

/* Of one model, which is compared with no other, only what it has a use for. */
static whet_status check_model_options(cli_run *run, const whet_label_fit_job *job) {
    const whet_label_method method = job->model.method;
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        if (cli_given(run, owned[i].option) && !(owned[i].models & (1U << method)))
            return cli_fail(run, WHET_ERR_ARG,
                            "--%s needs --model %s, or --labels to compare models on",
                            owned[i].option, owned[i].names);
    const bool packaged = job->model.compat && method == WHET_LABEL_DAWID_SKENE;
    if (packaged && cli_given(run, "smoothing"))
        return cli_fail(run, WHET_ERR_ARG,
                        "--compat and --smoothing; expected one of them: the package has none");
    if (job->balance && ((1U << method) & OF_EM) && (packaged || job->model.learn_balance))
        return cli_fail(run, WHET_ERR_ARG,
                        "--balance and --%s, which learns it; expected one of them",
                        packaged ? "compat" : "learn-balance");
    return WHET_OK;
}

static whet_status check_options(cli_run *run, const whet_label_fit_job *job) {
    if (!job->votes == !job->counts)
        return cli_fail(run, WHET_ERR_ARG, "--votes and --counts; expected one of the two");
    if (job->counts && (job->labels || job->probs || job->predictions))
        return cli_fail(run, WHET_ERR_ARG,
                        "--%s needs --votes: counts have no rows; try --save-model, and whet label "
                        "predict",
                        job->labels  ? "labels"
                        : job->probs ? "probs"
                                     : "predictions");
    if (!job->probs && !job->predictions && !job->save)
        return cli_fail(run, WHET_ERR_ARG,
                        "neither --probs nor --predictions nor --save-model; expected one of them");
    if (job->choose && !job->labels)
        return cli_fail(run, WHET_ERR_ARG, "--model auto needs --labels");
    if (job->no_compare && (job->choose || !job->labels))
        return cli_fail(run, WHET_ERR_ARG,
                        job->choose ? "--model auto and --no-compare; expected one of them"
                                    : "--no-compare needs --labels");
    if (cli_given(run, "ties") && !job->predictions)
        return cli_fail(run, WHET_ERR_ARG, "--ties needs --predictions");
    static const char *const sizes[] = {"rows", "rules", "class-count"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (job->counts && cli_given(run, sizes[i]))
            return cli_fail(run, WHET_ERR_ARG, "--%s needs --votes: counts say theirs", sizes[i]);
    return job->labels && !job->no_compare ? WHET_OK : check_model_options(run, job);
}

whet_status cmd_label_fit(cli_run *run) {
    const whet_label_fit_job job = job_of(run);
    whet_label_fit_result r;
    whet_label_model_info info;
    const whet_status usage = check_options(run, &job);
    if (usage != WHET_OK) return usage;
    const whet_status status = whet_label_fit_run(run->ctx, &job, &r);
    if (status != WHET_OK) return status;
    whet_label_model_get_info(r.model, &info);
    print_result(run, &r, &info);
    cli_json(run,
             json_pack(
                 "{s:o, s:o, s:s, s:s, s:I, s:o, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, "
                 "s:s, s:o, s:s?}",
                 "copies", copies_json(&r, info.m), "class_votes", class_votes_json(&r, info.k),
                 "model", whet_label_method_name(info.method), "note", info.note, "rows",
                 (json_int_t)r.rows, "covered",
                 r.covered < 0 ? json_null() : json_integer((json_int_t)r.covered), "labelled",
                 (json_int_t)r.labelled, "rules", (json_int_t)info.m, "classes", (json_int_t)info.k,
                 "steps", (json_int_t)info.steps, "loss", cli_json_number(info.loss),
                 "majority_agreement", cli_json_number(r.majority_agreement), "balance",
                 numbers(info.balance, info.k), "accuracy", numbers(info.accuracy, info.m),
                 "coverage", numbers(info.coverage, info.m), "output",
                 job.probs         ? job.probs
                 : job.predictions ? job.predictions
                                   : job.save,
                 "comparison", scores_json(&r), "best",
                 r.compared ? whet_label_method_name(r.best) : NULL));
    whet_label_fit_result_destroy(run->ctx, &r);
    return WHET_OK;
}
