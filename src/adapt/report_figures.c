/* SPDX-License-Identifier: Apache-2.0
 * The report's figures as SVG: candidates side by side, confusion matrix, reliability diagram.
 * Coordinates are user units of the viewBox; colours and fonts come from the page's style. */
#include <inttypes.h>
#include <math.h>

#include "adapt/report.h"

/* ---- candidates: dot and whisker ------------------------------------------------------------- */

typedef struct scale {
    double low, high; /* shares at the ends of the axis */
    double left, right;
} scale;

static double at(const scale *s, double share) {
    const double clipped = share < s->low ? s->low : share > s->high ? s->high : share;
    return s->left + (clipped - s->low) / (s->high - s->low) * (s->right - s->left);
}

/* Ends of the axis: all whiskers within, on tenths, at least three tenths apart. */
static scale candidates_scale(const whet_i_run *run) {
    double low = 1, high = 0;
    for (int64_t i = 0; i < run->n_candidates; i++) {
        const whet_i_candidate *c = &run->candidates[i];
        if (!c->info->available) continue;
        low = fmin(low, c->info->accuracy_low); /* NaN, where it was not compared, is passed over */
        high = fmax(high, c->info->accuracy_high);
        if (!c->tested) continue;
        low = fmin(low, c->test.accuracy_low);
        high = fmax(high, c->test.accuracy_high);
    }
    if (low > high) return (scale){0, 1, 190, 720};
    low = floor(low * 10) / 10;
    high = ceil(high * 10) / 10;
    if (high - low < 0.3) low = fmax(0, high - 0.3);
    if (high - low < 0.3) high = low + 0.3;
    return (scale){low, fmin(high, 1), 190, 720};
}

static whet_status whisker(whet_ctx *ctx, whet_i_buf *out, const scale *s, double y, double low,
                           double mid, double high, const char *kind, const char *what) {
    WHET_PUT("<g><title>%s %.1f %% (95 %%: %.1f to %.1f)</title>", what, 100 * mid, 100 * low,
             100 * high);
    WHET_PUT("<line class=\"%sl\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", kind,
             at(s, low), y, at(s, high), y);
    WHET_PUT("<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\"/></g>\n", kind, at(s, mid), y);
    return WHET_OK;
}

static whet_status candidates_axis(whet_ctx *ctx, whet_i_buf *out, const scale *s, double bottom) {
    const int first = (int)lround(s->low * 10), last = (int)lround(s->high * 10);
    for (int t = first; t <= last; t++) {
        const double x = at(s, t / 10.0);
        WHET_PUT("<line class=\"grid\" x1=\"%.1f\" y1=\"30\" x2=\"%.1f\" y2=\"%.1f\"/>", x, x,
                 bottom);
        WHET_PUT("<text class=\"soft small\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%d %%"
                 "</text>\n",
                 x, bottom + 17, t * 10);
    }
    return WHET_OK;
}

