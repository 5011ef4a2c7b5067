/* SPDX-License-Identifier: Apache-2.0
 * votes: what labelling rules say about rows, and label models, which turn it into probabilities.
 *
 * Shapes: n rows, m rules, k classes. A vote is -1 (the rule abstains) or a class 0..k-1.
 * A covered row has at least one vote. Same results, bit for bit, at any number of threads. */
#ifndef WHET_VOTES_H
#define WHET_VOTES_H

#include "whet/core.h"
#include "whet/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- votes ----------------------------------------------------------------------------------- */

/* A view that owns nothing, in one of three forms, the others NULL. */
typedef struct whet_votes {
    int64_t n, m, k;      /* n >= 0, m >= 1, k >= 2, m k < 2^31 */
    const int8_t *narrow; /* [n, m] row by row */
    const int32_t *wide;  /* [n, m] row by row */
    const int64_t *start; /* [n + 1]; votes of row i are start[i] .. start[i + 1] - 1 of ... */
    const int32_t *rule;  /* [start[n]] rules, rising within a row */
    const int32_t *vote;  /* [start[n]] 0..k-1 */
} whet_votes;

/* Sizes, and every vote. Errors: ARG (sizes, no form or several), DATA naming row and rule of a vote
 * that is out of range, CANCELLED. O(n m), or O(votes). The calls below check by themselves. */
WHET_API WHET_CHECKED whet_status whet_votes_check(whet_ctx *ctx, const whet_votes *votes);

/* ---- votes in files --------------------------------------------------------------------------- */

/* Votes that a file holds, owned. Read-only: may be shared. */
typedef struct whet_vote_file whet_vote_file;

typedef struct whet_votes_read_opts {
    size_t struct_size;
    int64_t rows, rules; /* expected; 0 = as many as the file says. Of triples, which do not tell of
                            rows without votes, the numbers there are */
    int64_t classes;     /* 0 = the largest vote and one, at least 2 */
} whet_votes_read_opts;
#define WHET_VOTES_READ_OPTS_INIT \
    { .struct_size = sizeof(whet_votes_read_opts) }

/* spec: an array [n, m] of int8, int16, int32 or int64 as whet_array_read takes it; or a table (.tsv,
 * .csv, .jsonl) of triples with the columns row, rule, vote, numbers from 0, in any order (a vote
 * of -1 is none). Memory: n m bytes (4 n m but for int8); 8 bytes a row and a vote. Errors: as
 * reading and whet_votes_check; SHAPE, DATA with line or index. O(bytes). */
WHET_API WHET_CHECKED whet_status whet_votes_read(whet_ctx *ctx, const char *spec,
                                                  const whet_votes_read_opts *opts,
                                                  whet_vote_file **out);
WHET_API void whet_vote_file_destroy(whet_ctx *ctx, whet_vote_file *file);
WHET_API const whet_votes *whet_vote_file_votes(const whet_vote_file *file);
/* More classes than the votes show: k is raised, never lowered. */
WHET_API void whet_vote_file_set_classes(whet_vote_file *file, int64_t k);
/* .npy as int8, int32 with more than 128 classes; .tsv as triples, which forget m and rows without
 * votes at the end. Errors: ARG (another name), IO, EXISTS. */
WHET_API WHET_CHECKED whet_status whet_votes_write(whet_ctx *ctx, const char *path, bool force,
                                                   const whet_votes *votes);

/* Labels of n rows as classes, -1 = none: an integer array [n]; or a table with row and label, or a
 * line for every row and a column label with empty cells. Labels in tables are numbers 0..k-1, or
 * names when classes [k] is not NULL. *out is released by whet_free_labels.
 * Errors: as reading; SHAPE, DATA with line or index. */
WHET_API WHET_CHECKED whet_status whet_class_labels_read(whet_ctx *ctx, const char *spec, int64_t n,
                                                         const whet_names *classes, int64_t k,
                                                         int32_t **out);
WHET_API void whet_free_labels(whet_ctx *ctx, int32_t *labels);

