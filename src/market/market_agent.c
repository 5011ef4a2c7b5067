/* SPDX-License-Identifier: Apache-2.0
 * An agent's network: recorded once, trained epoch by epoch on its own examples, scored, and given weights
 * that were bought. One thread. Where it is, is a few arrays (its state), so that another run can begin
 * there. Batches come from the seed, the agent and its own epoch alone. */
#include <inttypes.h>
#include <math.h>

#include "market/trading_i.h"
#include "merge/merge_i.h"

enum {
    SCORED = 250
}; /* rows of a pass that scores: activations of narrow layers stay in a cache */

struct whet_i_trader {
    const whet_trading_config *config;
    const whet_i_market_data *data;
    const whet_i_learning *learning;
    const char *name;
    const int32_t *relabel;
    int64_t agent; /* n_agents: the bank */
    uint64_t seed; /* of batches */
    int64_t epoch; /* next one */
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_value logits, loss;
    whet_i_plan *train_plan, *score_plan;
    whet_i_executor *train, *score;
    whet_i_optimizer *optimizer;
    whet_named_tensor *weights; /* [params->n] */
    float *fed;                 /* [micro, d] */
    int32_t *labels;            /* [micro] */
    int64_t *lengths;           /* [rows] ones */
    int64_t micro;
};

/* ---- making ---------------------------------------------------------------------------------- */

static const char *model_of(const char *arch) {
    if (strcmp(arch, "resnet") == 0) return "resnet20";
    return strcmp(arch, "wrn") == 0 ? "wrn22" : arch;
}

static whet_status record(whet_ctx *ctx, whet_i_trader *t) {
    const whet_trading_config *c = t->config;
    whet_i_model_settings s = {.image = t->data->image, .classes = t->data->outputs};
    whet_i_model_values values;
    whet_i_value x, labels;
    memcpy(s.widths, c->widths, sizeof s.widths);
    s.n_widths = c->n_widths;
    s.blocks = c->blocks;
    s.widen = c->widen;
    WHET_TRY(whet_i_params_create(ctx, WHET_F32, &t->params));
    WHET_TRY(whet_i_graph_create(ctx, t->params, &t->graph));
    WHET_TRY(whet_i_graph_feed(ctx, t->graph, false, WHET_I_EXAMPLES, t->data->d, &x));
    WHET_TRY(whet_i_graph_feed(ctx, t->graph, true, WHET_I_EXAMPLES, 1, &labels));
    WHET_TRY(
        whet_i_model_record(ctx, t->graph, whet_i_model_find(model_of(c->arch)), &s, x, &values));
    t->logits = values.logits;
    return whet_i_cross_entropy(ctx, t->graph, values.logits, labels, 0, &t->loss);
}

static whet_status settle(whet_ctx *ctx, whet_i_trader *t, uint64_t seed) {
    enum { COPIES = 4 }; /* values, slopes, two moments */
    whet_i_params *p = t->params;
    double numbers = 0;
    for (int64_t i = 0; i < p->n; i++) numbers += COPIES * (double)p->items[i].count;
    WHET_TRY(whet_i_check_room(ctx, "the network of an agent", sizeof(float) * numbers,
                               "a smaller network"));
    for (int64_t i = 0; i < p->n; i++) p->items[i].trainable = !p->items[i].statistics;
    WHET_TRY(whet_i_params_settle(ctx, p, seed));
    WHET_TRY(whet_i_calloc(ctx, p->n, &t->weights));
    for (int64_t i = 0; i < p->n; i++) {
        const whet_i_param *from = &p->items[i];
        whet_named_tensor *to = &t->weights[i];
        to->name = from->name;
        to->tensor = (whet_tensor){.data = from->values, .dtype = WHET_F32, .rank = from->rank};
        memcpy(to->tensor.shape, from->shape, sizeof from->shape);
    }
    return WHET_OK;
}

