/* SPDX-License-Identifier: Apache-2.0
 * Whether a specification keeps a network's function: a network of its shapes and the same under drawn
 * permutations are run on drawn inputs. Its weights are drawn as well: those of a network that is not
 * trained, or has dead units, may be alike, so that it does not matter where they go. Of networks that can be
 * run here only; a specification that is wrong anywhere moves rows without the columns that read them, and
 * outputs differ by about their size. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "merge/image_network.h"
#include "merge/network_recorder.h"
#include "merge/residual_names.h"
#include "merge/transformer_probe.h"

/* Rounding of sums in another order is some 1e-6 of the outputs' size, 1e-5 in deep networks. */
static const double MOST = 1e-3;
/* Draws: so many that a group of two units is exchanged in one of them. Examples: vectors have one place
 * each, at which half of the units are not active. */
enum { IMAGES = 4, VECTORS = 32, DRAWS = 6 };

/* The shape of inputs that the first layers tell; images of CIFAR's size else. */
static whet_status image_of(whet_ctx *ctx, const char *arch, const whet_weights *w,
                            whet_i_image *out) {
    const whet_i_tensors tensors = whet_i_tensors_of_weights(w);
    whet_tensor first;
    const bool known =
        whet_i_tensors_find(&tensors, whet_i_residual_ends_of(&tensors).stem, "weight", 4, &first);
    const whet_tensor *linear = whet_i_image_network_tensor(w, "fc1.weight");
    if (whet_i_arch_is(arch, "mlp") || whet_i_arch_is(arch, "cnn"))
        return whet_i_chain_image(ctx, w, out);
    *out = (whet_i_image){32, 32, known ? first.shape[1] : 3};
    if (strcmp(arch, "lenet") == 0 && linear && linear->rank == 2) {
        const int64_t side = llround(sqrt((double)linear->shape[1] / 16));
        const int64_t image = (2 * side + 4) * 2 + 4;
        *out = (whet_i_image){image, image, 1};
    }
    return WHET_OK;
}

typedef struct verifier {
    whet_ctx *ctx;
    const whet_permutation_spec *spec;
    whet_weights weights; /* f32 */
    whet_named_tensor *copies, *moved;
    whet_i_image image;
    float *x, *out[2];
    int64_t examples, classes;
} verifier;

static whet_status run_once(verifier *v, const whet_weights *w, int k) {
    whet_i_image_network net = {0};
    int64_t cells;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(
        whet_i_image_network_make_proof(v->ctx, v->spec->arch, v->spec, w, &v->image, &net));
    v->classes = net.classes;
    WHET_TRY_DONE(whet_i_mul(v->ctx, v->examples, net.classes, &cells));
    if (!v->out[k]) WHET_TRY_DONE(whet_i_alloc(v->ctx, cells, &v->out[k]));
    WHET_TRY_DONE(
        whet_i_image_network_run(v->ctx, &net, "specification", v->x, v->examples, v->out[k]));
done:
    whet_i_image_network_free(v->ctx, &net);
    return status;
}

static whet_status compare(const verifier *v) {
    double most = 0, size = 0;
    for (int64_t i = 0; i < v->examples * v->classes; i++) {
        const double d = fabs((double)v->out[0][i] - (double)v->out[1][i]);
        most = d > most || isnan(d) ? d : most;
        size = fmax(size, fabs((double)v->out[0][i]));
    }
    if (most <= MOST * size) return WHET_OK;
    return whet_i_fail(
        v->ctx, WHET_ERR_DATA,
        "specification: drawn permutations change the network's outputs by %.3g, of %.3g; "
        "expected the same function: an axis lacks its group, or has another's",
        most, size);
}

