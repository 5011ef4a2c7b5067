/* SPDX-License-Identifier: Apache-2.0
 * adapt: the main job. From features of all rows and labels of some, fit every candidate, compare
 * them by cross-fitting on the labels alone, choose, calibrate, predict, save. */
#ifndef WHET_ADAPT_H
#define WHET_ADAPT_H

#include "whet/core.h"
#include "whet/label.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct whet_adapt_input {
    const float *features; /* [n, d], finite; every training row, labelled or not */
    int64_t n, d;
    const int32_t *labels;      /* [n], class index or -1 */
    const whet_names *classes;  /* k >= 2 names; may include classes without a label */
    const float *class_vectors; /* [k, d] embeddings of the class names, or NULL (no such thing) */
} whet_adapt_input;

typedef struct whet_adapt_opts {
    size_t struct_size;
    uint64_t seed;
    int32_t repeats;    /* of cross-fitting, 1..100; default 5 */
    int32_t folds;      /* 2..20; default 5 */
    const char *method; /* NULL or "none" = choose by comparison; "auto" = with the slow candidates
                           (weak supervision: snuba, iws, goggles, propagate) in it; else the
                           candidate to choose, by name: ARG lists the names when there is none
                           such, DATA when it is unavailable */
    /* [n] rows with the same number are held out together, as copies of a text must be: one that is
     * learnt from tells the class of the others. NULL = each row by itself. */
    const int64_t *groups;
} whet_adapt_opts;
#define WHET_ADAPT_OPTS_INIT \
    { sizeof(whet_adapt_opts), 0, 5, 5, NULL, NULL }

/* What is known of a candidate from the labels alone. Strings live as long as the fit. */
typedef struct whet_candidate_info {
    const char *name;     /* "logistic", "graph", "spread", "zero-shot", "prototypes", ... */
    const char *title;    /* a few words for a report */
    const char *settings; /* what was chosen for it, e.g. "C = 10" */
    bool available;       /* false: could not be fitted; `note` says why */
    const char *note;
    /* NaN where nothing was compared: too few labels, or not available. */
    double accuracy, accuracy_low, accuracy_high; /* cross-fitted on the labels, 95 % interval */
    double log_loss;                              /* cross-fitted, calibrated */
} whet_candidate_info;

typedef struct whet_adapt_fit whet_adapt_fit;

/* Fits and compares. Errors: DATA (fewer than 2 classes, no labels, NaN feature with its row), ARG,
 * NOMEM, NUMERIC, CANCELLED. Progress stage "fit". Deterministic for a seed. */
WHET_API WHET_CHECKED whet_status whet_adapt_train(whet_ctx *ctx, const whet_adapt_input *input,
                                                   const whet_adapt_opts *opts,
                                                   whet_adapt_fit **out);
WHET_API void whet_adapt_fit_destroy(whet_ctx *ctx, whet_adapt_fit *fit);
WHET_API int64_t whet_adapt_fit_candidates(const whet_adapt_fit *fit);
WHET_API const whet_candidate_info *whet_adapt_fit_info(const whet_adapt_fit *fit,
                                                        int64_t candidate);
WHET_API int64_t whet_adapt_fit_chosen(const whet_adapt_fit *fit);
/* One or two sentences: why that one. */
WHET_API const char *whet_adapt_fit_reason(const whet_adapt_fit *fit);
/* Calibrated probabilities [n, k] of any rows by a candidate fitted on all labels. */
WHET_API WHET_CHECKED whet_status whet_adapt_fit_predict(whet_ctx *ctx, const whet_adapt_fit *fit,
                                                         int64_t candidate, const float *features,
                                                         int64_t n, double *probs);

/* As above for every candidate at once (the neighbours of the rows are searched only once):
 * probs [candidates, n, k]; those of unavailable candidates are zeros. */
WHET_API WHET_CHECKED whet_status whet_adapt_fit_predict_all(whet_ctx *ctx,
                                                             const whet_adapt_fit *fit,
                                                             const float *features, int64_t n,
                                                             double *probs);

