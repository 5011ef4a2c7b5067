/* SPDX-License-Identifier: Apache-2.0
 * AdamW and SGD: one pass over values, gradients and moments, by blocks; the norm that clipping needs
 * is summed in f64, block by block in order. Rows of a table that never had a gradient (params_i.h) have
 * no moments either: what happens to them is decay alone, to the bit.
 * Legend: g gradient, m and v its moments. */
#include "nn/optimizer_i.h"

#include <math.h>
#include <tgmath.h>

enum { BLOCK = 1 << 16 };

typedef struct whet_i_optimizer_block {
    whet_i_param_id param;
    int64_t first, count;
} block;

/* ---- making ----------------------------------------------------------------------------------- */

static int64_t blocks_of(const whet_i_param *p) {
    return p->trainable ? (p->count + BLOCK - 1) / BLOCK : 0;
}

static whet_status fill(whet_ctx *ctx, whet_i_optimizer *o) {
    const bool two = o->settings.kind == WHET_I_ADAMW;
    const bool one = two || o->settings.momentum != 0;
    for (int64_t i = 0; i < o->params->n; i++) o->n_blocks += blocks_of(&o->params->items[i]);
    WHET_TRY(whet_i_calloc(ctx, o->params->n, &o->first));
    WHET_TRY(whet_i_calloc(ctx, o->params->n, &o->second));
    WHET_TRY(whet_i_alloc(ctx, o->n_blocks, &o->blocks));
    WHET_TRY(whet_i_alloc(ctx, o->n_blocks, &o->sums));
    int64_t at = 0;
    for (int64_t i = 0; i < o->params->n; i++) {
        const whet_i_param *p = &o->params->items[i];
        for (int64_t b = 0; b < blocks_of(p); b++)
            o->blocks[at++] = (block){(whet_i_param_id)i, b * BLOCK,
                                      p->count - b * BLOCK < BLOCK ? p->count - b * BLOCK : BLOCK};
        if (p->trainable && one) WHET_TRY(whet_i_calloc(ctx, p->count, &o->first[i]));
        if (p->trainable && two) WHET_TRY(whet_i_calloc(ctx, p->count, &o->second[i]));
    }
    return WHET_OK;
}

whet_status whet_i_optimizer_create(whet_ctx *ctx, whet_i_params *params,
                                    const whet_i_optimizer_settings *settings,
                                    whet_i_optimizer **out) {
    whet_i_optimizer *o;
    WHET_TRY(whet_i_calloc(ctx, 1, &o));
    o->settings = *settings;
    o->params = params;
    const whet_status status = fill(ctx, o);
    if (status == WHET_OK)
        *out = o;
    else
        whet_i_optimizer_destroy(ctx, o);
    return status;
}

void whet_i_optimizer_destroy(whet_ctx *ctx, whet_i_optimizer *o) {
    if (!o) return;
    for (int64_t i = 0; i < o->params->n; i++) {
        if (o->first) whet_i_free(ctx, o->first[i]);
        if (o->second) whet_i_free(ctx, o->second[i]);
    }
    whet_i_free(ctx, o->first);
    whet_i_free(ctx, o->second);
    whet_i_free(ctx, o->blocks);
    whet_i_free(ctx, o->sums);
    whet_i_free(ctx, o);
}

/* ---- a step ----------------------------------------------------------------------------------- */

/* The numbers of a block from `at` on, up to `end`, that are all live or all not. */
static block run_of(const whet_i_param *p, const block *b, int64_t at, bool *live) {
    const int64_t end = b->first + b->count;
    *live = true;
    if (!p->live) return (block){b->param, at, end - at};
    const int64_t columns = p->shape[1];
    int64_t row = at / columns;
    *live = p->live[row] != 0;
    while (row * columns < end && (p->live[row] != 0) == *live) row++;
    return (block){b->param, at, (row * columns < end ? row * columns : end) - at};
}

/* Several chains, so that the additions overlap. Runs begin at multiples of their number. */
static void add_squares(int64_t n, const whet_i_real *g, double sum[8]) {
    for (int64_t j = 0; j < n; j++) sum[j % 8] += (double)g[j] * (double)g[j];
}

