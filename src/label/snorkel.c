/* SPDX-License-Identifier: Apache-2.0
 * Snorkel's label model: completing the matrix of moments (MeTaL; Ratner et al. 2018, arXiv
 * 1810.02840; the package's 0.10, rules independent given the class).
 *
 * O = the share of rows with both of two cells. mu (d x k), mu[(j, v), c] ~ P(rule j votes v | c):
 *   f(mu) = |M o (O - mu P mu^T)|^2 + |mu p - diag O|^2 + l2^2 |mu - init|^2,
 * P = diag(p) the balance, M without the blocks of one rule with itself. With Q = mu P and
 * W = mu^T Q (k x k; W_j of rule j alone) the products never need a d x d residual:
 *   (M o (mu P mu^T)) Q = Q W - blocks Q_j W_j,   |M o mu P mu^T|^2 = tr W W - sum_j tr W_j W_j.
 * The reference optimiser is the package's: heavy-ball steps v = .9 v + grad, mu -= rate v, one an
 * epoch, from start x init. Sums in f64, theirs in f32: mu agree to 5e-7 after 500 epochs.
 * The fast one goes on by L-BFGS, to an optimum. There are many: f does not see mu P^1/2 turned by a
 * rotation that leaves P^1/2 1 as it is (of more than two classes), and has valleys beside each other.
 * Hence it takes the reference's epochs first, and short steps then: on the votes of trec's rules
 * (k = 6) free steps lead into another valley, from the start and after 1000 epochs alike.
 *
 * Legend: m rules, k classes, d = m k cells. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "kernels/kernels_i.h"
#include "label/vote_model.h"
#include "tensor/tensor_i.h"

#define ASSUMED_ACCURACY .7
#define MOMENTUM .9
#define LONGEST_STEP .01 /* of L-BFGS; .02 keeps to the valley too, .05 not always */
enum { ROWS_AN_ITEM = 32, FAST_STEPS = 5000 };
#define PARALLEL_WORK 2e5 /* multiplications below which threads cost more than they give */

typedef struct completing {
    whet_ctx *ctx;
    const whet_kernels *kernels;
    int64_t m, k, d;
    const double *p; /* [k] */
    double l2;
    double *o;               /* [d, d] shares, zero within a rule */
    double *diagonal, *init; /* [d], [d, k] */
    double *mu, *grad;       /* [d, k] */
    double *q, *oq;          /* [d, k] mu P; O mu P */
    double *w, *wj;          /* [k, k] */
    double squares;          /* sum of o^2 */
} completing;

/* ---- loss and gradient ----------------------------------------------------------------------- */

static void multiply_rows(void *arg, int64_t item, int32_t worker) {
    const completing *c = arg;
    const int64_t first = item * ROWS_AN_ITEM, left = c->d - first;
    (void)worker;
    const whet_i_product_f64 args = {.m = left < ROWS_AN_ITEM ? left : ROWS_AN_ITEM,
                                     .n = c->k,
                                     .k = c->d,
                                     .a = c->o + first * c->d,
                                     .b = c->q,
                                     .a_row = c->d,
                                     .a_col = 1,
                                     .b_row = c->k,
                                     .b_col = 1,
                                     .c = c->oq + first * c->k,
                                     .ldc = c->k};
    c->kernels->product_f64(&args);
}

static whet_status multiply(completing *c) {
    const int64_t items = (c->d + ROWS_AN_ITEM - 1) / ROWS_AN_ITEM;
    if ((double)c->d * (double)c->d * (double)c->k > PARALLEL_WORK)
        return whet_i_parallel_for(c->ctx, NULL, items, multiply_rows, c);
    for (int64_t i = 0; i < items; i++) multiply_rows(c, i, 0);
    return WHET_OK;
}

