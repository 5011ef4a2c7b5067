/* SPDX-License-Identifier: Apache-2.0
 * The report about votes: tiles, the table of rules, coverage against accuracy as dots, agreement as
 * shades, pairs that hang together. Names come from files and are escaped.
 * Legend: m rules, k classes. */
#include "label/vote_report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { MOST_SHADES = 60, MOST_NAME = 40 };

typedef struct report {
    const whet_label_analysis *a;
    whet_label_model_info info;
    const char *votes;
    int64_t m, k;
} report;

static whet_status rule_name(whet_ctx *ctx, whet_i_buf *out, const report *r, int64_t j) {
    if (!r->a->rule_names) return whet_i_buf_printf(ctx, out, "%" PRId64, j);
    return whet_i_html_cut(ctx, out, whet_names_get(r->a->rule_names, j), MOST_NAME);
}

static whet_status class_name(whet_ctx *ctx, whet_i_buf *out, const report *r, int64_t c) {
    if (!r->a->classes) return whet_i_buf_printf(ctx, out, "%" PRId64, c);
    return whet_i_html_cut(ctx, out, whet_names_get(r->a->classes, c), MOST_NAME);
}

static double share(int64_t part, int64_t whole) {
    return whole ? (double)part / (double)whole : 0;
}

static whet_status tile(whet_ctx *ctx, whet_i_buf *out, int64_t part, int64_t whole,
                        const char *what) {
    char count[WHET_COUNT_SIZE];
    WHET_PUT("<div class=\"tile\"><b>%.1f %%</b><span>%s: %s rows</span></div>\n",
             100 * share(part, whole), what, whet_i_count(count, part));
    return WHET_OK;
}

static whet_status tiles(whet_ctx *ctx, whet_i_buf *out, const report *r) {
    char rows[WHET_COUNT_SIZE];
    const whet_votes_totals *t = &r->a->totals;
    WHET_PUT("<h1>Votes of %" PRId64 " rules</h1>\n<p class=\"soft\">", r->m);
    WHET_TRY(whet_i_html(ctx, out, whet_str_from(r->votes)));
    WHET_PUT(": %s rows, %" PRId64 " classes", whet_i_count(rows, t->rows), r->k);
    if (r->a->truth) WHET_PUT(", %s of known class", whet_i_count(rows, t->labelled));
    WHET_PUT("</p>\n<div class=\"tiles\">\n");
    WHET_TRY(tile(ctx, out, t->covered, t->rows, "with a vote"));
    WHET_TRY(tile(ctx, out, t->overlapping, t->rows, "with two or more"));
    WHET_TRY(tile(ctx, out, t->conflicting, t->rows, "with votes against each other"));
    WHET_PUT("</div>\n");
    return WHET_OK;
}

static whet_status rule_row(whet_ctx *ctx, whet_i_buf *out, const report *r, int64_t j) {
    const whet_rule_summary *s = &r->a->rules[j];
    const int64_t n = r->a->totals.rows;
    bool first = true;
    WHET_PUT("<tr><td>");
    WHET_TRY(rule_name(ctx, out, r, j));
    WHET_PUT("</td><td>");
    for (int64_t c = 0; c < r->k; c++) {
        if (r->a->vote_counts[j * r->k + c] == 0) continue;
        WHET_PUT("%s", first ? "" : ", ");
        WHET_TRY(class_name(ctx, out, r, c));
        first = false;
    }
    WHET_PUT("%s</td><td class=\"n\">%.4f</td><td class=\"n\">%.4f</td><td class=\"n\">%.4f</td>",
             first ? "never votes" : "", share(s->votes, n), share(s->overlaps, n),
             share(s->conflicts, n));
    if (r->a->truth && s->correct + s->incorrect)
        WHET_PUT("<td class=\"n\">%" PRId64 "</td><td class=\"n\">%" PRId64
                 "</td><td class=\"n\">%.4f</td><td class=\"n soft\">%.3f to %.3f</td>",
                 s->correct, s->incorrect, s->accuracy, s->accuracy_low, s->accuracy_high);
    else if (r->a->truth)
        WHET_PUT("<td class=\"n\">0</td><td class=\"n\">0</td><td></td><td></td>");
    if (isnan(r->info.accuracy[j]))
        WHET_PUT("<td></td></tr>\n");
    else
        WHET_PUT("<td class=\"n\">%.4f</td></tr>\n", r->info.accuracy[j]);
    return WHET_OK;
}

