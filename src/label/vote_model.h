/* SPDX-License-Identifier: Apache-2.0
 * What the files about votes share: rows as lists of cells, counts, the one form of all fitted
 * models, and the table of methods.
 *
 * Legend: n rows, m rules, k classes; cell j k + v stands for "rule j votes v"; d = m k cells. */
#ifndef WHET_LABEL_VOTE_MODEL_H
#define WHET_LABEL_VOTE_MODEL_H

#include <jansson.h>

#include "kernels/kernels_i.h"
#include "label/label_i.h"
#include "whet/votes.h"

/* ---- rows (votes.c) -------------------------------------------------------------------------- */

/* Votes of row i as cells, rising; room for m of them. Returns how many. No branch hangs on a vote:
 * abstaining is what no processor predicts. */
static inline int64_t whet_i_vote_cells(const whet_votes *votes, int64_t i, int32_t *cell) {
    const int32_t k = (int32_t)votes->k;
    int64_t count = 0;
    if (votes->narrow) {
        const int8_t *row = votes->narrow + i * votes->m;
        for (int32_t j = 0; j < (int32_t)votes->m; j++) {
            cell[count] = j * k + row[j];
            count += row[j] >= 0 ? 1 : 0;
        }
    } else if (votes->wide) {
        const int32_t *row = votes->wide + i * votes->m;
        for (int32_t j = 0; j < (int32_t)votes->m; j++) {
            cell[count] = j * k + row[j];
            count += row[j] >= 0 ? 1 : 0;
        }
    } else {
        for (int64_t e = votes->start[i]; e < votes->start[i + 1]; e++)
            cell[count++] = votes->rule[e] * k + votes->vote[e];
    }
    return count;
}

/* Rows as a kernel takes them: room for WHET_I_VOTE_BATCH rows a worker. */
enum { WHET_I_VOTE_BATCH = 128 };
typedef struct whet_i_vote_batch {
    int64_t m, width;
    int32_t *start; /* [threads, WHET_I_VOTE_BATCH + 1] */
    int32_t *cell;  /* [threads, WHET_I_VOTE_BATCH, m] */
    double *r;      /* [threads, WHET_I_VOTE_BATCH, width] */
} whet_i_vote_batch;
WHET_CHECKED whet_status whet_i_vote_batch_make(whet_ctx *ctx, int64_t m, int64_t width,
                                                whet_i_vote_batch *out);
/* Cells of rows first .. first + count - 1 into the worker's room; the rest is the caller's to set. */
whet_i_vote_rows whet_i_vote_batch_fill(const whet_i_vote_batch *batch, int32_t worker,
                                        const whet_votes *votes, int64_t first, int64_t count);
void whet_i_vote_batch_free(whet_ctx *ctx, whet_i_vote_batch *batch);

/* Sizes alone; the first of them of votes in no form. */
WHET_CHECKED whet_status whet_i_votes_check_sizes(whet_ctx *ctx, const whet_votes *votes);
WHET_CHECKED whet_status whet_i_votes_check_shape(whet_ctx *ctx, const whet_votes *votes);
/* As whet_votes_check of rows of which the first is called `first`. */
WHET_CHECKED whet_status whet_i_votes_check_rows(whet_ctx *ctx, const whet_votes *votes,
                                                 int64_t first);
/* The largest vote, or -1. O(votes). */
int32_t whet_i_votes_largest(const whet_votes *votes);

/* Rows first .. last - 1 of part i of `parts`: parts are even and do not know the threads. */
static inline void whet_i_part(int64_t n, int64_t parts, int64_t i, int64_t *first, int64_t *last) {
    const int64_t each = n / parts, more = n % parts;
    *first = i * each + (i < more ? i : more);
    *last = *first + each + (i < more ? 1 : 0);
}

/* ---- files (votes_file.c) --------------------------------------------------------------------- */

struct whet_i_table_parts;
struct whet_i_array_rows;
/* By its name: triples, not an array. */
bool whet_i_votes_is_table(const char *spec);
/* An array of votes, its header looked at: *narrow for int8, else they are read as int32. */
WHET_CHECKED whet_status whet_i_votes_open_array(whet_ctx *ctx, const char *spec,
                                                 struct whet_i_array_rows **out, bool *narrow);
