/* SPDX-License-Identifier: Apache-2.0
 * whet tune --search: what was tried, what each cost, and whether the winner beats LoRA. */
#include <math.h>
#include <string.h>

#include "cli.h"

static double real_at(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static long long count_at(const json_t *object, const char *key) {
    return json_integer_value(json_object_get(object, key));
}

static const char *text_at(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* "r 8, N 4": what a kind has of it. */
static void print_shape(cli_run *run, const json_t *settings) {
    char text[64] = "";
    if (json_object_get(settings, "rank"))
        (void)snprintf(text, sizeof text, "r %lld", count_at(settings, "rank"));
    if (json_object_get(settings, "blocks")) {
        const size_t used = strlen(text);
        (void)snprintf(text + used, sizeof text - used, ", N %lld", count_at(settings, "blocks"));
    }
    cli_print(run, " %-11s", text);
}

static void print_layers(cli_run *run, const json_t *settings) {
    const char *layers = text_at(settings, "layers");
    if (*layers && strcmp(layers, "all alike") != 0) cli_print(run, ", layers %s", layers);
    cli_print(run, "\n");
}

static void print_trial(cli_run *run, const json_t *trial, long long winner) {
    const json_t *settings = json_object_get(trial, "settings");
    cli_print(run, "%c%5lld  %-4s", count_at(trial, "trial") == winner ? '*' : ' ',
              count_at(trial, "trial"), text_at(trial, "kind"));
    print_shape(run, settings);
    cli_print(run, " %10lld %8.4f %7.4f %7.1f  %s rate %g, dropout %g, head x %g%s%s",
              count_at(trial, "parameters"), real_at(trial, "metric"), real_at(trial, "error"),
              real_at(trial, "seconds"), json_is_true(json_object_get(trial, "front")) ? "+" : " ",
              real_at(settings, "learning_rate"), real_at(settings, "dropout"),
              real_at(settings, "head_rate"), json_object_get(settings, "targets") ? ", " : "",
              text_at(settings, "targets"));
    print_layers(run, settings);
}

static void print_trials(cli_run *run, const json_t *root) {
    const json_t *trials = json_object_get(root, "trials");
    const long long winner = count_at(root, "winner");
    long long stopped = 0, failed = 0;
    size_t i;
    json_t *trial;
    cli_print(run, " trial  kind shape       parameters %8.8s  +- s.e. seconds\n",
              text_at(root, "metric"));
    json_array_foreach(trials, i, trial) {
        const char *state = text_at(trial, "state");
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
}

static void print_search(cli_run *run, const json_t *root) {
    const json_t *verdict = json_object_get(root, "verdict");
    const char *output = cli_text(run, "output");
    cli_print(run, "%zu trials in %.1f s of work, judged on ",
              json_array_size(json_object_get(root, "trials")), real_at(root, "seconds"));
    if (count_at(root, "folds"))
        cli_print(run, "%lld folds of %lld rows\n", count_at(root, "folds"),
                  count_at(root, "rows"));
    else
        cli_print(run, "%lld rows from %lld seeds\n", count_at(root, "valid_rows"),
                  count_at(root, "replicates"));
    print_trials(run, root);
    cli_print(run, "%s\n", text_at(verdict, "text"));
    cli_print(run, "the winner: whet tune %s\n", text_at(root, "options"));
    if (json_is_true(json_object_get(root, "trained")))
        cli_print(run, "wrote %s: the winner trained on all rows, search.json, pareto.svg\n",
                  output);
    else
        cli_print(run, "another process trains the winner into %s\n", output);
}

whet_status cmd_tune_search(cli_run *run, const whet_tune_job *job, const char *budget) {
    whet_tune_search_opts opts = WHET_TUNE_SEARCH_OPTS_INIT;
    char *report = NULL;
    json_error_t error;
    whet_status status = whet_tune_search_budget(run->ctx, budget, &opts);
    if (status == WHET_OK) status = whet_tune_search(run->ctx, job, &opts, &report);
    if (status != WHET_OK) return status;
    json_t *root = json_loads(report, 0, &error);
    whet_free_text(run->ctx, report);
    if (!root) return cli_fail(run, WHET_ERR_INTERNAL, "search.json: %s", error.text);
    print_search(run, root);
    cli_json(run, root);
    return WHET_OK;
}
