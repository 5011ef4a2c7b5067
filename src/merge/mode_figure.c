/* SPDX-License-Identifier: Apache-2.0
 * The losses along the lines between two networks, as SVG. */
#include <math.h>

#include "merge/align_files.h"

enum { WIDTH = 640, HEIGHT = 396, LEFT = 56, RIGHT = 20, TOP = 20, BOTTOM = 108, TICKS = 5 };

static const char *const COLORS[] = {"#a33", "#36c", "#d90", "#293", "#77a", "#085"};

static double highest(const whet_align_result *r) {
    double most = 1e-9;
    for (int l = 0; l < WHET_LINES; l++)
        for (int64_t i = 0; r->lines[l] && i < r->points; i++)
            if (isfinite(r->lines[l][i].loss)) most = fmax(most, r->lines[l][i].loss);
    return most;
}

static double x_of(double weight) { return LEFT + weight * (WIDTH - LEFT - RIGHT); }
static double y_of(double loss, double most) {
    return TOP + (1 - (isfinite(loss) ? loss : most) / most) * (HEIGHT - TOP - BOTTOM);
}

static whet_status axes(whet_ctx *ctx, double most, whet_i_buf *out) {
    for (int i = 0; i <= TICKS; i++) {
        const double loss = most * i / TICKS, y = y_of(loss, most);
        WHET_TRY(
            whet_i_buf_printf(ctx, out,
                              "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>"
                              "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.3g</text>\n",
                              LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, loss));
        WHET_TRY(whet_i_buf_printf(
            ctx, out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n",
            x_of((double)i / TICKS), HEIGHT - BOTTOM + 18, (double)i / TICKS));
    }
    return whet_i_buf_printf(ctx, out,
                             "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">share of the second "
                             "network; loss</text>\n",
                             WIDTH / 2, HEIGHT - BOTTOM + 36);
}

static whet_status line(whet_ctx *ctx, const whet_align_result *r, int l, double most,
                        whet_i_buf *out) {
    const int y = HEIGHT - BOTTOM + 52 + 16 * (l / 2), x = LEFT + (l % 2) * 290;
    WHET_TRY(whet_i_buf_printf(ctx, out,
                               "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" "
                               "points=\"",
                               COLORS[l]));
    for (int64_t i = 0; i < r->points; i++)
        WHET_TRY(whet_i_buf_printf(ctx, out, "%.1f,%.1f ", x_of(r->lines[l][i].weight),
                                   y_of(r->lines[l][i].loss, most)));
    return whet_i_buf_printf(
        ctx, out,
        "\"/>\n<line x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\" stroke=\"%s\" "
        "stroke-width=\"2\"/><text x=\"%d\" y=\"%d\">%s (barrier %.3g)</text>\n",
        x, x + 18, y - 4, y - 4, COLORS[l], x + 24, y, whet_align_line_name((whet_align_line)l),
        r->barrier[l]);
}

whet_status whet_i_mode_figure(whet_ctx *ctx, const whet_align_result *r, whet_i_buf *out) {
    const double most = highest(r);
    WHET_TRY(
        whet_i_buf_printf(ctx, out,
                          "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                          "font-family=\"sans-serif\" font-size=\"12\">\n"
                          "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
                          WIDTH, HEIGHT));
    WHET_TRY(axes(ctx, most, out));
    for (int l = 0; l < WHET_LINES; l++)
        if (r->lines[l]) WHET_TRY(line(ctx, r, l, most, out));
    return whet_i_buf_printf(ctx, out, "</svg>\n");
}
