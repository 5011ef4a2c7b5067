/* SPDX-License-Identifier: Apache-2.0
 * Models aligned as they are merged: B with its units in another order gives, to the byte, what B gives, by
 * every kind of reading (whole rows, parts of rows, rows longer than a chunk, each type), with a base and
 * with importances; and what is refused. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "merge/merge_plan.h"

enum { MOST = 32 };

typedef struct network {
    whet_named_tensor items[MOST];
    char names[MOST][80];
    whet_weights weights;
} network;

/* Shapes of a network; rank 0 ends them. */
typedef struct shape {
    const char *name;
    int32_t rank;
    int64_t of[4];
} shape;

static const shape mlp[] = {{"layer0.weight", 2, {20, 7}},
                            {"layer0.bias", 1, {20}},
                            {"layer1.weight", 2, {24, 20}},
                            {"layer1.bias", 1, {24}},
                            {"layer2.weight", 2, {3, 24}},
                            {"layer2.bias", 1, {3}},
                            {NULL, 0, {0}}};
/* A unit of the first layer has 5,000 columns in the second: rows of 40,000 numbers, more than a chunk. */
static const shape cnn[] = {{"layer0.weight", 4, {8, 2, 3, 3}},
                            {"layer0.bias", 1, {8}},
                            {"layer1.weight", 2, {6, 40000}},
                            {"layer1.bias", 1, {6}},
                            {"layer2.weight", 2, {3, 6}},
                            {"layer2.bias", 1, {3}},
                            {NULL, 0, {0}}};
#define L "model.layers.0."
static const shape llama[] = {{"model.embed_tokens.weight", 2, {11, 16}},
                              {L "input_layernorm.weight", 1, {16}},
                              {L "self_attn.q_proj.weight", 2, {16, 16}},
                              {L "self_attn.k_proj.weight", 2, {8, 16}},
                              {L "self_attn.v_proj.weight", 2, {8, 16}},
                              {L "self_attn.o_proj.weight", 2, {16, 16}},
                              {L "post_attention_layernorm.weight", 1, {16}},
                              {L "mlp.gate_proj.weight", 2, {24, 16}},
                              {L "mlp.up_proj.weight", 2, {24, 16}},
                              {L "mlp.down_proj.weight", 2, {16, 24}},
                              {"model.norm.weight", 1, {16}},
                              {"lm_head.weight", 2, {11, 16}},
                              {NULL, 0, {0}}};

static const struct {
    const char *arch;
    const shape *shapes;
} kinds[] = {{"mlp", mlp}, {"cnn", cnn}, {"llama", llama}};

/* Normal numbers of `seed`, and a tenth of others: networks of one seed are near each other. */
static network make(whet_ctx *ctx, const shape *shapes, uint64_t seed, uint64_t other, bool squared,
                    whet_dtype dtype) {
    network net = {.weights = {NULL, 0}};
    for (; shapes->rank; shapes++) {
        const int64_t i = net.weights.n++;
        whet_i_rng rng, noise;
        whet_tensor exact;
        whet_i_rng_init(&rng, seed, (uint64_t)i);
        whet_i_rng_init(&noise, other, (uint64_t)i);
        test_ok(ctx, whet_tensor_create(ctx, WHET_F32, shapes->rank, shapes->of, &exact));
        float *x = exact.data;
        for (int64_t e = 0; e < whet_tensor_count(&exact); e++) {
            x[e] = (float)(whet_i_rng_normal(&rng) + 0.1 * whet_i_rng_normal(&noise));
            if (squared) x[e] = x[e] * x[e] + 1e-3F;
        }
        (void)snprintf(net.names[i], sizeof net.names[i], "%s", shapes->name);
        test_ok(ctx, whet_tensor_convert(ctx, &exact, dtype, &net.items[i].tensor));
        whet_tensor_destroy(ctx, &exact);
    }
    return net;
}

/* Names and items lie where the network does now. */
static whet_weights weights_of(network *net) {
    for (int64_t i = 0; i < net->weights.n; i++) net->items[i].name = net->names[i];
    return (whet_weights){net->items, net->weights.n};
}

static void drop(whet_ctx *ctx, network *net) {
    for (int64_t i = 0; i < net->weights.n; i++) whet_tensor_destroy(ctx, &net->items[i].tensor);
}

static void write_network(whet_ctx *ctx, const char *path, network *net) {
    const whet_weights w = weights_of(net);
    test_ok(ctx, whet_safetensors_write(ctx, path, true, w.items, w.n, NULL));
}