/* ---- counts of pairs: all that moment methods need to know of the rows ------------------------ */

/* Rows seen, and for every two (rule, class) how many rows had both votes: exact integers, so that
 * shards can be counted apart, in any order, and added. With them, for each rule, on how many rows
 * the majority of the others judges its vote, and for right. Memory 8 (m k)^2 bytes. */
typedef struct whet_vote_counts whet_vote_counts;

/* All zero. Errors: ARG, LIMIT, NOMEM. */
WHET_API WHET_CHECKED whet_status whet_vote_counts_create(whet_ctx *ctx, int64_t m, int64_t k,
                                                          whet_vote_counts **out);
WHET_API void whet_vote_counts_destroy(whet_ctx *ctx, whet_vote_counts *counts);
/* Adds the rows of votes, whose m and k must be those of the counts. Errors: as whet_votes_check;
 * CANCELLED leaves the counts as they were. O(n m + n (m k)^2 / 64) bit operations, or for k > 16
 * O(votes of a row squared) a row. */
WHET_API WHET_CHECKED whet_status whet_vote_counts_add(whet_ctx *ctx, whet_vote_counts *counts,
                                                       const whet_votes *votes);
/* Adds those of another shard, of the same m and k. Errors: ARG; LIMIT (2^63 rows). */
WHET_API WHET_CHECKED whet_status whet_vote_counts_merge(whet_ctx *ctx, whet_vote_counts *counts,
                                                         const whet_vote_counts *other);
/* As .npz (docs/formats/votes.md), which NumPy reads, too. Errors: IO, EXISTS, NOMEM. */
WHET_API WHET_CHECKED whet_status whet_vote_counts_save(whet_ctx *ctx,
                                                        const whet_vote_counts *counts,
                                                        const char *path, bool force);
/* Errors: IO, FORMAT, SHAPE; DATA for counts that no rows could have; LIMIT, NOMEM. */
WHET_API WHET_CHECKED whet_status whet_vote_counts_load(whet_ctx *ctx, const char *path,
                                                        whet_vote_counts **out);
WHET_API int64_t whet_vote_counts_rows(const whet_vote_counts *counts);
WHET_API void whet_vote_counts_size(const whet_vote_counts *counts, int64_t *m, int64_t *k);
/* Rows on which rule a voted v and rule b voted w; with a = b, v = w: on which rule a voted v. */
WHET_API int64_t whet_vote_counts_of(const whet_vote_counts *counts, int64_t a, int32_t v,
                                     int64_t b, int32_t w);

/* both, agree [m, m]: rows on which two rules vote, and vote alike; both[j, j] is a rule's votes. */
WHET_API void whet_vote_counts_agreement(const whet_vote_counts *counts, int64_t *both,
                                         int64_t *agree);

/* ---- what rules do ---------------------------------------------------------------------------- */

typedef struct whet_rule_summary {
    int64_t votes;              /* rows it votes on; over n: its coverage */
    int64_t overlaps;           /* of them, those where another rule votes, too */
    int64_t conflicts;          /* of them, those where another rule votes otherwise */
    int64_t correct, incorrect; /* on rows of known class */
    double accuracy, accuracy_low, accuracy_high; /* correct over both, 0 without; Wilson 95 % */
    int64_t
        copy_of; /* the first rule that has the same vote on every row, by a 64-bit hash; -1 = none, and
                        for rules that never vote */
} whet_rule_summary;

typedef struct whet_votes_totals {
    int64_t rows, covered, overlapping, conflicting; /* rows with 1, 2, 2 different votes */
    int64_t labelled;                                /* rows of known class */
} whet_votes_totals;

/* truth [n], -1 = not known, or NULL. rules [m]; vote_counts [m, k] votes of each rule for each class
 * (those that are not 0 are its polarity). Errors: as whet_votes_check, DATA (truth). O(n m). */
WHET_API WHET_CHECKED whet_status whet_votes_summary(whet_ctx *ctx, const whet_votes *votes,
                                                     const int32_t *truth, whet_rule_summary *rules,
                                                     int64_t *vote_counts,
                                                     whet_votes_totals *totals);
