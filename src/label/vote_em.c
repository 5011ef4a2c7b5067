/* SPDX-License-Identifier: Apache-2.0
 * Expectation and maximisation over votes. A step reads every row once: its class probabilities r by
 * the model's scores, and at once what it adds to the expected counts. Scores count abstaining
 * beforehand, so that a step costs the votes there are. Sums are kept in parts of the rows that do
 * not know the threads, and joined in order.
 *
 * The start is the shares of a row's votes. Rows with a label have r fixed; their counts are made
 * once. Equal rows are joined beforehand where that pays (vote_patterns.c): weight says how many a
 * row stands for.
 * Source: Dempster, Laird & Rubin 1977; Dawid & Skene 1979.
 * Legend: n rows, m rules, k classes, d = m k cells. */
#include <math.h>

#include "label/vote_em.h"

enum {
    MOST_PARTS = 64,
    LEAST_ROWS = 2048,
    PART_BYTES = 256 << 20,
    KEPT_BYTES = 256 << 20,
    SORTED_ROWS = 16384
};

typedef struct em {
    const whet_votes *rows;
    const int64_t *weight;         /* [rows] or NULL = 1 */
    const int32_t *labels;         /* [rows] or NULL */
    const whet_label_model *model; /* NULL: r is the share of votes */
    const whet_kernels *kernels;
    bool keep_uncovered, labelled; /* which rows a pass reads */
    int64_t width, parts,
        stride;        /* numbers of a part: [d, width] cells, [width] total, likelihood */
    double *sums;      /* [parts, stride] */
    double *fixed;     /* [stride] of the labelled rows */
    double *whole;     /* [stride] */
    double *weights;   /* [threads, WHET_I_VOTE_BATCH] */
    int32_t *class_of; /* [d] */
    whet_i_vote_batch batch;
    /* the rows that are not labelled, as kernels take them, where they fit: a part's begin at its first
     * row's place */
    int64_t *kept;       /* [parts] how many, or NULL: rows are read anew in every pass */
    int32_t *kept_start; /* [rows + parts] */
    int32_t *kept_cell;  /* [rows, m] */
    double *kept_weight; /* [rows] or NULL */
    int32_t *kept_room;  /* [workers, 2 rules + 1] */
} em;

double whet_i_log_floored(double x) { return log(x > 1e-300 ? x : 1e-300); }

bool whet_i_learns_balance(const whet_label_model_opts *opts) {
    return opts->learn_balance || (!opts->balance && !opts->labels);
}

double whet_i_vote_abstained(const whet_i_vote_expectations *e, int64_t j, int64_t c) {
    double votes = 0;
    if (e->tireless[j]) return 0;
    for (int64_t s = j * e->k; s < (j + 1) * e->k; s++) votes += e->cells[s * e->width + c];
    const double left = e->total[c] - votes;
    return left > 1e-12 * e->total[c] ? left
                                      : 0; /* a difference of sums: below, it is their noise */
}

/* r of rows by their label, or by the shares of their votes, and what it adds. */
static void add_known_rows(const em *s, const whet_i_vote_rows *rows, const int32_t *label) {
    const int64_t k = s->rows->k, width = s->width;
    double *restrict r = rows->r;
    for (int64_t c = 0; c < width; c++) r[c] = 0;
    for (int64_t i = 0; i < rows->rows; i++) {
        const int64_t first = rows->start[i], last = rows->start[i + 1];
        const double weight = rows->weight ? rows->weight[i] : 1;
        const double share = last > first ? weight / (double)(last - first) : weight / (double)k;
        for (int64_t c = 0; c < k; c++) r[c] = label || last > first ? 0 : share;
        if (label) r[label[i]] = weight;
        for (int64_t e = first; !label && e < last; e++) r[s->class_of[rows->cell[e]]] += share;
        for (int64_t e = first; e < last; e++) {
            double *restrict to = rows->counts + rows->cell[e] * width;
            for (int64_t c = 0; c < width; c++) to[c] += r[c];
        }
        for (int64_t c = 0; c < width; c++) rows->total[c] += r[c];
    }
}

