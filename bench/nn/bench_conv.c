/* SPDX-License-Identifier: Apache-2.0
 * The side of small networks in bench/nn/run_conv.py: a worker that does one measured round a line of
 * standard input, so that another program's rounds can be put between them.
 *
 *   bench_conv THREADS MODEL BATCH CLASSES HEIGHT WIDTH CHANNELS [HIDDEN ...]
 *
 *   train N      N steps: forward, backward, plain SGD at 0.05, packing; on as many batches in turn
 *                as `data` has
 *   infer N      N forward passes without training
 *   data X Y     raw f32 images and i32 labels, a whole number of batches
 *   init FILE    parameters from a safetensors file
 *   tensors FILE parameters and <name>.gradient, flat, to a safetensors file
 *   product N    N products of SIDE^3 a thread, by oneDNN's sgemm: the rate to compare with
 *   score        right answers over all data, by running statistics; of a vae, the sum of the losses
 * Each answers "wall-seconds cpu-seconds loss-or-right-answers". The first line says the kernels' name,
 * the plan's bytes, and the node that draws (a vae's noise is of its number and the step's).
 *
 * A vae's loss is the negative evidence lower bound of binary pixels; its gradients are of the loss a
 * pixel. bench_conv_f64 is the same engine in f64 on the reference kernels: no rounding to speak of. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../clock.h"
#include "nn/models_i.h"
#include "tensor/tensor_i.h"

enum { SIDE = 512 };

typedef struct bench {
    whet_ctx *ctx;
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_model_values values;
    whet_i_value loss;
    whet_i_plan *plan[2]; /* inference, training */
    whet_i_executor *executor[2];
    int64_t batch, columns, classes, batches, at;
    whet_i_real *x;
    int32_t *y;
    bool vae;
    uint64_t step;
} bench;

static void fail(const char *what) {
    (void)fprintf(stderr, "bench_conv: %s\n", what);
    exit(1);
}

static void ok(const bench *b, whet_status status) {
    if (status != WHET_OK) fail(whet_error(b->ctx));
}

/* A whole file; *count numbers of `size` bytes. */
static void *slurp(const char *path, size_t size, int64_t *count) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) fail(path);
    const long bytes = ftell(f);
    void *p = malloc((size_t)bytes + 1);
    rewind(f);
    if (bytes < 0 || !p || fread(p, 1, (size_t)bytes, f) != (size_t)bytes) fail(path);
    (void)fclose(f);
    *count = bytes / (long)size;
    return p;
}

static void read_data(bench *b, char *line) {
    char *x = strtok(line + 5, " "), *y = strtok(NULL, " ");
    int64_t numbers, rows;
    if (!x || !y) fail("usage: data X Y");
    free(b->x);
    free(b->y);
    float *pixels = slurp(x, sizeof *pixels, &numbers);
    b->x = malloc((size_t)numbers * sizeof *b->x);
    for (int64_t i = 0; b->x && i < numbers; i++) b->x[i] = (whet_i_real)pixels[i];
    free(pixels);
    b->y = slurp(y, sizeof *b->y, &rows);
    b->batches = rows / b->batch;
    if (!b->x || b->batches < 1 || numbers != rows * b->columns) fail("data do not fit the model");
}

static void read_parameters(bench *b, const char *path) {
    whet_safetensors *file;
    int64_t missing;
    ok(b, whet_safetensors_open(b->ctx, path, &file));
    for (int64_t i = 0; i < b->params->n; i++) {
        b->params->items[i].source.data = NULL;
        b->params->items[i].filled = false;
    }
    ok(b, whet_i_params_bind(b->ctx, b->params, file, path, "", &missing));
    if (missing) fail("parameters are missing in the file");
    ok(b, whet_i_params_settle(b->ctx, b->params, 1));
    whet_safetensors_close(b->ctx, file);
}

