/* SPDX-License-Identifier: Apache-2.0
 * Which tensors of a plan go side by side, and the lanes they go in. A tensor that all threads share makes
 * them wait for each other at every step, of which one by order statistics has ten; one that a thread has to
 * itself does not, and its bits are the same, for what is summed is cut without regard to threads. Large
 * tensors, and the last of those between two large ones, are shared: no thread is to be left alone with
 * one. */
#include "merge/merge_lanes.h"

#include <stdatomic.h>
#include <stdio.h>

#include "merge/merge_passes.h"

/* What all lanes allocate beside what is kept from pass to pass, at most; keys that all keep of brackets. */
enum { LANES_MOST = 64 << 20, KEYS_KEPT = 1 << 23 };

/* ---- which ------------------------------------------------------------------------------------ */

void whet_i_plan_tensor(const whet_merge_plan *plan, const whet_i_merge_item *item,
                        whet_i_merge_tensor *out) {
    const int32_t lanes = item->beside ? plan->threads : 1;
    *out = (whet_i_merge_tensor){.method = plan->recipe.method,
                                 .name = item->name,
                                 .rank = item->rank,
                                 .count = item->count,
                                 .n = item->n_models,
                                 .base = item->base,
                                 .sources = item->n_places,
                                 .room = plan->block_bytes / lanes,
                                 .held = whet_i_plan_held(plan, item),
                                 .keys_kept = item->beside ? KEYS_KEPT / lanes : 0};
    memcpy(out->shape, item->shape, sizeof out->shape);
}

/* Whether as many as there are threads may go at once, find room, and keep what brackets are likely to hold
 * of them. */
static bool find_room(const whet_merge_plan *plan, whet_i_merge_item *item) {
    whet_i_merge_tensor t;
    if (item->copied) return true;
    if (plan->recipe.method->warns) return false; /* in their order, by the context that tells it */
    item->beside = true;
    whet_i_plan_tensor(plan, item, &t);
    item->beside = false;
    const double likely = 0.09 * (double)whet_i_merge_streams(&t) * (double)t.count;
    return likely <= (double)t.keys_kept &&
           whet_i_merge_tensor_bytes(&t, 1) <= LANES_MOST / plan->threads;
}

void whet_i_plan_lanes(whet_merge_plan *plan) {
    double all = 0, rest = 0;
    for (int64_t i = 0; i < plan->n; i++) all += (double)plan->items[i].count;
    for (int64_t i = plan->n - 1; i >= 0; i--) {
        whet_i_merge_item *item = &plan->items[i];
        const double count = (double)item->count;
        const bool fits =
            plan->threads > 1 && 8 * plan->threads * count <= all && find_room(plan, item);
        rest = fits ? rest + count : 0;
        item->beside = fits && 2 * plan->threads * count <= rest;
    }
    for (int64_t i = 0, run; i < plan->n; i += run) { /* few at once are not worth it */
        for (run = 1; plan->items[i].beside && i + run < plan->n; run++)
            if (!plan->items[i + run].beside) break;
        for (int64_t k = i; run < 2 * plan->threads && k < i + run; k++)
            plan->items[k].beside = false;
    }
}

/* ---- lanes ------------------------------------------------------------------------------------ */

struct whet_i_merge_lanes {
    whet_i_workers *workers;
    int32_t n;
    whet_i_merge_lane *lane; /* [n] */
    struct failure {
        whet_status status;
        int64_t at;
        char sentence[1024];
    } * failure; /* [n] */
};

void whet_i_merge_lanes_destroy(whet_ctx *ctx, whet_i_merge_lanes *lanes) {
    if (!lanes) return;
    for (int32_t i = 0; lanes->lane && i < lanes->n; i++) {
        if (!lanes->lane[i].ctx) continue;
        whet_i_free(lanes->lane[i].ctx, lanes->lane[i].setting);
        whet_ctx_destroy(lanes->lane[i].ctx);
    }
    whet_i_workers_destroy(ctx, lanes->workers);
    whet_i_free(ctx, lanes->lane);
    whet_i_free(ctx, lanes->failure);
    whet_i_free(ctx, lanes);
}

