/* SPDX-License-Identifier: Apache-2.0
 * L-BFGS with a diagonal start (Liu & Nocedal 1989) and a backtracking line search (Armijo 1966).
 * Not convex is allowed: pairs without positive curvature are left out. */
#include <math.h>

#include "label/label_i.h"

enum { MEMORY = 10, LANES = 8 };

/* What a run has in hands; arrays of `size`, s and t [MEMORY, size] steps and changes of the
 * gradient. */
typedef struct descent {
    const whet_i_objective *f;
    int64_t size;
    const double *start;
    double *gradient, *next, *next_gradient, *direction, *tried, *s, *t;
} descent;

int64_t whet_i_lbfgs_workspace(int64_t size) { return (5 + 2 * MEMORY) * size; }

/* Lanes, summed in order: the compiler may use vectors, and the bits do not depend on their length.
 */
double whet_i_dot(const double *a, const double *b, int64_t n) {
    double lane[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int64_t l = 0; l < LANES; l++) lane[l] += a[i + l] * b[i + l];
    for (; i < n; i++) sum += a[i] * b[i];
    for (int64_t l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

/* out = the approximate inverse of the Hessian times v. */
static void precondition(const descent *p, const double *v, double *out) {
    if (p->f->precondition) {
        p->f->precondition(p->f->arg, v, out);
        return;
    }
    for (int64_t i = 0; i < p->size; i++) out[i] = p->start[i] * v[i];
}

/* direction = -H gradient by the two-loop recursion over the `held` newest pairs; `newest` is where
 * the last one lies. */
static void find_direction(const descent *p, int64_t held, int64_t newest) {
    double weight[MEMORY];
    double *q = p->direction;
    memcpy(q, p->gradient, sizeof *q * (size_t)p->size);
    for (int64_t h = 0; h < held; h++) {
        const int64_t at = (newest - h + MEMORY) % MEMORY;
        const double *s = p->s + at * p->size, *t = p->t + at * p->size;
        weight[at] = whet_i_dot(s, q, p->size) / whet_i_dot(s, t, p->size);
        for (int64_t i = 0; i < p->size; i++) q[i] -= weight[at] * t[i];
    }
    double scale = 1;
    if (held > 0) {
        const double *s = p->s + newest * p->size, *t = p->t + newest * p->size;
        precondition(p, t, p->tried);
        scale = whet_i_dot(s, t, p->size) / whet_i_dot(t, p->tried, p->size);
    }
    precondition(p, q, p->tried);
    for (int64_t i = 0; i < p->size; i++) q[i] = scale * p->tried[i];
    for (int64_t h = held - 1; h >= 0; h--) {
        const int64_t at = (newest - h + MEMORY) % MEMORY;
        const double *s = p->s + at * p->size, *t = p->t + at * p->size;
        const double back = weight[at] - whet_i_dot(t, q, p->size) / whet_i_dot(s, t, p->size);
        for (int64_t i = 0; i < p->size; i++) q[i] += back * s[i];
    }
    const double length = p->f->longest > 0 ? sqrt(whet_i_dot(q, q, p->size)) : 0;
    const double part = length > p->f->longest ? p->f->longest / length : 1;
    for (int64_t i = 0; i < p->size; i++) q[i] = -part * q[i];
}

/* Halves (or shortens by the parabola) until the loss falls enough; false: no step helps. */
static bool line_search(const descent *p, const double *theta, double loss, double *next_loss) {
    const double slope = whet_i_dot(p->gradient, p->direction, p->size);
    double step = 1;
    if (!(slope < 0)) return false;
    for (int tries = 0; tries < 30; tries++) {
        for (int64_t i = 0; i < p->size; i++) p->next[i] = theta[i] + step * p->direction[i];
        *next_loss = p->f->evaluate(p->f->arg, p->next, p->next_gradient);
        if (*next_loss <= loss + 1e-4 * step * slope) return true;
        const double parabola = -slope * step * step / (2 * (*next_loss - loss - slope * step));
        step = parabola > .1 * step && parabola < .5 * step ? parabola : .5 * step;
    }
    return false;
}

int64_t whet_i_lbfgs(const whet_i_objective *objective, const double *start, double tolerance,
                     int64_t most_steps, double *theta, double *workspace) {
    const int64_t size = objective->size;
    descent p = {.f = objective, .size = size, .start = start, .gradient = workspace};
    p.next = p.gradient + size;
    p.next_gradient = p.next + size;
    p.direction = p.next_gradient + size;
    p.tried = p.direction + size;
    p.s = p.tried + size;
    p.t = p.s + MEMORY * size;
    int64_t held = 0, newest = 0, steps = 0;
    double loss = objective->evaluate(objective->arg, theta, p.gradient);
    for (; steps < most_steps; steps++) {
        double largest = 0, next_loss;
        for (int64_t i = 0; i < p.size; i++) largest = fmax(largest, fabs(p.gradient[i]));
        if (largest <= tolerance) break;
        find_direction(&p, held, newest);
        if (!line_search(&p, theta, loss, &next_loss)) {
            if (held == 0) break; /* rounding has the last word */
            held = 0;
            continue;
        }
        const int64_t at = held ? (newest + 1) % MEMORY : 0;
        double *s = p.s + at * p.size, *t = p.t + at * p.size;
        for (int64_t i = 0; i < p.size; i++) {
            s[i] = p.next[i] - theta[i];
            t[i] = p.next_gradient[i] - p.gradient[i];
        }
        memcpy(theta, p.next, sizeof *theta * (size_t)p.size);
        memcpy(p.gradient, p.next_gradient, sizeof *theta * (size_t)p.size);
        loss = next_loss;
        if (whet_i_dot(s, t, p.size) <=
            1e-14 * sqrt(whet_i_dot(s, s, p.size) * whet_i_dot(t, t, p.size)))
            continue;
        newest = at;
        held = held < MEMORY ? held + 1 : MEMORY;
    }
    return steps;
}
