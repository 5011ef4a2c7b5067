/* SPDX-License-Identifier: Apache-2.0
 * Which rows are held out together: copies of a text, and those that the user says belong together. Who has
 * learned one by heart knows the other. Copies among the labelled texts and the test's are told. */
#include <inttypes.h>

#include "adapt/adapt_i.h"
#include "adapt/pipeline_i.h"

/* Fewer than one in so many of the test change little: that is a note. */
enum { FEW = 20 };

/* Labelled texts, then the test's. */
typedef struct copies {
    int64_t b, n;
    int64_t *row;   /* [b] of the training table */
    int64_t *text;  /* [n] the same number for the same text */
    int64_t *first; /* [n] as whet_i_alike gives it */
} copies;

static void tell_labelled(whet_ctx *ctx, const whet_i_run *run, const copies *c) {
    char quoted[2][WHET_QUOTE_SIZE];
    int64_t more = 0, other = -1, again = 0;
    for (int64_t i = 0; i < c->b; i++) {
        if (c->first[i] == i) continue;
        more++;
        if (run->train.labels[c->row[i]] == run->train.labels[c->row[c->first[i]]]) continue;
        again++;
        if (other < 0) other = i;
    }
    if (more)
        whet_i_log(ctx, WHET_LOG_INFO,
                   "%s: %" PRId64 " of %" PRId64 " labelled texts %s: copies are held out together",
                   run->train.path, more, c->b,
                   more == 1 ? "is a copy of another" : "are copies of others");
    if (other < 0) return;
    const int64_t a = c->row[c->first[other]], b = c->row[other];
    whet_i_log(ctx, WHET_LOG_WARN,
               "%s: rows %" PRId64 " and %" PRId64
               " are one text, of class %s and of class %s (%" PRId64
               " such copies); expected one class of a text",
               run->train.path, a, b,
               whet_i_quote(quoted[0], whet_names_get(run->classes, run->train.labels[a])),
               whet_i_quote(quoted[1], whet_names_get(run->classes, run->train.labels[b])), again);
}

static void tell_test(whet_ctx *ctx, const whet_i_run *run, const copies *c) {
    int64_t known = 0;
    for (int64_t i = c->b; i < c->n; i++) known += c->first[i] < c->b;
    if (known)
        whet_i_log(ctx, known * FEW > c->n - c->b ? WHET_LOG_WARN : WHET_LOG_INFO,
                   "%s: %" PRId64 " of %" PRId64 " texts %s among the %" PRId64
                   " that are learnt from; expected others: who learns by heart is right there",
                   run->test.path, known, c->n - c->b, known == 1 ? "is" : "are", c->b);
}

static int64_t hash_of(whet_str text) {
    return (int64_t)(whet_i_hash_bytes(text.ptr, text.len) >> 1);
}

/* While run->groups are of texts alone. */
static whet_status tell(whet_ctx *ctx, const whet_i_run *run) {
    const whet_i_run_rows *train = &run->train, *test = &run->test;
    whet_status status = WHET_OK;
    copies c = {0};
    for (int64_t i = 0; i < train->n; i++) c.b += train->labels[i] >= 0;
    c.n = c.b + (test->texts ? test->n : 0);
    WHET_TRY_DONE(whet_i_alloc(ctx, c.b, &c.row));
    WHET_TRY_DONE(whet_i_alloc(ctx, c.n, &c.text));
    WHET_TRY_DONE(whet_i_alloc(ctx, c.n, &c.first));
    for (int64_t i = 0, at = 0; i < train->n; i++) {
        if (train->labels[i] < 0) continue;
        c.row[at] = i;
        c.text[at++] = run->groups[i];
    }
    for (int64_t i = c.b; i < c.n; i++) c.text[i] = hash_of(test->texts[i - c.b]);
    WHET_TRY_DONE(whet_i_alike(ctx, c.text, (int64_t)sizeof *c.text, NULL, c.n, c.first));
    tell_labelled(ctx, run, &c);
    tell_test(ctx, run, &c);
done:
    whet_i_free(ctx, c.row);
    whet_i_free(ctx, c.text);
    whet_i_free(ctx, c.first);
    return status;
}

/* ---- groups ---------------------------------------------------------------------------------- */

whet_status whet_i_group_texts(whet_ctx *ctx, const whet_str *texts, int64_t n, int64_t **groups) {
    if (!texts) return WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, n, groups));
    for (int64_t i = 0; i < n; i++) (*groups)[i] = hash_of(texts[i]);
    return WHET_OK;
}

static int64_t root_of(int64_t *above, int64_t i) {
    while (above[i] != i) i = above[i] = above[above[i]];
    return i;
}

/* Rows of the same number are joined; above [n]: another row of the group, or the row itself. */
static whet_status join(whet_ctx *ctx, const int64_t *of, int64_t n, int64_t *above) {
    int64_t *first;
    WHET_TRY(whet_i_alloc(ctx, n, &first));
    const whet_status status = whet_i_alike(ctx, of, (int64_t)sizeof *of, NULL, n, first);
    for (int64_t i = 0; status == WHET_OK && i < n; i++)
        above[root_of(above, i)] = root_of(above, first[i]);
    whet_i_free(ctx, first);
    return status;
}

/* Rows with the same cell, and those that are one text with one of them. An empty cell is no group. */
static whet_status group_cells(whet_ctx *ctx, const whet_i_run *run, int64_t *groups) {
    const whet_table *table = run->train.table;
    const int64_t n = run->train.n;
    int64_t *cells = NULL, *above = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &above));
    for (int64_t i = 0; i < n; i++) {
        const whet_str cell = whet_table_cell(table, i, run->train.group_column);
        cells[i] = cell.len ? hash_of(cell) : -1 - i;
        above[i] = i;
    }
    WHET_TRY_DONE(join(ctx, cells, n, above));
    if (run->train.texts) WHET_TRY_DONE(join(ctx, groups, n, above));
    for (int64_t i = 0; i < n; i++) groups[i] = root_of(above, i);
done:
    whet_i_free(ctx, cells);
    whet_i_free(ctx, above);
    return status;
}

whet_status whet_i_run_group(whet_ctx *ctx, whet_i_run *run) {
    WHET_TRY(whet_i_group_texts(ctx, run->train.texts, run->train.n, &run->groups));
    if (run->groups) WHET_TRY(tell(ctx, run));
    if (!run->job->groups) return WHET_OK;
    if (!run->groups) WHET_TRY(whet_i_alloc(ctx, run->train.n, &run->groups));
    return group_cells(ctx, run, run->groups);
}
