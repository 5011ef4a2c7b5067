/* SPDX-License-Identifier: Apache-2.0
 * The tables that runs of one task and seed read: rows of the task's own, drawn by a seed. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "bench/glue_i.h"

enum { STREAM_TRAIN = 0x676c7501, STREAM_TEST = 0x676c7502, CHOOSE = 5 /* one row in so many */ };

bool whet_i_glue_there(whet_ctx *ctx, const char *data, const whet_i_glue_task *task) {
    char *path;
    if (whet_i_join_path(ctx, data, task->train, &path) != WHET_OK) return false;
    const bool there = access(path, R_OK) == 0;
    whet_i_free(ctx, path);
    return there;
}

void whet_i_glue_rows_free(whet_ctx *ctx, whet_i_glue_rows *rows) {
    char *const paths[] = {rows->fit, rows->choose, rows->train, rows->test, rows->classes};
    for (int64_t i = 0; i < WHET_COUNT_OF(paths); i++) {
        if (paths[i]) (void)unlink(paths[i]);
        whet_i_free(ctx, paths[i]);
    }
    *rows = (whet_i_glue_rows){0};
}

/* ---- tables ----------------------------------------------------------------------------------- */

typedef struct drawn {
    whet_table *table;
    int64_t column[3]; /* text, label, second */
    int32_t columns;
    whet_i_given_labels given;
    int64_t *order; /* rows with a label, shuffled */
    int64_t n;      /* of them that are used */
} drawn;

static void free_drawn(whet_ctx *ctx, drawn *d) {
    whet_i_free(ctx, d->order);
    whet_i_free(ctx, d->given.items);
    whet_table_destroy(ctx, d->table);
}

/* Rows without a label are none of the task's. */
static whet_status open_table(whet_ctx *ctx, const char *data, const char *file,
                              const whet_i_glue_task *task, drawn *d) {
    const char *const names[] = {task->text, task->label, task->second};
    char *path;
    WHET_TRY(whet_i_join_path(ctx, data, file, &path));
    whet_status status = whet_table_read(ctx, path, &d->table);
    whet_i_free(ctx, path);
    WHET_TRY(status);
    d->columns = task->second ? 3 : 2;
    for (int32_t i = 0; i < d->columns; i++)
        WHET_TRY(whet_i_table_needs(ctx, d->table, names[i], &d->column[i]));
    return whet_i_labels_of_column(ctx, d->table, d->column[1], &d->given);
}

/* ---- what is wrong with them, before the work ---------------------------------------------------- */

static whet_status wrong_label(whet_ctx *ctx, const whet_i_glue_task *task, const drawn *d,
                               int64_t at, const char *expected) {
    char quoted[WHET_QUOTE_SIZE];
    const whet_i_given_label *label = &d->given.items[at];
    return whet_i_fail(ctx, WHET_ERR_DATA, "%s:%" PRId64 ": %s is %s; expected %s",
                       whet_table_path(d->table), label->line, task->label,
                       whet_i_quote(quoted, label->name), expected);
}

static whet_status check_rows(whet_ctx *ctx, const whet_i_glue_task *task, const drawn *d,
                              int64_t least, const char *why) {
    if (d->given.n < least)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: %" PRId64 " rows have a %s; expected %" PRId64 " or more%s",
                           whet_table_path(d->table), d->given.n, task->label, least, why);
    for (int64_t i = 0; task->numbers && i < d->given.n; i++) {
        double value;
        if (!whet_i_parse_real(d->given.items[i].name, &value) || !isfinite((float)value))
            return wrong_label(ctx, task, d, i, "a number");
    }
    return WHET_OK;
}

/* Classes that may be predicted are those of all training rows, drawn or not. */
static whet_status check_classes(whet_ctx *ctx, const whet_i_glue_task *task, const drawn *train,
                                 const drawn *test) {
    whet_names *classes;
    char expected[WHET_QUOTE_SIZE + 64];
    WHET_TRY(whet_i_labels_classes(ctx, &train->given, &classes));
    whet_status status = WHET_OK;
    if (whet_names_count(classes) < 2)
        status = wrong_label(ctx, task, train, 0, "another class as well, which no row has");
    (void)snprintf(expected, sizeof expected, "one of the %" PRId64 " classes of %s",
                   whet_names_count(classes), task->train);
    for (int64_t i = 0; status == WHET_OK && i < test->given.n; i++)
        if (whet_names_find(classes, test->given.items[i].name) < 0)
            status = wrong_label(ctx, task, test, i, expected);
    whet_names_destroy(ctx, classes);
    return status;
}

