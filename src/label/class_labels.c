/* SPDX-License-Identifier: Apache-2.0
 * Labels of rows as class numbers: from an array, or from a table of names or numbers.
 * Legend: n rows, k classes. */
#include <inttypes.h>

#include "io/io_i.h"
#include "label/vote_model.h"

/* Of an array [n], -1 = none. */
static whet_status from_array(whet_ctx *ctx, const char *spec, int64_t n, int64_t k,
                              int32_t *labels) {
    whet_tensor t;
    WHET_TRY(whet_array_read_as(ctx, spec, WHET_I32, 1, false, &t));
    whet_status status = WHET_OK;
    if (t.shape[0] != n)
        status = whet_i_fail(ctx, WHET_ERR_SHAPE,
                             "%s has %" PRId64 " labels; expected %" PRId64 ", one a row", spec,
                             t.shape[0], n);
    const int32_t *given = t.data;
    for (int64_t i = 0; status == WHET_OK && i < n; i++) {
        if (given[i] < -1 || given[i] >= k)
            status = whet_i_fail(ctx, WHET_ERR_DATA,
                                 "%s: label [%" PRId64 "] is %d; expected -1 to %" PRId64, spec, i,
                                 given[i], k - 1);
        else
            labels[i] = given[i];
    }
    whet_tensor_destroy(ctx, &t);
    return status;
}

static whet_status class_of(whet_ctx *ctx, const char *path, const whet_i_given_label *label,
                            const whet_names *classes, int64_t k, int64_t *out) {
    char quoted[WHET_QUOTE_SIZE];
    if (classes) {
        *out = whet_names_find(classes, label->name);
        if (*out >= 0) return WHET_OK;
        return whet_i_fail(ctx, WHET_ERR_DATA, "%s:%" PRId64 ": label %s is not among the classes",
                           path, label->line, whet_i_quote(quoted, label->name));
    }
    if (whet_i_parse_int(label->name, out) && *out >= 0 && *out < k) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "%s:%" PRId64 ": label is %s; expected a class from 0 to %" PRId64
                       ", or a list of class names beside it",
                       path, label->line, whet_i_quote(quoted, label->name), k - 1);
}

/* A table of row and label, or of a label for each of n rows; given points into it. */
static whet_status read_table(whet_ctx *ctx, const char *path, int64_t n, whet_table **table,
                              whet_i_given_labels *given) {
    int64_t column;
    WHET_TRY(whet_table_read(ctx, path, table));
    if (whet_names_find(whet_table_columns(*table), whet_str_from("row")) >= 0)
        return whet_i_labels_of_sparse(ctx, *table, n, given);
    WHET_TRY(whet_i_table_needs(ctx, *table, "label", &column));
    if (whet_table_rows(*table) != n)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: %" PRId64 " rows and no column row; expected %" PRId64
                           " rows, or the columns row and label",
                           path, whet_table_rows(*table), n);
    return whet_i_labels_of_column(ctx, *table, column, given);
}

static whet_status assign(whet_ctx *ctx, const whet_i_given_labels *given,
                          const whet_names *classes, int64_t k, int32_t *labels) {
    for (int64_t i = 0; i < given->n; i++) {
        const whet_i_given_label *g = &given->items[i];
        char quoted[WHET_QUOTE_SIZE];
        int64_t c;
        WHET_TRY(class_of(ctx, given->path, g, classes, k, &c));
        if (labels[g->row] >= 0 && labels[g->row] != c)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s:%" PRId64 ": row %" PRId64
                               " has a second label, %s; expected one",
                               given->path, g->line, g->row, whet_i_quote(quoted, g->name));
        labels[g->row] = (int32_t)c;
    }
    return WHET_OK;
}

static whet_status from_table(whet_ctx *ctx, const char *path, int64_t n, const whet_names *classes,
                              int64_t k, int32_t *labels) {
    whet_table *table = NULL;
    whet_i_given_labels given = {0};
    whet_status status = read_table(ctx, path, n, &table, &given);
    if (status == WHET_OK) status = assign(ctx, &given, classes, k, labels);
    whet_i_free(ctx, given.items);
    whet_table_destroy(ctx, table);
    return status;
}

whet_status whet_i_row_labels_read(whet_ctx *ctx, const char *path, const char *classes_path,
                                   int64_t n, whet_names **classes, int32_t **labels) {
    whet_status status = WHET_OK;
    whet_table *table = NULL;
    whet_i_given_labels given = {0};
    whet_names *names = NULL;
    int32_t *own = NULL;
    if (!path && !classes_path)
        return whet_i_fail(ctx, WHET_ERR_ARG, "no labels and no class list; expected one of them");
    if (path) WHET_TRY_DONE(read_table(ctx, path, n, &table, &given));
    WHET_TRY_DONE(classes_path ? whet_names_read(ctx, classes_path, &names)
                               : whet_i_labels_classes(ctx, &given, &names));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &own));
    for (int64_t i = 0; i < n; i++) own[i] = -1;
    WHET_TRY_DONE(assign(ctx, &given, names, whet_names_count(names), own));
    *classes = names;
    *labels = own;
    names = NULL;
    own = NULL;
done:
    whet_i_free(ctx, own);
    whet_names_destroy(ctx, names);
    whet_i_free(ctx, given.items);
    whet_table_destroy(ctx, table);
    return status;
}

whet_status whet_class_labels_read(whet_ctx *ctx, const char *spec, int64_t n,
                                   const whet_names *classes, int64_t k, int32_t **out) {
    int32_t *labels;
    if (n < 0 || k < 1 || k > INT32_MAX || (classes && whet_names_count(classes) != k))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "labels of %" PRId64 " rows and %" PRId64 " classes; expected at least "
                           "0 and 1, and as many classes as names",
                           n, k);
    const bool table = whet_i_has_extension(spec, ".tsv") || whet_i_has_extension(spec, ".csv") ||
                       whet_i_has_extension(spec, ".jsonl") || whet_i_has_extension(spec, ".txt");
    WHET_TRY(whet_i_alloc(ctx, n, &labels));
    for (int64_t i = 0; i < n; i++) labels[i] = -1;
    const whet_status status =
        table ? from_table(ctx, spec, n, classes, k, labels) : from_array(ctx, spec, n, k, labels);
    if (status == WHET_OK)
        *out = labels;
    else
        whet_i_free(ctx, labels);
    return status;
}

void whet_free_labels(whet_ctx *ctx, int32_t *labels) { whet_i_free(ctx, labels); }