/* Rows [count] whose labels took part in the comparison, ascending, and what the chosen candidate
 * says of them from the other labels: probs [count, k], the mean over the repeats. Returns the count;
 * 0 where nothing was compared. They live as long as the fit. */
WHET_API int64_t whet_adapt_fit_held_out(const whet_adapt_fit *fit, const int64_t **rows,
                                         const double **probs);

/* ---- keeping the chosen classifier ------------------------------------------------------------ */

/* Where the features come from: one source, or an encoder and TF-IDF side by side. */
typedef struct whet_classifier_meta {
    const char *encoder_path;        /* NULL: not an encoder's */
    const char *encoder_fingerprint; /* whet_encoder_fingerprint; needed with encoder_path */
    const char *pooling, *dtype;     /* as words ("mean", "f32") */
    int64_t max_length;              /* tokens; 0 = the model's limit */
    const whet_tfidf *tfidf;         /* NULL: not TF-IDF; neither: the caller's own features */
    const char *text_column;         /* NULL, or the column that held the texts */
    const whet_str *class_texts;     /* NULL, or [k] what the class names mean, UTF-8 without NUL */
    double words; /* with an encoder and tfidf: the latter's share in a cosine, above 0, below 1 */
    /* Of the caller's own features: fingerprint of the map that made them, which lies beside as
     * features.safetensors (whet_feature_job.save_map); NULL: none. */
    const char *feature_map;
    /* Share, above 0 and below 1, of a second classifier of the same classes, saved into the folder "frozen"
     * beside, in the mean of both; 0: none. */
    double beside;
} whet_classifier_meta;

/* Writes classifier.safetensors and classifier.json (docs/formats/classifier.md) for the chosen
 * candidate into the existing directory. Candidates that look at neighbours keep the features of
 * the training rows in it. Errors: IO, EXISTS, ARG, NOMEM. */
WHET_API WHET_CHECKED whet_status whet_adapt_fit_save(whet_ctx *ctx, const whet_adapt_fit *fit,
                                                      const char *dir_path,
                                                      const whet_classifier_meta *meta);

/* A saved classifier. Read-only once loaded: may be shared. */
typedef struct whet_classifier whet_classifier;

/* The directory is not trusted: every size, index and number in it is checked.
 * Errors: IO, FORMAT, SHAPE, DATA, UNSUPPORTED (a later version, an unknown candidate), NOMEM. */
WHET_API WHET_CHECKED whet_status whet_classifier_load(whet_ctx *ctx, const char *dir_path,
                                                       whet_classifier **out);
WHET_API void whet_classifier_destroy(whet_ctx *ctx, whet_classifier *classifier);
WHET_API const whet_names *whet_classifier_classes(const whet_classifier *classifier);
WHET_API int64_t whet_classifier_dim(const whet_classifier *classifier); /* d of its features */
WHET_API const char *whet_classifier_candidate(const whet_classifier *classifier);
WHET_API const char *whet_classifier_settings(const whet_classifier *classifier);
/* Strings and the tfidf object live as long as the classifier. */
WHET_API const whet_classifier_meta *whet_classifier_source(const whet_classifier *classifier);
/* The second one, which reads features of its own, as long as the first; NULL: none. */
WHET_API const whet_classifier *whet_classifier_beside(const whet_classifier *classifier);
/* probs [n, k], bit for bit what the fit it was saved from gives; of a second one it knows nothing.
 * Errors: DATA (a NaN with its row), NOMEM, CANCELLED. */
WHET_API WHET_CHECKED whet_status whet_classifier_predict(whet_ctx *ctx,
                                                          const whet_classifier *classifier,
                                                          const float *features, int64_t n,
                                                          double *probs);

/* ---- which rows to label ---------------------------------------------------------------------- */

