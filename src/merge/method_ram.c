/* SPDX-License-Identifier: Apache-2.0
 * RAM: a number that only one model changed (by more than epsilon) is taken from it, one that several
 * changed is the mean of theirs. RAM+ makes up for what a model's shared changes lose in the mean by
 * scaling what it alone changed by 1 + r min(shared / own, alpha), counted over the tensor. */
#include <math.h>

#include "merge/merging_i.h"

/* Whether model i changed number e. */
static bool differs(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, int64_t i,
                    int64_t e) {
    const double delta = (double)c->x[i][e] - (double)c->x[t->base][e];
    return fabs(delta) > whet_i_merge_setting(t, i, WHET_I_SET_EPSILON);
}

static int64_t changed(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, int64_t e,
                       int64_t *last) {
    int64_t n = 0;
    for (int64_t i = 0; i < t->n; i++) {
        if (!differs(t, c, i, e)) continue;
        n++;
        *last = i;
    }
    return n;
}

static void count_pass(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    (void)arg;
    for (int64_t e = 0; e < c->n; e++) {
        int64_t last = 0;
        const int64_t n = changed(t, c, e, &last);
        if (n == 1) c->sums[2 * last + 1] += 1;
        for (int64_t i = 0; n > 1 && i < t->n; i++)
            if (differs(t, c, i, e)) c->sums[2 * i] += 1;
    }
}

static void write_pass(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    const double *factor = arg;
    for (int64_t e = 0; e < c->n; e++) {
        const double base = (double)c->x[t->base][e];
        int64_t last = 0;
        double sum = 0;
        const int64_t n = changed(t, c, e, &last);
        for (int64_t i = 0; n > 1 && i < t->n; i++)
            if (differs(t, c, i, e)) sum += (double)c->x[i][e] - base;
        if (n == 1) sum = factor[last] * ((double)c->x[last][e] - base);
        c->out[e] = (float)(base + (n > 1 ? sum / (double)n : sum));
    }
}

static whet_status run_ram(whet_ctx *ctx, whet_i_merge_tensor *t) {
    double factor[WHET_MERGE_MODELS_MAX];
    for (int64_t i = 0; i < t->n; i++) factor[i] = 1;
    return whet_i_merge_write(ctx, t, write_pass, factor);
}

static whet_status run_ramplus(whet_ctx *ctx, whet_i_merge_tensor *t) {
    double sums[2 * WHET_MERGE_MODELS_MAX], factor[WHET_MERGE_MODELS_MAX];
    const double r = whet_i_merge_global(t, WHET_I_SET_R);
    const double most = whet_i_merge_global(t, WHET_I_SET_ALPHA);
    WHET_TRY(whet_i_merge_sums(ctx, t, count_pass, NULL, 2 * t->n, sums));
    for (int64_t i = 0; i < t->n; i++) {
        const double ratio = sums[2 * i + 1] > 0 ? sums[2 * i] / sums[2 * i + 1] : 0;
        factor[i] = 1 + r * (ratio < most ? ratio : most);
    }
    return whet_i_merge_write(ctx, t, write_pass, factor);
}

static const whet_i_setting_use settings[] = {{WHET_I_SET_EPSILON, 1e-5}, {WHET_I_SET_COUNT, 0}};
static const whet_i_setting_use settings_plus[] = {{WHET_I_SET_EPSILON, 1e-5},
                                                   {WHET_I_SET_R, 0.1},
                                                   {WHET_I_SET_ALPHA, 0.2},
                                                   {WHET_I_SET_COUNT, 0}};

const whet_i_merge_method whet_i_merge_ram = {
    .shown = {"ram", "what one model changed from it, what several did in the mean", 1,
              WHET_MERGE_MODELS_MAX, WHET_MERGE_BASE_REQUIRED, WHET_MERGE_ELEMENT, false},
    .settings = settings,
    .passes = 1,
    .run = run_ram};

const whet_i_merge_method whet_i_merge_ramplus = {
    .shown = {"ramplus_tl", "the same, and what one model changed scaled up", 1,
              WHET_MERGE_MODELS_MAX, WHET_MERGE_BASE_REQUIRED, WHET_MERGE_TENSOR, false},
    .settings = settings_plus,
    .passes = 2,
    .run = run_ramplus};
