/* SPDX-License-Identifier: Apache-2.0
 * How the broker looks for the shares of least loss: the published grid, Brent's minimisation between the
 * neighbours of its best point, and coordinate or projected gradient descent over layers.
 * Legend: w the seller's share; a point is one mixture that was tried. */
#include <math.h>

#include "market/trial_i.h"

enum { REFINEMENTS = 12, SWEEPS = 3, DESCENTS = 12, LENGTHS = 5 };

const char *whet_trial_search_name(whet_trial_search search) {
    static const char *const names[] = {"grid", "refined", "groups", "gradient"};
    return names[search];
}

/* numpy's arange(.05, 1, .1) as the published code accumulates it. */
const double *whet_trial_grid(void) {
    static const double grid[WHET_TRIAL_GRID_POINTS] = {
        0x1.999999999999ap-5, 0x1.3333333333334p-3, 0x1.0000000000001p-2, 0x1.6666666666667p-2,
        0x1.ccccccccccccep-2, 0x1.199999999999bp-1, 0x1.4cccccccccccep-1, 0x1.8000000000002p-1,
        0x1.b333333333335p-1, 0x1.e666666666668p-1};
    return grid;
}

double whet_i_trial_most(const whet_trial_job *job) {
    return job->outright ? 1 : whet_trial_grid()[WHET_TRIAL_GRID_POINTS - 1];
}

static double *row(const whet_i_trial *t, int64_t i) { return t->shares + i * t->mixture.n; }

/* ---- one share for all goods ------------------------------------------------------------------------- */

static whet_status try_all(whet_i_trial *t, const double *weights, int64_t n) {
    for (int64_t i = 0; i < n; i++) whet_i_mixture_share(&t->mixture, weights[i], row(t, i));
    return whet_i_trial_try(t, weights, n, -1);
}

/* The best of the grid and the ends, in ascending order, and its neighbours that may be chosen. */
typedef struct bracket {
    double low, best, high, loss;
} bracket;

static whet_status try_ends_and_grid(whet_i_trial *t, bracket *out) {
    double weights[WHET_I_TRIAL_BATCH] = {0};
    const double most = whet_i_trial_most(t->job);
    memcpy(weights + 1, whet_trial_grid(), WHET_TRIAL_GRID_POINTS * sizeof *weights);
    weights[WHET_I_TRIAL_BATCH - 1] = 1;
    WHET_TRY(try_all(t, weights, WHET_I_TRIAL_BATCH));
    const int64_t i = t->best;
    *out = (bracket){weights[i > 0 ? i - 1 : 0], weights[i], most, t->points[i].loss};
    if (i + 1 < WHET_I_TRIAL_BATCH) out->high = fmin(most, weights[i + 1]);
    return WHET_OK;
}

/* Brent 1973, chapter 5: x the best so far, w the second, v the w before; a parabola through the three where
 * it falls inside and steps shrink, else golden section. */
typedef struct brent {
    double a, b, x, w, v, fx, fw, fv, step, last;
} brent;

static double next_point(brent *s, double tolerance) {
    const double golden = .3819660112501051, middle = (s->a + s->b) / 2;
    double r = (s->x - s->w) * (s->fx - s->fv), q = (s->x - s->v) * (s->fx - s->fw);
    double p = (s->x - s->v) * q - (s->x - s->w) * r;
    q = 2 * (q - r);
    if (q > 0) p = -p;
    q = fabs(q);
    const double before = s->last;
    s->last = s->step;
    if (fabs(p) < fabs(q * before / 2) && p > q * (s->a - s->x) && p < q * (s->b - s->x)) {
        s->step = p / q;
    } else {
        s->last = (s->x < middle ? s->b : s->a) - s->x;
        s->step = golden * s->last;
    }
    if (fabs(s->step) < tolerance) s->step = copysign(tolerance, middle - s->x);
    return fmin(s->b, fmax(s->a, s->x + s->step));
}

static void take_point(brent *s, double u, double fu) {
    if (fu <= s->fx) {
        *(u < s->x ? &s->b : &s->a) = s->x;
        s->v = s->w, s->fv = s->fw;
        s->w = s->x, s->fw = s->fx;
        s->x = u, s->fx = fu;
        return;
    }
    *(u < s->x ? &s->a : &s->b) = u;
    if (fu <= s->fw || s->w == s->x) {
        s->v = s->w, s->fv = s->fw;
        s->w = u, s->fw = fu;
    } else if (fu <= s->fv || s->v == s->x || s->v == s->w) {
        s->v = u, s->fv = fu;
    }
}

static whet_status refine(whet_i_trial *t, const bracket *from) {
    const double tolerance = 1e-3; /* of a share: losses are known no better */
    brent s = {.a = from->low, .b = from->high, .x = from->best, .fx = from->loss};
    s.w = s.v = s.x;
    s.fw = s.fv = s.fx;
    for (int i = 0; i < REFINEMENTS; i++) {
        if (fabs(s.x - (s.a + s.b) / 2) <= 2 * tolerance - (s.b - s.a) / 2) break;
        const double u = next_point(&s, tolerance);
        WHET_TRY(try_all(t, &u, 1));
        const double loss = t->points[t->n_points - 1].loss;
        take_point(&s, u, isnan(loss) ? (double)INFINITY : loss);
    }
    return WHET_OK;
}

