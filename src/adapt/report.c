/* SPDX-License-Identifier: Apache-2.0
 * The report, section by section: what was done, the data, the candidates side by side, the choice,
 * confusions, reliability, the label space, what to label next, how to do it again. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "adapt/report.h"
#include "adapt/tuning.h"

enum {
    CONFUSION_MAX = 30,
    PAIRS_MAX = 20,
    CLASSES_SHOWN = 12,
    UNCERTAIN_MAX = 20,
    DOUBTED_MAX = 20
};

static whet_str name_of(const whet_i_run *run, int64_t class) {
    return whet_names_get(run->classes, class);
}

/* ---- head: what came out of it --------------------------------------------------------------- */

static whet_status tile(whet_ctx *ctx, whet_i_buf *out, const char *value, const char *what) {
    WHET_PUT("<div class=\"tile\"><b>");
    WHET_TRY(whet_i_html(ctx, out, whet_str_from(value)));
    WHET_PUT("</b><span>%s</span></div>\n", what);
    return WHET_OK;
}

static whet_status head(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run) {
    char count[WHET_COUNT_SIZE], share[32], what[192];
    const whet_i_candidate *chosen = &run->candidates[run->chosen];
    const whet_i_hits hits = whet_i_run_hits(run); /* of the table of predictions */
    const bool spaced = run->space.space != NULL;
    const char *slash = strrchr(run->train.path, '/');
    WHET_PUT("<h1>What %s labels teach about ", whet_i_count(count, run->n_used));
    WHET_TRY(whet_i_html(ctx, out, whet_str_from(slash ? slash + 1 : run->train.path)));
    WHET_PUT("</h1>\n<p class=\"soft\">whet adapt %s</p>\n<div class=\"tiles\">\n", whet_version());
    if (hits.n) {
        (void)snprintf(share, sizeof share, "%.1f %%", 100 * hits.accuracy);
        const int used =
            snprintf(what, sizeof what, "right on %s test rows%s (95 %%: %.1f to %.1f)",
                     whet_i_count(count, hits.n), spaced ? " by the Frechet mean" : "",
                     100 * hits.low, 100 * hits.high);
        if (spaced && used > 0 && (size_t)used < sizeof what)
            (void)snprintf(what + used, sizeof what - (size_t)used, "; %.1f by argmax",
                           100 * chosen->test.accuracy);
    } else if (!isfinite(chosen->info->accuracy)) {
        (void)snprintf(share, sizeof share, "not measured");
        (void)snprintf(what, sizeof what,
                       "no labels were held out of it, and there are no test labels");
    } else {
        (void)snprintf(share, sizeof share, "%.1f %%", 100 * chosen->info->accuracy);
        (void)snprintf(what, sizeof what, "right by cross-fitting%s (95 %%: %.1f to %.1f)",
                       spaced ? ", by argmax" : "", 100 * chosen->info->accuracy_low,
                       100 * chosen->info->accuracy_high);
    }
    WHET_TRY(tile(ctx, out, share, what));
    WHET_TRY(tile(ctx, out, chosen->info->name, "chosen candidate"));
    WHET_TRY(tile(ctx, out, whet_i_count(count, run->n_used), "labels used"));
    WHET_TRY(tile(ctx, out, whet_i_count(count, run->train.n), "training rows"));
    WHET_TRY(tile(ctx, out, whet_i_count(count, whet_names_count(run->classes)), "classes"));
    WHET_PUT("</div>\n");
    return WHET_OK;
}

/* Whether the candidates on features were held against labels that they had not seen. */
static bool is_compared(const whet_i_run *run) {
    bool any = false;
    for (int64_t i = 0; i < run->n_candidates; i++)
        any |= run->candidates[i].info != &run->tuning.info &&
               isfinite(run->candidates[i].info->accuracy);
    return any;
}

