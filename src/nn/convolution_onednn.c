/* SPDX-License-Identifier: Apache-2.0
 * Convolutions by oneDNN: primitives are made once, for one thread (so that bits do not depend on
 * the team), with scratch of the caller. Forward and to x they are of one image, which measured as
 * fast as of eight; to w of a chunk of images, where a call each would cost more to add up.
 *
 * Each run makes the library's small objects that name memory, and so many threads may run one
 * convolution at a time. Where there is no memory for them, the run says so and the plain loops of
 * convolution.c take over. */
#include "nn/convolution_i.h"

#include <oneapi/dnnl/dnnl.h>

/* One call: a = x or g, b = packed weights or g, c = what is made. */
typedef struct call {
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t a, b, bias, c, pad;
    int a_arg, b_arg, c_arg; /* DNNL_ARG_ */
    bool pads;               /* it wants scratch */
} call;

enum { CALLS = WHET_I_CONV_PASSES + 1, CHUNK_CALL = WHET_I_CONV_PASSES };

struct whet_i_conv_library {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    call calls[CALLS]; /* by pass; the last: gradients of weights by a chunk of images */
};

/* ---- making ----------------------------------------------------------------------------------- */

#define DNNL_TRY(x) \
    do { \
        const dnnl_status_t dnnl_try_status_ = (x); \
        if (dnnl_try_status_ != dnnl_success) return dnnl_try_status_; \
    } while (0)

typedef struct descriptions {
    dnnl_memory_desc_t x, y, w, bias;
    dnnl_dims_t strides, dilations, padding, padding_after;
} descriptions;

/* What of the padding after the last row and column is used. */
static int64_t padding_after(const whet_i_conv_shape *s, int64_t in, int64_t out) {
    return (out - 1) * s->stride + s->dilation * (s->size - 1) + 1 - in - s->padding;
}

static dnnl_status_t describe(const whet_i_conv_shape *s, int64_t images, descriptions *d) {
    const dnnl_dims_t x = {images, s->in.channels, s->in.height, s->in.width};
    const dnnl_dims_t y = {images, s->out.channels, s->out.height, s->out.width};
    const dnnl_dims_t whole = {s->out.channels, s->in.channels, s->size, s->size};
    const dnnl_dims_t parts = {s->groups, whet_i_conv_filters(s), whet_i_conv_reads(s), s->size,
                               s->size};
    const bool grouped = s->groups > 1;
    const dnnl_dims_t bias = {s->out.channels};
    *d = (descriptions){.strides = {s->stride, s->stride},
                        .dilations = {s->dilation - 1, s->dilation - 1},
                        .padding = {s->padding, s->padding},
                        .padding_after = {padding_after(s, s->in.height, s->out.height),
                                          padding_after(s, s->in.width, s->out.width)}};
    DNNL_TRY(dnnl_memory_desc_init_by_tag(&d->x, 4, x, dnnl_f32, dnnl_nhwc));
    DNNL_TRY(dnnl_memory_desc_init_by_tag(&d->y, 4, y, dnnl_f32, dnnl_nhwc));
    DNNL_TRY(dnnl_memory_desc_init_by_tag(&d->w, grouped ? 5 : 4, grouped ? parts : whole, dnnl_f32,
                                          dnnl_format_tag_any));
    return dnnl_memory_desc_init_by_tag(&d->bias, 1, bias, dnnl_f32, dnnl_a);
}

