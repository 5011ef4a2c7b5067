/* SPDX-License-Identifier: Apache-2.0
 * whet tune: training an encoder or a language model, all of it or adapters, for classes, numbers,
 * embeddings or texts. */
#include <math.h>
#include <string.h>

#include "cli.h"

const cli_option cmd_tune_options[] = {
    {.name = "model",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "pretrained model, a Hugging Face folder: an encoder (BERT, RoBERTa, XLM-RoBERTa, "
             "CamemBERT, DistilBERT) or a language model (Llama, Mistral, Qwen2)"},
    {.name = "train", .type = CLI_PATH, .required = true, .help = "table of texts and labels"},
    {.name = "valid",
     .type = CLI_PATH,
     .help = "the same, to validate: the best step is kept, and early stopping looks at it"},
    {.name = "text",
     .type = CLI_STRING,
     .value = "COLUMN",
     .preset = "text",
     .help = "column of texts"},
    {.name = "second",
     .type = CLI_STRING,
     .value = "COLUMN",
     .help =
         "column of second texts: the model reads pairs, or, with --loss cosine-mse and in-batch, "
         "embeds both"},
    {.name = "label",
     .type = CLI_STRING,
     .value = "COLUMN",
     .preset = "label",
     .help = "column of labels; rows with an empty cell are left out"},
    {.name = "target",
     .type = CLI_STRING,
     .value = "COLUMN",
     .help = "column of what a language model is to say behind the text; without it, and without "
             "labels, it learns the texts"},
    {.name = "no-end",
     .type = CLI_FLAG,
     .help = "texts of a language model do not end with its end token"},
    {.name = "classes", .type = CLI_PATH, .help = "class list, one name a line"},
    {.name = "probs",
     .type = CLI_PATH,
     .value = "P.npy",
     .help = "probabilities [rows, classes] as labels of the training rows, by soft cross-entropy; "
             "rows that have a label are certain of it, rows of equal numbers are left out"},
    {.name = "row-weights",
     .type = CLI_ENUM,
     .choices = "even|confidence",
     .preset = "even",
     .help = "of rows with --probs: all alike, or by how sure they are, 1 - entropy / ln classes"},
    {.name = "label-weight",
     .type = CLI_FLOAT,
     .low = 1e-6,
     .high = 1e6,
     .preset = "1",
     .help = "what a label counts for, in rows with --probs"},
    {.name = "task",
     .type = CLI_ENUM,
     .choices = "auto|classification|regression|language",
     .preset = "auto",
     .help = "auto: regression when all labels are numbers and some have a point; language when a "
             "language model's table has no labels"},
    {.name = "loss",
     .type = CLI_ENUM,
     .choices =
         "auto|cross-entropy|mse|expected-cost|contrastive|supervised-contrastive|cosine-mse|"
         "in-batch|causal|frechet",
     .preset = "auto",
     .help =
         "auto: by the task; expected-cost and frechet need --space; contrastive to in-batch train "
         "embeddings, without a head; causal is a language model's"},
    {.name = "temperature",
     .type = CLI_FLOAT,
     .low = 1e-6,
     .high = 1e6,
     .help = "of the loss; without it, 1 for expected-cost, the mean squared distance for frechet, "
             "0.1 for supervised-contrastive, 0.05 for "
             "in-batch"},
    {.name = "space",
     .type = CLI_STRING,
     .value = "SPACE",
     .help = "where classes are points (see whet predict): for --loss expected-cost or frechet, or "
             "--metric "
             "distance"},
    {.name = "adapter",
     .type = CLI_ENUM,
     .choices = "full|lora|more|dora|bitfit|norms",
     .preset = "full",
     .help =
         "what is trained, beside the head: every weight; low-rank (lora, dora) or Monarch (more) "
         "adapters; biases; scales and biases of norms"},
    {.name = "targets",
     .type = CLI_STRING,
     .value = "LIST",
     .help =
         "layers to train or adapt: ends of their names, with commas between; all-linear; or "
         "regex:PATTERN for whole names; without it, all, or query, key and value for adapters"},
    {.name = "exclude",
     .type = CLI_STRING,
     .value = "LIST",
     .help = "layers that are not, written as --targets"},
    {.name = "layers",
     .type = CLI_STRING,
     .value = "NUMBERS",
     .help = "only layers of these numbers, such as 0,2,8-11"},
    {.name = "save-modules",
     .type = CLI_STRING,
     .value = "LIST",
     .help = "modules trained and saved whole beside adapters: ends of their names"},
    {.name = "init-adapter",
     .type = CLI_PATH,
     .value = "DIR",
     .help = "go on from these adapters: kind, layers, ranks and scales are theirs"},
    {.name = "rank", .type = CLI_INT, .min = 1, .max = 1024, .preset = "8", .help = "of adapters"},
    {.name = "rank-pattern",
     .type = CLI_STRING,
     .value = "END=N,..",
     .help = "another rank for layers whose name ends with a regular expression, such as "
             "value=4,layer\\.[01]\\..*=2; the first that fits"},
    {.name = "blocks",
     .type = CLI_INT,
     .min = 1,
     .max = 64,
     .preset = "4",
     .help = "of Monarch adapters"},
    {.name = "blocks-pattern",
     .type = CLI_STRING,
     .value = "END=N,..",
     .help = "the same as --rank-pattern, for blocks"},
    {.name = "alpha",
     .type = CLI_FLOAT,
     .low = 1e-6,
     .high = 1e6,
     .help = "LoRA and DoRA are scaled by alpha / rank; without it, 2 rank"},
    {.name = "alpha-pattern",
     .type = CLI_STRING,
     .value = "END=X,..",
     .help = "the same as --rank-pattern, for alpha"},
    {.name = "rslora", .type = CLI_FLAG, .help = "scaled by alpha / sqrt(rank) instead"},
    {.name = "adapter-dropout",
     .type = CLI_FLOAT,
     .low = 0,
     .high = 0.999,
     .preset = "0",
     .help = "of what LoRA's and DoRA's adapters read, and Monarch adapters add"},
    {.name = "head",
     .type = CLI_ENUM,
     .choices = "family|pooled",
     .preset = "family",
     .help = "transformers' head of the model's family, or one layer on the pooled embedding"},
    {.name = "new-head",
     .type = CLI_FLAG,
     .help = "do not go on from the head that the folder has: its last layer is drawn anew"},
    {.name = "epochs",
     .type = CLI_INT,
     .min = 1,
     .max = 1000000,
     .preset = "3",
     .help = "times through the training rows"},
    {.name = "lr",
     .type = CLI_FLOAT,
     .low = 1e-12,
     .high = 1000,
     .help = "learning rate; without it, 5e-5, or 1e-3 for adapters"},
    {.name = "head-rate",
     .type = CLI_FLOAT,
     .low = 1e-6,
     .high = 1e6,
     .preset = "1",
     .help = "the head's learning rate is so many times the others'"},
    {.name = "second-rate",
     .type = CLI_FLOAT,
     .low = 1e-6,
     .high = 1e6,
     .preset = "1",
     .help = "the learning rate of LoRA's and DoRA's B, and Monarch adapters' second factors, is "
             "so many "
             "times the others' (LoRA+)"},
    {.name = "weight-decay",
     .type = CLI_FLOAT,
     .low = 0,
     .high = 1000,
     .preset = "0.01",
     .help = "of matrices"},
    {.name = "schedule",
     .type = CLI_ENUM,
     .choices = "constant|linear|cosine",
     .preset = "linear",
     .help = "of the learning rate, after the warm-up"},
    {.name = "warmup",
     .type = CLI_FLOAT,
     .low = 0,
     .high = 1e9,
     .preset = "0.1",
     .help = "steps, or below 1 a share of all steps"},
    {.name = "clip",
     .type = CLI_FLOAT,
     .low = 0,
     .high = 1e9,
     .preset = "1",
     .help = "largest norm of the gradients; 0 = any"},
    {.name = "smoothing",
     .type = CLI_FLOAT,
     .low = 0,
     .high = 0.999,
     .preset = "0",
     .help = "of labels"},
    {.name = "dropout",
     .type = CLI_FLOAT,
     .low = 0,
     .high = 0.999,
     .help = "everywhere; without it, as config.json says"},
    {.name = "batch",
     .type = CLI_INT,
     .min = 1,
     .max = 1 << 20,
     .help = "examples a step; without it, 16, or 32 where a loss compares the rows of a batch"},
    {.name = "batch-tokens",
     .type = CLI_INT,
     .min = 1,
     .max = 1 << 24,
     .preset = "2048",
     .help = "tokens worked on at once; a larger batch is accumulated"},
    {.name = "max-length",
     .type = CLI_INT,
     .min = 3,
     .max = 1 << 20,
     .help =
         "tokens a text; without it, the model's limit, of texts that are learned at most 1024"},
    {.name = "no-bucket",
     .type = CLI_FLAG,
     .help = "batches in random order, not of like length; a language model's always are"},
    {.name = "dtype",
     .type = CLI_ENUM,
     .choices = "f32|bf16",
     .preset = "f32",
     .help = "of products; what is trained stays f32"},
    {.name = "checkpoint-activations",
     .type = CLI_FLAG,
     .help = "compute activations twice instead of keeping them: a third of the memory"},
    {.name = "metric",
     .type = CLI_ENUM,
     .choices = "auto|accuracy|f1|mcc|loss|pearson|spearman|mrr|distance",
     .preset = "auto",
     .help = "by which the best step is chosen"},
    {.name = "patience",
     .type = CLI_INT,
     .min = 1,
     .max = 1 << 30,
     .help = "stop after so many validations that are no better"},
    {.name = "evaluate-steps",
     .type = CLI_INT,
     .min = 1,
     .max = INT64_MAX,
     .help = "validate every so many steps; without it, each epoch"},
    {.name = "save-steps",
     .type = CLI_INT,
     .min = 1,
     .max = INT64_MAX,
     .help = "checkpoint every so many steps; without it, each epoch"},
    {.name = "search",
     .type = CLI_STRING,
     .value = "BUDGET",
     .help =
         "search adapter (lora, more, full), rank, blocks, targets, rates and dropout, then train "
         "the winner; of BUDGET a time (600s, 10m, 1h), trials=30 or both, and params=100k; what "
         "is given is not searched"},
    {.name = "search-also",
     .type = CLI_STRING,
     .value = "LIST",
     .help = "search these as well: dora, bitfit, norms, adapter-dropout, with commas between"},
    {.name = "search-patience",
     .type = CLI_INT,
     .value = "N",
     .min = 1,
     .max = 1 << 20,
     .help = "a trial of the search stops after N epochs without a better metric"},
    {.name = "resume",
     .type = CLI_FLAG,
     .help = "go on from the checkpoint in --output; a search: go on, or help the process at it"},
    {.name = "output",
     .type = CLI_PATH,
     .value = "DIR",
     .required = true,
     .help = "folder to write"},
    {0},
};

