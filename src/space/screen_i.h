/* SPDX-License-Identifier: Apache-2.0
 * Screening: costs of all candidates in f32, as fast as a product allows, of which only the few least
 * of each row are kept, and made exact in f64. What comes out is what f64 throughout would give; where
 * the few are not enough to be sure, the row is done again in f64. */
#ifndef WHET_SCREEN_I_H
#define WHET_SCREEN_I_H

#include "space/frechet_i.h"

enum {
    SCREEN_LANES = 128, /* rows of a block */
    SCREEN_PANEL = 512, /* candidates of a product */
    SCREEN_KEPT = 24,   /* least costs kept of a row, besides those that are told but one */
    SCREEN_MOST_TOP = 1024,
    SCREEN_WORTH = 1 << 22 /* numbers in the table from which it pays */
};

typedef struct screen_kept {
    float cost;
    int32_t row; /* of the candidates */
} screen_kept;

/* What differs between the tables that are screened. */
typedef struct screen_table {
    /* costs [n, SCREEN_LANES] of candidates from .. from + n - 1, in f32, of the rows in the first
     * `columns` of them; scratch as asked for. */
    void (*panel)(const whet_frechet *f, frechet_block *b, int64_t from, int64_t n, int32_t columns,
                  float *costs);
    /* The cost in f64 at mass 1, as precise as is promised. */
    double (*exact)(const whet_frechet *f, frechet_block *b, int64_t lane, int64_t row);
} screen_table;

/* What a screened block needs: doubles of scratch behind which the table's own begins. */
int64_t whet_i_screen_scratch(const whet_frechet *f);
double *whet_i_screen_rest(const whet_frechet *f, frechet_block *b);

/* Some rows of a block, taken at mass 1: lane[i] is that of column i, of `columns`. An f32 cost c of lane l
 * stands for a cost within relative c + absolute[l] of c + offset[l], or above; offset and absolute
 * [SCREEN_LANES] are in b->least and b->noise. Rows of which the few do not settle the result are computed in
 * f64 throughout, or, with `left`, are left: their lanes go there, and their number is given. */
int32_t whet_i_screen_rows(const whet_frechet *f, frechet_block *b, int64_t at,
                           const screen_table *table, double relative, const int32_t *lane,
                           int32_t columns, int32_t *left, const frechet_result *out);
/* lane[i] = i for the rows of a block; gives their number. */
int32_t whet_i_screen_all(const frechet_block *b, int32_t lane[SCREEN_LANES]);

/* Upper bound of the relative error of a sum of n products in f32, its factors rounded to f32. */
double whet_i_screen_error(int64_t n);

/* Whether rows can be screened, and whether that is quicker: of tables of `width` numbers a candidate. */
bool whet_i_screen_serves(const whet_frechet *f);
bool whet_i_screen_pays(const whet_frechet *f, int64_t width);

/* Euclidean and unit embeddings with power 2, screened or not (nearest_mean.c). */
bool whet_i_mean_serves(const whet_frechet *f);
const char *whet_i_mean_why(const whet_frechet *f);
/* Why a table is made (distance_table.c). */
const char *whet_i_table_why(const whet_frechet *f);

#endif
