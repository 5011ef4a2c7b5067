/* SPDX-License-Identifier: Apache-2.0
 * An encoder or a language model, opened from its folder and recorded; see backbone.h. */
#include "tune/backbone.h"

#include "io/io_i.h"

enum { JSON_BYTES_MAX = 1 << 24 };

void whet_i_backbone_set_dropout(whet_i_backbone *b, double dropout) {
    whet_i_encoder_config *c = &b->encoder;
    if (dropout < 0) return;
    b->dropout[1] = b->llama.attention_dropout = dropout;
    if (b->causal) return;
    b->dropout[0] = b->dropout[2] = dropout;
    c->hidden_dropout = c->attention_dropout = c->head_dropout = dropout;
}

/* ---- the two kinds ---------------------------------------------------------------------------- */

static whet_status open_encoder(whet_ctx *ctx, const char *dir, int64_t max_length, double dropout,
                                whet_i_backbone *b) {
    whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
    whet_i_encoder_config *c = &b->encoder;
    opts.max_length = max_length;
    WHET_TRY(whet_i_encoder_config_read(ctx, dir, &opts, c));
    const whet_i_family *f = c->family;
    const char *const layers[] = {f->query, f->key, f->value, f->mixed, f->up, f->down};
    b->model_type = f->model_type;
    b->prefix = f->prefix;
    b->classifier = f->classifier;
    b->head[0] = f->head_out;
    b->head[1] = f->head_dense;
    memcpy(b->layers, layers, sizeof layers);
    b->vocab = c->vocab;
    b->max_length = c->max_length;
    b->first_position = f->position_offset;
    b->dropout[0] = c->hidden_dropout;
    b->dropout[1] = c->attention_dropout;
    b->dropout[2] = c->head_dropout;
    whet_i_backbone_set_dropout(b, dropout);
    return WHET_OK;
}

static whet_status open_language_model(whet_ctx *ctx, const char *dir, int64_t max_length,
                                       double dropout, whet_i_backbone *b) {
    static const char *const layers[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                         "self_attn.o_proj", "mlp.up_proj",      "mlp.down_proj"};
    whet_i_llama_config *c = &b->llama;
    WHET_TRY(whet_i_llama_config_read(ctx, dir, c));
    if (max_length < 0 || max_length > c->positions)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "max_length is %lld; expected 0 to %lld, the model's positions",
                           (long long)max_length, (long long)c->positions);
    b->model_type = c->family->model_type;
    b->prefix = "model.";
    b->classifier = c->family->classifier;
    b->head[0] = "score";
    memcpy(b->layers, layers, sizeof layers);
    b->vocab = c->vocab;
    b->max_length = max_length ? max_length : c->positions;
    b->dropout[1] = c->attention_dropout;
    whet_i_backbone_set_dropout(b, dropout);
    return WHET_OK;
}

/* ---- the folder ------------------------------------------------------------------------------- */

static whet_status read_config(whet_ctx *ctx, const char *dir, whet_i_backbone *b) {
    static const char where[] = "config.json";
    char *path, quoted[WHET_QUOTE_SIZE];
    whet_str type;
    WHET_TRY(whet_i_join_path(ctx, dir, where, &path));
    const whet_status status = whet_i_json_read(ctx, path, JSON_BYTES_MAX, &b->config_json);
    whet_i_free(ctx, path);
    WHET_TRY(status);
    if (!json_is_object(b->config_json))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: the document is %s; expected an object",
                           where, whet_i_json_kind(b->config_json));
    WHET_TRY(whet_i_json_str(ctx, where, b->config_json, "model_type", &type));
    b->causal = whet_i_llama_family_find(type) != NULL;
    if (b->causal || whet_i_family_find(type)) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                       "%s: \"model_type\" is %s; expected %s, or of language models %s", where,
                       whet_i_quote(quoted, type), whet_i_family_known(),
                       whet_i_llama_family_known());
}

static whet_status open_folder(whet_ctx *ctx, const char *dir, int64_t max_length, double dropout,
                               whet_i_backbone *b) {
    WHET_TRY(read_config(ctx, dir, b));
    WHET_TRY((b->causal ? open_language_model : open_encoder)(ctx, dir, max_length, dropout, b));
    WHET_TRY(whet_i_model_tokenizer(ctx, dir, b->vocab, &b->tokenizer));
    if (!b->causal && b->encoder.lowered) WHET_TRY(whet_i_check_lowers(ctx, b->tokenizer));
    WHET_TRY(whet_i_weight_files_open(ctx, dir, &b->files));
    if (b->causal) whet_i_llama_find_head(ctx, dir, &b->files, &b->llama);
    return WHET_OK;
}

whet_status whet_i_backbone_open(whet_ctx *ctx, const char *dir, int64_t max_length, double dropout,
                                 whet_i_backbone *out) {
    char quoted[WHET_QUOTE_SIZE];
    const whet_status status = open_folder(ctx, dir, max_length, dropout, out);
    if (status == WHET_OK) return WHET_OK;
    return whet_i_fail_at(ctx, status, "model %s", whet_i_quote(quoted, whet_str_from(dir)));
}

void whet_i_backbone_close(whet_ctx *ctx, whet_i_backbone *b) {
    whet_i_weight_files_close(ctx, &b->files);
    whet_tokenizer_destroy(ctx, b->tokenizer);
    json_decref(b->config_json);
    *b = (whet_i_backbone){0};
}

/* ---- recordings ------------------------------------------------------------------------------- */

whet_status whet_i_backbone_record(whet_ctx *ctx, whet_i_graph *graph, const whet_i_backbone *b,
                                   bool bare, whet_i_selection selection, whet_i_value *hidden) {
    if (b->causal) return whet_i_llama_record(ctx, graph, &b->llama, selection, hidden);
    return whet_i_encoder_record(ctx, graph, &b->encoder, bare ? "" : b->prefix, true, selection,
                                 hidden);
}

whet_i_selection whet_i_backbone_selection(const whet_i_backbone *b, whet_i_head_kind kind) {
    return b->causal ? WHET_I_LAST_TOKENS : whet_i_encoder_selection(&b->encoder, kind);
}

whet_status whet_i_backbone_classify(whet_ctx *ctx, whet_i_graph *graph, const whet_i_backbone *b,
                                     whet_i_head_kind kind, int64_t outputs, whet_i_value hidden,
                                     whet_i_value *logits) {
    if (b->causal) return whet_i_llama_classifier(ctx, graph, b->head[0], outputs, hidden, logits);
    return whet_i_encoder_head(ctx, graph, &b->encoder, b->prefix, true, kind, outputs, hidden,
                               logits);
}

whet_status whet_i_backbone_next_token_loss(whet_ctx *ctx, whet_i_graph *graph,
                                            const whet_i_backbone *b, whet_i_value hidden,
                                            whet_i_value labels, whet_i_value *loss) {
    const char *matrix = b->llama.tied ? "model.embed_tokens.weight" : "lm_head.weight";
    return whet_i_head_loss(ctx, graph, hidden, matrix, b->vocab, labels, loss);
}

bool whet_i_backbone_is_head(const whet_i_backbone *b, const char *name) {
    for (int i = 0; i < 2; i++) {
        const size_t n = b->head[i] ? strlen(b->head[i]) : 0;
        if (n && strncmp(name, b->head[i], n) == 0 && (name[n] == '.' || name[n] == '\0'))
            return true;
    }
    return false;
}
