/* SPDX-License-Identifier: Apache-2.0
 * Votes from files and to files: dense arrays of integers, and triples (row, rule, vote) in a table.
 * Arrays come in blocks and are kept as they are needed, int8 or int32; triples are read twice, part
 * by part, first to count what each row has, then to put it there: only the votes are in memory.
 * Legend: n rows, m rules, k classes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/io_i.h"
#include "label/vote_triples.h"

enum { BLOCK_ROWS = 1 << 16, PART_BYTES = 8 << 20 };
/* Rows and rules that triples may speak of where nobody says how many there are: a number far beyond
 * what the file's length makes likely is a slip, and no reason for gigabytes. */
#define ROWS_ANYWAY ((int64_t)1 << 20)
#define ROWS_A_BYTE 64
#define RULES_ANYWAY ((int64_t)1 << 16)

struct whet_vote_file {
    whet_votes votes;
    int8_t *narrow;
    int32_t *wide, *rule, *vote;
    int64_t *start;
};

void whet_vote_file_destroy(whet_ctx *ctx, whet_vote_file *file) {
    if (!file) return;
    whet_i_free(ctx, file->narrow);
    whet_i_free(ctx, file->wide);
    whet_i_free(ctx, file->rule);
    whet_i_free(ctx, file->vote);
    whet_i_free(ctx, file->start);
    whet_i_free(ctx, file);
}

const whet_votes *whet_vote_file_votes(const whet_vote_file *file) { return &file->votes; }

/* ---- arrays ---------------------------------------------------------------------------------- */

static bool is_integer(whet_dtype dtype) {
    return dtype == WHET_I8 || dtype == WHET_I16 || dtype == WHET_I32 || dtype == WHET_I64;
}

whet_status whet_i_votes_open_array(whet_ctx *ctx, const char *spec, whet_i_array_rows **out,
                                    bool *narrow) {
    whet_i_array_rows *rows = NULL;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_array_rows_open(ctx, spec, &rows));
    const whet_tensor *head = whet_i_array_rows_head(rows);
    if (head->rank != 2 || !is_integer(head->dtype))
        status = whet_i_fail(ctx, WHET_ERR_SHAPE,
                             "%s is %s with %d dimensions; expected votes [rows, rules] of int8 or "
                             "int32, -1 = abstain",
                             spec, whet_dtype_name(head->dtype), head->rank);
    else if (head->shape[1] < 1)
        status =
            whet_i_fail(ctx, WHET_ERR_SHAPE, "%s has no rules; expected at least one column", spec);
    if (status != WHET_OK) {
        whet_i_array_rows_close(ctx, rows);
        return status;
    }
    *narrow = head->dtype == WHET_I8;
    *out = rows;
    return WHET_OK;
}

static whet_status read_dense(whet_ctx *ctx, const char *spec, whet_vote_file *file) {
    whet_i_array_rows *rows = NULL;
    whet_status status = WHET_OK;
    int64_t cells;
    bool narrow;
    WHET_TRY(whet_i_votes_open_array(ctx, spec, &rows, &narrow));
    const int64_t *shape = whet_i_array_rows_head(rows)->shape, n = shape[0], m = shape[1];
    WHET_TRY_DONE(whet_i_mul(ctx, n, m, &cells));
    WHET_TRY_DONE(
        whet_i_check_room(ctx, "the votes", (double)cells * (narrow ? 1 : 4),
                          "int8, fewer rows at a time, or counts of votes (whet label count)"));
    if (narrow)
        WHET_TRY_DONE(whet_i_alloc(ctx, cells, &file->narrow));
    else
        WHET_TRY_DONE(whet_i_alloc(ctx, cells, &file->wide));
    for (int64_t first = 0; first < n; first += BLOCK_ROWS) {
        const int64_t count = n - first < BLOCK_ROWS ? n - first : BLOCK_ROWS;
        void *to = narrow ? (void *)(file->narrow + first * m) : (void *)(file->wide + first * m);
        WHET_TRY_DONE(whet_i_progress(ctx, "reading votes", first, n));
        WHET_TRY_DONE(
            whet_i_array_rows_read(ctx, rows, first, count, narrow ? WHET_I8 : WHET_I32, to));
    }
    WHET_TRY_DONE(whet_i_progress(ctx, "reading votes", n, n));
    file->votes = (whet_votes){.n = n, .m = m, .narrow = file->narrow, .wide = file->wide};
done:
    whet_i_array_rows_close(ctx, rows);
    return status;
}

