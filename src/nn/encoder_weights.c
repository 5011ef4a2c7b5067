/* SPDX-License-Identifier: Apache-2.0
 * The weights of a pretrained encoder: tensors of model.safetensors, checked against what
 * config.json says, packed for the kernels; and their fingerprint. Word vectors stay in the mapped
 * file: a text needs few. */
#include <stdio.h>
#include <unistd.h>

#include "io/io_i.h"
#include "nn/nn_i.h"
#include "nn/ops_i.h"

static const char file_name[] = "model.safetensors";

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

/* Where the one file is not there: what the folder has instead. */
static const char *advice(const char *dir) {
    static const struct {
        const char *name, *advice;
    } others[] = {
        {"model.safetensors.index.json",
         "; the folder has several files of weights; try one: whet merge --method passthrough"},
        {"pytorch_model.bin",
         "; the folder has pickled weights; try save_pretrained of transformers"}};
    char path[4096];
    for (int64_t i = 0; i < WHET_COUNT_OF(others); i++) {
        const int n = snprintf(path, sizeof path, "%s/%s", dir, others[i].name);
        if (n > 0 && (size_t)n < sizeof path && access(path, F_OK) == 0) return others[i].advice;
    }
    return "";
}

static whet_status open_file(whet_ctx *ctx, const char *dir, whet_encoder *e) {
    char *path = NULL;
    WHET_TRY(whet_i_join_path(ctx, dir, file_name, &path));
    whet_status status = whet_safetensors_open(ctx, path, &e->file);
    const char *more = status == WHET_ERR_IO && access(path, F_OK) != 0 ? advice(dir) : "";
    if (*more)
        status = whet_i_fail(ctx, WHET_ERR_IO, "%s: No such file; expected it%s", path, more);
    whet_i_free(ctx, path);
    return status;
}

whet_status whet_i_encoder_weights_load(whet_ctx *ctx, const char *dir, whet_encoder *e) {
    whet_i_value hidden;
    WHET_TRY(open_file(ctx, dir, e));
    WHET_TRY(whet_i_params_create(ctx, e->dtype, &e->params));
    WHET_TRY(whet_i_graph_create(ctx, e->params, &e->graph));
    const whet_i_selection selection = whet_i_encoder_selection(&e->config, WHET_I_HEAD_POOLED);
    e->graph->adapters = e->hook.adapters;
    WHET_TRY(whet_i_encoder_record(ctx, e->graph, &e->config, "", false, selection, &hidden));
    WHET_TRY(whet_i_encoder_pool(ctx, e->graph, &e->config, hidden, &e->embedding));
    for (int64_t i = 0; i < e->params->n; i++) e->params->items[i].init = WHET_I_INIT_REQUIRED;
    WHET_TRY(whet_i_load_at(ctx, &e->hook, WHET_I_LOAD_RECORDED, e->params));
    WHET_TRY(
        whet_i_params_bind(ctx, e->params, e->file, file_name, e->config.family->prefix, NULL));
    whet_i_warn_of_unread(ctx, e->file, file_name, e->params);
    WHET_TRY(whet_i_load_at(ctx, &e->hook, WHET_I_LOAD_BOUND, e->params));
    WHET_TRY(whet_i_params_settle(ctx, e->params, 0));
    WHET_TRY(whet_i_load_at(ctx, &e->hook, WHET_I_LOAD_SETTLED, e->params));
    make_fingerprint(e);
    WHET_TRY(pack(ctx, e));
    whet_i_safetensors_forget(e->file); /* what is still read of it, rows of tables, comes back */
    return WHET_OK;
}
