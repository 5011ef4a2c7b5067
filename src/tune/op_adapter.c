/* SPDX-License-Identifier: Apache-2.0
 * Adapters: the linear layer before them adds them itself where its kernels can (nn/op_linear.c). Elsewhere,
 * where the layer is cut within a panel or has something else behind it, they are the operation here, by
 * rows that stay in the cache; nn/additions_i.h has the equations of both, whose bits are the same but for
 * what is added to what first. */
#include "tune/adapter_i.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { ROWS_LEAST = 24, ROWS_MOST = 96 };

whet_i_adapter_shape whet_i_adapter_shape_of(int64_t in, int64_t out, int64_t blocks,
                                             int64_t rank) {
    whet_i_adapter_shape s = {.in = in, .out = out, .rank = rank};
    s.p = (in + blocks - 1) / blocks;
    s.blocks = (in + s.p - 1) / s.p;
    s.q = (s.p * out + in - 1) / in;
    return s;
}

/* One addition. Inputs of the node: y, x; parameters: W1, W2. With dropout, numbers of scale M x are zeroed
 * in training, and the rest scaled by `keep`, before they are added. */
typedef struct settings {
    whet_i_additions all;   /* into y */
    whet_i_additions alone; /* the same into rows of their own */
    uint32_t threshold;     /* dropped where 16 random bits are below it; 0 = no dropout */
    whet_i_real keep;       /* 1 / (1 - dropout) */
} settings;

static const settings *settings_of(const whet_i_node *node) { return node->settings; }

static const whet_i_additions *additions_of(const whet_i_node *node) {
    return &settings_of(node)->all;
}

static bool drops(const whet_i_task *t) {
    return settings_of(t->node)->threshold > 0 && t->batch->train;
}

static bool trains(const whet_i_graph *g, const whet_i_node *node, int32_t i) {
    return g->params->items[node->params[i]].trainable;
}

static int64_t rows_of(const whet_i_task *t) { return whet_i_rows(t, t->node->outputs[0]); }

static int64_t columns_of(const whet_i_task *t) {
    return whet_i_columns(t->graph, t->node->outputs[0]);
}

/* A quarter of what each member of the team gets; backward, whole chunks. */
static int64_t row_block(const whet_i_task *t, bool chunks) {
    const int64_t rows = rows_of(t) / (4 * t->workers), chunk = whet_i_additions_chunk(rows_of(t));
    if (chunks) return rows < chunk ? chunk : (rows + chunk / 2) / chunk * chunk;
    return rows < ROWS_LEAST ? ROWS_LEAST : rows > ROWS_MOST ? ROWS_MOST : rows;
}

/* ---- dropout ---------------------------------------------------------------------------------- */

/* to [n] += from where kept, of row `row` of the batch: by a hash of seed, node and place. */
static void add_kept(const whet_i_task *t, int64_t row, int64_t n, const whet_i_real *from,
                     whet_i_real *to) {
    const settings *s = settings_of(t->node);
    const uint64_t stream = whet_i_hash_u64(t->batch->seed + (uint64_t)t->node->index);
    const int64_t groups = whet_i_blocks(n, 4); /* four numbers share one hash */
    for (int64_t i = 0; i < n; i += 4) {
        const uint64_t bits = whet_i_hash_u64(stream ^ (uint64_t)(row * groups + i / 4));
        for (int64_t j = i; j < i + 4 && j < n; j++)
            if ((bits >> 16 * (j - i) & 0xffff) >= s->threshold) to[j] += s->keep * from[j];
    }
}

/* Rows of the adapter by themselves [rows, out], zeroed. */
static whet_i_real *own_rows(const whet_i_task *t, int64_t rows, void *scratch) {
    const whet_i_additions *a = additions_of(t->node);
    whet_i_real *own = (whet_i_real *)scratch + ROWS_MOST * whet_i_additions_width(a);
    memset(own, 0, (size_t)(rows * a->items[0].shape.out) * sizeof *own);
    return own;
}

/* ---- forward ---------------------------------------------------------------------------------- */

static int64_t forward_items(const whet_i_task *t, int32_t phase) {
    return phase == 0 ? 1 : whet_i_blocks(rows_of(t), row_block(t, false));
}

static void forward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    const whet_i_additions *a = additions_of(t->node);
    if (phase == 0) {
        whet_i_additions_pack(t, a, 0, t->temporary);
        return;
    }
    const int64_t block = row_block(t, false), first = item * block, columns = columns_of(t);
    const int64_t rows = whet_i_block_rows(rows_of(t), block, item);
    const whet_i_real *y = (const whet_i_real *)t->in[0] + first * columns;
    whet_i_real *out = t->out[0] + first * columns;
    whet_i_real *z = t->saved ? t->saved + first * whet_i_additions_width(a) : scratch;
    if (out != y) memcpy(out, y, (size_t)(rows * columns) * sizeof *out);
    whet_i_additions_first(t, a, rows, (const whet_i_real *)t->in[1] + first * a->items[0].shape.in,
                           z);
    whet_i_monarch args = whet_i_additions_second(a, 0, t->temporary, z);
    args.rows = rows;
    args.out = out + a->items[0].first;
    args.ldo = columns;
    if (drops(t)) {
        args.out = own_rows(t, rows, scratch);
        args.ldo = a->items[0].shape.out;
    }
    t->kernels->monarch_add(&args);
    for (int64_t i = 0; drops(t) && i < rows; i++)
        add_kept(t, first + i, args.ldo, args.out + i * args.ldo,
                 out + i * columns + a->items[0].first);
}

