/* SPDX-License-Identifier: Apache-2.0
 * One training step of an encoder with a classification head, measured; bench/nn/run_train.py pairs
 * it with torch.
 *
 *     bench_train MODEL THREADS f32|bf16 ROWS TOKENS full|lora|more [OPTION...]
 *
 * full: every weight; lora, more: adapters of rank 8 on query, key and value (all: on every linear layer
 * before the head's) and the head; MoRe has 4 blocks. Options: recompute, rank=R, all, dropout; parts=N:
 * the rows are worked on in N parts one after the other, as whet tune does with --batch-tokens; whole: the
 * last layer makes all tokens, and not only the first ones, which the head reads.
 *
 * Says the kernels' name and the plan's megabytes; then each line `step` on standard input is one
 * step over the same ROWS x TOKENS tokens, answered by "wall-seconds cpu-seconds loss peak-bytes".
 * `product` is the linear layers alone, forward and both gradients of what is trained, by oneDNN's
 * single-threaded sgemm on pieces of 512 tokens, or of the sequences that make them: "wall-seconds
 * cpu-seconds". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "../clock.h"
#include "io/io_i.h"
#include "nn/graph_plan.h"
#include "nn/nn_i.h"
#include "tensor/tensor_i.h"
#include "tune/adapter_i.h"
#include "whet/kernels.h"

typedef struct bench {
    whet_ctx *ctx;
    whet_i_encoder_config config;
    whet_safetensors *file;
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_value labels, loss;
    whet_i_plan *plan;
    whet_i_executor *executor;
    whet_i_optimizer *optimizer;
    whet_token_rows rows;
    whet_i_text_batch batch;
    int64_t n_rows, n_tokens, parts;
    int64_t *order;
    int32_t *class_of; /* [n_rows] */
} bench;

static void ok(const bench *b, whet_status status) {
    if (status == WHET_OK) return;
    (void)fprintf(stderr, "bench_train: %s\n", b->ctx ? whet_error(b->ctx) : "no context");
    exit(1);
}

static bool ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool everywhere, whole, dropout;

static bool applies(void *arg, const char *module) {
    (void)arg;
    if (everywhere) return strncmp(module, "classifier", 10) != 0 && !strstr(module, "pooler");
    return ends_with(module, ".query") || ends_with(module, ".key") || ends_with(module, ".value");
}

static whet_status record_adapter(whet_ctx *ctx, whet_i_graph *graph, void *arg, const char *module,
                                  whet_i_value x, whet_i_value *y, int64_t first, int64_t columns) {
    return whet_i_adapter_record(ctx, graph, module, x, y, first, columns, arg);
}

static bool is_trained(const char *mode, const char *name) {
    return strcmp(mode, "full") == 0 || strstr(name, "lora_") || strstr(name, "more_") ||
           strncmp(name, "classifier", 10) == 0;
}

static void load(bench *b, const char *dir, whet_dtype dtype, const char *mode, int64_t rank) {
    static whet_i_adapter_settings lora = {WHET_I_ADAPTER_LORA, 1, 8, 2};
    static whet_i_adapter_settings more = {WHET_I_ADAPTER_MORE, 4, 8, 1};
    static whet_i_adapters adapters = {.applies = applies, .record = record_adapter, .arg = &lora};
    if (strcmp(mode, "more") == 0) adapters.arg = &more;
    lora.rank = more.rank = rank;

    const whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
    char *path;
    whet_i_value x;
    int64_t missing;
    ok(b, whet_i_encoder_config_read(b->ctx, dir, &opts, &b->config));
    ok(b, whet_i_join_path(b->ctx, dir, "model.safetensors", &path));
    ok(b, whet_safetensors_open(b->ctx, path, &b->file));
    whet_i_free(b->ctx, path);
    const char *prefix = b->config.family->prefix;
    ok(b, whet_i_params_create(b->ctx, dtype, &b->params));
    ok(b, whet_i_graph_create(b->ctx, b->params, &b->graph));
    if (strcmp(mode, "full") != 0) b->graph->adapters = &adapters;
    const whet_i_selection selection =
        whole ? WHET_I_ALL_TOKENS : whet_i_encoder_selection(&b->config, WHET_I_HEAD_FAMILY);
    ok(b, whet_i_encoder_record(b->ctx, b->graph, &b->config, prefix, dropout, selection, &x));
    ok(b, whet_i_encoder_head(b->ctx, b->graph, &b->config, prefix, dropout, WHET_I_HEAD_FAMILY, 2,
                              x, &x));
    ok(b, whet_i_graph_feed(b->ctx, b->graph, true, WHET_I_EXAMPLES, 1, &b->labels));
    ok(b, whet_i_cross_entropy(b->ctx, b->graph, x, b->labels, 0, &b->loss));
    ok(b, whet_i_params_bind(b->ctx, b->params, b->file, "model.safetensors", prefix, &missing));
    for (int64_t i = 0; i < b->params->n; i++)
        b->params->items[i].trainable = is_trained(mode, b->params->items[i].name);
    ok(b, whet_i_params_settle(b->ctx, b->params, 0));
}

