/* SPDX-License-Identifier: Apache-2.0
 * The data of a simulated market: images or vectors with labels. Bytes stay bytes, a quarter of the memory,
 * and become numbers as they are fed: x / 255, less the mean, by the deviation of a channel. The broker's
 * examples are drawn from the training file and taken away from everybody; the test file only reports
 * (reference: it also chooses and judges). */
#include <inttypes.h>
#include <math.h>

#include "market/trading_i.h"

enum { PADDING = 4 };

/* ---- reading --------------------------------------------------------------------------------- */

static whet_status read_x(whet_ctx *ctx, const char *path, whet_tensor *out, whet_i_image *image) {
    whet_tensor raw = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_array_read(ctx, path, &raw));
    if (raw.rank < 2 || raw.rank > 4 || whet_tensor_count(&raw) == 0) {
        status = whet_i_fail(ctx, WHET_ERR_SHAPE,
                             "%s: %d dimensions, %" PRId64
                             " numbers; expected examples of vectors [n, d] or of images "
                             "[n, h, w] or [n, h, w, channels]",
                             path, (int)raw.rank, whet_tensor_count(&raw));
        goto done;
    }
    image->height = raw.rank > 2 ? raw.shape[1] : 1;
    image->width = raw.rank > 2 ? raw.shape[2] : 1;
    image->channels = raw.rank == 2 ? raw.shape[1] : raw.rank == 4 ? raw.shape[3] : 1;
    if (raw.dtype == WHET_U8) {
        *out = raw;
        return WHET_OK;
    }
    WHET_TRY_DONE(whet_tensor_convert(ctx, &raw, WHET_F32, out));
done:
    whet_tensor_destroy(ctx, &raw);
    return status;
}

static whet_status read_y(whet_ctx *ctx, const char *path, int64_t n, const char *of,
                          whet_tensor *out) {
    WHET_TRY(whet_array_read_as(ctx, path, WHET_I32, 1, false, out));
    if (out->shape[0] != n)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: %" PRId64 " labels; expected %" PRId64 ", one an example of %s",
                           path, out->shape[0], n, of);
    const int32_t *y = out->data;
    for (int64_t i = 0; i < n; i++)
        if (y[i] < 0 || y[i] >= WHET_I_CLASSES_MAX)
            return whet_i_fail(ctx, WHET_ERR_DATA, "%s: label %" PRId64 " is %d; expected 0 to %d",
                               path, i, (int)y[i], WHET_I_CLASSES_MAX - 1);
    return WHET_OK;
}

/* A number of channel c becomes x scale + shift; reals are changed once, here. */
static whet_status scale_reals(whet_ctx *ctx, const char *path, const whet_i_market_data *data,
                               whet_tensor *x) {
    const int64_t n = whet_tensor_count(x), channels = data->image.channels;
    float *at = x->data;
    if (x->dtype == WHET_U8) return WHET_OK;
    for (int64_t i = 0; i < n; i++) {
        const int64_t c = channels <= 3 ? i % channels : 0;
        if (!isfinite(at[i]))
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: number %" PRId64 " of example %" PRId64
                               " is not finite; expected numbers",
                               path, i % data->d, i / data->d);
        at[i] = at[i] * data->scale[c] + data->shift[c];
    }
    return WHET_OK;
}

static whet_status set_scales(whet_ctx *ctx, const whet_trading_config *config,
                              whet_i_market_data *data) {
    const int64_t channels = data->image.channels <= 3 ? data->image.channels : 1;
    const double unit = data->train_x.dtype == WHET_U8 ? 255 : 1;
    const int32_t means = config->n_mean, stds = config->n_std;
    if ((means > 1 && means != channels) || (stds > 1 && stds != channels))
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: \"data\": %d means and %d deviations for examples of %" PRId64
                           " channels; expected one of each, or one a channel",
                           config->path, (int)means, (int)stds, data->image.channels);
    for (int64_t c = 0; c < 3; c++) {
        const double mean = means ? config->mean[means > 1 ? c : 0] : 0;
        const double std = stds ? config->std[stds > 1 ? c : 0] : 1;
        data->scale[c] = (float)(1 / (unit * std));
        data->shift[c] = (float)(-mean / std);
    }
    return WHET_OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void convert_bytes(const whet_i_market_data *data, const uint8_t *from, int64_t n,
                          float *to) {
    const int64_t channels = data->image.channels;
    if (channels == 3) {
        for (int64_t i = 0; i + 3 <= n; i += 3)
            for (int64_t c = 0; c < 3; c++)
                to[i + c] = (float)from[i + c] * data->scale[c] + data->shift[c];
        return;
    }
    if (channels == 2) {
        for (int64_t i = 0; i < n; i++)
            to[i] = (float)from[i] * data->scale[i % 2] + data->shift[i % 2];
        return;
    }
    const float scale = data->scale[0], shift = data->shift[0];
    for (int64_t i = 0; i < n; i++) to[i] = (float)from[i] * scale + shift;
}

