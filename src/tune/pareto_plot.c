/* SPDX-License-Identifier: Apache-2.0
 * Metric against trained parameters, which have a logarithmic axis, as SVG: trials at whole length are
 * filled, with their standard error; those that were stopped on the way are faint; the front is a line. */
#include <math.h>

#include "tune/search_i.h"

enum { WIDTH = 720, HEIGHT = 400, LEFT = 64, RIGHT = 24, TOP = 48, BOTTOM = 48 };

typedef struct plane {
    double low, high; /* log10 of parameters */
    whet_i_plot_axis y;
} plane;

void whet_i_search_front(whet_i_search_point *points, int64_t n, bool lower) {
    for (int64_t i = 0; i < n; i++) {
        whet_i_search_point *p = &points[i];
        p->front = p->whole;
        for (int64_t j = 0; j < n && p->front; j++) {
            const whet_i_search_point *q = &points[j];
            if (j == i || !q->whole || q->parameters > p->parameters) continue;
            const bool better = lower ? q->metric < p->metric : q->metric > p->metric;
            const bool same = q->metric == p->metric && (q->parameters < p->parameters || j < i);
            if (better || same) p->front = false;
        }
    }
}

static plane plane_of(const whet_i_search_point *points, int64_t n) {
    plane p = {.low = INFINITY, .high = -INFINITY};
    double low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        const double x = log10((double)points[i].parameters);
        const double off = points[i].whole && isfinite(points[i].error) ? points[i].error : 0;
        p.low = fmin(p.low, x);
        p.high = fmax(p.high, x);
        low = fmin(low, points[i].metric - off);
        high = fmax(high, points[i].metric + off);
    }
    p.y = whet_i_plot_axis_over(low, high);
    if (p.low > p.high) p.low = p.high = 3;
    const double room = fmax(0.1, 0.05 * (p.high - p.low));
    p.low -= room;
    p.high += room;
    return p;
}

static double x_of(const plane *p, double parameters) {
    return LEFT + (log10(parameters) - p->low) / (p->high - p->low) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const plane *p, double metric) {
    return TOP + (p->y.high - metric) / (p->y.high - p->y.low) * (HEIGHT - TOP - BOTTOM);
}

static whet_status put_y_axis(whet_ctx *ctx, const plane *p, const char *metric, whet_i_buf *svg) {
    for (int i = 0; i <= whet_i_plot_axis_count(p->y); i++) {
        const double value = whet_i_plot_axis_tick(p->y, i), y = y_of(p, value);
        WHET_TRY(
            whet_i_buf_printf(ctx, svg,
                              "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>"
                              "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>",
                              LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, value));
    }
    return whet_i_buf_printf(ctx, svg, "<text x=\"%d\" y=\"16\">%s of rows held out</text>", LEFT,
                             metric);
}

