/* SPDX-License-Identifier: Apache-2.0
 * Rules from the classes' own vectors (of their names, say): the rule of a class votes for it where the
 * row's cosine to its vector is the largest of all and at least a threshold.
 *
 * A threshold is where the class's F1 on the labels is largest, of equals the lowest: precision and
 * recall of the positive side alone, as a rule that never says "not c" is to be judged (zero-shot
 * prediction as a labelling function: AutoWS-Bench-101, arXiv 2208.14362). It is chosen on each four of
 * five folds, and the median of the five is taken, so that no single label decides; labels judge the
 * rules by the thresholds that were chosen without them. Without labels that could tell (none of the
 * rows that a rule could vote on is right), half of the rows whose largest cosine is the class's have its
 * vote: those nearest to it.
 * Legend: n rows, d features, k classes, b labelled rows. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "label/label_i.h"
#include "label/rules_i.h"

enum { BLOCK = 256, FOLDS = 5, MOST_NAME = 100 };
#define MOST_NUMBERS ((int64_t)1 << 23) /* of all rules: a file of 160 MB */

/* A labelled row whose largest cosine is of the class that is looked at. */
typedef struct near_row {
    double cosine;
    bool right;
} near_row;

typedef struct similar {
    const whet_synth_input *in;
    int64_t n, d, k, b;
    whet_i_model model; /* of all classes */
    double *p;          /* [threads, k] */
    int32_t *top;       /* [n] class of the largest cosine */
    double *cosine;     /* [n] that cosine */
    int64_t *row;       /* [b] labelled rows, and ... */
    int32_t *y;         /* [b] ... their classes */
    near_row *near_rows;
    double *sorted;  /* [n] */
    double *usual;   /* [k] thresholds without labels */
    double *of_fold; /* [k, FOLDS] thresholds that labels give, or usual */
    whet_i_splits splits;
} similar;

static void release(whet_ctx *ctx, similar *s) {
    whet_i_free(ctx, s->model.input);
    whet_i_free(ctx, s->model.vote);
    whet_i_free(ctx, s->model.least);
    whet_i_free(ctx, s->model.weight);
    whet_i_free(ctx, s->p);
    whet_i_free(ctx, s->top);
    whet_i_free(ctx, s->cosine);
    whet_i_free(ctx, s->row);
    whet_i_free(ctx, s->y);
    whet_i_free(ctx, s->near_rows);
    whet_i_free(ctx, s->sorted);
    whet_i_free(ctx, s->usual);
    whet_i_free(ctx, s->of_fold);
    whet_i_splits_free(ctx, &s->splits);
}

/* ---- cosines ---------------------------------------------------------------------------------- */

static void do_block(void *arg, int64_t block, int32_t worker) {
    similar *s = arg;
    double *p = s->p + worker * s->k;
    const whet_i_strided x = {s->in->features, s->d, 1};
    const int64_t first = block * BLOCK, end = s->n - first < BLOCK ? s->n : first + BLOCK;
    for (int64_t i = first; i < end; i++) {
        whet_i_model_probs(&s->model, x, i, p, NULL);
        s->top[i] = (int32_t)whet_i_argmax(p, s->k);
        s->cosine[i] = p[s->top[i]];
    }
}

/* Columns of length 1 from the rows of `vectors` [k, d]. */
static whet_status set_vectors(whet_ctx *ctx, similar *s, const float *vectors) {
    for (int64_t c = 0; c < s->k; c++) {
        double square = 0;
        for (int64_t j = 0; j < s->d; j++)
            square += (double)vectors[c * s->d + j] * (double)vectors[c * s->d + j];
        if (!(square > 0))
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "the vector of class %" PRId64
                               " is 0; expected one that a cosine can be taken to",
                               c);
        const double scale = 1 / sqrt(square);
        for (int64_t j = 0; j < s->d; j++)
            s->model.weight[j * s->k + c] = (double)vectors[c * s->d + j] * scale;
    }
    return WHET_OK;
}

