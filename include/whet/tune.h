/* SPDX-License-Identifier: Apache-2.0
 * tune: training a pretrained encoder or language model: for classification or regression, an encoder's
 * embeddings, a language model's texts. */
#ifndef WHET_TUNE_H
#define WHET_TUNE_H

#include "whet/core.h"
#include "whet/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum whet_tune_task {
    WHET_TUNE_AUTO = 0, /* regression when every label is a number and one has a point */
    WHET_TUNE_CLASSIFY = 1,
    WHET_TUNE_REGRESS = 2,
    WHET_TUNE_LANGUAGE = 3 /* next tokens; AUTO of a language model whose table has no labels */
} whet_tune_task;

typedef enum whet_tune_adapter {
    WHET_TUNE_FULL = 0, /* every weight, or those of `targets` */
    WHET_TUNE_LORA =
        1, /* low-rank adapters of linear layers; the rest is frozen, but for the head */
    WHET_TUNE_MORE = 2,   /* Monarch adapters (arXiv 2408.17383), of `blocks` blocks */
    WHET_TUNE_DORA = 3,   /* LoRA, and a trained length of each row (arXiv 2402.09353) */
    WHET_TUNE_BITFIT = 4, /* biases alone (arXiv 2106.10199) */
    WHET_TUNE_NORMS = 5   /* scales and biases of LayerNorm or RMSNorm */
} whet_tune_adapter;

typedef enum whet_tune_head {
    WHET_TUNE_HEAD_FAMILY = 0, /* the family's own: transformers' ...ForSequenceClassification */
    WHET_TUNE_HEAD_POOLED = 1  /* one linear layer on the pooled embedding */
} whet_tune_head;

typedef enum whet_tune_schedule {
    WHET_TUNE_CONSTANT = 0,
    WHET_TUNE_LINEAR = 1,
    WHET_TUNE_COSINE = 2
} whet_tune_schedule;

/* What is made small. CROSS_ENTROPY to EXPECTED_COST, and FRECHET, train a head for classes or numbers;
 * CONTRASTIVE to IN_BATCH have no head and train the pooled embedding of an encoder, as unit vectors, of
 * single texts with classes, or of two texts a row; CAUSAL trains a language model. */
typedef enum whet_tune_loss {
    WHET_TUNE_LOSS_AUTO = 0,     /* by the task: cross-entropy of classes, squares of numbers */
    WHET_TUNE_CROSS_ENTROPY = 1, /* with label smoothing */
    WHET_TUNE_MSE = 2,           /* squared error of numbers */
    WHET_TUNE_EXPECTED_COST = 3, /* expected squared distance from label to guess in `space`, under
                                     softmax(logits / temperature); temperature 1 */
    WHET_TUNE_CONTRASTIVE = 4,   /* over all pairs of a batch: squares of cosine - [same class] */
    WHET_TUNE_SUPERVISED = 5,    /* supervised contrastive (arXiv 2004.11362); temperature 0.1 */
    WHET_TUNE_COSINE_MSE = 6,    /* two texts a row: squares of their cosine - label; where labels
                                     exceed 1, they are divided by the largest of training */
    WHET_TUNE_IN_BATCH = 7,      /* two texts a row that belong together: log softmax of the own
                                     partner among the batch's; temperature 0.05. No label is read */
    WHET_TUNE_CAUSAL = 8,        /* next tokens: the mean of -log p over those asked for */
    WHET_TUNE_FRECHET = 9        /* cross-entropy through the Frechet mean in `space` (Loki, arXiv
                                     2307.12226): of softmax(-expected squared distance /
                                     temperature); temperature: the mean of the squared distances */
} whet_tune_loss;

typedef enum whet_tune_metric {
    WHET_TUNE_METRIC_AUTO =
        0, /* accuracy; of numbers Pearson's correlation; of next tokens the loss */
    WHET_TUNE_METRIC_ACCURACY = 1,
    WHET_TUNE_METRIC_F1 = 2,   /* macro */
    WHET_TUNE_METRIC_MCC = 3,  /* Matthews' correlation, of any number of classes */
    WHET_TUNE_METRIC_LOSS = 4, /* lower is better */
    WHET_TUNE_METRIC_PEARSON = 5,
    WHET_TUNE_METRIC_SPEARMAN = 6,
    WHET_TUNE_METRIC_MRR = 7,     /* mean reciprocal rank of the own partner (IN_BATCH) */
    WHET_TUNE_METRIC_DISTANCE = 8 /* mean squared distance from label to argmax in `space`; lower is
                                     better */
} whet_tune_metric;