static void take(const whet_i_market_data *data, const whet_tensor *x, int64_t first, int64_t n,
                 float *to) {
    if (x->dtype == WHET_U8)
        convert_bytes(data, (const uint8_t *)x->data + first, n, to);
    else
        memcpy(to, (const float *)x->data + first, (size_t)n * sizeof *to);
}

/* Cut out of the image with a border of black, 0..8 rows and columns off, and turned left to right by half.
 * */
static void take_moved(const whet_i_market_data *data, int64_t i, uint64_t key, float *to) {
    const whet_i_image *m = &data->image;
    const uint64_t draw = whet_i_hash_u64(key);
    const int64_t down = (int64_t)(draw % (2 * PADDING + 1)) - PADDING;
    const int64_t right = (int64_t)((draw >> 20) % (2 * PADDING + 1)) - PADDING;
    const bool turn = draw >> 40 & 1;
    for (int64_t y = 0; y < m->height; y++)
        for (int64_t x = 0; x < m->width; x++) {
            const int64_t from_y = y + down, from_x = (turn ? m->width - 1 - x : x) + right;
            float *at = to + (y * m->width + x) * m->channels;
            if (from_y < 0 || from_y >= m->height || from_x < 0 || from_x >= m->width)
                for (int64_t c = 0; c < m->channels; c++) at[c] = data->shift[c % 3];
            else
                take(data, &data->train_x, i * data->d + (from_y * m->width + from_x) * m->channels,
                     m->channels, at);
        }
}

void whet_i_market_row(const whet_i_market_data *data, int64_t i, bool augment, uint64_t key,
                       float *to) {
    if (augment)
        take_moved(data, i, key, to);
    else
        take(data, &data->train_x, i * data->d, data->d, to);
}

/* ---- what is held back ----------------------------------------------------------------------- */

/* Rows of x and y as an agent's: all, or those of its task by its labels. rows NULL: 0, 1, .. */
static whet_status hold(whet_ctx *ctx, const whet_i_market_data *data, const whet_tensor *x,
                        const int32_t *y, const int64_t *rows, int64_t n, const whet_i_agent *agent,
                        whet_i_examples *out) {
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, n, data->d, &cells));
    out->owned = true;
    WHET_TRY(whet_i_alloc(ctx, cells, &out->x));
    WHET_TRY(whet_i_alloc(ctx, n, &out->labels));
    for (int64_t i = 0; i < n; i++) {
        const int64_t row = rows ? rows[i] : i;
        const int32_t label = agent && agent->relabel ? agent->relabel[y[row]] : y[row];
        if (label < 0) continue;
        take(data, x, row * data->d, data->d, out->x + out->n * data->d);
        out->labels[out->n++] = label;
    }
    return WHET_OK;
}

/* For one purpose: what the bank has, what agents with their own task have, and views for the others. */
static whet_status hold_for(whet_ctx *ctx, const whet_trading_config *config, int purpose,
                            const whet_tensor *x, const int32_t *y, const int64_t *rows, int64_t n,
                            whet_i_market_data *data) {
    whet_i_examples *held = data->held[purpose], *all = &held[config->n_agents];
    WHET_TRY(hold(ctx, data, x, y, rows, n, NULL, all));
    for (int64_t i = 0; i < config->n_agents; i++) {
        held[i] = (whet_i_examples){all->x, all->labels, all->n, false};
        if (!config->agents[i].relabel) continue;
        held[i] = (whet_i_examples){0};
        WHET_TRY(hold(ctx, data, x, y, rows, n, &config->agents[i], &held[i]));
        if (held[i].n < 2)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: agent \"%s\": %" PRId64
                               " of the %s examples are of its task; expected 2 at least",
                               config->path, config->agents[i].name, held[i].n,
                               purpose == WHET_I_FOR_TEST ? "test" : "broker's");
    }
    return WHET_OK;
}