/* ---- triples --------------------------------------------------------------------------------- */

typedef struct triples {
    whet_i_triples in;
    int64_t n, m, cap; /* rows and rules so far; room of count */
    int64_t *count;    /* [cap] votes of a row, then where its next one goes */
} triples;

static whet_status number_in(whet_ctx *ctx, const whet_i_triples *t, const whet_table *table,
                             int64_t i, int what, int64_t least, int64_t most, int64_t *out) {
    static const char *const names[] = {"row", "rule", "vote"};
    char quoted[WHET_QUOTE_SIZE];
    const whet_str cell = whet_table_cell(table, i, t->column[what]);
    if (whet_i_parse_int(cell, out) && *out >= least && *out <= most) return WHET_OK;
    return whet_i_fail(
        ctx, WHET_ERR_DATA,
        "%s:%" PRId64 ": %s is %s; expected a whole number from %" PRId64 " to %" PRId64, t->path,
        whet_table_line(table, i), names[what], whet_i_quote(quoted, cell), least, most);
}

whet_status whet_i_triple_at(whet_ctx *ctx, const whet_i_triples *t, const whet_table *table,
                             int64_t i, int64_t out[3]) {
    WHET_TRY(number_in(ctx, t, table, i, 0, 0, t->most_rows - 1, &out[0]));
    WHET_TRY(number_in(ctx, t, table, i, 1, 0, t->most_rules - 1, &out[1]));
    return number_in(ctx, t, table, i, 2, -1, t->most_classes - 1, &out[2]);
}

void whet_i_triples_begin(const char *path, whet_i_table_parts *parts,
                          const whet_votes_read_opts *opts, whet_i_triples *out) {
    const int64_t bytes = whet_i_table_parts_bytes(parts);
    *out = (whet_i_triples){.path = path, .parts = parts};
    out->most_rows = opts->rows ? opts->rows : ROWS_ANYWAY + ROWS_A_BYTE * bytes;
    out->most_rules = opts->rules ? opts->rules : RULES_ANYWAY + bytes;
    out->most_rules = out->most_rules < INT32_MAX ? out->most_rules : INT32_MAX;
    out->most_classes = opts->classes ? opts->classes : INT32_MAX;
}

whet_status whet_i_triples_next(whet_ctx *ctx, whet_i_triples *t, whet_table **out) {
    static const char *const names[] = {"row", "rule", "vote"};
    whet_table *part;
    WHET_TRY(whet_i_table_parts_next(ctx, t->parts, &part));
    for (int c = 0; part && c < 3; c++) {
        const whet_status status = whet_i_table_needs(ctx, part, names[c], &t->column[c]);
        if (status == WHET_OK) continue;
        whet_table_destroy(ctx, part);
        return status;
    }
    *out = part;
    return WHET_OK;
}

static whet_status grow_count(whet_ctx *ctx, triples *t, int64_t row) {
    if (row < t->cap) return WHET_OK;
    const int64_t cap = row + 1 > 2 * t->cap ? row + 1 : 2 * t->cap;
    WHET_TRY(whet_i_check_room(ctx, "the rows of the votes", 8 * (double)(cap - t->cap),
                               "row numbers without gaps"));
    WHET_TRY(whet_i_realloc(ctx, &t->count, cap));
    memset(t->count + t->cap, 0, sizeof *t->count * (size_t)(cap - t->cap));
    t->cap = cap;
    return WHET_OK;
}

static whet_status count_part(whet_ctx *ctx, triples *t, const whet_table *table) {
    for (int64_t i = 0; i < whet_table_rows(table); i++) {
        int64_t at[3];
        WHET_TRY(whet_i_triple_at(ctx, &t->in, table, i, at));
        WHET_TRY(grow_count(ctx, t, at[0]));
        t->n = at[0] >= t->n ? at[0] + 1 : t->n;
        t->m = at[1] >= t->m ? at[1] + 1 : t->m;
        t->count[at[0]] += at[2] >= 0 ? 1 : 0;
    }
    return WHET_OK;
}

