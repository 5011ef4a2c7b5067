/* SPDX-License-Identifier: Apache-2.0
 * Every built-in specification: a random permutation of a random network leaves its function as it was, and
 * is found again from the weights alone, to the bit. Permutations that a specification does not allow change
 * the function, so that the test can tell. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/io_i.h"
#include "merge/image_network.h"
#include "nn/nn_i.h"

/* Sums of the same products in another order: some ten layers of sums of at most 600 terms, of which each
 * rounds to 2^-24 of its terms; 1e-5 of the largest output is 160 roundings. */
#define BOUND 1e-5

enum { TENSORS_MOST = 256, OUTPUTS_MOST = 40000 };

typedef struct subject {
    whet_ctx *ctx;
    char dir[600]; /* of texts */
    const char *arch;
    whet_i_image image; /* of images */
    whet_safetensors *file;
    whet_named_tensor items[TENSORS_MOST];
    whet_weights weights;
    whet_permutation_hints hints;
} subject;

static void take_file(subject *s, const char *path) {
    test_ok(s->ctx, whet_safetensors_open(s->ctx, path, &s->file));
    s->weights = (whet_weights){s->items, whet_safetensors_count(s->file)};
    assert_true(s->weights.n <= TENSORS_MOST);
    for (int64_t i = 0; i < s->weights.n; i++) {
        s->items[i].name = whet_safetensors_name(s->file, i).ptr;
        assert_true(whet_safetensors_find(s->file, s->items[i].name, &s->items[i].tensor));
    }
}

static void drop(subject *s) {
    whet_safetensors_close(s->ctx, s->file);
    test_ctx_done(s->ctx);
}

/* ---- functions -------------------------------------------------------------------------------------- */

static int64_t run_images(const subject *s, const whet_weights *w, float *out) {
    enum { ROWS = 4 };
    whet_i_image_network net;
    whet_i_rng rng;
    test_ok(s->ctx, whet_i_image_network_make(s->ctx, s->arch, NULL, w, &s->image, &net));
    float *x = malloc(sizeof *x * (size_t)(ROWS * net.d));
    whet_i_rng_init(&rng, 11, 0);
    for (int64_t i = 0; i < ROWS * net.d; i++) x[i] = (float)whet_i_rng_normal(&rng);
    test_ok(s->ctx, whet_i_image_network_run(s->ctx, &net, "test", x, ROWS, out));
    const int64_t n = ROWS * net.classes;
    free(x);
    whet_i_image_network_free(s->ctx, &net);
    return n;
}

typedef struct text_run {
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_value out;
    int64_t first;
} text_run;

static void record_text(const subject *s, text_run *r) {
    const whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
    whet_i_encoder_config c;
    whet_i_llama_config l;
    whet_i_value hidden;
    test_ok(s->ctx, whet_i_params_create(s->ctx, WHET_F32, &r->params));
    test_ok(s->ctx, whet_i_graph_create(s->ctx, r->params, &r->graph));
    if (strcmp(s->arch, "llama") == 0) {
        test_ok(s->ctx, whet_i_llama_config_read(s->ctx, s->dir, &l));
        test_ok(s->ctx, whet_i_llama_record(s->ctx, r->graph, &l, WHET_I_ALL_TOKENS, &hidden));
        test_ok(s->ctx, whet_i_llama_head(s->ctx, r->graph, &l, hidden, &r->out));
        return;
    }
    test_ok(s->ctx, whet_i_encoder_config_read(s->ctx, s->dir, &opts, &c));
    const char *prefix = c.family->prefix;
    test_ok(s->ctx,
            whet_i_encoder_record(s->ctx, r->graph, &c, prefix, false, WHET_I_ALL_TOKENS, &hidden));
    test_ok(s->ctx, whet_i_encoder_head(s->ctx, r->graph, &c, prefix, false, WHET_I_HEAD_FAMILY, 3,
                                        hidden, &r->out));
    r->first = c.family->position_offset;
}

