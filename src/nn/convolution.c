/* SPDX-License-Identifier: Apache-2.0
 * Convolutions: packing, and the plain loops that run where oneDNN does not (the f64 build of the
 * tests; shapes that it does not know; no memory for its objects).
 * Legend: o filters, i channels of a group, (h, w) places in the kernel, (r, c) places in y. */
#include "nn/convolution_i.h"

/* ---- layouts ---------------------------------------------------------------------------------- */

whet_status whet_i_conv_layout_create(whet_ctx *ctx, const whet_i_conv_shape *shape,
                                      whet_i_conv_layout *out) {
    whet_i_conv_layout l = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, shape->out.channels, &l.o));
    WHET_TRY_DONE(whet_i_alloc(ctx, whet_i_conv_reads(shape), &l.i));
    WHET_TRY_DONE(whet_i_alloc(ctx, shape->size, &l.h));
    WHET_TRY_DONE(whet_i_alloc(ctx, shape->size, &l.w));
    *out = l;
    l = (whet_i_conv_layout){0};
done:
    whet_i_conv_layout_destroy(ctx, &l);
    return status;
}

void whet_i_conv_layout_destroy(whet_ctx *ctx, whet_i_conv_layout *layout) {
    whet_i_free(ctx, layout->o);
    whet_i_free(ctx, layout->i);
    whet_i_free(ctx, layout->h);
    whet_i_free(ctx, layout->w);
    *layout = (whet_i_conv_layout){0};
}

/* As in files. */
static void lay_out_plainly(const whet_i_conv_shape *s, whet_i_conv_layout *l) {
    const int64_t reads = whet_i_conv_reads(s);
    for (int64_t o = 0; o < s->out.channels; o++) l->o[o] = o * reads * s->size * s->size;
    for (int64_t i = 0; i < reads; i++) l->i[i] = i * s->size * s->size;
    for (int64_t h = 0; h < s->size; h++) l->h[h] = h * s->size;
    for (int64_t w = 0; w < s->size; w++) l->w[w] = w;
    l->count = s->out.channels * reads * s->size * s->size;
}

void whet_i_conv_pack(const whet_i_conv *conv, whet_i_conv_pass pass, const whet_i_real *w,
                      whet_i_real *packed) {
    const whet_i_conv_shape *s = &conv->shape;
    const whet_i_conv_layout *l = &conv->layouts[pass];
    const int64_t area = s->size * s->size, reads = whet_i_conv_reads(s);
    if (l->count > s->out.channels * reads * area)
        memset(packed, 0, (size_t)l->count * sizeof *packed);
    for (int64_t h = 0; h < s->size; h++)
        for (int64_t v = 0; v < s->size; v++)
            for (int64_t i = 0; i < reads; i++) {
                whet_i_real *to = packed + l->h[h] + l->w[v] + l->i[i];
                const whet_i_real *from = w + i * area + h * s->size + v;
                for (int64_t o = 0; o < s->out.channels; o++) to[l->o[o]] = from[o * reads * area];
            }
}

void whet_i_conv_unpack(const whet_i_conv *conv, int64_t first, int64_t filters,
                        const whet_i_real *packed, bool adds, whet_i_real *w) {
    const whet_i_conv_shape *s = &conv->shape;
    const whet_i_conv_layout *l = &conv->layouts[WHET_I_CONV_WEIGHTS];
    whet_i_real *to = w;
    for (int64_t o = first; o < first + filters; o++)
        for (int64_t i = 0; i < whet_i_conv_reads(s); i++)
            for (int64_t h = 0; h < s->size; h++)
                for (int64_t v = 0; v < s->size; v++, to++) {
                    const whet_i_real d = packed[l->o[o] + l->i[i] + l->h[h] + l->w[v]];
                    *to = adds ? *to + d : d;
                }
}

/* ---- plain loops ------------------------------------------------------------------------------ */

/* Row or column of x under place k of the kernel at place p of y; outside: -1. */
static int64_t under(const whet_i_conv_shape *s, int64_t p, int64_t k, int64_t length) {
    const int64_t at = p * s->stride + k * s->dilation - s->padding;
    return at < 0 || at >= length ? -1 : at;
}

