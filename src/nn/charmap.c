/* SPDX-License-Identifier: Apache-2.0
 * A value for every code point: 4352 blocks of 256, equal blocks stored once. Most blocks are all
 * alike (unassigned, private use, ideographs), so building takes about a millisecond. */
#include "nn/tokenizer_i.h"

#define BLOCK 256u

static whet_status fill(whet_ctx *ctx, uint32_t first,
                        whet_status (*value_of)(whet_ctx *ctx, void *arg, uint32_t code,
                                                uint32_t *value),
                        void *arg, uint32_t values[BLOCK]) {
    if (whet_i_unicode_plain_until(first) >= first + BLOCK) {
        WHET_TRY(value_of(ctx, arg, first, &values[0]));
        for (uint32_t i = 1; i < BLOCK; i++) values[i] = values[0];
        return WHET_OK;
    }
    for (uint32_t i = 0; i < BLOCK; i++) WHET_TRY(value_of(ctx, arg, first + i, &values[i]));
    return WHET_OK;
}

/* Place of an equal block, or a new one at the end. */
static whet_status store(whet_ctx *ctx, whet_i_charmap *map, const uint32_t values[BLOCK],
                         uint16_t *place) {
    for (int64_t i = map->n_blocks - 1; i >= 0; i--) {
        if (memcmp(map->values + i * BLOCK, values, BLOCK * sizeof(uint32_t)) == 0) {
            *place = (uint16_t)i;
            return WHET_OK;
        }
    }
    if (map->n_blocks == map->cap) {
        const int64_t cap = map->cap * 2 + 32;
        WHET_TRY(whet_i_realloc(ctx, &map->values, cap * BLOCK));
        map->cap = cap;
    }
    memcpy(map->values + map->n_blocks * BLOCK, values, BLOCK * sizeof(uint32_t));
    *place = (uint16_t)map->n_blocks++;
    return WHET_OK;
}

whet_status whet_i_charmap_build(whet_ctx *ctx, whet_i_charmap *map,
                                 whet_status (*value_of)(whet_ctx *ctx, void *arg, uint32_t code,
                                                         uint32_t *value),
                                 void *arg) {
    WHET_TRY(whet_i_calloc(ctx, WHET_I_CHARMAP_BLOCKS, &map->block));
    for (uint32_t b = 0; b < WHET_I_CHARMAP_BLOCKS; b++) {
        uint32_t values[BLOCK];
        WHET_TRY(fill(ctx, b * BLOCK, value_of, arg, values));
        WHET_TRY(store(ctx, map, values, &map->block[b]));
    }
    return WHET_OK;
}

void whet_i_charmap_free(whet_ctx *ctx, whet_i_charmap *map) {
    whet_i_free(ctx, map->block);
    whet_i_free(ctx, map->values);
}
