/* SPDX-License-Identifier: Apache-2.0
 * Sums of rows of tables: words, positions, segments. A frozen table that came from a file is read
 * there: a text needs few of its rows. The gradient of a table is shared out by ranges of its rows;
 * each range looks at all tokens in order, so that the bits do not depend on the team. Of a large table
 * few rows ever occur: only those are written. */
#include <stdio.h>

#include "nn/ops_i.h"

typedef struct settings {
    int32_t tables;
    int64_t rows[3], columns;
} settings;

enum { BLOCK = 32, RANGES = 32 };

static const settings *settings_of(const whet_i_node *node) { return node->settings; }

static const whet_i_param *table_of(const whet_i_task *t, int32_t i) {
    return &t->graph->params->items[t->node->params[i]];
}

static int64_t row_items(const whet_i_task *t, int32_t phase) {
    (void)phase;
    return whet_i_blocks(whet_i_rows(t, t->node->outputs[0]), BLOCK);
}

static void add_row(const whet_i_task *t, int32_t table, int64_t row, whet_i_real *space,
                    whet_i_real *sum) {
    const int64_t n = settings_of(t->node)->columns;
    const whet_i_param *p = table_of(t, table);
    const whet_i_real *from = p->values ? p->values + row * n : space;
    if (!p->values) whet_i_param_read(t->graph->params, t->node->params[table], row * n, n, space);
    t->kernels->add(n, from, sum);
}

static void forward_rows(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    const settings *s = settings_of(t->node);
    const int64_t rows = whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), BLOCK, item);
    for (int64_t i = item * BLOCK; i < item * BLOCK + rows; i++) {
        whet_i_real *out = t->out[0] + i * s->columns;
        whet_i_param_read(t->graph->params, t->node->params[0],
                          ((const int32_t *)t->in[0])[i] * s->columns, s->columns, out);
        for (int32_t j = 1; j < s->tables; j++)
            add_row(t, j, ((const int32_t *)t->in[j])[i], scratch, out);
    }
}

static int64_t one_row(const whet_i_graph *g, const whet_i_node *node, const whet_i_sizes *sizes) {
    (void)g;
    (void)sizes;
    return settings_of(node)->columns * (int64_t)sizeof(whet_i_real);
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)wanted;
    uint32_t reads = 0;
    for (int32_t i = 0; i < node->n_params; i++)
        if (g->params->items[node->params[i]].trainable) reads |= WHET_I_READS_IN(i);
    return reads;
}

static int64_t backward_items(const whet_i_task *t, int32_t phase) {
    (void)phase;
    return RANGES * settings_of(t->node)->tables;
}

static void backward_range(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const settings *s = settings_of(t->node);
    const int32_t table = (int32_t)(item / RANGES);
    const int64_t range = item % RANGES, rows = s->rows[table], n = s->columns;
    const int64_t first = rows * range / RANGES, end = rows * (range + 1) / RANGES;
    const int64_t tokens = whet_i_rows(t, t->node->outputs[0]);
    if (!table_of(t, table)->trainable) return;
    whet_i_real *gradient = table_of(t, table)->gradient;
    uint8_t *live = table_of(t, table)->live;
    for (int64_t row = first; row < end && !t->param_adds[table]; row++)
        if (!live || live[row]) memset(gradient + row * n, 0, (size_t)n * sizeof *gradient);
    const int32_t *ids = t->in[table];
    for (int64_t i = 0; i < tokens; i++) {
        if (ids[i] < first || ids[i] >= end) continue;
        t->kernels->add(n, t->grad_out[0] + i * n, gradient + ids[i] * n);
        if (live) live[ids[i]] = 1;
    }
}

static const whet_i_op op_embedding = {
    .name = "embedding",
    .forward = {1, row_items, forward_rows, one_row, NULL},
    .backward = {1, backward_items, backward_range, NULL, NULL},
    .backward_reads = backward_reads,
    .grad_shares = -1,
};

whet_status whet_i_embedding(whet_ctx *ctx, whet_i_graph *graph, const whet_i_embedding_spec *spec,
                             whet_i_value *out) {
    settings s = {.tables = spec->tables, .columns = spec->columns};
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    whet_i_recording r = {.op = &op_embedding,
                          .settings = &s,
                          .settings_size = sizeof s,
                          .n_inputs = spec->tables,
                          .n_outputs = 1,
                          .n_params = spec->tables,
                          .extents = {graph->values[spec->ids[0]].extent},
                          .columns = {spec->columns}};
    for (int32_t i = 0; i < spec->tables; i++) {
        char name[256];
        (void)snprintf(name, sizeof name, "%s.weight", spec->modules[i]);
        const whet_i_param_spec p = {name,
                                     2,
                                     {spec->rows[i], spec->columns},
                                     spec->init_scale > 0 ? WHET_I_INIT_NORMAL
                                                          : WHET_I_INIT_REQUIRED,
                                     spec->init_scale,
                                     false};
        s.rows[i] = spec->rows[i];
        r.inputs[i] = spec->ids[i];
        WHET_TRY(whet_i_params_add(ctx, graph->params, &p, &r.params[i]));
        graph->params->items[r.params[i]].by_rows = true;
    }
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}
