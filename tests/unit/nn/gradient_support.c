/* SPDX-License-Identifier: Apache-2.0 */
#include "gradient_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- operations of the tests ------------------------------------------------------------------ */

static int64_t one_item(const whet_i_task *t, int32_t phase) {
    (void)t;
    (void)phase;
    return 1;
}

static int64_t count_of(const whet_i_task *t, whet_i_value v) {
    return whet_i_rows(t, v) * whet_i_columns(t->graph, v);
}

static const whet_i_param *source_param(const whet_i_task *t) {
    return &t->graph->params->items[t->node->params[0]];
}

static void source_forward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)item;
    (void)scratch;
    const int64_t n = count_of(t, t->node->outputs[0]);
    assert_true(n <= source_param(t)->count);
    memcpy(t->out[0], source_param(t)->values, (size_t)n * sizeof *t->out[0]);
}

static void source_backward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)item;
    (void)scratch;
    const int64_t n = count_of(t, t->node->outputs[0]);
    whet_i_real *g = source_param(t)->gradient;
    for (int64_t i = 0; i < n; i++)
        g[i] = t->param_adds[0] ? g[i] + t->grad_out[0][i] : t->grad_out[0][i];
}

static const whet_i_op op_source = {
    .name = "source",
    .forward = {1, one_item, source_forward, NULL, NULL},
    .backward = {1, one_item, source_backward, NULL, NULL},
    .grad_shares = -1,
};

whet_i_value source(whet_ctx *ctx, whet_i_graph *graph, const char *name, whet_i_extent extent,
                    int64_t rows, int64_t columns) {
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    whet_i_recording r = {
        .op = &op_source, .n_outputs = 1, .n_params = 1, .extents = {extent}, .columns = {columns}};
    const whet_i_param_spec p = {name, 2, {rows, columns}, WHET_I_INIT_NORMAL, 1, false};
    test_ok(ctx, whet_i_params_add(ctx, graph->params, &p, &r.params[0]));
    test_ok(ctx, whet_i_graph_record(ctx, graph, &r, outputs));
    return outputs[0];
}

static double weight_of(const whet_i_task *t, int64_t i, int64_t j) {
    const double *const *weights = t->node->settings;
    return weights ? (*weights)[i * whet_i_columns(t->graph, t->node->inputs[0]) + j]
                   : cos((double)(1 + 7 * i + 3 * j));
}

static void weigh_forward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)item;
    (void)scratch;
    const whet_i_value v = t->node->inputs[0];
    const int64_t rows = whet_i_rows(t, v), n = whet_i_columns(t->graph, v);
    const whet_i_real *x = t->in[0];
    t->out[0][0] = 0;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j++)
            t->out[0][0] += (whet_i_real)weight_of(t, i, j) * x[i * n + j];
}

static void weigh_backward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)item;
    (void)scratch;
    const whet_i_value v = t->node->inputs[0];
    const int64_t rows = whet_i_rows(t, v), n = whet_i_columns(t->graph, v);
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < n; j++) {
            const whet_i_real d = t->grad_out[0][0] * (whet_i_real)weight_of(t, i, j);
            whet_i_real *dx = &t->grad_in[0][i * n + j];
            *dx = t->adds[0] ? *dx + d : d;
        }
    }
}

static const whet_i_op op_weigh = {
    .name = "weigh",
    .forward = {1, one_item, weigh_forward, NULL, NULL},
    .backward = {1, one_item, weigh_backward, NULL, NULL},
    .grad_shares = -1,
};

whet_i_value weigh(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x) {
    return weigh_by(ctx, graph, x, NULL);
}

whet_i_value weigh_by(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x, const double *weights) {
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const whet_i_recording r = {.op = &op_weigh,
                                .settings = &weights,
                                .settings_size = weights ? sizeof weights : 0,
                                .n_inputs = 1,
                                .n_outputs = 1,
                                .inputs = {x},
                                .extents = {WHET_I_ONE},
                                .columns = {1}};
    test_ok(ctx, whet_i_graph_record(ctx, graph, &r, outputs));
    return outputs[0];
}

