/* SPDX-License-Identifier: Apache-2.0
 * Running a plan: a team of threads walks the steps together. Within a phase, items are taken by
 * whoever is free; a gate stands between phases. Items write what depends on the item alone, so
 * the bits do not depend on the team, and a plan of little work is walked by one thread.
 *
 * The gate is ours because OpenMP's barrier spins for milliseconds, and where other programs want the
 * processors too, it spins while the thread that it waits for cannot run. Ours spins for about twice as long
 * as spinning has lately taken, and less where it has been in vain, as adaptive mutexes do. */
#include <omp.h>
#include <pthread.h>

#include "nn/graph_plan.h"

typedef struct gate {
    atomic_int arrived, round;
    atomic_int spins; /* how long it is worth to spin, at present */
    pthread_mutex_t lock;
    pthread_cond_t opened;
} gate;

/* Some 10 and 200 microseconds; sleeping and waking take the former. */
enum { SPINS_LEAST = 1 << 9, SPINS_MOST = 1 << 13 };

struct whet_i_executor {
    const whet_i_plan *plan;
    whet_i_real *block;
    char *scratch;              /* [workers, plan->scratch] */
    atomic_int_fast64_t *taken; /* [n_phases] items handed out */
    gate gate;
    bool alone; /* one thread walks: it is the only one, or others would cost more than they do */
};

/* ---- the gate --------------------------------------------------------------------------------- */

/* Spins until the round is over, or for as long as that is worth; whether it is over. What members write at
 * the same time is a guess of each. */
static bool spin(gate *g, int round) {
    const int most = atomic_load_explicit(&g->spins, memory_order_relaxed);
    int i = 0, next = most - most / 4;
    for (; i < most && atomic_load(&g->round) == round; i++) {
#ifdef __x86_64__
        __builtin_ia32_pause();
#endif
    }
    if (i < most) next = most + (2 * i + SPINS_LEAST - most) / 8;
    next = next < SPINS_LEAST ? SPINS_LEAST : next > SPINS_MOST ? SPINS_MOST : next;
    atomic_store_explicit(&g->spins, next, memory_order_relaxed);
    return i < most;
}

/* Waits until all of the team are here. */
static void meet(gate *g, int32_t team) {
    const int round = atomic_load(&g->round);
    if (atomic_fetch_add(&g->arrived, 1) == team - 1) {
        atomic_store(&g->arrived, 0);
        (void)pthread_mutex_lock(&g->lock);
        atomic_store(&g->round, round + 1);
        (void)pthread_cond_broadcast(&g->opened);
        (void)pthread_mutex_unlock(&g->lock);
        return;
    }
    if (spin(g, round)) return;
    (void)pthread_mutex_lock(&g->lock);
    while (atomic_load(&g->round) == round) (void)pthread_cond_wait(&g->opened, &g->lock);
    (void)pthread_mutex_unlock(&g->lock);
}

/* ---- how much there is to do ------------------------------------------------------------------ */

/* Multiplications of one row, about: each number of a weight once, of a convolution's once a place. */
static double work_of_row(const whet_i_graph *g, const whet_i_node *node) {
    const int64_t columns = g->values[node->outputs[0]].columns;
    double work = (double)columns;
    for (int32_t i = 0; i < node->n_params; i++) {
        const whet_i_param *w = &g->params->items[node->params[i]];
        const int64_t places = w->rank == 4 ? columns / w->shape[0] : 1;
        if (w->rank > 1 && (w->by_product || !w->by_rows))
            work += (double)w->count * (double)places;
    }
    return work;
}

/* Of what it reads or writes, whichever has more: a loss reads many and writes one. */
static int64_t rows_of(const whet_i_plan *plan, const whet_i_node *node) {
    int64_t most = plan->sizes.rows[plan->graph->values[node->outputs[0]].extent];
    for (int32_t i = 0; i < node->n_inputs; i++) {
        const int64_t rows = plan->sizes.rows[plan->graph->values[node->inputs[i]].extent];
        most = rows > most ? rows : most;
    }
    return most;
}

/* A thread does some ten thousand multiplications while two meet at a gate, and many more while one
 * that sleeps wakes up. */
static bool is_small(const whet_i_plan *plan) {
    const double least = 512e3; /* a phase */
    double work = 0;
    for (int64_t i = 0; i < plan->n_steps; i++) {
        if (plan->steps[i].kind == WHET_I_STEP_SEED) continue;
        const whet_i_node *node = &plan->graph->nodes[plan->steps[i].node];
        work += (double)rows_of(plan, node) * work_of_row(plan->graph, node);
    }
    return work < least * (double)plan->n_phases;
}

/* ---- making ----------------------------------------------------------------------------------- */

