/* SPDX-License-Identifier: Apache-2.0
 * Images from a file as rows of numbers in [0, 1]. */
#include <inttypes.h>

#include "io/io_i.h"
#include "label/image_features.h"

void whet_i_image_rows_free(whet_ctx *ctx, whet_i_image_rows *images) {
    whet_tensor_destroy(ctx, &images->x);
    *images = (whet_i_image_rows){0};
}

/* Bytes are 255ths; reals are taken as they are, and must be in [0, 1]. */
static whet_status scale(whet_ctx *ctx, const char *path, const whet_tensor *read,
                         whet_tensor *out) {
    WHET_TRY(whet_tensor_convert(ctx, read, WHET_F32, out));
    float *x = out->data;
    const int64_t count = whet_tensor_count(out), d = count / out->shape[0];
    if (read->dtype == WHET_U8) {
        for (int64_t i = 0; i < count; i++) x[i] /= 255;
        return WHET_OK;
    }
    for (int64_t i = 0; i < count; i++)
        if (!(x[i] >= 0 && x[i] <= 1))
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: image %" PRId64 ", number %" PRId64
                               " is %g; expected reals in [0, 1], or unsigned bytes",
                               path, i / d, i % d, (double)x[i]);
    return WHET_OK;
}

static whet_status check(whet_ctx *ctx, const char *path, const whet_tensor *t) {
    bool any = true;
    if (t->rank < 2 || t->rank > 4)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: an array of %" PRId32
                           " dimensions; expected images [n, height, width] or [n, height, width, "
                           "channels], or rows [n, d]",
                           path, t->rank);
    for (int32_t i = 0; i < t->rank; i++) any = any && t->shape[i] > 0;
    if (!any) return whet_i_fail(ctx, WHET_ERR_DATA, "%s: no numbers; expected images", path);
    switch (t->dtype) {
    case WHET_U8:
    case WHET_F16:
    case WHET_BF16:
    case WHET_F32:
    case WHET_F64: return WHET_OK;
    default:
        return whet_i_fail(ctx, WHET_ERR_DATA, "%s: images of %s; expected u8, or reals in [0, 1]",
                           path, whet_dtype_name(t->dtype));
    }
}

whet_status whet_i_image_rows_read(whet_ctx *ctx, const char *path, whet_i_image_rows *out) {
    whet_i_image_rows images = {.d = 1};
    whet_tensor read = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_array_read(ctx, path, &read));
    WHET_TRY_DONE(check(ctx, path, &read));
    WHET_TRY_DONE(scale(ctx, path, &read, &images.x));
    images.n = read.shape[0];
    for (int32_t i = 1; i < read.rank; i++) images.d *= read.shape[i];
    images.height = read.rank > 2 ? read.shape[1] : 0;
    images.width = read.rank > 2 ? read.shape[2] : 0;
    images.channels = read.rank > 3 ? read.shape[3] : 1;
    *out = images;
    images = (whet_i_image_rows){0};
done:
    whet_tensor_destroy(ctx, &read);
    whet_i_image_rows_free(ctx, &images);
    return status;
}
