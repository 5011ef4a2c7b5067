/* SPDX-License-Identifier: Apache-2.0
 * From a recording to steps and places.
 *
 * Forward: the nodes that the kept values and the loss depend on, in order. Backward, in reverse: the
 * nodes through which a trainable parameter reaches the loss; each gradient array lives from its
 * first contribution to its node's backward step. What a backward step reads is kept from the
 * forward pass, unless its operation can make it again cheaply (rebuild), or the caller asked for
 * segments to be recomputed (Chen et al. 2016, arXiv 1604.06174): then a step that makes it again is
 * put before its first reader. So every array has a first and a last step, and the block is packed
 * greedily: the largest first, each at the lowest place free of all that live at the same time
 * (Pisarchyk & Lee 2020, arXiv 2001.03288). */
#include <limits.h>
#include <stdlib.h>

#include "nn/graph_plan.h"

enum { ALIGN_REALS = 32 }; /* no two arrays share a pair of cache lines */

typedef struct buffer {
    int64_t size, place;
    int32_t first, last; /* steps */
} buffer;

/* How a value that the backward pass reads gets there. */
typedef enum policy { KEEP, REBUILD, AGAIN } policy;

typedef struct value_state {
    bool used;       /* by a forward node of the plan, the caller, or the backward pass */
    bool kept;       /* by the caller */
    bool saved;      /* read by the backward pass */
    bool wants_grad; /* a trainable parameter is behind it */
    bool alive;      /* its buffer holds it */
    policy policy;
    int32_t last_reader;    /* forward node, -1 = none */
    int32_t data, gradient; /* buffers, -1 = none */
} value_state;

typedef struct node_state {
    bool needed, backward;
    uint32_t wanted, reads; /* of the backward pass */
    int32_t saved;          /* buffer */
} node_state;

/* A step with buffers where the finished one has places. */
typedef struct draft {
    whet_i_step step;
    int32_t in[WHET_I_INPUTS_MAX], out[WHET_I_OUTPUTS_MAX];
    int32_t grad_out[WHET_I_OUTPUTS_MAX], grad_in[WHET_I_INPUTS_MAX], saved, temporary;
} draft;

typedef struct planner {
    whet_ctx *ctx;
    const whet_i_graph *g;
    const whet_i_plan_opts *opts;
    whet_i_sizes sizes;
    value_state *values;
    node_state *nodes;
    bool *param_seen;
    void **states; /* of the nodes: the plan's */
    draft *steps;
    int64_t n_steps, cap_steps;
    buffer *buffers;
    int64_t n_buffers, cap_buffers;
} planner;

/* ---- what is needed --------------------------------------------------------------------------- */

static void need(planner *p, whet_i_value v) {
    p->values[v].used = true;
    const int32_t producer = p->g->values[v].producer;
    if (producer >= 0) p->nodes[producer].needed = true;
}

static void mark_forward(planner *p) {
    for (int64_t i = 0; i < p->opts->n_keep; i++) {
        need(p, p->opts->keep[i]);
        p->values[p->opts->keep[i]].kept = true;
    }
    if (p->opts->loss != WHET_I_NONE) {
        need(p, p->opts->loss);
        p->values[p->opts->loss].kept = true;
    }
    for (int64_t i = p->g->n_nodes - 1; i >= 0; i--)
        if (p->nodes[i].needed)
            for (int32_t j = 0; j < p->g->nodes[i].n_inputs; j++) need(p, p->g->nodes[i].inputs[j]);
    for (int64_t i = 0; i < p->g->n_nodes; i++)
        for (int32_t j = 0; p->nodes[i].needed && j < p->g->nodes[i].n_inputs; j++)
            p->values[p->g->nodes[i].inputs[j]].last_reader = (int32_t)i;
}

static bool trains(const planner *p, const whet_i_node *node) {
    bool any = false;
    for (int32_t i = 0; i < node->n_params; i++)
        any |= p->g->params->items[node->params[i]].trainable;
    return any;
}

static void mark_gradients(planner *p) {
    for (int64_t i = 0; i < p->g->n_nodes; i++) {
        const whet_i_node *node = &p->g->nodes[i];
        node_state *s = &p->nodes[i];
        if (!s->needed || !node->op->backward.run) continue;
        for (int32_t j = 0; j < node->n_inputs; j++)
            if (p->values[node->inputs[j]].wants_grad) s->wanted |= 1U << j;
        if (!s->wanted && !trains(p, node)) continue;
        for (int32_t j = 0; j < node->n_outputs; j++) p->values[node->outputs[j]].wants_grad = true;
    }
}