static int64_t run_texts(const subject *s, const whet_weights *w, float *out) {
    enum { N = 9 };
    static int32_t ids[N] = {3, 7, 1, 12, 5, 9, 2, 11, 6};
    static int64_t start[] = {0, N}, order[] = {0};
    const whet_token_rows rows = {1, start, ids, NULL};
    text_run r = {0};
    whet_i_plan *plan;
    whet_i_executor *executor;
    whet_i_text_batch batch;
    record_text(s, &r);
    for (int64_t i = 0; i < r.params->n; i++)
        for (int64_t k = 0; k < w->n; k++)
            if (strcmp(r.params->items[i].name, w->items[k].name) == 0)
                r.params->items[i].source = w->items[k].tensor;
    test_ok(s->ctx, whet_i_params_settle(s->ctx, r.params, 0));
    const whet_i_plan_opts opts = {.sizes = {.rows = {1, 1, N}, .longest = N, .workers = 1},
                                   .loss = WHET_I_NONE,
                                   .keep = &r.out,
                                   .n_keep = 1};
    test_ok(s->ctx, whet_i_text_batch_init(s->ctx, &batch, N, 1));
    whet_i_text_batch_fill(&batch, &rows, order, 1, r.first);
    test_ok(s->ctx, whet_i_plan_create(s->ctx, r.graph, &opts, &plan));
    test_ok(s->ctx, whet_i_params_pack(s->ctx, r.params));
    test_ok(s->ctx, whet_i_executor_create(s->ctx, plan, &executor));
    whet_i_executor_run(executor, &batch.batch);
    const bool tokens = r.graph->values[r.out].extent == WHET_I_TOKENS;
    const int64_t n = whet_i_columns(r.graph, r.out) * (tokens ? N : 1);
    assert_true(n <= OUTPUTS_MOST);
    memcpy(out, whet_i_executor_value(executor, r.out), sizeof *out * (size_t)n);
    whet_i_executor_destroy(s->ctx, executor);
    whet_i_plan_destroy(s->ctx, plan);
    whet_i_text_batch_free(s->ctx, &batch);
    whet_i_graph_destroy(s->ctx, r.graph);
    whet_i_params_destroy(s->ctx, r.params);
    return n;
}

/* ---- what is asked of every one --------------------------------------------------------------------- */

/* The largest difference of outputs, in units of the largest output. */
static double difference(const subject *s, const whet_weights *other) {
    static float a[OUTPUTS_MOST], b[OUTPUTS_MOST];
    double most = 0, size = 0;
    const int64_t n =
        s->image.channels ? run_images(s, &s->weights, a) : run_texts(s, &s->weights, a);
    (void)(s->image.channels ? run_images(s, other, b) : run_texts(s, other, b));
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
        size = fmax(size, fabs((double)a[i]));
    }
    assert_true(size > 1e-3 && isfinite(most));
    return most / size;
}

static bool is_same(const whet_weights *a, const whet_named_tensor *b) {
    for (int64_t i = 0; i < a->n; i++) {
        const whet_tensor *t = &a->items[i].tensor;
        assert_string_equal(a->items[i].name, b[i].name);
        if (memcmp(t->data, b[i].tensor.data,
                   (size_t)whet_tensor_count(t) * whet_dtype_size(t->dtype)) != 0)
            return false;
    }
    return true;
}

static void drop_tensors(whet_ctx *ctx, whet_named_tensor *items, int64_t n) {
    for (int64_t i = 0; i < n; i++) whet_tensor_destroy(ctx, &items[i].tensor);
}

