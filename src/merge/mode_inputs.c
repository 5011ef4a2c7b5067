/* SPDX-License-Identifier: Apache-2.0
 * Images or vectors from arrays: bytes become 0..1, channels are shifted and scaled. */
#include <inttypes.h>
#include <math.h>

#include "merge/align_files.h"
#include "tensor/tensor_i.h"

/* What channels are shifted and scaled by, as many as there are; vectors have one for all columns. */
typedef struct scaling {
    double mean[3], scale[3];
    int64_t channels;
} scaling;

/* One number for all channels, or one for each; `given` [3], NaN behind those that were given. */
static whet_status fill(whet_ctx *ctx, const char *path, const char *what, const double given[3],
                        const double usual[3], int64_t channels, double out[3]) {
    int32_t n = 0, end = 0;
    for (int32_t c = 0; c < 3; c++) {
        n += isnan(given[c]) ? 0 : 1;
        end = isnan(given[c]) ? end : c + 1;
    }
    const bool one = n == 3 && given[0] == given[1] && given[0] == given[2];
    if (n > 0 && !one && (n != channels || n != end))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: %d %ss for examples of %" PRId64
                           " channel%s; expected one, or one a channel",
                           path, (int)n, what, channels, channels == 1 ? "" : "s");
    for (int64_t c = 0; c < channels; c++) out[c] = n ? given[c] : usual[c];
    return WHET_OK;
}

static whet_status make_scaling(whet_ctx *ctx, const char *path, const whet_align_job *job,
                                const char *arch, int64_t columns, scaling *out) {
    static const double imagenet[2][3] = {{.485, .456, .406}, {.229, .224, .225}},
                        plain[2][3] = {{0, 0, 0}, {1, 1, 1}};
    /* Networks for CIFAR are trained by ImageNet's, too. */
    const double(*usual)[3] = whet_i_arch_is(arch, "resnet") ? imagenet : plain;
    out->channels = columns <= 3 ? columns : 1;
    WHET_TRY(fill(ctx, path, "mean", job->mean, usual[0], out->channels, out->mean));
    return fill(ctx, path, "deviation", job->scale, usual[1], out->channels, out->scale);
}

/* x [n, d], [n, h, w] or [n, h, w, c] as f32. */
static whet_status read_inputs(whet_ctx *ctx, const char *path, const whet_align_job *job,
                               const char *arch, whet_tensor *out, int64_t shape[4]) {
    whet_tensor raw = {0};
    scaling s;
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
    WHET_TRY_DONE(make_scaling(ctx, path, job, arch, shape[3], &s));
    const int64_t n = whet_tensor_count(out);
    float *x = out->data;
    const double unit = raw.dtype == WHET_U8 ? 255 : 1;
    for (int64_t i = 0; i < n; i++) {
        const int64_t c = i % s.channels;
        if (!isfinite(x[i])) {
            const bool large = isfinite(whet_i_tensor_real(&raw, i));
            status = whet_i_fail(ctx, WHET_ERR_DATA,
                                 "%s: number %" PRId64 " of example %" PRId64 " is %s; expected %s",
                                 path, i % (n / shape[0]), i / (n / shape[0]),
                                 large ? "too large for 32-bit floats" : "not finite",
                                 large ? "at most 3.4e38" : "numbers");
            goto done;
        }
        x[i] = (float)(((double)x[i] / unit - s.mean[c]) / s.scale[c]);
    }
done:
    whet_tensor_destroy(ctx, &raw);
    return status;
}

static whet_status read_statistics(whet_ctx *ctx, const whet_align_job *job, const char *arch,
                                   whet_i_mode_inputs *in) {
    int64_t shape[4];
    WHET_TRY(read_inputs(ctx, job->statistics, job, arch, &in->statistics, shape));
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

whet_status whet_i_mode_inputs_read(whet_ctx *ctx, const whet_align_job *job, const char *arch,
                                    whet_i_mode_inputs *in) {
    int64_t shape[4];
    *in = (whet_i_mode_inputs){0};
    WHET_TRY(read_inputs(ctx, job->data, job, arch, &in->x, shape));
    in->data = (whet_mode_data){.x = in->x.data,
                                .n = shape[0],
                                .height = shape[1],
                                .width = shape[2],
                                .channels = shape[3]};
    if (job->statistics) WHET_TRY(read_statistics(ctx, job, arch, in));
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
