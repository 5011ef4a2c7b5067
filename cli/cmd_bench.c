/* SPDX-License-Identifier: Apache-2.0
 * whet bench: published comparisons, run again. */
#include <string.h>

#include "cli.h"

/* Prints what a comparison came to, and which files tell it; both texts are released. */
static whet_status finish(cli_run *run, char *text, char *json, const char *files) {
    json_t *root;
    cli_print(run, "%s\nwrote %s: %s\n", text, cli_text(run, "output"), files);
    whet_free_text(run->ctx, text);
    const whet_status status = cli_report(run, json, &root);
    if (status == WHET_OK) cli_json(run, root);
    return status;
}

const cli_option cmd_bench_autows_options[] = {
    {.name = "data",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "folder with a folder for each set: youtube, mnist, ... (docs/guide/bench.md)"},
    {.name = "output",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "folder for the results; what it holds of the same settings is gone on with"},
    {.name = "model",
     .type = CLI_PATH,
     .value = "DIR",
     .help = "encoder of texts; without: TF-IDF alone"},
    {.name = "resnet",
     .type = CLI_PATH,
     .value = "R.safetensors",
     .help = "a ResNet-20 of CIFAR-10: features of the other images"},
    {.name = "sets",
     .type = CLI_STRING,
     .value = "A,B",
     .help = "which sets; without: all that there are"},
    {.name = "features", .type = CLI_STRING, .value = "A,B", .help = "which feature maps"},
    {.name = "methods", .type = CLI_STRING, .value = "A,B", .help = "which methods"},
    {.name = "seeds",
     .type = CLI_INT,
     .min = 1,
     .max = 100,
     .preset = "5",
     .help = "draws of labels, pool and test rows"},
    {.name = "labels",
     .type = CLI_INT,
     .min = 4,
     .max = 1000000,
     .preset = "100",
     .help = "labelled rows"},
    {.name = "pool",
     .type = CLI_INT,
     .min = 0,
     .max = INT32_MAX,
     .preset = "5000",
     .help = "rows without a label at most"},
    {.name = "test-rows",
     .type = CLI_INT,
     .min = 1,
     .max = INT32_MAX,
     .preset = "2500",
     .help = "rows tested at most"},
    {.name = "dtype",
     .type = CLI_ENUM,
     .choices = "auto|f32|bf16",
     .preset = "auto",
     .help = "numbers the encoder works with, as it is and tuned (adapt-adapter); auto: f32, and "
             "in tuning products of bf16 where the processor has them"},
    {0},
};

whet_status cmd_bench_autows(cli_run *run) {
    whet_autows_job job = WHET_AUTOWS_JOB_INIT;
    char *text = NULL, *json = NULL;
    job.data = cli_text(run, "data");
    job.output = cli_text(run, "output");
    job.model = cli_text(run, "model");
    job.resnet = cli_text(run, "resnet");
    job.sets = cli_text(run, "sets");
    job.features = cli_text(run, "features");
    job.methods = cli_text(run, "methods");
    job.seeds = (int32_t)cli_integer(run, "seeds");
    job.labels = cli_integer(run, "labels");
    job.pool = cli_integer(run, "pool");
    job.test = cli_integer(run, "test-rows");
    job.dtype = cli_choice(run, "dtype") == 2 ? WHET_BF16 : WHET_F32;
    job.tune_exact = cli_choice(run, "dtype") == 1;
    job.force = run->force;
    job.seed = run->seed;
    const whet_status status = whet_autows_run(run->ctx, &job, &text, &json);
    if (status != WHET_OK) return status;
    return finish(run, text, json,
                  "cells.jsonl, summary.json, table.tsv, profile.svg, report.html");
}

