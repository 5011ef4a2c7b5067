/* SPDX-License-Identifier: Apache-2.0
 * Tables to tokens and targets. Rows without a label are left out, and counted. */
#include <inttypes.h>
#include <math.h>

#include "tune/tune_i.h"

/* ---- labels ----------------------------------------------------------------------------------- */

static bool has_point(whet_str text) {
    return memchr(text.ptr, '.', (size_t)text.len) || memchr(text.ptr, 'e', (size_t)text.len);
}

/* Numbers, of which one is not whole. */
static bool looks_like_regression(const whet_i_given_labels *given) {
    bool point = false;
    for (int64_t i = 0; i < given->n; i++) {
        double value;
        if (!whet_i_parse_real(given->items[i].name, &value)) return false;
        point |= has_point(given->items[i].name);
    }
    return point;
}

static whet_status unknown_class(whet_ctx *ctx, const whet_i_tune *run, const char *path,
                                 const whet_i_given_label *label) {
    char quoted[WHET_QUOTE_SIZE], near_quoted[WHET_QUOTE_SIZE];
    const int64_t near = whet_i_nearest_name(run->classes, label->name);
    return whet_i_fail(
        ctx, WHET_ERR_DATA,
        "%s:%" PRId64 ": label %s is unknown; expected one of the %lld classes of %s%s%s", path,
        label->line, whet_i_quote(quoted, label->name), (long long)whet_names_count(run->classes),
        run->job.classes ? run->job.classes : "the training labels",
        near < 0 ? "" : "; nearest is ",
        near < 0 ? "" : whet_i_quote(near_quoted, whet_names_get(run->classes, near)));
}

static whet_status assign_classes(whet_ctx *ctx, const whet_i_tune *run,
                                  const whet_i_given_labels *given, whet_i_tune_rows *rows) {
    WHET_TRY(whet_i_alloc(ctx, given->n, &rows->labels));
    for (int64_t i = 0; i < given->n; i++) {
        const int64_t class = whet_names_find(run->classes, given->items[i].name);
        if (class < 0) return unknown_class(ctx, run, given->path, &given->items[i]);
        rows->labels[i] = (int32_t) class;
    }
    return WHET_OK;
}

static whet_status assign_numbers(whet_ctx *ctx, const whet_i_given_labels *given,
                                  whet_i_tune_rows *rows) {
    char quoted[WHET_QUOTE_SIZE];
    WHET_TRY(whet_i_alloc(ctx, given->n, &rows->targets));
    for (int64_t i = 0; i < given->n; i++) {
        double value;
        if (!whet_i_parse_real(given->items[i].name, &value) || !isfinite((float)value))
            return whet_i_fail(
                ctx, WHET_ERR_DATA, "%s:%" PRId64 ": label %s; expected a number (regression)",
                given->path, given->items[i].line, whet_i_quote(quoted, given->items[i].name));
        rows->targets[i] = (float)value;
    }
    return WHET_OK;
}

static whet_status choose_task(whet_ctx *ctx, whet_i_tune *run, const whet_i_given_labels *given) {
    char quoted[WHET_QUOTE_SIZE];
    run->regression =
        run->job.task == WHET_TUNE_REGRESS ||
        (run->job.task == WHET_TUNE_AUTO && !run->job.classes && looks_like_regression(given));
    run->k = 1;
    if (run->regression) return WHET_OK;
    if (run->job.classes)
        WHET_TRY(whet_names_read(ctx, run->job.classes, &run->classes));
    else
        WHET_TRY(whet_i_labels_classes(ctx, given, &run->classes));
    run->k = whet_names_count(run->classes);
    if (run->k >= 2 && run->k <= 1 << 20) return WHET_OK;
    return whet_i_fail(
        ctx, WHET_ERR_DATA, "%s: one class only, %s; expected at least 2", given->path,
        whet_i_quote(quoted, run->k ? whet_names_get(run->classes, 0) : (whet_str){0}));
}

/* ---- texts ------------------------------------------------------------------------------------ */