/* Descriptions of primitives; backward ones need the forward one as a hint. */
static dnnl_status_t describe_call(dnnl_engine_t engine, dnnl_primitive_attr_t attr,
                                   const whet_i_conv_shape *s, whet_i_conv_pass pass,
                                   const descriptions *d, dnnl_primitive_desc_t *out) {
    const dnnl_alg_kind_t how = dnnl_convolution_direct;
    dnnl_primitive_desc_t forward = NULL;
    dnnl_convolution_desc_t c;
    DNNL_TRY(dnnl_dilated_convolution_forward_desc_init(
        &c, pass == WHET_I_CONV_FORWARD ? dnnl_forward_inference : dnnl_forward_training, how,
        &d->x, &d->w, pass == WHET_I_CONV_FORWARD && s->bias ? &d->bias : NULL, &d->y, d->strides,
        d->dilations, d->padding, d->padding_after));
    if (pass == WHET_I_CONV_FORWARD) return dnnl_primitive_desc_create(out, &c, attr, engine, NULL);
    DNNL_TRY(dnnl_primitive_desc_create(&forward, &c, attr, engine, NULL));
    dnnl_status_t status;
    if (pass == WHET_I_CONV_DATA)
        status = dnnl_dilated_convolution_backward_data_desc_init(
            &c, how, &d->x, &d->w, &d->y, d->strides, d->dilations, d->padding, d->padding_after);
    else
        status = dnnl_dilated_convolution_backward_weights_desc_init(
            &c, how, &d->x, &d->w, NULL, &d->y, d->strides, d->dilations, d->padding,
            d->padding_after);
    if (status == dnnl_success) status = dnnl_primitive_desc_create(out, &c, attr, engine, forward);
    (void)dnnl_primitive_desc_destroy(forward);
    return status;
}

