/* SPDX-License-Identifier: Apache-2.0
 * tune: a search over what is trained and how: the kind of adapter, its rank and blocks, the layers, rates
 * and dropout, under a budget of time, trials and parameters. */
#ifndef WHET_TUNE_SEARCH_H
#define WHET_TUNE_SEARCH_H

#include "whet/tune.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct whet_tune_search_opts {
    size_t struct_size;
    double seconds;     /* of work, of all processes together; 0 = no limit */
    int64_t trials;     /* settings to try, at most 4096; 0 = as many as there is time for */
    int64_t parameters; /* numbers that may be trained outside the head; 0 = no limit */
    int64_t folds;      /* 2..10; 0 = 5 of fewer than 500 training rows, else 3 */
    const char
        *also; /* beside LoRA, MoRe and full tuning: dora, bitfit, norms, adapter-dropout (of LoRA,
                            MoRe and DoRA: 0, .05 or .1), with commas between; NULL = nothing */
    int64_t
        patience; /* a trial is judged each epoch within its rung, too, and stops after so many without
                            a better metric, with its last one; 0 = never. The winner's training is whole */
} whet_tune_search_opts;
#define WHET_TUNE_SEARCH_OPTS_INIT \
    { .struct_size = sizeof(whet_tune_search_opts) }

/* A budget as text: parts with commas between, each a time ("10m", "600s", "1.5h"), "trials=30", or
 * "params=100k" (k, M). Sets the members of *opts that the text names. Errors: ARG (a part that is none of
 * these, neither time nor trials). */
WHET_API WHET_CHECKED whet_status whet_tune_search_budget(whet_ctx *ctx, const char *text,
                                                          whet_tune_search_opts *opts);

/* Searches, then trains the winner as whet_tune_run does into job->output.
 *
 * job      as of whet_tune_run; `adapter` is searched and ignored. rank, blocks, targets, learning_rate,
 *          dropout and head_rate are searched where they have their defaults (0, NULL, negative) and kept
 *          where they are given. epochs is that of a trial at full length; 0 = 10, or more for at least
 *          100 steps, at most 60.
 *          resume: goes on with the search in job->output, or joins the processes that are at it.
 * budget   needs seconds or trials. A larger one goes on with a search that was done.
 *
 * Settings are drawn at random, LoRA and MoRe in pairs that are equal but for the blocks, so that neither
 * wins by luckier draws; full tuning is one in five (none, where the limit rules it out);
 * the first three are LoRA of rank 8, full tuning and MoRe of rank 8 with 4 blocks, at their default rates.
 * Kinds of `also` come behind them, and then one in six (seven, eight) each. A trial is trained on all folds
 * of the training rows
 * (without a validation table, or with fewer than 500 training rows), or from several seeds, and judged by
 * the mean metric of the rows held out. It goes on from one rung (number of steps) to the next, three times
 * as long, when it is among the best third there (asynchronous successive halving, Li et al. 2020, arXiv
 * 1810.05934). The winner and its rival are compared on folds (seeds) that chose nothing: its partner, which
 * is trained to the end for that; where it has none that comes to the end, the best LoRA of as many
 * parameters or fewer (of a LoRA, MoRe), with which it shares no draws.
 *
 * Writes into job->output, beside what whet_tune_run writes:
 *   search.json     what was tried, what each cost, the front of metric against parameters, the verdict
 *   pareto.svg      a picture of it
 *   search/journal  every result, one line each, from which a search goes on (docs/formats/search.md)
 *   search/...      while it runs, checkpoints of trials and locks of processes
 * The state is whole after any interruption. *report is the text of search.json, released by whet_free_text;
 * may be NULL. Where another process still trains the winner, or has, no model is written by this one.
 *
 * The same seed and a budget of trials give the same results in one process, at any thread count. With a
 * budget of time, or several processes, what is tried depends on how fast the machine is; each trial's result
 * does not. Cost: the budget. Memory: one run's. Progress stage "search", in seconds of the budget, or in
 * trials.
 * Errors: as whet_tune_run; ARG (a budget too small for one trial, or for the smallest candidate: with the
 * least that is needed), DATA (a journal of another search, damage), IO, EXISTS, CANCELLED. */
WHET_API WHET_CHECKED whet_status whet_tune_search(whet_ctx *ctx, const whet_tune_job *job,
                                                   const whet_tune_search_opts *budget,
                                                   char **report);

#ifdef __cplusplus
}
#endif
#endif
