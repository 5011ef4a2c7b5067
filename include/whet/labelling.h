/* SPDX-License-Identifier: Apache-2.0
 * labelling: labelling functions (here: rules), which vote for a class of a row or abstain; rules
 * kept in a file, applied to tables and features; rules made from features and a few labels.
 *
 * Shapes: n rows, m rules, k classes, d features. X [n, d] f32 row-major; votes [n, m] row-major,
 * -1 = the rule abstains, else a class 0..k-1. Same results, bit for bit, at any number of threads. */
#ifndef WHET_LABELLING_H
#define WHET_LABELLING_H

#include "whet/core.h"
#include "whet/io.h"
#include "whet/label.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- rules ----------------------------------------------------------------------------------- */

/* Rules over one list of classes: keywords, regular expressions and ranges of numbers on columns of a
 * table; decision trees, logistic regressions and nearest neighbours on chosen features; cosine to
 * the classes' own vectors. The file is described in docs/formats/rules.md.
 * Read-only once loaded or made: may be shared. */
typedef struct whet_rules whet_rules;

/* Errors: IO; FORMAT with the rule's place for what is malformed; UNSUPPORTED for a pattern that does
 * not compile, with the position in it; LIMIT, NOMEM. */
WHET_API WHET_CHECKED whet_status whet_rules_load(whet_ctx *ctx, const char *path,
                                                  whet_rules **out);
/* Errors: IO, EXISTS, NOMEM. */
WHET_API WHET_CHECKED whet_status whet_rules_save(whet_ctx *ctx, const whet_rules *rules,
                                                  const char *path, bool force);
WHET_API void whet_rules_destroy(whet_ctx *ctx, whet_rules *rules); /* NULL is fine */
WHET_API int64_t whet_rules_count(const whet_rules *rules);
/* The name of rule j, 0 <= j < count; distinct; NUL-terminated behind its len bytes. */
WHET_API whet_str whet_rules_name(const whet_rules *rules, int64_t j);
/* The classes in the order of the votes; at least 2. */
WHET_API const whet_names *whet_rules_classes(const whet_rules *rules);
/* Columns that features must have; 0 when no rule looks at features. */
WHET_API int64_t whet_rules_features(const whet_rules *rules);

/* ---- applying -------------------------------------------------------------------------------- */

/* What became of one rule on all rows. */
typedef struct whet_rule_report {
    int64_t votes; /* rows it voted on */
    int64_t
        faults; /* rows on which it failed and abstained: a pattern over its limit of steps, a cell
                       that is no number, a feature that is not finite */
} whet_rule_report;

typedef struct whet_rules_input {
    const float *features;   /* [n, d], any values; NULL when no rule looks at features. Numbers are
                                compared as these f32 are; whet_rules_apply_files compares what its
                                file holds */
    int64_t d;               /* whet_rules_features(rules) */
    const whet_table *table; /* of n rows; NULL when no rule looks at columns */
    int64_t n;
    int64_t match_limit; /* steps that one match may take, 1..1e9; 0 = 100,000 */
} whet_rules_input;

/* votes [n, m]; reports [m] are added to, or NULL. A rule that fails on a row abstains there.
 * Errors: ARG (missing input, a column that the table does not have), SHAPE, NOMEM, CANCELLED.
 * Cost: keywords of all rules on a column are found in one pass over its bytes (Aho & Corasick 1975);
 * the others O(1) of their kind a row. Safe on different contexts. */
WHET_API WHET_CHECKED whet_status whet_rules_apply(whet_ctx *ctx, const whet_rules *rules,
                                                   const whet_rules_input *input, int32_t *votes,
                                                   whet_rule_report *reports);

/* Rules may carry a prior of the classes and what each rule's vote for a class adds to its log odds:
 * those that whet_snuba makes do (not its reference form), and files may give them. */
WHET_API bool whet_rules_weighted(const whet_rules *rules);
/* probs [n, k]: what the rules say together, softmax over classes of ln prior_c + the log odds of the
 * votes for c; the prior where none votes. On the rows that whet_snuba had, its own posterior, bit
 * for bit. Errors: ARG when the rules carry no weights; as whet_rules_apply. Memory 4 n m bytes. */