/* Backward from the loss: which nodes run, and what they read. */
static void mark_backward(planner *p) {
    bool *reached = p->param_seen; /* borrowed: [values] */
    if (p->opts->loss == WHET_I_NONE || !p->values[p->opts->loss].wants_grad) return;
    reached[p->opts->loss] = true;
    for (int64_t i = p->g->n_nodes - 1; i >= 0; i--) {
        const whet_i_node *node = &p->g->nodes[i];
        node_state *s = &p->nodes[i];
        bool any = false;
        for (int32_t j = 0; j < node->n_outputs; j++) any |= reached[node->outputs[j]];
        if (!any || !(s->wanted || trains(p, node)) || !node->op->backward.run) continue;
        s->backward = true;
        for (int32_t j = 0; j < node->n_inputs; j++)
            if (s->wanted >> j & 1) reached[node->inputs[j]] = true;
        if (node->op->backward_reads) s->reads = node->op->backward_reads(p->g, node, s->wanted);
        for (int32_t j = 0; j < node->n_inputs; j++)
            if (s->reads & WHET_I_READS_IN(j)) p->values[node->inputs[j]].saved = true;
        for (int32_t j = 0; j < node->n_outputs; j++)
            if (s->reads & WHET_I_READS_OUT(j)) p->values[node->outputs[j]].saved = true;
    }
    memset(reached, 0, (size_t)p->g->n_values * sizeof *reached);
}

/* Read by another segment than its own, or by the caller. */
static bool leaves_segment(const planner *p, whet_i_value v) {
    const int32_t segment = p->g->nodes[p->g->values[v].producer].segment;
    if (p->values[v].kept) return true;
    for (int64_t i = p->g->values[v].producer; i < p->g->n_nodes; i++)
        for (int32_t j = 0; j < p->g->nodes[i].n_inputs; j++)
            if (p->g->nodes[i].inputs[j] == v && p->g->nodes[i].segment != segment) return true;
    return false;
}

static void choose_policies(planner *p) {
    const int32_t last_segment = p->g->n_nodes ? p->g->nodes[p->g->n_nodes - 1].segment : 0;
    for (int64_t v = p->g->n_values - 1; v >= 0; v--) {
        value_state *s = &p->values[v];
        const int32_t producer = p->g->values[v].producer;
        if (s->saved) s->used = true;
        if (!s->saved || s->kept || producer < 0) continue;
        const whet_i_node *node = &p->g->nodes[producer];
        /* What enters the next segment is what that segment is made again from. */
        if (p->opts->recompute && leaves_segment(p, (whet_i_value)v)) continue;
        if (node->op->rebuild.run && p->g->values[v].output == 0) {
            s->policy =
                REBUILD; /* what it is made from stands before it: seen later in this loop */
            for (int32_t j = 0; j < node->n_inputs; j++)
                if (node->op->rebuild_reads & WHET_I_READS_IN(j))
                    p->values[node->inputs[j]].saved = p->values[node->inputs[j]].used = true;
            for (int32_t j = 0; j < node->n_outputs; j++)
                if (node->op->rebuild_reads & WHET_I_READS_OUT(j))
                    p->values[node->outputs[j]].saved = p->values[node->outputs[j]].used = true;
        }
    }
    for (int64_t v = 0; v < p->g->n_values && p->opts->recompute; v++) {
        value_state *s = &p->values[v];
        const int32_t producer = p->g->values[v].producer;
        if (producer < 0 || s->policy == REBUILD || p->g->nodes[producer].segment == last_segment)
            continue;
        /* Unsaved values inside a segment too: others are made from them. */
        if (!leaves_segment(p, (whet_i_value)v)) s->policy = AGAIN;
    }
}

/* ---- buffers and steps ------------------------------------------------------------------------ */

static whet_status new_buffer(planner *p, int64_t size, int32_t step, int32_t *out) {
    if (p->n_buffers == p->cap_buffers) {
        const int64_t cap = p->cap_buffers ? 2 * p->cap_buffers : 256;
        WHET_TRY(whet_i_realloc(p->ctx, &p->buffers, cap));
        p->cap_buffers = cap;
    }
    int64_t rounded;
    WHET_TRY(whet_i_add(p->ctx, size, ALIGN_REALS - 1, &rounded));
    *out = (int32_t)p->n_buffers;
    p->buffers[p->n_buffers++] =
        (buffer){rounded / ALIGN_REALS * ALIGN_REALS, WHET_I_NOWHERE, step, step};
    return WHET_OK;
}

