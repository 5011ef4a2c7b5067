/* SPDX-License-Identifier: Apache-2.0
 * The reading stage: tables and features; the class list; labels from a column or a sparse file;
 * what the class names mean. Every complaint names file and line. */
#include <inttypes.h>
#include <stdlib.h>

#include "adapt/pipeline_i.h"

/* ---- rows ------------------------------------------------------------------------------------ */

static whet_status find_text_column(whet_ctx *ctx, const whet_i_run *run, whet_i_run_rows *rows) {
    const char *text = run->job->text;
    const whet_str name = whet_str_from(text ? text : "text");
    rows->text_column = whet_names_find(whet_table_columns(rows->table), name);
    if (rows->text_column >= 0 || (!text && rows->array.data)) return WHET_OK;
    return whet_table_find(ctx, rows->table, text ? text : "text", &rows->text_column);
}

static bool is_utf8(whet_str text) {
    for (int64_t i = 0; i < text.len;) {
        const int64_t length = whet_i_utf8_length(text.ptr + i, text.len - i);
        if (length == 0) return false;
        i += length;
    }
    return true;
}

static whet_status view_texts(whet_ctx *ctx, whet_i_run_rows *rows) {
    if (rows->text_column < 0) return WHET_OK;
    int64_t empty = 0, broken = 0;
    WHET_TRY(whet_i_alloc(ctx, rows->n, &rows->texts));
    for (int64_t i = 0; i < rows->n; i++) {
        rows->texts[i] = whet_table_cell(rows->table, i, rows->text_column);
        empty += rows->texts[i].len == 0;
        broken += !is_utf8(rows->texts[i]);
    }
    if (empty && !rows->array.data)
        whet_i_log(ctx, WHET_LOG_WARN, "%s: %" PRId64 " of %" PRId64 " texts are empty", rows->path,
                   empty, rows->n);
    if (broken && !rows->array.data)
        whet_i_log(ctx, WHET_LOG_WARN,
                   "%s: %" PRId64 " of %" PRId64 " texts hold bytes that are not UTF-8, which say "
                   "nothing to a model (iconv converts)",
                   rows->path, broken, rows->n);
    return WHET_OK;
}

static whet_status read_rows(whet_ctx *ctx, const whet_i_run *run, const char *table,
                             const char *features, whet_i_run_rows *rows) {
    rows->text_column = -1;
    rows->path = table ? table : features;
    if (table) WHET_TRY(whet_table_read(ctx, table, &rows->table));
    if (features) {
        WHET_TRY(whet_array_read_as(ctx, features, WHET_F32, 2, true, &rows->array));
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

/* ---- labels as given: cells with a place to complain about --------------------------------------
 */

typedef struct given_label {
    int64_t row;  /* of the data */
    int64_t line; /* of the file that gives the label */
    whet_str name;
} given_label;

typedef struct given_labels {
    const char *path;
    given_label *items;
    int64_t n;
} given_labels;

static whet_status check_name(whet_ctx *ctx, const char *path, int64_t line, whet_str name) {
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t i = 0; i < name.len;) {
        const int64_t length = whet_i_utf8_length(name.ptr + i, name.len - i);
        if (length == 0 || (unsigned char)name.ptr[i] < 0x20)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s:%" PRId64 ": label %s holds %s; expected printable UTF-8", path,
                               line, whet_i_quote(quoted, name),
                               length ? "a control character" : "bytes that are not UTF-8");
        i += length;
    }
    return WHET_OK;
}

/* Spaces around a name are a slip of the table's writer, not a class of their own. */
static whet_str trim(whet_str name) {
    while (name.len && whet_i_is_space(name.ptr[name.len - 1])) name.len--;
    while (name.len && whet_i_is_space(*name.ptr)) {
        name.ptr++;
        name.len--;
    }
    return name;
}

static whet_status labels_of_column(whet_ctx *ctx, const whet_table *table, int64_t column,
                                    given_labels *given) {
    const int64_t n = whet_table_rows(table);
    WHET_TRY(whet_i_alloc(ctx, n, &given->items));
    given->path = whet_table_path(table);
    for (int64_t i = 0; i < n; i++) {
        const whet_str name = trim(whet_table_cell(table, i, column));
        if (name.len == 0) continue;
        WHET_TRY(check_name(ctx, given->path, whet_table_line(table, i), name));
        given->items[given->n++] = (given_label){i, whet_table_line(table, i), name};
    }
    return WHET_OK;
}

static whet_status labels_of_sparse(whet_ctx *ctx, const whet_table *table, int64_t n_rows,
                                    given_labels *given) {
    int64_t row_column, label_column;
    char quoted[WHET_QUOTE_SIZE];
    WHET_TRY(whet_table_find(ctx, table, "row", &row_column));
    WHET_TRY(whet_table_find(ctx, table, "label", &label_column));
    WHET_TRY(whet_i_alloc(ctx, whet_table_rows(table), &given->items));
    given->path = whet_table_path(table);
    for (int64_t i = 0; i < whet_table_rows(table); i++) {
        const whet_str cell = whet_table_cell(table, i, row_column);
        const whet_str name = trim(whet_table_cell(table, i, label_column));
        const int64_t line = whet_table_line(table, i);
        int64_t row;
        if (!whet_i_parse_int(cell, &row) || row < 0 || row >= n_rows)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s:%" PRId64 ": row is %s; expected a number from 0 to %" PRId64
                               " (rows count from 0, without the header)",
                               given->path, line, whet_i_quote(quoted, cell), n_rows - 1);
        if (name.len == 0) continue;
        WHET_TRY(check_name(ctx, given->path, line, name));
        given->items[given->n++] = (given_label){row, line, name};
    }
    return WHET_OK;
}

/* ---- classes --------------------------------------------------------------------------------- */

