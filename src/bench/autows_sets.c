/* SPDX-License-Identifier: Apache-2.0
 * The data sets of the AutoWS comparison, and reading one. Another set is a row of the table.
 * Legend: n rows, d columns, k classes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/autows_i.h"

/* Flows: as many of each kind. */
enum { FLOWS = 700, FLOW_GRID = 64 };

const whet_i_set whet_i_sets[] = {
    {.name = "youtube",
     .kind = WHET_I_SET_TEXTS,
     .train = "youtube/train.tsv",
     .test = "youtube/test.tsv",
     .text = "text",
     .label = "label",
     .meanings = "0=a comment on the video|1=spam, an advertisement",
     .published = "youtube"},
    {.name = "sms_spam",
     .kind = WHET_I_SET_TEXTS,
     .train = "sms_spam/all.tsv",
     .text = "text",
     .label = "label",
     .meanings = "ham=a message to a friend|spam=spam, an advertisement"},
    {.name = "imdb2000",
     .kind = WHET_I_SET_TEXTS,
     .train = "imdb2000/all.tsv",
     .text = "text",
     .label = "label",
     .meanings = "neg=a negative review|pos=a positive review",
     .published = "imdb",
     .similar = true},
    {.name = "agnews",
     .kind = WHET_I_SET_TEXTS,
     .train = "agnews/train10k.tsv",
     .test = "agnews/test.tsv",
     .text = "text",
     .label = "label",
     .meanings =
         "World=world news|Sports=sports|Business=business|Sci/Tech=science and technology"},
    {.name = "trec",
     .kind = WHET_I_SET_TEXTS,
     .train = "trec/train.tsv",
     .test = "trec/test.tsv",
     .text = "text",
     .label = "coarse",
     .meanings =
         "ABBR=abbreviation|DESC=description|ENTY=entity|HUM=human|LOC=location|NUM=number"},
    {.name = "mnist",
     .kind = WHET_I_SET_IMAGES,
     .train = "mnist/train_x.npy",
     .test = "mnist/test_x.npy",
     .train_labels = "mnist/train_y.npy",
     .test_labels = "mnist/test_y.npy",
     .published = "mnist"},
    {.name = "permuted_mnist",
     .kind = WHET_I_SET_IMAGES,
     .train = "mnist/train_x.npy",
     .test = "mnist/test_x.npy",
     .train_labels = "mnist/train_y.npy",
     .test_labels = "mnist/test_y.npy",
     .change = WHET_I_IMAGE_PERMUTED,
     .published = "permuted"},
    {.name = "spherical_mnist",
     .kind = WHET_I_SET_IMAGES,
     .train = "mnist/train_x.npy",
     .test = "mnist/test_x.npy",
     .train_labels = "mnist/train_y.npy",
     .test_labels = "mnist/test_y.npy",
     .change = WHET_I_IMAGE_SPHERICAL,
     .published = "spherical"},
    {.name = "cifar10",
     .kind = WHET_I_SET_IMAGES,
     .train = "cifar10/train_x.npy",
     .test = "cifar10/test_x.npy",
     .train_labels = "cifar10/train_y.npy",
     .test_labels = "cifar10/test_y.npy",
     .of_cifar = true,
     .published = "cifar10"},
    {.name = "adult",
     .kind = WHET_I_SET_TABLE,
     .train = "adult/train.csv",
     .test = "adult/test.csv",
     .label = "Y"},
    {.name = "clamp_malware",
     .kind = WHET_I_SET_TABLE,
     .train = "clamp_malware/all.csv",
     .label = "class"},
    {.name = "ecg200",
     .kind = WHET_I_SET_SERIES,
     .train = "ucr_ECG200/train_x.npy",
     .test = "ucr_ECG200/test_x.npy",
     .train_labels = "ucr_ECG200/train_y.npy",
     .test_labels = "ucr_ECG200/test_y.npy",
     .joined = true},
    {.name = "gunpoint",
     .kind = WHET_I_SET_SERIES,
     .train = "ucr_GunPoint/train_x.npy",
     .test = "ucr_GunPoint/test_x.npy",
     .train_labels = "ucr_GunPoint/train_y.npy",
     .test_labels = "ucr_GunPoint/test_y.npy",
     .joined = true},
    {.name = "navier_stokes", .kind = WHET_I_SET_FLOWS, .published = "navier"},
};