whet_status whet_i_figure_candidates(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run) {
    enum { ROW = 40, TOP = 36 };
    const scale s = candidates_scale(run);
    const double bottom = TOP + ROW * (double)run->n_candidates;
    bool tested = false;
    for (int64_t i = 0; i < run->n_candidates; i++) tested |= run->candidates[i].tested;
    WHET_PUT("<svg viewBox=\"0 0 760 %.0f\" width=\"760\" role=\"img\" aria-label=\"Accuracy of "
             "the candidates\">\n",
             bottom + 26);
    WHET_PUT("<circle class=\"m\" cx=\"196\" cy=\"13\" r=\"5\"/><text class=\"small\" x=\"207\" "
             "y=\"17\">cross-fitted on the labels</text>\n");
    if (tested)
        WHET_PUT("<circle class=\"o\" cx=\"382\" cy=\"13\" r=\"5\"/><text class=\"small\" x=\"393\""
                 " y=\"17\">test rows (never used to choose)</text>\n");
    WHET_TRY(candidates_axis(ctx, out, &s, bottom));
    for (int64_t i = 0; i < run->n_candidates; i++) {
        const whet_i_candidate *c = &run->candidates[i];
        const double y = TOP + ROW * ((double)i + 0.5);
        WHET_PUT("<text%s x=\"0\" y=\"%.1f\">", i == run->chosen ? " class=\"strong\"" : "", y + 4);
        WHET_TRY(whet_i_html_cut(ctx, out, whet_str_from(c->info->name), 22));
        WHET_PUT("%s</text>\n", i == run->chosen ? " \xe2\x97\x82" : "");
        if (!c->info->available) {
            WHET_PUT("<text class=\"soft small\" x=\"%.1f\" y=\"%.1f\">not available</text>\n",
                     s.left + 6, y + 4);
            continue;
        }
        const double upper = tested ? y - 8 : y;
        if (isfinite(c->info->accuracy))
            WHET_TRY(whisker(ctx, out, &s, upper, c->info->accuracy_low, c->info->accuracy,
                             c->info->accuracy_high, "m", "cross-fitted"));
        else
            WHET_PUT("<text class=\"soft small\" x=\"%.1f\" y=\"%.1f\">not compared</text>\n",
                     s.left + 6, upper + 4);
        if (c->tested)
            WHET_TRY(whisker(ctx, out, &s, y + 8, c->test.accuracy_low, c->test.accuracy,
                             c->test.accuracy_high, "o", "test"));
    }
    WHET_PUT("</svg>\n");
    return WHET_OK;
}

/* ---- confusion matrix ------------------------------------------------------------------------ */

static whet_status confusion_cell(whet_ctx *ctx, whet_i_buf *out, double x, double y, double size,
                                  int64_t count, double share) {
    if (count == 0) return WHET_OK;
    WHET_PUT("<rect class=\"m\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
             "fill-opacity=\"%.3f\"/>",
             x, y, size, size, 0.10 + 0.85 * share);
    if (size >= 18)
        WHET_PUT("<text class=\"%s%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%" PRId64
                 "</text>",
                 size < 30 ? "small " : "", share > 0.55 ? "on" : "", x + size / 2,
                 y + size / 2 + 4.5, count);
    WHET_PUT("\n");
    return WHET_OK;
}

static double widest_name(const whet_names *classes) {
    int64_t widest = 1;
    for (int64_t c = 0; c < whet_names_count(classes); c++) {
        const int64_t length = whet_names_get(classes, c).len;
        widest = length > widest ? length : widest;
    }
    return (double)(widest > 18 ? 18 : widest) * 6.9;
}

static whet_status confusion_names(whet_ctx *ctx, whet_i_buf *out, const whet_names *classes,
                                   double left, double top, double size) {
    const bool flat =
        widest_name(classes) < size; /* the names fit above their columns as they are */
    for (int64_t c = 0; c < whet_names_count(classes); c++) {
        const double middle = ((double)c + 0.5) * size;
        WHET_PUT("<text class=\"small\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", left - 7,
                 top + middle + 4);
        WHET_TRY(whet_i_html_cut(ctx, out, whet_names_get(classes, c), 18));
        WHET_PUT("</text>");
        if (flat)
            WHET_PUT("<text class=\"small\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">",
                     left + middle, top - 8);
        else
            WHET_PUT("<text class=\"small\" transform=\"translate(%.1f %.1f) rotate(-45)\">",
                     left + middle + 3, top - 8);
        WHET_TRY(whet_i_html_cut(ctx, out, whet_names_get(classes, c), 18));
        WHET_PUT("</text>\n");
    }
    return WHET_OK;
}

