/* SPDX-License-Identifier: Apache-2.0
 * Pretrained text encoders: opening a Hugging Face folder, and texts in, embeddings out. */
#include <math.h>

#include "nn/nn_i.h"
#include "nn/tokenizer_i.h"

static whet_status check_options(whet_ctx *ctx, const whet_encoder_opts *o) {
    if (o->dtype != WHET_F32 && o->dtype != WHET_BF16)
        return whet_i_fail(ctx, WHET_ERR_ARG, "dtype is %s; expected f32 or bf16",
                           whet_dtype_name(o->dtype));
    if (o->pooling != WHET_POOL_MEAN && o->pooling != WHET_POOL_CLS)
        return whet_i_fail(ctx, WHET_ERR_ARG, "pooling is %d; expected mean (0) or cls (1)",
                           (int)o->pooling);
    if (o->batch_tokens < 0 || o->batch_tokens > INT32_MAX)
        return whet_i_fail(ctx, WHET_ERR_ARG, "batch_tokens is %lld; expected 0 to 2^31 - 1",
                           (long long)o->batch_tokens);
    return WHET_OK;
}

static whet_status fill(whet_ctx *ctx, const char *dir, const whet_encoder_opts *opts,
                        whet_encoder *e) {
    WHET_TRY(whet_i_encoder_config_read(ctx, dir, opts, &e->config));
    WHET_TRY(whet_i_model_tokenizer(ctx, dir, e->config.vocab, &e->tokenizer));
    if (e->config.lowered) WHET_TRY(whet_i_check_lowers(ctx, e->tokenizer));
    return whet_i_encoder_weights_load(ctx, dir, e);
}

static whet_status create(whet_ctx *ctx, const whet_encoder_opts *opts, whet_encoder_opts *o,
                          whet_encoder **out) {
    WHET_TRY(whet_i_opts(ctx, opts, o, sizeof *o, "whet_encoder_opts"));
    WHET_TRY(check_options(ctx, o));
    return whet_i_calloc(ctx, 1, out);
}

whet_status whet_encoder_load(whet_ctx *ctx, const char *dir, const whet_encoder_opts *opts,
                              whet_encoder **out) {
    return whet_i_encoder_load(ctx, dir, opts, (whet_i_load_hook){0}, out);
}

whet_status whet_i_encoder_load(whet_ctx *ctx, const char *dir, const whet_encoder_opts *opts,
                                whet_i_load_hook hook, whet_encoder **out) {
    whet_encoder_opts o = WHET_ENCODER_OPTS_INIT;
    whet_encoder *e = NULL;
    const whet_status created = create(ctx, opts, &o, &e);
    if (created != WHET_OK) {
        whet_i_load_hook_close(ctx, &hook);
        return created;
    }
    e->hook = hook;
    e->dtype = o.dtype;
    e->batch_tokens = o.batch_tokens;
    e->coarse = o.coarse;
    const whet_status status = fill(ctx, dir, &o, e);
    if (status == WHET_OK) {
        *out = e;
        return WHET_OK;
    }
    whet_encoder_destroy(ctx, e);
    char quoted[WHET_QUOTE_SIZE];
    return whet_i_fail_at(ctx, status, "model %s", whet_i_quote(quoted, whet_str_from(dir)));
}

void whet_encoder_destroy(whet_ctx *ctx, whet_encoder *encoder) {
    if (!encoder) return;
    whet_tokenizer_destroy(ctx, encoder->tokenizer);
    whet_i_graph_destroy(ctx, encoder->graph);
    whet_i_params_destroy(ctx, encoder->params);
    whet_i_weight_files_close(ctx, &encoder->files);
    whet_i_load_hook_close(ctx, &encoder->hook);
    whet_i_free(ctx, encoder);
}

int64_t whet_encoder_dim(const whet_encoder *encoder) { return encoder->config.hidden; }

int64_t whet_encoder_max_length(const whet_encoder *encoder) { return encoder->config.max_length; }

const whet_tokenizer *whet_encoder_tokenizer(const whet_encoder *encoder) {
    return encoder->tokenizer;
}

const char *whet_encoder_fingerprint(const whet_encoder *encoder) { return encoder->fingerprint; }

/* Weights are not looked at when a folder is opened: what is wrong with them shows here. */
static whet_status check_finite(whet_ctx *ctx, const float *out, int64_t n, int64_t dim) {
    for (int64_t i = 0; i < n * dim; i++)
        if (!isfinite(out[i]))
            return whet_i_fail(ctx, WHET_ERR_NUMERIC,
                               "text %lld: its embedding is not finite at %lld; expected numbers; "
                               "likely the model's weights are not all numbers",
                               (long long)(i / dim), (long long)(i % dim));
    return WHET_OK;
}

whet_status whet_encoder_embed_counted(whet_ctx *ctx, const whet_encoder *encoder,
                                       const whet_str *texts, int64_t n, float *out,
                                       int64_t *truncated) {
    whet_token_rows rows = {0};
    int64_t cut;
    WHET_TRY(whet_i_tokenizer_encode_counted(ctx, encoder->tokenizer, texts, n,
                                             encoder->config.max_length, &rows, &cut));
    whet_status status = whet_i_encoder_forward(ctx, encoder, &rows, out);
    whet_token_rows_destroy(ctx, &rows);
    if (status == WHET_OK) status = check_finite(ctx, out, n, encoder->config.hidden);
    if (status == WHET_OK) *truncated = cut;
    return status;
}

whet_status whet_encoder_embed(whet_ctx *ctx, const whet_encoder *encoder, const whet_str *texts,
                               int64_t n, float *out) {
    int64_t truncated;
    return whet_encoder_embed_counted(ctx, encoder, texts, n, out, &truncated);
}