static whet_status make(whet_ctx *ctx, similar *s) {
    int64_t cells, room;
    s->model = (whet_i_model){.kind = WHET_I_RULE_SIMILARITY, .inputs = s->d, .outs = s->k};
    WHET_TRY(whet_i_mul(ctx, s->d, s->k, &cells));
    WHET_TRY(whet_i_mul(ctx, whet_ctx_threads(ctx), s->k, &room));
    WHET_TRY(whet_i_alloc(ctx, s->d, &s->model.input));
    WHET_TRY(whet_i_alloc(ctx, s->k, &s->model.vote));
    WHET_TRY(whet_i_alloc(ctx, s->k, &s->model.least));
    WHET_TRY(whet_i_alloc(ctx, cells, &s->model.weight));
    WHET_TRY(whet_i_alloc(ctx, room, &s->p));
    WHET_TRY(whet_i_alloc(ctx, s->n, &s->top));
    WHET_TRY(whet_i_alloc(ctx, s->n, &s->cosine));
    WHET_TRY(whet_i_alloc(ctx, s->n, &s->sorted));
    WHET_TRY(whet_i_alloc(ctx, s->b, &s->row));
    WHET_TRY(whet_i_alloc(ctx, s->b, &s->y));
    WHET_TRY(whet_i_alloc(ctx, s->b, &s->near_rows));
    WHET_TRY(whet_i_alloc(ctx, s->k, &s->usual));
    WHET_TRY(whet_i_alloc(ctx, s->k * FOLDS, &s->of_fold));
    for (int64_t j = 0; j < s->d; j++) s->model.input[j] = j;
    int64_t at = 0;
    for (int64_t i = 0; s->b && i < s->n; i++) {
        if (s->in->labels[i] < 0) continue;
        s->row[at] = i;
        s->y[at++] = s->in->labels[i];
    }
    return WHET_OK;
}

/* ---- thresholds ------------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int by_cosine_falling(const void *a, const void *b) {
    const double x = ((const near_row *)a)->cosine, y = ((const near_row *)b)->cosine;
    return (x < y) - (x > y);
}

static double median(double *x, int64_t n) {
    qsort(x, (size_t)n, sizeof *x, by_number);
    return x[n / 2];
}

/* The nearer half of the rows whose largest cosine is of the class. */
static void set_usual(const similar *s) {
    for (int64_t c = 0; c < s->k; c++) {
        int64_t count = 0;
        for (int64_t i = 0; i < s->n; i++)
            if (s->top[i] == c) s->sorted[count++] = s->cosine[i];
        s->usual[c] = count ? median(s->sorted, count) : -1;
    }
}

/* Of class c on the labelled rows at `place` [count]; -1 is every row. */
static double threshold(const similar *s, int64_t c, const int64_t *place, int64_t count) {
    int64_t held = 0, voted = 0, right = 0, of_class = 0;
    double best = 0, least = s->usual[c];
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = place ? place[i] : i, row = s->row[at];
        of_class += s->y[at] == c;
        if (s->top[row] == c) s->near_rows[held++] = (near_row){s->cosine[row], s->y[at] == c};
    }
    if (held) qsort(s->near_rows, (size_t)held, sizeof *s->near_rows, by_cosine_falling);
    for (int64_t i = 0; i < held; i++) {
        const near_row *row = &s->near_rows[i];
        voted++;
        right += row->right;
        if (i + 1 < held && row[1].cosine == row->cosine) continue;
        const double f1 = 2 * (double)right / (double)(voted + of_class);
        if (f1 < best || f1 == 0) continue;
        best = f1;
        least = i + 1 < held ? row->cosine / 2 + row[1].cosine / 2 : -1;
    }
    return least;
}

/* least [k] in the model; labels judge by what was chosen without them. */
static whet_status choose(whet_ctx *ctx, similar *s, whet_synth_report *report) {
    int64_t right = 0;
    WHET_TRY(whet_i_splits_make(ctx, s->y, NULL, s->b, s->k, 1, FOLDS, s->in->seed, &s->splits));
    const int64_t folds = s->splits.n;
    for (int64_t c = 0; c < s->k; c++) {
        double *of = s->of_fold + c * FOLDS;
        for (int64_t f = 0; f < folds; f++)
            of[f] = threshold(s, c, s->splits.split[f].train, s->splits.split[f].n_train);
    }
    for (int64_t i = 0; i < s->b && folds; i++) {
        const int32_t c = s->top[s->row[i]];
        const bool votes = s->cosine[s->row[i]] >= s->of_fold[c * FOLDS + s->splits.fold[i]];
        right += votes && c == s->y[i];
        report->vague += !votes;
    }
    report->accuracy = folds ? (double)right / (double)s->b : (double)NAN;
    for (int64_t c = 0; c < s->k; c++)
        s->model.least[c] =
            folds ? median(s->of_fold + c * FOLDS, folds) : threshold(s, c, NULL, s->b);
    return WHET_OK;
}