/* What training rows with probabilities count for. */
typedef enum whet_tune_weights {
    WHET_TUNE_WEIGHTS_EVEN = 0,
    WHET_TUNE_WEIGHTS_CONFIDENCE = 1 /* 1 - entropy / ln k (COSINE, arXiv 2010.07835) */
} whet_tune_weights;

/* What `whet tune` is told. Strings are read during the call only; NULL = not given. */
typedef struct whet_tune_job {
    size_t struct_size;
    const char *model; /* a Hugging Face folder of the BERT family, or of a Llama-like model */
    const char *train, *valid; /* tables; without a validation table nothing is chosen by it */
    const char *text, *second, *label; /* columns; NULL = "text", none (single texts), "label" */
    const char
        *target; /* column of what is to follow the texts, which are prompts then: it alone is
                            asked for. Language models; NULL = all of the text is */
    bool no_end; /* texts do not end with the model's end token */
    const char
        *classes; /* class list; NULL = the names in the training labels, or those of a head that
                            has them all */
    whet_tune_task task;
    whet_tune_loss loss;
    double temperature; /* of the loss; 0 = its default */
    const char
        *space; /* SPACE (whet/space.h) in which classes are points, for EXPECTED_COST, FRECHET and
                           METRIC_DISTANCE; else NULL */
    whet_tune_head head;
    whet_tune_adapter adapter;
    const char *targets;  /* layers to train or adapt: names, or ends of names, with commas between;
                            "all-linear"; "regex:PATTERN" for whole names; NULL = all, or query, key
                            and value for adapters */
    int64_t rank;         /* of adapters, 1..1024; 0 = 8 */
    int64_t blocks;       /* of MoRe, 1..64; 0 = 4 */
    double alpha;         /* LoRA's, DoRA's scale is alpha / rank; 0 = 2 rank */
    int64_t epochs;       /* 1..; 0 = 3 */
    double learning_rate; /* 0 = 5e-5 for everything, 1e-3 for adapters */
    double head_rate;     /* times the learning rate, for a head that is new; 0 = 1 */
    double weight_decay;  /* of matrices; negative = 0.01 */
    whet_tune_schedule schedule;
    double warmup;        /* steps, or below 1 a share of all; negative = 0.1 */
    double clip;          /* of the gradients' norm; 0 = none */
    double smoothing;     /* of labels, 0..1 exclusive */
    double dropout;       /* of hidden units, attention and head; negative = as config.json says */
    int64_t batch_size;   /* examples a step; 0 = 16, or 32 where a loss compares a batch's rows */
    int64_t batch_tokens; /* tokens worked on at once: a larger batch is accumulated; 0 = 2048.
                             Batches whose rows are compared are never cut */
    int64_t max_length;   /* tokens a text; 0 = the model's limit, of next tokens at most 1024 */
    bool no_bucket;       /* batches in random order, not by length */
    /* Of products: WHET_BF16, or WHET_F32, of whose 24 bits tables with matrix tiles use 16 in training,
     * and all to validate; what is trained stays f32. */
    whet_dtype dtype;
    bool recompute; /* activations are made again rather than kept: a third of the memory */
    whet_tune_metric metric;
    int64_t patience;       /* stop after so many validations without a better one; 0 = never */
    int64_t evaluate_steps; /* validate every so many steps; 0 = each epoch */
    int64_t save_steps;     /* keep a checkpoint every so many steps; 0 = each epoch */
    bool resume;            /* go on from the checkpoint in `output` */
    uint64_t seed;
    const char *output; /* folder to write */
    bool force;         /* replace it when it exists */
    const char *probs; /* array [rows of train, classes] of probabilities, as labels of the training
                           rows; NULL = labels alone */
    whet_tune_weights row_weights; /* of rows with probabilities */
    double label_weight;           /* of a row with a label beside probabilities; 0 = 1 */
    const char *exclude;           /* layers that are not trained or adapted, written as targets */
    const char *layers;            /* numbers of layers, "0,2,8-11"; NULL = all */
    const char
        *rank_pattern; /* "END=RANK,..": of layers whose name ends with a regular expression */
    const char *alpha_pattern;  /* the same for alpha */
    const char *blocks_pattern; /* the same for blocks */
    bool rank_stabilised;       /* LoRA's, DoRA's scale is alpha / sqrt(rank) (arXiv 2312.03732) */
    double
        adapter_dropout; /* of what LoRA's, DoRA's adapters read, MoRe's add, in training; 0..1 */
    const char
        *init_adapter; /* folder of LoRA, DoRA or MoRe to go on from: its kind, layers, ranks and
                                   scales in place of this job's; NULL = none */
    const char *save_modules; /* modules trained and saved whole beside adapters; ends of names */
    double
        second_rate; /* times the learning rate, for LoRA's B and MoRe's second factor (LoRA+, arXiv
                           2402.12354); 0 = 1 */
    bool
        new_head; /* the last layer of a head that the model's folder or the adapters have is passed by */
} whet_tune_job;
#define WHET_TUNE_JOB_INIT \
    { \
        .struct_size = sizeof(whet_tune_job), .schedule = WHET_TUNE_LINEAR, .weight_decay = -1, \
        .warmup = -1, .clip = 1, .dropout = -1, .dtype = WHET_F32 \
    }