static void fill_call(call *c, whet_i_conv_pass pass, const descriptions *d,
                      const_dnnl_primitive_desc_t made) {
    const dnnl_memory_desc_t w = *dnnl_primitive_desc_query_md(
        made, pass == WHET_I_CONV_WEIGHTS ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
    c->bias = d->bias;
    c->pad = *dnnl_primitive_desc_query_md(made, dnnl_query_scratchpad_md, 0);
    c->pads = dnnl_memory_desc_get_size(&c->pad) > 0;
    switch (pass) {
    case WHET_I_CONV_FORWARD:
        c->a = d->x, c->b = w, c->c = d->y;
        c->a_arg = DNNL_ARG_SRC, c->b_arg = DNNL_ARG_WEIGHTS, c->c_arg = DNNL_ARG_DST;
        return;
    case WHET_I_CONV_DATA:
        c->a = d->y, c->b = w, c->c = d->x;
        c->a_arg = DNNL_ARG_DIFF_DST, c->b_arg = DNNL_ARG_WEIGHTS, c->c_arg = DNNL_ARG_DIFF_SRC;
        return;
    default:
        c->a = d->x, c->b = d->y, c->c = w;
        c->a_arg = DNNL_ARG_SRC, c->b_arg = DNNL_ARG_DIFF_DST, c->c_arg = DNNL_ARG_DIFF_WEIGHTS;
    }
}

static dnnl_status_t make_call(dnnl_engine_t engine, const whet_i_conv_shape *s,
                               whet_i_conv_pass pass, int64_t images, call *out) {
    descriptions d;
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t made = NULL;
    DNNL_TRY(describe(s, images, &d));
    DNNL_TRY(dnnl_primitive_attr_create(&attr));
    dnnl_status_t status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (status == dnnl_success) status = describe_call(engine, attr, s, pass, &d, &made);
    if (status == dnnl_success) {
        fill_call(out, pass, &d, made);
        status = dnnl_primitive_create(&out->primitive, made);
    }
    if (made) (void)dnnl_primitive_desc_destroy(made);
    (void)dnnl_primitive_attr_destroy(attr);
    return status;
}

static dnnl_status_t make_all(struct whet_i_conv_library *library, const whet_i_conv *conv,
                              uint32_t passes) {
    DNNL_TRY(dnnl_engine_create(&library->engine, dnnl_cpu, 0));
    DNNL_TRY(dnnl_stream_create(&library->stream, library->engine, dnnl_stream_default_flags));
    for (int32_t pass = 0; pass < WHET_I_CONV_PASSES; pass++)
        if (passes >> pass & 1)
            DNNL_TRY(make_call(library->engine, &conv->shape, (whet_i_conv_pass)pass, 1,
                               &library->calls[pass]));
    if (passes >> WHET_I_CONV_WEIGHTS & 1)
        DNNL_TRY(make_call(library->engine, &conv->shape, WHET_I_CONV_WEIGHTS, conv->chunk,
                           &library->calls[CHUNK_CALL]));
    return dnnl_success;
}

void whet_i_conv_library_destroy(whet_ctx *ctx, struct whet_i_conv_library *library) {
    if (!library) return;
    for (int i = 0; i < CALLS; i++)
        if (library->calls[i].primitive) (void)dnnl_primitive_destroy(library->calls[i].primitive);
    if (library->stream) (void)dnnl_stream_destroy(library->stream);
    if (library->engine) (void)dnnl_engine_destroy(library->engine);
    whet_i_free(ctx, library);
}

/* ---- where the weights lie -------------------------------------------------------------------- */

/* The place of index `at` of dimension `d`: blocked layouts are sums over dimensions, since every
 * inner block belongs to one of them. */
static int64_t place(const dnnl_memory_desc_t *w, int d, int64_t at) {
    const dnnl_blocking_desc_t *b = &w->format_desc.blocking;
    int64_t sum = 0, step = 1;
    for (int k = b->inner_nblks - 1; k >= 0; step *= b->inner_blks[k], k--) {
        if (b->inner_idxs[k] != d) continue;
        sum += at % b->inner_blks[k] * step;
        at /= b->inner_blks[k];
    }
    return sum + at * b->strides[d];
}

static bool lay_out(const dnnl_memory_desc_t *w, const whet_i_conv_shape *s,
                    whet_i_conv_layout *l) {
    if (w->format_kind != dnnl_blocked || w->offset0 != 0 || w->extra.flags != 0) return false;
    const int of = s->groups > 1; /* dimensions before those of a group */
    const int64_t filters = whet_i_conv_filters(s);
    for (int64_t o = 0; o < s->out.channels; o++)
        l->o[o] = (of ? place(w, 0, o / filters) : 0) + place(w, of, o % filters);
    for (int64_t i = 0; i < whet_i_conv_reads(s); i++) l->i[i] = place(w, of + 1, i);
    for (int64_t h = 0; h < s->size; h++) l->h[h] = place(w, of + 2, h);
    for (int64_t v = 0; v < s->size; v++) l->w[v] = place(w, of + 3, v);
    l->count = (int64_t)(dnnl_memory_desc_get_size(w) / sizeof(float));
    return true;
}

static bool same_layout(const dnnl_memory_desc_t *a, const dnnl_memory_desc_t *b) {
    return dnnl_memory_desc_equal(a, b) != 0;
}

static const dnnl_memory_desc_t *weights_of(const struct whet_i_conv_library *library, int pass) {
    const call *c = &library->calls[pass];
    return pass == WHET_I_CONV_WEIGHTS || pass == CHUNK_CALL ? &c->c : &c->b;
}

static int64_t scratch_of(const call *c) {
    return c->primitive ? (int64_t)(dnnl_memory_desc_get_size(&c->pad) + 63) / 64 * 64 : 0;
}

/* Layouts are made apart and published together: all passes by the library, or none. */
static whet_status take_over(whet_ctx *ctx, whet_i_conv *conv, uint32_t passes,
                             struct whet_i_conv_library *library, bool *taken) {
    whet_i_conv_layout layouts[WHET_I_CONV_PASSES] = {0};
    whet_status status = WHET_OK;
    *taken = false;
    if (passes >> WHET_I_CONV_WEIGHTS & 1 &&
        !same_layout(weights_of(library, WHET_I_CONV_WEIGHTS), weights_of(library, CHUNK_CALL)))
        return WHET_OK;
    for (int32_t pass = 0; pass < WHET_I_CONV_PASSES; pass++) {
        if (!(passes >> pass & 1)) continue;
        WHET_TRY_DONE(whet_i_conv_layout_create(ctx, &conv->shape, &layouts[pass]));
        if (!lay_out(weights_of(library, pass), &conv->shape, &layouts[pass])) goto done;
    }
    for (int32_t pass = 0; pass < WHET_I_CONV_PASSES; pass++) {
        const whet_i_conv_layout old = conv->layouts[pass];
        conv->layouts[pass] = layouts[pass];
        layouts[pass] = old;
        conv->scratch[pass] = scratch_of(&library->calls[pass]);
    }
    const int64_t chunk = scratch_of(&library->calls[CHUNK_CALL]);
    if (chunk > conv->scratch[WHET_I_CONV_WEIGHTS]) conv->scratch[WHET_I_CONV_WEIGHTS] = chunk;
    conv->library = library;
    *taken = true;
done:
    for (int32_t pass = 0; pass < WHET_I_CONV_PASSES; pass++)
        whet_i_conv_layout_destroy(ctx, &layouts[pass]);
    return status;
}

whet_status whet_i_conv_library_use(whet_ctx *ctx, whet_i_conv *conv, uint32_t passes) {
    struct whet_i_conv_library *library;
    bool taken = false;
    WHET_TRY(whet_i_calloc(ctx, 1, &library));
    const int32_t saved = whet_i_single_thread_begin();
    const dnnl_status_t made = make_all(library, conv, passes);
    whet_i_single_thread_end(saved);
    whet_status status = WHET_OK;
    if (made == dnnl_success)
        status = take_over(ctx, conv, passes, library, &taken);
    else if (made == dnnl_out_of_memory)
        status = whet_i_fail(ctx, WHET_ERR_NOMEM, "oneDNN: no memory for a convolution");
    if (!taken) whet_i_conv_library_destroy(ctx, library);
    return status;
}

/* ---- running ---------------------------------------------------------------------------------- */

/* The memory objects of one run, in the order of their arguments. */
enum { A, B, RESULT, PAD, BIAS, OBJECTS };

static bool name_memory(const struct whet_i_conv_library *library, const call *c,
                        float *const places[OBJECTS], dnnl_exec_arg_t args[OBJECTS], int *n) {
    const dnnl_memory_desc_t *of[] = {&c->a, &c->b, &c->c, &c->pad, &c->bias};
    const int numbers[] = {c->a_arg, c->b_arg, c->c_arg, DNNL_ARG_SCRATCHPAD, DNNL_ARG_BIAS};
    for (int i = 0; i < OBJECTS; i++) {
        if (!places[i]) continue;
        args[*n].arg = numbers[i];
        if (dnnl_memory_create(&args[*n].memory, of[i], library->engine, places[i]) != dnnl_success)
            return false;
        ++*n;
    }
    return true;
}

/* oneDNN takes pointers to numbers that it only reads as pointers to write through. */
static float *unlocked(const float *p) {
    union {
        const float *in;
        float *out;
    } u = {p};
    return u.out;
}

bool whet_i_conv_library_run(const whet_i_conv *conv, whet_i_conv_pass pass, int64_t images,
                             const float *a, const float *b, const float *bias, float *c,
                             void *scratch) {
    const struct whet_i_conv_library *library = conv->library;
    const bool weights = pass == WHET_I_CONV_WEIGHTS;
    const call *how = &library->calls[weights && images > 1 ? CHUNK_CALL : (int)pass];
    float *const places[OBJECTS] = {unlocked(a), unlocked(b), c, how->pads ? scratch : NULL,
                                    unlocked(bias)};
    const int64_t in = whet_i_image_count(conv->shape.in),
                  out = whet_i_image_count(conv->shape.out);
    const int64_t a_step = pass == WHET_I_CONV_FORWARD ? in : out,
                  c_step = pass == WHET_I_CONV_FORWARD ? out : in;
    dnnl_exec_arg_t args[OBJECTS];
    int n = 0;
    /* A loop of one worker is no parallel region to the library: it would start threads. */
    const int32_t saved = whet_i_single_thread_begin();
    bool done = name_memory(library, how, places, args, &n);
    for (int64_t i = 0; done && i < (weights ? 1 : images); i++) {
        if (i > 0)
            done = dnnl_memory_set_data_handle(args[A].memory, unlocked(a + i * a_step)) ==
                       dnnl_success &&
                   dnnl_memory_set_data_handle(args[RESULT].memory, c + i * c_step) == dnnl_success;
        done = done &&
               dnnl_primitive_execute(how->primitive, library->stream, n, args) == dnnl_success;
    }
    for (int i = 0; i < n; i++) (void)dnnl_memory_destroy(args[i].memory);
    whet_i_single_thread_end(saved);
    return done;
}
