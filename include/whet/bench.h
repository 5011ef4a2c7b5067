/* SPDX-License-Identifier: Apache-2.0
 * bench: published comparisons, run again on real data with error bars.
 *
 * AutoWS-Bench-101 (arXiv 2208.14362): what does a hundred labels give, by the baselines and by automated
 * weak supervision? Every method on every feature map of every set, with several draws of the labels. */
#ifndef WHET_BENCH_H
#define WHET_BENCH_H

#include "whet/core.h"
#include "whet/tensor.h"

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
    whet_dtype dtype; /* of the encoder, as it is and tuned: WHET_F32 or WHET_BF16 */
    bool tune_exact;  /* of adapt-adapter, as of whet_adapt_job */
} whet_autows_job;
#define WHET_AUTOWS_JOB_INIT \
    { \
        .struct_size = sizeof(whet_autows_job), .seeds = 5, .labels = 100, .pool = 5000, \
        .test = 2500, .dtype = WHET_F32 \
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

/* Adapters beside each other: every weight, LoRA, DoRA, MoRe at matched numbers of parameters, on tasks of
 * GLUE (cola, sst2, mrpc, stsb, rte), trec and agnews; recipe of MoRe's runs (arXiv 2408.17383). */
typedef struct whet_glue_job {
    size_t struct_size;
    const char
        *data; /* folder with a folder for each task (docs/guide/bench.md); those that are not
                           there are left out with a warning, unless they are asked for */
    const char *model;  /* encoder folder */
    const char *output; /* folder; one that holds results of the same settings is gone on with */
    const char *tasks, *methods; /* names joined by commas; NULL = all */
    int32_t seeds;       /* draws of training rows, order and new weights, 1..100; default 3 */
    int64_t train, test; /* rows at most; default 2000, 2000 */
    int64_t epochs;      /* default 5 */
    whet_dtype dtype;    /* of products: WHET_F32 or WHET_BF16 */
    bool force;          /* throw away results of other settings that `output` holds */
    uint64_t seed;
} whet_glue_job;
#define WHET_GLUE_JOB_INIT \
    { \
        .struct_size = sizeof(whet_glue_job), .seeds = 3, .train = 2000, .test = 2000, \
        .epochs = 5, .dtype = WHET_F32 \
    }

/* Runs what is missing in OUTPUT/runs.jsonl, one line a training run; then writes summary.json and table.tsv.
 * A method's learning rate is chosen among three by the first seed, on a fifth of its training rows;
 * test rows are looked at once a run, at its end. *text, *json: the table for people, and summary.json;
 * released by whet_free_text; either may be NULL.
 * Errors: ARG (no such task or method: lists them), EXISTS (results of other settings), as whet_tune_run;
 * CANCELLED keeps what is done. Cost: a method and task 3 + seeds training runs. */
WHET_API WHET_CHECKED whet_status whet_glue_run(whet_ctx *ctx, const whet_glue_job *job,
                                                char **text, char **json);

/* Multiple choice with a language model, as it is and tuned: boolq, piqa, social_i_qa, winogrande, ARC,
 * openbookqa, as LLM-Adapters has them (arXiv 2304.01933). */
typedef struct whet_commonsense_job {
    size_t struct_size;
    const char *data;   /* folder of NAME.test.jsonl and, of some, NAME.train.jsonl */
    const char *model;  /* folder of a Llama-like model */
    const char *output; /* folder; one that holds results of the same settings is gone on with */
    const char *sets, *methods; /* names joined by commas; NULL = all */
    int32_t seeds;              /* draws of training questions and order, 1..100; default 1 */
    int64_t train, test;        /* questions a set at most; default 2000, 500 */
    int64_t epochs;             /* default 3 */
    whet_dtype dtype;           /* of products: WHET_F32 or WHET_BF16 */
    bool force;                 /* throw away results of other settings that `output` holds */
    uint64_t seed;
} whet_commonsense_job;
#define WHET_COMMONSENSE_JOB_INIT \
    { \
        .struct_size = sizeof(whet_commonsense_job), .seeds = 1, .train = 2000, .test = 500, \
        .epochs = 3, .dtype = WHET_F32 \
    }

/* Runs what is missing in OUTPUT/cells.jsonl, one line a set, method and seed; then writes summary.json. A
 * model is tuned on the training questions of all sets together; its answer is the choice of the largest
 * log p(choice | question), over all the choice's tokens. Questions longer than the model's positions lose
 * their begin. *text, *json as of whet_glue_run. Errors: ARG, EXISTS, DATA (with the line), as whet_tune_run;
 * CANCELLED keeps what is done. Cost: a training run a method and seed, a pass over the test questions. */
WHET_API WHET_CHECKED whet_status whet_commonsense_run(whet_ctx *ctx,
                                                       const whet_commonsense_job *job, char **text,
                                                       char **json);

#ifdef __cplusplus
}
#endif
#endif
