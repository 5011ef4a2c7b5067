/* SPDX-License-Identifier: Apache-2.0
 * space: label spaces, the metrics on them, and prediction by the Frechet mean in place of argmax
 * (Loki, "Geometry-Aware Adaptation for Pretrained Models", NeurIPS 2023, arXiv 2307.12226):
 *     y* = argmin over candidates y of F(y) = sum_k p_k d(y, k)^q,  q = 2 (default) or 1. */
#ifndef WHET_SPACE_H
#define WHET_SPACE_H

#include "whet/core.h"
#include "whet/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* N named points with a metric. Read-only once opened: may be shared. */
typedef struct whet_space whet_space;

/* SPACE: tree:FILE, tree:PARENT.npy[,names=FILE][,lengths=FILE.npy], both with [,forest=join|LENGTH],
 * graph:FILE, matrix:FILE.npy[,names=FILE][,rows=FILE], embedding:FILE.npy[,metric=euclidean|unit|
 * cosine|angular][,names=FILE], grid:AxB[xC..][,metric=l1|l2], path:N, discrete, discrete:N. Points without
 * names are called by their 0-based index (grids: row-major). Nodes of trees and graphs are numbered as they
 * appear in the file, or, when their names are exactly the numbers 0..N-1, by those. forest: trees are
 * joined above their roots by a node "(joined)", over edges of this length (join: 1); without it a forest
 * is an error. rows: the matrix is [rows, N], distances from these points alone; they must hold the
 * observed classes. unit: d = sqrt(2 - 2 cos), the Euclidean distance of the unit vectors; cosine: d = 1 -
 * cos, no metric; angular: d = arccos(cos). discrete: every two points are 1 apart; without a count it needs
 * `classes` (its points are those classes), else classes may be NULL.
 * A matrix that breaks the triangle inequality is taken, with a warning in the log.
 * Errors: ARG (unknown kind), IO, FORMAT, SHAPE, DATA (not connected, a cycle in a tree, not
 * symmetric, negative distance, zero vector for a direction), LIMIT. */
WHET_API WHET_CHECKED whet_status whet_space_open(whet_ctx *ctx, const char *spec,
                                                  const whet_names *classes, whet_space **out);
WHET_API void whet_space_destroy(whet_ctx *ctx, whet_space *space);
WHET_API int64_t whet_space_size(const whet_space *space);
WHET_API const whet_names *whet_space_names(const whet_space *space);
/* The point of this name; DATA names the class and the nearest name there is. */
WHET_API WHET_CHECKED whet_status whet_space_find(whet_ctx *ctx, const whet_space *space,
                                                  whet_str name, int64_t *out);
/* The points of all names: out [count]. Errors as whet_space_find. */
WHET_API WHET_CHECKED whet_status whet_space_find_all(whet_ctx *ctx, const whet_space *space,
                                                      const whet_names *names, int64_t *out);
/* d(a, b) >= 0 between points. Cost: O(1) tables, O(depth) trees, O(dim) embeddings. NaN for graphs
 * of more than 4,096 points, which have no table: use whet_space_distances. */
WHET_API double whet_space_distance(const whet_space *space, int64_t a, int64_t b);
/* d(from[i], to[i]) for n pairs, in out [n]; any space. Graphs without a table: one search for each
 * distinct `to`. Errors: ARG (no such point), NOMEM. */
WHET_API WHET_CHECKED whet_status whet_space_distances(whet_ctx *ctx, const whet_space *space,
                                                       const int64_t *from, const int64_t *to,
                                                       int64_t n, double *out);

typedef enum whet_candidates {
    WHET_CANDIDATES_ALL = 0,  /* every point */
    WHET_CANDIDATES_OBSERVED, /* the K observed classes */
    WHET_CANDIDATES_LEAVES,   /* trees: nodes of degree 1, without the root that a rooted file
                                 names; else every point */
    WHET_CANDIDATES_LIST      /* candidate_list */
} whet_candidates;

