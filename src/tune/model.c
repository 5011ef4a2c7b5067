/* SPDX-License-Identifier: Apache-2.0
 * The model of a run: the recording with its adapters, what is trained, and the plans, whose memory is
 * checked before the first step. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tune/adapter_set.h"
#include "tune/tune_i.h"

enum { NAME_SIZE = 512 };

/* ---- which layers ----------------------------------------------------------------------------- */

static whet_status parse_values(whet_ctx *ctx, whet_i_tune *run) {
    const whet_tune_job *j = &run->job;
    whet_i_adapter_config *c = &run->config;
    WHET_TRY(whet_i_module_values_parse(ctx, c, &c->ranks, "rank pattern", j->rank_pattern,
                                        (whet_i_value_range){1, 1024, true}));
    WHET_TRY(whet_i_module_values_parse(ctx, c, &c->alphas, "alpha pattern", j->alpha_pattern,
                                        (whet_i_value_range){1e-6, 1e6, false}));
    return whet_i_module_values_parse(ctx, c, &c->block_counts, "blocks pattern", j->blocks_pattern,
                                      (whet_i_value_range){1, 64, true});
}

/* The modules of the head as PEFT finds them: "classifier" is "classifier.out_proj" as well. */
static whet_status save_head(whet_ctx *ctx, const char *const *head, whet_i_adapter_config *c) {
    for (int i = 0; i < 2 && head[i]; i++) {
        const whet_str name = {head[i], (int64_t)strcspn(head[i], ".")};
        if (i == 0 || !whet_str_equal(name, c->saved.ends[c->saved.n - 1]))
            WHET_TRY(whet_i_modules_add(ctx, c, &c->saved, name));
    }
    return WHET_OK;
}

static whet_status make_config(whet_ctx *ctx, whet_i_tune *run) {
    const whet_tune_job *j = &run->job;
    whet_i_adapter_config *c = &run->config;
    if (run->start) return WHET_OK;
    WHET_TRY(whet_i_adapter_config_init(ctx, c));
    c->kind = run->adapter->kind;
    c->rank = j->rank;
    c->blocks = j->blocks;
    c->alpha = j->alpha;
    c->rank_stabilised = j->rank_stabilised;
    c->dropout = j->adapter_dropout;
    WHET_TRY(whet_i_modules_parse(ctx, c, &c->targets, "targets", j->targets));
    for (int i = 0; i < 3 && !j->targets && run->adapter->adapts; i++)
        WHET_TRY(whet_i_modules_add(ctx, c, &c->targets, whet_str_from(run->backbone.layers[i])));
    if (!j->targets && !run->adapter->adapts) c->targets.every = true;
    WHET_TRY(whet_i_modules_parse(ctx, c, &c->excluded, "exclude", j->exclude));
    WHET_TRY(whet_i_modules_parse(ctx, c, &c->saved, "modules to save", j->save_modules));
    run->n_saved = c->saved.n;
    WHET_TRY(whet_i_adapter_layers_parse(ctx, c, "layers", j->layers));
    if (whet_i_tune_has_head(run)) WHET_TRY(save_head(ctx, run->backbone.head, c));
    return parse_values(ctx, run);
}

bool whet_i_tune_adapted(const whet_i_tune *run, const char *module,
                         whet_i_adapter_settings *settings) {
    return run->adapter->adapts && !whet_i_backbone_is_head(&run->backbone, module) &&
           whet_i_adapter_config_layer(&run->config, module, settings);
}

static bool applies(void *arg, const char *module) {
    whet_i_adapter_settings settings;
    return whet_i_tune_adapted(arg, module, &settings);
}

static whet_status record_adapter(whet_ctx *ctx, whet_i_graph *graph, void *arg, const char *module,
                                  whet_i_value x, whet_i_value *y, int64_t first, int64_t columns) {
    whet_i_tune *run = arg;
    whet_i_adapter_settings settings;
    whet_i_value input = x;
    const double dropout = run->config.dropout;
    if (!whet_i_tune_adapted(run, module, &settings)) return WHET_OK;
    run->n_matched++;
    if (!run->start)
        WHET_TRY(whet_i_adapter_check_rank(ctx, module, whet_i_columns(graph, x), columns,
                                           settings.rank));
    if (!run->warned) run->warned = whet_i_adapter_warn(ctx, module, &settings);
    const whet_i_adapter_shape shape =
        whet_i_tune_adapter_shape(run, module, whet_i_columns(graph, x), columns, &settings);
    if (settings.kind == WHET_I_ADAPTER_MORE)
        return whet_i_adapter_record_shape(ctx, graph, module, x, y, first, &shape, &settings,
                                           dropout);
    WHET_TRY(whet_i_dropout(ctx, graph, x, dropout, &input));
    WHET_TRY(
        whet_i_adapter_record_shape(ctx, graph, module, input, y, first, &shape, &settings, 0));
    if (settings.kind != WHET_I_ADAPTER_DORA) return WHET_OK;
    return whet_i_magnitude_record(ctx, graph, module, whet_i_columns(graph, x), y, first, columns,
                                   &settings);
}