WHET_API WHET_CHECKED whet_status whet_rules_posterior(whet_ctx *ctx, const whet_rules *rules,
                                                       const whet_rules_input *input,
                                                       double *probs);

typedef struct whet_rules_job {
    size_t struct_size;
    const char *rules; /* .json */
    const char
        *input; /* a table (.tsv .csv .jsonl), or features: .npy, .npz:key, .safetensors:name */
    const char *features; /* features beside a table, for rules of both kinds; or NULL */
    const char *votes;    /* .npy to write: [n, m] i8, or i32 with more than 127 classes */
    bool force;
    int64_t match_limit;        /* as above */
    const char *previous_rules; /* rules applied before to the same input, and ... */
    const char *previous_votes; /* ... their votes: columns of rules that have not changed are taken
                                    from there, the others are computed. Both or neither. That they
                                    are of the same rows is checked on some: DATA */
    const char *probs;          /* .npy to write: f64 [n, k], the rules' joint posterior; or NULL */
} whet_rules_job;
#define WHET_RULES_JOB_INIT \
    { .struct_size = sizeof(whet_rules_job) }

/* What whet_rules_apply_files found. Released by whet_rules_result_free. */
typedef struct whet_rules_result {
    whet_rules *rules;
    whet_rule_report *reports; /* [m]; faults of columns taken over are 0 */
    int64_t n;
    int64_t covered; /* rows with at least one vote */
    int64_t reused;  /* columns taken from the previous votes */
    /* of goggles, else NULL: [classes] how its joint mixture's components were given to them */
    whet_names *classes;
    whet_class_mapping *mapping;
} whet_rules_result;

/* Files in, votes and probabilities out; a table is read part by part, so that memory does not grow
 * with rows. Errors: as reading, whet_rules_load, whet_rules_apply and whet_rules_posterior; *out is
 * {0} on failure. */
WHET_API WHET_CHECKED whet_status whet_rules_apply_files(whet_ctx *ctx, const whet_rules_job *job,
                                                         whet_rules_result *out);
WHET_API void whet_rules_result_free(whet_ctx *ctx, whet_rules_result *result);

/* ---- rules made from features and a few labels ------------------------------------------------- */

typedef struct whet_synth_input {
    const float *features; /* [n, d], finite, d >= 1 */
    int64_t n, d;
    const whet_names *classes; /* k >= 2 */
    const int32_t *labels;     /* [n] class or -1; at least two classes must occur */
    uint64_t seed;
} whet_synth_input;

typedef enum whet_synth_form {
    WHET_SYNTH_MULTI = 0,  /* each rule tells all classes apart; with two classes: binary */
    WHET_SYNTH_ONE_VS_REST /* each rule votes for one class or abstains; Snuba's reference form: of
                              two classes as multi */
} whet_synth_form;

typedef struct whet_snuba_opts {
    size_t struct_size;
    bool reference; /* the published algorithm, its defects included: docs/guide/label-rules.md */
    whet_synth_form form;
    int32_t iterations;  /* rounds of making candidates, 1..1000; default 3 */
    int32_t cardinality; /* subsets of at most so many features, all of them: 1..64; 0 (default):
                            single features and drawn subsets of growing size; reference: 1 */
    int64_t subsets; /* subsets drawn: of each size (0: 8), or with a cardinality in all (0: every
                            one) */
    int32_t most_rules; /* 1..1000; default 40; reference: no limit but the iterations */
} whet_snuba_opts;
#define WHET_SNUBA_OPTS_INIT \
    { .struct_size = sizeof(whet_snuba_opts), .iterations = 3, .most_rules = 40 }

typedef struct whet_synth_report {
    int64_t labelled, candidates; /* labels; models looked at a round */
    int64_t rules;
    int64_t rounds; /* that were run; one-vs-rest reference: of the last class */
    int64_t vague;  /* labelled rows left for another round */
    double accuracy,
        log_loss; /* of the rules' joint posterior on labelled rows, by models and weights
                                  that had not seen the row; optimistic all the same, for the
                                  rules were chosen by these labels; NaN for the reference */
} whet_synth_report;

