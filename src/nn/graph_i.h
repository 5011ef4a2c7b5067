/* SPDX-License-Identifier: Apache-2.0
 * The engine that networks run on. A model is written once, as a function that records its forward
 * pass: values, and nodes that make values from values by an operation. A plan turns the recording
 * into steps for one purpose (embedding, training these parameters): what runs forward, which
 * gradients are computed and which not, what is saved or made again for the backward pass, and where
 * in one block of memory each array lies while it lives. An executor owns that block and runs
 * batches; running allocates nothing and cannot fail. See docs/notes/0004.
 *
 * An operation is one file, op_<name>.c, behind whet_i_op: it says what its backward pass reads, and
 * computes by items that do not depend on the number of threads, so that the bits do not either.
 *
 * whet_i_real is float; the same sources compiled with WHET_I_DOUBLE (tests/unit/nn) are checked
 * against finite differences in f64.
 * Legend: T tokens, B examples (sequences, images), C columns of a value. */
#ifndef WHET_NN_GRAPH_I_H
#define WHET_NN_GRAPH_I_H

#include "core/core_i.h"
#include "kernels/kernels_i.h"
#include "nn/params_i.h"

/* ---- recording ------------------------------------------------------------------------------- */

/* How many rows a value has is known when a batch is run: one of these counts. */
typedef enum whet_i_extent {
    WHET_I_ONE,      /* 1: a loss */
    WHET_I_EXAMPLES, /* B: a pooled sequence, an image */
    WHET_I_TOKENS,   /* T: sequences behind each other, no padding */
    WHET_I_PAIRS,    /* B / 2: two neighbouring examples */
    WHET_I_ASKED,    /* tokens that the batch asks for: those with a label, sequence by sequence */
    WHET_I_EXTENTS
} whet_i_extent;

typedef int32_t whet_i_value; /* an array [rows of its extent, columns], row-major */
#define WHET_I_NONE (-1)

enum {
    WHET_I_INPUTS_MAX = 4,
    WHET_I_OUTPUTS_MAX = 2,
    WHET_I_PARAMS_MAX = 12,
    WHET_I_FEEDS_MAX = 8
};

typedef struct whet_i_node {
    const struct whet_i_op *op;
    const void *settings; /* of the operation, in the graph's memory */
    int32_t n_inputs, n_outputs, n_params;
    whet_i_value inputs[WHET_I_INPUTS_MAX], outputs[WHET_I_OUTPUTS_MAX];
    whet_i_param_id params[WHET_I_PARAMS_MAX];
    int32_t segment; /* of recomputation */
    int32_t index;   /* among the nodes; distinguishes streams of random numbers */
} whet_i_node;

typedef struct whet_i_value_info {
    whet_i_extent extent;
    int64_t columns;
    int32_t producer; /* node, or -1: fed from outside */
    int32_t output;   /* of the producer; or the feed's number */
    bool integers;    /* a feed of int32_t */
    bool half;        /* bfloat16, which only its producer writes and reads */
} whet_i_value_info;

typedef struct whet_i_graph {
    whet_i_params *params; /* shared by the graphs of one model */
    whet_i_node *nodes;
    whet_i_value_info *values;
    int64_t n_nodes, n_values, cap_nodes, cap_values;
    int32_t n_feeds, segment, n_attention;
    whet_i_arena arena;
    const struct whet_i_adapters *adapters; /* NULL = none */
} whet_i_graph;

/* How something above this module adds to named linear layers: where `applies`, `record` replaces
 * *output, of which the layer's are `columns` columns from `first` on, by a sum with something made
 * from `input`. It is called before the layer's activation. */
typedef struct whet_i_adapters {
    bool (*applies)(void *arg, const char *module);
    whet_status (*record)(whet_ctx *ctx, whet_i_graph *graph, void *arg, const char *module,
                          whet_i_value input, whet_i_value *output, int64_t first, int64_t columns);
    void *arg;
    bool before_residual; /* *output has the bias in it, but no residual: that is added behind */
} whet_i_adapters;