static whet_status fill_part(whet_ctx *ctx, triples *t, const whet_table *table,
                             whet_vote_file *file) {
    for (int64_t i = 0; i < whet_table_rows(table); i++) {
        int64_t at[3];
        WHET_TRY(whet_i_triple_at(ctx, &t->in, table, i, at));
        if (at[2] < 0) continue;
        if (at[0] >= t->n || t->count[at[0]] >= file->start[at[0] + 1])
            return whet_i_fail(ctx, WHET_ERR_IO, "%s: changed while it was read", t->in.path);
        file->rule[t->count[at[0]]] = (int32_t)at[1];
        file->vote[t->count[at[0]]++] = (int32_t)at[2];
    }
    return WHET_OK;
}

static whet_status each_part(whet_ctx *ctx, triples *t, whet_vote_file *file) {
    for (int64_t done = 0;; done++) {
        whet_table *table;
        WHET_TRY(whet_i_progress(ctx, "reading votes", done, 0));
        WHET_TRY(whet_i_triples_next(ctx, &t->in, &table));
        if (!table) return WHET_OK;
        const whet_status status =
            file ? fill_part(ctx, t, table, file) : count_part(ctx, t, table);
        whet_table_destroy(ctx, table);
        WHET_TRY(status);
    }
}

/* Few a row, and mostly in order already. */
whet_status whet_i_triples_sort_row(whet_ctx *ctx, const char *path, int64_t row, int64_t votes,
                                    int32_t *rule, int32_t *vote) {
    for (int64_t e = 1; e < votes; e++) {
        const int32_t own_rule = rule[e], own_vote = vote[e];
        int64_t at = e;
        for (; at > 0 && rule[at - 1] > own_rule; at--) {
            rule[at] = rule[at - 1];
            vote[at] = vote[at - 1];
        }
        rule[at] = own_rule;
        vote[at] = own_vote;
    }
    for (int64_t e = 1; e < votes; e++)
        if (rule[e] == rule[e - 1])
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: row %" PRId64 " has two votes of rule %d; expected one", path,
                               row, rule[e]);
    return WHET_OK;
}

static whet_status place_triples(whet_ctx *ctx, triples *t, whet_vote_file *file) {
    int64_t total = 0;
    WHET_TRY(whet_i_alloc(ctx, t->n + 1, &file->start));
    for (int64_t i = 0; i < t->n; i++) {
        const int64_t votes = t->count[i];
        file->start[i] = t->count[i] = total;
        total += votes;
    }
    file->start[t->n] = total;
    WHET_TRY(whet_i_check_room(ctx, "the votes", 8 * (double)total, "fewer rows at a time"));
    WHET_TRY(whet_i_alloc(ctx, total, &file->rule));
    WHET_TRY(whet_i_alloc(ctx, total, &file->vote));
    WHET_TRY(whet_i_table_parts_rewind(ctx, t->in.parts));
    WHET_TRY(each_part(ctx, t, file));
    for (int64_t i = 0; i < t->n; i++) {
        if (t->count[i] != file->start[i + 1])
            return whet_i_fail(ctx, WHET_ERR_IO, "%s: changed while it was read", t->in.path);
        const int64_t first = file->start[i];
        WHET_TRY(whet_i_triples_sort_row(ctx, t->in.path, i, file->start[i + 1] - first,
                                         file->rule + first, file->vote + first));
    }
    return WHET_OK;
}

/* Of triples all rows and rules are known only when the file says how many: more may be told. */
static whet_status extend_rows(whet_ctx *ctx, const whet_votes_read_opts *opts, triples *t) {
    if (opts->rows) WHET_TRY(grow_count(ctx, t, opts->rows - 1));
    t->n = opts->rows ? opts->rows : t->n;
    t->m = opts->rules ? opts->rules : t->m;
    if (t->m > 0) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA, "%s: no votes; expected at least one", t->in.path);
}

static whet_status read_triples(whet_ctx *ctx, const char *where, whet_i_table_parts *parts,
                                const whet_votes_read_opts *opts, whet_vote_file *file) {
    triples t = {0};
    whet_status status = WHET_OK;
    whet_i_triples_begin(where, parts, opts, &t.in);
    WHET_TRY_DONE(each_part(ctx, &t, NULL));
    WHET_TRY_DONE(extend_rows(ctx, opts, &t));
    WHET_TRY_DONE(place_triples(ctx, &t, file));
    file->votes = (whet_votes){
        .n = t.n, .m = t.m, .start = file->start, .rule = file->rule, .vote = file->vote};
done:
    whet_i_free(ctx, t.count);
    return status;
}

/* ---- both ------------------------------------------------------------------------------------ */

