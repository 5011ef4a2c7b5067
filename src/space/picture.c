/* SPDX-License-Identifier: Apache-2.0
 * The picture of an evaluation, as SVG: mean squared distance from prediction to label by how many
 * rows have that label (in powers of two: 1, 2-3, 4-7, ..), for the Frechet mean and for argmax,
 * seen and unseen labels apart. Trees: picture_tree.c adds where the mass went. */
#include <math.h>

#include "space/picture_i.h"

enum { BINS = 40, LEFT = 70, RIGHT = 24, TOP = 58, BOTTOM = 300, HEAD = 340 };

/* One line of the picture: a prediction over rows whose label is seen, or unseen. */
typedef struct line {
    double sum[BINS];
    int64_t rows[BINS];
} line;

typedef struct frequency {
    line lines[2][2]; /* [frechet, argmax] [seen, unseen] */
    int last;         /* the highest bin that has rows */
    double most;      /* the highest mean */
} frequency;

static const char *const COLOUR[2] = {PICTURE_FRECHET, PICTURE_ARGMAX};
static const char *const METHOD[2] = {"Frechet mean", "argmax"};

whet_status whet_i_svg_text(whet_ctx *ctx, whet_i_buf *svg, whet_str text, int64_t most) {
    int64_t i = 0, characters = 0;
    for (; i < text.len && characters < most; i++) {
        const unsigned char c = (unsigned char)text.ptr[i];
        /* A character begins at every byte that does not continue one. */
        if ((c & 0xC0) != 0x80) characters++;
        const char *safe = c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : NULL;
        if (safe)
            WHET_TRY(whet_i_buf_printf(ctx, svg, "%s", safe));
        else
            WHET_TRY(whet_i_buf_append(ctx, svg, c < ' ' ? " " : text.ptr + i, 1));
    }
    while (i < text.len && ((unsigned char)text.ptr[i] & 0xC0) == 0x80) {
        WHET_TRY(whet_i_buf_append(ctx, svg, text.ptr + i, 1));
        i++;
    }
    return i < text.len ? whet_i_buf_printf(ctx, svg, "\xE2\x80\xA6") : WHET_OK;
}

/* ---- counting -------------------------------------------------------------------------------- */

static int bin_of(int64_t rows) {
    int bin = 0;
    while (rows > 1 && bin < BINS - 1) {
        rows >>= 1;
        bin++;
    }
    return bin;
}

static whet_status add_method(whet_ctx *ctx, const whet_label_set *set, const whet_space_picture *p,
                              const int64_t *count, const bool *observed, int method,
                              frequency *out) {
    const int64_t *best = method == 0 ? p->frechet : p->argmax;
    whet_status status = WHET_OK;
    int64_t *from = NULL, *to = NULL, n = 0;
    double *distance = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, p->rows, &from));
    WHET_TRY_DONE(whet_i_alloc(ctx, p->rows, &to));
    WHET_TRY_DONE(whet_i_alloc(ctx, p->rows, &distance));
    for (int64_t r = 0; r < p->rows; r++) {
        if (p->truth[r] < 0) continue;
        from[n] = best[r];
        to[n++] = p->truth[r];
    }
    WHET_TRY_DONE(whet_space_distances(ctx, set->space, from, to, n, distance));
    for (int64_t i = 0; i < n; i++) {
        line *l = &out->lines[method][observed[to[i]] ? 0 : 1];
        const int bin = bin_of(count[to[i]]);
        l->sum[bin] += distance[i] * distance[i];
        l->rows[bin]++;
        if (bin > out->last) out->last = bin;
    }
done:
    whet_i_free(ctx, distance);
    whet_i_free(ctx, to);
    whet_i_free(ctx, from);
    return status;
}