WHET_CHECKED whet_status whet_i_graph_create(whet_ctx *ctx, whet_i_params *params,
                                             whet_i_graph **out);
void whet_i_graph_destroy(whet_ctx *ctx, whet_i_graph *graph);

/* An array that each batch brings (whet_i_batch.feeds, in the order of these calls). */
WHET_CHECKED whet_status whet_i_graph_feed(whet_ctx *ctx, whet_i_graph *graph, bool integers,
                                           whet_i_extent extent, int64_t columns,
                                           whet_i_value *out);
/* Records a node; outputs get `extents` and `columns` [n_outputs]. `settings` (size bytes) are
 * copied. For the op_ files: models call the functions of ops_i.h. */
typedef struct whet_i_recording {
    const struct whet_i_op *op;
    const void *settings;
    size_t settings_size;
    int32_t n_inputs, n_outputs, n_params;
    whet_i_value inputs[WHET_I_INPUTS_MAX];
    whet_i_param_id params[WHET_I_PARAMS_MAX];
    whet_i_extent extents[WHET_I_OUTPUTS_MAX];
    int64_t columns[WHET_I_OUTPUTS_MAX];
    bool half[WHET_I_OUTPUTS_MAX]; /* see whet_i_value_info */
} whet_i_recording;
WHET_CHECKED whet_status whet_i_graph_record(whet_ctx *ctx, whet_i_graph *graph,
                                             const whet_i_recording *recording,
                                             whet_i_value outputs[WHET_I_OUTPUTS_MAX]);
/* What follows is a new segment: with recomputation, values inside a segment are not kept for the
 * backward pass but made again from the values that enter it. A model calls it between layers. */
void whet_i_graph_segment(whet_i_graph *graph);

static inline int64_t whet_i_columns(const whet_i_graph *graph, whet_i_value value) {
    return graph->values[value].columns;
}

/* Keys and values of the tokens before a batch's, for causal attention: what generation adds a token to.
 * Arrays are [attention nodes][sequences][room, groups d]. */
typedef struct whet_i_cache {
    int64_t nodes, sequences, room;
    int64_t columns; /* groups d, the same in every node */
    whet_i_real *keys, *values;
    int64_t *past;       /* [sequences] tokens before this batch's; who runs batches adds to them */
    const int64_t *slot; /* [B] which of `sequences` each sequence of the batch is */
} whet_i_cache;

/* ---- a batch --------------------------------------------------------------------------------- */

typedef struct whet_i_batch {
    int64_t rows[WHET_I_EXTENTS]; /* within the plan's; rows[WHET_I_ONE] is 1 */
    const int64_t *start;         /* [B + 1] first tokens of the sequences; NULL = no tokens */
    const void *feeds[WHET_I_FEEDS_MAX]; /* whet_i_real or int32_t [rows, columns] */
    whet_i_real loss_scale;              /* gradients are of loss_scale * loss */
    bool train;                          /* dropout, statistics of the batch; coarse */
    bool coarse;                         /* products need no more than 16 bits (whet_i_linear) */
    bool accumulate;                     /* gradients of parameters are added to what is there */
    uint64_t seed;                       /* of dropout: another one each step */
    const whet_i_cache *cache;           /* NULL = each sequence is whole */
    const int64_t *asked;                /* [rows[WHET_I_ASKED]] rising tokens; NULL = none */
    const int64_t *asked_start;          /* [B + 1] which of them are of a sequence */
} whet_i_batch;

/* Of which tokens a value has rows. Where nothing but these is read of a network, its last layer needs keys
 * and values of all tokens, and everything else of these alone. */
typedef enum whet_i_selection {
    WHET_I_ALL_TOKENS,
    WHET_I_FIRST_TOKENS, /* one a sequence; a sequence without tokens has a row that counts for nothing */
    WHET_I_LAST_TOKENS,
    WHET_I_ASKED_TOKENS
} whet_i_selection;

