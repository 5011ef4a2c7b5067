/* SPDX-License-Identifier: Apache-2.0
 * See made_llama.h. */
#include "made_llama.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/io_i.h"

/* ---- models ------------------------------------------------------------------------------------ */

typedef struct maker {
    whet_named_tensor items[64];
    char names[64][128];
    int64_t n;
    uint64_t seed;
} maker;

static void add(maker *m, const char *name, int64_t rows, int64_t columns, double mean) {
    whet_named_tensor *t = &m->items[m->n++];
    const int64_t count = rows * columns;
    float *values = malloc(sizeof *values * (size_t)count);
    whet_i_rng rng;
    assert_true(m->n <= WHET_COUNT_OF(m->items));
    whet_i_rng_init(&rng, m->seed, (uint64_t)m->n);
    for (int64_t i = 0; i < count; i++) values[i] = (float)(mean + 0.4 * whet_i_rng_normal(&rng));
    (void)snprintf(m->names[m->n - 1], sizeof m->names[0], "%s", name);
    *t = (whet_named_tensor){m->names[m->n - 1],
                             {.data = values, .dtype = WHET_F32, .rank = rows > 1 ? 2 : 1}};
    t->tensor.shape[0] = rows > 1 ? rows : columns;
    t->tensor.shape[1] = columns;
}

/* Matrices of one row have rank 2 all the same. */
static void add_matrix(maker *m, const char *name, int64_t rows, int64_t columns) {
    add(m, name, rows, columns, 0);
    whet_tensor *t = &m->items[m->n - 1].tensor;
    t->rank = 2;
    t->shape[0] = rows;
    t->shape[1] = columns;
}

static void add_layer(maker *m, const llama_shape *s, int64_t layer) {
    const struct {
        const char *name;
        int64_t rows, columns;
    } parts[] = {{"self_attn.q_proj", s->heads * s->d, s->hidden},
                 {"self_attn.k_proj", s->groups * s->d, s->hidden},
                 {"self_attn.v_proj", s->groups * s->d, s->hidden},
                 {"self_attn.o_proj", s->hidden, s->heads * s->d},
                 {"mlp.gate_proj", s->inner, s->hidden},
                 {"mlp.up_proj", s->inner, s->hidden},
                 {"mlp.down_proj", s->hidden, s->inner},
                 {"input_layernorm", 0, s->hidden},
                 {"post_attention_layernorm", 0, s->hidden}};
    for (int64_t i = 0; i < WHET_COUNT_OF(parts); i++) {
        char name[128];
        (void)snprintf(name, sizeof name, "model.layers.%lld.%s.weight", (long long)layer,
                       parts[i].name);
        if (parts[i].rows)
            add_matrix(m, name, parts[i].rows, parts[i].columns);
        else
            add(m, name, 1, parts[i].columns, 1);
    }
}

const char *make_llama(whet_ctx *ctx, const llama_shape *s, const char *ends, const damage *hurt) {
    static int number;
    static char dir[512];
    char file[64], config[1024];
    maker m = {.seed = 17};
    (void)snprintf(file, sizeof file, "m%d", number++);
    (void)snprintf(dir, sizeof dir, "%s", test_tmp(file));
    assert_int_equal(mkdir(dir, 0700), 0);
    add_matrix(&m, "model.embed_tokens.weight", s->vocab, s->hidden);
    for (int64_t i = 0; i < s->layers; i++) add_layer(&m, s, i);
    add(&m, "model.norm.weight", 1, s->hidden, 1);
    add_matrix(&m, "lm_head.weight", s->vocab, s->hidden);
    for (int64_t i = 0; hurt && i < m.n; i++)
        if (strcmp(m.items[i].name, hurt->name) == 0)
            ((float *)m.items[i].tensor.data)[hurt->at] = hurt->value;
    (void)snprintf(file, sizeof file, "m%d/model.safetensors", number - 1);
    test_ok(ctx, whet_safetensors_write(ctx, test_tmp(file), false, m.items, m.n, NULL));
    (void)snprintf(config, sizeof config,
                   "{\"model_type\":\"llama\",\"num_hidden_layers\":%lld,\"hidden_size\":%lld,"
                   "\"num_attention_heads\":%lld,\"num_key_value_heads\":%lld,\"head_dim\":%lld,"
                   "\"intermediate_size\":%lld,\"vocab_size\":%lld,"
                   "\"max_position_embeddings\":%lld,\"bos_token_id\":0,\"eos_token_id\":%s}",
                   (long long)s->layers, (long long)s->hidden, (long long)s->heads,
                   (long long)s->groups, (long long)s->d, (long long)s->inner, (long long)s->vocab,
                   (long long)s->positions, ends);
    (void)snprintf(file, sizeof file, "m%d/config.json", number - 1);
    (void)test_write_text(file, config);
    for (int64_t i = 0; i < m.n; i++) free(m.items[i].tensor.data);
    return dir;
}

whet_language_model *load_llama(whet_ctx *ctx, const char *dir) {
    whet_language_model *m = NULL;
    test_ok(ctx, whet_i_calloc(ctx, 1, &m));
    test_ok(ctx, whet_i_language_model_weights(ctx, dir, WHET_F32, m));
    return m;
}

/* ---- prompts ----------------------------------------------------------------------------------- */

void make_prompts(whet_token_rows *p, int64_t n, const int64_t *lengths, int64_t n_lengths,
                  int64_t vocab) {
    int64_t total = 0;
    p->n_rows = n;
    p->start = malloc(sizeof *p->start * (size_t)(n + 1));
    p->start[0] = 0;
    for (int64_t i = 0; i < n; i++) p->start[i + 1] = total += lengths[i % n_lengths];
    p->ids = malloc(sizeof *p->ids * (size_t)(total + 1));
    p->types = NULL;
    for (int64_t i = 0; i < total; i++) p->ids[i] = (int32_t)((i * i + 3 * i + 1) % vocab);
}

void free_prompts(whet_token_rows *p) {
    free(p->start);
    free(p->ids);
}

/* ---- the oracle -------------------------------------------------------------------------------- */

void whole_pass(whet_ctx *ctx, const whet_language_model *m, const int32_t *ids, int64_t n,
                float *logits) {
    whet_i_plan *plan;
    whet_i_executor *e;
    int32_t *positions = malloc(sizeof *positions * (size_t)n);
    const int64_t start[] = {0, n};
    const whet_i_plan_opts opts = {.sizes = {.rows = {1, 1, n}, .longest = n, .workers = 1},
                                   .loss = WHET_I_NONE,
                                   .keep = &m->logits,
                                   .n_keep = 1};
    for (int64_t i = 0; i < n; i++) positions[i] = (int32_t)i;
    const whet_i_batch batch = {
        .rows = {1, 1, n}, .start = start, .feeds = {ids, positions}, .loss_scale = 1};
    test_ok(ctx, whet_i_plan_create(ctx, m->graph, &opts, &plan));
    test_ok(ctx, whet_i_params_pack(ctx, m->params));
    test_ok(ctx, whet_i_executor_create(ctx, plan, &e));
    whet_i_executor_run(e, &batch);
    memcpy(logits, whet_i_executor_value(e, m->logits), (size_t)m->config.vocab * sizeof *logits);
    whet_i_executor_destroy(ctx, e);
    whet_i_plan_destroy(ctx, plan);
    free(positions);
}