/* Values under their names, gradients under <name>.gradient. */
static void write_tensors(const bench *b, const char *path) {
    enum { MOST = 512, NAME = 128 };
    static whet_named_tensor items[2 * MOST];
    static char names[MOST][NAME];
    const whet_dtype dtype = sizeof(whet_i_real) == sizeof(double) ? WHET_F64 : WHET_F32;
    int64_t n = 0;
    for (int64_t i = 0; i < b->params->n && i < MOST; i++) {
        const whet_i_param *p = &b->params->items[i];
        (void)snprintf(names[i], NAME, "%s.gradient", p->name);
        items[n++] = (whet_named_tensor){p->name, {p->values, dtype, 1, {p->count}}};
        if (p->trainable)
            items[n++] = (whet_named_tensor){names[i], {p->gradient, dtype, 1, {p->count}}};
    }
    ok(b, whet_safetensors_write(b->ctx, path, true, items, n, NULL));
}

static const whet_i_real *run(bench *b, bool train, int64_t at, whet_i_value keep) {
    const whet_i_batch batch = {.rows = {1, b->batch, 0},
                                .feeds = {b->x + at * b->batch * b->columns, b->y + at * b->batch},
                                .loss_scale = b->vae ? 1 / (whet_i_real)b->columns : 1,
                                .train = train,
                                .seed = b->step};
    ok(b, whet_i_params_pack(b->ctx, b->params));
    whet_i_executor_run(b->executor[train], &batch);
    return whet_i_executor_value(b->executor[train], keep);
}

static double train(bench *b, int64_t steps) {
    double loss = 0;
    for (int64_t i = 0; i < steps; i++, b->at = (b->at + 1) % b->batches, b->step++) {
        loss = (double)run(b, true, b->at, b->loss)[0];
        for (int64_t j = 0; j < b->params->n; j++) {
            const whet_i_param *p = &b->params->items[j];
            if (p->trainable)
                b->params->kernels->add_scaled(p->count, (whet_i_real)-0.05, p->gradient,
                                               p->values);
        }
    }
    return loss;
}

static double score(bench *b) {
    double right = 0;
    for (int64_t at = 0; at < b->batches; at++) {
        const whet_i_real *logits = run(b, false, at, b->vae ? b->loss : b->values.logits);
        if (b->vae) right += (double)logits[0];
        for (int64_t i = 0; !b->vae && i < b->batch; i++, logits += b->classes) {
            int32_t best = 0;
            for (int32_t c = 1; c < b->classes; c++)
                if (logits[c] > logits[best]) best = c;
            right += best == b->y[at * b->batch + i];
        }
    }
    return right;
}

/* Every thread its own matrices. */
static void product(void *arg, int64_t i, int32_t worker) {
    (void)worker;
    float *own = (float *)arg + i * 3 * SIDE * SIDE;
    whet_i_matmul_f32_serial(false, false, SIDE, SIDE, SIDE, own, SIDE, own + SIDE * SIDE, SIDE, 0,
                             own + 2 * SIDE * SIDE, SIDE);
}

static void products(const bench *b, int64_t n) {
    const int64_t threads = whet_ctx_threads(b->ctx);
    float *all = calloc((size_t)(threads * 3 * SIDE * SIDE), sizeof *all);
    if (!all) fail("out of memory");
    for (int64_t i = 0; i < n; i++) ok(b, whet_i_parallel_for(b->ctx, NULL, threads, product, all));
    free(all);
}

static void plan(bench *b, int32_t threads) {
    for (int train = 0; train < 2; train++) {
        const whet_i_value keep[] = {b->values.logits, b->loss};
        const whet_i_plan_opts opts = {.sizes = {.rows = {1, b->batch, 0}, .workers = threads},
                                       .loss = train ? b->loss : WHET_I_NONE,
                                       .keep = keep,
                                       .n_keep = 2};
        ok(b, whet_i_plan_create(b->ctx, b->graph, &opts, &b->plan[train]));
        ok(b, whet_i_executor_create(b->ctx, b->plan[train], &b->executor[train]));
    }
}

