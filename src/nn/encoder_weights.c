/* SPDX-License-Identifier: Apache-2.0
 * The weights of a pretrained encoder: tensors of the folder's files, checked against what
 * config.json says, packed for the kernels; and their fingerprint. Word vectors stay in the mapped
 * files: a text needs few. */
#include <stdio.h>

#include "nn/nn_i.h"
#include "nn/ops_i.h"

/* ---- fingerprint ------------------------------------------------------------------------------ */

/* Four lanes of multiply and rotate, so that 100 MB take some 10 ms; order and length count. */
static void hash_bytes(uint64_t hash[4], const void *bytes, size_t len) {
    const char *at = bytes;
    uint64_t words[4];
    for (; len >= sizeof words; at += sizeof words, len -= sizeof words) {
        memcpy(words, at, sizeof words);
        for (int i = 0; i < 4; i++) {
            hash[i] = (hash[i] ^ words[i]) * 0x9e3779b97f4a7c15U;
            hash[i] = hash[i] << 29 | hash[i] >> 35;
        }
    }
    memset(words, 0, sizeof words);
    if (len) memcpy(words, at, len);
    hash[0] = whet_i_hash_u64(hash[0] ^ whet_i_hash_u64(len));
    for (int i = 0; i < 4; i++) hash[i] = whet_i_hash_u64(hash[i] ^ words[i]);
}

static void make_fingerprint(whet_encoder *e) {
    const whet_i_encoder_config *c = &e->config;
    const int64_t settings[] = {c->hidden, c->layers,  c->heads,     c->inner,
                                c->act,    c->pooling, c->normalize, c->max_length,
                                e->dtype,  c->vocab,   c->positions};
    uint64_t hash[4] = {1, 2, 3, 4}, all = 0;
    for (int64_t i = 0; i < e->params->n; i++) {
        const whet_tensor *t = &e->params->items[i].source;
        if (!t->data) continue; /* the hook's */
        hash_bytes(hash, t->data, (size_t)whet_tensor_count(t) * whet_dtype_size(t->dtype));
    }
    hash_bytes(hash, settings, sizeof settings);
    hash_bytes(hash, &c->epsilon, sizeof c->epsilon);
    hash_bytes(hash, c->family->model_type, strlen(c->family->model_type));
    if (e->hook.hash) hash_bytes(hash, &e->hook.hash, sizeof e->hook.hash);
    for (int i = 0; i < 4; i++) all = whet_i_hash_u64(all ^ hash[i]);
    (void)snprintf(e->fingerprint, sizeof e->fingerprint, "%016llx", (unsigned long long)all);
}

/* ---- loading ---------------------------------------------------------------------------------- */

/* A plan for one token asks for the packed forms that every later plan reads. */
static whet_status pack(whet_ctx *ctx, whet_encoder *e) {
    whet_i_plan *plan;
    const whet_i_plan_opts opts = {
        .sizes = {.rows = {1, 1, 1}, .longest = 1, .workers = 1},
        .loss = WHET_I_NONE,
        .keep = &e->embedding,
        .n_keep = 1,
    };
    WHET_TRY(whet_i_plan_create(ctx, e->graph, &opts, &plan));
    whet_i_plan_destroy(ctx, plan);
    return whet_i_params_pack(ctx, e->params);
}

whet_status whet_i_encoder_weights_load(whet_ctx *ctx, const char *dir, whet_encoder *e) {
    whet_i_value hidden;
    WHET_TRY(whet_i_weight_files_open(ctx, dir, &e->files));
    WHET_TRY(whet_i_params_create(ctx, e->dtype, &e->params));
    WHET_TRY(whet_i_graph_create(ctx, e->params, &e->graph));
    const whet_i_selection selection = whet_i_encoder_selection(&e->config, WHET_I_HEAD_POOLED);
    e->graph->adapters = e->hook.adapters;
    WHET_TRY(whet_i_encoder_record(ctx, e->graph, &e->config, "", false, selection, &hidden));
    WHET_TRY(whet_i_encoder_pool(ctx, e->graph, &e->config, hidden, &e->embedding));
    for (int64_t i = 0; i < e->params->n; i++) e->params->items[i].init = WHET_I_INIT_REQUIRED;
    WHET_TRY(whet_i_load_at(ctx, &e->hook, WHET_I_LOAD_RECORDED, e->params));
    WHET_TRY(whet_i_weight_files_bind(ctx, &e->files, e->params, e->config.family->prefix));
    WHET_TRY(whet_i_load_at(ctx, &e->hook, WHET_I_LOAD_BOUND, e->params));
    WHET_TRY(whet_i_params_settle(ctx, e->params, 0));
    WHET_TRY(whet_i_load_at(ctx, &e->hook, WHET_I_LOAD_SETTLED, e->params));
    make_fingerprint(e);
    WHET_TRY(pack(ctx, e));
    whet_i_weight_files_forget(&e->files); /* what is still read, rows of tables, comes back */
    return WHET_OK;
}
