/* SPDX-License-Identifier: Apache-2.0
 * Networks of images, from weights in memory: their settings are in the names and shapes of the tensors. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "merge/image_network.h"
#include "merge/network_recorder.h"

/* Rows of a pass: statistics of batch norms want many, memory few. A value has 16 thousand numbers a row in
 * ResNet-20, 800 thousand in networks for images of 224 x 224, of which a pass takes 62. */
enum { BATCH = 250, BATCH_LEAST = 8, NUMBERS_MOST = 50000000, NAME_SIZE = 192 };

static const char PREFIX[] = "module.";

/* ---- settings from tensors -------------------------------------------------------------------------- */

const whet_tensor *whet_i_image_network_tensor(const whet_weights *w, const char *name) {
    for (int64_t i = 0; i < w->n; i++) {
        const char *given = w->items[i].name;
        if (strcmp(given, name) == 0 || (strncmp(given, PREFIX, sizeof PREFIX - 1) == 0 &&
                                         strcmp(given + sizeof PREFIX - 1, name) == 0))
            return &w->items[i].tensor;
    }
    return NULL;
}

static whet_status no_tensor(whet_ctx *ctx, const char *arch, const char *name) {
    return whet_i_fail(ctx, WHET_ERR_FORMAT,
                       "%s: no tensor %s of the right dimensions; expected the names of whet's own "
                       "network, which alone can be run",
                       arch, name);
}

static whet_status head_settings(whet_ctx *ctx, const char *arch, const whet_weights *w,
                                 const char *head, whet_i_model_settings *s) {
    const whet_tensor *t = whet_i_image_network_tensor(w, head);
    if (!t || t->rank != 2) return no_tensor(ctx, arch, head);
    s->classes = t->shape[0];
    return WHET_OK;
}

static bool is_residual(const char *arch) {
    return whet_i_arch_is(arch, "resnet") || whet_i_arch_is(arch, "wrn");
}

bool whet_i_image_network_knows(const char *arch) {
    return whet_i_arch_is(arch, "mlp") || whet_i_arch_is(arch, "cnn") ||
           strcmp(arch, "lenet") == 0 || is_residual(arch);
}

/* ---- making one ------------------------------------------------------------------------------------- */

static whet_status bind(whet_ctx *ctx, const char *arch, const whet_weights *w,
                        whet_i_params *params) {
    for (int64_t i = 0; i < params->n; i++) {
        whet_i_param *p = &params->items[i];
        const whet_tensor *t = whet_i_image_network_tensor(w, p->name);
        bool same = t && t->rank == p->rank;
        for (int32_t x = 0; same && x < p->rank; x++) same = t->shape[x] == p->shape[x];
        if (!same)
            return whet_i_fail(ctx, WHET_ERR_SHAPE,
                               "%s: tensor %s is not there, or of another shape; expected what the "
                               "other tensors and these images ask for",
                               arch, p->name);
        if (t->dtype != WHET_F32)
            return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED, "%s: tensor %s is %s; expected f32", arch,
                               p->name, whet_dtype_name(t->dtype));
        p->source = *t;
        p->init = WHET_I_INIT_REQUIRED;
    }
    return WHET_OK;
}

static bool is_counter(const char *name) {
    const size_t n = strlen(name), tail = strlen(".num_batches_tracked");
    return n > tail && strcmp(name + n - tail, ".num_batches_tracked") == 0;
}

/* What the file has besides, such as convolutions of shortcuts, would be left out of what is run. */
static whet_status check_all_bound(whet_ctx *ctx, const char *arch, const whet_weights *w,
                                   const whet_i_params *params) {
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t i = 0; i < w->n; i++) {
        const char *name = w->items[i].name;
        if (strncmp(name, PREFIX, sizeof PREFIX - 1) == 0) name += sizeof PREFIX - 1;
        if (is_counter(name) || whet_i_params_find(params, name) >= 0) continue;
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: tensor %s is no part of the network that the others make; "
                           "expected no others, for it to be run",
                           arch, whet_i_quote(quoted, whet_str_from(w->items[i].name)));
    }
    return WHET_OK;
}

static whet_status pack(whet_ctx *ctx, const whet_i_image_network *net) {
    const whet_i_plan_opts opts = {.sizes = {.rows = {1, 1, 0}, .workers = 1},
                                   .loss = WHET_I_NONE,
                                   .keep = &net->logits,
                                   .n_keep = 1};
    whet_i_plan *plan;
    WHET_TRY(whet_i_plan_create(ctx, net->graph, &opts, &plan));
    whet_i_plan_destroy(ctx, plan);
    return whet_i_params_pack(ctx, net->params);
}

static int64_t count_norms(const whet_i_params *params) {
    const size_t tail = strlen(".running_mean");
    int64_t n = 0;
    for (int64_t i = 0; i < params->n; i++) {
        const size_t len = strlen(params->items[i].name);
        n += len > tail && strcmp(params->items[i].name + len - tail, ".running_mean") == 0;
    }
    return n;
}

