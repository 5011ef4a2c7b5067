/* SPDX-License-Identifier: Apache-2.0
 * whet predict: classes by the Frechet mean over a label space. */
#include "cli.h"

const cli_option cmd_predict_options[] = {
    {.name = "probs",
     .type = CLI_PATH,
     .value = "P.npy",
     .required = true,
     .help = "probabilities [rows, K], or a table with columns row, class, p"},
    {.name = "classes",
     .type = CLI_PATH,
     .help = "the K observed classes in the order of the columns, one a line; not with a table"},
    {.name = "space",
     .type = CLI_STRING,
     .value = "SPACE",
     .required = true,
     .help = "tree:FILE, graph:FILE, matrix:FILE.npy, embedding:FILE.npy, grid:AxB, path:N or "
             "discrete"},
    {.name = "output",
     .type = CLI_OUTPUT,
     .value = "T.tsv",
     .help = "table of predictions to write; - is standard output (required, but with --explain)"},
    {.name = "candidates",
     .type = CLI_STRING,
     .value = "WHICH",
     .preset = "all",
     .help = "points that may be predicted: all, observed, leaves, or a file of names"},
    {.name = "temperature",
     .type = CLI_FLOAT,
     .value = "T",
     .low = 1e-6,
     .high = 1e6,
     .help = "predict from p^(1/T); below 1 sharpens [1]"},
    {.name = "calibrate",
     .type = CLI_PATH,
     .help = "choose T on these held-out labels (as --truth takes them)"},
    {.name = "calibrate-by",
     .type = CLI_ENUM,
     .choices = "distance|log-loss",
     .preset = "distance",
     .help = "what the chosen T makes least: mean squared distance, or log loss"},
    {.name = "power",
     .type = CLI_INT,
     .min = 1,
     .max = 2,
     .preset = "2",
     .help = "of the distance: 2 the mean, 1 the median"},
    {.name = "top",
     .type = CLI_INT,
     .value = "K",
     .min = 1,
     .max = INT32_MAX,
     .preset = "1",
     .help = "best candidates to give for each row"},
    {.name = "truth",
     .type = CLI_PATH,
     .help = "labels to measure by: a table with row and label, or with a label for every row, "
             "or one label a line"},
    {.name = "plot",
     .type = CLI_OUTPUT,
     .value = "FILE.svg",
     .help = "with --truth: draw distance by how frequent the label is, and where the mass went"},
    {.name = "method",
     .type = CLI_STRING,
     .value = "NAME",
     .preset = "auto",
     .help = "auto takes the quickest way to compute; others give the same results: tree-pass, "
             "tree-entries, tree-gates, argmax, nearest-mean, nearest-mean-f32, grid-sums, table, "
             "table-f32, table-entries, hop-searches, length-searches"},
    {.name = "explain",
     .type = CLI_FLAG,
     .help = "say how it would be computed and what memory that takes; predict nothing"},
    {0},
};

static json_t *means_json(const whet_space_means *m) {
    return json_pack("{s:I, s:o, s:o, s:o, s:o}", "rows", (json_int_t)m->rows,
                     "mean_squared_distance", cli_json_number(m->mean_squared), "mean_distance",
                     cli_json_number(m->mean_distance), "accuracy", cli_json_number(m->accuracy),
                     "top_accuracy", cli_json_number(m->top_accuracy));
}

static json_t *scores_json(const whet_space_scores *s) {
    json_t *o = means_json(&s->all);
    (void)json_object_set_new(o, "accuracy_seen", cli_json_number(s->seen.accuracy));
    (void)json_object_set_new(o, "accuracy_unseen", cli_json_number(s->unseen.accuracy));
    (void)json_object_set_new(o, "seen", means_json(&s->seen));
    (void)json_object_set_new(o, "unseen", means_json(&s->unseen));
    return o;
}

static json_t *interval_json(const whet_space_interval *i) {
    return json_pack("{s:o, s:o, s:o}", "mean", cli_json_number(i->difference), "low",
                     cli_json_number(i->low), "high", cli_json_number(i->high));
}