/* Snuba: heuristics from subsets of the features, the best committed, the next ones made for the rows
 * that those leave unclear. By default in a corrected form: votes on labelled rows are out of fold; a
 * candidate and its threshold are chosen by what they add to the likelihood of the labels, each row
 * weighed without itself, and none is added that does not (see docs/guide/label-rules.md).
 * *rules: destroyed by the caller; at least one; they carry weights (whet_rules_posterior). probs
 * [n, k]: the rules' joint posterior, or NULL.
 * report may be NULL. Errors: ARG, DATA (fewer than two classes, NaN with its row, no candidate that
 * tells classes apart), NUMERIC, NOMEM, CANCELLED. Deterministic for a seed.
 * Cost: a round fits candidates x folds small models on the labels. Source: Varma & Re 2019
 * (arXiv 1812.06176); AutoWS-Bench-101 (arXiv 2208.14362). */
WHET_API WHET_CHECKED whet_status whet_snuba(whet_ctx *ctx, const whet_synth_input *input,
                                             const whet_snuba_opts *opts, whet_rules **rules,
                                             double *probs, whet_synth_report *report);

/* ---- rules chosen by asking which are useful --------------------------------------------------- */

/* A question to a person: is this rule right more often than opts.usefulness where it votes? */
typedef struct whet_iws_question {
    int64_t number, of; /* which question this is, from 1, and how many there may be */
    const char *rule;   /* its name */
    double coverage;    /* share of rows it votes on, estimated on 256 */
    double expected;    /* how useful it is expected to be, about 0 to 1 */
    int64_t examples;   /* rows it votes on, at most 8, ... */
    const int64_t *row;
    const int32_t *vote;       /* ... and its votes */
    const whet_names *classes; /* names of what votes are for */
} whet_iws_question;
typedef enum whet_iws_answer { WHET_IWS_NO = 0, WHET_IWS_YES, WHET_IWS_STOP } whet_iws_answer;
/* STOP ends the questions; the answers so far count. */
typedef whet_iws_answer (*whet_iws_ask_fn)(void *user, const whet_iws_question *question);

typedef enum whet_iws_acquisition {
    WHET_IWS_STRADDLE = 0, /* uncertain ones near the border of usefulness: 1.96 s - |mu - r| */
    WHET_IWS_ACTIVE,       /* the most promising: mu */
    WHET_IWS_RANDOM
} whet_iws_acquisition;

typedef struct whet_iws_opts {
    size_t struct_size;
    whet_synth_form form;
    int32_t cardinality,
        seeds; /* candidates as in whet_snuba_opts; rules asked about at random before
                                   the others, 1..1000, default 4 */
    int64_t subsets;
    int32_t queries; /* asked about after them, 0..100000; default 25 */
    double
        usefulness; /* r: accuracy, classes weighing alike, from which a rule is useful, 0..1; default
                           .6 */
    int32_t most_rules; /* 1..10000; default 100: of rules expected to be useful, not asked about */
    whet_iws_acquisition acquisition;
    whet_iws_ask_fn ask; /* NULL: the labels answer */
    void *user;
    const char *answers; /* .jsonl: answers given before, by the rule's name, which are not asked
                            again; rewritten after each answer. A last line cut short is left
                            out with a warning. NULL: none are kept */
} whet_iws_opts;
#define WHET_IWS_OPTS_INIT \
    { \
        .struct_size = sizeof(whet_iws_opts), .seeds = 4, .queries = 25, .usefulness = .6, \
        .most_rules = 100 \
    }

/* Interactive weak supervision: learns from few answers which of many candidates are useful, and takes
 * those that were called useful and those it expects to be and the labels do not contradict, best first
 * by (2 mu - 1) coverage. Answers
 * of the labels are out of fold, as are the margins in which candidates abstain. The expectation is a
 * Bayesian linear regression on how candidates vote, in closed form (docs/guide/label-rules.md).
 * When nothing is useful the rule with the best accuracy on the labels is given, with a warning.
 * report: rounds are the answers; accuracy and log_loss NaN. Otherwise as whet_snuba.
 * Source: Boecking et al. 2021 (arXiv 2012.06046); straddle: Bryan et al. 2005. */