/* The next rows from *at on that this pass reads, as many as the worker has room for. */
static whet_i_vote_rows take_rows(const em *s, int32_t worker, int64_t *at, int64_t last,
                                  int32_t *label) {
    whet_i_vote_rows rows = whet_i_vote_batch_fill(&s->batch, worker, s->rows, 0, 0);
    int32_t *start = s->batch.start + worker * (WHET_I_VOTE_BATCH + 1);
    int32_t *cell = s->batch.cell + worker * WHET_I_VOTE_BATCH * s->rows->m;
    double *weight = s->weights + worker * WHET_I_VOTE_BATCH;
    for (; *at < last && rows.rows < WHET_I_VOTE_BATCH; (*at)++) {
        const int32_t known = s->labels ? s->labels[*at] : -1, end = start[rows.rows];
        if ((known >= 0) != s->labelled) continue;
        const int64_t count = whet_i_vote_cells(s->rows, *at, cell + end);
        if (count == 0 && known < 0 && !s->keep_uncovered) continue;
        label[rows.rows] = known;
        if (s->weight) weight[rows.rows] = (double)s->weight[*at];
        start[++rows.rows] = end + (int32_t)count;
    }
    rows.weight = s->weight ? weight : NULL;
    return rows;
}

static bool is_kept(const em *s, int64_t row, int64_t votes) {
    return (!s->labels || s->labels[row] < 0) && (votes > 0 || s->keep_uncovered);
}

static int64_t keep_in_order(const em *s, int64_t first, int64_t last, int32_t *own, int32_t *start,
                             int32_t *cell) {
    int64_t at = 0;
    start[0] = 0;
    for (int64_t i = first; i < last; i++) {
        const int64_t votes = whet_i_vote_cells(s->rows, i, own);
        if (!is_kept(s, i, votes)) continue;
        memcpy(cell + start[at], own, sizeof *own * (size_t)votes);
        if (s->weight) s->kept_weight[first + at] = (double)s->weight[i];
        start[at + 1] = start[at] + (int32_t)votes;
        at++;
    }
    return at;
}

/* Of many rows by the number of their votes, so that loops over these end where the processor expects it,
 * rows of as many in their order; of few, whose sums may be touchy about their order, as they come. Counted
 * first, then put in place. */
static void keep_part(void *arg, int64_t part, int32_t worker) {
    const em *s = arg;
    const int64_t m = s->rows->m;
    int64_t first, last, at = 0, cells = 0;
    whet_i_part(s->rows->n, s->parts, part, &first, &last);
    int32_t *start = s->kept_start + first + part, *cell = s->kept_cell + first * m;
    int32_t *own = s->kept_room + worker * (2 * m + 1), *next = own + m;
    if (s->rows->n < SORTED_ROWS) {
        s->kept[part] = keep_in_order(s, first, last, own, start, cell);
        return;
    }
    memset(next, 0, sizeof *next * (size_t)(m + 1));
    for (int64_t i = first; i < last; i++) {
        const int64_t votes = whet_i_vote_cells(s->rows, i, own);
        if (is_kept(s, i, votes)) next[votes]++;
    }
    for (int64_t votes = 0; votes <= m; votes++) {
        const int64_t rows = next[votes];
        next[votes] = (int32_t)at;
        for (int64_t r = 0; r < rows; r++, cells += votes) start[at++] = (int32_t)cells;
    }
    start[at] = (int32_t)cells;
    for (int64_t i = first; i < last; i++) {
        const int64_t votes = whet_i_vote_cells(s->rows, i, own);
        if (!is_kept(s, i, votes)) continue;
        const int32_t to = next[votes]++;
        memcpy(cell + start[to], own, sizeof *own * (size_t)votes);
        if (s->weight) s->kept_weight[first + to] = (double)s->weight[i];
    }
    s->kept[part] = at;
}

static whet_i_vote_rows kept_rows(const em *s, int32_t worker, int64_t part, int64_t first,
                                  int64_t at) {
    const int64_t left = s->kept[part] - at;
    return (whet_i_vote_rows){.rows = left < WHET_I_VOTE_BATCH ? left : WHET_I_VOTE_BATCH,
                              .width = s->width,
                              .start = s->kept_start + first + part + at,
                              .cell = s->kept_cell + first * s->rows->m,
                              .weight = s->weight ? s->kept_weight + first + at : NULL,
                              .r = s->batch.r + worker * WHET_I_VOTE_BATCH * s->width};
}

