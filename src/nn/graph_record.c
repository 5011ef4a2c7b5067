/* SPDX-License-Identifier: Apache-2.0
 * Recording a forward pass. */
#include "nn/graph_i.h"

whet_status whet_i_graph_create(whet_ctx *ctx, whet_i_params *params, whet_i_graph **out) {
    whet_i_graph *g;
    WHET_TRY(whet_i_calloc(ctx, 1, &g));
    g->params = params;
    *out = g;
    return WHET_OK;
}

void whet_i_graph_destroy(whet_ctx *ctx, whet_i_graph *graph) {
    if (!graph) return;
    whet_i_free(ctx, graph->nodes);
    whet_i_free(ctx, graph->values);
    whet_i_arena_free(ctx, &graph->arena);
    whet_i_free(ctx, graph);
}

static whet_status add_value(whet_ctx *ctx, whet_i_graph *g, const whet_i_value_info *info,
                             whet_i_value *out) {
    if (g->n_values == g->cap_values) {
        const int64_t cap = g->cap_values ? 2 * g->cap_values : 64;
        WHET_TRY(whet_i_realloc(ctx, &g->values, cap));
        g->cap_values = cap;
    }
    *out = (whet_i_value)g->n_values;
    g->values[g->n_values++] = *info;
    return WHET_OK;
}

whet_status whet_i_graph_feed(whet_ctx *ctx, whet_i_graph *graph, bool integers,
                              whet_i_extent extent, int64_t columns, whet_i_value *out) {
    if (graph->n_feeds == WHET_I_FEEDS_MAX)
        return whet_i_fail(ctx, WHET_ERR_INTERNAL, "over %d feeds", WHET_I_FEEDS_MAX);
    const whet_i_value_info info = {extent, columns, -1, graph->n_feeds, integers, false};
    WHET_TRY(add_value(ctx, graph, &info, out));
    graph->n_feeds++;
    return WHET_OK;
}

whet_status whet_i_graph_record(whet_ctx *ctx, whet_i_graph *g, const whet_i_recording *r,
                                whet_i_value outputs[WHET_I_OUTPUTS_MAX]) {
    whet_i_node node = {.op = r->op,
                        .n_inputs = r->n_inputs,
                        .n_outputs = r->n_outputs,
                        .n_params = r->n_params,
                        .segment = g->segment,
                        .index = (int32_t)g->n_nodes};
    void *settings = NULL;
    if (g->n_nodes == g->cap_nodes) {
        const int64_t cap = g->cap_nodes ? 2 * g->cap_nodes : 64;
        WHET_TRY(whet_i_realloc(ctx, &g->nodes, cap));
        g->cap_nodes = cap;
    }
    if (r->settings_size) {
        WHET_TRY(whet_i_arena_alloc(ctx, &g->arena, 1, r->settings_size, &settings));
        memcpy(settings, r->settings, r->settings_size);
    }
    node.settings = settings;
    memcpy(node.inputs, r->inputs, sizeof node.inputs);
    memcpy(node.params, r->params, sizeof node.params);
    for (int32_t i = 0; i < r->n_outputs; i++) {
        const whet_i_value_info info = {r->extents[i], r->columns[i], node.index, i,
                                        false,         r->half[i]};
        WHET_TRY(add_value(ctx, g, &info, &node.outputs[i]));
        outputs[i] = node.outputs[i];
    }
    g->nodes[g->n_nodes++] = node;
    return WHET_OK;
}

void whet_i_graph_segment(whet_i_graph *graph) { graph->segment++; }
