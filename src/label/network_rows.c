/* SPDX-License-Identifier: Apache-2.0
 * Rows through a recorded network, forward. As in docs/notes/0003, one thread takes one block of rows
 * through all layers, so that nothing waits inside a layer; kernels promise that the bits of a row do
 * not depend on its neighbours. */
#include "label/network_rows.h"

#include <inttypes.h>
#include <math.h>

/* So many rows share the reading of the weights; an image's activations in ResNet-20 take 64 kB a
 * layer, which for a block is about what a core's cache holds. */
enum { BLOCK = 32 };

typedef struct forward {
    const whet_i_network_rows *network;
    int64_t n, columns;
    float *out;
    struct worker {
        whet_i_executor *executor;
        float *fed; /* [BLOCK, d] */
    } * workers;
} forward;

static whet_i_plan_opts plan_opts(const whet_i_value *value, int64_t rows) {
    return (whet_i_plan_opts){.sizes = {.rows = {1, rows, 0}, .workers = 1},
                              .loss = WHET_I_NONE,
                              .keep = value,
                              .n_keep = 1};
}

whet_status whet_i_network_pack(whet_ctx *ctx, const whet_i_graph *graph, whet_i_value value) {
    whet_i_plan *plan;
    const whet_i_plan_opts opts = plan_opts(&value, 1);
    WHET_TRY(whet_i_plan_create(ctx, graph, &opts, &plan));
    whet_i_plan_destroy(ctx, plan);
    return whet_i_params_pack(ctx, graph->params);
}

static void run_block(void *arg, int64_t block, int32_t worker) {
    const forward *f = arg;
    const whet_i_network_rows *network = f->network;
    const struct worker *w = &f->workers[worker];
    const int64_t first = block * BLOCK, rows = whet_i_block_rows(f->n, BLOCK, block);
    const whet_i_batch batch = {.rows = {1, rows, 0}, .feeds = {w->fed}, .loss_scale = 1};
    for (int64_t i = 0; i < rows; i++)
        network->fill(network->arg, first + i, worker, w->fed + i * network->d);
    whet_i_executor_run(w->executor, &batch);
    memcpy(f->out + first * f->columns, whet_i_executor_value(w->executor, network->value),
           (size_t)(rows * f->columns) * sizeof *f->out);
}

/* Infinite where weights are not numbers, or where a variance among them is negative. */
static whet_status check_finite(whet_ctx *ctx, const forward *f) {
    for (int64_t i = 0; i < f->n * f->columns; i++)
        if (!isfinite(f->out[i]))
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "feature %" PRId64 " of image %" PRId64
                               " is %g; expected a number; the weights of the %s are no trained "
                               "network's",
                               i % f->columns, i / f->columns, (double)f->out[i],
                               f->network->stage);
    return WHET_OK;
}

whet_status whet_i_network_rows_run(whet_ctx *ctx, const whet_i_network_rows *network, int64_t n,
                                    float *out) {
    forward f = {.network = network,
                 .n = n,
                 .columns = whet_i_columns(network->graph, network->value),
                 .out = out};
    const whet_i_plan_opts opts = plan_opts(&network->value, BLOCK);
    const int64_t blocks = whet_i_blocks(n, BLOCK);
    int64_t workers = 0, cells;
    whet_i_plan *plan = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_mul(ctx, BLOCK, network->d, &cells));
    WHET_TRY_DONE(whet_i_plan_create(ctx, network->graph, &opts, &plan));
    WHET_TRY_DONE(whet_i_calloc(ctx, whet_ctx_threads(ctx), &f.workers));
    for (; workers < whet_ctx_threads(ctx) && workers < blocks; workers++) {
        WHET_TRY_DONE(whet_i_alloc(ctx, cells, &f.workers[workers].fed));
        WHET_TRY_DONE(whet_i_executor_create(ctx, plan, &f.workers[workers].executor));
    }
    WHET_TRY_DONE(whet_i_parallel_for(ctx, network->stage, blocks, run_block, &f));
    status = check_finite(ctx, &f);
done:
    for (int64_t i = 0; f.workers && i < whet_ctx_threads(ctx); i++) {
        whet_i_executor_destroy(ctx, f.workers[i].executor);
        whet_i_free(ctx, f.workers[i].fed);
    }
    whet_i_free(ctx, f.workers);
    whet_i_plan_destroy(ctx, plan);
    return status;
}

whet_status whet_i_network_put(whet_ctx *ctx, const whet_i_params *params, whet_i_store *store) {
    for (int64_t i = 0; i < params->n; i++) {
        const whet_i_param *p = &params->items[i];
        whet_tensor view = p->source;
        if (p->values) {
            view = (whet_tensor){.data = p->values, .dtype = WHET_F32, .rank = p->rank};
            memcpy(view.shape, p->shape, sizeof p->shape);
        }
        WHET_TRY(whet_i_store_put_tensor(ctx, store, p->name, &view));
    }
    return WHET_OK;
}
