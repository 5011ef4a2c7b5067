/* SPDX-License-Identifier: Apache-2.0
 * Tables to tokens and targets. Rows without a label are left out, and counted. */
#include <inttypes.h>
#include <math.h>

#include "tune/tune_i.h"

/* ---- labels ----------------------------------------------------------------------------------- */

static bool has_point(whet_str text) {
    return memchr(text.ptr, '.', (size_t)text.len) || memchr(text.ptr, 'e', (size_t)text.len);
}

/* Numbers, of which one is not whole, are a regression. Where most labels are, the others are no classes but
 * numbers that are missing, and none of the two is to be guessed. */
static whet_status look_like_regression(whet_ctx *ctx, const whet_i_given_labels *given,
                                        bool *does) {
    char quoted[WHET_QUOTE_SIZE];
    bool point = false;
    int64_t numbers = 0, odd = -1;
    for (int64_t i = 0; i < given->n; i++) {
        double value;
        if (whet_i_parse_real(given->items[i].name, &value)) {
            numbers++;
            point |= has_point(given->items[i].name);
        } else if (odd < 0) {
            odd = i;
        }
    }
    *does = point && odd < 0;
    if (!point || odd < 0 || numbers < given->n - numbers) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "%s:%" PRId64 ": label %s among %" PRId64 " that are numbers, of %" PRId64
                       "; expected numbers alone (regression) or names of classes; try an empty "
                       "cell, which leaves its row out, or --task classification",
                       given->path, given->items[odd].line,
                       whet_i_quote(quoted, given->items[odd].name), numbers, given->n);
}

static whet_status unknown_class(whet_ctx *ctx, const whet_i_tune *run, const char *path,
                                 const whet_i_given_label *label) {
    char quoted[WHET_QUOTE_SIZE], near_quoted[WHET_QUOTE_SIZE];
    const int64_t near = whet_i_nearest_name(run->classes, label->name);
    return whet_i_fail(
        ctx, WHET_ERR_DATA,
        "%s:%" PRId64 ": label %s is unknown; expected one of the %lld classes of %s%s%s", path,
        label->line, whet_i_quote(quoted, label->name), (long long)whet_names_count(run->classes),
        run->job.classes                                              ? run->job.classes
        : run->head.names && !run->head.rows && run->k == run->head.k ? "the head that is there"
                                                                      : "the training labels",
        near < 0 ? "" : "; nearest is ",
        near < 0 ? "" : whet_i_quote(near_quoted, whet_names_get(run->classes, near)));
}

whet_status whet_i_tune_class_of(whet_ctx *ctx, const whet_i_tune *run, const char *path,
                                 const whet_i_given_label *label, int32_t *out) {
    const int64_t class = whet_names_find(run->classes, label->name);
    if (class < 0) return unknown_class(ctx, run, path, label);
    *out = (int32_t) class;
    return WHET_OK;
}