/* Reals; two numbers of bfloat16 take one's place. */
static int64_t value_size(const planner *p, whet_i_value v) {
    const int64_t numbers = p->sizes.rows[p->g->values[v].extent] * p->g->values[v].columns;
    return p->g->values[v].half ? (numbers + 1) / 2 : numbers;
}

static whet_status value_buffer(planner *p, whet_i_value v, int32_t step, int32_t *out) {
    int64_t numbers;
    WHET_TRY(whet_i_mul(p->ctx, p->sizes.rows[p->g->values[v].extent], p->g->values[v].columns,
                        &numbers));
    return new_buffer(p, value_size(p, v), step, out);
}

static void touch(planner *p, int32_t b, int32_t step) {
    if (b >= 0 && p->buffers[b].last < step) p->buffers[b].last = step;
}

/* A step of `node` with no arrays yet. The pointer is good until the next call. */
static whet_status new_step(planner *p, whet_i_step_kind kind, int32_t node,
                            const whet_i_pass *pass, draft **out) {
    if (p->n_steps == p->cap_steps) {
        const int64_t cap = p->cap_steps ? 2 * p->cap_steps : 256;
        WHET_TRY(whet_i_realloc(p->ctx, &p->steps, cap));
        p->cap_steps = cap;
    }
    draft *d = &p->steps[p->n_steps++];
    *d = (draft){.step = {.kind = kind, .node = node, .pass = pass}, .saved = -1, .temporary = -1};
    for (int i = 0; i < WHET_I_INPUTS_MAX; i++) d->in[i] = d->grad_in[i] = -1;
    for (int i = 0; i < WHET_I_OUTPUTS_MAX; i++) d->out[i] = d->grad_out[i] = -1;
    *out = d;
    return WHET_OK;
}

static int32_t now(const planner *p) { return (int32_t)p->n_steps - 1; }

static void read_value(planner *p, whet_i_value v, int32_t *slot) {
    if (p->g->values[v].producer < 0) {
        *slot = INT_MIN + p->g->values[v].output; /* a feed */
        return;
    }
    *slot = p->values[v].data;
    touch(p, *slot, now(p));
}

/* What an operation needs to say how much memory it uses. */
static whet_i_sizes sizes_of(const planner *p, const whet_i_node *node) {
    whet_i_sizes sizes = p->sizes;
    sizes.state = p->states[node->index];
    sizes.wanted = p->nodes[node->index].wanted;
    return sizes;
}

static whet_status add_temporary(planner *p, const whet_i_node *node, const whet_i_pass *pass,
                                 draft *d) {
    if (!pass->temporary) return WHET_OK;
    const whet_i_sizes sizes = sizes_of(p, node);
    const int64_t size = pass->temporary(p->g, node, &sizes);
    return size > 0 ? new_buffer(p, size, now(p), &d->temporary) : WHET_OK;
}

/* Input 0 is read by nobody after this node, so that the output can take its place. */
static bool may_overwrite(const planner *p, const whet_i_node *node) {
    const whet_i_value v = node->inputs[0];
    const value_state *s = &p->values[v];
    return node->op->in_place && p->g->values[v].producer >= 0 && !s->kept &&
           s->last_reader == node->index && !(s->saved && s->policy == KEEP) &&
           value_size(p, v) == value_size(p, node->outputs[0]);
}

/* The forward pass of a node, the first time or again. */
static whet_status forward_step(planner *p, int32_t index, whet_i_step_kind kind) {
    const whet_i_node *node = &p->g->nodes[index];
    node_state *s = &p->nodes[index];
    draft *d;
    WHET_TRY(new_step(p, kind, index, &node->op->forward, &d));
    for (int32_t j = 0; j < node->n_inputs; j++) read_value(p, node->inputs[j], &d->in[j]);
    for (int32_t j = 0; j < node->n_outputs; j++) {
        value_state *v = &p->values[node->outputs[j]];
        if (!v->used) continue;
        /* Again: what is still there from the first time need not be written. */
        if (kind == WHET_I_STEP_AGAIN && v->alive) continue;
        if (j == 0 && kind == WHET_I_STEP_FORWARD && may_overwrite(p, node))
            v->data = d->in[0];
        else
            WHET_TRY(value_buffer(p, node->outputs[j], now(p), &v->data));
        v->alive = true;
        d->out[j] = v->data;
        touch(p, v->data, v->kept ? INT_MAX : now(p));
    }
    if (s->backward && node->op->saved) {
        const whet_i_sizes sizes = sizes_of(p, node);
        const int64_t size = node->op->saved(p->g, node, &sizes);
        if (size > 0) WHET_TRY(new_buffer(p, size, now(p), &s->saved));
        d->saved = s->saved;
    }
    return add_temporary(p, node, &node->op->forward, d);
}