static double real_or(const cli_run *run, const char *name, double fallback) {
    return cli_given(run, name) ? cli_number(run, name) : fallback;
}

/* What a search chooses, unless it is given. */
static void leave_open(const cli_run *run, whet_tune_job *job) {
    if (!cli_given(run, "rank")) job->rank = 0;
    if (!cli_given(run, "blocks")) job->blocks = 0;
    if (!cli_given(run, "head-rate")) job->head_rate = 0;
    if (!cli_given(run, "epochs")) job->epochs = 0;
    if (!cli_given(run, "warmup")) job->warmup = -1;
}

static whet_tune_job job_of(const cli_run *run) {
    whet_tune_job job = WHET_TUNE_JOB_INIT;
    job.model = cli_text(run, "model");
    job.train = cli_text(run, "train");
    job.valid = cli_text(run, "valid");
    job.text = cli_text(run, "text");
    job.second = cli_text(run, "second");
    job.label = cli_text(run, "label");
    job.target = cli_text(run, "target");
    job.no_end = cli_flag(run, "no-end");
    job.classes = cli_text(run, "classes");
    job.probs = cli_text(run, "probs");
    job.row_weights = (whet_tune_weights)cli_choice(run, "row-weights");
    job.label_weight = cli_number(run, "label-weight");
    job.task = (whet_tune_task)cli_choice(run, "task");
    job.loss = (whet_tune_loss)cli_choice(run, "loss");
    job.temperature = real_or(run, "temperature", 0);
    job.space = cli_text(run, "space");
    job.adapter = (whet_tune_adapter)cli_choice(run, "adapter");
    job.head = (whet_tune_head)cli_choice(run, "head");
    job.new_head = cli_flag(run, "new-head");
    job.targets = cli_text(run, "targets");
    job.rank = cli_integer(run, "rank");
    job.blocks = cli_integer(run, "blocks");
    job.alpha = real_or(run, "alpha", 0);
    job.exclude = cli_text(run, "exclude");
    job.init_adapter = cli_text(run, "init-adapter");
    job.layers = cli_text(run, "layers");
    job.save_modules = cli_text(run, "save-modules");
    job.rank_pattern = cli_text(run, "rank-pattern");
    job.blocks_pattern = cli_text(run, "blocks-pattern");
    job.alpha_pattern = cli_text(run, "alpha-pattern");
    job.rank_stabilised = cli_flag(run, "rslora");
    job.adapter_dropout = cli_number(run, "adapter-dropout");
    job.epochs = cli_integer(run, "epochs");
    job.learning_rate = real_or(run, "lr", 0);
    job.head_rate = cli_number(run, "head-rate");
    job.second_rate = cli_number(run, "second-rate");
    job.weight_decay = cli_number(run, "weight-decay");
    job.schedule = (whet_tune_schedule)cli_choice(run, "schedule");
    job.warmup = cli_number(run, "warmup");
    job.clip = cli_number(run, "clip");
    job.smoothing = cli_number(run, "smoothing");
    job.dropout = real_or(run, "dropout", -1);
    job.batch_size = cli_integer(run, "batch");
    job.batch_tokens = cli_integer(run, "batch-tokens");
    job.max_length = cli_integer(run, "max-length");
    job.no_bucket = cli_flag(run, "no-bucket");
    job.dtype = cli_choice(run, "dtype") == 1 ? WHET_BF16 : WHET_F32;
    job.recompute = cli_flag(run, "checkpoint-activations");
    job.metric = (whet_tune_metric)cli_choice(run, "metric");
    job.patience = cli_integer(run, "patience");
    job.evaluate_steps = cli_integer(run, "evaluate-steps");
    job.save_steps = cli_integer(run, "save-steps");
    job.resume = cli_flag(run, "resume");
    job.seed = run->seed;
    job.output = cli_text(run, "output");
    job.force = run->force;
    if (cli_given(run, "search")) leave_open(run, &job);
    return job;
}

