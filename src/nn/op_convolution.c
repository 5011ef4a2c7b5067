/* SPDX-License-Identifier: Apache-2.0
 * Convolutions of images: the operation; the arithmetic is in convolution.c.
 *
 * Forward: the weights are packed, then items are blocks of images. Backward, in phases: weights are
 * packed again; blocks of images give dx while chunks of images give partial sums of dw (whose size
 * depends on the plan's sizes, not on the team), the images that fill no chunk one after another;
 * the partial sums are added in order; their sum goes to where the file has it. */
#include <math.h>
#include <stdio.h>

#include "nn/convolution_i.h"

typedef struct settings {
    whet_i_conv_shape shape;
} settings;

enum { BLOCK = 4, CHUNK_MOST = 16, CHUNKS_AIMED = 8, SUM_BLOCK = 4096, FILTERS = 16 };

static const whet_i_conv_shape *shape_of(const whet_i_node *node) {
    return &((const settings *)node->settings)->shape;
}

static int64_t rows_of(const whet_i_task *t) { return whet_i_rows(t, t->node->outputs[0]); }

static whet_i_param *param(const whet_i_task *t, int32_t i) {
    return &t->graph->params->items[t->node->params[i]];
}

static bool trains(const whet_i_graph *g, const whet_i_node *node, int32_t i) {
    return i < node->n_params && g->params->items[node->params[i]].trainable;
}

/* ---- forward ---------------------------------------------------------------------------------- */

static int64_t forward_items(const whet_i_task *t, int32_t phase) {
    return phase == 0 ? 1 : whet_i_blocks(rows_of(t), BLOCK);
}

static void forward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    const whet_i_conv *conv = t->state;
    if (phase == 0) {
        whet_i_conv_pack(conv, WHET_I_CONV_FORWARD, param(t, 0)->values, t->temporary);
        return;
    }
    const int64_t first = item * BLOCK, images = whet_i_block_rows(rows_of(t), BLOCK, item);
    whet_i_conv_forward(conv, images,
                        (const whet_i_real *)t->in[0] + first * whet_i_image_count(conv->shape.in),
                        t->temporary, t->node->n_params > 1 ? param(t, 1)->values : NULL,
                        t->out[0] + first * whet_i_image_count(conv->shape.out), scratch);
}

static int64_t forward_scratch(const whet_i_graph *g, const whet_i_node *node,
                               const whet_i_sizes *sizes) {
    (void)g;
    (void)node;
    return ((const whet_i_conv *)sizes->state)->scratch[WHET_I_CONV_FORWARD];
}

static int64_t forward_temporary(const whet_i_graph *g, const whet_i_node *node,
                                 const whet_i_sizes *sizes) {
    (void)g;
    (void)node;
    return ((const whet_i_conv *)sizes->state)->layouts[WHET_I_CONV_FORWARD].count;
}

/* ---- backward --------------------------------------------------------------------------------- */

/* Partial sums: the full chunks, then the images that fill none. */
static int64_t parts_of(const whet_i_conv *conv, int64_t rows) {
    return whet_i_blocks(rows, conv->chunk);
}

/* What of temporary is where: packed weights for dx; partial sums of dw; one more, of an image;
 * partial sums of the bias's gradient. */
static whet_i_real *part(const whet_i_task *t, int64_t i) {
    const whet_i_conv *conv = t->state;
    return t->temporary + conv->layouts[WHET_I_CONV_DATA].count +
           i * conv->layouts[WHET_I_CONV_WEIGHTS].count;
}

static whet_i_real *bias_part(const whet_i_task *t, int64_t i) {
    const whet_i_conv *conv = t->state;
    return part(t, parts_of(conv, rows_of(t)) + 1) + i * conv->shape.out.channels;
}

