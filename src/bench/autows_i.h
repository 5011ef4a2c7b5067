/* SPDX-License-Identifier: Apache-2.0
 * The AutoWS comparison: sets, splits, feature maps, methods, and the cells that they make. Each is a table;
 * another set, feature map or method is a row.
 * Legend: n rows, d columns, k classes; a cell is (set, seed, feature, method). */
#ifndef WHET_AUTOWS_I_H
#define WHET_AUTOWS_I_H

#include "bench/bench_i.h"
#include "io/io_i.h"

#include "whet/nn.h"

/* ---- sets (autows_sets.c) ------------------------------------------------ */

typedef enum whet_i_set_kind {
    WHET_I_SET_TEXTS = 1,
    WHET_I_SET_TABLE = 2,  /* numbers and categories */
    WHET_I_SET_SERIES = 4, /* numbers of one kind */
    WHET_I_SET_IMAGES = 8,
    WHET_I_SET_FLOWS = 16
} whet_i_set_kind;

typedef enum whet_i_image_change {
    WHET_I_IMAGE_AS_IS = 0,
    WHET_I_IMAGE_PERMUTED,
    WHET_I_IMAGE_SPHERICAL
} whet_i_image_change;

typedef struct whet_i_set {
    const char *name;
    whet_i_set_kind kind;
    const char *train, *test; /* below the data folder; test NULL: drawn by the seed */
    const char *train_labels, *test_labels; /* arrays, beside arrays */
    const char *text, *label;               /* columns of tables */
    bool joined;                            /* train and test are one, to be split by the seed */
    whet_i_image_change change;
    bool of_cifar; /* the images that ResNets of CIFAR-10 were trained on */
    const char *
        meanings; /* "label=what it means|...", for zero-shot; NULL: the labels' own words, if any */
    const char *published; /* the set's column in the published table; NULL = none */
    bool similar;          /* that column is of another, similar set */
} whet_i_set;

extern const whet_i_set whet_i_sets[];
int64_t whet_i_set_count(void);

/* A set in memory: rows to learn from, then test rows; or rows of both kinds. */
typedef struct whet_i_set_data {
    const whet_i_set *set;
    whet_names *classes;
    int64_t k, n, n_train; /* n_train = n: rows are split by the seed */
    int32_t *y;            /* [n] */
    whet_table *table[2];
    whet_str *texts; /* [n] */
    int64_t height, width, channels;
    uint8_t *pixels;  /* [n, height, width, channels], before any change */
    double *rotation; /* [n, 9] of spherical images */
    int64_t d;
    float *numbers;  /* [n, d], of other sets */
    float *embedded; /* [n, embedded_d] by the encoder, once made */
    int64_t embedded_d;
    float *class_vectors; /* [k, embedded_d] or NULL */
} whet_i_set_data;

/* Whether the data folder has the set. */
bool whet_i_set_there(whet_ctx *ctx, const char *folder, const whet_i_set *set);
/* folder: the data; cache: where what takes long to make is kept. */
WHET_CHECKED whet_status whet_i_set_read(whet_ctx *ctx, const char *folder, const char *cache,
                                         const whet_i_set *set, uint64_t seed,
                                         whet_i_set_data *out);
void whet_i_set_free(whet_ctx *ctx, whet_i_set_data *data);

/* Columns of a table but `label` as numbers [n, d]: those that are numbers in every row that is not empty
 * or "?" as they are (the mean where they are missing), others a 0/1 column a value, of values that 5 rows
 * or more have. Of labels and test rows nothing is used but which values there are. (mixed_table.c) */
WHET_CHECKED whet_status whet_i_mixed_table(whet_ctx *ctx, whet_table *const *table, int64_t tables,
                                            const char *label, float **out, int64_t *d);

/* ---- splits (autows_split.c) ------------------------------------------------ */

typedef struct whet_i_set_split {
    int64_t n, n_test, labelled;
    int64_t *rows, *test;        /* [n], [n_test] rows of the set */
    int32_t *labels;             /* [n], -1 but for `labelled` */
    int32_t *truth, *test_truth; /* [n], [n_test], to measure with */
} whet_i_set_split;

typedef struct whet_i_split_sizes {
    int64_t labels, pool, test;
} whet_i_split_sizes;

/* Uniform draws, the same for each seed and source of rows, whatever else runs. */
WHET_CHECKED whet_status whet_i_set_split_make(whet_ctx *ctx, const whet_i_set_data *data,
                                               const whet_i_split_sizes *sizes, uint64_t seed,
                                               whet_i_set_split *out);
void whet_i_set_split_free(whet_ctx *ctx, whet_i_set_split *split);

/* ---- feature maps (autows_features.c) ------------------------------------------------ */

typedef struct whet_i_feature_tools {
    const whet_encoder *encoder; /* or NULL */
    const char *resnet;          /* or NULL */
    uint64_t seed;
    const char *cache; /* folder where embeddings are kept */
} whet_i_feature_tools;

