/* SPDX-License-Identifier: Apache-2.0
 * Rules made from files: features, labels with places to complain about, votes and rules written.
 * Legend: n rows, m rules, k classes. */
#include <inttypes.h>

#include "io/io_i.h"
#include "label/label_i.h"
#include "label/rule_candidates.h"
#include "label/vote_stream.h"

typedef struct run {
    const whet_synth_job *job;
    whet_tensor features, class_features, votes, probs;
    whet_names *classes;
    int32_t *labels;
    whet_rules *rules;
    whet_rule_report *reports;
    whet_class_mapping *mapping;
    int64_t covered;
} run;

static void release(whet_ctx *ctx, run *r) {
    whet_tensor_destroy(ctx, &r->features);
    whet_tensor_destroy(ctx, &r->class_features);
    whet_tensor_destroy(ctx, &r->votes);
    whet_tensor_destroy(ctx, &r->probs);
    whet_names_destroy(ctx, r->classes);
    whet_i_free(ctx, r->labels);
    whet_rules_destroy(ctx, r->rules);
    whet_i_free(ctx, r->reports);
    whet_class_mapping_free(ctx, r->mapping);
}

static whet_status read_class_features(whet_ctx *ctx, run *r) {
    const char *path = r->job->class_features;
    if (!path) return WHET_OK;
    WHET_TRY(whet_array_read_as(ctx, path, WHET_F32, 2, true, &r->class_features));
    const int64_t *shape = r->class_features.shape;
    const int64_t k = whet_names_count(r->classes), d = r->features.shape[1];
    if (shape[0] == k && shape[1] == d) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_SHAPE,
                       "%s is [%" PRId64 ", %" PRId64 "]; expected [%" PRId64 ", %" PRId64
                       "], a row for each class and the columns of %s",
                       path, shape[0], shape[1], k, d, r->job->features);
}

static whet_status make_rules(whet_ctx *ctx, run *r, whet_synth_report *report) {
    const int64_t n = r->features.shape[0], k = whet_names_count(r->classes);
    const whet_synth_input input = {.features = r->features.data,
                                    .n = n,
                                    .d = r->features.shape[1],
                                    .classes = r->classes,
                                    .labels = r->labels,
                                    .seed = r->job->seed};
    if (k < 2)
        return whet_i_fail(ctx, WHET_ERR_DATA, "%s: %" PRId64 " class%s; expected at least 2",
                           r->job->labels ? r->job->labels : r->job->classes, k,
                           k == 1 ? "" : "es");
    if (r->job->method != WHET_SYNTH_SIMILARITY && n > 1 &&
        whet_i_rows_are_alike(input.features, n, input.d))
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: every feature is constant; expected features that tell rows apart",
                           r->job->features);
    if (r->job->probs || r->job->method == WHET_SYNTH_GOGGLES) {
        const int64_t shape[2] = {n, k};
        WHET_TRY(whet_tensor_create(ctx, WHET_F64, 2, shape, &r->probs));
    }
    if (r->job->method == WHET_SYNTH_GOGGLES) {
        const int64_t shape[2] = {n, WHET_GOGGLES_VOTES};
        WHET_TRY(whet_tensor_create(ctx, WHET_I32, 2, shape, &r->votes));
        WHET_TRY(whet_goggles(ctx, &input, r->votes.data, r->probs.data, report));
        WHET_TRY(whet_i_alloc(ctx, k, &r->mapping));
        return whet_class_mapping_measure(ctx, r->probs.data, n, k, r->labels, r->mapping);
    }
    if (r->job->method == WHET_SYNTH_SIMILARITY)
        return whet_similarity_rules(ctx, &input, r->class_features.data, &r->rules, report);
    if (r->job->method == WHET_SYNTH_IWS)
        return whet_iws(ctx, &input, &r->job->iws, &r->rules, report);
    return whet_snuba(ctx, &input, &r->job->snuba, &r->rules, r->probs.data, report);
}

static void count_covered(run *r) {
    const int64_t n = r->votes.shape[0], m = r->votes.shape[1];
    const int32_t *votes = r->votes.data;
    for (int64_t i = 0; i < n; i++) {
        int32_t most = -1;
        for (int64_t j = 0; j < m; j++) most = votes[i * m + j] > most ? votes[i * m + j] : most;
        r->covered += most >= 0;
    }
}

