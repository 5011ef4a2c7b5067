/* SPDX-License-Identifier: Apache-2.0
 * A value for every code point: 4352 blocks of 256, equal blocks stored once. Most blocks are all
 * alike (unassigned, private use, ideographs), so building takes about a millisecond. */
#include "nn/tokenizer_i.h"

#define BLOCK 256u

typedef struct value_source {
    whet_status (*value_of)(whet_ctx *ctx, void *arg, uint32_t code, uint32_t *value);
    void *arg;
} value_source;

/* Values of the block at `first`, asked for once a run of like code points; *run_end is the end of
 * the block's last run, which may be far behind the block. */
static whet_status fill(whet_ctx *ctx, uint32_t first, const value_source *source,
                        uint32_t values[BLOCK], uint32_t *run_end) {
    const uint32_t end = first + BLOCK;
    for (uint32_t code = first; code < end;) {
        uint32_t value, until = whet_i_unicode_plain_until(code);
        if (until <= code) until = code + 1;
        *run_end = until;
        if (until > end) until = end;
        WHET_TRY(source->value_of(ctx, source->arg, code, &value));
        for (; code < until; code++) values[code - first] = value;
    }
    return WHET_OK;
}

static bool is_alike(const uint32_t values[BLOCK]) {
    return memcmp(values, values + 1, (BLOCK - 1) * sizeof *values) == 0;
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
    const value_source source = {value_of, arg};
    uint32_t values[BLOCK], run_end = 0;
    WHET_TRY(whet_i_calloc(ctx, WHET_I_CHARMAP_BLOCKS, &map->block));
    for (uint32_t b = 0; b < WHET_I_CHARMAP_BLOCKS; b++) {
        if (run_end >= (b + 1) * BLOCK) { /* wholly in the last run: its value fills the block */
            for (uint32_t i = 0; i < BLOCK; i++) values[i] = values[BLOCK - 1];
        } else {
            WHET_TRY(fill(ctx, b * BLOCK, &source, values, &run_end));
        }
        WHET_TRY(store(ctx, map, values, &map->block[b]));
        for (; run_end >= (b + 2) * BLOCK && is_alike(values); b++)
            map->block[b + 1] = map->block[b]; /* thousands in a row */
    }
    return WHET_OK;
}

void whet_i_charmap_free(whet_ctx *ctx, whet_i_charmap *map) {
    whet_i_free(ctx, map->block);
    whet_i_free(ctx, map->values);
}
