/* SPDX-License-Identifier: Apache-2.0
 * One run of training, filled stage by stage; every stage is a file. What a stage makes hangs on the
 * run and is released by whet_i_tune_free, so a stage may return at any point.
 * Legend: n examples, k outputs (classes, or 1 in regression). */
#ifndef WHET_TUNE_TUNE_I_H
#define WHET_TUNE_TUNE_I_H

#include <jansson.h>

#include "whet/space.h"
#include "whet/tune.h"

#include "io/io_i.h"
#include "nn/nn_i.h"
#include "tune/adapter_kinds.h"
#include "tune/backbone.h"
#include "tune/base_identity.h"

/* What a loss is: one row of the table in loss.c. */
typedef enum whet_i_tune_targets {
    WHET_I_TARGET_CLASSES,
    WHET_I_TARGET_NUMBERS,
    WHET_I_TARGET_TOKENS, /* the texts' own, each from those before it */
    WHET_I_TARGET_NONE
} whet_i_tune_targets;

typedef struct whet_i_tune_kind {
    whet_tune_loss loss;
    const char *name;
    whet_i_tune_targets targets;
    bool embeds;        /* on embeddings, without a head */
    bool two_texts;     /* the texts of a row are embedded one by one, not read as a pair */
    bool compares;      /* the rows of a batch with each other: it must not be cut */
    double temperature; /* the default; 0 = the loss has none; -1 = the mean of the costs */
    uint32_t metrics;   /* 1 << those it can be validated by */
    const char *metric_names;
} whet_i_tune_kind;

enum { WHET_I_TUNE_CLASSES_MAX = 1 << 20 };

typedef struct whet_i_tune_rows {
    const char *path;
    whet_table *table;
    int64_t n;                     /* rows with a label, or two texts; the others are left out */
    int64_t unlabelled, truncated; /* unlabelled: left out */
    whet_str *texts, *seconds;     /* [n] views; seconds NULL = single texts */
    whet_token_rows tokens; /* [n], or of two texts [2 n]: those of row i are 2 i and 2 i + 1 */
    int64_t *lengths;       /* [n] tokens */
    int32_t *labels;        /* [n] classes, or NULL */
    float *targets;         /* [n] in regression, or NULL */
    float *probs;           /* [n, k] weighted probabilities of the classes, or NULL */
    int64_t clamped;        /* with probs: rows whose label the table gives */
    int32_t *asked;         /* [n] of next tokens: the first token that is asked for; or NULL */
    int64_t n_asked;        /* tokens asked for in all */
    int64_t cut;            /* of next tokens: texts that were cut into several rows */
} whet_i_tune_rows;

/* Correlations are NaN where one side is constant. */
typedef struct whet_i_tune_score {
    int64_t n;
    double loss;              /* of what is trained; of next tokens, a token */
    double accuracy, f1, mcc; /* classification */
    double pearson, spearman; /* numbers */
    double mrr;               /* partners */
    double distance, frechet; /* mean squared distance of argmax and of the Frechet mean */
} whet_i_tune_score;

/* Training that must be done by some time: asked, and told what it took. */
typedef struct whet_i_tune_pace {
    double until;         /* its steps must be done, of whet_i_seconds_now; infinite: whenever */
    bool late;            /* it was stopped, as they would not be: nothing comes out of it */
    int64_t steps, total; /* taken, of so many */
    double seconds;       /* that they took */
} whet_i_tune_pace;

/* Training rows in memory in place of a table, with what another module wants of the result. The job's
 * train and probs then name them in sentences and reports; its loss is of classes, its head on the pooled
 * embedding; nothing is kept of an interrupted run. Without an output no file is written; with one, the
 * encoder has the adapters merged into it. */