/* The broker's rows, drawn; marked in `held`. */
static whet_status hold_broker(whet_ctx *ctx, const whet_trading_config *config, uint8_t *marked,
                               whet_i_market_data *data) {
    const int64_t n = config->select + config->gate;
    int64_t *order = NULL;
    whet_i_rng rng;
    whet_status status = WHET_OK;
    if (n > data->n_train / 2)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: \"broker\": its %" PRId64
                           " examples are more than half of the %" PRId64 " of %s; expected less",
                           config->path, n, data->n_train, config->train_x);
    WHET_TRY_DONE(whet_i_alloc(ctx, data->n_train, &order));
    for (int64_t i = 0; i < data->n_train; i++) order[i] = i;
    whet_i_rng_init(&rng, data->split_seed, 0);
    whet_i_rng_shuffle(&rng, order, data->n_train);
    for (int64_t i = 0; i < n; i++) marked[order[i]] = 1;
    WHET_TRY_DONE(hold_for(ctx, config, WHET_I_FOR_SELECT, &data->train_x, data->train_y.data,
                           order, config->select, data));
    WHET_TRY_DONE(hold_for(ctx, config, WHET_I_FOR_GATE, &data->train_x, data->train_y.data,
                           order + config->select, config->gate, data));
done:
    whet_i_free(ctx, order);
    return status;
}

