/* SPDX-License-Identifier: Apache-2.0
 * Chains of layers, recorded as their names and shapes say: each layer, the norms behind it, ReLU. Of linear
 * layers that is the network as most are written. What a chain of convolutions does between them (strides,
 * pools) no tensor tells: it is run on data where a specification tells it of every one. To prove a
 * specification it is recorded as one of those that have the same symmetries, with strides of 1 and images
 * that keep their size. */
#include <inttypes.h>
#include <stdio.h>

#include "merge/chain_names.h"
#include "merge/image_network.h"
#include "merge/network_recorder.h"

static const char PREFIX[] = "module.";

enum { SIDE = 4 /* of images whose places nothing tells */ };

static whet_status list_modules(whet_ctx *ctx, const whet_weights *w, whet_i_chain_module **out,
                                int64_t *n) {
    const whet_i_tensors tensors = {.weights = w, .prefix = ""};
    return whet_i_chain_modules(ctx, &tensors, out, n);
}

/* Names of parameters are without what DataParallel sets before them. */
static const char *bare(const char *name) {
    const size_t n = sizeof PREFIX - 1;
    return strncmp(name, PREFIX, n) == 0 ? name + n : name;
}

static bool has(const whet_i_network_recorder *r, const char *module, const char *part) {
    char name[WHET_I_CHAIN_NAME + 32];
    (void)snprintf(name, sizeof name, "%s.%s", module, part);
    return whet_i_image_network_tensor(r->weights, name) != NULL;
}

/* ---- layers -------------------------------------------------------------------------------------------- */

typedef struct chain {
    whet_i_network_recorder *r;
    whet_i_image image; /* of what x holds; height and width 1: vectors */
    whet_i_value x;
    bool images;           /* of a value that has places */
    whet_i_told_pool pool; /* behind the last convolution, its norms and its ReLU */
} chain;

/* Of an odd size, or brought back to the image's size by means of neighbours. */
static whet_status convolve(chain *c, const whet_i_chain_module *m) {
    const whet_i_network_recorder *r = c->r;
    const char *name = bare(m->name);
    const whet_i_told *told = whet_i_recorder_told(r, name);
    const whet_i_image_pool_spec pool = {false, 2, 1, 0};
    if (m->size == 0 || !c->images)
        return whet_i_fail(r->ctx, WHET_ERR_UNSUPPORTED,
                           "%s: convolution %s is not of a square kernel before all linear layers; "
                           "expected one, to be run",
                           r->arch, name);
    WHET_TRY(whet_i_record_convolution(r, name, 1, &c->image, c->x, &c->x));
    c->pool = told ? told->pool : (whet_i_told_pool){0};
    return m->size % 2 || told ? WHET_OK
                               : whet_i_image_pool(r->ctx, r->graph, c->x, &c->image, &pool, &c->x);
}

/* Images become vectors: the mean of each channel, or all its places. */
static whet_status leave_images(chain *c, int64_t columns) {
    const whet_i_network_recorder *r = c->r;
    const bool mean = columns == c->image.channels;
    c->images = false;
    WHET_TRY(mean ? whet_i_global_pool(r->ctx, r->graph, c->x, &c->image, &c->x)
                  : whet_i_flatten(r->ctx, r->graph, c->x, &c->image, &c->x));
    c->image = (whet_i_image){1, 1, whet_i_columns(r->graph, c->x)};
    return WHET_OK;
}

static whet_status put_module(chain *c, const whet_i_chain_module *m, bool norm_follows,
                              bool last) {
    const whet_i_network_recorder *r = c->r;
    const char *name = bare(m->name);
    const bool relu = !norm_follows && !last;
    if (m->rank == 1) {
        const whet_i_norm_spec spec = {.module = name,
                                       .channels = m->rows,
                                       .relu = relu,
                                       .residual = WHET_I_NONE,
                                       .batch = has(r, name, "running_mean"),
                                       .vector = !c->images};
        if (m->rows != c->image.channels || !has(r, name, "bias"))
            return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                               "%s: norm %s is not of the %" PRId64
                               " units before it, with a bias; expected that, to be run",
                               r->arch, name, c->image.channels);
        return whet_i_record_norm(r, &spec, c->x, &c->x);
    }
    if (m->rank == 4) {
        WHET_TRY(convolve(c, m));
        return relu ? whet_i_activation(r->ctx, r->graph, c->x, WHET_I_ACT_RELU, &c->x) : WHET_OK;
    }
    if (c->images) WHET_TRY(leave_images(c, m->columns));
    c->image.channels = m->rows;
    return whet_i_record_dense(r, name, relu ? WHET_I_ACT_RELU : WHET_I_ACT_NONE, c->x, &c->x);
}