typedef struct whet_i_tune_given {
    const whet_str *texts; /* [n] */
    int64_t n;
    const float *probs;        /* [n, k], as of whet_tune_job; NULL = the labels alone */
    const int32_t *labels;     /* [n], -1 = none */
    const whet_names *classes; /* k */
    float *weight, *bias;      /* written with a head: [k, hidden], [k]; NULL = not wanted */
    const whet_str *asked;     /* [n_asked] texts, which are not trained on */
    int64_t n_asked;
    float
        *answers; /* written: what comes out of them; of a head [n_asked, k] logits, else embeddings
                       [n_asked, hidden] of unit length */
    int64_t n_halfway; /* first ones of the asked that are also answered after half of the steps: */
    float *halfway;    /* written, as answers are; NULL = not wanted */
    bool half; /* only half of the steps are taken, at the rates that they have in the whole */
    whet_i_tune_pace *pace; /* all but `until` is written; NULL = not wanted */
} whet_i_tune_given;

/* A point of the learning curve. */
typedef struct whet_i_tune_point {
    int64_t step;
    double loss, metric; /* NaN = not at this step */
} whet_i_tune_point;

/* Part of a run, for the search: trained on some rows for some of its steps, and judged on others. What it
 * comes to follows from the job and this alone, whether it goes on from a checkpoint or not. */
typedef struct whet_i_tune_part {
    int64_t
        folds; /* the rows of fold `fold` are judged, the others trained; 0 = all rows are trained,
                         those of the validation table judged */
    int64_t fold;
    uint64_t seed; /* of the folds, with `repeat` */
    int64_t repeat;
    double share; /* of the whole run's steps, above 0, at most 1 */
    int64_t
        patience; /* judged each epoch, it stops after so many without a better metric; 0 = never */
    const char *from; /* checkpoint to go on from, where it is there; NULL = none */
    const char *to;   /* checkpoint to leave, unless it is large; NULL = none */
    int64_t progress_done, progress_total; /* of the search, in seconds or steps */
    /* what came out */
    double metric, loss; /* of the rows that are judged, after the last step */
    int64_t steps;       /* taken now */
    bool early;          /* stopped by patience */
    int64_t step, total; /* where it stands, of so many of the whole run */
    double seconds;      /* that the steps took */
    double first,
        last; /* mean training loss of the first and last WHET_I_PART_WINDOW steps of those taken */
    double norm; /* mean norm of the gradient in the first ones */
} whet_i_tune_part;

enum { WHET_I_PART_WINDOW = 4 };

/* The last layer of a head that the folder brings, or the adapters that are gone on from. */
typedef struct whet_i_tune_head {
    bool there, started; /* started: the adapters' */
    bool fresh;          /* passed by: a new one is trained */
    whet_tensor weight, bias;
    int64_t k;         /* its outputs */
    whet_names *names; /* [k] of them; NULL = they say nothing */
    int64_t *rows; /* [k of the run] which of them a class begins with; NULL = all, as they are */
} whet_i_tune_head;

