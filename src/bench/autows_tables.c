/* SPDX-License-Identifier: Apache-2.0
 * The comparison as text for people, as TSV and as JSON. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "bench/autows_i.h"

static const char *const family_names[] = {"baseline", "weak", "published", "choice"};

static const whet_i_autows_method *method_of(const whet_i_group *g) {
    return &whet_i_autows_methods[g->method];
}

/* ---- text ------------------------------------------------ */

static whet_status put_best(whet_ctx *ctx, whet_i_buf *out, const whet_i_autows_summary *s,
                            int64_t at) {
    char words[64];
    if (at < 0) {
        WHET_PUT("  %-34s", "-");
        return WHET_OK;
    }
    const whet_i_group *g = &s->group[at];
    (void)snprintf(words, sizeof words, "%s, %s", method_of(g)->name,
                   whet_i_features[g->feature].name);
    WHET_PUT("  %.4f %-27s", g->accuracy.mean, words);
    return WHET_OK;
}

static whet_status put_verdicts(whet_ctx *ctx, const whet_i_autows_summary *s, whet_i_buf *out) {
    WHET_PUT("accuracy over all test rows (no answer is a wrong one), means over seeds; the best "
             "of each kind "
             "in\nhindsight, and what cross-fitting on the labels recommends without it\n\n"
             "%-16s  %-34s  %-34s  %-11s  over the best baseline\n",
             "set", "best baseline", "best weak supervision", "recommended");
    for (int64_t i = 0; i < s->verdicts; i++) {
        const whet_i_set_verdict *v = &s->verdict[i];
        WHET_PUT("%-16s", whet_i_sets[v->set].name);
        WHET_TRY(put_best(ctx, out, s, v->baseline));
        WHET_TRY(put_best(ctx, out, s, v->weak));
        if (v->recommended.n) WHET_PUT("  %.4f     ", v->recommended.mean);
        if (v->gain.n) WHET_PUT("  %+.4f", v->gain.mean);
        if (v->gain.n > 1) WHET_PUT("  (%+.4f to %+.4f)", v->gain.low, v->gain.high);
        WHET_PUT("\n");
    }
    if (s->over_single.n)
        WHET_PUT("\nno single baseline is better on average than %s (on each set with its best "
                 "feature map): the "
                 "recommendation is\nat least as good as it on %" PRId64 " of %" PRId64
                 " sets; on average %+.4f (%+.4f to %+.4f)\n",
                 whet_i_autows_methods[s->single].name, s->at_least_single, s->over_single.n,
                 s->over_single.mean, s->over_single.low, s->over_single.high);
    if (s->gain.n)
        WHET_PUT("than the best baseline and feature map of each set in hindsight it is at least "
                 "as good on %" PRId64 " of %" PRId64 "; on average %+.4f (%+.4f to %+.4f)\n",
                 s->at_least, s->gain.n, s->gain.mean, s->gain.low, s->gain.high);
    return WHET_OK;
}

static whet_status put_standings(whet_ctx *ctx, const whet_i_autows_summary *s, whet_i_buf *out) {
    if (s->standings == 0 || s->standing[0].problems == 0) return WHET_OK;
    WHET_PUT("\nover %" PRId64
             " pairs of set and feature map\n%-16s  mean rank  accuracy  best  within 1.5 "
             "times the least error\n",
             s->standing[0].problems, "method");
    for (int64_t i = 0; i < s->standings; i++) {
        const whet_i_method_standing *m = &s->standing[i];
        WHET_PUT("%-16s  %9.2f  %8.4f  %4.2f  %4.2f\n", whet_i_autows_methods[m->method].name,
                 m->rank, m->accuracy, m->profile[0], m->profile[(WHET_I_PROFILE_POINTS - 1) / 8]);
    }
    return WHET_OK;
}

whet_status whet_i_autows_tables(whet_ctx *ctx, const whet_i_autows_summary *summary,
                                 whet_i_buf *text) {
    WHET_TRY(put_verdicts(ctx, summary, text));
    return put_standings(ctx, summary, text);
}

/* ---- TSV ------------------------------------------------ */

static whet_status put_number(whet_ctx *ctx, whet_i_buf *out, double x) {
    if (isfinite(x))
        WHET_PUT("\t%.6g", x);
    else
        WHET_PUT("\t");
    return WHET_OK;
}

static whet_status put_mean(whet_ctx *ctx, whet_i_buf *out, const whet_i_mean *m) {
    WHET_TRY(put_number(ctx, out, m->mean));
    WHET_TRY(put_number(ctx, out, m->low));
    return put_number(ctx, out, m->high);
}

