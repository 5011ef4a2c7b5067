/* SPDX-License-Identifier: Apache-2.0
 * Linear layers: out = act(x w^T + b) + residual, w of 1..3 parts side by side.
 *
 * Forward: items are blocks of rows; a block stays in the second-level cache while the panels of w
 * stream by. Backward, with g the gradient of the output before the activation:
 *   dx = g w      by blocks of rows, with the other packed form of w: in f32 it is made for the while from
 *                 the one that the forward pass has, in bf16 it is kept;
 *   dw = g^T x    by pieces of w, each a sum over all rows, whose order does not depend on how w is cut;
 *   db = sum g    by columns.
 * Frozen parts cost nothing; the activation is not stored but made again from what stands before it, which
 * a network of bfloat16 keeps as that.
 * What adapters add (additions_i.h) is added to the sums of w while they are in registers or the first-level
 * cache, before bias and activation, and taken back by rows of g and dx that are in the second-level one.
 * Legend: m rows, k columns of x, n columns of out. */
#include <stdio.h>

#include "nn/additions_i.h"
#include "nn/ops_i.h"

typedef struct settings {
    int32_t weight; /* in params->weights */
    int32_t parts;
    int64_t n, k, rows[3];
    bool bias;
    whet_i_act act;
    bool residual;
    whet_i_additions adds;
} settings;

/* Parameters of a node: the parts' matrices, then their biases, then those of additions. */
enum { ROWS_MOST = 528, ROWS_LEAST = 24, ROWS_STEP = 6, SLAB_LEAST = 96 };
enum { ROWS_CONVERTED = 256, TILE_STEP = 32 };
/* A piece of w: its columns, as many as the kernels' product reads g once for; its rows, a multiple of
 * those that the product takes at a time, and no fewer than pay for packing x; of the biases. */
enum { PIECE_COLUMNS = 192, PIECE_STEP = 48, PIECE_LEAST = 192, BIAS_PIECE = 256 };

static const settings *settings_of(const whet_i_node *node) { return node->settings; }

