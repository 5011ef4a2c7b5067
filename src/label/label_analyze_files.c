/* SPDX-License-Identifier: Apache-2.0
 * An analysis of votes from files: what each rule does, how they agree, what a label model takes them
 * for, and which hang together.
 * Legend: n rows, m rules, k classes. */
#include <inttypes.h>
#include <stdio.h>

#include "io/io_i.h"
#include "label/vote_model.h"
#include "label/vote_report.h"

enum { NAMED_WHY = 256 };

static whet_status read_names(whet_ctx *ctx, const whet_label_analyze_job *job,
                              whet_label_analysis *a, whet_votes_read_opts *reading) {
    if (job->classes) {
        WHET_TRY(whet_names_read(ctx, job->classes, &a->classes));
        const int64_t listed = whet_names_count(a->classes);
        if (listed < 2 || (reading->classes && reading->classes != listed))
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s lists %" PRId64 " classes; expected %" PRId64, job->classes,
                               listed, reading->classes ? reading->classes : 2);
    }
    if (job->rules) {
        WHET_TRY(whet_names_read(ctx, job->rules, &a->rule_names));
        /* of triples, which do not tell of the last rules where these never vote */
        if (whet_i_votes_is_table(job->votes)) reading->rules = whet_names_count(a->rule_names);
    }
    return WHET_OK;
}

/* Votes are of the classes and rules that have names. */
static whet_status check_names(whet_ctx *ctx, const whet_label_analyze_job *job,
                               const whet_label_analysis *a) {
    const whet_votes *votes = whet_vote_file_votes(a->file);
    char why[NAMED_WHY];
    if (a->rule_names && whet_names_count(a->rule_names) != votes->m)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: %" PRId64 " names of rules; expected %" PRId64
                           ", as many as %s has",
                           job->rules, whet_names_count(a->rule_names), votes->m, job->votes);
    if (!a->classes || whet_names_count(a->classes) >= votes->k) return WHET_OK;
    (void)snprintf(why, sizeof why, "as %.200s lists %" PRId64 " classes", job->classes,
                   whet_names_count(a->classes));
    return whet_i_votes_check_classes(ctx, job->votes, votes, whet_names_count(a->classes), why);
}

static whet_status read_inputs(whet_ctx *ctx, const whet_label_analyze_job *job,
                               whet_label_analysis *a) {
    whet_votes_read_opts reading = job->reading;
    WHET_TRY(read_names(ctx, job, a, &reading));
    WHET_TRY(whet_votes_read(ctx, job->votes, &reading, &a->file));
    WHET_TRY(check_names(ctx, job, a));
    if (a->classes) whet_vote_file_set_classes(a->file, whet_names_count(a->classes));
    const whet_votes *votes = whet_vote_file_votes(a->file);
    if (!job->truth) return WHET_OK;
    if (reading.classes || a->classes)
        return whet_class_labels_read(ctx, job->truth, votes->n, a->classes, votes->k, &a->truth);
    WHET_TRY(whet_class_labels_read(ctx, job->truth, votes->n, NULL, INT16_MAX, &a->truth));
    for (int64_t i = 0; i < votes->n; i++)
        whet_vote_file_set_classes(a->file, (int64_t)a->truth[i] + 1);
    return WHET_OK;
}

static bool each_votes_for_two(const whet_label_analysis *a, int64_t m, int64_t k) {
    for (int64_t j = 0; j < m; j++) {
        int64_t classes = 0;
        for (int64_t c = 0; c < k; c++) classes += a->vote_counts[j * k + c] > 0 ? 1 : 0;
        if (classes == 1) return false;
    }
    return true;
}

/* What pairs of rules are held against must not bend to the pairs themselves: EM takes two copies for
 * the truth. Medians of triplets do not mind one pair among many; but they take rules that know one
 * class each for dependent, and there Dawid-Skene, which knows abstaining, stays. */
