/* SPDX-License-Identifier: Apache-2.0
 * whet tune --search: what was tried, what each cost, and whether the winner beats LoRA. */
#include <string.h>

#include "cli.h"

/* "r 8, N 4": what a kind has of it. */
static void print_shape(cli_run *run, const json_t *settings) {
    char text[64] = "";
    if (json_object_get(settings, "rank"))
        (void)snprintf(text, sizeof text, "r %lld", cli_count_at(settings, "rank"));
    if (json_object_get(settings, "blocks")) {
        const size_t used = strlen(text);
        (void)snprintf(text + used, sizeof text - used, ", N %lld",
                       cli_count_at(settings, "blocks"));
    }
    cli_print(run, " %-11s", text);
}

static void print_layers(cli_run *run, const json_t *settings) {
    const char *layers = cli_text_at(settings, "layers");
    if (*layers && strcmp(layers, "all alike") != 0) cli_print(run, ", layers %s", layers);
    cli_print(run, "\n");
}

static void print_trial(cli_run *run, const json_t *trial, long long winner) {
    const json_t *settings = json_object_get(trial, "settings");
    cli_print(run, "%c%5lld  %-6s", cli_count_at(trial, "trial") == winner ? '*' : ' ',
              cli_count_at(trial, "trial"), cli_text_at(trial, "kind"));
    print_shape(run, settings);
    cli_print(run, " %10lld %8.4f %7.4f %7.1f  %s rate %g, dropout %g, head x %g%s%s",
              cli_count_at(trial, "parameters"), cli_real_at(trial, "metric"),
              cli_real_at(trial, "error"), cli_real_at(trial, "seconds"),
              json_is_true(json_object_get(trial, "front")) ? "+" : " ",
              cli_real_at(settings, "learning_rate"), cli_real_at(settings, "dropout"),
              cli_real_at(settings, "head_rate"), json_object_get(settings, "targets") ? ", " : "",
              cli_text_at(settings, "targets"));
    print_layers(run, settings);
}

static void print_trials(cli_run *run, const json_t *root) {
    const json_t *trials = json_object_get(root, "trials");
    const long long winner = cli_count_at(root, "winner");
    long long stopped = 0, failed = 0, early = 0;
    size_t i;
    json_t *trial;
    cli_print(run, " trial  kind   shape       parameters %8.8s  +- s.e. seconds\n",
              cli_text_at(root, "metric"));
    json_array_foreach(trials, i, trial) {
        const char *state = cli_text_at(trial, "state");
        early += cli_count_at(trial, "stopped_early");
        if (strcmp(state, "whole") == 0)
            print_trial(run, trial, winner);
        else if (strcmp(state, "failed") == 0)
            failed++;
        else
            stopped++;
    }
    cli_print(run, "* the winner, + on the front of metric against parameters\n");
    cli_print(run, "%lld more were stopped on the way, %lld failed (search.json)\n", stopped,
              failed);
    if (early > 0) cli_print(run, "%lld runs ended early, without a better epoch\n", early);
}

static void print_search(cli_run *run, const json_t *root) {
    const json_t *verdict = json_object_get(root, "verdict");
    const char *output = cli_text(run, "output");
    cli_print(run, "%zu trials in %.1f s of work, judged on ",
              json_array_size(json_object_get(root, "trials")), cli_real_at(root, "seconds"));
    if (cli_count_at(root, "folds"))
        cli_print(run, "%lld folds of %lld rows\n", cli_count_at(root, "folds"),
                  cli_count_at(root, "rows"));
    else
        cli_print(run, "%lld rows from %lld seeds\n", cli_count_at(root, "valid_rows"),
                  cli_count_at(root, "replicates"));
    print_trials(run, root);
    cli_print(run, "%s\n", cli_text_at(verdict, "text"));
    cli_print(run, "the winner: whet tune %s\n", cli_text_at(root, "options"));
    if (json_is_true(json_object_get(root, "trained")))
        cli_print(run, "wrote %s: the winner trained on all rows, search.json, pareto.svg\n",
                  output);
    else
        cli_print(run, "another process trains the winner into %s\n", output);
}

whet_status cmd_tune_search(cli_run *run, const whet_tune_job *job, const char *budget) {
    whet_tune_search_opts opts = WHET_TUNE_SEARCH_OPTS_INIT;
    char *report = NULL;
    json_t *root;
    opts.patience = cli_integer(run, "search-patience");
    opts.also = cli_text(run, "search-also");
    whet_status status = whet_tune_search_budget(run->ctx, budget, &opts);
    if (status == WHET_OK) status = whet_tune_search(run->ctx, job, &opts, &report);
    if (status == WHET_OK) status = cli_report(run, report, &root);
    if (status != WHET_OK) return status;
    print_search(run, root);
    cli_json(run, root);
    return WHET_OK;
}