/* B = A permuted at random has A's function; matching finds A again, from either side. */
static void check_spec(const subject *s, const whet_permutation_spec *spec) {
    static whet_named_tensor moved[TENSORS_MOST], back[TENSORS_MOST];
    whet_align_opts opts = WHET_ALIGN_OPTS_INIT;
    opts.restarts = 4;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        whet_alignment *drawn, *found;
        test_ok(s->ctx, whet_alignment_random(s->ctx, spec, &s->weights, seed, &drawn));
        test_ok(s->ctx, whet_alignment_apply(s->ctx, spec, drawn, &s->weights, moved));
        const whet_weights b = {moved, s->weights.n};
        assert_false(is_same(&s->weights, moved));
        assert_true(difference(s, &b) <= BOUND);
        test_ok(s->ctx, whet_align_weights(s->ctx, spec, &s->weights, &b, &opts, &found));
        test_ok(s->ctx, whet_alignment_apply(s->ctx, spec, found, &b, back));
        assert_true(is_same(&s->weights, back));
        drop_tensors(s->ctx, back, b.n);
        drop_tensors(s->ctx, moved, b.n);
        whet_alignment_destroy(s->ctx, found);
        whet_alignment_destroy(s->ctx, drawn);
    }
}

/* One tensor alone is permuted: the function changes, and by far more than BOUND. */
static void check_control(const subject *s, const whet_permutation_spec *spec, const char *tensor) {
    static whet_named_tensor moved[TENSORS_MOST], mixed[TENSORS_MOST];
    whet_alignment *drawn;
    test_ok(s->ctx, whet_alignment_random(s->ctx, spec, &s->weights, 5, &drawn));
    test_ok(s->ctx, whet_alignment_apply(s->ctx, spec, drawn, &s->weights, moved));
    bool found = false;
    for (int64_t i = 0; i < s->weights.n; i++) {
        const bool it = strcmp(s->items[i].name, tensor) == 0;
        mixed[i] = it ? moved[i] : s->items[i];
        found = found || it;
    }
    assert_true(found);
    const whet_weights b = {mixed, s->weights.n};
    assert_true(difference(s, &b) > 1e3 * BOUND);
    drop_tensors(s->ctx, moved, b.n);
    whet_alignment_destroy(s->ctx, drawn);
}

static void check_subject(subject *s, const char *arch, const char *control) {
    whet_permutation_spec *spec, *again;
    const char *path = test_tmp("spec.json");
    test_ok(s->ctx, whet_permutation_spec_for(s->ctx, arch, s->file, &s->hints, &spec));
    assert_string_equal(whet_permutation_spec_arch(spec), s->arch);
    check_spec(s, spec);
    check_control(s, spec, control);
    /* as JSON and back */
    test_ok(s->ctx, whet_permutation_spec_write(s->ctx, spec, path, true));
    test_ok(s->ctx, whet_permutation_spec_read(s->ctx, path, &again));
    assert_string_equal(whet_permutation_spec_arch(again), s->arch);
    check_spec(s, again);
    test_ok(s->ctx, whet_permutation_spec_verify(s->ctx, again, &s->weights));
    whet_permutation_spec_destroy(s->ctx, again);
    whet_permutation_spec_destroy(s->ctx, spec);
}

/* ---- images ----------------------------------------------------------------------------------------- */