static json_t *gain_json(const whet_space_gain *g) {
    return json_pack("{s:o, s:o, s:o}", "mean_squared_distance", interval_json(&g->mean_squared),
                     "mean_distance", interval_json(&g->mean_distance), "accuracy",
                     interval_json(&g->accuracy));
}

static json_t *plan_json(const whet_predict_report *r) {
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "name", r->plan.name, "method",
                     r->plan.method, "why", r->plan.why, "cost_of_a_row", r->plan.cost,
                     "plan_bytes", (json_int_t)r->plan.plan_bytes, "thread_bytes",
                     (json_int_t)r->plan.thread_bytes, "held_bytes", (json_int_t)r->bytes);
}

static json_t *document(const cli_run *run, const whet_predict_report *r) {
    json_t *truth = json_null(), *calibration = json_null();
    if (r->measured)
        truth = json_pack("{s:I, s:I, s:I, s:o, s:o, s:{s:o, s:o, s:o}}", "rows",
                          (json_int_t)r->frechet.all.rows, "seen", (json_int_t)r->frechet.seen.rows,
                          "unseen", (json_int_t)r->frechet.unseen.rows, "frechet",
                          scores_json(&r->frechet), "argmax", scores_json(&r->argmax), "difference",
                          "all", gain_json(&r->gains.all), "seen", gain_json(&r->gains.seen),
                          "unseen", gain_json(&r->gains.unseen));
    if (r->calibration_rows)
        calibration =
            json_pack("{s:I, s:s, s:o}", "rows", (json_int_t)r->calibration_rows, "by",
                      cli_text(run, "calibrate-by"), "loss", cli_json_number(r->calibration_loss));
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "rows",
                     (json_int_t)r->rows, "observed_classes", (json_int_t)r->classes, "points",
                     (json_int_t)r->points, "candidates", (json_int_t)r->candidates, "top",
                     (json_int_t)r->top, "predicted_unobserved", (json_int_t)r->unobserved,
                     "temperature", cli_json_number(r->temperature), "calibration", calibration,
                     "truth", truth, "plan", plan_json(r), "output",
                     cli_text(run, "output") ? json_string(cli_text(run, "output")) : json_null());
}

static void print_line(cli_run *run, const char *what, int64_t rows, double frechet, double argmax,
                       const whet_space_interval *gain) {
    char label[64];
    (void)snprintf(label, sizeof label, "%s (%lld rows)", what, (long long)rows);
    cli_print(run, "%-42s ", label);
    if (rows == 0)
        cli_print(run, "%12s %12s", "-", "-");
    else
        cli_print(run, "%12.6g %12.6g", frechet, argmax);
    if (rows && gain)
        cli_print(run, "  %+.4g (%+.4g to %+.4g)", gain->difference, gain->low, gain->high);
    cli_print(run, "\n");
}

static void print_distances(cli_run *run, const char *who, const whet_space_means *f,
                            const whet_space_means *a, const whet_space_gain *gain) {
    char label[64];
    (void)snprintf(label, sizeof label, "mean squared distance%s", who);
    print_line(run, label, f->rows, f->mean_squared, a->mean_squared, &gain->mean_squared);
    (void)snprintf(label, sizeof label, "mean distance%s", who);
    print_line(run, label, f->rows, f->mean_distance, a->mean_distance, &gain->mean_distance);
}

static void print_top(cli_run *run, int32_t top, const char *who, const whet_space_means *f,
                      const whet_space_means *a) {
    char label[64];
    (void)snprintf(label, sizeof label, "label in the best %d, %s", top, who);
    print_line(run, label, f->rows, f->top_accuracy, a->top_accuracy, NULL);
}