/* A head that the model's folder has, or init_adapter's, is gone on with: outputs are matched by their names
 * ("id2label") with the classes, which may be some of them, in any order. Names such as LABEL_0 say nothing,
 * labels 0, 1, .. mean outputs by number: both are taken in their order. A head of the other kind
 * (whet_tune_head) is passed by, with a warning. Errors: DATA (a class that the head does not have), SHAPE
 * (another number of outputs); new_head passes by any.
 *
 * Strings about layers follow PEFT: a layer is adapted when targets has it, exclude and save_modules have
 * it not, and the first number in its name is among layers. Errors: ARG (nothing matches: with the nearest
 * name; numbers out of range, a pattern that does not compile).
 *
 * With probs the loss is the mean of -sum_c q_c log p_c over rows (soft cross-entropy), weighted by
 * row_weights and label_weight, whose mean is made 1. Columns are the classes in the order of `classes`,
 * else of the sorted labels of the training table, else they are named by their number. Rows sum to 1
 * within 1e-3, and are made to. A row with a label in the training table (its column may be missing) is
 * certain of it, whatever its probabilities; one whose probabilities are all equal, zeros among them, is
 * left out and counted. Validation rows have labels. Label smoothing applies to all. Errors: SHAPE (rows,
 * columns), DATA (with the row).
 *
 * Validation of embeddings: rows with classes are given to the nearest prototype, the mean of a class's
 * training rows; rows of two texts with numbers are judged by their cosine; IN_BATCH by how often no other
 * row's partner is nearer than the own one. CONTRASTIVE and SUPERVISED take batches with several rows of
 * each class (rows of rare classes come oftener).
 *
 * Trains and writes into the folder `output`:
 *   config.json, model.safetensors, tokenizer files   the tuned model (without adapters), of the best
 *                                                      validation, as transformers reads it
 *   adapter_config.json, adapter_model.safetensors    adapters, as PEFT reads LoRA's; without a
 *                          head in adapter/, and the model with them merged in beside it
 *   metrics.jsonl          one line a step and a validation
 *   learning-curve.svg     loss and validation metric over the steps
 *   training.json          what was asked and what came out
 * While it runs, output/checkpoint/ holds the last checkpoint, whole at any moment; an interrupted run
 * (CANCELLED) saves one first, and goes on with `resume` to the same bits as without interruption. It
 * is removed when the run is done. *report is the text of training.json, released by whet_free_text;
 * may be NULL. The memory is planned and checked against the limit of the context before the first
 * step. Progress stage "train", in steps. Deterministic for a seed, at any thread count.
 * Errors: as reading tables and models; ARG (settings), DATA (labels), NUMERIC (the loss is no number:
 * step, texts and a likely cause), LIMIT, NOMEM, EXISTS, CANCELLED. */
WHET_API WHET_CHECKED whet_status whet_tune_run(whet_ctx *ctx, const whet_tune_job *job,
                                                char **report);

#ifdef __cplusplus
}
#endif
#endif
