/* SPDX-License-Identifier: Apache-2.0
 * The learning curve as SVG: the loss of each step, its running mean, and the validation metric on an
 * axis of its own. */
#include <math.h>

#include "tune/tune_i.h"

enum { WIDTH = 720, HEIGHT = 360, LEFT = 64, RIGHT = 64, TOP = 24, BOTTOM = 48 };

static whet_i_plot_axis range_of(const whet_i_tune *run, bool metric) {
    double low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < run->n_points; i++) {
        const double y = metric ? run->points[i].metric : run->points[i].loss;
        if (!isfinite(y)) continue;
        low = fmin(low, y);
        high = fmax(high, y);
    }
    return whet_i_plot_axis_over(low, high);
}

static double x_of(const whet_i_tune *run, int64_t step) {
    const double last = run->state.step > 1 ? (double)run->state.step : 1;
    return LEFT + (double)step / last * (WIDTH - LEFT - RIGHT);
}

static double y_of(whet_i_plot_axis a, double y) {
    return TOP + (a.high - y) / (a.high - a.low) * (HEIGHT - TOP - BOTTOM);
}

static whet_status loss_axis(whet_ctx *ctx, whet_i_plot_axis a, whet_i_buf *svg) {
    for (int i = 0; i <= whet_i_plot_axis_count(a); i++) {
        const double value = whet_i_plot_axis_tick(a, i), y = y_of(a, value);
        WHET_TRY(whet_i_buf_printf(
            ctx, svg,
            "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>"
            "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\" fill=\"#36c\">%.4g</text>",
            LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, value));
    }
    return whet_i_buf_printf(ctx, svg, "<text x=\"%d\" y=\"14\" fill=\"#36c\">training loss</text>",
                             LEFT);
}

static whet_status metric_axis(whet_ctx *ctx, whet_i_plot_axis a, whet_i_buf *svg) {
    for (int i = 0; i <= whet_i_plot_axis_count(a); i++) {
        const double value = whet_i_plot_axis_tick(a, i), y = y_of(a, value);
        WHET_TRY(whet_i_buf_printf(
            ctx, svg,
            "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#c50\"/>"
            "<text x=\"%d\" y=\"%.1f\" fill=\"#c50\">%.4g</text>",
            WIDTH - RIGHT, WIDTH - RIGHT + 4, y, y, WIDTH - RIGHT + 8, y + 4, value));
    }
    return WHET_OK;
}

static whet_status step_axis(whet_ctx *ctx, const whet_i_tune *run, whet_i_buf *svg) {
    const int64_t step = (int64_t)fmax(1, whet_i_round_step(fmax(1, (double)run->state.step)));
    for (int64_t at = 0; at <= run->state.step; at += step)
        WHET_TRY(whet_i_buf_printf(ctx, svg,
                                   "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%lld</text>",
                                   x_of(run, at), HEIGHT - BOTTOM + 18, (long long)at));
    return whet_i_buf_printf(ctx, svg, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">step</text>",
                             WIDTH / 2, HEIGHT - 10);
}

static whet_status loss_lines(whet_ctx *ctx, const whet_i_tune *run, whet_i_plot_axis a,
                              whet_i_buf *svg) {
    /* At most some thousand marks; the mean forgets over a fortieth of the run. */
    const int64_t every = run->n_points / 2000 + 1;
    const double keep = 1 - 1 / fmax(1, (double)run->state.step / 40);
    double mean = NAN;
    for (int64_t i = 0; i < run->n_points; i += every)
        if (!isnan(run->points[i].loss))
            WHET_TRY(whet_i_buf_printf(
                ctx, svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"1.2\" fill=\"#9bd\"/>",
                x_of(run, run->points[i].step), y_of(a, run->points[i].loss)));
    WHET_TRY(whet_i_buf_printf(
        ctx, svg, "<polyline fill=\"none\" stroke=\"#36c\" stroke-width=\"1.6\" points=\""));
    for (int64_t i = 0; i < run->n_points; i++) {
        const double y = run->points[i].loss;
        if (isnan(y)) continue;
        mean = isnan(mean) ? y : keep * mean + (1 - keep) * y;
        if (i % every == 0)
            WHET_TRY(whet_i_buf_printf(ctx, svg, "%.1f,%.1f ", x_of(run, run->points[i].step),
                                       y_of(a, mean)));
    }
    return whet_i_buf_printf(ctx, svg, "\"/>");
}

static whet_status metric_lines(whet_ctx *ctx, const whet_i_tune *run, whet_i_plot_axis a,
                                whet_i_buf *svg) {
    if (!run->valid.n) return WHET_OK;
    WHET_TRY(whet_i_buf_printf(
        ctx, svg,
        "<text x=\"%d\" y=\"14\" text-anchor=\"end\" fill=\"#c50\">validation %s</text>"
        "<polyline fill=\"none\" stroke=\"#c50\" stroke-width=\"1.6\" points=\"",
        WIDTH - RIGHT, whet_i_tune_metric_name(run->metric)));
    for (int64_t i = 0; i < run->n_points; i++)
        if (!isnan(run->points[i].metric))
            WHET_TRY(whet_i_buf_printf(ctx, svg, "%.1f,%.1f ", x_of(run, run->points[i].step),
                                       y_of(a, run->points[i].metric)));
    WHET_TRY(whet_i_buf_printf(ctx, svg, "\"/>"));
    for (int64_t i = 0; i < run->n_points; i++) {
        const whet_i_tune_point *p = &run->points[i];
        if (isnan(p->metric)) continue;
        const bool best = p->step == run->state.best_step;
        WHET_TRY(whet_i_buf_printf(
            ctx, svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%d\" fill=\"%s\" stroke=\"#c50\"/>",
            x_of(run, p->step), y_of(a, p->metric), best ? 5 : 3, best ? "#c50" : "#fff"));
    }
    return WHET_OK;
}

whet_status whet_i_tune_curve(whet_ctx *ctx, const whet_i_tune *run, whet_i_buf *svg) {
    const whet_i_plot_axis loss = range_of(run, false), metric = range_of(run, true);
    WHET_TRY(whet_i_buf_printf(ctx, svg,
                               "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
                               "width=\"%d\" height=\"%d\" "
                               "font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">"
                               "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>",
                               WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT));
    WHET_TRY(loss_axis(ctx, loss, svg));
    if (run->valid.n) WHET_TRY(metric_axis(ctx, metric, svg));
    WHET_TRY(step_axis(ctx, run, svg));
    WHET_TRY(loss_lines(ctx, run, loss, svg));
    WHET_TRY(metric_lines(ctx, run, metric, svg));
    return whet_i_buf_printf(ctx, svg, "</svg>\n");
}
