/* SPDX-License-Identifier: Apache-2.0
 * REPAIR (Jordan et al. 2023, arXiv 2211.08403): in a mean of two networks units that are not quite alike
 * cancel each other, and what reads them sees values that hardly vary. Every hidden unit of the mixture is
 * given, before its activation, the mean and deviation that lie between those of the two networks: by scaling
 * the rows of its layer and shifting its bias, so that the network keeps its form. Layer by layer, each
 * measured behind those that are repaired already: on the data the statistics are what they should be, but
 * for rounding; the published code measures all layers in one pass of batches instead. Where group norms
 * stand before the activations, what they put out is the unit: their scale and shift are such rows. */
#include <inttypes.h>
#include <math.h>

#include "merge/repair.h"

enum { LAYERS_MOST = 400 };

typedef struct layer {
    whet_i_value value; /* before the activation */
    whet_i_param_id weight, bias;
    int64_t c; /* units, or channels */
    double *mean[2], *deviation[2];
} layer;

struct whet_i_repair {
    const char *arch;
    const whet_permutation_spec *told; /* of convolutions, or NULL */
    whet_i_image image;
    const float *x;
    int64_t examples;
    layer *layers;
    int64_t n;
    bool normed; /* layers are norms */
    whet_i_arena arena;
};

/* ---- layers ----------------------------------------------------------------------------------------- */

static whet_status add_layer(whet_ctx *ctx, whet_i_repair *r, const whet_i_image_network *net,
                             const whet_i_node *node) {
    const whet_i_param *w = &net->params->items[node->params[0]];
    if ((w->rank < 2) != r->normed || node->outputs[0] == net->logits) return WHET_OK;
    if (r->n == LAYERS_MOST)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: more than %d hidden layers to repair; expected at most as many",
                           r->arch, (int)LAYERS_MOST);
    if (node->n_params != 2)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: layer %s has no bias that could be shifted; expected one in every "
                           "hidden layer",
                           r->arch, w->name);
    layer *l = &r->layers[r->n++];
    *l = (layer){node->outputs[0], node->params[0], node->params[1], w->shape[0], {0}, {0}};
    for (int k = 0; k < 2; k++) {
        WHET_TRY(whet_i_arena_alloc(ctx, &r->arena, l->c, sizeof(double), &l->mean[k]));
        WHET_TRY(whet_i_arena_alloc(ctx, &r->arena, l->c, sizeof(double), &l->deviation[k]));
    }
    return WHET_OK;
}

/* Where norms are what is repaired, a hidden layer of a perceptron without one would be left as it is. In
 * residual networks the stream has norms for all that is added to it. */
static whet_status check_normed(whet_ctx *ctx, const whet_i_repair *r,
                                const whet_i_image_network *net) {
    const whet_i_graph *g = net->graph;
    if (!whet_i_arch_is(r->arch, "mlp") && !whet_i_arch_is(r->arch, "cnn")) return WHET_OK;
    for (int64_t i = 0; i < g->n_nodes; i++) {
        const whet_i_node *node = &g->nodes[i];
        bool normed = node->n_params == 0 || node->outputs[0] == net->logits;
        if (node->n_params > 0 && net->params->items[node->params[0]].rank < 2) continue;
        for (int64_t k = i + 1; !normed && k < g->n_nodes; k++)
            normed = g->nodes[k].n_params > 0 && g->nodes[k].inputs[0] == node->outputs[0] &&
                     net->params->items[g->nodes[k].params[0]].rank < 2;
        if (!normed)
            return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                               "%s: layer %s has no norm, and others do; expected all or none for "
                               "units to be repaired",
                               r->arch, net->params->items[node->params[0]].name);
    }
    return WHET_OK;
}

