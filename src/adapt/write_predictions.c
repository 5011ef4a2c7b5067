/* SPDX-License-Identifier: Apache-2.0
 * Prediction tables: row, class, probability, margin, top3 and, with a label space, argmax, cost,
 * ties. TSV without quoting: class names hold no tabs or line ends (checked when they are read). */
#include <inttypes.h>
#include <stdio.h>

#include "adapt/pipeline_i.h"

int32_t whet_i_top(const double *p, int64_t k, int32_t m, int32_t out[3]) {
    int32_t found = 0;
    for (; found < m && found < k; found++) {
        int64_t best = -1;
        for (int64_t c = 0; c < k; c++) {
            bool taken = false;
            for (int32_t j = 0; j < found; j++) taken |= out[j] == c;
            if (!taken && (best < 0 || p[c] > p[best])) best = c;
        }
        out[found] = (int32_t)best;
    }
    return found;
}

static whet_status write_name(whet_ctx *ctx, whet_out *out, whet_str name) {
    return whet_out_write(ctx, out, name.ptr, name.len);
}

static whet_status write_row(whet_ctx *ctx, whet_out *out, const whet_i_prediction_table *t,
                             int64_t i) {
    const int64_t k = whet_names_count(t->classes);
    const double *p = t->probs + i * k;
    int32_t top[3];
    const int32_t n_top = whet_i_top(p, k, 3, top);
    whet_str name = whet_names_get(t->classes, top[0]);
    double probability = p[top[0]];
    if (t->space) {
        name = whet_names_get(whet_space_names(t->space), t->means->point[i]);
        const int64_t class = whet_names_find(t->classes, name);
        probability = class < 0 ? 0 : p[class];
    }
    WHET_TRY(whet_out_printf(ctx, out, "%" PRId64 "\t", i));
    WHET_TRY(write_name(ctx, out, name));
    WHET_TRY(whet_out_printf(ctx, out, "\t%.6f\t%.6f\t", probability,
                             n_top > 1 ? p[top[0]] - p[top[1]] : 1.0));
    for (int32_t j = 0; j < n_top; j++) {
        if (j) WHET_TRY(whet_out_write(ctx, out, ",", 1));
        WHET_TRY(write_name(ctx, out, whet_names_get(t->classes, top[j])));
        WHET_TRY(whet_out_printf(ctx, out, ":%.4f", p[top[j]]));
    }
    if (t->space) {
        WHET_TRY(whet_out_write(ctx, out, "\t", 1));
        WHET_TRY(write_name(ctx, out, whet_names_get(t->classes, top[0])));
        WHET_TRY(
            whet_out_printf(ctx, out, "\t%.9g\t%" PRId32, t->means->cost[i], t->means->ties[i]));
    }
    return whet_out_write(ctx, out, "\n", 1);
}

static whet_status write_rows(whet_ctx *ctx, whet_out *out, const whet_i_prediction_table *t) {
    WHET_TRY(whet_out_printf(ctx, out, "row\tclass\tprobability\tmargin\ttop3%s\n",
                             t->space ? "\targmax\tcost\tties" : ""));
    for (int64_t i = 0; i < t->n; i++) {
        if (i % 4096 == 0) WHET_TRY(whet_i_progress(ctx, "write", i, t->n));
        if (t->skip_labelled && t->skip_labelled[i] >= 0) continue;
        WHET_TRY(write_row(ctx, out, t, i));
    }
    return WHET_OK;
}

whet_status whet_i_write_prediction_table(whet_ctx *ctx, const whet_i_prediction_table *table,
                                          const char *path, bool force) {
    whet_out *out;
    WHET_TRY(whet_out_open(ctx, path, force, &out));
    const whet_status status = write_rows(ctx, out, table);
    if (status == WHET_OK) return whet_out_commit(ctx, out);
    whet_out_abort(ctx, out);
    return status;
}

static whet_status write_named(whet_ctx *ctx, const whet_i_prediction_table *table, const char *dir,
                               const char *name) {
    char *path;
    WHET_TRY(whet_i_join_path(ctx, dir, name, &path));
    const whet_status status = whet_i_write_prediction_table(ctx, table, path, false);
    whet_i_free(ctx, path);
    return status;
}

whet_status whet_i_write_predictions(whet_ctx *ctx, const whet_i_run *run, const char *dir) {
    const whet_i_prediction_table target = {.classes = run->classes,
                                            .probs = run->probs,
                                            .n = run->target->n,
                                            .space = run->space.space,
                                            .means = &run->means};
    const whet_i_prediction_table pool = {.classes = run->classes,
                                          .probs = run->pool_probs,
                                          .n = run->train.n,
                                          .skip_labelled = run->train.labels,
                                          .space = run->space.space,
                                          .means = &run->pool_means};
    WHET_TRY(write_named(ctx, &target, dir, "predictions.tsv"));
    if (run->target == &run->train || run->n_used == run->train.n) return WHET_OK;
    return write_named(ctx, &pool, dir, "pool_predictions.tsv");
}