static whet_status plan(whet_ctx *ctx, whet_i_trader *t) {
    const int64_t rows = t->data->n_rows[t->agent];
    int64_t micro = t->learning->batch;
    if (t->config->micro_batch && t->config->micro_batch < micro) micro = t->config->micro_batch;
    if (rows < micro) micro = rows;
    const whet_i_plan_opts train = {.sizes = {.rows = {1, micro, 0}, .workers = 1},
                                    .loss = t->loss};
    const whet_i_plan_opts score = {.sizes = {.rows = {1, SCORED, 0}, .workers = 1},
                                    .loss = WHET_I_NONE,
                                    .keep = &t->logits,
                                    .n_keep = 1};
    int64_t cells;
    t->micro = micro;
    WHET_TRY(whet_i_plan_create(ctx, t->graph, &train, &t->train_plan));
    WHET_TRY(whet_i_plan_create(ctx, t->graph, &score, &t->score_plan));
    WHET_TRY(whet_i_check_room(ctx, "training of an agent",
                               (double)whet_i_plan_bytes(t->train_plan), "a smaller batch"));
    WHET_TRY(whet_i_executor_create(ctx, t->train_plan, &t->train));
    WHET_TRY(whet_i_executor_create(ctx, t->score_plan, &t->score));
    WHET_TRY(whet_i_params_pack(ctx, t->params));
    WHET_TRY(whet_i_optimizer_create(ctx, t->params, &t->learning->optimizer, &t->optimizer));
    WHET_TRY(whet_i_mul(ctx, micro, t->data->d, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &t->fed));
    WHET_TRY(whet_i_alloc(ctx, micro, &t->labels));
    WHET_TRY(whet_i_alloc(ctx, rows, &t->lengths));
    for (int64_t i = 0; i < rows; i++) t->lengths[i] = 1;
    return WHET_OK;
}

whet_status whet_i_trader_create(whet_ctx *ctx, const whet_trading_config *config,
                                 const whet_i_market_data *data, int64_t seed, int64_t agent,
                                 whet_i_trader **out) {
    const bool bank = agent == config->n_agents;
    const uint64_t base = whet_i_hash_u64(config->seeds[seed]);
    whet_i_trader *t;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_calloc(ctx, 1, &t));
    t->config = config;
    t->data = data;
    t->agent = agent;
    t->learning = bank ? &config->learning : &config->agents[agent].learning;
    t->name = bank ? "bank" : config->agents[agent].name;
    t->relabel = bank ? NULL : config->agents[agent].relabel;
    t->seed = whet_i_hash_u64(base + 2 * (uint64_t)agent + 1);
    WHET_TRY_DONE(record(ctx, t));
    WHET_TRY_DONE(settle(
        ctx, t, whet_i_hash_u64(base + (config->shared_init ? 0 : 2 * (uint64_t)agent + 2))));
    WHET_TRY_DONE(plan(ctx, t));
    *out = t;
    return WHET_OK;
done:
    whet_i_trader_destroy(ctx, t);
    return status;
}

void whet_i_trader_destroy(whet_ctx *ctx, whet_i_trader *t) {
    if (!t) return;
    whet_i_free(ctx, t->lengths);
    whet_i_free(ctx, t->labels);
    whet_i_free(ctx, t->fed);
    whet_i_free(ctx, t->weights);
    whet_i_optimizer_destroy(ctx, t->optimizer);
    whet_i_executor_destroy(ctx, t->score);
    whet_i_executor_destroy(ctx, t->train);
    whet_i_plan_destroy(ctx, t->score_plan);
    whet_i_plan_destroy(ctx, t->train_plan);
    whet_i_graph_destroy(ctx, t->graph);
    whet_i_params_destroy(ctx, t->params);
    whet_i_free(ctx, t);
}

/* ---- its state ------------------------------------------------------------------------------- */

/* Values and moments one after the other, to or from an array; NULL: only counts. */
static int64_t pass(const whet_i_trader *t, float *to, const float *from) {
    int64_t n = 0;
    for (int64_t i = 0; i < t->params->n; i++) {
        const whet_i_param *p = &t->params->items[i];
        float *parts[3] = {p->values, t->optimizer->first[i], t->optimizer->second[i]};
        for (int k = 0; k < 3; k++) {
            const size_t bytes = (size_t)p->count * sizeof(float);
            if (!parts[k]) continue;
            if (to) memcpy(to + n, parts[k], bytes);
            if (from) memcpy(parts[k], from + n, bytes);
            n += p->count;
        }
    }
    return n;
}

