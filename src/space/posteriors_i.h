/* SPDX-License-Identifier: Apache-2.0
 * Probabilities of rows over observed classes, as a file gives them. */
#ifndef WHET_POSTERIORS_I_H
#define WHET_POSTERIORS_I_H

#include "space/space_i.h"

#include "io/io_i.h"

struct whet_posteriors {
    char *path;
    int64_t rows;
    whet_names *classes;
    /* Dense: the array as read, or the file itself, mapped. */
    whet_i_array_view array;
    /* Sparse: entries of row i at [first[i], first[i + 1]). */
    bool sparse;
    int64_t *number, *first; /* tables: [rows] ascending, else NULL; [rows + 1] */
    int32_t *column;
    double *p;
};

/* By extension: a text table, not an array. */
bool whet_i_is_table(const char *path);
/* The index of the row that the file calls `number`, or -1. */
int64_t whet_i_posteriors_find(const whet_posteriors *p, int64_t number);

#endif