/* Of one split: fitted to its n rows, put through its test rows too. */
typedef struct whet_i_feature_rows {
    int64_t d;
    float *x, *test;      /* [n, d], [n_test, d] */
    float *class_vectors; /* [k, d] or NULL */
} whet_i_feature_rows;

typedef struct whet_i_feature {
    const char *name;
    uint32_t kinds;                   /* of sets, whet_i_set_kind together */
    bool needs_encoder, needs_resnet; /* a ResNet trained on CIFAR-10 is no map of CIFAR-10 */
    whet_status (*make)(whet_ctx *ctx, const whet_i_feature_tools *tools,
                        const whet_i_set_data *data, const whet_i_set_split *split,
                        whet_i_feature_rows *out);
} whet_i_feature;

/* Embeds a set's texts, where there is an encoder, before features are made of them. */
WHET_CHECKED whet_status whet_i_set_embed(whet_ctx *ctx, const whet_i_feature_tools *tools,
                                          whet_i_set_data *data);

extern const whet_i_feature whet_i_features[];
int64_t whet_i_feature_count(void);
bool whet_i_feature_fits(const whet_i_feature *feature, const whet_i_set *set,
                         const whet_i_feature_tools *tools);
void whet_i_feature_rows_free(whet_ctx *ctx, whet_i_feature_rows *rows);

/* ---- methods (autows_methods.c, autows_rules.c, autows_tuning.c) -------------------------------- */

/* What a method is given. x, test: rows prepared on the pool alone, of unit length. */
typedef struct whet_i_autows_task {
    int64_t n, n_test, d, d_raw, k;
    const float *raw, *raw_test; /* [n, d_raw]: the feature map as it is */
    const float *x, *test;       /* [n, d] */
    const float *class_vectors;  /* [k, d] or NULL */
    const int32_t *labels;       /* [n] */
    const whet_names *classes;
    whet_str *texts, *test_texts; /* [n], [n_test], or NULL */
    const char *model;            /* folder of the encoder, or NULL */
    whet_encoder *encoder;
    whet_dtype dtype;  /* of the encoder, and */
    bool tune_exact;   /* of tuning, as of whet_adapt_job */
    const char *cache; /* folder, for what is written meanwhile */
    uint64_t seed;
} whet_i_autows_task;

/* Probabilities of all rows; what is not covered has the balance. */
typedef struct whet_i_autows_answer {
    double *pool, *test;               /* [n, k], [n_test, k] */
    bool *pool_covered, *test_covered; /* [n], [n_test] */
    int64_t rules;                     /* 0: none */
    double crossfit;                   /* log loss by cross-fitting on the labels; NaN: not known */
    char words[160];                   /* what was chosen, or "" */
} whet_i_autows_answer;

typedef enum whet_i_method_family {
    WHET_I_METHOD_BASELINE = 0,
    WHET_I_METHOD_WEAK,      /* automated weak supervision */
    WHET_I_METHOD_PUBLISHED, /* the same in its published form, defects included */
    WHET_I_METHOD_CHOICE     /* chooses and blends by cross-fitting */
} whet_i_method_family;

typedef struct whet_i_autows_method whet_i_autows_method;
struct whet_i_autows_method {
    const char *name, *title;
    whet_i_method_family family;
    bool needs_class_vectors;
    bool needs_texts; /* tunes the encoder: on its feature map alone */
    int option;       /* for `run` */
    whet_status (*run)(whet_ctx *ctx, const whet_i_autows_method *self,
                       const whet_i_autows_task *task, whet_i_autows_answer *out);
};

extern const whet_i_autows_method whet_i_autows_methods[];
int64_t whet_i_autows_method_count(void);
WHET_CHECKED whet_status whet_i_autows_by_tuning(whet_ctx *ctx, const whet_i_autows_method *self,
                                                 const whet_i_autows_task *task,
                                                 whet_i_autows_answer *out);
WHET_CHECKED whet_status whet_i_autows_by_rules(whet_ctx *ctx, const whet_i_autows_method *self,
                                                const whet_i_autows_task *task,
                                                whet_i_autows_answer *out);
enum {
    WHET_I_RULES_SNUBA = 0,
    WHET_I_RULES_SNUBA_APART,
    WHET_I_RULES_IWS,
    WHET_I_RULES_IWS_APART,
    WHET_I_RULES_SNUBA_PUBLISHED,
    WHET_I_RULES_SNUBA_APART_PUBLISHED
};
/* Soft cross-entropy logistic regression on covered rows of the pool and the labels; its log
 * probabilities' argmax on test rows: predicted [n_test]. */
WHET_CHECKED whet_status whet_i_autows_end_model(whet_ctx *ctx, const whet_i_autows_task *task,
                                                 const whet_i_autows_answer *answer,
                                                 int32_t *predicted);