bool whet_i_votes_is_table(const char *path) {
    return whet_i_has_extension(path, ".tsv") || whet_i_has_extension(path, ".csv") ||
           whet_i_has_extension(path, ".jsonl") || whet_i_has_extension(path, ".txt");
}

int32_t whet_i_votes_largest(const whet_votes *v) {
    int32_t most = -1;
    const int64_t cells = v->start ? v->start[v->n] : v->n * v->m;
    if (v->narrow) {
        int8_t top = -1;
        for (int64_t i = 0; i < cells; i++) top = v->narrow[i] > top ? v->narrow[i] : top;
        return top;
    }
    const int32_t *votes = v->start ? v->vote : v->wide;
    for (int64_t i = 0; i < cells; i++) most = votes[i] > most ? votes[i] : most;
    return most;
}

whet_status whet_i_votes_check_expected(whet_ctx *ctx, const char *where,
                                        const whet_votes_read_opts *opts, const whet_votes *v) {
    if ((opts->rows && v->n != opts->rows) || (opts->rules && v->m != opts->rules))
        return whet_i_fail(
            ctx, WHET_ERR_SHAPE,
            "%s has %" PRId64 " rows and %" PRId64 " rules; expected %" PRId64 " and %" PRId64,
            where, v->n, v->m, opts->rows ? opts->rows : v->n, opts->rules ? opts->rules : v->m);
    return WHET_OK;
}

whet_status whet_i_votes_check_classes(whet_ctx *ctx, const char *where, const whet_votes *votes,
                                       int64_t k, const char *why) {
    whet_votes few = *votes;
    char said[256];
    few.k = k;
    const whet_status status = whet_votes_check(ctx, &few);
    if (status != WHET_ERR_DATA) return status;
    (void)snprintf(said, sizeof said, "%s", whet_error(ctx));
    return whet_i_fail(ctx, status, "%s: %s, %s", where, said, why);
}

/* A slip among dense votes would make classes without end. */
static whet_status check_largest(whet_ctx *ctx, const char *where, const whet_votes *v,
                                 int32_t largest) {
    const int64_t most = INT32_MAX / v->m - 1;
    int64_t at = 0;
    if (largest <= most || !v->wide) return WHET_OK;
    while (v->wide[at] != largest) at++;
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "%s: vote [%" PRId64 ", %" PRId64 "] is %d%s; expected -1 to %" PRId64
                       ", for %" PRId64 " rules",
                       where, at / v->m, at % v->m, largest, largest == INT32_MAX ? " or more" : "",
                       most, v->m);
}

/* As many classes as said or seen; then every vote is checked. */
static whet_status finish(whet_ctx *ctx, const char *where, const whet_votes_read_opts *opts,
                          whet_vote_file *file) {
    whet_votes *v = &file->votes;
    WHET_TRY(whet_i_votes_check_expected(ctx, where, opts, v));
    v->k = opts->classes;
    if (v->k == 0) {
        const int32_t largest = whet_i_votes_largest(v);
        WHET_TRY(check_largest(ctx, where, v, largest));
        v->k = largest > 1 ? (int64_t)largest + 1 : 2;
    }
    const whet_status status = whet_votes_check(ctx, v);
    return status == WHET_OK ? status : whet_i_fail_at(ctx, status, "%s", where);
}

whet_status whet_i_votes_of_triples(whet_ctx *ctx, const char *where, whet_i_table_parts *parts,
                                    const whet_votes_read_opts *opts, whet_vote_file **out) {
    whet_vote_file *file = NULL;
    WHET_TRY(whet_i_calloc(ctx, 1, &file));
    whet_status status = read_triples(ctx, where, parts, opts, file);
    if (status == WHET_OK) status = finish(ctx, where, opts, file);
    if (status == WHET_OK)
        *out = file;
    else
        whet_vote_file_destroy(ctx, file);
    return status;
}

