/* SPDX-License-Identifier: Apache-2.0
 * What the files of the baselines share. Each baseline is a function of a prepared problem, and a row
 * of the table in baselines.c.
 * Legend: n rows, d features, k classes, b labelled rows; a case is a labelled row held out in one repeat
 * of the folds. */
#ifndef WHET_LABEL_BASELINES_H
#define WHET_LABEL_BASELINES_H

#include "label/label_i.h"

typedef struct whet_i_baseline {
    const whet_baseline_input *in;
    whet_i_prepare prepare;
    float *x; /* [n, d] prepared */
    int64_t n, d, k, b;
    int64_t *rows;   /* [b] */
    int32_t *y;      /* [b] */
    int32_t *labels; /* [n], -1 = none */
    whet_i_splits splits;
    int64_t cases;
    int32_t *case_y; /* [cases] */
    double *probs;   /* [n, k] to write */
} whet_i_baseline;

whet_status whet_i_few_shot(whet_ctx *ctx, const whet_i_baseline *s);  /* baseline_few_shot.c */
whet_status whet_i_propagate(whet_ctx *ctx, const whet_i_baseline *s); /* baseline_graph.c */
whet_status whet_i_spreading(whet_ctx *ctx, const whet_i_baseline *s);
whet_status whet_i_zero_shot(whet_ctx *ctx, const whet_i_baseline *s); /* baseline_vectors.c */
whet_status whet_i_centroids(whet_ctx *ctx, const whet_i_baseline *s);
whet_status whet_i_clusters(whet_ctx *ctx, const whet_i_baseline *s); /* baseline_groups.c */
whet_status whet_i_affinities(whet_ctx *ctx, const whet_i_baseline *s);

/* s->probs take the temperature that is given, or else this one. */
void whet_i_baseline_temper(const whet_i_baseline *s, double fitted);
/* s->probs take the temperature that is given, or that suits the labelled rows best. */
whet_status whet_i_calibrate_on_labels(whet_ctx *ctx, const whet_i_baseline *s);

#endif
