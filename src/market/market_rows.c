/* SPDX-License-Identifier: Apache-2.0
 * What a run has to tell, row by row. */
#include "market/trading_i.h"

/* Room for one more row of `size` bytes in *rows. */
static whet_status grow(whet_ctx *ctx, void *rows, int64_t n, int64_t *cap, size_t size) {
    const int64_t more = n < 8 ? 16 : 2 * n;
    if (n < *cap) return WHET_OK;
    WHET_TRY(whet_i_realloc_(ctx, rows, more, size));
    *cap = more;
    return WHET_OK;
}

whet_status whet_i_put_score(whet_ctx *ctx, whet_i_told *r, const whet_trading_score *row) {
    WHET_TRY(grow(ctx, &r->scores, r->n_scores, &r->cap_scores, sizeof *row));
    r->scores[r->n_scores++] = *row;
    return WHET_OK;
}

whet_status whet_i_put_trial(whet_ctx *ctx, whet_i_told *r, const whet_trading_trial *row) {
    WHET_TRY(grow(ctx, &r->trials, r->n_trials, &r->cap_trials, sizeof *row));
    r->trials[r->n_trials++] = *row;
    return WHET_OK;
}

whet_status whet_i_put_wallet(whet_ctx *ctx, whet_i_told *r, const whet_trading_wallet *row) {
    WHET_TRY(grow(ctx, &r->wallets, r->n_wallets, &r->cap_wallets, sizeof *row));
    r->wallets[r->n_wallets++] = *row;
    return WHET_OK;
}

whet_status whet_i_put_flow(whet_ctx *ctx, whet_i_told *r, const whet_trading_flow *row) {
    WHET_TRY(grow(ctx, &r->flows, r->n_flows, &r->cap_flows, sizeof *row));
    r->flows[r->n_flows++] = *row;
    return WHET_OK;
}

void whet_i_told_free(whet_ctx *ctx, whet_i_told *rows) {
    whet_i_free(ctx, rows->scores);
    whet_i_free(ctx, rows->trials);
    whet_i_free(ctx, rows->wallets);
    whet_i_free(ctx, rows->flows);
    *rows = (whet_i_told){0};
}