/* ---- the recording ---------------------------------------------------------------------------- */

static whet_status record(whet_ctx *ctx, whet_i_tune *run) {
    whet_i_value hidden;
    WHET_TRY(whet_i_params_create(ctx, run->job.dtype, &run->params));
    WHET_TRY(whet_i_graph_create(ctx, run->params, &run->graph));
    if (run->adapter->adapts) {
        run->adapters =
            (whet_i_adapters){.applies = applies,
                              .record = record_adapter,
                              .arg = run,
                              .before_residual = run->config.kind == WHET_I_ADAPTER_DORA};
        run->graph->adapters = &run->adapters;
    }
    WHET_TRY(whet_i_backbone_record(ctx, run->graph, &run->backbone, run->kind->embeds,
                                    whet_i_tune_selection(run), &hidden));
    run->graph->adapters = NULL;
    /* What stands before the head must be in the file, but for the adapters. */
    for (int64_t i = 0; i < run->params->n; i++)
        if (!whet_i_tune_is_adapter(run->params->items[i].name))
            run->params->items[i].init = WHET_I_INIT_REQUIRED;
    return whet_i_tune_record_loss(ctx, run, hidden);
}

/* ---- plans ------------------------------------------------------------------------------------ */

static int64_t longest_row(const whet_i_tune_rows *rows) {
    int64_t most = 0;
    for (int64_t i = 0; i < rows->n; i++) most = rows->lengths[i] > most ? rows->lengths[i] : most;
    return most;
}

static int64_t longest_text(const whet_token_rows *rows) {
    int64_t most = 0;
    for (int64_t i = 0; i < rows->n_rows; i++)
        if (rows->start[i + 1] - rows->start[i] > most) most = rows->start[i + 1] - rows->start[i];
    return most;
}