typedef struct whet_frechet_opts {
    size_t struct_size;
    whet_candidates candidates;
    const int64_t *candidate_list; /* point indices, distinct; with WHET_CANDIDATES_LIST */
    int64_t n_candidates;
    int32_t power; /* 2 (default) or 1 */
    int32_t top;   /* how many best candidates to give per row, 1.. (default 1); where there are
                      fewer candidates, `top` below means their number: whet_frechet_top */
    bool sparse;   /* rows will come by whet_frechet_run_sparse alone: ways that look at the entries
                      only, where there is one, in place of those that look at every candidate */
    const char
        *method; /* NULL or "auto": the planner chooses; else a `name` of whet_frechet_plan, to take
                           whether or not it is quickest. All give the same results */
    /* sparse: about how many will come in all, for the planner; 0: not known, few */
    int64_t entries;
} whet_frechet_opts;
#define WHET_FRECHET_OPTS_INIT \
    { .struct_size = sizeof(whet_frechet_opts), .power = 2, .top = 1 }

/* For each row of probs, the candidates of least cost.
 * observed  [k]       point index of each column, distinct
 * probs     [rows, k] f64, >= 0, finite, each row's sum > 0 (scale is irrelevant)
 * best      [rows, top] point indices by increasing cost, ties (relative 1e-9) by lowest index
 * cost      [rows, top] F / sum of the row                      (may be NULL)
 * ties      [rows]    how many candidates share the least cost  (may be NULL)
 * margin    [rows]    next distinct cost minus the least, same scale; infinity when all tie (NULL
 * ok) Errors: ARG, DATA (row with NaN, a negative or no mass, with its index), NOMEM, CANCELLED.
 * Cost per row: trees O(N), Euclidean embeddings O((k + N) dim), tables O(k N). Deterministic.
 * Costs are precise to about 1e-12 relatively, also where they are nearly 0. */
WHET_API WHET_CHECKED whet_status whet_frechet_predict(whet_ctx *ctx, const whet_space *space,
                                                       const int64_t *observed, int64_t k,
                                                       const double *probs, int64_t rows,
                                                       const whet_frechet_opts *opts, int64_t *best,
                                                       double *cost, int32_t *ties, double *margin);

/* The same in two steps, for rows that come block by block: what depends on the space, the observed
 * classes and the candidates is prepared once. The space must outlive it. Read-only: may be shared.
 * LIMIT when that and the threads need more memory than can be had: known before it is made. ARG names the
 * methods that serve when opts->method does not. */
typedef struct whet_frechet whet_frechet;
WHET_API WHET_CHECKED whet_status whet_frechet_create(whet_ctx *ctx, const whet_space *space,
                                                      const int64_t *observed, int64_t k,
                                                      const whet_frechet_opts *opts,
                                                      whet_frechet **out);
WHET_API void whet_frechet_destroy(whet_ctx *ctx, whet_frechet *frechet);
/* How many candidates there are, and how many best ones a run gives per row. */
WHET_API int64_t whet_frechet_candidates(const whet_frechet *frechet);
WHET_API int32_t whet_frechet_top(const whet_frechet *frechet);
WHET_API WHET_CHECKED whet_status whet_frechet_run(whet_ctx *ctx, const whet_frechet *frechet,
                                                   const double *probs, int64_t rows, int64_t *best,
                                                   double *cost, int32_t *ties, double *margin);

/* Rows of which only some classes have a probability: those of row i are entries first[i] to
 * first[i + 1] - 1 of column, an index into the observed classes, and p. A view. */
typedef struct whet_sparse_rows {
    const int64_t *first;  /* [rows + 1] ascending */
    const int32_t *column; /* each once a row */
    const double *p;       /* >= 0, finite; each row has some mass */
    int64_t rows;
} whet_sparse_rows;

/* As whet_frechet_run. Trees of which all nodes are candidates, prepared with `sparse`: O(m log m + m
 * log N) a row of m entries, whatever N. Large trees of which some are: O(m log N) for each node, of
 * the subtree that the entries span and of the paths to the candidates told, that costs no more than
 * they do. Large graphs: no table of over 512 MiB is made (but where opts->entries says that
 * it saves searches, and memory allows), but the graph is searched from the row's
 * classes, no farther than matters. Else rows are filled up with zeros, some at a time. */
