/* SPDX-License-Identifier: Apache-2.0
 * Rules applied to a file: part by part, so that memory does not grow with rows; columns of rules that
 * have not changed are taken from votes made before.
 * Legend: n rows, m rules. */
#include <inttypes.h>

#include "io/io_i.h"
#include "label/rules_i.h"
#include "label/vote_stream.h"

enum { PART_BYTES = 1 << 23, PART_ROWS = 1 << 15, CHECKED = 512 };

typedef struct run {
    const whet_rules_job *job;
    whet_rules *rules, *old_rules;
    whet_i_table_parts *parts; /* NULL: features alone */
    whet_names *columns;       /* of all parts */
    whet_tensor exact;         /* [n, d] features as the file holds them, or no data */
    whet_tensor narrow;    /* the same in f32, or no data: they are, or no model looks at them */
    whet_tensor old_votes; /* i32 [n, old m] */
    int64_t *from;         /* [m] column of the old votes; -1: computed */
    bool *skip, *again;    /* [m]; again: not skip */
    int64_t n, done, covered, reused;
    int32_t *votes; /* a part's [rows, m] */
    double *probs;  /* a part's [rows, k], or NULL */
    int64_t room;   /* rows that these two hold */
    whet_rule_report *reports;
    whet_i_vote_stream *out;
    whet_npy_stream *probs_out;
} run;

static void release(whet_ctx *ctx, run *r) {
    whet_i_vote_stream_abort(ctx, r->out);
    whet_npy_stream_abort(ctx, r->probs_out);
    whet_rules_destroy(ctx, r->rules);
    whet_rules_destroy(ctx, r->old_rules);
    whet_i_table_parts_close(ctx, r->parts);
    whet_names_destroy(ctx, r->columns);
    whet_tensor_destroy(ctx, &r->exact);
    whet_tensor_destroy(ctx, &r->narrow);
    whet_tensor_destroy(ctx, &r->old_votes);
    whet_i_free(ctx, r->from);
    whet_i_free(ctx, r->skip);
    whet_i_free(ctx, r->again);
    whet_i_free(ctx, r->votes);
    whet_i_free(ctx, r->probs);
    whet_i_free(ctx, r->reports);
}

/* ---- inputs ----------------------------------------------------------------------------------- */

static bool is_array(const char *path) {
    static const char *const ends[] = {".tsv", ".csv", ".jsonl", ".ndjson", ".txt"};
    for (int64_t e = 0; e < WHET_COUNT_OF(ends); e++)
        if (whet_i_has_extension(path, ends[e])) return false;
    return true;
}

static whet_status note_part(whet_ctx *ctx, run *r, const whet_table *part) {
    const whet_names *columns = whet_table_columns(part);
    r->n += whet_table_rows(part);
    for (int64_t c = 0; c < whet_names_count(columns); c++)
        WHET_TRY(whet_names_add(ctx, r->columns, whet_names_get(columns, c), NULL));
    return whet_i_progress(ctx, "count rows", r->n, 0);
}

/* Its rows and columns (those of JSON lines may first appear late): a pass of its own, for the header
 * of the votes says how many rows there are. */
static whet_status count_rows(whet_ctx *ctx, run *r) {
    WHET_TRY(whet_names_create(ctx, &r->columns));
    for (;;) {
        whet_table *part;
        WHET_TRY(whet_i_table_parts_next(ctx, r->parts, &part));
        if (!part) break;
        const whet_status status = note_part(ctx, r, part);
        whet_table_destroy(ctx, part);
        WHET_TRY(status);
    }
    return whet_i_table_parts_rewind(ctx, r->parts);
}

static bool has_models(const whet_rules *rules) {
    for (int64_t j = 0; j < rules->m; j++)
        if (rules->rule[j].kind <= WHET_I_RULE_SIMILARITY) return true;
    return false;
}

/* Models take f32; numbers are compared as they stand. */
static whet_status read_features(whet_ctx *ctx, run *r, const char *path) {
    WHET_TRY(whet_array_read(ctx, path, &r->exact));
    if (r->exact.rank != 2)
        return whet_i_fail(ctx, WHET_ERR_SHAPE, "%s: %d dimensions; expected 2", path,
                           r->exact.rank);
    if (r->exact.dtype == WHET_F32 || !has_models(r->rules)) return WHET_OK;
    return whet_tensor_convert(ctx, &r->exact, WHET_F32, &r->narrow);
}