int64_t whet_i_set_count(void) { return WHET_COUNT_OF(whet_i_sets); }

bool whet_i_set_there(whet_ctx *ctx, const char *folder, const whet_i_set *set) {
    char *path;
    if (!set->train) return true; /* made */
    if (whet_i_join_path(ctx, folder, set->train, &path) != WHET_OK) return false;
    const bool there = access(path, R_OK) == 0;
    whet_i_free(ctx, path);
    return there;
}

/* ---- tables ------------------------------------------------ */

/* Labels of table `part`, whose first row is row `first` of the set. */
static whet_status place_labels(whet_ctx *ctx, whet_i_set_data *data,
                                const whet_i_given_labels *given, int64_t first) {
    for (int64_t i = 0; i < given->n; i++) {
        const int64_t c = whet_names_find(data->classes, given->items[i].name);
        char quoted[WHET_QUOTE_SIZE];
        if (c < 0)
            return whet_i_fail(ctx, WHET_ERR_DATA, "%s:%" PRId64 ": %s; expected a class of %s",
                               given->path, given->items[i].line,
                               whet_i_quote(quoted, given->items[i].name),
                               whet_table_path(data->table[0]));
        data->y[first + given->items[i].row] = (int32_t)c;
    }
    return WHET_OK;
}

static whet_status read_labels(whet_ctx *ctx, whet_i_set_data *data, int64_t tables) {
    whet_i_given_labels given[2] = {{0}, {0}};
    whet_status status = WHET_OK;
    for (int64_t t = 0; t < tables; t++) {
        int64_t column;
        WHET_TRY_DONE(whet_table_find(ctx, data->table[t], data->set->label, &column));
        WHET_TRY_DONE(whet_i_labels_of_column(ctx, data->table[t], column, &given[t]));
    }
    WHET_TRY_DONE(whet_i_labels_classes(ctx, &given[0], &data->classes));
    for (int64_t t = 0; t < tables; t++)
        WHET_TRY_DONE(place_labels(ctx, data, &given[t], t ? whet_table_rows(data->table[0]) : 0));
done:
    whet_i_free(ctx, given[0].items);
    whet_i_free(ctx, given[1].items);
    return status;
}

static whet_status take_texts(whet_ctx *ctx, whet_i_set_data *data, int64_t tables) {
    WHET_TRY(whet_i_alloc(ctx, data->n, &data->texts));
    for (int64_t t = 0, at = 0; t < tables; t++) {
        int64_t column;
        WHET_TRY(whet_table_find(ctx, data->table[t], data->set->text, &column));
        for (int64_t i = 0; i < whet_table_rows(data->table[t]); i++)
            data->texts[at++] = whet_table_cell(data->table[t], i, column);
    }
    return WHET_OK;
}

static whet_status read_tables(whet_ctx *ctx, const char *folder, whet_i_set_data *data) {
    const char *names[2] = {data->set->train, data->set->test};
    const int64_t tables = names[1] ? 2 : 1;
    for (int64_t t = 0; t < tables; t++) {
        char *path;
        WHET_TRY(whet_i_join_path(ctx, folder, names[t], &path));
        const whet_status status = whet_table_read(ctx, path, &data->table[t]);
        whet_i_free(ctx, path);
        WHET_TRY(status);
        data->n += whet_table_rows(data->table[t]);
    }
    data->n_train = whet_table_rows(data->table[0]);
    WHET_TRY(whet_i_alloc(ctx, data->n, &data->y));
    for (int64_t i = 0; i < data->n; i++) data->y[i] = -1;
    WHET_TRY(read_labels(ctx, data, tables));
    if (data->set->kind == WHET_I_SET_TEXTS) return take_texts(ctx, data, tables);
    return whet_i_mixed_table(ctx, data->table, tables, data->set->label, &data->numbers, &data->d);
}

/* ---- arrays ------------------------------------------------ */