/* counts [m, k + 1, k]: rows of true class c on which rule j abstained (first) or voted v - 1. */
WHET_API WHET_CHECKED whet_status whet_votes_confusion(whet_ctx *ctx, const whet_votes *votes,
                                                       const int32_t *truth, int64_t *counts);
/* Rows of known class on which a rule votes otherwise, rising: the first `most`, and how many there
 * are. Errors: as above, ARG. */
WHET_API WHET_CHECKED whet_status whet_votes_wrong_rows(whet_ctx *ctx, const whet_votes *votes,
                                                        const int32_t *truth, int64_t rule,
                                                        int64_t most, int64_t *rows,
                                                        int64_t *count);

/* ---- label models ---------------------------------------------------------------------------- */

typedef enum whet_label_method {
    WHET_LABEL_MAJORITY = 0, /* classes with the most votes share the probability */
    WHET_LABEL_WEIGHTED,     /* log odds of each rule's accuracy, and the balance */
    WHET_LABEL_SNORKEL,      /* completes the matrix of moments (MeTaL, arXiv 1810.02840) */
    WHET_LABEL_FLYINGSQUID,  /* moments of triplets, closed form (arXiv 2002.11955) */
    WHET_LABEL_DAWID_SKENE,  /* EM over confusion matrices with an abstain symbol (1979) */
    WHET_LABEL_ONE_COIN,     /* EM over one accuracy a rule, coverage by class */
    WHET_LABEL_IBCC          /* variational Bayes over confusion matrices (2012) */
} whet_label_method;
/* The name as on the command line ("dawid-skene"); NULL beyond the last. Pure. */
WHET_API const char *whet_label_method_name(whet_label_method method);
/* false when there is no method of that name. Pure. */
WHET_API bool whet_label_method_find(const char *name, whet_label_method *out);

typedef struct whet_label_model_opts {
    size_t struct_size;
    whet_label_method method;
    const double *balance;  /* [k] prior of the classes, > 0, any scale. NULL: from the labels,
                              (count + 1) / (labels + k), and without labels 1 / k */
    const int32_t *labels;  /* [n] class or -1 = none; NULL = none at all */
    const double *accuracy; /* [m] of the rules where they vote, 0..1. weighted: instead of the
                              labels, or of the agreement with the other rules' majority;
                              snorkel: where it starts (else .7) */
    bool compat;            /* the peer's behaviour where we differ: see docs/guide/label.md */
    bool share;             /* majority: votes' shares instead of the top classes alone */
    int64_t epochs;         /* snorkel: steps of the reference optimiser, 1..; default 500 */
    double step;            /* snorkel: its rate, > 0; default .01 */
    double start;           /* snorkel: the scale of its start, (0, 1]; the default .69646918... is
                              what the package draws for seed 123 */
    double l2;              /* snorkel: pull to the start, >= 0; default 0 */
    bool fast;              /* snorkel: go on from there to an optimum, by L-BFGS */
    bool median;            /* flyingsquid: of the triplets, instead of their mean */
    /* dawid-skene, one-coin, ibcc: */
    bool learn_balance;   /* learn it whatever is given; without it, the balance stays where it is
                             given or labels say it, and is learned where nothing does */
    bool keep_uncovered;  /* rows without votes take part, and what rules abstain on is evidence of
                             their class, too; else they get the balance */
    bool ignore_abstains; /* abstaining says nothing */
    bool no_joining;      /* neither join equal rows nor keep lists of votes up to 256 MB: slower,
                               the same answers to 1e-12 */
    double smoothing;     /* counts before the first row, >= 0, not for ibcc; default .01 */
    double tolerance;   /* stop at this relative change of the log likelihood, >= 0; default 1e-8 */
    int64_t most_steps; /* 1..; default 1000 */
} whet_label_model_opts;
#define WHET_LABEL_MODEL_OPTS_INIT \
    { \
        .struct_size = sizeof(whet_label_model_opts), .epochs = 500, .step = .01, \
        .start = 0.6964691855978616, .smoothing = .01, .tolerance = 1e-8, .most_steps = 1000 \
    }