static whet_status keep_cells(whet_ctx *ctx, em *s) {
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, s->rows->n, s->rows->m, &cells));
    if (cells > KEPT_BYTES / 4) return WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, s->rows->n + s->parts, &s->kept_start));
    WHET_TRY(whet_i_alloc(ctx, cells, &s->kept_cell));
    if (s->weight) WHET_TRY(whet_i_alloc(ctx, s->rows->n, &s->kept_weight));
    WHET_TRY(whet_i_mul(ctx, whet_ctx_threads(ctx), 2 * s->rows->m + 1, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &s->kept_room));
    WHET_TRY(whet_i_alloc(ctx, s->parts, &s->kept));
    return whet_i_parallel_for(ctx, NULL, s->parts, keep_part, s);
}

static void pass_part(void *arg, int64_t part, int32_t worker) {
    const em *s = arg;
    double *sums = s->sums + part * s->stride;
    int32_t label[WHET_I_VOTE_BATCH];
    const bool kept = s->kept && !s->labelled;
    int64_t first, last;
    memset(sums, 0, sizeof *sums * (size_t)s->stride);
    whet_i_part(s->rows->n, s->parts, part, &first, &last);
    for (int64_t at = kept ? 0 : first; at < (kept ? s->kept[part] : last);) {
        whet_i_vote_rows rows =
            kept ? kept_rows(s, worker, part, first, at) : take_rows(s, worker, &at, last, label);
        at += kept ? rows.rows : 0;
        rows.counts = sums;
        rows.total = sums + s->stride - 1 - s->width;
        rows.likelihood = sums + s->stride - 1;
        if (s->labelled || !s->model) {
            add_known_rows(s, &rows, s->labelled ? label : NULL);
            continue;
        }
        rows.base = s->model->base;
        rows.table = s->model->table;
        s->kernels->vote_rows(&rows);
    }
}

/* The parts' sums in order, on top of the labelled rows' where those are known. */
static whet_status pass(whet_ctx *ctx, em *s, const double *onto, double *out) {
    WHET_TRY(whet_i_parallel_for(ctx, NULL, s->parts, pass_part, s));
    for (int64_t e = 0; e < s->stride; e++) {
        double sum = onto ? onto[e] : 0;
        for (int64_t p = 0; p < s->parts; p++) sum += s->sums[p * s->stride + e];
        out[e] = sum;
    }
    return WHET_OK;
}

static whet_status make_room(whet_ctx *ctx, em *s) {
    const int64_t m = s->rows->m, k = s->rows->k;
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, m * k, s->width, &cells));
    WHET_TRY(whet_i_add(ctx, cells, s->width + 1, &s->stride));
    s->parts = PART_BYTES / 8 / s->stride;
    s->parts = s->parts > MOST_PARTS ? MOST_PARTS : s->parts < 1 ? 1 : s->parts;
    s->parts = s->parts > s->rows->n / LEAST_ROWS + 1 ? s->rows->n / LEAST_ROWS + 1 : s->parts;
    WHET_TRY(whet_i_mul(ctx, s->parts, s->stride, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &s->sums));
    WHET_TRY(whet_i_calloc(ctx, s->stride, &s->fixed));
    WHET_TRY(whet_i_alloc(ctx, s->stride, &s->whole));
    WHET_TRY(whet_i_alloc(ctx, (int64_t)WHET_I_VOTE_BATCH * whet_ctx_threads(ctx), &s->weights));
    WHET_TRY(whet_i_alloc(ctx, m * k, &s->class_of));
    for (int64_t c = 0; c < m * k; c++) s->class_of[c] = (int32_t)(c % k);
    return whet_i_vote_batch_make(ctx, m, s->width, &s->batch);
}

static void free_room(whet_ctx *ctx, em *s) {
    whet_i_free(ctx, s->sums);
    whet_i_free(ctx, s->fixed);
    whet_i_free(ctx, s->whole);
    whet_i_free(ctx, s->weights);
    whet_i_free(ctx, s->class_of);
    whet_i_free(ctx, s->kept);
    whet_i_free(ctx, s->kept_start);
    whet_i_free(ctx, s->kept_cell);
    whet_i_free(ctx, s->kept_weight);
    whet_i_free(ctx, s->kept_room);
    whet_i_vote_batch_free(ctx, &s->batch);
}

