/* SPDX-License-Identifier: Apache-2.0
 * What rules say together of a row: softmax over classes of ln prior_c + the sum of the log odds of
 * the votes for c, as naive Bayes adds them up. The weights come with the rules (snuba.c, or a file).
 * Legend: n rows, m rules, k classes. */
#include <math.h>

#include "label/label_i.h"
#include "label/rules_i.h"

enum { BLOCK = 256 };

bool whet_rules_weighted(const whet_rules *rules) { return rules->prior != NULL; }

static whet_status keep(whet_ctx *ctx, whet_rules *rules, const double *from, int64_t n,
                        double **out) {
    WHET_TRY(whet_i_arena_alloc(ctx, &rules->arena, n, sizeof **out, out));
    memcpy(*out, from, sizeof **out * (size_t)n);
    return WHET_OK;
}

whet_status whet_i_rules_weigh(whet_ctx *ctx, whet_rules *rules, const double *prior,
                               const double *log_odds) {
    const int64_t k = whet_names_count(rules->classes);
    for (int64_t j = 0; j < rules->m; j++)
        WHET_TRY(keep(ctx, rules, log_odds + j * k, k, &rules->rule[j].log_odds));
    return keep(ctx, rules, prior, k, &rules->prior);
}

typedef struct task {
    const whet_rules *rules;
    const int32_t *votes;
    int64_t n;
    double *probs;
} task;

static void do_block(void *arg, int64_t block, int32_t worker) {
    const task *t = arg;
    const whet_rules *rules = t->rules;
    const int64_t k = whet_names_count(rules->classes), first = block * BLOCK;
    const int64_t end = t->n - first < BLOCK ? t->n : first + BLOCK;
    (void)worker;
    for (int64_t i = first; i < end; i++) {
        double *row = t->probs + i * k;
        for (int64_t c = 0; c < k; c++) row[c] = log(rules->prior[c]);
        for (int64_t j = 0; j < rules->m; j++) {
            const int32_t vote = t->votes[i * rules->m + j];
            if (vote >= 0) row[vote] += rules->rule[j].log_odds[vote];
        }
        whet_i_softmax(row, k);
    }
}

whet_status whet_i_rules_posterior(whet_ctx *ctx, const whet_rules *rules, const int32_t *votes,
                                   int64_t n, double *probs) {
    task t = {rules, votes, n, probs};
    return whet_i_parallel_for(ctx, NULL, (n + BLOCK - 1) / BLOCK, do_block, &t);
}

whet_status whet_rules_posterior(whet_ctx *ctx, const whet_rules *rules,
                                 const whet_rules_input *input, double *probs) {
    int64_t cells;
    int32_t *votes;
    if (!rules->prior)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "the rules carry no weights; expected a prior and log odds, as Snuba's "
                           "rules have them");
    WHET_TRY(whet_i_mul(ctx, input->n < 0 ? 0 : input->n, rules->m, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &votes));
    whet_status status = whet_rules_apply(ctx, rules, input, votes, NULL);
    if (status == WHET_OK) status = whet_i_rules_posterior(ctx, rules, votes, input->n, probs);
    whet_i_free(ctx, votes);
    return status;
}