/* 1, 2 and 5 times each power of ten; of a wide range, the powers alone. */
static whet_status put_x_axis(whet_ctx *ctx, const plane *p, whet_i_buf *svg) {
    static const double factors[] = {1, 2, 5};
    const int few = p->high - p->low > 2.5 ? 1 : WHET_COUNT_OF(factors);
    const int first = (int)floor(p->low), last = (int)ceil(p->high);
    for (int power = first; power <= last; power++)
        for (int i = 0; i < few; i++) {
            const double value = factors[i] * pow(10, power), x = x_of(p, value);
            if (x < LEFT || x > WIDTH - RIGHT) continue;
            const double scale = value >= 1e6 ? 1e6 : value >= 1e3 ? 1e3 : 1;
            WHET_TRY(whet_i_buf_printf(
                ctx, svg,
                "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"#999\"/>"
                "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.4g%s</text>",
                x, x, HEIGHT - BOTTOM, HEIGHT - BOTTOM + 4, x, HEIGHT - BOTTOM + 18, value / scale,
                scale >= 1e6   ? "M"
                : scale >= 1e3 ? "k"
                               : ""));
        }
    return whet_i_buf_printf(ctx, svg,
                             "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">parameters trained, "
                             "outside the head</text>",
                             (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10);
}

static const char *color_of(whet_tune_adapter kind) {
    static const char *const colors[WHET_I_SEARCH_KINDS] = {
        [WHET_TUNE_FULL] = "#393", [WHET_TUNE_LORA] = "#36c",   [WHET_TUNE_MORE] = "#c50",
        [WHET_TUNE_DORA] = "#63a", [WHET_TUNE_BITFIT] = "#088", [WHET_TUNE_NORMS] = "#a06"};
    return colors[kind];
}

static bool has_kind(const whet_i_search_point *points, int64_t n, whet_tune_adapter kind) {
    for (int64_t i = 0; i < n; i++)
        if (points[i].kind == kind) return true;
    return false;
}

/* MoRe, LoRA and full tuning, and what else there is. */
static whet_status put_legend(whet_ctx *ctx, const whet_i_search_point *points, int64_t n,
                              whet_i_buf *svg) {
    static const struct {
        whet_tune_adapter kind;
        const char *name;
    } kinds[] = {{WHET_TUNE_MORE, "MoRe"},     {WHET_TUNE_LORA, "LoRA"},
                 {WHET_TUNE_FULL, "full"},     {WHET_TUNE_DORA, "DoRA"},
                 {WHET_TUNE_BITFIT, "BitFit"}, {WHET_TUNE_NORMS, "norms"}};
    int at = 0;
    for (int i = 0; i < WHET_COUNT_OF(kinds); i++) {
        if (i >= 3 && !has_kind(points, n, kinds[i].kind)) continue;
        WHET_TRY(whet_i_buf_printf(
            ctx, svg,
            "<circle cx=\"%d\" cy=\"32\" r=\"4\" fill=\"%s\"/><text x=\"%d\" y=\"36\">%s</text>",
            LEFT + 4 + 64 * at, color_of(kinds[i].kind), LEFT + 12 + 64 * at, kinds[i].name));
        at++;
    }
    return whet_i_buf_printf(
        ctx, svg,
        "<text x=\"%d\" y=\"36\" fill=\"#777\">faint: stopped on the way; bars: one standard "
        "error; ring: the winner</text>",
        LEFT + 12 + 64 * at);
}

/* The front from few parameters to many: each step is held until the next. */
static whet_status put_front(whet_ctx *ctx, const plane *p, const whet_i_search_point *points,
                             int64_t n, whet_i_buf *svg) {
    int64_t last = 0;
    double y = NAN;
    WHET_TRY(whet_i_buf_printf(
        ctx, svg, "<polyline fill=\"none\" stroke=\"#888\" stroke-width=\"1.4\" points=\""));
    for (;;) {
        const whet_i_search_point *next = NULL;
        for (int64_t i = 0; i < n; i++)
            if (points[i].front && points[i].parameters > last &&
                (!next || points[i].parameters < next->parameters))
                next = &points[i];
        const double x = next ? x_of(p, (double)next->parameters) : WIDTH - RIGHT;
        if (!isnan(y)) WHET_TRY(whet_i_buf_printf(ctx, svg, "%.1f,%.1f ", x, y));
        if (!next) break;
        y = y_of(p, next->metric);
        WHET_TRY(whet_i_buf_printf(ctx, svg, "%.1f,%.1f ", x, y));
        last = next->parameters;
    }
    return whet_i_buf_printf(ctx, svg, "\"/>");
}

static whet_status put_point(whet_ctx *ctx, const plane *p, const whet_i_search_point *at,
                             whet_i_buf *svg) {
    /* Pairs of equal parameters stand beside each other. */
    const double aside = at->kind == WHET_TUNE_MORE ? -3 : at->kind == WHET_TUNE_LORA ? 3 : 0;
    const double x = x_of(p, (double)at->parameters) + aside, y = y_of(p, at->metric);
    const char *color = color_of(at->kind);
    if (at->whole && isfinite(at->error))
        WHET_TRY(whet_i_buf_printf(
            ctx, svg, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>", x, x,
            y_of(p, at->metric - at->error), y_of(p, at->metric + at->error), color));
    if (at->winner)
        WHET_TRY(whet_i_buf_printf(
            ctx, svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"8\" fill=\"none\" stroke=\"%s\"/>", x, y,
            color));
    return whet_i_buf_printf(
        ctx, svg,
        "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%d\" fill=\"%s\" fill-opacity=\"%s\"><title>trial "
        "%lld</title></circle>",
        x, y, at->whole ? 4 : 3, color, at->whole ? "1" : "0.3", (long long)at->trial);
}

whet_status whet_i_search_plot(whet_ctx *ctx, const whet_i_search_point *points, int64_t n,
                               const char *metric, whet_i_buf *svg) {
    const plane p = plane_of(points, n);
    WHET_TRY(whet_i_buf_printf(ctx, svg,
                               "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
                               "width=\"%d\" height=\"%d\" "
                               "font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">"
                               "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>",
                               WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT));
    WHET_TRY(put_y_axis(ctx, &p, metric, svg));
    WHET_TRY(put_x_axis(ctx, &p, svg));
    WHET_TRY(put_legend(ctx, points, n, svg));
    WHET_TRY(put_front(ctx, &p, points, n, svg));
    for (int whole = 0; whole < 2; whole++)
        for (int64_t i = 0; i < n; i++)
            if (points[i].whole == (whole == 1)) WHET_TRY(put_point(ctx, &p, &points[i], svg));
    return whet_i_buf_printf(ctx, svg, "</svg>\n");
}