static whet_status check_adapter(cli_run *run) {
    const whet_tune_adapter adapter = (whet_tune_adapter)cli_choice(run, "adapter");
    const bool low_rank = adapter == WHET_TUNE_LORA || adapter == WHET_TUNE_DORA;
    static const char *const own[] = {
        "adapter",       "targets",      "exclude",        "layers", "rank",
        "rank-pattern",  "blocks",       "blocks-pattern", "alpha",  "rslora",
        "alpha-pattern", "save-modules", "adapter-dropout"};
    for (size_t i = 0; cli_given(run, "init-adapter") && i < sizeof own / sizeof *own; i++)
        if (cli_given(run, own[i]))
            return cli_fail(run, WHET_ERR_ARG,
                            "--%s with --init-adapter, which says it; expected one of them",
                            own[i]);
    const bool adapts = low_rank || adapter == WHET_TUNE_MORE;
    const bool blocks = cli_given(run, "blocks") && adapter != WHET_TUNE_MORE;
    /* One command line may go through all kinds, of which some have no use for these. */
    if (cli_given(run, "rank") && !adapts)
        cli_note(run, "--rank is of adapters, and is passed over; expected --adapter lora, dora or "
                      "more beside it");
    if (cli_given(run, "alpha") && !low_rank)
        cli_note(run,
                 "--alpha is LoRA's and DoRA's, and is passed over; expected --adapter lora or "
                 "dora beside it");
    if (adapter == WHET_TUNE_FULL && cli_given(run, "save-modules") && !cli_given(run, "targets") &&
        !cli_given(run, "exclude") && !cli_given(run, "layers"))
        cli_note(run, "--save-modules is beside adapters or --targets, and is passed over: every "
                      "weight is trained");
    if (blocks && cli_integer(run, "blocks") != 1)
        cli_note(run,
                 "--blocks is of Monarch adapters, and is passed over; expected --adapter more "
                 "beside it");
    return WHET_OK;
}

