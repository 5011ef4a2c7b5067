/* SPDX-License-Identifier: Apache-2.0
 * A label model from files to files: votes (or counts of them), labels, classes and a balance in; the
 * model, and probabilities and classes, block by block, out.
 * Legend: n rows, m rules, k classes. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "io/io_i.h"
#include "label/labels_writer.h"

enum { BLOCK_ROWS = 1 << 16, BALANCE_BYTES = 1 << 20, NAMED_WHY = 256 };

typedef struct fit_files {
    const whet_label_fit_job *job;
    whet_vote_file *file;
    const whet_votes *votes;
    int32_t *labels;
    double *balance;
    whet_vote_counts *counts; /* in place of a file of votes */
    whet_i_labels_writer writer;
    double *other; /* [BLOCK_ROWS, k] the majority's */
    whet_label_model *majority;
    int64_t agreed;
} fit_files;

static void release(whet_ctx *ctx, fit_files *f) {
    whet_i_labels_writer_abort(ctx, &f->writer);
    whet_label_model_destroy(ctx, f->majority);
    whet_vote_counts_destroy(ctx, f->counts);
    whet_i_free(ctx, f->other);
    whet_i_free(ctx, f->balance);
    whet_i_free(ctx, f->labels);
    whet_vote_file_destroy(ctx, f->file);
}

/* ---- the balance ----------------------------------------------------------------------------- */

/* Numbers apart by commas or white space, to balance [k]; where names them in sentences. */
static whet_status parse_balance(whet_ctx *ctx, const char *where, whet_str text, int64_t k,
                                 double *balance) {
    char quoted[WHET_QUOTE_SIZE];
    int64_t count = 0;
    for (int64_t i = 0; i < text.len;) {
        int64_t end = i;
        while (end < text.len && text.ptr[end] != ',' && !whet_i_is_space(text.ptr[end])) end++;
        const whet_str word = {text.ptr + i, end - i};
        i = end + 1;
        if (word.len == 0) continue;
        double value;
        if (!whet_i_parse_real(word, &value) || !(value > 0) || !isfinite(value))
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: balance of class %" PRId64 " is %s; expected a number above 0",
                               where, count, whet_i_quote(quoted, word));
        if (count < k) balance[count] = value;
        count++;
    }
    if (count == k) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "%s: %" PRId64 " numbers; expected %" PRId64 ", one for each class", where,
                       count, k);
}

static int64_t commas(const char *text) {
    int64_t count = 0;
    for (; *text; text++) count += *text == ',' ? 1 : 0;
    return count;
}

static bool is_file(const char *balance) { return access(balance, F_OK) == 0; }
static bool is_array(const char *balance) {
    return strstr(balance, ".npy") || strstr(balance, ".npz") || strstr(balance, ".safetensors");
}

/* What is neither a file nor begins with a number is a slip in the file's name. */
static whet_status check_balance_text(whet_ctx *ctx, const char *balance) {
    char quoted[WHET_QUOTE_SIZE];
    double first;
    if (!balance || is_file(balance) || is_array(balance)) return WHET_OK;
    const whet_str word = whet_i_trim((whet_str){balance, (int64_t)strcspn(balance, ",")});
    if (whet_i_parse_real(word, &first)) return WHET_OK;
    return whet_i_fail(
        ctx, WHET_ERR_DATA,
        "the balance is %s, no file that is there; expected one, or numbers p0,p1,...",
        whet_i_quote(quoted, whet_str_from(balance)));
}

static whet_status read_balance(whet_ctx *ctx, const char *given, int64_t k, double *balance) {
    char *bytes = NULL;
    int64_t len;
    if (is_array(given)) {
        whet_tensor t;
        WHET_TRY(whet_array_read_as(ctx, given, WHET_F64, 1, true, &t));
        whet_status status = WHET_OK;
        if (t.shape[0] != k)
            status =
                whet_i_fail(ctx, WHET_ERR_SHAPE,
                            "%s has %" PRId64 " numbers; expected %" PRId64 ", one for each class",
                            given, t.shape[0], k);
        else
            memcpy(balance, t.data, sizeof *balance * (size_t)k);
        whet_tensor_destroy(ctx, &t);
        return status;
    }
    if (!is_file(given)) return parse_balance(ctx, "balance", whet_str_from(given), k, balance);
    WHET_TRY(whet_i_file_read(ctx, given, BALANCE_BYTES, &bytes, &len));
    const int64_t mark = len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    const whet_str text = {bytes + mark, len - mark};
    const whet_status status = parse_balance(ctx, given, text, k, balance);
    whet_i_free(ctx, bytes);
    return status;
}