static whet_status vote(whet_ctx *ctx, run *r) {
    if (!r->rules) return WHET_OK; /* votes are there already */
    const int64_t n = r->features.shape[0], m = whet_rules_count(r->rules);
    const int64_t shape[2] = {n, m};
    const whet_rules_input input = {
        .features = r->features.data, .d = r->features.shape[1], .n = n};
    WHET_TRY(whet_i_calloc(ctx, m, &r->reports));
    WHET_TRY(whet_tensor_create(ctx, WHET_I32, 2, shape, &r->votes));
    return whet_rules_apply(ctx, r->rules, &input, r->votes.data, r->reports);
}

/* All are open before the first appears. */
static whet_status write_all(whet_ctx *ctx, run *r) {
    const whet_synth_job *job = r->job;
    const int64_t *shape = r->votes.shape;
    whet_i_vote_stream *votes = NULL, *last_votes = NULL;
    whet_npy_stream *probs = NULL, *last = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_vote_stream_open(ctx, job->votes, job->force, shape[0], shape[1],
                                          whet_names_count(r->classes), &votes));
    WHET_TRY_DONE(whet_i_vote_stream_append(ctx, votes, r->votes.data, shape[0]));
    if (job->probs) {
        WHET_TRY_DONE(
            whet_npy_stream_open(ctx, job->probs, job->force, WHET_F64, 2, r->probs.shape, &probs));
        WHET_TRY_DONE(whet_npy_stream_append(ctx, probs, r->probs.data, r->probs.shape[0]));
    }
    if (job->save) WHET_TRY_DONE(whet_rules_save(ctx, r->rules, job->save, job->force));
    last = probs;
    probs = NULL;
    if (last) WHET_TRY_DONE(whet_npy_stream_commit(ctx, last));
    last_votes = votes;
    votes = NULL;
    status = whet_i_vote_stream_commit(ctx, last_votes);
done:
    whet_i_vote_stream_abort(ctx, votes);
    whet_npy_stream_abort(ctx, probs);
    return status;
}

static whet_status compute(whet_ctx *ctx, run *r, whet_synth_report *report) {
    const whet_synth_job *job = r->job;
    WHET_TRY(whet_i_features_read(ctx, job->features, &r->features));
    if (r->features.shape[1] < 1)
        return whet_i_fail(ctx, WHET_ERR_SHAPE, "%s: no columns; expected features", job->features);
    WHET_TRY(whet_i_row_labels_read(ctx, job->labels, job->classes, r->features.shape[0],
                                    &r->classes, &r->labels));
    WHET_TRY(read_class_features(ctx, r));
    WHET_TRY(make_rules(ctx, r, report));
    WHET_TRY(vote(ctx, r));
    count_covered(r);
    return write_all(ctx, r);
}

whet_status whet_synth_files(whet_ctx *ctx, const whet_synth_job *job, whet_rules_result *out,
                             whet_synth_report *report) {
    whet_synth_job known = WHET_SYNTH_JOB_INIT;
    run r = {.job = &known};
    *out = (whet_rules_result){0};
    WHET_TRY(whet_i_opts(ctx, job, &known, sizeof known, "whet_synth_job"));
    const bool similarity = known.method == WHET_SYNTH_SIMILARITY;
    if (!known.features || !known.votes || (!known.labels && !similarity) ||
        !known.class_features != !similarity)
        return whet_i_fail(
            ctx, WHET_ERR_ARG,
            "expected features and labels to read and votes to write; for similarity, "
            "and for nothing else, class features, and labels or none");
    if (known.probs && (known.method == WHET_SYNTH_IWS || similarity))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a joint posterior is asked for; expected it of snuba or goggles");
    if (known.save && known.method == WHET_SYNTH_GOGGLES)
        return whet_i_fail(ctx, WHET_ERR_ARG, "rules of goggles, which has none, are to be saved");
    const whet_status status = compute(ctx, &r, report);
    if (status == WHET_OK) {
        *out = (whet_rules_result){.rules = r.rules,
                                   .reports = r.reports,
                                   .n = r.features.shape[0],
                                   .covered = r.covered,
                                   .classes = r.mapping ? r.classes : NULL,
                                   .mapping = r.mapping};
        if (r.mapping) r.classes = NULL;
        r.mapping = NULL;
        r.rules = NULL;
        r.reports = NULL;
    }
    release(ctx, &r);
    return status;
}
