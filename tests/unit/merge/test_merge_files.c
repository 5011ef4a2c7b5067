/* SPDX-License-Identifier: Apache-2.0
 * Merging models on disk: the same numbers as in memory whatever the block, the files and the types; what
 * the output is laid out as; plans that refuse; merges that stop and go on. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/io_i.h"
#include "merge/merge_plan.h"

/* Two layers and a table of words: 9 tensors. */
enum { TOKENS = 5, WIDTH = 300, INNER = 200, TENSORS = 9 };

typedef struct network {
    whet_named_tensor items[TENSORS + 4];
    char *names[TENSORS + 4];
    int64_t n;
} network;

static whet_status make_tensor(whet_ctx *ctx, network *net, const char *name, int32_t rank,
                               int64_t rows, int64_t columns, uint64_t seed, whet_dtype dtype) {
    whet_tensor exact;
    whet_i_rng rng;
    const int64_t shape[2] = {rows, columns};
    whet_i_rng_init(&rng, seed, (uint64_t)net->n);
    WHET_TRY(whet_tensor_create(ctx, WHET_F32, rank, shape, &exact));
    for (int64_t i = 0; i < whet_tensor_count(&exact); i++)
        ((float *)exact.data)[i] = (float)whet_i_rng_normal(&rng);
    net->names[net->n] = malloc(strlen(name) + 1);
    memcpy(net->names[net->n], name, strlen(name) + 1);
    net->items[net->n].name = net->names[net->n];
    const whet_status status = whet_tensor_convert(ctx, &exact, dtype, &net->items[net->n].tensor);
    whet_tensor_destroy(ctx, &exact);
    net->n++;
    return status;
}

static network make(whet_ctx *ctx, uint64_t seed, whet_dtype dtype) {
    network net = {.n = 0};
    char name[64];
    test_ok(ctx,
            make_tensor(ctx, &net, "model.embed_tokens.weight", 2, TOKENS, WIDTH, seed, dtype));
    for (int l = 0; l < 2; l++) {
        (void)snprintf(name, sizeof name, "model.layers.%d.mlp.up_proj.weight", l);
        test_ok(ctx, make_tensor(ctx, &net, name, 2, INNER, WIDTH, seed, dtype));
        (void)snprintf(name, sizeof name, "model.layers.%d.mlp.down_proj.weight", l);
        test_ok(ctx, make_tensor(ctx, &net, name, 2, WIDTH, INNER, seed, dtype));
        (void)snprintf(name, sizeof name, "model.layers.%d.norm.weight", l);
        test_ok(ctx, make_tensor(ctx, &net, name, 1, WIDTH, 0, seed, dtype));
    }
    test_ok(ctx, make_tensor(ctx, &net, "model.norm.weight", 1, WIDTH, 0, seed, dtype));
    test_ok(ctx, make_tensor(ctx, &net, "lm_head.weight", 2, TOKENS, WIDTH, seed, dtype));
    return net;
}

static void drop(whet_ctx *ctx, network *net) {
    for (int64_t i = 0; i < net->n; i++) {
        whet_tensor_destroy(ctx, &net->items[i].tensor);
        free(net->names[i]);
    }
}

static char *write_model(whet_ctx *ctx, const char *name, uint64_t seed, whet_dtype dtype) {
    network net = make(ctx, seed, dtype);
    char *path = test_tmp_kept(name);
    test_ok(ctx, whet_safetensors_write(ctx, path, true, net.items, net.n, NULL));
    drop(ctx, &net);
    return path;
}

static whet_merge_job job_of(const char *method, const char *const *models, int64_t n,
                             const char *base, const whet_merge_setting *settings,
                             int64_t n_settings, const char *output) {
    whet_merge_job job = WHET_MERGE_JOB_INIT;
    job.method = method;
    job.models = models;
    job.n_models = n;
    job.base = base;
    job.settings = settings;
    job.n_settings = n_settings;
    job.output = output;
    job.force = true;
    return job;
}

static whet_status run(whet_ctx *ctx, const whet_merge_job *job, int64_t *resumed) {
    whet_merge_plan *plan = NULL;
    WHET_TRY(whet_merge_plan_create(ctx, job, &plan));
    const whet_status status = whet_merge_plan_run(ctx, plan, resumed);
    whet_merge_plan_destroy(ctx, plan);
    return status;
}

static bool exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

/* "path/name", in a buffer of its own for each of four calls. */
static const char *in(const char *path, const char *name) {
    static char buffers[4][4200];
    static int at;
    at = (at + 1) % 4;
    (void)snprintf(buffers[at], sizeof buffers[at], "%s/%s", path, name);
    return buffers[at];
}

static const whet_merge_setting some[] = {
    {"weight", -1, 0.75}, {"weight", 0, 0.5}, {"density", -1, 0.5}};

/* ---- the same numbers as in memory ------------------------------------------------------------- */

static void check_against_memory(whet_ctx *ctx, const char *method, const char *path) {
    network a = make(ctx, 1, WHET_F32), b = make(ctx, 2, WHET_F32), base = make(ctx, 3, WHET_F32);
    whet_safetensors *file;
    test_ok(ctx, whet_safetensors_open(ctx, path, &file));
    assert_int_equal(whet_safetensors_count(file), a.n);
    for (int64_t i = 0; i < a.n; i++) {
        const whet_tensor *t = &a.items[i].tensor;
        const float *models[] = {t->data, b.items[i].tensor.data};
        whet_merge_arrays arrays = {.name = a.items[i].name,
                                    .rank = t->rank,
                                    .n = 2,
                                    .models = models,
                                    .base = base.items[i].tensor.data};
        memcpy(arrays.shape, t->shape, sizeof arrays.shape);
        float *expected = malloc((size_t)whet_tensor_count(t) * sizeof *expected);
        whet_tensor view;
        test_ok(ctx, whet_merge_arrays_run(ctx, method, some, 3, 11, &arrays, expected));
        assert_true(whet_safetensors_find(file, a.items[i].name, &view));
        assert_memory_equal(view.data, expected, (size_t)whet_tensor_count(t) * sizeof *expected);
        free(expected);
    }
    whet_safetensors_close(ctx, file);
    drop(ctx, &a);
    drop(ctx, &b);
    drop(ctx, &base);
}