static whet_status count_all(whet_ctx *ctx, const whet_label_set *set, const whet_space_picture *p,
                             frequency *out) {
    whet_status status = WHET_OK;
    int64_t *count = NULL;
    bool *observed = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, set->space->n, &count));
    WHET_TRY_DONE(whet_i_calloc(ctx, set->space->n, &observed));
    for (int64_t j = 0; j < set->k; j++) observed[set->observed[j]] = true;
    for (int64_t r = 0; r < p->rows; r++)
        if (p->truth[r] >= 0) count[p->truth[r]]++;
    for (int m = 0; m < 2; m++) WHET_TRY_DONE(add_method(ctx, set, p, count, observed, m, out));
    for (int i = 0; i < 4; i++) {
        const line *l = &out->lines[i / 2][i % 2];
        for (int b = 0; b <= out->last; b++)
            if (l->rows[b]) out->most = fmax(out->most, l->sum[b] / (double)l->rows[b]);
    }
done:
    whet_i_free(ctx, observed);
    whet_i_free(ctx, count);
    return status;
}

/* ---- drawing --------------------------------------------------------------------------------- */

/* The least of 1, 2, 5 x 10^n whose quarter steps reach over the highest mean. */
static double axis_end(double most) {
    if (!(most > 0)) return 1;
    const double unit = pow(10, floor(log10(most)));
    return most <= unit       ? unit
           : most <= 2 * unit ? 2 * unit
           : most <= 5 * unit ? 5 * unit
                              : 10 * unit;
}

static double x_of(const frequency *q, int bin) {
    return LEFT + (bin + 0.5) * (PICTURE_WIDTH - LEFT - RIGHT) / (q->last + 1);
}

static double y_of(double end, double mean) { return BOTTOM - mean / end * (BOTTOM - TOP); }

static whet_status axes(whet_ctx *ctx, const frequency *q, double end, whet_i_buf *svg) {
    for (int i = 0; i <= 4; i++) {
        const double y = y_of(end, end * i / 4);
        WHET_TRY(whet_i_buf_printf(ctx, svg,
                                   "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" "
                                   "stroke=\"#ddd\"/><text x=\"%d\" y=\"%.1f\" "
                                   "text-anchor=\"end\">%.3g</text>\n",
                                   LEFT, PICTURE_WIDTH - RIGHT, y, y, LEFT - 8, y + 4,
                                   end * i / 4));
    }
    for (int b = 0; b <= q->last; b++) {
        const long long from = 1LL << b, to = (2LL << b) - 1;
        WHET_TRY(whet_i_buf_printf(ctx, svg, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">",
                                   x_of(q, b), BOTTOM + 18));
        if (from == to)
            WHET_TRY(whet_i_buf_printf(ctx, svg, "%lld</text>\n", from));
        else
            WHET_TRY(whet_i_buf_printf(ctx, svg, "%lld\xE2\x80\x93%lld</text>\n", from, to));
    }
    return whet_i_buf_printf(
        ctx, svg,
        "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">rows that have the label</text>\n"
        "<text x=\"%d\" y=\"20\" font-weight=\"bold\">Mean squared distance from prediction to "
        "label</text>\n",
        (LEFT + PICTURE_WIDTH - RIGHT) / 2, BOTTOM + 36, LEFT - 50);
}

static whet_status draw_line(whet_ctx *ctx, const frequency *q, double end, int method, int unseen,
                             whet_i_buf *svg) {
    const line *l = &q->lines[method][unseen];
    WHET_TRY(whet_i_buf_printf(
        ctx, svg, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.8\"%s points=\"",
        COLOUR[method], unseen ? " stroke-dasharray=\"5 4\"" : ""));
    for (int b = 0; b <= q->last; b++)
        if (l->rows[b])
            WHET_TRY(whet_i_buf_printf(ctx, svg, "%.1f,%.1f ", x_of(q, b),
                                       y_of(end, l->sum[b] / (double)l->rows[b])));
    WHET_TRY(whet_i_buf_printf(ctx, svg, "\"/>\n"));
    for (int b = 0; b <= q->last; b++) {
        if (!l->rows[b]) continue;
        const double mean = l->sum[b] / (double)l->rows[b];
        WHET_TRY(whet_i_buf_printf(
            ctx, svg,
            "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\" fill=\"%s\" stroke=\"%s\" "
            "stroke-width=\"1.8\"><title>%s, %s labels: %.6g over %lld rows</title></circle>\n",
            x_of(q, b), y_of(end, mean), unseen ? "#fff" : COLOUR[method], COLOUR[method],
            METHOD[method], unseen ? "unseen" : "seen", mean, (long long)l->rows[b]));
    }
    return WHET_OK;
}