static whet_status open_inputs(whet_ctx *ctx, run *r) {
    const bool array = is_array(r->job->input);
    const char *features = array ? r->job->input : r->job->features;
    if (array && r->job->features)
        return whet_i_fail(
            ctx, WHET_ERR_ARG,
            "the input and --features are both arrays; expected a table and an array");
    if (!array) {
        WHET_TRY(whet_i_table_parts_open(ctx, r->job->input, PART_BYTES, &r->parts));
        WHET_TRY(count_rows(ctx, r));
    }
    if (!features) return WHET_OK;
    WHET_TRY(read_features(ctx, r, features));
    const int64_t rows = r->exact.shape[0], d = r->exact.shape[1];
    if (array) r->n = rows;
    if (rows != r->n)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: %" PRId64 " rows; expected %" PRId64 ", as %s has", features, rows,
                           r->n, r->job->input);
    if (whet_rules_features(r->rules) && whet_rules_features(r->rules) != d)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: %" PRId64 " columns; expected %" PRId64 ", as %s says", features, d,
                           whet_rules_features(r->rules), r->job->rules);
    return WHET_OK;
}

/* ---- columns that are there already ----------------------------------------------------------- */

/* The same in every way, as their documents tell. */
static whet_status same_rule(whet_ctx *ctx, const whet_rules *a, int64_t i, const whet_rules *b,
                             int64_t j, bool *same) {
    json_t *left = whet_i_rule_json(a, &a->rule[i]), *right = whet_i_rule_json(b, &b->rule[j]);
    const bool whole = left && right;
    if (whole) *same = json_equal(left, right);
    json_decref(left);
    json_decref(right);
    if (whole) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: comparing rules");
}

static bool same_classes(const whet_names *a, const whet_names *b) {
    if (whet_names_count(a) != whet_names_count(b)) return false;
    for (int64_t c = 0; c < whet_names_count(a); c++)
        if (!whet_str_equal(whet_names_get(a, c), whet_names_get(b, c))) return false;
    return true;
}

static whet_status check_old(whet_ctx *ctx, const run *r) {
    const whet_rules_job *job = r->job;
    const int64_t *shape = r->old_votes.shape, k = whet_names_count(r->rules->classes);
    const int32_t *vote = r->old_votes.data;
    if (!same_classes(r->rules->classes, r->old_rules->classes))
        return whet_i_fail(ctx, WHET_ERR_DATA, "%s: its classes are others; expected those of %s",
                           job->previous_rules, job->rules);
    if (shape[0] != r->n || shape[1] != r->old_rules->m)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s is [%" PRId64 ", %" PRId64 "]; expected [%" PRId64 ", %" PRId64
                           "], the rows of %s and the rules of %s",
                           job->previous_votes, shape[0], shape[1], r->n, r->old_rules->m,
                           job->input, job->previous_rules);
    for (int64_t i = 0; i < shape[0] * shape[1]; i++)
        if (vote[i] < -1 || vote[i] >= k)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s[%" PRId64 ",%" PRId64 "] is %d; expected -1 to %" PRId64,
                               job->previous_votes, i / shape[1], i % shape[1], vote[i], k - 1);
    return WHET_OK;
}

static whet_status match_old(whet_ctx *ctx, run *r) {
    const whet_rules_job *job = r->job;
    WHET_TRY(whet_i_alloc(ctx, r->rules->m, &r->from));
    WHET_TRY(whet_i_calloc(ctx, r->rules->m, &r->skip));
    WHET_TRY(whet_i_alloc(ctx, r->rules->m, &r->again));
    for (int64_t j = 0; j < r->rules->m; j++) {
        r->from[j] = -1;
        r->again[j] = true;
    }
    if (!job->previous_rules) return WHET_OK;
    WHET_TRY(whet_rules_load(ctx, job->previous_rules, &r->old_rules));
    WHET_TRY(whet_array_read_as(ctx, job->previous_votes, WHET_I32, 2, false, &r->old_votes));
    WHET_TRY(check_old(ctx, r));
    for (int64_t j = 0; j < r->rules->m; j++) {
        const whet_str name = whet_rules_name(r->rules, j);
        const int64_t old = whet_names_find(r->old_rules->names, name);
        bool same = false;
        if (old >= 0) WHET_TRY(same_rule(ctx, r->rules, j, r->old_rules, old, &same));
        if (!same) continue;
        r->from[j] = old;
        r->skip[j] = true;
        r->again[j] = false;
        r->reused++;
    }
    return WHET_OK;
}

static int32_t old_vote(const run *r, int64_t i, int64_t j) {
    const int32_t *old = r->old_votes.data;
    return old[(r->done + i) * r->old_votes.shape[1] + r->from[j]];
}

