/* SPDX-License-Identifier: Apache-2.0
 * What candidates say of labelled rows out of fold: each by models that were fitted without the row,
 * so that the labels that make a rule do not judge it.
 * Legend: b labelled rows, k classes. */
#include <math.h>
#include <stdio.h>

#include "label/label_i.h"
#include "label/out_of_fold.h"

enum { FOLDS = 5 };

/* ---- models out of fold ----------------------------------------------------------------------- */

/* Outputs for a fit to `n` places: classes that occur; apart: the rest, and the class. false when
 * there are not two. */
static bool outputs(const whet_i_out_of_fold *r, int32_t class, const int64_t *place, int64_t n,
                    int32_t worker, whet_i_fit_task *task) {
    int32_t *target = r->target + worker * r->rows->b, *classes = r->classes + worker * r->rows->k;
    int32_t next = 0;
    if (class >= 0) {
        bool seen[2] = {false, false};
        for (int64_t i = 0; i < n; i++) {
            target[place[i]] = r->rows->y[place[i]] == class;
            seen[target[place[i]]] = true;
        }
        classes[0] = -1;
        classes[1] = class;
        next = seen[0] && seen[1] ? 2 : 1;
    } else {
        int64_t *number = r->counts + worker * 2 * r->rows->k;
        for (int64_t c = 0; c < r->rows->k; c++) number[c] = -1;
        for (int64_t i = 0; i < n; i++) number[r->rows->y[place[i]]] = 0;
        for (int64_t c = 0; c < r->rows->k; c++) {
            if (number[c] < 0) continue;
            classes[next] = (int32_t)c;
            number[c] = next++;
        }
        for (int64_t i = 0; i < n; i++) target[place[i]] = (int32_t)number[r->rows->y[place[i]]];
    }
    task->place = place;
    task->n = n;
    task->target = target;
    task->outs = next;
    return next > 1;
}

static bool fit(const whet_i_out_of_fold *r, int64_t at, const int64_t *place, int64_t n,
                int32_t worker) {
    whet_i_fit_task task = {
        .rows = r->rows, .list = r->list, .candidate = at % r->list->n, .standard = true};
    const int32_t class = r->apart ? (int32_t)(at / r->list->n) : -1;
    if (!outputs(r, class, place, n, worker, &task)) return false;
    if (r->span[task.candidate].z) task.span = &r->span[task.candidate];
    whet_i_candidate_fit(&task, &r->fitter[worker]);
    return true;
}

static whet_i_said say(const whet_i_out_of_fold *r, int64_t row, int32_t worker) {
    const whet_i_fitter *f = &r->fitter[worker];
    double *p = r->p + worker * r->rows->k;
    whet_i_model_probs(&f->model, whet_i_labelled_row(r->rows, row), 0, p, f->probs_room);
    const int64_t top = whet_i_argmax(p, f->model.outs);
    return (whet_i_said){r->classes[worker * r->rows->k + top], (float)p[top]};
}

/* Each fold's rows by a model of the others, rows that are not fitted to by a model of all. */
static void hold_out(void *arg, int64_t at, int32_t worker) {
    whet_i_out_of_fold *r = arg;
    int64_t *train = r->train + worker * r->rows->b;
    whet_i_said *held = r->said + at * r->rows->b;
    const whet_i_candidate *item = &r->list->item[at % r->list->n];
    bool apart = false;
    for (int64_t i = 0; i < r->rows->b; i++) held[i] = (whet_i_said){-1, 0};
    for (int32_t f = 0; f < r->folds; f++) {
        int64_t n = 0;
        for (int64_t i = 0; i < r->n_fit; i++)
            if (r->fold[i] != f) train[n++] = r->place[i];
        const bool whole = fit(r, at, train, n, worker);
        for (int64_t i = 0; whole && i < r->n_fit; i++)
            if (r->fold[i] == f) held[r->place[i]] = say(r, r->place[i], worker);
    }
    if (r->n_fit < r->rows->b) {
        int64_t next = 0;
        const bool whole = fit(r, at, r->place, r->n_fit, worker);
        for (int64_t i = 0; whole && i < r->rows->b; i++) {
            if (next < r->n_fit && r->place[next] == i)
                next++;
            else
                held[i] = say(r, i, worker);
        }
    }
    for (int32_t j = 0; j < item->inputs; j++)
        apart = apart || r->rows->scale[r->list->input[item->first + j]] > 0;
    r->usable[at] = apart;
}

/* ---- all candidates --------------------------------------------------------------------------- */

void whet_i_out_of_fold_free(whet_ctx *ctx, whet_i_out_of_fold *r) {
    for (int64_t w = 0; r->fitter && w < r->workers; w++) whet_i_fitter_free(ctx, &r->fitter[w]);
    whet_i_free(ctx, r->fitter);
    whet_i_candidate_spans_free(ctx, r->list, r->span);
    whet_i_free(ctx, r->place);
    whet_i_free(ctx, r->fold);
    whet_i_free(ctx, r->said);
    whet_i_free(ctx, r->usable);
    whet_i_free(ctx, r->train);
    whet_i_free(ctx, r->target);
    whet_i_free(ctx, r->classes);
    whet_i_free(ctx, r->p);
    whet_i_free(ctx, r->counts);
    *r = (whet_i_out_of_fold){0};
}