static int by_value(const void *a, const void *b) {
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Values in `raw` [n] become classes 0..k-1 in rising order. */
static whet_status number_classes(whet_ctx *ctx, whet_i_set_data *data) {
    int32_t *sorted;
    int64_t k = 0;
    WHET_TRY(whet_i_alloc(ctx, data->n, &sorted));
    memcpy(sorted, data->y, (size_t)data->n * sizeof *sorted);
    qsort(sorted, (size_t)data->n, sizeof *sorted, by_value);
    for (int64_t i = 0; i < data->n; i++)
        if (i == 0 || sorted[i] != sorted[i - 1]) sorted[k++] = sorted[i];
    whet_status status = whet_names_create(ctx, &data->classes);
    for (int64_t c = 0; status == WHET_OK && c < k; c++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%" PRId32, sorted[c]);
        status = whet_names_add(ctx, data->classes, whet_str_from(name), NULL);
    }
    for (int64_t i = 0; status == WHET_OK && i < data->n; i++) {
        const int32_t *at = bsearch(&data->y[i], sorted, (size_t)k, sizeof *sorted, by_value);
        if (at) data->y[i] = (int32_t)(at - sorted);
    }
    whet_i_free(ctx, sorted);
    return status;
}

static whet_status read_array(whet_ctx *ctx, const char *folder, const char *name,
                              whet_tensor *out) {
    char *path;
    WHET_TRY(whet_i_join_path(ctx, folder, name, &path));
    const whet_status status = whet_array_read(ctx, path, out);
    whet_i_free(ctx, path);
    return status;
}

/* The same shape but for the rows. */
static bool alike(const whet_tensor *a, const whet_tensor *b) {
    if (a->rank != b->rank || a->rank < 2 || a->dtype != b->dtype) return false;
    for (int32_t i = 1; i < a->rank; i++)
        if (a->shape[i] != b->shape[i]) return false;
    return true;
}

static whet_status take_images(whet_ctx *ctx, const whet_tensor part[2], whet_i_set_data *data) {
    const bool deep = part[0].rank == 4;
    if (part[0].dtype != WHET_U8 || (!deep && part[0].rank != 3))
        return whet_i_fail(
            ctx, WHET_ERR_SHAPE,
            "%s is %s of %d dimensions; expected images, u8 [rows, height, width] or "
            "with channels behind",
            data->set->train, whet_dtype_name(part[0].dtype), part[0].rank);
    data->height = part[0].shape[1];
    data->width = part[0].shape[2];
    data->channels = deep ? part[0].shape[3] : 1;
    if (data->set->change != WHET_I_IMAGE_AS_IS &&
        (data->height != WHET_I_IMAGE_SIDE || data->width != WHET_I_IMAGE_SIDE || deep))
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s is of images %" PRId64 " x %" PRId64 "; expected 28 x 28",
                           data->set->train, data->height, data->width);
    data->d = data->set->change == WHET_I_IMAGE_SPHERICAL
                  ? WHET_I_SPHERE_PIXELS
                  : data->height * data->width * data->channels;
    const int64_t first = whet_tensor_count(&part[0]), second = whet_tensor_count(&part[1]);
    WHET_TRY(whet_i_alloc(ctx, first + second, &data->pixels));
    memcpy(data->pixels, part[0].data, (size_t)first);
    if (second) memcpy(data->pixels + first, part[1].data, (size_t)second);
    return WHET_OK;
}

static whet_status take_numbers(whet_ctx *ctx, const whet_tensor part[2], whet_i_set_data *data) {
    int64_t at = 0;
    data->d = part[0].shape[1];
    if (part[0].rank != 2)
        return whet_i_fail(ctx, WHET_ERR_SHAPE, "%s has %d dimensions; expected [rows, columns]",
                           data->set->train, part[0].rank);
    WHET_TRY(whet_i_alloc(ctx, data->n * data->d, &data->numbers));
    for (int t = 0; t < 2; t++) {
        whet_tensor as;
        if (!part[t].data) continue;
        WHET_TRY(whet_i_array_convert(ctx, t ? data->set->test : data->set->train, &part[t], 0,
                                      WHET_F32, true, &as));
        memcpy(data->numbers + at, as.data, (size_t)whet_tensor_count(&as) * sizeof(float));
        at += whet_tensor_count(&as);
        whet_tensor_destroy(ctx, &as);
    }
    return WHET_OK;
}

