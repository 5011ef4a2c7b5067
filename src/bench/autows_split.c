/* SPDX-License-Identifier: Apache-2.0
 * Which rows are labelled, which are the pool's, which are tested: drawn anew for each seed. As published the
 * labelled rows are drawn uniformly, not class by class. */
#include "bench/autows_i.h"

void whet_i_set_split_free(whet_ctx *ctx, whet_i_set_split *split) {
    whet_i_free(ctx, split->rows);
    whet_i_free(ctx, split->test);
    whet_i_free(ctx, split->labels);
    whet_i_free(ctx, split->truth);
    whet_i_free(ctx, split->test_truth);
    *split = (whet_i_set_split){0};
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static whet_status fill(whet_ctx *ctx, const whet_i_set_data *data, const int64_t *learn,
                        const int64_t *tested, whet_i_set_split *s) {
    WHET_TRY(whet_i_alloc(ctx, s->n, &s->rows));
    WHET_TRY(whet_i_alloc(ctx, s->n, &s->labels));
    WHET_TRY(whet_i_alloc(ctx, s->n, &s->truth));
    WHET_TRY(whet_i_alloc(ctx, s->n_test, &s->test));
    WHET_TRY(whet_i_alloc(ctx, s->n_test, &s->test_truth));
    for (int64_t i = 0; i < s->n; i++) {
        s->rows[i] = learn[i];
        s->truth[i] = data->y[learn[i]];
        s->labels[i] = i < s->labelled ? s->truth[i] : -1;
    }
    for (int64_t i = 0; i < s->n_test; i++) {
        s->test[i] = tested[i];
        s->test_truth[i] = data->y[tested[i]];
    }
    return WHET_OK;
}

whet_status whet_i_set_split_make(whet_ctx *ctx, const whet_i_set_data *data,
                                  const whet_i_split_sizes *sizes, uint64_t seed,
                                  whet_i_set_split *out) {
    const bool given = data->n_train < data->n;
    /* Sets that are changed forms of the same rows have the same draws. */
    const char *source = data->set->train ? data->set->train : data->set->name;
    const uint64_t name = whet_i_hash_bytes(source, (int64_t)strlen(source));
    whet_i_set_split s = {0};
    whet_status status = WHET_OK;
    int64_t *order = NULL;
    whet_i_rng rng;
    WHET_TRY_DONE(whet_i_alloc(ctx, data->n, &order));
    for (int64_t i = 0; i < data->n; i++) order[i] = i;
    whet_i_rng_init(&rng, seed, name);
    whet_i_rng_shuffle(&rng, order, data->n_train);
    whet_i_rng_shuffle(&rng, order + data->n_train, data->n - data->n_train);
    /* Without test rows of its own a set gives half of its rows at most. */
    s.n_test = least(sizes->test, given ? data->n - data->n_train : data->n / 2);
    const int64_t *tested = order + (given ? data->n_train : data->n - s.n_test);
    const int64_t left = given ? data->n_train : data->n - s.n_test;
    s.labelled = least(sizes->labels, left / 2);
    s.n = s.labelled + least(sizes->pool, left - s.labelled);
    WHET_TRY_DONE(fill(ctx, data, order, tested, &s));
    *out = s;
    s = (whet_i_set_split){0};
done:
    whet_i_set_split_free(ctx, &s);
    whet_i_free(ctx, order);
    return status;
}