static whet_status assign_classes(whet_ctx *ctx, const whet_i_tune *run,
                                  const whet_i_given_labels *given, whet_i_tune_rows *rows) {
    WHET_TRY(whet_i_alloc(ctx, given->n, &rows->labels));
    for (int64_t i = 0; i < given->n; i++)
        WHET_TRY(whet_i_tune_class_of(ctx, run, given->path, &given->items[i], &rows->labels[i]));
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

/* What the loss reads; without one, what the task or the labels look like. */
static whet_status choose_kind(whet_ctx *ctx, whet_i_tune *run, const whet_i_given_labels *given) {
    const whet_tune_job *j = &run->job;
    bool numbers = j->task == WHET_TUNE_REGRESS;
    run->kind = whet_i_tune_kind_of(j->loss);
    if (!run->kind) {
        if (j->task == WHET_TUNE_AUTO && !j->classes && !j->space &&
            !whet_i_tune_head_names_all(run, given))
            WHET_TRY(look_like_regression(ctx, given, &numbers));
        run->kind = whet_i_tune_kind_of(numbers ? WHET_TUNE_MSE : WHET_TUNE_CROSS_ENTROPY);
    }
    run->regression = run->kind->targets == WHET_I_TARGET_NUMBERS;
    return WHET_OK;
}

static whet_status choose_task(whet_ctx *ctx, whet_i_tune *run, const whet_i_given_labels *given) {
    char quoted[WHET_QUOTE_SIZE];
    WHET_TRY(choose_kind(ctx, run, given));
    run->k = 1;
    if (run->kind->targets != WHET_I_TARGET_CLASSES) return WHET_OK;
    if (run->job.classes)
        WHET_TRY(whet_names_read(ctx, run->job.classes, &run->classes));
    else
        WHET_TRY(whet_i_labels_classes(ctx, given, &run->classes));
    WHET_TRY(whet_i_tune_match_head(ctx, run, given, !run->job.classes));
    run->k = whet_names_count(run->classes);
    if (run->k >= 2 && run->k <= WHET_I_TUNE_CLASSES_MAX) return WHET_OK;
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
    whet_i_warn_of_texts(ctx, rows->path, rows->texts, rows->n);
    if (rows->seconds) whet_i_warn_of_texts(ctx, rows->path, rows->seconds, rows->n);
    return WHET_OK;
}

/* The two texts of a row one by one, behind each other. */
static whet_status encode_two_texts(whet_ctx *ctx, const whet_i_tune *run, whet_i_tune_rows *rows) {
    whet_str *texts;
    WHET_TRY(whet_i_alloc(ctx, 2 * rows->n, &texts));
    for (int64_t i = 0; i < 2 * rows->n; i++)
        texts[i] = i % 2 ? rows->seconds[i / 2] : rows->texts[i / 2];
    const whet_status status =
        whet_tokenizer_encode_pairs(ctx, run->backbone.tokenizer, texts, NULL, 2 * rows->n,
                                    run->backbone.max_length, &rows->tokens, &rows->truncated);
    whet_i_free(ctx, texts);
    return status;
}

whet_status whet_i_tune_encode(whet_ctx *ctx, const whet_i_tune *run, whet_i_tune_rows *rows) {
    const int64_t texts = whet_i_tune_texts(run);
    if (run->kind->two_texts)
        WHET_TRY(encode_two_texts(ctx, run, rows));
    else
        WHET_TRY(whet_tokenizer_encode_pairs(ctx, run->backbone.tokenizer, rows->texts,
                                             rows->seconds, rows->n, run->backbone.max_length,
                                             &rows->tokens, &rows->truncated));
    WHET_TRY(whet_i_alloc(ctx, rows->n, &rows->lengths));
    for (int64_t i = 0; i < rows->n; i++)
        rows->lengths[i] = rows->tokens.start[texts * (i + 1)] - rows->tokens.start[texts * i];
    /* Of texts that another module has in memory, now these and now those, it tells itself. */
    if (rows->truncated && !run->given)
        whet_i_log(ctx, WHET_LOG_WARN,
                   "%s: %" PRId64 " of %" PRId64 " texts are longer than %" PRId64
                   " tokens; their ends are not read",
                   rows->path, rows->truncated, rows->tokens.n_rows, run->backbone.max_length);
    return WHET_OK;
}

/* ---- one table -------------------------------------------------------------------------------- */

/* Rows that no label chooses: those with both texts. */
static whet_status rows_of_texts(whet_ctx *ctx, const whet_i_tune *run, const whet_table *table,
                                 whet_i_given_labels *given) {
    int64_t first, second;
    WHET_TRY(whet_table_find(ctx, table, run->job.text, &first));
    WHET_TRY(whet_table_find(ctx, table, run->job.second, &second));
    WHET_TRY(whet_i_alloc(ctx, whet_table_rows(table), &given->items));
    for (int64_t i = 0; i < whet_table_rows(table); i++)
        if (whet_i_trim(whet_table_cell(table, i, first)).len &&
            whet_i_trim(whet_table_cell(table, i, second)).len)
            given->items[given->n++] = (whet_i_given_label){.row = i};
    return WHET_OK;
}

static whet_status given_rows(whet_ctx *ctx, const whet_i_tune *run, const whet_table *table,
                              whet_i_given_labels *given) {
    int64_t column;
    if (run->job.loss == WHET_TUNE_IN_BATCH) return rows_of_texts(ctx, run, table, given);
    WHET_TRY(whet_table_find(ctx, table, run->job.label, &column));
    return whet_i_labels_of_column(ctx, table, column, given);
}

static whet_status no_rows(whet_ctx *ctx, const whet_i_tune *run, const char *path) {
    const bool labels = run->job.loss != WHET_TUNE_IN_BATCH;
    return whet_i_fail(ctx, WHET_ERR_DATA, "%s: no %s in column \"%s\"; expected some", path,
                       labels ? "labels" : "pairs of texts",
                       labels ? run->job.label : run->job.second);
}

static whet_status assign_targets(whet_ctx *ctx, const whet_i_tune *run,
                                  const whet_i_given_labels *given, whet_i_tune_rows *rows) {
    switch (run->kind->targets) {
    case WHET_I_TARGET_CLASSES: return assign_classes(ctx, run, given, rows);
    case WHET_I_TARGET_NUMBERS: return assign_numbers(ctx, given, rows);
    case WHET_I_TARGET_TOKENS:
    case WHET_I_TARGET_NONE: break;
    }
    return WHET_OK;
}

static whet_status read_targets(whet_ctx *ctx, whet_i_tune *run, const char *path, bool first,
                                whet_i_tune_rows *rows, whet_i_given_labels *given) {
    WHET_TRY(given_rows(ctx, run, rows->table, given));
    if (given->n == 0) return no_rows(ctx, run, path);
    if (first) WHET_TRY(choose_task(ctx, run, given));
    return assign_targets(ctx, run, given, rows);
}

static whet_status read_rows(whet_ctx *ctx, whet_i_tune *run, const char *path, bool first,
                             whet_i_tune_rows *rows) {
    whet_i_given_labels given = {0};
    whet_status status = WHET_OK;
    rows->path = path;
    WHET_TRY_DONE(whet_table_read(ctx, path, &rows->table));
    if (first && whet_i_tune_reads_language(run, rows->table)) {
        run->kind = whet_i_tune_kind_of(WHET_TUNE_CAUSAL);
        run->k = 1;
    }
    if (run->kind && run->kind->targets == WHET_I_TARGET_TOKENS) {
        status = whet_i_tune_read_language(ctx, run, rows);
        goto done;
    }
    if (run->job.no_end) {
        status = whet_i_fail(ctx, WHET_ERR_ARG,
                             "--no-end is of language models that learn next tokens, and here %s "
                             "learns from labels; expected none",
                             run->backbone.model_type);
        goto done;
    }
    if (first && run->job.probs)
        WHET_TRY_DONE(whet_i_tune_read_probabilities(ctx, run, rows, &given));
    else
        WHET_TRY_DONE(read_targets(ctx, run, path, first, rows, &given));
    WHET_TRY_DONE(view_texts(ctx, run, &given, rows));
    WHET_TRY_DONE(whet_i_tune_encode(ctx, run, rows));
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

/* A class with one training row has no pair of its own. */
static whet_status warn_of_single_rows(whet_ctx *ctx, const whet_i_tune *run) {
    char quoted[WHET_QUOTE_SIZE];
    int64_t *counts, single = 0, last = -1;
    WHET_TRY(whet_i_calloc(ctx, run->k, &counts));
    for (int64_t i = 0; i < run->train.n; i++) counts[run->train.labels[i]]++;
    for (int64_t c = 0; c < run->k; c++) {
        if (counts[c] != 1) continue;
        single++;
        last = c;
    }
    whet_i_free(ctx, counts);
    if (single)
        whet_i_log(ctx, WHET_LOG_WARN,
                   "%s: %" PRId64 " of %" PRId64
                   " classes have one row, %s among them: loss %s only sets it apart from others",
                   run->train.path, single, run->k,
                   whet_i_quote(quoted, whet_names_get(run->classes, last)), run->kind->name);
    return WHET_OK;
}

/* Cosines end at 1: numbers beyond are brought there. */
static void scale_targets(whet_i_tune *run) {
    double most = 0;
    run->target_scale = 1;
    if (!run->kind->embeds || !run->regression) return;
    for (int64_t i = 0; i < run->train.n; i++)
        most = fmax(most, fabs((double)run->train.targets[i]));
    if (most <= 1) return;
    run->target_scale = most;
    for (int64_t i = 0; i < run->train.n; i++) run->train.targets[i] /= (float)most;
    for (int64_t i = 0; i < run->valid.n; i++) run->valid.targets[i] /= (float)most;
}

whet_status whet_i_tune_read(whet_ctx *ctx, whet_i_tune *run) {
    WHET_TRY(whet_i_progress(ctx, "read", 0, 0));
    if (run->given) return whet_i_tune_read_given(ctx, run);
    WHET_TRY(read_rows(ctx, run, run->job.train, true, &run->train));
    if (run->job.valid) WHET_TRY(read_rows(ctx, run, run->job.valid, false, &run->valid));
    scale_targets(run);
    if (!run->classes) return WHET_OK;
    if (run->valid.n && run->k <= 4096) warn_of_missing_classes(ctx, run);
    if (run->kind->embeds) WHET_TRY(warn_of_single_rows(ctx, run));
    return whet_i_tune_read_costs(ctx, run);
}