static whet_status find_layers(whet_ctx *ctx, whet_i_repair *r, const whet_i_image_network *net) {
    const whet_i_graph *g = net->graph;
    WHET_TRY(whet_i_calloc(ctx, LAYERS_MOST, &r->layers));
    for (int64_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].n_params > 0 && net->params->items[g->nodes[i].params[0]].rank == 1)
            r->normed = true;
    for (int64_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].n_params > 0) WHET_TRY(add_layer(ctx, r, net, &g->nodes[i]));
    return r->normed ? check_normed(ctx, r, net) : WHET_OK;
}

/* ---- statistics ------------------------------------------------------------------------------------- */

/* Sums over samples (examples, and places of an image) of some layers' differences to the first one. */
typedef struct tally {
    const layer *layers;
    int64_t n, samples;
    double *sums; /* center, sum, squares [c] of each layer, behind each other */
    const whet_i_graph *graph;
} tally;

static whet_status add_rows(whet_ctx *ctx, void *arg, const whet_i_executor *executor,
                            int64_t first, int64_t rows) {
    tally *t = arg;
    double *center = t->sums;
    (void)ctx;
    for (int64_t k = 0; k < t->n; k++) {
        const layer *l = &t->layers[k];
        const whet_i_real *x = whet_i_executor_value(executor, l->value);
        const int64_t samples = rows * (whet_i_columns(t->graph, l->value) / l->c);
        double *sum = center + l->c, *squares = sum + l->c;
        for (int64_t j = 0; first == 0 && j < l->c; j++) center[j] = (double)x[j];
        for (int64_t s = 0; s < samples; s++)
            for (int64_t j = 0; j < l->c; j++) {
                const double d = (double)x[s * l->c + j] - center[j];
                sum[j] += d;
                squares[j] += d * d;
            }
        center = squares + l->c;
    }
    return WHET_OK;
}

/* mean and deviation [c] of each of the layers first .. first + n - 1, one behind the other. */
static whet_status measure(whet_ctx *ctx, const whet_i_repair *r, const whet_i_image_network *net,
                           int64_t first, int64_t n, double *const *mean,
                           double *const *deviation) {
    tally t = {.layers = r->layers + first, .n = n, .graph = net->graph};
    whet_i_value *keep = NULL;
    int64_t width = 0;
    whet_status status = WHET_OK;
    for (int64_t k = 0; k < n; k++) width += 3 * t.layers[k].c;
    WHET_TRY_DONE(whet_i_calloc(ctx, width, &t.sums));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &keep));
    for (int64_t k = 0; k < n; k++) keep[k] = t.layers[k].value;
    const whet_i_batch_visitor visitor = {
        .visit = add_rows, .arg = &t, .stage = "repair", .keep = keep, .n_keep = n};
    WHET_TRY_DONE(whet_i_image_network_batches(ctx, net, r->x, r->examples, &visitor));
    const double *center = t.sums;
    for (int64_t k = 0; k < n; k++) {
        const int64_t c = t.layers[k].c;
        const int64_t places = whet_i_columns(net->graph, t.layers[k].value) / c;
        const double samples = (double)(r->examples * places);
        for (int64_t j = 0; j < c; j++) {
            const double apart = center[c + j] / samples;
            const double variance = center[2 * c + j] / samples - apart * apart;
            mean[k][j] = center[j] + apart;
            deviation[k][j] = variance > 0 ? sqrt(variance) : 0;
        }
        center += 3 * c;
    }
done:
    whet_i_free(ctx, keep);
    whet_i_free(ctx, t.sums);
    return status;
}

static whet_status measure_end(whet_ctx *ctx, whet_i_repair *r, const whet_weights *w, int k) {
    whet_i_image_network net = {0};
    double *mean[LAYERS_MOST], *deviation[LAYERS_MOST];
    whet_status status = whet_i_image_network_make_apart(ctx, r->arch, r->told, w, &r->image, &net);
    if (status == WHET_OK && k == 0) status = find_layers(ctx, r, &net);
    for (int64_t l = 0; l < r->n; l++) {
        mean[l] = r->layers[l].mean[k];
        deviation[l] = r->layers[l].deviation[k];
    }
    if (status == WHET_OK) status = measure(ctx, r, &net, 0, r->n, mean, deviation);
    whet_i_image_network_free(ctx, &net);
    return status;
}