const cli_option cmd_bench_glue_options[] = {
    {.name = "data",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "folder with a folder for each task: cola, sst2, ... (docs/guide/bench.md)"},
    {.name = "model",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "pretrained encoder, a Hugging Face folder"},
    {.name = "output",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "folder for the results; what it holds of the same settings is gone on with"},
    {.name = "tasks",
     .type = CLI_STRING,
     .value = "A,B",
     .help = "which tasks; without: all that there are"},
    {.name = "methods", .type = CLI_STRING, .value = "A,B", .help = "which methods"},
    {.name = "seeds",
     .type = CLI_INT,
     .min = 1,
     .max = 100,
     .preset = "3",
     .help = "draws of training rows, their order and new weights"},
    {.name = "train-rows",
     .type = CLI_INT,
     .min = 20,
     .max = INT32_MAX,
     .preset = "2000",
     .help = "training rows at most"},
    {.name = "test-rows",
     .type = CLI_INT,
     .min = 1,
     .max = INT32_MAX,
     .preset = "2000",
     .help = "rows tested at most"},
    {.name = "epochs",
     .type = CLI_INT,
     .min = 1,
     .max = 1000,
     .preset = "5",
     .help = "times through the training rows"},
    {.name = "dtype",
     .type = CLI_ENUM,
     .choices = "f32|bf16",
     .preset = "f32",
     .help = "of products"},
    {0},
};

whet_status cmd_bench_glue(cli_run *run) {
    whet_glue_job job = WHET_GLUE_JOB_INIT;
    char *text = NULL, *json = NULL;
    job.data = cli_text(run, "data");
    job.model = cli_text(run, "model");
    job.output = cli_text(run, "output");
    job.tasks = cli_text(run, "tasks");
    job.methods = cli_text(run, "methods");
    job.seeds = (int32_t)cli_integer(run, "seeds");
    job.train = cli_integer(run, "train-rows");
    job.test = cli_integer(run, "test-rows");
    job.epochs = cli_integer(run, "epochs");
    job.dtype = cli_choice(run, "dtype") == 1 ? WHET_BF16 : WHET_F32;
    job.force = run->force;
    job.seed = run->seed;
    const whet_status status = whet_glue_run(run->ctx, &job, &text, &json);
    if (status != WHET_OK) return status;
    return finish(run, text, json, "runs.jsonl, summary.json, table.tsv");
}

const cli_option cmd_bench_commonsense_options[] = {
    {.name = "data",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "folder of NAME.test.jsonl and NAME.train.jsonl (docs/guide/bench.md)"},
    {.name = "model",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "language model (Llama, Mistral, Qwen2), a Hugging Face folder"},
    {.name = "output",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "folder for the results; what it holds of the same settings is gone on with"},
    {.name = "sets", .type = CLI_STRING, .value = "A,B", .help = "which sets; without: all"},
    {.name = "methods", .type = CLI_STRING, .value = "A,B", .help = "which methods"},
    {.name = "seeds",
     .type = CLI_INT,
     .min = 1,
     .max = 100,
     .preset = "1",
     .help = "draws of training questions and their order"},
    {.name = "train-rows",
     .type = CLI_INT,
     .min = 1,
     .max = INT32_MAX,
     .preset = "2000",
     .help = "training questions of a set at most"},
    {.name = "test-rows",
     .type = CLI_INT,
     .min = 1,
     .max = INT32_MAX,
     .preset = "500",
     .help = "test questions of a set at most"},
    {.name = "epochs",
     .type = CLI_INT,
     .min = 1,
     .max = 1000,
     .preset = "3",
     .help = "times through the training questions"},
    {.name = "dtype",
     .type = CLI_ENUM,
     .choices = "f32|bf16",
     .preset = "f32",
     .help = "of products"},
    {0},
};

whet_status cmd_bench_commonsense(cli_run *run) {
    whet_commonsense_job job = WHET_COMMONSENSE_JOB_INIT;
    char *text = NULL, *json = NULL;
    job.data = cli_text(run, "data");
    job.model = cli_text(run, "model");
    job.output = cli_text(run, "output");
    job.sets = cli_text(run, "sets");
    job.methods = cli_text(run, "methods");
    job.seeds = (int32_t)cli_integer(run, "seeds");
    job.train = cli_integer(run, "train-rows");
    job.test = cli_integer(run, "test-rows");
    job.epochs = cli_integer(run, "epochs");
    job.dtype = cli_choice(run, "dtype") == 1 ? WHET_BF16 : WHET_F32;
    job.force = run->force;
    job.seed = run->seed;
    const whet_status status = whet_commonsense_run(run->ctx, &job, &text, &json);
    if (status != WHET_OK) return status;
    return finish(run, text, json, "cells.jsonl, summary.json");
}
