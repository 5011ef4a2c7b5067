/* SPDX-License-Identifier: Apache-2.0
 * Llama, recorded: token embeddings, then layers of norm, grouped causal attention with rotary
 * embeddings and residual, norm, gated linear layers and residual; a last norm, and logits. Where nothing but
 * some tokens is read, the last layer needs keys and values of all, and all else of those alone. */
#include <stdio.h>

#include "nn/llama_i.h"

typedef struct recorder {
    whet_ctx *ctx;
    whet_i_graph *g;
    const whet_i_llama_config *c;
    whet_i_value positions;
    whet_i_rope_spec rope;
} recorder;

enum { NAME_SIZE = 128 };

static void name_in(char out[NAME_SIZE], int64_t layer, const char *part) {
    (void)snprintf(out, NAME_SIZE, "model.layers.%lld.%s", (long long)layer, part);
}

static whet_status norm(const recorder *r, int64_t layer, const char *part, whet_i_value x,
                        whet_i_value *out) {
    char name[NAME_SIZE];
    if (layer < 0)
        (void)snprintf(name, sizeof name, "%s", part);
    else
        name_in(name, layer, part);
    return whet_i_rmsnorm(r->ctx, r->g, x, name, r->c->epsilon, out);
}

static whet_status linear(const recorder *r, int64_t layer, int32_t parts, const char *const *names,
                          const int64_t *n, bool bias, whet_i_value x, whet_i_value residual,
                          whet_i_value *out) {
    char full[3][NAME_SIZE];
    whet_i_linear_spec spec = {.parts = parts, .bias = bias, .residual = residual};
    for (int32_t i = 0; i < parts; i++) {
        name_in(full[i], layer, names[i]);
        spec.modules[i] = full[i];
        spec.n[i] = n[i];
    }
    return whet_i_linear_layer(r->ctx, r->g, x, &spec, out);
}

