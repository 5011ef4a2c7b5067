/* SPDX-License-Identifier: Apache-2.0
 * A label model from files to files: votes, labels, classes and a balance in; probabilities and
 * classes out, block by block.
 * Legend: n rows, m rules, k classes. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "io/io_i.h"
#include "label/vote_model.h"

enum { BLOCK_ROWS = 1 << 16, BALANCE_BYTES = 1 << 20 };

typedef struct fit_files {
    const whet_label_fit_job *job;
    whet_vote_file *file;
    const whet_votes *votes;
    int32_t *labels;
    double *balance;
    whet_npy_stream *probs;
    whet_out *predictions;
    double *block, *other; /* [BLOCK_ROWS, k] the model's, and the majority's */
    int32_t *hard;         /* [BLOCK_ROWS] */
    int32_t *cells;        /* [m] */
    whet_label_model *majority;
    int64_t agreed;
} fit_files;

static void release(whet_ctx *ctx, fit_files *f) {
    whet_npy_stream_abort(ctx, f->probs);
    whet_out_abort(ctx, f->predictions);
    whet_label_model_destroy(ctx, f->majority);
    whet_i_free(ctx, f->block);
    whet_i_free(ctx, f->other);
    whet_i_free(ctx, f->hard);
    whet_i_free(ctx, f->cells);
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
    const whet_status status = parse_balance(ctx, given, (whet_str){bytes, len}, k, balance);
    whet_i_free(ctx, bytes);
    return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Classes there are: as many as said, listed, given a balance, or voted for. */
static whet_status read_inputs(whet_ctx *ctx, fit_files *f, whet_names **classes) {
    const whet_label_fit_job *job = f->job;
    whet_votes_read_opts reading = job->reading;
    const int64_t asked = reading.classes;
    if (job->classes) {
        WHET_TRY(whet_names_read(ctx, job->classes, classes));
        const int64_t listed = whet_names_count(*classes);
        if (listed < 2 || (asked && asked != listed))
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s lists %" PRId64 " classes; expected %" PRId64, job->classes,
                               listed, asked ? asked : 2);
        reading.classes = listed;
    } else if (!asked && job->balance && !is_file(job->balance) && !is_array(job->balance)) {
        reading.classes = commas(job->balance) + 1 > 2 ? commas(job->balance) + 1 : 2;
    }
    WHET_TRY(whet_votes_read(ctx, job->votes, &reading, &f->file));
    f->votes = whet_vote_file_votes(f->file);
    if (job->labels && !reading.classes) { /* classes that labels alone have */
        WHET_TRY(
            whet_class_labels_read(ctx, job->labels, f->votes->n, NULL, INT16_MAX, &f->labels));
        for (int64_t i = 0; i < f->votes->n; i++)
            whet_vote_file_set_classes(f->file, (int64_t)f->labels[i] + 1);
    } else if (job->labels) {
        WHET_TRY(whet_class_labels_read(ctx, job->labels, f->votes->n, *classes, f->votes->k,
                                        &f->labels));
    }
    if (!job->balance) return WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, f->votes->k, &f->balance));
    return read_balance(ctx, job->balance, f->votes->k, f->balance);
}

/* ---- predicting ------------------------------------------------------------------------------ */

static whet_status write_classes(whet_ctx *ctx, fit_files *f, const whet_names *classes,
                                 int64_t first, int64_t count, const bool *covered) {
    const int64_t k = f->votes->k;
    WHET_TRY(whet_hard_labels(ctx, f->block, count, k, f->job->ties, first, f->hard));
    for (int64_t i = 0; i < count; i++) {
        const int32_t c = f->hard[i];
        const double top = f->block[i * k + whet_i_argmax(f->block + i * k, k)];
        WHET_TRY(whet_out_printf(ctx, f->predictions, "%" PRId64 "\t", first + i));
        if (c < 0 || (!covered[i] && f->job->ties == WHET_TIE_ABSTAIN)) {
            WHET_TRY(whet_out_printf(ctx, f->predictions, "\t%.9g\n", top));
            continue;
        }
        if (classes)
            WHET_TRY(whet_out_printf(ctx, f->predictions, "%s", whet_names_get(classes, c).ptr));
        else
            WHET_TRY(whet_out_printf(ctx, f->predictions, "%d", c));
        WHET_TRY(whet_out_printf(ctx, f->predictions, "\t%.9g\n", f->block[i * k + c]));
    }
    return WHET_OK;
}