/* A fitted model. Read-only: may be shared. */
typedef struct whet_label_model whet_label_model;

/* What a model knows of itself; pointers live as long as it. */
typedef struct whet_label_model_info {
    whet_label_method method; /* in use: not the one asked for where that needs more rules */
    int64_t m, k, rows;       /* rows it was fitted to */
    int64_t steps;            /* of its optimiser; 0 = closed form */
    double loss;              /* at the end; NaN without one */
    const double *balance;    /* [k] sums to 1 */
    const double *accuracy;   /* [m] estimated share of right votes among a rule's votes */
    const double *coverage;   /* [m] share of rows it votes on */
    const char *note;         /* a stated fallback, or "" */
} whet_label_model_info;

/* Fits to votes. Rules that never vote change nothing. Labelled rows: their counts make the balance;
 * dawid-skene, one-coin and ibcc keep them at their class (semi-supervised EM), weighted counts
 * accuracies on them. With fewer than 3 rules that vote, all but majority fall back to weighted (the EM
 * models where there are no labels), with a warning and in info.note. Errors: as whet_votes_check; ARG
 * (options); DATA (labels or balance out of range); NUMERIC (a fit that diverges, with what to try);
 * NOMEM, LIMIT, CANCELLED.
 * Cost: majority and weighted O(n m); snorkel one pass for the counts, then O((m k)^2 k) an epoch
 * whatever n; flyingsquid the counts, then O(m^3) for each class; the others O(votes k) a step, over
 * distinct rows only where many repeat. */
WHET_API WHET_CHECKED whet_status whet_label_model_fit(whet_ctx *ctx, const whet_votes *votes,
                                                       const whet_label_model_opts *opts,
                                                       whet_label_model **out);
/* The same from counts alone (opts->labels must be NULL): majority, weighted, snorkel, flyingsquid;
 * others are ARG. The model that the rows give, bit for bit. Add counts and fit again as rows arrive. */
WHET_API WHET_CHECKED whet_status whet_label_model_fit_counts(whet_ctx *ctx,
                                                              const whet_vote_counts *counts,
                                                              const whet_label_model_opts *opts,
                                                              whet_label_model **out);
WHET_API void whet_label_model_destroy(whet_ctx *ctx, whet_label_model *model);
WHET_API void whet_label_model_get_info(const whet_label_model *model, whet_label_model_info *out);
/* What the rules of a model are called, which whet_label_model_save then writes: a copy is kept. Errors:
 * SHAPE (not m names), NOMEM. */
WHET_API WHET_CHECKED whet_status whet_label_model_name_rules(whet_ctx *ctx,
                                                              whet_label_model *model,
                                                              const whet_names *rules);
/* [m], the model's own; NULL: not known. */
WHET_API const whet_names *whet_label_model_rules(const whet_label_model *model);
/* The model for votes whose columns are these rules, in this order. Errors: SHAPE (not m names), DATA (a
 * rule that the model does not know; a model without names), NOMEM; the model is then as it was. O(m k^2). */
WHET_API WHET_CHECKED whet_status whet_label_model_match_rules(whet_ctx *ctx,
                                                               whet_label_model *model,
                                                               const whet_names *columns);
/* As JSON (docs/formats/label-model.md), with all digits; classes: their names [k], or NULL. Errors: ARG,
 * IO, EXISTS, NOMEM; LIMIT where m k^2 is over 2^23. */
WHET_API WHET_CHECKED whet_status whet_label_model_save(whet_ctx *ctx,
                                                        const whet_label_model *model,
                                                        const whet_names *classes, const char *path,
                                                        bool force);
/* The model that was saved: its predictions are the same, bit for bit. *classes: its names, destroyed by
 * the caller, NULL when the file has none; or classes is NULL. Errors: IO, FORMAT, LIMIT, NOMEM. */