/* A network with drawn weights, as a file; scales, shifts and statistics too are drawn. */
static void make_images(subject *s, const char *model, const whet_i_model_settings *settings) {
    static whet_named_tensor items[TENSORS_MOST];
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_model_values values;
    whet_i_value x;
    const int64_t d = s->image.height * s->image.width * s->image.channels;
    s->ctx = test_ctx(1);
    test_ok(s->ctx, whet_i_params_create(s->ctx, WHET_F32, &params));
    test_ok(s->ctx, whet_i_graph_create(s->ctx, params, &graph));
    test_ok(s->ctx, whet_i_graph_feed(s->ctx, graph, false, WHET_I_EXAMPLES, d, &x));
    test_ok(s->ctx,
            whet_i_model_record(s->ctx, graph, whet_i_model_find(model), settings, x, &values));
    test_ok(s->ctx, whet_i_params_settle(s->ctx, params, 3));
    for (int64_t i = 0; i < params->n; i++) {
        whet_i_param *p = &params->items[i];
        whet_i_rng rng;
        whet_i_rng_init(&rng, 4, (uint64_t)i);
        for (int64_t k = 0; p->rank == 1 && k < p->count; k++)
            p->values[k] = (float)(.5 + whet_i_rng_uniform(&rng));
        items[i] = (whet_named_tensor){p->name, {p->values, WHET_F32, p->rank, {0}}};
        for (int32_t k = 0; k < p->rank; k++) items[i].tensor.shape[k] = p->shape[k];
    }
    const char *path = test_tmp("net.safetensors");
    test_ok(s->ctx, whet_safetensors_write(s->ctx, path, true, items, params->n, NULL));
    take_file(s, path);
    whet_i_graph_destroy(s->ctx, graph);
    whet_i_params_destroy(s->ctx, params);
}

static void multilayer_perceptrons(void **state) {
    (void)state;
    subject s = {.arch = "mlp", .image = {1, 1, 20}};
    const whet_i_model_settings settings = {
        .image = s.image, .classes = 5, .widths = {17, 31, 9}, .n_widths = 3};
    make_images(&s, "mlp", &settings);
    check_subject(&s, "auto", "layer1.weight");
    drop(&s);
}

/* A bias without its group: the function changes, and the specification is refused. */
static void wrong_specifications_are_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"\"layer0.weight\": [\"p\", null], \"layer0.bias\": "
                                        "[null], \"layer1.weight\": [null, \"p\"],",
                                        "\"layer0.weight\": [\"p\", null], \"layer0.bias\": "
                                        "[\"p\"], \"layer1.weight\": [null, null],",
                                        "\"layer0.weight\": [null, \"p\"], \"layer0.bias\": "
                                        "[null], \"layer1.weight\": [null, null],"};
    static const char right[] = "\"layer0.weight\": [\"p\", null], \"layer0.bias\": [\"p\"], "
                                "\"layer1.weight\": [null, \"p\"],";
    subject s = {.arch = "mlp", .image = {1, 1, 20}};
    const whet_i_model_settings settings = {
        .image = s.image, .classes = 5, .widths = {17}, .n_widths = 1};
    make_images(&s, "mlp", &settings);
    for (int i = 0; i < 4; i++) {
        char text[1024];
        whet_permutation_spec *spec;
        (void)snprintf(text, sizeof text,
                       "{\"format\": \"whet-permutations\", \"version\": 1, \"arch\": \"mlp\", "
                       "\"groups\": {\"p\": {}}, \"tensors\": {%s \"layer1.bias\": [null]}}",
                       i < 3 ? wrong[i] : right);
        test_ok(s.ctx, whet_i_spec_parse(s.ctx, "s", text, (int64_t)strlen(text), &spec));
        if (i < 3) {
            test_fails(s.ctx, whet_permutation_spec_verify(s.ctx, spec, &s.weights), WHET_ERR_DATA);
            test_says(s.ctx, "change the network's outputs");
        } else {
            test_ok(s.ctx, whet_permutation_spec_verify(s.ctx, spec, &s.weights));
        }
        whet_permutation_spec_destroy(s.ctx, spec);
    }
    drop(&s);
}

