/* SPDX-License-Identifier: Apache-2.0
 * The weights of a pretrained encoder: found by name in model.safetensors, checked against
 * config.json, packed for the kernels. Word vectors stay in the mapped file: a text needs few.
 * Legend: n outputs and k inputs of a linear layer. */
#include <stdio.h>

#include "nn/nn_i.h"

static const char file_name[] = "model.safetensors";

/* What loading passes around. */
typedef struct loader {
    whet_ctx *ctx;
    whet_encoder *e;
    bool prefixed; /* names in the file start with the family's prefix */
    float *space;  /* a matrix as f32 before it is packed */
    int64_t space_count;
    uint64_t hash[4]; /* of all weights read, see hash_bytes */
} loader;

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

static void finish_fingerprint(loader *l) {
    const whet_i_encoder_config *c = &l->e->config;
    const int64_t settings[] = {c->hidden,   c->layers,  c->heads,     c->inner,
                                c->act,      c->pooling, c->normalize, c->max_length,
                                l->e->dtype, c->vocab,   c->positions};
    hash_bytes(l->hash, settings, sizeof settings);
    hash_bytes(l->hash, &c->epsilon, sizeof c->epsilon);
    hash_bytes(l->hash, c->family->model_type, strlen(c->family->model_type));
    uint64_t all = 0;
    for (int i = 0; i < 4; i++) all = whet_i_hash_u64(all ^ l->hash[i]);
    (void)snprintf(l->e->fingerprint, sizeof l->e->fingerprint, "%016llx", (unsigned long long)all);
}

/* ---- one tensor ------------------------------------------------------------------------------- */

enum { NAME_SIZE = 200 };

/* "[768, 3072]" */
static const char *shape_text(char out[64], int32_t rank, const int64_t *shape) {
    size_t at = 0;
    out[at++] = '[';
    for (int32_t i = 0; i < rank && at < 48; i++)
        at += (size_t)snprintf(out + at, 64 - at, "%s%lld", i ? ", " : "", (long long)shape[i]);
    (void)snprintf(out + at, 64 - at, "]");
    return out;
}

static whet_status find(loader *l, const char *name, int32_t rank, const int64_t *shape,
                        whet_tensor *out) {
    char full[NAME_SIZE + 32], found[64], expected[64];
    (void)snprintf(full, sizeof full, "%s%s", l->prefixed ? l->e->config.family->prefix : "", name);
    whet_tensor t = {0};
    if (!whet_safetensors_find(l->e->file, full, &t))
        return whet_i_fail(l->ctx, WHET_ERR_FORMAT,
                           "%s: tensor \"%s\" is missing; expected it for model type \"%s\"",
                           file_name, full, l->e->config.family->model_type);
    bool same = t.rank == rank;
    for (int32_t i = 0; same && i < rank; i++) same = t.shape[i] == shape[i];
    if (!same)
        return whet_i_fail(l->ctx, WHET_ERR_SHAPE,
                           "%s: tensor \"%s\" is %s; expected %s by config.json", file_name, full,
                           shape_text(found, t.rank, t.shape), shape_text(expected, rank, shape));
    if (t.dtype != WHET_F32 && t.dtype != WHET_F16 && t.dtype != WHET_BF16)
        return whet_i_fail(l->ctx, WHET_ERR_UNSUPPORTED,
                           "%s: tensor \"%s\" is %s; expected f32, f16 or bf16", file_name, full,
                           whet_dtype_name(t.dtype));
    hash_bytes(l->hash, t.data, (size_t)whet_tensor_count(&t) * whet_dtype_size(t.dtype));
    *out = t;
    return WHET_OK;
}

/* n numbers of a tensor from number `first`, as f32. The file's bytes may be unaligned for their
 * type: 16-bit ones pass through a small aligned piece. */
static void widen(const whet_kernels *kernels, const whet_tensor *t, int64_t first, int64_t n,
                  float *out) {
    const char *at = (const char *)t->data + (size_t)first * whet_dtype_size(t->dtype);
    if (t->dtype == WHET_F32) {
        memcpy(out, at, (size_t)n * sizeof *out);
        return;
    }
    uint16_t piece[512];
    for (int64_t i = 0; i < n; i += WHET_COUNT_OF(piece)) {
        const int64_t len = n - i < WHET_COUNT_OF(piece) ? n - i : WHET_COUNT_OF(piece);
        memcpy(piece, at + (size_t)i * sizeof *piece, (size_t)len * sizeof *piece);
        (t->dtype == WHET_F16 ? kernels->f32_from_f16 : kernels->f32_from_bf16)(len, piece,
                                                                                out + i);
    }
}