static void plan(bench *b, int32_t threads, bool recompute) {
    const int64_t n = b->n_rows / b->parts;
    const whet_i_plan_opts opts = {
        .sizes = {.rows = {1, n, n * b->n_tokens}, .longest = b->n_tokens, .workers = threads},
        .loss = b->loss,
        .recompute = recompute};
    ok(b, whet_i_plan_create(b->ctx, b->graph, &opts, &b->plan));
    ok(b, whet_i_params_pack(b->ctx, b->params));
    whet_i_safetensors_forget(b->file); /* as whet tune does */
    ok(b, whet_i_executor_create(b->ctx, b->plan, &b->executor));
    const whet_i_optimizer_settings settings = WHET_I_OPTIMIZER_SETTINGS_INIT;
    ok(b, whet_i_optimizer_create(b->ctx, b->params, &settings, &b->optimizer));
}

static void make_batch(bench *b) {
    const int64_t n = b->n_rows * b->n_tokens;
    int64_t *start;
    int32_t *ids;
    ok(b, whet_i_alloc(b->ctx, b->n_rows, &b->order));
    ok(b, whet_i_alloc(b->ctx, b->n_rows, &b->class_of));
    ok(b, whet_i_alloc(b->ctx, b->n_rows + 1, &start));
    ok(b, whet_i_alloc(b->ctx, n, &ids));
    for (int64_t i = 0; i < n; i++) ids[i] = (int32_t)(1000 + (i * 7919) % 20000);
    for (int64_t i = 0; i <= b->n_rows; i++) start[i] = i * b->n_tokens;
    for (int64_t i = 0; i < b->n_rows; i++) {
        b->order[i] = i;
        b->class_of[i] = (int32_t)(i % 2);
    }
    b->rows = (whet_token_rows){b->n_rows, start, ids, NULL};
    ok(b, whet_i_text_batch_init(b->ctx, &b->batch, n / b->parts, b->n_rows / b->parts));
}

/* Forward and backward over all parts; the mean loss. */
static double gradients(bench *b) {
    const int64_t n = b->n_rows / b->parts;
    double loss = 0;
    for (int64_t i = 0; i < b->parts; i++) {
        whet_i_batch *batch = &b->batch.batch;
        whet_i_text_batch_fill(&b->batch, &b->rows, b->order + i * n, n,
                               b->config.family->position_offset);
        batch->feeds[b->graph->values[b->labels].output] = b->class_of + i * n;
        batch->accumulate = i > 0;
        batch->loss_scale = (whet_i_real)(1 / (double)b->parts);
        batch->train = true;
        batch->seed++;
        whet_i_executor_run(b->executor, batch);
        loss += (double)whet_i_executor_value(b->executor, b->loss)[0] / (double)b->parts;
    }
    return loss;
}

static double peak_bytes(void) {
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return 1024.0 * (double)usage.ru_maxrss;
}

static void step(bench *b) {
    double norm;
    const double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    const double loss = gradients(b);
    ok(b, whet_i_optimizer_step(b->ctx, b->optimizer, 1e-5, &norm));
    ok(b, whet_i_params_pack(b->ctx, b->params));
    whet_i_safetensors_forget(b->file); /* as whet tune does */
    (void)printf("%.9f %.9f %.9g %.0f\n", seconds(CLOCK_MONOTONIC) - wall,
                 seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu, loss, peak_bytes());
    (void)fflush(stdout);
}

/* ---- the products alone ----------------------------------------------------------------------- */

enum { PIECE = 512 };

typedef struct products {
    const bench *b;
    float *x, *w, *c; /* as large as any, one a worker */
    int64_t size;
} products;

