/* SPDX-License-Identifier: Apache-2.0
 * The BERT family, recorded: summed embeddings and a norm, then layers of self-attention, residual
 * and norm, two linear layers, residual and norm. Devlin et al. 2019, arXiv 1810.04805; how a family
 * names things is its row in bert.c. Each layer is a segment.
 *
 * A head or pooling that reads the first tokens alone needs of the last layer the keys and values of all
 * tokens; its queries and all that follows are then of the first tokens alone. */
#include <stdio.h>

#include "nn/nn_i.h"
#include "nn/ops_i.h"

/* What recording passes around. */
typedef struct recorder {
    whet_ctx *ctx;
    whet_i_graph *g;
    const whet_i_encoder_config *c;
    const char *prefix;
    bool dropout;
} recorder;

enum { NAME_SIZE = 200 };

static void name_in(const recorder *r, char out[NAME_SIZE], int64_t layer, const char *part) {
    const whet_i_family *f = r->c->family;
    if (layer < 0)
        (void)snprintf(out, NAME_SIZE, "%s%s", r->prefix, part);
    else
        (void)snprintf(out, NAME_SIZE, "%s%s.%lld.%s", r->prefix, f->layer, (long long)layer, part);
}

static whet_status dropped(const recorder *r, whet_i_value x, whet_i_value *out) {
    return whet_i_dropout(r->ctx, r->g, x, r->dropout ? r->c->hidden_dropout : 0, out);
}

static whet_status norm(const recorder *r, int64_t layer, const char *part, whet_i_value x,
                        whet_i_value *out) {
    char name[NAME_SIZE];
    name_in(r, name, layer, part);
    return whet_i_layernorm(r->ctx, r->g, x, name, (double)r->c->epsilon, out);
}

static whet_status linear(const recorder *r, int64_t layer, const char *part, int64_t n,
                          whet_i_act act, whet_i_value x, whet_i_value residual,
                          whet_i_value *out) {
    char name[NAME_SIZE];
    name_in(r, name, layer, part);
    const whet_i_linear_spec spec = {.parts = 1,
                                     .modules = {name},
                                     .n = {n},
                                     .bias = true,
                                     .bias_init = WHET_I_INIT_REQUIRED,
                                     .act = act,
                                     .residual = residual};
    return whet_i_linear_layer(r->ctx, r->g, x, &spec, out);
}

/* out = norm(dropout(linear(y)) + x): without dropout the sum is the linear layer's own. */
static whet_status back_to_stream(const recorder *r, int64_t layer, const char *part,
                                  const char *norm_part, whet_i_value y, whet_i_value x,
                                  whet_i_value *out) {
    if (!r->dropout || r->c->hidden_dropout == 0) {
        WHET_TRY(linear(r, layer, part, r->c->hidden, WHET_I_ACT_NONE, y, x, &y));
    } else {
        WHET_TRY(linear(r, layer, part, r->c->hidden, WHET_I_ACT_NONE, y, WHET_I_NONE, &y));
        WHET_TRY(dropped(r, y, &y));
        WHET_TRY(whet_i_sum(r->ctx, r->g, y, x, &y));
    }
    return norm(r, layer, norm_part, y, out);
}

/* Queries of the selected tokens of x, which become *selected, against all. */
static whet_status attend(const recorder *r, const whet_i_linear_spec *qkv,
                          const whet_i_attention_spec *heads, whet_i_selection selection,
                          whet_i_value x, whet_i_value *selected, whet_i_value *out) {
    whet_i_linear_spec q = *qkv, kv = *qkv;
    q.parts = 1;
    kv.parts = 2;
    for (int i = 0; i < 2; i++) {
        kv.modules[i] = qkv->modules[i + 1];
        kv.n[i] = qkv->n[i + 1];
    }
    WHET_TRY(whet_i_linear_declare(r->ctx, r->g, qkv, whet_i_columns(r->g, x)));
    WHET_TRY(whet_i_select_tokens(r->ctx, r->g, x, selection, selected));
    WHET_TRY(whet_i_linear_layer(r->ctx, r->g, *selected, &q, out));
    WHET_TRY(whet_i_linear_layer(r->ctx, r->g, x, &kv, &x));
    return whet_i_attention_of(r->ctx, r->g, selection, *out, x, heads, out);
}

/* *x becomes its selected rows. */
static whet_status attention(const recorder *r, int64_t layer, whet_i_selection selection,
                             whet_i_value *x, whet_i_value *out) {
    const whet_i_encoder_config *c = r->c;
    const char *const parts[] = {c->family->query, c->family->key, c->family->value};
    char names[3][NAME_SIZE];
    whet_i_linear_spec spec = {.parts = 3,
                               .n = {c->hidden, c->hidden, c->hidden},
                               .bias = true,
                               .bias_init = WHET_I_INIT_REQUIRED,
                               .residual = WHET_I_NONE};
    const whet_i_attention_spec heads = {.heads = c->heads,
                                         .groups = c->heads,
                                         .d = c->hidden / c->heads,
                                         .dropout = r->dropout ? c->attention_dropout : 0};
    for (int i = 0; i < 3; i++) {
        name_in(r, names[i], layer, parts[i]);
        spec.modules[i] = names[i];
    }
    if (selection != WHET_I_ALL_TOKENS) return attend(r, &spec, &heads, selection, *x, x, out);
    WHET_TRY(whet_i_linear_layer(r->ctx, r->g, *x, &spec, out));
    return whet_i_attention_layer(r->ctx, r->g, *out, &heads, out);
}