static whet_status view_texts(whet_ctx *ctx, const whet_i_tune *run,
                              const whet_i_given_labels *given, whet_i_tune_rows *rows) {
    int64_t text, second = -1;
    WHET_TRY(whet_table_find(ctx, rows->table, run->job.text, &text));
    if (run->job.second) WHET_TRY(whet_table_find(ctx, rows->table, run->job.second, &second));
    rows->n = given->n;
    rows->unlabelled = whet_table_rows(rows->table) - given->n;
    WHET_TRY(whet_i_alloc(ctx, rows->n, &rows->texts));
    if (second >= 0) WHET_TRY(whet_i_alloc(ctx, rows->n, &rows->seconds));
    for (int64_t i = 0; i < rows->n; i++) {
        rows->texts[i] = whet_table_cell(rows->table, given->items[i].row, text);
        if (second >= 0)
            rows->seconds[i] = whet_table_cell(rows->table, given->items[i].row, second);
    }
    return WHET_OK;
}

static whet_status encode(whet_ctx *ctx, const whet_i_tune *run, whet_i_tune_rows *rows) {
    WHET_TRY(whet_tokenizer_encode_pairs(ctx, run->tokenizer, rows->texts, rows->seconds, rows->n,
                                         run->config.max_length, &rows->tokens, &rows->truncated));
    WHET_TRY(whet_i_alloc(ctx, rows->n, &rows->lengths));
    for (int64_t i = 0; i < rows->n; i++)
        rows->lengths[i] = rows->tokens.start[i + 1] - rows->tokens.start[i];
    if (rows->truncated)
        whet_i_log(ctx, WHET_LOG_WARN,
                   "%s: %" PRId64 " of %" PRId64 " texts are longer than %" PRId64
                   " tokens; their ends are not read",
                   rows->path, rows->truncated, rows->n, run->config.max_length);
    return WHET_OK;
}

/* ---- one table -------------------------------------------------------------------------------- */

static whet_status read_rows(whet_ctx *ctx, whet_i_tune *run, const char *path, bool first,
                             whet_i_tune_rows *rows) {
    whet_i_given_labels given = {0};
    int64_t column;
    whet_status status = WHET_OK;
    rows->path = path;
    WHET_TRY_DONE(whet_table_read(ctx, path, &rows->table));
    WHET_TRY_DONE(whet_table_find(ctx, rows->table, run->job.label, &column));
    WHET_TRY_DONE(whet_i_labels_of_column(ctx, rows->table, column, &given));
    if (given.n == 0) {
        status = whet_i_fail(ctx, WHET_ERR_DATA, "%s: no labels in column \"%s\"; expected some",
                             path, run->job.label);
        goto done;
    }
    if (first) WHET_TRY_DONE(choose_task(ctx, run, &given));
    if (run->regression)
        WHET_TRY_DONE(assign_numbers(ctx, &given, rows));
    else
        WHET_TRY_DONE(assign_classes(ctx, run, &given, rows));
    WHET_TRY_DONE(view_texts(ctx, run, &given, rows));
    WHET_TRY_DONE(encode(ctx, run, rows));
done:
    whet_i_free(ctx, given.items);
    return status;
}

/* A class that the validation rows do not have is measured by nothing: said, not refused. */
static void warn_of_missing_classes(whet_ctx *ctx, const whet_i_tune *run) {
    char quoted[WHET_QUOTE_SIZE];
    int64_t missing = 0, last = -1;
    for (int64_t c = 0; c < run->k; c++) {
        bool found = false;
        for (int64_t i = 0; i < run->valid.n && !found; i++) found = run->valid.labels[i] == c;
        if (found) continue;
        missing++;
        last = c;
    }
    if (missing)
        whet_i_log(ctx, WHET_LOG_WARN,
                   "%s: %" PRId64 " of %" PRId64 " classes have no row, %s among them",
                   run->valid.path, missing, run->k,
                   whet_i_quote(quoted, whet_names_get(run->classes, last)));
}

whet_status whet_i_tune_read(whet_ctx *ctx, whet_i_tune *run) {
    WHET_TRY(whet_i_progress(ctx, "read", 0, 0));
    WHET_TRY(read_rows(ctx, run, run->job.train, true, &run->train));
    if (!run->job.valid) return WHET_OK;
    WHET_TRY(read_rows(ctx, run, run->job.valid, false, &run->valid));
    if (!run->regression && run->k <= 4096) warn_of_missing_classes(ctx, run);
    return WHET_OK;
}