/* With a block that holds whole tensors, and one that holds none, so that each pass reads them again: the
 * same file. */
static void run_held_and_not(whet_ctx *ctx, const whet_merge_job *job) {
    whet_merge_job again = *job;
    char *other = test_tmp_kept("again.safetensors");
    test_ok(ctx, run(ctx, job, NULL));
    again.block_bytes = 1;
    again.output = other;
    test_ok(ctx, run(ctx, &again, NULL));
    assert_true(test_files_equal(job->output, other));
    free(other);
}

/* Held from pass to pass as the files have them, where all have 16 bits, else as f32; and read again. */
static void held_in_16_bits(void **state) {
    (void)state;
    static const whet_dtype types[][3] = {{WHET_BF16, WHET_BF16, WHET_BF16},
                                          {WHET_F16, WHET_BF16, WHET_F16},
                                          {WHET_BF16, WHET_F32, WHET_BF16}};
    static const whet_merge_setting half[] = {{"t", -1, 0.5}};
    static const struct {
        const char *name;
        bool base;
        const whet_merge_setting *settings;
        int64_t n;
    } methods[] = {{"ties", true, some, 3}, {"slerp", false, half, 1}, {"sce", true, NULL, 0}};
    whet_ctx *ctx = test_ctx(2);
    char *one = test_tmp_kept("one.safetensors");
    for (int64_t k = 0; k < WHET_COUNT_OF(types) * WHET_COUNT_OF(methods); k++) {
        const whet_dtype *type = types[k % WHET_COUNT_OF(types)];
        const int64_t m = k / WHET_COUNT_OF(types);
        char *a = write_model(ctx, "a.safetensors", 1, type[0]);
        char *b = write_model(ctx, "b.safetensors", 2, type[1]);
        char *base = write_model(ctx, "base.safetensors", 3, type[2]);
        const char *models[] = {a, b};
        whet_merge_job job = job_of(methods[m].name, models, 2, methods[m].base ? base : NULL,
                                    methods[m].settings, methods[m].n, one);
        job.dtype_given = true;
        job.dtype = WHET_F32;
        run_held_and_not(ctx, &job);
        free(a);
        free(b);
        free(base);
    }
    free(one);
    test_ctx_done(ctx);
}

static void files_give_what_memory_gives(void **state) {
    (void)state;
    static const char *const methods[] = {"ties", "dare_ties", "della", "breadcrumbs"};
    whet_ctx *ctx = test_ctx(2);
    char *a = write_model(ctx, "a.safetensors", 1, WHET_F32);
    char *b = write_model(ctx, "b.safetensors", 2, WHET_F32);
    char *base = write_model(ctx, "base.safetensors", 3, WHET_F32);
    char *one = test_tmp_kept("one.safetensors");
    const char *models[] = {a, b};
    for (int64_t k = 0; k < WHET_COUNT_OF(methods); k++) {
        whet_merge_job job = job_of(methods[k], models, 2, base, some, 3, one);
        job.seed = 11;
        run_held_and_not(ctx, &job);
        check_against_memory(ctx, methods[k], one);
    }
    free(a);
    free(b);
    free(base);
    free(one);
    test_ctx_done(ctx);
}

/* bf16 and f16 in: what they hold, widened, is exact; out: rounded once, to nearest even. */
static void small_types_in_and_out(void **state) {
    (void)state;
    static const whet_dtype types[] = {WHET_BF16, WHET_F16, WHET_F32};
    static const whet_merge_setting w[] = {{"weight", 0, 1}, {"weight", 1, 3}};
    whet_ctx *ctx = test_ctx(2);
    char *out = test_tmp_kept("typed.safetensors");
    for (int in_type = 0; in_type < 3; in_type++)
        for (int out_type = 0; out_type < 3; out_type++) {
            char *a = write_model(ctx, "ta.safetensors", 1, types[in_type]);
            char *b = write_model(ctx, "tb.safetensors", 2, types[in_type]);
            network x = make(ctx, 1, types[in_type]), y = make(ctx, 2, types[in_type]);
            const char *models[] = {a, b};
            whet_merge_job job = job_of("linear", models, 2, NULL, w, 2, out);
            job.dtype_given = true;
            job.dtype = types[out_type];
            test_ok(ctx, run(ctx, &job, NULL));
            whet_safetensors *file;
            test_ok(ctx, whet_safetensors_open(ctx, out, &file));
            whet_tensor view, fx, fy, rounded;
            assert_true(whet_safetensors_find(file, x.items[1].name, &view));
            assert_int_equal(view.dtype, types[out_type]);
            test_ok(ctx, whet_tensor_convert(ctx, &x.items[1].tensor, WHET_F32, &fx));
            test_ok(ctx, whet_tensor_convert(ctx, &y.items[1].tensor, WHET_F32, &fy));
            const int64_t count = whet_tensor_count(&fx);
            float *p = fx.data;
            const float *q = fy.data;
            for (int64_t i = 0; i < count; i++)
                p[i] = (float)(0.25 * (double)p[i] + 0.75 * (double)q[i]);
            test_ok(ctx, whet_tensor_convert(ctx, &fx, types[out_type], &rounded));
            assert_memory_equal(view.data, rounded.data,
                                (size_t)count * whet_dtype_size(types[out_type]));
            whet_tensor_destroy(ctx, &fx);
            whet_tensor_destroy(ctx, &fy);
            whet_tensor_destroy(ctx, &rounded);
            whet_safetensors_close(ctx, file);
            drop(ctx, &x);
            drop(ctx, &y);
            free(a);
            free(b);
        }
    free(out);
    test_ctx_done(ctx);
}

