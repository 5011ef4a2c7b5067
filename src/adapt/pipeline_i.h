/* SPDX-License-Identifier: Apache-2.0
 * The state of one run of the whole job, filled stage by stage; every stage is a file.
 * Legend: n rows, d features, k classes, c candidates. Everything a stage makes hangs on the run
 * and is released by whet_i_run_free, so a stage may return at any point. */
#ifndef WHET_ADAPT_PIPELINE_I_H
#define WHET_ADAPT_PIPELINE_I_H

#include "adapt/classifier_files.h"
#include "core/core_i.h"
#include "io/io_i.h"
#include "space/space_i.h"

#include "whet/adapt.h"
#include "whet/io.h"
#include "whet/kernels.h"
#include "whet/label.h"
#include "whet/nn.h"
#include "whet/space.h"

enum {
    WHET_LABEL_NONE = -1,   /* no label */
    WHET_LABEL_OTHER = -2,  /* a test label outside the class list: any prediction is wrong */
    WHET_LABEL_HIDDEN = -3, /* given, but outside the budget: treated as no label, counted */
};

/* Rows of the training or of the test data. */
typedef struct whet_i_run_rows {
    const char *path; /* of the table, else of the features */
    whet_table *table;
    int64_t n;
    int64_t text_column;   /* -1 = none */
    int64_t label_column;  /* of test rows with labels */
    int64_t group_column;  /* of training rows, where the job has groups */
    whet_str *texts;       /* [n] views into the table; NULL without a text column */
    int32_t *labels;       /* [n] class or WHET_LABEL_*; NULL = no labels at all */
    int32_t *truth;        /* [n] test rows: as labels, -1 for everything that is no class */
    int64_t n_labels;      /* rows with a class */
    whet_tensor array;     /* features read from a file */
    float *made;           /* features made here */
    float *words;          /* [n, columns of TF-IDF] beside those of an encoder; NULL = none */
    const float *features; /* [n, d], one of the two */
} whet_i_run_rows;

typedef struct whet_i_candidate {
    const whet_candidate_info *info; /* lives as long as the fit */
    bool tested;
    whet_metrics test;
} whet_i_candidate;

/* An opened label space and where the classes are in it. */
typedef struct whet_i_label_space {
    whet_space *space;
    int64_t *observed;      /* [k] points of the classes */
    const char *candidates; /* what may be predicted: "all", "observed", "leaves" */
} whet_i_label_space;

/* What made the features and makes those of further texts: encoder, tfidf, or both: `words` is then the share
 * of TF-IDF in a cosine, d the sum of their columns. */
typedef struct whet_i_embedder {
    whet_encoder *encoder;
    const whet_tfidf *tfidf;
    int64_t d;
    double words;
    int64_t
        *truncated; /* counts texts that the encoder does not read to their end; NULL = does not */
} whet_i_embedder;

/* The points of a label space to be embedded: SPACE embedding:auto. */
typedef struct whet_i_self_space {
    whet_names *names; /* NULL = another space */
    space_measure measure;
} whet_i_self_space;

/* Frechet means of n rows of probabilities. */
typedef struct whet_i_means {
    int64_t *point; /* [n] */
    double *cost;   /* [n] */
    int32_t *ties;  /* [n] */
} whet_i_means;

/* How many of n rows are predicted right, with a 95 % interval. */
typedef struct whet_i_hits {
    int64_t n;
    double accuracy, low, high;
} whet_i_hits;

typedef struct whet_i_seconds {
    double read, embed, fit, tune, predict, total;
} whet_i_seconds;

typedef struct whet_i_lesson whet_i_lesson; /* a way to tune the encoder: tuning.h */

/* What held-out labels say of a head, each at its best temperature. */
typedef struct whet_i_head_score {
    double log_loss, accuracy, temperature;
} whet_i_head_score;

/* A lesson in a run, and what held-out labels say of it, averaged with the teacher or not; of its head where
 * the choice among heads is made without them. NaN: it was not tried on all folds. */
enum { WHET_I_MOST_HEADS = 8 };
typedef struct whet_i_contender {
    const whet_i_lesson *lesson;
    int64_t folds;  /* that it was tried on */
    double seconds; /* that they took */
    double first;   /* log loss on the first fold by its own head, which decides the race */
    double alone;   /* log loss of the tuned encoder by itself */
    double share;   /* of its probabilities in their mean with the teacher's: 1, or 1/2 */
    double log_loss, accuracy, gain, error;
    whet_i_head_score heads[WHET_I_MOST_HEADS]; /* 0: its own; behind it head_candidates.c's */
    int64_t n_heads, head;                      /* that were tried, and the chosen one */
    double *held; /* [labels, k] what the figures are of; NULL = it was not tried on all folds */
    char verdict[96];
} whet_i_contender;

