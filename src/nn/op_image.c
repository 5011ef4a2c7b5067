/* SPDX-License-Identifier: Apache-2.0
 * Images moved, not computed with: the shortcut without parameters of residual networks, and the
 * change to torch's order before a linear layer. Items are blocks of examples.
 * Legend: out (r, c, k) = in (stride r, stride c, k - before), zero where there is no such channel. */
#include "nn/ops_i.h"

typedef struct settings {
    whet_i_image in, out;
    int64_t stride, before;
} settings;

enum { BLOCK = 8 };

static const settings *settings_of(const whet_i_task *t) { return t->node->settings; }

static int64_t count_of(const whet_i_image *i) { return i->height * i->width * i->channels; }

static int64_t items(const whet_i_task *t, int32_t phase) {
    (void)phase;
    return whet_i_blocks(whet_i_rows(t, t->node->outputs[0]), BLOCK);
}

static int64_t end_of(const whet_i_task *t, int64_t item) {
    return item * BLOCK + whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), BLOCK, item);
}

static whet_status record(whet_ctx *ctx, whet_i_graph *g, const whet_i_op *op, const settings *s,
                          whet_i_value x, whet_i_value *out) {
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const whet_i_recording r = {.op = op,
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

/* ---- shortcut --------------------------------------------------------------------------------- */

static void shortcut_image(const settings *s, const whet_i_real *x, whet_i_real *y) {
    memset(y, 0, (size_t)count_of(&s->out) * sizeof *y);
    for (int64_t r = 0; r < s->out.height; r++)
        for (int64_t c = 0; c < s->out.width; c++)
            memcpy(y + (r * s->out.width + c) * s->out.channels + s->before,
                   x + (r * s->in.width + c) * s->stride * s->in.channels,
                   (size_t)s->in.channels * sizeof *y);
}

static void shortcut_gradient(const settings *s, const whet_i_real *g, bool adds, whet_i_real *dx) {
    if (!adds) memset(dx, 0, (size_t)count_of(&s->in) * sizeof *dx);
    for (int64_t r = 0; r < s->out.height; r++)
        for (int64_t c = 0; c < s->out.width; c++) {
            const whet_i_real *from = g + (r * s->out.width + c) * s->out.channels + s->before;
            whet_i_real *to = dx + (r * s->in.width + c) * s->stride * s->in.channels;
            for (int64_t k = 0; k < s->in.channels; k++) to[k] += from[k];
        }
}

static void shortcut_forward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const settings *s = settings_of(t);
    for (int64_t b = item * BLOCK; b < end_of(t, item); b++)
        shortcut_image(s, (const whet_i_real *)t->in[0] + b * count_of(&s->in),
                       t->out[0] + b * count_of(&s->out));
}

static void shortcut_backward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const settings *s = settings_of(t);
    for (int64_t b = item * BLOCK; b < end_of(t, item); b++)
        shortcut_gradient(s, t->grad_out[0] + b * count_of(&s->out), t->adds[0],
                          t->grad_in[0] + b * count_of(&s->in));
}

static const whet_i_op op_shortcut = {
    .name = "shortcut",
    .forward = {1, items, shortcut_forward, NULL, NULL},
    .backward = {1, items, shortcut_backward, NULL, NULL},
    .grad_shares = -1,
};

whet_status whet_i_image_shortcut(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                  whet_i_image *image, int64_t stride, int64_t channels,
                                  whet_i_value *out) {
    if (channels < image->channels)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "a shortcut from %lld to %lld channels; expected at least as many",
                           (long long)image->channels, (long long)channels);
    const settings s = {
        .in = *image,
        .out = {(image->height - 1) / stride + 1, (image->width - 1) / stride + 1, channels},
        .stride = stride,
        .before = (channels - image->channels) / 2};
    WHET_TRY(record(ctx, graph, &op_shortcut, &s, x, out));
    *image = s.out;
    return WHET_OK;
}

/* ---- order ------------------------------------------------------------------------------------ */

/* to [n, m] = the transpose of from [m, n] */
static void transpose(int64_t m, int64_t n, const whet_i_real *from, bool adds, whet_i_real *to) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            to[j * m + i] = adds ? to[j * m + i] + from[i * n + j] : from[i * n + j];
}

static void flatten_forward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const whet_i_image *s = &settings_of(t)->in;
    for (int64_t b = item * BLOCK; b < end_of(t, item); b++)
        transpose(s->height * s->width, s->channels,
                  (const whet_i_real *)t->in[0] + b * count_of(s), false,
                  t->out[0] + b * count_of(s));
}

static void flatten_backward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const whet_i_image *s = &settings_of(t)->in;
    for (int64_t b = item * BLOCK; b < end_of(t, item); b++)
        transpose(s->channels, s->height * s->width, t->grad_out[0] + b * count_of(s), t->adds[0],
                  t->grad_in[0] + b * count_of(s));
}

static const whet_i_op op_flatten = {
    .name = "flatten",
    .forward = {1, items, flatten_forward, NULL, NULL},
    .backward = {1, items, flatten_backward, NULL, NULL},
    .grad_shares = -1,
};

whet_status whet_i_flatten(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                           const whet_i_image *image, whet_i_value *out) {
    const settings s = {.in = *image, .out = *image};
    if (image->channels == 1 || image->height * image->width == 1) {
        *out = x;
        return WHET_OK;
    }
    return record(ctx, graph, &op_flatten, &s, x, out);
}