static const whet_i_weight *weight_of(const whet_i_graph *g, const whet_i_node *node) {
    return &g->params->weights[settings_of(node)->weight];
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static bool is_half(const whet_i_graph *g) { return g->params->dtype == WHET_BF16; }

/* Whether every product converts the weights that it reads, to matrix tiles. */
static bool converts(const whet_i_task *t) {
    return t->kernels->linear_f32_converts && !is_half(t->graph);
}

/* Rows of an item: alone, as many as share one reading of w; in a team, a quarter of what each member gets,
 * so that nobody waits long. Tables that convert w for every item (to matrix tiles) ask for half, and for all
 * where that is still few. Multiples of the kernels' tiles, so that little is left over. Bits do not depend
 * on it. */
static int64_t row_block(const whet_i_task *t) {
    const int64_t rows = whet_i_rows(t, t->node->outputs[0]);
    if (t->workers == 1) return ROWS_MOST;
    if (converts(t)) {
        const int64_t each = whet_i_blocks(rows, t->workers);
        const int64_t block = least(each, each / 2 > ROWS_CONVERTED ? each / 2 : ROWS_CONVERTED);
        return least(whet_i_blocks(block, TILE_STEP) * TILE_STEP,
                     ROWS_MOST / TILE_STEP * TILE_STEP);
    }
    const int64_t block = least(rows / (4 * t->workers), ROWS_MOST);
    return (block < ROWS_LEAST ? ROWS_LEAST : block) / ROWS_STEP * ROWS_STEP;
}

static void multiply(const whet_i_task *t, const whet_i_linear *args) {
    if (is_half(t->graph))
        t->kernels->linear_bf16(args);
    else
        t->kernels->linear_f32(args);
}

/* What stands before the activation, from number `at` on. */
static uint16_t *half_before(const whet_i_task *t, int64_t at) {
    return (uint16_t *)(void *)t->out[1] + at;
}

/* bfloat16 goes with float: the f64 of tests has none. */
static void widen(const whet_i_task *t, int64_t n, const uint16_t *from, whet_i_real *to) {
    t->kernels->f32_from_bf16(n, from, (float *)(void *)to);
}

/* ---- forward ---------------------------------------------------------------------------------- */

static int64_t row_items(const whet_i_task *t, int32_t phase) {
    (void)phase;
    return whet_i_blocks(whet_i_rows(t, t->node->outputs[0]), row_block(t));
}

/* A few rows (a token that is generated) are shared out by columns instead: so many panels an item. */
static int64_t column_panels(const whet_i_task *t) {
    const int64_t panels = whet_i_blocks(settings_of(t->node)->n, WHET_I_PANEL);
    if (t->workers == 1 || row_items(t, 0) >= t->workers) return panels;
    return whet_i_blocks(panels, 4 * t->workers);
}

static int64_t linear_scratch(const whet_i_graph *g, int64_t k) {
    const whet_kernels *kernels = g->params->kernels;
    const int64_t bytes =
        (is_half(g) ? kernels->linear_bf16_scratch : kernels->linear_f32_scratch)(ROWS_MOST, k);
    return (bytes + 63) / 64 * 64;
}

static bool has_adds(const whet_i_node *node) { return settings_of(node)->adds.n > 0; }

/* With additions, phase 0 packs them. */
static int64_t forward_items(const whet_i_task *t, int32_t phase) {
    if (phase == 0 && has_adds(t->node)) return settings_of(t->node)->adds.n;
    const int64_t panels = whet_i_blocks(settings_of(t->node)->n, WHET_I_PANEL);
    return row_items(t, phase) * whet_i_blocks(panels, column_panels(t));
}

/* Where z of rows that begin at `first` goes: among several items of the same rows, one keeps it. */
static whet_i_real *place_of_z(const whet_i_task *t, int64_t first, bool keeps, void *scratch) {
    const settings *s = settings_of(t->node);
    if (t->saved && keeps) return t->saved + first * whet_i_additions_width(&s->adds);
    return (whet_i_real *)((char *)scratch + linear_scratch(t->graph, s->k));
}

/* The additions to columns from `column` on. */
static void set_adds(const whet_i_task *t, int64_t column, whet_i_real *z, whet_i_linear *args) {
    const whet_i_additions *a = &settings_of(t->node)->adds;
    whet_i_additions_first(t, a, args->rows, args->a, z);
    args->n_adds = a->n;
    for (int32_t i = 0; i < a->n; i++)
        args->adds[i] = (whet_i_linear_add){a->items[i].first - column,
                                            whet_i_additions_second(a, i, t->temporary, z)};
}

static void forward_part(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    if (phase == 0 && has_adds(t->node)) {
        whet_i_additions_pack(t, &settings_of(t->node)->adds, item, t->temporary);
        return;
    }
    const settings *s = settings_of(t->node);
    const whet_i_weight *w = weight_of(t->graph, t->node);
    const int64_t panels = column_panels(t),
                  parts = whet_i_blocks(whet_i_blocks(s->n, WHET_I_PANEL), panels);
    const int64_t block = row_block(t), rows_item = item / parts, first = rows_item * block;
    const int64_t panel = item % parts * panels, column = panel * WHET_I_PANEL;
    const int64_t left = s->n - column, wide = panels * WHET_I_PANEL;
    const int64_t at = first * s->n + column;
    const whet_i_real *x = t->in[0], *residual = s->residual ? t->in[1] : NULL;
    const int64_t skip = panel * whet_i_panel_step(s->k);
    whet_i_linear args = {
        .rows = whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), block, rows_item),
        .n = left < wide ? left : wide,
        .k = s->k,
        .a = x + first * s->k,
        .packed = is_half(t->graph) ? (const void *)((const uint16_t *)w->forward + skip)
                                    : (const void *)((const whet_i_real *)w->forward + skip),
        .residual = residual ? residual + at : NULL,
        .before = t->out[1] && !is_half(t->graph) ? t->out[1] + at : NULL,
        .before_half = t->out[1] && is_half(t->graph) ? half_before(t, at) : NULL,
        .c = t->out[0] ? t->out[0] + at : NULL,
        .lda = s->k,
        .ldr = s->n,
        .ldc = s->n,
        .act = s->act,
        .coarse = t->batch->train || t->batch->coarse,
        .scratch = scratch};
    if (s->bias) args.bias = t->graph->params->items[t->node->params[s->parts]].values + column;
    if (has_adds(t->node)) set_adds(t, column, place_of_z(t, first, column == 0, scratch), &args);
    multiply(t, &args);
}

