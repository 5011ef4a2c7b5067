/* SPDX-License-Identifier: Apache-2.0
 * Straight-through refinement of weight matching: what is matched with B is not A but theta, which begins
 * as A and learns to be matched so that the midpoint of A and B permuted has a small loss. A permutation has
 * no gradient: that with respect to B permuted is handed to theta as it is. Of all permutations met that of
 * the least loss at the midpoint, over all data, is kept; the first one is weight matching's own.
 * Source: Git Re-Basin (Ainsworth et al. 2023), section 3.3.
 * Each step's matching begins where the last one ended: B is moved, and matched from the identity. */
#include <inttypes.h>
#include <math.h>

#include "merge/image_network.h"
#include "merge/merge_i.h"

typedef struct refiner {
    whet_ctx *ctx;
    const whet_permutation_spec *spec;
    const whet_mode_data *data;
    const whet_align_opts *opts;
    whet_i_image image;
    whet_named_tensor *a, *moved, *theta; /* [n_a], [n_b], [n_a] f32; theta has views */
    int64_t n_a, n_b;
    whet_i_image_network net; /* its values are theta, but for the while of a pass */
    float **held, **of_a;     /* [params] theta meanwhile; A's values */
    whet_i_plan *plan;
    whet_i_executor *executor;
    whet_i_optimizer *optimizer;
    int64_t batch, *order; /* rows of a step; [n] examples */
    float *fed;            /* [batch, d] */
    int32_t *labels;       /* [batch] */
    whet_alignment *now, *best;
} refiner;

/* ---- making ----------------------------------------------------------------------------------- */

static whet_status copy_weights(refiner *r, const whet_weights *from, whet_named_tensor **out,
                                int64_t *n) {
    WHET_TRY(whet_i_calloc(r->ctx, from->n, out));
    *n = from->n;
    for (int64_t i = 0; i < from->n; i++) {
        (*out)[i].name = from->items[i].name;
        WHET_TRY(whet_tensor_convert(r->ctx, &from->items[i].tensor, WHET_F32, &(*out)[i].tensor));
    }
    return WHET_OK;
}

/* Theta's tensors are the network's values, under A's names. */
static whet_status make_theta(refiner *r) {
    whet_i_params *p = r->net.params;
    const whet_weights theta = {r->theta, r->n_a};
    WHET_TRY(whet_i_calloc(r->ctx, p->n, &r->held));
    WHET_TRY(whet_i_calloc(r->ctx, p->n, &r->of_a));
    for (int64_t i = 0; i < p->n; i++) {
        if (!p->items[i].trainable) continue;
        const whet_tensor *t = whet_i_image_network_tensor(&theta, p->items[i].name);
        int64_t place = 0;
        while (&r->theta[place].tensor != t) place++;
        r->of_a[i] = r->a[place].tensor.data;
        r->theta[place].tensor.data = p->items[i].values;
        WHET_TRY(whet_i_alloc(r->ctx, p->items[i].count, &r->held[i]));
    }
    return WHET_OK;
}

static whet_status make_training(refiner *r) {
    const whet_i_optimizer_settings sgd = {.kind = WHET_I_SGD, .momentum = r->opts->momentum};
    int64_t cells;
    r->batch = r->opts->batch < r->data->n ? r->opts->batch : r->data->n;
    const whet_i_plan_opts opts = {
        .sizes = {.rows = {1, r->batch, 0}, .workers = whet_ctx_threads(r->ctx)},
        .loss = r->net.loss};
    WHET_TRY(whet_i_plan_create(r->ctx, r->net.graph, &opts, &r->plan));
    WHET_TRY(whet_i_check_room(r->ctx, "a step of straight-through refinement",
                               (double)whet_i_plan_bytes(r->plan), "a smaller batch"));
    WHET_TRY(whet_i_executor_create(r->ctx, r->plan, &r->executor));
    WHET_TRY(whet_i_params_pack(r->ctx, r->net.params));
    WHET_TRY(whet_i_optimizer_create(r->ctx, r->net.params, &sgd, &r->optimizer));
    WHET_TRY(whet_i_mul(r->ctx, r->batch, r->net.d, &cells));
    WHET_TRY(whet_i_alloc(r->ctx, cells, &r->fed));
    WHET_TRY(whet_i_alloc(r->ctx, r->batch, &r->labels));
    WHET_TRY(whet_i_alloc(r->ctx, r->data->n, &r->order));
    for (int64_t i = 0; i < r->data->n; i++) r->order[i] = i;
    return WHET_OK;
}

