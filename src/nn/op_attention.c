/* SPDX-License-Identifier: Apache-2.0
 * Attention within sequences that lie behind each other, without padding. An item is a sequence and
 * a key head, with all query heads that share it. No more than BLOCK x longest weights of a head
 * exist at once: the backward pass makes them again, block of queries by block, instead of keeping
 * them (as in FlashAttention, Dao et al. 2022, with whole rows of scores: t is at most thousands here).
 * With P = softmax(scale q k^T), M the dropout mask and g the gradient of the output:
 *   dv = (P M)^T g     dS = scale P (dP - sum P dP), dP = (g v^T) M     dq = dS k     dk = dS^T q
 * Queries may be of some tokens alone, keys and values are of all. Their bits, and those of dropout, are what
 * they are among all.
 * Legend: t tokens of a sequence, d numbers a head, i queries, j keys. */
#include <math.h>

#include "nn/ops_i.h"

typedef struct settings {
    int64_t heads, groups, d;
    int32_t number; /* among the graph's attention nodes: its place in a cache */
    whet_i_selection
        selection; /* the queries' tokens; if not all, they are an input of their own */
    bool causal;
    uint32_t threshold; /* dropout: weights whose 16 random bits are below it */
    whet_i_real keep;   /* 1 / (1 - p) */
} settings;

enum { BLOCK = 64 };

/* One head of one sequence, in a task. */
typedef struct head {
    const whet_i_task *task;
    const settings *s;
    int64_t t, queries; /* tokens; those that ask */
    int64_t first, row; /* of them in the batch, in the array of queries */
    int64_t number;     /* query head */
    int64_t ld, ldq;    /* between rows of k and v, of q */
    const whet_i_real *q, *k, *v;
    whet_i_real *weights, *gradients; /* [BLOCK, t] */
} head;

static const settings *settings_of(const whet_i_node *node) { return node->settings; }

static int64_t items(const whet_i_task *t, int32_t phase) {
    (void)phase;
    return t->batch->rows[WHET_I_EXAMPLES] * settings_of(t->node)->groups;
}

/* Where queries, keys and values of a head begin in arrays [row, ..], [token, ..]: one array, or two. */
typedef struct places {
    int64_t q, k, v, ld, ldq;
} places;

static places places_of(const settings *s, int64_t row, int64_t first, int64_t number) {
    const bool apart = s->selection != WHET_I_ALL_TOKENS;
    const int64_t own = s->heads * s->d, both = 2 * s->groups * s->d;
    const int64_t ld = apart ? both : own + both, ldq = apart ? own : own + both;
    const int64_t group = number / (s->heads / s->groups) * s->d;
    const int64_t k = first * ld + (apart ? 0 : own) + group;
    return (places){
        .q = row * ldq + number * s->d, .k = k, .v = k + s->groups * s->d, .ld = ld, .ldq = ldq};
}

/* Query head `number` of the item's sequence. */
static head head_of(const whet_i_task *t, int64_t item, int64_t number) {
    const settings *s = settings_of(t->node);
    const int64_t sequence = item / s->groups, first = t->batch->start[sequence];
    const int64_t row = whet_i_selected_before(t->batch, s->selection, sequence);
    const places at = places_of(s, row, first, number);
    const whet_i_real *q = t->in[0], *kv = t->in[t->node->n_inputs - 1];
    return (head){.task = t,
                  .s = s,
                  .t = t->batch->start[sequence + 1] - first,
                  .queries = whet_i_selected_before(t->batch, s->selection, sequence + 1) - row,
                  .first = first,
                  .row = row,
                  .number = number,
                  .ld = at.ld,
                  .ldq = at.ldq,
                  .q = q + at.q,
                  .k = kv + at.k,
                  .v = kv + at.v};
}

/* The token of the sequence that query i is of. */
static int64_t token_of(const head *h, int64_t i) {
    return whet_i_selected_token(h->task->batch, h->s->selection, h->row + i) - h->first;
}

static whet_i_real scale_of(const settings *s) { return (whet_i_real)(1 / sqrt((double)s->d)); }

static bool drops(const whet_i_task *t) {
    return t->batch->train && settings_of(t->node)->threshold > 0;
}

/* ---- a block of queries ----------------------------------------------------------------------- */

static int64_t keys_of(const head *h, int64_t first, int64_t rows) {
    return h->s->causal ? token_of(h, first + rows - 1) + 1 : h->t;
}

