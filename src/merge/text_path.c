/* SPDX-License-Identifier: Apache-2.0
 * The line between two encoders with a head for classes, (1 - w) A + w B, point by point: a mixture is made,
 * reads all texts without padding, a batch of rows at a time, and is forgotten. */
#include "merge/text_path.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { BATCH_TOKENS = 2048, NAME_SIZE = 192 };

const whet_tensor *whet_i_text_tensor(const whet_weights *w, const char *prefix, const char *name) {
    const size_t length = strlen(prefix);
    const bool has = strncmp(name, prefix, length) == 0;
    char other[NAME_SIZE];
    (void)snprintf(other, sizeof other, "%s%s", has ? "" : prefix, has ? name + length : name);
    const whet_tensor *found = NULL;
    for (int64_t i = 0; i < w->n; i++) {
        if (strcmp(w->items[i].name, name) == 0) return &w->items[i].tensor;
        if (strcmp(w->items[i].name, other) == 0) found = &w->items[i].tensor;
    }
    return found;
}

/* ---- a mixture --------------------------------------------------------------------------------------- */

typedef struct network {
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_value logits;
    whet_tensor *values; /* [n] of the parameters */
    int64_t n;
} network;

static void free_network(whet_ctx *ctx, network *net) {
    whet_i_graph_destroy(ctx, net->graph);
    whet_i_params_destroy(ctx, net->params);
    for (int64_t i = 0; i < net->n; i++) whet_tensor_destroy(ctx, &net->values[i]);
    whet_i_free(ctx, net->values);
}

static bool has_shape(const whet_tensor *t, const whet_i_param *p) {
    bool same = t->rank == p->rank;
    for (int32_t x = 0; same && x < p->rank; x++) same = t->shape[x] == p->shape[x];
    return same;
}

static whet_status find_both(whet_ctx *ctx, const whet_i_text_inputs *in,
                             const whet_weights *const sides[2], const whet_i_param *p,
                             const whet_tensor *found[2]) {
    for (int k = 0; k < 2; k++) {
        found[k] = whet_i_text_tensor(sides[k], in->config.family->prefix, p->name);
        if (!found[k])
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "tensor %s is not in the %s network; expected a %s", p->name,
                               k ? "second" : "first", in->config.family->classifier);
        if (!has_shape(found[k], p))
            return whet_i_fail(ctx, WHET_ERR_SHAPE,
                               "tensor %s of the %s network has another shape than config.json "
                               "says; expected one architecture",
                               p->name, k ? "second" : "first");
    }
    return WHET_OK;
}

/* out = (1 - w) a + w b in f32; the ends as they are. */
static whet_status mix(whet_ctx *ctx, const whet_tensor *a, const whet_tensor *b, double w,
                       whet_tensor *out) {
    whet_tensor other = {0};
    WHET_TRY(whet_tensor_convert(ctx, w < 1 ? a : b, WHET_F32, out));
    if (w <= 0 || w >= 1) return WHET_OK;
    WHET_TRY(whet_tensor_convert(ctx, b, WHET_F32, &other));
    const float *y = other.data;
    float *x = out->data;
    const int64_t n = whet_tensor_count(out);
    for (int64_t i = 0; i < n; i++) x[i] = (float)((1 - w) * (double)x[i] + w * (double)y[i]);
    whet_tensor_destroy(ctx, &other);
    return WHET_OK;
}

static whet_status record(whet_ctx *ctx, const whet_i_text_inputs *in, network *net) {
    const whet_i_encoder_config *c = &in->config;
    const whet_i_selection selection = whet_i_encoder_selection(c, WHET_I_HEAD_FAMILY);
    whet_i_value hidden;
    WHET_TRY(whet_i_params_create(ctx, WHET_F32, &net->params));
    WHET_TRY(whet_i_graph_create(ctx, net->params, &net->graph));
    WHET_TRY(
        whet_i_encoder_record(ctx, net->graph, c, c->family->prefix, false, selection, &hidden));
    return whet_i_encoder_head(ctx, net->graph, c, c->family->prefix, false, WHET_I_HEAD_FAMILY,
                               in->classes, hidden, &net->logits);
}

/* What it leaves behind on failure is released by free_network. */
static whet_status make_network(whet_ctx *ctx, const whet_i_text_inputs *in,
                                const whet_weights *const sides[2], double w, network *net) {
    WHET_TRY(record(ctx, in, net));
    WHET_TRY(whet_i_calloc(ctx, net->params->n, &net->values));
    net->n = net->params->n;
    for (int64_t i = 0; i < net->n; i++) {
        whet_i_param *p = &net->params->items[i];
        const whet_tensor *found[2];
        WHET_TRY(find_both(ctx, in, sides, p, found));
        WHET_TRY(mix(ctx, found[0], found[1], w, &net->values[i]));
        p->source = net->values[i];
        p->init = WHET_I_INIT_REQUIRED;
    }
    return whet_i_params_settle(ctx, net->params, 0);
}

/* ---- reading texts ---------------------------------------------------------------------------------- */