typedef struct whet_i_tune {
    whet_tune_job job;              /* with defaults filled in */
    const whet_i_tune_given *given; /* NULL = tables */
    bool writes;                    /* the output folder is this run's to write in; */
    bool made;                      /* and what it leaves there, too */
    bool survey; /* read for a search: no output folder, folds may take the place of `valid` */
    whet_i_tune_part *part; /* NULL = the whole of it */
    const whet_i_tune_kind *kind;
    bool regression; /* targets are numbers */
    whet_tune_metric metric;
    whet_names *classes; /* NULL without classes */
    int64_t k;           /* outputs of the head; of embeddings, classes or 1 */
    float *costs;        /* [k, k] squared distances in the arena; NULL = no space */
    double mean_cost;    /* of different classes */
    double target_scale; /* numbers were divided by it */
    whet_i_tune_rows train, valid;
    whet_i_arena arena;
    /* the model */
    whet_i_backbone backbone;
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_adapters adapters;
    const whet_i_tune_adapter *adapter;
    whet_i_adapter_config config; /* of adapters; its targets also where every weight is trained */
    int64_t n_saved;              /* first ones of config.saved, which the job names */
    int64_t n_matched;            /* layers with an adapter */
    struct whet_adapter *start;   /* what is gone on from, or NULL */
    whet_i_tune_head head;
    bool warned; /* of one adapter that leaves parts at zero, or is irregular */
    whet_i_value target_feed, logits,
        loss;            /* logits: embeddings [.., hidden] where they are trained */
    int64_t new_tensors; /* parameters that the file does not have */
    /* machinery */
    whet_i_sizes sizes;
    whet_i_plan *plan, *valid_plan;
    whet_i_executor *executor, *valid_executor;
    whet_i_text_batch batch;
    void *batch_targets;  /* int32_t or float, one an example, or k, or one a token */
    int64_t *batch_texts; /* rows of tokens of a batch */
    whet_i_optimizer *optimizer;
    int64_t planned_bytes;
    /* where it stands */
    whet_i_training_state state;
    whet_i_batches batches; /* of the current epoch */
    int64_t steps_per_epoch, total_steps, warmup_steps;
    char fingerprint[17];
    whet_i_buf log; /* metrics.jsonl */
    whet_i_tune_point *points;
    int64_t n_points, cap_points;
    whet_i_tune_score best_score; /* of the best validation */
    bool stopped_early;
    int64_t tokens_done;
    double begun, seconds;
} whet_i_tune;

/* As whet_tune_run, on tables where given is NULL. */
WHET_CHECKED whet_status whet_i_tune_on(whet_ctx *ctx, const whet_tune_job *job,
                                        const whet_i_tune_given *given, char **report);
/* job.c: fills defaults, refuses what does not fit together. */
void whet_i_tune_fill_defaults(whet_tune_job *job);
WHET_CHECKED whet_status whet_i_tune_check_numbers(whet_ctx *ctx, const whet_tune_job *job);
/* Settings checked, model opened, tables read. */
WHET_CHECKED whet_status whet_i_tune_open(whet_ctx *ctx, whet_i_tune *run);
/* Of the run as it is built; of a part without the weights, which the survey's has. */
void whet_i_tune_make_fingerprint(whet_i_tune *run);
void whet_i_tune_free(whet_ctx *ctx, whet_i_tune *run);
/* part.c: opens what a search is about: model and tables read once, for all its parts. */
WHET_CHECKED whet_status whet_i_tune_survey(whet_ctx *ctx, const whet_tune_job *job,
                                            whet_i_tune *survey);
/* fold [train n]: classes are strata, numbers are one; copies of a text are in one fold, where texts that
 * differ are enough for all. */
WHET_CHECKED whet_status whet_i_tune_folds(whet_ctx *ctx, const whet_i_tune *survey,
                                           const whet_i_tune_part *part, int32_t *fold);
/* Trains a part by the settings of `job`, which differ from the survey's in what is trained and how.
 * Errors: NUMERIC, LIMIT (memory), CANCELLED, NOMEM, ARG. */
WHET_CHECKED whet_status whet_i_tune_part_run(whet_ctx *ctx, const whet_i_tune *survey,
                                              const whet_tune_job *job, whet_i_tune_part *part);
/* Numbers that a job trains outside the head and other tensors that are new. */
WHET_CHECKED whet_status whet_i_tune_count(whet_ctx *ctx, whet_i_tune *survey,
                                           const whet_tune_job *job, int64_t *count);
/* loss.c: what fits to the loss in the job; the kind once labels are known; what it records behind the
 * encoder: run->logits, target_feed and loss. */
