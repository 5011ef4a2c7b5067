/* SPDX-License-Identifier: Apache-2.0
 * What the sources of labelling functions share: how a rule is held, models on features that give
 * probabilities, and how these are fitted on a few rows.
 *
 * A model gives each of its outputs a probability; output o stands for class vote[o] (-1: for none,
 * as the rest of a one-vs-rest model). It votes for the output with the largest probability (the
 * lowest of equals) when that is at least least[o], and abstains otherwise. */
#ifndef WHET_RULES_I_H
#define WHET_RULES_I_H

#include <jansson.h>

#include "whet/labelling.h"

#include "io/io_i.h"

/* ---- models on features (labelling_function.c) ----------------------------------------------- */

typedef enum whet_i_rule_kind {
    WHET_I_RULE_TREE = 0,
    WHET_I_RULE_LOGISTIC,
    WHET_I_RULE_NEIGHBOURS,
    WHET_I_RULE_SIMILARITY,
    WHET_I_RULE_NUMBER,
    WHET_I_RULE_KEYWORDS,
    WHET_I_RULE_REGEX
} whet_i_rule_kind;

typedef struct whet_i_tree_node {
    int32_t input; /* place in the model's inputs; -1: a leaf */
    int32_t yes, no;
    double at_most; /* yes when the feature is at most this */
} whet_i_tree_node;

typedef struct whet_i_model {
    whet_i_rule_kind kind;
    int64_t inputs, outs;
    int64_t *input; /* [inputs] features, ascending */
    int32_t *vote;  /* [outs] */
    double *least;  /* [outs] infinity: never */
    int64_t nodes;  /* tree */
    whet_i_tree_node *node;
    double *leaf;   /* [nodes, outs], of leaves */
    double *weight; /* logistic: [inputs, outs]; similarity: [inputs, outs] columns of length 1 */
    double *bias;   /* logistic: [outs] */
    int64_t points, neighbours; /* neighbours */
    float *point;               /* [points, inputs] */
    int32_t *of;                /* [points] output */
} whet_i_model;

/* Features seen through strides: feature f of row i is x[i * row + f * column]. */
typedef struct whet_i_strided {
    const float *x;
    int64_t row, column;
} whet_i_strided;

/* Doubles of room that whet_i_model_probs needs. */
int64_t whet_i_model_room(const whet_i_model *model);
/* p [outs] of row i; similarity gives cosines, 0 for a row of length 0. Pure. */
void whet_i_model_probs(const whet_i_model *model, whet_i_strided x, int64_t i, double *p,
                        double *room);
/* The output voted for, or -1; least [outs] takes the place of the model's own. Pure. */
int64_t whet_i_model_vote(const double *p, const double *least, int64_t outs);

/* ---- fitting on a few rows ------------------------------------------------------------------- */

/* z [n, inputs] dense, y [n] in 0..outs-1; all on the calling thread, for parallel loops. */
typedef struct whet_i_few {
    const float *z;
    const int32_t *y;
    int64_t n, inputs, outs;
} whet_i_few;

/* CART by Gini (Breiman et al. 1984), grown to `depth`; thresholds halve the way between neighbouring
 * values, of equal splits the first by input, then by threshold. node [2^(depth + 1) - 1], leaf
 * [that, outs]; room: whet_i_tree_room bytes, aligned to 8. Returns the nodes. O(inputs n log n depth).
 */
#define WHET_I_TREE_DEPTH 10
int64_t whet_i_tree_room(int64_t n, int64_t outs);
int64_t whet_i_tree_fit(const whet_i_few *few, int32_t depth, whet_i_tree_node *node, double *leaf,
                        void *room);

/* Minimises sum_i -ln p(y_i) + |W|^2 / (2 C): scikit-learn's LogisticRegression(C), binomial with two
 * outputs. weight [inputs, outs], bias [outs]; room: whet_i_subset_logistic_room doubles. Newton's
 * method for two outputs and up to 8 inputs, else L-BFGS. */
int64_t whet_i_subset_logistic_room(int64_t n, int64_t inputs, int64_t outs);
void whet_i_subset_logistic_fit(const whet_i_few *few, double c, double *weight, double *bias,
                                double *room);
/* The same by L-BFGS alone, on rows z [n, inputs] in f64 in the place of few->z. */
void whet_i_subset_logistic_solve(const double *z, const whet_i_few *few, double c, double *weight,
                                  double *bias, double *room);

/* ---- abstaining (abstain_threshold.c) -------------------------------------------------------- */

/* Weighted F1 of votes [n] (-1: abstain, wrong) of truth [n] in 0..k-1: sum over classes of their
 * share times 2 tp / (2 tp + fp + fn). k <= WHET_I_F1_CLASSES. */
#define WHET_I_F1_CLASSES 1024
double whet_i_weighted_f1(const int32_t *votes, const int32_t *truth, int64_t n, int64_t k);
/* Snuba's grid: 10 margins .25, .2722, ..., .45. */
#define WHET_I_BETAS 10
double whet_i_beta(int64_t i);
/* The margin with the best weighted F1 of p [n, outs] on truth [n] in 0..k-1, the largest of equals.
 * Output o counts as class o. f1 [WHET_I_BETAS] or NULL; votes [n] are
 * those at the margin. */