/* ---- running ---------------------------------------------------------------------------------- */

typedef struct bench {
    whet_ctx *ctx;
    const gradient_case *c;
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_value loss;
    whet_i_batch batch;
} bench;

static void set_up(bench *b, const gradient_case *c) {
    *b = (bench){.ctx = test_ctx(3), .c = c};
    test_ok(b->ctx, whet_i_params_create(b->ctx, WHET_F32, &b->params));
    test_ok(b->ctx, whet_i_graph_create(b->ctx, b->params, &b->graph));
    b->loss = c->record(b->ctx, b->graph);
    b->batch.rows[WHET_I_ONE] = 1;
    b->batch.rows[WHET_I_EXAMPLES] = c->examples;
    b->batch.rows[WHET_I_TOKENS] = c->start ? c->start[c->examples] : 0;
    b->batch.rows[WHET_I_PAIRS] = c->examples / 2;
    b->batch.start = c->start;
    b->batch.loss_scale = 1;
    b->batch.train = c->train;
    b->batch.seed = 77;
    for (int i = 0; i < WHET_I_FEEDS_MAX; i++)
        b->batch.feeds[i] =
            c->integers[i] ? (const void *)c->integers[i] : (const void *)c->reals[i];
    for (int64_t i = 0; i < b->params->n; i++)
        b->params->items[i].trainable = !b->params->items[i].statistics;
    test_ok(b->ctx, whet_i_params_settle(b->ctx, b->params, 5));
}

static void tear_down(bench *b) {
    whet_i_graph_destroy(b->ctx, b->graph);
    whet_i_params_destroy(b->ctx, b->params);
    test_ctx_done(b->ctx);
}

static int64_t longest(const gradient_case *c) {
    int64_t most = 0;
    for (int64_t i = 0; c->start && i < c->examples; i++)
        if (c->start[i + 1] - c->start[i] > most) most = c->start[i + 1] - c->start[i];
    return most;
}

typedef struct machine {
    whet_i_plan *plan;
    whet_i_executor *executor;
} machine;

static machine make(bench *b, int32_t workers, bool recompute, bool gradients) {
    machine m;
    whet_i_plan_opts opts = {.always_team = true,
                             .sizes = {.longest = longest(b->c), .workers = workers},
                             .loss = gradients ? b->loss : WHET_I_NONE,
                             .keep = &b->loss,
                             .n_keep = 1,
                             .recompute = recompute};
    memcpy(opts.sizes.rows, b->batch.rows, sizeof opts.sizes.rows);
    test_ok(b->ctx, whet_i_plan_create(b->ctx, b->graph, &opts, &m.plan));
    test_ok(b->ctx, whet_i_executor_create(b->ctx, m.plan, &m.executor));
    return m;
}

static void drop_machine(bench *b, machine *m) {
    whet_i_executor_destroy(b->ctx, m->executor);
    whet_i_plan_destroy(b->ctx, m->plan);
}

static double run(bench *b, machine *m) {
    test_ok(b->ctx, whet_i_params_pack(b->ctx, b->params));
    whet_i_executor_run(m->executor, &b->batch);
    return (double)whet_i_executor_value(m->executor, b->loss)[0];
}

/* All gradients behind each other; the caller frees. */
static double *gradients_of(const bench *b) {
    double *all = malloc(sizeof *all * (size_t)(whet_i_params_trainable(b->params) + 1));
    int64_t at = 0;
    for (int64_t i = 0; i < b->params->n; i++)
        for (int64_t j = 0; b->params->items[i].trainable && j < b->params->items[i].count; j++)
            all[at++] = (double)b->params->items[i].gradient[j];
    return all;
}