static int64_t forward_scratch(const whet_i_graph *g, const whet_i_node *node,
                               const whet_i_sizes *sizes) {
    (void)sizes;
    const settings *s = settings_of(node);
    return linear_scratch(g, s->k) +
           ROWS_MOST * whet_i_additions_width(&s->adds) * (int64_t)sizeof(whet_i_real);
}

static int64_t forward_temporary(const whet_i_graph *g, const whet_i_node *node,
                                 const whet_i_sizes *sizes) {
    (void)g;
    (void)sizes;
    return whet_i_additions_packed(&settings_of(node)->adds);
}

/* z, from the forward to the backward pass. */
static int64_t saved_z(const whet_i_graph *g, const whet_i_node *node, const whet_i_sizes *sizes) {
    return sizes->rows[g->values[node->outputs[0]].extent] *
           whet_i_additions_width(&settings_of(node)->adds);
}

/* ---- the activation again --------------------------------------------------------------------- */

static void activate_rows(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const settings *s = settings_of(t->node);
    const int64_t block = row_block(t);
    const int64_t rows = whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), block, item);
    whet_i_real *to = t->out[0] + item * block * s->n;
    if (is_half(t->graph))
        widen(t, rows * s->n, half_before(t, item * block * s->n), to);
    else
        memcpy(to, t->out[1] + item * block * s->n, (size_t)(rows * s->n) * sizeof *to);
    t->kernels->activate(s->act, rows * s->n, to);
}

/* ---- backward --------------------------------------------------------------------------------- */

static bool part_trains(const whet_i_graph *g, const whet_i_node *node, int32_t param) {
    return g->params->items[node->params[param]].trainable;
}

static bool weights_train(const whet_i_graph *g, const whet_i_node *node) {
    bool any = false;
    for (int32_t i = 0; i < settings_of(node)->parts; i++) any |= part_trains(g, node, i);
    return any;
}

static bool biases_train(const whet_i_graph *g, const whet_i_node *node) {
    const settings *s = settings_of(node);
    bool any = false;
    for (int32_t i = 0; s->bias && i < s->parts; i++) any |= part_trains(g, node, s->parts + i);
    return any;
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)wanted;
    uint32_t reads = 0;
    const whet_i_additions *adds = &settings_of(node)->adds;
    if (weights_train(g, node)) reads |= WHET_I_READS_IN(0);
    for (int32_t i = 0; i < adds->n; i++)
        if (part_trains(g, node, adds->items[i].param)) reads |= WHET_I_READS_IN(0);
    if (settings_of(node)->act != WHET_I_ACT_NONE) reads |= WHET_I_READS_OUT(1);
    return reads;
}

/* What a backward pass keeps for the while: in f32, w packed for dx, made by phase 0 where dx is wanted; of
 * additions, W2 packed, and sums of chunks. */
static int64_t turned_count(const whet_i_graph *g, const settings *s, bool wanted) {
    return wanted && !is_half(g) ? whet_i_packed_count(s->k, s->n) : 0;
}

static int64_t backward_temporary(const whet_i_graph *g, const whet_i_node *node,
                                  const whet_i_sizes *sizes) {
    const settings *s = settings_of(node);
    const int64_t rows = sizes->rows[g->values[node->outputs[0]].extent];
    return turned_count(g, s, sizes->wanted & 1) + whet_i_additions_packed(&s->adds) +
           whet_i_additions_chunks(rows) * whet_i_additions_sums(&s->adds);
}

static int64_t turned_of(const whet_i_task *t) {
    return turned_count(t->graph, settings_of(t->node), t->grad_in[0] != NULL);
}

static whet_i_real *packed_adds(const whet_i_task *t) { return t->temporary + turned_of(t); }

static whet_i_real *sums_of_adds(const whet_i_task *t) {
    return packed_adds(t) + whet_i_additions_packed(&settings_of(t->node)->adds);
}

/* The packed form of w for dx. */
static const void *backward_form(const whet_i_task *t) {
    return is_half(t->graph) ? weight_of(t->graph, t->node)->backward : t->temporary;
}