/* The product of w [n, k] in a step of the plan, if it is one of a linear layer. */
static bool is_product(const bench *b, const whet_i_step *step, int64_t *n, int64_t *k) {
    if (step->kind != WHET_I_STEP_FORWARD && step->kind != WHET_I_STEP_BACKWARD) return false;
    const whet_i_node *node = &b->graph->nodes[step->node];
    *n = whet_i_columns(b->graph, node->outputs[0]);
    *k = whet_i_columns(b->graph, node->inputs[0]);
    return strncmp(node->op->name, "linear", 6) == 0 && *n >= 16;
}

static void product_piece(void *arg, int64_t item, int32_t worker) {
    (void)item;
    const products *p = arg;
    const float *x = p->x, *w = p->w;
    float *c = p->c + worker * p->size;
    int64_t n, k;
    const int64_t few = (PIECE + p->b->n_tokens - 1) / p->b->n_tokens;
    for (int64_t i = 0; i < p->b->plan->n_steps; i++) {
        const whet_i_step *step = &p->b->plan->steps[i];
        if (!is_product(p->b, step, &n, &k)) continue;
        const whet_i_node *node = &p->b->graph->nodes[step->node];
        const bool all = p->b->graph->values[node->outputs[0]].extent == WHET_I_TOKENS;
        const int64_t rows = all ? PIECE : few;
        if (step->kind == WHET_I_STEP_FORWARD) {
            whet_i_matmul_f32_serial(false, true, rows, n, k, x, k, w, k, 0, c, n);
            continue;
        }
        if (step->grad_in[0] != WHET_I_NOWHERE)
            whet_i_matmul_f32_serial(false, false, rows, k, n, x, n, w, k, 0, c, k);
        if (p->b->params->items[node->params[0]].trainable)
            whet_i_matmul_f32_serial(true, false, n, k, rows, x, n, x, k, 0, c, k);
    }
}

static void product(bench *b) {
    products p = {.b = b};
    for (int64_t i = 0; i < b->params->n_weights; i++) {
        const int64_t n = b->params->weights[i].n, k = b->params->weights[i].k;
        const int64_t most = (n > k ? n : k) * (PIECE > n ? PIECE : n > k ? n : k);
        if (most > p.size) p.size = most;
    }
    ok(b, whet_i_calloc(b->ctx, p.size, &p.x));
    ok(b, whet_i_calloc(b->ctx, p.size, &p.w));
    ok(b, whet_i_calloc(b->ctx, whet_ctx_threads(b->ctx) * p.size, &p.c));
    const double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    ok(b, whet_i_parallel_for(b->ctx, NULL, b->n_rows * b->n_tokens / PIECE, product_piece, &p));
    (void)printf("%.9f %.9f\n", seconds(CLOCK_MONOTONIC) - wall,
                 seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    (void)fflush(stdout);
    whet_i_free(b->ctx, p.x);
    whet_i_free(b->ctx, p.w);
    whet_i_free(b->ctx, p.c);
}

int main(int argc, char **argv) {
    bench b = {0};
    char line[256];
    if (argc < 7) return 2;
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    opts.threads = atoi(argv[2]);
    if (whet_ctx_create(&opts, &b.ctx) != WHET_OK) return 1;
    b.n_rows = atoi(argv[4]);
    b.n_tokens = atoi(argv[5]);
    bool recompute = false;
    int64_t rank = 8;
    b.parts = 1;
    for (int i = 7; i < argc; i++) {
        if (strcmp(argv[i], "recompute") == 0) recompute = true;
        if (strcmp(argv[i], "all") == 0) everywhere = true;
        if (strcmp(argv[i], "whole") == 0) whole = true;
        if (strcmp(argv[i], "dropout") == 0) dropout = true;
        if (strncmp(argv[i], "parts=", 6) == 0) b.parts = atoi(argv[i] + 6);
        if (strncmp(argv[i], "rank=", 5) == 0) rank = atoi(argv[i] + 5);
    }
    load(&b, argv[1], strcmp(argv[3], "bf16") == 0 ? WHET_BF16 : WHET_F32, argv[6], rank);
    if (b.parts < 1 || b.n_rows % b.parts) return 2;
    plan(&b, opts.threads, recompute);
    whet_i_safetensors_forget(b.file);
    make_batch(&b);
    (void)printf("%s %.0f\n", whet_kernels_name(b.ctx), (double)whet_i_plan_bytes(b.plan) / 1e6);
    (void)fflush(stdout);
    while (fgets(line, sizeof line, stdin)) (strncmp(line, "product", 7) == 0 ? product : step)(&b);
    return 0;
}
