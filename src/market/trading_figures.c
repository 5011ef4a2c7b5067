/* SPDX-License-Identifier: Apache-2.0
 * Pictures of a simulated market: how arms converge, agent by agent; what each period gains a buyer; the
 * weight at which it mixes; prices and wallets. Lines are means over seeds, bands go from the least to the
 * greatest. */
#include <math.h>

#include "market/trading_report.h"

enum { WIDTH = 860, LEFT = 58, GAP = 66, RIGHT = 16, ROW = 226, HEIGHT = 160, KEY = 16 };

static const whet_arm trading_arms[] = {WHET_ARM_MARKET, WHET_ARM_NO_ALIGN};

/* ---- what they share ----------------------------------------------------------------------- */

/* Place in a grid of two columns below a head of that height. */
static whet_i_panel panel_at(const char *figure, int64_t row, int column, double head) {
    const double width = (WIDTH - LEFT - GAP - RIGHT) / 2.0;
    return (whet_i_panel){.left = LEFT + column * (width + GAP),
                          .top = head + 26 + ROW * (double)row,
                          .width = width,
                          .height = HEIGHT,
                          .figure = figure,
                          .place = (int)(2 * row + column)};
}

static whet_status put_epochs(whet_ctx *ctx, whet_i_buf *out, const whet_i_panel *p) {
    WHET_PUT(
        "<text class=\"soft small\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">epoch</text>\n",
        p->left + p->width / 2, p->top + p->height + 32);
    return WHET_OK;
}

/* Of all lines, from cell `from` on; room: share of the range that is left free above, and below 0. */
static whet_i_plot_axis range_of(const whet_i_spreads *s, int64_t from, double room) {
    double low = INFINITY, high = -INFINITY;
    for (int64_t line = 0; line < s->lines; line++)
        for (int64_t i = from; i < s->n; i++) {
            const whet_i_spread *c = whet_i_spreads_line(s, line) + i;
            if (!c->n) continue;
            low = fmin(low, c->low);
            high = fmax(high, c->high);
        }
    if (low < high) {
        const double more = room * (high - low);
        high += more;
        if (low < 0) low -= more;
    }
    return whet_i_plot_axis_over(low, high);
}

/* With 0 in it. */
static whet_i_plot_axis range_with_0(const whet_i_spreads *s) {
    whet_i_plot_axis a = range_of(s, 0, .04);
    if (a.low > 0) a = whet_i_plot_axis_over(0, a.high);
    if (a.high < 0) a = whet_i_plot_axis_over(a.low, 0);
    return a;
}

/* The legend of all agents; out NULL: none is drawn. Returns where what is below it begins. */
static whet_status put_agents(whet_ctx *ctx, whet_i_buf *out, const whet_trading_result *r,
                              double *head) {
    whet_i_place next = {12, KEY}, at;
    for (int64_t a = 0; a < r->n_agents; a++) {
        whet_i_legend_next(r->agents[a], WIDTH, &next, &at);
        if (out)
            WHET_TRY(whet_i_legend_entry(ctx, out, whet_i_agent_pen(a), true, r->agents[a], at));
    }
    *head = next.y + KEY;
    return WHET_OK;
}

/* ---- convergence --------------------------------------------------------------------------- */

static bool has_scores(const whet_trading_result *r) { return r->n_scores > 0; }

static whet_status put_arms(whet_ctx *ctx, whet_i_buf *out, const whet_trading_result *r) {
    whet_i_place next = {12, KEY}, at;
    for (int arm = 0; arm < WHET_ARMS; arm++) {
        const char *name = whet_arm_name((whet_arm)arm);
        if (!r->arms[arm]) continue;
        whet_i_legend_next(name, WIDTH, &next, &at);
        WHET_TRY(whet_i_legend_entry(ctx, out, whet_i_arm_pen((whet_arm)arm), false, name, at));
    }
    if (!r->arms[WHET_ARM_MARKET]) return WHET_OK;
    WHET_PUT("<rect x=\"%.1f\" y=\"%.1f\" width=\"5\" height=\"12\" fill=\"%s\" "
             "fill-opacity=\".55\"/><text class=\"small\" x=\"%.1f\" y=\"%.1f\">in the market: "
             "share of seeds that bought</text>\n",
             next.x + 8, next.y - 6, whet_i_arm_pen(WHET_ARM_MARKET).color, next.x + 20,
             next.y + 4);
    return WHET_OK;
}

