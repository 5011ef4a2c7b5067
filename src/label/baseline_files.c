/* SPDX-License-Identifier: Apache-2.0
 * A baseline from files to a file: features, labels with places to complain about, class order, a
 * label space.
 * Legend: n rows, k classes. */
#include <inttypes.h>
#include <stdlib.h>

#include "io/io_i.h"
#include "label/label_i.h"
#include "whet/space.h"

typedef struct baseline_files {
    whet_tensor features, class_features, probs;
    whet_table *table;
    whet_names *classes;
    int64_t row_column, label_column; /* row_column -1: the table has a line for every row */
    int32_t *labels;
    int64_t labelled;
    double *cost; /* [k, k] or NULL */
} baseline_files;

static void release(whet_ctx *ctx, baseline_files *f) {
    whet_tensor_destroy(ctx, &f->features);
    whet_tensor_destroy(ctx, &f->class_features);
    whet_tensor_destroy(ctx, &f->probs);
    whet_table_destroy(ctx, f->table);
    whet_names_destroy(ctx, f->classes);
    whet_i_free(ctx, f->labels);
    whet_i_free(ctx, f->cost);
}

static int by_bytes(const void *left, const void *right) {
    const whet_str *a = left, *b = right;
    const int64_t common = a->len < b->len ? a->len : b->len;
    const int order = memcmp(a->ptr, b->ptr, (size_t)common);
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

static int by_number(const void *left, const void *right) {
    int64_t a = 0, b = 0;
    (void)whet_i_parse_int(*(const whet_str *)left, &a);
    (void)whet_i_parse_int(*(const whet_str *)right, &b);
    return a != b ? (a > b) - (a < b) : by_bytes(left, right);
}

/* Distinct labels, sorted, as numbers when all are: the order does not hang on the file's. */
static whet_status discover(whet_ctx *ctx, baseline_files *f) {
    whet_status status = WHET_OK;
    whet_names *found = NULL;
    whet_str *sorted = NULL;
    bool numbers = true;
    WHET_TRY_DONE(whet_names_create(ctx, &found));
    for (int64_t i = 0; i < whet_table_rows(f->table); i++) {
        const whet_str name = whet_table_cell(f->table, i, f->label_column);
        if (name.len) WHET_TRY_DONE(whet_names_add(ctx, found, name, NULL));
    }
    const int64_t k = whet_names_count(found);
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &sorted));
    for (int64_t i = 0; i < k; i++) {
        int64_t value;
        sorted[i] = whet_names_get(found, i);
        numbers = numbers && whet_i_parse_int(sorted[i], &value);
    }
    qsort(sorted, (size_t)k, sizeof *sorted, numbers ? by_number : by_bytes);
    WHET_TRY_DONE(whet_names_create(ctx, &f->classes));
    for (int64_t i = 0; i < k; i++) WHET_TRY_DONE(whet_names_add(ctx, f->classes, sorted[i], NULL));
done:
    whet_i_free(ctx, sorted);
    whet_names_destroy(ctx, found);
    return status;
}

static whet_status open_labels(whet_ctx *ctx, const whet_baseline_job *job, baseline_files *f) {
    const int64_t n = f->features.shape[0];
    f->row_column = -1;
    if (!job->labels) return WHET_OK;
    WHET_TRY(whet_table_read(ctx, job->labels, &f->table));
    WHET_TRY(whet_table_find(ctx, f->table, "label", &f->label_column));
    f->row_column = whet_names_find(whet_table_columns(f->table), whet_str_from("row"));
    if (f->row_column < 0 && whet_table_rows(f->table) != n)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: %" PRId64 " rows and no column row; expected %" PRId64
                           " rows, as %s has, or the columns row and label",
                           job->labels, whet_table_rows(f->table), n, job->features);
    return WHET_OK;
}

static whet_status place_of(whet_ctx *ctx, const whet_baseline_job *job, const baseline_files *f,
                            int64_t i, int64_t *row) {
    char quoted[WHET_QUOTE_SIZE];
    const int64_t n = f->features.shape[0];
    *row = i;
    if (f->row_column < 0) return WHET_OK;
    const whet_str cell = whet_table_cell(f->table, i, f->row_column);
    if (whet_i_parse_int(cell, row) && *row >= 0 && *row < n) return WHET_OK;
    return whet_i_fail(
        ctx, WHET_ERR_DATA, "%s:%" PRId64 ": row is %s; expected a number from 0 to %" PRId64,
        job->labels, whet_table_line(f->table, i), whet_i_quote(quoted, cell), n - 1);
}

