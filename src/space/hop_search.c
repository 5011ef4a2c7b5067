/* SPDX-License-Identifier: Apache-2.0
 * Bit-parallel breadth-first search. A step goes from the points of a list to their neighbours while they
 * are few, else over all points, each of which collects what its neighbours have; both ways give the same.
 * Cost of 64 sources: O((n + m) h) for h hops where most points are met in most steps, never
 * more than a constant times as many searches one by one.
 * Wider words are no faster: the arrays of one fit the cache.
 * Legend: v a point, u its neighbour. */
#include "space/hop_search.h"

enum { MANY = 16 /* a list of n / MANY points is many */ };

void whet_i_hops_free(whet_ctx *ctx, hop_search *s) {
    whet_i_free(ctx, s->seen);
    whet_i_free(ctx, s->now);
    whet_i_free(ctx, s->next);
    whet_i_free(ctx, s->list);
    whet_i_free(ctx, s->found);
    whet_i_free(ctx, s->touched);
    *s = (hop_search){0};
}

whet_status whet_i_hops_create(whet_ctx *ctx, const space_graph *graph, int64_t n,
                               hop_search *out) {
    whet_status status = WHET_OK;
    hop_search s = {.graph = graph, .n = n};
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &s.seen));
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &s.now));
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &s.next));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &s.list));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &s.found));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &s.touched));
    *out = s;
    return WHET_OK;
done:
    whet_i_hops_free(ctx, &s);
    return status;
}

void whet_i_hops_begin(hop_search *s, const int64_t *sources, int64_t count) {
    const size_t bytes = (size_t)s->n * sizeof *s->seen;
    if (s->everywhere) {
        memset(s->seen, 0, bytes);
        memset(s->now, 0, bytes);
        memset(s->next, 0, bytes);
    } else {
        for (int64_t i = 0; i < s->n_touched; i++)
            s->seen[s->touched[i]] = s->now[s->touched[i]] = 0;
    }
    s->dense = s->everywhere = false;
    s->n_list = s->n_touched = 0;
    s->all = 0;
    for (int64_t i = 0; i < count; i++) {
        const uint64_t bit = (uint64_t)1 << i;
        s->all |= bit;
        s->seen[sources[i]] = s->now[sources[i]] = bit;
        s->list[s->n_list++] = s->touched[s->n_touched++] = (int32_t)sources[i];
    }
}

static void step_from_list(hop_search *s, uint64_t alive) {
    const space_graph *g = s->graph;
    int64_t n_found = 0;
    for (int64_t i = 0; i < s->n_list; i++) {
        const int32_t v = s->list[i];
        const uint64_t come = s->now[v] & alive;
        if (!come) continue;
        for (int64_t e = g->first[v]; e < g->first[v + 1]; e++) {
            const int32_t u = g->neighbour[e];
            const uint64_t new = come & ~s->seen[u];
            if (!new) continue;
            if (!s->next[u]) s->found[n_found++] = u;
            s->next[u] |= new;
        }
    }
    for (int64_t i = 0; i < s->n_list; i++) s->now[s->list[i]] = 0;
    for (int64_t i = 0; i < n_found; i++) {
        const int32_t u = s->found[i];
        if (!s->everywhere && !s->seen[u]) s->touched[s->n_touched++] = u;
        s->now[u] = s->next[u];
        s->seen[u] |= s->next[u];
        s->next[u] = 0;
    }
    int32_t *old = s->list;
    s->list = s->found;
    s->found = old;
    s->n_list = n_found;
}

static void step_over_all(hop_search *s, uint64_t alive) {
    const space_graph *g = s->graph;
    s->n_list = 0;
    for (int64_t u = 0; u < s->n; u++) {
        const uint64_t lacks = alive & ~s->seen[u];
        uint64_t come = 0;
        for (int64_t e = g->first[u]; lacks && e < g->first[u + 1]; e++)
            come |= s->now[g->neighbour[e]];
        s->next[u] = come & lacks;
        s->seen[u] |= come & lacks;
        s->n_list += s->next[u] != 0;
    }
    uint64_t *old = s->now;
    s->now = s->next;
    s->next = old;
    s->dense = s->everywhere = true;
}

/* Back to a list, of few. */
static void make_list(hop_search *s) {
    s->n_list = 0;
    for (int64_t v = 0; v < s->n; v++)
        if (s->now[v]) s->list[s->n_list++] = (int32_t)v;
    memset(s->next, 0, (size_t)s->n * sizeof *s->next);
    s->dense = false;
}

bool whet_i_hops_step(hop_search *s, uint64_t alive) {
    if (s->n_list > s->n / MANY) {
        step_over_all(s, alive);
    } else {
        if (s->dense) make_list(s);
        step_from_list(s, alive);
    }
    return s->n_list > 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Adds `level` to eight bytes, to those whose bit is set: bit i goes to byte i as 0x01, which no product
 * with a byte carries out of. Numbers are little-endian (npy.c asserts it). */
static void mark_bytes(uint8_t *at, uint64_t bits, uint64_t level) {
    for (; bits; bits >>= 8, at += 8) {
        const uint64_t eight = (bits & 255) * 0x0101010101010101 & 0x8040201008040201;
        const uint64_t ones = (eight + 0x7f7f7f7f7f7f7f7f) >> 7 & 0x0101010101010101;
        uint64_t old;
        if (!eight) continue;
        memcpy(&old, at, sizeof old);
        old += ones * level;
        memcpy(at, &old, sizeof old);
    }
}

static void mark_point(const hop_search *s, const hop_block *out, int64_t v, int64_t level) {
    const int64_t at = v * out->stride;
    uint64_t bits = s->now[v];
    if (!bits) return;
    if (out->width == 1) {
        mark_bytes((uint8_t *)out->at + at, bits, (uint64_t)level);
        return;
    }
    for (; bits; bits &= bits - 1) {
        const int64_t j = at + __builtin_ctzll(bits);
        if (out->width == 2)
            ((uint16_t *)out->at)[j] = (uint16_t)level;
        else
            ((uint32_t *)out->at)[j] = (uint32_t)level;
    }
}

void whet_i_hops_mark(const hop_search *s, const hop_block *out, int64_t level) {
    if (s->dense)
        for (int64_t v = 0; v < s->n; v++) mark_point(s, out, v, level);
    else
        for (int64_t i = 0; i < s->n_list; i++) mark_point(s, out, s->list[i], level);
}

void whet_i_hops_run(hop_search *s, const int64_t *sources, int64_t count, const hop_block *out) {
    whet_i_hops_begin(s, sources, count);
    for (int64_t level = 1; whet_i_hops_step(s, s->all); level++) whet_i_hops_mark(s, out, level);
}
