/* SPDX-License-Identifier: Apache-2.0
 * Transformers of Hugging Face: one group for the residual stream, one for the inner units of each
 * layer's feed-forward part, one attention a layer. Rotary embeddings number what is inside a head of queries
 * and keys: there nothing moves. Where query heads share keys and values they move with them. */
#include <inttypes.h>
#include <stdio.h>

#include "merge/align_i.h"
#include "nn/nn_i.h"

enum { NAME_SIZE = 192, LAYERS_MOST = 2000 };

static const whet_i_piece NONE = {-1, 0, 0, 0};

typedef struct maker {
    whet_ctx *ctx;
    const whet_safetensors *file;
    whet_permutation_spec *spec;
    const char *arch, *prefix;
    whet_permutation_hints hints;
    whet_i_piece stream;
} maker;

static whet_i_piece part(int32_t group, int32_t which) {
    return (whet_i_piece){group, which, 0, 0};
}

static bool find(const maker *m, const char *name, whet_tensor *out) {
    return whet_safetensors_find(m->file, name, out);
}

/* <prefix><module>.weight, and .bias where there is one. */
static whet_status put(const maker *m, const char *prefix, const char *module, whet_i_piece rows,
                       whet_i_piece columns) {
    char name[NAME_SIZE];
    whet_tensor t;
    (void)snprintf(name, sizeof name, "%s%s.weight", prefix, module);
    WHET_TRY(whet_i_spec_put(m->ctx, m->spec, name, find(m, name, &t) ? t.rank : 2, rows, columns));
    (void)snprintf(name, sizeof name, "%s%s.bias", prefix, module);
    return find(m, name, &t) ? whet_i_spec_put(m->ctx, m->spec, name, 1, rows, NONE) : WHET_OK;
}

static whet_status put_if(const maker *m, const char *prefix, const char *module, whet_i_piece rows,
                          whet_i_piece columns) {
    char name[NAME_SIZE];
    whet_tensor t;
    (void)snprintf(name, sizeof name, "%s%s.weight", prefix, module);
    return find(m, name, &t) ? put(m, prefix, module, rows, columns) : WHET_OK;
}

static whet_status group(const maker *m, const char *name, bool output, whet_i_piece *out) {
    const whet_i_group g = {.name = name, .output = output};
    int32_t id;
    WHET_TRY(whet_i_spec_group(m->ctx, m->spec, &g, &id));
    *out = part(id, WHET_I_UNITS);
    return WHET_OK;
}

/* The heads of layer i, whose queries are in the tensor `query`. */
static whet_status attention(const maker *m, int64_t i, const char *query, bool free_keys,
                             int32_t *out) {
    char name[NAME_SIZE];
    whet_tensor t;
    whet_i_group g = {.name = name,
                      .attention = true,
                      .heads = m->hints.heads,
                      .kv = m->hints.kv_heads ? m->hints.kv_heads : m->hints.heads,
                      .size = m->hints.head_size,
                      .free_keys = free_keys};
    if (g.heads < 1)
        return whet_i_fail(m->ctx, WHET_ERR_ARG,
                           "%s: the number of attention heads is not known; expected config.json "
                           "beside the weights, or --heads",
                           m->arch);
    if (!find(m, query, &t) || t.rank < 1 ||
        (g.size ? t.shape[0] != g.size * g.heads : t.shape[0] % g.heads != 0))
        return whet_i_fail(m->ctx, WHET_ERR_FORMAT,
                           "%s: %s has %" PRId64 " rows; expected a multiple of %" PRId64 " heads",
                           m->arch, query, find(m, query, &t) ? t.shape[0] : 0, g.heads);
    if (g.size == 0) g.size = t.shape[0] / g.heads;
    (void)snprintf(name, sizeof name, "heads.%" PRId64, i);
    return whet_i_spec_group(m->ctx, m->spec, &g, out);
}

/* A norm of each head by itself, one number a dimension, is alike in all of them; one of all heads is not. */
static bool is_left(const maker *m, const char *end, const whet_tensor *t) {
    int64_t size = 0;
    if (!strstr(end, "_norm.weight")) return true;
    for (int64_t g = 0; g < m->spec->n_groups; g++)
        if (m->spec->groups[g].attention) size = m->spec->groups[g].size;
    return t->rank == 1 && t->shape[0] == size;
}