static void setup(bench *b, int argc, char **argv) {
    whet_ctx_opts o = WHET_CTX_OPTS_INIT;
    whet_i_model_settings s = {.classes = atoll(argv[4]),
                               .image = {atoll(argv[5]), atoll(argv[6]), atoll(argv[7])}};
    whet_i_value x, y;
    o.threads = atoi(argv[1]);
    for (; s.n_widths < argc - 8 && s.n_widths < WHET_I_WIDTHS_MAX; s.n_widths++)
        s.widths[s.n_widths] = atoll(argv[8 + s.n_widths]);
    b->batch = atoll(argv[3]);
    b->classes = s.classes;
    b->columns = s.image.height * s.image.width * s.image.channels;
    if (whet_ctx_create(&o, &b->ctx) != WHET_OK) fail("no context");
    ok(b, whet_i_params_create(b->ctx, WHET_F32, &b->params));
    ok(b, whet_i_graph_create(b->ctx, b->params, &b->graph));
    ok(b, whet_i_graph_feed(b->ctx, b->graph, false, WHET_I_EXAMPLES, b->columns, &x));
    ok(b, whet_i_graph_feed(b->ctx, b->graph, true, WHET_I_EXAMPLES, 1, &y));
    const whet_i_model *model = whet_i_model_find(argv[2]);
    if (!model) fail(whet_i_models_known());
    ok(b, whet_i_model_record(b->ctx, b->graph, model, &s, x, &b->values));
    b->vae = b->values.log_variance != WHET_I_NONE;
    const whet_i_vae_loss_spec bound = {true, (double)b->columns};
    if (b->vae)
        ok(b, whet_i_vae_loss(b->ctx, b->graph, b->values.logits, x, b->values.features,
                              b->values.log_variance, &bound, &b->loss));
    else
        ok(b, whet_i_cross_entropy(b->ctx, b->graph, b->values.logits, y, 0, &b->loss));
    for (int64_t i = 0; i < b->params->n; i++)
        b->params->items[i].trainable = !b->params->items[i].statistics;
    ok(b, whet_i_params_settle(b->ctx, b->params, 1));
    plan(b, o.threads);
}

static int32_t drawing_node(const bench *b) {
    for (int64_t i = 0; i < b->graph->n_nodes; i++)
        if (strcmp(b->graph->nodes[i].op->name, "normal sample") == 0) return (int32_t)i;
    return -1;
}

int main(int argc, char **argv) {
    if (argc < 8)
        fail("usage: bench_conv THREADS MODEL BATCH CLASSES HEIGHT WIDTH CHANNELS [HIDDEN ...]");
    bench b = {0};
    setup(&b, argc, argv);
    char line[4096];
    (void)printf("%s %lld %d\n", b.params->kernels->name, (long long)whet_i_plan_bytes(b.plan[1]),
                 (int)drawing_node(&b));
    (void)fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        const double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
        double answer = 0;
        if (strncmp(line, "data ", 5) == 0)
            read_data(&b, line);
        else if (strncmp(line, "init ", 5) == 0)
            read_parameters(&b, line + 5);
        else if (strncmp(line, "tensors ", 8) == 0)
            write_tensors(&b, line + 8);
        else if (!b.x)
            fail("no data yet");
        else if (strncmp(line, "train ", 6) == 0)
            answer = train(&b, atoll(line + 6));
        else if (strncmp(line, "infer ", 6) == 0)
            for (int64_t i = 0, n = atoll(line + 6); i < n; i++)
                (void)run(&b, false, i % b.batches, b.values.logits);
        else if (strncmp(line, "product ", 8) == 0)
            products(&b, atoll(line + 8));
        else if (strcmp(line, "score") == 0)
            answer = score(&b);
        else
            fail("unknown line");
        (void)printf("%.9f %.9f %.17g\n", seconds(CLOCK_MONOTONIC) - wall,
                     seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu, answer);
        (void)fflush(stdout);
    }
    return 0;
}