static void print_measures(cli_run *run, const whet_predict_report *r) {
    const whet_space_scores *f = &r->frechet, *a = &r->argmax;
    const whet_space_gains *g = &r->gains;
    cli_print(run, "\n%-42s %12s %12s  %s\n", "", "frechet", "argmax", "difference (95 %)");
    print_distances(run, "", &f->all, &a->all, &g->all);
    print_line(run, "accuracy, all", f->all.rows, f->all.accuracy, a->all.accuracy,
               &g->all.accuracy);
    print_line(run, "accuracy, seen", f->seen.rows, f->seen.accuracy, a->seen.accuracy,
               &g->seen.accuracy);
    print_line(run, "accuracy, unseen", f->unseen.rows, f->unseen.accuracy, a->unseen.accuracy,
               &g->unseen.accuracy);
    if (f->seen.rows && f->unseen.rows) {
        print_distances(run, ", seen", &f->seen, &a->seen, &g->seen);
        print_distances(run, ", unseen", &f->unseen, &a->unseen, &g->unseen);
    }
    if (r->top == 1) return;
    print_top(run, r->top, "all", &f->all, &a->all);
    print_top(run, r->top, "seen", &f->seen, &a->seen);
    print_top(run, r->top, "unseen", &f->unseen, &a->unseen);
}

static void print_report(cli_run *run, const whet_predict_report *r) {
    cli_print(run, "%lld rows, %lld observed classes, %lld candidates of %lld points\n",
              (long long)r->rows, (long long)r->classes, (long long)r->candidates,
              (long long)r->points);
    cli_print(run, "%lld rows predicted as a class that was never observed\n",
              (long long)r->unobserved);
    if (r->calibration_rows)
        cli_print(run, "temperature %.4g, chosen on %lld labels\n", r->temperature,
                  (long long)r->calibration_rows);
    if (r->measured) print_measures(run, r);
}

static void print_plan(cli_run *run, const whet_predict_report *r) {
    const double mb = 1 << 20;
    cli_print(run, "%lld rows, %lld observed classes, %lld candidates of %lld points\n",
              (long long)r->rows, (long long)r->classes, (long long)r->candidates,
              (long long)r->points);
    cli_print(run, "method: %s (--method %s), %s a row\nbecause %s\n", r->plan.method, r->plan.name,
              r->plan.cost, r->plan.why);
    cli_print(
        run, "memory: %.1f MiB held now, of it %.1f MiB by the plan; %.1f MiB more a thread\n",
        (double)r->bytes / mb, (double)r->plan.plan_bytes / mb, (double)r->plan.thread_bytes / mb);
}

whet_status cmd_predict(cli_run *run) {
    whet_predict_report report;
    whet_predict_job job = WHET_PREDICT_JOB_INIT;
    job.probs = cli_text(run, "probs");
    job.classes = cli_text(run, "classes");
    job.space = cli_text(run, "space");
    job.output = cli_text(run, "output");
    job.candidates = cli_text(run, "candidates");
    job.calibrate = cli_text(run, "calibrate");
    job.calibration =
        cli_choice(run, "calibrate-by") == 1 ? WHET_CALIBRATE_LOG_LOSS : WHET_CALIBRATE_DISTANCE;
    job.truth = cli_text(run, "truth");
    job.power = (int32_t)cli_integer(run, "power");
    job.top = (int32_t)cli_integer(run, "top");
    job.plot = cli_text(run, "plot");
    job.explain = cli_given(run, "explain");
    job.method = cli_text(run, "method");
    if (!job.output && !job.explain)
        return cli_fail(run, WHET_ERR_ARG, "no --output; expected a table to write");
    job.seed = run->seed;
    job.force = run->force;
    if (cli_given(run, "temperature")) job.temperature = cli_number(run, "temperature");
    if (cli_given(run, "temperature") && cli_given(run, "calibrate"))
        return cli_fail(run, WHET_ERR_ARG,
                        "--calibrate chooses the temperature; expected no --temperature beside it");
    if (cli_given(run, "calibrate-by") && !cli_given(run, "calibrate"))
        return cli_fail(run, WHET_ERR_ARG, "--calibrate-by without --calibrate; expected both");
    if (job.plot && !job.truth)
        return cli_fail(run, WHET_ERR_ARG, "--plot without --truth; expected both");
    const whet_status status = whet_predict(run->ctx, &job, &report);
    if (status != WHET_OK) return status;
    if (job.explain)
        print_plan(run, &report);
    else
        print_report(run, &report);
    cli_json(run, document(run, &report));
    return WHET_OK;
}