static int64_t backward_temporary(const whet_i_graph *g, const whet_i_node *node,
                                  const whet_i_sizes *sizes) {
    const whet_i_conv *conv = sizes->state;
    const int64_t parts = parts_of(conv, sizes->rows[g->values[node->outputs[0]].extent]);
    return conv->layouts[WHET_I_CONV_DATA].count +
           (parts + 1) * conv->layouts[WHET_I_CONV_WEIGHTS].count +
           parts * conv->shape.out.channels;
}

static int64_t backward_scratch(const whet_i_graph *g, const whet_i_node *node,
                                const whet_i_sizes *sizes) {
    (void)g;
    (void)node;
    const whet_i_conv *conv = sizes->state;
    const int64_t data = conv->scratch[WHET_I_CONV_DATA] +
                         whet_i_image_count(conv->shape.in) * (int64_t)sizeof(whet_i_real);
    return data > conv->scratch[WHET_I_CONV_WEIGHTS] ? data : conv->scratch[WHET_I_CONV_WEIGHTS];
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)wanted;
    return trains(g, node, 0) ? WHET_I_READS_IN(0) : 0;
}

static void backward_data(const whet_i_task *t, int64_t item, void *scratch) {
    const whet_i_conv *conv = t->state;
    const int64_t in = whet_i_image_count(conv->shape.in);
    const int64_t out = whet_i_image_count(conv->shape.out);
    const int64_t first = item * BLOCK, images = whet_i_block_rows(rows_of(t), BLOCK, item);
    const whet_i_real *g = t->grad_out[0] + first * out;
    whet_i_real *dx = t->grad_in[0] + first * in;
    if (!t->adds[0]) {
        whet_i_conv_data(conv, images, g, t->temporary, dx, scratch);
        return;
    }
    whet_i_real *one = (whet_i_real *)((char *)scratch + conv->scratch[WHET_I_CONV_DATA]);
    for (int64_t b = 0; b < images; b++) {
        whet_i_conv_data(conv, 1, g + b * out, t->temporary, one, scratch);
        t->kernels->add(in, one, dx + b * in);
    }
}

/* dw of the images of one part. */
static void part_of_weights(const whet_i_task *t, int64_t first, int64_t images, whet_i_real *dw,
                            void *scratch) {
    const whet_i_conv *conv = t->state;
    const int64_t in = whet_i_image_count(conv->shape.in);
    const int64_t out = whet_i_image_count(conv->shape.out);
    const whet_i_real *x = (const whet_i_real *)t->in[0] + first * in;
    const whet_i_real *g = t->grad_out[0] + first * out;
    if (images == conv->chunk) {
        whet_i_conv_weights(conv, images, x, g, dw, scratch);
        return;
    }
    /* Only the last part is like this, and so the room for one image is its own. */
    whet_i_real *one = part(t, parts_of(conv, rows_of(t)));
    whet_i_conv_weights(conv, 1, x, g, dw, scratch);
    for (int64_t b = 1; b < images; b++) {
        whet_i_conv_weights(conv, 1, x + b * in, g + b * out, one, scratch);
        t->kernels->add(conv->layouts[WHET_I_CONV_WEIGHTS].count, one, dw);
    }
}

static void part_of_bias(const whet_i_task *t, int64_t first, int64_t images, whet_i_real *db) {
    const whet_i_image out = ((const whet_i_conv *)t->state)->shape.out;
    const whet_i_real *g = t->grad_out[0] + first * whet_i_image_count(out);
    memset(db, 0, (size_t)out.channels * sizeof *db);
    for (int64_t p = 0; p < images * out.height * out.width; p++)
        t->kernels->add(out.channels, g + p * out.channels, db);
}

static void backward_part(const whet_i_task *t, int64_t item, void *scratch) {
    const whet_i_conv *conv = t->state;
    const int64_t first = item * conv->chunk;
    const int64_t images = whet_i_block_rows(rows_of(t), conv->chunk, item);
    if (trains(t->graph, t->node, 0)) part_of_weights(t, first, images, part(t, item), scratch);
    if (trains(t->graph, t->node, 1)) part_of_bias(t, first, images, bias_part(t, item));
}