static whet_status make_available(planner *p, whet_i_value v);

static whet_status make_inputs_available(planner *p, const whet_i_node *node, uint32_t reads) {
    for (int32_t j = 0; j < node->n_inputs; j++)
        if (reads & WHET_I_READS_IN(j)) WHET_TRY(make_available(p, node->inputs[j]));
    for (int32_t j = 0; j < node->n_outputs; j++)
        if (reads & WHET_I_READS_OUT(j)) WHET_TRY(make_available(p, node->outputs[j]));
    return WHET_OK;
}

static whet_status rebuild(planner *p, int32_t index) {
    const whet_i_node *node = &p->g->nodes[index];
    draft *d;
    WHET_TRY(make_inputs_available(p, node, node->op->rebuild_reads));
    if (p->values[node->outputs[0]].alive) return WHET_OK; /* a step just added made it too */
    WHET_TRY(new_step(p, WHET_I_STEP_REBUILD, index, &node->op->rebuild, &d));
    for (int32_t j = 0; j < node->n_inputs; j++)
        if (node->op->rebuild_reads & WHET_I_READS_IN(j)) read_value(p, node->inputs[j], &d->in[j]);
    for (int32_t j = 1; j < node->n_outputs; j++)
        if (node->op->rebuild_reads & WHET_I_READS_OUT(j))
            read_value(p, node->outputs[j], &d->out[j]);
    value_state *v = &p->values[node->outputs[0]];
    WHET_TRY(value_buffer(p, node->outputs[0], now(p), &v->data));
    v->alive = true;
    d->out[0] = v->data;
    return add_temporary(p, node, &node->op->rebuild, d);
}

/* Makes a value that the backward pass is about to read. The depth is that of a segment. */
static whet_status make_available(planner *p, whet_i_value v) {
    const int32_t producer = p->g->values[v].producer;
    if (producer < 0 || p->values[v].alive) return WHET_OK;
    if (p->values[v].policy == REBUILD) return rebuild(p, producer);
    WHET_TRY(make_inputs_available(p, &p->g->nodes[producer], ~0U >> 24));
    return forward_step(p, producer, WHET_I_STEP_AGAIN);
}

/* ---- the backward pass ------------------------------------------------------------------------ */

static whet_status gradient_of_input(planner *p, const whet_i_node *node, int32_t j, draft *d) {
    value_state *v = &p->values[node->inputs[j]];
    if (v->gradient >= 0) {
        d->step.adds[j] = true;
        touch(p, v->gradient, now(p));
    } else if (node->op->grad_shares == j && d->grad_out[0] >= 0 &&
               value_size(p, node->inputs[j]) == value_size(p, node->outputs[0])) {
        v->gradient = d->grad_out[0];
    } else {
        WHET_TRY(value_buffer(p, node->inputs[j], now(p), &v->gradient));
    }
    d->grad_in[j] = v->gradient;
    return WHET_OK;
}

static whet_status backward_step(planner *p, int32_t index) {
    const whet_i_node *node = &p->g->nodes[index];
    node_state *s = &p->nodes[index];
    draft *d;
    WHET_TRY(make_inputs_available(p, node, s->reads));
    /* Its saved numbers were not made if all its outputs are alive, else with them. */
    if (node->op->saved && p->values[node->outputs[0]].policy == AGAIN)
        WHET_TRY(make_available(p, node->outputs[0]));
    WHET_TRY(new_step(p, WHET_I_STEP_BACKWARD, index, &node->op->backward, &d));
    for (int32_t j = 0; j < node->n_inputs; j++)
        if (s->reads & WHET_I_READS_IN(j)) read_value(p, node->inputs[j], &d->in[j]);
    for (int32_t j = 0; j < node->n_outputs; j++) {
        if (s->reads & WHET_I_READS_OUT(j)) read_value(p, node->outputs[j], &d->out[j]);
        d->grad_out[j] = p->values[node->outputs[j]].gradient;
        touch(p, d->grad_out[j], now(p));
    }
    d->saved = s->saved;
    touch(p, s->saved, now(p));
    for (int32_t j = 0; j < node->n_inputs; j++)
        if (s->wanted >> j & 1) WHET_TRY(gradient_of_input(p, node, j, d));
    for (int32_t j = 0; j < node->n_params; j++) {
        d->step.param_adds[j] = p->param_seen[node->params[j]];
        p->param_seen[node->params[j]] = true;
    }
    return add_temporary(p, node, &node->op->backward, d);
}

