/* SPDX-License-Identifier: Apache-2.0
 * FlyingSquid: accuracies in closed form from triplets of rules (Fu et al. 2020, arXiv 2002.11955;
 * rules independent given the class). Class against the rest: lambda in {-1, 0, +1}, y in {-1, +1},
 * S_ab = mean of lambda_a lambda_b, E_i = mean (or median) over pairs {a, b} of
 * sqrt |S_ia S_ib / S_ab| = E[lambda_i y], all taken as positive. Of two classes one such problem
 * says everything; of more, each class has its own, and their probabilities are divided by their sum.
 *
 * With z = P(lambda_i = 0), q = P(lambda_i = 1), r = (1 + E_i - z) / 2, pi = P(y = 1):
 *   J[+][+] = (q + r - (1 - pi) + z (1 - pi)) / 2, J[+][-] = q - J[+][+], J[-][-] = r - J[+][+],
 *   J[-][+] = pi (1 - z) - J[+][+], negative entries turned round, and P ~ prod J_i / P(y)^(m - 1).
 * The package divides by P(y)^(m - 2), one prior too many in the product, and takes the softmax of
 * the classes' probabilities; `compat` does so, too. Abstaining says nothing: J[0][y] = z P(y).
 *
 * Legend: m rules, k classes, d = m k cells; sign 0 is -1, sign 1 is +1. */
#include <math.h>
#include <stdlib.h>

#include "label/vote_model.h"

typedef struct squid {
    const whet_i_label_fit *fit;
    int64_t m, k, d;
    double *s;       /* [m, m] of the class at hand */
    double *e;       /* [m] */
    double *triplet; /* [threads, m (m - 1) / 2] for medians, or NULL */
} squid;

/* Rows on which rule a voted class c, and in all; of two rules the four corners follow from sums. */
static double moment(const squid *q, int64_t a, int64_t b, int64_t c) {
    const int64_t k = q->k, *pairs = q->fit->counts->pairs;
    int64_t both = 0, first = 0, second = 0;
    for (int64_t v = 0; v < k; v++) {
        const int64_t *row = pairs + (a * k + v) * q->d + b * k;
        for (int64_t w = 0; w < k; w++) {
            both += row[w];
            first += v == c ? row[w] : 0;
            second += w == c ? row[w] : 0;
        }
    }
    const int64_t hits = pairs[(a * k + c) * q->d + b * k + c];
    return (double)(both - 2 * (first + second) + 4 * hits) / (double)q->fit->n;
}

static void fill_moments(void *arg, int64_t item, int32_t worker) {
    const squid *q = arg;
    const int64_t c = item / q->m, a = item % q->m;
    (void)worker;
    for (int64_t b = 0; b < q->m; b++)
        q->s[(c * q->m + a) * q->m + b] = a == b ? 0 : moment(q, a, b, q->k == 2 ? 1 : c);
}