/* ---- folders ---------------------------------------------------------------------------------- */

static char *write_folder(whet_ctx *ctx, const char *name, uint64_t seed, const char *config) {
    network net = make(ctx, seed, WHET_F32);
    char *path = test_tmp_kept(name);
    (void)mkdir(path, 0777);
    test_ok(ctx, whet_safetensors_write(ctx, in(path, "model.safetensors"), true, net.items, net.n,
                                        NULL));
    FILE *file = fopen(in(path, "config.json"), "w");
    assert_non_null(file);
    (void)fputs(config, file);
    (void)fclose(file);
    drop(ctx, &net);
    return path;
}

static json_t *json_in(whet_ctx *ctx, const char *folder, const char *name) {
    json_t *json;
    test_ok(ctx, whet_i_json_read(ctx, in(folder, name), 1 << 20, &json));
    return json;
}

static const char config[] = "{\"model_type\":\"llama\",\"num_hidden_layers\":2,\"vocab_size\":5,"
                             "\"torch_dtype\":\"float32\"}";

static void folders_in_pieces(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    char *a = write_folder(ctx, "fa", 1, config), *b = write_folder(ctx, "fb", 2, config);
    char *whole = test_tmp_kept("whole"), *pieces = test_tmp_kept("pieces"),
         *again = test_tmp_kept("again");
    char *token_file = test_tmp_kept("fa/tokenizer_config.json");
    const char *models[] = {a, b}, *from_pieces[] = {pieces};
    static const whet_merge_setting w[] = {{"weight", -1, 1}};
    FILE *file = fopen(token_file, "w");
    assert_non_null(file);
    (void)fputs("{\"x\":1}", file);
    (void)fclose(file);
    whet_merge_job job = job_of("linear", models, 2, NULL, w, 1, whole);
    test_ok(ctx, run(ctx, &job, NULL));
    assert_true(test_files_equal(in(whole, "tokenizer_config.json"), token_file));
    assert_false(exists(in(whole, "model.safetensors.index.json")));
    assert_false(exists(test_tmp("whole.whet-merge")));
    job.output = pieces;
    job.shard_bytes = 300000; /* a matrix takes 240,000 */
    test_ok(ctx, run(ctx, &job, NULL));
    json_t *index = json_in(ctx, pieces, "model.safetensors.index.json");
    json_t *map = json_object_get(index, "weight_map");
    assert_int_equal(json_object_size(map), TENSORS);
    assert_string_equal(json_string_value(json_object_get(map, "lm_head.weight")),
                        "model-00004-of-00004.safetensors");
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(index, "metadata"), "total_size")),
        4 * (2 * TOKENS * WIDTH + 4 * INNER * WIDTH + 3 * WIDTH));
    json_decref(index);
    /* What was written in pieces is read in pieces. */
    static const whet_merge_setting one[] = {{"scale", -1, 1}};
    job = job_of("passthrough", from_pieces, 1, NULL, one, 1, again);
    test_ok(ctx, run(ctx, &job, NULL));
    whet_safetensors *x, *y;
    test_ok(ctx, whet_safetensors_open(ctx, in(whole, "model.safetensors"), &x));
    test_ok(ctx, whet_safetensors_open(ctx, in(again, "model.safetensors"), &y));
    for (int64_t i = 0; i < whet_safetensors_count(x); i++) {
        whet_tensor p, q;
        const char *name = whet_safetensors_name(x, i).ptr;
        assert_true(whet_safetensors_find(x, name, &p) && whet_safetensors_find(y, name, &q));
        assert_memory_equal(p.data, q.data, (size_t)whet_tensor_count(&p) * 4);
    }
    whet_safetensors_close(ctx, x);
    whet_safetensors_close(ctx, y);
    /* An index that names a file outside, and a folder without weights. */
    file = fopen(in(pieces, "model.safetensors.index.json"), "w");
    (void)fputs("{\"weight_map\":{\"x\":\"../fa/model.safetensors\"}}", file);
    (void)fclose(file);
    test_fails(ctx, run(ctx, &job, NULL), WHET_ERR_FORMAT);
    (void)unlink(in(pieces, "model.safetensors.index.json"));
    test_fails(ctx, run(ctx, &job, NULL), WHET_ERR_IO);
    test_says(ctx, "no weights");
    free(a);
    free(b);
    free(whole);
    free(pieces);
    free(again);
    free(token_file);
    test_ctx_done(ctx);
}

/* ---- recipes ---------------------------------------------------------------------------------- */

/* @ and % in the text stand for the paths of a and b. */
static char *write_recipe(const char *name, const char *text, const char *a, const char *b) {
    char out[16384];
    size_t used = 0;
    for (const char *c = text; *c; c++) {
        const char *path = *c == '@' ? a : *c == '%' ? b : NULL;
        const int len = path ? snprintf(out + used, sizeof out - used, "%s", path)
                             : snprintf(out + used, sizeof out - used, "%c", *c);
        used += (size_t)len;
        assert_true(used < sizeof out);
    }
    char *path = test_tmp_kept(name);
    (void)test_write_text(name, out);
    return path;
}