static whet_status check_usage(cli_run *run) {
    static const char *const heads[] = {"head", "new-head"};
    const bool search = cli_given(run, "search");
    if (search && cli_given(run, "adapter"))
        return cli_fail(run, WHET_ERR_ARG, "--search chooses the adapter; expected no --adapter");
    if (!search && (cli_given(run, "search-also") || cli_given(run, "search-patience")))
        return cli_fail(run, WHET_ERR_ARG,
                        "--search-also and --search-patience are of a search; expected --search");
    if (cli_flag(run, "resume") && run->force)
        return cli_fail(run, WHET_ERR_ARG, "--resume goes on, --force begins again; expected one");
    if (!search && check_adapter(run) != WHET_OK) return WHET_ERR_ARG;
    for (int i = 0; i < 2; i++)
        if (cli_given(run, heads[i]) && cli_choice(run, "loss") >= (int32_t)WHET_TUNE_CONTRASTIVE &&
            cli_choice(run, "loss") <= (int32_t)WHET_TUNE_CAUSAL)
            return cli_fail(run, WHET_ERR_ARG,
                            "--%s with a loss that trains none; expected no --%s", heads[i],
                            heads[i]);
    if (!cli_given(run, "probs") &&
        (cli_given(run, "row-weights") || cli_given(run, "label-weight")))
        return cli_fail(
            run, WHET_ERR_ARG,
            "--row-weights and --label-weight are of probabilistic labels; expected --probs");
    return WHET_OK;
}