static inline whet_i_extent whet_i_selection_extent(whet_i_selection selection) {
    return selection == WHET_I_ALL_TOKENS     ? WHET_I_TOKENS
           : selection == WHET_I_ASKED_TOKENS ? WHET_I_ASKED
                                              : WHET_I_EXAMPLES;
}
/* Rows of the sequences before `sequence`: where its own begin. */
static inline int64_t whet_i_selected_before(const whet_i_batch *batch, whet_i_selection selection,
                                             int64_t sequence) {
    return selection == WHET_I_ALL_TOKENS     ? batch->start[sequence]
           : selection == WHET_I_ASKED_TOKENS ? batch->asked_start[sequence]
                                              : sequence;
}
/* The token of row `row`; -1 where its sequence has none. */
static inline int64_t whet_i_selected_token(const whet_i_batch *batch, whet_i_selection selection,
                                            int64_t row) {
    if (selection == WHET_I_ALL_TOKENS) return row;
    if (selection == WHET_I_ASKED_TOKENS) return batch->asked[row];
    if (batch->start[row + 1] == batch->start[row]) return -1;
    return selection == WHET_I_FIRST_TOKENS ? batch->start[row] : batch->start[row + 1] - 1;
}

/* ---- operations ------------------------------------------------------------------------------ */

/* One pass of one node over one batch, as its operation sees it. */
typedef struct whet_i_task {
    const whet_i_node *node;
    const whet_i_graph *graph;
    const whet_i_batch *batch;
    const whet_kernels *kernels;
    void *state;                               /* of prepare */
    const void *in[WHET_I_INPUTS_MAX];         /* NULL where this pass does not read it */
    whet_i_real *out[WHET_I_OUTPUTS_MAX];      /* NULL: nobody reads it, do not write */
    whet_i_real *grad_out[WHET_I_OUTPUTS_MAX]; /* backward: may be overwritten */
    whet_i_real *grad_in[WHET_I_INPUTS_MAX];   /* backward: to write; NULL = not wanted */
    bool adds[WHET_I_INPUTS_MAX];              /* add to grad_in instead */
    bool param_adds[WHET_I_PARAMS_MAX];        /* add to the parameter's gradient */
    whet_i_real *saved;                        /* from the forward to the backward pass */
    whet_i_real *temporary;                    /* during this pass */
    int32_t workers;
    bool again; /* made again for the backward pass: running statistics stay */
} whet_i_task;

/* Sizes that a plan is made for. */
typedef struct whet_i_sizes {
    int64_t rows[WHET_I_EXTENTS]; /* at most so many */
    int64_t longest;              /* tokens of a sequence, at most */
    int32_t workers;
    bool train;      /* a backward pass follows */
    uint32_t wanted; /* of a node: input gradients that it computes */
    void *state;     /* of prepare, for what asks how much memory a pass needs */
} whet_i_sizes;

typedef struct whet_i_pass {
    int32_t phases; /* all items of one phase are done before the next begins; 0 = no such pass */
    int64_t (*items)(const whet_i_task *task, int32_t phase);
    void (*run)(const whet_i_task *task, int32_t phase, int64_t item, void *scratch);
    int64_t (*scratch)(const whet_i_graph *graph, const whet_i_node *node,
                       const whet_i_sizes *sizes); /* bytes a worker needs; NULL = none */
    int64_t (*temporary)(const whet_i_graph *graph, const whet_i_node *node,
                         const whet_i_sizes *sizes); /* reals all share; NULL = none */
} whet_i_pass;

#define WHET_I_READS_IN(i) (1U << (i))
#define WHET_I_READS_OUT(i) (1U << (8 + (i)))

