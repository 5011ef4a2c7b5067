/* SPDX-License-Identifier: Apache-2.0
 * The interface of a candidate: one file each, one row in the table of candidates.c.
 *
 * A candidate cross-fits its settings on the trial, is fitted on all labels with the best ones, and
 * predicts new rows. It says nothing to the user and decides nothing about the others: comparing,
 * blending and choosing are train.c's. */
#ifndef WHET_ADAPT_CANDIDATE_H
#define WHET_ADAPT_CANDIDATE_H

#include "adapt/adapt_i.h"
#include "io/io_i.h"

/* What a candidate's cross-fitting settled; those fields it uses. */
typedef struct whet_i_settings {
    double penalty;     /* C of a logistic regression */
    double kappa;       /* weight of a class name, in labelled examples; infinity = names alone */
    double inner;       /* temperature at which the balance is computed */
    double beta;        /* share of the balance that is applied, 0..1 */
    double mu;          /* pull towards the prior, in mean degrees */
    double alpha;       /* of local and global consistency */
    double width;       /* gamma of a kernel */
    int32_t kind;       /* of a forest, a whet_i_forest_kind */
    double temperature; /* last step */
} whet_i_settings;

enum { WHET_I_NOTE = 200 };

/* What cross-fitting found out about a candidate. */
typedef struct whet_i_result {
    bool available;
    char note[WHET_I_NOTE];  /* why it is not, or "" */
    char words[WHET_I_NOTE]; /* the settings for a report */
    whet_i_settings settings;
    double log_loss;
    double *probs;     /* [cases, k] cross-fitted and calibrated */
    whet_i_base *fold; /* [splits]: the models of the splits, where others build on them */
    int64_t n_fold;
} whet_i_result;

typedef struct whet_i_candidate whet_i_candidate;
struct whet_i_candidate {
    const char *name, *title;
    int view;              /* which features: WHET_I_RAW or WHET_I_SMOOTH */
    const char *prior;     /* name of the candidate whose posteriors it smooths, or NULL */
    bool needs_names;      /* class vectors */
    bool needs_neighbours; /* of the rows to predict */
    bool on_request;       /* slow: takes part when asked for by its name, or by "auto" */
    bool blends;           /* takes part in the blend, and may be chosen */
    /* Settles the settings; fills everything of `out` but available and note. NULL = not trained on
     * features that are given: never available in a comparison. */
    whet_status (*crossfit)(whet_ctx *ctx, const whet_i_candidate *self, whet_i_trial *trial,
                            const whet_i_result *prior, whet_i_result *out);
    /* prior_model: of the candidate named by `prior`, fitted on the same labels. */
    whet_status (*fit)(whet_ctx *ctx, const whet_i_candidate *self, const whet_i_trial *trial,
                       const whet_i_settings *settings, const void *prior_model, void **model);
    /* Calibrated probs [rows->n, k]. */
    whet_status (*predict)(whet_ctx *ctx, const void *model, const whet_i_query *rows,
                           double *probs);
    whet_status (*save)(whet_ctx *ctx, const void *model, const char *prefix, whet_i_store *store);
    /* pool: n, d, k of the classifier, to check sizes against. */
    whet_status (*load)(whet_ctx *ctx, const whet_i_source *source, const char *prefix,
                        const whet_i_pool *pool, void **model);
    void (*destroy)(whet_ctx *ctx, void *model);
    /* What its labeller says of the pool's rows, probs [n, k]; NULL = it has none. */
    whet_status (*teach)(whet_ctx *ctx, const whet_i_candidate *self, const whet_i_pool *pool,
                         double *probs);
};

/* Of a saved temperature, far below what fitting gives (temperature.c): logarithms over it stay
 * finite. */
#define WHET_I_LEAST_TEMPERATURE 1e-6
/* Saved numbers of classes: at least one, rising, from 0 to k - 1. (candidates.c) */
bool whet_i_classes_rise(const int32_t *classes, int64_t seen, int64_t k);

/* The table, in the order of reports. */
extern const whet_i_candidate *const whet_i_candidates[];
int64_t whet_i_candidate_count(void);
const whet_i_candidate *whet_i_candidate_find(const char *name, int64_t len);

void whet_i_result_free(whet_ctx *ctx, whet_i_result *result);

/* ---- shared by candidates that are linear with balance (base_crossfit.c) --------------------- */

/* A family of linear models, numbered 0..n-1. */
typedef struct whet_i_family {
    int64_t n;
    int64_t reference;  /* whose temperature the balance uses; -1: the best one's */
    bool balance_all;   /* try the balance on every member, or on the best alone */
    double least_inner; /* lower bound of that temperature */
    bool keep_folds;    /* others build on the models of the splits */
    const void *state;
    /* Member `at` fitted without the held rows of a split: base->linear is filled (classes, seen,
     * unseen, weight, bias; memory for k classes is there). Called from several threads. scratch:
     * of `scratch` doubles. */
    int64_t scratch;
    void (*fit_split)(const void *state, int64_t at, int64_t split, whet_i_linear_model *linear,
                      double *scratch);
} whet_i_family;

/* Settles member, beta, inner and temperature; out->probs, fold, log_loss. *member: the choice. */
WHET_CHECKED whet_status whet_i_base_crossfit(whet_ctx *ctx, const whet_i_trial *trial, int view,
                                              const whet_i_family *family, int64_t *member,
                                              whet_i_result *out);
/* The family of logistic regressions over whet_i_penalties, on the trial's labelled rows by their span;
 * settles settings.penalty too. (candidate_logistic.c) */
WHET_CHECKED whet_status whet_i_logistic_crossfit(whet_ctx *ctx, const whet_i_trial *trial,
                                                  int view, const whet_i_span *span,
                                                  bool keep_folds, whet_i_result *out);
/* Turns a linear model of all labels into a base model with the settings: balance over the pool. */
WHET_CHECKED whet_status whet_i_base_complete(whet_ctx *ctx, const whet_i_trial *trial, int view,
                                              const whet_i_settings *settings, whet_i_base *base);
whet_status whet_i_base_model_save(whet_ctx *ctx, const void *model, const char *prefix,
                                   whet_i_store *store);
whet_status whet_i_base_model_load(whet_ctx *ctx, const whet_i_source *source, const char *prefix,
                                   const whet_i_pool *pool, void **model);
void whet_i_base_model_destroy(whet_ctx *ctx, void *model);
whet_status whet_i_base_model_predict_raw(whet_ctx *ctx, const void *model,
                                          const whet_i_query *rows, double *probs);
whet_status whet_i_base_model_predict_smooth(whet_ctx *ctx, const void *model,
                                             const whet_i_query *rows, double *probs);

#endif