void whet_i_encoder_word(const whet_encoder *e, int32_t id, float *out) {
    widen(e->kernels, &e->word, id * e->config.hidden, e->config.hidden, out);
}

/* A vector [n], or a matrix [rows, n], as f32 in memory of its own. */
static whet_status load_f32(loader *l, const char *name, int32_t rank, int64_t rows, int64_t n,
                            float **out) {
    whet_tensor t;
    float *values;
    const int64_t shape[] = {rows, n};
    WHET_TRY(find(l, name, rank, rank == 2 ? shape : shape + 1, &t));
    WHET_TRY(
        whet_i_arena_alloc(l->ctx, &l->e->arena, whet_tensor_count(&t), sizeof *values, &values));
    widen(l->e->kernels, &t, 0, whet_tensor_count(&t), values);
    *out = values;
    return WHET_OK;
}

static whet_status load_norm(loader *l, const char *name, whet_i_norm_weights *out) {
    char full[NAME_SIZE];
    float *gamma, *beta;
    (void)snprintf(full, sizeof full, "%s.weight", name);
    WHET_TRY(load_f32(l, full, 1, 1, l->e->config.hidden, &gamma));
    (void)snprintf(full, sizeof full, "%s.bias", name);
    WHET_TRY(load_f32(l, full, 1, 1, l->e->config.hidden, &beta));
    *out = (whet_i_norm_weights){gamma, beta};
    return WHET_OK;
}

/* ---- linear layers ---------------------------------------------------------------------------- */

/* Packing in parallel over panels. */
typedef struct packing {
    const whet_kernels *kernels;
    bool half;
    int64_t n, k;
    const float *from;
    void *to;
} packing;

static void pack_panel(void *arg, int64_t i, int32_t worker) {
    (void)worker;
    const packing *p = arg;
    const int64_t first = i * WHET_I_PANEL;
    const int64_t n = p->n - first < WHET_I_PANEL ? p->n - first : WHET_I_PANEL;
    const float *from = p->from + first * p->k;
    if (p->half)
        p->kernels->pack_bf16(n, p->k, from, p->k, 1,
                              (uint16_t *)p->to + whet_i_packed_count(first, p->k));
    else
        p->kernels->pack_f32(n, p->k, from, p->k, 1,
                             (float *)p->to + whet_i_packed_count(first, p->k));
}

/* Layers `names` of n outputs each, one below the other, as one layer. */
static whet_status load_linear(loader *l, const char *layer, const char *const *names, int count,
                               int64_t n, int64_t k, whet_i_linear_weights *out) {
    char full[NAME_SIZE];
    const whet_encoder *e = l->e;
    const bool half = e->dtype == WHET_BF16;
    void *packed;
    float *bias;
    whet_tensor weights[3], biases[3];
    /* All shapes are proved by the file before anything is allocated by them. */
    for (int i = 0; i < count; i++) {
        (void)snprintf(full, sizeof full, "%s.%s.weight", layer, names[i]);
        WHET_TRY(find(l, full, 2, (int64_t[]){n, k}, &weights[i]));
        (void)snprintf(full, sizeof full, "%s.%s.bias", layer, names[i]);
        WHET_TRY(find(l, full, 1, (int64_t[]){n}, &biases[i]));
    }
    if (l->space_count < count * n * k) {
        whet_i_free(l->ctx, l->space);
        l->space = NULL;
        WHET_TRY(whet_i_alloc(l->ctx, count * n * k, &l->space));
        l->space_count = count * n * k;
    }
    WHET_TRY(whet_i_arena_alloc(l->ctx, &l->e->arena, count * n, sizeof *bias, &bias));
    WHET_TRY(whet_i_arena_alloc(l->ctx, &l->e->arena, whet_i_packed_count(count * n, k),
                                half ? sizeof(uint16_t) : sizeof(float), &packed));
    for (int i = 0; i < count; i++) {
        widen(e->kernels, &weights[i], 0, n * k, l->space + i * n * k);
        widen(e->kernels, &biases[i], 0, n, bias + i * n);
    }
    packing p = {e->kernels, half, count * n, k, l->space, packed};
    WHET_TRY(whet_i_parallel_for(l->ctx, NULL, (count * n + WHET_I_PANEL - 1) / WHET_I_PANEL,
                                 pack_panel, &p));
    *out = (whet_i_linear_weights){packed, bias, count * n, k};
    return WHET_OK;
}