WHET_API WHET_CHECKED whet_status whet_iws(whet_ctx *ctx, const whet_synth_input *input,
                                           const whet_iws_opts *opts, whet_rules **rules,
                                           whet_synth_report *report);

/* ---- rules from the classes' own vectors -------------------------------------------------------- */

/* A rule for each class: votes for it where the row's cosine to its vector is the largest of all and at
 * least a threshold. vectors [k, d], finite, none of them 0. input->labels may be NULL, or have none. A
 * threshold is where the class's F1 on the labels is largest, the median over five folds that each leave a
 * fifth of them out; where no label tells, so high that half of the rows nearest to the class are voted on.
 * report: accuracy is that of the votes on labelled rows, by thresholds chosen without the row's fold, no
 * vote counted as wrong; vague: rows without a vote there; rounds 0, log_loss NaN.
 * Errors: ARG, DATA (NaN, a vector of 0), LIMIT (k k d over 2^23), NOMEM, CANCELLED. O(n d k). */
WHET_API WHET_CHECKED whet_status whet_similarity_rules(whet_ctx *ctx,
                                                        const whet_synth_input *input,
                                                        const float *vectors, whet_rules **rules,
                                                        whet_synth_report *report);

/* ---- votes without rules ----------------------------------------------------------------------- */

#define WHET_GOGGLES_VOTES 3
/* GOGGLES: votes [n, WHET_GOGGLES_VOTES] of mixtures over three affinities to the labelled rows (cosines of
 * the rows, of their principal components, of those whitened), and probs [n, k] of the mixture that joins
 * them, or NULL. Labels name components alone. Needs n >= k. report: rules is WHET_GOGGLES_VOTES, accuracy
 * and log_loss NaN. Rows of any scale, as for whet_baseline_run, whose WHET_BASELINE_GOGGLES gives probs
 * calibrated on the labels. Source: Das et al. 2020 (arXiv 1903.04552). */
WHET_API WHET_CHECKED whet_status whet_goggles(whet_ctx *ctx, const whet_synth_input *input,
                                               int32_t *votes, double *probs,
                                               whet_synth_report *report);

/* ---- files ------------------------------------------------------------------------------------ */

typedef enum whet_synth_method {
    WHET_SYNTH_SNUBA = 0,
    WHET_SYNTH_IWS,
    WHET_SYNTH_GOGGLES, /* votes, but no rules: nothing to save, and out->rules is NULL */
    WHET_SYNTH_SIMILARITY
} whet_synth_method;

typedef struct whet_synth_job {
    size_t struct_size;
    const char
        *features; /* array [n, d]; columns that f32 rounds are warned of, or refused: DATA */
    const char
        *labels; /* table: columns row (0-based) and label; or label for every row, with empty
                             cells */
    const char *classes; /* class list; NULL = the labels' own names, sorted */
    whet_synth_method method;
    whet_snuba_opts snuba;
    whet_iws_opts iws;
    uint64_t seed;
    const char
        *votes; /* to write: .npy [n, m] i8, or i32 with more than 128 classes; or .tsv, triples
                          row, rule, vote of the votes that there are */
    const char *save;  /* rules to write, .json; or NULL */
    const char *probs; /* .npy to write: f64 [n, k], the rules' joint posterior (snuba, not its
                             reference form; goggles); or NULL */
    bool force;
    const char *
        class_features; /* similarity: array [k, d], in the order of the classes; labels may then be
                                   NULL, and classes not */
} whet_synth_job;
#define WHET_SYNTH_JOB_INIT \
    { \
        .struct_size = sizeof(whet_synth_job), .snuba = WHET_SNUBA_OPTS_INIT, \
        .iws = WHET_IWS_OPTS_INIT \
    }

/* Files in; out the rules and the votes of every row, whose summary is *out, as whet_rules_apply_files
 * gives it. Errors: as reading, whet_snuba, whet_iws; DATA with
 * file and line for a label that is not among the classes or a row out of range. */
WHET_API WHET_CHECKED whet_status whet_synth_files(whet_ctx *ctx, const whet_synth_job *job,
                                                   whet_rules_result *out,
                                                   whet_synth_report *report);

#ifdef __cplusplus
}
#endif
#endif