static whet_status schedule(planner *p) {
    for (int64_t i = 0; i < p->g->n_nodes; i++)
        if (p->nodes[i].needed) WHET_TRY(forward_step(p, (int32_t)i, WHET_I_STEP_FORWARD));
    if (!p->sizes.train) return WHET_OK;
    for (int64_t v = 0; v < p->g->n_values; v++)
        if (p->values[v].policy != KEEP) p->values[v].alive = false;
    draft *d;
    WHET_TRY(new_step(p, WHET_I_STEP_SEED, -1, NULL, &d));
    WHET_TRY(value_buffer(p, p->opts->loss, now(p), &p->values[p->opts->loss].gradient));
    d->grad_out[0] = p->values[p->opts->loss].gradient;
    for (int64_t i = p->g->n_nodes - 1; i >= 0; i--)
        if (p->nodes[i].backward) WHET_TRY(backward_step(p, (int32_t)i));
    /* Values that no policy dropped are read where they were kept. */
    return WHET_OK;
}

/* ---- places ----------------------------------------------------------------------------------- */

/* A buffer by its number; sorted by falling size. */
typedef struct ranked {
    int64_t size;
    int32_t number;
} ranked;

static int by_size(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->size != y->size) return x->size < y->size ? 1 : -1;
    return x->number < y->number ? -1 : 1;
}

/* The lowest place where b fits among placed[n], which are sorted by place. */
static int64_t lowest_place(const planner *p, const buffer *b, const int32_t *placed, int64_t n) {
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        const buffer *other = &p->buffers[placed[i]];
        if (other->last < b->first || b->last < other->first) continue;
        if (at + b->size <= other->place) return at;
        if (other->place + other->size > at) at = other->place + other->size;
    }
    return at;
}

static whet_status place_buffers(planner *p, int64_t *total) {
    ranked *order = NULL;
    int32_t *placed = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(p->ctx, p->n_buffers, &order));
    WHET_TRY_DONE(whet_i_alloc(p->ctx, p->n_buffers, &placed));
    for (int64_t i = 0; i < p->n_buffers; i++) order[i] = (ranked){p->buffers[i].size, (int32_t)i};
    qsort(order, (size_t)p->n_buffers, sizeof *order, by_size);
    *total = 0;
    for (int64_t i = 0; i < p->n_buffers; i++) {
        buffer *b = &p->buffers[order[i].number];
        int64_t end, at = i;
        b->place = lowest_place(p, b, placed, i);
        WHET_TRY_DONE(whet_i_add(p->ctx, b->place, b->size, &end));
        for (; at > 0 && p->buffers[placed[at - 1]].place > b->place; at--)
            placed[at] = placed[at - 1];
        placed[at] = order[i].number;
        if (end > *total) *total = end;
    }
done:
    whet_i_free(p->ctx, placed);
    whet_i_free(p->ctx, order);
    return status;
}

static int64_t place_of(const planner *p, int32_t b) {
    if (b == -1) return WHET_I_NOWHERE;
    if (b < -1) return whet_i_place_of_feed((int32_t)(b - INT_MIN));
    return p->buffers[b].place;
}

static void finish_step(const planner *p, const draft *d, whet_i_step *out) {
    *out = d->step;
    for (int i = 0; i < WHET_I_INPUTS_MAX; i++) {
        out->in[i] = place_of(p, d->in[i]);
        out->grad_in[i] = place_of(p, d->grad_in[i]);
    }
    for (int i = 0; i < WHET_I_OUTPUTS_MAX; i++) {
        out->out[i] = place_of(p, d->out[i]);
        out->grad_out[i] = place_of(p, d->grad_out[i]);
    }
    out->saved = place_of(p, d->saved);
    out->temporary = place_of(p, d->temporary);
}

/* ---- the whole -------------------------------------------------------------------------------- */