int64_t whet_i_trader_numbers(const whet_i_trader *trader) { return pass(trader, NULL, NULL); }

void whet_i_trader_get(const whet_i_trader *trader, whet_i_trader_state *state) {
    (void)pass(trader, state->numbers, NULL);
    state->steps = trader->optimizer->steps;
    state->epoch = trader->epoch;
}

whet_status whet_i_trader_set(whet_ctx *ctx, whet_i_trader *trader,
                              const whet_i_trader_state *state) {
    (void)pass(trader, NULL, state->numbers);
    trader->optimizer->steps = state->steps;
    trader->epoch = state->epoch;
    return whet_i_params_pack(ctx, trader->params);
}

const whet_named_tensor *whet_i_trader_weights(const whet_i_trader *trader, int64_t *n) {
    *n = trader->params->n;
    return trader->weights;
}

whet_status whet_i_trader_adopt(whet_ctx *ctx, whet_i_trader *t, const whet_named_tensor *values,
                                bool keep) {
    for (int64_t i = 0; i < t->params->n; i++) {
        const whet_i_param *p = &t->params->items[i];
        memcpy(p->values, values[i].tensor.data, (size_t)p->count * sizeof(float));
        float *moments[2] = {t->optimizer->first[i], t->optimizer->second[i]};
        for (int k = 0; k < 2; k++)
            if (moments[k] && !keep) memset(moments[k], 0, (size_t)p->count * sizeof(float));
    }
    if (!keep) t->optimizer->steps = 0;
    return whet_i_params_pack(ctx, t->params);
}

/* ---- training -------------------------------------------------------------------------------- */

static void feed(whet_i_trader *t, const int64_t *order, int64_t rows) {
    const int64_t *own = t->data->rows[t->agent];
    const int32_t *y = t->data->train_y.data;
    const uint64_t key = whet_i_hash_u64(t->seed ^ whet_i_hash_u64((uint64_t)t->epoch));
    for (int64_t i = 0; i < rows; i++) {
        const int64_t row = own[order[i]];
        whet_i_market_row(t->data, row, t->config->augment, key ^ (uint64_t)row,
                          t->fed + i * t->data->d);
        t->labels[i] = t->relabel ? t->relabel[y[row]] : y[row];
    }
}

/* Micro-batches first..end of one step; *sum grows by the rows' losses. */
static whet_status take_step(whet_ctx *ctx, whet_i_trader *t, const whet_i_batches *b, int64_t step,
                             double *sum) {
    const int64_t first = b->step_start[step], end = b->step_start[step + 1];
    const int64_t all = b->micro_start[end] - b->micro_start[first];
    double norm;
    for (int64_t m = first; m < end; m++) {
        const int64_t rows = b->micro_start[m + 1] - b->micro_start[m];
        feed(t, b->order + b->micro_start[m], rows);
        const whet_i_batch batch = {.rows = {1, rows, 0},
                                    .feeds = {t->fed, t->labels},
                                    .loss_scale = (float)((double)rows / (double)all),
                                    .train = true,
                                    .accumulate = m > first};
        whet_i_executor_run(t->train, &batch);
        const double loss = (double)whet_i_executor_value(t->train, t->loss)[0];
        if (!isfinite(loss))
            return whet_i_fail(ctx, WHET_ERR_NUMERIC,
                               "the loss is %g in epoch %" PRId64
                               "; expected a number; try a lower rate",
                               loss, t->epoch);
        *sum += (double)rows * loss;
    }
    WHET_TRY(whet_i_optimizer_step(ctx, t->optimizer, t->learning->rate, &norm));
    return whet_i_params_pack(ctx, t->params);
}