/* What classifiers read: of a tuned encoder's only where it stands alone. */
static whet_status features_sentence(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run) {
    const whet_i_tuning *t = &run->tuning;
    const char *words = run->words > 0 ? ", and by TF-IDF beside it, a quarter of a cosine" : "";
    if (!run->fingerprint && strcmp(run->source, "tfidf") == 0)
        WHET_PUT("Every text became %" PRId64
                 " numbers by TF-IDF and a truncated SVD: no pretrained model was given.",
                 run->d);
    else if (!run->fingerprint)
        WHET_PUT("Rows came as %" PRId64 " numbers each, made elsewhere.", run->d);
    else if (!t->kept)
        WHET_PUT("Every text became %" PRId64
                 " numbers by a pretrained encoder, which was left as it is%s.",
                 run->d, words);
    else
        WHET_PUT("What was chosen reads %" PRId64
                 " numbers of every text by a pretrained encoder that was tuned on the labels%s. "
                 "%s read %" PRId64 " by the encoder as it was%s.",
                 whet_encoder_dim(t->encoder),
                 t->tried[t->best].share < 1 ? ", and is averaged with another" : "",
                 t->tried[t->best].share < 1 ? "That and the others" : "The others", run->d, words);
    return WHET_OK;
}

static whet_status fits_sentence(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run) {
    char count[WHET_COUNT_SIZE];
    const whet_i_tuning *t = &run->tuning;
    WHET_PUT(" Several classifiers were fitted to %s labels%s", whet_i_count(count, run->n_used),
             run->n_used < run->train.n ? " and to the shape of the unlabelled rows" : "");
    if (!is_compared(run))
        WHET_PUT(". The labels, or what differs among them, are too few to hold any out: nothing "
                 "was compared, and the "
                 "probabilities of what was taken are as they came.");
    else if (!t->kept)
        WHET_PUT(", compared by cross-fitting on those labels alone, and one was chosen and its "
                 "probabilities calibrated.");
    else if (t->folds)
        WHET_PUT(", compared by cross-fitting on those labels alone. The best of them and the "
                 "tuned encoder were compared on %d folds of the labels, which calibrated the "
                 "probabilities.",
                 WHET_I_TUNE_FOLDS);
    else
        WHET_PUT(", compared by cross-fitting on those labels alone. No labels were held out of "
                 "the tuned encoder, and its probabilities are as they came.");
    return WHET_OK;
}

static whet_status what_was_done(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run) {
    char a[WHET_COUNT_SIZE], b[WHET_COUNT_SIZE];
    WHET_PUT("<h2>What was done</h2>\n<p>");
    WHET_TRY(features_sentence(ctx, out, run));
    WHET_TRY(fits_sentence(ctx, out, run));
    if (run->n_hidden)
        WHET_PUT(" %s further labels were hidden (%s): they were not used for anything.",
                 whet_i_count(a, run->n_hidden),
                 run->job->draw == WHET_DRAW_COVERAGE ? "the labelled rows were drawn to cover the "
                                                        "data"
                                                      : "the labelled rows were drawn at random");
    WHET_PUT("</p>\n");
    if (run->target == &run->test && run->test.n_labels)
        WHET_PUT("<p>%s test rows, %s of them with a true label, were predicted; their labels only "
                 "measure.</p>\n",
                 whet_i_count(a, run->test.n), whet_i_count(b, run->test.n_labels));
    else if (!isfinite(run->candidates[run->chosen].info->accuracy))
        WHET_PUT("<p>There are no test labels, and none were held out of what was chosen: nothing "
                 "is known of its quality.</p>\n");
    else
        WHET_PUT("<p>There are no test labels, so what is known of the quality is the cross-fitted "
                 "figure: each label predicted by classifiers that had not seen it.</p>\n");
    if (run->target == &run->train)
        WHET_PUT("<p>%s of the rows in the table of predictions have a label that was learnt from: "
                 "their class and probability were fitted to it, right or wrong, and do not show "
                 "wrong labels.</p>\n",
                 whet_i_count(a, run->n_used));
    return WHET_OK;
}

/* ---- data ------------------------------------------------------------------------------------ */

