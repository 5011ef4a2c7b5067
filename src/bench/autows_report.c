/* SPDX-License-Identifier: Apache-2.0
 * The comparison as a page: what it says, performance profiles, a table a set with the published figures
 * beside ours. */
#include <inttypes.h>
#include <math.h>

#include "bench/autows_i.h"

static const whet_i_autows_method *method_of(const whet_i_group *g) {
    return &whet_i_autows_methods[g->method];
}

/* ---- performance profiles ------------------------------------------------ */

enum { WIDTH = 760, HEIGHT = 420, LEFT = 56, RIGHT = 170, TOP = 16, BOTTOM = 44 };

/* Told apart without colour vision and in grey by their dashes (Okabe & Ito's colours). */
static const struct line_style {
    const char *color, *dash;
} styles[] = {{"#0072b2", ""},    {"#0072b2", "6 3"}, {"#0072b2", "2 3"}, {"#56b4e9", ""},
              {"#56b4e9", "6 3"}, {"#56b4e9", "2 3"}, {"#d55e00", ""},    {"#d55e00", "6 3"},
              {"#d55e00", "2 3"}, {"#e69f00", ""},    {"#e69f00", "6 3"}, {"#999999", ""},
              {"#999999", "6 3"}, {"#009e73", "6 3"}, {"#009e73", ""}};

static double x_of(int64_t point) {
    return LEFT + (double)point / (WHET_I_PROFILE_POINTS - 1) * (WIDTH - LEFT - RIGHT);
}
static double y_of(double share) { return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM); }

static whet_status put_axes(whet_ctx *ctx, whet_i_buf *out) {
    for (int i = 0; i <= 4; i++) {
        const double y = y_of(i / 4.), x = x_of(i * (WHET_I_PROFILE_POINTS - 1) / 4);
        WHET_PUT(
            "<line class=\"grid\" stroke=\"#ccc\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text class=\"soft small\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%d %%</text>"
            "<text class=\"soft small\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%d</text>\n",
            LEFT, WIDTH - RIGHT, y, y, LEFT - 8, y + 4, 25 * i, x, HEIGHT - BOTTOM + 18, i + 1);
    }
    WHET_PUT("<text class=\"soft\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">error at most this "
             "many times "
             "the least</text>\n",
             LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 6);
    return WHET_OK;
}

static double area_of(const whet_i_method_standing *m) {
    double sum = 0;
    for (int64_t p = 0; p < WHET_I_PROFILE_POINTS; p++) sum += m->profile[p];
    return sum;
}

/* Standing number `place` by area, the largest first. */
static int64_t by_area(const whet_i_autows_summary *s, int64_t place) {
    for (int64_t i = 0; i < s->standings; i++) {
        int64_t before = 0;
        for (int64_t j = 0; j < s->standings; j++) {
            const double own = area_of(&s->standing[i]), other = area_of(&s->standing[j]);
            before += other > own || (!(other < own) && j < i);
        }
        if (before == place) return i;
    }
    return 0;
}

static whet_status put_line(whet_ctx *ctx, whet_i_buf *out, const whet_i_method_standing *m,
                            int64_t place) {
    const struct line_style *style = &styles[m->method % WHET_COUNT_OF(styles)];
    const double key = TOP + 10 + 20. * (double)place;
    WHET_PUT("<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" stroke-dasharray=\"%s\" "
             "points=\"",
             style->color, style->dash);
    for (int64_t p = 0; p < WHET_I_PROFILE_POINTS; p++) {
        /* A step function: the share holds until the next point. */
        if (p) WHET_PUT("%.1f,%.1f ", x_of(p), y_of(m->profile[p - 1]));
        WHET_PUT("%.1f,%.1f ", x_of(p), y_of(m->profile[p]));
    }
    WHET_PUT(
        "\"/>\n<line stroke=\"%s\" stroke-width=\"2\" stroke-dasharray=\"%s\" x1=\"%d\" x2=\"%d\" "
        "y1=\"%.1f\" y2=\"%.1f\"/><text class=\"small\" x=\"%d\" y=\"%.1f\">%s</text>\n",
        style->color, style->dash, WIDTH - RIGHT + 12, WIDTH - RIGHT + 44, key, key,
        WIDTH - RIGHT + 50, key + 4, whet_i_autows_methods[m->method].name);
    return WHET_OK;
}