/* A place of y, the place of x under one place of the kernel. */
typedef struct contact {
    int64_t y, x; /* first numbers of the pixels */
    int64_t at;   /* of the weights */
} contact;

/* Calls visit for each contact of an image, y outermost, in order. */
static void each_contact(const whet_i_conv *conv, const whet_i_conv_layout *l,
                         void (*visit)(const whet_i_conv *conv, const contact *c, void *arg),
                         void *arg) {
    const whet_i_conv_shape *s = &conv->shape;
    for (int64_t r = 0; r < s->out.height; r++)
        for (int64_t c = 0; c < s->out.width; c++)
            for (int64_t h = 0; h < s->size; h++)
                for (int64_t w = 0; w < s->size; w++) {
                    const int64_t row = under(s, r, h, s->in.height);
                    const int64_t column = under(s, c, w, s->in.width);
                    if (row < 0 || column < 0) continue;
                    visit(conv,
                          &(contact){(r * s->out.width + c) * s->out.channels,
                                     (row * s->in.width + column) * s->in.channels,
                                     l->h[h] + l->w[w]},
                          arg);
                }
}

typedef struct operands {
    const whet_i_real *x, *g, *w;
    whet_i_real *to;
} operands;

/* The first channel of the group that filter o reads. */
static int64_t first_read(const whet_i_conv_shape *s, int64_t o) {
    return o / whet_i_conv_filters(s) * whet_i_conv_reads(s);
}

static void forward_contact(const whet_i_conv *conv, const contact *c, void *arg) {
    const operands *p = arg;
    const whet_i_conv_layout *l = &conv->layouts[WHET_I_CONV_FORWARD];
    const whet_i_conv_shape *s = &conv->shape;
    for (int64_t o = 0; o < s->out.channels; o++) {
        const whet_i_real *x = p->x + c->x + first_read(s, o);
        for (int64_t i = 0; i < whet_i_conv_reads(s); i++)
            p->to[c->y + o] += x[i] * p->w[c->at + l->o[o] + l->i[i]];
    }
}

static void data_contact(const whet_i_conv *conv, const contact *c, void *arg) {
    const operands *p = arg;
    const whet_i_conv_layout *l = &conv->layouts[WHET_I_CONV_DATA];
    const whet_i_conv_shape *s = &conv->shape;
    for (int64_t o = 0; o < s->out.channels; o++) {
        whet_i_real *dx = p->to + c->x + first_read(s, o);
        for (int64_t i = 0; i < whet_i_conv_reads(s); i++)
            dx[i] += p->g[c->y + o] * p->w[c->at + l->o[o] + l->i[i]];
    }
}

static void weights_contact(const whet_i_conv *conv, const contact *c, void *arg) {
    const operands *p = arg;
    const whet_i_conv_layout *l = &conv->layouts[WHET_I_CONV_WEIGHTS];
    const whet_i_conv_shape *s = &conv->shape;
    for (int64_t o = 0; o < s->out.channels; o++) {
        const whet_i_real *x = p->x + c->x + first_read(s, o);
        for (int64_t i = 0; i < whet_i_conv_reads(s); i++)
            p->to[c->at + l->o[o] + l->i[i]] += p->g[c->y + o] * x[i];
    }
}

void whet_i_conv_plain_forward(const whet_i_conv *conv, const whet_i_real *x,
                               const whet_i_real *packed, const whet_i_real *bias, whet_i_real *y) {
    const whet_i_image out = conv->shape.out;
    for (int64_t p = 0; p < out.height * out.width; p++)
        for (int64_t o = 0; o < out.channels; o++) y[p * out.channels + o] = bias ? bias[o] : 0;
    operands args = {.x = x, .w = packed, .to = y};
    each_contact(conv, &conv->layouts[WHET_I_CONV_FORWARD], forward_contact, &args);
}

void whet_i_conv_plain_data(const whet_i_conv *conv, const whet_i_real *g,
                            const whet_i_real *packed, whet_i_real *dx) {
    memset(dx, 0, (size_t)whet_i_image_count(conv->shape.in) * sizeof *dx);
    operands args = {.g = g, .w = packed, .to = dx};
    each_contact(conv, &conv->layouts[WHET_I_CONV_DATA], data_contact, &args);
}