static whet_status class_rows(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run,
                              const int64_t *labels, int64_t from, int64_t to, int64_t most) {
    WHET_PUT("<div class=\"wide\"><table><tr><th>class</th><th class=\"n\">labels</th><th></th>"
             "</tr>\n");
    for (int64_t c = from; c < to; c++) {
        WHET_PUT("<tr><td class=\"text\">");
        WHET_TRY(whet_i_html_cut(ctx, out, name_of(run, c), 80));
        WHET_PUT("</td><td class=\"n\">%" PRId64 "</td><td class=\"barcell\">", labels[c]);
        if (labels[c])
            WHET_PUT("<span class=\"bar\" style=\"width:%.1f%%\"></span>",
                     100.0 * (double)labels[c] / (double)most);
        WHET_PUT("</td></tr>\n");
    }
    WHET_PUT("</table></div>\n");
    return WHET_OK;
}

static whet_status data_section(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run,
                                const int64_t *labels) {
    const int64_t k = whet_names_count(run->classes);
    char a[WHET_COUNT_SIZE], b[WHET_COUNT_SIZE];
    int64_t most = 1, without = 0;
    for (int64_t c = 0; c < k; c++) {
        most = labels[c] > most ? labels[c] : most;
        without += labels[c] == 0;
    }
    WHET_PUT("<h2>The data</h2>\n<p>%s rows", whet_i_count(a, run->train.n));
    WHET_PUT(", %s of them unlabelled as far as the classifiers know; %s classes",
             whet_i_count(a, run->train.n - run->n_used), whet_i_count(b, k));
    if (without)
        WHET_PUT(", of which <b>%s have no label at all</b> and can be predicted only by their "
                 "names",
                 whet_i_count(a, without));
    WHET_PUT(".</p>\n");
    if (k <= CLASSES_SHOWN) return class_rows(ctx, out, run, labels, 0, k, most);
    WHET_PUT("<details><summary>Labels of each class</summary>\n");
    WHET_TRY(class_rows(ctx, out, run, labels, 0, k, most));
    WHET_PUT("</details>\n");
    return WHET_OK;
}

/* ---- candidates ------------------------------------------------------------------------------ */

static whet_status accuracy_cell(whet_ctx *ctx, whet_i_buf *out, double accuracy, double low,
                                 double high) {
    WHET_PUT("<td class=\"n\">%.1f <span class=\"soft\">(%.0f to %.0f)</span></td>", 100 * accuracy,
             100 * low, 100 * high);
    return WHET_OK;
}

static whet_status candidate_row(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run, int64_t i,
                                 bool tested) {
    const whet_i_candidate *c = &run->candidates[i];
    const whet_candidate_info *info = c->info;
    WHET_PUT("<tr%s><td>", i == run->chosen ? " class=\"chosen\"" : "");
    WHET_TRY(whet_i_html(ctx, out, whet_str_from(info->name)));
    WHET_PUT("<br><span class=\"soft\">");
    WHET_TRY(whet_i_html(ctx, out, whet_str_from(info->title ? info->title : "")));
    if (info->settings && *info->settings) {
        WHET_PUT("; ");
        WHET_TRY(whet_i_html(ctx, out, whet_str_from(info->settings)));
    }
    WHET_PUT("</span></td>");
    if (!info->available) {
        WHET_PUT("<td colspan=\"%d\" class=\"soft\">", tested ? 7 : 2);
        WHET_TRY(whet_i_html(ctx, out, whet_str_from(info->note ? info->note : "not available")));
        WHET_PUT("</td></tr>\n");
        return WHET_OK;
    }
    if (isfinite(info->accuracy)) {
        WHET_TRY(accuracy_cell(ctx, out, info->accuracy, info->accuracy_low, info->accuracy_high));
        WHET_PUT("<td class=\"n\">%.3f</td>", info->log_loss);
    } else {
        WHET_PUT("<td class=\"soft n\" colspan=\"2\">not compared</td>");
    }
    if (c->tested) {
        WHET_TRY(
            accuracy_cell(ctx, out, c->test.accuracy, c->test.accuracy_low, c->test.accuracy_high));
        WHET_PUT("<td class=\"n\">%.3f</td><td class=\"n\">%.3f</td><td class=\"n\">%.3f</td>"
                 "<td class=\"n\">%.3f</td>",
                 c->test.macro_f1, c->test.log_loss, c->test.brier, c->test.calibration_error);
    }
    WHET_PUT("</tr>\n");
    return WHET_OK;
}

