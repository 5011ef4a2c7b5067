/* SPDX-License-Identifier: Apache-2.0
 * Sparse rows that are in memory, out of files of any length: the window moves forward by what its source
 * gives, and to go back it starts again. What it holds depends on the rows asked for, not on the file. */
#include "space/posteriors_i.h"

/* Rows read at least at a time: they may be asked for one by one. */
enum { AHEAD = 1024, FIRST_ROOM = 256 };

whet_status whet_i_window_room(whet_ctx *ctx, row_window *w, int64_t entries) {
    int64_t room = w->entry_room ? w->entry_room : FIRST_ROOM;
    if (entries <= w->entry_room) return WHET_OK;
    while (room < entries) WHET_TRY(whet_i_mul(ctx, room, 2, &room));
    WHET_TRY(whet_i_realloc(ctx, &w->column, room));
    WHET_TRY(whet_i_realloc(ctx, &w->p, room));
    w->entry_room = room;
    return WHET_OK;
}

whet_status whet_i_window_begin(whet_ctx *ctx, row_window *w, int64_t number) {
    if (w->n == w->row_room) {
        const int64_t room = w->row_room ? 2 * w->row_room : FIRST_ROOM;
        WHET_TRY(whet_i_realloc(ctx, &w->first, room + 1));
        WHET_TRY(whet_i_realloc(ctx, &w->number, room));
        w->row_room = room;
    }
    if (w->n == 0) w->first[0] = 0;
    w->number[w->n++] = number;
    return WHET_OK;
}

whet_status whet_i_window_end(whet_ctx *ctx, const whet_posteriors *p, row_window *w,
                              int64_t entries) {
    bool mass = false;
    w->first[w->n] = entries;
    for (int64_t e = w->first[w->n - 1]; e < entries; e++) mass |= w->p[e] > 0;
    if (mass) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA, "%s: row %lld is all zero; expected some mass", p->path,
                       (long long)w->number[w->n - 1]);
}

void whet_i_window_free(whet_ctx *ctx, row_window *w) {
    whet_i_free(ctx, w->first);
    whet_i_free(ctx, w->number);
    whet_i_free(ctx, w->column);
    whet_i_free(ctx, w->p);
    *w = (row_window){0};
}

/* Lets go of the first n rows. */
static void drop(row_window *w, int64_t n) {
    w->from += n;
    w->n -= n;
    if (n == 0 || w->n == 0) return;
    const int64_t at = w->first[n], entries = w->first[n + w->n] - at;
    memmove(w->column, w->column + at, sizeof *w->column * (size_t)entries);
    memmove(w->p, w->p + at, sizeof *w->p * (size_t)entries);
    memmove(w->number, w->number + n, sizeof *w->number * (size_t)w->n);
    for (int64_t i = 0; i <= w->n; i++) w->first[i] = w->first[n + i] - at;
}

whet_status whet_i_window_move(whet_ctx *ctx, whet_posteriors *p, int64_t first, int64_t n) {
    row_window *w = &p->window;
    if (n == 0 || (first >= w->from && first + n <= w->from + w->n)) return WHET_OK;
    if (first < w->from) {
        w->from = w->n = 0;
        WHET_TRY(p->source->rewind(ctx, p));
    }
    while (first + n > w->from + w->n) {
        drop(w, first - w->from < w->n ? first - w->from : w->n);
        const int64_t before = w->n, missing = first + n - w->from - before;
        /* What is skipped is read a little at a time. */
        WHET_TRY(p->source->more(ctx, p, w->from < first || missing < AHEAD ? AHEAD : missing));
        if (w->n == before)
            return whet_i_fail(ctx, WHET_ERR_IO,
                               "%s: changed while it was read: it ends at row %lld; expected %lld "
                               "rows",
                               p->path, (long long)(w->from + w->n), (long long)p->rows);
    }
    return WHET_OK;
}
