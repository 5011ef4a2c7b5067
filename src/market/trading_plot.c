/* SPDX-License-Identifier: Apache-2.0
 * Panels over epochs, as SVG: frame and ticks, bands, lines, marks, a legend. In a page they take its style,
 * light or dark; as a file they are on white. Colours are Okabe & Ito's, told apart without colour vision;
 * dashes and shapes of marks say the same in grey. */
#include <inttypes.h>
#include <math.h>

#include "market/trading_report.h"

enum { NAME_MAX_SHOWN = 24 };

whet_i_pen whet_i_arm_pen(whet_arm arm) {
    static const whet_i_pen pens[WHET_ARMS] = {[WHET_ARM_SILO] = {"#7f7f7f", "5 3", 0, 1.6},
                                               [WHET_ARM_MARKET] = {"#0072b2", "none", 0, 2.4},
                                               [WHET_ARM_NO_ALIGN] = {"#cc79a7", "9 3", 0, 1.6},
                                               [WHET_ARM_FEDAVG] = {"#e69f00", "2 3", 0, 2},
                                               [WHET_ARM_BANK] = {"#009e73", "9 3 2 3", 0, 1.6}};
    return pens[arm];
}

whet_i_pen whet_i_agent_pen(int64_t agent) {
    static const char *const colors[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                         "#e69f00", "#56b4e9", "#7f7f7f"};
    static const char *const dashes[] = {"none", "6 3", "2 3"};
    const int64_t n = WHET_COUNT_OF(colors);
    return (whet_i_pen){colors[agent % n], dashes[agent / n % 3], (int)(agent % 4), 1.6};
}

/* ---- the document -------------------------------------------------------------------------- */

whet_status whet_i_svg_begin(whet_ctx *ctx, whet_i_buf *out, double width, double height,
                             const char *label, bool page) {
    WHET_PUT("<svg %sviewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" role=\"img\" "
             "aria-label=\"%s\">\n",
             page ? "" : "xmlns=\"http://www.w3.org/2000/svg\" ", width, height, width, height,
             label);
    if (page) return WHET_OK;
    WHET_PUT("<style>text{fill:#1d2530;font-size:13px;font-family:system-ui,'DejaVu Sans',"
             "sans-serif}\n.soft{fill:#5c6776}.small{font-size:11.5px}.strong{font-weight:bold}"
             ".grid{stroke:#d9dee5;stroke-width:1}.axis{stroke:#5c6776;stroke-width:1}"
             ".frame{fill:none;stroke:#d9dee5}</style>\n"
             "<rect width=\"%.0f\" height=\"%.0f\" fill=\"#fff\"/>\n",
             width, height);
    return WHET_OK;
}

whet_status whet_i_svg_end(whet_ctx *ctx, whet_i_buf *out) {
    return whet_i_buf_append(ctx, out, "</svg>\n", 7);
}

/* ---- a panel ------------------------------------------------------------------------------- */

static double x_of(const whet_i_panel *p, double epoch) {
    return p->left + (epoch - p->x.low) / (p->x.high - p->x.low) * p->width;
}

static double y_of(const whet_i_panel *p, double y) {
    return p->top + (p->y.high - y) / (p->y.high - p->y.low) * p->height;
}

static double cell_x(const whet_i_panel *p, const whet_i_spreads *s, int64_t i) {
    return x_of(p, (double)(s->offset + i * s->stride));
}

whet_i_plot_axis whet_i_epoch_axis(int64_t epochs) {
    whet_i_plot_axis a = whet_i_plot_axis_over(0, epochs > 1 ? (double)(epochs - 1) : 1);
    if (a.step < 1) a = (whet_i_plot_axis){0, ceil(a.high), 1};
    return a;
}

