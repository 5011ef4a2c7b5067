/* SPDX-License-Identifier: Apache-2.0
 * Private to adapt: the training rows, the cross-fitting state that candidates share, and the
 * linear base model that several of them are made of. The interface of a candidate is in
 * candidate.h.
 *
 * Legend: n rows of the pool, d prepared features, k classes, b labelled rows, m neighbours. */
#ifndef WHET_ADAPT_I_H
#define WHET_ADAPT_I_H

#include "whet/adapt.h"

#include "label/label_i.h"

/* groups [n]: the same number for the same text; left NULL without texts. (groups.c) */
WHET_CHECKED whet_status whet_i_group_texts(whet_ctx *ctx, const whet_str *texts, int64_t n,
                                            int64_t **groups);

/* ---- the pool (pool.c) ----------------------------------------------------------------------- */

/* The training rows. A loaded classifier has prepare, n, d, k and x alone. */
typedef struct whet_i_pool {
    whet_i_prepare prepare;
    int64_t n, d, k, m;
    const float *given; /* [n, prepare.d_in] the input's, while it is trained on */
    float *x;           /* [n, d] prepared: rows of unit length or zero */
    float *smooth;      /* [n, d] each row with its neighbours' mean, unit length */
    float *names;       /* [k, d] unit rows, or NULL */
    whet_i_graph graph;
    int64_t b;
    int64_t *rows;         /* [b] labelled rows, ascending */
    int32_t *y;            /* [b] their classes */
    int32_t *labels;       /* [n], -1 = none */
    const int64_t *groups; /* [n] or NULL, while it is trained on: as in whet_adapt_opts */
} whet_i_pool;

WHET_CHECKED whet_status whet_i_pool_make(whet_ctx *ctx, const whet_adapt_input *input,
                                          whet_i_pool *out);
void whet_i_pool_free(whet_ctx *ctx, whet_i_pool *pool);

/* Rows to predict, prepared once for all candidates. */
typedef struct whet_i_query {
    int64_t n, d, m;
    const float *given; /* [n, d_in] as they were before preparation: the caller's */
    float *x;           /* [n, d] */
    float *smooth;      /* [n, d], with the mean of the neighbours in the pool */
    int64_t *near;      /* [n, m] rows of the pool */
    double *weight;     /* [n, m] max(cos, 1e-3) */
} whet_i_query;

/* neighbours: fill near, weight and smooth too. Errors: DATA (NaN), NOMEM, CANCELLED. */
WHET_CHECKED whet_status whet_i_query_make(whet_ctx *ctx, const whet_i_pool *pool,
                                           const float *features, int64_t n, bool neighbours,
                                           whet_i_query *out);
void whet_i_query_free(whet_ctx *ctx, whet_i_query *rows);

/* A list of names as another has it (train.c). */
WHET_CHECKED whet_status whet_i_copy_names(whet_ctx *ctx, const whet_names *from, whet_names **out);

/* ---- the job with a tuned encoder, on rows in memory (tuned_rows.c) ------------------------------- */

struct whet_encoder;
/* What `whet adapt --adapter auto` is given, but for class names; texts are views. */
typedef struct whet_i_tuned_job {
    const whet_adapt_input *pool; /* features by the encoder as it is */
    whet_str *texts, *test_texts; /* [n], [n_test] */
    const float *test_features;   /* [n_test, d] */
    int64_t n_test;
    const char *model;            /* the encoder's folder */
    struct whet_encoder *encoder; /* loaded from there */
    const char *folder;           /* empty; what is written into it is the caller's to remove */
    whet_dtype dtype;             /* of the encoder, and */
    bool tune_exact;              /* of tuning, as of whet_adapt_job */
    uint64_t seed;
} whet_i_tuned_job;

typedef struct whet_i_tuned_answer {
    double *pool, *test; /* [n, k], [n_test, k]: room, to be filled */
    double log_loss; /* cross-fitted, of the candidate; of a tuned encoder the share of it that is
                            left on labels held out; NaN: not known */
    char words[160]; /* what predicts */
} whet_i_tuned_answer;

/* Errors and cost: of whet_adapt_train and of tuning. */
WHET_CHECKED whet_status whet_i_adapt_tuned(whet_ctx *ctx, const whet_i_tuned_job *job,
                                            whet_i_tuned_answer *answer);

/* ---- words beside an encoder (run_words.c) ------------------------------------------------------- */

