/* SPDX-License-Identifier: Apache-2.0
 * Training rows with probabilistic labels: what a labeller says of each row of a table, as targets of
 * soft cross-entropy. A row that the table labels is certain of it; a row whose probabilities are all
 * equal, zeros among them, says nothing and is left out.
 *
 * What a row weighs is put into its target: the loss of w q is w times that of q. Weights have the mean 1,
 * so that a learning rate means what it means without them. By confidence, 1 - H(q) / ln k: the sample
 * weights of COSINE (Yu et al. 2021, arXiv 2010.07835).
 * Legend: n rows of the table, k classes, q probabilities of a row. */
#include <inttypes.h>
#include <math.h>

#include "tune/tune_i.h"

/* Sums of f32 or of rounded decimals are this near to 1; differences below EQUAL are rounding. */
#define SUM_TOLERANCE 1e-3
#define EQUAL 1e-6

typedef struct soft {
    const char *spec, *path; /* of the probabilities, of the table */
    whet_tensor array;       /* f32 [n, k], of a file */
    int64_t n, k;
    const float *q;           /* [n, k] */
    whet_i_given_labels own;  /* labels that the table gives */
    int32_t *made;            /* [n] of a table */
    const int32_t *label;     /* [n] class, -1 = none */
    whet_i_given_label *kept; /* [n_kept] rows that are trained on */
    int64_t n_kept, clamped;
    double *weight; /* [n_kept] */
} soft;

static void free_soft(whet_ctx *ctx, soft *s) {
    whet_i_free(ctx, s->weight);
    whet_i_free(ctx, s->kept);
    whet_i_free(ctx, s->made);
    whet_i_free(ctx, s->own.items);
    whet_tensor_destroy(ctx, &s->array);
}

static const float *row_of(const soft *s, int64_t row) { return s->q + row * s->k; }

/* ---- what is read ------------------------------------------------------------------------------ */

static whet_status read_array(whet_ctx *ctx, const whet_table *table, soft *s) {
    WHET_TRY(whet_array_read_as(ctx, s->spec, WHET_F32, 2, true, &s->array));
    if (s->array.shape[1] < 2 || s->array.shape[1] > WHET_I_TUNE_CLASSES_MAX)
        return whet_i_fail(ctx, WHET_ERR_SHAPE, "%s: %" PRId64 " columns; expected 2 to %d classes",
                           s->spec, s->array.shape[1], WHET_I_TUNE_CLASSES_MAX);
    s->q = s->array.data;
    s->n = s->array.shape[0];
    s->k = s->array.shape[1];
    if (s->n == whet_table_rows(table)) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_SHAPE,
                       "%s: %" PRId64 " rows; expected %" PRId64 ", one a row of %s", s->spec, s->n,
                       whet_table_rows(table), s->path);
}

/* A table of texts alone needs no column of labels, unless one is asked for by another name. */
static whet_status read_labels(whet_ctx *ctx, const whet_i_tune *run, const whet_table *table,
                               soft *s) {
    const char *name = run->job.label;
    int64_t column = whet_names_find(whet_table_columns(table), whet_str_from(name));
    if (column < 0 && strcmp(name, "label") == 0) return WHET_OK;
    if (column < 0) WHET_TRY(whet_table_find(ctx, table, name, &column));
    return whet_i_labels_of_column(ctx, table, column, &s->own);
}

/* Of the list; else the labels' own, as whet label orders its columns; without labels, their numbers. */
static whet_status name_classes(whet_ctx *ctx, whet_i_tune *run, const soft *s) {
    if (run->job.classes) return whet_names_read(ctx, run->job.classes, &run->classes);
    if (s->own.n) return whet_i_labels_classes(ctx, &s->own, &run->classes);
    WHET_TRY(whet_names_create(ctx, &run->classes));
    for (int64_t c = 0; c < s->k; c++) {
        char name[24];
        (void)snprintf(name, sizeof name, "%" PRId64, c);
        WHET_TRY(whet_names_add(ctx, run->classes, whet_str_from(name), NULL));
    }
    return WHET_OK;
}

static whet_status check_classes(whet_ctx *ctx, whet_i_tune *run, const soft *s) {
    const int64_t columns = s->array.shape[1];
    run->k = whet_names_count(run->classes);
    if (run->k == columns) return whet_i_tune_match_head(ctx, run, &s->own, false);
    return whet_i_fail(ctx, WHET_ERR_SHAPE,
                       "%s: %" PRId64 " columns; expected %" PRId64 ", one a class of %s%s",
                       s->spec, columns, run->k, run->job.classes ? run->job.classes : s->path,
                       run->job.classes ? "" : "; try a class list");
}

static whet_status assign_labels(whet_ctx *ctx, const whet_i_tune *run, soft *s) {
    WHET_TRY(whet_i_alloc(ctx, s->n, &s->made));
    for (int64_t i = 0; i < s->n; i++) s->made[i] = -1;
    s->label = s->made;
    for (int64_t i = 0; i < s->own.n; i++) {
        int32_t class;
        WHET_TRY(whet_i_tune_class_of(ctx, run, s->path, &s->own.items[i], &class));
        s->made[s->own.items[i].row] = class;
    }
    return WHET_OK;
}

/* ---- rows and what they weigh ------------------------------------------------------------------ */

