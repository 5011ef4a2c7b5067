/* SPDX-License-Identifier: Apache-2.0
 * Who has which training examples. Agent i of n is weak in the classes of the i-th of n equal parts, of
 * which it keeps a share, drawn without replacement; of the others it has all. With two agents that is the
 * split of the published experiments ("datapoint deduction"): A keeps some of classes 0..K/2-1, B of the
 * rest; how they dealt to three is not known. Or an agent names its share of every class. Draws depend on
 * a seed of their own: the configuration's, so that all seeds train on the same examples, or each one. */
#include <inttypes.h>
#include <stdlib.h>

#include "market/trading_i.h"

/* Rows of each class behind each other: order [n], first [classes + 1]. Held rows are left out. */
static void sort_rows(const whet_i_market_data *data, const uint8_t *held, int64_t *first,
                      int64_t *order) {
    const int32_t *y = data->train_y.data;
    for (int64_t c = 0; c <= data->classes; c++) first[c] = 0;
    for (int64_t i = 0; i < data->n_train; i++)
        if (!held[i]) first[y[i] + 1]++;
    for (int64_t c = 0; c < data->classes; c++) first[c + 1] += first[c];
    const int64_t n = first[data->classes];
    /* From behind: first[c + 1], the end of class c, comes to be its beginning. */
    for (int64_t i = data->n_train - 1; i >= 0; i--)
        if (!held[i]) order[--first[y[i] + 1]] = i;
    for (int64_t c = 0; c < data->classes; c++) first[c] = first[c + 1];
    first[data->classes] = n;
}

static double share_of(const whet_trading_config *config, int64_t agent, int64_t c,
                       int64_t classes) {
    const whet_i_agent *a = &config->agents[agent];
    if (a->relabel && a->relabel[c] < 0) return 0;
    if (a->shares) return a->shares[c];
    const int64_t n = config->n_agents;
    const bool weak = c >= classes * agent / n && c < classes * (agent + 1) / n;
    return weak ? a->kept : 1;
}

static int by_number(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static whet_status deal_agent(whet_ctx *ctx, const whet_trading_config *config, int64_t agent,
                              const int64_t *first, int64_t *order, whet_i_market_data *data) {
    whet_i_rng rng;
    int64_t n = 0;
    int64_t *rows = NULL;
    whet_i_rng_init(&rng, data->split_seed, (uint64_t)(agent + 1));
    WHET_TRY(whet_i_alloc(ctx, data->n_train, &rows));
    data->rows[agent] = rows;
    for (int64_t c = 0; c < data->classes; c++) {
        const int64_t count = first[c + 1] - first[c];
        const int64_t keep = (int64_t)(share_of(config, agent, c, data->classes) * (double)count);
        if (keep < count) whet_i_rng_shuffle(&rng, order + first[c], count);
        for (int64_t i = 0; i < keep; i++) rows[n++] = order[first[c] + i];
        /* The next agent draws from the same order, whatever this one drew. */
        qsort(order + first[c], (size_t)count, sizeof *order, by_number);
    }
    data->n_rows[agent] = n;
    if (n == 0)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: agent \"%s\" has no examples; expected one at least", config->path,
                           config->agents[agent].name);
    return WHET_OK;
}

static whet_status deal_bank(whet_ctx *ctx, const whet_trading_config *config, const uint8_t *held,
                             whet_i_market_data *data) {
    int64_t n = 0;
    int64_t *rows = NULL;
    WHET_TRY(whet_i_alloc(ctx, data->n_train, &rows));
    data->rows[config->n_agents] = rows;
    for (int64_t i = 0; i < data->n_train; i++)
        if (!held[i]) rows[n++] = i;
    data->n_rows[config->n_agents] = n;
    return WHET_OK;
}

static whet_status check_sizes(whet_ctx *ctx, const whet_trading_config *config, int64_t classes) {
    for (int64_t i = 0; i < config->n_agents; i++) {
        const whet_i_agent *a = &config->agents[i];
        const bool shares = a->shares && a->n_shares != classes;
        const bool labels = a->relabel && a->n_relabel != classes;
        if (shares || labels)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: agent \"%s\": \"%s\" has %" PRId64 " numbers; expected %" PRId64
                               ", one a class of %s",
                               config->path, a->name, shares ? "shares" : "relabel",
                               shares ? a->n_shares : a->n_relabel, classes, config->train_y);
    }
    return WHET_OK;
}

whet_status whet_i_market_split(whet_ctx *ctx, const whet_trading_config *config,
                                const uint8_t *held, whet_i_market_data *data) {
    int64_t *first = NULL, *order = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(check_sizes(ctx, config, data->classes));
    WHET_TRY_DONE(whet_i_alloc(ctx, data->classes + 1, &first));
    WHET_TRY_DONE(whet_i_alloc(ctx, data->n_train, &order));
    sort_rows(data, held, first, order);
    for (int64_t i = 0; i < config->n_agents; i++)
        WHET_TRY_DONE(deal_agent(ctx, config, i, first, order, data));
    WHET_TRY_DONE(deal_bank(ctx, config, held, data));
done:
    whet_i_free(ctx, order);
    whet_i_free(ctx, first);
    return status;
}