whet_status whet_i_trader_train(whet_ctx *ctx, whet_i_trader *t, double *loss) {
    const int64_t n = t->data->n_rows[t->agent];
    const whet_i_batches_opts opts = {.batch_size = t->learning->batch,
                                      .token_budget = t->micro,
                                      .shuffle = true,
                                      .seed = t->seed,
                                      .epoch = t->epoch};
    whet_i_batches b = {0};
    double sum = 0;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_batches_make(ctx, t->lengths, n, &opts, &b));
    for (int64_t step = 0; step < b.n_steps; step++) {
        WHET_TRY_DONE(whet_i_progress(ctx, NULL, step, b.n_steps));
        status = take_step(ctx, t, &b, step, &sum);
        if (status == WHET_ERR_NUMERIC)
            status = whet_i_fail_at(ctx, status, "agent \"%s\"", t->name);
        if (status != WHET_OK) goto done;
    }
    t->epoch++;
    *loss = sum / (double)n;
done:
    whet_i_batches_free(ctx, &b);
    return status;
}

/* ---- scoring --------------------------------------------------------------------------------- */

/* Adds the losses and hits of rows of logits; the first of equal logits counts. */
static void add_rows(const float *logits, const int32_t *y, int64_t rows, int64_t k, double *loss,
                     int64_t *right) {
    for (int64_t i = 0; i < rows; i++, logits += k) {
        double sum = 0;
        int64_t top = 0;
        for (int64_t c = 1; c < k; c++)
            if (logits[c] > logits[top]) top = c;
        for (int64_t c = 0; c < k; c++) sum += exp((double)logits[c] - (double)logits[top]);
        *loss += log(sum) + (double)logits[top] - (double)logits[y[i]];
        *right += top == y[i];
    }
}

whet_status whet_i_trader_score(whet_ctx *ctx, whet_i_trader *t, const whet_i_examples *e,
                                double *loss, double *accuracy) {
    double sum = 0;
    int64_t right = 0;
    for (int64_t first = 0; first < e->n; first += SCORED) {
        const int64_t rows = e->n - first < SCORED ? e->n - first : SCORED;
        const whet_i_batch batch = {.rows = {1, rows, 0},
                                    .feeds = {e->x + first * t->data->d, e->labels + first},
                                    .loss_scale = 1};
        WHET_TRY(whet_i_progress(ctx, NULL, first, e->n));
        whet_i_executor_run(t->score, &batch);
        add_rows(whet_i_executor_value(t->score, t->logits), e->labels + first, rows,
                 t->data->outputs, &sum, &right);
    }
    *loss = e->n ? sum / (double)e->n : (double)NAN;
    *accuracy = e->n ? (double)right / (double)e->n : (double)NAN;
    return WHET_OK;
}

/* Running statistics to or from `kept`; how many numbers they are. */
static int64_t pass_statistics(const whet_i_trader *t, float *to, const float *from) {
    int64_t n = 0;
    for (int64_t i = 0; i < t->params->n; i++) {
        const whet_i_param *p = &t->params->items[i];
        const size_t bytes = (size_t)p->count * sizeof(float);
        if (!p->statistics) continue;
        if (to) memcpy(to + n, p->values, bytes);
        if (from) memcpy(p->values, from + n, bytes);
        n += p->count;
    }
    return n;
}

whet_status whet_i_trader_measure(whet_ctx *ctx, whet_i_trader *t, const whet_i_examples *e,
                                  float **kept) {
    const whet_weights weights = {t->weights, t->params->n};
    float *old;
    WHET_TRY(whet_i_alloc(ctx, pass_statistics(t, NULL, NULL), &old));
    (void)pass_statistics(t, old, NULL);
    whet_status status =
        whet_i_norms_measure(ctx, t->config->arch, &weights, &t->data->image, e->x, e->n);
    if (status == WHET_OK) status = whet_i_params_pack(ctx, t->params);
    if (status == WHET_OK)
        *kept = old;
    else
        whet_i_free(ctx, old);
    return status;
}

whet_status whet_i_trader_restore(whet_ctx *ctx, whet_i_trader *t, float *kept) {
    if (!kept) return WHET_OK;
    (void)pass_statistics(t, NULL, kept);
    whet_i_free(ctx, kept);
    return whet_i_params_pack(ctx, t->params);
}