static whet_status embeddings(const recorder *r, whet_i_value *out) {
    const whet_i_encoder_config *c = r->c;
    const whet_i_family *f = c->family;
    const char *const parts[] = {f->word, f->position, f->type};
    char names[3][NAME_SIZE];
    whet_i_embedding_spec spec = {.tables = f->type ? 3 : 2,
                                  .rows = {c->vocab, c->positions, c->types},
                                  .columns = c->hidden};
    for (int32_t i = 0; i < spec.tables; i++) {
        name_in(r, names[i], -1, parts[i]);
        spec.modules[i] = names[i];
        WHET_TRY(whet_i_graph_feed(r->ctx, r->g, true, WHET_I_TOKENS, 1, &spec.ids[i]));
    }
    WHET_TRY(whet_i_embedding(r->ctx, r->g, &spec, out));
    WHET_TRY(norm(r, -1, f->norm, *out, out));
    return dropped(r, *out, out);
}

whet_status whet_i_encoder_record(whet_ctx *ctx, whet_i_graph *graph,
                                  const whet_i_encoder_config *config, const char *prefix,
                                  bool dropout, whet_i_selection selection, whet_i_value *hidden) {
    const recorder r = {ctx, graph, config, prefix, dropout};
    const whet_i_family *f = config->family;
    whet_i_value x, y;
    WHET_TRY(embeddings(&r, &x));
    for (int64_t i = 0; i < config->layers; i++) {
        whet_i_graph_segment(graph);
        const bool last = i == config->layers - 1;
        WHET_TRY(attention(&r, i, last ? selection : WHET_I_ALL_TOKENS, &x, &y));
        WHET_TRY(back_to_stream(&r, i, f->mixed, f->mixed_norm, y, x, &x));
        WHET_TRY(linear(&r, i, f->up, config->inner, config->act, x, WHET_I_NONE, &y));
        WHET_TRY(back_to_stream(&r, i, f->down, f->down_norm, y, x, &x));
    }
    whet_i_graph_segment(graph);
    *hidden = x;
    return WHET_OK;
}

whet_i_selection whet_i_encoder_selection(const whet_i_encoder_config *config,
                                          whet_i_head_kind kind) {
    const bool first = kind == WHET_I_HEAD_FAMILY || config->pooling == WHET_POOL_CLS;
    return first ? WHET_I_FIRST_TOKENS : WHET_I_ALL_TOKENS;
}

whet_status whet_i_encoder_pool(whet_ctx *ctx, whet_i_graph *graph,
                                const whet_i_encoder_config *config, whet_i_value hidden,
                                whet_i_value *out) {
    const whet_i_pooling_kind kind =
        config->pooling == WHET_POOL_CLS ? WHET_I_POOL_FIRST : WHET_I_POOL_MEAN;
    WHET_TRY(whet_i_pool_tokens(ctx, graph, hidden, kind, out));
    return config->normalize ? whet_i_unit_rows(ctx, graph, *out, out) : WHET_OK;
}

/* ---- heads ------------------------------------------------------------------------------------ */

/* As transformers begins new heads: deviation 0.02 (initializer_range), zero biases. */
static whet_status head_linear(const recorder *r, const char *prefix, const char *part, int64_t n,
                               whet_i_act act, whet_i_value x, whet_i_value *out) {
    char name[NAME_SIZE];
    (void)snprintf(name, sizeof name, "%s%s", prefix, part);
    const whet_i_linear_spec spec = {.parts = 1,
                                     .modules = {name},
                                     .n = {n},
                                     .bias = true,
                                     .bias_init = WHET_I_INIT_ZERO,
                                     .act = act,
                                     .residual = WHET_I_NONE,
                                     .init = WHET_I_INIT_NORMAL,
                                     .init_scale = 0.02};
    return whet_i_linear_layer(r->ctx, r->g, x, &spec, out);
}

whet_status whet_i_encoder_head(whet_ctx *ctx, whet_i_graph *graph,
                                const whet_i_encoder_config *config, const char *prefix,
                                bool dropout, whet_i_head_kind kind, int64_t outputs,
                                whet_i_value hidden, whet_i_value *out) {
    const recorder r = {ctx, graph, config, prefix, dropout};
    const whet_i_family *f = config->family;
    const double p = dropout ? config->head_dropout : 0;
    whet_i_value x;
    if (kind == WHET_I_HEAD_POOLED) {
        WHET_TRY(whet_i_encoder_pool(ctx, graph, config, hidden, &x));
    } else {
        WHET_TRY(whet_i_pool_tokens(ctx, graph, hidden, WHET_I_POOL_FIRST, &x));
        if (f->head_drops_input) WHET_TRY(whet_i_dropout(ctx, graph, x, p, &x));
        WHET_TRY(head_linear(&r, f->pooler ? prefix : "", f->pooler ? f->pooler : f->head_dense,
                             config->hidden, f->head_act, x, &x));
    }
    WHET_TRY(whet_i_dropout(ctx, graph, x, p, &x));
    return head_linear(&r, "", f->head_out, outputs, WHET_I_ACT_NONE, x, out);
}