/* Tensors that the specification does not have yet are left where they are (position ids, ...). */
static whet_status leave_others(const maker *m, const char *const *ends) {
    char name[NAME_SIZE];
    for (int64_t i = 0; i < whet_safetensors_count(m->file); i++) {
        const whet_str given = whet_safetensors_name(m->file, i);
        whet_tensor t;
        if (whet_names_find(m->spec->names, given) >= 0 || given.len >= NAME_SIZE) continue;
        (void)snprintf(name, sizeof name, "%.*s", (int)given.len, given.ptr);
        for (int e = 0; ends[e]; e++) {
            const size_t at = strlen(name), n = strlen(ends[e]);
            if (at < n || strcmp(name + at - n, ends[e]) != 0 || !find(m, name, &t)) continue;
            if (!is_left(m, ends[e], &t)) continue;
            const whet_i_spec_tensor left = {.name = name, .rank = t.rank, .unmatched = true};
            WHET_TRY(whet_i_spec_tensor_add(m->ctx, m->spec, &left));
            break;
        }
    }
    return WHET_OK;
}

/* ---- BERT and its relatives --------------------------------------------------------------------- */

static const char *const BERTS[] = {"bert", "roberta", "distilbert"};

/* The family whose first query is in the file, and what stands before its names. */
static const whet_i_family *family_in(const whet_safetensors *file, const char *arch,
                                      const char **prefix) {
    for (size_t i = 0; i < sizeof BERTS / sizeof BERTS[0]; i++) {
        const whet_i_family *f = whet_i_family_find(whet_str_from(BERTS[i]));
        if (arch && strcmp(arch, BERTS[i]) != 0) continue;
        for (int with = 0; with < 2; with++) {
            char name[NAME_SIZE];
            whet_tensor t;
            *prefix = with ? f->prefix : "";
            (void)snprintf(name, sizeof name, "%s%s.0.%s.weight", *prefix, f->layer, f->query);
            if (whet_safetensors_find(file, name, &t)) return f;
        }
    }
    return NULL;
}

bool whet_i_spec_fits_bert(const whet_safetensors *file) {
    const char *prefix;
    return family_in(file, NULL, &prefix) != NULL;
}

static whet_status bert_layer(const maker *m, const whet_i_family *f, int64_t i) {
    char at[NAME_SIZE - 64], name[NAME_SIZE];
    whet_i_piece inner;
    int32_t heads;
    (void)snprintf(at, sizeof at, "%s%s.%" PRId64 ".", m->prefix, f->layer, i);
    (void)snprintf(name, sizeof name, "%s%s.weight", at, f->query);
    WHET_TRY(attention(m, i, name, true, &heads));
    WHET_TRY(put(m, at, f->query, part(heads, WHET_I_QUERY), m->stream));
    WHET_TRY(put(m, at, f->key, part(heads, WHET_I_KEY), m->stream));
    WHET_TRY(put(m, at, f->value, part(heads, WHET_I_VALUE), m->stream));
    (void)snprintf(name, sizeof name, "inner.%" PRId64, i);
    WHET_TRY(group(m, name, false, &inner));
    (void)snprintf(name, sizeof name, "%s%s.weight", at, f->mixed);
    WHET_TRY(put(m, at, f->mixed, m->stream, part(heads, WHET_I_MIXED)));
    WHET_TRY(put(m, at, f->mixed_norm, m->stream, NONE));
    WHET_TRY(put(m, at, f->up, inner, m->stream));
    WHET_TRY(put(m, at, f->down, m->stream, inner));
    return put(m, at, f->down_norm, m->stream, NONE);
}

/* Without them hidden states, and what the pooler gives, are what the network is there for. */
static bool has_classes(const maker *m, const whet_i_family *f) {
    char name[NAME_SIZE];
    whet_tensor t;
    (void)snprintf(name, sizeof name, "%s.weight", f->head_out);
    return find(m, name, &t);
}

/* [dense, activation,] the classes. */
static whet_status bert_head(const maker *m, const whet_i_family *f) {
    const char *dense = f->pooler ? f->pooler : f->head_dense;
    const char *prefix = f->pooler ? m->prefix : "";
    char name[NAME_SIZE];
    whet_tensor t;
    whet_i_piece units = m->stream;
    (void)snprintf(name, sizeof name, "%s%s.weight", prefix, dense);
    if (find(m, name, &t)) {
        WHET_TRY(group(m, "pooler", !has_classes(m, f), &units));
        WHET_TRY(put(m, prefix, dense, units, m->stream));
    }
    return put_if(m, "", f->head_out, NONE, units);
}