/* Phase 0: a panel of that form, from a square of each of the forward form's panels. */
static void turn_panel(const whet_i_task *t, int64_t item) {
    const settings *s = settings_of(t->node);
    const whet_i_real *from = (const whet_i_real *)weight_of(t->graph, t->node)->forward +
                              item * WHET_I_PANEL * WHET_I_PANEL;
    whet_i_real *to = t->temporary + item * whet_i_panel_step(s->n);
    const int64_t columns = whet_i_block_rows(s->k, WHET_I_PANEL, item);
    for (int64_t i = 0; i < whet_i_blocks(s->n, WHET_I_PANEL); i++) {
        t->kernels->pack_f32(columns, whet_i_block_rows(s->n, WHET_I_PANEL, i), from, WHET_I_PANEL,
                             1, to);
        from += whet_i_panel_step(s->k);
        to += WHET_I_PANEL * WHET_I_PANEL;
    }
}

/* g [rows, n] through the activation; `row` [n] holds what a network of bfloat16 keeps, widened. */
static void backward_activation(const whet_i_task *t, int64_t first, int64_t rows, whet_i_real *g,
                                whet_i_real *row) {
    const settings *s = settings_of(t->node);
    if (!is_half(t->graph)) {
        t->kernels->activate_backward(s->act, rows * s->n, t->out[1] + first * s->n, g);
        return;
    }
    for (int64_t i = 0; i < rows; i++, g += s->n) {
        widen(t, s->n, half_before(t, (first + i) * s->n), row);
        t->kernels->activate_backward(s->act, s->n, row, g);
    }
}

/* Rows of an item: those of the forward pass; with additions, whole chunks. */
static int64_t backward_block(const whet_i_task *t) {
    const int64_t block = row_block(t);
    if (!has_adds(t->node)) return block;
    const int64_t chunk = whet_i_additions_chunk(whet_i_rows(t, t->node->outputs[0]));
    return block < chunk ? chunk : (block + chunk / 2) / chunk * chunk;
}

static void backward_product(const whet_i_task *t, int64_t first, int64_t rows, void *scratch) {
    const settings *s = settings_of(t->node);
    whet_i_real *dx = t->grad_in[0] + first * s->k;
    const whet_i_linear args = {.rows = rows,
                                .n = s->k,
                                .k = s->n,
                                .a = t->grad_out[0] + first * s->n,
                                .packed = backward_form(t),
                                .residual = t->adds[0] ? dx : NULL,
                                .c = dx,
                                .lda = s->n,
                                .ldr = s->k,
                                .ldc = s->k,
                                .coarse = true,
                                .scratch = scratch};
    multiply(t, &args);
}

static void backward_adds(const whet_i_task *t, int64_t first, int64_t rows, void *scratch) {
    const settings *s = settings_of(t->node);
    const whet_i_additions_rows args = {
        .first = first,
        .rows = rows,
        .columns = s->n,
        .packed = packed_adds(t),
        .x = t->in[0] ? (const whet_i_real *)t->in[0] + first * s->k : NULL,
        .z = t->saved + first * whet_i_additions_width(&s->adds),
        .g = t->grad_out[0] + first * s->n,
        .dz = (whet_i_real *)((char *)scratch + linear_scratch(t->graph, s->n)),
        .dx = t->grad_in[0] ? t->grad_in[0] + first * s->k : NULL,
        .sums = sums_of_adds(t)};
    whet_i_additions_backward(t, &s->adds, &args);
}

/* Rows whose g stays in the second-level cache between the product and the additions: as many as
 * linear_f32 takes at a time; all where every call converts w. Bits do not depend on it. */
static int64_t slab_rows(const whet_i_task *t, int64_t block) {
    const int64_t rows = (1 << 17) / settings_of(t->node)->n / ROWS_STEP * ROWS_STEP;
    if (!has_adds(t->node) || converts(t)) return least(block, ROWS_MOST);
    return rows < SLAB_LEAST ? SLAB_LEAST : rows > ROWS_MOST ? ROWS_MOST : rows;
}