/* The network in the order of `seed`, written. */
static void write_moved(whet_ctx *ctx, const char *path, const whet_permutation_spec *spec,
                        network *net, uint64_t seed) {
    whet_named_tensor moved[MOST];
    whet_alignment *drawn;
    const whet_weights w = weights_of(net);
    test_ok(ctx, whet_alignment_random(ctx, spec, &w, seed, &drawn));
    test_ok(ctx, whet_alignment_apply(ctx, spec, drawn, &w, moved));
    test_ok(ctx, whet_safetensors_write(ctx, path, true, moved, w.n, NULL));
    for (int64_t i = 0; i < w.n; i++) whet_tensor_destroy(ctx, &moved[i].tensor);
    whet_alignment_destroy(ctx, drawn);
}

static whet_status run(whet_ctx *ctx, const whet_merge_job *job, int64_t *aligned) {
    whet_merge_plan *plan = NULL;
    whet_merge_aligned a;
    whet_status status = whet_merge_plan_create(ctx, job, &plan);
    if (status == WHET_OK) assert_false(whet_merge_plan_aligned(plan, 0, &a));
    if (status == WHET_OK) status = whet_merge_plan_run(ctx, plan, NULL);
    for (*aligned = 0; status == WHET_OK && whet_merge_plan_aligned(plan, *aligned, &a);) {
        assert_true(a.moved > a.units / 2 && a.moved <= a.units);
        assert_true(a.distance < a.distance_before);
        (*aligned)++;
    }
    whet_merge_plan_destroy(ctx, plan);
    return status;
}

/* What is on disk of one test: A, of type `first`, B and C, importances of B and C; and B and C and theirs in
 * other orders. */
typedef struct files {
    char *a, *net[2], *importance[2], *moved[2], *moved_importance[2], *one, *two;
} files;

static files write_all(whet_ctx *ctx, int kind, whet_dtype first, whet_dtype dtype) {
    static const char *const names[] = {"b", "c"};
    const whet_permutation_hints hints = {.heads = 4, .kv_heads = 2};
    files f = {test_tmp_kept("a.safetensors"), .one = test_tmp_kept("one.safetensors"),
               .two = test_tmp_kept("two.safetensors")};
    whet_permutation_spec *spec;
    whet_safetensors *file;
    char name[64];
    network a = make(ctx, kinds[kind].shapes, 1, 2, false, first);
    write_network(ctx, f.a, &a);
    (void)test_write_text("config.json",
                          "{\"num_attention_heads\": 4, \"num_key_value_heads\": 2}");
    test_ok(ctx, whet_safetensors_open(ctx, f.a, &file));
    test_ok(ctx, whet_permutation_spec_for(ctx, kinds[kind].arch, file, &hints, &spec));
    whet_safetensors_close(ctx, file);
    for (int k = 0; k < 2; k++) {
        network b = make(ctx, kinds[kind].shapes, 1, 3 + (uint64_t)k, false, dtype);
        network v = make(ctx, kinds[kind].shapes, 7 + (uint64_t)k, 9, true, dtype);
        char **const paths[] = {&f.net[k], &f.importance[k], &f.moved[k], &f.moved_importance[k]};
        static const char *const ends[] = {"", "_importance", "_moved", "_moved_importance"};
        for (int i = 0; i < 4; i++) {
            (void)snprintf(name, sizeof name, "%s%s.safetensors", names[k], ends[i]);
            *paths[i] = test_tmp_kept(name);
        }
        write_network(ctx, f.net[k], &b);
        write_network(ctx, f.importance[k], &v);
        write_moved(ctx, f.moved[k], spec, &b, 20 + (uint64_t)k);
        write_moved(ctx, f.moved_importance[k], spec, &v, 20 + (uint64_t)k);
        drop(ctx, &b);
        drop(ctx, &v);
    }
    drop(ctx, &a);
    whet_permutation_spec_destroy(ctx, spec);
    return f;
}

static void free_files(files *f) {
    free(f->a);
    free(f->one);
    free(f->two);
    for (int k = 0; k < 2; k++) {
        free(f->net[k]);
        free(f->importance[k]);
        free(f->moved[k]);
        free(f->moved_importance[k]);
    }
}

static whet_merge_job job_of(const char *method, const char *output) {
    whet_merge_job job = WHET_MERGE_JOB_INIT;
    job.method = method;
    job.output = output;
    job.force = true;
    return job;
}

