/* SPDX-License-Identifier: Apache-2.0
 * Differences from a base, masked, weighted and added to it: what task arithmetic, TIES, DARE, DELLA,
 * breadcrumbs and SCE have in common. They differ in their masks.
 * Source: Ilharco et al. 2023 (arXiv 2212.04089); the election of signs: Yadav et al. 2023 (arXiv
 * 2306.01708). */
#include <math.h>

#include "merge/merge_passes.h"

void whet_i_merge_deltas_init(const whet_i_merge_tensor *t, whet_i_merge_deltas *d) {
    memset(d, 0, sizeof *d);
    d->normalize = whet_i_merge_global(t, WHET_I_SET_NORMALIZE) != 0;
    d->lambda = whet_i_merge_global(t, WHET_I_SET_LAMBDA);
    for (int64_t i = 0; i < t->n; i++) {
        d->weight[i] = d->vote[i] = whet_i_merge_setting(t, i, WHET_I_SET_WEIGHT);
        d->factor[i] = 1;
    }
}

int64_t whet_i_merge_deltas_scratch(int64_t n, int64_t chunk) { return n * chunk; }

void whet_i_merge_delta_keys(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, int64_t i,
                             void *arg, uint32_t *keys) {
    (void)arg;
    t->kernels->difference_keys(c->n, c->x[i], c->x[t->base], keys);
}

/* Sum of |difference|, and of what the mask leaves of it. */
static void sizes(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    const whet_i_merge_deltas *d = arg;
    for (int64_t i = 0; i < t->n; i++) {
        float *m = c->scratch + i * c->n;
        if (d->mask) d->mask(t, c, i, d->arg, m);
        t->kernels->difference_sums(c->n, c->x[i], c->x[t->base], d->mask ? m : NULL,
                                    &c->sums[2 * i], &c->sums[2 * i + 1]);
    }
}

/* What the sizes of all differences of a chunk are measured by, [n]; false: masks are needed. */
static bool find_least(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c,
                       const whet_i_merge_deltas *d, uint32_t *least) {
    for (int64_t i = 0; d->tops && i < t->n; i++)
        if (!whet_i_merge_top_least(&d->tops[i], c->index, &least[i])) return false;
    return d->tops != NULL;
}

static void write_pass(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    const whet_i_merge_deltas *d = arg;
    uint32_t least[WHET_MERGE_MODELS_MAX];
    const bool by_size = find_least(t, c, d, least), masked = d->mask && !by_size;
    for (int64_t i = 0; masked && i < t->n; i++) d->mask(t, c, i, d->arg, c->scratch + i * c->n);
    const whet_i_election election = {.n = c->n,
                                      .models = t->n,
                                      .x = c->x,
                                      .base = c->x[t->base],
                                      .mask = masked ? c->scratch : NULL,
                                      .ld_mask = c->n,
                                      .least = by_size ? least : NULL,
                                      .factor = d->factor,
                                      .weight = d->weight,
                                      .vote = d->vote,
                                      .consensus = d->consensus,
                                      .normalize = d->normalize,
                                      .clamp_divisor = d->clamp_divisor,
                                      .lambda = d->lambda,
                                      .out = c->out};
    t->kernels->elect(&election);
}

whet_status whet_i_merge_write_deltas(whet_ctx *ctx, whet_i_merge_tensor *t,
                                      whet_i_merge_deltas *d) {
    if (d->rescale_l1 && d->mask) {
        double sums[2 * WHET_MERGE_MODELS_MAX];
        WHET_TRY(whet_i_merge_sums(ctx, t, sizes, d, 2 * t->n, sums));
        for (int64_t i = 0; i < t->n; i++)
            if (sums[2 * i + 1] > 0) d->factor[i] *= sums[2 * i] / sums[2 * i + 1];
    }
    return whet_i_merge_write(ctx, t, write_pass, d);
}
