/* SPDX-License-Identifier: Apache-2.0
 * How the ways of computing Frechet costs fit together. A plan is made once for a space, its
 * observed classes and candidates; rows of probabilities then go through it in blocks of `lanes`
 * rows, transposed so that the rows of a block lie side by side (the unit-stride direction):
 *
 *     load (frechet.c): probabilities -> weights [n_weights, lanes]
 *     costs (a method): weights -> costs [n_costs, lanes], a lower bound of their precision
 *     select (select.c): costs -> best candidates, ties, margin
 *
 * Costs are not divided by the mass of the row until select writes them. */
#ifndef WHET_FRECHET_I_H
#define WHET_FRECHET_I_H

#include "space/space_i.h"

enum { LANE_GROUP = 16 }; /* lanes are a multiple; loops of this length are unrolled */

/* Candidates whose costs differ by no more than this, relatively, are tied. */
#define FRECHET_TIE 1e-9
/* Costs known less precisely than this, relatively, are computed again term by term. */
#define FRECHET_PRECISE 1e-12

typedef struct frechet_choice {
    double cost;
    int64_t point, row; /* of the space; of the costs */
} frechet_choice;

/* What one worker has in hands. */
typedef struct frechet_block {
    const double *probs;     /* the caller's rows [count, k] */
    int64_t count;           /* rows in this block, 1..lanes */
    double *weights, *costs; /* [n_weights, lanes], [n_costs, lanes] */
    bool cleared;            /* weights were once */
    double *mass;            /* [lanes] sum of the weights */
    double *scale;           /* [lanes] power of two by which probabilities were multiplied */
    double *least;           /* [lanes] least cost of a candidate */
    double *noise;           /* [lanes] bound on the error of every cost */
    double *scratch;         /* the method's, n_scratch values */
    frechet_choice *choices; /* [n_candidates] */
} frechet_block;

struct frechet_result;
struct frechet_entries;
typedef struct frechet_method {
    const char *name, *cost; /* for those who ask what was chosen */
    void (*costs)(const whet_frechet *f, frechet_block *b);
    /* The cost [row] of a lane as a sum of terms >= 0; NULL where costs are that already. */
    double (*exact)(const whet_frechet *f, const frechet_block *b, int64_t lane, int64_t row);
    /* In place of costs and selection: the results of a block's rows, the first of which is row `at`;
     * b->least [count] is left for the caller to see what is not finite. */
    void (*rows)(const whet_frechet *f, frechet_block *b, int64_t at,
                 const struct frechet_result *out);
    const struct frechet_entries *entries; /* NULL: sparse rows are filled up with zeros */
    void (*destroy)(whet_ctx *ctx, void *state);
} frechet_method;

typedef struct lane_loops lane_loops; /* lanes_i.h */

struct whet_frechet {
    const whet_space *space;
    const lane_loops *lane;
    int64_t k, n_candidates, lanes;
    int64_t *observed;   /* [k] points */
    int64_t *candidates; /* [n_candidates] points, ascending */
    int32_t power, top;
    const frechet_method *method;
    const char *why; /* this method was chosen */
    void *state;
    size_t bytes; /* of the plan */
    int64_t n_weights, n_costs, n_scratch;
    int64_t n_zero;            /* rows of weights to clear for each block; the others only once */
    const int64_t *weight_row; /* [k] where a column's weight goes; NULL = row i for column i */
    const int64_t *cost_point; /* [n_costs] the candidate of a row of costs, or -1 */
    int64_t *cost_row;         /* [n] back from a candidate point to its row; others undefined */
};

/* Each makes the method's state and sets everything from `method` on but cost_row. */
WHET_CHECKED whet_status whet_i_frechet_tree(whet_ctx *ctx, whet_frechet *f);
WHET_CHECKED whet_status whet_i_frechet_table(whet_ctx *ctx, whet_frechet *f);
WHET_CHECKED whet_status whet_i_frechet_nearest_mean(whet_ctx *ctx, whet_frechet *f);
WHET_CHECKED whet_status whet_i_frechet_discrete(whet_ctx *ctx, whet_frechet *f);
WHET_CHECKED whet_status whet_i_frechet_grid(whet_ctx *ctx, whet_frechet *f);

/* Rows of a block for methods that are products: fewer when there are very many candidates. */
int64_t whet_i_frechet_lanes(int64_t n_candidates);

/* Trees, for rows that come entry by entry: no costs. Whether that is quicker than whole rows: it is
 * not where few nodes are candidates in a small or a very deep tree. Needs fewer than 2^31 nodes. */
bool whet_i_tree_sparse_pays(const whet_frechet *f);
WHET_CHECKED whet_status whet_i_frechet_tree_sparse(whet_ctx *ctx, whet_frechet *f);

/* Results of rows, in the layout of the caller's outputs. */
typedef struct frechet_result {
    int64_t *best;
    double *cost;
    int32_t *ties;
    double *margin;
} frechet_result;
/* Writes the results of a block's rows, the first of which is row `at` of the result. */
void whet_i_frechet_select(const whet_frechet *f, frechet_block *b, int64_t at,
                           const frechet_result *out);

/* ---- rows entry by entry --------------------------------------------------------------------- */

typedef enum frechet_sparse_answer {
    SPARSE_DONE,
    SPARSE_IMPOSSIBLE, /* a negative or infinite value, or NaN */
    SPARSE_NO_MASS,
    SPARSE_OVERFLOW, /* costs are not finite */
    SPARSE_AGAIN,    /* within a row only */
    SPARSE_NO_ROOM   /* more ties than the scratch holds: widen, and again */
} frechet_sparse_answer;

/* How a method takes rows by their entries; scratch is a worker's. */
struct frechet_entries {
    /* For rows of at most `most` entries. */
    whet_status (*create)(whet_ctx *ctx, const whet_frechet *f, int64_t most, void **scratch);
    void (*free)(whet_ctx *ctx, void *scratch); /* NULL is fine */
    whet_status (*widen)(whet_ctx *ctx, void *scratch);
    frechet_sparse_answer (*row)(const whet_frechet *f, void *scratch, const int32_t *column,
                                 const double *p, int64_t n, int64_t at, const frechet_result *out);
    /* In place of row, where rows share work: rows from .. from + n - 1, that of row i to answer [i]. */
    void (*rows)(const whet_frechet *f, void *scratch, const whet_sparse_rows *rows, int64_t from,
                 int64_t n, uint8_t *answer, const frechet_result *out);
};

/* Large graphs and matrices, best candidate only. */
WHET_CHECKED whet_status whet_i_frechet_table_sparse(whet_ctx *ctx, whet_frechet *f);
/* Graphs too large for a table: searches from the classes of the rows, no farther than matters. */
WHET_CHECKED whet_status whet_i_frechet_hop_balls(whet_ctx *ctx, whet_frechet *f);
WHET_CHECKED whet_status whet_i_frechet_length_balls(whet_ctx *ctx, whet_frechet *f);

#endif
