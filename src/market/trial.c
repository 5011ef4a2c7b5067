/* SPDX-License-Identifier: Apache-2.0
 * The broker's trial: units aligned, shares chosen on one set of examples, the choice judged on another by
 * the gate, the mixture made. */
#include <inttypes.h>
#include <math.h>

#include "market/trial_i.h"

/* ---- what is asked ----------------------------------------------------------------------------------- */

static bool overlap(const whet_mode_data *a, const whet_mode_data *b) {
    const uintptr_t size = sizeof(float) * (uintptr_t)(a->height * a->width * a->channels);
    const uintptr_t at = (uintptr_t)a->x, to = (uintptr_t)b->x;
    return at < to + size * (uintptr_t)b->n && to < at + size * (uintptr_t)a->n;
}

static whet_status check_job(whet_ctx *ctx, const whet_trial_job *job) {
    if ((int)job->search < 0 || job->search >= WHET_TRIAL_SEARCHES)
        return whet_i_fail(ctx, WHET_ERR_ARG, "search %d; expected 0 to %d", (int)job->search,
                           WHET_TRIAL_SEARCHES - 1);
    if (job->outright && job->search == WHET_TRIAL_GRID)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "outright with search grid, which tries shares to .95; expected another "
                           "search, or no outright");
    if (job->batch < 0)
        return whet_i_fail(ctx, WHET_ERR_ARG, "batches of %" PRId64 "; expected 0 or more",
                           job->batch);
    if (!job->gate) return WHET_OK;
    WHET_TRY(whet_i_gate_check(ctx, &job->opts));
    if (!overlap(job->select, job->gate)) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG,
                       "the gate has examples that chose the mixture; expected others");
}

/* Which tensors of the buyer are goods: out [n]. */
static whet_status mark_goods(whet_ctx *ctx, const whet_trial_job *job, bool *out) {
    for (int64_t i = 0; i < job->buyer->n; i++) out[i] = !job->goods;
    for (int64_t g = 0; job->goods && g < job->n_goods; g++) {
        int64_t i = 0;
        while (i < job->buyer->n && strcmp(job->buyer->items[i].name, job->goods[g]) != 0) i++;
        if (i == job->buyer->n) {
            char quoted[WHET_QUOTE_SIZE];
            return whet_i_fail(ctx, WHET_ERR_ARG,
                               "goods: the buyer has no tensor %s; expected names of its tensors",
                               whet_i_quote(quoted, whet_str_from(job->goods[g])));
        }
        out[i] = true;
    }
    return WHET_OK;
}

/* ---- trying ------------------------------------------------------------------------------------------ */

static whet_status append_point(whet_i_trial *t, const whet_trial_point *point) {
    if (t->n_points == t->cap_points) {
        const int64_t cap = t->cap_points ? 2 * t->cap_points : 32;
        WHET_TRY(whet_i_realloc(t->ctx, &t->points, cap));
        t->cap_points = cap;
    }
    t->points[t->n_points++] = *point;
    return WHET_OK;
}

whet_status whet_i_trial_try(whet_i_trial *t, const double *weights, int64_t n, int64_t group) {
    const whet_mode_data *data = t->job->select;
    const double most = whet_i_trial_most(t->job);
    WHET_TRY(whet_i_mixture_score(t->ctx, &t->mixture, t->shares, n, data, &t->scores));
    for (int64_t i = 0; i < n; i++) {
        whet_trial_point p = {.weight = weights[i], .group = group};
        whet_i_scores_mean(t->scores.losses + i * data->n, t->scores.right + i * data->n, data->n,
                           t->job->batch, &p.loss, &p.accuracy);
        WHET_TRY(append_point(t, &p));
        const bool better =
            t->n_points == 1 || isnan(t->points[t->best].loss) || p.loss < t->points[t->best].loss;
        if (p.weight > most || !better) continue;
        t->best = t->n_points - 1;
        memcpy(t->chosen, t->shares + i * t->mixture.n, (size_t)t->mixture.n * sizeof *t->chosen);
    }
    return WHET_OK;
}

static whet_status make_room(whet_i_trial *t) {
    int64_t shares, scores;
    WHET_TRY(whet_i_mul(t->ctx, WHET_I_TRIAL_BATCH, t->mixture.n, &shares));
    WHET_TRY(whet_i_mul(t->ctx, WHET_I_TRIAL_BATCH, t->job->select->n, &scores));
    WHET_TRY(whet_i_alloc(t->ctx, shares, &t->shares));
    WHET_TRY(whet_i_alloc(t->ctx, t->mixture.n, &t->chosen));
    WHET_TRY(whet_i_alloc(t->ctx, scores, &t->scores.losses));
    return whet_i_alloc(t->ctx, scores, &t->scores.right);
}