static whet_status put(chain *c, const whet_i_chain_module *m, bool norm_follows, bool last) {
    WHET_TRY(put_module(c, m, norm_follows, last));
    if (norm_follows || !c->images) return WHET_OK;
    const whet_i_told_pool pool = c->pool;
    c->pool = (whet_i_told_pool){0};
    return whet_i_record_pool(c->r, &pool, &c->image, c->x, &c->x);
}

/* ---- the network --------------------------------------------------------------------------------------- */

static whet_status put_all(chain *c, const whet_i_chain_module *items, int64_t n) {
    int64_t last = n - 1;
    while (last > 0 && items[last].rank == 1) last--;
    if (n == 0 || items[0].rank == 1)
        return whet_i_fail(c->r->ctx, WHET_ERR_FORMAT,
                           "%s: %" PRId64
                           " modules; expected layers, the first of them no norm, to "
                           "be run",
                           c->r->arch, n);
    for (int64_t i = 0; i < n; i++)
        WHET_TRY(put(c, &items[i], i + 1 < n && items[i + 1].rank == 1, i >= last));
    return c->images ? leave_images(c, c->image.channels) : WHET_OK;
}

/* What is run on data must be what the names say, not one of several. */
static whet_status check_told(const whet_i_network_recorder *r, const whet_i_chain_module *items,
                              int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (items[i].rank == 4 && !whet_i_spec_told(r->told, items[i].name))
            return whet_i_fail(
                r->ctx, WHET_ERR_UNSUPPORTED,
                "%s: %s is a convolution, and nothing tells the strides and pools of "
                "a chain; expected a specification that does (\"convolutions\"), or linear layers "
                "and "
                "norms, to be run on data",
                r->arch, items[i].name);
    return WHET_OK;
}

whet_status whet_i_record_chain(whet_i_network_recorder *r, whet_i_value x,
                                whet_i_model_values *out) {
    whet_i_chain_module *items;
    int64_t n;
    WHET_TRY(list_modules(r->ctx, r->weights, &items, &n));
    whet_status status = whet_i_check_told(r);
    if (status == WHET_OK && !r->proof) status = check_told(r, items, n);
    chain c = {.r = r, .image = r->image, .x = x, .images = n > 0 && items[0].rank == 4};
    if (!c.images) c.image = (whet_i_image){1, 1, whet_i_columns(r->graph, x)};
    if (status == WHET_OK) status = put_all(&c, items, n);
    whet_i_free(r->ctx, items);
    *out = (whet_i_model_values){.logits = c.x, .features = WHET_I_NONE};
    return status;
}

/* Places of a channel that the first linear layer reads: 1 = its mean, or there is none. */
static int64_t places_of(const whet_i_chain_module *items, int64_t n) {
    int64_t channels = 0;
    for (int64_t i = 0; i < n; i++) {
        if (items[i].rank == 2)
            return channels > 0 && items[i].columns % channels == 0 ? items[i].columns / channels
                                                                    : 1;
        if (items[i].rank == 4) channels = items[i].rows;
    }
    return 1;
}

whet_status whet_i_chain_image(whet_ctx *ctx, const whet_weights *w, whet_i_image *out) {
    whet_i_chain_module *items;
    int64_t n, height = 1;
    WHET_TRY(list_modules(ctx, w, &items, &n));
    const int64_t places = places_of(items, n), columns = n > 0 ? items[0].columns : 0;
    for (int64_t h = 2; h * h <= places; h++)
        if (places % h == 0) height = h;
    if (n == 0 || items[0].rank != 4)
        *out = (whet_i_image){1, 1, columns};
    else if (places == 1)
        *out = (whet_i_image){SIDE, SIDE, columns};
    else
        *out = (whet_i_image){height, places / height, columns};
    whet_i_free(ctx, items);
    return columns > 0 ? WHET_OK
                       : whet_i_fail(ctx, WHET_ERR_FORMAT,
                                     "chain of layers: no layer first; expected one, to be run");
}