static whet_status draw_once(verifier *v, uint64_t seed) {
    whet_alignment *drawn = NULL;
    const whet_weights moved = {v->moved, v->weights.n};
    whet_status status = whet_alignment_random(v->ctx, v->spec, &v->weights, seed, &drawn);
    if (status == WHET_OK)
        status = whet_alignment_apply(v->ctx, v->spec, drawn, &v->weights, v->moved);
    whet_alignment_destroy(v->ctx, drawn);
    WHET_TRY(status);
    status = run_once(v, &moved, 1);
    for (int64_t i = 0; i < v->weights.n; i++) whet_tensor_destroy(v->ctx, &v->moved[i].tensor);
    return status == WHET_OK ? compare(v) : status;
}

/* Values of about the size that a layer was given, in residual networks less: their streams add up. */
static void draw_weights(const char *arch, whet_i_rng *rng, const char *name, whet_tensor *t) {
    const int64_t n = whet_tensor_count(t), row = t->rank > 1 && n > 0 ? n / t->shape[0] : 1;
    const bool chain = !whet_i_arch_is(arch, "resnet") && !whet_i_arch_is(arch, "wrn");
    const bool positive = whet_i_ends_with(name, ".running_var") ||
                          (t->rank == 1 && whet_i_ends_with(name, ".weight"));
    const double scale = t->rank > 1 ? sqrt((chain ? 2 : 1) / (double)row) : .3;
    float *x = t->data;
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(positive ? .5 + whet_i_rng_uniform(rng) : scale * whet_i_rng_normal(rng));
}

static whet_status verify(verifier *v, const whet_weights *weights) {
    whet_i_rng rng;
    int64_t d, cells;
    whet_i_rng_init(&rng, 1, 0);
    WHET_TRY(whet_i_calloc(v->ctx, weights->n, &v->copies));
    WHET_TRY(whet_i_calloc(v->ctx, weights->n, &v->moved));
    v->weights = (whet_weights){v->copies, weights->n};
    for (int64_t i = 0; i < weights->n; i++) {
        v->copies[i].name = weights->items[i].name;
        WHET_TRY(
            whet_tensor_convert(v->ctx, &weights->items[i].tensor, WHET_F32, &v->copies[i].tensor));
        draw_weights(v->spec->arch, &rng, v->copies[i].name, &v->copies[i].tensor);
    }
    WHET_TRY(image_of(v->ctx, v->spec->arch, &v->weights, &v->image));
    v->examples = v->image.height * v->image.width == 1 ? VECTORS : IMAGES;
    WHET_TRY(whet_i_mul(v->ctx, v->image.height * v->image.width, v->image.channels, &d));
    WHET_TRY(whet_i_mul(v->ctx, d, v->examples, &cells));
    WHET_TRY(whet_i_alloc(v->ctx, cells, &v->x));
    for (int64_t i = 0; i < cells; i++) v->x[i] = (float)whet_i_rng_normal(&rng);
    WHET_TRY(run_once(v, &v->weights, 0));
    for (uint64_t seed = 1; seed <= DRAWS; seed++) WHET_TRY(draw_once(v, seed));
    return WHET_OK;
}

whet_status whet_permutation_spec_verify(whet_ctx *ctx, const whet_permutation_spec *spec,
                                         const whet_weights *weights) {
    static const whet_permutation_hints none = {0};
    verifier v = {.ctx = ctx, .spec = spec};
    if (whet_i_transformer_named(weights))
        return whet_i_verify_transformer(ctx, "specification", spec, weights, NULL, &none);
    if (!whet_i_image_network_knows(spec->arch))
        return whet_i_fail(
            ctx, WHET_ERR_UNSUPPORTED,
            "specification: networks of architecture \"%s\" cannot be run; expected mlp, cnn, "
            "lenet, resnet or wrn as its \"arch\"",
            spec->arch);
    const whet_status status = verify(&v, weights);
    for (int64_t i = 0; v.copies && i < weights->n; i++)
        whet_tensor_destroy(ctx, &v.copies[i].tensor);
    whet_i_free(ctx, v.copies);
    whet_i_free(ctx, v.moved);
    whet_i_free(ctx, v.x);
    whet_i_free(ctx, v.out[0]);
    whet_i_free(ctx, v.out[1]);
    return status;
}