/* lenet is whet's own network; the others are as their tensors say. */
static whet_status record(whet_i_network_recorder *r, whet_i_value x, whet_i_model_values *out) {
    whet_i_model_settings s = {.image = r->image, .apart = r->apart};
    if (is_residual(r->arch)) return whet_i_record_residual(r, x, out);
    if (strcmp(r->arch, "lenet") != 0) return whet_i_record_chain(r, x, out);
    WHET_TRY(head_settings(r->ctx, r->arch, r->weights, "fc3.weight", &s));
    return whet_i_model_record(r->ctx, r->graph, whet_i_model_find(r->arch), &s, x, out);
}

typedef enum purpose { RUN, APART, TRAINED, PROOF } purpose;

static whet_status make(whet_ctx *ctx, const char *arch, const whet_permutation_spec *told,
                        const whet_weights *weights, const whet_i_image *image, purpose use,
                        whet_i_image_network *out) {
    const bool known = whet_i_image_network_knows(arch);
    const bool trained = use == TRAINED;
    whet_i_model_values values;
    whet_i_value x, labels;
    *out = (whet_i_image_network){.d = image->height * image->width * image->channels};
    if (!known)
        return whet_i_fail(
            ctx, WHET_ERR_UNSUPPORTED,
            "networks of architecture \"%s\" cannot be run on data; expected mlp, cnn, "
            "lenet, resnet or wrn",
            arch);
    if (told && told->refused && use != PROOF)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED, "%s: %s", arch, told->refused);
    WHET_TRY(whet_i_params_create(ctx, WHET_F32, &out->params));
    WHET_TRY(whet_i_graph_create(ctx, out->params, &out->graph));
    WHET_TRY(whet_i_graph_feed(ctx, out->graph, false, WHET_I_EXAMPLES, out->d, &x));
    if (trained) WHET_TRY(whet_i_graph_feed(ctx, out->graph, true, WHET_I_EXAMPLES, 1, &labels));
    whet_i_network_recorder recorder = {ctx,    out->graph,   arch,         weights,
                                        *image, use == APART, use == PROOF, told};
    WHET_TRY(record(&recorder, x, &values));
    out->classes = whet_i_columns(out->graph, values.logits);
    out->logits = values.logits;
    if (trained)
        WHET_TRY(whet_i_cross_entropy(ctx, out->graph, values.logits, labels, 0, &out->loss));
    for (int64_t i = 0; trained && i < out->params->n; i++)
        out->params->items[i].trainable = !out->params->items[i].statistics;
    WHET_TRY(bind(ctx, arch, weights, out->params));
    WHET_TRY(check_all_bound(ctx, arch, weights, out->params));
    WHET_TRY(whet_i_params_settle(ctx, out->params, 0));
    out->norms = count_norms(out->params);
    return pack(ctx, out);
}

whet_status whet_i_image_network_make(whet_ctx *ctx, const char *arch,
                                      const whet_permutation_spec *told,
                                      const whet_weights *weights, const whet_i_image *image,
                                      whet_i_image_network *out) {
    return make(ctx, arch, told, weights, image, RUN, out);
}

whet_status whet_i_image_network_make_proof(whet_ctx *ctx, const char *arch,
                                            const whet_permutation_spec *told,
                                            const whet_weights *weights, const whet_i_image *image,
                                            whet_i_image_network *out) {
    return make(ctx, arch, told, weights, image, PROOF, out);
}

whet_status whet_i_image_network_make_apart(whet_ctx *ctx, const char *arch,
                                            const whet_permutation_spec *told,
                                            const whet_weights *weights, const whet_i_image *image,
                                            whet_i_image_network *out) {
    return make(ctx, arch, told, weights, image, APART, out);
}

whet_status whet_i_image_network_make_trained(whet_ctx *ctx, const char *arch,
                                              const whet_permutation_spec *told,
                                              const whet_weights *weights,
                                              const whet_i_image *image,
                                              whet_i_image_network *out) {
    return make(ctx, arch, told, weights, image, TRAINED, out);
}

void whet_i_image_network_free(whet_ctx *ctx, whet_i_image_network *net) {
    whet_i_graph_destroy(ctx, net->graph);
    whet_i_params_destroy(ctx, net->params);
    *net = (whet_i_image_network){0};
}

/* ---- running ---------------------------------------------------------------------------------------- */

/* Rows of a pass over n examples. */
static int64_t batch_of(const whet_i_image_network *net, int64_t n) {
    int64_t widest = 1;
    for (int64_t i = 0; i < net->graph->n_values; i++) {
        const int64_t columns = whet_i_columns(net->graph, (whet_i_value)i);
        widest = columns > widest ? columns : widest;
    }
    int64_t rows = NUMBERS_MOST / widest;
    rows = rows < BATCH_LEAST ? BATCH_LEAST : rows > BATCH ? BATCH : rows;
    return n < rows ? n : rows;
}

