/* SPDX-License-Identifier: Apache-2.0
 * bench: published comparisons, run again on real data with error bars.
 *
 * AutoWS-Bench-101 (arXiv 2208.14362): what does a hundred labels give, by the baselines and by automated
 * weak supervision? Every method on every feature map of every set, with several draws of the labels. */
#ifndef WHET_BENCH_H
#define WHET_BENCH_H

#include "whet/core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Strings are read during the call only; NULL = not given. Lists are names joined by commas, NULL = all
 * that there are. */
typedef struct whet_autows_job {
    size_t struct_size;
    const char *data; /* folder with a folder for each set (docs/guide/bench.md); sets that it does
                             not have are left out with a warning, unless they are asked for */
    const char *output; /* folder; one that holds results of the same settings is gone on with */
    const char *model;  /* encoder folder: features of texts, and class names for zero-shot */
    const char *resnet; /* .safetensors of a CIFAR-10 ResNet-20: features of other images */
    const char *sets, *features, *methods;
    int32_t seeds;  /* draws of labels, pool and test rows, 1..100; default 5 */
    int64_t labels; /* default 100; of a set with few rows at most half of what is not tested */
    int64_t pool;   /* rows without a label at most; default 5000 */
    int64_t test;   /* rows tested at most; default 2500 */
    bool force;     /* throw away results of other settings that `output` holds */
    uint64_t seed;
} whet_autows_job;
#define WHET_AUTOWS_JOB_INIT \
    { \
        .struct_size = sizeof(whet_autows_job), .seeds = 5, .labels = 100, .pool = 5000, \
        .test = 2500 \
    }

/* Runs what is missing in OUTPUT/cells.jsonl, one line a cell (set, seed, feature, method), and keeps each
 * as it is done: who interrupts it loses one cell. Then writes summary.json, table.tsv, profile.svg and
 * report.html. Labels of test rows measure and nothing else: feature maps, labelling functions, label
 * models and end models are fitted to the pool, choices are made by cross-fitting on the labels.
 * *text, *json: the tables for people, and summary.json; released by whet_free_text; either may be NULL.
 * Errors: ARG (no such set, feature or method: lists them), EXISTS (results of other settings), as reading;
 * a method that fails on a cell is noted there, and the run goes on. CANCELLED keeps what is done.
 * Cost: hours for everything at five seeds; memory of the largest set. */
WHET_API WHET_CHECKED whet_status whet_autows_run(whet_ctx *ctx, const whet_autows_job *job,
                                                  char **text, char **json);

#ifdef __cplusplus
}
#endif
#endif