static whet_status put_ticks(whet_ctx *ctx, whet_i_buf *out, const whet_i_panel *p) {
    const double bottom = p->top + p->height, right = p->left + p->width;
    for (int i = 0; i <= whet_i_plot_axis_count(p->y); i++) {
        const double value = whet_i_plot_axis_tick(p->y, i), y = y_of(p, value);
        WHET_PUT("<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
                 "<text class=\"soft small\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.7g</text>",
                 p->left, right, y, y, p->left - 6, y + 4, value);
    }
    for (int i = 0; i <= whet_i_plot_axis_count(p->x); i++) {
        const double value = whet_i_plot_axis_tick(p->x, i), x = x_of(p, value);
        WHET_PUT(
            "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text class=\"soft small\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.7g</text>",
            x, x, bottom, bottom + 4, x, bottom + 17, value);
    }
    WHET_PUT("\n");
    if (p->y.low < 0 && p->y.high > 0)
        WHET_PUT("<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n",
                 p->left, right, y_of(p, 0), y_of(p, 0));
    return WHET_OK;
}

whet_status whet_i_panel_begin(whet_ctx *ctx, whet_i_buf *out, const whet_i_panel *p,
                               const char *who, const char *what) {
    WHET_PUT("<text x=\"%.1f\" y=\"%.1f\"><tspan class=\"strong\">", p->left, p->top - 8);
    WHET_TRY(whet_i_html_cut(ctx, out, whet_str_from(who), NAME_MAX_SHOWN));
    WHET_PUT("</tspan>%s</text>\n", what);
    WHET_TRY(put_ticks(ctx, out, p));
    WHET_PUT("<clipPath id=\"%s%d\"><rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>"
             "</clipPath>\n<g clip-path=\"url(#%s%d)\">\n",
             p->figure, p->place, p->left - 1, p->top - 1, p->width + 2, p->height + 2, p->figure,
             p->place);
    return WHET_OK;
}

whet_status whet_i_panel_end(whet_ctx *ctx, whet_i_buf *out) {
    return whet_i_buf_append(ctx, out, "</g>\n", 5);
}

/* ---- what is in it ------------------------------------------------------------------------- */

whet_status whet_i_panel_band(whet_ctx *ctx, whet_i_buf *out, const whet_i_panel *p, whet_i_pen pen,
                              const whet_i_spreads *s, int64_t line) {
    const whet_i_spread *cells = whet_i_spreads_line(s, line);
    bool any = false;
    for (int64_t i = 0; i < s->n; i++) any = any || (cells[i].n && cells[i].low < cells[i].high);
    if (!any) return WHET_OK;
    WHET_PUT("<polygon fill=\"%s\" fill-opacity=\".16\" points=\"", pen.color);
    for (int64_t i = 0; i < s->n; i++)
        if (cells[i].n) WHET_PUT("%.1f,%.1f ", cell_x(p, s, i), y_of(p, cells[i].high));
    for (int64_t i = s->n - 1; i >= 0; i--)
        if (cells[i].n) WHET_PUT("%.1f,%.1f ", cell_x(p, s, i), y_of(p, cells[i].low));
    WHET_PUT("\"/>\n");
    return WHET_OK;
}

static double mean_of(const whet_i_spread *c) { return c->sum / (double)c->n; }

whet_status whet_i_panel_line(whet_ctx *ctx, whet_i_buf *out, const whet_i_panel *p, whet_i_pen pen,
                              const whet_i_spreads *s, int64_t line) {
    const whet_i_spread *cells = whet_i_spreads_line(s, line);
    int64_t n = 0;
    for (int64_t i = 0; i < s->n; i++) n += cells[i].n > 0;
    if (n < 2) return WHET_OK;
    WHET_PUT("<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"%.1f\" stroke-dasharray=\"%s\" "
             "stroke-linejoin=\"round\" points=\"",
             pen.color, pen.width, pen.dash);
    for (int64_t i = 0; i < s->n; i++)
        if (cells[i].n) WHET_PUT("%.1f,%.1f ", cell_x(p, s, i), y_of(p, mean_of(&cells[i])));
    WHET_PUT("\"/>\n");
    return WHET_OK;
}