static whet_status predict_block(whet_ctx *ctx, fit_files *f, whet_label_fit_result *r,
                                 int64_t first, int64_t count, bool *covered) {
    const int64_t k = f->votes->k;
    WHET_TRY(whet_i_label_model_predict(ctx, NULL, r->model, f->votes, first, count, f->block));
    WHET_TRY(whet_i_label_model_predict(ctx, NULL, f->majority, f->votes, first, count, f->other));
    for (int64_t i = 0; i < count; i++) {
        covered[i] = whet_i_vote_cells(f->votes, first + i, f->cells) > 0;
        r->covered += covered[i] ? 1 : 0;
        if (!covered[i]) continue;
        f->agreed += f->other[i * k + whet_i_argmax(f->block + i * k, k)] > 0 ? 1 : 0;
    }
    if (f->probs) WHET_TRY(whet_npy_stream_append(ctx, f->probs, f->block, count));
    return f->predictions ? write_classes(ctx, f, r->classes, first, count, covered) : WHET_OK;
}

static whet_status predict_all(whet_ctx *ctx, fit_files *f, whet_label_fit_result *r) {
    const int64_t n = f->votes->n, k = f->votes->k, shape[2] = {n, k};
    whet_label_model_opts plain = WHET_LABEL_MODEL_OPTS_INIT;
    bool *covered = NULL;
    whet_status status = WHET_OK;
    const int64_t rows = n < BLOCK_ROWS ? n : BLOCK_ROWS;
    int64_t cells;
    if (f->job->probs)
        WHET_TRY_DONE(
            whet_npy_stream_open(ctx, f->job->probs, f->job->force, WHET_F64, 2, shape, &f->probs));
    if (f->job->predictions) {
        WHET_TRY_DONE(whet_out_open(ctx, f->job->predictions, f->job->force, &f->predictions));
        WHET_TRY_DONE(whet_out_printf(ctx, f->predictions, "row\tclass\tprobability\n"));
    }
    WHET_TRY_DONE(whet_i_mul(ctx, rows, k, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &f->block));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &f->other));
    WHET_TRY_DONE(whet_i_alloc(ctx, rows, &f->hard));
    WHET_TRY_DONE(whet_i_alloc(ctx, rows, &covered));
    WHET_TRY_DONE(whet_i_alloc(ctx, f->votes->m, &f->cells));
    WHET_TRY_DONE(whet_i_label_model_fit(ctx, f->votes, NULL, &plain, &f->majority));
    for (int64_t first = 0; first < n; first += rows) {
        const int64_t count = n - first < rows ? n - first : rows;
        WHET_TRY_DONE(whet_i_progress(ctx, "predicting", first, n));
        WHET_TRY_DONE(predict_block(ctx, f, r, first, count, covered));
    }
    WHET_TRY_DONE(whet_i_progress(ctx, "predicting", n, n));
    r->majority_agreement = r->covered ? (double)f->agreed / (double)r->covered : (double)NAN;
done:
    whet_i_free(ctx, covered);
    return status;
}

static whet_status commit(whet_ctx *ctx, fit_files *f) {
    if (f->probs) {
        whet_npy_stream *probs = f->probs;
        f->probs = NULL;
        WHET_TRY(whet_npy_stream_commit(ctx, probs));
    }
    if (f->predictions) {
        whet_out *predictions = f->predictions;
        f->predictions = NULL;
        WHET_TRY(whet_out_commit(ctx, predictions));
    }
    return WHET_OK;
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
    return commit(ctx, f);
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
    if (!known.votes) return whet_i_fail(ctx, WHET_ERR_ARG, "no votes; expected votes to read");
    if (known.choose && !known.labels)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a model is to be chosen without labels; expected labels, or a model");
    fit_files f = {.job = &known};
    const whet_status status = run(ctx, &f, &result);
    release(ctx, &f);
    if (status == WHET_OK)
        *out = result;
    else
        whet_label_fit_result_destroy(ctx, &result);
    return status;
}