/* ---- cells (autows_cells.c) ------------------------------------------------ */

typedef struct whet_i_cell {
    int32_t set, feature, method; /* places in their tables */
    int64_t seed;
    char failed[200]; /* why it has no numbers, or "" */
    double covered_accuracy, coverage, accuracy, end_accuracy, log_loss, crossfit, seconds,
        megabytes;
    int64_t rules, labelled, pool, test;
    char words[160];
} whet_i_cell;

typedef struct whet_i_cells {
    whet_i_cell *item;
    int64_t n, cap;
    whet_i_lines lines;
} whet_i_cells;

/* What the file has, if it is there; a last line that is cut short is dropped.
 * Errors: EXISTS (other settings, without force), FORMAT, IO. */
WHET_CHECKED whet_status whet_i_cells_open(whet_ctx *ctx, const char *path, json_t *settings,
                                           bool force, whet_i_cells *out);
const whet_i_cell *whet_i_cells_find(const whet_i_cells *cells, const whet_i_cell *key);
/* Adds a cell, and puts the file in place. */
WHET_CHECKED whet_status whet_i_cells_add(whet_ctx *ctx, whet_i_cells *cells,
                                          const whet_i_cell *cell);
void whet_i_cells_close(whet_ctx *ctx, whet_i_cells *cells);

/* ---- what it comes to (autows_summary.c) ------------------------------------------------ */

/* Of one seed the interval of a share is Wilson's, over its test rows. */
typedef struct whet_i_group {
    int32_t set, feature, method;
    int64_t seeds, failed, rules;
    whet_i_mean covered_accuracy, coverage, accuracy, end_accuracy, log_loss;
    double seconds, megabytes; /* means */
} whet_i_group;

/* One set: the best in hindsight of each family by mean accuracy, and the recommendation: of the choices on
 * every feature map, the one of least cross-fitted log loss, seed by seed. Places in groups, -1 = none. */
typedef struct whet_i_set_verdict {
    int32_t set;
    int64_t baseline, weak, published;
    int64_t single;                /* the single baseline's best feature map here */
    whet_i_mean recommended, gain; /* accuracy; and over the best baseline, seed by seed */
    whet_i_mean over_single;       /* over the single baseline */
} whet_i_set_verdict;

enum { WHET_I_PROFILE_POINTS = 81 };
typedef struct whet_i_method_standing {
    int32_t method;
    int64_t problems;                      /* (set, feature) pairs that all ranked methods have */
    double rank, accuracy;                 /* means over them */
    double profile[WHET_I_PROFILE_POINTS]; /* share with error at most tau times the least */
} whet_i_method_standing;

typedef struct whet_i_autows_summary {
    whet_i_group *group;
    int64_t groups;
    whet_i_set_verdict *verdict;
    int64_t verdicts;
    whet_i_method_standing *standing;
    int64_t standings;
    whet_i_mean gain; /* of the recommendation over the best baseline, over sets */
    int64_t at_least; /* sets where it is at least as good */
    /* The single baseline: the one method that is best over all sets, on each with its best feature map in
     * hindsight; -1 = none. */
    int32_t single;
    whet_i_mean over_single;
    int64_t at_least_single;
} whet_i_autows_summary;

double whet_i_profile_tau(int64_t point); /* 1 .. 5 */
WHET_CHECKED whet_status whet_i_autows_summarise(whet_ctx *ctx, const whet_i_cells *cells,
                                                 whet_i_autows_summary *out);
void whet_i_autows_summary_free(whet_ctx *ctx, whet_i_autows_summary *summary);

/* The published accuracy on covered rows and coverage (AutoWS-Bench-101, its figures), of a method and
 * feature that correspond; NaN: not there. (autows_published.c) */
typedef struct whet_i_published {
    double accuracy, coverage;
} whet_i_published;
whet_i_published whet_i_autows_published(const whet_i_set *set, const whet_i_feature *feature,
                                         const whet_i_autows_method *method);

/* ---- reports (autows_report.c, autows_tables.c) ------------------------------------------------ */

WHET_CHECKED whet_status whet_i_autows_tables(whet_ctx *ctx, const whet_i_autows_summary *summary,
                                              whet_i_buf *text);
WHET_CHECKED whet_status whet_i_autows_json(whet_ctx *ctx, const whet_i_autows_summary *summary,
                                            const json_t *settings, whet_i_buf *json);
WHET_CHECKED whet_status whet_i_autows_tsv(whet_ctx *ctx, const whet_i_autows_summary *summary,
                                           whet_i_buf *tsv);
WHET_CHECKED whet_status whet_i_autows_profile(whet_ctx *ctx, const whet_i_autows_summary *summary,
                                               whet_i_buf *svg);
WHET_CHECKED whet_status whet_i_autows_html(whet_ctx *ctx, const whet_i_autows_summary *summary,
                                            const json_t *settings, whet_i_buf *html);

#endif