static whet_status find_dependences(whet_ctx *ctx, const whet_votes *votes,
                                    const whet_vote_counts *counts, whet_label_analysis *a) {
    whet_label_model_opts opts = WHET_LABEL_MODEL_OPTS_INIT;
    whet_label_model *skene = NULL, *squid = NULL;
    whet_status status = WHET_OK;
    int64_t voting = 0;
    for (int64_t j = 0; j < votes->m; j++) voting += a->rules[j].votes > 0 ? 1 : 0;
    if (voting < 3) return WHET_OK; /* two rules cannot be told from one another's copies */
    opts.method = WHET_LABEL_DAWID_SKENE;
    WHET_TRY_DONE(whet_i_label_model_fit(ctx, votes, counts, &opts, &skene));
    opts.balance = skene->balance;
    opts.method = WHET_LABEL_FLYINGSQUID;
    opts.median = true;
    if (each_votes_for_two(a, votes->m, votes->k))
        WHET_TRY_DONE(whet_i_label_model_fit(ctx, votes, counts, &opts, &squid));
    WHET_TRY_DONE(whet_rule_dependences(ctx, squid ? squid : skene, counts, WHET_LABEL_DEPENDENCES,
                                        a->dependences, &a->n_dependences));
done:
    whet_label_model_destroy(ctx, squid);
    whet_label_model_destroy(ctx, skene);
    return status;
}

static whet_status analyze(whet_ctx *ctx, const whet_label_analyze_job *job,
                           whet_label_analysis *a) {
    whet_label_model_opts opts = WHET_LABEL_MODEL_OPTS_INIT;
    whet_vote_counts *counts = NULL;
    whet_status status = WHET_OK;
    WHET_TRY(read_inputs(ctx, job, a));
    const whet_votes *votes = whet_vote_file_votes(a->file);
    int64_t square;
    WHET_TRY_DONE(whet_i_alloc(ctx, votes->m, &a->rules));
    WHET_TRY_DONE(whet_i_alloc(ctx, votes->m * votes->k, &a->vote_counts));
    WHET_TRY_DONE(whet_i_mul(ctx, votes->m, votes->m, &square));
    WHET_TRY_DONE(whet_i_alloc(ctx, square, &a->both));
    WHET_TRY_DONE(whet_i_alloc(ctx, square, &a->agree));
    WHET_TRY_DONE(whet_votes_summary(ctx, votes, a->truth, a->rules, a->vote_counts, &a->totals));
    WHET_TRY_DONE(whet_vote_counts_create(ctx, votes->m, votes->k, &counts));
    WHET_TRY_DONE(whet_i_vote_counts_add(ctx, counts, votes, false));
    whet_vote_counts_agreement(counts, a->both, a->agree);
    opts.method = job->method;
    WHET_TRY_DONE(whet_i_label_model_fit(ctx, votes, counts, &opts, &a->model));
    whet_i_label_model_warn(ctx, a->model);
    WHET_TRY_DONE(find_dependences(ctx, votes, counts, a));
    if (job->report) WHET_TRY_DONE(whet_i_vote_report_write(ctx, job, a));
done:
    whet_vote_counts_destroy(ctx, counts);
    return status;
}

void whet_label_analysis_destroy(whet_ctx *ctx, whet_label_analysis *a) {
    whet_vote_file_destroy(ctx, a->file);
    whet_free_labels(ctx, a->truth);
    whet_names_destroy(ctx, a->classes);
    whet_names_destroy(ctx, a->rule_names);
    whet_i_free(ctx, a->rules);
    whet_i_free(ctx, a->vote_counts);
    whet_i_free(ctx, a->both);
    whet_i_free(ctx, a->agree);
    whet_label_model_destroy(ctx, a->model);
    *a = (whet_label_analysis){0};
}

whet_status whet_label_analyze_run(whet_ctx *ctx, const whet_label_analyze_job *job,
                                   whet_label_analysis *out) {
    whet_label_analyze_job known = WHET_LABEL_ANALYZE_JOB_INIT;
    whet_label_analysis a = {0};
    WHET_TRY(whet_i_opts(ctx, job, &known, sizeof known, "whet_label_analyze_job"));
    if (!known.votes) return whet_i_fail(ctx, WHET_ERR_ARG, "no votes; expected votes to read");
    const whet_status status = analyze(ctx, &known, &a);
    if (status == WHET_OK)
        *out = a;
    else
        whet_label_analysis_destroy(ctx, &a);
    return status;
}