WHET_CHECKED whet_status whet_i_tune_check_loss(whet_ctx *ctx, const whet_tune_job *job);
WHET_CHECKED whet_status whet_i_tune_check_backbone(whet_ctx *ctx, const whet_i_tune *run);
const whet_i_tune_kind *whet_i_tune_kind_of(whet_tune_loss loss);
double whet_i_tune_temperature(const whet_i_tune *run);
WHET_CHECKED whet_status whet_i_tune_choose_metric(whet_ctx *ctx, whet_i_tune *run);
/* The tokens that it reads; its argument has rows of them. */
whet_i_selection whet_i_tune_selection(const whet_i_tune *run);
WHET_CHECKED whet_status whet_i_tune_record_loss(whet_ctx *ctx, whet_i_tune *run,
                                                 whet_i_value hidden);
/* Texts that each row has by themselves. */
static inline int64_t whet_i_tune_texts(const whet_i_tune *run) {
    return run->kind->two_texts ? 2 : 1;
}
/* A head for classes or numbers, which adapters are saved with; without one they are merged into the
 * model, and saved beside it. */
static inline bool whet_i_tune_has_head(const whet_i_tune *run) {
    return !run->kind->embeds && run->kind->targets != WHET_I_TARGET_TOKENS;
}
/* costs.c: run->costs of run->classes in the job's space. */
WHET_CHECKED whet_status whet_i_tune_read_costs(whet_ctx *ctx, whet_i_tune *run);
void whet_i_tune_free_rows(whet_ctx *ctx, whet_i_tune_rows *rows);
/* data.c: tables to tokens, labels, classes. */
WHET_CHECKED whet_status whet_i_tune_read(whet_ctx *ctx, whet_i_tune *run);
/* data_given.c: the same of run->given. */
WHET_CHECKED whet_status whet_i_tune_read_given(whet_ctx *ctx, whet_i_tune *run);
/* rows->texts to tokens and their lengths. */
WHET_CHECKED whet_status whet_i_tune_encode(whet_ctx *ctx, const whet_i_tune *run,
                                            whet_i_tune_rows *rows);
/* The class of a label that a table gives. Errors: DATA with the line and the nearest name. */
WHET_CHECKED whet_status whet_i_tune_class_of(whet_ctx *ctx, const whet_i_tune *run,
                                              const char *path, const whet_i_given_label *label,
                                              int32_t *out);
/* data_probabilities.c: classes, and rows->probs of the rows of rows->table that say something, which are
 * told in *given: its items are the caller's. */
WHET_CHECKED whet_status whet_i_tune_read_probabilities(whet_ctx *ctx, whet_i_tune *run,
                                                        whet_i_tune_rows *rows,
                                                        whet_i_given_labels *given);
/* data_language.c: a table of texts, or of prompts and what follows, to rows of tokens. */
bool whet_i_tune_reads_language(const whet_i_tune *run, const whet_table *table);
WHET_CHECKED whet_status whet_i_tune_read_language(whet_ctx *ctx, whet_i_tune *run,
                                                   whet_i_tune_rows *rows);
/* model.c: the recording, which parameters are trained, the plans. */
WHET_CHECKED whet_status whet_i_tune_build(whet_ctx *ctx, whet_i_tune *run);
/* The adapter that a linear layer has, if it has one. */
bool whet_i_tune_adapted(const whet_i_tune *run, const char *module,
                         whet_i_adapter_settings *settings);
/* start_adapter.c: run->start and, from it, run->config and the job's adapter; then its values. */
WHET_CHECKED whet_status whet_i_tune_open_start(whet_ctx *ctx, whet_i_tune *run);
WHET_CHECKED whet_status whet_i_tune_take_start(whet_ctx *ctx, whet_i_tune *run);
/* The shape of a layer's adapter: run->start's, whose blocks need not have the sizes that are usual. */
whet_i_adapter_shape whet_i_tune_adapter_shape(const whet_i_tune *run, const char *module,
                                               int64_t in, int64_t out,
                                               const whet_i_adapter_settings *settings);
