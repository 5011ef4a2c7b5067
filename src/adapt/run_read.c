/* SPDX-License-Identifier: Apache-2.0
 * The reading stage: tables and features; the class list; labels from a column or a sparse file;
 * what the class names mean. Every complaint names file and line. */
#include <inttypes.h>
#include <stdlib.h>

#include "adapt/pipeline_i.h"
#include "label/label_i.h"

/* ---- rows ------------------------------------------------------------------------------------ */

static whet_status find_text_column(whet_ctx *ctx, const whet_i_run *run, whet_i_run_rows *rows) {
    const char *text = run->job->text;
    const whet_str name = whet_str_from(text ? text : "text");
    rows->text_column = whet_names_find(whet_table_columns(rows->table), name);
    if (rows->text_column >= 0 || (!text && rows->array.data)) return WHET_OK;
    return whet_table_find(ctx, rows->table, text ? text : "text", &rows->text_column);
}

static whet_status view_texts(whet_ctx *ctx, whet_i_run_rows *rows) {
    if (rows->text_column < 0) return WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, rows->n, &rows->texts));
    for (int64_t i = 0; i < rows->n; i++)
        rows->texts[i] = whet_table_cell(rows->table, i, rows->text_column);
    if (!rows->array.data) whet_i_warn_of_texts(ctx, rows->path, rows->texts, rows->n);
    return WHET_OK;
}

static whet_status read_rows(whet_ctx *ctx, const whet_i_run *run, const char *table,
                             const char *features, whet_i_run_rows *rows) {
    rows->text_column = -1;
    rows->path = table ? table : features;
    if (table) WHET_TRY(whet_table_read(ctx, table, &rows->table));
    if (features) {
        if (run->map)
            WHET_TRY(whet_i_feature_map_read(ctx, run->map, features, &rows->array));
        else
            WHET_TRY(whet_i_features_read(ctx, features, &rows->array));
        rows->features = rows->array.data;
        rows->n = rows->array.shape[0];
        if (rows->array.shape[1] < 1)
            return whet_i_fail(ctx, WHET_ERR_SHAPE, "%s: no columns; expected features", features);
    }
    if (table && features && whet_table_rows(rows->table) != rows->n)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: %" PRId64 " rows; expected %" PRId64 ", as many as %s has",
                           features, rows->n, whet_table_rows(rows->table), table);
    if (table) rows->n = whet_table_rows(rows->table);
    if (rows->n < 1)
        return whet_i_fail(ctx, WHET_ERR_DATA, "%s: no rows; expected at least one", rows->path);
    if (!table) return WHET_OK;
    WHET_TRY(find_text_column(ctx, run, rows));
    return view_texts(ctx, rows);
}

/* ---- labels ---------------------------------------------------------------------------------- */

static whet_status unknown_label(whet_ctx *ctx, const whet_i_run *run, const char *path,
                                 int64_t line, whet_str name) {
    char quoted[WHET_QUOTE_SIZE], near_quoted[WHET_QUOTE_SIZE];
    const int64_t near = whet_i_nearest_name(run->classes, name);
    const char *list = run->job->classes ? run->job->classes : "the training labels";
    return whet_i_fail(
        ctx, WHET_ERR_DATA,
        "%s:%" PRId64 ": label %s is unknown; expected one of the %" PRId64 " classes of %s%s%s",
        path, line, whet_i_quote(quoted, name), whet_names_count(run->classes), list,
        near < 0 ? "" : "; nearest is ",
        near < 0 ? "" : whet_i_quote(near_quoted, whet_names_get(run->classes, near)));
}

/* Labels to class indices in rows->labels. Names outside the list are an error when the user gave
 * the list; in the test data without a list they are WHET_LABEL_OTHER. */