/* Files may hold anything under the names of an architecture. */
static void odd_files_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *arch, *name;
        int32_t rank;
        const char *says;
    } cases[] = {{"mlp", "layer0.num_batches_tracked", 7, "has 7 dimensions"},
                 {"mlp", "layer1.weight", 3, "a weight of 3 dimensions"},
                 {"resnet", "conv1.weight", 2, "no tensor"},
                 {"bert", "encoder.layer.0.attention.self.query.weight", 2, "heads is not known"},
                 {"llama", "model.embed_tokens.weight", 6, "has 6 dimensions"}};
    whet_ctx *ctx = test_ctx(1);
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        float one = 1;
        whet_named_tensor items[] = {{"layer0.weight", {&one, WHET_F32, 2, {1, 1}}},
                                     {"layer2.weight", {&one, WHET_F32, 2, {1, 1}}},
                                     {cases[i].name, {&one, WHET_F32, cases[i].rank, {0}}}};
        for (int32_t x = 0; x < cases[i].rank; x++) items[2].tensor.shape[x] = 1;
        whet_safetensors *file;
        whet_permutation_spec *spec = NULL;
        const char *path = test_tmp("odd.safetensors");
        test_ok(ctx, whet_safetensors_write(ctx, path, true, items, 3, NULL));
        test_ok(ctx, whet_safetensors_open(ctx, path, &file));
        const whet_status status = whet_permutation_spec_for(ctx, cases[i].arch, file, NULL, &spec);
        assert_true(status == WHET_ERR_FORMAT || status == WHET_ERR_ARG);
        test_says(ctx, cases[i].says);
        assert_null(spec);
        whet_safetensors_close(ctx, file);
    }
    test_ctx_done(ctx);
}

/* The flattened image has 16 places a channel. */
static void lenet(void **state) {
    (void)state;
    subject s = {.arch = "lenet", .image = {28, 28, 1}};
    const whet_i_model_settings settings = {.image = s.image, .classes = 5};
    make_images(&s, "lenet", &settings);
    check_subject(&s, "lenet", "fc1.weight");
    drop(&s);
}

/* Channels are doubled by zeros on both sides, twice. */
static void residual_networks(void **state) {
    (void)state;
    subject s = {.arch = "resnet", .image = {32, 32, 3}};
    const whet_i_model_settings settings = {.image = s.image, .classes = 5, .blocks = 2};
    make_images(&s, "resnet20", &settings);
    check_subject(&s, "auto", "layer2.0.conv2.weight");
    drop(&s);
}

static void wide_residual_networks(void **state) {
    (void)state;
    subject s = {.arch = "wrn:1", .image = {32, 32, 3}};
    const whet_i_model_settings settings = {
        .image = s.image, .classes = 5, .blocks = 1, .widen = 2};
    make_images(&s, "wrn22", &settings);
    check_subject(&s, "wrn:1", "layer2.0.conv2.weight");
    drop(&s);
}

static void wide_residual_networks_with_batch_norms(void **state) {
    (void)state;
    subject s = {.arch = "wrn", .image = {32, 32, 3}};
    const whet_i_model_settings settings = {
        .image = s.image, .classes = 5, .blocks = 1, .widen = 2, .norm_groups = WHET_I_BATCH_NORM};
    make_images(&s, "wrn22", &settings);
    assert_true(s.weights.n > 50); /* running statistics as well */
    check_subject(&s, "wrn", "layer2.0.conv2.weight");
    drop(&s);
}

/* ---- group norms ------------------------------------------------------------------------------------ */

/* Orders that other numbers of groups allow change the function: of fewer groups always; of more where their
 * blocks, moved, are no whole ones of the network's. */
static void check_fewer_groups(const subject *s, const char *arch) {
    static whet_named_tensor moved[TENSORS_MOST];
    whet_permutation_spec *spec;
    whet_alignment *drawn;
    test_ok(s->ctx, whet_permutation_spec_for(s->ctx, arch, s->file, NULL, &spec));
    test_ok(s->ctx, whet_alignment_random(s->ctx, spec, &s->weights, 1, &drawn));
    test_ok(s->ctx, whet_alignment_apply(s->ctx, spec, drawn, &s->weights, moved));
    const whet_weights b = {moved, s->weights.n};
    assert_true(difference(s, &b) > 100 * BOUND);
    drop_tensors(s->ctx, moved, b.n);
    whet_alignment_destroy(s->ctx, drawn);
    whet_permutation_spec_destroy(s->ctx, spec);
}