static bool is_integer(whet_str name) {
    const int64_t sign = name.len > 1 && name.ptr[0] == '-';
    if (name.len <= sign || name.len > 18) return false;
    for (int64_t i = sign; i < name.len; i++)
        if (!whet_i_is_digit(name.ptr[i])) return false;
    return true;
}

static int64_t integer_of(whet_str name) {
    const int64_t sign = name.ptr[0] == '-';
    int64_t value = 0;
    for (int64_t i = sign; i < name.len; i++) value = 10 * value + (name.ptr[i] - '0');
    return sign ? -value : value;
}

static int by_bytes(const void *left, const void *right) {
    const whet_str *a = left, *b = right;
    const int64_t common = a->len < b->len ? a->len : b->len;
    const int order = memcmp(a->ptr, b->ptr, (size_t)common);
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

static int by_number(const void *left, const void *right) {
    const int64_t a = integer_of(*(const whet_str *)left), b = integer_of(*(const whet_str *)right);
    return a != b ? (a > b) - (a < b) : by_bytes(left, right); /* "1" and "01" */
}

/* The distinct names, sorted (as numbers when all are), so that their order is not the file's. */
static whet_status discover_classes(whet_ctx *ctx, whet_i_run *run, const given_labels *given) {
    whet_names *found = NULL;
    whet_str *sorted = NULL;
    whet_status status = WHET_OK;
    bool numbers = true;
    WHET_TRY_DONE(whet_names_create(ctx, &found));
    for (int64_t i = 0; i < given->n; i++)
        WHET_TRY_DONE(whet_names_add(ctx, found, given->items[i].name, NULL));
    const int64_t k = whet_names_count(found);
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &sorted));
    for (int64_t i = 0; i < k; i++) {
        sorted[i] = whet_names_get(found, i);
        numbers = numbers && is_integer(sorted[i]);
    }
    qsort(sorted, (size_t)k, sizeof *sorted, numbers ? by_number : by_bytes);
    WHET_TRY_DONE(whet_names_create(ctx, &run->classes));
    for (int64_t i = 0; i < k; i++)
        WHET_TRY_DONE(whet_names_add(ctx, run->classes, sorted[i], NULL));
done:
    whet_i_free(ctx, sorted);
    whet_names_destroy(ctx, found);
    return status;
}

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
static whet_status assign_labels(whet_ctx *ctx, const whet_i_run *run, const given_labels *given,
                                 bool is_test, whet_i_run_rows *rows) {
    int64_t others = 0;
    WHET_TRY(whet_i_alloc(ctx, rows->n, &rows->labels));
    for (int64_t i = 0; i < rows->n; i++) rows->labels[i] = WHET_LABEL_NONE;
    for (int64_t i = 0; i < given->n; i++) {
        const given_label *g = &given->items[i];
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

static whet_status check_classes(whet_ctx *ctx, const whet_i_run *run, const given_labels *given) {
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
    given_labels given = {0};
    whet_table *sparse = NULL;
    whet_status status = WHET_OK;
    if (job->labels) {
        WHET_TRY_DONE(whet_table_read(ctx, job->labels, &sparse));
        WHET_TRY_DONE(labels_of_sparse(ctx, sparse, run->train.n, &given));
    } else if (run->train.table) {
        int64_t column;
        WHET_TRY_DONE(
            whet_table_find(ctx, run->train.table, job->label ? job->label : "label", &column));
        WHET_TRY_DONE(labels_of_column(ctx, run->train.table, column, &given));
    } else {
        status = whet_i_fail(ctx, WHET_ERR_ARG,
                             "no labels: features alone; expected a table of labels (--labels)");
        goto done;
    }
    if (job->classes)
        WHET_TRY_DONE(whet_names_read(ctx, job->classes, &run->classes));
    else
        WHET_TRY_DONE(discover_classes(ctx, run, &given));
    WHET_TRY_DONE(check_classes(ctx, run, &given));
    WHET_TRY_DONE(assign_labels(ctx, run, &given, false, &run->train));
done:
    whet_i_free(ctx, given.items);
    whet_table_destroy(ctx, sparse);
    return status;
}

static whet_status read_test_labels(whet_ctx *ctx, whet_i_run *run) {
    given_labels given = {0};
    if (!run->test.table) return WHET_OK;
    const whet_str name = whet_str_from(run->job->label ? run->job->label : "label");
    const int64_t column = whet_names_find(whet_table_columns(run->test.table), name);
    if (column < 0) return WHET_OK; /* rows to predict, nothing to measure */
    whet_status status = WHET_OK;
    WHET_TRY_DONE(labels_of_column(ctx, run->test.table, column, &given));
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

static whet_status read_class_names(whet_ctx *ctx, whet_i_run *run, const whet_table *table) {
    int64_t class_column, text_column;
    char quoted[WHET_QUOTE_SIZE];
    WHET_TRY(whet_table_find(ctx, table, "class", &class_column));
    WHET_TRY(whet_table_find(ctx, table, "text", &text_column));
    for (int64_t i = 0; i < whet_table_rows(table); i++) {
        const whet_str name = trim(whet_table_cell(table, i, class_column));
        const whet_str text = trim(whet_table_cell(table, i, text_column));
        const int64_t line = whet_table_line(table, i);
        const int64_t class = whet_names_find(run->classes, name);
        if (class < 0) return unknown_label(ctx, run, whet_table_path(table), line, name);
        if (run->class_texts[class].ptr)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s:%" PRId64 ": class %s again; expected one text a class",
                               whet_table_path(table), line, whet_i_quote(quoted, name));
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
    WHET_TRY(whet_i_progress(ctx, "read", 0, 0));
    WHET_TRY(read_rows(ctx, run, job->train, job->features, &run->train));
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