/* w [k, k] = mu_j^T Q_j of one rule. */
static void gram_of_rule(const completing *c, const double *mu, int64_t j, double *w) {
    const int64_t k = c->k;
    memset(w, 0, sizeof *w * (size_t)(k * k));
    for (int64_t s = j * k; s < (j + 1) * k; s++)
        for (int64_t a = 0; a < k; a++)
            for (int64_t b = 0; b < k; b++) w[a * k + b] += mu[s * k + a] * c->q[s * k + b];
}

static double trace_of_square(const double *w, int64_t k) {
    double sum = 0;
    for (int64_t a = 0; a < k; a++)
        for (int64_t b = 0; b < k; b++) sum += w[a * k + b] * w[b * k + a];
    return sum;
}

/* The gradient at mu [d, k], and the loss, which no step needs. */
static whet_status gradient_at(completing *c, const double *mu, double *grad, double *loss) {
    const int64_t k = c->k, d = c->d;
    double f = c->squares;
    for (int64_t i = 0; i < d * k; i++) c->q[i] = mu[i] * c->p[i % k];
    WHET_TRY(multiply(c));
    memset(c->w, 0, sizeof *c->w * (size_t)(k * k));
    for (int64_t j = 0; j < c->m; j++) {
        gram_of_rule(c, mu, j, c->wj);
        f -= trace_of_square(c->wj, k);
        for (int64_t e = 0; e < k * k; e++) c->w[e] += c->wj[e];
    }
    f += trace_of_square(c->w, k);
    for (int64_t j = 0; j < c->m; j++) {
        gram_of_rule(c, mu, j, c->wj);
        for (int64_t e = 0; e < k * k; e++) c->wj[e] = c->w[e] - c->wj[e];
        for (int64_t s = j * k; s < (j + 1) * k; s++) {
            const double *restrict q = c->q + s * k;
            double *restrict g = grad + s * k;
            double off = -c->diagonal[s];
            for (int64_t b = 0; b < k; b++) {
                off += q[b];
                f -= 2 * c->oq[s * k + b] * mu[s * k + b];
                g[b] = -4 * c->oq[s * k + b];
            }
            for (int64_t a = 0; a < k; a++)
                for (int64_t b = 0; b < k; b++) g[b] += 4 * q[a] * c->wj[a * k + b];
            for (int64_t b = 0; b < k; b++) g[b] += 2 * off * c->p[b];
            f += off * off;
        }
    }
    for (int64_t i = 0; c->l2 > 0 && i < d * k; i++) {
        const double off = mu[i] - c->init[i];
        f += c->l2 * c->l2 * off * off;
        grad[i] += 2 * c->l2 * c->l2 * off;
    }
    *loss = f;
    return WHET_OK;
}

/* ---- optimisers ------------------------------------------------------------------------------ */

/* The package's: torch's SGD with momentum; l2 is its weight decay as well. */
static whet_status by_reference(completing *c, const whet_label_model_opts *opts, double *velocity,
                                double *loss) {
    const int64_t size = c->d * c->k;
    for (int64_t epoch = 0; epoch < opts->epochs; epoch++) {
        if (epoch % 16 == 0)
            WHET_TRY(whet_i_progress(c->ctx, "fitting snorkel", epoch, opts->epochs));
        WHET_TRY(gradient_at(c, c->mu, c->grad, loss));
        if (!isfinite(*loss))
            return whet_i_fail(c->ctx, WHET_ERR_NUMERIC,
                               "snorkel diverges at epoch %" PRId64 " with rate %g; try a smaller "
                               "rate, or the fast optimiser",
                               epoch, opts->step);
        for (int64_t i = 0; i < size; i++) {
            velocity[i] = MOMENTUM * velocity[i] + c->grad[i] + c->l2 * c->mu[i];
            c->mu[i] -= opts->step * velocity[i];
        }
    }
    return whet_i_progress(c->ctx, "fitting snorkel", opts->epochs, opts->epochs);
}