/* The encoder, tuned (tuning.c). */
enum { WHET_I_MOST_CONTENDERS = 8 };
typedef struct whet_i_tuning {
    int64_t place;   /* of candidate "encoder" in the table */
    int64_t teacher; /* the candidate that was chosen without it */
    int64_t n;       /* 0: the job asks for none */
    whet_i_contender tried[WHET_I_MOST_CONTENDERS];
    int64_t best; /* of those; -1 = none */
    int64_t
        folds; /* that the best was tried on; 0: too few labels to hold any out, or too little time */
    double log_loss_without, accuracy_without; /* of the teacher, held out; NaN without folds */
    bool kept;
    char words[160], note[320], reason[640];
    whet_candidate_info info;
    whet_adapt_fit *fit; /* of the head, when kept */
    whet_encoder *encoder;
    float *features; /* [train n, columns of the encoder] of the pool */
} whet_i_tuning;

/* label/label_i.h's, whose graphs of neighbours and the engine's graphs do not meet. */
typedef struct whet_i_feature_map whet_i_feature_map;

/* Labelled rows as what is chosen sees them from the other labels, the most doubtful first: those whose own
 * label has the least probability. */
typedef struct whet_i_held_out {
    int64_t n;
    int64_t *rows;   /* [n] */
    double *probs;   /* [n, k] */
    int64_t doubted; /* how many of them have a likelier class */
} whet_i_held_out;

typedef struct whet_i_run {
    const whet_adapt_job *job;
    whet_names *classes;
    whet_i_arena arena;    /* small texts */
    whet_str *class_texts; /* [k] what is embedded for a class */
    bool class_texts_mean; /* false: the names are only numbers */
    whet_i_run_rows train, test;
    int64_t n_used, n_hidden; /* training labels used and hidden by the budget */
    int64_t d;
    const char *source; /* "encoder", "encoder+tfidf", "tfidf", "file" */
    double words;       /* share of TF-IDF beside the encoder, in a cosine */
    whet_encoder *encoder;
    whet_tfidf *tfidf;
    whet_i_feature_map *map; /* that given rows are put through; NULL = none */
    float *class_vectors;    /* [k, d] or NULL */
    whet_adapt_fit *fit;
    whet_i_candidate *candidates;
    int64_t n_candidates, chosen;
    const char *reason;      /* lives as long as the fit */
    const char *fingerprint; /* of the encoder, as long as it; NULL = no encoder */
    whet_i_run_rows *target; /* the rows of predictions.tsv: &test or &train */
    whet_i_tuning tuning;
    whet_i_held_out held_out;
    int64_t *groups;    /* [train n] rows that are held out together; NULL = each by itself */
    double *probs;      /* [target n, k] of the chosen candidate */
    double *pool_probs; /* [train n, k]; == probs when the target is the training rows */
    whet_i_self_space self_space;
    whet_i_label_space space; /* its space is NULL without --space */
    whet_i_means means;       /* of the target rows */
    whet_i_means pool_means;  /* of the training rows, when they are not the target */
    bool space_scored;
    whet_space_scores by_argmax, by_frechet; /* of the target rows, also of unseen labels */
    whet_space_gains gains;                  /* Frechet mean less argmax */
    whet_i_hits by_mean; /* the Frechet means of the target rows that have a label; n = 0 without */
    whet_i_seconds seconds;
    double begun; /* when the job began */
    double clock; /* when the stage began */
    double texts; /* seconds that embedding both sets of texts took, without loading the encoder */
} whet_i_run;

/* The reading stage: tables, features, classes, labels. */
whet_status whet_i_run_read(whet_ctx *ctx, whet_i_run *run);
/* The budget: which labels are used, by the seed or by coverage (then features are needed). */
whet_status whet_i_run_draw(whet_ctx *ctx, whet_i_run *run);
/* Features of both sets of rows, and of the class names. */
whet_status whet_i_run_embed(whet_ctx *ctx, whet_i_run *run);
/* Behind the budget: puts TF-IDF beside the encoder's features, or lets go of it, as the labels say
 * (run_words.c). */
whet_status whet_i_run_add_words(whet_ctx *ctx, whet_i_run *run);
/* The space: opened early (its errors come before the work), used late. */
whet_status whet_i_run_open_space(whet_ctx *ctx, whet_i_run *run);
whet_status whet_i_run_use_space(whet_ctx *ctx, whet_i_run *run);
/* Of the column `class` of predictions.tsv; n = 0 without test labels. */
whet_i_hits whet_i_run_hits(const whet_i_run *run);
/* Between the two, once texts can be embedded: a space of the job's own making. */
whet_status whet_i_run_make_space(whet_ctx *ctx, whet_i_run *run);