/* c [m, n] = a b (+ c when beta is 1), operands by strides. Of bfloat16 where the network is: torch's
 * autocast does the same. */
static void product(const head *h, bool coarse, int64_t m, int64_t n, int64_t k,
                    const whet_i_real *a, int64_t a_row, int64_t a_col, const whet_i_real *b,
                    int64_t b_row, int64_t b_col, whet_i_real beta, whet_i_real *c, int64_t ldc) {
    const whet_i_product args = {.m = m,
                                 .n = n,
                                 .k = k,
                                 .a = a,
                                 .b = b,
                                 .a_row = a_row,
                                 .a_col = a_col,
                                 .b_row = b_row,
                                 .b_col = b_col,
                                 .beta = beta,
                                 .c = c,
                                 .ldc = ldc,
                                 .coarse = coarse};
    if (h->task->graph->params->dtype == WHET_BF16)
        h->task->kernels->product_bf16(&args, NULL);
    else
        h->task->kernels->product(&args);
}

/* weights [rows, keys] = softmax of the block's scores, zero where a query sees nothing. */
static void make_weights(const head *h, int64_t first, int64_t rows) {
    const int64_t keys = keys_of(h, first, rows);
    product(h, false, rows, keys, h->s->d, h->q + first * h->ldq, h->ldq, 1, h->k, 1, h->ld, 0,
            h->weights, h->t);
    for (int64_t i = 0; i < rows; i++) {
        whet_i_real *row = h->weights + i * h->t;
        const int64_t seen = keys_of(h, first + i, 1);
        h->task->kernels->scale(seen, scale_of(h->s), row);
        h->task->kernels->softmax(seen, row);
        for (int64_t j = seen; j < keys; j++) row[j] = 0;
    }
}

/* x [rows, keys] times the dropout mask. */
static void mask(const head *h, int64_t first, int64_t rows, whet_i_real *x) {
    const int64_t keys = keys_of(h, first, rows);
    const whet_i_batch *batch = h->task->batch;
    const uint64_t stream =
        whet_i_hash_u64(batch->seed + (uint64_t)h->task->node->index) ^ (uint64_t)h->number << 48;
    for (int64_t i = 0; i < rows; i++) {
        const uint64_t row =
            whet_i_hash_u64(stream ^ (uint64_t)(h->first + token_of(h, first + i)));
        h->task->kernels->dropout(keys, row, 0, h->s->threshold, h->s->keep, x + i * h->t, false,
                                  x + i * h->t);
    }
}

/* ---- forward ---------------------------------------------------------------------------------- */

static void forward_dropped(head *h, whet_i_real *out, int64_t ldo, whet_i_real *space) {
    h->weights = space;
    for (int64_t i = 0; i < h->queries; i += BLOCK) {
        const int64_t rows = whet_i_block_rows(h->queries, BLOCK, i / BLOCK);
        make_weights(h, i, rows);
        mask(h, i, rows, h->weights);
        product(h, true, rows, h->s->d, keys_of(h, i, rows), h->weights, h->t, 1, h->v, h->ld, 1, 0,
                out + i * ldo, ldo);
    }
}

/* How many queries from i on are of neighbouring tokens, as the kernel takes them. */
static int64_t run_of(const head *h, int64_t i) {
    int64_t n = 1;
    if (!h->s->causal || h->s->selection == WHET_I_ALL_TOKENS) return h->queries - i;
    while (i + n < h->queries && token_of(h, i + n) == token_of(h, i) + n) n++;
    return n;
}

/* With keys and values of `past` tokens before the sequence's. */
static void attend(const head *h, int64_t past, whet_i_real *out, int64_t ldo, void *scratch) {
    for (int64_t i = 0, n; i < h->queries; i += n) {
        n = run_of(h, i);
        const whet_i_attention args = {.t = past + keys_of(h, i, n),
                                       .d = h->s->d,
                                       .queries = n,
                                       .causal = h->s->causal,
                                       .q = h->q + i * h->ldq,
                                       .k = h->k,
                                       .v = h->v,
                                       .ld = h->ld,
                                       .ldq = h->ldq,
                                       .ldo = ldo,
                                       .scale = scale_of(h->s),
                                       .out = out + i * ldo,
                                       .scratch = scratch};
        h->task->kernels->attention(&args);
    }
}

/* Makes *h see the keys and values in the cache, to which the first head that reads them adds the
 * sequence's own: items write columns of their own key head. Returns how many there were. */