/* Draws min(budget, n_from) of the row numbers `from` [n_from] (NULL: 0..n_from-1) uniformly
 * without replacement. rows [budget], ascending. Pure but for the seed. O(n_from). */
WHET_API WHET_CHECKED whet_status whet_draw_uniform(whet_ctx *ctx, const int64_t *from,
                                                    int64_t n_from, int64_t budget, uint64_t seed,
                                                    int64_t *rows);

/* Which rows to label, before any label exists: greedy facility location over unit rows, maximising
 * sum_i max_{j chosen} <x_i, x_j>; ties by lowest index. rows [budget] in order of choice.
 * Lazy greedy (exact). O(n^2 d) products at most, streamed in blocks; O(n) memory beyond a block.
 */
WHET_API WHET_CHECKED whet_status whet_draw_coverage(whet_ctx *ctx, const float *features,
                                                     int64_t n, int64_t d, int64_t budget,
                                                     int64_t *rows);

/* ---- the whole job: files in, a folder out ------------------------------------------------------
 */

typedef enum whet_draw {
    WHET_DRAW_UNIFORM = 0, /* every labelled row as likely */
    WHET_DRAW_COVERAGE = 1 /* whet_draw_coverage over the labelled rows */
} whet_draw;

/* What predicts in the end. */
typedef enum whet_end_model {
    WHET_END_LOGISTIC = 0, /* the chosen candidate, as it is */
    WHET_END_ENCODER = 1,  /* the encoder, tuned on its probabilities and the labels */
    WHET_END_AUTO = 2      /* the tuned encoder where held-out labels say that it is better */
} whet_end_model;

/* Adapters of every linear layer of the encoder, rank 8: which are tried (lessons.c). */
typedef enum whet_adapter_choice {
    WHET_ADAPTER_NONE = 0,
    WHET_ADAPTER_MORE = 1, /* Monarch (arXiv 2408.17383), taken whatever held-out labels say */
    WHET_ADAPTER_LORA = 2,
    WHET_ADAPTER_AUTO = 3 /* both and more, kept where held-out labels say that they help */
} whet_adapter_choice;

/* What `whet adapt` is told. Strings are read during the call only; NULL = not given. */
typedef struct whet_adapt_job {
    size_t struct_size;
    const char *train;         /* table of texts; may be NULL when features and labels are given */
    const char *test;          /* table to predict; NULL = the training rows are */
    const char *text, *label;  /* columns; NULL = "text" and "label" where they exist */
    const char *groups;        /* column of train: rows with the same cell are held out together */
    const char *labels;        /* sparse labels: table with columns row (0-based) and label */
    const char *features;      /* [n, d] array in place of texts */
    const char *test_features; /* [n, d], with features */
    const char *classes;       /* class list; NULL = the names in the training labels */
    const char *class_names;   /* table with columns class and text: what the names mean */
    const char *model;         /* encoder folder; NULL = TF-IDF */
    whet_dtype dtype;          /* of the encoder, as it is and tuned: WHET_F32 or WHET_BF16 */
    int64_t max_length;        /* tokens a text; 0 = the encoder's limit */
    const char *space;         /* label space: predict by the Frechet mean */
    const char *space_candidates; /* "all", "observed", "leaves"; NULL = the leaves, or all points
                                     when a class is an inner node */
    const char *method;           /* as in whet_adapt_opts */
    int64_t budget;               /* labels to use; 0 = all that are given */
    whet_draw draw;               /* which, with a budget */
    uint64_t seed;
    const char *output;       /* folder to write */
    bool force;               /* replace it when it exists */
    const char *command;      /* shown in the report as the way to do it again */
    whet_end_model end_model; /* other than WHET_END_LOGISTIC: needs texts and model */
    bool
        no_words; /* features of the encoder alone, never of TF-IDF beside it (a quarter of a cosine, where
                      the labels say that it helps; a tuned encoder stands alone) */
    /* Other than WHET_ADAPTER_NONE: needs texts and model; beside an end model other than
     * WHET_END_LOGISTIC only AUTO with AUTO. */
    whet_adapter_choice adapter;
    /* Seconds of the job in which tuning must be done, 0 = none: what would not fit is passed by, and
     * AUTO tries more where there is the time. */
    double time_limit;
    /* A saved map (whet_feature_job.save_map), not of texts: features and test_features are what it takes,
     * rows or images, and it is saved with the classifier; NULL = none. */
    const char *feature_map;
    /* Of WHET_F32: tuning multiplies in f32, too; false: in bf16 where the processor does, which takes half
     * the time. What is trained, and embeddings, are f32 either way. */
    bool tune_exact;
} whet_adapt_job;
#define WHET_ADAPT_JOB_INIT \
    { .struct_size = sizeof(whet_adapt_job), .dtype = WHET_F32 }

