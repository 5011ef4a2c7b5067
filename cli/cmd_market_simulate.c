/* SPDX-License-Identifier: Apache-2.0
 * whet market simulate: agents that train and trade weights, and what they would be without. */
#include <math.h>
#include <stdlib.h>

#include "cli.h"

const cli_option cmd_market_simulate_options[] = {
    {.name = "config",
     .type = CLI_PATH,
     .value = "C.json",
     .required = true,
     .help = "the experiment (docs/formats/trading.md)"},
    {.name = "data",
     .type = CLI_PATH,
     .value = "DIR",
     .help = "where its files of data are; without, beside the configuration"},
    {.name = "output",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "folder to write: report.html, its pictures, results.json, tables"},
    {0},
};

/* ---- lines ----------------------------------------------------------------------------------- */

static const char *agent_name(const whet_trading_result *r, int64_t agent) {
    return agent == WHET_MEAN_AGENT ? "mean" : r->agents[agent];
}

static void print_gains(cli_run *run, const whet_trading_result *r) {
    cli_print(run, "%-9s %-10s %9s %9s  %-20s %s\n", "arm", "agent", "accuracy", "loss",
              "accuracy over silo", "loss over silo");
    for (int64_t i = 0; i < r->n_gains; i++) {
        const whet_trading_gain *g = &r->gains[i];
        cli_print(run, "%-9s %-10.10s %9.4f %9.4f", whet_arm_name(g->arm), agent_name(r, g->agent),
                  g->test_accuracy, g->test_loss);
        if (g->arm == WHET_ARM_SILO)
            cli_print(run, "\n");
        else if (isnan(g->accuracy_half))
            cli_print(run, "  %+-20.4f %+.4f\n", g->accuracy, g->loss);
        else
            cli_print(run, "  %+.4f +- %-10.4f %+.4f +- %.4f\n", g->accuracy, g->accuracy_half,
                      g->loss, g->loss_half);
    }
}

static void print_trials(cli_run *run, const whet_trading_result *r, whet_arm arm) {
    int64_t n[WHET_TRADE_OUTCOMES] = {0}, all = 0;
    for (int64_t i = 0; i < r->n_trials; i++) {
        if (r->trials[i].arm != arm) continue;
        n[r->trials[i].outcome]++;
        all++;
    }
    cli_print(run, "%s: %lld trials", whet_arm_name(arm), (long long)all);
    for (int o = 0; o < WHET_TRADE_OUTCOMES; o++)
        if (n[o])
            cli_print(run, ", %lld %s", (long long)n[o],
                      whet_trade_outcome_name((whet_trade_outcome)o));
    cli_print(run, "\n");
}

static void print_surplus(cli_run *run, const whet_trading_result *r) {
    if (!r->money) return;
    cli_print(run, "a seed on average:\n%-9s %-10s %7s %7s %12s %12s %12s %12s\n", "arm", "agent",
              "bought", "sold", "paid", "received", "as buyer", "as seller");
    for (int64_t i = 0; i < r->n_surplus; i++) {
        const whet_trading_surplus *s = &r->surplus[i];
        cli_print(run, "%-9s %-10.10s %7.1f %7.1f %12.1f %12.1f %+12.1f %+12.1f\n",
                  whet_arm_name(s->arm), r->agents[s->agent], s->bought, s->sold, s->paid,
                  s->received, s->buyer, s->seller);
    }
    cli_print(run, "the broker has %.1f\n", r->broker);
}

static whet_status print_answers(cli_run *run, const whet_trading_result *r) {
    char *text = NULL;
    const whet_status status = whet_trading_answers(run->ctx, r, &text);
    if (status == WHET_OK) cli_print(run, "\n%s", text);
    whet_free_text(run->ctx, text);
    return status;
}

static void print_all(cli_run *run, const whet_trading_result *r) {
    cli_print(run,
              "%lld agents, %lld seeds, %lld epochs; %lld examples to select, %lld for the "
              "gate, %lld to test%s\n",
              (long long)r->n_agents, (long long)r->n_seeds, (long long)r->epochs,
              (long long)r->n_select, (long long)r->n_gate, (long long)r->n_test,
              r->split_each ? "; drawn by each seed" : "");
    print_gains(run, r);
    for (int arm = WHET_ARM_MARKET; arm <= WHET_ARM_NO_ALIGN; arm++)
        if (r->arms[arm]) print_trials(run, r, (whet_arm)arm);
    print_surplus(run, r);
}

/* ---- the command ----------------------------------------------------------------------------- */

whet_status cmd_market_simulate(cli_run *run) {
    whet_trading_result r;
    char *text = NULL;
    whet_status status = whet_trading_files(
        run->ctx, cli_text(run, "config"), cli_text(run, "data"),
        cli_given(run, "seed") ? &run->seed : NULL, cli_text(run, "output"), run->force, &r);
    if (status != WHET_OK) return status;
    print_all(run, &r);
    status = print_answers(run, &r);
    if (run->json && status == WHET_OK) status = whet_trading_json(run->ctx, &r, &text);
    if (run->json && status == WHET_OK) cli_json(run, json_loads(text, 0, NULL));
    whet_free_text(run->ctx, text);
    whet_trading_result_free(run->ctx, &r);
    return status;
}