/* A + B by `linear`, A as base of B and C by `ties`, A, B and C by `fisher`, and B with its own. */
static void merge_both(whet_ctx *ctx, int kind, const files *f, int64_t block) {
    static const whet_merge_setting weight[] = {{"weight", -1, 0.5}, {"density", -1, 0.4}};
    const char *plain[] = {f->a, f->net[0], f->net[1]}, *moved[] = {f->a, f->moved[0], f->moved[1]};
    const char *plain_of[] = {f->importance[0], f->importance[0], f->importance[1]};
    const char *moved_of[] = {f->importance[0], f->moved_importance[0], f->moved_importance[1]};
    static const char *const methods[] = {"linear", "ties", "fisher", "slerp"};
    for (int m = 0; m < 4; m++) {
        const bool based = m == 1, two = m == 3;
        static const whet_merge_setting half[] = {{"t", -1, 0.5}};
        whet_merge_job job = job_of(methods[m], f->one);
        int64_t aligned;
        job.models = based ? plain + 1 : plain;
        job.n_models = based || two ? 2 : 3;
        job.base = based ? f->a : NULL;
        job.importance = m == 2 ? plain_of : NULL;
        job.settings = two ? half : weight;
        job.n_settings = m == 2 ? 0 : based ? 2 : 1;
        job.block_bytes = block;
        test_ok(ctx, run(ctx, &job, &aligned));
        assert_int_equal(aligned, 0);
        job.models = based ? moved + 1 : moved;
        job.importance = m == 2 ? moved_of : NULL;
        job.output = f->two;
        job.align = kinds[kind].arch;
        test_ok(ctx, run(ctx, &job, &aligned));
        assert_int_equal(aligned, two ? 1 : 2);
        assert_true(test_files_equal(f->one, f->two));
    }
}

static void orders_do_not_matter(void **state) {
    static const whet_dtype types[][2] = {{WHET_F32, WHET_F32},  {WHET_BF16, WHET_BF16},
                                          {WHET_F16, WHET_F16},  {WHET_F64, WHET_F64},
                                          {WHET_F32, WHET_BF16}, {WHET_F16, WHET_F32}};
    (void)state;
    for (int kind = 0; kind < 3; kind++)
        for (int type = 0; type < 6; type++) {
            whet_ctx *ctx = test_ctx(1 + type % 2);
            files f = write_all(ctx, kind, types[type][0], types[type][1]);
            merge_both(ctx, kind, &f, type < 2 ? 0 : 1);
            free_files(&f);
            test_ctx_done(ctx);
        }
}

static void refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    files f = write_all(ctx, 0, WHET_F32, WHET_F32), other = f;
    const char *models[] = {f.a, f.moved[0]};
    whet_merge_job job = job_of("linear", f.one);
    whet_merge_plan *plan;
    static const whet_merge_setting weight[] = {{"weight", -1, 1}};
    job.models = models;
    job.n_models = 2;
    job.settings = weight;
    job.n_settings = 1;
    job.align = "mpl";
    test_fails(ctx, whet_merge_plan_create(ctx, &job, &plan), WHET_ERR_ARG);
    test_says(ctx, "architecture \"mpl\"; expected auto, mlp");
    job.align = "llama";
    test_fails(ctx, whet_merge_plan_create(ctx, &job, &plan), WHET_ERR_SHAPE);
    test_says(ctx, "\"layer0.weight\" of the first is not in the specification");
    job.align = "auto";
    job.align_restarts = 1001;
    test_fails(ctx, whet_merge_plan_create(ctx, &job, &plan), WHET_ERR_ARG);
    test_says(ctx, "1001 restarts; expected 1 to 1000");
    job.align_restarts = 0;
    job.align = test_tmp("no.json");
    test_fails(ctx, whet_merge_plan_create(ctx, &job, &plan), WHET_ERR_IO);
    job.align = "auto";
    other.net[0] = test_tmp_kept("bad.safetensors");
    models[1] = other.net[0];
    network bad = make(ctx, mlp, 1, 3, false, WHET_F32);
    ((float *)bad.items[2].tensor.data)[5] = NAN;
    write_network(ctx, other.net[0], &bad);
    int64_t aligned;
    test_fails(ctx, run(ctx, &job, &aligned), WHET_ERR_DATA);
    test_says(ctx, "\"layer1.weight\"");
    drop(ctx, &bad);
    free(other.net[0]);
    free_files(&f);
    test_ctx_done(ctx);
}

typedef struct failing {
    files f;
    const char *models[2];
} failing;

static whet_status merge_aligned(whet_ctx *ctx, void *arg) {
    static const whet_merge_setting weight[] = {{"weight", -1, 1}};
    const failing *f = arg;
    whet_merge_job job = job_of("linear", f->f.two);
    int64_t aligned;
    job.models = f->models;
    job.n_models = 2;
    job.settings = weight;
    job.n_settings = 1;
    job.align = "auto";
    return run(ctx, &job, &aligned);
}

static void survives_failed_allocations(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    failing f = {.f = write_all(ctx, 0, WHET_F32, WHET_F32)};
    f.models[0] = f.f.a;
    f.models[1] = f.f.moved[0];
    assert_true(test_each_allocation(merge_aligned, &f) > 100);
    free_files(&f.f);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_do_not_matter),
        cmocka_unit_test(refused),
        cmocka_unit_test(survives_failed_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