static whet_status check_row(whet_ctx *ctx, const soft *s, int64_t row, int64_t k) {
    const float *q = row_of(s, row);
    double sum = 0;
    for (int64_t c = 0; c < k; c++) {
        sum += (double)q[c];
        if (q[c] < 0 || (double)q[c] > 1 + SUM_TOLERANCE)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: row %" PRId64 " holds %g in column %" PRId64
                               "; expected a probability from 0 to 1",
                               s->spec, row, (double)q[c], c);
    }
    if (fabs(sum - 1) <= SUM_TOLERANCE || sum == 0) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "%s: row %" PRId64
                       " sums to %g; expected 1, or zeros for a row that is left out",
                       s->spec, row, sum);
}

static bool says_nothing(const float *q, int64_t k) {
    float least = q[0], most = q[0];
    for (int64_t c = 1; c < k; c++) {
        least = q[c] < least ? q[c] : least;
        most = q[c] > most ? q[c] : most;
    }
    return (double)(most - least) <= EQUAL;
}

/* 1 - H(q) / ln k, from 0 where all are equal to 1 where one is certain. */
static double confidence(const float *q, int64_t k) {
    double entropy = 0, sum = 0;
    for (int64_t c = 0; c < k; c++) sum += (double)q[c];
    for (int64_t c = 0; c < k; c++) {
        const double p = (double)q[c] / sum;
        if (p > 0) entropy -= p * log(p);
    }
    return fmax(1 - entropy / log((double)k), EQUAL);
}

static whet_status keep_rows(whet_ctx *ctx, const whet_i_tune *run, soft *s) {
    const bool by_confidence = run->job.row_weights == WHET_TUNE_WEIGHTS_CONFIDENCE;
    const int64_t n = s->n, k = run->k;
    double sum = 0;
    WHET_TRY(whet_i_alloc(ctx, n, &s->kept));
    WHET_TRY(whet_i_alloc(ctx, n, &s->weight));
    for (int64_t i = 0; i < n; i++) {
        WHET_TRY(check_row(ctx, s, i, k));
        const bool labelled = s->label[i] >= 0;
        s->clamped += labelled;
        if (!labelled && says_nothing(row_of(s, i), k)) continue;
        const double weight = labelled        ? run->job.label_weight
                              : by_confidence ? confidence(row_of(s, i), k)
                                              : 1;
        s->kept[s->n_kept] = (whet_i_given_label){.row = i};
        s->weight[s->n_kept++] = weight;
        sum += weight;
    }
    for (int64_t i = 0; i < s->n_kept; i++) s->weight[i] *= (double)s->n_kept / sum;
    if (s->n_kept) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "%s: in each row all probabilities are equal, and %s labels none; expected "
                       "some that say something",
                       s->spec, s->path);
}

/* ---- targets ----------------------------------------------------------------------------------- */

static void fill_target(const whet_i_tune *run, const soft *s, int64_t at, float *target) {
    const int64_t k = run->k, row = s->kept[at].row;
    const int32_t label = s->label[row];
    const float *q = row_of(s, row);
    const double smoothing = run->job.smoothing;
    double sum = 0;
    for (int64_t c = 0; c < k; c++) sum += (double)q[c];
    for (int64_t c = 0; c < k; c++) {
        const double p = label < 0 ? (double)q[c] / sum : c == label ? 1 : 0;
        target[c] = (float)(s->weight[at] * ((1 - smoothing) * p + smoothing / (double)k));
    }
}

static whet_status fill_targets(whet_ctx *ctx, const whet_i_tune *run, const soft *s,
                                whet_i_tune_rows *rows) {
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, s->n_kept, run->k, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &rows->probs));
    for (int64_t i = 0; i < s->n_kept; i++) fill_target(run, s, i, rows->probs + i * run->k);
    rows->clamped = s->clamped;
    return WHET_OK;
}

static void tell(whet_ctx *ctx, const soft *s) {
    if (s->n_kept < s->n)
        whet_i_log(ctx, WHET_LOG_INFO,
                   "%s: %" PRId64 " of %" PRId64
                   " rows give all classes the same probability and are left out",
                   s->spec, s->n - s->n_kept, s->n);
}

static whet_status from_files(whet_ctx *ctx, whet_i_tune *run, const whet_table *table, soft *s) {
    WHET_TRY(read_array(ctx, table, s));
    WHET_TRY(read_labels(ctx, run, table, s));
    WHET_TRY(name_classes(ctx, run, s));
    WHET_TRY(check_classes(ctx, run, s));
    return assign_labels(ctx, run, s);
}

static void from_memory(const whet_i_tune *run, soft *s) {
    const whet_i_tune_given *g = run->given;
    s->n = g->n;
    s->k = run->k;
    s->q = g->probs;
    s->label = g->labels;
}

whet_status whet_i_tune_read_probabilities(whet_ctx *ctx, whet_i_tune *run, whet_i_tune_rows *rows,
                                           whet_i_given_labels *given) {
    soft s = {.spec = run->job.probs, .path = rows->path};
    whet_status status = WHET_OK;
    run->kind = whet_i_tune_kind_of(WHET_TUNE_CROSS_ENTROPY);
    if (run->given)
        from_memory(run, &s);
    else
        WHET_TRY_DONE(from_files(ctx, run, rows->table, &s));
    WHET_TRY_DONE(keep_rows(ctx, run, &s));
    WHET_TRY_DONE(fill_targets(ctx, run, &s, rows));
    tell(ctx, &s);
    *given = (whet_i_given_labels){.path = rows->path, .items = s.kept, .n = s.n_kept};
    s.kept = NULL;
done:
    free_soft(ctx, &s);
    return status;
}