whet_status whet_i_image_network_batches(whet_ctx *ctx, const whet_i_image_network *net,
                                         const float *x, int64_t n,
                                         const whet_i_batch_visitor *visitor) {
    const int64_t most = batch_of(net, n);
    const whet_i_plan_opts opts = {
        .sizes = {.rows = {1, most, 0}, .workers = whet_ctx_threads(ctx)},
        .loss = WHET_I_NONE,
        .keep = visitor->keep,
        .n_keep = visitor->n_keep};
    whet_i_plan *plan = NULL;
    whet_i_executor *executor = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_plan_create(ctx, net->graph, &opts, &plan));
    WHET_TRY_DONE(whet_i_executor_create(ctx, plan, &executor));
    for (int64_t first = 0; first < n; first += most) {
        const int64_t rows = n - first < most ? n - first : most;
        const whet_i_batch batch = {.rows = {1, rows, 0},
                                    .feeds = {x + first * net->d},
                                    .loss_scale = 1,
                                    .train = visitor->train};
        WHET_TRY_DONE(whet_i_progress(ctx, visitor->stage, first, n));
        whet_i_executor_run(executor, &batch);
        WHET_TRY_DONE(visitor->visit(ctx, visitor->arg, executor, first, rows));
    }
    status = whet_i_progress(ctx, visitor->stage, n, n);
done:
    whet_i_executor_destroy(ctx, executor);
    whet_i_plan_destroy(ctx, plan);
    return status;
}

typedef struct taker {
    const whet_i_image_network *net;
    float *logits;
} taker;

static whet_status take_logits(whet_ctx *ctx, void *arg, const whet_i_executor *executor,
                               int64_t first, int64_t rows) {
    const taker *t = arg;
    (void)ctx;
    memcpy(t->logits + first * t->net->classes, whet_i_executor_value(executor, t->net->logits),
           (size_t)(rows * t->net->classes) * sizeof *t->logits);
    return WHET_OK;
}

whet_status whet_i_image_network_run(whet_ctx *ctx, const whet_i_image_network *net,
                                     const char *stage, const float *x, int64_t n, float *logits) {
    taker t = {net, logits};
    const whet_i_batch_visitor visitor = {
        .visit = take_logits, .arg = &t, .stage = stage, .keep = &net->logits, .n_keep = 1};
    return whet_i_image_network_batches(ctx, net, x, n, &visitor);
}

/* ---- statistics of batch norms ---------------------------------------------------------------------- */

typedef struct averages {
    whet_i_image_network *net;
    double *sum; /* all statistics behind each other */
    int64_t batches, least;
} averages;

/* Running statistics have just become those of the batch (momentum 1). Batches that are cut short by the end
 * do not count, unless they are the only one. */
static whet_status add_statistics(whet_ctx *ctx, void *arg, const whet_i_executor *executor,
                                  int64_t first, int64_t rows) {
    averages *a = arg;
    double *to = a->sum;
    (void)ctx;
    (void)executor;
    (void)first;
    if (rows < a->least) return WHET_OK;
    a->batches++;
    for (int64_t i = 0; i < a->net->params->n; i++) {
        const whet_i_param *p = &a->net->params->items[i];
        for (int64_t j = 0; p->statistics && j < p->count; j++) *to++ += (double)p->values[j];
    }
    return WHET_OK;
}

whet_status whet_i_image_network_measure(whet_ctx *ctx, whet_i_image_network *net, const float *x,
                                         int64_t n) {
    averages a = {.net = net, .least = batch_of(net, n)};
    int64_t count = 0;
    whet_status status = WHET_OK;
    if (n < 2)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%" PRId64 " examples for the statistics of batch norms; expected 2 at "
                           "least",
                           n);
    for (int64_t i = 0; i < net->params->n; i++)
        if (net->params->items[i].statistics) count += net->params->items[i].count;
    WHET_TRY_DONE(whet_i_calloc(ctx, count, &a.sum));
    const whet_i_batch_visitor visitor = {.visit = add_statistics,
                                          .arg = &a,
                                          .stage = "statistics",
                                          .keep = &net->logits,
                                          .n_keep = 1,
                                          .train = true};
    WHET_TRY_DONE(whet_i_image_network_batches(ctx, net, x, n, &visitor));
    const double *from = a.sum;
    for (int64_t i = 0; i < net->params->n; i++) {
        const whet_i_param *p = &net->params->items[i];
        for (int64_t j = 0; p->statistics && j < p->count; j++)
            p->values[j] = (whet_i_real)(*from++ / (double)a.batches);
    }
done:
    whet_i_free(ctx, a.sum);
    return status;
}
