/* SPDX-License-Identifier: Apache-2.0
 * Sparse rows from a table of row, class, p. Tables whose rows stand in ascending order (gaps are fine)
 * are read twice, part by part: once to check them, count their rows and learn their classes, once as
 * rows are asked for. Rows in any other order are read whole and sorted. */
#include <math.h>

#include "space/posteriors_i.h"

enum { PART_BYTES = 1 << 20, POLL = 4096 };

typedef struct table_rows {
    whet_i_table_parts *parts;
    whet_table *part;
    int64_t at; /* the next data row of the part */
    int64_t place[3];
    int64_t *seen; /* [room] the last row that has the class, counted over all readings */
    int64_t room, readings;
    int64_t last;  /* number of the row before; -1 = none */
    bool checked;  /* classes are known */
    bool first;    /* no part yet */
    bool disorder; /* a row stands behind one of a higher number */
} table_rows;

/* An entry, to be sorted by row. */
typedef struct entry {
    int64_t row, line;
    int32_t column;
    double p;
} entry;

/* ---- entries --------------------------------------------------------------------------------- */

static whet_status find_columns(whet_ctx *ctx, table_rows *t, bool first) {
    static const char *const names[3] = {"row", "class", "p"};
    for (int i = 0; i < 3; i++) {
        /* Members of JSONL may be absent from all of a later part: cells without text. */
        t->place[i] = whet_names_find(whet_table_columns(t->part), whet_str_from(names[i]));
        if (t->place[i] < 0 && first)
            WHET_TRY(whet_i_table_needs(ctx, t->part, names[i], &t->place[i]));
    }
    return WHET_OK;
}

/* Whether there is an entry more; then it is data row t->at of the part. */
static whet_status next_entry(whet_ctx *ctx, table_rows *t, bool *any) {
    while (!t->part || t->at == whet_table_rows(t->part)) {
        whet_table_destroy(ctx, t->part); /* two at a time are not needed */
        t->part = NULL;
        t->at = 0;
        WHET_TRY(whet_i_table_parts_next(ctx, t->parts, &t->part));
        *any = t->part != NULL;
        if (!t->part) return WHET_OK;
        WHET_TRY(find_columns(ctx, t, t->first));
        t->first = false;
    }
    *any = true;
    return WHET_OK;
}

static whet_str cell(const table_rows *t, int which) {
    return t->place[which] < 0 ? (whet_str){"", 0}
                               : whet_table_cell(t->part, t->at, t->place[which]);
}

static whet_status read_entry(whet_ctx *ctx, const whet_posteriors *p, const table_rows *t,
                              entry *out) {
    char quoted[WHET_QUOTE_SIZE];
    const whet_str row = cell(t, 0), class = whet_i_trim(cell(t, 1)), value = cell(t, 2);
    int64_t column;
    out->line = whet_table_line(t->part, t->at);
    const long long line = (long long)out->line;
    if (!whet_i_parse_int(row, &out->row) || out->row < 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s:%lld: row is %s; expected a whole number of 0 or more", p->path,
                           line, whet_i_quote(quoted, row));
    if (!whet_i_parse_real(value, &out->p) || !(out->p >= 0 && isfinite(out->p)))
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s:%lld: p is %s; expected a finite number of 0 or more", p->path, line,
                           whet_i_quote(quoted, value));
    if (class.len < 1)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s:%lld: class is empty; expected a name",
                           p->path, line);
    if (t->checked) {
        column = whet_names_find(p->classes, class);
        if (column < 0)
            return whet_i_fail(ctx, WHET_ERR_IO,
                               "%s:%lld: changed while it was read: class %s is new", p->path, line,
                               whet_i_quote(quoted, class));
    } else {
        WHET_TRY(whet_names_add(ctx, p->classes, class, &column));
    }
    if (column > INT32_MAX)
        return whet_i_fail(ctx, WHET_ERR_LIMIT, "%s: over %d classes", p->path, INT32_MAX);
    out->column = (int32_t)column;
    return WHET_OK;
}

/* An entry of the row in hand, which the window holds as its last. */
static whet_status put_entry(whet_ctx *ctx, whet_posteriors *p, table_rows *t, const entry *e,
                             int64_t at) {
    char quoted[WHET_QUOTE_SIZE];
    row_window *w = &p->window;
    if (e->column >= t->room) {
        const int64_t room = t->room ? 2 * t->room : 64;
        WHET_TRY(whet_i_realloc(ctx, &t->seen, room));
        memset(t->seen + t->room, 0, sizeof *t->seen * (size_t)(room - t->room));
        t->room = room;
        return put_entry(ctx, p, t, e, at);
    }
    if (t->seen[e->column] == t->readings)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s:%lld: row %lld has class %s twice; expected once", p->path,
                           (long long)e->line, (long long)e->row,
                           whet_i_quote(quoted, whet_names_get(p->classes, e->column)));
    t->seen[e->column] = t->readings;
    WHET_TRY(whet_i_window_room(ctx, w, at + 1));
    w->column[at] = e->column;
    w->p[at] = e->p;
    return WHET_OK;
}

static whet_status begin_row(whet_ctx *ctx, whet_posteriors *p, table_rows *t, int64_t number) {
    t->readings++;
    t->last = number;
    return whet_i_window_begin(ctx, &p->window, number);
}

/* ---- in order -------------------------------------------------------------------------------- */

static whet_status changed_order(whet_ctx *ctx, const whet_posteriors *p, const entry *e) {
    return whet_i_fail(ctx, WHET_ERR_IO,
                       "%s:%lld: changed while it was read: row %lld was in order", p->path,
                       (long long)e->line, (long long)e->row);
}