whet_status whet_votes_read(whet_ctx *ctx, const char *spec, const whet_votes_read_opts *opts,
                            whet_vote_file **out) {
    whet_votes_read_opts known = WHET_VOTES_READ_OPTS_INIT;
    whet_i_table_parts *parts = NULL;
    whet_vote_file *file = NULL;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_opts(ctx, opts, &known, sizeof known, "whet_votes_read_opts"));
    if (whet_i_votes_is_table(spec)) {
        WHET_TRY(whet_i_table_parts_open(ctx, spec, PART_BYTES, &parts));
        status = whet_i_votes_of_triples(ctx, spec, parts, &known, out);
        whet_i_table_parts_close(ctx, parts);
        return status;
    }
    WHET_TRY(whet_i_calloc(ctx, 1, &file));
    status = read_dense(ctx, spec, file);
    if (status == WHET_OK) status = finish(ctx, spec, &known, file);
    if (status == WHET_OK)
        *out = file;
    else
        whet_vote_file_destroy(ctx, file);
    return status;
}

void whet_vote_file_set_classes(whet_vote_file *file, int64_t k) {
    if (k > file->votes.k) file->votes.k = k;
}

/* ---- writing --------------------------------------------------------------------------------- */

static whet_status write_triples(whet_ctx *ctx, const char *path, bool force,
                                 const whet_votes *votes, int32_t *cell) {
    whet_out *out = NULL;
    whet_status status = WHET_OK;
    const int32_t k = (int32_t)votes->k;
    WHET_TRY(whet_out_open(ctx, path, force, &out));
    WHET_TRY_DONE(whet_out_printf(ctx, out, "row\trule\tvote\n"));
    for (int64_t i = 0; i < votes->n; i++) {
        if (i % BLOCK_ROWS == 0) WHET_TRY_DONE(whet_i_progress(ctx, "writing votes", i, votes->n));
        const int64_t count = whet_i_vote_cells(votes, i, cell);
        for (int64_t e = 0; e < count; e++)
            WHET_TRY_DONE(
                whet_out_printf(ctx, out, "%" PRId64 "\t%d\t%d\n", i, cell[e] / k, cell[e] % k));
    }
    return whet_out_commit(ctx, out);
done:
    whet_out_abort(ctx, out);
    return status;
}

static whet_status write_dense(whet_ctx *ctx, const char *path, bool force, const whet_votes *votes,
                               int32_t *cell) {
    whet_npy_stream *out = NULL;
    int8_t *narrow = NULL;
    int32_t *wide = NULL;
    whet_status status = WHET_OK;
    const int64_t shape[2] = {votes->n, votes->m};
    const bool small = votes->k <= INT8_MAX + 1;
    const int32_t k = (int32_t)votes->k;
    WHET_TRY_DONE(whet_i_alloc(ctx, votes->m, &narrow));
    WHET_TRY_DONE(whet_i_alloc(ctx, votes->m, &wide));
    WHET_TRY_DONE(
        whet_npy_stream_open(ctx, path, force, small ? WHET_I8 : WHET_I32, 2, shape, &out));
    for (int64_t i = 0; i < votes->n; i++) {
        if (i % BLOCK_ROWS == 0) WHET_TRY_DONE(whet_i_progress(ctx, "writing votes", i, votes->n));
        const int64_t count = whet_i_vote_cells(votes, i, cell);
        for (int64_t j = 0; j < votes->m; j++) narrow[j] = (int8_t)(wide[j] = -1);
        for (int64_t e = 0; e < count; e++) {
            wide[cell[e] / k] = cell[e] % k;
            if (small) narrow[cell[e] / k] = (int8_t)(cell[e] % k);
        }
        WHET_TRY_DONE(whet_npy_stream_append(ctx, out, small ? (void *)narrow : (void *)wide, 1));
    }
    status = whet_npy_stream_commit(ctx, out);
    out = NULL;
done:
    whet_npy_stream_abort(ctx, out);
    whet_i_free(ctx, wide);
    whet_i_free(ctx, narrow);
    return status;
}

whet_status whet_votes_write(whet_ctx *ctx, const char *path, bool force, const whet_votes *votes) {
    int32_t *cell;
    WHET_TRY(whet_votes_check(ctx, votes));
    if (!whet_i_votes_is_table(path) && !whet_i_has_extension(path, ".npy"))
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s: no place for votes; expected a .npy, or a .tsv",
                           path);
    if (whet_i_votes_is_table(path) && !whet_i_has_extension(path, ".tsv"))
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s: votes are written as .npy or .tsv", path);
    WHET_TRY(whet_i_alloc(ctx, votes->m, &cell));
    const whet_status status = whet_i_votes_is_table(path)
                                   ? write_triples(ctx, path, force, votes, cell)
                                   : write_dense(ctx, path, force, votes, cell);
    whet_i_free(ctx, cell);
    return status;
}
