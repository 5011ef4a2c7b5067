/* SPDX-License-Identifier: Apache-2.0
 * Features of images from a variational autoencoder that is trained on them (Kingma & Welling 2014): the
 * posterior's mean. The network (nn/model_vae.c), the loss and the training are those of the
 * weak-supervision benchmark: 1024 times the mean square of what a pixel is off, plus the divergence;
 * Adam at .005 in batches of 144, 20 epochs, the rate cut when an epoch's loss stops falling.
 * Legend: n rows, d numbers a row. */
#include <inttypes.h>
#include <math.h>

#include "label/image_features.h"
#include "label/network_rows.h"

enum { BATCH = 144, EPOCHS = 20, LATENT = 128 };

static const double RATE = .005, PIXEL_WEIGHT = 1024;

struct whet_i_vae_map {
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_value mean; /* [B, LATENT] */
    int64_t d;
};

typedef struct training {
    whet_i_vae_map *map;
    const float *x; /* [n, d] */
    int64_t n;
    uint64_t seed;
    whet_i_value loss;
    whet_i_plan *plan;
    whet_i_executor *executor;
    whet_i_optimizer *optimizer;
    whet_i_batches batches; /* of an epoch */
    int64_t *lengths;       /* [n] ones */
    float *fed;             /* [BATCH, d] */
    int64_t step, total;
} training;

void whet_i_vae_map_destroy(whet_ctx *ctx, whet_i_vae_map *map) {
    if (!map) return;
    whet_i_graph_destroy(ctx, map->graph);
    whet_i_params_destroy(ctx, map->params);
    whet_i_free(ctx, map);
}

int64_t whet_i_vae_map_dim(const whet_i_vae_map *map) {
    return whet_i_columns(map->graph, map->mean);
}

/* ---- the network ------------------------------------------------------------------------------ */

/* 784-392-196-128-128, and in proportion, but no layer narrower than what it shall carry. */
static whet_i_model_settings settings_for(int64_t d) {
    whet_i_model_settings s = {.image = {1, 1, d}, .n_widths = 4};
    s.widths[0] = d / 2 > LATENT ? d / 2 : LATENT;
    s.widths[1] = d / 4 > LATENT ? d / 4 : LATENT;
    s.widths[2] = s.widths[3] = LATENT;
    return s;
}

static whet_status record(whet_ctx *ctx, whet_i_vae_map *map, whet_i_value *x,
                          whet_i_model_values *v) {
    const whet_i_model_settings settings = settings_for(map->d);
    WHET_TRY(whet_i_params_create(ctx, WHET_F32, &map->params));
    WHET_TRY(whet_i_graph_create(ctx, map->params, &map->graph));
    WHET_TRY(whet_i_graph_feed(ctx, map->graph, false, WHET_I_EXAMPLES, map->d, x));
    WHET_TRY(whet_i_model_record(ctx, map->graph, whet_i_model_find("vae"), &settings, *x, v));
    map->mean = v->features;
    return WHET_OK;
}

static whet_status record_loss(whet_ctx *ctx, training *t) {
    const whet_i_vae_loss_spec spec = {false, PIXEL_WEIGHT};
    whet_i_model_values v;
    whet_i_value x;
    WHET_TRY(record(ctx, t->map, &x, &v));
    return whet_i_vae_loss(ctx, t->map->graph, v.logits, x, v.features, v.log_variance, &spec,
                           &t->loss);
}

/* Values, gradients, two moments and two packed forms: refused before they are made. */
static whet_status settle(whet_ctx *ctx, training *t) {
    whet_i_params *params = t->map->params;
    const double bytes = 6 * sizeof(float);
    for (int64_t i = 0; i < params->n; i++)
        params->items[i].trainable = !params->items[i].statistics;
    WHET_TRY(whet_i_check_room(ctx, "training the autoencoder",
                               bytes * (double)whet_i_params_trainable(params), "smaller images"));
    return whet_i_params_settle(ctx, params, t->seed);
}