static bool has_rows(const frequency *q, int unseen) {
    for (int b = 0; b <= q->last; b++)
        if (q->lines[0][unseen].rows[b]) return true;
    return false;
}

static whet_status legend(whet_ctx *ctx, const frequency *q, whet_i_buf *svg) {
    int x = LEFT;
    for (int method = 0; method < 2; method++) {
        for (int unseen = 0; unseen < 2; unseen++) {
            if (!has_rows(q, unseen)) continue;
            WHET_TRY(
                whet_i_buf_printf(ctx, svg,
                                  "<circle cx=\"%d\" cy=\"38\" r=\"4.5\" fill=\"%s\" stroke=\"%s\" "
                                  "stroke-width=\"1.8\"/><text x=\"%d\" y=\"42\">%s, %s</text>\n",
                                  x, unseen ? "#fff" : COLOUR[method], COLOUR[method], x + 10,
                                  METHOD[method], unseen ? "unseen" : "seen"));
            x += 160;
        }
    }
    return WHET_OK;
}

static whet_status draw(whet_ctx *ctx, const whet_label_set *set, const whet_space_picture *p,
                        const frequency *q, whet_i_buf *svg) {
    const double end = axis_end(q->most);
    double height = HEAD + 10;
    whet_i_buf body = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(axes(ctx, q, end, &body));
    WHET_TRY_DONE(legend(ctx, q, &body));
    for (int method = 1; method >= 0; method--)
        for (int unseen = 0; unseen < 2; unseen++)
            if (has_rows(q, unseen)) WHET_TRY_DONE(draw_line(ctx, q, end, method, unseen, &body));
    if (set->space->kind == SPACE_TREE)
        WHET_TRY_DONE(whet_i_picture_tree(ctx, set, p, &body, &height));
    WHET_TRY_DONE(
        whet_i_buf_printf(ctx, svg,
                          "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d "
                          "%.0f\" width=\"%d\" height=\"%.0f\" font-family=\"sans-serif\" "
                          "font-size=\"12\" fill=\"#333\"><rect width=\"%d\" "
                          "height=\"%.0f\" fill=\"#fff\"/>\n",
                          PICTURE_WIDTH, height, PICTURE_WIDTH, height, PICTURE_WIDTH, height));
    WHET_TRY_DONE(whet_i_buf_append(ctx, svg, body.data, body.len));
    WHET_TRY_DONE(whet_i_buf_printf(ctx, svg, "</svg>\n"));
done:
    whet_i_buf_free(ctx, &body);
    return status;
}

whet_status whet_space_draw(whet_ctx *ctx, const whet_label_set *set, const whet_space_picture *p,
                            const char *path, bool force) {
    whet_status status = WHET_OK;
    frequency *q = NULL;
    whet_i_buf svg = {0};
    whet_out *out = NULL;
    int64_t labels = 0;
    for (int64_t r = 0; r < p->rows; r++) labels += p->truth[r] >= 0;
    if (labels == 0)
        return whet_i_fail(ctx, WHET_ERR_DATA, "%s: no row has a label; expected one or more",
                           path);
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &q));
    WHET_TRY_DONE(count_all(ctx, set, p, q));
    WHET_TRY_DONE(draw(ctx, set, p, q, &svg));
    WHET_TRY_DONE(whet_out_open(ctx, path, force, &out));
    WHET_TRY_DONE(whet_out_write(ctx, out, svg.data, svg.len));
    status = whet_out_commit(ctx, out);
    out = NULL;
done:
    whet_out_abort(ctx, out);
    whet_i_buf_free(ctx, &svg);
    whet_i_free(ctx, q);
    return status;
}