static whet_status make(refiner *r, const whet_weights *a, const whet_weights *b) {
    WHET_TRY(copy_weights(r, a, &r->a, &r->n_a));
    WHET_TRY(copy_weights(r, b, &r->moved, &r->n_b));
    WHET_TRY(whet_i_alloc(r->ctx, r->n_a, &r->theta));
    memcpy(r->theta, r->a, (size_t)r->n_a * sizeof *r->theta);
    const whet_weights first = {r->a, r->n_a};
    WHET_TRY(whet_i_image_network_make_trained(r->ctx, r->spec->arch, r->spec, &first, &r->image,
                                               &r->net));
    WHET_TRY(whet_i_mode_labels_check(r->ctx, r->data, r->net.classes));
    WHET_TRY(make_theta(r));
    return make_training(r);
}

/* ---- matching --------------------------------------------------------------------------------- */

/* B goes where `found` says, behind where it is already. */
static whet_status move(refiner *r, const whet_alignment *found) {
    const whet_weights from = {r->moved, r->n_b};
    whet_named_tensor *to;
    WHET_TRY(whet_i_calloc(r->ctx, r->n_b, &to));
    const whet_status status = whet_alignment_apply(r->ctx, r->spec, found, &from, to);
    for (int64_t i = 0; status == WHET_OK && i < r->n_b; i++) {
        whet_tensor_destroy(r->ctx, &r->moved[i].tensor);
        r->moved[i].tensor = to[i].tensor;
    }
    whet_i_free(r->ctx, to);
    return status;
}

/* now <- now after found; whether that changes it. */
static bool compose(whet_alignment *now, const whet_alignment *found, int64_t *room) {
    bool changed = false;
    for (int64_t g = 0; g < now->n_groups; g++)
        for (int32_t p = 0; p < WHET_I_PARTS; p++) {
            int64_t *order = now->order[g][p];
            const int64_t n = now->count[g][p];
            for (int64_t i = 0; i < n; i++) room[i] = order[found->order[g][p][i]];
            for (int64_t i = 0; i < n; i++) changed |= found->order[g][p][i] != i;
            if (n) memcpy(order, room, (size_t)n * sizeof *order);
        }
    return changed;
}

static whet_status midpoint_loss(refiner *r, double *loss) {
    const whet_weights a = {r->a, r->n_a}, b = {r->moved, r->n_b};
    whet_i_mixture m = {0};
    whet_i_scores scores = {0};
    double *shares = NULL, accuracy;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_mixture_make(r->ctx, r->spec->arch, r->spec, &a, &b, NULL, &r->image, &m));
    WHET_TRY_DONE(whet_i_mixture_check(r->ctx, &m, r->data));
    WHET_TRY_DONE(whet_i_alloc(r->ctx, m.n, &shares));
    WHET_TRY_DONE(whet_i_alloc(r->ctx, r->data->n, &scores.losses));
    WHET_TRY_DONE(whet_i_alloc(r->ctx, r->data->n, &scores.right));
    whet_i_mixture_share(&m, 0.5, shares);
    WHET_TRY_DONE(whet_i_mixture_score(r->ctx, &m, shares, 1, r->data, &scores));
    whet_i_scores_mean(scores.losses, scores.right, r->data->n, 0, loss, &accuracy);
done:
    whet_i_mixture_free(r->ctx, &m);
    whet_i_free(r->ctx, shares);
    whet_i_free(r->ctx, scores.losses);
    whet_i_free(r->ctx, scores.right);
    return status;
}