WHET_API WHET_CHECKED whet_status whet_frechet_run_sparse(whet_ctx *ctx,
                                                          const whet_frechet *frechet,
                                                          const whet_sparse_rows *rows,
                                                          int64_t *best, double *cost,
                                                          int32_t *ties, double *margin);
/* What was chosen for a plan, and what it takes. Texts are static. */
typedef struct whet_frechet_plan {
    const char *method;  /* "tree pass", "tree by entries", "distance table", "table by entries",
                           "searches by entries" (graphs whose table would be over 512 MiB),
                           "nearest to the mean", "sums along the axes" (grids) or "argmax"; large
                           tables and means: "... in f32, the least in f64", same results */
    const char *why;     /* a clause: "the space is a tree" */
    const char *cost;    /* of a row, in N candidates, K observed classes, m entries */
    size_t plan_bytes;   /* held by the plan */
    size_t thread_bytes; /* for each thread while rows run; by entries: for rows of a few hundred */
    const char
        *name; /* as whet_frechet_opts.method has it: "tree-pass", "tree-entries", "tree-gates",
                         "argmax", "nearest-mean", "nearest-mean-f32", "grid-sums", "table", "table-f32",
                         "table-entries", "hop-searches", "length-searches" */
} whet_frechet_plan;
WHET_API whet_frechet_plan whet_frechet_explain(const whet_frechet *frechet);

/* ---- which points can be predicted: the locus ------------------------------------------------- */

/* How a candidate can be reached by the Frechet mean (power 2) over all probabilities p on the
 * observed points; each holds where the next one does. */
typedef enum whet_reach {
    WHET_REACH_NEVER = 0, /* of least cost for no p */
    WHET_REACH_TIED, /* weak: of least cost for some p, but never predicted, for a lower point is
                             always of least cost too */
    WHET_REACH_PREDICTED, /* operational: predicted for some p by the rule that of tied candidates the
                             lowest point wins, but never alone */
    WHET_REACH_ALONE,     /* strong: the only candidate of least cost for some p */
    WHET_REACH_UNDECIDED, /* too near to a border for the arithmetic, 1e-8 of its cost there */
    WHET_REACHES
} whet_reach;

typedef enum whet_reach_reason {
    WHET_REASON_OBSERVED = 0,
    WHET_REASON_BETWEEN,     /* trees: on a path between observed points */
    WHET_REASON_BRANCH,      /* trees: `other`, where it hangs off those paths, is always nearer */
    WHET_REASON_FARTHER,     /* trees: farther from where it hangs off than `other` is */
    WHET_REASON_TWIN,        /* as far from every observed point as `other`, which comes first */
    WHET_REASON_ULTRAMETRIC, /* the observed and the candidates are equally deep leaves: none but the
                                observed can be reached */
    WHET_REASON_MIXTURE, /* found, or excluded, over all p: by a linear programme, three observed points
                                by the convex hull of the costs */
    WHET_REASON_ENVELOPE /* two observed points: on, or above, the lower envelope of the costs */
} whet_reach_reason;

typedef struct whet_locus_class {
    int64_t point;
    whet_reach reach;
    whet_reach_reason reason;
    int64_t other; /* the point that the reason names, or -1 */
} whet_locus_class;

typedef struct whet_locus {
    int64_t n;                   /* candidates */
    whet_locus_class *classes;   /* [n] by ascending point */
    int64_t count[WHET_REACHES]; /* candidates of each reach */
    int64_t programmes;          /* linear programmes that were solved */
} whet_locus;