static int by_size(const void *left, const void *right) {
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* E of one rule and class. Rules that never vote are in no triplet. */
static void estimate(void *arg, int64_t item, int32_t worker) {
    const squid *q = arg;
    const int64_t m = q->m, c = item / m, i = item % m;
    const double *s = q->s + c * m * m, *coverage = q->fit->coverage;
    double *kept = q->triplet ? q->triplet + worker * (m * (m - 1) / 2) : NULL;
    double sum = 0;
    int64_t count = 0;
    for (int64_t a = 0; a < m; a++) {
        if (a == i || !(coverage[a] > 0)) continue;
        for (int64_t b = a + 1; b < m; b++) {
            if (b == i || !(coverage[b] > 0)) continue;
            const double apart = s[a * m + b];
            const double value = apart == 0 ? 0 : sqrt(fabs(s[i * m + a] * s[i * m + b] / apart));
            if (kept) kept[count] = value;
            sum += value;
            count++;
        }
    }
    q->e[item] = count ? sum / (double)count : 0;
    if (!kept || count == 0) return;
    qsort(kept, (size_t)count, sizeof *kept, by_size);
    q->e[item] = (kept[(count - 1) / 2] + kept[count / 2]) / 2;
}

/* J[sign][y] of a rule against class c of prior pi. */
static void joint_of(const squid *q, int64_t j, int64_t c, double e, double pi, double out[2][2]) {
    const double cover = q->fit->coverage[j], z = 1 - cover;
    const int64_t cell = j * q->k + c;
    const double p = (double)q->fit->counts->pairs[cell * q->d + cell] / (double)q->fit->n;
    const double r = (1 + e - z) / 2, hit = (p + r - (1 - pi) + z * (1 - pi)) / 2;
    out[1][1] = fabs(hit);
    out[1][0] = fabs(p - hit);
    out[0][0] = fabs(r - hit);
    out[0][1] = fabs(pi * (1 - z) - hit);
    const double sum = out[0][0] + out[0][1] + out[1][0] + out[1][1] + z;
    for (int s = 0; s < 2; s++)
        for (int y = 0; y < 2; y++) out[s][y] /= sum;
}

static double log_of(double x) { return x > 0 ? log(x) : WHET_I_LOG_NONE; }

static void two_classes(const squid *q, whet_label_model *model) {
    const double *p = q->fit->balance;
    for (int64_t j = 0; j < q->m; j++) {
        double joint[2][2];
        if (!(q->fit->coverage[j] > 0)) continue;
        joint_of(q, j, 1, q->e[j], p[1], joint);
        for (int64_t v = 0; v < 2; v++)
            for (int64_t y = 0; y < 2; y++) {
                model->likely[(j * 2 + v) * 2 + y] = joint[v][y] / p[y];
                model->table[(j * 2 + v) * model->width + y] = log_of(joint[v][y]) - log(p[y]);
            }
    }
    for (int64_t y = 0; y < 2; y++) model->base[y] = (q->fit->opts->compat ? 2 : 1) * log(p[y]);
}

static void many_classes(const squid *q, whet_label_model *model) {
    const int64_t k = q->k;
    for (int64_t c = 0; c < k; c++) {
        const double pi = q->fit->balance[c], odds = log(pi) - log(1 - pi);
        for (int64_t j = 0; j < q->m; j++) {
            double joint[2][2];
            if (!(q->fit->coverage[j] > 0)) continue;
            joint_of(q, j, c, q->e[c * q->m + j], pi, joint);
            model->likely[(j * k + c) * k + c] = joint[1][1] / pi;
            for (int64_t v = 0; v < k; v++) {
                const double *at = joint[v == c ? 1 : 0];
                model->table[(j * k + v) * model->width + c] = log_of(at[1]) - log_of(at[0]) - odds;
                if (v != c) model->likely[(j * k + c) * k + v] = joint[1][0] / (1 - pi);
            }
        }
        model->base[c] = (q->fit->opts->compat ? 2 : 1) * odds;
    }
    model->link = q->fit->opts->compat ? WHET_I_LINK_SOFTMAX_OF_ODDS : WHET_I_LINK_ODDS;
}

whet_status whet_i_fit_flyingsquid(whet_ctx *ctx, const whet_i_label_fit *fit,
                                   whet_label_model *model) {
    squid q = {.fit = fit, .m = fit->m, .k = fit->k, .d = fit->m * fit->k};
    const int64_t problems = q.k == 2 ? 1 : q.k;
    whet_status status = WHET_OK;
    int64_t size;
    WHET_TRY_DONE(whet_i_mul(ctx, problems * q.m, q.m, &size));
    WHET_TRY_DONE(whet_i_alloc(ctx, size, &q.s));
    WHET_TRY_DONE(whet_i_alloc(ctx, problems * q.m, &q.e));
    if (fit->opts->median) {
        WHET_TRY_DONE(whet_i_mul(ctx, q.m * (q.m - 1) / 2, whet_ctx_threads(ctx), &size));
        WHET_TRY_DONE(whet_i_alloc(ctx, size, &q.triplet));
    }
    WHET_TRY_DONE(whet_i_calloc(ctx, q.d * q.k, &model->likely));
    WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, problems * q.m, fill_moments, &q));
    WHET_TRY_DONE(whet_i_parallel_for(ctx, "triplets", problems * q.m, estimate, &q));
    if (q.k == 2)
        two_classes(&q, model);
    else
        many_classes(&q, model);
    whet_i_accuracies(fit, model->likely, model->accuracy);
    model->abstains = fit->opts->compat; /* the package has the prior squared there */
done:
    whet_i_free(ctx, q.triplet);
    whet_i_free(ctx, q.e);
    whet_i_free(ctx, q.s);
    return status;
}
