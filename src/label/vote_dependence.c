/* SPDX-License-Identifier: Apache-2.0
 * Rules that hang together: pairs that meet or agree more often than their accuracies explain. Under
 * a model with P(j votes v | c) the rules are independent given the class, so that of two rules the
 * shares of rows on which both vote, and on which they agree, are known; what is above is told, with
 * the number of standard errors. Two rules that copy one another count twice in every model here.
 * Legend: m rules, k classes, d = m k cells. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "label/vote_model.h"

/* Excess that is worth telling: in share of agreement, in how often both vote, and the least standard
 * errors, above what m^2 pairs of independent rules reach (1e-6 a pair at 5). */
#define LEAST_AGREEMENT .05
#define LEAST_MEETING 1.2
#define LEAST_Z 5.0
#define LEAST_COPIED 10 /* votes that two rules must have all alike to be copies */

static int64_t votes_of(const whet_vote_counts *counts, int64_t j) {
    const int64_t k = counts->k, d = counts->m * k;
    int64_t votes = 0;
    for (int64_t s = j * k; s < (j + 1) * k; s++) votes += counts->pairs[s * d + s];
    return votes;
}

static whet_rule_dependence pair_of(const whet_label_model *model, const whet_vote_counts *counts,
                                    int64_t a, int64_t b) {
    const int64_t k = counts->k, d = counts->m * k;
    whet_rule_dependence r = {.a = a, .b = b};
    double both = 0, same = 0;
    for (int64_t v = 0; v < k; v++)
        for (int64_t w = 0; w < k; w++) {
            const int64_t rows = counts->pairs[(a * k + v) * d + b * k + w];
            r.both += rows;
            r.agree += v == w ? rows : 0;
        }
    r.copy =
        r.agree >= LEAST_COPIED && r.agree == votes_of(counts, a) && r.agree == votes_of(counts, b);
    for (int64_t c = 0; c < k; c++) {
        double first = 0, second = 0;
        for (int64_t v = 0; v < k; v++) {
            const double x = model->likely[(a * k + v) * k + c];
            const double y = model->likely[(b * k + v) * k + c];
            first += x;
            second += y;
            same += model->balance[c] * x * y;
        }
        both += model->balance[c] * first * second;
    }
    const double n = (double)counts->n, met = (double)r.both;
    r.expected_both = both * n;
    r.expected_agreement = both > 0 ? fmin(1, same / both) : 0;
    r.agreement = r.both ? (double)r.agree / met : 0;
    const double p = fmin(1 - 1e-6, fmax(1e-6, r.expected_agreement));
    r.agreement_z = r.both ? (r.agreement - r.expected_agreement) / sqrt(p * (1 - p) / met) : 0;
    const double q = fmin(1 - 1e-9, fmax(1e-9, both));
    r.both_z = n > 0 ? (met - q * n) / sqrt(q * (1 - q) * n) : 0;
    return r;
}

static bool is_dependent(const whet_rule_dependence *r) {
    return r->copy ||
           (r->agreement_z >= LEAST_Z && r->agreement - r->expected_agreement >= LEAST_AGREEMENT) ||
           (r->both_z >= LEAST_Z && (double)r->both >= LEAST_MEETING * r->expected_both);
}

static double strength(const whet_rule_dependence *r) {
    return r->copy ? (double)INFINITY : fmax(r->agreement_z, r->both_z);
}

static int by_strength(const void *left, const void *right) {
    const whet_rule_dependence *x = left, *y = right;
    const double a = strength(x), b = strength(y);
    if (a > b || a < b) return a > b ? -1 : 1;
    return x->a != y->a ? (x->a > y->a) - (x->a < y->a) : (x->b > y->b) - (x->b < y->b);
}

whet_status whet_rule_dependences(whet_ctx *ctx, const whet_label_model *model,
                                  const whet_vote_counts *counts, int64_t most,
                                  whet_rule_dependence *out, int64_t *count) {
    whet_rule_dependence *found = NULL;
    int64_t n = 0, cap = 0;
    whet_status status = WHET_OK;
    if (!model->likely || model->info.m != counts->m || model->info.k != counts->k || most < 0)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "dependences by %s; expected a model of how rules vote given the class, "
                           "of the rules and classes that were counted",
                           whet_label_method_name(model->info.method));
    for (int64_t a = 0; a < counts->m; a++) {
        WHET_TRY_DONE(whet_i_progress(ctx, "comparing rules", a, counts->m));
        for (int64_t b = a + 1; b < counts->m; b++) {
            const whet_rule_dependence r = pair_of(model, counts, a, b);
            if (!is_dependent(&r)) continue;
            if (n == cap) {
                cap = cap ? 2 * cap : 64;
                WHET_TRY_DONE(whet_i_realloc(ctx, &found, cap));
            }
            found[n++] = r;
        }
    }
    if (n) qsort(found, (size_t)n, sizeof *found, by_strength);
    if (n && most) memcpy(out, found, sizeof *out * (size_t)(n < most ? n : most));
    *count = n;
done:
    whet_i_free(ctx, found);
    return status;
}

void whet_vote_counts_agreement(const whet_vote_counts *counts, int64_t *both, int64_t *agree) {
    const int64_t m = counts->m, k = counts->k, d = m * k;
    for (int64_t a = 0; a < m; a++)
        for (int64_t b = 0; b < m; b++) {
            int64_t met = 0, same = 0;
            for (int64_t v = 0; v < k; v++)
                for (int64_t w = 0; w < k; w++) {
                    const int64_t rows = counts->pairs[(a * k + v) * d + b * k + w];
                    met += rows;
                    same += v == w ? rows : 0;
                }
            both[a * m + b] = met;
            agree[a * m + b] = same;
        }
}