/* Bands first, so that no line is under one; the market last. */
static whet_status put_curves(whet_ctx *ctx, whet_i_buf *out, const whet_trading_result *r,
                              const whet_i_panel *p, const whet_i_spreads *s, int64_t agent) {
    static const whet_arm order[] = {WHET_ARM_BANK, WHET_ARM_SILO, WHET_ARM_FEDAVG,
                                     WHET_ARM_NO_ALIGN, WHET_ARM_MARKET};
    for (int band = 1; band >= 0; band--)
        for (int i = 0; i < WHET_ARMS; i++) {
            const whet_arm arm = order[i];
            const int64_t who = arm == WHET_ARM_BANK ? r->n_agents : agent;
            const int64_t line = arm * (r->n_agents + 1) + who;
            if (!r->arms[arm]) continue;
            if (band)
                WHET_TRY(whet_i_panel_band(ctx, out, p, whet_i_arm_pen(arm), s, line));
            else
                WHET_TRY(whet_i_panel_line(ctx, out, p, whet_i_arm_pen(arm), s, line));
        }
    return WHET_OK;
}

/* The first fifth of the epochs may lie outside: it would leave the rest no room. */
static whet_status draw_convergence(whet_ctx *ctx, const whet_trading_result *r,
                                    const whet_i_trading_series *s, bool page, whet_i_buf *out) {
    const double head = 2 * KEY, height = head + ROW * (double)r->n_agents;
    const whet_i_spreads *what[] = {&s->accuracy, &s->loss};
    static const char *const names[] = {": test accuracy, %", ": test loss"};
    WHET_TRY(whet_i_svg_begin(ctx, out, WIDTH, height, "Test accuracy and loss over epochs", page));
    WHET_TRY(put_arms(ctx, out, r));
    for (int64_t a = 0; a < r->n_agents; a++)
        for (int k = 0; k < 2; k++) {
            whet_i_panel p = panel_at("convergence", a, k, head);
            p.x = whet_i_epoch_axis(r->epochs);
            p.y = range_of(what[k], what[k]->n / 5, 0);
            WHET_TRY(whet_i_panel_begin(ctx, out, &p, r->agents[a], names[k]));
            WHET_TRY(put_curves(ctx, out, r, &p, what[k], a));
            if (r->arms[WHET_ARM_MARKET])
                WHET_TRY(whet_i_panel_feet(ctx, out, &p, &s->bought, a, (double)r->n_seeds));
            WHET_TRY(whet_i_panel_end(ctx, out));
            WHET_TRY(put_epochs(ctx, out, &p));
        }
    return whet_i_svg_end(ctx, out);
}

/* ---- periods ------------------------------------------------------------------------------- */

static bool has_trials(const whet_trading_result *r) {
    for (int64_t i = 0; i < r->n_trials; i++)
        if (whet_i_arm_trades(r, r->trials[i].arm) && isfinite(r->trials[i].weight)) return true;
    return false;
}

static whet_status put_agents_lines(whet_ctx *ctx, whet_i_buf *out, const whet_trading_result *r,
                                    const whet_i_panel *p, const whet_i_spreads *s,
                                    const whet_i_spreads *filled, int64_t first) {
    for (int64_t a = 0; a < r->n_agents; a++)
        WHET_TRY(whet_i_panel_band(ctx, out, p, whet_i_agent_pen(a), s, first + a));
    for (int64_t a = 0; a < r->n_agents; a++) {
        WHET_TRY(whet_i_panel_line(ctx, out, p, whet_i_agent_pen(a), s, first + a));
        if (filled)
            WHET_TRY(whet_i_panel_marks(ctx, out, p, whet_i_agent_pen(a), s, filled, first + a));
    }
    return WHET_OK;
}

typedef struct periods {
    const char *figure, *what, *label;
    const whet_i_spreads *lines, *filled;
    whet_i_plot_axis axis;
} periods;

