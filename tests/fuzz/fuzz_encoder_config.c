/* SPDX-License-Identifier: Apache-2.0
 * A model folder from anybody: config.json, modules.json, 1_Pooling/config.json and
 * sentence_bert_config.json, in this order, divided by NUL bytes (which JSON never holds); an empty
 * one stands for a file that is not there. */
#include "fuzz.h"

#include "io/io_i.h"
#include "nn/nn_i.h"

/* What the loader of weights and the forward pass take for granted. */
static void check(const whet_i_encoder_config *c) {
    const int64_t most = c->positions - c->family->position_offset;
    FUZZ_REQUIRE(c->hidden > 0 && c->heads > 0 && c->hidden % c->heads == 0);
    FUZZ_REQUIRE(c->layers > 0 && c->inner > 0 && c->vocab > 0 && c->vocab <= INT32_MAX);
    FUZZ_REQUIRE(c->inner < INT64_MAX / (c->hidden > c->inner ? c->hidden : c->inner));
    FUZZ_REQUIRE(!c->family->type || c->types > 0);
    FUZZ_REQUIRE(c->max_length > 0 && c->max_length <= most);
    FUZZ_REQUIRE(c->epsilon >= 0 && c->epsilon <= 1);
    FUZZ_REQUIRE(c->pooling == WHET_POOL_MEAN || c->pooling == WHET_POOL_CLS);
}

static whet_status parse_all(whet_ctx *ctx, const char *bytes, int64_t len,
                             whet_i_encoder_docs *docs) {
    static const char *const names[] = {"config.json", "modules.json", "1_Pooling/config.json",
                                        "sentence_bert_config.json"};
    json_t **const to[] = {&docs->model, &docs->modules, &docs->pooling, &docs->limit};
    for (int i = 0; i < 4 && len > 0; i++) {
        const char *end = memchr(bytes, '\0', (size_t)len);
        const int64_t part = end ? end - bytes : len;
        if (part > 0) WHET_TRY(whet_i_json_parse(ctx, names[i], bytes, part, to[i]));
        const int64_t taken = end ? part + 1 : part;
        bytes += taken;
        len -= taken;
    }
    return WHET_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
    whet_i_encoder_docs docs = {0};
    whet_i_encoder_config config;
    whet_status status = parse_all(ctx, (const char *)data, (int64_t)size, &docs);
    if (status == WHET_OK) status = whet_i_encoder_config_parse(ctx, &docs, &opts, &config);
    if (status == WHET_OK) {
        check(&config);
        /* A pooling that is named, and a length: they win, where the length fits. */
        opts.pooling = WHET_POOL_CLS;
        opts.pooling_given = true;
        opts.max_length = 5;
        const int64_t most = config.positions - config.family->position_offset;
        status = whet_i_encoder_config_parse(ctx, &docs, &opts, &config);
        FUZZ_REQUIRE(status == (most < 5 ? WHET_ERR_ARG : WHET_OK));
        FUZZ_REQUIRE(most < 5 || (config.pooling == WHET_POOL_CLS && config.max_length == 5));
    }
    whet_i_encoder_docs_free(&docs);
    fuzz_end(ctx, status);
    return 0;
}