static whet_status put_mark(whet_ctx *ctx, whet_i_buf *out, whet_i_pen pen, double x, double y,
                            bool filled) {
    static const char *const paths[] = {"m-3.4,0a3.4,3.4 0 1,0 6.8,0a3.4,3.4 0 1,0 -6.8,0z",
                                        "m-3,-3h6v6h-6z", "m0,-4.2l4.2,4.2l-4.2,4.2l-4.2,-4.2z",
                                        "m0,-4l4,7h-8z"};
    WHET_PUT("<path d=\"M%.1f,%.1f%s\" fill=\"%s\" stroke=\"%s\" stroke-width=\"1.2\"/>", x, y,
             paths[pen.shape], filled ? pen.color : "none", pen.color);
    return WHET_OK;
}

whet_status whet_i_panel_marks(whet_ctx *ctx, whet_i_buf *out, const whet_i_panel *p,
                               whet_i_pen pen, const whet_i_spreads *s,
                               const whet_i_spreads *filled, int64_t line) {
    const whet_i_spread *cells = whet_i_spreads_line(s, line);
    const whet_i_spread *fill = whet_i_spreads_line(filled, line);
    for (int64_t i = 0; i < s->n; i++)
        if (cells[i].n)
            WHET_TRY(put_mark(ctx, out, pen, cell_x(p, s, i), y_of(p, mean_of(&cells[i])),
                              fill[i].sum > 0));
    WHET_PUT("\n");
    return WHET_OK;
}

whet_status whet_i_panel_feet(whet_ctx *ctx, whet_i_buf *out, const whet_i_panel *p,
                              const whet_i_spreads *s, int64_t line, double most) {
    const whet_i_spread *cells = whet_i_spreads_line(s, line);
    const double room = p->width / (double)s->n, wide = fmin(5, fmax(1, 0.7 * room));
    for (int64_t i = 0; i < s->n; i++) {
        const double high = 14 * fmin(1, cells[i].sum / most);
        if (!cells[i].n || high <= 0) continue;
        WHET_PUT("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\" "
                 "fill-opacity=\".55\"/>",
                 cell_x(p, s, i) - wide / 2, p->top + p->height - high, wide, high,
                 whet_i_arm_pen(WHET_ARM_MARKET).color);
    }
    WHET_PUT("\n");
    return WHET_OK;
}

/* ---- legend -------------------------------------------------------------------------------- */

/* In characters of UTF-8, as many as are shown. */
static int64_t shown(const char *name) {
    int64_t n = 0;
    for (; *name; name++) n += ((unsigned char)*name & 0xc0) != 0x80;
    return n < NAME_MAX_SHOWN ? n : NAME_MAX_SHOWN;
}

void whet_i_legend_next(const char *name, double width, whet_i_place *next, whet_i_place *at) {
    const double need = 46 + 7.4 * (double)shown(name);
    if (next->x + need > width) *next = (whet_i_place){12, next->y + 18};
    *at = *next;
    next->x += need;
}

whet_status whet_i_legend_entry(whet_ctx *ctx, whet_i_buf *out, whet_i_pen pen, bool mark,
                                const char *name, whet_i_place at) {
    WHET_PUT("<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" "
             "stroke-width=\"%.1f\" stroke-dasharray=\"%s\"/>",
             at.x, at.x + 28, at.y, at.y, pen.color, pen.width, pen.dash);
    if (mark) WHET_TRY(put_mark(ctx, out, pen, at.x + 14, at.y, true));
    WHET_PUT("<text class=\"small\" x=\"%.1f\" y=\"%.1f\">", at.x + 34, at.y + 4);
    WHET_TRY(whet_i_html_cut(ctx, out, whet_str_from(name), NAME_MAX_SHOWN));
    WHET_PUT("</text>\n");
    return WHET_OK;
}