typedef struct pass {
    const whet_i_text_inputs *in;
    int64_t *order, *batch; /* [n] rows; [batches + 1] */
    int64_t batches, most_rows, most_tokens, longest;
    whet_i_text_batch feeds;
} pass;

/* Batches of neighbours in the table; a longer row is one alone. */
static whet_status cut_batches(whet_ctx *ctx, pass *p) {
    const int64_t *start = p->in->tokens.start;
    int64_t tokens = 0;
    WHET_TRY(whet_i_alloc(ctx, p->in->n, &p->order));
    WHET_TRY(whet_i_alloc(ctx, p->in->n + 1, &p->batch));
    p->batch[0] = 0;
    for (int64_t i = 0; i < p->in->n; i++) {
        const int64_t length = start[i + 1] - start[i];
        p->order[i] = i;
        if (tokens > 0 && tokens + length > BATCH_TOKENS) {
            p->batch[++p->batches] = i;
            tokens = 0;
        }
        tokens += length;
        if (length > p->longest) p->longest = length;
        if (tokens > p->most_tokens) p->most_tokens = tokens;
        const int64_t rows = i + 1 - p->batch[p->batches];
        if (rows > p->most_rows) p->most_rows = rows;
    }
    p->batch[++p->batches] = p->in->n;
    return whet_i_text_batch_init(ctx, &p->feeds, p->most_tokens, p->most_rows);
}

static void free_pass(whet_ctx *ctx, pass *p) {
    whet_i_text_batch_free(ctx, &p->feeds);
    whet_i_free(ctx, p->batch);
    whet_i_free(ctx, p->order);
}

/* Adds the loss of one row; the first of equal logits counts. */
static void score(const float *logits, int64_t classes, int32_t label, double *loss,
                  int64_t *right) {
    int64_t best = 0;
    double sum = 0;
    for (int64_t c = 1; c < classes; c++)
        if (logits[c] > logits[best]) best = c;
    for (int64_t c = 0; c < classes; c++) sum += exp((double)logits[c] - (double)logits[best]);
    *loss += log(sum) + (double)logits[best] - (double)logits[label];
    *right += best == label;
}

static whet_status read_texts(whet_ctx *ctx, pass *p, const network *net, whet_mode_point *out) {
    const whet_i_plan_opts opts = {.sizes = {.rows = {1, p->most_rows, p->most_tokens},
                                             .longest = p->longest,
                                             .workers = whet_ctx_threads(ctx)},
                                   .loss = WHET_I_NONE,
                                   .keep = &net->logits,
                                   .n_keep = 1};
    const int64_t k = p->in->classes;
    whet_i_plan *plan = NULL;
    whet_i_executor *executor = NULL;
    double loss = 0;
    int64_t right = 0;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_plan_create(ctx, net->graph, &opts, &plan));
    WHET_TRY_DONE(whet_i_params_pack(ctx, net->params));
    WHET_TRY_DONE(whet_i_executor_create(ctx, plan, &executor));
    for (int64_t b = 0; b < p->batches; b++) {
        const int64_t first = p->batch[b], rows = p->batch[b + 1] - first;
        WHET_TRY_DONE(whet_i_progress(ctx, "score", first, p->in->n));
        whet_i_text_batch_fill(&p->feeds, &p->in->tokens, p->order + first, rows,
                               p->in->config.family->position_offset);
        whet_i_executor_run(executor, &p->feeds.batch);
        const float *logits = whet_i_executor_value(executor, net->logits);
        for (int64_t i = 0; i < rows; i++)
            score(logits + i * k, k, p->in->labels[first + i], &loss, &right);
    }
    out->loss = loss / (double)p->in->n;
    out->accuracy = (double)right / (double)p->in->n;
    status = whet_i_progress(ctx, "score", p->in->n, p->in->n);
done:
    whet_i_executor_destroy(ctx, executor);
    whet_i_plan_destroy(ctx, plan);
    return status;
}

/* ---- the line --------------------------------------------------------------------------------------- */

static whet_status measure_point(whet_ctx *ctx, pass *p, const whet_weights *const sides[2],
                                 whet_mode_point *out) {
    network net = {0};
    whet_status status = make_network(ctx, p->in, sides, out->weight, &net);
    if (status == WHET_OK) status = read_texts(ctx, p, &net, out);
    free_network(ctx, &net);
    return status;
}

whet_status whet_i_text_path(whet_ctx *ctx, const whet_i_text_inputs *in, const whet_weights *a,
                             const whet_weights *b, int64_t points, whet_mode_point *out,
                             double *barrier) {
    const whet_weights *const sides[2] = {a, b};
    whet_mode_point *found = NULL;
    pass p = {.in = in};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_calloc(ctx, points, &found));
    WHET_TRY_DONE(cut_batches(ctx, &p));
    for (int64_t i = 0; i < points; i++) {
        found[i].weight = (double)i / (double)(points - 1);
        WHET_TRY_DONE(measure_point(ctx, &p, sides, &found[i]));
    }
    *barrier = whet_i_mode_barrier(points, found);
    memcpy(out, found, (size_t)points * sizeof *out);
done:
    free_pass(ctx, &p);
    whet_i_free(ctx, found);
    return status;
}