WHET_API WHET_CHECKED whet_status whet_label_model_load(whet_ctx *ctx, const char *path,
                                                        whet_label_model **out,
                                                        whet_names **classes);
/* probs [n, k]; m and k of votes must be the model's. A row without votes gets the balance (from
 * majority 1 / k). Errors: as whet_votes_check, ARG. O(votes k). */
WHET_API WHET_CHECKED whet_status whet_label_model_predict(whet_ctx *ctx,
                                                           const whet_label_model *model,
                                                           const whet_votes *votes, double *probs);

/* scores [m + 1, k]: what is added to the score of each class by the balance (first) and by each rule: by its
 * vote or, where the model takes it for evidence, by abstaining (of a model that was loaded the first row has
 * what all rules' abstaining gives); of a row without votes, to which that says nothing, the balance alone.
 * vote [m], -1 = abstains. probs [k], as predicted. top [2]: the classes with the best and the next score.
 * The difference of two columns is the log odds; of majority it is votes, of flyingsquid with more than two
 * classes the difference of the log odds of each class against the rest. Errors: ARG. O(m k). */
WHET_API WHET_CHECKED whet_status whet_label_model_explain(whet_ctx *ctx,
                                                           const whet_label_model *model,
                                                           const whet_votes *votes, int64_t row,
                                                           double *scores, int32_t *vote,
                                                           double *probs, int64_t *top);

/* Two rules that vote together, or agree, more often than independent rules of their accuracies. */
typedef struct whet_rule_dependence {
    int64_t a, b;
    int64_t both, agree;                  /* rows on which both vote, and vote alike */
    double agreement, expected_agreement; /* agree over both; and what the model expects */
    double expected_both;
    double agreement_z, both_z; /* excess in standard errors */
    bool copy;                  /* the two vote alike on every row, on 10 or more */
} whet_rule_dependence;
/* By a model with P(vote | class): any but majority and weighted. Medians of triplets (flyingsquid) do
 * not bend to the dependence itself, EM does: it takes two copies for the truth. Pairs with 5 standard
 * errors and .05 in agreement, or 1.2 times the rows in common, and copies; the strongest first, `most`
 * of them; *count is all. Errors: ARG, NOMEM. O((m k)^2). */
WHET_API WHET_CHECKED whet_status whet_rule_dependences(whet_ctx *ctx,
                                                        const whet_label_model *model,
                                                        const whet_vote_counts *counts,
                                                        int64_t most, whet_rule_dependence *out,
                                                        int64_t *count);

/* ---- which model: cross-fitted on labels ------------------------------------------------------ */

#define WHET_LABEL_METHODS 7
typedef struct whet_label_score {
    whet_label_method method, used;               /* what it fell back to, else the same */
    int64_t n, covered;                           /* labelled rows; those that have votes */
    double accuracy, accuracy_low, accuracy_high; /* over all of them, no vote counted as wrong, a
                                                     tie of t classes as 1 / t; Wilson 95 % */
    double covered_accuracy;                      /* over those with votes; NaN without */
    double log_loss;                              /* mean -ln p(label) over all, p at least 1e-6 */
    bool
        failed; /* it diverged on a fold: accuracies and log loss are NaN, and it is never the best */
} whet_label_score;

/* Every method fitted `folds` times, each time without the labels that it is then judged by (of
 * opts->labels, at least 2 of them); votes of those rows stay. scores [WHET_LABEL_METHODS] in the
 * order of the methods; *best: the most accurate, of equals the one with the least log loss, then
 * the first: so never one that is worse than majority. Errors: DATA (no labels), ARG, and as
 * fitting. Cost: `folds` fits of each method; counts of pairs are made once. */
WHET_API WHET_CHECKED whet_status whet_label_models_compare(whet_ctx *ctx, const whet_votes *votes,
                                                            const whet_label_model_opts *opts,
                                                            int32_t folds, uint64_t seed,
                                                            whet_label_score *scores,
                                                            whet_label_method *best);

/* ---- hard labels ------------------------------------------------------------------------------ */