/* The two networks with their units in one order. */
static whet_status make_mixture(whet_i_trial *t) {
    const whet_trial_job *job = t->job;
    const whet_mode_data *x = job->select;
    const whet_i_image image = {x->height, x->width, x->channels};
    whet_alignment *alignment = NULL;
    whet_named_tensor *moved = NULL;
    whet_weights seller = *job->seller;
    bool *traded = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_calloc(t->ctx, job->buyer->n, &traded));
    WHET_TRY_DONE(mark_goods(t->ctx, job, traded));
    if (job->spec) {
        WHET_TRY_DONE(
            whet_align_weights(t->ctx, job->spec, job->buyer, job->seller, job->align, &alignment));
        WHET_TRY_DONE(whet_i_calloc(t->ctx, seller.n, &moved));
        WHET_TRY_DONE(whet_alignment_apply(t->ctx, job->spec, alignment, job->seller, moved));
        seller.items = moved;
    }
    WHET_TRY_DONE(whet_i_mixture_make(t->ctx, job->arch, job->select->spec, job->buyer, &seller,
                                      traded, &image, &t->mixture));
done:
    for (int64_t i = 0; moved && i < seller.n; i++) whet_tensor_destroy(t->ctx, &moved[i].tensor);
    whet_i_free(t->ctx, moved);
    whet_i_free(t->ctx, traded);
    whet_alignment_destroy(t->ctx, alignment);
    return status;
}

/* ---- what came out ----------------------------------------------------------------------------------- */

/* Buyer and mixture, as it is handed over, on examples that chose nothing, side by side; with norms of both
 * measured on the same inputs, or those of neither. */
static whet_status judge(whet_i_trial *t, whet_trial_result *out) {
    whet_mode_data data = *t->job->gate;
    const whet_weights made = {out->mixed, t->mixture.n};
    whet_i_mixture ends = {0};
    whet_i_scores scores = {0};
    double loss;
    int64_t cells;
    whet_status status = WHET_OK;
    data.repair = false; /* the mixture's units are repaired already */
    data.statistics = t->job->select->repair ? NULL : t->job->select->statistics;
    data.n_statistics = t->job->select->n_statistics;
    WHET_TRY_DONE(whet_i_mixture_make(t->ctx, t->job->arch, t->job->select->spec, t->job->buyer,
                                      &made, NULL, &t->mixture.image, &ends));
    whet_i_mixture_share(&ends, 0, t->shares);
    whet_i_mixture_share(&ends, 1, t->shares + t->mixture.n);
    WHET_TRY_DONE(whet_i_mul(t->ctx, 2, data.n, &cells));
    WHET_TRY_DONE(whet_i_alloc(t->ctx, cells, &scores.losses));
    WHET_TRY_DONE(whet_i_alloc(t->ctx, cells, &scores.right));
    WHET_TRY_DONE(whet_i_mixture_score(t->ctx, &ends, t->shares, 2, &data, &scores));
    whet_i_scores_mean(scores.losses, scores.right, data.n, 0, &loss, &out->accuracy_before);
    whet_i_scores_mean(scores.losses + data.n, scores.right + data.n, data.n, 0, &loss,
                       &out->accuracy_after);
    WHET_TRY_DONE(whet_gate_losses(t->ctx, scores.losses, scores.losses + data.n, data.n,
                                   &t->job->opts, &out->decision));
    WHET_TRY_DONE(whet_i_alloc(t->ctx, data.n, &out->losses_before));
    WHET_TRY_DONE(whet_i_alloc(t->ctx, data.n, &out->losses_after));
    memcpy(out->losses_before, scores.losses, (size_t)data.n * sizeof *scores.losses);
    memcpy(out->losses_after, scores.losses + data.n, (size_t)data.n * sizeof *scores.losses);
    out->gated = true;
done:
    whet_i_mixture_free(t->ctx, &ends);
    whet_i_free(t->ctx, scores.losses);
    whet_i_free(t->ctx, scores.right);
    return status;
}

double whet_i_trial_distance(const whet_i_trial *t) {
    const whet_i_mixture *m = &t->mixture;
    double sum = 0;
    for (int64_t i = 0; i < m->n; i++) {
        const float *a = m->a[i].tensor.data, *b = m->b[i].tensor.data;
        const int64_t n = b ? whet_tensor_count(&m->a[i].tensor) : 0;
        for (int64_t k = 0; k < n; k++) {
            const double d = (double)b[k] - (double)a[k];
            sum += d * d;
        }
    }
    return sum;
}