double whet_i_beta_choose(const double *p, int64_t outs, const int32_t *truth, int64_t n, int64_t k,
                          double pivot, bool binary, int32_t *votes, double *f1);
/* The thresholds for a margin. binary, two outputs: votes when p(1) <= pivot - beta or >= pivot + beta;
 * else when the largest probability is >= pivot + beta. */
void whet_i_beta_least(double pivot, double beta, bool binary, int64_t outs, double *least);

/* ---- rules ----------------------------------------------------------------------------------- */

typedef struct whet_i_rule {
    char *name; /* NUL-terminated */
    int64_t name_len;
    whet_i_rule_kind kind;
    whet_i_model model;  /* tree .. similarity */
    char *column;        /* number (NULL: of a feature), keywords, regex */
    int64_t feature;     /* number without a column */
    int32_t vote;        /* number, keywords, regex */
    double least, below; /* number: least <= x < below */
    int64_t words;       /* keywords */
    whet_str *word;      /* [words] */
    bool whole_words, ignore_case;
    whet_str pattern; /* regex, as written */
    whet_i_pattern *code;
    double *log_odds; /* [classes] what a vote for each adds; NULL without rules->prior */
} whet_i_rule;

struct whet_rules {
    whet_names *classes, *names;
    int64_t d;
    double *prior; /* [classes], over 0, together 1; NULL: the rules carry no weights */
    whet_i_rule *rule;
    int64_t m, cap;
    whet_i_arena arena; /* all that rules point to but compiled patterns */
};

WHET_CHECKED whet_status whet_i_rules_create(whet_ctx *ctx, const whet_names *classes, int64_t d,
                                             whet_rules **out);
/* Takes over nothing: name and model are copied. A name that is taken gets a number behind it.
 * The model's features must be below rules->d. */
WHET_CHECKED whet_status whet_i_rules_add_model(whet_ctx *ctx, whet_rules *rules, const char *name,
                                                const whet_i_model *model);
/* Room for a rule at the end, all zero; counted by whet_i_rules_commit. */
WHET_CHECKED whet_status whet_i_rules_next(whet_ctx *ctx, whet_rules *rules, whet_i_rule **out);
/* The rule at the end is whole. Errors: FORMAT when its name is taken. */
WHET_CHECKED whet_status whet_i_rules_commit(whet_ctx *ctx, whet_rules *rules, const char *where);

/* From a document, which is not trusted and not kept. */
WHET_CHECKED whet_status whet_i_rules_parse(whet_ctx *ctx, const char *where,
                                            const json_t *document, whet_rules **out);
/* A new reference, or NULL when memory is short. */
json_t *whet_i_rule_json(const whet_rules *rules, const whet_i_rule *rule);
json_t *whet_i_rules_json(const whet_rules *rules);

/* A part of a longer table, or of the rules. */
typedef struct whet_i_apply_part {
    const bool *skip; /* [m] rules that are not applied, whose votes are left alone; or NULL */
    const whet_names *columns; /* of all parts: one that this part lacks has empty cells; or NULL */
    const char *stage;         /* progress is reported under this name; or NULL */
    const int64_t *row;        /* [rows] which rows of the input: votes are [rows, m]; NULL: all */
    int64_t rows;
    const whet_tensor
        *exact;          /* [.., d] of any type: the features as their file holds them, which number
                                 rules compare in place of the input's, which may then be NULL for
                                 rules that no model is among; or NULL */
    int64_t exact_first; /* row of it that is the input's row 0 */
} whet_i_apply_part;
WHET_CHECKED whet_status whet_i_rules_apply_some(whet_ctx *ctx, const whet_rules *rules,
                                                 const whet_rules_input *input,
                                                 const whet_i_apply_part *part, int32_t *votes,
                                                 whet_rule_report *reports);

/* ---- what rules say together (rules_posterior.c) ---------------------------------------------- */

/* Rules get a prior [k] and log odds [m, k], which are copied. */
WHET_CHECKED whet_status whet_i_rules_weigh(whet_ctx *ctx, whet_rules *rules, const double *prior,
                                            const double *log_odds);
/* probs [n, k] of votes [n, m]; the rules carry a prior. Errors: CANCELLED. */
WHET_CHECKED whet_status whet_i_rules_posterior(whet_ctx *ctx, const whet_rules *rules,
                                                const int32_t *votes, int64_t n, double *probs);

/* ---- keywords of many rules at once (keyword_scan.c) ------------------------------------------ */

/* An automaton for the words of all keyword rules on one column with the same case. With case ignored it
 * is for texts that are ASCII or folded (case_folding.h), as its words are. */
typedef struct whet_i_keywords whet_i_keywords;
typedef struct whet_i_keyword {
    whet_str word;
    bool whole;
    int64_t rule;
} whet_i_keyword;
WHET_CHECKED whet_status whet_i_keywords_build(whet_ctx *ctx, const whet_i_keyword *words,
                                               int64_t n, bool ignore_case, whet_i_keywords **out);
void whet_i_keywords_free(whet_ctx *ctx, whet_i_keywords *keywords);
/* Marks found[rule] for the rules of which a word occurs. O(bytes + matches). */
void whet_i_keywords_scan(const whet_i_keywords *keywords, whet_str text, bool *found);

#endif