static whet_status make_room(whet_ctx *ctx, whet_i_out_of_fold *r) {
    const int64_t b = r->rows->b, k = r->rows->k, workers = whet_ctx_threads(ctx);
    int64_t said, each, classes;
    r->workers = workers;
    r->n = r->list->n;
    if (r->apart) WHET_TRY(whet_i_mul(ctx, r->list->n, k, &r->n));
    WHET_TRY(whet_i_mul(ctx, r->n, b, &said));
    WHET_TRY(whet_i_mul(ctx, workers, b, &each));
    WHET_TRY(whet_i_mul(ctx, 2 * workers, k, &classes));
    WHET_TRY(whet_i_calloc(ctx, workers, &r->fitter));
    for (int64_t w = 0; w < workers; w++)
        WHET_TRY(whet_i_fitter_create(ctx, r->list, b, k, &r->fitter[w]));
    WHET_TRY(whet_i_candidate_spans_build(ctx, r->rows, r->list, &r->span));
    WHET_TRY(whet_i_alloc(ctx, b, &r->place));
    WHET_TRY(whet_i_alloc(ctx, b, &r->fold));
    WHET_TRY(whet_i_alloc(ctx, said, &r->said));
    WHET_TRY(whet_i_alloc(ctx, r->n, &r->usable));
    WHET_TRY(whet_i_alloc(ctx, each, &r->train));
    WHET_TRY(whet_i_alloc(ctx, each, &r->target));
    WHET_TRY(whet_i_alloc(ctx, classes, &r->classes));
    WHET_TRY(whet_i_alloc(ctx, classes, &r->p));
    return whet_i_alloc(ctx, classes, &r->counts);
}

whet_status whet_i_out_of_fold_create(whet_ctx *ctx, const whet_i_rows *rows,
                                      const whet_i_candidates *list, bool apart,
                                      whet_i_out_of_fold *out) {
    whet_i_out_of_fold r = {.rows = rows, .list = list, .apart = apart};
    const whet_status status = make_room(ctx, &r);
    if (status == WHET_OK)
        *out = r;
    else
        whet_i_out_of_fold_free(ctx, &r);
    return status;
}

whet_status whet_i_out_of_fold_run(whet_ctx *ctx, whet_i_out_of_fold *r, int32_t round) {
    whet_status status = WHET_OK;
    int32_t *y;
    r->folds = r->n_fit < FOLDS ? r->n_fit : FOLDS;
    WHET_TRY(whet_i_alloc(ctx, r->n_fit, &y));
    for (int64_t i = 0; i < r->n_fit; i++) y[i] = r->rows->y[r->place[i]];
    WHET_TRY_DONE(whet_i_stratified_folds(ctx, y, NULL, r->n_fit, r->rows->k, (int32_t)r->folds, 0,
                                          (uint64_t)round, r->fold));
    WHET_TRY_DONE(whet_i_parallel_for(ctx, "candidates", r->n, hold_out, r));
done:
    whet_i_free(ctx, y);
    return status;
}

int64_t whet_i_out_of_fold_thresholds(const whet_i_out_of_fold *r, int64_t at,
                                      double least[WHET_I_THRESHOLDS]) {
    const whet_i_said *said = r->said + at * r->rows->b;
    double low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < r->rows->b; i++) {
        if (said[i].class < 0) continue;
        low = fmin(low, (double)said[i].p);
        high = fmax(high, (double)said[i].p);
    }
    if (!r->usable[at] || !(low <= high)) return 0;
    for (int64_t t = 0; t < WHET_I_THRESHOLDS; t++)
        least[t] = low + (high - low) * (double)t / WHET_I_THRESHOLDS;
    return low < high ? WHET_I_THRESHOLDS : 1;
}

const whet_i_model *whet_i_out_of_fold_fit(const whet_i_out_of_fold *r, int64_t at, double least,
                                           int32_t worker) {
    whet_i_model *m = &r->fitter[worker].model;
    if (!fit(r, at, r->place, r->n_fit, worker)) return NULL;
    for (int64_t o = 0; o < m->outs; o++) {
        m->vote[o] = r->classes[worker * r->rows->k + o];
        m->least[o] = m->vote[o] < 0 ? (double)INFINITY : least;
    }
    return m;
}

/* Classes with more than one label. */
static int64_t repeated(const whet_i_rows *rows, int64_t *count) {
    int64_t n = 0;
    memset(count, 0, sizeof *count * (size_t)rows->k);
    for (int64_t i = 0; i < rows->b; i++) n += ++count[rows->y[i]] == 2;
    return n;
}

whet_status whet_i_out_of_fold_none(whet_ctx *ctx, const whet_i_out_of_fold *r) {
    bool usable = false;
    for (int64_t at = 0; at < r->n; at++) usable = usable || r->usable[at];
    if (!usable)
        return whet_i_fail(
            ctx, WHET_ERR_DATA,
            "every feature is constant, up to rounding; expected features that tell rows apart");
    if (repeated(r->rows, r->counts) < 2)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%lld label%s, and %s class has more than one; expected at least two of "
                           "two classes, for what makes a rule does not judge it",
                           (long long)r->rows->b, r->rows->b == 1 ? "" : "s",
                           repeated(r->rows, r->counts) ? "only one" : "no");
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "no candidate is right on a label that it was not fitted to; expected more "
                       "labels, or features that tell the classes apart");
}

void whet_i_out_of_fold_name(const whet_i_out_of_fold *r, int64_t at, char out[128]) {
    char name[96];
    whet_i_candidate_name(r->list, at % r->list->n, name);
    if (r->apart)
        (void)snprintf(out, 128, "class %lld: %s", (long long)(at / r->list->n), name);
    else
        (void)snprintf(out, 128, "%s", name);
}