whet_status whet_i_autows_tsv(whet_ctx *ctx, const whet_i_autows_summary *summary,
                              whet_i_buf *out) {
    static const char *const means[] = {"covered_accuracy", "coverage", "accuracy", "end_accuracy",
                                        "log_loss"};
    WHET_PUT("set\tfeature\tmethod\tfamily\tseeds\tfailed\trules");
    for (int i = 0; i < 5; i++) WHET_PUT("\t%s\t%s_low\t%s_high", means[i], means[i], means[i]);
    WHET_PUT("\tseconds\tmegabytes\tpublished_covered_accuracy\tpublished_coverage\n");
    for (int64_t i = 0; i < summary->groups; i++) {
        const whet_i_group *g = &summary->group[i];
        const whet_i_mean *mean[] = {&g->covered_accuracy, &g->coverage, &g->accuracy,
                                     &g->end_accuracy, &g->log_loss};
        const whet_i_published p = whet_i_autows_published(
            &whet_i_sets[g->set], &whet_i_features[g->feature], method_of(g));
        WHET_PUT("%s\t%s\t%s\t%s\t%" PRId64 "\t%" PRId64 "\t%" PRId64, whet_i_sets[g->set].name,
                 whet_i_features[g->feature].name, method_of(g)->name,
                 family_names[method_of(g)->family], g->seeds, g->failed, g->rules);
        for (int64_t j = 0; j < WHET_COUNT_OF(mean); j++) WHET_TRY(put_mean(ctx, out, mean[j]));
        WHET_TRY(put_number(ctx, out, g->seconds));
        WHET_TRY(put_number(ctx, out, g->megabytes));
        WHET_TRY(put_number(ctx, out, p.accuracy));
        WHET_TRY(put_number(ctx, out, p.coverage));
        WHET_PUT("\n");
    }
    return WHET_OK;
}

/* ---- JSON ------------------------------------------------ */

static json_t *mean_json(const whet_i_mean *m) {
    return json_pack("{s:I, s:o, s:o, s:o}", "n", (json_int_t)m->n, "mean",
                     whet_i_json_number(m->mean), "low", whet_i_json_number(m->low), "high",
                     whet_i_json_number(m->high));
}

static json_t *group_json(const whet_i_group *g) {
    const whet_i_published p =
        whet_i_autows_published(&whet_i_sets[g->set], &whet_i_features[g->feature], method_of(g));
    json_t *o = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "set",
        whet_i_sets[g->set].name, "feature", whet_i_features[g->feature].name, "method",
        method_of(g)->name, "family", family_names[method_of(g)->family], "seeds",
        (json_int_t)g->seeds, "failed", (json_int_t)g->failed, "rules", (json_int_t)g->rules,
        "covered_accuracy", mean_json(&g->covered_accuracy), "coverage", mean_json(&g->coverage),
        "accuracy", mean_json(&g->accuracy), "end_accuracy", mean_json(&g->end_accuracy),
        "log_loss", mean_json(&g->log_loss), "seconds", whet_i_json_number(g->seconds), "megabytes",
        whet_i_json_number(g->megabytes));
    if (o && isfinite(p.accuracy))
        (void)json_object_set_new(o, "published",
                                  json_pack("{s:f, s:f, s:b}", "covered_accuracy", p.accuracy,
                                            "coverage", p.coverage, "similar_set",
                                            whet_i_sets[g->set].similar));
    return o;
}

static json_t *place_json(const whet_i_autows_summary *s, int64_t at) {
    if (at < 0) return json_null();
    const whet_i_group *g = &s->group[at];
    return json_pack("{s:s, s:s, s:o}", "method", method_of(g)->name, "feature",
                     whet_i_features[g->feature].name, "accuracy", mean_json(&g->accuracy));
}

static json_t *standing_json(const whet_i_method_standing *m) {
    json_t *profile = json_array();
    for (int64_t p = 0; p < WHET_I_PROFILE_POINTS; p++)
        (void)json_array_append_new(
            profile, json_pack("[f, o]", whet_i_profile_tau(p), whet_i_json_number(m->profile[p])));
    return json_pack("{s:s, s:I, s:o, s:o, s:o}", "method", whet_i_autows_methods[m->method].name,
                     "problems", (json_int_t)m->problems, "mean_rank", whet_i_json_number(m->rank),
                     "accuracy", whet_i_json_number(m->accuracy), "profile", profile);
}

whet_status whet_i_autows_json(whet_ctx *ctx, const whet_i_autows_summary *s,
                               const json_t *settings, whet_i_buf *json) {
    json_t *groups = json_array(), *verdicts = json_array(), *standings = json_array();
    for (int64_t i = 0; i < s->groups; i++)
        (void)json_array_append_new(groups, group_json(&s->group[i]));
    for (int64_t i = 0; i < s->standings; i++)
        (void)json_array_append_new(standings, standing_json(&s->standing[i]));
    for (int64_t i = 0; i < s->verdicts; i++) {
        const whet_i_set_verdict *v = &s->verdict[i];
        (void)json_array_append_new(
            verdicts,
            json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "set", whet_i_sets[v->set].name,
                      "best_baseline", place_json(s, v->baseline), "best_weak",
                      place_json(s, v->weak), "best_published", place_json(s, v->published),
                      "recommended", mean_json(&v->recommended), "gain", mean_json(&v->gain),
                      "single_baseline", place_json(s, v->single), "over_single_baseline",
                      mean_json(&v->over_single)));
    }
    json_t *o = json_pack(
        "{s:O, s:o, s:o, s:o, s:o, s:I, s:s?, s:o, s:I}", "settings", settings, "sets", verdicts,
        "methods", standings, "table", groups, "gain", mean_json(&s->gain), "at_least",
        (json_int_t)s->at_least, "single_baseline",
        s->single < 0 ? NULL : whet_i_autows_methods[s->single].name, "over_single_baseline",
        mean_json(&s->over_single), "at_least_single_baseline", (json_int_t)s->at_least_single);
    const whet_status status =
        whet_i_json_dump(ctx, o, JSON_INDENT(1) | JSON_REAL_PRECISION(6), json);
    json_decref(o);
    return status;
}