/* Phase 1, by rows: through the activation, into dx and the residual. */
static void backward_rows(const whet_i_task *t, int64_t item, void *scratch) {
    const settings *s = settings_of(t->node);
    const int64_t block = backward_block(t), first = item * block, slab = slab_rows(t, block);
    const int64_t rows = whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), block, item);
    whet_i_real *g = t->grad_out[0] + first * s->n;
    for (int64_t i = 0; i < whet_i_blocks(rows, slab); i++) {
        const int64_t at = first + i * slab, n = whet_i_block_rows(rows, slab, i);
        if (s->act != WHET_I_ACT_NONE)
            backward_activation(t, at, n, t->grad_out[0] + at * s->n, scratch);
        if (t->grad_in[0]) backward_product(t, at, n, scratch);
        if (has_adds(t->node)) backward_adds(t, at, n, scratch);
    }
    if (!t->grad_in[1] || t->grad_in[1] == t->grad_out[0]) return;
    whet_i_real *dr = t->grad_in[1] + first * s->n;
    if (t->adds[1])
        t->kernels->add(rows * s->n, g, dr);
    else
        memcpy(dr, g, (size_t)(rows * s->n) * sizeof *dr);
}

/* Rows of w an item: alone, all; in a team, so few that each member gets about four items. */
static int64_t piece_rows(const whet_i_task *t) {
    const settings *s = settings_of(t->node);
    const int64_t columns = whet_i_blocks(s->k, PIECE_COLUMNS);
    const int64_t cuts = t->workers == 1 ? 1 : whet_i_blocks(4 * t->workers, columns);
    const int64_t rows = whet_i_blocks(whet_i_blocks(s->n, cuts), PIECE_STEP) * PIECE_STEP;
    return rows < PIECE_LEAST ? PIECE_LEAST : rows;
}

static int64_t weight_items(const whet_i_task *t) {
    const settings *s = settings_of(t->node);
    if (!weights_train(t->graph, t->node)) return 0;
    return whet_i_blocks(s->k, PIECE_COLUMNS) * whet_i_blocks(s->n, piece_rows(t));
}

static int64_t bias_items(const whet_i_task *t) {
    return biases_train(t->graph, t->node) ? whet_i_blocks(settings_of(t->node)->n, BIAS_PIECE) : 0;
}

/* Rows first .. end of the stacked parts that part i has, as its own: *from .. *to. */
static bool rows_of_part(const settings *s, int32_t i, int64_t first, int64_t end, int64_t *from,
                         int64_t *to) {
    int64_t base = 0;
    for (int32_t j = 0; j < i; j++) base += s->rows[j];
    *from = first > base ? first - base : 0;
    *to = end - base < s->rows[i] ? end - base : s->rows[i];
    return *from < *to;
}

/* Phase 2: a piece of w's gradient. */
static void backward_weight(const whet_i_task *t, int64_t item, void *scratch) {
    const settings *s = settings_of(t->node);
    const int64_t tall = piece_rows(t), pieces = whet_i_blocks(s->n, tall);
    const int64_t column = item / pieces * PIECE_COLUMNS, first = item % pieces * tall;
    const whet_i_real *g = t->grad_out[0];
    int64_t from, to;
    for (int32_t i = 0; i < s->parts; g += s->rows[i], i++) {
        if (!part_trains(t->graph, t->node, i)) continue;
        if (!rows_of_part(s, i, first, first + tall, &from, &to)) continue;
        const whet_i_param *w = &t->graph->params->items[t->node->params[i]];
        const whet_i_product args = {.m = to - from,
                                     .n = whet_i_block_rows(s->k, PIECE_COLUMNS, item / pieces),
                                     .k = whet_i_rows(t, t->node->outputs[0]),
                                     .a = g + from,
                                     .a_row = 1,
                                     .a_col = s->n,
                                     .b = (const whet_i_real *)t->in[0] + column,
                                     .b_row = s->k,
                                     .b_col = 1,
                                     .beta = t->param_adds[i] ? 1 : 0,
                                     .c = w->gradient + from * s->k + column,
                                     .ldc = s->k,
                                     .coarse = true};
        if (is_half(t->graph))
            t->kernels->product_bf16(&args, scratch);
        else
            t->kernels->product(&args);
    }
}