/* The reach of every candidate. observed [k] distinct points, k >= 1; of opts only the candidates
 * count. Trees with all nodes as candidates: the subtree that the observed span, exactly, O(N). Other
 * sets on trees: that, ultrametric sets, the nearest candidates of each branch, and linear programmes
 * for what is left. Two observed points: the lower envelope, O(N log N). Three: the convex hull of the
 * points of three squared distances, as a rule O(N log N); without rounding where these are integers
 * below 2^40 in some power of two, else for what is clear of it. Everything else: one linear
 * programme for each candidate that sampling does not find, its rows made as they are needed, its
 * answer checked from both sides in f64. Errors: ARG, NOMEM, CANCELLED, NUMERIC.
 * Source: Loki (arXiv 2307.12226), locus; docs/guide/label-spaces.md has the proofs. */
WHET_API WHET_CHECKED whet_status whet_locus_find(whet_ctx *ctx, const whet_space *space,
                                                  const int64_t *observed, int64_t k,
                                                  const whet_frechet_opts *opts, whet_locus *out);
WHET_API void whet_locus_free(whet_ctx *ctx, whet_locus *locus);

/* Which points to label next. */
typedef enum whet_next_rule {
    WHET_NEXT_TREE =
        0, /* trees, all nodes candidates: the farthest from the locus. The greedy sequence
                           is optimal for every budget in the length (or nodes) that the locus spans */
    WHET_NEXT_FARTHEST /* elsewhere: the candidate farthest from the observed ones, a heuristic; it
                           covers with at most twice the least possible radius (Gonzalez 1985) */
} whet_next_rule;

typedef struct whet_next_class {
    int64_t point;
    double gain; /* trees: length (or nodes) added to the locus; elsewhere: distance to the nearest
                      point observed or chosen before */
    int64_t locus; /* trees: nodes in the locus with it; elsewhere -1 */
} whet_next_class;

/* At most `count` points, best first: *n written, next [count]. by_nodes: trees count the nodes that
 * are added instead of the length of edges. k = 0: the first two are the ends of a longest path of a
 * tree; elsewhere the first candidate and what is farthest from it. Ties: lowest point. Trees with all
 * nodes candidates O(N log N); else count searches of the space, and of opts the candidates count.
 * Errors: ARG, NOMEM, CANCELLED. */
WHET_API WHET_CHECKED whet_status whet_next_classes(whet_ctx *ctx, const whet_space *space,
                                                    const int64_t *observed, int64_t k,
                                                    const whet_frechet_opts *opts, bool by_nodes,
                                                    int64_t count, whet_next_class *next,
                                                    int64_t *n, whet_next_rule *rule);

/* A set of points whose locus is everything. */
typedef enum whet_cover_proof {
    WHET_COVER_LEAVES = 0, /* trees: the leaves, least possible */
    WHET_COVER_CORNERS, /* L1 grids: two opposite corners; every cell is in some tie, least possible */
    WHET_COVER_ALL,     /* no two points are nearer than others: all of them, least possible */
    WHET_COVER_GREEDY /* pairs of points reach everything; not proved least */
} whet_cover_proof;

/* points [N] room for all; *n written: how many. *least: a number that no cover goes below.
 * Trees O(N), grids and discrete spaces at once; elsewhere greedy over the loci of pairs, at most
 * WHET_COVER_MOST points (LIMIT). In the weak sense, over all points as candidates. */
#define WHET_COVER_MOST 300
WHET_API WHET_CHECKED whet_status whet_locus_cover(whet_ctx *ctx, const whet_space *space,
                                                   int64_t *points, int64_t *n, int64_t *least,
                                                   whet_cover_proof *proof);

/* The whole job of `whet locus`. */
typedef struct whet_locus_job {
    size_t struct_size;
    const char *space;    /* SPACE */
    const char *observed; /* class list; NULL = none yet: no locus, only next classes and a cover */
    const char *candidates; /* "all" (default), "observed", "leaves", or a class list */
    const char *output;     /* table to write, or NULL: class, observed, reach, reason, other */
    int64_t next;           /* classes to label next; 0 = not asked */
    bool by_nodes;          /* next: count nodes of a tree, not lengths */
    bool cover;
    bool force;
} whet_locus_job;
#define WHET_LOCUS_JOB_INIT \
    { .struct_size = sizeof(whet_locus_job) }

