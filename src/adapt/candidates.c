/* SPDX-License-Identifier: Apache-2.0
 * The table of candidates. A new one is a file that defines a whet_i_candidate, a declaration and a
 * row here. A candidate that builds on another stands after it. */
#include "adapt/candidate.h"

extern const whet_i_candidate whet_i_candidate_logistic, whet_i_candidate_logistic_smoothed,
    whet_i_candidate_prototypes, whet_i_candidate_prototypes_smoothed, whet_i_candidate_zero_shot,
    whet_i_candidate_spread, whet_i_candidate_graph, whet_i_candidate_prototypes_graph,
    whet_i_candidate_snuba, whet_i_candidate_iws, whet_i_candidate_goggles,
    whet_i_candidate_propagate, whet_i_candidate_encoder, whet_i_candidate_kernel,
    whet_i_candidate_forest;

const whet_i_candidate *const whet_i_candidates[] = {
    &whet_i_candidate_logistic,   &whet_i_candidate_logistic_smoothed,
    &whet_i_candidate_prototypes, &whet_i_candidate_prototypes_smoothed,
    &whet_i_candidate_graph,      &whet_i_candidate_prototypes_graph,
    &whet_i_candidate_spread,     &whet_i_candidate_zero_shot,
    &whet_i_candidate_kernel,     &whet_i_candidate_forest,
    &whet_i_candidate_snuba,      &whet_i_candidate_iws,
    &whet_i_candidate_goggles,    &whet_i_candidate_propagate,
    &whet_i_candidate_encoder,
};

int64_t whet_i_candidate_count(void) { return WHET_COUNT_OF(whet_i_candidates); }

const whet_i_candidate *whet_i_candidate_find(const char *name, int64_t len) {
    const whet_str wanted = {name, len};
    for (int64_t i = 0; i < whet_i_candidate_count(); i++)
        if (whet_str_equal(wanted, whet_str_from(whet_i_candidates[i]->name)))
            return whet_i_candidates[i];
    return NULL;
}

bool whet_i_classes_rise(const int32_t *classes, int64_t seen, int64_t k) {
    for (int64_t c = 0; c < seen; c++)
        if (classes[c] <= (c ? classes[c - 1] : -1) || classes[c] >= k) return false;
    return seen >= 1;
}

void whet_i_result_free(whet_ctx *ctx, whet_i_result *result) {
    whet_i_free(ctx, result->probs);
    for (int64_t i = 0; result->fold && i < result->n_fold; i++)
        whet_i_base_free(ctx, &result->fold[i]);
    whet_i_free(ctx, result->fold);
    *result = (whet_i_result){0};
}