/* embedding:auto[,names=FILE][,metric=unit|cosine|euclidean|angular]: the names of the classes, or of a file
 * that holds every class and more, embedded by the job's own encoder. Read early, made late. */
bool whet_i_self_space_is(const char *spec);
whet_status whet_i_self_space_read(whet_ctx *ctx, const char *spec, const whet_names *classes,
                                   whet_i_self_space *out);
void whet_i_self_space_free(whet_ctx *ctx, whet_i_self_space *space);
/* class_texts [classes]: what to embed for a class, NULL = its name as words. */
whet_status whet_i_self_space_make(whet_ctx *ctx, const whet_i_self_space *space,
                                   const whet_names *classes, const whet_str *class_texts,
                                   const whet_i_embedder *embedder, whet_space **out);
/* out [n, d]; the second where there are both. */
whet_status whet_i_embed_both(whet_ctx *ctx, const whet_i_embedder *embedder, const whet_str *texts,
                              int64_t n, float *out);
whet_status whet_i_embed_texts(whet_ctx *ctx, const whet_i_embedder *embedder,
                               const whet_str *texts, int64_t n, float *out);
/* The encoder's part of it. */
whet_status whet_i_embed_meaning(whet_ctx *ctx, const whet_i_embedder *embedder,
                                 const whet_str *texts, int64_t n, float *out);
/* Says how many of n texts of the table `path` it did not read to their end, where there are some. */
void whet_i_warn_of_truncated(whet_ctx *ctx, const char *path, const whet_encoder *encoder,
                              int64_t truncated, int64_t n);

/* The same for rows of any origin. candidates NULL: the leaves, or all points when a class is an
 * inner node; else it must live as long as *out. */
whet_status whet_i_label_space_open(whet_ctx *ctx, const char *spec, const char *candidates,
                                    const whet_names *classes, whet_i_label_space *out);
/* The classes in a space that is open already, which is taken over. */
whet_status whet_i_label_space_place(whet_ctx *ctx, const char *spec, whet_space *space,
                                     const char *candidates, const whet_names *classes,
                                     whet_i_label_space *out);
void whet_i_label_space_free(whet_ctx *ctx, whet_i_label_space *space);
whet_status whet_i_means_make(whet_ctx *ctx, const whet_i_label_space *space, const double *probs,
                              int64_t n, int64_t k, whet_i_means *out);
void whet_i_means_free(whet_ctx *ctx, whet_i_means *means);
/* run->groups of copies of a text and of the job's column; tells of copies. */
WHET_CHECKED whet_status whet_i_run_group(whet_ctx *ctx, whet_i_run *run);
/* run->held_out (held_out.c); none where nothing was compared. */
WHET_CHECKED whet_status whet_i_run_hold_out(whet_ctx *ctx, whet_i_run *run);
/* The class that the other labels say of held_out.rows[at]: its own where no other is likelier. */
int32_t whet_i_held_class(const whet_i_run *run, int64_t at);
/* held_out.tsv in the folder `dir`. */
WHET_CHECKED whet_status whet_i_write_held_out(whet_ctx *ctx, const whet_i_run *run,
                                               const char *dir);
void whet_i_held_out_free(whet_ctx *ctx, whet_i_held_out *held_out);
/* A folder that there is none of yet. Errors: IO. */
WHET_CHECKED whet_status whet_i_make_folder(whet_ctx *ctx, const char *path);
/* The files of the folder `dir`. */
whet_status whet_i_write_predictions(whet_ctx *ctx, const whet_i_run *run, const char *dir);
whet_status whet_i_metrics_json(whet_ctx *ctx, const whet_i_run *run, char **out);
void whet_i_run_free(whet_ctx *ctx, whet_i_run *run);

/* ---- shared small things --------------------------------------------------------------------- */

/* One predictions table; space NULL = none. */
typedef struct whet_i_prediction_table {
    const whet_names *classes;
    const double *probs; /* [n, k] */
    int64_t n;
    const int32_t *skip_labelled; /* [n]; rows with a class are left out; NULL = none */
    const whet_space *space;
    const whet_i_means *means; /* with a space */
} whet_i_prediction_table;
whet_status whet_i_write_prediction_table(whet_ctx *ctx, const whet_i_prediction_table *table,
                                          const char *path, bool force);

/* Whether every text has a letter: names that are only numbers say nothing to an encoder. */
bool whet_i_texts_mean(const whet_str *texts, int64_t k);
/* Indices of the `m` largest of p[k], best first, ties by lowest index; m <= 3. Returns how many. */
int32_t whet_i_top(const double *p, int64_t k, int32_t m, int32_t out[3]);

#endif
