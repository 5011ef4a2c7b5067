/* SPDX-License-Identifier: Apache-2.0
 * Labelled rows as what is chosen sees them from the other labels: where labels may be wrong. What
 * predictions say of a row that was learnt from is fitted to its label; this is not.
 * Source: Northcutt, Jiang & Chuang 2021 (arXiv 1911.00068): out-of-sample probabilities, ordered by
 * that of the label itself. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "adapt/pipeline_i.h"

static const char held_out_name[] = "held_out.tsv";
static const double ALIKE = 1e-9; /* means of equal probabilities differ by rounding */

/* A place among the labels, and the probability of its own label. */
typedef struct doubt {
    double own;
    int64_t at;
} doubt;

static int by_own(const void *a, const void *b) {
    const doubt *x = a, *y = b;
    if (x->own != y->own) return x->own < y->own ? -1 : 1;
    return x->at < y->at ? -1 : 1;
}

int32_t whet_i_held_class(const whet_i_run *run, int64_t at) {
    const int64_t k = whet_names_count(run->classes);
    const double *p = run->held_out.probs + at * k;
    const int32_t label = run->train.labels[run->held_out.rows[at]];
    int32_t top[3];
    (void)whet_i_top(p, k, 1, top);
    return p[top[0]] - p[label] > ALIKE ? top[0] : label;
}

/* Of the fit, or of the tuned encoder, whose folds hold all labels out. */
static whet_status given_by(whet_ctx *ctx, const whet_i_run *run, int64_t **rows, int64_t *n,
                            const double **probs) {
    const whet_i_tuning *t = &run->tuning;
    const int64_t *fitted;
    if (!t->kept) {
        *n = whet_adapt_fit_held_out(run->fit, &fitted, probs);
        WHET_TRY(whet_i_alloc(ctx, *n, rows));
        if (*n > 0) memcpy(*rows, fitted, (size_t)*n * sizeof **rows);
        return WHET_OK;
    }
    *probs = t->tried[t->best].held;
    *n = 0;
    WHET_TRY(whet_i_alloc(ctx, run->train.n, rows));
    for (int64_t i = 0; *probs && i < run->train.n; i++)
        if (run->train.labels[i] >= 0) (*rows)[(*n)++] = i;
    return WHET_OK;
}

whet_status whet_i_run_hold_out(whet_ctx *ctx, whet_i_run *run) {
    const int64_t k = whet_names_count(run->classes);
    whet_i_held_out *h = &run->held_out;
    whet_status status = WHET_OK;
    int64_t *rows = NULL, n;
    const double *probs;
    doubt *doubts = NULL;
    WHET_TRY_DONE(given_by(ctx, run, &rows, &n, &probs));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &doubts));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &h->rows));
    WHET_TRY_DONE(whet_i_alloc(ctx, n * k, &h->probs));
    for (int64_t i = 0; i < n; i++)
        doubts[i] = (doubt){probs[i * k + run->train.labels[rows[i]]], i};
    if (n > 1) qsort(doubts, (size_t)n, sizeof *doubts, by_own);
    for (int64_t i = 0; i < n; i++) {
        const double *p = probs + doubts[i].at * k;
        h->rows[i] = rows[doubts[i].at];
        memcpy(h->probs + i * k, p, (size_t)k * sizeof *p);
    }
    h->n = n;
    for (int64_t i = 0; i < n; i++)
        h->doubted += whet_i_held_class(run, i) != run->train.labels[h->rows[i]] ? 1 : 0;
done:
    whet_i_free(ctx, rows);
    whet_i_free(ctx, doubts);
    return status;
}

void whet_i_held_out_free(whet_ctx *ctx, whet_i_held_out *h) {
    whet_i_free(ctx, h->rows);
    whet_i_free(ctx, h->probs);
    *h = (whet_i_held_out){0};
}

static whet_status write_lines(whet_ctx *ctx, const whet_i_run *run, whet_out *out) {
    const whet_i_held_out *h = &run->held_out;
    const int64_t k = whet_names_count(run->classes);
    WHET_TRY(whet_out_printf(ctx, out, "row\tlabel\town\tclass\tprobability\n"));
    for (int64_t i = 0; i < h->n; i++) {
        const double *p = h->probs + i * k;
        const int64_t label = run->train.labels[h->rows[i]], best = whet_i_held_class(run, i);
        const whet_str own = whet_names_get(run->classes, label);
        const whet_str name = whet_names_get(run->classes, best);
        WHET_TRY(whet_out_printf(ctx, out, "%" PRId64 "\t", h->rows[i]));
        WHET_TRY(whet_out_write(ctx, out, own.ptr, own.len));
        WHET_TRY(whet_out_printf(ctx, out, "\t%.6f\t", p[label]));
        WHET_TRY(whet_out_write(ctx, out, name.ptr, name.len));
        WHET_TRY(whet_out_printf(ctx, out, "\t%.6f\n", p[best]));
    }
    return WHET_OK;
}

whet_status whet_i_write_held_out(whet_ctx *ctx, const whet_i_run *run, const char *dir) {
    whet_out *out = NULL;
    char *path = NULL;
    whet_status status = WHET_OK;
    if (run->held_out.n == 0) return WHET_OK;
    WHET_TRY_DONE(whet_i_join_path(ctx, dir, held_out_name, &path));
    WHET_TRY_DONE(whet_out_open(ctx, path, false, &out));
    WHET_TRY_DONE(write_lines(ctx, run, out));
    status = whet_out_commit(ctx, out);
    out = NULL;
done:
    whet_out_abort(ctx, out);
    whet_i_free(ctx, path);
    return status;
}