static int64_t see_cache(const whet_i_task *t, int64_t item, bool adds, head *h) {
    const settings *s = h->s;
    const whet_i_cache *c = t->batch->cache;
    const int64_t sequence = c->slot[item / s->groups], at = item % s->groups * s->d;
    const int64_t place = (s->number * c->sequences + sequence) * c->room * c->columns + at;
    const int64_t past = c->past[sequence];
    whet_i_real *keys = c->keys + place, *values = c->values + place;
    for (int64_t i = 0; adds && i < h->t; i++) {
        memcpy(keys + (past + i) * c->columns, h->k + i * h->ld, (size_t)s->d * sizeof *keys);
        memcpy(values + (past + i) * c->columns, h->v + i * h->ld, (size_t)s->d * sizeof *values);
    }
    h->k = keys;
    h->v = values;
    h->ld = c->columns;
    return past;
}

/* Rows of an array of queries that have no key to look at become zero. */
static void clear_queries(const head *h, whet_i_real *x, int64_t ld) {
    for (int64_t i = 0; i < h->queries; i++) memset(x + i * ld, 0, (size_t)h->s->d * sizeof *x);
}

static void forward_item(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    const settings *s = settings_of(t->node);
    const int64_t share = s->heads / s->groups, group = item % s->groups, ldo = s->heads * s->d;
    for (int64_t i = group * share; i < (group + 1) * share; i++) {
        head h = head_of(t, item, i);
        whet_i_real *out = t->out[0] + h.row * ldo + i * s->d;
        if (h.t == 0)
            clear_queries(&h, out, ldo);
        else if (t->batch->cache)
            attend(&h, see_cache(t, item, i == group * share, &h), out, ldo, scratch);
        else if (drops(t))
            forward_dropped(&h, out, ldo, scratch);
        else
            attend(&h, 0, out, ldo, scratch);
    }
}

/* ---- backward --------------------------------------------------------------------------------- */

typedef struct head_gradient {
    const whet_i_real *out; /* rows ldo apart */
    whet_i_real *q, *k, *v; /* rows as the head's; NULL = not wanted: q, or k and v */
    whet_i_real *masked;    /* [BLOCK, t], with dropout */
    int64_t ldo;
} head_gradient;

static void backward_block(const head *h, const head_gradient *g, int64_t first, int64_t rows,
                           whet_i_real q_beta, whet_i_real kv_beta) {
    const int64_t keys = keys_of(h, first, rows), d = h->s->d;
    const whet_i_real *go = g->out + first * g->ldo, *weights = h->weights;
    make_weights(h, first, rows);
    /* whole: of dP little may be left without its mean */
    product(h, false, rows, keys, d, go, g->ldo, 1, h->v, 1, h->ld, 0, h->gradients, h->t);
    if (drops(h->task)) {
        for (int64_t i = 0; i < rows; i++)
            memcpy(g->masked + i * h->t, h->weights + i * h->t, (size_t)keys * sizeof *g->masked);
        mask(h, first, rows, g->masked);
        mask(h, first, rows, h->gradients);
        weights = g->masked;
    }
    if (g->v)
        product(h, true, keys, d, rows, weights, 1, h->t, go, g->ldo, 1, kv_beta, g->v, h->ld);
    for (int64_t i = 0; i < rows; i++)
        h->task->kernels->softmax_backward(keys, scale_of(h->s), h->weights + i * h->t,
                                           h->gradients + i * h->t);
    if (g->q)
        product(h, true, rows, d, keys, h->gradients, h->t, 1, h->k, h->ld, 1, q_beta,
                g->q + first * h->ldq, h->ldq);
    if (g->k)
        product(h, true, keys, d, rows, h->gradients, 1, h->t, h->q + first * h->ldq, h->ldq, 1,
                kv_beta, g->k, h->ld);
}

/* Rows of keys that the first block does not reach (causal) begin at zero. */
static void clear_keys(const head *h, whet_i_real *x, int64_t from) {
    for (int64_t j = from; x && j < h->t; j++)
        memset(x + j * h->ld, 0, (size_t)h->s->d * sizeof *x);
}