/* Counts are as good as shares; shares that miss a class, or have a slip in them, are told. */
static whet_status take_balance(whet_ctx *ctx, fit_files *f, int64_t k) {
    double sum = 0;
    if (!f->job->balance) return WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, k, &f->balance));
    WHET_TRY(read_balance(ctx, f->job->balance, k, f->balance));
    for (int64_t c = 0; c < k; c++) sum += f->balance[c];
    if (fabs(sum - 1) > 1e-3)
        whet_i_log(ctx, WHET_LOG_INFO,
                   "the balance adds up to %g; shares are its numbers over that", sum);
    return WHET_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

static int64_t count_labels(const fit_files *f) {
    int64_t count = 0;
    for (int64_t i = 0; i < f->votes->n; i++) count += f->labels[i] >= 0;
    return count;
}

/* Classes of which the list of names or the balance knows, 0 = neither is there; `why` is for votes of
 * others. A balance of one number is for parse_balance to refuse. */
static whet_status named_classes(whet_ctx *ctx, const whet_label_fit_job *job, whet_names **classes,
                                 int64_t *named, char why[NAMED_WHY]) {
    const int64_t asked = job->reading.classes;
    *named = 0;
    if (job->classes) {
        WHET_TRY(whet_names_read(ctx, job->classes, classes));
        *named = whet_names_count(*classes);
        if (*named < 2 || (asked && asked != *named))
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s lists %" PRId64 " classes; expected %" PRId64, job->classes,
                               *named, asked ? asked : 2);
        (void)snprintf(why, NAMED_WHY, "as %.200s lists %" PRId64 " classes", job->classes, *named);
    } else if (!asked && job->balance && !is_file(job->balance) && !is_array(job->balance)) {
        const int64_t numbers = commas(job->balance) + 1;
        *named = numbers > 1 ? numbers : 0;
        (void)snprintf(why, NAMED_WHY, "as the balance has %" PRId64 " numbers", numbers);
    }
    return WHET_OK;
}

/* Classes there are: as many as said, listed, given a balance, or voted for. */
static whet_status read_inputs(whet_ctx *ctx, fit_files *f, whet_names **classes) {
    const whet_label_fit_job *job = f->job;
    char why[NAMED_WHY];
    int64_t named;
    WHET_TRY(check_balance_text(ctx, job->balance));
    WHET_TRY(named_classes(ctx, job, classes, &named, why));
    WHET_TRY(whet_votes_read(ctx, job->votes, &job->reading, &f->file));
    f->votes = whet_vote_file_votes(f->file);
    if (named && f->votes->k > named)
        WHET_TRY(whet_i_votes_check_classes(ctx, job->votes, f->votes, named, why));
    if (named) whet_vote_file_set_classes(f->file, named);
    if (job->labels && !named && !job->reading.classes) { /* classes that labels alone have */
        WHET_TRY(
            whet_class_labels_read(ctx, job->labels, f->votes->n, NULL, INT16_MAX, &f->labels));
        for (int64_t i = 0; i < f->votes->n; i++)
            whet_vote_file_set_classes(f->file, (int64_t)f->labels[i] + 1);
    } else if (job->labels) {
        WHET_TRY(whet_class_labels_read(ctx, job->labels, f->votes->n, *classes, f->votes->k,
                                        &f->labels));
    }
    if (job->labels && count_labels(f) == 0)
        whet_i_log(ctx, WHET_LOG_WARN,
                   "%s has no labels; expected some: the votes alone are fitted to", job->labels);
    return take_balance(ctx, f, f->votes->k);
}

/* ---- predicting ------------------------------------------------------------------------------ */

/* A block is predicted and written; then, by the majority, to compare. */
static whet_status predict_block(whet_ctx *ctx, fit_files *f, whet_label_fit_result *r,
                                 int64_t first, int64_t count) {
    const int64_t k = f->votes->k;
    const whet_i_labels_writer *w = &f->writer;
    WHET_TRY(whet_i_labels_writer_rows(ctx, &f->writer, r->model, f->votes, first, count, first,
                                       &r->covered));
    WHET_TRY(whet_i_label_model_predict(ctx, NULL, f->majority, f->votes, first, count, f->other));
    for (int64_t i = 0; i < count; i++)
        if (w->covered[i])
            f->agreed += f->other[i * k + whet_i_argmax(w->block + i * k, k)] > 0 ? 1 : 0;
    return WHET_OK;
}

