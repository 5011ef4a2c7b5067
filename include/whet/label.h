/* SPDX-License-Identifier: Apache-2.0
 * label: features, few-shot classifiers on them, and how good predictions are.
 *
 * Shapes: X [n, d] f32 row-major; y [n] class index, -1 = no label; probs [n, k] f64, rows sum
 * to 1. */
#ifndef WHET_LABEL_H
#define WHET_LABEL_H

#include "whet/core.h"
#include "whet/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- how good predictions are ---------------------------------------------------------------- */

typedef struct whet_metrics {
    int64_t n;                                    /* rows with a true label */
    double accuracy, accuracy_low, accuracy_high; /* Wilson 95 % interval */
    double macro_f1;                              /* over classes present in truth or prediction */
    double log_loss;                              /* mean -ln p(true), p clipped at 1e-15 */
    double brier;                                 /* mean over rows of sum_k (p - onehot)^2, 0..2 */
    double calibration_error; /* expected, 15 bins of equal width on the top probability */
} whet_metrics;

/* truth [n], -1 = not counted. predicted NULL = argmax of probs, lowest index on ties.
 * Errors: DATA when no row has a true label. O(n k). */
WHET_API WHET_CHECKED whet_status whet_metrics_compute(whet_ctx *ctx, const double *probs,
                                                       int64_t n, int64_t k, const int32_t *truth,
                                                       const int32_t *predicted, whet_metrics *out);

/* Wilson's 95 % interval of a proportion hits / n; [0, 1] for n = 0. Pure. Source: Wilson 1927. */
WHET_API void whet_wilson(int64_t hits, int64_t n, double *low, double *high);

/* counts [k, k]: rows are true classes, columns predicted ones; rows of probs or `predicted` without
 * a true label are not counted. predicted as above. O(n k). */
WHET_API WHET_CHECKED whet_status whet_metrics_confusion(whet_ctx *ctx, const double *probs,
                                                         int64_t n, int64_t k, const int32_t *truth,
                                                         const int32_t *predicted, int64_t *counts);

#define WHET_RELIABILITY_BINS 15
typedef struct whet_reliability_bin {
    int64_t n; /* rows whose top probability is in (i / 15, (i + 1) / 15]; bin 0 has 0 too */
    double confidence; /* their mean top probability; 0 when n = 0 */
    double accuracy;   /* how many of them are right; 0 when n = 0 */
} whet_reliability_bin;
/* bins [WHET_RELIABILITY_BINS]. The calibration error is sum n_i |confidence - accuracy| / n.
 * Source: Guo et al. 2017, arXiv 1706.04599. O(n k). */
WHET_API WHET_CHECKED whet_status whet_metrics_reliability(whet_ctx *ctx, const double *probs,
                                                           int64_t n, int64_t k,
                                                           const int32_t *truth,
                                                           whet_reliability_bin *bins);

/* ---- features without a model: TF-IDF and a truncated SVD ------------------------------------ */

typedef struct whet_tfidf_opts {
    size_t struct_size;
    int32_t dim;       /* columns kept at most, 1..1024; default 256 */
    int32_t min_texts; /* a term must occur in so many texts, 1..; default 2 */
    int64_t max_terms; /* the most frequent kept, 1..; default 30000 */
    uint64_t seed;     /* of the subspace iteration's start */
} whet_tfidf_opts;
#define WHET_TFIDF_OPTS_INIT \
    { sizeof(whet_tfidf_opts), 256, 2, 30000, 0 }

/* Terms, their weights and the projection. Read-only once fitted or loaded: may be shared. */
typedef struct whet_tfidf whet_tfidf;

/* Terms are words (runs of letters, digits and marks, NFC, case-folded; invalid UTF-8 is read as
 * U+FFFD), pairs of neighbouring words, and the 3- to 5-grams of characters within a word; weights
 * (1 + ln tf) idf with idf = ln((1 + n) / (1 + df)) + 1, rows of unit length, projected on the first
 * right singular vectors, and scaled to unit length again. A text without any known term is a row
 * of zeros. Errors: DATA (no texts, or no term at all), ARG, NOMEM, NUMERIC, CANCELLED.
 * Cost O(characters + nonzeros x dim x iterations). Deterministic for a seed.
 * Source: Salton & Buckley 1988; Halko, Martinsson & Tropp 2011 (arXiv 0909.4061). */
WHET_API WHET_CHECKED whet_status whet_tfidf_fit(whet_ctx *ctx, const whet_str *texts, int64_t n,
                                                 const whet_tfidf_opts *opts, whet_tfidf **out);
WHET_API void whet_tfidf_destroy(whet_ctx *ctx, whet_tfidf *tfidf);
/* Columns of the features: at most opts.dim, fewer when the texts span less. */
WHET_API int64_t whet_tfidf_dim(const whet_tfidf *tfidf);
WHET_API int64_t whet_tfidf_terms(const whet_tfidf *tfidf);
/* out [n, dim]; row i depends on text i alone. */
WHET_API WHET_CHECKED whet_status whet_tfidf_transform(whet_ctx *ctx, const whet_tfidf *tfidf,
                                                       const whet_str *texts, int64_t n,
                                                       float *out);