static whet_status hold_test(whet_ctx *ctx, const whet_trading_config *config,
                             whet_i_market_data *data) {
    whet_tensor x = {0}, y = {0};
    whet_i_image image;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(read_x(ctx, config->test_x, &x, &image));
    if (image.height != data->image.height || image.width != data->image.width ||
        image.channels != data->image.channels || x.dtype != data->train_x.dtype) {
        status = whet_i_fail(
            ctx, WHET_ERR_SHAPE,
            "%s: examples of %" PRId64 " x %" PRId64 " x %" PRId64
            " %s; expected those of %s, %" PRId64 " x %" PRId64 " x %" PRId64 " %s",
            config->test_x, image.height, image.width, image.channels, whet_dtype_name(x.dtype),
            config->train_x, data->image.height, data->image.width, data->image.channels,
            whet_dtype_name(data->train_x.dtype));
        goto done;
    }
    WHET_TRY_DONE(read_y(ctx, config->test_y, x.shape[0], config->test_x, &y));
    const int32_t *labels = y.data;
    for (int64_t i = 0; i < y.shape[0]; i++)
        if (labels[i] >= data->classes) {
            status =
                whet_i_fail(ctx, WHET_ERR_DATA,
                            "%s: label %" PRId64 " is %d; expected 0 to %" PRId64 " as in %s",
                            config->test_y, i, (int)labels[i], data->classes - 1, config->train_y);
            goto done;
        }
    WHET_TRY_DONE(scale_reals(ctx, config->test_x, data, &x));
    data->hash ^=
        whet_i_hash_bytes(x.data, whet_tensor_count(&x) * (int64_t)whet_dtype_size(x.dtype));
    data->hash ^=
        whet_i_hash_u64(whet_i_hash_bytes(y.data, y.shape[0] * (int64_t)sizeof(int32_t)) + 1);
    WHET_TRY_DONE(hold_for(ctx, config, WHET_I_FOR_TEST, &x, labels, NULL, x.shape[0], data));
done:
    whet_tensor_destroy(ctx, &x);
    whet_tensor_destroy(ctx, &y);
    return status;
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* The reference chooses on the test examples. */
static void lend_test(const whet_trading_config *config, whet_i_market_data *data) {
    for (int64_t i = 0; i <= config->n_agents; i++) {
        data->held[WHET_I_FOR_SELECT][i] = data->held[WHET_I_FOR_TEST][i];
        data->held[WHET_I_FOR_SELECT][i].owned = false;
    }
}

static whet_status read_train(whet_ctx *ctx, const whet_trading_config *config,
                              whet_i_market_data *data) {
    WHET_TRY(read_x(ctx, config->train_x, &data->train_x, &data->image));
    data->n_train = data->train_x.shape[0];
    data->d = whet_tensor_count(&data->train_x) / data->n_train;
    WHET_TRY(read_y(ctx, config->train_y, data->n_train, config->train_x, &data->train_y));
    const int32_t *y = data->train_y.data;
    for (int64_t i = 0; i < data->n_train; i++)
        if (y[i] >= data->classes) data->classes = y[i] + 1;
    for (int64_t i = 0; i < config->n_agents; i++) {
        const whet_i_agent *a = &config->agents[i];
        if (!a->relabel && data->classes > data->outputs) data->outputs = data->classes;
        for (int64_t c = 0; a->relabel && c < a->n_relabel; c++)
            if (a->relabel[c] >= data->outputs) data->outputs = a->relabel[c] + 1;
    }
    if (config->augment && data->train_x.rank < 3)
        return whet_i_fail(
            ctx, WHET_ERR_DATA,
            "%s: \"data\": \"augment\" crop-flip, and %s has vectors; expected images",
            config->path, config->train_x);
    WHET_TRY(set_scales(ctx, config, data));
    WHET_TRY(scale_reals(ctx, config->train_x, data, &data->train_x));
    data->hash =
        whet_i_hash_bytes(data->train_x.data, whet_tensor_count(&data->train_x) *
                                                  (int64_t)whet_dtype_size(data->train_x.dtype)) +
        whet_i_hash_bytes(data->train_y.data, data->n_train * (int64_t)sizeof(int32_t));
    return WHET_OK;
}

/* Who has what; test: the test examples are to be read. */
static whet_status draw(whet_ctx *ctx, const whet_trading_config *config, bool test,
                        whet_i_market_data *data) {
    uint8_t *held = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_calloc(ctx, data->n_train, &held));
    if (!config->reference) WHET_TRY_DONE(hold_broker(ctx, config, held, data));
    if (test) WHET_TRY_DONE(hold_test(ctx, config, data));
    if (config->reference) lend_test(config, data);
    WHET_TRY_DONE(whet_i_market_split(ctx, config, held, data));
done:
    whet_i_free(ctx, held);
    return status;
}

whet_status whet_i_market_data_read(whet_ctx *ctx, const whet_trading_config *config,
                                    whet_i_market_data *data) {
    *data = (whet_i_market_data){0};
    data->split_seed = config->split_each ? config->seeds[0] : config->split_seed;
    WHET_TRY(read_train(ctx, config, data));
    return draw(ctx, config, true, data);
}

whet_status whet_i_market_data_again(whet_ctx *ctx, const whet_trading_config *config,
                                     const whet_i_market_data *from, uint64_t split_seed,
                                     whet_i_market_data *out) {
    *out = *from;
    out->split_seed = split_seed;
    out->again = true;
    memset(out->rows, 0, sizeof out->rows);
    memset(out->held, 0, sizeof out->held);
    for (int64_t i = 0; i <= config->n_agents; i++) {
        out->held[WHET_I_FOR_TEST][i] = from->held[WHET_I_FOR_TEST][i];
        out->held[WHET_I_FOR_TEST][i].owned = false;
    }
    return draw(ctx, config, false, out);
}

void whet_i_market_data_free(whet_ctx *ctx, whet_i_market_data *data) {
    for (int64_t i = 0; i <= WHET_I_AGENTS_MAX; i++) {
        whet_i_free(ctx, data->rows[i]);
        for (int p = 0; p < WHET_I_PURPOSES; p++) {
            if (!data->held[p][i].owned) continue;
            whet_i_free(ctx, data->held[p][i].x);
            whet_i_free(ctx, data->held[p][i].labels);
        }
    }
    if (!data->again) {
        whet_tensor_destroy(ctx, &data->train_x);
        whet_tensor_destroy(ctx, &data->train_y);
    }
    *data = (whet_i_market_data){0};
}