static whet_status assign_labels(whet_ctx *ctx, const whet_i_run *run,
                                 const whet_i_given_labels *given, bool is_test,
                                 whet_i_run_rows *rows) {
    int64_t others = 0;
    WHET_TRY(whet_i_alloc(ctx, rows->n, &rows->labels));
    for (int64_t i = 0; i < rows->n; i++) rows->labels[i] = WHET_LABEL_NONE;
    for (int64_t i = 0; i < given->n; i++) {
        const whet_i_given_label *g = &given->items[i];
        const int64_t class = whet_names_find(run->classes, g->name);
        if (class < 0 && (!is_test || run->job->classes))
            return unknown_label(ctx, run, given->path, g->line, g->name);
        if (rows->labels[g->row] != WHET_LABEL_NONE)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s:%" PRId64 ": row %" PRId64
                               " has a label already; expected one label a row",
                               given->path, g->line, g->row);
        rows->labels[g->row] = class < 0 ? WHET_LABEL_OTHER : (int32_t) class;
        others += class < 0;
        rows->n_labels++;
    }
    if (others)
        whet_i_log(ctx, WHET_LOG_WARN,
                   "%s: %" PRId64 " rows have labels that no training row has; whatever is "
                   "predicted for them counts as wrong (--classes FILE lists such classes)",
                   given->path, others);
    return WHET_OK;
}

/* ---- training labels, test labels ------------------------------------------------------------ */

static whet_status check_classes(whet_ctx *ctx, const whet_i_run *run,
                                 const whet_i_given_labels *given) {
    char quoted[WHET_QUOTE_SIZE];
    const int64_t k = run->classes ? whet_names_count(run->classes) : 0;
    if (given->n == 0)
        return whet_i_fail(ctx, WHET_ERR_DATA, "%s: no labels; expected some for each class",
                           given->path);
    if (k >= 2 && k <= INT32_MAX) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA, "%s: one class only, %s; expected at least 2",
                       run->job->classes ? run->job->classes : given->path,
                       whet_i_quote(quoted, k ? whet_names_get(run->classes, 0) : (whet_str){0}));
}

static whet_status read_train_labels(whet_ctx *ctx, whet_i_run *run) {
    const whet_adapt_job *job = run->job;
    whet_i_given_labels given = {0};
    whet_table *sparse = NULL;
    whet_status status = WHET_OK;
    if (job->labels) {
        WHET_TRY_DONE(whet_table_read(ctx, job->labels, &sparse));
        WHET_TRY_DONE(whet_i_labels_of_sparse(ctx, sparse, run->train.n, &given));
    } else if (run->train.table) {
        int64_t column;
        WHET_TRY_DONE(
            whet_table_find(ctx, run->train.table, job->label ? job->label : "label", &column));
        WHET_TRY_DONE(whet_i_labels_of_column(ctx, run->train.table, column, &given));
    } else {
        status = whet_i_fail(ctx, WHET_ERR_ARG,
                             "no labels: features alone; expected a table of labels (--labels)");
        goto done;
    }
    if (job->classes)
        WHET_TRY_DONE(whet_names_read(ctx, job->classes, &run->classes));
    else
        WHET_TRY_DONE(whet_i_labels_classes(ctx, &given, &run->classes));
    WHET_TRY_DONE(check_classes(ctx, run, &given));
    WHET_TRY_DONE(assign_labels(ctx, run, &given, false, &run->train));
done:
    whet_i_free(ctx, given.items);
    whet_table_destroy(ctx, sparse);
    return status;
}

static whet_status read_test_labels(whet_ctx *ctx, whet_i_run *run) {
    whet_i_given_labels given = {0};
    if (!run->test.table) return WHET_OK;
    const whet_str name = whet_str_from(run->job->label ? run->job->label : "label");
    const int64_t column = whet_names_find(whet_table_columns(run->test.table), name);
    if (column < 0) return WHET_OK; /* rows to predict, nothing to measure */
    whet_status status = WHET_OK;
    run->test.label_column = column;
    WHET_TRY_DONE(whet_i_labels_of_column(ctx, run->test.table, column, &given));
    WHET_TRY_DONE(assign_labels(ctx, run, &given, true, &run->test));
    WHET_TRY_DONE(whet_i_alloc(ctx, run->test.n, &run->test.truth));
    for (int64_t i = 0; i < run->test.n; i++)
        run->test.truth[i] = run->test.labels[i] >= 0 ? run->test.labels[i] : WHET_LABEL_NONE;
done:
    whet_i_free(ctx, given.items);
    return status;
}

/* ---- what the names mean --------------------------------------------------------------------- */

static whet_status keep_text(whet_ctx *ctx, whet_i_run *run, int64_t class, whet_str text) {
    char *copy;
    WHET_TRY(whet_i_arena_alloc(ctx, &run->arena, text.len + 1, 1, &copy));
    if (text.len) memcpy(copy, text.ptr, (size_t)text.len);
    copy[text.len] = '\0';
    run->class_texts[class] = (whet_str){copy, text.len};
    return WHET_OK;
}