static whet_status candidates_section(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run) {
    const bool tested = run->candidates[run->chosen].tested;
    WHET_PUT("<h2>The candidates side by side</h2>\n<p>Accuracy with 95 %% intervals%s. %s in "
             "bold.</p>\n"
             "<div class=\"wide\">",
             run->space.space ? ", by argmax" : "",
             !is_compared(run) ? "By cross-fitting nothing was compared; what was taken is"
             : whet_i_tuning_is_asked(run->job) && run->tuning.kept
                 ? "The encoder was asked for, whatever the figures say; it is"
                 : "The choice looks at the cross-fitted figures only, which favours the chosen "
                   "one a little; it is");
    WHET_TRY(whet_i_figure_candidates(ctx, out, run));
    WHET_PUT("</div>\n<div class=\"wide\"><table><tr><th>candidate</th><th class=\"n\">"
             "cross-fitted, %%</th><th class=\"n\">log loss</th>");
    if (tested)
        WHET_PUT("<th class=\"n\">test, %%</th><th class=\"n\">macro F1</th><th class=\"n\">log "
                 "loss</th><th class=\"n\">Brier</th><th class=\"n\">calib. error</th>");
    WHET_PUT("</tr>\n");
    for (int64_t i = 0; i < run->n_candidates; i++)
        WHET_TRY(candidate_row(ctx, out, run, i, tested));
    WHET_PUT("</table></div>\n<h2>The choice</h2>\n<p><b>");
    WHET_TRY(whet_i_html(ctx, out, whet_str_from(run->candidates[run->chosen].info->name)));
    WHET_PUT("</b>: ");
    WHET_TRY(whet_i_html(ctx, out, whet_str_from(run->reason)));
    WHET_PUT("</p>\n");
    return WHET_OK;
}

/* ---- confusions and reliability -------------------------------------------------------------- */

static whet_status confused_pairs(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run,
                                  int64_t *counts) {
    const int64_t k = whet_names_count(run->classes);
    WHET_PUT("<p>The pairs of classes that are confused most:</p>\n<div class=\"wide\"><table>"
             "<tr><th>true class</th><th>predicted as</th><th class=\"n\">rows</th></tr>\n");
    for (int64_t c = 0; c < k; c++) counts[c * k + c] = 0;
    for (int shown = 0; shown < PAIRS_MAX; shown++) {
        int64_t best = 0;
        for (int64_t i = 1; i < k * k; i++) best = counts[i] > counts[best] ? i : best;
        if (counts[best] == 0) break;
        WHET_PUT("<tr><td>");
        WHET_TRY(whet_i_html_cut(ctx, out, name_of(run, best / k), 60));
        WHET_PUT("</td><td>");
        WHET_TRY(whet_i_html_cut(ctx, out, name_of(run, best % k), 60));
        WHET_PUT("</td><td class=\"n\">%" PRId64 "</td></tr>\n", counts[best]);
        counts[best] = 0;
    }
    WHET_PUT("</table></div>\n");
    return WHET_OK;
}

static whet_status confusion_section(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run) {
    const int64_t k = whet_names_count(run->classes);
    int64_t size, *counts = NULL;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_mul(ctx, k, k, &size));
    WHET_TRY(whet_i_calloc(ctx, size, &counts));
    WHET_TRY_DONE(
        whet_metrics_confusion(ctx, run->probs, run->test.n, k, run->test.truth, NULL, counts));
    WHET_TRY_DONE(whet_i_buf_printf(
        ctx, out,
        "<h2>What is taken for what</h2>\n<p>Test rows by true class (down) and predicted class "
        "(across%s); the shade is the share of the true class.</p>\n",
        run->space.space ? "; by argmax" : ""));
    if (k <= CONFUSION_MAX) {
        WHET_TRY_DONE(whet_i_buf_printf(ctx, out, "<div class=\"wide\">"));
        WHET_TRY_DONE(whet_i_figure_confusion(ctx, out, run->classes, counts));
        WHET_TRY_DONE(whet_i_buf_printf(ctx, out, "</div>\n"));
    } else {
        WHET_TRY_DONE(confused_pairs(ctx, out, run, counts));
    }
done:
    whet_i_free(ctx, counts);
    return status;
}

