/* SPDX-License-Identifier: Apache-2.0
 * Examples of a simulated market that repeat: who has learned, or chosen by, what judges, has gained nothing
 * by it. Arrays with copies of rows do so though every row is dealt out once. */
#include <inttypes.h>

#include "market/trading_i.h"

enum { TRAINING, SELECTION, GATE, TEST, SIDES };

typedef struct side {
    uint64_t *hashes; /* ascending */
    int64_t n;
} side;

static whet_status hash_held(whet_ctx *ctx, const whet_i_market_data *d, const whet_i_examples *e,
                             side *out) {
    WHET_TRY(whet_i_alloc(ctx, e->n, &out->hashes));
    out->n = e->n;
    for (int64_t i = 0; i < e->n; i++)
        out->hashes[i] = whet_i_example_hash(e->x + i * d->d, d->d, e->labels[i]);
    whet_i_examples_sort(out->hashes, e->n);
    return WHET_OK;
}

/* What anybody may train on: the bank's. */
static whet_status hash_training(whet_ctx *ctx, const whet_i_market_data *d, int64_t bank,
                                 side *out) {
    const int32_t *y = d->train_y.data;
    float *x = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, d->n_rows[bank], &out->hashes));
    WHET_TRY_DONE(whet_i_alloc(ctx, d->d, &x));
    out->n = d->n_rows[bank];
    for (int64_t i = 0; i < out->n; i++) {
        const int64_t row = d->rows[bank][i];
        whet_i_market_row(d, row, false, 0, x);
        out->hashes[i] = whet_i_example_hash(x, d->d, y[row]);
    }
    whet_i_examples_sort(out->hashes, out->n);
done:
    whet_i_free(ctx, x);
    return status;
}

static void tell(whet_ctx *ctx, const char *path, const side *sides, int among, int judge) {
    static const char *const names[] = {"that agents train on", "that choose mixtures"};
    static const char *const whose[] = {"", "of the selection", "of the gate", "of the test"};
    int64_t differ;
    const int64_t found = whet_i_examples_common(sides[among].hashes, sides[among].n,
                                                 sides[judge].hashes, sides[judge].n, &differ);
    if (found == 0) return;
    whet_i_log(ctx, WHET_LOG_WARN,
               "%s: %" PRId64 " of %" PRId64 " examples %s are among those %s, also as a copy; "
               "expected others: these make what was learned by heart look like a gain",
               path, found, sides[judge].n, whose[judge], names[among]);
}

whet_status whet_i_market_repeats(whet_ctx *ctx, const whet_trading_config *config,
                                  const whet_i_market_data *data) {
    const int64_t all = config->n_agents; /* what the bank has */
    side sides[SIDES] = {{0}};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(hash_training(ctx, data, all, &sides[TRAINING]));
    WHET_TRY_DONE(hash_held(ctx, data, &data->held[WHET_I_FOR_TEST][all], &sides[TEST]));
    tell(ctx, config->path, sides, TRAINING, TEST);
    if (config->reference) goto done; /* it chooses and judges by the test, and says so */
    WHET_TRY_DONE(hash_held(ctx, data, &data->held[WHET_I_FOR_SELECT][all], &sides[SELECTION]));
    WHET_TRY_DONE(hash_held(ctx, data, &data->held[WHET_I_FOR_GATE][all], &sides[GATE]));
    tell(ctx, config->path, sides, TRAINING, SELECTION);
    tell(ctx, config->path, sides, TRAINING, GATE);
    tell(ctx, config->path, sides, SELECTION, GATE);
    tell(ctx, config->path, sides, SELECTION, TEST);
done:
    for (int i = 0; i < SIDES; i++) whet_i_free(ctx, sides[i].hashes);
    return status;
}