static int64_t scratch_bytes(const whet_i_graph *g, const whet_i_node *node,
                             const whet_i_sizes *sizes) {
    (void)g;
    (void)sizes;
    const settings *s = settings_of(node);
    const int64_t own = s->threshold > 0 ? s->all.items[0].shape.out : 0;
    return ROWS_MOST * (whet_i_additions_width(&s->all) + own) * (int64_t)sizeof(whet_i_real);
}

static int64_t forward_temporary(const whet_i_graph *g, const whet_i_node *node,
                                 const whet_i_sizes *sizes) {
    (void)g;
    (void)sizes;
    return whet_i_additions_packed(additions_of(node));
}

static int64_t saved_z(const whet_i_graph *g, const whet_i_node *node, const whet_i_sizes *sizes) {
    return sizes->rows[g->values[node->outputs[0]].extent] *
           whet_i_additions_width(additions_of(node));
}

/* ---- backward --------------------------------------------------------------------------------- */

/* Packed W2, then the sums of chunks. */
static int64_t backward_temporary(const whet_i_graph *g, const whet_i_node *node,
                                  const whet_i_sizes *sizes) {
    const whet_i_additions *a = additions_of(node);
    const int64_t rows = sizes->rows[g->values[node->outputs[0]].extent];
    return whet_i_additions_packed(a) + whet_i_additions_chunks(rows) * whet_i_additions_sums(a);
}

static whet_i_real *sums_of(const whet_i_task *t) {
    return t->temporary + whet_i_additions_packed(additions_of(t->node));
}

static void backward_slab(const whet_i_task *t, int64_t first, int64_t rows, void *scratch) {
    const whet_i_additions *a = additions_of(t->node);
    const int64_t in = a->items[0].shape.in;
    whet_i_additions_rows args = {.first = first,
                                  .rows = rows,
                                  .columns = columns_of(t),
                                  .packed = t->temporary,
                                  .x = t->in[1] ? (const whet_i_real *)t->in[1] + first * in : NULL,
                                  .z = t->saved + first * whet_i_additions_width(a),
                                  .g = t->grad_out[0] + first * columns_of(t),
                                  .dz = scratch,
                                  .dx = t->grad_in[1] ? t->grad_in[1] + first * in : NULL,
                                  .sums = sums_of(t)};
    if (args.dx && !t->adds[1]) memset(args.dx, 0, (size_t)(rows * in) * sizeof *args.dx);
    if (drops(t)) {
        const int64_t n = a->items[0].shape.out;
        whet_i_real *own = own_rows(t, rows, scratch);
        for (int64_t i = 0; i < rows; i++)
            add_kept(t, first + i, n, args.g + i * args.columns + a->items[0].first, own + i * n);
        args.g = own;
        args.columns = n;
        a = &settings_of(t->node)->alone;
    }
    whet_i_additions_backward(t, a, &args);
}

static void backward_rows(const whet_i_task *t, int64_t item, void *scratch) {
    const int64_t block = row_block(t, true), first = item * block, columns = columns_of(t);
    const int64_t rows = whet_i_block_rows(rows_of(t), block, item);
    for (int64_t i = 0; i < rows; i += ROWS_MOST)
        backward_slab(t, first + i, rows - i < ROWS_MOST ? rows - i : ROWS_MOST, scratch);
    if (!t->grad_in[0] || t->grad_in[0] == t->grad_out[0]) return;
    const whet_i_real *g = t->grad_out[0] + first * columns;
    whet_i_real *dy = t->grad_in[0] + first * columns;
    if (t->adds[0])
        t->kernels->add(rows * columns, g, dy);
    else
        memcpy(dy, g, (size_t)(rows * columns) * sizeof *dy);
}

static int64_t backward_items(const whet_i_task *t, int32_t phase) {
    if (phase == 0) return 1;
    if (phase == 1) return whet_i_blocks(rows_of(t), row_block(t, true));
    return whet_i_additions_items(t, additions_of(t->node));
}

static void backward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    if (phase == 0)
        whet_i_additions_pack(t, additions_of(t->node), 0, t->temporary);
    else if (phase == 1)
        backward_rows(t, item, scratch);
    else
        whet_i_additions_gradient(t, additions_of(t->node), rows_of(t), sums_of(t), item);
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)wanted;
    return trains(g, node, 0) ? WHET_I_READS_IN(1) : 0;
}

static const whet_i_op op_adapter = {
    .name = "adapter",
    .forward = {2, forward_items, forward_run, scratch_bytes, forward_temporary},
    .backward = {3, backward_items, backward_run, scratch_bytes, backward_temporary},
    .backward_reads = backward_reads,
    .saved = saved_z,
    .in_place = true,
    .grad_shares = 0,
};