static whet_status assign_labels(whet_ctx *ctx, const whet_baseline_job *job, baseline_files *f) {
    char quoted[WHET_QUOTE_SIZE];
    const int64_t n = f->features.shape[0];
    WHET_TRY(whet_i_alloc(ctx, n, &f->labels));
    for (int64_t i = 0; i < n; i++) f->labels[i] = -1;
    for (int64_t i = 0; f->table && i < whet_table_rows(f->table); i++) {
        const whet_str name = whet_table_cell(f->table, i, f->label_column);
        const int64_t line = whet_table_line(f->table, i);
        int64_t row;
        WHET_TRY(place_of(ctx, job, f, i, &row));
        if (name.len == 0) continue;
        const int64_t c = whet_names_find(f->classes, name);
        if (c < 0)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s:%" PRId64 ": label %s is not among the classes of %s",
                               job->labels, line, whet_i_quote(quoted, name), job->classes);
        if (f->labels[row] >= 0 && f->labels[row] != c)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s:%" PRId64 ": row %" PRId64 " has a second label, %s; expected "
                               "one",
                               job->labels, line, row, whet_i_quote(quoted, name));
        f->labelled += f->labels[row] < 0 ? 1 : 0;
        f->labels[row] = (int32_t)c;
    }
    return WHET_OK;
}

static whet_status read_class_features(whet_ctx *ctx, const whet_baseline_job *job,
                                       baseline_files *f) {
    if (!job->class_features) return WHET_OK;
    WHET_TRY(whet_array_read_as(ctx, job->class_features, WHET_F32, 2, true, &f->class_features));
    const int64_t *shape = f->class_features.shape;
    const int64_t k = whet_names_count(f->classes), d = f->features.shape[1];
    if (shape[0] == k && shape[1] == d) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_SHAPE,
                       "%s is [%" PRId64 ", %" PRId64 "]; expected [%" PRId64 ", %" PRId64
                       "], a row for each class and the columns of %s",
                       job->class_features, shape[0], shape[1], k, d, job->features);
}

/* Squared distances between the classes, which are matched by name. */
static whet_status measure_classes(whet_ctx *ctx, const whet_baseline_job *job, baseline_files *f) {
    const int64_t k = whet_names_count(f->classes);
    whet_status status = WHET_OK;
    whet_space *space = NULL;
    int64_t *point = NULL, *from = NULL, *to = NULL, cells;
    double *cost = NULL;
    WHET_TRY_DONE(whet_space_open(ctx, job->space, f->classes, &space));
    WHET_TRY_DONE(whet_i_mul(ctx, k, k, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &point));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &from));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &to));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &cost));
    status = whet_space_find_all(ctx, space, f->classes, point);
    if (status != WHET_OK) {
        status = whet_i_fail_at(ctx, status, "%s", job->classes ? job->classes : job->labels);
        goto done;
    }
    for (int64_t i = 0; i < cells; i++) {
        from[i] = point[i / k];
        to[i] = point[i % k];
    }
    WHET_TRY_DONE(whet_space_distances(ctx, space, from, to, cells, cost));
    for (int64_t i = 0; i < cells; i++) cost[i] *= cost[i];
    f->cost = cost;
    cost = NULL;
done:
    whet_i_free(ctx, cost);
    whet_i_free(ctx, to);
    whet_i_free(ctx, from);
    whet_i_free(ctx, point);
    whet_space_destroy(ctx, space);
    return status;
}

static whet_status compute(whet_ctx *ctx, const whet_baseline_job *job, baseline_files *f) {
    WHET_TRY(whet_array_read_as(ctx, job->features, WHET_F32, 2, true, &f->features));
    WHET_TRY(open_labels(ctx, job, f));
    if (job->classes)
        WHET_TRY(whet_names_read(ctx, job->classes, &f->classes));
    else if (f->table)
        WHET_TRY(discover(ctx, f));
    else
        return whet_i_fail(ctx, WHET_ERR_ARG, "no labels and no class list; expected one of them");
    WHET_TRY(read_class_features(ctx, job, f));
    WHET_TRY(assign_labels(ctx, job, f));
    if (job->space) WHET_TRY(measure_classes(ctx, job, f));
    const int64_t n = f->features.shape[0], k = whet_names_count(f->classes);
    const int64_t shape[2] = {n, k};
    const whet_baseline_input input = {.features = f->features.data,
                                       .n = n,
                                       .d = f->features.shape[1],
                                       .k = k,
                                       .labels = f->labels,
                                       .class_features = f->class_features.data,
                                       .seed = job->seed,
                                       .loss = job->loss,
                                       .cost = f->cost,
                                       .gamma = job->gamma,
                                       .alpha = job->alpha};
    WHET_TRY(whet_tensor_create(ctx, WHET_F64, 2, shape, &f->probs));
    WHET_TRY(whet_baseline_run(ctx, job->method, &input, f->probs.data));
    return whet_npy_write(ctx, job->probs, job->force, &f->probs);
}

whet_status whet_baseline_files(whet_ctx *ctx, const whet_baseline_job *job, whet_names **classes,
                                int64_t *labelled) {
    whet_baseline_job known = WHET_BASELINE_JOB_INIT;
    baseline_files f = {0};
    WHET_TRY(whet_i_opts(ctx, job, &known, sizeof known, "whet_baseline_job"));
    if (!known.features || !known.probs)
        return whet_i_fail(ctx, WHET_ERR_ARG, "expected features to read and probs to write");
    const whet_status status = compute(ctx, &known, &f);
    if (status == WHET_OK) {
        *classes = f.classes;
        *labelled = f.labelled;
        f.classes = NULL;
    }
    release(ctx, &f);
    return status;
}
