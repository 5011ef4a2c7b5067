/* SPDX-License-Identifier: Apache-2.0
 * How the loss of a mixture changes with the shares of its tensors: d loss / d s_i = <gradient of tensor i,
 * B_i - A_i>, from one pass forward and backward over the examples. Gradients are f32, their products with
 * the difference are summed in f64. */
#include "merge/image_network.h"
#include "merge/merge_i.h"

enum { BATCH = 250 };

/* Gradients of the mean loss over all examples, in the parameters. */
static whet_status descend(whet_ctx *ctx, whet_i_image_network *net, const whet_mode_data *data,
                           double *loss) {
    const int64_t n = data->n, most = n < BATCH ? n : BATCH;
    const whet_i_plan_opts opts = {
        .sizes = {.rows = {1, most, 0}, .workers = whet_ctx_threads(ctx)},
        .loss = net->loss,
        .keep = &net->loss,
        .n_keep = 1};
    whet_i_plan *plan = NULL;
    whet_i_executor *executor = NULL;
    double sum = 0;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_plan_create(ctx, net->graph, &opts, &plan));
    WHET_TRY_DONE(whet_i_params_pack(ctx, net->params));
    WHET_TRY_DONE(whet_i_executor_create(ctx, plan, &executor));
    for (int64_t first = 0; first < n; first += most) {
        const int64_t rows = n - first < most ? n - first : most;
        const double share = (double)rows / (double)n;
        const whet_i_batch batch = {.rows = {1, rows, 0},
                                    .feeds = {data->x + first * net->d, data->labels + first},
                                    .loss_scale = (whet_i_real)share,
                                    .accumulate = true};
        WHET_TRY_DONE(whet_i_progress(ctx, "slope", first, n));
        whet_i_executor_run(executor, &batch);
        sum += share * (double)*whet_i_executor_value(executor, net->loss);
    }
    *loss = sum;
    status = whet_i_progress(ctx, "slope", n, n);
done:
    whet_i_executor_destroy(ctx, executor);
    whet_i_plan_destroy(ctx, plan);
    return status;
}

/* The parameter of a tensor, whose name may begin with "module."; NULL: none. */
static const whet_i_param *param_of(const whet_i_image_network *net, const char *name) {
    const size_t head = strncmp(name, "module.", 7) == 0 ? 7 : 0;
    const whet_i_param_id id = whet_i_params_find(net->params, name + head);
    return id < 0 ? NULL : &net->params->items[id];
}

static double slope_of(const whet_i_mixture *m, int64_t i, const whet_i_param *p) {
    const float *a = m->a[i].tensor.data, *b = m->b[i].tensor.data;
    double sum = 0;
    for (int64_t k = 0; b && p && p->gradient && k < p->count; k++)
        sum += (double)p->gradient[k] * ((double)b[k] - (double)a[k]);
    return sum;
}

whet_status whet_i_mixture_slope(whet_ctx *ctx, whet_i_mixture *m, const double *shares,
                                 const whet_mode_data *data, double *loss, double *slopes) {
    const whet_weights mixed = {m->mixed, m->n};
    whet_i_image_network net = {0};
    whet_status status = WHET_OK;
    if (m->norms)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: slopes of networks with batch norms are not known; expected one "
                           "without",
                           m->arch);
    whet_i_mixture_set(m, shares);
    WHET_TRY_DONE(
        whet_i_image_network_make_trained(ctx, m->arch, m->told, &mixed, &m->image, &net));
    WHET_TRY_DONE(descend(ctx, &net, data, loss));
    for (int64_t i = 0; i < m->n; i++) slopes[i] = slope_of(m, i, param_of(&net, m->a[i].name));
done:
    whet_i_image_network_free(ctx, &net);
    return status;
}
