/* SPDX-License-Identifier: Apache-2.0
 * The operation of adapters; adapter_i.h has its definition. The permutations move no data: they are
 * strides of the products.
 *
 * Forward and the gradients of x go by blocks of rows, which stay in the cache. z is kept (N r numbers
 * a row); the gradients of W1 and W2 are sums over rows, shared out by their own rows and columns.
 * Legend: t rows, k and l blocks, a and c ranks, i inputs, s outputs of a block. */
#include "tune/adapter_i.h"

#include <math.h>
#include <stdio.h>

typedef struct settings {
    whet_i_adapter_shape shape;
    int64_t first; /* column of y */
    whet_i_real scale;
} settings;

enum { BLOCK = 96, PANEL = 64, TALL = 192 };

whet_i_adapter_shape whet_i_adapter_shape_of(int64_t in, int64_t out, int64_t blocks,
                                             int64_t rank) {
    whet_i_adapter_shape s = {.in = in, .out = out, .rank = rank};
    s.p = (in + blocks - 1) / blocks;
    s.blocks = (in + s.p - 1) / s.p;
    s.q = (s.p * out + in - 1) / in;
    return s;
}

static const settings *settings_of(const whet_i_node *node) { return node->settings; }

static const whet_i_param *param(const whet_i_task *t, int32_t i) {
    return &t->graph->params->items[t->node->params[i]];
}

static int64_t rows_of(const whet_i_task *t) { return whet_i_rows(t, t->node->outputs[0]); }

static int64_t columns_of(const whet_i_task *t) {
    return whet_i_columns(t->graph, t->node->outputs[0]);
}

static int64_t row_items(const whet_i_task *t, int32_t phase) {
    (void)phase;
    return whet_i_blocks(rows_of(t), BLOCK);
}

/* Inputs of block k, outputs of block l. */
static int64_t inputs(const whet_i_adapter_shape *s, int64_t k) {
    return s->in - k * s->p < s->p ? s->in - k * s->p : s->p;
}

static int64_t outputs(const whet_i_adapter_shape *s, int64_t l) {
    const int64_t n = l < s->out ? (s->out - l + s->blocks - 1) / s->blocks : 0;
    return n < s->q ? n : s->q;
}

/* ---- forward ---------------------------------------------------------------------------------- */

/* z [rows, N r] of x [rows, in]. */
static void stage_one(const whet_i_task *t, int64_t rows, const whet_i_real *x, whet_i_real *z) {
    const whet_i_adapter_shape *s = &settings_of(t->node)->shape;
    for (int64_t k = 0; k < s->blocks; k++) {
        const whet_i_product args = {.m = rows,
                                     .n = s->rank,
                                     .k = inputs(s, k),
                                     .a = x + k * s->p,
                                     .a_row = s->in,
                                     .a_col = 1,
                                     .b = param(t, 0)->values + k * s->rank * s->p,
                                     .b_row = 1,
                                     .b_col = s->p,
                                     .c = z + k * s->rank,
                                     .ldc = s->blocks * s->rank};
        t->kernels->product(&args);
    }
}

/* y [rows, columns] += scale W2 z; space [rows, q]. */
static void stage_two(const whet_i_task *t, int64_t rows, const whet_i_real *z, whet_i_real *y,
                      whet_i_real *space) {
    const settings *set = settings_of(t->node);
    const whet_i_adapter_shape *s = &set->shape;
    const int64_t columns = columns_of(t);
    for (int64_t l = 0; l < s->blocks; l++) {
        const int64_t n = outputs(s, l);
        const whet_i_product args = {.m = rows,
                                     .n = n,
                                     .k = s->rank,
                                     .a = z + l,
                                     .a_row = s->blocks * s->rank,
                                     .a_col = s->blocks,
                                     .b = param(t, 1)->values + l * s->q * s->rank,
                                     .b_row = 1,
                                     .b_col = s->rank,
                                     .c = space,
                                     .ldc = n};
        t->kernels->product(&args);
        for (int64_t i = 0; i < rows; i++) {
            whet_i_real *to = y + i * columns + set->first + l;
            if (s->blocks == 1)
                t->kernels->add_scaled(n, set->scale, space + i * n, to);
            else
                for (int64_t j = 0; j < n; j++) to[j * s->blocks] += set->scale * space[i * n + j];
        }
    }
}

