/* SPDX-License-Identifier: Apache-2.0
 * The baselines that find groups without labels, which only name them: k-means, and GOGGLES.
 * Legend: n rows, d features, k classes. */
#include <math.h>

#include "label/baselines.h"
#include "label/mixtures.h"

/* probs of rows by their squared distances to the centres, at the scale of these distances' mean. */
static void soften_distances(const whet_i_baseline *s, const double *x, const double *centers,
                             double spread) {
    const double scale = spread > 0 ? (double)s->n / spread : 0;
    for (int64_t i = 0; i < s->n; i++) {
        double *row = s->probs + i * s->k;
        for (int64_t c = 0; c < s->k; c++) {
            double square = 0;
            for (int64_t j = 0; j < s->d; j++) {
                const double off = x[i * s->d + j] - centers[c * s->d + j];
                square += off * off;
            }
            row[c] = -scale * square;
        }
        whet_i_softmax(row, s->k);
    }
}

static whet_status enough_rows(whet_ctx *ctx, const whet_i_baseline *s) {
    if (s->n >= s->k) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "%lld rows for %lld classes; expected at least a row a class to find groups",
                       (long long)s->n, (long long)s->k);
}

whet_status whet_i_clusters(whet_ctx *ctx, const whet_i_baseline *s) {
    whet_status status = WHET_OK;
    double *x = NULL, *centers = NULL, spread;
    int32_t *group = NULL;
    int64_t cells, center_cells;
    WHET_TRY(enough_rows(ctx, s));
    WHET_TRY(whet_i_mul(ctx, s->n, s->d, &cells));
    WHET_TRY(whet_i_mul(ctx, s->k, s->d, &center_cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &x));
    WHET_TRY_DONE(whet_i_alloc(ctx, center_cells, &centers));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->n, &group));
    for (int64_t i = 0; i < cells; i++) x[i] = (double)s->x[i];
    WHET_TRY_DONE(whet_i_kmeans(ctx, x, s->n, s->d, s->k, s->in->seed, centers, group, &spread));
    soften_distances(s, x, centers, spread);
    WHET_TRY_DONE(whet_i_map_to_classes(ctx, s->n, s->k, s->labels, s->probs));
    WHET_TRY_DONE(whet_i_calibrate_on_labels(ctx, s));
done:
    whet_i_free(ctx, x);
    whet_i_free(ctx, centers);
    whet_i_free(ctx, group);
    return status;
}

whet_status whet_i_affinities(whet_ctx *ctx, const whet_i_baseline *s) {
    WHET_TRY(enough_rows(ctx, s));
    WHET_TRY(whet_i_goggles(ctx, s->x, s->n, s->d, s->k, s->labels, s->in->seed, s->probs, NULL));
    return whet_i_calibrate_on_labels(ctx, s);
}