/* ---- recording -------------------------------------------------------------------------------- */

static whet_status add_params(whet_ctx *ctx, whet_i_graph *g, const char *module,
                              const whet_i_adapter_settings *a, const whet_i_adapter_shape *s,
                              whet_i_param_id *ids) {
    char name[256];
    for (int i = 0; i < 2; i++) {
        (void)snprintf(name, sizeof name, "%s.%s", module, whet_i_adapter_factor(a->kind, i));
        whet_i_param_spec p = {.name = name,
                               .rank = 3,
                               .shape = {s->blocks, i ? s->q : s->rank, i ? s->rank : s->p},
                               .init = i ? WHET_I_INIT_ZERO : WHET_I_INIT_UNIFORM,
                               .init_scale = 1 / sqrt((double)s->p)};
        if (a->kind != WHET_I_ADAPTER_MORE) {
            p.rank = 2;
            p.shape[0] = p.shape[1];
            p.shape[1] = p.shape[2];
        }
        WHET_TRY(whet_i_params_add(ctx, g->params, &p, &ids[i]));
    }
    return WHET_OK;
}

whet_status whet_i_adapter_check_rank(whet_ctx *ctx, const char *module, int64_t in, int64_t out,
                                      int64_t rank) {
    char quoted[WHET_QUOTE_SIZE];
    const int64_t most = in < out ? in : out;
    if (rank <= most) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG,
                       "adapter of %s: rank %" PRId64 "; expected at most %" PRId64
                       ", the shorter side of its %" PRId64 " x %" PRId64 " weights",
                       whet_i_quote(quoted, whet_str_from(module)), rank, most, out, in);
}

bool whet_i_adapter_warn(whet_ctx *ctx, const char *module, const whet_i_adapter_settings *a) {
    char quoted[WHET_QUOTE_SIZE];
    if (a->rank % a->blocks == 0) return false;
    whet_i_quote(quoted, whet_str_from(module));
    if (a->rank < a->blocks)
        whet_i_log(ctx, WHET_LOG_WARN,
                   "adapter of %s: rank %" PRId64 " is below its %" PRId64
                   " blocks, so that %.0f %% of its matrix can only be zero; a rank of %" PRId64
                   " fills it",
                   quoted, a->rank, a->blocks, 100 * (1 - (double)a->rank / (double)a->blocks),
                   a->blocks);
    else
        whet_i_log(ctx, WHET_LOG_WARN,
                   "adapter of %s: rank %" PRId64 " is not a multiple of its %" PRId64
                   " blocks: some parts of its matrix get one term more than others",
                   quoted, a->rank, a->blocks);
    return true;
}

whet_status whet_i_adapter_record_shape(whet_ctx *ctx, whet_i_graph *graph, const char *module,
                                        whet_i_value x, whet_i_value *y, int64_t first,
                                        const whet_i_adapter_shape *shape,
                                        const whet_i_adapter_settings *a, double dropout) {
    const whet_i_real scale = (whet_i_real)a->scale;
    const settings s = {
        .all = {.n = 1, .items = {{.shape = *shape, .first = first, .scale = scale}}},
        .alone = {.n = 1, .items = {{.shape = *shape, .scale = scale}}},
        .threshold = (uint32_t)(dropout * 65536 + 0.5),
        .keep = (whet_i_real)(1 / (1 - dropout))};
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    whet_i_recording r = {.op = &op_adapter,
                          .settings = &s,
                          .settings_size = sizeof s,
                          .n_inputs = 2,
                          .n_outputs = 1,
                          .n_params = 2,
                          .inputs = {*y, x},
                          .extents = {graph->values[*y].extent},
                          .columns = {whet_i_columns(graph, *y)}};
    bool done = false;
    WHET_TRY(add_params(ctx, graph, module, a, shape, r.params));
    if (s.threshold == 0)
        WHET_TRY(whet_i_linear_adapt(ctx, graph, x, *y, &s.all.items[0], r.params, &done));
    if (done) return WHET_OK;
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *y = outputs[0];
    return WHET_OK;
}

whet_status whet_i_adapter_record_dropout(whet_ctx *ctx, whet_i_graph *graph, const char *module,
                                          whet_i_value x, whet_i_value *y, int64_t first,
                                          int64_t columns_of_layer,
                                          const whet_i_adapter_settings *a, double dropout) {
    const whet_i_adapter_shape shape =
        whet_i_adapter_shape_of(whet_i_columns(graph, x), columns_of_layer, a->blocks, a->rank);
    return whet_i_adapter_record_shape(ctx, graph, module, x, y, first, &shape, a, dropout);
}

whet_status whet_i_adapter_record(whet_ctx *ctx, whet_i_graph *graph, const char *module,
                                  whet_i_value x, whet_i_value *y, int64_t first,
                                  int64_t columns_of_layer, const whet_i_adapter_settings *a) {
    return whet_i_adapter_record_dropout(ctx, graph, module, x, y, first, columns_of_layer, a, 0);
}