typedef enum whet_features {
    WHET_FEATURES_TFIDF = 0, /* of a column of texts, as above */
    WHET_FEATURES_PCA,       /* principal components of features: centred, not scaled */
    WHET_FEATURES_VAE,   /* of images: the posterior's mean of a variational autoencoder (Kingma &
                          Welling 2014) that is trained on the input, 20 epochs; 128 columns */
    WHET_FEATURES_RESNET /* of images: what the linear layer of a pretrained ResNet for 32 x 32 (He et
                            al. 2016, 4.2) reads; 64 columns. Images of other sizes are interpolated.
                            Not for data whose labels the network has learned: they would tell */
} whet_features;

typedef struct whet_feature_job {
    size_t struct_size;
    whet_features method;
    const char *input; /* what is fitted to, and transformed: a table, or an array: features [n, d];
                           images [n, height, width(, channels)], for the VAE also [n, d], of bytes
                           or of reals in [0, 1] */
    const char *column; /* of the tables, for texts */
    const char *test;   /* only transformed, never fitted to; NULL = none */
    int64_t dim;        /* TFIDF, PCA: columns at most, 1..1024; default 100 */
    uint64_t seed;
    const char *output, *test_output; /* .npy to write: f32 [rows, columns]; the second with test */
    bool force;
    const char *weights; /* RESNET: a safetensors file with the names of pytorch_resnet_cifar10 */
    /* File to write what is fitted to (docs/formats/features.md); NULL = none. */
    const char *save_map;
    /* Such a file: input and test are put through it and nothing is fitted; method, dim and seed are not
     * looked at. NULL = none. */
    const char *map;
} whet_feature_job;
#define WHET_FEATURE_JOB_INIT \
    { .struct_size = sizeof(whet_feature_job), .dim = 100 }

typedef struct whet_feature_result {
    int64_t rows, test_rows, dim; /* dim: columns that came out */
    double explained;     /* PCA that is fitted: share of the variance that they keep; else -1 */
    whet_features method; /* the job's, or the saved map's */
} whet_feature_result;

/* Files in, features out, as `whet label features` does; nothing is written unless all is made. VAE:
 * O(n d^2) an epoch; same bits for a seed, at any thread count. A saved map gives a row the bits that the
 * fit gave or would have given it.
 * Errors: as reading, whet_tfidf_fit; ARG (weights without RESNET, or none with it); SHAPE (test rows of
 * another shape, or rows that the map does not take), DATA (pixels out of range, a damaged map, ..),
 * FORMAT (the weights, the map), UNSUPPORTED (a later version's map), NUMERIC, NOMEM, CANCELLED. */
WHET_API WHET_CHECKED whet_status whet_feature_files(whet_ctx *ctx, const whet_feature_job *job,
                                                     whet_feature_result *out);

/* ---- baselines: labels of all rows from labels of some --------------------------------------- */

typedef enum whet_baseline {
    WHET_BASELINE_FEW_SHOT = 0, /* logistic regression, its penalty chosen by cross-fitting */
    WHET_BASELINE_PROPAGATE,  /* harmonic functions on the graph of neighbours (Zhu et al. 2003) */
    WHET_BASELINE_SPREAD,     /* local and global consistency (Zhou et al. 2004), alpha as above */
    WHET_BASELINE_ZERO_SHOT,  /* cosine to the classes' own features; labels only calibrate it */
    WHET_BASELINE_PROTOTYPES, /* cosine to the mean of a class's rows, and of its own features */
    WHET_BASELINE_CLUSTER,    /* k-means; labels name the groups, by an optimal assignment */
    WHET_BASELINE_GOGGLES     /* mixtures over affinities to the labelled rows (arXiv 1903.04552) */
} whet_baseline;

/* What a few-shot head is trained for. */
typedef enum whet_head_loss {
    WHET_LOSS_CROSS_ENTROPY = 0,
    WHET_LOSS_EXPECTED_COST, /* sum_c p_c cost[y, c]: all k classes are scored, also those without
                                a label */
    WHET_LOSS_FRECHET /* cross-entropy of -sum_j p_j cost[j, .] over all k classes, p over the
                                classes that have labels: probabilities to predict from by the
                                Frechet mean (Loki, arXiv 2307.12226, structured loss) */
} whet_head_loss;

/* Which rows of the graph are neighbours: either is among the other's nearest. */
typedef enum whet_neighbour_metric {
    WHET_NEIGHBOURS_COSINE = 0, /* of prepared rows; weights are max(cosine, .001) */
    WHET_NEIGHBOURS_EUCLIDEAN   /* by the distance of rows as they are; each counts alike, as with
                                 scikit-learn's kernel "knn", but in both directions */
} whet_neighbour_metric;