static whet_status put_profile(whet_ctx *ctx, const whet_i_autows_summary *s, whet_i_buf *out) {
    WHET_TRY(put_axes(ctx, out));
    for (int64_t place = 0; place < s->standings; place++) {
        const whet_i_method_standing *m = &s->standing[by_area(s, place)];
        if (m->problems) WHET_TRY(put_line(ctx, out, m, place));
    }
    return WHET_OK;
}

whet_status whet_i_autows_profile(whet_ctx *ctx, const whet_i_autows_summary *summary,
                                  whet_i_buf *out) {
    WHET_PUT("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
             "height=\"%d\" "
             "font-family=\"system-ui,'DejaVu Sans',sans-serif\" font-size=\"12\">\n"
             "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
             WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
    WHET_TRY(put_profile(ctx, summary, out));
    WHET_PUT("</svg>\n");
    return WHET_OK;
}

/* ---- what it says ------------------------------------------------ */

/* Sets on which the best weak supervision, in hindsight, is ahead of the best baseline; and by more than both
 * intervals. */
static void count_weak(const whet_i_autows_summary *s, int64_t *sets, int64_t *ahead,
                       int64_t *clearly) {
    *sets = *ahead = *clearly = 0;
    for (int64_t i = 0; i < s->verdicts; i++) {
        const whet_i_set_verdict *v = &s->verdict[i];
        if (v->baseline < 0 || v->weak < 0) continue;
        const whet_i_mean *b = &s->group[v->baseline].accuracy, *w = &s->group[v->weak].accuracy;
        (*sets)++;
        *ahead += w->mean > b->mean;
        *clearly += w->low > b->high;
    }
}

static whet_status put_answer(whet_ctx *ctx, const whet_i_autows_summary *s, whet_i_buf *out) {
    int64_t sets, ahead, clearly;
    count_weak(s, &sets, &ahead, &clearly);
    WHET_PUT("<h2>When does weak supervision help?</h2>\n<p>The best labelling method, chosen in "
             "hindsight, is "
             "ahead of the best baseline, chosen in hindsight, on %" PRId64 " of %" PRId64
             " sets, and by more than both 95 %% intervals on %" PRId64 ".",
             ahead, sets, clearly);
    if (s->gain.n)
        WHET_PUT(" What cross-fitting on the labels recommends, without hindsight, is at least as "
                 "good as that "
                 "baseline on %" PRId64 " of %" PRId64 " sets, and %+.1f points better on average.",
                 s->at_least, s->gain.n, 100 * s->gain.mean);
    if (s->over_single.n)
        WHET_PUT(" No single baseline is better over all sets than %s, on each with its best "
                 "feature map in "
                 "hindsight: than it the recommendation is at least as good on %" PRId64
                 " of %" PRId64 " sets, and %+.1f points better on average.",
                 whet_i_autows_methods[s->single].name, s->at_least_single, s->over_single.n,
                 100 * s->over_single.mean);
    WHET_PUT("</p>\n");
    return WHET_OK;
}

static whet_status put_best(whet_ctx *ctx, whet_i_buf *out, const whet_i_autows_summary *s,
                            int64_t at) {
    if (at < 0) {
        WHET_PUT("<td></td><td></td>");
        return WHET_OK;
    }
    const whet_i_group *g = &s->group[at];
    WHET_PUT("<td class=\"n\">%.1f</td><td class=\"soft\">%s, %s</td>", 100 * g->accuracy.mean,
             method_of(g)->name, whet_i_features[g->feature].name);
    return WHET_OK;
}

static whet_status put_verdicts(whet_ctx *ctx, const whet_i_autows_summary *s, whet_i_buf *out) {
    WHET_PUT(
        "<div class=\"wide\"><table><tr><th>set</th><th class=\"n\">best baseline</th><th></th>"
        "<th class=\"n\">best weak supervision</th><th></th><th class=\"n\">as "
        "published</th><th></th>"
        "<th class=\"n\">recommended</th><th class=\"n\">over the baseline</th></tr>\n");
    for (int64_t i = 0; i < s->verdicts; i++) {
        const whet_i_set_verdict *v = &s->verdict[i];
        WHET_PUT("<tr><td>%s</td>", whet_i_sets[v->set].name);
        WHET_TRY(put_best(ctx, out, s, v->baseline));
        WHET_TRY(put_best(ctx, out, s, v->weak));
        WHET_TRY(put_best(ctx, out, s, v->published));
        if (v->recommended.n)
            WHET_PUT("<td class=\"n\">%.1f</td>", 100 * v->recommended.mean);
        else
            WHET_PUT("<td></td>");
        if (v->gain.n > 1)
            WHET_PUT(
                "<td class=\"n\">%+.1f <span class=\"soft\">(%+.1f to %+.1f)</span></td></tr>\n",
                100 * v->gain.mean, 100 * v->gain.low, 100 * v->gain.high);
        else if (v->gain.n)
            WHET_PUT("<td class=\"n\">%+.1f</td></tr>\n", 100 * v->gain.mean);
        else
            WHET_PUT("<td></td></tr>\n");
    }
    WHET_PUT("</table></div>\n<p class=\"soft\">Accuracy over all test rows in per cent, a row "
             "without an "
             "answer counted as wrong; means over seeds. The first six are the best in hindsight "
             "of all feature "
             "maps; the recommendation knows the labels alone.</p>\n");
    return WHET_OK;
}

static whet_status put_standings(whet_ctx *ctx, const whet_i_autows_summary *s, whet_i_buf *out) {
    if (s->standings == 0 || s->standing[0].problems == 0) return WHET_OK;
    WHET_PUT("<h2>Performance profiles</h2>\n<p>Over %" PRId64
             " pairs of set and feature map: the share of "
             "them on which a method's error is at most so many times the least of all methods "
             "there.</p>\n"
             "<svg viewBox=\"0 0 %d %d\" role=\"img\">\n",
             s->standing[0].problems, WIDTH, HEIGHT);
    WHET_TRY(put_profile(ctx, s, out));
    WHET_PUT("</svg>\n<table><tr><th>method</th><th></th><th class=\"n\">mean rank</th>"
             "<th class=\"n\">mean accuracy</th><th class=\"n\">best on</th></tr>\n");
    for (int64_t i = 0; i < s->standings; i++) {
        const whet_i_method_standing *m = &s->standing[i];
        WHET_PUT("<tr><td>%s</td><td class=\"soft\">%s</td><td class=\"n\">%.2f</td><td "
                 "class=\"n\">%.1f</td>"
                 "<td class=\"n\">%.0f %%</td></tr>\n",
                 whet_i_autows_methods[m->method].name, whet_i_autows_methods[m->method].title,
                 m->rank, 100 * m->accuracy, 100 * m->profile[0]);
    }
    WHET_PUT("</table>\n");
    return WHET_OK;
}

/* ---- a set's table ------------------------------------------------ */

static whet_status put_share(whet_ctx *ctx, whet_i_buf *out, const whet_i_mean *m) {
    if (!isfinite(m->mean))
        WHET_PUT("<td></td>");
    else if (isfinite(m->low))
        WHET_PUT("<td class=\"n\">%.1f <span class=\"soft\">&plusmn;%.1f</span></td>",
                 100 * m->mean, 50 * (m->high - m->low));
    else
        WHET_PUT("<td class=\"n\">%.1f</td>", 100 * m->mean);
    return WHET_OK;
}

static whet_status put_group(whet_ctx *ctx, whet_i_buf *out, const whet_i_group *g) {
    const whet_i_published p =
        whet_i_autows_published(&whet_i_sets[g->set], &whet_i_features[g->feature], method_of(g));
    WHET_PUT("<tr><td>%s</td><td>%s</td>", method_of(g)->name, whet_i_features[g->feature].name);
    WHET_TRY(put_share(ctx, out, &g->covered_accuracy));
    WHET_TRY(put_share(ctx, out, &g->coverage));
    WHET_TRY(put_share(ctx, out, &g->accuracy));
    WHET_TRY(put_share(ctx, out, &g->end_accuracy));
    if (isfinite(g->log_loss.mean))
        WHET_PUT("<td class=\"n\">%.3f</td>", g->log_loss.mean);
    else
        WHET_PUT("<td></td>");
    WHET_PUT("<td class=\"n\">%.2f</td><td class=\"n\">%.0f</td>", g->seconds, g->megabytes);
    if (isfinite(p.accuracy))
        WHET_PUT("<td class=\"n soft\">%.1f at %.0f %%</td>", 100 * p.accuracy, 100 * p.coverage);
    else
        WHET_PUT("<td></td>");
    WHET_PUT("</tr>\n");
    return WHET_OK;
}

static whet_status put_set(whet_ctx *ctx, const whet_i_autows_summary *s, int32_t set,
                           whet_i_buf *out) {
    WHET_PUT(
        "<details><summary>%s</summary>\n<div "
        "class=\"wide\"><table><tr><th>method</th><th>features</th>"
        "<th class=\"n\">on covered rows</th><th class=\"n\">coverage</th><th class=\"n\">on all "
        "rows</th>"
        "<th class=\"n\">end model</th><th class=\"n\">log loss</th><th class=\"n\">seconds</th>"
        "<th class=\"n\">MB</th><th class=\"n\">published%s</th></tr>\n",
        whet_i_sets[set].name, whet_i_sets[set].similar ? ", of a similar set" : "");
    int64_t failed = 0;
    for (int64_t i = 0; i < s->groups; i++) {
        if (s->group[i].set != set) continue;
        failed += s->group[i].failed;
        WHET_TRY(put_group(ctx, out, &s->group[i]));
    }
    WHET_PUT("</table></div>\n");
    if (failed)
        WHET_PUT("<p class=\"soft\">%" PRId64 " cells failed; cells.jsonl says why.</p>\n", failed);
    WHET_PUT("</details>\n");
    return WHET_OK;
}

whet_status whet_i_autows_html(whet_ctx *ctx, const whet_i_autows_summary *summary,
                               const json_t *settings, whet_i_buf *out) {
    WHET_TRY(whet_i_html_head(ctx, out, "What a hundred labels give"));
    WHET_PUT("<h1>What a hundred labels give</h1>\n<p class=\"soft\">Baselines and automated weak "
             "supervision "
             "on %" PRId64
             " sets; %lld labels, at most %lld further rows without, at most %lld test "
             "rows.</p>\n",
             summary->verdicts, (long long)json_integer_value(json_object_get(settings, "labels")),
             (long long)json_integer_value(json_object_get(settings, "pool")),
             (long long)json_integer_value(json_object_get(settings, "test")));
    WHET_TRY(put_answer(ctx, summary, out));
    WHET_TRY(put_verdicts(ctx, summary, out));
    WHET_TRY(put_standings(ctx, summary, out));
    WHET_PUT("<h2>Set by set</h2>\n<p class=\"soft\">Means over seeds with half their 95 %% "
             "interval; published: "
             "accuracy on covered rows at a coverage, of AutoWS-Bench-101, on its own rows and "
             "networks.</p>\n");
    for (int64_t i = 0; i < summary->verdicts; i++)
        WHET_TRY(put_set(ctx, summary, summary->verdict[i].set, out));
    WHET_PUT("</body>\n</html>\n");
    return WHET_OK;
}