static whet_status iterate(whet_ctx *ctx, em *s, const whet_i_label_fit *fit, const char *stage,
                           whet_i_vote_maximise maximise, const whet_i_vote_expectations *e,
                           whet_label_model *model) {
    const whet_label_model_opts *o = fit->opts;
    double likelihood = 0, rows = 0;
    for (int64_t c = 0; c < e->k; c++) rows += e->total[c];
    for (int64_t step = 1; step <= o->most_steps; step++) {
        WHET_TRY(whet_i_progress(ctx, stage, step - 1, 0));
        maximise(fit, e, model);
        s->model = model;
        WHET_TRY(pass(ctx, s, s->fixed, s->whole));
        const double before = likelihood;
        likelihood = s->whole[s->stride - 1];
        if (!isfinite(likelihood))
            return whet_i_fail(ctx, WHET_ERR_NUMERIC,
                               "%s: the likelihood is not a number at step %lld", stage,
                               (long long)step);
        whet_i_note(ctx, "log likelihood %.6g", likelihood);
        model->info.steps = step;
        model->info.loss = -likelihood;
        /* 1e-12 a row: where the rules leave nothing open, the likelihood is 1 up to rounding. */
        const double least = o->tolerance > 0 ? o->tolerance * fabs(likelihood) + 1e-12 * rows : 0;
        if (step > 1 && fabs(likelihood - before) <= least) break;
    }
    return whet_i_progress(ctx, stage, model->info.steps, model->info.steps);
}

whet_status whet_i_vote_em(whet_ctx *ctx, const whet_i_label_fit *fit, const char *stage,
                           whet_i_vote_maximise maximise, whet_label_model *model) {
    const int64_t m = fit->m, k = fit->k;
    whet_i_vote_patterns patterns = {0};
    bool *silent = NULL, *tireless = NULL;
    whet_status status = WHET_OK;
    em s = {.rows = fit->votes,
            .labels = fit->opts->labels,
            .kernels = whet_i_kernels(ctx),
            .width = model->width,
            .keep_uncovered = fit->opts->keep_uncovered,
            .labelled = true};
    WHET_TRY_DONE(make_room(ctx, &s));
    WHET_TRY_DONE(whet_i_alloc(ctx, m, &silent));
    WHET_TRY_DONE(whet_i_alloc(ctx, m, &tireless));
    WHET_TRY_DONE(whet_i_calloc(ctx, m * k * k, &model->likely));
    WHET_TRY_DONE(whet_i_calloc(ctx, (m + 1) * k, &model->parts));
    if (s.labels) WHET_TRY_DONE(pass(ctx, &s, NULL, s.fixed));
    s.labelled = false;
    if (!fit->opts->no_joining)
        WHET_TRY_DONE(whet_i_vote_patterns_find(ctx, fit->votes, s.labels, &patterns));
    if (patterns.weight) {
        s.rows = &patterns.votes;
        s.weight = patterns.weight;
        s.labels = NULL;
        const int64_t parts = s.rows->n / LEAST_ROWS + 1;
        s.parts = parts < s.parts ? parts : s.parts;
    }
    if (!fit->opts->no_joining) WHET_TRY_DONE(keep_cells(ctx, &s));
    WHET_TRY_DONE(pass(ctx, &s, NULL, s.whole));
    double open = 0, rows = 0;
    for (int64_t c = 0; c < k; c++) {
        open += s.whole[m * k * s.width + c];
        rows += s.whole[m * k * s.width + c] + s.fixed[m * k * s.width + c];
    }
    /* Where there are labels, they say where to start, and shares of votes only what they leave open:
     * rules that most often err would be taken for good ones, and never seen through. */
    const double part = open > 0 && rows > open ? fmin(1, 2 * (double)k / open) : 1;
    for (int64_t i = 0; i < s.stride; i++) s.whole[i] = part * s.whole[i] + s.fixed[i];
    for (int64_t j = 0; j < m; j++) {
        silent[j] = !(fit->coverage[j] > 0);
        tireless[j] = fit->coverage[j] * (double)fit->n > rows - .5;
    }
    const whet_i_vote_expectations e = {.m = m,
                                        .k = k,
                                        .cells = s.whole,
                                        .width = s.width,
                                        .total = s.whole + m * k * s.width,
                                        .silent = silent,
                                        .tireless = tireless};
    WHET_TRY_DONE(iterate(ctx, &s, fit, stage, maximise, &e, model));
    model->abstains = fit->opts->keep_uncovered && !fit->opts->ignore_abstains;
    memcpy(model->prior, model->balance, sizeof *model->prior * (size_t)k);
done:
    whet_i_vote_patterns_free(ctx, &patterns);
    whet_i_free(ctx, tireless);
    whet_i_free(ctx, silent);
    free_room(ctx, &s);
    return status;
}
