/* SPDX-License-Identifier: Apache-2.0
 * Beliefs learn from trade: a price taken says V >= p, one refused V < p.
 *
 * With a floor e the new belief is (1 - e) x (old, given the observation) + e x prior: whatever a buyer
 * does, no part of the prior falls below e of what it was, so that refusing by design cannot lead the
 * seller to give the weights away for good. */
#include <math.h>

#include "market/market_i.h"

#include "io/io_i.h"

/* Cuts the segment that holds `price` there. Nothing changes on failure. */
static whet_status cut_at(whet_ctx *ctx, whet_belief *b, double price) {
    const int64_t j = whet_i_belief_segment(b, price);
    if (!(price > b->cut[j] && price < b->cut[j + 1])) return WHET_OK;
    if (b->segments >= WHET_I_CUTS_MAX)
        return whet_i_fail(ctx, WHET_ERR_LIMIT,
                           "more than %d distinct prices were observed; expected no more",
                           WHET_I_CUTS_MAX - 1);
    WHET_TRY(whet_i_realloc(ctx, &b->cut, b->segments + 2));
    WHET_TRY(whet_i_realloc(ctx, &b->mass, b->segments + 1));
    const double whole = whet_i_belief_prior(b, b->cut[j], b->cut[j + 1]);
    const double upper = whet_i_belief_prior(b, price, b->cut[j + 1]);
    const double share = whole > 0 ? upper / whole : 0, mass = b->mass[j];
    const size_t behind = (size_t)(b->segments - j);
    memmove(b->cut + j + 2, b->cut + j + 1, sizeof *b->cut * behind);
    memmove(b->mass + j + 1, b->mass + j, sizeof *b->mass * behind);
    b->cut[j + 1] = price;
    b->mass[j] = mass * (1 - share);
    b->mass[j + 1] = mass * share;
    b->segments++;
    return WHET_OK;
}

whet_status whet_belief_observe(whet_ctx *ctx, whet_belief *belief, double price, bool accepted,
                                double floor) {
    WHET_TRY(whet_i_amount(ctx, "observed price", price));
    if (!(floor >= 0 && floor < 1))
        return whet_i_fail(ctx, WHET_ERR_ARG, "floor is %g; expected 0 to below 1", floor);
    double sale = whet_belief_sale(belief, price);
    if (floor <= 0 && !((accepted ? sale : 1 - sale) > 0))
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "a price of %g was %s, which the belief holds impossible; expected what "
                           "it allows; try a floor above 0",
                           price, accepted ? "accepted" : "refused");
    WHET_TRY(cut_at(ctx, belief, price));
    const double all = whet_i_belief_prior(belief, belief->lo, belief->hi);
    double agreed = 0, sum = 0;
    for (int64_t j = 0; j < belief->segments; j++)
        if ((belief->cut[j] >= price) == accepted) agreed += belief->mass[j];
    for (int64_t j = 0; j < belief->segments; j++) {
        const bool agrees = (belief->cut[j] >= price) == accepted;
        const double prior = whet_i_belief_prior(belief, belief->cut[j], belief->cut[j + 1]) / all;
        /* What the belief holds impossible tells nothing but that it was wrong: back to the prior. */
        const double given = agreed > 0 ? (agrees ? belief->mass[j] / agreed : 0) : prior;
        belief->mass[j] = (1 - floor) * given + floor * prior;
        sum += belief->mass[j];
    }
    for (int64_t j = 0; j < belief->segments; j++) belief->mass[j] /= sum;
    return WHET_OK;
}

/* ---- a history --------------------------------------------------------------------------------- */

static bool parse_accepted(whet_str cell, bool *out) {
    static const char *const WORDS[] = {"0", "1", "no", "yes", "false", "true"};
    for (int i = 0; i < 6; i++)
        if (whet_str_equal(cell, whet_str_from(WORDS[i]))) {
            *out = i % 2 == 1;
            return true;
        }
    return false;
}

static whet_status observe_row(whet_ctx *ctx, whet_belief *belief, const whet_table *t, int64_t row,
                               const int64_t column[2], double floor) {
    char quoted[WHET_QUOTE_SIZE];
    const long long line = (long long)whet_table_line(t, row);
    const whet_str price_cell = whet_table_cell(t, row, column[0]);
    const whet_str accepted_cell = whet_table_cell(t, row, column[1]);
    double price;
    bool accepted = false;
    if (!whet_i_parse_real(price_cell, &price))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s:%lld: price is %s; expected a number",
                           whet_table_path(t), line, whet_i_quote(quoted, price_cell));
    if (!parse_accepted(accepted_cell, &accepted))
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s:%lld: accepted is %s; expected 1, 0, yes, no, true or false",
                           whet_table_path(t), line, whet_i_quote(quoted, accepted_cell));
    whet_status status = whet_belief_observe(ctx, belief, price, accepted, floor);
    if (status == WHET_ERR_ARG) status = WHET_ERR_DATA; /* of the file, not of the call */
    if (status != WHET_OK) return whet_i_fail_at(ctx, status, "%s:%lld", whet_table_path(t), line);
    return WHET_OK;
}

static whet_status copy_cuts(whet_ctx *ctx, const whet_belief *from, whet_belief *to) {
    WHET_TRY(whet_i_alloc(ctx, from->segments + 1, &to->cut));
    WHET_TRY(whet_i_alloc(ctx, from->segments, &to->mass));
    memcpy(to->cut, from->cut, sizeof *from->cut * (size_t)(from->segments + 1));
    memcpy(to->mass, from->mass, sizeof *from->mass * (size_t)from->segments);
    return WHET_OK;
}

whet_status whet_belief_observe_file(whet_ctx *ctx, whet_belief *belief, const char *path,
                                     double floor) {
    static const char *const COLUMNS[] = {"price", "accepted"};
    whet_status status = WHET_OK;
    whet_table *t = NULL;
    whet_belief next = *belief;
    int64_t column[2];
    next.cut = next.mass = NULL;
    if (!(floor >= 0 && floor < 1))
        return whet_i_fail(ctx, WHET_ERR_ARG, "floor is %g; expected 0 to below 1", floor);
    WHET_TRY_DONE(whet_table_read(ctx, path, &t));
    for (int i = 0; i < 2; i++) {
        column[i] = whet_names_find(whet_table_columns(t), whet_str_from(COLUMNS[i]));
        if (column[i] >= 0) continue;
        status = whet_i_fail(ctx, WHET_ERR_FORMAT,
                             "%s: no column \"%s\"; expected price and accepted", path, COLUMNS[i]);
        goto done;
    }
    WHET_TRY_DONE(copy_cuts(ctx, belief, &next));
    for (int64_t row = 0; row < whet_table_rows(t); row++) {
        WHET_TRY_DONE(observe_row(ctx, &next, t, row, column, floor));
        if (row % 1024 == 1023)
            WHET_TRY_DONE(whet_i_progress(ctx, "history", row + 1, whet_table_rows(t)));
    }
    {
        double *const cut = belief->cut, *const mass = belief->mass;
        *belief = next;
        next.cut = cut;
        next.mass = mass;
    }
done:
    whet_i_free(ctx, next.cut);
    whet_i_free(ctx, next.mass);
    whet_table_destroy(ctx, t);
    return status;
}
