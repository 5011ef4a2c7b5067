/* SPDX-License-Identifier: Apache-2.0
 * What the page, the pictures and the sentences about a simulated market share: estimates over seeds, the
 * split of the surplus, series over epochs, panels to draw them in. */
#ifndef WHET_MARKET_TRADING_REPORT_H
#define WHET_MARKET_TRADING_REPORT_H

#include "whet/trading.h"

#include "io/io_i.h"

/* ---- over seeds (trading_compare.c) -------------------------------------------------------- */

/* A mean over seeds and half of Student's 95 % interval, NaN with fewer than two. A mean of NaN: some seed
 * has no such number. */
typedef struct whet_i_estimate {
    double mean, half;
    int64_t n;
} whet_i_estimate;
/* x [n], n >= 1. Pure. */
whet_i_estimate whet_i_estimate_of(const double *x, int64_t n);

typedef enum whet_i_verdict {
    WHET_I_UNTOLD, /* no interval */
    WHET_I_NOISE,  /* it holds 0 */
    WHET_I_ABOVE,
    WHET_I_BELOW
} whet_i_verdict;
whet_i_verdict whet_i_verdict_of(whet_i_estimate e);

/* Test scores after the last epoch; NaN where there are none. */
typedef struct whet_i_end {
    double accuracy, loss;
} whet_i_end;
typedef struct whet_i_ends {
    const whet_trading_result *result;
    whet_i_end *last; /* [n_seeds, WHET_ARMS, n_agents]; the bank's one for every agent */
    double *room;     /* [n_seeds] */
} whet_i_ends;
/* Errors: NOMEM, LIMIT. */
WHET_CHECKED whet_status whet_i_ends_find(whet_ctx *ctx, const whet_trading_result *result,
                                          whet_i_ends *out);
void whet_i_ends_free(whet_ctx *ctx, whet_i_ends *ends);
/* Test accuracy (or loss) of the arm's agent, or of the mean of all (WHET_MEAN_AGENT), less that of `other`
 * seed by seed, unless that is WHET_ARMS. */
whet_i_estimate whet_i_ends_compare(const whet_i_ends *ends, whet_arm arm, whet_arm other,
                                    int64_t agent, bool loss);

/* Who has what of the surplus, V - C of all deals, of an arm. */
typedef struct whet_i_shares {
    int64_t deals; /* over all seeds */
    whet_i_estimate buyers, sellers, broker, total;
    whet_i_estimate lead; /* buyers less sellers */
} whet_i_shares;
WHET_CHECKED whet_status whet_i_trading_shares(whet_ctx *ctx, const whet_trading_result *result,
                                               whet_arm arm, whet_i_shares *out);
/* Whether weights were tried in that arm, and for money. */
bool whet_i_arm_trades(const whet_trading_result *result, whet_arm arm);
bool whet_i_arm_has_money(const whet_trading_result *result, whet_arm arm);

/* ---- questions and answers (trading_answer.c) ---------------------------------------------- */

enum { WHET_I_ANSWERS = 5 };
typedef struct whet_i_answers {
    const char *question[WHET_I_ANSWERS];
    whet_i_buf
        answer[WHET_I_ANSWERS]; /* as plain text; data NULL where the question does not arise */
    whet_i_buf caution;         /* what speaks against all of it; data NULL: nothing */
} whet_i_answers;
/* out: {0}; released by _free, on failure too. */
WHET_CHECKED whet_status whet_i_trading_answers(whet_ctx *ctx, const whet_i_ends *ends,
                                                whet_i_answers *out);
void whet_i_answers_free(whet_ctx *ctx, whet_i_answers *answers);

/* ---- over epochs (trading_series.c) -------------------------------------------------------- */

typedef struct whet_i_spread {
    double sum, low, high;
    int64_t n; /* 0: there is none */
} whet_i_spread;

/* Lines over epochs. Of more than some hundred epochs every stride-th is kept, the last among them. */
typedef struct whet_i_spreads {
    whet_i_spread *cells;             /* [lines, n] */
    int64_t lines, n, stride, offset; /* cell i stands at epoch offset + i stride */
} whet_i_spreads;