/* The hash with the numbers that are gone on from in it. */
uint64_t whet_i_tune_mix_start(const whet_i_tune *run, uint64_t hash);
/* brought_head.c: run->head, of the open model and adapters. */
WHET_CHECKED whet_status whet_i_tune_open_head(whet_ctx *ctx, whet_i_tune *run);
/* Whether its names are known, and all labels are among them. */
bool whet_i_tune_head_names_all(const whet_i_tune *run, const whet_i_given_labels *given);
/* Matches run->classes with its names; free_order: they become its names where all are among them. given
 * (or NULL): where they come from. Errors: DATA (a class that it does not have). */
WHET_CHECKED whet_status whet_i_tune_match_head(whet_ctx *ctx, whet_i_tune *run,
                                                const whet_i_given_labels *given, bool free_order);
/* What parameter `name` begins with, its rows in the order of run->classes: data NULL = new numbers; *is =
 * whether it is of the head's last layer. */
WHET_CHECKED whet_status whet_i_tune_head_tensor(whet_ctx *ctx, whet_i_tune *run, const char *name,
                                                 bool *is, whet_tensor *out);
/* Before the recorded parameters are bound to the folder, and after. Errors: SHAPE (outputs). */
WHET_CHECKED whet_status whet_i_tune_bind_head(whet_ctx *ctx, whet_i_tune *run);
void whet_i_tune_bound_head(whet_i_tune *run);
/* trained.c: sets `trainable` and rates. Errors: ARG (nothing matches). */
WHET_CHECKED whet_status whet_i_tune_choose_trained(whet_ctx *ctx, whet_i_tune *run);
/* Of the model's own weights one that the kind trains, not the head's or of a module to be saved. */
bool whet_i_tune_is_of_adapter(const whet_i_tune *run, const whet_i_param *p);
/* Whether a folder of adapters has trained word vectors that are the head for next tokens as well. */
bool whet_i_tune_shares_words(const whet_i_tune *run);
/* The recording alone, with what is trained. */
WHET_CHECKED whet_status whet_i_tune_record(whet_ctx *ctx, whet_i_tune *run);
/* As whet_i_progress; of a part, where the search stands. */
static inline whet_status whet_i_tune_progress(whet_ctx *ctx, const whet_i_tune *run,
                                               const char *stage, int64_t done, int64_t total) {
    const whet_i_tune_part *p = run->part;
    if (p) return whet_i_progress(ctx, "search", p->progress_done, p->progress_total);
    return whet_i_progress(ctx, stage, done, total);
}
/* loop.c */
WHET_CHECKED whet_status whet_i_tune_train(whet_ctx *ctx, whet_i_tune *run);
WHET_CHECKED whet_status whet_i_tune_train_part(whet_ctx *ctx, whet_i_tune *run);
/* validate.c: the validation rows, with what is trained as it is now. */
WHET_CHECKED whet_status whet_i_tune_evaluate(whet_ctx *ctx, whet_i_tune *run,
                                              whet_i_tune_score *out);
/* What comes out of the texts that run->given asks of; and of the first ones halfway. */
WHET_CHECKED whet_status whet_i_tune_answer(whet_ctx *ctx, whet_i_tune *run);
WHET_CHECKED whet_status whet_i_tune_answer_halfway(whet_ctx *ctx, whet_i_tune *run);
/* What examples which[0..n) count for in a mean: one each, or the tokens asked for. */
int64_t whet_i_tune_weight(const whet_i_tune_rows *rows, const int64_t *which, int64_t n);
/* Puts examples which[0..n) into run->batch. */
void whet_i_tune_fill(whet_i_tune *run, const whet_i_tune_rows *rows, const int64_t *which,
                      int64_t n);
/* score_embeddings.c: embeddings of the validation rows [n, d] (of two texts [2 n, d]), and with classes
 * those of the training rows. */
WHET_CHECKED whet_status whet_i_tune_score_embeddings(whet_ctx *ctx, const whet_i_tune *run,
                                                      int64_t d, const float *train,
                                                      const float *valid, whet_i_tune_score *out);
