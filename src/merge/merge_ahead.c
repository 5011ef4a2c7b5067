/* SPDX-License-Identifier: Apache-2.0
 * The bytes of a plan's sources are counted through in the order in which they are taken: item by item, in
 * an item number by number, of all sources at once. What is within a window of the number that is taken now
 * is asked for, once. Only page cache is filled: pages are the system's, and go when it needs them. */
#include "merge/merge_ahead.h"

#include <stdatomic.h>

#include "merge/merge_passes.h"

/* The window holds what processors leave to the disk while they write a tensor of some ten million numbers; a
 * step is a few requests a source. */
enum { WINDOW = 128 << 20, STEP = 4 << 20 };

struct whet_i_merge_ahead {
    const whet_merge_plan *plan;
    int64_t *start;     /* [n + 1] bytes before each item */
    atomic_llong asked; /* for so many bytes */
};

/* Of one number of an item, in all its sources. */
static int64_t number_bytes(const whet_i_merge_item *item) {
    int64_t bytes = 0;
    for (int64_t k = 0; k < item->n_places; k++)
        if (item->places[k].file) bytes += (int64_t)whet_dtype_size(item->places[k].dtype);
    return bytes;
}

whet_status whet_i_merge_ahead_create(whet_ctx *ctx, const whet_merge_plan *plan, const bool *done,
                                      whet_i_merge_ahead **out) {
    whet_i_merge_ahead *a;
    WHET_TRY(whet_i_calloc(ctx, 1, &a));
    const whet_status status = whet_i_alloc(ctx, plan->n + 1, &a->start);
    if (status != WHET_OK) {
        whet_i_free(ctx, a);
        return status;
    }
    a->plan = plan;
    a->start[0] = 0;
    for (int64_t i = 0; i < plan->n; i++) {
        const whet_i_merge_item *item = &plan->items[i];
        a->start[i + 1] = a->start[i] + (done[i] ? 0 : item->count * number_bytes(item));
    }
    *out = a;
    return WHET_OK;
}

void whet_i_merge_ahead_destroy(whet_ctx *ctx, whet_i_merge_ahead *a) {
    if (a) whet_i_free(ctx, a->start);
    whet_i_free(ctx, a);
}

/* Numbers first .. last - 1 of an item's sources; tables may have fewer rows than the item. */
static void ask_item(const whet_i_merge_item *item, int64_t first, int64_t last) {
    for (int64_t k = 0; k < item->n_places; k++) {
        const whet_i_merge_place *p = &item->places[k];
        if (!p->file) continue;
        const int64_t size = (int64_t)whet_dtype_size(p->dtype);
        const int64_t rows = item->rank ? item->shape[0] : 1;
        const int64_t numbers = rows ? item->count / rows * p->rows : 0;
        const int64_t end = last < numbers ? last : numbers;
        if (first < end)
            whet_i_pages_ask((const char *)p->data + first * size, (end - first) * size);
    }
}

/* Bytes from .. to - 1, of item i or others near it. */
static void ask(const whet_i_merge_ahead *a, int64_t i, int64_t from, int64_t to) {
    while (i > 0 && a->start[i] > from)
        i--; /* of several threads the last may be the first to ask */
    for (; i < a->plan->n && a->start[i] < to; i++) {
        const int64_t begin = from > a->start[i] ? from : a->start[i];
        const int64_t end = to < a->start[i + 1] ? to : a->start[i + 1];
        const int64_t each = number_bytes(&a->plan->items[i]);
        if (begin >= end || each == 0) continue;
        ask_item(&a->plan->items[i], (begin - a->start[i]) / each,
                 (end - a->start[i] + each - 1) / each);
    }
}

void whet_i_merge_ahead_reach(whet_i_merge_ahead *a, int64_t item, int64_t number) {
    const int64_t all = a->start[a->plan->n];
    const int64_t at = a->start[item] + number * number_bytes(&a->plan->items[item]) + WINDOW;
    const int64_t to = at < all ? at : all;
    long long from = atomic_load(&a->asked);
    while (to - from >= STEP || (to == all && from < to)) {
        const int64_t next = from + STEP < to ? from + STEP : to;
        if (!atomic_compare_exchange_weak(&a->asked, &from, next)) continue;
        ask(a, item, from, next);
        from = next;
    }
}