whet_status whet_i_glue_check(whet_ctx *ctx, const char *data, const whet_i_glue_task *task) {
    drawn train = {0}, test = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(open_table(ctx, data, task->train, task, &train));
    WHET_TRY_DONE(
        check_rows(ctx, task, &train, CHOOSE, ", of which a fifth is held out to choose rates"));
    WHET_TRY_DONE(open_table(ctx, data, task->test, task, &test));
    WHET_TRY_DONE(check_rows(ctx, task, &test, 1, ""));
    if (!task->numbers) status = check_classes(ctx, task, &train, &test);
done:
    free_drawn(ctx, &test);
    free_drawn(ctx, &train);
    return status;
}

/* ---- drawing ------------------------------------------------------------------------------------ */

static whet_status draw(whet_ctx *ctx, const char *data, const char *file,
                        const whet_i_glue_task *task, int64_t most, uint64_t seed, uint64_t stream,
                        drawn *d) {
    whet_i_rng rng;
    WHET_TRY(open_table(ctx, data, file, task, d));
    const int64_t rows = d->given.n;
    WHET_TRY(whet_i_alloc(ctx, rows, &d->order));
    for (int64_t i = 0; i < rows; i++) d->order[i] = d->given.items[i].row;
    whet_i_rng_init(&rng, seed, stream);
    whet_i_rng_shuffle(&rng, d->order, rows);
    d->n = rows < most ? rows : most;
    return WHET_OK;
}

static whet_status write_row(whet_ctx *ctx, const drawn *d, int64_t row, whet_out *out) {
    for (int32_t i = 0; i < d->columns; i++) {
        const whet_str cell = whet_table_cell(d->table, row, d->column[i]);
        WHET_TRY(whet_out_write(ctx, out, cell.ptr, cell.len));
        WHET_TRY(whet_out_write(ctx, out, i + 1 < d->columns ? "\t" : "\n", 1));
    }
    return WHET_OK;
}

/* Rows first .. last of the draw. Tables are TSV, whose cells hold no tabs and no line breaks. */
static whet_status write_part(whet_ctx *ctx, const drawn *d, int64_t first, int64_t last,
                              const char *folder, const char *name, char **path) {
    whet_out *out;
    WHET_TRY(whet_i_join_path(ctx, folder, name, path));
    WHET_TRY(whet_out_open(ctx, *path, true, &out));
    whet_status status =
        whet_out_printf(ctx, out, "text\tlabel%s\n", d->columns == 3 ? "\tsecond" : "");
    for (int64_t i = first; status == WHET_OK && i < last; i++)
        status = write_row(ctx, d, d->order[i], out);
    if (status == WHET_OK) return whet_out_commit(ctx, out);
    whet_out_abort(ctx, out);
    return status;
}

/* A draw may lack a class that has a row to predict, or have it among the rows that choose alone. */
static whet_status write_classes(whet_ctx *ctx, const drawn *d, const char *folder, char **path) {
    whet_names *classes;
    whet_out *out = NULL;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_labels_classes(ctx, &d->given, &classes));
    WHET_TRY_DONE(whet_i_join_path(ctx, folder, "classes.txt", path));
    WHET_TRY_DONE(whet_out_open(ctx, *path, true, &out));
    for (int64_t c = 0; c < whet_names_count(classes); c++) {
        const whet_str name = whet_names_get(classes, c);
        WHET_TRY_DONE(whet_out_write(ctx, out, name.ptr, name.len));
        WHET_TRY_DONE(whet_out_write(ctx, out, "\n", 1));
    }
    status = whet_out_commit(ctx, out);
    out = NULL;
done:
    whet_out_abort(ctx, out);
    whet_names_destroy(ctx, classes);
    return status;
}

whet_status whet_i_glue_rows_make(whet_ctx *ctx, const char *data, const whet_i_glue_task *task,
                                  const char *folder, int64_t train, int64_t test, uint64_t seed,
                                  uint64_t job_seed, whet_i_glue_rows *out) {
    drawn d = {0}, t = {0};
    whet_i_glue_rows rows = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(draw(ctx, data, task->train, task, train, seed, STREAM_TRAIN, &d));
    WHET_TRY_DONE(draw(ctx, data, task->test, task, test, job_seed, STREAM_TEST, &t));
    const int64_t choose = d.n / CHOOSE;
    WHET_TRY_DONE(write_part(ctx, &d, 0, choose, folder, "choose.tsv", &rows.choose));
    WHET_TRY_DONE(write_part(ctx, &d, choose, d.n, folder, "fit.tsv", &rows.fit));
    WHET_TRY_DONE(write_part(ctx, &d, 0, d.n, folder, "train.tsv", &rows.train));
    WHET_TRY_DONE(write_part(ctx, &t, 0, t.n, folder, "test.tsv", &rows.test));
    if (!task->numbers) WHET_TRY_DONE(write_classes(ctx, &d, folder, &rows.classes));
    rows.n_train = d.n;
    rows.n_test = t.n;
    *out = rows;
    rows = (whet_i_glue_rows){0};
done:
    whet_i_glue_rows_free(ctx, &rows);
    free_drawn(ctx, &t);
    free_drawn(ctx, &d);
    return status;
}