static whet_status more(whet_ctx *ctx, whet_posteriors *p, int64_t n) {
    table_rows *t = p->state;
    row_window *w = &p->window;
    const int64_t last = w->n + n;
    int64_t at = w->n > 0 ? w->first[w->n] : 0;
    bool any, open = false;
    entry e;
    for (;; t->at++) {
        WHET_TRY(next_entry(ctx, t, &any));
        if (!any) break;
        WHET_TRY(read_entry(ctx, p, t, &e));
        if (e.row < t->last) {
            t->disorder = true;
            return t->checked ? changed_order(ctx, p, &e) : WHET_OK;
        }
        if (!open || e.row != t->last) {
            if (open) WHET_TRY(whet_i_window_end(ctx, p, w, at));
            open = false;
            if (w->n == last) break;
            WHET_TRY(begin_row(ctx, p, t, e.row));
            open = true;
        }
        WHET_TRY(put_entry(ctx, p, t, &e, at++));
    }
    return open ? whet_i_window_end(ctx, p, w, at) : WHET_OK;
}

static whet_status to_start(whet_ctx *ctx, whet_posteriors *p) {
    table_rows *t = p->state;
    whet_table_destroy(ctx, t->part);
    t->part = NULL;
    t->at = 0;
    t->last = -1;
    t->first = true;
    return whet_i_table_parts_rewind(ctx, t->parts);
}

static void close_table(whet_ctx *ctx, void *state) {
    table_rows *t = state;
    if (!t) return;
    whet_table_destroy(ctx, t->part);
    whet_i_table_parts_close(ctx, t->parts);
    whet_i_free(ctx, t->seen);
    whet_i_free(ctx, t);
}

/* ---- in any order ---------------------------------------------------------------------------- */

/* Stable merge sort by row; gives whichever of the two arrays ends up sorted. */
static entry *sort_entries(entry *items, entry *other, int64_t n) {
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t from = 0; from < n; from += 2 * width) {
            const int64_t middle = from + width < n ? from + width : n;
            const int64_t to = middle + width < n ? middle + width : n;
            int64_t a = from, b = middle;
            for (int64_t i = from; i < to; i++)
                other[i] = b == to || (a < middle && items[a].row <= items[b].row) ? items[a++]
                                                                                   : items[b++];
        }
        entry *sorted = other;
        other = items;
        items = sorted;
    }
    return items;
}

static whet_status place_entries(whet_ctx *ctx, whet_posteriors *p, table_rows *t, const entry *e,
                                 int64_t n) {
    row_window *w = &p->window;
    WHET_TRY(whet_i_window_room(ctx, w, n));
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || e[i].row != e[i - 1].row) WHET_TRY(begin_row(ctx, p, t, e[i].row));
        WHET_TRY(put_entry(ctx, p, t, &e[i], i));
        if (i + 1 == n || e[i + 1].row != e[i].row) WHET_TRY(whet_i_window_end(ctx, p, w, i + 1));
    }
    p->rows = w->n;
    p->entries = n;
    return WHET_OK;
}

/* The window then holds everything, and nothing is read again. */
static whet_status read_whole(whet_ctx *ctx, whet_posteriors *p, table_rows *t) {
    whet_status status = WHET_OK;
    entry *entries = NULL, *other = NULL;
    int64_t n = 0, room = 0;
    bool any;
    WHET_TRY(to_start(ctx, p));
    p->window.from = p->window.n = 0;
    for (;; t->at++, n++) {
        WHET_TRY_DONE(next_entry(ctx, t, &any));
        if (!any) break;
        if (n == room) {
            room = room ? 2 * room : POLL;
            WHET_TRY_DONE(whet_i_realloc(ctx, &entries, room));
        }
        WHET_TRY_DONE(read_entry(ctx, p, t, &entries[n]));
    }
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &other));
    status = place_entries(ctx, p, t, sort_entries(entries, other, n), n);
done:
    whet_i_free(ctx, other);
    whet_i_free(ctx, entries);
    return status;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Goes through all rows, keeping none. */
static whet_status check_all(whet_ctx *ctx, whet_posteriors *p, table_rows *t) {
    row_window *w = &p->window;
    p->in_turn = true;
    for (;;) {
        WHET_TRY(more(ctx, p, POLL));
        if (t->disorder || w->n == 0) break;
        for (int64_t i = 0; i < w->n; i++) p->in_turn &= w->number[i] == p->rows + i;
        p->rows += w->n;
        p->entries += w->first[w->n];
        w->n = 0;
    }
    return WHET_OK;
}

whet_status whet_i_table_rows_open(whet_ctx *ctx, whet_posteriors *p) {
    static const row_source source = {more, to_start, close_table};
    table_rows *t;
    WHET_TRY(whet_i_calloc(ctx, 1, &t));
    t->last = -1;
    t->first = true;
    p->sparse = p->named = true;
    p->source = &source;
    p->state = t; /* released with *p */
    WHET_TRY(whet_names_create(ctx, &p->classes));
    WHET_TRY(whet_i_table_parts_open(ctx, p->path, PART_BYTES, &t->parts));
    WHET_TRY(check_all(ctx, p, t));
    if (t->disorder) {
        p->rows = 0;
        p->in_turn = false;
        WHET_TRY(read_whole(ctx, p, t));
        close_table(ctx, t);
        p->source = NULL;
        p->state = NULL;
        return WHET_OK;
    }
    if (p->rows == 0)
        return whet_i_fail(ctx, WHET_ERR_DATA, "%s: no entries; expected one or more", p->path);
    t->checked = true;
    return to_start(ctx, p);
}