/* score.c: outputs [n, k]. */
WHET_CHECKED whet_status whet_i_tune_score_of(whet_ctx *ctx, const whet_i_tune *run,
                                              const float *outputs, const whet_i_tune_rows *rows,
                                              whet_i_tune_score *out);
double whet_i_tune_metric_of(const whet_i_tune *run, const whet_i_tune_score *score);
const char *whet_i_tune_metric_name(whet_tune_metric metric);
bool whet_i_tune_lower_is_better(whet_tune_metric metric);
/* Spearman's correlation of x and y [n], which become ranks; NaN where one is constant. */
WHET_CHECKED whet_status whet_i_tune_spearman(whet_ctx *ctx, int64_t n, double *x, double *y,
                                              double *out);
/* record.c: metrics.jsonl, the learning curve, training.json. */
WHET_CHECKED whet_status whet_i_tune_note_step(whet_ctx *ctx, whet_i_tune *run, double loss,
                                               double rate, double norm, int64_t tokens);
WHET_CHECKED whet_status whet_i_tune_note_score(whet_ctx *ctx, whet_i_tune *run,
                                                const whet_i_tune_score *score, bool best);
WHET_CHECKED whet_status whet_i_tune_read_log(whet_ctx *ctx, whet_i_tune *run);
WHET_CHECKED whet_status whet_i_tune_write_log(whet_ctx *ctx, whet_i_tune *run);
WHET_CHECKED whet_status whet_i_tune_report(whet_ctx *ctx, const whet_i_tune *run, char **out);
/* curve.c */
WHET_CHECKED whet_status whet_i_tune_curve(whet_ctx *ctx, const whet_i_tune *run, whet_i_buf *svg);
/* save.c: files in the output folder. */
#define WHET_I_TUNE_STATE_FILE "checkpoint/state.safetensors"
#define WHET_I_TUNE_REPORT_FILE "training.json"
WHET_CHECKED whet_status whet_i_tune_path(whet_ctx *ctx, const whet_i_tune *run, const char *name,
                                          char **out);
WHET_CHECKED whet_status whet_i_tune_write(whet_ctx *ctx, const whet_i_tune *run, const char *name,
                                           const char *bytes, int64_t len);
WHET_CHECKED whet_status whet_i_tune_begin_folder(whet_ctx *ctx, whet_i_tune *run);
WHET_CHECKED whet_status whet_i_tune_save_checkpoint(whet_ctx *ctx, whet_i_tune *run);
WHET_CHECKED whet_status whet_i_tune_load_checkpoint(whet_ctx *ctx, whet_i_tune *run);
WHET_CHECKED whet_status whet_i_tune_save_best(whet_ctx *ctx, whet_i_tune *run);
WHET_CHECKED whet_status whet_i_tune_load_best(whet_ctx *ctx, whet_i_tune *run);
WHET_CHECKED whet_status whet_i_tune_save_model(whet_ctx *ctx, whet_i_tune *run);
void whet_i_tune_end_folder(const whet_i_tune *run);
/* leftover.c: whether the folder has nothing but what a run leaves that ended before its first checkpoint,
 * and no run is at work there; its temporaries are removed. */
bool whet_i_tune_is_leftover(const char *output);
/* Marks the folder while a run is at work in it. */
void whet_i_tune_mark(const char *output);
void whet_i_tune_unmark(const char *output);
/* Removes a leftover, and nothing else. */
void whet_i_tune_sweep_leftover(const char *output);
/* merge_adapters.c: the values of parameter `id` with those of its layer's adapter added, in the arena;
 * *values stays NULL where there is none. */
WHET_CHECKED whet_status whet_i_tune_merged(whet_ctx *ctx, const whet_i_tune *run,
                                            whet_i_param_id id, whet_i_arena *arena,
                                            float **values);
bool whet_i_tune_is_adapter(const char *name);

#endif