static whet_status make(whet_ctx *ctx, whet_i_merge_lanes *lanes) {
    lanes->n = whet_ctx_threads(ctx);
    WHET_TRY(whet_i_workers_create(ctx, &lanes->workers));
    WHET_TRY(whet_i_calloc(ctx, lanes->n, &lanes->failure));
    WHET_TRY(whet_i_calloc(ctx, lanes->n, &lanes->lane));
    for (int32_t i = 0; i < lanes->n; i++) {
        whet_i_merge_lane *lane = &lanes->lane[i];
        WHET_TRY(whet_i_workers_context(lanes->workers, &lane->ctx));
        whet_status status = whet_kernels_select(lane->ctx, whet_kernels_name(ctx));
        if (status == WHET_OK)
            status = whet_i_alloc(lane->ctx, WHET_MERGE_MODELS_MAX, &lane->setting);
        if (status != WHET_OK) return whet_i_fail(ctx, status, "%s", whet_error(lane->ctx));
    }
    return WHET_OK;
}

whet_status whet_i_merge_lanes_create(whet_ctx *ctx, whet_i_merge_lanes **out) {
    whet_i_merge_lanes *lanes;
    WHET_TRY(whet_i_calloc(ctx, 1, &lanes));
    const whet_status status = make(ctx, lanes);
    if (status == WHET_OK)
        *out = lanes;
    else
        whet_i_merge_lanes_destroy(ctx, lanes);
    return status;
}

typedef struct walk {
    whet_ctx *ctx;
    whet_i_merge_lanes *lanes;
    const int64_t *items;
    whet_status (*fn)(void *arg, int64_t i, whet_i_merge_lane *lane, whet_ctx *parent);
    void *arg;
    atomic_int_fast64_t failed; /* the first place that has; n = none */
} walk;

static void run_one(void *arg, int64_t place, int32_t worker) {
    walk *w = arg;
    whet_i_merge_lane *lane = &w->lanes->lane[worker];
    struct failure *f = &w->lanes->failure[worker];
    if (place > atomic_load(&w->failed)) return; /* what is before it may fail, too */
    const whet_status status = w->fn(w->arg, w->items[place], lane, worker == 0 ? w->ctx : NULL);
    if (status == WHET_OK) return;
    *f = (struct failure){.status = status, .at = place};
    (void)snprintf(f->sentence, sizeof f->sentence, "%s", whet_error(lane->ctx));
    int_fast64_t first = atomic_load(&w->failed);
    while (place < first && !atomic_compare_exchange_weak(&w->failed, &first, place)) continue;
}

whet_status whet_i_merge_lanes_run(
    whet_ctx *ctx, whet_i_merge_lanes *lanes, const int64_t *items, int64_t n,
    whet_status (*fn)(void *arg, int64_t i, whet_i_merge_lane *lane, whet_ctx *parent), void *arg) {
    walk w = {.ctx = ctx, .lanes = lanes, .items = items, .fn = fn, .arg = arg, .failed = n};
    const struct failure *first = NULL;
    for (int32_t i = 0; i < lanes->n; i++) lanes->failure[i].status = WHET_OK;
    const whet_status status = whet_i_parallel_for(ctx, NULL, n, run_one, &w);
    for (int32_t i = 0; i < lanes->n; i++) { /* the next tensors need not have what these kept */
        whet_i_free(lanes->lane[i].ctx, lanes->lane[i].block.bytes);
        lanes->lane[i].block = (whet_i_merge_block){0};
    }
    for (int32_t i = 0; i < lanes->n; i++) {
        const struct failure *f = &lanes->failure[i];
        if (f->status == WHET_ERR_CANCELLED) return whet_i_fail(ctx, f->status, "interrupted");
        if (f->status != WHET_OK && (!first || f->at < first->at)) first = f;
    }
    return first ? whet_i_fail(ctx, first->status, "%s", first->sentence) : status;
}