/* Streams of 16 channels lie inside of 32, and those inside of 64: with 2 groups a norm's blocks are of
 * channels of all three widths, with 4 those of the last stage are of two, with 8 and 16 they are of one. */
static void residual_networks_with_group_norms(void **state) {
    (void)state;
    static const char *const archs[] = {"resnet:1", "resnet:2", "resnet:4", "resnet:8",
                                        "resnet:16"};
    for (int i = 0; i < 5; i++) {
        subject s = {.arch = archs[i], .image = {16, 16, 3}};
        const whet_i_model_settings settings = {
            .image = s.image, .classes = 5, .blocks = 2, .norm_groups = INT64_C(1) << i};
        make_images(&s, "resnet20", &settings);
        check_subject(&s, archs[i], "layer2.0.conv2.weight");
        if (i > 0) check_fewer_groups(&s, archs[i - 1]);
        drop(&s);
    }
}

static void wide_residual_networks_with_group_norms(void **state) {
    (void)state;
    static const char *const archs[] = {"wrn:2", "wrn:4", "wrn:8", "wrn:16"};
    for (int i = 0; i < 4; i++) {
        subject s = {.arch = archs[i], .image = {16, 16, 3}};
        const whet_i_model_settings settings = {.image = s.image,
                                                .classes = 5,
                                                .blocks = 1,
                                                .widen = 2,
                                                .norm_groups = INT64_C(2) << i};
        make_images(&s, "wrn22", &settings);
        check_subject(&s, archs[i], "layer2.0.conv2.weight");
        check_fewer_groups(&s, i > 0 ? archs[i - 1] : "wrn:1");
        drop(&s);
    }
}

static whet_status make_and_draw(whet_ctx *ctx, void *arg) {
    const subject *s = arg;
    whet_permutation_spec *spec;
    whet_alignment *drawn;
    WHET_TRY(whet_permutation_spec_for(ctx, "resnet:4", s->file, NULL, &spec));
    const whet_status status = whet_alignment_random(ctx, spec, &s->weights, 1, &drawn);
    if (status == WHET_OK) whet_alignment_destroy(ctx, drawn);
    whet_permutation_spec_destroy(ctx, spec);
    return status;
}

static void each_allocation_of_group_norms_may_fail(void **state) {
    (void)state;
    subject s = {.arch = "resnet:4", .image = {16, 16, 3}};
    const whet_i_model_settings settings = {
        .image = s.image, .classes = 5, .blocks = 1, .norm_groups = 4};
    make_images(&s, "resnet20", &settings);
    assert_true(test_each_allocation(make_and_draw, &s) > 20);
    drop(&s);
}

/* No number, one that cuts channels unevenly, one that cuts those of another width, one of no use. */
static void numbers_of_groups_are_checked(void **state) {
    (void)state;
    whet_permutation_spec *spec;
    subject s = {.arch = "resnet:2", .image = {16, 16, 3}};
    whet_i_model_settings settings = {
        .image = s.image, .classes = 5, .blocks = 1, .norm_groups = 2};
    make_images(&s, "resnet20", &settings);
    test_ok(s.ctx, whet_permutation_spec_for(s.ctx, "auto", s.file, NULL, &spec));
    assert_string_equal(whet_permutation_spec_arch(spec), "resnet");
    whet_permutation_spec_destroy(s.ctx, spec);
    test_fails(s.ctx, whet_permutation_spec_for(s.ctx, "auto:3", s.file, NULL, &spec),
               WHET_ERR_FORMAT);
    test_says(s.ctx, "\"bn1.weight\" is of 16 channels, that are no 3 groups");
    test_fails(s.ctx, whet_permutation_spec_for(s.ctx, "resnet:0", s.file, NULL, &spec),
               WHET_ERR_ARG);
    test_fails(s.ctx, whet_permutation_spec_for(s.ctx, "resnets:2", s.file, NULL, &spec),
               WHET_ERR_ARG);
    test_ok(s.ctx, whet_permutation_spec_for(s.ctx, "auto:2", s.file, NULL, &spec));
    assert_string_equal(whet_permutation_spec_arch(spec), "resnet:2");
    /* What is run has no such part. */
    s.items[s.weights.n] = s.items[0];
    s.items[s.weights.n++].name = "layer2.0.gate.weight";
    test_fails(s.ctx, whet_permutation_spec_verify(s.ctx, spec, &s.weights), WHET_ERR_FORMAT);
    test_says(s.ctx, "is no part of the network");
    whet_permutation_spec_destroy(s.ctx, spec);
    drop(&s);
    subject batch = {.arch = "resnet", .image = {16, 16, 3}};
    settings.norm_groups = 0;
    make_images(&batch, "resnet20", &settings);
    test_fails(batch.ctx, whet_permutation_spec_for(batch.ctx, "resnet:2", batch.file, NULL, &spec),
               WHET_ERR_ARG);
    test_says(batch.ctx, "no norms of channels without running statistics");
    drop(&batch);
}