static whet_status rules_table(whet_ctx *ctx, whet_i_buf *out, const report *r) {
    WHET_PUT("<h2>Rules</h2>\n<div class=\"wide\"><table><tr><th>rule</th><th>votes for</th>"
             "<th class=\"n\">coverage</th><th class=\"n\">overlaps</th>"
             "<th class=\"n\">conflicts</th>");
    if (r->a->truth)
        WHET_PUT("<th class=\"n\">correct</th><th class=\"n\">incorrect</th>"
                 "<th class=\"n\">accuracy</th><th class=\"n\">95 %%</th>");
    WHET_PUT("<th class=\"n\">learned (%s)</th></tr>\n", whet_label_method_name(r->info.method));
    for (int64_t j = 0; j < r->m; j++) WHET_TRY(rule_row(ctx, out, r, j));
    WHET_PUT("</table></div>\n");
    return WHET_OK;
}

/* What a fifth of the axis of coverage is, in per cent: 20, or 10, 5, 2, 1, .5, ... when all rules fit. */
static double coverage_step(const report *r) {
    static const double smaller[3] = {2, 2, 2.5}; /* 20, 10, 5, 2, 1, ... */
    double most = 0, step = 20;
    for (int64_t j = 0; j < r->m; j++)
        most = fmax(most, 100 * share(r->a->rules[j].votes, r->a->totals.rows));
    for (int at = 0; at < 12 && most > 0 && most <= 5 * step / smaller[at % 3]; at++)
        step /= smaller[at % 3];
    return step;
}

/* Each rule as a dot: coverage to the right, accuracy up; the learned one as a ring where both are
 * known. */
static whet_status dots(whet_ctx *ctx, whet_i_buf *out, const report *r) {
    const double step = coverage_step(r);
    WHET_PUT("<h2>Coverage and accuracy</h2>\n<svg viewBox=\"0 0 720 330\" role=\"img\">\n");
    for (int t = 0; t <= 5; t++) {
        const double x = 60 + 124.0 * t, y = 280 - 50.0 * t;
        WHET_PUT("<line class=\"grid\" x1=\"60\" y1=\"%.0f\" x2=\"680\" y2=\"%.0f\"/>"
                 "<text class=\"soft small\" x=\"50\" y=\"%.0f\" text-anchor=\"end\">%d %%</text>"
                 "<text class=\"soft small\" x=\"%.0f\" y=\"300\" text-anchor=\"middle\">%.3g %%"
                 "</text>\n",
                 y, y, y + 4, 20 * t, x, step * t);
    }
    WHET_PUT("<text class=\"soft\" x=\"370\" y=\"322\" text-anchor=\"middle\">coverage%s</text>\n",
             r->a->truth ? "; filled: accuracy on rows of known class, ring: learned" : "");
    for (int64_t j = 0; j < r->m; j++) {
        const whet_rule_summary *s = &r->a->rules[j];
        const double x = 60 + 620 * share(s->votes, r->a->totals.rows) * (20 / step);
        const bool known = r->a->truth && s->correct + s->incorrect;
        if (!isnan(r->info.accuracy[j]) && s->votes)
            WHET_PUT("<circle class=\"ol\" fill=\"none\" cx=\"%.1f\" cy=\"%.1f\" r=\"6\"/>\n", x,
                     280 - 250 * r->info.accuracy[j]);
        if (!known) continue;
        WHET_PUT("<g><title>");
        WHET_TRY(rule_name(ctx, out, r, j));
        WHET_PUT(": %.3f of %" PRId64 "</title><circle class=\"m\" cx=\"%.1f\" cy=\"%.1f\" "
                 "r=\"4\"/></g>\n",
                 s->accuracy, s->correct + s->incorrect, x, 280 - 250 * s->accuracy);
    }
    WHET_PUT("</svg>\n");
    return WHET_OK;
}