/* Layers of A and B one above the other: layer 1 of B is layer 2, and config.json says so. */
static void slices_are_stacked(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    char *a = write_folder(ctx, "sa", 1, config), *b = write_folder(ctx, "sb", 2, config);
    char *out = test_tmp_kept("stacked");
    char *recipe = write_recipe("stack.yml",
                                "slices:\n"
                                "  - sources:\n    - model: @\n      layer_range: [0, 2]\n"
                                "  - sources:\n    - model: %\n      layer_range: [1, 2]\n"
                                "      parameters:\n        scale:\n"
                                "          - filter: down_proj\n            value: 0\n"
                                "          - value: 1\n"
                                "merge_method: passthrough\ndtype: float32\n",
                                a, b);
    whet_merge_job job = WHET_MERGE_JOB_INIT;
    job.recipe = recipe;
    job.output = out;
    test_ok(ctx, run(ctx, &job, NULL));
    json_t *written = json_in(ctx, out, "config.json");
    assert_int_equal(json_integer_value(json_object_get(written, "num_hidden_layers")), 3);
    json_decref(written);
    network x = make(ctx, 1, WHET_F32), y = make(ctx, 2, WHET_F32);
    whet_safetensors *file;
    whet_tensor t;
    test_ok(ctx, whet_safetensors_open(ctx, in(out, "model.safetensors"), &file));
    assert_int_equal(whet_safetensors_count(file), 12);
    assert_true(whet_safetensors_find(file, "model.layers.2.mlp.up_proj.weight", &t));
    assert_memory_equal(t.data, y.items[4].tensor.data, INNER * WIDTH * 4);
    assert_true(whet_safetensors_find(file, "model.layers.1.mlp.up_proj.weight", &t));
    assert_memory_equal(t.data, x.items[4].tensor.data, INNER * WIDTH * 4);
    assert_true(whet_safetensors_find(file, "model.layers.2.mlp.down_proj.weight", &t));
    for (int64_t i = 0; i < INNER * WIDTH; i++) assert_true(((const float *)t.data)[i] == 0);
    assert_true(whet_safetensors_find(file, "model.embed_tokens.weight", &t)); /* the first's */
    assert_memory_equal(t.data, x.items[0].tensor.data, TOKENS * WIDTH * 4);
    assert_true(whet_safetensors_find(file, "lm_head.weight", &t)); /* the last's */
    assert_memory_equal(t.data, y.items[8].tensor.data, TOKENS * WIDTH * 4);
    whet_safetensors_close(ctx, file);
    drop(ctx, &x);
    drop(ctx, &y);
    free(recipe);
    recipe = write_recipe("deep.yml",
                          "slices:\n  - sources:\n    - model: @\n      layer_range: [0, 3]\n"
                          "merge_method: passthrough\n",
                          a, b);
    job.recipe = recipe;
    job.force = true;
    test_fails(ctx, run(ctx, &job, NULL), WHET_ERR_DATA);
    test_says(ctx, "at most the 2 that it has");
    free(recipe);
    free(a);
    free(b);
    free(out);
    test_ctx_done(ctx);
}

/* The weight of B goes from 0 in the first layer to 1 in the last, and before and behind them. */
static void gradients_run_over_depth(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    char *a = write_model(ctx, "ga.safetensors", 1, WHET_F32);
    char *b = write_model(ctx, "gb.safetensors", 2, WHET_F32);
    char *out = test_tmp_kept("gradient.safetensors");
    char *recipe = write_recipe("gradient.yml",
                                "models:\n  - model: @\n    parameters: {weight: [1, 0]}\n"
                                "  - model: %\n    parameters: {weight: [0, 1]}\n"
                                "merge_method: linear\nparameters: {normalize: false}\n",
                                a, b);
    whet_merge_job job = WHET_MERGE_JOB_INIT;
    job.recipe = recipe;
    job.output = out;
    test_ok(ctx, run(ctx, &job, NULL));
    network x = make(ctx, 1, WHET_F32), y = make(ctx, 2, WHET_F32);
    whet_safetensors *file;
    test_ok(ctx, whet_safetensors_open(ctx, out, &file));
    for (int64_t i = 0; i < TENSORS; i++) {
        whet_tensor t;
        assert_true(whet_safetensors_find(file, x.items[i].name, &t));
        const network *from = i < 4 ? &x : &y; /* table and layer 0; layer 1, norm, head */
        assert_memory_equal(t.data, from->items[i].tensor.data, (size_t)whet_tensor_count(&t) * 4);
    }
    whet_safetensors_close(ctx, file);
    drop(ctx, &x);
    drop(ctx, &y);
    free(a);
    free(b);
    free(out);
    free(recipe);
    test_ctx_done(ctx);
}

/* ---- refusals --------------------------------------------------------------------------------- */

static void what_does_not_fit_is_told_at_once(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char *a = write_model(ctx, "ma.safetensors", 1, WHET_F32), *b = test_tmp_kept("mb.safetensors");
    char *out = test_tmp_kept("never.safetensors");
    network net = make(ctx, 2, WHET_F32);
    static const int64_t positions[2] = {0, 1};
    net.items[0].tensor.shape[0] = TOKENS - 1;             /* a token less */
    net.items[1].tensor.shape[0] = INNER - 1;              /* a row less */
    net.items[2].name = "model.layers.0.mlp.other.weight"; /* down_proj is missing */
    const whet_tensor norm = net.items[3].tensor;
    net.items[3].tensor = (whet_tensor){(void *)(uintptr_t)positions, WHET_I64, 1, {2}};
    test_ok(ctx, whet_safetensors_write(ctx, b, true, net.items, net.n, NULL));
    const char *models[] = {a, b};
    static const whet_merge_setting w[] = {{"weight", -1, 1}};
    whet_merge_job job = job_of("linear", models, 2, NULL, w, 1, out);
    test_fails(ctx, run(ctx, &job, NULL), WHET_ERR_SHAPE);
    test_says(ctx, "5 tensors do not fit");
    test_says(ctx, "has 5 tokens in");
    test_says(ctx, "[200, 300] in");
    test_says(ctx, "down_proj.weight\" is missing in");
    test_says(ctx, "other.weight\" is missing in");
    test_says(ctx, "is f32 in");
    assert_false(exists(out));
    job.output = test_tmp("nowhere/x.safetensors");
    models[1] = a;
    test_fails(ctx, run(ctx, &job, NULL), WHET_ERR_IO);
    job.output = out;
    job.method = "slerp";
    test_fails(ctx, run(ctx, &job, NULL), WHET_ERR_ARG);
    test_says(ctx, "unknown to slerp");
    job.n_settings = 0;
    test_fails(ctx, run(ctx, &job, NULL), WHET_ERR_ARG);
    test_says(ctx, "no \"t\"");
    job = job_of("linear", models, 2, NULL, w, 1, a);
    job.force = false;
    test_fails(ctx, run(ctx, &job, NULL), WHET_ERR_EXISTS);
    job.recipe = a;
    test_fails(ctx, run(ctx, &job, NULL), WHET_ERR_ARG);
    net.items[3].tensor = norm;
    drop(ctx, &net);
    free(a);
    free(b);
    free(out);
    test_ctx_done(ctx);
}