/* Some of the biases' gradients. */
static void backward_bias(const whet_i_task *t, int64_t item) {
    const settings *s = settings_of(t->node);
    const int64_t rows = whet_i_rows(t, t->node->outputs[0]);
    const whet_i_real *g = t->grad_out[0];
    int64_t from, to;
    for (int32_t i = 0; i < s->parts; g += s->rows[i], i++) {
        const int32_t j = s->parts + i;
        if (!part_trains(t->graph, t->node, j)) continue;
        if (!rows_of_part(s, i, item * BIAS_PIECE, (item + 1) * BIAS_PIECE, &from, &to)) continue;
        whet_i_real *db = t->graph->params->items[t->node->params[j]].gradient + from;
        if (!t->param_adds[j]) memset(db, 0, (size_t)(to - from) * sizeof *db);
        for (int64_t r = 0; r < rows; r++) t->kernels->add(to - from, g + r * s->n + from, db);
    }
}

static int64_t turned_panels(const whet_i_task *t) {
    return turned_of(t) ? whet_i_blocks(settings_of(t->node)->k, WHET_I_PANEL) : 0;
}

static int64_t backward_items(const whet_i_task *t, int32_t phase) {
    const settings *s = settings_of(t->node);
    const int64_t rows = whet_i_rows(t, t->node->outputs[0]);
    if (phase == 0) return turned_panels(t) + s->adds.n;
    if (phase == 1) return whet_i_blocks(rows, backward_block(t));
    return weight_items(t) + bias_items(t) + whet_i_additions_items(t, &s->adds);
}

/* Phase 2; what is short comes last, so that nobody waits long. */
static void backward_sums(const whet_i_task *t, int64_t item, void *scratch) {
    const settings *s = settings_of(t->node);
    const int64_t weights = weight_items(t), biases = bias_items(t);
    if (item < weights)
        backward_weight(t, item, scratch);
    else if (item < weights + biases)
        backward_bias(t, item - weights);
    else
        whet_i_additions_gradient(t, &s->adds, whet_i_rows(t, t->node->outputs[0]), sums_of_adds(t),
                                  item - weights - biases);
}

static void backward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    const int64_t panels = phase == 0 ? turned_panels(t) : 0;
    if (phase == 0 && item < panels)
        turn_panel(t, item);
    else if (phase == 0)
        whet_i_additions_pack(t, &settings_of(t->node)->adds, item - panels, packed_adds(t));
    else if (phase == 1)
        backward_rows(t, item, scratch);
    else
        backward_sums(t, item, scratch);
}

static int64_t backward_scratch(const whet_i_graph *g, const whet_i_node *node,
                                const whet_i_sizes *sizes) {
    (void)sizes;
    const settings *s = settings_of(node);
    const int64_t row = s->n * (int64_t)sizeof(whet_i_real);
    int64_t most = linear_scratch(g, s->n) +
                   ROWS_MOST * whet_i_additions_width(&s->adds) * (int64_t)sizeof(whet_i_real);
    if (most < row) most = row;
    for (int32_t i = 0; is_half(g) && i < s->parts; i++) {
        const int64_t bytes = g->params->kernels->product_bf16_scratch(s->rows[i], PIECE_COLUMNS);
        if (bytes > most) most = bytes;
    }
    return most;
}

static whet_status prepare(whet_ctx *ctx, const whet_i_graph *g, const whet_i_node *node,
                           const whet_i_sizes *sizes, void **state) {
    (void)ctx;
    (void)state;
    whet_i_weight *w = &g->params->weights[settings_of(node)->weight];
    /* Written when it changes only: an encoder's parameters may be shared by threads. */
    if (!w->need_forward) w->need_forward = true;
    const bool keeps = sizes->train && sizes->wanted & 1 && is_half(g);
    if (keeps && !w->need_backward) w->need_backward = true;
    return WHET_OK;
}

static const whet_i_op op_linear = {
    .name = "linear",
    .forward = {1, forward_items, forward_part, forward_scratch, NULL},
    .backward = {3, backward_items, backward_run, backward_scratch, backward_temporary},
    .backward_reads = backward_reads,
    .grad_shares = 1,
    .prepare = prepare,
};