/* Tuning. Adapters learn from all pairs of batches of labelled texts, (cosine - [same class])^2: 60 steps
 * of 32 texts, their classes drawn evenly, at 1e-3; a logistic regression (C = 10) follows on the tuned
 * embeddings. A tuned end model is trained by cross-entropy, every weight, at 5e-5: on the labels alone
 * (200 steps; AUTO), or on what the chosen candidate (of weak supervision: its labeller) says of at most
 * 2,000 evenly spaced rows of the pool, and on the labels, which together weigh a quarter as much (3
 * passes). Three folds of the labels are held out of all that, one after the other. Of several ways the
 * best on the first fold goes on; AUTO averages it with the chosen candidate, half and half, where that
 * loses less on the held-out labels, and keeps it where it then loses less than the candidate, by .005 of
 * that. Cost: as many training runs as there are ways, two more, and one where it is kept. With a time
 * limit the result depends on the machine's speed.
 *
 * Reads, draws, embeds, fits, compares, tunes, predicts, and writes the folder `output` whole or not at
 * all: predictions.tsv, pool_predictions.tsv (the unlabelled training rows, when there is a test
 * table), held_out.tsv (labelled rows, from other labels), metrics.json, report.html, classifier/.
 * Test labels are used to measure, never to fit or to choose. *metrics is the text of metrics.json,
 * released by whet_free_text; may be NULL.
 * Errors: everything that reading, embedding and fitting can say, with file and line. */
WHET_API WHET_CHECKED whet_status whet_adapt_run(whet_ctx *ctx, const whet_adapt_job *job,
                                                 char **metrics);

typedef struct whet_apply_job {
    size_t struct_size;
    const char *classifier; /* folder written by whet_adapt_run */
    const char *input;      /* table of texts */
    const char *text;       /* its column; NULL = "text" */
    const char *features;   /* or rows as those it was made from, if features; or of its map */
    const char *model;      /* where the encoder is now; NULL = where it was */
    const char *output;     /* table of predictions; "-" = standard output */
    bool force;
    const char *space;            /* label space: predict by the Frechet mean; NULL = argmax */
    const char *space_candidates; /* as in whet_adapt_job */
} whet_apply_job;
#define WHET_APPLY_JOB_INIT \
    { .struct_size = sizeof(whet_apply_job) }

/* Predicts new rows with a saved classifier, as whet_adapt_run would have, with or without a label
 * space. *rows = how many. Errors: as reading and embedding; DATA when the encoder or the map to features
 * is not the one it was made with, or a class is no point of the space. */
WHET_API WHET_CHECKED whet_status whet_adapt_apply(whet_ctx *ctx, const whet_apply_job *job,
                                                   int64_t *rows);

/* A class name as words to embed: '_', '-', '.', '/' and ':' between letters, and a step from small
 * to capital letters, become spaces ("Sci/Tech", "freeze_account", "CreditCard"); NUL-terminated,
 * released by whet_free_text. A name without letters or digits stays as it is. */
WHET_API WHET_CHECKED whet_status whet_class_text(whet_ctx *ctx, whet_str name, char **out);

#ifdef __cplusplus
}
#endif
#endif