/* ---- a share for each layer -------------------------------------------------------------------------- */

/* The grid and its ends for one layer, the others as they are chosen. */
static whet_status try_layer(whet_i_trial *t, int64_t group) {
    double weights[WHET_I_TRIAL_BATCH] = {0};
    const int64_t n = WHET_TRIAL_GRID_POINTS + 1 + (t->job->outright ? 1 : 0);
    memcpy(weights + 1, whet_trial_grid(), WHET_TRIAL_GRID_POINTS * sizeof *weights);
    weights[WHET_I_TRIAL_BATCH - 1] = 1;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < t->mixture.n; k++)
            row(t, i)[k] = t->group_of[k] == group ? weights[i] : t->chosen[k];
    return whet_i_trial_try(t, weights, n, group);
}

static whet_status descend_layers(whet_i_trial *t) {
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        const int64_t best = t->best;
        for (int64_t g = 0; g < t->n_groups && t->n_groups > 1; g++) WHET_TRY(try_layer(t, g));
        if (t->best == best) return WHET_OK;
    }
    return WHET_OK;
}

/* The slope of the loss in each layer's share, 0 where a bound is in its way; its greatest size. */
static whet_status slope_of_layers(whet_i_trial *t, double *tensors, double *layers, double *most) {
    const double top = whet_i_trial_most(t->job);
    double loss;
    WHET_TRY(whet_i_mixture_slope(t->ctx, &t->mixture, t->chosen, t->job->select, &loss, tensors));
    memset(layers, 0, (size_t)t->n_groups * sizeof *layers);
    for (int64_t i = 0; i < t->mixture.n; i++)
        if (t->group_of[i] >= 0) layers[t->group_of[i]] += tensors[i];
    *most = 0;
    for (int64_t i = 0; i < t->mixture.n; i++) {
        const int64_t g = t->group_of[i];
        if (g < 0) continue;
        if ((t->chosen[i] <= 0 && layers[g] > 0) || (t->chosen[i] >= top && layers[g] < 0))
            layers[g] = 0;
        *most = fmax(*most, fabs(layers[g]));
    }
    return WHET_OK;
}

/* Steps of several lengths from what is chosen, the longest moving a share by `length`. */
static whet_status try_steps(whet_i_trial *t, const double *layers, double most, double length) {
    const double top = whet_i_trial_most(t->job);
    double weights[LENGTHS];
    for (int64_t k = 0; k < LENGTHS; k++) {
        double *shares = row(t, k);
        for (int64_t i = 0; i < t->mixture.n; i++) {
            const int64_t g = t->group_of[i];
            shares[i] = g < 0 ? 0 : t->chosen[i] - length * layers[g] / most;
            shares[i] = fmin(top, fmax(0, shares[i]));
        }
        weights[k] = whet_i_trial_share(t, shares);
        length /= 4;
    }
    return whet_i_trial_try(t, weights, LENGTHS, -1);
}

/* Projected gradient descent: each step as long as is best among lengths from half of the way to 1 / 500. */
static whet_status follow_slopes(whet_i_trial *t) {
    double *tensors = NULL, *layers = NULL, most;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(t->ctx, t->mixture.n, &tensors));
    WHET_TRY_DONE(whet_i_alloc(t->ctx, t->n_groups, &layers));
    for (int step = 0; step < DESCENTS; step++) {
        const int64_t best = t->best;
        WHET_TRY_DONE(slope_of_layers(t, tensors, layers, &most));
        if (!(most > 0)) break;
        WHET_TRY_DONE(try_steps(t, layers, most, .5));
        if (t->best == best) break;
    }
done:
    whet_i_free(t->ctx, layers);
    whet_i_free(t->ctx, tensors);
    return status;
}

/* ---- all of it --------------------------------------------------------------------------------------- */

/* The buyer alone, before the grid. */
static whet_status score_buyer(whet_i_trial *t) {
    WHET_TRY(try_all(t, (const double[]){0}, 1));
    t->before = (whet_mode_point){0, t->points[0].loss, t->points[0].accuracy};
    t->n_points = 0;
    return WHET_OK;
}

whet_status whet_i_trial_look(whet_i_trial *t) {
    bracket around;
    if (t->job->search == WHET_TRIAL_GRADIENT && t->mixture.norms)
        return whet_i_fail(t->ctx, WHET_ERR_UNSUPPORTED,
                           "%s: no gradient follows the statistics of batch norms; expected "
                           "another search",
                           t->job->arch);
    if (t->job->search == WHET_TRIAL_GRID) {
        WHET_TRY(score_buyer(t));
        return try_all(t, whet_trial_grid(), WHET_TRIAL_GRID_POINTS);
    }
    WHET_TRY(try_ends_and_grid(t, &around));
    t->before = (whet_mode_point){0, t->points[0].loss, t->points[0].accuracy};
    WHET_TRY(refine(t, &around));
    if (t->job->search == WHET_TRIAL_GRADIENT) return follow_slopes(t);
    return t->job->search == WHET_TRIAL_GROUPS ? descend_layers(t) : WHET_OK;
}
