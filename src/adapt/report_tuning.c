/* SPDX-License-Identifier: Apache-2.0
 * The report's section on tuning the encoder: what was tried, at what cost, and why one was kept or
 * none. */
#include <math.h>
#include <stdio.h>

#include "adapt/report.h"
#include "adapt/tuning.h"

static whet_status number_cell(whet_ctx *ctx, whet_i_buf *out, int digits, double x) {
    char text[64] = "";
    if (isfinite(x)) (void)snprintf(text, sizeof text, "%.*f", digits, x);
    WHET_PUT("<td class=\"n\">%s</td>", text);
    return WHET_OK;
}

static whet_status contender_row(whet_ctx *ctx, whet_i_buf *out, const whet_i_contender *c,
                                 bool kept) {
    WHET_PUT("<tr%s><td>%s<br><span class=\"soft\">%s</span></td>", kept ? " class=\"chosen\"" : "",
             c->lesson->name, c->lesson->title);
    WHET_TRY(number_cell(ctx, out, 1, c->folds ? c->seconds : (double)NAN));
    WHET_TRY(number_cell(ctx, out, 1, 100 * c->accuracy));
    WHET_TRY(number_cell(ctx, out, 3, c->log_loss));
    if (isfinite(c->gain))
        WHET_PUT("<td class=\"n\">%.3f &plusmn; %.3f</td>", c->gain, c->error);
    else
        WHET_PUT("<td></td>");
    WHET_PUT("<td class=\"soft\">%s</td></tr>\n", c->verdict);
    return WHET_OK;
}

/* Heads on the embeddings of the way that went on. */
static whet_status heads_table(whet_ctx *ctx, whet_i_buf *out, const whet_i_contender *c) {
    WHET_PUT(
        "<p>Heads on the embeddings of %s. The figures above are those of the choice among them, "
        "made for each fold on the labels of the others.</p>\n<div class=\"wide\"><table><tr>"
        "<th>head</th><th class=\"n\">held out, %%</th><th class=\"n\">log loss</th></tr>\n",
        c->lesson->name);
    for (int64_t i = 0; i < c->n_heads; i++) {
        WHET_PUT("<tr%s><td>%s <span class=\"soft\">%s</span></td>",
                 i == c->head ? " class=\"chosen\"" : "", whet_i_lesson_head_name(c->lesson, i),
                 whet_i_lesson_head_words(c->lesson, i));
        WHET_TRY(number_cell(ctx, out, 1, 100 * c->heads[i].accuracy));
        WHET_TRY(number_cell(ctx, out, 3, c->heads[i].log_loss));
        WHET_PUT("</tr>\n");
    }
    WHET_PUT("</table></div>\n");
    return WHET_OK;
}

/* Whether there is more to tell of the ways than that one of them was taken. */
static bool has_rows(const whet_i_tuning *t) {
    bool any = t->folds > 0;
    for (int64_t at = 0; at < t->n; at++)
        any |= t->tried[at].seconds > 0 || (at != t->best && t->tried[at].verdict[0]);
    return any;
}

static whet_status teacher_row(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run) {
    const whet_i_tuning *t = &run->tuning;
    WHET_PUT("<tr><td>not tuned<br><span class=\"soft\">%s</span></td><td></td>",
             whet_adapt_fit_info(run->fit, t->teacher)->name);
    WHET_TRY(number_cell(ctx, out, 1, 100 * t->accuracy_without));
    WHET_TRY(number_cell(ctx, out, 3, t->log_loss_without));
    WHET_PUT("<td></td><td></td></tr>\n");
    return WHET_OK;
}

whet_status whet_i_report_tuning(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run) {
    const whet_i_tuning *t = &run->tuning;
    if (!t->info.name) return WHET_OK;
    WHET_PUT("<h2>Tuning the encoder</h2>\n<p>");
    WHET_TRY(whet_i_html(ctx, out, whet_str_from(t->reason)));
    if (t->folds)
        WHET_PUT(" Figures are of labels held out of everything, in %d folds.", WHET_I_TUNE_FOLDS);
    WHET_PUT(" It took %.1f s in all", run->seconds.tune);
    if (run->job->time_limit > 0)
        WHET_PUT(", of %.0f s that the job was given", run->job->time_limit);
    WHET_PUT(".</p>\n");
    if (!has_rows(t)) return WHET_OK;
    WHET_PUT("<div class=\"wide\"><table><tr><th>way</th><th class=\"n\">seconds</th><th "
             "class=\"n\">held out, %%</th><th class=\"n\">log loss</th><th class=\"n\">gain</th>"
             "<th></th></tr>\n");
    for (int64_t at = 0; at < t->n; at++)
        WHET_TRY(contender_row(ctx, out, &t->tried[at], t->kept && at == t->best));
    if (t->folds) WHET_TRY(teacher_row(ctx, out, run));
    WHET_PUT("</table></div>\n");
    if (t->folds && t->tried[t->best].n_heads > 1)
        WHET_TRY(heads_table(ctx, out, &t->tried[t->best]));
    return WHET_OK;
}