typedef struct whet_locus_report {
    whet_space *space;
    int64_t observed;
    whet_locus locus; /* n = 0 without observed classes */
    whet_next_class *next;
    int64_t n_next;
    whet_next_rule next_rule;
    int64_t *cover, n_cover, cover_least;
    whet_cover_proof cover_proof;
} whet_locus_report;
/* Errors: those of the parts; nothing is left at `output` on failure. Released by
 * whet_locus_report_free. */
WHET_API WHET_CHECKED whet_status whet_locus_run(whet_ctx *ctx, const whet_locus_job *job,
                                                 whet_locus_report *report);
WHET_API void whet_locus_report_free(whet_ctx *ctx, whet_locus_report *report);
/* "alone", "predicted", "tied", "never", "undecided"; "between", "branch", .. Static. */
WHET_API const char *whet_reach_name(whet_reach reach);
WHET_API const char *whet_reach_reason_name(whet_reach_reason reason);

/* Candidates as a user gives them: "all", "observed", "leaves", or a file of names; text NULL = all.
 * Sets the candidates of *opts; *points is their list (NULL unless a file is read), which the caller
 * frees with whet_free_points after the options' last use. Errors: as whet_space_find_all. */
WHET_API WHET_CHECKED whet_status whet_candidates_read(whet_ctx *ctx, const whet_space *space,
                                                       const char *text, whet_frechet_opts *opts,
                                                       int64_t **points);
WHET_API void whet_free_points(whet_ctx *ctx, int64_t *points);

/* ---- probabilities and labels from files ----------------------------------------------------- */

/* Probabilities of rows over observed classes, as a file gives them. Reading rows moves on in the file:
 * not to be shared. */
typedef struct whet_posteriors whet_posteriors;

/* Dense: an array [rows, k] as whet_array_read takes it, any dtype, with `classes`, a class list of
 * k names in the order of the columns. Sparse (.tsv .csv .jsonl .txt): a table with columns row
 * (0-based), class and p, and classes NULL; its classes are those that it names, in the order in
 * which they appear, its rows those that it names, ascending, the classes it leaves out of a row 0.
 * Or compressed rows: an .npz as scipy.sparse.save_npz writes CSR, with `classes`. A dense .npy is
 * not read but mapped. Sparse rows are all checked here, and read again as they are asked for: memory does
 * not grow with them, but for tables whose rows do not stand in ascending order.
 * Errors: IO, FORMAT, SHAPE, ARG (classes missing, or given for a table), DATA (p impossible, a
 * class twice in a row, sparse rows without mass), NOMEM. */
WHET_API WHET_CHECKED whet_status whet_posteriors_read(whet_ctx *ctx, const char *probs,
                                                       const char *classes, whet_posteriors **out);
WHET_API void whet_posteriors_destroy(whet_ctx *ctx, whet_posteriors *posteriors);
WHET_API int64_t whet_posteriors_rows(const whet_posteriors *posteriors);
WHET_API const whet_names *whet_posteriors_classes(const whet_posteriors *posteriors);
/* The number that the file gives row i: i when dense. Rows of a table that leaves some out are known while
 * they are among those last asked for, and all once labels have been; -1 otherwise. */
WHET_API int64_t whet_posteriors_row(const whet_posteriors *posteriors, int64_t i);
/* Rows first..first+n-1 as f64: out [n, k]. Errors: ARG, DATA (a value that is negative or not
 * finite, a row without mass; with file, row and class), NOMEM. */
WHET_API WHET_CHECKED whet_status whet_posteriors_block(whet_ctx *ctx, whet_posteriors *posteriors,
                                                        int64_t first, int64_t n, double *out);
/* Whether rows come entry by entry, and the entries of rows first..first+n-1, a view that lives until rows
 * or labels are asked for next. Rows behind those before are read on; others from the start of the file.
 * Errors: ARG, NOMEM, IO (the file has changed). */
