/* SPDX-License-Identifier: Apache-2.0
 * Images or vectors from arrays: bytes become 0..1, channels are shifted and scaled. */
#include <inttypes.h>
#include <math.h>

#include "merge/align_files.h"

void whet_i_image_scale(const char *arch, double mean[3], double scale[3]) {
    static const double middle[] = {.485, .456, .406}, deviation[] = {.229, .224, .225};
    const bool imagenet = whet_i_arch_is(arch, "resnet"); /* those for CIFAR are trained so, too */
    for (int c = 0; c < 3; c++) {
        if (isnan(mean[c])) mean[c] = imagenet ? middle[c] : 0;
        if (isnan(scale[c])) scale[c] = imagenet ? deviation[c] : 1;
    }
}

/* x [n, d], [n, h, w] or [n, h, w, c] as f32. */
static whet_status read_inputs(whet_ctx *ctx, const char *path, const whet_align_job *job,
                               whet_tensor *out, int64_t shape[4]) {
    whet_tensor raw = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_array_read(ctx, path, &raw));
    if (raw.rank < 2 || raw.rank > 4 || whet_tensor_count(&raw) == 0) {
        status = whet_i_fail(ctx, WHET_ERR_SHAPE,
                             "%s: %d dimensions, %" PRId64
                             " numbers; expected examples of vectors or of images",
                             path, (int)raw.rank, whet_tensor_count(&raw));
        goto done;
    }
    WHET_TRY_DONE(whet_tensor_convert(ctx, &raw, WHET_F32, out));
    shape[0] = raw.shape[0];
    shape[1] = raw.rank > 2 ? raw.shape[1] : 1;
    shape[2] = raw.rank > 2 ? raw.shape[2] : 1;
    shape[3] = raw.rank == 2 ? raw.shape[1] : raw.rank == 4 ? raw.shape[3] : 1;
    const int64_t n = whet_tensor_count(out);
    float *x = out->data;
    const double unit = raw.dtype == WHET_U8 ? 255 : 1;
    for (int64_t i = 0; i < n; i++) {
        const int64_t c = shape[3] <= 3 ? i % shape[3] : 0;
        if (!isfinite(x[i])) {
            status = whet_i_fail(ctx, WHET_ERR_DATA,
                                 "%s: number %" PRId64 " of example %" PRId64
                                 " is not finite; expected numbers",
                                 path, i % (n / shape[0]), i / (n / shape[0]));
            goto done;
        }
        x[i] = (float)(((double)x[i] / unit - job->mean[c]) / job->scale[c]);
    }
done:
    whet_tensor_destroy(ctx, &raw);
    return status;
}

static whet_status read_statistics(whet_ctx *ctx, const whet_align_job *job,
                                   whet_i_mode_inputs *in) {
    int64_t shape[4];
    WHET_TRY(read_inputs(ctx, job->statistics, job, &in->statistics, shape));
    if (shape[1] != in->data.height || shape[2] != in->data.width || shape[3] != in->data.channels)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: examples of %" PRId64 " x %" PRId64 " x %" PRId64
                           "; expected %" PRId64 " x %" PRId64 " x %" PRId64 " as in %s",
                           job->statistics, shape[1], shape[2], shape[3], in->data.height,
                           in->data.width, in->data.channels, job->data);
    in->data.statistics = in->statistics.data;
    in->data.n_statistics = shape[0];
    return WHET_OK;
}

whet_status whet_i_mode_inputs_read(whet_ctx *ctx, const whet_align_job *job,
                                    whet_i_mode_inputs *in) {
    int64_t shape[4];
    *in = (whet_i_mode_inputs){0};
    WHET_TRY(read_inputs(ctx, job->data, job, &in->x, shape));
    in->data = (whet_mode_data){.x = in->x.data,
                                .n = shape[0],
                                .height = shape[1],
                                .width = shape[2],
                                .channels = shape[3]};
    if (job->statistics) WHET_TRY(read_statistics(ctx, job, in));
    if (!job->labels) return WHET_OK;
    WHET_TRY(whet_array_read_as(ctx, job->labels, WHET_I32, 1, false, &in->labels));
    if (in->labels.shape[0] != shape[0])
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: %" PRId64 " labels; expected %" PRId64 ", one an example of %s",
                           job->labels, in->labels.shape[0], shape[0], job->data);
    in->data.labels = in->labels.data;
    return WHET_OK;
}

void whet_i_mode_inputs_free(whet_ctx *ctx, whet_i_mode_inputs *in) {
    whet_tensor_destroy(ctx, &in->x);
    whet_tensor_destroy(ctx, &in->statistics);
    whet_tensor_destroy(ctx, &in->labels);
}