/* Rows and rules are those of opts, where it says how many. Errors: SHAPE. */
WHET_CHECKED whet_status whet_i_votes_check_expected(whet_ctx *ctx, const char *where,
                                                     const whet_votes_read_opts *opts,
                                                     const whet_votes *votes);
/* No vote is for class k or another beyond, of which `why` there are none ("as FILE lists 2 classes").
 * Errors: DATA, naming the first such vote, file and why. */
WHET_CHECKED whet_status whet_i_votes_check_classes(whet_ctx *ctx, const char *where,
                                                    const whet_votes *votes, int64_t k,
                                                    const char *why);
/* Votes of triples in parts that are the caller's; where names them in sentences. Errors as
 * whet_votes_read. */
WHET_CHECKED whet_status whet_i_votes_of_triples(whet_ctx *ctx, const char *where,
                                                 struct whet_i_table_parts *parts,
                                                 const whet_votes_read_opts *opts,
                                                 whet_vote_file **out);

/* ---- counts (vote_counts.c) ------------------------------------------------------------------ */

struct whet_vote_counts {
    int64_t m, k, n;
    int64_t *pairs;          /* [d, d] symmetric; zero within a rule but on the diagonal */
    int64_t *judged, *right; /* [m] votes as whet_i_judge_votes counts them */
};
/* Votes that have been checked; judged: those of the rules, too, which weighted votes need. */
WHET_CHECKED whet_status whet_i_vote_counts_add(whet_ctx *ctx, whet_vote_counts *counts,
                                                const whet_votes *votes, bool judged);
/* As a file holds them (vote_counts_file.c), not trusted. Errors: FORMAT, SHAPE, DATA, LIMIT, NOMEM. */
WHET_CHECKED whet_status whet_i_vote_counts_parse(whet_ctx *ctx, const char *where,
                                                  const char *bytes, int64_t len,
                                                  whet_vote_counts **out);

/* ---- equal rows (vote_patterns.c) ------------------------------------------------------------- */

typedef struct whet_i_vote_patterns {
    whet_votes votes; /* one row for all that vote alike, in the order in which they first appear */
    int64_t *weight;  /* how many; NULL: joining does not pay, and votes is empty */
    int64_t *start;
    int32_t *rule, *vote;
} whet_i_vote_patterns;
/* Rows with a label are left out. Errors: NOMEM, CANCELLED; out is then empty. */
WHET_CHECKED whet_status whet_i_vote_patterns_find(whet_ctx *ctx, const whet_votes *votes,
                                                   const int32_t *labels,
                                                   whet_i_vote_patterns *out);
void whet_i_vote_patterns_free(whet_ctx *ctx, whet_i_vote_patterns *patterns);

/* ---- fitted models (label_model.c) ------------------------------------------------------------ */

/* How scores become probabilities. */
typedef enum whet_i_link {
    WHET_I_LINK_SOFTMAX,
    WHET_I_LINK_TOP,            /* even over the classes that attain the largest score */
    WHET_I_LINK_SHARE,          /* scores over their sum */
    WHET_I_LINK_ODDS,           /* log odds of each class, their probabilities over their sum */
    WHET_I_LINK_SOFTMAX_OF_ODDS /* softmax of those probabilities */
} whet_i_link;

/* Every model here is a sum over votes: score_c = base[c] + sum over cells of table[cell, c]. */
struct whet_label_model {
    whet_label_model_info info;
    whet_i_link link;
    bool
        abstains; /* abstaining is evidence, also of rows without any vote; else they get `prior` */
    double *prior;  /* [k] of rows without a vote */
    int64_t width;  /* of rows of scores: k made a multiple of 8 (whet_i_vote_rows) */
    double *base;   /* [width]; WHET_I_LOG_PAD behind class k - 1 */
    double *table;  /* [d, width] */
    double *likely; /* [d, k] P(rule j votes v | class c), or NULL: for dependencies */
    double *
        parts; /* [m + 1, k] what the balance, and each rule where it abstains, gives to base: the two
                       apart, for explanations; NULL: all of it is the balance's, or is not known apart */
    double *balance, *accuracy, *coverage;
    whet_names *rules; /* their names [m], or NULL */
    char note[256];
};

/* Probabilities below this logarithm are none: a class is out when a vote says it cannot be. */
#define WHET_I_LOG_NONE (-1e6)
/* Where no class is: below every sum of votes, also when they leave no class in. */
#define WHET_I_LOG_PAD (-1e300)