/* Theta with B; where that moves anything, what the midpoint is worth now. */
static whet_status match(refiner *r) {
    const whet_weights theta = {r->theta, r->n_a}, b = {r->moved, r->n_b};
    whet_align_opts opts = *r->opts;
    whet_alignment *found = NULL;
    int64_t most = 1, *room = NULL;
    double loss;
    whet_status status = WHET_OK;
    opts.restarts = 1;
    WHET_TRY_DONE(whet_i_align_weights(r->ctx, r->spec, &theta, &b, &opts, NULL, &found));
    for (int64_t g = 0; g < found->n_groups; g++)
        for (int32_t p = 0; p < WHET_I_PARTS; p++)
            most = found->count[g][p] > most ? found->count[g][p] : most;
    WHET_TRY_DONE(whet_i_alloc(r->ctx, most, &room));
    if (!compose(r->now, found, room)) goto done;
    WHET_TRY_DONE(move(r, found));
    WHET_TRY_DONE(midpoint_loss(r, &loss));
    if (loss < r->best->midpoint[1]) {
        whet_i_alignment_copy(r->best, r->now);
        r->best->midpoint[1] = loss;
    }
done:
    whet_i_free(r->ctx, room);
    whet_alignment_destroy(r->ctx, found);
    return status;
}

/* ---- a step ----------------------------------------------------------------------------------- */

/* Gradients at the midpoint, half of which are B's: a step of theta. */
static whet_status step(refiner *r, int64_t first) {
    const int64_t rows = r->data->n - first < r->batch ? r->data->n - first : r->batch;
    const int64_t d = r->net.d;
    const whet_weights moved = {r->moved, r->n_b};
    whet_i_params *p = r->net.params;
    double norm;
    for (int64_t i = 0; i < rows; i++) {
        const int64_t from = r->order[first + i];
        memcpy(r->fed + i * d, r->data->x + from * d, (size_t)d * sizeof(float));
        r->labels[i] = r->data->labels[from];
    }
    for (int64_t i = 0; i < p->n; i++) {
        whet_i_param *q = &p->items[i];
        if (!q->trainable) continue;
        const float *b = whet_i_image_network_tensor(&moved, q->name)->data;
        memcpy(r->held[i], q->values, (size_t)q->count * sizeof(float));
        for (int64_t k = 0; k < q->count; k++)
            q->values[k] = (float)(0.5 * (double)r->of_a[i][k] + 0.5 * (double)b[k]);
    }
    const whet_status packed = whet_i_params_pack(r->ctx, p);
    const whet_i_batch batch = {
        .rows = {1, rows, 0}, .feeds = {r->fed, r->labels}, .loss_scale = 0.5F, .train = true};
    if (packed == WHET_OK) whet_i_executor_run(r->executor, &batch);
    for (int64_t i = 0; i < p->n; i++)
        if (p->items[i].trainable)
            memcpy(p->items[i].values, r->held[i], (size_t)p->items[i].count * sizeof(float));
    WHET_TRY(packed);
    return whet_i_optimizer_step(r->ctx, r->optimizer, r->opts->rate, &norm);
}

static whet_status refine(refiner *r) {
    const int64_t steps = (r->data->n - 1) / r->batch + 1, total = steps * r->opts->epochs;
    whet_i_rng rng;
    whet_i_rng_init(&rng, r->opts->seed, 1);
    for (int64_t at = 0; at < total; at++) {
        if (at % steps == 0) whet_i_rng_shuffle(&rng, r->order, r->data->n);
        whet_i_note(r->ctx, "least loss at the midpoint %.4g, of weight matching %.4g",
                    r->best->midpoint[1], r->best->midpoint[0]);
        WHET_TRY(whet_i_progress(r->ctx, "straight-through", at, total));
        WHET_TRY(step(r, at % steps * r->batch));
        WHET_TRY(match(r));
    }
    return whet_i_progress(r->ctx, "straight-through", total, total);
}

