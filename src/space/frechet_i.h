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

/* Bytes that a plan takes. */
typedef struct frechet_sizes {
    double held, making; /* by the plan; the most while it is made, the plan included */
    double thread;       /* by each thread while rows run; by entries: but for a row of very many */
} frechet_sizes;

struct frechet_result;
struct frechet_entries;
/* A way to compute, and when it is one: a row of the planner's table (planner.c). */
typedef struct frechet_method {
    const char *name;         /* as whet_frechet_opts.method has it */
    const char *title, *cost; /* in words, for those who ask what was chosen */
    const char *needs;        /* a clause: what it does not serve without */
    bool (*serves)(const whet_frechet *f);
    /* Whether it is the quickest of those that serve and come behind it in the table; NULL: it is. */
    bool (*pays)(const whet_frechet *f);
    const char *(*why)(const whet_frechet *f); /* a clause: what makes it the one to take */
    whet_status (*sizes)(whet_ctx *ctx, const whet_frechet *f, frechet_sizes *out);
    /* Makes the state and sets everything from `state` on but cost_row. */
    whet_status (*make)(whet_ctx *ctx, whet_frechet *f);
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
    bool sparse;     /* rows come by their entries alone */
    int64_t entries; /* about so many, if known */
    double room;     /* bytes that can be had when the method is chosen */
    const frechet_method *method;
    const char *why;     /* this method was chosen */
    frechet_sizes sizes; /* as they were expected */
    void *state;
    size_t bytes; /* of the plan */
    int64_t n_weights, n_costs, n_scratch;
    int64_t n_zero;            /* rows of weights to clear for each block; the others only once */
    const int64_t *weight_row; /* [k] where a column's weight goes; NULL = row i for column i */
    const int64_t *cost_point; /* [n_costs] the candidate of a row of costs, or -1 */
    int64_t *cost_row;         /* [n] back from a candidate point to its row; others undefined */
};

extern const frechet_method whet_i_method_tree_pass, whet_i_method_tree_entries,
    whet_i_method_tree_gates, whet_i_method_argmax, whet_i_method_nearest_mean,
    whet_i_method_nearest_mean_f32, whet_i_method_table, whet_i_method_table_f32,
    whet_i_method_table_entries, whet_i_method_hop_searches, whet_i_method_length_searches,
    whet_i_method_grid_sums;

/* Chooses the method, or takes the one of this name (NULL, "auto": chooses), and makes its state, if the
 * memory for it can be had. Errors: ARG (no such method, or it does not serve), LIMIT, those of make. */
WHET_CHECKED whet_status whet_i_frechet_plan(whet_ctx *ctx, const char *name, whet_frechet *f);
/* Sizes of a method that works on blocks of this many lanes: held, and what a thread needs. */
frechet_sizes whet_i_block_sizes(const whet_frechet *f, double held, int64_t lanes, double weights,
                                 double costs, double scratch);
/* Bytes of a distance of a graph from its observed points: 1, 2 or 4 for hops, else 8. */
WHET_CHECKED whet_status whet_i_graph_width(whet_ctx *ctx, const whet_frechet *f, double *out);

/* Bytes of a graph's distances from its observed points to all others. */
WHET_CHECKED whet_status whet_i_graph_table_bytes(whet_ctx *ctx, const whet_frechet *f,
                                                  double *out);
/* Bytes that making them takes besides; turned: for candidates in an order of their own. */
double whet_i_graph_search_bytes(const whet_ctx *ctx, const whet_frechet *f, double width,
                                 bool turned);
/* Whether a graph's table for sparse rows would be too large to be worth its memory. */
bool whet_i_graph_table_is_large(const whet_frechet *f);

/* *out [n]: the place of each point among the candidates, or -1; NULL where all points are candidates. */
WHET_CHECKED whet_status whet_i_frechet_places(whet_ctx *ctx, const whet_frechet *f, int32_t **out);

/* Rows of a block for methods that are products: fewer when there are very many candidates. */
int64_t whet_i_frechet_lanes(int64_t n_candidates);

/* Results of rows, in the layout of the caller's outputs. */
typedef struct frechet_result {
    int64_t *best;
    double *cost;
    int32_t *ties;
    double *margin;
} frechet_result;
/* Costs up to this tie with the least. */
double whet_i_tie_limit(double least);
/* By cost, then by point. */
bool whet_i_choice_before(const frechet_choice *a, const frechet_choice *b);
void whet_i_choices_sort(frechet_choice *c, int64_t n);
/* Writes row `at` from n sorted choices, all that can be told; next: the least of the others. */
void whet_i_choices_tell(const whet_frechet *f, frechet_choice *c, int64_t n, frechet_choice next,
                         double mass, int64_t at, const frechet_result *out);
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

#endif