static void forward_rows(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    const whet_i_adapter_shape *s = &settings_of(t->node)->shape;
    const int64_t first = item * BLOCK, rows = whet_i_block_rows(rows_of(t), BLOCK, item);
    const int64_t columns = columns_of(t), width = s->blocks * s->rank;
    const whet_i_real *y = (const whet_i_real *)t->in[0] + first * columns;
    whet_i_real *out = t->out[0] + first * columns, *space = scratch;
    whet_i_real *z = t->saved ? t->saved + first * width : space + BLOCK * s->q;
    if (out != y) memcpy(out, y, (size_t)(rows * columns) * sizeof *out);
    stage_one(t, rows, (const whet_i_real *)t->in[1] + first * s->in, z);
    stage_two(t, rows, z, out, space);
}

/* ---- backward --------------------------------------------------------------------------------- */

/* dz [rows, N r] = scale W2^T g; space [rows, q + r]. */
static void back_two(const whet_i_task *t, int64_t rows, const whet_i_real *g, whet_i_real *dz,
                     whet_i_real *space) {
    const settings *set = settings_of(t->node);
    const whet_i_adapter_shape *s = &set->shape;
    const int64_t columns = columns_of(t), width = s->blocks * s->rank;
    whet_i_real *block = space + rows * s->q;
    for (int64_t l = 0; l < s->blocks; l++) {
        const whet_i_product args = {.m = rows,
                                     .n = s->rank,
                                     .k = outputs(s, l),
                                     .a = g + set->first + l,
                                     .a_row = columns,
                                     .a_col = s->blocks,
                                     .b = param(t, 1)->values + l * s->q * s->rank,
                                     .b_row = s->rank,
                                     .b_col = 1,
                                     .c = block,
                                     .ldc = s->rank};
        if (args.k > 0)
            t->kernels->product(&args);
        else
            memset(block, 0, (size_t)(rows * s->rank) * sizeof *block);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t c = 0; c < s->rank; c++)
                dz[i * width + c * s->blocks + l] = set->scale * block[i * s->rank + c];
    }
}

static void back_one(const whet_i_task *t, int64_t rows, const whet_i_real *dz, whet_i_real *dx) {
    const whet_i_adapter_shape *s = &settings_of(t->node)->shape;
    for (int64_t k = 0; k < s->blocks; k++) {
        const whet_i_product args = {.m = rows,
                                     .n = inputs(s, k),
                                     .k = s->rank,
                                     .a = dz + k * s->rank,
                                     .a_row = s->blocks * s->rank,
                                     .a_col = 1,
                                     .b = param(t, 0)->values + k * s->rank * s->p,
                                     .b_row = s->p,
                                     .b_col = 1,
                                     .beta = t->adds[1] ? 1 : 0,
                                     .c = dx + k * s->p,
                                     .ldc = s->in};
        t->kernels->product(&args);
    }
}

static void backward_rows(const whet_i_task *t, int64_t item, whet_i_real *space) {
    const whet_i_adapter_shape *s = &settings_of(t->node)->shape;
    const int64_t first = item * BLOCK, rows = whet_i_block_rows(rows_of(t), BLOCK, item);
    const int64_t columns = columns_of(t);
    const whet_i_real *g = t->grad_out[0] + first * columns;
    whet_i_real *dz = t->temporary + first * s->blocks * s->rank;
    back_two(t, rows, g, dz, space);
    if (t->grad_in[1]) back_one(t, rows, dz, t->grad_in[1] + first * s->in);
    if (!t->grad_in[0] || t->grad_in[0] == t->grad_out[0]) return;
    whet_i_real *dy = t->grad_in[0] + first * columns;
    if (t->adds[0])
        t->kernels->add(rows * columns, g, dy);
    else
        memcpy(dy, g, (size_t)(rows * columns) * sizeof *dy);
}

/* Some columns of one block of W1's gradient: dz^T x. */
static void backward_w1(const whet_i_task *t, int64_t item) {
    const whet_i_adapter_shape *s = &settings_of(t->node)->shape;
    const int64_t panels = whet_i_blocks(s->p, PANEL), k = item / panels;
    const int64_t at = item % panels * PANEL, left = inputs(s, k) - at;
    const int64_t n = s->p - at < PANEL ? s->p - at : PANEL;
    whet_i_real *to = param(t, 0)->gradient + k * s->rank * s->p + at;
    const whet_i_product args = {.m = s->rank,
                                 .n = left < n ? left : n,
                                 .k = rows_of(t),
                                 .a = t->temporary + k * s->rank,
                                 .a_row = 1,
                                 .a_col = s->blocks * s->rank,
                                 .b = (const whet_i_real *)t->in[1] + k * s->p + at,
                                 .b_row = s->in,
                                 .b_col = 1,
                                 .beta = t->param_adds[0] ? 1 : 0,
                                 .c = to,
                                 .ldc = s->p};
    if (args.n > 0) t->kernels->product(&args);
    /* Columns that no input reaches. */
    for (int64_t a = 0; a < s->rank && !t->param_adds[0]; a++)
        for (int64_t i = args.n > 0 ? args.n : 0; i < n; i++) to[a * s->p + i] = 0;
}