static double evaluate(const void *arg, const double *theta, double *gradient) {
    union { /* the objective is constant but for its room */
        const void *in;
        completing *c;
    } at = {arg};
    double loss;
    if (gradient_at(at.c, theta, gradient, &loss) != WHET_OK) return (double)NAN; /* cancelled */
    return loss;
}

static void start_over(completing *c, double start) {
    for (int64_t i = 0; i < c->d * c->k; i++) c->mu[i] = start * c->init[i];
}

/* The reference's epochs, undone where they lead up: L-BFGS needs no rate. */
static whet_status follow_reference(completing *c, const whet_label_model_opts *opts,
                                    double *velocity, int64_t *steps) {
    double first, last;
    WHET_TRY(gradient_at(c, c->mu, c->grad, &first));
    const whet_status status = by_reference(c, opts, velocity, &last);
    if (status != WHET_OK && status != WHET_ERR_NUMERIC) return status;
    if (status == WHET_OK) WHET_TRY(gradient_at(c, c->mu, c->grad, &last));
    *steps = opts->epochs;
    if (status == WHET_OK && last <= first) return WHET_OK;
    start_over(c, opts->start);
    *steps = 0;
    return WHET_OK;
}

/* velocity [d, k] zero; room for ones then. */
static whet_status by_lbfgs(completing *c, const whet_label_model_opts *opts, double *velocity,
                            double *loss, int64_t *steps) {
    const whet_i_objective objective = {
        .size = c->d * c->k, .evaluate = evaluate, .arg = c, .longest = LONGEST_STEP};
    double *room = NULL;
    int64_t followed;
    WHET_TRY(follow_reference(c, opts, velocity, &followed));
    WHET_TRY(whet_i_alloc(c->ctx, whet_i_lbfgs_workspace(objective.size), &room));
    for (int64_t i = 0; i < objective.size; i++) velocity[i] = 1;
    /* Entries of mu matter to 1e-6 at most; the gradient is some 4 times that. */
    *steps = followed + whet_i_lbfgs(&objective, velocity, 1e-8, FAST_STEPS, c->mu, room);
    whet_i_free(c->ctx, room);
    WHET_TRY(whet_i_progress(c->ctx, "fitting snorkel", opts->epochs, opts->epochs));
    return gradient_at(c, c->mu, c->grad, loss);
}

/* ---- start and end --------------------------------------------------------------------------- */

static void set_moments(completing *c, const whet_i_label_fit *fit) {
    const int64_t k = c->k, d = c->d;
    const double n = (double)(fit->counts->n > 0 ? fit->counts->n : 1);
    for (int64_t a = 0; a < d; a++) {
        c->diagonal[a] = (double)fit->counts->pairs[a * d + a] / n;
        for (int64_t b = 0; b < d; b++) {
            c->o[a * d + b] = a / k == b / k ? 0 : (double)fit->counts->pairs[a * d + b] / n;
            c->squares += c->o[a * d + b] * c->o[a * d + b];
        }
        const double *given = fit->opts->accuracy;
        const double accuracy = given ? given[a / k] : ASSUMED_ACCURACY;
        c->init[a * k + a % k] = fmin(1, c->diagonal[a] * accuracy / c->p[a % k]);
    }
    start_over(c, fit->opts->start);
}

/* The loss does not tell classes of equal balance apart: of their orders takes the one in which
 * rules are most often right. Balances are equal when they agree to three decimals. */
static whet_status order_classes(completing *c) {
    const int64_t k = c->k;
    double *gain = NULL;
    int64_t *to = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_calloc(c->ctx, k * k, &gain));
    WHET_TRY_DONE(whet_i_alloc(c->ctx, k, &to));
    for (int64_t a = 0; a < k; a++)
        for (int64_t b = 0; b < k; b++) {
            const bool equal = nearbyint(1000 * c->p[a]) == nearbyint(1000 * c->p[b]);
            if (!equal) gain[a * k + b] = -1e3 * (double)c->m;
            for (int64_t j = 0; equal && j < c->m; j++)
                gain[a * k + b] += c->mu[(j * k + b) * k + a] * c->p[b];
        }
    WHET_TRY_DONE(whet_i_assign_gains(c->ctx, gain, k, to));
    for (int64_t s = 0; s < c->d; s++) {
        for (int64_t a = 0; a < k; a++) c->q[to[a]] = c->mu[s * k + a];
        memcpy(c->mu + s * k, c->q, sizeof *c->mu * (size_t)k);
    }