static const char *const qkv_names[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"};

/* Declares them in the order of a layer that is recorded whole. */
static whet_status declare(const recorder *r, int64_t layer, const int64_t *n, bool bias) {
    char full[3][NAME_SIZE];
    whet_i_linear_spec spec = {.parts = 3, .bias = bias};
    for (int32_t i = 0; i < 3; i++) {
        name_in(full[i], layer, qkv_names[i]);
        spec.modules[i] = full[i];
        spec.n[i] = n[i];
    }
    return whet_i_linear_declare(r->ctx, r->g, &spec, r->c->hidden);
}

static whet_status turned(const recorder *r, whet_i_selection selection, int64_t heads,
                          whet_i_value x, whet_i_value *out) {
    whet_i_rope_spec rope = r->rope;
    rope.heads = heads;
    rope.selection = selection;
    return whet_i_rope(r->ctx, r->g, x, r->positions, &rope, out);
}

/* Of x, all tokens after the norm: queries of the selected ones against keys and values of all. */
static whet_status attend(const recorder *r, int64_t layer, whet_i_selection selection,
                          whet_i_value x, whet_i_value *out) {
    const whet_i_llama_config *c = r->c;
    const int64_t n[] = {c->heads * c->d, c->groups * c->d, c->groups * c->d};
    const whet_i_attention_spec spec = {c->heads, c->groups, c->d, true, c->attention_dropout};
    const bool bias = c->attention_bias || c->family->qkv_bias;
    whet_i_value q;
    if (selection == WHET_I_ALL_TOKENS) {
        WHET_TRY(linear(r, layer, 3, qkv_names, n, bias, x, WHET_I_NONE, &x));
        WHET_TRY(turned(r, selection, c->heads + c->groups, x, &x));
        return whet_i_attention_layer(r->ctx, r->g, x, &spec, out);
    }
    WHET_TRY(declare(r, layer, n, bias));
    WHET_TRY(whet_i_select_tokens(r->ctx, r->g, x, selection, &q));
    WHET_TRY(linear(r, layer, 1, qkv_names, n, bias, q, WHET_I_NONE, &q));
    WHET_TRY(turned(r, selection, c->heads, q, &q));
    WHET_TRY(linear(r, layer, 2, qkv_names + 1, n + 1, bias, x, WHET_I_NONE, &x));
    WHET_TRY(turned(r, WHET_I_ALL_TOKENS, c->groups, x, &x));
    return whet_i_attention_of(r->ctx, r->g, selection, q, x, &spec, out);
}

static whet_status attention(const recorder *r, int64_t layer, whet_i_selection selection,
                             whet_i_value x, whet_i_value *out) {
    static const char *const mixed[] = {"self_attn.o_proj"};
    whet_i_value y;
    WHET_TRY(norm(r, layer, "input_layernorm", x, &y));
    WHET_TRY(whet_i_select_tokens(r->ctx, r->g, x, selection, &x));
    WHET_TRY(attend(r, layer, selection, y, &y));
    return linear(r, layer, 1, mixed, &r->c->hidden, r->c->attention_bias, y, x, out);
}

static whet_status feed_forward(const recorder *r, int64_t layer, whet_i_value x,
                                whet_i_value *out) {
    static const char *const up[] = {"mlp.gate_proj", "mlp.up_proj"};
    static const char *const down[] = {"mlp.down_proj"};
    const whet_i_llama_config *c = r->c;
    const int64_t n[] = {c->inner, c->inner};
    whet_i_value y;
    WHET_TRY(norm(r, layer, "post_attention_layernorm", x, &y));
    WHET_TRY(linear(r, layer, 2, up, n, c->mlp_bias, y, WHET_I_NONE, &y));
    WHET_TRY(whet_i_gated(r->ctx, r->g, y, c->act, &y));
    return linear(r, layer, 1, down, &c->hidden, c->mlp_bias, y, x, out);
}

static whet_status begin(recorder *r, whet_i_value *out) {
    whet_i_embedding_spec spec = {.tables = 1,
                                  .modules = {"model.embed_tokens"},
                                  .rows = {r->c->vocab},
                                  .columns = r->c->hidden};
    WHET_TRY(whet_i_graph_feed(r->ctx, r->g, true, WHET_I_TOKENS, 1, &spec.ids[0]));
    WHET_TRY(whet_i_graph_feed(r->ctx, r->g, true, WHET_I_TOKENS, 1, &r->positions));
    r->rope.d = r->c->d;
    memcpy(r->rope.frequency, r->c->frequency, sizeof r->rope.frequency);
    return whet_i_embedding(r->ctx, r->g, &spec, out);
}

whet_status whet_i_llama_record(whet_ctx *ctx, whet_i_graph *graph,
                                const whet_i_llama_config *config, whet_i_selection selection,
                                whet_i_value *hidden) {
    recorder r = {.ctx = ctx, .g = graph, .c = config};
    whet_i_value x;
    WHET_TRY(begin(&r, &x));
    for (int64_t i = 0; i < config->layers; i++) {
        whet_i_graph_segment(graph);
        const bool last = i == config->layers - 1;
        WHET_TRY(attention(&r, i, last ? selection : WHET_I_ALL_TOKENS, x, &x));
        WHET_TRY(feed_forward(&r, i, x, &x));
    }
    whet_i_graph_segment(graph);
    return norm(&r, -1, "model.norm", x, hidden);
}

whet_status whet_i_llama_head(whet_ctx *ctx, whet_i_graph *graph, const whet_i_llama_config *config,
                              whet_i_value rows, whet_i_value *logits) {
    const whet_i_linear_spec head = {
        .parts = 1, .modules = {"lm_head"}, .n = {config->vocab}, .residual = WHET_I_NONE};
    if (!config->tied) return whet_i_linear_layer(ctx, graph, rows, &head, logits);
    return whet_i_tied_linear(ctx, graph, rows, "model.embed_tokens.weight", config->vocab, logits);
}

whet_status whet_i_llama_classifier(whet_ctx *ctx, whet_i_graph *graph, const char *module,
                                    int64_t outputs, whet_i_value hidden, whet_i_value *logits) {
    const whet_i_linear_spec spec = {.parts = 1,
                                     .modules = {module},
                                     .n = {outputs},
                                     .residual = WHET_I_NONE,
                                     .init = WHET_I_INIT_NORMAL,
                                     .init_scale = 0.02};
    whet_i_value last;
    WHET_TRY(whet_i_pool_tokens(ctx, graph, hidden, WHET_I_POOL_LAST, &last));
    return whet_i_linear_layer(ctx, graph, last, &spec, logits);
}