/* Some rows of one block of W2's gradient: scale g^T z; space [TALL, r]. */
static void backward_w2(const whet_i_task *t, int64_t item, whet_i_real *space) {
    const settings *set = settings_of(t->node);
    const whet_i_adapter_shape *s = &set->shape;
    const int64_t panels = whet_i_blocks(s->q, TALL), l = item / panels;
    const int64_t at = item % panels * TALL, left = outputs(s, l) - at;
    const int64_t m = s->q - at < TALL ? s->q - at : TALL;
    whet_i_real *to = param(t, 1)->gradient + (l * s->q + at) * s->rank;
    if (!t->param_adds[1]) memset(to, 0, (size_t)(m * s->rank) * sizeof *to);
    const whet_i_product args = {.m = left < m ? left : m,
                                 .n = s->rank,
                                 .k = rows_of(t),
                                 .a = t->grad_out[0] + set->first + l + at * s->blocks,
                                 .a_row = s->blocks,
                                 .a_col = columns_of(t),
                                 .b = t->saved + l,
                                 .b_row = s->blocks * s->rank,
                                 .b_col = s->blocks,
                                 .c = space,
                                 .ldc = s->rank};
    if (args.m <= 0) return;
    t->kernels->product(&args);
    t->kernels->add_scaled(args.m * s->rank, set->scale, space, to);
}

static int64_t items_w1(const whet_i_task *t) {
    const whet_i_adapter_shape *s = &settings_of(t->node)->shape;
    return param(t, 0)->trainable ? s->blocks * whet_i_blocks(s->p, PANEL) : 0;
}

static int64_t items_w2(const whet_i_task *t) {
    const whet_i_adapter_shape *s = &settings_of(t->node)->shape;
    return param(t, 1)->trainable ? s->blocks * whet_i_blocks(s->q, TALL) : 0;
}

static int64_t backward_items(const whet_i_task *t, int32_t phase) {
    return phase == 0 ? row_items(t, phase) : items_w1(t) + items_w2(t);
}

static void backward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    if (phase == 0)
        backward_rows(t, item, scratch);
    else if (item < items_w1(t))
        backward_w1(t, item);
    else
        backward_w2(t, item - items_w1(t), scratch);
}

static int64_t scratch_bytes(const whet_i_graph *g, const whet_i_node *node,
                             const whet_i_sizes *sizes) {
    (void)g;
    (void)sizes;
    const whet_i_adapter_shape *s = &settings_of(node)->shape;
    const int64_t rows = BLOCK * (s->q + s->rank * s->blocks), tall = TALL * s->rank;
    return (rows > tall ? rows : tall) * (int64_t)sizeof(whet_i_real);
}

/* [rows, N r] */
static int64_t of_rows(const whet_i_graph *g, const whet_i_node *node, const whet_i_sizes *sizes) {
    const whet_i_adapter_shape *s = &settings_of(node)->shape;
    return sizes->rows[g->values[node->outputs[0]].extent] * s->blocks * s->rank;
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)wanted;
    return g->params->items[node->params[0]].trainable ? WHET_I_READS_IN(1) : 0;
}

static const whet_i_op op_adapter = {
    .name = "adapter",
    .forward = {1, row_items, forward_rows, scratch_bytes, NULL},
    .backward = {2, backward_items, backward_run, scratch_bytes, of_rows},
    .backward_reads = backward_reads,
    .saved = of_rows,
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

whet_status whet_i_adapter_record(whet_ctx *ctx, whet_i_graph *graph, const char *module,
                                  whet_i_value x, whet_i_value *y, int64_t first,
                                  int64_t columns_of_layer, const whet_i_adapter_settings *a) {
    const settings s = {.shape = whet_i_adapter_shape_of(whet_i_columns(graph, x), columns_of_layer,
                                                         a->blocks, a->rank),
                        .first = first,
                        .scale = (whet_i_real)a->scale};
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
    WHET_TRY(add_params(ctx, graph, module, a, &s.shape, r.params));
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *y = outputs[0];
    return WHET_OK;
}