/* Trades, by their arm: line 0 .. n_agents - 1 of market, then of no-align. */
typedef struct whet_i_trading_series {
    whet_i_spreads accuracy,
        loss; /* of test, in per cent; line arm (n_agents + 1) + agent, the bank n_agents */
    whet_i_spreads gain, weight,
        bought; /* of what each buyer bought first in a period, else of what would
                                            have gained it most; bought: 0 or 1 */
    whet_i_spreads price, sold, wallet; /* price, sold: of each seller's offers with a price */
} whet_i_trading_series;
/* out: {0}; released by _free, on failure too. Errors: NOMEM, LIMIT. */
WHET_CHECKED whet_status whet_i_trading_series_make(whet_ctx *ctx,
                                                    const whet_trading_result *result,
                                                    whet_i_trading_series *out);
void whet_i_trading_series_free(whet_ctx *ctx, whet_i_trading_series *series);
const whet_i_spread *whet_i_spreads_line(const whet_i_spreads *spreads, int64_t line);

/* ---- panels (trading_plot.c) --------------------------------------------------------------- */

typedef struct whet_i_pen {
    const char *color, *dash;
    int shape; /* of marks: disc, square, diamond, triangle */
    double width;
} whet_i_pen;
whet_i_pen whet_i_arm_pen(whet_arm arm);
/* Told apart by colour up to seven agents, by dashes up to 21; neighbours by the shape of marks, too. */
whet_i_pen whet_i_agent_pen(int64_t agent);

typedef struct whet_i_panel {
    double left, top, width, height;
    whet_i_plot_axis x, y;
    const char *figure; /* with `place`, a name that no other panel of a page has */
    int place;
} whet_i_panel;

/* page: with the style of the page around it; else a document by itself, on white. */
WHET_CHECKED whet_status whet_i_svg_begin(whet_ctx *ctx, whet_i_buf *out, double width,
                                          double height, const char *label, bool page);
WHET_CHECKED whet_status whet_i_svg_end(whet_ctx *ctx, whet_i_buf *out);
/* 0 to the last epoch. */
whet_i_plot_axis whet_i_epoch_axis(int64_t epochs);
/* Frame, ticks, title; what is drawn until _end is cut at the frame. */
WHET_CHECKED whet_status whet_i_panel_begin(whet_ctx *ctx, whet_i_buf *out, const whet_i_panel *p,
                                            const char *who, const char *what);
WHET_CHECKED whet_status whet_i_panel_end(whet_ctx *ctx, whet_i_buf *out);
/* From the least to the greatest of each cell; nothing where all are of one number. */
WHET_CHECKED whet_status whet_i_panel_band(whet_ctx *ctx, whet_i_buf *out, const whet_i_panel *p,
                                           whet_i_pen pen, const whet_i_spreads *s, int64_t line);
/* Means. */
WHET_CHECKED whet_status whet_i_panel_line(whet_ctx *ctx, whet_i_buf *out, const whet_i_panel *p,
                                           whet_i_pen pen, const whet_i_spreads *s, int64_t line);
/* A mark at each mean, filled where `filled` has a sum there. */
WHET_CHECKED whet_status whet_i_panel_marks(whet_ctx *ctx, whet_i_buf *out, const whet_i_panel *p,
                                            whet_i_pen pen, const whet_i_spreads *s,
                                            const whet_i_spreads *filled, int64_t line);
/* Bars at the foot, as high as the share of `most` that the sum of each cell is. */
WHET_CHECKED whet_status whet_i_panel_feet(whet_ctx *ctx, whet_i_buf *out, const whet_i_panel *p,
                                           const whet_i_spreads *s, int64_t line, double most);
typedef struct whet_i_place {
    double x, y;
} whet_i_place;
/* Where the legend's entry of that name goes, and the one behind it. Pure. */
void whet_i_legend_next(const char *name, double width, whet_i_place *next, whet_i_place *at);
/* mark: with its shape. */
WHET_CHECKED whet_status whet_i_legend_entry(whet_ctx *ctx, whet_i_buf *out, whet_i_pen pen,
                                             bool mark, const char *name, whet_i_place at);

/* ---- pictures (trading_figures.c) ---------------------------------------------------------- */

typedef struct whet_i_trading_figure {
    const char *file; /* "convergence.svg" */
    /* Whether there is anything to draw. */
    bool (*there)(const whet_trading_result *result);
    whet_status (*draw)(whet_ctx *ctx, const whet_trading_result *result,
                        const whet_i_trading_series *series, bool page, whet_i_buf *out);
} whet_i_trading_figure;
enum {
    WHET_I_FIGURE_CONVERGENCE,
    WHET_I_FIGURE_GAINS,
    WHET_I_FIGURE_WEIGHTS,
    WHET_I_FIGURE_MONEY,
    WHET_I_FIGURES
};
extern const whet_i_trading_figure whet_i_trading_figures[WHET_I_FIGURES];

#endif