static whet_status prepare(whet_ctx *ctx, const planner *p) {
    for (int64_t i = 0; i < p->g->n_nodes; i++) {
        const whet_i_node *node = &p->g->nodes[i];
        if (!p->nodes[i].needed || !node->op->prepare) continue;
        whet_i_sizes sizes = p->sizes;
        sizes.train = p->nodes[i].backward;
        sizes.wanted = p->nodes[i].wanted;
        WHET_TRY(node->op->prepare(ctx, p->g, node, &sizes, &p->states[i]));
    }
    return WHET_OK;
}

static whet_status finish(whet_ctx *ctx, const planner *p, whet_i_plan *plan) {
    plan->graph = p->g;
    plan->sizes = p->sizes;
    plan->always_team = p->opts->always_team;
    plan->n_steps = p->n_steps;
    WHET_TRY(whet_i_alloc(ctx, p->n_steps, &plan->steps));
    for (int64_t i = 0; i < p->n_steps; i++) {
        const whet_i_pass *pass = p->steps[i].step.pass;
        finish_step(p, &p->steps[i], &plan->steps[i]);
        if (!pass) continue;
        plan->n_phases += pass->phases;
        const whet_i_node *node = &p->g->nodes[p->steps[i].step.node];
        const whet_i_sizes sizes = sizes_of(p, node);
        const int64_t bytes = pass->scratch ? pass->scratch(p->g, node, &sizes) : 0;
        if (bytes > plan->scratch) plan->scratch = bytes;
    }
    plan->scratch = (plan->scratch + 127) / 128 * 128;
    WHET_TRY(whet_i_alloc(ctx, p->g->n_values, &plan->kept));
    for (int64_t v = 0; v < p->g->n_values; v++)
        plan->kept[v] = p->values[v].kept ? place_of(p, p->values[v].data) : WHET_I_NOWHERE;
    return WHET_OK;
}

static whet_status make(planner *p, whet_i_plan *plan) {
    const int64_t n = p->g->n_values > p->g->params->n ? p->g->n_values : p->g->params->n;
    WHET_TRY(whet_i_calloc(p->ctx, p->g->n_values, &p->values));
    WHET_TRY(whet_i_calloc(p->ctx, p->g->n_nodes, &p->nodes));
    WHET_TRY(whet_i_calloc(p->ctx, n, &p->param_seen));
    for (int64_t v = 0; v < p->g->n_values; v++)
        p->values[v].last_reader = p->values[v].data = p->values[v].gradient = -1;
    for (int64_t i = 0; i < p->g->n_nodes; i++) p->nodes[i].saved = -1;
    mark_forward(p);
    if (p->sizes.train) {
        mark_gradients(p);
        mark_backward(p);
        choose_policies(p);
    }
    WHET_TRY(whet_i_calloc(p->ctx, p->g->n_nodes, &plan->states));
    p->states = plan->states;
    WHET_TRY(prepare(p->ctx, p));
    WHET_TRY(schedule(p));
    WHET_TRY(place_buffers(p, &plan->reals));
    return finish(p->ctx, p, plan);
}

whet_status whet_i_plan_create(whet_ctx *ctx, const whet_i_graph *graph,
                               const whet_i_plan_opts *opts, whet_i_plan **out) {
    whet_i_plan *plan = NULL;
    planner p = {.ctx = ctx, .g = graph, .opts = opts, .sizes = opts->sizes};
    p.sizes.rows[WHET_I_ONE] = 1;
    p.sizes.train = opts->loss != WHET_I_NONE;
    WHET_TRY(whet_i_calloc(ctx, 1, &plan));
    plan->graph = graph;
    const whet_status status = make(&p, plan);
    whet_i_free(ctx, p.values);
    whet_i_free(ctx, p.nodes);
    whet_i_free(ctx, p.param_seen);
    whet_i_free(ctx, p.steps);
    whet_i_free(ctx, p.buffers);
    if (status == WHET_OK)
        *out = plan;
    else
        whet_i_plan_destroy(ctx, plan);
    return status;
}

void whet_i_plan_destroy(whet_ctx *ctx, whet_i_plan *plan) {
    if (!plan) return;
    for (int64_t i = 0; plan->states && i < plan->graph->n_nodes; i++)
        if (plan->states[i]) plan->graph->nodes[i].op->release(ctx, plan->states[i]);
    whet_i_free(ctx, plan->states);
    whet_i_free(ctx, plan->steps);
    whet_i_free(ctx, plan->kept);
    whet_i_free(ctx, plan);
}

int64_t whet_i_plan_bytes(const whet_i_plan *plan) {
    return plan->reals * (int64_t)sizeof(whet_i_real) + plan->scratch * plan->sizes.workers;
}