/* With an activation, output 1 is what stands before it. */
static const whet_i_op op_linear_act = {
    .name = "linear, activation",
    .forward = {1, forward_items, forward_part, forward_scratch, NULL},
    .backward = {3, backward_items, backward_run, backward_scratch, backward_temporary},
    .backward_reads = backward_reads,
    .rebuild = {1, row_items, activate_rows, NULL, NULL},
    .rebuild_reads = WHET_I_READS_OUT(1),
    .grad_shares = -1,
    .prepare = prepare,
};

/* With additions: one phase more, and what they keep. */
static const whet_i_op op_adapted = {
    .name = "linear, adapted",
    .forward = {2, forward_items, forward_part, forward_scratch, forward_temporary},
    .backward = {3, backward_items, backward_run, backward_scratch, backward_temporary},
    .backward_reads = backward_reads,
    .saved = saved_z,
    .grad_shares = 1,
    .prepare = prepare,
};

static const whet_i_op op_adapted_act = {
    .name = "linear, adapted, activation",
    .forward = {2, forward_items, forward_part, forward_scratch, forward_temporary},
    .backward = {3, backward_items, backward_run, backward_scratch, backward_temporary},
    .backward_reads = backward_reads,
    .saved = saved_z,
    .rebuild = {1, row_items, activate_rows, NULL, NULL},
    .rebuild_reads = WHET_I_READS_OUT(1),
    .grad_shares = -1,
    .prepare = prepare,
};

/* ---- recording -------------------------------------------------------------------------------- */

