/* SPDX-License-Identifier: Apache-2.0
 * The tables that runs of one task and seed read: rows of the task's own, drawn by a seed. */
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
    char *const paths[] = {rows->fit, rows->choose, rows->train, rows->test};
    for (int64_t i = 0; i < WHET_COUNT_OF(paths); i++) {
        if (paths[i]) (void)unlink(paths[i]);
        whet_i_free(ctx, paths[i]);
    }
    *rows = (whet_i_glue_rows){0};
}

/* ---- drawing ----------------------------------------------------------------------------------- */

typedef struct drawn {
    whet_table *table;
    int64_t column[3]; /* text, label, second */
    int32_t columns;
    int64_t *order; /* rows, shuffled */
    int64_t n;      /* of them that are used */
} drawn;

static void free_drawn(whet_ctx *ctx, drawn *d) {
    whet_i_free(ctx, d->order);
    whet_table_destroy(ctx, d->table);
}

static whet_status draw(whet_ctx *ctx, const char *data, const char *file,
                        const whet_i_glue_task *task, int64_t most, uint64_t seed, uint64_t stream,
                        drawn *d) {
    const char *const names[] = {task->text, task->label, task->second};
    char *path;
    whet_i_rng rng;
    WHET_TRY(whet_i_join_path(ctx, data, file, &path));
    whet_status status = whet_table_read(ctx, path, &d->table);
    whet_i_free(ctx, path);
    WHET_TRY(status);
    d->columns = task->second ? 3 : 2;
    for (int32_t i = 0; i < d->columns; i++)
        WHET_TRY(whet_table_find(ctx, d->table, names[i], &d->column[i]));
    const int64_t rows = whet_table_rows(d->table);
    WHET_TRY(whet_i_alloc(ctx, rows, &d->order));
    for (int64_t i = 0; i < rows; i++) d->order[i] = i;
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