static int longer_first(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* Tokens of the largest batch that training rows can make. */
static whet_status largest_batch(whet_ctx *ctx, const whet_i_tune *run, int64_t *tokens) {
    const whet_i_tune_rows *rows = &run->train;
    int64_t *lengths;
    WHET_TRY(whet_i_alloc(ctx, rows->n, &lengths));
    memcpy(lengths, rows->lengths, (size_t)rows->n * sizeof *lengths);
    qsort(lengths, (size_t)rows->n, sizeof *lengths, longer_first);
    *tokens = 0;
    for (int64_t i = 0; i < rows->n && i < run->job.batch_size; i++) *tokens += lengths[i];
    whet_i_free(ctx, lengths);
    return WHET_OK;
}

/* Tokens with a label in a batch of so many, at most. */
static int64_t most_asked(const whet_i_tune *run, int64_t tokens) {
    const whet_i_tune_rows *const sets[] = {&run->train, &run->valid};
    int64_t most = 0;
    for (int i = 0; i < 2; i++)
        for (int64_t j = 0; sets[i]->asked && j < sets[i]->n; j++) {
            const int64_t asked = sets[i]->lengths[j] - sets[i]->asked[j];
            most = asked > most ? asked : most;
        }
    return most < tokens / run->job.batch_size ? most * run->job.batch_size : tokens;
}

/* No more than there are, but where classes take turns: rare ones' rows come again. */
static int64_t largest_rows(const whet_i_tune *run) {
    const int64_t n = run->train.n > run->valid.n ? run->train.n : run->valid.n;
    return run->kind->compares || n > run->job.batch_size ? run->job.batch_size : n;
}

static whet_status choose_sizes(whet_ctx *ctx, whet_i_tune *run) {
    const int64_t train = longest_row(&run->train), valid = longest_row(&run->valid);
    const int64_t longest = train > valid ? train : valid, texts = whet_i_tune_texts(run);
    const int64_t of_train = longest_text(&run->train.tokens);
    const int64_t of_valid = run->valid.n ? longest_text(&run->valid.tokens) : 0;
    const int64_t rows = largest_rows(run);
    int64_t tokens = run->job.batch_tokens;
    if (longest > 0 && rows < tokens / longest) tokens = rows * longest;
    if (run->kind->compares) WHET_TRY(largest_batch(ctx, run, &tokens));
    if (tokens < longest) tokens = longest;
    run->sizes = (whet_i_sizes){.rows = {1, texts * rows, tokens, rows},
                                .longest = of_train > of_valid ? of_train : of_valid,
                                .workers = whet_ctx_threads(ctx)};
    run->sizes.rows[WHET_I_ASKED] = most_asked(run, tokens);
    return WHET_OK;
}

static int64_t weight_bytes(const whet_i_params *params) {
    const int64_t half = params->dtype == WHET_BF16 ? 2 : 4;
    int64_t sum = 0;
    for (int64_t i = 0; i < params->n; i++) {
        const whet_i_param *p = &params->items[i];
        if (p->trainable) sum += 16 * p->count; /* values, gradient, two moments */
    }
    for (int64_t i = 0; i < params->n_weights; i++) {
        const whet_i_weight *w = &params->weights[i];
        if (w->need_forward) sum += half * whet_i_packed_count(w->n, w->k);
        if (w->need_backward) sum += half * whet_i_packed_count(w->k, w->n);
    }
    return sum;
}

/* Refused before the run, not in the middle of it. Some of what is planned is held by now. */
static whet_status check_memory(whet_ctx *ctx, whet_i_tune *run) {
    size_t held;
    run->planned_bytes = weight_bytes(run->params) + whet_i_plan_bytes(run->plan);
    if (run->valid_plan) run->planned_bytes += whet_i_plan_bytes(run->valid_plan);
    whet_ctx_memory(ctx, &held, NULL);
    return whet_i_check_room(ctx, "training", (double)run->planned_bytes - (double)held,
                             "recomputed activations, fewer tokens a batch, or adapters");
}

static whet_status make_plans(whet_ctx *ctx, whet_i_tune *run) {
    whet_i_plan_opts opts = {
        .sizes = run->sizes, .loss = run->loss, .recompute = run->job.recompute};
    WHET_TRY(whet_i_plan_create(ctx, run->graph, &opts, &run->plan));
    if (run->valid.n) {
        opts.loss = WHET_I_NONE;
        opts.keep = run->kind->targets == WHET_I_TARGET_TOKENS ? &run->loss : &run->logits;
        opts.n_keep = 1;
        WHET_TRY(whet_i_plan_create(ctx, run->graph, &opts, &run->valid_plan));
    }
    WHET_TRY(check_memory(ctx, run));
    WHET_TRY(whet_i_executor_create(ctx, run->plan, &run->executor));
    if (run->valid_plan)
        WHET_TRY(whet_i_executor_create(ctx, run->valid_plan, &run->valid_executor));
    WHET_TRY(whet_i_text_batch_init(ctx, &run->batch, run->sizes.rows[WHET_I_TOKENS],
                                    run->sizes.rows[WHET_I_EXAMPLES]));
    WHET_TRY(whet_i_alloc(ctx, run->sizes.rows[WHET_I_EXAMPLES], &run->batch_texts));
    const whet_i_extent of =
        run->kind->targets == WHET_I_TARGET_TOKENS ? WHET_I_TOKENS : WHET_I_EXAMPLES;
    int64_t targets;
    WHET_TRY(whet_i_mul(ctx, run->sizes.rows[of], run->train.probs ? run->k : 1, &targets));
    return whet_i_alloc_(ctx, targets, sizeof(float), false, &run->batch_targets);
}

static whet_status bind(whet_ctx *ctx, whet_i_tune *run) {
    char quoted[WHET_QUOTE_SIZE];
    const whet_i_backbone *b = &run->backbone;
    WHET_TRY(whet_i_tune_bind_head(ctx, run));
    const whet_status status = whet_i_weight_files_bind(ctx, &b->files, run->params, b->prefix);
    whet_i_tune_bound_head(run);
    if (status == WHET_OK) return WHET_OK;
    return whet_i_fail_at(ctx, status, "model %s",
                          whet_i_quote(quoted, whet_str_from(run->job.model)));
}

static whet_status begin_magnitudes(whet_ctx *ctx, const whet_i_tune *run) {
    for (int64_t i = 0; i < run->params->n && run->config.kind == WHET_I_ADAPTER_DORA; i++) {
        const whet_i_param *p = &run->params->items[i];
        char module[NAME_SIZE];
        const char *end = strstr(p->name, ".lora_magnitude_vector");
        if (!end) continue;
        (void)snprintf(module, sizeof module, "%.*s", (int)(end - p->name), p->name);
        WHET_TRY(whet_i_magnitudes_begin(ctx, run->params, module, (whet_i_param_id)i));
    }
    return WHET_OK;
}

whet_status whet_i_tune_record(whet_ctx *ctx, whet_i_tune *run) {
    run->adapter = whet_i_tune_adapter_find(run->job.adapter);
    WHET_TRY(make_config(ctx, run));
    WHET_TRY(record(ctx, run));
    WHET_TRY(bind(ctx, run));
    return whet_i_tune_choose_trained(ctx, run);
}

whet_status whet_i_tune_build(whet_ctx *ctx, whet_i_tune *run) {
    const whet_i_optimizer_settings settings = {.kind = WHET_I_ADAMW,
                                                .beta1 = 0.9,
                                                .beta2 = 0.999,
                                                .eps = 1e-8,
                                                .weight_decay = run->job.weight_decay,
                                                .clip = run->job.clip};
    WHET_TRY(whet_i_tune_record(ctx, run));
    WHET_TRY(choose_sizes(ctx, run));
    WHET_TRY(whet_i_params_settle(ctx, run->params, run->job.seed));
    WHET_TRY(begin_magnitudes(ctx, run));
    WHET_TRY(whet_i_tune_take_start(ctx, run));
    WHET_TRY(make_plans(ctx, run));
    WHET_TRY(whet_i_params_pack(ctx, run->params));
    return whet_i_optimizer_create(ctx, run->params, &settings, &run->optimizer);
}