static whet_status run(refiner *r, const whet_i_bound *bound, const whet_weights *a,
                       const whet_weights *b) {
    WHET_TRY(whet_align_weights(r->ctx, r->spec, a, b, r->opts, &r->best));
    WHET_TRY(make(r, a, b));
    WHET_TRY(whet_i_alignment_create(r->ctx, bound, &r->now));
    WHET_TRY(move(r, r->best));
    whet_i_alignment_copy(r->now, r->best);
    WHET_TRY(midpoint_loss(r, &r->best->midpoint[0]));
    r->best->midpoint[1] = r->best->midpoint[0];
    WHET_TRY(refine(r));
    return whet_i_objective(r->ctx, bound, r->best, &r->best->objective, &r->best->distance_after);
}

static void release(refiner *r) {
    for (int64_t i = 0; r->net.params && i < r->net.params->n; i++)
        if (r->held) whet_i_free(r->ctx, r->held[i]);
    whet_i_free(r->ctx, r->held);
    whet_i_free(r->ctx, r->of_a);
    whet_i_optimizer_destroy(r->ctx, r->optimizer);
    whet_i_executor_destroy(r->ctx, r->executor);
    whet_i_plan_destroy(r->ctx, r->plan);
    whet_i_image_network_free(r->ctx, &r->net);
    for (int64_t i = 0; i < r->n_a; i++) whet_tensor_destroy(r->ctx, &r->a[i].tensor);
    for (int64_t i = 0; i < r->n_b; i++) whet_tensor_destroy(r->ctx, &r->moved[i].tensor);
    whet_i_free(r->ctx, r->a);
    whet_i_free(r->ctx, r->moved);
    whet_i_free(r->ctx, r->theta);
    whet_i_free(r->ctx, r->fed);
    whet_i_free(r->ctx, r->labels);
    whet_i_free(r->ctx, r->order);
    whet_alignment_destroy(r->ctx, r->now);
}

static whet_status check(whet_ctx *ctx, const whet_permutation_spec *spec,
                         const whet_mode_data *data, const whet_align_opts *o) {
    if (!whet_i_image_network_knows(spec->arch))
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "networks of architecture \"%s\" cannot be trained here; expected mlp, "
                           "lenet, resnet or wrn; try the method of weights",
                           spec->arch);
    if (!data->labels || data->n < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "straight-through refinement has %s; expected examples with labels",
                           data->labels ? "no examples" : "no labels");
    if (o->epochs < 1 || o->batch < 1 || !(o->rate > 0 && o->rate < 1e6) ||
        !(o->momentum >= 0 && o->momentum < 1))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%" PRId64 " epochs, batches of %" PRId64
                           ", rate %g, momentum %g; expected 1 and 1 at least, a rate above 0, a "
                           "momentum from 0 to below 1",
                           o->epochs, o->batch, o->rate, o->momentum);
    return WHET_OK;
}

whet_status whet_align_straight_through(whet_ctx *ctx, const whet_permutation_spec *spec,
                                        const whet_weights *a, const whet_weights *b,
                                        const whet_mode_data *data, const whet_align_opts *opts,
                                        whet_alignment **out) {
    whet_align_opts o = WHET_ALIGN_OPTS_INIT;
    whet_i_bound bound;
    refiner r = {.ctx = ctx, .spec = spec, .data = data, .opts = &o};
    WHET_TRY(whet_i_opts(ctx, opts, &o, sizeof o, "whet_align_opts"));
    WHET_TRY(check(ctx, spec, data, &o));
    r.image = (whet_i_image){data->height, data->width, data->channels};
    whet_status status = whet_i_bind(ctx, spec, a, b, true, &bound);
    if (status == WHET_OK) status = run(&r, &bound, a, b);
    release(&r);
    whet_i_bound_free(ctx, &bound);
    if (status == WHET_OK)
        *out = r.best;
    else
        whet_alignment_destroy(ctx, r.best);
    return status;
}