/* What to do with a row whose largest probabilities are equal to within 1e-5. */
typedef enum whet_tie_policy {
    WHET_TIE_LOWEST = 0, /* the lowest class */
    WHET_TIE_ABSTAIN,    /* -1 */
    WHET_TIE_HASH /* number SHA-1(decimal row) mod ties of them, as snorkel's "random" does */
} whet_tie_policy;
/* labels [n] of probs [n, k]; row 0 is called first_row. A row without votes ties by its balance
 * like any other: leave it out where that is not wanted. Errors: ARG. O(n k). */
WHET_API WHET_CHECKED whet_status whet_hard_labels(whet_ctx *ctx, const double *probs, int64_t n,
                                                   int64_t k, whet_tie_policy policy,
                                                   int64_t first_row, int32_t *labels);

/* ---- files in, files out: `whet label fit` ---------------------------------------------------- */

typedef struct whet_label_fit_job {
    size_t struct_size;
    const char *votes;            /* as whet_votes_read; or NULL, and counts in their place */
    whet_votes_read_opts reading; /* rows, rules, classes */
    const char *labels;           /* as whet_class_labels_read, or NULL */
    const char *classes;          /* list of class names, or NULL: they are numbers */
    const char *balance; /* "p0,p1,...", or a file of numbers (text, or an array [k]); or NULL */
    whet_label_model_opts model; /* its labels and balance are the files' */
    bool choose;                 /* the best method by cross-fitting, in place of model.method */
    bool no_compare;             /* leave the cross-fitting out */
    int32_t folds;               /* 2..; default 5 */
    uint64_t seed;
    const char *probs;       /* .npy f64 [n, k] to write, or NULL */
    const char *predictions; /* .tsv with row, class, probability to write, or NULL */
    whet_tie_policy ties;    /* for predictions; with WHET_TIE_ABSTAIN rows without votes have no
                                class either */
    bool force;
    const char *save; /* the fitted model to write, .json; or NULL */
    const char
        *counts; /* as whet_vote_counts_load, in place of votes: no rows, so neither labels nor
                           choosing, nothing predicted */
    const char
        *rules; /* names of the rules, to be saved: one a line, or a file of rules (.json); NULL */
} whet_label_fit_job;
#define WHET_LABEL_FIT_JOB_INIT \
    { \
        .struct_size = sizeof(whet_label_fit_job), .reading = WHET_VOTES_READ_OPTS_INIT, \
        .model = WHET_LABEL_MODEL_OPTS_INIT, .folds = 5 \
    }

typedef struct whet_label_fit_result {
    whet_label_model *model;
    whet_names *classes;             /* NULL when there was no list */
    int64_t rows, covered, labelled; /* covered: -1 of counts, which do not tell */
    int64_t *class_votes;            /* [k] of all rules */
    int64_t *copy_of; /* [m] as in whet_rule_summary: such rules count as if they were two */
    bool compared;
    whet_label_score scores[WHET_LABEL_METHODS]; /* when compared */
    whet_label_method best;
    double majority_agreement; /* share of covered rows where the model's class is one of the
                                  majority's; NaN of counts */
} whet_label_fit_result;

/* Rows are predicted and written in blocks. Errors: as reading, fitting and writing; ARG (choose
 * without labels). All files are put in place at the end. */
WHET_API WHET_CHECKED whet_status whet_label_fit_run(whet_ctx *ctx, const whet_label_fit_job *job,
                                                     whet_label_fit_result *out);
WHET_API void whet_label_fit_result_destroy(whet_ctx *ctx, whet_label_fit_result *result);

/* ---- shards of votes to counts, a saved model to probabilities -------------------------------------- */

typedef struct whet_label_count_job {
    size_t struct_size;
    const char *const *votes; /* [n_votes] files as whet_votes_read takes them, ... */
    int64_t n_votes;
    const char *const
        *counted; /* [n_counted] ... and of counts made before; one of the two at least */
    int64_t n_counted;
    whet_votes_read_opts
        reading;        /* of each file of votes. Classes must be said where there are several
                                     files of votes and no counts */
    const char *output; /* .npz to write */
    bool force;
} whet_label_count_job;
#define WHET_LABEL_COUNT_JOB_INIT \
    { .struct_size = sizeof(whet_label_count_job), .reading = WHET_VOTES_READ_OPTS_INIT }