static void bad_weights_are_named(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    char *a = write_model(ctx, "na.safetensors", 1, WHET_F32), *b = test_tmp_kept("nb.safetensors");
    char *out = test_tmp_kept("nan.safetensors");
    network net = make(ctx, 2, WHET_F32);
    ((float *)net.items[4].tensor.data)[150 * WIDTH + 7] = NAN;
    ((float *)net.items[4].tensor.data)[199 * WIDTH] = INFINITY;
    test_ok(ctx, whet_safetensors_write(ctx, b, true, net.items, net.n, NULL));
    const char *models[] = {a, b};
    static const whet_merge_setting w[] = {{"weight", -1, 1}},
                                    many[] = {{"weight", -1, 1e6}, {"normalize", -1, 0}};
    whet_merge_job job = job_of("linear", models, 2, NULL, w, 1, out);
    test_fails(ctx, run(ctx, &job, NULL), WHET_ERR_DATA);
    test_says(ctx, "nb.safetensors: tensor \"model.layers.1.mlp.up_proj.weight\" is NaN or "
                   "infinite at [150, 7]");
    assert_false(exists(out));
    assert_false(exists(test_tmp("nan.safetensors.whet-merge")));
    models[1] = a;
    job = job_of("linear", models, 2, NULL, many, 2, out);
    job.dtype_given = true;
    job.dtype = WHET_F16;
    test_fails(ctx, run(ctx, &job, NULL), WHET_ERR_NUMERIC);
    test_says(ctx, "too large for f16");
    assert_false(exists(out));
    drop(ctx, &net);
    free(a);
    free(b);
    free(out);
    test_ctx_done(ctx);
}

/* A file that is cut behind the plan's back is told in a sentence of its own, whether its numbers are
 * merged or its bytes copied (a counter, the last tensor). */
static void a_file_cut_short_meanwhile(void **state) {
    (void)state;
    static const int64_t steps[1] = {7};
    static const whet_merge_setting w[] = {{"weight", -1, 1}};
    whet_ctx *ctx = test_ctx(1);
    char *a = test_tmp_kept("cut.safetensors"), *out = test_tmp_kept("of_cut.safetensors");
    network net = make(ctx, 2, WHET_F32);
    const whet_named_tensor last = net.items[net.n - 1];
    net.items[net.n - 1] =
        (whet_named_tensor){"steps", {(void *)(uintptr_t)steps, WHET_I64, 1, {1}}};
    const char *models[] = {a};
    for (int numbers = 0; numbers < 2; numbers++) {
        whet_merge_plan *plan;
        struct stat info;
        test_ok(ctx, whet_safetensors_write(ctx, a, true, net.items, net.n, NULL));
        const whet_merge_job job = job_of("linear", models, 1, NULL, w, 1, out);
        test_ok(ctx, whet_merge_plan_create(ctx, &job, &plan));
        assert_int_equal(stat(a, &info), 0);
        assert_int_equal(truncate(a, numbers ? info.st_size / 2 : info.st_size - 4), 0);
        test_fails(ctx, whet_merge_plan_run(ctx, plan, NULL), WHET_ERR_IO);
        test_says(ctx, numbers ? "cut.safetensors: tensor" : "tensor \"steps\" cannot be read");
        test_says(ctx, "the file ends before it");
        assert_false(exists(out));
        whet_merge_plan_destroy(ctx, plan);
    }
    net.items[net.n - 1] = last;
    drop(ctx, &net);
    free(a);
    free(out);
    test_ctx_done(ctx);
}

/* ---- stopping and going on --------------------------------------------------------------------- */

typedef struct stopper {
    int64_t calls, most;
} stopper;

static bool stop_after(void *user) {
    stopper *s = user;
    return ++s->calls > s->most;
}

static void a_stopped_merge_goes_on(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char *a = write_model(ctx, "ra.safetensors", 1, WHET_F32);
    char *b = write_model(ctx, "rb.safetensors", 2, WHET_F32);
    char *whole = test_tmp_kept("uninterrupted.safetensors"),
         *out = test_tmp_kept("resumed.safetensors");
    char *part = test_tmp_kept("resumed.safetensors.whet-merge");
    const char *models[] = {a, b};
    static const whet_merge_setting w[] = {{"weight", -1, 1}},
                                    v[] = {{"weight", 0, 1}, {"weight", 1, 2}};
    whet_merge_job job = job_of("linear", models, 2, NULL, w, 1, whole);
    test_ok(ctx, run(ctx, &job, NULL));
    job.output = out;
    int64_t most = -1, resumed;
    for (int64_t stop = 1; stop < 40; stop += 3) {
        stopper s = {0, stop};
        whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
        whet_ctx *stopped;
        opts.cancel = stop_after;
        opts.user = &s;
        opts.threads = 1;
        test_ok(ctx, whet_ctx_create(&opts, &stopped));
        const whet_status status = run(stopped, &job, NULL);
        assert_true(status == WHET_ERR_CANCELLED || status == WHET_OK);
        assert_true(exists(part) == (status == WHET_ERR_CANCELLED) || stop < 3);
        if (status == WHET_ERR_CANCELLED) assert_non_null(strstr(whet_error(stopped), "goes on"));
        whet_ctx_destroy(stopped);
        if (status == WHET_OK) break;
        assert_false(exists(out));
        if (stop % 2 == 0) { /* another job does not take over what it finds */
            whet_merge_job other = job_of("linear", models, 2, NULL, v, 2, out);
            test_ok(ctx, run(ctx, &other, &resumed));
            assert_int_equal(resumed, 0);
            (void)unlink(out);
            continue;
        }
        test_ok(ctx, run(ctx, &job, &resumed));
        if (resumed > most) most = resumed;
        assert_true(test_files_equal(whole, out));
        assert_false(exists(part));
        (void)unlink(out);
    }
    assert_true(most >= 3);
    free(a);
    free(b);
    free(whole);
    free(out);
    free(part);
    test_ctx_done(ctx);
}