void whet_i_conv_plain_weights(const whet_i_conv *conv, int64_t images, const whet_i_real *x,
                               const whet_i_real *g, whet_i_real *dw) {
    const whet_i_conv_layout *l = &conv->layouts[WHET_I_CONV_WEIGHTS];
    memset(dw, 0, (size_t)l->count * sizeof *dw);
    for (int64_t b = 0; b < images; b++) {
        operands args = {.x = x + b * whet_i_image_count(conv->shape.in),
                         .g = g + b * whet_i_image_count(conv->shape.out),
                         .to = dw};
        each_contact(conv, l, weights_contact, &args);
    }
}

/* ---- either ----------------------------------------------------------------------------------- */

static bool by_library(const whet_i_conv *conv, whet_i_conv_pass pass, int64_t images,
                       const whet_i_real *a, const whet_i_real *b, const whet_i_real *bias,
                       whet_i_real *c, void *scratch) {
#ifdef WHET_I_DOUBLE
    (void)pass, (void)images, (void)a, (void)b, (void)bias, (void)c, (void)scratch;
    return conv->library != NULL;
#else
    return conv->library && whet_i_conv_library_run(conv, pass, images, a, b, bias, c, scratch);
#endif
}

void whet_i_conv_forward(const whet_i_conv *conv, int64_t images, const whet_i_real *x,
                         const whet_i_real *packed, const whet_i_real *bias, whet_i_real *y,
                         void *scratch) {
    const int64_t in = whet_i_image_count(conv->shape.in),
                  out = whet_i_image_count(conv->shape.out);
    if (by_library(conv, WHET_I_CONV_FORWARD, images, x, packed, bias, y, scratch)) return;
    for (int64_t b = 0; b < images; b++)
        whet_i_conv_plain_forward(conv, x + b * in, packed, bias, y + b * out);
}

void whet_i_conv_data(const whet_i_conv *conv, int64_t images, const whet_i_real *g,
                      const whet_i_real *packed, whet_i_real *dx, void *scratch) {
    const int64_t in = whet_i_image_count(conv->shape.in),
                  out = whet_i_image_count(conv->shape.out);
    if (by_library(conv, WHET_I_CONV_DATA, images, g, packed, NULL, dx, scratch)) return;
    for (int64_t b = 0; b < images; b++)
        whet_i_conv_plain_data(conv, g + b * out, packed, dx + b * in);
}

void whet_i_conv_weights(const whet_i_conv *conv, int64_t images, const whet_i_real *x,
                         const whet_i_real *g, whet_i_real *dw, void *scratch) {
    if (by_library(conv, WHET_I_CONV_WEIGHTS, images, x, g, NULL, dw, scratch)) return;
    whet_i_conv_plain_weights(conv, images, x, g, dw);
}

/* ---- the object ------------------------------------------------------------------------------- */

whet_status whet_i_conv_create(whet_ctx *ctx, const whet_i_conv_shape *shape, int64_t chunk,
                               uint32_t passes, whet_i_conv **out) {
    whet_i_conv *conv = NULL;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_calloc(ctx, 1, &conv));
    conv->shape = *shape;
    conv->chunk = chunk;
    for (int32_t pass = 0; pass < WHET_I_CONV_PASSES; pass++) {
        if (!(passes >> pass & 1)) continue;
        WHET_TRY_DONE(whet_i_conv_layout_create(ctx, shape, &conv->layouts[pass]));
        lay_out_plainly(shape, &conv->layouts[pass]);
    }
#ifndef WHET_I_DOUBLE
    WHET_TRY_DONE(whet_i_conv_library_use(ctx, conv, passes));
#endif
    *out = conv;
    conv = NULL;
done:
    whet_i_conv_destroy(ctx, conv);
    return status;
}

void whet_i_conv_destroy(whet_ctx *ctx, whet_i_conv *conv) {
    if (!conv) return;
#ifndef WHET_I_DOUBLE
    whet_i_conv_library_destroy(ctx, conv->library);
#endif
    for (int32_t pass = 0; pass < WHET_I_CONV_PASSES; pass++)
        whet_i_conv_layout_destroy(ctx, &conv->layouts[pass]);
    whet_i_free(ctx, conv);
}
