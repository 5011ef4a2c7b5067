/* SPDX-License-Identifier: Apache-2.0
 * A baseline from files to a file: features, labels with places to complain about, class order, a
 * label space.
 * Legend: n rows, k classes. */
#include <inttypes.h>

#include "io/io_i.h"
#include "label/label_i.h"
#include "whet/space.h"

typedef struct baseline_files {
    whet_tensor features, class_features, probs;
    whet_names *classes;
    int32_t *labels;
    int64_t labelled;
    double *cost; /* [k, k] or NULL */
    whet_class_mapping *mapping;
} baseline_files;

static void release(whet_ctx *ctx, baseline_files *f) {
    whet_tensor_destroy(ctx, &f->features);
    whet_tensor_destroy(ctx, &f->class_features);
    whet_tensor_destroy(ctx, &f->probs);
    whet_names_destroy(ctx, f->classes);
    whet_i_free(ctx, f->labels);
    whet_i_free(ctx, f->cost);
    whet_class_mapping_free(ctx, f->mapping);
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

static whet_status read_rows(whet_ctx *ctx, const whet_baseline_job *job, baseline_files *f) {
    WHET_TRY(whet_i_features_read(ctx, job->features, &f->features));
    const int64_t n = f->features.shape[0], d = f->features.shape[1];
    WHET_TRY(whet_i_row_labels_read(ctx, job->labels, job->classes, n, &f->classes, &f->labels));
    if (n < 1 || d < 1)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s is [%" PRId64 ", %" PRId64
                           "]; expected at least one row and one column",
                           job->features, n, d);
    const int64_t k = whet_names_count(f->classes);
    if (k >= 2) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA, "%s: %" PRId64 " class%s; expected at least 2%s",
                       job->classes ? job->classes : job->labels, k, k == 1 ? "" : "es",
                       job->classes ? "" : "; try a class list");
}

static whet_status compute(whet_ctx *ctx, const whet_baseline_job *job, baseline_files *f) {
    WHET_TRY(read_rows(ctx, job, f));
    const int64_t n = f->features.shape[0];
    for (int64_t i = 0; i < n; i++) f->labelled += f->labels[i] >= 0 ? 1 : 0;
    WHET_TRY(read_class_features(ctx, job, f));
    if (job->space) WHET_TRY(measure_classes(ctx, job, f));
    const int64_t k = whet_names_count(f->classes);
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
                                       .alpha = job->alpha,
                                       .neighbours = job->neighbours,
                                       .neighbour_metric = job->neighbour_metric,
                                       .temperature = job->temperature};
    WHET_TRY(whet_tensor_create(ctx, WHET_F64, 2, shape, &f->probs));
    WHET_TRY(whet_baseline_run(ctx, job->method, &input, f->probs.data));
    if (job->method == WHET_BASELINE_CLUSTER || job->method == WHET_BASELINE_GOGGLES) {
        WHET_TRY(whet_i_alloc(ctx, k, &f->mapping));
        WHET_TRY(whet_class_mapping_measure(ctx, f->probs.data, n, k, f->labels, f->mapping));
    }
    return whet_npy_write(ctx, job->probs, job->force, &f->probs);
}

whet_status whet_baseline_files(whet_ctx *ctx, const whet_baseline_job *job, whet_names **classes,
                                int64_t *labelled, whet_class_mapping **mapping) {
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
        if (mapping) {
            *mapping = f.mapping;
            f.mapping = NULL;
        }
    }
    release(ctx, &f);
    return status;
}