whet_status whet_i_repair_create(whet_ctx *ctx, const char *arch, const whet_permutation_spec *told,
                                 const whet_weights *a, const whet_weights *b,
                                 const whet_i_image *image, const float *x, int64_t n,
                                 whet_i_repair **out) {
    whet_i_repair *r = NULL;
    if (n < 2)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%" PRId64 " examples for the statistics of hidden units; expected 2 at "
                           "least",
                           n);
    WHET_TRY(whet_i_calloc(ctx, 1, &r));
    r->arch = arch;
    r->told = told;
    r->image = *image;
    r->x = x;
    r->examples = n;
    whet_status status = measure_end(ctx, r, a, 0);
    if (status == WHET_OK) status = measure_end(ctx, r, b, 1);
    if (status == WHET_OK)
        *out = r;
    else
        whet_i_repair_destroy(ctx, r);
    return status;
}

void whet_i_repair_destroy(whet_ctx *ctx, whet_i_repair *r) {
    if (!r) return;
    whet_i_free(ctx, r->layers);
    whet_i_arena_free(ctx, &r->arena);
    whet_i_free(ctx, r);
}

/* ---- folding ---------------------------------------------------------------------------------------- */

/* W <- W s, b <- (b - mean) s + target, s = target deviation / deviation: what a batch norm behind the layer
 * would do. A unit that never varies is shifted alone: its noise must not be made a signal. */
static void fold(const layer *l, double weight, const double *mean, const double *deviation,
                 const whet_tensor *w, const whet_tensor *b) {
    const int64_t row = whet_tensor_count(w) / l->c;
    float *rows = w->data, *bias = b->data;
    for (int64_t j = 0; j < l->c; j++) {
        const double to = (1 - weight) * l->mean[0][j] + weight * l->mean[1][j];
        const double spread = (1 - weight) * l->deviation[0][j] + weight * l->deviation[1][j];
        const bool varies = deviation[j] > 1e-6 * (fabs(mean[j]) + spread);
        const double scale = varies ? spread / deviation[j] : 1;
        for (int64_t i = j * row; i < (j + 1) * row; i++)
            rows[i] = (float)((double)rows[i] * scale);
        bias[j] = (float)(((double)bias[j] - mean[j]) * scale + to);
    }
}

static whet_status repair_layer(whet_ctx *ctx, const whet_i_repair *r, int64_t index,
                                const double *shares, const whet_weights *mixed) {
    const layer *l = &r->layers[index];
    whet_i_image_network net = {0};
    double *mean = NULL, *deviation = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, l->c, &mean));
    WHET_TRY_DONE(whet_i_alloc(ctx, l->c, &deviation));
    WHET_TRY_DONE(whet_i_image_network_make_apart(ctx, r->arch, r->told, mixed, &r->image, &net));
    WHET_TRY_DONE(measure(ctx, r, &net, index, 1, &mean, &deviation));
    const whet_i_param *params = net.params->items;
    const whet_tensor *w = whet_i_image_network_tensor(mixed, params[l->weight].name);
    const whet_tensor *b = whet_i_image_network_tensor(mixed, params[l->bias].name);
    int64_t place = 0;
    while (&mixed->items[place].tensor != w) place++;
    fold(l, shares[place], mean, deviation, w, b);
done:
    whet_i_image_network_free(ctx, &net);
    whet_i_free(ctx, mean);
    whet_i_free(ctx, deviation);
    return status;
}

whet_status whet_i_repair_apply(whet_ctx *ctx, const whet_i_repair *r, const double *shares,
                                const whet_weights *mixed) {
    for (int64_t l = 0; l < r->n; l++) WHET_TRY(repair_layer(ctx, r, l, shares, mixed));
    return WHET_OK;
}