static whet_status reliability_section(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run) {
    whet_reliability_bin bins[WHET_RELIABILITY_BINS];
    WHET_TRY(whet_metrics_reliability(ctx, run->probs, run->test.n, whet_names_count(run->classes),
                                      run->test.truth, bins));
    WHET_PUT("<h2>Can the probabilities be believed?</h2>\n<p>On the dashed line, rows called "
             "70 %% sure are right 70 %% of the time; below it the classifier is too sure of "
             "itself. Bars show how many rows there are; the mean gap, weighted by rows, is "
             "%.3f.</p>\n<div class=\"wide\">",
             run->candidates[run->chosen].test.calibration_error);
    WHET_TRY(whet_i_figure_reliability(ctx, out, bins));
    WHET_PUT("</div>\n");
    return WHET_OK;
}

/* ---- label space ----------------------------------------------------------------------------- */

static whet_status space_row(whet_ctx *ctx, whet_i_buf *out, const char *what,
                             const whet_space_means *argmax, const whet_space_means *frechet) {
    if (argmax->rows == 0) return WHET_OK;
    WHET_PUT("<tr><td>%s</td><td class=\"n\">%lld</td><td class=\"n\">%.1f</td><td "
             "class=\"n\">%.1f</td><td class=\"n\">%.4g</td><td class=\"n\">%.4g</td>"
             "<td class=\"n\">%.4g</td><td class=\"n\">%.4g</td></tr>\n",
             what, (long long)argmax->rows, 100 * argmax->accuracy, 100 * frechet->accuracy,
             argmax->mean_distance, frechet->mean_distance, argmax->mean_squared,
             frechet->mean_squared);
    return WHET_OK;
}

/* Whether the difference can be believed. */
static whet_status space_gain(whet_ctx *ctx, whet_i_buf *out, const whet_space_interval *i) {
    const char *verdict = i->high < 0  ? "the Frechet mean comes nearer"
                          : i->low > 0 ? "argmax comes nearer"
                                       : "neither can be told to be nearer";
    WHET_PUT("<p>Mean squared distance, Frechet mean less argmax: %.4g (95 %%: %.4g to %.4g, rows "
             "drawn again with replacement): %s.</p>\n",
             i->difference, i->low, i->high, verdict);
    return WHET_OK;
}

static whet_status space_section(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run) {
    if (!run->space.space) return WHET_OK;
    WHET_PUT("<h2>The label space</h2>\n<p>Predictions are the point of <code>");
    WHET_TRY(whet_i_html(ctx, out, whet_str_from(run->job->space)));
    WHET_PUT("</code> that is nearest, in mean squared distance, to the classes by their "
             "probabilities (the Frechet mean; candidates: %s). Argmax stands beside it in the "
             "table of predictions.</p>\n",
             run->space.candidates);
    if (!run->space_scored) return WHET_OK;
    WHET_PUT("<div class=\"wide\"><table><tr><th>rows whose label</th><th class=\"n\">rows</th>"
             "<th class=\"n\">accuracy, %%: argmax</th><th class=\"n\">mean</th><th "
             "class=\"n\">distance: argmax</th><th class=\"n\">mean</th><th "
             "class=\"n\">squared: argmax</th><th class=\"n\">mean</th></tr>\n");
    const whet_space_scores *a = &run->by_argmax, *f = &run->by_frechet;
    WHET_TRY(space_row(ctx, out, "is a point of the space", &a->all, &f->all));
    WHET_TRY(space_row(ctx, out, "is one of the classes", &a->seen, &f->seen));
    WHET_TRY(space_row(ctx, out, "is none of them", &a->unseen, &f->unseen));
    WHET_PUT("</table></div>\n");
    return space_gain(ctx, out, &run->gains.all.mean_squared);
}

/* ---- what to label next ---------------------------------------------------------------------- */