static whet_status predict_all(whet_ctx *ctx, fit_files *f, whet_label_fit_result *r) {
    const whet_label_fit_job *job = f->job;
    const int64_t n = f->votes->n, m = f->votes->m, k = f->votes->k;
    const int64_t rows = n < BLOCK_ROWS ? n : BLOCK_ROWS;
    whet_label_model_opts plain = WHET_LABEL_MODEL_OPTS_INIT;
    int64_t cells;
    f->writer = (whet_i_labels_writer){.probs = job->probs,
                                       .predictions = job->predictions,
                                       .ties = job->ties,
                                       .classes = r->classes,
                                       .most = rows};
    WHET_TRY(whet_i_labels_writer_open(ctx, &f->writer, job->force, n, m, k));
    WHET_TRY(whet_i_mul(ctx, rows, k, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &f->other));
    WHET_TRY(whet_i_label_model_fit(ctx, f->votes, NULL, &plain, &f->majority));
    for (int64_t first = 0; first < n; first += rows) {
        const int64_t count = n - first < rows ? n - first : rows;
        WHET_TRY(whet_i_progress(ctx, "predicting", first, n));
        WHET_TRY(predict_block(ctx, f, r, first, count));
    }
    WHET_TRY(whet_i_progress(ctx, "predicting", n, n));
    r->majority_agreement = r->covered ? (double)f->agreed / (double)r->covered : (double)NAN;
    return WHET_OK;
}

static whet_status save_model(whet_ctx *ctx, const fit_files *f, const whet_label_fit_result *r) {
    const whet_label_fit_job *job = f->job;
    whet_names *names;
    if (!job->save) return WHET_OK;
    if (job->rules) {
        WHET_TRY(whet_i_rule_names_read(ctx, job->rules, &names));
        const whet_status status = whet_label_model_name_rules(ctx, r->model, names);
        whet_names_destroy(ctx, names);
        if (status != WHET_OK) return whet_i_fail_at(ctx, status, "%s", job->rules);
    }
    return whet_label_model_save(ctx, r->model, r->classes, job->save, job->force);
}

/* What the user should know of the votes whatever the model. */
static whet_status look_at_votes(whet_ctx *ctx, const whet_votes *votes, whet_label_fit_result *r) {
    const int64_t m = votes->m, k = votes->k;
    whet_rule_summary *rules = NULL;
    int64_t *counts = NULL;
    whet_votes_totals totals;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, m, &rules));
    WHET_TRY_DONE(whet_i_alloc(ctx, m * k, &counts));
    WHET_TRY_DONE(whet_i_calloc(ctx, k, &r->class_votes));
    WHET_TRY_DONE(whet_i_alloc(ctx, m, &r->copy_of));
    WHET_TRY_DONE(whet_votes_summary(ctx, votes, NULL, rules, counts, &totals));
    for (int64_t i = 0; i < m * k; i++) r->class_votes[i % k] += counts[i];
    for (int64_t j = 0; j < m; j++) r->copy_of[j] = rules[j].copy_of;
done:
    whet_i_free(ctx, counts);
    whet_i_free(ctx, rules);
    return status;
}

static whet_status run(whet_ctx *ctx, fit_files *f, whet_label_fit_result *r) {
    const whet_label_fit_job *job = f->job;
    whet_label_model_opts opts = job->model;
    WHET_TRY(read_inputs(ctx, f, &r->classes));
    opts.labels = f->labels;
    opts.balance = f->balance;
    r->rows = f->votes->n;
    WHET_TRY(look_at_votes(ctx, f->votes, r));
    for (int64_t i = 0; f->labels && i < r->rows; i++) r->labelled += f->labels[i] >= 0 ? 1 : 0;
    if (job->choose || (r->labelled >= 2 && !job->no_compare)) {
        const whet_status status = whet_label_models_compare(ctx, f->votes, &opts, job->folds,
                                                             job->seed, r->scores, &r->best);
        /* the model asked for may need no counts of pairs, whose memory is what is lacking */
        if (status != WHET_OK && (status != WHET_ERR_LIMIT || job->choose)) return status;
        if (status != WHET_OK)
            whet_i_log(ctx, WHET_LOG_WARN, "models are not compared: %s", whet_error(ctx));
        r->compared = status == WHET_OK;
    }
    if (job->choose) opts.method = r->best;
    WHET_TRY(whet_i_label_model_fit(ctx, f->votes, NULL, &opts, &r->model));
    whet_i_label_model_warn(ctx, r->model);
    WHET_TRY(predict_all(ctx, f, r));
    WHET_TRY(save_model(ctx, f, r));
    return whet_i_labels_writer_commit(ctx, &f->writer);
}