static void sum_parts(const whet_i_task *t, int64_t item) {
    const whet_i_conv *conv = t->state;
    const int64_t count = conv->layouts[WHET_I_CONV_WEIGHTS].count, first = item * SUM_BLOCK;
    for (int64_t i = 1; i < parts_of(conv, rows_of(t)); i++)
        t->kernels->add(whet_i_block_rows(count, SUM_BLOCK, item), part(t, i) + first,
                        part(t, 0) + first);
}

static void finish_weights(const whet_i_task *t, int64_t item) {
    const whet_i_conv *conv = t->state;
    const int64_t filters = conv->shape.out.channels, first = item * FILTERS;
    const int64_t each = param(t, 0)->count / filters;
    whet_i_conv_unpack(conv, first, whet_i_block_rows(filters, FILTERS, item), part(t, 0),
                       t->param_adds[0], param(t, 0)->gradient + first * each);
}

static void finish_bias(const whet_i_task *t) {
    const int64_t n = param(t, 1)->count;
    whet_i_real *db = param(t, 1)->gradient;
    if (!t->param_adds[1]) memset(db, 0, (size_t)n * sizeof *db);
    for (int64_t i = 0; i < parts_of(t->state, rows_of(t)); i++)
        t->kernels->add(n, bias_part(t, i), db);
}

/* Nothing came, and nothing is added. */
static void clear_gradients(const whet_i_task *t) {
    for (int32_t i = 0; i < t->node->n_params; i++)
        if (param(t, i)->trainable && !t->param_adds[i])
            memset(param(t, i)->gradient, 0, (size_t)param(t, i)->count * sizeof(whet_i_real));
}

static int64_t backward_items(const whet_i_task *t, int32_t phase) {
    const whet_i_conv *conv = t->state;
    const bool weights = trains(t->graph, t->node, 0), bias = trains(t->graph, t->node, 1);
    if (rows_of(t) == 0) return phase == 0;
    switch (phase) {
    case 0: return t->grad_in[0] != NULL;
    case 1:
        return (t->grad_in[0] ? whet_i_blocks(rows_of(t), BLOCK) : 0) +
               (weights || bias ? parts_of(conv, rows_of(t)) : 0);
    case 2: return weights ? whet_i_blocks(conv->layouts[WHET_I_CONV_WEIGHTS].count, SUM_BLOCK) : 0;
    default: return (weights ? whet_i_blocks(conv->shape.out.channels, FILTERS) : 0) + bias;
    }
}

static void backward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    const whet_i_conv *conv = t->state;
    if (rows_of(t) == 0) {
        clear_gradients(t);
        return;
    }
    if (phase == 0) {
        whet_i_conv_pack(conv, WHET_I_CONV_DATA, param(t, 0)->values, t->temporary);
    } else if (phase == 1) {
        /* The longer items first: the team ends together. */
        const int64_t parts =
            backward_items(t, 1) - (t->grad_in[0] ? whet_i_blocks(rows_of(t), BLOCK) : 0);
        if (item < parts)
            backward_part(t, item, scratch);
        else
            backward_data(t, item - parts, scratch);
    } else if (phase == 2) {
        sum_parts(t, item);
    } else if (trains(t->graph, t->node, 0) &&
               item < whet_i_blocks(conv->shape.out.channels, FILTERS)) {
        finish_weights(t, item);
    } else {
        finish_bias(t);
    }
}

/* ---- the operation ---------------------------------------------------------------------------- */

static whet_status prepare(whet_ctx *ctx, const whet_i_graph *g, const whet_i_node *node,
                           const whet_i_sizes *sizes, void **state) {
    const int64_t rows = sizes->rows[g->values[node->outputs[0]].extent];
    int64_t chunk = rows / CHUNKS_AIMED;
    chunk = chunk < 1 ? 1 : chunk > CHUNK_MOST ? CHUNK_MOST : chunk;
    uint32_t passes = 1U << WHET_I_CONV_FORWARD;
    if (sizes->train && sizes->wanted & 1) passes |= 1U << WHET_I_CONV_DATA;
    if (sizes->train && trains(g, node, 0)) passes |= 1U << WHET_I_CONV_WEIGHTS;
    whet_i_conv *conv;
    WHET_TRY(whet_i_conv_create(ctx, shape_of(node), chunk, passes, &conv));
    *state = conv;
    return WHET_OK;
}