double whet_i_trial_share(const whet_i_trial *t, const double *shares) {
    double total = 0, sum = 0;
    for (int64_t i = 0; i < t->mixture.n; i++) {
        if (t->group_of[i] < 0) continue;
        const double n = (double)whet_tensor_count(&t->mixture.a[i].tensor);
        sum += n * shares[i];
        total += n;
    }
    return total > 0 ? sum / total : 0;
}

/* Distance of the goods, and the shares chosen. */
static void measure(const whet_i_trial *t, whet_trial_result *out) {
    const whet_trial_point *best = &t->points[t->best];
    for (int64_t i = 0; i < t->mixture.n; i++)
        if (t->group_of[i] >= 0) t->groups[t->group_of[i]].weight = t->chosen[i];
    out->moved = whet_i_trial_distance(t);
    out->weight = best->group < 0 ? best->weight : whet_i_trial_share(t, t->chosen);
}

/* Hands over what the trial has made. */
static void publish(whet_i_trial *t, whet_trial_result *out) {
    const whet_trial_point *p = &t->points[t->best];
    out->before = t->before;
    out->after = (whet_mode_point){out->weight, p->loss, p->accuracy};
    out->gain = t->before.loss > 0 ? (t->before.loss - p->loss) / t->before.loss : 0;
    out->buy = out->gated ? out->decision.accept : out->gain > 0;
    out->points = t->points;
    out->n_points = t->n_points;
    out->best = t->best;
    out->groups = t->groups;
    out->n_groups = t->n_groups;
    t->points = NULL;
    t->groups = NULL;
    t->n_groups = 0;
}

static void free_groups(whet_ctx *ctx, whet_trial_group *groups, int64_t n) {
    for (int64_t i = 0; i < n; i++) whet_i_free(ctx, (void *)(uintptr_t)groups[i].name);
    whet_i_free(ctx, groups);
}

void whet_i_trial_close(whet_i_trial *t) {
    free_groups(t->ctx, t->groups, t->n_groups);
    whet_i_free(t->ctx, t->group_of);
    whet_i_free(t->ctx, t->points);
    whet_i_free(t->ctx, t->shares);
    whet_i_free(t->ctx, t->chosen);
    whet_i_free(t->ctx, t->scores.losses);
    whet_i_free(t->ctx, t->scores.right);
    whet_i_mixture_free(t->ctx, &t->mixture);
}

void whet_trial_result_free(whet_ctx *ctx, whet_trial_result *result) {
    for (int64_t i = 0; result->mixed && i < result->n_mixed; i++)
        whet_tensor_destroy(ctx, &result->mixed[i].tensor);
    whet_i_free(ctx, result->mixed);
    whet_i_free(ctx, result->points);
    free_groups(ctx, result->groups, result->n_groups);
    whet_i_free(ctx, result->losses_before);
    whet_i_free(ctx, result->losses_after);
    *result = (whet_trial_result){0};
}

whet_status whet_i_trial_open(whet_i_trial *t) {
    WHET_TRY(make_mixture(t));
    WHET_TRY(whet_i_mixture_check(t->ctx, &t->mixture, t->job->select));
    if (t->job->gate) WHET_TRY(whet_i_mixture_check(t->ctx, &t->mixture, t->job->gate));
    WHET_TRY(whet_i_trial_layers(t));
    if (t->n_groups == 0)
        return whet_i_fail(t->ctx, WHET_ERR_ARG, "no goods; expected one tensor at least");
    return make_room(t);
}

static whet_status run_trial(whet_i_trial *t, whet_trial_result *out) {
    const whet_trial_job *job = t->job;
    WHET_TRY(whet_i_trial_open(t));
    WHET_TRY(whet_i_trial_look(t));
    measure(t, out);
    whet_named_tensor *mixed;
    WHET_TRY(whet_i_calloc(t->ctx, t->mixture.n, &mixed));
    out->mixed = mixed;
    WHET_TRY(whet_i_mixture_tensors(t->ctx, &t->mixture, t->chosen, job->select, mixed));
    out->n_mixed = t->mixture.n;
    return job->gate ? judge(t, out) : WHET_OK;
}

whet_status whet_trial_run(whet_ctx *ctx, const whet_trial_job *job, whet_trial_result *out) {
    whet_trial_job known = WHET_TRIAL_JOB_INIT;
    whet_i_trial t = {.ctx = ctx, .job = &known};
    whet_trial_result result = {0};
    WHET_TRY(whet_i_opts(ctx, job, &known, sizeof known, "whet_trial_job"));
    WHET_TRY(check_job(ctx, &known));
    const whet_status status = run_trial(&t, &result);
    if (status == WHET_OK) publish(&t, &result);
    whet_i_trial_close(&t);
    if (status == WHET_OK)
        *out = result;
    else
        whet_trial_result_free(ctx, &result);
    return status;
}