/* What a method fits from. Either votes or counts may be NULL. */
typedef struct whet_i_label_fit {
    const whet_votes *votes;
    const whet_vote_counts *counts;
    const whet_label_model_opts *opts;
    const double *balance;  /* [k] sums to 1 */
    const double *coverage; /* [m] */
    int64_t n, m, k;
} whet_i_label_fit;

typedef struct whet_i_label_method {
    const char *name;
    bool needs_counts; /* of pairs */
    bool needs_rows;   /* cannot be fitted from counts */
    int64_t
        least_rules; /* that vote; below, `weighted` takes its place, unless it is of rows and has
                            labels */
    /* Fills base, table and what the info says beyond sizes, balance and coverage; arrays are
     * there, zeroed. */
    whet_status (*fit)(whet_ctx *ctx, const whet_i_label_fit *fit, whet_label_model *model);
} whet_i_label_method;

/* Fitting and predicting of votes that have been checked; counts of their pairs where they are known,
 * else NULL. probs [n, k] of rows first .. first + n - 1. */
WHET_CHECKED whet_status whet_i_label_model_fit(whet_ctx *ctx, const whet_votes *votes,
                                                const whet_vote_counts *counts,
                                                const whet_label_model_opts *opts,
                                                whet_label_model **out);
/* Room for one: arrays zero but for base behind the classes; no `likely`. */
WHET_CHECKED whet_status whet_i_label_model_make(whet_ctx *ctx, int64_t m, int64_t k,
                                                 whet_label_model **out);
/* From a document, which is not trusted and not kept (label_model_file.c); classes NULL when it has
 * none. Errors: FORMAT, LIMIT, NOMEM. */
WHET_CHECKED whet_status whet_i_label_model_parse(whet_ctx *ctx, const char *where,
                                                  const json_t *document, whet_label_model **out,
                                                  whet_names **classes);
/* A new reference, or NULL when memory is short. classes: names, or NULL. */
/* Names of rules: one a line, or of a file of rules (.json). Errors: as reading. (label_model_rules.c) */
WHET_CHECKED whet_status whet_i_rule_names_read(whet_ctx *ctx, const char *path, whet_names **out);
json_t *whet_i_label_model_json(const whet_label_model *model, const whet_names *classes);
/* Tells the note, if there is one. */
void whet_i_label_model_warn(whet_ctx *ctx, const whet_label_model *model);
WHET_CHECKED whet_status whet_i_label_model_predict(whet_ctx *ctx, const char *stage,
                                                    const whet_label_model *model,
                                                    const whet_votes *votes, int64_t first,
                                                    int64_t n, double *probs);

/* Each in the file of its name. */
whet_status whet_i_fit_majority(whet_ctx *ctx, const whet_i_label_fit *fit,
                                whet_label_model *model);
whet_status whet_i_fit_weighted(whet_ctx *ctx, const whet_i_label_fit *fit,
                                whet_label_model *model);
whet_status whet_i_fit_snorkel(whet_ctx *ctx, const whet_i_label_fit *fit, whet_label_model *model);
whet_status whet_i_fit_flyingsquid(whet_ctx *ctx, const whet_i_label_fit *fit,
                                   whet_label_model *model);
whet_status whet_i_fit_dawid_skene(whet_ctx *ctx, const whet_i_label_fit *fit,
                                   whet_label_model *model);
whet_status whet_i_fit_one_coin(whet_ctx *ctx, const whet_i_label_fit *fit,
                                whet_label_model *model);
whet_status whet_i_fit_ibcc(whet_ctx *ctx, const whet_i_label_fit *fit, whet_label_model *model);

/* Votes that can be judged, and those that are right, by rule: added to judged and right [m]. By the
 * labels where they are given, else by the majority of the other rules, where it is unique
 * (weighted_vote.c). O(votes k). Errors: NOMEM, CANCELLED (nothing added). */
WHET_CHECKED whet_status whet_i_judge_votes(whet_ctx *ctx, const whet_votes *votes,
                                            const int32_t *labels, int64_t *judged, int64_t *right);

/* Estimated accuracies of rules from P(vote | class): sum_c p_c likely[(j, c), c] / coverage_j. */
void whet_i_accuracies(const whet_i_label_fit *fit, const double *likely, double *accuracy);

#endif