/* The unlabelled rows of smallest margin between their two best classes, smallest first. */
static int64_t most_uncertain(const whet_i_run *run, int64_t rows[UNCERTAIN_MAX]) {
    const int64_t k = whet_names_count(run->classes);
    double margins[UNCERTAIN_MAX];
    int64_t found = 0;
    for (int64_t i = 0; i < run->train.n; i++) {
        if (run->train.labels[i] >= 0) continue;
        int32_t top[3];
        const double *p = run->pool_probs + i * k;
        (void)whet_i_top(p, k, 2, top);
        const double margin = p[top[0]] - p[top[1]];
        if (found == UNCERTAIN_MAX && !(margin < margins[found - 1])) continue;
        int64_t place = found < UNCERTAIN_MAX ? found++ : found - 1;
        for (; place > 0 && margin < margins[place - 1]; place--) {
            margins[place] = margins[place - 1];
            rows[place] = rows[place - 1];
        }
        margins[place] = margin;
        rows[place] = i;
    }
    return found;
}

static whet_status uncertain_row(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run,
                                 int64_t row) {
    const int64_t k = whet_names_count(run->classes);
    const double *p = run->pool_probs + row * k;
    int32_t top[3];
    (void)whet_i_top(p, k, 2, top);
    WHET_PUT("<tr><td class=\"n\">%" PRId64 "</td><td class=\"text\">", row);
    if (run->train.texts) WHET_TRY(whet_i_html_cut(ctx, out, run->train.texts[row], 240));
    WHET_PUT("</td><td>");
    for (int j = 0; j < 2; j++) {
        WHET_PUT("%s", j ? "<br>" : "");
        WHET_TRY(whet_i_html_cut(ctx, out, name_of(run, top[j]), 40));
        WHET_PUT(" <span class=\"soft\">%.0f %%</span>", 100 * p[top[j]]);
    }
    WHET_PUT("</td></tr>\n");
    return WHET_OK;
}

static whet_status uncertain_section(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run) {
    int64_t rows[UNCERTAIN_MAX];
    const int64_t n = most_uncertain(run, rows);
    WHET_PUT("<h2>What to label next</h2>\n");
    if (n == 0) {
        WHET_PUT("<p>Every training row has its label.</p>\n");
        return WHET_OK;
    }
    WHET_PUT("<p>The unlabelled rows on which the two best classes are closest: a label there says "
             "most about where the border runs. Rows count from 0, without the header.</p>\n"
             "<div class=\"wide\"><table><tr><th class=\"n\">row</th><th>text</th><th>between</th>"
             "</tr>\n");
    for (int64_t i = 0; i < n; i++) WHET_TRY(uncertain_row(ctx, out, run, rows[i]));
    WHET_PUT("</table></div>\n");
    return WHET_OK;
}

/* ---- which labels to look at again ------------------------------------------------------------ */

static bool is_doubted(const whet_i_run *run, int64_t at) {
    return whet_i_held_class(run, at) != run->train.labels[run->held_out.rows[at]];
}

static whet_status doubted_row(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run, int64_t at) {
    const int64_t k = whet_names_count(run->classes), row = run->held_out.rows[at];
    const double *p = run->held_out.probs + at * k;
    const int32_t label = run->train.labels[row];
    const int32_t shown[2] = {label, whet_i_held_class(run, at)};
    WHET_PUT("<tr><td class=\"n\">%" PRId64 "</td><td class=\"text\">", row);
    if (run->train.texts) WHET_TRY(whet_i_html_cut(ctx, out, run->train.texts[row], 240));
    for (int j = 0; j < 2; j++) {
        WHET_PUT("</td><td>");
        WHET_TRY(whet_i_html_cut(ctx, out, name_of(run, shown[j]), 40));
        WHET_PUT(" <span class=\"soft\">%.0f&nbsp;%%</span>", 100 * p[shown[j]]);
    }
    WHET_PUT("</td></tr>\n");
    return WHET_OK;
}