/* ---- the summary ----------------------------------------------------------------------------- */

static void print_score(cli_run *run, json_t *root) {
    json_t *best = json_object_get(root, "best");
    const char *key;
    json_t *value;
    if (json_is_null(best)) return;
    cli_print(run, "best validation, step %lld:", cli_count_at(root, "best_step"));
    json_object_foreach(best, key, value) {
        if (json_is_real(value)) cli_print(run, " %s %.4f", key, json_real_value(value));
    }
    cli_print(run, " on %lld rows\n", cli_count_at(best, "n"));
}

static void print_summary(cli_run *run, json_t *root) {
    const json_t *train = json_object_get(root, "train");
    const json_t *classes = json_object_get(root, "classes");
    const double seconds = cli_real_at(root, "seconds");
    cli_print(run, "%lld rows, %s", cli_count_at(train, "rows"),
              json_string_value(json_object_get(root, "task")));
    if (json_is_array(classes))
        cli_print(run, " of %lld classes", (long long)json_array_size(classes));
    cli_print(run, "\n%lld of %lld numbers trained, %.0f MB planned\n",
              cli_count_at(root, "trained_parameters"), cli_count_at(root, "parameters"),
              (double)cli_count_at(root, "planned_bytes") / 1e6);
    cli_print(run, "%lld steps in %.1f s (%.0f tokens/s)%s\n", cli_count_at(root, "steps"), seconds,
              cli_real_at(root, "tokens_per_second"),
              json_is_true(json_object_get(root, "stopped_early")) ? ", stopped early" : "");
    print_score(run, root);
    cli_print(run, "wrote %s\n", cli_text(run, "output"));
}

whet_status cmd_tune(cli_run *run) {
    char *report = NULL;
    json_t *root;
    whet_status status = check_usage(run);
    if (status != WHET_OK) return status;
    const whet_tune_job job = job_of(run);
    if (cli_given(run, "search")) return cmd_tune_search(run, &job, cli_text(run, "search"));
    status = whet_tune_run(run->ctx, &job, &report);
    if (status == WHET_OK) status = cli_report(run, report, &root);
    if (status != WHET_OK) return status;
    print_summary(run, root);
    cli_json(run, root);
    return WHET_OK;
}