whet_status whet_i_figure_confusion(whet_ctx *ctx, whet_i_buf *out, const whet_names *classes,
                                    const int64_t *counts) {
    const int64_t k = whet_names_count(classes);
    const double size = fmin(64, fmax(17, floor(520.0 / (double)k)));
    const double name = widest_name(classes);
    const double left = 34 + name, top = 40 + name * 0.72, side = size * (double)k;
    const double width = left + side + name * 0.72 + 12, height = top + side + 6;
    WHET_PUT("<svg viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" role=\"img\" "
             "aria-label=\"Confusion matrix\">\n",
             width, height, width);
    WHET_PUT("<text class=\"soft small\" x=\"%.1f\" y=\"12\">predicted class</text>\n", left);
    WHET_PUT("<text class=\"soft small\" transform=\"translate(11 %.1f) rotate(-90)\" "
             "text-anchor=\"end\">true class</text>\n",
             top);
    for (int64_t i = 0; i < k; i++) {
        int64_t total = 0;
        for (int64_t j = 0; j < k; j++) total += counts[i * k + j];
        for (int64_t j = 0; j < k && total > 0; j++)
            WHET_TRY(confusion_cell(ctx, out, left + (double)j * size, top + (double)i * size, size,
                                    counts[i * k + j], (double)counts[i * k + j] / (double)total));
    }
    for (int64_t i = 0; i <= k; i++)
        WHET_PUT("<path class=\"grid\" d=\"M%.1f %.1fh%.1fM%.1f %.1fv%.1f\"/>\n", left,
                 top + (double)i * size, side, left + (double)i * size, top, side);
    WHET_TRY(confusion_names(ctx, out, classes, left, top, size));
    WHET_PUT("</svg>\n");
    return WHET_OK;
}

/* ---- reliability diagram --------------------------------------------------------------------- */

whet_status whet_i_figure_reliability(whet_ctx *ctx, whet_i_buf *out,
                                      const whet_reliability_bin *bins) {
    enum { SIDE = 320, LEFT = 52, TOP = 12 };
    int64_t most = 1;
    for (int b = 0; b < WHET_RELIABILITY_BINS; b++) most = bins[b].n > most ? bins[b].n : most;
    WHET_PUT("<svg viewBox=\"0 0 400 392\" width=\"400\" role=\"img\" "
             "aria-label=\"Reliability diagram\">\n");
    for (int t = 0; t <= 5; t++) {
        const double p = SIDE * t / 5.0;
        WHET_PUT("<path class=\"grid\" d=\"M%.1f %dv%dM%d %.1fh%d\"/>", LEFT + p, TOP, SIDE, LEFT,
                 TOP + p, SIDE);
        WHET_PUT("<text class=\"soft small\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%d</text>",
                 LEFT + p, TOP + SIDE + 17, t * 20);
        WHET_PUT("<text class=\"soft small\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%d</text>\n",
                 LEFT - 8, TOP + SIDE - p + 4, t * 20);
    }
    /* How many rows each bin holds: a mark without its weight misleads. */
    for (int b = 0; b < WHET_RELIABILITY_BINS; b++) {
        const double height = 70.0 * (double)bins[b].n / (double)most;
        WHET_PUT("<rect class=\"m\" fill-opacity=\".22\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                 "height=\"%.1f\"/>\n",
                 LEFT + SIDE * (b + 0.08) / WHET_RELIABILITY_BINS, TOP + SIDE - height,
                 SIDE * 0.84 / WHET_RELIABILITY_BINS, height);
    }
    WHET_PUT("<line class=\"dash\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n", LEFT, TOP + SIDE,
             LEFT + SIDE, TOP);
    for (int b = 0; b < WHET_RELIABILITY_BINS; b++) {
        if (bins[b].n == 0) continue;
        double low, high;
        whet_wilson((int64_t)llround(bins[b].accuracy * (double)bins[b].n), bins[b].n, &low, &high);
        const double x = LEFT + SIDE * bins[b].confidence;
        WHET_PUT("<g><title>said %.1f %%, right %.1f %% of %" PRId64 " rows</title>"
                 "<line class=\"ol\" stroke-opacity=\".55\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" "
                 "y2=\"%.1f\"/><circle class=\"o\" cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\"/></g>\n",
                 100 * bins[b].confidence, 100 * bins[b].accuracy, bins[b].n, x,
                 TOP + SIDE * (1 - low), x, TOP + SIDE * (1 - high), x,
                 TOP + SIDE * (1 - bins[b].accuracy));
    }
    WHET_PUT("<text class=\"soft small\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">probability "
             "given to the predicted class, %%</text>\n",
             LEFT + SIDE / 2, TOP + SIDE + 40);
    WHET_PUT("<text class=\"soft small\" transform=\"translate(12 %d) rotate(-90)\" "
             "text-anchor=\"middle\">how often it was right, %%</text>\n</svg>\n",
             TOP + SIDE / 2);
    return WHET_OK;
}
