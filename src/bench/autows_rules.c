/* SPDX-License-Identifier: Apache-2.0
 * Methods of the AutoWS comparison that make labelling functions: rules from the pool and the labels, their
 * votes on pool and test rows, and what joins the votes. Ours see prepared rows; Snuba's joint posterior is
 * its own, IWS's rules are joined by Dawid and Skene's model with the labels clamped. The published forms see
 * the feature map as it is, and Snorkel's model joins their votes as it was configured there.
 * Legend: n rows, m rules, k classes. */
#include <math.h>

#include "bench/autows_i.h"

#include "whet/labelling.h"
#include "whet/votes.h"

typedef struct voting {
    whet_rules *rules;
    int64_t m;
    int32_t *pool, *test; /* [n, m], [n_test, m] */
} voting;

static void free_voting(whet_ctx *ctx, voting *v) {
    whet_rules_destroy(ctx, v->rules);
    whet_i_free(ctx, v->pool);
    whet_i_free(ctx, v->test);
}

static bool published(int option) {
    return option == WHET_I_RULES_SNUBA_PUBLISHED || option == WHET_I_RULES_SNUBA_APART_PUBLISHED;
}

static bool apart(int option) {
    return option == WHET_I_RULES_SNUBA_APART || option == WHET_I_RULES_IWS_APART ||
           option == WHET_I_RULES_SNUBA_APART_PUBLISHED;
}

static whet_status make_rules(whet_ctx *ctx, int option, const whet_synth_input *in, voting *v) {
    /* As published: of two classes one run, whose rules vote for both. */
    const bool one = apart(option) && whet_names_count(in->classes) > 2;
    const whet_synth_form form = one ? WHET_SYNTH_ONE_VS_REST : WHET_SYNTH_MULTI;
    if (option == WHET_I_RULES_IWS || option == WHET_I_RULES_IWS_APART) {
        whet_iws_opts opts = WHET_IWS_OPTS_INIT;
        opts.form = form;
        return whet_iws(ctx, in, &opts, &v->rules, NULL);
    }
    whet_snuba_opts opts = WHET_SNUBA_OPTS_INIT;
    opts.form = form;
    opts.reference = published(option);
    return whet_snuba(ctx, in, &opts, &v->rules, NULL, NULL);
}

static whet_status apply(whet_ctx *ctx, const whet_rules *rules, const float *x, int64_t n,
                         int64_t d, int32_t **votes) {
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, n, whet_rules_count(rules), &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, votes));
    const whet_rules_input rows = {.features = x, .d = d, .n = n};
    return whet_rules_apply(ctx, rules, &rows, *votes, NULL);
}

static void note_covered(const int32_t *votes, int64_t n, int64_t m, bool *covered) {
    for (int64_t i = 0; i < n; i++) {
        covered[i] = false;
        for (int64_t j = 0; j < m; j++) covered[i] = covered[i] || votes[i * m + j] >= 0;
    }
}

static whet_status join(whet_ctx *ctx, int option, const whet_i_autows_task *task, const voting *v,
                        whet_i_autows_answer *out) {
    const whet_votes pool = {.n = task->n, .m = v->m, .k = task->k, .wide = v->pool};
    const whet_votes test = {.n = task->n_test, .m = v->m, .k = task->k, .wide = v->test};
    whet_label_model_opts opts = WHET_LABEL_MODEL_OPTS_INIT;
    whet_label_model *model = NULL;
    whet_status status = WHET_OK;
    opts.labels = task->labels; /* of them Snorkel's model takes the balance alone */
    opts.method = published(option) ? WHET_LABEL_SNORKEL : WHET_LABEL_DAWID_SKENE;
    opts.epochs = 100;
    opts.step = .005;
    WHET_TRY_DONE(whet_label_model_fit(ctx, &pool, &opts, &model));
    WHET_TRY_DONE(whet_label_model_predict(ctx, model, &pool, out->pool));
    WHET_TRY_DONE(whet_label_model_predict(ctx, model, &test, out->test));
done:
    whet_label_model_destroy(ctx, model);
    return status;
}

static whet_status posterior(whet_ctx *ctx, const whet_i_autows_task *task, const voting *v,
                             whet_i_autows_answer *out) {
    const whet_rules_input pool = {.features = task->x, .d = task->d, .n = task->n};
    const whet_rules_input test = {.features = task->test, .d = task->d, .n = task->n_test};
    WHET_TRY(whet_rules_posterior(ctx, v->rules, &pool, out->pool));
    return whet_rules_posterior(ctx, v->rules, &test, out->test);
}

whet_status whet_i_autows_by_rules(whet_ctx *ctx, const whet_i_autows_method *self,
                                   const whet_i_autows_task *task, whet_i_autows_answer *out) {
    const bool as_is = published(self->option);
    const whet_synth_input in = {.features = as_is ? task->raw : task->x,
                                 .n = task->n,
                                 .d = as_is ? task->d_raw : task->d,
                                 .classes = task->classes,
                                 .labels = task->labels,
                                 .seed = task->seed};
    voting v = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(make_rules(ctx, self->option, &in, &v));
    v.m = out->rules = whet_rules_count(v.rules);
    WHET_TRY_DONE(apply(ctx, v.rules, in.features, task->n, in.d, &v.pool));
    WHET_TRY_DONE(
        apply(ctx, v.rules, as_is ? task->raw_test : task->test, task->n_test, in.d, &v.test));
    note_covered(v.pool, task->n, v.m, out->pool_covered);
    note_covered(v.test, task->n_test, v.m, out->test_covered);
    status = whet_rules_weighted(v.rules) ? posterior(ctx, task, &v, out)
                                          : join(ctx, self->option, task, &v, out);
done:
    free_voting(ctx, &v);
    return status;
}