/* Shares of agreement of the first rules, where both vote. */
static whet_status shades(whet_ctx *ctx, whet_i_buf *out, const report *r) {
    const int64_t m = r->m < MOST_SHADES ? r->m : MOST_SHADES;
    const double size = m > 20 ? 640.0 / (double)m : 32, left = 40, top = 24;
    WHET_PUT(
        "<h2>Agreement</h2>\n<p class=\"soft\">Of the rows on which both rules vote, the share "
        "on which they vote alike; empty where they never meet.%s</p>\n",
        r->m > m ? " The first 60 rules." : "");
    WHET_PUT("<svg viewBox=\"0 0 720 %.0f\" role=\"img\">\n", top + size * (double)m + 10);
    for (int64_t a = 0; a < m; a++) {
        if (m <= 30)
            WHET_PUT("<text class=\"soft small\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%" PRId64
                     "</text><text class=\"soft small\" x=\"%.1f\" y=\"18\" "
                     "text-anchor=\"middle\">%" PRId64 "</text>\n",
                     left - 6, top + size * ((double)a + .62), a, left + size * ((double)a + .5),
                     a);
        for (int64_t b = 0; b < m; b++) {
            const int64_t both = r->a->both[a * r->m + b], agree = r->a->agree[a * r->m + b];
            const double x = left + size * (double)b, y = top + size * (double)a;
            WHET_PUT("<rect class=\"frame\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
                     x, y, size, size);
            if (both == 0) continue;
            WHET_PUT("<g><title>%" PRId64 " and %" PRId64 ": %.3f of %" PRId64
                     "</title><rect class=\"m\" fill-opacity=\"%.3f\" x=\"%.1f\" y=\"%.1f\" "
                     "width=\"%.1f\" height=\"%.1f\"/></g>\n",
                     a, b, share(agree, both), both, share(agree, both), x, y, size, size);
        }
    }
    WHET_PUT("</svg>\n");
    return WHET_OK;
}

static whet_status pairs(whet_ctx *ctx, whet_i_buf *out, const report *r) {
    const int64_t shown =
        r->a->n_dependences < WHET_LABEL_DEPENDENCES ? r->a->n_dependences : WHET_LABEL_DEPENDENCES;
    WHET_PUT("<h2>Rules that hang together</h2>\n");
    if (shown == 0) {
        WHET_PUT("<p>No two rules meet or agree more often than their accuracies explain.</p>\n");
        return WHET_OK;
    }
    WHET_PUT("<p>%" PRId64 " pairs meet or agree more often than independent rules of their "
             "accuracies would. Such rules count as if each had seen the row by itself.</p>\n"
             "<div class=\"wide\"><table><tr><th>rules</th><th class=\"n\">agree</th>"
             "<th class=\"n\">expected</th><th class=\"n\">both vote</th><th class=\"n\">expected"
             "</th></tr>\n",
             r->a->n_dependences);
    for (int64_t i = 0; i < shown; i++) {
        const whet_rule_dependence *d = &r->a->dependences[i];
        WHET_PUT("<tr><td>");
        WHET_TRY(rule_name(ctx, out, r, d->a));
        WHET_PUT(" and ");
        WHET_TRY(rule_name(ctx, out, r, d->b));
        WHET_PUT("</td><td class=\"n\">%.4f</td><td class=\"n\">%.4f</td><td class=\"n\">%" PRId64
                 "</td><td class=\"n\">%.1f</td></tr>\n",
                 d->agreement, d->expected_agreement, d->both, d->expected_both);
    }
    WHET_PUT("</table></div>\n");
    return WHET_OK;
}

static whet_status document(whet_ctx *ctx, whet_i_buf *out, const report *r) {
    WHET_TRY(whet_i_html_head(ctx, out, "whet label: votes"));
    WHET_TRY(tiles(ctx, out, r));
    WHET_TRY(rules_table(ctx, out, r));
    WHET_TRY(dots(ctx, out, r));
    WHET_TRY(shades(ctx, out, r));
    WHET_TRY(pairs(ctx, out, r));
    WHET_PUT("</body>\n</html>\n");
    return WHET_OK;
}

whet_status whet_i_vote_report_write(whet_ctx *ctx, const whet_label_analyze_job *job,
                                     const whet_label_analysis *analysis) {
    const whet_votes *votes = whet_vote_file_votes(analysis->file);
    report r = {.a = analysis, .votes = job->votes, .m = votes->m, .k = votes->k};
    whet_i_buf text = {0};
    whet_out *file = NULL;
    whet_status status = WHET_OK;
    whet_label_model_get_info(analysis->model, &r.info);
    WHET_TRY_DONE(document(ctx, &text, &r));
    WHET_TRY_DONE(whet_out_open(ctx, job->report, job->force, &file));
    WHET_TRY_DONE(whet_out_write(ctx, file, text.data, text.len));
    status = whet_out_commit(ctx, file);
    file = NULL;
done:
    whet_out_abort(ctx, file);
    whet_i_buf_free(ctx, &text);
    return status;
}