static bool voted(const run *r, int64_t i) {
    for (int64_t j = 0; j < r->rules->m; j++)
        if (r->from[j] >= 0 && old_vote(r, i, j) >= 0) return true;
    return false;
}

/* Up to CHECKED rows of a part with a vote that is to be taken over, and as many without, spread evenly. */
static int64_t sample(const run *r, int64_t rows, int64_t *row) {
    int64_t all[2] = {0, 0}, seen[2] = {0, 0}, n = 0;
    for (int64_t i = 0; i < rows; i++) all[voted(r, i)]++;
    for (int64_t i = 0; i < rows; i++) {
        const int kind = voted(r, i);
        if (seen[kind]++ % (1 + (all[kind] - 1) / CHECKED) == 0) row[n++] = i;
    }
    return n;
}

static whet_status compare(whet_ctx *ctx, const run *r, const int64_t *row, int64_t n,
                           const int32_t *votes) {
    const int64_t m = r->rules->m;
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m; j++)
            if (r->from[j] >= 0 && votes[i * m + j] != old_vote(r, row[i], j))
                return whet_i_fail(
                    ctx, WHET_ERR_DATA,
                    "%s: rule %s votes %d on row %" PRId64 ", and on that row of %s %d; expected "
                    "votes on the same rows at the same match limit; try without previous votes",
                    r->job->previous_votes, whet_i_quote(quoted, whet_rules_name(r->rules, j)),
                    old_vote(r, row[i], j), r->done + row[i], r->job->input, votes[i * m + j]);
    return WHET_OK;
}

static whet_i_apply_part part_of(const run *r, const bool *skip) {
    return (whet_i_apply_part){.skip = skip,
                               .columns = r->columns,
                               .exact = r->exact.data ? &r->exact : NULL,
                               .exact_first = r->done};
}

/* Votes do not tell which rows they are of: some are computed again. */
static whet_status check_rows(whet_ctx *ctx, const run *r, const whet_rules_input *input) {
    int64_t row[2 * CHECKED];
    int32_t *votes = NULL;
    int64_t cells;
    whet_i_apply_part part = part_of(r, r->again);
    part.row = row;
    if (!r->reused) return WHET_OK;
    part.rows = sample(r, input->n, row);
    WHET_TRY(whet_i_mul(ctx, part.rows, r->rules->m, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &votes));
    whet_status status = whet_i_rules_apply_some(ctx, r->rules, input, &part, votes, NULL);
    if (status == WHET_OK) status = compare(ctx, r, row, part.rows, votes);
    whet_i_free(ctx, votes);
    return status;
}

static void take_over(run *r, int64_t rows) {
    const int64_t m = r->rules->m;
    for (int64_t j = 0; r->reused && j < m; j++)
        for (int64_t i = 0; r->from[j] >= 0 && i < rows; i++) {
            const int32_t vote = old_vote(r, i, j);
            r->votes[i * m + j] = vote;
            r->reports[j].votes += vote >= 0;
        }
}

/* ---- a part ----------------------------------------------------------------------------------- */

static whet_status make_room(whet_ctx *ctx, run *r, int64_t rows) {
    int64_t cells;
    if (rows <= r->room) return WHET_OK;
    WHET_TRY(whet_i_mul(ctx, rows, r->rules->m, &cells));
    WHET_TRY(whet_i_realloc(ctx, &r->votes, cells));
    WHET_TRY(whet_i_mul(ctx, rows, whet_names_count(r->rules->classes), &cells));
    if (r->probs_out) WHET_TRY(whet_i_realloc(ctx, &r->probs, cells));
    r->room = rows;
    return WHET_OK;
}

static whet_status write_part(whet_ctx *ctx, run *r, int64_t rows) {
    const int64_t m = r->rules->m;
    for (int64_t i = 0; i < rows; i++) {
        int32_t most = -1;
        for (int64_t j = 0; j < m; j++)
            most = r->votes[i * m + j] > most ? r->votes[i * m + j] : most;
        r->covered += most >= 0;
    }
    if (r->probs_out) {
        WHET_TRY(whet_i_rules_posterior(ctx, r->rules, r->votes, rows, r->probs));
        WHET_TRY(whet_npy_stream_append(ctx, r->probs_out, r->probs, rows));
    }
    return whet_i_vote_stream_append(ctx, r->out, r->votes, rows);
}