/* ---- ties between tensors, additions ----------------------------------------------------------- */

/* A model whose output layer is its table of words, with one that has both. */
static void tied_tables_are_found(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char *a = write_folder(ctx, "tied", 1, "{\"tie_word_embeddings\":true}");
    char *b = write_folder(ctx, "untied", 2, config), *out = test_tmp_kept("tied-out");
    network x = make(ctx, 1, WHET_F32), y = make(ctx, 2, WHET_F32);
    test_ok(ctx, whet_safetensors_write(ctx, in(a, "model.safetensors"), true, x.items, TENSORS - 1,
                                        NULL));
    const char *models[] = {a, b};
    static const whet_merge_setting w[] = {{"weight", -1, 0.5}, {"normalize", -1, 0}};
    whet_merge_job job = job_of("linear", models, 2, NULL, w, 2, out);
    test_ok(ctx, run(ctx, &job, NULL));
    whet_safetensors *file;
    whet_tensor t;
    test_ok(ctx, whet_safetensors_open(ctx, in(out, "model.safetensors"), &file));
    assert_true(whet_safetensors_find(file, "lm_head.weight", &t));
    for (int64_t i = 0; i < TOKENS * WIDTH; i++)
        assert_true(((const float *)t.data)[i] ==
                    (float)(0.5 * (double)((const float *)x.items[0].tensor.data)[i] +
                            0.5 * (double)((const float *)y.items[8].tensor.data)[i]));
    whet_safetensors_close(ctx, file);
    json_t *written = json_in(ctx, out, "config.json");
    assert_true(json_is_false(json_object_get(written, "tie_word_embeddings")));
    json_decref(written);
    drop(ctx, &x);
    drop(ctx, &y);
    free(a);
    free(b);
    free(out);
    test_ctx_done(ctx);
}

/* model+adapter is W + (alpha / r) B A, to one rounding. */
static void adapters_are_added(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    char *a = write_model(ctx, "la.safetensors", 1, WHET_F32), *lora = test_tmp_kept("lora");
    char *out = test_tmp_kept("added.safetensors");
    network x = make(ctx, 1, WHET_F32), low = {.n = 0};
    (void)mkdir(lora, 0777);
    test_ok(ctx, make_tensor(ctx, &low, "base_model.model.model.layers.1.mlp.up_proj.lora_A.weight",
                             2, 3, WIDTH, 5, WHET_F32));
    test_ok(ctx, make_tensor(ctx, &low, "base_model.model.model.layers.1.mlp.up_proj.lora_B.weight",
                             2, INNER, 3, 5, WHET_F32));
    test_ok(ctx, whet_safetensors_write(ctx, in(lora, "adapter_model.safetensors"), true, low.items,
                                        2, NULL));
    FILE *file = fopen(in(lora, "adapter_config.json"), "w");
    (void)fputs("{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":6}", file);
    (void)fclose(file);
    char both[9000];
    (void)snprintf(both, sizeof both, "%s+%s", a, lora);
    const char *models[] = {both};
    whet_merge_job job = job_of("passthrough", models, 1, NULL, NULL, 0, out);
    test_ok(ctx, run(ctx, &job, NULL));
    whet_safetensors *merged;
    whet_tensor t;
    test_ok(ctx, whet_safetensors_open(ctx, out, &merged));
    assert_true(whet_safetensors_find(merged, x.items[4].name, &t));
    const float *w = x.items[4].tensor.data, *pa = low.items[0].tensor.data,
                *pb = low.items[1].tensor.data;
    for (int64_t i = 0; i < INNER; i++)
        for (int64_t j = 0; j < WIDTH; j++) {
            double sum = (double)w[i * WIDTH + j];
            for (int64_t r = 0; r < 3; r++)
                sum += 2 * (double)pb[i * 3 + r] * (double)pa[r * WIDTH + j];
            assert_true(fabs((double)((const float *)t.data)[i * WIDTH + j] - sum) <=
                        0x1p-23 * (fabs(sum) + 1e-3));
        }
    assert_true(whet_safetensors_find(merged, x.items[1].name, &t));
    assert_memory_equal(t.data, x.items[1].tensor.data, INNER * WIDTH * 4);
    whet_safetensors_close(ctx, merged);
    drop(ctx, &x);
    drop(ctx, &low);
    free(a);
    free(lora);
    free(out);
    test_ctx_done(ctx);
}

/* ---- vocabularies ----------------------------------------------------------------------------- */