static void sum_squares(void *arg, int64_t i, int32_t worker) {
    (void)worker;
    const whet_i_optimizer *o = arg;
    const block *b = &o->blocks[i];
    const whet_i_param *p = &o->params->items[b->param];
    double sum[8] = {0};
    for (int64_t at = b->first; at < b->first + b->count;) {
        bool live;
        const block run = run_of(p, b, at, &live);
        if (live) add_squares(run.count, p->gradient + run.first, sum);
        at += run.count;
    }
    o->sums[i] = ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

typedef struct step {
    const whet_i_optimizer *o;
    double rate, gradient_scale;
    double correction1, correction2; /* 1 - beta^t */
} step;

/* torch: p -= lr wd p; p -= lr / c1 * m / (sqrt(v) / sqrt(c2) + eps) */
static void adamw(const step *s, const block *b) {
    const whet_i_optimizer_settings *set = &s->o->settings;
    const whet_i_param *p = &s->o->params->items[b->param];
    const double rate = s->rate * p->rate;
    whet_i_real *restrict x = p->values + b->first;
    const whet_i_real *restrict g = p->gradient + b->first;
    whet_i_real *restrict m = s->o->first[b->param] + b->first;
    whet_i_real *restrict v = s->o->second[b->param] + b->first;
    const whet_i_real keep = (whet_i_real)(p->decays ? 1 - rate * set->weight_decay : 1);
    const whet_i_real scale = (whet_i_real)s->gradient_scale, eps = (whet_i_real)set->eps;
    const whet_i_real beta1 = (whet_i_real)set->beta1, beta2 = (whet_i_real)set->beta2;
    const whet_i_real rest1 = (whet_i_real)(1 - set->beta1), rest2 = (whet_i_real)(1 - set->beta2);
    const whet_i_real size = (whet_i_real)(rate / s->correction1);
    const whet_i_real root2 = (whet_i_real)(1 / (sqrt)(s->correction2));
    for (int64_t j = 0; j < b->count; j++) {
        const whet_i_real d = scale * g[j];
        m[j] = beta1 * m[j] + rest1 * d;
        v[j] = beta2 * v[j] + rest2 * d * d;
        x[j] = keep * x[j] - size * m[j] / (sqrt(v[j]) * root2 + eps);
    }
}

/* torch: g += wd p; m = momentum m + g; p -= lr (nesterov ? g + momentum m : m) */
static void sgd(const step *s, const block *b) {
    const whet_i_optimizer_settings *set = &s->o->settings;
    const whet_i_param *p = &s->o->params->items[b->param];
    whet_i_real *restrict x = p->values + b->first;
    const whet_i_real *restrict g = p->gradient + b->first;
    whet_i_real *restrict m = s->o->first[b->param] ? s->o->first[b->param] + b->first : NULL;
    const whet_i_real decay = (whet_i_real)(p->decays ? set->weight_decay : 0);
    const whet_i_real scale = (whet_i_real)s->gradient_scale;
    const whet_i_real rate = (whet_i_real)(s->rate * p->rate);
    const whet_i_real momentum = (whet_i_real)set->momentum;
    for (int64_t j = 0; j < b->count; j++) {
        whet_i_real d = scale * g[j] + decay * x[j];
        if (m) {
            m[j] = momentum * m[j] + d;
            d = set->nesterov ? d + momentum * m[j] : m[j];
        }
        x[j] -= rate * d;
    }
}

/* What AdamW comes to where gradient and moments are zero. */
static void adamw_decay(const step *s, const block *b) {
    const whet_i_param *p = &s->o->params->items[b->param];
    const double rate = s->rate * p->rate;
    const whet_i_real keep = (whet_i_real)(p->decays ? 1 - rate * s->o->settings.weight_decay : 1);
    whet_i_real *restrict x = p->values + b->first;
    for (int64_t j = 0; j < b->count && keep != 1; j++) x[j] *= keep;
}

/* SGD's momentum takes up the decay: it changes all rows alike. */
static void change(void *arg, int64_t i, int32_t worker) {
    (void)worker;
    const step *s = arg;
    const block *b = &s->o->blocks[i];
    if (s->o->settings.kind == WHET_I_SGD) {
        sgd(s, b);
        return;
    }
    for (int64_t at = b->first; at < b->first + b->count;) {
        bool live;
        const block run = run_of(&s->o->params->items[b->param], b, at, &live);
        (live ? adamw : adamw_decay)(s, &run);
        at += run.count;
    }
}

static whet_status not_finite(whet_ctx *ctx, const whet_i_optimizer *o) {
    for (int64_t i = 0; i < o->n_blocks; i++)
        if (!isfinite(o->sums[i]))
            return whet_i_fail(
                ctx, WHET_ERR_NUMERIC,
                "the gradient of \"%s\" is not finite; expected numbers; try a lower "
                "learning rate or clipping",
                o->params->items[o->blocks[i].param].name);
    return whet_i_fail(ctx, WHET_ERR_NUMERIC, "the norm of the gradients overflows");
}

/* All blocks; a few numbers by this thread, before others would have woken up. */
static whet_status for_blocks(whet_ctx *ctx, const whet_i_optimizer *o,
                              void (*fn)(void *arg, int64_t i, int32_t worker), void *arg) {
    int64_t numbers = 0;
    for (int64_t i = 0; i < o->n_blocks; i++) numbers += o->blocks[i].count;
    if (numbers > BLOCK) return whet_i_parallel_for(ctx, NULL, o->n_blocks, fn, arg);
    for (int64_t i = 0; i < o->n_blocks; i++) fn(arg, i, 0);
    return WHET_OK;
}

whet_status whet_i_optimizer_step(whet_ctx *ctx, whet_i_optimizer *o, double learning_rate,
                                  double *norm) {
    double sum = 0;
    WHET_TRY(for_blocks(ctx, o, sum_squares, o));
    for (int64_t i = 0; i < o->n_blocks; i++) sum += o->sums[i];
    if (!isfinite(sum)) return not_finite(ctx, o);
    *norm = (sqrt)(sum);
    const double t = (double)(o->steps + 1), clip = o->settings.clip;
    step s = {.o = o,
              .rate = learning_rate,
              /* torch's clip_grad_norm_ */
              .gradient_scale = clip > 0 && *norm > 0 ? fmin(1, clip / (*norm + 1e-6)) : 1,
              .correction1 = 1 - (pow)(o->settings.beta1, t),
              .correction2 = 1 - (pow)(o->settings.beta2, t)};
    WHET_TRY(for_blocks(ctx, o, change, &s));
    o->steps++;
    return WHET_OK;
}