static void release(whet_ctx *ctx, void *state) { whet_i_conv_destroy(ctx, state); }

static const whet_i_op op_convolution = {
    .name = "convolution",
    .forward = {2, forward_items, forward_run, forward_scratch, forward_temporary},
    .backward = {4, backward_items, backward_run, backward_scratch, backward_temporary},
    .backward_reads = backward_reads,
    .grad_shares = -1,
    .prepare = prepare,
    .release = release,
};

/* ---- recording -------------------------------------------------------------------------------- */

static whet_status shape_from(whet_ctx *ctx, const whet_i_image *image,
                              const whet_i_convolution_spec *spec, whet_i_conv_shape *out) {
    const int64_t reach = spec->dilation * (spec->size - 1) + 1; /* of a kernel */
    const int64_t height = image->height + 2 * spec->padding - reach;
    const int64_t width = image->width + 2 * spec->padding - reach;
    if (height < 0 || width < 0)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: an image of %lld x %lld, padded by %lld; expected at least %lld "
                           "rows and columns",
                           spec->module, (long long)image->height, (long long)image->width,
                           (long long)spec->padding, (long long)reach);
    if (spec->groups < 1 || image->channels % spec->groups || spec->filters % spec->groups)
        return whet_i_fail(
            ctx, WHET_ERR_SHAPE,
            "%s: %lld filters of %lld channels in %lld groups; expected multiples of "
            "these",
            spec->module, (long long)spec->filters, (long long)image->channels,
            (long long)spec->groups);
    *out = (whet_i_conv_shape){
        .in = *image,
        .out = {height / spec->stride + 1, width / spec->stride + 1, spec->filters},
        .size = spec->size,
        .stride = spec->stride,
        .padding = spec->padding,
        .bias = spec->bias,
        .dilation = spec->dilation,
        .groups = spec->groups};
    return WHET_OK;
}

static whet_status add_params(whet_ctx *ctx, whet_i_graph *g, const whet_i_conv_shape *s,
                              const whet_i_convolution_spec *spec, whet_i_param_id *params) {
    const int64_t reads = whet_i_conv_reads(s);
    const double bound = 1 / sqrt((double)(reads * s->size * s->size));
    char name[256];
    (void)snprintf(name, sizeof name, "%s.weight", spec->module);
    const whet_i_param_spec weight = {
        name, 4, {s->out.channels, reads, s->size, s->size}, WHET_I_INIT_UNIFORM, bound, false};
    WHET_TRY(whet_i_params_add(ctx, g->params, &weight, &params[0]));
    if (!spec->bias) return WHET_OK;
    (void)snprintf(name, sizeof name, "%s.bias", spec->module);
    const whet_i_param_spec bias = {name, 1, {s->out.channels}, WHET_I_INIT_UNIFORM, bound, false};
    return whet_i_params_add(ctx, g->params, &bias, &params[1]);
}

whet_status whet_i_convolution(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                               whet_i_image *image, const whet_i_convolution_spec *spec,
                               whet_i_value *out) {
    settings s;
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    WHET_TRY(shape_from(ctx, image, spec, &s.shape));
    whet_i_recording r = {.op = &op_convolution,
                          .settings = &s,
                          .settings_size = sizeof s,
                          .n_inputs = 1,
                          .n_outputs = 1,
                          .n_params = spec->bias ? 2 : 1,
                          .inputs = {x},
                          .extents = {graph->values[x].extent},
                          .columns = {whet_i_image_count(s.shape.out)}};
    WHET_TRY(add_params(ctx, graph, &s.shape, spec, r.params));
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *image = s.shape.out;
    *out = outputs[0];
    return WHET_OK;
}