/* Counts what the files have together; *out is destroyed by the caller. Arrays are read block by block,
 * in 64 MB, and so are triples in order of their rows; others are held.
 * Errors: as reading, counting, writing; SHAPE (files of other sizes). */
WHET_API WHET_CHECKED whet_status whet_label_count_run(whet_ctx *ctx,
                                                       const whet_label_count_job *job,
                                                       whet_vote_counts **out);

typedef struct whet_label_predict_job {
    size_t struct_size;
    const char *model, *votes; /* as whet_label_model_load and whet_votes_read */
    int64_t rows;              /* there are, 0 = as many as the votes say */
    const char *classes;       /* list of names: those of the model, if it has names; or NULL */
    const char *probs, *predictions; /* to write, and ... */
    whet_tie_policy ties;            /* ... as in whet_label_fit_job */
    bool force;
    const char
        *rules; /* as in whet_label_fit_job: of the votes, which are matched by name; or NULL, and
                          they are the model's, in its order */
} whet_label_predict_job;
#define WHET_LABEL_PREDICT_JOB_INIT \
    { .struct_size = sizeof(whet_label_predict_job) }

typedef struct whet_label_predict_result {
    whet_label_model *model;
    whet_names *classes; /* or NULL */
    int64_t rows, covered;
} whet_label_predict_result;

/* Votes are read and rows written block by block. Errors: as reading, writing; SHAPE (other rules than
 * the model's), DATA (other classes). Both files are put in place at the end. */
WHET_API WHET_CHECKED whet_status whet_label_predict_run(whet_ctx *ctx,
                                                         const whet_label_predict_job *job,
                                                         whet_label_predict_result *out);
WHET_API void whet_label_predict_result_destroy(whet_ctx *ctx, whet_label_predict_result *result);

/* ---- files in, what rules do out: `whet label analyze` ----------------------------------------- */

typedef struct whet_label_analyze_job {
    size_t struct_size;
    const char *votes;            /* as whet_votes_read */
    whet_votes_read_opts reading; /* rows, rules, classes */
    const char *truth;            /* as whet_class_labels_read, or NULL */
    const char *classes, *rules;  /* lists of names, or NULL: numbers */
    whet_label_method method;     /* whose accuracies are learned, without the truth */
    const char *report;           /* .html to write, or NULL */
    bool force;
} whet_label_analyze_job;
#define WHET_LABEL_ANALYZE_JOB_INIT \
    { \
        .struct_size = sizeof(whet_label_analyze_job), .reading = WHET_VOTES_READ_OPTS_INIT, \
        .method = WHET_LABEL_DAWID_SKENE \
    }

#define WHET_LABEL_DEPENDENCES 100
typedef struct whet_label_analysis {
    whet_vote_file *file;
    int32_t *truth;                   /* [n] or NULL */
    whet_names *classes, *rule_names; /* NULL: numbers */
    whet_rule_summary *rules;         /* [m] */
    int64_t *vote_counts;             /* [m, k] */
    whet_votes_totals totals;
    int64_t *both, *agree;                                    /* [m, m] */
    whet_label_model *model;                                  /* learned */
    whet_rule_dependence dependences[WHET_LABEL_DEPENDENCES]; /* the strongest */
    int64_t n_dependences;                                    /* all of them */
} whet_label_analysis;

/* Errors: as reading, summing, counting and fitting. */
WHET_API WHET_CHECKED whet_status whet_label_analyze_run(whet_ctx *ctx,
                                                         const whet_label_analyze_job *job,
                                                         whet_label_analysis *out);
WHET_API void whet_label_analysis_destroy(whet_ctx *ctx, whet_label_analysis *analysis);

#ifdef __cplusplus
}
#endif
#endif