static whet_status load_layer(loader *l, int64_t index, whet_i_layer_weights *out) {
    const whet_i_encoder_config *c = &l->e->config;
    const whet_i_family *f = c->family;
    const char *const qkv[] = {f->query, f->key, f->value};
    char layer[NAME_SIZE / 2], norm[NAME_SIZE];
    (void)snprintf(layer, sizeof layer, "%s.%lld", f->layer, (long long)index);
    WHET_TRY(load_linear(l, layer, qkv, 3, c->hidden, c->hidden, &out->qkv));
    WHET_TRY(load_linear(l, layer, &f->mixed, 1, c->hidden, c->hidden, &out->mixed));
    WHET_TRY(load_linear(l, layer, &f->up, 1, c->inner, c->hidden, &out->up));
    WHET_TRY(load_linear(l, layer, &f->down, 1, c->hidden, c->inner, &out->down));
    (void)snprintf(norm, sizeof norm, "%s.%s", layer, f->mixed_norm);
    WHET_TRY(load_norm(l, norm, &out->mixed_norm));
    (void)snprintf(norm, sizeof norm, "%s.%s", layer, f->down_norm);
    return load_norm(l, norm, &out->down_norm);
}

/* ---- the whole -------------------------------------------------------------------------------- */

/* Positions with the first segment's vector added: every token of a single text is in it. */
static whet_status load_positions(loader *l) {
    const whet_i_encoder_config *c = &l->e->config;
    char full[NAME_SIZE];
    float *position, *type;
    (void)snprintf(full, sizeof full, "%s.weight", c->family->position);
    WHET_TRY(load_f32(l, full, 2, c->positions, c->hidden, &position));
    l->e->position = position;
    if (!c->family->type) return WHET_OK;
    (void)snprintf(full, sizeof full, "%s.weight", c->family->type);
    WHET_TRY(load_f32(l, full, 2, c->types, c->hidden, &type));
    for (int64_t i = 0; i < c->positions; i++)
        l->e->kernels->add(c->hidden, type, position + i * c->hidden);
    return WHET_OK;
}

static whet_status load_all(loader *l) {
    whet_encoder *e = l->e;
    const whet_i_encoder_config *c = &e->config;
    char word[NAME_SIZE], full[NAME_SIZE + 32];
    (void)snprintf(word, sizeof word, "%s.weight", c->family->word);
    (void)snprintf(full, sizeof full, "%s%s", c->family->prefix, word);
    l->prefixed = whet_safetensors_find(e->file, full, &e->word);
    WHET_TRY(find(l, word, 2, (int64_t[]){c->vocab, c->hidden}, &e->word));
    WHET_TRY(load_positions(l));
    WHET_TRY(load_norm(l, c->family->norm, &e->norm));
    WHET_TRY(whet_i_arena_alloc(l->ctx, &e->arena, c->layers, sizeof *e->layers, &e->layers));
    for (int64_t i = 0; i < c->layers; i++) WHET_TRY(load_layer(l, i, &e->layers[i]));
    finish_fingerprint(l);
    return WHET_OK;
}

whet_status whet_i_encoder_weights_load(whet_ctx *ctx, const char *dir, whet_encoder *encoder) {
    loader l = {.ctx = ctx, .e = encoder, .hash = {1, 2, 3, 4}};
    char *path = NULL;
    WHET_TRY(whet_i_path_join(ctx, dir, file_name, &path));
    whet_status status = whet_safetensors_open(ctx, path, &encoder->file);
    whet_i_free(ctx, path);
    if (status != WHET_OK) return status;
    status = load_all(&l);
    whet_i_free(ctx, l.space);
    return status;
}