static whet_status prepare(whet_ctx *ctx, training *t) {
    whet_i_optimizer_settings adam = WHET_I_OPTIMIZER_SETTINGS_INIT;
    const int64_t rows = t->n < BATCH ? t->n : BATCH;
    int64_t cells;
    adam.weight_decay = 0;
    WHET_TRY(record_loss(ctx, t));
    WHET_TRY(settle(ctx, t));
    const whet_i_plan_opts opts = {
        .sizes = {.rows = {1, rows, 0}, .workers = whet_ctx_threads(ctx)}, .loss = t->loss};
    WHET_TRY(whet_i_plan_create(ctx, t->map->graph, &opts, &t->plan));
    WHET_TRY(whet_i_executor_create(ctx, t->plan, &t->executor));
    WHET_TRY(whet_i_params_pack(ctx, t->map->params));
    WHET_TRY(whet_i_optimizer_create(ctx, t->map->params, &adam, &t->optimizer));
    WHET_TRY(whet_i_mul(ctx, rows, t->map->d, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &t->fed));
    WHET_TRY(whet_i_alloc(ctx, t->n, &t->lengths));
    for (int64_t i = 0; i < t->n; i++) t->lengths[i] = 1;
    return WHET_OK;
}

static void release(whet_ctx *ctx, training *t) {
    whet_i_batches_free(ctx, &t->batches);
    whet_i_free(ctx, t->lengths);
    whet_i_free(ctx, t->fed);
    whet_i_optimizer_destroy(ctx, t->optimizer);
    whet_i_executor_destroy(ctx, t->executor);
    whet_i_plan_destroy(ctx, t->plan);
}

/* ---- training --------------------------------------------------------------------------------- */

/* One step on examples order[0..rows); *sum grows by rows times their loss. */
static whet_status take_step(whet_ctx *ctx, training *t, const int64_t *order, int64_t rows,
                             double rate, double *sum) {
    const int64_t d = t->map->d;
    const whet_i_batch batch = {.rows = {1, rows, 0},
                                .feeds = {t->fed},
                                .loss_scale = 1,
                                .train = true,
                                .seed =
                                    whet_i_hash_u64(t->seed ^ whet_i_hash_u64((uint64_t)t->step))};
    double norm;
    for (int64_t i = 0; i < rows; i++)
        memcpy(t->fed + i * d, t->x + order[i] * d, (size_t)d * sizeof *t->fed);
    whet_i_executor_run(t->executor, &batch);
    const double loss = (double)whet_i_executor_value(t->executor, t->loss)[0];
    if (!isfinite(loss))
        return whet_i_fail(ctx, WHET_ERR_NUMERIC,
                           "step %" PRId64 " of the autoencoder: the loss is %g; expected a "
                           "number; try another seed",
                           t->step + 1, loss);
    WHET_TRY(whet_i_optimizer_step(ctx, t->optimizer, rate, &norm));
    WHET_TRY(whet_i_params_pack(ctx, t->map->params));
    *sum += (double)rows * loss;
    return WHET_OK;
}

/* *loss: the mean over the epoch's rows, as they came. */
static whet_status run_epoch(whet_ctx *ctx, training *t, int64_t epoch, double rate, double *loss) {
    const whet_i_batches_opts opts = {.batch_size = BATCH,
                                      .token_budget = BATCH,
                                      .shuffle = true,
                                      .seed = t->seed,
                                      .epoch = epoch};
    double sum = 0;
    int64_t done = 0;
    whet_i_batches_free(ctx, &t->batches);
    WHET_TRY(whet_i_batches_make(ctx, t->lengths, t->n, &opts, &t->batches));
    const whet_i_batches *b = &t->batches;
    t->total = EPOCHS * b->n_micro;
    for (int64_t m = 0; m < b->n_micro; m++) {
        const int64_t first = b->micro_start[m], rows = b->micro_start[m + 1] - first;
        WHET_TRY(whet_i_progress(ctx, "train the autoencoder", t->step, t->total));
        /* A single row, which normalised by itself is nothing: it is in another batch next time. */
        if (rows > 1) {
            WHET_TRY(take_step(ctx, t, b->order + first, rows, rate, &sum));
            done += rows;
        }
        t->step++;
    }
    *loss = sum / (double)done;
    whet_i_note(ctx, "epoch %" PRId64 "  loss %.3f", epoch + 1, *loss);
    return WHET_OK;
}