WHET_API bool whet_posteriors_are_sparse(const whet_posteriors *posteriors);
/* How many entries sparse rows have in all; 0 of dense ones. */
WHET_API int64_t whet_posteriors_entry_count(const whet_posteriors *posteriors);
WHET_API WHET_CHECKED whet_status whet_posteriors_entries(whet_ctx *ctx,
                                                          whet_posteriors *posteriors,
                                                          int64_t first, int64_t n,
                                                          whet_sparse_rows *out);
/* Labels of those rows as points of the space: out [rows], -1 where there is none. The file is a
 * table with columns row and label (or class), or with a column label (or class) for every row
 * (empty = none), or a plain list of one label a line, without header.
 * Errors: IO, FORMAT, SHAPE (not one label a row), DATA (an unknown label or row, a row twice). */
WHET_API WHET_CHECKED whet_status whet_posteriors_labels(whet_ctx *ctx, whet_posteriors *posteriors,
                                                         const whet_space *space, const char *path,
                                                         int64_t *out);

/* ---- around the prediction ------------------------------------------------------------------- */

/* probs [rows, k] := p^(1/t) divided by the row's sum; t > 0 and finite. Rows without mass or with
 * NaN stay as they are. t = 1 changes nothing. Errors: ARG, CANCELLED. */
WHET_API WHET_CHECKED whet_status whet_temperature_apply(whet_ctx *ctx, double *probs, int64_t rows,
                                                         int64_t k, double t);

typedef enum whet_calibration {
    WHET_CALIBRATE_DISTANCE = 0, /* mean squared distance from prediction to label */
    WHET_CALIBRATE_LOG_LOSS      /* mean -log p of the label, over rows whose label is observed */
} whet_calibration;

/* The temperature in [.05, 20] that makes the loss least on held-out labels: a grid of 25 on log t,
 * then golden section beside its best; of equal losses the t nearest to 1.
 * probs [rows, k] as for whet_frechet_run; truth [rows] points. *t and *loss (may be NULL) written.
 * Errors: DATA (no rows; log loss: no row whose label is observed), and those of whet_frechet_run.
 * Cost about 50 runs. */
WHET_API WHET_CHECKED whet_status whet_temperature_fit(whet_ctx *ctx, const whet_frechet *frechet,
                                                       const double *probs, int64_t rows,
                                                       const int64_t *truth,
                                                       whet_calibration calibration, double *t,
                                                       double *loss);

/* The point of the most probable class of each row; the first column wins ties. Pure. */
WHET_API void whet_frechet_argmax(const whet_frechet *frechet, const double *probs, int64_t rows,
                                  int64_t *best);

/* A space and which of its points were observed: [k] distinct points. A view. */
typedef struct whet_label_set {
    const whet_space *space;
    const int64_t *observed;
    int64_t k;
} whet_label_set;

/* How good the predictions of a group of rows are; means over no rows are NaN. */
typedef struct whet_space_means {
    int64_t rows;
    double mean_squared, mean_distance; /* d^2 and d from prediction to label */
    double accuracy;                    /* share of rows whose prediction is the label */
    double top_accuracy; /* share of rows whose label is among the best; NaN when not asked for */
} whet_space_means;

typedef struct whet_space_scores {
    whet_space_means all;    /* rows with a label */
    whet_space_means seen;   /* of them, those whose label is observed */
    whet_space_means unseen; /* and the others */
} whet_space_scores;
/* best, truth [rows] points; truth -1 = no label, left out. in_top [rows]: the label is among the
 * best predictions of the row; NULL = not asked for. Errors: ARG, NOMEM, CANCELLED. */
WHET_API WHET_CHECKED whet_status whet_space_score(whet_ctx *ctx, const whet_label_set *set,
                                                   const int64_t *best, const bool *in_top,
                                                   const int64_t *truth, int64_t rows,
                                                   whet_space_scores *out);

