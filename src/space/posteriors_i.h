/* SPDX-License-Identifier: Apache-2.0
 * Probabilities of rows over observed classes, as a file gives them. */
#ifndef WHET_POSTERIORS_I_H
#define WHET_POSTERIORS_I_H

#include "space/space_i.h"

#include "io/io_i.h"

/* Sparse rows from .. from + n - 1, which are in memory: entries of the i-th are at [first[i],
 * first[i + 1]). */
typedef struct row_window {
    int64_t from, n, row_room, entry_room;
    int64_t *first;  /* [n + 1] */
    int64_t *number; /* [n] as the file calls them */
    int32_t *column;
    double *p;
} row_window;

/* Where sparse rows come from, one after another. */
typedef struct row_source {
    /* Puts up to n rows more into the window, fewer at the end of the file; each with some mass, no
     * column twice. */
    whet_status (*more)(whet_ctx *ctx, whet_posteriors *p, int64_t n);
    whet_status (*rewind)(whet_ctx *ctx, whet_posteriors *p);
    void (*close)(whet_ctx *ctx, void *state);
} row_source;

struct whet_posteriors {
    char *path;
    int64_t rows;
    whet_names *classes;
    whet_i_array_rows *array; /* dense */
    /* Sparse: a window that moves over the source, or holds everything (no source). */
    bool sparse;
    int64_t entries; /* in all */
    const row_source *source;
    void *state;
    row_window window;
    /* Tables give their rows numbers. */
    bool named, in_turn; /* in_turn: 0, 1, 2, .. */
    int64_t *number;     /* [rows] ascending, when they have been asked for */
};

/* By extension: a text table, not an array. */
bool whet_i_is_table(const char *path);
/* An archive with the parts of compressed rows: looked for by name, errors are for the readers. */
bool whet_i_is_compressed(whet_ctx *ctx, const char *path);
/* Make *p, of which only the path is set, sparse. Everything is read once, and checked. */
WHET_CHECKED whet_status whet_i_table_rows_open(whet_ctx *ctx, whet_posteriors *p);
WHET_CHECKED whet_status whet_i_compressed_rows_open(whet_ctx *ctx, const char *classes,
                                                     whet_posteriors *p);

/* Moves the window so that it holds rows first .. first + n - 1, which there are. */
WHET_CHECKED whet_status whet_i_window_move(whet_ctx *ctx, whet_posteriors *p, int64_t first,
                                            int64_t n);
/* For sources: room for an entry more, or for n; a row that begins, or ends where its entries do. */
WHET_CHECKED whet_status whet_i_window_room(whet_ctx *ctx, row_window *w, int64_t entries);
WHET_CHECKED whet_status whet_i_window_begin(whet_ctx *ctx, row_window *w, int64_t number);
/* The last row is whole: its entries end here. Errors: DATA (no mass). */
WHET_CHECKED whet_status whet_i_window_end(whet_ctx *ctx, const whet_posteriors *p, row_window *w,
                                           int64_t entries);
void whet_i_window_free(whet_ctx *ctx, row_window *w);

/* Reads the numbers of all rows, so that the next two know them. */
WHET_CHECKED whet_status whet_i_posteriors_numbers(whet_ctx *ctx, whet_posteriors *p);
/* The index of the row that the file calls `number`, or -1. */
int64_t whet_i_posteriors_find(const whet_posteriors *p, int64_t number);

#endif