/* One panel an arm that trades. */
static whet_status draw_periods(whet_ctx *ctx, const whet_trading_result *r, const periods *f,
                                bool page, whet_i_buf *out) {
    double head;
    int columns = 0;
    WHET_TRY(put_agents(ctx, NULL, r, &head));
    WHET_TRY(whet_i_svg_begin(ctx, out, WIDTH, head + ROW, f->label, page));
    WHET_TRY(put_agents(ctx, out, r, &head));
    for (int k = 0; k < 2; k++) {
        if (!r->arms[trading_arms[k]]) continue;
        whet_i_panel p = panel_at(f->figure, 0, columns++, head);
        p.x = whet_i_epoch_axis(r->epochs);
        p.y = f->axis;
        WHET_TRY(whet_i_panel_begin(ctx, out, &p, whet_arm_name(trading_arms[k]), f->what));
        WHET_TRY(put_agents_lines(ctx, out, r, &p, f->lines, f->filled, k * r->n_agents));
        WHET_TRY(whet_i_panel_end(ctx, out));
        WHET_TRY(put_epochs(ctx, out, &p));
    }
    return whet_i_svg_end(ctx, out);
}

static whet_status draw_gains(whet_ctx *ctx, const whet_trading_result *r,
                              const whet_i_trading_series *s, bool page, whet_i_buf *out) {
    periods f = {
        "gains",  ": relative gain of loss, %", "Gains of each period", &s->gain, &s->bought,
        {0, 1, 1}};
    f.axis = range_with_0(&s->gain);
    return draw_periods(ctx, r, &f, page, out);
}

static whet_status draw_weights(whet_ctx *ctx, const whet_trading_result *r,
                                const whet_i_trading_series *s, bool page, whet_i_buf *out) {
    const periods f = {"weights",
                       ": share of the seller's weights",
                       "Chosen mixing weights",
                       &s->weight,
                       &s->bought,
                       {0, 1, .2}};
    return draw_periods(ctx, r, &f, page, out);
}

/* ---- money --------------------------------------------------------------------------------- */

static bool has_money(const whet_trading_result *r) { return r->money && r->n_wallets > 0; }

static whet_status draw_money(whet_ctx *ctx, const whet_trading_result *r,
                              const whet_i_trading_series *s, bool page, whet_i_buf *out) {
    double head;
    int64_t row = 0;
    const double rows = r->arms[WHET_ARM_MARKET] + r->arms[WHET_ARM_NO_ALIGN];
    const whet_i_spreads *what[] = {&s->price, &s->wallet};
    static const char *const names[] = {": price asked, by seller", ": money won or lost so far"};
    WHET_TRY(put_agents(ctx, NULL, r, &head));
    WHET_TRY(whet_i_svg_begin(ctx, out, WIDTH, head + ROW * rows, "Prices and wallets", page));
    WHET_TRY(put_agents(ctx, out, r, &head));
    for (int k = 0; k < 2; k++) {
        if (!r->arms[trading_arms[k]]) continue;
        for (int column = 0; column < 2; column++) {
            whet_i_panel p = panel_at("money", row, column, head);
            p.x = whet_i_epoch_axis(r->epochs);
            p.y = range_with_0(what[column]);
            WHET_TRY(
                whet_i_panel_begin(ctx, out, &p, whet_arm_name(trading_arms[k]), names[column]));
            WHET_TRY(put_agents_lines(ctx, out, r, &p, what[column], column ? NULL : &s->sold,
                                      k * r->n_agents));
            WHET_TRY(whet_i_panel_end(ctx, out));
            WHET_TRY(put_epochs(ctx, out, &p));
        }
        row++;
    }
    return whet_i_svg_end(ctx, out);
}

const whet_i_trading_figure whet_i_trading_figures[WHET_I_FIGURES] = {
    [WHET_I_FIGURE_CONVERGENCE] = {"convergence.svg", has_scores, draw_convergence},
    [WHET_I_FIGURE_GAINS] = {"gains.svg", has_trials, draw_gains},
    [WHET_I_FIGURE_WEIGHTS] = {"weights.svg", has_trials, draw_weights},
    [WHET_I_FIGURE_MONEY] = {"money.svg", has_money, draw_money}};