static whet_status take_array_labels(whet_ctx *ctx, const whet_tensor label[2],
                                     whet_i_set_data *data) {
    const char *names[2] = {data->set->train_labels, data->set->test_labels};
    int64_t at = 0;
    WHET_TRY(whet_i_alloc(ctx, data->n, &data->y));
    for (int t = 0; t < 2; t++) {
        const int64_t expected = t ? data->n - data->n_train : data->n_train;
        whet_tensor as;
        if (!label[t].data) continue;
        WHET_TRY(whet_i_array_convert(ctx, names[t], &label[t], 0, WHET_I32, false, &as));
        const bool fits = as.rank == 1 && as.shape[0] == expected;
        if (fits) memcpy(data->y + at, as.data, (size_t)expected * sizeof *data->y);
        at += expected;
        whet_tensor_destroy(ctx, &as);
        if (!fits)
            return whet_i_fail(ctx, WHET_ERR_SHAPE, "%s does not have %" PRId64 " labels, as rows",
                               names[t], expected);
    }
    return number_classes(ctx, data);
}

static whet_status read_arrays(whet_ctx *ctx, const char *folder, whet_i_set_data *data) {
    const whet_i_set *set = data->set;
    whet_tensor part[2] = {{0}, {0}}, label[2] = {{0}, {0}};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(read_array(ctx, folder, set->train, &part[0]));
    WHET_TRY_DONE(read_array(ctx, folder, set->train_labels, &label[0]));
    if (set->test) {
        WHET_TRY_DONE(read_array(ctx, folder, set->test, &part[1]));
        WHET_TRY_DONE(read_array(ctx, folder, set->test_labels, &label[1]));
    }
    if (part[0].rank < 2 || (set->test && !alike(&part[0], &part[1]))) {
        status = whet_i_fail(ctx, WHET_ERR_SHAPE, "%s and %s differ in shape or type", set->train,
                             set->test ? set->test : "rows");
        goto done;
    }
    data->n_train = part[0].shape[0];
    data->n = data->n_train + part[1].shape[0];
    WHET_TRY_DONE(set->kind == WHET_I_SET_IMAGES ? take_images(ctx, part, data)
                                                 : take_numbers(ctx, part, data));
    WHET_TRY_DONE(take_array_labels(ctx, label, data));
    if (set->joined) data->n_train = data->n;
done:
    for (int t = 0; t < 2; t++) {
        whet_tensor_destroy(ctx, &part[t]);
        whet_tensor_destroy(ctx, &label[t]);
    }
    return status;
}

/* ---- flows ------------------------------------------------ */

static whet_status make_flows(whet_ctx *ctx, const char *path, uint64_t seed,
                              whet_i_set_data *data) {
    const int64_t half = data->n / 2;
    whet_i_flow kinds[2] = {WHET_I_TURBULENT_FLOW, WHET_I_LAMINAR_FLOW};
    WHET_TRY(whet_i_alloc(ctx, data->n * data->d, &data->numbers));
    for (int c = 0; c < 2; c++) {
        kinds[c].seed = seed + (uint64_t)c;
        WHET_TRY(whet_i_navier_stokes(ctx, &kinds[c], half, data->numbers + c * half * data->d));
    }
    const whet_tensor made = {data->numbers, WHET_F32, 2, {data->n, data->d}};
    return whet_npy_write(ctx, path, true, &made);
}