/* ---- texts ------------------------------------------------------------------------------------------ */

static void check_texts(const char *folder, const char *arch, const char *control) {
    subject s = {.ctx = test_ctx(1), .arch = arch};
    char relative[256], path[700];
    json_t *config;
    (void)snprintf(relative, sizeof relative, "tests/golden/%s", folder);
    (void)snprintf(s.dir, sizeof s.dir, "%s", test_source(relative));
    (void)snprintf(path, sizeof path, "%s/config.json", s.dir);
    test_ok(s.ctx, whet_i_json_read(s.ctx, path, 1 << 20, &config));
    const json_t *heads = json_object_get(config, "num_attention_heads");
    s.hints.heads = json_integer_value(heads ? heads : json_object_get(config, "n_heads"));
    s.hints.kv_heads = json_integer_value(json_object_get(config, "num_key_value_heads"));
    json_decref(config);
    (void)snprintf(path, sizeof path, "%s/model.safetensors", s.dir);
    take_file(&s, path);
    check_subject(&s, strcmp(arch, "bert") == 0 || strcmp(arch, "llama") == 0 ? "auto" : arch,
                  control);
    drop(&s);
}

static void bert_and_relatives(void **state) {
    (void)state;
    check_texts("text_models/bert", "bert", "bert.encoder.layer.0.attention.self.value.weight");
    check_texts("text_models/roberta", "roberta",
                "roberta.encoder.layer.0.intermediate.dense.bias");
    check_texts("text_models/distilbert", "distilbert",
                "distilbert.transformer.layer.0.attention.q_lin.weight");
}

static void llama_and_relatives(void **state) {
    (void)state;
    check_texts("llama/llama", "llama", "model.layers.0.self_attn.v_proj.weight");
    check_texts("llama/qwen2", "llama", "model.layers.0.mlp.up_proj.weight");
    check_texts("llama/llama3", "llama", "model.layers.0.self_attn.q_proj.bias");
    check_texts("llama/mistral", "llama", "model.layers.0.self_attn.o_proj.weight");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_specifications_are_refused),
        cmocka_unit_test(odd_files_are_refused),
        cmocka_unit_test(multilayer_perceptrons),
        cmocka_unit_test(lenet),
        cmocka_unit_test(residual_networks),
        cmocka_unit_test(wide_residual_networks),
        cmocka_unit_test(wide_residual_networks_with_batch_norms),
        cmocka_unit_test(residual_networks_with_group_norms),
        cmocka_unit_test(wide_residual_networks_with_group_norms),
        cmocka_unit_test(numbers_of_groups_are_checked),
        cmocka_unit_test(each_allocation_of_group_norms_may_fail),
        cmocka_unit_test(bert_and_relatives),
        cmocka_unit_test(llama_and_relatives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