static head_gradient gradient_of(const whet_i_task *t, const head *h, void *scratch) {
    const int32_t last = t->node->n_inputs - 1;
    const places at = places_of(h->s, h->row, h->first, h->number);
    const int64_t ldo = h->s->heads * h->s->d;
    whet_i_real *q = t->grad_in[0], *kv = t->grad_in[last];
    return (head_gradient){.out = t->grad_out[0] + h->row * ldo + h->number * h->s->d,
                           .q = q ? q + at.q : NULL,
                           .k = kv ? kv + at.k : NULL,
                           .v = kv ? kv + at.v : NULL,
                           .masked = (whet_i_real *)scratch + 2 * BLOCK * h->t,
                           .ldo = ldo};
}

static void backward_item(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    const settings *s = settings_of(t->node);
    const int64_t share = s->heads / s->groups, group = item % s->groups;
    const int32_t last = t->node->n_inputs - 1;
    for (int64_t i = group * share; i < (group + 1) * share; i++) {
        head h = head_of(t, item, i);
        const head_gradient g = gradient_of(t, &h, scratch);
        h.weights = scratch;
        h.gradients = h.weights + BLOCK * h.t;
        if (h.t == 0 && g.q && !t->adds[0]) clear_queries(&h, g.q, h.ldq);
        if (h.t == 0) continue;
        bool fresh = i == group * share && !t->adds[last];
        if (fresh) {
            const int64_t rows = h.queries < BLOCK ? h.queries : BLOCK;
            const int64_t reached = rows ? keys_of(&h, 0, rows) : 0;
            clear_keys(&h, g.k, reached);
            clear_keys(&h, g.v, reached);
        }
        for (int64_t first = 0; first < h.queries; first += BLOCK, fresh = false)
            backward_block(&h, &g, first, whet_i_block_rows(h.queries, BLOCK, first / BLOCK),
                           t->adds[0] ? 1 : 0, fresh ? 0 : 1);
    }
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)g;
    (void)wanted;
    return WHET_I_READS_IN(0) | WHET_I_READS_IN(node->n_inputs - 1);
}

static int64_t forward_scratch(const whet_i_graph *g, const whet_i_node *node,
                               const whet_i_sizes *sizes) {
    (void)g;
    const settings *s = settings_of(node);
    const int64_t kernel = whet_i_attention_scratch(sizes->longest, s->d);
    const int64_t block = s->threshold ? BLOCK * sizes->longest : 0;
    return (kernel > block ? kernel : block) * (int64_t)sizeof(whet_i_real);
}

static int64_t backward_scratch(const whet_i_graph *g, const whet_i_node *node,
                                const whet_i_sizes *sizes) {
    (void)g;
    const int64_t blocks = settings_of(node)->threshold ? 3 : 2;
    return blocks * BLOCK * sizes->longest * (int64_t)sizeof(whet_i_real);
}

static const whet_i_op op_attention = {
    .name = "attention",
    .forward = {1, items, forward_item, forward_scratch, NULL},
    .backward = {1, items, backward_item, backward_scratch, NULL},
    .backward_reads = backward_reads,
    .grad_shares = -1,
};

static whet_status record(whet_ctx *ctx, whet_i_graph *graph, whet_i_value q, whet_i_value kv,
                          const whet_i_attention_spec *spec, whet_i_selection selection,
                          whet_i_value *out) {
    const settings s = {.heads = spec->heads,
                        .groups = spec->groups,
                        .d = spec->d,
                        .number = graph->n_attention,
                        .selection = selection,
                        .causal = spec->causal,
                        .threshold = (uint32_t)(spec->dropout * 65536 + 0.5),
                        .keep = (whet_i_real)(1 / (1 - spec->dropout))};
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const whet_i_recording r = {.op = &op_attention,
                                .settings = &s,
                                .settings_size = sizeof s,
                                .n_inputs = kv == WHET_I_NONE ? 1 : 2,
                                .n_outputs = 1,
                                .inputs = {q, kv},
                                .extents = {graph->values[q].extent},
                                .columns = {spec->heads * spec->d}};
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    graph->n_attention++;
    *out = outputs[0];
    return WHET_OK;
}

whet_status whet_i_attention_layer(whet_ctx *ctx, whet_i_graph *graph, whet_i_value qkv,
                                   const whet_i_attention_spec *spec, whet_i_value *out) {
    return record(ctx, graph, qkv, WHET_I_NONE, spec, WHET_I_ALL_TOKENS, out);
}

whet_status whet_i_attention_of(whet_ctx *ctx, whet_i_graph *graph, whet_i_selection selection,
                                whet_i_value q, whet_i_value kv, const whet_i_attention_spec *spec,
                                whet_i_value *out) {
    return record(ctx, graph, q, kv, spec, selection, out);
}
