/* SPDX-License-Identifier: Apache-2.0
 * Loss and accuracy on the line between two networks, (1 - w) A + w B, and its barrier: how much the loss
 * rises above the straight line between its ends, at most (Frankle et al. 2020). */
#include <inttypes.h>
#include <math.h>

#include "merge/align_files.h"

double whet_i_mode_barrier(int64_t points, const whet_mode_point *found) {
    double most = 0;
    for (int64_t i = 0; i < points; i++) {
        const double w = found[i].weight;
        most = fmax(most, found[i].loss - ((1 - w) * found[0].loss + w * found[points - 1].loss));
    }
    return most;
}

/* A point is scored after the other: memory is that of one. */
static whet_status measure_points(whet_ctx *ctx, whet_i_mixture *m, const whet_mode_data *data,
                                  int64_t points, whet_mode_point *found) {
    double *shares = NULL;
    whet_i_scores scores = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, m->n, &shares));
    WHET_TRY_DONE(whet_i_alloc(ctx, data->n, &scores.losses));
    WHET_TRY_DONE(whet_i_alloc(ctx, data->n, &scores.right));
    for (int64_t i = 0; i < points; i++) {
        found[i].weight = (double)i / (double)(points - 1);
        whet_i_mixture_share(m, found[i].weight, shares);
        WHET_TRY_DONE(whet_i_mixture_score(ctx, m, shares, 1, data, &scores));
        whet_i_scores_mean(scores.losses, scores.right, data->n, 0, &found[i].loss,
                           &found[i].accuracy);
    }
done:
    whet_i_free(ctx, scores.losses);
    whet_i_free(ctx, scores.right);
    whet_i_free(ctx, shares);
    return status;
}

whet_status whet_mode_mixture(whet_ctx *ctx, const char *arch, const whet_weights *a,
                              const whet_weights *b, const whet_mode_data *data, double weight,
                              whet_named_tensor *out) {
    const whet_i_image image = {data->height, data->width, data->channels};
    whet_i_mixture m = {0};
    double *shares = NULL;
    whet_status status = WHET_OK;
    if (!(weight >= 0 && weight <= 1))
        return whet_i_fail(ctx, WHET_ERR_ARG, "a share of %g; expected one from 0 to 1", weight);
    WHET_TRY_DONE(whet_i_mixture_make(ctx, arch, data->spec, a, b, NULL, &image, &m));
    WHET_TRY_DONE(whet_i_alloc(ctx, m.n, &shares));
    whet_i_mixture_share(&m, weight, shares);
    status = whet_i_mixture_tensors(ctx, &m, shares, data, out);
done:
    whet_i_free(ctx, shares);
    whet_i_mixture_free(ctx, &m);
    return status;
}

whet_status whet_i_mode_check(whet_ctx *ctx, const char *arch, const whet_weights *a,
                              const whet_weights *b, const whet_mode_data *data, const char *x_path,
                              const char *labels_path) {
    const whet_i_image image = {data->height, data->width, data->channels};
    whet_i_mixture m = {0};
    whet_status status = WHET_OK;
    status = whet_i_mixture_make(ctx, arch, data->spec, a, b, NULL, &image, &m);
    if (status == WHET_ERR_SHAPE) status = whet_i_fail_at(ctx, status, "for %s", x_path);
    if (status != WHET_OK) goto done;
    status = whet_i_mode_labels_check(ctx, data, m.classes);
    if (status == WHET_OK)
        status = whet_i_mixture_check(ctx, &m, data);
    else
        status = whet_i_fail_at(ctx, status, "%s", labels_path);
done:
    whet_i_mixture_free(ctx, &m);
    return status;
}

whet_status whet_mode_path(whet_ctx *ctx, const char *arch, const whet_weights *a,
                           const whet_weights *b, const whet_mode_data *data, int64_t points,
                           whet_mode_point *out, double *barrier) {
    const whet_i_image image = {data->height, data->width, data->channels};
    whet_i_mixture m = {0};
    whet_mode_point *found = NULL;
    whet_status status = WHET_OK;
    if (points < 2 || points > 1001)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%" PRId64 " points; expected 2 to 1001", points);
    WHET_TRY_DONE(whet_i_mixture_make(ctx, arch, data->spec, a, b, NULL, &image, &m));
    WHET_TRY_DONE(whet_i_mixture_check(ctx, &m, data));
    WHET_TRY_DONE(whet_i_calloc(ctx, points, &found));
    WHET_TRY_DONE(measure_points(ctx, &m, data, points, found));
    memcpy(out, found, (size_t)points * sizeof *out);
    *barrier = whet_i_mode_barrier(points, found);
done:
    whet_i_mixture_free(ctx, &m);
    whet_i_free(ctx, found);
    return status;
}
