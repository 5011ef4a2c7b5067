/* SPDX-License-Identifier: Apache-2.0
 * A language model's folder from anybody: config.json, then a NUL byte (which JSON never holds), then
 * model.safetensors.index.json. Settings that are taken must be those of a network that can be
 * recorded and planned, or be over a limit; files must be names in the folder. */
#include "fuzz.h"

#include <math.h>

#include "io/io_i.h"
#include "nn/language_model_i.h"

/* What recording, rotary embeddings and generation take for granted. */
static void check(const whet_i_llama_config *c) {
    FUZZ_REQUIRE(c->family && c->hidden > 0 && c->layers > 0 && c->inner > 0 && c->positions > 0);
    FUZZ_REQUIRE(c->vocab > 0 && c->vocab <= INT32_MAX && c->positions <= INT32_MAX);
    FUZZ_REQUIRE(c->groups > 0 && c->heads >= c->groups && c->heads % c->groups == 0);
    FUZZ_REQUIRE(c->d >= 2 && c->d % 2 == 0 && c->d <= 2 * WHET_I_ROPE_MAX);
    FUZZ_REQUIRE(c->epsilon >= 0 && c->epsilon <= 1);
    FUZZ_REQUIRE(c->begin >= -1 && c->begin < c->vocab);
    FUZZ_REQUIRE(c->n_ends >= 0 && c->n_ends <= WHET_I_ENDS_MAX);
    for (int32_t i = 0; i < c->n_ends; i++) FUZZ_REQUIRE(c->ends[i] >= 0 && c->ends[i] < c->vocab);
    for (int64_t i = 0; i < c->d / 2; i++)
        FUZZ_REQUIRE(isfinite(c->frequency[i]) && c->frequency[i] > 0);
}

/* Nothing here has the size that the settings claim: that is proved by the files of weights later. */
static whet_status record(whet_ctx *ctx, const whet_i_llama_config *c) {
    whet_i_params *params = NULL;
    whet_i_graph *graph = NULL;
    whet_i_plan *plan = NULL;
    whet_i_value hidden, logits;
    whet_status status;
    if (c->layers > 3) return WHET_OK; /* the same again */
    WHET_TRY_DONE(whet_i_params_create(ctx, WHET_F32, &params));
    WHET_TRY_DONE(whet_i_graph_create(ctx, params, &graph));
    WHET_TRY_DONE(whet_i_llama_record(ctx, graph, c, WHET_I_ALL_TOKENS, &hidden));
    WHET_TRY_DONE(whet_i_llama_head(ctx, graph, c, hidden, &logits));
    const whet_i_plan_opts opts = {.sizes = {.rows = {1, 3, 40}, .longest = 20, .workers = 1},
                                   .loss = WHET_I_NONE,
                                   .keep = &logits,
                                   .n_keep = 1};
    WHET_TRY_DONE(whet_i_plan_create(ctx, graph, &opts, &plan));
    FUZZ_REQUIRE(whet_i_plan_bytes(plan) > 0);
done:
    whet_i_plan_destroy(ctx, plan);
    whet_i_graph_destroy(ctx, graph);
    whet_i_params_destroy(ctx, params);
    return status;
}

static whet_status settings(whet_ctx *ctx, const char *bytes, int64_t len) {
    whet_i_llama_config config;
    json_t *json = NULL;
    whet_status status = whet_i_json_parse(ctx, "config.json", bytes, len, &json);
    if (status == WHET_OK) status = whet_i_llama_config_parse(ctx, json, &config);
    if (status == WHET_OK) {
        check(&config);
        status = whet_i_llama_ends_parse(ctx, json, &config); /* the same, as this document says */
        FUZZ_REQUIRE(status == WHET_OK);
        check(&config);
    }
    json_decref(json);
    if (status != WHET_OK) return status;
    return record(ctx, &config);
}

static whet_status files(whet_ctx *ctx, const char *bytes, int64_t len) {
    whet_names *names = NULL;
    json_t *json = NULL;
    whet_status status;
    WHET_TRY_DONE(whet_i_json_parse(ctx, "model.safetensors.index.json", bytes, len, &json));
    WHET_TRY_DONE(whet_names_create(ctx, &names));
    WHET_TRY_DONE(whet_i_weight_files_parse(ctx, json, names));
    FUZZ_REQUIRE(whet_names_count(names) > 0);
    for (int64_t i = 0; i < whet_names_count(names); i++) {
        const whet_str name = whet_names_get(names, i);
        FUZZ_REQUIRE(name.len > 0);
        for (int64_t j = 0; j < name.len; j++)
            FUZZ_REQUIRE(name.ptr[j] > ' ' && name.ptr[j] <= '~' && name.ptr[j] != '/');
    }
done:
    whet_names_destroy(ctx, names);
    json_decref(json);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    const char *bytes = (const char *)data, *end = size ? memchr(bytes, 0, size) : NULL;
    const int64_t len = end ? end - bytes : (int64_t)size;
    whet_status status = settings(ctx, bytes, len);
    if (end) {
        const whet_status second = files(ctx, end + 1, (int64_t)size - len - 1);
        if (status == WHET_OK) status = second;
    }
    fuzz_end(ctx, status);
    return 0;
}
