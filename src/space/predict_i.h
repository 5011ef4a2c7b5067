/* SPDX-License-Identifier: Apache-2.0
 * The state of a prediction job, shared by what reads and measures (predict.c) and what goes through
 * the rows (predict_rows.c). */
#ifndef WHET_PREDICT_I_H
#define WHET_PREDICT_I_H

#include "space/posteriors_i.h"

typedef struct prediction {
    const whet_predict_job *job;
    whet_posteriors *posteriors;
    int64_t k; /* its classes */
    whet_space *space;
    whet_frechet *frechet;
    int64_t *observed, *candidates; /* points */
    bool *is_observed;              /* [points] */
    double temperature;
    int64_t unobserved; /* rows predicted so far as a class that is not observed */
    /* With labels only. */
    int64_t *truth;         /* [rows] points, -1 = no label */
    int64_t *best, *argmax; /* [rows] points */
    bool *in_top[2];        /* [rows] when top > 1: Frechet mean, argmax */
    double *mass;           /* [k] probability over the rows that have a label */
    /* One block: whole rows, or the entries of rows. */
    int64_t block_rows;
    double *probs;
    whet_sparse_rows entries; /* a view of the posteriors' */
    int64_t *first;           /* [block_rows + 1] of the sharpened entries */
    double *sharpened;        /* [room] */
    int64_t room;
    double *cost, *margin;
    int64_t *top;
    int32_t *ties;
    whet_i_buf text;
} prediction;

/* Goes through all rows: predicts, writes, notes what measuring needs. */
WHET_CHECKED whet_status whet_i_predict_rows(whet_ctx *ctx, prediction *p, whet_out *out);

#endif