typedef struct whet_i_op {
    const char *name;
    whet_i_pass forward;
    /* The backward pass: from grad_out to grad_in and the gradients of trainable parameters. */
    whet_i_pass backward;
    /* Which inputs and outputs it reads, as WHET_I_READS_ bits, given which input gradients are
     * wanted (bit i) and whether any parameter is trainable. NULL = none. */
    uint32_t (*backward_reads)(const whet_i_graph *graph, const whet_i_node *node, uint32_t wanted);
    /* Makes output 0 again cheaply from what rebuild_reads names, which is kept instead. */
    whet_i_pass rebuild;
    uint32_t rebuild_reads;
    /* reals from the forward to the backward pass, as task->saved; NULL = none. */
    int64_t (*saved)(const whet_i_graph *graph, const whet_i_node *node, const whet_i_sizes *sizes);
    bool in_place; /* forward: out[0] may be in[0] */
    /* The input whose gradient may lie in grad_out[0]'s memory, -1 = none; the operation sees equal
     * pointers. An input that is added unchanged (a residual) then costs nothing. */
    int32_t grad_shares;
    /* Makes what needs memory or can fail, before sizes are asked for. NULL = nothing. */
    whet_status (*prepare)(whet_ctx *ctx, const whet_i_graph *graph, const whet_i_node *node,
                           const whet_i_sizes *sizes, void **state);
    void (*release)(whet_ctx *ctx, void *state);
} whet_i_op;

/* Rows that value has in this batch. */
static inline int64_t whet_i_rows(const whet_i_task *task, whet_i_value value) {
    return task->batch->rows[task->graph->values[value].extent];
}

/* Blocks of `block` rows: items of a pass over rows, and the rows of one. */
static inline int64_t whet_i_blocks(int64_t rows, int64_t block) {
    return (rows + block - 1) / block;
}
static inline int64_t whet_i_block_rows(int64_t rows, int64_t block, int64_t item) {
    return rows - item * block < block ? rows - item * block : block;
}

/* ---- plan ------------------------------------------------------------------------------------ */

typedef struct whet_i_plan_opts {
    whet_i_sizes sizes; /* .train is set by `loss` */
    whet_i_value loss;  /* [1, 1]: gradients of every trainable parameter; WHET_I_NONE = forward */
    const whet_i_value *keep; /* [n_keep] values to read after a run */
    int64_t n_keep;
    bool recompute; /* values inside segments are made again, not kept */
    /* All workers, even where there is too little to do for them: tests of the bits. */
    bool always_team;
} whet_i_plan_opts;

typedef struct whet_i_plan whet_i_plan;

/* Read-only afterwards. Asks `params` for the packed weights that it needs: whet_i_params_pack
 * before the first run. The graph and its parameters must outlive the plan.
 * Errors: LIMIT, NOMEM, whatever an operation's preparation says. */
WHET_CHECKED whet_status whet_i_plan_create(whet_ctx *ctx, const whet_i_graph *graph,
                                            const whet_i_plan_opts *opts, whet_i_plan **out);
void whet_i_plan_destroy(whet_ctx *ctx, whet_i_plan *plan);
/* Bytes of one executor with the plan's workers. */
int64_t whet_i_plan_bytes(const whet_i_plan *plan);

/* ---- running --------------------------------------------------------------------------------- */

typedef struct whet_i_executor whet_i_executor;

/* The memory of one run at a time, for the plan's workers. */
WHET_CHECKED whet_status whet_i_executor_create(whet_ctx *ctx, const whet_i_plan *plan,
                                                whet_i_executor **out);
void whet_i_executor_destroy(whet_ctx *ctx, whet_i_executor *executor);
/* Runs every step over the batch on the plan's workers; with one, on the calling thread (which may
 * be inside whet_i_parallel_for). Same bits for any number of workers. */
void whet_i_executor_run(whet_i_executor *executor, const whet_i_batch *batch);
/* A value that the plan keeps, after a run. */
const whet_i_real *whet_i_executor_value(const whet_i_executor *executor, whet_i_value value);

#endif