/* Rows of meaning [n, dm] and of words [n, dw], both of unit length or zero, side by side: out [n, dm + dw]
 * of unit length, cosines are (1 - share) and share of theirs; of a row of no words the meaning alone. */
void whet_i_join_words(const float *meaning, const float *words, int64_t n, int64_t dm, int64_t dw,
                       double share, float *out);
#define WHET_I_WORDS_SHARE .25

/* ---- the trial: cross-fitting on the labels (crossfit.c) ------------------------------------- */

enum { WHET_I_RAW = 0, WHET_I_SMOOTH = 1, WHET_I_VIEWS = 2 };

/* The grid of the pull towards the prior, in mean degrees. */
#define WHET_I_PULLS 5
extern const double whet_i_pulls[WHET_I_PULLS];

typedef struct whet_i_trial {
    const whet_i_pool *pool;
    uint64_t seed;
    int64_t b;     /* labelled rows that take part: all, or a stratified part of them */
    int64_t *rows; /* [b] */
    int32_t *y;    /* [b] */
    whet_i_splits splits;
    int64_t cases;                  /* repeats * b */
    int32_t *case_y;                /* [cases] */
    double *labelled[WHET_I_VIEWS]; /* [b, d] */
    int64_t n_balance;
    float *balance[WHET_I_VIEWS]; /* [n_balance, d] rows of the pool, evenly spaced */
    float *green[WHET_I_PULLS];   /* [n, b] columns of (D - W + mu dbar I)^-1; NULL until asked */
    double *green_labelled[WHET_I_PULLS]; /* [b, b] their labelled rows */
} whet_i_trial;

/* repeats 0: no cases, nothing is cross-fitted. */
WHET_CHECKED whet_status whet_i_trial_make(whet_ctx *ctx, const whet_i_pool *pool, int32_t repeats,
                                           int32_t folds, uint64_t seed, whet_i_trial *out);
void whet_i_trial_free(whet_ctx *ctx, whet_i_trial *trial);
/* Solves for green and green_labelled unless that was done before. */
WHET_CHECKED whet_status whet_i_trial_green(whet_ctx *ctx, whet_i_trial *trial);

/* ---- balance over the pool (balance.c) ------------------------------------------------------- */

/* prior [k] of the classes from labels y [n]: (n_c + a) / (n + a k) with the a of largest
 * Dirichlet-multinomial evidence on a grid (empirical Bayes; Minka 2000). counts [k] is scratch. */
void whet_i_class_prior(const int32_t *y, int64_t n, int64_t k, int64_t *counts, double *prior);
/* offset [k] such that probs [n, k], each row times exp(offset) and rescaled, have the mean
 * `prior`: by iterative proportional fitting. scratch [2 k]. Source: Saerens, Latinne &
 * Decaestecker 2002 in spirit; Deming & Stephan 1940. O(30 n k) at most. */
void whet_i_balance(const float *probs, int64_t n, int64_t k, const double *prior, double *offset,
                    float *scratch);

/* ---- the base model (base.c) ----------------------------------------------------------------- */

/* q(x) = softmax(sharpness max(l, ln 1e-6) + offset), l = ln of the linear model's probabilities:
 * temperature and balance in one. */
typedef struct whet_i_base {
    whet_i_linear_model linear;
    double sharpness;
    double *offset; /* [k] */
} whet_i_base;

WHET_CHECKED whet_status whet_i_base_make(whet_ctx *ctx, int64_t d, int64_t k, int64_t seen,
                                          whet_i_base *out);
void whet_i_base_free(whet_ctx *ctx, whet_i_base *base);
/* scores [seen] of a row, without the bias, become its probabilities q [k]. scores is scratch. */
void whet_i_base_finish(const whet_i_base *base, double *scores, double *q);
/* probs [n, k] of rows x [n, d]. */
WHET_CHECKED whet_status whet_i_base_predict(whet_ctx *ctx, const whet_i_base *base, const float *x,
                                             int64_t n, double *probs);
/* The same in f32 on the calling thread, for priors and balance. w [d, seen] and scores
 * [WHET_I_BLOCK, k] are scratch; whet_i_base_narrow fills w. */
#define WHET_I_BLOCK 256
void whet_i_base_narrow(const whet_i_base *base, float *w);
void whet_i_base_posterior(const whet_i_base *base, const float *w, const float *x, int64_t n,
                           float *scores, float *probs);

#endif
