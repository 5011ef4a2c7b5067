/* SPDX-License-Identifier: Apache-2.0
 * Pooling of images: the largest or the mean of windows, or of a whole channel. Items are blocks of
 * examples; where the largest stood is found again from the input in the backward pass.
 * Legend: (r, c) places of out, k channels. */
#include "nn/ops_i.h"

typedef struct settings {
    whet_i_image in, out;
    bool largest;
    int64_t height, width, stride, padding; /* of windows */
} settings;

enum { BLOCK = 8 };

static const settings *settings_of(const whet_i_task *t) { return t->node->settings; }

static int64_t count_of(const whet_i_image *i) { return i->height * i->width * i->channels; }

static int64_t items(const whet_i_task *t, int32_t phase) {
    (void)phase;
    return whet_i_blocks(whet_i_rows(t, t->node->outputs[0]), BLOCK);
}

/* The part of a window that lies in the image. */
typedef struct window {
    int64_t top, bottom, left, right;
} window;

static window window_at(const settings *s, int64_t r, int64_t c) {
    const int64_t top = r * s->stride - s->padding, left = c * s->stride - s->padding;
    const int64_t bottom = top + s->height, right = left + s->width;
    return (window){top < 0 ? 0 : top, bottom > s->in.height ? s->in.height : bottom,
                    left < 0 ? 0 : left, right > s->in.width ? s->in.width : right};
}

/* ---- the largest ------------------------------------------------------------------------------ */

/* Its place in x: the first of equals, the first NaN if there is one. */
static int64_t place_of_largest(const settings *s, const window *w, const whet_i_real *x,
                                int64_t k) {
    int64_t best = -1;
    for (int64_t row = w->top; row < w->bottom; row++)
        for (int64_t column = w->left; column < w->right; column++) {
            const int64_t at = (row * s->in.width + column) * s->in.channels + k;
            if (best < 0 || x[at] > x[best] || (x[at] != x[at] && x[best] == x[best])) best = at;
        }
    return best;
}

static void largest_forward(const settings *s, const whet_i_real *x, whet_i_real *y) {
    for (int64_t r = 0; r < s->out.height; r++)
        for (int64_t c = 0; c < s->out.width; c++) {
            const window w = window_at(s, r, c);
            for (int64_t k = 0; k < s->in.channels; k++, y++) *y = x[place_of_largest(s, &w, x, k)];
        }
}

static void largest_backward(const settings *s, const whet_i_real *x, const whet_i_real *g,
                             whet_i_real *dx) {
    for (int64_t r = 0; r < s->out.height; r++)
        for (int64_t c = 0; c < s->out.width; c++) {
            const window w = window_at(s, r, c);
            for (int64_t k = 0; k < s->in.channels; k++, g++)
                dx[place_of_largest(s, &w, x, k)] += *g;
        }
}

/* ---- the mean --------------------------------------------------------------------------------- */

static void mean_forward(const settings *s, const whet_i_real *x, whet_i_real *y) {
    const int64_t n = s->in.channels;
    const whet_i_real share = 1 / (whet_i_real)(s->height * s->width);
    memset(y, 0, (size_t)count_of(&s->out) * sizeof *y);
    for (int64_t r = 0; r < s->out.height; r++)
        for (int64_t c = 0; c < s->out.width; c++, y += n) {
            const window w = window_at(s, r, c);
            for (int64_t row = w.top; row < w.bottom; row++)
                for (int64_t column = w.left; column < w.right; column++) {
                    const whet_i_real *from = x + (row * s->in.width + column) * n;
                    for (int64_t k = 0; k < n; k++) y[k] += from[k];
                }
            for (int64_t k = 0; k < n; k++) y[k] *= share;
        }
}

static void mean_backward(const settings *s, const whet_i_real *g, whet_i_real *dx) {
    const int64_t n = s->in.channels;
    const whet_i_real share = 1 / (whet_i_real)(s->height * s->width);
    for (int64_t r = 0; r < s->out.height; r++)
        for (int64_t c = 0; c < s->out.width; c++, g += n) {
            const window w = window_at(s, r, c);
            for (int64_t row = w.top; row < w.bottom; row++)
                for (int64_t column = w.left; column < w.right; column++) {
                    whet_i_real *to = dx + (row * s->in.width + column) * n;
                    for (int64_t k = 0; k < n; k++) to[k] += share * g[k];
                }
        }
}

/* ---- the operation ---------------------------------------------------------------------------- */

static void forward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const settings *s = settings_of(t);
    const int64_t rows = whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), BLOCK, item);
    for (int64_t b = item * BLOCK; b < item * BLOCK + rows; b++)
        (s->largest ? largest_forward
                    : mean_forward)(s, (const whet_i_real *)t->in[0] + b * count_of(&s->in),
                                    t->out[0] + b * count_of(&s->out));
}

static void backward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const settings *s = settings_of(t);
    const int64_t rows = whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), BLOCK, item);
    for (int64_t b = item * BLOCK; b < item * BLOCK + rows; b++) {
        const whet_i_real *g = t->grad_out[0] + b * count_of(&s->out);
        whet_i_real *dx = t->grad_in[0] + b * count_of(&s->in);
        if (!t->adds[0]) memset(dx, 0, (size_t)count_of(&s->in) * sizeof *dx);
        if (s->largest)
            largest_backward(s, (const whet_i_real *)t->in[0] + b * count_of(&s->in), g, dx);
        else
            mean_backward(s, g, dx);
    }
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)g;
    (void)wanted;
    return ((const settings *)node->settings)->largest ? WHET_I_READS_IN(0) : 0;
}

static const whet_i_op op_image_pool = {
    .name = "image pooling",
    .forward = {1, items, forward_run, NULL, NULL},
    .backward = {1, items, backward_run, NULL, NULL},
    .backward_reads = backward_reads,
    .grad_shares = -1,
};

static whet_status record(whet_ctx *ctx, whet_i_graph *g, const settings *s, whet_i_value x,
                          whet_i_value *out) {
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const whet_i_recording r = {.op = &op_image_pool,
                                .settings = s,
                                .settings_size = sizeof *s,
                                .n_inputs = 1,
                                .n_outputs = 1,
                                .inputs = {x},
                                .extents = {g->values[x].extent},
                                .columns = {count_of(&s->out)}};
    WHET_TRY(whet_i_graph_record(ctx, g, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}

whet_status whet_i_image_pool(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                              whet_i_image *image, const whet_i_image_pool_spec *spec,
                              whet_i_value *out) {
    const int64_t height = image->height + 2 * spec->padding - spec->size;
    const int64_t width = image->width + 2 * spec->padding - spec->size;
    if (height < 0 || width < 0 || 2 * spec->padding > spec->size)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "pooling by %lld of an image of %lld x %lld, padded by %lld; expected a "
                           "smaller window, padded by half of it at most",
                           (long long)spec->size, (long long)image->height, (long long)image->width,
                           (long long)spec->padding);
    const settings s = {
        .in = *image,
        .out = {height / spec->stride + 1, width / spec->stride + 1, image->channels},
        .largest = spec->largest,
        .height = spec->size,
        .width = spec->size,
        .stride = spec->stride,
        .padding = spec->padding};
    WHET_TRY(record(ctx, graph, &s, x, out));
    *image = s.out;
    return WHET_OK;
}

whet_status whet_i_global_pool(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                               const whet_i_image *image, whet_i_value *out) {
    const settings s = {.in = *image,
                        .out = {1, 1, image->channels},
                        .height = image->height,
                        .width = image->width,
                        .stride = 1};
    return record(ctx, graph, &s, x, out);
}