/* They are saved with the classifier, as JSON. */
static whet_status check_text(whet_ctx *ctx, const whet_table *table, int64_t line, whet_str text) {
    char quoted[WHET_QUOTE_SIZE];
    int64_t at = 0, n = 1;
    for (; at < text.len && n > 0; at += n)
        n = text.ptr[at] ? whet_i_utf8_length(text.ptr + at, text.len - at) : 0;
    if (n > 0) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA, "%s:%" PRId64 ": text %s; expected UTF-8",
                       whet_table_path(table), line, whet_i_quote(quoted, text));
}

static whet_status read_class_names(whet_ctx *ctx, whet_i_run *run, const whet_table *table) {
    int64_t class_column, text_column;
    char quoted[WHET_QUOTE_SIZE];
    WHET_TRY(whet_i_table_needs(ctx, table, "class", &class_column));
    WHET_TRY(whet_i_table_needs(ctx, table, "text", &text_column));
    for (int64_t i = 0; i < whet_table_rows(table); i++) {
        const whet_str name = whet_i_trim(whet_table_cell(table, i, class_column));
        const whet_str text = whet_i_trim(whet_table_cell(table, i, text_column));
        const int64_t line = whet_table_line(table, i);
        const int64_t class = whet_names_find(run->classes, name);
        if (class < 0) return unknown_label(ctx, run, whet_table_path(table), line, name);
        if (run->class_texts[class].ptr)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s:%" PRId64 ": class %s again; expected one text a class",
                               whet_table_path(table), line, whet_i_quote(quoted, name));
        WHET_TRY(check_text(ctx, table, line, text));
        if (text.len) WHET_TRY(keep_text(ctx, run, class, text));
    }
    return WHET_OK;
}

static whet_status make_class_texts(whet_ctx *ctx, whet_i_run *run) {
    const int64_t k = whet_names_count(run->classes);
    WHET_TRY(whet_i_calloc(ctx, k, &run->class_texts));
    if (run->job->class_names) {
        whet_table *table = NULL;
        WHET_TRY(whet_table_read(ctx, run->job->class_names, &table));
        const whet_status status = read_class_names(ctx, run, table);
        whet_table_destroy(ctx, table);
        WHET_TRY(status);
    }
    for (int64_t c = 0; c < k; c++) {
        if (run->class_texts[c].ptr) continue;
        char *text;
        WHET_TRY(whet_class_text(ctx, whet_names_get(run->classes, c), &text));
        const whet_status status = keep_text(ctx, run, c, whet_str_from(text));
        whet_free_text(ctx, text);
        WHET_TRY(status);
    }
    run->class_texts_mean = whet_i_texts_mean(run->class_texts, k);
    return WHET_OK;
}

whet_status whet_i_run_read(whet_ctx *ctx, whet_i_run *run) {
    const whet_adapt_job *job = run->job;
    if (!job->train && !(job->features && job->labels))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "no training data; expected a table, or features and labels");
    if (job->test && !job->features != !job->test_features)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s are given without %s; expected both or neither",
                           job->features ? "features" : "test features",
                           job->features ? "test features" : "features");
    if (job->test_features && !job->features)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "test features are given without features; expected both or neither");
    if (job->feature_map && !job->features)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a map to features without rows to put through it; expected features");
    WHET_TRY(whet_i_progress(ctx, "read", 0, 0));
    if (job->feature_map) WHET_TRY(whet_i_feature_map_load(ctx, job->feature_map, &run->map));
    WHET_TRY(read_rows(ctx, run, job->train, job->features, &run->train));
    if (job->groups && !run->train.table)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "groups are a column of the training table; expected one");
    if (job->groups)
        WHET_TRY(whet_table_find(ctx, run->train.table, job->groups, &run->train.group_column));
    WHET_TRY(read_train_labels(ctx, run));
    if (job->test || job->test_features)
        WHET_TRY(read_rows(ctx, run, job->test, job->test_features, &run->test));
    WHET_TRY(read_test_labels(ctx, run));
    if (run->test.array.data && run->test.array.shape[1] != run->train.array.shape[1])
        return whet_i_fail(
            ctx, WHET_ERR_SHAPE, "%s: %" PRId64 " columns; expected %" PRId64 ", as many as %s has",
            job->test_features, run->test.array.shape[1], run->train.array.shape[1], job->features);
    return make_class_texts(ctx, run);
}
