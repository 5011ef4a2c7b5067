/* SPDX-License-Identifier: Apache-2.0
 * Saved maps to features from anybody. A changed file has another fingerprint than the one it tells, and
 * would be refused for that alone: it is given the one that it has, as who forges it would. What loads gives
 * rows their columns. */
#include <stdio.h>

#include "fuzz.h"

#include "io/safetensors_i.h"
#include "label/feature_map.h"

enum { ROWS = 3, MOST = 64, DIGITS = 16 };

static whet_status load(whet_ctx *ctx, const uint8_t *data, size_t size, whet_i_feature_map **out) {
    whet_safetensors *file = NULL;
    WHET_TRY(whet_i_safetensors_parse(ctx, "f", (const char *)data, (int64_t)size, &file));
    return whet_i_feature_map_take(ctx, file, "f", out);
}

/* Writes the digits that the refusal says over those of the file; false: it is no such refusal. */
static bool forge(whet_ctx *ctx, uint8_t *data, size_t size) {
    static const char key[] = "\"fingerprint\":\"", found[] = "the fingerprint ";
    const char *at = strstr(whet_error(ctx), found);
    const size_t len = sizeof key - 1;
    if (!at || strlen(at) < sizeof found - 1 + DIGITS) return false;
    for (size_t i = 0; i + len + DIGITS < size; i++) {
        if (memcmp(data + i, key, len) != 0) continue;
        memcpy(data + i + len, at + sizeof found - 1, DIGITS);
        return true;
    }
    return false;
}

static whet_status apply(whet_ctx *ctx, const whet_i_feature_map *map) {
    static float x[ROWS * MOST];
    const char *const words[ROWS] = {"", "ab cd", "ab ab ef \xff"};
    whet_str texts[ROWS];
    whet_tensor made = {0};
    whet_i_raw_rows rows = {.n = ROWS, .texts = texts};
    const bool images = map->resnet || map->vae;
    FUZZ_REQUIRE(map->dim > 0 && (map->d > 0 || map->tfidf));
    if (images || map->d > MOST || map->dim > MOST) return WHET_OK;
    for (int i = 0; i < ROWS; i++) texts[i] = whet_str_from(words[i]);
    for (int i = 0; i < ROWS * MOST; i++) x[i] = (float)(i % 7) - 2.5F;
    rows.array = (whet_tensor){x, WHET_F32, 2, {ROWS, map->d}};
    WHET_TRY(whet_i_feature_map_apply(ctx, map, &rows, &made));
    FUZZ_REQUIRE(made.rank == 2 && made.shape[0] == ROWS && made.shape[1] == map->dim);
    fuzz_touch(made.data, ROWS * map->dim * (int64_t)sizeof(float));
    whet_tensor_destroy(ctx, &made);
    return WHET_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    whet_i_feature_map *map = NULL;
    uint8_t *forged = malloc(size ? size : 1);
    FUZZ_REQUIRE(forged);
    if (size) memcpy(forged, data, size);
    whet_status status = load(ctx, forged, size, &map);
    if (status == WHET_ERR_DATA && forge(ctx, forged, size)) {
        status = load(ctx, forged, size, &map);
        FUZZ_REQUIRE(status == WHET_OK || !strstr(whet_error(ctx), "the fingerprint "));
    }
    if (status == WHET_OK) status = apply(ctx, map);
    whet_i_feature_map_destroy(ctx, map);
    fuzz_end(ctx, status);
    free(forged);
    return 0;
}