static whet_status record(whet_ctx *ctx, whet_i_graph *g, whet_i_value x, whet_i_value residual,
                          const settings *s, const whet_i_param_id *params, whet_i_value *out) {
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const bool active = s->act != WHET_I_ACT_NONE;
    const whet_i_extent extent = g->values[x].extent;
    const whet_i_op *const ops[2][2] = {{&op_linear, &op_linear_act},
                                        {&op_adapted, &op_adapted_act}};
    whet_i_recording r = {.op = ops[s->adds.n > 0][active],
                          .settings = s,
                          .settings_size = sizeof *s,
                          .n_inputs = s->residual ? 2 : 1,
                          .n_outputs = active ? 2 : 1,
                          .n_params = (s->bias ? 2 * s->parts : s->parts) + 2 * s->adds.n,
                          .inputs = {x, residual},
                          .extents = {extent, extent},
                          .columns = {s->n, s->n},
                          .half = {false, active && is_half(g)}};
    memcpy(r.params, params, (size_t)r.n_params * sizeof *params);
    WHET_TRY(whet_i_graph_record(ctx, g, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}

static whet_status add_params(whet_ctx *ctx, whet_i_graph *g, const whet_i_linear_spec *spec,
                              int64_t k, whet_i_param_id *params) {
    char name[256];
    for (int32_t i = 0; i < spec->parts; i++) {
        (void)snprintf(name, sizeof name, "%s.weight", spec->modules[i]);
        const whet_i_param_spec p = {name, 2, {spec->n[i], k}, spec->init, spec->init_scale, false};
        WHET_TRY(whet_i_params_add(ctx, g->params, &p, &params[i]));
    }
    for (int32_t i = 0; spec->bias && i < spec->parts; i++) {
        (void)snprintf(name, sizeof name, "%s.bias", spec->modules[i]);
        const whet_i_param_spec p = {name, 1, {spec->n[i]}, spec->bias_init, spec->bias_scale,
                                     false};
        WHET_TRY(whet_i_params_add(ctx, g->params, &p, &params[spec->parts + i]));
    }
    return WHET_OK;
}

whet_status whet_i_linear_declare(whet_ctx *ctx, whet_i_graph *graph,
                                  const whet_i_linear_spec *spec, int64_t k) {
    whet_i_param_id params[WHET_I_PARAMS_MAX];
    return add_params(ctx, graph, spec, k, params);
}

static bool adapted(const whet_i_graph *g, const whet_i_linear_spec *spec) {
    bool any = false;
    for (int32_t i = 0; g->adapters && i < spec->parts; i++)
        any |= g->adapters->applies(g->adapters->arg, spec->modules[i]);
    return any;
}

whet_status whet_i_linear_adapt(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x, whet_i_value y,
                                const whet_i_addition *addition, const whet_i_param_id params[2],
                                bool *done) {
    const int32_t producer = graph->values[y].producer;
    const int64_t end = addition->first + addition->shape.out;
    *done = false;
    if (producer < 0 || producer != graph->n_nodes - 1) return WHET_OK;
    whet_i_node *node = &graph->nodes[producer];
    if (node->op != &op_linear && node->op != &op_adapted) return WHET_OK;
    settings s = *settings_of(node);
    /* The kernels add to whole panels, or to the last ones. */
    if (node->inputs[0] != x || addition->first % WHET_I_PANEL != 0 ||
        (end % WHET_I_PANEL != 0 && end != s.n) || s.adds.n == WHET_I_ADDITIONS_MAX ||
        node->n_params + 2 > WHET_I_PARAMS_MAX)
        return WHET_OK;
    s.adds.items[s.adds.n] = *addition;
    s.adds.items[s.adds.n++].param = node->n_params;
    settings *kept;
    WHET_TRY(whet_i_arena_alloc(ctx, &graph->arena, 1, sizeof s, &kept));
    *kept = s;
    node->settings = kept;
    node->op = &op_adapted;
    node->params[node->n_params++] = params[0];
    node->params[node->n_params++] = params[1];
    *done = true;
    return WHET_OK;
}

/* The activation of an adapted layer: its own, where the layer's node makes all of it and is recorded once
 * more; else behind it. */
static whet_status activate(whet_ctx *ctx, whet_i_graph *g, whet_i_act act, whet_i_value *out) {
    const whet_i_node node = g->nodes[g->n_nodes - 1];
    if (act == WHET_I_ACT_NONE) return WHET_OK;
    if (node.op != &op_adapted || node.outputs[0] != *out)
        return whet_i_activation(ctx, g, *out, act, out);
    settings s = *settings_of(&node);
    s.act = act;
    g->n_nodes--;
    g->n_values--;
    return record(ctx, g, node.inputs[0], WHET_I_NONE, &s, node.params, out);
}

whet_status whet_i_linear_layer(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                const whet_i_linear_spec *spec, whet_i_value *out) {
    settings s = {.parts = spec->parts,
                  .k = whet_i_columns(graph, x),
                  .bias = spec->bias,
                  .act = spec->act,
                  .residual = spec->residual != WHET_I_NONE};
    whet_i_param_id params[WHET_I_PARAMS_MAX];
    for (int32_t i = 0; i < s.parts; i++) s.n += s.rows[i] = spec->n[i];
    WHET_TRY(add_params(ctx, graph, spec, s.k, params));
    WHET_TRY(whet_i_params_weight(ctx, graph->params, params[0], s.parts, &s.weight));
    if (s.bias) WHET_TRY(whet_i_params_join(ctx, graph->params, params[s.parts], s.parts));
    if (!adapted(graph, spec)) return record(ctx, graph, x, spec->residual, &s, params, out);
    const bool apart = s.residual && graph->adapters->before_residual;
    s.act = WHET_I_ACT_NONE;
    s.residual = s.residual && !apart;
    WHET_TRY(record(ctx, graph, x, apart ? WHET_I_NONE : spec->residual, &s, params, out));
    int64_t first = 0;
    for (int32_t i = 0; i < s.parts; first += s.rows[i], i++)
        if (graph->adapters->applies(graph->adapters->arg, spec->modules[i]))
            WHET_TRY(graph->adapters->record(ctx, graph, graph->adapters->arg, spec->modules[i], x,
                                             out, first, s.rows[i]));
    if (apart) WHET_TRY(whet_i_sum(ctx, graph, *out, spec->residual, out));
    return activate(ctx, graph, spec->act, out);
}

whet_status whet_i_tied_linear(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                               const char *matrix, int64_t n, whet_i_value *out) {
    settings s = {.parts = 1, .k = whet_i_columns(graph, x), .n = n, .rows = {n}};
    const whet_i_param_spec p = {matrix, 2, {n, s.k}, WHET_I_INIT_REQUIRED, 0, false};
    whet_i_param_id param;
    WHET_TRY(whet_i_params_add(ctx, graph->params, &p, &param));
    WHET_TRY(whet_i_params_weight(ctx, graph->params, param, 1, &s.weight));
    return record(ctx, graph, x, WHET_I_NONE, &s, &param, out);
}