typedef struct whet_baseline_input {
    const float *features; /* [n, d], finite */
    int64_t n, d;
    int64_t k;                   /* classes, >= 2 */
    const int32_t *labels;       /* [n], class index or -1; zero-shot: may be NULL */
    const float *class_features; /* [k, d]: zero-shot; NULL or not: prototypes; NULL: others */
    uint64_t seed;
    whet_head_loss loss; /* few-shot alone may have another than cross-entropy */
    const double *cost;  /* [k, k] squared distances between classes, >= 0, symmetric; scale is
                            irrelevant; NULL with cross-entropy */
    double gamma;        /* propagate, spread: 0 = nearest neighbours; else all rows, as they
                     are, with weights exp(-gamma |x_i - x_j|^2): memory 8 n^2 bytes */
    double alpha;        /* spread: 0 = cross-fitted; else in (0, 1) */
    int64_t
        neighbours; /* propagate, spread without gamma: 0 = 10; else 1 to n - 1 and 1,000, the row itself not
                           counted (scikit-learn counts it) */
    whet_neighbour_metric neighbour_metric;
    double
        temperature; /* 0 = fitted to held-out labels; else p^(1/temperature), normalised: 1 = the method's
                           own numbers. propagate has none */
} whet_baseline_input;

/* probs [n, k]: of every row, labelled ones included (propagate keeps their labels, as it is
 * defined). Rows of any scale: rows of unit length are taken as they are, others are prepared as
 * whet/adapt.h says. Errors: DATA (no label, a NaN with its row), ARG, NOMEM, NUMERIC, CANCELLED.
 * Cost: few-shot O(labels^2 d + labels^2 k) a fit; the graph O(n^2 d) products in blocks, then
 * O(10 n k) a step of conjugate gradients; groups 100 steps of O(n k d), O(n k labels) for GOGGLES. The
 * last two need n >= k; their labelled rows keep no label: a probability is one of the group. */
WHET_API WHET_CHECKED whet_status whet_baseline_run(whet_ctx *ctx, whet_baseline method,
                                                    const whet_baseline_input *input,
                                                    double *probs);

typedef struct whet_baseline_job {
    size_t struct_size;
    const char *features;       /* [n, d] array */
    const char *labels;         /* table: columns row (0-based) and label; or label for every row,
                                   with empty cells; zero-shot: may be NULL */
    const char *classes;        /* class list; NULL = the labels' own names, sorted */
    const char *class_features; /* [k, d] array in the order of the classes, for zero-shot */
    whet_baseline method;
    uint64_t seed;
    const char *probs; /* .npy to write: f64 [n, k] */
    bool force;
    whet_head_loss loss;
    const char *space;   /* SPACE whose squared distances are the cost; NULL with cross-entropy */
    double gamma, alpha; /* as whet_baseline_input's */
    int64_t neighbours;
    whet_neighbour_metric neighbour_metric;
    double temperature;
} whet_baseline_job;
#define WHET_BASELINE_JOB_INIT \
    { .struct_size = sizeof(whet_baseline_job) }

/* How a class came to its component of a mixture, or group, which labels name. */
typedef struct whet_class_mapping {
    int64_t labels; /* rows labelled with the class; 0: it has the component that the others left */
    int64_t matched; /* of them, those whose largest probability is the class's */
    int64_t rows;    /* all rows whose largest probability is the class's; 0: an empty component */
    double
        margin; /* labelled rows, by their probabilities, that the best mapping in which the class has
                        another component agrees with less: near 0, the labels do not tell. Below 0 where
                        calibration has turned it. NaN with more than 200 classes */
} whet_class_mapping;

/* out [k] of probs [n, k] whose columns have been given to classes, and the labels [n], -1 = none, that did
 * it. Errors: ARG, NOMEM, CANCELLED. O(n k + k^4). */
WHET_API WHET_CHECKED whet_status whet_class_mapping_measure(whet_ctx *ctx, const double *probs,
                                                             int64_t n, int64_t k,
                                                             const int32_t *labels,
                                                             whet_class_mapping *out);
WHET_API void whet_class_mapping_free(whet_ctx *ctx,
                                      whet_class_mapping *mapping); /* NULL is fine */

/* Files in, probabilities out, as `whet label baseline` does. *classes: the names in the order of
 * the columns, destroyed by the caller; *labelled: how many rows had a label. *mapping: [classes] of
 * cluster and goggles, for whet_class_mapping_free, else NULL; mapping may be NULL.
 * Errors: as reading and whet_baseline_run; DATA with file and line for a label that is not among
 * the classes or a row out of range. */
WHET_API WHET_CHECKED whet_status whet_baseline_files(whet_ctx *ctx, const whet_baseline_job *job,
                                                      whet_names **classes, int64_t *labelled,
                                                      whet_class_mapping **mapping);

#ifdef __cplusplus
}
#endif
#endif