whet_status whet_i_executor_create(whet_ctx *ctx, const whet_i_plan *plan, whet_i_executor **out) {
    whet_i_executor *e = NULL;
    int64_t bytes;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_calloc(ctx, 1, &e));
    e->plan = plan;
    e->alone = plan->sizes.workers == 1 || (!plan->always_team && is_small(plan));
    atomic_init(&e->gate.spins, SPINS_MOST);
    (void)pthread_mutex_init(&e->gate.lock, NULL); /* with default attributes they cannot fail */
    (void)pthread_cond_init(&e->gate.opened, NULL);
    WHET_TRY_DONE(whet_i_alloc(ctx, plan->reals, &e->block));
    WHET_TRY_DONE(whet_i_mul(ctx, plan->sizes.workers, plan->scratch, &bytes));
    WHET_TRY_DONE(whet_i_alloc(ctx, bytes, &e->scratch));
    WHET_TRY_DONE(whet_i_alloc(ctx, plan->n_phases, &e->taken));
    *out = e;
    e = NULL;
done:
    whet_i_executor_destroy(ctx, e);
    return status;
}

void whet_i_executor_destroy(whet_ctx *ctx, whet_i_executor *executor) {
    if (!executor) return;
    (void)pthread_cond_destroy(&executor->gate.opened);
    (void)pthread_mutex_destroy(&executor->gate.lock);
    whet_i_free(ctx, executor->taken);
    whet_i_free(ctx, executor->scratch);
    whet_i_free(ctx, executor->block);
    whet_i_free(ctx, executor);
}

/* ---- running ---------------------------------------------------------------------------------- */

static whet_i_real *at(const whet_i_executor *e, int64_t place) {
    return place == WHET_I_NOWHERE ? NULL : e->block + place;
}

static whet_i_task task_of(const whet_i_executor *e, const whet_i_step *s,
                           const whet_i_batch *batch) {
    const whet_i_graph *g = e->plan->graph;
    whet_i_task t = {.node = &g->nodes[s->node],
                     .graph = g,
                     .batch = batch,
                     .kernels = g->params->kernels,
                     .state = e->plan->states[s->node],
                     .saved = at(e, s->saved),
                     .temporary = at(e, s->temporary),
                     .workers = e->plan->sizes.workers,
                     .again = s->kind == WHET_I_STEP_AGAIN};
    for (int i = 0; i < WHET_I_INPUTS_MAX; i++) {
        t.in[i] =
            s->in[i] < WHET_I_NOWHERE ? batch->feeds[whet_i_feed_at(s->in[i])] : at(e, s->in[i]);
        t.grad_in[i] = at(e, s->grad_in[i]);
        t.adds[i] = s->adds[i];
    }
    for (int i = 0; i < WHET_I_OUTPUTS_MAX; i++) {
        t.out[i] = at(e, s->out[i]);
        t.grad_out[i] = at(e, s->grad_out[i]);
    }
    for (int i = 0; i < WHET_I_PARAMS_MAX; i++)
        t.param_adds[i] = s->param_adds[i] || batch->accumulate;
    return t;
}

/* What one member of the team does. */
static void walk(whet_i_executor *e, const whet_i_batch *batch, int32_t worker) {
    const int32_t team = omp_get_num_threads(); /* may be fewer than were asked for */
    char *scratch = e->scratch + worker * e->plan->scratch;
    atomic_int_fast64_t *taken = e->taken;
    for (int64_t i = 0; i < e->plan->n_steps; i++) {
        const whet_i_step *s = &e->plan->steps[i];
        if (s->kind == WHET_I_STEP_SEED) {
            if (worker == 0) *at(e, s->grad_out[0]) = batch->loss_scale;
            meet(&e->gate, team);
            continue;
        }
        const whet_i_task t = task_of(e, s, batch);
        for (int32_t phase = 0; phase < s->pass->phases; phase++, taken++) {
            const int64_t n = s->pass->items(&t, phase);
            for (;;) {
                const int64_t item = atomic_fetch_add_explicit(taken, 1, memory_order_relaxed);
                if (item >= n) break;
                s->pass->run(&t, phase, item, scratch);
            }
            meet(&e->gate, team);
        }
    }
}

/* One thread alone: no team is formed, so that it may be one of another's. */
static void walk_alone(const whet_i_executor *e, const whet_i_batch *batch) {
    for (int64_t i = 0; i < e->plan->n_steps; i++) {
        const whet_i_step *s = &e->plan->steps[i];
        if (s->kind == WHET_I_STEP_SEED) {
            *at(e, s->grad_out[0]) = batch->loss_scale;
            continue;
        }
        const whet_i_task t = task_of(e, s, batch);
        for (int32_t phase = 0; phase < s->pass->phases; phase++) {
            const int64_t n = s->pass->items(&t, phase);
            for (int64_t item = 0; item < n; item++) s->pass->run(&t, phase, item, e->scratch);
        }
    }
}

void whet_i_executor_run(whet_i_executor *executor, const whet_i_batch *batch) {
    const int32_t workers = executor->plan->sizes.workers;
    if (executor->alone) {
        walk_alone(executor, batch);
        return;
    }
    for (int64_t i = 0; i < executor->plan->n_phases; i++) atomic_init(&executor->taken[i], 0);
#pragma omp parallel num_threads(workers)
    walk(executor, batch, omp_get_thread_num());
}

const whet_i_real *whet_i_executor_value(const whet_i_executor *executor, whet_i_value value) {
    return at(executor, executor->plan->kept[value]);
}