static void check_numbers(bench *b, machine *forward, const double *analytic) {
    const double bound = b->c->bound > 0 ? b->c->bound : 1e-7;
    double largest = 0;
    int64_t at = 0;
    for (int64_t i = 0; i < whet_i_params_trainable(b->params); i++)
        largest = fmax(largest, fabs(analytic[i]));
    assert_true(largest > 1e-6); /* a case whose gradients vanish shows nothing */
    for (int64_t i = 0; i < b->params->n; i++) {
        whet_i_param *p = &b->params->items[i];
        for (int64_t j = 0; p->trainable && j < p->count; j++, at++) {
            const whet_i_real value = p->values[j];
            /* h^2 |f'''| and eps |f| / h are both about 1e-10 of the size of f here. */
            const double h = 1e-5;
            p->values[j] = value + (whet_i_real)h;
            const double up = run(b, forward);
            p->values[j] = value - (whet_i_real)h;
            const double down = run(b, forward);
            p->values[j] = value;
            const double numeric = (up - down) / (2 * h);
            if (fabs(numeric - analytic[at]) <= bound * fmax(largest, 1)) continue;
            print_error("%s: %s[%lld]: gradient %.12g, difference %.12g\n", b->c->name, p->name,
                        (long long)j, analytic[at], numeric);
            fail();
        }
    }
}

static void same_bits(bench *b, int32_t workers, bool recompute, double loss,
                      const double *expected) {
    machine m = make(b, workers, recompute, true);
    assert_true(run(b, &m) == loss);
    double *got = gradients_of(b);
    for (int64_t i = 0; i < whet_i_params_trainable(b->params); i++) {
        if (got[i] != expected[i])
            print_error("%s: %d workers%s: gradient %lld is %.17g, was %.17g\n", b->c->name,
                        workers, recompute ? ", recomputed" : "", (long long)i, got[i],
                        expected[i]);
        assert_true(got[i] == expected[i]);
    }
    free(got);
    drop_machine(b, &m);
}

static void accumulating_doubles(bench *b, machine *m, const double *once) {
    b->batch.accumulate = true;
    (void)run(b, m);
    b->batch.accumulate = false;
    double *twice = gradients_of(b);
    for (int64_t i = 0; i < whet_i_params_trainable(b->params); i++)
        assert_true(fabs(twice[i] - 2 * once[i]) <= 1e-12 * (1 + fabs(once[i])));
    free(twice);
}

/* With all but one parameter frozen, its gradient has the same bits. */
static void freezing_changes_nothing(bench *b, const double *all) {
    int64_t at = 0;
    for (int64_t i = 0; i < b->params->n; i++) {
        whet_i_param *p = &b->params->items[i];
        if (p->statistics) continue;
        for (int64_t j = 0; j < b->params->n; j++) b->params->items[j].trainable = j == i;
        machine m = make(b, 2, false, true);
        (void)run(b, &m);
        for (int64_t j = 0; j < p->count; j++) assert_true((double)p->gradient[j] == all[at + j]);
        at += p->count;
        drop_machine(b, &m);
    }
    for (int64_t i = 0; i < b->params->n; i++)
        b->params->items[i].trainable = !b->params->items[i].statistics;
}

void check_gradients(const gradient_case *c) {
    bench b;
    set_up(&b, c);
    machine backward = make(&b, 1, false, true), forward = make(&b, 1, false, false);
    const double loss = run(&b, &backward);
    double *analytic = gradients_of(&b);
    assert_true(run(&b, &forward) == loss);
    check_numbers(&b, &forward, analytic);
    (void)run(&b, &backward); /* with the values as they were */
    accumulating_doubles(&b, &backward, analytic);
    same_bits(&b, 3, false, loss, analytic);
    same_bits(&b, 1, true, loss, analytic);
    same_bits(&b, 2, true, loss, analytic);
    freezing_changes_nothing(&b, analytic);
    free(analytic);
    drop_machine(&b, &forward);
    drop_machine(&b, &backward);
    tear_down(&b);
}

double loss_value(const gradient_case *c) {
    bench b;
    set_up(&b, c);
    machine forward = make(&b, 1, false, false);
    const double loss = run(&b, &forward);
    drop_machine(&b, &forward);
    tear_down(&b);
    return loss;
}
