/* SPDX-License-Identifier: Apache-2.0
 * DELLA (Deep et al. 2024, arXiv 2406.11617): differences are kept at random, large ones more probably than
 * small ones: in each row, from density - epsilon for the smallest to density + epsilon for the largest, in
 * equal steps by rank. Then the sum of sizes is made what it was (as mergekit does; the default), or each
 * is divided by its probability (the paper; rescale_l1 false). A row is one place on the first axis; a
 * vector is one row. Equal sizes rank by place. */
#include <math.h>

#include "merge/merging_i.h"

/* Ascending by the upper halves, equal ones as they stand: by their bytes, the lowest first. */
static void sort_by_key(int64_t n, uint64_t *order, uint64_t *spare) {
    for (int shift = 32; shift < 64; shift += 8) {
        int64_t place[257] = {0};
        for (int64_t i = 0; i < n; i++) place[(order[i] >> shift & 255) + 1]++;
        for (int b = 0; b < 256; b++) place[b + 1] += place[b];
        for (int64_t i = 0; i < n; i++) spare[place[order[i] >> shift & 255]++] = order[i];
        uint64_t *sorted = spare;
        spare = order;
        order = sorted;
    }
}

/* Behind the masks, where rows are sorted. */
static int64_t sort_at(int64_t n, int64_t chunk) { return (n * chunk + 1) / 2 * 2; }

static int64_t scratch(int64_t n, int64_t chunk) { return sort_at(n, chunk) + 5 * chunk; }

static void mask(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, int64_t i, void *arg,
                 float *m) {
    const double density = whet_i_merge_setting(t, i, WHET_I_SET_DENSITY);
    const double epsilon = whet_i_merge_setting(t, i, WHET_I_SET_EPSILON);
    const bool by_probability = *(const bool *)arg;
    uint64_t *order = (uint64_t *)(void *)(c->scratch + sort_at(t->n, t->chunk));
    uint32_t *key = (uint32_t *)(void *)(c->scratch + sort_at(t->n, t->chunk)) + 4 * t->chunk;
    whet_i_merge_delta_keys(t, c, i, NULL, key);
    for (int64_t at = 0; at < c->n; at += t->row) {
        for (int64_t e = 0; e < t->row; e++) order[e] = (uint64_t)key[at + e] << 32 | (uint64_t)e;
        if (density < 1) sort_by_key(t->row, order, order + t->row);
        for (int64_t rank = 0; rank < t->row; rank++) {
            const int64_t e = at + (int64_t)(order[rank] & UINT32_MAX);
            const double share = t->row > 1 ? (double)rank / (double)(t->row - 1) : 0.5;
            const double p = density >= 1 ? 1 : density - epsilon + share * 2 * epsilon;
            const bool in = density >= 1 || whet_i_merge_uniform(t, i, c->first + e) < p;
            m[e] = !in ? 0.0F : by_probability ? (float)(1 / p) : 1.0F;
        }
    }
}

static whet_status check(whet_ctx *ctx, const whet_i_merge_tensor *t) {
    char quoted[WHET_QUOTE_SIZE];
    (void)whet_i_quote(quoted, whet_str_from(t->name));
    for (int64_t i = 0; i < t->n; i++) {
        const double density = whet_i_merge_setting(t, i, WHET_I_SET_DENSITY);
        const double epsilon = whet_i_merge_setting(t, i, WHET_I_SET_EPSILON);
        if (density < 1 && (density - epsilon < 0 || density + epsilon > 1))
            return whet_i_fail(ctx, WHET_ERR_ARG,
                               "%s: density %g and epsilon %g for tensor %s; expected both density "
                               "- epsilon and density + epsilon within 0 to 1",
                               t->method->shown.name, density, epsilon, quoted);
    }
    return WHET_OK;
}

static whet_status merge(whet_ctx *ctx, whet_i_merge_tensor *t, bool consensus) {
    whet_i_merge_deltas d;
    char quoted[WHET_QUOTE_SIZE];
    whet_i_merge_deltas_init(t, &d);
    const bool rescale = whet_i_merge_global(t, WHET_I_SET_RESCALE) != 0;
    bool by_probability = rescale && whet_i_merge_global(t, WHET_I_SET_RESCALE_L1) == 0;
    d.consensus = consensus;
    d.rescale_l1 = rescale && !by_probability;
    d.mask = mask;
    d.arg = &by_probability;
    (void)whet_i_quote(quoted, whet_str_from(t->name));
    if (t->row > UINT32_MAX)
        return whet_i_fail(ctx, WHET_ERR_LIMIT,
                           "%s: a row of %lld numbers in tensor %s; expected "
                           "at most %u",
                           t->method->shown.name, (long long)t->row, quoted, UINT32_MAX);
    return whet_i_merge_write_deltas(ctx, t, &d);
}

static whet_status run_linear(whet_ctx *ctx, whet_i_merge_tensor *t) {
    return merge(ctx, t, false);
}
static whet_status run_ties(whet_ctx *ctx, whet_i_merge_tensor *t) { return merge(ctx, t, true); }

#define SETTINGS(normalize) \
    { \
        {WHET_I_SET_WEIGHT, (double)NAN}, {WHET_I_SET_DENSITY, 1}, {WHET_I_SET_EPSILON, 0.15}, \
            {WHET_I_SET_LAMBDA, 1}, {WHET_I_SET_NORMALIZE, normalize}, {WHET_I_SET_RESCALE, 1}, \
            {WHET_I_SET_RESCALE_L1, 1}, {WHET_I_SET_INT8_MASK, 0}, { \
            WHET_I_SET_COUNT, 0 \
        } \
    }
static const whet_i_setting_use settings[] = SETTINGS(1), settings_linear[] = SETTINGS(0);

const whet_i_merge_method whet_i_merge_della = {
    .shown = {"della", "differences kept at random by rank, of the elected sign", 1,
              WHET_MERGE_MODELS_MAX, WHET_MERGE_BASE_REQUIRED, WHET_MERGE_ROW, false},
    .settings = settings,
    .rows_of_first_axis = true,
    .passes = 2,
    .scratch = scratch,
    .check = check,
    .run = run_ties};

const whet_i_merge_method whet_i_merge_della_linear = {
    .shown = {"della_linear", "differences kept at random by rank, summed", 1,
              WHET_MERGE_MODELS_MAX, WHET_MERGE_BASE_REQUIRED, WHET_MERGE_ROW, false},
    .settings = settings_linear,
    .rows_of_first_axis = true,
    .passes = 2,
    .scratch = scratch,
    .check = check,
    .run = run_linear};
