/* SPDX-License-Identifier: Apache-2.0
 * Convolutions of images, below the operation that records them (op_convolution.c): by oneDNN where
 * it can (convolution_onednn.c), else by plain loops (convolution.c), which are also its reference.
 *
 * Images are [height, width, channels] (channels last): on the shapes of ResNet-20, oneDNN 2.6 is as
 * fast on them as on its blocked layouts (each pass within 6 % over all layers, on AVX-512), and
 * everything else reads rows. Weights, [filters, channels / groups, size, size] in files, are packed as the
 * library wants them: number (o, i, h, w) lies at o[o] + i[i] + h[h] + w[w]; i counts within a
 * filter's group.
 * Legend: x images in, y images out, g gradient of y, w weights. */
#ifndef WHET_NN_CONVOLUTION_I_H
#define WHET_NN_CONVOLUTION_I_H

#include "nn/ops_i.h"

typedef struct whet_i_conv_shape {
    whet_i_image in, out;
    int64_t size, stride, padding; /* square kernels */
    bool bias;
    int64_t dilation, groups;
} whet_i_conv_shape;
/* Channels that a filter reads; filters of a group. */
static inline int64_t whet_i_conv_reads(const whet_i_conv_shape *s) {
    return s->in.channels / s->groups;
}
static inline int64_t whet_i_conv_filters(const whet_i_conv_shape *s) {
    return s->out.channels / s->groups;
}

/* Where packed weights lie. Places that no weight has are zero. */
typedef struct whet_i_conv_layout {
    int64_t count;          /* numbers */
    int64_t *o, *i, *h, *w; /* [filters], [channels / groups], [size], [size] */
} whet_i_conv_layout;

typedef enum whet_i_conv_pass {
    WHET_I_CONV_FORWARD,
    WHET_I_CONV_DATA,    /* backward, to x */
    WHET_I_CONV_WEIGHTS, /* backward, to w */
    WHET_I_CONV_PASSES
} whet_i_conv_pass;

typedef struct whet_i_conv {
    whet_i_conv_shape shape;
    int64_t chunk; /* images whose weights' gradient is one call */
    whet_i_conv_layout layouts[WHET_I_CONV_PASSES];
    int64_t scratch[WHET_I_CONV_PASSES]; /* bytes, multiples of 64 */
    struct whet_i_conv_library *library; /* NULL = plain loops */
} whet_i_conv;

static inline int64_t whet_i_image_count(whet_i_image i) { return i.height * i.width * i.channels; }

/* Makes what the passes named by bits need; read-only afterwards. */
WHET_CHECKED whet_status whet_i_conv_create(whet_ctx *ctx, const whet_i_conv_shape *shape,
                                            int64_t chunk, uint32_t passes, whet_i_conv **out);
void whet_i_conv_destroy(whet_ctx *ctx, whet_i_conv *conv);

/* w as in files into layouts[pass].count numbers. */
void whet_i_conv_pack(const whet_i_conv *conv, whet_i_conv_pass pass, const whet_i_real *w,
                      whet_i_real *packed);
/* w [filters, ...] as in files (+)= packed, for `filters` filters from `first` on. */
void whet_i_conv_unpack(const whet_i_conv *conv, int64_t first, int64_t filters,
                        const whet_i_real *packed, bool adds, whet_i_real *w);

/* One image at a time: the bits of an image do not depend on its neighbours. These run on the
 * calling thread, in scratch of the pass, allocate little and cannot fail: where the library lacks
 * memory, the plain loops do it. */
void whet_i_conv_forward(const whet_i_conv *conv, int64_t images, const whet_i_real *x,
                         const whet_i_real *packed, const whet_i_real *bias, whet_i_real *y,
                         void *scratch);
void whet_i_conv_data(const whet_i_conv *conv, int64_t images, const whet_i_real *g,
                      const whet_i_real *packed, whet_i_real *dx, void *scratch);
/* dw [packed] is written: of `chunk` images in one call, or of one. images 1 or chunk. */
void whet_i_conv_weights(const whet_i_conv *conv, int64_t images, const whet_i_real *x,
                         const whet_i_real *g, whet_i_real *dw, void *scratch);

/* The plain loops. */
void whet_i_conv_plain_forward(const whet_i_conv *conv, const whet_i_real *x,
                               const whet_i_real *packed, const whet_i_real *bias, whet_i_real *y);
void whet_i_conv_plain_data(const whet_i_conv *conv, const whet_i_real *g,
                            const whet_i_real *packed, whet_i_real *dx);
void whet_i_conv_plain_weights(const whet_i_conv *conv, int64_t images, const whet_i_real *x,
                               const whet_i_real *g, whet_i_real *dw);

/* oneDNN's part (convolution_onednn.c; not in f64). `use` replaces the layouts and sets scratch and
 * library; it leaves all as it is where oneDNN has no implementation. Layouts get memory from
 * whet_i_conv_layout_create. Runs return false when nothing was done. */
WHET_CHECKED whet_status whet_i_conv_library_use(whet_ctx *ctx, whet_i_conv *conv, uint32_t passes);
void whet_i_conv_library_destroy(whet_ctx *ctx, struct whet_i_conv_library *library);
bool whet_i_conv_library_run(const whet_i_conv *conv, whet_i_conv_pass pass, int64_t images,
                             const whet_i_real *a, const whet_i_real *b, const whet_i_real *bias,
                             whet_i_real *c, void *scratch);
WHET_CHECKED whet_status whet_i_conv_layout_create(whet_ctx *ctx, const whet_i_conv_shape *shape,
                                                   whet_i_conv_layout *out);
void whet_i_conv_layout_destroy(whet_ctx *ctx, whet_i_conv_layout *layout);

#endif