static void write_text_in(const char *folder, const char *name, const char *text) {
    FILE *file = fopen(in(folder, name), "w");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

/* Tokens a b c d e of A; b a x c y of B: rows are matched by token; y, x are B's alone, d and e A's. */
static void vocabularies_are_united(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char *a = write_folder(ctx, "va", 1, config), *b = write_folder(ctx, "vb", 2, config);
    char *out = test_tmp_kept("united");
    write_text_in(a, "tokenizer.json",
                  "{\"model\":{\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"d\":3,\"e\":4}}}");
    write_text_in(b, "tokenizer.json",
                  "{\"model\":{\"vocab\":{\"b\":0,\"a\":1,\"x\":2,\"c\":3}},"
                  "\"added_tokens\":[{\"id\":4,\"content\":\"y\"}]}");
    char *recipe = write_recipe("union.yml",
                                "models:\n  - model: @\n  - model: %\nmerge_method: linear\n"
                                "parameters: {weight: 1}\ntokenizer: {source: union, "
                                "pad_to_multiple_of: 4}\n",
                                a, b);
    whet_merge_job job = WHET_MERGE_JOB_INIT;
    job.recipe = recipe;
    job.output = out;
    test_ok(ctx, run(ctx, &job, NULL));
    network x = make(ctx, 1, WHET_F32), y = make(ctx, 2, WHET_F32);
    whet_safetensors *file;
    whet_tensor t;
    test_ok(ctx, whet_safetensors_open(ctx, in(out, "model.safetensors"), &file));
    assert_true(whet_safetensors_find(file, "model.embed_tokens.weight", &t));
    assert_int_equal(t.shape[0], 8); /* seven tokens, padded */
    static const int rows_a[] = {0, 1, 2, 3, 4, -1, -1}, rows_b[] = {1, 0, 3, -1, -1, 2, 4};
    const float *p = x.items[0].tensor.data, *q = y.items[0].tensor.data, *got = t.data;
    for (int r = 0; r < 7; r++)
        for (int j = 0; j < WIDTH; j++) {
            const float *va = rows_a[r] < 0 ? q + rows_b[r] * WIDTH : p + rows_a[r] * WIDTH;
            const float *vb = rows_b[r] < 0 ? p + rows_a[r] * WIDTH : q + rows_b[r] * WIDTH;
            assert_true(got[r * WIDTH + j] == (float)(0.5 * (double)va[j] + 0.5 * (double)vb[j]));
        }
    for (int j = 0; j < WIDTH; j++) assert_true(got[7 * WIDTH + j] == 0);
    whet_safetensors_close(ctx, file);
    json_t *tokenizer = json_in(ctx, out, "tokenizer.json"),
           *written = json_in(ctx, out, "config.json");
    assert_int_equal(json_array_size(json_object_get(tokenizer, "added_tokens")), 2);
    assert_int_equal(json_integer_value(json_object_get(written, "vocab_size")), 8);
    json_decref(tokenizer);
    json_decref(written);
    drop(ctx, &x);
    drop(ctx, &y);
    free(a);
    free(b);
    free(out);
    free(recipe);
    test_ctx_done(ctx);
}

/* ---- what a plan says ------------------------------------------------------------------------- */

static void plans_tell_memory(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    char *a = write_model(ctx, "pa.safetensors", 1, WHET_BF16);
    char *b = write_model(ctx, "pb.safetensors", 2, WHET_F32),
         *out = test_tmp_kept("plan.safetensors");
    const char *models[] = {b, a}; /* a model that is the base is the base alone */
    whet_merge_job job = job_of("ties", models, 2, a, some, 3, out);
    whet_merge_plan *plan;
    whet_merge_totals totals;
    whet_merge_planned first;
    for (int64_t block = 1; block <= 1 << 24; block <<= 24) {
        size_t before, peak;
        job.block_bytes = block;
        test_ok(ctx, whet_merge_plan_create(ctx, &job, &plan));
        whet_merge_plan_totals(plan, &totals);
        assert_int_equal(totals.tensors, TENSORS);
        assert_int_equal(totals.bytes, 2 * totals.numbers); /* as the base: bf16 */
        whet_merge_plan_get(plan, 0, &first);
        assert_string_equal(first.name, "model.embed_tokens.weight");
        assert_int_equal(first.read_bytes, TOKENS * WIDTH * (4 + 2));
        assert_false(exists(out));
        whet_ctx_memory(ctx, &before, NULL);
        whet_i_memory_mark(ctx);
        test_ok(ctx, whet_merge_plan_run(ctx, plan, NULL));
        whet_ctx_memory(ctx, NULL, &peak);
        /* What the plan promises holds, but for paths, settings and alignment. */
        assert_true((double)peak - (double)before <= (double)totals.memory_bytes + 65536);
        whet_merge_plan_destroy(ctx, plan);
        (void)unlink(out);
    }
    free(a);
    free(b);
    free(out);
    test_ctx_done(ctx);
}

/* One tensor of 31 chunks, so that 8 threads have work for each. */
static char *write_wide(whet_ctx *ctx, const char *name, uint64_t seed) {
    network net = {.n = 0};
    char *path = test_tmp_kept(name);
    test_ok(ctx, make_tensor(ctx, &net, "model.norm.weight", 2, 1000, 1000, seed, WHET_F32));
    test_ok(ctx, whet_safetensors_write(ctx, path, true, net.items, net.n, NULL));
    drop(ctx, &net);
    return path;
}

/* Most bytes that merging takes, of its own; held to what the plan tells, but for paths and settings. */
static double peak_of(const whet_merge_job *job, int32_t threads) {
    whet_ctx *ctx = test_ctx(threads);
    whet_merge_plan *plan;
    whet_merge_totals totals;
    size_t before, peak;
    test_ok(ctx, whet_merge_plan_create(ctx, job, &plan));
    whet_merge_plan_totals(plan, &totals);
    whet_ctx_memory(ctx, &before, NULL);
    whet_i_memory_mark(ctx);
    test_ok(ctx, whet_merge_plan_run(ctx, plan, NULL));
    whet_ctx_memory(ctx, NULL, &peak);
    const double taken = (double)peak - (double)before;
    if (taken > (double)totals.memory_bytes + 65536)
        fail_msg("%s, %d threads: %.0f bytes; the plan has %lld", job->method, (int)threads, taken,
                 (long long)totals.memory_bytes);
    /* What merging is to fit into, whatever the models' size. */
    assert_true(taken <= (double)(totals.models + 1) * (double)totals.block_bytes + 67108864);
    whet_merge_plan_destroy(ctx, plan);
    test_ctx_done(ctx);
    return taken;
}

/* A thread more takes chunks of 32,768 numbers: of every model, of the output, and of what the method works
 * in; of two models and a base no method more than 14, whether tensors are held or read again. */
static void threads_take_chunks(void **state) {
    static const whet_merge_setting weight[] = {{"weight", -1, 0.75}, {"density", -1, 0.5}};
    static const whet_merge_setting t[] = {{"t", -1, 0.3}};
    static const whet_merge_setting columns[] = {
        {"weight", -1, 0.75}, {"nuslerp_flatten", -1, 0}, {"nuslerp_row_wise", -1, 1}};
    static const struct {
        const char *name;
        int models;
        bool base;
        const whet_merge_setting *settings;
        int64_t n;
    } methods[] = {{"linear", 2, false, weight, 1},
                   {"slerp", 2, false, t, 1},
                   {"nuslerp", 2, true, columns, 3},
                   {"karcher", 2, false, NULL, 0},
                   {"task_arithmetic", 2, true, weight, 1},
                   {"ties", 2, true, weight, 2},
                   {"dare_ties", 2, true, weight, 2},
                   {"della", 2, true, weight, 2},
                   {"breadcrumbs", 2, true, weight, 2},
                   {"sce", 2, true, NULL, 0},
                   {"model_stock", 2, true, NULL, 0},
                   {"ram", 2, true, NULL, 0},
                   {"nearswap", 1, true, t, 1},
                   {"arcee_fusion", 1, true, NULL, 0},
                   {"passthrough", 1, false, NULL, 0}};
    whet_ctx *ctx = test_ctx(1);
    char *a = write_wide(ctx, "wa.safetensors", 1), *b = write_wide(ctx, "wb.safetensors", 2);
    char *base = write_wide(ctx, "wbase.safetensors", 3), *out = test_tmp_kept("wide.safetensors");
    const char *models[] = {a, b};
    (void)state;
    for (size_t k = 0; k < sizeof methods / sizeof methods[0]; k++) {
        whet_merge_job job =
            job_of(methods[k].name, models, methods[k].models, methods[k].base ? base : NULL,
                   methods[k].settings, methods[k].n, out);
        for (int64_t block = 1; block <= 1 << 24; block <<= 24) {
            job.block_bytes = block;
            const double few = peak_of(&job, 1), many = peak_of(&job, 8);
            const double chunk = 32768 * 4;
            if (many - few > 7 * 14 * chunk)
                fail_msg("%s: 1 thread %.0f bytes, 8 threads %.0f", methods[k].name, few, many);
            assert_true(many > few); /* or it does not share its work out */
        }
    }
    free(a);
    free(b);
    free(base);
    free(out);
    test_ctx_done(ctx);
}

typedef struct failing {
    const char *recipe, *a, *b, *base, *out;
} failing;

static whet_status merge_by_method(whet_ctx *ctx, void *arg) {
    const failing *f = arg;
    const char *models[] = {f->a, f->b};
    const whet_merge_job job = job_of("ties", models, 2, f->base, some, 3, f->out);
    return run(ctx, &job, NULL);
}

static whet_status merge_by_recipe(whet_ctx *ctx, void *arg) {
    const failing *f = arg;
    whet_merge_job job = WHET_MERGE_JOB_INIT;
    job.recipe = f->recipe;
    job.output = f->out;
    job.force = true;
    return run(ctx, &job, NULL);
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char *a = write_folder(ctx, "xa", 1, config), *b = write_folder(ctx, "xb", 2, config);
    char *out = test_tmp_kept("xout");
    write_text_in(a, "tokenizer.json", "{\"model\":{\"vocab\":{\"a\":0,\"b\":1}}}");
    write_text_in(b, "tokenizer.json", "{\"model\":{\"vocab\":{\"b\":0,\"c\":1}}}");
    char *recipe =
        write_recipe("fail.yml",
                     "models:\n  - model: @\n    parameters: {weight: [1, 0]}\n"
                     "  - model: %\n    parameters: {weight: 1}\n"
                     "merge_method: linear\ntokenizer_source: union\nchat_template: auto\n",
                     a, b);
    write_text_in(b, "tokenizer_config.json", "{\"chat_template\":\"{{ 1 }}\"}");
    failing f = {recipe, a, b, a, out};
    assert_true(test_each_allocation(merge_by_method, &f) > 100);
    assert_true(test_each_allocation(merge_by_recipe, &f) > 100);
    assert_true(exists(in(out, "model.safetensors")));
    assert_false(exists(test_tmp("xout.whet-merge")));
    free(a);
    free(b);
    free(out);
    free(recipe);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_give_what_memory_gives),
        cmocka_unit_test(held_in_16_bits),
        cmocka_unit_test(small_types_in_and_out),
        cmocka_unit_test(folders_in_pieces),
        cmocka_unit_test(slices_are_stacked),
        cmocka_unit_test(gradients_run_over_depth),
        cmocka_unit_test(what_does_not_fit_is_told_at_once),
        cmocka_unit_test(bad_weights_are_named),
        cmocka_unit_test(a_file_cut_short_meanwhile),
        cmocka_unit_test(a_stopped_merge_goes_on),
        cmocka_unit_test(tied_tables_are_found),
        cmocka_unit_test(adapters_are_added),
        cmocka_unit_test(vocabularies_are_united),
        cmocka_unit_test(plans_tell_memory),
        cmocka_unit_test(threads_take_chunks),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("merge files", tests, NULL, NULL);
}
