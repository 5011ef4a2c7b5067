/* SPDX-License-Identifier: Apache-2.0
 * A trie whose edges live in one open-addressing hash table keyed by (node, byte): one probe a
 * byte, no search for free slots when it is built (a double array can be made to search long by a
 * hostile vocabulary). */
#include "nn/tokenizer_i.h"

static void place_edge(whet_i_trie *trie, uint64_t edge) {
    const uint32_t mask = (uint32_t)(((uint64_t)1 << (32 - trie->shift)) - 1);
    uint32_t place = ((uint32_t)(edge >> 32) * 0x9E3779B1u) >> trie->shift;
    while (trie->edges[place]) place = (place + 1) & mask;
    trie->edges[place] = edge;
}

static whet_status grow_edges(whet_ctx *ctx, whet_i_trie *trie) {
    const int64_t size = (int64_t)1 << (32 - trie->shift);
    if (2 * (trie->n_edges + 1) <= size) return WHET_OK;
    uint64_t *old = trie->edges, *edges;
    WHET_TRY(whet_i_calloc(ctx, 2 * size, &edges));
    trie->edges = edges;
    trie->shift--;
    for (int64_t i = 0; i < size; i++)
        if (old[i]) place_edge(trie, old[i]);
    whet_i_free(ctx, old);
    return WHET_OK;
}

static whet_status add_node(whet_ctx *ctx, whet_i_trie *trie, uint32_t *node) {
    if (trie->n_nodes + 1 >= trie->cap_nodes) {
        const int64_t cap = trie->cap_nodes * 2 + 64;
        WHET_TRY(whet_i_realloc(ctx, &trie->values, cap));
        trie->cap_nodes = cap;
    }
    if (trie->n_nodes + 1 >= WHET_I_TRIE_MAX_NODES)
        return whet_i_fail(ctx, WHET_ERR_LIMIT,
                           "vocabulary: its tokens have over %lld bytes in all",
                           (long long)WHET_I_TRIE_MAX_NODES);
    trie->n_nodes++;
    trie->values[trie->n_nodes] = -1;
    *node = (uint32_t)trie->n_nodes;
    return WHET_OK;
}

whet_status whet_i_trie_init(whet_ctx *ctx, whet_i_trie *trie) {
    uint32_t root;
    trie->shift = 32 - 8;
    WHET_TRY(whet_i_calloc(ctx, (int64_t)1 << 8, &trie->edges));
    return add_node(ctx, trie, &root);
}

whet_status whet_i_trie_add(whet_ctx *ctx, whet_i_trie *trie, whet_str bytes, int32_t value,
                            int32_t *existing) {
    uint32_t node = WHET_I_TRIE_ROOT;
    for (int64_t i = 0; i < bytes.len; i++) {
        const uint8_t byte = (uint8_t)bytes.ptr[i];
        uint32_t child = whet_i_trie_step(trie, node, byte);
        if (!child) {
            WHET_TRY(grow_edges(ctx, trie));
            WHET_TRY(add_node(ctx, trie, &child));
            place_edge(trie, (uint64_t)(node << 8 | byte) << 32 | child);
            trie->n_edges++;
        }
        node = child;
    }
    *existing = trie->values[node];
    if (trie->values[node] < 0) trie->values[node] = value;
    return WHET_OK;
}

void whet_i_trie_free(whet_ctx *ctx, whet_i_trie *trie) {
    whet_i_free(ctx, trie->edges);
    whet_i_free(ctx, trie->values);
}