/* A mean difference and its 95 % interval. */
typedef struct whet_space_interval {
    double difference, low, high;
} whet_space_interval;
typedef struct whet_space_gain {
    whet_space_interval mean_squared, mean_distance, accuracy; /* NaN when the group has no row */
} whet_space_gain;
typedef struct whet_space_gains {
    whet_space_gain all, seen, unseen;
} whet_space_gains;
#define WHET_SPACE_RESAMPLES 1000
/* Measures of predictions a minus those of predictions b on the same rows, with percentile intervals
 * of the paired bootstrap (Efron & Tibshirani 1993): WHET_SPACE_RESAMPLES draws of rows with
 * replacement, within each group. a, b, truth [rows] points; truth -1 = left out. Deterministic for
 * a seed. Cost O(resamples x rows). Errors: ARG, NOMEM, CANCELLED. */
WHET_API WHET_CHECKED whet_status whet_space_compare(whet_ctx *ctx, const whet_label_set *set,
                                                     const int64_t *a, const int64_t *b,
                                                     const int64_t *truth, int64_t rows,
                                                     uint64_t seed, whet_space_gains *out);

/* A picture of the same, as SVG: mean squared distance to the label by how many rows have that
 * label, for both predictions, seen and unseen labels apart; and, over a tree, where the mass went:
 * shares of labels, of probability and of both predictions over the parts of the tree.
 * mass [k]: sum of the probabilities of each observed class over the rows with a label.
 * Errors: DATA (no row has a label), IO (output exists without force), NOMEM. */
typedef struct whet_space_picture {
    const int64_t *frechet, *argmax, *truth; /* [rows] points; truth -1 = left out */
    int64_t rows;
    const double *mass;
} whet_space_picture;
WHET_API WHET_CHECKED whet_status whet_space_draw(whet_ctx *ctx, const whet_label_set *set,
                                                  const whet_space_picture *picture,
                                                  const char *path, bool force);

/* ---- the whole job: whet predict ------------------------------------------------------------- */

typedef struct whet_predict_job {
    size_t struct_size;
    const char *probs, *classes; /* as whet_posteriors_read */
    const char *space;           /* SPACE */
    const char *output;          /* table to write; "-" is standard output */
    const char *candidates;      /* "all" (default), "observed", "leaves", or a class list */
    const char *calibrate;       /* NULL, or labels on which the temperature is chosen */
    const char *truth;           /* NULL, or labels that measure the predictions */
    const char *plot;            /* NULL, or an SVG to draw of the measures; with truth */
    double temperature;          /* default 1; other than 1 only without `calibrate` */
    whet_calibration calibration;
    int32_t power, top;
    bool force;         /* replace an existing output */
    uint64_t seed;      /* of the bootstrap */
    bool explain;       /* read, prepare and report the plan; predict and write nothing */
    const char *method; /* as whet_frechet_opts */
} whet_predict_job;
#define WHET_PREDICT_JOB_INIT \
    { .struct_size = sizeof(whet_predict_job), .temperature = 1, .power = 2, .top = 1 }

typedef struct whet_predict_report {
    int64_t rows, classes, points, candidates;
    int64_t unobserved; /* rows predicted as a class that is not observed */
    int32_t top;
    double temperature;
    int64_t calibration_rows; /* 0 = not calibrated */
    double calibration_loss;
    bool measured; /* what follows is of `truth` */
    whet_space_scores frechet, argmax;
    whet_space_gains gains; /* Frechet mean less argmax */
    whet_frechet_plan plan;
    size_t bytes; /* with explain: all memory held when rows could begin */
} whet_predict_report;

/* Reads, calibrates, predicts block by block, writes a table with the columns row, class, cost,
 * ties, margin (then class_2, cost_2, .. class_T, cost_T for top T), and measures. cost is F over
 * the mass of the row, margin the distance to the next distinct cost ("inf" when all candidates
 * tie); both print with 17 digits. Memory: the posteriors, blocks, and with truth some 100 bytes a row.
 * Errors: those of the parts; nothing is left at `output` on failure. */
WHET_API WHET_CHECKED whet_status whet_predict(whet_ctx *ctx, const whet_predict_job *job,
                                               whet_predict_report *report);

#ifdef __cplusplus
}
#endif
#endif