static whet_status do_part(whet_ctx *ctx, run *r, const whet_table *table, int64_t rows) {
    const float *x = r->exact.dtype == WHET_F32 ? r->exact.data : r->narrow.data;
    const int64_t d = r->exact.data ? r->exact.shape[1] : 0;
    const whet_rules_input input = {.features = x ? x + r->done * d : NULL,
                                    .d = d,
                                    .table = table,
                                    .n = rows,
                                    .match_limit = r->job->match_limit};
    if (rows > r->n - r->done)
        return whet_i_fail(ctx, WHET_ERR_IO, "%s: rows were added while it was read",
                           r->job->input);
    WHET_TRY(check_rows(ctx, r, &input));
    WHET_TRY(make_room(ctx, r, rows));
    const whet_i_apply_part part = part_of(r, r->skip);
    WHET_TRY(whet_i_rules_apply_some(ctx, r->rules, &input, &part, r->votes, r->reports));
    take_over(r, rows);
    WHET_TRY(write_part(ctx, r, rows));
    r->done += rows;
    return whet_i_progress(ctx, "apply rules", r->done, r->n);
}

static whet_status do_parts(whet_ctx *ctx, run *r) {
    while (!r->parts && r->done < r->n) {
        const int64_t rows = r->n - r->done < PART_ROWS ? r->n - r->done : PART_ROWS;
        WHET_TRY(do_part(ctx, r, NULL, rows));
    }
    while (r->parts) {
        whet_table *part;
        WHET_TRY(whet_i_table_parts_next(ctx, r->parts, &part));
        if (!part) break;
        const whet_status status = do_part(ctx, r, part, whet_table_rows(part));
        whet_table_destroy(ctx, part);
        if (status != WHET_OK) return status;
    }
    return WHET_OK;
}

/* All are open before the first appears. */
static whet_status open_outputs(whet_ctx *ctx, run *r) {
    const whet_rules_job *job = r->job;
    const int64_t k = whet_names_count(r->rules->classes), shape[2] = {r->n, k};
    if (job->probs)
        WHET_TRY(
            whet_npy_stream_open(ctx, job->probs, job->force, WHET_F64, 2, shape, &r->probs_out));
    return whet_i_vote_stream_open(ctx, job->votes, job->force, r->n, r->rules->m, k, &r->out);
}

static whet_status commit_outputs(whet_ctx *ctx, run *r) {
    whet_i_vote_stream *out = r->out;
    whet_npy_stream *probs = r->probs_out;
    r->probs_out = NULL;
    if (probs) WHET_TRY(whet_npy_stream_commit(ctx, probs));
    r->out = NULL;
    return whet_i_vote_stream_commit(ctx, out);
}

static whet_status compute(whet_ctx *ctx, run *r) {
    WHET_TRY(whet_rules_load(ctx, r->job->rules, &r->rules));
    if (r->job->probs && !r->rules->prior)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: the rules carry no weights, and have no joint posterior; expected "
                           "\"prior\" and \"log_odds\", as Snuba's rules have them",
                           r->job->rules);
    WHET_TRY(open_inputs(ctx, r));
    WHET_TRY(match_old(ctx, r));
    WHET_TRY(whet_i_calloc(ctx, r->rules->m, &r->reports));
    WHET_TRY(open_outputs(ctx, r));
    WHET_TRY(do_parts(ctx, r));
    return commit_outputs(ctx, r);
}

whet_status whet_rules_apply_files(whet_ctx *ctx, const whet_rules_job *job,
                                   whet_rules_result *out) {
    whet_rules_job known = WHET_RULES_JOB_INIT;
    run r = {.job = &known};
    *out = (whet_rules_result){0};
    WHET_TRY(whet_i_opts(ctx, job, &known, sizeof known, "whet_rules_job"));
    if (!known.rules || !known.input || !known.votes ||
        !known.previous_rules != !known.previous_votes)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "expected rules, an input and votes to write, and previous rules and "
                           "votes both or neither");
    const whet_status status = compute(ctx, &r);
    if (status == WHET_OK) {
        *out = (whet_rules_result){.rules = r.rules,
                                   .reports = r.reports,
                                   .n = r.n,
                                   .covered = r.covered,
                                   .reused = r.reused};
        r.rules = NULL;
        r.reports = NULL;
    }
    release(ctx, &r);
    return status;
}

void whet_rules_result_free(whet_ctx *ctx, whet_rules_result *result) {
    whet_rules_destroy(ctx, result->rules);
    whet_i_free(ctx, result->reports);
    whet_names_destroy(ctx, result->classes);
    whet_class_mapping_free(ctx, result->mapping);
    *result = (whet_rules_result){0};
}