/* ---- rules ------------------------------------------------------------------------------------ */

/* A rule a class: the model of all, in which the others abstain. */
static whet_status add_rules(whet_ctx *ctx, similar *s, whet_rules *rules) {
    char name[160];
    for (int64_t c = 0; c < s->k; c++) {
        const whet_str class = whet_names_get(s->in->classes, c);
        for (int64_t o = 0; o < s->k; o++) s->model.vote[o] = o == c ? (int32_t)c : -1;
        if (class.len <= MOST_NAME)
            (void)snprintf(name, sizeof name, "similar to %s", class.ptr);
        else
            (void)snprintf(name, sizeof name, "similar to class %" PRId64, c);
        WHET_TRY(whet_i_rules_add_model(ctx, rules, name, &s->model));
    }
    return WHET_OK;
}

static whet_status check(whet_ctx *ctx, const whet_synth_input *in, const float *vectors,
                         int64_t *labelled) {
    int64_t numbers;
    if (!in->features || !in->classes || !vectors || in->n < 0 || in->d < 1 ||
        whet_names_count(in->classes) < 2)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "expected features, at least two classes and a vector for each");
    const int64_t k = whet_names_count(in->classes);
    *labelled = 0;
    for (int64_t i = 0; in->labels && i < in->n; i++) {
        if (in->labels[i] < -1 || in->labels[i] >= k)
            return whet_i_fail(ctx, WHET_ERR_ARG,
                               "label of row %" PRId64 " is %d; expected -1 to %" PRId64, i,
                               in->labels[i], k - 1);
        *labelled += in->labels[i] >= 0;
    }
    WHET_TRY(whet_i_mul(ctx, k, k, &numbers));
    WHET_TRY(whet_i_mul(ctx, numbers, in->d, &numbers));
    if (numbers > MOST_NUMBERS)
        return whet_i_fail(ctx, WHET_ERR_LIMIT,
                           "%" PRId64 " rules with %" PRId64 " vectors of %" PRId64
                           " features each; expected at most %" PRId64 " numbers in all",
                           k, k, in->d, MOST_NUMBERS);
    WHET_TRY(whet_i_check_finite(ctx, "features", in->features, in->n, in->d));
    return whet_i_check_finite(ctx, "class features", vectors, k, in->d);
}

whet_status whet_similarity_rules(whet_ctx *ctx, const whet_synth_input *input,
                                  const float *vectors, whet_rules **out,
                                  whet_synth_report *report) {
    whet_status status = WHET_OK;
    similar s = {.in = input, .n = input->n, .d = input->d};
    whet_synth_report found = {.accuracy = (double)NAN, .log_loss = (double)NAN};
    whet_rules *rules = NULL;
    WHET_TRY(check(ctx, input, vectors, &s.b));
    s.k = whet_names_count(input->classes);
    WHET_TRY_DONE(make(ctx, &s));
    WHET_TRY_DONE(set_vectors(ctx, &s, vectors));
    WHET_TRY_DONE(
        whet_i_parallel_for(ctx, "similarities", (s.n + BLOCK - 1) / BLOCK, do_block, &s));
    set_usual(&s);
    WHET_TRY_DONE(choose(ctx, &s, &found));
    WHET_TRY_DONE(whet_i_rules_create(ctx, input->classes, s.d, &rules));
    WHET_TRY_DONE(add_rules(ctx, &s, rules));
    found.labelled = s.b;
    found.rules = found.candidates = s.k;
    if (report) *report = found;
    *out = rules;
    rules = NULL;
done:
    whet_rules_destroy(ctx, rules);
    release(ctx, &s);
    return status;
}