whet_status whet_i_spec_bert(whet_ctx *ctx, const char *arch, const whet_safetensors *file,
                             const whet_permutation_hints *hints, whet_permutation_spec *spec) {
    static const char *const left[] = {"position_ids", NULL};
    maker m = {.ctx = ctx, .file = file, .spec = spec, .arch = arch, .hints = *hints};
    const whet_i_family *f = family_in(file, arch, &m.prefix);
    whet_tensor t;
    if (!f) f = family_in(file, NULL, &m.prefix); /* "bert" when the names are another's */
    if (!f)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: no query of a first layer; expected the names of Hugging Face",
                           arch);
    WHET_TRY(group(&m, "stream", !has_classes(&m, f), &m.stream));
    WHET_TRY(put(&m, m.prefix, f->word, NONE, m.stream));
    WHET_TRY(put(&m, m.prefix, f->position, NONE, m.stream));
    if (f->type) WHET_TRY(put_if(&m, m.prefix, f->type, NONE, m.stream));
    WHET_TRY(put(&m, m.prefix, f->norm, m.stream, NONE));
    for (int64_t i = 0; i < LAYERS_MOST; i++) {
        char name[NAME_SIZE];
        (void)snprintf(name, sizeof name, "%s%s.%" PRId64 ".%s.weight", m.prefix, f->layer, i,
                       f->query);
        if (!find(&m, name, &t)) break;
        WHET_TRY(bert_layer(&m, f, i));
    }
    WHET_TRY(bert_head(&m, f));
    return leave_others(&m, left);
}

/* ---- Llama -------------------------------------------------------------------------------------- */

/* What stands before the names of layers: without a head for tokens or classes there may be nothing. */
static const char *llama_prefix(const whet_safetensors *file) {
    whet_tensor t;
    if (whet_safetensors_find(file, "model.layers.0.self_attn.q_proj.weight", &t)) return "model.";
    return whet_safetensors_find(file, "layers.0.self_attn.q_proj.weight", &t) ? "" : NULL;
}

bool whet_i_spec_fits_llama(const whet_safetensors *file) { return llama_prefix(file) != NULL; }

static whet_status llama_layer(const maker *m, int64_t i) {
    char at[64], name[NAME_SIZE];
    whet_i_piece inner;
    int32_t heads;
    (void)snprintf(at, sizeof at, "%slayers.%" PRId64 ".", m->prefix, i);
    (void)snprintf(name, sizeof name, "%sself_attn.q_proj.weight", at);
    WHET_TRY(attention(m, i, name, false, &heads));
    WHET_TRY(put(m, at, "input_layernorm", m->stream, NONE));
    WHET_TRY(put(m, at, "self_attn.q_proj", part(heads, WHET_I_QUERY), m->stream));
    WHET_TRY(put(m, at, "self_attn.k_proj", part(heads, WHET_I_KEY), m->stream));
    WHET_TRY(put(m, at, "self_attn.v_proj", part(heads, WHET_I_VALUE), m->stream));
    WHET_TRY(put(m, at, "self_attn.o_proj", m->stream, part(heads, WHET_I_MIXED)));
    WHET_TRY(put(m, at, "post_attention_layernorm", m->stream, NONE));
    (void)snprintf(name, sizeof name, "inner.%" PRId64, i);
    WHET_TRY(group(m, name, false, &inner));
    WHET_TRY(put(m, at, "mlp.gate_proj", inner, m->stream));
    WHET_TRY(put(m, at, "mlp.up_proj", inner, m->stream));
    return put(m, at, "mlp.down_proj", m->stream, inner);
}

whet_status whet_i_spec_llama(whet_ctx *ctx, const char *arch, const whet_safetensors *file,
                              const whet_permutation_hints *hints, whet_permutation_spec *spec) {
    /* One number a dimension of a head, alike in all heads, where nothing moves inside. */
    static const char *const left[] = {"rotary_emb.inv_freq", "self_attn.q_norm.weight",
                                       "self_attn.k_norm.weight", NULL};
    maker m = {.ctx = ctx, .file = file, .spec = spec, .arch = arch, .hints = *hints};
    const char *prefix = llama_prefix(file);
    whet_tensor t;
    m.prefix = prefix ? prefix : "model.";
    /* With the prefix and without a head it is tied to the table of words. */
    const bool alone =
        !*m.prefix && !find(&m, "lm_head.weight", &t) && !find(&m, "score.weight", &t);
    WHET_TRY(group(&m, "stream", alone, &m.stream));
    WHET_TRY(put(&m, m.prefix, "embed_tokens", NONE, m.stream));
    for (int64_t i = 0; i < LAYERS_MOST; i++) {
        char name[NAME_SIZE];
        (void)snprintf(name, sizeof name, "%slayers.%" PRId64 ".self_attn.q_proj.weight", m.prefix,
                       i);
        if (!find(&m, name, &t)) break;
        WHET_TRY(llama_layer(&m, i));
    }
    WHET_TRY(put(&m, m.prefix, "norm", m.stream, NONE));
    WHET_TRY(put_if(&m, "", "lm_head", NONE, m.stream));
    WHET_TRY(put_if(&m, "", "score", NONE, m.stream));
    return leave_others(&m, left);
}
