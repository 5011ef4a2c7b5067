/* SPDX-License-Identifier: Apache-2.0
 * Optimisers over the trainable parameters: gradients in, values changed. */
#ifndef WHET_NN_OPTIMIZER_I_H
#define WHET_NN_OPTIMIZER_I_H

#include "nn/params_i.h"

typedef enum whet_i_optimizer_kind {
    WHET_I_ADAMW, /* Loshchilov & Hutter 2019, as torch.optim.AdamW: eps outside the root */
    WHET_I_SGD /* momentum as torch.optim.SGD without dampening; decay is added to the gradient */
} whet_i_optimizer_kind;

typedef struct whet_i_optimizer_settings {
    whet_i_optimizer_kind kind;
    double beta1, beta2, eps; /* AdamW */
    double momentum;          /* SGD */
    bool nesterov;
    double weight_decay; /* of parameters that decay */
    double clip;         /* the norm of all gradients together is brought down to this; 0 = not */
} whet_i_optimizer_settings;
#define WHET_I_OPTIMIZER_SETTINGS_INIT \
    { WHET_I_ADAMW, 0.9, 0.999, 1e-8, 0.9, false, 0.01, 0 }

typedef struct whet_i_optimizer {
    whet_i_optimizer_settings settings;
    whet_i_params *params;
    int64_t steps;                 /* taken */
    whet_i_real **first, **second; /* [params->n] moments of trainable parameters, else NULL */
    struct whet_i_optimizer_block *blocks;
    int64_t n_blocks;
    double *sums; /* [n_blocks] squares of gradients */
} whet_i_optimizer;

/* Moments begin at zero. Which parameters are trainable must not change afterwards. */
WHET_CHECKED whet_status whet_i_optimizer_create(whet_ctx *ctx, whet_i_params *params,
                                                 const whet_i_optimizer_settings *settings,
                                                 whet_i_optimizer **out);
void whet_i_optimizer_destroy(whet_ctx *ctx, whet_i_optimizer *optimizer);
/* One step at this learning rate (times each parameter's `rate`). *norm is that of the gradients
 * before clipping. Allocates nothing; same bits at any thread count.
 * Errors: NUMERIC when a gradient is not finite, by the parameter's name (nothing is changed then). */
WHET_CHECKED whet_status whet_i_optimizer_step(whet_ctx *ctx, whet_i_optimizer *optimizer,
                                               double learning_rate, double *norm);

/* ---- schedules -------------------------------------------------------------------------------- */

typedef enum whet_i_schedule {
    WHET_I_SCHEDULE_CONSTANT,
    WHET_I_SCHEDULE_LINEAR,
    WHET_I_SCHEDULE_COSINE
} whet_i_schedule;
/* The factor of the learning rate in step 0..total-1: rises linearly over `warmup` steps, then falls to
 * `floor` as transformers' get_<kind>_schedule_with_warmup does. Pure. */
double whet_i_schedule_at(whet_i_schedule kind, int64_t step, int64_t total, int64_t warmup,
                          double floor);

/* Cuts the learning rate when a loss stops falling: when in more than `patience` epochs in a row it was not
 * below (1 - threshold) of the least. torch's ReduceLROnPlateau with its defaults. Begin with
 * WHET_I_PLATEAU_INIT; the next epoch's rate after one at `rate` with that loss. Pure but for *plateau. */
typedef struct whet_i_plateau {
    double factor, threshold;
    int64_t patience;
    bool begun;
    double best;
    int64_t bad; /* epochs since */
} whet_i_plateau;
#define WHET_I_PLATEAU_INIT \
    { .factor = 0.1, .threshold = 1e-4, .patience = 10 }
double whet_i_plateau_next(whet_i_plateau *plateau, double rate, double loss);

/* ---- the order of data ------------------------------------------------------------------------ */

/* Steps of one epoch, each of some examples, cut into micro-batches of bounded tokens. */
typedef struct whet_i_batches {
    int64_t n, n_steps, n_micro;
    int64_t *order;       /* [n] examples; balanced: n places, an example may have several */
    int64_t *micro_start; /* [n_micro + 1] places in order */
    int64_t *step_start;  /* [n_steps + 1] micro-batches */
} whet_i_batches;

/* Every example once: a permutation from seed and epoch alone; with `bucket`, sorted by length within
 * windows of 16 batches, whose batches are shuffled again, so that a batch's texts are of like
 * length. A micro-batch holds at most token_budget tokens, or one example. */
typedef struct whet_i_batches_opts {
    int64_t batch_size, token_budget;
    bool bucket, shuffle;
    uint64_t seed;
    int64_t epoch;
} whet_i_batches_opts;
WHET_CHECKED whet_status whet_i_batches_make(whet_ctx *ctx, const int64_t *lengths, int64_t n,
                                             const whet_i_batches_opts *opts, whet_i_batches *out);
/* Batches for losses that compare rows: ceil(n / size) steps of size = min(batch_size, n) different rows,
 * one micro-batch each. Up to size / 2 classes (at least two) have a row each in turn, so that a class
 * has several where there are as many; classes, and the rows of a class, come about equally often, and so
 * rows of rare classes oftener than others. From seed and epoch alone. labels [n] in 0..k-1; lengths
 * are not looked at. */
WHET_CHECKED whet_status whet_i_balanced_batches_make(whet_ctx *ctx, const int32_t *labels,
                                                      int64_t n, int64_t k, int64_t batch_size,
                                                      uint64_t seed, int64_t epoch,
                                                      whet_i_batches *out);
void whet_i_batches_free(whet_ctx *ctx, whet_i_batches *batches);

/* ---- what is needed to go on ------------------------------------------------------------------ */

typedef struct whet_i_training_state {
    int64_t step;           /* optimiser steps taken */
    int64_t epoch, batch;   /* where in the data: the next step of that epoch */
    double best;            /* validation metric so far; NaN = none */
    int64_t best_step, bad; /* evaluations since without a better one */
    double loss_sum;        /* of the epoch, and over how many steps */
    int64_t loss_steps;
    int64_t
        pending; /* 1: the step is taken, and what follows it (validation) is still to be done */
} whet_i_training_state;

/* One safetensors file, whole or not at all: values under their names, moments, the state; and
 * `fingerprint`, which loading must find again. Numbers are kept to the bit. */
WHET_CHECKED whet_status whet_i_training_save(whet_ctx *ctx, const char *path,
                                              const whet_i_optimizer *optimizer,
                                              const whet_i_training_state *state,
                                              const char *fingerprint);
/* Errors: IO, FORMAT, SHAPE, UNSUPPORTED, DATA (another fingerprint: the settings or the data have changed;
 * another hash: the file is damaged); values, moments and state are then unchanged. */
WHET_CHECKED whet_status whet_i_training_load(whet_ctx *ctx, const char *path,
                                              whet_i_optimizer *optimizer,
                                              whet_i_training_state *state,
                                              const char *fingerprint);

/* What a checkpoint's metadata keeps as "hash": of tensors of f32, their names and order, upon `before`. */
enum { WHET_I_CHECKPOINT_HASH = 17 };
void whet_i_checkpoint_hash(const whet_named_tensor *items, int64_t n, uint64_t before,
                            char hex[WHET_I_CHECKPOINT_HASH]);
/* Errors: DATA (the file's is another). */
WHET_CHECKED whet_status whet_i_checkpoint_check(whet_ctx *ctx, const char *path,
                                                 const whet_safetensors *file,
                                                 const whet_named_tensor *items, int64_t n,
                                                 uint64_t before);

#endif