/* Made once, then kept: they take minutes. */
static whet_status read_flows(whet_ctx *ctx, const char *cache, uint64_t seed,
                              whet_i_set_data *data) {
    char *path;
    whet_tensor kept = {0};
    whet_status status;
    data->n = data->n_train = FLOWS;
    data->height = data->width = FLOW_GRID;
    data->channels = 1;
    data->d = FLOW_GRID * FLOW_GRID;
    WHET_TRY(whet_i_alloc(ctx, data->n, &data->y));
    for (int64_t i = 0; i < data->n; i++) data->y[i] = i >= data->n / 2;
    WHET_TRY(whet_names_create(ctx, &data->classes));
    WHET_TRY(whet_names_add(ctx, data->classes, whet_str_from("turbulent"), NULL));
    WHET_TRY(whet_names_add(ctx, data->classes, whet_str_from("laminar"), NULL));
    WHET_TRY(whet_i_join_path(ctx, cache, "navier_stokes.npy", &path));
    if (access(path, R_OK) == 0) {
        status = whet_array_read_as(ctx, path, WHET_F32, 2, true, &kept);
        if (status == WHET_OK && (kept.shape[0] != data->n || kept.shape[1] != data->d))
            status =
                whet_i_fail(ctx, WHET_ERR_SHAPE, "%s is not what is kept there; remove it", path);
        if (status == WHET_OK) status = whet_i_alloc(ctx, data->n * data->d, &data->numbers);
        if (status == WHET_OK)
            memcpy(data->numbers, kept.data, (size_t)(data->n * data->d) * sizeof(float));
        whet_tensor_destroy(ctx, &kept);
    } else {
        status = make_flows(ctx, path, seed, data);
    }
    whet_i_free(ctx, path);
    return status;
}

/* ---- the entrance ------------------------------------------------ */

/* One rotation for each 500 rows in their order, as published, but from a seed. */
static whet_status draw_rotations(whet_ctx *ctx, uint64_t seed, whet_i_set_data *data) {
    enum { CHUNK = 500 };
    whet_i_rng rng;
    WHET_TRY(whet_i_alloc(ctx, 9 * data->n, &data->rotation));
    whet_i_rng_init(&rng, seed, 0);
    for (int64_t i = 0; i < data->n; i++) {
        /* The test rows begin a chunk of their own. */
        const int64_t place = i < data->n_train ? i : i - data->n_train;
        if (place % CHUNK == 0) {
            const double u1 = whet_i_rng_uniform(&rng), u2 = whet_i_rng_uniform(&rng);
            whet_i_random_rotation(u1, u2, whet_i_rng_uniform(&rng), data->rotation + 9 * i);
        } else {
            memcpy(data->rotation + 9 * i, data->rotation + 9 * (i - 1), 9 * sizeof(double));
        }
    }
    return WHET_OK;
}

static whet_status read_kind(whet_ctx *ctx, const char *folder, const char *cache, uint64_t seed,
                             whet_i_set_data *data) {
    switch (data->set->kind) {
    case WHET_I_SET_TEXTS:
    case WHET_I_SET_TABLE: return read_tables(ctx, folder, data);
    case WHET_I_SET_SERIES:
    case WHET_I_SET_IMAGES: return read_arrays(ctx, folder, data);
    case WHET_I_SET_FLOWS: return read_flows(ctx, cache, seed, data);
    }
    return WHET_OK;
}

whet_status whet_i_set_read(whet_ctx *ctx, const char *folder, const char *cache,
                            const whet_i_set *set, uint64_t seed, whet_i_set_data *out) {
    whet_i_set_data data = {.set = set};
    whet_status status = read_kind(ctx, folder, cache, seed, &data);
    if (status == WHET_OK) {
        data.k = whet_names_count(data.classes);
        if (data.k < 2 || data.n_train < 8)
            status = whet_i_fail(ctx, WHET_ERR_DATA,
                                 "%s has %" PRId64 " rows of %" PRId64
                                 " classes; expected 8 or more of two at least",
                                 set->name, data.n_train, data.k);
    }
    if (status == WHET_OK && set->change == WHET_I_IMAGE_SPHERICAL)
        status = draw_rotations(ctx, seed, &data);
    if (status == WHET_OK)
        *out = data;
    else
        whet_i_set_free(ctx, &data);
    return status;
}

void whet_i_set_free(whet_ctx *ctx, whet_i_set_data *data) {
    whet_names_destroy(ctx, data->classes);
    whet_table_destroy(ctx, data->table[0]);
    whet_table_destroy(ctx, data->table[1]);
    whet_i_free(ctx, data->y);
    whet_i_free(ctx, data->texts);
    whet_i_free(ctx, data->pixels);
    whet_i_free(ctx, data->rotation);
    whet_i_free(ctx, data->numbers);
    whet_i_free(ctx, data->embedded);
    whet_i_free(ctx, data->class_vectors);
    *data = (whet_i_set_data){0};
}