done:
    whet_i_free(c->ctx, to);
    whet_i_free(c->ctx, gain);
    return status;
}

/* The package's bound on probabilities: .01, and less where rows can tell less. */
static void clamp(completing *c, int64_t n) {
    const double least = fmin(.01, pow(10, -ceil(log10((double)(n > 1 ? n : 2)))));
    for (int64_t i = 0; i < c->d * c->k; i++) c->mu[i] = fmin(1 - least, fmax(least, c->mu[i]));
}

static whet_status make_room(completing *c) {
    int64_t square;
    WHET_TRY(whet_i_mul(c->ctx, c->d, c->d, &square));
    WHET_TRY(whet_i_alloc(c->ctx, square, &c->o));
    WHET_TRY(whet_i_alloc(c->ctx, c->d, &c->diagonal));
    WHET_TRY(whet_i_calloc(c->ctx, c->d * c->k, &c->init));
    WHET_TRY(whet_i_alloc(c->ctx, c->d * c->k, &c->mu));
    WHET_TRY(whet_i_calloc(c->ctx, c->d * c->k, &c->grad));
    WHET_TRY(whet_i_alloc(c->ctx, c->d * c->k, &c->q));
    WHET_TRY(whet_i_alloc(c->ctx, c->d * c->k, &c->oq));
    WHET_TRY(whet_i_alloc(c->ctx, c->k * c->k, &c->w));
    return whet_i_alloc(c->ctx, c->k * c->k, &c->wj);
}

static void free_room(completing *c) {
    whet_i_free(c->ctx, c->o);
    whet_i_free(c->ctx, c->diagonal);
    whet_i_free(c->ctx, c->init);
    whet_i_free(c->ctx, c->mu);
    whet_i_free(c->ctx, c->grad);
    whet_i_free(c->ctx, c->q);
    whet_i_free(c->ctx, c->oq);
    whet_i_free(c->ctx, c->w);
    whet_i_free(c->ctx, c->wj);
}

static whet_status optimise(completing *c, const whet_label_model_opts *opts,
                            whet_label_model_info *info) {
    double *extra = NULL;
    WHET_TRY(whet_i_calloc(c->ctx, c->d * c->k, &extra));
    info->steps = opts->epochs;
    const whet_status status = opts->fast ? by_lbfgs(c, opts, extra, &info->loss, &info->steps)
                                          : by_reference(c, opts, extra, &info->loss);
    whet_i_free(c->ctx, extra);
    return status;
}

whet_status whet_i_fit_snorkel(whet_ctx *ctx, const whet_i_label_fit *fit,
                               whet_label_model *model) {
    completing c = {.ctx = ctx,
                    .kernels = whet_i_kernels(ctx),
                    .m = fit->m,
                    .k = fit->k,
                    .d = fit->m * fit->k,
                    .p = fit->balance,
                    .l2 = fit->opts->l2};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(make_room(&c));
    set_moments(&c, fit);
    WHET_TRY_DONE(optimise(&c, fit->opts, &model->info));
    clamp(&c, fit->n);
    WHET_TRY_DONE(order_classes(&c));
    for (int64_t i = 0; i < c.k; i++) model->base[i] = log(c.p[i]);
    for (int64_t i = 0; i < c.d * c.k; i++)
        model->table[i / c.k * model->width + i % c.k] = log(c.mu[i]);
    whet_i_accuracies(fit, c.mu, model->accuracy);
    model->likely = c.mu;
    c.mu = NULL;
done:
    free_room(&c);
    return status;
}