static whet_status doubts_section(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run) {
    const whet_i_held_out *h = &run->held_out;
    char a[32], b[32];
    if (h->n == 0) return WHET_OK;
    WHET_PUT("<h2>Which labels to look at again</h2>\n<p>Of %s labels %s %s another class's by the "
             "other labels, which did not know them",
             whet_i_count(a, h->n), whet_i_count(b, h->doubted), h->doubted == 1 ? "is" : "are");
    if (h->doubted == 0) {
        WHET_PUT(".</p>\n");
        return WHET_OK;
    }
    WHET_PUT(
        ": a wrong label would be among them, and so are rows that so few labels cannot tell. "
        "The least likely first; all are in <code>held_out.tsv</code>.</p>\n<div "
        "class=\"wide\"><table>"
        "<tr><th class=\"n\">row</th><th>text</th><th>label</th><th>by the others</th></tr>\n");
    for (int64_t i = 0, told = 0; i < h->n && told < DOUBTED_MAX; i++)
        if (is_doubted(run, i)) {
            WHET_TRY(doubted_row(ctx, out, run, i));
            told++;
        }
    WHET_PUT("</table></div>\n");
    return WHET_OK;
}

/* ---- how to do it again ---------------------------------------------------------------------- */

static whet_status again_section(whet_ctx *ctx, whet_i_buf *out, const whet_i_run *run) {
    WHET_PUT("<h2>To do it again</h2>\n");
    if (run->job->command) {
        WHET_PUT("<pre>");
        WHET_TRY(whet_i_html(ctx, out, whet_str_from(run->job->command)));
        WHET_PUT("</pre>\n");
    }
    WHET_PUT("<p>Seed %" PRIu64 "; whet %s, kernels %s, %d threads (%s). Reading %.2f s, embedding "
             "%.2f s, fitting %.2f s, tuning %.2f s, "
             "predicting %.2f s.",
             run->job->seed, whet_version(), whet_kernels_name(ctx), (int)whet_ctx_threads(ctx),
             run->job->time_limit > 0
                 ? "their number, as all that makes the machine faster or slower, may change what "
                   "the time limit lets be tried"
                 : "their number does not change the result",
             run->seconds.read, run->seconds.embed, run->seconds.fit, run->seconds.tune,
             run->seconds.predict);
    if (run->fingerprint) {
        WHET_PUT(" Encoder <code>");
        WHET_TRY(whet_i_html(ctx, out, whet_str_from(run->job->model)));
        WHET_PUT("</code> (%s, %s%s%s).", run->fingerprint, whet_dtype_name(run->job->dtype),
                 whet_i_tuning_ran(&run->tuning) ? "; tuned by products of " : "",
                 whet_i_tuning_ran(&run->tuning)
                     ? whet_dtype_name(whet_i_tuning_dtype(ctx, run->job))
                     : "");
    }
    WHET_PUT("</p>\n<p>The folder <code>classifier</code> predicts further rows:</p>\n<pre>whet "
             "adapt apply --classifier ");
    WHET_TRY(whet_i_html(ctx, out, whet_str_from(run->job->output)));
    WHET_PUT("/classifier --input new.tsv --output predictions.tsv</pre>\n</body>\n</html>\n");
    return WHET_OK;
}

whet_status whet_i_report(whet_ctx *ctx, const whet_i_run *run, whet_i_buf *out) {
    const int64_t k = whet_names_count(run->classes);
    const bool tested = run->candidates[run->chosen].tested;
    int64_t *labels, known = 0;
    WHET_TRY(whet_i_calloc(ctx, k, &labels));
    for (int64_t i = 0; i < run->train.n; i++)
        if (run->train.labels[i] >= 0) labels[run->train.labels[i]]++;
    for (int64_t i = 0; tested && i < run->test.n; i++) known += run->test.truth[i] >= 0;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_html_head(ctx, out, "whet adapt: report"));
    WHET_TRY_DONE(head(ctx, out, run));
    WHET_TRY_DONE(what_was_done(ctx, out, run));
    WHET_TRY_DONE(data_section(ctx, out, run, labels));
    WHET_TRY_DONE(candidates_section(ctx, out, run));
    WHET_TRY_DONE(whet_i_report_tuning(ctx, out, run));
    if (known > 0) {
        WHET_TRY_DONE(confusion_section(ctx, out, run));
        WHET_TRY_DONE(reliability_section(ctx, out, run));
    }
    WHET_TRY_DONE(space_section(ctx, out, run));
    WHET_TRY_DONE(doubts_section(ctx, out, run));
    WHET_TRY_DONE(uncertain_section(ctx, out, run));
    WHET_TRY_DONE(again_section(ctx, out, run));
done:
    whet_i_free(ctx, labels);
    return status;
}