/* ---- from counts ----------------------------------------------------------------------------- */

/* Rules that vote alike on all rows on which either votes, as their counts say. */
static whet_status look_at_counts(whet_ctx *ctx, const whet_vote_counts *counts,
                                  whet_label_fit_result *r) {
    const int64_t m = counts->m, k = counts->k;
    int64_t *both = NULL, *agree = NULL, cells;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_mul(ctx, m, m, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &both));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &agree));
    WHET_TRY_DONE(whet_i_calloc(ctx, k, &r->class_votes));
    WHET_TRY_DONE(whet_i_alloc(ctx, m, &r->copy_of));
    whet_vote_counts_agreement(counts, both, agree);
    for (int64_t j = 0; j < m; j++) {
        r->copy_of[j] = -1;
        for (int32_t c = 0; c < k; c++)
            r->class_votes[c] += whet_vote_counts_of(counts, j, c, j, c);
        for (int64_t i = 0; i < j && both[j * m + j] > 0 && r->copy_of[j] < 0; i++)
            if (agree[j * m + i] == both[j * m + j] && both[i * m + i] == both[j * m + j])
                r->copy_of[j] = i;
    }
done:
    whet_i_free(ctx, both);
    whet_i_free(ctx, agree);
    return status;
}

static whet_status run_counts(whet_ctx *ctx, fit_files *f, whet_label_fit_result *r) {
    const whet_label_fit_job *job = f->job;
    whet_label_model_opts opts = job->model;
    WHET_TRY(whet_vote_counts_load(ctx, job->counts, &f->counts));
    const int64_t k = f->counts->k;
    if (job->classes) WHET_TRY(whet_names_read(ctx, job->classes, &r->classes));
    if (r->classes && whet_names_count(r->classes) != k)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s lists %" PRId64 " classes; expected %" PRId64 ", as %s has",
                           job->classes, whet_names_count(r->classes), k, job->counts);
    WHET_TRY(check_balance_text(ctx, job->balance));
    WHET_TRY(take_balance(ctx, f, k));
    opts.balance = f->balance;
    r->rows = whet_vote_counts_rows(f->counts);
    r->covered = -1;
    r->majority_agreement = (double)NAN;
    WHET_TRY(look_at_counts(ctx, f->counts, r));
    WHET_TRY(whet_label_model_fit_counts(ctx, f->counts, &opts, &r->model));
    return save_model(ctx, f, r);
}

/* Either votes or counts, and of counts only what they can give. */
static whet_status check_job(whet_ctx *ctx, const whet_label_fit_job *job) {
    if (!job->votes == !job->counts)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s; expected votes to read, or counts of them",
                           job->votes ? "votes and counts" : "no votes");
    if (job->choose && !job->labels)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a model is to be chosen without labels; expected labels, or a model");
    if (job->rules && !job->save)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "names of rules, and no model to be saved; expected a file for it");
    if (job->counts && (job->labels || job->probs || job->predictions))
        return whet_i_fail(
            ctx, WHET_ERR_ARG,
            "%s has no rows; expected neither labels of rows nor predictions of them; "
            "try to save the model, and to predict from votes",
            job->counts);
    return WHET_OK;
}

void whet_label_fit_result_destroy(whet_ctx *ctx, whet_label_fit_result *result) {
    whet_label_model_destroy(ctx, result->model);
    whet_names_destroy(ctx, result->classes);
    whet_i_free(ctx, result->class_votes);
    whet_i_free(ctx, result->copy_of);
    *result = (whet_label_fit_result){0};
}

whet_status whet_label_fit_run(whet_ctx *ctx, const whet_label_fit_job *job,
                               whet_label_fit_result *out) {
    whet_label_fit_job known = WHET_LABEL_FIT_JOB_INIT;
    whet_label_fit_result result = {0};
    WHET_TRY(whet_i_opts(ctx, job, &known, sizeof known, "whet_label_fit_job"));
    WHET_TRY(check_job(ctx, &known));
    fit_files f = {.job = &known};
    const whet_status status = known.counts ? run_counts(ctx, &f, &result) : run(ctx, &f, &result);
    release(ctx, &f);
    if (status == WHET_OK)
        *out = result;
    else
        whet_label_fit_result_destroy(ctx, &result);
    return status;
}