static whet_status train(whet_ctx *ctx, training *t) {
    whet_i_plateau plateau = WHET_I_PLATEAU_INIT;
    double rate = RATE, loss = 0;
    for (int64_t epoch = 0; epoch < EPOCHS; epoch++) {
        WHET_TRY(run_epoch(ctx, t, epoch, rate, &loss));
        rate = whet_i_plateau_next(&plateau, rate, loss);
    }
    whet_i_log(ctx, WHET_LOG_INFO, "autoencoder: loss %.3f in the last of %d epochs", loss, EPOCHS);
    return whet_i_progress(ctx, "train the autoencoder", t->total, t->total);
}

whet_status whet_i_vae_map_fit(whet_ctx *ctx, const float *x, int64_t n, int64_t d, uint64_t seed,
                               whet_i_vae_map **out) {
    training t = {.x = x, .n = n, .seed = seed};
    whet_status status = WHET_OK;
    if (n < 2 || d < 1)
        return whet_i_fail(
            ctx, WHET_ERR_DATA,
            "autoencoder: %" PRId64 " rows of %" PRId64 " numbers; expected at least 2 rows", n, d);
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &t.map));
    t.map->d = d;
    WHET_TRY_DONE(prepare(ctx, &t));
    WHET_TRY_DONE(train(ctx, &t));
    WHET_TRY_DONE(whet_i_network_pack(ctx, t.map->graph, t.map->mean));
    *out = t.map;
    t.map = NULL;
done:
    release(ctx, &t);
    whet_i_vae_map_destroy(ctx, t.map);
    return status;
}

/* ---- to a file and back ------------------------------------------------------------------------ */

whet_status whet_i_vae_map_put(whet_ctx *ctx, const whet_i_vae_map *map, whet_i_store *store) {
    return whet_i_network_put(ctx, map->params, store);
}

static whet_status get(whet_ctx *ctx, const whet_i_source *source, whet_i_vae_map *map) {
    whet_i_model_values v;
    whet_i_value x;
    WHET_TRY(record(ctx, map, &x, &v));
    for (int64_t i = 0; i < map->params->n; i++) map->params->items[i].init = WHET_I_INIT_REQUIRED;
    WHET_TRY(whet_i_params_bind(ctx, map->params, source->file, source->path, "", NULL));
    WHET_TRY(whet_i_params_settle(ctx, map->params, 0));
    return whet_i_network_pack(ctx, map->graph, map->mean);
}

whet_status whet_i_vae_map_get(whet_ctx *ctx, const whet_i_source *source, int64_t d,
                               whet_i_vae_map **out) {
    whet_i_vae_map *map = NULL;
    WHET_TRY(whet_i_calloc(ctx, 1, &map));
    map->d = d;
    const whet_status status = get(ctx, source, map);
    if (status == WHET_OK)
        *out = map;
    else
        whet_i_vae_map_destroy(ctx, map);
    return status;
}

/* ---- application ------------------------------------------------------------------------------ */

typedef struct rows_of {
    const float *x;
    int64_t d;
} rows_of;

static void fill(void *arg, int64_t i, int32_t worker, float *out) {
    const rows_of *rows = arg;
    (void)worker;
    memcpy(out, rows->x + i * rows->d, (size_t)rows->d * sizeof *out);
}

whet_status whet_i_vae_map_apply(whet_ctx *ctx, const whet_i_vae_map *map, const float *x,
                                 int64_t n, float *out) {
    rows_of rows = {x, map->d};
    const whet_i_network_rows network = {"autoencoder", map->graph, map->mean, map->d, fill, &rows};
    return whet_i_network_rows_run(ctx, &network, n, out);
}
