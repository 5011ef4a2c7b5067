/* SPDX-License-Identifier: Apache-2.0
 * adapter_config.json from anybody: what is read can be asked of any layer, and as it is written it is read
 * again to the same answers. */
#include "fuzz.h"

#include "tune/adapter_config_read.h"

static const char *const modules[] = {"query", "layer.0.query", "layer.11.attention.value", "score",
                                      ""};

static whet_status read(whet_ctx *ctx, json_t *document, whet_i_peft_config *config) {
    const whet_status status = whet_i_adapter_config_init(ctx, &config->common);
    return status == WHET_OK ? whet_i_peft_config_read(ctx, "f.json", document, config) : status;
}

static void compare(const whet_i_peft_config *a, const whet_i_peft_config *b) {
    for (int64_t i = 0; i < (int64_t)(sizeof modules / sizeof *modules); i++) {
        whet_i_adapter_settings x, y;
        const bool is = whet_i_adapter_config_layer(&a->common, modules[i], &x);
        FUZZ_REQUIRE(is == whet_i_adapter_config_layer(&b->common, modules[i], &y));
        FUZZ_REQUIRE(!is ||
                     (x.rank == y.rank && x.rank >= 1 && x.blocks == y.blocks && x.blocks >= 1));
        FUZZ_REQUIRE(!is || memcmp(&x.scale, &y.scale, sizeof x.scale) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    json_t *document = NULL;
    whet_i_peft_config config = {0}, again = {0};
    whet_status status =
        whet_i_json_parse(ctx, "f.json", (const char *)data, (int64_t)size, &document);
    if (status == WHET_OK) status = read(ctx, document, &config);
    json_decref(document);
    if (status == WHET_OK && config.type <= WHET_I_PEFT_MORE) {
        document = whet_i_adapter_config_json(&config.common,
                                              config.type == WHET_I_PEFT_MORE ? "MORE" : "LORA");
        FUZZ_REQUIRE(document);
        FUZZ_REQUIRE(read(ctx, document, &again) == WHET_OK);
        compare(&config, &again);
        json_decref(document);
    }
    whet_i_adapter_config_free(ctx, &again.common);
    whet_i_adapter_config_free(ctx, &config.common);
    fuzz_end(ctx, status);
    return 0;
}
